#include "core/isa.h"
#include "eval/kernels.h"

namespace mss::eval {

namespace baseline {
extern const Kernels table;
}
#ifdef MSSBENCH_X86_KERNELS
namespace avx2 {
extern const Kernels table;
}
namespace avx512 {
extern const Kernels table;
}
#endif

const Kernels& kernels() {
#ifdef MSSBENCH_X86_KERNELS
  static const Kernels& chosen = *core::select_isa(&baseline::table, &avx2::table, &avx512::table);
  return chosen;
#else
  return baseline::table;
#endif
}

}  // namespace mss::eval
