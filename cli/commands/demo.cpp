// mssbench demo: the whole way from songs to a table, with nothing but the program.
#include <filesystem>

#include "cli/commands/commands.h"
#include "cli/commands/report_options.h"
#include "cli/commands/run_plan.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "cli/resources.h"
#include "core/toml.h"
#include "reports/html/html.h"
#include "reports/report.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;

int run_demo(Invocation& invocation) {
  const fs::path out = invocation.settings->text("out");
  harness::Plan plan = harness::plan_from_value(core::parse_toml(demo_plan_text(), "configs/plans/demo.toml"),
                                                "configs/plans/demo.toml", {});
  plan.out = out / "run";
  plan.threads = invocation.threads();
  plan.seeds = {invocation.seed()};
  const CarriedOut done = carry_out(invocation, plan, records::Shard{});
  if (done.records.empty()) return done.status;
  reports::ReportOptions options;
  options.threads = invocation.threads();
  const std::vector<records::Record> records = records::read_records(done.records);
  reports::Report report = reports::build_report(records, options);
  writing([&] {
    reports::write_tables(report, out / "report");
    reports::html::write(report, records, {.about = method_summaries(), .threads = invocation.threads()},
                         out / "report");
  });
  if (!invocation.json()) invocation.console->result("report: " + (out / "report" / "index.html").string() + "\n");
  return done.status;
}

}  // namespace

Command demo_command() {
  return {.name = "demo",
          .summary = "compare ten methods on the built-in songs",
          .description =
              "Runs floors (trivial rows), NMF and NMFD with learned dictionaries, small networks of four families "
              "with the weights that the program carries, and an oracle (which knows the true stems) over the built-in "
              "songs, prints the table and writes the report. Needs no files and less than two minutes on two cores.",
          .arguments = {},
          .options = {{.param = {.name = "out",
                                 .type = core::ParamType::file,
                                 .default_value = "mssbench-demo",
                                 .help = "Folder for the run and its report."},
                       .letter = 'o',
                       .placeholder = "DIR",
                       .complete = Complete::directory}},
          .examples = {{"mssbench demo", "into mssbench-demo/"},
                       {"mssbench demo -o out --threads 1", "elsewhere, on one thread"}},
          .run = run_demo};
}

}  // namespace mss::cli
