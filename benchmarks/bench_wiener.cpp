// The Wiener filter on stereo with four sources, STFT 4096/1024 at 44.1 kHz: 43.07 frames per second of audio.
//
// wiener_filter: arrays in, arrays out, as benchmarks/peers/wiener measures norbert and open-unmix. Arguments: seconds,
// EM iterations, mode (0 clean, 1 norbert, 2 open-unmix), window in frames (0 = whole). wiener_song: audio to audio in
// memory of one window; `extra_MB` is the growth of the process's high-water mark beyond input and output audio, right
// only where the case runs alone (--benchmark_filter).
#include <benchmark/benchmark.h>

#include <cmath>
#include <complex>
#include <cstdint>
#include <optional>
#include <vector>

#include "audio/stft.h"
#include "core/measure.h"
#include "wiener/wiener.h"

namespace {

using namespace mss;

constexpr int kSources = 4;

/// Fast uniform numbers; content does not change the work.
class Noise {
 public:
  double next() {
    state_ = 1664525u * state_ + 1013904223u;
    return static_cast<double>(state_ >> 8) / (1 << 24) - 0.5;
  }

 private:
  std::uint32_t state_ = 1;
};

template <class T>
void wiener_filter(benchmark::State& state) {
  const std::int64_t frames = 1 + state.range(0) * 44100 / 1024;
  const int bins = 2049;
  wiener::Settings settings;
  settings.iterations = static_cast<int>(state.range(1));
  settings.mode = static_cast<wiener::Mode>(state.range(2));
  settings.window_frames = state.range(3);
  if (settings.mode == wiener::Mode::openunmix) settings.initial = wiener::Initial::mixture_phase;
  Noise noise;
  const auto size = static_cast<std::size_t>(2 * frames * bins);
  std::vector<std::complex<T>> mixture(size);
  for (auto& x : mixture) {
    const double re = noise.next(), im = noise.next();
    x = {static_cast<T>(10 * re), static_cast<T>(10 * im)};
  }
  std::vector<std::vector<T>> magnitudes(kSources, std::vector<T>(size));
  std::vector<std::vector<std::complex<T>>> outputs(kSources, std::vector<std::complex<T>>(size));
  wiener::Sources<T> sources;
  std::vector<wiener::Grid<std::complex<T>>> out;
  for (int j = 0; j < kSources; ++j) {
    const auto at = static_cast<std::size_t>(j);
    for (T& v : magnitudes[at]) v = static_cast<T>(std::abs(noise.next()));
    sources.magnitudes.push_back({magnitudes[at].data(), 2, frames, bins});
    out.push_back({outputs[at].data(), 2, frames, bins});
  }
  const wiener::Grid<const std::complex<T>> x(mixture.data(), 2, frames, bins);
  for (auto _ : state) {
    wiener::filter<T>(x, sources, out, settings, 1);
    benchmark::DoNotOptimize(outputs[0].data());
  }
  const double seconds = static_cast<double>(state.range(0));
  state.counters["x_realtime"] =
      benchmark::Counter(seconds * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void cases(benchmark::internal::Benchmark* b) {
  b->ArgNames({"seconds", "iterations", "mode", "window"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const int seconds : {30, 240}) {
    for (const int iterations : {1, 3}) {
      b->Args({seconds, iterations, 1, seconds > 60 ? 300 : 0});
      b->Args({seconds, iterations, 2, 300});
      b->Args({seconds, iterations, 0, 300});
    }
  }
}
BENCHMARK(wiener_filter<float>)->Apply(cases);
BENCHMARK(wiener_filter<double>)->Apply(cases);

void wiener_song(benchmark::State& state) {
  const std::int64_t samples = state.range(0) * 44100, block = 32768;
  const audio::StftSpec spec;
  Noise noise;
  audio::AudioBuffer mixture(2, samples, 44100);
  for (int c = 0; c < 2; ++c) {
    for (float& x : mixture.channel(c)) x = static_cast<float>(noise.next());
  }
  std::vector<audio::AudioBuffer> stems;
  for (int j = 0; j < kSources; ++j) {
    stems.emplace_back(2, samples, 44100);
    for (int c = 0; c < 2; ++c) {
      for (float& y : stems.back().channel(c)) y = 1;  // touched, so that only the filter's memory is new
    }
  }
  const std::int64_t before = core::peak_rss_bytes();
  for (auto _ : state) {
    wiener::Settings settings;
    settings.iterations = static_cast<int>(state.range(1));
    audio::StreamingStft forward(spec, 2);
    std::vector<audio::StreamingIstft> inverse;
    std::vector<std::int64_t> written(kSources, 0);
    for (int j = 0; j < kSources; ++j) inverse.emplace_back(spec, 2, 44100);
    const auto keep = [&](std::size_t j, const audio::AudioBuffer& done) {
      for (int c = 0; c < 2; ++c) {
        std::copy(done.channel(c).begin(), done.channel(c).end(), stems[j].channel(c).begin() + written[j]);
      }
      written[j] += done.samples();
    };
    wiener::Stream<float> stream(settings, 2, kSources, spec.bins(), false, 1, [&](std::int64_t, const auto& outputs) {
      for (std::size_t j = 0; j < outputs.size(); ++j) {
        audio::Spectrogram<float> frames(2, outputs[j].frames, spec.bins());
        for (int c = 0; c < 2; ++c) {
          for (std::int64_t n = 0; n < frames.frames(); ++n) {
            std::copy_n(outputs[j].row(c, n), spec.bins(), frames.at(c, n));
          }
        }
        keep(j, inverse[j].push(frames));
      }
    });
    // The "method": four fixed bands of |X|.
    const auto push = [&](const audio::Spectrogram<float>& x) {
      std::vector<std::vector<float>> magnitudes(kSources, std::vector<float>(x.data().size()));
      for (std::size_t i = 0; i < x.data().size(); ++i) {
        const float size = std::abs(x.data()[i]);
        for (std::size_t j = 0; j < kSources; ++j) magnitudes[j][i] = (i / 64 % kSources == j ? 0.7F : 0.1F) * size;
      }
      wiener::Sources<float> sources;
      for (const auto& v : magnitudes) sources.magnitudes.push_back({v.data(), 2, x.frames(), x.bins()});
      stream.push({x.data().data(), 2, x.frames(), x.bins()}, sources);
    };
    for (std::int64_t begin = 0; begin < samples; begin += block) {
      push(forward.push(mixture.view().slice(begin, std::min(block, samples - begin))));
    }
    push(forward.finish());
    stream.finish();
    for (std::size_t j = 0; j < kSources; ++j) keep(j, inverse[j].finish(samples));
  }
  state.counters["x_realtime"] = benchmark::Counter(
      static_cast<double>(state.range(0)) * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["extra_MB"] = static_cast<double>(core::peak_rss_bytes() - before) / 1e6;
}
BENCHMARK(wiener_song)
    ->ArgNames({"seconds", "iterations"})
    ->ArgsProduct({{30, 240}, {1, 3}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
