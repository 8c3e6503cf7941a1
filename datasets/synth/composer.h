// Composes a song from its seed: style, tempo, key, chords and form, then drums, bass, keys, guitar, pad, lead and a
// sung melody with syllables, from tables of grooves, patterns and rhythm templates. Integers only, so that a seed
// gives the same score on every machine (tests/golden/synth.json holds hashes of whole splits).
#pragma once

#include <cstdint>

#include "datasets/synth/score.h"

namespace mss::datasets::synth {

/// Composes as many bars as `samples` samples need, and one more; a longer song begins with the same notes.
/// Throws Error(invalid_argument) for samples < 1, Error(cancelled) on a stop request of the thread (core/stop.h).
Score compose(std::uint64_t seed, Split split, std::int64_t samples);

/// Seed of the first song of a split in the default sets (1000, 2000 and 3000), shifted by 10,000 for every further
/// `set`: set 1 is the default. Song i of the split has the next i-th seed, so that no song of one split is ever one of
/// another.
std::uint64_t first_seed(std::uint64_t set, Split split) noexcept;

}  // namespace mss::datasets::synth
