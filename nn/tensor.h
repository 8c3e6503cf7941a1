// Arrays of the layer set Cpu: float32, (B, T, C) = items, frames, channels, channels last. A tensor is a view of
// shared memory with any distance between items and between frames; channels are always adjacent. Copies are cheap and
// see the same values; functions of nn/cpu.h never change their arguments, except where they say so.
//
// Memory comes from the pool of the calling thread's RunScope, where there is one, and goes back to it with the last
// view, so that the layers of a network use the same few blocks again and again (fresh pages cost more than many a
// layer).
//
// Thread-safety: const members may run concurrently; the pool locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/isa.h"
#include "core/stop.h"

namespace mss::nn {

class MemoryPool;

/// What a call of a network holds on its thread: the number of threads that layers may use, the token that long layers
/// ask, a pool of memory, and denormals flushed to zero (decaying recurrent states are otherwise a hundred times slower
/// in silent music). Results do not depend on `threads`.
class RunScope {
 public:
  /// threads >= 1, or 0 for all processors.
  explicit RunScope(int threads, core::StopToken stop = {});
  /// On another thread that works for the holder of `outer` (or of none): its token and pool, but `threads` of its own.
  RunScope(const RunScope* outer, int threads);
  ~RunScope();
  RunScope(const RunScope&) = delete;
  RunScope& operator=(const RunScope&) = delete;

  /// The innermost scope of the calling thread, or null.
  static const RunScope* innermost() noexcept;
  /// Of the innermost scope of the calling thread; 1 and a token that never stops without one.
  static int threads() noexcept;
  static void check_stop();
  static core::StopToken stop();
  /// The most bytes that tensors of the calling thread's scope have held at once, and hold now; 0 without one.
  static std::int64_t peak_bytes() noexcept;

 private:
  friend class Tensor;
  int threads_;
  core::StopToken stop_;
  std::shared_ptr<MemoryPool> pool_;
  const RunScope* outer_;
  core::FlushDenormals flush_;
};

class Tensor {
 public:
  Tensor() = default;
  /// Values are whatever the memory held.
  Tensor(std::int64_t items, std::int64_t frames, std::int64_t channels);
  static Tensor zeros(std::int64_t items, std::int64_t frames, std::int64_t channels);
  /// A copy of `items * frames * channels` values.
  static Tensor from(const float* values, std::int64_t items, std::int64_t frames, std::int64_t channels);
  /// A view of the caller's memory, which must outlive every view of it. Nothing writes to it.
  static Tensor borrow(const float* values, std::int64_t items, std::int64_t frames, std::int64_t channels);

  std::int64_t items() const noexcept { return items_; }
  std::int64_t frames() const noexcept { return frames_; }
  std::int64_t channels() const noexcept { return channels_; }
  std::int64_t rows() const noexcept { return items_ * frames_; }
  std::int64_t elements() const noexcept { return items_ * frames_ * channels_; }
  /// Distances in floats.
  std::int64_t item_stride() const noexcept { return item_stride_; }
  std::int64_t row_stride() const noexcept { return row_stride_; }

  const float* row(std::int64_t item, std::int64_t frame) const noexcept {
    return data_ + item * item_stride_ + frame * row_stride_;
  }
  float* row(std::int64_t item, std::int64_t frame) noexcept {
    return data_ + item * item_stride_ + frame * row_stride_;
  }
  const float* data() const noexcept { return data_; }
  float* data() noexcept { return data_; }

  /// Nobody else sees the values, and they are no borrowed ones.
  bool is_alone() const noexcept { return memory_.use_count() == 1; }
  /// All values adjacent, in order.
  bool contiguous() const noexcept { return row_stride_ == channels_ && item_stride_ == frames_ * channels_; }
  /// All rows at one distance, so that items and frames can be counted as one.
  bool uniform() const noexcept { return items_ <= 1 || item_stride_ == frames_ * row_stride_; }
  /// Itself, or a contiguous copy.
  Tensor packed() const;
  /// Views. narrow: `count` items (axis 0), frames (1) or channels (2) from `begin`.
  Tensor narrow(int axis, std::int64_t begin, std::int64_t count) const;
  /// The same values in order under another shape; copies where they are not contiguous.
  Tensor reshape(std::int64_t items, std::int64_t frames, std::int64_t channels) const;
  std::vector<float> values() const;

 private:
  std::shared_ptr<float> memory_;
  float* data_ = nullptr;
  std::int64_t items_ = 0, frames_ = 0, channels_ = 0, item_stride_ = 0, row_stride_ = 0;
};

/// Aligned floats of a fixed number, for packed weights. Uninitialised.
class Floats {
 public:
  Floats() = default;
  explicit Floats(std::int64_t count);
  float* data() noexcept { return data_.get(); }
  const float* data() const noexcept { return data_.get(); }
  std::int64_t size() const noexcept { return size_; }
  /// Makes room for `count` values; what was there is lost if it had to grow.
  float* room(std::int64_t count);

 private:
  struct Free {
    std::size_t bytes;
    Free() noexcept : bytes(0) {}
    explicit Free(std::size_t size) noexcept : bytes(size) {}
    void operator()(float* p) const noexcept;
  };
  std::unique_ptr<float[], Free> data_;
  std::int64_t size_ = 0;
};

}  // namespace mss::nn
