#include "training/augment.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace mss::training {
namespace {

/// One key per seed and epoch, in a part of Philox's counters that draws never use.
std::uint64_t epoch_key(std::int64_t seed, std::int64_t epoch) noexcept {
  constexpr std::uint32_t kKeys = 0x4D535354u;  // "MSST"
  const auto e = static_cast<std::uint64_t>(epoch);
  const core::PhiloxBlock block = core::philox4x32(
      {static_cast<std::uint32_t>(e), static_cast<std::uint32_t>(e >> 32), 0, kKeys}, static_cast<std::uint64_t>(seed));
  return (static_cast<std::uint64_t>(block[1]) << 32) | block[0];
}

}  // namespace

core::Rng draws(std::int64_t seed, std::int64_t epoch, std::int64_t index, Choice choice, int source) noexcept {
  const std::uint32_t stream = (static_cast<std::uint32_t>(choice) << 16) | static_cast<std::uint32_t>(source & 0xffff);
  // Items are 32 bits wide; the high part of a larger index goes into the key.
  const auto i = static_cast<std::uint64_t>(index);
  const std::uint64_t key = epoch_key(seed, epoch) ^ ((i >> 32) * 0x9E3779B97F4A7C15ULL);
  return core::Rng(key, stream, static_cast<std::uint32_t>(i));
}

std::int64_t shuffled(std::int64_t index, std::int64_t count, std::int64_t seed, std::int64_t epoch) noexcept {
  // A Feistel network over the smallest even number of bits that holds `count`, walked until it lands inside: a
  // permutation of [0, count), because the network is one of its domain.
  if (count < 2) return index;
  int half = 1;
  while ((std::int64_t{1} << (2 * half)) < count) ++half;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  const std::uint64_t key = epoch_key(seed, epoch);
  constexpr int kRounds = 6;
  constexpr std::uint32_t kShuffles = 0x4D535346u;  // "MSSF"
  auto x = static_cast<std::uint64_t>(index);
  do {
    std::uint64_t left = x >> half, right = x & mask;
    for (int round = 0; round < kRounds; ++round) {
      const core::PhiloxBlock f =
          core::philox4x32({static_cast<std::uint32_t>(right), static_cast<std::uint32_t>(right >> 32),
                            static_cast<std::uint32_t>(round), kShuffles},
                           key);
      const std::uint64_t next = left ^ (((static_cast<std::uint64_t>(f[1]) << 32) | f[0]) & mask);
      left = right;
      right = next;
    }
    x = (left << half) | right;
  } while (static_cast<std::int64_t>(x) >= count);
  return static_cast<std::int64_t>(x);
}

std::vector<int> argsort(std::span<const double> uniforms) {
  std::vector<int> order(uniforms.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return uniforms[static_cast<std::size_t>(a)] < uniforms[static_cast<std::size_t>(b)];
  });
  return order;
}

float largest(const float* x, std::int64_t count) noexcept {
  // Eight at a time, so that the comparisons do not wait for each other.
  constexpr std::int64_t kLanes = 8;
  float most[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j) most[j] = std::abs(x[i + j]) > most[j] ? std::abs(x[i + j]) : most[j];
  }
  for (; i < count; ++i) most[0] = std::max(most[0], std::abs(x[i]));
  return *std::max_element(most, most + kLanes);
}

void mix(const float* stems, std::int64_t sources, std::int64_t size, float* mixture) noexcept {
  std::copy(stems, stems + size, mixture);
  for (std::int64_t s = 1; s < sources; ++s) {
    const float* stem = stems + s * size;
    for (std::int64_t i = 0; i < size; ++i) mixture[i] += stem[i];
  }
}

float example_peak(const float* stems, std::int64_t sources, std::int64_t size, const float* mixture) noexcept {
  constexpr float kSilent = 1e-6F;
  const float peak = std::max(largest(mixture, size), largest(stems, size * sources));
  return peak < kSilent ? 1.0F : peak;
}

double amplitude(double db) noexcept { return std::pow(10.0, db / 20); }

SpeechMix speech_mix(std::span<const float> speech, std::span<const float> accompaniment, int channels, double snr_db,
                     SpeechTarget target) {
  MSS_ASSERT(channels > 0 && speech.size() == accompaniment.size() &&
             speech.size() % static_cast<std::size_t>(channels) == 0);
  const std::size_t samples = speech.size() / static_cast<std::size_t>(channels);
  constexpr double kFloor = 1e-6;
  std::vector<double> ours, theirs;
  for (int c = 0; c < channels; ++c) {
    double s = 0, a = 0;
    for (std::size_t t = static_cast<std::size_t>(c) * samples; t < static_cast<std::size_t>(c + 1) * samples; ++t) {
      s += static_cast<double>(speech[t]) * speech[t];
      a += static_cast<double>(accompaniment[t]) * accompaniment[t];
    }
    ours.push_back(s);
    theirs.push_back(a);
  }
  const auto scale_of = [&](double s, double a) {
    if (!(a > 0)) return 0.0;
    const double now_db = 10 * std::log10((s + kFloor) / (a + kFloor));
    return amplitude(now_db - snr_db);
  };
  SpeechMix out;
  if (target == SpeechTarget::thesis) {
    for (int c = 0; c < channels; ++c) {
      out.scale.push_back(scale_of(ours[static_cast<std::size_t>(c)], theirs[static_cast<std::size_t>(c)]));
    }
  } else {
    const double s = std::accumulate(ours.begin(), ours.end(), 0.0);
    const double a = std::accumulate(theirs.begin(), theirs.end(), 0.0);
    out.scale.assign(static_cast<std::size_t>(channels), scale_of(s, a));
  }
  out.peak = 0;
  for (int c = 0; c < channels; ++c) {
    for (std::size_t t = static_cast<std::size_t>(c) * samples; t < static_cast<std::size_t>(c + 1) * samples; ++t) {
      out.peak = std::max(out.peak, std::abs(speech[t] + out.scale[static_cast<std::size_t>(c)] * accompaniment[t]));
    }
  }
  return out;
}

std::vector<SpecMask> spec_masks(const SpecAugmentRecipe& recipe, std::int64_t seed, std::int64_t epoch,
                                 std::int64_t index, std::int64_t frames, std::int64_t bins) {
  std::vector<SpecMask> masks;
  core::Rng rng = draws(seed, epoch, index, Choice::spec);
  if (rng.uniform() >= recipe.probability) return masks;
  // Park et al.: width uniform in [0, limit], first bin or frame uniform where the mask fits.
  const auto mask = [&](bool frequency, std::int64_t size, std::int64_t limit) {
    const std::int64_t width = rng.below(static_cast<std::uint32_t>(std::clamp<std::int64_t>(limit, 0, size) + 1));
    const std::int64_t begin = rng.below(static_cast<std::uint32_t>(size - width + 1));
    masks.push_back({frequency, begin, begin + width});
  };
  const auto widest_bins = static_cast<std::int64_t>(std::floor(recipe.frequency_share * static_cast<double>(bins)));
  const std::int64_t widest_frames = std::min(
      recipe.time_frames, static_cast<std::int64_t>(std::floor(recipe.time_share * static_cast<double>(frames))));
  for (std::int64_t i = 0; i < recipe.frequency_masks; ++i) mask(true, bins, widest_bins);
  for (std::int64_t i = 0; i < recipe.time_masks; ++i) mask(false, frames, widest_frames);
  return masks;
}

}  // namespace mss::training
