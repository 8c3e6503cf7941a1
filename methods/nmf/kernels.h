// The inner loops of NMF, compiled once per instruction set (kernels.cpp) and chosen at start-up. Private to
// methods/nmf.
//
// Products are nn's (nn/kernels.h): every result element is one sum in ascending k, so results do not depend on how
// rows or columns are cut into tiles or handed to threads.
#pragma once

#include <cstdint>

#include "nn/kernels.h"

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

using nn::Product;

template <class T>
struct Kernels {
  int lanes;  ///< elements per vector register: n of a product must be a multiple
  int panel;  ///< columns of a panel
  void (*gemm)(const Product<T>& product);
  /// C becomes the product (a model q) and then num, den likewise (leading dimension ldc) unless null, in the first
  /// `columns` columns. Rows of v are ldv apart. Divisions run beside the multiplications of the next block.
  void (*weights)(const Product<T>& model, const RatioArgs<T>& args, std::int64_t columns, const T* v, std::int64_t ldv,
                  T* den);
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
