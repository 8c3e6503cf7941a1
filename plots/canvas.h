// Drawings for pages and screens: lines, boxes and text in any script, saved as PNG, SVG or PDF through Cairo. Built with
// MSSBENCH_CAIRO (where libcairo2-dev and fontconfig are); without it Canvas::available() is false and making one throws
// Error(unsupported).
//
// Coordinates are points (1/72 inch), x to the right, y down. Text is set in the machine's sans-serif font; letters that it
// lacks come from whichever installed font has them (fontconfig), letter by letter, left to right: scripts that join or
// reorder their letters are not shaped. Text stays text in PDF and outlines in SVG. PNG has 2.5 pixels a point (180 dpi).
// PDF carries no date: equal drawings give equal bytes on one machine.
//
// Errors: Error(unsupported) without Cairo; Error(config) for another file name extension; Error(io). Thread-safety: one
// thread per object.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "plots/color.h"
#include "plots/image.h"

namespace mss::plots {

class Canvas {
 public:
  static bool available() noexcept;
  Canvas(double width_pt, double height_pt);
  ~Canvas();
  Canvas(Canvas&&) noexcept;
  Canvas& operator=(Canvas&&) noexcept;

  double width() const noexcept;
  double height() const noexcept;

  void line(Point from, Point to, Rgb color, double width = 0.8, bool dashed = false);
  void polyline(const std::vector<Point>& points, Rgb color, double width = 1.2);
  void polygon(const std::vector<Point>& points, Rgb fill, double opacity = 1);
  void rectangle(double x, double y, double width, double height, Rgb fill, double opacity = 1);
  void frame(double x, double y, double width, double height, Rgb color, double line_width = 0.8);
  void circle(Point centre, double radius, Rgb fill, double opacity = 1);
  /// One line, `at` on the base line; `upwards` turns it left by 90 degrees.
  void text(Point at, std::string_view utf8, double size_pt, Rgb color, Align align = Align::begin, bool bold = false,
            bool upwards = false);
  double text_width(std::string_view utf8, double size_pt, bool bold = false);

  /// Format by extension: .png, .svg, .pdf. Atomic.
  void save(const std::filesystem::path& path) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Coverage in [0, 1] of a line of text, rows from the top; what Image draws where its own font lacks a letter.
struct Lettering {
  int width = 0, height = 0;
  int ascent = 0;  ///< rows above the base line
  std::vector<float> coverage;
};
/// With capitals about `capital_height` pixels high. Empty without Cairo.
Lettering lettering(std::string_view utf8, int capital_height);

}  // namespace mss::plots
