#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "audio/file.h"
#include "core/error.h"
#include "tests/fuzz/targets.h"

using namespace mss;
using tests::promise;

namespace {

constexpr std::int64_t kMostSamples = 1 << 20;  // longer files are legal, but slow to fuzz

/// A file in memory: the readers take paths.
class MemoryFile {
 public:
  MemoryFile(const std::uint8_t* data, std::size_t size) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    promise(fd_ >= 0, "a file in memory");
    std::size_t done = 0;
    while (done < size) {
      const ssize_t n = ::write(fd_, data + done, size - done);
      promise(n > 0, "the file takes its bytes");
      done += static_cast<std::size_t>(n);
    }
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

template <class Read>
bool attempt(const Read& read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    promise(!error.parts().where.empty(), "an error names the file");
    promise(error.code() != Code::internal, "no defect of our own");
    return false;
  }
}

}  // namespace

int mssbench_fuzz_audio(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file(data, size);
  const bool opened = attempt([&] {
    const audio::FileInfo info = audio::probe(file.path());
    promise(info.channels >= 1 && info.channels <= 64 && info.rate_hz >= 1 && info.streams >= 1, "a plausible header");
  });
  if (!opened) {
    ++tests::refused_inputs;
    return 0;
  }
  attempt([&] {
    const auto source = audio::open_file(file.path());
    audio::AudioBuffer block(source->channels(), 4096, source->rate_hz());
    std::int64_t total = 0;
    while (const std::int64_t n = source->read(block.span())) {
      promise(n <= block.samples(), "no more samples than asked for");
      total += n;
      if (total > kMostSamples) break;
    }
  });
  return 0;
}

MSSBENCH_FUZZ_TARGET(mssbench_fuzz_audio)
