// What a call throws, and what that says.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "core/error.h"
#include "tests/support/catch.h"

namespace mss::tests {

/// The Error that `call` throws; the case fails where it throws none.
template <class Call>
Error error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no Error was thrown");
  return {Code::internal, "", ""};
}

/// Runs `call`, which must throw Error(code), and returns what it said.
template <class Call>
std::string message_of(Code code, Call&& call) {
  const Error error = error_of(std::forward<Call>(call));
  CHECK(core::code_name(error.code()) == core::code_name(code));
  return error.what();
}

template <class Call>
void check_error(Code code, std::initializer_list<const char*> parts, Call&& call) {
  const std::string message = message_of(code, std::forward<Call>(call));
  for (const char* part : parts) {
    INFO(message);
    CHECK(message.find(part) != std::string::npos);
  }
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace mss::tests
