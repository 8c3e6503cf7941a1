// Inner loops in double-double arithmetic (two doubles whose sum is the number, 106 bits), compiled once per
// instruction set (eval/extended_kernels.cpp, where no products and sums are contracted). Internal to mss::eval.
#pragma once

#include <cstdint>

namespace mss::eval {

/// A stretch of numbers: hi[i] + lo[i].
struct ExtendedRow {
  double* hi = nullptr;
  double* lo = nullptr;
};

/// k steps of the block Schur algorithm on columns [0, columns) of the generators' rows: step j reflects the rows of
/// the lower generator, b -= v_j (v_j' b), then rotates row j of the upper one with row 0 of the lower one,
/// a = (a - rho b) / c, b = c b - rho a.
struct SchurSteps {
  int k = 0;
  std::int64_t columns = 0;
  const ExtendedRow* a = nullptr;  ///< k rows
  const ExtendedRow* b = nullptr;
  const double *v_hi = nullptr, *v_lo = nullptr;  ///< step j at v + j * k
  const double *rho_hi = nullptr, *rho_lo = nullptr, *c_hi = nullptr, *c_lo = nullptr;
  const double *inverse_hi = nullptr, *inverse_lo = nullptr;  ///< 1 / c
};

struct ExtendedKernels {
  void (*schur_steps)(const SchurSteps& steps);
  /// y -= (alpha_hi + alpha_lo) x.
  void (*subtract)(std::int64_t n, double alpha_hi, double alpha_lo, const ExtendedRow& x, const ExtendedRow& y);
  /// out = sum of x y, hi and lo.
  void (*dot)(std::int64_t n, const ExtendedRow& x, const ExtendedRow& y, double* out);
};

/// The set of the active instruction set (core/isa.h).
const ExtendedKernels& extended_kernels();

}  // namespace mss::eval
