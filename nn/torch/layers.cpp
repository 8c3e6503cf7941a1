#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/stop.h"
#include "nn/torch/layers_torch.h"

namespace mss::nn {
namespace {

/// What took long: a stop request is heeded on the way back too, before its gradient is worked out.
at::Tensor heeding(at::Tensor y) {
  if (y.requires_grad()) y.register_hook([](const at::Tensor&) { core::check_stop(); });
  return y;
}

/// `axis` is that of the channels, for gated linear units.
at::Tensor activated(Activation activation, const at::Tensor& x, std::int64_t axis = 2) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return at::relu(x);
    case Activation::gelu:
      return at::gelu(x);
    case Activation::tanh:
      return at::tanh(x);
    case Activation::sigmoid:
      return at::sigmoid(x);
    case Activation::glu:
      return at::glu(x, axis);
  }
  return x;
}

/// Of what a convolution has just made, (B, C, T): on its own layout, because the gradient of a gated linear unit comes
/// contiguous and the convolution's backward pass would copy a transposed one; without a copy of its own where the gradient
/// needs the result alone.
at::Tensor activated_rows(Activation activation, at::Tensor x) {
  if (activation == Activation::relu) return at::relu_(x).transpose(1, 2);
  return activated(activation, x, 1).transpose(1, 2);
}

at::Tensor optional_bias(const Torch::Scope& scope, const std::vector<Parameter>& wanted) {
  return wanted.size() > 1 ? scope.get(wanted[1]) : at::Tensor();
}

}  // namespace

TorchWeights::TorchWeights(Source& source, at::TensorOptions options) : source_(&source), options_(options) {}

at::Tensor TorchWeights::find(std::string_view name) const {
  for (const auto* list : {&parameters_, &buffers_}) {
    for (const auto& [key, tensor] : *list) {
      if (key == name) return tensor;
    }
  }
  throw Error(Code::invalid_argument, std::string(name), "the network has no such tensor");
}

at::Tensor Torch::Scope::get(const Parameter& parameter) const {
  const std::string name = path_.empty() ? parameter.name : path_ + "." + parameter.name;
  for (const auto* list : {&weights_->parameters_, &weights_->buffers_}) {
    for (const auto& [key, tensor] : *list) {
      if (key == name) return tensor;
    }
  }
  at::Tensor values = at::empty(parameter.shape, at::TensorOptions().dtype(at::kFloat));
  weights_->source_->fill(name, parameter, {values.data_ptr<float>(), static_cast<std::size_t>(values.numel())});
  at::Tensor made = values.to(weights_->options_);
  if (parameter.trained) {
    made.requires_grad_(true);
    weights_->parameters_.emplace_back(name, made);
  } else {
    weights_->buffers_.emplace_back(name, made);
  }
  return made;
}

std::vector<at::Tensor> Torch::Scope::get(const std::vector<Parameter>& wanted) const {
  std::vector<at::Tensor> out;
  for (const Parameter& p : wanted) out.push_back(get(p));
  return out;
}

Torch::Linear::Linear(const Scope& scope, const LinearOptions& options) : options_(options) {
  const std::vector<Parameter> wanted = nn::parameters(options);
  weight_ = scope.get(wanted[0]);
  bias_ = optional_bias(scope, wanted);
}

at::Tensor Torch::Linear::operator()(const Tensor& x) const {
  core::check_stop();
  return heeding(
      activated(options_.activation, bias_.defined() ? at::linear(x, weight_, bias_) : at::linear(x, weight_)));
}

Torch::BatchNorm::BatchNorm(const Scope& scope, const BatchNormOptions& options)
    : options_(options), values_(scope.get(nn::parameters(options))), training_(scope.training()) {}

at::Tensor Torch::BatchNorm::operator()(const Tensor& x) const {
  return at::batch_norm(x.reshape({-1, x.size(2)}), values_[0], values_[1], values_[2], values_[3], *training_,
                        options_.momentum, options_.eps,
                        /*cudnn_enabled=*/true)
      .reshape(x.sizes());
}

namespace {

LinearOptions without_activation(LinearOptions options) {
  if (options.activation == Activation::glu) options.outputs *= 2;
  options.activation = Activation::none;
  return options;
}

}  // namespace

Torch::LinearBatchNorm::LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options,
                                        double eps)
    : activation_(options.activation),
      linear_(linear, without_activation(options)),
      norm_(norm, {.channels = without_activation(options).outputs, .eps = eps}) {}

Torch::LinearBatchNorm::LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options,
                                        const Vector& factor, const Vector& summand, double eps)
    : LinearBatchNorm(linear, norm, options, eps) {
  factor_ = factor;
  summand_ = summand;
}

at::Tensor Torch::LinearBatchNorm::operator()(const Tensor& x) const {
  const at::Tensor y = norm_(linear_(x));
  return activated(activation_, factor_ ? summand_->add(factor_->multiply(y)) : y);
}

Torch::Conv1d::Conv1d(const Scope& scope, const Conv1dOptions& options) : options_(options) {
  const std::vector<Parameter> wanted = nn::parameters(options);
  weight_ = scope.get(wanted[0]);
  bias_ = optional_bias(scope, wanted);
}

at::Tensor Torch::Conv1d::operator()(const Tensor& x) const {
  core::check_stop();
  const Conv1dOptions& o = options_;
  if (o.frames(x.size(1)) == 0) return at::empty({x.size(0), 0, o.outputs}, x.options());
  return heeding(activated_rows(
      o.activation, at::conv1d(x.transpose(1, 2), weight_, bias_, o.stride, o.padding, o.dilation, o.groups)));
}

Torch::ConvTranspose1d::ConvTranspose1d(const Scope& scope, const ConvTranspose1dOptions& options) : options_(options) {
  const std::vector<Parameter> wanted = nn::parameters(options);
  weight_ = scope.get(wanted[0]);
  bias_ = optional_bias(scope, wanted);
}

at::Tensor Torch::ConvTranspose1d::operator()(const Tensor& x) const {
  core::check_stop();
  return heeding(
      activated_rows(options_.activation, at::conv_transpose1d(x.transpose(1, 2), weight_, bias_, options_.stride)));
}

Torch::Lstm::Lstm(const Scope& scope, const LstmOptions& options)
    : options_(options),
      weights_(scope.get(nn::parameters(options))),
      training_(scope.training()),
      dropout_(scope.dropout()) {}

at::Tensor Torch::Lstm::operator()(const Tensor& x) const {
  core::check_stop();
  const at::Tensor zero = at::zeros({options_.layers * options_.directions(), x.size(0), options_.hidden}, x.options());
  return heeding(std::get<0>(at::lstm(x, {zero, zero}, weights_, /*has_biases=*/true, options_.layers,
                                      *dropout_ ? options_.dropout : 0.0, *training_, options_.bidirectional,
                                      /*batch_first=*/true)));
}

Torch::Lstm::State Torch::Lstm::start(std::int64_t items) const {
  const at::Tensor zero = at::zeros({1, items, options_.hidden}, weights_[0].options().requires_grad(false));
  return {zero, zero};
}

at::Tensor Torch::Lstm::project(std::int64_t, std::int64_t, const Tensor& x) const { return x; }

void Torch::Lstm::recur(std::int64_t layer, std::int64_t direction, const Tensor& x, State& state, Tensor out) const {
  core::check_stop();
  const auto first = static_cast<std::size_t>(4 * (layer * options_.directions() + direction));
  const std::vector<at::Tensor> weights(weights_.begin() + static_cast<std::ptrdiff_t>(first),
                                        weights_.begin() + static_cast<std::ptrdiff_t>(first + 4));
  const auto [y, hidden, cell] =
      at::lstm(direction == 0 ? x : x.flip(1), {state.hidden, state.cell}, weights, /*has_biases=*/true,
               /*num_layers=*/1, /*dropout=*/0.0, /*train=*/false, /*bidirectional=*/false, /*batch_first=*/true);
  out.narrow(2, 0, options_.hidden).copy_(direction == 0 ? y : y.flip(1));
  state = {hidden, cell};
}

Torch::GroupNorm::GroupNorm(const Scope& scope, const GroupNormOptions& options)
    : options_(options), values_(scope.get(nn::parameters(options))) {}

at::Tensor Torch::GroupNorm::operator()(const Tensor& x) const {
  return at::group_norm(x.transpose(1, 2), options_.groups, values_[0], values_[1], options_.eps).transpose(1, 2);
}

Torch::LayerNorm::LayerNorm(const Scope& scope, const LayerNormOptions& options)
    : options_(options), values_(scope.get(nn::parameters(options))) {}

at::Tensor Torch::LayerNorm::operator()(const Tensor& x) const {
  const LayerNormOptions& o = options_;
  if (o.frames == 0) return at::layer_norm(x, {o.channels}, values_[0], values_[1], o.eps);
  MSS_ASSERT(x.size(1) == o.frames);
  if (!o.channels_first) return at::layer_norm(x, {o.frames, o.channels}, values_[0], values_[1], o.eps);
  return at::layer_norm(x.transpose(1, 2), {o.channels, o.frames}, values_[0], values_[1], o.eps).transpose(1, 2);
}

Torch::Embedding::Embedding(const Scope& scope, const EmbeddingOptions& options)
    : table_(scope.get(nn::parameters(options)[0])) {}

at::Tensor Torch::Embedding::operator()(std::span<const std::int64_t> indices) const {
  const at::Tensor rows =
      at::tensor(at::ArrayRef<std::int64_t>(indices.data(), indices.size()), at::TensorOptions().dtype(at::kLong))
          .to(table_.device());
  return at::embedding(table_, rows).unsqueeze(0);
}

Torch::PRelu::PRelu(const Scope& scope, const PReluOptions& options) : weight_(scope.get(nn::parameters(options)[0])) {}

at::Tensor Torch::PRelu::operator()(const Tensor& x) const {
  return at::prelu(x.transpose(1, 2), weight_).transpose(1, 2);
}

Torch::Vector::Vector(const Scope& scope, const std::string& name, const VectorOptions& options)
    : repeats_(options.repeats),
      values_(scope.get(Parameter{name, {options.channels}, options.init, options.trained})) {}

at::Tensor Torch::Vector::add(const Tensor& x) const {
  return x + (repeats_ == 1 ? values_ : values_.repeat(repeats_));
}
at::Tensor Torch::Vector::multiply(const Tensor& x) const {
  return x * (repeats_ == 1 ? values_ : values_.repeat(repeats_));
}

Torch::FilterBank::FilterBank(std::int64_t phases, std::int64_t stride, std::int64_t before, std::vector<double> taps)
    : phases_(phases), stride_(stride), before_(before), kernel_(static_cast<std::int64_t>(taps.size()) / phases) {
  taps_ = at::tensor(at::ArrayRef<double>(taps), at::TensorOptions().dtype(at::kDouble)).reshape({phases, 1, kernel_});
}

at::Tensor Torch::FilterBank::operator()(const Tensor& x) const {
  const std::int64_t samples = x.size(1), frames = samples * phases_ / stride_, rows = (frames + phases_ - 1) / phases_;
  if (frames == 0) return at::empty({x.size(0), 0, x.size(2)}, x.options());
  const at::Tensor lines = x.transpose(1, 2).reshape({-1, 1, samples});
  const std::int64_t after = std::max<std::int64_t>(0, (rows - 1) * stride_ + kernel_ - before_ - samples);
  const at::Tensor padded = at::cat(
      {lines.narrow(2, 0, 1).expand({-1, -1, before_}), lines, lines.narrow(2, samples - 1, 1).expand({-1, -1, after})},
      2);
  const at::Tensor y = at::conv1d(padded, taps_.to(x.options()), {}, stride_);  // (B C, phases, rows or more)
  return y.narrow(2, 0, rows)
      .transpose(1, 2)
      .reshape({x.size(0), x.size(2), rows * phases_})
      .narrow(2, 0, frames)
      .transpose(1, 2);
}

at::Tensor Torch::relu(const Tensor& x) { return at::relu(x); }
at::Tensor Torch::gelu(const Tensor& x) { return at::gelu(x); }
at::Tensor Torch::tanh(const Tensor& x) { return at::tanh(x); }
at::Tensor Torch::sigmoid(const Tensor& x) { return at::sigmoid(x); }
at::Tensor Torch::softmax(const Tensor& x) { return at::softmax(x, 2); }
at::Tensor Torch::glu(const Tensor& x) { return at::glu(x, 2); }
at::Tensor Torch::log1p(const Tensor& x) { return at::log1p(x); }
at::Tensor Torch::sqrt(const Tensor& x) { return at::sqrt(x); }
at::Tensor Torch::reciprocal(const Tensor& x) { return at::reciprocal(x); }
at::Tensor Torch::add(const Tensor& a, const Tensor& b) { return a + b; }
at::Tensor Torch::multiply(const Tensor& a, const Tensor& b) { return a * b; }
at::Tensor Torch::scale(const Tensor& x, double factor, double summand) {
  const at::Tensor y = factor == 1.0 ? x : x * factor;
  return summand == 0.0 ? y : y + summand;
}

at::Tensor Torch::complex_multiply(const Tensor& a, const Tensor& b) {
  const std::int64_t half = a.size(2) / 2;
  const at::Tensor ar = a.narrow(2, 0, half), ai = a.narrow(2, half, half), br = b.narrow(2, 0, half),
                   bi = b.narrow(2, half, half);
  return at::cat({ar * br - ai * bi, ar * bi + ai * br}, 2);
}

at::Tensor Torch::narrow(const Tensor& x, int axis, std::int64_t begin, std::int64_t count) {
  return x.narrow(axis, begin, count);
}
at::Tensor Torch::concat(const std::vector<Tensor>& parts, int axis) { return at::cat(parts, axis); }
at::Tensor Torch::pad(const Tensor& x, std::int64_t before, std::int64_t after) {
  return at::constant_pad_nd(x, {0, 0, before, after});
}

at::Tensor Torch::reshape(const Tensor& x, std::int64_t items, std::int64_t frames, std::int64_t channels) {
  return x.reshape({items, frames, channels});
}

at::Tensor Torch::exchange(const Tensor& x, std::int64_t groups) {
  const std::int64_t within = x.size(0) / groups;
  return x.reshape({groups, within, x.size(1), x.size(2)})
      .permute({2, 1, 0, 3})
      .reshape({x.size(1) * within, groups, x.size(2)});
}

at::Tensor Torch::exchange_within(const Tensor& x, std::int64_t size) {
  const std::int64_t outer = x.size(0) / size;
  return x.reshape({outer, size, x.size(1), x.size(2)}).transpose(1, 2).reshape({outer * x.size(1), size, x.size(2)});
}

at::Tensor Torch::transpose(const Tensor& x) { return x.transpose(1, 2); }
at::Tensor Torch::mean_frames(const Tensor& x) { return x.mean(1, /*keepdim=*/true); }

at::Tensor Torch::unfold(const Tensor& x, std::int64_t size, std::int64_t hop) {
  return x.unfold(1, size, hop).transpose(2, 3).reshape({-1, size, x.size(2)});
}

at::Tensor Torch::fold(const Tensor& x, std::int64_t items, std::int64_t hop) {
  const std::int64_t size = x.size(1), channels = x.size(2), count = x.size(0) / items, pieces = (size + hop - 1) / hop;
  // A segment is `pieces` pieces of `hop` frames; the pieces of one rank stand beside each other in the result.
  const at::Tensor whole =
      at::constant_pad_nd(x, {0, 0, 0, pieces * hop - size}).reshape({items, count, pieces, hop, channels});
  at::Tensor y;
  for (std::int64_t p = 0; p < pieces; ++p) {
    const at::Tensor line = whole.select(2, p).reshape({items, count * hop, channels});
    const at::Tensor placed = at::constant_pad_nd(line, {0, 0, p * hop, (pieces - 1 - p) * hop});
    y = y.defined() ? y + placed : placed;
  }
  return y.narrow(1, 0, (count - 1) * hop + size);
}

at::Tensor Torch::attention(const Tensor& q, const Tensor& k, const Tensor& v, std::int64_t heads) {
  const auto split = [heads](const at::Tensor& x) {
    return x.reshape({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
  };
  const double factor = 1.0 / std::sqrt(static_cast<double>(q.size(2) / heads));
  const at::Tensor scores = at::softmax(at::matmul(split(q), split(k).transpose(2, 3)) * factor, 3);
  return at::matmul(scores, split(v)).transpose(1, 2).reshape({q.size(0), q.size(1), v.size(2)});
}

at::Tensor Torch::standardise(const Tensor& x, double eps) {
  const at::Tensor mean = x.mean(at::IntArrayRef{1, 2}, /*keepdim=*/true);
  const at::Tensor centred = x - mean;
  return centred / at::sqrt(centred.square().mean(at::IntArrayRef{1, 2}, /*keepdim=*/true) + eps);
}

}  // namespace mss::nn
