// mss_fuzz TARGET [--runs N] [--long-runs N] [--first N] [--seed S] [--most-s SECONDS] [--write FILE] [PATH…]
//
// TARGET: safetensors, pytorch, pickle, toml (plans), recipe, events, records, museval, configuration (of networks), audio (wav, mp4 and playlists).
// Feeds the seeds (files, and those in folders) as they are, then N mutants of them, to a reader. Ends with status 1 at
// the first defect and says which execution it was; --first N --runs 1 repeats it, --write keeps that input in a file
// (a file given as PATH with --runs 0 replays it); --long-runs stands before --runs in ./run test --long; an execution that takes longer than --most-s (of the processor) is a defect as well.
// Needs no compiler support; meant for builds with MSSBENCH_SANITIZE.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/safetensors.h"
#include "core/file.h"
#include "core/rng.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/targets.h"

// Present when a sanitizer is linked.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

namespace fs = std::filesystem;
using namespace mss;

struct Target {
  const char* name;
  int (*run)(const std::uint8_t*, std::size_t);
  tests::Grammar grammar;
};
constexpr Target kTargets[] = {{"safetensors", mssbench_fuzz_safetensors, tests::Grammar::safetensors},
                               {"pytorch", mssbench_fuzz_pytorch, tests::Grammar::pytorch},
                               {"pickle", mssbench_fuzz_pickle, tests::Grammar::pickle},
                               {"toml", mssbench_fuzz_toml, tests::Grammar::toml},
                               {"recipe", mssbench_fuzz_recipe, tests::Grammar::toml},
                               {"events", mssbench_fuzz_events, tests::Grammar::audio},
                               {"records", mssbench_fuzz_records, tests::Grammar::json},
                               {"museval", mssbench_fuzz_museval, tests::Grammar::json},
                               {"configuration", mssbench_fuzz_configuration, tests::Grammar::json},
                               {"audio", mssbench_fuzz_audio, tests::Grammar::audio}};

// Written before every execution, read when the process dies.
char g_execution[64] = "before the first execution";

void say_execution() {
  const char prefix[] = "\nmss_fuzz: died in execution ";
  // Nothing can be done about a failure to write here.
  if (write(2, prefix, sizeof(prefix) - 1) < 0 || write(2, g_execution, std::strlen(g_execution)) < 0) return;
  if (write(2, "\n", 1) < 0) return;
}

extern "C" void on_signal(int number) {
  say_execution();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

/// Small safetensors files with every type; no file of that kind is committed.
std::vector<std::string> safetensors_seeds() {
  using namespace checkpoints;
  Tensors tensors;
  tensors["vocals/fc1.weight"] = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  tensors["scalar"] = Tensor::from(std::vector<double>{0.5}, {});
  tensors["empty"] = Tensor::from(std::vector<float>{}, {0, 4});
  std::vector<std::string> out = {serialize_safetensors(tensors, {{"format", "pt"}}), serialize_safetensors({}, {})};
  for (const DType dtype : {DType::f16, DType::bf16, DType::i64, DType::i32, DType::i16, DType::i8, DType::u64,
                            DType::u32, DType::u16, DType::u8, DType::boolean}) {
    tensors[std::string(dtype_name(dtype))] = {dtype, {3}, std::vector<std::byte>(3 * element_bytes(dtype))};
  }
  out.push_back(serialize_safetensors(tensors, {}));
  return out;
}

/// 0 fine, 1 a defect.
int execute(const Target& target, const std::string& input, const std::string& which) {
  std::strncpy(g_execution, which.c_str(), sizeof(g_execution) - 1);
  try {
    target.run(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "mss_fuzz: defect in execution {}: {}\n", which, error.what());
  }
  return 1;
}

int usage() {
  fmt::print(stderr,
             "mss_fuzz safetensors|pytorch|pickle|toml|recipe|events|records|museval|configuration|audio [--runs N] "
             "[--long-runs N] [--first N] "
             "[--seed S] "
             "[--most-s SECONDS] [--write FILE] [PATH...]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return usage();
  const Target* target = std::find_if(std::begin(kTargets), std::end(kTargets),
                                      [&](const Target& t) { return std::string(argv[1]) == t.name; });
  if (target == std::end(kTargets)) return usage();
  std::uint64_t runs = 20'000, first = 0, seed = 1;
  double most_s = 0;
  std::string write_to;
  std::vector<fs::path> files;
  for (int i = 2; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--runs" && has_value) {
      runs = std::stoull(argv[++i]);
    } else if (argument == "--long-runs" && has_value) {
      const char* wanted = std::getenv("MSSBENCH_LONG_TESTS");
      const std::uint64_t many = std::stoull(argv[++i]);
      if (wanted != nullptr && *wanted != '\0') runs = many;
    } else if (argument == "--first" && has_value) {
      first = std::stoull(argv[++i]);
    } else if (argument == "--seed" && has_value) {
      seed = std::stoull(argv[++i]);
    } else if (argument == "--most-s" && has_value) {
      most_s = std::stod(argv[++i]);
    } else if (argument == "--write" && has_value) {
      write_to = argv[++i];
    } else if (argument.starts_with("--")) {
      return usage();
    } else if (fs::is_directory(argument)) {
      for (const auto& entry : fs::recursive_directory_iterator(argument)) {
        if (entry.is_regular_file() && entry.path().extension() != ".json") files.push_back(entry.path());
      }
    } else {
      files.emplace_back(argument);
    }
  }
  std::sort(files.begin(), files.end());
  // Each reader gets what it could read; the other grammars' files only pass through it once.
  std::vector<std::string> seeds, strangers;
  for (const fs::path& file : files) {
    std::string text = core::read_text_file(file);
    const bool zip = text.starts_with("PK");
    if (target->grammar == tests::Grammar::safetensors || (target->grammar == tests::Grammar::pickle && zip)) {
      const auto entries = zip && target->grammar == tests::Grammar::pickle ? tests::unzipped(text) : std::nullopt;
      if (entries) {
        for (const tests::ZipEntry& entry : *entries) {
          if (entry.name.ends_with("data.pkl")) seeds.push_back(entry.data);
        }
      }
      (file.extension() == ".safetensors" ? seeds : strangers).push_back(std::move(text));
    } else {
      seeds.push_back(std::move(text));
    }
  }
  if (target->grammar == tests::Grammar::safetensors) {
    for (std::string& text : safetensors_seeds()) seeds.push_back(std::move(text));
  }
  if (seeds.empty()) {
    fmt::print(stderr, "mss_fuzz: {} needs seeds: files, or a folder of them\n", target->name);
    return 2;
  }
  for (const int number : {SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGBUS}) std::signal(number, on_signal);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(say_execution);

  for (std::size_t i = 0; i < seeds.size(); ++i) {
    if (execute(*target, seeds[i], fmt::format("of seed {}", i)) != 0) return 1;
  }
  for (std::size_t i = 0; i < strangers.size(); ++i) {
    if (execute(*target, strangers[i], fmt::format("of another format's seed {}", i)) != 0) return 1;
  }
  // Of the processor: what else runs on the machine does not make an input slow.
  const auto processor_s = [] {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  const double begin = processor_s();
  tests::refused_inputs = 0;
  double slowest_s = 0;
  std::uint64_t slowest = 0, bytes = 0;
  for (std::uint64_t i = first; i < first + runs; ++i) {
    core::Rng rng(seed + (i >> 32), 7, static_cast<std::uint32_t>(i));
    const std::string input = tests::mutant(target->grammar, seeds, rng);
    bytes += input.size();
    if (!write_to.empty()) {
      std::ofstream(write_to, std::ios::binary).write(input.data(), static_cast<std::streamsize>(input.size()));
    }
    const double before = processor_s();
    if (execute(*target, input, fmt::format("{}", i)) != 0) return 1;
    const double seconds = processor_s() - before;
    if (seconds > slowest_s) slowest_s = seconds, slowest = i;
    if (most_s > 0 && seconds > most_s) {
      fmt::print(stderr, "mss_fuzz: execution {} took {:.2f} s\n", i, seconds);
      return 1;
    }
  }
  fmt::print(
      "{}: {} seeds and {} mutants ({} bytes on average, {} accepted), no defect; {:.1f} s, slowest {} ms "
      "(execution {})\n",
      target->name, seeds.size(), runs, runs > 0 ? bytes / runs : 0, runs - tests::refused_inputs,
      processor_s() - begin, static_cast<int>(slowest_s * 1e3), slowest);
  return 0;
}
