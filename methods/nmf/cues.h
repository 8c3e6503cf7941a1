// Cues: what a point of the mixture's spectrogram looks like says whose it may be, whatever its spectrum.
//
// Two cues in [0, 1] of every frame n and bin k, alike in all channels:
//   percussive  p = F / (F + T), F and T the medians of the channels' mean |X| over 31 bins and over 17 frames
//               (methods/median.h; FitzGerald 2010): 1 for clicks, 0 for held tones;
//   side        s = sqrt(D / (M + D)), M = |L + R|^2 and D = |L - R|^2, each the mean of three frames: 0 in the centre,
//               0.71 for one side alone, 1 in opposite phase. Only where there are two channels.
// A table holds, per target j, band b and level q (16 equal steps), l = log( P(q | j, b) / mean_i P(q | i, b) ), with
// P(q | j, b) the share of target j's magnitude in band b that lies at points of level q of the MIXTURE's cue. Tables
// are learned (train.h): tracks count alike, stems within a track too. Bands have equal widths on log(1 + f / 300 Hz).
// In separation, with weights u and v, masks become
//   mask_j <- mask_j e^(u l_p + v l_s) / sum_i mask_i e^(u l_p + v l_s),
// the posterior of a naive Bayes classifier with the NMF masks as its prior; they still sum to 1.
//
// Silent points count as p = s = 0. Functions without shared state; same bits for any number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "audio/buffer.h"
#include "audio/stft.h"
#include "core/stop.h"

namespace mss::methods::nmf {

constexpr int kCueLevels = 16;

/// Log likelihood ratios: [(j * bands + b) * kCueLevels + q]. Empty = none learned.
struct CueTables {
  int bands = 0;
  std::vector<float> percussive, side;
  bool empty() const noexcept { return percussive.empty(); }
};

/// Levels of both cues, frame-major [n * bins + k]; `side` is empty unless there are two channels.
struct CueLevels {
  std::int64_t frames = 0, bins = 0;
  std::vector<std::uint8_t> percussive, side;
};

CueLevels cue_levels(audio::AudioView mixture, const audio::StftSpec& stft, int threads, const core::StopToken& stop);

/// Band of every bin.
std::vector<int> cue_bands(std::int64_t bins, int fft_size, int rate_hz, int bands);

/// How often which target is at which level.
class CueCounts {
 public:
  CueCounts(int targets, int bands, const audio::StftSpec& stft, int rate_hz);
  /// One target's stem of one track, of the mixture's shape; silent ones add nothing.
  void add(const CueLevels& levels, int target, audio::AudioView stem, const core::StopToken& stop);
  CueTables tables() const;

 private:
  std::vector<double> percussive_, side_;
  std::vector<int> band_;
  audio::StftSpec stft_;
  int targets_, bands_;
};

/// Tables with their weights, ready for use.
class CueFilter {
 public:
  CueFilter(const CueTables& tables, int targets, double percussive_weight, double side_weight,
            const audio::StftSpec& stft, int rate_hz);
  /// On one frame's masks, target j at masks + j * bins, in place.
  void apply(const CueLevels& levels, std::int64_t frame, float* masks) const;

 private:
  std::vector<float> percussive_, side_;  ///< factors; side_ is empty where it has no say
  std::vector<int> row_;                  ///< of every bin
  int targets_;
};

}  // namespace mss::methods::nmf
