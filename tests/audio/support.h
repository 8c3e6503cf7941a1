// Signals, comparisons and crafted files for the tests of audio/.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "audio/buffer.h"
#include "core/error.h"
#include "core/hash.h"

namespace mss::tests {

/// u_0, u_1, … in [0, 1): splitmix64 from the FNV-1a hash of a key.
class KeyedUniform {
 public:
  explicit KeyedUniform(const std::string& key) : state_(core::fnv1a64(key)) {}
  double operator()() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    z ^= z >> 31;
    return static_cast<double>(z >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t state_;
};

/// White noise in [-0.9, 0.9), different in every channel.
inline audio::AudioBuffer noise(int channels, std::int64_t samples, int rate_hz, const std::string& key = "noise") {
  audio::AudioBuffer x(channels, samples, rate_hz);
  for (int c = 0; c < channels; ++c) {
    KeyedUniform u(key + std::to_string(c));
    for (float& v : x.channel(c)) v = static_cast<float>(1.8 * u() - 0.9);
  }
  return x;
}

inline audio::AudioBuffer tone(double hz, std::int64_t samples, int rate_hz, double amplitude = 0.5) {
  audio::AudioBuffer x(1, samples, rate_hz);
  for (std::int64_t i = 0; i < samples; ++i) {
    x.channel(0)[static_cast<std::size_t>(i)] = static_cast<float>(
        amplitude * std::sin(2.0 * std::numbers::pi * hz * static_cast<double>(i) / static_cast<double>(rate_hz)));
  }
  return x;
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

inline bool same_bits(const audio::AudioBuffer& a, const audio::AudioBuffer& b) {
  if (!audio::same_shape(a, b)) return false;
  for (int c = 0; c < a.channels(); ++c) {
    if (!same_bits(a.channel(c), b.channel(c))) return false;
  }
  return true;
}

/// Largest and root-mean-square error, each relative to the same of the reference.
struct RelativeError {
  double peak = 0.0, rms = 0.0;
};

template <class T, class U>
RelativeError relative_error(std::span<const T> reference, std::span<const U> found) {
  double peak = 0.0, power = 0.0, peak_error = 0.0, error_power = 0.0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double x = reference[i], e = static_cast<double>(found[i]) - x;
    peak = std::max(peak, std::fabs(x));
    peak_error = std::max(peak_error, std::fabs(e));
    power += x * x;
    error_power += e * e;
  }
  if (reference.empty() || peak == 0.0) return {peak_error, std::sqrt(error_power)};
  return {peak_error / peak, std::sqrt(error_power / power)};
}

/// The Error that `action` throws, if it does.
template <class F>
std::optional<Error> error_of(F action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string little_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  return out;
}

/// The plainest WAV: 44 bytes of header, then `data`. The header may promise another size than the data have.
inline std::string plain_wav(int format_tag, int channels, int rate_hz, int bits, const std::string& data,
                             std::optional<std::uint32_t> promised_bytes = {}) {
  const std::uint32_t size = promised_bytes.value_or(static_cast<std::uint32_t>(data.size()));
  const int block = channels * bits / 8;
  return "RIFF" + little_endian(36 + size, 4) + "WAVEfmt " + little_endian(16, 4) +
         little_endian(static_cast<std::uint64_t>(format_tag), 2) +
         little_endian(static_cast<std::uint64_t>(channels), 2) +
         little_endian(static_cast<std::uint64_t>(rate_hz), 4) +
         little_endian(static_cast<std::uint64_t>(rate_hz) * static_cast<std::uint64_t>(block), 4) +
         little_endian(static_cast<std::uint64_t>(block), 2) + little_endian(static_cast<std::uint64_t>(bits), 2) +
         "data" + little_endian(size, 4) + data;
}

}  // namespace mss::tests
