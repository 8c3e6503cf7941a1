#include "core/file.h"

#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "core/error.h"
#include "core/measure.h"
#include "tests/support/catch.h"
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
