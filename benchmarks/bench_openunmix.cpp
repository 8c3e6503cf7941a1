// Open-Unmix with random weights of the official shapes on noise, audio to audio: what a track costs (the layers by
// themselves: layers.cpp). Arguments of umx_chain: seconds, EM iterations (0 = no filter), threads.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>

#include "core/rng.h"
#include "methods/filters/register.h"
#include "methods/openunmix/entries.h"
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

}  // namespace
