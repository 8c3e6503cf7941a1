// mssbench config: every setting with its value and where it comes from.
#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/invocation.h"
#include "core/json.h"

namespace mss::cli {
namespace {

using core::Value;

std::string toml_text(const Value& value) {
  // JSON's scalars and arrays of them are TOML as well.
  if (!value.is_array()) return core::dump_json(value);
  std::string out = "[";
  for (const Value& element : value.as_array()) out += (out.size() > 1 ? ", " : "") + core::dump_json(element);
  return out + "]";
}

int run_config(Invocation& invocation) {
  Value list = Value::array();
  std::string text;
  const auto add = [&](const Command* command) {
    const Settings settings(command, *invocation.layers, *invocation.line);
    std::string section;
    for (const Setting& setting : settings.all()) {
      const Option& option = *setting.option;
      const bool global = find_option(nullptr, option.param.name) == &option;
      if (!option.setting || global != (command == nullptr)) continue;
      const Value value = Settings::value(setting);
      Value entry = Value::object();
      entry["key"] = (command != nullptr ? command->name + "." : "") + option.param.name;
      entry["value"] = value;
      entry["origin"] = origin_name(setting.origin);
      entry["place"] = setting.place.empty() ? Value() : Value(setting.place);
      list.push_back(std::move(entry));
      const std::string origin =
          std::string(origin_name(setting.origin)) + (setting.place.empty() ? "" : " " + setting.place);
      const bool has_value = setting.is_set();
      const std::string assignment = option.param.name + " = " + (has_value ? toml_text(value) : std::string());
      section += has_value ? fmt::format("{:<40} # {}\n", assignment, origin)
                           : fmt::format("{:<40} # not set\n", "# " + option.param.name + " =");
    }
    if (section.empty()) return;
    if (command != nullptr) text += "\n[" + command->name + "]\n";
    text += section;
  };
  add(nullptr);
  for (const Command& command : commands()) add(&command);
  invocation.console->result(invocation.json()
                                 ? core::dump_json(list, 2) + "\n"
                                 : "# Settings of mssbench with their origin; a settings file itself.\n" + text);
  return kOk;
}

}  // namespace

Command config_command() {
  return {
      .name = "config",
      .summary = "print all settings with their origin",
      .description =
          "Prints the resolved value of every setting and where it comes from: default, preset, file, env or cli. "
          "The output is a settings file itself.\n\n"
          "Weakest first: built-in default, preset (--preset or MSSBENCH_PRESET), settings files (MSSBENCH_CONFIG, "
          "else ~/.config/mssbench/config.toml; then --config in order), environment, command line.",
      .arguments = {{.name = "dump",
                     .help = "Print the settings, which is what happens without it as well.",
                     .least = 0,
                     .most = 1,
                     .complete = Complete::choice,
                     .choices = {"dump"}}},
      .options = {},
      .examples = {{"mssbench config", "what holds here and now"},
                   {"mssbench config --preset museval --set run.limit=3", "the effect of a preset and of one setting"},
                   {"mssbench config dump > settings.toml", "a file to start from"}},
      .run = run_config};
}

}  // namespace mss::cli
