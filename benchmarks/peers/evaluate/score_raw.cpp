// Scores one set of raw float32 stems and prints one JSON line: what benchmarks/peers/evaluate/compare.py runs beside
// the Python evaluators. Files hold [source][channel][sample] in the machine's byte order.
//   score_raw REF EST SOURCES CHANNELS SAMPLES RATE_HZ THREADS MODE [REPEATS]
// MODE: all (BSS Eval v4, one scenario), scenarios (both scenarios), sdr (SDR family), sources (bss_eval_sources of all
// channels as single signals, whole signal). With REPEATS the same references score that many estimates.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/json.h"
#include "core/measure.h"
#include "eval/bsseval.h"
#include "eval/scorer.h"

namespace {

std::vector<float> read_raw(const char* path, std::size_t count) {
  std::vector<float> data(count);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(data.data()), static_cast<std::streamsize>(count * sizeof(float)));
  if (!file) throw mss::Error(mss::Code::io, path, "cannot read the samples");
  return data;
}

/// High-water mark of this process's own memory (getrusage's also counts the process that started it).
std::int64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::int64_t kilobytes = 0;
  while (status >> word)
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  return 0;
}

mss::core::Value numbers(const std::vector<double>& values) {
  mss::core::Value out = mss::core::Value::array();
  for (double v : values) out.push_back(v);
  return out;
}

int run(int argc, char** argv) {
  using namespace mss;
  if (argc < 9) {
    std::fputs("usage: score_raw REF EST SOURCES CHANNELS SAMPLES RATE_HZ THREADS MODE [REPEATS]\n", stderr);
    return 2;
  }
  const int sources = std::atoi(argv[3]), channels = std::atoi(argv[4]), rate_hz = std::atoi(argv[6]);
  const std::int64_t samples = std::atoll(argv[5]);
  const std::string mode = argv[8];
  const int repeats = argc > 9 ? std::atoi(argv[9]) : 1;
  const auto count = static_cast<std::size_t>(sources * channels * samples);
  const std::vector<float> reference = read_raw(argv[1], count), estimate = read_raw(argv[2], count);
  const auto signals = [&](const std::vector<float>& data, int signal_channels) {
    std::vector<eval::Signal> out;
    for (int s = 0; s < sources * channels / signal_channels; ++s)
      out.emplace_back(data.data() + s * signal_channels * samples, signal_channels, samples, samples);
    return out;
  };
  const std::int64_t before = peak_memory();
  const core::Stopwatch watch;
  core::Value scores = core::Value::object();
  if (mode == "sources") {
    eval::BssEvalOptions o;
    o.window_samples = o.hop_samples = static_cast<double>(samples);
    o.framewise_filters = o.sources_version = true;
    o.strict = false;
    o.threads = std::atoi(argv[7]);
    const auto r = eval::bss_eval(signals(reference, 1), signals(estimate, 1), o);
    const std::pair<const char*, const std::vector<std::vector<double>>*> tables[] = {
        {"SDR", &r.sdr}, {"SIR", &r.sir}, {"SAR", &r.sar}};
    for (const auto& [name, table] : tables)
      for (const auto& row : *table) scores[name].push_back(numbers(row));
  } else {
    static const char* const kNames[] = {"vocals", "drums", "bass", "other"};
    std::vector<std::string> names;
    for (int s = 0; s < sources; ++s) names.push_back(s < 4 ? kNames[s] : "source" + std::to_string(s));
    eval::ScorerOptions o;
    o.metrics = mode == "sdr" ? eval::Metrics::sdr_only : eval::Metrics::all;
    o.accompaniment = mode == "scenarios";
    o.threads = std::atoi(argv[7]);
    if (repeats == 1) o.cache_bytes = 0;  // nothing to keep spectra for
    const eval::ReferenceSet set(names, signals(reference, channels), {}, rate_hz, o);
    for (int r = 0; r < repeats; ++r) {
      const auto result = set.score(names, signals(estimate, channels));
      if (r > 0) continue;
      for (const auto& target : result[0].targets)
        for (const auto& series : target.frames) scores[series.metric].push_back(numbers(series.values));
    }
  }
  const core::Cost cost = watch.elapsed();
  core::Value out = core::Value::object();
  out["wall_s"] = cost.wall_s;
  out["cpu_s"] = cost.cpu_s;
  const std::int64_t peak = peak_memory();
  out["peak_rss_bytes"] = peak;
  out["beyond_audio_bytes"] = peak - before;
  out["scores"] = std::move(scores);
  std::puts(core::dump_json(out).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "score_raw: %s\n", e.what());
    return 1;
  }
}
