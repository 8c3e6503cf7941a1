// SHA-256 (FIPS 180-4) for identity of files, weights and samples; FNV-1a 64 for short slugs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace mss::core {

class Sha256 {
 public:
  Sha256() noexcept;
  void update(const void* data, std::size_t bytes) noexcept;
  void update(std::string_view text) noexcept { update(text.data(), text.size()); }
  /// 64 lower-case hexadecimal digits. The object may not be used afterwards.
  std::string hex_digest();

 private:
  void block(const unsigned char* p) noexcept;
  std::array<std::uint32_t, 8> state_;
  std::array<unsigned char, 64> buffer_{};
  std::uint64_t bytes_ = 0;
};

std::string sha256_hex(std::string_view bytes);
/// Streams the file; throws Error(io) naming it.
std::string sha256_file(const std::filesystem::path& path);

/// FNV-1a, 64 bit: offset basis 0xcbf29ce484222325, prime 0x100000001b3.
std::uint64_t fnv1a64(std::string_view bytes) noexcept;

}  // namespace mss::core
