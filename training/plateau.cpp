#include "training/plateau.h"

#include <cmath>

#include "core/error.h"

namespace mss::training {

Plateau::Plateau(double rate, Settings settings) : rate_(rate), settings_(settings) {
  const bool fine = rate > 0 && settings.factor > 0 && settings.factor < 1 && settings.patience >= 0 &&
                    settings.cooldown >= 0 && settings.threshold >= 0 && settings.threshold < 1;
  if (!fine) {
    throw Error(ErrorParts{.code = Code::invalid_argument,
                           .where = "learning rate on a plateau",
                           .what = "settings out of their range",
                           .expected = "rate > 0, 0 < factor < 1, patience and cooldown >= 0, 0 <= threshold < 1",
                           .found = {},
                           .hint = {}});
  }
}

double Plateau::step(double loss) {
  if (loss < best_ * (1.0 - settings_.threshold)) {
    best_ = loss;
    bad_ = 0;
  } else {
    ++bad_;
  }
  if (cooling_ > 0) {
    --cooling_;
    bad_ = 0;
  }
  if (bad_ > settings_.patience) {
    const double lower = rate_ * settings_.factor;
    if (rate_ - lower > settings_.smallest_change) rate_ = lower;
    cooling_ = settings_.cooldown;
    bad_ = 0;
  }
  return rate_;
}

EarlyStopping::EarlyStopping(int patience) : patience_(patience) {
  if (patience < 1) throw Error(Code::invalid_argument, "early stopping", "patience must be at least 1");
}

bool EarlyStopping::step(double loss) {
  if (!started_) {
    started_ = true;
    best_ = loss;
    return false;
  }
  if (std::isnan(loss)) return true;
  if (loss < best_) {
    best_ = loss;
    bad_ = 0;
  } else {
    ++bad_;
  }
  return bad_ >= patience_;
}

}  // namespace mss::training
