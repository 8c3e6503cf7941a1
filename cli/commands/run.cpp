// mssbench run: a data set through methods and scorer into a run folder.
#include "harness/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "cli/commands/commands.h"
#include "cli/commands/run_plan.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "cli/table.h"
#include "core/escape.h"
#include "core/json.h"
#include "core/text.h"
#include "core/toml.h"
#include "harness/builtin_methods.h"
#include "harness/plan.h"
#include "records/record.h"
#include "records/shard.h"
#include "reports/report.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using core::Value;

/// The settings of these origins as a document that plan_from_value takes.
Value plan_document(const Settings& settings, std::initializer_list<Origin> origins) {
  Value run = Value::object();
  for (const core::Param& param : harness::plan_params()) {
    if (param.name == "threads") continue;  // the global option
    const Setting& setting = settings.at(param.name);
    if (!setting.is_set() || std::find(origins.begin(), origins.end(), setting.origin) == origins.end()) continue;
    run[param.name] = Settings::value(setting);
  }
  Value document = Value::object();
  document["run"] = std::move(run);
  return document;
}

/// Weakest first: defaults, presets and settings files, the plan file, environment and command line.
harness::Plan make_plan(const Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  const auto is_weak = [](Origin origin) { return origin < Origin::environment; };
  harness::Plan plan =
      harness::plan_from_value(plan_document(settings, {Origin::preset, Origin::file}), "settings", {});
  plan.threads = invocation.threads();
  if (is_weak(settings.at("seed").origin) || !settings.is_set("seeds")) plan.seeds = {invocation.seed()};
  if (settings.at("seeds").origin != Origin::builtin) {
    plan = harness::plan_from_value(plan_document(settings, {Origin::preset, Origin::file}), "settings", {},
                                    std::move(plan));
  }
  if (!invocation.arguments.empty()) {
    const fs::path file = invocation.arguments.front();
    std::error_code ignored;
    if (!fs::is_regular_file(file, ignored)) {
      const bool folder = fs::is_directory(file, ignored);
      throw Error({Code::io, file.string(), folder ? "is a folder" : "no such plan file",
                   "a TOML file with a table [run]", "", folder ? "a data set is given with -d" : ""});
    }
    plan = harness::plan_from_value(core::read_toml_file(file), file.string(), file.parent_path(), std::move(plan));
  }
  plan = harness::plan_from_value(plan_document(settings, {Origin::environment, Origin::command_line}), "command line",
                                  {}, std::move(plan));
  if (!is_weak(settings.at("threads").origin)) plan.threads = invocation.threads();
  const bool seeds_typed = !is_weak(settings.at("seeds").origin);
  if (!is_weak(settings.at("seed").origin) && !seeds_typed) plan.seeds = {invocation.seed()};
  return plan;
}

int show_preview(Invocation& invocation, const harness::Plan& plan, const records::Shard& shard) {
  harness::RunOptions options;
  options.shard = shard;
  options.log = invocation.console->log();
  const harness::Preview preview = harness::preview(plan, harness::builtin_methods(), options);
  if (invocation.json()) {
    Value out = Value::object();
    out["dataset"] = preview.dataset;
    out["tracks"] = preview.tracks;
    out["seconds"] = preview.seconds;
    out["items"] = preview.items;
    out["finished"] = preview.finished;
    out["rows"] = Value::array();
    for (const harness::Preview::Row& row : preview.rows) {
      Value entry = Value::object();
      entry["spec"] = row.spec;
      entry["items"] = row.items;
      entry["finished"] = row.finished;
      out["rows"].push_back(std::move(entry));
    }
    out["largest_track_bytes"] = preview.largest_track_bytes;
    out["bound_bytes"] = preview.bound_bytes;
    out["jobs"] = preview.jobs;
    invocation.console->result(core::dump_json(out, 2) + "\n");
    return kOk;
  }
  const auto gigabytes = [](std::int64_t bytes) { return fmt::format("{:.2f} GB", static_cast<double>(bytes) * 1e-9); };
  TextTable table({"finished", "of", "row"});
  for (const harness::Preview::Row& row : preview.rows) {
    table.add({std::to_string(row.finished), std::to_string(row.items), core::escape_line(row.spec)});
  }
  std::string text = fmt::format("{}: {} track{}, {}\n", core::escape_line(preview.dataset), preview.tracks,
                                 preview.tracks == 1 ? "" : "s", clock_time(preview.seconds));
  text += table.text(Console::columns());
  text += fmt::format("{} of {} (track, row, seed) finished; {} would be done\n", preview.finished, preview.items,
                      preview.items - preview.finished);
  text += fmt::format("memory: {} for the hungriest track, {} at most; {} at once\n",
                      gigabytes(preview.largest_track_bytes), gigabytes(preview.bound_bytes), preview.jobs);
  invocation.console->result(text);
  return kOk;
}

int run_run(Invocation& invocation) {
  const harness::Plan plan = make_plan(invocation);
  std::optional<records::Shard> shard;
  if (const std::string& text = invocation.settings->text("shard"); !text.empty()) shard = records::parse_shard(text);
  if (!shard) shard = records::shard_from_environment();
  if (shard && !shard->whole()) {
    invocation.console->message(core::LogLevel::info, "shard " + to_string(*shard));
  }
  if (invocation.settings->flag("dry_run")) return show_preview(invocation, plan, shard.value_or(records::Shard{}));
  return carry_out(invocation, plan, shard.value_or(records::Shard{})).status;
}

/// Status of a run of which nothing came: what its input is to blame for is bad input, as with the other commands.
ExitCode status_of(const std::vector<harness::ItemFailure>& failures) {
  const auto of_input = [](const harness::ItemFailure& failure) { return input_status(failure.code) == kBadInput; };
  return std::ranges::all_of(failures, of_input) ? kBadInput : kFailed;
}

/// Letters, placeholders and completions of the plan's keys; everything else comes from plan_params().
std::vector<Option> run_options() {
  std::vector<Option> options;
  for (const core::Param& param : harness::plan_params()) {
    if (param.name == "threads") continue;
    Option option{.param = param};
    if (param.type == core::ParamType::choice) option.complete = Complete::choice;
    if (param.type != core::ParamType::boolean)
      option.placeholder = core::to_lower(param.name) == "memory_gb" ? "GB" : "N";
    if (param.type == core::ParamType::real && param.unit == "s") option.placeholder = "SECONDS";
    if (param.type == core::ParamType::choice) option.placeholder = "NAME";
    if (param.name == "dataset") {
      option.letter = 'd';
      option.placeholder = "DATASET";
      option.complete = Complete::dataset;
    } else if (param.name == "methods") {
      option.letter = 'm';
      option.flag = "method";
      option.placeholder = "SPEC";
      option.list = true;
      option.separator = ';';
      option.complete = Complete::spec;
    } else if (param.name == "out") {
      option.letter = 'o';
      option.placeholder = "RUN";
      option.complete = Complete::directory;
    } else if (param.name == "tracks") {
      option.flag = "track";
      option.placeholder = "TRACK";
      option.list = true;
      option.separator = ';';
    } else if (param.name == "seeds") {
      option.list = true;
      option.param.type = core::ParamType::integer;
      option.param.range = "[0,9223372036854775807]";
    } else if (param.name == "window_s" || param.name == "hop_s") {
      option.flag = param.name.substr(0, param.name.size() - 2);
    }
    options.push_back(std::move(option));
  }
  Option dry_run;
  dry_run.param.name = "dry_run";
  dry_run.param.type = core::ParamType::boolean;
  dry_run.param.default_value = "false";
  dry_run.param.help = "Print tracks, rows, memory and what is finished already; start nothing.";
  dry_run.setting = false;
  options.push_back(std::move(dry_run));
  Option shard;
  shard.param.name = "shard";
  shard.param.help =
      "Do part I of N only, counted from 0; without it what Slurm's array or MPI's environment says. `merge` joins the "
      "parts.";
  shard.placeholder = "I/N";
  shard.setting = false;
  options.push_back(std::move(shard));
  return options;
}

}  // namespace

CarriedOut carry_out(Invocation& invocation, const harness::Plan& plan, const records::Shard& shard) {
  Console& console = *invocation.console;
  harness::RunOptions options;
  options.shard = shard;
  options.command = invocation.command_line;
  options.stop = invocation.stop;
  options.progress = &console.progress();
  options.log = console.log();
  harness::RunResult result;
  try {
    result = harness::run(plan, harness::builtin_methods(), options);
  } catch (const Error& error) {
    if (concerns_output(error, plan.out)) throw Failure(kFailed, error);
    throw;
  }
  const auto failed = static_cast<std::int64_t>(result.failures.size());
  console.message(core::LogLevel::info,
                  fmt::format("{} of {} (track, method, seed) done now, {} found finished, {} failed", result.done,
                              result.items, result.reused, failed));
  if (result.cancelled) {
    console.message(core::LogLevel::warning,
                    "stopped; what is finished is kept, and the same command goes on from there");
    return {kInterrupted, {}};
  }
  if (invocation.json()) {
    Value out = Value::object();
    out["records"] = result.records.string();
    out["items"] = result.items;
    out["reused"] = result.reused;
    out["done"] = result.done;
    out["failures"] = Value::array();
    for (const harness::ItemFailure& failure : result.failures) {
      Value entry = Value::object();
      entry["subset"] = failure.subset;
      entry["track"] = failure.track;
      entry["spec"] = failure.spec;
      entry["seed"] = failure.seed;
      entry["code"] = std::string(core::code_name(failure.code));
      entry["message"] = failure.message;
      out["failures"].push_back(std::move(entry));
    }
    out["refused"] = Value::array();
    for (const harness::RefusedMethod& refused : result.refused) {
      Value entry = Value::object();
      entry["spec"] = refused.spec;
      entry["message"] = std::string(refused.error.what());
      out["refused"].push_back(std::move(entry));
    }
    console.result(core::dump_json(out, 2) + "\n");
  } else if (shard.whole()) {
    // What was just measured, at a glance; `mssbench report` resamples.
    reports::ReportOptions glance;
    glance.compute_intervals = false;
    glance.allow_mixed = true;  // the run has said what is stale; the table flags it
    console.result(
        reports::to_text(reports::build_report(records::read_records(result.records), glance), Console::columns()));
  }
  if (!invocation.json()) console.result("records: " + result.records.string() + "\n");
  if (!result.refused.empty()) {
    console.message(core::LogLevel::warning,
                    fmt::format("{} of {} methods left out", result.refused.size(), plan.methods.size()));
  }
  if (result.done + result.reused > 0) return {result.partial() ? kPartial : kOk, result.records};
  return {failed == 0 ? kOk : status_of(result.failures), result.records};
}

Command run_command() {
  return {
      .name = "run",
      .summary = "run methods over a data set and score them",
      .description =
          "Separates every track of a data set with every method, post-filters, scores, and records the result in "
          "the folder RUN (records.jsonl, one line per track, method, seed and target). The table of the first "
          "metric is printed at the end; `report` makes the full one.\n\n"
          "The same command again does only what is missing, also after Ctrl-C or a crash. A track or method that "
          "fails is recorded with its error and does not stop the rest; a method that cannot be made, or makes no stem "
          "that the data set has, is told before the first track and left out. Records do not depend on threads, jobs "
          "or shards.\n\n"
          "Rows: floors (silence, mixture, mixture-over-j) are trivial and show what doing nothing scores; oracles "
          "know "
          "the true stems and show what a kind of method could reach; a blind nmf becomes an oracle too, because its "
          "components have no names without the true stems, while nmf@cc0 knows nothing of them. A scenario is the "
          "set of stems that are scored as one problem: stems (all), vocals/accompaniment, stems:NAME+…. Instead of "
          "options a plan file may be given; options win over it.\n\n"
          "  [run]\n"
          "  dataset = \"../musdb18\"       # relative to the plan file\n"
          "  methods = [\"mixture-over-j\", \"nmf@cc0\", \"irm2\"]\n"
          "  out = \"runs/first\"",
      .arguments = {{.name = "PLAN.toml",
                     .help = "A file with a table [run], whose keys are those of the options.",
                     .least = 0,
                     .most = 1,
                     .complete = Complete::file}},
      .options = run_options(),
      .examples = {{"mssbench run -d synthetic -m mixture-over-j,nmf@cc0,irm2 -o runs/first",
                    "a floor, a method and an oracle on the built-in songs"},
                   {"mssbench run -d musdb18 --subset test -m mixture -m irm2 -o runs/musdb --save-estimates",
                    "MUSDB18's test songs (MUSDB_PATH), keeping the stems"},
                   {"mssbench run plan.toml --shard 0/4 -o runs/part0", "the first of four parts of a plan"},
                   {"mssbench run -d my_songs -m nmf@cc0-p2 --seeds 0,1,2 -o runs/seeds",
                    "three seeds of a random method"},
                   {"mssbench run -d musdb18 --track 'Falcon*' -m nmf@cc0 -o runs/one --pictures",
                    "one track, with pictures of estimates beside true stems"}},
      .run = run_run};
}

}  // namespace mss::cli
