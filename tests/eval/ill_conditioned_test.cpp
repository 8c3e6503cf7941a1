// References whose spectrum is empty above some frequency. The right values are those of museval's equations solved
// with 80-bit numbers (long double, a dense Cholesky factor, correlations and projections in the time domain), beside
// the scorer.
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "core/rng.h"
#include "eval/bsseval.h"
#include "eval/condition.h"
#include "eval/correlate.h"
#include "eval/extended.h"
#include "eval/scorer.h"
#include "tests/support/catch.h"

namespace mss::eval {
namespace {

using Long = long double;
using Samples = std::vector<float>;

/// White noise without anything above `cut` of the Nyquist frequency, 165 dB down, to `bits` bits; 0 = float.
Samples low_passed(std::uint64_t seed, std::size_t n, double cut, int bits) {
  constexpr int kHalf = 300;
  core::Rng random(seed, 0);
  std::vector<double> noise(n + 2 * kHalf), filter(2 * kHalf + 1);
  // Silence around: edges would fill the upper band.
  for (std::size_t i = 2 * kHalf; i < n; ++i) noise[i] = random.uniform(-1, 1);
  for (int k = -kHalf; k <= kHalf; ++k) {
    const double x = static_cast<double>(k) / kHalf, t = std::numbers::pi * k;
    const double sinc = k == 0 ? cut : std::sin(cut * t) / t;
    filter[static_cast<std::size_t>(k + kHalf)] =
        sinc * std::cyl_bessel_i(0.0, 17.2 * std::sqrt(1 - x * x)) / std::cyl_bessel_i(0.0, 17.2);
  }
  Samples out(n);
  for (std::size_t i = 0; i < n; ++i) {
    double sum = 0;
    for (std::size_t k = 0; k < filter.size(); ++k) sum += filter[k] * noise[i + k];
    sum *= 0.3;
    if (bits > 0) sum = std::nearbyint(std::ldexp(sum, bits - 1)) * std::ldexp(1.0, 1 - bits);
    out[i] = static_cast<float>(sum);
  }
  return out;
}

Signal signal(const Samples& x) {
  return {x.data(), 1, static_cast<std::int64_t>(x.size()), static_cast<std::int64_t>(x.size())};
}

struct Ratios {
  double isr = 0, sir = 0, sar = 0;
};

constexpr int kTaps = 96;
constexpr std::size_t kSamples = 6000, kFrame = 1500;

/// Mono sources in 80 bits: [source][frame].
std::vector<std::vector<Ratios>> right_values(const std::vector<Samples>& references,
                                              const std::vector<Samples>& estimates, int taps) {
  const std::size_t sources = references.size(), n = references[0].size(), l = static_cast<std::size_t>(taps);
  // sum a[t] b[t + lag]: the products are exact, and the sum keeps what rounding takes away. (Sums of 80-bit numbers
  // alone would be too coarse for references in floating point.)
  const auto correlate = [&](const Samples& a, const Samples& b, std::ptrdiff_t lag) {
    Long sum = 0, lost = 0;
    for (std::size_t t = 0; t < n; ++t) {
      const std::ptrdiff_t u = static_cast<std::ptrdiff_t>(t) + lag;
      if (u < 0 || u >= static_cast<std::ptrdiff_t>(n)) continue;
      const Long product = static_cast<Long>(a[t]) * static_cast<Long>(b[static_cast<std::size_t>(u)]);
      const Long next = sum + product, v = next - sum;
      lost += (sum - (next - v)) + (product - v);
      sum = next;
    }
    return sum + lost;
  };
  // Filters of estimate e on these sources: (G + 2^-52) c = D.
  const auto filters = [&](const std::vector<std::size_t>& on, const Samples& e) {
    const std::size_t size = on.size() * l;
    std::vector<std::vector<Long>> g(size, std::vector<Long>(size));
    std::vector<Long> x(size);
    for (std::size_t i = 0; i < on.size(); ++i)
      for (std::size_t j = 0; j < on.size(); ++j) {
        std::vector<Long> lags(2 * l - 1);
        for (std::size_t k = 0; k < lags.size(); ++k)
          lags[k] = correlate(references[on[i]], references[on[j]],
                              static_cast<std::ptrdiff_t>(k) - static_cast<std::ptrdiff_t>(l - 1));
        for (std::size_t p = 0; p < l; ++p)
          for (std::size_t q = 0; q < l; ++q) g[i * l + p][j * l + q] = lags[p - q + l - 1];
      }
    for (std::size_t i = 0; i < on.size(); ++i)
      for (std::size_t p = 0; p < l; ++p)
        x[i * l + p] = correlate(references[on[i]], e, static_cast<std::ptrdiff_t>(p));
    for (std::size_t i = 0; i < size; ++i) g[i][i] += std::ldexp(Long(1), -52);
    for (std::size_t j = 0; j < size; ++j) {
      for (std::size_t i = j; i < size; ++i) {
        Long s = g[i][j];
        for (std::size_t k = 0; k < j; ++k) s -= g[i][k] * g[j][k];
        g[i][j] = i == j ? std::sqrt(s) : s / g[j][j];
      }
    }
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t k = 0; k < i; ++k) x[i] -= g[i][k] * x[k];
      x[i] /= g[i][i];
    }
    for (std::size_t i = size; i-- > 0;) {
      for (std::size_t k = i + 1; k < size; ++k) x[i] -= g[k][i] * x[k];
      x[i] /= g[i][i];
    }
    return x;
  };
  // A frame is cut out of every signal and filtered with its tail.
  const auto project = [&](const std::vector<std::size_t>& on, const std::vector<Long>& c, std::size_t first) {
    std::vector<Long> out(kFrame + l - 1);
    for (std::size_t i = 0; i < on.size(); ++i)
      for (std::size_t p = 0; p < l; ++p)
        for (std::size_t t = 0; t < kFrame; ++t)
          out[t + p] += c[i * l + p] * static_cast<Long>(references[on[i]][first + t]);
    return out;
  };
  std::vector<std::size_t> all(sources);
  for (std::size_t i = 0; i < sources; ++i) all[i] = i;
  std::vector<std::vector<Ratios>> out;
  for (std::size_t j = 0; j < sources; ++j) {
    out.emplace_back();
    const std::vector<Long> own_filters = filters({j}, estimates[j]), joint_filters = filters(all, estimates[j]);
    for (std::size_t first = 0; first < n; first += kFrame) {
      const std::vector<Long> own = project({j}, own_filters, first), joint = project(all, joint_filters, first);
      Long s2 = 0, spatial = 0, target = 0, interference = 0, projection = 0, artefacts = 0;
      for (std::size_t t = 0; t < own.size(); ++t) {
        const Long s = t < kFrame ? static_cast<Long>(references[j][first + t]) : 0;
        const Long e = t < kFrame ? static_cast<Long>(estimates[j][first + t]) : 0;
        s2 += s * s;
        spatial += (own[t] - s) * (own[t] - s);
        target += own[t] * own[t];
        interference += (joint[t] - own[t]) * (joint[t] - own[t]);
        projection += joint[t] * joint[t];
        artefacts += (e - joint[t]) * (e - joint[t]);
      }
      const auto db = [](Long a, Long b) { return static_cast<double>(10 * std::log10(a / b)); };
      out.back().push_back({db(s2, spatial), db(target, interference), db(projection, artefacts)});
    }
  }
  return out;
}

std::vector<Samples> make_references(int bits) {
  return {low_passed(1, kSamples, 0.6, bits), low_passed(2, kSamples, 0.6, bits)};
}

std::vector<Samples> make_estimates(const std::vector<Samples>& references) {
  core::Rng random(9, 0);
  std::vector<Samples> out = references;
  for (std::size_t j = 0; j < out.size(); ++j)
    for (std::size_t t = 0; t < out[j].size(); ++t)
      out[j][t] =
          0.9F * references[j][t] + 0.09F * references[1 - j][t] + static_cast<float>(random.uniform(-0.002, 0.002));
  return out;
}

BssEvalResult ours(const std::vector<Samples>& references, const std::vector<Samples>& estimates) {
  BssEvalOptions options;
  options.window_samples = options.hop_samples = static_cast<double>(kFrame);
  options.filter_taps = kTaps;
  return bss_eval({signal(references[0]), signal(references[1])}, {signal(estimates[0]), signal(estimates[1])},
                  options);
}

std::vector<Scores> scores(const std::vector<Samples>& references, const std::vector<Samples>& estimates, bool stable) {
  ScorerOptions options;
  options.filter_taps = kTaps;
  options.stable = stable;
  options.window_s = options.hop_s = static_cast<double>(kFrame) / 8000;
  const ReferenceSet set({"a", "b"}, {signal(references[0]), signal(references[1])}, {}, 8000, options);
  return set.score({"a", "b"}, {signal(estimates[0]), signal(estimates[1])});
}

double frame(const TargetScores& target, const char* metric) {
  for (const FrameSeries& series : target.frames)
    if (series.metric == metric) return series.values.at(1);  // not the first: it begins silent
  FAIL("no " << metric);
  return 0;
}

}  // namespace

TEST_CASE("references without an upper band give the values of museval's equations in 80 bits", "[eval]") {
  for (const int bits : {16, 24, 0}) {
    CAPTURE(bits);
    const std::vector<Samples> references = make_references(bits), estimates = make_estimates(references);
    const std::vector<std::vector<Ratios>> right = right_values(references, estimates, kTaps);
    const BssEvalResult found = ours(references, estimates);
    for (std::size_t j = 0; j < 2; ++j) {
      for (std::size_t f = 0; f < right[j].size(); ++f) {
        CAPTURE(j, f);
        CHECK(found.isr[j][f] == Approx(right[j][f].isr).margin(1e-3));
        CHECK(found.sir[j][f] == Approx(right[j][f].sir).margin(1e-3));
        CHECK(found.sar[j][f] == Approx(right[j][f].sar).margin(1e-3));
      }
    }
  }
}

TEST_CASE("the condition estimate tells references apart whose scores hang on the last bits", "[eval]") {
  const auto condition = [](const std::vector<Samples>& references) {
    return scores(references, make_estimates(references), false).front();
  };
  CHECK(condition({low_passed(1, kSamples, 1.0, 24), low_passed(2, kSamples, 1.0, 24)}).condition < 1e5);
  const Scores coarse = condition(make_references(16)), fine = condition(make_references(24)),
               floating = condition(make_references(0));
  CHECK(coarse.condition < 1e12);
  CHECK_FALSE(coarse.ill_conditioned());
  CHECK(fine.condition > 1e13);
  CHECK(fine.ill_conditioned());
  CHECK(floating.condition > fine.condition);
  // Two channels that are one: the filters between them are not determined, what they project on is.
  const std::vector<Samples> same = {low_passed(1, kSamples, 1.0, 24), low_passed(1, kSamples, 1.0, 24)};
  CHECK(condition(same).condition < 1e5);
}

TEST_CASE("the stable variants do not depend on the last bits, and leave other scores as they are", "[eval]") {
  const std::vector<Samples> coarse = make_references(16), fine = make_references(24);
  // The same estimates against references that differ by rounding to 16 bits.
  const std::vector<Samples> estimates = make_estimates(fine);
  const Scores a = scores(coarse, estimates, true).front(), b = scores(fine, estimates, true).front();
  for (std::size_t j = 0; j < 2; ++j) {
    for (const char* metric : {"ISR", "SIR", "SAR"}) {
      const std::string stable = std::string(metric) + "-stable";
      CAPTURE(metric, frame(a.targets[j], metric), frame(b.targets[j], metric));
      CHECK(frame(a.targets[j], stable.c_str()) == Approx(frame(b.targets[j], stable.c_str())).margin(0.2));
    }
    CHECK(std::abs(frame(a.targets[j], "SIR") - frame(b.targets[j], "SIR")) > 1);
  }
  const std::vector<Samples> full = {low_passed(1, kSamples, 1.0, 24), low_passed(2, kSamples, 1.0, 24)};
  const Scores c = scores(full, make_estimates(full), true).front();
  for (const char* metric : {"ISR", "SIR", "SAR"}) {
    const std::string stable = std::string(metric) + "-stable";
    CHECK(frame(c.targets[0], stable.c_str()) == Approx(frame(c.targets[0], metric)).margin(1e-3));
  }
  // A perfect estimate stays one.
  const Scores d = scores(fine, fine, true).front();
  CHECK(frame(d.targets[0], "SIR-stable") == std::numeric_limits<double>::infinity());
}

TEST_CASE("double-double numbers keep 30 digits, and a Toeplitz system of condition 1e14 is solved", "[eval]") {
  const Extended third = Extended{1, 0} / Extended{3, 0};
  const Extended one = third * Extended{3, 0};
  CHECK(std::abs((one - Extended{1, 0}).hi + one.lo * 0) < 1e-31);
  const Extended root = square_root({2, 0});
  CHECK(std::abs((root * root - Extended{2, 0}).hi) < 1e-31);
  // Two channels, 64 taps; the lags of a spectrum that is 1 in the lower half and 1e-14 above.
  constexpr int kChannels = 2, kLags = 64;
  const std::size_t width = 2 * kLags - 1, n = kChannels * kLags;
  std::vector<Extended> lags(kChannels * kChannels * width);
  for (int k = 1 - kLags; k < kLags; ++k) {
    const double t = std::numbers::pi * k / 2;
    const double r = k == 0 ? 0.5 : std::sin(t) / (2 * t);
    for (std::size_t c = 0; c < 2; ++c) lags[(c * 3) * width + static_cast<std::size_t>(k + kLags - 1)] = {r, 0};
    // A little of one in the other.
    for (const std::size_t slot : {std::size_t{1}, std::size_t{2}})
      lags[slot * width + static_cast<std::size_t>(k + kLags - 1)] = Extended{0.25 * r, 0};
  }
  const ExtendedSystem system(kChannels, kLags, lags, 1e-14);
  std::vector<double> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<double>(i * 2654435761u % 1024) / 512.0 - 1.0;
  std::vector<Extended> right(n);
  for (std::size_t a = 0; a < 2; ++a)
    for (std::size_t p = 0; p < kLags; ++p)
      for (std::size_t b = 0; b < 2; ++b)
        for (std::size_t q = 0; q < kLags; ++q) {
          Extended t = lags[(a * 2 + b) * width + (p + kLags - 1 - q)];
          if (a == b && p == q) t = t + Extended{1e-14, 0};
          right[a * kLags + p] = right[a * kLags + p] + t * Extended{x[b * kLags + q], 0};
        }
  const std::vector<double> found = system.solve(right, 1);
  for (std::size_t i = 0; i < n; ++i) CHECK(found[i] == Approx(x[i]).margin(1e-9));
}

}  // namespace mss::eval
