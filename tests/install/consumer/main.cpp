// What a program of somebody else's looks like that uses mssbench's scorer alone.
#include <cstdio>
#include <vector>

#include <mssbench/audio/buffer.h>
#include <mssbench/audio/stft.h>
#include <mssbench/eval/scorer.h>

int main() {
  constexpr int rate_hz = 8000;
  std::vector<mss::audio::AudioBuffer> references, estimates;
  for (int s = 0; s < 2; ++s) {
    mss::audio::AudioBuffer reference(2, 3 * rate_hz, rate_hz);
    std::uint32_t state = 1u + static_cast<std::uint32_t>(s);
    for (int c = 0; c < 2; ++c) {
      for (float& x : reference.channel(c)) {
        state = state * 1664525u + 1013904223u;
        x = static_cast<float>(static_cast<int>(state >> 16) - 32768) / 65536.0f;
      }
    }
    // An estimate that is 0.9 of the reference has an error of a tenth of it: 20 dB.
    mss::audio::AudioBuffer estimate = reference;
    for (int c = 0; c < 2; ++c) {
      for (float& x : estimate.channel(c)) x *= 0.9f;
    }
    references.push_back(reference);
    estimates.push_back(estimate);
  }
  const mss::audio::Stft<float> stft({.fft_size = 512, .hop_samples = 128});
  if (stft.forward(references[0].view()).frames() != stft.frames(references[0].samples())) return 1;

  mss::eval::ScorerOptions options;
  options.metrics = mss::eval::Metrics::sdr_only;
  const mss::eval::ReferenceSet set({"a", "b"}, {references[0].view(), references[1].view()}, {}, rate_hz, options);
  const auto scores = set.score({"a", "b"}, {estimates[0].view(), estimates[1].view()});
  for (const auto& series : scores.at(0).targets.at(0).frames) {
    if (series.metric == "SDR") std::printf("SDR %.2f dB\n", mss::eval::nan_median(series.values));
  }
  return 0;
}
