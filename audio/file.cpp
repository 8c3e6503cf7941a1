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
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
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

namespace {

/// Big-endian number of up to 8 bytes.
std::uint64_t number(const unsigned char* at, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | at[i];
  return value;
}

/// The tables of an mp4's index say how many packets there are, in a few bytes for any number of them, and libavformat
/// makes an entry of memory for each. A packet takes a byte at least; old QuickTime files count samples instead, of
/// which a byte holds a few. A count far beyond the file's size is a lie. Looks into the boxes of [at, end) that hold
/// such tables.
void require_plausible_tables(int fd, const fs::path& path, std::uint64_t at, std::uint64_t end,
                              std::uint64_t file_bytes, int depth, int& boxes) {
  constexpr int kMostBoxes = 100000, kMostDepth = 8;
  while (at + 8 <= end && ++boxes < kMostBoxes) {
    unsigned char head[32] = {};
    if (::pread(fd, head, sizeof head, static_cast<off_t>(at)) < 8) return;
    std::uint64_t size = number(head, 4), body = 8;
    const std::string type(reinterpret_cast<const char*>(head) + 4, 4);
    if (size == 1) {
      size = number(head + 8, 8);
      body = 16;
    } else if (size == 0) {
      size = end - at;
    }
    if (size < body || size > end - at) return;
    static const std::vector<std::string> parents = {"moov", "trak", "mdia", "minf", "stbl", "moof", "traf", "edts"};
    if (std::ranges::find(parents, type) != parents.end()) {
      if (depth < kMostDepth) {
        require_plausible_tables(fd, path, at + body, at + size, file_bytes, depth + 1, boxes);
      }
    } else {
      const unsigned char* content = head + body;
      constexpr std::uint64_t kPerByte = 64;
      std::uint64_t count = 0;
      if (type == "stsz" || type == "stz2") {
        count = number(content + 8, 4);
      } else if (type == "trun") {
        count = number(content + 4, 4);
      } else if (type == "stts" || type == "ctts") {
        const std::uint64_t runs = number(content + 4, 4);
        for (std::uint64_t run = 0; run < runs && body + 8 + 8 * (run + 1) <= size && count <= kPerByte * file_bytes;
             ++run) {
          unsigned char entry[8] = {};
          if (::pread(fd, entry, sizeof entry, static_cast<off_t>(at + body + 8 + 8 * run)) != 8) break;
          count += number(entry, 4);
        }
      }
      if (count > kPerByte * file_bytes) {
        throw Error(
            {.code = Code::format,
             .where = path.string(),
             .what = fmt::format("damaged mp4: its {} table promises more packets than the file can hold", type),
             .expected = fmt::format("at most {}", kPerByte * file_bytes),
             .found = fmt::format("{}", count),
             .hint = {}});
      }
    }
    at += size;
  }
}

}  // namespace

void require_whole_mp4(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
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
  try {
    int tables = 0;
    require_plausible_tables(fd, path, 0, end, end, 0, tables);
  } catch (...) {
    ::close(fd);
    throw;
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
    const char* kind = S_ISFIFO(status.st_mode) ? "a FIFO or pipe" : S_ISSOCK(status.st_mode) ? "a socket" : "a device";
    throw Error({.code = Code::io,
                 .where = path.string(),
                 .what = "cannot read: not a regular file",
                 .expected = "a file (audio is read with seeking)",
                 .found = kind,
                 .hint = {}});
  }
}

/// Runs the libav variant; where libsndfile knew the format, its reason is the better one.
template <class F>
auto with_libav(const fs::path& path, const detail::SndfileResult& refused, F libav) {
  try {
    return libav();
  } catch (const Error& error) {
    // A hint means that libav knows what it is: a playlist, say, whose name looked like audio to libsndfile.
    if (!refused.recognised || error.code() == Code::io || error.code() == Code::cancelled ||
        !error.parts().hint.empty())
      throw;
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
