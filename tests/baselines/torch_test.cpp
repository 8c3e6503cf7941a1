// The baselines' networks over both layer sets.
#include "methods/baselines/conv1d.h"
#include "nn/cpu.h"
#include "nn/torch/layers_torch.h"
#include "tests/nn/torch/support_torch.h"

namespace mss::tests {

TEST_CASE("the convolutional baseline on LibTorch is ours, with the same initial values", "[baselines]") {
  nn::RandomSource source(5), again(5);
  nn::TorchWeights weights(source);
  const methods::baselines::Conv1dBaseline<nn::Torch> model{nn::Torch::Scope(weights)};
  const methods::baselines::Conv1dBaseline<nn::Cpu> ours{nn::Scope(again)};
  const at::Tensor x = keyed("waveform", {2, 3000, 2});
  const at::Tensor expected = model.forward(x).detach().contiguous();
  std::vector<float> values = ours.forward(nn::Tensor::from(x.data_ptr<float>(), 2, 3000, 2)).values();
  CHECK(largest_difference(expected, at::from_blob(values.data(), {2, 3000, 2}, at::kFloat)) < 1e-6);
}

}  // namespace mss::tests
