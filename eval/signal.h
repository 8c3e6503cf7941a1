// A look at one multichannel signal, float32 or float64, planar: channel c starts at data + c * stride.
#pragma once

#include <cstdint>

#include "audio/buffer.h"

namespace mss::eval {

class Signal {
 public:
  Signal() = default;
  Signal(audio::AudioView view)
      : f32_(view.channels() > 0 ? view.channel(0).data() : nullptr),
        samples_(view.samples()),
        stride_(view.channels() > 1 ? view.channel(1).data() - view.channel(0).data() : view.samples()),
        channels_(view.channels()) {}
  Signal(const float* data, int channels, std::int64_t samples, std::int64_t stride)
      : f32_(data), samples_(samples), stride_(stride), channels_(channels) {}
  Signal(const double* data, int channels, std::int64_t samples, std::int64_t stride)
      : f64_(data), samples_(samples), stride_(stride), channels_(channels) {}
  int channels() const noexcept { return channels_; }
  std::int64_t samples() const noexcept { return samples_; }
  bool empty() const noexcept { return channels_ == 0 || samples_ == 0; }
  bool is_float64() const noexcept { return f64_ != nullptr; }
  const float* f32(int c) const noexcept { return f32_ + c * stride_; }
  const double* f64(int c) const noexcept { return f64_ + c * stride_; }
  double operator()(int c, std::int64_t t) const noexcept {
    return f64_ ? f64_[c * stride_ + t] : static_cast<double>(f32_[c * stride_ + t]);
  }

 private:
  const float* f32_ = nullptr;
  const double* f64_ = nullptr;
  std::int64_t samples_ = 0, stride_ = 0;
  int channels_ = 0;
};

}  // namespace mss::eval
