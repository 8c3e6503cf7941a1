// Weights into and out of modules by name, and what a module costs.
//
// Thread-safety: functions without state; a module must not be used while it is loaded.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/safetensors.h"
#include "nn/torch/libtorch_torch.h"

namespace mss::nn {

/// One array of a checkpoint, C order; the values are the caller's.
struct NamedArray {
  std::string name;
  std::vector<std::int64_t> shape;
  std::span<const float> values;
};

/// What does not fit between a checkpoint and a module (parameters and buffers, by their names in PyTorch).
struct LoadReport {
  struct Mismatch {
    std::string name;
    std::vector<std::int64_t> expected, found;
  };
  std::vector<std::string> missing;     ///< in the module, not in the checkpoint
  std::vector<std::string> unexpected;  ///< in the checkpoint, not in the module
  std::vector<Mismatch> mismatched;

  bool ok() const noexcept { return missing.empty() && unexpected.empty() && mismatched.empty(); }
  /// "missing: a, b and 3 more; unexpected: …; other shapes: fc1.weight [512, 2974] instead of [256, 513]": the first
  /// `most` of each kind.
  std::string summary(std::size_t most = 3) const;
};

/// Compares only. num_batches_tracked, a counter of batch normalisation that inference does not read, may be missing.
LoadReport compare_weights(const torch::nn::Module& module, const std::vector<NamedArray>& arrays);
/// Copies all arrays, or none: throws Error(checkpoint) with the report's summary, naming `where`.
void load_weights(torch::nn::Module& module, const std::vector<NamedArray>& arrays, std::string_view where);
/// All parameters and buffers, as float32 (counters as int64), names prefixed with `prefix`.
checkpoints::Tensors save_weights(const torch::nn::Module& module, const std::string& prefix = "");

/// Trainable numbers; running statistics and counters are not among them.
std::int64_t count_parameters(const torch::nn::Module& module);
/// Multiply-accumulates of all linear and recurrent layers for one frame of one item (8.87 million per
/// target). Normalisations and activations, a thousandth of it, do not count. Throws Error(unsupported) for a layer
/// with weights of another kind (such as a convolution, whose cost per frame depends on its stride).
std::int64_t count_macs_per_frame(const torch::nn::Module& module);

}  // namespace mss::nn
