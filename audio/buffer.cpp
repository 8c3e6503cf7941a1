#include "audio/buffer.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "core/error.h"

namespace mss::audio {

namespace {

constexpr int kMaxChannels = 64;
constexpr int kMaxRateHz = 768000;

void check_slice(std::int64_t begin, std::int64_t count, std::int64_t samples) {
  if (begin >= 0 && count >= 0 && begin <= samples && count <= samples - begin) return;
  throw Error({.code = Code::invalid_argument,
               .where = "audio slice",
               .what = "outside the audio",
               .expected = fmt::format("a part of [0, {})", samples),
               .found = fmt::format("{} samples from {}", count, begin),
               .hint = {}});
}

}  // namespace

AudioView AudioView::slice(std::int64_t begin, std::int64_t count) const {
  check_slice(begin, count, samples_);
  return {data_ + begin, channels_, count, stride_, rate_hz_};
}

AudioSpan AudioSpan::slice(std::int64_t begin, std::int64_t count) const {
  check_slice(begin, count, samples_);
  return {data_ + begin, channels_, count, stride_, rate_hz_};
}

AudioBuffer::AudioBuffer(int channels, std::int64_t samples, int rate_hz)
    : samples_(samples), channels_(channels), rate_hz_(rate_hz) {
  if (channels < 0 || channels > kMaxChannels) {
    throw Error({.code = Code::invalid_argument,
                 .where = "audio buffer",
                 .what = "impossible number of channels",
                 .expected = fmt::format("0 to {}", kMaxChannels),
                 .found = fmt::format("{}", channels),
                 .hint = {}});
  }
  if (rate_hz < 1 || rate_hz > kMaxRateHz) {
    throw Error({.code = Code::invalid_argument,
                 .where = "audio buffer",
                 .what = "impossible sample rate",
                 .expected = fmt::format("1 to {} Hz", kMaxRateHz),
                 .found = fmt::format("{} Hz", rate_hz),
                 .hint = {}});
  }
  if (samples < 0) {
    throw Error({.code = Code::invalid_argument,
                 .where = "audio buffer",
                 .what = "negative length",
                 .expected = "0 or more samples",
                 .found = fmt::format("{}", samples),
                 .hint = {}});
  }
  data_.resize(static_cast<std::size_t>(channels) * static_cast<std::size_t>(samples));
}

AudioBuffer::AudioBuffer(AudioView copy_of) : AudioBuffer(copy_of.channels(), copy_of.samples(), copy_of.rate_hz()) {
  for (int c = 0; c < channels_; ++c) std::ranges::copy(copy_of.channel(c), channel(c).begin());
}

void AudioBuffer::resize(std::int64_t samples) {
  if (samples == samples_) return;
  AudioBuffer changed(channels_, samples, rate_hz_);
  const auto kept = static_cast<std::size_t>(std::min(samples, samples_));
  for (int c = 0; c < channels_; ++c) std::ranges::copy(channel(c).first(kept), changed.channel(c).begin());
  *this = std::move(changed);
}

SamplePosition find_non_finite(AudioView audio) noexcept {
  SamplePosition first;
  for (int c = 0; c < audio.channels(); ++c) {
    const auto x = audio.channel(c);
    const auto bad = std::ranges::find_if(x, [](float v) { return !std::isfinite(v); });
    if (bad == x.end()) continue;
    const auto sample = static_cast<std::int64_t>(bad - x.begin());
    if (first.channel < 0 || sample < first.sample) first = {c, sample};
  }
  return first;
}

bool is_silent(AudioView audio) noexcept {
  for (int c = 0; c < audio.channels(); ++c) {
    if (!std::ranges::all_of(audio.channel(c), [](float v) { return v == 0.0F; })) return false;
  }
  return true;
}

double energy(AudioView audio) noexcept {
  // Eight partial sums: a fixed order of additions that vector units can follow.
  std::array<double, 8> lanes{};
  for (int c = 0; c < audio.channels(); ++c) {
    const auto x = audio.channel(c);
    std::size_t i = 0;
    for (; i + lanes.size() <= x.size(); i += lanes.size()) {
      for (std::size_t l = 0; l < lanes.size(); ++l) {
        const double v = x[i + l];
        lanes[l] += v * v;
      }
    }
    for (; i < x.size(); ++i) lanes[0] += static_cast<double>(x[i]) * x[i];
  }
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

void add_to(AudioSpan sum, AudioView term) {
  if (!same_shape(sum, term)) {
    throw Error({.code = Code::invalid_argument,
                 .where = "sum of audio",
                 .what = "shapes differ",
                 .expected = fmt::format("{} x {} at {} Hz", sum.channels(), sum.samples(), sum.rate_hz()),
                 .found = fmt::format("{} x {} at {} Hz", term.channels(), term.samples(), term.rate_hz()),
                 .hint = {}});
  }
  for (int c = 0; c < sum.channels(); ++c) {
    const auto y = sum.channel(c);
    const auto x = term.channel(c);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += x[i];
  }
}

bool same_shape(AudioView a, AudioView b) noexcept {
  return a.channels() == b.channels() && a.samples() == b.samples() && a.rate_hz() == b.rate_hz();
}

}  // namespace mss::audio
