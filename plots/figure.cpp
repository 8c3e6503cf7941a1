#include "plots/figure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "core/error.h"
#include "plots/font.h"

namespace mss::plots {
namespace {

using Index = std::int64_t;

constexpr Rgb kText = {0x20, 0x20, 0x20};
constexpr Rgb kFaint = {0x60, 0x60, 0x60};
constexpr Rgb kGrid = {0xdd, 0xdd, 0xdd};
constexpr Rgb kBackground = {0xf2, 0xf2, 0xf2};
constexpr int kLeastPanel = 8;
constexpr double kReferenceOfSilence = 1.0;
constexpr double kSeparator = 0.4;  ///< opacity

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

[[noreturn]] void bad(const std::string& title, std::string what, std::string expected = {}, std::string found = {}) {
  throw Error({Code::invalid_argument,
               fmt::format("panel '{}'", title),
               std::move(what),
               std::move(expected),
               std::move(found),
               {}});
}

void check(const Heatmap& map) {
  if (map.rows < 1 || map.columns < 1)
    bad(map.title, "empty matrix", "at least 1 x 1", fmt::format("{} x {}", map.rows, map.columns));
  // Divided instead of multiplied: sizes come from callers and may be anything.
  if (map.values.size() / sz(map.rows) != sz(map.columns) || map.values.size() % sz(map.rows) != 0) {
    bad(map.title, "values do not fill the matrix", fmt::format("{} x {}", map.rows, map.columns),
        fmt::format("{} values", map.values.size()));
  }
  check_axis(map.x);
  check_axis(map.y);
  if (!std::isfinite(map.x_first) || !std::isfinite(map.y_first) || !std::isfinite(map.x_step) ||
      !std::isfinite(map.y_step) || map.x_step == 0 || map.y_step == 0) {
    bad(map.title, "cells without place", "finite first, step other than 0");
  }
  if (map.level == Level::decibel && !(map.floor_db < 0 && std::isfinite(map.floor_db)))
    bad(map.title, "floor_db out of range", "below 0", fmt::format("{}", map.floor_db));
  if (map.reference && !(*map.reference > 0 && std::isfinite(*map.reference)))
    bad(map.title, "reference out of range", "above 0", fmt::format("{}", *map.reference));
  if ((map.low && !std::isfinite(*map.low)) || (map.high && !std::isfinite(*map.high)) ||
      (map.low && map.high && !(*map.low < *map.high))) {
    bad(map.title, "ends of the colour map out of order", "low < high");
  }
  for (std::size_t i = 0; i < map.values.size(); ++i) {
    const float v = map.values[i];
    if (!std::isfinite(v)) {
      throw Error({Code::numeric,
                   fmt::format("panel '{}'", map.title),
                   "value is not finite",
                   {},
                   fmt::format("{} in row {}, column {}", v, static_cast<Index>(i) / map.columns,
                               static_cast<Index>(i) % map.columns),
                   {}});
    }
    if (v < 0 && map.level == Level::decibel)
      bad(map.title, "negative amplitude in decibels", "0 or more", fmt::format("{}", v));
  }
}

void check(const CurvePanel& panel) {
  if (panel.curves.empty()) bad(panel.title, "no curves", "at least 1", "0");
  check_axis(panel.x);
  check_axis(panel.y);
  for (const Curve& curve : panel.curves) {
    if (curve.positions.empty()) bad(panel.title, fmt::format("curve '{}' is empty", curve.name));
    if (curve.positions.size() != curve.values.size()) {
      bad(panel.title, fmt::format("curve '{}' has not a value for every position", curve.name),
          fmt::format("{}", curve.positions.size()), fmt::format("{}", curve.values.size()));
    }
    for (std::size_t i = 0; i < curve.values.size(); ++i) {
      if (!std::isfinite(curve.positions[i]) || !std::isfinite(curve.values[i])) {
        throw Error({Code::numeric,
                     fmt::format("panel '{}'", panel.title),
                     fmt::format("curve '{}' is not finite", curve.name),
                     {},
                     fmt::format("({}, {}) at point {}", curve.positions[i], curve.values[i], i),
                     {}});
      }
      if (i > 0 && curve.positions[i] < curve.positions[i - 1])
        bad(panel.title, fmt::format("positions of curve '{}' do not ascend", curve.name));
    }
  }
}

// ---- Sampling a matrix on pixels ----

/// What one pixel takes from the cells along one axis: cells first … first + weights.size() - 1; none outside the
/// matrix.
struct Taps {
  Index first = 0;
  std::vector<float> weights;
};

/// Taps of `pixels` pixels; pixel p covers positions [p, p + 1] / pixels of the axis.
std::vector<Taps> taps_of(const Axis& axis, int pixels, Index cells, double first, double step) {
  std::vector<Taps> out(sz(pixels));
  const auto cell_at = [&](double position) { return (value_at(axis, position) - first) / step; };
  for (int p = 0; p < pixels; ++p) {
    double from = cell_at(static_cast<double>(p) / pixels), to = cell_at(static_cast<double>(p + 1) / pixels);
    if (from > to) std::swap(from, to);
    Taps& taps = out[sz(p)];
    // Cells end half a step beyond their centre; sampled functions hold for a whole step beyond their last sample.
    const double room = axis.unit == Unit::index ? 0.5 : 1.0;
    const double low = -room, high = static_cast<double>(cells - 1) + room, middle = (from + to) / 2;
    if (!(middle >= low && middle <= high)) continue;
    if (to - from >= 1.0) {
      // Cells are pooled by how much of them the pixel covers; cell i covers [i - 1/2, i + 1/2].
      from = std::max(from, low);
      to = std::min(to, high);
      const Index a = std::clamp(static_cast<Index>(std::floor(from + 0.5)), Index{0}, cells - 1);
      const Index b = std::clamp(static_cast<Index>(std::ceil(to - 0.5)), a, cells - 1);
      taps.first = a;
      for (Index i = a; i <= b; ++i) {
        const double x = static_cast<double>(i);
        taps.weights.push_back(static_cast<float>(std::max(1e-6, std::min(to, x + 0.5) - std::max(from, x - 0.5))));
      }
    } else if (axis.unit == Unit::index || cells == 1) {
      taps.first = std::clamp(static_cast<Index>(std::llround(middle)), Index{0}, cells - 1);
      taps.weights = {1.0F};
    } else {
      const double at = std::clamp(middle, 0.0, static_cast<double>(cells - 1));
      taps.first = std::min(static_cast<Index>(at), cells - 2);
      const auto right = static_cast<float>(at - static_cast<double>(taps.first));
      taps.weights = {1.0F - right, right};
    }
    float sum = 0;
    for (const float w : taps.weights) sum += w;
    for (float& w : taps.weights) w /= sum;
  }
  return out;
}

/// Interpolated and pooled value; power pooling means squares where it pools (more than two taps) and is linear where
/// it interpolates.
template <class Value>
float pooled(const Taps& taps, Pooling pooling, const Value& value) {
  if (taps.weights.size() <= 2 && pooling != Pooling::peak) {
    float sum = 0;
    for (std::size_t i = 0; i < taps.weights.size(); ++i)
      sum += taps.weights[i] * value(taps.first + static_cast<Index>(i));
    return sum;
  }
  double sum = 0;
  float peak = value(taps.first);
  for (std::size_t i = 0; i < taps.weights.size(); ++i) {
    const float v = value(taps.first + static_cast<Index>(i));
    sum += static_cast<double>(taps.weights[i]) * static_cast<double>(v) * static_cast<double>(v);
    peak = std::max(peak, v);
  }
  return pooling == Pooling::peak ? peak : static_cast<float>(std::sqrt(sum));
}

struct Range {
  double low = 0, high = 1;
};

double reference_of(const Heatmap& map) {
  if (map.reference) return *map.reference;
  const double peak = static_cast<double>(*std::max_element(map.values.begin(), map.values.end()));
  return peak > 0 ? peak : kReferenceOfSilence;
}

Range level_range(const Heatmap& map) {
  if (map.level == Level::decibel) return {map.floor_db, 0};
  const auto [low, high] = std::minmax_element(map.values.begin(), map.values.end());
  Range r{map.low.value_or(std::min(0.0, static_cast<double>(*low))), map.high.value_or(static_cast<double>(*high))};
  if (!(r.low < r.high)) r.high = r.low + 1;
  return r;
}

void draw_matrix(Image& image, const Heatmap& map, Rect area) {
  const std::vector<Taps> across = taps_of(map.x, area.width, map.columns, map.x_first, map.x_step);
  const std::vector<Taps> up = taps_of(map.y, area.height, map.rows, map.y_first, map.y_step);
  const Range range = level_range(map);
  const double reference = map.level == Level::decibel ? reference_of(map) : 1;
  std::vector<float> column(sz(map.rows));
  for (int px = 0; px < area.width; ++px) {
    const Taps& taps = across[sz(px)];
    if (taps.weights.empty()) continue;
    for (Index k = 0; k < map.rows; ++k) {
      const float* row = map.values.data() + k * map.columns;
      column[sz(k)] = pooled(taps, map.pooling, [row](Index i) { return row[i]; });
    }
    for (int py = 0; py < area.height; ++py) {
      const Taps& rows = up[sz(py)];
      if (rows.weights.empty()) continue;
      double v = static_cast<double>(pooled(rows, map.pooling, [&](Index i) { return column[sz(i)]; }));
      if (map.level == Level::decibel)
        v = v > 0 ? std::max(map.floor_db, 20 * std::log10(v / reference)) : map.floor_db;
      image.set(area.x + px, area.bottom() - 1 - py, color_at(map.colors, (v - range.low) / (range.high - range.low)));
    }
  }
}

// ---- Layout ----

struct Margins {
  int left = 0, right = 0, top = 0, bottom = 0;
  void grow(const Margins& other) {
    left = std::max(left, other.left);
    right = std::max(right, other.right);
    top = std::max(top, other.top);
    bottom = std::max(bottom, other.bottom);
  }
};

class Painter {
 public:
  explicit Painter(const Figure& figure)
      : figure_(figure), scale_(figure.text_scale), image_(figure.width, figure.height) {}

  Image paint() {
    check_grid();
    lay_out();
    for (std::size_t i = 0; i < figure_.cells.size(); ++i) {
      const Rect area = areas_[i];
      std::visit([&](const auto& panel) { draw(panel, area); }, figure_.cells[i].panel);
    }
    return std::move(image_);
  }

 private:
  int cap() const { return kGlyphAscent * scale_; }  ///< height of capitals
  int gap() const { return 3 * scale_; }
  int tick_length() const { return 2 * scale_; }
  int line() const { return kGlyphRows * scale_; }
  int stroke() const { return std::max(1, scale_ / 2); }
  int bar_width() const { return 8 * scale_; }
  int title_scale() const { return scale_ + 1; }

  [[noreturn]] void bad_figure(std::string what, std::string expected, std::string found) const {
    throw Error({Code::invalid_argument,
                 fmt::format("figure '{}'", figure_.title),
                 std::move(what),
                 std::move(expected),
                 std::move(found),
                 {}});
  }

  void check_grid() const {
    if (scale_ < 1 || scale_ > kLargestTextScale - 1)
      bad_figure("text scale out of range", fmt::format("1 to {}", kLargestTextScale - 1), fmt::format("{}", scale_));
    if (figure_.cells.empty()) bad_figure("no panels", "at least 1", "0");
    for (const auto* weights : {&figure_.row_weights, &figure_.column_weights}) {
      for (const double w : *weights) {
        if (!(w > 0 && std::isfinite(w))) bad_figure("weight out of range", "above 0", fmt::format("{}", w));
      }
    }
    std::set<std::pair<int, int>> used;
    for (const Cell& cell : figure_.cells) {
      if (cell.row < 0 || cell.column < 0 || sz(cell.row) >= figure_.row_weights.size() ||
          sz(cell.column) >= figure_.column_weights.size() || !used.emplace(cell.row, cell.column).second) {
        bad_figure("panel at a place that is taken or outside the grid",
                   fmt::format("{} x {} places", figure_.row_weights.size(), figure_.column_weights.size()),
                   fmt::format("row {}, column {}", cell.row, cell.column));
      }
      std::visit([](const auto& panel) { check(panel); }, cell.panel);
    }
  }

  // How many ticks fit is not known before the layout; the widest label hardly depends on it.
  static std::vector<Tick> ticks_of(const Axis& axis, int most) {
    if (axis.ticks.empty()) return make_ticks(axis, most);
    std::vector<Tick> inside;
    for (const Tick& tick : axis.ticks) {
      const double at = position_of(axis, tick.value);
      if (at >= -1e-9 && at <= 1 + 1e-9) inside.push_back(tick);
    }
    return inside;
  }

  int widest(const std::vector<Tick>& ticks) const {
    int width = 0;
    for (const Tick& tick : ticks) width = std::max(width, line_width(tick.label, scale_));
    return width;
  }

  Margins axes_margins(const std::string& title, const Axis& x, const Axis& y) const {
    Margins m;
    m.left = tick_length() + gap();
    if (y.show_labels) m.left += widest(ticks_of(y, 10)) + gap();
    if (!y.label.empty()) m.left += line() + gap();
    m.right = x.show_labels ? 8 * scale_ : 2 * scale_;
    m.top = title.empty() ? (y.show_labels ? cap() / 2 + gap() : gap()) : line() + 2 * gap();
    m.bottom = tick_length() + gap();
    if (x.show_labels) m.bottom += line() + gap();
    if (!x.label.empty()) m.bottom += line() + gap();
    return m;
  }
  Margins margins_of(const Heatmap& map) const {
    Margins m = axes_margins(map.title, map.x, map.y);
    if (map.color_bar) {
      m.right = 2 * gap() + bar_width() + tick_length() + gap() + widest(ticks_of(bar_axis(map), 6)) + 2 * gap();
      if (!map.color_label.empty()) m.right += line() + gap();
    }
    return m;
  }
  Margins margins_of(const CurvePanel& panel) const { return axes_margins(panel.title, panel.x, panel.y); }

  static Axis bar_axis(const Heatmap& map) {
    const Range range = level_range(map);
    return {.label = map.color_label,
            .low = range.low,
            .high = range.high,
            .unit = map.level == Level::decibel ? Unit::decibel : Unit::number,
            .ticks = {}};
  }

  void lay_out() {
    const std::size_t rows = figure_.row_weights.size(), columns = figure_.column_weights.size();
    std::vector<Margins> row_margins(rows), column_margins(columns);
    for (const Cell& cell : figure_.cells) {
      const Margins m = std::visit([&](const auto& panel) { return margins_of(panel); }, cell.panel);
      row_margins[sz(cell.row)].grow(m);
      column_margins[sz(cell.column)].grow(m);
    }
    int top = gap(), bottom = figure_.height - gap();
    if (!figure_.title.empty()) {
      image_.text(figure_.width / 2, top + gap(), fitted(figure_.title, figure_.width - 4 * gap(), title_scale()),
                  kText, title_scale(), Align::center);
      top += kGlyphRows * title_scale() + 2 * gap();
    }
    if (!figure_.note.empty()) {
      bottom -= line() + gap();
      image_.text(3 * gap(), bottom + gap(), fitted(figure_.note, figure_.width - 6 * gap(), scale_), kFaint, scale_);
    }
    const auto split = [&](int begin, int end, const std::vector<double>& weights, const auto& before,
                           const auto& after, const char* side) {
      int fixed = 0;
      double total = 0;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        fixed += before(i) + after(i);
        total += weights[i];
      }
      const double room = static_cast<double>(end - begin - fixed);
      std::vector<std::pair<int, int>> spans;
      double used = 0;
      int margin = 0;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        margin += before(i);
        const int from = begin + margin + static_cast<int>(std::lround(room * used / total));
        used += weights[i];
        const int to = begin + margin + static_cast<int>(std::lround(room * used / total));
        margin += after(i);
        if (to - from < kLeastPanel) {
          bad_figure(fmt::format("too small: the margins leave no {} for the panels", side),
                     fmt::format("at least {} pixels per panel", kLeastPanel),
                     fmt::format("{} x {} pixels in all", figure_.width, figure_.height));
        }
        spans.emplace_back(from, to);
      }
      return spans;
    };
    const auto across = split(
        gap(), figure_.width - gap(), figure_.column_weights, [&](std::size_t i) { return column_margins[i].left; },
        [&](std::size_t i) { return column_margins[i].right; }, "width");
    const auto down = split(
        top, bottom, figure_.row_weights, [&](std::size_t i) { return row_margins[i].top; },
        [&](std::size_t i) { return row_margins[i].bottom; }, "height");
    for (const Cell& cell : figure_.cells) {
      const auto [x0, x1] = across[sz(cell.column)];
      const auto [y0, y1] = down[sz(cell.row)];
      areas_.push_back({x0, y0, x1 - x0, y1 - y0});
    }
  }

  /// The text, or its beginning and "..." where it is too wide.
  static std::string fitted(const std::string& text, int width, int scale) {
    std::string plain(text);
    if (line_width(plain, scale) <= width) return plain;
    while (!plain.empty() && line_width(plain + "...", scale) > width) {
      while (plain.size() > 1 && (static_cast<unsigned char>(plain.back()) & 0xC0U) == 0x80U) plain.pop_back();
      plain.pop_back();
    }
    return plain + "...";
  }

  int most_across(const Axis& axis, Rect area) const {
    const int label = std::max(widest(ticks_of(axis, 8)), 4 * scale_);
    return std::max(2, area.width / (2 * label + 8 * scale_));
  }
  int most_up(Rect area) const { return std::max(2, area.height / (line() + 2 * scale_)); }

  int pixel_x(const Axis& axis, double value, Rect area) const {
    return area.x + std::clamp(static_cast<int>(std::floor(position_of(axis, value) * area.width)), 0, area.width - 1);
  }
  int pixel_y(const Axis& axis, double value, Rect area) const {
    return area.bottom() - 1 -
           std::clamp(static_cast<int>(std::floor(position_of(axis, value) * area.height)), 0, area.height - 1);
  }

  void draw_title(const std::string& title, Rect area) {
    if (title.empty()) return;
    image_.text(area.x, area.y - gap() - line() + 0, fitted(title, figure_.width - area.x, scale_), kText, scale_);
  }

  void draw_x_axis(const Axis& axis, Rect area) {
    int taken = -1;
    for (const Tick& tick : ticks_of(axis, most_across(axis, area))) {
      const int x = pixel_x(axis, tick.value, area);
      image_.fill({x - stroke() / 2, area.bottom(), stroke(), tick_length()}, kText);
      if (!axis.show_labels || tick.label.empty()) continue;
      const int width = line_width(tick.label, scale_), left = x - width / 2;
      if (taken >= 0 && left < taken + 2 * scale_) continue;  // labels given by the caller may be too many
      image_.text(left, area.bottom() + tick_length() + gap(), tick.label, kText, scale_);
      taken = left + width;
    }
    if (axis.label.empty()) return;
    const int y = area.bottom() + tick_length() + gap() + (axis.show_labels ? line() + gap() : 0);
    image_.text(area.x + area.width / 2, y, axis.label, kText, scale_, Align::center);
  }

  void draw_y_axis(const Axis& axis, Rect area) {
    const std::vector<Tick> ticks = ticks_of(axis, most_up(area));
    int taken = figure_.height * 2;
    for (const Tick& tick : ticks) {
      const int y = pixel_y(axis, tick.value, area);
      image_.fill({area.x - tick_length(), y - stroke() / 2, tick_length(), stroke()}, kText);
      if (!axis.show_labels || tick.label.empty()) continue;
      const int top = y - cap() / 2;
      if (top + line() > taken) continue;
      image_.text(area.x - tick_length() - gap(), top, tick.label, kText, scale_, Align::end);
      taken = top;
    }
    if (axis.label.empty()) return;
    const int labels = axis.show_labels ? widest(ticks_of(axis, 10)) + gap() : 0;
    image_.text_upwards(area.x - tick_length() - gap() - labels - gap() - cap(), area.y + area.height / 2, axis.label,
                        kText, scale_, Align::center);
  }

  void draw(const Heatmap& map, Rect area) {
    image_.fill(area, kBackground);
    draw_matrix(image_, map, area);
    for (const double at : map.x_separators) {
      const double position = position_of(map.x, at);
      if (position <= 0 || position >= 1) continue;
      image_.blend(Rect{area.x + static_cast<int>(std::lround(position * area.width)), area.y, 1, area.height},
                   {255, 255, 255}, kSeparator);
    }
    for (const double at : map.y_separators) {
      const double position = position_of(map.y, at);
      if (position <= 0 || position >= 1) continue;
      image_.blend(Rect{area.x, area.bottom() - static_cast<int>(std::lround(position * area.height)), area.width, 1},
                   {255, 255, 255}, kSeparator);
    }
    frame(area);
    draw_title(map.title, area);
    draw_x_axis(map.x, area);
    draw_y_axis(map.y, area);
    if (map.color_bar) draw_bar(map, area);
  }

  void draw_bar(const Heatmap& map, Rect area) {
    const Rect bar{area.right() + 2 * gap(), area.y, bar_width(), area.height};
    for (int y = 0; y < bar.height; ++y) {
      image_.fill({bar.x, bar.bottom() - 1 - y, bar.width, 1}, color_at(map.colors, (y + 0.5) / bar.height));
    }
    frame(bar);
    const Axis axis = bar_axis(map);
    for (const Tick& tick : make_ticks(axis, std::min(6, most_up(area)))) {
      const int y = pixel_y(axis, tick.value, bar);
      image_.fill({bar.right(), y - stroke() / 2, tick_length(), stroke()}, kText);
      image_.text(bar.right() + tick_length() + gap(), y - cap() / 2, tick.label, kText, scale_);
    }
    if (map.color_label.empty()) return;
    const int x = bar.right() + tick_length() + gap() + widest(ticks_of(axis, 6)) + 2 * gap();
    image_.text_upwards(x, area.y + area.height / 2, map.color_label, kText, scale_, Align::center);
  }

  void frame(Rect area) {
    image_.frame({area.x - stroke(), area.y - stroke(), area.width + 2 * stroke(), area.height + 2 * stroke()}, kText,
                 stroke());
  }

  void draw(const CurvePanel& panel, Rect area) {
    const bool upright = panel.orientation == Orientation::upright;
    for (const Tick& tick : ticks_of(panel.x, most_across(panel.x, area)))
      image_.fill({pixel_x(panel.x, tick.value, area), area.y, 1, area.height}, kGrid);
    for (const Tick& tick : ticks_of(panel.y, most_up(area)))
      image_.fill({area.x, pixel_y(panel.y, tick.value, area), area.width, 1}, kGrid);
    for (std::size_t i = 0; i < panel.curves.size(); ++i) {
      const Curve& curve = panel.curves[i];
      const Rgb color = curve.color.value_or(line_color(i));
      const std::vector<Point> points = thinned(panel, curve, area);
      if (panel.filled) fill_below(points, area, upright, color);
      image_.polyline(points, color, panel.curves.size() > 8 ? stroke() : 1.0 * scale_ * 0.8, area);
    }
    frame(area);
    draw_title(panel.title, area);
    draw_x_axis(panel.x, area);
    draw_y_axis(panel.y, area);
    if (panel.legend) draw_legend(panel, area);
  }

  /// Points in pixels. Of those that share a pixel along the positions the first, lowest, highest and last stay.
  static std::vector<Point> thinned(const CurvePanel& panel, const Curve& curve, Rect area) {
    const bool upright = panel.orientation == Orientation::upright;
    const Axis &along = upright ? panel.x : panel.y, &value = upright ? panel.y : panel.x;
    const int length = upright ? area.width : area.height, height = upright ? area.height : area.width;
    std::vector<Point> kept;
    const auto place = [&](std::size_t i) {
      // Far beyond the panel is far enough; also where a logarithm is minus infinity.
      const double u = std::clamp(position_of(along, curve.positions[i]), -10.0, 11.0) * length;
      const double v = std::clamp(position_of(value, curve.values[i]), -10.0, 11.0) * height;
      return Point{u, v};
    };
    for (std::size_t i = 0; i < curve.values.size();) {
      const Point first = place(i);
      std::size_t end = i + 1;
      Point low = first, high = first, last = first;
      for (; end < curve.values.size(); ++end) {
        const Point p = place(end);
        if (std::floor(p.x) != std::floor(first.x)) break;
        if (p.y < low.y) low = p;
        if (p.y > high.y) high = p;
        last = p;
      }
      kept.push_back(first);
      if (end - i > 2) {
        kept.push_back(low.x <= high.x ? low : high);
        kept.push_back(low.x <= high.x ? high : low);
      }
      if (end - i > 1) kept.push_back(last);
      i = end;
    }
    for (Point& p : kept) {
      p = upright ? Point{area.x + p.x, area.bottom() - p.y} : Point{area.x + p.y, area.bottom() - p.x};
    }
    return kept;
  }

  /// Shades from the value axis' low end up to the curve, pixel by pixel along the positions.
  void fill_below(const std::vector<Point>& points, Rect area, bool upright, Rgb color) {
    const int length = upright ? area.width : area.height, height = upright ? area.height : area.width;
    std::vector<double> reach(sz(length), -1);
    const auto along = [&](Point p) { return upright ? p.x - area.x : area.bottom() - p.y; };
    const auto value = [&](Point p) { return upright ? area.bottom() - p.y : p.x - area.x; };
    for (std::size_t i = 1; i < points.size(); ++i) {
      const double u0 = along(points[i - 1]), u1 = along(points[i]), v0 = value(points[i - 1]), v1 = value(points[i]);
      const int from = std::max(0, static_cast<int>(std::floor(u0))),
                to = std::min(length - 1, static_cast<int>(std::floor(u1)));
      for (int u = from; u <= to; ++u) {
        const double t = u1 > u0 ? std::clamp((u + 0.5 - u0) / (u1 - u0), 0.0, 1.0) : 1.0;
        reach[sz(u)] = std::max(reach[sz(u)], v0 + t * (v1 - v0));
      }
    }
    for (int u = 0; u < length; ++u) {
      const int top = std::clamp(static_cast<int>(std::lround(reach[sz(u)])), 0, height);
      if (reach[sz(u)] <= 0) continue;
      image_.blend(
          upright ? Rect{area.x + u, area.bottom() - top, 1, top} : Rect{area.x, area.bottom() - 1 - u, top, 1}, color,
          0.25);
    }
  }

  void draw_legend(const CurvePanel& panel, Rect area) {
    std::vector<std::size_t> named;
    int width = 0;
    for (std::size_t i = 0; i < panel.curves.size(); ++i) {
      if (panel.curves[i].name.empty()) continue;
      named.push_back(i);
      width = std::max(width, line_width(panel.curves[i].name, scale_));
    }
    if (named.empty()) return;
    const int sample = 12 * scale_, row = line() + scale_;
    const int fit = std::max(0, (area.height - 4 * gap()) / row);
    const Rect box{area.right() - width - sample - 5 * gap(), area.y + gap(), width + sample + 4 * gap(),
                   std::min(fit, static_cast<int>(named.size())) * row + gap()};
    if (fit == 0 || box.x < area.x) return;  // no room: better without than over the frame
    image_.blend(box, {255, 255, 255}, 0.85);
    image_.frame(box, kGrid, 1);
    int y = box.y + gap();
    for (int i = 0; i < std::min(fit, static_cast<int>(named.size())); ++i, y += row) {
      const Curve& curve = panel.curves[named[sz(i)]];
      image_.fill({box.x + gap(), y + cap() / 2 - stroke(), sample, 2 * stroke()},
                  curve.color.value_or(line_color(named[sz(i)])));
      image_.text(box.x + 2 * gap() + sample, y, curve.name, kText, scale_);
    }
  }

  const Figure& figure_;
  int scale_;
  Image image_;
  std::vector<Rect> areas_;
};

}  // namespace

Image render(const Figure& figure) { return Painter(figure).paint(); }

Axis value_axis(std::string label, const std::vector<double>& values, Unit unit) {
  double low = 0, high = 0;
  for (const double v : values) {
    if (!std::isfinite(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  if (!(low < high)) high = low + 1;
  const double room = 0.05 * (high - low);
  return {.label = std::move(label), .low = low < 0 ? low - room : 0, .high = high + room, .unit = unit, .ticks = {}};
}

}  // namespace mss::plots
