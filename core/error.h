// The one exception type of the project.
//
// Every failure that a caller can cause or meet (bad input, a missing file, a full disk) is an Error with a
// machine-readable code, the place it concerns (a file, a track, a spec string), what was expected, what was found,
// and, where one exists, a hint what to do. Libraries throw it and never print or exit; the program maps codes to
// exit statuses (cli/exit_code.h). Our own bugs are MSS_ASSERT failures, which throw Code::internal.
//
// Thread-safety: values, no shared state.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace mss::core {

enum class Code {
  invalid_argument,  ///< a value out of its range, a wrong shape
  config,            ///< spec string, TOML file, command line
  io,                ///< cannot open, read or write; disk full
  format,            ///< bytes that do not follow their format (truncated, corrupt)
  unsupported,       ///< well-formed but not handled, or a feature this build lacks
  dataset,           ///< missing stems, unequal lengths, unknown data set
  checkpoint,        ///< weights: missing, unexpected or mis-shaped tensors
  method_contract,   ///< a method returned something it must not (wrong length, NaN)
  numeric,           ///< NaN or infinity in input, or a solver that broke down
  cancelled,         ///< stopped on request
  resource,          ///< out of memory or over a memory bound
  internal           ///< our own bug
};

/// Stable lower-case name of a code ("io", "config", …), as it stands in records.
std::string_view code_name(Code code) noexcept;
/// Inverse of code_name; throws Error(invalid_argument) for an unknown name.
Code code_from_name(std::string_view name);

/// What an Error is made of. Empty strings are left out of the message.
struct ErrorParts {
  Code code = Code::internal;
  std::string where;     ///< file, track, option or spec string that the failure concerns
  std::string what;      ///< what went wrong, a clause without full stop
  std::string expected;  ///< what would have been right
  std::string found;     ///< what was there instead
  std::string hint;      ///< what the user can do
};

/// what() reads "WHERE: WHAT (expected EXPECTED, found FOUND); HINT".
class Error : public std::runtime_error {
 public:
  explicit Error(ErrorParts parts);
  Error(Code code, std::string where, std::string what);

  Code code() const noexcept { return parts_.code; }
  const ErrorParts& parts() const noexcept { return parts_; }
  /// The same error seen from further out: `outer` is put before `where` ("track 'X': vocals.wav: …").
  Error with_context(std::string_view outer) const;

 private:
  ErrorParts parts_;
};

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace mss::core

namespace mss {
using core::Code;
using core::Error;
using core::ErrorParts;
}  // namespace mss

/// For our own bugs only: throws Error(Code::internal) in every build type.
#define MSS_ASSERT(expression) \
  ((expression) ? static_cast<void>(0) : ::mss::core::assertion_failed(#expression, __FILE__, __LINE__))
