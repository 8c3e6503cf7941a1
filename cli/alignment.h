// Is an estimate late, early, scaled or inverted against its reference? Scores silently suffer from all of these.
#pragma once

#include <cstdint>

#include "audio/buffer.h"

namespace mss::cli {

struct Alignment {
  std::int64_t lag_samples = 0;  ///< > 0: the estimate is late
  double lag_benefit_db = 0;  ///< by how much the part that the reference does not explain would fall without the lag
  double gain_db = 0;         ///< constant gain of the estimate; 0 where none is certain
  bool inverted = false;      ///< polarity
};

/// Cross-correlation of the channel sums over up to eight stretches of 65,536 samples, lags within +-32,768 samples.
/// With rho the correlation coefficient at a lag, the estimate that is left when lag and gain are undone has an SDR of
/// -10 log10(1 - rho^2). A lag is reported where undoing it gains 6 dB or more and ends at 15 dB or more, and so is a
/// gain (polarity included): a separation that is merely bad has no constant fault, and its correlations peak somewhere
/// by chance. The gain is <e,e>/<e,s>; an inverted estimate within 1 dB of its level is inverted only. All zero for
/// silent signals and for fewer than 8192 samples.
Alignment compare_alignment(audio::AudioView reference, audio::AudioView estimate);

}  // namespace mss::cli
