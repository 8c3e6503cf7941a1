// mssbench corpus: a private corpus guarded by hashes and scores.
#include "reports/corpus.h"

#include <filesystem>

#include "cli/commands/commands.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "core/json.h"
#include "reports/input.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void wrong(const std::string& what) {
  throw Error({Code::config, "mssbench corpus", what, "save RUN -o FILE, or check RUN FILE", "",
               "mssbench corpus --help shows examples"});
}

int run_corpus(Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  Console& console = *invocation.console;
  const std::vector<std::string>& arguments = invocation.arguments;
  const std::string& action = arguments[0];
  if (arguments.size() < 2) wrong(action + " needs a run");
  const reports::Corpus now =
      reports::make_corpus(reports::read_source(arguments[1], {"museval", invocation.threads()}));
  if (action == "save") {
    if (arguments.size() > 2) wrong("save takes one run");
    if (!settings.is_set("out")) wrong("-o FILE is missing");
    const fs::path file = settings.text("out");
    writing([&] { reports::write_corpus(file, now); });
    if (invocation.json()) {
      core::Value value = core::Value::object();
      value["file"] = file.string();
      value["entries"] = static_cast<std::int64_t>(now.entries.size());
      console.result(core::dump_json(value, 2) + "\n");
    } else {
      console.result("corpus: " + std::to_string(now.entries.size()) + " entries in " + file.string() + "\n");
    }
    return kOk;
  }
  if (arguments.size() != 3) wrong("check needs a run and a corpus file");
  const reports::CorpusCheck check =
      reports::check_corpus(reports::read_corpus(arguments[2]), now, settings.real("tolerance"));
  console.result(invocation.json() ? core::dump_json(reports::to_json(check), 2) + "\n" : reports::to_text(check));
  return check.passed() ? kOk : kQualityRegression;
}

}  // namespace

Command corpus_command() {
  using core::ParamType;
  return {.name = "corpus",
          .summary = "guard a private corpus by hashes and scores",
          .description =
              "`save` writes what a run scored, with the hashes of the tracks' files, into one file that holds no "
              "audio. `check` "
              "holds a later run against it and says which tracks changed, vanished or appeared.\n\n"
              "Exit status of `check`: 0 where nothing changed or vanished, else 4.",
          .arguments =
              {{.name = "ACTION", .help = "save or check.", .complete = Complete::choice, .choices = {"save", "check"}},
               {.name = "RUN",
                .help = "Run folder (or RUN#SPEC, or museval's JSON files); for check the corpus file after it.",
                .least = 1,
                .most = 2,
                .complete = Complete::file}},
          .options = {{.param = {.name = "out", .type = ParamType::file, .help = "File that `save` writes."},
                       .letter = 'o',
                       .placeholder = "FILE",
                       .complete = Complete::file},
                      {.param = {.name = "tolerance",
                                 .type = ParamType::real,
                                 .default_value = "0.001",
                                 .unit = "dB",
                                 .range = "[0,inf)",
                                 .help = "Scores that differ by no more agree; 0 asks for the same bits."},
                       .placeholder = "DB"}},
          .examples = {{"mssbench corpus save runs/private -o corpus.json", "write down what is"},
                       {"mssbench corpus check runs/today corpus.json", "exit status 4 where something changed"}},
          .run = run_corpus};
}

}  // namespace mss::cli
