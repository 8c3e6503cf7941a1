#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "audio/encoders.h"
#include "audio/libav.h"
#include "core/error.h"

#if MSSBENCH_HAVE_LIBAV

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
}

namespace mss::audio::detail {

namespace fs = std::filesystem;

namespace {

const AVCodec* encoder_for(const std::string& extension) {
  if (extension == ".mp3") return avcodec_find_encoder(AV_CODEC_ID_MP3);
  if (extension == ".m4a") return avcodec_find_encoder(AV_CODEC_ID_AAC);
  return nullptr;
}

// FFmpeg 7.1 asks for these lists through a function that earlier ones lack.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
std::vector<int> rates_of(const AVCodec& codec) {
  std::vector<int> out;
  for (const int* rate = codec.supported_samplerates; rate != nullptr && *rate != 0; ++rate) out.push_back(*rate);
  std::ranges::sort(out);
  return out;
}
bool takes_planar_floats(const AVCodec& codec) {
  for (const AVSampleFormat* format = codec.sample_fmts; format != nullptr && *format != AV_SAMPLE_FMT_NONE; ++format) {
    if (*format == AV_SAMPLE_FMT_FLTP) return true;
  }
  return false;
}
#pragma GCC diagnostic pop

struct FormatDeleter {
  void operator()(AVFormatContext* c) const {
    c->pb = nullptr;  // ours
    avformat_free_context(c);
  }
};
struct BytesDeleter {
  void operator()(AVIOContext* c) const {
    av_freep(static_cast<void*>(&c->buffer));
    avio_context_free(&c);
  }
};

#if LIBAVFORMAT_VERSION_MAJOR >= 61
using WrittenBytes = const std::uint8_t;
#else
using WrittenBytes = std::uint8_t;
#endif

int write_bytes(void* user, WrittenBytes* data, int bytes) {
  const auto& sink = *static_cast<ByteSink*>(user);
  return sink.write(data, bytes) == bytes ? bytes : AVERROR(EIO);
}

std::int64_t seek_bytes(void* user, std::int64_t offset, int whence) {
  const auto& sink = *static_cast<ByteSink*>(user);
  whence &= ~AVSEEK_FORCE;
  if (whence == AVSEEK_SIZE) return sink.size();
  const std::int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? sink.position() : sink.size();
  sink.seek(base + offset);
  return base + offset;
}

class LibavEncoder final : public LossyEncoder {
 public:
  LibavEncoder(fs::path path, const std::string& extension, int channels, int rate_hz, int kbps, ByteSink sink)
      : path_(std::move(path)), sink_(std::move(sink)), channels_(channels) {
    require_lossy_encoder(path_, extension, channels, rate_hz);
    const AVCodec* codec = encoder_for(extension);
    context_.reset(avcodec_alloc_context3(codec));
    AVFormatContext* format = nullptr;
    if (context_) avformat_alloc_output_context2(&format, nullptr, extension == ".mp3" ? "mp3" : "ipod", nullptr);
    format_.reset(format);
    frame_.reset(av_frame_alloc());
    packet_.reset(av_packet_alloc());
    constexpr int kBuffer = 1 << 15;
    auto* buffer = static_cast<unsigned char*>(av_malloc(kBuffer));
    if (buffer != nullptr) {
      bytes_.reset(avio_alloc_context(buffer, kBuffer, 1, &sink_, nullptr, write_bytes, seek_bytes));
      if (!bytes_) av_free(buffer);
    }
    if (!context_ || !format_ || !frame_ || !packet_ || !bytes_)
      throw Error(Code::resource, path_.string(), "out of memory");
    context_->sample_fmt = AV_SAMPLE_FMT_FLTP;
    context_->sample_rate = rate_hz;
    context_->bit_rate = std::int64_t{1000} * kbps;
    context_->time_base = {1, rate_hz};
    context_->thread_count = 1;
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(59, 37, 100)
    av_channel_layout_default(&context_->ch_layout, channels);
#else
    context_->channels = channels;
    context_->channel_layout = static_cast<std::uint64_t>(av_get_default_channel_layout(channels));
#endif
    // Equal stems give equal files. In MP3 the name of the encoder has to stand all the same: players trust a file's word
    // about its encoder delay only then.
    if (extension != ".mp3") {
      context_->flags |= AV_CODEC_FLAG_BITEXACT;
      format_->flags |= AVFMT_FLAG_BITEXACT;
    }
    if ((format_->oformat->flags & AVFMT_GLOBALHEADER) != 0) context_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    if (const int error = avcodec_open2(context_.get(), codec, nullptr); error < 0) {
      throw Error({.code = Code::unsupported,
                   .where = path_.string(),
                   .what = fmt::format("the {} encoder does not start: {}", codec->name, reason(error)),
                   .expected = {},
                   .found = fmt::format("{} channels at {} Hz, {} kbit/s", channels, rate_hz, kbps),
                   .hint = "choose another --bitrate, or write wav or flac"});
    }
    AVStream* stream = avformat_new_stream(format_.get(), nullptr);
    if (stream == nullptr) throw Error(Code::resource, path_.string(), "out of memory");
    stream->time_base = context_->time_base;
    avcodec_parameters_from_context(stream->codecpar, context_.get());
    format_->pb = bytes_.get();
    check(avformat_write_header(format_.get(), nullptr));
    frame_samples_ = context_->frame_size > 0 ? context_->frame_size : 1024;
    pending_ = AudioBuffer(channels, frame_samples_, rate_hz);
  }

  void write(AudioView block) override {
    for (std::int64_t at = 0; at < block.samples();) {
      const std::int64_t n = std::min(block.samples() - at, frame_samples_ - filled_);
      for (int c = 0; c < channels_; ++c) {
        const auto from = block.channel(c).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(n));
        std::ranges::copy(from, pending_.channel(c).begin() + filled_);
      }
      filled_ += n;
      at += n;
      if (filled_ == frame_samples_) encode();
    }
  }

  void finish() override {
    if (filled_ > 0) encode();
    send(nullptr);
    check(av_write_trailer(format_.get()));
    avio_flush(bytes_.get());
    check(bytes_->error);
  }

 private:
  /// What is pending as one frame; the last one may be shorter.
  void encode() {
    av_frame_unref(frame_.get());
    frame_->nb_samples = static_cast<int>(filled_);
    frame_->format = context_->sample_fmt;
    frame_->sample_rate = context_->sample_rate;
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(59, 37, 100)
    check(av_channel_layout_copy(&frame_->ch_layout, &context_->ch_layout));
#else
    frame_->channels = context_->channels;
    frame_->channel_layout = context_->channel_layout;
#endif
    frame_->pts = samples_;
    check(av_frame_get_buffer(frame_.get(), 0));
    for (int c = 0; c < channels_; ++c) {
      std::memcpy(frame_->extended_data[c], pending_.channel(c).data(),
                  sizeof(float) * static_cast<std::size_t>(filled_));
    }
    samples_ += filled_;
    filled_ = 0;
    send(frame_.get());
  }

  void send(const AVFrame* frame) {
    check(avcodec_send_frame(context_.get(), frame));
    for (;;) {
      const int error = avcodec_receive_packet(context_.get(), packet_.get());
      if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return;
      check(error);
      packet_->stream_index = 0;
      av_packet_rescale_ts(packet_.get(), context_->time_base, format_->streams[0]->time_base);
      check(av_interleaved_write_frame(format_.get(), packet_.get()));  // takes the packet over
    }
  }

  void check(int error) const {
    if (error < 0) throw Error(Code::io, path_.string(), fmt::format("cannot write: {}", reason(error)));
  }

  fs::path path_;
  ByteSink sink_;
  int channels_;
  std::unique_ptr<AVIOContext, BytesDeleter> bytes_;
  std::unique_ptr<AVFormatContext, FormatDeleter> format_;  // before the bytes that it writes to
  CodecHandle context_;
  FrameHandle frame_;
  PacketHandle packet_;
  std::int64_t frame_samples_ = 1024, filled_ = 0, samples_ = 0;
  AudioBuffer pending_;
};

}  // namespace

bool has_lossy_encoder(const std::string& extension) {
  const AVCodec* codec = encoder_for(extension);
  return codec != nullptr && takes_planar_floats(*codec);
}

void require_lossy_encoder(const fs::path& path, const std::string& extension, int channels, int rate_hz) {
  const std::string name = extension.substr(1);
  if (!has_lossy_encoder(extension)) {
    throw Error({.code = Code::unsupported,
                 .where = path.string(),
                 .what = "the libavcodec of this machine has no encoder for " + name,
                 .expected = {},
                 .found = {},
                 .hint = "write wav or flac"});
  }
  const std::vector<int> rates = rates_of(*encoder_for(extension));
  if (!rates.empty() && !std::ranges::binary_search(rates, rate_hz)) {
    std::string known;
    for (const int rate : rates) known += (known.empty() ? "" : ", ") + std::to_string(rate);
    throw Error({.code = Code::unsupported,
                 .where = path.string(),
                 .what = name + " cannot hold this sample rate",
                 .expected = "one of " + known + " Hz",
                 .found = fmt::format("{} Hz", rate_hz),
                 .hint = "write wav or flac"});
  }
  const int most = extension == ".mp3" ? 2 : 8;
  if (channels > most || channels == 7) {
    throw Error({.code = Code::unsupported,
                 .where = path.string(),
                 .what = name + " cannot hold so many channels",
                 .expected = fmt::format("1 to {}{}", most, most == 8 ? ", but not 7" : ""),
                 .found = std::to_string(channels),
                 .hint = "write wav or flac"});
  }
}

std::unique_ptr<LossyEncoder> make_lossy_encoder(const fs::path& path, const std::string& extension, int channels,
                                                 int rate_hz, int kbps, ByteSink sink) {
  return std::make_unique<LibavEncoder>(path, extension, channels, rate_hz, kbps, std::move(sink));
}

}  // namespace mss::audio::detail

#else  // without libavformat and libavcodec

namespace mss::audio::detail {

bool has_lossy_encoder(const std::string&) { return false; }

void require_lossy_encoder(const std::filesystem::path& path, const std::string& extension, int, int) {
  throw Error({.code = Code::unsupported,
               .where = path.string(),
               .what = "this build cannot write " + extension.substr(1) + ": it lacks libavformat and libavcodec",
               .expected = {},
               .found = {},
               .hint = "write wav or flac, or build with MSSBENCH_LIBAV=ON"});
}

std::unique_ptr<LossyEncoder> make_lossy_encoder(const std::filesystem::path& path, const std::string& extension,
                                                 int channels, int rate_hz, int, ByteSink) {
  require_lossy_encoder(path, extension, channels, rate_hz);
  return nullptr;
}

}  // namespace mss::audio::detail

#endif
