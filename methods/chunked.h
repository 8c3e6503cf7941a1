// Chunked processing for methods that take a piece of audio at a time: the one place where chunks are read, processed
// and joined again.
//
//   y_s[t] = sum_i w(t - i H) f_s(x[iH : iH + L])[t - i H] / sum_i w(t - i H)      L chunk_samples, H hop_samples
//
// with the weights w of audio/overlap_add.h. The mixture is read block by block and the stems leave as soon as no later
// chunk can touch them: memory is a few chunks, whatever the length. The identity processor returns the mixture to
// rounding (<= -120 dB) for every chunk, hop and window.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "audio/buffer.h"
#include "audio/overlap_add.h"
#include "audio/stream.h"
#include "methods/separator.h"

namespace mss::methods {

/// `chunk` is (C, n) with n = chunk_samples, or less for the last chunk (a processor that needs a full one pads it
/// itself); `begin` is its place in the mixture. Returns one (C, n) buffer per target of the context, in order.
using ChunkProcessor = std::function<std::vector<audio::AudioBuffer>(audio::AudioView chunk, std::int64_t begin)>;

/// Separates all of `mixture` into `sink` (begin and writes, no end), for use in Separator::do_separate. Chunks are
/// processed one after the other in the calling thread: the processor may use context.threads. Chunk i begins at
/// i * hop_samples; the last one is the first that reaches the end, as in audio::plan_chunks.
/// Throws Error(invalid_argument) for a hop outside [1, chunk], Error(method_contract) when the processor returns
/// another number of stems or another shape, Error(cancelled) between chunks.
void separate_in_chunks(audio::Source& mixture, StemSink& sink, const audio::ChunkSpec& spec, const Context& context,
                        const ChunkProcessor& process);

}  // namespace mss::methods
