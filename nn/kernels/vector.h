// Vectors of the instruction set that a kernel file is compiled for, and the functions that networks need of them. For
// kernel files only (mss_add_module, KERNELS): everything here has internal linkage, so that no copy for one
// instruction set can stand in for another.
//
// Accuracy (against double, whole range): exp 1.2e-7 relative, sigmoid and tanh 1.5e-7 absolute (tanh relative near 0),
// erf 2e-7 absolute. Polynomials: the coefficients of Cephes (S. Moshier, "Methods and Programs for Mathematical
// Functions", 1989): expf, erff, erfcf, logf.
#pragma once

#include <cstddef>
#include <cstdint>
#if defined(__SSE__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12, of its own "undefined" vectors
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

// Vectors wider than the set's registers only pass between functions that are inlined.
#pragma GCC diagnostic ignored "-Wpsabi"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"

#if defined(__AVX512F__)
#define MSS_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define MSS_VECTOR_BYTES 32
#else
#define MSS_VECTOR_BYTES 16
#endif
#define MSS_INLINE inline __attribute__((always_inline))

namespace mss::nn::MSS_KERNEL_ISA {
namespace {

template <class T>
struct Vector;
template <>
struct Vector<float> {
  typedef float Type __attribute__((vector_size(MSS_VECTOR_BYTES)));
  typedef float Loose __attribute__((vector_size(MSS_VECTOR_BYTES), aligned(4), may_alias));
};
template <>
struct Vector<double> {
  typedef double Type __attribute__((vector_size(MSS_VECTOR_BYTES)));
  typedef double Loose __attribute__((vector_size(MSS_VECTOR_BYTES), aligned(8), may_alias));
};
template <class T>
constexpr std::int64_t kLanesOf = MSS_VECTOR_BYTES / sizeof(T);

using Vec = Vector<float>::Type;
using Loose = Vector<float>::Loose;
typedef std::int32_t Ints __attribute__((vector_size(MSS_VECTOR_BYTES)));
constexpr std::int64_t kLanes = kLanesOf<float>;

MSS_INLINE Vec load(const float* p) { return *reinterpret_cast<const Loose*>(p); }
MSS_INLINE void store(float* p, Vec v) { *reinterpret_cast<Loose*>(p) = v; }
MSS_INLINE Vec splat(float x) { return x - Vec{}; }
MSS_INLINE Vec load_part(const float* p, std::int64_t count) {
  Vec v{};
  for (std::int64_t i = 0; i < count; ++i) v[i] = p[i];
  return v;
}
MSS_INLINE void store_part(float* p, Vec v, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) p[i] = v[i];
}

/// a > b ? a : b and a < b ? a : b, so b where one of them is not a number. In this form one instruction, which the compiler
/// does not make of the other.
#if defined(__AVX512F__)
MSS_INLINE Vec max_of(Vec a, Vec b) { return _mm512_max_ps(a, b); }
MSS_INLINE Vec min_of(Vec a, Vec b) { return _mm512_min_ps(a, b); }
#elif defined(__AVX2__)
MSS_INLINE Vec max_of(Vec a, Vec b) { return _mm256_max_ps(a, b); }
MSS_INLINE Vec min_of(Vec a, Vec b) { return _mm256_min_ps(a, b); }
#elif defined(__SSE__)
MSS_INLINE Vec max_of(Vec a, Vec b) { return _mm_max_ps(a, b); }
MSS_INLINE Vec min_of(Vec a, Vec b) { return _mm_min_ps(a, b); }
#else
MSS_INLINE Vec max_of(Vec a, Vec b) { return a > b ? a : b; }
MSS_INLINE Vec min_of(Vec a, Vec b) { return a < b ? a : b; }
#endif
MSS_INLINE Vec clamp(Vec x, float low, float high) { return min_of(splat(high), max_of(splat(low), x)); }

/// exp(x) = power (1 + rest) for x in [-87, 88]: 2^n and a polynomial on [-ln 2 / 2, ln 2 / 2] without its constant.
struct Exp {
  Vec power, rest;
};
MSS_INLINE Exp exp_parts(Vec x) {
  // 1.5 * 2^23: adding it rounds to the nearest integer, which is then in the lowest bits, here with the exponent's bias.
  constexpr float kRound = 12582912.0F + 127.0F;
  const Vec shifted = x * 1.44269504088896341F + kRound;
  const Vec n = shifted - kRound;
  const Vec r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  Vec p = splat(1.9875691500e-4F);
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const Ints power = reinterpret_cast<Ints>(shifted) << 23;
  return {reinterpret_cast<Vec>(power), p * (r * r) + r};
}
MSS_INLINE Vec exp_within(Vec x) {
  const Exp e = exp_parts(x);
  return (e.rest + 1.0F) * e.power;
}
/// exp(x) - 1, with the small values' digits.
MSS_INLINE Vec expm1_within(Vec x) {
  const Exp e = exp_parts(x);
  return e.rest * e.power + (e.power - 1.0F);
}

MSS_INLINE Vec sigmoid_of(Vec x) { return 1.0F / (1.0F + exp_within(clamp(-x, -87.0F, 87.0F))); }

/// exp(2 x) - 1 as tanh needs it: beyond 9 that is 1.
MSS_INLINE Vec expm1_of_twice(Vec x) { return expm1_within(clamp(2.0F * x, -18.0F, 18.0F)); }

/// (e^2x - 1) / (e^2x + 1).
MSS_INLINE Vec tanh_of(Vec x) {
  const Vec e = expm1_of_twice(x);
  return e / (e + 2.0F);
}

/// Up to 1 an odd polynomial; above 1 - exp(-x^2)/|x| times a polynomial in 1/x^2, one for each side of 2.
MSS_INLINE Vec erf_of(Vec x) {
  const Vec z = x * x;
  Vec p = splat(7.853861353153693E-5F);
  p = p * z - 8.010193625184903E-4F;
  p = p * z + 5.188327685732524E-3F;
  p = p * z - 2.685381193529856E-2F;
  p = p * z + 1.128358514861418E-1F;
  p = p * z - 3.761262582423300E-1F;
  p = p * z + 1.128379165726710E+0F;
  const Vec small = p * x;
  const Vec a = clamp(x < 0.0F ? -x : x, 1.0F, 9.0F);
  const Vec q = 1.0F / a, y = q * q;
  Vec near = splat(2.326819970068386E-2F);
  near = near * y - 1.387039388740657E-1F;
  near = near * y + 3.687424674597105E-1F;
  near = near * y - 5.824733027278666E-1F;
  near = near * y + 6.210004621745983E-1F;
  near = near * y - 4.944515323274145E-1F;
  near = near * y + 3.404879937665872E-1F;
  near = near * y - 2.741127028184656E-1F;
  near = near * y + 5.638259427386472E-1F;
  Vec far = splat(-1.047766399936249E+1F);
  far = far * y + 1.297719955372516E+1F;
  far = far * y - 7.495518717768503E+0F;
  far = far * y + 2.921019019210786E+0F;
  far = far * y - 1.015265279202700E+0F;
  far = far * y + 4.218463358204948E-1F;
  far = far * y - 2.820767439740514E-1F;
  far = far * y + 5.641895067754075E-1F;
  const Vec tail = exp_within(clamp(-a * a, -87.0F, 0.0F)) * q * (a < 2.0F ? near : far);
  const Vec large = x < 0.0F ? tail - 1.0F : 1.0F - tail;
  return z < 1.0F ? small : large;
}

MSS_INLINE Vec gelu_of(Vec x) { return 0.5F * x * (1.0F + erf_of(x * 0.70710678118654752F)); }

MSS_INLINE Vec relu_of(Vec x) { return max_of(x, Vec{}); }

/// ln(1 + x) for x >= 0.
MSS_INLINE Vec log1p_of(Vec x) {
  const Vec u = 1.0F + x;
  // What rounding took from 1 + x comes back at first order.
  const Vec lost = x - (u - 1.0F);
  const Ints bits = reinterpret_cast<Ints>(u);
  Ints exponent = (bits >> 23) - 126;
  Vec m = reinterpret_cast<Vec>((bits & 0x007FFFFF) | 0x3F000000);  // [0.5, 1)
  const Ints low = m < 0.707106781186547524F;
  exponent += low;  // -1 where low
  m = low ? m + m : m;
  const Vec f = m - 1.0F;
  Vec e{};
  for (std::int64_t i = 0; i < kLanes; ++i) e[i] = static_cast<float>(exponent[i]);
  const Vec z = f * f;
  Vec p = splat(7.0376836292E-2F);
  p = p * f - 1.1514610310E-1F;
  p = p * f + 1.1676998740E-1F;
  p = p * f - 1.2420140846E-1F;
  p = p * f + 1.4249322787E-1F;
  p = p * f - 1.6668057665E-1F;
  p = p * f + 2.0000714765E-1F;
  p = p * f - 2.4999993993E-1F;
  p = p * f + 3.3333331174E-1F;
  Vec y = f * (z * p) + e * -2.12194440e-4F - 0.5F * z;
  y = f + y;
  return y + e * 0.693359375F + lost / u;
}

}  // namespace
}  // namespace mss::nn::MSS_KERNEL_ISA
