// A score as text: the canonical form whose hash is the score's identity, a MIDI file, and tables for people who work on
// transcription, beats and lyrics.
#pragma once

#include <string>

#include "core/value.h"
#include "datasets/synth/score.h"

namespace mss::datasets::synth {

/// "MSS1 seed split style bpm key minor", then one line per note, "K start end pitch velocity" in ticks, parts in the
/// order K B P G S L, then "V start end pitch vowel consonant" per syllable ("-" for no consonant); LF ends each line.
std::string score_text(const Score& score);

/// Standard MIDI file, format 1, 480 ticks to the quarter: a track with tempo and metre, then one per part that has
/// notes (channels 9, 0, 1, 2, 3, 4) and the voice (channel 5, syllables as lyric events). The song's bars as composed,
/// also where the audio ends earlier.
std::string midi_file(const Score& score);

/// {"drums": [[start sample, end sample, pitch, velocity], …], …}: notes that sound in samples [begin, begin + samples),
/// counted from `begin` and cut at the edges; with "beats" and "downbeats" (samples).
core::Value notes_table(const Score& score, std::int64_t begin, std::int64_t samples);

/// [[start sample, end sample, midi, consonant, vowel, section letter], …] of the sung syllables, likewise.
core::Value vocals_table(const Score& score, std::int64_t begin, std::int64_t samples);

}  // namespace mss::datasets::synth
