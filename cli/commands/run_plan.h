// What `run` and `demo` share: carrying out a plan with messages, table and exit status.
#pragma once

#include <filesystem>

#include "cli/exit_code.h"
#include "cli/invocation.h"
#include "harness/plan.h"
#include "records/shard.h"

namespace mss::cli {

struct CarriedOut {
  ExitCode status = kOk;
  std::filesystem::path records;  ///< absent when stopped
};

/// Prints the table of the first metric (whole runs) or the JSON summary.
CarriedOut carry_out(Invocation& invocation, const harness::Plan& plan, const records::Shard& shard);

}  // namespace mss::cli
