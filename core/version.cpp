#include "core/version.h"

#include "core/version_values.h"

namespace mss::core {

std::string version() { return MSS_VERSION; }
std::string git_revision() { return MSS_REVISION; }
std::string compiler() { return MSS_COMPILER; }
std::string build_type() { return MSS_BUILD_TYPE; }

}  // namespace mss::core
