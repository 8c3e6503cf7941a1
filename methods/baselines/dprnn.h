// DPRNN-ass of the third report, in our reading (docs/baselines.md): a dual-path network (Luo, Chen & Yoshioka 2020) on
// stereo log-magnitude spectrograms, over a layer set L (nn/cpu.h).
//
// Sizes of the report; DprnnSizes has others.
//
//   magnitudes (B, T, 2 F), bin by bin [left, right]     STFT 4096 / 1024
//     │ log(1 + x), standardised per channel and bin, linear to 128
//     │ segments of 32 frames, one every 16 (zeros behind the last frame)
//     │ 4 blocks: x + norm(linear(BLSTM 128(x))) along the frames of a segment, then likewise along the segments
//     │ overlapping segments added up
//     ▼ 1x1 to 2 F, 3x3 over frames and bins with both channels, sigmoid
//   masks (B, T, 2 F)
//
// The 3x3 convolution over (frames, bins) is one over bins whose inputs are the channels of three neighbouring frames.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/parameters.h"

namespace mss::methods::baselines {

/// x + norm(linear(BLSTM(x))) along the frames of x.
template <class L>
class DualPathStep {
 public:
  DualPathStep(const typename L::Scope& w, std::int64_t features, std::int64_t hidden)
      : lstm_(w / "lstm", {.inputs = features, .hidden = hidden}),
        linear_(w / "fc", {.inputs = 2 * hidden, .outputs = features}),
        norm_(w / "norm", {.channels = features}) {}
  typename L::Tensor operator()(const typename L::Tensor& x) const { return L::add(norm_(linear_(lstm_(x))), x); }

 private:
  typename L::Lstm lstm_;
  typename L::Linear linear_;
  typename L::LayerNorm norm_;
};

/// Features between the blocks, hidden units of an LSTM per direction, blocks: the report's unless weights say others.
struct DprnnSizes {
  std::int64_t features = 128, hidden = 128, blocks = 4;
};

template <class L>
class Dprnn {
 public:
  using Tensor = typename L::Tensor;
  static constexpr std::int64_t kFft = 4096, kHop = 1024, kBins = kFft / 2 + 1;
  static constexpr std::int64_t kSegment = 32, kStep = 16;

  explicit Dprnn(const typename L::Scope& w, const DprnnSizes& sizes = {})
      : mean_(w, "input_mean", {.channels = 2 * kBins, .init = {}, .trained = false}),
        scale_(w, "input_scale", {.channels = 2 * kBins, .init = {nn::Init::Kind::constant, 1.0}, .trained = false}),
        encoder_(w / "encoder", {.inputs = 2 * kBins, .outputs = sizes.features}),
        pointwise_(w / "pointwise", {.inputs = sizes.features, .outputs = 2 * kBins}),
        head_(w / "head",
              {.inputs = 6, .outputs = 2, .kernel = 3, .padding = 1, .activation = nn::Activation::sigmoid}) {
    for (std::int64_t b = 0; b < sizes.blocks; ++b) {
      const auto block = w / "blocks" / std::to_string(b);
      within_.emplace_back(block / "intra", sizes.features, sizes.hidden);
      across_.emplace_back(block / "inter", sizes.features, sizes.hidden);
    }
  }

  Tensor forward(const Tensor& magnitudes) const {
    const std::int64_t items = L::items(magnitudes), frames = L::frames(magnitudes);
    const Tensor h = encoder_(scale_.multiply(mean_.add(L::log1p(magnitudes))));
    const std::int64_t count = frames <= kSegment ? 1 : (frames - kSegment + kStep - 1) / kStep + 1;
    Tensor x = L::unfold(L::pad(h, 0, (count - 1) * kStep + kSegment - frames), kSegment, kStep);
    for (std::size_t b = 0; b < within_.size(); ++b) {
      x = within_[b](x);
      x = L::exchange_within(across_[b](L::exchange_within(x, count)), kSegment);
    }
    const Tensor image = L::pad(pointwise_(L::narrow(L::fold(x, items, kStep), 1, 0, frames)), 1, 1);
    std::vector<Tensor> neighbours;
    for (std::int64_t d = 0; d < 3; ++d)
      neighbours.push_back(L::reshape(L::narrow(image, 1, d, frames), items * frames, kBins, 2));
    return L::reshape(head_(L::concat(neighbours, 2)), items, frames, 2 * kBins);
  }

 private:
  typename L::Vector mean_, scale_;
  typename L::Linear encoder_, pointwise_;
  typename L::Conv1d head_;
  std::vector<DualPathStep<L>> within_, across_;
};

}  // namespace mss::methods::baselines
