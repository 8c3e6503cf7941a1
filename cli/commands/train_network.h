// mssbench train RECIPE: networks.
#pragma once

#include "cli/invocation.h"

namespace mss::cli {

/// Returns the exit status.
int train_network(Invocation& invocation);

}  // namespace mss::cli
