#include <fmt/format.h>
#include <sndfile.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <fstream>
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

std::optional<Promise> wav_promise(const fs::path& path, const std::string& form) {
  ChunkReader in(path, form == "RIFX");
  constexpr std::uint64_t kUnknown = 0xFFFFFFFF;
  std::uint64_t block_align = 0, data_size_64 = 0;
  bool linear = false;
  std::uint64_t at = 12;
  for (int chunk = 0; chunk < kMostChunks && at + 8 <= in.size(); ++chunk) {
    const std::string id = in.bytes(at, 4);
    std::uint64_t size = in.number(at + 4, 4);
    const std::uint64_t body = at + 8;
    if (id == "ds64") {
      data_size_64 = in.number(body + 8, 8);
    } else if (id == "fmt ") {
      const std::uint64_t tag = in.number(body, 2);
      // One block is one sample of every channel: PCM, float, A-law, mu-law, extensible.
      linear = tag == 1 || tag == 3 || tag == 6 || tag == 7 || tag == 0xFFFE;
      block_align = in.number(body + 12, 2);
    } else if (id == "data") {
      if (size == kUnknown) {
        if (form != "RF64" || data_size_64 == 0) return std::nullopt;  // a stream of unknown length: up to the end
        size = data_size_64;
      }
      if (!linear || block_align == 0) return std::nullopt;
      return Promise{static_cast<std::int64_t>(size / block_align),
                     static_cast<std::int64_t>(std::min(size, in.size() - body) / block_align)};
    }
    at = body + size + size % 2;
  }
  return std::nullopt;
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

void require_whole(const fs::path& path, int channels) {
  const std::string head = first_bytes(path, 12);
  if (head.size() < 12) return;
  const std::string form = head.substr(0, 4), type = head.substr(8, 4);
  std::optional<Promise> promise;
  if ((form == "RIFF" || form == "RIFX" || form == "RF64") && type == "WAVE") promise = wav_promise(path, form);
  if (form == "FORM" && (type == "AIFF" || type == "AIFC")) promise = aiff_promise(path, channels, type);
  if (promise && promise->found < promise->expected) fail_truncated(path, promise->expected, promise->found);
}

// --- reading ---------------------------------------------------------------------------------------------------------

class SndfileSource final : public Source {
 public:
  SndfileSource(fs::path path, SndfileHandle file, const FileInfo& info, std::int64_t slack)
      : path_(std::move(path)), file_(std::move(file)), info_(info), slack_(slack) {
    block_.resize(static_cast<std::size_t>(kBlock) * static_cast<std::size_t>(info.channels));
  }
  int channels() const override { return info_.channels; }
  int rate_hz() const override { return info_.rate_hz; }
  std::optional<std::int64_t> length() const override { return slack_ == 0 ? info_.samples : std::nullopt; }

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
  SndfileHandle file(sf_open(path.c_str(), SFM_READ, &info));
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
  require_whole(path, info.channels);
  result.recognised = true;
  result.info.channels = info.channels;
  result.info.rate_hz = info.samplerate;
  if (info.frames >= 0 && info.frames != SF_COUNT_MAX) result.info.samples = info.frames;
  result.info.format = format_name(info.format);
  // The length of MPEG audio is counted in frames of at most 1152 samples, of which a damaged tag may be one.
  const bool mpeg = (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_MPEG;
  result.source = std::make_unique<SndfileSource>(path, std::move(file), result.info, mpeg ? 2 * 1152 : 0);
  return result;
}

}  // namespace mss::audio::detail
