// Compiled once per instruction set: see mss_add_module(KERNELS) for what may stand here.
#include "methods/openunmix/kernels.h"

#include <cstddef>
#include <cstdint>

// Vectors wider than the set's registers only pass between functions that are inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

#if defined(__AVX512F__)
#define MSS_VECTOR_BYTES 64
#define MSS_ROWS 12
#define MSS_UNIT_VECTORS 4
#elif defined(__AVX2__)
#define MSS_VECTOR_BYTES 32
#define MSS_ROWS 6
#define MSS_UNIT_VECTORS 2
#else
#define MSS_VECTOR_BYTES 16
#define MSS_ROWS 6
#define MSS_UNIT_VECTORS 2
#endif
#define MSS_INLINE inline __attribute__((always_inline))

namespace mss::methods::openunmix::MSS_KERNEL_ISA {
namespace {

typedef float Vec __attribute__((vector_size(MSS_VECTOR_BYTES)));
typedef float Loose __attribute__((vector_size(MSS_VECTOR_BYTES), aligned(4), may_alias));
typedef std::int32_t Ints __attribute__((vector_size(MSS_VECTOR_BYTES)));

constexpr std::int64_t kLanes = MSS_VECTOR_BYTES / sizeof(float);
constexpr std::int64_t kColumns = 2 * kLanes;
constexpr std::int64_t kUnitVectors = MSS_UNIT_VECTORS;
constexpr std::int64_t kUnits = kUnitVectors * kLanes;

MSS_INLINE Vec load(const float* p) { return *reinterpret_cast<const Loose*>(p); }
MSS_INLINE void store(float* p, Vec v) { *reinterpret_cast<Loose*>(p) = v; }
MSS_INLINE Vec splat(float x) { return x - Vec{}; }

/// exp(x) for x in [-87, 88]: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (the coefficients of Cephes' expf).
MSS_INLINE Vec exp_within(Vec x) {
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to the nearest integer
  const Vec shifted = x * 1.44269504088896341F + kRound;
  const Vec n = shifted - kRound;
  const Vec r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  Vec p = splat(1.9875691500e-4F);
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  const Ints power = (reinterpret_cast<Ints>(shifted) - 0x4B400000 + 127) << 23;
  return p * reinterpret_cast<Vec>(power);
}

MSS_INLINE Vec clamp(Vec x, float low, float high) {
  x = x < low ? splat(low) : x;
  return x > high ? splat(high) : x;
}

MSS_INLINE Vec sigmoid(Vec x) { return 1.0F / (1.0F + exp_within(clamp(-x, -87.0F, 87.0F))); }

/// Below 0.625 Cephes' odd polynomial, since the other form loses the small values' digits.
MSS_INLINE Vec tanh_of(Vec x) {
  const Vec z = x * x;
  Vec p = splat(-5.70498872745e-3F);
  p = p * z + 2.06390887954e-2F;
  p = p * z - 5.37397155531e-2F;
  p = p * z + 1.33314422036e-1F;
  p = p * z - 3.33332819422e-1F;
  const Vec small = p * z * x + x;
  const Vec large = 1.0F - 2.0F / (exp_within(clamp(2.0F * x, -40.0F, 40.0F)) + 1.0F);
  return z < 0.390625F ? small : large;
}

MSS_INLINE Vec relu(Vec x) { return x > 0.0F ? x : Vec{}; }

template <int kRows>
MSS_INLINE void tile(std::int64_t depth, const float* a, std::int64_t lda, const float* w, float* c, std::int64_t ldc,
                     bool accumulate) {
  Vec sum[kRows][2];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    sum[i][0] = accumulate ? load(c + i * ldc) : Vec{};
    sum[i][1] = accumulate ? load(c + i * ldc + kLanes) : Vec{};
  }
  for (std::int64_t p = 0; p < depth; ++p) {
    const Vec left = load(w), right = load(w + kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vec x = splat(a[i * lda + p]);
      sum[i][0] += x * left;
      sum[i][1] += x * right;
    }
    w += kColumns;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    store(c + i * ldc, sum[i][0]);
    store(c + i * ldc + kLanes, sum[i][1]);
  }
}

void product(std::int64_t rows, std::int64_t depth, const float* a, std::int64_t lda, const float* w, float* c,
             std::int64_t ldc, bool accumulate) {
  for (std::int64_t r = 0; r < rows; r += MSS_ROWS)
    tile<MSS_ROWS>(depth, a + r * lda, lda, w, c + r * ldc, ldc, accumulate);
}

template <class Act>
MSS_INLINE void affine(std::int64_t rows, float* c, std::int64_t ldc, const float* scale, const float* shift,
                       const Act& act) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t k = 0; k < kColumns; k += kLanes) {
      float* at = c + r * ldc + k;
      store(at, act(load(at) * load(scale + k) + load(shift + k)));
    }
  }
}

void affine_tanh(std::int64_t rows, float* c, std::int64_t ldc, const float* scale, const float* shift) {
  affine(
      rows, c, ldc, scale, shift, [](Vec x) __attribute__((always_inline)) { return tanh_of(x); });
}

void affine_relu(std::int64_t rows, float* c, std::int64_t ldc, const float* scale, const float* shift) {
  affine(
      rows, c, ldc, scale, shift, [](Vec x) __attribute__((always_inline)) { return relu(x); });
}

void affine_mask(std::int64_t rows, std::int64_t count, const float* c, std::int64_t ldc, const float* scale,
                 const float* shift, float* out, std::int64_t ld_out) {
  if (count == kColumns) {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t k = 0; k < kColumns; k += kLanes) {
        store(out + r * ld_out + k, relu(load(c + r * ldc + k) * load(scale + k) + load(shift + k)));
      }
    }
    return;
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    float held[kColumns];
    for (std::int64_t k = 0; k < kColumns; k += kLanes) {
      store(held + k, relu(load(c + r * ldc + k) * load(scale + k) + load(shift + k)));
    }
    for (std::int64_t k = 0; k < count; ++k) out[r * ld_out + k] = held[k];
  }
}

/// One panel of units, one step.
MSS_INLINE void lstm_panel(std::int64_t units, const float* gates, const float* w, const float* bias, const float* h,
                           float* cell, float* next) {
  constexpr std::int64_t kGates = 4 * kUnitVectors;
  Vec sum[kGates];
#pragma GCC unroll 16
  for (std::int64_t v = 0; v < kGates; ++v) sum[v] = load(gates + v * kLanes) + load(bias + v * kLanes);
  for (std::int64_t k = 0; k < units; ++k) {
    const Vec x = splat(h[k]);
#pragma GCC unroll 16
    for (std::int64_t v = 0; v < kGates; ++v) sum[v] += x * load(w + v * kLanes);
    w += kGates * kLanes;
  }
#pragma GCC unroll 4
  for (std::int64_t v = 0; v < kUnitVectors; ++v) {
    const Vec input = sigmoid(sum[v]), forget = sigmoid(sum[kUnitVectors + v]);
    const Vec update = tanh_of(sum[2 * kUnitVectors + v]), output = sigmoid(sum[3 * kUnitVectors + v]);
    const Vec state = forget * load(cell + v * kLanes) + input * update;
    store(cell + v * kLanes, state);
    store(next + v * kLanes, output * tanh_of(state));
  }
}

void lstm(std::int64_t frames, std::int64_t units, const float* gates, const float* w, const float* bias, float* h,
          float* c, float* scratch, float* out, std::int64_t ld_out, bool backward) {
  const std::int64_t panels = (units + kUnits - 1) / kUnits, padded = panels * kUnits;
  float *now = h, *next = scratch;
  for (std::int64_t step = 0; step < frames; ++step) {
    const std::int64_t row = backward ? frames - 1 - step : step;
    // To and fro over the panels: what the last step used last is still in the cache.
    for (std::int64_t i = 0; i < panels; ++i) {
      const std::int64_t p = step % 2 == 0 ? i : panels - 1 - i;
      lstm_panel(units, gates + row * 4 * padded + p * 4 * kUnits, w + p * units * 4 * kUnits, bias + p * 4 * kUnits,
                 now, c + p * kUnits, next + p * kUnits);
    }
    for (std::int64_t k = 0; k < units; ++k) out[row * ld_out + k] = next[k];
    float* const swap = now;
    now = next;
    next = swap;
  }
  if (now != h) {
    for (std::int64_t k = 0; k < padded; ++k) h[k] = now[k];
  }
}

}  // namespace

extern const Kernels kKernels;
const Kernels kKernels = {static_cast<int>(kLanes),
                          static_cast<int>(kColumns),
                          MSS_ROWS,
                          static_cast<int>(kUnits),
                          product,
                          affine_tanh,
                          affine_relu,
                          affine_mask,
                          lstm};

}  // namespace mss::methods::openunmix::MSS_KERNEL_ISA
