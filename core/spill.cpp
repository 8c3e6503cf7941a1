#include "core/spill.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>
#include <string>

#include "core/error.h"

namespace mss::core {
namespace {

constexpr std::align_val_t kAlign{64};

struct Release {
  void operator()(float* p) const noexcept { ::operator delete[](p, kAlign); }
};

[[noreturn]] void fail(const std::string& what, int reason) {
  std::error_code ignored;
  throw Error({.code = Code::resource,
               .where = std::filesystem::temp_directory_path(ignored).string(),
               .what = fmt::format("{}: {}", what, std::strerror(reason)),
               .expected = {},
               .found = {},
               .hint = "the environment variable TMPDIR names another folder for temporary files"});
}

int open_nameless_file() {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
  if (error) fail("no folder for temporary files", error.value());
  std::string name = (folder / "mssbench-XXXXXX").string();
  const int file = ::mkstemp(name.data());
  if (file < 0) fail("cannot make a temporary file", errno);
  ::unlink(name.c_str());
  return file;
}

}  // namespace

struct Spill::Block {
  std::unique_ptr<float[], Release> memory;
  std::int64_t offset = -1;  ///< bytes, in the file
  std::int64_t floats = 0;
};

struct Spill::Free {
  std::int64_t offset, floats;
};

Spill::Spill(std::int64_t memory_bytes) : limit_bytes_(memory_bytes) {}

Spill::~Spill() {
  if (file_ >= 0) ::close(file_);
}

std::int64_t Spill::add(std::int64_t floats) {
  MSS_ASSERT(floats > 0);
  const std::int64_t bytes = floats * static_cast<std::int64_t>(sizeof(float));
  Block block;
  block.floats = floats;
  if (held_bytes_ + bytes <= limit_bytes_) {
    block.memory.reset(static_cast<float*>(::operator new[](static_cast<std::size_t>(bytes), kAlign)));
    held_bytes_ += bytes;
  } else {
    if (file_ < 0) file_ = open_nameless_file();
    const auto fit = std::ranges::find_if(free_, [floats](const Free& hole) { return hole.floats == floats; });
    if (fit != free_.end()) {
      block.offset = fit->offset;
      free_.erase(fit);
    } else {
      block.offset = file_bytes_;
      file_bytes_ += bytes;
    }
  }
  blocks_.push_back(std::move(block));
  return static_cast<std::int64_t>(blocks_.size()) - 1;
}

float* Spill::memory(std::int64_t block) noexcept { return blocks_[static_cast<std::size_t>(block)].memory.get(); }

void Spill::read(std::int64_t block, std::int64_t offset, std::int64_t count, float* out) const {
  const Block& from = blocks_[static_cast<std::size_t>(block)];
  MSS_ASSERT(offset >= 0 && offset + count <= from.floats);
  if (from.memory) {
    std::copy_n(from.memory.get() + offset, count, out);
    return;
  }
  auto* at = reinterpret_cast<char*>(out);
  std::int64_t place = from.offset + offset * static_cast<std::int64_t>(sizeof(float));
  std::size_t left = static_cast<std::size_t>(count) * sizeof(float);
  while (left > 0) {
    const ssize_t got = ::pread(file_, at, left, place);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail("cannot read a temporary file", got < 0 ? errno : EIO);
    at += got;
    place += got;
    left -= static_cast<std::size_t>(got);
  }
}

void Spill::write(std::int64_t block, std::int64_t offset, std::int64_t count, const float* values) {
  const Block& to = blocks_[static_cast<std::size_t>(block)];
  MSS_ASSERT(offset >= 0 && offset + count <= to.floats);
  if (to.memory) {
    if (to.memory.get() + offset != values) std::copy_n(values, count, to.memory.get() + offset);
    return;
  }
  const auto* at = reinterpret_cast<const char*>(values);
  std::int64_t place = to.offset + offset * static_cast<std::int64_t>(sizeof(float));
  std::size_t left = static_cast<std::size_t>(count) * sizeof(float);
  while (left > 0) {
    const ssize_t done = ::pwrite(file_, at, left, place);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) fail("cannot write a temporary file", done < 0 ? errno : ENOSPC);
    at += done;
    place += done;
    left -= static_cast<std::size_t>(done);
  }
}

void Spill::release(std::int64_t block) {
  Block& gone = blocks_[static_cast<std::size_t>(block)];
  if (gone.memory) {
    held_bytes_ -= gone.floats * static_cast<std::int64_t>(sizeof(float));
    gone.memory.reset();
  } else if (gone.offset >= 0) {
    free_.push_back({gone.offset, gone.floats});
    gone.offset = -1;
  }
  gone.floats = 0;
}

}  // namespace mss::core
