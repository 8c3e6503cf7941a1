#include "methods/contract.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/text.h"

namespace mss::methods {

InputSource::InputSource(audio::Source& source, std::string name, core::StopToken stop)
    : source_(source), name_(std::move(name)), stop_(std::move(stop)) {
  stop_.check();
  if (source_.channels() < 1) {
    throw Error({.code = Code::invalid_argument,
                 .where = name_,
                 .what = "audio without channels",
                 .expected = "at least one channel",
                 .found = fmt::format("{}", source_.channels()),
                 .hint = {}});
  }
  if (source_.rate_hz() < 1) {
    throw Error({.code = Code::invalid_argument,
                 .where = name_,
                 .what = "audio without a sample rate",
                 .expected = "at least 1 Hz",
                 .found = fmt::format("{}", source_.rate_hz()),
                 .hint = {}});
  }
  first_ = audio::AudioBuffer(source_.channels(), 1, source_.rate_hz());
  if (source_.length().value_or(1) == 0 || source_.read(first_.span()) == 0) {
    throw Error({.code = Code::invalid_argument,
                 .where = name_,
                 .what = "there is nothing to separate",
                 .expected = "at least one sample",
                 .found = "0 samples",
                 .hint = {}});
  }
  check(first_, 0);
}

void InputSource::check(audio::AudioView block, std::int64_t begin) const {
  const auto bad = audio::find_non_finite(block);
  if (bad.channel < 0) return;
  const std::int64_t sample = begin + bad.sample;
  const float value = block.channel(bad.channel)[static_cast<std::size_t>(bad.sample)];
  throw Error({.code = Code::numeric,
               .where = name_,
               .what = fmt::format("not a finite number in channel {}, sample {} ({:.3f} s)", bad.channel, sample,
                                   static_cast<double>(sample) / source_.rate_hz()),
               .expected = "finite samples",
               .found = std::isnan(value) ? "NaN" : (value > 0 ? "infinity" : "-infinity"),
               .hint = "repair the file: no method can work on such samples"});
}

std::int64_t InputSource::read(audio::AudioSpan out) {
  stop_.check();
  if (out.channels() != channels()) {
    throw Error({.code = Code::invalid_argument,
                 .where = name_,
                 .what = "read into a block with another number of channels",
                 .expected = fmt::format("{}", channels()),
                 .found = fmt::format("{}", out.channels()),
                 .hint = {}});
  }
  if (out.samples() == 0 || ended_) return 0;
  std::int64_t have = 0;
  if (count_ == 0) {
    for (int c = 0; c < out.channels(); ++c) out.channel(c)[0] = first_.channel(c)[0];
    have = 1;
  }
  if (have < out.samples()) {
    const audio::AudioSpan rest = out.slice(have, out.samples() - have);
    const std::int64_t n = source_.read(rest);
    ended_ = n < rest.samples();
    check(rest.slice(0, n), count_ + have);
    have += n;
  }
  count_ += have;
  const auto announced = source_.length();
  if (announced && (count_ > *announced || (ended_ && count_ != *announced))) {
    throw Error({.code = Code::format,
                 .where = name_,
                 .what = "the stream has another length than it announced",
                 .expected = fmt::format("{} samples", *announced),
                 .found = ended_ ? fmt::format("{}", count_) : "more",
                 .hint = {}});
  }
  return have;
}

std::int64_t InputSource::drain() {
  constexpr std::int64_t kBlock = 16384;
  audio::AudioBuffer scratch;
  while (!ended_) {
    if (scratch.samples() == 0) scratch = audio::AudioBuffer(channels(), kBlock, rate_hz());
    if (read(scratch.span()) == 0) break;
  }
  return count_;
}

ContractSink::ContractSink(Expected expected, StemSink& out, core::StopToken stop,
                           std::function<void(std::int64_t)> written)
    : expected_(std::move(expected)), out_(out), stop_(std::move(stop)), written_(std::move(written)) {}

void ContractSink::breach(std::string what, std::string expected, std::string found) const {
  throw Error({.code = Code::method_contract,
               .where = expected_.spec,
               .what = "the method broke its contract: " + std::move(what),
               .expected = std::move(expected),
               .found = std::move(found),
               .hint = {}});
}

void ContractSink::begin(const StemFormat& format) {
  if (begun_) breach("it began its output twice", {}, {});
  begun_ = true;
  if (format.targets.empty()) breach("no stems", "at least one", "none");
  std::set<std::string> unique;
  for (const std::string& name : format.targets) {
    if (name.empty()) breach("a stem without a name", {}, {});
    if (!unique.insert(name).second) breach("two stems of one name", "unique names", fmt::format("'{}' twice", name));
  }
  if (format.targets != expected_.targets) {
    breach("other stems than announced", core::join(expected_.targets, ", "), core::join(format.targets, ", "));
  }
  if (format.channels != expected_.channels) {
    breach("stems with another number of channels", fmt::format("{}", expected_.channels),
           fmt::format("{}", format.channels));
  }
  if (format.rate_hz != expected_.rate_hz) {
    breach("stems of another rate", fmt::format("{} Hz", expected_.rate_hz), fmt::format("{} Hz", format.rate_hz));
  }
  StemFormat known = format;
  known.samples = expected_.samples.value_or(-1);
  out_.begin(known);
}

void ContractSink::write(const StemBlock& block) {
  stop_.check();
  if (!begun_) breach("stems before the output was begun", {}, {});
  if (stft_) breach("stems after magnitudes were begun", {}, {});
  if (block.begin != samples_) {
    breach("blocks do not follow each other", fmt::format("a block that begins at sample {}", samples_),
           fmt::format("{}", block.begin));
  }
  if (block.stems.size() != expected_.targets.size()) {
    breach("wrong number of stems", fmt::format("{}", expected_.targets.size()), fmt::format("{}", block.stems.size()));
  }
  const std::int64_t n = block.stems.front().samples();
  for (std::size_t s = 0; s < block.stems.size(); ++s) {
    const audio::AudioView stem = block.stems[s];
    const std::string& name = expected_.targets[s];
    if (stem.channels() != expected_.channels || stem.samples() != n) {
      breach(fmt::format("stem '{}' has another shape than announced", name),
             fmt::format("{} channels of {} samples", expected_.channels, n),
             fmt::format("{} of {}", stem.channels(), stem.samples()));
    }
    if (const auto bad = audio::find_non_finite(stem); bad.channel >= 0) {
      breach(fmt::format("stem '{}' is not finite in channel {}, sample {} ({:.3f} s)", name, bad.channel,
                         samples_ + bad.sample, static_cast<double>(samples_ + bad.sample) / expected_.rate_hz),
             "finite samples", "NaN or infinity");
    }
  }
  if (n == 0) return;
  samples_ += n;
  if (expected_.samples && samples_ > *expected_.samples) {
    breach("stems longer than the mixture", fmt::format("{} samples", *expected_.samples), "more");
  }
  out_.write(block);
  if (written_) written_(samples_);
}

void ContractSink::end() { breach("it ended its output itself", {}, {}); }

bool ContractSink::wants_magnitudes() const { return expected_.may_offer_magnitudes && out_.wants_magnitudes(); }

void ContractSink::begin_magnitudes(const audio::StftSpec& spec) {
  if (!begun_) breach("magnitudes before the output was begun", {}, {});
  if (!wants_magnitudes()) breach("magnitudes that nobody asked for", {}, {});
  if (stft_) breach("it began its magnitudes twice", {}, {});
  if (samples_ > 0) breach("magnitudes after stems", {}, {});
  stft_ = spec;
  if (expected_.samples) expected_frames_ = audio::Stft<float>(spec).frames(*expected_.samples);
  out_.begin_magnitudes(spec);
}

void ContractSink::write_magnitudes(const MagnitudeBlock& block) {
  stop_.check();
  if (!stft_) breach("magnitudes before they were begun", {}, {});
  if (block.first_frame != frames_) {
    breach("frames do not follow each other", fmt::format("a block that begins at frame {}", frames_),
           fmt::format("{}", block.first_frame));
  }
  if (block.mixture == nullptr) breach("magnitudes without the mixture's spectrogram", {}, {});
  if (block.mixture->channels() != expected_.channels || block.mixture->bins() != stft_->bins()) {
    breach("the mixture's spectrogram has another shape than announced",
           fmt::format("{} channels, {} bins", expected_.channels, stft_->bins()),
           fmt::format("{}, {}", block.mixture->channels(), block.mixture->bins()));
  }
  if (block.magnitudes.size() != expected_.targets.size()) {
    breach("wrong number of magnitude estimates", fmt::format("{}", expected_.targets.size()),
           fmt::format("{}", block.magnitudes.size()));
  }
  for (std::size_t s = 0; s < block.magnitudes.size(); ++s) {
    const auto& values = block.magnitudes[s];
    if (values.size() != block.mixture->data().size()) {
      breach(fmt::format("magnitudes of '{}' have another size than the mixture's spectrogram", expected_.targets[s]),
             fmt::format("{} values", block.mixture->data().size()), fmt::format("{}", values.size()));
    }
    if (!std::ranges::all_of(values, [](float v) { return std::isfinite(v) && v >= 0.0F; })) {
      breach(fmt::format("a magnitude of '{}' in frames {} and following is negative or not finite",
                         expected_.targets[s], frames_),
             {}, {});
    }
  }
  if (block.mixture->frames() == 0) return;
  frames_ += block.mixture->frames();
  if (expected_frames_ && frames_ > *expected_frames_) {
    breach("magnitudes for more frames than the mixture has", fmt::format("{}", *expected_frames_),
           fmt::format("at least {}", frames_));
  }
  out_.write_magnitudes(block);
  if (written_) {
    const std::int64_t done = frames_ * stft_->hop_samples;
    written_(expected_.samples ? std::min(done, *expected_.samples) : done);
  }
}

void ContractSink::finish(std::int64_t samples) const {
  if (!begun_) breach("it returned without output", {}, {});
  if (stft_) {
    const std::int64_t frames = audio::Stft<float>(*stft_).frames(samples);
    if (frames_ != frames) {
      breach("magnitudes for fewer or more frames than the mixture has", fmt::format("{}", frames),
             fmt::format("{}", frames_));
    }
  } else if (samples_ != samples) {
    breach("stems of another length than the mixture", fmt::format("{} samples", samples), fmt::format("{}", samples_));
  }
}

}  // namespace mss::methods
