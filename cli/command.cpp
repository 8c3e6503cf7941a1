#include "cli/command.h"

#include <algorithm>

#include "cli/commands/commands.h"
#include "cli/exit_code.h"
#include "core/text.h"

namespace mss::cli {

using core::Param;
using core::ParamType;

std::string Option::long_name() const {
  if (!flag.empty()) return "--" + flag;
  std::string name = "--" + param.name;
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

const std::vector<Command>& commands() {
  static const std::vector<Command> table = {
      separate_command(), run_command(),    evaluate_command(),   report_command(),     compare_command(),
      corpus_command(),   plot_command(),   train_command(),      shift_command(),      demo_command(),
      import_command(),   export_command(), checkpoint_command(), methods_command(),    datasets_command(),
      synth_command(),    merge_command(),  config_command(),     completion_command(), man_command(),
      help_command()};
  return table;
}

const Command* find_command(std::string_view name) {
  for (const Command& command : commands()) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

const std::vector<Option>& global_options() {
  static const std::vector<Option> table = {
      {.param = {.name = "help", .type = ParamType::boolean, .help = "Show the help of the program or command."},
       .letter = 'h',
       .setting = false},
      {.param = {.name = "version",
                 .type = ParamType::boolean,
                 .help = "Show version, revision, compiler, instruction set and features."},
       .setting = false},
      {.param = {.name = "config",
                 .type = ParamType::file,
                 .help = "Read settings from this TOML file; later files win over earlier ones."},
       .placeholder = "FILE",
       .list = true,
       .separator = ':',
       .setting = false,
       .complete = Complete::file},
      {.param = {.name = "preset", .help = "Start from these built-in settings (configs/presets)."},
       .placeholder = "NAME",
       .setting = false,
       .complete = Complete::preset},
      {.param = {.name = "set",
                 .help = "Set any setting, as in a settings file: a global one as KEY, one of a command as "
                         "COMMAND.KEY."},
       .placeholder = "KEY=VALUE",
       .list = true,
       .separator = '\0',
       .setting = false},
      {.param = {.name = "threads",
                 .type = ParamType::integer,
                 .default_value = "0",
                 .unit = "",
                 .range = "[0,4096]",
                 .help = "Threads to use; 0 = all processors. Results do not depend on it."},
       .placeholder = "N"},
      {.param = {.name = "seed",
                 .type = ParamType::integer,
                 .default_value = "0",
                 .range = "[0,9223372036854775807]",
                 .help = "Seed of methods that draw random numbers."},
       .placeholder = "N"},
      {.param = {.name = "json",
                 .type = ParamType::boolean,
                 .default_value = "false",
                 .help = "Write results as JSON on standard output."}},
      {.param = {.name = "progress",
                 .type = ParamType::choice,
                 .default_value = "auto",
                 .range = "auto|bar|plain|json|none",
                 .help = "Progress on standard error: a bar with the time left, plain lines, JSON lines, or none; auto "
                         "takes the bar on a terminal and lines elsewhere."},
       .placeholder = "STYLE",
       .complete = Complete::choice},
      {.param = {.name = "verbose",
                 .type = ParamType::boolean,
                 .default_value = "false",
                 .help = "Show details of what is done."},
       .letter = 'v'},
      {.param = {.name = "quiet",
                 .type = ParamType::boolean,
                 .default_value = "false",
                 .help = "Show nothing on standard error but errors."},
       .letter = 'q'}};
  return table;
}

const Option* find_option(const Command* command, std::string_view key) {
  if (command != nullptr) {
    for (const Option& option : command->options) {
      if (option.param.name == key) return &option;
    }
  }
  for (const Option& option : global_options()) {
    if (option.param.name == key) return &option;
  }
  return nullptr;
}

std::string environment_name(const Command* command, const Option& option) {
  std::string name = "MSSBENCH_";
  if (command != nullptr) name += command->name + "_";
  name += option.param.name;
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (c == '-') c = '_';
  }
  return name;
}

std::string usage_line(const Command& command) {
  std::string line = "mssbench " + command.name;
  for (const Argument& argument : command.arguments) {
    const std::string name = argument.choices.empty() ? argument.name : core::join(argument.choices, "|");
    const std::string text = name + (argument.most < 0 ? "..." : "");
    line += argument.least == 0 ? " [" + text + "]" : " " + text;
  }
  for (const Option& option : command.options) {
    if (!option.required) continue;
    line +=
        " " + (option.letter != 0 ? std::string("-") + option.letter : option.long_name()) + " " + option.placeholder;
  }
  return line + " [OPTIONS]";
}

const std::vector<std::pair<std::string, std::string>>& environment_variables() {
  static const std::vector<std::pair<std::string, std::string>> table = {
      {"MSSBENCH_CONFIG", "Settings files, separated by ':', read instead of ~/.config/mssbench/config.toml."},
      {"MSSBENCH_PRESET", "Preset to start from, as --preset."},
      {"MSSBENCH_ISA", "Highest instruction set of the hot kernels: baseline, avx2 or avx512."},
      {"MSSBENCH_WEIGHTS", "Folders, separated by ':', where weights are looked up by their label."},
      {"MSSBENCH_DEVICE", "Where engine=libtorch of the networks runs: auto, cpu, cuda or cuda:N."},
      {"MSSBENCH_CACHE", "Folder of the cache of decoded tracks that training reads, instead of ~/.cache/mssbench."},
      {"MSSBENCH_NETWORKS", "The module of networks on LibTorch, instead of the one of the installation."},
      {"MSSBENCH_OPTION, MSSBENCH_COMMAND_OPTION",
       "Value of a global option, or of a command's, for instance MSSBENCH_THREADS and MSSBENCH_SEPARATE_FORMAT. "
       "Elements of lists are separated by commas, those of specs and track names by semicolons."},
      {"MUSDB_PATH", "Folder of MUSDB18 or MUSDB18-HQ, for the data set names musdb18 and musdb18hq."}};
  return table;
}

const std::vector<std::pair<int, std::string>>& exit_statuses() {
  static const std::vector<std::pair<int, std::string>> table = {
      {kOk, "everything was done"},
      {kFailed, "the work failed (for instance no room for the output)"},
      {kUsage, "the command line, a settings file or a spec string is wrong"},
      {kBadInput, "input data is missing, unreadable or corrupt"},
      {kQualityRegression, "scores are worse than those compared with"},
      {kPerformanceRegression, "slower, or more memory, than what is compared with"},
      {kPartial, "some tracks or files failed; the results of the others are there"},
      {kInterrupted, "stopped by Ctrl-C (SIGINT) or SIGTERM"}};
  return table;
}

}  // namespace mss::cli
