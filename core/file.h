// Files: whole reads with clear errors, and writes that are either complete or absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mss::core {

namespace fs = std::filesystem;

/// Throws Error(io) with path and the system's reason. A pipe or FIFO is read to its end, ending on a stop request
/// (core/stop.h); more than `limit_bytes` are Error(resource).
std::string read_text_file(const fs::path& path, std::uint64_t limit_bytes = std::uint64_t{1} << 31);

/// Writes to a temporary name in the same folder, flushes to disk, renames. On any failure the temporary file is
/// removed, an existing `path` is untouched and Error(io) names path and reason (disk full, no permission).
void write_file_atomic(const fs::path& path, std::string_view content);
/// The same from pieces, one behind the other, without a copy of the whole.
void write_file_atomic(const fs::path& path, std::span<const std::string_view> pieces);
/// The same from pieces that are made one by one: `next` sets `piece` (valid until its next call), or returns false
/// behind the last one.
void write_file_atomic(const fs::path& path, const std::function<bool(std::string_view& piece)>& next);

/// A file beside `target` under a name that nobody can guess, for writers that fill it themselves; commit() renames it
/// to `target`, the destructor removes what was not committed.
///
/// A file that is replaced keeps its permissions (and, where the system allows it, owner and group). Where `target` is
/// a symbolic link, the file that it leads to is replaced and the link stays; further hard links of a replaced file
/// keep the old content. A folder, device, FIFO or socket is never replaced: Error(io) names it.
class AtomicFile {
 public:
  /// Creates the temporary file (exclusively). Throws Error(io).
  explicit AtomicFile(fs::path target);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  const fs::path& temporary() const noexcept { return temporary_; }
  /// As given, also where it is a link.
  const fs::path& target() const noexcept { return target_; }
  /// The open temporary file, for reading and writing; this object closes it.
  int descriptor() const noexcept { return descriptor_; }
  void commit();  ///< fsync and rename; throws Error(io)

 private:
  fs::path target_, final_, temporary_;  // final_: where links lead
  int descriptor_ = -1;
};

/// The process of this machine whose AtomicFile has this file name (".mssbench-HOST-PID-RANDOM.tmp"); nothing for other
/// names and other machines' files.
std::optional<long> temporary_owner(std::string_view file_name);
/// Removes the temporary files in `folder` that processes of this machine left which are gone. A folder that cannot be
/// read is left alone.
void remove_dead_temporaries(const fs::path& folder);

/// Creates the folder and its parents; throws Error(io) naming it.
void make_directories(const fs::path& path);

/// Entries of a folder sorted by name (bytes); throws Error(io) naming an unreadable or missing folder.
std::vector<fs::path> list_directory(const fs::path& path);

}  // namespace mss::core
