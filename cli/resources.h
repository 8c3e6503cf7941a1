// Files of configs/ that are built into the program.
#pragma once

#include <string_view>

namespace mss::cli {

/// Text of configs/plans/demo.toml.
std::string_view demo_plan_text();

}  // namespace mss::cli
