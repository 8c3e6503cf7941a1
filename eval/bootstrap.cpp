#include "eval/bootstrap.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <list>
#include <mutex>
#include <numeric>

#include "core/error.h"
#include "core/rng.h"
#include "eval/resampling.h"
#include "eval/scores.h"

namespace mss::eval {

namespace {
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
/// Stream of the generator.
constexpr std::uint32_t kStreamBca = 0x65766c31;

}  // namespace

double phi(double z) {
  if (std::isnan(z)) return kNan;
  return std::isinf(z) ? (z > 0 ? 1.0 : 0.0) : boost::math::cdf(boost::math::normal(), z);
}

void check(const BootstrapOptions& o, std::size_t n) {
  if (n < 2) throw Error(Code::invalid_argument, "bootstrap", fmt::format("{} values are too few, 2 are needed", n));
  if (o.draws < 100 || !(o.level > 0 && o.level < 1)) {
    throw Error(Code::invalid_argument, "bootstrap", "at least 100 draws and a level inside (0, 1) are needed");
  }
}

namespace {

double phi_inverse(double p) {
  if (p <= 0) return -kInf;
  return p >= 1 ? kInf : boost::math::quantile(boost::math::normal(), p);
}

/// A sample ready for medians of its draws: values in order, the rank of each track, tracks without a value marked.
class Ranked {
 public:
  static constexpr std::uint32_t kMissing = ~std::uint32_t{0};

  explicit Ranked(const std::vector<double>& values) : rank_(values.size(), kMissing) {
    std::vector<std::uint32_t> order;
    for (std::size_t i = 0; i < values.size(); ++i)
      if (!std::isnan(values[i])) order.push_back(static_cast<std::uint32_t>(i));
    std::stable_sort(order.begin(), order.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return values[a] < values[b]; });
    for (std::size_t r = 0; r < order.size(); ++r) {
      rank_[order[r]] = static_cast<std::uint32_t>(r);
      sorted_.push_back(values[order[r]]);
    }
    count_.resize(sorted_.size());
  }

  /// Median of the tracks picked; NaN where none of them has a value.
  double median(const std::uint32_t* picks, std::size_t n) {
    std::fill(count_.begin(), count_.end(), 0u);
    std::size_t total = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t rank = rank_[picks[i]];
      if (rank == kMissing) continue;
      ++count_[rank];
      ++total;
    }
    if (total == 0) return kNan;
    const std::size_t low = (total - 1) / 2, high = total / 2;
    std::size_t seen = 0, r = 0;
    while (seen + count_[r] <= low) seen += count_[r++];
    const double first = sorted_[r];
    while (seen + count_[r] <= high) seen += count_[r++];
    return first == sorted_[r] ? first : 0.5 * (first + sorted_[r]);
  }

  double mean(const std::uint32_t* picks, std::size_t n) const {
    double sum = 0;
    std::size_t total = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t rank = rank_[picks[i]];
      if (rank == kMissing) continue;
      sum += sorted_[rank];
      ++total;
    }
    return total == 0 ? kNan : sum / static_cast<double>(total);
  }

  double estimate(const std::uint32_t* picks, std::size_t n, Statistic statistic) {
    return statistic == Statistic::mean ? mean(picks, n) : median(picks, n);
  }

  bool empty() const noexcept { return sorted_.empty(); }
  bool finite() const { return empty() || (std::isfinite(sorted_.front()) && std::isfinite(sorted_.back())); }

 private:
  std::vector<double> sorted_;
  std::vector<std::uint32_t> rank_, count_;
};

}  // namespace

double mean_of(const std::vector<double>& values) {
  if (values.empty()) return kNan;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double median_of(const std::vector<double>& values) {
  if (values.empty()) return kNan;
  std::vector<double> v = values;
  std::sort(v.begin(), v.end());
  const double low = v[(v.size() - 1) / 2], high = v[v.size() / 2];
  return low == high ? low : 0.5 * (low + high);  // also two equal infinities
}

double estimate_of(const std::vector<double>& values, Statistic statistic) {
  return statistic == Statistic::mean ? mean_of(values) : median_of(values);
}

Resamples::Resamples(int n, const BootstrapOptions& options) : n_(n), draws_(options.draws) {
  check(options, n < 0 ? 0 : static_cast<std::size_t>(n));
  picks_.reserve(static_cast<std::size_t>(n) * static_cast<std::size_t>(draws_));
  for (int b = 0; b < draws_; ++b) {
    core::Rng rng(options.seed, kStreamBca, static_cast<std::uint32_t>(b));
    for (int i = 0; i < n; ++i) picks_.push_back(rng.below(static_cast<std::uint32_t>(n)));
  }
}

std::shared_ptr<const Resamples> shared_resamples(int n, const BootstrapOptions& options) {
  struct Entry {
    std::uint64_t seed;
    int draws, n;
    std::shared_ptr<const Resamples> resamples;
  };
  constexpr std::size_t kKept = 8;
  static std::mutex mutex;
  static std::list<Entry> kept;  // latest use first
  const std::lock_guard lock(mutex);
  for (auto entry = kept.begin(); entry != kept.end(); ++entry) {
    if (entry->seed != options.seed || entry->draws != options.draws || entry->n != n) continue;
    kept.splice(kept.begin(), kept, entry);
    return kept.front().resamples;
  }
  kept.push_front({options.seed, options.draws, n, std::make_shared<const Resamples>(n, options)});
  if (kept.size() > kKept) kept.pop_back();
  return kept.front().resamples;
}

Bootstrap::Bootstrap(std::vector<double> draws, double estimate, const std::vector<double>& jackknife,
                     const BootstrapOptions& options)
    : draws_(std::move(draws)), estimate_(estimate), tracks_(static_cast<double>(jackknife.size())), options_(options) {
  check(options, jackknife.size());
  double below = 0;
  for (const double d : draws_) below += d < estimate ? 1.0 : d == estimate ? 0.5 : 0.0;
  std::sort(draws_.begin(), draws_.end());
  bias_ = phi_inverse(below / static_cast<double>(draws_.size()));
  const double centre = mean_of(jackknife);
  double cubes = 0, squares = 0;
  for (const double j : jackknife) {
    const double d = centre - j;
    cubes += d * d * d;
    squares += d * d;
  }
  acceleration_ = squares > 0 ? cubes / (6.0 * std::pow(squares, 1.5)) : 0.0;
}

double Bootstrap::quantile(double share) const {
  if (!options_.expanded || share <= 0 || share >= 1) return phi_inverse(share);
  return std::sqrt(tracks_ / (tracks_ - 1)) * boost::math::quantile(boost::math::students_t(tracks_ - 1), share);
}

double Bootstrap::cdf(double z) const {
  if (!options_.expanded || !std::isfinite(z)) return phi(z);
  return boost::math::cdf(boost::math::students_t(tracks_ - 1), z / std::sqrt(tracks_ / (tracks_ - 1)));
}

Interval Bootstrap::interval(double level) const {
  if (draws_.front() == draws_.back()) return {draws_.front(), draws_.front()};
  const auto end = [&](double share) {
    if (!std::isfinite(bias_)) return bias_ > 0 ? draws_.back() : draws_.front();
    const double shifted = bias_ + quantile(share), denominator = 1.0 - acceleration_ * shifted;
    // A level so far out that the transformation turns over: the outermost draw.
    if (denominator <= 0) return shifted > 0 ? draws_.back() : draws_.front();
    return percentile(draws_, phi(bias_ + shifted / denominator));
  };
  return {end(0.5 * (1.0 - level)), end(0.5 * (1.0 + level))};
}

double Bootstrap::p_two_sided(double value) const {
  if (draws_.front() == draws_.back()) return draws_.front() == value ? 1.0 : 0.0;
  const auto [from, to] = std::equal_range(draws_.begin(), draws_.end(), value);
  const auto count = static_cast<double>(draws_.size());
  // The share of draws below the value, ties half; kept off 0 and 1 by half a draw.
  const double below = static_cast<double>(from - draws_.begin()) + 0.5 * static_cast<double>(to - from);
  const double share = std::clamp(below, 0.5, count - 0.5) / count;
  if (!std::isfinite(bias_)) return 2 * std::min(share, 1 - share);
  // Inverse of the ends above: which level puts one of them here?
  const double w = phi_inverse(share) - bias_;
  const double denominator = 1.0 + acceleration_ * w;
  const double z = denominator > 0 ? w / denominator - bias_ : std::copysign(kInf, w);
  const double p = cdf(z);
  return std::clamp(2 * std::min(p, 1 - p), 1.0 / count, 1.0);
}

double Bootstrap::standard_error() const {
  const double centre = mean_of(draws_);
  double squares = 0;
  for (const double d : draws_) squares += (d - centre) * (d - centre);
  return std::sqrt(squares / static_cast<double>(draws_.size() - 1));
}

bool Bootstrap::beyond_draws(double value) const {
  const auto below = std::lower_bound(draws_.begin(), draws_.end(), value) - draws_.begin();
  const auto above = draws_.end() - std::upper_bound(draws_.begin(), draws_.end(), value);
  return std::min<std::int64_t>(below, above) < 5;
}

Bootstrap bootstrap(const std::vector<double>& sample, Statistic statistic, const Resamples& resamples,
                    const BootstrapOptions& options) {
  check(options, sample.size());
  if (static_cast<std::size_t>(resamples.size()) != sample.size()) {
    throw Error({Code::invalid_argument, "bootstrap", "resamples of another size than the sample",
                 std::to_string(sample.size()), std::to_string(resamples.size()), ""});
  }
  const std::size_t n = sample.size();
  std::vector<double> draws, jackknife;
  draws.reserve(static_cast<std::size_t>(resamples.draws()));
  if (statistic == Statistic::mean) {
    for (int b = 0; b < resamples.draws(); ++b) {
      const std::uint32_t* picks = resamples[b];
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) sum += sample[picks[i]];
      draws.push_back(sum / static_cast<double>(n));
    }
    const double total = std::accumulate(sample.begin(), sample.end(), 0.0);
    for (const double v : sample) jackknife.push_back((total - v) / static_cast<double>(n - 1));
  } else {
    Ranked ranked(sample);
    for (int b = 0; b < resamples.draws(); ++b) draws.push_back(ranked.median(resamples[b], n));
    std::vector<double> rest;
    for (std::size_t left = 0; left < n; ++left) {
      rest = sample;
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(left));
      jackknife.push_back(median_of(rest));
    }
  }
  return {std::move(draws), estimate_of(sample, statistic), jackknife, options};
}

Bootstrap bootstrap(const std::vector<double>& sample, Statistic statistic, const BootstrapOptions& options) {
  check(options, sample.size());
  return bootstrap(sample, statistic, *shared_resamples(static_cast<int>(sample.size()), options), options);
}

Interval interval_of_average(const std::vector<std::vector<double>>& groups, Statistic statistic,
                             const BootstrapOptions& options) {
  constexpr Interval kNone = {kNan, kNan};
  if (groups.empty()) return kNone;
  // Tracks with any value at all are what is resampled.
  std::vector<std::uint32_t> tracks;
  for (std::size_t t = 0; t < groups.front().size(); ++t) {
    const bool any = std::any_of(groups.begin(), groups.end(), [&](const auto& g) { return !std::isnan(g[t]); });
    if (any) tracks.push_back(static_cast<std::uint32_t>(t));
  }
  if (tracks.size() < 2) return kNone;
  std::vector<Ranked> ranked;
  for (const auto& group : groups) {
    std::vector<double> kept;
    for (const std::uint32_t t : tracks) kept.push_back(group[t]);
    ranked.emplace_back(kept);
    if (ranked.back().empty() || !ranked.back().finite()) return kNone;
  }
  const auto average = [&](const std::uint32_t* picks, std::size_t n) {
    double sum = 0;
    for (Ranked& group : ranked) sum += group.estimate(picks, n, statistic);
    return sum / static_cast<double>(ranked.size());  // NaN where a group has none
  };
  const auto resamples = shared_resamples(static_cast<int>(tracks.size()), options);
  std::vector<double> draws, jackknife;
  for (int b = 0; b < resamples->draws(); ++b) {
    const double value = average((*resamples)[b], tracks.size());
    if (!std::isnan(value)) draws.push_back(value);
  }
  std::vector<std::uint32_t> all(tracks.size());
  std::iota(all.begin(), all.end(), 0u);
  for (std::size_t left = 0; left < all.size(); ++left) {
    std::vector<std::uint32_t> rest = all;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(left));
    const double value = average(rest.data(), rest.size());
    if (!std::isnan(value)) jackknife.push_back(value);
  }
  if (draws.size() * 2 < static_cast<std::size_t>(options.draws) || jackknife.size() < 2) return kNone;
  return Bootstrap(std::move(draws), average(all.data(), all.size()), jackknife, options).interval();
}

Interval bca_interval(const std::vector<double>& sample,
                      const std::function<double(const std::vector<double>&)>& statistic,
                      const BootstrapOptions& options) {
  check(options, sample.size());
  const Resamples resamples(static_cast<int>(sample.size()), options);
  std::vector<double> draws, picked(sample.size()), jackknife;
  for (int b = 0; b < options.draws; ++b) {
    for (std::size_t i = 0; i < picked.size(); ++i) picked[i] = sample[resamples[b][i]];
    draws.push_back(statistic(picked));
  }
  picked.pop_back();
  for (std::size_t left = 0; left < sample.size(); ++left) {
    std::size_t to = 0;
    for (std::size_t i = 0; i < sample.size(); ++i)
      if (i != left) picked[to++] = sample[i];
    jackknife.push_back(statistic(picked));
  }
  return Bootstrap(std::move(draws), statistic(sample), jackknife, options).interval();
}

Interval bca_interval_of_mean(const std::vector<double>& sample, const BootstrapOptions& options) {
  return bootstrap(sample, Statistic::mean, options).interval();
}

}  // namespace mss::eval
