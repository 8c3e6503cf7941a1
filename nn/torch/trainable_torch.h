// What training needs of a network: its tensors by name and what it makes of a batch of mixtures. Each family of
// networks implements it in its LibTorch source and adds it to a TrainableTable under the architecture's name
// (configuration.architecture of methods/weights.h); training/torch/ asks for nothing else, so that a loss, an
// optimiser or a schedule serves every network.
//
// Shapes: B items, S targets in the configuration's order, C channels, T samples, F bins, N frames.
//
// Thread-safety: one thread at a time per object.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "audio/stft.h"
#include "core/value.h"
#include "nn/scope.h"
#include "nn/torch/layers_torch.h"

namespace mss::nn {

/// A network's estimates in the form in which it works; what it does not work with is undefined, and a loss that wants
/// it derives it (training/torch/losses_torch.h).
struct Estimates {
  at::Tensor waveforms;    ///< (B, S, C, T'): of networks on waveforms
  std::int64_t begin = 0;  ///< where the waveforms begin in the mixture; they end where they end
  at::Tensor spectra;      ///< (B, S, C, F, N) complex: of networks that estimate spectra
  at::Tensor magnitudes;   ///< (B, S, C, F, N): of networks that estimate magnitudes, whose phases are the mixture's
  at::Tensor mixture;      ///< (B, C, F, N) complex: the mixture's spectrum, beside spectra and magnitudes
};

struct ForwardOptions {
  bool bf16 = false;        ///< layers compute in bfloat16 (autocast); transforms and what is returned stay as they are
  bool checkpoint = false;  ///< recompute blocks in the backward pass instead of keeping what they computed
  /// Factors (B, F, N) of the spectra that the network sees as its input, for F bins and N frames; what it multiplies with
  /// its masks stays whole. Nothing where it is empty. Heeded where Trainable::masks_features() says so.
  std::function<at::Tensor(std::int64_t bins, std::int64_t frames)> feature_mask{};
};

class Trainable {
 public:
  virtual ~Trainable() = default;

  /// All tensors, named "<part>.<name>" by the family's listing (part "": "<name>").
  virtual TorchWeights& weights() = 0;
  virtual const TorchWeights& weights() const = 0;
  /// `mixture`: (B, C, T) of the network's type and device.
  virtual Estimates forward(const at::Tensor& mixture, const ForwardOptions& options) const = 0;
  /// The transform of `spectra` and `magnitudes`; none for networks on waveforms.
  virtual std::optional<audio::StftSpec> stft() const { return std::nullopt; }
  /// Samples of a mixture of which all `samples` of the estimates are defined: the least T for T' >= samples.
  virtual std::int64_t input_samples(std::int64_t samples) const { return samples; }
  /// Does forward() heed ForwardOptions::checkpoint?
  virtual bool checkpoints() const { return false; }
  /// Does forward() heed ForwardOptions::feature_mask? Networks on spectra do.
  virtual bool masks_features() const { return false; }

  /// Networks that standardise their input by statistics of the training set: rows (R, K) of which every column's mean
  /// and standard deviation count, of mixtures (B, C, T). Undefined: the network has none.
  virtual at::Tensor statistics_rows(const at::Tensor& mixture) const {
    static_cast<void>(mixture);
    return {};
  }
  /// `mean` and `deviation` (K) in float64, the deviations floored already.
  virtual void set_statistics(const at::Tensor& mean, const at::Tensor& deviation) {
    static_cast<void>(mean);
    static_cast<void>(deviation);
  }
};

/// Architecture -> its network. `configuration` is normalised; values come from `source`, named as weights() says.
struct TrainableTable {
  using Make = std::function<std::unique_ptr<Trainable>(const core::Value& configuration, Source& source,
                                                        at::TensorOptions options)>;
  std::vector<std::pair<std::string, Make>> architectures;
  /// Throws Error(unsupported) that lists what there is.
  const Make& find(std::string_view architecture) const;
};

/// Layers compute in bfloat16 where PyTorch's autocast says so, until the end of the scope; nothing with `on` false.
class AutocastScope {
 public:
  AutocastScope(bool on, at::Device device);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  bool on_, before_ = false;
  at::DeviceType device_;
  at::ScalarType type_before_ = at::kBFloat16;
};

/// f(x) whose inner tensors are not kept: the backward pass computes f once more (Chen et al. 2016, "Training deep nets
/// with sublinear memory cost"). f must give the same values each time and depend on x and on leaf tensors only;
/// gradients reach those leaves. Without gradients it is f(x).
at::Tensor recomputed(const std::function<at::Tensor(const at::Tensor&)>& f, const at::Tensor& x);

}  // namespace mss::nn
