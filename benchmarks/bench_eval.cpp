// The scorer: the SDR family against a loop that only reads, BSS Eval v4, and many estimates of one track.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include "eval/scorer.h"

namespace {

using mss::eval::Metrics;
using mss::eval::ReferenceSet;
using mss::eval::ScorerOptions;
using mss::eval::Signal;

constexpr int kRateHz = 44100, kSources = 4, kChannels = 2;

/// White noise on the grid of 16-bit audio; estimates mix in a neighbour and their own noise.
struct Track {
  std::int64_t samples;
  std::vector<float> references, estimates;
  std::vector<std::string> names{"vocals", "drums", "bass", "other"};

  explicit Track(int seconds) : samples(static_cast<std::int64_t>(seconds) * kRateHz) {
    const auto one = static_cast<std::size_t>(kChannels * samples);
    references.resize(kSources * one);
    estimates.resize(references.size());
    std::uint32_t state = 1;
    const auto next = [&state] {
      state = 1664525u * state + 1013904223u;
      return static_cast<float>(static_cast<int>(state >> 18) - 8192) / 32768.0f;
    };
    for (float& v : references) v = next();
    for (std::size_t i = 0; i < references.size(); ++i)
      estimates[i] = 0.8f * references[i] + 0.1f * references[(i + one) % references.size()] + 0.05f * next();
  }
  std::vector<Signal> signals(const std::vector<float>& data) const {
    std::vector<Signal> out;
    for (int s = 0; s < kSources; ++s)
      out.emplace_back(data.data() + static_cast<std::int64_t>(s) * kChannels * samples, kChannels, samples, samples);
    return out;
  }
};

const Track& track(int seconds) {
  static const Track short_track(30), long_track(240);
  return seconds == 30 ? short_track : long_track;
}

ScorerOptions options(Metrics metrics, int threads) {
  ScorerOptions o;
  o.metrics = metrics;
  o.accompaniment = false;
  o.threads = threads;
  return o;
}

/// The yardstick: both buffers read once, squares of the difference added up.
void BM_Eval_PlainLoop_240s(benchmark::State& state) {
  const Track& t = track(240);
  for (auto _ : state) {
    double sum[8] = {};
    const std::size_t n = t.references.size() / 8 * 8;
    for (std::size_t i = 0; i < n; i += 8)
      for (std::size_t l = 0; l < 8; ++l) {
        const double d = static_cast<double>(t.references[i + l]) - static_cast<double>(t.estimates[i + l]);
        sum[l] += d * d;
      }
    benchmark::DoNotOptimize(sum);
  }
}
BENCHMARK(BM_Eval_PlainLoop_240s)->Unit(benchmark::kMillisecond)->UseRealTime();

/// Frame SDR and SDR family of an estimate, references known.
void BM_Eval_SdrFamily_240s(benchmark::State& state) {
  const Track& t = track(240);
  const ReferenceSet set(t.names, t.signals(t.references), {}, kRateHz, options(Metrics::sdr_only, 1));
  for (auto _ : state) benchmark::DoNotOptimize(set.score(t.names, t.signals(t.estimates)));
}
BENCHMARK(BM_Eval_SdrFamily_240s)->Unit(benchmark::kMillisecond)->UseRealTime();

/// The same with the references' part.
void BM_Eval_SdrFamilyFromNothing_240s(benchmark::State& state) {
  const Track& t = track(240);
  for (auto _ : state) {
    const ReferenceSet set(t.names, t.signals(t.references), {}, kRateHz, options(Metrics::sdr_only, 1));
    benchmark::DoNotOptimize(set.score(t.names, t.signals(t.estimates)));
  }
}
BENCHMARK(BM_Eval_SdrFamilyFromNothing_240s)->Unit(benchmark::kMillisecond)->UseRealTime();

/// BSS Eval v4 from nothing: arguments seconds, threads.
void BM_Eval_BssEval(benchmark::State& state) {
  const Track& t = track(static_cast<int>(state.range(0)));
  ScorerOptions o = options(Metrics::all, static_cast<int>(state.range(1)));
  o.cache_bytes = 0;  // one estimate: nothing to keep spectra for
  for (auto _ : state) {
    const ReferenceSet set(t.names, t.signals(t.references), {}, kRateHz, o);
    benchmark::DoNotOptimize(set.score(t.names, t.signals(t.estimates)));
  }
}
BENCHMARK(BM_Eval_BssEval)
    ->Args({30, 1})
    ->Args({30, 2})
    ->Args({240, 1})
    ->Args({240, 2})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

/// Estimates (second argument) of one track (first argument, seconds) scored on one set of references.
void BM_Eval_Estimates(benchmark::State& state) {
  const Track& t = track(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    const ReferenceSet set(t.names, t.signals(t.references), {}, kRateHz, options(Metrics::all, 1));
    for (int e = 0; e < state.range(1); ++e) benchmark::DoNotOptimize(set.score(t.names, t.signals(t.estimates)));
  }
}
BENCHMARK(BM_Eval_Estimates)->Args({30, 1})->Args({30, 30})->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
