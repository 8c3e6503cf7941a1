// Cues: what a point of the mixture's spectrogram looks like says whose it may be, whatever its spectrum.
//
// Two cues in [0, 1] of every frame n and bin k, alike in all channels:
//   percussive  p = F / (F + T), F and T the medians of the channels' mean |X| over 31 bins and over 17 frames
//               (methods/median.h; FitzGerald 2010): 1 for clicks, 0 for held tones;
//   side        s = sqrt(D / (M + D)), M = |L + R|^2 and D = |L - R|^2, each the mean of three frames: 0 in the centre,
//               0.71 for one side alone, 1 in opposite phase. Only where there are two channels.
// Calibrations (calibration.h) weigh them against the masks. Silent points count as p = s = 0. The same bits for any
// number of threads.
#pragma once

#include <complex>
#include <cstdint>
#include <functional>
#include <vector>

#include "audio/buffer.h"
#include "audio/stft.h"
#include "core/stop.h"

namespace mss::methods::nmf {

/// Both cues in steps of 1 / 255, frame-major [n * bins + k]; `side` is empty unless there are two channels.
struct Cues {
  std::int64_t frames = 0, bins = 0;
  std::vector<std::uint8_t> percussive, side;
};

/// The cues of a spectrogram that comes in blocks. A frame's cues need the eight frames after it, so frames are handed
/// on that much later; what is kept does not depend on the length. The same bits for any cutting into blocks.
class CueStream {
 public:
  /// Gets all frames once, in order, in blocks, each with the cues of its frames.
  using Use = std::function<void(const audio::Spectrogram<float>& frames, const Cues& cues)>;
  CueStream(int channels, std::int64_t bins, int threads);
  void push(const audio::Spectrogram<float>& frames, const Use& use);
  void finish(const Use& use);
  /// Bytes of a stream whose blocks have up to `block_frames` frames, cues and blocks handed on included.
  static std::int64_t memory_bytes(int channels, std::int64_t bins, std::int64_t block_frames);

 private:
  void hand_on(std::int64_t count, bool ended, const Use& use);

  int channels_, threads_;
  std::int64_t bins_;
  std::int64_t known_ = 0, next_ = 0;                ///< frames pushed, frames handed on
  std::int64_t kept_ = 0;                            ///< first frame of the maps
  std::vector<float> mean_, centre_, side_;          ///< of frames from kept_ on
  std::vector<std::vector<std::complex<float>>> x_;  ///< per channel, of frames from next_ on
};

/// The cues of a whole signal.
Cues cues_of(audio::AudioView mixture, const audio::StftSpec& stft, int threads, const core::StopToken& stop);

}  // namespace mss::methods::nmf
