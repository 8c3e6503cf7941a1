// Options of several commands that are read by the rules of a plan (harness/plan.h): the choice of data set and tracks.
#pragma once

#include <string_view>

#include "cli/settings.h"
#include "core/params.h"
#include "harness/plan.h"

namespace mss::cli {

/// The plan's own description of an option. Throws Error(internal) for an unknown name.
core::Param plan_param(std::string_view name);

/// Data set and tracks as the settings of `command` choose them: dataset, layout, subset, split, tracks, limit.
harness::Plan selection_plan(const Settings& settings, std::string_view command);

}  // namespace mss::cli
