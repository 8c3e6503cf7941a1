// mssbench compare: two runs held against each other, for people and for continuous integration.
#include "reports/compare.h"

#include <filesystem>
#include <fstream>

#include "cli/commands/commands.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "core/file.h"
#include "core/json.h"
#include "reports/input.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;

/// Appends: several comparisons may stand in one summary (GITHUB_STEP_SUMMARY).
void append(const fs::path& file, const std::string& text) {
  if (!file.parent_path().empty()) core::make_directories(file.parent_path());
  std::ofstream stream(file, std::ios::binary | std::ios::app);
  stream << text;
  stream.flush();
  if (!stream) throw Error(Code::io, file.string(), "cannot be written");
}

int exit_of(reports::Outcome outcome) {
  switch (outcome) {
    case reports::Outcome::unpaired:
      return kBadInput;
    case reports::Outcome::worse:
      return kQualityRegression;
    case reports::Outcome::costlier:
      return kPerformanceRegression;
    case reports::Outcome::undecided:
    case reports::Outcome::better:
    case reports::Outcome::equivalent:
      return kOk;
  }
  return kOk;
}

int run_compare(Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  Console& console = *invocation.console;
  reports::CompareOptions options;
  options.metrics = settings.list("metrics");
  options.targets = settings.list("targets");
  options.margin = settings.real("margin");
  options.statistic = settings.text("statistic") == "median" ? eval::Statistic::median : eval::Statistic::mean;
  options.allow_missing = settings.flag("allow_missing");
  options.strict = settings.flag("strict");
  options.costs = settings.flag("costs");
  options.cost_tolerance = settings.real("cost_tolerance");
  const reports::InputOptions input = {"museval", invocation.threads()};
  const std::string &old_name = invocation.arguments[0], &new_name = invocation.arguments[1];
  const std::vector<records::Record> before = reports::read_source(old_name, input),
                                     after = reports::read_source(new_name, input);
  const reports::CompareResult result = reports::compare(before, after, options, old_name, new_name);
  writing([&] {
    if (settings.is_set("summary")) append(settings.text("summary"), reports::to_markdown(result) + "\n");
    if (settings.is_set("junit")) core::write_file_atomic(settings.text("junit"), reports::to_junit(result));
  });
  console.result(invocation.json() ? core::dump_json(reports::to_json(result), 2) + "\n" : reports::to_text(result));
  return exit_of(result.outcome());
}

}  // namespace

Command compare_command() {
  using core::ParamType;
  return {
      .name = "compare",
      .summary = "is a run better or worse than another one?",
      .description =
          "Compares two runs track by track: the paired difference of every target and metric with a 95 % interval "
          "over tracks, "
          "and a verdict. equivalent: the 90 % interval lies inside the margin; worse: the 95 % interval lies below 0; "
          "better: above "
          "0; undecided: the tracks do not tell, and how many would. Over all targets and metrics together a run that "
          "has not "
          "changed is called worse in at most 5 % of cases (Holm's adjustment).\n\n"
          "Exit status 0: better, equivalent or undecided; 4: worse (with --strict undecided too); 5: as good, but "
          "slower or "
          "hungrier, where both ran on one machine; 3: the tracks do not pair.",
      .arguments = {{.name = "OLD",
                     .help = "Run folder, RUN#SPEC for one row of it, or a folder of museval's JSON files.",
                     .complete = Complete::directory},
                    {.name = "NEW", .help = "The same.", .complete = Complete::directory}},
      .options =
          {{.param = {.name = "metrics", .help = "Metrics that count, declared before looking; default SDR."},
            .placeholder = "METRIC",
            .list = true,
            .complete = Complete::metric},
           {.param = {.name = "targets", .help = "Targets that count; default all."},
            .placeholder = "TARGET",
            .list = true,
            .complete = Complete::target},
           {.param = {.name = "margin",
                      .type = ParamType::real,
                      .default_value = "0.05",
                      .unit = "dB",
                      .range = "[0,inf)",
                      .help = "Differences below this count as none."},
            .placeholder = "DB"},
           {.param = {.name = "statistic",
                      .type = ParamType::choice,
                      .default_value = "mean",
                      .range = "mean|median",
                      .help = "Of the differences over tracks."},
            .placeholder = "NAME",
            .complete = Complete::choice},
           {.param = {.name = "strict",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "Undecided counts as worse: the new run has to show that nothing was lost."}},
           {.param = {.name = "allow_missing",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "Compare what both sides hold, where rows, tracks or targets stand on one side only."}},
           {.param = {.name = "costs",
                      .type = ParamType::boolean,
                      .default_value = "true",
                      .help = "Compare time and memory where both sides ran on one machine."}},
           {.param = {.name = "cost_tolerance",
                      .type = ParamType::real,
                      .default_value = "0.1",
                      .range = "[0,inf)",
                      .help = "Share of time or memory that may be added."},
            .placeholder = "SHARE"},
           {.param = {.name = "summary",
                      .type = ParamType::file,
                      .help = "Append a summary in Markdown to this file (for a pull request: $GITHUB_STEP_SUMMARY)."},
            .placeholder = "FILE",
            .complete = Complete::file},
           {.param = {.name = "junit", .type = ParamType::file, .help = "Write the verdicts as JUnit XML."},
            .placeholder = "FILE",
            .complete = Complete::file}},
      .examples = {{"mssbench compare runs/main runs/branch", "every row of two runs"},
                   {"mssbench compare runs/a#repet 'runs/a#repet|wiener'", "two rows of one run"},
                   {"mssbench compare scores/main scores/pr --strict --junit result.xml", "a gate that wants proof"}},
      .run = run_compare};
}

}  // namespace mss::cli
