// Private to audio/: the two libraries behind file.h, each as "open this file or say why not".
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "audio/buffer.h"
#include "audio/file.h"
#include "audio/stream.h"

namespace mss::audio::detail {

/// What libsndfile made of a file. No source = it refused; `recognised` tells whether it knew the format.
struct SndfileResult {
  std::unique_ptr<Source> source;
  FileInfo info;
  bool recognised = false;
  std::string refusal;
};

/// Throws Error(format) for files that libsndfile would open although their data end early.
SndfileResult open_sndfile(const std::filesystem::path& path);

// libavformat and libavcodec. In a build without them all three throw: Error(unsupported) for files that look like a
// container they would read, else Error(format).
FileInfo probe_libav(const std::filesystem::path& path);
std::unique_ptr<Source> open_libav(const std::filesystem::path& path, int stream);
std::vector<AudioBuffer> read_streams_libav(const std::filesystem::path& path);

/// The first bytes of a file (fewer where it is shorter).
std::string first_bytes(const std::filesystem::path& path, std::size_t count);
/// Looks like an ISO base media file (mp4, m4a, mov).
bool looks_like_mp4(const std::string& head);
/// Throws Error(format) when a top-level box of an ISO base media file reaches beyond the file's end.
void require_whole_mp4(const std::filesystem::path& path);

/// Sanity of what a decoder announces; throws Error(format) or Error(unsupported) naming the file.
void require_plausible(const std::filesystem::path& path, int channels, int rate_hz);

[[noreturn]] void fail_truncated(const std::filesystem::path& path, std::int64_t expected_samples,
                                 std::int64_t found_samples);

}  // namespace mss::audio::detail
