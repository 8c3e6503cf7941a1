// The built-in songs (`-d synthetic`): composed like the sets of `mssbench synth` (datasets/synth/composer.h) and played
// by the built-in synthesiser, so that music with true stems is at hand without a file. Song i of seed s is the i-th test
// song of set s (composer.h, first_seed), whatever the number of songs; it begins with its first verse or chorus, and a
// longer rendering begins with the same notes.
// 44.1 kHz, stereo, stems drums, bass, other, vocals on the 16-bit grid, the mixture their exact sum; the same bits on
// every machine. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "audio/buffer.h"
#include "datasets/synth/score.h"

namespace mss::datasets::synth {

/// Part of the recorded name ("synthetic-v2") and of a song's SHA-256; goes up when a sample changes.
inline constexpr int kSynthVersion = 2;

struct SynthSpec {
  int songs = 4;        ///< [1, 1000]
  double seconds = 12;  ///< [1, 600], length of every song
  std::uint64_t seed = 1;
};

/// Is this (in lower case) a name of the built-in songs: "synthetic" or "synthetic-v2", alone or with ":…"?
bool names_builtin_songs(std::string_view lower);

/// "synthetic" or "synthetic:songs=4,seconds=12,seed=1" with any subset of the keys. Throws Error(dataset) for unknown
/// keys (with the nearest), values out of range and a version that this program does not compose ("synthetic-v1").
SynthSpec parse_synth_spec(const std::string& text);

/// "Synth SSSS - STYLE" with the song's own seed: the name of a composed song.
std::string song_name(const Score& score);

/// The score of a built-in song of `samples` samples. Throws Error(invalid_argument) for samples < 1.
Score builtin_score(std::uint64_t seed, int song, std::int64_t samples);

/// A song's audio: the mixture and its stems, all of one shape.
struct RenderedSong {
  audio::AudioBuffer mixture;
  std::vector<std::string> names;
  std::vector<audio::AudioBuffer> stems;
};

/// Renders a built-in song. Throws Error(invalid_argument) for samples < 1; Error(cancelled) well within a second of a
/// stop request of the calling thread (core/stop.h).
RenderedSong render_song(std::uint64_t seed, int song, std::int64_t samples);

}  // namespace mss::datasets::synth
