#include "training/checkpoint.h"

#include <map>
#include <utility>

#include "core/error.h"
#include "core/json.h"

namespace mss::training {
namespace {

using checkpoints::LazyTensors;
using core::Value;

constexpr const char* kState = "training";  // key of the metadata

std::string full_name(std::string_view part, std::string_view name) {
  return part.empty() ? std::string(name) : std::string(part) + "." + std::string(name);
}

}  // namespace

methods::Parts parts_of(const methods::NetworkFamily& family, const Value& configuration, const LazyTensors& named) {
  methods::Parts out;
  for (const auto& [part, listing] : family.list(configuration)) {
    for (const nn::Listing::Entry& entry : listing.entries) {
      const auto at = named.find(full_name(part, entry.name));
      if (at == named.end()) {
        throw Error(Code::internal, "training", "the network has no tensor " + full_name(part, entry.name));
      }
      out[part][entry.name] = at->second;
    }
  }
  return out;
}

LazyTensors names_of(const methods::Parts& parts) {
  LazyTensors out;
  for (const auto& [part, arrays] : parts) {
    for (const auto& [name, array] : arrays) out[full_name(part, name)] = array;
  }
  return out;
}

void write_checkpoint(const std::filesystem::path& path, const Learner& learner, const methods::NetworkFamily& family,
                      const Value& configuration, const CheckpointText& text) {
  const std::string shown = learner.has_average() ? "average/" : "weights/";
  LazyTensors weights, further;
  for (auto& [name, tensor] : learner.state()) {
    if (name.starts_with(shown)) {
      weights[name.substr(shown.size())] = tensor;
    } else {
      further["@" + name] = tensor;
    }
  }
  methods::Weights file;
  file.family = &family;
  file.configuration = configuration;
  file.parts = parts_of(family, configuration, weights);
  file.label = text.label;
  file.provenance = text.provenance;
  Value state = text.state;
  state["learner"] = learner.counters();
  state["average"] = learner.has_average();
  try {
    methods::write_weights(path, file, further, {{kState, core::dump_json(state)}});
  } catch (const Error& error) {
    if (error.code() != Code::invalid_argument) throw;
    ErrorParts parts = error.parts();
    parts.code = Code::numeric;
    parts.where = "training";
    parts.hint = "a smaller optimiser.rate or optimiser.clip_norm helps; the last checkpoint is whole";
    throw Error(std::move(parts));
  }
}

Checkpoint read_checkpoint(const std::filesystem::path& path, const methods::NetworkFamily& family) {
  const checkpoints::SafetensorsFile file(path);
  const auto state = file.metadata().find(kState);
  if (state == file.metadata().end()) {
    throw Error({Code::checkpoint, path.string(), "no checkpoint of a training run", "weights with their state",
                 "weights alone", "model.weights starts a new run from weights"});
  }
  Checkpoint out;
  out.state = core::parse_json(state->second, path.string() + " (training)");
  const methods::Weights weights = methods::read_weights(family, path);
  out.configuration = weights.configuration;
  const std::string shown = out.state.at("average", path.string()).as_bool() ? "average/" : "weights/";
  for (auto& [name, tensor] : names_of(weights.parts)) out.tensors[shown + name] = tensor;
  for (const auto& [name, info] : file.tensors()) {
    if (name.starts_with('@')) out.tensors[name.substr(1)] = file.lazy(name);
  }
  return out;
}

}  // namespace mss::training
