// engine=libtorch: the same networks on LibTorch's layers, in the loadable module; and what training sees of them.
#include "methods/baselines/conv1d.h"
#include "methods/baselines/dprnn.h"
#include "methods/baselines/entries.h"
#include "methods/baselines/family.h"
#include "methods/baselines/separator.h"
#include "nn/device.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/runtime_torch.h"
#include "nn/torch/stft_torch.h"
#include "nn/torch/trainable_torch.h"

namespace mss::methods::baselines {
namespace {

template <class Model>
class TorchNetwork final : public Network {
 public:
  template <class... Sizes>
  explicit TorchNetwork(nn::Source& source, const Sizes&... sizes)
      : device_(nn::resolve_device(nn::device_from_environment())),
        weights_(source, at::TensorOptions().dtype(at::kFloat).device(device_)),
        model_(nn::Torch::Scope(weights_), sizes...) {}

  nn::Tensor forward(const nn::Tensor& x) const override {
    nn::Tensor out;
    nn::with_torch_errors("baselines", [&] {
      const nn::InferenceScope scope(nn::RunScope::threads(), nn::RunScope::stop());
      const nn::Tensor packed = x.packed();
      const at::Tensor given = at::from_blob(const_cast<float*>(packed.data()),
                                             {packed.items(), packed.frames(), packed.channels()}, at::kFloat);
      const at::Tensor y = model_.forward(given.to(device_)).to(at::kCPU).contiguous();
      out = nn::Tensor::from(y.template data_ptr<float>(), y.size(0), y.size(1), y.size(2));
    });
    return out;
  }

 private:
  at::Device device_;
  nn::TorchWeights weights_;
  Model model_;
};

std::unique_ptr<Network> make_torch_conv1d(nn::Source& source, const core::Value&) {
  return std::make_unique<TorchNetwork<Conv1dBaseline<nn::Torch>>>(source);
}
std::unique_ptr<Network> make_torch_dprnn(nn::Source& source, const core::Value& configuration) {
  return std::make_unique<TorchNetwork<Dprnn<nn::Torch>>>(source, dprnn_sizes(configuration));
}

/// One network per target.
template <class Model>
class TrainableModels : public nn::Trainable {
 public:
  template <class... Sizes>
  TrainableModels(const core::Value& configuration, nn::Source& source, at::TensorOptions options,
                  const Sizes&... sizes)
      : weights_(source, options) {
    for (const core::Value& target : configuration.at("targets").as_array()) {
      targets_.push_back(target.as_string());
      models_.emplace_back(nn::Torch::Scope(weights_) / targets_.back(), sizes...);
    }
  }
  nn::TorchWeights& weights() override { return weights_; }
  const nn::TorchWeights& weights() const override { return weights_; }

 protected:
  /// (B, T, C) through every network.
  std::vector<at::Tensor> run(const at::Tensor& x, const nn::ForwardOptions& options) const {
    const nn::AutocastScope autocast(options.bf16, x.device());
    std::vector<at::Tensor> out;
    for (const Model& model : models_) out.push_back(model.forward(x));
    return out;
  }
  const std::vector<std::string>& targets() const { return targets_; }

 private:
  nn::TorchWeights weights_;
  std::vector<std::string> targets_;
  std::vector<Model> models_;
};

class TrainableConv1d final : public TrainableModels<Conv1dBaseline<nn::Torch>> {
 public:
  using TrainableModels::TrainableModels;
  nn::Estimates forward(const at::Tensor& mixture, const nn::ForwardOptions& options) const override {
    std::vector<at::Tensor> waves;
    for (const at::Tensor& y : run(mixture.transpose(1, 2), options)) {
      waves.push_back(y.to(mixture.scalar_type()).transpose(1, 2));
    }
    nn::Estimates out;
    out.waveforms = at::stack(waves, 1);
    return out;
  }
};

class TrainableDprnn final : public TrainableModels<Dprnn<nn::Torch>> {
 public:
  using Model = Dprnn<nn::Torch>;
  TrainableDprnn(const core::Value& configuration, nn::Source& source, at::TensorOptions options)
      : TrainableModels(configuration, source, options, dprnn_sizes(configuration)) {}

  std::optional<audio::StftSpec> stft() const override {
    return audio::StftSpec{.fft_size = static_cast<int>(Model::kFft),
                           .hop_samples = static_cast<int>(Model::kHop),
                           .framing = audio::Framing::centered_reflect};
  }
  bool masks_features() const override { return true; }
  nn::Estimates forward(const at::Tensor& mixture, const nn::ForwardOptions& options) const override {
    nn::Estimates out;
    out.mixture = nn::stft(mixture, *stft());
    const at::Tensor sizes = out.mixture.abs();
    const std::int64_t items = sizes.size(0), channels = sizes.size(1), bins = sizes.size(2), frames = sizes.size(3);
    const at::Tensor seen = options.feature_mask ? sizes * options.feature_mask(bins, frames).unsqueeze(1) : sizes;
    std::vector<at::Tensor> estimates;
    for (const at::Tensor& mask : run(rows(seen), options)) {
      estimates.push_back(mask.to(sizes.scalar_type()).reshape({items, frames, bins, channels}).permute({0, 3, 2, 1}) *
                          sizes);
    }
    out.magnitudes = at::stack(estimates, 1);
    return out;
  }
  /// Of what the network standardises, log(1 + |X|) of every channel and bin.
  at::Tensor statistics_rows(const at::Tensor& mixture) const override {
    const at::Tensor x = rows(nn::stft(mixture, *stft()).abs());
    return at::log1p(x).reshape({-1, x.size(2)});
  }
  void set_statistics(const at::Tensor& mean, const at::Tensor& deviation) override {
    const torch::NoGradGuard no_grad;
    for (const std::string& target : targets()) {
      weights().find(target + ".input_mean").copy_(-mean);
      weights().find(target + ".input_scale").copy_(1.0 / deviation);
    }
  }

 private:
  /// (B, C, F, N) -> (B, N, F C), bin by bin.
  static at::Tensor rows(const at::Tensor& sizes) {
    return sizes.permute({0, 3, 2, 1}).reshape({sizes.size(0), sizes.size(3), -1});
  }
};

}  // namespace

void add_networks(NetworkTable& table) {
  add_network(table, conv1d_method(),
              [](NetworkRequest request) { return make_conv1d(std::move(request), make_torch_conv1d); });
  add_network(table, dprnn_method(),
              [](NetworkRequest request) { return make_dprnn(std::move(request), make_torch_dprnn); });
}

void add_trainables(nn::TrainableTable& table) {
  table.architectures.emplace_back("conv1d",
                                   [](const core::Value& configuration, nn::Source& source, at::TensorOptions options) {
                                     return std::make_unique<TrainableConv1d>(configuration, source, options);
                                   });
  table.architectures.emplace_back("dprnn",
                                   [](const core::Value& configuration, nn::Source& source, at::TensorOptions options) {
                                     return std::make_unique<TrainableDprnn>(configuration, source, options);
                                   });
}

}  // namespace mss::methods::baselines
