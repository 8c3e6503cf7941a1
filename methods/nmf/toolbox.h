// The smaller tools of the NMF toolbox (docs/nmf.md), float64, as plain functions: hooks for FitOptions::before and
// after, and NMFdiag. Shapes as in nmf.h. Wrong shapes throw Error(invalid_argument).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "audio/stft.h"
#include "methods/nmf/nmf.h"

namespace mss::methods::nmf {

/// Columns of an R x M matrix moved right by `columns` (left if negative), vacated ones 0; a shift by M or more gives
/// zeros.
std::vector<double> shift(std::span<const double> x, int rows, std::int64_t columns);

/// p_r = sum of the lower half of template r's rows over its whole sum ("percussiveness": rows are stacked [percussive;
/// harmonic]).
std::vector<double> percussiveness(const Factors<double>& factors);

struct SemiFixed {
  std::vector<double> degree;  ///< per component: 0 fixed, 1 semi-fixed, above 1 adaptive
  std::vector<double> timing;
};
/// W_r <- g_r W_r + (1 - g_r) W0_r, g_r = clamp((i + 1) / L degree_r^timing_r, 0, 1), 1 where degree_r > 1, at
/// iteration i of L.
void blend_templates(Factors<double>& factors, const std::vector<double>& initial_w, int iteration, int iterations,
                     const SemiFixed& constraint);

/// H <- (1 - p) median(H) + p nema(H, decay): medians along time over `kernel` frames (odd) with zeros outside (Dittmar
/// 2018).
void drum_constraint(Factors<double>& factors, int kernel, double decay = 0.75);

/// H <- H convolved with an identity matrix of the given size ('same' size, zeros outside): promotes diagonals.
void diagonal_constraint(Factors<double>& factors, int size);

struct DiagonalOptions {
  bool euclidean = false;  ///< else Kullback-Leibler
  int iterations = 50;
  bool fix_w = false;
  int length = 10, grid = 5;
  int sparsen_rows = 1, sparsen_columns = 1;  ///< odd
  int polyphony = 5;
};
/// NMFdiag, the toolbox's audio mosaicing ("Let it Bee", Driedger et al. 2015): every `grid`-th iteration entries of H
/// that are no maximum of their cross-shaped neighbourhood, and all but the `polyphony` strongest per frame, are damped
/// by 1 - (i + 1) / L, and H is convolved along its diagonals; then H, then W are updated. V is not scaled. One
/// template frame.
Factors<double> fit_diagonal(MatrixView<double> v, Factors<double> start, const DiagonalOptions& options);

/// Display: log(1 + compression A) on a logarithmic axis, bins_per_octave from lowest_hz up to the last bin;
/// interpolated linearly between bins floor(f / bin_hz) - 1 and floor(f / bin_hz) (one bin low, as in the toolbox). `a`
/// is K x M; axis_hz may be null.
std::vector<double> log_frequency(std::span<const double> a, std::int64_t bins, double bin_hz, int bins_per_octave = 36,
                                  double lowest_hz = 32.70319566257483, double compression = 1.0,
                                  std::vector<double>* axis_hz = nullptr);

/// Gain by position modulo hop of what the toolbox's inverseSTFT yields at every second call with one parameter set,
/// relative to the first: it divides the caller's window in place (about 1.49963 everywhere for 75 % overlap). Sample n
/// of a signal has gain[(n + fft/2) mod hop].
std::vector<double> window_bug_gain(const audio::StftSpec& spec);

}  // namespace mss::methods::nmf
