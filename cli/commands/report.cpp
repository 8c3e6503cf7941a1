// mssbench report: tables and a page from the records of one or several runs.
#include "reports/report.h"

#include <filesystem>

#include "cli/commands/commands.h"
#include "cli/commands/report_options.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "core/json.h"
#include "core/text.h"
#include "core/toml.h"
#include "harness/builtin_methods.h"
#include "methods/registry.h"
#include "records/store.h"
#include "reports/html/html.h"
#include "reports/input.h"
#include "reports/published.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;

reports::Style style_of(const std::string& name) {
  if (name == "sisec18") return reports::Style::sisec18;
  return name == "mdx21" ? reports::Style::mdx21 : reports::Style::paper;
}

/// Folders that may hold the estimates of these sources.
std::vector<fs::path> run_folders(const std::vector<std::string>& sources) {
  std::vector<fs::path> out;
  for (const std::string& source : sources) {
    fs::path path = source;
    if (!fs::exists(path)) path = source.substr(0, source.find('#'));
    out.push_back(fs::is_directory(path) ? path : path.parent_path());
  }
  return out;
}

int run_report(Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  Console& console = *invocation.console;
  reports::ReportOptions options;
  options.metrics = settings.list("metrics");
  options.style = style_of(settings.text("style"));
  options.intervals = settings.flag("intervals");
  options.means = !settings.flag("no_mean");
  options.digits = static_cast<int>(settings.integer("round"));
  options.order = settings.list("order");
  options.names = read_names(settings.text("names"));
  options.only = settings.list("only");
  options.against = settings.text("against");
  options.margin = settings.real("margin");
  options.join_subsets = settings.flag("join_subsets");
  options.allow_mixed = settings.flag("allow_mixed");
  options.allow_training_tracks = settings.flag("allow_training_tracks");
  options.published = settings.flag("published");
  options.latex_width_pt = settings.real("width");
  options.threads = invocation.threads();
  const std::vector<records::Record> records =
      reports::read_sources(invocation.arguments, {settings.text("dataset"), invocation.threads()});
  reports::Report report = reports::build_report(records, options);
  const fs::path out = settings.text("out");
  reports::html::Options page;
  page.single = settings.flag("single");
  page.audio = settings.list("audio");
  page.audio_tracks = settings.list("audio_tracks");
  page.excerpt_s = settings.real("audio_seconds");
  page.runs = run_folders(invocation.arguments);
  page.about = method_summaries();
  page.threads = invocation.threads();
  page.progress = &console.progress();
  writing([&] { reports::write_tables(report, out); });
  std::vector<std::string> warnings = report.warnings;
  try {
    const std::vector<std::string> more = reports::html::write(report, records, page, out);
    warnings.insert(warnings.end(), more.begin(), more.end());
  } catch (const Error& error) {
    if (concerns_output(error, out)) throw Failure(kFailed, error);
    throw;
  }
  for (const std::string& warning : warnings) console.message(core::LogLevel::warning, warning);
  for (const records::ItemKey& item : records::incomplete_items(records)) {
    console.message(core::LogLevel::warning, "some records are missing: " + records::to_string(item) +
                                                 "; start the same run again to fill them in");
  }
  if (invocation.json()) {
    core::Value value = reports::to_json(report);
    if (options.published) value["published"] = reports::published_json();
    console.result(core::dump_json(value, 2) + "\n");
  } else {
    console.result(reports::to_text(report, Console::columns()));
    if (options.published && !report.sections.empty() && !report.sections.front().metrics.empty()) {
      console.result(reports::published_text(reports::published_groups_for(report.sections.front().metrics.front()),
                                             Console::columns()));
    }
    console.result("report: " + (out / "index.html").string() + "\n");
  }
  return kOk;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> method_summaries() {
  const methods::Registry& registry = harness::builtin_methods();
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& entry : registry.methods()) out.emplace_back(entry.name, entry.summary);
  for (const auto& entry : registry.filters()) out.emplace_back(entry.name, entry.summary);
  return out;
}

std::vector<std::pair<std::string, std::string>> read_names(const std::string& file) {
  std::vector<std::pair<std::string, std::string>> out;
  if (file.empty()) return out;
  const core::Value table = core::read_toml_file(file);
  for (const core::Value::Member& member : table.as_object(file)) {
    out.emplace_back(member.first, member.second.as_string(file + ": \"" + member.first + "\""));
  }
  return out;
}

Command report_command() {
  using core::ParamType;
  return {
      .name = "report",
      .summary = "tables and a page from the records of runs",
      .description =
          "Reads the records of one or several run folders (or of folders that `evaluate` wrote, or of museval's JSON "
          "files of another program) and writes into DIR\n\n"
          "  index.html  the page to open: sortable tables, charts, every track over time, where each row comes from; "
          "opens from disk, needs no network\n"
          "  table.md, table.tex, table.csv, table.json, tracks.csv\n"
          "              methods by targets, the median over tracks with the mean beside it and a 95 % interval over "
          "tracks, floors and oracles set apart; tracks.csv has one line per track\n"
          "  stats.md    tests\n\n"
          "Needs no audio, but for players, waveforms and spectrograms (--audio), which also want a run with "
          "--save-estimates.",
      .arguments =
          {{.name = "RUN",
            .help = "Folder with a records.jsonl, or such a file; RUN#SPEC for one row of it; a folder of museval's "
                    "JSON files ([SUBSET/]TRACK.json), or of such folders.",
            .least = 1,
            .most = -1,
            .complete = Complete::directory}},
      .options =
          {{.param = {.name = "out", .type = ParamType::file, .help = "Folder for the page and the tables."},
            .letter = 'o',
            .placeholder = "DIR",
            .required = true,
            .complete = Complete::directory},
           {.param =
                {.name = "metrics",
                 .help =
                     "Metrics to show, the first one ranks; without it SDR and uSDR, and all that the records hold in "
                     "CSV and JSON."},
            .placeholder = "METRIC",
            .list = true,
            .complete = Complete::metric},
           {.param =
                {.name = "style",
                 .type = ParamType::choice,
                 .default_value = "paper",
                 .range = "paper|sisec18|mdx21",
                 .help =
                     "paper: a table per metric, targets in columns. sisec18: a table per target, SDR, SIR, SAR and "
                     "ISR in columns. mdx21: ranks by the mean over tracks of uSDR."},
            .placeholder = "STYLE",
            .complete = Complete::choice},
           {.param = {.name = "intervals",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "Show the 95 % interval over tracks beside every value (CSV and JSON always hold it)."}},
           {.param = {.name = "no_mean",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "Leave out the mean over tracks in brackets beside the median."}},
           {.param = {.name = "round",
                      .type = ParamType::integer,
                      .default_value = "2",
                      .range = "[0,6]",
                      .help = "Digits after the point in tables for people."},
            .placeholder = "DIGITS"},
           {.param =
                {.name = "order",
                 .help =
                     "Order of rows inside their group: metric (best first), file (as in the records), or specs and "
                     "names that come first, joined by commas or given several times."},
            .placeholder = "ROW",
            .list = true,
            .separator = ';'},
           {.param = {.name = "names",
                      .type = ParamType::file,
                      .help = "TOML file of names for rows: \"SPEC\" = \"NAME\"."},
            .placeholder = "FILE",
            .complete = Complete::file},
           {.param = {.name = "only", .help = "Show only rows whose spec or name matches; may be given several times."},
            .placeholder = "GLOB",
            .list = true,
            .separator = ';'},
           {.param =
                {.name = "against",
                 .help =
                     "Compare every row with this one, track by track: difference, interval, won/tied/lost, verdict."},
            .placeholder = "ROW"},
           {.param = {.name = "margin",
                      .type = ParamType::real,
                      .default_value = "0.05",
                      .unit = "dB",
                      .range = "[0,inf)",
                      .help = "Differences below this count as none (with --against)."},
            .placeholder = "DB"},
           {.param =
                {.name = "published",
                 .type = ParamType::boolean,
                 .default_value = "false",
                 .help =
                     "Add what others have printed for the same metric, with sources and remarks, in tables apart."}},
           {.param = {.name = "single",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "Put all that the page needs into index.html, to send it as one file (of the frames, "
                              "those of the first metric)."}},
           {.param = {.name = "audio",
                      .help =
                          "Data set of the run: adds waveforms, spectrograms and players of its mixtures, stems and "
                          "the saved estimates to the page. May be given several times."},
            .placeholder = "DATASET",
            .list = true,
            .separator = ';',
            .complete = Complete::dataset},
           {.param = {.name = "audio_tracks",
                      .help = "With --audio: only tracks whose name matches; may be given several times."},
            .placeholder = "GLOB",
            .list = true,
            .separator = ';'},
           {.param = {.name = "audio_seconds",
                      .type = ParamType::real,
                      .default_value = "15",
                      .unit = "s",
                      .range = "[0,inf)",
                      .help = "With --audio: length of the excerpt, taken where the quietest stem is loudest; 0 for "
                              "whole tracks."},
            .placeholder = "SECONDS"},
           {.param = {.name = "join_subsets",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "One table for train and test together."}},
           {.param = {.name = "allow_mixed",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "Go on where records under one name are of other audio, weights, options or scoring, and "
                              "flag their rows; without it that is an error that names the tracks."}},
           {.param = {.name = "allow_training_tracks",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "Rank rows also on tracks that their weights were trained on; they stay flagged."}},
           {.param = {.name = "dataset",
                      .default_value = "museval",
                      .help = "Name of the data set for rows from museval's files, which do not say it."},
            .placeholder = "NAME"},
           {.param = {.name = "width",
                      .type = ParamType::real,
                      .default_value = "345",
                      .unit = "pt",
                      .range = "[100,2000]",
                      .help = "Width that LaTeX tables keep to; 345 is the text width of LaTeX's article, 252 a column "
                              "of IEEE."},
            .placeholder = "PT"}},
      .examples =
          {{"mssbench report runs/first -o report", "one run"},
           {"mssbench report runs/a runs/b -o report --metrics SDR,SI-SDR --intervals", "two runs in one table"},
           {"mssbench report runs/a -o report --against repet --published", "differences to one row, papers apart"},
           {"mssbench report runs/a -o report --audio musdb18 --audio-tracks 'A*'", "with players, for some tracks"},
           {"mssbench report submissions -o report --style sisec18 --dataset musdb18", "SiSEC 2018's files"}},
      .run = run_report};
}

}  // namespace mss::cli
