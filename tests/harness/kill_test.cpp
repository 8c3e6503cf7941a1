// SIGKILL at random moments of a run in a process of its own.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <thread>

#include "core/json.h"
#include "harness/runner.h"
#include "tests/harness/support.h"

namespace mss::harness {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRunVariable = "MSSBENCH_TEST_CHILD_RUN";
constexpr const char* kSetVariable = "MSSBENCH_TEST_CHILD_SET";

/// The toy methods, slow enough to be caught at work.
methods::Registry slow_registry() {
  methods::Registry registry;
  const auto pause = [](const audio::AudioBuffer&) { std::this_thread::sleep_for(std::chrono::milliseconds(3)); };
  tests::add(registry, {.name = "half", .hook = pause, .floor = true});
  tests::add(
      registry,
      {.name = "dice",
       .gain = [](std::size_t, std::uint64_t seed) { return static_cast<float>(core::Rng(seed, 5).uniform(0.1, 0.9)); },
       .hook = pause,
       .random = true});
  return registry;
}

Plan kill_plan(const fs::path& dataset, const fs::path& out) {
  Plan plan = tests::toy_plan(dataset, out);
  plan.methods = {"half", "dice"};
  plan.seeds = {1, 2, 3, 4, 5, 6, 7};
  plan.jobs = 2;
  plan.threads = 2;
  plan.save_estimates = true;
  return plan;
}

/// This program again, with the one test case below.
pid_t start_child(const fs::path& dataset, const fs::path& out) {
  const pid_t child = fork();
  if (child != 0) return child;
  setenv(kRunVariable, out.c_str(), 1);
  setenv(kSetVariable, dataset.c_str(), 1);
  const int null = open("/dev/null", O_WRONLY);
  dup2(null, STDOUT_FILENO);
  dup2(null, STDERR_FILENO);
  execl("/proc/self/exe", "child", "[child-process]", static_cast<char*>(nullptr));
  _exit(127);
}

int count_parts(const fs::path& run) {
  int count = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(run / "parts", error), end; !error && it != end; it.increment(error)) {
    count += it->path().extension() == ".jsonl" ? 1 : 0;
  }
  return count;
}

}  // namespace

// Does nothing unless another test starts it in a process of its own.
TEST_CASE("child process of the kill test", "[harness][child-process]") {
  const char* out = std::getenv(kRunVariable);
  const char* dataset = std::getenv(kSetVariable);
  if (out == nullptr || dataset == nullptr) return;
  CHECK(run(kill_plan(dataset, out), slow_registry()).items == 32);
}

TEST_CASE("a run killed at ten random moments and resumed gives the records of an uninterrupted one", "[harness]") {
  if (!fs::exists("/proc/self/exe")) {
    WARN("SKIPPED: this system has no /proc/self/exe to start the test program again");
    return;
  }
  const mss::tests::TempDir dir;
  const fs::path set = tests::write_dataset(dir / "set");
  run(kill_plan(set, dir / "whole"), slow_registry());
  const fs::path out = dir / "killed";
  core::Rng rng(11, 2);
  int kills = 0;
  while (kills < 10) {
    const int before = count_parts(out);
    const int wanted = before + static_cast<int>(rng.below(4));  // 0: somewhere while it starts
    const auto pause = std::chrono::microseconds(rng.below(9000));
    const pid_t child = start_child(set, out);
    REQUIRE(child > 0);
    int status = 0;
    bool ended = false;
    while (count_parts(out) < wanted) {
      if (waitpid(child, &status, WNOHANG) == child) {
        ended = true;
        break;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
    if (ended) {  // it was done before we were: take some of it away and go on
      CHECK(WIFEXITED(status));
      CHECK(WEXITSTATUS(status) == 0);
      fs::remove_all(out);
      continue;
    }
    std::this_thread::sleep_for(pause);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    ++kills;
  }
  const RunResult result = run(kill_plan(set, out), slow_registry());
  CHECK(result.items == 32);
  CHECK(result.done + result.reused == 32);
  CHECK_FALSE(result.partial());
  CHECK(tests::comparable(out) == tests::comparable(dir / "whole"));
  core::Value killed = core::read_json_file(out / "run.json"), whole = core::read_json_file(dir / "whole" / "run.json");
  killed.erase("measured");
  whole.erase("measured");
  CHECK(killed == whole);
  CHECK_FALSE(fs::exists(out / "parts"));
  // The estimates are the same files, and nothing else is left.
  const auto files = [](const fs::path& folder) {
    std::map<std::string, std::string> contents;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file()) {
        contents[entry.path().lexically_relative(folder).string()] = core::read_text_file(entry.path());
      }
    }
    return contents;
  };
  CHECK(files(out / "estimates") == files(dir / "whole" / "estimates"));
}

}  // namespace mss::harness
