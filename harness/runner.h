// Carries out a plan: every (track, method, seed) is separated, post-filtered, scored and recorded.
//
// Order of work. A worker takes a track, loads it once, analyses its references once, and runs every missing (method,
// seed) on it. Up to `jobs` tracks are at work at once, as long as the sum of their memory estimates
// (estimate_track_bytes) stays under the bound; a track whose estimate exceeds the bound runs alone, unless the plan
// asked for the bound (memory_gb): then the run does not start, Error(resource) naming track, method and both figures.
// Records depend on (plan, program, instruction set) only, never on order, jobs, threads or shards.
//
// Failures. Whatever fails for one (track, method, seed) becomes a record with `error`; a track that cannot be loaded
// gives one such record per method and seed. The rest goes on. A rerun tries failed ones again.
//
// Known beforehand. A method that cannot be made (unknown name, missing weights), or that makes nothing that a track of
// this data set is scored by, is told once, before the first track, and left out: RunResult::refused. Where none is left
// the run does not start. Nor does it where the estimates or pictures that it is to keep do not fit on the disk.
//
// Resuming. A result that is there is kept only where it was made from the same audio (fingerprint), weights and
// options; else it is made again, with a warning that says why. Rows that the plan does not ask for and that are of
// other audio are named.
//
// Cancellation. After a stop request the work in hand is abandoned (a record that is being written is written whole),
// everything finished so far is on disk, RunResult::cancelled is set.
//
// Scenarios: harness/scoring.h. Every method is scored in all partial problems that any method of the plan needs and it
// covers; a row that was finished before such a method came is done again. Extra targets (a residual) are saved but not
// scored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/progress.h"
#include "core/stop.h"
#include "datasets/dataset.h"
#include "harness/plan.h"
#include "methods/registry.h"
#include "records/record.h"
#include "records/shard.h"

namespace mss::harness {

struct RunOptions {
  records::Shard shard;  ///< count > 1: this part only, into its own records file
  std::string command;   ///< the command line as typed, for records and reports
  core::StopToken stop;
  core::Progress* progress = nullptr;  ///< one task, one step per (track, method, seed)
  core::LogFn log;
};

struct ItemFailure {
  std::string subset, track, spec;
  std::uint64_t seed = 0;
  Code code = Code::internal;
  std::string message;
};

/// A method that the run goes without.
struct RefusedMethod {
  std::string spec;  ///< as given
  Error error;
};

struct RunResult {
  std::filesystem::path records;      ///< the file with all records; absent when cancelled
  std::int64_t items = 0;             ///< (track, method, seed) of this plan and shard
  std::int64_t reused = 0;            ///< of them found finished
  std::int64_t done = 0;              ///< separated and scored now
  std::vector<ItemFailure> failures;  ///< failed now
  std::vector<RefusedMethod> refused;
  bool cancelled = false;
  bool partial() const noexcept { return !failures.empty() || !refused.empty(); }
};

/// Throws Error: bad plan, unknown data set, no method that can be run (config), run folder in use or made with other
/// settings, disk full.
RunResult run(const Plan& plan, const methods::Registry& registry, const RunOptions& options = {});

/// What run() would do with the same arguments, found out without making or changing anything.
struct Preview {
  std::string dataset;
  struct Row {
    std::string spec;
    std::int64_t items = 0, finished = 0;  ///< (track, seed) of the shard
  };
  std::vector<Row> rows;
  std::int64_t tracks = 0;  ///< of the shard
  double seconds = 0;       ///< of audio
  std::int64_t items = 0, finished = 0;
  std::int64_t largest_track_bytes = 0;  ///< estimate_track_bytes of the hungriest track
  std::int64_t bound_bytes = 0;          ///< for all tracks at work
  int jobs = 0;                          ///< tracks at once, memory permitting
};
Preview preview(const Plan& plan, const methods::Registry& registry, const RunOptions& options = {});

/// Memory that a track takes while it is at work, from its length: audio, references, estimates, the scorer and the
/// hungriest method.
std::int64_t estimate_track_bytes(const datasets::Track& track, const std::vector<methods::SeparatorInfo>& methods,
                                  const Plan& plan);

/// The spec under which a run makes `spec`: canonical, and with more than was given where the method wants a row to
/// say it (MethodEntry::run_part). Throws Error(config | unsupported).
std::string run_spec(std::string_view spec, const methods::Registry& registry);

/// The spec under which results are recorded: `info.spec` with every file named by label and content hash instead of
/// its path, so that a row means the same on every machine.
std::string recorded_spec(const methods::SeparatorInfo& info, const methods::Registry& registry);

}  // namespace mss::harness
