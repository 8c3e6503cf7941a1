// Chunked processing with weighted overlap-add: y[t] = sum_i w(t - start_i) y_i[t - start_i] / sum_i w(t - start_i).
//
// Chunks of `chunk_samples` start every `hop_samples`; the last one may be shorter. The weights are divided out, so the
// identity processor returns its input to rounding (<= -120 dB) for every chunk, hop and window, at the edges too.
#pragma once

#include <cstdint>
#include <vector>

#include "audio/buffer.h"

namespace mss::audio {

enum class ChunkWindow {
  rectangular,
  triangle,
  hann,
  linear_fade
};  ///< linear_fade: ramps over chunk - hop samples at both ends, flat between

struct ChunkSpec {
  std::int64_t chunk_samples = 0;
  std::int64_t hop_samples = 0;  ///< in [1, chunk_samples]
  ChunkWindow window = ChunkWindow::linear_fade;
};

struct Chunk {
  std::int64_t begin = 0, samples = 0;
};
/// Chunks that cover [0, total): begin = i * hop, until one reaches the end. Empty for total = 0.
std::vector<Chunk> plan_chunks(const ChunkSpec& spec, std::int64_t total_samples);

/// Strictly positive weights of a full chunk.
std::vector<float> chunk_weights(const ChunkSpec& spec);

/// Streaming accumulator for S stems of C channels: add() the chunks in order, take() what no later chunk can touch.
class OverlapAdder {
 public:
  OverlapAdder(const ChunkSpec& spec, int stems, int channels, int rate_hz);
  /// Stems of the next chunk (S buffers of C x chunk.samples). Weights apply relative to the chunk's begin.
  void add(const Chunk& chunk, const std::vector<AudioBuffer>& stems);
  /// Finished samples since the last take (S buffers, equal length, maybe 0). `last` = no more chunks: everything.
  std::vector<AudioBuffer> take(bool last);

 private:
  ChunkSpec spec_;
  int stems_, channels_, rate_hz_;
  std::int64_t taken_ = 0, next_begin_ = 0, end_ = 0;
  std::vector<float> weights_;
  std::vector<AudioBuffer> sums_;
  std::vector<float> weight_sum_;
};

}  // namespace mss::audio
