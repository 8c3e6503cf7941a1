#include "wiener/em_kernel.h"

#include <cmath>
#include <cstddef>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

// The compiler takes the steps for too long to inline, and loses what it knows about the number of sources.
#define MSS_INLINE inline __attribute__((always_inline))

namespace mss::wiener::MSS_KERNEL_ISA {
namespace {

using kernel::Block;
using kernel::Plane;

#if defined(__AVX512F__)
constexpr int kLanes = 8;
#elif defined(__AVX__)
constexpr int kLanes = 4;
#else
constexpr int kLanes = 2;
#endif

typedef double Vec __attribute__((vector_size(kLanes * 8)));
typedef float HalfVec __attribute__((vector_size(kLanes * 4)));

// The float32 pi of open-unmix's arctangent minus pi: its phases in the left half plane are off by this angle.
constexpr double kOpenUnmixPiError = 8.742277657347586e-8;

MSS_INLINE Vec splat(double value) { return Vec{} + value; }

// Comparisons through intrinsics: GCC 12 cannot expand 64-bit vector conditions for plain SSE2.
#if defined(__AVX512F__)
typedef __mmask8 Mask;
MSS_INLINE Mask greater(Vec a, Vec b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GT_OQ); }
MSS_INLINE Mask not_greater(Vec a, Vec b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_NGT_UQ); }
MSS_INLINE Mask either(Mask a, Mask b) { return static_cast<Mask>(a | b); }
MSS_INLINE Vec choose(Mask mask, Vec yes, Vec no) { return (Vec)_mm512_mask_blend_pd(mask, (__m512d)no, (__m512d)yes); }
MSS_INLINE Vec root(Vec x) { return (Vec)_mm512_maskz_sqrt_pd(0xff, (__m512d)x); }
MSS_INLINE bool any(Mask mask) { return mask != 0; }
#elif defined(__AVX__)
typedef __m256d Mask;
MSS_INLINE Mask greater(Vec a, Vec b) { return _mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_GT_OQ); }
MSS_INLINE Mask not_greater(Vec a, Vec b) { return _mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_NGT_UQ); }
MSS_INLINE Mask either(Mask a, Mask b) { return _mm256_or_pd(a, b); }
MSS_INLINE Vec choose(Mask mask, Vec yes, Vec no) { return (Vec)_mm256_blendv_pd((__m256d)no, (__m256d)yes, mask); }
MSS_INLINE Vec root(Vec x) { return (Vec)_mm256_sqrt_pd((__m256d)x); }
MSS_INLINE bool any(Mask mask) { return _mm256_movemask_pd(mask) != 0; }
#elif defined(__SSE2__)
typedef __m128d Mask;
MSS_INLINE Mask greater(Vec a, Vec b) { return _mm_cmpgt_pd((__m128d)a, (__m128d)b); }
MSS_INLINE Mask not_greater(Vec a, Vec b) { return _mm_cmpngt_pd((__m128d)a, (__m128d)b); }
MSS_INLINE Mask either(Mask a, Mask b) { return _mm_or_pd(a, b); }
MSS_INLINE Vec choose(Mask mask, Vec yes, Vec no) {
  return (Vec)_mm_or_pd(_mm_and_pd(mask, (__m128d)yes), _mm_andnot_pd(mask, (__m128d)no));
}
MSS_INLINE Vec root(Vec x) { return (Vec)_mm_sqrt_pd((__m128d)x); }
MSS_INLINE bool any(Mask mask) { return _mm_movemask_pd(mask) != 0; }
#else
typedef long long Mask __attribute__((vector_size(kLanes * 8)));
MSS_INLINE Mask greater(Vec a, Vec b) { return a > b; }
MSS_INLINE Mask not_greater(Vec a, Vec b) { return ~(a > b); }
MSS_INLINE Mask either(Mask a, Mask b) { return a | b; }
MSS_INLINE Vec choose(Mask mask, Vec yes, Vec no) {
  for (int i = 0; i < kLanes; ++i) no[i] = mask[i] != 0 ? yes[i] : no[i];
  return no;
}
MSS_INLINE Vec root(Vec x) {
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrt(x[i]);
  return x;
}
MSS_INLINE bool any(Mask mask) {
  for (int i = 0; i < kLanes; ++i) {
    if (mask[i] != 0) return true;
  }
  return false;
}
#endif

MSS_INLINE Vec larger(Vec a, Vec b) { return choose(greater(a, b), a, b); }
// True for NaN and infinities too.
MSS_INLINE Mask outside(Vec re, Vec im, Vec limit) {
  return either(either(not_greater(limit, re), not_greater(re, -limit)),
                either(not_greater(limit, im), not_greater(im, -limit)));
}
MSS_INLINE Mask negative(Vec v) { return greater(Vec{}, v); }
MSS_INLINE Vec power(Vec x, double exponent) {
  if (exponent == 1.0) return x;
  if (exponent == 2.0) return x * x;
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_pow(x[i], exponent);
  return x;
}
MSS_INLINE Vec load(const double* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
MSS_INLINE void store(double* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }

MSS_INLINE Vec widen(const double* p) { return load(p); }
MSS_INLINE Vec widen(const float* p) {
  HalfVec h;
  __builtin_memcpy(&h, p, sizeof h);
  return __builtin_convertvector(h, Vec);
}
MSS_INLINE void narrow(double* p, Vec v) { store(p, v); }
MSS_INLINE void narrow(float* p, Vec v) {
  const HalfVec h = __builtin_convertvector(v, HalfVec);
  __builtin_memcpy(p, &h, sizeof h);
}

#if defined(__AVX512F__)
#define MSS_EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define MSS_ODD 1, 3, 5, 7, 9, 11, 13, 15
#define MSS_ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define MSS_ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif defined(__AVX__)
#define MSS_EVEN 0, 2, 4, 6
#define MSS_ODD 1, 3, 5, 7
#define MSS_ZIP_LOW 0, 4, 1, 5
#define MSS_ZIP_HIGH 2, 6, 3, 7
#else
#define MSS_EVEN 0, 2
#define MSS_ODD 1, 3
#define MSS_ZIP_LOW 0, 2
#define MSS_ZIP_HIGH 1, 3
#endif

template <class T>
MSS_INLINE void load_complex(const T* p, int count, Vec& re, Vec& im) {
  T padded[2 * kLanes];
  if (count < kLanes) {
    for (int i = 0; i < 2 * kLanes; ++i) padded[i] = i < 2 * count ? p[i] : T(0);
    p = padded;
  }
  const Vec low = widen(p), high = widen(p + kLanes);
  re = __builtin_shufflevector(low, high, MSS_EVEN);
  im = __builtin_shufflevector(low, high, MSS_ODD);
}

template <class T>
MSS_INLINE Vec load_real(const T* p, int count) {
  T padded[kLanes];
  if (count < kLanes) {
    for (int i = 0; i < kLanes; ++i) padded[i] = i < count ? p[i] : T(0);
    p = padded;
  }
  return widen(p);
}

template <class T>
MSS_INLINE void store_complex(T* p, int count, Vec re, Vec im, bool add) {
  if (add) {
    Vec old_re, old_im;
    load_complex(p, count, old_re, old_im);
    re += old_re;
    im += old_im;
  }
  const Vec low = __builtin_shufflevector(re, im, MSS_ZIP_LOW), high = __builtin_shufflevector(re, im, MSS_ZIP_HIGH);
  if (count >= kLanes) {
    narrow(p, low);
    narrow(p + kLanes, high);
    return;
  }
  T padded[2 * kLanes];
  narrow(padded, low);
  narrow(padded + kLanes, high);
  for (int i = 0; i < 2 * count; ++i) p[i] = padded[i];
}

// y of source j, channel c: (re, im) at y[2 * (j * C + c)].
struct Bins {
  Vec* x;
  Vec* y;
  Vec peak;
  Vec* matrix;  // more than two channels: 2 C^2 for the factorisation, 2 C for the solution
};

// The initial estimates of one vector of bins in one frame (wiener.h says what each form is).
template <class T, int C, kernel::InitialKind Initial>
MSS_INLINE void initial_estimate(const Block<T>& b, std::int64_t frame, int bin, int count, int total, Bins& at,
                                 Mask& bad) {
  const int sources = b.sources, channels = C == 0 ? b.channels : C;
  const bool residual = total > sources;
  const Vec zero = {}, one = splat(1.0), scale = splat(b.scale), limit = splat(b.limit);
  for (int c = 0; c < channels; ++c) {
    Vec xr, xi;
    load_complex(b.mixture[c].data + frame * b.mixture[c].stride + 2 * bin, count, xr, xi);
    if (b.check) {
      bad = either(bad, outside(xr, xi, limit));
      at.peak = larger(xr * xr + xi * xi, at.peak);
    }
    if constexpr (Initial == kernel::estimates) {
      xr *= scale;
      xi *= scale;
      Vec rest_r = xr, rest_i = xi;
      for (int j = 0; j < sources; ++j) {
        const Plane<const T>& plane = b.source[j * channels + c];
        Vec sr, si;
        load_complex(plane.data + frame * plane.stride + 2 * bin, count, sr, si);
        if (b.check) bad = either(bad, outside(sr, si, limit));
        sr *= scale;
        si *= scale;
        at.y[2 * (j * channels + c)] = sr;
        at.y[2 * (j * channels + c) + 1] = si;
        rest_r -= sr;
        rest_i -= si;
      }
      if (residual) {
        at.y[2 * (sources * channels + c)] = rest_r;
        at.y[2 * (sources * channels + c) + 1] = rest_i;
      }
    } else if constexpr (Initial == kernel::soft_mask) {
      Vec sum = zero;
      for (int j = 0; j < sources; ++j) {
        const Plane<const T>& plane = b.source[j * channels + c];
        Vec v = load_real(plane.data + frame * plane.stride + bin, count);
        if (b.check) bad = either(bad, either(negative(v), outside(v, v, limit)));
        v = power(v, b.alpha);
        at.y[2 * (j * channels + c)] = v;
        sum += v;
      }
      if (residual) {
        Vec rest = zero;
        if (b.mode != kernel::openunmix) {
          Vec level = power(root(xr * xr + xi * xi), b.alpha);
          if (b.mode == kernel::norbert) level = larger(level, splat(b.machine_eps));
          rest = larger(level - sum, zero);
          sum += rest;
        }
        at.y[2 * (sources * channels + c)] = rest;
      }
      xr *= scale;
      xi *= scale;
      const Vec denominator = sum + splat(b.eps);
      const Mask some = greater(denominator, zero);
      const Vec inverse = one / choose(some, denominator, one);
      const Vec share = splat(1.0 / total);
      const int masked = b.mode == kernel::openunmix ? sources : total;
      Vec rest_r = xr, rest_i = xi;
      for (int j = 0; j < masked; ++j) {
        const Vec mask = choose(some, at.y[2 * (j * channels + c)] * inverse, share);
        const Vec yr = xr * mask, yi = xi * mask;
        at.y[2 * (j * channels + c)] = yr;
        at.y[2 * (j * channels + c) + 1] = yi;
        rest_r -= yr;
        rest_i -= yi;
      }
      if (masked < total) {
        at.y[2 * (sources * channels + c)] = rest_r;
        at.y[2 * (sources * channels + c) + 1] = rest_i;
      }
    } else {
      const Vec size = root(xr * xr + xi * xi);
      const Mask some = greater(size, zero);
      const Vec inverse = one / choose(some, size, one);
      // arg 0 = 0 in the references; in clean mode a silent bin says nothing about where a source is.
      Vec er = choose(some, xr * inverse, b.mode == kernel::clean ? zero : one);
      Vec ei = choose(some, xi * inverse, zero);
      if (b.mode == kernel::openunmix) {
        const Vec error = splat(kOpenUnmixPiError);
        Vec angle = choose(greater(xr, zero), zero, choose(greater(zero, xr), error, 0.5 * error));
        angle = choose(greater(zero, xi), -angle, angle);
        angle = choose(some, angle, zero);
        const Vec turned = er - angle * ei;
        ei = ei + angle * er;
        er = turned;
        // Its arctangent writes 1 + 0i into exactly silent bins of the mixture.
        xr = choose(some, xr, one);
      }
      xr *= scale;
      xi *= scale;
      Vec sum = zero;
      for (int j = 0; j < sources; ++j) {
        const Plane<const T>& plane = b.source[j * channels + c];
        const Vec v = load_real(plane.data + frame * plane.stride + bin, count);
        if (b.check) bad = either(bad, either(negative(v), outside(v, v, limit)));
        sum += v;
        at.y[2 * (j * channels + c)] = v * scale * er;
        at.y[2 * (j * channels + c) + 1] = v * scale * ei;
      }
      if (residual) {
        Vec* rest = at.y + 2 * (sources * channels + c);
        if (b.mode == kernel::openunmix) {
          rest[0] = xr - sum * scale * er;
          rest[1] = xi - sum * scale * ei;
        } else {
          Vec level = size;
          if (b.mode == kernel::norbert) level = larger(level, splat(b.machine_eps));
          level = larger(level - sum, zero) * scale;
          rest[0] = level * er;
          rest[1] = level * ei;
        }
      }
    }
    at.x[2 * c] = xr;
    at.x[2 * c + 1] = xi;
  }
}

// v_j = mean over channels of |y_j|^2; it takes the place of y_j's first value.
template <int C>
MSS_INLINE void take_powers(int known_channels, int total, Bins& at) {
  const int channels = C == 0 ? known_channels : C;
  const Vec share = splat(1.0 / channels);
  for (int j = 0; j < total; ++j) {
    Vec* y = at.y + 2 * channels * j;
    if constexpr (C == 1) {
      y[0] = y[0] * y[0] + y[1] * y[1];
    } else if constexpr (C == 2) {
      y[0] = 0.5 * (y[0] * y[0] + y[1] * y[1] + y[2] * y[2] + y[3] * y[3]);
    } else {
      Vec v = {};
      for (int i = 0; i < 2 * channels; ++i) v += y[i] * y[i];
      y[0] = v * share;
    }
  }
}

// The mixture as initial_estimate() leaves it.
template <class T, int C, kernel::InitialKind Initial>
MSS_INLINE void load_mixture(const Block<T>& b, std::int64_t frame, int bin, int count, Bins& at) {
  const int channels = C == 0 ? b.channels : C;
  const Vec scale = splat(b.scale);
  for (int c = 0; c < channels; ++c) {
    Vec xr, xi;
    load_complex(b.mixture[c].data + frame * b.mixture[c].stride + 2 * bin, count, xr, xi);
    if constexpr (Initial == kernel::mixture_phase) {
      if (b.mode == kernel::openunmix) xr = choose(greater(root(xr * xr + xi * xi), Vec{}), xr, splat(1.0));
    }
    at.x[2 * c] = xr * scale;
    at.x[2 * c + 1] = xi * scale;
  }
}

// The same for any number of channels.
template <class T>
void em_step_general(const Block<T>& b, const double* model, int bin, int total, Bins& at) {
  const std::int64_t padded = b.padded;
  const Vec zero = {}, one = splat(1.0), share = splat(1.0 / total);
  const bool clean = b.mode == kernel::clean;
  // Cxx = U^H D U with unit upper U, then two triangular solutions. Entry (i, k), i <= k, at 2 * (i * n + k).
  const int n = b.channels;
  const std::int64_t planes = static_cast<std::int64_t>(n) * n;
  Vec* m = at.matrix;
  Vec* z = m + 2 * n * n;
  for (int i = 0; i < n; ++i) {
    for (int k = i; k < n; ++k) {
      m[2 * (i * n + k)] = i == k ? splat(b.diagonal) : zero;
      m[2 * (i * n + k) + 1] = zero;
    }
  }
  for (int j = 0; j < total; ++j) {
    const Vec v = at.y[2 * n * j];
    const double* r = model + j * planes * padded + bin;
    for (int i = 0; i < n; ++i) m[2 * (i * n + i)] += v * load(r + i * padded);
    r += n * padded;
    for (int i = 0; i < n; ++i) {
      for (int k = i + 1; k < n; ++k, r += 2 * padded) {
        m[2 * (i * n + k)] += v * load(r);
        m[2 * (i * n + k) + 1] += v * load(r + padded);
      }
    }
  }
  Mask singular = greater(zero, zero);
  for (int p = 0; p < n; ++p) {
    const Vec pivot = m[2 * (p * n + p)];
    const Mask bad = not_greater(pivot, zero);
    singular = either(singular, bad);
    const Vec inverse = one / (clean ? choose(bad, one, pivot) : pivot);
    m[2 * (p * n + p)] = inverse;
    for (int i = p + 1; i < n; ++i) {
      const Vec ur = m[2 * (p * n + i)] * inverse, ui = m[2 * (p * n + i) + 1] * inverse;
      for (int k = i; k < n; ++k) {
        const Vec vr = m[2 * (p * n + k)], vi = m[2 * (p * n + k) + 1];
        m[2 * (i * n + k)] -= ur * vr + ui * vi;
        m[2 * (i * n + k) + 1] -= ur * vi - ui * vr;
      }
    }
    for (int i = p + 1; i < n; ++i) {
      m[2 * (p * n + i)] *= inverse;
      m[2 * (p * n + i) + 1] *= inverse;
    }
  }
  for (int k = 0; k < n; ++k) {
    Vec zr = at.x[2 * k], zi = at.x[2 * k + 1];
    for (int p = 0; p < k; ++p) {
      const Vec ur = m[2 * (p * n + k)], ui = m[2 * (p * n + k) + 1];
      zr -= ur * z[2 * p] + ui * z[2 * p + 1];
      zi -= ur * z[2 * p + 1] - ui * z[2 * p];
    }
    z[2 * k] = zr;
    z[2 * k + 1] = zi;
  }
  for (int k = n - 1; k >= 0; --k) {
    Vec zr = z[2 * k] * m[2 * (k * n + k)], zi = z[2 * k + 1] * m[2 * (k * n + k)];
    for (int q = k + 1; q < n; ++q) {
      const Vec ur = m[2 * (k * n + q)], ui = m[2 * (k * n + q) + 1];
      zr -= ur * z[2 * q] - ui * z[2 * q + 1];
      zi -= ur * z[2 * q + 1] + ui * z[2 * q];
    }
    z[2 * k] = zr;
    z[2 * k + 1] = zi;
  }
  for (int j = 0; j < total; ++j) {
    Vec* y = at.y + 2 * n * j;
    const Vec v = y[0];
    const double* r = model + j * planes * padded + bin;
    for (int i = 0; i < n; ++i) {
      const Vec d = load(r + i * padded);
      y[2 * i] = d * z[2 * i];
      y[2 * i + 1] = d * z[2 * i + 1];
    }
    r += n * padded;
    for (int i = 0; i < n; ++i) {
      for (int k = i + 1; k < n; ++k, r += 2 * padded) {
        const Vec cr = load(r), ci = load(r + padded);
        y[2 * i] += cr * z[2 * k] - ci * z[2 * k + 1];
        y[2 * i + 1] += cr * z[2 * k + 1] + ci * z[2 * k];
        y[2 * k] += cr * z[2 * i] + ci * z[2 * i + 1];
        y[2 * k + 1] += cr * z[2 * i + 1] - ci * z[2 * i];
      }
    }
    const Vec fallback = total > b.sources ? (j == b.sources ? one : zero) : share;
    for (int i = 0; i < 2 * n; ++i) {
      y[i] *= v;
      if (clean) y[i] = choose(singular, fallback * at.x[i], y[i]);
    }
  }
}

// One EM step: y_j <- v_j R_j Cxx^-1 x, with the v_j that take_powers() put first.
template <class T, int C>
MSS_INLINE void em_step(const Block<T>& b, const double* model, int bin, int total, Bins& at) {
  const std::int64_t padded = b.padded;
  const Vec zero = {}, one = splat(1.0);
  const bool clean = b.mode == kernel::clean;
  const Vec share = splat(1.0 / total);
  if constexpr (C == 1) {
    Vec mix = splat(b.diagonal);
    for (int j = 0; j < total; ++j) {
      const Vec part = at.y[2 * j] * load(model + j * padded + bin);
      at.y[2 * j] = part;
      mix += part;
    }
    mix += splat(b.inverse_eps);
    const Mask some = greater(mix, zero);
    const Vec inverse = one / choose(some, mix, one);
    for (int j = 0; j < total; ++j) {
      Vec gain = at.y[2 * j] * inverse;
      if (clean) {
        // Nothing was estimated here: the residual takes it, or all sources alike.
        const Vec fallback = total > b.sources ? (j == b.sources ? one : zero) : share;
        gain = choose(some, gain, fallback);
      }
      at.y[2 * j] = gain * at.x[0];
      at.y[2 * j + 1] = gain * at.x[1];
    }
  } else if constexpr (C == 2) {
    Vec a = splat(b.diagonal), d = a, br = zero, bi = zero;
    for (int j = 0; j < total; ++j) {
      const double* r = model + j * 4 * padded + bin;
      const Vec v = at.y[4 * j];
      a += v * load(r);
      d += v * load(r + padded);
      br += v * load(r + 2 * padded);
      bi += v * load(r + 3 * padded);
    }
    const Vec determinant = a * d - (br * br + bi * bi);
    const Mask some = greater(determinant, zero);
    const Vec inverse = one / (clean ? choose(some, determinant, one) : determinant);
    const Vec* x = at.x;
    const Vec z1r = (d * x[0] - (br * x[2] - bi * x[3])) * inverse;
    const Vec z1i = (d * x[1] - (br * x[3] + bi * x[2])) * inverse;
    const Vec z2r = (a * x[2] - (br * x[0] + bi * x[1])) * inverse;
    const Vec z2i = (a * x[3] - (br * x[1] - bi * x[0])) * inverse;
    for (int j = 0; j < total; ++j) {
      Vec* y = at.y + 4 * j;
      const double* r = model + j * 4 * padded + bin;
      const Vec v = y[0], r11 = load(r), r22 = load(r + padded);
      const Vec cr = load(r + 2 * padded), ci = load(r + 3 * padded);
      Vec out[4] = {v * (r11 * z1r + (cr * z2r - ci * z2i)), v * (r11 * z1i + (cr * z2i + ci * z2r)),
                    v * ((cr * z1r + ci * z1i) + r22 * z2r), v * ((cr * z1i - ci * z1r) + r22 * z2i)};
      if (clean) {
        const Vec fallback = total > b.sources ? (j == b.sources ? one : zero) : share;
        for (int i = 0; i < 4; ++i) out[i] = choose(some, out[i], fallback * x[i]);
      }
      for (int i = 0; i < 4; ++i) y[i] = out[i];
    }
  } else {
    em_step_general(b, model, bin, total, at);
  }
}

// Without an EM step the initial estimates need not add up to the mixture: the rest goes to the residual, or to the
// sources by their power. `parts` = 2 C.
template <class T>
MSS_INLINE void give_back(const Block<T>& b, int parts, int total, Bins& at) {
  Vec sum = {};
  for (int i = 0; i < parts * total; ++i) sum += at.y[i] * at.y[i];
  const Mask some = greater(sum, Vec{});
  const Vec inverse = splat(1.0) / choose(some, sum, splat(1.0)), share = splat(1.0 / total);
  for (int i = 0; i < parts; ++i) {
    for (int j = 0; j < total; ++j) at.x[i] -= at.y[parts * j + i];
  }
  for (int j = 0; j < total; ++j) {
    Vec* y = at.y + parts * j;
    Vec weight = {};
    if (total == b.sources) {
      for (int i = 0; i < parts; ++i) weight += y[i] * y[i];
      weight = choose(some, weight * inverse, share);
    } else if (j == b.sources) {
      weight = splat(1.0);
    }
    for (int i = 0; i < parts; ++i) y[i] += weight * at.x[i];
  }
}

// Total = 0: any number of sources, estimates in the caller's scratch memory; else known here and kept close.
template <class T, int C, kernel::InitialKind Initial, int Total, bool Store>
inline void run_block(Block<T>& block) {
  const Block<T> b = block;  // a copy that no store can change

  const int channels = C == 0 ? b.channels : C;
  const int total = Total == 0 ? b.total : Total;
  constexpr bool kKnown = Total > 0 && C > 0;
  Vec local_y[kKnown ? Total * 2 * C : 1], local_x[C > 0 ? 2 * C : 1];
  const std::int64_t padded = b.padded, planes = static_cast<std::int64_t>(channels) * channels;
  const std::int64_t model_size = total * planes * padded;
  Mask bad = greater(Vec{}, Vec{});
  Bins at;
  at.peak = Vec{};
  Vec* scratch = reinterpret_cast<Vec*>(b.scratch);
  at.y = kKnown ? local_y : scratch;
  at.x = C > 0 ? local_x : scratch + 2 * channels * total;
  at.matrix = scratch + 2 * channels * (total + 1);
  for (std::int64_t frame = 0; frame < b.frames; ++frame) {
    for (int bin = 0; bin < b.bins; bin += kLanes) {
      const int count = b.bins - bin;
      const std::int64_t power_at = frame * total * padded + bin;
      if (b.from_powers != nullptr) {
        load_mixture<T, C, Initial>(b, frame, bin, count, at);
        const Vec gain = splat(b.power_gain);
        for (int j = 0; j < total; ++j) {
          at.y[2 * channels * j] = load(b.from_powers + power_at + j * padded) * gain;
        }
      } else {
        initial_estimate<T, C, Initial>(b, frame, bin, count, total, at, bad);
        if (b.steps > 0) take_powers<C>(channels, total, at);
      }
      for (int step = 0; step < b.steps; ++step) {
        if (step > 0) take_powers<C>(channels, total, at);
        em_step<T, C>(b, b.models + step * model_size, bin, total, at);
      }
      if constexpr (Store) {
        if (b.steps == 0 && b.mode == kernel::clean) give_back(b, 2 * channels, total, at);
        const Vec weight = splat((b.frame_weights == nullptr ? 1.0 : b.frame_weights[frame]) / b.scale);
        for (int j = 0; j < total; ++j) {
          for (int c = 0; c < channels; ++c) {
            const Plane<T>& plane = b.out[j * channels + c];
            const Vec* y = at.y + 2 * (j * channels + c);
            store_complex(plane.data + frame * plane.stride + 2 * bin, count, y[0] * weight, y[1] * weight, b.add);
          }
        }
      } else {
        for (int j = 0; j < total; ++j) {
          const Vec* y = at.y + 2 * channels * j;
          double* s = b.sums + j * planes * padded + bin;
          for (int c = 0; c < channels; ++c, s += padded) {
            store(s, load(s) + (y[2 * c] * y[2 * c] + y[2 * c + 1] * y[2 * c + 1]));
          }
          for (int c = 0; c < channels; ++c) {
            for (int d = c + 1; d < channels; ++d, s += 2 * padded) {
              store(s, load(s) + (y[2 * c] * y[2 * d] + y[2 * c + 1] * y[2 * d + 1]));
              store(s + padded, load(s + padded) + (y[2 * c + 1] * y[2 * d] - y[2 * c] * y[2 * d + 1]));
            }
          }
        }
        if (b.powers != nullptr) {
          take_powers<C>(channels, total, at);
          for (int j = 0; j < total; ++j) store(b.powers + power_at + j * padded, at.y[2 * channels * j]);
        }
      }
    }
  }
  if (any(bad)) block.bad = true;
  block.peak = 0;
  for (int i = 0; i < kLanes; ++i) block.peak = at.peak[i] > block.peak ? at.peak[i] : block.peak;
}

// Numbers of sources that are known beforehand cost compile time, three instruction sets over: the usual ones of stereo
// in float32 have a kernel of their own, of double the commonest.
template <class T, int C, kernel::InitialKind Initial, bool Store>
void by_total(Block<T>& b) {
  if constexpr (C == 2) {
    constexpr bool kSingle = sizeof(T) == sizeof(float);
    if (b.total == 4) return run_block<T, C, Initial, 4, Store>(b);
    if constexpr (kSingle) {
      if (b.total == 2) return run_block<T, C, Initial, 2, Store>(b);
      if (b.total == 5) return run_block<T, C, Initial, 5, Store>(b);
    }
  }
  run_block<T, C, Initial, 0, Store>(b);
}

template <class T, int C, bool Store>
void by_initial(Block<T>& b) {
  switch (b.initial) {
    case kernel::soft_mask:
      return by_total<T, C, kernel::soft_mask, Store>(b);
    case kernel::mixture_phase:
      return by_total<T, C, kernel::mixture_phase, Store>(b);
    default:
      return by_total<T, C, kernel::estimates, Store>(b);
  }
}

template <class T, bool Store>
void by_channels(Block<T>& b) {
  switch (b.channels) {
    case 1:
      return by_initial<T, 1, Store>(b);
    case 2:
      return by_initial<T, 2, Store>(b);
    default:
      return by_initial<T, 0, Store>(b);
  }
}

}  // namespace

void accumulate(kernel::Block<float>& block) { by_channels<float, false>(block); }
void accumulate(kernel::Block<double>& block) { by_channels<double, false>(block); }
void apply(kernel::Block<float>& block) { by_channels<float, true>(block); }
void apply(kernel::Block<double>& block) { by_channels<double, true>(block); }

}  // namespace mss::wiener::MSS_KERNEL_ISA
