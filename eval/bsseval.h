// BSS Eval v4 and v3 for arrays, all modes of museval.metrics.bss_eval (museval 0.4.1) and of mir_eval.separation.
//
// Source: Vincent, Gribonval, Fevotte, "Performance measurement in blind audio source separation", IEEE TASLP 14(4),
// 2006; Vincent et al., "First stereo audio source separation evaluation campaign", ICA 2007 (images); Stoeter,
// Liutkus, Ito, "The 2018 signal separation evaluation campaign", LVA/ICA 2018 (v4: filters over the whole track).
// Formulas and what differs from the reference implementations: docs/metrics.md.
//
// Shapes: S references and S estimates of one shape (C channels, T samples). For one track with scenarios, silence
// rules and reuse over estimates use eval/scorer.h. Thread-safety: a pure function; the same bits for any number of
// threads.
#pragma once

#include <vector>

#include "core/stop.h"
#include "eval/signal.h"

namespace mss::eval {

struct BssEvalOptions {
  double window_samples = 44100;  ///< fractions and infinity as museval takes them; a window >= T gives one frame
  double hop_samples = 44100;
  int filter_taps = 512;
  bool framewise_filters = false;  ///< v3: filters from each frame's own samples
  bool sources_version = false;    ///< bss_eval_sources: the filtered target is the target, no ISR (NaN)
  bool permute = false;            ///< find the order of the estimates with the best mean SIR
  /// museval's quirk: one undefined frame makes every mean undefined and the identity wins. Else such frames are
  /// ignored.
  bool museval_permutation = false;
  bool strict = true;  ///< throw Error(numeric) for a source that is silent all along, as museval does
  int threads = 1;
  core::StopToken stop;
};

/// [source][frame]; NaN where any reference or estimate is silent in the frame (channel sum 0), +-inf as the formulas
/// give.
struct BssEvalResult {
  std::vector<std::vector<double>> sdr, isr, sir, sar;
  /// permutation[j][frame] = estimate that belongs to reference j; one entry for track-wide filters.
  std::vector<std::vector<int>> permutation;
};

/// Throws Error(invalid_argument): no sources, more than 100, unequal shapes or numbers; Error(numeric): NaN or
/// infinity, or see `strict`; Error(unsupported): permutations of more than 12 sources.
BssEvalResult bss_eval(const std::vector<Signal>& references, const std::vector<Signal>& estimates,
                       const BssEvalOptions& options = {});

/// SDR of bss_eval_sources (BSS Eval v2/v3) over the whole signal, per channel taken as a signal of its own:
/// 10 log10(|P s-span e|^2 / |e - P e|^2) with a filter of `taps`. Needs no other source. It is torchmetrics'
/// SignalDistortionRatio ("SDR-torchmetrics" is its mean over channels) and the SDR inside MIR-1K's NSDR. NaN for a
/// channel whose reference or estimate is silent.
std::vector<double> sources_sdr(const Signal& reference, const Signal& estimate, int taps = 512, int threads = 1);

/// NSDR of MIR-1K: sources_sdr(reference, estimate) - sources_sdr(reference, mixture), mean over channels. GNSDR is
/// weighted_mean of it over clips with their lengths (eval/sdr.h).
double nsdr(const Signal& reference, const Signal& estimate, const Signal& mixture, int taps = 512, int threads = 1);

}  // namespace mss::eval
