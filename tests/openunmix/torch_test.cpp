// The LibTorch modules of the family against the kernels, and what only they can do.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/error.h"
#include "methods/openunmix/entries.h"
#include "methods/openunmix/network_torch.h"
#include "nn/runtime_torch.h"
#include "nn/weights_torch.h"
#include "tests/openunmix/support.h"

using namespace mss;
using namespace mss::tests;

namespace {

const std::vector<std::string> kOrder = {"bass", "drums", "vocals", "other"};

/// |X| of a signal as (1, C, F, T).
at::Tensor magnitudes(const audio::AudioBuffer& signal, const umx::Configuration& c) {
  audio::StftSpec spec;
  spec.fft_size = c.fft_size;
  spec.hop_samples = c.hop_samples;
  const audio::Spectrogram<float> x = audio::Stft<float>(spec).forward(signal.view());
  at::Tensor out = torch::empty({x.channels(), x.frames(), x.bins()});
  float* to = out.data_ptr<float>();
  for (const auto& z : x.data()) *to++ = std::abs(z);
  return out.transpose(1, 2).unsqueeze(0);
}

}  // namespace

TEST_CASE("LibTorch's layers give what the kernels give", "[openunmix]") {
  const nn::InferenceScope scope(1);
  struct Kind {
    umx::Architecture architecture;
    bool unidirectional;
    int channels;
  };
  for (const Kind& kind : {Kind{umx::Architecture::openunmix, false, 2}, Kind{umx::Architecture::openunmix, true, 2},
                           Kind{umx::Architecture::openunmix, false, 1}, Kind{umx::Architecture::xumx, false, 2},
                           Kind{umx::Architecture::crossskip, false, 2}, Kind{umx::Architecture::crossskip, true, 2}}) {
    umx::Configuration c = small_configuration(kOrder, kind.architecture);
    c.unidirectional = kind.unidirectional;
    c.channels = kind.channels;
    CAPTURE(umx::architecture_name(c.architecture), c.unidirectional, c.channels);
    const umx::Weights weights = golden_weights(c);
    umx::OpenUnmixFamily network(c);
    network->load(weights);
    network->eval();
    CHECK(nn::count_parameters(*network) == weights.parameters());
    const audio::AudioBuffer signal = golden_signal(c.channels);
    const at::Tensor expected = network->forward(magnitudes(signal, c));
    const MagnitudeSink found = magnitudes_of(*make_small(weights), signal);
    REQUIRE(expected.size(4) == found.frames);
    double worst = 0;
    const auto at = expected.accessor<float, 5>();
    for (std::size_t s = 0; s < kOrder.size(); ++s) {
      for (int channel = 0; channel < c.channels; ++channel) {
        for (int k = 0; k < found.bins; ++k) {
          for (std::int64_t n = 0; n < found.frames; ++n) {
            worst = std::max<double>(
                worst, std::abs(at[0][static_cast<std::int64_t>(s)][channel][k][n] - found.at(s, channel, n, k)));
          }
        }
      }
    }
    CHECK(worst < 2e-5);
  }
}

TEST_CASE("sizes of the official networks", "[openunmix]") {
  umx::Configuration c = umx::named_configuration("umxhq", umx::Architecture::openunmix);
  c.targets = {"vocals"};
  const umx::OpenUnmixFamily plain(c);
  CHECK(nn::count_parameters(*plain) == 8893348);
  // 8.87 million multiply-accumulates per frame: fc1 1.52, LSTM 4.72, fc2 0.52, fc3 2.10.
  CHECK(nn::count_macs_per_frame(*plain) == 2974 * 512 + 3 * 2 * (1024 * 512 + 1024 * 256) + 512 * 1024 + 4098 * 512);
  umx::Configuration cross = umx::named_configuration("umxhq", umx::Architecture::crossskip);
  CHECK(nn::count_parameters(*umx::OpenUnmixFamily(cross)) == 38719120);
}

TEST_CASE("gradients of the extension cross from target to target", "[openunmix]") {
  const nn::ThreadScope threads(1);
  for (const umx::Architecture architecture : {umx::Architecture::openunmix, umx::Architecture::crossskip}) {
    const umx::Configuration c = small_configuration(kOrder, architecture);
    umx::OpenUnmixFamily network(c);
    network->load(golden_weights(c));
    network->eval();
    const at::Tensor estimate = network->forward(magnitudes(golden_signal(2), c));
    estimate.select(1, 0).square().mean().backward();
    for (std::size_t t = 0; t < kOrder.size(); ++t) {
      const at::Tensor gradient = network->target(t)->named_parameters()["fc1.weight"].grad();
      const bool reached = gradient.defined() && gradient.abs().max().item<float>() > 0;
      CAPTURE(kOrder[t], umx::architecture_name(architecture));
      CHECK(reached == (t == 0 || architecture == umx::Architecture::crossskip));
    }
  }
}

TEST_CASE("weights of another architecture name the first mismatches", "[openunmix]") {
  umx::OpenUnmixFamily network(small_configuration(kOrder, umx::Architecture::crossskip));
  std::string message;
  try {
    network->load(golden_weights(small_configuration(kOrder)));
  } catch (const Error& error) {
    CHECK(error.code() == Code::checkpoint);
    message = error.what();
  }
  CHECK(message.find("fc2x.weight") != std::string::npos);
}

TEST_CASE("engine=libtorch separates as the native engine does", "[openunmix]") {
  methods::Registry registry;
  umx::add_methods(registry);
  const methods::MethodEntry& entry = registry.methods().front();
  REQUIRE(entry.name == "umx");
  methods::SpecPart part{.name = "umx", .preset = {}, .arguments = {{"random", "2"}, {"model", "umxse"}}};
  const auto ours = entry.make(core::Params::resolve(entry.params, part.arguments, "umx"), part);
  part.arguments.emplace_back("engine", "libtorch");
  const auto theirs = umx::make_torch_separator(core::Params::resolve(entry.params, part.arguments, "umx"), part);
  CHECK(theirs->info().targets == ours->info().targets);
  CHECK(theirs->info().weights_sha256 == ours->info().weights_sha256);
  const audio::AudioBuffer signal = golden_signal(2, 16000, "speech");
  audio::AudioBuffer slow(2, signal.samples(), 16000);
  for (int c = 0; c < 2; ++c) std::ranges::copy(signal.channel(c), slow.channel(c).begin());
  const methods::StemSet a = ours->separate(slow), b = theirs->separate(slow);
  REQUIRE(a.names == b.names);
  double worst = 0;
  for (std::size_t s = 0; s < a.audio.size(); ++s) {
    for (int c = 0; c < 2; ++c) {
      for (std::size_t t = 0; t < a.audio[s].channel(c).size(); ++t) {
        worst = std::max<double>(worst, std::abs(a.audio[s].channel(c)[t] - b.audio[s].channel(c)[t]));
      }
    }
  }
  CHECK(worst < 1e-5);
}
