#include "cli/alignment.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <vector>

#include "audio/stft.h"

namespace mss::cli {
namespace {

constexpr std::int64_t kStretch = 65536;
constexpr std::int64_t kMaxLag = 32768;
constexpr int kFft = 131072;  // kStretch + 2 * kMaxLag: no wrap-around for the lags looked at
constexpr std::int64_t kStretches = 8;
constexpr std::int64_t kLeastSamples = 8192;  ///< fewer say nothing of a constant

/// Sum of the channels in [begin, begin + out.size()), zero outside the signal.
void channel_sum(audio::AudioView audio, std::int64_t begin, std::vector<double>& out) {
  std::fill(out.begin(), out.end(), 0.0);
  const std::int64_t first = std::max<std::int64_t>(0, -begin);
  const std::int64_t last = std::min<std::int64_t>(static_cast<std::int64_t>(out.size()), audio.samples() - begin);
  for (int c = 0; c < audio.channels(); ++c) {
    const auto channel = audio.channel(c);
    for (std::int64_t t = first; t < last; ++t) {
      out[static_cast<std::size_t>(t)] += static_cast<double>(channel[static_cast<std::size_t>(begin + t)]);
    }
  }
}

double to_db(double amplitude) { return 20 * std::log10(std::abs(amplitude)); }

}  // namespace

Alignment compare_alignment(audio::AudioView reference, audio::AudioView estimate) {
  const std::int64_t samples = reference.samples();
  const std::int64_t count = std::clamp<std::int64_t>(samples / kStretch, 1, kStretches);
  const audio::Stft<double> fft({.fft_size = kFft,
                                 .hop_samples = kFft,
                                 .window = audio::WindowKind::rectangular,
                                 .framing = audio::Framing::none});
  std::vector<double> cross(2 * kMaxLag + 1, 0.0), estimate2(2 * kMaxLag + 1, 0.0);
  double reference2 = 0;
  std::vector<double> s(kFft), e(kFft), correlation(kFft), stretch(kStretch);
  std::vector<std::complex<double>> s_bins(static_cast<std::size_t>(fft.bins())), e_bins(s_bins.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t begin = count == 1 ? 0 : (samples - kStretch) * i / (count - 1);
    channel_sum(reference, begin, stretch);
    std::fill(s.begin(), s.end(), 0.0);
    std::copy(stretch.begin(), stretch.end(), s.begin());
    channel_sum(estimate, begin - kMaxLag, e);
    for (const double x : stretch) reference2 += x * x;
    fft.forward(s, s_bins.data());
    fft.forward(e, e_bins.data());
    for (std::size_t k = 0; k < e_bins.size(); ++k) e_bins[k] *= std::conj(s_bins[k]);
    fft.inverse(e_bins.data(), 1, correlation);
    double energy = 0;
    for (std::int64_t t = 0; t < kStretch; ++t) {
      energy += e[static_cast<std::size_t>(t)] * e[static_cast<std::size_t>(t)];
    }
    for (std::size_t k = 0; k < cross.size(); ++k) {
      cross[k] += correlation[k];
      estimate2[k] += energy;
      if (k + 1 == cross.size()) break;
      const double leaving = e[k], entering = e[k + kStretch];
      energy = std::max(0.0, energy + entering * entering - leaving * leaving);
    }
  }
  const auto explained = [&](std::size_t k) {
    const double product = reference2 * estimate2[k];
    return product > 0 ? std::min(1.0, cross[k] * cross[k] / product) : 0.0;
  };
  std::size_t best = kMaxLag;
  for (std::size_t k = 0; k < cross.size(); ++k) {
    if (explained(k) > explained(best)) best = k;
  }
  Alignment out;
  // Only what ends as a good estimate was a good one before: undoing must gain 6 dB and end above 15 dB.
  constexpr double kLeastGain = 6, kLeastEnd = 15, kFloor = 1e-12;  // kFloor: rounding of the transforms
  const auto with_gain = [&](std::size_t k) { return -10 * std::log10(1 - explained(k) + kFloor); };
  const auto as_it_is = [&](std::size_t k) {
    const double error = reference2 - 2 * cross[k] + estimate2[k];
    return -10 * std::log10(std::max(error / reference2, kFloor));
  };
  if (!(reference2 > 0) || samples < kLeastSamples || with_gain(best) < kLeastEnd) return out;
  if (best != kMaxLag && with_gain(best) - with_gain(kMaxLag) >= kLeastGain) {
    out.lag_samples = static_cast<std::int64_t>(best) - kMaxLag;
    out.lag_benefit_db = with_gain(best) - with_gain(kMaxLag);
  } else {
    best = kMaxLag;
  }
  if (with_gain(best) < kLeastEnd || with_gain(best) - as_it_is(best) < kLeastGain) return out;
  out.inverted = cross[best] < 0;
  const double gain = to_db(estimate2[best] / cross[best]);
  // An inverted estimate of the right level has no gain beside.
  if (!out.inverted || std::abs(gain) >= 1) out.gain_db = gain;
  return out;
}

}  // namespace mss::cli
