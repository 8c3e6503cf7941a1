// The recurrent block of all our networks: an LSTM of several layers in one or both directions, with the weight names
// of torch.nn.LSTM (weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, …_l0_reverse; gates in the order i, f, g, o),
// so that published state dicts fit by name.
//
// Weights are zero until they are loaded (nn/torch/weights_torch.h).
//
// Shapes: (T, N, I) -> (T, N, H * directions), forward direction first; states start at zero.
//
// Thread-safety: forward calls in evaluation mode may run at once.
#pragma once

#include <cstdint>

#include "nn/torch/libtorch_torch.h"

namespace mss::nn {

struct ModuleLstmOptions {
  std::int64_t input = 0;   ///< I
  std::int64_t hidden = 0;  ///< H, per direction
  std::int64_t layers = 1;
  bool bidirectional = true;
  double dropout = 0.0;  ///< between layers, in training mode
};

class LstmImpl : public torch::nn::Module {
 public:
  /// Throws Error(invalid_argument) for sizes below 1 and dropout outside [0, 1).
  explicit LstmImpl(const ModuleLstmOptions& options);

  at::Tensor forward(const at::Tensor& x);
  /// The same result (up to rounding) with scratch memory for `block_frames` frames only: each direction of each layer
  /// runs over blocks with its state carried on. Needs evaluation mode where there is dropout (Error(internal)).
  at::Tensor forward_in_blocks(const at::Tensor& x, std::int64_t block_frames);

  const ModuleLstmOptions& options() const noexcept { return options_; }

 private:
  /// Parameters of one direction of one layer, in LibTorch's order.
  std::vector<at::Tensor> direction(std::int64_t layer, bool reverse) const;

  ModuleLstmOptions options_;
  std::vector<at::Tensor> weights_;
};
TORCH_MODULE(Lstm);

}  // namespace mss::nn
