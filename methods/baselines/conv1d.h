// The convolutional baseline of the third report: four convolutions of 15 samples on the waveform, 2 -> 32 -> 64 -> 32 ->
// 2 channels, ReLU after the first three. It sees 57 samples, 1.3 ms at 44.1 kHz. Padding is not stated there; 7 on both
// sides keeps the length. 63490 trained numbers, over a layer set L (nn/cpu.h).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "nn/parameters.h"

namespace mss::methods::baselines {

template <class L>
class Conv1dBaseline {
 public:
  static constexpr std::array<std::int64_t, 5> kChannels = {2, 32, 64, 32, 2};
  static constexpr std::int64_t kKernel = 15, kPadding = 7;
  /// Samples on either side that a sample of the result depends on.
  static constexpr std::int64_t kReach = 4 * kPadding;

  explicit Conv1dBaseline(const typename L::Scope& w) {
    for (std::size_t i = 0; i + 1 < kChannels.size(); ++i) {
      const bool last = i + 2 == kChannels.size();
      layers_.emplace_back(w / std::to_string(i),
                           nn::Conv1dOptions{.inputs = kChannels[i],
                                             .outputs = kChannels[i + 1],
                                             .kernel = kKernel,
                                             .padding = kPadding,
                                             .activation = last ? nn::Activation::none : nn::Activation::relu});
    }
  }

  /// Waveforms (B, T, 2) -> the target's.
  typename L::Tensor forward(const typename L::Tensor& x) const {
    typename L::Tensor y = x;
    for (const auto& layer : layers_) y = layer(y);
    return y;
  }

 private:
  std::vector<typename L::Conv1d> layers_;
};

}  // namespace mss::methods::baselines
