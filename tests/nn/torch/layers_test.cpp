// STFT and recurrent layers against plain arrays, formulas and finite differences.
#include <cmath>
#include <complex>

#include "core/error.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/runtime_torch.h"
#include "nn/torch/stft_torch.h"
#include "tests/nn/torch/support_torch.h"

namespace mss::nn {
namespace {

using tests::keyed;
using tests::largest_difference;

/// audio::Stft of every row of (R, T), as (R, F, N).
at::Tensor reference_stft(const at::Tensor& x, const audio::StftSpec& spec) {
  const audio::Stft<float> stft(spec);
  const std::int64_t frames = stft.frames(x.size(1));
  at::Tensor out = torch::zeros({x.size(0), frames, spec.bins()}, at::kComplexFloat);
  for (std::int64_t r = 0; r < x.size(0); ++r) {
    const at::Tensor row = x[r].contiguous();
    stft.forward({row.data_ptr<float>(), static_cast<std::size_t>(x.size(1))},
                 reinterpret_cast<std::complex<float>*>(out[r].data_ptr<c10::complex<float>>()));
  }
  return out.transpose(1, 2);
}

std::vector<audio::StftSpec> specs() {
  std::vector<audio::StftSpec> out;
  for (const audio::Framing framing :
       {audio::Framing::none, audio::Framing::centered_reflect, audio::Framing::centered_zero}) {
    for (const audio::WindowKind window : {audio::WindowKind::hann, audio::WindowKind::sqrt_hann}) {
      for (const auto scaling : {audio::Scaling::none, audio::Scaling::window_sum}) {
        audio::StftSpec spec;
        spec.fft_size = 64;
        spec.hop_samples = 16;
        spec.window_samples = window == audio::WindowKind::hann ? 0 : 48;
        spec.window = window;
        spec.framing = framing;
        spec.scaling = scaling;
        out.push_back(spec);
      }
    }
  }
  return out;
}

/// One LSTM direction by its definition, in double.
std::vector<double> lstm_by_hand(const at::Tensor& x, const at::Tensor& w_ih, const at::Tensor& w_hh,
                                 const at::Tensor& b_ih, const at::Tensor& b_hh, bool reverse) {
  const std::int64_t frames = x.size(0), inputs = x.size(1), hidden = w_hh.size(1);
  const auto sigmoid = [](double v) { return 1.0 / (1.0 + std::exp(-v)); };
  std::vector<double> h(static_cast<std::size_t>(hidden)), c(h), out(static_cast<std::size_t>(frames * hidden));
  for (std::int64_t step = 0; step < frames; ++step) {
    const std::int64_t t = reverse ? frames - 1 - step : step;
    std::vector<double> gates(static_cast<std::size_t>(4 * hidden));
    for (std::int64_t g = 0; g < 4 * hidden; ++g) {
      double sum = b_ih[g].item<double>() + b_hh[g].item<double>();
      for (std::int64_t i = 0; i < inputs; ++i) sum += w_ih[g][i].item<double>() * x[t][i].item<double>();
      for (std::int64_t i = 0; i < hidden; ++i) sum += w_hh[g][i].item<double>() * h[static_cast<std::size_t>(i)];
      gates[static_cast<std::size_t>(g)] = sum;
    }
    for (std::int64_t i = 0; i < hidden; ++i) {
      const auto at = [&](std::int64_t gate) { return gates[static_cast<std::size_t>(gate * hidden + i)]; };
      auto& cell = c[static_cast<std::size_t>(i)];
      cell = sigmoid(at(1)) * cell + sigmoid(at(0)) * std::tanh(at(2));
      h[static_cast<std::size_t>(i)] = sigmoid(at(3)) * std::tanh(cell);
      out[static_cast<std::size_t>(t * hidden + i)] = h[static_cast<std::size_t>(i)];
    }
  }
  return out;
}

/// Uniform in +-size.
class Uniform final : public Source {
 public:
  explicit Uniform(double size) : size_(size) {}
  void fill(const std::string& name, const Parameter& parameter, std::span<float> values) override {
    Parameter changed = parameter;
    changed.init = {Init::Kind::uniform, size_};
    draw(5, name, changed, values);
  }

 private:
  double size_;
};

}  // namespace

TEST_CASE("the STFT equals the plain one for every framing, window and scaling", "[nn_torch]") {
  for (const std::int64_t samples : {1, 20, 33, 64, 65, 500, 512}) {
    const at::Tensor x = keyed("stft", {2, samples});
    for (const audio::StftSpec& spec : specs()) {
      CAPTURE(samples, static_cast<int>(spec.framing), static_cast<int>(spec.window), static_cast<int>(spec.scaling));
      const at::Tensor expected = reference_stft(x, spec);
      const at::Tensor found = stft(x, spec);
      CHECK(stft_frames(spec, samples) == expected.size(2));
      // Magnitudes reach 20; two FFT libraries in float32 differ by a few units in the last place of that.
      CHECK(largest_difference(found, expected) < 1e-5);
      CHECK(largest_difference(found, expected) <=
            1e-6 * std::max(1.0, expected.numel() > 0 ? expected.abs().max().item<double>() : 1.0));
    }
  }
}

TEST_CASE("the inverse STFT gives back what went in, with gradients", "[nn_torch]") {
  for (audio::StftSpec spec : specs()) {
    if (spec.framing == audio::Framing::none) continue;
    CAPTURE(static_cast<int>(spec.framing), static_cast<int>(spec.window), static_cast<int>(spec.scaling));
    const at::Tensor x = keyed("istft", {2, 3, 203}, -1, 1, at::kDouble);
    const at::Tensor spectrum = stft(x, spec);
    CHECK(spectrum.sizes() == at::IntArrayRef({2, 3, 33, 1 + 203 / 16}));
    CHECK(largest_difference(istft(spectrum, spec, 203), x) < 1e-12);
  }
  // The inverse of a modified spectrum equals the plain one, edges included.
  audio::StftSpec spec = specs().front();
  const at::Tensor x = keyed("istft", {1, 200}, -1, 1, at::kDouble);
  const at::Tensor spectrum = stft(x, spec) * keyed("mask", {1, 33, stft_frames(spec, 200)}, 0, 2, at::kDouble);
  const at::Tensor frames = spectrum[0].transpose(0, 1).contiguous();
  std::vector<double> expected(200);
  audio::Stft<double>(spec).inverse(
      reinterpret_cast<const std::complex<double>*>(frames.data_ptr<c10::complex<double>>()), frames.size(0), expected);
  // In double, because the window's edges amplify rounding errors.
  CHECK(largest_difference(istft(spectrum, spec, 200)[0], torch::from_blob(expected.data(), {200}, at::kDouble)) <
        1e-9);

  at::Tensor y = keyed("gradient", {90}, -1, 1, at::kDouble).requires_grad_();
  spec.framing = audio::Framing::centered_reflect;
  const auto loss = [&spec](const at::Tensor& v) { return istft(stft(v, spec).pow(2), spec, 90).pow(2).sum(); };
  loss(y).backward();
  const torch::NoGradGuard no_grad;
  for (const std::int64_t i : {0, 1, 44, 89}) {
    at::Tensor step = torch::zeros_like(y);
    step[i] = 1e-6;
    const double slope = (loss(y + step) - loss(y - step)).item<double>() / 2e-6;
    CHECK(y.grad()[i].item<double>() == Approx(slope).epsilon(1e-5));
  }
}

TEST_CASE("hops that do not divide the size; windows of an inference serve training", "[nn_torch]") {
  audio::StftSpec spec;
  spec.fft_size = 64;
  spec.hop_samples = 24;
  {
    const InferenceScope scope(1);
    for (const std::int64_t samples : {1, 2, 3, 31, 32, 33, 100, 203}) {
      CAPTURE(samples);
      const at::Tensor x = keyed("hop", {2, samples});
      CHECK(largest_difference(stft(x, spec), reference_stft(x, spec)) < 1e-5);
    }
  }
  const at::Tensor x = keyed("hop", {2, 203}).requires_grad_();
  const at::Tensor back = istft(stft(x, spec), spec, 203);
  CHECK(largest_difference(back.detach(), x.detach()) < 1e-6);
  back.square().sum().backward();
  // The chain is the identity, so that the gradient is 2 x.
  CHECK(largest_difference(x.grad(), 2 * x.detach()) < 1e-5);
}

TEST_CASE("the STFT refuses what it cannot do", "[nn_torch]") {
  audio::StftSpec spec;
  spec.fft_size = 64;
  spec.hop_samples = 16;
  CHECK_THROWS_AS(stft(torch::zeros({4}, at::kLong), spec), Error);
  CHECK_THROWS_AS(istft(torch::zeros({33, 4}, at::kComplexFloat), spec, 1000), Error);
  spec.framing = audio::Framing::scipy;
  CHECK_THROWS_AS(stft(torch::zeros({100}), spec), Error);
  spec.framing = audio::Framing::none;
  spec.hop_samples = 0;
  CHECK_THROWS_AS(stft(torch::zeros({100}), spec), Error);
}

TEST_CASE("the LSTM follows its definition, and PyTorch's names", "[nn_torch]") {
  Uniform source(1.5);
  TorchWeights weights(source);
  const Torch::Lstm lstm(Torch::Scope(weights), {.inputs = 3, .hidden = 2});
  std::vector<std::string> names;
  for (const auto& [name, tensor] : weights.parameters()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0",
                                          "weight_ih_l0_reverse", "weight_hh_l0_reverse", "bias_ih_l0_reverse",
                                          "bias_hh_l0_reverse"});
  const at::Tensor x = keyed("x", {1, 7, 3}, -2, 2);
  const torch::NoGradGuard no_grad;
  const at::Tensor y = lstm(x);
  REQUIRE(y.sizes() == at::IntArrayRef({1, 7, 4}));
  const auto p = [&](std::size_t i) { return weights.parameters()[i].second; };
  for (const bool reverse : {false, true}) {
    const std::size_t o = reverse ? 4 : 0;
    const std::vector<double> expected = lstm_by_hand(x.squeeze(0), p(o), p(o + 1), p(o + 2), p(o + 3), reverse);
    const at::Tensor half = y.squeeze(0).slice(1, reverse ? 2 : 0, reverse ? 4 : 2).to(at::kDouble).contiguous();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(half.data_ptr<double>()[i] == Approx(expected[i]).margin(1e-6));
    }
  }
}

TEST_CASE("the LSTM's step interface gives the result of the whole", "[nn_torch]") {
  const ThreadScope threads(1);
  const torch::NoGradGuard no_grad;
  for (const bool bidirectional : {false, true}) {
    Uniform source(0.6);
    TorchWeights weights(source);
    const LstmOptions options{.inputs = 5, .hidden = 6, .layers = 3, .bidirectional = bidirectional, .dropout = 0.4};
    const Torch::Lstm lstm(Torch::Scope(weights), options);
    const at::Tensor x = keyed("x", {2, 101, 5});
    const at::Tensor whole = lstm(x);
    for (const std::int64_t block : {1, 7, 100, 101, 1000}) {
      CAPTURE(bidirectional, block);
      at::Tensor in = x;
      for (std::int64_t layer = 0; layer < options.layers; ++layer) {
        const at::Tensor out = torch::zeros({2, 101, options.outputs()});
        for (std::int64_t d = 0; d < options.directions(); ++d) {
          Torch::Lstm::State state = lstm.start(2);
          for (std::int64_t done = 0; done < 101; done += block) {
            const std::int64_t count = std::min<std::int64_t>(block, 101 - done);
            const std::int64_t first = d == 0 ? done : 101 - done - count;
            lstm.recur(layer, d, lstm.project(layer, d, in.narrow(1, first, count)), state,
                       out.narrow(1, first, count).narrow(2, d * 6, 6));
          }
        }
        in = out;
      }
      CHECK(largest_difference(in, whole) < 2e-6);
    }
    // In training there is dropout between layers, unless it is switched off.
    weights.train(true);
    CHECK(largest_difference(lstm(x), whole) > 1e-3);
    weights.dropout(false);
    CHECK(largest_difference(lstm(x), whole) < 2e-6);
  }
}

}  // namespace mss::nn
