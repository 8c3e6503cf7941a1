// A complex Fourier transform of our own: radix 2, fixed order of operations, twiddle factors from datasets/synth/math.h.
// FFTW is faster, but its plans, and with them the last bits, depend on the machine.
#pragma once

#include <cstddef>
#include <vector>

namespace mss::datasets::synth {

/// Real and imaginary parts of a spectrum or a signal.
struct Complexes {
  std::vector<double> re, im;
  Complexes() = default;
  explicit Complexes(std::size_t size) : re(size), im(size) {}
};

class Fft {
 public:
  explicit Fft(std::size_t size);  ///< a power of two, at least 2
  std::size_t size() const noexcept { return size_; }
  /// X[k] = sum over n of x[n] e^(-2 pi i k n / size), in place.
  void forward(Complexes& x) const;
  /// The inverse times `size`, in place.
  void backward(Complexes& x) const;

 private:
  std::size_t size_;
  std::vector<double> cos_, sin_;  // per stage, one after the other
};

}  // namespace mss::datasets::synth
