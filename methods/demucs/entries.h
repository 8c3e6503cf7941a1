// The Demucs family in the registry: demucs and conv-tasnet.
#pragma once

#include <vector>

#include "methods/network_entry.h"
#include "methods/networks.h"
#include "methods/registry.h"

namespace mss::nn {
struct TrainableTable;  // nn/torch/trainable_torch.h
}

namespace mss::methods::demucs {

/// They run on the layers of nn/; only engine=libtorch loads the module of network methods (methods/networks.h).
void add_methods(Registry& registry);

/// For the loadable module (demucs_torch.cpp): engine=libtorch of both.
void add_networks(NetworkTable& table);
/// What training takes, in the module.
void add_trainables(nn::TrainableTable& table);

const std::vector<NetworkMethod>& network_methods();

}  // namespace mss::methods::demucs
