#include "training/activity.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/error.h"
#include "core/json.h"

namespace mss::training {
namespace {

constexpr std::int64_t kChunks = 10;

/// Linear interpolation between order statistics (NumPy's default).
double quantile_of(std::vector<double> values, double quantile) {
  std::sort(values.begin(), values.end());
  const double at = quantile * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (values[high] - values[low]) * (at - static_cast<double>(low));
}

double energy_of(double mean_square, double samples, ActivityEnergy energy, double silent) {
  if (!(mean_square > 0)) return silent;
  switch (energy) {
    case ActivityEnergy::rms:
      return std::sqrt(mean_square);
    case ActivityEnergy::mean_square:
      return mean_square;
    case ActivityEnergy::sum:
      return mean_square * samples;
  }
  return mean_square;
}

}  // namespace

Activity find_activity(audio::AudioView stem, const ActivitySettings& s) {
  const auto segment = static_cast<std::int64_t>(std::llround(s.segment_seconds * stem.rate_hz()));
  if (s.rule == ActivityRule::none || segment < kChunks || !(s.quantile >= 0 && s.quantile <= 1) ||
      stem.channels() < 1) {
    throw Error({Code::invalid_argument, "source activity", "settings out of their range",
                 "a rule, segments of ten samples and more, a quantile in [0,1]",
                 core::format_real(s.segment_seconds) + " s, quantile " + core::format_real(s.quantile), ""});
  }
  if (const audio::SamplePosition bad = audio::find_non_finite(stem); bad.channel >= 0) {
    throw Error({Code::numeric, "source activity", "a sample is not finite", "numbers",
                 "channel " + std::to_string(bad.channel) + ", sample " + std::to_string(bad.sample), ""});
  }
  Activity out;
  out.segment_samples = segment;
  const std::int64_t hop = segment / 2, length = stem.samples();
  out.segments = length <= segment ? 1 : (length - segment) / hop + 1;
  const int channels = stem.channels();

  // Mean squares of every chunk: [segment][chunk][channel].
  const auto rows = static_cast<std::size_t>(out.segments * kChunks);
  std::vector<double> squares(rows * static_cast<std::size_t>(channels));
  std::vector<double> sizes(rows);
  for (std::int64_t g = 0; g < out.segments; ++g) {
    for (std::int64_t i = 0; i < kChunks; ++i) {
      const std::int64_t begin = g * hop + i * segment / kChunks, end = g * hop + (i + 1) * segment / kChunks;
      const auto row = static_cast<std::size_t>(g * kChunks + i);
      sizes[row] = static_cast<double>(end - begin);
      for (int c = 0; c < channels; ++c) {
        double sum = 0;
        const std::span<const float> x = stem.channel(c);
        for (std::int64_t t = begin; t < std::min(end, length); ++t) {
          const double v = x[static_cast<std::size_t>(t)];
          sum += v * v;
        }
        squares[row * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c)] = sum / sizes[row];
      }
    }
  }

  const auto passes = [&](std::span<const double> energies, double threshold) {
    return 2 * std::count_if(energies.begin(), energies.end(), [&](double e) { return e > threshold; }) > kChunks;
  };
  const auto keep = [&](std::int64_t g) {
    out.kept.push_back(g);
    out.starts.push_back(g * hop);
  };
  if (s.rule == ActivityRule::paper) {
    std::vector<double> energies(rows);
    for (std::size_t row = 0; row < rows; ++row) {
      double mean = 0;
      for (int c = 0; c < channels; ++c)
        mean += squares[row * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c)];
      energies[row] = energy_of(mean / channels, sizes[row], s.energy, s.silent);
    }
    out.threshold = std::max(quantile_of(energies, s.quantile), s.floor);
    for (std::int64_t g = 0; g < out.segments; ++g) {
      if (passes(std::span(energies).subspan(static_cast<std::size_t>(g * kChunks), kChunks), out.threshold)) keep(g);
    }
    return out;
  }
  for (std::int64_t g = 0; g < out.segments; ++g) {
    bool all = true;
    for (int c = 0; c < channels && all; ++c) {
      std::vector<double> energies;
      for (std::int64_t i = 0; i < kChunks; ++i) {
        const auto row = static_cast<std::size_t>(g * kChunks + i);
        energies.push_back(energy_of(squares[row * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c)],
                                     sizes[row], ActivityEnergy::rms, s.silent));
      }
      all = passes(energies, std::max(quantile_of(energies, s.quantile), s.floor));
    }
    if (all) keep(g);
  }
  return out;
}

}  // namespace mss::training
