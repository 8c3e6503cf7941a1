// Help text, docs/cli.md and the man page, all from the tables of command.h.
#pragma once

#include <string>

#include "cli/command.h"

namespace mss::cli {

/// `command` null: the program's own help.
std::string help_text(const Command* command, int columns);
std::string markdown_page();
/// mssbench(1) in man(7) macros.
std::string man_page();

}  // namespace mss::cli
