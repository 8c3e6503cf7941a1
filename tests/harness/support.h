// A small data set on disk and methods of known behaviour, for tests of the runner.
#pragma once

#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "audio/file.h"
#include "core/file.h"
#include "core/rng.h"
#include "harness/plan.h"
#include "methods/registry.h"
#include "tests/records/support.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"

namespace mss::harness::tests {

namespace fs = std::filesystem;

inline constexpr int kRate = 8000;

inline audio::AudioBuffer noise(std::int64_t samples, std::uint64_t seed, double gain = 0.2) {
  audio::AudioBuffer out(1, samples, kRate);
  core::Rng rng(seed, 77);
  for (float& x : out.channel(0)) x = static_cast<float>(gain * rng.normal());
  return out;
}

/// ROOT/NAME with mixture.wav and the stems; the mixture is their sum.
inline void write_track(const fs::path& root, const std::string& name,
                        const std::vector<std::pair<std::string, audio::AudioBuffer>>& stems) {
  const fs::path folder = root / name;
  core::make_directories(folder);
  audio::AudioBuffer mixture(1, stems.front().second.samples(), kRate);
  for (const auto& [stem, buffer] : stems) {
    audio::write_file(folder / (stem + ".wav"), buffer);
    audio::add_to(mixture.span(), buffer);
  }
  audio::write_file(folder / "mixture.wav", mixture);
}

/// Four tracks of 1.5 to 3 s with the stems vocals, drums, bass.
inline fs::path write_dataset(const fs::path& root) {
  for (int i = 0; i < 4; ++i) {
    const std::int64_t samples = kRate * (3 + i) / 2;
    const auto seed = static_cast<std::uint64_t>(10 * i);
    write_track(root, "Track " + std::to_string(i),
                {{"vocals", noise(samples, seed + 1)},
                 {"drums", noise(samples, seed + 2)},
                 {"bass", noise(samples, seed + 3, 0.1)}});
  }
  return root;
}

/// Stem s of the mixture x is gain(s) * x.
class Scale final : public methods::Separator {
 public:
  using Gain = std::function<float(std::size_t stem, std::uint64_t seed)>;
  using Hook = std::function<void(const audio::AudioBuffer& mixture)>;
  Scale(methods::SeparatorInfo info, Gain gain, Hook hook)
      : Separator(std::move(info)), gain_(std::move(gain)), hook_(std::move(hook)) {}

 private:
  void do_separate(audio::Source& source, methods::StemSink& sink, methods::Context& context) const override {
    const audio::AudioBuffer mixture = audio::read_all(source);
    if (hook_) hook_(mixture);
    sink.begin({context.targets, mixture.channels(), mixture.rate_hz(), mixture.samples()});
    std::vector<audio::AudioBuffer> stems(context.targets.size(), mixture);
    methods::StemBlock block;
    for (std::size_t s = 0; s < stems.size(); ++s) {
      for (int c = 0; c < mixture.channels(); ++c) {
        for (float& x : stems[s].channel(c)) x *= gain_(s, context.seed);
      }
      block.stems.emplace_back(stems[s]);
    }
    sink.write(block);
  }

  Gain gain_;
  Hook hook_;
};

struct Toy {
  std::string name = {};
  std::vector<std::string> targets = {};  ///< empty = the data set's
  Scale::Gain gain = [](std::size_t, std::uint64_t) { return 0.5F; };
  Scale::Hook hook = {};
  bool random = false, floor = false;
  core::ParamTable params = {};
};

inline void add(methods::Registry& registry, Toy toy) {
  methods::MethodEntry entry;
  entry.name = toy.name;
  entry.family = toy.floor ? "floor" : "classic";
  entry.params = toy.params;
  entry.make = [toy](const core::Params& params, const core::SpecPart& spec) {
    methods::SeparatorInfo info;
    info.spec = core::to_string(spec);
    info.method = toy.name;
    info.targets = toy.targets;
    info.is_random = toy.random;
    info.is_floor = toy.floor;
    info.resolved_options = params.resolved();
    return std::make_unique<Scale>(info, toy.gain, toy.hook);
  };
  registry.add(std::move(entry));
}

/// half (gain 0.5), graded (another gain per stem), dice (gain from the seed), mute (silence), solo (vocals only).
inline methods::Registry toy_registry() {
  methods::Registry registry;
  add(registry, {.name = "half", .floor = true});
  add(registry,
      {.name = "graded", .gain = [](std::size_t s, std::uint64_t) { return 0.25F * static_cast<float>(s + 1); }});
  add(registry,
      {.name = "dice",
       .gain = [](std::size_t, std::uint64_t seed) { return static_cast<float>(core::Rng(seed, 5).uniform(0.1, 0.9)); },
       .random = true});
  add(registry, {.name = "mute", .gain = [](std::size_t, std::uint64_t) { return 0.0F; }});
  add(registry, {.name = "solo", .targets = {"vocals"}});
  return registry;
}

inline Plan toy_plan(const fs::path& dataset, const fs::path& out) {
  Plan plan;
  plan.dataset = dataset.string();
  plan.methods = {"half", "graded", "dice"};
  plan.seeds = {1, 2};
  plan.out = out;
  plan.threads = 1;
  plan.jobs = 1;
  return plan;
}

using mss::tests::contains;
using mss::tests::error_of;
using records::tests::comparable;

}  // namespace mss::harness::tests
