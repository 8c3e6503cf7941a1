// The Open-Unmix family as LibTorch modules: the same networks as network.h, differentiable, for training and to check
// the kernels against. Parameter names are PyTorch's (weights.h), so that state dicts fit by name; several targets are
// modules named after them ("vocals.fc1.weight").
//
// Dropout (0.4) lies between the LSTM's layers in training mode, normalisation layers use running statistics in
// evaluation mode. Weights are zero (normalisation: identity) until they are loaded.
//
// Shapes: N items, C channels, F bins, T frames, J targets.
//
// Thread-safety: forward calls in evaluation mode may run at once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/params.h"
#include "core/spec.h"
#include "methods/networks.h"
#include "methods/openunmix/weights.h"
#include "methods/separator.h"
#include "nn/torch/lstm_torch.h"

namespace mss::methods::openunmix {

/// One target: the layers, each step by itself because cross-connected families mix what lies between.
class OpenUnmixImpl : public torch::nn::Module {
 public:
  explicit OpenUnmixImpl(const Configuration& configuration);

  /// Magnitudes (N, C, F, T) -> e (T, N, H).
  at::Tensor encode(const at::Tensor& magnitudes);
  /// (T, N, H) -> o (T, N, H).
  at::Tensor recur(const at::Tensor& e);
  /// What fc2 sees, (T, N, inputs of fc2) -> mask (N, C, F, T).
  at::Tensor decode(const at::Tensor& features);
  /// The plain network: decode([e, o]) * magnitudes.
  at::Tensor forward(const at::Tensor& magnitudes);

 private:
  Configuration configuration_;
  at::Tensor input_mean_, input_scale_, output_mean_, output_scale_;
  torch::nn::Linear fc1_{nullptr}, fc2_{nullptr}, fc3_{nullptr};
  torch::nn::BatchNorm1d bn1_{nullptr}, bn2_{nullptr}, bn3_{nullptr};
  nn::Lstm lstm_{nullptr};
};
TORCH_MODULE(OpenUnmix);

/// All targets of a configuration, connected as its architecture says.
class OpenUnmixFamilyImpl : public torch::nn::Module {
 public:
  explicit OpenUnmixFamilyImpl(const Configuration& configuration);

  /// Magnitudes of the mixture (N, C, F, T) -> estimates (N, J, C, F, T), targets in the configuration's order.
  at::Tensor forward(const at::Tensor& magnitudes);
  /// Fills all parameters and buffers; throws Error(checkpoint) that lists the first mismatches.
  void load(const Weights& weights);

  const Configuration& configuration() const noexcept { return configuration_; }
  OpenUnmix target(std::size_t index) const { return targets_[index]; }

 private:
  Configuration configuration_;
  std::vector<OpenUnmix> targets_;
};
TORCH_MODULE(OpenUnmixFamily);

/// The separator on these modules (engine=libtorch): whole tracks in memory, on the device that MSSBENCH_DEVICE names.
std::unique_ptr<Separator> make_torch_separator(const core::Params& params, const core::SpecPart& spec);

}  // namespace mss::methods::openunmix
