// What several commands on records share.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace mss::cli {

/// One sentence for each method and post-filter, by name, for the page of a report.
std::vector<std::pair<std::string, std::string>> method_summaries();

/// Names of rows from a TOML file, "SPEC" = "NAME"; none for an empty path. Throws Error(config | io).
std::vector<std::pair<std::string, std::string>> read_names(const std::string& file);

}  // namespace mss::cli
