// Blocks of floats that need not fit into memory: the first ones live there, the rest in one temporary file without a
// name, in the system's folder for such files (TMPDIR), which the system removes with the process.
//
// Thread-safety: read() and write() of different blocks, or of different parts of one, may run concurrently; add() and
// release() may not run beside anything else.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace mss::core {

class Spill {
 public:
  /// Blocks up to `memory_bytes` in total stay in memory; 0 = none.
  explicit Spill(std::int64_t memory_bytes);
  ~Spill();
  Spill(const Spill&) = delete;
  Spill& operator=(const Spill&) = delete;

  /// A block of `floats` values (undefined until written); returns its number. Throws Error(resource) where the
  /// temporary file cannot be made.
  std::int64_t add(std::int64_t floats);
  /// The block's memory, aligned to 64 bytes, or null where it lies in the file.
  float* memory(std::int64_t block) noexcept;
  /// Copies `count` values from or to `offset`. Throw Error(resource) with the system's reason (disk full):
  /// what is short is the machine's room, not the input or the output.
  void read(std::int64_t block, std::int64_t offset, std::int64_t count, float* out) const;
  void write(std::int64_t block, std::int64_t offset, std::int64_t count, const float* values);
  /// The block's space is used again by later ones of the same size.
  void release(std::int64_t block);

  std::int64_t memory_bytes() const noexcept { return held_bytes_; }
  std::int64_t file_bytes() const noexcept { return file_bytes_; }

 private:
  struct Block;
  struct Free;
  std::int64_t limit_bytes_, held_bytes_ = 0, file_bytes_ = 0;
  int file_ = -1;
  std::vector<Block> blocks_;
  std::vector<Free> free_;
};

}  // namespace mss::core
