// The inner loops of NMF, compiled once per instruction set (kernels.cpp) and chosen at start-up. Private to
// methods/nmf.
//
// Every result element is one sum in ascending k, with the same operations whatever the shape of the blocks around it,
// so results do not depend on how rows or columns are cut into tiles or handed to threads.
#pragma once

#include <cstdint>

namespace mss::methods::nmf {

/// Element-wise step between two products: from the model q and the data v to numerator and denominator weights.
enum class Ratio : int {
  kl,         ///< num = v / q
  euclidean,  ///< num = v,            den = q
  itakura,    ///< num = v / q^2,      den = 1 / q
  general     ///< num = v q^(beta-2), den = q^(beta-1)
};

template <class T>
struct RatioArgs {
  Ratio kind = Ratio::kl;
  T scale = 1;  ///< v is read as scale * v
  T add = 0;    ///< the model is read as max(q + add, floor)
  T floor = 0;
  T beta = 1;
};

template <class T>
struct Kernels {
  /// Elements per vector register: n of gemm() must be a multiple.
  int lanes;
  /// C (m x n) = A (m x k) B (k x n), added to C when `accumulate`. A's element (i, p) is a[i * row_stride + p *
  /// column_stride]; B and C are row-major with leading dimensions ldb, ldc.
  void (*gemm)(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, std::int64_t row_stride,
               std::int64_t column_stride, const T* b, std::int64_t ldb, T* c, std::int64_t ldc, bool accumulate);
  /// num overwrites q; den is written unless null.
  void (*ratio)(const RatioArgs<T>& args, std::int64_t count, const T* v, T* q, T* den);
};

template <class T>
const Kernels<T>& kernels();

#define MSS_NMF_DECLARE(isa)                   \
  namespace isa {                              \
  extern const Kernels<float> kKernelsFloat;   \
  extern const Kernels<double> kKernelsDouble; \
  }
MSS_NMF_DECLARE(baseline)
MSS_NMF_DECLARE(avx2)
MSS_NMF_DECLARE(avx512)
#undef MSS_NMF_DECLARE

}  // namespace mss::methods::nmf
