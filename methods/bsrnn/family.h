// Weights of Band-split RNNs (methods/weights.h): their configuration, and the files of other programs.
//
// Configuration of a set of weights:
//   {"architecture": "bsrnn", "rate_hz", "channels": 2, "targets": [...], "networks": {PART: {…}}}
// with one network (methods/bsrnn/configuration.h) per part; a part is called by its targets, joined by '+': "vocals",
// or "vocals+bass+drums+other" for one encoder with four masks. The targets are those of all networks, in the order
// vocals, drums, bass, other, then any others.
//
// Files: a folder with one file per target, or one file: state dicts and Lightning checkpoints in the names of amanteur
// or magron (methods/bsrnn/names.h), bare or below prefixes ("model.", "vocals/", "source_models.vocals."), PyTorch or
// safetensors; our own files, several of one target each too. A single mask's target is what hyper_parameters say, the
// prefix, ReadOptions::target_name, or the file's name where that holds a target's name; bands of bass and drums tell
// it too.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "methods/bsrnn/configuration.h"
#include "methods/weights.h"

namespace mss::methods::bsrnn {

const NetworkFamily& family();

/// The networks of a normalised configuration, by part.
std::map<std::string, Configuration> networks_of(const core::Value& configuration);
/// The configuration of a set of weights with these networks. Throws Error(checkpoint) where two have a target or they
/// differ in rate.
core::Value set_value(const std::vector<Configuration>& networks, std::string_view where);

}  // namespace mss::methods::bsrnn
