#include "cli/document.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/about.h"
#include "core/text.h"
#include "core/version.h"

namespace mss::cli {
namespace {

using core::ParamType;

constexpr std::string_view kAbout =
    "mssbench compares music source separation methods under one interface and one scorer, and turns the scores into "
    "reports.";
constexpr std::string_view kSpecs =
    "A method is named by a spec string: NAME[@PRESET][:KEY=VALUE,...][|FILTER[:KEY=VALUE,...]], for instance "
    "'nmf:components=16' or 'irm2'. Quote it for the shell. `mssbench methods` lists the names, `mssbench methods "
    "NAME` "
    "the keys.";
constexpr std::string_view kDatasets =
    "A data set is a folder (MUSDB18's stem.mp4 files, MUSDB18-HQ, MIR-1K, or one folder per track with a mixture and "
    "any stems), a name found through MUSDB_PATH (musdb18, musdb18hq), or the built-in songs (synthetic, with options "
    "synthetic:songs=4,seconds=12,seed=1).";
constexpr std::string_view kSettings =
    "Every option that is not marked otherwise can also be set in a TOML settings file (its key with underscores; "
    "those "
    "of a command in a table of its name) and in the environment. Weakest first: built-in default, preset, settings "
    "files in order, environment, command line. `mssbench config` prints every value with its origin.";

std::vector<std::string> paragraphs(std::string_view text) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t end = text.find("\n\n", begin);
    if (end == std::string_view::npos) end = text.size();
    out.emplace_back(text.substr(begin, end - begin));
    begin = end + 2;
  }
  return out;
}

bool is_verbatim(std::string_view paragraph) { return paragraph.starts_with("  "); }

/// Breaks text at blanks to lines of `columns`, every line after `indent` blanks.
std::string wrap(std::string_view text, std::size_t indent, std::size_t columns, std::size_t first_used = 0) {
  std::string out, line;
  std::size_t used = first_used;
  const auto flush = [&] {
    if (!out.empty() || first_used == 0) out += std::string(indent, ' ');
    out += line + "\n";
    line.clear();
    used = indent;
  };
  if (first_used == 0) used = indent;
  for (const std::string& word : core::split(text, ' ')) {
    const std::size_t width = core::display_width(word);
    if (!line.empty() && used + 1 + width > columns) flush();
    if (!line.empty()) {
      line += ' ';
      ++used;
    }
    line += word;
    used += width;
  }
  flush();
  return out;
}

std::string wrap_paragraphs(std::string_view text, std::size_t columns) {
  std::string out;
  for (const std::string& paragraph : paragraphs(text)) {
    out += "\n" + (is_verbatim(paragraph) ? paragraph + "\n" : wrap(paragraph, 0, columns));
  }
  return out;
}

std::string term_and_text(const std::string& term, std::string_view text, std::size_t columns) {
  constexpr std::size_t kTerm = 30;
  std::string head = "  " + term;
  if (core::display_width(head) + 2 > kTerm) return head + "\n" + wrap(text, kTerm, columns);
  head += std::string(kTerm - core::display_width(head), ' ');
  return head + wrap(text, kTerm, columns, kTerm);
}

std::string option_term(const Option& option) {
  std::string term = option.letter != 0 ? fmt::format("-{}, ", option.letter) : "    ";
  term += option.long_name();
  if (!option.placeholder.empty()) term += " " + option.placeholder;
  return term;
}

/// Help with everything that the table knows: "... (default 1; in [0,4096] dB; repeatable)".
std::string option_text(const Option& option) {
  const core::Param& param = option.param;
  std::vector<std::string> notes;
  if (option.required) notes.emplace_back("required");
  if (param.type == ParamType::choice) notes.push_back("one of " + core::join(core::split(param.range, '|'), ", "));
  if (param.type != ParamType::choice && !param.range.empty()) {
    notes.push_back("in " + param.range + (param.unit.empty() ? "" : " " + param.unit));
  } else if (!param.unit.empty()) {
    notes.push_back("in " + param.unit);
  }
  if (!param.default_value.empty() && !option.placeholder.empty()) notes.push_back("default " + param.default_value);
  if (option.placeholder.empty() && param.default_value == "true") {
    notes.push_back("on by default; " + option.long_name() + "=false turns it off");
  }
  const bool commas = option.separator == ',' || option.complete == Complete::spec;
  if (option.list) notes.emplace_back(commas ? "repeatable, or separated by commas" : "repeatable");
  return param.help + (notes.empty() ? "" : " (" + core::join(notes, "; ") + ")");
}

std::string argument_text(const Argument& argument) {
  if (argument.choices.empty()) return argument.help;
  return argument.help + " (one of " + core::join(argument.choices, ", ") + ")";
}

std::string argument_term(const Argument& argument) { return argument.name + (argument.most < 0 ? "..." : ""); }

// ---- man page ----

std::string roff(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    line_start = c == '\n';
  }
  return out;
}

std::string roff_paragraphs(std::string_view text) {
  std::string out;
  for (const std::string& paragraph : paragraphs(text)) {
    if (is_verbatim(paragraph)) {
      out += ".PP\n.nf\n" + roff(paragraph) + "\n.fi\n";
    } else {
      out += ".PP\n" + roff(paragraph) + "\n";
    }
  }
  return out;
}

std::string roff_term(std::string_view term, std::string_view text) {
  return fmt::format(".TP\n.B {}\n{}\n", roff(term), roff(text));
}

}  // namespace

std::string help_text(const Command* command, int columns_wanted) {
  const auto columns = static_cast<std::size_t>(std::clamp(columns_wanted, 60, 110));
  std::string out;
  if (command == nullptr) {
    out += wrap(kAbout, 0, columns) + "\nUsage: mssbench COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:\n";
    for (const Command& known : commands()) {
      out += fmt::format("  {:<12}{}\n", known.name, known.summary);
    }
  } else {
    out += fmt::format("mssbench {} - {}\n\nUsage: {}\n", command->name, command->summary, usage_line(*command));
    out += wrap_paragraphs(command->description, columns);
    if (!command->arguments.empty()) out += "\nArguments:\n";
    for (const Argument& argument : command->arguments) {
      out += term_and_text(argument_term(argument), argument_text(argument), columns);
    }
    if (!command->options.empty()) out += "\nOptions:\n";
    for (const Option& option : command->options) {
      out += term_and_text(option_term(option), option_text(option), columns);
    }
  }
  out += "\nOptions of every command:\n";
  for (const Option& option : global_options()) out += term_and_text(option_term(option), option_text(option), columns);
  if (command != nullptr) {
    out += "\nExamples:\n";
    for (const Example& example : command->examples) {
      out += wrap("# " + example.says, 2, columns) + "  " + example.command + "\n";
    }
  } else {
    out += "\nExit status:\n";
    for (const auto& [status, meaning] : exit_statuses()) out += fmt::format("  {:<5}{}\n", status, meaning);
    out += "\n" + wrap(kSpecs, 0, columns) + "\n" + wrap(kDatasets, 0, columns);
    out += "\nExamples:\n  mssbench demo\n  mssbench COMMAND --help    # every command's help has examples\n";
    if (const std::string folder = documentation_folder(); !folder.empty()) {
      out += "\nDocumentation (README.md, docs/): " + folder + "\n";
    }
  }
  return out;
}

std::string markdown_page() {
  const auto cell = [](std::string text) {
    std::string out;
    for (const char c : text) {
      if (c == '|') out += '\\';
      out += c;
    }
    return out;
  };
  const auto option_table = [&](const std::vector<Option>& options, const Command* command) {
    std::string table = "| option | meaning | settings key | environment |\n|---|---|---|---|\n";
    for (const Option& option : options) {
      const std::string key = (command != nullptr ? command->name + "." : "") + option.param.name;
      table += fmt::format("| `{}` | {} | {} | {} |\n", cell(std::string(core::trim(option_term(option)))),
                           cell(option_text(option)), option.setting ? "`" + key + "`" : "",
                           option.setting ? "`" + environment_name(command, option) + "`" : "");
    }
    return table;
  };
  std::string out =
      "<!-- Made by `mssbench man --markdown`; change the tables in cli, not this file. -->\n"
      "# The command line\n\n";
  out += fmt::format("{}\n\n{}\n\n{}\n\n", kAbout, kSpecs, kDatasets);
  out +=
      "Results go to standard output, messages and progress to standard error. An error names the place, what was "
      "expected, what was found, and what to do:\n\n"
      "```\nmssbench: error: song.wav: truncated\n  expected: 441000 samples\n  found: 300000\n```\n\n";
  out += "| command | does |\n|---|---|\n";
  for (const Command& command : commands()) {
    out += fmt::format("| [`{0}`](#{0}) | {1} |\n", command.name, cell(command.summary));
  }
  for (const Command& command : commands()) {
    out += fmt::format("\n## {}\n\n```\n{}\n```\n\n", command.name, usage_line(command));
    for (const std::string& paragraph : paragraphs(command.description)) {
      out += is_verbatim(paragraph) ? "```\n" + paragraph + "\n```\n\n" : paragraph + "\n\n";
    }
    if (!command.arguments.empty()) {
      out += "| argument | meaning |\n|---|---|\n";
      for (const Argument& argument : command.arguments) {
        out += fmt::format("| `{}` | {} |\n", cell(argument_term(argument)), cell(argument_text(argument)));
      }
      out += "\n";
    }
    if (!command.options.empty()) out += option_table(command.options, &command) + "\n";
    out += "```sh\n";
    for (const Example& example : command.examples) out += fmt::format("# {}\n{}\n", example.says, example.command);
    out += "```\n";
  }
  out += "\n## Options of every command\n\n" + option_table(global_options(), nullptr);
  out += fmt::format("\n## Settings\n\n{}\n\n", kSettings);
  out +=
      "```toml\nthreads = 2\n\n[separate]\nformat = \"pcm16\"\n\n[run]\nmethods = [\"mixture\", \"nmf@cc0\"]\n```\n\n";
  out += "| variable | meaning |\n|---|---|\n";
  for (const auto& [name, meaning] : environment_variables())
    out += fmt::format("| `{}` | {} |\n", name, cell(meaning));
  out += "\n## Exit status\n\n| status | meaning |\n|---|---|\n";
  for (const auto& [status, meaning] : exit_statuses()) out += fmt::format("| {} | {} |\n", status, meaning);
  return out;
}

std::string man_page() {
  std::string out = fmt::format(".TH MSSBENCH 1 \"\" \"mssbench {}\" \"User Commands\"\n", core::version());
  out += ".SH NAME\nmssbench \\- compare music source separation methods\n";
  out += ".SH SYNOPSIS\n.B mssbench\n.I COMMAND\n[\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]\n";
  out += ".SH DESCRIPTION\n" + roff(kAbout) + "\n.PP\n" + roff(kSpecs) + "\n.PP\n" + roff(kDatasets) + "\n";
  out += ".SH COMMANDS\n";
  for (const Command& command : commands()) {
    out += fmt::format(".SS {}\n.B {}\n", roff(command.name + " - " + command.summary), roff(usage_line(command)));
    out += roff_paragraphs(command.description);
    for (const Argument& argument : command.arguments) {
      out += roff_term(argument_term(argument), argument_text(argument));
    }
    for (const Option& option : command.options) {
      out += roff_term(core::trim(option_term(option)), option_text(option));
    }
    out += ".PP\nExamples:\n.PP\n.nf\n";
    for (const Example& example : command.examples) {
      out += roff("  # " + example.says + "\n  " + example.command) + "\n";
    }
    out += ".fi\n";
  }
  out += ".SH OPTIONS\nOf every command:\n";
  for (const Option& option : global_options()) out += roff_term(core::trim(option_term(option)), option_text(option));
  out += ".SH SETTINGS\n" + roff(kSettings) + "\n.SH ENVIRONMENT\n";
  for (const auto& [name, meaning] : environment_variables()) out += roff_term(name, meaning);
  out += ".SH EXIT STATUS\n";
  for (const auto& [status, meaning] : exit_statuses()) out += roff_term(std::to_string(status), meaning);
  out += ".SH FILES\n" + roff_term("~/.config/mssbench/config.toml", "The user's own settings.");
  return out;
}

}  // namespace mss::cli
