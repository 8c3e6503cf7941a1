#include "core/json.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "core/stop.h"

namespace mss::core {
namespace {

constexpr int kMaxDepth = 256;

/// Builds a Value from nlohmann's events; refuses duplicate keys and excessive depth.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(std::string_view name) : name_(name) {}
  Value root;

  bool null() override { return add(Value()); }
  bool boolean(bool b) override { return add(Value(b)); }
  bool number_integer(number_integer_t i) override { return add(Value(static_cast<std::int64_t>(i))); }
  bool number_unsigned(number_unsigned_t i) override {
    // Integers beyond int64 keep their value as a real, as every other JSON reader does.
    if (i > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      return add(Value(static_cast<double>(i)));
    }
    return add(Value(static_cast<std::int64_t>(i)));
  }
  bool number_float(number_float_t d, const string_t& text) override {
    if (!std::isfinite(d)) throw Error(Code::format, name_, "number out of range: " + text.substr(0, 40));
    return add(Value(static_cast<double>(d)));
  }
  bool string(string_t& s) override { return add(Value(s)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Value::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Value::array()); }
  bool end_array() override { return close(); }
  bool key(string_t& k) override {
    if (stack_.back()->find(k) != nullptr) throw Error(Code::format, name_, "duplicate key '" + k + "'");
    slot_ = &stack_.back()->as_object().emplace_back(k, Value()).second;
    // Hostile documents are many short values; a stop request ends those too.
    if ((++keys_ & 0xFFF) == 0) check_stop();
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& e) override {
    std::string what = e.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: …": the number says nothing to users.
    if (const auto end = what.find("] "); end != std::string::npos) what.erase(0, end + 2);
    throw Error(Code::format, name_, "not JSON: " + what);
  }

 private:
  bool add(Value v) {
    if (stack_.empty()) {
      root = std::move(v);
    } else if (stack_.back()->is_array()) {
      stack_.back()->push_back(std::move(v));
    } else {
      *slot_ = std::move(v);
    }
    return true;
  }
  bool open(Value v) {
    if (stack_.size() >= kMaxDepth) throw Error(Code::format, name_, "nested deeper than 256 levels");
    Value* place = &root;
    if (stack_.empty()) {
      root = std::move(v);
    } else if (stack_.back()->is_array()) {
      stack_.back()->push_back(std::move(v));
      place = &stack_.back()->as_array().back();
    } else {
      *slot_ = std::move(v);
      place = slot_;
    }
    stack_.push_back(place);
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  std::string name_;
  // Pointers stay valid: only the innermost container grows while it is open.
  std::vector<Value*> stack_;
  Value* slot_ = nullptr;
  std::uint64_t keys_ = 0;
};

/// Replaces bare NaN, Infinity, -Infinity outside strings by null.
std::string without_nan_tokens(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      out += c;
      if (c == '\\' && i + 1 < text.size()) out += text[++i];
      if (c == '"') in_string = false;
      continue;
    }
    in_string = c == '"';
    std::size_t skipped = 0;
    if (c == 'N' || c == 'I' || c == '-') {
      for (const std::string_view token : {"-Infinity", "Infinity", "NaN"}) {
        if (text.substr(i, token.size()) == token) skipped = token.size();
      }
    }
    if (skipped == 0) {
      out += c;
    } else {
      out += "null";
      if (skipped > 4) out.append(skipped - 4, ' ');
      i += skipped - 1;
    }
  }
  return out;
}

void write_string(std::string& out, const std::string& s) {
  out += '"';
  for (const char ch : s) {
    const auto c = static_cast<unsigned char>(ch);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (c < 0x20) {
          constexpr char hex[] = "0123456789abcdef";
          out += "\\u00";
          out += hex[c >> 4];
          out += hex[c & 15];
        } else {
          out += ch;
        }
    }
  }
  out += '"';
}

void write(std::string& out, const Value& v, int indent, int level) {
  const auto line = [&](int at) {
    if (indent >= 0) {
      out += '\n';
      out.append(static_cast<std::size_t>(indent * at), ' ');
    }
  };
  if (v.is_null()) {
    out += "null";
  } else if (v.is_bool()) {
    out += v.as_bool() ? "true" : "false";
  } else if (v.is_integer()) {
    out += std::to_string(v.as_integer());
  } else if (v.is_real()) {
    const double d = v.as_real();
    if (!std::isfinite(d)) {
      out += "null";
    } else {
      const std::string text = format_real(d);
      out += text;
      if (text.find_first_of(".e") == std::string::npos) out += ".0";
    }
  } else if (v.is_string()) {
    write_string(out, v.as_string());
  } else if (v.is_array()) {
    out += '[';
    bool first = true;
    for (const Value& item : v.as_array()) {
      if (!first) out += ',';
      line(level + 1);
      write(out, item, indent, level + 1);
      first = false;
    }
    if (!first) line(level);
    out += ']';
  } else {
    out += '{';
    bool first = true;
    for (const auto& [key, item] : v.as_object()) {
      if (!first) out += ',';
      line(level + 1);
      write_string(out, key);
      out += indent >= 0 ? ": " : ":";
      write(out, item, indent, level + 1);
      first = false;
    }
    if (!first) line(level);
    out += '}';
  }
}

}  // namespace

Value parse_json(std::string_view text, std::string_view name, JsonReadOptions options) {
  std::string patched;
  if (options.allow_nan_tokens) {
    patched = without_nan_tokens(text);
    text = patched;
  }
  Builder builder(name);
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder.root);
}

Value read_json_file(const std::filesystem::path& path, JsonReadOptions options) {
  return parse_json(read_text_file(path), path.string(), options);
}

std::string dump_json(const Value& value, int indent) {
  std::string out;
  write(out, value, indent, 0);
  return out;
}

std::string format_real(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, result.ptr);
}

}  // namespace mss::core
