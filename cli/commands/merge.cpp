// mssbench merge: the records of several runs, or of the shards of one, as one run.
#include <fmt/format.h>

#include <filesystem>

#include "cli/commands/commands.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "core/json.h"
#include "records/store.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using core::Value;

int run_merge(Invocation& invocation) {
  const std::vector<fs::path> runs(invocation.arguments.begin(), invocation.arguments.end());
  const fs::path out = invocation.settings->text("out");
  records::MergeResult result;
  try {
    result = records::merge(runs, out, {.allow_mixed = invocation.settings->flag("allow_mixed")});
  } catch (const Error& error) {
    if (concerns_output(error, out)) throw Failure(kFailed, error);
    throw;
  }
  Console& console = *invocation.console;
  for (const std::string& item : result.missing) console.message(core::LogLevel::warning, "missing: " + item);
  for (const std::string& item : result.failed) console.message(core::LogLevel::warning, "failed: " + item);
  if (invocation.json()) {
    const auto list = [](const std::vector<std::string>& items) {
      Value array = Value::array();
      for (const std::string& item : items) array.push_back(item);
      return array;
    };
    Value value = Value::object();
    value["records"] = result.records;
    value["duplicates"] = result.duplicates;
    value["missing"] = list(result.missing);
    value["failed"] = list(result.failed);
    console.result(core::dump_json(value, 2) + "\n");
  } else {
    console.result(fmt::format("{} records ({} given more than once) in {}\n", result.records, result.duplicates,
                               (out / "records.jsonl").string()));
  }
  return result.missing.empty() && result.failed.empty() ? kOk : kPartial;
}

}  // namespace

Command merge_command() {
  return {
      .name = "merge",
      .summary = "join the records of several runs or shards",
      .description =
          "Writes one run folder that holds the records of all the given ones. Records that occur more than once "
          "must be equal (outside `measured`), and records of one name of the same audio, weights and options: else "
          "nothing is written (status 3). Records that the folder to write holds already stay. What the plans ask for "
          "and no record answers is listed, with exit status 6.",
      .arguments = {{.name = "RUN", .help = "Run folder.", .least = 1, .most = -1, .complete = Complete::directory}},
      .options = {{.param = {.name = "out",
                             .type = core::ParamType::file,
                             .help = "Run folder to write; may be one of those given."},
                   .letter = 'o',
                   .placeholder = "RUN",
                   .required = true,
                   .complete = Complete::directory},
                  {.param = {.name = "allow_mixed",
                             .type = core::ParamType::boolean,
                             .default_value = "false",
                             .help = "Join records of one name also where they are of other audio, weights, options or "
                                     "scoring; reports flag the rows."}}},
      .examples = {{"mssbench merge runs/part0 runs/part1 -o runs/whole", "two shards"},
                   {"mssbench merge runs/whole -o runs/whole", "shards that worked in one folder"}},
      .run = run_merge};
}

}  // namespace mss::cli
