// The command line, taken apart along the tables (CLI11 inside parser.cpp).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/command.h"

namespace mss::cli {

struct ParsedLine {
  const Command* command = nullptr;                         ///< null: none was given
  std::map<std::string, std::vector<std::string>> options;  ///< key -> values, in the order given
  std::vector<std::string> arguments;
  bool has(const std::string& key) const { return options.count(key) > 0; }
};

/// Throws Error(config): unknown command or option (with the nearest), an option without its value, too many or too few
/// arguments (unless help is asked for).
ParsedLine parse_line(int argc, const char* const* argv);

}  // namespace mss::cli
