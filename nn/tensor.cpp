#include "nn/tensor.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include "core/error.h"
#include "core/parallel.h"

namespace mss::nn {
namespace {

constexpr std::size_t kPage = 4096, kHugePage = std::size_t{2} << 20;
/// Blocks of this size and more are pages of their own, which go back to the system when they are released. From the C
/// library's heap they would not: it raises the size from which it does so to that of the largest block it has seen (up
/// to 32 MiB), and blocks of changing sizes between long-lived small ones then leave holes, so that a network's memory
/// grows with the length of the track. AddressSanitizer watches the heap alone.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kOwnPages = std::numeric_limits<std::size_t>::max();
#else
constexpr std::size_t kOwnPages = std::size_t{64} << 10;
#endif

std::size_t round_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

/// `bytes` of pages, a multiple of `unit`, that begin at a multiple of `unit`; null where there is no room.
void* map_pages(std::size_t bytes, std::size_t unit) {
  // The system aligns to its pages alone: what lies before and behind goes back.
  const std::size_t spare = unit - kPage;
  void* found = mmap(nullptr, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (found == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(found);
  const std::size_t before =
      round_up(reinterpret_cast<std::uintptr_t>(begin), unit) - reinterpret_cast<std::uintptr_t>(begin);
  if (before > 0) munmap(begin, before);
  if (before < spare) munmap(begin + before + bytes, spare - before);
  return begin + before;
}

/// At least 64-byte aligned; large blocks on huge pages where the system has them.
std::pair<float*, std::size_t> allocate(std::int64_t count) {
  const std::size_t wanted = std::max<std::size_t>(static_cast<std::size_t>(count), 1) * sizeof(float);
  const std::size_t unit = wanted >= kHugePage ? kHugePage : kPage, bytes = round_up(wanted, unit);
  void* memory = bytes >= kOwnPages ? map_pages(bytes, unit) : std::aligned_alloc(64, bytes);
  if (memory == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (unit == kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return {static_cast<float*>(memory), bytes};
}

/// A block of allocate().
void release(float* block, std::size_t bytes) noexcept {
  if (bytes >= kOwnPages) {
    munmap(block, bytes);
  } else {
    std::free(block);
  }
}

thread_local const RunScope* current = nullptr;

}  // namespace

/// Blocks that no tensor uses, by size.
class MemoryPool : public std::enable_shared_from_this<MemoryPool> {
 public:
  ~MemoryPool() {
    for (const auto& [bytes, block] : free_) release(block, bytes);
  }
  std::shared_ptr<float> take(std::int64_t count) {
    const std::size_t wanted = static_cast<std::size_t>(count) * sizeof(float);
    float* block = nullptr;
    std::size_t bytes = 0;
    {
      const std::lock_guard lock(guard_);
      const auto found = free_.lower_bound(wanted);
      // A block much larger than needed stays for those who need it.
      if (found != free_.end() && found->first <= 2 * wanted + 65536) {
        bytes = found->first;
        block = found->second;
        free_.erase(found);
      }
      if (block == nullptr && held_ + wanted > peak_) trim(wanted);
    }
    if (block == nullptr) {
      std::tie(block, bytes) = allocate(count);
      const std::lock_guard lock(guard_);
      held_ += bytes;
      peak_ = std::max(peak_, held_);
    }
    return {block, [pool = shared_from_this(), bytes](float* p) { pool->give(p, bytes); }};
  }
  std::int64_t peak() const {
    const std::lock_guard lock(guard_);
    return static_cast<std::int64_t>(peak_);
  }

 private:
  void give(float* block, std::size_t bytes) {
    const std::lock_guard lock(guard_);
    free_.emplace(bytes, block);
  }
  /// Before the pool grows: unused blocks that fit nobody go back to the system, up to what is wanted.
  void trim(std::size_t wanted) {
    std::size_t gone = 0;
    while (!free_.empty() && gone < wanted) {
      const auto last = std::prev(free_.end());
      gone += last->first;
      held_ -= last->first;
      release(last->second, last->first);
      free_.erase(last);
    }
  }

  mutable std::mutex guard_;
  std::multimap<std::size_t, float*> free_;
  std::size_t held_ = 0, peak_ = 0;
};

RunScope::RunScope(int threads, core::StopToken stop)
    : threads_(core::resolve_threads(threads)),
      stop_(std::move(stop)),
      pool_(std::make_shared<MemoryPool>()),
      outer_(current) {
  current = this;
}

RunScope::RunScope(const RunScope* outer, int threads)
    : threads_(core::resolve_threads(threads)),
      stop_(outer == nullptr ? core::StopToken() : outer->stop_),
      pool_(outer == nullptr ? std::make_shared<MemoryPool>() : outer->pool_),
      outer_(current) {
  current = this;
}

const RunScope* RunScope::innermost() noexcept { return current; }

RunScope::~RunScope() { current = outer_; }

int RunScope::threads() noexcept { return current == nullptr ? 1 : current->threads_; }

void RunScope::check_stop() {
  if (current != nullptr) current->stop_.check();
}

core::StopToken RunScope::stop() { return current == nullptr ? core::StopToken() : current->stop_; }

std::int64_t RunScope::peak_bytes() noexcept { return current == nullptr ? 0 : current->pool_->peak(); }

Tensor::Tensor(std::int64_t items, std::int64_t frames, std::int64_t channels)
    : items_(items), frames_(frames), channels_(channels), item_stride_(frames * channels), row_stride_(channels) {
  MSS_ASSERT(items >= 0 && frames >= 0 && channels >= 0);
  if (current != nullptr) {
    memory_ = current->pool_->take(elements());
  } else {
    const auto [block, bytes] = allocate(elements());
    memory_ = {block, [bytes](float* p) { release(p, bytes); }};
  }
  data_ = memory_.get();
}

Tensor Tensor::zeros(std::int64_t items, std::int64_t frames, std::int64_t channels) {
  Tensor out(items, frames, channels);
  std::fill_n(out.data_, out.elements(), 0.0F);
  return out;
}

Tensor Tensor::from(const float* values, std::int64_t items, std::int64_t frames, std::int64_t channels) {
  Tensor out(items, frames, channels);
  std::copy_n(values, out.elements(), out.data_);
  return out;
}

Tensor Tensor::borrow(const float* values, std::int64_t items, std::int64_t frames, std::int64_t channels) {
  Tensor out;
  out.data_ = const_cast<float*>(values);
  out.items_ = items;
  out.frames_ = frames;
  out.channels_ = channels;
  out.item_stride_ = frames * channels;
  out.row_stride_ = channels;
  return out;
}

Tensor Tensor::packed() const {
  if (contiguous()) return *this;
  Tensor out(items_, frames_, channels_);
  for (std::int64_t b = 0; b < items_; ++b) {
    if (row_stride_ == channels_) {
      std::copy_n(row(b, 0), frames_ * channels_, out.row(b, 0));
    } else {
      for (std::int64_t t = 0; t < frames_; ++t) std::copy_n(row(b, t), channels_, out.row(b, t));
    }
  }
  return out;
}

Tensor Tensor::narrow(int axis, std::int64_t begin, std::int64_t count) const {
  const std::int64_t size = axis == 0 ? items_ : axis == 1 ? frames_ : channels_;
  MSS_ASSERT(axis >= 0 && axis <= 2 && begin >= 0 && count >= 0 && begin + count <= size);
  Tensor out = *this;
  if (axis == 0) {
    out.items_ = count;
    out.data_ += begin * item_stride_;
  } else if (axis == 1) {
    out.frames_ = count;
    out.data_ += begin * row_stride_;
  } else {
    out.channels_ = count;
    out.data_ += begin;
  }
  return out;
}

Tensor Tensor::reshape(std::int64_t items, std::int64_t frames, std::int64_t channels) const {
  MSS_ASSERT(items * frames * channels == elements());
  Tensor out = packed();
  out.items_ = items;
  out.frames_ = frames;
  out.channels_ = channels;
  out.item_stride_ = frames * channels;
  out.row_stride_ = channels;
  return out;
}

std::vector<float> Tensor::values() const {
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(elements()));
  for (std::int64_t b = 0; b < items_; ++b) {
    for (std::int64_t t = 0; t < frames_; ++t) out.insert(out.end(), row(b, t), row(b, t) + channels_);
  }
  return out;
}

Floats::Floats(std::int64_t count) : size_(count) {
  const auto [block, bytes] = allocate(count);
  data_ = {block, Free{bytes}};
}

void Floats::Free::operator()(float* p) const noexcept { release(p, bytes); }

float* Floats::room(std::int64_t count) {
  if (count > size_) *this = Floats(count);
  return data();
}

}  // namespace mss::nn
