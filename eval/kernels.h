// Inner loops of the scorer, compiled once per instruction set (eval/kernels.cpp). Internal to mss::eval.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mss::eval {

/// Sums over one stretch of one channel, reference s and estimate e, in float64; d = e - s.
struct PairSums {
  double error2 = 0;     ///< sum d^2
  double cross = 0;      ///< sum d*s
  double estimate2 = 0;  ///< sum e^2
  double estimate1 = 0;  ///< sum e
};
struct OwnSums {
  double energy = 0;  ///< sum s^2
  double sum = 0;     ///< sum s
};

/// One instruction set's entry points.
struct Kernels {
  void (*pair_sums_f32)(const float* s, const float* e, std::int64_t n, PairSums* out);
  void (*pair_sums_f64)(const double* s, const double* e, std::int64_t n, PairSums* out);
  void (*own_sums_f32)(const float* s, std::int64_t n, OwnSums* out);
  void (*own_sums_f64)(const double* s, std::int64_t n, OwnSums* out);
};

/// The set of the active instruction set (core/isa.h).
const Kernels& kernels();

}  // namespace mss::eval
