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

/// What of a sample is fed. A sample is the sum of three parts: what lies on the grid of 2^-15, what of the rest lies
/// on the grid of 2^-31, and what is left; the second comes times 2^16 and the third times 2^32, so that each of the
/// first two is 16-bit audio itself and its correlations are exact.
enum class Part { whole, grid, fine, rest };
constexpr int kParts = 3;
/// Power of two that a part's samples must be multiplied with: 0, -16, -32.
constexpr int part_exponent(Part part) { return part == Part::fine ? -16 : part == Part::rest ? -32 : 0; }

/// One channel of a source, or of the difference of two.
struct Feed {
  const Source* plus = nullptr;
  const Source* minus = nullptr;
  int channel = 0;
  Part part = Part::whole;
  /// Samples [from, to), those outside [begin, end) as zeros; `scratch` holds to - from values. Returns whether all of
  /// them lie on the grid of 16-bit audio.
  bool load(std::int64_t from, std::int64_t to, std::int64_t begin, std::int64_t end, double* out,
            double* scratch) const;
  /// Which parts there are at all, [begin, end): the first always, the others where a sample is not 0.
  std::vector<Part> parts(std::int64_t begin, std::int64_t end) const;

 private:
  bool load_whole(std::int64_t from, std::int64_t to, std::int64_t begin, std::int64_t end, double* out,
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
