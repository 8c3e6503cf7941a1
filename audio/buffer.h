// Audio in memory: float32, planar, (channels C, samples T). Full scale is +-1; nothing here clips or rescales.
// AudioBuffer owns, AudioView and AudioSpan look. Views are cheap to copy and do not keep the samples alive.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mss::audio {

/// Read-only look at planar samples: channel c starts at data + c * stride.
class AudioView {
 public:
  AudioView() = default;
  AudioView(const float* data, int channels, std::int64_t samples, std::int64_t stride, int rate_hz)
      : data_(data), samples_(samples), stride_(stride), channels_(channels), rate_hz_(rate_hz) {}
  int channels() const noexcept { return channels_; }
  std::int64_t samples() const noexcept { return samples_; }
  int rate_hz() const noexcept { return rate_hz_; }
  double seconds() const noexcept { return rate_hz_ > 0 ? static_cast<double>(samples_) / rate_hz_ : 0.0; }
  bool empty() const noexcept { return samples_ == 0 || channels_ == 0; }
  std::span<const float> channel(int c) const noexcept {
    return {data_ + c * stride_, static_cast<std::size_t>(samples_)};
  }
  /// Samples [begin, begin + count) of every channel; throws Error(invalid_argument) outside the view.
  AudioView slice(std::int64_t begin, std::int64_t count) const;

 private:
  const float* data_ = nullptr;
  std::int64_t samples_ = 0, stride_ = 0;
  int channels_ = 0, rate_hz_ = 0;
};

/// The same, writable.
class AudioSpan {
 public:
  AudioSpan() = default;
  AudioSpan(float* data, int channels, std::int64_t samples, std::int64_t stride, int rate_hz)
      : data_(data), samples_(samples), stride_(stride), channels_(channels), rate_hz_(rate_hz) {}
  int channels() const noexcept { return channels_; }
  std::int64_t samples() const noexcept { return samples_; }
  int rate_hz() const noexcept { return rate_hz_; }
  std::span<float> channel(int c) const noexcept { return {data_ + c * stride_, static_cast<std::size_t>(samples_)}; }
  AudioSpan slice(std::int64_t begin, std::int64_t count) const;
  operator AudioView() const noexcept { return {data_, channels_, samples_, stride_, rate_hz_}; }

 private:
  float* data_ = nullptr;
  std::int64_t samples_ = 0, stride_ = 0;
  int channels_ = 0, rate_hz_ = 0;
};

/// Owning planar buffer, zero-initialised.
class AudioBuffer {
 public:
  AudioBuffer() = default;
  /// Throws Error(invalid_argument) for negative sizes, channels above 64 or a rate outside [1, 768000] Hz.
  AudioBuffer(int channels, std::int64_t samples, int rate_hz);
  explicit AudioBuffer(AudioView copy_of);

  int channels() const noexcept { return channels_; }
  std::int64_t samples() const noexcept { return samples_; }
  int rate_hz() const noexcept { return rate_hz_; }
  double seconds() const noexcept { return view().seconds(); }
  bool empty() const noexcept { return view().empty(); }
  std::span<float> channel(int c) noexcept { return span().channel(c); }
  std::span<const float> channel(int c) const noexcept { return view().channel(c); }
  AudioView view() const noexcept { return {data_.data(), channels_, samples_, samples_, rate_hz_}; }
  AudioSpan span() noexcept { return {data_.data(), channels_, samples_, samples_, rate_hz_}; }
  operator AudioView() const noexcept { return view(); }
  /// Cuts or zero-pads at the end.
  void resize(std::int64_t samples);

 private:
  std::vector<float> data_;
  std::int64_t samples_ = 0;
  int channels_ = 0, rate_hz_ = 0;
};

/// First sample that is NaN or infinite, as (channel, sample), or {-1, -1}.
struct SamplePosition {
  int channel = -1;
  std::int64_t sample = -1;
};
SamplePosition find_non_finite(AudioView audio) noexcept;
bool is_silent(AudioView audio) noexcept;    ///< every sample exactly zero
double energy(AudioView audio) noexcept;     ///< sum of squares over samples and channels, in float64
void add_to(AudioSpan sum, AudioView term);  ///< sum += term; throws Error(invalid_argument) on a shape mismatch
bool same_shape(AudioView a, AudioView b) noexcept;  ///< channels, samples and rate

}  // namespace mss::audio
