#include "core/spec.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/hash.h"
#include "core/text.h"

namespace mss::core {
namespace {

// Fixed tables instead of <cctype>: the grammar must not depend on the locale.
constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
constexpr bool is_name_char(char c) { return is_name_start(c) || c == '.' || c == '_' || c == '-'; }
constexpr bool is_plain_value_char(char c) {
  return !is_space(c) && c != ',' && c != ':' && c != '|' && c != '@' && c != '"' && c != '=';
}

bool is_name(std::string_view text) {
  if (text.empty() || !is_name_start(text.front())) return false;
  for (const char c : text) {
    if (!is_name_char(c)) return false;
  }
  return true;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Spec parse() {
    Spec spec;
    spec.method = part("a method's name");
    while (take('|')) spec.filters.push_back(part("a post-filter's name"));
    if (!at_end()) fail(position_, "',', ':', '@', '|' or the end, whichever is still possible here");
    return spec;
  }

 private:
  SpecPart part(std::string_view wanted) {
    SpecPart out;
    skip_space();
    out.name = name(wanted);
    if (take('@')) {
      skip_space();
      out.preset = name("a preset's name");
    }
    if (take(':')) {
      do {
        skip_space();
        std::string key = name("a parameter's name");
        if (!take('=')) fail(position_, fmt::format("'=' and a value after the parameter '{}'", key));
        skip_space();
        out.arguments.emplace_back(std::move(key), value());
      } while (take(','));
    }
    return out;
  }

  std::string name(std::string_view wanted) {
    const std::size_t begin = position_;
    if (at_end() || !is_name_start(text_[position_])) {
      fail(position_, fmt::format("{} (a-z, 0-9, then also . _ -)", wanted));
    }
    while (!at_end() && is_name_char(text_[position_])) ++position_;
    return std::string(text_.substr(begin, position_ - begin));
  }

  std::string value() {
    if (!at_end() && text_[position_] == '"') return quoted_value();
    const std::size_t begin = position_;
    while (!at_end() && is_plain_value_char(text_[position_])) ++position_;
    if (position_ == begin) fail(position_, "a value (\"\" for an empty one)");
    return std::string(text_.substr(begin, position_ - begin));
  }

  std::string quoted_value() {
    const std::size_t opening = position_++;
    std::string out;
    for (;; ++position_) {
      if (at_end()) fail(opening, "a closing double quote for the one that opens here");
      const char c = text_[position_];
      if (c == '"') break;
      if (c == '\\') {
        ++position_;
        if (at_end() || (text_[position_] != '"' && text_[position_] != '\\')) {
          fail(position_, "\\\" or \\\\ (the only escapes in a quoted value)");
        }
      }
      out += text_[position_];
    }
    ++position_;
    return out;
  }

  /// Skips white space, then one `wanted` if it is next.
  bool take(char wanted) {
    skip_space();
    if (at_end() || text_[position_] != wanted) return false;
    ++position_;
    return true;
  }
  void skip_space() {
    while (!at_end() && is_space(text_[position_])) ++position_;
  }
  bool at_end() const { return position_ >= text_.size(); }

  [[noreturn]] void fail(std::size_t at, std::string_view expected) const {
    // One line of text, whatever it held, so that the caret stands under the fault.
    std::string line(text_);
    for (char& c : line) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
    }
    const std::size_t columns = display_width(std::string_view(line).substr(0, at));
    std::string found = "the end of the text";
    if (at < text_.size()) {
      std::size_t end = at + 1;
      while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xc0) == 0x80) ++end;
      found = fmt::format("'{}'", std::string_view(line).substr(at, end - at));
    }
    throw Error(ErrorParts{
        .code = Code::config,
        .where = "spec string",
        .what = fmt::format("malformed at column {}\n  {}\n  {}^\n ", columns + 1, line, std::string(columns, ' ')),
        .expected = std::string(expected),
        .found = std::move(found),
        .hint = "the form is METHOD[@PRESET][:KEY=VALUE,...][|FILTER[:KEY=VALUE,...]]"});
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

void require_name(std::string_view text, std::string_view what) {
  if (is_name(text)) return;
  throw Error(ErrorParts{.code = Code::invalid_argument,
                         .where = "spec",
                         .what = fmt::format("{} cannot be printed as a spec string", what),
                         .expected = "[a-z0-9][a-z0-9._-]*",
                         .found = fmt::format("'{}'", text),
                         .hint = {}});
}

void append_value(std::string& out, std::string_view value) {
  bool plain = !value.empty();
  for (const char c : value) plain = plain && is_plain_value_char(c);
  if (plain) {
    out += value;
    return;
  }
  out += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

}  // namespace

Spec parse_spec(std::string_view text) { return Parser(text).parse(); }

std::vector<std::string> split_specs(std::string_view text) {
  std::vector<std::string> out;
  const auto add = [&out](std::string_view part) {
    if (part = trim(part); !part.empty()) out.emplace_back(part);
  };
  bool quoted = false;
  std::size_t from = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (quoted && text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      quoted = !quoted;
    } else if (text[at] == ',' && !quoted) {
      std::size_t end = at + 1;
      while (end < text.size() && is_space(text[end])) ++end;
      while (end < text.size() && is_name_char(text[end])) ++end;
      while (end < text.size() && is_space(text[end])) ++end;
      if (end < text.size() && text[end] == '=') continue;  // the next parameter
      add(text.substr(from, at - from));
      from = at + 1;
    }
  }
  add(text.substr(from));
  return out;
}

std::string to_string(const SpecPart& part) {
  require_name(part.name, "a name");
  std::string out = part.name;
  if (!part.preset.empty()) {
    require_name(part.preset, "a preset's name");
    out += '@';
    out += part.preset;
  }
  char separator = ':';
  for (const auto& [key, value] : part.arguments) {
    require_name(key, "a parameter's name");
    out += separator;
    out += key;
    out += '=';
    append_value(out, value);
    separator = ',';
  }
  return out;
}

std::string to_string(const Spec& spec) {
  std::string out = to_string(spec.method);
  for (const SpecPart& filter : spec.filters) {
    out += '|';
    out += to_string(filter);
  }
  return out;
}

std::string spec_slug(std::string_view spec) {
  constexpr std::size_t kMaxSafe = 80;
  std::string safe;
  for (const char c : spec) {
    if (safe.size() == kMaxSafe) break;
    const bool keep = (c >= 'A' && c <= 'Z') || is_name_char(c) || c == '=';
    safe += keep ? c : '_';
  }
  // A leading dot would hide the folder, or be "." itself.
  if (!safe.empty() && safe.front() == '.') safe.front() = '_';
  return fmt::format("{}-{:08x}", safe, static_cast<std::uint32_t>(fnv1a64(spec)));
}

}  // namespace mss::core
