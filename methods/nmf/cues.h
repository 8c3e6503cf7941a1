// Cues: what a point of the mixture's spectrogram looks like says whose it may be, whatever its spectrum.
//
// Two cues in [0, 1] of every frame n and bin k, alike in all channels:
//   percussive  p = F / (F + T), F and T the medians of the channels' mean |X| over 31 bins and over 17 frames
//               (methods/median.h; FitzGerald 2010): 1 for clicks, 0 for held tones;
//   side        s = sqrt(D / (M + D)), M = |L + R|^2 and D = |L - R|^2, each the mean of three frames: 0 in the centre,
//               0.71 for one side alone, 1 in opposite phase. Only where there are two channels.
// Calibrations (calibration.h) weigh them against the masks. Silent points count as p = s = 0. The same bits for any
// number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "audio/buffer.h"
#include "audio/stft.h"
#include "core/stop.h"

namespace mss::methods::nmf {

/// Both cues in steps of 1 / 255, frame-major [n * bins + k]; `side` is empty unless there are two channels.
struct Cues {
  std::int64_t frames = 0, bins = 0;
  std::vector<std::uint8_t> percussive, side;
};

Cues cues_of(audio::AudioView mixture, const audio::StftSpec& stft, int threads, const core::StopToken& stop);

}  // namespace mss::methods::nmf
