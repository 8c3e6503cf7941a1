// What this build of the program is.
#pragma once

#include <string>

#include "core/value.h"

namespace mss::cli {

/// Text of --version: version, revision, compiler, instruction set, features, libraries, threads.
std::string version_text();
core::Value version_value();
/// The folder with the README and docs/ that belong to this program, installed or in its source tree; empty: none found.
std::string documentation_folder();

}  // namespace mss::cli
