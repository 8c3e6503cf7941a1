// engine=libtorch: the same networks on LibTorch's layers, in the loadable module.
#include "methods/baselines/conv1d.h"
#include "methods/baselines/dprnn.h"
#include "methods/baselines/entries.h"
#include "methods/baselines/separator.h"
#include "nn/device.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/runtime_torch.h"

namespace mss::methods::baselines {
namespace {

template <class Model>
class TorchNetwork final : public Network {
 public:
  explicit TorchNetwork(nn::Source& source)
      : device_(nn::resolve_device(nn::device_from_environment())),
        weights_(source, at::TensorOptions().dtype(at::kFloat).device(device_)),
        model_(nn::Torch::Scope(weights_)) {}

  nn::Tensor forward(const nn::Tensor& x) const override {
    nn::Tensor out;
    nn::with_torch_errors("baselines", [&] {
      const nn::InferenceScope scope(nn::RunScope::threads());
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

template <class Model>
std::unique_ptr<Network> make_torch(nn::Source& source) {
  return std::make_unique<TorchNetwork<Model>>(source);
}

}  // namespace

void add_networks(NetworkTable& table) {
  add_network(table, conv1d_method(), [](NetworkRequest request) {
    return make_conv1d(std::move(request), make_torch<Conv1dBaseline<nn::Torch>>);
  });
  add_network(table, dprnn_method(),
              [](NetworkRequest request) { return make_dprnn(std::move(request), make_torch<Dprnn<nn::Torch>>); });
}

}  // namespace mss::methods::baselines
