#include "audio/overlap_add.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "core/error.h"

namespace mss::audio {

namespace {

[[noreturn]] void reject(const char* what, std::string expected, std::string found) {
  throw Error({.code = Code::invalid_argument,
               .where = "overlap-add",
               .what = what,
               .expected = std::move(expected),
               .found = std::move(found),
               .hint = {}});
}

void validate(const ChunkSpec& spec) {
  if (spec.chunk_samples < 1) reject("chunk_samples out of range", "1 or more", fmt::format("{}", spec.chunk_samples));
  if (spec.hop_samples < 1 || spec.hop_samples > spec.chunk_samples) {
    reject("hop_samples out of range", fmt::format("1 to chunk_samples = {}", spec.chunk_samples),
           fmt::format("{}", spec.hop_samples));
  }
}

}  // namespace

std::vector<Chunk> plan_chunks(const ChunkSpec& spec, std::int64_t total_samples) {
  validate(spec);
  if (total_samples < 0) reject("negative length", "0 or more samples", fmt::format("{}", total_samples));
  std::vector<Chunk> chunks;
  for (std::int64_t begin = 0; begin < total_samples; begin += spec.hop_samples) {
    chunks.push_back({begin, std::min(spec.chunk_samples, total_samples - begin)});
    if (begin + spec.chunk_samples >= total_samples) break;
  }
  return chunks;
}

std::vector<float> chunk_weights(const ChunkSpec& spec) {
  validate(spec);
  const std::int64_t size = spec.chunk_samples;
  const double ramp = spec.window == ChunkWindow::triangle ? static_cast<double>(size)
                                                           : static_cast<double>(size - spec.hop_samples + 1);
  std::vector<float> weights(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    const auto to_edge = static_cast<double>(std::min(i + 1, size - i));
    double w = 1.0;
    switch (spec.window) {
      case ChunkWindow::rectangular:
        break;
      case ChunkWindow::triangle:
        w = 2.0 * to_edge / (ramp + 1.0);
        break;
      case ChunkWindow::hann: {
        // Half a sample from the edge, so that no weight is zero.
        const double s = std::sin(std::numbers::pi * (static_cast<double>(i) + 0.5) / static_cast<double>(size));
        w = s * s;
        break;
      }
      case ChunkWindow::linear_fade:
        w = std::min(1.0, to_edge / ramp);
        break;
    }
    weights[static_cast<std::size_t>(i)] = static_cast<float>(w);
  }
  return weights;
}

OverlapAdder::OverlapAdder(const ChunkSpec& spec, int stems, int channels, int rate_hz)
    : spec_(spec), stems_(stems), channels_(channels), rate_hz_(rate_hz), weights_(chunk_weights(spec)) {
  if (stems < 1) reject("no stems", "1 or more", fmt::format("{}", stems));
  if (channels < 1) reject("no channels", "1 or more", fmt::format("{}", channels));
  sums_.resize(static_cast<std::size_t>(stems) * static_cast<std::size_t>(channels));
}

void OverlapAdder::add(const Chunk& chunk, const std::vector<AudioBuffer>& stems) {
  if (chunk.begin != next_begin_ || chunk.samples < 1 || chunk.samples > spec_.chunk_samples) {
    reject("chunk out of order", fmt::format("1 to {} samples from {}", spec_.chunk_samples, next_begin_),
           fmt::format("{} samples from {}", chunk.samples, chunk.begin));
  }
  if (chunk.begin + chunk.samples < end_) {
    reject("chunk ends before the one before it", fmt::format("end at {} or later", end_),
           fmt::format("end at {}", chunk.begin + chunk.samples));
  }
  if (stems.size() != static_cast<std::size_t>(stems_)) {
    reject("wrong number of stems", fmt::format("{}", stems_), fmt::format("{}", stems.size()));
  }
  for (const AudioBuffer& stem : stems) {
    if (stem.channels() == channels_ && stem.samples() == chunk.samples) continue;
    reject("stem of another shape", fmt::format("{} x {}", channels_, chunk.samples),
           fmt::format("{} x {}", stem.channels(), stem.samples()));
  }

  const auto size = static_cast<std::size_t>(chunk.begin + chunk.samples - taken_);
  const auto from = static_cast<std::size_t>(chunk.begin - taken_);
  const auto count = static_cast<std::size_t>(chunk.samples);
  if (weight_sum_.size() < size) weight_sum_.resize(size, 0.0);
  for (std::size_t i = 0; i < count; ++i) weight_sum_[from + i] += weights_[i];
  std::size_t row = 0;
  for (const AudioBuffer& stem : stems) {
    for (int c = 0; c < channels_; ++c, ++row) {
      auto& sum = sums_[row];
      if (sum.size() < size) sum.resize(size, 0.0);
      const auto x = stem.channel(c);
      for (std::size_t i = 0; i < count; ++i) sum[from + i] += static_cast<double>(weights_[i]) * x[i];
    }
  }
  end_ = chunk.begin + chunk.samples;
  next_begin_ = chunk.begin + spec_.hop_samples;
}

std::vector<AudioBuffer> OverlapAdder::take(bool last) {
  const std::int64_t until = last ? end_ : std::min(next_begin_, end_);
  const std::int64_t count = until - taken_;
  const auto n = static_cast<std::size_t>(count);
  std::vector<AudioBuffer> out;
  out.reserve(static_cast<std::size_t>(stems_));
  std::size_t row = 0;
  for (int s = 0; s < stems_; ++s) {
    AudioBuffer stem(channels_, count, rate_hz_);
    for (int c = 0; c < channels_; ++c, ++row) {
      auto& sum = sums_[row];
      const auto y = stem.channel(c);
      for (std::size_t i = 0; i < n; ++i) y[i] = static_cast<float>(sum[i] / weight_sum_[i]);
      sum.erase(sum.begin(), sum.begin() + count);
    }
    out.push_back(std::move(stem));
  }
  weight_sum_.erase(weight_sum_.begin(), weight_sum_.begin() + count);
  taken_ = until;
  return out;
}

}  // namespace mss::audio
