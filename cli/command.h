// The one declaration of every command: its arguments, options and examples. Parser, settings files, environment
// variables, help, docs/cli.md, man page and shell completion are all made from these tables.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/params.h"

namespace mss::cli {

class Invocation;

/// What a shell offers for a value.
enum class Complete { nothing, file, directory, spec, dataset, method, target, metric, preset, command, choice };

struct Option {
  core::Param param;        ///< name = key in settings files (underscores); type, default, range, unit, help
  std::string flag;         ///< long option without dashes; empty = the key with '-' for '_'
  char letter = 0;          ///< short option; 0 = none
  std::string placeholder;  ///< name of the value in help; empty = a switch (then the type is boolean)
  bool list = false;        ///< may be given several times; an array in settings files
  char separator =
      ',';  ///< between the elements of a list in an environment variable; ',' also on the command line. Specs are also parted by commas that no parameter follows (core::split_specs)
  bool required = false;
  bool setting = true;  ///< may stand in settings files and the environment
  Complete complete = Complete::nothing;

  std::string long_name() const;  ///< "--save-estimates"
};

struct Argument {
  std::string name;  ///< "FILE"
  std::string help;
  int least = 1, most = 1;  ///< how many; most = -1: any number
  Complete complete = Complete::file;
  std::vector<std::string> choices;
};

struct Example {
  std::string command;
  std::string says;
};

struct Command {
  std::string name;
  std::string summary;  ///< one clause for the list of commands
  std::string
      description;  ///< paragraphs separated by an empty line; lines that start with two blanks are kept as they are
  std::vector<Argument> arguments;
  std::vector<Option> options;
  std::vector<Example> examples;
  int (*run)(Invocation& invocation) = nullptr;
};

/// In the order of the help text.
const std::vector<Command>& commands();
/// nullptr for an unknown name.
const Command* find_command(std::string_view name);
/// Options of every command. The first ones cannot stand in settings files (help, version, config, preset, set).
const std::vector<Option>& global_options();
/// nullptr when the command has none of that key; global options are found too.
const Option* find_option(const Command* command, std::string_view key);
/// "MSSBENCH_THREADS", "MSSBENCH_SEPARATE_FORMAT"; `command` null for a global option.
std::string environment_name(const Command* command, const Option& option);
/// "[OPTIONS] -m SPEC -o DIR FILE…"
std::string usage_line(const Command& command);
/// Environment variables that are no option, with their meaning.
const std::vector<std::pair<std::string, std::string>>& environment_variables();
/// Exit statuses with their meaning, for help, man page and docs.
const std::vector<std::pair<int, std::string>>& exit_statuses();

}  // namespace mss::cli
