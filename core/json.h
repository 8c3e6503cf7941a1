// JSON text <-> Value. Written numbers: integers as such; reals in the shortest form that reads back to the same
// double, with ".0" where it would look like an integer; NaN and infinities become null (strict JSON).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/value.h"

namespace mss::core {

struct JsonReadOptions {
  bool allow_nan_tokens = false;  ///< accept bare NaN, Infinity, -Infinity (museval writes them)
};

/// Throws Error(format) with `name`, line and column. Duplicate keys, trailing text and depth above 256 are errors.
Value parse_json(std::string_view text, std::string_view name, JsonReadOptions options = {});
Value read_json_file(const std::filesystem::path& path, JsonReadOptions options = {});

/// indent < 0: one line without spaces after separators; else pretty-printed.
std::string dump_json(const Value& value, int indent = -1);

/// Shortest decimal text that reads back to the same double ("0.1", "1e-07", "3"); "nan", "inf", "-inf".
std::string format_real(double value);

}  // namespace mss::core
