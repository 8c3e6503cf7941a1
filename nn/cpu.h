// The layer set Cpu: inference on the processor with kernels of our own, float32, without LibTorch.
//
// A network is a class template over a layer set L and uses nothing but this vocabulary; Cpu computes, Trace
// (nn/trace.h) only counts and lists, Torch (nn/torch/layers_torch.h) is differentiable and runs on any device.
// Tensors are (B, T, C): items, frames, channels, channels last (nn/tensor.h). Layers pull their parameters by name
// from a Scope (nn/scope.h), in PyTorch's names and shapes (nn/parameters.h), and are immutable afterwards. What
// follows a product (bias, batch normalisation, activation, gate) is done in the layer, while the sums are in the
// cache.
//
//   template <class L>  // a model's header
//   class Block {
//    public:
//     Block(const typename L::Scope& w, int channels)
//         : conv_(w / "conv", {.inputs = channels, .outputs = channels, .kernel = 3}) {}
//     typename L::Tensor forward(const typename L::Tensor& x) const {
//       return L::add(conv_(x), L::narrow(x, 1, 1, L::frames(x) - 2));
//     }
//
//    private:
//     typename L::Conv1d conv_;
//   };
//
// Sizes of a tensor are asked with L::items(x), L::frames(x), L::channels(x), because LibTorch's tensors have other
// members.
//
// Promises: every element of a product is one sum in ascending order of the inner index, recurrences are one sum per
// gate, statistics are summed in blocks of fixed size: the same bits for any number of threads, any batch and any
// blocks, on one instruction set. Threads and stopping: RunScope (nn/tensor.h).
//
// A convolution in this layout is a product whose rows overlap, a transposed convolution one with kernel ceil(kernel /
// stride) that yields `stride` frames a row; neither builds a matrix of columns. Recurrent layers take all items of a
// batch through a step together, since a single sequence is bound by reading the weights.
//
// Thread-safety: const members may run concurrently. Errors: MSS_ASSERT for shapes that do not fit (bugs of a model);
// Error(cancelled) from long layers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "nn/parameters.h"
#include "nn/scope.h"
#include "nn/tensor.h"

namespace mss::nn {

class Packed;  // nn/product.h
struct LstmDirection;

struct Cpu {
  using Scope = nn::Scope;
  using Tensor = nn::Tensor;

  class Linear {
   public:
    Linear(const Scope& scope, const LinearOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    LinearOptions options_;
    std::shared_ptr<const Packed> weight_;
  };

  class Vector;

  /// act(BatchNorm(x W^T + b)): the normalisation's running statistics are folded into the product. With `factor` and
  /// `summand` act(BatchNorm(x W^T + b) factor + summand), folded too.
  class LinearBatchNorm {
   public:
    LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options, double eps = 1e-5);
    LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options, const Vector& factor,
                    const Vector& summand, double eps = 1e-5);
    Tensor operator()(const Tensor& x) const;

   private:
    LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options, const Vector* factor,
                    const Vector* summand, double eps);
    LinearOptions options_;
    std::shared_ptr<const Packed> weight_;
  };

  class Conv1d {
   public:
    Conv1d(const Scope& scope, const Conv1dOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    Conv1dOptions options_;
    std::vector<std::shared_ptr<const Packed>> weights_;  ///< one per group; none for a depthwise convolution
    std::shared_ptr<const Floats> taps_, bias_;           ///< of a depthwise convolution: (kernel, channels)
  };

  class ConvTranspose1d {
   public:
    ConvTranspose1d(const Scope& scope, const ConvTranspose1dOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    ConvTranspose1dOptions options_;
    std::int64_t reach_ = 1;  ///< frames of input that meet in one frame of output
    std::shared_ptr<const Packed> weight_;
  };

  /// operator() runs all layers over all frames. The step interface beneath it lets a caller hold the frames in blocks:
  /// project() any frames of one layer and direction, then recur() through them with the state of all items carried on;
  /// the result is that of operator(), bit for bit.
  class Lstm {
   public:
    struct State {
      Tensor hidden, cell;  ///< (1, B, padded units)
    };
    Lstm(const Scope& scope, const LstmOptions& options);
    Tensor operator()(const Tensor& x) const;

    const LstmOptions& options() const noexcept { return options_; }
    State start(std::int64_t items) const;  ///< zeros
    /// What enters the gates of (layer, direction) from below: (B, T, layer_inputs) -> (B, T, gate_channels()), biases
    /// included.
    Tensor project(std::int64_t layer, std::int64_t direction, const Tensor& x) const;
    std::int64_t gate_channels() const noexcept;
    /// Steps through the frames of `gates`, direction 1 from the last to the first, and writes h of frame t to rows t
    /// of `out`, channels [0, H).
    void recur(std::int64_t layer, std::int64_t direction, const Tensor& gates, State& state, Tensor out) const;
    /// How many frames of `items` sequences are best projected before recur() goes through them: gates of 1 MiB, or 256
    /// rows where the input weights are large.
    std::int64_t frames_at_once(std::int64_t layer, std::int64_t items) const noexcept;
    /// Whether recur() divides the units of every step among the threads of the calling thread's RunScope: with more than
    /// one thread, where the recurrent weights of a direction are 8 MiB and more (724 units). All threads then read one
    /// matrix, which the cores' common cache has a chance to hold. Where it does not, callers run directions and items
    /// beside each other.
    bool divides_units() const noexcept;
    /// In how many groups `items` sequences go through a layer, so that every thread has work: a direction of a group is a
    /// job. One where recur() divides units.
    std::int64_t groups(std::int64_t items) const noexcept;
    /// Calls job(direction, group) for all of them, beside each other or, where recur() divides units, one after the other.
    void for_jobs(std::int64_t groups,
                  const std::function<void(std::int64_t direction, std::int64_t group)>& job) const;

   private:
    LstmOptions options_;
    std::vector<std::shared_ptr<const LstmDirection>> directions_;  ///< [layer * directions + direction]
  };

  class GroupNorm {
   public:
    GroupNorm(const Scope& scope, const GroupNormOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    GroupNormOptions options_;
    std::vector<float> weight_, bias_;
  };

  class LayerNorm {
   public:
    LayerNorm(const Scope& scope, const LayerNormOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    LayerNormOptions options_;
    std::vector<float> weight_, bias_;
  };

  /// Normalisation without a product before it; see LinearBatchNorm.
  class BatchNorm {
   public:
    BatchNorm(const Scope& scope, const BatchNormOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    std::vector<float> factor_, summand_;
  };

  class Embedding {
   public:
    Embedding(const Scope& scope, const EmbeddingOptions& options);
    /// (1, indices.size(), channels).
    Tensor operator()(std::span<const std::int64_t> indices) const;

   private:
    EmbeddingOptions options_;
    std::vector<float> table_;
  };

  class PRelu {
   public:
    PRelu(const Scope& scope, const PReluOptions& options);
    Tensor operator()(const Tensor& x) const;

   private:
    std::vector<float> weight_;
  };

  /// A parameter (channels) of its own: `name` in `scope`. add(x) = x + v, multiply(x) = x v, for every frame
  /// (VectorOptions: repeats).
  class Vector {
   public:
    Vector(const Scope& scope, const std::string& name, const VectorOptions& options);
    Tensor add(const Tensor& x) const;
    Tensor multiply(const Tensor& x) const;
    /// Within x's own memory where nobody else sees it.
    Tensor multiply(Tensor&& x) const;

   private:
    friend class Cpu::LinearBatchNorm;
    std::vector<float> values_;  ///< repeated
  };

  /// A fixed filter bank without parameters, the same for every channel: `taps` are phases x kernel values; frame (m *
  /// phases + p) of the result is sum_n taps[p][n] x[m * stride + n - before], samples before the first and behind the
  /// last are copies of those. T' = floor(T phases / stride). This is sinc resampling by phases / stride
  /// (audio/resample.h makes other taps; Demucs' are in methods/demucs).
  class FilterBank {
   public:
    FilterBank(std::int64_t phases, std::int64_t stride, std::int64_t before, std::vector<double> taps);
    Tensor operator()(const Tensor& x) const;

   private:
    std::int64_t phases_, stride_, before_, kernel_;
    std::vector<float> taps_;
  };

  static std::int64_t items(const Tensor& x) { return x.items(); }
  static std::int64_t frames(const Tensor& x) { return x.frames(); }
  static std::int64_t channels(const Tensor& x) { return x.channels(); }

  static Tensor relu(const Tensor& x);
  static Tensor gelu(const Tensor& x);  ///< exact: x/2 (1 + erf(x / sqrt 2))
  static Tensor tanh(const Tensor& x);
  static Tensor sigmoid(const Tensor& x);
  static Tensor softmax(const Tensor& x);  ///< over the channels
  static Tensor glu(const Tensor& x);      ///< a * sigmoid(b), a the first half of the channels, b the second
  static Tensor log1p(const Tensor& x);
  static Tensor sqrt(const Tensor& x);
  static Tensor reciprocal(const Tensor& x);                 ///< 1 / x
  static Tensor add(const Tensor& a, const Tensor& b);       ///< equal shapes; b of one item or one frame is repeated
  static Tensor multiply(const Tensor& a, const Tensor& b);  ///< likewise
  static Tensor scale(const Tensor& x, double factor, double summand = 0.0);  ///< factor x + summand
  /// Complex product; channels are [real parts | imaginary parts] of equal number.
  static Tensor complex_multiply(const Tensor& a, const Tensor& b);
  static Tensor narrow(const Tensor& x, int axis, std::int64_t begin, std::int64_t count) {
    return x.narrow(axis, begin, count);
  }
  static Tensor concat(const std::vector<Tensor>& parts, int axis);
  static Tensor pad(const Tensor& x, std::int64_t before, std::int64_t after);  ///< zero frames
  static Tensor reshape(const Tensor& x, std::int64_t items, std::int64_t frames, std::int64_t channels) {
    return x.reshape(items, frames, channels);
  }
  /// Items seen as (groups, B / groups) change places with frames: (groups B', T, C) -> (T B', groups, C), element (g
  /// B' + b, t) -> (t B' + b, g). Its own inverse: exchange(exchange(x, g), T) = x.
  static Tensor exchange(const Tensor& x, std::int64_t groups);
  /// Items seen as (B / size, size): the inner ones change places with frames: (B' size, T, C) -> (B' T, size, C),
  /// element (b size + s, t) -> (b T + t, s). Its own inverse: exchange_within(exchange_within(x, size), T) = x.
  static Tensor exchange_within(const Tensor& x, std::int64_t size);
  static Tensor transpose(const Tensor& x);    ///< (B, T, C) -> (B, C, T)
  static Tensor mean_frames(const Tensor& x);  ///< (B, T, C) -> (B, 1, C)
  /// Segments of `size` frames every `hop`: (B, T, C) -> (B N, size, C), N = (T - size) / hop + 1 (T - size is a
  /// multiple of hop), item b N + n.
  static Tensor unfold(const Tensor& x, std::int64_t size, std::int64_t hop);
  /// Overlapping segments added up: (B N, size, C) -> (B, (N - 1) hop + size, C).
  static Tensor fold(const Tensor& x, std::int64_t items, std::int64_t hop);
  /// softmax(q k^T / sqrt(C / heads)) v, head by head: q (B, Tq, C), k (B, Tk, C), v (B, Tk, Cv) -> (B, Tq, Cv); heads
  /// split the channels in order.
  static Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, std::int64_t heads);
  /// Per item, over all frames and channels: (x - mean) / sqrt(var + eps), biased variance; no parameters. `keep` gets
  /// mean and standard deviation (B, 1, 2).
  static Tensor standardise(const Tensor& x, double eps);
};

}  // namespace mss::nn
