// The Band-split RNN (Luo & Yu 2022, arXiv 2209.15174, section III), over a layer set L (nn/cpu.h).
//
//   spectrum of an item (B, T, 2 F c), per channel [re | im]; c = 1, or 2 where a vector holds both channels
//     │ split: per band k   norm, linear to N                                        -> (K B, T, N), item k B + b
//     │ pairs × L           over time:  x + linear(BLSTM(norm(x)))     sequences of T frames, one per band and item
//     │                     over bands: x + linear(BLSTM(norm(x)))     sequences of K bands, one per frame and item
//     │                     options: TAC between the channels, attention over the frames
//     ▼ masks: per target and band  norm, tanh layers, gated linear to 2 G c; mask × spectrum, complex
//   spectra of the targets, each as the input
//
// In a time step all bands and items are one batch, in a band step all frames and items are.
//
// Where TAC couples channels, items 2 j and 2 j + 1 are the channels of a chunk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "methods/bsrnn/configuration.h"
#include "nn/parameters.h"

namespace mss::methods::bsrnn {

/// The norm before a band's projection or mask.
template <class L>
class Norm {
 public:
  Norm(const typename L::Scope& w, BandNorm kind, std::int64_t channels, std::int64_t frames, bool channels_first,
       double eps) {
    if (kind == BandNorm::chunk) {
      chunk_.emplace(w, nn::GroupNormOptions{.channels = channels, .groups = 1, .eps = eps});
    } else {
      layer_.emplace(w, nn::LayerNormOptions{.channels = channels,
                                             .frames = kind == BandNorm::element ? frames : 0,
                                             .eps = eps,
                                             .channels_first = channels_first && kind == BandNorm::element});
    }
  }
  typename L::Tensor operator()(const typename L::Tensor& x) const { return chunk_ ? (*chunk_)(x) : (*layer_)(x); }

 private:
  std::optional<typename L::GroupNorm> chunk_;
  std::optional<typename L::LayerNorm> layer_;
};

/// x + linear(BLSTM(norm(x))) along the frames of x.
template <class L>
class ResidualLstm {
 public:
  ResidualLstm(const typename L::Scope& w, const Configuration& c)
      : norm_(w / "norm", {.channels = c.features, .groups = c.block_groups, .eps = c.eps}),
        lstm_(w / "lstm", {.inputs = c.features, .hidden = c.lstm_hidden}),
        linear_(w / "fc", {.inputs = 2 * c.lstm_hidden, .outputs = c.features}) {}
  typename L::Tensor operator()(const typename L::Tensor& x) const { return L::add(linear_(lstm_(norm_(x))), x); }

 private:
  typename L::GroupNorm norm_;
  typename L::Lstm lstm_;
  typename L::Linear linear_;
};

/// Transform-average-concatenate between the two channels of a chunk, for every band and frame (Luo et al. 2020, as
/// magronp/bsrnn has it): v = a(W x), r = a(W mean over channels of v), x + a(W [v, r]).
template <class L>
class Tac {
 public:
  Tac(const typename L::Scope& w, const Configuration& c) : prelu_(c.tac_prelu), hidden_(c.tac_hidden) {
    transform_.emplace(w / "transform", nn::LinearOptions{.inputs = c.features, .outputs = hidden_});
    average_.emplace(w / "average", nn::LinearOptions{.inputs = hidden_, .outputs = hidden_});
    concat_.emplace(w / "concat", nn::LinearOptions{.inputs = 2 * hidden_, .outputs = c.features});
    if (prelu_) act_.emplace(w / "act", nn::PReluOptions{});
  }
  /// x: (T B, K, N), items 2 j and 2 j + 1 the channels.
  typename L::Tensor operator()(const typename L::Tensor& x) const {
    const std::int64_t items = L::items(x), bands = L::frames(x);
    const auto v = act((*transform_)(x));
    const auto mean = L::mean_frames(L::reshape(v, items / 2, 2, bands * hidden_));
    const auto r = act((*average_)(L::reshape(mean, items / 2, bands, hidden_)));
    const auto line = L::reshape(r, items / 2, 1, bands * hidden_);
    const auto both = L::reshape(L::concat({line, line}, 1), items, bands, hidden_);
    return L::add(act((*concat_)(L::concat({v, both}, 2))), x);
  }

 private:
  typename L::Tensor act(const typename L::Tensor& x) const { return prelu_ ? (*act_)(x) : L::tanh(x); }
  bool prelu_;
  std::int64_t hidden_;
  std::optional<typename L::Linear> transform_, average_, concat_;
  std::optional<typename L::PRelu> act_;
};

/// Full-band self-attention over the frames (TF-GridNet, Wang et al. 2023, as magronp/bsrnn has it).
template <class L>
class FrameAttention {
 public:
  FrameAttention(const typename L::Scope& w, const Configuration& c) {
    for (std::int64_t h = 0; h < c.attention_heads; ++h) {
      const auto head = w / std::to_string(h);
      heads_.push_back({Part(head / "query", c, c.attention_width), Part(head / "key", c, c.attention_width),
                        Part(head / "value", c, c.features / c.attention_heads)});
    }
    output_.emplace(w / "output", c, c.features);
  }
  /// x: (T B, K, N) of `frames` T.
  typename L::Tensor operator()(const typename L::Tensor& x, std::int64_t frames) const {
    const std::int64_t items = L::items(x) / frames, bands = L::frames(x);
    // (T B, K, C) -> (B, T, K C)
    const auto lines = [&](const typename L::Tensor& y) {
      return L::exchange(L::reshape(y, frames * items, 1, bands * L::channels(y)), frames);
    };
    std::vector<typename L::Tensor> parts;
    for (const Head& head : heads_) {
      const auto value = lines(head.value(x));
      const auto y = L::attention(lines(head.query(x)), lines(head.key(x)), value, 1);
      parts.push_back(L::reshape(L::exchange(y, items), frames * items, bands, L::channels(value) / bands));
    }
    return L::add((*output_)(L::concat(parts, 2)), x);
  }

 private:
  /// PReLU(W x), normalised over bands and channels of each frame.
  struct Part {
    Part(const typename L::Scope& w, const Configuration& c, std::int64_t width)
        : linear(w / "fc", {.inputs = c.features, .outputs = width}),
          act(w / "act", {}),
          norm(w / "norm", {.channels = width, .frames = c.bands(), .eps = 1e-7, .channels_first = true}) {}
    typename L::Tensor operator()(const typename L::Tensor& x) const { return norm(act(linear(x))); }
    typename L::Linear linear;
    typename L::PRelu act;
    typename L::LayerNorm norm;
  };
  struct Head {
    Part query, key, value;
  };
  std::vector<Head> heads_;
  std::optional<Part> output_;
};

/// The mask of one target in one band: (B, T, N) -> (B, T, 2 G c), per channel [re | im].
template <class L>
class BandMask {
 public:
  BandMask(const typename L::Scope& w, const Configuration& c, std::int64_t width)
      : norm_(w / "norm", c.mask_norm, c.features, c.norm_frames, false, c.eps) {
    std::int64_t inputs = c.features;
    for (std::int64_t i = 0; i < c.mask_layers; ++i) {
      layers_.emplace_back(
          w / "hidden" / std::to_string(i),
          nn::LinearOptions{.inputs = inputs, .outputs = c.mask_hidden, .activation = nn::Activation::tanh});
      inputs = c.mask_hidden;
    }
    const std::int64_t values = 2 * width * c.item_channels();
    if (c.gate_layer) {
      layers_.emplace_back(w / "values", nn::LinearOptions{.inputs = inputs, .outputs = values});
      inputs = values;
    }
    layers_.emplace_back(w / "gated",
                         nn::LinearOptions{.inputs = inputs, .outputs = values, .activation = nn::Activation::glu});
  }
  typename L::Tensor operator()(const typename L::Tensor& x) const {
    auto y = norm_(x);
    for (const auto& layer : layers_) y = layer(y);
    return y;
  }

 private:
  Norm<L> norm_;
  std::vector<typename L::Linear> layers_;
};

/// Complex masks that are shifted so that they sum to 1: re_s -= (sum re - 1) / S, im_s -= sum im / S. Masks are
/// (B, T, 2 F), [re | im].
template <class L>
std::vector<typename L::Tensor> project_masks(const std::vector<typename L::Tensor>& masks) {
  const std::int64_t bins = L::channels(masks.front()) / 2;
  const double share = 1.0 / static_cast<double>(masks.size());
  auto total = masks.front();
  for (std::size_t s = 1; s < masks.size(); ++s) total = L::add(total, masks[s]);
  const auto shift = L::concat(
      {L::scale(L::narrow(total, 2, 0, bins), -share, share), L::scale(L::narrow(total, 2, bins, bins), -share)}, 2);
  std::vector<typename L::Tensor> out;
  for (const auto& mask : masks) out.push_back(L::add(mask, shift));
  return out;
}

template <class L>
class BandSplitRnn {
 public:
  using Tensor = typename L::Tensor;
  using Tensors = std::vector<Tensor>;

  BandSplitRnn(const typename L::Scope& w, const Configuration& c) : c_(c), edges_(band_edges(c.widths)) {
    for (std::int64_t k = 0; k < c.bands(); ++k) {
      const auto band = w / "split" / std::to_string(k);
      const std::int64_t inputs = 2 * width(k) * c.item_channels();
      split_.emplace_back(Norm<L>(band / "norm", c.band_norm, inputs, c.norm_frames, true, c.eps),
                          typename L::Linear(band / "fc", {.inputs = inputs, .outputs = c.features}));
    }
    for (std::int64_t l = 0; l < c.pairs; ++l) {
      const auto pair = w / "pairs" / std::to_string(l);
      pairs_.push_back({ResidualLstm<L>(pair / "time", c), ResidualLstm<L>(pair / "band", c), {}, {}});
      if (c.tac_hidden > 0) pairs_.back().tac.emplace(pair / "tac", c);
      if (c.attention_heads > 0) pairs_.back().attention.emplace(pair / "attention", c);
    }
    for (std::int64_t s = 0; s < c.masks(); ++s) {
      masks_.emplace_back();
      for (std::int64_t k = 0; k < c.bands(); ++k)
        masks_.back().emplace_back(w / "masks" / std::to_string(s) / std::to_string(k), c, width(k));
    }
  }

  const Configuration& configuration() const noexcept { return c_; }

  /// (B, T, 2 F c) -> (K B, T, N).
  Tensor split(const Tensor& spectrum) const {
    Tensors bands;
    for (std::int64_t k = 0; k < c_.bands(); ++k) {
      const auto& [norm, linear] = split_[static_cast<std::size_t>(k)];
      bands.push_back(linear(norm(band_of(spectrum, k))));
    }
    return L::concat(bands, 0);
  }

  Tensor over_time(const Tensor& x, std::int64_t pair) const { return at(pair).time(x); }
  /// The band step and what follows it in a pair.
  Tensor over_bands(const Tensor& x, std::int64_t pair) const {
    const std::int64_t frames = L::frames(x);
    Tensor y = at(pair).band(L::exchange(x, c_.bands()));
    if (at(pair).tac) y = (*at(pair).tac)(y);
    if (at(pair).attention) y = (*at(pair).attention)(y, frames);
    return L::exchange(y, frames);
  }

  /// (K B, T, N) -> one mask (B, T, 2 F c) per target that has one.
  Tensors masks(const Tensor& x) const {
    const std::int64_t items = L::items(x) / c_.bands();
    Tensors out;
    for (const auto& masks : masks_) {
      Tensors bands;
      for (std::int64_t k = 0; k < c_.bands(); ++k)
        bands.push_back(masks[static_cast<std::size_t>(k)](L::narrow(x, 0, k * items, items)));
      out.push_back(spectrum_of(bands));
    }
    return c_.projection ? project_masks<L>(out) : out;
  }

  /// Spectra of all targets.
  Tensors forward(const Tensor& spectrum) const {
    return forward(spectrum, spectrum, [](const auto& step, const Tensor& x) { return step(x); });
  }
  /// The same with masks that are found from `seen`, and with every recurrent step called through `run(step, x)`, which
  /// yields step(x): training hides parts of what the network sees, and keeps less (nn/torch/trainable_torch.h,
  /// feature_mask and recomputed()).
  template <class Run>
  Tensors forward(const Tensor& seen, const Tensor& spectrum, const Run& run) const {
    Tensor x = split(seen);
    for (std::int64_t l = 0; l < c_.pairs; ++l) {
      x = run([this, l](const Tensor& y) { return over_time(y, l); }, x);
      x = run([this, l](const Tensor& y) { return over_bands(y, l); }, x);
    }
    Tensors out;
    for (const Tensor& mask : masks(x)) out.push_back(apply(mask, spectrum));
    if (c_.subtract_last) {
      Tensor rest = spectrum;
      for (const Tensor& target : out) rest = L::add(rest, L::scale(target, -1.0));
      out.push_back(rest);
    }
    return out;
  }

 private:
  struct Pair {
    ResidualLstm<L> time, band;
    std::optional<Tac<L>> tac;
    std::optional<FrameAttention<L>> attention;
  };
  const Pair& at(std::int64_t pair) const { return pairs_[static_cast<std::size_t>(pair)]; }
  std::int64_t width(std::int64_t k) const { return c_.widths[static_cast<std::size_t>(k)]; }

  /// Bins of band k: per channel [re | im] of G values.
  Tensor band_of(const Tensor& spectrum, std::int64_t k) const {
    Tensors parts;
    for (std::int64_t half = 0; half < 2 * c_.item_channels(); ++half)
      parts.push_back(L::narrow(spectrum, 2, half * c_.bins() + edges_[static_cast<std::size_t>(k)], width(k)));
    return L::concat(parts, 2);
  }
  Tensor spectrum_of(const Tensors& bands) const {
    Tensors parts;
    for (std::int64_t half = 0; half < 2 * c_.item_channels(); ++half) {
      for (std::int64_t k = 0; k < c_.bands(); ++k)
        parts.push_back(L::narrow(bands[static_cast<std::size_t>(k)], 2, half * width(k), width(k)));
    }
    return L::concat(parts, 2);
  }
  Tensor apply(const Tensor& mask, const Tensor& spectrum) const {
    if (!c_.joint) return L::complex_multiply(mask, spectrum);
    const std::int64_t each = 2 * c_.bins();
    Tensors channels;
    for (std::int64_t c = 0; c < c_.item_channels(); ++c)
      channels.push_back(
          L::complex_multiply(L::narrow(mask, 2, c * each, each), L::narrow(spectrum, 2, c * each, each)));
    return L::concat(channels, 2);
  }

  Configuration c_;
  std::vector<std::int64_t> edges_;
  std::vector<std::pair<Norm<L>, typename L::Linear>> split_;
  std::vector<Pair> pairs_;
  std::vector<std::vector<BandMask<L>>> masks_;
};

}  // namespace mss::methods::bsrnn
