#include "core/file.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/measure.h"
#include "core/stop.h"

namespace mss::core {
namespace {

[[noreturn]] void fail(const fs::path& path, std::string_view what, int error) {
  throw Error(Code::io, path.string(), std::string(what) + ": " + std::strerror(error));
}

constexpr std::string_view kTemporaryStart = ".mssbench-", kTemporaryEnd = ".tmp";

/// Machines that share a file system tell their files apart by this.
const std::string& host_mark() {
  static const std::string mark = [] {
    std::string digits;
    for (std::uint64_t bits = fnv1a64(host_name()); digits.size() < 8; bits >>= 4)
      digits += "0123456789abcdef"[bits & 15];
    return digits;
  }();
  return mark;
}

/// A name that nobody can guess (so that nobody can put a link there) and that tells whose it is. It does not carry the
/// target's name, which may be as long as names can be.
fs::path temporary_name(const fs::path& folder) {
  std::array<unsigned char, 8> bits{};
  if (::getentropy(bits.data(), bits.size()) != 0) fail(folder, "no random numbers for a temporary name", errno);
  std::string name = std::string(kTemporaryStart) + host_mark() + "-" + std::to_string(::getpid()) + "-";
  for (const unsigned char b : bits) {
    constexpr char digits[] = "0123456789abcdef";
    name += digits[b >> 4];
    name += digits[b & 15];
  }
  return folder / (name + std::string(kTemporaryEnd));
}

/// Where symbolic links lead, also when nothing is there yet.
fs::path followed(const fs::path& path) {
  fs::path at = path;
  std::error_code error;
  for (int link = 0; link < 40 && fs::is_symlink(fs::symlink_status(at, error)); ++link) {
    const fs::path next = fs::read_symlink(at, error);
    if (error) fail(path, "cannot follow the link", error.value());
    at = next.is_absolute() ? next : at.parent_path() / next;
  }
  if (fs::is_symlink(fs::symlink_status(at, error))) fail(path, "cannot follow the link", ELOOP);
  return at;
}

void sync_folder(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // a folder that may be written but not read
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (result != 0 && error != EINVAL && error != ENOTSUP && error != EROFS) fail(path, "cannot write", error);
}

struct Descriptor {
  int value;
  ~Descriptor() { ::close(value); }
};

}  // namespace

std::string read_text_file(const fs::path& path, std::uint64_t limit_bytes) {
  // Without O_NONBLOCK a FIFO that nobody writes to would hold the process here.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(path, "cannot open", errno);
  const Descriptor guard{fd};
  std::string content;
  std::string chunk(1 << 16, '\0');
  while (true) {
    const ssize_t n = ::read(fd, chunk.data(), chunk.size());
    if (n < 0) {
      if (errno == EAGAIN) {
        check_stop();
        pollfd wait{fd, POLLIN, 0};
        ::poll(&wait, 1, 100);
      } else if (errno != EINTR) {
        fail(path, "cannot read", errno);
      }
      continue;
    }
    if (n == 0) break;
    content.append(chunk.data(), static_cast<std::size_t>(n));
    if (content.size() > limit_bytes) {
      throw Error({Code::resource, path.string(), "too long for a text file",
                   "at most " + std::to_string(limit_bytes) + " bytes", "more", ""});
    }
  }
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
  std::string_view left;
  while (next(left)) {
    while (!left.empty()) {
      const ssize_t n = ::write(file.descriptor(), left.data(), left.size());
      if (n < 0) {
        if (errno == EINTR) continue;
        fail(path, "cannot write", errno);
      }
      left.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  file.commit();
}

AtomicFile::AtomicFile(fs::path target) : target_(std::move(target)), final_(followed(target_)) {
  struct stat existing {};
  const bool replaces = ::stat(final_.c_str(), &existing) == 0;
  if (replaces && S_ISDIR(existing.st_mode)) fail(target_, "cannot replace", EISDIR);
  if (replaces && !S_ISREG(existing.st_mode)) {
    throw Error(Code::io, target_.string(), "cannot replace: not a regular file (a device, FIFO or socket)");
  }
  temporary_ = temporary_name(final_.parent_path());
  descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(target_, "cannot create", errno);
  if (!replaces) return;
  // Owner first: giving a file away clears some permissions. Only root and the owner may; others keep their own.
  if (::fchown(descriptor_, existing.st_uid, existing.st_gid) != 0) errno = 0;
  if (::fchmod(descriptor_, existing.st_mode & 0777) != 0) errno = 0;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : target_(std::move(other.target_)),
      final_(std::move(other.final_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::commit() {
  // Some file systems cannot sync; that is no loss of data we could prevent.
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS)
    fail(target_, "cannot write", errno);
  if (::rename(temporary_.c_str(), final_.c_str()) != 0) fail(target_, "cannot rename into place", errno);
  const bool closed = ::close(std::exchange(descriptor_, -1)) == 0;
  if (!closed) fail(target_, "cannot write", errno);
  const fs::path folder = final_.parent_path();
  sync_folder(folder.empty() ? fs::path(".") : folder);
}

std::optional<long> temporary_owner(std::string_view name) {
  if (!name.starts_with(kTemporaryStart) || !name.ends_with(kTemporaryEnd)) return std::nullopt;
  name.remove_prefix(kTemporaryStart.size());
  if (!name.starts_with(host_mark() + "-")) return std::nullopt;
  name.remove_prefix(host_mark().size() + 1);
  long pid = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (error != std::errc() || pid < 1 || end == name.data() + name.size() || *end != '-') return std::nullopt;
  return pid;
}

void remove_dead_temporaries(const fs::path& folder) {
  std::error_code ignored;
  for (fs::directory_iterator it(folder, ignored), end; !ignored && it != end; it.increment(ignored)) {
    const std::optional<long> owner = temporary_owner(it->path().filename().native());
    if (!owner || *owner == ::getpid()) continue;
    if (::kill(static_cast<pid_t>(*owner), 0) != 0 && errno == ESRCH) ::unlink(it->path().c_str());
  }
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
