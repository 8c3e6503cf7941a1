#include "records/shard.h"

#include <cstdlib>
#include <numeric>

#include "tests/records/support.h"

namespace mss::records {
namespace {

using tests::contains;
using tests::error_of;

constexpr const char* kVariables[] = {"SLURM_ARRAY_TASK_ID",
                                      "SLURM_ARRAY_TASK_COUNT",
                                      "SLURM_ARRAY_TASK_MIN",
                                      "SLURM_ARRAY_TASK_STEP",
                                      "SLURM_PROCID",
                                      "SLURM_STEP_NUM_TASKS",
                                      "OMPI_COMM_WORLD_RANK",
                                      "OMPI_COMM_WORLD_SIZE",
                                      "PMI_RANK",
                                      "PMI_SIZE",
                                      "RANK",
                                      "WORLD_SIZE"};

/// The environment of a job, without what the tests themselves run in.
class Environment {
 public:
  explicit Environment(std::initializer_list<std::pair<const char*, const char*>> values) {
    for (const char* name : kVariables) {
      const char* value = std::getenv(name);
      saved_.emplace_back(name, value == nullptr ? std::optional<std::string>() : std::optional<std::string>(value));
      unsetenv(name);
    }
    for (const auto& [name, value] : values) setenv(name, value, 1);
  }
  ~Environment() {
    for (const auto& [name, value] : saved_) value ? setenv(name, value->c_str(), 1) : unsetenv(name);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::vector<std::pair<const char*, std::optional<std::string>>> saved_;
};

}  // namespace

TEST_CASE("shards are written i/n", "[records]") {
  CHECK(parse_shard("0/1") == Shard{0, 1});
  CHECK(parse_shard("2/3") == Shard{2, 3});
  CHECK(to_string(Shard{2, 3}) == "2/3");
  for (const char* text : {"", "1", "/", "1/", "/2", "3/3", "-1/3", "0/0", "a/b", "1/2/3", " 0/2", "0/100001"}) {
    CAPTURE(text);
    CHECK(error_of([text] { parse_shard(text); }).code() == Code::config);
  }
}

TEST_CASE("the job's environment names the shard", "[records]") {
  {
    const Environment none{};
    CHECK_FALSE(shard_from_environment());
  }
  {
    const Environment array{
        {"SLURM_ARRAY_TASK_ID", "12"}, {"SLURM_ARRAY_TASK_COUNT", "4"}, {"SLURM_ARRAY_TASK_MIN", "10"}};
    CHECK(shard_from_environment() == Shard{2, 4});
  }
  {
    const Environment stepped{{"SLURM_ARRAY_TASK_ID", "7"},
                              {"SLURM_ARRAY_TASK_COUNT", "4"},
                              {"SLURM_ARRAY_TASK_MIN", "1"},
                              {"SLURM_ARRAY_TASK_STEP", "2"}};
    CHECK(shard_from_environment() == Shard{3, 4});
  }
  {
    const Environment step{{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}};
    CHECK(shard_from_environment() == Shard{1, 2});
  }
  {
    const Environment batch_script{{"SLURM_PROCID", "0"}};  // the program is started once
    CHECK_FALSE(shard_from_environment());
  }
  {
    const Environment mpi{
        {"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "3"}, {"RANK", "0"}, {"WORLD_SIZE", "2"}};
    CHECK(shard_from_environment() == Shard{1, 3});
  }
  {
    const Environment pmi{{"PMI_RANK", "4"}, {"PMI_SIZE", "5"}};
    CHECK(shard_from_environment() == Shard{4, 5});
  }
  {
    const Environment generic{{"RANK", "1"}, {"WORLD_SIZE", "2"}};
    CHECK(shard_from_environment() == Shard{1, 2});
  }
  {
    const Environment single{{"RANK", "0"}, {"WORLD_SIZE", "1"}};
    CHECK_FALSE(shard_from_environment());
  }
  {
    const Environment half{{"RANK", "1"}};
    const Error error = error_of([] { shard_from_environment(); });
    CHECK(error.code() == Code::config);
    CHECK(contains(error.what(), "WORLD_SIZE"));
  }
  {
    const Environment outside{{"RANK", "2"}, {"WORLD_SIZE", "2"}};
    CHECK(error_of([] { shard_from_environment(); }).code() == Code::config);
  }
  {
    const Environment words{{"RANK", "first"}, {"WORLD_SIZE", "2"}};
    CHECK(contains(error_of([] { shard_from_environment(); }).what(), "first"));
  }
}

TEST_CASE("tracks are dealt to shards by duration, the same way whatever their order", "[records]") {
  std::vector<ShardTrack> tracks;
  for (int i = 0; i < 23; ++i) tracks.push_back({"test", "t" + std::to_string(i), 60.0 + (i * 37) % 100});
  const std::vector<int> shards = assign_shards(tracks, 4);
  std::vector<double> load(4, 0.0);
  for (std::size_t i = 0; i < tracks.size(); ++i) {
    REQUIRE(shards[i] >= 0);
    REQUIRE(shards[i] < 4);
    load[static_cast<std::size_t>(shards[i])] += tracks[i].seconds;
  }
  CHECK(*std::max_element(load.begin(), load.end()) - *std::min_element(load.begin(), load.end()) <= 159.0);
  std::vector<ShardTrack> reversed(tracks.rbegin(), tracks.rend());
  std::vector<int> back = assign_shards(reversed, 4);
  std::reverse(back.begin(), back.end());
  CHECK(back == shards);
  CHECK(assign_shards(tracks, 1) == std::vector<int>(23, 0));
  CHECK(assign_shards({}, 3).empty());
  const std::vector<int> many = assign_shards({{"", "a", 1}, {"", "b", 2}}, 5);
  CHECK(many == std::vector<int>{1, 0});
}

}  // namespace mss::records
