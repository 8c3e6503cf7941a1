#include "methods/baselines/entries.h"

#include "core/value.h"
#include "methods/baselines/family.h"
#include "methods/baselines/separator.h"

namespace mss::methods::baselines {
namespace {

NetworkMethod make_method(const NetworkFamily& family, const char* summary, const char* source) {
  NetworkMethod m;
  m.name = family.name;
  m.summary = summary;
  m.family = &family;
  m.architecture = family.name;
  m.models = {{"vocals", set_value(family.name, {"vocals"})},
              {"four", set_value(family.name, {"vocals", "drums", "bass", "other"})}};
  m.random_model = "vocals";
  m.source = source;
  m.params = {{.name = "target",
               .type = core::ParamType::text,
               .default_value = "",
               .unit = "",
               .range = "",
               .help = "Target of a file with one network, instead of its name.",
               .source = ""}};
  m.file_params = {"target"};
  m.read_options = [](const core::Params& params) {
    ReadOptions out;
    if (params.is_set("target")) out.target_name = params.text("target");
    return out;
  };
  return m;
}

}  // namespace

const NetworkMethod& conv1d_method() {
  static const NetworkMethod one = [] {
    NetworkMethod m = make_method(conv1d_family(),
                                  "Baseline: four convolutions of 15 samples on the waveform, one network per target.",
                                  "third report, milestone 1");
    m.make = [](NetworkRequest request) { return make_conv1d(std::move(request), make_native_conv1d); };
    return m;
  }();
  return one;
}

const NetworkMethod& dprnn_method() {
  static const NetworkMethod one = [] {
    NetworkMethod m = make_method(
        dprnn_family(), "Baseline: a dual-path network of LSTMs on log-magnitude spectrograms, one network per target.",
        "third report, milestone 2, in our reading");
    m.configure = [](const core::Value& model, const std::vector<std::string>& targets, const core::Value& values) {
      core::reject_unknown_keys(values, {"features", "hidden", "blocks"}, "model.configuration");
      core::Value out = model;
      out["targets"] = core::Value::array();
      for (const std::string& target : targets) out["targets"].push_back(target);
      for (const auto& [key, value] : values.as_object()) out[key] = value;
      return out;
    };
    m.make = [](NetworkRequest request) { return make_dprnn(std::move(request), make_native_dprnn); };
    return m;
  }();
  return one;
}

void add_methods(Registry& registry) {
  add_network(registry, conv1d_method());
  add_network(registry, dprnn_method());
}

}  // namespace mss::methods::baselines
