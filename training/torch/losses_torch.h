// What a network's estimates cost, by the terms of a recipe (recipe.h: LossRecipe). B items, S targets, C channels, T
// samples, F bins, N frames.
//
// Domains. A term compares waveforms, spectra or magnitudes; what a network does not estimate itself is derived:
//   spectra      of magnitudes: with the mixture's phases; of waveforms: their STFT by LossRecipe::fft_samples
//   waveforms    of spectra: their inverse, as far as frames reach
//   magnitudes   of spectra: |E|; of a network on one channel: compared with the mean of the target's channels
// The terms, each a mean over items, channels and what follows them, per target; over targets the mean, weighted by
// LossRecipe::target_weights:
//   mse_time, mse_magnitude      (e - t)^2
//   l1_time                      |e - t|
//   l1_spectrum                  |Re(E - T)| + |Im(E - T)|
//   l1_both                      l1_spectrum, and l1_time of the inverses of both spectra (Luo & Yu 2022)
//   log_l2                       10 log10(sum over channels and samples of (e - t)^2 + 1e-8)
//   psm                          (|E| - |T| cos(arg T - arg X))^2, X the mixture (Erdogan et al. 2015)
//   complex_mse                  |E - T|^2
//   usdr                         -10 log10((sum t^2 + 1e-8) / (sum (e - t)^2 + 1e-8)), sums over channels and samples
//   si_sdr                       minus the scale-invariant SDR in dB (nn/torch/losses_torch.h)
//   xumx                         time_weight * wSDR + MSE of magnitudes over combinations of targets, or with
//                                combinations = false over the targets alone; a joint loss, without target weights
//
// Errors: Error(config) for terms that the network cannot have. Thread-safety: functions without state.
#pragma once

#include <optional>

#include "nn/torch/trainable_torch.h"
#include "training/recipe.h"

namespace mss::training {

/// The weighted sum of the recipe's terms, a scalar. `mixture` (B, C, T) and `targets` (B, S, C, T); `own` is the
/// network's transform.
at::Tensor loss_of(const LossRecipe& recipe, const nn::Estimates& estimates, const at::Tensor& mixture,
                   const at::Tensor& targets, const std::optional<audio::StftSpec>& own);

/// The estimates as waveforms (B, S, C, T'), T' as far as frames reach.
at::Tensor waveforms_of(const nn::Estimates& estimates, const at::Tensor& mixture,
                        const std::optional<audio::StftSpec>& own);

}  // namespace mss::training
