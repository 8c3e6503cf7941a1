// The Open-Unmix family in the registry: umx, xumx and umx-crossskip.
#pragma once

#include <vector>

#include "core/params.h"
#include "methods/network_entry.h"
#include "methods/openunmix/separator.h"
#include "methods/registry.h"

namespace mss::nn {
struct TrainableTable;  // nn/torch/trainable_torch.h
}

namespace mss::methods::openunmix {

/// They run on the layers of nn/; only engine=libtorch loads the module of network methods (methods/networks.h).
void add_methods(Registry& registry);

/// For the loadable module (openunmix_torch.cpp): engine=libtorch of all of them.
void add_networks(NetworkTable& table);
/// What training takes, in the module.
void add_trainables(nn::TrainableTable& table);

const std::vector<NetworkMethod>& network_methods();
SeparatorOptions separator_options(const core::Params& params);

}  // namespace mss::methods::openunmix
