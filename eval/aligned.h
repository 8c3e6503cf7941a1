// Memory that starts at a cache line, for FFT buffers and kernels. Internal to mss::eval.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace mss::eval {

template <class T>
struct LineAllocator {
  using value_type = T;
  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) noexcept {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{64})); }
  void deallocate(T* p, std::size_t) noexcept { ::operator delete (p, std::align_val_t{64}); }
  template <class U>
  bool operator==(const LineAllocator<U>&) const noexcept {
    return true;
  }
};

using AlignedVector = std::vector<double, LineAllocator<double>>;

}  // namespace mss::eval
