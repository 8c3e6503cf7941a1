// tests/golden/bsrnn.json on LibTorch: in float64 forward, loss, gradients and ten steps of the optimiser; float32 too.
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim.h>

#include <algorithm>

#include "core/spec.h"
#include "methods/bsrnn/entries.h"
#include "methods/bsrnn/model.h"
#include "nn/cpu.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/stft_torch.h"
#include "tests/bsrnn/support.h"
#include "tests/nn/torch/support_torch.h"

namespace mss::tests {
namespace {

using methods::bsrnn::BandSplitRnn;
using methods::bsrnn::Configuration;
using Model = BandSplitRnn<nn::Torch>;

Forward::Array read_torch(const at::Tensor& x) {
  const at::Tensor flat = x.detach().to(at::kDouble).contiguous();
  const double* values = flat.data_ptr<double>();
  return {flat.size(0), flat.size(1), flat.size(2), {values, values + flat.numel()}};
}

at::Tensor signal(bool target, at::ScalarType type) {
  std::vector<double> flat;
  for (const auto& x : golden_signal(target)) flat.insert(flat.end(), x.begin(), x.end());
  return torch::tensor(flat, at::kDouble).reshape({2, 256}).to(type);
}

/// (B, F, T) complex -> (B, T, 2 F).
at::Tensor as_items(const at::Tensor& spectrum) {
  const at::Tensor x = spectrum.transpose(1, 2);
  return at::cat({at::real(x), at::imag(x)}, 2);
}
at::Tensor as_complex(const at::Tensor& items) {
  const std::int64_t bins = items.size(2) / 2;
  return at::complex(items.narrow(2, 0, bins).contiguous(), items.narrow(2, bins, bins).contiguous()).transpose(1, 2);
}

/// Weights to the last bit of a double.
void set_golden(const nn::TorchWeights& weights, const std::string& profile) {
  const torch::NoGradGuard no_grad;
  for (const auto& [name, values] : golden_weights(profile)) {
    const at::Tensor to = weights.find(name);
    to.copy_(torch::tensor(values, at::kDouble).reshape(to.sizes()));
  }
}

struct Loss {
  at::Tensor real, imaginary, time, total, estimate, reference;
};

/// The loss of section 1.6 of the paper's readings: means of absolute differences, three terms.
Loss loss_of(const Model& model, at::ScalarType type) {
  const audio::StftSpec spec = golden_stft();
  const at::Tensor x = nn::stft(signal(false, type), spec), y = nn::stft(signal(true, type), spec);
  const at::Tensor estimate = as_complex(model.forward(as_items(x)).at(0));
  Loss out;
  out.real = (at::real(estimate) - at::real(y)).abs().mean();
  out.imaginary = (at::imag(estimate) - at::imag(y)).abs().mean();
  out.estimate = nn::istft(estimate, spec, 256);
  out.reference = nn::istft(y, spec, 256);
  out.time = (out.estimate - out.reference).abs().mean();
  out.total = out.real + out.imaginary + out.time;
  return out;
}

double usdr_db(const Loss& loss) {
  const at::Tensor target = signal(true, loss.estimate.scalar_type());
  return (10 * at::log10(target.pow(2).sum() / (target - loss.estimate).pow(2).sum())).item<double>();
}

double relative(double found, double expected) { return std::abs(found - expected) / std::abs(expected); }

}  // namespace

TEST_CASE("the golden networks in float64 on LibTorch: forward, loss, gradient, ten steps", "[bsrnn]") {
  for (const std::string& profile : kGoldenProfiles) {
    INFO(profile);
    const core::Value& g = golden_bsrnn().at(profile);
    nn::RandomSource source(1);
    nn::TorchWeights weights(source, at::TensorOptions().dtype(at::kDouble));
    const Model model(nn::Torch::Scope(weights), golden_configuration(profile));
    set_golden(weights, profile);
    std::int64_t numbers = 0;
    for (const auto& [name, tensor] : weights.parameters()) numbers += tensor.numel();
    CHECK(numbers == g.at("params").as_integer());

    const at::Tensor x = as_items(nn::stft(signal(false, at::kDouble), golden_stft()));
    CHECK(forward_difference(run_forward<nn::Torch>(model, x, read_torch), profile) < 1e-12);

    std::vector<at::Tensor> parameters;
    for (const auto& [name, tensor] : weights.parameters()) parameters.push_back(tensor);
    const auto gradient_norm = [&] {
      double squares = 0;
      for (const at::Tensor& p : parameters) squares += p.grad().pow(2).sum().item<double>();
      return std::sqrt(squares);
    };
    Loss loss = loss_of(model, at::kDouble);
    CHECK(relative(loss.real.item<double>(), g.at("loss").at("real").as_real()) < 1e-12);
    CHECK(relative(loss.imaginary.item<double>(), g.at("loss").at("imag").as_real()) < 1e-12);
    CHECK(relative(loss.time.item<double>(), g.at("loss").at("time").as_real()) < 1e-12);
    CHECK(relative(loss.total.item<double>(), g.at("loss").at("total").as_real()) < 1e-12);
    CHECK(std::abs(usdr_db(loss) - g.at("usdr_db").as_real()) < 1e-9);
    loss.total.backward();
    CHECK(relative(gradient_norm(), g.at("grad_norm").as_real()) < 1e-11);
    const at::Tensor first = weights.find("split.0.fc.weight").grad().contiguous();
    const std::vector<double> first_values(first.data_ptr<double>(), first.data_ptr<double>() + first.numel());
    CHECK(summary_difference(first_values, g.at("grad_first_fc").at("bf.0.weight")) < 1e-10);

    const core::Value& steps = g.at("train10");
    torch::optim::Adam adam(parameters, torch::optim::AdamOptions(1e-3).betas({0.9, 0.999}).eps(1e-8));
    for (std::size_t step = 0; step < 10; ++step) {
      const double rate = 1e-3 * std::pow(0.98, static_cast<double>(step / 2));
      CHECK(rate == Approx(steps.at("lr").as_array()[step].as_real()).epsilon(1e-12));
      static_cast<torch::optim::AdamOptions&>(adam.param_groups()[0].options()).lr(rate);
      adam.zero_grad();
      loss = loss_of(model, at::kDouble);
      CHECK(relative(loss.total.item<double>(), steps.at("loss_before_each_step").as_array()[step].as_real()) < 1e-9);
      loss.total.backward();
      CHECK(relative(gradient_norm(), steps.at("grad_norm_before_clip").as_array()[step].as_real()) < 1e-7);
      torch::nn::utils::clip_grad_norm_(parameters, 5.0);
      adam.step();
    }
    loss = loss_of(model, at::kDouble);
    CHECK(relative(loss.total.item<double>(), steps.at("loss_after").as_real()) < 1e-9);
    CHECK(std::abs(usdr_db(loss) - steps.at("usdr_after_db").as_real()) < 1e-7);
  }
}

TEST_CASE("the golden networks in float32 on LibTorch", "[bsrnn]") {
  for (const std::string& profile : kGoldenProfiles) {
    INFO(profile);
    BandSplitSource source(profile);
    nn::TorchWeights weights(source);
    const Model model(nn::Torch::Scope(weights), golden_configuration(profile));
    const at::Tensor x = as_items(nn::stft(signal(false, at::kFloat), golden_stft()));
    CHECK(forward_difference(run_forward<nn::Torch>(model, x, read_torch), profile) < 1e-4);
    CHECK(relative(loss_of(model, at::kFloat).total.item<double>(),
                   golden_bsrnn().at(profile).at("loss").at("total").as_real()) < 1e-5);
  }
}

TEST_CASE("both layer sets agree on every option of the network", "[bsrnn]") {
  std::vector<Configuration> all;
  const auto small = [&](std::string_view profile, std::vector<std::string> targets) -> Configuration& {
    Configuration c = methods::bsrnn::profile_configuration(profile, targets, "small");
    c.fft_size = 128;
    c.hop_samples = 32;
    c.scheme = "custom";
    c.widths = {3, 7, 20, 35};
    c.features = 12;
    if (c.block_groups > 1) c.block_groups = 12;
    c.pairs = 2;
    c.lstm_hidden = 10;
    c.mask_hidden = 17;
    if (c.norm_frames > 0) c.norm_frames = 21;
    all.push_back(c);
    return all.back();
  };
  small("paper", {"vocals"});
  small("authors", {"vocals", "bass", "drums", "other"}).projection = true;
  small("amanteur", {"vocals"});
  Configuration& simo = small("magron", {"vocals", "bass", "drums", "other"});
  simo.subtract_last = true;
  simo.tac_hidden = 36;
  simo.tac_prelu = true;
  simo.attention_heads = 2;
  simo.attention_width = 5;
  small("magron", {"vocals"}).tac_hidden = 20;
  small("magron", {"bass"}).joint = true;
  for (const Configuration& c : all) {
    INFO(c.profile);
    check(c);
    nn::RandomSource source(3), again(3);
    nn::TorchWeights weights(source);
    const Model model(nn::Torch::Scope(weights), c);
    const BandSplitRnn<nn::Cpu> ours(nn::Scope(again), c);
    const at::Tensor x = keyed("spectrum", {4, 21, c.spectrum_channels()});
    const nn::Tensor given = nn::Tensor::from(x.data_ptr<float>(), 4, 21, c.spectrum_channels());
    const auto expected = model.forward(x);
    const auto found = ours.forward(given);
    REQUIRE(found.size() == c.targets.size());
    REQUIRE(expected.size() == found.size());
    for (std::size_t s = 0; s < found.size(); ++s) {
      std::vector<float> values = found[s].values();
      const at::Tensor y = at::from_blob(values.data(), {4, 21, c.spectrum_channels()}, at::kFloat);
      CHECK(largest_difference(expected[s].detach(), y) < 2e-6);
      CHECK(y.abs().max().item<double>() > 1e-3);
    }
    // Chunks do not see each other.
    const auto alone = ours.forward(given.narrow(0, 2, 2));
    for (std::size_t s = 0; s < found.size(); ++s) CHECK(alone[s].values() == found[s].narrow(0, 2, 2).values());
  }
}

TEST_CASE("engine=libtorch separates as our kernels do", "[bsrnn]") {
  methods::Registry registry;
  methods::bsrnn::add_methods(registry);
  methods::NetworkTable table;
  methods::bsrnn::add_networks(table);
  REQUIRE(table.methods.size() == 1);
  const core::Spec spec = core::parse_spec("bsrnn:model=tiny,random=4,chunk=0.5,hop=0.25");
  const core::Params params = core::Params::resolve(registry.methods().front().params, spec.method.arguments, "bsrnn");
  const auto torch = table.methods.front().second(params, spec.method, {});
  const auto ours = registry.make(spec);
  audio::AudioBuffer x(2, 50'000, 44100);
  KeyedUniform u("track");
  for (int c = 0; c < 2; ++c) {
    for (float& v : x.channel(c)) v = static_cast<float>(u() - 0.5);
  }
  methods::Options options;
  options.threads = 2;
  const methods::StemSet expected = torch->separate(x.view(), options), found = ours->separate(x.view(), options);
  REQUIRE(found.names == expected.names);
  float worst = 0;
  for (std::size_t s = 0; s < found.names.size(); ++s) {
    for (int c = 0; c < 2; ++c) {
      for (std::size_t t = 0; t < 50'000; ++t)
        worst = std::max(worst, std::abs(found.audio[s].channel(c)[t] - expected.audio[s].channel(c)[t]));
    }
  }
  CHECK(worst < 1e-5F);
}

}  // namespace mss::tests
