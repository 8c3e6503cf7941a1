#include "core/isa.h"

#include <cstdlib>
#include <string>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/error.h"

namespace mss::core {

std::string_view isa_name(Isa isa) noexcept {
  switch (isa) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    default:
      return "baseline";
  }
}

Isa detected_isa() noexcept {
#if defined(__x86_64__)
  // __builtin_cpu_supports also asks the operating system whether it saves the wide registers.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    return Isa::avx512;
  }
  if (avx2) return Isa::avx2;
#endif
  return Isa::baseline;
}

namespace {

Isa choose() {
  const Isa best = detected_isa();
  const char* wish = std::getenv("MSSBENCH_ISA");
  if (wish == nullptr || *wish == '\0') return best;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa_name(isa) != wish) continue;
    if (isa > best) {
      throw Error({Code::config, "MSSBENCH_ISA", "this processor lacks the instruction set",
                   "at most " + std::string(isa_name(best)), wish, ""});
    }
    return isa;
  }
  throw Error({Code::config, "MSSBENCH_ISA", "unknown instruction set", "baseline, avx2 or avx512", wish, ""});
}

}  // namespace

Isa active_isa() {
  static const Isa isa = choose();
  return isa;
}

#if defined(__x86_64__)
constexpr unsigned kFlush = 0x8040;  // FTZ and DAZ of MXCSR
FlushDenormals::FlushDenormals() noexcept : saved_(_mm_getcsr()) { _mm_setcsr(static_cast<unsigned>(saved_) | kFlush); }
FlushDenormals::~FlushDenormals() { _mm_setcsr(static_cast<unsigned>(saved_)); }
void keep_denormals() noexcept { _mm_setcsr(_mm_getcsr() & ~kFlush); }
#elif defined(__aarch64__)
FlushDenormals::FlushDenormals() noexcept : saved_(0) {
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" : : "r"(saved_ | (1ull << 24)));
}
FlushDenormals::~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }
void keep_denormals() noexcept {
  unsigned long long control = 0;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" : : "r"(control & ~(1ull << 24)));
}
#else
FlushDenormals::FlushDenormals() noexcept : saved_(0) {}
FlushDenormals::~FlushDenormals() = default;
void keep_denormals() noexcept {}
#endif

}  // namespace mss::core
