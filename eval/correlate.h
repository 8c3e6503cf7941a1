// Auto- and cross-correlations of many channels at few lags, block by block. Internal to mss::eval.
//
// The signals are cut into cores; a core is correlated with itself and its edges (512 samples behind it, and before it
// where lags of both signs are wanted) by one pair of short FFTs,
// cross-spectra are added up over a group of blocks, and one inverse FFT per pair and group brings the lags. Where both
// signals of a pair lie on the grid of 16-bit audio (multiples of 2^-15), the lags of a group are multiples of 2^-30
// known to better than half of that, and are rounded to it: the correlations are then exact. Groups are added in order,
// so the result does not depend on the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "core/stop.h"
#include "eval/aligned.h"
#include "eval/sums.h"

namespace mss::eval {

/// One channel of a source, or of the difference of two.
struct Feed {
  const Source* plus = nullptr;
  const Source* minus = nullptr;
  int channel = 0;
  /// Samples [from, to), those outside [begin, end) as zeros; `scratch` holds to - from values. Returns whether all of
  /// them lie on the grid of 16-bit audio.
  bool load(std::int64_t from, std::int64_t to, std::int64_t begin, std::int64_t end, double* out,
            double* scratch) const;
};

/// r[(a * K + b) * (2 L - 1) + k + L - 1] = sum_t x_a[t] x_b[t + k], |k| < L, over t in [begin, end), zeros outside.
std::vector<double> autocorrelations(const std::vector<Feed>& x, std::int64_t begin, std::int64_t end, int taps,
                                     int threads, const core::StopToken& stop);

/// Spectra of the first blocks' cores, for the cross-correlations of many estimates with the same signals x.
struct CoreSpectra {
  std::int64_t blocks = 0;  ///< how many blocks are kept
  AlignedVector spectra;
  std::vector<char> grid;  ///< [block * K + a]
};

/// As many of them as `budget_bytes` hold.
CoreSpectra core_spectra(const std::vector<Feed>& x, std::int64_t begin, std::int64_t end, int taps, int threads,
                         const core::StopToken& stop, std::int64_t budget_bytes);

/// d[(m * K + a) * L + p] = sum_t x_a[t] y_m[t + p], 0 <= p < L.
std::vector<double> cross_correlations(const std::vector<Feed>& x, const std::vector<Feed>& y, std::int64_t begin,
                                       std::int64_t end, int taps, int threads, const core::StopToken& stop,
                                       const CoreSpectra* kept = nullptr);

}  // namespace mss::eval
