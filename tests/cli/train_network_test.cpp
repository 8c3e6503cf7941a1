// mssbench train RECIPE, in processes of its own: a run end to end, killed and resumed, and what goes wrong.
#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include "checkpoints/safetensors.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/rng.h"
#include "core/text.h"
#include "methods/networks.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/long.h"

using namespace mss;
using namespace mss::tests;

namespace {

bool no_torch() {
  if (methods::network_module().problem.empty()) return false;
  WARN("SKIPPED: training needs LibTorch, which this build was made without");
  return true;
}

/// A small run of a recipe: seconds of work. `more` are further arguments.
std::vector<std::string> train(const std::string& recipe, const std::string& out, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"train",     recipe,
                                        "-d",        "synthetic:songs=3,seconds=4",
                                        "-o",        out,
                                        "--threads", "1",
                                        "--device",  "cpu",
                                        "--recipe",  "data.samples_per_track=6",
                                        "--recipe",  "data.crop_seconds=1",
                                        "--recipe",  "data.batch=2",
                                        "--recipe",  "budget.epochs=3",
                                        "--recipe",  "validation.scores_every=3"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// What is the same in two runs of one recipe: all tensors of a checkpoint.
std::map<std::string, std::string> tensors(const fs::path& file) {
  std::map<std::string, std::string> out;
  const checkpoints::SafetensorsFile opened(file);
  for (const auto& [name, tensor] : opened.read_all()) {
    core::Sha256 hash;
    hash.update(tensor.bytes.data(), tensor.bytes.size());
    out[name] = hash.hex_digest();
  }
  return out;
}

/// The cache of decoded tracks, shared by the cases of this program.
std::vector<std::pair<std::string, std::string>> cache() {
  static const TempDir folder;
  return {{"MSSBENCH_CACHE", folder.path().string()}};
}

Result run(const fs::path& folder, std::vector<std::string> arguments) {
  return call({.arguments = std::move(arguments), .environment = cache(), .folder = folder});
}

/// Killed and resumed until it is done; the numbers of kills that hit a running program.
int killed_until_done(const fs::path& folder, const std::string& recipe, const std::string& out, core::Rng& rng,
                      double seconds, int kills, const std::vector<std::string>& more) {
  int hit = 0;
  while (true) {
    std::vector<std::string> arguments = train(recipe, out, more);
    arguments.insert(arguments.end(), {"--resume", "--recipe", "data.workers=" + std::to_string(1 + rng.below(4))});
    const bool last = hit >= kills;
    const double pause = rng.uniform(0.05, seconds);
    const Result result =
        call({.arguments = arguments, .environment = cache(), .folder = folder, .while_running = [&](pid_t child) {
                if (last) return;
                std::this_thread::sleep_for(std::chrono::duration<double>(pause));
                kill(child, SIGKILL);
              }});
    if (result.status == 128 + SIGKILL) {
      ++hit;
      continue;
    }
    INFO(result.err);
    REQUIRE(result.status == 0);
    if (last) return hit;
    if (hit < kills) fs::remove_all(folder / out);  // it was done before the kill: once more
  }
}

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// SIGKILL `kills` times at random moments, with any number of loader threads, and the tensors of a run that nobody
/// killed.
void check_kills(const std::string& recipe, int kills, std::uint64_t seed, const std::vector<std::string>& more = {}) {
  CAPTURE(recipe);
  const TempDir folder;
  std::vector<std::string> saving = more;
  saving.insert(saving.end(), {"--recipe", "budget.save_every_steps=2"});
  Result whole;
  const double seconds = seconds_of([&] { whole = run(folder.path(), train(recipe, "whole", saving)); });
  INFO(whole.err);
  REQUIRE(whole.status == 0);
  core::Rng rng(seed, 17);
  CHECK(killed_until_done(folder.path(), recipe, "killed", rng, seconds, kills, saving) == kills);
  CHECK(tensors(folder / "killed/last.safetensors") == tensors(folder / "whole/last.safetensors"));
  CHECK(tensors(folder / "killed/best.safetensors") == tensors(folder / "whole/best.safetensors"));
}

}  // namespace

TEST_CASE("train: a recipe becomes weights that separate", "[cli]") {
  if (no_torch()) return;
  const TempDir folder;
  const Result dry = run(folder.path(), train("umx-tiny", "run", {"--dry-run"}));
  INFO(dry.err);
  CHECK(dry.status == 0);
  CHECK(contains(dry.out, "hidden = 64"));
  CHECK(contains(dry.out, "command line"));
  CHECK(has_line(dry.out, "# steps +6 an epoch, 18 in all"));
  CHECK_FALSE(fs::exists(folder / "run"));

  const Result trained = run(folder.path(), train("umx-tiny", "run", {"--json"}));
  INFO(trained.err);
  REQUIRE(trained.status == 0);
  const core::Value out = core::parse_json(trained.out, "train --json");
  CHECK(out.at("steps").as_integer() == 18);
  CHECK(out.at("epochs").as_integer() == 3);
  CHECK_FALSE(out.at("scores").at("vocals").at("uSDR").is_null());
  for (const char* file :
       {"recipe.toml", "run.json", "log.csv", "curves.png", "last.safetensors", "best.safetensors"}) {
    CAPTURE(file);
    CHECK(fs::exists(folder / "run" / file));
  }
  // A row is of steps or of an epoch, whose loss is the mean of its steps and no step of the curve.
  double sum = 0;
  int steps = 0, epochs = 0;
  for (const std::string& line : core::split(core::read_text_file(folder / "run/log.csv"), '\n')) {
    if (line.empty() || line.starts_with("step")) continue;
    CAPTURE(line);
    const std::vector<std::string> cells = core::split(line, ',');  // step, epoch, train_loss, epoch_loss, …
    CHECK(cells.at(2).empty() != cells.at(3).empty());
    if (cells.at(3).empty()) {
      sum += std::stod(cells.at(2));
      ++steps;
    } else {
      CHECK(std::stod(cells.at(3)) == Approx(sum / steps).epsilon(1e-9));
      CHECK(steps == 6);
      sum = 0;
      steps = 0;
      ++epochs;
    }
  }
  CHECK(epochs == 3);
  const core::Value about = core::read_json_file(folder / "run/run.json");
  CHECK(about.at("recipe").at("seed").as_integer() == 42);
  CHECK(about.at("data").is_object());

  write_audio(folder / "song.wav", tones(0));
  for (const std::string weights : {"run", "run/best.safetensors", "run/last.safetensors"}) {
    const Result separated = run(folder.path(), {"separate", "song.wav", "-m", "umx:weights=" + weights, "-o",
                                                 "stems-" + fs::path(weights).stem().string()});
    INFO(separated.err);
    CHECK(separated.status == 0);
  }
  CHECK(fs::exists(folder / "stems-best/song/vocals.wav"));

  const Result again = run(folder.path(), train("umx-tiny", "run"));
  CHECK(again.status == 2);
  CHECK(contains(again.err, "--resume"));
  const Result other = run(folder.path(), train("umx-tiny", "run", {"--resume", "--recipe", "optimiser.rate=0.5"}));
  CHECK(other.status == 2);
  CHECK(contains(other.err, "optimiser.rate"));

  // Longer than the recipe said at first, and the same as at once.
  const Result more = run(folder.path(), train("run", "run", {"--resume", "--recipe", "budget.epochs=4"}));
  INFO(more.err);
  CHECK(more.status == 0);
  const Result once = run(folder.path(), train("umx-tiny", "once", {"--recipe", "budget.epochs=4"}));
  CHECK(once.status == 0);
  CHECK(tensors(folder / "run/last.safetensors") == tensors(folder / "once/last.safetensors"));

  // Another seed is another network; --max-steps ends before the budget.
  const Result seed = run(folder.path(), train("umx-tiny", "seed", {"--seed", "7", "--max-steps", "2"}));
  CHECK(seed.status == 0);
  CHECK(contains(seed.out, "after 2 steps"));
}

TEST_CASE("train: unknown keys, families and data are told with the nearest name", "[cli]") {
  if (no_torch()) return;
  const TempDir folder;
  const auto refused = [&](std::vector<std::string> more, int status, const std::string& says) {
    const Result result = run(folder.path(), train("umx-tiny", "run", std::move(more)));
    CAPTURE(says, result.err);
    CHECK(result.status == status);
    CHECK(contains(result.err, says));
    CHECK_FALSE(fs::exists(folder / "run/last.safetensors"));  // so that the folder is free for the next try
  };
  refused({"--recipe", "optimiser.rat=1"}, 2, "optimiser.rate");
  refused({"--recipe", "model.family=umxx"}, 2, "umx");
  refused({"--recipe", "model.configuration.hiden=8"}, 2, "hidden");
  refused({"--recipe", "model.freeze=[\"singer.*\"]"}, 2, "singer.*");
  refused({"--recipe", "loss.terms=[\"xumx\"]"}, 2, "two targets");
  refused({"--device", "cuda:31"}, 2, "cuda:31");
  refused({"-d", "nowhere"}, 3, "nowhere");
  // Demucs needs some samples more than an example has; a dry run says so too.
  for (const bool dry : {false, true}) {
    std::vector<std::string> arguments = train("demucs-light-tiny", "short", {"-d", "synthetic:songs=2,seconds=1"});
    if (dry) arguments.emplace_back("--dry-run");
    const Result result = run(folder.path(), arguments);
    CAPTURE(dry, result.err);
    CHECK(result.status == 3);
    CHECK(contains(result.err, "too short"));
  }
}

TEST_CASE("train: a run killed at any moment goes on to the same bits, with other loader threads", "[cli]") {
  if (no_torch()) return;
  check_kills("umx-tiny", 1, 1);
  check_kills("demucs-light-tiny", 1, 2);
}

TEST_CASE("train: a teacher and its student go on to the same bits too", "[cli]") {
  if (no_torch()) return;
  const TempDir folder;
  const std::vector<std::string> small{"--recipe", "validation.scores_every=0", "--recipe", "data.crop_seconds=0.5",
                                       "--recipe", "data.samples_per_track=4"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), small.begin(), small.end());
    return more;
  };
  const Result first = run(folder.path(), train("bsrnn-tiny", "first", with({"--recipe", "budget.epochs=1"})));
  INFO(first.err);
  REQUIRE(first.status == 0);
  const std::string music = "semi.dataset=synthetic:songs=2,seconds=4,seed=77";
  const Result none = run(folder.path(), train("bsrnn-semi-tiny", "none", with({"--recipe", music})));
  CHECK(none.status == 2);
  CHECK(contains(none.err, "model.weights"));

  const std::vector<std::string> semi =
      with({"--recipe", "model.weights=" + (folder / "first").string(), "--recipe", "optimiser.rate=1e-3", "--recipe",
            "budget.save_every_steps=2", "--recipe", music});
  Result whole;
  const double seconds = seconds_of([&] { whole = run(folder.path(), train("bsrnn-semi-tiny", "whole", semi)); });
  INFO(whole.err);
  REQUIRE(whole.status == 0);
  core::Rng rng(3, 17);
  CHECK(killed_until_done(folder.path(), "bsrnn-semi-tiny", "killed", rng, seconds, 1, semi) == 1);
  const auto best = tensors(folder / "whole/best.safetensors");
  CHECK(tensors(folder / "killed/last.safetensors") == tensors(folder / "whole/last.safetensors"));
  CHECK(tensors(folder / "killed/best.safetensors") == best);
  // The best so far is the teacher.
  int compared = 0;
  const std::string prefix = "@teacher/vocals.";
  for (const auto& [name, hash] : best) {
    if (!name.starts_with(prefix)) continue;
    CAPTURE(name);
    CHECK(best.at("vocals/" + name.substr(prefix.size())) == hash);
    ++compared;
  }
  CHECK(compared > 20);
  const std::string log = core::read_text_file(folder / "whole/log.csv");
  CHECK(contains(log, "segments_pseudo"));
  CHECK(contains(log, "\n0,0,,"));  // the first teacher's validation, before any step
  const core::Value about = core::read_json_file(folder / "whole/run.json");
  CHECK(about.at("data").at("unlabelled").at("tracks").size() == 2);
  CHECK(about.at("data").at("unlabelled").at("licence").as_string() == "CC0 (built in)");
  const Result report = run(folder.path(), {"checkpoint", "whole/best.safetensors", "--json"});
  CHECK(contains(report.out, "unlabelled"));
  CHECK(run(folder.path(), {"checkpoint", "whole", "--json"}).out == report.out);
  CHECK(run(folder.path(), {"checkpoint", "."}).status == 3);
  // Other music is another run; a song that validates is refused.
  std::vector<std::string> other = semi;
  other.back() = "semi.dataset=synthetic:songs=1,seconds=4,seed=78";
  other.emplace_back("--resume");
  CHECK(run(folder.path(), train("bsrnn-semi-tiny", "whole", other)).status == 2);
  other.pop_back();
  other.back() = "semi.dataset=synthetic:songs=3,seconds=4";
  const Result leak = run(folder.path(), train("bsrnn-semi-tiny", "leak", other));
  CHECK(leak.status == 3);
  CHECK(contains(leak.err, "unlabelled"));
}

TEST_CASE("train: twenty kills over the tiny recipes", "[cli]") {
  if (no_torch()) return;
  MSS_REQUIRE_LONG_TESTS();
  check_kills("umx-tiny", 4, 11);
  check_kills("demucs-light-tiny", 4, 12);
  check_kills("bsrnn-tiny", 4, 13);
  check_kills("conv1d-tiny", 4, 14);
  check_kills("dprnn-tiny", 4, 15);
  check_kills("conv-tasnet-tiny", 4, 16);
}

TEST_CASE("train: killed while a checkpoint is written, the old one is whole", "[cli]") {
  if (no_torch()) return;
  const TempDir folder;
  const std::vector<std::string> large = {"--recipe", "model.configuration.hidden=384",
                                          "--recipe", "validation.scores_every=0",
                                          "--recipe", "budget.epochs=200",
                                          "--recipe", "budget.save_every_steps=1"};
  // A first checkpoint.
  std::vector<std::string> first = large;
  first.insert(first.end(), {"--max-steps", "1"});
  const Result begun = run(folder.path(), train("umx-tiny", "run", first));
  INFO(begun.err);
  REQUIRE(begun.status == 0);
  const fs::path last = folder / "run/last.safetensors";
  int caught = 0;
  for (int trial = 0; trial < 5 && caught == 0; ++trial) {
    std::map<std::string, std::string> before;
    std::vector<std::string> more = large;
    more.emplace_back("--resume");
    const Result killed = call({.arguments = train("umx-tiny", "run", more),
                                .environment = cache(),
                                .folder = folder.path(),
                                .while_running = [&](pid_t child) {
                                  // While a temporary file stands beside the old one.
                                  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
                                  while (std::chrono::steady_clock::now() < deadline) {
                                    for (const auto& entry : fs::directory_iterator(folder / "run")) {
                                      const std::string name = entry.path().filename().string();
                                      std::error_code error;
                                      const auto size = fs::file_size(entry.path(), error);
                                      if (error || !core::temporary_owner(name) || size < 100000) continue;
                                      kill(child, SIGSTOP);
                                      before = tensors(last);
                                      kill(child, SIGKILL);
                                      return;
                                    }
                                  }
                                  kill(child, SIGKILL);
                                }});
    CHECK(killed.status == 128 + SIGKILL);
    if (before.empty()) continue;
    CHECK(tensors(last) == before);
    bool left = false;
    for (const auto& entry : fs::directory_iterator(folder / "run")) {
      left = left || core::temporary_owner(entry.path().filename().string()).has_value();
    }
    caught += left ? 1 : 0;
  }
  CHECK(caught > 0);
  // And the run goes on; what was left behind is cleared away.
  std::vector<std::string> more = large;
  more.insert(more.end(), {"--resume", "--max-steps", "30"});
  const Result on = run(folder.path(), train("umx-tiny", "run", more));
  INFO(on.err);
  CHECK(on.status == 0);
  for (const auto& entry : fs::directory_iterator(folder / "run")) {
    CHECK_FALSE(core::temporary_owner(entry.path().filename().string()).has_value());
  }
}

TEST_CASE("train: what goes wrong is told and leaves the last checkpoint", "[cli]") {
  if (no_torch()) return;
  const TempDir folder;
  const auto state = [&] { return tensors(folder / "run/last.safetensors"); };
  const Result begun = run(folder.path(), train("conv1d-tiny", "run", {"--max-steps", "2"}));
  INFO(begun.err);
  REQUIRE(begun.status == 0);
  const auto good = state();

  // A loss that goes astray.
  const Result wild = run(folder.path(), train("conv1d-tiny", "wild", {"--recipe", "optimiser.rate=1e30"}));
  INFO(wild.err);
  CHECK(wild.status == 1);
  CHECK(contains(wild.err, "no finite number"));

  // A full disk: no file may grow beyond a few kilobytes.
  const Result full = call({.arguments = train("conv1d-tiny", "run", {"--resume"}),
                            .environment = cache(),
                            .folder = folder.path(),
                            .in_child = [] {
                              signal(SIGXFSZ, SIG_IGN);
                              const rlimit limit{100000, 100000};
                              setrlimit(RLIMIT_FSIZE, &limit);
                            }});
  INFO(full.err);
  CHECK(full.status == 1);
  CHECK(contains(full.err, ".safetensors: cannot write"));
  CHECK(state() == good);

  // Out of memory.
  const Result hungry =
      call({.arguments = train("conv1d-tiny", "hungry",
                               {"--recipe", "data.crop_seconds=4", "--recipe", "data.batch=64", "--recipe",
                                "data.samples_per_track=64", "--recipe", "data.queue_batches=1"}),
            .environment = cache(),
            .folder = folder.path(),
            .in_child = [] {
              const rlimit limit{rlim_t{4} << 30, rlim_t{4} << 30};
              setrlimit(RLIMIT_AS, &limit);
            }});
  INFO(hungry.err);
  CHECK(hungry.status == 1);
  CHECK(contains(hungry.err, "memory"));

  // A track that cannot be decoded.
  for (const char* song : {"one", "two", "three"}) {
    for (const char* stem : {"mixture", "vocals", "other"}) {
      write_audio(folder / "songs" / song / (std::string(stem) + ".wav"), tones(1, 2, 3 * 44100));
    }
  }
  std::ofstream(folder / "songs/two/vocals.wav", std::ios::trunc | std::ios::binary) << "RIFF nothing of the kind";
  const Result corrupt = run(folder.path(), train("conv1d-tiny", "corrupt", {"-d", "songs"}));
  INFO(corrupt.err);
  CHECK(corrupt.status == 3);
  CHECK(contains(corrupt.err, "vocals.wav"));

  // Ctrl-C writes a checkpoint.
  const Result stopped =
      call({.arguments = train("conv1d-tiny", "stopped", {"--recipe", "budget.epochs=100000"}),
            .environment = cache(),
            .folder = folder.path(),
            .while_running = [&](pid_t child) {
              const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
              while (!fs::exists(folder / "stopped/last.safetensors") && std::chrono::steady_clock::now() < deadline) {
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
              }
              kill(child, SIGINT);
            }});
  INFO(stopped.err);
  CHECK(stopped.status == 130);
  CHECK(contains(stopped.err, "--resume"));
  const Result on = run(folder.path(), train("conv1d-tiny", "stopped",
                                             {"--resume", "--recipe", "budget.epochs=100000", "--max-steps", "5"}));
  CHECK(on.status == 0);
}
