#include "core/progress.h"

#include <algorithm>

#include "core/json.h"
#include "core/text.h"
#include "core/version.h"
#include "tests/support/catch.h"

using namespace mss::core;

TEST_CASE("plain progress writes the first and the last line whatever the interval", "[core]") {
  std::string out;
  auto progress = make_line_progress([&](std::string_view s) { out += s; }, 1000.0);
  progress->begin("run", 3);
  for (int i = 1; i <= 3; ++i) progress->update(i, "track " + std::to_string(i));
  progress->end();
  const auto lines = split(trim(out), '\n');
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].rfind("run 1/3 (0:0", 0) == 0);
  CHECK(lines[1].find("3/3") != std::string::npos);
  CHECK(lines[1].find("track 3") != std::string::npos);
}

TEST_CASE("the bar stays on one line, fits the width, and ends in a line feed", "[core]") {
  std::string out;
  auto progress = make_bar_progress([&](std::string_view s) { out += s; }, 60);
  progress->begin("run", 2);
  progress->update(2, "a very long track name with umlauts \xC3\xA4\xC3\xB6\xC3\xBC that cannot possibly fit in here");
  progress->end();
  CHECK(out.back() == '\n');
  CHECK(std::count(out.begin(), out.end(), '\n') == 1);
  for (const auto& line : split(out, '\r')) CHECK(display_width(trim(line)) < 60);
  CHECK(is_utf8(out));
  CHECK(out.find("100%") != std::string::npos);
}

TEST_CASE("JSON progress is one strict object per line", "[core]") {
  std::string out;
  auto progress = make_json_progress([&](std::string_view s) { out += s; });
  progress->begin("run", 1);
  progress->update(1, "a\"b");
  progress->end();
  const auto lines = split(trim(out), '\n');
  REQUIRE(lines.size() == 3);
  CHECK(parse_json(lines[0], "0").at("event").as_string() == "begin");
  CHECK(parse_json(lines[1], "1").at("item").as_string() == "a\"b");
  CHECK(parse_json(lines[2], "2").at("done").as_integer() == 1);
  null_progress().begin("x", 1);
  null_progress().update(1, "");
  null_progress().end();
}

TEST_CASE("version facts are present", "[core]") {
  CHECK(split(version(), '.').size() == 3);
  CHECK_FALSE(git_revision().empty());
  CHECK_FALSE(compiler().empty());
}
