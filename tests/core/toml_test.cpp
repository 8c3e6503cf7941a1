#include "core/toml.h"

#include <string>

#include "core/error.h"
#include "tests/support/catch.h"

using namespace mss::core;

namespace {

std::string message(const std::string& text) {
  try {
    parse_toml(text, "t.toml");
  } catch (const mss::Error& error) {
    CHECK(error.code() == mss::Code::config);
    return error.what();
  }
  return "";
}

std::string repeated(const std::string& piece, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += piece;
  return out;
}

}  // namespace

TEST_CASE("documents nested without end are refused before they are parsed", "[core]") {
  const std::string deep = "t.toml:2: nested too deeply";
  CHECK(message("# first\n" + repeated("a.", 20000) + "a = 1").find(deep) == 0);
  CHECK(message("# first\n[" + repeated("a.", 100000) + "a]").find(deep) == 0);
  CHECK(message("# first\n[[" + repeated("a . ", 100000) + "a]]").find(deep) == 0);
  CHECK(message("# first\nx = " + repeated("[", 100000)).find(deep) == 0);
  CHECK(message("# first\nx = " + repeated("{a.a.a.a.a.a.a = ", 200)).find(deep) == 0);
  // Levels add up: a table, a key in it and an inline table behind it.
  CHECK(message("[" + repeated("a.", 40) + "a]\n" + repeated("b.", 40) + "b = {" + repeated("c.", 40) + "c = 1}")
            .find("t.toml:2: nested too deeply") == 0);
}

TEST_CASE("dots in strings, numbers and comments are no levels", "[core]") {
  const std::string dots = repeated(".", 500);
  CHECK(message("a = \"" + dots + "\"\nb = '" + dots + "' # " + dots + "\nc = \"\"\"" + dots + "\n\"" + dots +
                "\"\"\"\nd = '''" + dots + "''''\ne = \"\\\"" + dots + "\"") == "");
  CHECK(message("a = [" + repeated("0.5, ", 1000) + "1.5]") == "");
  CHECK(message("a = [\n" + repeated("0.5, # x.y\n", 1000) + "]\n[t]\n" + repeated("k.v = {x.y = 1.5}\n", 1)) == "");
  const Value deep = parse_toml("[" + repeated("a.", 30) + "a]\nb.c = {d.e = [[1]]}", "t.toml");
  CHECK(deep.find("a") != nullptr);
}

TEST_CASE("many tables are read in a moment, in source order", "[core]") {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "k" + std::to_string(i) + " = " + std::to_string(i) + "\n";
  const Value value = parse_toml(text, "t.toml");
  CHECK(value.size() == 20000);
  CHECK(value.as_object()[19999].first == "k19999");
  CHECK(value.at("k12345").as_integer() == 12345);
}
