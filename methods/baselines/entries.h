// The registry's entries of the baselines' networks.
#pragma once

#include "methods/network_entry.h"
#include "methods/networks.h"
#include "methods/registry.h"

namespace mss::nn {
struct TrainableTable;  // nn/torch/trainable_torch.h
}

namespace mss::methods::baselines {

const NetworkMethod& conv1d_method();
const NetworkMethod& dprnn_method();

void add_methods(Registry& registry);
/// engine=libtorch, in the module.
void add_networks(NetworkTable& table);
/// What training takes, in the module.
void add_trainables(nn::TrainableTable& table);

}  // namespace mss::methods::baselines
