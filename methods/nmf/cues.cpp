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

}  // namespace

CueStream::CueStream(int channels, Index bins, int threads)
    : channels_(channels), threads_(threads), bins_(bins), x_(sz(channels)) {}

void CueStream::push(const Spectrum& frames, const Use& use) {
  const Index count = frames.frames();
  const bool stereo = channels_ == 2;
  const std::size_t before = mean_.size(), more = sz(count * bins_);
  mean_.resize(before + more);
  if (stereo) {
    centre_.resize(before + more);
    side_.resize(before + more);
  }
  const float share = 1.0F / static_cast<float>(channels_);
  core::parallel_for(count, threads_, [&](Index n) {
    for (Index k = 0; k < bins_; ++k) {
      float sum = 0;
      for (int c = 0; c < channels_; ++c) sum += std::sqrt(power_of(frames.at(c, n)[k]));
      const std::size_t at = before + sz(n * bins_ + k);
      mean_[at] = share * sum;
      if (!stereo) continue;
      centre_[at] = power_of(frames.at(0, n)[k] + frames.at(1, n)[k]);
      side_[at] = power_of(frames.at(0, n)[k] - frames.at(1, n)[k]);
    }
  });
  for (int c = 0; c < channels_ && count > 0; ++c) {
    x_[sz(c)].insert(x_[sz(c)].end(), frames.at(c, 0), frames.at(c, 0) + more);
  }
  known_ += count;
  if (const Index ready = known_ - kMedianFrames / 2 - next_; ready > 0) hand_on(ready, false, use);
}

void CueStream::finish(const Use& use) {
  if (next_ < known_) hand_on(known_ - next_, true, use);
}

void CueStream::hand_on(Index count, bool ended, const Use& use) {
  constexpr Index half = kMedianFrames / 2;
  const auto row = [&](Index n) { return mean_.begin() + (n - kept_) * bins_; };
  const auto bins = static_cast<int>(bins_);
  const std::vector<float> tonal =
      inner_median_over_time(reflected_frames(mean_, kept_, known_, ended, next_ - half, next_ + count + half, bins),
                             count + 2 * half, bins, kMedianFrames, threads_);
  const std::vector<float> own(row(next_), row(next_ + count));
  const std::vector<float> clicks = median_over_bins(own, count, bins, kMedianBins, threads_);

  Cues cues;
  cues.frames = count;
  cues.bins = bins_;
  cues.percussive.resize(clicks.size());
  if (channels_ == 2) cues.side.resize(clicks.size());
  core::parallel_for(count, threads_, [&](Index n) {
    const auto out = sz(n * bins_);
    for (std::size_t i = out; i < out + sz(bins_); ++i) {
      const float total = tonal[i] + clicks[i];
      cues.percussive[i] = total > 0 ? level_of(clicks[i] / total) : std::uint8_t{0};
    }
    if (cues.side.empty()) return;
    // sqrt(D / (M + D)), means of three frames with the edges repeated.
    const Index at = next_ + n, rows[] = {std::max<Index>(at - 1, 0), at, std::min(at + 1, known_ - 1)};
    for (Index k = 0; k < bins_; ++k) {
      const auto mean = [&](const std::vector<float>& x) {
        const auto value = [&](Index frame) { return x[sz((frame - kept_) * bins_ + k)]; };
        return (value(rows[0]) + value(rows[1]) + value(rows[2])) / 3.0F;
      };
      const float d = mean(side_), total = mean(centre_) + d;
      cues.side[out + sz(k)] = total > 0 ? level_of(std::sqrt(d / total)) : std::uint8_t{0};
    }
  });

  Spectrum frames(channels_, count, bins_);
  for (int c = 0; c < channels_; ++c) {
    auto& kept = x_[sz(c)];
    std::copy_n(kept.begin(), count * bins_, frames.at(c, 0));
    kept.erase(kept.begin(), kept.begin() + count * bins_);
  }
  next_ += count;
  const Index needed = std::max(kept_, next_ - half);
  for (std::vector<float>* map : {&mean_, &centre_, &side_}) {
    if (!map->empty()) map->erase(map->begin(), map->begin() + (needed - kept_) * bins_);
  }
  kept_ = needed;
  use(frames, cues);
}

Index CueStream::memory_bytes(int channels, Index bins, Index block_frames) {
  // The maps and spectra of a block and its surroundings; its medians, cues and spectra on the way out.
  const Index kept = block_frames + 2 * kMedianFrames;
  return bins * (kept * (12 + 8 * channels + 4) + block_frames * (10 + 8 * channels));
}

Cues cues_of(audio::AudioView mixture, const audio::StftSpec& spec, int threads, const core::StopToken& stop) {
  Cues out;
  out.bins = spec.bins();
  const auto collect = [&](const Spectrum&, const Cues& cues) {
    out.frames += cues.frames;
    out.percussive.insert(out.percussive.end(), cues.percussive.begin(), cues.percussive.end());
    out.side.insert(out.side.end(), cues.side.begin(), cues.side.end());
  };
  CueStream stream(mixture.channels(), out.bins, threads);
  audio::for_each_block(mixture, spec, stop, [&](const Spectrum& x, Index) { stream.push(x, collect); });
  stream.finish(collect);
  return out;
}

}  // namespace mss::methods::nmf
