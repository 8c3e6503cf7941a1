// The registry's entry of Band-split RNN (docs/bsrnn.md).
#pragma once

#include "methods/network_entry.h"
#include "methods/networks.h"
#include "methods/registry.h"

namespace mss::nn {
struct TrainableTable;  // nn/torch/trainable_torch.h
}

namespace mss::methods::bsrnn {

/// What the program and the loadable module make of a spec alike.
const NetworkMethod& method();

void add_methods(Registry& registry);
/// engine=libtorch, in the module.
void add_networks(NetworkTable& table);
/// What training takes, in the module.
void add_trainables(nn::TrainableTable& table);

}  // namespace mss::methods::bsrnn
