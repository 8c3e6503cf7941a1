// Bytes at offsets, from a file or from memory: what the readers of foreign formats stand on, so that large files are
// read piece by piece and fuzzers need no disk.
//
// Thread-safety: read() may be called at once from several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace mss::checkpoints {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Stands in errors.
  const std::string& name() const noexcept { return name_; }
  std::uint64_t size() const noexcept { return size_; }
  /// Throws Error(format) for a range that is not inside, Error(io) when the file cannot be read (or has shrunk).
  void read(std::uint64_t offset, void* out, std::size_t bytes) const;
  std::string read(std::uint64_t offset, std::size_t bytes) const;

 protected:
  ByteSource(std::string name, std::uint64_t size) : name_(std::move(name)), size_(size) {}

 private:
  virtual void fetch(std::uint64_t offset, void* out, std::size_t bytes) const = 0;  // the range is inside

  std::string name_;
  std::uint64_t size_;
};

/// Keeps the file open. Throws Error(io) naming it when it is missing, unreadable or no ordinary file.
std::shared_ptr<const ByteSource> open_file(const std::filesystem::path& path);
std::shared_ptr<const ByteSource> bytes_in_memory(std::string bytes, std::string name);

}  // namespace mss::checkpoints
