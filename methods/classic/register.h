// The classical baselines as Separators: hpss, repet, repet-sim, 2dft, rpca and the cascade classic-4.
//
// Targets. hpss yields `drums` (percussive) and `harmonic` (with residual=true also `residual`); repet, repet-sim, 2dft
// and rpca yield `vocals` and `accompaniment`; classic-4 yields vocals, drums, bass, other. The stems of every method
// add up to the mixture: the last is the mixture minus the others.
//
// Memory. hpss streams; 2dft keeps its transform in a temporary file beyond three minutes; the others hold the whole file
// (info().streams is false). docs/robustness.md has measured figures.
#pragma once

#include "methods/registry.h"

namespace mss::methods::classic {

void add_methods(Registry& registry);

}  // namespace mss::methods::classic
