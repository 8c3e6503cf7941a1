// What a command gets when it runs.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/settings.h"
#include "core/stop.h"

namespace mss::cli {

class Invocation {
 public:
  const Command* command = nullptr;
  std::vector<std::string> arguments;
  const Settings* settings = nullptr;
  const std::vector<Layer>* layers = nullptr;
  const ParsedLine* line = nullptr;
  Console* console = nullptr;
  core::StopToken stop;
  std::string command_line;  ///< as typed, quoted for a shell

  int threads() const { return static_cast<int>(settings->integer("threads")); }
  std::uint64_t seed() const { return static_cast<std::uint64_t>(settings->integer("seed")); }
  bool json() const { return settings->flag("json"); }
};

/// The whole program: parse, set up, run, map errors to exit statuses.
int run_program(int argc, const char* const* argv);

}  // namespace mss::cli
