#include "core/stop.h"

#include "core/error.h"

namespace mss::core {

void StopToken::check() const {
  if (stop_requested()) throw Error(Code::cancelled, "", "stopped on request");
}

}  // namespace mss::core
