// The baselines' networks over both layer sets.
#include "methods/baselines/conv1d.h"
#include "methods/baselines/dprnn.h"
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

TEST_CASE("the dual-path baseline on LibTorch is ours, also for several items", "[baselines]") {
  nn::RandomSource source(6), again(6);
  nn::TorchWeights weights(source);
  const methods::baselines::Dprnn<nn::Torch> model{nn::Torch::Scope(weights)};
  const methods::baselines::Dprnn<nn::Cpu> ours{nn::Scope(again)};
  const at::Tensor x = keyed("magnitudes", {3, 41, 4098}, 0.0, 3.0);
  const at::Tensor expected = model.forward(x).detach().contiguous();
  const nn::Tensor given = nn::Tensor::from(x.data_ptr<float>(), 3, 41, 4098);
  const nn::Tensor found = ours.forward(given);
  std::vector<float> values = found.values();
  CHECK(largest_difference(expected, at::from_blob(values.data(), {3, 41, 4098}, at::kFloat)) < 1e-5);
  CHECK(ours.forward(given.narrow(0, 1, 1)).values() == found.narrow(0, 1, 1).values());
}

}  // namespace mss::tests
