// The LibTorch modules of the family against the kernels, and what only they can do.
#include <torch/optim.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "methods/openunmix/entries.h"
#include "methods/openunmix/model.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/losses_torch.h"
#include "nn/torch/runtime_torch.h"
#include "nn/torch/stft_torch.h"
#include "nn/trace.h"
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

/// The model on LibTorch with its tensors.
class TorchModel {
 public:
  TorchModel(const methods::Weights& weights, at::ScalarType type)
      : source_(weights.source_of_all()),
        weights_(source_, at::TensorOptions().dtype(type)),
        model_(nn::Torch::Scope(weights_), umx::configuration_from_value(weights.configuration, "test")) {
    source_.check("golden");
  }
  nn::TorchWeights& weights() { return weights_; }

  /// Estimates (B, J, C, F, T) of magnitudes (B, C, F, T).
  at::Tensor operator()(const at::Tensor& x) const {
    const umx::Configuration& c = model_.configuration();
    const at::Tensor rows = x.slice(2, 0, c.max_bin).permute({0, 3, 1, 2}).reshape({x.size(0), x.size(3), -1});
    std::vector<at::Tensor> estimates;
    for (const at::Tensor& mask : model_.masks(rows)) {
      estimates.push_back(mask.reshape({x.size(0), x.size(3), c.channels, c.bins}).permute({0, 2, 3, 1}) * x);
    }
    return at::stack(estimates, 1);
  }

 private:
  nn::ArraySource source_;
  nn::TorchWeights weights_;
  umx::Model<nn::Torch> model_;
};

/// gain * golden_signal, rounded to float32 as the golden file has it, as float64 (C, T).
at::Tensor scaled_signal(const std::string& name, std::int64_t samples, double gain) {
  const audio::AudioBuffer signal = golden_signal(2, samples, name);
  at::Tensor out = torch::empty({2, samples}, at::kDouble);
  double* to = out.data_ptr<double>();
  for (int c = 0; c < 2; ++c) {
    for (const float value : signal.channel(c)) *to++ = static_cast<float>(gain * static_cast<double>(value));
  }
  return out;
}

audio::StftSpec small_stft(audio::Framing framing) {
  audio::StftSpec spec;
  spec.fft_size = 256;
  spec.hop_samples = 64;
  spec.framing = framing;
  return spec;
}

// The golden numbers were computed in float64 and have 12 digits; another order of the same sums moves the last ones.
Approx near(const core::Value& golden) { return Approx(golden.as_real()).epsilon(1e-9); }

/// "vocals.fc1.weight" -> "fc1.weight".
std::string own(const std::string& name) { return name.substr(name.find('.') + 1); }

}  // namespace

TEST_CASE("the model on LibTorch gives what it gives on the kernels", "[openunmix]") {
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
    const methods::Weights weights = golden_weights(c);
    TorchModel network(weights, at::kFloat);
    std::int64_t parameters = 0;
    for (const auto& [name, tensor] : network.weights().parameters()) parameters += tensor.numel();
    CHECK(parameters == weights.parameters());
    const audio::AudioBuffer signal = golden_signal(c.channels);
    const at::Tensor expected = network(magnitudes(signal, c));
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

TEST_CASE("the model in float64 has the golden file's digits", "[openunmix]") {
  const nn::InferenceScope scope(1);
  for (const auto& [block, architecture] :
       {std::pair("xumx", umx::Architecture::xumx), std::pair("crossskip", umx::Architecture::crossskip)}) {
    const umx::Configuration c = small_configuration(kOrder, architecture);
    TorchModel network(golden_weights(c), at::kDouble);
    audio::StftSpec spec = small_stft(audio::Framing::centered_reflect);
    const at::Tensor x = nn::stft(scaled_signal("signal", 8229, 1.0), spec).abs().unsqueeze(0);
    const at::Tensor estimates = network(x).squeeze(0);
    for (std::size_t t = 0; t < kOrder.size(); ++t) {
      CAPTURE(block, kOrder[t]);
      const core::Value& expected = openunmix_golden().at(block).at("est").at(kOrder[t]);
      const at::Tensor y = estimates[static_cast<std::int64_t>(t)];
      CHECK(y.sum().item<double>() == near(expected.at("sum")));
      CHECK(y.square().sum().item<double>() == near(expected.at("sumsq")));
    }
  }
}

TEST_CASE("sizes and cost of the official networks", "[openunmix]") {
  umx::Configuration c = umx::named_configuration("umxhq", umx::Architecture::openunmix);
  c.targets = {"vocals"};
  nn::Listing listing;
  const umx::Model<nn::Trace> model(nn::Trace::Scope(listing), c);
  CHECK(listing.parameters() == 8893348);
  const nn::Trace::Tensor mask = model.masks({1, 1, 2 * 1487, &listing})[0];
  CHECK(mask.channels() == 2 * 2049);
  // 8.87 million multiply-accumulates per frame: fc1 1.52, LSTM 4.72, fc2 0.52, fc3 2.10.
  CHECK(listing.macs == 2974 * 512 + 3 * 2 * (1024 * 512 + 1024 * 256) + 512 * 1024 + 4098 * 512);
}

TEST_CASE("gradients of the extension cross from target to target", "[openunmix]") {
  const nn::ThreadScope threads(1);
  for (const umx::Architecture architecture : {umx::Architecture::openunmix, umx::Architecture::crossskip}) {
    const umx::Configuration c = small_configuration(kOrder, architecture);
    TorchModel network(golden_weights(c), at::kFloat);
    const at::Tensor estimate = network(magnitudes(golden_signal(2), c));
    estimate.select(1, 0).square().mean().backward();
    for (std::size_t t = 0; t < kOrder.size(); ++t) {
      const at::Tensor gradient = network.weights().find(kOrder[t] + ".fc1.weight").grad();
      const bool reached = gradient.defined() && gradient.abs().max().item<float>() > 0;
      CAPTURE(kOrder[t], umx::architecture_name(architecture));
      CHECK(reached == (t == 0 || architecture == umx::Architecture::crossskip));
    }
  }
}

TEST_CASE("engine=libtorch separates as the native engine does, in blocks of any size", "[openunmix]") {
  for (const umx::Architecture architecture :
       {umx::Architecture::openunmix, umx::Architecture::xumx, umx::Architecture::crossskip}) {
    CAPTURE(umx::architecture_name(architecture));
    const methods::Weights weights = golden_weights(small_configuration(kOrder, architecture));
    const audio::AudioBuffer signal = golden_signal(2, 64 * 300 - 17, "speech");
    const std::vector<std::string> wanted = {"vocals", "bass"};
    const auto ours = make_small(weights, {}, wanted);
    const methods::StemSet expected = ours->separate(signal);
    for (const int block : {96, 100000}) {
      const auto theirs =
          umx::make_torch_separator(small_request(weights, wanted), {.buffer_bytes = 1 << 16, .block_frames = block});
      CHECK(theirs->info().targets == wanted);
      CHECK(theirs->info().weights_sha256 == weights.content_hash);
      const methods::StemSet found = theirs->separate(signal);
      REQUIRE(found.names == expected.names);
      double worst = 0;
      for (std::size_t s = 0; s < found.audio.size(); ++s) {
        for (int c = 0; c < 2; ++c) {
          for (std::size_t t = 0; t < found.audio[s].channel(c).size(); ++t) {
            worst = std::max<double>(worst, std::abs(found.audio[s].channel(c)[t] - expected.audio[s].channel(c)[t]));
          }
        }
      }
      CHECK(worst < 1e-5);
    }
  }
}

TEST_CASE("losses of X-UMX on golden estimates", "[openunmix]") {
  const nn::InferenceScope scope(1);
  const core::Value& golden = openunmix_golden().at("xumx").at("loss");
  const umx::Configuration c = small_configuration(kOrder, umx::Architecture::xumx);
  const TorchModel network(golden_weights(c), at::kDouble);

  const audio::StftSpec spec = small_stft(audio::Framing::centered_reflect);
  std::vector<at::Tensor> stems;
  for (const std::string& target : kOrder) stems.push_back(scaled_signal("tgt/" + target, 8229, 0.25));
  const at::Tensor references = at::stack(stems);  // (J, C, T)
  const at::Tensor mixture = references.sum(0);
  const at::Tensor x = nn::stft(mixture, spec);
  const at::Tensor estimates = network(x.abs().unsqueeze(0)).squeeze(0);  // (J, C, F, N)
  const at::Tensor targets = nn::stft(references, spec).abs();

  const auto subsets = nn::source_combinations(4);
  const auto& order = golden.at("comb_order").as_array();
  REQUIRE(subsets.size() == order.size());
  for (std::size_t i = 0; i < subsets.size(); ++i) {
    std::vector<std::int64_t> expected;
    for (const core::Value& source : order[i].as_array()) expected.push_back(source.as_integer());
    CHECK(subsets[i] == expected);
  }
  const double frequency = nn::combination_mse(estimates, targets).item<double>();
  CHECK(frequency == near(golden.at("freq_mse_14comb")));
  CHECK(nn::mean_squared_error(estimates, targets).item<double>() == near(golden.at("freq_mse_4only")));

  // The estimates' magnitudes with the mixture's phases, as long as whole hops reach.
  const auto samples = golden.at("time_length").as_integer();
  REQUIRE(samples == spec.hop_samples * (x.size(-1) - 1));
  const at::Tensor heard = nn::istft(at::polar(estimates, x.angle().expand_as(estimates)), spec, samples);
  const at::Tensor wanted = references.slice(-1, 0, samples), mixed = mixture.slice(-1, 0, samples);
  const double time = nn::combination_wsdr(heard, wanted, mixed).item<double>();
  CHECK(time == near(golden.at("time_wsdr_14comb_asteroid")));
  CHECK(nn::combination_wsdr(heard, wanted, mixed, 200).item<double>() ==
        near(golden.at("time_wsdr_14comb_sony_trim200")));
  CHECK(10 * time + frequency == near(golden.at("total_mcoef10_asteroid")));

  // A source and all that is not it have the same wSDR, so that the pair's mean is the source's own.
  double singles = 0;
  for (std::int64_t i = 0; i < 4; ++i) {
    const at::Tensor pair = at::stack({heard[i], mixed - heard[i]}), truth = at::stack({wanted[i], mixed - wanted[i]});
    singles += nn::combination_wsdr(pair, truth, mixed).item<double>() / 4;
  }
  CHECK(singles == near(golden.at("time_wsdr_4only")));
}

TEST_CASE("training steps give the golden losses, gradients and parameters", "[openunmix]") {
  const nn::ThreadScope threads(1);
  const core::Value& golden = openunmix_golden().at("training");
  const umx::Configuration c = small_configuration({"vocals"});
  // In float32 the rounding of gradients that are zero in theory (input_mean's: normalisation cancels it) would reach
  // the parameters, because Adam divides by their size.
  TorchModel network(golden_weights(c), at::kDouble);
  std::vector<at::Tensor> trained;
  for (const auto& [name, tensor] : network.weights().parameters()) trained.push_back(tensor);

  std::vector<at::Tensor> mixtures, wanted;
  for (const std::string item : {"0", "1"}) {
    wanted.push_back(scaled_signal("train/y" + item, 4096, 0.5));
    const at::Tensor sum = scaled_signal("train/x" + item, 4096, 1.0) + wanted.back();
    mixtures.push_back(sum.to(at::kFloat).to(at::kDouble));  // the golden mixtures are rounded too
  }
  const at::Tensor x = at::stack(mixtures), y = at::stack(wanted);
  // Open-Unmix trains on a transform without padding, unlike that of its separator.
  const audio::StftSpec spec = small_stft(audio::Framing::none);
  const at::Tensor input = nn::stft(x, spec).abs(), reference = nn::stft(y, spec).abs();
  const auto loss_of = [&] { return nn::mean_squared_error(network(input).squeeze(1), reference); };
  // Without dropout, as in the golden run: the one random part of training.
  network.weights().train(true);
  network.weights().dropout(false);

  torch::optim::Adam optimiser(trained, torch::optim::AdamOptions(1e-3).weight_decay(1e-5));
  const std::size_t steps = golden.at("losses").as_array().size() - 1;
  REQUIRE(steps == 5);
  for (std::size_t step = 0; step <= steps; ++step) {
    CAPTURE(step);
    const at::Tensor loss = loss_of();
    CHECK(loss.item<double>() == near(golden.at("losses").as_array()[step]));
    if (step == steps) break;  // the last loss shows what the last step reached
    optimiser.zero_grad();
    loss.backward();
    if (step == 0) {
      const core::Value& norms = golden.at("grad_l2_step0");
      REQUIRE(norms.as_object().size() == trained.size());
      for (const auto& [name, tensor] : network.weights().parameters()) {
        CAPTURE(name);
        // The margin is for input_mean: its golden norm, 5e-17, is rounding.
        CHECK(tensor.grad().norm().item<double>() == near(norms.at(own(name))).margin(1e-14));
      }
    }
    optimiser.step();
  }

  const core::Value& sums = golden.at("param_sum_after");
  REQUIRE(sums.as_object().size() == trained.size());
  for (const auto& [name, tensor] : network.weights().parameters()) {
    CAPTURE(name);
    CHECK(tensor.sum().item<double>() == near(sums.at(own(name))));
  }
  for (std::int64_t i = 0; i < 4; ++i) {
    const auto at = static_cast<std::size_t>(i);
    CHECK(network.weights().find("vocals.bn1.running_mean")[i].item<double>() ==
          near(golden.at("bn1_running_mean_first4").as_array()[at]));
    CHECK(network.weights().find("vocals.bn1.running_var")[i].item<double>() ==
          near(golden.at("bn1_running_var_first4").as_array()[at]));
  }

  network.weights().train(false);
  const torch::NoGradGuard no_grad;
  CHECK(loss_of().item<double>() == near(golden.at("eval_loss_after")));
}
