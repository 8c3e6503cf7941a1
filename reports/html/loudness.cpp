#include "reports/html/loudness.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "core/error.h"

namespace mss::reports::html {
namespace {

struct Biquad {
  double b0, b1, b2, a1, a2;
  double z1 = 0, z2 = 0;
  double operator()(double x) {
    const double y = b0 * x + z1;
    z1 = b1 * x - a1 * y + z2;
    z2 = b2 * x - a2 * y;
    return y;
  }
};

// Frequency, gain and quality of the prototypes whose transforms at 48 kHz are the Recommendation's coefficients.
Biquad high_shelf(double rate_hz) {
  const double k = std::tan(std::numbers::pi * 1681.974450955533 / rate_hz), q = 0.7071752369554196;
  const double high = std::pow(10.0, 3.999843853973347 / 20), middle = std::pow(high, 0.4996667741545416);
  const double a0 = 1 + k / q + k * k;
  return {(high + middle * k / q + k * k) / a0, 2 * (k * k - high) / a0, (high - middle * k / q + k * k) / a0,
          2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0};
}

Biquad high_pass(double rate_hz) {
  const double k = std::tan(std::numbers::pi * 38.13547087602444 / rate_hz), q = 0.5003270373238773;
  const double a0 = 1 + k / q + k * k;
  return {1, -2, 1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0};
}

double lkfs(double mean_square) { return -0.691 + 10 * std::log10(mean_square); }

}  // namespace

double loudness_lkfs(audio::AudioView audio) {
  const audio::SamplePosition bad = audio::find_non_finite(audio);
  if (bad.channel >= 0) throw Error(Code::numeric, "loudness", "NaN or infinity");
  const auto step = static_cast<std::int64_t>(std::llround(0.1 * audio.rate_hz()));
  const std::int64_t steps = step > 0 ? audio.samples() / step : 0;
  std::vector<double> squares(static_cast<std::size_t>(steps), 0.0);
  for (int c = 0; c < audio.channels(); ++c) {
    Biquad shelf = high_shelf(audio.rate_hz()), pass = high_pass(audio.rate_hz());
    const std::span<const float> x = audio.channel(c);
    for (std::int64_t i = 0; i < steps; ++i) {
      double sum = 0;
      for (std::int64_t t = i * step; t < (i + 1) * step; ++t) {
        const double y = pass(shelf(x[static_cast<std::size_t>(t)]));
        sum += y * y;
      }
      squares[static_cast<std::size_t>(i)] += sum / static_cast<double>(step);
    }
  }
  std::vector<double> blocks;
  for (std::size_t i = 0; i + 4 <= squares.size(); ++i) {
    const double mean = (squares[i] + squares[i + 1] + squares[i + 2] + squares[i + 3]) / 4;
    if (lkfs(mean) > -70) blocks.push_back(mean);
  }
  const auto mean_above = [&](double gate) {
    double sum = 0;
    int count = 0;
    for (const double block : blocks) {
      if (lkfs(block) <= gate) continue;
      sum += block;
      ++count;
    }
    return count > 0 ? sum / count : 0.0;
  };
  if (blocks.empty()) return -std::numeric_limits<double>::infinity();
  return lkfs(mean_above(lkfs(mean_above(-70)) - 10));
}

}  // namespace mss::reports::html
