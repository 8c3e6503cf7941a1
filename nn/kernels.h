// The inner loops of the layers, compiled once per instruction set (kernels.cpp) and chosen at start-up. The product is
// shared with methods/nmf; the rest is private to nn.
//
// Every element of a product is one sum in ascending order of the inner index, whatever the shape of the blocks around
// it; a recurrence is one sum per gate. Results therefore do not depend on how rows, columns, items or frames are cut
// into blocks or handed to threads.
#pragma once

#include <cstdint>

#include "nn/parameters.h"

namespace mss::nn {

/// C (m x n) = A (m x k) B (k x n). A's element (i, p) is a[i * row_stride + p * column_stride]. B is cut into panels
/// of two vectors' columns: element (p, j) is b[j / panel * panel_stride + p * ldb + j % panel]. A packed B (ldb =
/// panel) streams through the cache; a row-major one has panel_stride = panel. C is row-major with leading dimension
/// ldc. n is a multiple of the lanes.
template <class T>
struct Product {
  std::int64_t m, n, k;
  const T* a;
  std::int64_t row_stride, column_stride;
  const T* b;
  std::int64_t ldb, panel_stride;
  T* c;
  std::int64_t ldc;
  bool accumulate = false;  ///< C += A B
};

/// What follows a product, for one panel: out = act(sums * scale + shift) for `columns` columns (of the result; a gated
/// panel has a vector of values and a vector of gates and yields at most one vector of columns). scale may be null (1).
struct Finish {
  std::int64_t rows, columns;
  const float* sums;
  std::int64_t ld_sums;
  const float *scale, *shift;
  Activation activation;
  float* out;
  std::int64_t ld_out;
};

/// `frames` steps of an LSTM for `items` sequences, gates in the order i, f, g, o:
///   a = gates[t] + W_hh h;  c = s(f) c + s(i) tanh(g);  h = s(o) tanh(c)
/// Units are padded to a multiple U of the lanes (weights 0). Packed: w is [U / lanes][units][4][lanes], gates' rows [U
/// / lanes][4][lanes]. h, next and c are items x `ld_state`; after the call the state is in h if frames is even, else
/// in next. Row t of item b of `out` gets the units' h. Step 0 takes row 0, or with `backward` the last.
struct LstmSteps {
  std::int64_t frames, items, units;
  const float* gates;
  std::int64_t gates_item_stride, gates_row_stride;
  const float* w;
  float *h, *next, *c;
  std::int64_t ld_state;
  float* out;
  std::int64_t out_item_stride, out_row_stride;
  bool backward;
  /// Units [first_panel, last_panel) * lanes of all of them. Fewer than all: one frame to a call, and what the others
  /// have in `next` is theirs to write.
  std::int64_t first_panel, last_panel;
  bool descending;  ///< the order of the panels in the first step, which alternates from step to step
};

enum class Unary { relu, gelu, tanh, sigmoid, log1p };

struct Kernels {
  int lanes;  ///< floats of a vector register
  int panel;  ///< columns of a panel of packed weights: two vectors
  int rows;   ///< of a tile of the product
  void (*gemm)(const Product<float>& product);
  /// act(A B + shift), a summand per column, for none and relu; never accumulates. The bits of gemm and finish, without a
  /// pass over the sums.
  void (*gemm_shifted)(const Product<float>& product, const float* shift, Activation activation);
  void (*finish)(const Finish& finish);
  void (*lstm)(const LstmSteps& steps);
  /// y[i] = f(x[i]); may be in place.
  void (*unary)(Unary function, std::int64_t count, const float* x, float* y);
  /// y[i] = a[i] * sigmoid(b[i]).
  void (*gate)(std::int64_t count, const float* a, const float* b, float* y);
  /// y[i] = x[i] where it is positive, else x[i] times weights[i], or times weights[0] if all share it.
  void (*prelu)(std::int64_t count, const float* x, const float* weights, bool shared, float* y);
  /// exp(x[i] - largest) / sum, in place.
  void (*softmax)(std::int64_t count, float* x);
  /// y[t, c] = shift[c] + sum_k taps[k, c] x[t * row_step + k * tap_step + c]: rows at x + t * row_step.
  void (*depthwise)(std::int64_t frames, std::int64_t channels, std::int64_t kernel, const float* x,
                    std::int64_t row_step, std::int64_t tap_step, const float* taps, const float* shift, float* y,
                    std::int64_t ld_y);
  /// Sums of x and of (x - shift)^2 over `count` values, in double.
  void (*moments)(std::int64_t count, const float* x, double shift, double* sum, double* squares);
  /// y[i] = x[i] * factor[i] + summand[i].
  void (*affine)(std::int64_t count, const float* x, const float* factor, const float* summand, float* y);
};

const Kernels& kernels();

#define MSS_NN_DECLARE(isa)      \
  namespace isa {                \
  extern const Kernels kKernels; \
  }
MSS_NN_DECLARE(baseline)
MSS_NN_DECLARE(avx2)
MSS_NN_DECLARE(avx512)
#undef MSS_NN_DECLARE

}  // namespace mss::nn
