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

// Spectra below are split: a signal's real row of `stride` doubles, then its imaginary row; stride is a multiple of 8
// and the rows are 64-byte aligned.

/// acc(i, j) += sum over blocks of conj(a_i) b_j, per bin; with `upper` only what (i <= j) needs is computed.
struct CrossProducts {
  const double* a = nullptr;  ///< signal i of block k: a + k * a_block_stride + i * 2 * stride
  const double* b = nullptr;
  int na = 0, nb = 0, blocks = 0;
  std::int64_t a_block_stride = 0, b_block_stride = 0;
  std::int64_t stride = 0;
  bool upper = false;
  double* acc = nullptr;  ///< (i, j) at acc + (i * nb + j) * 2 * stride
};

/// out(i, j) = sum_k m(i, k) in(k, j), or with `adjoint` conj(m(k, i)) in(k, j), per bin.
struct SpectralProduct {
  const double* m = nullptr;   ///< (i, k) at m + (i * n + k) * 2 * stride
  const double* in = nullptr;  ///< (k, j) at in + (j * n + k) * 2 * stride
  double* out = nullptr;
  int n = 0, columns = 0;
  bool adjoint = false, add = false, subtract = false;
  std::int64_t stride = 0;
};

/// Energies of the BSS Eval decomposition, per frame and output channel, summed over bins.
///   p = sum over all x_k of c(o, k) x_k, q = the same over the target's own channels with its own filters,
///   s = the target's reference channel, d = the error signal.
/// sums[(frame * outputs + o) * 6 + …]: |q|^2, |s+q|^2, |p-q|^2, |s+p|^2, |d-p|^2, |d-q|^2.
struct FrameEnergies {
  int frames = 0, outputs = 0, inputs = 0, own_inputs = 0;
  const double* const* x = nullptr;  ///< spectrum of input k in frame f: x[f * inputs + k]
  const double* const* d = nullptr;  ///< error signal of output o in frame f: d[f * outputs + o]
  const double* c = nullptr;         ///< filter (o, k) at c + (o * inputs + k) * 2 * stride
  const double* own = nullptr;       ///< filter (o, k) at own + (o * own_inputs + k) * 2 * stride
  const int* own_index = nullptr;    ///< [o * own_inputs + k]: which input, -1 = none
  const int* reference = nullptr;    ///< [o]: which input is the target's own channel, -1 = a zero channel
  std::int64_t stride = 0;
  double* sums = nullptr;
};

/// Widest padded row that the kernels take (128 sources of 8 channels).
inline constexpr int kMaxPadded = 1024;

/// One order of the block Levinson recursion: block rows of k x `padded` doubles (padded a multiple of 8, zeros beyond
/// k).
struct LevinsonStep {
  int k = 0, padded = 0, order = 0;
  const double* r = nullptr;  ///< transposed correlation blocks: lag m at r + m * k * padded
  double* forward = nullptr;  ///< block i at forward + i * k * padded
  double* backward = nullptr;
};

/// One instruction set's entry points.
struct Kernels {
  void (*pair_sums_f32)(const float* s, const float* e, std::int64_t n, PairSums* out);
  void (*pair_sums_f64)(const double* s, const double* e, std::int64_t n, PairSums* out);
  void (*own_sums_f32)(const float* s, std::int64_t n, OwnSums* out);
  void (*own_sums_f64)(const double* s, std::int64_t n, OwnSums* out);
  /// out = plus - minus (minus may be null) in float64; returns 0 when all of it lies on the grid of 2^-15.
  int (*load_f32)(const float* plus, const float* minus, std::int64_t n, double* out);
  void (*deinterleave)(const double* z, std::int64_t n, double* re, double* im);
  void (*interleave)(const double* re, const double* im, std::int64_t n, double* z);
  void (*cross_products)(const CrossProducts& args);
  void (*spectral_product)(const SpectralProduct& args);
  void (*frame_energies)(const FrameEnergies& args);
  void (*levinson_delta)(const LevinsonStep& args, double* delta);
  void (*levinson_update)(const LevinsonStep& args, const double* c1, const double* c2);
};

/// The set of the active instruction set (core/isa.h).
const Kernels& kernels();

}  // namespace mss::eval
