// mssbench man, completion and help: texts made from the tables.
#include <string>

#include "cli/commands/commands.h"
#include "cli/completion.h"
#include "cli/document.h"
#include "cli/invocation.h"
#include "core/text.h"

namespace mss::cli {
namespace {

int run_man(Invocation& invocation) {
  invocation.console->result(invocation.settings->flag("markdown") ? markdown_page() : man_page());
  return kOk;
}

int run_completion(Invocation& invocation) {
  const std::string& shell = invocation.arguments.front();
  invocation.console->result(shell == "zsh"    ? zsh_completion()
                             : shell == "fish" ? fish_completion()
                                               : bash_completion());
  return kOk;
}

int run_help(Invocation& invocation) {
  const Command* command = nullptr;
  if (!invocation.arguments.empty()) {
    const std::string& name = invocation.arguments.front();
    command = find_command(name);
    if (command == nullptr) {
      std::vector<std::string> names;
      for (const Command& known : commands()) names.push_back(known.name);
      throw Error({Code::config, "mssbench help", "unknown command '" + name + "'", "one of " + core::join(names, ", "),
                   "", core::did_you_mean(name, names)});
    }
  }
  invocation.console->result(help_text(command, Console::columns()));
  return kOk;
}

}  // namespace

Command man_command() {
  return {.name = "man",
          .summary = "print the manual page",
          .description = "Prints the manual page mssbench(1), or with --markdown the page docs/cli.md.",
          .arguments = {},
          .options = {{.param = {.name = "markdown",
                                 .type = core::ParamType::boolean,
                                 .default_value = "false",
                                 .help = "Markdown instead of man(7)."},
                       .setting = false}},
          .examples = {{"mssbench man | man -l -", "read it"},
                       {"mssbench man --markdown > docs/cli.md", "renew the page of the documentation"}},
          .run = run_man};
}

Command completion_command() {
  return {.name = "completion",
          .summary = "print the completion script of a shell",
          .description =
              "Prints a script that completes commands, options, methods, data sets and files; for bash the parameters "
              "of methods, too.",
          .arguments = {{.name = "SHELL",
                         .help = "Which shell.",
                         .least = 1,
                         .most = 1,
                         .complete = Complete::choice,
                         .choices = {"bash", "zsh", "fish"}}},
          .options = {},
          .examples = {{"source <(mssbench completion bash)", "in this shell"},
                       {"mssbench completion bash > ~/.local/share/bash-completion/completions/mssbench", "for good"},
                       {"mssbench completion zsh > ~/.zfunc/_mssbench", "zsh, where fpath has ~/.zfunc"},
                       {"mssbench completion fish > ~/.config/fish/completions/mssbench.fish", "fish"}},
          .run = run_completion};
}

Command help_command() {
  return {.name = "help",
          .summary = "show the help of the program or of a command",
          .description = "The same as --help.",
          .arguments = {{.name = "COMMAND", .help = "Command.", .least = 0, .most = 1, .complete = Complete::command}},
          .options = {},
          .examples = {{"mssbench help run", "the same as mssbench run --help"}},
          .run = run_help};
}

}  // namespace mss::cli
