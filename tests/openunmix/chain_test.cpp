// What stands around the networks: presets that are chains, the filter `aggregate`, the package's options.
#include "core/error.h"
#include "methods/filters/aggregate.h"
#include "methods/flags.h"
#include "methods/openunmix/entries.h"
#include "tests/openunmix/support.h"

using namespace mss;
using namespace mss::tests;

namespace {

methods::Registry registry() {
  methods::Registry r;
  umx::add_methods(r);
  methods::filters::add_filters(r);
  return r;
}

std::string folded(const std::string& spec, const methods::FlagValues& flags) {
  return core::to_string(methods::fold_flags(registry(), core::parse_spec(spec), flags));
}

}  // namespace

TEST_CASE("umx@official is written out as the chain that it stands for", "[openunmix]") {
  const methods::Registry r = registry();
  CHECK(r.canonical("umx@official:weights=a") == "umx:weights=a|wiener:mode=openunmix");
  CHECK(r.canonical("umx@official:weights=a,targets=vocals|wiener") ==
        "umx:weights=a,targets=vocals|wiener:mode=openunmix|wiener");
  CHECK(r.canonical("umx:weights=a|wiener:iters=1,mode=openunmix") == r.canonical("umx@official:weights=a"));
  CHECK(r.canonical("umx@umxl:random=3") == "umx@umxl:random=3");
  CHECK(r.canonical("umx") == "umx");
  CHECK(error_of([&] { r.canonical("umx@umx12"); }).code() == Code::config);
  CHECK(error_of([&] { r.canonical("xumx@umxse"); }).code() == Code::config);
}

TEST_CASE("the package's options fold into the spec", "[openunmix]") {
  const std::string umx = "umx:weights=w";
  CHECK(folded(umx, {}) == umx);
  CHECK(folded(umx, {{"niter", "0"}}) == umx);
  CHECK(folded(umx, {{"niter", "2"}}) == "umx:weights=w|wiener:iters=2,mode=openunmix");
  CHECK(folded(umx, {{"wiener_win_len", "100"}}) == "umx:weights=w|wiener:iters=1,mode=openunmix,window=100");
  CHECK(folded(umx, {{"niter", "0"}, {"residual", "residual"}}) ==
        "umx:weights=w|wiener:iters=0,mode=openunmix,residual=true");
  CHECK(folded(umx, {{"residual", "rest"}}) ==
        "umx:weights=w|wiener:iters=1,mode=openunmix,residual=true|aggregate:stems=*+rest(residual)");
  CHECK(folded(umx, {{"targets", "vocals+drums"}}) == "umx:weights=w,targets=vocals+drums");
  CHECK(folded("xumx:weights=w",
               {{"aggregate", R"({"vocals": ["vocals"], "accompaniment": ["drums", "bass", "other"]})"}}) ==
        "xumx:weights=w|wiener:iters=1,mode=openunmix|aggregate:stems=vocals+accompaniment(drums+bass+other)");
  CHECK(
      folded(umx, {{"residual", "rest"}, {"targets", "vocals"}, {"aggregate", R"({"all": ["vocals", "rest"]})"}}) ==
      "umx:weights=w,targets=vocals|wiener:iters=1,mode=openunmix,residual=true|aggregate:stems=all(vocals+residual)");

  // What folds is a spec that the registry takes as it is.
  const methods::Registry r = registry();
  CHECK(r.canonical(folded(umx, {{"residual", "rest"}})) ==
        "umx:weights=w|wiener:mode=openunmix,residual=true|aggregate:stems=*+rest(residual)");

  const auto refused = [](const std::string& spec, const methods::FlagValues& flags) {
    return error_of([&] { folded(spec, flags); }).code() == Code::config;
  };
  CHECK(refused("nmf", {{"niter", "1"}}));
  CHECK(refused(umx, {{"niter", "-1"}}));
  CHECK(refused(umx, {{"wiener_win_len", "0"}}));
  for (const char* bad : {"", "{", "[]", "{}", R"({"a": []})", R"({"a": "b"})", R"({"a": [1]})"}) {
    CAPTURE(bad);
    CHECK(refused(umx, {{"aggregate", bad}}));
  }
}

TEST_CASE("a flag replaces what a preset brought, and contradicts what the spec says", "[openunmix]") {
  // The preset's filter takes the flag's value.
  CHECK(folded("umx@official:weights=w", {{"niter", "3"}}) == "umx:weights=w|wiener:iters=3,mode=openunmix");
  CHECK(folded("umx@official:weights=w", {{"niter", "0"}}) == "umx:weights=w");
  CHECK(folded("umx@official:weights=w", {{"aggregate", R"({"all": ["vocals", "drums"]})"}}) ==
        "umx:weights=w|wiener:iters=1,mode=openunmix|aggregate:stems=all(vocals+drums)");
  // The spec's own filter keeps what it says, and takes what it does not say; another filter stays where it is.
  CHECK(folded("umx:weights=w|wiener:mode=norbert", {{"niter", "2"}}) == "umx:weights=w|wiener:mode=norbert,iters=2");
  CHECK(folded("umx:weights=w|wiener:iters=2", {{"niter", "2"}}) == "umx:weights=w|wiener:iters=2");
  CHECK(folded("umx:weights=w|aggregate:stems=all(vocals+drums)", {{"niter", "1"}}) ==
        "umx:weights=w|wiener:iters=1,mode=openunmix|aggregate:stems=all(vocals+drums)");

  const auto names_both = [](const std::string& spec, const methods::FlagValues& flags, const char* flag,
                             const char* said) {
    const Error error = error_of([&] { folded(spec, flags); });
    CAPTURE(error.what());
    return error.code() == Code::config && contains(error.what(), flag) && contains(error.what(), said);
  };
  CHECK(names_both("umx:weights=w|wiener:iters=1", {{"niter", "2"}}, "--niter 2", "wiener:iters=1"));
  CHECK(names_both("umx:weights=w|wiener", {{"niter", "0"}}, "--niter 0", "'wiener'"));
  CHECK(names_both("umx:weights=w,targets=drums", {{"targets", "vocals"}}, "--targets vocals", "umx:targets=drums"));
  CHECK(names_both("umx@official:weights=w|aggregate:stems=a(vocals)", {{"aggregate", R"({"b": ["vocals"]})"}},
                   "--aggregate", "aggregate:stems=a(vocals)"));
  CHECK(names_both("mixture", {{"wiener_win_len", "3"}}, "--wiener-win-len", "umx, xumx, umx-crossskip"));
}

TEST_CASE("aggregate: grammar", "[openunmix]") {
  using methods::filters::parse_aggregate;
  const auto terms = parse_aggregate("vocals+rest(drums+bass)+*", "here");
  REQUIRE(terms.size() == 3);
  CHECK(terms[0].name == "vocals");
  CHECK(terms[0].stems == std::vector<std::string>{"vocals"});
  CHECK(terms[1].name == "rest");
  CHECK(terms[1].stems == std::vector<std::string>{"drums", "bass"});
  CHECK(terms[2].name.empty());
  for (const char* bad : {"", "+", "a+", "a(", "a()", "a(b", "a(b+)", "a)b", "a+a", "*+*", "a(b)c", "a(b(c))"}) {
    CAPTURE(bad);
    const Error error = error_of([&] { parse_aggregate(bad, "here"); });
    CHECK(error.code() == Code::config);
    CHECK(contains(error.what(), "here"));
  }
}

TEST_CASE("aggregate: sums of stems, in blocks and behind other filters", "[openunmix]") {
  const methods::Weights weights = golden_weights(small_configuration({"vocals", "drums", "bass", "other"}));
  const audio::AudioBuffer signal = golden_signal(2, 30000, "aggregate");
  const methods::StemSet plain = make_small(weights, "net|wiener")->separate(signal);
  const auto summed =
      make_small(weights, "net|wiener|aggregate:stems=other+vocals+all(drums+bass+vocals)+again(other)");
  const methods::StemSet set = summed->separate(signal);
  CHECK(set.names == std::vector<std::string>{"other", "vocals", "all", "again"});
  CHECK(summed->info().targets == set.names);
  for (int c = 0; c < 2; ++c) {
    bool same = true, sums = true;
    for (std::size_t t = 0; t < 30000; ++t) {
      const auto at = [&](const methods::StemSet& s, std::size_t stem) { return s.audio[stem].channel(c)[t]; };
      same = same && at(set, 0) == at(plain, 3) && at(set, 1) == at(plain, 0) && at(set, 3) == at(plain, 3);
      sums = sums && at(set, 2) == at(plain, 1) + at(plain, 2) + at(plain, 0);
    }
    CHECK(same);
    CHECK(sums);
  }
  // All stems that are not mentioned, in their order.
  const methods::StemSet rest = make_small(weights, "net|aggregate:stems=song(vocals+bass)+*")->separate(signal);
  CHECK(rest.names == std::vector<std::string>{"song", "drums", "other"});
  const methods::StemSet same = make_small(weights, "net|aggregate")->separate(signal);
  CHECK(same.names == weights.targets());

  const Error unknown = error_of([&] { make_small(weights, "net|aggregate:stems=vocal"); });
  CHECK(unknown.code() == Code::config);
  CHECK(contains(unknown.what(), "did you mean 'vocals'"));
  CHECK(error_of([&] { make_small(weights, "net|aggregate:stems=drums(vocals)+*"); }).code() == Code::config);
}
