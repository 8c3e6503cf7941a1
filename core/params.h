// Parameters declared once: one table per method, filter or command gives validation, defaults, help text,
// docs/parameters.md and shell completion. Values travel as text (spec strings, TOML, command line) and are resolved
// against the table.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/value.h"

namespace mss::core {

enum class ParamType { boolean, integer, real, text, choice, file };

struct Param {
  std::string name{};
  ParamType type = ParamType::text;
  std::string default_value{};  ///< as text; empty = no default (optional parameter)
  std::string unit{};           ///< "samples", "Hz", "dB", … or empty
  std::string range{};          ///< integer/real: "[1,inf)", "(0,1]"; choice: "a|b|c"; else empty
  std::string help{};           ///< one sentence
  std::string source{};         ///< paper or reference implementation, or empty
};

using ParamTable = std::vector<Param>;
using ParamText = std::vector<std::pair<std::string, std::string>>;  ///< name, value as given

/// The values of one table after resolution. Canonical text of a value: booleans true/false, integers and reals in
/// their shortest form, choices and text as they are.
class Params {
 public:
  Params() = default;
  /// Throws Error(config) naming `where`, the parameter, the range and the value; unknown names come with the nearest
  /// known one as hint; duplicates are errors.
  static Params resolve(const ParamTable& table, const ParamText& given, std::string_view where);

  bool boolean(std::string_view name) const;
  std::int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;
  const std::string& text(std::string_view name) const;  ///< text, choice, file; empty when not set
  bool is_set(std::string_view name) const;              ///< given, or has a default
  bool is_given(std::string_view name) const;

  /// Given values that differ from their default, in table order, in canonical text: what a spec string prints.
  ParamText non_default() const;
  /// All values, as an object in table order (for records).
  Value resolved() const;

 private:
  struct Entry {
    Param param;
    std::string value;
    bool set = false, given = false;
  };
  const Entry& entry(std::string_view name) const;
  std::vector<Entry> entries_;
};

}  // namespace mss::core
