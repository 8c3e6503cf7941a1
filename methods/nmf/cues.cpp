#include "methods/nmf/cues.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "core/error.h"
#include "core/parallel.h"
#include "methods/median.h"

namespace mss::methods::nmf {
namespace {

using Index = std::int64_t;
using Spectrum = audio::Spectrogram<float>;

constexpr int kMedianFrames = 17, kMedianBins = 31;

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

float power_of(std::complex<float> z) { return z.real() * z.real() + z.imag() * z.imag(); }

std::uint8_t level_of(float cue) { return static_cast<std::uint8_t>(std::clamp(std::lround(cue * 255.0F), 0L, 255L)); }

/// Levels of sqrt(D / (M + D)) from frame-major D and M, means of three frames with the edges repeated.
std::vector<std::uint8_t> side_levels(const std::vector<float>& centre, const std::vector<float>& side, Index frames,
                                      Index bins, int threads) {
  std::vector<std::uint8_t> out(centre.size());
  core::parallel_for(frames, threads, [&](Index n) {
    const Index before = std::max<Index>(n - 1, 0), after = std::min(n + 1, frames - 1);
    for (Index k = 0; k < bins; ++k) {
      const auto mean = [&](const std::vector<float>& x) {
        return (x[sz(before * bins + k)] + x[sz(n * bins + k)] + x[sz(after * bins + k)]) / 3.0F;
      };
      const float d = mean(side), total = mean(centre) + d;
      out[sz(n * bins + k)] = total > 0 ? level_of(std::sqrt(d / total)) : std::uint8_t{0};
    }
  });
  return out;
}

}  // namespace

Cues cues_of(audio::AudioView mixture, const audio::StftSpec& spec, int threads, const core::StopToken& stop) {
  Cues out;
  out.bins = spec.bins();
  out.frames = audio::Stft<float>(spec).frames(mixture.samples());
  const Index bins = out.bins;
  const bool stereo = mixture.channels() == 2;
  std::vector<float> mean(sz(out.frames * bins)), centre(stereo ? mean.size() : 0), side(centre.size());
  const float share = 1.0F / static_cast<float>(mixture.channels());
  audio::for_each_block(mixture, spec, stop, [&](const Spectrum& x, Index first) {
    core::parallel_for(x.frames(), threads, [&](Index n) {
      for (Index k = 0; k < bins; ++k) {
        float sum = 0;
        for (int c = 0; c < x.channels(); ++c) sum += std::sqrt(power_of(x.at(c, n)[k]));
        const auto at = sz((first + n) * bins + k);
        mean[at] = share * sum;
        if (!stereo) continue;
        centre[at] = power_of(x.at(0, n)[k] + x.at(1, n)[k]);
        side[at] = power_of(x.at(0, n)[k] - x.at(1, n)[k]);
      }
    });
  });
  if (stereo) out.side = side_levels(centre, side, out.frames, bins, threads);
  centre = {};
  side = {};
  const std::vector<float> tonal = median_over_time(mean, out.frames, static_cast<int>(bins), kMedianFrames, threads);
  const std::vector<float> clicks = median_over_bins(mean, out.frames, static_cast<int>(bins), kMedianBins, threads);
  out.percussive.resize(mean.size());
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const float total = tonal[i] + clicks[i];
    out.percussive[i] = total > 0 ? level_of(clicks[i] / total) : std::uint8_t{0};
  }
  return out;
}

}  // namespace mss::methods::nmf
