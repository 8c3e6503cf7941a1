// Weights of the baselines' networks (methods/weights.h). A set holds one network per target:
//   {"architecture": "conv1d" or "dprnn", "rate_hz": 44100, "channels": 2, "targets": [...]}, parts called by the targets.
// dprnn may have other sizes than the report's: "features", "hidden", "blocks" (dprnn.h), which the configuration names
// where they differ.
//
// No trained weights of them are published. Files are state dicts that hold the layers' tensors, in the order of their
// names ("0.weight", "2.weight", … of a Sequential; "conv1.weight", …), PyTorch or safetensors, one per target; the
// file's name, the prefix ("vocals/0.weight") or ReadOptions::target_name is the target.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "methods/baselines/dprnn.h"
#include "methods/weights.h"
#include "nn/trace.h"

namespace mss::methods::baselines {

/// One architecture: its name, title, what its network consists of (constructed over Trace).
struct Architecture {
  std::string name, title;
  std::vector<std::pair<std::string, std::int64_t>>
      sizes;  ///< further members of a configuration, and the report's values
  std::function<void(const nn::Trace::Scope&, const core::Value& configuration)> construct;
  std::function<double(const core::Value& configuration)> macs_per_second;  ///< of one target's network
};

const NetworkFamily& conv1d_family();
const NetworkFamily& dprnn_family();

DprnnSizes dprnn_sizes(const core::Value& configuration);

/// The configuration of a set with these targets, in the report's sizes.
core::Value set_value(const std::string& architecture, const std::vector<std::string>& targets);

}  // namespace mss::methods::baselines
