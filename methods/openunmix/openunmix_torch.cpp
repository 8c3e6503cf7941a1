// engine=libtorch: the same model and the same passes on LibTorch's layers; and what training sees of the model.
#include "methods/openunmix/entries.h"
#include "methods/openunmix/passes.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/runtime_torch.h"
#include "nn/torch/stft_torch.h"
#include "nn/torch/trainable_torch.h"

namespace mss::methods::openunmix {
namespace {

struct TorchEngine {
  using L = nn::Torch;
  static constexpr std::int64_t kChunk = std::int64_t{1} << 20;  ///< LibTorch divides by itself
  struct Scope : nn::InferenceScope {
    Scope(int threads, const core::StopToken& stop) : InferenceScope(threads, stop) {}
  };
  at::Device device;

  at::Tensor input(const float* rows, std::int64_t frames, std::int64_t channels) const {
    return at::from_blob(const_cast<float*>(rows), {1, frames, channels}, at::TensorOptions().dtype(at::kFloat))
        .to(device);
  }
  at::Tensor room(float*, std::int64_t frames, std::int64_t channels, std::int64_t) const {
    return at::empty({1, frames, channels}, at::TensorOptions().dtype(at::kFloat).device(device));
  }
  void output(const at::Tensor& x, float* to, std::int64_t stride) const {
    const at::Tensor flat = held(x);
    const std::int64_t channels = flat.size(2);
    for (std::int64_t t = 0; t < flat.size(1); ++t) std::copy_n(values(flat) + t * channels, channels, to + t * stride);
  }
  static at::Tensor held(const at::Tensor& x) { return x.to(at::kCPU).contiguous(); }
  static const float* values(const at::Tensor& x) { return x.const_data_ptr<float>(); }
  void parallel(std::int64_t count, int threads, const std::function<void(std::int64_t, int)>& body) const {
    for (std::int64_t i = 0; i < count; ++i) body(i, threads);
  }
  void guarded(const std::string& where, const std::function<void()>& body) const {
    nn::with_torch_errors(where, body);
  }
};

/// Magnitudes of the mixture in, magnitudes of the targets out. Like the package, Open-Unmix and the extension train on a
/// transform without padding; X-UMX on the separator's.
class TrainableModel final : public nn::Trainable {
 public:
  TrainableModel(const Configuration& c, nn::Source& source, at::TensorOptions options)
      : weights_(source, options), model_(nn::Torch::Scope(weights_), c), spec_(stft_spec(c)) {
    if (c.architecture != Architecture::xumx) spec_.framing = audio::Framing::none;
  }

  nn::TorchWeights& weights() override { return weights_; }
  const nn::TorchWeights& weights() const override { return weights_; }
  std::optional<audio::StftSpec> stft() const override { return spec_; }
  bool masks_features() const override { return true; }

  nn::Estimates forward(const at::Tensor& mixture, const nn::ForwardOptions& options) const override {
    const Configuration& c = model_.configuration();
    nn::Estimates out;
    out.mixture = nn::stft(mixture, spec_);
    at::Tensor x = out.mixture.abs();
    if (c.channels == 1 && x.size(1) > 1) x = x.mean(1, /*keepdim=*/true);
    const std::int64_t items = x.size(0), frames = x.size(3);
    std::vector<at::Tensor> masks;
    {
      const at::Tensor seen = options.feature_mask ? x * options.feature_mask(x.size(2), frames).unsqueeze(1) : x;
      const nn::AutocastScope autocast(options.bf16, x.device());
      masks = model_.masks(seen.slice(2, 0, c.max_bin).permute({0, 3, 1, 2}).reshape({items, frames, -1}));
    }
    std::vector<at::Tensor> estimates;
    for (const at::Tensor& mask : masks) {
      estimates.push_back(mask.to(x.scalar_type()).reshape({items, frames, c.channels, c.bins}).permute({0, 2, 3, 1}) *
                          x);
    }
    out.magnitudes = at::stack(estimates, 1);
    return out;
  }

  /// The mean over the channels, frame by frame.
  at::Tensor statistics_rows(const at::Tensor& mixture) const override {
    return nn::stft(mixture, spec_).abs().mean(1).transpose(1, 2).reshape({-1, model_.configuration().bins});
  }
  void set_statistics(const at::Tensor& mean, const at::Tensor& deviation) override {
    const torch::NoGradGuard no_grad;
    const Configuration& c = model_.configuration();
    for (const std::string& target : c.targets) {
      weights_.find(target + ".input_mean").copy_(-mean.slice(0, 0, c.max_bin));
      weights_.find(target + ".input_scale").copy_(1.0 / deviation.slice(0, 0, c.max_bin));
    }
  }

 private:
  nn::TorchWeights weights_;
  Model<nn::Torch> model_;
  audio::StftSpec spec_;
};

}  // namespace

std::unique_ptr<Separator> make_torch_separator(NetworkRequest request, const SeparatorOptions& options) {
  std::unique_ptr<Separator> made;
  const std::string where = request.info.spec;
  nn::with_torch_errors(where, [&] {
    nn::use_deterministic_algorithms();
    const at::Device device = nn::resolve_device(nn::device_from_environment());
    const Weights weights = request.weights;
    made = make_passes<TorchEngine>(
        {device}, std::move(request), options, [&](const std::string& part, const Configuration& c) {
          nn::ArraySource source = weights.source(part);
          nn::TorchWeights tensors(source, at::TensorOptions().dtype(at::kFloat).device(device));
          return std::make_unique<const Network<nn::Torch>>(nn::Torch::Scope(tensors), c);
        });
  });
  return made;
}

void add_networks(NetworkTable& table) {
  for (const NetworkMethod& method : network_methods()) {
    add_network(table, method, [](NetworkRequest request) {
      const SeparatorOptions options = separator_options(request.params);
      return make_torch_separator(std::move(request), options);
    });
  }
}

void add_trainables(nn::TrainableTable& table) {
  for (const Architecture architecture : {Architecture::openunmix, Architecture::xumx, Architecture::crossskip}) {
    table.architectures.emplace_back(
        architecture_name(architecture),
        [](const core::Value& configuration, nn::Source& source, at::TensorOptions options) {
          return std::make_unique<TrainableModel>(configuration_from_value(configuration, "training"), source, options);
        });
  }
}

}  // namespace mss::methods::openunmix
