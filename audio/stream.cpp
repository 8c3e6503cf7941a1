#include "audio/stream.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/error.h"

namespace mss::audio {

namespace {

void require_channels(int expected, int found) {
  if (expected == found) return;
  throw Error({.code = Code::invalid_argument,
               .where = "audio stream",
               .what = "block with another number of channels",
               .expected = fmt::format("{}", expected),
               .found = fmt::format("{}", found),
               .hint = {}});
}

void require_convertible(int from, int to) {
  if (from >= 1 && to >= 1 && (from == to || from == 1 || to == 1)) return;
  throw Error({.code = Code::unsupported,
               .where = "channel conversion",
               .what = fmt::format("no rule for {} to {} channels", from, to),
               .expected = "mono to any number, any number to mono, or equal numbers",
               .found = {},
               .hint = {}});
}

void convert_into(AudioView in, AudioSpan out) {
  const auto samples = static_cast<std::size_t>(in.samples());
  if (in.channels() == out.channels()) {
    for (int c = 0; c < in.channels(); ++c) std::ranges::copy(in.channel(c), out.channel(c).begin());
  } else if (in.channels() == 1) {
    for (int c = 0; c < out.channels(); ++c) std::ranges::copy(in.channel(0), out.channel(c).begin());
  } else {
    const auto mean = out.channel(0);
    const double channels = in.channels();
    for (std::size_t i = 0; i < samples; ++i) {
      double sum = 0.0;
      for (int c = 0; c < in.channels(); ++c) sum += in.channel(c)[i];
      mean[i] = static_cast<float>(sum / channels);
    }
  }
}

class ChannelConverter final : public Source {
 public:
  ChannelConverter(Source& source, int channels) : source_(source), channels_(channels) {
    require_convertible(source.channels(), channels);
  }
  int channels() const override { return channels_; }
  int rate_hz() const override { return source_.rate_hz(); }
  std::optional<std::int64_t> length() const override { return source_.length(); }
  std::int64_t read(AudioSpan out) override {
    require_channels(channels_, out.channels());
    if (source_.channels() == channels_) return source_.read(out);
    if (block_.samples() < out.samples()) block_ = AudioBuffer(source_.channels(), out.samples(), source_.rate_hz());
    const std::int64_t n = source_.read(block_.span().slice(0, out.samples()));
    convert_into(block_.view().slice(0, n), out.slice(0, n));
    return n;
  }

 private:
  Source& source_;
  int channels_;
  AudioBuffer block_;
};

}  // namespace

std::int64_t ViewSource::read(AudioSpan out) {
  require_channels(audio_.channels(), out.channels());
  const std::int64_t n = std::min(out.samples(), audio_.samples() - position_);
  const AudioView part = audio_.slice(position_, n);
  for (int c = 0; c < out.channels(); ++c) std::ranges::copy(part.channel(c), out.channel(c).begin());
  position_ += n;
  return n;
}

AudioBuffer read_all(Source& source) {
  constexpr std::int64_t kBlock = 1 << 16;
  // A header may promise any length: memory beyond six minutes is taken as the samples come.
  constexpr std::int64_t kTrusted = 1 << 24;
  const std::int64_t announced = std::clamp<std::int64_t>(source.length().value_or(kBlock), 0, kTrusted);
  AudioBuffer all(source.channels(), announced, source.rate_hz());
  AudioBuffer beyond(source.channels(), kBlock, source.rate_hz());
  std::int64_t have = 0;
  for (;;) {
    if (have < all.samples()) {
      const std::int64_t n = source.read(all.span().slice(have, std::min(kBlock, all.samples() - have)));
      if (n == 0) break;
      have += n;
      continue;
    }
    // The announced length may be approximate: look whether there is more before growing.
    const std::int64_t n = source.read(beyond.span());
    if (n == 0) break;
    all.resize(std::max(have + kBlock, have + have / 2));
    for (int c = 0; c < all.channels(); ++c) {
      std::ranges::copy(beyond.channel(c).first(static_cast<std::size_t>(n)), all.channel(c).begin() + have);
    }
    have += n;
  }
  all.resize(have);
  return all;
}

std::unique_ptr<Source> convert_channels(Source& source, int channels) {
  return std::make_unique<ChannelConverter>(source, channels);
}

AudioBuffer convert_channels(AudioView audio, int channels) {
  require_convertible(audio.channels(), channels);
  AudioBuffer out(channels, audio.samples(), audio.rate_hz());
  convert_into(audio, out.span());
  return out;
}

}  // namespace mss::audio
