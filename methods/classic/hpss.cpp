#include "methods/classic/hpss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/parallel.h"

namespace mss::methods::classic {
namespace {

void check_length(int length, const char* what) {
  if (length < 1 || length % 2 == 0) {
    throw Error({Code::invalid_argument, "hpss", std::string("bad length of the median over ") + what,
                 "an odd number >= 1", std::to_string(length), ""});
  }
}

/// Index reflected with the edge repeated, for any distance outside.
std::int64_t reflect(std::int64_t i, std::int64_t n) {
  const std::int64_t period = 2 * n;
  i %= period;
  if (i < 0) i += period;
  return i < n ? i : period - 1 - i;
}

/// Running median along one line of n samples, `stride` apart. The window is kept sorted: one removal and one insertion
/// a step.
template <class T>
void running_median(const T* in, T* out, std::int64_t n, std::int64_t stride, int length, std::vector<T>& window) {
  const std::int64_t half = length / 2;
  window.clear();
  for (std::int64_t i = -half; i <= half; ++i) window.push_back(in[reflect(i, n) * stride]);
  std::sort(window.begin(), window.end());
  for (std::int64_t i = 0; i < n; ++i) {
    out[i * stride] = window[static_cast<std::size_t>(half)];
    if (i + 1 == n) break;
    const T leaves = in[reflect(i - half, n) * stride], enters = in[reflect(i + half + 1, n) * stride];
    auto hole = std::lower_bound(window.begin(), window.end(), leaves);
    // Shift the values between the two places by one: cheaper than erase and insert.
    auto place = std::lower_bound(window.begin(), window.end(), enters);
    if (place > hole) {
      std::move(hole + 1, place, hole);
      *(place - 1) = enters;
    } else {
      std::move_backward(place, hole, hole + 1);
      *place = enters;
    }
  }
}

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
std::vector<T> median_over_time(const std::vector<T>& v, std::int64_t frames, int bins, int length, int threads) {
  check_length(length, "time");
  MSS_ASSERT(v.size() == static_cast<std::size_t>(frames * bins));
  std::vector<T> out(v.size());
  if (frames == 0) return out;
  constexpr int kBlock = 16;  // bins of one cache line are taken together
  core::parallel_for((bins + kBlock - 1) / kBlock, threads, [&](std::int64_t block) {
    std::vector<T> window;
    const int end = std::min<int>(bins, static_cast<int>(block + 1) * kBlock);
    for (int k = static_cast<int>(block) * kBlock; k < end; ++k) {
      running_median(v.data() + k, out.data() + k, frames, bins, length, window);
    }
  });
  return out;
}

template <class T>
std::vector<T> median_over_bins(const std::vector<T>& v, std::int64_t frames, int bins, int length, int threads) {
  check_length(length, "frequency");
  MSS_ASSERT(v.size() == static_cast<std::size_t>(frames * bins));
  std::vector<T> out(v.size());
  constexpr std::int64_t kBlock = 32;
  core::parallel_for((frames + kBlock - 1) / kBlock, threads, [&](std::int64_t block) {
    std::vector<T> window;
    const std::int64_t end = std::min(frames, (block + 1) * kBlock);
    for (std::int64_t n = block * kBlock; n < end; ++n) {
      running_median(v.data() + n * bins, out.data() + n * bins, bins, 1, length, window);
    }
  });
  return out;
}

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

#define MSS_INSTANTIATE(T)                                                                      \
  template std::vector<T> median_over_time(const std::vector<T>&, std::int64_t, int, int, int); \
  template std::vector<T> median_over_bins(const std::vector<T>&, std::int64_t, int, int, int); \
  template HpssMasks<T> hpss_masks(const std::vector<T>&, std::int64_t, int, const HpssOptions&, int);
MSS_INSTANTIATE(float)
MSS_INSTANTIATE(double)

}  // namespace mss::methods::classic
