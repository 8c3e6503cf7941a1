// How many training examples a second two threads make.
//
//   loader_speed make FOLDER [--songs 8] [--seconds 60]     writes a data set of 16-bit wav files (built-in songs)
//   loader_speed run FOLDER --cache FOLDER [--workers 2] [--seconds 6] [--batch 16] [--batches 12] [--repeats 5]
//                [--recipe section.key=value]…
//
// `run` measures, alternating in one process, on the same crops of the same files:
//   ours          the training loader on a warm cache, remix of all sources, gains, channel swaps, mixture: whole batches
//   files         libsndfile alone: four files opened, sought, read and split into channels (nothing mixed)
//   files+mix     the same with the mixture summed
// and prints one line of JSON: medians in examples per second, and processor milliseconds per example.
#include <sndfile.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "audio/file.h"
#include "core/error.h"
#include "core/json.h"
#include "datasets/dataset.h"
#include "datasets/synth/songs.h"
#include "training/examples.h"

namespace {

using namespace mss;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void make(const std::filesystem::path& folder, int songs, double seconds) {
  namespace synth = datasets::synth;
  constexpr int kRateHz = 44100;
  for (int i = 0; i < songs; ++i) {
    const auto samples = static_cast<std::int64_t>(seconds * kRateHz);
    const synth::RenderedSong song = synth::render_song(1, i, samples);
    const std::filesystem::path place = folder / "train" / synth::song_name(synth::builtin_score(1, i, samples));
    std::filesystem::create_directories(place);
    const audio::WriteOptions options{.format = audio::SampleFormat::pcm16};
    audio::write_file(place / "mixture.wav", song.mixture, options);
    for (std::size_t s = 0; s < song.names.size(); ++s) {
      audio::write_file(place / (song.names[s] + ".wav"), song.stems[s], options);
    }
  }
}

/// Processor time of the whole process, seconds.
double cpu_s() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

struct Crop {
  std::string file;
  std::int64_t start = 0;
};

/// One example's crops by libsndfile alone.
void read_crops(const std::vector<Crop>& crops, std::int64_t samples, bool mix, std::vector<float>& interleaved,
                float* stems, float* mixture) {
  for (std::size_t s = 0; s < crops.size(); ++s) {
    SF_INFO info{};
    SNDFILE* file = sf_open(crops[s].file.c_str(), SFM_READ, &info);
    if (file == nullptr) throw Error(Code::io, crops[s].file, "cannot open");
    sf_seek(file, crops[s].start, SEEK_SET);
    const sf_count_t n = sf_readf_float(file, interleaved.data(), samples);
    sf_close(file);
    if (n != samples) throw Error(Code::io, crops[s].file, "cannot read");
    float* left = stems + static_cast<std::int64_t>(s) * 2 * samples;
    float* right = left + samples;
    for (std::int64_t t = 0; t < samples; ++t) {
      left[t] = interleaved[static_cast<std::size_t>(2 * t)];
      right[t] = interleaved[static_cast<std::size_t>(2 * t + 1)];
    }
    if (!mix) continue;
    for (std::int64_t t = 0; t < 2 * samples; ++t) mixture[t] = s == 0 ? left[t] : mixture[t] + left[t];
  }
}

int run(const std::filesystem::path& folder, const std::filesystem::path& cache_folder, std::int64_t workers,
        double seconds, std::int64_t batch, std::int64_t batches, int repeats, const std::vector<std::string>& more) {
  const datasets::Dataset set = datasets::open(folder.string());
  std::vector<std::string> overrides{"data.crop_seconds=" + core::format_real(seconds),
                                     "data.batch=" + std::to_string(batch),
                                     "data.examples_per_epoch=1000000",
                                     "augment.remix.probability=1",
                                     "augment.gain.probability=1",
                                     "augment.channel_swap_probability=0.5",
                                     "validation.split=none",
                                     "budget.steps=1"};
  overrides.insert(overrides.end(), more.begin(), more.end());
  const training::Recipe recipe = training::parse_recipe("", "loader_speed", overrides).recipe;
  training::Cache cache(cache_folder, std::int64_t{64} << 30);
  const auto source = training::make_training_source(recipe, set, set.tracks(), cache, static_cast<int>(workers),
                                                     core::null_progress());
  const std::int64_t samples = recipe.crop_samples(), examples = batch * batches;

  // The same crops for the plain reader.
  std::vector<std::vector<Crop>> crops;
  for (std::int64_t i = 0; i < examples; ++i) {
    const core::Value drawn = source->example(0, i).drawn;
    std::vector<Crop> one;
    for (const core::Value& stem : drawn.at("stems").as_array()) {
      std::string name = stem.at("track").as_string();
      name = name.substr(0, name.find(" ["));  // a static copy: the file it was made from
      one.push_back({(folder / "train" / name / (stem.at("stem").as_string() + ".wav")).string(),
                     std::clamp<std::int64_t>(stem.at("start_samples").as_integer(), 0,
                                              std::max<std::int64_t>(0, set.tracks()[0].samples - samples))});
    }
    crops.push_back(std::move(one));
  }

  double ours_cpu_s = 0, files_cpu_s = 0;
  const auto ours = [&] {
    training::Loader loader(source, {.batch = batch, .workers = static_cast<int>(workers), .queue = 4});
    // The first batches touch fresh memory; a run has that once.
    for (int i = 0; i < 6; ++i) loader.recycle(std::move(*loader.next()));
    // What lies ready in the queue at the beginning lies ready again at the end.
    const Clock::time_point begin = Clock::now();
    const double cpu = cpu_s();
    for (std::int64_t i = 0; i < batches; ++i) loader.recycle(std::move(*loader.next()));
    ours_cpu_s += cpu_s() - cpu;
    return static_cast<double>(examples) / seconds_since(begin);
  };
  const auto files = [&](bool mix) {
    std::vector<std::vector<float>> interleaved(static_cast<std::size_t>(workers),
                                                std::vector<float>(static_cast<std::size_t>(2 * samples)));
    std::vector<std::vector<float>> stems(static_cast<std::size_t>(workers),
                                          std::vector<float>(static_cast<std::size_t>(8 * samples)));
    std::vector<std::vector<float>> mixture(static_cast<std::size_t>(workers),
                                            std::vector<float>(static_cast<std::size_t>(2 * samples)));
    std::atomic<std::size_t> next{0};
    const double cpu = cpu_s();
    const Clock::time_point begin = Clock::now();
    std::vector<std::thread> threads;
    for (std::size_t w = 0; w < static_cast<std::size_t>(workers); ++w) {
      threads.emplace_back([&, w] {
        for (std::size_t i = next++; i < crops.size(); i = next++) {
          read_crops(crops[i], samples, mix, interleaved[w], stems[w].data(), mixture[w].data());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (!mix) files_cpu_s += cpu_s() - cpu;
    return static_cast<double>(examples) / seconds_since(begin);
  };
  std::vector<double> a, b, c;
  files(true);
  for (int i = 0; i < repeats; ++i) {
    a.push_back(ours());
    b.push_back(files(false));
    c.push_back(files(true));
  }
  core::Value out = core::Value::object();
  out["examples"] = examples;
  out["workers"] = workers;
  out["ours_per_s"] = median(a);
  out["files_per_s"] = median(b);
  out["files_mix_per_s"] = median(c);
  out["ours_over_files"] = median(a) / median(b);
  const double made = static_cast<double>(examples * repeats);
  out["ours_cpu_ms"] = 1e3 * ours_cpu_s / made;
  out["files_cpu_ms"] = 1e3 * files_cpu_s / made;
  out["ours_over_files_mix"] = median(a) / median(c);
  std::printf("%s\n", core::dump_json(out).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  const auto option = [&](const std::string& name, const std::string& standard) {
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
      if (words[i] == name) return words[i + 1];
    }
    return standard;
  };
  try {
    if (words.size() >= 2 && words[0] == "make") {
      make(words[1], std::stoi(option("--songs", "8")), std::stod(option("--seconds", "60")));
      return 0;
    }
    if (words.size() >= 2 && words[0] == "run") {
      std::vector<std::string> recipe;
      for (std::size_t i = 0; i + 1 < words.size(); ++i) {
        if (words[i] == "--recipe") recipe.push_back(words[i + 1]);
      }
      return run(words[1], option("--cache", "loader-cache"), std::stoll(option("--workers", "2")),
                 std::stod(option("--seconds", "6")), std::stoll(option("--batch", "16")),
                 std::stoll(option("--batches", "12")), std::stoi(option("--repeats", "5")), recipe);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "loader_speed: %s\n", error.what());
    return 1;
  }
  std::fprintf(stderr, "usage: loader_speed make|run FOLDER [options]\n");
  return 2;
}
