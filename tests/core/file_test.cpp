#include "core/file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "core/error.h"
#include "core/folder_lock.h"
#include "core/measure.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"

namespace fs = std::filesystem;
using namespace mss::core;
using mss::Code;

TEST_CASE("atomic write replaces, and leaves nothing else behind", "[core]") {
  const mss::tests::TempDir dir;
  const fs::path file = dir / "a.txt";
  write_file_atomic(file, "one");
  write_file_atomic(file, std::string("tw\0o", 4));
  CHECK(read_text_file(file) == std::string("tw\0o", 4));
  CHECK(list_directory(dir.path()).size() == 1);
}

TEST_CASE("an abandoned atomic file disappears and keeps the old content", "[core]") {
  const mss::tests::TempDir dir;
  const fs::path file = dir / "a.txt";
  write_file_atomic(file, "old");
  {
    AtomicFile pending(file);
    std::ofstream(pending.temporary()) << "half of the new";
    CHECK(list_directory(dir.path()).size() == 2);
  }
  CHECK(list_directory(dir.path()).size() == 1);
  CHECK(read_text_file(file) == "old");
}

TEST_CASE("temporary names cannot be guessed and tell whose they are", "[core]") {
  const mss::tests::TempDir dir;
  const AtomicFile one(dir / std::string(250, 'x')), two(dir / "a");
  CHECK(one.temporary().filename() != two.temporary().filename());
  CHECK(temporary_owner(one.temporary().filename().string()) == getpid());
  CHECK_FALSE(temporary_owner(".records.jsonl.99-1.tmp"));
  CHECK_FALSE(temporary_owner("x.wav"));
}

TEST_CASE("temporary files of dead processes are removed, those of living ones stay", "[core]") {
  const mss::tests::TempDir dir;
  const AtomicFile mine(dir / "a");
  const std::string own = mine.temporary().filename().string();
  // A process that has ended: a child of ours.
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  const std::string start = own.substr(0, own.find(std::to_string(getpid())));
  const fs::path dead = dir / (start + std::to_string(child) + "-0123456789abcdef.tmp");
  const fs::path alive = dir / (start + std::to_string(getppid()) + "-0123456789abcdef.tmp");
  const fs::path elsewhere = dir / (".mssbench-00000000-" + std::to_string(child) + "-0123456789abcdef.tmp");
  for (const fs::path& path : {dead, alive, elsewhere}) std::ofstream(path) << "x";
  remove_dead_temporaries(dir.path());
  CHECK_FALSE(fs::exists(dead));
  CHECK(fs::exists(alive));
  CHECK(fs::exists(elsewhere));
  CHECK(fs::exists(mine.temporary()));
}

TEST_CASE("a replaced file keeps its permissions, and a link to it stays a link", "[core]") {
  const mss::tests::TempDir dir;
  write_file_atomic(dir / "a", "old");
  fs::permissions(dir / "a", fs::perms(0640));
  fs::create_symlink("a", dir / "link");
  write_file_atomic(dir / "link", "new");
  CHECK(fs::is_symlink(dir / "link"));
  CHECK(read_text_file(dir / "a") == "new");
  CHECK(fs::status(dir / "a").permissions() == fs::perms(0640));
  fs::create_symlink("nothing-yet", dir / "dangling");
  write_file_atomic(dir / "dangling", "made");
  CHECK(read_text_file(dir / "nothing-yet") == "made");
  fs::create_symlink("loop", dir / "loop");
  CHECK_THROWS_WITH(write_file_atomic(dir / "loop", "x"), Catch::Contains("cannot follow the link"));
}

TEST_CASE("folders, devices and FIFOs are not replaced, and reading a FIFO does not wait", "[core]") {
  const mss::tests::TempDir dir;
  REQUIRE(mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(write_file_atomic(dir / "fifo", "x"), Catch::Contains("not a regular file"));
  CHECK_THROWS_WITH(write_file_atomic("/dev/null", "x"), Catch::Contains("not a regular file"));
  CHECK_THROWS_WITH(write_file_atomic(dir.path(), "x"), Catch::Contains("Is a directory"));
  CHECK(read_text_file(dir / "fifo").empty());  // nobody writes
  CHECK_THROWS_WITH(read_text_file("/dev/zero", 1 << 20), Catch::Contains("too long"));
}

TEST_CASE("file errors name the path and the system's reason", "[core]") {
  const mss::tests::TempDir dir;
  const auto message = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const mss::Error& e) {
      CHECK(e.code() == Code::io);
      return e.what();
    }
    return "";
  };
  CHECK(message([&] { read_text_file(dir / "none"); }).find("none: cannot open: No such file") != std::string::npos);
  CHECK(message([&] { read_text_file(dir.path()); }).find("Is a directory") != std::string::npos);
  CHECK(message([&] { write_file_atomic(dir.path() / "no" / "x", "y"); }).find("No such file") != std::string::npos);
  CHECK(message([&] { list_directory(dir / "none"); }).find("cannot read folder") != std::string::npos);
  write_file_atomic(dir / "file", "x");
  CHECK(message([&] { make_directories(dir.path() / "file" / "sub"); }).find("cannot create folder") !=
        std::string::npos);
}

TEST_CASE("a write that the system cuts short is reported, keeps the old file and leaves nothing", "[core]") {
  // A file-size limit makes write() fail half-way, as a full disk does, without mounting anything.
  const mss::tests::TempDir dir;
  const fs::path file = dir / "big";
  write_file_atomic(file, "old");
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 100000;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string message;
  try {
    write_file_atomic(file, std::string(1 << 20, 'x'));
  } catch (const mss::Error& e) {
    message = e.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(message.find("big: cannot write: File too large") != std::string::npos);
  CHECK(read_text_file(file) == "old");
  CHECK(list_directory(dir.path()).size() == 1);
}

TEST_CASE("a folder is locked by one holder at a time, and the lock's file goes with it", "[core]") {
  const mss::tests::TempDir dir;
  const fs::path file = dir.path() / kFolderLockName;
  for (int turn = 0; turn < 2; ++turn) {
    const FolderLock lock(dir.path(), "works here");
    CHECK(fs::exists(file));
    mss::tests::check_error(Code::config, {dir.path().c_str(), "another process works here"},
                            [&] { const FolderLock second(dir.path(), "works here"); });
    CHECK(fs::exists(file));
  }
  CHECK_FALSE(fs::exists(file));
  // The lock of a process that died is free: its file alone holds nothing.
  write_file_atomic(file, "");
  { const FolderLock lock(dir.path(), "works here"); }
  CHECK_FALSE(fs::exists(file));
  // Neither a link to another place nor a FIFO.
  fs::create_symlink(dir / "elsewhere", file);
  mss::tests::check_error(Code::io, {file.c_str()}, [&] { const FolderLock lock(dir.path(), "works here"); });
  CHECK_FALSE(fs::exists(dir / "elsewhere"));
}

TEST_CASE("folders list in byte order", "[core]") {
  const mss::tests::TempDir dir;
  for (const char* name : {"b", "a", "B", "c10", "c2"}) write_file_atomic(dir / name, "");
  std::string order;
  for (const fs::path& path : list_directory(dir.path())) order += path.filename().string() + " ";
  CHECK(order == "B a b c10 c2 ");
}

TEST_CASE("costs are measured", "[core]") {
  const Stopwatch watch;
  volatile double sum = 0;
  for (int i = 0; i < 1000000; ++i) sum = sum + i;
  const Cost cost = watch.elapsed();
  CHECK(cost.wall_s > 0);
  CHECK(cost.cpu_s > 0);
  CHECK(cost.peak_rss_bytes > 1000000);
  CHECK(available_memory_bytes() > 0);
  CHECK(utc_timestamp().size() == 20);
}
