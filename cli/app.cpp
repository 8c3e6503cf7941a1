#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <new>
#include <optional>
#include <stdexcept>

#include "cli/about.h"
#include "cli/console.h"
#include "cli/document.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "cli/parser.h"
#include "cli/settings.h"
#include "cli/signals.h"
#include "core/json.h"
#include "core/text.h"

extern "C" char** environ;

namespace mss::cli {
namespace {

ProgressStyle progress_style(const std::string& name) {
  if (name == "bar") return ProgressStyle::bar;
  if (name == "plain") return ProgressStyle::plain;
  if (name == "json") return ProgressStyle::json;
  if (name == "none") return ProgressStyle::none;
  return ProgressStyle::automatic;
}

std::string shell_quoted(const std::string& word) {
  const bool plain = !word.empty() && word.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789_-./:=,@+%") == std::string::npos;
  if (plain) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// A variable that looks like a setting of ours and is none is most likely a slip.
void warn_about_environment(Console& console) {
  std::vector<std::string> known = {"MSSBENCH_CONFIG",    "MSSBENCH_PRESET",  "MSSBENCH_ISA",
                                    "MSSBENCH_TEST_DATA", "MSSBENCH_WEIGHTS", "MSSBENCH_DEVICE",
                                    "MSSBENCH_NETWORKS",  "MSSBENCH_TORCH",   "MSSBENCH_CACHE"};
  for (const Option& option : global_options()) known.push_back(environment_name(nullptr, option));
  for (const Command& command : commands()) {
    for (const Option& option : command.options) known.push_back(environment_name(&command, option));
  }
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with("MSSBENCH_")) continue;
    const std::string name(text.substr(0, text.find('=')));
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string hint = core::did_you_mean(name, known);
    if (!hint.empty()) console.message(core::LogLevel::warning, name + ": not a setting; " + hint);
  }
}

void check_required(const Command& command, const Settings& settings) {
  for (const Option& option : command.options) {
    if (!option.required || settings.is_set(option.param.name)) continue;
    const std::string name =
        option.letter != 0 ? fmt::format("-{} {}", option.letter, option.placeholder) : option.long_name();
    throw Error({Code::config, "mssbench " + command.name, name + " is missing", usage_line(command), "",
                 "mssbench " + command.name + " --help shows examples"});
  }
}

int run_parsed(int argc, const char* const* argv, std::optional<Console>& console) {
  const ParsedLine line = parse_line(argc, argv);
  if (line.has("version")) {
    console->result(line.has("json") ? core::dump_json(version_value(), 2) + "\n" : version_text());
    console->flush();
    return kOk;
  }
  if (line.has("help")) {
    console->result(help_text(line.command, Console::columns()));
    console->flush();
    return kOk;
  }
  if (line.command == nullptr) {
    console->message(core::LogLevel::error, "no command given\n\n" + help_text(nullptr, 100));
    return kUsage;
  }

  const std::vector<Layer> layers = read_layers(line);
  const Settings settings(line.command, layers, line);
  const int verbosity = settings.flag("quiet") ? -1 : settings.flag("verbose") ? 1 : 0;
  console.emplace(verbosity, progress_style(settings.text("progress")));
  warn_about_environment(*console);
  for (const Layer& layer : layers) {
    console->message(core::LogLevel::debug,
                     fmt::format("settings from {} ({})", layer.place, origin_name(layer.origin)));
  }
  check_required(*line.command, settings);

  Invocation invocation;
  invocation.command = line.command;
  invocation.arguments = line.arguments;
  invocation.settings = &settings;
  invocation.layers = &layers;
  invocation.line = &line;
  invocation.console = &*console;
  invocation.stop = install_signal_handlers();
  const core::StopScope scope(invocation.stop);
  for (int i = 0; i < argc; ++i) {
    invocation.command_line += i == 0 ? std::string("mssbench") : " " + shell_quoted(argv[i]);
  }
  const int status = line.command->run(invocation);
  console->flush();
  return status;
}

}  // namespace

int run_program(int argc, const char* const* argv) {
  ignore_write_signals();
  std::optional<Console> console;
  console.emplace(0, ProgressStyle::none);
  try {
    return run_parsed(argc, argv, console);
  } catch (const Failure& failure) {
    console->error(failure.error());
    return failure.status();
  } catch (const Error& error) {
    console->error(error);
    return exit_code(error.code());
  } catch (const std::bad_alloc&) {
    console->error(Error(Code::resource, "", "out of memory"));
    return kFailed;
  } catch (const std::length_error&) {
    console->error(Error(Code::resource, "", "out of memory: something is longer than memory can be"));
    return kFailed;
  } catch (const std::exception& error) {
    console->error(Error({Code::internal, "", error.what(), "", "", "this is a defect of mssbench"}));
    return kFailed;
  }
}

}  // namespace mss::cli
