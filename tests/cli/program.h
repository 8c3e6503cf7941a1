// Runs the built program and keeps what it says.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "audio/buffer.h"
#include "core/value.h"
#include "tests/support/paths.h"

namespace mss::tests {

struct Result {
  int status = -1;  ///< exit status; 128 + signal when a signal ended it
  std::string out, err;
  std::int64_t peak_rss_bytes = 0;
};

struct Call {
  std::vector<std::string> arguments{};
  std::vector<std::pair<std::string, std::string>> environment{};  ///< beside a clean one
  fs::path folder{};                                               ///< working folder; empty = a scratch one
  std::string program{};                                           ///< empty = mssbench
  std::function<void()> in_child{};                                ///< after fork, before exec
  std::function<void(pid_t)> while_running{};                      ///< in the parent
  std::string standard_output{};                                   ///< a path instead of being kept
};

/// The child sees PATH, HOME (an empty scratch folder), LC_ALL=C and `environment`; nothing of the caller's settings.
Result call(const Call& wanted);
inline Result mssbench(std::vector<std::string> arguments) { return call({.arguments = std::move(arguments)}); }

/// Is there a line in `text` that the ECMAScript pattern matches wholly?
bool has_line(std::string_view text, const std::string& pattern);
bool contains(std::string_view text, std::string_view part);
std::vector<std::string> lines(std::string_view text);

/// Two sine tones per channel, different between `kind`s; |x| <= 0.3.
audio::AudioBuffer tones(int kind, int channels = 2, std::int64_t samples = 44100, int rate_hz = 44100);
/// Writes float32 audio and returns the path as text; makes the folder.
std::string write_audio(const fs::path& path, const audio::AudioBuffer& audio);

}  // namespace mss::tests
