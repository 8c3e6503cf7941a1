// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2,
// 3", SC 2011). A block of four 32-bit words is a pure function of (key, counter): no state, no order of calls, hence
// no dependence on threads or workers.
#pragma once

#include <array>
#include <cstdint>

namespace mss::core {

using PhiloxBlock = std::array<std::uint32_t, 4>;

/// Philox4x32-10. Key = (seed mod 2^32, seed div 2^32). Published known answers: tests/core/rng_test.cpp.
PhiloxBlock philox4x32(const PhiloxBlock& counter, std::uint64_t seed) noexcept;

/// A sequence of draws for one named use: counter = (index, item, stream, version) with index = 0, 1, …
/// Two Rng with the same arguments give the same sequence; different (stream, item) never overlap (2^32 blocks each).
class Rng {
 public:
  Rng(std::uint64_t seed, std::uint32_t stream, std::uint32_t item = 0) noexcept;

  std::uint32_t next_u32() noexcept;
  std::uint64_t next_u64() noexcept;
  /// Uniform in [0, 1): 53 bits.
  double uniform() noexcept;
  double uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }
  /// Uniform integer in [0, n), n > 0: floor(word * n / 2^32).
  std::uint32_t below(std::uint32_t n) noexcept;
  /// Standard normal by Box-Muller (cosine branch, one value per call).
  double normal() noexcept;

 private:
  std::uint64_t seed_;
  std::uint32_t stream_, item_, index_ = 0;
  int used_ = 4;
  PhiloxBlock block_{};
};

}  // namespace mss::core
