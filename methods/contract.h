// Private to methods/: the two checks that stand between the world and a method.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "audio/buffer.h"
#include "audio/stft.h"
#include "audio/stream.h"
#include "core/stop.h"
#include "methods/separator.h"

namespace mss::methods {

/// Passes a source through, checking what it yields: finite values, the announced length, at least one sample.
class InputSource final : public audio::Source {
 public:
  /// `name` stands in error messages ("mixture", "reference 'vocals'"). Reads one sample ahead, so that an empty source
  /// is known at once. Throws Error(invalid_argument | numeric | cancelled).
  InputSource(audio::Source& source, std::string name, core::StopToken stop);
  int channels() const override { return source_.channels(); }
  int rate_hz() const override { return source_.rate_hz(); }
  std::optional<std::int64_t> length() const override { return source_.length(); }
  std::int64_t read(audio::AudioSpan out) override;
  audio::AudioView first_sample() const { return first_; }
  /// Reads to the end (so that all of it has been checked) and returns the length.
  std::int64_t drain();

 private:
  void check(audio::AudioView block, std::int64_t begin) const;

  audio::Source& source_;
  std::string name_;
  core::StopToken stop_;
  audio::AudioBuffer first_;
  std::int64_t count_ = 0;  ///< samples handed out
  bool ended_ = false;
};

/// Passes stems through, checking that the method keeps its side of the contract; a breach is Error(method_contract).
class ContractSink final : public StemSink {
 public:
  struct Expected {
    std::string spec;
    std::vector<std::string> targets;
    int channels = 0;
    int rate_hz = 0;
    std::optional<std::int64_t> samples;
    bool may_offer_magnitudes = false;
  };
  /// `written` (may be null) hears how many samples have passed.
  ContractSink(Expected expected, StemSink& out, core::StopToken stop, std::function<void(std::int64_t)> written);

  void begin(const StemFormat& format) override;
  void write(const StemBlock& block) override;
  void end() override;
  bool wants_magnitudes() const override;
  void begin_magnitudes(const audio::StftSpec& spec) override;
  void write_magnitudes(const MagnitudeBlock& block) override;
  /// The method has returned: were all `samples` written?
  void finish(std::int64_t samples) const;

 private:
  [[noreturn]] void breach(std::string what, std::string expected, std::string found) const;

  Expected expected_;
  StemSink& out_;
  core::StopToken stop_;
  std::function<void(std::int64_t)> written_;
  std::optional<audio::StftSpec> stft_;
  std::optional<std::int64_t> expected_frames_;  ///< of stft_, where the length is known
  std::int64_t samples_ = 0, frames_ = 0;
  bool begun_ = false;
};

}  // namespace mss::methods
