#include "core/params.h"

#include "core/error.h"
#include "core/json.h"
#include "tests/support/catch.h"

using namespace mss::core;

namespace {

const ParamTable kTable{
    {"iterations", ParamType::integer, "100", "", "[0,inf)", "Update steps.", ""},
    {"alpha", ParamType::real, "1", "", "(0,4]", "Mask exponent.", ""},
    {"flag", ParamType::boolean, "false", "", "", "A switch.", ""},
    {"mode", ParamType::choice, "clean", "", "clean|compat", "Update order.", ""},
    {"dict", ParamType::file, "", "", "", "Dictionary.", ""},
};

std::string error_of(const ParamText& given) {
  try {
    Params::resolve(kTable, given, "nmf");
  } catch (const mss::Error& e) {
    CHECK(e.code() == mss::Code::config);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("parameters resolve to typed values with defaults", "[core]") {
  const Params p = Params::resolve(kTable, {{"alpha", "2.0"}, {"flag", "YES"}}, "nmf");
  CHECK(p.integer("iterations") == 100);
  CHECK(p.real("alpha") == 2.0);
  CHECK(p.boolean("flag"));
  CHECK(p.text("mode") == "clean");
  CHECK_FALSE(p.is_set("dict"));
  CHECK(p.is_given("alpha"));
  CHECK_FALSE(p.is_given("mode"));
  CHECK(dump_json(p.resolved()) == R"({"iterations":100,"alpha":2.0,"flag":true,"mode":"clean","dict":null})");
}

TEST_CASE("canonical text leaves defaults out and keeps table order", "[core]") {
  const Params p =
      Params::resolve(kTable, {{"flag", "on"}, {"alpha", "1.50"}, {"iterations", "100"}, {"dict", "a b"}}, "nmf");
  CHECK(p.non_default() == ParamText{{"alpha", "1.5"}, {"flag", "true"}, {"dict", "a b"}});
}

TEST_CASE("bad parameters say what would be right", "[core]") {
  CHECK(error_of({{"iteratons", "3"}}).find("did you mean 'iterations'?") != std::string::npos);
  CHECK(error_of({{"iterations", "-1"}}).find("an integer in [0,inf)") != std::string::npos);
  CHECK(error_of({{"iterations", "3.5"}}).find("an integer") != std::string::npos);
  CHECK(error_of({{"iterations", ""}}).find("found ''") != std::string::npos);
  CHECK(error_of({{"alpha", "0"}}).find("a number in (0,4]") != std::string::npos);
  CHECK(error_of({{"alpha", "nan"}}).find("a number") != std::string::npos);
  CHECK(error_of({{"flag", "maybe"}}).find("true or false") != std::string::npos);
  CHECK(error_of({{"mode", "claen"}}).find("did you mean 'clean'?") != std::string::npos);
  CHECK(error_of({{"alpha", "1"}, {"alpha", "2"}}).find("given twice") != std::string::npos);
}
