// Conv-TasNet for music (Luo and Mesgarani, "Conv-TasNet: Surpassing Ideal Time-Frequency Magnitude Masking for Speech
// Separation", 2019; for stereo and several stems as in facebookresearch/demucs, branch v2, demucs/tasnet.py), over any
// layer set.
//
//   w = ReLU(conv(mixture; L taps, hop L/2))                                  K frames of N channels
//   x = conv1(layer norm over the channels(w))                                 B channels
//   R times, X blocks of dilation 1, 2, …, 2^(X-1):
//     x = x + conv1(norm(PReLU(depthwise(norm(PReLU(conv1(x)))))))             H channels inside, norm over all of an
//     item
//   mask_s = ReLU(conv1(x))_s
//   stem_s = overlap-add of (w mask_s) D, hop L/2                              D: N -> channels x L
//
// There is no skip path. The stems have the length of the mixture; what frames leave over at its end is zero.
// Tensors are (B, T, C); channels of the result are target by target. Gains and offsets of the normalisations, gamma
// and beta (1, C, 1) in the authors' files, are `weight` and `bias` (C) here.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "methods/demucs/configuration.h"
#include "nn/parameters.h"

namespace mss::methods::demucs {

template <class L>
class ConvTasNet {
 public:
  using Scope = typename L::Scope;
  using Tensor = typename L::Tensor;

  ConvTasNet(const Scope& weights, const Configuration& c)
      : c_(c),
        encoder_(weights / "encoder" / "conv1d_U", {.inputs = c.channels,
                                                    .outputs = c.filters,
                                                    .kernel = c.filter_length,
                                                    .stride = c.filter_length / 2,
                                                    .bias = false,
                                                    .activation = nn::Activation::relu}),
        norm_(weights / "separator" / "network" / "0", {.channels = c.filters, .eps = kEps}),
        narrow_(weights / "separator" / "network" / "1", {.inputs = c.filters, .outputs = c.bottleneck, .bias = false}),
        blocks_(blocks(weights / "separator" / "network" / "2", c)),
        masks_(weights / "separator" / "network" / "3",
               {.inputs = c.bottleneck,
                .outputs = static_cast<std::int64_t>(c.targets.size()) * c.filters,
                .bias = false,
                .activation = nn::Activation::relu}),
        decoder_(weights / "decoder" / "basis_signals",
                 {.inputs = c.filters, .outputs = c.channels * c.filter_length, .bias = false}) {}

  /// (B, T, channels) -> (B, T, S * channels), T >= L.
  Tensor forward(const Tensor& mixture) const {
    const Tensor w = encoder_(mixture);
    const std::int64_t items = L::items(w), frames = L::frames(w), size = c_.filter_length;
    Tensor x = narrow_(norm_(w));
    for (const Block& block : blocks_) {
      Tensor y = block.first_norm(block.first_slope(block.wide(x)));
      y = block.second_norm(block.second_slope(block.depthwise(y)));
      x = L::add(block.back(y), x);
    }
    const Tensor masks = masks_(x);
    std::vector<Tensor> stems;
    for (std::int64_t s = 0; s < static_cast<std::int64_t>(c_.targets.size()); ++s) {
      const Tensor masked = L::multiply(L::narrow(masks, 2, s * c_.filters, c_.filters), w);
      // A frame's values are those of one channel after those of another.
      const Tensor pieces = L::transpose(L::reshape(decoder_(masked), items * frames, c_.channels, size));
      const Tensor joined = L::fold(pieces, items, size / 2);
      stems.push_back(L::pad(joined, 0, L::frames(mixture) - L::frames(joined)));
    }
    return stems.size() == 1 ? stems.front() : L::concat(stems, 2);
  }

  const Configuration& configuration() const noexcept { return c_; }

 private:
  static constexpr double kEps = 1e-8;

  struct Block {
    typename L::Conv1d wide;
    typename L::PRelu first_slope;
    typename L::GroupNorm first_norm;
    typename L::Conv1d depthwise;
    typename L::PRelu second_slope;
    typename L::GroupNorm second_norm;
    typename L::Conv1d back;
  };

  static std::vector<Block> blocks(const Scope& place, const Configuration& c) {
    std::vector<Block> out;
    for (std::int64_t r = 0; r < c.repeats; ++r) {
      for (std::int64_t x = 0; x < c.blocks; ++x) {
        const Scope at = place / std::to_string(r) / std::to_string(x) / "net", inner = at / "3" / "net";
        const std::int64_t dilation = std::int64_t{1} << x;
        out.push_back({{at / "0", {.inputs = c.bottleneck, .outputs = c.hidden, .bias = false}},
                       {at / "1", {}},
                       {at / "2", {.channels = c.hidden, .eps = kEps}},
                       {inner / "0",
                        {.inputs = c.hidden,
                         .outputs = c.hidden,
                         .kernel = c.taps,
                         .dilation = dilation,
                         .groups = c.hidden,
                         .padding = (c.taps - 1) * dilation / 2,
                         .bias = false}},
                       {inner / "1", {}},
                       {inner / "2", {.channels = c.hidden, .eps = kEps}},
                       {inner / "3", {.inputs = c.hidden, .outputs = c.bottleneck, .bias = false}}});
      }
    }
    return out;
  }

  Configuration c_;
  typename L::Conv1d encoder_;
  typename L::LayerNorm norm_;
  typename L::Conv1d narrow_;
  std::vector<Block> blocks_;
  typename L::Conv1d masks_;
  typename L::Linear decoder_;
};

}  // namespace mss::methods::demucs
