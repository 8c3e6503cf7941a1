#include "methods/network_entry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"
#include "methods/shipped.h"

namespace mss::methods {
namespace {

using core::Param;
using core::ParamType;

[[noreturn]] void refuse(const core::SpecPart& part, std::string what, std::string expected, std::string found,
                         std::string hint = {}) {
  throw Error(
      {Code::config, core::to_string(part), std::move(what), std::move(expected), std::move(found), std::move(hint)});
}

/// Names joined by '+'.
std::vector<std::string> names_of(const std::string& text, const core::SpecPart& part) {
  std::vector<std::string> names;
  if (text.empty()) return names;
  for (const std::string& name : core::split(text, '+')) {
    if (name.empty() || std::ranges::find(names, name) != names.end()) {
      refuse(part, "targets: a name that is empty or comes twice", "such as vocals+drums", "'" + text + "'");
    }
    names.push_back(name);
  }
  return names;
}

/// METHOD-NAME for every NAME that the program carries.
std::vector<std::string> shipped_labels(const NetworkMethod& method) {
  std::vector<std::string> out;
  for (std::string& label : shipped_weights()) {
    if (label.starts_with(method.name + "-")) out.push_back(std::move(label));
  }
  return out;
}

core::ParamTable table_of(const NetworkMethod& method) {
  std::string models = "auto";
  for (const auto& [name, configuration] : method.models) models += "|" + name;
  std::string shipped;
  for (const std::string& label : shipped_labels(method)) shipped += ", the program's own " + label;
  core::ParamTable table = {
      Param{.name = "weights",
            .type = ParamType::file,
            .help = fmt::format("Folder or file of weights ({}){}, or the LABEL#HASH of a record, looked up in the "
                                "folders of MSSBENCH_WEIGHTS.",
                                method.family->files_help, shipped),
            .source = method.source},
      Param{.name = "model",
            .type = ParamType::choice,
            .default_value = "auto",
            .range = models,
            .help = fmt::format("Named configuration that the weights must have, or that random weights get (auto: "
                                "what the files say; {}).",
                                method.random_model),
            .source = method.source},
      Param{
          .name = "random",
          .type = ParamType::integer,
          .range = "[0,9223372036854775807]",
          .help = "Seed of random weights instead of trained ones: for tests and timings, it separates nothing.",
      },
      Param{.name = "targets",
            .type = ParamType::text,
            .help = "Stems to compute, joined by +; all without it.",
            .source = method.source},
  };
  table.insert(table.end(), method.params.begin(), method.params.end());
  table.push_back(Param{
      .name = "engine",
      .type = ParamType::choice,
      .default_value = "native",
      .range = "native|libtorch",
      .help = "Our kernels, or the same network on LibTorch: on a GPU, or to compare with.",
  });
  return table;
}

void require_architecture(const NetworkMethod& method, const Weights& weights) {
  if (weights.architecture() == method.architecture) return;
  throw Error({Code::checkpoint, fmt::format("{} ({})", method.name, weights.name()),
               "the weights are of another architecture", method.architecture, weights.architecture(),
               fmt::format("`mssbench methods` tells which method takes {}", weights.architecture())});
}

/// The sizes in which weights differ from a named configuration.
void require_model(const NetworkMethod& method, const Weights& weights, const std::string& model,
                   const core::Value& wanted) {
  const core::Value expected = method.family->normalise(wanted, model);
  std::vector<std::string> differ;
  for (const auto& [key, value] : expected.as_object()) {
    const core::Value* found = weights.configuration.find(key);
    if (key == "targets" || (found != nullptr && *found == value)) continue;
    differ.push_back(fmt::format("{} {} instead of {}", key, found == nullptr ? "none" : core::dump_json(*found),
                                 core::dump_json(value)));
  }
  // Official weights whose label is another of the models; families name models apart from files, too.
  const bool official = std::ranges::any_of(method.family->official,
                                            [&](const OfficialFile& file) { return file.model == weights.label; });
  const bool named = std::ranges::any_of(method.models, [&](const auto& m) { return m.first == weights.label; });
  if (official && named && weights.label != model) {
    differ.push_back(fmt::format("these are the weights of {}", weights.label));
  }
  if (differ.empty()) return;
  throw Error({Code::checkpoint, fmt::format("{} ({})", method.name, weights.name()), "not weights of " + model, model,
               fmt::format("{}", fmt::join(differ, "; ")), "model=auto takes any"});
}

const core::Value& configuration_of(const NetworkMethod& method, const std::string& model) {
  const auto at = std::ranges::find_if(method.models, [&](const auto& named) { return named.first == model; });
  MSS_ASSERT(at != method.models.end());
  return at->second;
}

Weights weights_of(const NetworkMethod& method, const core::Params& params, const core::SpecPart& part) {
  const bool random = params.is_set("random");
  if (params.is_set("weights") == random) {
    const std::vector<std::string> own = shipped_labels(method);
    refuse(part, random ? "weights and random exclude each other" : "a network needs weights",
           random        ? "one of them"
           : own.empty() ? "weights=DIR or weights=FILE"
                         : fmt::format("weights=DIR, weights=FILE, or the program's own: weights={}", own[0]),
           random ? "both" : "none", "`mssbench methods " + method.name + "` tells where weights come from");
  }
  const std::string& model = params.text("model");
  if (random) {
    for (const std::string& name : method.file_params) {
      if (params.is_given(name)) refuse(part, fmt::format("'{}' is the model's", name), {}, {}, "leave it out");
    }
    return random_weights(*method.family, configuration_of(method, model == "auto" ? method.random_model : model),
                          static_cast<std::uint64_t>(params.integer("random")));
  }
  const ReadOptions options = method.read_options ? method.read_options(params) : ReadOptions{};
  Weights weights = find_weights(*method.family, params.text("weights"), options);
  require_architecture(method, weights);
  if (model != "auto") require_model(method, weights, model, configuration_of(method, model));
  return weights;
}

}  // namespace

NetworkRequest resolve_network(const NetworkMethod& method, const core::Params& params, const core::SpecPart& part) {
  std::vector<std::string> targets = names_of(params.text("targets"), part);
  Weights weights = weights_of(method, params, part);
  core::SpecPart spec = part;
  if (params.is_set("weights")) {
    const auto given =
        std::ranges::find_if(spec.arguments, [](const auto& argument) { return argument.first == "weights"; });
    if (given == spec.arguments.end()) {
      spec.arguments.emplace_back("weights", weights.name());  // a preset's
    } else {
      given->second = weights.name();
    }
  }
  SeparatorInfo info;
  info.spec = core::to_string(spec);
  info.method = part.name;
  info.resolved_options = params.resolved();
  if (params.is_set("weights")) info.resolved_options["weights"] = weights.name();
  info.resolved_options["configuration"] = weights.configuration;
  info.provenance = weights.provenance;
  NetworkRequest request = make_request(std::move(weights), std::move(targets), std::move(info));
  request.params = params;
  return request;
}

core::Value configured(const NetworkMethod& method, const std::string& model, const std::vector<std::string>& targets,
                       const core::Value& values) {
  const std::string name = model.empty() ? method.random_model : model;
  std::vector<std::string> known;
  for (const auto& [each, configuration] : method.models) known.push_back(each);
  const auto at = std::ranges::find(known, name);
  if (at == known.end()) {
    throw Error({Code::config, "model.preset", method.name + " has no such configuration", core::join(known, ", "),
                 "'" + name + "'", core::did_you_mean(name, known)});
  }
  const core::Value& base = method.models[static_cast<std::size_t>(at - known.begin())].second;
  try {
    if (method.configure) return method.family->normalise(method.configure(base, targets, values), "model");
    core::Value out = base;
    std::vector<std::string> members;
    for (const auto& [key, value] : base.as_object()) members.push_back(key);
    core::reject_unknown_keys(values, members, "model.configuration");
    out["targets"] = core::Value::array();
    for (const std::string& target : targets) out["targets"].push_back(target);
    for (const auto& [key, value] : values.as_object()) out[key] = value;
    return method.family->normalise(out, "model.configuration");
  } catch (const Error& error) {
    if (error.code() != Code::checkpoint) throw;
    ErrorParts parts = error.parts();
    parts.code = Code::config;
    throw Error(std::move(parts));
  }
}

NetworkRequest make_request(Weights weights, std::vector<std::string> targets, SeparatorInfo info) {
  NetworkRequest request;
  request.targets = std::move(targets);
  info.rate_hz = static_cast<int>(weights.configuration.at("rate_hz").as_integer());
  info.channels = static_cast<int>(weights.configuration.at("channels").as_integer());
  info.weights_label = weights.name();
  info.weights_sha256 = weights.content_hash;
  info.parameters = weights.parameters();
  info.macs_per_second = weights.family->macs_per_second(weights.configuration);

  const std::vector<std::string> known = weights.targets();
  if (request.targets.empty()) request.targets = known;
  for (const std::string& name : request.targets) {
    const auto at = std::ranges::find(known, name);
    if (at == known.end()) {
      throw Error({Code::config, info.spec, "the network has no such target", core::join(known, ", "), "'" + name + "'",
                   core::did_you_mean(name, known)});
    }
    request.wanted.push_back(static_cast<std::size_t>(at - known.begin()));
  }
  info.targets = request.targets;
  request.weights = std::move(weights);
  request.info = std::move(info);
  return request;
}

void add_network(Registry& registry, const NetworkMethod& method) {
  MSS_ASSERT(method.family != nullptr && static_cast<bool>(method.make));
  registry.add(*method.family);
  registry.add(std::make_shared<const NetworkMethod>(method));
  MethodEntry entry;
  entry.name = method.name;
  entry.family = "network";
  entry.summary = method.summary;
  entry.params = table_of(method);
  // Weights that the program carries go before a configuration of the same name.
  for (const std::string& label : shipped_labels(method))
    entry.presets.push_back({label.substr(method.name.size() + 1), {{"weights", label}}});
  const auto preset_of = [&](const std::string& name) {
    return std::ranges::find_if(entry.presets, [&](const auto& preset) { return preset.first == name; });
  };
  for (const auto& [model, configuration] : method.models) {
    if (preset_of(model) == entry.presets.end()) entry.presets.push_back({model, {{"model", model}}});
  }
  for (const auto& [name, values] : method.presets) {
    const auto known = preset_of(name);
    if (known == entry.presets.end()) {
      entry.presets.emplace_back(name, values);
    } else {
      known->second.insert(known->second.end(), values.begin(), values.end());
    }
  }
  entry.preset_filters = method.preset_filters;
  entry.flags.push_back({.param = {.name = "targets", .help = "The stems to compute."},
                         .placeholder = "NAME",
                         .settings = [](const std::string& value, const FlagValues&, std::string_view) {
                           return std::vector<FlagSetting>{{.key = "targets", .value = value}};
                         }});
  entry.flags.insert(entry.flags.end(), method.flags.begin(), method.flags.end());
  entry.example = method.example;
  entry.make = [method](const core::Params& params, const core::SpecPart& part) {
    if (params.text("engine") == "libtorch") return make_network(part.name, params, part);
    return method.make(resolve_network(method, params, part));
  };
  registry.add(std::move(entry));
}

void add_network(NetworkTable& table, const NetworkMethod& method,
                 std::function<std::unique_ptr<Separator>(NetworkRequest request)> make) {
  table.methods.emplace_back(method.name,
                             [method, make = std::move(make)](const core::Params& params, const core::SpecPart& part,
                                                              const core::StopToken& stop) {
                               const core::StopScope scope(stop);
                               return make(resolve_network(method, params, part));
                             });
}

}  // namespace mss::methods
