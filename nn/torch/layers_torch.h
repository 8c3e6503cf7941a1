// The layer set Torch: the vocabulary of nn/cpu.h on LibTorch, differentiable, float32 or float64, on any device.
// Formulas, shapes and names are those of nn/cpu.h and nn/parameters.h; a model template over this set is what training
// and engine=libtorch run.
//
// Tensors are (B, T, C) too. Convolutions see them transposed without a copy: what a convolution yields is a transposed
// view, and the next one takes it as it is.
//
// Determinism: no operator here lacks a deterministic CUDA backward by PyTorch's list (docs of
// torch.use_deterministic_algorithms): edges are repeated and segments added up with concatenations and sums, not with
// replication_pad1d, index_add or col2im. cuDNN's LSTM is deterministic with one stream when CUBLAS_WORKSPACE_CONFIG is
// set, as nn/torch/runtime_torch.h does.
//
// Thread-safety: forward calls in evaluation mode may run at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nn/parameters.h"
#include "nn/scope.h"
#include "nn/torch/libtorch_torch.h"

namespace mss::nn {

/// The parameters and running statistics of a network on LibTorch, by full name, in the order of construction. Layers
/// hold the same tensors.
class TorchWeights {
 public:
  /// Values come from `source` (kept during construction of the layers only) as float32 and are converted to `options`.
  explicit TorchWeights(Source& source, at::TensorOptions options = at::TensorOptions().dtype(at::kFloat));

  const std::vector<std::pair<std::string, at::Tensor>>& parameters() const noexcept {
    return parameters_;
  }  ///< trained; they require gradients
  const std::vector<std::pair<std::string, at::Tensor>>& buffers() const noexcept { return buffers_; }
  /// Throws Error(invalid_argument) for an unknown name.
  at::Tensor find(std::string_view name) const;
  /// Dropout and batch statistics: training mode. Evaluation at first.
  void train(bool on) noexcept { *training_ = on; }
  bool training() const noexcept { return *training_; }
  /// Whether training mode drops out where layers say so; it does at first.
  void dropout(bool on) noexcept { *dropout_ = on; }

 private:
  friend struct Torch;
  Source* source_;
  at::TensorOptions options_;
  std::vector<std::pair<std::string, at::Tensor>> parameters_, buffers_;
  std::shared_ptr<bool> training_ = std::make_shared<bool>(false), dropout_ = std::make_shared<bool>(true);
};

struct Torch {
  using Tensor = at::Tensor;

  class Scope {
   public:
    explicit Scope(TorchWeights& weights, std::string path = "") : weights_(&weights), path_(std::move(path)) {}
    Scope operator/(std::string_view name) const {
      return Scope(*weights_, path_.empty() ? std::string(name) : path_ + "." + std::string(name));
    }
    /// Makes the tensor, filled from the source. A name that was asked for before is the same tensor again.
    at::Tensor get(const Parameter& parameter) const;
    std::vector<at::Tensor> get(const std::vector<Parameter>& parameters) const;
    std::shared_ptr<const bool> training() const { return weights_->training_; }
    std::shared_ptr<const bool> dropout() const { return weights_->dropout_; }
    const at::TensorOptions& options() const noexcept { return weights_->options_; }

   private:
    TorchWeights* weights_;
    std::string path_;
  };

  class Linear {
   public:
    Linear(const Scope& scope, const LinearOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    LinearOptions options_;
    at::Tensor weight_, bias_;
  };

  class BatchNorm {
   public:
    BatchNorm(const Scope& scope, const BatchNormOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    BatchNormOptions options_;
    std::vector<at::Tensor> values_;
    std::shared_ptr<const bool> training_;
  };

  /// A parameter (channels) of its own.
  class Vector {
   public:
    Vector(const Scope& scope, const std::string& name, const VectorOptions& options);
    Tensor add(const Tensor& x) const;
    Tensor multiply(const Tensor& x) const;

   private:
    std::int64_t repeats_;
    at::Tensor values_;
  };

  class LinearBatchNorm {
   public:
    LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options, double eps = 1e-5);
    LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options, const Vector& factor,
                    const Vector& summand, double eps = 1e-5);
    Tensor operator()(const Tensor& x) const;

   private:
    Activation activation_;
    Linear linear_;
    BatchNorm norm_;
    std::optional<Vector> factor_, summand_;
  };

  class Conv1d {
   public:
    Conv1d(const Scope& scope, const Conv1dOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    Conv1dOptions options_;
    at::Tensor weight_, bias_;
  };

  class ConvTranspose1d {
   public:
    ConvTranspose1d(const Scope& scope, const ConvTranspose1dOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    ConvTranspose1dOptions options_;
    at::Tensor weight_, bias_;
  };

  class Lstm {
   public:
    Lstm(const Scope& scope, const LstmOptions& options);
    Tensor operator()(const Tensor& x) const;
    const LstmOptions& options() const noexcept { return options_; }

    /// The step interface of nn/cpu.h, for inference: what project() yields is for recur() only (it is x itself, since
    /// LibTorch projects and steps in one operator).
    struct State {
      Tensor hidden, cell;
    };
    State start(std::int64_t items) const;
    Tensor project(std::int64_t layer, std::int64_t direction, const Tensor& x) const;
    void recur(std::int64_t layer, std::int64_t direction, const Tensor& x, State& state, Tensor out) const;

   private:
    LstmOptions options_;
    std::vector<at::Tensor> weights_;
    std::shared_ptr<const bool> training_, dropout_;
  };

  class GroupNorm {
   public:
    GroupNorm(const Scope& scope, const GroupNormOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    GroupNormOptions options_;
    std::vector<at::Tensor> values_;
  };

  class LayerNorm {
   public:
    LayerNorm(const Scope& scope, const LayerNormOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    LayerNormOptions options_;
    std::vector<at::Tensor> values_;
  };

  class Embedding {
   public:
    Embedding(const Scope& scope, const EmbeddingOptions& options);
    Tensor operator()(std::span<const std::int64_t> indices) const;

   private:
    at::Tensor table_;
  };

  class PRelu {
   public:
    PRelu(const Scope& scope, const PReluOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    at::Tensor weight_;
  };

  class FilterBank {
   public:
    FilterBank(std::int64_t phases, std::int64_t stride, std::int64_t before, std::vector<double> taps);
    Tensor operator()(const Tensor& x) const;

   private:
    std::int64_t phases_, stride_, before_, kernel_;
    at::Tensor taps_;
  };

  static std::int64_t items(const Tensor& x) { return x.size(0); }
  static std::int64_t frames(const Tensor& x) { return x.size(1); }
  static std::int64_t channels(const Tensor& x) { return x.size(2); }

  static Tensor relu(const Tensor& x);
  static Tensor gelu(const Tensor& x);
  static Tensor tanh(const Tensor& x);
  static Tensor sigmoid(const Tensor& x);
  static Tensor softmax(const Tensor& x);
  static Tensor glu(const Tensor& x);
  static Tensor log1p(const Tensor& x);
  static Tensor sqrt(const Tensor& x);
  static Tensor reciprocal(const Tensor& x);
  static Tensor add(const Tensor& a, const Tensor& b);
  static Tensor multiply(const Tensor& a, const Tensor& b);
  static Tensor scale(const Tensor& x, double factor, double summand = 0.0);
  static Tensor complex_multiply(const Tensor& a, const Tensor& b);
  static Tensor narrow(const Tensor& x, int axis, std::int64_t begin, std::int64_t count);
  static Tensor concat(const std::vector<Tensor>& parts, int axis);
  static Tensor pad(const Tensor& x, std::int64_t before, std::int64_t after);
  static Tensor reshape(const Tensor& x, std::int64_t items, std::int64_t frames, std::int64_t channels);
  static Tensor exchange(const Tensor& x, std::int64_t groups);
  static Tensor exchange_within(const Tensor& x, std::int64_t size);
  static Tensor transpose(const Tensor& x);
  static Tensor mean_frames(const Tensor& x);
  static Tensor unfold(const Tensor& x, std::int64_t size, std::int64_t hop);
  static Tensor fold(const Tensor& x, std::int64_t items, std::int64_t hop);
  static Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, std::int64_t heads);
  static Tensor standardise(const Tensor& x, double eps);
};

}  // namespace mss::nn
