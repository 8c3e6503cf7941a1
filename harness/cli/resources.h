// Files of configs/ that are built into the program.
#pragma once

#include <string_view>

namespace mss::harness::cli {

/// Text of configs/plans/demo.toml.
std::string_view demo_plan_text();

}  // namespace mss::harness::cli
