#include "core/isa.h"
#include "eval/kernels.h"

namespace mss::eval {

namespace baseline {
extern const Kernels table;
}
namespace avx2 {
extern const Kernels table;
}
namespace avx512 {
extern const Kernels table;
}

const Kernels& kernels() {
  static const Kernels& chosen = *MSS_ACTIVE_ISA(const Kernels*, table);
  return chosen;
}

}  // namespace mss::eval
