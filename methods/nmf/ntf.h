// Non-negative tensor factorisation of multichannel magnitudes (PARAFAC) with Kullback-Leibler multiplicative updates,
// and HALS for the Euclidean distance.
//
// NTF model: V[c,k,m] ~ sum_r Q[c,r] W[k,r] H[r,m] (FitzGerald, Cranitch & Coyle 2005): a component has one panning
// Q[:,r] for the whole signal. Per iteration W, H and Q are updated in turn, each from a fresh model; then Q is scaled
// to unit sum over channels, W over bins, and H takes up the scale. The divergence never rises.
//
// HALS (Cichocki & Phan, IEICE E92-A, 2009; inner sweeps after Gillis & Glineur 2012) minimises |V - W H|^2 / 2 column
// by column and converges in far fewer passes over V than multiplicative updates. It never rises either.
//
// Same bits for any number of threads. Thread-safety: functions without shared state.
#pragma once

#include <cstdint>
#include <vector>

#include "methods/nmf/nmf.h"

namespace mss::methods::nmf {

template <class T>
struct TensorFactors {
  int channels = 0;
  Factors<T> factors;  ///< one template frame
  std::vector<T> q;    ///< [c][r]
};

template <class T>
struct TensorFit {
  TensorFactors<T> factors;
  std::vector<double> divergence;  ///< iterations + 1 values, if asked for
};

/// `v` holds the channels' K x M matrices one below the other: (C K) x M. Of the options only iterations, floor,
/// track_divergence, threads, stop and progress count. Throws like fit().
template <class T>
TensorFit<T> fit_tensor(MatrixView<T> v, TensorFactors<T> start, const FitOptions<T>& options);

struct HalsOptions {
  int inner_sweeps = 3;  ///< of each factor per product with V
};
/// beta must be 2 and template_frames 1; options as in fit(): iterations, fix_w, fix_h, floor (entries stay >= floor,
/// so that none locks at 0), track_divergence, threads, stop, progress. Templates have unit sum at the end of every
/// iteration.
template <class T>
Fit<T> fit_hals(MatrixView<T> v, Factors<T> start, const FitOptions<T>& options, HalsOptions hals = {});

/// Bytes that fit_tensor() and fit_hals() hold beside V (rows x frames, float) and the factors, on all processors.
std::int64_t products_bytes(std::int64_t rows, std::int64_t frames, int components);

extern template TensorFit<float> fit_tensor(MatrixView<float>, TensorFactors<float>, const FitOptions<float>&);
extern template TensorFit<double> fit_tensor(MatrixView<double>, TensorFactors<double>, const FitOptions<double>&);
extern template Fit<float> fit_hals(MatrixView<float>, Factors<float>, const FitOptions<float>&, HalsOptions);
extern template Fit<double> fit_hals(MatrixView<double>, Factors<double>, const FitOptions<double>&, HalsOptions);

}  // namespace mss::methods::nmf
