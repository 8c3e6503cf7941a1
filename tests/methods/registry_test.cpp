#include "methods/registry.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "tests/methods/support.h"
#include "tests/support/catch.h"

namespace mss::methods {
namespace {

using tests::check_error;

/// Leaves stems as they are.
class ThroughFilter final : public PostFilter {
 public:
  ThroughFilter(std::string spec, core::Value options) : spec_(std::move(spec)), options_(std::move(options)) {}
  std::string spec() const override { return spec_; }
  core::Value resolved_options() const override { return options_; }
  bool wants_magnitudes(const SeparatorInfo&) const override { return false; }
  std::unique_ptr<StemSink> open(const SeparatorInfo&, audio::Source&, StemSink& out, Context&) const override {
    class Sink final : public StemSink {
     public:
      explicit Sink(StemSink& to) : to_(to) {}
      void begin(const StemFormat& format) override { to_.begin(format); }
      void write(const StemBlock& block) override { to_.write(block); }

     private:
      StemSink& to_;
    };
    return std::make_unique<Sink>(out);
  }

 private:
  std::string spec_;
  core::Value options_;
};

MethodEntry toy_entry(std::string name) {
  MethodEntry entry;
  entry.name = std::move(name);
  entry.family = "classic";
  entry.summary = "A toy.";
  entry.params = {
      {"rank", core::ParamType::integer, "4", "", "[1,inf)", "Components.", ""},
      {"alpha", core::ParamType::real, "1", "", "(0,inf)", "Exponent.", ""},
      {"clean", core::ParamType::boolean, "true", "", "", "Mode.", ""},
      {"init", core::ParamType::choice, "random", "", "random|mean", "Start.", ""},
      {"dict", core::ParamType::file, "", "", "", "Dictionary.", ""},
  };
  entry.presets = {{"big", {{"rank", "64"}, {"alpha", "2.0"}}}, {"plain", {}}};
  entry.make = [](const core::Params& params, const core::SpecPart& spec) {
    SeparatorInfo info = tests::toy_info();
    info.spec = to_string(spec);
    info.method = spec.name;
    info.resolved_options = params.resolved();
    return tests::identity(std::move(info));
  };
  return entry;
}

Registry toy_registry() {
  Registry registry;
  registry.add(toy_entry("nmf"));
  registry.add(toy_entry("nmfd"));
  MethodEntry missing;
  missing.name = "umx";
  missing.family = "network";
  missing.unavailable = "built without LibTorch";
  registry.add(std::move(missing));
  FilterEntry filter;
  filter.name = "wiener";
  filter.params = {{"iters", core::ParamType::integer, "1", "", "[0,inf)", "Iterations.", ""},
                   {"window", core::ParamType::integer, "300", "frames", "[1,inf)", "Window.", ""}};
  filter.make = [](const core::Params& params, const core::SpecPart& spec) {
    return std::make_unique<ThroughFilter>(to_string(spec), params.resolved());
  };
  registry.add(std::move(filter));
  return registry;
}

}  // namespace

TEST_CASE("equal configurations have one canonical spec", "[methods]") {
  const Registry registry = toy_registry();
  const std::vector<std::pair<std::string, std::string>> pairs{
      {"nmf", "nmf"},
      {" nmf : rank = 4 ", "nmf"},
      {"nmf:rank=4,alpha=1.0,clean=yes,init=random", "nmf"},
      {"nmf:alpha=2,rank=8", "nmf:rank=8,alpha=2"},
      {"nmf:alpha=2.50", "nmf:alpha=2.5"},
      {"nmf:alpha=1e0", "nmf"},
      {"nmf:clean=off", "nmf:clean=false"},
      {"nmf:dict=\"my file.st\"", "nmf:dict=\"my file.st\""},
      {"nmf:dict=\"a.st\"", "nmf:dict=a.st"},
      {"nmf@big", "nmf@big"},
      {"nmf@big:rank=64", "nmf@big"},
      {"nmf@big:alpha=2", "nmf@big"},
      {"nmf@big:rank=4", "nmf@big:rank=4"},
      {"nmf@plain:rank=4", "nmf@plain"},
      {"nmf|wiener", "nmf|wiener"},
      {"nmf | wiener:iters=1,window=300", "nmf|wiener"},
      {"nmf:rank=3|wiener:window=100,iters=2|wiener:iters=0", "nmf:rank=3|wiener:iters=2,window=100|wiener:iters=0"},
  };
  for (const auto& [given, canonical] : pairs) {
    CAPTURE(given);
    CHECK(registry.canonical(given) == canonical);
    CHECK(registry.canonical(canonical) == canonical);
    const auto made = registry.make(given);
    CHECK(made->info().spec == canonical);
  }
}

TEST_CASE("presets are other defaults", "[methods]") {
  const Registry registry = toy_registry();
  CHECK(registry.make("nmf@big")->info().resolved_options.at("rank").as_integer() == 64);
  CHECK(registry.make("nmf@big")->info().resolved_options.at("alpha").as_real() == 2.0);
  CHECK(registry.make("nmf@big:rank=7")->info().resolved_options.at("rank").as_integer() == 7);
  CHECK(registry.make("nmf@plain")->info().resolved_options.at("rank").as_integer() == 4);
}

TEST_CASE("what a registry refuses, and what it suggests", "[methods]") {
  const Registry registry = toy_registry();
  check_error(Code::config, {"nmg", "unknown method", "did you mean 'nmf'?"}, [&] { registry.make("nmg"); });
  check_error(Code::config, {"zzzzzzzz", "mssbench methods"}, [&] { registry.make("zzzzzzzz"); });
  check_error(Code::config, {"'wiener' is a post-filter", "METHOD|wiener"}, [&] { registry.make("wiener"); });
  check_error(Code::config, {"'nmf' is a method", "first"}, [&] { registry.make("nmfd|nmf"); });
  check_error(Code::config, {"unknown post-filter", "did you mean 'wiener'?"}, [&] { registry.make("nmf|winer"); });
  check_error(Code::config, {"unknown parameter 'rnk'", "did you mean 'rank'?"}, [&] { registry.make("nmf:rnk=3"); });
  check_error(Code::config, {"nmf", "rank", "[1,inf)", "0"}, [&] { registry.make("nmf:rank=0"); });
  check_error(Code::config, {"random, mean", "did you mean 'mean'?"}, [&] { registry.make("nmf:init=meen"); });
  check_error(Code::config, {"given twice"}, [&] { registry.make("nmf:rank=3,rank=4"); });
  check_error(Code::config, {"unknown preset", "big, plain", "'bigg'", "did you mean 'big'?"},
              [&] { registry.make("nmf@bigg"); });
  check_error(Code::config, {"no presets", "@x"}, [&] { registry.make("nmf|wiener@x"); });
  check_error(Code::config, {"column 5"}, [&] { registry.make("nmf|"); });
  check_error(Code::unsupported, {"umx", "built without LibTorch"}, [&] { registry.make("umx"); });
  check_error(Code::unsupported, {"umx", "built without LibTorch"}, [&] { registry.canonical("umx|wiener"); });
  check_error(Code::config, {"unknown parameter 'x'"}, [&] { registry.canonical("nmf|wiener:x=1"); });
}

TEST_CASE("a registry is filled with distinct, well-formed entries only", "[methods]") {
  Registry registry = toy_registry();
  check_error(Code::internal, {"nmf"}, [&] { registry.add(toy_entry("nmf")); });
  CHECK_THROWS_AS(registry.add(toy_entry("Bad Name")), Error);
  MethodEntry bad_default = toy_entry("bad");
  bad_default.params[0].default_value = "0";
  CHECK_THROWS_AS(registry.add(bad_default), Error);
  MethodEntry bad_preset = toy_entry("bad");
  bad_preset.presets = {{"p", {{"nothing", "1"}}}};
  CHECK_THROWS_AS(registry.add(bad_preset), Error);
  MethodEntry no_factory = toy_entry("bad");
  no_factory.make = nullptr;
  CHECK_THROWS_AS(registry.add(no_factory), Error);
  CHECK(registry.methods().size() == 3);
  CHECK(registry.filters().size() == 1);
}

TEST_CASE("a made chain runs", "[methods]") {
  const Registry registry = toy_registry();
  const audio::AudioBuffer mixture = tests::noise(2, 10000, 44100, 1);
  const StemSet stems = registry.make("nmf|wiener|wiener:iters=2")->separate(mixture);
  REQUIRE(stems.names == default_targets());
  for (const auto& stem : stems.audio) CHECK(tests::same_bits(stem, mixture));
}

}  // namespace mss::methods
