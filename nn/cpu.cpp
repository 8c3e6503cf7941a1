#include "nn/cpu.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/error.h"
#include "core/parallel.h"
#include "nn/kernels.h"
#include "nn/product.h"

namespace mss::nn {
namespace {

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }
std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

/// body(i) for i in [0, count) on the scope's threads, each with one thread of its own and the scope's memory.
void in_parallel(std::int64_t count, const std::function<void(std::int64_t)>& body) {
  const RunScope* outer = RunScope::innermost();
  const int threads = RunScope::threads();
  if (threads <= 1 || count <= 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  core::parallel_for(count, threads, [&](std::int64_t i) {
    const RunScope mine(outer, 1);
    body(i);
  });
}

/// Blocks of rows of the whole tensor, about 64 KiB of values each: body(item, first frame, frames).
void for_row_blocks(const Tensor& x, const std::function<void(std::int64_t, std::int64_t, std::int64_t)>& body) {
  const std::int64_t each = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, x.channels()));
  const std::int64_t blocks = (x.frames() + each - 1) / each;
  in_parallel(x.items() * blocks, [&](std::int64_t i) {
    const std::int64_t first = i % blocks * each;
    body(i / blocks, first, std::min(each, x.frames() - first));
  });
}

void expect_channels(const Tensor& x, std::int64_t channels) { MSS_ASSERT(x.channels() == channels); }

Tensor map(Unary function, const Tensor& x) {
  Tensor y(x.items(), x.frames(), x.channels());
  for_row_blocks(x, [&](std::int64_t b, std::int64_t t, std::int64_t count) {
    if (x.row_stride() == x.channels()) {
      kernels().unary(function, count * x.channels(), x.row(b, t), y.row(b, t));
    } else {
      for (std::int64_t i = 0; i < count; ++i)
        kernels().unary(function, x.channels(), x.row(b, t + i), y.row(b, t + i));
    }
  });
  return y;
}

template <class Function>
Tensor map_rows(const Tensor& x, Function function) {
  Tensor y(x.items(), x.frames(), x.channels());
  for_row_blocks(x, [&](std::int64_t b, std::int64_t t, std::int64_t count) {
    for (std::int64_t i = t; i < t + count; ++i)
      std::transform(x.row(b, i), x.row(b, i) + x.channels(), y.row(b, i), function);
  });
  return y;
}

/// The activation by itself, for products that cannot carry it.
Tensor activated(Activation activation, Tensor x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return Cpu::relu(x);
    case Activation::gelu:
      return Cpu::gelu(x);
    case Activation::tanh:
      return Cpu::tanh(x);
    case Activation::sigmoid:
      return Cpu::sigmoid(x);
    case Activation::glu:
      return Cpu::glu(x);
  }
  return x;
}

std::shared_ptr<Packed> pack_linear(const Scope& scope, const LinearOptions& options) {
  const std::vector<Parameter> wanted = parameters(options);
  const std::vector<float> weight = scope.get(wanted[0]);
  auto packed = std::make_shared<Packed>(options.inputs, options.outputs, options.activation,
                                         [&](std::int64_t j) { return weight.data() + j * options.inputs; });
  if (options.bias) {
    const std::vector<float> bias = scope.get(wanted[1]);
    packed->set_summand([&](std::int64_t j) { return static_cast<double>(bias[sz(j)]); });
  }
  return packed;
}

Tensor apply_linear(const Packed& weight, const Tensor& x) {
  expect_channels(x, weight.inputs());
  Tensor y(x.items(), x.frames(), weight.outputs());
  if (x.uniform()) {
    weight.multiply(x.rows(), x.data(), x.row_stride(), y.data(), y.channels());
  } else {
    // The rows of all items together, so that the weights are read once for all of them.
    const std::int64_t frames = x.frames();
    weight.multiply_gathered(x.rows(), y.data(), y.channels(),
                             [&x, frames](std::int64_t row, std::int64_t from, std::int64_t count, float* to) {
                               std::copy_n(x.row(row / frames, row % frames) + from, count, to);
                             });
  }
  return y;
}

}  // namespace

// ---- products -------------------------------------------------------------------------------------------------------

Cpu::Linear::Linear(const Scope& scope, const LinearOptions& options)
    : options_(options), weight_(pack_linear(scope, options)) {}

Tensor Cpu::Linear::operator()(const Tensor& x) const { return apply_linear(*weight_, x); }

Cpu::LinearBatchNorm::LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options, double eps)
    : LinearBatchNorm(linear, norm, options, nullptr, nullptr, eps) {}

Cpu::LinearBatchNorm::LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options,
                                      const Vector& factor, const Vector& summand, double eps)
    : LinearBatchNorm(linear, norm, options, &factor, &summand, eps) {}

Cpu::LinearBatchNorm::LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options,
                                      const Vector* then_factor, const Vector* then_summand, double eps)
    : options_(options) {
  const std::vector<Parameter> wanted = parameters(options);
  const std::vector<float> weight = linear.get(wanted[0]);
  std::vector<float> bias(static_cast<std::size_t>(wanted[0].shape[0]), 0.0F);
  if (options.bias) bias = linear.get(wanted[1]);
  std::vector<std::vector<float>> values;
  for (const Parameter& p : parameters(BatchNormOptions{wanted[0].shape[0], eps})) values.push_back(norm.get(p));
  const std::vector<float>&gamma = values[0], &beta = values[1], &mean = values[2], &variance = values[3];
  auto packed = std::make_shared<Packed>(options.inputs, options.outputs, options.activation,
                                         [&](std::int64_t j) { return weight.data() + j * options.inputs; });
  for (const Vector* vector : {then_factor, then_summand}) {
    MSS_ASSERT(vector == nullptr || vector->values_.size() == weight.size() / sz(options.inputs));
  }
  const auto scale = [&](std::int64_t j) {
    return gamma[sz(j)] / std::sqrt(static_cast<double>(variance[sz(j)]) + eps);
  };
  const auto then = [&](std::int64_t j) {
    return then_factor == nullptr ? 1.0 : static_cast<double>(then_factor->values_[sz(j)]);
  };
  packed->set_factor([&](std::int64_t j) { return scale(j) * then(j); });
  packed->set_summand([&](std::int64_t j) {
    const double shift = beta[sz(j)] + (static_cast<double>(bias[sz(j)]) - mean[sz(j)]) * scale(j);
    return then_summand == nullptr ? shift : shift * then(j) + static_cast<double>(then_summand->values_[sz(j)]);
  });
  weight_ = std::move(packed);
}

Tensor Cpu::LinearBatchNorm::operator()(const Tensor& x) const { return apply_linear(*weight_, x); }

Cpu::Conv1d::Conv1d(const Scope& scope, const Conv1dOptions& o) : options_(o) {
  const std::vector<Parameter> wanted = parameters(o);
  const std::vector<float> weight = scope.get(wanted[0]);
  std::vector<float> bias(sz(wanted[0].shape[0]), 0.0F);
  if (o.bias) bias = scope.get(wanted[1]);
  if (o.groups == o.inputs && o.outputs == o.inputs && o.groups > 1) {
    auto taps = std::make_shared<Floats>(o.kernel * o.inputs);
    for (std::int64_t c = 0; c < o.inputs; ++c) {
      for (std::int64_t k = 0; k < o.kernel; ++k) taps->data()[k * o.inputs + c] = weight[sz(c * o.kernel + k)];
    }
    auto shift = std::make_shared<Floats>(o.inputs);
    std::copy(bias.begin(), bias.end(), shift->data());
    taps_ = std::move(taps);
    bias_ = std::move(shift);
    return;
  }
  const std::int64_t in = o.inputs / o.groups, out = o.outputs / o.groups;
  std::vector<float> row(sz(o.kernel * in));
  for (std::int64_t g = 0; g < o.groups; ++g) {
    auto packed = std::make_shared<Packed>(o.kernel * in, out, o.activation, [&](std::int64_t j) {
      const float* from = weight.data() + (g * out + j) * in * o.kernel;
      for (std::int64_t k = 0; k < o.kernel; ++k) {
        for (std::int64_t i = 0; i < in; ++i) row[sz(k * in + i)] = from[i * o.kernel + k];
      }
      return row.data();
    });
    packed->set_summand([&](std::int64_t j) { return static_cast<double>(bias[sz(g * out + j)]); });
    weights_.push_back(std::move(packed));
  }
}

Tensor Cpu::Conv1d::operator()(const Tensor& x) const {
  const Conv1dOptions& o = options_;
  expect_channels(x, o.inputs);
  const std::int64_t frames = o.frames(x.frames());
  Tensor y(x.items(), frames, o.outputs);
  if (frames == 0) return y;
  if (taps_) {
    const Tensor padded = o.padding > 0 ? pad(x, o.padding, o.padding) : x;
    for_row_blocks(y, [&](std::int64_t b, std::int64_t t, std::int64_t count) {
      kernels().depthwise(count, o.inputs, o.kernel, padded.row(b, t * o.stride), o.stride * padded.row_stride(),
                          o.dilation * padded.row_stride(), taps_->data(), bias_->data(), y.row(b, t), y.channels());
    });
    return activated(o.activation, y);
  }
  const bool adjacent = o.kernel == 1 || (o.dilation == 1 && x.row_stride() == o.inputs);
  if (o.groups == 1 && o.padding == 0 && adjacent) {
    const Packed& w = *weights_.front();
    if (o.kernel == 1 && o.stride == 1 && x.uniform()) {
      w.multiply(x.rows(), x.data(), x.row_stride(), y.data(), y.channels());
      return y;
    }
    if (frames >= Packed::kRows / 2 || x.items() == 1) {
      for (std::int64_t b = 0; b < x.items(); ++b)
        w.multiply(frames, x.row(b, 0), o.stride * x.row_stride(), y.row(b, 0), y.channels());
      return y;
    }
  }
  const std::int64_t in = o.inputs / o.groups, out = o.outputs / o.groups;
  for (std::int64_t g = 0; g < o.groups; ++g) {
    weights_[sz(g)]->multiply_gathered(
        x.items() * frames, y.data() + g * out, y.channels(),
        [&](std::int64_t row, std::int64_t from, std::int64_t count, float* to) {
          const std::int64_t b = row / frames, start = row % frames * o.stride - o.padding;
          while (count > 0) {
            const std::int64_t tap = from / in, within = from % in, here = std::min(count, in - within);
            const std::int64_t t = start + tap * o.dilation;
            if (t < 0 || t >= x.frames()) {
              std::fill_n(to, here, 0.0F);
            } else {
              std::copy_n(x.row(b, t) + g * in + within, here, to);
            }
            from += here;
            to += here;
            count -= here;
          }
        });
  }
  return y;
}

Cpu::ConvTranspose1d::ConvTranspose1d(const Scope& scope, const ConvTranspose1dOptions& o)
    : options_(o), reach_((o.kernel + o.stride - 1) / o.stride) {
  const std::vector<Parameter> wanted = parameters(o);
  const std::vector<float> weight = scope.get(wanted[0]);
  const std::int64_t width = wanted[0].shape[1];  // with the gates
  // One row of the product: `stride` frames of output from `reach` frames of input, the latest last.
  std::vector<float> row(sz(reach_ * o.inputs));
  const auto channel_of = [&](std::int64_t j) {
    const std::int64_t half = o.stride * o.outputs, gate = j / half;
    return std::pair{gate * o.outputs + j % half % o.outputs, j % half / o.outputs};  // channel of the weight, phase
  };
  auto packed = std::make_shared<Packed>(reach_ * o.inputs, o.stride * o.outputs, o.activation, [&](std::int64_t j) {
    const auto [channel, phase] = channel_of(j);
    for (std::int64_t q = 0; q < reach_; ++q) {
      const std::int64_t k = phase + o.stride * (reach_ - 1 - q);
      for (std::int64_t i = 0; i < o.inputs; ++i)
        row[sz(q * o.inputs + i)] = k < o.kernel ? weight[sz((i * width + channel) * o.kernel + k)] : 0.0F;
    }
    return row.data();
  });
  if (o.bias) {
    const std::vector<float> bias = scope.get(wanted[1]);
    packed->set_summand([&](std::int64_t j) { return static_cast<double>(bias[sz(channel_of(j).first)]); });
  }
  weight_ = std::move(packed);
}

Tensor Cpu::ConvTranspose1d::operator()(const Tensor& given) const {
  const ConvTranspose1dOptions& o = options_;
  expect_channels(given, o.inputs);
  const Tensor x = given.row_stride() == o.inputs ? given : given.packed();
  const std::int64_t rows = x.frames() + reach_ - 1, edge = std::min(reach_ - 1, x.frames());
  Tensor y(x.items(), rows * o.stride, o.outputs);
  const std::int64_t ld = o.stride * o.outputs;
  for (std::int64_t b = 0; b < x.items(); ++b) {
    const auto gathered = [&](std::int64_t first, std::int64_t count) {
      weight_->multiply_gathered(
          count, y.row(b, first * o.stride), ld, [&](std::int64_t row, std::int64_t from, std::int64_t n, float* to) {
            const std::int64_t start = (first + row - reach_ + 1) * o.inputs, whole = x.frames() * o.inputs;
            for (std::int64_t i = 0; i < n; ++i) {
              const std::int64_t at = start + from + i;
              to[i] = at >= 0 && at < whole ? x.row(b, 0)[at] : 0.0F;
            }
          });
    };
    if (edge > 0) gathered(0, edge);
    const std::int64_t inner = x.frames() - edge;
    if (inner > 0) weight_->multiply(inner, x.row(b, edge - reach_ + 1), o.inputs, y.row(b, edge * o.stride), ld);
    if (rows > x.frames()) gathered(x.frames(), rows - x.frames());
  }
  return y.narrow(1, 0, o.frames(x.frames()));
}

// ---- recurrence -----------------------------------------------------------------------------------------------------

struct LstmDirection {
  std::shared_ptr<const Packed> input;
  Floats recurrent;
};

namespace {

/// Distance between the states of two items: no power of two.
std::int64_t state_stride(std::int64_t hidden) { return round_up(hidden, kernels().lanes) + 16; }

/// A few hundred milliseconds of steps at most pass between two looks at the stop token.
constexpr std::int64_t kStepsAtOnce = 16;

/// Recurrent weights (bytes) that no core keeps for itself from step to step, and two directions of which may be more than
/// the cores' common cache holds.
constexpr std::int64_t kSharedWeights = std::int64_t{8} << 20;

}  // namespace

Cpu::Lstm::Lstm(const Scope& scope, const LstmOptions& o) : options_(o) {
  const std::vector<Parameter> wanted = parameters(o);
  const std::int64_t lanes = kernels().lanes, padded = round_up(o.hidden, lanes), hidden = o.hidden;
  // Which gate row stands at place j of the packed order, or -1 for padding.
  const auto gate_row = [&](std::int64_t j) -> std::int64_t {
    const std::int64_t unit = j / (4 * lanes) * lanes + j % lanes, gate = j % (4 * lanes) / lanes;
    return unit < hidden ? gate * hidden + unit : -1;
  };
  for (std::int64_t i = 0; i < o.layers * o.directions(); ++i) {
    const std::int64_t in = o.layer_inputs(i / o.directions());
    auto made = std::make_shared<LstmDirection>();
    {
      const std::vector<float> ih = scope.get(wanted[sz(4 * i)]);
      auto input = std::make_shared<Packed>(in, 4 * padded, Activation::none, [&](std::int64_t j) {
        const std::int64_t row = gate_row(j);
        return row < 0 ? nullptr : ih.data() + row * in;
      });
      const std::vector<float> bias_ih = scope.get(wanted[sz(4 * i + 2)]), bias_hh = scope.get(wanted[sz(4 * i + 3)]);
      input->set_summand([&](std::int64_t j) {
        const std::int64_t row = gate_row(j);
        return row < 0 ? 0.0 : static_cast<double>(bias_ih[sz(row)]) + static_cast<double>(bias_hh[sz(row)]);
      });
      made->input = std::move(input);
    }
    const std::vector<float> hh = scope.get(wanted[sz(4 * i + 1)]);
    made->recurrent = Floats(hidden * 4 * padded);
    for (std::int64_t j = 0; j < 4 * padded; ++j) {
      const std::int64_t row = gate_row(j);
      float* to = made->recurrent.data() + j / (4 * lanes) * hidden * 4 * lanes + j % (4 * lanes);
      for (std::int64_t u = 0; u < hidden; ++u) to[u * 4 * lanes] = row < 0 ? 0.0F : hh[sz(row * hidden + u)];
    }
    directions_.push_back(std::move(made));
  }
}

std::int64_t Cpu::Lstm::gate_channels() const noexcept { return 4 * round_up(options_.hidden, kernels().lanes); }

Cpu::Lstm::State Cpu::Lstm::start(std::int64_t items) const {
  const std::int64_t ld = state_stride(options_.hidden);
  return {Tensor::zeros(1, items, ld), Tensor::zeros(1, items, ld)};
}

Tensor Cpu::Lstm::project(std::int64_t layer, std::int64_t direction, const Tensor& x) const {
  return apply_linear(*directions_[sz(layer * options_.directions() + direction)]->input, x);
}

void Cpu::Lstm::recur(std::int64_t layer, std::int64_t direction, const Tensor& gates, State& state, Tensor out) const {
  const LstmDirection& d = *directions_[sz(layer * options_.directions() + direction)];
  expect_channels(gates, gate_channels());
  MSS_ASSERT(out.items() == gates.items() && out.frames() == gates.frames() && out.channels() >= options_.hidden);
  const std::int64_t items = gates.items(), frames = gates.frames(), ld = state_stride(options_.hidden);
  MSS_ASSERT(state.hidden.frames() == items);
  Tensor next = Tensor::zeros(1, items, ld);
  // Threads that divide the units meet after every step; one alone makes several.
  const std::int64_t panels = gate_channels() / (4 * kernels().lanes);
  const std::int64_t parts = divides_units() ? std::min<std::int64_t>(RunScope::threads(), panels) : 1;
  const std::int64_t at_once = parts > 1 ? 1 : kStepsAtOnce;
  for (std::int64_t done = 0; done < frames; done += at_once) {
    RunScope::check_stop();
    const std::int64_t count = std::min(at_once, frames - done);
    const std::int64_t first = direction == 0 ? done : frames - done - count;
    in_parallel(parts, [&](std::int64_t part) {
      kernels().lstm({.frames = count,
                      .items = items,
                      .units = options_.hidden,
                      .gates = gates.row(0, first),
                      .gates_item_stride = gates.item_stride(),
                      .gates_row_stride = gates.row_stride(),
                      .w = d.recurrent.data(),
                      .h = state.hidden.data(),
                      .next = next.data(),
                      .c = state.cell.data(),
                      .ld_state = ld,
                      .out = out.row(0, first),
                      .out_item_stride = out.item_stride(),
                      .out_row_stride = out.row_stride(),
                      .backward = direction == 1,
                      .first_panel = part * panels / parts,
                      .last_panel = (part + 1) * panels / parts,
                      .descending = done % 2 == 1});
    });
    if (count % 2 == 1) std::swap(state.hidden, next);
  }
}

std::int64_t Cpu::Lstm::frames_at_once(std::int64_t layer, std::int64_t items) const noexcept {
  // The steps read the gates soon enough to find them in the second-level cache, or not far behind it.
  constexpr std::int64_t kGates = std::int64_t{1} << 18;
  // Input weights that come from further away than that are read for so many rows that reading them takes little time.
  constexpr std::int64_t kWeights = std::int64_t{1} << 19, kRows = 256;
  const std::int64_t least =
      options_.layer_inputs(layer) * gate_channels() > kWeights ? (kRows + items - 1) / items : 1;
  return std::max(kGates / (items * gate_channels()), least);
}

bool Cpu::Lstm::divides_units() const noexcept {
  return RunScope::threads() > 1 &&
         options_.hidden * gate_channels() * static_cast<std::int64_t>(sizeof(float)) >= kSharedWeights;
}

std::int64_t Cpu::Lstm::groups(std::int64_t items) const noexcept {
  const std::int64_t directions = options_.directions();
  return divides_units() ? 1 : std::clamp<std::int64_t>((RunScope::threads() + directions - 1) / directions, 1, items);
}

void Cpu::Lstm::for_jobs(std::int64_t groups,
                         const std::function<void(std::int64_t direction, std::int64_t group)>& job) const {
  const std::int64_t directions = options_.directions(), count = groups * directions;
  const auto one = [&](std::int64_t i) { job(i % directions, i / directions); };
  if (divides_units()) {
    for (std::int64_t i = 0; i < count; ++i) one(i);
  } else {
    in_parallel(count, one);
  }
}

Tensor Cpu::Lstm::operator()(const Tensor& given) const {
  const LstmOptions& o = options_;
  expect_channels(given, o.inputs);
  Tensor x = given;
  const std::int64_t items = x.items(), frames = x.frames();
  if (items == 0 || frames == 0) return Tensor(items, frames, o.outputs());
  const std::int64_t groups = this->groups(items);
  for (std::int64_t layer = 0; layer < o.layers; ++layer) {
    const std::int64_t block = frames_at_once(layer, (items + groups - 1) / groups);
    Tensor y(items, frames, o.outputs());
    for_jobs(groups, [&](std::int64_t direction, std::int64_t group) {
      const std::int64_t first = group * items / groups, count = (group + 1) * items / groups - first;
      const Tensor in = x.narrow(0, first, count),
                   out = y.narrow(0, first, count).narrow(2, direction * o.hidden, o.hidden);
      State state = start(count);
      for (std::int64_t done = 0; done < frames; done += block) {
        const std::int64_t size = std::min(block, frames - done), at = direction == 0 ? done : frames - done - size;
        recur(layer, direction, project(layer, direction, in.narrow(1, at, size)), state, out.narrow(1, at, size));
      }
    });
    x = std::move(y);
  }
  return x;
}

// ---- normalisation --------------------------------------------------------------------------------------------------

namespace {

struct Statistics {
  double mean = 0.0, variance = 0.0;  ///< biased
};

/// Over channels [first, first + count) of all frames of an item: sums of blocks of 64 frames, added in order.
Statistics statistics(const Tensor& x, std::int64_t item, std::int64_t first, std::int64_t count) {
  constexpr std::int64_t kFrames = 64;
  const std::int64_t blocks = (x.frames() + kFrames - 1) / kFrames;
  const auto total = static_cast<double>(x.frames() * count);
  const auto pass = [&](double shift, double& sum, double& squares) {
    std::vector<double> a(sz(blocks)), b(sz(blocks));
    in_parallel(blocks, [&](std::int64_t i) {
      double s = 0.0, q = 0.0;
      for (std::int64_t t = i * kFrames; t < std::min(x.frames(), (i + 1) * kFrames); ++t) {
        double one = 0.0, square = 0.0;
        kernels().moments(count, x.row(item, t) + first, shift, &one, &square);
        s += one;
        q += square;
      }
      a[sz(i)] = s;
      b[sz(i)] = q;
    });
    sum = squares = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      sum += a[i];
      squares += b[i];
    }
  };
  double sum = 0.0, squares = 0.0;
  pass(0.0, sum, squares);
  Statistics out;
  out.mean = sum / total;
  pass(out.mean, sum, squares);
  out.variance = squares / total;
  return out;
}

/// The same for every channel by itself.
std::vector<Statistics> channel_statistics(const Tensor& x, std::int64_t item) {
  const std::int64_t channels = x.channels();
  std::vector<Statistics> out(sz(channels));
  std::vector<double> sum(sz(channels), 0.0);
  const auto total = static_cast<double>(x.frames());
  for (std::int64_t t = 0; t < x.frames(); ++t) {
    const float* row = x.row(item, t);
    for (std::int64_t c = 0; c < channels; ++c) sum[sz(c)] += static_cast<double>(row[c]);
  }
  for (std::size_t c = 0; c < out.size(); ++c) out[c].mean = sum[c] / total;
  std::ranges::fill(sum, 0.0);
  for (std::int64_t t = 0; t < x.frames(); ++t) {
    const float* row = x.row(item, t);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double v = static_cast<double>(row[c]) - out[sz(c)].mean;
      sum[sz(c)] += v * v;
    }
  }
  for (std::size_t c = 0; c < out.size(); ++c) out[c].variance = sum[c] / total;
  return out;
}

/// y = x * factor + summand per channel, for frames of one item.
void affine_rows(const Tensor& x, Tensor& y, std::int64_t item, const std::vector<float>& factor,
                 const std::vector<float>& summand) {
  constexpr std::int64_t kFrames = 256;
  in_parallel((x.frames() + kFrames - 1) / kFrames, [&](std::int64_t i) {
    for (std::int64_t t = i * kFrames; t < std::min(x.frames(), (i + 1) * kFrames); ++t) {
      kernels().affine(x.channels(), x.row(item, t), factor.data(), summand.data(), y.row(item, t));
    }
  });
}

std::vector<std::vector<float>> get_all(const Scope& scope, const std::vector<Parameter>& wanted) {
  std::vector<std::vector<float>> out;
  for (const Parameter& p : wanted) out.push_back(scope.get(p));
  return out;
}

/// Items beside each other where there are enough of them, else one after the other with all threads inside.
void for_items(std::int64_t items, const std::function<void(std::int64_t)>& body) {
  if (items >= RunScope::threads()) {
    in_parallel(items, body);
  } else {
    for (std::int64_t b = 0; b < items; ++b) body(b);
  }
}

}  // namespace

Cpu::GroupNorm::GroupNorm(const Scope& scope, const GroupNormOptions& options) : options_(options) {
  auto values = get_all(scope, parameters(options));
  weight_ = std::move(values[0]);
  bias_ = std::move(values[1]);
}

Tensor Cpu::GroupNorm::operator()(const Tensor& x) const {
  expect_channels(x, options_.channels);
  Tensor y(x.items(), x.frames(), x.channels());
  const std::int64_t each = options_.channels / options_.groups;
  for_items(x.items(), [&](std::int64_t b) {
    std::vector<Statistics> found;
    if (each == 1) {
      found = channel_statistics(x, b);
    } else {
      for (std::int64_t g = 0; g < options_.groups; ++g) found.push_back(statistics(x, b, g * each, each));
    }
    std::vector<float> factor(weight_.size()), summand(weight_.size());
    for (std::size_t c = 0; c < factor.size(); ++c) {
      const Statistics& s = found[c / sz(each)];
      const double f = weight_[c] / std::sqrt(s.variance + options_.eps);
      factor[c] = static_cast<float>(f);
      summand[c] = static_cast<float>(bias_[c] - s.mean * f);
    }
    affine_rows(x, y, b, factor, summand);
  });
  return y;
}

Cpu::LayerNorm::LayerNorm(const Scope& scope, const LayerNormOptions& options) : options_(options) {
  auto values = get_all(scope, parameters(options));
  weight_ = std::move(values[0]);
  bias_ = std::move(values[1]);
  if (options.frames > 0 && options.channels_first) {
    for (std::vector<float>* v : {&weight_, &bias_}) {
      std::vector<float> turned(v->size());
      for (std::int64_t c = 0; c < options.channels; ++c) {
        for (std::int64_t t = 0; t < options.frames; ++t)
          turned[sz(t * options.channels + c)] = (*v)[sz(c * options.frames + t)];
      }
      *v = std::move(turned);
    }
  }
}

Tensor Cpu::LayerNorm::operator()(const Tensor& x) const {
  expect_channels(x, options_.channels);
  Tensor y(x.items(), x.frames(), x.channels());
  const std::int64_t channels = x.channels();
  if (options_.frames > 0) {
    MSS_ASSERT(x.frames() == options_.frames);
    for_items(x.items(), [&](std::int64_t b) {
      const Statistics s = statistics(x, b, 0, channels);
      const double f = 1.0 / std::sqrt(s.variance + options_.eps);
      for (std::int64_t t = 0; t < x.frames(); ++t) {
        const float *from = x.row(b, t), *w = weight_.data() + t * channels, *v = bias_.data() + t * channels;
        float* to = y.row(b, t);
        for (std::int64_t c = 0; c < channels; ++c)
          to[c] = static_cast<float>((static_cast<double>(from[c]) - s.mean) * f) * w[c] + v[c];
      }
    });
    return y;
  }
  for_row_blocks(x, [&](std::int64_t b, std::int64_t first, std::int64_t count) {
    for (std::int64_t t = first; t < first + count; ++t) {
      double sum = 0.0, squares = 0.0;
      kernels().moments(channels, x.row(b, t), 0.0, &sum, &squares);
      const double mean = sum / static_cast<double>(channels);
      kernels().moments(channels, x.row(b, t), mean, &sum, &squares);
      const auto f = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(channels) + options_.eps));
      const auto m = static_cast<float>(mean);
      const float* from = x.row(b, t);
      float* to = y.row(b, t);
      for (std::int64_t c = 0; c < channels; ++c) to[c] = (from[c] - m) * f * weight_[sz(c)] + bias_[sz(c)];
    }
  });
  return y;
}

Cpu::BatchNorm::BatchNorm(const Scope& scope, const BatchNormOptions& options) {
  const auto values = get_all(scope, parameters(options));
  for (std::size_t c = 0; c < values[0].size(); ++c) {
    const double factor = values[0][c] / std::sqrt(static_cast<double>(values[3][c]) + options.eps);
    factor_.push_back(static_cast<float>(factor));
    summand_.push_back(static_cast<float>(values[1][c] - values[2][c] * factor));
  }
}

Tensor Cpu::BatchNorm::operator()(const Tensor& x) const {
  expect_channels(x, static_cast<std::int64_t>(factor_.size()));
  Tensor y(x.items(), x.frames(), x.channels());
  for (std::int64_t b = 0; b < x.items(); ++b) affine_rows(x, y, b, factor_, summand_);
  return y;
}

Cpu::Embedding::Embedding(const Scope& scope, const EmbeddingOptions& options)
    : options_(options), table_(scope.get(parameters(options)[0])) {}

Tensor Cpu::Embedding::operator()(std::span<const std::int64_t> indices) const {
  Tensor y(1, static_cast<std::int64_t>(indices.size()), options_.channels);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    MSS_ASSERT(indices[i] >= 0 && indices[i] < options_.rows);
    std::copy_n(table_.data() + indices[i] * options_.channels, options_.channels,
                y.row(0, static_cast<std::int64_t>(i)));
  }
  return y;
}

Cpu::PRelu::PRelu(const Scope& scope, const PReluOptions& options) : weight_(scope.get(parameters(options)[0])) {}

Tensor Cpu::PRelu::operator()(const Tensor& x) const {
  MSS_ASSERT(weight_.size() == 1 || sz(x.channels()) == weight_.size());
  Tensor y(x.items(), x.frames(), x.channels());
  for_row_blocks(x, [&](std::int64_t b, std::int64_t first, std::int64_t count) {
    for (std::int64_t t = first; t < first + count; ++t) {
      kernels().prelu(x.channels(), x.row(b, t), weight_.data(), weight_.size() == 1, y.row(b, t));
    }
  });
  return y;
}

Cpu::Vector::Vector(const Scope& scope, const std::string& name, const VectorOptions& options)
    : values_(scope.get({name, {options.channels}, options.init, options.trained})) {
  values_.reserve(sz(options.channels * options.repeats));
  for (std::int64_t i = options.channels; i < options.channels * options.repeats; ++i) {
    values_.push_back(values_[sz(i - options.channels)]);
  }
}

namespace {

/// y[t, c] = f(x[t, c], row(t)[c]); y may be x.
template <class Row, class F>
void combine_into(const Tensor& x, Tensor& y, const Row& row, const F& f) {
  for_row_blocks(x, [&](std::int64_t b, std::int64_t first, std::int64_t count) {
    for (std::int64_t t = first; t < first + count; ++t) {
      const float *from = x.row(b, t), *other = row(b, t);
      float* to = y.row(b, t);
      for (std::int64_t c = 0; c < x.channels(); ++c) to[c] = f(from[c], other[c]);
    }
  });
}

template <class Row, class F>
Tensor combine(const Tensor& x, const Row& row, const F& f) {
  Tensor y(x.items(), x.frames(), x.channels());
  combine_into(x, y, row, f);
  return y;
}

template <class F>
Tensor combine_tensors(const Tensor& a, const Tensor& b, const F& f) {
  MSS_ASSERT(a.channels() == b.channels() && (b.items() == a.items() || b.items() == 1) &&
             (b.frames() == a.frames() || b.frames() == 1));
  const bool one_item = b.items() == 1, one_frame = b.frames() == 1;
  return combine(
      a, [&](std::int64_t i, std::int64_t t) { return b.row(one_item ? 0 : i, one_frame ? 0 : t); }, f);
}

}  // namespace

Tensor Cpu::Vector::add(const Tensor& x) const {
  expect_channels(x, static_cast<std::int64_t>(values_.size()));
  return combine(
      x, [&](std::int64_t, std::int64_t) { return values_.data(); }, [](float a, float b) { return a + b; });
}

Tensor Cpu::Vector::multiply(Tensor&& x) const {
  if (!x.is_alone()) return multiply(x);
  expect_channels(x, static_cast<std::int64_t>(values_.size()));
  combine_into(
      x, x, [&](std::int64_t, std::int64_t) { return values_.data(); }, [](float a, float b) { return a * b; });
  return std::move(x);
}

Tensor Cpu::Vector::multiply(const Tensor& x) const {
  expect_channels(x, static_cast<std::int64_t>(values_.size()));
  return combine(
      x, [&](std::int64_t, std::int64_t) { return values_.data(); }, [](float a, float b) { return a * b; });
}

Cpu::FilterBank::FilterBank(std::int64_t phases, std::int64_t stride, std::int64_t before, std::vector<double> taps)
    : phases_(phases),
      stride_(stride),
      before_(before),
      kernel_(static_cast<std::int64_t>(taps.size()) / std::max<std::int64_t>(phases, 1)) {
  MSS_ASSERT(phases >= 1 && stride >= 1 && kernel_ >= 1 && sz(phases * kernel_) == taps.size());
  for (const double tap : taps) taps_.push_back(static_cast<float>(tap));
}

Tensor Cpu::FilterBank::operator()(const Tensor& x) const {
  const std::int64_t frames = x.frames() * phases_ / stride_, channels = x.channels();
  Tensor y(x.items(), frames, channels);
  if (frames == 0) return y;
  // Channels one after the other, as runs of samples with their edges repeated: a filter is then a sum of shifted runs.
  const std::int64_t rows = (frames + phases_ - 1) / phases_, before = before_, reach = (rows - 1) * stride_ + kernel_;
  constexpr std::int64_t kRun = 2048;
  const std::int64_t runs = (rows + kRun - 1) / kRun;
  for (std::int64_t b = 0; b < x.items(); ++b) {
    for (std::int64_t c = 0; c < channels; ++c) {
      Tensor line(1, reach, 1);
      for (std::int64_t n = 0; n < reach; ++n)
        line.data()[n] = x.row(b, std::clamp<std::int64_t>(n - before, 0, x.frames() - 1))[c];
      // Samples of one stride phase beside each other.
      const std::int64_t each = (reach + stride_ - 1) / stride_;
      Tensor split = stride_ == 1 ? line : Tensor::zeros(1, each * stride_, 1);
      if (stride_ > 1) {
        for (std::int64_t n = 0; n < reach; ++n) split.data()[n % stride_ * each + n / stride_] = line.data()[n];
      }
      in_parallel(runs * phases_, [&](std::int64_t job) {
        const std::int64_t p = job % phases_, first = job / phases_ * kRun, count = std::min(kRun, rows - first);
        float sums[kRun];
        std::fill_n(sums, count, 0.0F);
        for (std::int64_t k = 0; k < kernel_; ++k) {
          const float tap = taps_[sz(p * kernel_ + k)];
          const float* from = split.data() + (stride_ == 1 ? k : k % stride_ * each + k / stride_) + first;
          for (std::int64_t i = 0; i < count; ++i) sums[i] += tap * from[i];
        }
        for (std::int64_t i = 0; i < count; ++i) {
          const std::int64_t t = (first + i) * phases_ + p;
          if (t < frames) y.row(b, t)[c] = sums[i];
        }
      });
    }
  }
  return y;
}

// ---- functions ------------------------------------------------------------------------------------------------------

Tensor Cpu::relu(const Tensor& x) { return map(Unary::relu, x); }
Tensor Cpu::gelu(const Tensor& x) { return map(Unary::gelu, x); }
Tensor Cpu::tanh(const Tensor& x) { return map(Unary::tanh, x); }
Tensor Cpu::sigmoid(const Tensor& x) { return map(Unary::sigmoid, x); }
Tensor Cpu::log1p(const Tensor& x) { return map(Unary::log1p, x); }
Tensor Cpu::sqrt(const Tensor& x) {
  return map_rows(x, [](float v) { return std::sqrt(v); });
}
Tensor Cpu::reciprocal(const Tensor& x) {
  return map_rows(x, [](float v) { return 1.0F / v; });
}

Tensor Cpu::softmax(const Tensor& x) {
  Tensor y(x.items(), x.frames(), x.channels());
  for_row_blocks(x, [&](std::int64_t b, std::int64_t first, std::int64_t count) {
    for (std::int64_t t = first; t < first + count; ++t) {
      std::copy_n(x.row(b, t), x.channels(), y.row(b, t));
      kernels().softmax(x.channels(), y.row(b, t));
    }
  });
  return y;
}

Tensor Cpu::glu(const Tensor& x) {
  MSS_ASSERT(x.channels() % 2 == 0);
  const std::int64_t half = x.channels() / 2;
  Tensor y(x.items(), x.frames(), half);
  for_row_blocks(x, [&](std::int64_t b, std::int64_t first, std::int64_t count) {
    for (std::int64_t t = first; t < first + count; ++t)
      kernels().gate(half, x.row(b, t), x.row(b, t) + half, y.row(b, t));
  });
  return y;
}

Tensor Cpu::add(const Tensor& a, const Tensor& b) {
  return combine_tensors(a, b, [](float x, float y) { return x + y; });
}

Tensor Cpu::multiply(const Tensor& a, const Tensor& b) {
  return combine_tensors(a, b, [](float x, float y) { return x * y; });
}

Tensor Cpu::scale(const Tensor& x, double factor, double summand) {
  const auto f = static_cast<float>(factor), s = static_cast<float>(summand);
  return combine(
      x, [&](std::int64_t b, std::int64_t t) { return x.row(b, t); }, [f, s](float v, float) { return f * v + s; });
}

Tensor Cpu::complex_multiply(const Tensor& a, const Tensor& b) {
  MSS_ASSERT(a.channels() == b.channels() && a.channels() % 2 == 0 && a.items() == b.items() &&
             a.frames() == b.frames());
  const std::int64_t half = a.channels() / 2;
  Tensor y(a.items(), a.frames(), a.channels());
  for_row_blocks(a, [&](std::int64_t i, std::int64_t first, std::int64_t count) {
    for (std::int64_t t = first; t < first + count; ++t) {
      const float *ar = a.row(i, t), *ai = ar + half, *br = b.row(i, t), *bi = br + half;
      float *re = y.row(i, t), *im = re + half;
      for (std::int64_t c = 0; c < half; ++c) {
        re[c] = ar[c] * br[c] - ai[c] * bi[c];
        im[c] = ar[c] * bi[c] + ai[c] * br[c];
      }
    }
  });
  return y;
}

Tensor Cpu::concat(const std::vector<Tensor>& parts, int axis) {
  MSS_ASSERT(!parts.empty() && axis >= 0 && axis <= 2);
  std::int64_t size[3] = {parts[0].items(), parts[0].frames(), parts[0].channels()};
  size[axis] = 0;
  for (const Tensor& part : parts) size[axis] += axis == 0 ? part.items() : axis == 1 ? part.frames() : part.channels();
  Tensor y(size[0], size[1], size[2]);
  std::int64_t at = 0;
  for (const Tensor& part : parts) {
    const std::int64_t count = axis == 0 ? part.items() : axis == 1 ? part.frames() : part.channels();
    Tensor to = y.narrow(axis, at, count);
    MSS_ASSERT(to.items() == part.items() && to.frames() == part.frames() && to.channels() == part.channels());
    for_row_blocks(part, [&](std::int64_t b, std::int64_t first, std::int64_t rows) {
      for (std::int64_t t = first; t < first + rows; ++t) std::copy_n(part.row(b, t), part.channels(), to.row(b, t));
    });
    at += count;
  }
  return y;
}

Tensor Cpu::pad(const Tensor& x, std::int64_t before, std::int64_t after) {
  MSS_ASSERT(before >= 0 && after >= 0);
  Tensor y(x.items(), before + x.frames() + after, x.channels());
  for (std::int64_t b = 0; b < x.items(); ++b) {
    std::fill_n(y.row(b, 0), before * x.channels(), 0.0F);
    for (std::int64_t t = 0; t < x.frames(); ++t) std::copy_n(x.row(b, t), x.channels(), y.row(b, before + t));
    std::fill_n(y.row(b, before + x.frames()), after * x.channels(), 0.0F);
  }
  return y;
}

Tensor Cpu::exchange(const Tensor& x, std::int64_t groups) {
  MSS_ASSERT(groups >= 1 && x.items() % groups == 0);
  const std::int64_t within = x.items() / groups;
  Tensor y(x.frames() * within, groups, x.channels());
  in_parallel(x.frames(), [&](std::int64_t t) {
    for (std::int64_t b = 0; b < within; ++b) {
      for (std::int64_t g = 0; g < groups; ++g)
        std::copy_n(x.row(g * within + b, t), x.channels(), y.row(t * within + b, g));
    }
  });
  return y;
}

Tensor Cpu::exchange_within(const Tensor& x, std::int64_t size) {
  MSS_ASSERT(size >= 1 && x.items() % size == 0);
  const std::int64_t outer = x.items() / size, frames = x.frames();
  Tensor y(outer * frames, size, x.channels());
  in_parallel(y.items(), [&](std::int64_t item) {
    for (std::int64_t s = 0; s < size; ++s)
      std::copy_n(x.row(item / frames * size + s, item % frames), x.channels(), y.row(item, s));
  });
  return y;
}

Tensor Cpu::transpose(const Tensor& x) {
  Tensor y(x.items(), x.channels(), x.frames());
  for (std::int64_t b = 0; b < x.items(); ++b) {
    for (std::int64_t t = 0; t < x.frames(); ++t) {
      const float* from = x.row(b, t);
      for (std::int64_t c = 0; c < x.channels(); ++c) y.row(b, c)[t] = from[c];
    }
  }
  return y;
}

Tensor Cpu::mean_frames(const Tensor& x) {
  Tensor y(x.items(), 1, x.channels());
  for_items(x.items(), [&](std::int64_t b) {
    const std::vector<Statistics> found = channel_statistics(x, b);
    for (std::int64_t c = 0; c < x.channels(); ++c) y.row(b, 0)[c] = static_cast<float>(found[sz(c)].mean);
  });
  return y;
}

Tensor Cpu::unfold(const Tensor& x, std::int64_t size, std::int64_t hop) {
  MSS_ASSERT(size >= 1 && hop >= 1 && x.frames() >= size && (x.frames() - size) % hop == 0);
  const std::int64_t count = (x.frames() - size) / hop + 1;
  Tensor y(x.items() * count, size, x.channels());
  in_parallel(x.items() * count, [&](std::int64_t i) {
    for (std::int64_t t = 0; t < size; ++t)
      std::copy_n(x.row(i / count, i % count * hop + t), x.channels(), y.row(i, t));
  });
  return y;
}

Tensor Cpu::fold(const Tensor& x, std::int64_t items, std::int64_t hop) {
  MSS_ASSERT(items >= 1 && hop >= 1 && x.items() % items == 0);
  const std::int64_t count = x.items() / items, size = x.frames();
  Tensor y(items, (count - 1) * hop + size, x.channels());
  for_row_blocks(y, [&](std::int64_t b, std::int64_t first, std::int64_t rows) {
    for (std::int64_t t = first; t < first + rows; ++t) {
      float* to = y.row(b, t);
      std::fill_n(to, x.channels(), 0.0F);
      const std::int64_t from = t < size ? 0 : (t - size) / hop + 1;
      for (std::int64_t n = from; n < count && n * hop <= t; ++n) {
        const float* part = x.row(b * count + n, t - n * hop);
        for (std::int64_t c = 0; c < x.channels(); ++c) to[c] += part[c];
      }
    }
  });
  return y;
}

Tensor Cpu::attention(const Tensor& q, const Tensor& k, const Tensor& v, std::int64_t heads) {
  MSS_ASSERT(heads >= 1 && q.channels() == k.channels() && q.channels() % heads == 0 && v.channels() % heads == 0);
  MSS_ASSERT(q.items() == k.items() && k.items() == v.items() && k.frames() == v.frames());
  const std::int64_t width = q.channels() / heads, out_width = v.channels() / heads;
  const double factor = 1.0 / std::sqrt(static_cast<double>(width));
  Tensor y(q.items(), q.frames(), v.channels());
  in_parallel(q.items() * heads, [&](std::int64_t job) {
    const std::int64_t b = job / heads, h = job % heads;
    // Scores = q k^T: the keys are the columns of a packed matrix; then the values likewise.
    Packed keys(width, k.frames(), Activation::none, [&](std::int64_t j) { return k.row(b, j) + h * width; });
    keys.set_factor([&](std::int64_t) { return factor; });
    Tensor scores(1, q.frames(), k.frames());
    keys.multiply(q.frames(), q.row(b, 0) + h * width, q.row_stride(), scores.data(), k.frames());
    for (std::int64_t t = 0; t < q.frames(); ++t) kernels().softmax(k.frames(), scores.row(0, t));
    std::vector<float> column(sz(k.frames()));
    const Packed values(k.frames(), out_width, Activation::none, [&](std::int64_t j) {
      for (std::int64_t t = 0; t < k.frames(); ++t) column[sz(t)] = v.row(b, t)[h * out_width + j];
      return column.data();
    });
    values.multiply(q.frames(), scores.data(), k.frames(), y.row(b, 0) + h * out_width, y.channels());
  });
  return y;
}

Tensor Cpu::standardise(const Tensor& x, double eps) {
  Tensor y(x.items(), x.frames(), x.channels());
  for_items(x.items(), [&](std::int64_t b) {
    const Statistics s = statistics(x, b, 0, x.channels());
    const double f = 1.0 / std::sqrt(s.variance + eps);
    const std::vector<float> factor(sz(x.channels()), static_cast<float>(f)),
        summand(sz(x.channels()), static_cast<float>(-s.mean * f));
    affine_rows(x, y, b, factor, summand);
  });
  return y;
}

}  // namespace mss::nn
