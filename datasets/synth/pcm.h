// 16-bit stereo samples: what a composed song is made of once it is mixed.
#pragma once

#include <cstdint>
#include <vector>

#include "audio/buffer.h"

namespace mss::datasets::synth {

struct Pcm {
  std::vector<std::int16_t> left, right;
  std::int64_t samples() const { return static_cast<std::int64_t>(left.size()); }
};

/// x / 32768, exact in float32.
audio::AudioBuffer to_audio(const Pcm& pcm);
/// Samples [begin, begin + samples).
Pcm slice(const Pcm& pcm, std::int64_t begin, std::int64_t samples);
/// 10 log10 of the mean square of both channels re 32768 (-infinity for silence), and the largest magnitude.
double level_db(const Pcm& pcm);
int peak_of(const Pcm& pcm);

}  // namespace mss::datasets::synth
