#include "plots/color.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace mss::plots {
namespace {

constexpr std::array<std::uint32_t, 17> kViridis = {0x440154, 0x48186a, 0x472d7b, 0x424086, 0x3b528b, 0x33638d,
                                                    0x2c728e, 0x26828e, 0x21918c, 0x1fa088, 0x28ae80, 0x3fbc73,
                                                    0x5ec962, 0x84d44b, 0xaddc30, 0xd8e219, 0xfde725};
constexpr std::array<std::uint32_t, 17> kMagma = {0x000004, 0x0a0822, 0x1d1147, 0x36106b, 0x51127c, 0x6a1c81,
                                                  0x832681, 0x9c2e7f, 0xb73779, 0xd0416f, 0xe75263, 0xf56b5c,
                                                  0xfc8961, 0xfea772, 0xfec488, 0xfde2a3, 0xfcfdbf};
constexpr std::array<std::uint32_t, 2> kGray = {0x000000, 0xffffff};
constexpr std::array<std::uint32_t, 8> kLines = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7,
                                                 0xe69f00, 0x56b4e9, 0xf0e442, 0x000000};

Rgb unpack(std::uint32_t x) {
  return {static_cast<std::uint8_t>(x >> 16), static_cast<std::uint8_t>(x >> 8), static_cast<std::uint8_t>(x)};
}

template <std::size_t N>
Rgb interpolate(const std::array<std::uint32_t, N>& knots, double position) {
  const double at = position * static_cast<double>(N - 1);
  const std::size_t i = std::min(static_cast<std::size_t>(at), N - 2);
  return mix(unpack(knots[i]), unpack(knots[i + 1]), at - static_cast<double>(i));
}

std::uint8_t mix_channel(std::uint8_t below, std::uint8_t top, double coverage) {
  return static_cast<std::uint8_t>(std::lround(below + coverage * (static_cast<double>(top) - below)));
}

}  // namespace

Rgb color_at(ColorMap map, double position) noexcept {
  const double x = std::isnan(position) ? 0.0 : std::clamp(position, 0.0, 1.0);
  switch (map) {
    case ColorMap::viridis:
      return interpolate(kViridis, x);
    case ColorMap::magma:
      return interpolate(kMagma, x);
    case ColorMap::gray:
      break;
  }
  return interpolate(kGray, x);
}

Rgb line_color(std::size_t i) noexcept { return unpack(kLines[i % kLines.size()]); }

Rgb mix(Rgb below, Rgb top, double coverage) noexcept {
  return {mix_channel(below.r, top.r, coverage), mix_channel(below.g, top.g, coverage),
          mix_channel(below.b, top.b, coverage)};
}

}  // namespace mss::plots
