// Small data sets on disk for the tests of this folder.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "audio/file.h"
#include "core/error.h"
#include "core/rng.h"

namespace mss::tests {

/// Noise on the 16-bit grid, so that sums are exact.
inline audio::AudioBuffer noise(int channels, std::int64_t samples, int rate_hz, std::uint32_t item,
                                double gain = 0.1) {
  core::Rng rng(7, 1, item);
  audio::AudioBuffer out(channels, samples, rate_hz);
  for (int c = 0; c < channels; ++c) {
    for (auto& x : out.channel(c))
      x = static_cast<float>(static_cast<int>(gain * 32768 * (2 * rng.uniform() - 1))) / 32768.0F;
  }
  return out;
}

struct FolderOptions {
  std::vector<std::string> stems = {"bass", "drums", "other", "vocals"};
  std::string extension = ".wav";
  int channels = 2;
  std::int64_t samples = 2000;
  int rate_hz = 44100;
  std::uint32_t seed = 0;
  bool mixture = true;
};

/// One track folder whose mixture is the exact sum of its stems.
inline void write_track(const std::filesystem::path& folder, const FolderOptions& options = {}) {
  std::filesystem::create_directories(folder);
  audio::AudioBuffer sum(options.channels, options.samples, options.rate_hz);
  const audio::WriteOptions pcm16{audio::SampleFormat::pcm16};
  for (std::uint32_t i = 0; i < options.stems.size(); ++i) {
    const auto stem = noise(options.channels, options.samples, options.rate_hz, options.seed * 100 + i);
    audio::add_to(sum.span(), stem);
    audio::write_file(folder / (options.stems[i] + options.extension), stem, pcm16);
  }
  if (options.mixture) audio::write_file(folder / ("mixture" + options.extension), sum, pcm16);
}

/// The error that `call` throws, or nothing.
inline std::optional<Error> error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

inline bool mentions(const Error& error, const std::string& text) {
  return std::string(error.what()).find(text) != std::string::npos;
}

/// Sets an environment variable for a scope (nullptr unsets it).
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    set(value);
  }
  ~ScopedVariable() { set(old_ ? old_->c_str() : nullptr); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  void set(const char* value) {
    if (value != nullptr) {
      setenv(name_, value, 1);
    } else {
      unsetenv(name_);
    }
  }
  const char* name_;
  std::optional<std::string> old_;
};

}  // namespace mss::tests
