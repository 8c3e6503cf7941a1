#include "core/json.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "core/rng.h"
#include "core/toml.h"
#include "tests/support/catch.h"

using namespace mss::core;

namespace {

std::string error_of(std::string_view text, JsonReadOptions options = {}) {
  try {
    parse_json(text, "x.json", options);
  } catch (const mss::Error& e) {
    return e.what();
  }
  return "";
}

/// A random tree; depth-limited.
Value random_value(Rng& rng, int depth) {
  switch (rng.below(depth > 0 ? 7 : 5)) {
    case 0:
      return Value();
    case 1:
      return Value(rng.below(2) == 1);
    case 2:
      return Value(static_cast<std::int64_t>(rng.next_u64()));
    case 3: {
      double d = 0;
      const std::uint64_t bits = rng.next_u64();
      static_assert(sizeof d == sizeof bits);
      std::memcpy(&d, &bits, sizeof d);
      return Value(std::isfinite(d) ? d : 0.5);
    }
    case 4: {
      std::string s;
      for (std::uint32_t i = rng.below(6); i > 0; --i) s += static_cast<char>(rng.below(128));
      return Value(s + (rng.below(2) ? "\xC3\xA9" : ""));
    }
    case 5: {
      Value a = Value::array();
      for (std::uint32_t i = rng.below(4); i > 0; --i) a.push_back(random_value(rng, depth - 1));
      return a;
    }
    default: {
      Value o = Value::object();
      for (std::uint32_t i = rng.below(4); i > 0; --i) o["k" + std::to_string(i)] = random_value(rng, depth - 1);
      return o;
    }
  }
}

}  // namespace

TEST_CASE("JSON round trips values, order and types", "[core]") {
  const std::string text = R"({"b":1,"a":[true,null,-2.5,"x\"\\\n\u0001é"],"c":{},"d":[],"e":1e-07,"f":3.0})";
  const Value v = parse_json(text, "x");
  CHECK(dump_json(v) == text);
  CHECK(v.at("b").is_integer());
  CHECK(v.at("f").is_real());
  CHECK(parse_json(dump_json(v, 2), "x") == v);
  Rng rng(1, 1);
  for (int i = 0; i < 3000; ++i) {
    const Value tree = random_value(rng, 4);
    CHECK(parse_json(dump_json(tree), "x") == tree);
    CHECK(parse_json(dump_json(tree, 1), "x") == tree);
  }
}

TEST_CASE("NaN and infinities are written as null and read only on request", "[core]") {
  Value v = Value::array();
  v.push_back(std::nan(""));
  v.push_back(std::numeric_limits<double>::infinity());
  CHECK(dump_json(v) == "[null,null]");
  CHECK(std::isnan(parse_json("null", "x").as_real_or_nan()));
  const std::string museval = R"({"a NaN":[NaN, -Infinity,Infinity],"b":"NaN \" NaN","c":NaN})";
  CHECK_FALSE(error_of(museval).empty());
  const Value read = parse_json(museval, "x", {.allow_nan_tokens = true});
  CHECK(read.at("a NaN").as_array().at(1).is_null());
  CHECK(read.at("b").as_string() == "NaN \" NaN");
  CHECK(read.at("c").is_null());
}

TEST_CASE("malformed JSON is refused with name and position", "[core]") {
  CHECK(error_of("{\"a\": 1,\n  }").find("x.json: not JSON: parse error at line 2, column 3") != std::string::npos);
  CHECK(error_of("{\"a\":1,\"a\":2}").find("duplicate key 'a'") != std::string::npos);
  CHECK(error_of("[1] 2").find("not JSON") != std::string::npos);
  CHECK(error_of("").find("not JSON") != std::string::npos);
  CHECK(error_of("[1e999]").find("number overflow") != std::string::npos);
  CHECK(error_of("\"\xff\"").find("not JSON") != std::string::npos);
  CHECK(error_of(std::string(300, '[')).find("256 levels") != std::string::npos);
  CHECK(error_of(std::string(256, '[') + std::string(256, ']')).empty());
}

TEST_CASE("random bytes never do worse than an Error", "[core]") {
  Rng rng(2, 7);
  const std::string_view alphabet = "{}[]\",:0123456789.eE+-truefalsnNI \\u\n\x80\xff=#'";
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (std::uint32_t n = rng.below(24); n > 0; --n) {
      text += alphabet[rng.below(static_cast<std::uint32_t>(alphabet.size()))];
    }
    for (const bool nan : {false, true}) {
      try {
        const Value v = parse_json(text, "fuzz", {.allow_nan_tokens = nan});
        CHECK(parse_json(dump_json(v), "again") == v);
      } catch (const mss::Error&) {
      }
    }
    try {
      parse_toml(text, "fuzz");
    } catch (const mss::Error&) {
    }
  }
}

TEST_CASE("reals are written in the shortest form that reads back", "[core]") {
  CHECK(format_real(0.1) == "0.1");
  CHECK(format_real(3) == "3");
  CHECK(format_real(-1e-7) == "-1e-07");
  CHECK(format_real(std::nan("")) == "nan");
}

TEST_CASE("TOML reads in source order and names the place of an error", "[core]") {
  const Value v = parse_toml("z = 1\na = [1.5, 'x']\n[t]\nk = true\n[[list]]\nn = 1\n[[list]]\nn = 2\n", "plan.toml");
  CHECK(v.as_object()[0].first == "z");
  CHECK(v.at("a").as_array()[0].as_real() == 1.5);
  CHECK(v.at("t").at("k").as_bool());
  CHECK(v.at("list").as_array()[1].at("n").as_integer() == 2);
  CHECK_THROWS_WITH(parse_toml("a = 1\nb = = 2", "plan.toml"), Catch::Contains("plan.toml:2:"));
  CHECK_THROWS_WITH(parse_toml("a = 2020-01-01", "plan.toml"), Catch::Contains("dates and times"));
}

TEST_CASE("unknown keys come with the nearest known one", "[core]") {
  const Value v = parse_toml("dataset = 'x'\nmethds = []", "plan.toml");
  CHECK_THROWS_WITH(reject_unknown_keys(v, {"dataset", "methods", "out"}, "plan.toml"),
                    Catch::Contains("unknown key 'methds'") && Catch::Contains("did you mean 'methods'?"));
  CHECK_NOTHROW(reject_unknown_keys(v, {"dataset", "methds"}, "plan.toml"));
}

TEST_CASE("wrong types say what was expected and found", "[core]") {
  const Value v = parse_json(R"({"a":"text"})", "x");
  CHECK_THROWS_WITH(v.at("a").as_integer("x: a"), Catch::Contains("x: a: wrong type (expected integer, found string)"));
  CHECK_THROWS_WITH(v.at("b", "x"), Catch::Contains("key missing"));
  CHECK_THROWS_AS(Value(std::uint64_t{1} << 63), mss::Error);
}

TEST_CASE("documents with many keys take time in proportion", "[core]") {
  // Quadratic look-up takes minutes here; the check is that it ends.
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":" + std::to_string(i);
  const Value value = parse_json(text + "}", "many");
  CHECK(value.size() == 200000);
  CHECK(value.at("k0").as_integer() == 0);
  CHECK(value.at("k199999").as_integer() == 199999);
  CHECK(value.find("k200000") == nullptr);
  CHECK_THROWS_WITH(parse_json(text + ",\"k77777\":1}", "many"), Catch::Contains("duplicate key 'k77777'"));
  std::string nans = "[NaN";
  for (int i = 0; i < 200000; ++i) nans += ",NaN,-Infinity";
  CHECK(parse_json(nans + "]", "nans", {.allow_nan_tokens = true}).size() == 400001);
}

TEST_CASE("an object keeps order and finds its members after members were removed", "[core]") {
  Value value = Value::object();
  for (int i = 0; i < 100; ++i) value["k" + std::to_string(i)] = i;
  CHECK(value.erase("k50"));
  CHECK_FALSE(value.erase("k50"));
  CHECK(value.find("k50") == nullptr);
  CHECK(value.at("k99").as_integer() == 99);
  CHECK(value.as_object()[50].first == "k51");
  Value copy = value;
  copy["k50"] = 1;
  CHECK(copy.at("k50").as_integer() == 1);
  CHECK(value.find("k50") == nullptr);
  CHECK_FALSE(copy == value);
}
