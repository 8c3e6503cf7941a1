#include "core/params.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"

namespace mss::core {
namespace {

struct Interval {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool low_open = true, high_open = true;
  bool holds(double x) const { return (low_open ? x > low : x >= low) && (high_open ? x < high : x <= high); }
};

double parse_bound(std::string_view text) {
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  MSS_ASSERT(result.ec == std::errc() && result.ptr == text.data() + text.size());
  return value;
}

Interval parse_interval(std::string_view range) {
  if (range.empty()) return {};
  MSS_ASSERT(range.size() >= 5 && (range.front() == '[' || range.front() == '(') &&
             (range.back() == ']' || range.back() == ')'));
  const std::size_t comma = range.find(',');
  MSS_ASSERT(comma != std::string_view::npos);
  Interval out;
  out.low_open = range.front() == '(';
  out.high_open = range.back() == ')';
  out.low = parse_bound(trim(range.substr(1, comma - 1)));
  out.high = parse_bound(trim(range.substr(comma + 1, range.size() - comma - 2)));
  if (std::isinf(out.high) && out.high > 0) out.high_open = true;
  return out;
}

/// Canonical text of `value` for `param`; throws with the name and what would be right.
std::string canonical(const Param& param, const std::string& value, std::string_view where) {
  const auto fail = [&](const std::string& expected, const std::string& hint = {}) {
    throw Error({Code::config, std::string(where), "bad value of '" + param.name + "'",
                 expected + (param.unit.empty() ? "" : " " + param.unit), "'" + value + "'", hint});
  };
  const char* begin = value.data();
  const char* end = begin + value.size();
  switch (param.type) {
    case ParamType::boolean: {
      const std::string low = to_lower(value);
      if (low == "true" || low == "1" || low == "yes" || low == "on") return "true";
      if (low == "false" || low == "0" || low == "no" || low == "off") return "false";
      fail("true or false");
      break;
    }
    case ParamType::integer: {
      std::int64_t number = 0;
      const auto result = std::from_chars(begin, end, number);
      const std::string expected = "an integer" + (param.range.empty() ? "" : " in " + param.range);
      if (value.empty() || result.ec != std::errc() || result.ptr != end) fail(expected);
      if (!parse_interval(param.range).holds(static_cast<double>(number))) fail(expected);
      return std::to_string(number);
    }
    case ParamType::real: {
      double number = 0;
      const auto result = std::from_chars(begin, end, number);
      const std::string expected = "a number" + (param.range.empty() ? "" : " in " + param.range);
      if (value.empty() || result.ec != std::errc() || result.ptr != end || !std::isfinite(number)) fail(expected);
      if (!parse_interval(param.range).holds(number)) fail(expected);
      return format_real(number == 0 ? 0.0 : number);  // no "-0"
    }
    case ParamType::choice: {
      const std::vector<std::string> choices = split(param.range, '|');
      if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
        fail("one of " + join(choices, ", "), did_you_mean(value, choices));
      }
      return value;
    }
    case ParamType::text:
    case ParamType::file:
      return value;
  }
  return value;
}

}  // namespace

Params Params::resolve(const ParamTable& table, const ParamText& given, std::string_view where) {
  std::vector<std::string> names;
  for (const Param& param : table) names.push_back(param.name);
  std::set<std::string> seen;
  for (const auto& [name, value] : given) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      throw Error({Code::config, std::string(where), "unknown parameter '" + name + "'",
                   names.empty() ? "no parameters" : "one of " + join(names, ", "), "", did_you_mean(name, names)});
    }
    if (!seen.insert(name).second) {
      throw Error(Code::config, std::string(where), "parameter '" + name + "' given twice");
    }
  }
  Params out;
  for (const Param& param : table) {
    Entry entry{param, "", false, false};
    if (!param.default_value.empty()) {
      entry.value = canonical(param, param.default_value, where);
      entry.set = true;
    }
    for (const auto& [name, value] : given) {
      if (name != param.name) continue;
      entry.value = canonical(param, value, where);
      entry.set = entry.given = true;
    }
    out.entries_.push_back(std::move(entry));
  }
  return out;
}

const Params::Entry& Params::entry(std::string_view name) const {
  for (const Entry& e : entries_) {
    if (e.param.name == name) return e;
  }
  throw Error(Code::internal, "parameter table", "no parameter '" + std::string(name) + "'");
}

bool Params::boolean(std::string_view name) const { return entry(name).value == "true"; }

std::int64_t Params::integer(std::string_view name) const {
  const Entry& e = entry(name);
  std::int64_t number = 0;
  const auto result = std::from_chars(e.value.data(), e.value.data() + e.value.size(), number);
  MSS_ASSERT(e.set && result.ec == std::errc());
  return number;
}

double Params::real(std::string_view name) const {
  const Entry& e = entry(name);
  double number = 0;
  const auto result = std::from_chars(e.value.data(), e.value.data() + e.value.size(), number);
  MSS_ASSERT(e.set && result.ec == std::errc());
  return number;
}

const std::string& Params::text(std::string_view name) const { return entry(name).value; }
bool Params::is_set(std::string_view name) const { return entry(name).set; }
bool Params::is_given(std::string_view name) const { return entry(name).given; }

ParamText Params::non_default() const {
  ParamText out;
  for (const Entry& e : entries_) {
    if (!e.given) continue;
    if (!e.param.default_value.empty() && e.value == canonical(e.param, e.param.default_value, "")) continue;
    out.emplace_back(e.param.name, e.value);
  }
  return out;
}

Value Params::resolved() const {
  Value out = Value::object();
  for (const Entry& e : entries_) {
    if (!e.set) {
      out[e.param.name] = Value();
      continue;
    }
    switch (e.param.type) {
      case ParamType::boolean:
        out[e.param.name] = boolean(e.param.name);
        break;
      case ParamType::integer:
        out[e.param.name] = integer(e.param.name);
        break;
      case ParamType::real:
        out[e.param.name] = real(e.param.name);
        break;
      default:
        out[e.param.name] = e.value;
    }
  }
  return out;
}

}  // namespace mss::core
