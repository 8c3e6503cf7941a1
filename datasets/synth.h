// The built-in songs: small pieces of music with drums, bass, chords and a sung vowel line, made from integers alone.
//
// Composition: every choice is one block of Philox4x32-10 words addressed by (choice, item, stream, version) under the
// song's key; the key is the Philox block of (song, 0, 0, version) under the seed. So song i of seed s is the same
// whatever the number of songs, and a longer rendering begins with the same notes.
// Sound: additive tones, filtered noise, and a source-filter voice (band-limited glottal pulses through five formant
// resonators, Klatt 1980). Arithmetic is IEEE double with +, -, *, / and sqrt only; sine and exponential are
// polynomials of our own, so that no libm decides a bit. Stems are rounded to the 16-bit grid and the mixture is their
// integer sum, hence exact in float32, in WAV and in FLAC; nothing clips.
// 44.1 kHz, stereo, stems drums, bass, other, vocals. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "datasets/dataset.h"

namespace mss::datasets {

/// Part of every counter and of a song's SHA-256; goes up when a sample changes.
inline constexpr std::uint32_t kSynthVersion = 1;
inline constexpr int kSynthRateHz = 44100;

struct SynthSpec {
  int songs = 4;        ///< [1, 1000]
  double seconds = 12;  ///< [1, 600], length of every song
  std::uint64_t seed = 1;
};

/// "synthetic" or "synthetic:songs=4,seconds=12,seed=1" with any subset of the keys. Throws Error(dataset) for unknown
/// keys (with the nearest) and values out of range.
SynthSpec parse_synth_spec(const std::string& text);

/// What song `song` of `seed` is made of.
struct SynthSong {
  std::string name;  ///< "Synth SEED - NNN STYLE in KEY, BPM bpm"
  std::string style;
  int tempo_bpm = 0;
  int key = 0;  ///< pitch class of the tonic, 0 = C
  bool minor = false;
};
SynthSong describe_song(std::uint64_t seed, int song);

/// Renders a song of `samples` samples. Throws Error(invalid_argument) for samples < 1.
TrackAudio render_song(std::uint64_t seed, int song, std::int64_t samples);

}  // namespace mss::datasets
