// Start values of the NMF toolbox (docs/nmf.md): templates per component as K x T row-major matrices, activations R x
// M. Every template set is divided by eps + its sum at the end, as initTemplates does. Functions without state;
// arguments out of range throw Error(invalid_argument).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "methods/nmf/nmf.h"

namespace mss::methods::nmf {

/// MT19937 (Matsumoto & Nishimura 1998) seeded with one integer, and NumPy's legacy doubles in [0, 1): what
/// `numpy.random.seed(s); rand()` yields. For the toolbox's start values only; everything else draws from core/rng.h.
class LegacyRandom {
 public:
  explicit LegacyRandom(std::uint32_t seed) noexcept;
  std::uint32_t next_u32() noexcept;
  double uniform() noexcept;

 private:
  std::uint32_t state_[624];
  int index_ = 624;
};

/// templates[r][k * T + t]
using Templates = std::vector<std::vector<double>>;

/// One draw of K x T per component, in order. The toolbox always uses seed 0, libnmfd 42.
Templates random_templates(std::int64_t bins, int template_frames, int components, std::uint32_t seed = 0);
Templates uniform_templates(std::int64_t bins, int template_frames, int components);
/// One template per distinct MIDI pitch, ascending: eps, and 1/h around harmonic h = 1 … 25 from three quarters of a
/// semitone below to as much above (one bin low, a leftover of 1-based indices). Harmonics above the last bin are left
/// out, where the toolbox fails.
Templates pitched_templates(std::int64_t bins, int template_frames, std::span<const int> pitches, double bin_hz);
/// Mean magnitude spectra of isolated sounds of each class (K values each; the learned stand-in for the toolbox's
/// stored drum matrix), falling linearly from 1 to 0.1 over T frames as its drum templates do.
Templates spectrum_templates(const std::vector<std::vector<double>>& spectra, int template_frames);

/// Rows [r * M + m].
std::vector<double> uniform_activations(int components, std::int64_t frames);
std::vector<double> random_activations(int components, std::int64_t frames, std::uint32_t seed = 0);

struct Note {
  int pitch = 0;  ///< MIDI pitch, or drum class from 1
  double onset_s = 0, duration_s = 0;
};
/// One row per distinct pitch, ascending: eps, and 1 while a note of it sounds (25 ms earlier and longer; rounded half
/// to even, one frame low; an index of -1 means the last frame, as in Python).
std::vector<double> pitched_activations(std::span<const Note> notes, std::int64_t frames, double frame_s,
                                        double tolerance_s = 0.025);
/// One row per drum class 1 … max: an impulse per onset, then exponential decay (nema).
std::vector<double> drum_activations(std::span<const Note> notes, std::int64_t frames, double frame_s,
                                     double decay = 0.75);

/// y_0 = x_0, y_n = max(x_n, d y_(n-1) + (1 - d) x_n) along each row; d is clamped to [0, 0.9999999].
std::vector<double> nema(std::span<const double> x, int rows, double decay);

/// Sets both factors of `f`.
template <class T>
void set_templates(Factors<T>& f, const Templates& templates);
template <class T>
void set_activations(Factors<T>& f, std::span<const double> h);

extern template void set_templates(Factors<float>&, const Templates&);
extern template void set_templates(Factors<double>&, const Templates&);
extern template void set_activations(Factors<float>&, std::span<const double>);
extern template void set_activations(Factors<double>&, std::span<const double>);

}  // namespace mss::methods::nmf
