#include "records/shard.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <numeric>
#include <tuple>

#include "core/error.h"

namespace mss::records {
namespace {

constexpr int kMaxShards = 100000;

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> variable(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  const auto value = whole_number(text);
  if (!value) throw Error({Code::config, name, "environment variable is no whole number", "", text, ""});
  return value;
}

/// The pair (rank, size), nullopt when neither is set.
std::optional<Shard> from_pair(const char* rank_name, const char* size_name, const char* first_name = nullptr,
                               const char* step_name = nullptr) {
  const auto rank = variable(rank_name);
  const auto size = variable(size_name);
  if (!rank && !size) return std::nullopt;
  const std::string where = std::string(rank_name) + ", " + size_name;
  const std::string hint = "give --shard i/n (or 0/1 for the whole run)";
  if (!rank || !size) {
    throw Error({Code::config, where, "only one of the two environment variables is set", "both or none",
                 rank ? rank_name : size_name, hint});
  }
  const std::int64_t first = first_name != nullptr ? variable(first_name).value_or(0) : 0;
  const std::int64_t step = step_name != nullptr ? variable(step_name).value_or(1) : 1;
  const std::int64_t index = step > 0 ? (*rank - first) / step : -1;
  if (*size < 1 || *size > kMaxShards || index < 0 || index >= *size) {
    throw Error({Code::config, where, "shard out of range", "0 <= i < n <= " + std::to_string(kMaxShards),
                 std::to_string(index) + "/" + std::to_string(*size), hint});
  }
  return Shard{static_cast<int>(index), static_cast<int>(*size)};
}

}  // namespace

Shard parse_shard(std::string_view text) {
  const std::size_t slash = text.find('/');
  std::optional<std::int64_t> index, count;
  if (slash != std::string_view::npos) {
    index = whole_number(text.substr(0, slash));
    count = whole_number(text.substr(slash + 1));
  }
  if (!index || !count || *count < 1 || *count > kMaxShards || *index < 0 || *index >= *count) {
    throw Error({Code::config, "shard", "bad shard", "i/n with 0 <= i < n <= " + std::to_string(kMaxShards),
                 "'" + std::string(text) + "'", "the first of three shards is 0/3"});
  }
  return {static_cast<int>(*index), static_cast<int>(*count)};
}

std::string to_string(const Shard& shard) { return std::to_string(shard.index) + "/" + std::to_string(shard.count); }

std::optional<Shard> shard_from_environment() {
  std::optional<Shard> shard =
      from_pair("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP");
  // SLURM_PROCID is set in batch scripts too (to 0), where the step's size is not.
  if (!shard && variable("SLURM_STEP_NUM_TASKS")) shard = from_pair("SLURM_PROCID", "SLURM_STEP_NUM_TASKS");
  if (!shard) shard = from_pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
  if (!shard) shard = from_pair("PMI_RANK", "PMI_SIZE");
  if (!shard) shard = from_pair("RANK", "WORLD_SIZE");
  if (shard && shard->whole()) return std::nullopt;
  return shard;
}

std::vector<int> assign_shards(const std::vector<ShardTrack>& tracks, int count) {
  if (count < 1) {
    throw Error({Code::invalid_argument, "shard", "bad number of shards", "at least 1", std::to_string(count), ""});
  }
  std::vector<std::size_t> order(tracks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tie(tracks[b].seconds, tracks[a].subset, tracks[a].name) <
           std::tie(tracks[a].seconds, tracks[b].subset, tracks[b].name);
  });
  std::vector<double> load(static_cast<std::size_t>(count), 0.0);
  std::vector<int> shard(tracks.size(), 0);
  for (const std::size_t track : order) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += tracks[track].seconds;
    shard[track] = static_cast<int>(least - load.begin());
  }
  return shard;
}

}  // namespace mss::records
