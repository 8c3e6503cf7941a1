// The golden file's generator and random spectrograms for the Wiener tests.
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>
#include <vector>

#include "core/rng.h"
#include "wiener/wiener.h"

namespace mss::tests {

/// A spectrogram with its memory, in the layout of audio::Spectrogram.
template <class V>
struct Array {
  int channels = 0;
  std::int64_t frames = 0;
  int bins = 0;
  std::vector<V> values;

  Array() = default;
  Array(int c, std::int64_t n, int f) : channels(c), frames(n), bins(f), values(static_cast<std::size_t>(c * n * f)) {}
  V& at(int c, std::int64_t n, int f) { return values[static_cast<std::size_t>((c * frames + n) * bins + f)]; }
  const V& at(int c, std::int64_t n, int f) const {
    return values[static_cast<std::size_t>((c * frames + n) * bins + f)];
  }
  wiener::Grid<const V> view() const { return {values.data(), channels, frames, bins}; }
  wiener::Grid<V> span() { return {values.data(), channels, frames, bins}; }
};

template <class T>
struct Problem {
  Array<std::complex<T>> mixture;
  std::vector<Array<T>> magnitudes;

  wiener::Sources<T> sources() const {
    wiener::Sources<T> s;
    for (const auto& v : magnitudes) s.magnitudes.push_back(v.view());
    return s;
  }
  std::vector<Array<std::complex<T>>> run(const wiener::Settings& settings, int threads = 1) const {
    return run(sources(), settings, threads);
  }
  std::vector<Array<std::complex<T>>> run(const wiener::Sources<T>& from, const wiener::Settings& settings,
                                          int threads = 1) const {
    std::vector<Array<std::complex<T>>> out(static_cast<std::size_t>(wiener::output_count(from.count(), settings)),
                                            Array<std::complex<T>>(mixture.channels, mixture.frames, mixture.bins));
    std::vector<wiener::Grid<std::complex<T>>> grids;
    for (auto& y : out) grids.push_back(y.span());
    wiener::filter<T>(mixture.view(), from, grids, settings, threads);
    return out;
  }
};

/// s <- 1664525 s + 1013904223 mod 2^32, output (s >> 16) - 32768.
class Lcg {
 public:
  explicit Lcg(std::uint32_t seed) : state_(seed) {}
  double next() {
    state_ = 1664525u * state_ + 1013904223u;
    return static_cast<double>(static_cast<std::int64_t>(state_ >> 16) - 32768);
  }

 private:
  std::uint32_t state_;
};

/// The problem of tests/golden/wiener.json ("generator").
template <class T>
Problem<T> golden_problem(std::uint32_t seed, int frames, int bins, int channels, int sources, double x_scale,
                          double v_scale) {
  Problem<T> p{Array<std::complex<T>>(channels, frames, bins),
               std::vector<Array<T>>(static_cast<std::size_t>(sources), Array<T>(channels, frames, bins))};
  Lcg x(seed), v(seed + 1);
  for (int n = 0; n < frames; ++n) {
    for (int f = 0; f < bins; ++f) {
      for (int c = 0; c < channels; ++c) {
        const double re = x.next() / 32768.0 * x_scale, im = x.next() / 32768.0 * x_scale;
        p.mixture.at(c, n, f) = {static_cast<T>(re), static_cast<T>(im)};
        for (auto& source : p.magnitudes) {
          source.at(c, n, f) = static_cast<T>((v.next() + 32768.0) / 65536.0 * v_scale);
        }
      }
    }
  }
  return p;
}

/// Sources with random positions and spectra that add up to the mixture; magnitudes are the true ones times noise.
template <class T>
Problem<T> random_problem(std::uint32_t seed, int frames, int bins, int channels, int sources, double level = 1.0) {
  Problem<T> p{Array<std::complex<T>>(channels, frames, bins),
               std::vector<Array<T>>(static_cast<std::size_t>(sources), Array<T>(channels, frames, bins))};
  core::Rng rng(seed, 77);
  for (auto& source : p.magnitudes) {
    std::vector<double> gains;
    for (int c = 0; c < channels; ++c) gains.push_back(rng.uniform(-1, 1));
    for (int n = 0; n < frames; ++n) {
      for (int f = 0; f < bins; ++f) {
        const double loud = level * std::exp(rng.normal());
        const std::complex<double> s(loud * rng.normal(), loud * rng.normal());
        for (int c = 0; c < channels; ++c) {
          const std::complex<double> y =
              s * gains[static_cast<std::size_t>(c)] + 0.1 * loud * std::complex<double>(rng.normal(), rng.normal());
          p.mixture.at(c, n, f) += std::complex<T>(static_cast<T>(y.real()), static_cast<T>(y.imag()));
          source.at(c, n, f) = static_cast<T>(std::abs(y) * std::exp(0.3 * rng.normal()));
        }
      }
    }
  }
  return p;
}

}  // namespace mss::tests
