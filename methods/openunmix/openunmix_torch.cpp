// engine=libtorch: the same model and the same passes on LibTorch's layers.
#include "methods/openunmix/entries.h"
#include "methods/openunmix/passes.h"
#include "nn/torch/runtime_torch.h"
#include "nn/torch/layers_torch.h"

namespace mss::methods::openunmix {
namespace {

struct TorchEngine {
  using L = nn::Torch;
  static constexpr std::int64_t kChunk = std::int64_t{1} << 20;  ///< LibTorch divides by itself
  struct Scope : nn::InferenceScope {
    Scope(int threads, const core::StopToken&) : InferenceScope(threads) {}
  };
  at::Device device;

  at::Tensor input(const float* rows, std::int64_t frames, std::int64_t channels) const {
    return at::from_blob(const_cast<float*>(rows), {1, frames, channels}, at::TensorOptions().dtype(at::kFloat))
        .to(device);
  }
  at::Tensor empty(std::int64_t frames, std::int64_t channels) const {
    return at::empty({1, frames, channels}, at::TensorOptions().dtype(at::kFloat).device(device));
  }
  void output(const at::Tensor& x, float* to) const {
    const at::Tensor flat = x.to(at::kCPU).contiguous();
    std::copy_n(flat.const_data_ptr<float>(), flat.numel(), to);
  }
  void parallel(std::int64_t count, int threads, const std::function<void(std::int64_t, int)>& body) const {
    for (std::int64_t i = 0; i < count; ++i) body(i, threads);
  }
  void guarded(const std::string& where, const std::function<void()>& body) const {
    nn::with_torch_errors(where, body);
  }
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

}  // namespace mss::methods::openunmix
