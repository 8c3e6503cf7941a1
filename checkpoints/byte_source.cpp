#include "checkpoints/byte_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace mss::checkpoints {
namespace {

[[noreturn]] void system_failure(const std::string& name, const char* what, int number) {
  throw Error({Code::io, name, what, "", std::strerror(number), ""});
}

class FileSource final : public ByteSource {
 public:
  FileSource(std::string name, std::uint64_t size, int descriptor)
      : ByteSource(std::move(name), size), descriptor_(descriptor) {}
  ~FileSource() override { ::close(descriptor_); }
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

 private:
  void fetch(std::uint64_t offset, void* out, std::size_t bytes) const override {
    auto* to = static_cast<char*>(out);
    while (bytes > 0) {
      const ssize_t got = ::pread(descriptor_, to, bytes, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) system_failure(name(), "cannot read the file", errno);
      if (got == 0) throw Error(Code::io, name(), "the file has become shorter since it was opened");
      to += got;
      offset += static_cast<std::uint64_t>(got);
      bytes -= static_cast<std::size_t>(got);
    }
  }

  int descriptor_;
};

class MemorySource final : public ByteSource {
 public:
  MemorySource(std::string name, std::string bytes)
      : ByteSource(std::move(name), bytes.size()), bytes_(std::move(bytes)) {}

 private:
  void fetch(std::uint64_t offset, void* out, std::size_t bytes) const override {
    std::memcpy(out, bytes_.data() + offset, bytes);
  }

  std::string bytes_;
};

}  // namespace

void ByteSource::read(std::uint64_t offset, void* out, std::size_t bytes) const {
  if (offset > size_ || bytes > size_ - offset) {
    throw Error({Code::format, name_, "the file ends too early", fmt::format("{} bytes at {}", bytes, offset),
                 fmt::format("{} bytes in all", size_), ""});
  }
  if (bytes > 0) fetch(offset, out, bytes);
}

std::string ByteSource::read(std::uint64_t offset, std::size_t bytes) const {
  if (offset > size_ || bytes > size_ - offset) read(offset, nullptr, bytes);  // throws before anything is allocated
  std::string out(bytes, '\0');
  read(offset, out.data(), bytes);
  return out;
}

std::shared_ptr<const ByteSource> open_file(const std::filesystem::path& path) {
  const std::string name = path.string();
  // Without O_NONBLOCK opening a pipe that nobody writes would wait for ever.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) system_failure(name, "cannot open the file", errno);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    const int number = errno;
    ::close(descriptor);
    system_failure(name, "cannot open the file", number);
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor);
    throw Error({Code::io, name, "cannot open the file", "an ordinary file",
                 S_ISDIR(status.st_mode) ? "a folder" : "a pipe or device", ""});
  }
  return std::make_shared<FileSource>(name, static_cast<std::uint64_t>(status.st_size), descriptor);
}

std::shared_ptr<const ByteSource> bytes_in_memory(std::string bytes, std::string name) {
  return std::make_shared<MemorySource>(std::move(name), std::move(bytes));
}

}  // namespace mss::checkpoints
