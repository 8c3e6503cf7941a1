// Audio as a stream of blocks: what files, buffers, resamplers and separators have in common.
//
// A Source is read once, front to back. Sources are single-threaded objects.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audio/buffer.h"

namespace mss::audio {

class Source {
 public:
  virtual ~Source() = default;
  virtual int channels() const = 0;
  virtual int rate_hz() const = 0;
  /// Samples per channel in total, where known before reading.
  virtual std::optional<std::int64_t> length() const = 0;
  /// About how many there will be, for progress: length(), or what a container says of itself (mp3, m4a), which may be
  /// off by some frames of the codec.
  virtual std::optional<std::int64_t> expected_length() const { return length(); }
  /// Fills the front of `out` (its channel count must match) and returns how many samples per channel were written:
  /// out.samples() unless the stream ends; 0 only at the end. Throws Error naming the file.
  virtual std::int64_t read(AudioSpan out) = 0;
};

/// Reads from memory; `audio` must outlive the source.
class ViewSource final : public Source {
 public:
  explicit ViewSource(AudioView audio) : audio_(audio) {}
  int channels() const override { return audio_.channels(); }
  int rate_hz() const override { return audio_.rate_hz(); }
  std::optional<std::int64_t> length() const override { return audio_.samples(); }
  std::int64_t read(AudioSpan out) override;

 private:
  AudioView audio_;
  std::int64_t position_ = 0;
};

/// Everything that is left, in one buffer.
AudioBuffer read_all(Source& source);

/// Samples [first, first + samples) of a source, or all from `first` on (samples < 0): fewer where it ends earlier. What
/// lies before is read and dropped. Throws Error(invalid_argument) naming `where` where nothing is left.
std::unique_ptr<Source> excerpt(std::unique_ptr<Source> source, std::int64_t first, std::int64_t samples,
                                std::string where);
/// The sum of sources of one shape; it ends with the first that ends.
std::unique_ptr<Source> sum(std::vector<std::unique_ptr<Source>> sources);

/// 1 -> C copies the channel; C -> 1 averages (sum / C); C == C passes through; anything else is Error(unsupported).
std::unique_ptr<Source> convert_channels(Source& source, int channels);
AudioBuffer convert_channels(AudioView audio, int channels);

}  // namespace mss::audio
