// NMF kernels and whole fits at the sizes of docs/nmf.md: K 2049 bins, M 1292 frames, R 4, T 8, 30 iterations;
// supervised with R 200.
#include <benchmark/benchmark.h>

#include <vector>

#include "core/rng.h"
#include "methods/nmf/kernels.h"
#include "methods/nmf/nmf.h"

namespace {

using namespace mss::methods::nmf;

template <class T>
std::vector<T> noise(std::int64_t count) {
  mss::core::Rng rng(1, 1);
  std::vector<T> x(static_cast<std::size_t>(count));
  for (auto& v : x) v = static_cast<T>(0.05 + rng.uniform());
  return x;
}

template <class T>
Factors<T> start(std::int64_t bins, std::int64_t frames, int components, int template_frames) {
  Factors<T> f(bins, frames, components, template_frames);
  f.w = noise<T>(static_cast<std::int64_t>(f.w.size()));
  f.h.assign(f.h.size(), T(1));
  return f;
}

void report_flops(benchmark::State& state, double per_iteration) {
  state.counters["GFLOP/s"] =
      benchmark::Counter(per_iteration * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

/// The three products of an NMFD iteration alone, with the shapes that tiling gives them.
template <class T>
void Gemm(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const std::int64_t panel = kernels<T>().panel, panels = (n + panel - 1) / panel;
  const auto a = noise<T>(m * k), b = noise<T>(k * panels * panel);
  std::vector<T> c(static_cast<std::size_t>(m * n));
  for (auto _ : state) {
    kernels<T>().gemm({.m = m,
                       .n = n,
                       .k = k,
                       .a = a.data(),
                       .row_stride = k,
                       .column_stride = 1,
                       .b = b.data(),
                       .ldb = panel,
                       .panel_stride = k * panel,
                       .c = c.data(),
                       .ldc = n});
    benchmark::DoNotOptimize(c.data());
  }
  report_flops(state, 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
}
BENCHMARK_TEMPLATE(Gemm, float)->Args({36, 256, 32})->Args({36, 32, 256})->Args({32, 256, 36})->Args({512, 512, 512});
BENCHMARK_TEMPLATE(Gemm, double)->Args({24, 256, 32})->Args({24, 32, 256})->Args({32, 256, 24})->Args({512, 512, 512});

template <class T>
void Nmfd(benchmark::State& state, Update update) {
  constexpr std::int64_t kBins = 2049, kFrames = 1292;
  constexpr int kComponents = 4, kTemplate = 8, kIterations = 30;
  const auto v = noise<T>(kBins * kFrames);
  const auto first = start<T>(kBins, kFrames, kComponents, kTemplate);
  FitOptions<T> options;
  options.iterations = kIterations;
  options.update = update;
  for (auto _ : state) {
    benchmark::DoNotOptimize(fit<T>({v.data(), kBins, kFrames, kFrames}, first, options).factors.h.data());
  }
  const double products = update == Update::clean ? 4 : 3;
  report_flops(state, 2.0 * products * kBins * kFrames * kComponents * kTemplate * kIterations);
}
void NmfdToolboxFloat(benchmark::State& state) { Nmfd<float>(state, Update::toolbox_nmfd); }
void NmfdToolboxDouble(benchmark::State& state) { Nmfd<double>(state, Update::toolbox_nmfd); }
void NmfdCleanFloat(benchmark::State& state) { Nmfd<float>(state, Update::clean); }
void NmfdCleanDouble(benchmark::State& state) { Nmfd<double>(state, Update::clean); }
BENCHMARK(NmfdToolboxFloat)->Unit(benchmark::kMillisecond);
BENCHMARK(NmfdToolboxDouble)->Unit(benchmark::kMillisecond);
BENCHMARK(NmfdCleanFloat)->Unit(benchmark::kMillisecond);
BENCHMARK(NmfdCleanDouble)->Unit(benchmark::kMillisecond);

/// Plain KL-NMF, `components` in the argument, 10 iterations.
void Nmf(benchmark::State& state) {
  constexpr std::int64_t kBins = 2049, kFrames = 2068;
  const auto components = static_cast<int>(state.range(0));
  const auto v = noise<float>(kBins * kFrames);
  const auto first = start<float>(kBins, kFrames, components, 1);
  FitOptions<float> options;
  options.iterations = 10;
  for (auto _ : state) {
    benchmark::DoNotOptimize(fit<float>({v.data(), kBins, kFrames, kFrames}, first, options).factors.h.data());
  }
  report_flops(state, 80.0 * kBins * kFrames * components);
}
BENCHMARK(Nmf)->Arg(16)->Arg(200)->Unit(benchmark::kMillisecond);

/// One second of stereo at 44.1 kHz, hop 1024: 86 columns, R 200, 100 iterations.
void Supervised(benchmark::State& state) {
  constexpr std::int64_t kBins = 2049, kColumns = 86;
  constexpr int kComponents = 200, kIterations = 100;
  const FixedTemplates<float> templates(noise<float>(kBins * kComponents), kBins, kComponents);
  const auto v = noise<float>(kBins * kColumns);
  FitOptions<float> options;
  options.iterations = kIterations;
  std::vector<float> h;
  for (auto _ : state) {
    h.assign(static_cast<std::size_t>(kColumns * kComponents), 1.0F);
    templates.activations(v.data(), kColumns, kBins, h.data(), options);
    benchmark::DoNotOptimize(h.data());
  }
  report_flops(state, 4.0 * kBins * kColumns * kComponents * kIterations);
}
BENCHMARK(Supervised)->Unit(benchmark::kMillisecond);

}  // namespace
