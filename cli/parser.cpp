#include "cli/parser.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <span>
#include <string_view>

#include "core/error.h"
#include "core/text.h"

namespace mss::cli {
namespace {

struct Slot {
  const Option* option = nullptr;
  std::vector<std::string> values;
};

/// One CLI::App's worth of values.
struct Scope {
  CLI::App* app = nullptr;
  std::vector<std::unique_ptr<Slot>> slots;
  std::vector<std::string> arguments;
};

std::string cli11_names(const Option& option) {
  std::string names;
  if (option.letter != 0) names = std::string("-") + option.letter + ",";
  return names + option.long_name();
}

/// `beside`: options whose name that command has for something of its own are left out (`synth --preset`).
void declare(Scope& scope, const std::vector<Option>& options, const Command* beside = nullptr) {
  for (const Option& option : options) {
    const auto same = [&](const Option& own) { return own.long_name() == option.long_name(); };
    if (beside != nullptr && std::any_of(beside->options.begin(), beside->options.end(), same)) continue;
    scope.slots.push_back(std::make_unique<Slot>());
    Slot& slot = *scope.slots.back();
    slot.option = &option;
    CLI::Option* declared = option.placeholder.empty()
                                ? scope.app->add_flag(cli11_names(option), slot.values)
                                : scope.app->add_option(cli11_names(option), slot.values)->allow_extra_args(false);
    declared->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
}

std::vector<std::string> known_flags(const Command* command) {
  std::vector<std::string> names;
  for (const Option& option : global_options()) names.push_back(option.long_name());
  if (command != nullptr) {
    for (const Option& option : command->options) names.push_back(option.long_name());
  }
  return names;
}

Error usage_error(const Command* command, std::string what, std::string expected, std::string found, std::string hint) {
  const std::string where = command != nullptr ? "mssbench " + command->name : "command line";
  if (hint.empty()) {
    hint =
        "mssbench " + (command != nullptr ? command->name + " --help" : std::string("--help")) + " shows what it takes";
  }
  return Error({Code::config, where, std::move(what), std::move(expected), std::move(found), std::move(hint)});
}

void check_leftovers(const CLI::App& app, const Command* command) {
  for (const std::string& word : app.remaining()) {
    if (word.size() > 1 && word.front() == '-') {
      const std::string name = word.substr(0, word.find('='));
      throw usage_error(command, "unknown option '" + name + "'", "", "",
                        core::did_you_mean(name, known_flags(command)));
    }
    if (command == nullptr) {
      std::vector<std::string> names;
      for (const Command& known : commands()) names.push_back(known.name);
      throw usage_error(nullptr, "unknown command '" + word + "'", "one of " + core::join(names, ", "), "",
                        core::did_you_mean(word, names));
    }
    throw usage_error(command, "unexpected argument '" + word + "'", "", "", "");
  }
}

void check_arguments(const Command& command, const std::vector<std::string>& given) {
  std::size_t least = 0, most = 0;
  for (const Argument& argument : command.arguments) {
    least += static_cast<std::size_t>(argument.least);
    most = argument.most < 0 || most == SIZE_MAX ? SIZE_MAX : most + static_cast<std::size_t>(argument.most);
  }
  if (given.size() > most) {
    throw usage_error(&command, "unexpected argument '" + given[most] + "'", usage_line(command), "", "");
  }
  std::size_t covered = 0;
  for (const Argument& argument : command.arguments) {
    covered += static_cast<std::size_t>(argument.least);
    if (given.size() < covered) {
      throw usage_error(&command, argument.name + " is missing", usage_line(command), "", "");
    }
  }
  for (std::size_t i = 0; i < given.size() && i < command.arguments.size(); ++i) {
    const Argument& argument = command.arguments[i];
    if (argument.choices.empty()) continue;
    if (std::find(argument.choices.begin(), argument.choices.end(), given[i]) == argument.choices.end()) {
      throw usage_error(&command, "bad " + argument.name, "one of " + core::join(argument.choices, ", "),
                        "'" + given[i] + "'", core::did_you_mean(given[i], argument.choices));
    }
  }
}

}  // namespace

ParsedLine parse_line(int argc, const char* const* argv) {
  CLI::App top;
  top.set_help_flag();
  top.allow_extras();
  top.require_subcommand(0, 1);
  std::vector<std::unique_ptr<Scope>> scopes;
  scopes.push_back(std::make_unique<Scope>());
  scopes.back()->app = &top;
  declare(*scopes.back(), global_options());
  for (const Command& command : commands()) {
    scopes.push_back(std::make_unique<Scope>());
    Scope& scope = *scopes.back();
    scope.app = top.add_subcommand(command.name);
    scope.app->set_help_flag();
    scope.app->allow_extras();
    declare(scope, global_options(), &command);  // so that they may stand on either side of the command
    declare(scope, command.options);
    if (!command.arguments.empty()) scope.app->add_option("arguments", scope.arguments)->expected(0, -1);
  }

  ParsedLine line;
  const auto chosen_command = [&]() -> const Command* {
    const auto found = top.get_subcommands();
    return found.empty() ? nullptr : find_command(found.front()->get_name());
  };
  // "--" ends the options: what follows are arguments, whatever they look like.
  const auto words = std::span(argv, static_cast<std::size_t>(argc));
  const auto end = std::ranges::find_if(words, [](const char* word) { return std::string_view(word) == "--"; });
  std::vector<const char*> before(words.begin(), end);
  std::vector<std::string> behind(end == words.end() ? end : end + 1, words.end());
  const bool names_command = std::ranges::any_of(before.begin() + (before.empty() ? 0 : 1), before.end(),
                                                 [](const char* word) { return find_command(word) != nullptr; });
  if (!names_command && !behind.empty()) {  // the command stands behind it, too
    before.push_back(words[words.size() - behind.size()]);
    behind.erase(behind.begin());
  }
  try {
    top.parse(static_cast<int>(before.size()), before.data());
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string text = error.what();  // "--out: 1 required DIR missing"
    throw usage_error(chosen_command(), text.substr(0, text.find(':')) + " needs a value", "", "", "");
  } catch (const CLI::ParseError& error) {
    throw usage_error(chosen_command(), error.what(), "", "", "");
  }
  line.command = chosen_command();

  bool help = false;
  for (const auto& scope : scopes) {
    if (scope->app != &top && !scope->app->parsed()) continue;
    for (const auto& slot : scope->slots) {
      if (slot->values.empty()) continue;
      auto& values = line.options[slot->option->param.name];
      values.insert(values.end(), slot->values.begin(), slot->values.end());
    }
    line.arguments.insert(line.arguments.end(), scope->arguments.begin(), scope->arguments.end());
  }
  line.arguments.insert(line.arguments.end(), behind.begin(), behind.end());
  help = line.has("help") || line.has("version");
  for (const auto& scope : scopes) {
    if (scope->app == &top) {
      // After a command everything belongs to it, so leftovers here stand before it.
      check_leftovers(top, nullptr);
    } else if (scope->app->parsed()) {
      check_leftovers(*scope->app, line.command);
    }
  }
  if (line.command != nullptr && !help) check_arguments(*line.command, line.arguments);
  return line;
}

}  // namespace mss::cli
