// Golden arrays of tests/golden/nmf.json and the formulas of their inputs (docs/nmf.md, "Golden values").
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/json.h"
#include "methods/nmf/nmf.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::tests::nmf {

inline const core::Value& golden() {
  static const core::Value value = core::read_json_file(tests::golden("nmf.json"));
  return value;
}

inline void flatten_into(const core::Value& value, std::vector<double>& out) {
  if (value.is_array()) {
    for (const auto& item : value.as_array()) flatten_into(item, out);
  } else {
    out.push_back(value.as_real());
  }
}

/// Numbers of a nested array in order.
inline std::vector<double> numbers(const core::Value& value) {
  std::vector<double> out;
  flatten_into(value, out);
  return out;
}

inline double v_at(std::int64_t k, std::int64_t m) {
  return static_cast<double>((7 * k + 13 * m + 3 * k * m) % 17 + 1) / 17.0;
}
inline double w_at(std::int64_t k, std::int64_t r, std::int64_t t = 0) {
  return static_cast<double>((5 * k + 11 * r + 3 * t + 2) % 13 + 1) / 13.0;
}
inline double h_at(std::int64_t r, std::int64_t m) { return static_cast<double>((3 * m + 7 * r + 1) % 11 + 1) / 11.0; }

template <class T>
std::vector<T> golden_v(std::int64_t bins, std::int64_t frames) {
  std::vector<T> v;
  for (std::int64_t k = 0; k < bins; ++k) {
    for (std::int64_t m = 0; m < frames; ++m) v.push_back(static_cast<T>(v_at(k, m)));
  }
  return v;
}

template <class T>
methods::nmf::Factors<T> golden_start(std::int64_t bins, std::int64_t frames, int components, int template_frames,
                                      bool ones_h = false) {
  methods::nmf::Factors<T> f(bins, frames, components, template_frames);
  for (std::int64_t k = 0; k < bins; ++k) {
    for (int t = 0; t < template_frames; ++t) {
      for (int r = 0; r < components; ++r) f.w_at(k, t, r) = static_cast<T>(w_at(k, r, t));
    }
  }
  for (int r = 0; r < components; ++r) {
    for (std::int64_t m = 0; m < frames; ++m) f.h_at(r, m) = ones_h ? T(1) : static_cast<T>(h_at(r, m));
  }
  return f;
}

/// w in the order of the golden arrays: [k][r] or [k][r][t].
template <class T>
std::vector<double> w_krt(const methods::nmf::Factors<T>& f) {
  std::vector<double> out;
  for (std::int64_t k = 0; k < f.bins; ++k) {
    for (int r = 0; r < f.components; ++r) {
      for (int t = 0; t < f.template_frames; ++t) out.push_back(static_cast<double>(f.w_at(k, t, r)));
    }
  }
  return out;
}

template <class T>
std::vector<double> doubles(const std::vector<T>& x) {
  return std::vector<double>(x.begin(), x.end());
}

/// Largest |a - b| over the largest |b|.
inline double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double scale = 0, worst = 0;
  for (const double x : b) scale = std::max(scale, std::abs(x));
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]);
    if (std::isnan(d)) return INFINITY;
    worst = std::max(worst, d);
  }
  return scale > 0 ? worst / scale : worst;
}

/// The specification's tolerances: other order of summation in float64, rounding in float32.
constexpr double kTight = 1e-11;
constexpr double kSingle = 2e-5;

template <class T>
methods::nmf::MatrixView<T> view(const std::vector<T>& v, std::int64_t rows, std::int64_t columns) {
  return {v.data(), rows, columns, columns};
}

}  // namespace mss::tests::nmf
