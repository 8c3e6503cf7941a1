// Errors with the exit status they lead to, where the error's code alone does not tell: Code::io is bad input when a
// song cannot be read and a failed run when a stem cannot be written.
#pragma once

#include <exception>
#include <filesystem>
#include <string>
#include <utility>

#include "cli/exit_code.h"
#include "core/error.h"

namespace mss::cli {

class Failure : public std::exception {
 public:
  Failure(ExitCode exit_status, Error cause) : status_(exit_status), error_(std::move(cause)) {}
  const char* what() const noexcept override { return error_.what(); }
  ExitCode status() const noexcept { return status_; }
  const Error& error() const noexcept { return error_; }

 private:
  ExitCode status_;
  Error error_;
};

/// Status of an error that concerns the input `where`: wrong shapes and formats are bad input here, not bad usage.
constexpr ExitCode input_status(Code code) noexcept {
  return code == Code::invalid_argument || code == Code::unsupported ? kBadInput : exit_code(code);
}

/// Calls f; an Error (other than a stop request) becomes a Failure with status 1, for writing output.
template <class F>
auto writing(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const Error& error) {
    if (error.code() == Code::cancelled) throw;
    throw Failure(kFailed, error);
  }
}

/// Does the error's place lie in the output folder `out`? Then it is a failed run, not bad input.
inline bool concerns_output(const Error& error, const std::filesystem::path& out) {
  if (error.code() != Code::io || out.empty()) return false;
  const std::string folder = out.lexically_normal().string();
  const std::string place = std::filesystem::path(error.parts().where).lexically_normal().string();
  return place.starts_with(folder) &&
         (place.size() == folder.size() || folder.ends_with('/') || place[folder.size()] == '/');
}

/// The error with `place` in front, unless it names it already.
inline Error placed(const Error& error, const std::string& place) {
  return error.parts().where.find(place) != std::string::npos ? error : error.with_context(place);
}

}  // namespace mss::cli
