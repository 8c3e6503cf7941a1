// Statistics over tracks: what may be claimed from scores. Formulas and reasons: docs/metrics.md ("Statistics").
//
// The unit is the track: one score per system and track (a median over frames, or a whole-track metric), never the
// frames. Pairs with a missing value (NaN or infinity) in either system are left out and counted. All p-values are
// two-sided unless named otherwise. Resampling is seeded and counter-based: draw b is a function of (seed, b) alone.
// Thread-safety: pure functions. Errors: Error(invalid_argument) on unequal sizes or too few tracks.
#pragma once

#include <cstdint>
#include <vector>

#include "eval/bootstrap.h"

namespace mss::eval {

using Table = std::vector<std::vector<double>>;  ///< [system][track]

struct TTest {
  double t = 0, p = 1;
  double degrees = 0;
};
/// One sample against 0 (the paired test, given differences). No spread: t is +-inf or NaN, p 0 or NaN.
TTest paired_t(const std::vector<double>& differences);

struct Wilcoxon {
  double w = 0;  ///< min(W+, W-)
  double w_plus = 0, w_minus = 0;
  int n = 0;  ///< differences that are not zero
  int zeros = 0;
  bool ties = false;
  double p_exact = 0;        ///< NaN where the exact distribution does not apply (ties, zeros, n > 50)
  double p_normal = 0;       ///< z = (W - n(n+1)/4) / sqrt(n(n+1)(2n+1)/24 - sum(t^3-t)/48), no continuity correction
  double p = 1;              ///< exact where it applies, else normal: SciPy's rule up to 1.10
  double rank_biserial = 0;  ///< (W+ - W-) / (W+ + W-)
};
/// Signed-rank test of differences; zeros are dropped, ties get average ranks.
Wilcoxon wilcoxon_signed_rank(const std::vector<double>& differences);

/// Everything about b - a that a table or a page shows.
struct PairedComparison {
  int n = 0, missing = 0;
  double mean = 0, median = 0, sd = 0;      ///< of the differences; sd with n - 1
  int wins = 0, ties = 0, losses = 0;       ///< of b
  Interval mean_interval, median_interval;  ///< BCa
  TTest t;
  Wilcoxon wilcoxon;
  double cohen_dz = 0;            ///< mean / sd
  double minimum_detectable = 0;  ///< at the level's alpha and 80 % power
};
PairedComparison compare_paired(const std::vector<double>& a, const std::vector<double>& b,
                                const BootstrapOptions& options = {});

/// Smallest true mean difference that a two-sided paired t-test of n differences with this standard deviation finds
/// with probability `power`: the non-central t solved for its shift. NaN for n < 2.
double minimum_detectable_difference(int n, double sd, double alpha = 0.05, double power = 0.8);

struct RankTest {
  double statistic = 0, p = 1;
  int degrees = 0;
  int blocks = 0;                  ///< tracks with all values
  std::vector<double> mean_ranks;  ///< per system; 1 = lowest score
};
/// Friedman's chi-square over tracks, with the correction for ties.
RankTest friedman(const Table& scores);
/// Kruskal-Wallis H with the correction for ties; ignores that the tracks are the same (legacy).
RankTest kruskal_wallis(const Table& scores);

/// One pair of systems in a family of tests.
struct PairTest {
  int first = 0, second = 0;
  double statistic = 0, p = 1, p_holm = 1;
};
/// Conover's post-hoc for Friedman: t = |R_i - R_j| / sqrt(2 (n A - sum R^2) / ((n-1)(k-1))), R rank sums, A sum of
/// squared ranks, (n-1)(k-1) degrees of freedom; Holm over all pairs.
std::vector<PairTest> conover_friedman(const Table& scores);
/// Difference of mean ranks from which Conover's post-hoc is significant at `alpha`, for a critical-difference plot.
double conover_critical_difference(const Table& scores, double alpha = 0.05);
/// Wilcoxon for every pair, Holm over all of them.
std::vector<PairTest> wilcoxon_pairs(const Table& scores);
/// Legacy mode `sisec18`: Conover-Iman for Kruskal-Wallis as in SiSEC 2018's notebook, unpaired; that notebook applied
/// no correction, p_holm is added for comparison.
std::vector<PairTest> sisec18_conover_kruskal(const Table& scores);

/// Holm's step-down adjustment, in the order given.
std::vector<double> holm(const std::vector<double>& p);

/// Legacy mode `thesis`: z = (mean - h0) / (s / sqrt n), p = 1 - Phi(z).
struct ZTest {
  double z = 0, p_one_sided = 1;
};
ZTest thesis_z(double mean, double sd, double n, double h0);
/// z = (mean_b - mean_a) / sqrt(sd_a^2/n + sd_b^2/n), unpaired, p = 1 - Phi(z).
ZTest thesis_difference_z(double mean_a, double sd_a, double mean_b, double sd_b, double n);

/// Two systems trained with several seeds, scored on the same tracks: [seed][track].
struct TwoLevel {
  double mean = 0;                      ///< of b - a over seeds and tracks
  Interval interval;                    ///< percentile interval, resampling the seeds of each system and the tracks
  double track_sd = 0;                  ///< of the difference of the seed means, over tracks
  double seed_sd_a = 0, seed_sd_b = 0;  ///< of the track mean, over seeds; NaN with one seed
};
TwoLevel two_level_bootstrap(const Table& a, const Table& b, const BootstrapOptions& options = {});

double sample_sd(const std::vector<double>& values);  ///< n - 1; NaN for n < 2

}  // namespace mss::eval
