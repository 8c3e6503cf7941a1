// A data set whose samples say where they come from, for tests of what loaders and augmentation do.
#pragma once

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "audio/file.h"
#include "datasets/dataset.h"

namespace mss::tests {

constexpr int kTaggedRate = 8000;
inline const std::vector<std::string>& tagged_stems() {
  static const std::vector<std::string> stems{"drums", "bass", "other", "vocals"};
  return stems;
}

/// Sample t of channel c of stem s of track k, times 32768: ((k * 4 + s + 1) * 2 + c) * 16 + t mod 16.
inline float tagged(int track, int stem, int channel, std::int64_t t) {
  return static_cast<float>(((track * 4 + stem + 1) * 2 + channel) * 16 + static_cast<int>(t % 16)) / 32768.0F;
}

struct Tag {
  int track = 0, stem = 0, channel = 0, phase = 0;
};
/// Inverse; the sample must be one of the set's, unscaled.
inline Tag tag_of(float sample) {
  const int word = static_cast<int>(std::lround(sample * 32768.0F));
  const int place = word / 32 - 1;
  return {place / 4, place % 4, word / 16 % 2, word % 16};
}

/// "Track 00", … in FOLDER/train; the length of track k is `samples` + 160 k.
inline void write_tagged_set(const std::filesystem::path& folder, int tracks, std::int64_t samples) {
  for (int k = 0; k < tracks; ++k) {
    const std::filesystem::path place =
        folder / "train" / ("Track " + std::string(k < 10 ? "0" : "") + std::to_string(k));
    std::filesystem::create_directories(place);
    const std::int64_t length = samples + 160 * k;
    audio::AudioBuffer mixture(2, length, kTaggedRate);
    for (int s = 0; s < 4; ++s) {
      audio::AudioBuffer stem(2, length, kTaggedRate);
      for (int c = 0; c < 2; ++c) {
        for (std::int64_t t = 0; t < length; ++t) stem.channel(c)[static_cast<std::size_t>(t)] = tagged(k, s, c, t);
      }
      audio::add_to(mixture.span(), stem);
      audio::write_file(place / (tagged_stems()[static_cast<std::size_t>(s)] + ".wav"), stem,
                        {.format = audio::SampleFormat::pcm16});
    }
    audio::write_file(place / "mixture.wav", mixture, {.format = audio::SampleFormat::pcm16});
  }
}

}  // namespace mss::tests
