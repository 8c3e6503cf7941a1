// What may be said of two systems that were scored on the same tracks: equivalent, worse, better, or undecided.
//
// Input: differences (new - old) per track, positive where the new one is better. For one comparison, in this order:
//   equivalent   the 90 % interval of the difference lies inside (-margin, +margin): two one-sided tests at 5 % each
//                (Schuirmann 1987), so that a difference as large as the margin is called equivalent in at most 5 %
//   worse        the 95 % interval lies below 0
//   better       the 95 % interval lies above 0
//   undecided    else
// Intervals: BCa over tracks, expanded (bootstrap.h). Far out in the tails a bootstrap promises more than it keeps, so
// a second, classical procedure has to agree: for a mean Student's t (its 90 % interval inside the margin, its
// p-value), for a median the sign test. p is the greater of the two p-values; where 0 lies beyond the draws, which then
// say no more than "small", it is the classical one.
//
// Over a family of comparisons (targets x metrics declared beforehand) the p-values are adjusted after Holm, and worse
// and better stand on the adjusted ones: where nothing has changed, any false alarm in the whole family has at most
// 5 %. Intervals are shown unadjusted. In a family of one both say the same.
//
// Deciding tracks. With n tracks of spread s (standard deviation of the differences) the comparison is undecided where
// the mean falls between margin - t_.95 s / sqrt(n) and t_(1 - alpha/2) s / sqrt(n). deciding_tracks is the least n for
// which, whatever the true difference is, that happens in at most 20 % of cases:
//   sqrt(n) = (t_(1 - alpha/2) + t_.95 - 2 Phi^-1(0.6)) s / margin,
// alpha being the level at which Holm's procedure tests this comparison. It depends on the spread, not on the
// difference that was seen. For a median, s is sqrt(n) times the bootstrap's standard error.
//
// Edge cases: no spread gives an interval [x, x]. A difference of +-infinity (a perfect estimate on one side) makes the
// mean infinite, which decides; the median leaves such tracks out. Both perfect is a difference of 0 (differences()).
// Fewer than two tracks: undecided, interval NaN. Thread-safety: pure functions. Errors: Error(invalid_argument) for a
// margin below 0, levels outside (0, 1), and what bootstrap.h names.
#pragma once

#include <string_view>
#include <vector>

#include "eval/bootstrap.h"

namespace mss::eval {

enum class Verdict { equivalent, worse, better, undecided };
std::string_view verdict_name(Verdict verdict) noexcept;

struct VerdictOptions {
  double margin = 0.05;  ///< in the metric's unit; 0 = nothing is ever equivalent but no difference at all
  double alpha = 0.05;   ///< of the family
  Statistic statistic = Statistic::mean;
  BootstrapOptions bootstrap = {.expanded = true};  ///< its level is not used
};

struct Judgement {
  int tracks = 0, missing = 0;
  double mean = 0, median = 0, sd = 0;      ///< of the differences; NaN without tracks
  int wins = 0, ties = 0, losses = 0;       ///< of the new one
  Interval interval, equivalence_interval;  ///< of the statistic, at 1 - alpha (95 %) and 1 - 2 alpha (90 %)
  double p = 1, p_holm = 1;
  Verdict verdict = Verdict::undecided;
  double deciding_tracks = 0;  ///< NaN without spread, margin or tracks

  double estimate(Statistic statistic) const { return statistic == Statistic::mean ? mean : median; }
};

/// second - first per track; two equal infinities give 0; NaN where either is NaN. Sizes must agree.
std::vector<double> differences(const std::vector<double>& first, const std::vector<double>& second);

/// One comparison, unadjusted.
Judgement judge(const std::vector<double>& differences, const VerdictOptions& options = {});
/// A family: one element per comparison, in its order. Comparisons without tracks do not count in the family.
std::vector<Judgement> judge_family(const std::vector<std::vector<double>>& family, const VerdictOptions& options = {});

/// See above; the equivalence tests stand at `alpha_equivalence` each. NaN for spread or margin <= 0.
double deciding_tracks(double spread, double margin, double alpha = 0.05, double alpha_equivalence = 0.05,
                       double power = 0.8);

}  // namespace mss::eval
