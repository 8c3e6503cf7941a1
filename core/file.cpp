#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "core/error.h"

namespace mss::core {
namespace {

[[noreturn]] void fail(const fs::path& path, std::string_view what, int error) {
  throw Error(Code::io, path.string(), std::string(what) + ": " + std::strerror(error));
}

/// Unique within the machine's processes; the leading dot keeps it out of globs.
fs::path temporary_name(const fs::path& target) {
  static std::atomic<unsigned> counter{0};
  return target.parent_path() / ("." + target.filename().string() + "." + std::to_string(::getpid()) + "-" +
                                 std::to_string(counter.fetch_add(1)) + ".tmp");
}

void sync_path(const fs::path& path, int flags) {
  const int fd = ::open(path.c_str(), flags);
  if (fd < 0) fail(path, "cannot open", errno);
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  // Some file systems cannot sync folders or special files; that is no loss of data we could prevent.
  if (result != 0 && error != EINVAL && error != ENOTSUP && error != EROFS) fail(path, "cannot write", error);
}

}  // namespace

std::string read_text_file(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path, "cannot open", errno);
  std::string content;
  std::string chunk(1 << 16, '\0');
  while (true) {
    const ssize_t n = ::read(fd, chunk.data(), chunk.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      const int error = errno;
      ::close(fd);
      fail(path, "cannot read", error);
    }
    if (n == 0) break;
    content.append(chunk.data(), static_cast<std::size_t>(n));
  }
  ::close(fd);
  return content;
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  write_file_atomic(path, std::span<const std::string_view>(&content, 1));
}

void write_file_atomic(const fs::path& path, std::span<const std::string_view> pieces) {
  std::size_t at = 0;
  write_file_atomic(path, [&](std::string_view& piece) {
    if (at == pieces.size()) return false;
    piece = pieces[at++];
    return true;
  });
}

void write_file_atomic(const fs::path& path, const std::function<bool(std::string_view& piece)>& next) {
  AtomicFile file(path);
  int fd = ::open(file.temporary().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) fail(path, "cannot create", errno);
  const auto close_now = [&fd] { return ::close(std::exchange(fd, -1)); };
  try {
    std::string_view left;
    while (next(left)) {
      while (!left.empty()) {
        const ssize_t n = ::write(fd, left.data(), left.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail(path, "cannot write", errno);
        left.remove_prefix(static_cast<std::size_t>(n));
      }
    }
  } catch (...) {
    close_now();
    throw;
  }
  if (close_now() != 0) fail(path, "cannot write", errno);
  file.commit();
}

AtomicFile::AtomicFile(fs::path target) : target_(std::move(target)), temporary_(temporary_name(target_)) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::move(other.temporary_)), done_(other.done_) {
  other.done_ = true;
}

AtomicFile::~AtomicFile() {
  if (!done_) ::unlink(temporary_.c_str());
}

void AtomicFile::commit() {
  sync_path(temporary_, O_RDONLY | O_CLOEXEC);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail(target_, "cannot rename into place", errno);
  done_ = true;
  const fs::path folder = target_.parent_path();
  sync_path(folder.empty() ? fs::path(".") : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void make_directories(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw Error(Code::io, path.string(), "cannot create folder: " + error.message());
}

std::vector<fs::path> list_directory(const fs::path& path) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    entries.push_back(it->path());
  if (error) throw Error(Code::io, path.string(), "cannot read folder: " + error.message());
  std::sort(entries.begin(), entries.end(),
            [](const fs::path& a, const fs::path& b) { return a.filename().native() < b.filename().native(); });
  return entries;
}

}  // namespace mss::core
