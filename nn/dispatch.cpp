#include "core/isa.h"
#include "nn/kernels.h"

namespace mss::nn {

const Kernels& kernels() {
  static const Kernels& chosen = *MSS_ACTIVE_ISA(const Kernels*, kKernels);
  return chosen;
}

}  // namespace mss::nn
