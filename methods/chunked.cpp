#include "methods/chunked.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace mss::methods {
namespace {

void require_shape(const std::vector<audio::AudioBuffer>& stems, std::size_t targets, audio::AudioView chunk) {
  const auto wrong = [](std::string what, std::string expected, std::string found) {
    throw Error({.code = Code::method_contract,
                 .where = "separate_in_chunks",
                 .what = std::move(what),
                 .expected = std::move(expected),
                 .found = std::move(found),
                 .hint = {}});
  };
  if (stems.size() != targets) {
    wrong("the processor returned another number of stems", fmt::format("{}", targets),
          fmt::format("{}", stems.size()));
  }
  for (const audio::AudioBuffer& stem : stems) {
    if (stem.channels() == chunk.channels() && stem.samples() == chunk.samples()) continue;
    wrong("the processor returned a stem of another shape",
          fmt::format("{} channels of {} samples", chunk.channels(), chunk.samples()),
          fmt::format("{} of {}", stem.channels(), stem.samples()));
  }
}

}  // namespace

void separate_in_chunks(audio::Source& mixture, StemSink& sink, const audio::ChunkSpec& spec, const Context& context,
                        const ChunkProcessor& process) {
  const std::int64_t chunk = spec.chunk_samples;
  const std::int64_t hop = spec.hop_samples;
  if (hop < 1 || hop > chunk) {
    throw Error({.code = Code::invalid_argument,
                 .where = "separate_in_chunks",
                 .what = "hop outside the chunk",
                 .expected = fmt::format("1 to {} samples", chunk),
                 .found = fmt::format("{}", hop),
                 .hint = {}});
  }
  const int channels = mixture.channels();
  const int rate_hz = mixture.rate_hz();
  sink.begin(
      {.targets = context.targets, .channels = channels, .rate_hz = rate_hz, .samples = mixture.length().value_or(-1)});
  audio::OverlapAdder adder(spec, static_cast<int>(context.targets.size()), channels, rate_hz);

  // One sample more than a chunk: whether there is one tells whether this chunk is the last. A short file needs no
  // buffer of the whole chunk.
  const std::int64_t capacity = std::min(chunk, mixture.length().value_or(chunk)) + 1;
  audio::AudioBuffer buffer(channels, capacity, rate_hz);
  std::int64_t have = 0;     // samples in the buffer
  std::int64_t written = 0;  // samples of stems
  for (std::int64_t begin = 0;; begin += hop) {
    context.stop.check();
    while (have < capacity) {
      const std::int64_t n = mixture.read(buffer.span().slice(have, capacity - have));
      if (n == 0) break;
      have += n;
    }
    const bool last = have <= chunk;
    const std::int64_t samples = std::min(have, chunk);
    if (samples == 0) break;
    const audio::AudioView view = buffer.view().slice(0, samples);
    const std::vector<audio::AudioBuffer> stems = process(view, begin);
    require_shape(stems, context.targets.size(), view);
    adder.add({.begin = begin, .samples = samples}, stems);

    const std::vector<audio::AudioBuffer> done = adder.take(last);
    StemBlock block{.begin = written, .stems = {}};
    for (const audio::AudioBuffer& stem : done) block.stems.push_back(stem);
    if (!done.empty() && done.front().samples() > 0) {
      sink.write(block);
      written += done.front().samples();
    }
    if (context.progress) context.progress(begin + (last ? samples : hop));
    if (last) break;
    for (int c = 0; c < channels; ++c) {
      const auto x = buffer.channel(c);
      std::copy(x.begin() + hop, x.begin() + have, x.begin());
    }
    have -= hop;
  }
}

}  // namespace mss::methods
