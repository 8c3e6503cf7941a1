#include "core/error.h"

#include <array>
#include <utility>

namespace mss::core {
namespace {

constexpr std::array<std::pair<Code, std::string_view>, 12> kNames{{{Code::invalid_argument, "invalid_argument"},
                                                                    {Code::config, "config"},
                                                                    {Code::io, "io"},
                                                                    {Code::format, "format"},
                                                                    {Code::unsupported, "unsupported"},
                                                                    {Code::dataset, "dataset"},
                                                                    {Code::checkpoint, "checkpoint"},
                                                                    {Code::method_contract, "method_contract"},
                                                                    {Code::numeric, "numeric"},
                                                                    {Code::cancelled, "cancelled"},
                                                                    {Code::resource, "resource"},
                                                                    {Code::internal, "internal"}}};

std::string compose(const ErrorParts& p) {
  std::string text;
  if (!p.where.empty()) text += p.where + ": ";
  text += p.what.empty() ? std::string(code_name(p.code)) + " error" : p.what;
  if (!p.expected.empty() && !p.found.empty()) {
    text += " (expected " + p.expected + ", found " + p.found + ")";
  } else if (!p.expected.empty()) {
    text += " (expected " + p.expected + ")";
  } else if (!p.found.empty()) {
    text += " (found " + p.found + ")";
  }
  if (!p.hint.empty()) text += "; " + p.hint;
  return text;
}

}  // namespace

std::string_view code_name(Code code) noexcept {
  for (const auto& [value, name] : kNames) {
    if (value == code) return name;
  }
  return "internal";
}

Code code_from_name(std::string_view name) {
  for (const auto& [value, known] : kNames) {
    if (known == name) return value;
  }
  throw Error({Code::invalid_argument, "error code", "unknown name", "", "'" + std::string(name) + "'", ""});
}

Error::Error(ErrorParts parts) : std::runtime_error(compose(parts)), parts_(std::move(parts)) {}

Error::Error(Code code, std::string where, std::string what)
    : Error(ErrorParts{code, std::move(where), std::move(what), "", "", ""}) {}

Error Error::with_context(std::string_view outer) const {
  ErrorParts parts = parts_;
  parts.where = parts.where.empty() ? std::string(outer) : std::string(outer) + ": " + parts.where;
  return Error(std::move(parts));
}

void assertion_failed(const char* expression, const char* file, int line) {
  throw Error({Code::internal, std::string(file) + ":" + std::to_string(line), "assertion failed", expression, "",
               "this is a defect of mssbench"});
}

}  // namespace mss::core
