// Separation of tracks with Band-split RNNs: chunks of the track, STFT, networks, inverse STFT, overlap-add.
//
// Chunks of `chunk_samples` begin every `hop_samples`; a shorter last one is filled with zeros to that length, since
// the norms look at the whole chunk. Stems are the weighted mean of the chunks (methods/segments.h), so that a network
// that changes nothing returns the track. Several chunks run at once, as many as fit into 192 MiB of activations: in a
// time step of the network all bands of all of them are one batch.
//
// amanteur's programs do it otherwise, and its published scores carry it: 3 s and 0.5 s become 134144 and 23894
// samples, since padding of the chunk is added to both, the track gets zeros around it, and the sum of 5 or 6 chunks is
// divided by 5.614 everywhere. `compat` does that: a gain of 0.89 or 1.07 by turns.
//
// Stems: the targets, and with `residual` what they leave of the mixture.
//
// Thread-safety: as Separator.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "audio/overlap_add.h"
#include "methods/bsrnn/configuration.h"
#include "methods/network_entry.h"
#include "methods/separator.h"
#include "nn/scope.h"
#include "nn/tensor.h"

namespace mss::methods::bsrnn {

/// One network on some engine: spectra of items (B, T, 2 F c) to one such tensor per target.
class Network {
 public:
  virtual ~Network() = default;
  virtual std::vector<nn::Tensor> forward(const nn::Tensor& spectrum) const = 0;
};
using MakeNetworkFn = std::function<std::unique_ptr<Network>(const Configuration& configuration, nn::Source& weights)>;
/// On our own kernels.
std::unique_ptr<Network> make_native_network(const Configuration& configuration, nn::Source& weights);

/// Chunks and their joining.
struct ChunkPlan {
  std::int64_t chunk_samples = 0, hop_samples = 0;
  audio::ChunkWindow window = audio::ChunkWindow::rectangular;
  bool compat = false;
};

/// What a profile does by itself: paper and authors chunks of 3 s every 1.5 s; amanteur its frames (3.04 s) every 1.5
/// s; magron 12 s every 11 s, with linear ramps. Zero or empty: the profile's. Throws Error(config) for a hop that is
/// longer than the chunk, for chunks whose frames do not fit weights per frame, for compat where a profile has no
/// defects or with a window.
ChunkPlan plan_chunks_of(const Configuration& configuration, double chunk_s, double hop_s, const std::string& window,
                         bool compat, const std::string& where);

/// The configuration read as another profile of the same network (authors for magron), or with another norm (paper).
/// Throws Error(checkpoint).
Configuration reread(Configuration configuration, const std::string& profile, const std::string& norm,
                     const std::string& where);

std::unique_ptr<Separator> make_separator(NetworkRequest request, const MakeNetworkFn& make);

}  // namespace mss::methods::bsrnn
