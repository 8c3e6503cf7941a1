// Open-Unmix, X-UMX and the cross-connected extension over a layer set (nn/cpu.h). B items, T frames, C channels, F
// bins, B' = max_bin input bins, H hidden, J targets.
//
//   e = tanh(bn1(fc1 ((|X| + input_mean) input_scale)))                               encode
//   o = LSTM(e), X-UMX: LSTM(mean of all e)                                           recurrent, recurrent_input
//   s = [e, o]; X-UMX: [mean of all e, mean of all o]; extension: [e, o, other e's]   seen
//   mask = relu(bn3(fc3 relu(bn2(fc2 s))) output_scale + output_mean)                 decode
//
// Stöter, Uhlich, Liutkus, Mitsufuji, "Open-Unmix: a reference implementation for music source separation", JOSS 2019;
// Sawata et al., "All for one and one for all: improving music separation by bridging networks", ICASSP 2021 (X-UMX).
// The extension has fc2x.weight (H, (J + 1) H) in place of fc2.weight (H, 2 H).
//
// Shapes: |X| is (B, T, C B'), channel by channel; masks are (B, T, C F); e and o (B, T, H).
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "methods/openunmix/configuration.h"
#include "nn/parameters.h"

namespace mss::methods::openunmix {

/// The network of one target.
template <class L>
class Network {
 public:
  using Tensor = typename L::Tensor;

  Network(const typename L::Scope& w, const Configuration& c)
      : input_mean_(w, "input_mean", {.channels = c.max_bin, .repeats = c.channels}),
        input_scale_(w, "input_scale", {.channels = c.max_bin, .repeats = c.channels, .init = kOne}),
        output_scale_(w, "output_scale", {.channels = c.bins, .repeats = c.channels, .init = kOne}),
        output_mean_(w, "output_mean", {.channels = c.bins, .repeats = c.channels, .init = kOne}),
        fc1_(
            w / "fc1", w / "bn1",
            {.inputs = c.channels * c.max_bin, .outputs = c.hidden, .bias = false, .activation = nn::Activation::tanh}),
        lstm_(w / "lstm", {.inputs = c.hidden,
                           .hidden = c.hidden / c.directions(),
                           .layers = c.layers,
                           .bidirectional = !c.unidirectional,
                           .dropout = c.layers > 1 ? 0.4 : 0.0}),
        fc2_(w / (crossed(c) ? "fc2x" : "fc2"), w / "bn2",
             {.inputs = (crossed(c) ? std::int64_t(c.targets.size()) + 1 : 2) * c.hidden,
              .outputs = c.hidden,
              .bias = false,
              .activation = nn::Activation::relu}),
        fc3_(w / "fc3", w / "bn3",
             {.inputs = c.hidden, .outputs = c.channels * c.bins, .bias = false, .activation = nn::Activation::relu},
             output_scale_, output_mean_) {}

  Tensor encode(const Tensor& x) const { return fc1_(input_scale_.multiply(input_mean_.add(x))); }
  const typename L::Lstm& recurrent() const noexcept { return lstm_; }
  Tensor decode(const Tensor& seen) const { return fc3_(fc2_(seen)); }

 private:
  static constexpr nn::Init kOne{nn::Init::Kind::constant, 1.0};
  static bool crossed(const Configuration& c) { return c.architecture == Architecture::crossskip; }

  typename L::Vector input_mean_, input_scale_, output_scale_, output_mean_;
  typename L::LinearBatchNorm fc1_;
  typename L::Lstm lstm_;
  typename L::LinearBatchNorm fc2_, fc3_;
};

template <class L>
typename L::Tensor mean(const std::vector<typename L::Tensor>& terms) {
  typename L::Tensor sum = terms.front();
  for (std::size_t i = 1; i < terms.size(); ++i) sum = L::add(sum, terms[i]);
  return L::scale(sum, 1.0 / static_cast<double>(terms.size()));
}

/// What of the first layers is used later: every target's e, or for X-UMX their mean alone.
template <class L>
std::vector<typename L::Tensor> kept(const Configuration& c, std::vector<typename L::Tensor> e) {
  if (c.architecture == Architecture::xumx) return {mean<L>(e)};
  return e;
}

/// What target t's LSTM reads.
template <class L>
const typename L::Tensor& recurrent_input(const Configuration& c, const std::vector<typename L::Tensor>& kept,
                                          std::size_t t) {
  return kept[c.architecture == Architecture::xumx ? 0 : t];
}

/// What target t's fc2 sees; o are the outputs of all LSTMs, of X-UMX their mean alone.
template <class L>
typename L::Tensor seen(const Configuration& c, const std::vector<typename L::Tensor>& kept,
                        const std::vector<typename L::Tensor>& o, std::size_t t) {
  if (c.architecture == Architecture::xumx) return L::concat({kept[0], o[0]}, 2);
  std::vector<typename L::Tensor> parts = {kept[t], o[t]};
  if (c.architecture == Architecture::crossskip) {
    for (std::size_t other = 0; other < kept.size(); ++other) {
      if (other != t) parts.push_back(kept[other]);
    }
  }
  return L::concat(parts, 2);
}

/// All targets' networks.
template <class L>
class Model {
 public:
  using Tensor = typename L::Tensor;

  /// Weights of target "vocals" lie in `w / "vocals"`.
  Model(const typename L::Scope& w, Configuration c) : configuration_(std::move(c)) {
    for (const std::string& target : configuration_.targets) networks_.emplace_back(w / target, configuration_);
  }

  const Configuration& configuration() const noexcept { return configuration_; }

  /// Masks of all targets, in order.
  std::vector<Tensor> masks(const Tensor& x) const {
    std::vector<Tensor> e, o, out;
    for (const Network<L>& network : networks_) e.push_back(network.encode(x));
    e = kept<L>(configuration_, std::move(e));
    for (std::size_t t = 0; t < networks_.size(); ++t) {
      o.push_back(networks_[t].recurrent()(recurrent_input<L>(configuration_, e, t)));
    }
    o = kept<L>(configuration_, std::move(o));
    for (std::size_t t = 0; t < networks_.size(); ++t) {
      out.push_back(networks_[t].decode(seen<L>(configuration_, e, o, t)));
    }
    return out;
  }

 private:
  Configuration configuration_;
  std::vector<Network<L>> networks_;
};

}  // namespace mss::methods::openunmix
