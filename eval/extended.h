// Block-Toeplitz systems in double-double arithmetic, for references on which museval's equations have no answer in
// double precision. Internal to mss::eval.
//
// T, entry ((a,p),(b,q)) = r_ab[p-q] + epsilon (a=b, p=q), is symmetric and positive definite, with a condition number
// of up to 1e20 where the references' spectrum is empty in places: then neither the rounding of correlations in double
// precision nor refinement (whose residual stays small whatever the filter does in the empty band) gives the solution.
// The generalised Schur algorithm (Kailath, Kung, Morf 1979; mixed hyperbolic rotations as in Chandrasekaran and Sayed
// 1996) gives the Cholesky factor in O(K^3 L^2) and is backward stable; with 106 bits the solution of a system of
// condition 1e20 keeps more than ten digits. Correlations come as sums of exact ones (correlate.h). The factor takes 8
// K^2 L (L + 1) bytes: 134 MB for 4 stereo stems.
#pragma once

#include <cstdint>
#include <vector>

#include "eval/extended_kernels.h"

namespace mss::eval {

/// hi + lo, |lo| at most half a unit in the last place of hi.
struct Extended {
  double hi = 0, lo = 0;
  explicit operator double() const noexcept { return hi + lo; }
};
Extended operator+(const Extended& a, const Extended& b) noexcept;
Extended operator-(const Extended& a) noexcept;
Extended operator-(const Extended& a, const Extended& b) noexcept;
Extended operator*(const Extended& a, const Extended& b) noexcept;
Extended operator/(const Extended& a, const Extended& b) noexcept;
Extended square_root(const Extended& a) noexcept;  ///< a >= 0

class ExtendedSystem {
 public:
  /// Channels up to which the factor is affordable (8 stereo sources: 540 MB).
  static constexpr int kMostChannels = 16;

  /// `lags`[(a * channels + b) * (2 L - 1) + k + L - 1] = r_ab[k]. Throws Error(numeric) where T is not positive
  /// definite.
  ExtendedSystem(int channels, int taps, const std::vector<Extended>& lags, double epsilon);

  /// Right-hand sides and solutions as [column][channel][tap]. Thread-safe.
  std::vector<double> solve(const std::vector<Extended>& right, int columns) const;

 private:
  std::size_t row_begin(int block, int row) const;
  int channels_, taps_;
  std::vector<double> hi_, lo_;  ///< the factor's block rows, tap-major: block row i holds columns i K … L K
};

}  // namespace mss::eval
