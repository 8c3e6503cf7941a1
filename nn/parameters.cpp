#include "nn/parameters.h"

#include <cmath>

#include "core/error.h"

namespace mss::nn {
namespace {

void require(bool condition, const char* where, const char* what) {
  if (!condition) throw Error(Code::invalid_argument, where, what);
}

std::int64_t width(std::int64_t outputs, Activation activation) {
  return activation == Activation::glu ? 2 * outputs : outputs;
}

std::vector<Parameter> weight_and_bias(Shape weight, std::int64_t outputs, std::int64_t fan_in, bool bias) {
  const Init init{Init::Kind::uniform, 1.0 / std::sqrt(static_cast<double>(fan_in))};
  std::vector<Parameter> out{{"weight", std::move(weight), init}};
  if (bias) out.push_back({"bias", {outputs}, init});
  return out;
}

constexpr Init kOnes{Init::Kind::constant, 1.0};
constexpr Init kZeros{Init::Kind::constant, 0.0};

}  // namespace

std::int64_t element_count(const Shape& shape) noexcept {
  std::int64_t count = 1;
  for (const std::int64_t n : shape) count *= n;
  return count;
}

std::int64_t Conv1dOptions::frames(std::int64_t input_frames) const noexcept {
  const std::int64_t free = input_frames + 2 * padding - dilation * (kernel - 1) - 1;
  return free < 0 ? 0 : free / stride + 1;
}

std::int64_t ConvTranspose1dOptions::frames(std::int64_t input_frames) const noexcept {
  return input_frames < 1 ? 0 : (input_frames - 1) * stride + kernel;
}

std::vector<Parameter> parameters(const LinearOptions& o) {
  require(o.inputs >= 1 && o.outputs >= 1, "nn::Linear", "sizes are at least 1");
  const std::int64_t rows = width(o.outputs, o.activation);
  return weight_and_bias({rows, o.inputs}, rows, o.inputs, o.bias);
}

std::vector<Parameter> parameters(const Conv1dOptions& o) {
  require(o.inputs >= 1 && o.outputs >= 1 && o.kernel >= 1 && o.stride >= 1 && o.dilation >= 1 && o.groups >= 1 &&
              o.padding >= 0,
          "nn::Conv1d", "sizes are at least 1, the padding at least 0");
  const std::int64_t rows = width(o.outputs, o.activation);
  require(o.inputs % o.groups == 0 && rows % o.groups == 0, "nn::Conv1d",
          "inputs and outputs are multiples of the groups");
  require(o.groups == 1 || o.activation != Activation::glu, "nn::Conv1d", "a gated convolution has one group");
  return weight_and_bias({rows, o.inputs / o.groups, o.kernel}, rows, o.inputs / o.groups * o.kernel, o.bias);
}

std::vector<Parameter> parameters(const ConvTranspose1dOptions& o) {
  require(o.inputs >= 1 && o.outputs >= 1 && o.kernel >= 1 && o.stride >= 1, "nn::ConvTranspose1d",
          "sizes are at least 1");
  const std::int64_t rows = width(o.outputs, o.activation);
  return weight_and_bias({o.inputs, rows, o.kernel}, rows, rows * o.kernel, o.bias);
}

std::vector<Parameter> parameters(const LstmOptions& o) {
  require(o.inputs >= 1 && o.hidden >= 1 && o.layers >= 1 && o.dropout >= 0.0 && o.dropout < 1.0, "nn::Lstm",
          "sizes are at least 1 and dropout lies in [0, 1)");
  const Init init{Init::Kind::uniform, 1.0 / std::sqrt(static_cast<double>(o.hidden))};
  std::vector<Parameter> out;
  for (std::int64_t layer = 0; layer < o.layers; ++layer) {
    for (std::int64_t direction = 0; direction < o.directions(); ++direction) {
      const std::string suffix = lstm_suffix(layer, direction);
      out.push_back({"weight_ih" + suffix, {4 * o.hidden, o.layer_inputs(layer)}, init});
      out.push_back({"weight_hh" + suffix, {4 * o.hidden, o.hidden}, init});
      out.push_back({"bias_ih" + suffix, {4 * o.hidden}, init});
      out.push_back({"bias_hh" + suffix, {4 * o.hidden}, init});
    }
  }
  return out;
}

std::vector<Parameter> parameters(const GroupNormOptions& o) {
  require(o.channels >= 1 && o.groups >= 1 && o.channels % o.groups == 0 && o.eps > 0, "nn::GroupNorm",
          "the channels are a multiple of the groups, eps > 0");
  return {{"weight", {o.channels}, kOnes}, {"bias", {o.channels}, kZeros}};
}

std::vector<Parameter> parameters(const LayerNormOptions& o) {
  require(o.channels >= 1 && o.frames >= 0 && o.eps > 0, "nn::LayerNorm", "sizes are at least 1, eps > 0");
  Shape shape{o.channels};
  if (o.frames > 0) shape = o.channels_first ? Shape{o.channels, o.frames} : Shape{o.frames, o.channels};
  return {{"weight", shape, kOnes}, {"bias", shape, kZeros}};
}

std::vector<Parameter> parameters(const BatchNormOptions& o) {
  require(o.channels >= 1 && o.eps > 0, "nn::BatchNorm", "sizes are at least 1, eps > 0");
  return {{"weight", {o.channels}, kOnes},
          {"bias", {o.channels}, kZeros},
          {"running_mean", {o.channels}, kZeros, false},
          {"running_var", {o.channels}, kOnes, false}};
}

std::vector<Parameter> parameters(const EmbeddingOptions& o) {
  require(o.rows >= 1 && o.channels >= 1, "nn::Embedding", "sizes are at least 1");
  return {{"weight", {o.rows, o.channels}, {Init::Kind::normal, 1.0}}};
}

std::vector<Parameter> parameters(const PReluOptions& o) {
  require(o.channels >= 1, "nn::PRelu", "sizes are at least 1");
  return {{"weight", {o.channels}, {Init::Kind::constant, 0.25}}};
}

std::string lstm_suffix(std::int64_t layer, std::int64_t direction) {
  return "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
}

}  // namespace mss::nn
