#include "eval/condition.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "eval/fft.h"

namespace mss::eval {
namespace {

/// Side lobes 165 dB down: 0.1102 (165 - 8.7).
constexpr double kKaiser = 17.2;
constexpr double kRounding = 1e-15;
/// Frequencies per main lobe are many more than two at this spacing.
constexpr int kBinStep = 4;

/// The window's correlation with itself at lags 0 … taps - 1, 1 at lag 0.
std::vector<double> window_correlation(int taps) {
  const auto n = static_cast<std::size_t>(taps);
  std::vector<double> window(n), out(n);
  for (std::size_t i = 0; i < n; ++i) {
    const double x = n > 1 ? 2.0 * static_cast<double>(i) / static_cast<double>(n - 1) - 1.0 : 0.0;
    window[i] = std::cyl_bessel_i(0.0, kKaiser * std::sqrt(std::max(0.0, 1.0 - x * x)));
  }
  for (std::size_t k = 0; k < n; ++k)
    for (std::size_t i = 0; i + k < n; ++i) out[k] += window[i] * window[i + k];
  const double energy = out[0];
  for (double& v : out) v /= energy;
  return out;
}

const std::vector<double>& usual_window_correlation() {
  static const std::vector<double> made = window_correlation(512);
  return made;
}

/// Channels that are no instantaneous combination of those before them.
std::vector<int> independent(int channels, int taps, const std::vector<double>& lags) {
  const auto k = static_cast<std::size_t>(channels), width = static_cast<std::size_t>(2 * taps - 1);
  const auto at = [&](std::size_t a, std::size_t b) {
    return lags[(a * k + b) * width + static_cast<std::size_t>(taps - 1)];
  };
  std::vector<int> kept;
  std::vector<std::vector<double>> rows;  // of the Cholesky factor, per kept channel
  for (std::size_t a = 0; a < k; ++a) {
    std::vector<double> row;
    double pivot = 1;
    for (std::size_t m = 0; m < kept.size(); ++m) {
      const auto b = static_cast<std::size_t>(kept[m]);
      double s = at(a, b) / std::sqrt(at(a, a) * at(b, b));
      for (std::size_t q = 0; q < m; ++q) s -= row[q] * rows[m][q];
      row.push_back(s / rows[m][m]);
      pivot -= row[m] * row[m];
    }
    if (!(pivot > kRounding)) continue;
    row.push_back(std::sqrt(pivot));
    rows.push_back(std::move(row));
    kept.push_back(static_cast<int>(a));
  }
  return kept;
}

}  // namespace

double estimate_condition(int channels, int taps, const std::vector<double>& lags, double epsilon) {
  const std::vector<int> kept = independent(channels, taps, lags);
  const std::size_t n = kept.size(), all = static_cast<std::size_t>(channels),
                    width = static_cast<std::size_t>(2 * taps - 1);
  std::vector<double> other;
  if (taps != 512) other = window_correlation(taps);
  const std::vector<double>& w = taps == 512 ? usual_window_correlation() : other;
  int length = 16;
  while (length < 2 * taps) length *= 2;
  const RealFft fft(length);
  const std::size_t size = fft.spectrum_size(), stride = static_cast<std::size_t>(fft.stride());
  AlignedVector x(static_cast<std::size_t>(length)), scratch(fft.scratch_size()), spectra(n * (n + 1) / 2 * size);
  const auto lag = [&](int a, int b, int k) {
    return lags[(static_cast<std::size_t>(a) * all + static_cast<std::size_t>(b)) * width +
                static_cast<std::size_t>(k + taps - 1)];
  };
  std::size_t slot = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j, ++slot) {
      const int a = kept[i], b = kept[j];
      const double scale = 1.0 / std::sqrt((lag(a, a, 0) + epsilon) * (lag(b, b, 0) + epsilon));
      std::fill(x.begin(), x.end(), 0.0);
      for (int k = 1 - taps; k < taps; ++k) {
        const double r = lag(a, b, k) + (a == b && k == 0 ? epsilon : 0.0);
        x[static_cast<std::size_t>(k < 0 ? length + k : k)] = scale * w[static_cast<std::size_t>(std::abs(k))] * r;
      }
      fft.forward(x.data(), spectra.data() + slot * size, scratch.data());
    }
  }
  double largest = 0, smallest = 1;
  std::vector<std::complex<double>> l(n * (n + 1) / 2);
  for (int bin = 0; bin < fft.bins(); bin += kBinStep) {
    double trace = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t row = i * (i + 1) / 2;
      for (std::size_t j = 0; j <= i; ++j) {
        const std::size_t other_row = j * (j + 1) / 2;
        const double* s = spectra.data() + (row + j) * size + bin;
        std::complex<double> v(s[0], s[stride]);
        if (i == j) trace += v.real();
        for (std::size_t m = 0; m < j; ++m) v -= l[row + m] * std::conj(l[other_row + m]);
        if (i != j) {
          l[row + j] = v / l[other_row + j].real();
          continue;
        }
        const double pivot = std::max(v.real(), 0.1 / kLargestCondition);
        smallest = std::min(smallest, pivot);
        l[row + j] = std::sqrt(pivot);
      }
    }
    largest = std::max(largest, trace);
  }
  return std::clamp(largest / smallest, 1.0, kLargestCondition);
}

}  // namespace mss::eval
