// mssbench train: learns what a method needs from a training set.
#include <fmt/format.h>

#include <filesystem>

#include "cli/commands/commands.h"
#include "cli/commands/train_network.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "cli/plan_settings.h"
#include "core/json.h"
#include "core/text.h"
#include "training/dictionaries.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using core::ParamType;
using core::Value;

training::NmfTraining make_training(Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  const harness::Plan plan = selection_plan(settings, "train");
  training::NmfTraining training;
  training.dataset = plan.dataset;
  training.layout = plan.layout;
  training.selection = harness::selection(plan);
  training.targets = settings.list("targets");
  training.out = settings.text("out");
  training.classifier = invocation.arguments.at(0) == "nmf-classifier";
  methods::nmf::TrainOptions& options = training.options;
  options.rate_hz = static_cast<int>(settings.integer("rate_hz"));
  options.stft.fft_size = static_cast<int>(settings.integer("fft"));
  options.stft.hop_samples = static_cast<int>(settings.integer("hop"));
  if (options.stft.fft_size % 2 != 0) {
    throw Error({Code::config, "--fft", "odd size", "an even number", std::to_string(options.stft.fft_size), ""});
  }
  if (options.stft.hop_samples > options.stft.fft_size) {
    throw Error({Code::config, "--hop", "larger than the Fourier transform",
                 fmt::format("at most {}", options.stft.fft_size), std::to_string(options.stft.hop_samples), ""});
  }
  options.components = static_cast<int>(settings.integer("components"));
  options.members = static_cast<int>(settings.integer("members"));
  options.calibrate = settings.flag("calibrate");
  options.template_frames = static_cast<int>(settings.integer("frames"));
  options.iterations = static_cast<int>(settings.integer("iterations"));
  options.beta = settings.real("beta");
  options.sparsity = settings.real("sparsity");
  options.silence_db = settings.real("silence_db");
  options.max_frames = settings.integer("max_frames");
  training.memory_gb = settings.real("memory_gb");
  options.seed = invocation.seed();
  options.threads = invocation.threads();
  options.stop = invocation.stop;
  training.progress = &invocation.console->progress();
  training.log = invocation.console->log();
  return training;
}

std::string summary(const training::NmfTrained& result, bool classifier) {
  std::string parts;
  for (std::size_t i = 0; i < result.targets.size(); ++i) {
    parts += fmt::format("{}{} {}", i == 0 ? "" : ", ", result.targets[i], result.components[i]);
  }
  if (classifier) {
    return fmt::format("{}: {} from {} tracks; {} components to {} targets; {} bytes\n", result.file.string(),
                       result.name, result.tracks.size(), result.components.at(0), result.targets.size(), result.bytes);
  }
  return fmt::format("{}: {} from {} tracks; templates: {}; {} bytes\n", result.file.string(), result.name,
                     result.tracks.size(), parts, result.bytes);
}

Value to_value(const training::NmfTrained& result) {
  Value out = Value::object();
  out["file"] = result.file.string();
  out["name"] = result.name;
  out["sha256"] = result.sha256;
  out["bytes"] = static_cast<std::int64_t>(result.bytes);
  out["components"] = Value::object();
  for (std::size_t i = 0; i < result.targets.size(); ++i) out["components"][result.targets[i]] = result.components[i];
  out["tracks"] = Value::array();
  for (const std::string& track : result.tracks) out["tracks"].push_back(track);
  out["without"] = Value::object();
  for (const auto& [target, tracks] : result.without) {
    Value list = Value::array();
    for (const std::string& track : tracks) list.push_back(track);
    out["without"][target] = std::move(list);
  }
  return out;
}

int run_train(Invocation& invocation) {
  const std::string& what = invocation.arguments.at(0);
  if (what != "nmf" && what != "nmf-classifier") return train_network(invocation);
  for (const char* needed : {"dataset", "out"}) {
    if (invocation.settings->is_set(needed)) continue;
    throw Error({Code::config, "mssbench train",
                 std::string(needed == std::string("out") ? "-o FILE" : "-d DATASET") + " is missing", "", "",
                 "mssbench train --help shows what it takes"});
  }
  const training::NmfTraining training = make_training(invocation);
  training::NmfTrained result;
  try {
    result = training::train_nmf(training);
  } catch (const Error& error) {
    if (concerns_output(error, training.out)) throw Failure(kFailed, error);
    throw;
  }
  invocation.console->result(invocation.json() ? core::dump_json(to_value(result), 2) + "\n"
                                               : summary(result, training.classifier));
  return kOk;
}

core::Param with(core::Param param, std::string default_value, std::string help) {
  param.default_value = std::move(default_value);
  param.help = std::move(help);
  return param;
}

core::Param number(const char* name, ParamType type, const char* default_value, const char* unit, const char* range,
                   const char* help) {
  return {.name = name, .type = type, .default_value = default_value, .unit = unit, .range = range, .help = help};
}

std::vector<Option> train_options() {
  return {
      {.param = with(plan_param("dataset"), "",
                     "What to learn from: a folder, a name, or synthetic (docs/datasets.md). "
                     "Without it a recipe's own data set."),
       .letter = 'd',
       .placeholder = "DATASET",
       .complete = Complete::dataset},
      {.param = {.name = "out",
                 .type = ParamType::file,
                 .help = "nmf: the dictionary to write, a .safetensors file; its name without extension is the label "
                         "under which results name it. RECIPE: the folder of the run (runs/NAME)."},
       .letter = 'o',
       .placeholder = "PATH",
       .complete = Complete::file},
      {.param = {.name = "recipe",
                 .help = "RECIPE: one of its values, such as optimiser.rate=0.0003; --dry-run lists all."},
       .placeholder = "SECTION.KEY=VALUE",
       .list = true,
       .separator = ';'},
      {.param = {.name = "device",
                 .type = ParamType::text,
                 .default_value = "auto",
                 .help = "RECIPE: where the network is trained: auto (a GPU where there is one), cpu, cuda, cuda:N."},
       .placeholder = "DEVICE"},
      {.param = number("max_steps", ParamType::integer, "0", "steps", "[0,1000000000000]",
                       "RECIPE: ends after so many steps in all, before the recipe's budget; --resume goes on. 0: no "
                       "such end."),
       .placeholder = "N"},
      {.param = {.name = "resume",
                 .type = ParamType::boolean,
                 .default_value = "false",
                 .help = "RECIPE: go on with the run in the folder of --out from its last checkpoint, or begin it."},
       .setting = false},
      {.param = {.name = "dry_run",
                 .type = ParamType::boolean,
                 .default_value = "false",
                 .help = "RECIPE: print the resolved recipe with the origin of each value, the size of network and "
                         "run, and start nothing."},
       .setting = false},
      {.param = number("preview", ParamType::integer, "0", "examples", "[0,10000]",
                       "RECIPE: write the first N training examples, what was drawn for them and their spectrograms to "
                       "the folder of --out, and train nothing."),
       .placeholder = "N",
       .setting = false},
      {.param = {.name = "allow_training_tracks",
                 .type = ParamType::boolean,
                 .default_value = "false",
                 .help = "RECIPE: train on tracks that belong to a test set all the same; the run and its weights say "
                         "so."}},
      {.param = plan_param("layout"), .placeholder = "NAME", .complete = Complete::choice},
      {.param = with(plan_param("subset"), "train", "Which subset to learn from."),
       .placeholder = "NAME",
       .complete = Complete::choice},
      {.param = plan_param("split"), .placeholder = "NAME", .complete = Complete::choice},
      {.param = plan_param("tracks"), .flag = "track", .placeholder = "TRACK", .list = true, .separator = ';'},
      {.param = plan_param("limit"), .placeholder = "N"},
      {.param = {.name = "targets", .help = "Stems to learn; without it all that the tracks have."},
       .placeholder = "NAME",
       .list = true,
       .complete = Complete::target},
      {.param = number("components", ParamType::integer, "50", "", "[1,1024]", "Templates per target and member."),
       .placeholder = "N"},
      {.param = number("members", ParamType::integer, "1", "", "[1,64]",
                       "Sets of templates that differ in their start values; separation averages their masks."),
       .placeholder = "N"},
      {.param = {.name = "calibrate",
                 .type = ParamType::boolean,
                 .default_value = "false",
                 .help = "Learn too, on songs left out in turn, how far masks are to be trusted, and what clicks and "
                         "stereo say; takes up to five times as long and loads every stem twice more."}},
      {.param = number("frames", ParamType::integer, "1", "frames", "[1,64]", "Length of a template; 1 is plain NMF."),
       .placeholder = "N"},
      {.param = number("iterations", ParamType::integer, "200", "", "[0,100000]", "Multiplicative updates."),
       .placeholder = "N"},
      {.param = number("beta", ParamType::real, "1", "", "[-2,4]",
                       "Divergence: 2 Euclidean, 1 Kullback-Leibler, 0 Itakura-Saito."),
       .placeholder = "X"},
      {.param =
           number("sparsity", ParamType::real, "0", "", "[0,inf)", "Weight of the activations' sum in the objective."),
       .placeholder = "X"},
      {.param = number("fft", ParamType::integer, "4096", "samples", "[16,65536]",
                       "Size of the Fourier transform and of its Hann window; even."),
       .placeholder = "N"},
      {.param = number("hop", ParamType::integer, "1024", "samples", "[1,65536]", "Step between frames."),
       .placeholder = "N"},
      {.param = number("rate_hz", ParamType::integer, "44100", "Hz", "[1,768000]",
                       "Sample rate of the dictionary; stems of another are converted."),
       .flag = "rate",
       .placeholder = "HZ"},
      {.param = number("silence_db", ParamType::real, "40", "dB", "(0,inf)",
                       "Frames this much below the track's loudest are left out."),
       .placeholder = "DB"},
      {.param = number("max_frames", ParamType::integer, "50000", "frames", "[1,100000000]",
                       "Frames per target, drawn evenly over the tracks; memory grows with it."),
       .placeholder = "N"},
      {.param = number("memory_gb", ParamType::real, "0", "GB", "[0,inf)",
                       "Most memory; training that needs more is refused before it starts. 0: no bound."),
       .placeholder = "GB"}};
}

}  // namespace

Command train_command() {
  return {
      .name = "train",
      .summary = "train a network, or learn a dictionary of templates, from a data set",
      .description =
          "RECIPE: trains a network as a recipe says, a TOML file or the name of one that comes with mssbench "
          "(docs/training.md lists names and keys). The folder of the run holds the resolved recipe, log, curves, "
          "TensorBoard events and checkpoints; best.safetensors and last.safetensors are weights at once: "
          "mssbench separate song.wav -m umx:weights=runs/NAME. A run that was stopped or killed goes on with "
          "--resume to the same bits. RECIPE may be the folder of a run, whose recipe is taken.\n\n"
          "nmf: learns the templates of every target from the isolated stems of a training set, for separation "
          "with nmf:dict=FILE. Tracks pass one by one, so memory does not grow with their number; those that lack "
          "a stem, or have it silent, are named and left out for that target. The file (safetensors) holds the "
          "templates and where they come from: data set, tracks with their SHA-256, all options, seed, version "
          "and revision. It is written at the end and whole.\n\n"
          "nmf-classifier: learns to tell, from spectrum and activation, which target a component of a blind "
          "factorisation belongs to, for nmf:classifier=FILE (protocol P2). --components are those of a "
          "factorisation, --members the factorisations per track; --sparsity, --silence-db, --max-frames and "
          "--calibrate "
          "have no part in it.\n\n"
          "Equal training gives equal bytes on one instruction set. Do not measure a dictionary on tracks that it "
          "was learned from.",
      .arguments = {{.name = "RECIPE|nmf|nmf-classifier",
                     .help = "What to train: a recipe (a file, a name, the folder of a run), or a dictionary.",
                     .least = 1,
                     .most = 1,
                     .complete = Complete::file}},
      .options = train_options(),
      .examples =
          {{"mssbench train umx-tiny -d synthetic -o runs/first",
            "a small Open-Unmix in minutes; then mssbench separate song.wav -m umx:weights=runs/first -o stems"},
           {"mssbench train runs/first --resume -o runs/first --recipe budget.epochs=40", "go on with it for longer"},
           {"mssbench train nmf -d musdb18 -o musdb.safetensors --components 60",
            "from MUSDB18's training songs; then mssbench separate song.wav -m nmf:dict=musdb.safetensors "
            "-o stems"},
           {"mssbench train nmf -d my_songs --targets vocals,drums -o two.safetensors --max-frames 20000",
            "two stems only, with less memory"},
           {"mssbench train nmf -d synthetic --subset test --iterations 50 -o synth.safetensors",
            "from the built-in songs, which are all in the subset test"},
           {"mssbench train nmf-classifier -d musdb18 -o whose.safetensors --components 30 --members 3",
            "a classifier of components, from three factorisations of every song"}},
      .run = run_train};
}

}  // namespace mss::cli
