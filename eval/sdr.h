// The SDR family from sums that one pass over the samples yields. Formulas, constants and their sources:
// docs/metrics.md.
//
// s reference, e estimate, d = e - s. Residuals are formed from d, not from |s|^2 and |e|^2, so that good estimates
// lose no digits: with a = <e,s>/|s|^2 = 1 + <d,s>/|s|^2 the SI-SDR residual is |a s - e|^2 = |d|^2 - <d,s>^2/|s|^2.
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "eval/scores.h"
#include "eval/signal.h"

namespace mss::eval {

/// Sums over the samples of one channel.
struct ChannelSums {
  double reference2 = 0;  ///< sum s^2
  double reference1 = 0;  ///< sum s
  double error2 = 0;      ///< sum d^2
  double cross = 0;       ///< sum d*s
  double estimate2 = 0;   ///< sum e^2
  double estimate1 = 0;   ///< sum e
};

/// One (reference, estimate) pair over a whole track.
struct TrackSums {
  std::int64_t samples = 0;  ///< per channel
  std::vector<ChannelSums> channels;
};

/// Sums of a pair of one shape (C, T). Throws Error(invalid_argument) on unequal shapes, Error(numeric) on NaN or
/// infinity.
TrackSums track_sums(const Signal& reference, const Signal& estimate, int threads = 1);

/// All whole-track metrics of `eval::metrics()` that need no frames and no filters, in its order: uSDR, SDR-track,
/// SI-SDR, SI-SDR-channel, SD-SDR, SI-SNR, SDR-best-gain, uSDR-msst, SI-SDR-msst, SNR-torchmetrics,
/// SI-SDR-torchmetrics, SI-SNR-torchmetrics. Edge cases: a perfect estimate gives +inf where the formula has no
/// constant; a silent estimate gives 0 dB for uSDR, uSDR-msst, SDR-track, SNR-torchmetrics and NaN for what is scaled
/// or projected; a silent reference gives -inf or what the constants leave.
std::vector<TrackValue> sdr_family(const TrackSums& sums);

/// 10 log10(numerator / denominator) by museval's rule: denominator 0 gives +inf, else numerator 0 gives -inf.
double ratio_db(double numerator, double denominator);

/// Source-aggregated SDR (torchmetrics): sums over sources, channels and samples inside one logarithm; with
/// `scale_invariant` one common factor a = (sum <e,s> + eps) / (sum |s|^2 + eps). eps = 2^-52 on all terms.
double sa_sdr(const std::vector<TrackSums>& sources, bool scale_invariant = true);

/// GNSDR of MIR-1K: mean of NSDR over clips, weighted by their length; NaN values are left out. Throws
/// Error(invalid_argument) when sizes differ.
double weighted_mean(const std::vector<double>& values, const std::vector<double>& weights);

}  // namespace mss::eval
