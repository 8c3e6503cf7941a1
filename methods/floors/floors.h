// The floors that every method has to clear: what doing nothing scores (eval-wiener: SiSEC's MIX; NMF spec 11.1).
//
//   silence          y_s = 0
//   mixture          y_s = x                    the usual "input" score, unscaled
//   mixture-over-j   y_s = x / J                J = number of the data set's stems (Options::targets), 4 for MUSDB18
//
// They yield whatever targets are asked for, at any rate and number of channels, sample by sample: y depends on nothing
// but x at the same sample. Parameters: none. Thread-safety: const objects.
#pragma once

#include "methods/registry.h"

namespace mss::methods::floors {

/// Adds the three, family "floor".
void add_methods(Registry& registry);

}  // namespace mss::methods::floors
