// What holds for every method that the program lists, whoever wrote it.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "harness/builtin_methods.h"
#include "methods/registry.h"
#include "tests/methods/support.h"
#include "tests/support/catch.h"

namespace mss::methods {
namespace {

using tests::check_error;
using tests::noise;
using tests::same_bits;

/// The method by its name, with what it cannot be made without.
std::string plain(const MethodEntry& entry) {
  return to_string(core::SpecPart{.name = entry.name, .preset = {}, .arguments = entry.example});
}

/// Small settings for methods whose defaults would take long.
std::string quick(const MethodEntry& entry) {
  for (const core::Param& param : entry.params) {
    if (param.name == "iterations") return entry.name + ":iterations=2";
  }
  return plain(entry);
}

StemSet separate(const Separator& method, const audio::AudioBuffer& a, const audio::AudioBuffer& b, int threads = 1) {
  audio::AudioBuffer mixture = a;
  audio::add_to(mixture.span(), b);
  Options options;
  options.threads = threads;
  options.targets = {"a", "b"};
  return method.separate(mixture, {"a", "b"}, {a, b}, options);
}

}  // namespace

TEST_CASE("the built-in methods are described, and their specs canonical", "[methods]") {
  const Registry& registry = harness::builtin_methods();
  std::set<std::string> names;
  for (const MethodEntry& entry : registry.methods()) {
    CAPTURE(entry.name);
    names.insert(entry.name);
    CHECK_FALSE(entry.summary.empty());
    const std::set<std::string> families{"floor", "oracle", "classic", "network"};
    CHECK(families.count(entry.family) == 1);
    for (const core::Param& param : entry.params) {
      CAPTURE(param.name);
      CHECK_FALSE(param.help.empty());
    }
    if (!entry.unavailable.empty()) {
      check_error(Code::unsupported, {entry.name.c_str(), entry.unavailable.c_str()},
                  [&] { registry.make(entry.name); });
      continue;
    }
    const auto made = registry.make(plain(entry));
    CHECK(made->info().spec == registry.canonical(plain(entry)));
    CHECK(registry.canonical(made->info().spec) == made->info().spec);
    CHECK(made->info().resolved_options.is_object());
    for (const core::Param& param : entry.params) {
      CAPTURE(param.name);
      CHECK(made->info().resolved_options.find(param.name) != nullptr);
    }
  }
  for (const char* name : {"silence", "mixture", "mixture-over-j", "irm1", "irm2", "ibm1", "ibm2", "nmf"}) {
    CHECK(names.count(name) == 1);
  }
  for (const char* name : {"umx", "xumx", "umx-crossskip", "demucs", "conv-tasnet", "bsrnn", "conv1d", "dprnn"}) {
    CHECK(names.count(name) == 1);
    check_error(Code::config, {name, "needs weights"}, [&] { registry.make(name); });
  }
}

TEST_CASE("every built-in method takes any rate, channels and length, and silence", "[methods]") {
  const Registry& registry = harness::builtin_methods();
  struct Format {
    int channels, rate_hz;
    std::int64_t samples;
  };
  for (const MethodEntry& entry : registry.methods()) {
    if (!entry.unavailable.empty()) continue;
    const auto method = registry.make(quick(entry));
    for (const Format f :
         {Format{2, 44100, 22050}, Format{1, 8000, 4001}, Format{2, 44100, 1}, Format{1, 48000, 700}}) {
      CAPTURE(entry.name, f.channels, f.rate_hz, f.samples);
      const audio::AudioBuffer a = noise(f.channels, f.samples, f.rate_hz, 80);
      // Noise, not a sine that begins with 0: mwf-sisec18 divides by a channel's energy, as the published script does.
      const audio::AudioBuffer b = noise(f.channels, f.samples, f.rate_hz, 83);
      const StemSet set = separate(*method, a, b);
      CHECK(set.names == method->targets_for({"a", "b"}));
      for (const auto& stem : set.audio) CHECK(audio::same_shape(stem, a));
      const audio::AudioBuffer quiet(f.channels, f.samples, f.rate_hz);
      // Four convolutions on the waveform have biases, which sound.
      if (entry.name == "conv1d") continue;
      for (const auto& stem : separate(*method, quiet, quiet).audio) CHECK(audio::is_silent(stem));
    }
  }
}

TEST_CASE("every built-in post-filter stands behind every kind of method", "[methods]") {
  const Registry& registry = harness::builtin_methods();
  CHECK_FALSE(registry.filters().empty());
  for (const FilterEntry& filter : registry.filters()) {
    CHECK_FALSE(filter.summary.empty());
    // Stems only, magnitudes offered, a native format that is not the mixture's, a filtered method.
    const std::vector<std::string> methods{"mixture-over-j", "irm2", "nmf:iterations=2,components=3",
                                           "irm1|" + filter.name};
    for (const std::string& method : methods) {
      const std::string spec = method + "|" + filter.name;
      CAPTURE(spec);
      const auto chain = registry.make(spec);
      CHECK(chain->info().spec == registry.canonical(spec));
      for (const std::int64_t samples : {1, 700, 22050}) {
        const audio::AudioBuffer a = noise(2, samples, 44100, 82);
        const audio::AudioBuffer b = tests::sine(2, samples, 44100, 440, 0.3);
        const StemSet set = separate(*chain, a, b);
        CHECK(set.names == chain->targets_for({"a", "b"}));
        for (const auto& stem : set.audio) CHECK(audio::same_shape(stem, a));
        CHECK(same_bits(separate(*chain, a, b, 3), set));
      }
    }
  }
}

TEST_CASE("a filtered method streams within a window of the filter", "[methods]") {
  /// How far reading has run ahead of writing.
  class LeadSink final : public StemSink {
   public:
    explicit LeadSink(const tests::GeneratedSource& source) : source_(source) {}
    void begin(const StemFormat&) override {}
    void write(const StemBlock& block) override {
      written = block.begin + block.stems[0].samples();
      lead = std::max(lead, source_.position - block.begin);
    }
    std::int64_t written = 0, lead = 0;

   private:
    const tests::GeneratedSource& source_;
  };
  constexpr std::int64_t kSamples = 60 * 44100;
  const auto saw = [](std::int64_t t, std::int64_t period) {
    return static_cast<float>(t % period) / static_cast<float>(period) - 0.5F;
  };
  for (const std::string spec : {"mixture-over-j|wiener:window=50", "irm2|wiener:window=50"}) {
    CAPTURE(spec);
    tests::GeneratedSource mixture(1, 44100, kSamples, false,
                                   [&](int, std::int64_t t) { return saw(t, 100) + saw(t, 333); });
    tests::GeneratedSource a(1, 44100, kSamples, false, [&](int, std::int64_t t) { return saw(t, 100); });
    tests::GeneratedSource b(1, 44100, kSamples, false, [&](int, std::int64_t t) { return saw(t, 333); });
    const References references{{"a", "b"}, {&a, &b}};
    Options options;
    options.targets = references.names;
    options.references = &references;
    LeadSink sink(mixture);
    harness::builtin_methods().make(spec)->separate(mixture, sink, options);
    CHECK(sink.written == kSamples);
    // Two windows of 50 frames, the method's block, the transforms' frames.
    CHECK(sink.lead < 2 * 50 * 1024 + 65536 + 4 * 4096);
  }
}

TEST_CASE("every built-in method gives the same bits for any number of threads", "[methods]") {
  const Registry& registry = harness::builtin_methods();
  const audio::AudioBuffer a = noise(2, 40000, 44100, 81);
  const audio::AudioBuffer b = tests::sine(2, 40000, 44100, 440, 0.3);
  for (const MethodEntry& entry : registry.methods()) {
    if (!entry.unavailable.empty()) continue;
    CAPTURE(entry.name);
    const auto method = registry.make(quick(entry));
    CHECK(same_bits(separate(*method, a, b, 1), separate(*method, a, b, 3)));
  }
}

}  // namespace mss::methods
