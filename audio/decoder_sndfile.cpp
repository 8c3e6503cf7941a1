#include <fcntl.h>
#include <fmt/format.h>
#include <sndfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <utility>

#include "audio/decoders.h"
#include "core/error.h"
#include "core/stop.h"

namespace mss::audio::detail {

namespace fs = std::filesystem;

namespace {

struct SndfileCloser {
  void operator()(SNDFILE* file) const { sf_close(file); }
};
using SndfileHandle = std::unique_ptr<SNDFILE, SndfileCloser>;

std::string format_name(int format) {
  std::string container;
  switch (format & SF_FORMAT_TYPEMASK) {
    case SF_FORMAT_WAV:
    case SF_FORMAT_WAVEX:
    case SF_FORMAT_RF64:
      container = "wav";
      break;
    case SF_FORMAT_FLAC:
      container = "flac";
      break;
    case SF_FORMAT_OGG:
      container = "ogg";
      break;
    case SF_FORMAT_MPEG:
      container = "mp3";
      break;
    case SF_FORMAT_AIFF:
      container = "aiff";
      break;
    case SF_FORMAT_AU:
      container = "au";
      break;
    case SF_FORMAT_CAF:
      container = "caf";
      break;
    case SF_FORMAT_W64:
      container = "w64";
      break;
    default:
      container = fmt::format("sndfile-{:x}", (format & SF_FORMAT_TYPEMASK) >> 16);
      break;
  }
  const bool flac = container == "flac";
  std::string encoding;
  switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_U8:
      encoding = flac ? "8" : "pcm8";
      break;
    case SF_FORMAT_PCM_16:
      encoding = flac ? "16" : "pcm16";
      break;
    case SF_FORMAT_PCM_24:
      encoding = flac ? "24" : "pcm24";
      break;
    case SF_FORMAT_PCM_32:
      encoding = flac ? "32" : "pcm32";
      break;
    case SF_FORMAT_FLOAT:
      encoding = "float32";
      break;
    case SF_FORMAT_DOUBLE:
      encoding = "float64";
      break;
    case SF_FORMAT_ULAW:
      encoding = "ulaw";
      break;
    case SF_FORMAT_ALAW:
      encoding = "alaw";
      break;
    case SF_FORMAT_VORBIS:
      encoding = "vorbis";
      break;
    case SF_FORMAT_OPUS:
      encoding = "opus";
      break;
    case SF_FORMAT_MPEG_LAYER_I:
      encoding = "layer1";
      break;
    case SF_FORMAT_MPEG_LAYER_II:
      encoding = "layer2";
      break;
    case SF_FORMAT_MPEG_LAYER_III:
      encoding = "layer3";
      break;
    default:
      encoding = fmt::format("{:x}", format & SF_FORMAT_SUBMASK);
      break;
  }
  return container + "/" + encoding;
}

// --- lengths that the headers of wav and aiff promise ----------------------------------------------------------------
//
// libsndfile silently shortens a file whose data chunk is longer than what is there, so the header is read once more.

constexpr int kMostChunks = 10000;

struct Promise {
  std::int64_t expected = 0, found = 0;  ///< samples per channel
};

class ChunkReader {
 public:
  ChunkReader(const fs::path& path, bool big_endian) : in_(path, std::ios::binary), big_(big_endian) {
    in_.seekg(0, std::ios::end);
    size_ = static_cast<std::uint64_t>(std::max<std::streamoff>(in_.tellg(), 0));
  }
  std::uint64_t size() const { return size_; }
  std::string bytes(std::uint64_t at, std::size_t count) {
    std::string out(count, '\0');
    in_.clear();
    in_.seekg(static_cast<std::streamoff>(at));
    in_.read(out.data(), static_cast<std::streamsize>(count));
    out.resize(static_cast<std::size_t>(std::max<std::streamsize>(in_.gcount(), 0)));
    return out;
  }
  /// Unsigned integer of `count` bytes; 0 beyond the end.
  std::uint64_t number(std::uint64_t at, std::size_t count) {
    const std::string raw = bytes(at, count);
    if (raw.size() != count) return 0;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      value = value << 8 | static_cast<unsigned char>(raw[big_ ? i : count - 1 - i]);
    }
    return value;
  }

 private:
  std::ifstream in_;
  std::uint64_t size_ = 0;
  bool big_;
};

/// Sizes of data chunks that writers into a pipe leave behind, who cannot go back and put in the true one: 0, sox's
/// 0x7FFFF000, arecord's 0x7FFFFFFF and 0x80000000, FFmpeg's 0xFFFFFFFF, and these less a header.
bool is_placeholder(std::uint64_t size) {
  return size == 0 || (size >= 0x7FFFF000 && size <= 0x80000000) || (size >= 0xFFFFF000 && size <= 0xFFFFFFFF);
}

/// The data chunk of a WAV file.
struct WavData {
  std::uint64_t size_at = 0, body = 0;  ///< where its size stands, where its samples begin
  std::uint64_t size = 0, there = 0;    ///< as promised, and what the file has from `body` on
  std::uint64_t block_bytes = 0;        ///< of one sample of every channel; 0 where that is no constant
  bool open_end = false;                ///< the size is a placeholder: the samples reach to the end of the file
};

/// Do chunks follow from `at` to the end of the file? Where one of them holds samples, `data` gets its size.
bool chunks_follow(ChunkReader& in, std::uint64_t at, std::optional<std::uint64_t>& data) {
  std::optional<std::uint64_t> found;
  for (int chunk = 0; chunk < kMostChunks && at + 8 <= in.size(); ++chunk) {
    const std::string id = in.bytes(at, 4);
    if (!std::ranges::all_of(id, [](char c) { return c >= 0x20 && c < 0x7F; })) return false;
    const std::uint64_t size = in.number(at + 4, 4), left = in.size() - at - 8;
    if (size > left) return false;
    if (id == "data" && !found) found = size;
    at += 8 + size + size % 2;
  }
  if (at < in.size()) return false;
  data = found;
  return true;
}

std::optional<WavData> find_wav_data(const fs::path& path, const std::string& form) {
  ChunkReader in(path, form == "RIFX");
  std::uint64_t size_64 = 0;
  WavData out;
  std::uint64_t at = 12;
  for (int chunk = 0; chunk < kMostChunks && at + 8 <= in.size(); ++chunk) {
    const std::string id = in.bytes(at, 4);
    const std::uint64_t size = in.number(at + 4, 4), body = at + 8;
    if (id == "ds64") {
      size_64 = in.number(body + 8, 8);
    } else if (id == "fmt ") {
      const std::uint64_t tag = in.number(body, 2);
      // One block is one sample of every channel: PCM, float, A-law, mu-law, extensible.
      const bool linear = tag == 1 || tag == 3 || tag == 6 || tag == 7 || tag == 0xFFFE;
      out.block_bytes = linear ? in.number(body + 12, 2) : 0;
    } else if (id == "data") {
      out.size_at = at + 4;
      out.body = body;
      out.size = form == "RF64" && size == 0xFFFFFFFF && size_64 > 0 ? size_64 : size;
      out.there = in.size() - body;
      std::optional<std::uint64_t> second;
      const bool whole = out.size <= out.there;
      const bool chunks = whole && chunks_follow(in, body + out.size + out.size % 2, second);
      if (second) {
        const auto samples = [&](std::uint64_t bytes) {
          return out.block_bytes > 0 ? fmt::format("{} samples", bytes / out.block_bytes)
                                     : fmt::format("{} bytes", bytes);
        };
        throw Error({.code = Code::format,
                     .where = path.string(),
                     .what = "two data chunks, of which readers take the first or the last",
                     .expected = "one",
                     .found = fmt::format("{} and {}", samples(out.size), samples(*second)),
                     .hint = "write the file anew with the program that it came from"});
      }
      out.open_end = is_placeholder(out.size) && !chunks && out.there != out.size;
      return out;
    }
    at = body + size + size % 2;
  }
  return std::nullopt;
}

std::optional<Promise> wav_promise(const std::optional<WavData>& data) {
  if (!data || data->open_end || data->block_bytes == 0) return std::nullopt;
  return Promise{static_cast<std::int64_t>(data->size / data->block_bytes),
                 static_cast<std::int64_t>(std::min(data->size, data->there) / data->block_bytes)};
}

std::optional<Promise> aiff_promise(const fs::path& path, int channels, const std::string& form) {
  ChunkReader in(path, true);
  std::uint64_t frames = 0, bits = 0;
  bool linear = form == "AIFF";
  std::uint64_t at = 12;
  for (int chunk = 0; chunk < kMostChunks && at + 8 <= in.size(); ++chunk) {
    const std::string id = in.bytes(at, 4);
    const std::uint64_t size = in.number(at + 4, 4), body = at + 8;
    if (id == "COMM") {
      frames = in.number(body + 2, 4);
      bits = in.number(body + 6, 2);
      const std::string kind = form == "AIFC" ? in.bytes(body + 18, 4) : "NONE";
      linear = kind == "NONE" || kind == "twos" || kind == "sowt" || kind == "fl32" || kind == "FL32";
    } else if (id == "SSND") {
      if (!linear || bits == 0) return std::nullopt;
      const std::uint64_t frame_bytes = (bits + 7) / 8 * static_cast<std::uint64_t>(channels);
      const std::uint64_t there = in.size() > body + 8 ? in.size() - body - 8 : 0;
      return Promise{static_cast<std::int64_t>(frames),
                     static_cast<std::int64_t>(std::min(frames, there / frame_bytes))};
    }
    at = body + size + size % 2;
  }
  return std::nullopt;
}

/// libsndfile takes as much memory for a chunk as its header says, gigabytes for a file of a few bytes. A chunk before the
/// samples that reaches beyond the end leaves nothing to read.
void require_chunks_inside(const fs::path& path) {
  const std::string head = first_bytes(path, 12);
  if (head.size() < 12) return;
  const std::string form = head.substr(0, 4), type = head.substr(8, 4);
  const bool wav = (form == "RIFF" || form == "RIFX" || form == "RF64") && type == "WAVE";
  const bool aiff = form == "FORM" && (type == "AIFF" || type == "AIFC");
  if (!wav && !aiff) return;
  ChunkReader in(path, aiff || form == "RIFX");
  std::uint64_t at = 12;
  for (int chunk = 0; chunk < kMostChunks && at + 8 <= in.size(); ++chunk) {
    const std::string id = in.bytes(at, 4);
    const std::uint64_t size = in.number(at + 4, 4), left = in.size() - at - 8;
    if (id == "data" || id == "SSND") return;
    if (size > left) {
      throw Error({.code = Code::format,
                   .where = path.string(),
                   .what = "truncated or damaged: a chunk before the samples reaches beyond the end of the file",
                   .expected = fmt::format("at most {} bytes", left),
                   .found = fmt::format("{} bytes", size),
                   .hint = "copy or download the file again"});
    }
    at += 8 + size + size % 2;
  }
}

/// "RIFF", "RIFX", "RF64" for a WAV file, "FORM" for AIFF; empty for all else.
struct Head {
  std::string form, type;
  bool wav() const { return (form == "RIFF" || form == "RIFX" || form == "RF64") && type == "WAVE"; }
  bool aiff() const { return form == "FORM" && (type == "AIFF" || type == "AIFC"); }
};

Head head_of(const fs::path& path) {
  const std::string head = first_bytes(path, 12);
  return head.size() < 12 ? Head{} : Head{head.substr(0, 4), head.substr(8, 4)};
}

void require_whole(const fs::path& path, int channels, const Head& head, const std::optional<WavData>& wav) {
  std::optional<Promise> promise;
  if (head.wav()) promise = wav_promise(wav);
  if (head.aiff()) promise = aiff_promise(path, channels, head.type);
  if (promise && promise->found < promise->expected) fail_truncated(path, promise->expected, promise->found);
}

/// A WAV file whose data chunk says 0, or less than there is, shown to libsndfile with the size that it has.
class MendedFile {
 public:
  MendedFile(const fs::path& path, const WavData& data, bool big_endian)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), size_at_(static_cast<std::int64_t>(data.size_at)) {
    struct stat status {};
    if (fd_ < 0 || ::fstat(fd_, &status) != 0) {
      const int error = errno;
      if (fd_ >= 0) ::close(fd_);
      throw Error(Code::io, path.string(), fmt::format("cannot read: {}", std::strerror(error)));
    }
    length_ = status.st_size;
    if (data.there > 0xFFFFFFFE) {
      ::close(fd_);
      throw Error({.code = Code::unsupported,
                   .where = path.string(),
                   .what = "a WAV file of unknown length that is larger than the format allows",
                   .expected = "at most 4 GiB",
                   .found = fmt::format("{} bytes", data.there),
                   .hint = "write it as flac, w64 or rf64"});
    }
    for (int i = 0; i < 4; ++i) {
      const int shift = 8 * (big_endian ? 3 - i : i);
      mended_[static_cast<std::size_t>(i)] = static_cast<char>(data.there >> shift & 0xFF);
    }
  }
  ~MendedFile() { ::close(fd_); }
  MendedFile(const MendedFile&) = delete;
  MendedFile& operator=(const MendedFile&) = delete;

  static SF_VIRTUAL_IO* io() {
    static SF_VIRTUAL_IO table = {
        [](void* user) -> sf_count_t { return static_cast<MendedFile*>(user)->length_; },
        [](sf_count_t offset, int whence, void* user) -> sf_count_t {
          auto& file = *static_cast<MendedFile*>(user);
          const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file.position_ : file.length_;
          return file.position_ = base + offset;
        },
        [](void* out, sf_count_t bytes, void* user) -> sf_count_t {
          return static_cast<MendedFile*>(user)->read(static_cast<char*>(out), bytes);
        },
        nullptr, [](void* user) -> sf_count_t { return static_cast<MendedFile*>(user)->position_; }};
    return &table;
  }

 private:
  sf_count_t read(char* out, sf_count_t bytes) {
    ssize_t n = 0;
    do {
      n = ::pread(fd_, out, static_cast<std::size_t>(bytes), static_cast<off_t>(position_));
    } while (n < 0 && errno == EINTR);
    if (n <= 0) return 0;
    for (std::int64_t i = 0; i < 4; ++i) {
      const std::int64_t at = size_at_ + i - position_;
      if (at >= 0 && at < n) out[at] = mended_[static_cast<std::size_t>(i)];
    }
    position_ += n;
    return n;
  }

  int fd_;
  std::int64_t size_at_, length_ = 0, position_ = 0;
  std::array<char, 4> mended_{};
};

// --- reading ---------------------------------------------------------------------------------------------------------

class SndfileSource final : public Source {
 public:
  SndfileSource(fs::path path, std::unique_ptr<MendedFile> mended, SndfileHandle file, const FileInfo& info,
                std::int64_t slack)
      : path_(std::move(path)), mended_(std::move(mended)), file_(std::move(file)), info_(info), slack_(slack) {
    block_.resize(static_cast<std::size_t>(kBlock) * static_cast<std::size_t>(info.channels));
  }
  int channels() const override { return info_.channels; }
  int rate_hz() const override { return info_.rate_hz; }
  std::optional<std::int64_t> length() const override { return slack_ == 0 ? info_.samples : std::nullopt; }
  std::optional<std::int64_t> expected_length() const override { return info_.samples; }

  std::int64_t read(AudioSpan out) override {
    if (out.channels() != info_.channels) {
      throw Error({.code = Code::invalid_argument,
                   .where = path_.string(),
                   .what = "block with another number of channels",
                   .expected = fmt::format("{}", info_.channels),
                   .found = fmt::format("{}", out.channels()),
                   .hint = {}});
    }
    std::int64_t written = 0;
    const auto width = static_cast<std::size_t>(info_.channels);
    while (written < out.samples() && !ended_) {
      core::check_stop();
      const std::int64_t wanted = std::min(kBlock, out.samples() - written);
      const std::int64_t n = sf_readf_float(file_.get(), block_.data(), wanted);
      for (int c = 0; c < info_.channels; ++c) {
        float* to = out.channel(c).data() + written;
        const float* from = block_.data() + c;
        for (std::int64_t i = 0; i < n; ++i) to[i] = from[static_cast<std::size_t>(i) * width];
      }
      written += n;
      position_ += n;
      if (n < wanted) end_of_data();
    }
    return written;
  }

 private:
  static constexpr std::int64_t kBlock = 8192;

  void end_of_data() {
    ended_ = true;
    if (sf_error(file_.get()) == SF_ERR_SYSTEM) {
      throw Error(Code::io, path_.string(), fmt::format("cannot read: {}", sf_strerror(file_.get())));
    }
    if (info_.samples && position_ + slack_ < *info_.samples) fail_truncated(path_, *info_.samples, position_);
    if (!info_.samples && sf_error(file_.get()) != SF_ERR_NO_ERROR) {
      throw Error(Code::format, path_.string(),
                  fmt::format("truncated or damaged after {} samples: {}", position_, sf_strerror(file_.get())));
    }
  }

  fs::path path_;
  std::unique_ptr<MendedFile> mended_;  // outlives the handle that reads from it
  SndfileHandle file_;
  FileInfo info_;
  std::int64_t slack_;  ///< by how many samples the announced length may be too long
  std::vector<float> block_;
  std::int64_t position_ = 0;
  bool ended_ = false;
};

}  // namespace

SndfileResult open_sndfile(const fs::path& path) {
  require_chunks_inside(path);
  SndfileResult result;
  SF_INFO info{};
  const Head head = head_of(path);
  std::optional<WavData> wav;
  if (head.wav()) wav = find_wav_data(path, head.form);
  std::unique_ptr<MendedFile> mended;
  if (wav && wav->open_end && wav->size < wav->there) {
    mended = std::make_unique<MendedFile>(path, *wav, head.form == "RIFX");
  }
  SndfileHandle file(mended ? sf_open_virtual(MendedFile::io(), SFM_READ, &info, mended.get())
                            : sf_open(path.c_str(), SFM_READ, &info));
  if (!file) {
    const int error = sf_error(nullptr);
    result.recognised = error != SF_ERR_UNRECOGNISED_FORMAT;
    result.refusal = sf_strerror(nullptr);
    while (!result.refusal.empty() && (result.refusal.back() == '.' || std::isspace(result.refusal.back()) != 0)) {
      result.refusal.pop_back();
    }
    return result;
  }
  require_plausible(path, info.channels, info.samplerate);
  require_whole(path, info.channels, head, wav);
  result.recognised = true;
  result.info.channels = info.channels;
  result.info.rate_hz = info.samplerate;
  if (info.frames >= 0 && info.frames != SF_COUNT_MAX) result.info.samples = info.frames;
  result.info.format = format_name(info.format);
  // The length of MPEG audio is counted in frames of at most 1152 samples, of which a damaged tag may be one.
  const bool mpeg = (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_MPEG;
  result.source =
      std::make_unique<SndfileSource>(path, std::move(mended), std::move(file), result.info, mpeg ? 2 * 1152 : 0);
  return result;
}

}  // namespace mss::audio::detail
