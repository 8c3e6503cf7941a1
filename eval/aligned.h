// Memory that starts at a cache line, for FFT buffers and kernels. Internal to mss::eval.
//
// Large blocks ask for huge pages: a score runs through some 60 MB of fresh memory, and with small pages the faults
// alone cost a fifth of its time on two threads.
#pragma once

#include <cstddef>
#include <vector>

namespace mss::eval {

/// Throws std::bad_alloc. `bytes` must be the same in both.
void* allocate_lines(std::size_t bytes);
void free_lines(void* p, std::size_t bytes) noexcept;

template <class T>
struct LineAllocator {
  using value_type = T;
  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) noexcept {}
  T* allocate(std::size_t n) { return static_cast<T*>(allocate_lines(n * sizeof(T))); }
  void deallocate(T* p, std::size_t n) noexcept { free_lines(p, n * sizeof(T)); }
  template <class U>
  bool operator==(const LineAllocator<U>&) const noexcept {
    return true;
  }
};

using AlignedVector = std::vector<double, LineAllocator<double>>;

}  // namespace mss::eval
