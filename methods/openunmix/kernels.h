// The inner loops of the networks, compiled once per instruction set (kernels.cpp) and chosen at start-up. Private to
// methods/openunmix.
//
// Every element of a product is one sum in ascending order of the inner index, whatever the shape of the blocks around
// it; the recurrence is one sum per gate. Results therefore do not depend on how rows, columns or frames are cut into
// blocks or handed to threads. All pointers to packed weights and to gates are aligned to 64 bytes.
#pragma once

#include <cstdint>

namespace mss::methods::openunmix {

struct Kernels {
  int lanes;       ///< floats of a vector register
  int columns;     ///< of a panel of packed weights
  int rows;        ///< of a strip: product() takes a multiple
  int lstm_units;  ///< of a panel of packed recurrent weights

  /// C (rows x columns) = A (rows x depth) W (depth x columns), added to C where `accumulate`. W is contiguous.
  void (*product)(std::int64_t rows, std::int64_t depth, const float* a, std::int64_t lda, const float* w, float* c,
                  std::int64_t ldc, bool accumulate);

  /// In place, for `rows` x `columns` (a panel): c = act(c * scale[k] + shift[k]).
  void (*affine_tanh)(std::int64_t rows, float* c, std::int64_t ldc, const float* scale, const float* shift);
  void (*affine_relu)(std::int64_t rows, float* c, std::int64_t ldc, const float* scale, const float* shift);
  /// out = max(0, c * scale + shift) for the first `count` columns of a panel.
  void (*affine_mask)(std::int64_t rows, std::int64_t count, const float* c, std::int64_t ldc, const float* scale,
                      const float* shift, float* out, std::int64_t ld_out);

  /// `frames` steps of an LSTM without peepholes, gates in the order i, f, g, o:
  ///   a = gates[t] + W_hh h + bias;  c = s(f) c + s(i) tanh(g);  h = s(o) tanh(c)
  /// units are padded to a multiple U of lstm_units; `gates` has rows of 4 U, `w` is [U / lstm_units][units][4 x
  /// lstm_units], both (and bias) with the gates of a panel beside each other. h and c (U values) are the state,
  /// carried on. Row r of `out` gets the units' h. Step 0 takes row 0, or with `backward` the last row.
  void (*lstm)(std::int64_t frames, std::int64_t units, const float* gates, const float* w, const float* bias, float* h,
               float* c, float* scratch, float* out, std::int64_t ld_out, bool backward);
};

const Kernels& kernels();

#define MSS_OPENUNMIX_DECLARE(isa) \
  namespace isa {                  \
  extern const Kernels kKernels;   \
  }
MSS_OPENUNMIX_DECLARE(baseline)
MSS_OPENUNMIX_DECLARE(avx2)
MSS_OPENUNMIX_DECLARE(avx512)
#undef MSS_OPENUNMIX_DECLARE

}  // namespace mss::methods::openunmix
