#include "methods/median.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/parallel.h"

namespace mss::methods {
namespace {

void check_length(int length, const char* what) {
  if (length < 1 || length % 2 == 0) {
    throw Error({Code::invalid_argument, "median", std::string("bad length of the median over ") + what,
                 "an odd number >= 1", std::to_string(length), ""});
  }
}

/// One value leaves the sorted window and another enters. Shifting the values between the two places by one is cheaper
/// than erasing and inserting.
template <class T>
void replace(std::vector<T>& window, T leaves, T enters) {
  const auto hole = std::lower_bound(window.begin(), window.end(), leaves);
  const auto place = std::lower_bound(window.begin(), window.end(), enters);
  if (place > hole) {
    std::move(hole + 1, place, hole);
    *(place - 1) = enters;
  } else {
    std::move_backward(place, hole, hole + 1);
    *place = enters;
  }
}

/// Running median along one line of n samples, `stride` apart. The window is kept sorted: one removal and one insertion
/// a step.
template <class T>
void running_median(const T* in, T* out, std::int64_t n, std::int64_t stride, int length, std::vector<T>& window) {
  const std::int64_t half = length / 2;
  window.clear();
  for (std::int64_t i = -half; i <= half; ++i) window.push_back(in[reflected_index(i, n) * stride]);
  std::sort(window.begin(), window.end());
  for (std::int64_t i = 0; i < n; ++i) {
    out[i * stride] = window[static_cast<std::size_t>(half)];
    if (i + 1 == n) break;
    replace(window, in[reflected_index(i - half, n) * stride], in[reflected_index(i + half + 1, n) * stride]);
  }
}

}  // namespace

std::int64_t reflected_index(std::int64_t i, std::int64_t n) {
  const std::int64_t period = 2 * n;
  i %= period;
  if (i < 0) i += period;
  return i < n ? i : period - 1 - i;
}

std::vector<float> reflected_frames(const std::vector<float>& v, std::int64_t kept, std::int64_t known, bool ended,
                                    std::int64_t begin, std::int64_t end, int bins) {
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>((end - begin) * bins));
  for (std::int64_t n = begin; n < end; ++n) {
    const std::int64_t at = ended ? reflected_index(n, known) : n < 0 ? -1 - n : n;
    const auto frame = v.begin() + (at - kept) * bins;
    out.insert(out.end(), frame, frame + bins);
  }
  return out;
}

template <class T>
std::vector<T> inner_median_over_time(const std::vector<T>& v, std::int64_t frames, int bins, int length, int threads) {
  check_length(length, "time");
  MSS_ASSERT(v.size() == static_cast<std::size_t>(frames * bins) && frames >= length);
  const std::int64_t count = frames - length + 1;
  std::vector<T> out(static_cast<std::size_t>(count * bins));
  constexpr int kBlock = 16;  // bins of one cache line are taken together
  core::parallel_for((bins + kBlock - 1) / kBlock, threads, [&](std::int64_t block) {
    std::vector<T> window(static_cast<std::size_t>(length));
    const int end = std::min<int>(bins, static_cast<int>(block + 1) * kBlock);
    for (int k = static_cast<int>(block) * kBlock; k < end; ++k) {
      const T* in = v.data() + k;
      for (int i = 0; i < length; ++i) window[static_cast<std::size_t>(i)] = in[std::int64_t{i} * bins];
      std::sort(window.begin(), window.end());
      for (std::int64_t n = 0; n < count; ++n) {
        out[static_cast<std::size_t>(n * bins + k)] = window[static_cast<std::size_t>(length / 2)];
        if (n + 1 < count) replace(window, in[n * bins], in[(n + length) * bins]);
      }
    }
  });
  return out;
}

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

template std::vector<float> median_over_time(const std::vector<float>&, std::int64_t, int, int, int);
template std::vector<float> median_over_bins(const std::vector<float>&, std::int64_t, int, int, int);
template std::vector<float> inner_median_over_time(const std::vector<float>&, std::int64_t, int, int, int);
template std::vector<double> inner_median_over_time(const std::vector<double>&, std::int64_t, int, int, int);
template std::vector<double> median_over_time(const std::vector<double>&, std::int64_t, int, int, int);
template std::vector<double> median_over_bins(const std::vector<double>&, std::int64_t, int, int, int);

}  // namespace mss::methods
