// Spec strings: the one name of a configuration, used by the command line, plans, caches, records and tables.
//
//   SPEC   = METHOD [ "|" FILTER ]*
//   METHOD = NAME [ "@" PRESET ] [ ":" KEY "=" VALUE ( "," KEY "=" VALUE )* ]     FILTER has the same form
//   NAME, PRESET, KEY = [a-z0-9][a-z0-9._-]*
//   VALUE = characters other than , : | @ " = and white space, or a double-quoted string with \" and \\ escapes
//
// parse and print are exact inverses: print(parse(t)) is t for every canonical t, and parse(print(s)) == s for every
// Spec s. Parsing takes white space around | : , = and drops it; printing puts quotes exactly where a value needs them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/params.h"

namespace mss::methods {

struct SpecPart {
  std::string name;
  std::string preset;         ///< empty = none
  core::ParamText arguments;  ///< in the order given
  friend bool operator==(const SpecPart&, const SpecPart&) = default;
};

struct Spec {
  SpecPart method;
  std::vector<SpecPart> filters;
  friend bool operator==(const Spec&, const Spec&) = default;
};

/// Throws Error(config) whose message shows the text with the column of the fault.
Spec parse_spec(std::string_view text);
std::string to_string(const SpecPart& part);
std::string to_string(const Spec& spec);

/// File-system name of a spec: its safe characters ([A-Za-z0-9._=-], others become '_', at most 80) + '-' + 8
/// hexadecimal digits of FNV-1a 64 of the whole spec string.
std::string spec_slug(std::string_view spec);

}  // namespace mss::methods
