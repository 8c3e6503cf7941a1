#include <fmt/format.h>
#include <sndfile.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "audio/encoders.h"
#include "audio/file.h"
#include "core/error.h"
#include "core/file.h"

namespace mss::audio {

namespace fs = std::filesystem;

namespace {

/// A file being filled. The first failure is kept and reported under the final name: libFLAC, which writes through
/// this, would not tell a full disk from other trouble.
class Output {
 public:
  Output(int descriptor, fs::path target) : target_(std::move(target)), fd_(descriptor) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  std::int64_t write(const void* data, std::int64_t bytes) noexcept {
    const auto* p = static_cast<const char*>(data);
    std::int64_t done = 0;
    while (done < bytes && error_ == 0) {
      const ssize_t n = ::pwrite(fd_, p + done, static_cast<std::size_t>(bytes - done), static_cast<off_t>(position_));
      if (n < 0) {
        if (errno != EINTR) error_ = errno;
        continue;
      }
      done += n;
      position_ += n;
      size_ = std::max(size_, position_);
    }
    return done;
  }
  std::int64_t read(void* data, std::int64_t bytes) noexcept {
    const ssize_t n = ::pread(fd_, data, static_cast<std::size_t>(bytes), static_cast<off_t>(position_));
    if (n > 0) position_ += n;
    return std::max<ssize_t>(n, 0);
  }
  void seek(std::int64_t position) noexcept { position_ = position; }
  std::int64_t position() const noexcept { return position_; }
  std::int64_t size() const noexcept { return size_; }
  void require_good() const {
    if (error_ != 0) throw Error(Code::io, target_.string(), fmt::format("cannot write: {}", std::strerror(error_)));
  }

 private:
  fs::path target_;
  int fd_;
  int error_ = 0;
  std::int64_t position_ = 0, size_ = 0;
};

SF_VIRTUAL_IO virtual_io() {
  SF_VIRTUAL_IO io{};
  io.get_filelen = [](void* user) -> sf_count_t { return static_cast<Output*>(user)->size(); };
  io.seek = [](sf_count_t offset, int whence, void* user) -> sf_count_t {
    auto& out = *static_cast<Output*>(user);
    const sf_count_t base = whence == SEEK_SET ? 0 : (whence == SEEK_CUR ? out.position() : out.size());
    out.seek(base + offset);
    return out.position();
  };
  io.read = [](void* data, sf_count_t bytes, void* user) -> sf_count_t {
    return static_cast<Output*>(user)->read(data, bytes);
  };
  io.write = [](const void* data, sf_count_t bytes, void* user) -> sf_count_t {
    return static_cast<Output*>(user)->write(data, bytes);
  };
  io.tell = [](void* user) -> sf_count_t { return static_cast<Output*>(user)->position(); };
  return io;
}

/// The lowest byte first.
inline void store(char* to, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to[i] = static_cast<char>(value >> (8 * i) & 0xFF);
}

void put(std::string& to, std::uint64_t value, int bytes) {
  to.resize(to.size() + static_cast<std::size_t>(bytes));
  store(to.data() + to.size() - bytes, value, bytes);
}

/// RIFF/WAVE header with a place for the 64-bit sizes that RF64 needs (EBU Tech 3306): a JUNK chunk that turns into
/// ds64 when the file has outgrown 4 GiB.
std::string wav_header(int channels, int rate_hz, SampleFormat format, std::int64_t samples) {
  const bool is_float = format == SampleFormat::float32;
  const int bytes = is_float ? 4 : (format == SampleFormat::pcm24 ? 3 : 2);
  const auto block = static_cast<std::uint64_t>(channels) * static_cast<std::uint64_t>(bytes);
  const std::uint64_t data = block * static_cast<std::uint64_t>(samples);
  const std::uint64_t header = 12 + 36 + (is_float ? 26 + 12 : 24) + 8;
  const std::uint64_t riff = header - 8 + data + data % 2;
  const bool large = riff > 0xFFFFFFFF;
  std::string h;
  h += large ? "RF64" : "RIFF";
  put(h, large ? 0xFFFFFFFF : riff, 4);
  h += "WAVE";
  h += large ? "ds64" : "JUNK";
  put(h, 28, 4);
  put(h, large ? riff : 0, 8);
  put(h, large ? data : 0, 8);
  put(h, large ? static_cast<std::uint64_t>(samples) : 0, 8);
  put(h, 0, 4);
  h += "fmt ";
  put(h, is_float ? 18 : 16, 4);
  put(h, is_float ? 3 : 1, 2);
  put(h, static_cast<std::uint64_t>(channels), 2);
  put(h, static_cast<std::uint64_t>(rate_hz), 4);
  put(h, static_cast<std::uint64_t>(rate_hz) * block, 4);
  put(h, block, 2);
  put(h, static_cast<std::uint64_t>(8 * bytes), 2);
  if (is_float) {
    put(h, 0, 2);
    h += "fact";
    put(h, 4, 4);
    put(h, std::min<std::uint64_t>(static_cast<std::uint64_t>(samples), 0xFFFFFFFF), 4);
  }
  h += "data";
  put(h, large ? 0xFFFFFFFF : data, 4);
  MSS_ASSERT(h.size() == header);
  return h;
}

/// A FLAC file without samples: the marker and STREAMINFO (RFC 9639, 8.2), which libsndfile writes with the first
/// sample only.
std::string empty_flac(int channels, int rate_hz, SampleFormat format) {
  constexpr unsigned kBlock = 4096;
  std::string h("fLaC\x80\0\0\x22", 8);
  for (int i = 0; i < 2; ++i) {
    h.push_back(static_cast<char>(kBlock >> 8));
    h.push_back(static_cast<char>(kBlock & 0xFF));
  }
  h.append(6, '\0');  // frame sizes unknown
  const std::uint64_t bits = format == SampleFormat::pcm24 ? 24 : 16;
  const std::uint64_t packed =
      static_cast<std::uint64_t>(rate_hz) << 44 | static_cast<std::uint64_t>(channels - 1) << 41 | (bits - 1) << 36;
  for (int i = 7; i >= 0; --i) h.push_back(static_cast<char>(packed >> (8 * i) & 0xFF));
  h.append(16, '\0');  // no checksum
  return h;
}

struct SndfileCloser {
  void operator()(SNDFILE* file) const { sf_close(file); }
};

}  // namespace

namespace {

enum class Container { wav, flac, lossy };

std::string extension_of(const fs::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return extension;
}

Container container_of(const fs::path& path) {
  const std::string extension = extension_of(path);
  if (extension == ".wav") return Container::wav;
  if (extension == ".flac") return Container::flac;
  if (extension == ".mp3" || extension == ".m4a") return Container::lossy;
  throw Error({.code = Code::unsupported,
               .where = path.string(),
               .what = "no writer for this extension",
               .expected = ".wav, .flac, .mp3 or .m4a",
               .found = extension.empty() ? std::string("none") : extension,
               .hint = {}});
}

}  // namespace

void require_writable(const fs::path& path, int channels, int rate_hz, const WriteOptions& options) {
  const Container container = container_of(path);
  if (channels < 1 || channels > 64 || rate_hz < 1 || rate_hz > 768000) {
    throw Error({.code = Code::invalid_argument,
                 .where = path.string(),
                 .what = "cannot write audio of this shape",
                 .expected = "1 to 64 channels at 1 to 768000 Hz",
                 .found = fmt::format("{} channels at {} Hz", channels, rate_hz),
                 .hint = {}});
  }
  if (container == Container::lossy) detail::require_lossy_encoder(path, extension_of(path), channels, rate_hz);
  if (container != Container::flac) return;
  if (options.format == SampleFormat::float32) {
    throw Error({.code = Code::unsupported,
                 .where = path.string(),
                 .what = "FLAC holds integers only",
                 .expected = "16 or 24 bit",
                 .found = "float32",
                 .hint = "choose 24 bit, or write .wav"});
  }
  if (channels > 8 || rate_hz > 655350) {
    throw Error({.code = Code::unsupported,
                 .where = path.string(),
                 .what = "FLAC cannot hold this audio",
                 .expected = "1 to 8 channels at up to 655350 Hz",
                 .found = fmt::format("{} channels at {} Hz", channels, rate_hz),
                 .hint = "write .wav"});
  }
}

bool can_write(const std::string& extension) {
  return extension == ".wav" || extension == ".flac" || detail::has_lossy_encoder(extension);
}

struct Writer::Impl {
  Impl(const fs::path& path, int channels_, int rate_hz_, WriteOptions options_)
      : target(path), channels(channels_), rate_hz(rate_hz_), options(options_), container(container_of(path)) {
    require_writable(path, channels, rate_hz, options);
    file = std::make_unique<core::AtomicFile>(path);
    out = std::make_unique<Output>(file->descriptor(), path);
    if (container == Container::wav) write_header();
    if (container == Container::lossy) {
      const std::string extension = extension_of(path);
      const int usual = extension == ".mp3" ? 320 : 256;
      lossy = detail::make_lossy_encoder(
          path, extension, channels, rate_hz, options.bitrate_kbps > 0 ? options.bitrate_kbps : usual,
          {.write = [to = out.get()](const void* data, std::int64_t count) { return to->write(data, count); },
           .seek = [to = out.get()](std::int64_t position) { to->seek(position); },
           .position = [to = out.get()] { return to->position(); },
           .size = [to = out.get()] { return to->size(); }});
      clamped = AudioBuffer(channels, kStep, rate_hz);
    }
  }

  void open_encoder() {
    SF_INFO info{};
    info.channels = channels;
    info.samplerate = rate_hz;
    info.format = SF_FORMAT_FLAC | (options.format == SampleFormat::pcm24 ? SF_FORMAT_PCM_24 : SF_FORMAT_PCM_16);
    SF_VIRTUAL_IO io = virtual_io();
    encoder.reset(sf_open_virtual(&io, SFM_WRITE, &info, out.get()));
    out->require_good();
    if (!encoder) {
      throw Error(Code::unsupported, target.string(), fmt::format("cannot write: {}", sf_strerror(nullptr)));
    }
  }

  void write_header() {
    const std::string header = wav_header(channels, rate_hz, options.format, samples);
    out->seek(0);
    out->write(header.data(), static_cast<std::int64_t>(header.size()));
    out->require_good();
  }

  /// Nearest integer of the format, ties to even; what does not fit (and NaN, which becomes 0) counts as clipped.
  std::int32_t quantised(float x, double full_scale) {
    const double v = std::nearbyint(static_cast<double>(x) * full_scale);
    if (v >= -full_scale && v <= full_scale - 1.0) return static_cast<std::int32_t>(v);
    ++clipped;
    return std::isnan(v) ? 0 : static_cast<std::int32_t>(v < 0 ? -full_scale : full_scale - 1.0);
  }

  void write(AudioView block) {
    if (block.channels() != channels || block.rate_hz() != rate_hz) {
      throw Error({.code = Code::invalid_argument,
                   .where = target.string(),
                   .what = "block of another shape",
                   .expected = fmt::format("{} channels at {} Hz", channels, rate_hz),
                   .found = fmt::format("{} channels at {} Hz", block.channels(), block.rate_hz()),
                   .hint = {}});
    }
    for (std::int64_t i = 0; i < block.samples(); i += kStep) {
      const AudioView part = block.slice(i, std::min(kStep, block.samples() - i));
      switch (container) {
        case Container::wav:
          write_wav(part);
          break;
        case Container::flac:
          write_flac(part);
          break;
        case Container::lossy:
          write_lossy(part);
          break;
      }
      out->require_good();
      samples += part.samples();
    }
  }

  /// Values of kBytes each, channels side by side.
  template <int kBytes, class Code>
  void interleave(AudioView part, Code code) {
    const auto count = static_cast<std::size_t>(part.samples()), stride = static_cast<std::size_t>(channels * kBytes);
    bytes.resize(count * stride);
    for (int c = 0; c < channels; ++c) {
      const auto from = part.channel(c);
      char* to = bytes.data() + c * kBytes;
      for (std::size_t i = 0; i < count; ++i, to += stride) store(to, code(from[i]), kBytes);
    }
  }

  void write_wav(AudioView part) {
    switch (options.format) {
      case SampleFormat::float32:
        interleave<4>(part, [](float x) { return std::bit_cast<std::uint32_t>(x); });
        break;
      case SampleFormat::pcm16:
        interleave<2>(part, [this](float x) { return static_cast<std::uint32_t>(quantised(x, 0x1p15)); });
        break;
      case SampleFormat::pcm24:
        interleave<3>(part, [this](float x) { return static_cast<std::uint32_t>(quantised(x, 0x1p23)); });
        break;
    }
    out->write(bytes.data(), static_cast<std::int64_t>(bytes.size()));
  }

  /// What lies beyond full scale (and NaN, which becomes 0) is clipped, as by the integer formats.
  void write_lossy(AudioView part) {
    const auto count = static_cast<std::size_t>(part.samples());
    for (int c = 0; c < channels; ++c) {
      for (std::size_t i = 0; i < count; ++i) {
        const float x = part.channel(c)[i];
        const bool fits = x >= -1.0F && x <= 1.0F;
        if (!fits) ++clipped;
        clamped.channel(c)[i] = fits ? x : std::isnan(x) ? 0.0F : std::clamp(x, -1.0F, 1.0F);
      }
    }
    encoding([&] { lossy->write(clamped.view().slice(0, part.samples())); });
  }

  /// A full disk is told as such: the encoder only knows that writing failed.
  template <class F>
  void encoding(F step) {
    try {
      step();
    } catch (const Error&) {
      out->require_good();
      throw;
    }
    out->require_good();
  }

  void write_flac(AudioView part) {
    const auto count = static_cast<std::size_t>(part.samples());
    const bool wide = options.format == SampleFormat::pcm24;
    if (!encoder) open_encoder();
    integers.clear();
    // libsndfile takes integers left-aligned in 32 bits.
    for (std::size_t i = 0; i < count; ++i) {
      for (int c = 0; c < channels; ++c) {
        const std::int32_t v = quantised(part.channel(c)[i], wide ? 0x1p23 : 0x1p15);
        integers.push_back(v * (wide ? 256 : 65536));
      }
    }
    const sf_count_t written = sf_writef_int(encoder.get(), integers.data(), part.samples());
    out->require_good();
    if (written != part.samples()) {
      throw Error(Code::io, target.string(), fmt::format("cannot write: {}", sf_strerror(encoder.get())));
    }
  }

  std::int64_t finish() {
    if (container == Container::lossy) {
      encoding([&] { lossy->finish(); });
    } else if (container == Container::flac && !encoder) {
      const std::string header = empty_flac(channels, rate_hz, options.format);
      out->write(header.data(), static_cast<std::int64_t>(header.size()));
    } else if (container == Container::flac) {
      const int error = sf_close(encoder.release());
      out->require_good();
      if (error != 0) throw Error(Code::io, target.string(), fmt::format("cannot write: {}", sf_error_number(error)));
    } else {
      if (out->size() % 2 != 0) out->write("", 1);  // chunks are padded to even sizes
      write_header();
    }
    out->require_good();
    file->commit();
    return clipped;
  }

  fs::path target;
  int channels, rate_hz;
  WriteOptions options;
  Container container;
  // Destroyed last to first: the encoder still writes when it closes, and the temporary file goes after all.
  std::unique_ptr<core::AtomicFile> file;
  std::unique_ptr<Output> out;
  std::unique_ptr<SNDFILE, SndfileCloser> encoder;
  std::unique_ptr<detail::LossyEncoder> lossy;
  std::int64_t samples = 0, clipped = 0;
  std::string bytes;
  std::vector<int> integers;
  AudioBuffer clamped;

  static constexpr std::int64_t kStep = 8192;
};

Writer::Writer(const fs::path& path, int channels, int rate_hz, WriteOptions options)
    : impl_(std::make_unique<Impl>(path, channels, rate_hz, options)) {}
Writer::~Writer() = default;
Writer::Writer(Writer&&) noexcept = default;
Writer& Writer::operator=(Writer&&) noexcept = default;

void Writer::write(AudioView block) {
  if (!impl_) throw Error(Code::invalid_argument, "audio writer", "write after finish");
  impl_->write(block);
}

std::int64_t Writer::finish() {
  if (!impl_) throw Error(Code::invalid_argument, "audio writer", "finish called twice");
  const auto impl = std::move(impl_);
  return impl->finish();
}

std::int64_t write_file(const fs::path& path, AudioView audio, WriteOptions options) {
  Writer writer(path, audio.channels(), audio.rate_hz(), options);
  writer.write(audio);
  return writer.finish();
}

}  // namespace mss::audio
