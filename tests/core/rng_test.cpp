#include "core/rng.h"

#include <cmath>
#include <set>

#include "tests/support/catch.h"

using namespace mss::core;

TEST_CASE("Philox4x32-10 gives the published known answers", "[core]") {
  // Random123's kat_vectors for philox4x32-10.
  CHECK(philox4x32({0, 0, 0, 0}, 0) == PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffffu) ==
        PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822u) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("draws follow the block layout of the specification", "[core]") {
  // Seed 1, block (stream 1, item 0, choice 0), computed independently.
  Rng rng(1, 1, 0);
  CHECK(rng.next_u32() == 0xdfa6d9d1u);
  CHECK(rng.next_u32() == 0x1925120bu);
  CHECK(rng.next_u32() == 0x958182e4u);
  CHECK(rng.next_u32() == 0x072b4361u);
  Rng again(1, 1, 0);
  CHECK(again.below(100) == 87);
}

TEST_CASE("draws are functions of (seed, stream, item) and have the right moments", "[core]") {
  Rng a(5, 2, 3), b(5, 2, 3), c(5, 2, 4), d(6, 2, 3), e(5, 3, 3);
  const std::uint64_t first = a.next_u64();
  CHECK(b.next_u64() == first);
  CHECK(std::set<std::uint64_t>{first, c.next_u64(), d.next_u64(), e.next_u64()}.size() == 4);
  Rng rng(9, 1);
  constexpr int n = 200000;
  double sum = 0, square = 0, uniform = 0;
  for (int i = 0; i < n; ++i) {
    const double x = rng.normal(), u = rng.uniform();
    sum += x;
    square += x * x;
    uniform += u;
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
  }
  // Five standard errors.
  CHECK(std::abs(sum / n) < 5 / std::sqrt(n));
  CHECK(std::abs(square / n - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::abs(uniform / n - 0.5) < 5 * std::sqrt(1 / 12.0 / n));
}
