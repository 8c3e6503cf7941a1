#include "cli/settings.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/spec.h"
#include "core/text.h"
#include "core/toml.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using core::ParamType;
using core::Value;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::vector<std::string> setting_keys(const std::vector<Option>& options) {
  std::vector<std::string> keys;
  for (const Option& option : options) {
    if (option.setting) keys.push_back(option.param.name);
  }
  return keys;
}

/// Text of one TOML value of the option's type; `text_is_enough` for sources that have no types.
std::string scalar_text(const Option& option, const Value& value, const std::string& place, bool text_is_enough) {
  const std::string key = place + ": " + option.param.name;
  if (text_is_enough && value.is_string()) return value.as_string();
  switch (option.param.type) {
    case ParamType::boolean:
      return value.as_bool(key) ? "true" : "false";
    case ParamType::integer:
      return std::to_string(value.as_integer(key));
    case ParamType::real:
      return core::format_real(value.as_real(key));
    default:
      return value.as_string(key);
  }
}

std::string canonical_text(const Option& option, const std::string& text, const std::string& place) {
  return core::Params::resolve({option.param}, {{option.param.name, text}}, place).text(option.param.name);
}

std::vector<std::string> split_list(const Option& option, const std::string& text, char separator) {
  if (!option.list) return {text};
  if (option.complete == Complete::spec) {
    std::vector<std::string> out;
    const std::vector<std::string> parts = separator == '\0' ? std::vector{text} : core::split(text, separator);
    for (const std::string& part : parts) {
      for (std::string& spec : core::split_specs(part)) out.push_back(std::move(spec));
    }
    return out;
  }
  if (separator == '\0') return {text};
  std::vector<std::string> out;
  for (const std::string& element : core::split(text, separator)) {
    const std::string_view trimmed = core::trim(element);
    if (!trimmed.empty()) out.emplace_back(trimmed);
  }
  return out;
}

std::vector<std::string> values_from(const Option& option, const Value& value, const Layer& layer) {
  const bool untyped = layer.origin == Origin::environment || layer.origin == Origin::command_line;
  std::vector<std::string> texts;
  if (option.list && value.is_array()) {
    for (const Value& element : value.as_array()) texts.push_back(scalar_text(option, element, layer.place, untyped));
  } else if (untyped) {
    texts = split_list(option, value.as_string(), option.separator);
  } else {
    texts = {scalar_text(option, value, layer.place, false)};
  }
  for (std::string& text : texts) text = canonical_text(option, text, layer.place);
  return texts;
}

void check_layer(const Layer& layer) {
  if (!layer.document.is_object()) {
    throw Error({Code::config, layer.place, "not a settings file", "a table", "", ""});
  }
  std::vector<std::string> keys = setting_keys(global_options());
  for (const Command& command : commands()) {
    if (!setting_keys(command.options).empty()) keys.push_back(command.name);
  }
  core::reject_unknown_keys(layer.document, keys, layer.place);
  for (const Command& command : commands()) {
    const Value* section = layer.document.find(command.name);
    if (section == nullptr) continue;
    const std::string where = layer.place + ": [" + command.name + "]";
    if (!section->is_object()) {
      throw Error({Code::config, where, "wrong type", "a table", std::string(section->type_name()), ""});
    }
    core::reject_unknown_keys(*section, setting_keys(command.options), where);
  }
}

/// "KEY=VALUE" or "COMMAND.KEY=VALUE" as a one-setting document.
Layer set_layer(const std::string& text) {
  Layer layer{Origin::command_line, "--set " + text, Value::object()};
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error({Code::config, "--set", "bad setting", "KEY=VALUE or COMMAND.KEY=VALUE", "'" + text + "'", ""});
  }
  const std::string key = text.substr(0, equals), value = text.substr(equals + 1);
  const std::size_t dot = key.find('.');
  if (dot == std::string::npos) {
    layer.document[key] = value;
  } else {
    layer.document[key.substr(0, dot)][key.substr(dot + 1)] = value;
  }
  return layer;
}

}  // namespace

std::string_view origin_name(Origin origin) noexcept {
  switch (origin) {
    case Origin::builtin:
      return "default";
    case Origin::preset:
      return "preset";
    case Origin::file:
      return "file";
    case Origin::environment:
      return "env";
    case Origin::command_line:
      return "cli";
  }
  return "default";
}

std::vector<Layer> read_layers(const ParsedLine& line) {
  std::vector<Layer> layers;
  std::string preset = environment("MSSBENCH_PRESET");
  if (line.has("preset")) preset = line.options.at("preset").back();
  if (!preset.empty()) {
    std::vector<std::string> names;
    for (const Preset& known : presets()) names.emplace_back(known.name);
    const auto found =
        std::find_if(presets().begin(), presets().end(), [&](const Preset& p) { return p.name == preset; });
    if (found == presets().end()) {
      throw Error({Code::config, "--preset", "unknown preset '" + preset + "'", "one of " + core::join(names, ", "), "",
                   core::did_you_mean(preset, names)});
    }
    const std::string place = "preset " + preset;
    layers.push_back({Origin::preset, place, core::parse_toml(found->text, place)});
  }

  std::vector<fs::path> files;
  if (const std::string listed = environment("MSSBENCH_CONFIG"); !listed.empty()) {
    for (const std::string& name : core::split(listed, ':')) {
      if (!name.empty()) files.emplace_back(name);
    }
  } else {
    fs::path folder = environment("XDG_CONFIG_HOME");
    if (folder.empty() && !environment("HOME").empty()) folder = fs::path(environment("HOME")) / ".config";
    const fs::path own = folder / "mssbench" / "config.toml";
    std::error_code ignored;
    if (!folder.empty() && fs::is_regular_file(own, ignored)) files.push_back(own);
  }
  if (line.has("config")) {
    for (const std::string& name : line.options.at("config")) files.emplace_back(name);
  }
  for (const fs::path& file : files) layers.push_back({Origin::file, file.string(), core::read_toml_file(file)});

  const auto add_variable = [&](const Command* command, const Option& option) {
    const std::string name = environment_name(command, option);
    const char* text = std::getenv(name.c_str());
    if (!option.setting || text == nullptr || *text == '\0') return;
    Layer layer{Origin::environment, name, Value::object()};
    (command == nullptr ? layer.document : layer.document[command->name])[option.param.name] = text;
    layers.push_back(std::move(layer));
  };
  for (const Option& option : global_options()) add_variable(nullptr, option);
  for (const Command& command : commands()) {
    for (const Option& option : command.options) add_variable(&command, option);
  }
  if (line.has("set")) {
    for (const std::string& text : line.options.at("set")) layers.push_back(set_layer(text));
  }
  for (const Layer& layer : layers) check_layer(layer);
  return layers;
}

Settings::Settings(const Command* command, const std::vector<Layer>& layers, const ParsedLine& line) {
  const auto add = [&](const Command* owner, const Option& option) {
    Setting setting;
    setting.option = &option;
    if (!option.param.default_value.empty()) {
      setting.values = split_list(option, option.param.default_value, option.separator);
    }
    for (const Layer& layer : layers) {
      const Value* table = owner == nullptr ? &layer.document : layer.document.find(owner->name);
      const Value* value = table == nullptr ? nullptr : table->find(option.param.name);
      if (value == nullptr || !option.setting) continue;
      setting.values = values_from(option, *value, layer);
      setting.origin = layer.origin;
      setting.place = layer.place;
    }
    const bool typed_here = owner == nullptr || owner == line.command;
    if (typed_here && line.has(option.param.name)) {
      const std::vector<std::string>& given = line.options.at(option.param.name);
      setting.values.clear();
      if (option.list) {
        for (const std::string& text : given) {
          for (const std::string& element : split_list(option, text, option.separator == ',' ? ',' : '\0')) {
            setting.values.push_back(canonical_text(option, element, option.long_name()));
          }
        }
      } else {
        setting.values = {canonical_text(option, given.back(), option.long_name())};
      }
      setting.origin = Origin::command_line;
      setting.place = option.long_name();
    }
    settings_.push_back(std::move(setting));
  };
  if (command != nullptr) {
    for (const Option& option : command->options) add(command, option);
  }
  for (const Option& option : global_options()) add(nullptr, option);
}

const Setting& Settings::at(std::string_view key) const {
  for (const Setting& setting : settings_) {
    if (setting.option->param.name == key) return setting;
  }
  throw Error(Code::internal, "settings", "no setting '" + std::string(key) + "'");
}

bool Settings::flag(std::string_view key) const {
  const Setting& setting = at(key);
  return setting.is_set() && setting.values.front() == "true";
}

std::int64_t Settings::integer(std::string_view key) const {
  const Setting& setting = at(key);
  MSS_ASSERT(setting.is_set());
  return std::stoll(setting.values.front());
}

double Settings::real(std::string_view key) const {
  const Setting& setting = at(key);
  MSS_ASSERT(setting.is_set());
  return value(setting).as_real();
}

const std::string& Settings::text(std::string_view key) const {
  static const std::string empty;
  const Setting& setting = at(key);
  return setting.is_set() ? setting.values.front() : empty;
}

Value Settings::value(const Setting& setting) {
  const auto typed = [&](const std::string& text) -> Value {
    const std::string& name = setting.option->param.name;
    return core::Params::resolve({setting.option->param}, {{name, text}}, setting.place).resolved().at(name);
  };
  if (setting.option->list) {
    Value array = Value::array();
    for (const std::string& text : setting.values) array.push_back(typed(text));
    return array;
  }
  return setting.is_set() ? typed(setting.values.front()) : Value();
}

}  // namespace mss::cli
