// mssbench synth: composed songs with true stems as a folder like MUSDB18-HQ, and their acceptance.
#include "datasets/synth/set.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/commands/commands.h"
#include "cli/invocation.h"
#include "cli/table.h"
#include "core/json.h"
#include "core/parallel.h"
#include "core/text.h"
#include "datasets/synth/fluid.h"
#include "datasets/synth/soundfonts.h"
#include "harness/builtin_methods.h"
#include "harness/synth_check.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
namespace synth = datasets::synth;
using core::ParamType;
using core::Value;

const std::vector<synth::Split> kAllSplits = {synth::Split::train, synth::Split::valid, synth::Split::test};

std::vector<fs::path> font_folders(const Settings& settings) {
  std::vector<fs::path> folders;
  for (const std::string& folder : settings.list("soundfonts")) folders.emplace_back(folder);
  return folders;
}

std::unique_ptr<synth::Renderer> renderer_of(const std::string& name, const Invocation& invocation) {
  const std::vector<fs::path> folders = font_folders(*invocation.settings);
  const core::LogFn log = invocation.console->log();
  if (name == "builtin") return synth::make_builtin_renderer();
  if (name == "fluidsynth") return synth::make_fluid_renderer(kAllSplits, folders, log);
  std::string lacks;
  if (!synth::have_fluidsynth()) {
    lacks = "this program was built without FluidSynth (libfluidsynth-dev)";
  } else if (const std::string package = synth::missing_package(kAllSplits, folders); !package.empty()) {
    lacks = "a soundfont of Debian's package " + package + " is not to be found";
  }
  if (lacks.empty()) return synth::make_fluid_renderer(kAllSplits, folders, log);
  core::log(log, core::LogLevel::warning,
            lacks +
                "; the built-in synthesiser plays the songs, which makes another, poorer set "
                "(--renderer fluidsynth insists)");
  return synth::make_builtin_renderer();
}

int write_songs(Invocation& invocation, const fs::path& out) {
  const Settings& settings = *invocation.settings;
  const std::string& wanted = settings.text("size");
  const auto preset = std::find_if(synth::presets().begin(), synth::presets().end(),
                                   [&](const synth::Preset& p) { return p.name == wanted; });
  const std::unique_ptr<synth::Renderer> renderer = renderer_of(settings.text("renderer"), invocation);
  synth::SetOptions options;
  options.out = out;
  options.preset = *preset;
  options.seed = static_cast<std::uint64_t>(settings.integer("set_number"));
  options.renderer = renderer.get();
  options.flac = settings.flag("flac");
  options.instruments = settings.flag("instruments");
  const auto jobs = static_cast<int>(settings.integer("jobs"));
  options.jobs = jobs > 0 ? jobs : core::resolve_threads(invocation.threads());
  options.progress = &invocation.console->progress();
  options.stop = invocation.stop;
  options.log = invocation.console->log();
  const synth::SetSummary summary = synth::write_set(options);
  const std::string note = "Scores on these songs are never comparable with MUSDB18's (docs/synthetic.md).";
  if (invocation.json()) {
    Value value = Value::object();
    value["out"] = out.string();
    value["name"] = synth::set_name_of(out);
    value["renderer"] = renderer->name();
    value["songs"] = summary.songs;
    value["written"] = summary.written;
    value["kept"] = summary.kept;
    value["seconds"] = summary.seconds;
    value["bytes"] = static_cast<std::int64_t>(summary.bytes);
    value["note"] = note;
    invocation.console->result(core::dump_json(value, 2) + "\n");
  } else {
    invocation.console->result(fmt::format("{}: {} songs ({} written, {} kept), {}, {:.0f} MB, {}\n{}\n", out.string(),
                                           summary.songs, summary.written, summary.kept, clock_time(summary.seconds),
                                           static_cast<double>(summary.bytes) / 1e6, renderer->name(), note));
  }
  return kOk;
}

std::string_view verdict_text(harness::Verdict verdict) {
  switch (verdict) {
    case harness::Verdict::pass:
      return "pass";
    case harness::Verdict::fail:
      return "FAIL";
    default:
      return "-";
  }
}

int check_songs(Invocation& invocation, const fs::path& out) {
  const Settings& settings = *invocation.settings;
  harness::SynthCheckOptions options;
  options.root = out;
  options.threads = invocation.threads();
  options.rendered_again = static_cast<int>(settings.integer("again"));
  options.methods = &harness::builtin_methods();
  options.mixture = "mixture";
  options.ideal_ratio_mask = "irm:alpha=2,fft=4096,hop=1024";
  options.clustered_nmf = "nmf:protocol=P4,components=16";
  options.make_renderer = [&](const std::string& name) { return renderer_of(name, invocation); };
  options.progress = &invocation.console->progress();
  options.stop = invocation.stop;
  options.log = invocation.console->log();
  const std::vector<harness::SynthFinding> findings = harness::check_synth(options);
  int failed = 0;
  Value list = Value::array();
  TextTable table({"no.", "what", "found", "wanted", "prototype", ""});
  for (const harness::SynthFinding& finding : findings) {
    failed += finding.verdict == harness::Verdict::fail ? 1 : 0;
    table.add({std::to_string(finding.test), finding.what, finding.found, finding.wanted, finding.prototype,
               std::string(verdict_text(finding.verdict))});
    Value entry = Value::object();
    entry["test"] = finding.test;
    entry["what"] = finding.what;
    entry["found"] = finding.found;
    entry["wanted"] = finding.wanted;
    entry["prototype"] = finding.prototype;
    entry["verdict"] =
        finding.verdict == harness::Verdict::none ? Value() : Value(finding.verdict == harness::Verdict::pass);
    list.push_back(std::move(entry));
  }
  if (invocation.json()) {
    Value value = Value::object();
    value["root"] = out.string();
    value["name"] = synth::set_name_of(out);
    value["failed"] = failed;
    value["findings"] = std::move(list);
    invocation.console->result(core::dump_json(value, 2) + "\n");
  } else {
    invocation.console->result(table.text(Console::columns()) + fmt::format("{}: {} numbers, {} out of tolerance\n",
                                                                            out.string(), findings.size(), failed));
  }
  return failed > 0 ? kBadInput : kOk;
}

int run_synth(Invocation& invocation) {
  const std::vector<std::string>& arguments = invocation.arguments;
  if (arguments.size() == 1) return write_songs(invocation, arguments.front());
  if (arguments.front() != "check") {
    throw Error({Code::config, "mssbench synth", "one folder at a time", "OUT, or check OUT",
                 "'" + arguments.front() + "'", ""});
  }
  return check_songs(invocation, arguments[1]);
}

}  // namespace

Command synth_command() {
  return {
      .name = "synth",
      .summary = "compose songs with true stems, as a folder like MUSDB18-HQ",
      .description =
          "Composes songs from seeds, plays and sings them, mixes and masters them, and writes mixture, drums, bass, "
          "other and vocals of each, with its score (song.mid, notes.json), its syllables (vocals.json) and all "
          "choices (meta.json). Training, validation and test songs differ in keys, singers, programs and, with "
          "FluidSynth, in soundfonts. A run that was stopped goes on where it was; the files have the same bytes for "
          "any number of jobs.\n\n"
          "synth check OUT measures what docs/synthetic.md promises of such a folder (sums, levels, spectra, "
          "separability, the singer's pitch) against its tolerances; exit status 3 when a number is out of its "
          "tolerance.\n\n"
          "Scores on synthetic songs rank methods and catch regressions; they are never comparable with MUSDB18's.",
      .arguments =
          {{.name = "check",
            .help = "Check a folder instead of writing it.",
            .least = 0,
            .most = 1,
            .complete = Complete::nothing},
           {.name = "OUT", .help = "Folder of the songs.", .least = 1, .most = 1, .complete = Complete::directory}},
      .options = {{.param = {.name = "size",
                             .type = ParamType::choice,
                             .default_value = "small",
                             .range = "mini|small|full",
                             .help = "mini: 2 songs for training, 1 for validation, 2 for test, 7 s each; small: "
                                     "20/4/10 of 20 s; full: 86/14/50 of 30 s."},
                   .flag = "preset",
                   .placeholder = "NAME",
                   .complete = Complete::choice},
                  {.param = {.name = "set_number",
                             .type = ParamType::integer,
                             .default_value = "1",
                             .range = "[1,900000000000000]",
                             .help = "Which songs: sets of different numbers share none."},
                   .flag = "seed",
                   .placeholder = "N"},
                  {.param = {.name = "renderer",
                             .type = ParamType::choice,
                             .default_value = "auto",
                             .range = "auto|fluidsynth|builtin",
                             .help = "Who plays the instruments: FluidSynth with soundfonts, or the built-in "
                                     "synthesiser; auto takes FluidSynth where it and its fonts are there."},
                   .placeholder = "NAME",
                   .complete = Complete::choice},
                  {.param = {.name = "soundfonts",
                             .type = ParamType::file,
                             .help = "Look for soundfonts in this folder first (then in MSSBENCH_SOUNDFONTS and the "
                                     "share folders)."},
                   .placeholder = "DIR",
                   .list = true,
                   .separator = ':',
                   .complete = Complete::directory},
                  {.param = {.name = "flac",
                             .type = ParamType::boolean,
                             .default_value = "false",
                             .help = "Write FLAC instead of WAV: the same samples, half the size."}},
                  {.param = {.name = "instruments",
                             .type = ParamType::boolean,
                             .default_value = "false",
                             .help = "Write every instrument and voice as a stem too: OUT/instruments is a data set of "
                                     "its own, and instruments.json says what each is."}},
                  {.param = {.name = "jobs",
                             .type = ParamType::integer,
                             .default_value = "0",
                             .range = "[0,4096]",
                             .help = "Songs at once; 0 = as many as --threads."},
                   .placeholder = "N"},
                  {.param = {.name = "again",
                             .type = ParamType::integer,
                             .default_value = "2",
                             .range = "[0,1000]",
                             .help = "check: render this many songs again and compare their bytes."},
                   .placeholder = "N"}},
      .examples = {{"mssbench synth songs", "34 songs of 20 s into songs/, for course work"},
                   {"mssbench synth songs-mini --preset mini --renderer builtin", "five short songs, nothing needed"},
                   {"mssbench synth check songs", "are the songs what they should be?"},
                   {"mssbench run -d songs --subset test -m mixture -m irm2 -o runs/songs",
                    "methods on the test songs"}},
      .run = run_synth};
}

}  // namespace mss::cli
