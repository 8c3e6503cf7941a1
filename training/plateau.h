// When a training run lowers its learning rate: what Open-Unmix's recipe does with each epoch's validation loss.
// schedule.h has the other schedules and early stopping.
//
// Thread-safety: one object per run.
#pragma once

#include <limits>

#include "core/value.h"

namespace mss::training {

/// PyTorch's ReduceLROnPlateau, mode min, relative threshold: a loss is better when it is below best * (1 - threshold).
/// After more than `patience` epochs without a better one the rate is multiplied by `factor`, and the next `cooldown`
/// epochs do not count. Open-Unmix: factor 0.3, patience 80, cooldown 10.
class Plateau {
 public:
  struct Settings {
    double factor = 0.3;
    int patience = 80, cooldown = 10;
    double threshold = 1e-4;
    double smallest_change = 1e-8;  ///< a reduction by less is not made
  };
  /// Throws Error(invalid_argument) unless 0 < factor < 1, patience and cooldown >= 0, 0 <= threshold < 1, rate > 0.
  Plateau(double rate, Settings settings);
  /// Call after every epoch; returns the learning rate of the next. A loss that is not a number is never better.
  double step(double loss);
  double rate() const noexcept { return rate_; }
  /// Everything that changes, for checkpoints; load() throws Error(checkpoint) for another shape.
  core::Value state() const;
  void load(const core::Value& state);

 private:
  double rate_;
  Settings settings_;
  double best_ = std::numeric_limits<double>::infinity();
  int bad_ = 0, cooling_ = 0;
};

}  // namespace mss::training
