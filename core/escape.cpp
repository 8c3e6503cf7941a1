#include "core/escape.h"

#include <algorithm>
#include <cstdint>

#include "core/text.h"

namespace mss::core {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

void put_byte(std::string& out, unsigned char byte) {
  out += "\\x";
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

/// Length of the UTF-8 sequence at the front of `text`, or 0.
std::size_t sequence(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  return length > 0 && length <= text.size() && is_utf8(text.substr(0, length)) ? length : 0;
}

std::uint32_t code_point(std::string_view bytes) {
  const auto first = static_cast<unsigned char>(bytes.front());
  std::uint32_t point = bytes.size() == 2 ? first & 0x1FU : bytes.size() == 3 ? first & 0x0FU : first & 0x07U;
  for (const char c : bytes.substr(1)) point = point << 6 | (static_cast<unsigned char>(c) & 0x3FU);
  return point;
}

bool misleads(std::uint32_t point) {
  return (point >= 0x80 && point < 0xA0) || point == 0x2028 || point == 0x2029 || point == 0x200E || point == 0x200F ||
         (point >= 0x202A && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069);
}

std::string visible(std::string_view text, bool several_lines) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    const std::size_t length = sequence(text);
    if (length == 0) {
      put_byte(out, byte);
    } else if (length == 1) {
      const bool stays = several_lines && (byte == '\n' || byte == '\t');
      if ((byte < 0x20 && !stays) || byte == 0x7F) {
        put_byte(out, byte);
      } else {
        out += text.front();
      }
    } else if (const std::uint32_t point = code_point(text.substr(0, length)); misleads(point)) {
      out += "\\u";
      for (int shift = 12; shift >= 0; shift -= 4) out += kDigits[point >> shift & 15];
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

}  // namespace

std::string escape_line(std::string_view text) { return visible(text, false); }
std::string escape_terminal(std::string_view text) { return visible(text, true); }

std::string escape_markdown(std::string_view text) {
  std::string out;
  for (const char c : visible(text, false)) {
    if (std::string_view("\\`*_{}[]<>#|~&!").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string escape_markdown_code(std::string_view text, bool in_table) {
  std::string body;
  std::size_t run = 0, longest = 0;
  for (const char c : visible(text, false)) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
    if (c == '|' && in_table) body += '\\';
    body += c;
  }
  const std::string fence(longest + 1, '`');
  const std::string pad = longest > 0 || body.empty() ? " " : "";
  return fence + pad + body + pad + fence;
}

std::string escape_latex(std::string_view text) {
  std::string out;
  for (const char c : visible(text, false)) {
    switch (c) {
      case '\\':
        out += "\\textbackslash{}";
        break;
      case '{':
      case '}':
      case '$':
      case '&':
      case '#':
      case '%':
      case '_':
        out += '\\';
        out += c;
        break;
      case '~':
        out += "\\textasciitilde{}";
        break;
      case '^':
        out += "\\textasciicircum{}";
        break;
      case '<':
        out += "\\textless{}";
        break;
      case '>':
        out += "\\textgreater{}";
        break;
      case '|':
        out += "\\textbar{}";
        break;
      case '"':
        out += "\\char34{}";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string escape_csv(std::string_view text) {
  std::string body = visible(text, false);
  if (!body.empty() && std::string_view("=+-@").find(body.front()) != std::string_view::npos) body.insert(0, 1, '\'');
  if (body.find_first_of(",\";") == std::string::npos) return body;
  std::string out = "\"";
  for (const char c : body) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : visible(text, false)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace mss::core
