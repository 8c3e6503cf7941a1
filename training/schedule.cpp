#include "training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace mss::training {
namespace {

Plateau::Settings plateau_settings(const ScheduleRecipe& r) {
  Plateau::Settings out{.factor = 0.3,
                        .patience = static_cast<int>(r.patience),
                        .cooldown = static_cast<int>(r.cooldown),
                        .threshold = r.threshold};
  if (r.kind == ScheduleKind::plateau) out.factor = r.factor;
  return out;
}

core::Value number_or_null(double value) { return std::isfinite(value) ? core::Value(value) : core::Value(); }

}  // namespace

Schedule::Schedule(const ScheduleRecipe& recipe, double rate, std::int64_t length)
    : recipe_(recipe),
      rate_(rate),
      length_(recipe.length > 0 ? recipe.length : length),
      plateau_(rate, plateau_settings(recipe)) {
  if (recipe.kind == ScheduleKind::cosine && recipe.length <= 0)
    length_ -= recipe.warm_up != WarmUp::none ? recipe.warm_up_length : 0;
  if (recipe.kind == ScheduleKind::cosine && length_ < 1) {
    throw Error({Code::config, "optimiser.schedule", "cosine needs a length", "length, or a budget of steps or epochs",
                 "neither", ""});
  }
}

double Schedule::rate(std::int64_t step, std::int64_t epoch) const noexcept {
  const std::int64_t done = recipe_.clock == Clock::step ? step : epoch;
  const std::int64_t warm = recipe_.warm_up == WarmUp::none ? 0 : recipe_.warm_up_length;
  const auto n = static_cast<double>(std::max<std::int64_t>(0, done - warm));
  double rate = rate_;
  switch (recipe_.kind) {
    case ScheduleKind::constant:
      break;
    case ScheduleKind::step:
      rate *= std::pow(recipe_.factor, std::floor(n / static_cast<double>(recipe_.every)));
      break;
    case ScheduleKind::exponential:
      rate *= std::pow(recipe_.factor, n / static_cast<double>(recipe_.every));
      break;
    case ScheduleKind::plateau:
      rate = std::max(plateau_.rate(), std::min(recipe_.floor, rate_));
      break;
    case ScheduleKind::cosine: {
      const double at = std::min(1.0, n / static_cast<double>(length_));
      rate = recipe_.floor + (rate_ - recipe_.floor) * (1 + std::cos(std::numbers::pi * at)) / 2;
      break;
    }
  }
  if (done < warm) {
    const double w = recipe_.warm_up_factor;
    const double length = static_cast<double>(warm), so_far = static_cast<double>(done);
    rate *= recipe_.warm_up == WarmUp::linear ? w + (1 - w) * so_far / length : std::pow(w, length - so_far);
  }
  return rate;
}

void Schedule::validated(double value) {
  if (recipe_.kind == ScheduleKind::plateau) (void)plateau_.step(value);
}

core::Value Schedule::state() const { return plateau_.state(); }

void Schedule::load(const core::Value& state) { plateau_.load(state); }

Stopping::Stopping(std::int64_t patience, double min_delta) : patience_(patience), min_delta_(min_delta) {
  if (patience < 0 || !(min_delta >= 0)) {
    throw Error(Code::invalid_argument, "early stopping", "patience and min_delta must not be negative");
  }
}

bool Stopping::step(double value) {
  better_ = false;
  if (std::isnan(value)) return true;
  if (!started_ || value < best_ - min_delta_) {
    better_ = true;
    started_ = true;
    best_ = value;
    bad_ = 0;
  } else {
    ++bad_;
  }
  return patience_ > 0 && bad_ >= patience_;
}

core::Value Stopping::state() const {
  core::Value out = core::Value::object();
  out["best"] = started_ ? number_or_null(best_) : core::Value();
  out["bad"] = bad_;
  return out;
}

void Stopping::load(const core::Value& state) {
  try {
    const core::Value& best = state.at("best");
    started_ = !best.is_null();
    best_ = started_ ? best.as_real() : 0;
    bad_ = state.at("bad").as_integer();
    better_ = false;
  } catch (const Error& error) {
    throw Error({Code::checkpoint, "early stopping", "its state cannot be read", "", error.what(), ""});
  }
}

}  // namespace mss::training
