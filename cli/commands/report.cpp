// mssbench report: tables from the records of one or several runs.
#include "reports/report.h"

#include <filesystem>

#include "cli/commands/commands.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "core/json.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;

int run_report(Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  const std::vector<fs::path> runs(invocation.arguments.begin(), invocation.arguments.end());
  reports::ReportOptions options;
  options.metrics = settings.list("metrics");
  const fs::path out = settings.text("out");
  reports::Report report;
  try {
    report = reports::write_report(runs, out, options);
  } catch (const Error& error) {
    if (concerns_output(error, out)) throw Failure(kFailed, error);
    throw;
  }
  Console& console = *invocation.console;
  if (invocation.json()) {
    console.result(core::dump_json(reports::to_json(report), 2) + "\n");
  } else {
    console.result(reports::to_text(report, Console::columns()));
    console.result("report: " + (out / "table.md").string() + "\n");
  }
  return kOk;
}

}  // namespace

Command report_command() {
  return {.name = "report",
          .summary = "tables from the records of runs",
          .description =
              "Reads the records of one or several run folders (or of folders that `evaluate` wrote) and writes "
              "table.md, table.csv, table.tex and table.json: methods by targets, the median over tracks of the frame "
              "medians with the mean beside it, floors and oracles set apart. Needs no audio.",
          .arguments = {{.name = "RUN",
                         .help = "Folder with a records.jsonl, or such a file.",
                         .least = 1,
                         .most = -1,
                         .complete = Complete::directory}},
          .options = {{.param = {.name = "out", .type = core::ParamType::file, .help = "Folder for the tables."},
                       .letter = 'o',
                       .placeholder = "DIR",
                       .required = true,
                       .complete = Complete::directory},
                      {.param = {.name = "metrics",
                                 .help = "Metrics to show, the first one ranks; without it all that the records hold."},
                       .placeholder = "METRIC",
                       .list = true,
                       .complete = Complete::metric}},
          .examples = {{"mssbench report runs/first -o report", "one run"},
                       {"mssbench report runs/a runs/b -o report --metrics SDR,SI-SDR", "two runs in one table"}},
          .run = run_report};
}

}  // namespace mss::cli
