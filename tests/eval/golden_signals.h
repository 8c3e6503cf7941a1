// The integer signal generator of tests/golden/bsseval.json ("generator" there), in C++.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/value.h"
#include "eval/signal.h"

namespace mss::tests {

/// (sources S, samples N, channels I), sample-major inside a source like the golden file's arrays.
struct IntSignals {
  int sources = 0, channels = 0;
  std::int64_t samples = 0;
  std::vector<std::int64_t> data;
  std::int64_t& at(int j, std::int64_t n, int c) {
    return data[static_cast<std::size_t>((j * samples + n) * channels + c)];
  }
  std::int64_t at(int j, std::int64_t n, int c) const {
    return data[static_cast<std::size_t>((j * samples + n) * channels + c)];
  }
};

inline IntSignals make_signals(int sources, std::int64_t samples, int channels) {
  return {sources, channels, samples,
          std::vector<std::int64_t>(static_cast<std::size_t>(sources * samples * channels))};
}

inline std::vector<std::int64_t> lcg(std::uint32_t seed, std::int64_t n) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(n));
  std::uint32_t s = seed;
  for (auto& v : out) {
    s = 1664525u * s + 1013904223u;
    v = static_cast<std::int64_t>(s >> 16) - 32768;
  }
  return out;
}

inline std::vector<std::int64_t> smooth(const std::vector<std::int64_t>& w) {
  std::vector<std::int64_t> y(w.size());
  std::int64_t last = 0;
  for (std::size_t i = 0; i < w.size(); ++i) last = y[i] = (w[i] + last) >> 1;
  return y;
}

inline IntSignals golden_references(int k, int sources, std::int64_t samples, int channels) {
  static const double f1[] = {110.0, 196.0, 523.25, 1046.5}, f2[] = {220.5, 293.66, 659.26, 1318.51};
  static const std::int64_t pan[4][3] = {{16, 10, 2}, {9, 16, 5}, {14, 14, 1}, {6, 15, 9}};
  constexpr double kPi = 3.14159265358979323846;
  IntSignals r = make_signals(sources, samples, channels);
  for (int j = 0; j < sources; ++j) {
    const auto y = smooth(lcg(static_cast<std::uint32_t>(1000 * k + 10 * j + 1), samples));
    const auto u = smooth(lcg(static_cast<std::uint32_t>(1000 * k + 10 * j + 2), samples));
    std::vector<std::int64_t> b(y.size());
    for (std::int64_t n = 0; n < samples; ++n) {
      const double t = static_cast<double>(n);
      b[static_cast<std::size_t>(n)] =
          (y[static_cast<std::size_t>(n)] >> 2) +
          static_cast<std::int64_t>(std::floor(6000 * std::sin(2 * kPi * f1[j % 4] * t / 8000) +
                                               4000 * std::sin(2 * kPi * f2[j % 4] * t / 8000) + 0.5));
    }
    const auto& p = pan[j % 4];
    for (std::int64_t n = 0; n < samples; ++n) {
      if (channels == 1) {
        r.at(j, n, 0) = b[static_cast<std::size_t>(n)];
      } else {
        const std::int64_t delayed = n >= p[2] ? b[static_cast<std::size_t>(n - p[2])] : 0;
        r.at(j, n, 0) = (p[0] * b[static_cast<std::size_t>(n)]) >> 4;
        r.at(j, n, 1) = (p[1] * delayed + 2 * u[static_cast<std::size_t>(n)]) >> 4;
      }
    }
  }
  return r;
}

inline IntSignals golden_estimates(int k, const IntSignals& r) {
  IntSignals e = make_signals(r.sources, r.samples, r.channels);
  for (int j = 0; j < r.sources; ++j) {
    for (int c = 0; c < r.channels; ++c) {
      const int oc = r.channels == 1 ? c : 1 - c;
      const auto noise = lcg(static_cast<std::uint32_t>(1000 * k + 10 * j + 3 + c), r.samples);
      for (std::int64_t n = 0; n < r.samples; ++n) {
        const std::int64_t a = n >= 3 ? r.at(j, n - 3, oc) : 0;
        const std::int64_t b = n >= 1 ? r.at((j + 1) % r.sources, n - 1, c) : 0;
        e.at(j, n, c) = (220 * r.at(j, n, c) + 24 * a + 20 * b + 10 * noise[static_cast<std::size_t>(n)]) >> 8;
      }
    }
  }
  return e;
}

/// sum, wsum, min and max of the golden file's self-check.
inline bool matches_check(const IntSignals& s, const core::Value& check) {
  std::int64_t sum = 0, wsum = 0, low = s.data[0], high = s.data[0];
  for (std::size_t i = 0; i < s.data.size(); ++i) {
    sum += s.data[i];
    wsum += static_cast<std::int64_t>(i % 65521 + 1) * s.data[i];
    low = std::min(low, s.data[i]);
    high = std::max(high, s.data[i]);
  }
  bool same = sum == check.at("sum").as_integer() && wsum == check.at("wsum").as_integer() &&
              low == check.at("min").as_integer() && high == check.at("max").as_integer();
  const auto& first = check.at("first8").as_array();
  for (std::size_t i = 0; i < first.size(); ++i) same = same && s.data[i] == first[i].as_integer();
  return same;
}

/// Planar float32 or float64 copies on the scale of 1/32768, and looks at them.
template <class T>
struct PlanarSignals {
  std::vector<std::vector<T>> data;
  std::vector<eval::Signal> views;
  explicit PlanarSignals(const IntSignals& s, double scale = 1.0 / 32768.0) {
    for (int j = 0; j < s.sources; ++j) {
      std::vector<T> x(static_cast<std::size_t>(s.channels * s.samples));
      for (int c = 0; c < s.channels; ++c)
        for (std::int64_t n = 0; n < s.samples; ++n)
          x[static_cast<std::size_t>(c * s.samples + n)] = static_cast<T>(static_cast<double>(s.at(j, n, c)) * scale);
      data.push_back(std::move(x));
    }
    for (const auto& x : data) views.emplace_back(x.data(), s.channels, s.samples, s.samples);
  }
};

/// Numbers of the golden files, where NaN and infinities are strings.
inline double golden_number(const core::Value& v) {
  if (v.is_string()) {
    const std::string& s = v.as_string();
    if (s == "nan") return std::numeric_limits<double>::quiet_NaN();
    return s == "inf" ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
  }
  return v.as_real();
}

/// |a - b| <= tolerance; NaN only equals NaN; from 200 dB on an estimate is perfect and the digits are rounding noise.
inline bool db_equal(double a, double b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (a >= 200 && b >= 200) return true;
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return std::abs(a - b) <= tolerance;
}

}  // namespace mss::tests
