// Beats and keys, so that stems of different songs can be mixed in time and in tune (after Demucs' tools/automix.py).
//
// Beats: onset strength O = sum over bins of the rise of log(1 + 100 |X| / max |X|) from frame to frame (10 ms), less its
// mean over a second, divided by its deviation. Tempo = the lag of the largest autocorrelation of O between 40 and 240
// beats a minute, weighted by a log-normal window around 120 (0.9 octaves). Beats = the path with the largest
//   sum O[b_i] - 100 sum ln((b_i - b_(i-1)) / period)^2
// by dynamic programming (Ellis, "Beat tracking by dynamic programming", 2007).
// Key: for every frame of the bass whose level exceeds 5 % of the largest, the pitch class of the strongest partial
// between 35 and 400 Hz; the profile is the share of each class.
// The tool's defects are not repeated: a source without any match stays that of the example's own song instead of ending
// the program, and pitches are matched whichever source comes first.
//
// Thread-safety: pure functions.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "audio/buffer.h"

namespace mss::training {

struct Rhythm {
  double tempo_bpm = 0;         ///< 0: no beat
  std::vector<double> beats_s;  ///< ascending, from the track's beginning
};
/// Silence and audio shorter than 3 s have no beat.
Rhythm find_beats(audio::AudioView drums);

using KeyProfile = std::array<double, 12>;  ///< C, C sharp, …; sums to 1, or all 0 for silence
KeyProfile key_profile(audio::AudioView bass);

/// Semitones in [-5, 6] by which `other` has to rise so that its profile is nearest to `reference` (smallest mean
/// absolute difference; the smallest change of those that are equal). Nothing where one of them is silent.
std::optional<int> key_shift(const KeyProfile& reference, const KeyProfile& other);

/// How much faster `other` has to run so that a quarter, half, once, twice or four times its tempo is the reference's:
/// the factor nearest to 1, or nothing where it is further from 1 than `limit`.
std::optional<double> tempo_factor(double reference_bpm, double other_bpm, double limit);

/// The shift in seconds, within +-`most_s`, that added to `other` puts its beats onto the reference's: beats between
/// `from_s` and `to_s` are Gaussians of 10 ms on a grid of 5 ms; the shift with the largest product wins, of equal ones
/// the smallest. 0 where there are no beats.
double beat_shift(const std::vector<double>& reference, const std::vector<double>& other, double from_s, double to_s,
                  double most_s);

}  // namespace mss::training
