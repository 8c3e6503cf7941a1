// Open-Unmix with random weights of the official shapes on noise, audio to audio: what a track costs, and what the two
// kernels do that it is made of. Arguments of umx_chain: seconds, EM iterations (0 = no filter), threads.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>

#include "core/rng.h"
#include "methods/filters/register.h"
#include "methods/openunmix/entries.h"
#include "methods/openunmix/kernels.h"
#include "methods/openunmix/network.h"
#include "methods/registry.h"

namespace {

using namespace mss;

/// Takes stems and keeps none.
class NoStems final : public methods::StemSink {
 public:
  void begin(const methods::StemFormat&) override {}
  void write(const methods::StemBlock&) override {}
};

const methods::Separator& separator(int iterations) {
  static const methods::Registry registry = [] {
    methods::Registry r;
    methods::openunmix::add_methods(r);
    methods::filters::add_filters(r);
    return r;
  }();
  static const auto plain = registry.make("umx:random=1");
  static const auto filtered = registry.make("umx:random=1|wiener:mode=openunmix");
  static const auto twice = registry.make("umx:random=1|wiener:iters=2,mode=openunmix");
  return iterations == 0 ? *plain : iterations == 1 ? *filtered : *twice;
}

void umx_chain(benchmark::State& state) {
  audio::AudioBuffer mixture(2, state.range(0) * 44100, 44100);
  core::Rng rng(1, 1);
  for (int c = 0; c < 2; ++c) {
    for (float& x : mixture.channel(c)) x = static_cast<float>(rng.uniform(-0.3, 0.3));
  }
  const methods::Separator& method = separator(static_cast<int>(state.range(1)));
  methods::Options options;
  options.threads = static_cast<int>(state.range(2));
  for (auto _ : state) {
    NoStems sink;
    audio::ViewSource source(mixture);
    method.separate(source, sink, options);
  }
  state.counters["x_realtime"] =
      benchmark::Counter(static_cast<double>(state.range(0)), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(umx_chain)
    ->ArgNames({"seconds", "iterations", "threads"})
    ->Args({30, 0, 1})
    ->Args({30, 0, 2})
    ->Args({30, 1, 2})
    ->Args({30, 2, 2})
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);

methods::openunmix::Floats noise(std::int64_t count) {
  methods::openunmix::Floats out(count);
  core::Rng rng(2, 2);
  for (std::int64_t i = 0; i < count; ++i) out.data()[i] = static_cast<float>(rng.uniform(-0.1, 0.1));
  return out;
}

/// 96 rows, 512 inputs, 1024 outputs: a block below an LSTM.
void umx_product(benchmark::State& state) {
  const auto& k = methods::openunmix::kernels();
  constexpr std::int64_t kRows = 96, kDepth = 512, kOutputs = 1024;
  const auto a = noise(kRows * kDepth), w = noise(kDepth * kOutputs);
  methods::openunmix::Floats c(kRows * kOutputs);
  for (auto _ : state) {
    for (std::int64_t j = 0; j < kOutputs; j += k.columns) {
      k.product(kRows, kDepth, a.data(), kDepth, w.data() + j * kDepth, c.data() + j, kOutputs, false);
    }
    benchmark::DoNotOptimize(c.data()[0]);
  }
  state.counters["flops"] =
      benchmark::Counter(2.0 * kRows * kDepth * kOutputs, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(umx_product)->Unit(benchmark::kMicrosecond);

/// Steps of one direction: 128 units (umxse), 256 (umx), 512 (umxl).
void umx_lstm(benchmark::State& state) {
  const auto& k = methods::openunmix::kernels();
  const std::int64_t units = state.range(0), frames = 192;
  const auto gates = noise(frames * 4 * units), w = noise(units * 4 * units), bias = noise(4 * units);
  auto h = noise(units), c = noise(units), spare = noise(units), out = noise(frames * units);
  for (auto _ : state) {
    k.lstm(frames, units, gates.data(), w.data(), bias.data(), h.data(), c.data(), spare.data(), out.data(), units,
           false);
    benchmark::DoNotOptimize(out.data()[0]);
  }
  state.counters["steps"] =
      benchmark::Counter(static_cast<double>(frames), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(umx_lstm)->Arg(128)->Arg(256)->Arg(512)->Unit(benchmark::kMicrosecond);

}  // namespace
