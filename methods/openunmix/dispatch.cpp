#include "core/isa.h"
#include "methods/openunmix/kernels.h"

namespace mss::methods::openunmix {

const Kernels& kernels() {
#if defined(MSSBENCH_X86_KERNELS)
  static const Kernels& chosen = *core::select_isa(&baseline::kKernels, &avx2::kKernels, &avx512::kKernels);
  return chosen;
#else
  return baseline::kKernels;
#endif
}

}  // namespace mss::methods::openunmix
