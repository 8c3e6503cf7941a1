#include "plots/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/error.h"

namespace mss::plots {
namespace {

/// A number with as many decimals as its step needs; very large and very small ones with an exponent.
std::string number_text(double value, double step) {
  const double largest = std::max(std::abs(value), step);
  if (largest >= 1e6 || step < 1e-4) {
    std::string text = fmt::format("{:.3g}", value);
    return text;
  }
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 6);
  return fmt::format("{:.{}f}", value == 0 ? 0.0 : value, decimals);
}

std::string label_of(Unit unit, double value, double step, bool clock) {
  if (clock) {
    const auto seconds = static_cast<std::int64_t>(std::llround(value));
    return fmt::format("{}{}:{:02}", seconds < 0 ? "-" : "", std::abs(seconds) / 60, std::abs(seconds) % 60);
  }
  if (unit == Unit::hertz && std::abs(value) >= 1000) return number_text(value / 1000, step / 1000) + "k";
  return number_text(value, step);
}

double round_step(double least, bool whole) {
  double power = std::pow(10.0, std::floor(std::log10(least)));
  for (;; power *= 10) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double step = factor * power;
      if (step >= least * (1 - 1e-9) && (!whole || step >= 1 - 1e-9)) return step;
    }
  }
}

double clock_step(double least) {
  for (const double step : {1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0}) {
    if (step >= least) return step;
  }
  for (double minutes = 1;; minutes *= 10) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (60 * factor * minutes >= least) return 60 * factor * minutes;
    }
  }
}

std::vector<Tick> linear_ticks(const Axis& axis, int most) {
  const double range = axis.high - axis.low;
  const bool clock = axis.unit == Unit::seconds && range > 120;
  double least = range / std::max(1, most - 1);
  std::vector<Tick> ticks;
  // A step that is as wide as the room between ticks can still give one tick too many at the ends.
  for (int attempt = 0; attempt < 8; ++attempt) {
    const double step = clock ? clock_step(least) : round_step(least, axis.unit == Unit::index);
    ticks.clear();
    const double first = std::ceil(axis.low / step - 1e-9), last = std::floor(axis.high / step + 1e-9);
    if (last - first + 1 <= most) {
      // Counted as integers: next to the last digit of the ends the index of a tick is no longer exact.
      for (int n = 0; n <= static_cast<int>(last - first); ++n) {
        const double value = (first + n) * step, at = position_of(axis, value);
        if (at >= -1e-6 && at <= 1 + 1e-6 && (ticks.empty() || value > ticks.back().value))
          ticks.push_back({value, label_of(axis.unit, value, step, clock)});
      }
      return ticks;
    }
    least = step * 1.01;
  }
  return ticks;
}

}  // namespace

void check_axis(const Axis& axis) {
  const bool finite = std::isfinite(axis.low) && std::isfinite(axis.high);
  if (!finite || !(axis.low < axis.high) || (axis.scale == AxisScale::logarithmic && !(axis.low > 0))) {
    throw Error({Code::invalid_argument,
                 fmt::format("axis '{}'", axis.label),
                 "range out of order",
                 axis.scale == AxisScale::logarithmic ? "0 < low < high" : "low < high",
                 fmt::format("{} to {}", axis.low, axis.high),
                 {}});
  }
}

double position_of(const Axis& axis, double value) noexcept {
  if (axis.scale == AxisScale::linear) return (value - axis.low) / (axis.high - axis.low);
  return std::log(std::max(value, 0.0) / axis.low) / std::log(axis.high / axis.low);
}

double value_at(const Axis& axis, double position) noexcept {
  if (axis.scale == AxisScale::linear) return axis.low + position * (axis.high - axis.low);
  return axis.low * std::pow(axis.high / axis.low, position);
}

std::vector<Tick> make_ticks(const Axis& axis, int most) {
  check_axis(axis);
  if (most < 1) return {};
  if (axis.scale == AxisScale::linear) return linear_ticks(axis, most);
  std::vector<Tick> dense, sparse;
  const int first = static_cast<int>(std::floor(std::log10(axis.low))),
            last = static_cast<int>(std::ceil(std::log10(axis.high)));
  for (int decade = first; decade <= last; ++decade) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double value = factor * std::pow(10.0, decade);
      if (value < axis.low * (1 - 1e-9) || value > axis.high * (1 + 1e-9)) continue;
      Tick tick{value, label_of(axis.unit, value, std::pow(10.0, decade), false)};
      if (factor == 1.0) sparse.push_back(tick);
      dense.push_back(std::move(tick));
    }
  }
  const auto room = static_cast<std::size_t>(most);
  if (dense.size() >= 2 && dense.size() <= room) return dense;
  if (sparse.size() >= 2 && sparse.size() <= room) return sparse;
  if (dense.size() < 2) return linear_ticks(axis, most);
  // Too many decades (or too little room for two of them): every n-th tick.
  const std::vector<Tick>& source = sparse.size() >= 2 ? sparse : dense;
  const std::size_t stride = (source.size() + room - 1) / room;
  std::vector<Tick> ticks;
  for (std::size_t i = 0; i < source.size(); i += stride) ticks.push_back(source[i]);
  return ticks;
}

}  // namespace mss::plots
