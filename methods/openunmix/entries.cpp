#include "methods/openunmix/entries.h"

#include <optional>
#include <string>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"
#include "methods/shipped.h"

namespace mss::methods::openunmix {
namespace {

using core::Param;
using core::ParamType;

core::ParamTable own_params() {
  return {
      Param{
          .name = "rate",
          .type = ParamType::integer,
          .unit = "Hz",
          .range = "[1,768000]",
          .help = "Sample rate that the weights are for, where their files do not say it.",
      },
      Param{
          .name = "fft",
          .type = ParamType::integer,
          .unit = "samples",
          .range = "[2,65536]",
          .help = "Size of the Fourier transform, where the files do not say it.",
      },
      Param{
          .name = "hop",
          .type = ParamType::integer,
          .unit = "samples",
          .range = "[1,65536]",
          .help = "Step between frames, where the files do not say it.",
      },
      Param{
          .name = "buffer",
          .type = ParamType::integer,
          .default_value = "512",
          .unit = "MiB",
          .range = "[0,1048576]",
          .help = "Memory for what a long track leaves between its passes; the rest goes to a temporary file. "
                  "Changes no result.",
      },
  };
}

/// {"a": ["x", "y"], "b": ["b"]} as "a(x+y)+b"; the filter knows the residual as `residual`.
std::string aggregate_text(const std::string& json, const std::string& residual, std::string_view where) {
  const auto bad = [&](const std::string& found) {
    throw Error({Code::config, std::string(where), "--aggregate", R"({"NAME": ["STEM", "STEM"], …})", found, {}});
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
    terms.push_back(names.size() == 1 && names[0] == name ? name : name + "(" + core::join(names, "+") + ")");
  }
  return core::join(terms, "+");
}

/// The options of the Python package's command line. niter, residual and window are the filter's, which with niter = 0
/// and no residual is not there; sums of stems are another filter.
std::vector<Flag> flags() {
  static const core::ParamText kFilter = {{"iters", "1"}, {"mode", "openunmix"}};
  const auto wiener = [](std::string key, std::string value) {
    return FlagSetting{.filter = "wiener", .key = std::move(key), .value = std::move(value), .with = kFilter};
  };
  const auto unfiltered = [](const FlagValues& given) {
    const std::string* niter = flag_value(given, "niter");
    return niter != nullptr && *niter == "0" && flag_value(given, "residual") == nullptr;
  };
  std::vector<Flag> out;
  out.push_back(
      {.param = {.name = "niter",
                 .type = ParamType::integer,
                 .range = "[0,1000]",
                 .help = "Iterations of the Wiener filter: folds into the spec as wiener:iters=N,mode=openunmix "
                         "(0: no filter). The three options below bring the filter along with N = 1, as in "
                         "the Python package."},
       .placeholder = "N",
       .settings = [=](const std::string& value, const FlagValues& given, std::string_view) {
         if (unfiltered(given)) return std::vector<FlagSetting>{{.filter = "wiener", .absent = true}};
         return std::vector<FlagSetting>{wiener("iters", value)};
       }});
  out.push_back(
      {.param = {.name = "residual",
                 .help = "One more stem NAME, what the others leave over; folds into the spec as residual=true "
                         "of the filter."},
       .placeholder = "NAME",
       .settings = [=](const std::string& value, const FlagValues& given, std::string_view) {
         std::vector<FlagSetting> settings = {wiener("residual", "true")};
         if (value != "residual" && flag_value(given, "aggregate") == nullptr) {
           settings.push_back(
               {.filter = "aggregate", .key = "stems", .value = "*+" + value + "(residual)", .last = true});
         }
         return settings;
       }});
  out.push_back({.param = {.name = "aggregate",
                           .help = "Sums of stems, as JSON {\"NAME\": [\"STEM\", …], …}; folds into the spec as the "
                                   "filter aggregate."},
                 .placeholder = "JSON",
                 .settings = [=](const std::string& value, const FlagValues& given, std::string_view where) {
                   const std::string* residual = flag_value(given, "residual");
                   std::vector<FlagSetting> settings;
                   if (!unfiltered(given)) settings.push_back(wiener("", ""));
                   settings.push_back(
                       {.filter = "aggregate",
                        .key = "stems",
                        .value = aggregate_text(value, residual == nullptr ? "residual" : *residual, where),
                        .last = true});
                   return settings;
                 }});
  out.push_back({.param = {.name = "wiener_win_len",
                           .type = ParamType::integer,
                           .unit = "frames",
                           .range = "[1,1000000000]",
                           .help = "Frames that share one set of covariances; folds into the spec as the filter's "
                                   "window."},
                 .placeholder = "FRAMES",
                 .settings = [=](const std::string& value, const FlagValues& given, std::string_view) {
                   if (unfiltered(given)) return std::vector<FlagSetting>{};
                   return std::vector<FlagSetting>{wiener("window", value)};
                 }});
  return out;
}

ReadOptions read_options(const core::Params& params) {
  const auto number = [&](const char* name) -> std::optional<int> {
    if (!params.is_set(name)) return std::nullopt;
    return static_cast<int>(params.integer(name));
  };
  ReadOptions options;
  options.rate_hz = number("rate");
  options.fft_size = number("fft");
  options.hop_samples = number("hop");
  return options;
}

/// Members of the configuration, and bandwidth_hz, the highest frequency that the network sees (16000): what follows from
/// the transform follows it.
core::Value configure(const core::Value& model, const std::vector<std::string>& targets, const core::Value& values) {
  std::vector<std::string> members = {"bandwidth_hz"};
  for (const auto& [key, value] : model.as_object()) members.push_back(key);
  core::reject_unknown_keys(values, members, "model.configuration");
  core::Value out = model;
  out["targets"] = core::Value::array();
  for (const std::string& target : targets) out["targets"].push_back(target);
  double bandwidth_hz = 16000;
  for (const auto& [key, value] : values.as_object()) {
    if (key == "bandwidth_hz") {
      bandwidth_hz = value.as_real("model.configuration.bandwidth_hz");
    } else {
      out[key] = value;
    }
  }
  const std::int64_t bins = out.at("fft_size").as_integer("model.configuration.fft_size") / 2 + 1;
  if (values.find("bins") == nullptr) out["bins"] = bins;
  if (values.find("max_bin") == nullptr) {
    const double step =
        out.at("rate_hz").as_real("model.configuration.rate_hz") / (2.0 * static_cast<double>(bins - 1));
    std::int64_t seen = 0;
    while (seen < bins && static_cast<double>(seen) * step <= bandwidth_hz) ++seen;
    out["max_bin"] = seen;
  }
  return out;
}

NetworkMethod method(const char* name, Architecture architecture, const char* summary) {
  NetworkMethod out;
  out.name = name;
  out.summary = summary;
  out.family = &family();
  out.architecture = architecture_name(architecture);
  for (const char* model : {"umx", "umxhq", "umxl", "umxse"}) {
    if (architecture != Architecture::openunmix && std::string_view(model) == "umxse") continue;
    out.models.emplace_back(model, configuration_value(named_configuration(model, architecture)));
  }
  out.random_model = "umxhq";
  out.source = "open-unmix-pytorch 1.3";
  out.params = own_params();
  out.file_params = {"rate", "fft", "hop"};
  out.read_options = read_options;
  out.presets = {{"official", {}}};
  out.preset_filters = {{"official", "wiener:iters=1,mode=openunmix"}};
  // The weights that the program carries separate as the package does.
  if (!shipped_weights_bytes(out.name + "-tiny").empty())
    out.preset_filters.emplace_back("tiny", "wiener:iters=1,mode=openunmix");
  out.flags = flags();
  out.configure = configure;
  out.make = [](NetworkRequest request) {
    const SeparatorOptions options = separator_options(request.params);
    return make_separator(std::move(request), options);
  };
  return out;
}

}  // namespace

SeparatorOptions separator_options(const core::Params& params) {
  SeparatorOptions options;
  options.buffer_bytes = params.integer("buffer") << 20;
  return options;
}

const std::vector<NetworkMethod>& network_methods() {
  static const std::vector<NetworkMethod> methods = {
      method("umx", Architecture::openunmix,
             "Open-Unmix: one bidirectional LSTM per target on magnitude spectrograms."),
      method("xumx", Architecture::xumx,
             "CrossNet-Open-Unmix: Open-Unmix whose targets share the averages of their hidden layers."),
      method("umx-crossskip", Architecture::crossskip,
             "Open-Unmix whose targets also see the other targets' first layers, side by side.")};
  return methods;
}

void add_methods(Registry& registry) {
  for (const NetworkMethod& each : network_methods()) add_network(registry, each);
}

}  // namespace mss::methods::openunmix
