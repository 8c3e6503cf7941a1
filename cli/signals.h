// Ctrl-C: the first SIGINT or SIGTERM asks the work to stop, the second ends the program at once (status 130). A closed
// pipe (SIGPIPE) and a file-size limit (SIGXFSZ) are errors of the write that meets them.
#pragma once

#include "core/stop.h"

namespace mss::cli {

/// To be called first: writes that fail report it instead of ending the program.
void ignore_write_signals();
/// Installs the handlers (once per program) and returns the token that they stop.
core::StopToken install_signal_handlers();

}  // namespace mss::cli
