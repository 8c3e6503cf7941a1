// engine=libtorch: the same network on LibTorch's layers, in the loadable module.
#include "core/error.h"
#include "methods/bsrnn/entries.h"
#include "methods/bsrnn/model.h"
#include "methods/bsrnn/separator.h"
#include "nn/device.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/runtime_torch.h"

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
      const nn::InferenceScope scope(nn::RunScope::threads());
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

}  // namespace

void add_networks(NetworkTable& table) {
  add_network(table, method(), [](NetworkRequest request) {
    return make_separator(std::move(request), [](const Configuration& c, nn::Source& source) {
      return std::unique_ptr<Network>(std::make_unique<TorchNetwork>(c, source));
    });
  });
}

}  // namespace mss::methods::bsrnn
