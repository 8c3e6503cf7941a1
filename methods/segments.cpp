#include "methods/segments.h"

#include <fmt/format.h>

#include <cmath>

#include "core/error.h"

namespace mss::methods {
namespace {

[[noreturn]] void reject(std::string what, std::string expected, std::string found) {
  throw Error({.code = Code::invalid_argument,
               .where = "segments",
               .what = std::move(what),
               .expected = std::move(expected),
               .found = std::move(found),
               .hint = {}});
}

}  // namespace

std::vector<double> segment_weights(const audio::ChunkSpec& spec) {
  const std::vector<float> weights = audio::chunk_weights(spec);
  return {weights.begin(), weights.end()};
}

std::vector<double> transition_weights(std::int64_t segment_samples, double power) {
  if (!(power >= 1.0)) reject("power of the transition", "1 or more", fmt::format("{}", power));
  std::vector<double> out;
  const std::int64_t rising = segment_samples / 2, peak = segment_samples - rising;
  for (std::int64_t i = 0; i < segment_samples; ++i) {
    const std::int64_t to_edge = i < rising ? i + 1 : segment_samples - i;
    out.push_back(std::pow(static_cast<double>(to_edge) / static_cast<double>(peak), power));
  }
  return out;
}

void validate(const SegmentSpec& spec) {
  if (spec.segment_samples < 1) reject("segment", "1 sample or more", fmt::format("{}", spec.segment_samples));
  if (spec.hop_samples < 1 || spec.hop_samples > spec.segment_samples) {
    reject("hop outside the segment", fmt::format("1 to {} samples", spec.segment_samples),
           fmt::format("{}", spec.hop_samples));
  }
  if (spec.before_samples < 0 || spec.after_samples < 0) {
    reject("context", "0 samples or more", fmt::format("{} and {}", spec.before_samples, spec.after_samples));
  }
  if (spec.batch < 1) reject("batch", "1 segment or more", fmt::format("{}", spec.batch));
  if (!spec.weights.empty()) {
    if (static_cast<std::int64_t>(spec.weights.size()) != spec.segment_samples) {
      reject("number of weights", fmt::format("{}", spec.segment_samples), fmt::format("{}", spec.weights.size()));
    }
    for (const double w : spec.weights) {
      if (!(w > 0.0)) reject("weight of a sample", "above 0", fmt::format("{}", w));
    }
  }
}

void refuse_segment(std::string what, std::int64_t expected, std::int64_t found) {
  throw Error({.code = Code::method_contract,
               .where = "segments",
               .what = "the processor answered with another " + what,
               .expected = fmt::format("{}", expected),
               .found = fmt::format("{}", found),
               .hint = {}});
}

void separate_in_segments(audio::Source& mixture, StemSink& sink, const SegmentSpec& spec, const Context& context,
                          const SegmentProcessor<float>& process) {
  const int channels = mixture.channels(), rate_hz = mixture.rate_hz();
  const auto stems = static_cast<std::int64_t>(context.targets.size());
  sink.begin(
      {.targets = context.targets, .channels = channels, .rate_hz = rate_hz, .samples = mixture.length().value_or(-1)});
  audio::AudioBuffer block;
  const auto read = [&](std::span<float* const> rows, std::int64_t count) {
    if (block.channels() != channels || block.samples() < count) block = audio::AudioBuffer(channels, count, rate_hz);
    std::int64_t have = 0;
    while (have < count) {
      const std::int64_t got = mixture.read(block.span().slice(have, count - have));
      if (got == 0) break;
      have += got;
    }
    for (int c = 0; c < channels; ++c) std::copy_n(block.channel(c).begin(), have, rows[static_cast<std::size_t>(c)]);
    return have;
  };
  std::vector<audio::AudioBuffer> done(static_cast<std::size_t>(stems));
  const auto write = [&](std::int64_t begin, const Rows<float>& rows) {
    const auto count = static_cast<std::int64_t>(rows.front().size());
    StemBlock out{.begin = begin, .stems = {}};
    for (std::size_t s = 0; s < done.size(); ++s) {
      // The last block is as long as a segment, the others as a hop.
      if (done[s].samples() < count)
        done[s] = audio::AudioBuffer(channels, std::max(count, spec.segment_samples), rate_hz);
      for (int c = 0; c < channels; ++c) {
        std::ranges::copy(rows[s * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c)],
                          done[s].channel(c).begin());
      }
      out.stems.push_back(done[s].view().slice(0, count));
    }
    sink.write(out);
  };
  run_segments<float>(spec, channels, stems * channels, read, process, write, context.stop);
}

}  // namespace mss::methods
