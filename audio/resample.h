// Sample-rate conversion with libsamplerate (SRC_SINC_BEST_QUALITY: 144 dB SNR, 97 % bandwidth).
//
// y[m] = x(m / to) of the band-limited signal x(t); outside [0, T) the input counts as zeros.
// Alignment: sample 0 stays at time 0 (the converter's delay is removed) and the output has exactly
// round(T * to / from) samples, whatever the block sizes. The way back takes the wanted length (PushResampler::finish),
// so that there-and-back gives the input's length for every pair of rates. Deterministic: equal bits for any block
// size, because the converter is always fed whole internal blocks.
//
// Errors: Error(invalid_argument) for rates below 1 Hz or another channel count than promised; Error(unsupported) for
// ratios outside [1/256, 256]. Thread-safety: each object belongs to one thread at a time.
#pragma once

#include <memory>

#include "audio/buffer.h"
#include "audio/stream.h"

namespace mss::audio {

/// round(samples * to_hz / from_hz), halves up, in exact integer arithmetic.
std::int64_t resampled_length(std::int64_t samples, int from_hz, int to_hz);

AudioBuffer resample(AudioView audio, int to_hz);
/// Streams; equal rates pass through. `source` must outlive the result.
std::unique_ptr<Source> resample(Source& source, int to_hz);

/// Push interface of the same converter, for stems on their way back: push blocks, then finish with the exact number
/// of output samples wanted (padding with zeros or cutting at the end).
class PushResampler {
 public:
  PushResampler(int channels, int from_hz, int to_hz);
  ~PushResampler();
  PushResampler(PushResampler&&) noexcept;
  PushResampler& operator=(PushResampler&&) noexcept;
  /// Output that became available; may be empty.
  AudioBuffer push(AudioView block);
  /// The rest, so that all outputs together have `total_output_samples`.
  AudioBuffer finish(std::int64_t total_output_samples);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mss::audio
