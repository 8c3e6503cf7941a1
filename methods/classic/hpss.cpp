#include "methods/classic/hpss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/parallel.h"

namespace mss::methods::classic {
namespace {

template <class T>
T powered(T x, double power) {
  return power == 2 ? x * x : power == 1 ? x : static_cast<T>(std::pow(x, static_cast<T>(power)));
}

template <class T>
T soft_mask(T x, T reference, double power, T undefined) {
  const T largest = std::max(x, reference);
  if (largest < std::numeric_limits<T>::min()) return undefined;
  const T a = powered(x / largest, power), b = powered(reference / largest, power);
  return a / (a + b);
}

}  // namespace

template <class T>
HpssMasks<T> hpss_masks(const std::vector<T>& v, std::int64_t frames, int bins, const HpssOptions& options,
                        int threads) {
  if (!(options.power > 0) || options.margin_harmonic < 1 || options.margin_percussive < 1) {
    throw Error({Code::invalid_argument, "hpss", "bad mask options", "power > 0, margins >= 1", "", ""});
  }
  HpssMasks<T> out;
  out.harmonic = median_over_time(v, frames, bins, options.kernel_frames, threads);
  out.percussive = median_over_bins(v, frames, bins, options.kernel_bins, threads);
  const T undefined = options.margin_harmonic == 1 && options.margin_percussive == 1 ? T(0.5) : T(0);
  core::parallel_for(frames, threads, [&](std::int64_t n) {
    for (std::int64_t i = n * bins; i < (n + 1) * bins; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const T h = out.harmonic[at], p = out.percussive[at];
      out.harmonic[at] = soft_mask(h, static_cast<T>(options.margin_harmonic) * p, options.power, undefined);
      out.percussive[at] = soft_mask(p, static_cast<T>(options.margin_percussive) * h, options.power, undefined);
    }
  });
  return out;
}

template HpssMasks<float> hpss_masks(const std::vector<float>&, std::int64_t, int, const HpssOptions&, int);
template HpssMasks<double> hpss_masks(const std::vector<double>&, std::int64_t, int, const HpssOptions&, int);

}  // namespace mss::methods::classic
