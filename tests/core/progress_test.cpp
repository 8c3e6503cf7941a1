#include "core/progress.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>

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

TEST_CASE("a narrow bar keeps share, clock, ETA and item", "[core]") {
  for (const int columns : {20, 40, 60, 120}) {
    INFO(columns);
    std::string out;
    auto progress = make_bar_progress([&](std::string_view s) { out += s; }, columns);
    progress->begin("a rather long name of a task", 100);
    std::this_thread::sleep_for(std::chrono::milliseconds(110));
    progress->update(50, "Some Track - With a Name");
    progress->expect(75);
    std::this_thread::sleep_for(std::chrono::milliseconds(110));
    progress->update(51, "Some Track - With a Name");
    const std::string last(trim(out.substr(out.rfind('\r') + 1)));
    CHECK(static_cast<int>(display_width(last)) < columns);
    CHECK(last.find("0:00 ETA 1:15") != std::string::npos);
    CHECK(last.find("50%") != std::string::npos);  // the share never falls, whatever is expected
    CHECK((last.find("  Some") != std::string::npos) == (columns >= 40));
    progress->end();
  }
}

TEST_CASE("clock and bar tick while nothing happens", "[core]") {
  std::string out;
  std::mutex mutex;
  auto progress = make_bar_progress(
      [&](std::string_view s) {
        const std::lock_guard lock(mutex);
        out += s;
      },
      80);
  progress->begin("run", 4);
  progress->update(1, "one");
  progress->expect(2.0);
  const auto drawn = [&] {
    const std::lock_guard lock(mutex);
    return std::count(out.begin(), out.end(), '\r');
  };
  const auto before = drawn();
  for (int i = 0; i < 40 && drawn() < before + 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(drawn() >= before + 2);
  progress->end();
  const auto ended = drawn();
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  CHECK(drawn() == ended);
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
