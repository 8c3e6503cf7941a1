// SIGINT and SIGTERM end every kind of long work with status 130. How fast, a table tells (benchmarks/stop_times.sh); here
// a generous limit stands for "at all".
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/long.h"

namespace mss::tests {
namespace {

struct Stopped {
  Result result;
  double seconds = 0;  ///< from the signal to the end
};

Stopped stopped(std::vector<std::string> arguments, const fs::path& folder, int signal, int after_ms) {
  Stopped out;
  std::chrono::steady_clock::time_point asked;
  out.result = call({.arguments = std::move(arguments), .folder = folder, .while_running = [&](pid_t child) {
                       std::this_thread::sleep_for(std::chrono::milliseconds(after_ms));
                       asked = std::chrono::steady_clock::now();
                       kill(child, signal);
                     }});
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - asked).count();
  return out;
}

constexpr double kLimit_s = 20;

}  // namespace

TEST_CASE("a stop request reaches long transforms and fits", "[robustness]") {
  MSS_REQUIRE_LONG_TESTS();
  const TempDir folder;
  write_audio(folder / "long.wav", tones(0, 2, 44100 * 240));
  write_audio(folder / "short.wav", tones(0, 2, 44100));
  // The first on one second only: on four minutes it would be refused for the memory that it needs.
  for (const char* spec :
       {"nmf:fft=65536,hop=8", "nmf", "2dft", "repet-sim", "hpss", "rpca", "classic-4", "demucs:random=1"}) {
    for (const int signal : {SIGINT, SIGTERM}) {
      CAPTURE(spec, signal);
      const std::string name = std::string_view(spec).find("hop=") != std::string_view::npos ? "short" : "long";
      const Stopped end =
          stopped({"separate", name + ".wav", "-m", spec, "-o", "out", "-q"}, folder.path(), signal, 2500);
      CHECK((end.result.status == 130 || end.result.status == 0));
      CHECK(end.seconds < kLimit_s);
      if (end.result.status == 130) CHECK_FALSE(fs::exists(folder / "out" / name / "vocals.wav"));
    }
  }
}

TEST_CASE("a stop request reaches the scorer's solves", "[robustness]") {
  MSS_REQUIRE_LONG_TESTS();
  const TempDir folder;
  for (int stem = 0; stem < 40; ++stem) {
    const std::string name = "stem" + std::to_string(stem) + ".wav";
    write_audio(folder / "references" / name, tones(stem, 2, 44100 * 4));
    write_audio(folder / "estimates" / name, tones(stem + 1, 2, 44100 * 4));
  }
  const Stopped end = stopped({"evaluate", "references", "estimates", "-q"}, folder.path(), SIGINT, 4000);
  CHECK((end.result.status == 130 || end.result.status == 0));
  CHECK(end.seconds < kLimit_s);
}

}  // namespace mss::tests
