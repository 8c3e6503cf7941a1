// The Demucs family as Separators: how a track comes to its networks and how their stems come back.
//
//   ref = mean over the channels of the whole track;  x = (track - mean(ref)) / std(ref)      (std unbiased)
//   stems = apply(x) std(ref) + mean(ref)                                                     (apply.h)
//   residual=STEM: that stem = track - sum of the others
//
// as the authors' separate.py does (which has no answer for a track that does not vary: silence there is NaN, here it
// is silence, and a constant track's stems are the constant, what the formula gives without the network's biases).
//
// The track is read once and kept (methods/kept_source.h), because mean and std are the whole track's. Segments are
// encoded one after the other until their levels fill the memory bound, go through the LSTM together and are decoded
// one after the other: memory does not depend on the length, unless split=false asks for one piece. Results do not
// depend on the bound.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/stop.h"
#include "methods/demucs/apply.h"
#include "methods/network_entry.h"
#include "methods/segments.h"
#include "methods/separator.h"

namespace mss::methods::demucs {

/// A network on some engine.
class Runner {
 public:
  virtual ~Runner() = default;
  /// What the calling thread holds while it runs windows of one track: threads, memory that is used again.
  class Session {
   public:
    virtual ~Session() = default;
    /// Network<float> of apply.h. `done` hears the share of the work that is done, in (0, 1].
    virtual void run(std::span<Rows<float>> windows, const std::function<void(std::int64_t, Rows<float>)>& emit,
                     const std::function<void(double)>& done) const = 0;
  };
  virtual std::unique_ptr<const Session> open(int threads, const core::StopToken& stop) const = 0;
};

struct SeparatorOptions {
  double segment_s = 0.0;  ///< 0 = the configuration's
  double overlap = 0.25;
  double transition = 1.0;
  std::int64_t shifts = 0;
  bool split = true;
  std::string residual;  ///< a target of the network, or empty
  std::int64_t buffer_bytes = std::int64_t{1792} << 20;
};
/// From the parameters of network_methods(). Throws Error(config).
SeparatorOptions separator_options(const NetworkRequest& request);

/// On any engine.
std::unique_ptr<Separator> make_separator(NetworkRequest request, std::unique_ptr<const Runner> runner);
/// On our kernels.
std::unique_ptr<Separator> make_separator(NetworkRequest request);

/// Memory of one window of n samples between encoder and decoder.
std::int64_t window_bytes(const Configuration& configuration, std::int64_t samples);

}  // namespace mss::methods::demucs
