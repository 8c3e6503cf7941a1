// The draws of a composed song. Every choice owns one block of Philox4x32-10 (core/rng.h) with the counter
// (choice, item, stream, format version) under the song's seed: there is no state, so that editing one part of a song
// cannot disturb another, and no order of calls or threads can change a note.
//
// Streams: 1 song, 2 drums, 3 bass, 4 keys, 5 guitar, 6 pad, 7 lead, 8 verse melody, 9 chorus melody, 20 reverb noise,
// 21 mix, 40 lead voice, 41/42 doubles, 43/44 harmony; T+100 consonants and T+200 frame noise of voice T; 120 … 125 the
// built-in synthesiser's noise.
#pragma once

#include <cstdint>
#include <span>

#include "core/rng.h"

namespace mss::datasets::synth {

/// Part of every counter ("MSS1"): goes up when the same seed is meant to give another song.
inline constexpr std::uint32_t kFormatVersion = 0x4D535331;

/// A place to draw from: (stream, item, choice).
struct Place {
  std::uint32_t stream = 0, item = 0, choice = 0;
};

class Draws {
 public:
  explicit Draws(std::uint64_t seed) : seed_(seed) {}

  core::PhiloxBlock block(Place at) const;
  /// Uniform in 0 … n-1: (first word * n) >> 32.
  std::uint32_t below(std::uint32_t n, Place at) const;
  /// First index whose cumulative weight exceeds below(sum of the weights).
  std::size_t weighted(std::span<const int> weights, Place at) const;
  /// below(1000) < per_mille.
  bool chance(std::uint32_t per_mille, Place at) const;
  /// Twice the sum of the block's eight 16-bit halves, less its mean 524280: integer, standard deviation 107,020.
  std::int64_t bell(Place at) const;
  /// Integer Gaussian of standard deviation s16 / 16: floor((2 bell s16 + 1712320) / 3424640).
  std::int64_t gaussian(std::int64_t s16, Place at) const;
  /// low + (high - low) (first word + 1/2) / 2^32; for audio parameters only.
  double uniform(double low, double high, Place at) const;
  /// bell / 107020: unit Gaussian; for audio parameters only.
  double normal(Place at) const;
  /// White noise of unit variance (triangular): blocks (b, item, stream), b = 0, 1, …, one sample a word.
  void noise(std::span<double> out, std::uint32_t stream, std::uint32_t item) const;

 private:
  std::uint64_t seed_;
};

}  // namespace mss::datasets::synth
