// Pictures made of panels: matrices in colours and curves, with axes, in a grid.
//
// A figure is a grid of cells with relative widths and heights. Panels of one column share left and right edges, panels
// of one row top and bottom edges, so that a template beside a spectrogram and an activation above it line up. Margins
// follow from the text that stands in them.
//
// Heatmap. values[row * columns + column]; row i lies at y_first + i * y_step, column j at x_first + j * x_step
// (centres of cells). Row 0 is at the bottom when y_step > 0. The axes choose the part that is shown and how: with a
// logarithmic y axis, linear bins are drawn on a logarithmic frequency axis. Where several cells fall on one pixel they
// are pooled (Pooling::power: root of the mean square, Pooling::peak: the largest); where one cell covers several
// pixels it is interpolated linearly, or kept as a block along an axis of Unit::index. What the axes show beyond the
// matrix stays background.
//
// Levels. Level::decibel shows 20 log10(v / reference), reference = the matrix's largest value unless given, and clips
// below floor_db; an all-zero matrix is all floor. Level::linear shows low … high, by default from the smallest (at
// most 0) to the largest value.
//
// Curves. Points (position, value), positions ascending. Upright: positions along x; sideways: positions along y, so
// that a spectrum stands beside a spectrogram. Several curves get a legend where they have names.
//
// Errors: Error(invalid_argument) for empty matrices or curves, sizes that do not fit the values, negative amplitudes
// in decibels, grid places used twice or outside, axes out of order (check_axis), figures out of the limits of Image or
// so small that a panel would have less than 8 pixels; Error(numeric) for NaN and infinities. All name the panel.
//
// render() is a pure function: equal figures give equal pixels. Thread-safety: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "plots/axis.h"
#include "plots/color.h"
#include "plots/image.h"

namespace mss::plots {

enum class Level { linear, decibel };
enum class Pooling { power, peak };

struct Heatmap {
  std::string title;
  std::int64_t rows = 0, columns = 0;
  std::vector<float> values;
  double x_first = 0, x_step = 1, y_first = 0, y_step = 1;
  Axis x, y;
  Level level = Level::decibel;
  double floor_db = -80;            ///< below the reference; decibel only, negative
  std::optional<double> reference;  ///< decibel: amplitude of 0 dB, > 0
  std::optional<double> low, high;  ///< linear: ends of the colour map
  Pooling pooling = Pooling::power;
  ColorMap colors = ColorMap::magma;
  bool color_bar = true;
  std::string color_label;
  std::vector<double> x_separators, y_separators;  ///< thin light lines at these values; one given twice is brighter
};

struct Curve {
  std::string name;
  std::vector<double> positions, values;
  std::optional<Rgb> color;  ///< default: line_color of its index
};

enum class Orientation { upright, sideways };

struct CurvePanel {
  std::string title;
  std::vector<Curve> curves;
  Axis x, y;
  Orientation orientation = Orientation::upright;
  bool filled = false;  ///< a light fill down to the low end of the value axis
  bool legend = true;
};

struct Cell {
  int row = 0, column = 0;
  std::variant<Heatmap, CurvePanel> panel;
};

struct Figure {
  std::string title;
  std::string note;  ///< small line at the bottom
  int width = 1600, height = 1000;
  int text_scale = 2;  ///< pixels per cell of the font; the title is one larger
  std::vector<double> row_weights = {1}, column_weights = {1};
  std::vector<Cell> cells;
};

Image render(const Figure& figure);

/// The axis of a heatmap or curve that covers [low, high] of its values: at least a little wide, from 0 where nothing
/// is negative.
Axis value_axis(std::string label, const std::vector<double>& values, Unit unit = Unit::number);

}  // namespace mss::plots
