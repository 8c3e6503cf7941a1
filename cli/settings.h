// Settings with their origin. Precedence, weakest first: built-in default, preset, settings files in order,
// environment, command line.
//
// A settings file is TOML: keys of global options at the top, the options of a command in a table of its name. The
// files are those of the environment variable MSSBENCH_CONFIG (separated by ':'), else the user's own
// ($XDG_CONFIG_HOME or ~/.config)/mssbench/config.toml if there is one, then those of --config. Presets are files of
// the same form that are built in (configs/presets).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/parser.h"
#include "core/value.h"

namespace mss::cli {

enum class Origin { builtin, preset, file, environment, command_line };
std::string_view origin_name(Origin origin) noexcept;  ///< "default", "preset", "file", "env", "cli"

struct Setting {
  const Option* option = nullptr;
  std::vector<std::string> values;  ///< one, or the elements of a list; none = not set
  Origin origin = Origin::builtin;
  std::string place;  ///< file, variable or option that set it; empty for defaults
  bool is_set() const noexcept { return !values.empty(); }
};

/// One source of values, checked against the tables.
struct Layer {
  Origin origin = Origin::builtin;
  std::string place;
  core::Value document;  ///< as a settings file
};

/// A preset that is built in: name and TOML text.
struct Preset {
  std::string_view name, text;
};
const std::vector<Preset>& presets();

/// All layers below the command line, in order of precedence. Throws Error(config) for unknown keys and names.
std::vector<Layer> read_layers(const ParsedLine& line);

class Settings {
 public:
  /// Settings of `command` (null: global options only). Throws Error(config) naming the place and what is expected.
  Settings(const Command* command, const std::vector<Layer>& layers, const ParsedLine& line);

  const Setting& at(std::string_view key) const;
  const std::vector<Setting>& all() const noexcept { return settings_; }

  bool is_set(std::string_view key) const { return at(key).is_set(); }
  bool flag(std::string_view key) const;
  std::int64_t integer(std::string_view key) const;
  double real(std::string_view key) const;
  const std::string& text(std::string_view key) const;  ///< empty when not set
  const std::vector<std::string>& list(std::string_view key) const { return at(key).values; }
  /// The value with its type: array for lists, null when not set.
  static core::Value value(const Setting& setting);

 private:
  std::vector<Setting> settings_;
};

}  // namespace mss::cli
