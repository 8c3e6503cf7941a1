// A track that has to be read more than once: kept as it passes by, in memory as far as that goes, then in a temporary
// file (core/spill.h), and read again as a source.
//
// Errors: those of the source; Error(io) of the temporary file; Error(cancelled). Thread-safety: keep() belongs to one
// thread; afterwards any number of KeptSources may read at once, each in one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "audio/stream.h"
#include "core/spill.h"
#include "core/stop.h"

namespace mss::methods {

class KeptTrack {
 public:
  static constexpr std::int64_t kBlockSamples = std::int64_t{1} << 16;  ///< what a track is kept in multiples of
  /// Reads `source` to its end. `seen`, where it is not empty, gets every block.
  KeptTrack(audio::Source& source, std::int64_t memory_bytes, const core::StopToken& stop,
            const std::function<void(audio::AudioView)>& seen = {});
  int channels() const noexcept { return channels_; }
  int rate_hz() const noexcept { return rate_hz_; }
  std::int64_t samples() const noexcept { return samples_; }
  /// Samples [begin, begin + out.samples()), which are inside the track.
  void read(std::int64_t begin, audio::AudioSpan out) const;

 private:
  int channels_ = 0, rate_hz_ = 0;
  std::int64_t samples_ = 0;
  core::Spill spill_;
  std::vector<std::int64_t> blocks_;
};

class KeptSource final : public audio::Source {
 public:
  explicit KeptSource(const KeptTrack& track) : track_(track) {}
  int channels() const override { return track_.channels(); }
  int rate_hz() const override { return track_.rate_hz(); }
  std::optional<std::int64_t> length() const override { return track_.samples(); }
  std::int64_t read(audio::AudioSpan out) override;

 private:
  const KeptTrack& track_;
  std::int64_t position_ = 0;
};

}  // namespace mss::methods
