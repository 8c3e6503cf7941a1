// engine=libtorch: the same network on LibTorch's layers, in the loadable module; and what training sees of it.
#include <algorithm>
#include <iterator>
#include <map>

#include "core/error.h"
#include "methods/bsrnn/entries.h"
#include "methods/bsrnn/family.h"
#include "methods/bsrnn/model.h"
#include "methods/bsrnn/separator.h"
#include "nn/device.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/runtime_torch.h"
#include "nn/torch/stft_torch.h"
#include "nn/torch/trainable_torch.h"

namespace mss::methods::bsrnn {
namespace {

class TorchNetwork final : public Network {
 public:
  TorchNetwork(const Configuration& configuration, nn::Source& source)
      : device_(nn::resolve_device(nn::device_from_environment())),
        weights_(source, at::TensorOptions().dtype(at::kFloat).device(device_)),
        model_(nn::Torch::Scope(weights_), configuration) {}

  std::vector<nn::Tensor> forward(const nn::Tensor& spectrum) const override {
    std::vector<nn::Tensor> out;
    nn::with_torch_errors("bsrnn", [&] {
      const nn::InferenceScope scope(nn::RunScope::threads(), nn::RunScope::stop());
      const nn::Tensor packed = spectrum.packed();
      const at::Tensor x = at::from_blob(const_cast<float*>(packed.data()),
                                         {packed.items(), packed.frames(), packed.channels()}, at::kFloat);
      for (const at::Tensor& target : model_.forward(x.to(device_))) {
        const at::Tensor y = target.to(at::kCPU).contiguous();
        out.push_back(nn::Tensor::from(y.data_ptr<float>(), y.size(0), y.size(1), y.size(2)));
      }
    });
    return out;
  }

 private:
  at::Device device_;
  nn::TorchWeights weights_;
  BandSplitRnn<nn::Torch> model_;
};

/// Complex spectra in and out; the networks of a set side by side.
class TrainableNetworks final : public nn::Trainable {
 public:
  TrainableNetworks(const core::Value& configuration, nn::Source& source, at::TensorOptions options)
      : weights_(source, options) {
    std::map<std::string, std::pair<std::size_t, std::size_t>> places;
    for (const auto& [part, c] : networks_of(configuration)) {
      const audio::StftSpec spec{
          .fft_size = c.fft_size, .hop_samples = c.hop_samples, .framing = audio::Framing::centered_reflect};
      if (!models_.empty() && spec != spec_) {
        throw Error(Code::unsupported, "bsrnn", "networks of different transforms are trained one by one");
      }
      spec_ = spec;
      for (std::size_t t = 0; t < c.targets.size(); ++t) places[c.targets[t]] = {models_.size(), t};
      models_.emplace_back(nn::Torch::Scope(weights_) / part, c);
    }
    for (const core::Value& target : configuration.at("targets").as_array()) {
      places_.push_back(places.at(target.as_string()));
    }
  }

  nn::TorchWeights& weights() override { return weights_; }
  const nn::TorchWeights& weights() const override { return weights_; }
  std::optional<audio::StftSpec> stft() const override { return spec_; }
  bool checkpoints() const override { return true; }
  bool masks_features() const override { return true; }

  nn::Estimates forward(const at::Tensor& mixture, const nn::ForwardOptions& options) const override {
    nn::Estimates out;
    out.mixture = nn::stft(mixture, spec_);
    std::vector<std::vector<at::Tensor>> found;
    for (const BandSplitRnn<nn::Torch>& model : models_) found.push_back(separate(model, out.mixture, options));
    std::vector<at::Tensor> spectra;
    for (const auto& [model, target] : places_) spectra.push_back(found[model][target]);
    out.spectra = at::stack(spectra, 1);
    return out;
  }

 private:
  std::vector<at::Tensor> separate(const BandSplitRnn<nn::Torch>& model, const at::Tensor& mixture,
                                   const nn::ForwardOptions& options) const {
    const Configuration& c = model.configuration();
    const std::int64_t items = mixture.size(0), channels = mixture.size(1), bins = mixture.size(2),
                       frames = mixture.size(3);
    if (c.norm_frames > 0 && frames != c.norm_frames) {
      throw Error({Code::config, "data.seconds", "this network's norms have weights per frame",
                   c10::str(c.norm_frames, " frames, ", (c.norm_frames - 1) * c.hop_samples, " samples or up to ",
                            c.hop_samples - 1, " more"),
                   c10::str(frames, " frames"), ""});
    }
    if (c.joint && channels != 2) {
      throw Error(Code::invalid_argument, "bsrnn", "a network of both channels takes stereo");
    }
    at::Tensor x = mixture.permute({0, 1, 3, 2});  // (B, C, N, F)
    at::Tensor mean, deviation;
    if (c.standardise) {
      // Of an item, as torch.std has it for complex numbers (n - 1).
      const std::vector<std::int64_t> axes =
          c.joint ? std::vector<std::int64_t>{1, 2, 3} : std::vector<std::int64_t>{2, 3};
      const auto n = static_cast<double>((c.joint ? channels : 1) * bins * frames);
      mean = x.mean(axes, /*keepdim=*/true);
      const at::Tensor centred = x - mean;
      deviation =
          at::sqrt(at::view_as_real(centred).square().sum(-1).sum(axes, /*keepdim=*/true) / std::max(n - 1, 1.0));
      x = centred / (deviation + 1e-5);
    }
    const auto rows = [&](const at::Tensor& spectrum) {
      const at::Tensor both = at::cat({at::real(spectrum), at::imag(spectrum)}, 3);
      return c.joint ? both.permute({0, 2, 1, 3}).reshape({items, frames, -1})
                     : both.reshape({items * channels, frames, 2 * bins});
    };
    const at::Tensor spectrum = x;
    x = rows(spectrum);
    const at::Tensor seen =
        options.feature_mask ? rows(spectrum * options.feature_mask(bins, frames).transpose(1, 2).unsqueeze(1)) : x;
    std::vector<at::Tensor> estimates;
    {
      const nn::AutocastScope autocast(options.bf16, x.device());
      estimates =
          options.checkpoint
              ? model.forward(seen, x, [](const auto& step, const at::Tensor& y) { return nn::recomputed(step, y); })
              : model.forward(seen, x, [](const auto& step, const at::Tensor& y) { return step(y); });
    }
    for (at::Tensor& y : estimates) {
      y = y.to(at::real(mixture).scalar_type());
      y = c.joint ? y.reshape({items, frames, channels, 2 * bins}).permute({0, 2, 1, 3})
                  : y.reshape({items, channels, frames, 2 * bins});
      y = at::complex(y.narrow(3, 0, bins).contiguous(), y.narrow(3, bins, bins).contiguous());
      if (c.standardise) y = y * deviation + mean;
      y = y.transpose(2, 3);
    }
    return estimates;
  }

  nn::TorchWeights weights_;
  std::vector<BandSplitRnn<nn::Torch>> models_;
  std::vector<std::pair<std::size_t, std::size_t>> places_;  ///< per target: network, and place among its targets
  audio::StftSpec spec_;
};

}  // namespace

void add_networks(NetworkTable& table) {
  add_network(table, method(), [](NetworkRequest request) {
    return make_separator(std::move(request), [](const Configuration& c, nn::Source& source) {
      return std::unique_ptr<Network>(std::make_unique<TorchNetwork>(c, source));
    });
  });
}

void add_trainables(nn::TrainableTable& table) {
  table.architectures.emplace_back("bsrnn",
                                   [](const core::Value& configuration, nn::Source& source, at::TensorOptions options) {
                                     return std::make_unique<TrainableNetworks>(configuration, source, options);
                                   });
}

}  // namespace mss::methods::bsrnn
