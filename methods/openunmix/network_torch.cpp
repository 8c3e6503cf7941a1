#include "methods/openunmix/network_torch.h"

#include <torch/nn/functional.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <utility>

#include "audio/stft.h"
#include "core/error.h"
#include "methods/openunmix/entries.h"
#include "nn/torch/runtime_torch.h"
#include "nn/torch/weights_torch.h"

namespace mss::methods::openunmix {
namespace {

using torch::nn::BatchNorm1d;
using torch::nn::Linear;
using torch::nn::LinearOptions;

Linear without_bias(std::int64_t inputs, std::int64_t outputs) {
  return Linear(LinearOptions(inputs, outputs).bias(false));
}

/// BatchNorm1d over the last axis of (T, N, features).
at::Tensor normalised(BatchNorm1d& layer, const at::Tensor& x) {
  return layer->forward(x.reshape({-1, x.size(2)})).reshape(x.sizes());
}

}  // namespace

OpenUnmixImpl::OpenUnmixImpl(const Configuration& configuration) : configuration_(configuration) {
  const Configuration& c = configuration_;
  const std::int64_t hidden = c.hidden, in = std::int64_t{c.channels} * c.max_bin;
  const std::int64_t out = std::int64_t{c.channels} * c.bins;
  const bool cross = c.architecture == Architecture::crossskip;
  const std::int64_t seen = cross ? static_cast<std::int64_t>(c.targets.size()) + 1 : 2;
  input_mean_ = register_parameter("input_mean", torch::zeros({c.max_bin}));
  input_scale_ = register_parameter("input_scale", torch::ones({c.max_bin}));
  output_scale_ = register_parameter("output_scale", torch::ones({c.bins}));
  output_mean_ = register_parameter("output_mean", torch::ones({c.bins}));
  fc1_ = register_module("fc1", without_bias(in, hidden));
  bn1_ = register_module("bn1", BatchNorm1d(hidden));
  lstm_ = register_module("lstm", nn::Lstm(nn::ModuleLstmOptions{.input = hidden,
                                                           .hidden = hidden / c.directions(),
                                                           .layers = c.layers,
                                                           .bidirectional = !c.unidirectional,
                                                           .dropout = c.layers > 1 ? 0.4 : 0.0}));
  fc2_ = register_module(cross ? "fc2x" : "fc2", without_bias(seen * hidden, hidden));
  bn2_ = register_module("bn2", BatchNorm1d(hidden));
  fc3_ = register_module("fc3", without_bias(hidden, out));
  bn3_ = register_module("bn3", BatchNorm1d(out));
}

at::Tensor OpenUnmixImpl::encode(const at::Tensor& magnitudes) {
  const at::Tensor x = magnitudes.permute({3, 0, 1, 2}).slice(3, 0, configuration_.max_bin);
  const at::Tensor scaled = (x + input_mean_) * input_scale_;
  return at::tanh(normalised(bn1_, fc1_->forward(scaled.reshape({x.size(0), x.size(1), -1}))));
}

at::Tensor OpenUnmixImpl::recur(const at::Tensor& e) { return lstm_->forward(e); }

at::Tensor OpenUnmixImpl::decode(const at::Tensor& features) {
  const at::Tensor hidden = at::relu(normalised(bn2_, fc2_->forward(features)));
  const at::Tensor flat = normalised(bn3_, fc3_->forward(hidden));
  const at::Tensor x = flat.reshape({flat.size(0), flat.size(1), configuration_.channels, configuration_.bins});
  return at::relu(x * output_scale_ + output_mean_).permute({1, 2, 3, 0});
}

at::Tensor OpenUnmixImpl::forward(const at::Tensor& magnitudes) {
  const at::Tensor e = encode(magnitudes);
  return decode(at::cat({e, recur(e)}, 2)) * magnitudes;
}

OpenUnmixFamilyImpl::OpenUnmixFamilyImpl(const Configuration& configuration) : configuration_(configuration) {
  for (const std::string& target : configuration.targets) {
    targets_.push_back(register_module(target, OpenUnmix(configuration)));
  }
}

at::Tensor OpenUnmixFamilyImpl::forward(const at::Tensor& magnitudes) {
  std::vector<at::Tensor> estimates;
  if (configuration_.architecture == Architecture::openunmix) {
    for (OpenUnmix& target : targets_) estimates.push_back(target->forward(magnitudes));
    return at::stack(estimates, 1);
  }
  std::vector<at::Tensor> encoded;
  for (OpenUnmix& target : targets_) encoded.push_back(target->encode(magnitudes));
  const auto mean = [](const std::vector<at::Tensor>& terms) {
    at::Tensor sum = terms[0];
    for (std::size_t i = 1; i < terms.size(); ++i) sum = sum + terms[i];
    return sum / static_cast<double>(terms.size());
  };
  if (configuration_.architecture == Architecture::xumx) {
    const at::Tensor bridge = mean(encoded);
    std::vector<at::Tensor> recurrent;
    for (OpenUnmix& target : targets_) recurrent.push_back(target->recur(bridge));
    const at::Tensor features = at::cat({bridge, mean(recurrent)}, 2);
    for (OpenUnmix& target : targets_) estimates.push_back(target->decode(features) * magnitudes);
    return at::stack(estimates, 1);
  }
  for (std::size_t t = 0; t < targets_.size(); ++t) {
    std::vector<at::Tensor> seen = {encoded[t], targets_[t]->recur(encoded[t])};
    for (std::size_t other = 0; other < targets_.size(); ++other) {
      if (other != t) seen.push_back(encoded[other]);
    }
    estimates.push_back(targets_[t]->decode(at::cat(seen, 2)) * magnitudes);
  }
  return at::stack(estimates, 1);
}

void OpenUnmixFamilyImpl::load(const Weights& weights) {
  check_shapes(weights, weights.label);
  std::vector<nn::NamedArray> arrays;
  for (const std::string& target : configuration_.targets) {
    for (const auto& [name, array] : weights.targets.at(target)) {
      arrays.push_back({target + "." + name, array.shape, array.values});
    }
  }
  nn::load_weights(*this, arrays, weights.label);
}

namespace {

using Complex = std::complex<float>;

class TorchSeparator final : public Separator {
 public:
  TorchSeparator(const Weights& weights, std::vector<std::int64_t> wanted, SeparatorInfo info)
      : Separator(std::move(info)),
        network_(weights.configuration),
        wanted_(std::move(wanted)),
        device_(nn::resolve_device(nn::device_from_environment())) {
    nn::use_deterministic_algorithms();
    network_->load(weights);
    network_->eval();
    network_->to(device_);
  }

 private:
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    const audio::AudioBuffer audio = audio::read_all(mixture);
    const Configuration& c = network_->configuration();
    audio::StftSpec spec;
    spec.fft_size = c.fft_size;
    spec.hop_samples = c.hop_samples;
    const audio::Stft<float> stft(spec);
    const audio::Spectrogram<float> x = stft.forward(audio.view(), context.threads);
    sink.begin({.targets = context.targets,
                .channels = audio.channels(),
                .rate_hz = audio.rate_hz(),
                .samples = audio.samples()});
    context.stop.check();
    std::vector<std::vector<float>> estimates;
    nn::with_torch_errors(info_.spec, [&] { estimates = magnitudes_of(x, context.threads); });
    context.stop.check();
    if (sink.wants_magnitudes()) {
      sink.begin_magnitudes(spec);
      sink.write_magnitudes({.first_frame = 0, .mixture = &x, .magnitudes = std::move(estimates)});
      return;
    }
    std::vector<audio::AudioBuffer> stems;
    for (const std::vector<float>& estimate : estimates) {
      audio::Spectrogram<float> y = x;
      for (std::size_t k = 0; k < estimate.size(); ++k) {
        Complex& z = y.data()[k];
        const float size = std::sqrt(z.real() * z.real() + z.imag() * z.imag());
        z *= size > 0.0F ? estimate[k] / size : 0.0F;
      }
      stems.push_back(stft.inverse(y, audio.samples(), audio.rate_hz(), context.threads));
    }
    StemBlock block{.begin = 0, .stems = {}};
    for (const audio::AudioBuffer& stem : stems) block.stems.push_back(stem);
    sink.write(block);
  }

  /// [stem][(c * N + n) * F + k], as MagnitudeBlock has it.
  std::vector<std::vector<float>> magnitudes_of(const audio::Spectrogram<float>& x, int threads) const {
    const nn::InferenceScope scope(threads);
    const std::int64_t channels = x.channels(), frames = x.frames(), bins = x.bins();
    at::Tensor sizes = torch::empty({channels, frames, bins});
    float* to = sizes.data_ptr<float>();
    for (const Complex z : x.data()) *to++ = std::sqrt(z.real() * z.real() + z.imag() * z.imag());
    at::Tensor input = sizes.transpose(1, 2).unsqueeze(0);  // (1, C, F, T)
    const std::int64_t own = network_->configuration().channels;
    if (own == 1) input = input.mean(1, /*keepdim=*/true);
    OpenUnmixFamily network = network_;
    const at::Tensor found = network->forward(input.to(device_)).to(at::kCPU).squeeze(0).transpose(2, 3);
    std::vector<std::vector<float>> out;
    for (const std::int64_t t : wanted_) {
      const at::Tensor one = found[t].expand({own == 1 ? channels : own, frames, bins}).contiguous();
      out.emplace_back(one.data_ptr<float>(), one.data_ptr<float>() + one.numel());
    }
    return out;
  }

  OpenUnmixFamily network_;
  std::vector<std::int64_t> wanted_;
  at::Device device_;
};

}  // namespace

std::unique_ptr<Separator> make_torch_separator(const core::Params& params, const core::SpecPart& spec) {
  Request request;
  const Weights weights = resolve_weights(params, spec, request);
  const Configuration& c = weights.configuration;
  SeparatorInfo& info = request.info;
  info.targets = request.targets.empty() ? c.targets : request.targets;
  std::vector<std::int64_t> wanted;
  for (const std::string& name : info.targets) {
    const auto at = std::find(c.targets.begin(), c.targets.end(), name);
    if (at == c.targets.end()) {
      throw Error({Code::config, info.spec, "the network has no such target", "", "'" + name + "'", ""});
    }
    wanted.push_back(at - c.targets.begin());
  }
  info.rate_hz = c.rate_hz;
  info.channels = c.channels == 1 ? 0 : c.channels;
  info.offers_magnitudes = true;
  info.streams = false;
  info.weights_label = weights.name();
  info.weights_sha256 = weights.content_hash;
  std::unique_ptr<Separator> made;
  const std::string where = info.spec;
  nn::with_torch_errors(
      where, [&] { made = std::make_unique<TorchSeparator>(weights, std::move(wanted), std::move(request.info)); });
  return made;
}

void add_networks(NetworkTable& table) {
  for (const char* name : {"umx", "xumx", "umx-crossskip"}) table.methods.emplace_back(name, make_torch_separator);
}

}  // namespace mss::methods::openunmix
