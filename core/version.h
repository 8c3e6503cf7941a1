// Version and build facts; the values are generated at build time (cmake/version.cmake).
#pragma once

#include <string>
#include <vector>

namespace mss::core {

std::string version();       ///< "0.1.0"
std::string git_revision();  ///< 12 digits, "+dirty" appended for a modified tree, "unknown" outside git
std::string compiler();      ///< "GNU 12.2.0"
std::string build_type();    ///< "Release"

}  // namespace mss::core
