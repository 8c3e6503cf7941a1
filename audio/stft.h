// Short-time Fourier transform and its inverse, on FFTW, with every framing convention that the specifications name.
//
// Layout of a spectrogram of one channel: N frames x F bins, frame-major (bin k of frame n at n * F + k),
// F = fft_size / 2 + 1. Forward: X[n,k] = s * sum_t w[t] x[n*hop + t - offset] exp(-2 pi i k t / fft_size), with s = 1
// (Scaling::none) or 1 / sum(w) (Scaling::window_sum, SciPy's "spectrum"). A window shorter than fft_size is centred in
// it, zeros around (as torch.stft does). Inverse: overlap-add of w[t] times the inverse FFT, divided by the summed
// squared window (least squares, Griffin & Lim 1984); where that sum is below 1e-11 of its maximum the output is 0.
//
// Framing (T = samples; no samples give no frames in every framing):
//   none      offset 0, N = 1 + floor((T - fft_size) / hop) (0 for T < fft_size). The first and last samples have
//             little or no weight and do not come back.
//   centered  offset fft_size/2, padding on both sides (reflect without repeating the edge, or zeros),
//             N = 1 + floor(T / hop): torch.stft(center=True), librosa. Reflect needs T > fft_size/2; shorter input is
//             extended by repeated reflection (a single sample by itself). The last frame is centred up to hop - 1
//             samples before the end: with hop > window/4 the last samples have little weight.
//   scipy     offset fft_size/2, zeros on both sides, N = 1 + ceil(T / hop): scipy.signal.stft's default (a whole last
//             frame). Input shorter than a frame is padded, where SciPy would shorten the window.
//   toolbox   the NMF toolbox's: symmetric windows (denominator n - 1), offset fft_size/2, zeros on
//             both sides, N = ceil(T / hop) (a frame that would start fft_size/2 before the end is left out). Its
//             inverse divides by the sum of window products that frames have far from the edges, sum_s w^2[t - s*hop]
//             for |s| < round(fft_size / hop), also at the edges: the first fft_size/2 - hop and up to the last
//             fft_size/2 samples come back attenuated.
// Methods that choose none set the framing explicitly; there is no process-wide default.
//
// Plans are made once per (size, direction, precision), with FFTW_ESTIMATE so that the bits do not depend on timing,
// and shared by all objects and threads (planning is behind one mutex, execution is reentrant). Thread-safety: const
// members may be called at once from several threads.
#pragma once

#include <complex>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "audio/buffer.h"
#include "audio/stream.h"
#include "core/stop.h"

namespace mss::audio {

enum class WindowKind { rectangular, hann, hamming, sqrt_hann };
/// Periodic window (denominator n); symmetric = denominator n - 1.
template <class T>
std::vector<T> make_window(WindowKind kind, int size, bool symmetric = false);

enum class Framing { none, centered_reflect, centered_zero, scipy, toolbox };
enum class Scaling { none, window_sum };

struct StftSpec {
  int fft_size = 4096;
  int hop_samples = 1024;
  int window_samples = 0;  ///< 0 = fft_size
  WindowKind window = WindowKind::hann;
  Framing framing = Framing::centered_reflect;
  Scaling scaling = Scaling::none;

  int bins() const noexcept { return fft_size / 2 + 1; }
  friend bool operator==(const StftSpec&, const StftSpec&) = default;
};

/// Complex spectrogram of C channels: frame n of channel c is at(c, n), F contiguous bins.
template <class T>
class Spectrogram {
 public:
  Spectrogram() = default;
  Spectrogram(int channels, std::int64_t frames, int bins)
      : data_(static_cast<std::size_t>(channels) * static_cast<std::size_t>(frames) * static_cast<std::size_t>(bins)),
        frames_(frames),
        channels_(channels),
        bins_(bins) {}
  int channels() const noexcept { return channels_; }
  std::int64_t frames() const noexcept { return frames_; }
  int bins() const noexcept { return bins_; }
  std::complex<T>* at(int c, std::int64_t n) noexcept { return data_.data() + (c * frames_ + n) * bins_; }
  const std::complex<T>* at(int c, std::int64_t n) const noexcept { return data_.data() + (c * frames_ + n) * bins_; }
  std::vector<std::complex<T>>& data() noexcept { return data_; }
  const std::vector<std::complex<T>>& data() const noexcept { return data_; }

 private:
  std::vector<std::complex<T>> data_;
  std::int64_t frames_ = 0;
  int channels_ = 0, bins_ = 0;
};

class StreamingStft;
class StreamingIstft;

/// T = float or double.
template <class T>
class Stft {
 public:
  /// Throws Error(invalid_argument): sizes < 1, hop > window, odd fft_size, window_samples > fft_size.
  explicit Stft(const StftSpec& spec);
  ~Stft();
  Stft(Stft&&) noexcept;
  Stft& operator=(Stft&&) noexcept;

  const StftSpec& spec() const noexcept;
  int bins() const noexcept;
  std::int64_t frames(std::int64_t samples) const;

  /// One channel; `out` holds frames(x.size()) * bins() values.
  void forward(std::span<const T> x, std::complex<T>* out) const;
  /// One channel back to exactly out.size() samples; `frames` must be frames(out.size()).
  void inverse(const std::complex<T>* spectrum, std::int64_t frames, std::span<T> out) const;

  /// All channels, over threads by (channel, block of frames); equal bits for any number.
  Spectrogram<T> forward(AudioView x, int threads = 1) const;
  AudioBuffer inverse(const Spectrogram<T>& spectrum, std::int64_t samples, int rate_hz, int threads = 1) const;

 private:
  friend class StreamingStft;
  friend class StreamingIstft;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

extern template class Stft<float>;
extern template class Stft<double>;

/// The same transform over a stream, in memory of a few frames: push samples of C channels, take the frames that are
/// complete; finish() gives the rest. Frames come out in order and equal Stft<float>::forward bit for bit.
class StreamingStft {
 public:
  StreamingStft(const StftSpec& spec, int channels);
  ~StreamingStft();
  StreamingStft(StreamingStft&&) noexcept;
  StreamingStft& operator=(StreamingStft&&) noexcept;
  Spectrogram<float> push(AudioView block);
  Spectrogram<float> finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The frames of a whole signal, a few dozen at a time and in order: use(frames, index of the first). Equal to
/// forward() bit for bit. `stop` is checked before every block: Error(cancelled).
void for_each_block(AudioView x, const StftSpec& spec, const core::StopToken& stop,
                    const std::function<void(const Spectrogram<float>& frames, std::int64_t first)>& use);

/// Inverse over a stream: push frames in order, get finished samples; finish(total) gives the rest so that all outputs
/// together have `total_samples`; the frames pushed must be frames(total_samples). Equals Stft<float>::inverse bit for
/// bit.
class StreamingIstft {
 public:
  StreamingIstft(const StftSpec& spec, int channels, int rate_hz);
  ~StreamingIstft();
  StreamingIstft(StreamingIstft&&) noexcept;
  StreamingIstft& operator=(StreamingIstft&&) noexcept;
  AudioBuffer push(const Spectrogram<float>& frames);
  AudioBuffer finish(std::int64_t total_samples);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mss::audio
