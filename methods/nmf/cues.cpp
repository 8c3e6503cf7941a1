#include "methods/nmf/cues.h"

#include <algorithm>
#include <array>
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
constexpr Index kBlockSamples = 1 << 16;

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

float power_of(std::complex<float> z) { return z.real() * z.real() + z.imag() * z.imag(); }

std::uint8_t level_of(float cue) {
  return static_cast<std::uint8_t>(std::clamp(static_cast<int>(cue * kCueLevels), 0, kCueLevels - 1));
}

/// use(block, its first frame) for all frames in order.
template <class Use>
void for_each_block(audio::AudioView x, const audio::StftSpec& spec, const core::StopToken& stop, const Use& use) {
  audio::StreamingStft stft(spec, x.channels());
  Index first = 0;
  const auto take = [&](const Spectrum& block) {
    use(block, first);
    first += block.frames();
  };
  for (Index begin = 0; begin < x.samples(); begin += kBlockSamples) {
    stop.check();
    take(stft.push(x.slice(begin, std::min(kBlockSamples, x.samples() - begin))));
  }
  take(stft.finish());
}

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

CueLevels cue_levels(audio::AudioView mixture, const audio::StftSpec& spec, int threads, const core::StopToken& stop) {
  CueLevels out;
  out.bins = spec.bins();
  out.frames = audio::Stft<float>(spec).frames(mixture.samples());
  const Index bins = out.bins;
  const bool stereo = mixture.channels() == 2;
  std::vector<float> mean(sz(out.frames * bins)), centre(stereo ? mean.size() : 0), side(centre.size());
  const float share = 1.0F / static_cast<float>(mixture.channels());
  for_each_block(mixture, spec, stop, [&](const Spectrum& x, Index first) {
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

std::vector<int> cue_bands(Index bins, int fft_size, int rate_hz, int bands) {
  const auto place = [&](Index k) { return std::log1p(static_cast<double>(k) * rate_hz / fft_size / 300.0); };
  std::vector<int> out(sz(bins));
  const double width = place(bins - 1) / bands;
  for (Index k = 0; k < bins; ++k) out[sz(k)] = width > 0 ? std::min(static_cast<int>(place(k) / width), bands - 1) : 0;
  return out;
}

CueCounts::CueCounts(int targets, int bands, const audio::StftSpec& stft, int rate_hz)
    : percussive_(sz(Index{targets} * bands * kCueLevels), 0.0),
      side_(percussive_.size(), 0.0),
      band_(cue_bands(stft.bins(), stft.fft_size, rate_hz, bands)),
      stft_(stft),
      targets_(targets),
      bands_(bands) {}

void CueCounts::add(const CueLevels& levels, int target, audio::AudioView stem, const core::StopToken& stop) {
  const auto size = sz(Index{bands_} * kCueLevels);
  std::vector<double> p(size, 0.0), s(size, 0.0);
  double total = 0;
  for_each_block(stem, stft_, stop, [&](const Spectrum& y, Index first) {
    MSS_ASSERT(first + y.frames() <= levels.frames);
    for (Index n = 0; n < y.frames(); ++n) {
      for (Index k = 0; k < levels.bins; ++k) {
        float power = 0;
        for (int c = 0; c < y.channels(); ++c) power += power_of(y.at(c, n)[k]);
        const double magnitude = static_cast<double>(std::sqrt(power));
        const auto at = sz((first + n) * levels.bins + k);
        const Index row = Index{band_[sz(k)]} * kCueLevels;
        p[sz(row + levels.percussive[at])] += magnitude;
        if (!levels.side.empty()) s[sz(row + levels.side[at])] += magnitude;
        total += magnitude;
      }
    }
  });
  if (!(total > 0)) return;
  for (std::size_t i = 0; i < size; ++i) {
    percussive_[sz(target) * size + i] += p[i] / total;
    side_[sz(target) * size + i] += s[i] / total;
  }
}

CueTables CueCounts::tables() const {
  CueTables out;
  out.bands = bands_;
  // A level that a target was hardly ever seen at must not forbid it: a thousandth of every band is spread evenly.
  constexpr double kSpread = 1e-3;
  const auto logarithms = [&](const std::vector<double>& counts) {
    std::vector<double> chance(counts.size(), 1.0 / kCueLevels);
    for (std::size_t row = 0; row < counts.size(); row += kCueLevels) {
      double sum = 0;
      for (int q = 0; q < kCueLevels; ++q) sum += counts[row + sz(q)];
      for (int q = 0; sum > 0 && q < kCueLevels; ++q)
        chance[row + sz(q)] = (1 - kSpread) * counts[row + sz(q)] / sum + kSpread / kCueLevels;
    }
    const std::size_t size = counts.size() / sz(targets_);
    std::vector<float> ratio(counts.size());
    for (std::size_t i = 0; i < size; ++i) {
      double mean = 0;
      for (int j = 0; j < targets_; ++j) mean += chance[sz(j) * size + i] / targets_;
      for (int j = 0; j < targets_; ++j)
        ratio[sz(j) * size + i] = static_cast<float>(std::log(chance[sz(j) * size + i] / mean));
    }
    return ratio;
  };
  out.percussive = logarithms(percussive_);
  if (std::ranges::any_of(side_, [](double x) { return x > 0; })) out.side = logarithms(side_);
  return out;
}

CueFilter::CueFilter(const CueTables& tables, int targets, double percussive_weight, double side_weight,
                     const audio::StftSpec& stft, int rate_hz)
    : row_(cue_bands(stft.bins(), stft.fft_size, rate_hz, tables.bands)), targets_(targets) {
  for (int& row : row_) row *= kCueLevels;
  const auto factors = [](const std::vector<float>& logarithms, double weight) {
    std::vector<float> out;
    for (const float l : logarithms) out.push_back(std::exp(static_cast<float>(weight) * l));
    return out;
  };
  percussive_ = factors(tables.percussive, percussive_weight);
  if (side_weight > 0) side_ = factors(tables.side, side_weight);
}

void CueFilter::apply(const CueLevels& levels, Index frame, float* masks) const {
  const Index bins = levels.bins, size = static_cast<Index>(percussive_.size()) / targets_;
  const bool side = !side_.empty() && !levels.side.empty();
  for (Index k = 0; k < bins; ++k) {
    const auto at = sz(frame * bins + k);
    const Index i = row_[sz(k)] + levels.percussive[at], j = side ? row_[sz(k)] + levels.side[at] : 0;
    float sum = 0;
    for (int t = 0; t < targets_; ++t) {
      float& mask = masks[t * bins + k];
      mask *= percussive_[sz(t * size + i)] * (side ? side_[sz(t * size + j)] : 1.0F);
      sum += mask;
    }
    if (!(sum > 0)) continue;
    const float inverse = 1.0F / sum;
    for (int t = 0; t < targets_; ++t) masks[t * bins + k] *= inverse;
  }
}

}  // namespace mss::methods::nmf
