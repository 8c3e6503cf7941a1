// Symmetric block-Toeplitz systems with many right-hand sides. Internal to mss::eval.
//
// T is (K L) x (K L), entry ((a,p),(b,q)) = r_ab[p-q] + epsilon (a=b, p=q). The block Levinson
// (Whittle-Wiggins-Robinson) recursion on T + rho diag(T) gives its forward and backward predictors; the Gohberg-Heinig
// formula turns them into the inverse, applied with FFTs in O(K^2 L + K L log L) per column; iterative refinement
// against the true T (also applied by FFT) removes both the ridge and the recursion's rounding. rho starts at 1e-12 and
// is raised tenfold where the recursion breaks down or the refinement does not converge (singular systems: dual mono,
// identical stems); small systems fall back to a dense factorisation. What is computed here depends on the references
// alone and is used for every estimate.
#pragma once

#include <memory>
#include <vector>

#include "eval/fft.h"

namespace mss::eval {

class ToeplitzSystem {
 public:
  /// `lags` as autocorrelations() lays them out; every r_aa[0] must be > 0.
  ToeplitzSystem(int channels, int taps, const std::vector<double>& lags, double epsilon);

  /// Right-hand sides and solutions as [column][channel][tap]. Thread-safe.
  std::vector<double> solve(const std::vector<double>& right, int columns) const;

  int channels() const noexcept { return channels_; }
  int taps() const noexcept { return taps_; }
  double ridge() const noexcept { return ridge_; }  ///< rho that the recursion ended with
  bool dense() const noexcept { return !dense_.empty(); }

 private:
  bool factorise(double ridge);
  bool factorise_dense(double ridge);
  bool converges() const;
  void to_spectra(const std::vector<double>& x, int columns, AlignedVector& spectra) const;
  void to_samples(const AlignedVector& spectra, int columns, std::vector<double>& x) const;
  void apply_operator(const std::vector<double>& x, int columns, std::vector<double>& out) const;
  void apply_inverse(const std::vector<double>& right, int columns, std::vector<double>& out) const;
  std::vector<double> refine(const std::vector<double>& right, int columns, double* worst) const;
  double lag(int a, int b, int k) const {
    return lags_[(static_cast<std::size_t>(a) * static_cast<std::size_t>(channels_) + static_cast<std::size_t>(b)) *
                     static_cast<std::size_t>(2 * taps_ - 1) +
                 static_cast<std::size_t>(k + taps_ - 1)];
  }

  int channels_, taps_;
  double ridge_ = 0;
  std::vector<double> lags_;   ///< scaled
  std::vector<double> scale_;  ///< per channel, a power of two
  std::unique_ptr<RealFft> fft_;
  AlignedVector operator_, forward_, backward_;             ///< spectra of r, A, B'
  std::vector<double> forward_inverse_, backward_inverse_;  ///< inverses of the prediction error matrices
  std::vector<double> dense_;  ///< lower Cholesky factor, row-major, where the recursion is of no use
};

}  // namespace mss::eval
