#include "datasets/synth/random.h"

#include <algorithm>
#include <numeric>

namespace mss::datasets::synth {

core::PhiloxBlock Draws::block(Place at) const {
  return core::philox4x32({at.choice, at.item, at.stream, kFormatVersion}, seed_);
}

std::uint32_t Draws::below(std::uint32_t n, Place at) const {
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(block(at)[0]) * n) >> 32U);
}

std::size_t Draws::weighted(std::span<const int> weights, Place at) const {
  const int sum = std::accumulate(weights.begin(), weights.end(), 0);
  const int r = static_cast<int>(below(static_cast<std::uint32_t>(sum), at));
  int cumulative = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    cumulative += weights[i];
    if (cumulative > r) return i;
  }
  return weights.size() - 1;
}

bool Draws::chance(std::uint32_t per_mille, Place at) const { return below(1000, at) < per_mille; }

std::int64_t Draws::bell(Place at) const {
  std::int64_t sum = 0;
  for (const std::uint32_t word : block(at)) sum += (word >> 16U) + (word & 0xFFFFU);
  return 2 * sum - 524280;
}

std::int64_t Draws::gaussian(std::int64_t s16, Place at) const {
  constexpr std::int64_t kDivisor = 3424640;
  const std::int64_t numerator = 2 * bell(at) * s16 + 1712320;
  const std::int64_t quotient = numerator / kDivisor;
  return numerator % kDivisor < 0 ? quotient - 1 : quotient;
}

double Draws::uniform(double low, double high, Place at) const {
  return low + (high - low) * ((block(at)[0] + 0.5) / 4294967296.0);
}

double Draws::normal(Place at) const { return static_cast<double>(bell(at)) / 107020.0; }

void Draws::noise(std::span<double> out, std::uint32_t stream, std::uint32_t item) const {
  constexpr double kScale = 2.449489742783178 / 65536;  // sqrt(6) / 2^16
  for (std::size_t i = 0; i < out.size(); i += 4) {
    const auto words = core::philox4x32({static_cast<std::uint32_t>(i / 4), item, stream, kFormatVersion}, seed_);
    for (std::size_t j = 0; j < std::min<std::size_t>(4, out.size() - i); ++j) {
      const auto sum = static_cast<std::int32_t>(words[j] >> 16U) + static_cast<std::int32_t>(words[j] & 0xFFFFU);
      out[i + j] = (sum - 65535) * kScale;
    }
  }
}

}  // namespace mss::datasets::synth
