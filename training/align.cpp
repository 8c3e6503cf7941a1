#include "training/align.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "audio/stft.h"
#include "audio/stream.h"

namespace mss::training {
namespace {

audio::AudioBuffer mono_of(audio::AudioView audio) {
  return audio.channels() == 1 ? audio::AudioBuffer(audio) : audio::convert_channels(audio, 1);
}

int power_of_two_from(double samples) {
  int size = 2;
  while (size < samples) size *= 2;
  return size;
}

/// Onset strength, one value per frame.
std::vector<double> onsets_of(audio::AudioView mono, int hop) {
  const audio::StftSpec spec{.fft_size = power_of_two_from(0.04 * mono.rate_hz()), .hop_samples = hop};
  const audio::Spectrogram<float> x = audio::Stft<float>(spec).forward(mono);
  double largest = 0;
  for (const auto& value : x.data()) largest = std::max(largest, static_cast<double>(std::abs(value)));
  std::vector<double> onsets(static_cast<std::size_t>(x.frames()));
  if (!(largest > 0)) return onsets;
  constexpr double kCompression = 100;
  std::vector<double> before(static_cast<std::size_t>(x.bins())), now(before.size());
  for (std::int64_t n = 0; n < x.frames(); ++n) {
    double rise = 0;
    for (std::size_t k = 0; k < now.size(); ++k) {
      now[k] = std::log1p(kCompression * std::abs(x.at(0, n)[k]) / largest);
      if (n > 0) rise += std::max(0.0, now[k] - before[k]);
    }
    onsets[static_cast<std::size_t>(n)] = rise;
    std::swap(before, now);
  }
  return onsets;
}

/// Less its mean over a second, divided by its deviation; empty where nothing varies.
std::vector<double> standardised(const std::vector<double>& x, double frames_per_s) {
  const auto half = static_cast<std::int64_t>(frames_per_s / 2);
  const auto n = static_cast<std::int64_t>(x.size());
  std::vector<double> sums(x.size() + 1), out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) sums[i + 1] = sums[i] + x[i];
  double square = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t low = std::max<std::int64_t>(0, i - half), high = std::min(n, i + half + 1);
    const double mean =
        (sums[static_cast<std::size_t>(high)] - sums[static_cast<std::size_t>(low)]) / static_cast<double>(high - low);
    out[static_cast<std::size_t>(i)] = x[static_cast<std::size_t>(i)] - mean;
    square += out[static_cast<std::size_t>(i)] * out[static_cast<std::size_t>(i)];
  }
  const double deviation = std::sqrt(square / static_cast<double>(n));
  if (!(deviation > 0)) return {};
  for (double& value : out) value /= deviation;
  return out;
}

/// Place of the peak between three neighbours, in (-0.5, 0.5).
double peak_offset(double before, double at, double after) {
  const double curve = before - 2 * at + after;
  return curve < 0 ? std::clamp(0.5 * (before - after) / curve, -0.5, 0.5) : 0.0;
}

/// Period in frames, 0 = none.
double period_of(const std::vector<double>& onsets, double frames_per_s) {
  constexpr double kSlowest = 40, kFastest = 240, kUsual = 120, kOctaves = 0.9;
  const auto shortest = static_cast<std::int64_t>(std::floor(60 / kFastest * frames_per_s));
  const auto longest = static_cast<std::int64_t>(std::ceil(60 / kSlowest * frames_per_s));
  const auto n = static_cast<std::int64_t>(onsets.size());
  if (n < 2 * longest) return 0;
  std::vector<double> weighted(static_cast<std::size_t>(longest + 2)), plain(weighted.size());
  for (std::int64_t lag = shortest - 1; lag <= longest + 1; ++lag) {
    double sum = 0;
    for (std::int64_t i = lag; i < n; ++i) {
      sum += onsets[static_cast<std::size_t>(i)] * onsets[static_cast<std::size_t>(i - lag)];
    }
    const double octaves = std::log2(60 * frames_per_s / static_cast<double>(lag) / kUsual) / kOctaves;
    plain[static_cast<std::size_t>(lag)] = sum;
    weighted[static_cast<std::size_t>(lag)] = sum * std::exp(-0.5 * octaves * octaves);
  }
  const auto best = std::max_element(weighted.begin() + shortest, weighted.begin() + longest + 1) - weighted.begin();
  if (!(weighted[static_cast<std::size_t>(best)] > 0)) return 0;
  const auto b = static_cast<std::size_t>(best);
  return static_cast<double>(best) + peak_offset(plain[b - 1], plain[b], plain[b + 1]);
}

}  // namespace

Rhythm find_beats(audio::AudioView drums) {
  Rhythm out;
  constexpr double kShortest = 3;
  if (drums.empty() || drums.seconds() < kShortest || audio::is_silent(drums)) return out;
  const audio::AudioBuffer mono = mono_of(drums);
  const int hop = std::max(1, static_cast<int>(std::lround(0.01 * mono.rate_hz())));
  const double frames_per_s = static_cast<double>(mono.rate_hz()) / hop;
  const std::vector<double> onsets = standardised(onsets_of(mono, hop), frames_per_s);
  if (onsets.empty()) return out;
  const double period = period_of(onsets, frames_per_s);
  if (!(period > 0)) return out;
  out.tempo_bpm = 60 * frames_per_s / period;

  constexpr double kTightness = 100;
  const auto n = static_cast<std::int64_t>(onsets.size());
  std::vector<double> score(onsets.size());
  std::vector<std::int64_t> from(onsets.size(), -1);
  const auto nearest = static_cast<std::int64_t>(std::ceil(period / 2));
  const auto furthest = static_cast<std::int64_t>(std::floor(period * 2));
  std::vector<double> penalty(static_cast<std::size_t>(furthest + 1));
  for (std::int64_t gap = nearest; gap <= furthest; ++gap) {
    const double log = std::log(static_cast<double>(gap) / period);
    penalty[static_cast<std::size_t>(gap)] = kTightness * log * log;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    double best = 0;  // a path may begin anywhere
    for (std::int64_t gap = nearest; gap <= std::min(furthest, i); ++gap) {
      const double value = score[static_cast<std::size_t>(i - gap)] - penalty[static_cast<std::size_t>(gap)];
      if (value > best) {
        best = value;
        from[static_cast<std::size_t>(i)] = i - gap;
      }
    }
    score[static_cast<std::size_t>(i)] = onsets[static_cast<std::size_t>(i)] + best;
  }
  const auto last = std::max<std::int64_t>(0, n - static_cast<std::int64_t>(std::ceil(period)));
  std::int64_t at = std::max_element(score.begin() + last, score.end()) - score.begin();
  for (; at >= 0; at = from[static_cast<std::size_t>(at)]) {
    const auto i = static_cast<std::size_t>(at);
    const double offset = i > 0 && i + 1 < onsets.size() ? peak_offset(onsets[i - 1], onsets[i], onsets[i + 1]) : 0;
    out.beats_s.push_back((static_cast<double>(at) + offset) / frames_per_s);
  }
  std::reverse(out.beats_s.begin(), out.beats_s.end());
  return out;
}

KeyProfile key_profile(audio::AudioView bass) {
  KeyProfile out{};
  if (bass.empty() || audio::is_silent(bass)) return out;
  const audio::AudioBuffer mono = mono_of(bass);
  const audio::StftSpec spec{.fft_size = power_of_two_from(0.3 * mono.rate_hz()),
                             .hop_samples = std::max(1, mono.rate_hz() / 10)};
  const audio::Spectrogram<float> x = audio::Stft<float>(spec).forward(mono);
  constexpr double kLowest = 35, kHighest = 400, kSounding = 0.05;
  const double step = static_cast<double>(mono.rate_hz()) / spec.fft_size;
  const auto low = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::floor(kLowest / step)));
  const auto high = std::min<std::int64_t>(x.bins() - 2, static_cast<std::int64_t>(std::ceil(kHighest / step)));
  std::vector<double> levels(static_cast<std::size_t>(x.frames()));
  std::vector<int> classes(levels.size(), -1);
  double loudest = 0;
  for (std::int64_t n = 0; n < x.frames(); ++n) {
    const auto* bins = x.at(0, n);
    std::int64_t best = low;
    double power = 0;
    for (std::int64_t k = low; k <= high; ++k) {
      power += std::norm(bins[k]);
      if (std::abs(bins[k]) > std::abs(bins[best])) best = k;
    }
    levels[static_cast<std::size_t>(n)] = std::sqrt(power);
    loudest = std::max(loudest, std::sqrt(power));
    if (!(power > 0)) continue;
    constexpr double kTiny = 1e-30;
    const double offset =
        peak_offset(std::log(std::abs(bins[best - 1]) + kTiny), std::log(std::abs(bins[best]) + kTiny),
                    std::log(std::abs(bins[best + 1]) + kTiny));
    const double hertz = (static_cast<double>(best) + offset) * step;
    constexpr double kA4 = 440, kClassOfA = 9, kClasses = 12;
    const double semitone = kClasses * std::log2(hertz / kA4) + kClassOfA;
    const double place = std::round(semitone) - kClasses * std::floor(std::round(semitone) / kClasses);
    classes[static_cast<std::size_t>(n)] = static_cast<int>(place);
  }
  double total = 0;
  for (std::size_t n = 0; n < levels.size(); ++n) {
    if (classes[n] < 0 || levels[n] < kSounding * loudest) continue;
    out[static_cast<std::size_t>(classes[n])] += 1;
    total += 1;
  }
  if (total > 0) {
    for (double& share : out) share /= total;
  }
  return out;
}

std::optional<int> key_shift(const KeyProfile& reference, const KeyProfile& other) {
  const auto silent = [](const KeyProfile& p) {
    return std::all_of(p.begin(), p.end(), [](double x) { return x == 0; });
  };
  if (silent(reference) || silent(other)) return std::nullopt;
  std::optional<int> best;
  double least = 0;
  for (const int shift : {0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, 6}) {
    double difference = 0;
    for (int c = 0; c < 12; ++c) {
      difference +=
          std::abs(reference[static_cast<std::size_t>((c + shift + 12) % 12)] - other[static_cast<std::size_t>(c)]);
    }
    if (best && difference >= least) continue;
    best = shift;
    least = difference;
  }
  return best;
}

std::optional<double> tempo_factor(double reference_bpm, double other_bpm, double limit) {
  if (!(reference_bpm > 0) || !(other_bpm > 0)) return std::nullopt;
  std::optional<double> best;
  for (const double ratio : {1.0, 0.5, 2.0, 0.25, 4.0}) {
    const double factor = reference_bpm / (other_bpm * ratio);
    if (std::abs(factor - 1) > limit) continue;
    if (!best || std::abs(factor - 1) < std::abs(*best - 1)) best = factor;
  }
  return best;
}

double beat_shift(const std::vector<double>& reference, const std::vector<double>& other, double from_s, double to_s,
                  double most_s) {
  constexpr double kCell = 0.005, kDeviation = 2;
  constexpr int kReach = 5;
  const auto cells = static_cast<std::int64_t>(std::ceil((to_s - from_s) / kCell));
  const auto most = static_cast<std::int64_t>(std::floor(most_s / kCell));
  if (cells < 1 || reference.empty() || other.empty()) return 0;
  const auto paint = [&](const std::vector<double>& beats, std::vector<double>& grid, double first_s) {
    for (const double beat : beats) {
      const double place = (beat - first_s) / kCell;
      const auto centre = static_cast<std::int64_t>(std::lround(place));
      for (std::int64_t i = centre - kReach; i <= centre + kReach; ++i) {
        if (i < 0 || i >= static_cast<std::int64_t>(grid.size())) continue;
        const double z = (static_cast<double>(i) - place) / kDeviation;
        grid[static_cast<std::size_t>(i)] += std::exp(-0.5 * z * z);
      }
    }
  };
  std::vector<double> a(static_cast<std::size_t>(cells)), b(static_cast<std::size_t>(cells + 2 * most));
  paint(reference, a, from_s);
  paint(other, b, from_s - static_cast<double>(most) * kCell);
  double best = 0, largest = -1;
  for (std::int64_t step = 0; step <= 2 * most; ++step) {
    // 0, -1, 1, -2, 2, …: of equal products the smallest shift.
    const std::int64_t shift = step % 2 == 0 ? -(step / 2) : step / 2 + 1;
    if (std::abs(shift) > most) continue;
    double product = 0;
    for (std::int64_t i = 0; i < cells; ++i) {
      product += a[static_cast<std::size_t>(i)] * b[static_cast<std::size_t>(i + most - shift)];
    }
    if (product > largest + 1e-9) {
      largest = product;
      best = static_cast<double>(shift) * kCell;
    }
  }
  return best;
}

}  // namespace mss::training
