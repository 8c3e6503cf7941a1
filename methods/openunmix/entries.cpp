#include "methods/openunmix/entries.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"
#include "methods/networks.h"
#include "methods/openunmix/separator.h"
#include "methods/openunmix/weights.h"

namespace mss::methods::openunmix {
namespace {

struct Family {
  const char* name;
  Architecture architecture;
  const char* models;  ///< named configurations that it has
  const char* summary;
};

constexpr std::array<Family, 3> kFamily = {{
    {"umx", Architecture::openunmix, "auto|umx|umxhq|umxl|umxse",
     "Open-Unmix: one bidirectional LSTM per target on magnitude spectrograms."},
    {"xumx", Architecture::xumx, "auto|umx|umxhq|umxl",
     "CrossNet-Open-Unmix: Open-Unmix whose targets share the averages of their hidden layers."},
    {"umx-crossskip", Architecture::crossskip, "auto|umx|umxhq|umxl",
     "Open-Unmix whose targets also see the other targets' first layers, side by side."},
}};

const Family& family(std::string_view name) {
  const auto at = std::ranges::find_if(kFamily, [name](const Family& f) { return f.name == name; });
  MSS_ASSERT(at != kFamily.end());
  return *at;
}

const char* const kPackage = "open-unmix-pytorch 1.3";

core::ParamTable params(const Family& of) {
  using core::ParamType;
  core::ParamTable table = {
      {.name = "weights",
       .type = ParamType::file,
       .default_value = "",
       .unit = "",
       .range = "",
       .help = "Folder or file of weights (separator.json with .pth files, one .pth, .safetensors), or the LABEL#HASH "
               "of a record, looked up in the folders of MSSBENCH_WEIGHTS.",
       .source = kPackage},
      {.name = "model",
       .type = ParamType::choice,
       .default_value = "auto",
       .unit = "",
       .range = of.models,
       .help = "Named configuration that the weights must have, or that random weights get (auto: what the files say; "
               "umxhq).",
       .source = kPackage},
      {.name = "random",
       .type = ParamType::integer,
       .default_value = "",
       .unit = "",
       .range = "[0,9223372036854775807]",
       .help = "Seed of random weights instead of trained ones: for tests and timings, it separates nothing.",
       .source = ""},
      {.name = "targets",
       .type = ParamType::text,
       .default_value = "",
       .unit = "",
       .range = "",
       .help = "Stems to compute, joined by +; all without it.",
       .source = kPackage},
      {.name = "rate",
       .type = ParamType::integer,
       .default_value = "",
       .unit = "Hz",
       .range = "[1,768000]",
       .help = "Sample rate that the weights are for, where their files do not say it.",
       .source = ""},
      {.name = "fft",
       .type = ParamType::integer,
       .default_value = "",
       .unit = "samples",
       .range = "[2,65536]",
       .help = "Size of the Fourier transform, where the files do not say it.",
       .source = ""},
      {.name = "hop",
       .type = ParamType::integer,
       .default_value = "",
       .unit = "samples",
       .range = "[1,65536]",
       .help = "Step between frames, where the files do not say it.",
       .source = ""},
      {.name = "buffer",
       .type = ParamType::integer,
       .default_value = "512",
       .unit = "MiB",
       .range = "[0,1048576]",
       .help = "Memory for what a long track leaves between its passes; the rest goes to a temporary file. Changes no "
               "result.",
       .source = ""},
      {.name = "engine",
       .type = ParamType::choice,
       .default_value = "native",
       .unit = "",
       .range = "native|libtorch",
       .help = "Our kernels, or the layers that LibTorch has (whole track in memory; to compare with).",
       .source = ""},
  };
  return table;
}

[[noreturn]] void refuse(const core::SpecPart& part, std::string what, std::string expected, std::string found,
                         std::string hint = {}) {
  throw Error({Code::config, to_string(part), std::move(what), std::move(expected), std::move(found), std::move(hint)});
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

void require_architecture(const Weights& weights, const Family& of) {
  const Architecture found = weights.configuration.architecture;
  if (found == of.architecture) return;
  const auto right = std::ranges::find_if(kFamily, [&](const Family& f) { return f.architecture == found; });
  throw Error({Code::checkpoint, fmt::format("{} ({})", of.name, weights.name()),
               "the weights are of another architecture", std::string(architecture_name(of.architecture)),
               std::string(architecture_name(found)), fmt::format("{} takes them", right->name)});
}

/// The sizes in which weights differ from a named configuration, the first ones.
void require_model(const Weights& weights, const std::string& model, const Family& of) {
  const Configuration wanted = named_configuration(model, of.architecture);
  const core::Value expected = configuration_value(wanted), found = configuration_value(weights.configuration);
  std::vector<std::string> differ;
  for (const auto& [key, value] : expected.as_object()) {
    if (key == "targets" || found.at(key) == value) continue;
    differ.push_back(fmt::format("{} {} instead of {}", key, core::dump_json(found.at(key)), core::dump_json(value)));
  }
  const std::array<std::string_view, 4> official = {"umx", "umxhq", "umxl", "umxse"};
  if (std::ranges::find(official, weights.label) != official.end() && weights.label != model) {
    differ.push_back(fmt::format("these are the weights of {}", weights.label));
  }
  if (differ.empty()) return;
  throw Error({Code::checkpoint, fmt::format("{} ({})", of.name, weights.name()), "not weights of " + model, model,
               fmt::format("{}", fmt::join(differ, "; ")), "model=auto takes any"});
}

std::unique_ptr<Separator> make(const core::Params& params, const core::SpecPart& part) {
  if (params.text("engine") == "libtorch") return make_network(part.name, params, part);
  Request request;
  const Weights weights = resolve_weights(params, part, request);
  SeparatorOptions options;
  options.targets = std::move(request.targets);
  options.buffer_bytes = request.buffer_bytes;
  return make_separator(weights, std::move(options), std::move(request.info));
}

[[noreturn]] void refuse_flags(const core::Spec& spec, std::string what, std::string hint) {
  throw Error({Code::config, to_string(spec), std::move(what), {}, {}, std::move(hint)});
}

/// {"a": ["x", "y"], "b": ["b"]} as "a(x+y)+b"; the filter knows the residual as `residual`.
std::string aggregate_text(const std::string& json, const std::string& residual, const core::Spec& spec) {
  const auto bad = [&](const std::string& found) {
    throw Error({Code::config, to_string(spec), "--aggregate", R"({"NAME": ["STEM", "STEM"], …})", found, {}});
  };
  core::Value value;
  try {
    value = core::parse_json(json, "--aggregate");
  } catch (const Error&) {
    bad(json);
  }
  if (!value.is_object() || value.size() == 0) bad(json);
  std::vector<std::string> terms;
  for (const auto& [name, stems] : value.as_object()) {
    if (!stems.is_array() || stems.size() == 0) bad(json);
    std::vector<std::string> names;
    for (const core::Value& stem : stems.as_array()) {
      if (!stem.is_string()) bad(json);
      names.push_back(stem.as_string() == residual ? "residual" : stem.as_string());
    }
    terms.push_back(names.size() == 1 && names[0] == name ? name : fmt::format("{}({})", name, fmt::join(names, "+")));
  }
  return fmt::format("{}", fmt::join(terms, "+"));
}

}  // namespace

bool is_family(std::string_view method) {
  return std::ranges::any_of(kFamily, [method](const Family& f) { return f.name == method; });
}

Weights resolve_weights(const core::Params& params, const core::SpecPart& part, Request& request) {
  const Family& of = family(part.name);
  const bool random = params.is_set("random");
  if (params.is_set("weights") == random) {
    refuse(part, random ? "weights and random exclude each other" : "a network needs weights",
           random ? "one of them" : "weights=DIR or weights=FILE", random ? "both" : "none",
           "docs/openunmix.md tells where weights come from");
  }
  request.targets = names_of(params.text("targets"), part);
  request.buffer_bytes = params.integer("buffer") << 20;
  const std::string& model = params.text("model");
  Weights weights;
  if (random) {
    for (const char* name : {"rate", "fft", "hop"}) {
      if (params.is_given(name)) refuse(part, fmt::format("'{}' is the model's", name), {}, {}, "leave it out");
    }
    Configuration c = named_configuration(model == "auto" ? "umxhq" : model, of.architecture);
    weights = random_weights(c, static_cast<std::uint64_t>(params.integer("random")));
  } else {
    ReadOptions options;
    if (of.architecture == Architecture::openunmix) options.targets = request.targets;
    const auto number = [&](const char* name) -> std::optional<int> {
      if (!params.is_set(name)) return std::nullopt;
      return static_cast<int>(params.integer(name));
    };
    options.rate_hz = number("rate");
    options.fft_size = number("fft");
    options.hop_samples = number("hop");
    weights = find_weights(params.text("weights"), options);
    require_architecture(weights, of);
    if (model != "auto") require_model(weights, model, of);
  }

  core::SpecPart spec = part;
  for (auto& [key, value] : spec.arguments) {
    if (key == "weights") value = weights.name();
  }
  request.info.spec = to_string(spec);
  request.info.method = part.name;
  core::Value& options = request.info.resolved_options;
  options = params.resolved();
  if (!random) options["weights"] = weights.name();
  options["configuration"] = configuration_value(weights.configuration);
  return weights;
}

void add_methods(Registry& registry) {
  for (const Family& of : kFamily) {
    MethodEntry entry;
    entry.name = of.name;
    entry.family = "network";
    entry.summary = of.summary;
    entry.params = params(of);
    for (const std::string& model : core::split(of.models, '|')) {
      if (model != "auto") entry.presets.push_back({model, {{"model", model}}});
    }
    entry.presets.push_back({"official", {}});
    entry.preset_filters = {{"official", "wiener:iters=1,mode=openunmix"}};
    entry.example = {{"random", "1"}};
    entry.make = make;
    registry.add(std::move(entry));
  }
}

core::Spec fold_flags(core::Spec spec, const Flags& flags) {
  if (!flags.any()) return spec;
  if (!is_family(spec.method.name)) {
    refuse_flags(spec, "--niter, --residual, --aggregate and --wiener-win-len are Open-Unmix's",
                 "write filters into the spec: METHOD|wiener:iters=1");
  }
  const bool filters = flags.niter || flags.wiener_win_len || flags.residual || flags.aggregate;
  if (filters && (!spec.filters.empty() || spec.method.preset == "official")) {
    refuse_flags(spec, "the spec has filters of its own, which Open-Unmix's options would add to",
                 "say it all in the spec, or leave the filters out");
  }
  if (!flags.targets.empty()) {
    for (const auto& [key, value] : spec.method.arguments) {
      if (key == "targets") refuse_flags(spec, "targets stand in the spec and in --targets", "leave one out");
    }
    spec.method.arguments.emplace_back("targets", core::join(flags.targets, "+"));
  }
  if (!filters) return spec;
  const std::int64_t niter = flags.niter.value_or(1);
  if (niter < 0 || flags.wiener_win_len.value_or(1) < 1) {
    refuse_flags(spec, "--niter begins at 0 and --wiener-win-len at 1", "wiener:window=0 is the whole track");
  }
  if (niter > 0 || flags.residual) {
    core::SpecPart wiener{.name = "wiener", .preset = {}, .arguments = {}};
    wiener.arguments = {{"iters", std::to_string(niter)}, {"mode", "openunmix"}};
    if (flags.residual) wiener.arguments.emplace_back("residual", "true");
    if (flags.wiener_win_len) wiener.arguments.emplace_back("window", std::to_string(*flags.wiener_win_len));
    spec.filters.push_back(std::move(wiener));
  }
  std::string stems;
  if (flags.aggregate) {
    stems = aggregate_text(*flags.aggregate, flags.residual.value_or("residual"), spec);
  } else if (flags.residual && *flags.residual != "residual") {
    stems = "*+" + *flags.residual + "(residual)";
  }
  if (!stems.empty()) spec.filters.push_back({.name = "aggregate", .preset = {}, .arguments = {{"stems", stems}}});
  return spec;
}

}  // namespace mss::methods::openunmix
