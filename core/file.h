// Files: whole reads with clear errors, and writes that are either complete or absent.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mss::core {

namespace fs = std::filesystem;

/// Throws Error(io) with path and the system's reason.
std::string read_text_file(const fs::path& path);

/// Writes to a temporary name in the same folder, flushes to disk, renames. On any failure the temporary file is
/// removed, an existing `path` is untouched and Error(io) names path and reason (disk full, no permission).
void write_file_atomic(const fs::path& path, std::string_view content);
/// The same from pieces, one behind the other, without a copy of the whole.
void write_file_atomic(const fs::path& path, std::span<const std::string_view> pieces);
/// The same from pieces that are made one by one: `next` sets `piece` (valid until its next call), or returns false
/// behind the last one.
void write_file_atomic(const fs::path& path, const std::function<bool(std::string_view& piece)>& next);

/// Temporary name beside `path` for writers that fill the file themselves; commit() renames, the destructor removes
/// what was not committed.
class AtomicFile {
 public:
  explicit AtomicFile(fs::path target);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  const fs::path& temporary() const noexcept { return temporary_; }
  const fs::path& target() const noexcept { return target_; }
  void commit();  ///< fsync and rename; throws Error(io)

 private:
  fs::path target_, temporary_;
  bool done_ = false;
};

/// Creates the folder and its parents; throws Error(io) naming it.
void make_directories(const fs::path& path);

/// Entries of a folder sorted by name (bytes); throws Error(io) naming an unreadable or missing folder.
std::vector<fs::path> list_directory(const fs::path& path);

}  // namespace mss::core
