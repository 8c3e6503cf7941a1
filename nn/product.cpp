#include "nn/product.h"

#include <atomic>
#include <memory>

#include "core/error.h"
#include "core/parallel.h"

namespace mss::nn {
namespace {

/// Scratch of one thread, kept between products.
struct Scratch {
  Floats held, sums;
};
Scratch& scratch() {
  static thread_local Scratch mine;
  return mine;
}

}  // namespace

Packed::Packed(std::int64_t inputs, std::int64_t outputs, Activation activation,
               const std::function<const float*(std::int64_t)>& row)
    : inputs_(inputs), outputs_(outputs), lanes_(kernels().lanes), activation_(activation) {
  const std::int64_t each = activation == Activation::glu ? lanes_ : 2 * lanes_;
  panels_ = (outputs + each - 1) / each;
  const std::int64_t padded = panels_ * 2 * lanes_;
  weights_ = Floats(inputs * padded);
  summand_ = Floats(padded);
  std::fill_n(weights_.data(), weights_.size(), 0.0F);
  std::fill_n(summand_.data(), padded, 0.0F);
  const std::int64_t columns = activation == Activation::glu ? 2 * outputs : outputs, width = 2 * lanes_;
  for (std::int64_t j = 0; j < columns; ++j) {
    const float* from = row(j);
    if (from == nullptr) continue;
    const std::int64_t at = column_of(j), panel = at / width, column = at % width;
    for (std::int64_t first = 0; first < inputs; first += kDepth) {
      const std::int64_t depth = std::min(kDepth, inputs - first);
      float* block = weights_.data() + first * padded + panel * width * depth + column;
      for (std::int64_t k = 0; k < depth; ++k) block[k * width] = from[first + k];
    }
  }
}

std::int64_t Packed::column_of(std::int64_t j) const {
  if (activation_ != Activation::glu) return j;
  const std::int64_t gate = j < outputs_ ? 0 : 1, within = j - gate * outputs_;
  return within / lanes_ * 2 * lanes_ + gate * lanes_ + within % lanes_;
}

void Packed::set_summand(const std::function<double(std::int64_t)>& value) {
  const std::int64_t columns = activation_ == Activation::glu ? 2 * outputs_ : outputs_;
  for (std::int64_t j = 0; j < columns; ++j) summand_.data()[column_of(j)] = static_cast<float>(value(j));
}

void Packed::set_factor(const std::function<double(std::int64_t)>& value) {
  const std::int64_t columns = activation_ == Activation::glu ? 2 * outputs_ : outputs_;
  factor_ = Floats(summand_.size());
  std::fill_n(factor_.data(), factor_.size(), 0.0F);
  for (std::int64_t j = 0; j < columns; ++j) factor_.data()[column_of(j)] = static_cast<float>(value(j));
  has_factor_ = true;
}

void Packed::accumulate(const Block& block, const float* a, std::int64_t lda, std::int64_t from, std::int64_t depth,
                        float* sums) const {
  const Kernels& k = kernels();
  const std::int64_t width = 2 * lanes_, padded = panels_ * width,
                     each = activation_ == Activation::glu ? lanes_ : width;
  const float* w = weights_.data() + from * padded;
  const bool last = from + depth == inputs_, single = inputs_ <= kDepth;
  const std::int64_t ld = single ? width : (block.last_panel - block.first_panel) * width;
  const bool only_shifted =
      single && (activation_ == Activation::none || activation_ == Activation::relu) && !has_factor_;
  for (std::int64_t p = block.first_panel; p < block.last_panel; ++p) {
    float* c = single ? sums : sums + (p - block.first_panel) * width;
    const std::int64_t columns = std::min(each, outputs_ - p * each);
    // A panel whose second vector is only padding costs half.
    const std::int64_t n = activation_ != Activation::glu && columns <= lanes_ ? lanes_ : width;
    Product<float> product{.m = block.rows,
                           .n = n,
                           .k = depth,
                           .a = a,
                           .row_stride = lda,
                           .column_stride = 1,
                           .b = w + p * width * depth,
                           .ldb = width,
                           .panel_stride = 0,
                           .c = c,
                           .ldc = ld,
                           .accumulate = from > 0};
    if (only_shifted && columns == n) {
      product.c = block.out + p * each;
      product.ldc = block.ld_out;
      k.gemm_shifted(product, summand_.data() + p * width, activation_);
      continue;
    }
    k.gemm(product);
    if (!last) continue;
    k.finish({.rows = block.rows,
              .columns = columns,
              .sums = c,
              .ld_sums = ld,
              .scale = has_factor_ ? factor_.data() + p * width : nullptr,
              .shift = summand_.data() + p * width,
              .activation = activation_,
              .out = block.out + p * each,
              .ld_out = block.ld_out});
  }
}

Packed::Division Packed::divide(std::int64_t rows) const {
  const int threads = RunScope::threads();
  Division d{};
  d.row_blocks = (rows + kRows - 1) / kRows;
  // Where there are few blocks of rows, the panels are divided too, so that no thread waits long for the last.
  std::int64_t cuts = 1;
  if (threads > 1 && d.row_blocks % threads != 0 && d.row_blocks < 4 * threads)
    cuts = (2 * threads + d.row_blocks - 1) / d.row_blocks * 2;
  // Sums of one item stay within half a megabyte.
  const std::int64_t width = 2 * lanes_;
  if (inputs_ > kDepth) cuts = std::max(cuts, (panels_ * width * kRows * 4 + (1 << 19) - 1) / (1 << 19));
  // Eight items a thread, as long as each has 512 columns: what it does once for its rows is then small beside them.
  if (threads > 1) {
    cuts = std::max(cuts, std::min((8 * threads + d.row_blocks - 1) / d.row_blocks, panels_ * width / 512));
  }
  cuts = std::clamp<std::int64_t>(cuts, 1, panels_);
  d.panels_each = (panels_ + cuts - 1) / cuts;
  d.panel_blocks = (panels_ + d.panels_each - 1) / d.panels_each;
  return d;
}

void Packed::distribute(
    std::int64_t rows,
    const std::function<void(std::int64_t, std::int64_t, std::int64_t, std::int64_t, float*, float*)>& work) const {
  if (rows <= 0) return;
  const Division d = divide(rows);
  const std::int64_t sums = inputs_ <= kDepth ? kRows * 2 * lanes_ : kRows * d.panels_each * 2 * lanes_;
  const std::int64_t tile = kernels().rows, tiles = (rows + tile - 1) / tile;
  MSS_ASSERT(kRows % tile == 0);
  // Panels outermost: the weights of a block of panels meet all rows one after the other.
  core::parallel_for(d.row_blocks * d.panel_blocks, RunScope::threads(), [&](std::int64_t item) {
    const std::int64_t row_block = item % d.row_blocks, panel_block = item / d.row_blocks;
    // Rows are divided evenly, so that the last block is not a short one, and in whole tiles, which cost less a row.
    const std::int64_t first = row_block * tiles / d.row_blocks * tile,
                       end = std::min(rows, (row_block + 1) * tiles / d.row_blocks * tile);
    Scratch& mine = scratch();
    work(first, end - first, panel_block * d.panels_each, std::min(panels_, (panel_block + 1) * d.panels_each),
         mine.held.room(kRows * kHeldStride), mine.sums.room(sums));
  });
}

void Packed::multiply(std::int64_t rows, const float* a, std::int64_t lda, float* out, std::int64_t ld_out) const {
  // Rows are read where they are, unless their distance is a large power of two and a tile's rows, which then meet in the
  // same sets of the first cache, are more than its ways.
  constexpr int kWays = 8;
  if (lda % 256 != 0 || kernels().rows <= kWays) {
    distribute(rows, [&](std::int64_t first_row, std::int64_t count, std::int64_t first_panel, std::int64_t last_panel,
                         float*, float* sums) {
      const Block block{count, first_panel, last_panel, out + first_row * ld_out, ld_out};
      for (std::int64_t from = 0; from < inputs_; from += kDepth)
        accumulate(block, a + first_row * lda + from, lda, from, std::min(kDepth, inputs_ - from), sums);
    });
    return;
  }
  multiply_gathered(rows, out, ld_out, [a, lda](std::int64_t row, std::int64_t from, std::int64_t count, float* to) {
    std::copy_n(a + row * lda + from, count, to);
  });
}

}  // namespace mss::nn
