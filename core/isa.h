// Which instruction set the hot kernels use. Kernels are compiled once per set and chosen through active_isa(), once
// at start-up. The environment variable MSSBENCH_ISA (baseline, avx2, avx512) lowers the choice; asking for a set that
// the processor lacks is an Error(config). Equal bits hold for any number of threads on ONE instruction set; records
// carry its name.
#pragma once

#include <string_view>

namespace mss::core {

enum class Isa { baseline, avx2, avx512 };  ///< avx2 = AVX2+FMA; avx512 = F, DQ, BW, VL besides

std::string_view isa_name(Isa isa) noexcept;
Isa detected_isa() noexcept;  ///< the best that processor and operating system support
Isa active_isa();             ///< detected, or what MSSBENCH_ISA asks for; read once

/// Picks the entry for the active instruction set.
template <class F>
F select_isa(F baseline, F avx2, F avx512) {
  switch (active_isa()) {
    case Isa::avx512:
      return avx512;
    case Isa::avx2:
      return avx2;
    default:
      return baseline;
  }
}

/// Among baseline::NAME, avx2::NAME and avx512::NAME of the namespace around, the address (a TYPE) of the one for the
/// active instruction set. A build for another processor has the baseline only (mss_add_module, KERNELS). Callers keep
/// it: `static const Kernels& chosen = *MSS_ACTIVE_ISA(const Kernels*, kKernels);`
#if defined(MSSBENCH_X86_KERNELS)
#define MSS_ACTIVE_ISA(TYPE, NAME) ::mss::core::select_isa<TYPE>(&baseline::NAME, &avx2::NAME, &avx512::NAME)
#else
#define MSS_ACTIVE_ISA(TYPE, NAME) static_cast<TYPE>(&baseline::NAME)
#endif

/// Flushes denormals to zero in the calling thread while in scope (SSE FTZ/DAZ; FPCR.FZ on arm64).
class FlushDenormals {
 public:
  FlushDenormals() noexcept;
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned long long saved_;
};

/// Denormals count again in the calling thread, and in threads that it starts. For what loads a library whose start-up
/// code flushes them for the whole program (GCC puts that into shared libraries that are linked with -ffast-math).
void keep_denormals() noexcept;

}  // namespace mss::core
