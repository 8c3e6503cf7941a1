#include "core/toml.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cstdint>
#include <vector>

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

constexpr std::size_t kMostLevels = 100;

/// The parser and the trees it makes recurse once per level, and dotted keys and table headers make as many levels as
/// they have dots. So levels are counted before parsing, by a lexer that only knows strings, comments and brackets; it
/// may count a dot too many (in a number), never one too few.
void require_shallow(std::string_view text, std::string_view name) {
  std::size_t line = 1, header = 0, inside = 0, dots = 0;
  std::vector<std::size_t> open;  // levels that each open bracket of a value added
  bool line_start = true, in_header = false;
  const auto skip_string = [&](std::size_t i) {
    const char quote = text[i];
    const std::string_view three = text.substr(i, 3);
    const bool multi = three.size() == 3 && three[1] == quote && three[2] == quote;
    for (i += multi ? 3 : 1; i < text.size(); ++i) {
      if (text[i] == '\\' && quote == '"') {
        ++i;
      } else if (text[i] == '\n') {
        ++line;
        if (!multi) return i - 1;  // an error that the parser reports
      } else if (text[i] == quote && (!multi || text.substr(i, 3) == three)) {
        i += multi ? 2 : 0;
        while (multi && i + 1 < text.size() && text[i + 1] == quote) ++i;  // up to two quotes belong to the content
        return i;
      }
    }
    return text.size();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      i = skip_string(i);
      line_start = false;
    } else if (c == '#') {
      while (i + 1 < text.size() && text[i + 1] != '\n') ++i;
    } else if (c == '\n') {
      ++line;
      if (in_header) header = dots + 1;
      if (open.empty()) dots = 0;
      in_header = false;
      line_start = true;
    } else if (c == '[' && open.empty() && line_start) {
      in_header = true;
      header = dots = 0;
      while (i + 1 < text.size() && text[i + 1] == '[') ++i;
      line_start = false;
    } else if (!in_header && (c == '[' || c == '{')) {
      open.push_back(dots + 1);
      inside += dots + 1;
      dots = 0;
    } else if (!in_header && (c == ']' || c == '}') && !open.empty()) {
      inside -= open.back();
      open.pop_back();
      dots = 0;
    } else if (c == ',') {
      dots = 0;
    } else if (c == '.') {
      ++dots;
    } else if (c != ' ' && c != '\t' && c != '\r') {
      line_start = false;
    }
    if (header + inside + dots > kMostLevels) {
      throw Error({Code::config, std::string(name) + ":" + std::to_string(line), "nested too deeply",
                   "at most " + std::to_string(kMostLevels) + " levels of tables, keys and arrays", "more", ""});
    }
  }
}

}  // namespace

Value parse_toml(std::string_view text, std::string_view name) {
  require_shallow(text, name);
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

Value read_toml_file(const std::filesystem::path& path) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{16} << 20;  // the parser takes some hundred bytes per character
  return parse_toml(read_text_file(path, kMostBytes), path.string());
}

}  // namespace mss::core
