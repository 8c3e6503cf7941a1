#include "audio/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "audio/decoders.h"
#include "core/error.h"

namespace mss::audio {

namespace fs = std::filesystem;

namespace detail {

std::string first_bytes(const fs::path& path, std::size_t count) {
  std::string bytes(count, '\0');
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  const ssize_t n = ::read(fd, bytes.data(), count);
  ::close(fd);
  bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return bytes;
}

bool looks_like_mp4(const std::string& head) {
  if (head.size() < 8) return false;
  const std::string type = head.substr(4, 4);
  return type == "ftyp" || type == "moov" || type == "mdat" || type == "wide" || type == "styp";
}

void require_whole_mp4(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  struct stat status {};
  std::uint64_t at = 0, end = 0;
  if (::fstat(fd, &status) == 0) end = static_cast<std::uint64_t>(status.st_size);
  bool index = false;
  constexpr int kMostBoxes = 1000000;
  for (int box = 0; box < kMostBoxes && at + 8 <= end; ++box) {
    unsigned char head[16] = {};
    const ssize_t got = ::pread(fd, head, sizeof head, static_cast<off_t>(at));
    if (got < 8) break;
    std::uint64_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | head[i];
    const std::string type(reinterpret_cast<const char*>(head) + 4, 4);
    // Whatever follows the last box and does not look like one is left to the demuxer.
    if (!std::ranges::all_of(type, [](char c) { return c >= 0x20 && c < 0x7F; })) break;
    if (size == 1 && got == 16) {
      size = 0;
      for (int i = 8; i < 16; ++i) size = size << 8 | head[i];
    } else if (size == 0) {
      size = end - at;
    }
    if (size < 8) break;
    index = index || type == "moov" || type == "moof";
    if (size > end - at) {
      ::close(fd);
      throw Error({.code = Code::format,
                   .where = path.string(),
                   .what = index ? "truncated mp4: its last box is cut off"
                                 : "truncated mp4: its index (the moov box) is missing",
                   .expected = fmt::format("{} bytes or more", at + size),
                   .found = fmt::format("{} bytes", end),
                   .hint = "copy or download the file again"});
    }
    at += size;
  }
  ::close(fd);
}

void require_plausible(const fs::path& path, int channels, int rate_hz) {
  if (channels < 1) {
    throw Error({.code = Code::format,
                 .where = path.string(),
                 .what = "the header promises no channels",
                 .expected = "1 to 64 channels",
                 .found = fmt::format("{}", channels),
                 .hint = {}});
  }
  if (channels > 64) {
    throw Error({.code = Code::unsupported,
                 .where = path.string(),
                 .what = "too many channels",
                 .expected = "1 to 64",
                 .found = fmt::format("{}", channels),
                 .hint = {}});
  }
  if (rate_hz < 1 || rate_hz > 768000) {
    throw Error({.code = Code::format,
                 .where = path.string(),
                 .what = "the header names an impossible sample rate",
                 .expected = "1 to 768000 Hz",
                 .found = fmt::format("{} Hz", rate_hz),
                 .hint = {}});
  }
}

void fail_truncated(const fs::path& path, std::int64_t expected_samples, std::int64_t found_samples) {
  throw Error({.code = Code::format,
               .where = path.string(),
               .what = "truncated or damaged: the audio ends before the length in the header",
               .expected = fmt::format("{} samples", expected_samples),
               .found = fmt::format("{} samples", found_samples),
               .hint = "copy or download the file again"});
}

}  // namespace detail

namespace {

/// Error(io) with the system's reason for what cannot be read at all.
void require_readable(const fs::path& path) {
  const auto fail = [&](int error) {
    throw Error(Code::io, path.string(), fmt::format("cannot read: {}", std::strerror(error)));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(errno);
  struct stat status {};
  const int result = ::fstat(fd, &status);
  const int error = errno;
  ::close(fd);
  if (result != 0) fail(error);
  if (S_ISDIR(status.st_mode)) fail(EISDIR);
  if (!S_ISREG(status.st_mode)) {
    throw Error(Code::io, path.string(), "cannot read: not a regular file (audio is read with seeking)");
  }
}

/// Runs the libav variant; where libsndfile knew the format, its reason is the better one.
template <class F>
auto with_libav(const fs::path& path, const detail::SndfileResult& refused, F libav) {
  try {
    return libav();
  } catch (const Error& error) {
    if (!refused.recognised || error.code() == Code::io) throw;
    throw Error({.code = Code::format,
                 .where = path.string(),
                 .what = fmt::format("damaged or unusual audio file: {}", refused.refusal),
                 .expected = {},
                 .found = {},
                 .hint = {}});
  }
}

void require_stream(const fs::path& path, int stream, int streams) {
  if (stream >= 0 && stream < streams) return;
  throw Error({.code = Code::invalid_argument,
               .where = path.string(),
               .what = "no such audio stream",
               .expected = fmt::format("0 to {}", streams - 1),
               .found = fmt::format("{}", stream),
               .hint = {}});
}

}  // namespace

FileInfo probe(const fs::path& path) {
  require_readable(path);
  auto opened = detail::open_sndfile(path);
  if (opened.source) return opened.info;
  return with_libav(path, opened, [&] { return detail::probe_libav(path); });
}

std::unique_ptr<Source> open_file(const fs::path& path, int stream) {
  require_readable(path);
  auto opened = detail::open_sndfile(path);
  if (opened.source) {
    require_stream(path, stream, 1);
    return std::move(opened.source);
  }
  return with_libav(path, opened, [&] { return detail::open_libav(path, stream); });
}

AudioBuffer read_file(const fs::path& path) {
  const auto source = open_file(path);
  return read_all(*source);
}

std::vector<AudioBuffer> read_streams(const fs::path& path) {
  require_readable(path);
  auto opened = detail::open_sndfile(path);
  if (opened.source) {
    std::vector<AudioBuffer> one;
    one.push_back(read_all(*opened.source));
    return one;
  }
  return with_libav(path, opened, [&] { return detail::read_streams_libav(path); });
}

}  // namespace mss::audio
