// How often 95 % intervals of the mean and the median hold the true value: the table of docs/metrics.md. Usage:
// mss_coverage [SAMPLES [DRAWS]].
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "core/parallel.h"
#include "core/rng.h"
#include "eval/bootstrap.h"

namespace {

using namespace mss;

double normal(core::Rng& rng) { return rng.normal(); }
double skewed(core::Rng& rng) {
  constexpr double s = 0.7;
  const double sd = std::sqrt((std::exp(s * s) - 1) * std::exp(s * s));
  return (std::exp(s * rng.normal()) - std::exp(s * s / 2)) / sd;
}
double heavy(core::Rng& rng) {
  const double u = rng.uniform();
  const double width = u < 0.6 ? 0.45 : u < 0.9 ? 1.2 : 2.0;
  return width * rng.normal() / std::sqrt(0.6 * 0.45 * 0.45 + 0.3 * 1.2 * 1.2 + 0.1 * 4);
}

struct Distribution {
  const char* name;
  double (*draw)(core::Rng&);
  double median;  ///< the mean is 0
};

double coverage(const Distribution& d, int n, eval::Statistic statistic, bool expanded, int samples, int draws) {
  eval::BootstrapOptions options;
  options.draws = draws;
  options.expanded = expanded;
  const auto resamples = eval::shared_resamples(n, options);
  const double truth = statistic == eval::Statistic::mean ? 0.0 : d.median;
  std::atomic<int> covered{0};
  core::parallel_for(samples, 0, [&](std::int64_t sample) {
    core::Rng rng(1, static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(sample));
    std::vector<double> x(static_cast<std::size_t>(n));
    for (double& v : x) v = d.draw(rng);
    const eval::Interval interval = eval::bootstrap(x, statistic, *resamples, options).interval();
    covered += interval.low <= truth && truth <= interval.high ? 1 : 0;
  });
  return 100.0 * covered / samples;
}

}  // namespace

int main(int argc, char** argv) {
  const int samples = argc > 1 ? std::atoi(argv[1]) : 4000, draws = argc > 2 ? std::atoi(argv[2]) : 10000;
  const double s = 0.7;
  const Distribution distributions[] = {
      {"normal", normal, 0},
      {"skewed", skewed, (1 - std::exp(s * s / 2)) / std::sqrt((std::exp(s * s) - 1) * std::exp(s * s))},
      {"heavy", heavy, 0}};
  std::printf(
      "| differences | tracks | mean | mean, expanded | median | median, expanded |\n|---|---:|---:|---:|---:|---:|\n");
  for (const Distribution& d : distributions) {
    for (const int n : {10, 50, 150}) {
      std::printf("| %s | %d |", d.name, n);
      for (const auto statistic : {eval::Statistic::mean, eval::Statistic::median}) {
        for (const bool expanded : {false, true}) {
          std::printf(" %.1f %% |", coverage(d, n, statistic, expanded, samples, draws));
        }
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  }
  return 0;
}
