// Spec strings: the one name of a configuration, used by the command line, plans, caches, records and tables.
//
//   SPEC   = METHOD [ "|" FILTER ]*
//   METHOD = NAME [ "@" PRESET ] [ ":" KEY "=" VALUE ( "," KEY "=" VALUE )* ]     FILTER has the same form
//   NAME, PRESET, KEY = [a-z0-9][a-z0-9._-]*
//   VALUE = characters other than , : | @ " = and white space, or a double-quoted string with \" and \\ escapes
//
// parse and print are exact inverses: print(parse(t)) is t for every canonical t, and parse(print(s)) == s for every
// Spec s whose names and keys follow the grammar. Parsing takes white space around | : , = @ and at both ends and drops
// it (white space is the six ASCII characters, whatever the locale); printing puts quotes exactly where a value needs
// them: where it is empty or holds one of , : | @ " = or white space. A backslash is an ordinary character outside
// quotes.
//
// Thread-safety: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/params.h"

namespace mss::core {

struct SpecPart {
  std::string name;
  std::string preset;   ///< empty = none
  ParamText arguments;  ///< in the order given
  friend bool operator==(const SpecPart&, const SpecPart&) = default;
};

struct Spec {
  SpecPart method;
  std::vector<SpecPart> filters;
  friend bool operator==(const Spec&, const Spec&) = default;
};

/// Throws Error(config) whose message shows the text with a caret under the fault, its column (counted in code points
/// from 1), what was expected there and what was found. Names are not looked up here (registry.h does that).
Spec parse_spec(std::string_view text);
/// "mixture,nmf:components=2,alpha=2,irm2" as its three specs: a comma that no parameter follows (KEY=) stands between two
/// of them, outside of quotes. A text without such a comma is one spec, whatever else is wrong with it; parts are trimmed,
/// empty ones left out.
std::vector<std::string> split_specs(std::string_view text);
/// Throws Error(invalid_argument) for a name, preset or key outside the grammar.
std::string to_string(const SpecPart& part);
std::string to_string(const Spec& spec);

/// File-system name of a spec: its safe characters ([A-Za-z0-9._=-], others become '_', at most 80) + '-' + 8
/// hexadecimal digits: the low 32 bits of FNV-1a 64 of the whole spec string. Never empty, never starts with a dot.
std::string spec_slug(std::string_view spec);

}  // namespace mss::core
