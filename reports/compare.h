// Two runs of the same tracks held against each other: better, worse, equivalent or undecided, with intervals, and a
// verdict that a continuous integration can act on.
//
// Pairing. Rows of OLD and NEW pair by spec; where each side has one row only, these two pair. Inside, tracks pair by
// (data set, subset, track), a track's value being the mean over its seeds. A comparison over other tracks than were
// scored before says nothing, so whatever does not pair is a problem: a row, track or target on one side only, a track
// that failed on the new side, a track with other audio (fingerprint), frames of another length. `allow_missing`
// compares what is on both sides; other audio stays out.
//
// Family. All (row, scenario, target, metric) that are compared are one family, declared by `metrics` and `targets`
// before anything is seen: Holm's adjustment over all of them keeps false alarms at 5 % in all (eval/verdict.h). The
// average over targets is shown, and not judged.
//
// Seeds. A verdict is about the seeds that were run: their scatter is shown beside it (standard deviation over seeds of the
// mean over tracks), so that a difference that another seed would undo can be told from one that it would not.
//
// Time and memory. The ratio of separation times per track (geometric mean, 95 % interval over tracks), and of the peak
// memory of the processes. They are compared only where both sides ran on one host and processor with the same threads,
// jobs and instruction set; slower (hungrier) is what lies above 1 + tolerance with its whole interval.
//
// Thread-safety: pure functions. Errors: Error(config) for a metric or target that nothing holds; Error(dataset) where
// nothing pairs at all.
#pragma once

#include <string>
#include <vector>

#include "core/value.h"
#include "eval/verdict.h"
#include "records/record.h"

namespace mss::reports {

struct CompareOptions {
  std::vector<std::string> metrics;  ///< empty = SDR, or the first one that both hold
  std::vector<std::string> targets;  ///< empty = all
  double margin = 0.05;              ///< dB
  eval::Statistic statistic = eval::Statistic::mean;
  bool allow_missing = false;
  bool strict = false;           ///< undecided counts as worse
  bool costs = true;             ///< compare time and memory where that can be done
  double cost_tolerance = 0.10;  ///< share of the old time or memory that may be added
};

struct TrackDifference {
  std::string track;
  double old_value = 0, new_value = 0;
};

/// One member of the family, or an average (not judged: verdict undecided, p_holm 1, `average` set).
struct Comparison {
  std::string dataset, subset, scenario, old_spec, new_spec, target, metric;
  bool average = false;
  double old_value = 0, new_value = 0;  ///< the statistic over the tracks compared
  int old_seeds = 1, new_seeds = 1;
  double old_seed_sd = 0, new_seed_sd = 0;  ///< of the mean over tracks, over seeds; NaN with one seed
  eval::Judgement judgement;
  std::vector<TrackDifference> most_lost;  ///< up to three tracks that lost most, beyond the margin
};

struct CostComparison {
  std::string old_spec, new_spec;
  std::string not_compared;  ///< why, where they were not; else empty
  int tracks = 0;
  double time_ratio = 0;  ///< new / old; NaN = not recorded
  eval::Interval time_interval;
  double memory_ratio = 0;  ///< NaN = not recorded
  bool slower = false, hungrier = false;
};

enum class Outcome { equivalent, better, undecided, worse, costlier, unpaired };
std::string_view outcome_name(Outcome outcome) noexcept;

struct CompareResult {
  std::string old_name, new_name;
  CompareOptions options;
  std::vector<Comparison> comparisons;  ///< by row, scenario, metric, target; averages last of their metric
  std::vector<CostComparison> costs;    ///< per pair of rows
  std::vector<std::string> unpaired;    ///< what stands on one side only, or does not fit
  std::vector<std::string> notes;       ///< programs that differ and the like
  int family = 0;                       ///< comparisons that were judged

  int count(eval::Verdict verdict) const;
  /// In this order: unpaired (unless allowed), worse (with `strict` undecided too), costlier, undecided, better,
  /// equivalent.
  Outcome outcome() const;
};

CompareResult compare(const std::vector<records::Record>& old_records, const std::vector<records::Record>& new_records,
                      const CompareOptions& options = {}, std::string old_name = "OLD", std::string new_name = "NEW");

std::string to_text(const CompareResult& result);
/// For a pull request or GITHUB_STEP_SUMMARY.
std::string to_markdown(const CompareResult& result);
/// JUnit XML: one test case per comparison, worse ones fail, undecided ones are skipped (fail with `strict`), what does
/// not pair is an error.
std::string to_junit(const CompareResult& result);
core::Value to_json(const CompareResult& result);

}  // namespace mss::reports
