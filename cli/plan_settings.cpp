#include "cli/plan_settings.h"

#include <string>
#include <utility>

#include "core/error.h"
#include "core/value.h"

namespace mss::cli {

core::Param plan_param(std::string_view name) {
  for (const core::Param& param : harness::plan_params()) {
    if (param.name == name) return param;
  }
  throw Error(Code::internal, "plan", "no parameter '" + std::string(name) + "'");
}

harness::Plan selection_plan(const Settings& settings, std::string_view command) {
  core::Value run = core::Value::object();
  for (const char* key : {"dataset", "layout", "subset", "split", "tracks", "limit"}) {
    const Setting& setting = settings.at(key);
    if (setting.is_set()) run[key] = Settings::value(setting);
  }
  core::Value document = core::Value::object();
  document["run"] = std::move(run);
  return harness::plan_from_value(document, std::string(command), {});
}

}  // namespace mss::cli
