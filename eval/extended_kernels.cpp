// Compiled once per instruction set: see mss_add_module(KERNELS) for what may stand here. CMakeLists.txt forbids
// contraction for this file, because the error terms below are those of sums and products that are rounded one by one.
#include "eval/extended_kernels.h"

namespace mss::eval {
namespace MSS_KERNEL_ISA {
namespace {

constexpr int kTile = 64;

/// Rounding error of a * b.
inline __attribute__((always_inline)) double product_error(double a, double b, double p) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fma(a, b, -p);
#else
  constexpr double kSplit = 134217729.0;  // 2^27 + 1 (Dekker)
  const double ta = kSplit * a, tb = kSplit * b;
  const double ah = ta - (ta - a), bh = tb - (tb - b);
  const double al = a - ah, bl = b - bh;
  return ((ah * bh - p) + ah * bl + al * bh) + al * bl;
#endif
}

/// (h, l) += (ah + al) (bh + bl), renormalised.
inline __attribute__((always_inline)) void add_product(double& h, double& l, double ah, double al, double bh,
                                                       double bl) {
  const double p = ah * bh;
  const double e = product_error(ah, bh, p) + (ah * bl + al * bh);
  const double s = h + p, v = s - h;
  const double t = ((h - (s - v)) + (p - v)) + (l + e);
  h = s + t;
  l = t - (h - s);
}

inline __attribute__((always_inline)) void multiply(double& h, double& l, double ah, double al, double bh, double bl) {
  const double p = ah * bh;
  const double e = product_error(ah, bh, p) + (ah * bl + al * bh);
  h = p + e;
  l = e - (h - p);
}

void schur_steps(const SchurSteps& steps) {
  double w_hi[kTile], w_lo[kTile];
  for (std::int64_t first = 0; first < steps.columns; first += kTile) {
    const int n = static_cast<int>(steps.columns - first < kTile ? steps.columns - first : kTile);
    for (int j = 0; j < steps.k; ++j) {
      const double* vh = steps.v_hi + static_cast<std::int64_t>(j) * steps.k;
      const double* vl = steps.v_lo + static_cast<std::int64_t>(j) * steps.k;
      for (int c = 0; c < n; ++c) w_hi[c] = w_lo[c] = 0;
      for (int r = 0; r < steps.k; ++r) {
        const double* bh = steps.b[r].hi + first;
        const double* bl = steps.b[r].lo + first;
        const double h = vh[r], l = vl[r];
#pragma GCC ivdep
        for (int c = 0; c < n; ++c) add_product(w_hi[c], w_lo[c], h, l, bh[c], bl[c]);
      }
      for (int r = 0; r < steps.k; ++r) {
        double* bh = steps.b[r].hi + first;
        double* bl = steps.b[r].lo + first;
        const double h = -vh[r], l = -vl[r];
#pragma GCC ivdep
        for (int c = 0; c < n; ++c) add_product(bh[c], bl[c], h, l, w_hi[c], w_lo[c]);
      }
      double* ah = steps.a[j].hi + first;
      double* al = steps.a[j].lo + first;
      double* bh = steps.b[0].hi + first;
      double* bl = steps.b[0].lo + first;
      const double rh = -steps.rho_hi[j], rl = -steps.rho_lo[j], ch = steps.c_hi[j], cl = steps.c_lo[j];
      const double ih = steps.inverse_hi[j], il = steps.inverse_lo[j];
#pragma GCC ivdep
      for (int c = 0; c < n; ++c) {
        double xh = ah[c], xl = al[c];
        add_product(xh, xl, rh, rl, bh[c], bl[c]);
        double yh = 0, yl = 0;
        multiply(yh, yl, ih, il, xh, xl);
        double zh = 0, zl = 0;
        multiply(zh, zl, ch, cl, bh[c], bl[c]);
        add_product(zh, zl, rh, rl, yh, yl);
        ah[c] = yh;
        al[c] = yl;
        bh[c] = zh;
        bl[c] = zl;
      }
    }
  }
}

void subtract(std::int64_t n, double alpha_hi, double alpha_lo, const ExtendedRow& x, const ExtendedRow& y) {
  const double *xh = x.hi, *xl = x.lo;
  double *yh = y.hi, *yl = y.lo;
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) add_product(yh[i], yl[i], -alpha_hi, -alpha_lo, xh[i], xl[i]);
}

void dot(std::int64_t n, const ExtendedRow& x, const ExtendedRow& y, double* out) {
  constexpr int kLanes = 16;
  double h[kLanes] = {}, l[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const double *xh = x.hi + i, *xl = x.lo + i, *yh = y.hi + i, *yl = y.lo + i;
#pragma GCC ivdep
    for (int k = 0; k < kLanes; ++k) add_product(h[k], l[k], xh[k], xl[k], yh[k], yl[k]);
  }
  double sum_h = 0, sum_l = 0;
  for (; i < n; ++i) add_product(sum_h, sum_l, x.hi[i], x.lo[i], y.hi[i], y.lo[i]);
  for (int k = 0; k < kLanes; ++k) add_product(sum_h, sum_l, h[k], l[k], 1.0, 0.0);
  out[0] = sum_h;
  out[1] = sum_l;
}

}  // namespace

extern const ExtendedKernels extended_table;
const ExtendedKernels extended_table = {schur_steps, subtract, dot};

}  // namespace MSS_KERNEL_ISA
}  // namespace mss::eval
