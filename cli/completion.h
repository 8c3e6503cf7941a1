// Completion scripts for shells, from the tables of command.h and the registry of methods.
#pragma once

#include <string>

namespace mss::cli {

/// A self-contained bash script; needs no bash-completion package and does not call the program.
std::string bash_completion();
/// For `compdef` or a folder of fpath: commands, options with their texts, and values.
std::string zsh_completion();
std::string fish_completion();

}  // namespace mss::cli
