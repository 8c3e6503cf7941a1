#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>

#include "audio/decoders.h"
#include "audio/libav.h"
#include "core/error.h"
#include "core/stop.h"

#if MSSBENCH_HAVE_LIBAV

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
}

namespace mss::audio::detail {

namespace fs = std::filesystem;

namespace {

// FFmpeg 5.1 replaced the plain channel count by a layout.
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(59, 37, 100)
int channel_count(const AVCodecParameters& p) { return p.ch_layout.nb_channels; }
int channel_count(const AVFrame& f) { return f.ch_layout.nb_channels; }
#else
int channel_count(const AVCodecParameters& p) { return p.channels; }
int channel_count(const AVFrame& f) { return f.channels; }
#endif

/// The most that libav may allocate at once. By default that is 2 GB, which a header of a few bytes can claim (and libav
/// clears it all); an hour of a five-stem mp4 has index tables of 40 MB.
constexpr std::size_t kMostBytesAtOnce = std::size_t{256} << 20;

/// libav writes its complaints to stderr unless told otherwise; libraries of this project never print.
void prepare_libav() {
  static std::once_flag once;
  std::call_once(once, [] {
    av_log_set_callback([](void*, int, const char*, va_list) {});
    av_max_alloc(kMostBytesAtOnce);
  });
}

/// The containers of docs/audio.md, by libavformat's names. All others, and above all playlists, are refused: they
/// would read other files, or wait for ever for more of themselves.
constexpr std::array kContainers = {"mov",  "mp4", "matroska", "webm", "aac", "asf", "ogg", "flac", "wav",  "w64",
                                    "aiff", "mp3", "au",       "caf",  "wv",  "ape", "tta", "ac3",  "eac3", "avi"};

bool documented(const AVInputFormat& format) {
  const std::string names = fmt::format(",{},", format.name);
  return std::ranges::any_of(
      kContainers, [&](const char* name) { return names.find(fmt::format(",{},", name)) != std::string::npos; });
}

/// The bytes of one file for libavformat, which so never opens a file by itself. Reads end on a stop request of the
/// reading thread, and, while the container is being opened, after a time limit.
class FileBytes {
 public:
  explicit FileBytes(const fs::path& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    struct stat status {};
    const bool good = fd_ >= 0 && ::fstat(fd_, &status) == 0;
    const int error = errno;
    if (good && S_ISREG(status.st_mode)) size_ = status.st_size;
    constexpr int kBuffer = 1 << 15;
    auto* buffer = static_cast<unsigned char*>(av_malloc(kBuffer));
    if (buffer != nullptr) {
      context_ = avio_alloc_context(buffer, kBuffer, 0, this, &FileBytes::read, nullptr, &FileBytes::seek);
      if (context_ == nullptr) av_free(buffer);
    }
    if (!good || !S_ISREG(status.st_mode) || context_ == nullptr) {
      release();
      if (!good) throw Error(Code::io, path.string(), fmt::format("cannot read: {}", std::strerror(error)));
      if (!S_ISREG(status.st_mode)) throw Error(Code::io, path.string(), "cannot read: not a regular file");
      throw Error(Code::resource, path.string(), "out of memory");
    }
  }
  ~FileBytes() { release(); }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  AVIOContext* context() { return context_; }
  /// Has the opening taken too long?
  bool late() const { return opening_ && std::chrono::steady_clock::now() > deadline_; }
  bool must_end() const { return core::current_stop().stop_requested() || late(); }
  void opened() { opening_ = false; }

 private:
  static int read(void* user, std::uint8_t* out, int bytes) {
    auto& file = *static_cast<FileBytes*>(user);
    if (file.must_end()) return AVERROR_EXIT;
    for (;;) {
      const ssize_t n = ::pread(file.fd_, out, static_cast<std::size_t>(bytes), static_cast<off_t>(file.position_));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return AVERROR(errno);
      file.position_ += n;
      return n == 0 ? AVERROR_EOF : static_cast<int>(n);
    }
  }
  static std::int64_t seek(void* user, std::int64_t offset, int whence) {
    auto& file = *static_cast<FileBytes*>(user);
    whence &= ~AVSEEK_FORCE;
    if (whence == AVSEEK_SIZE) return file.size_;
    const std::int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file.position_ : file.size_;
    if (offset < -base || offset > std::numeric_limits<std::int64_t>::max() - base) return AVERROR(EINVAL);
    return file.position_ = base + offset;
  }
  void release() {
    if (context_ != nullptr) av_freep(static_cast<void*>(&context_->buffer));
    avio_context_free(&context_);
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  int fd_;
  std::int64_t size_ = 0, position_ = 0;
  AVIOContext* context_ = nullptr;
  bool opening_ = true;
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::now() + std::chrono::seconds(30);
};

struct FormatDeleter {
  void operator()(AVFormatContext* c) const { avformat_close_input(&c); }
};

[[noreturn]] void out_of_memory(const fs::path& path) {
  throw Error({Code::resource, path.string(), "out of memory, or a part of the container claims too much of it",
               fmt::format("at most {} MB for a part", kMostBytesAtOnce >> 20), "", ""});
}

/// musdb reads FFmpeg's 16-bit output, so that is what a lossy decoder's floats become. NaN stays.
float as_16_bit(float x) {
  const float v = std::nearbyint(x * 32768.0F);
  return (v < -32768.0F ? -32768.0F : (v > 32767.0F ? 32767.0F : v)) / 32768.0F;
}

template <class S>
void append_samples(std::vector<float>& to, const S* from, std::int64_t count, std::int64_t step, double scale,
                    double zero) {
  for (std::int64_t i = 0; i < count; ++i) {
    to.push_back(static_cast<float>((static_cast<double>(from[i * step]) - zero) * scale));
  }
}

/// One audio stream: its decoder and what the container says about it.
class StreamDecoder {
 public:
  StreamDecoder(const fs::path& path, const AVFormatContext& container, const AVStream& stream)
      : path_(path), index_(stream.index), mp4_(std::strstr(container.iformat->name, "mp4") != nullptr) {
    const AVCodecParameters& p = *stream.codecpar;
    const AVCodec* codec = avcodec_find_decoder(p.codec_id);
    if (codec == nullptr) {
      throw Error(Code::unsupported, path.string(),
                  fmt::format("libavcodec has no decoder for {}", avcodec_get_name(p.codec_id)));
    }
    context_.reset(avcodec_alloc_context3(codec));
    if (!context_) out_of_memory(path);
    int error = avcodec_parameters_to_context(context_.get(), &p);
    context_->pkt_timebase = stream.time_base;  // edit lists become skipped samples through it
    context_->thread_count = 1;
    if (error >= 0) error = avcodec_open2(context_.get(), codec, nullptr);
    if (error < 0) {
      throw Error(Code::unsupported, path.string(),
                  fmt::format("the decoder for {} does not start: {}", avcodec_get_name(p.codec_id), reason(error)));
    }
    const AVCodecDescriptor* kind = avcodec_descriptor_get(p.codec_id);
    lossy_ = kind != nullptr && (kind->props & AV_CODEC_PROP_LOSSY) != 0 && (kind->props & AV_CODEC_PROP_LOSSLESS) == 0;
    channels_ = channel_count(p);
    rate_hz_ = p.sample_rate;
    frame_samples_ = p.frame_size > 0 ? p.frame_size : 1024;
    promised_ = promised_samples(container, stream);
    require_plausible(path, channels_, rate_hz_);
    frame_.reset(av_frame_alloc());
    if (!frame_) out_of_memory(path);
    planes_.resize(static_cast<std::size_t>(channels_));
  }

  /// Length in samples, where the container holds it for this stream rather than an estimate from the bit rate.
  static std::optional<std::int64_t> promised_samples(const AVFormatContext& container, const AVStream& stream) {
    if (stream.duration == AV_NOPTS_VALUE || stream.duration <= 0 || stream.codecpar->sample_rate < 1 ||
        container.duration_estimation_method == AVFMT_DURATION_FROM_BITRATE) {
      return std::nullopt;
    }
    return av_rescale_q(stream.duration, stream.time_base, AVRational{1, stream.codecpar->sample_rate});
  }

  int index() const { return index_; }
  std::optional<std::int64_t> promised() const { return promised_; }
  int channels() const { return channels_; }
  int rate_hz() const { return rate_hz_; }
  std::int64_t available() const { return static_cast<std::int64_t>(planes_[0].size() - read_); }

  /// Decodes a packet; nullptr at the end of the file brings out what the decoder still holds.
  void decode(const AVPacket* packet) {
    // A packet cut off by the end of the file.
    if (packet != nullptr && mp4_ && (packet->flags & AV_PKT_FLAG_CORRUPT) != 0) fail_damaged("a packet is cut off");
    int error = avcodec_send_packet(context_.get(), packet);
    if (error < 0 && error != AVERROR_EOF) fail_damaged(reason(error));
    for (;;) {
      error = avcodec_receive_frame(context_.get(), frame_.get());
      if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) break;
      if (error < 0) fail_damaged(reason(error));
      append(*frame_);
      av_frame_unref(frame_.get());
    }
    if (packet == nullptr && mp4_ && promised_ && decoded_ + 2 * frame_samples_ < *promised_) {
      fail_truncated(path_, *promised_, decoded_);
    }
  }

  /// Moves up to out.samples() decoded samples to `out`.
  std::int64_t take(AudioSpan out) {
    const std::int64_t n = std::min(out.samples(), available());
    for (int c = 0; c < channels_; ++c) {
      std::copy_n(planes_[static_cast<std::size_t>(c)].data() + read_, n, out.channel(c).data());
    }
    read_ += static_cast<std::size_t>(n);
    if (available() == 0) {
      for (auto& plane : planes_) plane.clear();
      read_ = 0;
    }
    return n;
  }

  /// Everything decoded so far; leaves nothing behind.
  AudioBuffer take_all() {
    AudioBuffer out(channels_, available(), rate_hz_);
    for (int c = 0; c < channels_; ++c) {
      auto& plane = planes_[static_cast<std::size_t>(c)];
      std::copy_n(plane.data() + read_, out.samples(), out.channel(c).data());
      std::vector<float>().swap(plane);
    }
    read_ = 0;
    return out;
  }

  void reserve() {
    // Not more than six minutes on the container's word alone.
    const std::int64_t count = std::clamp<std::int64_t>(promised_.value_or(0), 0, 1 << 24) + 4 * frame_samples_;
    for (auto& plane : planes_) plane.reserve(static_cast<std::size_t>(count));
  }

 private:
  [[noreturn]] void fail_damaged(const std::string& why) const {
    throw Error({.code = Code::format,
                 .where = path_.string(),
                 .what = fmt::format("truncated or damaged audio in stream {}: {}", index_, why),
                 .expected = promised_ ? fmt::format("{} samples", *promised_) : std::string("whole packets"),
                 .found = fmt::format("{} samples before the damage", decoded_),
                 .hint = "copy or download the file again"});
  }

  void append(const AVFrame& frame) {
    if (channel_count(frame) != channels_ || frame.sample_rate != rate_hz_) {
      throw Error({.code = Code::unsupported,
                   .where = path_.string(),
                   .what = fmt::format("channels or sample rate change within stream {}", index_),
                   .expected = fmt::format("{} channels at {} Hz", channels_, rate_hz_),
                   .found = fmt::format("{} channels at {} Hz", channel_count(frame), frame.sample_rate),
                   .hint = {}});
    }
    const auto format = static_cast<AVSampleFormat>(frame.format);
    const bool planar = av_sample_fmt_is_planar(format) != 0;
    const std::int64_t step = planar ? 1 : channels_;
    for (int c = 0; c < channels_; ++c) {
      auto& to = planes_[static_cast<std::size_t>(c)];
      const std::uint8_t* plane = frame.extended_data[planar ? c : 0];
      const int first = planar ? 0 : c;
      const std::size_t before = to.size();
      switch (av_get_packed_sample_fmt(format)) {
        case AV_SAMPLE_FMT_U8:
          append_samples(to, plane + first, frame.nb_samples, step, 0x1p-7, 128.0);
          break;
        case AV_SAMPLE_FMT_S16:
          append_samples(to, reinterpret_cast<const std::int16_t*>(plane) + first, frame.nb_samples, step, 0x1p-15, 0);
          break;
        case AV_SAMPLE_FMT_S32:
          append_samples(to, reinterpret_cast<const std::int32_t*>(plane) + first, frame.nb_samples, step, 0x1p-31, 0);
          break;
        case AV_SAMPLE_FMT_S64:
          append_samples(to, reinterpret_cast<const std::int64_t*>(plane) + first, frame.nb_samples, step, 0x1p-63, 0);
          break;
        case AV_SAMPLE_FMT_FLT:
          append_samples(to, reinterpret_cast<const float*>(plane) + first, frame.nb_samples, step, 1.0, 0);
          break;
        case AV_SAMPLE_FMT_DBL:
          append_samples(to, reinterpret_cast<const double*>(plane) + first, frame.nb_samples, step, 1.0, 0);
          break;
        default:
          throw Error(Code::unsupported, path_.string(), "the decoder gives an unknown sample format");
      }
      if (lossy_)
        std::ranges::transform(to.begin() + static_cast<std::ptrdiff_t>(before), to.end(),
                               to.begin() + static_cast<std::ptrdiff_t>(before), as_16_bit);
    }
    decoded_ += frame.nb_samples;
  }

  fs::path path_;
  int index_;
  bool mp4_;
  CodecHandle context_;
  FrameHandle frame_;
  bool lossy_ = true;
  int channels_ = 0, rate_hz_ = 0;
  std::int64_t frame_samples_ = 1024, decoded_ = 0;
  std::optional<std::int64_t> promised_;
  std::vector<std::vector<float>> planes_;  ///< decoded and not yet taken, from read_ on
  std::size_t read_ = 0;
};

class Container {
 public:
  explicit Container(const fs::path& path) : path_(path) {
    prepare_libav();
    const bool mp4 = looks_like_mp4(first_bytes(path, 8));
    if (mp4) require_whole_mp4(path);
    bytes_ = std::make_unique<FileBytes>(path);
    // By content alone: a file's name decides nothing.
    const AVInputFormat* kind = nullptr;
    int error = av_probe_input_buffer2(bytes_->context(), &kind, nullptr, nullptr, 0, 0);
    fail_if_ended();
    if (kind != nullptr && !documented(*kind)) {
      throw Error(
          {.code = Code::format,
           .where = path.string(),
           .what = "not an audio file",
           .expected = "wav, flac, mp3, ogg, opus, aiff, mp4, m4a, aac, matroska, asf, …",
           .found = fmt::format("{} ({})", kind->long_name != nullptr ? kind->long_name : "another format", kind->name),
           .hint =
               std::string_view(kind->name) == "hls" ? "playlists are not followed; give the audio file itself" : ""});
    }
    AVFormatContext* raw = avformat_alloc_context();
    if (raw == nullptr) out_of_memory(path);
    raw->pb = bytes_->context();
    raw->interrupt_callback = {[](void* user) { return static_cast<FileBytes*>(user)->must_end() ? 1 : 0; },
                               bytes_.get()};
    // Nothing but this one file, whatever the container asks for.
    raw->io_open = [](AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) { return AVERROR(EACCES); };
    if (error >= 0) error = avformat_open_input(&raw, "", kind, nullptr);  // frees on failure
    if (error < 0 && raw != nullptr && kind == nullptr) avformat_free_context(std::exchange(raw, nullptr));
    context_.reset(raw);
    if (error == AVERROR(ENOMEM)) out_of_memory(path);
    if (error >= 0) error = avformat_find_stream_info(raw, nullptr);
    fail_if_ended();
    bytes_->opened();
    if (error < 0) {
      throw Error(Code::format, path.string(),
                  mp4 ? fmt::format("damaged mp4: {}", reason(error)) : std::string("not an audio file"));
    }
    for (unsigned i = 0; i < context_->nb_streams; ++i) {
      const AVCodecParameters& p = *context_->streams[i]->codecpar;
      // A demuxer that was chosen by the file's extension alone finds no parameters.
      if (p.codec_type == AVMEDIA_TYPE_AUDIO && channel_count(p) > 0 && p.sample_rate > 0) {
        streams_.push_back(static_cast<int>(i));
      }
    }
    if (streams_.empty()) {
      throw Error({.code = Code::format,
                   .where = path.string(),
                   .what = "not an audio file",
                   .expected = "an audio stream",
                   .found = fmt::format("a file of kind {} without one", context_->iformat->name),
                   .hint = {}});
    }
    packet_.reset(av_packet_alloc());
    if (!packet_) out_of_memory(path);
  }

  const fs::path& path() const { return path_; }
  AVFormatContext& context() { return *context_; }
  const std::vector<int>& audio_streams() const { return streams_; }
  const AVStream& stream(int i) const { return *context_->streams[streams_[static_cast<std::size_t>(i)]]; }

  /// The next packet of any stream that is not discarded, or nullptr at the end; valid until the next call.
  const AVPacket* next() {
    av_packet_unref(packet_.get());
    const int error = av_read_frame(context_.get(), packet_.get());
    core::check_stop();
    if (error == AVERROR_EOF) return nullptr;
    if (error < 0) {
      const bool system = error == AVERROR(EIO) || error == AVERROR(EACCES);
      throw Error(system ? Code::io : Code::format, path_.string(),
                  fmt::format("{}: {}", system ? "cannot read" : "damaged container", reason(error)));
    }
    return packet_.get();
  }

 private:
  /// The system ends an open for us in two cases, which are no damage of the file.
  void fail_if_ended() const {
    core::check_stop();
    if (bytes_->late()) {
      throw Error({.code = Code::format,
                   .where = path_.string(),
                   .what = "opening takes too long",
                   .expected = "at most 30 s",
                   .found = {},
                   .hint = "the file is damaged or made to keep readers busy"});
    }
  }

  fs::path path_;
  std::unique_ptr<FileBytes> bytes_;  // outlives the context that reads from it
  std::unique_ptr<AVFormatContext, FormatDeleter> context_;
  std::vector<int> streams_;
  PacketHandle packet_;
};

class LibavSource final : public Source {
 public:
  LibavSource(const fs::path& path, int stream) : container_(path) {
    const auto count = static_cast<int>(container_.audio_streams().size());
    if (stream < 0 || stream >= count) {
      throw Error({.code = Code::invalid_argument,
                   .where = path.string(),
                   .what = "no such audio stream",
                   .expected = fmt::format("0 to {}", count - 1),
                   .found = fmt::format("{}", stream),
                   .hint = {}});
    }
    decoder_ = std::make_unique<StreamDecoder>(path, container_.context(), container_.stream(stream));
    AVFormatContext& context = container_.context();
    for (unsigned i = 0; i < context.nb_streams; ++i) {
      if (static_cast<int>(i) != decoder_->index()) context.streams[i]->discard = AVDISCARD_ALL;
    }
  }
  int channels() const override { return decoder_->channels(); }
  int rate_hz() const override { return decoder_->rate_hz(); }
  /// The container's duration and what the decoder gives differ by up to a frame or two, so it is not known.
  std::optional<std::int64_t> length() const override { return std::nullopt; }
  std::optional<std::int64_t> expected_length() const override { return decoder_->promised(); }

  std::int64_t read(AudioSpan out) override {
    if (out.channels() != channels()) {
      throw Error({.code = Code::invalid_argument,
                   .where = container_.path().string(),
                   .what = "block with another number of channels",
                   .expected = fmt::format("{}", channels()),
                   .found = fmt::format("{}", out.channels()),
                   .hint = {}});
    }
    std::int64_t written = 0;
    while (written < out.samples()) {
      written += decoder_->take(out.slice(written, out.samples() - written));
      if (written == out.samples() || ended_) break;
      const AVPacket* packet = container_.next();
      if (packet == nullptr) ended_ = true;
      if (packet == nullptr || packet->stream_index == decoder_->index()) decoder_->decode(packet);
      if (ended_) written += decoder_->take(out.slice(written, out.samples() - written));
    }
    return written;
  }

 private:
  Container container_;
  std::unique_ptr<StreamDecoder> decoder_;
  bool ended_ = false;
};

}  // namespace

FileInfo probe_libav(const fs::path& path) {
  Container container(path);
  const AVStream& stream = container.stream(0);
  FileInfo info;
  info.channels = channel_count(*stream.codecpar);
  info.rate_hz = stream.codecpar->sample_rate;
  require_plausible(path, info.channels, info.rate_hz);
  info.samples = StreamDecoder::promised_samples(container.context(), stream);
  info.streams = static_cast<int>(container.audio_streams().size());
  const std::string names = container.context().iformat->name;
  const std::string kind = names.find("mp4") != std::string::npos ? "mp4" : names.substr(0, names.find(','));
  info.format = fmt::format("{}/{}", kind, avcodec_get_name(stream.codecpar->codec_id));
  return info;
}

std::unique_ptr<Source> open_libav(const fs::path& path, int stream) {
  return std::make_unique<LibavSource>(path, stream);
}

std::vector<AudioBuffer> read_streams_libav(const fs::path& path) {
  Container container(path);
  const auto count = static_cast<int>(container.audio_streams().size());
  AVFormatContext& context = container.context();
  for (unsigned i = 0; i < context.nb_streams; ++i) context.streams[i]->discard = AVDISCARD_ALL;
  std::vector<std::unique_ptr<StreamDecoder>> decoders;
  for (int i = 0; i < count; ++i) {
    decoders.push_back(std::make_unique<StreamDecoder>(path, context, container.stream(i)));
    decoders.back()->reserve();
    context.streams[decoders.back()->index()]->discard = AVDISCARD_DEFAULT;
  }
  while (const AVPacket* packet = container.next()) {
    for (auto& decoder : decoders) {
      if (decoder->index() == packet->stream_index) decoder->decode(packet);
    }
  }
  std::vector<AudioBuffer> streams;
  for (auto& decoder : decoders) {
    decoder->decode(nullptr);
    streams.push_back(decoder->take_all());
  }
  return streams;
}

}  // namespace mss::audio::detail

#else  // without libavformat and libavcodec

namespace mss::audio::detail {

namespace {

[[noreturn]] void refuse(const std::filesystem::path& path) {
  const std::string head = first_bytes(path, 8);
  const bool container = looks_like_mp4(head) || head.substr(0, 4) == "\x1A\x45\xDF\xA3" ||
                         head.substr(0, 4) == "\x30\x26\xB2\x75" || head.substr(0, 4) == "ADIF" ||
                         (head.size() > 1 && head[0] == '\xFF' && (head[1] & 0xF6) == 0xF0);
  if (!container) throw Error(Code::format, path.string(), "not an audio file");
  throw Error({.code = Code::unsupported,
               .where = path.string(),
               .what = "this build cannot decode mp4, m4a, stem.mp4, aac, matroska and asf: it lacks libavformat and "
                       "libavcodec",
               .expected = {},
               .found = {},
               .hint = "install the libav* development packages and build with MSSBENCH_LIBAV=ON"});
}

}  // namespace

FileInfo probe_libav(const std::filesystem::path& path) { refuse(path); }
std::unique_ptr<Source> open_libav(const std::filesystem::path& path, int) { refuse(path); }
std::vector<AudioBuffer> read_streams_libav(const std::filesystem::path& path) { refuse(path); }

}  // namespace mss::audio::detail

#endif
