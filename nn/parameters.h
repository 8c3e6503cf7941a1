// What a layer is made of: its options, and the names, shapes and initial values of its parameters. Every layer set
// (nn/cpu.h, nn/trace.h, nn/torch/layers_torch.h) asks these lists, so that a parameter's name and shape are written
// down once. Names and shapes are PyTorch's, so that published state dicts fit by name; initial values are PyTorch's
// defaults (Linear and convolutions: uniform in +-1/sqrt(fan_in), weight and bias; LSTM: uniform in
// +-1/sqrt(hidden); normalisations: 1 and 0; embeddings: standard normal).
//
// Tensors are (B, T, C): items, frames (or samples), channels; channels last in memory.
//
// Thread-safety: values and pure functions. Errors: Error(invalid_argument) for sizes below 1 and combinations that no
// layer has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mss::nn {

using Shape = std::vector<std::int64_t>;

/// What follows a product inside its layer. glu: the layer computes 2 * outputs values a | b and yields a * sigmoid(b).
enum class Activation { none, relu, gelu, tanh, sigmoid, glu };

/// Initial values: all equal to `size` (constant), uniform in [-size, size), normal with standard deviation `size`.
struct Init {
  enum class Kind { constant, uniform, normal } kind = Kind::constant;
  double size = 0.0;
};

struct Parameter {
  std::string name;  ///< within its layer: "weight", "bias_ih_l0_reverse"
  Shape shape;
  Init init{};
  bool trained = true;  ///< false: running statistics and other values that no gradient reaches
};
std::int64_t element_count(const Shape& shape) noexcept;

/// y = act(x W^T + b): weight (outputs, inputs); with glu (2 outputs, inputs).
struct LinearOptions {
  std::int64_t inputs = 0, outputs = 0;
  bool bias = true;
  Activation activation = Activation::none;
};

/// y[t, o] = act(b[o] + sum_k,i w[o, i, k] x[t stride + k dilation - padding, i]), samples outside of x are 0; weight
/// (outputs, inputs / groups, kernel), with glu (2 outputs, …). T' = floor((T + 2 padding - dilation (kernel - 1) - 1)
/// / stride) + 1.
struct Conv1dOptions {
  std::int64_t inputs = 0, outputs = 0, kernel = 1, stride = 1, dilation = 1, groups = 1, padding = 0;
  bool bias = true;
  Activation activation = Activation::none;

  std::int64_t frames(std::int64_t input_frames) const noexcept;  ///< T'
};

/// y[t stride + k, o] += w[i, o, k] x[t, i], then bias and activation; weight (inputs, outputs, kernel), with glu
/// (inputs, 2 outputs, kernel). T' = (T - 1) stride + kernel.
struct ConvTranspose1dOptions {
  std::int64_t inputs = 0, outputs = 0, kernel = 1, stride = 1;
  bool bias = true;
  Activation activation = Activation::none;

  std::int64_t frames(std::int64_t input_frames) const noexcept;
};

/// torch.nn.LSTM over the frames: gates i, f, g, o; two bias vectors; state 0 at the beginning; outputs [forward,
/// backward]. Parameters weight_ih (4H, I), weight_hh (4H, H), bias_ih, bias_hh (4H), each with the suffix _l<layer> or
/// _l<layer>_reverse. `dropout` between layers, in training only.
struct LstmOptions {
  std::int64_t inputs = 0, hidden = 0, layers = 1;
  bool bidirectional = true;
  double dropout = 0.0;

  std::int64_t directions() const noexcept { return bidirectional ? 2 : 1; }
  std::int64_t outputs() const noexcept { return hidden * directions(); }
  std::int64_t layer_inputs(std::int64_t layer) const noexcept { return layer == 0 ? inputs : outputs(); }
};

/// torch.nn.GroupNorm: per item and group, over all frames and the group's channels: (x - mean) / sqrt(var + eps) with
/// the biased variance, then weight and bias per channel. groups = 1 is the global layer norm of Conv-TasNet, groups =
/// channels instance normalisation.
struct GroupNormOptions {
  std::int64_t channels = 0, groups = 1;
  double eps = 1e-5;
};

/// torch.nn.LayerNorm. frames = 0: per frame, over the channels; weight and bias (channels). frames > 0: per item, over
/// all frames and channels, with weight and bias per frame and channel, (frames, channels) or with `channels_first`
/// (channels, frames); an input of another number of frames is refused.
struct LayerNormOptions {
  std::int64_t channels = 0, frames = 0;
  double eps = 1e-5;
  bool channels_first = false;
};

/// torch.nn.BatchNorm1d over the channels; running statistics in inference. momentum: of the running statistics, in
/// training.
struct BatchNormOptions {
  std::int64_t channels = 0;
  double eps = 1e-5, momentum = 0.1;
};

/// A table (rows, channels), of which frame t of the result is row indices[t].
struct EmbeddingOptions {
  std::int64_t rows = 0, channels = 0;
};

/// torch.nn.PReLU: x > 0 ? x : weight x; one weight for all channels (channels = 1) or one each.
struct PReluOptions {
  std::int64_t channels = 1;
};

/// A vector added to or multiplied with every frame: y = x + v, y = x v. With `repeats` > 1 x has channels * repeats
/// channels, of which channel j meets v[j mod channels] (the same values for several audio channels).
struct VectorOptions {
  std::int64_t channels = 0, repeats = 1;
  Init init{};
  bool trained = true;
};

std::vector<Parameter> parameters(const LinearOptions& options);
std::vector<Parameter> parameters(const Conv1dOptions& options);
std::vector<Parameter> parameters(const ConvTranspose1dOptions& options);
std::vector<Parameter> parameters(const LstmOptions& options);
std::vector<Parameter> parameters(const GroupNormOptions& options);
std::vector<Parameter> parameters(const LayerNormOptions& options);
std::vector<Parameter> parameters(const BatchNormOptions& options);
std::vector<Parameter> parameters(const EmbeddingOptions& options);
std::vector<Parameter> parameters(const PReluOptions& options);

/// "_l0", "_l1_reverse".
std::string lstm_suffix(std::int64_t layer, std::int64_t direction);

}  // namespace mss::nn
