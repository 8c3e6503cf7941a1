// Oracles that know the true stems: upper bounds of what masking can reach. They are marked (info().is_oracle), need
// references, and yield one stem per reference.
//
// With X the mixture's STFT, Y_j the references', per channel, eps = 2^-52:
//
//   irm:alpha=a           mask_j = |Y_j|^a / (eps + sum_i |Y_i|^a)              estimate = iSTFT(mask_j X)
//   ibm:alpha=a,theta=t   mask_j = 1 where |Y_j|^a / (eps + |X|^a) >= t, else 0  estimate = iSTFT(mask_j X)
//   mixphase              estimate = iSTFT(|Y_j| X / |X|), with phase 0 where X = 0
//   irm1 irm2 ibm1 ibm2   SiSEC 2018's rows: a = 1 or 2, t = 0.5
//
// Source: Stoeter, Liutkus, Ito, "The 2018 Signal Separation Evaluation Campaign" (sigsep-mus-oracle); facts in
// tests/golden/bsseval.json. STFT: SciPy's defaults with nperseg 2048 (hop 1024, periodic Hann, zeros at both ends,
// scaling 1 / sum(w), which the eps is relative to). The IBM's denominator is the mixture's magnitude, not the sum of
// the sources' (the published text says otherwise, the published code does this), so a bin may belong to several stems
// or none.
//
// Magnitudes offered to post-filters: mask_j |X|, or |Y_j| for mixphase. Edge cases: a silent reference gives a silent
// stem; where all references are silent IRM gives nothing to anybody. IRM estimates add up to the mixture to rounding
// where sum_i |Y_i|^a is far above eps. Memory: a few blocks, whatever the length. Masks are computed in float64, the
// transforms in float32; the same bits for any number of threads. Errors: Error(config) for an odd fft or a hop above
// half of it; Error(invalid_argument) without references or with ones of another length.
#pragma once

#include "methods/registry.h"

namespace mss::methods::oracle {

/// Adds irm1, irm2, ibm1, ibm2, irm, ibm and mixphase, family "oracle".
void add_methods(Registry& registry);

}  // namespace mss::methods::oracle
