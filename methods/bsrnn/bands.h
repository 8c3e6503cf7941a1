// Band tables: how the bins of a spectrogram are divided into the bands that a Band-split RNN models one by one.
//
// A scheme says widths in Hz from the bottom up: (until, width) pairs, then one band for what is left. Two rules turn
// it into bins, and they give different networks:
//   edge   the boundary at f is the number of bins whose frequency is strictly below f (amanteur/BandSplitRNN-PyTorch,
//          Audyn): edges stay where the scheme says
//   floor  every band of nominal width b gets floor(b / (rate / 2) * bins) bins, the last band the rest (the authors'
//          code of the Sound Demixing Challenge 2023, magronp/bsrnn): edges drift down, V7's 1 kHz edge to 861 Hz
// Bins are rate / fft apart, bins = fft / 2 + 1.
//
// Schemes: V1 … V7, bass and drums of Luo & Yu, "Music Source Separation with Band-split RNN" (2022), section IV; V1's
// remainder of three bins is part of its last band. `joint` is the union that magronp/bsrnn takes where several targets
// share one encoder. V7 serves vocals and other.
//
// Thread-safety: pure functions. Errors: Error(invalid_argument).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mss::methods::bsrnn {

enum class BandRule { edge, floor };
std::string_view rule_name(BandRule rule) noexcept;

struct BandStep {
  int until_hz, width_hz;
};
struct BandScheme {
  std::string_view name;
  std::span<const BandStep> steps;
  std::int64_t bands() const noexcept;  ///< K, the one for the rest included
};

/// V1 … V7, bass, drums, joint.
std::span<const BandScheme> band_schemes() noexcept;
/// Throws Error(config) for an unknown name.
const BandScheme& band_scheme(std::string_view name);
/// The scheme for a target: bass and drums their own, everything else V7.
std::string_view scheme_for_target(std::string_view target) noexcept;

/// Number of bins of each band, from the bottom. Throws Error(invalid_argument) where a band would be empty.
std::vector<std::int64_t> band_widths(std::string_view scheme, BandRule rule, int rate_hz = 44100, int fft_size = 2048);
/// First bin of every band, closing with the number of bins.
std::vector<std::int64_t> band_edges(std::span<const std::int64_t> widths);

}  // namespace mss::methods::bsrnn
