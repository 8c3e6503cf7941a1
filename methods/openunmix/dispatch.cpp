#include "core/isa.h"
#include "methods/openunmix/kernels.h"

namespace mss::methods::openunmix {

const Kernels& kernels() {
  static const Kernels& chosen = *MSS_ACTIVE_ISA(const Kernels*, kKernels);
  return chosen;
}

}  // namespace mss::methods::openunmix
