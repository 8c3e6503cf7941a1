// The convolutional baseline: size, an independent forward, pieces that leave no trace, files.
#include <algorithm>
#include <cmath>

#include "checkpoints/safetensors.h"
#include "core/error.h"
#include "methods/baselines/conv1d.h"
#include "methods/baselines/entries.h"
#include "methods/baselines/family.h"
#include "methods/weights.h"
#include "nn/cpu.h"
#include "nn/trace.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::tests;
using namespace mss::methods;
using baselines::Conv1dBaseline;

namespace {

audio::AudioBuffer noise(std::int64_t samples, int rate = 44100) {
  audio::AudioBuffer x(2, samples, rate);
  KeyedUniform u("track");
  for (int c = 0; c < 2; ++c) {
    for (float& v : x.channel(c)) v = static_cast<float>(u() - 0.5);
  }
  return x;
}

/// Four convolutions in double, from the formula: zeros outside of the signal at every layer.
std::vector<std::vector<double>> convolve(const Arrays& weights, std::vector<std::vector<double>> x) {
  for (int layer = 0; layer < 4; ++layer) {
    const std::string name = std::to_string(layer);
    const std::vector<float> w = weights.at(name + ".weight").values(), b = weights.at(name + ".bias").values();
    const std::size_t outputs = b.size(), inputs = x.size(), samples = x[0].size();
    std::vector<std::vector<double>> y(outputs, std::vector<double>(samples));
    for (std::size_t o = 0; o < outputs; ++o) {
      for (std::size_t t = 0; t < samples; ++t) {
        double sum = b[o];
        for (std::size_t i = 0; i < inputs; ++i) {
          for (std::size_t k = 0; k < 15; ++k) {
            if (t + k >= 7 && t + k - 7 < samples) sum += w[(o * inputs + i) * 15 + k] * x[i][t + k - 7];
          }
        }
        y[o][t] = layer < 3 ? std::max(sum, 0.0) : sum;
      }
    }
    x = std::move(y);
  }
  return x;
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("the convolutional baseline has 63490 numbers per target", "[baselines]") {
  nn::Listing listing;
  const Conv1dBaseline<nn::Trace> model{nn::Trace::Scope(listing)};
  CHECK(listing.parameters() == 63'490);
  const auto y = model.forward({1, 44100, 2, &listing});
  CHECK(y.T == 44100);
  CHECK(y.C == 2);
  CHECK(listing.macs == 44100 * 15LL * (2 * 32 + 32 * 64 + 64 * 32 + 32 * 2));
  CHECK(baselines::conv1d_family().macs_per_second(baselines::set_value("conv1d", {"vocals", "bass"})) ==
        2.0 * static_cast<double>(listing.macs));
  CHECK(
      random_weights(baselines::conv1d_family(), baselines::set_value("conv1d", {"vocals", "bass"}), 1).parameters() ==
      2 * 63'490);
}

TEST_CASE("the convolutional baseline is the formula, from spec to stems", "[baselines]") {
  Registry registry;
  baselines::add_methods(registry);
  const auto separator = registry.make("conv1d:random=3");
  CHECK(separator->info().targets == std::vector<std::string>{"vocals", "accompaniment"});
  const audio::AudioBuffer x = noise(500);
  const StemSet stems = separator->separate(x.view());
  const Weights weights = random_weights(baselines::conv1d_family(), baselines::set_value("conv1d", {"vocals"}), 3);
  std::vector<std::vector<double>> given(2, std::vector<double>(500));
  for (std::size_t c = 0; c < 2; ++c)
    std::copy(x.channel(static_cast<int>(c)).begin(), x.channel(static_cast<int>(c)).end(), given[c].begin());
  const auto expected = convolve(weights.parts.at("vocals"), given);
  double worst = 0, rest = 0, largest = 0;
  for (std::size_t c = 0; c < 2; ++c) {
    for (std::size_t t = 0; t < 500; ++t) {
      const float found = stems.audio[0].channel(static_cast<int>(c))[t];
      worst = std::max(worst, std::abs(found - expected[c][t]));
      largest = std::max(largest, std::abs(expected[c][t]));
      rest = std::max(
          rest, std::abs(static_cast<double>(stems.audio[1].channel(static_cast<int>(c))[t]) + found - given[c][t]));
    }
  }
  CHECK(largest > 0.01);
  CHECK(worst < 1e-6);
  CHECK(rest < 1e-6);
}

TEST_CASE("only what a single target leaves is the accompaniment", "[baselines]") {
  Registry registry;
  baselines::add_methods(registry);
  // Scored as the sum of all stems but the vocals, what four targets leave of the mixture would be worth nothing.
  const auto targets = [&](const char* spec) { return registry.make(spec)->info().targets; };
  CHECK(targets("conv1d@four:random=1") == std::vector<std::string>{"vocals", "drums", "bass", "other"});
  CHECK(targets("conv1d@four:random=1,targets=vocals+drums") == std::vector<std::string>{"vocals", "drums"});
  CHECK(targets("dprnn:random=1") == std::vector<std::string>{"vocals", "accompaniment"});
}

TEST_CASE("pieces of 10 s leave no trace", "[baselines]") {
  Registry registry;
  baselines::add_methods(registry);
  const auto separator = registry.make("conv1d@four:random=1,targets=bass");
  CHECK(separator->info().targets == std::vector<std::string>{"bass", "accompaniment"});
  const Weights weights = random_weights(baselines::conv1d_family(),
                                         baselines::set_value("conv1d", {"vocals", "drums", "bass", "other"}), 1);
  nn::ArraySource source = weights.source("bass");
  const Conv1dBaseline<nn::Cpu> model{nn::Scope(source)};
  for (const std::int64_t samples : {441'000 + 10, 882'000, 441'000 + 20'000}) {
    const audio::AudioBuffer x = noise(samples);
    nn::Tensor whole(1, samples, 2);
    for (std::int64_t t = 0; t < samples; ++t) {
      for (int c = 0; c < 2; ++c) whole.row(0, t)[c] = x.channel(c)[static_cast<std::size_t>(t)];
    }
    const nn::Tensor y = model.forward(whole);
    const StemSet stems = separator->separate(x.view());
    bool equal = true;
    for (std::int64_t t = 0; t < samples; ++t) {
      for (int c = 0; c < 2; ++c)
        equal = equal && y.row(0, t)[c] == stems.audio[0].channel(c)[static_cast<std::size_t>(t)];
    }
    CHECK(equal);
  }
}

TEST_CASE("state dicts under other names are read by their shapes, and what is none is refused", "[baselines]") {
  const TempDir folder;
  const Weights weights = random_weights(baselines::conv1d_family(), baselines::set_value("conv1d", {"vocals"}), 8);
  const Arrays& ours = weights.parts.at("vocals");
  checkpoints::LazyTensors theirs;
  // A Sequential with ReLU between: 0, 2, 4, 6; and one whose names do not sort as text.
  const std::vector<std::string> names[] = {{"0", "2", "4", "6"}, {"conv8", "conv9", "conv10", "conv11"}};
  for (const auto& layers : names) {
    theirs.clear();
    for (std::size_t i = 0; i < 4; ++i) {
      for (const char* kind : {".weight", ".bias"})
        theirs["model." + layers[i] + kind] = ours.at(std::to_string(i) + kind);
    }
    checkpoints::write_safetensors(folder / "vocals.safetensors", theirs, {});
    const Weights read = read_weights(baselines::conv1d_family(), folder / "vocals.safetensors");
    CHECK(read.targets() == std::vector<std::string>{"vocals"});
    CHECK(read.content_hash == weights.content_hash);
  }
  export_weights(folder / "again.safetensors", weights);
  ReadOptions options;
  options.target_name = "vocals";
  CHECK(read_weights(baselines::conv1d_family(), folder / "again.safetensors", options).content_hash ==
        weights.content_hash);
  theirs.erase("model.conv9.weight");
  checkpoints::write_safetensors(folder / "less.safetensors", theirs, {});
  CHECK(message_of([&] {
          read_weights(baselines::conv1d_family(), folder / "less.safetensors");
        }).find("no network of this architecture") != std::string::npos);
  Registry registry;
  baselines::add_methods(registry);
  CHECK(message_of([&] { registry.make("conv1d"); }).find("needs weights") != std::string::npos);
}
