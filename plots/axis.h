// Axes: from values to places, and the ticks that people can read.
//
// Linear ticks are multiples of 1, 2 or 5 times a power of ten (times of more than two minutes: of 1, 2, 5, 10, 15, 20
// or 30 seconds or minutes, written m:ss). Logarithmic ticks are 1, 2 and 5 times powers of ten, or the powers alone
// where there is no room; where fewer than two of them fall inside, linear ones are taken. Hertz from 1000 on are
// written with k.
//
// Thread-safety: pure functions.
#pragma once

#include <string>
#include <vector>

namespace mss::plots {

enum class AxisScale { linear, logarithmic };

/// What the numbers are: how ticks are spaced and written. `index` counts things: integer ticks, and pictures of
/// matrices keep the edges of their cells along it.
enum class Unit { number, index, seconds, hertz, decibel };

struct Tick {
  double value = 0;
  std::string label;
};

struct Axis {
  std::string label;
  double low = 0, high = 1;
  AxisScale scale = AxisScale::linear;
  Unit unit = Unit::number;
  bool show_labels = true;  ///< numbers at the ticks; off where a neighbouring panel shows them
  std::vector<Tick> ticks;  ///< empty = chosen by make_ticks
};

/// Throws Error(invalid_argument) unless low < high, both finite, and low > 0 on a logarithmic axis.
void check_axis(const Axis& axis);

/// 0 at axis.low, 1 at axis.high; may lie outside. Values <= 0 on a logarithmic axis give -infinity.
double position_of(const Axis& axis, double value) noexcept;
/// Inverse of position_of.
double value_at(const Axis& axis, double position) noexcept;

/// Ascending ticks inside [low, high], at most `most` (>= 2 wanted; fewer where only fewer are round). Throws as
/// check_axis.
std::vector<Tick> make_ticks(const Axis& axis, int most);

}  // namespace mss::plots
