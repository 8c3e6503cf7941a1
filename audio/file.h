// Reading and writing audio files.
//
// Reading: everything libsndfile reads (wav, flac, ogg, opus, aiff, mp3, …); mp4, m4a and what else libavformat opens.
// Integer PCM of b bits becomes x / 2^(b-1) (16 bit: x / 32768, exact in float32); float PCM is taken as it is.
// Lossy streams decoded by libavcodec get musdb's sample values: clip(rint(x * 32768), -32768, 32767) / 32768.
// Writing: WAV (float32 default, 16 or 24 bit), FLAC (16 or 24 bit), MP3 and AAC in m4a (where libavcodec has the
// encoder), atomic (a temporary name, then a rename), never rescaled; integer formats round to nearest, all but float32
// clip, and tell how many samples they clipped.
//
// Errors: Error(io) missing, unreadable or full disk; Error(format) not audio, truncated (fewer samples than the header
// promises), 0 channels; Error(unsupported) no decoder. All name the file. NaN samples are read as they are: callers
// that cannot take them check (find_non_finite).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audio/buffer.h"
#include "audio/stream.h"

namespace mss::audio {

struct FileInfo {
  int channels = 0;
  int rate_hz = 0;
  std::optional<std::int64_t> samples;  ///< as the header says; exact for wav and flac, absent or approximate for lossy
  int streams = 1;                      ///< audio streams in the container (5 for MUSDB18's stem.mp4)
  std::string format;                   ///< "wav/float32", "flac/16", "mp4/aac", …
};

FileInfo probe(const std::filesystem::path& path);

/// Whole file, stream 0 where there are several.
AudioBuffer read_file(const std::filesystem::path& path);

/// Streaming reader of stream `stream`.
std::unique_ptr<Source> open_file(const std::filesystem::path& path, int stream = 0);

/// All audio streams of one container decoded in one pass (attached pictures and data are ignored by type).
/// MUSDB18's order: 0 mixture, 1 drums, 2 bass, 3 other, 4 vocals. Streams may differ in length by what the decoder
/// gives.
std::vector<AudioBuffer> read_streams(const std::filesystem::path& path);

enum class SampleFormat { float32, pcm16, pcm24 };

struct WriteOptions {
  SampleFormat format = SampleFormat::float32;  ///< FLAC takes pcm16 and pcm24 only; MP3 and AAC have none
  int bitrate_kbps = 0;                         ///< of MP3 and AAC; 0: 320 and 256
};

/// Throws what a Writer of such a file would: Error(unsupported) where the format cannot hold it.
void require_writable(const std::filesystem::path& path, int channels, int rate_hz, const WriteOptions& options);
/// Is there a writer for this extension (".wav", ".flac", ".mp3", ".m4a") in this build?
bool can_write(const std::string& extension);

/// Streaming writer; the container follows the extension (.wav, .flac, .mp3, .m4a), WAV switches to RF64 above 4 GiB.
class Writer {
 public:
  Writer(const std::filesystem::path& path, int channels, int rate_hz, WriteOptions options = {});
  ~Writer();  ///< removes the file unless finish() was called
  Writer(Writer&&) noexcept;
  Writer& operator=(Writer&&) noexcept;
  void write(AudioView block);
  /// Flushes and renames into place; returns how many samples were clipped.
  std::int64_t finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::int64_t write_file(const std::filesystem::path& path, AudioView audio, WriteOptions options = {});

}  // namespace mss::audio
