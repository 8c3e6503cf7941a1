#include "methods/bsrnn/entries.h"

#include "methods/bsrnn/family.h"
#include "methods/bsrnn/separator.h"

namespace mss::methods::bsrnn {
namespace {

const char* const kPaper = "Luo & Yu 2022, arXiv 2209.15174";

Configuration optimised(Configuration c) {
  c.attention_heads = 2;
  c.attention_width = 16;
  c.tac_hidden = 3 * c.features;
  c.tac_prelu = true;
  return c;
}

Configuration tiny(Configuration c) {
  c.features = 16;
  c.pairs = 2;
  c.lstm_hidden = 32;
  c.mask_hidden = 64;
  return c;
}

std::vector<std::pair<std::string, core::Value>> models() {
  const std::vector<std::string> one = {"vocals"}, four = {"vocals", "bass", "drums", "other"};
  std::vector<std::pair<std::string, core::Value>> out;
  const auto add = [&](const char* name, const std::vector<Configuration>& networks) {
    out.emplace_back(name, set_value(networks, name));
  };
  add("paper", {profile_configuration("paper", one)});
  add("bass", {profile_configuration("paper", {"bass"})});
  add("drums", {profile_configuration("paper", {"drums"})});
  add("tiny", {tiny(profile_configuration("paper", one))});
  add("authors", {profile_configuration("authors", one)});
  add("amanteur", {profile_configuration("amanteur", one)});
  add("small", {profile_configuration("magron", one, "small")});
  add("large", {profile_configuration("magron", one)});
  add("opt", {optimised(profile_configuration("magron", one))});
  Configuration simo = profile_configuration("magron", four, "small");
  simo.subtract_last = true;
  add("simo", {simo});
  add("simo-opt", {optimised(profile_configuration("magron", four))});
  return out;
}

/// Members of a network's configuration (methods/bsrnn/configuration.h). A model of one network with several targets
/// stays one network, others become one per target, each with its target's bands. `bands`, `rule`, `fft_size` and
/// `rate_hz` bring their widths along.
core::Value configure(const core::Value& model, const std::vector<std::string>& targets, const core::Value& values) {
  const Configuration base = networks_of(model).begin()->second;
  std::vector<std::string> members;
  const core::Value known = configuration_value(base);
  for (const auto& [key, value] : known.as_object()) members.push_back(key);
  core::reject_unknown_keys(values, members, "model.configuration");
  std::vector<std::vector<std::string>> networks;
  if (base.targets.size() > 1) {
    networks.push_back(targets);
  } else {
    for (const std::string& target : targets) networks.push_back({target});
  }
  std::vector<Configuration> out;
  for (const std::vector<std::string>& own : networks) {
    Configuration c = base;
    c.targets = own;
    c.scheme = profile_configuration(c.profile, own).scheme;
    c.subtract_last = base.subtract_last && own.size() > 1;
    core::Value value = configuration_value(c);
    for (const auto& [key, replaced] : values.as_object()) value[key] = replaced;
    if (values.find("widths") == nullptr) {
      const std::string& rule = value.at("rule").as_string("model.configuration.rule");
      const std::vector<std::int64_t> widths =
          band_widths(value.at("bands").as_string("model.configuration.bands"),
                      rule == rule_name(BandRule::floor) ? BandRule::floor : BandRule::edge,
                      static_cast<int>(value.at("rate_hz").as_integer("model.configuration.rate_hz")),
                      static_cast<int>(value.at("fft_size").as_integer("model.configuration.fft_size")));
      value["widths"] = core::Value::array();
      for (const std::int64_t width : widths) value["widths"].push_back(width);
    }
    out.push_back(configuration_from(value, "model.configuration"));
  }
  return set_value(out, "model");
}

core::ParamTable params() {
  using core::ParamType;
  return {
      {.name = "target",
       .type = ParamType::text,
       .default_value = "",
       .unit = "",
       .range = "",
       .help = "Target of a file with one mask that does not say it.",
       .source = ""},
      {.name = "profile",
       .type = ParamType::choice,
       .default_value = "auto",
       .unit = "",
       .range = "auto|paper|authors|amanteur|magron",
       .help = "Reading of the paper that the weights must be of (auto: theirs).",
       .source = kPaper},
      {.name = "norm",
       .type = ParamType::choice,
       .default_value = "",
       .unit = "",
       .range = "chunk|features|frame",
       .help =
           "Norm of profile paper where the files do not say it: one group over the chunk, statistics per feature in "
           "the recurrent blocks, or bands and masks per frame.",
       .source = kPaper},
      {.name = "projection",
       .type = ParamType::boolean,
       .default_value = "",
       .unit = "",
       .range = "",
       .help = "Profile authors with several masks in one network: masks that sum to 1 (unset: as the weights say).",
       .source = "Sound Demixing Challenge 2023, the authors' code"},
      {.name = "chunk",
       .type = ParamType::real,
       .default_value = "",
       .unit = "s",
       .range = "(0,3600]",
       .help = "Length of a chunk (3; amanteur: its frames; magron: 12).",
       .source = kPaper},
      {.name = "hop",
       .type = ParamType::real,
       .default_value = "",
       .unit = "s",
       .range = "(0,3600]",
       .help = "Step between chunks: 1.5 costs 0.1 dB against 0.5 and is three times as fast (1.5; magron: 11).",
       .source = kPaper},
      {.name = "window",
       .type = ParamType::choice,
       .default_value = "",
       .unit = "",
       .range = "none|hann|linear",
       .help = "Weights of a chunk's samples, which are divided out (none; magron: linear).",
       .source = ""},
      {.name = "compat",
       .type = ParamType::boolean,
       .default_value = "false",
       .unit = "",
       .range = "",
       .help =
           "Profile amanteur: overlap-add as its programs do it, with a gain that alternates between 0.89 and 1.07.",
       .source = "amanteur/BandSplitRNN-PyTorch"},
      {.name = "residual",
       .type = ParamType::text,
       .default_value = "auto",
       .unit = "",
       .range = "",
       .help =
           "Name of a stem with what the targets leave of the mixture, or none (auto: accompaniment beside a single "
           "target).",
       .source = ""},
  };
}

ReadOptions read_options(const core::Params& params) {
  ReadOptions out;
  if (params.is_set("target")) out.target_name = params.text("target");
  return out;
}

NetworkMethod make_method() {
  NetworkMethod m;
  m.name = "bsrnn";
  m.summary =
      "Band-split RNN: bands of the spectrum, recurrence over time and bands in turn, one complex mask per target.";
  m.family = &family();
  m.architecture = "bsrnn";
  m.models = models();
  m.random_model = "paper";
  m.source = kPaper;
  m.params = params();
  m.file_params = {"target"};
  m.read_options = read_options;
  m.presets = {{"fast", {{"hop", "1.5"}}}, {"score", {{"hop", "0.5"}}}, {"tiny", {{"hop", "0.5"}}}};
  m.example = {{"model", "tiny"}, {"random", "1"}};
  m.configure = configure;
  m.make = [](NetworkRequest request) { return make_separator(std::move(request), make_native_network); };
  return m;
}

}  // namespace

const NetworkMethod& method() {
  static const NetworkMethod one = make_method();
  return one;
}

void add_methods(Registry& registry) { add_network(registry, method()); }

}  // namespace mss::methods::bsrnn
