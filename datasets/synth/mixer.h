// Mixing and mastering: parts and voices become four stems at musical levels, and one gain curve for all of them
// (compressor, loudness, limiter) masters the mixture, so that the stems still add up to it. Stems are rounded to 16 bits
// and the mixture is their integer sum: exact in WAV, in FLAC and in float32.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "datasets/synth/pcm.h"
#include "datasets/synth/renderer.h"
#include "datasets/synth/score.h"
#include "datasets/synth/signal.h"

namespace mss::datasets::synth {

inline constexpr std::size_t kStems = 4;
inline constexpr std::array<std::string_view, kStems> kStemNames = {"drums", "bass", "other", "vocals"};

/// An instrument or a voice alone, as it is in its stem.
struct InstrumentStem {
  /// "drums", "bass", "keys", "guitar", "pad", "lead", "vocals" (the lead voice), "doubles", "harmony"
  std::string name;
  std::string stem;  ///< the stem that it is part of
  Pcm audio;
};

struct Mixed {
  std::array<Pcm, kStems> stems;
  Pcm mixture;
  std::vector<InstrumentStem> instruments;  ///< where they were asked for
  double limiter_db = 0;                    ///< largest reduction, <= 0
  double guard_db = 0;                      ///< gain of all stems because one would have exceeded 0.98; 0 = none
  std::vector<std::pair<std::string, double>> draws;  ///< name and value of every mix parameter
};

/// Mixes a song. Throws Error(cancelled) on a stop request of the thread.
///
/// With `instruments` every instrument and voice is also given alone, with what its stem's bus does to it: the stem's
/// filters and the gain curves of its compressors, clipping (as the gain that it is at each sample) and mastering. The
/// instruments of a stem are rounded so that they add up to it exactly.
Mixed mix(const Score& score, const Renderer& renderer, std::int64_t samples, bool instruments);

}  // namespace mss::datasets::synth
