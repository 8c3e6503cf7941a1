// mssbench methods: what there is, and the parameters of each.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "cli/commands/commands.h"
#include "cli/invocation.h"
#include "cli/table.h"
#include "core/json.h"
#include "core/text.h"
#include "harness/builtin_methods.h"
#include "methods/registry.h"

namespace mss::cli {
namespace {

using core::Value;

std::string_view type_name(core::ParamType type) {
  switch (type) {
    case core::ParamType::boolean:
      return "boolean";
    case core::ParamType::integer:
      return "integer";
    case core::ParamType::real:
      return "real";
    case core::ParamType::choice:
      return "choice";
    case core::ParamType::file:
      return "file";
    case core::ParamType::text:
      return "text";
  }
  return "text";
}

Value params_value(const core::ParamTable& params) {
  Value out = Value::array();
  for (const core::Param& param : params) {
    Value entry = Value::object();
    entry["name"] = param.name;
    entry["type"] = type_name(param.type);
    entry["default"] = param.default_value.empty() ? Value() : Value(param.default_value);
    entry["range"] = param.range.empty() ? Value() : Value(param.range);
    entry["unit"] = param.unit.empty() ? Value() : Value(param.unit);
    entry["help"] = param.help;
    entry["source"] = param.source.empty() ? Value() : Value(param.source);
    out.push_back(std::move(entry));
  }
  return out;
}

/// Filters that a preset brings along, as spec text; empty where it brings none.
std::string preset_filters(const methods::MethodEntry& entry, const std::string& preset) {
  for (const auto& [name, filters] : entry.preset_filters) {
    if (name == preset) return filters;
  }
  return {};
}

struct Example {
  const char* length;
  int minutes;
};
constexpr Example kExamples[] = {{"2 minutes", 2}, {"20 minutes", 20}};

/// What the method needs with its defaults for stereo at 44.1 kHz; nothing where it cannot be made without files.
std::optional<methods::MemoryNeed> memory_for(const methods::MethodEntry& entry, int minutes) {
  try {
    const auto separator = harness::builtin_methods().make(entry.name);
    return methods::memory_need(separator->info(), std::int64_t{60} * minutes * 44100, 2, 44100);
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string memory_text(const methods::MethodEntry& entry) {
  std::vector<std::string> parts;
  for (const Example& example : kExamples) {
    const auto need = memory_for(entry, example.minutes);
    if (!need) return "";
    std::string part = fmt::format("{:.2f} GB for {}", static_cast<double>(need->fixed_bytes + need->call_bytes) * 1e-9,
                                   example.length);
    if (need->file_bytes > 0)
      part += fmt::format(" and {:.2f} GB of temporary file", static_cast<double>(need->file_bytes) * 1e-9);
    parts.push_back(part);
  }
  return "Memory (stereo at 44.1 kHz, defaults): " + core::join(parts, ", ") + ".\n";
}

Value method_value(const methods::MethodEntry& entry) {
  Value out = Value::object();
  out["name"] = entry.name;
  out["kind"] = "method";
  out["family"] = entry.family;
  out["summary"] = entry.summary;
  out["available"] = entry.unavailable.empty();
  out["unavailable"] = entry.unavailable.empty() ? Value() : Value(entry.unavailable);
  out["presets"] = Value::array();
  for (const auto& [name, values] : entry.presets) {
    Value preset = Value::object();
    preset["name"] = name;
    preset["values"] = Value::object();
    for (const auto& [key, text] : values) preset["values"][key] = text;
    preset["filters"] = preset_filters(entry, name);
    out["presets"].push_back(std::move(preset));
  }
  out["parameters"] = params_value(entry.params);
  out["memory"] = Value::array();
  for (const Example& example : kExamples) {
    const auto need = memory_for(entry, example.minutes);
    if (!need) continue;
    Value one = Value::object();
    one["minutes"] = example.minutes;
    one["bytes"] = need->fixed_bytes + need->call_bytes;
    one["file_bytes"] = need->file_bytes;
    out["memory"].push_back(std::move(one));
  }
  return out;
}

Value filter_value(const methods::FilterEntry& entry) {
  Value out = Value::object();
  out["name"] = entry.name;
  out["kind"] = "filter";
  out["summary"] = entry.summary;
  out["available"] = true;
  out["parameters"] = params_value(entry.params);
  return out;
}

std::string params_text(const core::ParamTable& params) {
  if (params.empty()) return "No parameters.\n";
  TextTable table({"parameter", "type", "default", "range", "meaning"});
  for (const core::Param& param : params) {
    std::string range = param.type == core::ParamType::choice
                            ? core::join(core::split(param.range, '|'), ", ")
                            : param.range + (param.unit.empty() ? "" : (param.range.empty() ? "" : " ") + param.unit);
    table.add({param.name, std::string(type_name(param.type)), param.default_value.empty() ? "-" : param.default_value,
               range.empty() ? "-" : range, param.help + (param.source.empty() ? "" : " [" + param.source + "]")});
  }
  return table.text(Console::columns());
}

std::string one_method(const methods::MethodEntry& entry) {
  std::string out = fmt::format("{} ({}): {}\n", entry.name, entry.family, entry.summary);
  if (!entry.unavailable.empty()) out += "Not available: " + entry.unavailable + "\n";
  for (const auto& [name, values] : entry.presets) {
    std::vector<std::string> texts;
    for (const auto& [key, text] : values) texts.push_back(key + "=" + text);
    const std::string filters = preset_filters(entry, name);
    if (!filters.empty()) texts.push_back(fmt::format("followed by |{}", filters));
    out += fmt::format("Preset {}@{}: {}\n", entry.name, name, core::join(texts, ", "));
  }
  out += memory_text(entry);
  return out + "\n" + params_text(entry.params);
}

int run_methods(Invocation& invocation) {
  const methods::Registry& registry = harness::builtin_methods();
  Console& console = *invocation.console;
  if (invocation.arguments.empty()) {
    if (invocation.json()) {
      Value all = Value::array();
      for (const auto& entry : registry.methods()) all.push_back(method_value(entry));
      for (const auto& entry : registry.filters()) all.push_back(filter_value(entry));
      console.result(core::dump_json(all, 2) + "\n");
      return kOk;
    }
    TextTable table({"method", "family", "available", "summary"});
    std::vector<std::pair<std::string, std::vector<std::string>>> reasons;  // reason, methods
    for (const auto& entry : registry.methods()) {
      table.add({entry.name, entry.family, entry.unavailable.empty() ? "yes" : "no", entry.summary});
      if (entry.unavailable.empty()) continue;
      const auto same =
          std::find_if(reasons.begin(), reasons.end(), [&](const auto& r) { return r.first == entry.unavailable; });
      if (same == reasons.end()) {
        reasons.push_back({entry.unavailable, {entry.name}});
      } else {
        same->second.push_back(entry.name);
      }
    }
    std::string out = table.text(Console::columns());
    for (const auto& [reason, names] : reasons) {
      out += fmt::format("\nNot available: {}: {}.\n", core::join(names, ", "), reason);
    }
    if (!registry.filters().empty()) {
      TextTable filters({"filter", "summary"});
      for (const auto& entry : registry.filters()) filters.add({entry.name, entry.summary});
      out += "\n" + filters.text(Console::columns());
    }
    console.result(out);
    return kOk;
  }
  const std::string& name = invocation.arguments.front();
  std::vector<std::string> names;
  for (const auto& entry : registry.methods()) {
    names.push_back(entry.name);
    if (entry.name != name) continue;
    console.result(invocation.json() ? core::dump_json(method_value(entry), 2) + "\n" : one_method(entry));
    return kOk;
  }
  for (const auto& entry : registry.filters()) {
    names.push_back(entry.name);
    if (entry.name != name) continue;
    console.result(invocation.json() ? core::dump_json(filter_value(entry), 2) + "\n"
                                     : entry.name + " (filter): " + entry.summary + "\n\n" + params_text(entry.params));
    return kOk;
  }
  throw Error({Code::config, "mssbench methods", "unknown method '" + name + "'", "one of " + core::join(names, ", "),
               "", core::did_you_mean(name, names)});
}

}  // namespace

Command methods_command() {
  return {
      .name = "methods",
      .summary = "list methods and filters, or the parameters of one",
      .description =
          "Without NAME lists every method with its family (floors are trivial, oracles know the true stems) and, "
          "for those that this build lacks, the reason. With NAME prints its presets and parameters.",
      .arguments = {{.name = "NAME", .help = "Method or filter.", .least = 0, .most = 1, .complete = Complete::method}},
      .options = {},
      .examples = {{"mssbench methods", "all methods"},
                   {"mssbench methods nmf", "parameters of nmf"},
                   {"mssbench methods nmf --json", "the same for a program"}},
      .run = run_methods};
}

}  // namespace mss::cli
