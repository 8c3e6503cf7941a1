#include "core/spec.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/rng.h"
#include "tests/support/errors.h"

namespace mss::core {
namespace {

using mss::tests::check_error;
using mss::tests::message_of;

std::string random_text(Rng& rng, std::string_view alphabet, std::size_t min, std::size_t max) {
  std::string out(min + rng.below(static_cast<std::uint32_t>(max - min + 1)), ' ');
  for (char& c : out) c = alphabet[rng.below(static_cast<std::uint32_t>(alphabet.size()))];
  return out;
}

std::string random_name(Rng& rng) {
  return random_text(rng, "abcxyz0189", 1, 1) + random_text(rng, "abcxyz0189._-", 0, 6);
}

// Everything that could upset a parser, several times over, besides ordinary characters.
constexpr char kNastyChars[] = "ab1./\\\\\"\"'=,:|@#\n\t \r\v\f[](){}<>$%&*~`;?!\x01\x7f\xc3\xa4\0";
constexpr std::string_view kNasty(kNastyChars, sizeof(kNastyChars) - 1);

SpecPart random_part(Rng& rng) {
  SpecPart part;
  part.name = random_name(rng);
  if (rng.below(3) == 0) part.preset = random_name(rng);
  const std::uint32_t arguments = rng.below(4);
  for (std::uint32_t i = 0; i < arguments; ++i) {
    part.arguments.emplace_back(random_name(rng), random_text(rng, kNasty, 0, 8));
  }
  return part;
}

Spec random_spec(Rng& rng) {
  Spec spec;
  spec.method = random_part(rng);
  const std::uint32_t filters = rng.below(3);
  for (std::uint32_t i = 0; i < filters; ++i) spec.filters.push_back(random_part(rng));
  return spec;
}

}  // namespace

TEST_CASE("printing a spec and parsing it again gives the same spec", "[core]") {
  Rng rng(7, 1);
  for (int i = 0; i < 20000; ++i) {
    const Spec spec = random_spec(rng);
    const std::string text = to_string(spec);
    CAPTURE(text);
    const Spec again = parse_spec(text);
    if (!(again == spec) || to_string(again) != text) FAIL("round trip " << i);
  }
}

TEST_CASE("any text is parsed into a spec that round-trips, or refused with Error(config)", "[core]") {
  Rng rng(7, 2);
  int parsed = 0;
  for (int i = 0; i < 50000; ++i) {
    // Half of the texts are junk, half are valid ones with one character exchanged.
    std::string text = random_text(rng, "ab1:=,|@\"\\ .-", 0, 14);
    if (i % 2 == 0) {
      text = to_string(random_spec(rng));
      text[rng.below(static_cast<std::uint32_t>(text.size()))] =
          kNasty[rng.below(static_cast<std::uint32_t>(kNasty.size()))];
    }
    CAPTURE(text);
    try {
      const Spec spec = parse_spec(text);
      ++parsed;
      if (!(parse_spec(to_string(spec)) == spec)) FAIL("accepted, but does not round-trip");
    } catch (const Error& error) {
      if (error.code() != Code::config) FAIL("refused with another code: " << error.what());
    }
  }
  // Both ways were taken often.
  CHECK(parsed > 2000);
  CHECK(parsed < 48000);
}

TEST_CASE("white space around separators is dropped, quoting is normalised", "[core]") {
  const std::vector<std::pair<std::string, std::string>> pairs{
      {"nmf", "nmf"},
      {"  nmf\n", "nmf"},
      {"umx @ umxhq : a = 1 , b=2 | wiener : iters = 1", "umx@umxhq:a=1,b=2|wiener:iters=1"},
      {"a:b=\"plain\"", "a:b=plain"},
      {"a:b=\"\"", "a:b=\"\""},
      {"a:b=\"x y\"", "a:b=\"x y\""},
      {"a:b=\"1,2|3:4@5=6\"", "a:b=\"1,2|3:4@5=6\""},
      {R"(a:b="say \"hi\" \\")", R"(a:b="say \"hi\" \\")"},
      {R"(a:b="C:\\dir")", R"(a:b="C:\\dir")"},
      {R"(a:b=\n)", R"(a:b=\n)"},
      {R"(a:b="\\n")", R"(a:b=\n)"},
      {"a:f=/data/x.safetensors", "a:f=/data/x.safetensors"},
      {"0-a.b_c:9.k=\xc3\xa4", "0-a.b_c:9.k=\xc3\xa4"},
  };
  for (const auto& [given, canonical] : pairs) {
    CAPTURE(given);
    CHECK(to_string(parse_spec(given)) == canonical);
    CHECK(to_string(parse_spec(canonical)) == canonical);
  }
}

TEST_CASE("the parts of a parsed spec are what was written", "[core]") {
  const Spec spec = parse_spec("umx@umxhq:weights=\"a, b\",x=1|wiener:iters=2|other");
  CHECK(spec.method.name == "umx");
  CHECK(spec.method.preset == "umxhq");
  CHECK(spec.method.arguments == core::ParamText{{"weights", "a, b"}, {"x", "1"}});
  REQUIRE(spec.filters.size() == 2);
  CHECK(spec.filters[0] == SpecPart{"wiener", "", {{"iters", "2"}}});
  CHECK(spec.filters[1] == SpecPart{"other", "", {}});
}

TEST_CASE("a malformed spec string is shown with a caret under the fault", "[core]") {
  struct Case {
    const char* text;
    int column;
    const char* expected;
    const char* found;
  };
  const std::vector<Case> cases{
      {"", 1, "a method's name", "the end"},
      {"   ", 4, "a method's name", "the end"},
      {"Nmf", 1, "a method's name", "'N'"},
      {"-nmf", 1, "a method's name", "'-'"},
      {"nmf:", 5, "a parameter's name", "the end"},
      {"nmf@", 5, "a preset's name", "the end"},
      {"nmf@:a=1", 5, "a preset's name", "':'"},
      {"nmf:r", 6, "'='", "the end"},
      {"nmf:r=", 7, "a value", "the end"},
      {"nmf:r=,a=1", 7, "a value", "','"},
      {"nmf:r=1,", 9, "a parameter's name", "the end"},
      {"nmf:r=1 2", 9, "the end", "'2'"},
      {"nmf:r=1=2", 8, "the end", "'='"},
      {"nmf:r=1:s=2", 8, "the end", "':'"},
      {"nmf|", 5, "a post-filter's name", "the end"},
      {"nmf||wiener", 5, "a post-filter's name", "'|'"},
      {"nmf:f=\"open", 7, "a closing double quote", "'\"'"},
      {R"(nmf:f="a\b")", 10, "the only escapes", "'b'"},
      {"nmf:f=a\"b\"", 8, "the end", "'\"'"},
      {"nmf:f=\xc3\xa4,\xc3\xb6=1", 9, "a parameter's name", "'\xc3\xb6'"},
      {"nmf wiener", 5, "the end", "'w'"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const std::string message = message_of(Code::config, [&] { parse_spec(c.text); });
    CAPTURE(message);
    CHECK(message.find("column " + std::to_string(c.column) + "\n") != std::string::npos);
    CHECK(message.find("\n  " + std::string(c.text) + "\n") != std::string::npos);
    // The caret stands in that column, after the indentation of the text above it.
    CHECK(message.find("\n  " + std::string(static_cast<std::size_t>(c.column - 1), ' ') + "^\n") != std::string::npos);
    CHECK(message.find(c.expected) != std::string::npos);
    CHECK(message.find(std::string("found ") + c.found) != std::string::npos);
  }
}

TEST_CASE("control characters do not break the message about a malformed spec", "[core]") {
  const std::string message = message_of(Code::config, [] { parse_spec("nmf:\ta\n=1,\r!"); });
  CHECK(message.find("column 12\n") != std::string::npos);
  CHECK(message.find("\n  nmf: a =1, !\n") != std::string::npos);
}

TEST_CASE("a spec with names outside the grammar is not printed", "[core]") {
  CHECK_THROWS_AS(to_string(SpecPart{"", "", {}}), Error);
  CHECK_THROWS_AS(to_string(SpecPart{"A", "", {}}), Error);
  CHECK_THROWS_AS(to_string(SpecPart{"a", "b c", {}}), Error);
  check_error(Code::invalid_argument, {"'k='"}, [] { to_string(SpecPart{"a", "", {{"k=", "1"}}}); });
}

TEST_CASE("slugs are safe file names that tell specs apart", "[core]") {
  CHECK(spec_slug("irm1").starts_with("irm1-"));
  CHECK(spec_slug("irm1").size() == 4 + 1 + 8);
  // FNV-1a 64 of "a" is af63dc4c8601ec8c.
  CHECK(spec_slug("a") == "a-8601ec8c");
  CHECK(spec_slug("nmf:dict=\"a/b c\"|wiener:iters=1").starts_with("nmf_dict=_a_b_c__wiener_iters=1-"));
  CHECK(spec_slug("a:b=1") != spec_slug("a|b=1"));
  const std::string lengthy(500, 'x');
  CHECK(spec_slug(lengthy).size() == 80 + 1 + 8);
  CHECK(spec_slug(lengthy) != spec_slug(lengthy + "y"));
  CHECK(spec_slug("..")[0] == '_');
}

TEST_CASE("a list of specs is cut where no parameter follows the comma", "[core]") {
  using List = std::vector<std::string>;
  CHECK(split_specs("mixture") == List{"mixture"});
  CHECK(split_specs("mixture,silence") == List{"mixture", "silence"});
  CHECK(split_specs("mixture, nmf:components=2,alpha=2 ,irm2|wiener:iters=1,mode=clean,umx@umxhq") ==
        List{"mixture", "nmf:components=2,alpha=2", "irm2|wiener:iters=1,mode=clean", "umx@umxhq"});
  CHECK(split_specs("nmf:dict=\"a,b \\\" c\",alpha=2,hpss:margin=2") ==
        List{"nmf:dict=\"a,b \\\" c\",alpha=2", "hpss:margin=2"});
  CHECK(split_specs("nmf:components=2,alpha = 2") == List{"nmf:components=2,alpha = 2"});
  CHECK(split_specs(",mixture,,") == List{"mixture"});
  CHECK(split_specs("").empty());
}

}  // namespace mss::core
