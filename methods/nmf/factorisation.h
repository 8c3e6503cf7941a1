// The factors behind a separation by nmf, nmfd or nmfd-toolbox: templates, activations, and which components are whose.
//
// Separators yield stems and keep no state. Where the factors themselves are wanted (pictures, teaching), the methods'
// objects can be asked for them: they are computed by the code that separates, from the same seed, and are bit for bit
// what that separation masks with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "audio/buffer.h"
#include "audio/stft.h"
#include "methods/nmf/nmf.h"
#include "methods/separator.h"

namespace mss::methods::nmf {

struct Factorisation {
  audio::StftSpec stft;
  int rate_hz = 0;          ///< of the audio that was factorised (the method's native rate)
  int channels = 0;         ///< of that audio: 1 where the method averages them
  std::int64_t frames = 0;  ///< of one channel
  Factors<float> factors;   ///< H: the channels beside each other, channels * frames columns
  double scale = 1;         ///< W H is `scale` times the model of the STFT's magnitudes
  std::vector<int> first;   ///< part p has the components first[p] … first[p + 1] - 1; masks are per part
  std::vector<int> target;  ///< of each part: index into `targets`, or -1 where its audio goes to no stem
  std::vector<std::string> targets;
  double alpha = 1;      ///< exponent of the masks
  bool toolbox = false;  ///< masks with the NMF toolbox's eps
  int members = 1;       ///< parts of a member of an ensemble follow each other; masks are per member and averaged

  int parts() const noexcept { return static_cast<int>(first.size()) - 1; }
  /// Target of a component, or -1.
  int target_of(int component) const noexcept;
};

/// Masks of all parts for frame n of channel c, before any calibration: out[p * K + k]. They sum to 1 (toolbox: to
/// nearly 1). Thread-safe.
void part_masks(const Factorisation& factors, int c, std::int64_t n, std::vector<float>& out);

/// What the separators of this folder are besides: `dynamic_cast<const Factoriser*>(separator)`.
class Factoriser {
 public:
  virtual ~Factoriser() = default;
  /// The factors of separate(mixture, names, references, options): rate and channels are converted as there; seed,
  /// threads and stop of the options count, names and references (views of the mixture's shape) for the oracle
  /// protocols, which throw Error(invalid_argument) without them. Throws what the separation throws.
  virtual Factorisation factorise(audio::AudioView mixture, const std::vector<std::string>& names,
                                  const std::vector<audio::AudioView>& references, const Options& options) const = 0;
};

}  // namespace mss::methods::nmf
