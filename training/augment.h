// What is done to the sources of an example, each as a function of its arguments alone.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/rng.h"
#include "training/recipe.h"

namespace mss::training {

/// Names of random choices: the stream of core::Rng (item = index of the example, key = seed and epoch). The numbers
/// are part of what a seed means: they never change.
enum class Choice : std::uint32_t {
  place = 1,
  remix = 2,
  gain = 3,
  drop = 4,
  channels = 5,
  sign = 6,
  shift = 7,
  group = 8,
  circular = 9,
  speech = 10,
  stretch = 11,
  spec = 12,
  external = 13,
  order = 14,
  unlabelled = 15,
  pool = 16
};
/// Draws of one choice for one example; `source` keeps the sources' draws apart.
core::Rng draws(std::int64_t seed, std::int64_t epoch, std::int64_t index, Choice choice, int source = 0) noexcept;

/// A number in [0, count) for every `index` in [0, count), each once: the order of an epoch, without a table.
std::int64_t shuffled(std::int64_t index, std::int64_t count, std::int64_t seed, std::int64_t epoch) noexcept;

/// Demucs' Remix: for each source a permutation of a group of items = stable ascending argsort of uniforms, given as
/// [item][source] of the group (golden: demucs.json augment.remix). out[item][source] = in[permutation][source].
std::vector<int> argsort(std::span<const double> uniforms);

/// 10^(db / 20).
double amplitude(double db) noexcept;

/// The largest absolute value.
float largest(const float* x, std::int64_t count) noexcept;
/// mixture = ((stem_0 + stem_1) + stem_2) + …; `size` samples each, the stems behind each other.
void mix(const float* stems, std::int64_t sources, std::int64_t size, float* mixture) noexcept;
/// What Band-split RNN divides an example by: max(max|mixture|, max|stem|), or 1 where that is less than 1e-6 (silence).
float example_peak(const float* stems, std::int64_t sources, std::int64_t size, const float* mixture) noexcept;

/// Speech remix (the thesis on remixing, algorithm 1): SNR_now from energies + 1e-6 over all samples,
///   scale = 10^((SNR_now - snr_db) / 20), mix = (speech + scale * accompaniment) / peak.
/// correct: one scale for all channels, the target is speech / peak. thesis: a scale for each channel, the target is
/// speech itself (not divided).
struct SpeechMix {
  std::vector<double> scale;  ///< per channel
  double peak = 1;            ///< max |speech + scale * accompaniment|
};
/// Planar (C, T). An accompaniment of zeros gives scale 0 (its SNR is infinite).
SpeechMix speech_mix(std::span<const float> speech, std::span<const float> accompaniment, int channels, double snr_db,
                     SpeechTarget target);

/// SpecAugment: masks of one example's features of `frames` x `bins`; applied as zeros to input features only, never to
/// targets (Park et al. 2019; bsrnn-training notes: LibriSpeech "LD").
struct SpecMask {
  bool frequency = false;
  std::int64_t begin = 0, end = 0;  ///< bins or frames [begin, end)
  friend bool operator==(const SpecMask&, const SpecMask&) = default;
};
std::vector<SpecMask> spec_masks(const SpecAugmentRecipe& recipe, std::int64_t seed, std::int64_t epoch,
                                 std::int64_t index, std::int64_t frames, std::int64_t bins);

}  // namespace mss::training
