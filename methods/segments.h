// The segment engine: the one place where a track is cut into segments, given to a method in batches, and joined again.
//
//   y_r[t] = sum_i w(t - iH) f_r(i)[t - iH] / sum_i w(t - iH)      segment i: samples [iH, min(iH + L, T)) of the track
//
// L segment_samples, H hop_samples, w positive weights (SegmentSpec::weights). A short last segment takes the front of
// the weights. A method sees, around its segment, `before_samples` and `after_samples` of the track, where the track
// has them, and zeros beyond its ends; it takes of them what it needs and answers for the segment alone.
//
// Segments come in batches of up to `batch`, so that recurrent layers can step through many of them at once; the result
// does not depend on the batch as far as the method's does not. Stems leave as soon as no later segment can touch them:
// memory is a batch of segments and one segment of stems, whatever the length of the track, and it is the same memory
// from the first batch to the last, so that the C library's heap gets no holes. The identity returns the
// track to rounding (T = double: <= -300 dB, float: <= -120 dB) for every segment, hop, weights and batch, since sums
// are float64 and the weights are divided out.
//
// Errors: Error(invalid_argument) for a hop outside [1, segment], weights that are not positive or of another number;
// Error(method_contract) when the processor answers for other segments, rows or lengths; Error(cancelled) between
// segments. Thread-safety: everything happens in the calling thread; the processor may use threads of its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "audio/overlap_add.h"
#include "audio/stream.h"
#include "core/stop.h"
#include "methods/separator.h"

namespace mss::methods {

struct SegmentSpec {
  std::int64_t segment_samples = 0;  ///< L
  std::int64_t hop_samples = 0;      ///< H in [1, L]
  std::int64_t before_samples = 0, after_samples = 0;
  std::vector<double> weights{};  ///< L positive values; empty: all equal
  /// True: a segment begins at every multiple of the hop within the track (Demucs); false: the last one is the first
  /// that reaches the end, as in audio::plan_chunks.
  bool every_hop = false;
  std::int64_t batch = 1;  ///< segments that the processor gets at once, 1 or more
};

/// L values for one of the windows of audio/overlap_add.h.
std::vector<double> segment_weights(const audio::ChunkSpec& spec);
/// Demucs' transition: the distance to the nearer edge, 1 … L/2 … 1, divided by its maximum, to the power `power` >= 1.
std::vector<double> transition_weights(std::int64_t segment_samples, double power);
/// Throws Error(invalid_argument).
void validate(const SegmentSpec& spec);

template <class T>
using Rows = std::vector<std::vector<T>>;

template <class T>
struct Segment {
  std::int64_t index = 0;               ///< 0, 1, …
  std::int64_t begin = 0, samples = 0;  ///< its place in the track
  std::int64_t before = 0, after = 0;   ///< context, in samples
  Rows<T> audio;                        ///< per channel of the track: before + samples + after values
};

/// What a processor answers with: the stems of segment `index` of its batch, in the batch's order, as rows of
/// Segment::samples values (stem by stem, channel by channel). The rows stay the processor's, to be used again.
template <class T>
using EmitRows = std::function<void(std::int64_t index, const Rows<T>& rows)>;

/// May take a segment's audio away when it is done with it.
template <class T>
using SegmentProcessor = std::function<void(std::span<Segment<T>> batch, const EmitRows<T>& emit)>;

/// Reads up to `count` samples to the rows' places; fewer than `count` only at the end.
template <class T>
using ReadRows = std::function<std::int64_t(std::span<T* const> rows, std::int64_t count)>;

/// Finished samples from `begin` on, rows of equal length, at least one sample.
template <class T>
using WriteRows = std::function<void(std::int64_t begin, const Rows<T>& rows)>;

[[noreturn]] void refuse_segment(std::string what, std::int64_t expected, std::int64_t found);

/// The weighted sum on its way: rows from sample `taken` of the track on.
template <class T>
class SegmentJoiner {
 public:
  SegmentJoiner(const SegmentSpec& spec, std::int64_t rows)
      : weights_(spec.weights), sums_(sz(rows)), finished_(sz(rows)) {}

  void add(std::int64_t begin, std::int64_t samples, const Rows<T>& rows) {
    if (rows.size() != sums_.size())
      refuse_segment("number of rows", static_cast<std::int64_t>(sums_.size()), static_cast<std::int64_t>(rows.size()));
    for (const std::vector<T>& row : rows) {
      if (row.size() != sz(samples)) {
        refuse_segment("length of a row", samples, static_cast<std::int64_t>(row.size()));
      }
    }
    const std::size_t from = sz(begin - taken_), count = sz(samples);
    const auto weight = [this](std::size_t i) { return weights_.empty() ? 1.0 : weights_[i]; };
    if (weight_sum_.size() < from + count) weight_sum_.resize(from + count, 0.0);
    for (std::size_t i = 0; i < count; ++i) weight_sum_[from + i] += weight(i);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      std::vector<double>& sum = sums_[r];
      if (sum.size() < from + count) sum.resize(from + count, 0.0);
      const std::vector<T>& x = rows[r];
      for (std::size_t i = 0; i < count; ++i) sum[from + i] += weight(i) * static_cast<double>(x[i]);
    }
    end_ = std::max(end_, begin + samples);
  }

  /// What lies before sample `until`, or before the end of what was added; valid until the next call.
  const Rows<T>& take(std::int64_t until) {
    const std::int64_t count = std::max<std::int64_t>(std::min(until, end_) - taken_, 0);
    Rows<T>& out = finished_;
    for (std::size_t r = 0; r < out.size(); ++r) {
      out[r].resize(sz(count));
      for (std::size_t i = 0; i < sz(count); ++i) out[r][i] = static_cast<T>(sums_[r][i] / weight_sum_[i]);
      sums_[r].erase(sums_[r].begin(), sums_[r].begin() + std::min<std::int64_t>(count, std::ssize(sums_[r])));
    }
    weight_sum_.erase(weight_sum_.begin(), weight_sum_.begin() + count);
    taken_ += count;
    return out;
  }

  std::int64_t taken() const noexcept { return taken_; }

 private:
  static std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }
  const std::vector<double>& weights_;
  std::vector<double> weight_sum_;
  std::vector<std::vector<double>> sums_;
  Rows<T> finished_;
  std::int64_t taken_ = 0, end_ = 0;
};

/// Reads a track of `channels` to its end, yields `rows` rows of its length. Returns the length.
template <class T>
std::int64_t run_segments(const SegmentSpec& spec, int channels, std::int64_t rows, const ReadRows<T>& read,
                          const SegmentProcessor<T>& process, const WriteRows<T>& write,
                          const core::StopToken& stop = {}) {
  validate(spec);
  const std::int64_t size = spec.segment_samples, hop = spec.hop_samples;
  const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };

  // Samples [held_from, held_until) of the track.
  Rows<T> held(sz(channels));
  std::int64_t held_from = 0, held_until = 0;
  bool ended = false;
  // One sample more than a segment and its context: whether there is one tells whether the segment is the last.
  constexpr std::int64_t kBlock = std::int64_t{1} << 16;
  const auto read_until = [&](std::int64_t until) {
    while (!ended && held_until < until) {
      const std::int64_t count = std::min(kBlock, until - held_until);
      std::vector<T*> places;
      for (std::vector<T>& row : held) {
        row.resize(sz(held_until - held_from + count));
        places.push_back(row.data() + (held_until - held_from));
      }
      const std::int64_t got = read(places, count);
      held_until += got;
      ended = got < count;
    }
    for (std::vector<T>& row : held) row.resize(sz(held_until - held_from));
  };

  SegmentJoiner<T> joiner(spec, rows);
  const auto pass_on = [&](std::int64_t until) {
    const std::int64_t begin = joiner.taken();
    const Rows<T>& done = joiner.take(until);
    if (!done.empty() && !done.front().empty()) write(begin, done);
  };
  std::int64_t index = 0;
  std::vector<Segment<T>> segments(sz(spec.batch));
  for (bool more = true; more;) {
    std::size_t count = 0;
    while (more && count < segments.size()) {
      stop.check();
      const std::int64_t begin = index * hop;
      read_until(begin + size + std::max<std::int64_t>(spec.after_samples, 1));
      if (ended && begin >= held_until) {
        more = false;
        break;
      }
      Segment<T>& segment = segments[count++];
      segment.index = index;
      segment.begin = begin;
      segment.samples = ended ? std::min(size, held_until - begin) : size;
      segment.before = spec.before_samples;
      segment.after = spec.after_samples;
      const std::int64_t first = begin - segment.before, total = segment.before + segment.samples + segment.after;
      segment.audio.resize(held.size());
      for (std::size_t c = 0; c < held.size(); ++c) {
        std::vector<T>& x = segment.audio[c];
        x.assign(sz(total), T{0});
        const std::int64_t from = std::max(first, held_from), until = std::min(first + total, held_until);
        if (until > from) std::copy_n(held[c].begin() + (from - held_from), until - from, x.begin() + (from - first));
      }
      const std::int64_t end = segment.begin + segment.samples;
      ++index;
      if (ended && end == held_until && (!spec.every_hop || index * hop >= held_until)) more = false;
      const std::int64_t keep_from =
          std::clamp(index * hop - spec.before_samples, held_from, std::max(held_from, held_until));
      for (std::vector<T>& row : held) row.erase(row.begin(), row.begin() + (keep_from - held_from));
      held_from = keep_from;
    }
    if (count == 0) break;
    const std::span<Segment<T>> batch(segments.data(), count);
    std::int64_t answered = 0;
    process(batch, [&](std::int64_t i, const Rows<T>& answer) {
      if (i != answered) refuse_segment("segment of the batch", answered, i);
      ++answered;
      const Segment<T>& segment = batch[sz(i)];
      joiner.add(segment.begin, segment.samples, answer);
      const bool last = !more && answered == static_cast<std::int64_t>(batch.size());
      pass_on(last ? segment.begin + size : segment.begin + hop);
      stop.check();
    });
    if (answered != static_cast<std::int64_t>(batch.size())) {
      refuse_segment("segments answered for", static_cast<std::int64_t>(batch.size()), answered);
    }
  }
  return joiner.taken();
}

/// All of `mixture` into `sink` (begin and writes, no end), for use in Separator::do_separate: one row per target of
/// the context and channel of the mixture.
void separate_in_segments(audio::Source& mixture, StemSink& sink, const SegmentSpec& spec, const Context& context,
                          const SegmentProcessor<float>& process);

}  // namespace mss::methods
