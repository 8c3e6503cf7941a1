// Golden values of an independent implementation (tests/golden/nmf.json, section `clean`) and invariants.

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"
#include "methods/classic/dft2.h"
#include "methods/classic/hpss.h"
#include "methods/classic/repet.h"
#include "methods/classic/rpca.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss::methods::classic;

namespace {

/// V[k][m] = ((7k + 13m + 3km) mod 17 + 1) / 17, frame-major.
template <class T>
std::vector<T> formula(int bins, int frames) {
  std::vector<T> v;
  for (int m = 0; m < frames; ++m) {
    for (int k = 0; k < bins; ++k) v.push_back(static_cast<T>((7 * k + 13 * m + 3 * k * m) % 17 + 1) / T(17));
  }
  return v;
}

const mss::core::Value& golden(const std::string& name) {
  static const mss::core::Value all = mss::core::read_json_file(mss::tests::golden("nmf.json"));
  return all.at("clean").at(name);
}

/// Largest difference to the golden matrix [k][m].
template <class T>
double difference(const std::vector<T>& mine, const mss::core::Value& theirs, int bins, int frames) {
  double worst = 0;
  for (int k = 0; k < bins; ++k) {
    for (int m = 0; m < frames; ++m) {
      const double expected =
          theirs.as_array()[static_cast<std::size_t>(k)].as_array()[static_cast<std::size_t>(m)].as_real();
      worst = std::max(worst, std::abs(static_cast<double>(mine[static_cast<std::size_t>(m * bins + k)]) - expected));
    }
  }
  return worst;
}

std::vector<float> random_magnitudes(std::int64_t frames, int bins, std::uint64_t seed) {
  mss::core::Rng rng(seed, 1);
  std::vector<float> v(static_cast<std::size_t>(frames * bins));
  for (float& x : v) x = static_cast<float>(rng.uniform());
  return v;
}

}  // namespace

TEST_CASE("median HPSS equals the golden values", "[classic]") {
  constexpr int bins = 12, frames = 14;
  const auto v = formula<double>(bins, frames);
  const auto& g = golden("HPSS_median");
  CHECK(difference(median_over_time(v, frames, bins, 5, 1), g.at("harm_median"), bins, frames) == 0);
  CHECK(difference(median_over_bins(v, frames, bins, 5, 1), g.at("perc_median"), bins, frames) == 0);
  HpssOptions options;
  options.kernel_bins = options.kernel_frames = 5;
  // Same operations in float64: 1e-15 is a few units in the last place of values up to 1.
  CHECK(difference(hpss_masks(v, frames, bins, options, 1).harmonic, g.at("mask_harm"), bins, frames) < 1e-15);
  CHECK(difference(hpss_masks(formula<float>(bins, frames), frames, bins, options, 1).harmonic, g.at("mask_harm"), bins,
                   frames) < 2e-7);
}

TEST_CASE("REPET's beat spectrum and mask equal the golden values", "[classic]") {
  constexpr int bins = 10, frames = 23;
  const auto v = formula<double>(bins, frames);
  std::vector<double> power = v;
  for (double& p : power) p *= p;
  const auto beat = beat_spectrum(power, frames, bins, 1);
  const auto& expected = golden("REPET_beat_spectrum").at("b").as_array();
  REQUIRE(beat.size() == expected.size());
  for (std::size_t l = 0; l < beat.size(); ++l) CHECK(beat[l] == Approx(expected[l].as_real()).epsilon(1e-12));
  CHECK(difference(repet_mask(v, frames, bins, 6, 1), golden("REPET_mask").at("mask"), bins, frames) < 1e-14);
}

TEST_CASE("REPET finds the true period, not one frame more", "[classic]") {
  constexpr int bins = 8, frames = 200, period = 20;
  std::vector<double> power(static_cast<std::size_t>(bins) * frames);
  for (int n = 0; n < frames; ++n) {
    for (int k = 0; k < bins; ++k) power[static_cast<std::size_t>(n * bins + k)] = (n % period == k) ? 1.0 : 0.01;
  }
  const auto beat = beat_spectrum(power, frames, bins, 2);
  // Multiples of the period score the same, so the search ends below the second.
  CHECK(repeating_period(beat, 5, 2 * period - 1) == period);
  CHECK(repeating_period(beat, 500, 600) == 0);
  CHECK(repeating_period({}, 1, 10) == 0);
  CHECK(beat == beat_spectrum(power, frames, bins, 1));
}

TEST_CASE("REPET-SIM's neighbours and mask equal the golden values", "[classic]") {
  constexpr int bins = 10, frames = 23;
  const auto v = formula<double>(bins, frames);
  const auto& g = golden("REPET_SIM");
  const auto neighbours =
      similar_frames(v, frames, bins, {.threshold = 0, .distance_frames = 2, .max_neighbours = 5}, 1);
  for (std::size_t n = 0; n < neighbours.size(); ++n) {
    // As sets and modulo 17: frames 17 apart are equal, so which of them comes first, or falls off the end of the
    // list, is a matter of rounding.
    std::multiset<std::int64_t> mine, theirs;
    for (const std::int32_t index : neighbours[n]) mine.insert(index % 17);
    for (const auto& index : g.at("indices").as_array()[n].as_array()) theirs.insert(index.as_integer() % 17);
    CHECK(mine == theirs);
  }
  CHECK(difference(repet_sim_mask(v, frames, bins, neighbours, 1), g.at("mask"), bins, frames) < 1e-14);
}

TEST_CASE("silent frames have no similar frames but themselves", "[classic]") {
  const std::vector<float> v(30, 0.0f);
  const auto neighbours = similar_frames(v, 10, 3, {}, 1);
  for (std::size_t n = 0; n < 10; ++n) CHECK(neighbours[n] == std::vector<std::int32_t>{static_cast<std::int32_t>(n)});
  for (const float m : repet_sim_mask(v, 10, 3, neighbours, 1)) CHECK(m == 1.0f);
}

TEST_CASE("running medians equal sorting, also where the window is longer than the signal", "[classic]") {
  for (const int frames : {1, 2, 5, 40}) {
    const auto v = random_magnitudes(frames, 3, 4);
    for (const int length : {1, 3, 31}) {
      const auto mine = median_over_time(v, frames, 3, length, 1);
      for (int n = 0; n < frames; ++n) {
        for (int k = 0; k < 3; ++k) {
          std::vector<float> window;
          for (int o = -length / 2; o <= length / 2; ++o) {
            int i = n + o;  // reflect by walking, edge repeated
            while (i < 0 || i >= frames) i = i < 0 ? -1 - i : 2 * frames - 1 - i;
            window.push_back(v[static_cast<std::size_t>(i * 3 + k)]);
          }
          std::sort(window.begin(), window.end());
          CHECK(mine[static_cast<std::size_t>(n * 3 + k)] == window[window.size() / 2]);
        }
      }
    }
  }
  CHECK_THROWS_AS(median_over_time(std::vector<float>(4), 2, 2, 4, 1), mss::Error);
}

TEST_CASE("masks do not depend on the number of threads", "[classic]") {
  const auto v = random_magnitudes(150, 65, 9);
  const auto one = hpss_masks(v, 150, 65, {}, 1);
  const auto near = similar_frames(v, 150, 65, {}, 1);
  const auto sim = repet_sim_mask(v, 150, 65, near, 1);
  const auto repet = repet_mask(v, 150, 65, 17, 1);
  for (const int threads : {2, 3, 8}) {
    CHECK(hpss_masks(v, 150, 65, {}, threads).harmonic == one.harmonic);
    CHECK(similar_frames(v, 150, 65, {}, threads) == near);
    CHECK(repet_sim_mask(v, 150, 65, near, threads) == sim);
    CHECK(repet_mask(v, 150, 65, 17, threads) == repet);
  }
}

TEST_CASE("HPSS masks: complementary without margins, a residual with them, halves in silence", "[classic]") {
  const auto v = random_magnitudes(60, 33, 2);
  const auto plain = hpss_masks(v, 60, 33, {}, 1);
  for (std::size_t i = 0; i < v.size(); ++i) CHECK(plain.harmonic[i] + plain.percussive[i] == Approx(1).epsilon(1e-6));
  HpssOptions wide;
  wide.margin_harmonic = wide.margin_percussive = 2;
  const auto margins = hpss_masks(v, 60, 33, wide, 1);
  for (std::size_t i = 0; i < v.size(); ++i) CHECK(margins.harmonic[i] + margins.percussive[i] < 1);
  const std::vector<float> silence(12, 0.0f);
  CHECK(hpss_masks(silence, 4, 3, {}, 1).harmonic == std::vector<float>(12, 0.5f));
  CHECK(hpss_masks(silence, 4, 3, wide, 1).harmonic == std::vector<float>(12, 0.0f));
}

TEST_CASE("2DFT keeps a repeating background and rejects a single event", "[classic]") {
  constexpr int frames = 240, bins = 33;
  std::vector<float> v(static_cast<std::size_t>(frames) * bins, 0.0f);
  for (int n = 0; n < frames; ++n) {
    if (n % 12 < 3) v[static_cast<std::size_t>(n * bins + 5)] = 1.0f;  // repeats
  }
  const std::size_t event = 121 * bins + 20;
  v[event] = 1.0f;  // does not
  const auto mask = dft2_mask(v, frames, bins, {});
  double repeating = 0;
  int count = 0;
  for (int n = 0; n < frames; ++n) {
    if (n % 12 >= 3) continue;
    repeating += mask[static_cast<std::size_t>(n * bins + 5)];
    ++count;
  }
  CHECK(repeating / count > 0.8);
  CHECK(mask[event] < 0.2f);
  for (const float m : mask) {
    CHECK(m >= 0.0f);
    CHECK(m <= 1.0f);
  }
  CHECK(dft2_mask(std::vector<float>(20, 0.0f), 4, 5, {}) == std::vector<float>(20, 0.0f));
  CHECK(dft2_mask({0.5f}, 1, 1, {}).size() == 1);
  CHECK_THROWS_AS(dft2_mask({0.5f}, 1, 1, {.neighbourhood = 4}), mss::Error);
}

TEST_CASE("robust PCA splits a low-rank matrix from a sparse one", "[classic]") {
  constexpr int frames = 120, bins = 80;
  mss::core::Rng rng(3, 1);
  std::vector<float> left(bins * 2), right(frames * 2), v(static_cast<std::size_t>(frames) * bins),
      sparse(v.size(), 0.0f);
  for (float& x : left) x = static_cast<float>(rng.uniform());
  for (float& x : right) x = static_cast<float>(rng.uniform());
  for (int n = 0; n < frames; ++n) {
    for (int k = 0; k < bins; ++k) {
      const auto i = static_cast<std::size_t>(n * bins + k);
      if (rng.below(100) < 4) sparse[i] = 2.0f;
      v[i] = sparse[i];
      for (int r = 0; r < 2; ++r) {
        v[i] += left[static_cast<std::size_t>(k * 2 + r)] * right[static_cast<std::size_t>(n * 2 + r)];
      }
    }
  }
  const auto full = rpca(v, frames, bins, {.full_svd = true});
  CHECK(full.residual < 1e-6);
  CHECK(full.rank < 20);
  double worst = 0;
  for (std::size_t i = 0; i < v.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(full.sparse[i] - sparse[i])));
  CHECK(worst < 1e-3);
  const auto fast = rpca(v, frames, bins, {});
  double apart = 0;
  for (std::size_t i = 0; i < v.size(); ++i) {
    apart = std::max(apart, std::abs(static_cast<double>(fast.sparse[i] - full.sparse[i])));
  }
  CHECK(apart < 1e-3);
  const auto nothing = rpca(std::vector<float>(12, 0.0f), 3, 4, {});
  CHECK(nothing.sparse == std::vector<float>(12, 0.0f));
}
