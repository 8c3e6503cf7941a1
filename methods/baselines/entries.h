// The registry's entries of the baselines' networks.
#pragma once

#include "methods/network_entry.h"
#include "methods/networks.h"
#include "methods/registry.h"

namespace mss::methods::baselines {

const NetworkMethod& conv1d_method();
const NetworkMethod& dprnn_method();

void add_methods(Registry& registry);
/// engine=libtorch, in the module.
void add_networks(NetworkTable& table);

}  // namespace mss::methods::baselines
