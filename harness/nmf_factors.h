// The factors behind an NMF separation: the templates and activations that `nmf`, `nmfd` and `nmfd-toolbox` mask with.
//
// Separators yield stems and keep no state, so the factors are computed anew, with the method's own library calls, in
// its order, from its own seed. Separation is a pure function of (spec, weights, audio, seed), so these are, bit for
// bit, the factors of that separation; tests/harness/pictures_test.cpp masks the mixture with them and gets the stems
// back for every kind of model.
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
#include "methods/nmf/nmf.h"
#include "methods/separator.h"

namespace mss::harness {

struct NmfFactors {
  audio::StftSpec stft;
  int rate_hz = 0;                       ///< of the audio that was factorised (the method's native rate)
  int channels = 0;                      ///< of that audio: 1 where the method averages them
  std::int64_t frames = 0;               ///< of one channel
  methods::nmf::Factors<float> factors;  ///< H: the channels beside each other, channels * frames columns
  double scale = 1;                      ///< W H is `scale` times the model of the STFT's magnitudes
  std::vector<int> first;   ///< part p has the components first[p] … first[p + 1] - 1; masks are per part
  std::vector<int> target;  ///< of each part: index into `targets`, or -1 where its audio goes to no stem
  std::vector<std::string> targets;
  double alpha = 1;      ///< exponent of the masks
  bool toolbox = false;  ///< masks with the NMF toolbox's eps

  int parts() const noexcept { return static_cast<int>(first.size()) - 1; }
  /// Target of a component, or -1.
  int target_of(int component) const noexcept;
};

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

/// Masks of all parts for frame n of channel c: out[p * K + k]. They sum to 1 (toolbox: to nearly 1).
void part_masks(const NmfFactors& factors, int c, std::int64_t n, std::vector<float>& out);

}  // namespace mss::harness
