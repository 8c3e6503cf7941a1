// mssbench import, export and checkpoint: weights in files of other programs.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "checkpoints/pytorch.h"
#include "checkpoints/safetensors.h"
#include "cli/commands/commands.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "cli/table.h"
#include "core/escape.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/text.h"
#include "harness/builtin_methods.h"
#include "methods/registry.h"
#include "methods/weight_files.h"
#include "methods/weights.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using core::ParamType;
using core::Value;

/// Calls f; errors concern the input that the user named, also wrong shapes and unknown formats.
template <class F>
auto reading(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const Error& error) {
    throw Failure(input_status(error.code()), error);
  }
}

methods::ReadOptions read_options(const Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  methods::ReadOptions options;
  const auto integer = [&](const char* key) {
    return settings.is_set(key) ? std::optional<int>(static_cast<int>(settings.integer(key))) : std::nullopt;
  };
  options.rate_hz = integer("rate_hz");
  options.fft_size = integer("fft");
  options.hop_samples = integer("hop");
  options.check_names = !settings.flag("unverified");
  options.threads = invocation.threads();
  return options;
}

fs::path output(const Settings& settings) {
  const fs::path out = settings.text("out");
  if (core::to_lower(out.extension().string()) != ".safetensors") {
    throw Error({Code::config, "--out", "weights are written as safetensors", "FILE.safetensors", out.string(), ""});
  }
  return out;
}

const std::vector<const methods::NetworkFamily*>& families() { return harness::builtin_methods().families(); }

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const methods::NetworkFamily* family : families()) names.push_back(family->name);
  return names;
}

std::string description(const methods::Weights& weights) {
  return fmt::format(
      "{}, {}\n  targets     {}\n  sizes       {}; {:.2f} M parameters\n  frames      {}\n  content     "
      "SHA-256 {}\n",
      weights.name(), weights.architecture(), core::join(weights.targets(), ", "),
      weights.family->sizes(weights.configuration), static_cast<double>(weights.parameters()) * 1e-6,
      weights.family->timing(weights.configuration), weights.content_hash);
}

Value to_value(const methods::Weights& weights) {
  Value out = Value::object();
  out["family"] = weights.family->name;
  out["name"] = weights.name();
  out["label"] = weights.label;
  out["content_sha256"] = weights.content_hash;
  out["parameters"] = weights.parameters();
  out["configuration"] = weights.configuration;
  out["provenance"] = weights.provenance;
  return out;
}

/// What says it instead, for what NetworkFamily::timing puts into words.
const std::map<std::string, std::string> kTimingOptions{
    {"rate_hz", "--rate"}, {"fft_size", "--fft"}, {"hop_samples", "--hop"}};

void tell_assumptions(Console& console, const methods::Weights& weights, const std::string& place) {
  const Value* assumed = weights.provenance.find("assumed");
  if (assumed == nullptr || assumed->size() == 0) return;
  std::vector<std::string> names, values, options;
  for (const Value& each : assumed->as_array()) {
    const std::string& name = each.as_string();
    names.push_back(name);
    if (const auto option = kTimingOptions.find(name); option != kTimingOptions.end()) {
      options.push_back(option->second);
    } else if (name == "targets") {
      values.push_back("targets " + core::join(weights.targets(), ", "));
    } else if (const Value* value = weights.configuration.find(name); value != nullptr) {
      values.push_back(name + " " + core::dump_json(*value));
    }
  }
  if (!options.empty()) values.insert(values.begin(), weights.family->timing(weights.configuration));
  const std::string last = names.back();
  names.pop_back();
  const std::string missing = names.empty() ? last : core::join(names, ", ") + " and " + last;
  console.message(core::LogLevel::warning,
                  fmt::format("{}: the files do not say {}{}{}", place, missing,
                              values.empty() ? "" : "; assumed " + core::join(values, "; "),
                              options.empty() ? "" : fmt::format(" ({})", fmt::join(options, ", "))));
}

int run_import(Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  const fs::path out = output(settings);
  const auto named = [&](const methods::NetworkFamily* family) { return family->name == invocation.arguments[0]; };
  const methods::NetworkFamily& family = **std::ranges::find_if(families(), named);
  const std::vector<fs::path> paths(invocation.arguments.begin() + 1, invocation.arguments.end());
  methods::ReadOptions options = read_options(invocation);
  options.hash_files = true;
  options.fallback_label = out.stem().string();
  if (settings.is_set("label")) options.label = settings.text("label");
  if (settings.is_set("target")) options.target_name = settings.text("target");
  methods::Weights weights = reading([&] { return methods::read_weights(family, paths, options); });
  if (settings.flag("float16")) weights = reading([&] { return methods::in_half(weights); });
  writing([&] { methods::write_weights(out, weights); });
  // What is on the disk is what later runs use: read it back once.
  const methods::Weights written = writing([&] { return methods::read_weights(family, out); });
  if (written.content_hash != weights.content_hash) {
    throw Failure(kFailed, Error({Code::io, out.string(), "the file does not hold what was written to it",
                                  "SHA-256 " + weights.content_hash, written.content_hash, ""}));
  }
  Console& console = *invocation.console;
  tell_assumptions(console, weights, paths.front().string());
  if (invocation.json()) {
    Value value = to_value(weights);
    value["file"] = out.string();
    console.result(core::dump_json(value, 2) + "\n");
  } else {
    console.result(fmt::format("{}: {}", out.string(), description(weights)));
  }
  return kOk;
}

int run_export(Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  const fs::path out = output(settings);
  const std::vector<fs::path> paths(invocation.arguments.begin(), invocation.arguments.end());
  const methods::Weights weights =
      reading([&] { return methods::read_weights(families(), paths, read_options(invocation)); });
  std::optional<std::string> target;
  if (settings.is_set("target")) target = settings.text("target");
  try {
    methods::export_weights(out, weights, target);
  } catch (const Error& error) {
    throw Failure(error.code() == Code::invalid_argument ? kUsage : kFailed, error);
  }
  tell_assumptions(*invocation.console, weights, paths.front().string());
  if (invocation.json()) {
    Value value = to_value(weights);
    value["file"] = out.string();
    invocation.console->result(core::dump_json(value, 2) + "\n");
  } else {
    invocation.console->result(fmt::format("{}: state dict of {}{}\n", out.string(), weights.name(),
                                           target ? ", target " + *target : std::string()));
  }
  return kOk;
}

struct Listed {
  std::string name, type;
  std::vector<std::int64_t> shape;
  std::int64_t elements = 0;
};

int run_checkpoint(Invocation& invocation) {
  fs::path path = invocation.arguments[0];
  std::error_code unknown_path;
  if (fs::is_directory(path, unknown_path)) {
    // A training run holds one file of weights to be used; in other folders people have to say which they mean.
    const std::vector<methods::FileName> files = methods::files_in(path);
    if (files.size() != 1) {
      throw Error({Code::checkpoint, path.string(), "is a folder", "a file, or a folder with one file of weights",
                   fmt::format("{} files of weights", files.size()), "name one of its files"});
    }
    path = files.front().path;
  }
  std::vector<Listed> tensors;
  Value value = Value::object();
  value["file"] = path.string();
  std::vector<std::string> globals, unknown;
  std::vector<std::string> unreadable;
  checkpoints::Metadata metadata;
  std::string layout;
  const bool safe = core::to_lower(path.extension().string()) == ".safetensors";
  reading([&] {
    if (safe) {
      const checkpoints::SafetensorsFile file(path);
      layout = "safetensors";
      metadata = file.metadata();
      for (const auto& [name, info] : file.tensors()) {
        tensors.push_back({name, std::string(checkpoints::dtype_name(info.dtype)), info.shape, info.elements()});
      }
    } else {
      const checkpoints::PytorchFile file(path, {.unknown_calls = true});  // listed below
      layout = fmt::format("PyTorch, {} layout", checkpoints::layout_name(file.layout()));
      globals = file.tree().globals();
      unknown = file.tree().unknown();
      for (const auto& [name, info] : file.tensors()) tensors.push_back({name, info.type, info.shape, info.elements()});
      for (const auto& [name, maker] : file.unreadable()) unreadable.push_back(fmt::format("{} ({})", name, maker));
    }
  });
  // Is it a network that we know? Its own error is of no interest here.
  std::optional<methods::Weights> weights;
  try {
    weights = methods::read_weights(families(), {path}, {.check_names = false, .threads = invocation.threads()});
  } catch (const Error&) {
  }
  const std::string sha256 = reading([&] { return core::sha256_file(path); });
  std::optional<std::string> official;
  for (const methods::NetworkFamily* family : families()) {
    if (!official) official = methods::official_file(*family, sha256);
  }
  std::int64_t elements = 0;
  std::map<std::string, int> types;
  for (const Listed& tensor : tensors) {
    elements += tensor.elements;
    ++types[tensor.type];
  }
  Console& console = *invocation.console;
  if (!unknown.empty()) {
    console.error(
        Error({Code::checkpoint, path.string(), "names Python functions or classes that weights do not need",
               "tensors, containers, numbers, known configuration classes", core::join(unknown, ", "),
               "do not load it in Python unless you know why; 'mssbench import --unverified' takes the tensors "
               "alone"}));
  }
  if (invocation.json()) {
    value["layout"] = layout;
    value["sha256"] = sha256;
    value["official"] = official ? Value(*official) : Value();
    value["elements"] = elements;
    value["weights"] = weights ? to_value(*weights) : Value();
    value["metadata"] = Value::object();
    for (const auto& [key, text] : metadata) value["metadata"][key] = text;
    value["globals"] = Value::array();
    for (const std::string& name : globals) value["globals"].push_back(core::escape_line(name));
    value["unknown_globals"] = Value::array();
    for (const std::string& name : unknown) value["unknown_globals"].push_back(core::escape_line(name));
    value["unreadable"] = Value::array();
    for (const std::string& name : unreadable) value["unreadable"].push_back(name);
    value["tensors"] = Value::array();
    for (const Listed& tensor : tensors) {
      Value entry = Value::object();
      entry["name"] = tensor.name;
      entry["type"] = tensor.type;
      entry["shape"] = Value::array();
      for (const std::int64_t n : tensor.shape) entry["shape"].push_back(n);
      value["tensors"].push_back(std::move(entry));
    }
    console.result(core::dump_json(value, 2) + "\n");
    return unknown.empty() ? kOk : kBadInput;
  }
  std::vector<std::string> counts;
  for (const auto& [type, count] : types) counts.push_back(fmt::format("{} {}", count, type));
  std::string text = fmt::format("{}: {}; {} tensors{}{}, {} elements\n", path.string(), layout, tensors.size(),
                                 counts.empty() ? "" : ": ", core::join(counts, ", "), elements);
  text += fmt::format("SHA-256 {}{}\n", sha256, official ? " (official file: " + *official + ")" : std::string());
  if (weights) text += "weights of " + description(*weights);
  for (const auto& [key, entry] : metadata) text += fmt::format("  {} = {}\n", key, entry);
  if (!globals.empty()) text += fmt::format("names (none was called): {}\n", core::join(globals, ", "));
  if (!unknown.empty()) text += fmt::format("not needed by weights: {}\n", core::join(unknown, ", "));
  for (const std::string& name : unreadable) text += "not readable here: " + name + "\n";
  if (!tensors.empty()) {
    TextTable table({"tensor", "type", "shape"});
    for (const Listed& tensor : tensors) {
      table.add({tensor.name, tensor.type, fmt::format("[{}]", fmt::join(tensor.shape, ", "))});
    }
    text += "\n" + table.text(Console::columns());
  }
  console.result(core::escape_terminal(text));
  return unknown.empty() ? kOk : kBadInput;
}

Option out_option(const char* help) {
  return {.param = {.name = "out", .type = ParamType::file, .help = help},
          .letter = 'o',
          .placeholder = "FILE",
          .required = true,
          .complete = Complete::file};
}

std::vector<Option> reading_options() {
  const auto number = [](const char* name, const char* unit, const char* range, const char* help) {
    return core::Param{.name = name, .type = ParamType::integer, .unit = unit, .range = range, .help = help};
  };
  return {
      {.param = number("rate_hz", "Hz", "[1,768000]", "Sample rate of the model, where the files do not say it."),
       .flag = "rate",
       .placeholder = "HZ"},
      {.param = number("fft", "samples", "[2,65536]", "Size of the Fourier transform; must fit the tensors."),
       .placeholder = "N"},
      {.param = number("hop", "samples", "[1,65536]", "Step between frames, where the files do not say it."),
       .placeholder = "N"},
      {.param = {.name = "unverified",
                 .type = ParamType::boolean,
                 .default_value = "false",
                 .help = "Read files also when their name claims another SHA-256, or when they call Python functions "
                         "that weights do not need (nothing is executed)."}}};
}

std::vector<Option> with(std::vector<Option> first, std::vector<Option> more) {
  for (Option& option : more) first.push_back(std::move(option));
  return first;
}

}  // namespace

Command import_command() {
  std::string kinds;
  std::vector<Example> examples;
  for (const methods::NetworkFamily* family : families()) {
    kinds += fmt::format("{}: reads {}.\n\n", family->name, family->files_help);
    for (const auto& [command, says] : family->examples) examples.push_back({command, says});
  }
  return {
      .name = "import",
      .summary = "make weights of other programs into one file",
      .description = fmt::format(
          "Reads weights that other programs wrote and writes one safetensors file with everything in it: tensors, "
          "sizes, rate, where they come from, hashes.\n\n{}A method reads the originals as well "
          "(umx:weights=DIR); the file is one piece, names itself, and loads faster.\n\n"
          "Nothing in the files is executed. A file that calls Python functions which weights do not need, such as "
          "os.system, is refused. A name that carries 8 digits of the file's SHA-256 is checked against it.",
          kinds),
      .arguments = {{.name = "FAMILY",
                     .help = "What kind of network: " + core::join(family_names(), ", ") + ".",
                     .least = 1,
                     .most = 1,
                     .complete = Complete::choice,
                     .choices = family_names()},
                    {.name = "PATH",
                     .help = "Folder, or the files that belong together.",
                     .least = 1,
                     .most = -1,
                     .complete = Complete::file}},
      .options = with(
          {out_option("The .safetensors file to write."),
           {.param = {.name = "label",
                      .help = "Name of the weights in results; without it the known name of official "
                              "files (umxhq), else that of the written file."},
            .placeholder = "NAME"},
           {.param = {.name = "target", .help = "Target of a single network, where the file's name does not say it."},
            .placeholder = "NAME",
            .complete = Complete::target},
           {.param = {.name = "float16",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "Matrices, kernels and long vectors as float16, for half the size."}}},
          reading_options()),
      .examples = examples,
      .run = run_import};
}

Command export_command() {
  return {
      .name = "export",
      .summary = "write weights for Python",
      .description =
          "Writes a safetensors file that Python loads back: the state dict of the network's own package (of "
          "openunmix's Separator, or with --target that of one OpenUnmix; of asteroid's XUMX; …). It is complete, so "
          "that load_state_dict(safetensors.torch.load_file(FILE)) accepts it.",
      .arguments = {{.name = "PATH",
                     .help = "What import wrote, or anything that it reads.",
                     .least = 1,
                     .most = -1,
                     .complete = Complete::file}},
      .options = with({out_option("The .safetensors file to write."),
                       {.param = {.name = "target", .help = "One target's network alone."},
                        .placeholder = "NAME",
                        .complete = Complete::target}},
                      reading_options()),
      .examples = {{"mssbench export mine.safetensors -o separator.safetensors", "all targets"},
                   {"mssbench export mine.safetensors --target vocals -o vocals.safetensors", "one of them"}},
      .run = run_export};
}

Command checkpoint_command() {
  return {
      .name = "checkpoint",
      .summary = "list what a file of weights holds",
      .description =
          "Lists the tensors of a PyTorch file (.pth, .th, .pt, .ckpt; also of versions before 1.6) or of a "
          "safetensors file, the metadata or the Python classes that it names, and which network it is, if we know "
          "it. Nothing in the file is executed. Names that files of weights do not need (anything but tensors, "
          "containers, numbers and known configuration classes) are listed, and the exit status is 3. Status 0 says "
          "that nothing of the kind was found, not that a file is safe to load in Python.",
      .arguments = {{.name = "FILE",
                     .help = "The file; or the folder of a training run, whose best weights are listed.",
                     .least = 1,
                     .most = 1,
                     .complete = Complete::file}},
      .options = {},
      .examples = {{"mssbench checkpoint vocals-b62c91ce.pth", "before trusting a download"},
                   {"mssbench checkpoint runs/umx-tiny", "what a training run made"}},
      .run = run_checkpoint};
}

}  // namespace mss::cli
