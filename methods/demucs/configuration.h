// The Demucs family: what its networks are made of, and how lengths relate.
//
//   demucs       Demucs v2 (Defossez et al., "Music Source Separation in the Waveform Domain", 2019; the package's
//                branch v2): sinc resampling by 2 around the network, 64 channels; with other sizes the light model and
//                its extension by a decoder for every stem; version 1 of it: no resampling, 100 channels, the input not
//                divided by 1 + 1e-5, and its own way of cutting
//   conv-tasnet  Conv-TasNet for music, as the same authors ship it (Luo and Mesgarani 2019, for stereo and four stems)
//
// Errors: Error(checkpoint) for configurations that no network has. Thread-safety: values and pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/value.h"

namespace mss::methods::demucs {

enum class Architecture { demucs, conv_tasnet };
std::string_view architecture_name(Architecture architecture) noexcept;

struct Configuration {
  Architecture architecture = Architecture::demucs;
  int rate_hz = 44100;
  int channels = 2;  ///< of the audio
  std::vector<std::string> targets{"drums", "bass", "other", "vocals"};
  std::int64_t segment_samples = 1764000;  ///< how long a segment is where nobody says another length

  // Demucs.
  int version = 2;  ///< 1: no resampling, the input as it is, another way of cutting (apply.h)
  // Level i has width * growth^i channels (rounded down level by level).
  std::int64_t width = 64, depth = 6, kernel = 8, stride = 4, context = 3;
  double growth = 2.0;
  bool glu = true;         ///< false: ReLU and half the channels
  bool rewrite = true;     ///< the 1x1 convolutions of the encoder and the ones of `context` taps of the decoder
  bool resample = true;    ///< the network runs at twice the rate
  bool normalize = false;  ///< every input by its own mean and standard deviation
  std::int64_t lstm_layers = 2;
  bool lstm_bidirectional = true;  ///< then a linear layer halves the channels again
  bool decoder_per_target = false;
  double rescale = 0.1;  ///< of initial values; 0 = PyTorch's alone

  // Conv-TasNet, by the paper's letters: N filters of length L, B channels in the bottleneck, H in the blocks of P
  // taps, X blocks a repeat, R repeats.
  std::int64_t filters = 256, filter_length = 20, bottleneck = 256, hidden = 512, taps = 3, blocks = 10, repeats = 4;

  friend bool operator==(const Configuration&, const Configuration&) = default;
};

/// "v2", "v1", "light", "light4", "x10" (Conv-TasNet): the models that papers name. light: depth 3, 64 channels, one
/// unidirectional LSTM layer; light4: with a decoder for every stem.
Configuration named_configuration(std::string_view name);

/// {"architecture", "rate_hz", "channels", "targets", "segment_samples", …} in a fixed order; members that the
/// architecture does not have are left out.
core::Value configuration_value(const Configuration& configuration);
/// Inverse; members that are left out have the defaults above. Throws Error(checkpoint) with `where`.
Configuration configuration_from_value(const core::Value& value, std::string_view where);

/// Channels of encoder level i.
std::int64_t level_channels(const Configuration& configuration, std::int64_t level) noexcept;

/// The shortest input of at least `length` samples (>= 1) in which no convolution leaves samples over:
///   L' = 2 length if the network resamples, else length
///   depth times  L' = max(1, ceil((L' - kernel) / stride) + 1) + context - 1
///   depth times  L' = (L' - 1) stride + kernel
///   V = ceil(L' / 2) if it resamples, else L'
/// Conv-TasNet takes any length from that of its filters on.
std::int64_t valid_length(const Configuration& configuration, std::int64_t length) noexcept;
/// The frames of the network's input (after resampling) and of every encoder level, for an input of `length` samples.
std::vector<std::int64_t> encoder_lengths(const Configuration& configuration, std::int64_t length);
/// Samples that come out of an input of `length` samples; the output lies in the middle of the input.
std::int64_t output_length(const Configuration& configuration, std::int64_t length) noexcept;
/// The most samples that valid_length() adds.
std::int64_t longest_context(const Configuration& configuration) noexcept;

/// Taps of sinc resampling by `after` / `before` (julius 0.2, zeros 24, rolloff 0.945), for the layer FilterBank with
/// phases = `after` and stride = `before` (both divided by their gcd first):
///   s = min(before, after) 0.945,  W = ceil(24 before / s)
///   k_p[n] = sinc(t) cos^2(t / 48),  t = pi clamp((n / before - p / after) s, -24, 24),  n in [-W, W + before),
///   divided by its sum over n
/// In double, where the reference rounds to float32.
struct SincTaps {
  std::int64_t phases = 1, stride = 1, width = 0;
  std::vector<double> taps;  ///< phases x (2 width + stride)
};
SincTaps sinc_taps(std::int64_t before, std::int64_t after);

}  // namespace mss::methods::demucs
