// mssbench datasets: what is in a data set, and is it sound?
#include "datasets/dataset.h"

#include <fmt/format.h>

#include <cstdlib>

#include "cli/commands/commands.h"
#include "cli/invocation.h"
#include "cli/plan_settings.h"
#include "cli/table.h"
#include "core/json.h"
#include "core/text.h"
#include "datasets/check.h"

namespace mss::cli {
namespace {

using core::Value;

/// Without a data set: the names that can be given.
int list_names(Invocation& invocation) {
  const char* musdb = std::getenv("MUSDB_PATH");
  const std::string path = musdb == nullptr ? "" : musdb;
  const std::vector<std::pair<std::string, std::string>> names = {
      {"synthetic", "built-in songs; synthetic:songs=4,seconds=12,seed=1 sets number, length and seed"},
      {"musdb18", path.empty() ? "MUSDB18; set MUSDB_PATH to its folder" : "MUSDB18 in " + path + " (MUSDB_PATH)"},
      {"musdb18hq",
       path.empty() ? "MUSDB18-HQ; set MUSDB_PATH to its folder" : "MUSDB18-HQ in " + path + " (MUSDB_PATH)"},
      {"FOLDER", "any folder of MUSDB18, MUSDB18-HQ, MIR-1K or of one folder per track"}};
  if (invocation.json()) {
    Value out = Value::array();
    for (const auto& [name, meaning] : names) {
      Value entry = Value::object();
      entry["name"] = name;
      entry["meaning"] = meaning;
      out.push_back(std::move(entry));
    }
    invocation.console->result(core::dump_json(out, 2) + "\n");
    return kOk;
  }
  TextTable table({"data set", "what it is"});
  for (const auto& [name, meaning] : names) table.add({name, meaning});
  invocation.console->result(table.text(Console::columns()));
  return kOk;
}

int list_tracks(Invocation& invocation, const datasets::Dataset& dataset) {
  const bool hashes = invocation.settings->flag("hash");
  const std::vector<datasets::TrackRow> rows = datasets::metadata(dataset, hashes, invocation.threads());
  if (invocation.json()) {
    Value out = Value::object();
    out["name"] = dataset.name();
    out["root"] = dataset.root().string();
    out["tracks"] = Value::array();
    for (const datasets::TrackRow& row : rows) {
      Value entry = Value::object();
      entry["name"] = row.name;
      entry["subset"] = row.subset;
      entry["split"] = row.split;
      entry["seconds"] = row.seconds;
      entry["rate_hz"] = row.rate_hz;
      entry["channels"] = row.channels;
      entry["stems"] = Value::array();
      for (const std::string& stem : row.stems) entry["stems"].push_back(stem);
      entry["sha256"] = row.sha256.empty() ? Value() : Value(row.sha256);
      entry["erratum"] = row.erratum.empty() ? Value() : Value(row.erratum);
      out["tracks"].push_back(std::move(entry));
    }
    invocation.console->result(core::dump_json(out, 2) + "\n");
    return kOk;
  }
  std::vector<std::string> header = {"subset", "split", "track", "time", "Hz", "ch"};
  if (hashes) header.emplace_back("SHA-256");
  header.emplace_back("stems");
  TextTable table(header);
  double seconds = 0;
  for (const datasets::TrackRow& row : rows) {
    std::vector<std::string> cells = {row.subset,
                                      row.split,
                                      row.name + (row.erratum.empty() ? "" : " *"),
                                      clock_time(row.seconds),
                                      std::to_string(row.rate_hz),
                                      std::to_string(row.channels)};
    if (hashes) cells.push_back(row.sha256.substr(0, 12));
    cells.push_back(core::join(row.stems, ", "));
    table.add(std::move(cells));
    seconds += row.seconds;
  }
  std::string out = table.text(Console::columns());
  for (const datasets::TrackRow& row : rows) {
    if (!row.erratum.empty()) out += "* " + row.name + ": " + row.erratum + "\n";
  }
  out += fmt::format("{}: {} tracks, {}\n", dataset.name(), rows.size(), clock_time(seconds));
  invocation.console->result(out);
  return kOk;
}

int check_dataset(Invocation& invocation, const datasets::Dataset& dataset) {
  datasets::CheckOptions options;
  options.decode = !invocation.settings->flag("quick");
  options.hash = !invocation.settings->flag("quick");
  options.threads = invocation.threads();
  options.progress = &invocation.console->progress();
  options.stop = invocation.stop;
  const std::vector<datasets::Finding> findings = datasets::check(dataset, options);
  std::size_t errors = 0, warnings = 0;
  Value list = Value::array();
  std::string text;
  for (const datasets::Finding& finding : findings) {
    errors += finding.severity == datasets::Severity::error ? 1 : 0;
    warnings += finding.severity == datasets::Severity::warning ? 1 : 0;
    text += fmt::format("{}: {}{}: {}\n", datasets::severity_name(finding.severity),
                        finding.track.empty() ? std::string() : finding.track + ": ", finding.kind, finding.message);
    Value entry = Value::object();
    entry["severity"] = datasets::severity_name(finding.severity);
    entry["track"] = finding.track.empty() ? Value() : Value(finding.track);
    entry["kind"] = finding.kind;
    entry["message"] = finding.message;
    list.push_back(std::move(entry));
  }
  if (invocation.json()) {
    Value out = Value::object();
    out["name"] = dataset.name();
    out["tracks"] = static_cast<std::int64_t>(dataset.tracks().size());
    out["errors"] = static_cast<std::int64_t>(errors);
    out["warnings"] = static_cast<std::int64_t>(warnings);
    out["findings"] = std::move(list);
    invocation.console->result(core::dump_json(out, 2) + "\n");
  } else {
    invocation.console->result(text + fmt::format("{}: {} tracks, {} errors, {} warnings\n", dataset.name(),
                                                  dataset.tracks().size(), errors, warnings));
  }
  return errors > 0 ? kBadInput : kOk;
}

int run_datasets(Invocation& invocation) {
  const bool check = invocation.arguments.front() == "check";
  if (invocation.arguments.size() < 2) {
    if (!check) return list_names(invocation);
    throw Error({Code::config, "mssbench datasets check", "DATASET is missing", "a folder or name", "", ""});
  }
  const datasets::Dataset dataset =
      datasets::open(invocation.arguments[1], datasets::parse_layout(invocation.settings->text("layout"), "--layout"));
  for (const std::string& note : dataset.notes()) invocation.console->message(core::LogLevel::info, note);
  return check ? check_dataset(invocation, dataset) : list_tracks(invocation, dataset);
}

}  // namespace

Command datasets_command() {
  return {
      .name = "datasets",
      .summary = "list the tracks of a data set, or check it",
      .description =
          "list: the tracks with subset, length, rate and stems, published errata marked; without DATASET the names "
          "that can be given.\n\n"
          "check: reads all audio and reports unreadable tracks, silent stems, mixtures that are not the sum of "
          "their stems, files other than the published ones, and double tracks. Exit status 3 when a track cannot "
          "be used.",
      .arguments = {{.name = "ACTION",
                     .help = "What to do.",
                     .least = 1,
                     .most = 1,
                     .complete = Complete::choice,
                     .choices = {"list", "check"}},
                    {.name = "DATASET",
                     .help = "Folder, or musdb18, musdb18hq, synthetic.",
                     .least = 0,
                     .most = 1,
                     .complete = Complete::dataset}},
      .options = {{.param = plan_param("layout"), .placeholder = "NAME", .complete = Complete::choice},
                  {.param = {.name = "hash",
                             .type = core::ParamType::boolean,
                             .default_value = "false",
                             .help = "list: show the SHA-256 of every track (reads all files)."}},
                  {.param = {.name = "quick",
                             .type = core::ParamType::boolean,
                             .default_value = "false",
                             .help = "check: headers only, no decoding and no hashes."}}},
      .examples = {{"mssbench datasets list synthetic", "the built-in songs"},
                   {"mssbench datasets check /data/musdb18hq", "is this copy sound?"},
                   {"mssbench datasets list musdb18 --json", "the table for a program"}},
      .run = run_datasets};
}

}  // namespace mss::cli
