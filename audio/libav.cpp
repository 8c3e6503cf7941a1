#include "audio/libav.h"

#if MSSBENCH_HAVE_LIBAV

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/error.h>
}

namespace mss::audio::detail {

void LibavDeleter::operator()(AVCodecContext* c) const { avcodec_free_context(&c); }
void LibavDeleter::operator()(AVFrame* f) const { av_frame_free(&f); }
void LibavDeleter::operator()(AVPacket* p) const { av_packet_free(&p); }

std::string reason(int error) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(error, text, sizeof text);
  return text;
}

}  // namespace mss::audio::detail

#endif
