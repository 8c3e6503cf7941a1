// The Open-Unmix family as arithmetic on blocks of frames, without LibTorch: the layers of one set of weights, packed
// for the kernels (kernels.h). What stands around it (STFT, order of the blocks, state between them) is separator.cpp.
//
//   e = tanh(bn1(fc1 ((|X| + input_mean) input_scale)))               encode(), |X| of the first B bins
//   o = LSTM, layer by layer, each direction by itself                Recurrence
//   mask = relu(bn3(fc3 relu(bn2(fc2 [e, o]))) output_scale + output_mean)    decode(); fc2 sees what the architecture
//                                                                     says (inputs_of_fc2)
//
// Stöter, Uhlich, Liutkus, Mitsufuji, "Open-Unmix: a reference implementation for music source separation", JOSS 2019;
// Sawata et al., "All for one and one for all: improving music separation by bridging networks", ICASSP 2021 (X-UMX).
//
// Values are float32; the results of a frame do not depend on the other frames of its block (but for the state that an
// LSTM carries), nor on threads. Normalisation layers are folded into one factor and one summand per output.
// Thread-safety: const members may run concurrently, each call with a Scratch of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "methods/openunmix/weights.h"

namespace mss::methods::openunmix {

/// Uninitialised floats, aligned for the kernels.
class Floats {
 public:
  Floats() = default;
  explicit Floats(std::int64_t count);
  float* data() noexcept { return data_.get(); }
  const float* data() const noexcept { return data_.get(); }
  std::int64_t size() const noexcept { return size_; }
  /// Makes room for `count` values; what was there is lost if it had to grow.
  float* room(std::int64_t count);

 private:
  struct Free {
    void operator()(float* p) const noexcept;
  };
  std::unique_ptr<float[], Free> data_;
  std::int64_t size_ = 0;
};

struct Scratch {
  Floats input, sums, hidden;
};

/// Some columns of a layer's input: row r is at data + r * stride. Values are read as (x + mean[k]) * scale[k] where
/// those are given.
struct Columns {
  const float* data = nullptr;
  std::int64_t stride = 0, count = 0;
  const float* mean = nullptr;
  const float* scale = nullptr;
};

/// y = W x without bias, then factor and summand per output.
class Dense {
 public:
  /// Rows a layer works on at a time. Blocks of outputs have room for a multiple of it.
  static constexpr std::int64_t kRows = 96;

  Dense() = default;
  /// `row(i)` are the weights of output i (`inputs` values), or null for an output that is always 0.
  template <class Row>
  Dense(std::int64_t inputs, std::int64_t outputs, const Row& row) : Dense(inputs, outputs) {
    for (std::int64_t i = 0; i < outputs; ++i) set_row(i, row(i));
  }
  void set_affine(const std::vector<double>& factor, const std::vector<double>& summand);

  std::int64_t inputs() const noexcept { return inputs_; }
  std::int64_t outputs() const noexcept { return outputs_; }
  std::int64_t padded_outputs() const noexcept { return padded_; }

  enum class Act { none, tanh, relu };
  /// Rows [0, rows), rows <= kRows, of `out` (row stride `stride` >= padded_outputs(), room for kRows rows). With
  /// Act::none the affine step is left out.
  void apply(std::int64_t rows, std::span<const Columns> input, float* out, std::int64_t stride, Act act,
             Scratch& scratch) const;
  /// relu(affine) into exactly `outputs` columns of `out`, any stride.
  void apply_mask(std::int64_t rows, std::span<const Columns> input, float* out, std::int64_t stride,
                  Scratch& scratch) const;

 private:
  Dense(std::int64_t inputs, std::int64_t outputs);
  void set_row(std::int64_t output, const float* weights);
  template <class Finish>
  void run(std::int64_t rows, std::span<const Columns> input, float* sums, std::int64_t stride, bool one_panel,
           Scratch& scratch, const Finish& finish) const;

  std::int64_t inputs_ = 0, outputs_ = 0, padded_ = 0;
  Floats weights_, factor_, summand_;
};

/// State of one direction of one LSTM layer between blocks.
struct LstmState {
  Floats hidden, cell, spare;
};

class Network {
 public:
  /// Packs the weights; `weights` is not needed afterwards. `threads` for the packing. Throws Error(checkpoint) where
  /// tensors do not fit their configuration.
  explicit Network(const Weights& weights, int threads = 1);
  ~Network();
  Network(Network&&) noexcept;

  const Configuration& configuration() const noexcept { return configuration_; }
  int targets() const noexcept { return static_cast<int>(configuration_.targets.size()); }
  /// Row widths in memory (padded to the kernels' needs, the padding is 0): of e, and of one direction's o.
  std::int64_t width() const noexcept { return width_; }
  std::int64_t direction_width() const noexcept { return direction_width_; }
  std::int64_t gate_width() const noexcept { return 4 * direction_width_; }

  /// e of rows [0, rows), rows <= Dense::kRows. magnitudes[c]: row r at + r * stride.
  void encode(int target, std::int64_t rows, std::span<const float* const> magnitudes, std::int64_t stride, float* e,
              Scratch& scratch) const;
  /// What enters the gates from below, for rows <= Dense::kRows; `gates` has rows of gate_width(). Layer 0 reads e,
  /// the others the directions of the layer before.
  void gates(int target, int layer, int direction, std::int64_t rows, std::span<const float* const> input, float* gates,
             Scratch& scratch) const;
  LstmState start() const;  ///< zeros
  /// Steps through `rows` (any number) of gates, the reverse direction from the last to the first.
  void recur(int target, int layer, int direction, std::int64_t rows, const float* gates, LstmState& state,
             float* out) const;
  /// Masks of rows <= Dense::kRows: row r of channel c at out[c] + r * stride, F values. `input` is what fc2 sees, in
  /// order: e, the directions' o, for crossskip then the other targets' e.
  void decode(int target, std::int64_t rows, std::span<const float* const> input, std::span<float* const> out,
              std::int64_t stride, Scratch& scratch) const;

 private:
  struct Target;
  Configuration configuration_;
  std::int64_t width_ = 0, direction_width_ = 0;
  std::vector<Target> targets_;
};

}  // namespace mss::methods::openunmix
