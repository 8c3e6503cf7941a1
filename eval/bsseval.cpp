#include "eval/bsseval.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "core/error.h"
#include "core/parallel.h"
#include "eval/frame_metrics.h"
#include "eval/projection.h"
#include "eval/sums.h"

namespace mss::eval {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kMaxPermuted = 12;

/// Mean of SIR over the sources under `order`; the first of equals wins, so candidates come in lexicographic order.
/// `pairs[j][e]` holds the frames' values.
std::vector<int> best_order(const std::vector<std::vector<std::vector<double>>>& pairs,
                            const std::vector<std::size_t>& frames, bool ignore_nan) {
  const std::size_t n = pairs.size();
  std::vector<int> identity(n);
  std::iota(identity.begin(), identity.end(), 0);
  // Per pair: the sum over the frames that count.
  std::vector<std::vector<double>> sum(n, std::vector<double>(n, 0.0));
  bool undefined = false;
  std::size_t counted = 0;
  for (std::size_t f : frames) {
    const bool nan = std::isnan(pairs[0][0][f]);
    undefined = undefined || nan;
    if (nan) continue;
    ++counted;
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t e = 0; e < n; ++e) sum[j][e] += pairs[j][e][f];
  }
  if (counted == 0 || (undefined && !ignore_nan)) return identity;
  if (n <= 8) {
    std::vector<int> order = identity, best = identity;
    double best_score = -std::numeric_limits<double>::infinity();
    bool any = false;
    do {
      double score = 0;
      for (std::size_t j = 0; j < n; ++j) score += sum[j][static_cast<std::size_t>(order[j])];
      if (!std::isnan(score) && (!any || score > best_score)) {
        any = true;
        best_score = score;
        best = order;
      }
    } while (std::next_permutation(order.begin(), order.end()));
    return best;
  }
  // Dynamic programme over the set of estimates already given to the first references.
  const std::size_t sets = std::size_t{1} << n;
  std::vector<double> score(sets, -std::numeric_limits<double>::infinity());
  std::vector<int> choice(sets, -1);
  score[0] = 0;
  for (std::size_t set = 0; set < sets; ++set) {
    if (set != 0 && choice[set] < 0) continue;
    const auto j = static_cast<std::size_t>(__builtin_popcountll(set));
    if (j == n) continue;
    for (std::size_t e = 0; e < n; ++e) {
      if ((set >> e) & 1) continue;
      const std::size_t next = set | (std::size_t{1} << e);
      const double s = score[set] + sum[j][e];
      if (choice[next] < 0 || s > score[next]) {
        score[next] = s;
        choice[next] = static_cast<int>(e);
      }
    }
  }
  std::vector<int> order(n);
  std::size_t set = sets - 1;
  for (std::size_t j = n; j-- > 0;) {
    order[j] = choice[set];
    set &= ~(std::size_t{1} << static_cast<unsigned>(choice[set]));
  }
  return order;
}

}  // namespace

BssEvalResult bss_eval(const std::vector<Signal>& references, const std::vector<Signal>& estimates,
                       const BssEvalOptions& options) {
  const std::size_t n = references.size();
  if (n == 0 || n > 100) {
    throw Error(Code::invalid_argument, "bss_eval", fmt::format("1 to 100 sources are needed, found {}", n));
  }
  if (estimates.size() != n) {
    throw Error(Code::invalid_argument, "bss_eval", fmt::format("{} references but {} estimates", n, estimates.size()));
  }
  if (options.permute && n > kMaxPermuted) {
    throw Error(Code::unsupported, "bss_eval", fmt::format("permutations of {} sources (at most {})", n, kMaxPermuted));
  }
  if (!(options.window_samples >= 1) || !(options.hop_samples > 0) || options.filter_taps < 1) {
    throw Error(Code::invalid_argument, "bss_eval", "window, hop and filter length must be positive");
  }
  const int channels = references.front().channels();
  const std::int64_t samples = references.front().samples();
  if (channels < 1 || samples < 1) throw Error(Code::invalid_argument, "bss_eval", "signals without samples");
  std::vector<Source> refs, ests;
  for (std::size_t j = 0; j < n; ++j) {
    for (const Signal* s : {&references[j], &estimates[j]}) {
      if (s->channels() != channels || s->samples() != samples) {
        throw Error(Code::invalid_argument, "bss_eval", fmt::format("source {}: signals differ in shape", j));
      }
    }
    refs.emplace_back(references[j]);
    ests.emplace_back(estimates[j]);
  }

  const auto spans = frame_spans(samples, options.window_samples, options.hop_samples);
  const std::size_t frames = spans.size();
  const Segments segments = make_segments(samples, spans);
  struct Pair {
    std::size_t j, e;
  };
  std::vector<Pair> pairs;
  std::vector<std::pair<const Source*, const Source*>> sources;
  for (std::size_t j = 0; j < n; ++j)
    for (std::size_t e = 0; e < n; ++e)
      if (options.permute || j == e) {
        pairs.push_back({j, e});
        sources.emplace_back(&refs[j], &ests[e]);
      }
  const auto own = own_tables(refs, segments, options.threads, options.stop);
  const auto tables = pair_tables(sources, segments, options.threads, options.stop);
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    const TrackSums sums = total_sums(own[pairs[p].j], tables[p], channels, samples);
    for (const ChannelSums& c : sums.channels) {
      if (!std::isfinite(c.reference2)) require_finite(refs[pairs[p].j], fmt::format("reference {}", pairs[p].j));
      if (!std::isfinite(c.estimate2)) require_finite(ests[pairs[p].e], fmt::format("estimate {}", pairs[p].e));
    }
  }

  std::vector<char> wanted(frames, 1);
  for (std::size_t j = 0; j < n; ++j) {
    for (const bool reference : {true, false}) {
      const Source& s = reference ? refs[j] : ests[j];
      if (options.strict && silence(s, 0, samples) != Silence::sounding) {
        throw Error(Code::numeric, fmt::format("{} {}", reference ? "reference" : "estimate", j),
                    "silent over the whole track");
      }
      for (std::size_t f = 0; f < frames; ++f)
        if (silence(s, spans[f].first, spans[f].second) != Silence::sounding) wanted[f] = 0;
    }
  }

  Projections::Problem problem;
  std::vector<Projections::Projected> signals;
  std::vector<Projections::Target> targets;
  for (std::size_t j = 0; j < n; ++j) {
    problem.push_back({static_cast<int>(j)});
    signals.push_back({&ests[j], options.permute ? nullptr : &refs[j]});
  }
  for (const Pair& p : pairs) targets.push_back({0, static_cast<int>(p.j), {static_cast<int>(p.e)}, options.permute});

  std::vector<std::vector<Energies>> energies(pairs.size(), std::vector<Energies>(frames));
  if (!options.framewise_filters) {
    if (std::any_of(wanted.begin(), wanted.end(), [](char w) { return w != 0; })) {
      const Projections projections(refs, {problem}, 0, samples, options.filter_taps, options.threads, options.stop);
      energies = projections.evaluate(signals, targets, spans, wanted);
    }
  } else {
    const auto one_frame = [&](std::size_t f, int threads) {
      const Projections projections(refs, {problem}, spans[f].first, spans[f].second, options.filter_taps, threads,
                                    options.stop);
      const auto mine = projections.evaluate(signals, targets, {spans[f]}, {1});
      for (std::size_t p = 0; p < pairs.size(); ++p) energies[p][f] = mine[p][0];
    };
    if (frames == 1) {
      if (wanted[0]) one_frame(0, options.threads);
    } else {
      core::parallel_for(static_cast<std::int64_t>(frames), options.threads, [&](std::int64_t f) {
        if (wanted[static_cast<std::size_t>(f)]) one_frame(static_cast<std::size_t>(f), 1);
      });
    }
  }

  // values[metric][j][e][frame]
  using Cube = std::vector<std::vector<std::vector<double>>>;
  std::vector<Cube> values(4, Cube(n, std::vector<std::vector<double>>(n, std::vector<double>(frames, kNan))));
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    const auto [j, e] = pairs[p];
    for (std::size_t f = 0; f < frames; ++f) {
      if (!wanted[f]) continue;
      double reference2 = 0, error2 = 0;
      for (int i = segments.frames[f].first * channels; i < segments.frames[f].second * channels; ++i) {
        reference2 += own[j][static_cast<std::size_t>(i)].energy;
        error2 += tables[p][static_cast<std::size_t>(i)].error2;
      }
      Energies energy = energies[p][f];
      // The joint span of a lone source is its own.
      if (n == 1) energy.interference = 0;
      const FrameMetrics m = frame_metrics(reference2, error2, energy, options.sources_version);
      values[0][j][e][f] = m.sdr;
      values[1][j][e][f] = m.isr;
      values[2][j][e][f] = m.sir;
      values[3][j][e][f] = m.sar;
    }
  }

  BssEvalResult result;
  result.permutation.assign(n, {});
  const bool per_frame = options.framewise_filters;
  std::vector<std::vector<int>> orders;
  std::vector<int> identity(n);
  std::iota(identity.begin(), identity.end(), 0);
  for (std::size_t f = 0; f < (per_frame ? frames : 1); ++f) {
    if (!options.permute) {
      orders.push_back(identity);
      continue;
    }
    std::vector<std::size_t> which{f};
    if (!per_frame) {
      which.resize(frames);
      std::iota(which.begin(), which.end(), std::size_t{0});
    }
    orders.push_back(best_order(values[2], which, !options.museval_permutation));
  }
  for (std::size_t j = 0; j < n; ++j)
    for (const auto& order : orders) result.permutation[j].push_back(order[j]);
  const auto pick = [&](const Cube& cube) {
    std::vector<std::vector<double>> out(n, std::vector<double>(frames));
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t f = 0; f < frames; ++f)
        out[j][f] = cube[j][static_cast<std::size_t>(orders[per_frame ? f : 0][j])][f];
    return out;
  };
  result.sdr = pick(values[0]);
  result.isr = pick(values[1]);
  result.sir = pick(values[2]);
  result.sar = pick(values[3]);
  return result;
}

std::vector<double> sources_sdr(const Signal& reference, const Signal& estimate, int taps, int threads) {
  if (reference.channels() != estimate.channels() || reference.samples() != estimate.samples()) {
    throw Error(Code::invalid_argument, "sources_sdr", "reference and estimate differ in shape");
  }
  BssEvalOptions o;
  o.window_samples = o.hop_samples = std::numeric_limits<double>::infinity();
  o.filter_taps = taps;
  o.framewise_filters = o.sources_version = true;
  o.strict = false;
  o.threads = threads;
  std::vector<double> out;
  for (int c = 0; c < reference.channels(); ++c) {
    const auto channel = [c](const Signal& s) {
      return s.is_float64() ? Signal(s.f64(c), 1, s.samples(), s.samples())
                            : Signal(s.f32(c), 1, s.samples(), s.samples());
    };
    out.push_back(bss_eval({channel(reference)}, {channel(estimate)}, o).sdr[0][0]);
  }
  return out;
}

double nsdr(const Signal& reference, const Signal& estimate, const Signal& mixture, int taps, int threads) {
  const auto of_estimate = sources_sdr(reference, estimate, taps, threads);
  const auto of_mixture = sources_sdr(reference, mixture, taps, threads);
  double sum = 0;
  for (std::size_t c = 0; c < of_estimate.size(); ++c) sum += of_estimate[c] - of_mixture[c];
  return sum / static_cast<double>(of_estimate.size());
}

}  // namespace mss::eval
