#include "methods/classic/repet.h"

#include <fftw3.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>

#include "audio/fftw_mutex.h"
#include "core/error.h"
#include "core/parallel.h"

namespace mss::methods::classic {
namespace {

/// Median with the two middle values averaged for even counts; reorders `values`.
template <class T>
T median(std::vector<T>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

}  // namespace

template <class T>
T background_mask(T background, T v) {
  constexpr T kEps = static_cast<T>(0x1p-52);
  return (std::min(background, v) + kEps) / (v + kEps);
}

std::vector<double> beat_spectrum(const std::vector<double>& power, std::int64_t frames, int bins, int threads) {
  MSS_ASSERT(power.size() == static_cast<std::size_t>(frames * bins));
  if (frames == 0) return {};
  const auto size = static_cast<int>(2 * frames);
  const auto half = static_cast<std::size_t>(frames + 1);
  const auto deleter = [](void* p) { fftw_free(p); };
  using Real = std::unique_ptr<double, decltype(deleter)>;
  using Complex = std::unique_ptr<fftw_complex, decltype(deleter)>;
  const auto real = [&] { return Real(fftw_alloc_real(2 * static_cast<std::size_t>(frames)), deleter); };
  const auto complex = [&] { return Complex(fftw_alloc_complex(half), deleter); };

  fftw_plan forward = nullptr, inverse = nullptr;
  {
    const Real x = real();
    const Complex y = complex();
    const std::lock_guard lock(audio::fftw_planner_mutex());
    forward = fftw_plan_dft_r2c_1d(size, x.get(), y.get(), FFTW_ESTIMATE);
    inverse = fftw_plan_dft_c2r_1d(size, y.get(), x.get(), FFTW_ESTIMATE);
  }
  // The mean over bins commutes with the inverse transform: power spectra are added per block of bins, in block order.
  constexpr int kBlock = 32;
  const int blocks = (bins + kBlock - 1) / kBlock;
  std::vector<std::vector<double>> sums(static_cast<std::size_t>(blocks), std::vector<double>(half));
  core::parallel_for(blocks, threads, [&](std::int64_t block) {
    const Real x = real();
    const Complex y = complex();
    std::vector<double>& sum = sums[static_cast<std::size_t>(block)];
    for (int k = static_cast<int>(block) * kBlock; k < std::min<int>(bins, static_cast<int>(block + 1) * kBlock); ++k) {
      std::fill_n(x.get(), 2 * frames, 0.0);
      for (std::int64_t n = 0; n < frames; ++n) x.get()[n] = power[static_cast<std::size_t>(n * bins + k)];
      fftw_execute_dft_r2c(forward, x.get(), y.get());
      for (std::size_t i = 0; i < half; ++i) {
        const double re = y.get()[i][0], im = y.get()[i][1];
        sum[i] += re * re + im * im;
      }
    }
  });
  std::vector<double> beat(static_cast<std::size_t>(frames));
  {
    const Real x = real();
    const Complex y = complex();
    for (std::size_t i = 0; i < half; ++i) {
      double total = 0;
      for (const auto& sum : sums) total += sum[i];
      y.get()[i][0] = total;
      y.get()[i][1] = 0;
    }
    fftw_execute_dft_c2r(inverse, y.get(), x.get());
    for (std::int64_t l = 0; l < frames; ++l) {
      beat[static_cast<std::size_t>(l)] =
          x.get()[l] / (static_cast<double>(size) * bins * static_cast<double>(frames - l));
    }
  }
  const std::lock_guard lock(audio::fftw_planner_mutex());
  fftw_destroy_plan(forward);
  fftw_destroy_plan(inverse);
  return beat;
}

std::int64_t repeating_period(const std::vector<double>& beat, std::int64_t min_lag, std::int64_t max_lag) {
  const std::int64_t low = std::max<std::int64_t>(1, min_lag);
  const std::int64_t high = std::min<std::int64_t>(max_lag, static_cast<std::int64_t>(beat.size()) - 1);
  if (low > high) return 0;
  const auto best = std::max_element(beat.begin() + low, beat.begin() + high + 1);
  return best - beat.begin();
}

template <class T>
std::vector<T> repet_background(const std::vector<T>& v, std::int64_t frames, int bins, std::int64_t period,
                                int threads) {
  if (period < 1)
    throw Error({Code::invalid_argument, "repet", "bad period", ">= 1 frame", std::to_string(period), ""});
  MSS_ASSERT(v.size() == static_cast<std::size_t>(frames * bins));
  const std::int64_t phases = std::min(period, frames);
  std::vector<T> background(static_cast<std::size_t>(phases * bins));
  core::parallel_for(phases, threads, [&](std::int64_t phase) {
    std::vector<T> values;
    for (int k = 0; k < bins; ++k) {
      values.clear();
      for (std::int64_t n = phase; n < frames; n += period) values.push_back(v[static_cast<std::size_t>(n * bins + k)]);
      background[static_cast<std::size_t>(phase * bins + k)] = median(values);
    }
  });
  return background;
}

template <class T>
std::vector<T> repet_mask(const std::vector<T>& v, std::int64_t frames, int bins, std::int64_t period, int threads) {
  const std::vector<T> background = repet_background(v, frames, bins, period, threads);
  std::vector<T> mask(v.size());
  core::parallel_for(frames, threads, [&](std::int64_t n) {
    for (int k = 0; k < bins; ++k) {
      const auto at = static_cast<std::size_t>(n * bins + k);
      mask[at] = background_mask(background[static_cast<std::size_t>(n % period * bins + k)], v[at]);
    }
  });
  return mask;
}

template <class T>
std::vector<std::vector<std::int32_t>> similar_frames(std::vector<T> v, std::int64_t frames, int bins,
                                                      const SimilarityOptions& options, int threads) {
  MSS_ASSERT(v.size() == static_cast<std::size_t>(frames * bins));
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  // Frames of length 1, in place.
  for (std::int64_t n = 0; n < frames; ++n) {
    T* row = v.data() + n * bins;
    double sum = 0;
    for (int k = 0; k < bins; ++k) {
      const double x = static_cast<double>(row[k]);
      sum += x * x;
    }
    const double scale = sum > 0 ? 1 / std::sqrt(sum) : 0;
    for (int k = 0; k < bins; ++k) row[k] = static_cast<T>(scale * static_cast<double>(row[k]));
  }
  const Eigen::Map<const Matrix> unit(v.data(), frames, bins);
  // The similarity matrix is made in rows of blocks and only its peaks are kept: 4 minutes would be 430 MB.
  std::vector<std::vector<std::int32_t>> neighbours(static_cast<std::size_t>(frames));
  // A product with all frames at once would also take, per thread, a quarter of `v` for Eigen's copy of them.
  constexpr std::int64_t kBlock = 64, kTile = 4096;
  core::parallel_for((frames + kBlock - 1) / kBlock, threads, [&](std::int64_t block) {
    const std::int64_t begin = block * kBlock, rows = std::min(kBlock, frames - begin);
    Matrix similarity(rows, frames);
    for (std::int64_t at = 0; at < frames; at += kTile) {
      const std::int64_t count = std::min(kTile, frames - at);
      similarity.middleCols(at, count).noalias() =
          unit.middleRows(begin, rows) * unit.middleRows(at, count).transpose();
    }
    std::vector<std::pair<T, std::int32_t>> peaks;
    for (std::int64_t r = 0; r < rows; ++r) {
      peaks.clear();
      const auto row = similarity.row(r);
      for (std::int64_t j = 0; j < frames; ++j) {
        const T x = row(j);
        if (static_cast<double>(x) < options.threshold) continue;
        bool peak = true;
        const std::int64_t from = std::max<std::int64_t>(0, j - options.distance_frames);
        const std::int64_t to = std::min<std::int64_t>(frames - 1, j + options.distance_frames);
        for (std::int64_t i = from; peak && i <= to; ++i) peak = i == j || x > row(i);
        if (peak) peaks.emplace_back(x, static_cast<std::int32_t>(j));
      }
      std::sort(peaks.begin(), peaks.end(), [](const auto& a, const auto& b) {
        return a.first != b.first ? a.first > b.first : a.second < b.second;
      });
      if (peaks.size() > static_cast<std::size_t>(options.max_neighbours)) {
        peaks.resize(static_cast<std::size_t>(options.max_neighbours));
      }
      auto& out = neighbours[static_cast<std::size_t>(begin + r)];
      out.reserve(std::max<std::size_t>(peaks.size(), 1));
      for (const auto& [unused, frame] : peaks) out.push_back(frame);
      if (out.empty()) out.push_back(static_cast<std::int32_t>(begin + r));
    }
  });
  return neighbours;
}

template <class T>
void repet_sim_mask(const std::vector<T>& v, int bins, const std::vector<std::int32_t>& neighbours, const T* own,
                    T* out) {
  std::vector<T> values;
  for (int k = 0; k < bins; ++k) {
    values.clear();
    for (const std::int32_t frame : neighbours)
      values.push_back(v[static_cast<std::size_t>(std::int64_t{frame} * bins + k)]);
    out[k] = background_mask(median(values), own[k]);
  }
}

template <class T>
std::vector<T> repet_sim_mask(const std::vector<T>& v, std::int64_t frames, int bins,
                              const std::vector<std::vector<std::int32_t>>& neighbours, int threads) {
  MSS_ASSERT(v.size() == static_cast<std::size_t>(frames * bins) &&
             neighbours.size() == static_cast<std::size_t>(frames));
  std::vector<T> mask(v.size());
  core::parallel_for(frames, threads, [&](std::int64_t n) {
    repet_sim_mask(v, bins, neighbours[static_cast<std::size_t>(n)], v.data() + n * bins, mask.data() + n * bins);
  });
  return mask;
}

#define MSS_INSTANTIATE(T)                                                                               \
  template T background_mask(T, T);                                                                      \
  template std::vector<T> repet_background(const std::vector<T>&, std::int64_t, int, std::int64_t, int); \
  template std::vector<T> repet_mask(const std::vector<T>&, std::int64_t, int, std::int64_t, int);       \
  template std::vector<std::vector<std::int32_t>> similar_frames(std::vector<T>, std::int64_t, int,      \
                                                                 const SimilarityOptions&, int);         \
  template std::vector<T> repet_sim_mask(const std::vector<T>&, std::int64_t, int,                       \
                                         const std::vector<std::vector<std::int32_t>>&, int);            \
  template void repet_sim_mask(const std::vector<T>&, int, const std::vector<std::int32_t>&, const T*, T*);
MSS_INSTANTIATE(float)
MSS_INSTANTIATE(double)

}  // namespace mss::methods::classic
