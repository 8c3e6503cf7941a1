// Compiled once per instruction set: see mss_add_module(KERNELS) for what may stand here. Vectors are GCC's generic
// ones, which the compiler lowers to whatever the set has.
#include "eval/kernels.h"

// Vectors wider than the set's registers only pass between functions that are inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace mss::eval {
namespace MSS_KERNEL_ISA {
namespace {

typedef double Double8 __attribute__((vector_size(64), aligned(8)));
typedef float Float8 __attribute__((vector_size(32), aligned(4)));
typedef double Lanes __attribute__((vector_size(64)));

inline __attribute__((always_inline)) Lanes load(const double* p) { return *reinterpret_cast<const Double8*>(p); }
inline __attribute__((always_inline)) Lanes load(const float* p) {
  return __builtin_convertvector(*reinterpret_cast<const Float8*>(p), Lanes);
}

inline __attribute__((always_inline)) double total(const Lanes& a, const Lanes& b) {
  const Lanes v = a + b;
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

template <class T>
inline __attribute__((always_inline)) void pair_sums(const T* s, const T* e, std::int64_t n, PairSums* out) {
  Lanes error[2] = {}, cross[2] = {}, energy[2] = {}, sum[2] = {};
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int h = 0; h < 2; ++h) {
      const Lanes a = load(s + i + 8 * h), b = load(e + i + 8 * h), d = b - a;
      error[h] += d * d;
      cross[h] += d * a;
      energy[h] += b * b;
      sum[h] += b;
    }
  }
  PairSums rest;
  for (; i < n; ++i) {
    const double a = s[i], b = e[i], d = b - a;
    rest.error2 += d * d;
    rest.cross += d * a;
    rest.estimate2 += b * b;
    rest.estimate1 += b;
  }
  out->error2 += total(error[0], error[1]) + rest.error2;
  out->cross += total(cross[0], cross[1]) + rest.cross;
  out->estimate2 += total(energy[0], energy[1]) + rest.estimate2;
  out->estimate1 += total(sum[0], sum[1]) + rest.estimate1;
}

template <class T>
inline __attribute__((always_inline)) void own_sums(const T* s, std::int64_t n, OwnSums* out) {
  Lanes energy[2] = {}, sum[2] = {};
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int h = 0; h < 2; ++h) {
      const Lanes a = load(s + i + 8 * h);
      energy[h] += a * a;
      sum[h] += a;
    }
  }
  OwnSums rest;
  for (; i < n; ++i) {
    const double a = s[i];
    rest.energy += a * a;
    rest.sum += a;
  }
  out->energy += total(energy[0], energy[1]) + rest.energy;
  out->sum += total(sum[0], sum[1]) + rest.sum;
}

void pair_sums_f32(const float* s, const float* e, std::int64_t n, PairSums* out) { pair_sums(s, e, n, out); }
void pair_sums_f64(const double* s, const double* e, std::int64_t n, PairSums* out) { pair_sums(s, e, n, out); }
void own_sums_f32(const float* s, std::int64_t n, OwnSums* out) { own_sums(s, n, out); }
void own_sums_f64(const double* s, std::int64_t n, OwnSums* out) { own_sums(s, n, out); }

}  // namespace

extern const Kernels table;
const Kernels table = {pair_sums_f32, pair_sums_f64, own_sums_f32, own_sums_f64};

}  // namespace MSS_KERNEL_ISA
}  // namespace mss::eval
