// mssbench demo: the whole way from songs to a table, with nothing but the program.
#include <filesystem>

#include "core/toml.h"
#include "harness/cli/commands/commands.h"
#include "harness/cli/commands/run_plan.h"
#include "harness/cli/failure.h"
#include "harness/cli/invocation.h"
#include "harness/cli/resources.h"
#include "reports/report.h"

namespace mss::harness::cli {
namespace {

namespace fs = std::filesystem;

int run_demo(Invocation& invocation) {
  const fs::path out = invocation.settings->text("out");
  Plan plan =
      plan_from_value(core::parse_toml(demo_plan_text(), "configs/plans/demo.toml"), "configs/plans/demo.toml", {});
  plan.out = out / "run";
  plan.threads = invocation.threads();
  plan.seeds = {invocation.seed()};
  const CarriedOut done = carry_out(invocation, plan, Shard{});
  if (done.records.empty()) return done.status;
  writing([&] { reports::write_report({plan.out}, out / "report"); });
  if (!invocation.json()) invocation.console->result("report: " + (out / "report" / "table.md").string() + "\n");
  return done.status;
}

}  // namespace

Command demo_command() {
  return {.name = "demo",
          .summary = "compare five methods on the built-in songs",
          .description =
              "Runs two floors and silence, a blind NMF and an oracle over the built-in songs, prints the table and "
              "writes the report. Needs no files and well under a minute.",
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

}  // namespace mss::harness::cli
