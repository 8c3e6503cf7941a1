// What `run` and `demo` share: carrying out a plan with messages, table and exit status.
#pragma once

#include <filesystem>

#include "harness/cli/exit_code.h"
#include "harness/cli/invocation.h"
#include "harness/plan.h"
#include "harness/shard.h"

namespace mss::harness::cli {

struct CarriedOut {
  ExitCode status = kOk;
  std::filesystem::path records;  ///< absent when stopped
};

/// Prints the table of the first metric (whole runs) or the JSON summary.
CarriedOut carry_out(Invocation& invocation, const Plan& plan, const Shard& shard);

}  // namespace mss::harness::cli
