// A matrix of weights packed for the kernels, and the product of rows with it. Private to nn.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "nn/kernels.h"
#include "nn/parameters.h"
#include "nn/tensor.h"

namespace mss::nn {

/// W (inputs x outputs) in blocks of kDepth inputs, in each the panels of two vectors of outputs, in each a row per
/// input. With Activation::glu a panel holds a vector of values and a vector of gates. The summand (bias) and an
/// optional factor per output, and the activation, are applied to the sums.
class Packed {
 public:
  /// Inner index per pass: a panel (128 KB at most) and the rows' inputs stay in the second-level cache.
  static constexpr std::int64_t kDepth = 512;
  /// Rows of one pass over the weights.
  static constexpr std::int64_t kRows = 96;

  /// `row(j)` are the `inputs` weights of column j (null: all zero), for j in [0, outputs) or with glu [0, 2 outputs).
  /// They are read before the next call.
  Packed(std::int64_t inputs, std::int64_t outputs, Activation activation,
         const std::function<const float*(std::int64_t)>& row);
  /// Per column j, values of double precision rounded here. Unset: factor 1 (none), summand 0.
  void set_summand(const std::function<double(std::int64_t)>& value);
  void set_factor(const std::function<double(std::int64_t)>& value);

  std::int64_t inputs() const noexcept { return inputs_; }
  std::int64_t outputs() const noexcept { return outputs_; }

  /// Row r of a left factor that lies at a + r * lda, `inputs` values beside each other.
  void multiply(std::int64_t rows, const float* a, std::int64_t lda, float* out, std::int64_t ld_out) const;
  /// A left factor that is gathered: `copy(row, from, count, to)` writes the values [from, from + count) of a row;
  /// called for blocks of rows and inputs.
  template <class Copy>
  void multiply_gathered(std::int64_t rows, float* out, std::int64_t ld_out, const Copy& copy) const;

  /// Everything that one worker needs for rows [0, rows), rows <= kRows, and panels [first, last). `held` has the rows'
  /// values of inputs [k, k + depth).
  struct Block {
    std::int64_t rows, first_panel, last_panel;
    float* out;
    std::int64_t ld_out;
  };
  static constexpr std::int64_t kHeldStride =
      kDepth + 16;  ///< no power of two, so that rows do not meet in the same sets of the cache

  std::int64_t panels() const noexcept { return panels_; }
  /// The product of one depth block; `sums` keeps all panels of the block between depths.
  void accumulate(const Block& block, const float* a, std::int64_t lda, std::int64_t from, std::int64_t depth,
                  float* sums) const;
  /// How rows and panels are divided into items of work for the calling thread's RunScope.
  struct Division {
    std::int64_t row_blocks, panel_blocks, panels_each;
  };
  Division divide(std::int64_t rows) const;
  /// Calls work(row block, first row, rows, first panel, last panel, worker) for all items.
  void distribute(std::int64_t rows,
                  const std::function<void(std::int64_t first_row, std::int64_t count, std::int64_t first_panel,
                                           std::int64_t last_panel, float* held, float* sums)>& work) const;

 private:
  std::int64_t column_of(std::int64_t j) const;  ///< place of column j in the padded order

  std::int64_t inputs_, outputs_, panels_, lanes_;
  Activation activation_;
  Floats weights_, factor_, summand_;
  bool has_factor_ = false;
};

template <class Copy>
void Packed::multiply_gathered(std::int64_t rows, float* out, std::int64_t ld_out, const Copy& copy) const {
  distribute(rows, [&](std::int64_t first_row, std::int64_t count, std::int64_t first_panel, std::int64_t last_panel,
                       float* held, float* sums) {
    const Block block{count, first_panel, last_panel, out + first_row * ld_out, ld_out};
    for (std::int64_t from = 0; from < inputs_; from += kDepth) {
      const std::int64_t depth = std::min(kDepth, inputs_ - from);
      for (std::int64_t r = 0; r < count; ++r) copy(first_row + r, from, depth, held + r * kHeldStride);
      accumulate(block, held, kHeldStride, from, depth, sums);
    }
  });
}

}  // namespace mss::nn
