#include "cli/completion.h"

#include <fmt/format.h>

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

}  // namespace mss::cli
