// A network while it is trained: gradients of batches, steps of an optimiser, an average of the weights, and all of its
// state by name. The loop around it (training/run.h) knows neither LibTorch nor the network; the learner knows neither
// data sets nor files. training/torch/ implements it, in the loadable module of network methods (methods/networks.h).
//
// State. state() names every tensor that a later learner needs to go on to the same bits:
//   weights/NAME    the trained weights and running statistics
//   average/NAME    their exponential moving average, where there is one
//   teacher/NAME    the teacher's, where there is one
//   moment1/NAME, moment2/NAME    of Adam and AdamW; RMSprop's mean square is moment2, its momentum moment1
// NAME is "<part>.<name>" by the family's listing (methods/weights.h; part "": "<name>"). Numbers beside it: steps taken
// (counters()). Everything random in a step is a pure function of (seed, step, batch within the step), masks of input
// features one of (seed, epoch, index).
//
// Determinism. Equal state, batches and rates give equal bits with an equal number of threads on one processor; on a GPU
// as far as its operators are deterministic: nn/torch/runtime_torch.h asks for those that are.
//
// Errors: Error(config) for settings that exclude each other or that the network does not have; Error(numeric) for a
// loss that is not finite; Error(resource) out of memory; Error(unsupported) for a device that is not there.
// Thread-safety: one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "audio/buffer.h"
#include "checkpoints/safetensors.h"
#include "core/stop.h"
#include "core/value.h"
#include "nn/device.h"
#include "training/recipe.h"

namespace mss::training {

struct LearnerSettings {
  std::string architecture;  ///< configuration.architecture
  core::Value configuration;
  checkpoints::LazyTensors initial;  ///< weights, by NAME
  /// Per target of the network the stems of a batch whose sum it is; empty: the stems are the targets.
  std::vector<std::vector<int>> target_stems;
  LossRecipe loss;
  OptimiserRecipe optimiser;        ///< without its schedule: rates come with the steps
  std::vector<std::string> frozen;  ///< patterns of NAMEs (* any characters, ? one) that are not trained
  bool teacher = false;             ///< there is a second network, which begins as a copy: semi.h
  bool recompute = false;           ///< blocks are computed again in the backward pass (less memory)
  bool dropout = true;
  SpecAugmentRecipe spec_augment{};  ///< of the batches of add_gradients(); Error(config) for networks on waveforms
  bool float64 = false;              ///< weights and arithmetic in double: for tests
  bool deterministic = true;
  bool trial = false;  ///< for trial_bytes() alone: without the memory of an optimiser and an average
  nn::DeviceChoice device;
  int threads = 1;
  std::uint64_t seed = 0;
  core::StopToken stop;  ///< ends a batch in its midst, forward or back, with Error(cancelled); then abandon()
};

/// A batch of examples in memory, C order; the caller's.
struct BatchView {
  std::int64_t items = 0, stems = 0, channels = 0, samples = 0;
  const float* mixture_values = nullptr;  ///< (B, C, T); null: the sum of the stems
  const float* stem_values = nullptr;     ///< (B, S, C, T)
  std::int64_t epoch = 0, first = 0;      ///< index of the first example: what its input masks are drawn by
};

class Learner {
 public:
  virtual ~Learner() = default;

  virtual std::string device() const = 0;       ///< "cpu", "cuda:0"
  virtual std::int64_t parameters() const = 0;  ///< trained numbers, without frozen ones
  virtual std::int64_t frozen() const = 0;      ///< numbers that are kept as they are
  virtual bool has_average() const = 0;
  virtual std::int64_t steps() const = 0;  ///< updates so far
  /// The least samples of a mixture for estimates of at least `samples`.
  virtual std::int64_t input_samples(std::int64_t samples) const = 0;

  /// Adds `share` times the gradient of the batch's loss; returns the loss.
  virtual double add_gradients(const BatchView& batch, double share) = 0;
  /// Drops what add_gradients() has begun since the last update(), running statistics included, as if it had not been
  /// called: after a stop in its midst.
  virtual void abandon() = 0;
  /// Clips, steps with learning rate `rate`, averages (ema_clock = step), forgets the gradients. Returns the gradient's
  /// norm before clipping if it was computed (`norm` or a bound), else NaN.
  virtual double update(double rate, bool norm) = 0;
  /// ema_clock = epoch: the weights as they are now join the average.
  virtual void end_epoch() = 0;
  /// In evaluation mode, without gradients; of the average if `average`.
  virtual double loss(const BatchView& batch, bool average) = 0;

  /// The most bytes of tensors on the processor that the gradient of a batch's loss needs at one time, beside the weights
  /// and their gradients. Running statistics move.
  virtual std::int64_t trial_bytes(const BatchView& batch) = 0;

  // Semi-supervised training (semi.h); errors where LearnerSettings::teacher was not set.
  /// The teacher gets the weights as they are now: their average if there is one.
  virtual void promote() = 0;
  /// The teacher's estimates of the first target in `mixtures`, as waveforms; both (B, C, T). In evaluation mode, without
  /// gradients. Error(config) for a network that estimates fewer samples than it is given.
  virtual void teach(std::int64_t items, std::int64_t channels, std::int64_t samples, const float* mixtures,
                     float* estimates) const = 0;

  /// Does the network standardise its input by statistics of the training set?
  virtual bool has_statistics() const = 0;
  /// A track's mixture. Call for all tracks, then set_statistics() once.
  virtual void add_statistics(audio::AudioView mixture) = 0;
  /// Means and population deviations over all frames so far, deviations at least 1e-4 of the largest one, go into the
  /// weights (and the average).
  virtual void set_statistics() = 0;

  /// Views of the tensors; valid, and equal to what they are now, until the next call of a non-const function.
  virtual checkpoints::LazyTensors state() const = 0;
  /// The weights, or their average, by NAME.
  virtual checkpoints::LazyTensors weights(bool average) const = 0;
  /// {"steps", "average_count"}.
  virtual core::Value counters() const = 0;
  /// Throws Error(checkpoint) for what does not fit.
  virtual void restore(const checkpoints::LazyTensors& state, const core::Value& counters) = 0;
};

/// From the loadable module. Throws Error(unsupported) where there is none.
std::unique_ptr<Learner> make_learner(const LearnerSettings& settings);

/// The module's symbol behind it: `extern "C" Learner* mssbench_learner(const LearnerSettings&)`, a new object.
inline constexpr const char* kLearnerEntryPoint = "mssbench_learner";

}  // namespace mss::training
