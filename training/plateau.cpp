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

core::Value Plateau::state() const {
  core::Value out = core::Value::object();
  out["rate"] = rate_;
  out["best"] = std::isfinite(best_) ? core::Value(best_) : core::Value();  // null: none yet
  out["bad"] = bad_;
  out["cooling"] = cooling_;
  return out;
}

void Plateau::load(const core::Value& state) {
  try {
    const core::Value& best = state.at("best");
    const double rate = state.at("rate").as_real();
    const auto bad = static_cast<int>(state.at("bad").as_integer());
    const auto cooling = static_cast<int>(state.at("cooling").as_integer());
    best_ = best.is_null() ? std::numeric_limits<double>::infinity() : best.as_real();
    rate_ = rate;
    bad_ = bad;
    cooling_ = cooling;
  } catch (const Error& error) {
    throw Error(ErrorParts{.code = Code::checkpoint,
                           .where = "learning rate on a plateau",
                           .what = "its state cannot be read",
                           .expected = "rate, best, bad and cooling",
                           .found = error.what(),
                           .hint = {}});
  }
}

}  // namespace mss::training
