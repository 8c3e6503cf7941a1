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
  std::optional<std::int64_t> expected_length() const override { return source_.expected_length(); }
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

class Excerpt final : public Source {
 public:
  Excerpt(std::unique_ptr<Source> source, std::int64_t first, std::int64_t samples, std::string where)
      : source_(std::move(source)), where_(std::move(where)), first_(first), samples_(samples), skip_(first) {
    MSS_ASSERT(first >= 0);
    if (const auto all = source_->length(); all && *all <= first_) fail(*all);
  }
  int channels() const override { return source_->channels(); }
  int rate_hz() const override { return source_->rate_hz(); }
  std::optional<std::int64_t> length() const override { return part_of(source_->length()); }
  std::optional<std::int64_t> expected_length() const override { return part_of(source_->expected_length()); }
  std::int64_t read(AudioSpan out) override {
    require_channels(channels(), out.channels());
    skip();
    const std::int64_t wanted = samples_ < 0 ? out.samples() : std::min(out.samples(), samples_ - position_);
    const std::int64_t n = wanted > 0 ? source_->read(out.slice(0, wanted)) : 0;
    if (n == 0 && position_ == 0 && wanted > 0) fail(first_);
    position_ += n;
    return n;
  }

 private:
  std::optional<std::int64_t> part_of(std::optional<std::int64_t> all) const {
    if (!all) return std::nullopt;
    const std::int64_t left = std::max<std::int64_t>(0, *all - first_);
    return samples_ < 0 ? left : std::min(left, samples_);
  }
  void skip() {
    if (skip_ == 0) return;
    constexpr std::int64_t kBlock = 1 << 16;
    AudioBuffer dropped(channels(), std::min(kBlock, skip_), rate_hz());
    while (skip_ > 0) {
      const std::int64_t n = source_->read(dropped.span().slice(0, std::min(skip_, dropped.samples())));
      if (n == 0) fail(first_ - skip_);
      skip_ -= n;
    }
  }
  [[noreturn]] void fail(std::int64_t samples) const {
    throw Error({.code = Code::invalid_argument,
                 .where = where_,
                 .what = "the excerpt begins behind the end",
                 .expected = fmt::format("a start before {:.3f} s", static_cast<double>(samples) / rate_hz()),
                 .found = fmt::format("{:.3f} s", static_cast<double>(first_) / rate_hz()),
                 .hint = {}});
  }

  std::unique_ptr<Source> source_;
  std::string where_;
  std::int64_t first_, samples_, skip_, position_ = 0;
};

class Sum final : public Source {
 public:
  explicit Sum(std::vector<std::unique_ptr<Source>> sources) : sources_(std::move(sources)) {
    MSS_ASSERT(!sources_.empty());
    for (const auto& source : sources_) {
      require_channels(channels(), source->channels());
      MSS_ASSERT(source->rate_hz() == rate_hz());
    }
  }
  int channels() const override { return sources_.front()->channels(); }
  int rate_hz() const override { return sources_.front()->rate_hz(); }
  std::optional<std::int64_t> length() const override { return sources_.front()->length(); }
  std::optional<std::int64_t> expected_length() const override { return sources_.front()->expected_length(); }
  std::int64_t read(AudioSpan out) override {
    std::int64_t n = sources_.front()->read(out);
    if (term_.samples() < out.samples()) term_ = AudioBuffer(channels(), out.samples(), rate_hz());
    for (std::size_t s = 1; s < sources_.size() && n > 0; ++s) {
      n = sources_[s]->read(term_.span().slice(0, n));
      add_to(out.slice(0, n), term_.view().slice(0, n));
    }
    return n;
  }

 private:
  std::vector<std::unique_ptr<Source>> sources_;
  AudioBuffer term_;
};

}  // namespace

std::unique_ptr<Source> excerpt(std::unique_ptr<Source> source, std::int64_t first, std::int64_t samples,
                                std::string where) {
  return std::make_unique<Excerpt>(std::move(source), first, samples, std::move(where));
}

std::unique_ptr<Source> sum(std::vector<std::unique_ptr<Source>> sources) {
  return std::make_unique<Sum>(std::move(sources));
}

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
