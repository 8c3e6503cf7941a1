// How the estimates of one track are scored: `run` and `evaluate` ask here.
//
// Problems. A problem is a set of references that are scored jointly, under the name of its scenario:
//   stems                 all stems of the track, for estimates that cover them
//   vocals/accompaniment  the voice and the sum of all other stems, where there are vocals: beside "stems" where there are
//                         three stems or more, and for estimates that are vocals and accompaniment only
//   stems:A+B             some of the stems (names in the track's order), for estimates that cover no more
// Estimates are scored in every problem that they cover, not only in the one that fits best: partial problems that any
// method of a run needs (partial_problem()) are given to score() for all its methods, so that trivial rows and oracles
// stand in every table, on the same frames.
//
// Sums. Where the accompaniment is a reference and no estimate, the estimates drums, bass and other together are it (beside
// vocals). Estimates without a reference (a residual) are not scored.
//
// Thread-safety: one object per track and thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "audio/buffer.h"
#include "datasets/dataset.h"
#include "eval/scorer.h"

namespace mss::harness {

/// Which partial problems a run needs on a track.
struct PartialProblems {
  std::vector<std::vector<std::string>> stems;  ///< "stems:A+B", each in the track's order
  bool pair = false;                            ///< vocals/accompaniment, by itself
  /// Adds what estimates of these names need on a track with these stems.
  void add(const std::vector<std::string>& references, const std::vector<std::string>& estimates);
  /// Scenarios of these problems that estimates of these names are scored in.
  std::vector<std::string> scenarios(const std::vector<std::string>& references,
                                     const std::vector<std::string>& estimates) const;
};

/// Is an estimate of this name, among `estimates`, scored on a track with these stems, by itself or in a sum?
bool has_reference(const std::string& name, const std::vector<std::string>& references,
                   const std::vector<std::string>& estimates);

class TrackScorer {
 public:
  /// `references` outlives the object; its mixture may be empty. Options::accompaniment false leaves
  /// vocals/accompaniment out.
  TrackScorer(const datasets::TrackAudio& references, eval::ScorerOptions options);
  ~TrackScorer();

  /// Scores of estimates of the references' shape under the scenarios that they allow, those of `partial` among them.
  /// `unscored` gets the names without a reference. Throws Error(dataset) where no estimate has one.
  std::vector<eval::Scores> score(const std::vector<std::string>& names, const std::vector<audio::AudioView>& audio,
                                  const PartialProblems& partial, std::vector<std::string>& unscored);

  /// A stem, or a sum of stems (Dataset::target), made once.
  audio::AudioView reference(const std::string& name);

 private:
  struct Estimates;
  std::vector<eval::Scores> solve(const std::vector<std::string>& references, const Estimates& estimates,
                                  const std::vector<std::string>& given, bool accompaniment);

  const datasets::TrackAudio& references_;
  eval::ScorerOptions options_;
  std::map<std::string, audio::AudioBuffer> derived_;
  std::map<std::vector<std::string>, std::unique_ptr<eval::ReferenceSet>> sets_;
};

}  // namespace mss::harness
