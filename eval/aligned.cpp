#include "eval/aligned.h"

#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace mss::eval {

namespace {

constexpr std::size_t kLine = 64, kHugePage = std::size_t{2} << 20;

/// Below this, rounding to huge pages would cost more memory than page faults cost time.
constexpr std::size_t kHuge = 4 * kHugePage;

std::align_val_t alignment(std::size_t bytes) { return std::align_val_t{bytes >= kHuge ? kHugePage : kLine}; }

}  // namespace

void* allocate_lines(std::size_t bytes) {
  void* p = ::operator new(bytes, alignment(bytes));
#ifdef __linux__
  // Only advice: where it is refused, pages are small.
  if (bytes >= kHuge) static_cast<void>(madvise(p, bytes / kHugePage * kHugePage, MADV_HUGEPAGE));
#endif
  return p;
}

void free_lines(void* p, std::size_t bytes) noexcept { ::operator delete(p, alignment(bytes)); }

}  // namespace mss::eval
