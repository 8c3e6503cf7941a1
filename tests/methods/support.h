// Toy methods, sources and checks that the tests of methods/ share.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numbers>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "audio/buffer.h"
#include "audio/stream.h"
#include "core/rng.h"
#include "methods/separator.h"
#include "tests/support/errors.h"

namespace mss::methods::tests {

using mss::tests::check_error;
using mss::tests::message_of;

/// White noise in [-0.5, 0.5).
inline audio::AudioBuffer noise(int channels, std::int64_t samples, int rate_hz, std::uint64_t seed) {
  audio::AudioBuffer out(channels, samples, rate_hz);
  for (int c = 0; c < channels; ++c) {
    core::Rng rng(seed, static_cast<std::uint32_t>(c));
    for (float& x : out.channel(c)) x = static_cast<float>(rng.uniform(-0.5, 0.5));
  }
  return out;
}

inline audio::AudioBuffer sine(int channels, std::int64_t samples, int rate_hz, double frequency_hz, double amplitude) {
  audio::AudioBuffer out(channels, samples, rate_hz);
  for (int c = 0; c < channels; ++c) {
    for (std::int64_t t = 0; t < samples; ++t) {
      const double phase = 2 * std::numbers::pi * frequency_hz * static_cast<double>(t) / rate_hz + 0.3 * c;
      out.channel(c)[static_cast<std::size_t>(t)] = static_cast<float>(amplitude * std::sin(phase));
    }
  }
  return out;
}

inline bool same_bits(audio::AudioView a, audio::AudioView b) {
  if (!audio::same_shape(a, b)) return false;
  for (int c = 0; c < a.channels(); ++c) {
    if (!std::ranges::equal(a.channel(c), b.channel(c))) return false;
  }
  return true;
}

inline bool same_bits(const StemSet& a, const StemSet& b) {
  if (a.names != b.names || a.audio.size() != b.audio.size()) return false;
  for (std::size_t s = 0; s < a.audio.size(); ++s) {
    if (!same_bits(a.audio[s].view(), b.audio[s].view())) return false;
  }
  return true;
}

/// 10 log10(energy(a - b) / energy(b)) over samples [edge, T - edge); -inf for equal signals.
inline double error_db(audio::AudioView a, audio::AudioView b, std::int64_t edge = 0) {
  REQUIRE(audio::same_shape(a, b));
  double error = 0;
  double signal = 0;
  for (int c = 0; c < a.channels(); ++c) {
    for (std::int64_t t = edge; t < a.samples() - edge; ++t) {
      const auto i = static_cast<std::size_t>(t);
      const double difference = static_cast<double>(a.channel(c)[i]) - b.channel(c)[i];
      error += difference * difference;
      signal += static_cast<double>(b.channel(c)[i]) * b.channel(c)[i];
    }
  }
  return error == 0 ? -std::numeric_limits<double>::infinity() : 10 * std::log10(error / signal);
}

/// A source whose samples are computed as they are read; the length may be announced or not.
class GeneratedSource final : public audio::Source {
 public:
  using Sample = std::function<float(int channel, std::int64_t t)>;
  GeneratedSource(int channels, int rate_hz, std::int64_t samples, bool announced, Sample sample)
      : sample_(std::move(sample)), samples_(samples), channels_(channels), rate_hz_(rate_hz), announced_(announced) {}
  int channels() const override { return channels_; }
  int rate_hz() const override { return rate_hz_; }
  std::optional<std::int64_t> length() const override {
    return announced_ ? std::optional(announced_length.value_or(samples_)) : std::nullopt;
  }
  std::int64_t read(audio::AudioSpan out) override {
    const std::int64_t n = std::min(out.samples(), samples_ - position);
    for (int c = 0; c < channels_; ++c) {
      for (std::int64_t t = 0; t < n; ++t) out.channel(c)[static_cast<std::size_t>(t)] = sample_(c, position + t);
    }
    position += n;
    return n;
  }
  std::int64_t position = 0;
  std::optional<std::int64_t> announced_length;  ///< a lie, where set

 private:
  Sample sample_;
  std::int64_t samples_;
  int channels_, rate_hz_;
  bool announced_;
};

/// A method made of a function.
class ToyMethod final : public Separator {
 public:
  using Body = std::function<void(audio::Source&, StemSink&, Context&)>;
  ToyMethod(SeparatorInfo info, Body body) : Separator(std::move(info)), body_(std::move(body)) {}

 private:
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    body_(mixture, sink, context);
  }
  Body body_;
};

inline SeparatorInfo toy_info(std::vector<std::string> targets = {}, int channels = 0, int rate_hz = 0) {
  SeparatorInfo info;
  info.spec = "toy:a=1";
  info.method = "toy";
  info.targets = std::move(targets);
  info.channels = channels;
  info.rate_hz = rate_hz;
  info.resolved_options["a"] = 1;
  return info;
}

/// Every stem is the mixture; reads `block` samples at a time.
inline void identity_body(audio::Source& mixture, StemSink& sink, Context& context, std::int64_t block = 5000) {
  sink.begin({context.targets, mixture.channels(), mixture.rate_hz(), mixture.length().value_or(-1)});
  audio::AudioBuffer buffer(mixture.channels(), block, mixture.rate_hz());
  std::int64_t begin = 0;
  while (const std::int64_t n = mixture.read(buffer.span())) {
    sink.write({begin, std::vector<audio::AudioView>(context.targets.size(), buffer.view().slice(0, n))});
    begin += n;
  }
}

inline std::unique_ptr<Separator> identity(SeparatorInfo info = toy_info()) {
  return std::make_unique<ToyMethod>(
      std::move(info), [](auto& mixture, auto& sink, auto& context) { identity_body(mixture, sink, context); });
}

}  // namespace mss::methods::tests
