#include "methods/nmf/kernels.h"

#include <cmath>
#include <cstddef>

#include "nn/kernels/product.h"

namespace mss::methods::nmf::MSS_KERNEL_ISA {
namespace {

using Index = std::int64_t;
namespace shared = mss::nn::MSS_KERNEL_ISA;
template <class T>
constexpr Index kLanes = shared::kLanesOf<T>;
template <class T>
constexpr Index kPanel = shared::kPanelOf<T>;

/// After the product: the Kullback-Leibler weights v / max(model + add, floor). Divisions run beside the
/// multiplications of the next tile.
template <class T>
struct Divide {
  static constexpr bool kWhole = true;
  const T* v;
  Index ldv;
  T scale, add, floor;

  struct Row {
    const T* v;
    Index ldv;
    T scale, add, floor;
    template <class V>
    MSS_INLINE V operator()(V sum, Index column) const {
      using L = typename shared::Vector<T>::Loose;
      const T* at = v + column;
      // What the next panel wants: the end of its vector, as rows of V start anywhere.
      __builtin_prefetch(at + kPanel<T> + kLanes<T> - 1, 0, 2);
      const V q = sum + add;
      return scale * V(*reinterpret_cast<const L*>(at)) / (q > floor ? q : V{} + floor);
    }
    MSS_INLINE void next() {
      v += ldv;
      shared::pin(v);
    }
  };
  MSS_INLINE Row row(Index i0, Index j0) const { return {v + i0 * ldv + j0, ldv, scale, add, floor}; }
};

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
    for (; j + kPanel<T> <= columns; j += kPanel<T>) shared::panel<T, 2>(model, j, divide);
    if (j == model.n) return;
  }
  Product<T> rest = model;
  rest.n -= j;
  rest.b += j / kPanel<T> * model.panel_stride;
  rest.c += j;
  shared::gemm(rest);
  for (Index i = 0; i < model.m; ++i) {
    ratio(args, columns - j, v + i * ldv + j, model.c + i * model.ldc + j,
          den == nullptr ? nullptr : den + i * model.ldc);
  }
}

}  // namespace

const Kernels<float> kKernelsFloat = {kLanes<float>, kPanel<float>, shared::gemm<float>, weights<float>};
const Kernels<double> kKernelsDouble = {kLanes<double>, kPanel<double>, shared::gemm<double>, weights<double>};

}  // namespace mss::methods::nmf::MSS_KERNEL_ISA
