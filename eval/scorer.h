// BSS Eval v4 and the SDR family for one track. Formulas, constants, sources: docs/metrics.md.
//
// What depends on the references alone (Gram factors, spectra, energies) is kept in ReferenceSet, computed once per
// track and used for every method that is scored on it. Scores are the same bits for any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/stop.h"
#include "eval/scores.h"
#include "eval/signal.h"

namespace mss::eval {

enum class Metrics {
  sdr_only,  ///< frame SDR of BSS Eval v4 (no filters) and the SDR family
  all        ///< SDR, ISR, SIR, SAR and the SDR family
};
/// When a frame has no value.
///
/// museval: for no source, as soon as the channel sum of any reference or any estimate of the problem is 0 throughout
/// the frame (so loud anti-phase stereo counts as silent, too); an estimate that is silent over the whole track is left
/// out of this test (museval raises for it).
///
/// per_source: for a source only when its own reference is zero in the frame; a silent estimate gets what the formulas
/// give (SDR 0 dB).
enum class SilenceRule { museval, per_source };

struct ScorerOptions {
  Metrics metrics = Metrics::all;
  double window_s = 1.0;  ///< frame length; floor(window_s * rate) samples
  double hop_s = 1.0;
  int filter_taps = 512;
  bool framewise_filters = false;  ///< museval's mode "v3": filters from each frame's own samples
  SilenceRule silence = SilenceRule::museval;
  /// Throw Error(numeric) where museval raises: a reference or estimate whose channel sum is 0 all along.
  bool strict = false;
  /// Add ISR-stable, SIR-stable, SAR-stable: filters that references with an empty band do not drive to huge gains.
  bool stable = false;
  /// Add NSDR (against the mixture, where there is one) and SDR-torchmetrics: bss_eval_sources over the whole track.
  bool sources_sdr = false;
  /// Add the scenario "vocals/accompaniment" where there is a target "vocals" and at least two others.
  bool accompaniment = true;
  int threads = 1;
  /// Memory for spectra of the references that are kept from one estimate to the next (at 30 s of 4-source stereo, 190
  /// MB hold all of them). 0 computes them anew for each.
  std::int64_t cache_bytes = std::int64_t{144} << 20;
  /// A track whose filters would take longer (scoring_seconds) is refused before anything is computed.
  double most_seconds = 3600;
  core::StopToken stop;
};

/// What ISR-stable, SIR-stable and SAR-stable add to the diagonal, as a share of the channel's energy: noise at -60 dB.
inline constexpr double kStableRidge = 1e-6;

/// Rough time of BSS Eval for one track: the references' analysis and one estimate, from the number of operations of
/// the filters' systems (cubic in sources times channels) and of the frames' products (quadratic), at 1.5e9 a second
/// and thread. 0 without filters (Metrics::sdr_only).
double scoring_seconds(int sources, int channels, std::int64_t samples, int rate_hz, const ScorerOptions& options);

class ReferenceSet {
 public:
  /// `references`: one signal per name, one shape. `mixture` may be empty (then no improvements over the mixture are
  /// scored). The signals must outlive the set. Throws Error: no sources, unequal shapes, non-finite samples, more than
  /// 100 sources; Error(resource) where scoring would take longer than options.most_seconds.
  ReferenceSet(std::vector<std::string> names, std::vector<Signal> references, Signal mixture, int rate_hz,
               ScorerOptions options = {});
  ~ReferenceSet();
  ReferenceSet(ReferenceSet&&) noexcept;
  ReferenceSet& operator=(ReferenceSet&&) noexcept;

  /// Scores of one set of estimates: same names (any order; a missing name is Error(invalid_argument)), same shape. An
  /// estimate named "accompaniment" beside the stems is used in the vocals/accompaniment problem; without it the sum of
  /// the other estimates is. One Scores per scenario ("stems", "vocals/accompaniment"). May be called from several
  /// threads. Throws Error(numeric) for a NaN or an infinity, naming target, channel and sample.
  std::vector<Scores> score(const std::vector<std::string>& names, const std::vector<Signal>& estimates) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mss::eval
