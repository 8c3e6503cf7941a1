#include "cli/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/command.h"
#include "cli/settings.h"
#include "core/text.h"
#include "eval/scores.h"
#include "harness/builtin_methods.h"

namespace mss::cli {
namespace {

/// The words of one `case` branch; `pattern` without the closing parenthesis.
std::string branch(const std::string& pattern, const std::vector<std::string>& words) {
  return fmt::format("    {}) printf '%s\\n' {} ;;\n", pattern, core::join(words, " "));
}

std::vector<std::string> option_words(const std::vector<Option>& options) {
  std::vector<std::string> words;
  for (const Option& option : options) {
    words.push_back(option.long_name());
    if (option.letter != 0) words.push_back(std::string("-") + option.letter);
  }
  return words;
}

std::string_view kind_word(Complete kind) {
  switch (kind) {
    case Complete::file:
      return "file";
    case Complete::directory:
      return "directory";
    case Complete::spec:
      return "spec";
    case Complete::dataset:
      return "dataset";
    case Complete::method:
      return "method";
    case Complete::target:
      return "target";
    case Complete::metric:
      return "metric";
    case Complete::preset:
      return "preset";
    case Complete::command:
      return "command";
    case Complete::choice:
    case Complete::nothing:
      break;
  }
  return "nothing";
}

/// What follows the word in `pattern`: a kind, or the choices themselves.
std::string kind_branch(const std::string& pattern, Complete kind, const std::vector<std::string>& choices) {
  const std::string text =
      kind == Complete::choice ? "choice " + core::join(choices, " ") : std::string(kind_word(kind));
  return fmt::format("    {}) echo '{}' ;;\n", pattern, text);
}

std::string value_branches(const std::string& command, const std::vector<Option>& options) {
  std::string out;
  for (const Option& option : options) {
    if (option.placeholder.empty()) continue;
    std::string pattern = fmt::format("'{} {}'", command, option.long_name());
    if (option.letter != 0) pattern += fmt::format("|'{} -{}'", command, option.letter);
    out += kind_branch(pattern, option.complete, core::split(option.param.range, '|'));
  }
  return out;
}

// The frame around the generated tables. Bash hands over words that it has broken at ':' and '=' (COMP_WORDBREAKS), so
// they are joined again, and what stands before the last break is cut off the replies.
constexpr std::string_view kScript = R"script(
_mssbench_spec() {
  # Candidates for the spec string in $1.
  local text=$1 done_part='' part name
  if [[ $text == *'|'* ]]; then
    done_part="${text%|*}|"
    part=${text##*|}
    if [[ $part == *:* ]]; then
      name=${part%%:*}
    else
      compgen -P "$done_part" -W "$(_mssbench_filters)" -- "$part"
      return
    fi
  else
    part=$text
    if [[ $part != *:* ]]; then
      compgen -W "$(_mssbench_specs)" -- "$part"
      return
    fi
    name=${part%%:*}
    name=${name%%@*}
  fi
  # After NAME: and after every comma come the keys of NAME; after KEY= its choices.
  local head=${part%"${part##*[:,]}"} last=${part##*[:,]}
  if [[ $last == *=* ]]; then
    compgen -P "$done_part$head${last%%=*}=" -W "$(_mssbench_choices "$name ${last%%=*}")" -- "${last#*=}"
  else
    compgen -P "$done_part$head" -S '=' -W "$(_mssbench_keys "$name")" -- "$last"
  fi
}

_mssbench() {
  local IFS=$' \t\n' word i cur='' prev='' command='' position=0 kind choices
  local -a words=()
  # Join what bash broke at ':' and '=' inside one word.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((i > 0)) && [[ $word == [:=]* || ${COMP_WORDS[i-1]} == *[:=] ]] && ((${#words[@]} > 1)); then
      words[${#words[@]}-1]+=$word
    else
      words+=("$word")
    fi
  done
  cur=${words[${#words[@]}-1]}
  local quote=''
  if [[ $cur == [\'\"]* ]]; then
    quote=${cur:0:1}
    cur=${cur:1}
  fi
  ((${#words[@]} > 1)) && prev=${words[${#words[@]}-2]}

  local skip=0
  for ((i = 1; i < ${#words[@]} - 1; i++)); do
    word=${words[i]}
    if ((skip)); then
      skip=0
    elif [[ $word == -* ]]; then
      [[ $word != *=* && -n $(_mssbench_value "$command $word") ]] && skip=1
    elif [[ -z $command ]]; then
      command=$word
    else
      ((position++))
    fi
  done

  COMPREPLY=()
  local before=''
  if [[ $cur == --*=* ]]; then
    kind=$(_mssbench_value "$command ${cur%%=*}")
    before="${cur%%=*}="
    cur=${cur#*=}
  elif ((skip)); then
    kind=$(_mssbench_value "$command $prev")
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$(_mssbench_options "$command")" -- "$cur"))
    return
  elif [[ -z $command ]]; then
    kind=command
  else
    kind=$(_mssbench_argument "$command $position")
  fi

  case $kind in
    choice*) COMPREPLY=($(compgen -W "${kind#choice}" -- "$cur")) ;;
    command) COMPREPLY=($(compgen -W "$(_mssbench_commands)" -- "$cur")) ;;
    method) COMPREPLY=($(compgen -W "$(_mssbench_methods) $(_mssbench_filters)" -- "$cur")) ;;
    target) COMPREPLY=($(compgen -W 'vocals drums bass other accompaniment' -- "$cur")) ;;
    metric) COMPREPLY=($(compgen -W "$(_mssbench_metrics)" -- "$cur")) ;;
    preset) COMPREPLY=($(compgen -W "$(_mssbench_presets)" -- "$cur")) ;;
    spec)
      COMPREPLY=($(_mssbench_spec "$cur"))
      [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
      ;;
    dataset)
      local IFS=$'\n'
      COMPREPLY=($(compgen -W $'synthetic\nmusdb18\nmusdb18hq' -- "$cur") $(compgen -d -- "$cur"))
      compopt -o filenames 2>/dev/null
      ;;
    directory)
      local IFS=$'\n'
      COMPREPLY=($(compgen -d -- "$cur"))
      compopt -o filenames 2>/dev/null
      ;;
    file)
      local IFS=$'\n'
      COMPREPLY=($(compgen -f -- "$cur"))
      compopt -o filenames 2>/dev/null
      ;;
  esac

  # Replies start where bash sees the current word start: after the last break in it.
  local typed=$before$cur breaks='' broken=''
  [[ $COMP_WORDBREAKS == *:* ]] && breaks+=':'
  [[ $COMP_WORDBREAKS == *=* ]] && breaks+='='
  if [[ -z $quote && -n $breaks ]]; then
    broken=${typed%"${typed##*[$breaks]}"}
  fi
  for i in "${!COMPREPLY[@]}"; do
    word=$before${COMPREPLY[i]}
    COMPREPLY[i]=${word#"$broken"}
  done
}

complete -F _mssbench mssbench
)script";

}  // namespace

std::string bash_completion() {
  const methods::Registry& registry = harness::builtin_methods();
  std::string out =
      "# Bash completion of mssbench. Made by `mssbench completion bash`.\n"
      "# shellcheck shell=bash disable=SC2207\n\n";
  const auto list_function = [&](const std::string& name, const std::vector<std::string>& words) {
    out += fmt::format("_mssbench_{}() {{ printf '%s\\n' {}; }}\n", name,
                       words.empty() ? std::string("''") : core::join(words, " "));
  };
  std::vector<std::string> names, methods, specs, filters, metrics, preset_names;
  for (const Command& command : commands()) names.push_back(command.name);
  for (const auto& entry : registry.methods()) {
    methods.push_back(entry.name);
    if (!entry.unavailable.empty()) continue;
    specs.push_back(entry.name);
    for (const auto& [preset, values] : entry.presets) specs.push_back(entry.name + "@" + preset);
  }
  for (const auto& entry : registry.filters()) filters.push_back(entry.name);
  for (const eval::MetricInfo& info : eval::metrics()) metrics.push_back(info.id);
  for (const Preset& preset : presets()) preset_names.emplace_back(preset.name);
  list_function("commands", names);
  list_function("methods", methods);
  list_function("specs", specs);
  list_function("filters", filters);
  list_function("metrics", metrics);
  list_function("presets", preset_names);

  std::string keys, choices;
  const auto describe = [&](const std::string& name, const core::ParamTable& params) {
    std::vector<std::string> known;
    for (const core::Param& param : params) {
      known.push_back(param.name);
      std::vector<std::string> values;
      if (param.type == core::ParamType::choice) values = core::split(param.range, '|');
      if (param.type == core::ParamType::boolean) values = {"true", "false"};
      if (!values.empty()) choices += branch(fmt::format("'{} {}'", name, param.name), values);
    }
    if (!known.empty()) keys += branch("'" + name + "'", known);
  };
  for (const auto& entry : registry.methods()) describe(entry.name, entry.params);
  for (const auto& entry : registry.filters()) describe(entry.name, entry.params);
  const auto case_function = [&](const std::string& name, const std::string& branches) {
    out += fmt::format("_mssbench_{}() {{\n  case $1 in\n{}    *) ;;\n  esac\n}}\n", name, branches);
  };
  case_function("keys", keys);
  case_function("choices", choices);

  std::string options, values, arguments;
  const std::vector<std::string> global = option_words(global_options());
  for (const Command& command : commands()) {
    std::vector<std::string> words = option_words(command.options);
    words.insert(words.end(), global.begin(), global.end());
    options += branch("'" + command.name + "'", words);
    values += value_branches(command.name, command.options);
    for (std::size_t i = 0; i < command.arguments.size(); ++i) {
      const Argument& argument = command.arguments[i];
      arguments += kind_branch(fmt::format("'{} '{}", command.name, argument.most < 0 ? "*" : std::to_string(i)),
                               argument.complete, argument.choices);
    }
  }
  options += branch("*", global);
  values += value_branches("'*'", global_options());
  case_function("options", options);
  case_function("value", values);
  case_function("argument", arguments);
  return out + std::string(kScript);
}

namespace {

/// The words that the scripts of zsh and fish offer, from the same tables.
struct Words {
  std::vector<std::string> specs, methods, metrics, presets, commands;
};

Words known_words() {
  Words out;
  const methods::Registry& registry = harness::builtin_methods();
  for (const auto& entry : registry.methods()) {
    out.methods.push_back(entry.name);
    if (!entry.unavailable.empty()) continue;
    out.specs.push_back(entry.name);
    for (const auto& [preset, values] : entry.presets) out.specs.push_back(entry.name + "@" + preset);
  }
  for (const auto& entry : registry.filters()) out.methods.push_back(entry.name);
  for (const eval::MetricInfo& info : eval::metrics()) out.metrics.push_back(info.id);
  for (const Preset& preset : presets()) out.presets.emplace_back(preset.name);
  for (const Command& command : commands()) out.commands.push_back(command.name);
  return out;
}

/// The first clause of a help text.
std::string short_text(const std::string& help) {
  std::string out = help.substr(0, std::min({help.find(". "), help.find("; "), help.find(": ")}));
  while (!out.empty() && out.back() == '.') out.pop_back();
  return out;
}

/// In single quotes, for zsh and fish alike where the text has neither quotes nor backslashes; these are left out.
std::string quoted(std::string text) {
  std::erase_if(text, [](char c) { return c == '\'' || c == '\\'; });
  return "'" + text + "'";
}

/// What may follow, as words; empty where the shell's own list of files is meant.
std::vector<std::string> offered_words(const Words& words, Complete kind, const std::vector<std::string>& choices) {
  switch (kind) {
    case Complete::spec:
      return words.specs;
    case Complete::method:
      return words.methods;
    case Complete::metric:
      return words.metrics;
    case Complete::preset:
      return words.presets;
    case Complete::command:
      return words.commands;
    case Complete::target:
      return {"vocals", "drums", "bass", "other", "accompaniment"};
    case Complete::dataset:
      return {"synthetic", "musdb18", "musdb18hq"};
    case Complete::choice:
      return choices;
    case Complete::file:
    case Complete::directory:
    case Complete::nothing:
      break;
  }
  return {};
}

/// The action of _arguments.
std::string zsh_action(const Words& words, Complete kind, const std::vector<std::string>& choices) {
  const std::vector<std::string> offered = offered_words(words, kind, choices);
  if (kind == Complete::file) return "_files";
  if (kind == Complete::directory) return "_files -/";
  if (kind == Complete::dataset) return "{compadd " + core::join(offered, " ") + "; _files -/}";
  return offered.empty() ? " " : "(" + core::join(offered, " ") + ")";
}

/// Brackets and colons have a meaning in the descriptions of _arguments.
std::string zsh_description(std::string text) {
  std::erase_if(text, [](char c) { return c == '[' || c == ']'; });
  std::ranges::replace(text, ':', ',');
  return text;
}

std::string zsh_option(const Words& words, const Option& option) {
  const std::string name = option.long_name(), repeat = option.list ? "*" : "";
  std::string value;
  if (!option.placeholder.empty()) {
    value = ":" + option.placeholder + ":" + zsh_action(words, option.complete, core::split(option.param.range, '|'));
  }
  const std::string text = "[" + zsh_description(short_text(option.param.help)) + "]";
  std::string out = "        " + quoted(repeat + name + (value.empty() ? "" : "=") + text + value) + " \\\n";
  if (option.letter != 0) {
    out += "        " + quoted(repeat + "-" + option.letter + (value.empty() ? "" : "+") + text + value) + " \\\n";
  }
  return out;
}

}  // namespace

std::string zsh_completion() {
  const Words words = known_words();
  std::string out =
      "#compdef mssbench\n# Zsh completion of mssbench. Made by `mssbench completion zsh`.\n\n"
      "_mssbench() {\n  local context state state_descr line curcontext=\"$curcontext\"\n  typeset -A opt_args\n"
      "  local -a commands=(\n";
  for (const Command& command : commands()) {
    out += "    " + quoted(command.name + ":" + zsh_description(command.summary)) + "\n";
  }
  std::string global;
  for (const Option& option : global_options()) global += zsh_option(words, option);
  out += "  )\n  _arguments -C \\\n" + global + "        '1:command:->command' '*::argument:->argument' && return\n";
  out += "  case $state in\n    command) _describe command commands ;;\n    argument)\n      case $line[1] in\n";
  for (const Command& command : commands()) {
    out += "        " + command.name + ")\n        _arguments -s \\\n" + global;
    for (const Option& option : command.options) out += zsh_option(words, option);
    for (const Argument& argument : command.arguments) {
      const std::string place = argument.most < 0 ? "*" : argument.least == 0 ? ":" : "";
      out +=
          "        " +
          quoted(place + ":" + zsh_description(argument.name) + ":" +
                 zsh_action(words, argument.choices.empty() ? argument.complete : Complete::choice, argument.choices)) +
          " \\\n";
    }
    out += "        ;;\n";
  }
  out +=
      "      esac ;;\n  esac\n}\n\n"
      "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _mssbench \"$@\"; else compdef _mssbench mssbench; fi\n";
  return out;
}

std::string fish_completion() {
  const Words words = known_words();
  std::string out =
      "# Fish completion of mssbench. Made by `mssbench completion fish`.\n"
      "complete -c mssbench -f\n";
  const std::string no_command = "not __fish_seen_subcommand_from " + core::join(words.commands, " ");
  for (const Command& command : commands()) {
    out += fmt::format("complete -c mssbench -n {} -a {} -d {}\n", quoted(no_command), command.name,
                       quoted(command.summary));
  }
  const auto list = [&](Complete kind, const std::vector<std::string>& choices) {
    if (kind == Complete::directory) return std::string("(__fish_complete_directories)");
    std::vector<std::string> offered = offered_words(words, kind, choices);
    if (kind == Complete::dataset) offered.emplace_back("(__fish_complete_directories)");
    return core::join(offered, " ");
  };
  const auto add_options = [&](const std::string& condition, const std::vector<Option>& options) {
    for (const Option& option : options) {
      out += "complete -c mssbench" + condition + " -l " + option.long_name().substr(2);
      if (option.letter != 0) out += std::string(" -s ") + option.letter;
      if (!option.placeholder.empty()) {
        const std::string offered = list(option.complete, core::split(option.param.range, '|'));
        out += option.complete == Complete::file ? " -r -F" : " -x";
        if (!offered.empty()) out += " -a " + quoted(offered);
      }
      out += " -d " + quoted(short_text(option.param.help)) + "\n";
    }
  };
  add_options("", global_options());
  for (const Command& command : commands()) {
    const std::string condition = " -n " + quoted("__fish_seen_subcommand_from " + command.name);
    add_options(condition, command.options);
    for (const Argument& argument : command.arguments) {
      const Complete kind = argument.choices.empty() ? argument.complete : Complete::choice;
      if (kind == Complete::file) {
        out += "complete -c mssbench" + condition + " -F\n";
        continue;
      }
      const std::string offered = list(kind, argument.choices);
      if (!offered.empty()) out += "complete -c mssbench" + condition + " -a " + quoted(offered) + "\n";
    }
  }
  return out;
}

}  // namespace mss::cli
