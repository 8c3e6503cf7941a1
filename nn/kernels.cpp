// Compiled once per instruction set: see mss_add_module(KERNELS) for what may stand here.
#include "nn/kernels.h"

#include "nn/kernels/product.h"
#include "nn/kernels/vector.h"

namespace mss::nn::MSS_KERNEL_ISA {
namespace {

// ---- after a product ------------------------------------------------------------------------------------------------

template <Activation kAct>
MSS_INLINE Vec activate(Vec x) {
  if constexpr (kAct == Activation::relu) return relu_of(x);
  if constexpr (kAct == Activation::gelu) return gelu_of(x);
  if constexpr (kAct == Activation::tanh) return tanh_of(x);
  if constexpr (kAct == Activation::sigmoid) return sigmoid_of(x);
  return x;
}

template <Activation kAct, bool kScale>
void finish_columns(const Finish& f) {
  for (Index r = 0; r < f.rows; ++r) {
    const float* sums = f.sums + r * f.ld_sums;
    float* out = f.out + r * f.ld_out;
    for (Index k = 0; k < f.columns; k += kLanes) {
      Vec v = load(sums + k);
      if constexpr (kScale) v = v * load(f.scale + k);
      v = activate<kAct>(v + load(f.shift + k));
      if (f.columns - k >= kLanes) {
        store(out + k, v);
      } else {
        store_part(out + k, v, f.columns - k);
      }
    }
  }
}

template <bool kScale>
void finish_gated(const Finish& f) {
  for (Index r = 0; r < f.rows; ++r) {
    Vec a = load(f.sums + r * f.ld_sums), b = load(f.sums + r * f.ld_sums + kLanes);
    if constexpr (kScale) {
      a = a * load(f.scale);
      b = b * load(f.scale + kLanes);
    }
    const Vec v = (a + load(f.shift)) * sigmoid_of(b + load(f.shift + kLanes));
    if (f.columns == kLanes) {
      store(f.out + r * f.ld_out, v);
    } else {
      store_part(f.out + r * f.ld_out, v, f.columns);
    }
  }
}

template <bool kScale>
void finish_scaled(const Finish& f) {
  switch (f.activation) {
    case Activation::none:
      return finish_columns<Activation::none, kScale>(f);
    case Activation::relu:
      return finish_columns<Activation::relu, kScale>(f);
    case Activation::gelu:
      return finish_columns<Activation::gelu, kScale>(f);
    case Activation::tanh:
      return finish_columns<Activation::tanh, kScale>(f);
    case Activation::sigmoid:
      return finish_columns<Activation::sigmoid, kScale>(f);
    case Activation::glu:
      return finish_gated<kScale>(f);
  }
}

void finish(const Finish& f) { f.scale == nullptr ? finish_scaled<false>(f) : finish_scaled<true>(f); }

// ---- recurrence -----------------------------------------------------------------------------------------------------

/// 1 + exp(-x).
MSS_INLINE Vec one_and_exp(Vec x) { return 1.0F + exp_within(clamp(-x, -28.0F, 28.0F)); }

/// The cells of `items` x `panels`, once the sums of their gates i, f, g, o are there. With e_x = exp(-x), s(x) = 1 / (1 +
/// e_x), and m_x = exp(2 x) - 1, tanh(x) = m_x / (m_x + 2), a common denominator leaves two divisions of five:
///   c = (c (1 + e_i) (m_g + 2) + m_g (1 + e_f)) / ((1 + e_f) (1 + e_i) (m_g + 2)),  h = m_c / ((m_c + 2) (1 + e_o))
/// Exponents within 28 and 18 keep the products finite; s(-28) is 7e-13. A function of its own: its constants would
/// otherwise stay in the registers that the sums need.
__attribute__((noinline)) void lstm_cells(const LstmSteps& s, Index item, Index items, Index first_panel, Index panels,
                                          const float* sums, float* next) {
  for (Index r = 0; r < items; ++r) {
    for (Index p = 0; p < panels; ++p, sums += 4 * kLanes) {
      const Index at = (item + r) * s.ld_state + (first_panel + p) * kLanes;
      const Vec input = one_and_exp(load(sums)), forget = one_and_exp(load(sums + kLanes));
      const Vec update = expm1_of_twice(load(sums + 2 * kLanes)), output = one_and_exp(load(sums + 3 * kLanes));
      const Vec rest = input * (update + 2.0F);
      const Vec state = (load(s.c + at) * rest + update * forget) / (forget * rest);
      store(s.c + at, state);
      const Vec twice = expm1_of_twice(state);
      store(next + at, twice / ((twice + 2.0F) * output));
    }
  }
}

/// kR items, kP panels of one vector of units each, one step. All sums stay in registers: 16 of them hold three items' four
/// gates, the items' states and a weight; six items' gates in two passes over the weights were slower by 4 to 35 %.
template <int kR, int kP>
MSS_INLINE void lstm_tile(const LstmSteps& s, Index item, Index first_panel, const float* gates, const float* h,
                          float* next) {
  constexpr Index kGates = 4 * kLanes;
  const Index units = s.units, ld = s.ld_state;
  Vec sum[kR][kP][4];
#pragma GCC unroll 8
  for (int r = 0; r < kR; ++r) {
    const float* g = gates + (item + r) * s.gates_item_stride + first_panel * kGates;
#pragma GCC unroll 4
    for (int p = 0; p < kP; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) sum[r][p][v] = load(g + p * kGates + v * kLanes);
    }
  }
  const float* w[kP];
#pragma GCC unroll 4
  for (int p = 0; p < kP; ++p) w[p] = s.w + (first_panel + p) * units * kGates;
  const float* x = h + item * ld;
  for (Index k = 0; k < units; ++k, ++x) {
    // Whichever is fewer stays in registers.
    if constexpr (kR <= 4) {
      Vec in[kR];
#pragma GCC unroll 8
      for (int r = 0; r < kR; ++r) in[r] = splat(x[r * ld]);
#pragma GCC unroll 4
      for (int p = 0; p < kP; ++p) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
          const Vec weight = load(w[p] + v * kLanes);
#pragma GCC unroll 8
          for (int r = 0; r < kR; ++r) sum[r][p][v] += in[r] * weight;
        }
        w[p] += kGates;
      }
    } else {
      static_assert(kP == 1);
      Vec weight[4];
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) weight[v] = load(w[0] + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kR; ++r) {
        const Vec in = splat(x[r * ld]);
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) sum[r][0][v] += in * weight[v];
      }
      w[0] += kGates;
    }
  }
  alignas(64) float whole[kR * kP * kGates];
#pragma GCC unroll 8
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 4
    for (int p = 0; p < kP; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) store(whole + ((r * kP + p) * 4 + v) * kLanes, sum[r][p][v]);
    }
  }
  lstm_cells(s, item, kR, first_panel, kP, whole, next);
}

#if defined(__AVX512F__)
constexpr int kPanelsOfOne = 4, kPanelsOfTwo = 2, kItemsAtOnce = 6;
#else
constexpr int kPanelsOfOne = 2, kPanelsOfTwo = 1, kItemsAtOnce = 3;
#endif

template <int kR, int kP>
void lstm_panels(const LstmSteps& s, Index item, Index first, Index last, const float* gates, const float* h,
                 float* next) {
  Index p = first;
  for (; p + kP <= last; p += kP) lstm_tile<kR, kP>(s, item, p, gates, h, next);
  for (; p < last; ++p) lstm_tile<kR, 1>(s, item, p, gates, h, next);
}

void lstm_items(const LstmSteps& s, Index count, Index item, Index first, Index last, const float* gates,
                const float* h, float* next) {
  switch (count) {
    case 1:
      return lstm_panels<1, kPanelsOfOne>(s, item, first, last, gates, h, next);
    case 2:
      return lstm_panels<2, kPanelsOfTwo>(s, item, first, last, gates, h, next);
    case 3:
      return lstm_panels<3, 1>(s, item, first, last, gates, h, next);
#if defined(__AVX512F__)
    case 4:
      return lstm_panels<4, 1>(s, item, first, last, gates, h, next);
    case 5:
      return lstm_panels<5, 1>(s, item, first, last, gates, h, next);
    case 6:
      return lstm_panels<6, 1>(s, item, first, last, gates, h, next);
#endif
    default:
      return;  // no more than kItemsAtOnce
  }
}

void lstm(const LstmSteps& s) {
  const Index panels = s.last_panel - s.first_panel;
  const Index first_unit = s.first_panel * kLanes;
  const Index end_unit = s.last_panel * kLanes < s.units ? s.last_panel * kLanes : s.units;
  const Index tiles = (s.items + kItemsAtOnce - 1) / kItemsAtOnce;
  float *now = s.h, *next = s.next;
  for (Index step = 0; step < s.frames; ++step) {
    const Index row = s.backward ? s.frames - 1 - step : step;
    const float* gates = s.gates + row * s.gates_row_stride;
    // All items meet a panel of weights while it is in the cache; one or two items alone take several panels at once, for
    // sums enough side by side. To and fro over the panels: what the last step used last is still there.
    const Index block_panels = s.items <= 2 ? kPanelsOfOne : 1;
    const Index blocks = (panels + block_panels - 1) / block_panels;
    for (Index i = 0; i < blocks; ++i) {
      const Index b = (step % 2 == 0) != s.descending ? i : blocks - 1 - i;
      const Index first = s.first_panel + b * block_panels;
      const Index last = first + block_panels < s.last_panel ? first + block_panels : s.last_panel;
      for (Index tile = 0; tile < tiles; ++tile) {
        const Index begin = tile * s.items / tiles, end = (tile + 1) * s.items / tiles;
        lstm_items(s, end - begin, begin, first, last, gates, now, next);
      }
    }
    for (Index item = 0; item < s.items; ++item) {
      const float* from = next + item * s.ld_state;
      float* to = s.out + item * s.out_item_stride + row * s.out_row_stride;
      Index k = first_unit;
      for (; k + kLanes <= end_unit; k += kLanes) store(to + k, load(from + k));
      for (; k < end_unit; ++k) to[k] = from[k];
    }
    float* const swap = now;
    now = next;
    next = swap;
  }
}

// ---- element by element ---------------------------------------------------------------------------------------------

template <class F>
MSS_INLINE void map(Index count, const float* x, float* y, const F& f) {
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, f(load(x + i)));
  if (i < count) store_part(y + i, f(load_part(x + i, count - i)), count - i);
}

void unary(Unary function, Index count, const float* x, float* y) {
  switch (function) {
    case Unary::relu:
      return map(
          count, x, y, [](Vec v) __attribute__((always_inline)) { return relu_of(v); });
    case Unary::gelu:
      return map(
          count, x, y, [](Vec v) __attribute__((always_inline)) { return gelu_of(v); });
    case Unary::tanh:
      return map(
          count, x, y, [](Vec v) __attribute__((always_inline)) { return tanh_of(v); });
    case Unary::sigmoid:
      return map(
          count, x, y, [](Vec v) __attribute__((always_inline)) { return sigmoid_of(v); });
    case Unary::log1p:
      return map(
          count, x, y, [](Vec v) __attribute__((always_inline)) { return log1p_of(v); });
  }
}

void gate(Index count, const float* a, const float* b, float* y) {
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, load(a + i) * sigmoid_of(load(b + i)));
  if (i < count) store_part(y + i, load_part(a + i, count - i) * sigmoid_of(load_part(b + i, count - i)), count - i);
}

MSS_INLINE Vec prelu_of(Vec x, Vec weight) { return x > 0.0F ? x : weight * x; }

void prelu(Index count, const float* x, const float* weights, bool shared, float* y) {
  if (shared) {
    const Vec weight = splat(weights[0]);
    return map(
        count, x, y, [weight](Vec v) __attribute__((always_inline)) { return prelu_of(v, weight); });
  }
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, prelu_of(load(x + i), load(weights + i)));
  const Index rest = count - i;
  if (rest > 0) store_part(y + i, prelu_of(load_part(x + i, rest), load_part(weights + i, rest)), rest);
}

void softmax(Index count, float* x) {
  float largest = x[0];
  for (Index i = 1; i < count; ++i) largest = x[i] > largest ? x[i] : largest;
  map(
      count, x,
      x, [largest](Vec v) __attribute__((always_inline)) { return exp_within(clamp(v - largest, -87.0F, 0.0F)); });
  double sum = 0.0;
  for (Index i = 0; i < count; ++i) sum += static_cast<double>(x[i]);
  const auto factor = static_cast<float>(1.0 / sum);
  map(
      count, x, x, [factor](Vec v) __attribute__((always_inline)) { return v * factor; });
}

void depthwise(Index frames, Index channels, Index kernel, const float* x, Index row_step, Index tap_step,
               const float* taps, const float* shift, float* y, Index ld_y) {
  for (Index t = 0; t < frames; ++t) {
    const float* from = x + t * row_step;
    float* to = y + t * ld_y;
    Index c = 0;
    for (; c + kLanes <= channels; c += kLanes) {
      Vec sum = load(shift + c);
      for (Index k = 0; k < kernel; ++k) sum += load(from + k * tap_step + c) * load(taps + k * channels + c);
      store(to + c, sum);
    }
    if (c < channels) {
      const Index rest = channels - c;
      Vec sum = load_part(shift + c, rest);
      for (Index k = 0; k < kernel; ++k)
        sum += load_part(from + k * tap_step + c, rest) * load_part(taps + k * channels + c, rest);
      store_part(to + c, sum, rest);
    }
  }
}

void moments(Index count, const float* x, double shift, double* sum, double* squares) {
  // Eight sums side by side, so that the order does not depend on the instruction set's width.
  double a[8] = {}, b[8] = {};
  Index i = 0;
  for (; i + 8 <= count; i += 8) {
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      const double v = static_cast<double>(x[i + k]) - shift;
      a[k] += v;
      b[k] += v * v;
    }
  }
  for (; i < count; ++i) {
    const double v = static_cast<double>(x[i]) - shift;
    a[0] += v;
    b[0] += v * v;
  }
  *sum = ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
  *squares = ((b[0] + b[1]) + (b[2] + b[3])) + ((b[4] + b[5]) + (b[6] + b[7]));
}

void affine(Index count, const float* x, const float* factor, const float* summand, float* y) {
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, load(x + i) * load(factor + i) + load(summand + i));
  for (; i < count; ++i) y[i] = x[i] * factor[i] + summand[i];
}

void product(const Product<float>& x) { gemm<float>(x); }

template <Activation kAct>
struct Shifted {
  static constexpr bool kWhole = true;
  const float* shift;
  struct Row {
    const float* shift;
    MSS_INLINE Vec operator()(Vec sum, Index column) const { return activate<kAct>(sum + load(shift + column)); }
    MSS_INLINE void next() {}
  };
  MSS_INLINE Row row(Index, Index j) const { return {shift + j}; }
};

void shifted_product(const Product<float>& x, const float* shift, Activation activation) {
  if (activation == Activation::relu) {
    panels(x, Shifted<Activation::relu>{shift});
  } else {
    panels(x, Shifted<Activation::none>{shift});
  }
}

}  // namespace

extern const Kernels kKernels;
const Kernels kKernels = {static_cast<int>(kLanes),
                          static_cast<int>(2 * kLanes),
                          kRows,
                          product,
                          shifted_product,
                          finish,
                          lstm,
                          unary,
                          gate,
                          prelu,
                          softmax,
                          depthwise,
                          moments,
                          affine};

}  // namespace mss::nn::MSS_KERNEL_ISA
