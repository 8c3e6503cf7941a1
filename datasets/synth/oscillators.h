// Sums of sines over blocks of at most 64 samples: where the composed songs spend their time. One body of code, compiled
// for the baseline and for AVX2 without contraction, so that both give the same bits.
#pragma once

#include <cstddef>

namespace mss::datasets::synth {

/// out[i] += (gain + gain_step u) sin(2 pi (h turns[i] + phase + phase_step u)), u = i / 64.
void add_harmonic(double* out, const double* turns, std::size_t count, double h, double phase, double phase_step,
                  double gain, double gain_step);

/// out[i] += gain[i] sin(2 pi (h turns[i] + phase)).
void add_partial(double* out, const double* turns, std::size_t count, double h, double phase, const double* gain);

/// gain[i] = level[i] / sqrt(1 + (hz / corner_hz[i])^4).
void low_passed_gain(double* gain, const double* level, const double* corner_hz, std::size_t count, double hz);

/// x[i] = tanh(drive x[i]).
void saturate(double* x, std::size_t count, double drive);

/// out[i] = e^(scale t[i]).
void exponentials(double* out, const double* t, std::size_t count, double scale);

}  // namespace mss::datasets::synth
