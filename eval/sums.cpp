#include "eval/sums.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/error.h"
#include "core/parallel.h"

namespace mss::eval {

namespace {

/// Samples per step: one step of all signals of a track stays in the second-level cache.
constexpr std::int64_t kChunk = 8192;
/// Samples per step of the silence test.
constexpr std::int64_t kSilenceStep = 4096;

bool is_float(const Source& s) { return s.single() && !s.part(0).is_float64(); }

}  // namespace

void Source::load(int c, std::int64_t begin, std::int64_t n, double* out) const {
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    const Signal& s = parts_[p];
    if (s.is_float64()) {
      const double* x = s.f64(c) + begin;
      if (p == 0) {
        std::copy(x, x + n, out);
      } else {
        for (std::int64_t i = 0; i < n; ++i) out[i] += x[i];
      }
    } else {
      const float* x = s.f32(c) + begin;
      if (p == 0) {
        for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<double>(x[i]);
      } else {
        for (std::int64_t i = 0; i < n; ++i) out[i] += static_cast<double>(x[i]);
      }
    }
  }
}

Silence silence(const Source& source, std::int64_t begin, std::int64_t end) {
  const int channels = source.channels();
  std::vector<double> sum(static_cast<std::size_t>(std::min(kSilenceStep, std::max<std::int64_t>(end - begin, 1))));
  std::vector<double> one(sum.size());
  bool loud_channel = false;
  // Sounding audio leaves within the first step, so a short first step keeps the test almost free.
  std::int64_t step = 64;
  for (std::int64_t t = begin; t < end; t += step, step = kSilenceStep) {
    const std::int64_t n = std::min(step, end - t);
    std::fill(sum.begin(), sum.begin() + n, 0.0);
    for (int c = 0; c < channels; ++c) {
      source.load(c, t, n, one.data());
      for (std::int64_t i = 0; i < n; ++i) {
        sum[static_cast<std::size_t>(i)] += one[static_cast<std::size_t>(i)];
        loud_channel = loud_channel || one[static_cast<std::size_t>(i)] != 0.0;
      }
    }
    for (std::int64_t i = 0; i < n; ++i)
      if (sum[static_cast<std::size_t>(i)] != 0.0) return Silence::sounding;
  }
  return loud_channel ? Silence::anti_phase : Silence::zero;
}

std::vector<std::pair<std::int64_t, std::int64_t>> frame_spans(std::int64_t samples, double window, double hop) {
  const auto length = static_cast<double>(samples);
  if (!(window < length)) return {{0, samples}};
  if (!std::isfinite(hop)) return {{0, static_cast<std::int64_t>(std::floor(window))}};
  const auto count = static_cast<std::int64_t>(std::floor((length - window + hop) / hop));
  std::vector<std::pair<std::int64_t, std::int64_t>> spans;
  spans.reserve(static_cast<std::size_t>(count));
  for (std::int64_t t = 0; t < count; ++t) {
    const double start = static_cast<double>(t) * hop;
    spans.emplace_back(static_cast<std::int64_t>(std::floor(start)),
                       static_cast<std::int64_t>(std::floor(std::min(start + window, length))));
  }
  return spans;
}

Segments make_segments(std::int64_t samples, const std::vector<std::pair<std::int64_t, std::int64_t>>& frames) {
  Segments segments;
  std::vector<std::int64_t> bounds{0, samples};
  for (const auto& [start, stop] : frames) {
    bounds.push_back(start);
    bounds.push_back(stop);
  }
  constexpr std::int64_t kLongest = std::int64_t{1} << 17;
  for (std::int64_t t = kLongest; t < samples; t += kLongest) bounds.push_back(t);
  std::sort(bounds.begin(), bounds.end());
  bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
  segments.bounds = std::move(bounds);
  const auto index_of = [&](std::int64_t t) {
    return static_cast<int>(std::lower_bound(segments.bounds.begin(), segments.bounds.end(), t) -
                            segments.bounds.begin());
  };
  for (const auto& [start, stop] : frames) segments.frames.emplace_back(index_of(start), index_of(stop));
  return segments;
}

std::vector<OwnTable> own_tables(const std::vector<Source>& sources, const Segments& segments, int threads,
                                 const core::StopToken& stop) {
  std::vector<OwnTable> tables(sources.size());
  if (sources.empty()) return tables;
  const int channels = sources.front().channels();
  for (OwnTable& t : tables) t.resize(static_cast<std::size_t>(segments.count() * channels));
  const Kernels& k = kernels();
  core::parallel_for(segments.count(), threads, [&](std::int64_t segment) {
    stop.check();
    std::vector<double> x(std::all_of(sources.begin(), sources.end(), is_float) ? 0 : kChunk);
    const std::int64_t begin = segments.bounds[static_cast<std::size_t>(segment)];
    const std::int64_t end = segments.bounds[static_cast<std::size_t>(segment) + 1];
    for (int c = 0; c < channels; ++c) {
      const auto slot = static_cast<std::size_t>(segment * channels + c);
      for (std::int64_t t = begin; t < end; t += kChunk) {
        const std::int64_t n = std::min(kChunk, end - t);
        for (std::size_t s = 0; s < sources.size(); ++s) {
          const Source& source = sources[s];
          if (is_float(source)) {
            k.own_sums_f32(source.part(0).f32(c) + t, n, &tables[s][slot]);
          } else {
            source.load(c, t, n, x.data());
            k.own_sums_f64(x.data(), n, &tables[s][slot]);
          }
        }
      }
    }
  });
  return tables;
}

std::vector<PairTable> pair_tables(const std::vector<std::pair<const Source*, const Source*>>& pairs,
                                   const Segments& segments, int threads, const core::StopToken& stop) {
  std::vector<PairTable> tables(pairs.size());
  if (pairs.empty()) return tables;
  const int channels = pairs.front().first->channels();
  for (PairTable& t : tables) t.resize(static_cast<std::size_t>(segments.count() * channels));
  const Kernels& k = kernels();
  core::parallel_for(segments.count(), threads, [&](std::int64_t segment) {
    stop.check();
    const bool direct = std::all_of(pairs.begin(), pairs.end(),
                                    [](const auto& p) { return is_float(*p.first) && is_float(*p.second); });
    std::vector<double> x(direct ? 0 : kChunk), y(x.size());
    const std::int64_t begin = segments.bounds[static_cast<std::size_t>(segment)];
    const std::int64_t end = segments.bounds[static_cast<std::size_t>(segment) + 1];
    for (int c = 0; c < channels; ++c) {
      const auto slot = static_cast<std::size_t>(segment * channels + c);
      for (std::int64_t t = begin; t < end; t += kChunk) {
        const std::int64_t n = std::min(kChunk, end - t);
        for (std::size_t p = 0; p < pairs.size(); ++p) {
          const Source& s = *pairs[p].first;
          const Source& e = *pairs[p].second;
          if (is_float(s) && is_float(e)) {
            k.pair_sums_f32(s.part(0).f32(c) + t, e.part(0).f32(c) + t, n, &tables[p][slot]);
          } else {
            s.load(c, t, n, x.data());
            e.load(c, t, n, y.data());
            k.pair_sums_f64(x.data(), y.data(), n, &tables[p][slot]);
          }
        }
      }
    }
  });
  return tables;
}

TrackSums total_sums(const OwnTable& own, const PairTable& pair, int channels, std::int64_t samples) {
  TrackSums sums;
  sums.samples = samples;
  sums.channels.resize(static_cast<std::size_t>(channels));
  const std::size_t segments = own.size() / static_cast<std::size_t>(channels);
  for (std::size_t s = 0; s < segments; ++s) {
    for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
      const std::size_t slot = s * static_cast<std::size_t>(channels) + c;
      ChannelSums& sum = sums.channels[c];
      sum.reference2 += own[slot].energy;
      sum.reference1 += own[slot].sum;
      sum.error2 += pair[slot].error2;
      sum.cross += pair[slot].cross;
      sum.estimate2 += pair[slot].estimate2;
      sum.estimate1 += pair[slot].estimate1;
    }
  }
  return sums;
}

void require_finite(const Source& source, const std::string& name) {
  for (std::size_t p = 0; p < source.parts(); ++p) {
    const Signal& s = source.part(p);
    for (int c = 0; c < s.channels(); ++c) {
      for (std::int64_t t = 0; t < s.samples(); ++t) {
        if (std::isfinite(s(c, t))) continue;
        throw Error(ErrorParts{.code = Code::numeric,
                               .where = name,
                               .what = "sample is not finite",
                               .expected = "finite samples",
                               .found = fmt::format("{} at channel {}, sample {}", s(c, t), c, t),
                               .hint = {}});
      }
    }
  }
}

}  // namespace mss::eval
