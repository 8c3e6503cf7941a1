#include "eval/verdict.h"

#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>

#include "core/error.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "eval/statistics.h"
#include "tests/support/catch.h"

namespace mss::tests {
namespace {

using eval::Statistic;
using eval::Verdict;

/// Draws of mean 0 and standard deviation 1.
using Draw = double (*)(core::Rng&);
double normal(core::Rng& rng) { return rng.normal(); }
/// Lognormal (sigma 0.7): skewness 2.9, as where a few tracks gain much.
double skewed(core::Rng& rng) {
  constexpr double s = 0.7;
  const double sd = std::sqrt((std::exp(s * s) - 1) * std::exp(s * s));
  return (std::exp(s * rng.normal()) - std::exp(s * s / 2)) / sd;
}
/// Three normals of unequal width: quantiles 50 %, 90 % and largest of 50 of the size stand as 0.2 : 0.95 : 1.9, as
/// they do between two training seeds of one network (Demucs v2, drums).
double heavy(core::Rng& rng) {
  const double u = rng.uniform();
  const double width = u < 0.6 ? 0.45 : u < 0.9 ? 1.2 : 2.0;
  return width * rng.normal() / std::sqrt(0.6 * 0.45 * 0.45 + 0.3 * 1.2 * 1.2 + 0.1 * 4);
}

std::vector<double> sample(core::Rng& rng, Draw draw, int n, double mean, double sd) {
  std::vector<double> out(static_cast<std::size_t>(n));
  for (double& v : out) v = mean + sd * draw(rng);
  return out;
}

eval::VerdictOptions quick() {
  eval::VerdictOptions options;
  options.bootstrap.draws = 1000;
  return options;
}

/// How often each verdict falls, over independent trials of one comparison.
std::array<double, 4> shares(Draw draw, int n, double mean, double sd, int trials, std::uint32_t stream,
                             const eval::VerdictOptions& options) {
  std::array<std::atomic<int>, 4> counts{};
  core::parallel_for(trials, 2, [&](std::int64_t trial) {
    core::Rng rng(11, stream, static_cast<std::uint32_t>(trial));
    ++counts[static_cast<std::size_t>(eval::judge(sample(rng, draw, n, mean, sd), options).verdict)];
  });
  std::array<double, 4> out{};
  for (std::size_t i = 0; i < 4; ++i) out[i] = counts[i] / static_cast<double>(trials);
  return out;
}

}  // namespace

// Four targets and two metrics, 50 tracks, differences of a standard deviation of 0.15 dB (two settings of one model).
// Standard errors of these shares from 1000 trials are 0.7 % at most. Where nothing has changed, old and new could be
// exchanged, so that noise is symmetric, though it may have heavy tails.
TEST_CASE("a loss of 0.1 dB is caught, noise alarms rarely", "[eval]") {
  constexpr int kTrials = 1000, kFamily = 8, kTracks = 50;
  for (const Draw draw : {normal, heavy}) {
    std::atomic<int> caught{0}, alarms{0}, claims{0};
    core::parallel_for(kTrials, 2, [&](std::int64_t trial) {
      std::vector<std::vector<double>> noise, loss;
      for (int i = 0; i < kFamily; ++i) {
        core::Rng rng(12, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(trial));
        noise.push_back(sample(rng, draw, kTracks, 0, 0.15));
      }
      loss = noise;
      for (double& d : loss[3]) d -= 0.1;  // one target of one metric alone
      caught += eval::judge_family(loss, quick())[3].verdict == Verdict::worse;
      bool worse = false, any = false;
      for (const auto& j : eval::judge_family(noise, quick())) {
        worse = worse || j.verdict == Verdict::worse;
        any = any || j.verdict == Verdict::worse || j.verdict == Verdict::better;
      }
      alarms += worse;
      claims += any;
    });
    CAPTURE(caught / double(kTrials), alarms / double(kTrials), claims / double(kTrials));
    std::printf("loss of 0.1 dB caught in %.1f %%, false alarms %.1f %%, false verdicts %.1f %%\n",
                100 * caught / double(kTrials), 100 * alarms / double(kTrials), 100 * claims / double(kTrials));
    CHECK(caught >= 0.95 * kTrials);
    CHECK(alarms <= 0.05 * kTrials);
    CHECK(claims <= 0.05 * kTrials);  // worse or better
  }
}

TEST_CASE("a difference as large as the margin is rarely called equivalent", "[eval]") {
  for (const double side : {-0.05, 0.05}) {
    for (const Draw draw : {normal, heavy}) {
      const auto share = shares(draw, 50, side, 0.15, 2000, 21, quick());
      std::printf("difference of %+.2f dB called equivalent in %.1f %%\n", side, 100 * share[0]);
      CHECK(share[0] <= 0.06);  // 5 % at most in truth; two standard errors of 2000 trials
    }
    // Differences whose tail points away from 0 look smaller than they are in most samples.
    CHECK(shares(skewed, 50, side, 0.15, 2000, 22, quick())[0] <= 0.08);
  }
  CHECK(shares(normal, 50, 0, 0.05, 500, 23, quick())[0] > 0.99);  // no difference, little spread
}

TEST_CASE("the number of deciding tracks decides", "[eval]") {
  // At the printed number the share of undecided comparisons is 20 % for the worst true difference; 15 % more or fewer
  // tracks lie clearly on either side of that.
  for (const double sd : {0.16, 0.45}) {
    for (const Draw draw : {normal, heavy}) {
      const double printed = eval::deciding_tracks(sd, 0.05);
      const auto worst_undecided = [&](double n) {
        double worst = 0;
        for (const double part : {0.50, 0.58}) {  // of the margin: the gap between the two kinds of verdict
          worst = std::max(worst, shares(draw, static_cast<int>(n), part * 0.05, sd, 600, 31, quick())[3]);
        }
        return worst;
      };
      const double at = worst_undecided(printed), fewer = worst_undecided(0.85 * printed),
                   more = worst_undecided(1.15 * printed);
      std::printf(
          "spread %.2f dB: %.0f tracks decide; undecided %.1f %% with 15 %% fewer, %.1f %%, %.1f %% with 15 %% more\n",
          sd, printed, 100 * fewer, 100 * at, 100 * more);
      CHECK(fewer > 0.20);
      CHECK(more < 0.20);
    }
  }
  // The spread that 50 tracks show gives that number, in the middle of many comparisons.
  std::vector<double> printed;
  for (std::uint32_t trial = 0; trial < 200; ++trial) {
    core::Rng rng(13, 1, trial);
    printed.push_back(eval::judge(sample(rng, normal, 50, 0, 0.3), quick()).deciding_tracks);
  }
  CHECK(eval::median_of(printed) == Approx(eval::deciding_tracks(0.3, 0.05)).epsilon(0.05));
  CHECK(eval::deciding_tracks(0.15, 0.05) == Approx(86).margin(3));
  CHECK(eval::deciding_tracks(0.15, 0.05, 0.05 / 8) > 1.4 * eval::deciding_tracks(0.15, 0.05));
  CHECK(std::isnan(eval::deciding_tracks(0, 0.05)));
  CHECK(std::isnan(eval::deciding_tracks(0.1, 0)));
}

TEST_CASE("intervals cover, expanded ones in small samples too", "[eval]") {
  // 95 % nominal, 500 trials (standard error 1 %); docs/metrics.md has the table from benchmarks/coverage.cpp.
  const auto coverage = [](Draw draw, int n, Statistic statistic, bool expanded) {
    constexpr int kTrials = 500;
    core::Rng centre(5, 5);
    const double truth = statistic == Statistic::mean ? 0.0 : eval::median_of(sample(centre, draw, 100000, 0, 1));
    eval::BootstrapOptions options;
    options.draws = 1000;
    options.expanded = expanded;
    const eval::Resamples resamples(n, options);
    std::atomic<int> covered{0};
    core::parallel_for(kTrials, 2, [&](std::int64_t trial) {
      core::Rng rng(14, static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(trial));
      const auto interval = eval::bootstrap(sample(rng, draw, n, 0, 1), statistic, resamples, options).interval();
      covered += interval.low <= truth && truth <= interval.high;
    });
    return covered / double(kTrials);
  };
  for (const Draw draw : {normal, skewed, heavy}) {
    for (const int n : {10, 50, 150}) {
      CAPTURE(n);
      const double mean = coverage(draw, n, Statistic::mean, true);
      CHECK(mean > (n == 10 ? 0.89 : 0.915));
      CHECK(mean < 0.97);
      const double median = coverage(draw, n, Statistic::median, true);
      CHECK(median > 0.92);
      CHECK(median < 0.985);
      if (n == 10) CHECK(coverage(draw, n, Statistic::mean, false) < mean - 0.02);
    }
  }
}

TEST_CASE("p-values and intervals say the same", "[eval]") {
  int checked = 0;
  for (std::uint32_t trial = 0; trial < 300; ++trial) {
    core::Rng rng(15, 1, trial);
    const auto x = sample(rng, skewed, 12 + static_cast<int>(trial % 40), 0.25, 1);
    for (const Statistic statistic : {Statistic::mean, Statistic::median}) {
      eval::BootstrapOptions options;
      options.draws = 999;
      options.expanded = trial % 2 == 0;
      const auto resampled = eval::bootstrap(x, statistic, options);
      const eval::Interval interval = resampled.interval(0.95);
      const double p = resampled.p_two_sided(0);
      if (std::abs(p - 0.05) < 0.005) continue;  // ends are interpolated between draws
      CHECK((p < 0.05) == (interval.low > 0 || interval.high < 0));
      ++checked;
    }
  }
  CHECK(checked > 500);
}

TEST_CASE("verdicts at the edges", "[eval]") {
  const double inf = INFINITY;
  const auto verdict = [](std::vector<double> d) { return eval::judge(d).verdict; };
  CHECK(verdict({0, 0, 0}) == Verdict::equivalent);
  CHECK(verdict({0.01, 0.01, 0.01}) == Verdict::equivalent);
  CHECK(verdict({-0.3, -0.3, -0.3}) == Verdict::worse);
  CHECK(verdict({0.3, 0.3}) == Verdict::better);
  CHECK(verdict({}) == Verdict::undecided);
  CHECK(verdict({1}) == Verdict::undecided);
  CHECK(verdict({NAN, NAN}) == Verdict::undecided);
  CHECK(verdict({1, 2, -inf}) == Verdict::worse);
  CHECK(verdict({1, 2, inf}) == Verdict::better);
  CHECK(verdict({inf, -inf}) == Verdict::undecided);
  const auto one = eval::judge({-1, NAN});
  CHECK(one.tracks == 1);
  CHECK(one.missing == 1);
  CHECK(one.losses == 1);
  CHECK(std::isnan(one.interval.low));
  CHECK(eval::differences({1, inf, NAN, 2}, {2, inf, 1, inf})[0] == 1);
  CHECK(eval::differences({1, inf}, {2, inf})[1] == 0);
  CHECK(eval::differences({2}, {inf})[0] == inf);
  CHECK_THROWS_AS(eval::differences({1}, {1, 2}), Error);

  // The median leaves infinite tracks out; the mean of ten clear losses needs more than the draws can say.
  eval::VerdictOptions median;
  median.statistic = Statistic::median;
  CHECK(eval::judge({0.01, 0.0, 0.01, -0.01, 0.0, inf}, median).verdict == Verdict::equivalent);
  std::vector<double> losses;
  for (int i = 0; i < 10; ++i) losses.push_back(-1 - 0.01 * i);
  std::vector<std::vector<double>> family(40, losses);
  for (const auto& j : eval::judge_family(family)) CHECK(j.verdict == Verdict::worse);
  eval::VerdictOptions none;
  none.margin = 0;
  CHECK(eval::judge({0, 0, 0}, none).verdict == Verdict::equivalent);
  CHECK(eval::judge({0.001, -0.001, 0.0005, 0.0001}, none).verdict == Verdict::undecided);
  none.margin = -1;
  CHECK_THROWS_AS(eval::judge({1, 2}, none), Error);
  none.margin = 0.1;
  none.alpha = 0.5;
  CHECK_THROWS_AS(eval::judge({1, 2}, none), Error);
}

TEST_CASE("intervals of an average resample tracks as wholes", "[eval]") {
  // Two targets that move in opposite directions: their average has no spread at all.
  std::vector<double> up, down, both;
  core::Rng rng(16, 1);
  for (int t = 0; t < 40; ++t) {
    const double v = rng.normal();
    up.push_back(3 + v);
    down.push_back(5 - v);
    both.push_back(rng.normal());
  }
  eval::BootstrapOptions options;
  options.draws = 500;
  const eval::Interval none = eval::interval_of_average({up, down}, Statistic::mean, options);
  CHECK(none.low == Approx(4));
  CHECK(none.high == Approx(4));
  // One group is the plain interval, missing tracks left out.
  const eval::Interval plain = eval::bootstrap(both, Statistic::median, options).interval();
  both.push_back(NAN);
  up.push_back(NAN);
  const eval::Interval alone = eval::interval_of_average({both}, Statistic::median, options);
  CHECK(alone.low == plain.low);
  CHECK(alone.high == plain.high);
  CHECK(std::isnan(eval::interval_of_average({{1}}, Statistic::mean).low));
  CHECK(std::isnan(eval::interval_of_average({{1, 2}, {NAN, NAN}}, Statistic::mean).low));
  CHECK(std::isnan(eval::interval_of_average({{1, INFINITY}}, Statistic::mean).low));
  CHECK(std::isnan(eval::interval_of_average({}, Statistic::mean).low));
}

}  // namespace mss::tests
