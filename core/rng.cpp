#include "core/rng.h"

#include <cmath>
#include <numbers>

namespace mss::core {

PhiloxBlock philox4x32(const PhiloxBlock& counter, std::uint64_t seed) noexcept {
  constexpr std::uint64_t kM0 = 0xD2511F53u, kM1 = 0xCD9E8D57u;
  constexpr std::uint32_t kW0 = 0x9E3779B9u, kW1 = 0xBB67AE85u;
  auto [c0, c1, c2, c3] = counter;
  auto k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = kM0 * c0, p1 = kM1 * c2;
    const auto n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const auto n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += kW0;
    k1 += kW1;
  }
  return {c0, c1, c2, c3};
}

namespace {
// Fourth counter word: version of the meaning of our draws ("MSS1"). A change of meaning needs another value.
constexpr std::uint32_t kVersion = 0x4D535331u;
}  // namespace

Rng::Rng(std::uint64_t seed, std::uint32_t stream, std::uint32_t item) noexcept
    : seed_(seed), stream_(stream), item_(item) {}

std::uint32_t Rng::next_u32() noexcept {
  if (used_ == 4) {
    block_ = philox4x32({index_++, item_, stream_, kVersion}, seed_);
    used_ = 0;
  }
  return block_[static_cast<std::size_t>(used_++)];
}

std::uint64_t Rng::next_u64() noexcept {
  const std::uint64_t low = next_u32();
  return (static_cast<std::uint64_t>(next_u32()) << 32) | low;
}

double Rng::uniform() noexcept { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

std::uint32_t Rng::below(std::uint32_t n) noexcept {
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(next_u32()) * n) >> 32);
}

double Rng::normal() noexcept {
  const double u = 1.0 - uniform();  // in (0, 1]: the logarithm is finite
  const double v = uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

}  // namespace mss::core
