#include "methods/nmf/kernels.h"

#include <cmath>
#include <cstddef>

#if defined(__AVX512F__)
#define MSS_VECTOR_BYTES 64
#define MSS_ROWS 12
#elif defined(__AVX2__)
#define MSS_VECTOR_BYTES 32
#define MSS_ROWS 6
#else
#define MSS_VECTOR_BYTES 16
#define MSS_ROWS 4
#endif

namespace mss::methods::nmf::MSS_KERNEL_ISA {
namespace {

using Index = std::int64_t;

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

// Rows of B that are copied beside each other before use: two vectors wide, they stay in the first-level cache.
constexpr Index kDepth = 192;

template <class T, int kRows, int kVectors>
inline __attribute__((always_inline)) void micro(Index k, const T* a, Index row_stride, Index column_stride, const T* b,
                                                 Index ldb, T* c, Index ldc, bool accumulate) {
  using V = typename Vector<T>::Type;
  using L = typename Vector<T>::Loose;
  constexpr Index lanes = MSS_VECTOR_BYTES / sizeof(T);
  V sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      sum[i][j] = accumulate ? V(*reinterpret_cast<const L*>(c + i * ldc + j * lanes)) : V{};
    }
  }
  for (Index p = 0; p < k; ++p) {
    V row[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) row[j] = *reinterpret_cast<const L*>(b + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const T x = a[i * row_stride];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sum[i][j] += x * row[j];
    }
    a += column_stride;
    b += ldb;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) *reinterpret_cast<L*>(c + i * ldc + j * lanes) = sum[i][j];
  }
}

template <class T, int kVectors, int kRows = MSS_ROWS - 1>
inline void remainder(Index rows, Index k, const T* a, Index row_stride, Index column_stride, const T* b, Index ldb,
                      T* c, Index ldc, bool accumulate) {
  if constexpr (kRows > 0) {
    if (rows == kRows) {
      micro<T, kRows, kVectors>(k, a, row_stride, column_stride, b, ldb, c, ldc, accumulate);
    } else {
      remainder<T, kVectors, kRows - 1>(rows, k, a, row_stride, column_stride, b, ldb, c, ldc, accumulate);
    }
  }
}

template <class T, int kVectors>
void panel(Index m, Index k, const T* a, Index row_stride, Index column_stride, const T* b, Index ldb, T* c, Index ldc,
           bool accumulate) {
  constexpr Index lanes = MSS_VECTOR_BYTES / sizeof(T);
  alignas(64) T packed[kDepth * kVectors * lanes];
  if (m > 2 * MSS_ROWS && ldb != kVectors * lanes) {
    for (Index p = 0; p < k; ++p) {
      for (Index j = 0; j < kVectors * lanes; ++j) packed[p * kVectors * lanes + j] = b[p * ldb + j];
    }
    b = packed;
    ldb = kVectors * lanes;
  }
  Index i = 0;
  for (; i + MSS_ROWS <= m; i += MSS_ROWS) {
    micro<T, MSS_ROWS, kVectors>(k, a + i * row_stride, row_stride, column_stride, b, ldb, c + i * ldc, ldc,
                                 accumulate);
  }
  if (i < m) {
    remainder<T, kVectors>(m - i, k, a + i * row_stride, row_stride, column_stride, b, ldb, c + i * ldc, ldc,
                           accumulate);
  }
}

template <class T>
void gemm(Index m, Index n, Index k, const T* a, Index row_stride, Index column_stride, const T* b, Index ldb, T* c,
          Index ldc, bool accumulate) {
  constexpr Index lanes = MSS_VECTOR_BYTES / sizeof(T);
  if (k == 0 && !accumulate) {
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) c[i * ldc + j] = T(0);
    }
  }
  for (Index p = 0; p < k; p += kDepth) {
    const Index depth = k - p < kDepth ? k - p : kDepth;
    const bool add = accumulate || p > 0;
    Index j = 0;
    for (; j + 2 * lanes <= n; j += 2 * lanes) {
      panel<T, 2>(m, depth, a + p * column_stride, row_stride, column_stride, b + p * ldb + j, ldb, c + j, ldc, add);
    }
    for (; j + lanes <= n; j += lanes) {
      panel<T, 1>(m, depth, a + p * column_stride, row_stride, column_stride, b + p * ldb + j, ldb, c + j, ldc, add);
    }
  }
}

inline float power(float x, float y) { return ::powf(x, y); }
inline double power(double x, double y) { return ::pow(x, y); }

template <class T>
void ratio(const RatioArgs<T>& args, Index count, const T* v, T* q, T* den) {
  const T scale = args.scale, add = args.add, floor = args.floor;
  switch (args.kind) {
    case Ratio::kl:
      for (Index i = 0; i < count; ++i) {
        T x = q[i] + add;
        x = x > floor ? x : floor;
        q[i] = scale * v[i] / x;
      }
      if (den != nullptr) {
        for (Index i = 0; i < count; ++i) den[i] = T(1);
      }
      break;
    case Ratio::euclidean:
      for (Index i = 0; i < count; ++i) {
        const T x = q[i] + add;
        den[i] = x > floor ? x : floor;
        q[i] = scale * v[i];
      }
      break;
    case Ratio::itakura:
      for (Index i = 0; i < count; ++i) {
        T x = q[i] + add;
        x = x > floor ? x : floor;
        const T inverse = T(1) / x;
        q[i] = scale * v[i] * inverse * inverse;
        den[i] = inverse;
      }
      break;
    case Ratio::general:
      for (Index i = 0; i < count; ++i) {
        T x = q[i] + add;
        x = x > floor ? x : floor;
        const T d = power(x, args.beta - T(1));
        q[i] = scale * v[i] * d / x;
        den[i] = d;
      }
      break;
  }
}

}  // namespace

const Kernels<float> kKernelsFloat = {MSS_VECTOR_BYTES / sizeof(float), gemm<float>, ratio<float>};
const Kernels<double> kKernelsDouble = {MSS_VECTOR_BYTES / sizeof(double), gemm<double>, ratio<double>};

}  // namespace mss::methods::nmf::MSS_KERNEL_ISA
