#include "plots/image.h"

#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "plots/canvas.h"
#include "plots/font.h"

namespace mss::plots {
namespace {

Rect intersection(Rect a, Rect b) {
  const int x = std::max(a.x, b.x), y = std::max(a.y, b.y);
  return {x, y, std::max(0, std::min(a.right(), b.right()) - x), std::max(0, std::min(a.bottom(), b.bottom()) - y)};
}

double distance_to_segment(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
  const double t = length2 > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length2, 0.0, 1.0) : 0.0;
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

/// Cuts a segment to the rectangle grown by `margin` (Liang & Barsky 1984); false if nothing is left. Keeps the work
/// per segment within the picture, however far away its ends lie.
bool clip_segment(Point& a, Point& b, Rect clip, double margin) {
  double t0 = 0, t1 = 1;
  const double dx = b.x - a.x, dy = b.y - a.y;
  const auto edge = [&](double p, double q) {
    if (p == 0) return q >= 0;
    const double t = q / p;
    if (p < 0) {
      t0 = std::max(t0, t);
    } else {
      t1 = std::min(t1, t);
    }
    return t0 <= t1;
  };
  if (!edge(-dx, a.x - (clip.x - margin)) || !edge(dx, clip.right() + margin - a.x) ||
      !edge(-dy, a.y - (clip.y - margin)) || !edge(dy, clip.bottom() + margin - a.y)) {
    return false;
  }
  const Point start = a;
  a = {start.x + t0 * dx, start.y + t0 * dy};
  b = {start.x + t1 * dx, start.y + t1 * dy};
  return true;
}

/// Calls pixel(u, v, coverage) for text laid along u, capitals' tops at v = 0.
template <class Pixel>
void for_text(std::string_view text, int scale, const Pixel& pixel) {
  int along = 0;
  for (const char c : text) {
    const Glyph& g = glyph(c);
    const std::vector<float> coverage = glyph_coverage(g, scale);
    const int width = g.columns * scale;
    for (int v = 0; v < kGlyphRows * scale; ++v) {
      for (int u = 0; u < width; ++u) {
        const float ink = coverage[static_cast<std::size_t>(v * width + u)];
        if (ink > 0) pixel(along + u, v, static_cast<double>(ink));
      }
    }
    along += width + scale;
  }
}

int aligned(Align align, int width) { return align == Align::begin ? 0 : align == Align::center ? width / 2 : width; }

/// Text with letters beyond ASCII, through the machine's fonts; empty where the built-in font has all, or without Cairo.
Lettering foreign(std::string_view text, int scale) {
  const bool ascii =
      std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
  return ascii ? Lettering{} : lettering(text, kGlyphAscent * scale);
}

template <class Draw>
void for_letters(const Lettering& letters, Draw draw) {
  for (int v = 0; v < letters.height; ++v) {
    for (int u = 0; u < letters.width; ++u) {
      const float ink = letters.coverage[static_cast<std::size_t>(v) * static_cast<std::size_t>(letters.width) +
                                         static_cast<std::size_t>(u)];
      if (ink > 0) draw(u, v, static_cast<double>(ink));
    }
  }
}

}  // namespace

Image::Image(int width, int height, Rgb fill) : width_(width), height_(height) {
  if (width < 1 || height < 1 || width > kLargestSide || height > kLargestSide ||
      std::int64_t{width} * height > kLargestArea) {
    throw Error({Code::invalid_argument,
                 "picture",
                 "size out of range",
                 fmt::format("1 to {} pixels per side, at most {} in all", kLargestSide, kLargestArea),
                 fmt::format("{} x {}", width, height),
                 {}});
  }
  pixels_.assign(static_cast<std::size_t>(width) * static_cast<std::size_t>(height), fill);
}

Rgb Image::at(int x, int y) const {
  if (!bounds().contains(x, y)) {
    throw Error({Code::invalid_argument,
                 "picture",
                 "pixel outside",
                 fmt::format("{} x {}", width_, height_),
                 fmt::format("({}, {})", x, y),
                 {}});
  }
  return pixels_[static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x)];
}

void Image::set(int x, int y, Rgb color) noexcept {
  if (!bounds().contains(x, y)) return;
  pixels_[static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x)] = color;
}

void Image::blend(int x, int y, Rgb color, double coverage) noexcept {
  if (!bounds().contains(x, y)) return;
  Rgb& pixel = pixels_[static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x)];
  pixel = mix(pixel, color, coverage);
}

void Image::fill(Rect area, Rgb color) noexcept {
  const Rect r = intersection(area, bounds());
  for (int y = r.y; y < r.bottom(); ++y) {
    for (int x = r.x; x < r.right(); ++x) set(x, y, color);
  }
}

void Image::blend(Rect area, Rgb color, double coverage) noexcept {
  const Rect r = intersection(area, bounds());
  for (int y = r.y; y < r.bottom(); ++y) {
    for (int x = r.x; x < r.right(); ++x) blend(x, y, color, coverage);
  }
}

void Image::frame(Rect area, Rgb color, int thickness) noexcept {
  fill({area.x, area.y, area.width, thickness}, color);
  fill({area.x, area.bottom() - thickness, area.width, thickness}, color);
  fill({area.x, area.y, thickness, area.height}, color);
  fill({area.right() - thickness, area.y, thickness, area.height}, color);
}

void Image::polyline(const std::vector<Point>& points, Rgb color, double width, Rect clip) {
  const Rect area = intersection(clip, bounds());
  if (area.width == 0 || area.height == 0 || points.empty()) return;
  // Coverage is gathered first, so that joints and crossings are not drawn twice.
  std::vector<float> ink(static_cast<std::size_t>(area.width) * static_cast<std::size_t>(area.height), 0.0F);
  const double radius = width / 2, reach = radius + 1;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (i == 0 && points.size() > 1) continue;
    Point a = points[i == 0 ? 0 : i - 1], b = points[i];
    if (!std::isfinite(a.x + a.y + b.x + b.y) || !clip_segment(a, b, area, reach)) continue;
    const bool flat = std::abs(b.x - a.x) >= std::abs(b.y - a.y);
    const double slope = flat ? (b.x == a.x ? 0 : (b.y - a.y) / (b.x - a.x)) : (b.x - a.x) / (b.y - a.y);
    const double from = flat ? std::min(a.x, b.x) : std::min(a.y, b.y),
                 to = flat ? std::max(a.x, b.x) : std::max(a.y, b.y);
    // Across a line of slope up to 1 the coverage reaches sqrt(2) as far as along its normal.
    const double across = reach * 1.4143;
    for (int u = static_cast<int>(std::floor(from - reach)); u <= static_cast<int>(std::floor(to + reach)); ++u) {
      const double middle = (flat ? a.y : a.x) + slope * (std::clamp(u + 0.5, from, to) - (flat ? a.x : a.y));
      for (int v = static_cast<int>(std::floor(middle - across)); v <= static_cast<int>(std::floor(middle + across));
           ++v) {
        const int x = flat ? u : v, y = flat ? v : u;
        if (!area.contains(x, y)) continue;
        const double coverage =
            std::clamp(radius + 0.5 - distance_to_segment({x + 0.5, y + 0.5}, a, b), 0.0, std::min(1.0, width));
        float& cell = ink[static_cast<std::size_t>(y - area.y) * static_cast<std::size_t>(area.width) +
                          static_cast<std::size_t>(x - area.x)];
        cell = std::max(cell, static_cast<float>(coverage));
      }
    }
  }
  for (int y = 0; y < area.height; ++y) {
    for (int x = 0; x < area.width; ++x) {
      const float coverage =
          ink[static_cast<std::size_t>(y) * static_cast<std::size_t>(area.width) + static_cast<std::size_t>(x)];
      if (coverage > 0) blend(area.x + x, area.y + y, color, static_cast<double>(coverage));
    }
  }
}

void Image::text(int x, int y, std::string_view text, Rgb color, int scale, Align align) {
  if (const Lettering letters = foreign(text, scale); letters.width > 0) {
    const int left = x - aligned(align, letters.width), top = y + kGlyphAscent * scale - letters.ascent;
    for_letters(letters, [&](int u, int v, double ink) { blend(left + u, top + v, color, ink); });
    return;
  }
  const std::string plain = plain_text(text);
  const int left = x - aligned(align, text_width(plain, scale));
  for_text(plain, scale, [&](int u, int v, double ink) { blend(left + u, y + v, color, ink); });
}

void Image::text_upwards(int x, int y, std::string_view text, Rgb color, int scale, Align align) {
  if (const Lettering letters = foreign(text, scale); letters.width > 0) {
    const int bottom = y + aligned(align, letters.width), left = x + kGlyphAscent * scale - letters.ascent;
    for_letters(letters, [&](int u, int v, double ink) { blend(left + v, bottom - 1 - u, color, ink); });
    return;
  }
  const std::string plain = plain_text(text);
  const int bottom = y + aligned(align, text_width(plain, scale));
  for_text(plain, scale, [&](int u, int v, double ink) { blend(x + v, bottom - 1 - u, color, ink); });
}

int line_width(std::string_view text, int scale) {
  const Lettering letters = foreign(text, scale);
  return letters.width > 0 ? letters.width : text_width(plain_text(text), scale);
}

std::string encode_png(const Image& image) {
  static_assert(sizeof(Rgb) == 3);
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width());
  png.height = static_cast<png_uint_32>(image.height());
  png.format = PNG_FORMAT_RGB;
  // A fixed bound instead of a first pass for the size: compressing costs more than the memory.
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::string out(bytes, '\0');
  if (png_image_write_to_memory(&png, out.data(), &bytes, 0, image.pixels().data(), 0, nullptr) == 0) {
    const std::string reason = png.message;
    png_image_free(&png);
    throw Error(Code::internal, "libpng", reason);
  }
  out.resize(bytes);
  return out;
}

void write_png(const std::filesystem::path& path, const Image& image) {
  core::write_file_atomic(path, encode_png(image));
}

}  // namespace mss::plots
