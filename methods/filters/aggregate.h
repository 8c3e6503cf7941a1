// The post-filter `aggregate` (register.h has its parameters).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "methods/registry.h"

namespace mss::methods::filters {

/// One stem that comes out: a name and the stems that it is the sum of; an empty name stands for `*`.
struct AggregateTerm {
  std::string name;
  std::vector<std::string> stems;
};

/// Throws Error(config), naming `where`, for text outside the grammar, and for names that come twice.
std::vector<AggregateTerm> parse_aggregate(std::string_view text, std::string_view where);

void add_aggregate(methods::Registry& registry);

}  // namespace mss::methods::filters
