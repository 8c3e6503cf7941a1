// STFT, inverse and overlap-add on 10 s of stereo noise. Counters: real-time factor (seconds of audio per second).
#include <benchmark/benchmark.h>

#include "audio/overlap_add.h"
#include "audio/stft.h"
#include "core/rng.h"

namespace {

using namespace mss::audio;

AudioBuffer noise(double seconds) {
  AudioBuffer audio(2, static_cast<std::int64_t>(seconds * 44100), 44100);
  for (int c = 0; c < 2; ++c) {
    mss::core::Rng rng(1, 1, static_cast<std::uint32_t>(c));
    for (float& x : audio.channel(c)) x = static_cast<float>(rng.uniform(-0.5, 0.5));
  }
  return audio;
}

void realtime(benchmark::State& state, double seconds) {
  state.counters["x_realtime"] =
      benchmark::Counter(seconds * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void stft_forward(benchmark::State& state) {
  const AudioBuffer audio = noise(10);
  const Stft<float> stft({.fft_size = 4096, .hop_samples = 1024});
  for (auto _ : state) benchmark::DoNotOptimize(stft.forward(audio.view(), static_cast<int>(state.range(0))));
  realtime(state, 10);
}
BENCHMARK(stft_forward)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

void stft_inverse(benchmark::State& state) {
  const AudioBuffer audio = noise(10);
  const Stft<float> stft({.fft_size = 4096, .hop_samples = 1024});
  const auto spectrum = stft.forward(audio.view());
  for (auto _ : state) {
    benchmark::DoNotOptimize(stft.inverse(spectrum, audio.samples(), 44100, static_cast<int>(state.range(0))));
  }
  realtime(state, 10);
}
BENCHMARK(stft_inverse)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

void overlap_add(benchmark::State& state) {
  const AudioBuffer audio = noise(10);
  const ChunkSpec spec{44100, 22050, ChunkWindow::linear_fade};
  for (auto _ : state) {
    OverlapAdder adder(spec, 1, 2, 44100);
    for (const Chunk& chunk : plan_chunks(spec, audio.samples())) {
      adder.add(chunk, {AudioBuffer(audio.view().slice(chunk.begin, chunk.samples))});
      benchmark::DoNotOptimize(adder.take(false));
    }
    benchmark::DoNotOptimize(adder.take(true));
  }
  realtime(state, 10);
}
BENCHMARK(overlap_add)->Unit(benchmark::kMillisecond);

}  // namespace
