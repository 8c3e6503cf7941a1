// One process per folder: commands that fill a folder over hours hold its lock meanwhile.
#pragma once

#include <filesystem>
#include <string_view>

namespace mss::core {

/// Name of the file that stands in a folder while it is locked.
inline constexpr std::string_view kFolderLockName = ".lock";

/// Holds flock(2) on FOLDER/.lock from construction to destruction, which removes the file. The lock of a process that
/// died is free at once; where the file system has no locks, nothing is held.
class FolderLock {
 public:
  /// The folder must exist. `work` says what another holder does there ("trains in this folder"). Throws Error(config)
  /// where another process or object holds the lock, Error(io) where the file cannot be made.
  FolderLock(const std::filesystem::path& folder, std::string_view work);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  std::filesystem::path file_;
  int descriptor_ = -1;
};

}  // namespace mss::core
