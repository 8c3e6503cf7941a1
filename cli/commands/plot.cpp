// mssbench plot: figures from the records of one or several runs.
#include "reports/plot.h"

#include <filesystem>

#include "cli/commands/commands.h"
#include "cli/commands/report_options.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "core/json.h"
#include "reports/input.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;

reports::PlotKind kind_of(const std::string& name) {
  using reports::PlotKind;
  for (const auto& [known, kind] : {std::pair<const char*, PlotKind>{"scatter", PlotKind::scatter},
                                    {"cd", PlotKind::cd},
                                    {"heat", PlotKind::heat},
                                    {"curve", PlotKind::curve},
                                    {"seeds", PlotKind::seeds}}) {
    if (name == known) return kind;
  }
  return PlotKind::box;
}

int run_plot(Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  reports::ReportOptions options;
  if (settings.is_set("metric")) options.metrics = {settings.text("metric")};
  options.names = read_names(settings.text("names"));
  options.only = settings.list("only");
  options.join_subsets = settings.flag("join_subsets");
  options.allow_mixed = settings.flag("allow_mixed");
  options.threads = invocation.threads();
  reports::PlotOptions wanted;
  wanted.kind = kind_of(settings.text("kind"));
  // Only curves show intervals.
  options.compute_intervals = wanted.kind == reports::PlotKind::curve;
  wanted.targets = settings.list("targets");
  wanted.scenario = settings.text("scenario");
  wanted.against = settings.text("against");
  wanted.parameter = settings.text("parameter");
  if (settings.is_set("width")) wanted.width_pt = settings.real("width");
  const reports::Report report = reports::build_report(
      reports::read_sources(invocation.arguments, {settings.text("dataset"), invocation.threads()}), options);
  for (const std::string& warning : report.warnings) invocation.console->message(core::LogLevel::warning, warning);
  const fs::path out = settings.text("out");
  std::string says;
  try {
    says = reports::plot(report, wanted, out);
  } catch (const Error& error) {
    if (error.code() == Code::io) throw Failure(kFailed, error);
    throw;
  }
  if (invocation.json()) {
    core::Value value = core::Value::object();
    value["file"] = out.string();
    value["shows"] = says;
    invocation.console->result(core::dump_json(value, 2) + "\n");
  } else {
    invocation.console->result(out.string() + ": " + says + "\n");
  }
  return kOk;
}

}  // namespace

Command plot_command() {
  using core::ParamType;
  return {.name = "plot",
          .summary = "figures from the records of runs",
          .description =
              "Draws the first metric of a run's records, as PNG, SVG or PDF.\n\n"
              "  box      tracks of every row, per target: median, quartiles, tracks beyond\n"
              "  scatter  tracks of every row against those of one row\n"
              "  cd       mean ranks, and which rows are not told apart (Conover's test)\n"
              "  heat     tracks by rows\n"
              "  curve    score over a numeric parameter in the specs, with 95 % intervals\n"
              "  seeds    how far single seeds scatter",
          .arguments = {{.name = "RUN",
                         .help = "As for report: run folder, RUN#SPEC, or museval's JSON files.",
                         .least = 1,
                         .most = -1,
                         .complete = Complete::directory}},
          .options = {{.param = {.name = "out", .type = ParamType::file, .help = "Picture: .png, .svg or .pdf."},
                       .letter = 'o',
                       .placeholder = "FIG",
                       .required = true,
                       .complete = Complete::file},
                      {.param = {.name = "kind",
                                 .type = ParamType::choice,
                                 .default_value = "box",
                                 .range = "box|scatter|cd|heat|curve|seeds",
                                 .help = "What to draw."},
                       .placeholder = "KIND",
                       .complete = Complete::choice},
                      {.param = {.name = "metric", .help = "Metric; default SDR, or the first that the records hold."},
                       .placeholder = "METRIC",
                       .complete = Complete::metric},
                      {.param = {.name = "targets", .help = "Targets; default all (heat and cd: the average)."},
                       .placeholder = "TARGET",
                       .list = true,
                       .complete = Complete::target},
                      {.param = {.name = "scenario", .help = "Scenario; default the first one, mostly stems."},
                       .placeholder = "NAME"},
                      {.param = {.name = "against", .help = "Row on the x axis of scatter; default the best method."},
                       .placeholder = "ROW"},
                      {.param = {.name = "parameter",
                                 .help = "Parameter on the x axis of curve; default the one that differs."},
                       .placeholder = "NAME"},
                      {.param = {.name = "names", .type = ParamType::file, .help = "TOML file of names for rows."},
                       .placeholder = "FILE",
                       .complete = Complete::file},
                      {.param = {.name = "only",
                                 .help = "Only rows whose spec or name matches; may be given several times."},
                       .placeholder = "GLOB",
                       .list = true,
                       .separator = ';'},
                      {.param = {.name = "join_subsets",
                                 .type = ParamType::boolean,
                                 .default_value = "false",
                                 .help = "Train and test together."}},
                      {.param = {.name = "allow_mixed",
                                 .type = ParamType::boolean,
                                 .default_value = "false",
                                 .help = "Go on where records under one name are of other audio, weights, options or "
                                         "scoring."}},
                      {.param = {.name = "dataset",
                                 .default_value = "museval",
                                 .help = "Name of the data set for rows from museval's files."},
                       .placeholder = "NAME"},
                      {.param = {.name = "width",
                                 .type = ParamType::real,
                                 .unit = "pt",
                                 .range = "[150,3000]",
                                 .help = "Width of box and curve; default as wide as the content asks for."},
                       .placeholder = "PT"}},
          .examples = {{"mssbench plot runs/first -o box.pdf", "box plots per target"},
                       {"mssbench plot runs/first --kind cd -o ranks.svg --metric uSDR", "critical differences"},
                       {"mssbench plot runs/first --kind scatter --against repet -o tracks.png", "track by track"}},
          .run = run_plot};
}

}  // namespace mss::cli
