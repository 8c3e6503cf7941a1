// How a network of the Demucs family is applied to a track: in segments, shifted, or in one piece.
//
//   split    segments of L samples every int((1 - overlap) L), at every multiple within the track; each answers with
//   the
//            weights of methods/segments.h (transition_weights); without split the track is one segment
//   shifts   N > 0: a segment is extended by half a second to both sides; N times an offset o is drawn from [0, M], M =
//            half a second in samples; the network sees [o, n + M) of it, is shifted back, and the N answers are
//            averaged ("randomised equivariant stabilisation"). Shifts happen inside of segments
//   window   the network sees valid_length(n) samples around its n: the track's own where the track has them, zeros
//            beyond its ends (and, shifted, beyond the extension); its answer is trimmed to the middle
//
// The first version differs: what lies beyond a segment is zero, a shifted window has n + M samples, offsets are drawn
// from [0, M) without a second time.
//
// Source: facebookresearch/demucs, branches v1 and v2, demucs/utils.py (apply_model). Templates over the sample type,
// so that the golden numbers are met in double. Thread-safety: values and pure functions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "core/error.h"
#include "methods/demucs/configuration.h"
#include "methods/segments.h"

namespace mss::methods::demucs {

struct ApplyOptions {
  Configuration configuration;
  std::int64_t segment_samples = 0;  ///< L, or the whole track's length without split
  bool split = true;
  double overlap = 0.25;    ///< of [0, 1)
  double transition = 1.0;  ///< power, 1 or more
  std::int64_t shifts = 0;
  std::int64_t longest_shift = 0;    ///< M
  std::int64_t windows_at_once = 1;  ///< that the network gets together
  /// The offset of shift k of segment i.
  std::function<std::int64_t(std::int64_t i, std::int64_t k)> offset;
};

/// The offsets that a seed means: a pure function of (seed, segment, shift).
std::function<std::int64_t(std::int64_t, std::int64_t)> drawn_offsets(std::uint64_t seed, const ApplyOptions& options);

SegmentSpec segments_of(const ApplyOptions& options);

/// Windows, each all channels of valid_length(n) samples, in; the network's rows for each, in order, out. May take the
/// windows' memory away.
template <class T>
using Network = std::function<void(std::span<Rows<T>> windows, const std::function<void(std::int64_t, Rows<T>)>& emit)>;

/// A window: `samples` of the answer count, from `skip` of them on as many as the segment has.
struct Window {
  std::int64_t begin = 0;  ///< of the samples that count, relative to the segment's begin
  std::int64_t samples = 0;
  std::int64_t low = 0, high = 0;  ///< where the track may be seen, relative to the segment's begin
  std::int64_t skip = 0;
};
/// Shift k of segment i of n samples.
Window window_of(const ApplyOptions& options, std::int64_t i, std::int64_t n, std::int64_t k);

/// Answers for a batch of segments (methods/segments.h).
template <class T>
void apply_network(const ApplyOptions& options, const Network<T>& network, std::span<Segment<T>> batch,
                   const EmitRows<T>& emit) {
  const std::int64_t each = std::max<std::int64_t>(options.shifts, 1);
  const std::int64_t total = std::ssize(batch) * each;
  Rows<T> sum;
  for (std::int64_t done = 0; done < total; done += options.windows_at_once) {
    const std::int64_t count = std::min(options.windows_at_once, total - done);
    std::vector<Rows<T>> inputs;
    std::vector<Window> windows;
    for (std::int64_t w = done; w < done + count; ++w) {
      Segment<T>& segment = batch[static_cast<std::size_t>(w / each)];
      const Window window = window_of(options, segment.index, segment.samples, w % each);
      const std::int64_t size = valid_length(options.configuration, window.samples);
      const std::int64_t first = window.begin - (size - window.samples) / 2;
      const std::int64_t low = std::max({first, window.low, -segment.before});
      const std::int64_t high = std::min({first + size, window.high, segment.samples + segment.after});
      Rows<T> input(segment.audio.size(), std::vector<T>(static_cast<std::size_t>(size), T{0}));
      for (std::size_t c = 0; c < input.size(); ++c) {
        const auto from = segment.audio[c].begin() + segment.before;
        if (high > low) std::copy(from + low, from + high, input[c].begin() + (low - first));
      }
      inputs.push_back(std::move(input));
      windows.push_back(window);
    }
    network(inputs, [&](std::int64_t i, Rows<T> rows) {
      const Window& window = windows[static_cast<std::size_t>(i)];
      const std::int64_t w = done + i, shift = w % each;
      const std::int64_t n = batch[static_cast<std::size_t>(w / each)].samples;
      for (std::size_t r = 0; r < rows.size(); ++r) {
        std::vector<T>& row = rows[r];
        const std::int64_t more = std::ssize(row) - window.samples;
        MSS_ASSERT(more >= 0);
        const std::int64_t from = more / 2 + window.skip;
        if (shift == 0) {
          row.erase(row.begin() + from + n, row.end());
          row.erase(row.begin(), row.begin() + from);
        } else {
          for (std::int64_t t = 0; t < n; ++t)
            sum[r][static_cast<std::size_t>(t)] += row[static_cast<std::size_t>(from + t)];
        }
      }
      if (shift == 0) sum = std::move(rows);
      if (shift + 1 < each) return;
      if (each > 1) {
        for (std::vector<T>& row : sum) {
          for (T& v : row) v /= static_cast<T>(each);
        }
      }
      emit(w / each, std::exchange(sum, {}));
    });
  }
}

}  // namespace mss::methods::demucs
