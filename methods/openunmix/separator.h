// Open-Unmix, X-UMX and the cross-connected extension as a Separator: STFT, network, mask, inverse STFT, in blocks of
// frames and in bounded memory, on network.h alone (no LibTorch).
//
// The LSTMs read the whole track in both directions, so a track passes several times: front to back for the STFT and
// the first layer; each LSTM layer then steps through all blocks, forwards and backwards at once, with its state
// carried from block to block; front to back again for the masks. The result is that of the whole track in one piece,
// bit for bit, at any length. What lies between the passes (the mixture, and 2 to 3 rows of H values per frame and
// target) stays in memory up to SeparatorOptions::buffer_bytes and goes to a temporary file beyond it (core/spill.h):
// an hour of stereo with four targets of H = 512 takes about 5 GB there.
//
// Stems without a filter: y_j = mask_j X, the magnitude estimate with the mixture's phase (Open-Unmix with niter = 0).
// Networks of one channel see the mean of the channels' magnitudes, and their estimate goes to every channel with that
// channel's phase; a bin where a channel is silent stays silent there. Filters get the magnitude estimates.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "methods/openunmix/weights.h"
#include "methods/separator.h"

namespace mss::methods::openunmix {

struct SeparatorOptions {
  std::vector<std::string> targets;  ///< stems wanted, of the network's; empty = all
  std::int64_t buffer_bytes = std::int64_t{512} << 20;
  int block_frames = 192;  ///< a multiple of 96; changes no result
};

/// `info` comes with spec, method and resolved options; targets, rate, channels and the weights' names are filled in.
/// Throws Error(config) for a target that the network does not have, Error(checkpoint).
std::unique_ptr<Separator> make_separator(const Weights& weights, SeparatorOptions options, SeparatorInfo info);

/// Weights of a configuration drawn at random, for tests and timings: fc and lstm uniform as PyTorch initialises them,
/// normalisation layers and scales away from the identity so that every parameter counts. Label "random-SEED".
Weights random_weights(const Configuration& configuration, std::uint64_t seed);

/// Named configurations: umx, umxhq, umxl (four stems at 44100 Hz), umxse (speech, noise at 16000 Hz); for the
/// architectures xumx and crossskip the targets come in their order. Throws Error(config).
Configuration named_configuration(std::string_view name, Architecture architecture);

}  // namespace mss::methods::openunmix
