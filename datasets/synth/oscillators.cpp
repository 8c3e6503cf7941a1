#include "datasets/synth/oscillators.h"

#include "core/isa.h"
#include "datasets/synth/math.h"
#include "datasets/synth/signal.h"

namespace mss::datasets::synth {

namespace {

#define MSS_BODY [[gnu::always_inline]] inline

struct Ramp {
  double u[kHop];
  constexpr Ramp() : u() {
    for (int i = 0; i < kHop; ++i) u[i] = static_cast<double>(i) / static_cast<double>(kHop);
  }
};
constexpr Ramp kRamp;

MSS_BODY void harmonic_body(double* __restrict out, const double* __restrict turns, std::size_t count, double h,
                            double phase, double phase_step, double gain, double gain_step) {
  for (std::size_t i = 0; i < count; ++i) {
    const double u = kRamp.u[i];
    out[i] += (gain + gain_step * u) * sin_turns(h * turns[i] + (phase + phase_step * u));
  }
}

MSS_BODY void partial_body(double* __restrict out, const double* __restrict turns, std::size_t count, double h,
                           double phase, const double* __restrict gain) {
  for (std::size_t i = 0; i < count; ++i) out[i] += gain[i] * sin_turns(h * turns[i] + phase);
}

MSS_BODY void low_pass_body(double* __restrict gain, const double* __restrict level, const double* __restrict corner_hz,
                            std::size_t count, double hz) {
  for (std::size_t i = 0; i < count; ++i) {
    const double ratio = hz / corner_hz[i], square = ratio * ratio;
    gain[i] = level[i] / std::sqrt(1 + square * square);
  }
}

MSS_BODY void saturate_body(double* x, std::size_t count, double drive) {
  for (std::size_t i = 0; i < count; ++i) x[i] = tanh_of(drive * x[i]);
}

MSS_BODY void exponential_body(double* __restrict out, const double* __restrict t, std::size_t count, double scale) {
  for (std::size_t i = 0; i < count; ++i) out[i] = exp_of(scale * t[i]);
}

// Each function twice; which one runs is the same question everywhere.
#if defined(__x86_64__)
#define MSS_TWICE(NAME, BODY, PARAMETERS, ARGUMENTS)  \
  void NAME##_baseline PARAMETERS { BODY ARGUMENTS; } \
  [[gnu::target("avx2")]] void NAME##_avx2 PARAMETERS { BODY ARGUMENTS; }
#define MSS_CHOOSE(NAME, ARGUMENTS)                                   \
  static const bool wide = core::active_isa() != core::Isa::baseline; \
  if (wide) return NAME##_avx2 ARGUMENTS;                             \
  return NAME##_baseline ARGUMENTS
#else
#define MSS_TWICE(NAME, BODY, PARAMETERS, ARGUMENTS) \
  void NAME##_baseline PARAMETERS { BODY ARGUMENTS; }
#define MSS_CHOOSE(NAME, ARGUMENTS) return NAME##_baseline ARGUMENTS
#endif

MSS_TWICE(harmonic, harmonic_body,
          (double* out, const double* turns, std::size_t count, double h, double phase, double phase_step, double gain,
           double gain_step),
          (out, turns, count, h, phase, phase_step, gain, gain_step))
MSS_TWICE(partial, partial_body,
          (double* out, const double* turns, std::size_t count, double h, double phase, const double* gain),
          (out, turns, count, h, phase, gain))
MSS_TWICE(low_pass, low_pass_body,
          (double* gain, const double* level, const double* corner_hz, std::size_t count, double hz),
          (gain, level, corner_hz, count, hz))
MSS_TWICE(saturation, saturate_body, (double* x, std::size_t count, double drive), (x, count, drive))
MSS_TWICE(exponential, exponential_body, (double* out, const double* t, std::size_t count, double scale),
          (out, t, count, scale))

}  // namespace

void add_harmonic(double* out, const double* turns, std::size_t count, double h, double phase, double phase_step,
                  double gain, double gain_step) {
  MSS_CHOOSE(harmonic, (out, turns, count, h, phase, phase_step, gain, gain_step));
}

void add_partial(double* out, const double* turns, std::size_t count, double h, double phase, const double* gain) {
  MSS_CHOOSE(partial, (out, turns, count, h, phase, gain));
}

void low_passed_gain(double* gain, const double* level, const double* corner_hz, std::size_t count, double hz) {
  MSS_CHOOSE(low_pass, (gain, level, corner_hz, count, hz));
}

void saturate(double* x, std::size_t count, double drive) { MSS_CHOOSE(saturation, (x, count, drive)); }

void exponentials(double* out, const double* t, std::size_t count, double scale) {
  MSS_CHOOSE(exponential, (out, t, count, scale));
}

}  // namespace mss::datasets::synth
