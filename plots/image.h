// A raster of 8-bit sRGB pixels, what is drawn on it, and PNG files.
//
// Coordinates: x to the right, y down, pixel (x, y) covers [x, x + 1) x [y, y + 1). Everything drawn outside the image
// (or the clip rectangle) is cut off. Sizes lie in 1 … kLargestSide pixels per side; others throw
// Error(invalid_argument).
//
// PNG: 8-bit RGB, no alpha, no time and no text chunks: equal pixels give equal bytes (with one version of libpng and
// zlib). Files are written atomically (core/file.h); Error(io) names the path.
//
// Thread-safety: values, no shared state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "plots/color.h"

namespace mss::plots {

constexpr int kLargestSide = 16384;
constexpr std::int64_t kLargestArea = std::int64_t{1} << 27;  ///< pixels, 400 MB

struct Point {
  double x = 0, y = 0;
};

/// Pixels [x, x + width) x [y, y + height).
struct Rect {
  int x = 0, y = 0, width = 0, height = 0;
  int right() const noexcept { return x + width; }
  int bottom() const noexcept { return y + height; }
  bool contains(int px, int py) const noexcept { return px >= x && py >= y && px < right() && py < bottom(); }
};

enum class Align { begin, center, end };

class Image {
 public:
  Image(int width, int height, Rgb fill = {255, 255, 255});
  int width() const noexcept { return width_; }
  int height() const noexcept { return height_; }
  Rect bounds() const noexcept { return {0, 0, width_, height_}; }
  /// Throws Error(invalid_argument) outside the image.
  Rgb at(int x, int y) const;
  void set(int x, int y, Rgb color) noexcept;
  void blend(int x, int y, Rgb color, double coverage) noexcept;
  const std::vector<Rgb>& pixels() const noexcept { return pixels_; }

  void fill(Rect area, Rgb color) noexcept;
  void blend(Rect area, Rgb color, double coverage) noexcept;
  /// The outline just inside `area`, `thickness` pixels wide.
  void frame(Rect area, Rgb color, int thickness = 1) noexcept;
  /// Smooth connected segments with round joints, `width` pixels thick; where they overlap they count once.
  void polyline(const std::vector<Point>& points, Rgb color, double width, Rect clip);
  /// One line of text: in the built-in font, or, where that lacks a letter and Cairo is there (canvas.h), in the machine's
  /// fonts; without Cairo plain_text is applied. `y` is the top of the capitals, which are 7 * scale high.
  void text(int x, int y, std::string_view text, Rgb color, int scale = 1, Align align = Align::begin);
  /// The same turned left by 90 degrees: reads upwards, `x` is the top of the capitals, `y` the place along the text.
  void text_upwards(int x, int y, std::string_view text, Rgb color, int scale = 1, Align align = Align::begin);

 private:
  std::vector<Rgb> pixels_;
  int width_, height_;
};

/// Width in pixels of a line as Image::text draws it.
int line_width(std::string_view text, int scale = 1);

std::string encode_png(const Image& image);
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace mss::plots
