#include "eval/verdict.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "eval/statistics.h"

namespace mss::eval {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

void check(const VerdictOptions& o) {
  if (!(o.margin >= 0) || !std::isfinite(o.margin)) {
    throw Error({Code::invalid_argument, "verdict", "margin out of range", "0 or more", std::to_string(o.margin), ""});
  }
  if (!(o.alpha > 0 && o.alpha < 0.5)) {
    throw Error(
        {Code::invalid_argument, "verdict", "level out of range", "0 < alpha < 0.5", std::to_string(o.alpha), ""});
  }
}

/// Everything that needs no other comparison of the family; the spread for deciding_tracks beside it.
struct Single {
  Judgement judgement;
  bool equivalent = false;
  double spread = 0;
};

/// Two-sided p-value of "as many tracks gain as lose", ties left out.
double sign_test(const Judgement& j) {
  const int n = j.wins + j.losses;
  if (n == 0) return 1;
  const boost::math::binomial half(n, 0.5);
  return std::min(1.0, 2 * boost::math::cdf(half, std::min(j.wins, j.losses)));
}

Interval t_interval(const Judgement& j, double level) {
  const double t = boost::math::quantile(boost::math::students_t(j.tracks - 1), 0.5 * (1 + level));
  const double half = t * j.sd / std::sqrt(static_cast<double>(j.tracks));
  return {j.mean - half, j.mean + half};
}

Single single(const std::vector<double>& given, const VerdictOptions& options) {
  Single out;
  Judgement& j = out.judgement;
  std::vector<double> finite;
  int up = 0, down = 0;
  for (const double d : given) {
    if (std::isnan(d)) {
      ++j.missing;
      continue;
    }
    ++j.tracks;
    ++(d > 0 ? j.wins : d < 0 ? j.losses : j.ties);
    if (d == kInf) ++up;
    if (d == -kInf) ++down;
    if (std::isfinite(d)) finite.push_back(d);
  }
  j.mean = j.median = j.sd = kNan;
  j.interval = j.equivalence_interval = {kNan, kNan};
  j.deciding_tracks = out.spread = kNan;
  if (j.tracks == 0) return out;
  j.median = median_of(finite);
  const bool infinite_mean = options.statistic == Statistic::mean && up + down > 0;
  if (infinite_mean) {
    j.mean = up > 0 && down > 0 ? kNan : up > 0 ? kInf : -kInf;
    j.p = std::isnan(j.mean) ? 1.0 : 0.0;
    if (!std::isnan(j.mean)) j.interval = j.equivalence_interval = {j.mean, j.mean};
    return out;
  }
  j.mean = mean_of(finite);
  j.sd = sample_sd(finite);
  if (finite.size() < 2) return out;
  const Bootstrap resampled = bootstrap(finite, options.statistic, options.bootstrap);
  j.interval = resampled.interval(1 - options.alpha);
  j.equivalence_interval = resampled.interval(1 - 2 * options.alpha);
  const bool is_mean = options.statistic == Statistic::mean;
  const double classical = !is_mean ? sign_test(j) : j.sd > 0 ? paired_t(finite).p : finite.front() == 0 ? 1.0 : 0.0;
  j.p = resampled.beyond_draws(0) ? classical : std::max(classical, resampled.p_two_sided(0));
  const auto inside = [&](const Interval& interval) {
    return interval.low > -options.margin && interval.high < options.margin;
  };
  out.equivalent = inside(j.equivalence_interval) && (!is_mean || inside(t_interval(j, 1 - 2 * options.alpha)));
  // Nothing but zeros is equivalent at any margin.
  out.equivalent = out.equivalent || (j.equivalence_interval.low == 0 && j.equivalence_interval.high == 0);
  out.spread = is_mean ? j.sd : resampled.standard_error() * std::sqrt(static_cast<double>(finite.size()));
  return out;
}

}  // namespace

std::string_view verdict_name(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::equivalent:
      return "equivalent";
    case Verdict::worse:
      return "worse";
    case Verdict::better:
      return "better";
    case Verdict::undecided:
      return "undecided";
  }
  return "undecided";
}

std::vector<double> differences(const std::vector<double>& first, const std::vector<double>& second) {
  if (first.size() != second.size()) {
    throw Error({Code::invalid_argument, "differences", "systems differ in the number of tracks",
                 std::to_string(first.size()), std::to_string(second.size()), ""});
  }
  std::vector<double> out;
  for (std::size_t i = 0; i < first.size(); ++i) {
    out.push_back(first[i] == second[i] ? 0.0 : second[i] - first[i]);
  }
  return out;
}

double deciding_tracks(double spread, double margin, double alpha, double alpha_equivalence, double power) {
  if (!(spread > 0) || !(margin > 0) || !std::isfinite(spread)) return kNan;
  const double gap = 2 * boost::math::quantile(boost::math::normal(), 1 - power / 2);
  // The quantiles of t depend on n; a few rounds settle.
  double n = 1e9;
  for (int round = 0; round < 20; ++round) {
    const boost::math::students_t t(std::max(1.0, n - 1));
    const double sum = boost::math::quantile(boost::math::complement(t, alpha / 2)) +
                       boost::math::quantile(boost::math::complement(t, alpha_equivalence));
    const double root = (sum - gap) * spread / margin;
    n = std::max(2.0, root * root);
  }
  return std::ceil(n);
}

std::vector<Judgement> judge_family(const std::vector<std::vector<double>>& family, const VerdictOptions& options) {
  check(options);
  std::vector<Single> singles;
  for (const auto& given : family) singles.push_back(single(given, options));
  std::vector<double> p;
  for (const Single& s : singles)
    if (s.judgement.tracks > 0) p.push_back(s.judgement.p);
  const std::vector<double> adjusted = holm(p);
  const auto rejected =
      std::count_if(adjusted.begin(), adjusted.end(), [&](double value) { return value < options.alpha; });
  const auto left = std::max<std::ptrdiff_t>(1, static_cast<std::ptrdiff_t>(adjusted.size()) - rejected);
  std::vector<Judgement> out;
  std::size_t next = 0;
  for (Single& s : singles) {
    Judgement& j = s.judgement;
    if (j.tracks > 0) j.p_holm = adjusted[next++];
    const double estimate = j.estimate(options.statistic);
    j.verdict = s.equivalent                               ? Verdict::equivalent
                : j.p_holm < options.alpha && estimate < 0 ? Verdict::worse
                : j.p_holm < options.alpha && estimate > 0 ? Verdict::better
                                                           : Verdict::undecided;
    j.deciding_tracks =
        deciding_tracks(s.spread, options.margin, options.alpha / static_cast<double>(left), options.alpha);
    out.push_back(j);
  }
  return out;
}

Judgement judge(const std::vector<double>& differences, const VerdictOptions& options) {
  return judge_family({differences}, options).front();
}

}  // namespace mss::eval
