#include "methods/classic/dft2.h"

#include <fftw3.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <memory>
#include <mutex>

#include "audio/fftw_mutex.h"
#include "core/error.h"

namespace mss::methods::classic {
namespace {

using Complex = std::complex<double>;

/// In-place complex 2-D transform of an N x F array; unnormalised in both directions.
void dft2(std::vector<Complex>& data, std::int64_t frames, int bins, int sign) {
  auto* p = reinterpret_cast<fftw_complex*>(data.data());
  fftw_plan plan = nullptr;
  {
    const std::lock_guard lock(audio::fftw_planner_mutex());
    plan = fftw_plan_dft_2d(static_cast<int>(frames), bins, p, p, sign, FFTW_ESTIMATE | FFTW_UNALIGNED);
  }
  fftw_execute(plan);
  const std::lock_guard lock(audio::fftw_planner_mutex());
  fftw_destroy_plan(plan);
}

}  // namespace

std::vector<float> dft2_mask(const std::vector<float>& v, std::int64_t frames, int bins, const Dft2Options& options) {
  if (options.neighbourhood < 3 || options.neighbourhood % 2 == 0) {
    throw Error({Code::invalid_argument, "dft2", "bad neighbourhood", "an odd number >= 3",
                 std::to_string(options.neighbourhood), ""});
  }
  MSS_ASSERT(v.size() == static_cast<std::size_t>(frames * bins));
  const std::size_t size = v.size();
  std::vector<float> mask(size, 0.0f);
  if (size == 0) return mask;
  std::vector<Complex> transform(v.begin(), v.end());
  dft2(transform, frames, bins, FFTW_FORWARD);
  std::vector<double> d(size);
  double largest = 0;
  for (std::size_t i = 0; i < size; ++i) {
    d[i] = std::abs(transform[i]);
    largest = std::max(largest, d[i]);
  }
  if (largest == 0) return mask;
  for (double& x : d) x /= largest;
  double sum = 0, square = 0;
  for (const double x : d) {
    sum += x;
    square += x * x;
  }
  const auto count = static_cast<double>(size);
  const double spread = std::sqrt(std::max(0.0, square / count - (sum / count) * (sum / count)));

  // The rate axis is the transform of time: it runs along n. Neighbourhoods are cyclic columns of constant k.
  std::vector<double> strength(size, 0.0);
  const std::int64_t half = std::min<std::int64_t>(options.neighbourhood / 2, (frames - 1) / 2);
  const auto width = static_cast<double>(2 * half + 1);
  std::vector<double> column(static_cast<std::size_t>(frames));
  double strongest = 0;
  for (int k = 0; k < bins; ++k) {
    for (std::int64_t n = 0; n < frames; ++n) {
      column[static_cast<std::size_t>(n)] = d[static_cast<std::size_t>(n * bins + k)];
    }
    for (std::int64_t n = 0; n < frames; ++n) {
      const double here = column[static_cast<std::size_t>(n)];
      double high = here, low = here, s = 0, q = 0;
      for (std::int64_t o = -half; o <= half; ++o) {
        const double x = column[static_cast<std::size_t>((n + o + frames) % frames)];
        high = std::max(high, x);
        low = std::min(low, x);
        s += x;
        q += x * x;
      }
      if (here != high) continue;
      double value = 0;
      if (options.original) {
        value = high - low > spread ? 1.0 : 0.0;
      } else {
        const double mean = s / width, deviation = std::sqrt(std::max(0.0, q / width - mean * mean));
        value = (high - mean) / (deviation + 1e-7);
      }
      strength[static_cast<std::size_t>(n * bins + k)] = value;
      strongest = std::max(strongest, value);
    }
  }
  if (strongest == 0) return mask;
  std::vector<double> symmetric(size);
  for (std::int64_t n = 0; n < frames; ++n) {
    const std::int64_t n2 = (frames - n) % frames;
    for (int k = 0; k < bins; ++k) {
      const int k2 = (bins - k) % bins;
      const auto at = [&](std::int64_t a, int b) { return strength[static_cast<std::size_t>(a * bins + b)]; };
      symmetric[static_cast<std::size_t>(n * bins + k)] =
          std::max(std::max(at(n, k), at(n2, k)), std::max(at(n, k2), at(n2, k2))) / strongest;
    }
  }
  for (std::size_t i = 0; i < size; ++i) transform[i] *= symmetric[i];
  dft2(transform, frames, bins, FFTW_BACKWARD);
  double top = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const double background = std::min(std::abs(transform[i].real()) / count, static_cast<double>(v[i]));
    const double m = v[i] > 0 ? background / static_cast<double>(v[i]) : 0.0;
    mask[i] = static_cast<float>(m);
    top = std::max(top, m);
  }
  if (top > 0) {
    for (float& m : mask) m = static_cast<float>(static_cast<double>(m) / top);
  }
  return mask;
}

}  // namespace mss::methods::classic
