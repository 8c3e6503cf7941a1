#include "core/isa.h"
#include "nn/kernels.h"

namespace mss::nn {

const Kernels& kernels() {
#if defined(MSSBENCH_X86_KERNELS)
  static const Kernels& chosen = *core::select_isa(&baseline::kKernels, &avx2::kKernels, &avx512::kKernels);
  return chosen;
#else
  return baseline::kKernels;
#endif
}

}  // namespace mss::nn
