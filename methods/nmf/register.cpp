#include "methods/nmf/register.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "methods/factor_model.h"
#include "methods/nmf/factorisation.h"
#include "methods/nmf/separator.h"

namespace mss::methods::nmf {
namespace {

using core::ParamType;

const char* const kFevotte = "Fevotte & Idier 2011";
const char* const kToolbox = "NMF toolbox (Lopez-Serrano et al. 2019)";

struct Defaults {
  const char* components;
  const char* iterations;
  const char* frames;
  const char* alpha;
  const char* update;
  const char* h;
  const char* stft;
  const char* mono;
};

core::ParamTable params(const Defaults& d) {
  return {
      {.name = "components",
       .type = ParamType::integer,
       .default_value = d.components,
       .unit = "",
       .range = "[1,1024]",
       .help = "Number of components R; unset: 16, the number of targets under P3, 30 per stem under P5.",
       .source = ""},
      {.name = "iterations",
       .type = ParamType::integer,
       .default_value = d.iterations,
       .unit = "",
       .range = "[0,100000]",
       .help = "Multiplicative updates.",
       .source = ""},
      {.name = "frames",
       .type = ParamType::integer,
       .default_value = d.frames,
       .unit = "frames",
       .range = "[1,512]",
       .help = "Length T of a template; 1 is plain NMF.",
       .source = "Smaragdis 2004"},
      {.name = "beta",
       .type = ParamType::real,
       .default_value = "1",
       .unit = "",
       .range = "[-2,4]",
       .help = "Divergence: 2 Euclidean, 1 Kullback-Leibler, 0 Itakura-Saito.",
       .source = kFevotte},
      {.name = "alpha",
       .type = ParamType::real,
       .default_value = d.alpha,
       .unit = "",
       .range = "(0,10]",
       .help = "Exponent of the Wiener masks; unset: 1 blind or calibrated, 2 supervised.",
       .source = "Liutkus & Badeau 2015"},
      {.name = "sparsity",
       .type = ParamType::real,
       .default_value = "0",
       .unit = "",
       .range = "[0,inf)",
       .help = "Weight of the activations' sum, times their templates' Euclidean norms, in the objective.",
       .source = ""},
      {.name = "continuity",
       .type = ParamType::real,
       .default_value = "0",
       .unit = "",
       .range = "[0,inf)",
       .help = "Weight of the temporal continuity cost; needs frames=1.",
       .source = "Virtanen 2007"},
      {.name = "update",
       .type = ParamType::choice,
       .default_value = d.update,
       .unit = "",
       .range = "clean|toolbox",
       .help = "Monotone updates, or the toolbox's arithmetic.",
       .source = kToolbox},
      {.name = "h",
       .type = ParamType::choice,
       .default_value = d.h,
       .unit = "",
       .range = "random|ones",
       .help = "Start values of the activations of blind separation.",
       .source = ""},
      {.name = "fft",
       .type = ParamType::integer,
       .default_value = "4096",
       .unit = "samples",
       .range = "[16,65536]",
       .help = "Size of the Fourier transform and of its Hann window; even.",
       .source = ""},
      {.name = "hop",
       .type = ParamType::integer,
       .default_value = "1024",
       .unit = "samples",
       .range = "[1,65536]",
       .help = "Step between frames.",
       .source = ""},
      {.name = "stft",
       .type = ParamType::choice,
       .default_value = d.stft,
       .unit = "",
       .range = "centered|toolbox",
       .help = "Framing: centred with reflection, or the toolbox's.",
       .source = kToolbox},
      {.name = "mono",
       .type = ParamType::boolean,
       .default_value = d.mono,
       .unit = "",
       .range = "",
       .help = "Average the channels first and copy the estimate to all of them.",
       .source = kToolbox},
      {.name = "dict",
       .type = ParamType::file,
       .default_value = "",
       .unit = "",
       .range = "",
       .help = "Learned dictionary (safetensors): supervised separation, P0.",
       .source = ""},
      {.name = "start",
       .type = ParamType::file,
       .default_value = "",
       .unit = "",
       .range = "",
       .help = "Dictionary whose templates are the start values (P1): component index decides the target.",
       .source = kToolbox},
      {.name = "classifier",
       .type = ParamType::file,
       .default_value = "",
       .unit = "",
       .range = "",
       .help = "Learned classifier (safetensors) that tells whose a blind component is: P2.",
       .source = "Helen & Virtanen 2005"},
      {.name = "stereo",
       .type = ParamType::choice,
       .default_value = "stack",
       .unit = "",
       .range = "stack|ntf",
       .help = "Blind stereo model: activations per channel, or one panning per component.",
       .source = "FitzGerald et al. 2005"},
      {.name = "solver",
       .type = ParamType::choice,
       .default_value = "mu",
       .unit = "",
       .range = "mu|hals",
       .help = "Multiplicative updates, or HALS (beta=2).",
       .source = "Cichocki & Phan 2009"},
      {.name = "window_bug",
       .type = ParamType::boolean,
       .default_value = "false",
       .unit = "",
       .range = "",
       .help = "Every second component 3.5 dB louder, as the toolbox's inverse STFT has it; needs stft=toolbox.",
       .source = kToolbox},
      {.name = "free",
       .type = ParamType::integer,
       .default_value = "0",
       .unit = "",
       .range = "[0,1024]",
       .help = "Components learned from the mixture beside the dictionary's (semi-supervised).",
       .source = ""},
      {.name = "free_target",
       .type = ParamType::text,
       .default_value = "other",
       .unit = "",
       .range = "",
       .help = "Target that the free components belong to.",
       .source = ""},
      {.name = "calibrate",
       .type = ParamType::boolean,
       .default_value = "",
       .unit = "",
       .range = "",
       .help = "Use the dictionary's calibration of the masks; unset: where it has one.",
       .source = ""},
      {.name = "protocol",
       .type = ParamType::choice,
       .default_value = "none",
       .unit = "",
       .range = "none|P3|P4|P5",
       .help = "How components become stems where no dictionary decides: P3 oracle permutation, P4 oracle grouping, P5 "
               "learned on the true stems.",
       .source = ""},
  };
}

[[noreturn]] void conflict(const core::SpecPart& spec, std::string what, std::string hint = {}) {
  throw Error({Code::config, to_string(spec), std::move(what), {}, {}, std::move(hint)});
}

/// The recorded spec says which file `key` is, also where a preset chose it; arguments stay in the table's order.
void name_file(core::SpecPart& spec, const std::string& key, const std::string& name) {
  const auto given = std::ranges::find_if(spec.arguments, [&](const auto& argument) { return argument.first == key; });
  if (given != spec.arguments.end()) {
    given->second = name;
    return;
  }
  const core::ParamTable table = params({"", "", "", "", "", "", "", ""});
  const auto index = [&table](const std::string& wanted) {
    return std::ranges::find_if(table, [&](const core::Param& p) { return p.name == wanted; }) - table.begin();
  };
  const auto behind =
      std::ranges::find_if(spec.arguments, [&](const auto& argument) { return index(argument.first) > index(key); });
  spec.arguments.emplace(behind, key, name);
}

/// What a learned file says of its training: texts, and the JSON that is in them.
core::Value provenance_value(const checkpoints::Metadata& metadata) {
  core::Value out = core::Value::object();
  for (const auto& [key, text] : metadata) {
    const bool is_json = key == "tracks" || key == "selection" || key == "without";
    try {
      out[key] = is_json ? core::parse_json(text, key) : core::Value(text);
    } catch (const Error&) {
      out[key] = text;  // of another program
    }
  }
  return out;
}

std::unique_ptr<Separator> make(const core::Params& params, const core::SpecPart& part) {
  SeparatorOptions o;
  SeparatorInfo info;
  core::SpecPart spec = part;
  info.method = part.name;
  info.resolved_options = params.resolved();
  if (params.is_set("components")) o.components = static_cast<int>(params.integer("components"));
  o.iterations = static_cast<int>(params.integer("iterations"));
  o.template_frames = static_cast<int>(params.integer("frames"));
  o.beta = params.real("beta");
  if (params.is_set("alpha")) o.alpha = params.real("alpha");
  o.sparsity = params.real("sparsity");
  o.continuity = params.real("continuity");
  const bool toolbox = params.text("update") == "toolbox";
  o.uniform_h = params.text("h") == "ones";
  o.mono = params.boolean("mono");
  o.stft.fft_size = static_cast<int>(params.integer("fft"));
  o.stft.hop_samples = static_cast<int>(params.integer("hop"));
  o.stft.framing = params.text("stft") == "toolbox" ? audio::Framing::toolbox : audio::Framing::centered_reflect;
  o.free_components = static_cast<int>(params.integer("free"));
  o.free_target = params.text("free_target");
  const std::string& protocol = params.text("protocol");
  o.protocol = protocol == "P3"   ? Protocol::p3
               : protocol == "P4" ? Protocol::p4
               : protocol == "P5" ? Protocol::p5
                                  : Protocol::none;

  // A learned file decides some parameters; they cannot be given beside it.
  const auto decides = [&](const char* file, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (params.is_given(name))
        conflict(spec, fmt::format("the {} decides '{}'", file, name), fmt::format("leave '{}' out", name));
    }
  };
  // What the object says of itself once `o` has what the file decides.
  const auto describe = [&](const char* key, const auto& file, std::vector<std::string> targets) {
    info.targets = std::move(targets);
    info.rate_hz = file.rate_hz;
    info.weights_label = file.name();
    info.weights_sha256 = file.sha256;
    info.provenance = provenance_value(file.provenance);
    name_file(spec, key, file.name());
    core::Value& options = info.resolved_options;
    options[key] = file.name();
    options["components"] = o.components;
    options["frames"] = o.template_frames;
    options["iterations"] = o.iterations;
    options["beta"] = o.beta;
    options["fft"] = o.stft.fft_size;
    options["hop"] = o.stft.hop_samples;
  };

  if (params.is_set("dict")) {
    if (o.protocol != Protocol::none)
      conflict(spec, "dict makes the separation supervised (P0), so it takes no protocol");
    decides("dictionary", {"components", "frames", "beta", "fft", "hop", "stft"});
    if (toolbox) conflict(spec, "a dictionary needs update=clean");
    const auto dictionary = std::make_shared<const Dictionary>(find_dictionary(params.text("dict")));
    o.protocol = Protocol::p0;
    o.dictionary = dictionary;
    o.template_frames = dictionary->template_frames;
    o.beta = dictionary->beta;
    o.stft = dictionary->stft;
    o.components = dictionary->components();
    describe("dict", *dictionary, dictionary->targets());
    if (dictionary->members > 1 && o.free_components > 0)
      conflict(spec, "free components complete a dictionary without members");
    if (params.is_given("calibrate") && params.boolean("calibrate") && dictionary->calibration.empty())
      conflict(spec, "the dictionary has no calibration", "learn one with --calibrate");
    o.calibrate = !dictionary->calibration.empty() && (!params.is_set("calibrate") || params.boolean("calibrate"));
    if (o.calibrate && o.free_components > 0)
      conflict(spec, "the calibration knows no free components", "say calibrate=false");
    info.resolved_options["calibrate"] = o.calibrate;
    if (o.free_components > 0 && std::ranges::find(info.targets, o.free_target) == info.targets.end()) {
      throw Error({Code::config,
                   to_string(spec),
                   "free_target is none of the dictionary's targets",
                   fmt::format("{}", fmt::join(info.targets, ", ")),
                   "'" + o.free_target + "'",
                   {}});
    }
  } else if (o.free_components > 0 || params.is_given("free_target")) {
    conflict(spec, "free components complete a dictionary", "give dict=FILE");
  } else if (params.is_given("calibrate")) {
    conflict(spec, "a calibration is part of a dictionary", "give dict=FILE");
  }
  if (params.is_set("start")) {
    if (o.dictionary != nullptr || o.protocol != Protocol::none) {
      conflict(spec, "start makes the separation template-informed (P1), so it takes neither dict nor protocol");
    }
    decides("start dictionary", {"components", "fft", "hop"});
    const auto start = std::make_shared<const Dictionary>(find_dictionary(params.text("start")));
    if (start->members > 1) conflict(spec, "the start dictionary has members", "learn one with --members 1");
    if (start->template_frames != 1 && start->template_frames != o.template_frames) {
      conflict(spec, fmt::format("the start templates have {} frames", start->template_frames),
               fmt::format("say frames={}", start->template_frames));
    }
    o.protocol = Protocol::p1;
    o.start = start;
    const audio::Framing framing = o.stft.framing;
    o.stft = start->stft;
    o.stft.framing = framing;
    o.components = start->components();
    describe("start", *start, start->targets());
  }
  if (params.is_set("classifier")) {
    if (o.dictionary != nullptr || o.start != nullptr || o.protocol != Protocol::none)
      conflict(spec, "a classifier tells blind components apart (P2), so it takes neither dict, start nor protocol");
    decides("classifier", {"components", "frames", "iterations", "beta", "fft", "hop", "stft"});
    if (toolbox) conflict(spec, "a classifier needs update=clean");
    const auto classifier = std::make_shared<const Classifier>(find_classifier(params.text("classifier")));
    o.protocol = Protocol::p2;
    o.classifier = classifier;
    o.stft = classifier->stft;
    o.components = classifier->components;
    o.template_frames = classifier->template_frames;
    o.iterations = classifier->iterations;
    o.beta = classifier->beta;
    describe("classifier", *classifier, classifier->targets);
  }
  o.tensor = params.text("stereo") == "ntf";
  o.hals = params.text("solver") == "hals";
  o.window_bug = params.boolean("window_bug");
  const bool supervised = o.dictionary != nullptr || o.protocol == Protocol::p5;
  if (o.tensor && (toolbox || supervised || o.start != nullptr || o.hals || o.beta != 1 || o.template_frames != 1 ||
                   o.sparsity > 0 || o.continuity > 0 || o.mono)) {
    conflict(spec, "stereo=ntf is blind Kullback-Leibler with frames=1, without penalties");
  }
  if (o.hals &&
      (toolbox || supervised || o.beta != 2 || o.template_frames != 1 || o.sparsity > 0 || o.continuity > 0)) {
    conflict(spec, "solver=hals is blind with beta=2 and frames=1, without penalties");
  }
  if (o.window_bug && (o.stft.framing != audio::Framing::toolbox || o.protocol == Protocol::p4 || supervised)) {
    conflict(spec, "window_bug needs stft=toolbox and one component per stem");
  }
  if (o.stft.hop_samples > o.stft.fft_size) conflict(spec, "hop is larger than fft");
  if (o.stft.fft_size % 2 != 0) conflict(spec, "fft is odd");
  if (o.continuity > 0 && (o.template_frames != 1 || toolbox))
    conflict(spec, "continuity needs frames=1 and update=clean");
  if (toolbox) {
    if (o.protocol == Protocol::p5) conflict(spec, "P5 needs update=clean");
    if (o.sparsity > 0) conflict(spec, "sparsity needs update=clean");
    if (o.template_frames == 1 && o.beta != 0 && o.beta != 1 && o.beta != 2)
      conflict(spec, "the toolbox knows beta 0, 1 and 2 only");
    if (o.template_frames > 1 && o.beta != 1) conflict(spec, "the toolbox's NMFD knows beta 1 only");
    // The plain and the convolutive code of the toolbox differ in their scaling; the method's name says which is meant.
    o.update = part.name == "nmf" && o.template_frames == 1 ? Update::toolbox_nmf : Update::toolbox_nmfd;
  }

  const bool references = o.protocol == Protocol::p3 || o.protocol == Protocol::p4 || o.protocol == Protocol::p5;
  info.spec = to_string(spec);
  info.protocol = o.protocol == Protocol::p0   ? "P0"
                  : o.protocol == Protocol::p1 ? "P1"
                  : o.protocol == Protocol::p2 ? "P2"
                  : references                 ? protocol
                                               : "";
  info.needs_references = references;
  info.is_oracle = references;
  info.is_random = o.dictionary != nullptr ? o.free_components > 0 : o.start == nullptr || !o.uniform_h;
  info.offers_magnitudes = !o.mono;
  info.streams =
      o.dictionary != nullptr && o.template_frames == 1 && o.free_components == 0 && !o.mono && o.continuity == 0;
  if (o.dictionary == nullptr && o.start == nullptr && o.classifier == nullptr && !references) {
    if (o.components == 0) o.components = 16;
    info.targets = component_names(o.components);
  }
  return make_separator(std::move(o), std::move(info));
}

std::optional<RunPart> run_part(const core::SpecPart& given) {
  if (!given.preset.empty()) return std::nullopt;  // presets bring a dictionary
  for (const auto& [key, value] : given.arguments) {
    if (key == "dict" || key == "start" || key == "classifier" || (key == "protocol" && value != "none"))
      return std::nullopt;
  }
  RunPart out{.part = given, .why = {}};
  const char* protocol = given.name == "nmf" ? "P4" : "P3";
  std::erase_if(out.part.arguments, [](const auto& argument) { return argument.first == "protocol"; });
  out.part.arguments.emplace_back("protocol", protocol);
  out.why = fmt::format(
      "an oracle: its components have no names, and protocol {} names them by the true stems; nmf@cc0 knows nothing of "
      "them",
      protocol);
  return out;
}

FactorModel factor_model(const Separator& method, audio::AudioView mixture, const std::vector<std::string>& names,
                         const std::vector<audio::AudioView>& references, const Options& options) {
  const auto* factoriser = dynamic_cast<const Factoriser*>(&method);
  MSS_ASSERT(factoriser != nullptr);
  Factorisation found = factoriser->factorise(mixture, names, references, options);
  FactorModel out;
  out.kind = "NMF";
  out.stft = found.stft;
  out.rate_hz = found.rate_hz;
  out.channels = found.channels;
  out.frames = found.frames;
  out.bins = found.factors.bins;
  out.components = found.factors.components;
  out.template_frames = found.factors.template_frames;
  out.scale = found.scale;
  out.names = component_names(out.components);
  for (int r = 0; r < out.components; ++r) out.target.push_back(found.target_of(r));
  out.targets = found.targets.empty() ? method.info().targets : std::move(found.targets);
  out.templates = std::move(found.factors.w);
  out.activations = std::move(found.factors.h);
  return out;
}

void add(Registry& registry, const char* name, const char* summary, const Defaults& defaults) {
  MethodEntry entry;
  entry.name = name;
  entry.family = "classic";
  entry.summary = summary;
  entry.params = params(defaults);
  if (entry.name == "nmf") entry.presets = {{"cc0", {{"dict", "cc0"}}}, {"cc0-p2", {{"classifier", "cc0-p2"}}}};
  if (entry.name == "nmfd") entry.presets = {{"cc0-p2", {{"classifier", "cc0-nmfd-p2"}}}};
  entry.make = make;
  entry.run_part = run_part;
  entry.factor_model = factor_model;
  registry.add(std::move(entry));
}

}  // namespace

void add_methods(Registry& registry) {
  add(registry, "nmf",
      "Non-negative matrix factorisation: supervised with dict=FILE, else blind (protocol=none, P3, P4, P5, or "
      "classifier=FILE).",
      {"", "100", "1", "", "clean", "random", "centered", "false"});
  add(registry, "nmfd", "Convolutive NMF with templates of 8 frames, monotone updates.",
      {"", "50", "8", "", "clean", "random", "centered", "false"});
  add(registry, "nmfd-toolbox",
      "The NMF toolbox's NMFD as the students ran it: mono, 4 components, 8 frames, 30 iterations, alpha 1.",
      {"4", "30", "8", "1", "toolbox", "ones", "toolbox", "true"});
}

}  // namespace mss::methods::nmf
