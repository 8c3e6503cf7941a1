// The kernels of every instruction set that this processor has, against plain loops.
#include "nn/kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/isa.h"
#include "core/rng.h"
#include "tests/support/catch.h"

using namespace mss;

namespace {

std::vector<const nn::Kernels*> sets() {
  std::vector<const nn::Kernels*> out{&nn::baseline::kKernels};
#if defined(__x86_64__)
  if (core::detected_isa() >= core::Isa::avx2) out.push_back(&nn::avx2::kKernels);
  if (core::detected_isa() >= core::Isa::avx512) out.push_back(&nn::avx512::kKernels);
#endif
  return out;
}

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

std::vector<float> uniform(core::Rng& rng, std::int64_t count) {
  std::vector<float> out(sz(count));
  for (float& x : out) x = static_cast<float>(rng.uniform(-1, 1));
  return out;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

TEST_CASE("products and what follows them", "[nn]") {
  core::Rng rng(1, 2);
  for (const nn::Kernels* k : sets()) {
    CAPTURE(k->lanes);
    const std::int64_t rows = 2 * k->rows + 1, depth = 37, columns = k->panel;
    const std::vector<float> a = uniform(rng, rows * depth), w = uniform(rng, depth * columns),
                             scale = uniform(rng, columns), shift = uniform(rng, columns);
    std::vector<float> c(sz(rows * columns));
    nn::Product<float> product{.m = rows,
                               .n = columns,
                               .k = depth,
                               .a = a.data(),
                               .row_stride = depth,
                               .column_stride = 1,
                               .b = w.data(),
                               .ldb = columns,
                               .panel_stride = 0,
                               .c = c.data(),
                               .ldc = columns};
    k->gemm(product);
    product.accumulate = true;
    k->gemm(product);
    double worst = 0, worst_finish = 0;
    for (const nn::Activation activation : {nn::Activation::none, nn::Activation::relu, nn::Activation::tanh}) {
      const std::int64_t some = columns - 3;
      std::vector<float> out(sz(rows * some));
      k->finish({.rows = rows,
                 .columns = some,
                 .sums = c.data(),
                 .ld_sums = columns,
                 .scale = scale.data(),
                 .shift = shift.data(),
                 .activation = activation,
                 .out = out.data(),
                 .ld_out = some});
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < some; ++j) {
          const double y = static_cast<double>(c[sz(i * columns + j)]) * scale[sz(j)] + shift[sz(j)];
          const double expected = activation == nn::Activation::relu   ? std::max(y, 0.0)
                                  : activation == nn::Activation::tanh ? std::tanh(y)
                                                                       : y;
          worst_finish = std::max(worst_finish, std::abs(expected - out[sz(i * some + j)]));
        }
      }
    }
    // The same in one: equal bits.
    product.accumulate = false;
    k->gemm(product);
    for (const nn::Activation activation : {nn::Activation::none, nn::Activation::relu}) {
      std::vector<float> apart(sz(rows * columns)), at_once(sz(rows * columns));
      k->finish({.rows = rows,
                 .columns = columns,
                 .sums = c.data(),
                 .ld_sums = columns,
                 .scale = nullptr,
                 .shift = shift.data(),
                 .activation = activation,
                 .out = apart.data(),
                 .ld_out = columns});
      nn::Product<float> other = product;
      other.c = at_once.data();
      k->gemm_shifted(other, shift.data(), activation);
      CHECK(at_once == apart);
    }
    product.accumulate = true;
    k->gemm(product);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (std::int64_t p = 0; p < depth; ++p) {
          sum += static_cast<double>(a[sz(i * depth + p)]) * w[sz(p * columns + j)];
        }
        worst = std::max(worst, std::abs(2 * sum - c[sz(i * columns + j)]));
      }
    }
    CHECK(worst < 1e-5);
    CHECK(worst_finish < 2e-6);
  }
}

TEST_CASE("steps of an LSTM in two pieces, both directions", "[nn]") {
  core::Rng rng(3, 4);
  for (const nn::Kernels* k : sets()) {
    CAPTURE(k->lanes);
    // Units below the lanes are padding: their weights are zero.
    const std::int64_t units = 3, frames = 9, width = k->lanes;
    const std::vector<float> gates = uniform(rng, frames * 4 * width);
    std::vector<float> w(sz(units * 4 * width), 0.0F);
    for (std::int64_t u = 0; u < units; ++u) {
      for (std::int64_t g = 0; g < 4; ++g) {
        for (std::int64_t j = 0; j < units; ++j)
          w[sz((u * 4 + g) * width + j)] = static_cast<float>(rng.uniform(-1, 1));
      }
    }
    for (const bool backward : {false, true}) {
      std::vector<float> h(sz(width), 0.0F), cell = h, next = h, out(sz(frames * units));
      const auto piece = [&](std::int64_t first, std::int64_t count) {
        k->lstm({.frames = count,
                 .items = 1,
                 .units = units,
                 .gates = gates.data() + first * 4 * width,
                 .gates_item_stride = 0,
                 .gates_row_stride = 4 * width,
                 .w = w.data(),
                 .h = h.data(),
                 .next = next.data(),
                 .c = cell.data(),
                 .ld_state = width,
                 .out = out.data() + first * units,
                 .out_item_stride = 0,
                 .out_row_stride = units,
                 .backward = backward,
                 .first_panel = 0,
                 .last_panel = 1,
                 .descending = false});
        if (count % 2 == 1) std::swap(h, next);
      };
      piece(backward ? 4 : 0, backward ? 5 : 4);
      piece(backward ? 0 : 4, backward ? 4 : 5);
      std::vector<double> state(sz(units), 0), hidden = state;
      double worst = 0;
      for (std::int64_t step = 0; step < frames; ++step) {
        const std::int64_t n = backward ? frames - 1 - step : step;
        std::vector<double> then(hidden.size());
        for (std::int64_t u = 0; u < units; ++u) {
          double g[4];
          for (std::int64_t i = 0; i < 4; ++i) {
            g[i] = gates[sz((n * 4 + i) * width + u)];
            for (std::int64_t p = 0; p < units; ++p) g[i] += hidden[sz(p)] * w[sz((p * 4 + i) * width + u)];
          }
          double& now = state[sz(u)];
          now = sigmoid(g[1]) * now + sigmoid(g[0]) * std::tanh(g[2]);
          then[sz(u)] = sigmoid(g[3]) * std::tanh(now);
        }
        hidden = then;
        for (std::int64_t u = 0; u < units; ++u) {
          worst = std::max(worst, std::abs(hidden[sz(u)] - out[sz(n * units + u)]));
        }
      }
      CHECK(worst < 2e-6);
    }
  }
}

TEST_CASE("tanh and sigmoid of extreme values stay finite", "[nn]") {
  for (const nn::Kernels* k : sets()) {
    CAPTURE(k->lanes);
    for (const float value : {0.0F, 1e-30F, -1e-4F, 0.624F, 0.626F, -5.0F, 20.0F, -90.0F, 1e30F, -1e30F}) {
      CAPTURE(value);
      float y = 0.0F;
      k->unary(nn::Unary::tanh, 1, &value, &y);
      CHECK(std::abs(y - std::tanh(static_cast<double>(value))) <= 2e-7);
      if (std::abs(value) < 0.1F) CHECK(y == Approx(std::tanh(static_cast<double>(value))).epsilon(1e-6));
      k->unary(nn::Unary::sigmoid, 1, &value, &y);
      CHECK(std::abs(y - sigmoid(static_cast<double>(value))) <= 2e-7);
    }
  }
}

TEST_CASE("a cell of an LSTM with any gates is its formula, small values with their digits", "[nn]") {
  const std::vector<float> values = {
      0.0F,  1e-30F, -1e-6F, 0.17F, -0.35F, 0.7F, -1.1F,  5.0F,
      -9.5F, 17.0F,  -27.5F, 30.0F, -90.0F, 1e5F, -1e30F, std::numeric_limits<float>::infinity()};
  for (const nn::Kernels* k : sets()) {
    CAPTURE(k->lanes);
    const std::int64_t width = k->lanes, units = 2 * width;
    const std::vector<float> w(sz(units * 4 * units), 0.0F);
    core::Rng rng(5, 6);
    const auto draw = [&] {
      return rng.uniform(0, 1) < 0.5 ? values[static_cast<std::size_t>(rng.uniform(0, 16))]
                                     : static_cast<float>(rng.uniform(-3, 3));
    };
    for (int round = 0; round < 200; ++round) {
      std::vector<float> gates(sz(4 * units)), cell(sz(units)), h(sz(units), 0.0F), next(sz(units), -7.0F),
          out(sz(units), -7.0F);
      for (float& g : gates) g = draw();
      for (float& c : cell) c = static_cast<float>(rng.uniform(-1, 1) * std::pow(10.0, rng.uniform(-12, 3)));
      const std::vector<float> before = cell;
      const auto panels = [&](std::int64_t first, std::int64_t last) {
        k->lstm({.frames = 1,
                 .items = 1,
                 .units = units,
                 .gates = gates.data(),
                 .gates_item_stride = 0,
                 .gates_row_stride = 0,
                 .w = w.data(),
                 .h = h.data(),
                 .next = next.data(),
                 .c = cell.data(),
                 .ld_state = units,
                 .out = out.data(),
                 .out_item_stride = 0,
                 .out_row_stride = 0,
                 .backward = false,
                 .first_panel = first,
                 .last_panel = last,
                 .descending = round % 2 == 1});
      };
      // The second half of the units alone leaves the first to others.
      panels(1, 2);
      for (std::int64_t u = 0; u < width; ++u) REQUIRE((out[sz(u)] == -7.0F && next[sz(u)] == -7.0F));
      panels(0, 1);
      for (std::int64_t u = 0; u < units; ++u) {
        double g[4];
        for (std::int64_t i = 0; i < 4; ++i) g[i] = gates[sz((u / width * 4 + i) * width + u % width)];
        CAPTURE(g[0], g[1], g[2], g[3], before[sz(u)]);
        const double kept = sigmoid(g[1]) * before[sz(u)], update = sigmoid(g[0]) * std::tanh(g[2]), c = kept + update;
        // Where the summands do not cancel, relative; gates below -28 count as -28.
        const double size = std::abs(kept) + std::abs(update) + 1e-12 * (1 + std::abs(before[sz(u)]));
        REQUIRE(std::abs(cell[sz(u)] - c) <= 6e-7 * size + 1e-12 * (1 + std::abs(before[sz(u)])));
        const double expected = sigmoid(g[3]) * std::tanh(static_cast<double>(cell[sz(u)]));
        REQUIRE(std::abs(out[sz(u)] - expected) <= 6e-7 * std::abs(expected) + 1e-12);
        REQUIRE(next[sz(u)] == out[sz(u)]);
      }
    }
  }
}
