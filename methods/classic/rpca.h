// Robust PCA: a spectrogram as a low-rank background plus a sparse voice.
//
// Source: Huang, Chen, Smaragdis, Hasegawa-Johnson, "Singing-voice separation from monaural recordings using robust
// principal component analysis", ICASSP 2012; inexact augmented Lagrange multipliers: Lin, Chen, Ma, 2010.
//   minimise |L|_* + lambda |S|_1 with V = L + S,   lambda = 1 / sqrt(max(F, N))
//   Y0 = V / max(s1, |V|_inf / lambda), mu0 = 1.25 / s1, rho = 1.5, mu <= 1e7 mu0
//   L = singular value thresholding of V - S + Y/mu by 1/mu;  S = soft threshold of V - L + Y/mu by lambda/mu
//   stop at |V - L - S|_F / |V|_F < tolerance, after max_iterations, or where rounding keeps that residual from falling
//   (below 1e-5 and by less than a tenth in one iteration)
// The singular values above the threshold come from a randomised range finder (Halko, Martinsson, Tropp 2011, two power
// iterations) whose size grows until the smallest value it finds lies below the threshold, so the result is that of the
// full decomposition to the accuracy of the range finder; small matrices are decomposed in full. Deterministic: the
// sketch comes from a fixed seed.
//
// Layout: frame-major, v[n * bins + k].
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/stop.h"

namespace mss::methods::classic {

struct RpcaOptions {
  int max_iterations = 100;
  double tolerance = 1e-7;
  double lambda_scale = 1;  ///< lambda is multiplied by this
  bool full_svd = false;    ///< for tests: no range finder
  /// Called after every iteration with about what share of them is done, in (0, 1]; never less than before.
  std::function<void(double share)> progress{};
};

struct RpcaResult {
  std::vector<float> low_rank, sparse;
  int iterations = 0;
  int rank = 0;         ///< of low_rank in the last iteration
  double residual = 0;  ///< |V - L - S|_F / |V|_F
};

RpcaResult rpca(const std::vector<float>& v, std::int64_t frames, int bins, const RpcaOptions& options,
                const core::StopToken& stop = {});

}  // namespace mss::methods::classic
