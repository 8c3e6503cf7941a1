// Colours of pictures.
//
// Colour maps run from dark to light with steadily rising lightness, so that they also read in grey print and for
// colour-blind readers. `viridis` and `magma` follow matplotlib's maps of these names (N. Smith and S. van der Walt,
// released under CC0) through 17 knots, sRGB values interpolated linearly; they differ from the originals by at most 6
// of 255. `gray` is linear in sRGB. Lines take the eight colours of Okabe & Ito ("Color Universal Design", 2008), black
// last, which colour-blind readers can tell apart.
//
// Thread-safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mss::plots {

struct Rgb {
  std::uint8_t r = 0, g = 0, b = 0;
  friend bool operator==(const Rgb&, const Rgb&) = default;
};

enum class ColorMap { viridis, magma, gray };

/// Colour of `position` in [0, 1]; values outside are clamped, NaN counts as 0.
Rgb color_at(ColorMap map, double position) noexcept;

/// The i-th line colour; repeats after eight.
Rgb line_color(std::size_t i) noexcept;

/// `top` over `below`, coverage in [0, 1].
Rgb mix(Rgb below, Rgb top, double coverage) noexcept;

}  // namespace mss::plots
