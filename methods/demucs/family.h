// The Demucs family's weights: what their networks consist of, and the authors' files.
//
// Files (.th, read without executing anything): v1's tuples (class, args, kwargs, state), v2's packages {klass, args,
// kwargs, state, training_args}, and bare state dicts, as v2's official files are; float32 or float16. What a bare
// state dict does not say (stride, resampling, segment) is assumed as in the released models and written into the
// provenance. Sizes come from the tensors, so that every width and depth loads.
//
// Errors: Error(unsupported) for DiffQ-quantised files, for Demucs v3 and v4 (other networks), and for options that no
// released model has (v1's linear upsampling, Conv-TasNet's other normalisations and masks).
// Thread-safety: free functions.
#pragma once

#include <string>

#include "methods/demucs/configuration.h"
#include "methods/weights.h"

namespace mss::methods::demucs {

const NetworkFamily& family();

/// "64 channels, depth 6, 2 LSTM layers, resampled".
std::string sizes(const Configuration& configuration);

}  // namespace mss::methods::demucs
