// Chunked processing with weighted overlap-add: y[t] = sum_i w(t - start_i) y_i[t - start_i] / sum_i w(t - start_i).
//
// Chunks of `chunk_samples` start every `hop_samples`; the last one may be shorter. The weights are divided out, so the
// identity processor returns its input to rounding (<= -120 dB) for every chunk, hop and window, at the edges too.
// Sums are float64, added in the order of the chunks. Errors: Error(invalid_argument) for sizes out of range, chunks
// out of order and stems of another shape. Thread-safety: an OverlapAdder belongs to one thread at a time.
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

/// Strictly positive weights of a full chunk; a shorter last chunk takes the front of them. hann: sin^2(pi (i + 1/2) /
/// chunk); triangle: distance to the nearer edge; both at most 1.
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
  // In float64: with a small hop thousands of chunks add up in one sample.
  std::vector<std::vector<double>> sums_;  ///< stem-major, S * C rows from sample taken_ on
  std::vector<double> weight_sum_;
};

}  // namespace mss::audio
