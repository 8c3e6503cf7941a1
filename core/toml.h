// TOML text -> Value (toml++ inside). Dates and times are refused: no setting of ours is one.
#pragma once

#include <filesystem>
#include <string_view>

#include "core/value.h"

namespace mss::core {

/// Throws Error(config) with `name`, line and column. More than 100 levels of tables, dotted keys and arrays are an
/// error, and so are files beyond 16 MiB.
Value parse_toml(std::string_view text, std::string_view name);
Value read_toml_file(const std::filesystem::path& path);

}  // namespace mss::core
