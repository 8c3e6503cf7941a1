#include "methods/demucs/apply.h"

#include <map>

#include "core/rng.h"

namespace mss::methods::demucs {

std::function<std::int64_t(std::int64_t, std::int64_t)> drawn_offsets(std::uint64_t seed, const ApplyOptions& options) {
  // Streams of their own: "shif" and on.
  constexpr std::uint32_t kStream = 0x73686966;
  const auto most = static_cast<std::uint32_t>(std::max<std::int64_t>(options.longest_shift, 0));
  if (options.configuration.version != 1) {
    return [seed, most](std::int64_t i, std::int64_t k) -> std::int64_t {
      return core::Rng(seed, kStream + static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(i)).below(most + 1);
    };
  }
  return [seed, most](std::int64_t i, std::int64_t k) -> std::int64_t {
    // Place k of a shuffled list of all offsets, of which only what was swapped is written down.
    core::Rng rng(seed, kStream, static_cast<std::uint32_t>(i));
    std::map<std::uint32_t, std::uint32_t> swapped;
    const auto at = [&](std::uint32_t place) {
      const auto found = swapped.find(place);
      return found == swapped.end() ? place : found->second;
    };
    std::uint32_t drawn = 0;
    for (std::uint32_t j = 0; j <= static_cast<std::uint32_t>(k) && j < most; ++j) {
      const std::uint32_t from = j + rng.below(most - j);
      drawn = at(from);
      swapped[from] = at(j);
    }
    return drawn;
  };
}

SegmentSpec segments_of(const ApplyOptions& o) {
  SegmentSpec spec;
  spec.segment_samples = o.segment_samples;
  spec.hop_samples = o.segment_samples;
  if (o.split) {
    const double hop = (1.0 - o.overlap) * static_cast<double>(o.segment_samples);
    spec.hop_samples = std::max<std::int64_t>(static_cast<std::int64_t>(hop), 1);
    spec.weights = transition_weights(o.segment_samples, o.transition);
    spec.every_hop = true;
  }
  if (o.configuration.version != 1) {
    const std::int64_t context = o.shifts > 0 ? o.longest_shift : (longest_context(o.configuration) + 1) / 2;
    spec.before_samples = spec.after_samples = context;
  }
  spec.batch = std::max<std::int64_t>(o.windows_at_once / std::max<std::int64_t>(o.shifts, 1), 1);
  return spec;
}

Window window_of(const ApplyOptions& o, std::int64_t i, std::int64_t n, std::int64_t k) {
  constexpr std::int64_t kFar = std::int64_t{1} << 60;
  const bool first_version = o.configuration.version == 1;
  Window out{.begin = 0, .samples = n, .low = first_version ? 0 : -kFar, .high = first_version ? n : kFar, .skip = 0};
  if (o.shifts == 0) return out;
  const std::int64_t most = o.longest_shift, offset = o.offset(i, k);
  out.begin = offset - most;
  out.skip = most - offset;
  out.samples = first_version ? n + most : n + most - offset;
  if (!first_version) {
    out.low = -most;
    out.high = n + most;
  }
  return out;
}

}  // namespace mss::methods::demucs
