// The product C = A B that networks and NMF share, as a template for kernel files (mss_add_module, KERNELS): internal
// linkage, as in nn/kernels/vector.h.
//
// Every result element is one sum in ascending order of the inner index, with the same operations whatever the shape of
// the tiles around it, so results do not depend on how rows or columns are cut or handed to threads.
#pragma once

#include "nn/kernels.h"
#include "nn/kernels/vector.h"

#if defined(__AVX512F__)
#define MSS_ROWS 12
#elif defined(__AVX2__)
#define MSS_ROWS 6
#else
#define MSS_ROWS 4
#endif

namespace mss::nn::MSS_KERNEL_ISA {
namespace {

using Index = std::int64_t;
constexpr int kRows = MSS_ROWS;
template <class T>
constexpr Index kPanelOf = 2 * kLanesOf<T>;

// The address is kept in a general register and not derived from another one again. The compiler likes to spill
// addresses to vector registers; then those of a block wait for the multiplications of the block before.
template <class T>
MSS_INLINE void pin(T*& address) {
  asm("" : "+r"(address));
}

/// Sums as they are. An epilogue that is `whole` never sees sums to be added to.
template <class T>
struct Plain {
  static constexpr bool kWhole = false;
  struct Row {
    template <class V>
    MSS_INLINE V operator()(V sum, Index) const {
      return sum;
    }
    MSS_INLINE void next() {}
  };
  MSS_INLINE Row row(Index, Index) const { return {}; }
};

/// kR rows and kV vectors of C, from column j0 of row i0.
template <class T, int kR, int kV, class Epilogue>
MSS_INLINE void micro(const Product<T>& x, Index i0, Index j0, Epilogue epilogue) {
  using V = typename Vector<T>::Type;
  using L = typename Vector<T>::Loose;
  const Index ldc = x.ldc;
  V sum[kR][kV];
  if (!Epilogue::kWhole && x.accumulate) {
    const T* c = x.c + i0 * ldc + j0;
#pragma GCC unroll 16
    for (int i = 0; i < kR; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kV; ++j) sum[i][j] = *reinterpret_cast<const L*>(c + j * kLanesOf<T>);
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
  const T* b = x.b + j0 / kPanelOf<T> * x.panel_stride;
  for (Index p = x.k; p > 0; --p) {
    V row[kV];
#pragma GCC unroll 2
    for (int j = 0; j < kV; ++j) row[j] = *reinterpret_cast<const L*>(b + j * kLanesOf<T>);
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
  auto finish = epilogue.row(i0, j0);
#pragma GCC unroll 16
  for (int i = 0; i < kR; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kV; ++j) *reinterpret_cast<L*>(c + j * kLanesOf<T>) = finish(sum[i][j], j * kLanesOf<T>);
    c += ldc;
    pin(c);
    finish.next();
  }
}

template <class T, int kV, class Epilogue, int kR = kRows - 1>
inline void remainder(const Product<T>& x, Index i, Index j, Epilogue epilogue) {
  if constexpr (kR > 0) {
    if (x.m - i == kR) {
      micro<T, kR, kV>(x, i, j, epilogue);
    } else {
      remainder<T, kV, Epilogue, kR - 1>(x, i, j, epilogue);
    }
  }
}

template <class T, int kV, class Epilogue>
void panel(const Product<T>& x, Index j, Epilogue epilogue) {
  Index i = 0;
  for (; i + kRows <= x.m; i += kRows) micro<T, kRows, kV>(x, i, j, epilogue);
  if (i < x.m) remainder<T, kV>(x, i, j, epilogue);
}

template <class T, class Epilogue>
void panels(const Product<T>& x, Epilogue epilogue) {
  Index j = 0;
  for (; j + kPanelOf<T> <= x.n; j += kPanelOf<T>) panel<T, 2>(x, j, epilogue);
  if (j < x.n) panel<T, 1>(x, j, epilogue);
}

template <class T>
void gemm(const Product<T>& x) {
  panels(x, Plain<T>{});
}

}  // namespace
}  // namespace mss::nn::MSS_KERNEL_ISA
