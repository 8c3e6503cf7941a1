// Sharding: a run cut into n parts that share nothing but the plan, for array jobs and several machines.
//
// The unit is the track (its audio is loaded once and its references are analysed once). Assignment is a pure function
// of the list of tracks: by falling duration (ties by subset and name) each goes to the shard with the least total so
// far (ties to the lowest index), so that it is stable between machines and balanced to one track.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mss::records {

struct Shard {
  int index = 0;  ///< from 0
  int count = 1;  ///< 1 = the whole run
  bool whole() const noexcept { return count == 1; }
  friend bool operator==(const Shard&, const Shard&) = default;
};

/// "i/n" with 0 <= i < n <= 100000; throws Error(config).
Shard parse_shard(std::string_view text);
std::string to_string(const Shard& shard);

/// What the surrounding job says, first match: SLURM_ARRAY_TASK_ID with SLURM_ARRAY_TASK_COUNT, SLURM_ARRAY_TASK_MIN
/// and SLURM_ARRAY_TASK_STEP (the latter two default to 0 and 1); SLURM_PROCID with SLURM_STEP_NUM_TASKS (set inside
/// srun steps only, so that a batch script that asks for several tasks but starts the program once is no shard);
/// OMPI_COMM_WORLD_RANK/SIZE; PMI_RANK/PMI_SIZE; RANK/WORLD_SIZE. Nothing set, or a count of 1, is nullopt. Half a pair
/// or a value out of range throws Error(config) naming the variables.
std::optional<Shard> shard_from_environment();

struct ShardTrack {
  std::string subset, name;
  double seconds = 0;
};
/// Shard of every track, in the order given.
std::vector<int> assign_shards(const std::vector<ShardTrack>& tracks, int count);

}  // namespace mss::records
