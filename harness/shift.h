// How far a method's stems depend on where the track begins: shift equivariance.
//
//   y = f(x),  y_n = f(x delayed by n zeros) without its first n samples
//   SDR_n = 10 log10(sum y^2 / sum (y - y_n)^2)        over all samples and channels of a stem
//
// A method that does not care gives +inf (recorded as null with `equal`: true), and the number falls as it does. n zeros
// in front are all that changes; a method that looks at the whole track sees them too. A network with strides is
// expected to be equivariant for multiples of their product only, which is why Demucs averages over random shifts
// (Defossez et al. 2019, section 4).
//
// Memory: a few windows of the method; the unshifted stems go to a temporary file where they are long.
// Thread-safety: free function without shared state.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "audio/stream.h"
#include "methods/separator.h"

namespace mss::harness {

struct ShiftScore {
  std::int64_t shift_samples = 0;
  std::vector<double> sdr_db;  ///< per stem; +inf for equal stems, NaN where both are silent
};

struct ShiftScores {
  std::vector<std::string> stems;
  std::vector<ShiftScore> shifts;
};

/// `open` gives the mixture from its beginning, as often as it is asked. Shifts count samples of the mixture's rate.
/// Throws Error(config) for oracles and for shifts below 1, and what separate() throws.
ShiftScores measure_shifts(const methods::Separator& separator,
                           const std::function<std::unique_ptr<audio::Source>()>& open,
                           const std::vector<std::int64_t>& shifts, const methods::Options& options);

}  // namespace mss::harness
