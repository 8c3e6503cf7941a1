// An LSTM over several sequences of different lengths at once.
//
// A single long sequence is bound by reading the recurrent weights; sequences that step together share that. Here they
// need not have one length: the forward direction lets the short ones go when they end, the backward direction takes
// them up when their last frame comes. Every result is that of the sequence alone, bit for bit.
//
// Memory: inputs and outputs of one layer; gates in blocks (Lstm::frames_at_once). Thread-safety and stopping as in nn/cpu.h.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "nn/cpu.h"

namespace mss::nn {

/// Each sequence is (1, T_i, inputs), T_i >= 1; the results are (1, T_i, outputs), in the order given.
std::vector<Tensor> run_sequences(const Cpu::Lstm& lstm, const std::vector<Tensor>& sequences);

/// The same over any layer set, of which all but Cpu take batches (B_i, T_i, inputs) too; sequences of one length beside each other go through as one batch where the set has no
/// better way.
template <class L>
std::vector<typename L::Tensor> run_sequences(const typename L::Lstm& lstm,
                                              const std::vector<typename L::Tensor>& sequences) {
  if constexpr (std::is_same_v<L, Cpu>) {
    return run_sequences(lstm, sequences);
  } else {
    std::vector<typename L::Tensor> out;
    for (std::size_t i = 0; i < sequences.size();) {
      std::size_t end = i + 1;
      while (end < sequences.size() && L::frames(sequences[end]) == L::frames(sequences[i])) ++end;
      const auto from = sequences.begin() + static_cast<std::ptrdiff_t>(i);
      const auto y = lstm(L::concat({from, sequences.begin() + static_cast<std::ptrdiff_t>(end)}, 0));
      std::int64_t first = 0;
      for (std::size_t k = i; k < end; ++k) {
        out.push_back(L::narrow(y, 0, first, L::items(sequences[k])));
        first += L::items(sequences[k]);
      }
      i = end;
    }
    return out;
  }
}

}  // namespace mss::nn
