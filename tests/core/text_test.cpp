#include "core/text.h"

#include "tests/support/catch.h"

using namespace mss::core;

TEST_CASE("nearest finds typing errors and nothing far-fetched", "[core]") {
  const std::vector<std::string> methods{"silence", "mixture", "mixture-over-j", "nmf", "irm2"};
  CHECK(nearest("mixtrue", methods) == "mixture");
  CHECK(nearest("NMF", methods) == "nmf");
  CHECK(nearest("nfm", methods) == "nmf");
  CHECK(nearest("irm", methods) == "irm2");
  CHECK(nearest("demucs", methods).empty());
  CHECK(nearest("", methods).empty());
  CHECK(nearest(std::string(100000, 'x'), methods).empty());
  CHECK(did_you_mean("silnce", methods) == "did you mean 'silence'?");
  CHECK(did_you_mean("zzzzzz", methods).empty());
}

TEST_CASE("text helpers", "[core]") {
  CHECK(split("a,,b", ',') == std::vector<std::string>{"a", "", "b"});
  CHECK(split("", ',') == std::vector<std::string>{""});
  CHECK(join({"a", "b"}, ", ") == "a, b");
  CHECK(trim(" \t a b \n") == "a b");
  CHECK(trim("  ").empty());
  CHECK(display_width("a\xC3\xA9z") == 3);
  CHECK(matches_glob("umx@umxhq|wiener", "umx*"));
  CHECK(matches_glob("umx@umxhq|wiener", "*@*|*"));
  CHECK(matches_glob("abc", "a?c"));
  CHECK(matches_glob("", "**"));
  CHECK_FALSE(matches_glob("abc", "a?"));
  CHECK_FALSE(matches_glob("abc", "*d*"));
  CHECK_FALSE(matches_glob("ABC", "abc"));
  CHECK_FALSE(matches_glob("", "?"));
}

TEST_CASE("UTF-8 validation", "[core]") {
  CHECK(is_utf8("Bj\xC3\xB6rk \xF0\x9F\x8E\xB5 \xE2\x82\xAC"));
  CHECK_FALSE(is_utf8("\xC3"));
  CHECK_FALSE(is_utf8("\xC0\x80"));          // overlong
  CHECK_FALSE(is_utf8("\xED\xA0\x80"));      // surrogate
  CHECK_FALSE(is_utf8("\xF4\x90\x80\x80"));  // above U+10FFFF
  CHECK_FALSE(is_utf8("\x80"));
}
