// Exit statuses of the program (docs/cli.md lists them for users) and how error codes map to them.
#pragma once

#include "core/error.h"

namespace mss::cli {

enum ExitCode : int {
  kOk = 0,
  kFailed = 1,                 ///< the work failed: no room for the output, out of memory, a defect
  kUsage = 2,                  ///< command line, settings file, spec string
  kBadInput = 3,               ///< input data missing, unreadable or corrupt
  kQualityRegression = 4,      ///< scores worse than a reference
  kPerformanceRegression = 5,  ///< slower or hungrier than a reference
  kPartial = 6,                ///< some tracks or files failed, the results of the others are there
  kInterrupted = 130           ///< Ctrl-C or SIGTERM
};

/// Status of an error met while reading input or setting up; callers that write output map Code::io themselves
/// (failure.h).
constexpr ExitCode exit_code(Code code) noexcept {
  switch (code) {
    case Code::invalid_argument:
    case Code::config:
    case Code::unsupported:
      return kUsage;
    case Code::io:
    case Code::format:
    case Code::dataset:
    case Code::checkpoint:
    case Code::numeric:
      return kBadInput;
    case Code::cancelled:
      return kInterrupted;
    case Code::method_contract:
    case Code::resource:
    case Code::internal:
      return kFailed;
  }
  return kFailed;
}

}  // namespace mss::cli
