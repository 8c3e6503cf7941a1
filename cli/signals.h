// Ctrl-C: the first SIGINT or SIGTERM asks the work to stop, the second ends the program at once (status 130).
#pragma once

#include "core/stop.h"

namespace mss::cli {

/// Installs the handlers (once per program) and returns the token that they stop.
core::StopToken install_signal_handlers();

}  // namespace mss::cli
