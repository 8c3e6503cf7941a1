// Private to audio/: lossy encoders of libavcodec behind the Writer of file.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "audio/buffer.h"

namespace mss::audio::detail {

/// Where an encoder's bytes go: a file that can be sought in.
struct ByteSink {
  std::function<std::int64_t(const void* data, std::int64_t bytes)> write;
  std::function<void(std::int64_t position)> seek;
  std::function<std::int64_t()> position, size;
};

/// Samples in [-1, 1], front to back, as MP3 (".mp3") or AAC in an MPEG-4 container (".m4a").
class LossyEncoder {
 public:
  virtual ~LossyEncoder() = default;
  virtual void write(AudioView block) = 0;
  virtual void finish() = 0;
};

/// Does this build's libavcodec have an encoder for the extension?
bool has_lossy_encoder(const std::string& extension);
/// Throws Error(unsupported) naming `path` where there is no encoder, or where it does not take this shape.
void require_lossy_encoder(const std::filesystem::path& path, const std::string& extension, int channels, int rate_hz);
/// `kbps`: kilobits per second. What require_lossy_encoder throws, and Error(unsupported) for a bit rate that the encoder
/// refuses.
std::unique_ptr<LossyEncoder> make_lossy_encoder(const std::filesystem::path& path, const std::string& extension,
                                                 int channels, int rate_hz, int kbps, ByteSink sink);

}  // namespace mss::audio::detail
