// One pass over the samples: segments, sources that are sums of signals, energies and silence. Internal to mss::eval.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/stop.h"
#include "eval/kernels.h"
#include "eval/sdr.h"
#include "eval/signal.h"

namespace mss::eval {

/// A signal, or the sum of several (an accompaniment), of one shape.
class Source {
 public:
  Source() = default;
  explicit Source(Signal single) : parts_{single} {}
  explicit Source(std::vector<Signal> parts) : parts_(std::move(parts)) {}
  int channels() const noexcept { return parts_.empty() ? 0 : parts_.front().channels(); }
  std::int64_t samples() const noexcept { return parts_.empty() ? 0 : parts_.front().samples(); }
  bool single() const noexcept { return parts_.size() == 1; }
  const Signal& part(std::size_t i) const { return parts_[i]; }
  std::size_t parts() const noexcept { return parts_.size(); }
  /// Samples [begin, begin + n) of channel c, in float64.
  void load(int c, std::int64_t begin, std::int64_t n, double* out) const;

 private:
  std::vector<Signal> parts_;
};

enum class Silence { sounding, zero, anti_phase };

/// museval's test on [begin, end): silent when the sum of the channels is exactly 0 at every sample; `zero` when the
/// channels themselves are.
Silence silence(const Source& source, std::int64_t begin, std::int64_t end);

/// museval's frames: floor((N - window + hop) / hop) of them when window < N, else 1; start floor(t hop), stop
/// floor(min(t hop + window, N)). Infinite values mean one frame over everything.
std::vector<std::pair<std::int64_t, std::int64_t>> frame_spans(std::int64_t samples, double window, double hop);

/// The track cut at every frame boundary (and at least every 2^17 samples): a frame is a run of whole segments.
struct Segments {
  std::vector<std::int64_t> bounds;         ///< segment i is [bounds[i], bounds[i+1])
  std::vector<std::pair<int, int>> frames;  ///< first segment, one past the last
  int count() const noexcept { return static_cast<int>(bounds.size()) - 1; }
};
Segments make_segments(std::int64_t samples, const std::vector<std::pair<std::int64_t, std::int64_t>>& frames);

/// Sums per segment and channel, [segment * channels + c].
using OwnTable = std::vector<OwnSums>;
using PairTable = std::vector<PairSums>;

std::vector<OwnTable> own_tables(const std::vector<Source>& sources, const Segments& segments, int threads,
                                 const core::StopToken& stop);
std::vector<PairTable> pair_tables(const std::vector<std::pair<const Source*, const Source*>>& pairs,
                                   const Segments& segments, int threads, const core::StopToken& stop);

TrackSums total_sums(const OwnTable& own, const PairTable& pair, int channels, std::int64_t samples);
/// Throws Error(numeric) naming `name`, channel and sample when the source has a NaN or an infinity.
void require_finite(const Source& source, const std::string& name);

}  // namespace mss::eval
