// The multichannel Wiener filter behind any method, and the multichannel Wiener oracles.
//
// Post-filter `wiener` (wiener/wiener.h has the algorithm): METHOD|wiener:KEY=VALUE,…
//
//   iters=1                        EM iterations, 0 or more
//   mode=clean|norbert|openunmix   ours, or a reference's numbers with its defects
//   residual=false                 adds a target `residual`: what the method's stems leave over
//   window=300                     frames that share one set of spatial covariances; 0 = the whole track (and its
//                                  memory)
//   overlap                        clean mode: frames in which neighbouring windows are cross-faded; default window / 4
//   input=auto|magnitudes|stems    the magnitudes that the method offers on its own STFT, or the STFT (4096/1024, Hann,
//                                  centred) of its stems; auto: magnitudes where they are offered
//   softmask=auto|true|false       initial estimate: ratio mask, or the magnitudes with a phase
//   alpha=1                        exponent of the ratio mask (asks for softmask)
//   phase=auto|mixture|stems       of an initial estimate without softmask: the mixture's, or (input=stems) the stems'
//                                  own
//   eps                            regulariser; default of the mode: 1e-10, norbert 2^-23
//
// auto, by mode: norbert a soft mask; openunmix the mixture's phase; clean the stems as they are (input=stems), a soft
// mask of the magnitudes else. In clean mode the outputs, residual included, add up to the mixture to float32 rounding:
// what the transform and the rounding leave over in the time domain is given back in equal parts (to the residual where
// there is one). Output has the method's native rate and channels. Memory: one window of spectrograms. Errors:
// Error(config) for options that contradict each other or input=magnitudes behind a method that offers none;
// Error(invalid_argument) for mode=openunmix with one target, iterations and no residual, or more than two channels
// (open-unmix refuses both), and for a target already called `residual`; Error(numeric) for stems or magnitudes that
// are not finite.
//
// Post-filter `aggregate`: sums of stems. METHOD|…|aggregate:stems=vocals+accompaniment(drums+bass+other)
//
//   stems=TERM+TERM+…              the stems that come out, in this order. TERM is a stem's name, NAME(STEM+STEM+…) for
//                                  a sum under a new name (of one stem: a new name), or * for all stems that no other
//                                  term mentions, in their order
//
// Sums are float32, in the order written. Error(config) for names that the method has not, or that come twice.
//
// Oracles, with Y_j the references' STFT (SciPy's defaults, 2048/1024), C channels, eps = 2^-52:
//
//   mwf            R_j from the references (below), R_j <- C R_j / tr R_j + reg Id,
//                  v_j = 1/C tr(R_j^-1 Y_j Y_j^H), estimate = v_j R_j (sum_k v_k R_k)^-1 X
//     covariance=mean (default)    R_j = mean_n Y Y^H / (eps + mean_c |Y|^2)  the published weighting
//     covariance=energy            R_j = sum_n Y Y^H                          better in simulated rooms, worse on music
//     reg=1e-6                     of the trace-normalised R_j: relative
//     inverse_eps=0                added to determinants (2 x 2 only); the published code has 2^-52
//   mwf-sisec18    SiSEC 2018's script as it is: covariance=mean, reg = inverse_eps = 2^-52, and its trace over the
//                  wrong axes: column b of every R_j(f) is divided by R_j(0)[0,b] + R_j(1)[1,b]. Stereo only: other
//                  mixtures are converted. Error(numeric) where that divides by zero for a source that is not silent.
//
// Source: sigsep-mus-oracle; Stoeter, Liutkus, Ito, "The 2018 Signal Separation Evaluation Campaign". Edge cases: a
// silent reference gives a silent stem. Memory: the whole track's audio (two passes). Thread-safety: const objects; the
// same bits for any number of threads.
#pragma once

#include "methods/registry.h"

namespace mss::methods::filters {

/// Adds `wiener` and `aggregate`.
void add_filters(methods::Registry& registry);
/// Adds `mwf` and `mwf-sisec18`, family "oracle".
void add_methods(methods::Registry& registry);

}  // namespace mss::methods::filters
