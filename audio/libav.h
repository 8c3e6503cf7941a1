// Handles of what libav allocates, for the decoder and the encoder.
#pragma once

#include <memory>
#include <string>

struct AVCodecContext;
struct AVFrame;
struct AVPacket;

namespace mss::audio::detail {

struct LibavDeleter {
  void operator()(AVCodecContext* c) const;
  void operator()(AVFrame* f) const;
  void operator()(AVPacket* p) const;
};
using CodecHandle = std::unique_ptr<AVCodecContext, LibavDeleter>;
using FrameHandle = std::unique_ptr<AVFrame, LibavDeleter>;
using PacketHandle = std::unique_ptr<AVPacket, LibavDeleter>;

/// libav's words for one of its error codes.
std::string reason(int error);

}  // namespace mss::audio::detail
