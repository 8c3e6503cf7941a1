// Source activity detection: which 6-s segments of a stem hold something worth training on.
//
// Segments of L seconds, half overlapping; each in ten chunks; an energy e for each chunk, silent chunks e = 1e-5.
// paper      Luo and Yu, "Music source separation with band-split RNN" (2023), III-C: threshold = max(15 % quantile of
//            all chunks of the track, 1e-3); a segment is kept if more than half of its chunks have e > threshold. The
//            energy is not defined there: rms (default), mean_square or sum, over the samples of the chunk and the mean
//            over channels of the squares.
// amanteur   the rule of the public programs: RMS per channel; the quantile is that of the segment's ten chunks, so that
//            in effect only the floor rejects; every channel must pass.
// Quantiles interpolate linearly. A track shorter than L is one segment, padded with zeros; otherwise a last piece
// shorter than L is left out. Chunks: sample floor(i L / 10) up to floor((i + 1) L / 10).
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "audio/buffer.h"
#include "training/recipe.h"

namespace mss::training {

struct ActivitySettings {
  ActivityRule rule = ActivityRule::paper;
  ActivityEnergy energy = ActivityEnergy::rms;
  double segment_seconds = 6;
  double quantile = 0.15, floor = 1e-3, silent = 1e-5;
};

struct Activity {
  std::vector<std::int64_t> starts;  ///< first sample of each kept segment
  std::vector<std::int64_t> kept;    ///< its number
  std::int64_t segments = 0;         ///< of the track
  std::int64_t segment_samples = 0;
  double threshold = 0;  ///< paper's rule: of the track
};

/// Throws Error(numeric) for NaN and infinities, Error(invalid_argument) for settings out of their range.
Activity find_activity(audio::AudioView stem, const ActivitySettings& settings);

}  // namespace mss::training
