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
/// With rho the correlation coefficient at a lag, the unexplained part is 1 - rho^2; a lag is reported where it would
/// fall by 3 dB or more (so only for estimates whose SI-SDR at that lag is above 0 dB, which spares poor separations a
/// chance peak). At the best lag, <e,s>/<s,s> falls short of the true gain when parts of the reference are missing, and
/// <e,e>/<e,s> exceeds it when there is interference; a gain is reported where both are off by 1 dB or more to the same
/// side, as their mean. All zero for silent signals.
Alignment compare_alignment(audio::AudioView reference, audio::AudioView estimate);

}  // namespace mss::cli
