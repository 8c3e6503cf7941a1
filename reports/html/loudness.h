// Loudness after Recommendation ITU-R BS.1770-4: K-weighted mean square of blocks of 400 ms every 100 ms, gated at -70 LKFS
// and at 10 LU below the mean of what is left. Private to reports/html/.
//
// The two filters are those of the Recommendation's tables at 48 kHz, as analogue prototypes brought to any rate by the
// bilinear transform. Channels have weight 1 (left, right, centre).
#pragma once

#include "audio/buffer.h"

namespace mss::reports::html {

/// LKFS; -infinity for silence, for audio below the gate and for less than 400 ms. Error(numeric) for NaN or infinity.
double loudness_lkfs(audio::AudioView audio);

}  // namespace mss::reports::html
