// The singer: additive synthesis of a voiced source through formants, with consonants, breath, vibrato, glides and the
// slow irregular wander of a human pitch. After the source-filter model (Fant 1960; Klatt 1980): harmonic h of the source
// has the level h^-tilt over a one-pole corner; five formants and six upper poles shape it.
#pragma once

#include <cstdint>
#include <vector>

#include "datasets/synth/random.h"
#include "datasets/synth/score.h"

namespace mss::datasets::synth {

struct SungNote {
  std::int64_t start = 0, end = 0;  ///< samples
  int pitch = 0;
  std::size_t vowel = 0, consonant = 0;
  bool phrase_first = false, phrase_last = false;
};

/// One recording of a voice.
struct Take {
  std::vector<SungNote> notes;
  Singer singer{};
  std::uint32_t stream = 40;  ///< of all its draws and noises
  double detune_cents = 0;
  double timing_sigma_s = 0;
  bool talk = false;
};

/// The takes of a song: the lead; two doubles and two harmonies of the choruses where the score has them.
enum class Voice { lead, doubling, harmony };
struct SongTake {
  Voice voice;
  Take take;
};
std::vector<SongTake> takes_of(const Score& score);

/// Mono, `samples` long; voiced parts have RMS 1. Throws Error(cancelled) on a stop request of the thread.
std::vector<double> sing(const Draws& draws, const Take& take, std::int64_t samples);

/// The lead's pitch as sung, for checks of its steadiness: cents above A4 = 6900 (100 per semitone, MIDI 69 = 6900) and
/// amplitude of every frame of 64 samples.
struct PitchTrack {
  std::vector<double> cents, amplitude;
};
PitchTrack pitch_track(const Draws& draws, const Take& take, std::int64_t samples);

}  // namespace mss::datasets::synth
