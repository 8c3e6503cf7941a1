// What all network methods have in common on their way from a spec to a Separator. A family describes each of its
// methods by a NetworkMethod; add_network() makes the registry's entry of it, with the common parameters
//   weights=DIR|FILE|LABEL#HASH8   model=auto|NAME…   random=SEED   targets=A+B   …its own…   engine=native|libtorch
// and resolve_network() finds (or draws) the weights, checks them against architecture and model, and fills in what a
// SeparatorInfo says. engine=libtorch goes through the loadable module (methods/networks.h), whose side of it is
// add_network(NetworkTable&, …).
//
// Errors: Error(config) for arguments that exclude each other and for targets that the network does not have;
// Error(checkpoint) for weights that are not what the method or the model wants. Thread-safety: as Registry.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/params.h"
#include "core/spec.h"
#include "core/value.h"
#include "methods/networks.h"
#include "methods/registry.h"
#include "methods/separator.h"
#include "methods/weights.h"

namespace mss::methods {

/// What a spec asks for.
struct NetworkRequest {
  core::Params params;
  Weights weights;
  std::vector<std::string> targets;  ///< stems wanted, in order
  std::vector<std::size_t> wanted;   ///< their places in weights.targets()
  /// spec (with the weights' name instead of their path), method, targets, rate, channels, the weights' names, resolved
  /// options with the configuration. What else a method is, its `make` adds.
  SeparatorInfo info;
};

struct NetworkMethod {
  std::string name;     ///< "umx"
  std::string summary;  ///< one sentence
  const NetworkFamily* family = nullptr;
  std::string architecture;  ///< configuration.architecture of the weights that it takes
  /// Named configurations: what model=NAME demands of weights, and what random weights get. Presets of these names set
  /// `model`.
  std::vector<std::pair<std::string, core::Value>> models;
  std::string random_model;  ///< of random weights with model=auto
  std::string source;        ///< of the common parameters, for `mssbench methods`: "open-unmix-pytorch 1.3"
  core::ParamTable params;   ///< its own
  /// Those of its own that say what files of weights do not: refused beside random=SEED.
  std::vector<std::string> file_params;
  std::function<ReadOptions(const core::Params& params)> read_options;  ///< from them; may be null
  std::vector<std::pair<std::string, core::ParamText>> presets;         ///< more of them, or more values for a model's
  std::vector<std::pair<std::string, std::string>> preset_filters;      ///< as in MethodEntry
  std::vector<Flag> flags;                                              ///< as in MethodEntry, beside --targets
  core::ParamText example = {{"random", "1"}};                          ///< as in MethodEntry
  /// For training: `model` (a configuration) for these targets with single values replaced, where that is more than
  /// replacing members of the object. Null: members.
  std::function<core::Value(const core::Value& model, const std::vector<std::string>& targets,
                            const core::Value& values)>
      configure = {};
  std::function<std::unique_ptr<Separator>(NetworkRequest request)> make;
};

/// The method, and its family for import and export.
void add_network(Registry& registry, const NetworkMethod& method);

/// In the loadable module: engine=libtorch of the method.
void add_network(NetworkTable& table, const NetworkMethod& method,
                 std::function<std::unique_ptr<Separator>(NetworkRequest request)> make);

NetworkRequest resolve_network(const NetworkMethod& method, const core::Params& params, const core::SpecPart& part);

/// What training starts from: the named configuration (empty: random_model) for these targets with single values
/// replaced, normalised. Throws Error(config) for an unknown name or value, with the nearest.
core::Value configured(const NetworkMethod& method, const std::string& model, const std::vector<std::string>& targets,
                       const core::Value& values);

/// A request for weights at hand, without a spec: `info` comes with spec, method and resolved options. Empty targets
/// are all.
NetworkRequest make_request(Weights weights, std::vector<std::string> targets, SeparatorInfo info);

}  // namespace mss::methods
