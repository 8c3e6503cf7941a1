// Non-negative matrix factorisation and its convolutive form (NMFD), beta-divergence, multiplicative updates.
//
// Model. V (K bins x M frames) is approximated by
//     Lambda[k,m] = sum_t sum_r W[k,t,r] H[r,m-t],   t = 0 … T-1, H = 0 before its segment's first frame.
// T = 1 is plain NMF, Lambda = W H. H has exactly M frames; what a template would add beyond the last frame is cut off.
//
// Update::clean (beta-NMF after Févotte & Idier, "Algorithms for NMF with the beta-divergence", Neural Computation
// 23(9), 2011; convolutive after Smaragdis 2004 with the joint majorisation step). Per iteration, with the model Lambda
// = max(model, floor) recomputed before each step, Q = V o Lambda^(beta-2), P = Lambda^(beta-1) and gamma = 1/(2-beta)
// for beta < 1, 1 up to 2, 1/(beta-1) above:
//     W_t <- W_t o [ Q H_t' / max(P H_t', floor) ]^gamma                       H_t = H shifted right by t
//     H   <- H   o [ sum_t shift(W_t' Q, -t) / max(sum_t shift(W_t' P, -t), floor) ]^gamma
//     then each template is divided by its sum over k and t, and its row of H multiplied by it.
// The divergence never rises (to rounding). `continuity` is the temporal smoothness cost of Virtanen (IEEE TASLP 15(3),
// 2007), sum_r [sum_m (h_m - h_(m-1))^2] / [(1/M) sum_m h_m^2]; with it H is updated before W, templates have unit
// Euclidean norm instead of unit sum, and no monotony is promised. With `sparsity` mu > 0 the objective is
// D(V|Lambda) + mu sum_r |W_r|_2 sum_m H[r,m]: the norm makes the penalty independent of how W and H share the scale.
// (With the sum of W_r in its place the penalty would do nothing but shrink the model.) W then minimises the sum of
// both majorisers: for KL w = 2a / (b + sqrt(b^2 + 4 c a)), a = w Q H_t', b = sum of H_t, c = mu sum H / |W_r|_2, and
// the objective never rises; for other beta c w joins the denominator, without that promise.
//
// Update::toolbox_nmf, toolbox_nmfd, toolbox_nmfconv: the arithmetic of the Python NMF toolbox (López-Serrano, Dittmar,
// Özer, Müller, DAFx 2019), docs/nmf.md: V is first divided by eps + sum V (eps = 2^-52), one stale model serves both
// updates, templates are rescaled at the end of every iteration and H is not. toolbox_nmf knows beta 0, 1, 2 and T = 1;
// toolbox_nmfd is KL; toolbox_nmfconv takes our beta (its own is smaller by 1) with `sparsity` and `decorrelation`.
//
// Speed: one pass over V per iteration in tiles of rows (stale order), one product more in the clean order; with fixed
// templates and T = 1 the tiles are frames and all iterations run while the tile is in cache (fit_activations). No
// memory is taken inside iterations.
//
// Shapes and layouts (row-major): V[k * ld + m]; w[(k * T + t) * R + r]; h[r * M + m]. Precision T is float or double.
// Edge cases: zero rows, columns and all-zero V give finite factors (components that nothing supports die to 0); 0
// iterations return the start values; R may exceed min(K, M); M = 1 and T > M are allowed. Determinism: same bits for
// any number of threads on one instruction set. Denormals are flushed to zero in the workers. Thread-safety: functions
// without shared state.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/stop.h"

namespace mss::methods::nmf {

/// Look at a row-major matrix of `rows` x `columns`, rows `ld` apart.
template <class T>
struct MatrixView {
  const T* data = nullptr;
  std::int64_t rows = 0, columns = 0, ld = 0;
};

template <class T>
struct Factors {
  std::int64_t bins = 0, frames = 0;
  int components = 0, template_frames = 1;
  std::vector<T> w;  ///< [k][t][r]
  std::vector<T> h;  ///< [r][m]

  Factors() = default;
  /// All entries zero.
  Factors(std::int64_t bins_, std::int64_t frames_, int components_, int template_frames_ = 1);
  T& w_at(std::int64_t k, int t, int r) {
    return w[static_cast<std::size_t>((k * template_frames + t) * components + r)];
  }
  T w_at(std::int64_t k, int t, int r) const {
    return w[static_cast<std::size_t>((k * template_frames + t) * components + r)];
  }
  T& h_at(int r, std::int64_t m) { return h[static_cast<std::size_t>(r * frames + m)]; }
  T h_at(int r, std::int64_t m) const { return h[static_cast<std::size_t>(r * frames + m)]; }
};

enum class Update { clean, toolbox_nmf, toolbox_nmfd, toolbox_nmfconv };

template <class T>
struct FitOptions {
  int iterations = 100;
  double beta = 1.0;  ///< 2 Euclidean, 1 Kullback-Leibler, 0 Itakura-Saito
  Update update = Update::clean;
  bool fix_w = false, fix_h = false;
  int fixed_components = 0;  ///< clean: the first so many templates keep their start values (semi-supervised)
  double sparsity = 0.0;
  double continuity = 0.0;     ///< clean, T = 1
  double decorrelation = 0.0;  ///< toolbox_nmfconv: uncorrWeight
  double floor = 1e-12;        ///< clean: lower bound of model and denominators
  std::int64_t segment_frames =
      0;  ///< length of independent stretches of frames (channels stacked along time); 0 = all
  bool track_divergence = false;
  int threads = 1;
  core::StopToken stop;  ///< checked before every iteration: Error(cancelled)
  std::function<void(int iterations_done)> progress;
  /// Called before and after the updates of iteration i (from 0) with the factors, which it may change (toolbox hooks;
  /// they see V's scale).
  std::function<void(int i, Factors<T>&factors)> before, after;
};

template <class T>
struct Fit {
  Factors<T> factors;
  /// Clean: D(V | Lambda) before the first and after every iteration (iterations + 1 values). Toolbox: the number its
  /// code reports, per iteration, computed from the model before the updates. Empty unless track_divergence.
  std::vector<double> divergence;
};

/// Throws Error(invalid_argument) for mismatched shapes, negative or non-finite data or start values and parameters out
/// of range; Error(unsupported) for combinations that the toolbox forms do not know.
template <class T>
Fit<T> fit(MatrixView<T> v, Factors<T> start, const FitOptions<T>& options);

/// Bytes that fit() holds beside V and the factors.
template <class T>
std::int64_t fit_bytes(std::int64_t bins, std::int64_t frames, int components, const FitOptions<T>& options,
                       int template_frames);

/// Activations for fixed templates with T = 1 (supervised separation): frames are independent of each other.
template <class T>
class FixedTemplates {
 public:
  /// `w` is K x R, w[k * R + r]. Throws Error(invalid_argument) for negative or non-finite entries.
  FixedTemplates(std::vector<T> w, std::int64_t bins, int components);
  std::int64_t bins() const noexcept { return bins_; }
  int components() const noexcept { return components_; }
  const std::vector<T>& templates() const noexcept { return w_; }

  /// v is FRAME-major: frame n's K bins at v + n * ld. h is frame-major, N x R, start values in, result out:
  ///   H <- H o [ W'(V o Lambda^(beta-2)) / max(W' Lambda^(beta-1) + sparsity |W|_2, floor) ]^gamma, `iterations`
  ///   times.
  void activations(const T* v, std::int64_t frames, std::int64_t ld, T* h, const FitOptions<T>& options) const;

 private:
  std::vector<T> w_, panels_, transposed_;
  std::vector<T> column_sums_, norms_;
  std::int64_t bins_ = 0;
  int components_ = 0, padded_components_ = 0;
};

/// Lambda without any floor or eps, K x M row-major; `first`, `count` choose a range of components (count < 0: all).
template <class T>
std::vector<T> model(const Factors<T>& factors, std::int64_t segment_frames = 0, int first = 0, int count = -1,
                     int threads = 1);

/// D_beta(V | max(Lambda, floor)), summed over all entries in float64. 0 log 0 = 0; for beta <= 0 entries of V below
/// `floor` count as `floor`.
template <class T>
double divergence(MatrixView<T> v, MatrixView<T> lambda, double beta, double floor = 1e-12);

/// gamma of the majorisation-minimisation update.
double update_exponent(double beta) noexcept;

extern template struct Factors<float>;
extern template struct Factors<double>;
extern template Fit<float> fit(MatrixView<float>, Factors<float>, const FitOptions<float>&);
extern template Fit<double> fit(MatrixView<double>, Factors<double>, const FitOptions<double>&);
extern template class FixedTemplates<float>;
extern template class FixedTemplates<double>;
extern template std::vector<float> model(const Factors<float>&, std::int64_t, int, int, int);
extern template std::vector<double> model(const Factors<double>&, std::int64_t, int, int, int);
extern template double divergence(MatrixView<float>, MatrixView<float>, double, double);
extern template double divergence(MatrixView<double>, MatrixView<double>, double, double);

}  // namespace mss::methods::nmf
