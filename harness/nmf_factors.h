// The factors behind an NMF separation: the templates and activations that `nmf`, `nmfd` and `nmfd-toolbox` mask with.
//
// The methods' own code computes them (methods/nmf/factorisation.h), so they are, bit for bit, the factors of the
// separation; tests/harness/pictures_test.cpp masks the mixture with them and gets the stems back for every kind of
// model.
//
// Private to harness/. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audio/buffer.h"
#include "audio/stft.h"
#include "core/stop.h"
#include "methods/nmf/factorisation.h"
#include "methods/separator.h"

namespace mss::harness {

using methods::nmf::part_masks;
using NmfFactors = methods::nmf::Factorisation;

struct FactorsRequest {
  std::string spec;  ///< as given: a dictionary is read from the path that stands here
  audio::AudioView mixture;
  std::vector<std::string> reference_names;  ///< true stems, shaped like the mixture, for the protocols that need them
  std::vector<audio::AudioView> references;
  std::uint64_t seed = 0;
  int threads = 1;
  core::StopToken stop;
};

/// `info` is what the separator made from the spec says of itself. Empty for methods that are no NMF. Post-filters in
/// the spec are passed over: the factors are the method's. Throws Error(invalid_argument) for missing references, and
/// what the separation itself throws.
std::optional<NmfFactors> nmf_factors(const methods::SeparatorInfo& info, const FactorsRequest& request);

}  // namespace mss::harness
