#include "methods/openunmix/network.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <new>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/parallel.h"
#include "methods/openunmix/kernels.h"

namespace mss::methods::openunmix {
namespace {

/// Inner index per pass: a panel of packed weights (128 KB at most) and the rows' inputs stay in the second-level
/// cache.
constexpr std::int64_t kDepth = 512;
constexpr std::int64_t kHugePage = std::int64_t{2} << 20;

std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }
std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

}  // namespace

Floats::Floats(std::int64_t count) : size_(count) {
  const std::int64_t bytes = std::max<std::int64_t>(count, 1) * static_cast<std::int64_t>(sizeof(float));
  const bool large = bytes >= kHugePage;
  const std::size_t align = large ? sz(kHugePage) : 64;
  void* memory = std::aligned_alloc(align, sz(round_up(bytes, static_cast<std::int64_t>(align))));
  if (memory == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (large) madvise(memory, sz(round_up(bytes, kHugePage)), MADV_HUGEPAGE);
#endif
  data_.reset(static_cast<float*>(memory));
}

void Floats::Free::operator()(float* p) const noexcept { std::free(p); }

float* Floats::room(std::int64_t count) {
  if (count > size_) *this = Floats(count);
  return data();
}

// Packed weights: blocks of kDepth inputs, in each the panels of `columns` outputs, in each a row per input.
Dense::Dense(std::int64_t inputs, std::int64_t outputs)
    : inputs_(inputs),
      outputs_(outputs),
      padded_(round_up(outputs, kernels().columns)),
      weights_(inputs * padded_),
      factor_(padded_),
      summand_(padded_) {
  std::fill_n(weights_.data(), weights_.size(), 0.0F);
  std::fill_n(factor_.data(), padded_, 0.0F);
  std::fill_n(summand_.data(), padded_, 0.0F);
}

void Dense::set_row(std::int64_t output, const float* weights) {
  if (weights == nullptr) return;
  const std::int64_t columns = kernels().columns, panel = output / columns, column = output % columns;
  for (std::int64_t first = 0; first < inputs_; first += kDepth) {
    const std::int64_t depth = std::min(kDepth, inputs_ - first);
    float* block = weights_.data() + first * padded_ + panel * columns * depth + column;
    for (std::int64_t k = 0; k < depth; ++k) block[k * columns] = weights[first + k];
  }
}

void Dense::set_affine(const std::vector<double>& factor, const std::vector<double>& summand) {
  for (std::int64_t i = 0; i < outputs_; ++i) {
    factor_.data()[i] = static_cast<float>(factor[sz(i)]);
    summand_.data()[i] = static_cast<float>(summand[sz(i)]);
  }
}

/// `sums` holds all panels (row stride `stride`), or with `one_panel` (inputs <= kDepth) one that is used again.
/// `finish` gets each panel when its sums are whole.
template <class Finish>
void Dense::run(std::int64_t rows, std::span<const Columns> input, float* sums, std::int64_t stride, bool one_panel,
                Scratch& scratch, const Finish& finish) const {
  const Kernels& k = kernels();
  MSS_ASSERT(rows > 0 && rows <= kRows && kRows % k.rows == 0);
  const std::int64_t worked = round_up(rows, k.rows);
  // A row's length is no power of two, so that rows do not meet in the same sets of the cache.
  constexpr std::int64_t kStride = kDepth + 16;
  float* held = scratch.input.room(kRows * kStride);
  std::size_t piece = 0;
  std::int64_t within = 0;
  for (std::int64_t first = 0; first < inputs_; first += kDepth) {
    const std::int64_t depth = std::min(kDepth, inputs_ - first);
    for (std::int64_t filled = 0; filled < depth;) {
      const Columns& from = input[piece];
      const std::int64_t count = std::min(depth - filled, from.count - within);
      for (std::int64_t r = 0; r < rows; ++r) {
        const float* x = from.data + r * from.stride + within;
        float* y = held + r * kStride + filled;
        if (from.mean == nullptr) {
          std::copy_n(x, count, y);
        } else {
          const float *mean = from.mean + within, *scale = from.scale + within;
          for (std::int64_t i = 0; i < count; ++i) y[i] = (x[i] + mean[i]) * scale[i];
        }
      }
      filled += count;
      within += count;
      if (within == from.count) {
        ++piece;
        within = 0;
      }
    }
    for (std::int64_t r = rows; r < worked; ++r) std::fill_n(held + r * kStride, depth, 0.0F);
    const bool last = first + depth == inputs_;
    const float* w = weights_.data() + first * padded_;
    for (std::int64_t column = 0; column < padded_; column += k.columns) {
      float* panel = one_panel ? sums : sums + column;
      k.product(worked, depth, held, kStride, w + column * depth, panel, stride, first > 0);
      if (last) finish(panel, column);
    }
  }
  MSS_ASSERT(piece == input.size());
}

void Dense::apply(std::int64_t rows, std::span<const Columns> input, float* out, std::int64_t stride, Act act,
                  Scratch& scratch) const {
  const Kernels& k = kernels();
  run(rows, input, out, stride, false, scratch, [&](float* panel, std::int64_t column) {
    const float *factor = factor_.data() + column, *summand = summand_.data() + column;
    if (act == Act::tanh) k.affine_tanh(rows, panel, stride, factor, summand);
    if (act == Act::relu) k.affine_relu(rows, panel, stride, factor, summand);
  });
}

void Dense::apply_mask(std::int64_t rows, std::span<const Columns> input, float* out, std::int64_t stride,
                       Scratch& scratch) const {
  const Kernels& k = kernels();
  const bool one_panel = inputs_ <= kDepth;
  const std::int64_t width = one_panel ? k.columns : padded_;
  float* sums = scratch.sums.room(kRows * width);
  run(rows, input, sums, width, one_panel, scratch, [&](float* panel, std::int64_t column) {
    const std::int64_t count = std::min<std::int64_t>(k.columns, outputs_ - column);
    k.affine_mask(rows, count, panel, width, factor_.data() + column, summand_.data() + column, out + column, stride);
  });
}

struct Network::Target {
  std::vector<float> input_mean, input_scale;
  Dense fc1, fc2;
  std::vector<Dense> fc3;  ///< per channel
  struct Direction {
    Dense input;
    Floats recurrent, bias;
  };
  std::vector<std::vector<Direction>> lstm;  ///< [layer][direction]
};

namespace {

/// A normalisation layer in evaluation as y = factor x + summand.
struct Affine {
  std::vector<double> factor, summand;
};

Affine normalisation(const Arrays& arrays, const std::string& name) {
  const std::vector<float>& weight = arrays.at(name + ".weight").values;
  const std::vector<float>& bias = arrays.at(name + ".bias").values;
  const std::vector<float>& mean = arrays.at(name + ".running_mean").values;
  const std::vector<float>& variance = arrays.at(name + ".running_var").values;
  Affine out;
  for (std::size_t i = 0; i < weight.size(); ++i) {
    const double factor = weight[i] / std::sqrt(static_cast<double>(variance[i]) + 1e-5);
    out.factor.push_back(factor);
    out.summand.push_back(bias[i] - mean[i] * factor);
  }
  return out;
}

}  // namespace

Network::~Network() = default;
Network::Network(Network&&) noexcept = default;

Network::Network(const Weights& weights, int threads) : configuration_(weights.configuration) {
  check_shapes(weights, weights.label);
  const Configuration& c = configuration_;
  const Kernels& k = kernels();
  const std::int64_t hidden = c.hidden, units = c.hidden / c.directions();
  const std::int64_t in = std::int64_t{c.channels} * c.max_bin;
  width_ = round_up(hidden, k.columns);
  direction_width_ = round_up(units, std::max(k.lstm_units, k.columns));
  const std::int64_t panel = k.lstm_units, panels = direction_width_ / panel;

  // Which gate row stands at place p of the packed order, or -1 for padding.
  const auto gate_row = [&](std::int64_t p) -> std::int64_t {
    const std::int64_t unit = p / (4 * panel) * panel + p % panel, gate = p % (4 * panel) / panel;
    return unit < units ? gate * units + unit : -1;
  };

  targets_.resize(c.targets.size());
  core::parallel_for(targets(), threads, [&](std::int64_t t) {
    Target& target = targets_[sz(t)];
    const Arrays& arrays = weights.targets.at(c.targets[sz(t)]);
    target.input_mean = arrays.at("input_mean").values;
    target.input_scale = arrays.at("input_scale").values;

    const float* fc1 = arrays.at("fc1.weight").values.data();
    target.fc1 = Dense(in, hidden, [&](std::int64_t i) { return fc1 + i * in; });
    const Affine bn1 = normalisation(arrays, "bn1");
    target.fc1.set_affine(bn1.factor, bn1.summand);

    target.lstm.resize(sz(c.layers));
    for (int layer = 0; layer < c.layers; ++layer) {
      for (int d = 0; d < c.directions(); ++d) {
        const std::string suffix = "_l" + std::to_string(layer) + (d == 1 ? "_reverse" : "");
        const float* ih = arrays.at("lstm.weight_ih" + suffix).values.data();
        const float* hh = arrays.at("lstm.weight_hh" + suffix).values.data();
        const float* bias_ih = arrays.at("lstm.bias_ih" + suffix).values.data();
        const float* bias_hh = arrays.at("lstm.bias_hh" + suffix).values.data();
        Target::Direction direction;
        direction.input = Dense(hidden, 4 * direction_width_, [&](std::int64_t p) {
          const std::int64_t row = gate_row(p);
          return row < 0 ? nullptr : ih + row * hidden;
        });
        direction.bias = Floats(4 * direction_width_);
        direction.recurrent = Floats(units * 4 * direction_width_);
        for (std::int64_t p = 0; p < 4 * direction_width_; ++p) {
          const std::int64_t row = gate_row(p);
          direction.bias.data()[p] = row < 0 ? 0.0F : bias_ih[row] + bias_hh[row];
          float* to = direction.recurrent.data() + p / (4 * panel) * units * 4 * panel + p % (4 * panel);
          for (std::int64_t u = 0; u < units; ++u) to[u * 4 * panel] = row < 0 ? 0.0F : hh[row * units + u];
        }
        target.lstm[sz(layer)].push_back(std::move(direction));
      }
    }
    MSS_ASSERT(panels * panel == direction_width_);

    const bool cross = c.architecture == Architecture::crossskip;
    const Array& fc2 = arrays.at(cross ? "fc2x.weight" : "fc2.weight");
    const std::int64_t fc2_in = fc2.shape[1];
    target.fc2 = Dense(fc2_in, hidden, [&](std::int64_t i) { return fc2.values.data() + i * fc2_in; });
    const Affine bn2 = normalisation(arrays, "bn2");
    target.fc2.set_affine(bn2.factor, bn2.summand);

    const float* fc3 = arrays.at("fc3.weight").values.data();
    const Affine bn3 = normalisation(arrays, "bn3");
    const std::vector<float>& scale = arrays.at("output_scale").values;
    const std::vector<float>& mean = arrays.at("output_mean").values;
    for (int channel = 0; channel < c.channels; ++channel) {
      const std::int64_t first = std::int64_t{channel} * c.bins;
      Dense layer(hidden, c.bins, [&](std::int64_t i) { return fc3 + (first + i) * hidden; });
      std::vector<double> factor(sz(c.bins)), summand(sz(c.bins));
      for (std::size_t i = 0; i < factor.size(); ++i) {
        factor[i] = bn3.factor[sz(first) + i] * scale[i];
        summand[i] = bn3.summand[sz(first) + i] * scale[i] + mean[i];
      }
      layer.set_affine(factor, summand);
      target.fc3.push_back(std::move(layer));
    }
  });
}

void Network::encode(int target, std::int64_t rows, std::span<const float* const> magnitudes, std::int64_t stride,
                     float* e, Scratch& scratch) const {
  const Target& t = targets_[sz(target)];
  std::vector<Columns> input;
  for (const float* channel : magnitudes) {
    input.push_back({channel, stride, configuration_.max_bin, t.input_mean.data(), t.input_scale.data()});
  }
  t.fc1.apply(rows, input, e, width_, Dense::Act::tanh, scratch);
}

void Network::gates(int target, int layer, int direction, std::int64_t rows, std::span<const float* const> input,
                    float* gates, Scratch& scratch) const {
  const std::int64_t units = configuration_.hidden / configuration_.directions();
  std::array<Columns, 2> columns;
  if (layer == 0) {
    columns[0] = {input[0], width_, configuration_.hidden};
  } else {
    for (std::size_t d = 0; d < input.size(); ++d) columns[d] = {input[d], direction_width_, units};
  }
  targets_[sz(target)].lstm[sz(layer)][sz(direction)].input.apply(rows, std::span(columns).first(input.size()), gates,
                                                                  gate_width(), Dense::Act::none, scratch);
}

LstmState Network::start() const {
  LstmState state{Floats(direction_width_), Floats(direction_width_), Floats(direction_width_)};
  for (Floats* part : {&state.hidden, &state.cell, &state.spare}) std::fill_n(part->data(), part->size(), 0.0F);
  return state;
}

void Network::recur(int target, int layer, int direction, std::int64_t rows, const float* gates, LstmState& state,
                    float* out) const {
  const Target::Direction& d = targets_[sz(target)].lstm[sz(layer)][sz(direction)];
  kernels().lstm(rows, configuration_.hidden / configuration_.directions(), gates, d.recurrent.data(), d.bias.data(),
                 state.hidden.data(), state.cell.data(), state.spare.data(), out, direction_width_, direction == 1);
}

void Network::decode(int target, std::int64_t rows, std::span<const float* const> input, std::span<float* const> out,
                     std::int64_t stride, Scratch& scratch) const {
  const Target& t = targets_[sz(target)];
  const std::int64_t units = configuration_.hidden / configuration_.directions();
  const auto directions = sz(configuration_.directions());
  std::vector<Columns> columns;
  for (std::size_t i = 0; i < input.size(); ++i) {
    const bool direction = i >= 1 && i <= directions;
    columns.push_back({input[i], direction ? direction_width_ : width_, direction ? units : configuration_.hidden});
  }
  float* hidden = scratch.hidden.room(Dense::kRows * width_);
  t.fc2.apply(rows, columns, hidden, width_, Dense::Act::relu, scratch);
  const Columns between{hidden, width_, configuration_.hidden};
  for (std::size_t c = 0; c < out.size(); ++c) t.fc3[c].apply_mask(rows, {&between, 1}, out[c], stride, scratch);
}

}  // namespace mss::methods::openunmix
