// Multichannel Wiener filtering of a mixture's spectrogram: expectation-maximisation with one full-rank spatial
// covariance per source and bin, any number of sources and channels.
//
// With X the mixture (C channels, N frames, F bins), V_j the magnitude estimates of J sources and y_j their complex
// estimates:
//
//   initial     soft_mask:      y_j = X V_j^alpha / sum_k V_k^alpha      per channel
//               mixture_phase:  y_j = V_j exp(i arg X)                   per channel
//               or the y_j themselves, where a caller has complex estimates
//   residual    one more source: what the others leave over (magnitude max(0, |X|^alpha - sum V_j^alpha); with complex
//               estimates X - sum y_j)
//   iteration   v_j(n,f) = mean over channels of |y_j|^2
//               R_j(f)   = sum_n y_j y_j^H / sum_n v_j
//               y_j      = v_j R_j (sum_k v_k R_k)^-1 X
//
// Sources: Nugraha, Liutkus, Vincent, "Multichannel audio source separation with deep neural networks", TASLP 2016;
// Duong, Vincent, Gribonval, "Under-determined reverberant audio source separation using a full-rank spatial
// covariance model", TASLP 2010; the reference implementations are norbert 0.2.1 and open-unmix's filtering.py.
//
// Modes. `clean` is the default and ours:
//   * regularisation without a scale: R_j + delta (tr R_j / C) Id with delta = sqrt(eps), so that filtering a signal
//     times 1000 gives the result times 1000, and the regulariser's share belongs to the sources: the y_j add up to X;
//   * where all V_j of a bin are 0 the residual takes X, or all sources take equal parts; without iterations what the
//     initial estimates leave over goes to the residual, or to the sources by their power;
//   * silent bins (X = 0) stay silent and say nothing about the R_j;
//   * windows of window_frames overlap by overlap_frames; in the overlap both windows' results are cross-faded.
// `norbert` and `openunmix` reproduce those programs with their defects, for parity: an absolute regulariser sqrt(eps)
// Id on the mixture scaled by 1 / m, m = max(1, max|X| / 10) (so quiet input is damped and estimates do not add up to
// X), consecutive windows without overlap (norbert itself has one window: window_frames = 0), and for openunmix also 1
// + 0i in exactly silent bins of the mixture (with the mixture's phase), pi in float32, a residual that may be
// negative.
//
// Precision: T = float or double is the type of the data; everything is computed and accumulated in double. Inputs are
// never changed. The estimates are not stored between passes but computed anew, so that n iterations need no memory
// beyond the output but cost n (n + 1) / 2 extra steps. Results do not depend on the number of threads (blocks of bins
// are the unit of work), on one instruction set (core/isa.h).
//
// Errors: Error(invalid_argument) for shapes that differ, no channel, bin or source, settings out of range;
// Error(numeric) for a mixture or estimate that is not finite or beyond 1e70, and for negative magnitudes, naming
// channel, frame and bin. Zero frames are no error: nothing is done.
// Thread-safety: const functions may run concurrently.
#pragma once

#include <complex>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace mss::wiener {

/// Values of C channels, N frames, F bins in memory that the caller owns; bins are contiguous. Strides count values.
template <class T>
struct Grid {
  T* data = nullptr;
  int channels = 0;
  std::int64_t frames = 0;
  int bins = 0;
  std::int64_t channel_stride = 0, frame_stride = 0;

  Grid() = default;
  /// (channels, frames, bins) without gaps: the layout of audio::Spectrogram.
  Grid(T* values, int c, std::int64_t n, int f)
      : data(values), channels(c), frames(n), bins(f), channel_stride(n * f), frame_stride(f) {}
  /// A grid of values is a grid of const values.
  operator Grid<const T>() const {
    Grid<const T> view(data, channels, frames, bins);
    view.channel_stride = channel_stride;
    view.frame_stride = frame_stride;
    return view;
  }
  T* row(int c, std::int64_t n) const { return data + c * channel_stride + n * frame_stride; }
  Grid slice(std::int64_t first_frame, std::int64_t count) const {
    Grid part = *this;
    part.data += first_frame * frame_stride;
    part.frames = count;
    return part;
  }
};

enum class Mode { clean, norbert, openunmix };
enum class Initial { soft_mask, mixture_phase };

struct Settings {
  Mode mode = Mode::clean;
  int iterations = 1;                    ///< EM iterations, >= 0
  Initial initial = Initial::soft_mask;  ///< of magnitudes; norbert's default is soft_mask, open-unmix's mixture_phase
  double alpha = 1.0;                    ///< exponent of the soft mask and of norbert's residual model, in (0, 8]
  bool residual = false;
  /// Clean: relative regulariser sqrt(eps), default 1e-10. Norbert: the epsilon of T. Open-unmix: 1e-10.
  std::optional<double> eps;
  std::int64_t window_frames = 300;            ///< frames that share one set of R_j; 0 = all
  std::optional<std::int64_t> overlap_frames;  ///< clean mode, at most window_frames / 2; default window_frames / 4

  double resolved_eps(bool single_precision) const;
  std::int64_t resolved_overlap() const;
  /// Throws Error(invalid_argument) for values out of their range.
  void check() const;
};

/// J sources: magnitudes, or complex initial estimates; one of the two is empty. Magnitudes may have one channel for
/// all.
template <class T>
struct Sources {
  std::vector<Grid<const T>> magnitudes;
  std::vector<Grid<const std::complex<T>>> estimates;
  int count() const { return static_cast<int>(magnitudes.empty() ? estimates.size() : magnitudes.size()); }
  Sources slice(std::int64_t first_frame, std::int64_t frames) const;
};

/// Number of outputs: the sources and, where asked for, the residual after them.
inline int output_count(int sources, const Settings& settings) { return sources + (settings.residual ? 1 : 0); }

/// Filters whole arrays. `out` has output_count() grids shaped like the mixture; it may not overlap the inputs.
template <class T>
void filter(Grid<const std::complex<T>> mixture, const Sources<T>& sources,
            const std::vector<Grid<std::complex<T>>>& out, const Settings& settings, int threads = 1);

/// The spatial covariances R_j(f) of one window, for every iteration.
class Model {
 public:
  /// Estimates them from a window. With iterations = 0 the model is empty, and apply() gives the initial estimates.
  /// `first_frame` is added to the frame number in error messages.
  template <class T>
  static Model fit(Grid<const std::complex<T>> mixture, const Sources<T>& sources, const Settings& settings,
                   int threads = 1, std::int64_t first_frame = 0);
  /// Filters frames with them: out = w(n) y, or out += w(n) y; empty weights are 1.
  template <class T>
  void apply(Grid<const std::complex<T>> mixture, const Sources<T>& sources,
             const std::vector<Grid<std::complex<T>>>& out, std::span<const double> frame_weights, bool add,
             int threads = 1, std::int64_t first_frame = 0) const;
  /// Entry (a, b) of R_j(f) that iteration `step` (from 0) uses, as regularised in clean mode; scale-free.
  std::complex<double> covariance(int step, int source, int bin, int a, int b) const;

 private:
  template <class T>
  friend class Stream;
  template <class T>
  friend void filter(Grid<const std::complex<T>>, const Sources<T>&, const std::vector<Grid<std::complex<T>>>&,
                     const Settings&, int);
  // For the frames that were fitted, the powers from which the last iteration starts are known.
  template <class T>
  static Model fit_keeping(Grid<const std::complex<T>> mixture, const Sources<T>& sources, const Settings& settings,
                           int threads, std::int64_t first_frame);
  template <class T>
  void apply_with(const double* powers, Grid<const std::complex<T>> mixture, const Sources<T>& sources,
                  const std::vector<Grid<std::complex<T>>>& out, std::span<const double> frame_weights, bool add,
                  int threads, std::int64_t first_frame) const;
  std::size_t powers_per_frame() const;
  const double* powers(std::int64_t frame) const;
  void forget_powers(std::int64_t frames);

  Settings settings_;
  int channels_ = 0, sources_ = 0, bins_ = 0;
  double scale_ = 1.0;
  std::vector<double> values_, powers_;
};

/// The same filter over a stream, in memory of one window (window_frames = 0: of everything). The results equal
/// filter() bit for bit, whatever the sizes of the pieces.
template <class T>
class Stream {
 public:
  /// Filtered frames [first_frame, first_frame + n) of every output; valid during the call.
  using Emit = std::function<void(std::int64_t first_frame, const std::vector<Grid<const std::complex<T>>>& outputs)>;
  /// `complex_sources`: push() brings estimates instead of magnitudes.
  Stream(const Settings& settings, int channels, int sources, int bins, bool complex_sources, int threads, Emit emit);
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  void push(Grid<const std::complex<T>> mixture, const Sources<T>& sources);
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// norbert's residual model: V_J+1 = max(0, max(eps, |X|^alpha) - sum_j V_j), with `autoscale` after multiplying the
/// V_j per (channel, bin) by sum_n |X|^alpha V / (eps + sum_n V^2), V = sum_j V_j, eps = the epsilon of T. Returns J +
/// 1 arrays (channels, frames, bins), the V_j as they then are. Magnitudes of one channel serve all (norbert fails
/// there).
template <class T>
std::vector<std::vector<T>> residual_model(Grid<const std::complex<T>> mixture,
                                           const std::vector<Grid<const T>>& magnitudes, double alpha, bool autoscale);

}  // namespace mss::wiener
