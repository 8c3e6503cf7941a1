#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/non_central_t.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>

#include "core/error.h"
#include "core/rng.h"
#include "eval/resampling.h"
#include "eval/scores.h"

namespace mss::eval {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
/// Stream of the generator; bootstrap.cpp has one of its own.
constexpr std::uint32_t kStreamTwoLevel = 0x65766c32;

double phi_upper(double z) {
  if (std::isnan(z)) return kNan;
  return std::isinf(z) ? (z > 0 ? 0.0 : 1.0) : boost::math::cdf(boost::math::complement(boost::math::normal(), z));
}
double t_two_sided(double t, double degrees) {
  if (std::isnan(t)) return kNan;
  if (std::isinf(t)) return 0;
  return 2 * boost::math::cdf(boost::math::complement(boost::math::students_t(degrees), std::abs(t)));
}
double chi_squared_upper(double x, double degrees) {
  if (!std::isfinite(x) || x < 0) return kNan;
  return boost::math::cdf(boost::math::complement(boost::math::chi_squared(degrees), x));
}

/// Average ranks (1 = smallest); adds sum(t^3 - t) over ties to `ties`.
std::vector<double> ranks_of(const std::vector<double>& values, double* ties) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t j = i;
    while (j < order.size() && values[order[j]] == values[order[i]]) ++j;
    const auto t = static_cast<double>(j - i);
    for (std::size_t q = i; q < j; ++q) ranks[order[q]] = 0.5 * static_cast<double>(i + 1 + j);
    if (ties != nullptr) *ties += t * t * t - t;
    i = j;
  }
  return ranks;
}

/// The tracks on which every system has a value: [track][system].
std::vector<std::vector<double>> complete_tracks(const Table& scores, const char* where) {
  if (scores.size() < 2) throw Error(Code::invalid_argument, where, "at least two systems are needed");
  const std::size_t tracks = scores.front().size();
  for (const auto& s : scores)
    if (s.size() != tracks) throw Error(Code::invalid_argument, where, "systems differ in the number of tracks");
  std::vector<std::vector<double>> out;
  for (std::size_t t = 0; t < tracks; ++t) {
    std::vector<double> row;
    for (const auto& s : scores)
      if (std::isfinite(s[t])) row.push_back(s[t]);
    if (row.size() == scores.size()) out.push_back(std::move(row));
  }
  if (out.size() < 2) throw Error(Code::invalid_argument, where, "fewer than two tracks have all values");
  return out;
}

struct BlockRanks {
  std::vector<double> sums;
  double squares = 0, ties = 0;
  std::size_t n = 0;
};

BlockRanks block_ranks(const Table& scores, const char* where) {
  BlockRanks b;
  b.sums.assign(scores.size(), 0.0);
  for (const auto& row : complete_tracks(scores, where)) {
    const auto ranks = ranks_of(row, &b.ties);
    for (std::size_t s = 0; s < ranks.size(); ++s) {
      b.sums[s] += ranks[s];
      b.squares += ranks[s] * ranks[s];
    }
    ++b.n;
  }
  return b;
}

double conover_error(const BlockRanks& b) {
  double squares = 0;
  for (double s : b.sums) squares += s * s;
  const auto n = static_cast<double>(b.n), k = static_cast<double>(b.sums.size());
  return std::sqrt(2.0 * (n * b.squares - squares) / ((n - 1) * (k - 1)));
}

void add_holm(std::vector<PairTest>& pairs) {
  std::vector<double> p;
  for (const PairTest& t : pairs) p.push_back(t.p);
  const std::vector<double> adjusted = holm(p);
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i].p_holm = adjusted[i];
}

std::vector<double> finite_differences(const std::vector<double>& a, const std::vector<double>& b, int* missing) {
  if (a.size() != b.size())
    throw Error(Code::invalid_argument, "paired comparison", "systems differ in the number of tracks");
  std::vector<double> d;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isfinite(a[i]) && std::isfinite(b[i]))
      d.push_back(b[i] - a[i]);
    else if (missing != nullptr)
      ++*missing;
  }
  return d;
}

}  // namespace

double sample_sd(const std::vector<double>& values) {
  if (values.size() < 2) return kNan;
  const double m = mean_of(values);
  double sum = 0;
  for (double v : values) sum += (v - m) * (v - m);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

TTest paired_t(const std::vector<double>& differences) {
  if (differences.size() < 2) throw Error(Code::invalid_argument, "paired t", "at least two pairs are needed");
  const auto n = static_cast<double>(differences.size());
  TTest r;
  r.degrees = n - 1;
  r.t = mean_of(differences) / (sample_sd(differences) / std::sqrt(n));
  r.p = t_two_sided(r.t, r.degrees);
  return r;
}

Wilcoxon wilcoxon_signed_rank(const std::vector<double>& differences) {
  std::vector<double> size, kept;
  Wilcoxon r;
  for (double d : differences) {
    if (!std::isfinite(d)) throw Error(Code::invalid_argument, "Wilcoxon", "differences must be finite");
    if (d == 0) {
      ++r.zeros;
      continue;
    }
    kept.push_back(d);
    size.push_back(std::abs(d));
  }
  r.n = static_cast<int>(kept.size());
  r.p_exact = r.p_normal = kNan;
  if (r.n == 0) return r;
  double ties = 0;
  const auto ranks = ranks_of(size, &ties);
  for (std::size_t i = 0; i < kept.size(); ++i) (kept[i] > 0 ? r.w_plus : r.w_minus) += ranks[i];
  r.w = std::min(r.w_plus, r.w_minus);
  r.ties = ties > 0;
  r.rank_biserial = (r.w_plus - r.w_minus) / (r.w_plus + r.w_minus);
  const double n = r.n;
  const double variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48;
  r.p_normal = std::min(1.0, 2 * phi((r.w - n * (n + 1) / 4) / std::sqrt(variance)));
  if (!r.ties && r.zeros == 0 && r.n <= 50) {
    // Number of subsets of {1 … n} with each sum.
    const auto most = static_cast<std::size_t>(r.n * (r.n + 1) / 2);
    std::vector<double> count(most + 1, 0.0);
    count[0] = 1;
    for (std::size_t rank = 1; rank <= static_cast<std::size_t>(r.n); ++rank)
      for (std::size_t sum = most; sum >= rank; --sum) count[sum] += count[sum - rank];
    double tail = 0;
    for (std::size_t sum = 0; sum <= static_cast<std::size_t>(r.w); ++sum) tail += count[sum];
    r.p_exact = std::min(1.0, 2 * tail / std::ldexp(1.0, r.n));
  }
  r.p = std::isnan(r.p_exact) ? r.p_normal : r.p_exact;
  return r;
}

double minimum_detectable_difference(int n, double sd, double alpha, double power) {
  if (n < 2 || !(sd >= 0)) return kNan;
  if (sd == 0) return 0;
  const double degrees = n - 1;
  const double critical = boost::math::quantile(boost::math::complement(boost::math::students_t(degrees), alpha / 2));
  // Power grows with the shift; the far tail adds nothing that matters at useful powers, but it is there.
  const auto power_at = [&](double shift) {
    const boost::math::non_central_t distribution(degrees, shift);
    return boost::math::cdf(boost::math::complement(distribution, critical)) +
           boost::math::cdf(distribution, -critical);
  };
  double low = 0, high = 1;
  while (power_at(high) < power) high *= 2;
  for (int i = 0; i < 200 && high - low > 1e-13 * high; ++i) {
    const double middle = 0.5 * (low + high);
    (power_at(middle) < power ? low : high) = middle;
  }
  return 0.5 * (low + high) * sd / std::sqrt(static_cast<double>(n));
}

PairedComparison compare_paired(const std::vector<double>& a, const std::vector<double>& b,
                                const BootstrapOptions& options) {
  PairedComparison r;
  const std::vector<double> d = finite_differences(a, b, &r.missing);
  if (d.size() < 2) throw Error(Code::invalid_argument, "paired comparison", "fewer than two tracks have both values");
  r.n = static_cast<int>(d.size());
  r.mean = mean_of(d);
  r.median = median_of(d);
  r.sd = sample_sd(d);
  for (double v : d) ++(v > 0 ? r.wins : v < 0 ? r.losses : r.ties);
  r.mean_interval = bca_interval_of_mean(d, options);
  r.median_interval = bootstrap(d, Statistic::median, options).interval();
  r.t = paired_t(d);
  r.wilcoxon = wilcoxon_signed_rank(d);
  r.cohen_dz = r.mean / r.sd;
  r.minimum_detectable = minimum_detectable_difference(r.n, r.sd, 1.0 - options.level);
  return r;
}

RankTest friedman(const Table& scores) {
  const BlockRanks b = block_ranks(scores, "Friedman");
  const auto n = static_cast<double>(b.n), k = static_cast<double>(scores.size());
  RankTest r;
  r.blocks = static_cast<int>(b.n);
  r.degrees = static_cast<int>(scores.size()) - 1;
  double squares = 0;
  for (double s : b.sums) {
    squares += s * s;
    r.mean_ranks.push_back(s / n);
  }
  const double raw = 12.0 / (n * k * (k + 1)) * squares - 3 * n * (k + 1);
  r.statistic = raw / (1.0 - b.ties / (n * k * (k * k - 1)));
  r.p = chi_squared_upper(r.statistic, r.degrees);
  return r;
}

RankTest kruskal_wallis(const Table& scores) {
  const auto rows = complete_tracks(scores, "Kruskal-Wallis");
  std::vector<double> all;
  for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
  double ties = 0;
  const auto ranks = ranks_of(all, &ties);
  const std::size_t k = scores.size();
  const auto n = static_cast<double>(all.size()), each = static_cast<double>(rows.size());
  RankTest r;
  r.blocks = static_cast<int>(rows.size());
  r.degrees = static_cast<int>(k) - 1;
  r.mean_ranks.assign(k, 0.0);
  for (std::size_t i = 0; i < ranks.size(); ++i) r.mean_ranks[i % k] += ranks[i] / each;
  double sum = 0;
  for (double m : r.mean_ranks) sum += each * m * m;
  r.statistic = (12.0 / (n * (n + 1)) * sum - 3 * (n + 1)) / (1.0 - ties / (n * n * n - n));
  r.p = chi_squared_upper(r.statistic, r.degrees);
  return r;
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return p[a] < p[b] || (p[a] == p[b] && a < b); });
  std::vector<double> out(p.size());
  double running = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    running = std::max(running, std::min(1.0, p[order[i]] * static_cast<double>(p.size() - i)));
    out[order[i]] = running;
  }
  return out;
}

std::vector<PairTest> conover_friedman(const Table& scores) {
  const BlockRanks b = block_ranks(scores, "Conover");
  const double error = conover_error(b);
  const double degrees = static_cast<double>(b.n - 1) * static_cast<double>(scores.size() - 1);
  std::vector<PairTest> pairs;
  for (std::size_t i = 0; i < scores.size(); ++i)
    for (std::size_t j = i + 1; j < scores.size(); ++j) {
      PairTest t{static_cast<int>(i), static_cast<int>(j), std::abs(b.sums[i] - b.sums[j]) / error, 1, 1};
      t.p = t_two_sided(t.statistic, degrees);
      pairs.push_back(t);
    }
  add_holm(pairs);
  return pairs;
}

double conover_critical_difference(const Table& scores, double alpha) {
  const BlockRanks b = block_ranks(scores, "Conover");
  const double degrees = static_cast<double>(b.n - 1) * static_cast<double>(scores.size() - 1);
  const double t = boost::math::quantile(boost::math::complement(boost::math::students_t(degrees), alpha / 2));
  return t * conover_error(b) / static_cast<double>(b.n);
}

std::vector<PairTest> wilcoxon_pairs(const Table& scores) {
  std::vector<PairTest> pairs;
  for (std::size_t i = 0; i < scores.size(); ++i)
    for (std::size_t j = i + 1; j < scores.size(); ++j) {
      const Wilcoxon w = wilcoxon_signed_rank(finite_differences(scores[i], scores[j], nullptr));
      pairs.push_back({static_cast<int>(i), static_cast<int>(j), w.w, w.p, 1});
    }
  add_holm(pairs);
  return pairs;
}

std::vector<PairTest> sisec18_conover_kruskal(const Table& scores) {
  const auto rows = complete_tracks(scores, "Conover-Iman");
  std::vector<double> all;
  for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
  const auto ranks = ranks_of(all, nullptr);
  const RankTest kruskal = kruskal_wallis(scores);
  const auto n = static_cast<double>(all.size()), k = static_cast<double>(scores.size());
  const auto each = static_cast<double>(rows.size());
  double squares = 0;
  for (double r : ranks) squares += r * r;
  const double variance = (squares - n * (n + 1) * (n + 1) / 4) / (n - 1);
  const double error = std::sqrt(variance * (n - 1 - kruskal.statistic) / (n - k) * 2 / each);
  std::vector<PairTest> pairs;
  for (std::size_t i = 0; i < scores.size(); ++i)
    for (std::size_t j = i + 1; j < scores.size(); ++j) {
      PairTest t{static_cast<int>(i), static_cast<int>(j),
                 std::abs(kruskal.mean_ranks[i] - kruskal.mean_ranks[j]) / error, 1, 1};
      t.p = t_two_sided(t.statistic, n - k);
      pairs.push_back(t);
    }
  add_holm(pairs);
  return pairs;
}

ZTest thesis_z(double mean, double sd, double n, double h0) {
  ZTest r;
  r.z = (mean - h0) / (sd / std::sqrt(n));
  r.p_one_sided = phi_upper(r.z);
  return r;
}

ZTest thesis_difference_z(double mean_a, double sd_a, double mean_b, double sd_b, double n) {
  ZTest r;
  r.z = (mean_b - mean_a) / std::sqrt(sd_a * sd_a / n + sd_b * sd_b / n);
  r.p_one_sided = phi_upper(r.z);
  return r;
}

TwoLevel two_level_bootstrap(const Table& a, const Table& b, const BootstrapOptions& options) {
  if (a.empty() || b.empty()) throw Error(Code::invalid_argument, "two-level bootstrap", "no seeds");
  const std::size_t given = a.front().size();
  for (const Table* t : {&a, &b})
    for (const auto& seed : *t)
      if (seed.size() != given) throw Error(Code::invalid_argument, "two-level bootstrap", "seeds differ in tracks");
  // Tracks on which every seed of both systems has a value.
  std::vector<std::size_t> tracks;
  for (std::size_t t = 0; t < given; ++t) {
    bool whole = true;
    for (const Table* table : {&a, &b})
      for (const auto& seed : *table) whole = whole && std::isfinite(seed[t]);
    if (whole) tracks.push_back(t);
  }
  check(options, tracks.size());
  const auto n = static_cast<std::uint32_t>(tracks.size());

  const auto seed_means = [&](const Table& table) {
    std::vector<double> out;
    for (const auto& seed : table) {
      double sum = 0;
      for (std::size_t t : tracks) sum += seed[t];
      out.push_back(sum / n);
    }
    return out;
  };
  TwoLevel r;
  const auto means_a = seed_means(a), means_b = seed_means(b);
  r.mean = mean_of(means_b) - mean_of(means_a);
  r.seed_sd_a = sample_sd(means_a);
  r.seed_sd_b = sample_sd(means_b);
  std::vector<double> per_track;
  for (std::size_t t : tracks) {
    double d = 0;
    for (const auto& seed : b) d += seed[t] / static_cast<double>(b.size());
    for (const auto& seed : a) d -= seed[t] / static_cast<double>(a.size());
    per_track.push_back(d);
  }
  r.track_sd = sample_sd(per_track);

  std::vector<double> draws;
  std::vector<double> weight(n);
  for (int draw = 0; draw < options.draws; ++draw) {
    core::Rng rng(options.seed, kStreamTwoLevel, static_cast<std::uint32_t>(draw));
    std::fill(weight.begin(), weight.end(), 0.0);
    for (std::uint32_t i = 0; i < n; ++i) weight[rng.below(n)] += 1.0 / n;
    double difference = 0;
    for (const bool second : {false, true}) {
      const Table& table = second ? b : a;
      double sum = 0;
      for (std::size_t s = 0; s < table.size(); ++s) {
        const auto& seed = table[rng.below(static_cast<std::uint32_t>(table.size()))];
        for (std::uint32_t i = 0; i < n; ++i) sum += weight[i] * seed[tracks[i]];
      }
      difference += (second ? 1.0 : -1.0) * sum / static_cast<double>(table.size());
    }
    draws.push_back(difference);
  }
  std::sort(draws.begin(), draws.end());
  r.interval = {percentile(draws, 0.5 * (1 - options.level)), percentile(draws, 0.5 * (1 + options.level))};
  return r;
}

}  // namespace mss::eval
