// What a run folder survives: kills at any moment, a second process, a full disk.
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <regex>
#include <thread>

#include "core/file.h"
#include "core/rng.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/long.h"

namespace mss::tests {
namespace {

const std::vector<std::string> kRun = {"run",       "-d",      "synthetic:songs=3,seconds=2,seed=3",
                                       "-m",        "mixture", "-m",
                                       "irm2",      "-m",      "repet",
                                       "-m",        "hpss",    "--save-estimates",
                                       "--threads", "2",       "-q"};

std::vector<std::string> run_into(const std::string& out, std::vector<std::string> more = {}) {
  std::vector<std::string> all = kRun;
  all.insert(all.end(), {"-o", out});
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

/// The records without what may differ between equal runs.
std::string comparable(const fs::path& run) {
  static const std::regex measured(",\"measured\":\\{[^\n]*\\}\\}");
  return std::regex_replace(core::read_text_file(run / "records.jsonl"), measured, "}");
}

/// Files that a finished run should not leave.
std::vector<std::string> leftovers(const fs::path& run) {
  std::vector<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".tmp") || name.find("lock") != std::string::npos || name == "parts") out.push_back(name);
  }
  return out;
}

}  // namespace

TEST_CASE("a run killed twenty times and resumed gives the records of an uninterrupted one", "[robustness]") {
  MSS_REQUIRE_LONG_TESTS();
  const TempDir folder;
  REQUIRE(call({.arguments = run_into("whole"), .folder = folder.path()}).status == 0);
  core::Rng rng(17, 3);
  int kills = 0, ended = 0;
  while (kills < 20) {
    const auto pause = std::chrono::milliseconds(rng.below(900));
    const Result result =
        call({.arguments = run_into("killed"), .folder = folder.path(), .while_running = [&](pid_t child) {
                std::this_thread::sleep_for(pause);
                kill(child, SIGKILL);
              }});
    if (result.status == 128 + SIGKILL) {
      ++kills;
      continue;
    }
    CHECK(result.status == 0);  // done before we came: again from the beginning
    fs::remove_all(folder / "killed");
    REQUIRE(++ended < 200);
  }
  REQUIRE(call({.arguments = run_into("killed"), .folder = folder.path()}).status == 0);
  CHECK(comparable(folder / "killed") == comparable(folder / "whole"));
  CHECK(leftovers(folder / "killed").empty());
}

TEST_CASE("a whole run and a shard of it cannot work in one folder at once; two shards can", "[robustness]") {
  const TempDir folder;
  REQUIRE(call({.arguments = run_into("whole"), .folder = folder.path()}).status == 0);
  Result shard;
  const auto second = [&](pid_t) {
    shard = call({.arguments = run_into("both", {"--shard", "0/2"}), .folder = folder.path()});
  };
  const Result first = call({.arguments = run_into("both"), .folder = folder.path(), .while_running = second});
  // Whoever came second was told so, unless the first one was done already.
  CHECK((first.status == 0 || contains(first.err, "in use")));
  CHECK((shard.status == 0 || contains(shard.err, "in use")));
  CHECK((first.status == 0 || shard.status == 0));
  REQUIRE(call({.arguments = run_into("both"), .folder = folder.path()}).status == 0);
  CHECK(comparable(folder / "both") == comparable(folder / "whole"));

  const auto other = [&](pid_t) {
    shard = call({.arguments = run_into("cut", {"--shard", "1/2"}), .folder = folder.path()});
  };
  CHECK(call({.arguments = run_into("cut", {"--shard", "0/2"}), .folder = folder.path(), .while_running = other})
            .status == 0);
  CHECK(shard.status == 0);
  REQUIRE(call({.arguments = {"merge", "cut", "-o", "cut"}, .folder = folder.path()}).status == 0);
  CHECK(comparable(folder / "cut") == comparable(folder / "whole"));
  CHECK(leftovers(folder / "cut").empty());
}

TEST_CASE("a full disk ends a run with status 1 and loses nothing that was finished", "[robustness]") {
  MSS_REQUIRE_LONG_TESTS();
  const TempDir folder;
  const fs::path disk = folder / "disk";
  fs::create_directory(disk);
  // In a process of its own, so that the mount is seen by nobody else and goes with it.
  const auto small_disk = [&disk] {
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1500k") != 0) {
      _exit(77);
    }
  };
  const Result probe = call({.arguments = {"--version"}, .in_child = small_disk});
  if (probe.status == 77) {
    WARN("SKIPPED: a small file system needs the right to mount");
    return;
  }
  const Result result = call({.arguments = run_into((disk / "run").string()), .in_child = small_disk});
  CHECK(result.status == 1);
  CHECK((contains(result.err, "No space left") || contains(result.err, "no room for the estimates")));
}

}  // namespace mss::tests
