// Calibration of masks: a multinomial logistic model that turns the masks of supervised NMF and two cues (cues.h) into
// masks with a small error on songs that the templates were not learned from.
//
// Templates know spectra, but not how far their fit is to be trusted: a target that often is claimed without sounding
// should get less, one that is told reliably should get all. For a point (channel, frame, bin k) with masks m_j of the
// J targets and cues p and s,
//   phi     = ( log m_j - mean_i log m_i,  j = 1 … J;   p - 1/2,  2 (p - 1/2)^2,   s - 1/2,  2 (s - 1/2)^2;   1 ),
//   z_j     = sum_b h_b(k) w_bj' phi,
//   mask_j  = exp(z_j) / sum_i exp(z_i),
// h_b triangles that overlap by half on log(1 + f / 300 Hz) and sum to 1 (two bands touch a bin), log m floored at
// log 1e-6. Without a second channel the terms of s are 0. The masks sum to 1; equal features give equal masks, so the
// model is blind to level and to time.
//
// Learning. Examples are one-second units of excerpts of training songs, with masks of templates that were learned
// WITHOUT those songs (train.h); on the songs they stem from, templates are better than they will ever be again. With
// X the mixture's and Y_j the stems' spectra, sums over channels, frames and bins of a unit u,
//   e_ju = sum |Y_j - mask_j X|^2,   r_ju = sum |Y_j|^2,   x_u = sum |X|^2,   delta = 1e-3,
//   loss = mean over excerpts of mean_j of mean_u log( (e_ju + delta x_u) / (r_ju + delta x_u) )
//        + 0.001 ( |a|^2 + |b|^2 ) (constants 0.0001),   w_bj = a_j + b_bj, a_j starts at 0.8 for its own log mask,
// means over the (j, u) with r_ju > 1e-4 x_u: the logarithm of the error, as SDR in frames of one second has it.
// 60 steps of Adam (Kingma & Ba 2015) over all examples, rate 0.05 falling to 0. Every fifth frame counts, and above
// 1.7 kHz every tenth bin with tenfold weight.
//
// The same bits for any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "audio/buffer.h"
#include "audio/stft.h"
#include "core/stop.h"
#include "methods/nmf/cues.h"

namespace mss::methods::nmf {

struct Dictionary;

/// w_bj: weights[(b * targets + j) * size() + f]. No bands = none learned.
struct Calibration {
  int targets = 0, bands = 0;
  std::vector<float> weights;
  bool empty() const noexcept { return bands == 0; }
  /// Length of phi: the targets' log masks, two terms of each cue, and 1.
  int size() const noexcept { return targets + 5; }
};

/// A calibration ready for use.
class Calibrator {
 public:
  Calibrator(const Calibration& calibration, const audio::StftSpec& stft, int rate_hz);
  /// On one frame's masks of one channel, target j at masks + j * bins, in place.
  void apply(const Cues& cues, std::int64_t frame, float* masks) const;

 private:
  std::vector<float> weights_;  ///< [k][j][f]
  int targets_, size_;
};

struct CalibrationUnit;

class CalibrationTrainer {
 public:
  CalibrationTrainer(int targets, int bands, const audio::StftSpec& stft, int rate_hz);
  /// One excerpt: stems in the order of the dictionary's targets, of equal shape, empty where silent; the mixture is
  /// their sum. The dictionary must have one template frame and not know the song.
  void add(const Dictionary& dictionary, const std::vector<audio::AudioBuffer>& stems, int iterations, int threads,
           const core::StopToken& stop);
  ~CalibrationTrainer();
  bool empty() const noexcept;
  static constexpr int kSteps = 60;
  Calibration fit(int threads, const core::StopToken& stop, const std::function<void()>& step) const;

 private:
  std::vector<CalibrationUnit> units_;
  audio::StftSpec stft_;
  int targets_, bands_, rate_hz_, excerpts_ = 0;
};

}  // namespace mss::methods::nmf
