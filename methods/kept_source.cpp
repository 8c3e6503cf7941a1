#include "methods/kept_source.h"

#include <algorithm>

namespace mss::methods {
KeptTrack::KeptTrack(audio::Source& source, std::int64_t memory_bytes, const core::StopToken& stop,
                     const std::function<void(audio::AudioView)>& seen)
    : channels_(source.channels()), rate_hz_(source.rate_hz()), spill_(memory_bytes) {
  audio::AudioBuffer buffer(channels_, kBlockSamples, rate_hz_);
  for (bool more = true; more;) {
    stop.check();
    std::int64_t have = 0;
    while (have < kBlockSamples) {
      const std::int64_t got = source.read(buffer.span().slice(have, kBlockSamples - have));
      if (got == 0) break;
      have += got;
    }
    more = have == kBlockSamples;
    if (have == 0) break;
    blocks_.push_back(spill_.add(channels_ * kBlockSamples));
    for (int c = 0; c < channels_; ++c) spill_.write(blocks_.back(), c * kBlockSamples, have, buffer.channel(c).data());
    samples_ += have;
    if (seen) seen(buffer.view().slice(0, have));
  }
}

void KeptTrack::read(std::int64_t begin, audio::AudioSpan out) const {
  for (std::int64_t done = 0; done < out.samples();) {
    const std::int64_t at = begin + done, within = at % kBlockSamples;
    const std::int64_t count = std::min(kBlockSamples - within, out.samples() - done);
    for (int c = 0; c < channels_; ++c) {
      spill_.read(blocks_[static_cast<std::size_t>(at / kBlockSamples)], c * kBlockSamples + within, count,
                  out.channel(c).data() + done);
    }
    done += count;
  }
}

std::int64_t KeptSource::read(audio::AudioSpan out) {
  const std::int64_t count = std::min(out.samples(), track_.samples() - position_);
  if (count > 0) track_.read(position_, out.slice(0, count));
  position_ += count;
  return count;
}

}  // namespace mss::methods
