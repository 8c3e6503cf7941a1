// The layer set Trace: no arithmetic. Constructing a model over it lists names, shapes, initial values of all
// parameters; calling it with shapes counts multiply-accumulates and gives the shape of the result. Expected state
// dicts, parameter counts and cost columns come from here, never from a second description of a network.
//
//   nn::Listing listing;
//   const Demucs<nn::Trace> model(nn::Trace::Scope(listing), configuration);
//   listing.parameters();                                        // trained numbers
//   model.forward(nn::Trace::Tensor{1, 441000, 2, &listing});
//   listing.macs;                                                // multiply-accumulates of that call
//
// Multiply-accumulates are those of products, convolutions, recurrences, attention and filter banks as an ideal
// implementation does them (a transposed convolution: inputs x outputs x kernel per frame of input); element-wise
// functions and normalisations, a thousandth of them, do not count.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "nn/parameters.h"

namespace mss::nn {

struct Listing {
  struct Entry {
    std::string name;  ///< full
    Parameter parameter;
  };
  std::vector<Entry> entries;  ///< in the order of construction
  std::int64_t macs = 0;

  /// Trained numbers.
  std::int64_t parameters() const noexcept {
    std::int64_t count = 0;
    for (const Entry& e : entries) count += e.parameter.trained ? element_count(e.parameter.shape) : 0;
    return count;
  }
};

struct Trace {
  struct Tensor {
    std::int64_t B = 0, T = 0, C = 0;
    Listing* listing = nullptr;  ///< set by layers, so that functions without parameters count too
    std::int64_t items() const noexcept { return B; }
    std::int64_t frames() const noexcept { return T; }
    std::int64_t channels() const noexcept { return C; }
  };

  class Scope {
   public:
    explicit Scope(Listing& listing, std::string path = "") : listing_(&listing), path_(std::move(path)) {}
    Scope operator/(std::string_view name) const {
      return Scope(*listing_, path_.empty() ? std::string(name) : path_ + "." + std::string(name));
    }
    void want(const std::vector<Parameter>& parameters) const {
      for (const Parameter& p : parameters)
        listing_->entries.push_back({path_.empty() ? p.name : path_ + "." + p.name, p});
    }
    Listing& listing() const noexcept { return *listing_; }

   private:
    Listing* listing_;
    std::string path_;
  };

  /// What all layers with options have in common.
  template <class Options>
  class Layer {
   public:
    Layer(const Scope& scope, const Options& options) : options_(options), listing_(&scope.listing()) {
      scope.want(parameters(options));
    }

   protected:
    void count(std::int64_t macs) const { listing_->macs += macs; }
    Options options_;
    Listing* listing_;
  };

  static std::int64_t gated(std::int64_t outputs, Activation a) { return a == Activation::glu ? 2 * outputs : outputs; }

  struct Linear : Layer<LinearOptions> {
    using Layer::Layer;
    Tensor operator()(const Tensor& x) const {
      MSS_ASSERT(x.C == options_.inputs);
      count(x.B * x.T * options_.inputs * gated(options_.outputs, options_.activation));
      return {x.B, x.T, options_.outputs, listing_};
    }
  };

  class Vector;
  struct LinearBatchNorm : Layer<LinearOptions> {
    LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options, double eps = 1e-5)
        : Layer(linear, options) {
      norm.want(parameters(BatchNormOptions{gated(options.outputs, options.activation), eps}));
    }
    LinearBatchNorm(const Scope& linear, const Scope& norm, const LinearOptions& options, const Vector&, const Vector&,
                    double eps = 1e-5)
        : LinearBatchNorm(linear, norm, options, eps) {}
    Tensor operator()(const Tensor& x) const {
      MSS_ASSERT(x.C == options_.inputs);
      count(x.B * x.T * options_.inputs * gated(options_.outputs, options_.activation));
      return {x.B, x.T, options_.outputs, listing_};
    }
  };

  struct Conv1d : Layer<Conv1dOptions> {
    using Layer::Layer;
    Tensor operator()(const Tensor& x) const {
      MSS_ASSERT(x.C == options_.inputs);
      const std::int64_t frames = options_.frames(x.T);
      count(x.B * frames * options_.inputs / options_.groups * options_.kernel *
            gated(options_.outputs, options_.activation));
      return {x.B, frames, options_.outputs, listing_};
    }
  };

  struct ConvTranspose1d : Layer<ConvTranspose1dOptions> {
    using Layer::Layer;
    Tensor operator()(const Tensor& x) const {
      MSS_ASSERT(x.C == options_.inputs);
      count(x.B * x.T * options_.inputs * options_.kernel * gated(options_.outputs, options_.activation));
      return {x.B, options_.frames(x.T), options_.outputs, listing_};
    }
  };

  struct Lstm : Layer<LstmOptions> {
    using Layer::Layer;
    Tensor operator()(const Tensor& x) const {
      MSS_ASSERT(x.C == options_.inputs);
      for (std::int64_t l = 0; l < options_.layers; ++l) {
        count(x.B * x.T * options_.directions() * 4 * options_.hidden * (options_.layer_inputs(l) + options_.hidden));
      }
      return {x.B, x.T, options_.outputs(), listing_};
    }
  };

  struct GroupNorm : Layer<GroupNormOptions> {
    using Layer::Layer;
    Tensor operator()(const Tensor& x) const {
      MSS_ASSERT(x.C == options_.channels);
      return x;
    }
  };

  struct LayerNorm : Layer<LayerNormOptions> {
    using Layer::Layer;
    Tensor operator()(const Tensor& x) const {
      MSS_ASSERT(x.C == options_.channels && (options_.frames == 0 || options_.frames == x.T));
      return x;
    }
  };

  struct BatchNorm : Layer<BatchNormOptions> {
    using Layer::Layer;
    Tensor operator()(const Tensor& x) const {
      MSS_ASSERT(x.C == options_.channels);
      return x;
    }
  };

  struct Embedding : Layer<EmbeddingOptions> {
    using Layer::Layer;
    Tensor operator()(std::span<const std::int64_t> indices) const {
      return {1, static_cast<std::int64_t>(indices.size()), options_.channels, listing_};
    }
  };

  struct PRelu : Layer<PReluOptions> {
    using Layer::Layer;
    Tensor operator()(const Tensor& x) const { return x; }
  };

  class Vector {
   public:
    Vector(const Scope& scope, const std::string& name, const VectorOptions& options) {
      scope.want({{name, {options.channels}, options.init, options.trained}});
    }
    Tensor add(const Tensor& x) const { return x; }
    Tensor multiply(const Tensor& x) const { return x; }
  };

  class FilterBank {
   public:
    FilterBank(std::int64_t phases, std::int64_t stride, std::int64_t, const std::vector<double>& taps)
        : phases_(phases), stride_(stride), kernel_(static_cast<std::int64_t>(taps.size()) / phases) {}
    Tensor operator()(const Tensor& x) const {
      const Tensor y{x.B, x.T * phases_ / stride_, x.C, x.listing};
      if (x.listing != nullptr) x.listing->macs += y.B * y.T * y.C * kernel_;
      return y;
    }

   private:
    std::int64_t phases_, stride_, kernel_;
  };

  static std::int64_t items(const Tensor& x) { return x.B; }
  static std::int64_t frames(const Tensor& x) { return x.T; }
  static std::int64_t channels(const Tensor& x) { return x.C; }

  static Tensor relu(const Tensor& x) { return x; }
  static Tensor gelu(const Tensor& x) { return x; }
  static Tensor tanh(const Tensor& x) { return x; }
  static Tensor sigmoid(const Tensor& x) { return x; }
  static Tensor softmax(const Tensor& x) { return x; }
  static Tensor log1p(const Tensor& x) { return x; }
  static Tensor sqrt(const Tensor& x) { return x; }
  static Tensor reciprocal(const Tensor& x) { return x; }
  static Tensor glu(const Tensor& x) { return {x.B, x.T, x.C / 2, x.listing}; }
  static Tensor add(const Tensor& a, const Tensor&) { return a; }
  static Tensor multiply(const Tensor& a, const Tensor&) { return a; }
  static Tensor scale(const Tensor& x, double, double = 0.0) { return x; }
  static Tensor complex_multiply(const Tensor& a, const Tensor&) { return a; }
  static Tensor narrow(Tensor x, int axis, std::int64_t begin, std::int64_t count) {
    std::int64_t& size = axis == 0 ? x.B : axis == 1 ? x.T : x.C;
    MSS_ASSERT(begin >= 0 && begin + count <= size);
    size = count;
    return x;
  }
  static Tensor concat(const std::vector<Tensor>& parts, int axis) {
    MSS_ASSERT(!parts.empty());
    Tensor out = parts.front();
    std::int64_t& size = axis == 0 ? out.B : axis == 1 ? out.T : out.C;
    size = 0;
    for (const Tensor& part : parts) size += axis == 0 ? part.B : axis == 1 ? part.T : part.C;
    return out;
  }
  static Tensor pad(const Tensor& x, std::int64_t before, std::int64_t after) {
    return {x.B, before + x.T + after, x.C, x.listing};
  }
  static Tensor reshape(const Tensor& x, std::int64_t items, std::int64_t frames, std::int64_t channels) {
    MSS_ASSERT(x.B * x.T * x.C == items * frames * channels);
    return {items, frames, channels, x.listing};
  }
  static Tensor exchange(const Tensor& x, std::int64_t groups) {
    return {x.T * (x.B / groups), groups, x.C, x.listing};
  }
  static Tensor exchange_within(const Tensor& x, std::int64_t size) { return {x.B / size * x.T, size, x.C, x.listing}; }
  static Tensor transpose(const Tensor& x) { return {x.B, x.C, x.T, x.listing}; }
  static Tensor mean_frames(const Tensor& x) { return {x.B, 1, x.C, x.listing}; }
  static Tensor unfold(const Tensor& x, std::int64_t size, std::int64_t hop) {
    return {x.B * ((x.T - size) / hop + 1), size, x.C, x.listing};
  }
  static Tensor fold(const Tensor& x, std::int64_t items, std::int64_t hop) {
    return {items, (x.B / items - 1) * hop + x.T, x.C, x.listing};
  }
  static Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, std::int64_t) {
    if (q.listing != nullptr) q.listing->macs += q.B * q.T * k.T * (q.C + v.C);
    return {q.B, q.T, v.C, q.listing};
  }
  static Tensor standardise(const Tensor& x, double) { return x; }
};

}  // namespace mss::nn
