#include "datasets/synth/pcm.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "datasets/synth/math.h"
#include "datasets/synth/score.h"

namespace mss::datasets::synth {

audio::AudioBuffer to_audio(const Pcm& pcm) {
  audio::AudioBuffer audio(2, pcm.samples(), kRateHz);
  for (int c = 0; c < 2; ++c) {
    const std::vector<std::int16_t>& from = c == 0 ? pcm.left : pcm.right;
    const auto to = audio.channel(c);
    for (std::size_t t = 0; t < from.size(); ++t) to[t] = static_cast<float>(from[t]) / 32768.0F;
  }
  return audio;
}

Pcm slice(const Pcm& pcm, std::int64_t begin, std::int64_t samples) {
  const auto cut = [&](const std::vector<std::int16_t>& x) {
    return std::vector<std::int16_t>(x.begin() + begin, x.begin() + begin + samples);
  };
  return {cut(pcm.left), cut(pcm.right)};
}

double level_db(const Pcm& pcm) {
  // Whole numbers: exact below 2^63.
  std::int64_t sum = 0;
  for (const auto* channel : {&pcm.left, &pcm.right}) {
    for (const std::int16_t x : *channel) sum += std::int64_t{x} * x;
  }
  if (sum == 0) return -std::numeric_limits<double>::infinity();
  return db_of_gain(std::sqrt(static_cast<double>(sum) / (2.0 * static_cast<double>(pcm.samples()))) / 32768.0);
}

int peak_of(const Pcm& pcm) {
  int peak = 0;
  for (const auto* channel : {&pcm.left, &pcm.right}) {
    for (const std::int16_t x : *channel) peak = std::max(peak, std::abs(static_cast<int>(x)));
  }
  return peak;
}

}  // namespace mss::datasets::synth
