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

constexpr int kRows = MSS_ROWS;
template <class T>
constexpr Index kLanes = MSS_VECTOR_BYTES / sizeof(T);
template <class T>
constexpr Index kPanel = 2 * kLanes<T>;

// The address is kept in a general register and not derived from another one again. The compiler likes to spill
// addresses to vector registers; then those of a block wait for the multiplications of the block before.
template <class T>
inline __attribute__((always_inline)) void pin(T*& address) {
  asm("" : "+r"(address));
}

/// The Kullback-Leibler weights v / max(model + add, floor).
template <class T>
struct Divide {
  const T* v;
  Index ldv;
  T scale, add, floor;
};

/// kR rows and kV vectors of C, from column j0 of row i0; with kDivide of the weights, never accumulated.
template <class T, int kR, int kV, bool kDivide>
inline __attribute__((always_inline)) void micro(const Product<T>& x, Index i0, Index j0, Divide<T> divide) {
  using V = typename Vector<T>::Type;
  using L = typename Vector<T>::Loose;
  const Index ldc = x.ldc;
  V sum[kR][kV];
  if (!kDivide && x.accumulate) {
    const T* c = x.c + i0 * ldc + j0;
#pragma GCC unroll 16
    for (int i = 0; i < kR; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kV; ++j) sum[i][j] = *reinterpret_cast<const L*>(c + j * kLanes<T>);
      c += ldc;
      pin(c);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kR; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kV; ++j) sum[i][j] = V{};
    }
  }
  // Three rows of A to an address.
  constexpr int kGroups = (kR + 2) / 3;
  const Index row_stride = x.row_stride, column_stride = x.column_stride, ldb = x.ldb;
  const T* a[kGroups];
#pragma GCC unroll 16
  for (int g = 0; g < kGroups; ++g) {
    a[g] = g == 0 ? x.a + i0 * row_stride : a[g - 1] + 3 * row_stride;
    pin(a[g]);
  }
  const T* b = x.b + j0 / kPanel<T> * x.panel_stride;
  for (Index p = x.k; p > 0; --p) {
    V row[kV];
#pragma GCC unroll 2
    for (int j = 0; j < kV; ++j) row[j] = *reinterpret_cast<const L*>(b + j * kLanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < kR; ++i) {
      const T factor = a[i / 3][i % 3 * row_stride];
#pragma GCC unroll 2
      for (int j = 0; j < kV; ++j) sum[i][j] += factor * row[j];
    }
#pragma GCC unroll 16
    for (int g = 0; g < kGroups; ++g) a[g] += column_stride;
    b += ldb;
  }
  T* c = x.c + i0 * ldc + j0;
  const T* v = nullptr;
  if constexpr (kDivide) v = divide.v + i0 * divide.ldv + j0;
#pragma GCC unroll 16
  for (int i = 0; i < kR; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kV; ++j) {
      V result = sum[i][j];
      if constexpr (kDivide) {
        const T* at = v + j * kLanes<T>;
        // What the next panel wants: the end of its vector, as rows of V start anywhere.
        __builtin_prefetch(at + kPanel<T> + kLanes<T> - 1, 0, 2);
        const V q = result + divide.add;
        result = divide.scale * V(*reinterpret_cast<const L*>(at)) / (q > divide.floor ? q : V{} + divide.floor);
      }
      *reinterpret_cast<L*>(c + j * kLanes<T>) = result;
    }
    c += ldc;
    pin(c);
    if constexpr (kDivide) {
      v += divide.ldv;
      pin(v);
    }
  }
}

template <class T, int kV, bool kDivide, int kR = kRows - 1>
inline void remainder(const Product<T>& x, Index i, Index j, Divide<T> divide) {
  if constexpr (kR > 0) {
    if (x.m - i == kR) {
      micro<T, kR, kV, kDivide>(x, i, j, divide);
    } else {
      remainder<T, kV, kDivide, kR - 1>(x, i, j, divide);
    }
  }
}

template <class T, int kV, bool kDivide>
void panel(const Product<T>& x, Index j, Divide<T> divide) {
  Index i = 0;
  for (; i + kRows <= x.m; i += kRows) micro<T, kRows, kV, kDivide>(x, i, j, divide);
  if (i < x.m) remainder<T, kV, kDivide>(x, i, j, divide);
}

template <class T>
void gemm(const Product<T>& x) {
  Index j = 0;
  for (; j + kPanel<T> <= x.n; j += kPanel<T>) panel<T, 2, false>(x, j, {});
  if (j < x.n) panel<T, 1, false>(x, j, {});
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

template <class T>
void weights(const Product<T>& model, const RatioArgs<T>& args, Index columns, const T* v, Index ldv, T* den) {
  Index j = 0;
  if (args.kind == Ratio::kl && den == nullptr) {
    const Divide<T> divide{v, ldv, args.scale, args.add, args.floor};
    for (; j + kPanel<T> <= columns; j += kPanel<T>) panel<T, 2, true>(model, j, divide);
    if (j == model.n) return;
  }
  Product<T> rest = model;
  rest.n -= j;
  rest.b += j / kPanel<T> * model.panel_stride;
  rest.c += j;
  gemm(rest);
  for (Index i = 0; i < model.m; ++i) {
    ratio(args, columns - j, v + i * ldv + j, model.c + i * model.ldc + j,
          den == nullptr ? nullptr : den + i * model.ldc);
  }
}

}  // namespace

const Kernels<float> kKernelsFloat = {kLanes<float>, kPanel<float>, gemm<float>, weights<float>};
const Kernels<double> kKernelsDouble = {kLanes<double>, kPanel<double>, gemm<double>, weights<double>};

}  // namespace mss::methods::nmf::MSS_KERNEL_ISA
