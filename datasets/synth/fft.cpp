#include "datasets/synth/fft.h"

#include <utility>

#include "datasets/synth/math.h"

namespace mss::datasets::synth {

Fft::Fft(std::size_t size) : size_(size) {
  for (std::size_t half = 1; half < size; half *= 2) {
    for (std::size_t k = 0; k < half; ++k) {
      const double turns = static_cast<double>(k) / static_cast<double>(2 * half);
      cos_.push_back(cos_turns(turns));
      sin_.push_back(-sin_turns(turns));
    }
  }
}

void Fft::forward(Complexes& x) const {
  double* const re = x.re.data();
  double* const im = x.im.data();
  for (std::size_t i = 1, j = 0; i < size_; ++i) {  // bit reversal
    std::size_t bit = size_ >> 1U;
    for (; (j & bit) != 0; bit >>= 1U) j ^= bit;
    j ^= bit;
    if (i < j) {
      std::swap(re[i], re[j]);
      std::swap(im[i], im[j]);
    }
  }
  std::size_t table = 0;
  for (std::size_t half = 1; half < size_; half *= 2) {
    const double* const c = cos_.data() + table;
    const double* const s = sin_.data() + table;
    table += half;
    for (std::size_t base = 0; base < size_; base += 2 * half) {
      double* const ar = re + base;
      double* const ai = im + base;
      double* const br = ar + half;
      double* const bi = ai + half;
      for (std::size_t k = 0; k < half; ++k) {
        const double tr = br[k] * c[k] - bi[k] * s[k];
        const double ti = br[k] * s[k] + bi[k] * c[k];
        br[k] = ar[k] - tr;
        bi[k] = ai[k] - ti;
        ar[k] += tr;
        ai[k] += ti;
      }
    }
  }
}

void Fft::backward(Complexes& x) const {
  // Swapping the parts before and after turns the transform around.
  std::swap(x.re, x.im);
  forward(x);
  std::swap(x.re, x.im);
}

}  // namespace mss::datasets::synth
