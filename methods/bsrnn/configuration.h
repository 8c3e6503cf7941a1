// What a Band-split RNN is made of. Three readings of the paper are in circulation, whose scores differ; a profile
// names one of them exactly:
//
//   paper     Luo & Yu 2022, arXiv 2209.15174: channels are separate items, one hidden layer (tanh) in every mask.
//   Which
//             normalisation "layer normalization" is, the text leaves open: `norm` below; eps 1e-5. Bands by the edge
//             rule.
//   authors   their code of the Sound Demixing Challenge 2023: two hidden layers, one group over features and frames,
//   eps
//             1.19e-7 (float32's epsilon), bands by the floor rule, and (`projection`) masks of all targets that sum to
//             1
//   amanteur  github.com/amanteur/BandSplitRNN-PyTorch at f3375dc: both channels in every band, the spectrogram
//             standardised per chunk, weights of band and mask norms per frame (which fixes the chunk's length),
//             statistics per feature in the recurrent blocks, a second linear layer before the gate; edge rule
//   magron    github.com/magronp/bsrnn at f2ecc62: the authors' network with options: TAC between the channels,
//   attention
//             over frames, both channels in every band (stereo "naive"), one encoder for several targets; floor rule
//
// Sizes (letters in the code): F bins, K bands of G bins, N features, H hidden units of an LSTM per direction, T
// frames.
//
// Thread-safety: values and pure functions. Errors: Error(config), Error(invalid_argument).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/value.h"
#include "methods/bsrnn/bands.h"

namespace mss::methods::bsrnn {

/// Over what the norms before band projections and masks take their statistics.
enum class BandNorm {
  chunk,   ///< features and all frames of the chunk; weights per feature (GroupNorm with one group)
  frame,   ///< features of each frame; weights per feature (LayerNorm)
  element  ///< features and all frames; weights per feature and frame: chunks of one length only
};
std::string_view norm_name(BandNorm norm) noexcept;

struct Configuration {
  std::string profile = "paper";
  std::vector<std::string> targets = {"vocals"};
  int rate_hz = 44100, fft_size = 2048, hop_samples = 512;
  std::string scheme = "V7";  ///< of `widths`; "custom" for others
  BandRule rule = BandRule::edge;
  std::vector<std::int64_t> widths;  ///< G of each band

  bool joint = false;  ///< both channels in one vector of 4G values per band; else a channel is an item
  std::int64_t features = 128, pairs = 12, lstm_hidden = 256, mask_hidden = 512;
  std::int64_t mask_layers = 1;  ///< hidden layers (tanh) of a mask
  bool gate_layer = false;       ///< a linear layer from the values to values and gates, behind the last one
  BandNorm band_norm = BandNorm::chunk, mask_norm = BandNorm::chunk;
  std::int64_t block_groups = 1;  ///< groups of the norm in the recurrent blocks, which spans the sequence
  std::int64_t norm_frames = 0;   ///< T of BandNorm::element
  double eps = 1e-5;

  bool standardise = false;           ///< the chunk's complex spectrogram to mean 0, deviation 1, and back
  bool projection = false;            ///< masks of all targets sum to 1
  bool subtract_last = false;         ///< the last target is what the others leave of the mixture
  std::int64_t tac_hidden = 0;        ///< 0: no transform-average-concatenate between the channels
  bool tac_prelu = false;             ///< else tanh
  std::int64_t attention_heads = 0;   ///< 0: none
  std::int64_t attention_width = 16;  ///< channels of query and key per head

  std::int64_t bins() const noexcept { return fft_size / 2 + 1; }
  std::int64_t bands() const noexcept { return static_cast<std::int64_t>(widths.size()); }
  /// Channels of the audio that share an item: 2 where `joint`.
  std::int64_t item_channels() const noexcept { return joint ? 2 : 1; }
  /// Real values per frame of an item: [re | im] of F bins per channel.
  std::int64_t spectrum_channels() const noexcept { return 2 * bins() * item_channels(); }
  /// Masks that the network computes.
  std::int64_t masks() const noexcept { return static_cast<std::int64_t>(targets.size()) - (subtract_last ? 1 : 0); }
  /// Whether a chunk's two channels influence each other, so that they must be neighbouring items of one call.
  bool couples_channels() const noexcept { return joint || tac_hidden > 0; }
};

/// A profile at the size its source gives it (V7 for vocals and other, bass, drums; `joint` for several targets).
/// `size`: "large" (N 128, 12 pairs), "small" (N 64, 8 pairs). norm: "chunk", "features", "frame" (paper only; others
/// have their own and take "" only). Throws Error(config).
Configuration profile_configuration(std::string_view profile, const std::vector<std::string>& targets,
                                    std::string_view size = "large", std::string_view norm = "");
/// Throws Error(invalid_argument) for what no network can have: says which size, what was expected and found.
void check(const Configuration& configuration);

/// One JSON object, and back. reading: missing keys keep their defaults; throws Error(format) naming `where`.
core::Value configuration_value(const Configuration& configuration);
Configuration configuration_from(const core::Value& value, std::string_view where);

}  // namespace mss::methods::bsrnn
