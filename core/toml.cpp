#include "core/toml.h"

#include <toml++/toml.h>

#include <algorithm>

#include "core/error.h"
#include "core/file.h"

namespace mss::core {
namespace {

Value convert(const toml::node& node, std::string_view name) {
  if (const auto* table = node.as_table()) {
    // toml++ keeps tables sorted by key; source order is what users wrote and expect to see again.
    std::vector<std::pair<toml::source_position, std::string>> order;
    for (const auto& [key, unused] : *table) order.emplace_back(key.source().begin, std::string(key.str()));
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    Value out = Value::object();
    for (const auto& [unused, key] : order) out[key] = convert(*table->get(key), name);
    return out;
  }
  if (const auto* list = node.as_array()) {
    Value out = Value::array();
    for (const auto& item : *list) out.push_back(convert(item, name));
    return out;
  }
  if (const auto* s = node.as_string()) return Value(s->get());
  if (const auto* i = node.as_integer()) return Value(i->get());
  if (const auto* d = node.as_floating_point()) return Value(d->get());
  if (const auto* b = node.as_boolean()) return Value(b->get());
  throw Error({Code::config,
               std::string(name) + ":" + std::to_string(node.source().begin.line) + ":" +
                   std::to_string(node.source().begin.column),
               "dates and times are no settings of ours", "a string, number, boolean, array or table", "a date or time",
               ""});
}

}  // namespace

Value parse_toml(std::string_view text, std::string_view name) {
  try {
    const toml::table table = toml::parse(text, name);
    return convert(table, name);
  } catch (const toml::parse_error& e) {
    throw Error(
        Code::config,
        std::string(name) + ":" + std::to_string(e.source().begin.line) + ":" + std::to_string(e.source().begin.column),
        "not TOML: " + std::string(e.description()));
  }
}

Value read_toml_file(const std::filesystem::path& path) { return parse_toml(read_text_file(path), path.string()); }

}  // namespace mss::core
