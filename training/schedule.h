// The learning rate over a run, and when the run ends.
//
// With n the number of finished steps or epochs (ScheduleRecipe::clock), r the optimiser's rate:
//   constant     r
//   step         r * factor^floor(n / every)
//   exponential  r * factor^(n / every)
//   cosine       floor + (r - floor) (1 + cos(pi min(n / length, 1))) / 2
//   plateau      plateau.h, fed with the monitored value after each validation
// Warm-up, over the first `warm_up_length` steps or epochs, multiplies that:
//   linear       w + (1 - w) n / length
//   exponential  w^(length - n)                 (amanteur: w = 0.1, length 10 epochs)
// with w = warm_up_factor; step, exponential and cosine count from the end of the warm-up on.
//
// Thread-safety: one object per run.
#pragma once

#include <cstdint>

#include "core/value.h"
#include "training/plateau.h"
#include "training/recipe.h"

namespace mss::training {

class Schedule {
 public:
  /// `length`: steps or epochs of the whole run, for cosine with length 0 (0 = unknown: Error(config) then).
  Schedule(const ScheduleRecipe& recipe, double rate, std::int64_t length);
  /// The rate of the step that comes next: `step` steps and `epoch` epochs are finished.
  double rate(std::int64_t step, std::int64_t epoch) const noexcept;
  /// After each validation: the monitored value, smaller = better (SDR goes in negated).
  void validated(double value);
  /// Everything that changes, for checkpoints; load() throws Error(checkpoint) on another shape.
  core::Value state() const;
  void load(const core::Value& state);

 private:
  ScheduleRecipe recipe_;
  double rate_;
  std::int64_t length_;
  Plateau plateau_;
};

/// Ends a run after `patience` validations in a row whose value was not below the best by more than `min_delta`, and at
/// once at a value that is not a number. The first value only sets the best. patience 0: only for NaN.
class Stopping {
 public:
  Stopping(std::int64_t patience, double min_delta);
  /// Returns whether to stop. `better()` tells whether this value was a new best.
  bool step(double value);
  bool better() const noexcept { return better_; }
  bool started() const noexcept { return started_; }
  double best() const noexcept { return best_; }
  std::int64_t bad() const noexcept { return bad_; }
  core::Value state() const;
  void load(const core::Value& state);

 private:
  std::int64_t patience_;
  double min_delta_;
  bool started_ = false, better_ = false;
  double best_ = 0;
  std::int64_t bad_ = 0;
};

}  // namespace mss::training
