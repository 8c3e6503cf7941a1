// Open-Unmix, X-UMX and the cross-connected extension as a Separator: STFT, network, mask, inverse STFT, in blocks of
// frames and in bounded memory (passes.h), on the layers of nn/ or on those of LibTorch.
//
// The LSTMs read the whole track in both directions, so a track passes several times: front to back for the STFT and
// the first layer; each LSTM layer then steps through all blocks, forwards and backwards at once, with its state
// carried from block to block; front to back again for the masks. The result is that of the whole track in one piece
// (on nn/ bit for bit), at any length. What lies between the passes (the mixture, and 2 to 3 rows of H values per frame
// and target) stays in memory up to SeparatorOptions::buffer_bytes and goes to a temporary file beyond it
// (core/spill.h): an hour of stereo with four targets of H = 512 takes about 5 GB there.
//
// Stems without a filter: y_j = mask_j X, the magnitude estimate with the mixture's phase (Open-Unmix with niter = 0).
// Networks of one channel see the mean of the channels' magnitudes, and their estimate goes to every channel with that
// channel's phase; a bin where a channel is silent stays silent there. Filters get the magnitude estimates.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "methods/network_entry.h"
#include "methods/openunmix/configuration.h"
#include "methods/separator.h"
#include "methods/weights.h"

namespace mss::methods::openunmix {

struct SeparatorOptions {
  std::int64_t buffer_bytes = std::int64_t{512} << 20;
  int block_frames = 192;  ///< changes no result on nn/
};

std::unique_ptr<Separator> make_separator(NetworkRequest request, const SeparatorOptions& options);

/// On LibTorch, on the device that MSSBENCH_DEVICE names (openunmix_torch.cpp).
std::unique_ptr<Separator> make_torch_separator(NetworkRequest request, const SeparatorOptions& options);

}  // namespace mss::methods::openunmix
