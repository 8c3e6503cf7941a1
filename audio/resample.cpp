#include "audio/resample.h"

#include <fmt/format.h>
#include <samplerate.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/error.h"

namespace mss::audio {

namespace {

void require_rates(int from_hz, int to_hz) {
  if (from_hz < 1 || to_hz < 1) {
    throw Error({.code = Code::invalid_argument,
                 .where = "resampling",
                 .what = "impossible sample rate",
                 .expected = "1 Hz or more",
                 .found = fmt::format("{} to {} Hz", from_hz, to_hz),
                 .hint = {}});
  }
  if (src_is_valid_ratio(static_cast<double>(to_hz) / from_hz) == 0) {
    throw Error({.code = Code::unsupported,
                 .where = "resampling",
                 .what = "ratio of the rates out of range",
                 .expected = "1/256 to 256",
                 .found = fmt::format("{} to {} Hz", from_hz, to_hz),
                 .hint = {}});
  }
}

struct StateDeleter {
  void operator()(SRC_STATE* state) const { src_delete(state); }
};

/// Reads a source through a PushResampler.
class ResampledSource final : public Source {
 public:
  ResampledSource(Source& source, int to_hz)
      : source_(source),
        to_hz_(to_hz),
        converter_(source.channels(), source.rate_hz(), to_hz),
        in_(source.channels(), kBlock, source.rate_hz()),
        ready_(source.channels(), 0, to_hz) {}

  int channels() const override { return source_.channels(); }
  int rate_hz() const override { return to_hz_; }
  std::optional<std::int64_t> length() const override {
    const auto length = source_.length();
    if (!length) return std::nullopt;
    return resampled_length(*length, source_.rate_hz(), to_hz_);
  }

  std::int64_t read(AudioSpan out) override {
    std::int64_t written = 0;
    while (written < out.samples()) {
      if (position_ == ready_.samples()) {
        if (ended_) break;
        refill();
        continue;
      }
      const std::int64_t n = std::min(out.samples() - written, ready_.samples() - position_);
      const AudioView part = ready_.view().slice(position_, n);
      const AudioSpan to = out.slice(written, n);
      for (int c = 0; c < out.channels(); ++c) std::ranges::copy(part.channel(c), to.channel(c).begin());
      position_ += n;
      written += n;
    }
    return written;
  }

 private:
  static constexpr std::int64_t kBlock = 4096;

  void refill() {
    const std::int64_t n = source_.read(in_.span());
    if (n > 0) {
      total_in_ += n;
      ready_ = converter_.push(in_.view().slice(0, n));
    } else {
      ready_ = converter_.finish(resampled_length(total_in_, source_.rate_hz(), to_hz_));
      ended_ = true;
    }
    position_ = 0;
  }

  Source& source_;
  int to_hz_;
  PushResampler converter_;
  AudioBuffer in_, ready_;
  std::int64_t position_ = 0, total_in_ = 0;
  bool ended_ = false;
};

class PassThrough final : public Source {
 public:
  explicit PassThrough(Source& source) : source_(source) {}
  int channels() const override { return source_.channels(); }
  int rate_hz() const override { return source_.rate_hz(); }
  std::optional<std::int64_t> length() const override { return source_.length(); }
  std::int64_t read(AudioSpan out) override { return source_.read(out); }

 private:
  Source& source_;
};

}  // namespace

std::int64_t resampled_length(std::int64_t samples, int from_hz, int to_hz) {
  if (samples < 0 || from_hz < 1 || to_hz < 1) {
    throw Error({.code = Code::invalid_argument,
                 .where = "resampling",
                 .what = "impossible length or rate",
                 .expected = "0 or more samples, rates of 1 Hz or more",
                 .found = fmt::format("{} samples, {} to {} Hz", samples, from_hz, to_hz),
                 .hint = {}});
  }
  // Whole seconds apart, so that no product overflows.
  const std::int64_t seconds = samples / from_hz, rest = samples % from_hz;
  return seconds * to_hz + (2 * rest * to_hz + from_hz) / (2 * static_cast<std::int64_t>(from_hz));
}

struct PushResampler::Impl {
  static constexpr std::size_t kBlock = 4096;

  Impl(int channels_, int from_hz_, int to_hz_) : channels(channels_), from_hz(from_hz_), to_hz(to_hz_) {
    require_rates(from_hz, to_hz);
    if (channels < 1) {
      throw Error(Code::invalid_argument, "resampling", fmt::format("impossible number of channels ({})", channels));
    }
    if (from_hz == to_hz) return;
    int error = 0;
    state.reset(src_new(SRC_SINC_BEST_QUALITY, channels, &error));
    if (!state) throw Error(Code::resource, "resampling", src_strerror(error));
    block.resize(kBlock * static_cast<std::size_t>(channels));
  }

  void append(AudioView input) {
    for (std::int64_t i = 0; i < input.samples();) {
      const auto n = std::min<std::int64_t>(input.samples() - i, static_cast<std::int64_t>(kBlock - filled));
      for (int c = 0; c < channels; ++c) {
        const float* from = input.channel(c).data() + i;
        float* to = block.data() + filled * static_cast<std::size_t>(channels) + c;
        for (std::int64_t k = 0; k < n; ++k) to[k * channels] = from[k];
      }
      filled += static_cast<std::size_t>(n);
      i += n;
      if (filled == kBlock) convert();
    }
  }

  /// Runs the converter over one whole block.
  void convert() {
    const double ratio = static_cast<double>(to_hz) / from_hz;
    const auto room = static_cast<std::size_t>(static_cast<double>(kBlock) * ratio) + 64;
    const auto width = static_cast<std::size_t>(channels);
    std::size_t used = 0;
    while (used < kBlock) {
      const std::size_t before = ready.size();
      ready.resize(before + room * width);
      SRC_DATA data{};
      data.data_in = block.data() + used * width;
      data.input_frames = static_cast<long>(kBlock - used);
      data.data_out = ready.data() + before;
      data.output_frames = static_cast<long>(room);
      data.src_ratio = ratio;
      data.end_of_input = 0;
      const int error = src_process(state.get(), &data);
      ready.resize(before + static_cast<std::size_t>(data.output_frames_gen) * width);
      if (error != 0) throw Error(Code::internal, "resampling", src_strerror(error));
      if (data.input_frames_used == 0 && data.output_frames_gen == 0) {
        throw Error(Code::internal, "resampling", "the converter takes no input");
      }
      used += static_cast<std::size_t>(data.input_frames_used);
    }
    filled = 0;
  }

  /// Up to `limit` finished samples.
  AudioBuffer take(std::int64_t limit) {
    const auto width = static_cast<std::size_t>(channels);
    const std::int64_t n = std::min(limit, static_cast<std::int64_t>(ready.size() / width));
    AudioBuffer out(channels, n, to_hz);
    for (int c = 0; c < channels; ++c) {
      const auto y = out.channel(c);
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = ready[i * width + static_cast<std::size_t>(c)];
    }
    ready.erase(ready.begin(), ready.begin() + n * channels);
    emitted += n;
    return out;
  }

  void require_open() const {
    if (finished) throw Error(Code::invalid_argument, "resampling", "the signal is finished already");
  }

  int channels, from_hz, to_hz;
  std::unique_ptr<SRC_STATE, StateDeleter> state;
  std::vector<float> block;  ///< interleaved input, kBlock frames of which `filled` are there
  std::size_t filled = 0;
  std::vector<float> ready;  ///< interleaved output that was not handed out
  std::int64_t emitted = 0;
  bool finished = false;
};

PushResampler::PushResampler(int channels, int from_hz, int to_hz)
    : impl_(std::make_unique<Impl>(channels, from_hz, to_hz)) {}
PushResampler::~PushResampler() = default;
PushResampler::PushResampler(PushResampler&&) noexcept = default;
PushResampler& PushResampler::operator=(PushResampler&&) noexcept = default;

AudioBuffer PushResampler::push(AudioView block) {
  Impl& s = *impl_;
  s.require_open();
  if (block.channels() != s.channels) {
    throw Error({.code = Code::invalid_argument,
                 .where = "resampling",
                 .what = "block with another number of channels",
                 .expected = fmt::format("{}", s.channels),
                 .found = fmt::format("{}", block.channels()),
                 .hint = {}});
  }
  if (!s.state) {
    s.emitted += block.samples();
    AudioBuffer out(s.channels, block.samples(), s.to_hz);
    for (int c = 0; c < s.channels; ++c) std::ranges::copy(block.channel(c), out.channel(c).begin());
    return out;
  }
  s.append(block);
  return s.take(static_cast<std::int64_t>(s.ready.size()));
}

AudioBuffer PushResampler::finish(std::int64_t total_output_samples) {
  Impl& s = *impl_;
  s.require_open();
  s.finished = true;
  const std::int64_t wanted = total_output_samples - s.emitted;
  if (wanted < 0) {
    throw Error({.code = Code::invalid_argument,
                 .where = "resampling",
                 .what = "more samples were handed out than the total",
                 .expected = fmt::format("a total of {} or more", s.emitted),
                 .found = fmt::format("{}", total_output_samples),
                 .hint = {}});
  }
  if (!s.state) return AudioBuffer(s.channels, wanted, s.to_hz);
  // The converter looks ahead by half its filter: zeros bring out what belongs to the last samples.
  const AudioBuffer zeros(s.channels, Impl::kBlock, s.from_hz);
  while (static_cast<std::int64_t>(s.ready.size()) < wanted * s.channels) s.append(zeros);
  return s.take(wanted);
}

AudioBuffer resample(AudioView audio, int to_hz) {
  if (audio.rate_hz() == to_hz) return AudioBuffer(audio);
  const std::int64_t total = resampled_length(audio.samples(), audio.rate_hz(), to_hz);
  require_rates(audio.rate_hz(), to_hz);
  AudioBuffer out(audio.channels(), total, to_hz);
  if (audio.channels() == 0) return out;
  PushResampler converter(audio.channels(), audio.rate_hz(), to_hz);
  std::int64_t at = 0;
  const auto keep = [&](const AudioBuffer& part) {
    for (int c = 0; c < part.channels(); ++c) {
      const std::int64_t n = std::min(part.samples(), total - at);
      std::ranges::copy(part.channel(c).first(static_cast<std::size_t>(n)), out.channel(c).begin() + at);
    }
    at += std::min(part.samples(), total - at);
  };
  constexpr std::int64_t kStep = 1 << 16;
  for (std::int64_t i = 0; i < audio.samples(); i += kStep) {
    keep(converter.push(audio.slice(i, std::min(kStep, audio.samples() - i))));
  }
  keep(converter.finish(total));
  return out;
}

std::unique_ptr<Source> resample(Source& source, int to_hz) {
  if (source.rate_hz() == to_hz) return std::make_unique<PassThrough>(source);
  require_rates(source.rate_hz(), to_hz);
  return std::make_unique<ResampledSource>(source, to_hz);
}

}  // namespace mss::audio
