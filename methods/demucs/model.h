// Demucs v1 and v2, the light model and its extension by a decoder for every target, over any layer set.
//
//   x = (mixture - mean) / (1e-5 + std)       [normalize: of each item's mono mixture, std unbiased; else 0 and 1]
//   x = resample(x, 1 -> 2)                   [resample]
//   for i < depth:   x = E_i(x), kept         E_i: conv(kernel, stride), ReLU, conv(1), GLU
//   x = linear(BLSTM(x))                      [the unidirectional LSTM needs no linear layer]
//   for i = depth-1 … 0:  x = D_i(x + trimmed E_i)   D_i: conv(context), GLU, transposed conv(kernel, stride), ReLU (i
//   > 0) x = resample(x, 2 -> 1) stems = x std + mean
//
// Source: facebookresearch/demucs, branch v2, demucs/model.py (v1: no resampling, no normalisation, mixture as it is).
// Tensors are (B, T, C); the stems are channels, target by target: index s * channels + c. The result lies in the
// middle of the input and is shorter (configuration.h: valid_length, output_length).
//
// encode(), recur() and decode() stand by themselves, because segments are encoded and decoded one by one, but go
// through the LSTM together.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "methods/demucs/configuration.h"
#include "nn/parameters.h"
#include "nn/sequences.h"

namespace mss::methods::demucs {

template <class L>
class Demucs {
 public:
  using Scope = typename L::Scope;
  using Tensor = typename L::Tensor;

  /// A mixture on its way to the stems.
  struct Encoded {
    std::vector<Tensor> levels;       ///< E_0(x) … E_{depth-1}(…)
    std::optional<Tensor> mean, std;  ///< (B, 1, 1) where the network normalises
  };

  Demucs(const Scope& weights, const Configuration& c) : c_(c), up_(filter(1, 2)), down_(filter(2, 1)) {
    const nn::Activation gate = c.glu ? nn::Activation::glu : nn::Activation::relu;
    for (std::int64_t i = 0; i < c.depth; ++i) {
      const Scope place = weights / "encoder" / std::to_string(i);
      const std::int64_t in = i == 0 ? c.channels : level_channels(c, i - 1), out = level_channels(c, i);
      Level level;
      level.strided.emplace(place / "0", nn::Conv1dOptions{.inputs = in,
                                                           .outputs = out,
                                                           .kernel = c.kernel,
                                                           .stride = c.stride,
                                                           .activation = nn::Activation::relu});
      if (c.rewrite) {
        level.rewrite.emplace(place / "2", nn::Conv1dOptions{.inputs = out, .outputs = out, .activation = gate});
      }
      encoder_.push_back(std::move(level));
    }
    const auto stems = static_cast<std::int64_t>(c.targets.size());
    if (c.decoder_per_target) {
      for (std::int64_t s = 0; s < stems; ++s) {
        decoders_.push_back(decoder(weights / "decoders" / std::to_string(s), c.channels, gate));
      }
    } else {
      decoders_.push_back(decoder(weights / "decoder", stems * c.channels, gate));
    }
    if (c.lstm_layers > 0) {
      const std::int64_t top = level_channels(c, c.depth - 1);
      lstm_.emplace(weights / "lstm" / "lstm",
                    nn::LstmOptions{
                        .inputs = top, .hidden = top, .layers = c.lstm_layers, .bidirectional = c.lstm_bidirectional});
      if (c.lstm_bidirectional) {
        linear_.emplace(weights / "lstm" / "linear", nn::LinearOptions{.inputs = 2 * top, .outputs = top});
      }
    }
  }

  Encoded encode(Tensor x) const {
    Encoded out;
    if (c_.normalize) {
      Tensor mono = L::narrow(x, 2, 0, 1);
      for (std::int64_t ch = 1; ch < c_.channels; ++ch) mono = L::add(mono, L::narrow(x, 2, ch, 1));
      mono = L::scale(mono, 1.0 / static_cast<double>(c_.channels));
      out.mean = L::mean_frames(mono);
      const Tensor centred = L::add(mono, L::scale(*out.mean, -1.0));
      const auto n = static_cast<double>(L::frames(x));
      out.std = L::sqrt(L::scale(L::mean_frames(L::multiply(centred, centred)), n / (n - 1.0)));
      x = L::multiply(L::add(x, L::scale(repeated(*out.mean, c_.channels), -1.0)),
                      L::reciprocal(L::scale(repeated(*out.std, c_.channels), 1.0, 1e-5)));
    } else if (c_.version != 1) {
      x = L::scale(x, 1.0 / (1.0 + 1e-5));
    }
    if (c_.resample) x = up_(x);
    for (const Level& level : encoder_) {
      x = (*level.strided)(x);
      if (level.rewrite) x = (*level.rewrite)(x);
      out.levels.push_back(x);
    }
    return out;
  }

  /// The innermost levels of several mixtures, (1, T_i, C) or equal batches, through the LSTM.
  std::vector<Tensor> recur(const std::vector<Tensor>& innermost) const {
    if (!lstm_) return innermost;
    std::vector<Tensor> out = nn::run_sequences<L>(*lstm_, innermost);
    if (linear_) {
      for (Tensor& x : out) x = (*linear_)(x);
    }
    return out;
  }

  /// Step j = 0 … depth-1 of a decoder: x (with the LSTM's result before the first) and the kept level depth-1-j.
  Tensor decode_level(std::size_t decoder, std::int64_t j, Tensor x, Tensor kept) const {
    const DecoderLevel& level = decoders_[decoder][static_cast<std::size_t>(j)];
    x = L::add(x, trimmed(kept, L::frames(x)));
    kept = Tensor();
    if (level.rewrite) x = (*level.rewrite)(x);
    return (*level.transposed)(x);
  }

  /// (B, T', S * channels). Lets go of the kept levels as it uses them.
  Tensor decode(const Tensor& recurred, Encoded encoded) const {
    std::vector<Tensor> parts;
    for (std::size_t d = 0; d < decoders_.size(); ++d) {
      Tensor x = recurred;
      for (std::int64_t j = 0; j < c_.depth; ++j) {
        const auto i = static_cast<std::size_t>(c_.depth - 1 - j);
        Tensor kept = encoded.levels[i];
        if (d + 1 == decoders_.size()) encoded.levels[i] = Tensor();
        x = decode_level(d, j, std::move(x), std::move(kept));
      }
      if (c_.resample) x = down_(x);
      parts.push_back(std::move(x));
    }
    Tensor x = parts.size() == 1 ? parts.front() : L::concat(parts, 2);
    if (encoded.mean) {
      const std::int64_t rows = L::channels(x);
      x = L::add(L::multiply(x, repeated(*encoded.std, rows)), repeated(*encoded.mean, rows));
    }
    return x;
  }

  /// All of it: (B, T, channels) -> (B, T', S * channels).
  Tensor forward(const Tensor& mixture) const {
    Encoded encoded = encode(mixture);
    const std::vector<Tensor> recurred = recur({encoded.levels.back()});
    return decode(recurred.front(), std::move(encoded));
  }

  const Configuration& configuration() const noexcept { return c_; }

 private:
  struct Level {
    std::optional<typename L::Conv1d> strided, rewrite;
  };
  struct DecoderLevel {
    std::optional<typename L::Conv1d> rewrite;
    std::optional<typename L::ConvTranspose1d> transposed;
  };

  static typename L::FilterBank filter(std::int64_t before, std::int64_t after) {
    SincTaps made = sinc_taps(before, after);
    return typename L::FilterBank(made.phases, made.stride, made.width, std::move(made.taps));
  }

  std::vector<DecoderLevel> decoder(const Scope& place, std::int64_t outputs, nn::Activation gate) const {
    std::vector<DecoderLevel> levels;
    for (std::int64_t j = 0; j < c_.depth; ++j) {
      const std::int64_t i = c_.depth - 1 - j, in = level_channels(c_, i);
      const Scope at = place / std::to_string(j);
      DecoderLevel level;
      if (c_.rewrite) {
        level.rewrite.emplace(at / "0",
                              nn::Conv1dOptions{.inputs = in, .outputs = in, .kernel = c_.context, .activation = gate});
      }
      // Without the convolution in front, the transposed one is the first of its sequence.
      level.transposed.emplace(
          at / (c_.rewrite ? "2" : "0"),
          nn::ConvTranspose1dOptions{.inputs = in,
                                     .outputs = i == 0 ? outputs : level_channels(c_, i - 1),
                                     .kernel = c_.kernel,
                                     .stride = c_.stride,
                                     .activation = i == 0 ? nn::Activation::none : nn::Activation::relu});
      levels.push_back(std::move(level));
    }
    return levels;
  }

  /// The middle `frames` frames; one more is cut at the end where the difference is odd.
  static Tensor trimmed(const Tensor& x, std::int64_t frames) {
    const std::int64_t more = L::frames(x) - frames;
    MSS_ASSERT(more >= 0);
    return L::narrow(x, 1, more / 2, frames);
  }

  static Tensor repeated(const Tensor& x, std::int64_t channels) {
    return L::concat(std::vector<Tensor>(static_cast<std::size_t>(channels), x), 2);
  }

  Configuration c_;
  typename L::FilterBank up_, down_;
  std::vector<Level> encoder_;
  std::vector<std::vector<DecoderLevel>> decoders_;
  std::optional<typename L::Lstm> lstm_;
  std::optional<typename L::Linear> linear_;
};

}  // namespace mss::methods::demucs
