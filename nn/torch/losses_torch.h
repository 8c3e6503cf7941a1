// Losses of the networks. All are differentiable, work on float32 or float64 on any device, and return a scalar unless
// said otherwise. Shapes of estimate and target must be equal (Error(invalid_argument)).
//
// Thread-safety: functions without state.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/torch/libtorch_torch.h"

namespace mss::nn {

/// mean |e - t| and mean (e - t)^2 over all elements (the loss of Open-Unmix).
at::Tensor mean_absolute_error(const at::Tensor& estimate, const at::Tensor& target);
at::Tensor mean_squared_error(const at::Tensor& estimate, const at::Tensor& target);

/// Scale-invariant SDR in dB per row of (…, T) (Le Roux et al. 2019): a = <e,t> / (<t,t> + eps), 10 log10((|a t|^2 +
/// eps) / (|a t - e|^2 + eps)). Means are not removed. As a loss: its negative mean.
at::Tensor si_sdr_db(const at::Tensor& estimate, const at::Tensor& target, double eps = 1e-8);

/// All non-empty proper subsets of `sources` sources: singles, pairs, …, each lexicographic (14 for four).
std::vector<std::vector<std::int64_t>> source_combinations(std::int64_t sources);

/// Combination loss of X-UMX in the frequency domain (Sawata et al. 2021): the mean over all
/// combinations of mse(sum of estimates, sum of targets). Sources are dimension 0 of both, at least two.
at::Tensor combination_mse(const at::Tensor& estimates, const at::Tensor& targets);

/// Its counterpart in the time domain, for (S, …, T) and the mixture (…, T): 1 + the mean over combinations and rows of
///   wSDR = -a <e,t> / (|e||t| + eps) - (1 - a) <e',n> / (|e'||n| + eps),   n = x - t, e' = x - e,
///   a = |t|^2 / (|t|^2 + |n|^2 + eps), |y| = sqrt(eps + sum y^2) in the denominators (Choi et al. 2019).
/// 0 is perfect, 2 the worst. `trim` samples at both ends of each row do not count (Sony's code: 200; asteroid's: 0).
at::Tensor combination_wsdr(const at::Tensor& estimates, const at::Tensor& targets, const at::Tensor& mixture,
                            std::int64_t trim = 0, double eps = 1e-10);

}  // namespace mss::nn
