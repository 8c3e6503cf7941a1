// Harmonic-percussive separation by median filtering.
//
// Source: FitzGerald, "Harmonic/percussive separation using median filtering", DAFx 2010; margins and residual:
// Driedger, Müller, Disch, "Extending harmonic-percussive separation of audio signals", ISMIR 2014; conventions:
// librosa.decompose.hpss.
//   h[n,k] = median of v[n-L/2 … n+L/2, k]   (over time)        p[n,k] = median of v[n, k-L/2 … k+L/2]   (over frequency)
//   M_h = h^a / (h^a + (m_h p)^a)                               M_p = p^a / (p^a + (m_p h)^a)
// computed after dividing both terms by their maximum; where both are below the smallest normal number of T the mask is
// 0.5 if both margins are 1, else 0. Boundaries are reflected with the edge repeated (d c b a | a b c d | d c b a).
// With margins above 1 the masks leave a residual.
//
// Layout: magnitudes frame-major, v[n * bins + k], n < frames, k < bins. All functions are pure and give the same bits
// for any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "audio/buffer.h"
#include "audio/stft.h"
#include "methods/median.h"

namespace mss::methods::classic {

struct HpssOptions {
  int kernel_frames = 31;                             ///< odd, >= 1
  int kernel_bins = 31;                               ///< odd, >= 1
  double power = 2;                                   ///< a > 0
  double margin_harmonic = 1, margin_percussive = 1;  ///< >= 1
};

template <class T>
struct HpssMasks {
  std::vector<T> harmonic, percussive;
};

using methods::median_over_bins;
using methods::median_over_time;

template <class T>
HpssMasks<T> hpss_masks(const std::vector<T>& v, std::int64_t frames, int bins, const HpssOptions& options,
                        int threads);

/// Harmonic and percussive part of a stream, in memory of a few hundred frames whatever its length: the STFT, the masks
/// above for each channel by itself, and the inverse. Equal to the same over the whole signal, bit for bit.
class HpssStream {
 public:
  /// Parts that are not wanted are empty and cost no inverse transform.
  struct Wanted {
    bool harmonic = true, percussive = true;
  };
  struct Parts {
    audio::AudioBuffer harmonic, percussive;  ///< equally long where both are wanted
  };
  HpssStream(const audio::StftSpec& spec, const HpssOptions& options, Wanted wanted, int channels, int rate_hz,
             int threads);
  ~HpssStream();
  HpssStream(HpssStream&&) noexcept;

  Parts push(audio::AudioView block);
  /// The rest, so that all parts together have `total_samples`.
  Parts finish(std::int64_t total_samples);

  /// Bytes that such a stream holds, beside its blocks of samples.
  static std::int64_t memory_bytes(const audio::StftSpec& spec, const HpssOptions& options, int channels);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mss::methods::classic
