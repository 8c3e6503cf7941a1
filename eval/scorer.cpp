#include "eval/scorer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "core/error.h"
#include "core/parallel.h"
#include "eval/bsseval.h"
#include "eval/frame_metrics.h"
#include "eval/projection.h"
#include "eval/sdr.h"
#include "eval/sums.h"

namespace mss::eval {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr const char* kVocals = "vocals";
constexpr const char* kAccompaniment = "accompaniment";

Error bad_argument(std::string where, std::string what, std::string expected = {}, std::string found = {}) {
  return Error(ErrorParts{.code = Code::invalid_argument,
                          .where = std::move(where),
                          .what = std::move(what),
                          .expected = std::move(expected),
                          .found = std::move(found),
                          .hint = {}});
}

std::string shape_text(const Signal& s) { return fmt::format("{} channels x {} samples", s.channels(), s.samples()); }

/// Sum over the segments of a frame and all channels.
template <class Table, class F>
double frame_sum(const Table& table, const std::pair<int, int>& frame, int channels, F value) {
  double sum = 0;
  for (int i = frame.first * channels; i < frame.second * channels; ++i)
    sum += value(table[static_cast<std::size_t>(i)]);
  return sum;
}

/// A source as one signal; a sum is added up in `buffer`.
Signal as_signal(const Source& source, std::vector<double>& buffer) {
  if (source.single()) return source.part(0);
  const std::int64_t samples = source.samples();
  buffer.resize(static_cast<std::size_t>(samples * source.channels()));
  for (int c = 0; c < source.channels(); ++c) source.load(c, 0, samples, buffer.data() + c * samples);
  return Signal(buffer.data(), source.channels(), samples, samples);
}

/// Mean over channels of the SDR of bss_eval_sources.
double mean_sources_sdr(const Source& reference, const Source& estimate, const ScorerOptions& options) {
  std::vector<double> buffer, other;
  const std::vector<double> of_channels =
      sources_sdr(as_signal(reference, buffer), as_signal(estimate, other), options.filter_taps, options.threads);
  double sum = 0;
  for (const double value : of_channels) sum += value;
  return sum / static_cast<double>(of_channels.size());
}

double value_of(const std::vector<TrackValue>& values, const std::string& metric) {
  for (const TrackValue& v : values)
    if (v.metric == metric) return v.value;
  return kNan;
}

}  // namespace

struct ReferenceSet::Impl {
  /// A stem, or the accompaniment.
  struct Entity {
    std::string name;
    Source reference;
    bool zero = false;            ///< all samples are zero
    std::vector<Silence> silent;  ///< per frame
    OwnTable own;
    PairTable mixture;  ///< against the mixture; empty without one
    std::vector<TrackValue> mixture_family;
    double mixture_sources_sdr = kNan;
  };
  struct Problem {
    std::string scenario;
    std::vector<std::size_t> entities;  ///< all of the scenario, also those left out
    std::vector<std::size_t> active;    ///< those with a reference
  };

  ScorerOptions options;
  int rate_hz = 0, channels = 0;
  std::int64_t samples = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> spans;
  Segments segments;
  std::vector<Entity> entities;
  std::size_t stems = 0;
  std::vector<Problem> problems;
  Source mixture;
  std::vector<Projections::Problem> projection_problems;
  std::unique_ptr<Projections> projections;  ///< null with sdr_only and with filters per frame
  std::unique_ptr<Projections> stable;  ///< for the stable variants; null where they are not asked for, or per frame

  Impl(std::vector<std::string> names, std::vector<Signal> references, Signal mix, int rate, ScorerOptions opts);
  std::vector<Source> stem_references() const;
  std::vector<Source> gather(const std::vector<std::string>& names, const std::vector<Signal>& estimates) const;
  std::vector<Scores> score(const std::vector<std::string>& names, const std::vector<Signal>& estimates) const;
};

ReferenceSet::Impl::Impl(std::vector<std::string> names, std::vector<Signal> references, Signal mix, int rate,
                         ScorerOptions opts)
    : options(std::move(opts)), rate_hz(rate) {
  if (names.empty()) throw bad_argument("references", "no sources");
  if (names.size() != references.size()) {
    throw bad_argument("references", "as many signals as names are needed", fmt::format("{}", names.size()),
                       fmt::format("{}", references.size()));
  }
  if (names.size() > 100)
    throw bad_argument("references", "too many sources", "at most 100", fmt::format("{}", names.size()));
  if (!(options.window_s > 0) || !(options.hop_s > 0) || options.filter_taps < 1 || rate < 1) {
    throw bad_argument("scorer options", "window, hop, filter length and rate must be positive");
  }
  channels = references.front().channels();
  samples = references.front().samples();
  if (channels < 1 || samples < 1) throw bad_argument(names.front(), "reference without samples");
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (std::count(names.begin(), names.end(), names[i]) > 1) throw bad_argument(names[i], "reference given twice");
    if (references[i].channels() != channels || references[i].samples() != samples) {
      throw bad_argument(names[i], "reference differs in shape from the first", shape_text(references.front()),
                         shape_text(references[i]));
    }
  }
  if (!mix.empty() && (mix.channels() != channels || mix.samples() != samples)) {
    throw bad_argument("mixture", "mixture differs in shape from the references", shape_text(references.front()),
                       shape_text(mix));
  }

  const double seconds = scoring_seconds(static_cast<int>(names.size()), channels, samples, rate, options);
  if (seconds > options.most_seconds) {
    throw Error(ErrorParts{.code = Code::resource,
                           .where = "BSS Eval",
                           .what = fmt::format("{} sources of {} channels would take about {:.1f} hours", names.size(),
                                               channels, seconds / 3600),
                           .expected = fmt::format("at most {:.1f} hours for one track", options.most_seconds / 3600),
                           .found = {},
                           .hint = "--metrics sdr needs no filters; --allow-long goes on all the same"});
  }

  const double window = std::floor(options.window_s * rate), hop = std::floor(options.hop_s * rate);
  if (window < 1 || hop < 1) throw bad_argument("scorer options", "window and hop must hold at least one sample");
  spans = frame_spans(samples, window, hop);
  segments = make_segments(samples, spans);

  stems = names.size();
  for (std::size_t i = 0; i < stems; ++i) entities.push_back({names[i], Source(references[i]), false, {}, {}, {}, {}});
  const auto vocals = std::find(names.begin(), names.end(), kVocals);
  const bool two_scenarios = options.accompaniment && vocals != names.end() && stems >= 3 &&
                             std::find(names.begin(), names.end(), kAccompaniment) == names.end();
  if (two_scenarios) {
    std::vector<Signal> others;
    for (std::size_t i = 0; i < stems; ++i)
      if (names[i] != kVocals) others.push_back(references[i]);
    entities.push_back({kAccompaniment, Source(std::move(others)), false, {}, {}, {}, {}});
  }

  std::vector<Source> sources;
  for (const Entity& e : entities) sources.push_back(e.reference);
  std::vector<OwnTable> own = own_tables(sources, segments, options.threads, options.stop);
  for (std::size_t i = 0; i < entities.size(); ++i) {
    Entity& e = entities[i];
    e.own = std::move(own[i]);
    double energy = 0, sum = 0;
    for (const OwnSums& s : e.own) {
      energy += s.energy;
      sum += s.sum;
    }
    if (!std::isfinite(energy) || !std::isfinite(sum)) require_finite(e.reference, "reference '" + e.name + "'");
    const Silence whole = silence(e.reference, 0, samples);
    e.zero = whole == Silence::zero;
    if (options.strict && whole != Silence::sounding && i < stems) {
      throw Error(ErrorParts{.code = Code::numeric,
                             .where = "reference '" + e.name + "'",
                             .what = "silent over the whole track",
                             .expected = "a reference with sound (strict rule, as museval)",
                             .found = e.zero ? "all samples zero" : "channels that cancel",
                             .hint = {}});
    }
    for (const auto& [start, stop] : spans) e.silent.push_back(silence(e.reference, start, stop));
  }

  if (!mix.empty()) {
    mixture = Source(mix);
    std::vector<std::pair<const Source*, const Source*>> pairs;
    for (const Entity& e : entities) pairs.emplace_back(&e.reference, &mixture);
    std::vector<PairTable> tables = pair_tables(pairs, segments, options.threads, options.stop);
    for (std::size_t i = 0; i < entities.size(); ++i) {
      Entity& e = entities[i];
      e.mixture = std::move(tables[i]);
      const TrackSums sums = total_sums(e.own, e.mixture, channels, samples);
      for (const ChannelSums& c : sums.channels)
        if (!std::isfinite(c.estimate2) || !std::isfinite(c.estimate1)) require_finite(mixture, "mixture");
      e.mixture_family = sdr_family(sums);
      if (options.sources_sdr && !e.zero) e.mixture_sources_sdr = mean_sources_sdr(e.reference, mixture, options);
    }
  }

  const auto add_problem = [&](const char* scenario, std::vector<std::size_t> members) {
    Problem p;
    p.scenario = scenario;
    for (std::size_t m : members)
      if (!entities[m].zero) p.active.push_back(m);
    p.entities = std::move(members);
    problems.push_back(std::move(p));
  };
  std::vector<std::size_t> all(stems);
  for (std::size_t i = 0; i < stems; ++i) all[i] = i;
  add_problem("stems", all);
  if (two_scenarios) {
    add_problem("vocals/accompaniment", {static_cast<std::size_t>(vocals - names.begin()), stems});
  }

  if (options.metrics != Metrics::all && !options.stable) return;
  for (const Problem& problem : problems) {
    Projections::Problem parts;
    for (std::size_t id : problem.active) {
      if (id < stems) {
        parts.push_back({static_cast<int>(id)});
        continue;
      }
      parts.emplace_back();
      for (std::size_t i = 0; i < stems; ++i)
        if (names[i] != kVocals) parts.back().push_back(static_cast<int>(i));
    }
    projection_problems.push_back(std::move(parts));
  }
  if (options.framewise_filters) return;
  const auto make = [&](double ridge) {
    auto made = std::make_unique<Projections>(stem_references(), projection_problems, 0, samples, options.filter_taps,
                                              options.threads, options.stop, options.cache_bytes, ridge);
    std::vector<char> sounding(spans.size(), 1);
    if (options.silence == SilenceRule::museval) {
      // A frame with a silent reference never has a value in the problem of all stems, and rarely in the other.
      for (std::size_t t = 0; t < spans.size(); ++t)
        for (std::size_t id : problems.front().active)
          if (entities[id].silent[t] != Silence::sounding) sounding[t] = 0;
    }
    made->keep_frames(spans, sounding);
    return made;
  };
  if (options.metrics == Metrics::all) projections = make(0);
  if (options.stable) stable = make(kStableRidge);
}

std::vector<Source> ReferenceSet::Impl::stem_references() const {
  std::vector<Source> sources;
  for (std::size_t i = 0; i < stems; ++i) sources.push_back(entities[i].reference);
  return sources;
}

std::vector<Source> ReferenceSet::Impl::gather(const std::vector<std::string>& names,
                                               const std::vector<Signal>& estimates) const {
  if (names.size() != estimates.size()) {
    throw bad_argument("estimates", "as many signals as names are needed", fmt::format("{}", names.size()),
                       fmt::format("{}", estimates.size()));
  }
  std::map<std::string, Signal> by_name;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!by_name.emplace(names[i], estimates[i]).second) throw bad_argument(names[i], "estimate given twice");
    if (estimates[i].channels() != channels || estimates[i].samples() != samples) {
      throw bad_argument(names[i], "estimate differs in shape from its reference",
                         fmt::format("{} channels x {} samples", channels, samples), shape_text(estimates[i]));
    }
  }
  std::vector<Source> sources;
  std::vector<Signal> others;
  std::size_t used = 0;
  for (std::size_t i = 0; i < stems; ++i) {
    const auto found = by_name.find(entities[i].name);
    if (found == by_name.end()) throw bad_argument(entities[i].name, "estimate is missing");
    sources.emplace_back(found->second);
    if (entities[i].name != kVocals) others.push_back(found->second);
    ++used;
  }
  if (entities.size() > stems) {
    const auto found = by_name.find(kAccompaniment);
    if (found != by_name.end()) {
      sources.emplace_back(found->second);
      ++used;
    } else {
      sources.emplace_back(others);
    }
  }
  if (used != by_name.size()) {
    for (const auto& [name, signal] : by_name) {
      const bool known = std::any_of(entities.begin(), entities.end(), [&](const Entity& e) { return e.name == name; });
      if (!known) throw bad_argument(name, "estimate without a reference");
    }
  }
  return sources;
}

std::vector<Scores> ReferenceSet::Impl::score(const std::vector<std::string>& names,
                                              const std::vector<Signal>& estimates) const {
  const std::vector<Source> sources = gather(names, estimates);
  const std::size_t frames = spans.size();

  std::vector<std::pair<const Source*, const Source*>> pairs;
  for (std::size_t i = 0; i < entities.size(); ++i) pairs.emplace_back(&entities[i].reference, &sources[i]);
  const std::vector<PairTable> tables = pair_tables(pairs, segments, options.threads, options.stop);

  struct Estimate {
    bool zero = false;
    std::vector<Silence> silent;
    TrackSums sums;
  };
  std::vector<Estimate> info(entities.size());
  for (std::size_t i = 0; i < entities.size(); ++i) {
    info[i].sums = total_sums(entities[i].own, tables[i], channels, samples);
    for (const ChannelSums& c : info[i].sums.channels)
      if (!std::isfinite(c.estimate2) || !std::isfinite(c.estimate1)) {
        require_finite(sources[i], "estimate '" + entities[i].name + "'");
      }
    const Silence whole = silence(sources[i], 0, samples);
    info[i].zero = whole == Silence::zero;
    if (options.strict && whole != Silence::sounding && i < stems) {
      throw Error(ErrorParts{.code = Code::numeric,
                             .where = "estimate '" + entities[i].name + "'",
                             .what = "silent over the whole track",
                             .expected = "an estimate with sound (strict rule, as museval)",
                             .found = info[i].zero ? "all samples zero" : "channels that cancel",
                             .hint = {}});
    }
    for (const auto& [start, stop] : spans) info[i].silent.push_back(silence(sources[i], start, stop));
  }

  // Which frames have values, per problem and member.
  std::vector<std::vector<std::vector<char>>> valid(problems.size());
  std::vector<std::vector<DroppedFrames>> dropped(problems.size());
  std::vector<char> wanted(frames, 0);
  for (std::size_t p = 0; p < problems.size(); ++p) {
    const Problem& problem = problems[p];
    for (std::size_t id : problem.entities) {
      std::vector<char> mask(frames, 1);
      DroppedFrames counts;
      for (std::size_t t = 0; t < frames; ++t) {
        bool reference_zero = false, estimate_zero = false, anti = false;
        if (options.silence == SilenceRule::per_source) {
          reference_zero = entities[id].silent[t] == Silence::zero;
        } else {
          for (std::size_t a : problem.active) {
            reference_zero = reference_zero || entities[a].silent[t] == Silence::zero;
            anti = anti || entities[a].silent[t] == Silence::anti_phase;
            if (info[a].zero) continue;
            estimate_zero = estimate_zero || info[a].silent[t] == Silence::zero;
            anti = anti || info[a].silent[t] == Silence::anti_phase;
          }
        }
        counts.silent_reference += reference_zero;
        counts.silent_estimate += estimate_zero;
        counts.anti_phase += anti;
        if (reference_zero || estimate_zero || anti) {
          mask[t] = 0;
          ++counts.total;
        } else if (!entities[id].zero && !info[id].zero) {
          wanted[t] = 1;
        }
      }
      valid[p].push_back(std::move(mask));
      dropped[p].push_back(counts);
    }
  }

  // Filters and projections, [problem][member] -> index of the target, or none.
  std::vector<std::vector<std::optional<std::size_t>>> target_index(problems.size());
  std::vector<std::vector<Energies>> energies, stable_energies;
  std::vector<double> conditions(problems.size(), kNan);
  if (options.metrics == Metrics::all || options.stable) {
    const std::vector<Source> references = stem_references();
    std::vector<Projections::Projected> signals;
    for (std::size_t i = 0; i < entities.size(); ++i) {
      // The error of a summed accompaniment is the sum of the errors; only one that was given needs its own pass.
      if (i >= stems && !sources[i].single()) continue;
      signals.push_back({&sources[i], &entities[i].reference});
    }
    std::vector<Projections::Target> targets;
    for (std::size_t p = 0; p < problems.size(); ++p) {
      const Problem& problem = problems[p];
      for (std::size_t id : problem.entities) {
        target_index[p].emplace_back();
        if (entities[id].zero || info[id].zero) continue;
        const auto place = std::find(problem.active.begin(), problem.active.end(), id) - problem.active.begin();
        Projections::Target target{static_cast<int>(p), static_cast<int>(place), {}, false};
        if (id < stems || sources[id].single()) {
          target.parts = {static_cast<int>(id)};
        } else {
          for (std::size_t i = 0; i < stems; ++i)
            if (entities[i].name != kVocals) target.parts.push_back(static_cast<int>(i));
        }
        target_index[p].back() = targets.size();
        targets.push_back(std::move(target));
      }
    }
    // One set of filters for the track, or one per frame.
    const auto project = [&](const Projections* whole, double ridge, bool with_condition) {
      if (whole != nullptr) {
        for (std::size_t p = 0; with_condition && p < problems.size(); ++p)
          conditions[p] = whole->condition(static_cast<int>(p));
        return whole->evaluate(signals, targets, spans, wanted);
      }
      std::vector<std::vector<Energies>> out(targets.size(), std::vector<Energies>(frames));
      std::vector<std::vector<double>> of_frames(frames, std::vector<double>(problems.size(), kNan));
      core::parallel_for(static_cast<std::int64_t>(frames), options.threads, [&](std::int64_t frame) {
        const auto t = static_cast<std::size_t>(frame);
        if (!wanted[t]) return;
        const Projections own(references, projection_problems, spans[t].first, spans[t].second, options.filter_taps, 1,
                              options.stop, 0, ridge);
        for (std::size_t p = 0; p < problems.size(); ++p) of_frames[t][p] = own.condition(static_cast<int>(p));
        const auto mine = own.evaluate(signals, targets, {spans[t]}, {1});
        for (std::size_t i = 0; i < targets.size(); ++i) out[i][t] = mine[i][0];
      });
      for (const std::vector<double>& frame : of_frames)
        for (std::size_t p = 0; with_condition && p < problems.size(); ++p)
          if (!(frame[p] <= conditions[p]) && !std::isnan(frame[p])) conditions[p] = frame[p];
      return out;
    };
    if (options.metrics == Metrics::all) energies = project(projections.get(), 0, true);
    if (options.stable) stable_energies = project(stable.get(), kStableRidge, false);
  }

  std::vector<Scores> result;
  for (std::size_t p = 0; p < problems.size(); ++p) {
    const Problem& problem = problems[p];
    Scores scores;
    scores.scenario = problem.scenario;
    scores.window_s = options.window_s;
    scores.hop_s = options.hop_s;
    scores.silence = options.silence == SilenceRule::museval ? "museval" : "per_source";
    scores.filters = options.framewise_filters ? "v3" : "v4";
    scores.frames = static_cast<std::int64_t>(frames);
    scores.condition = conditions[p];
    for (std::size_t member = 0; member < problem.entities.size(); ++member) {
      const std::size_t id = problem.entities[member];
      const Entity& e = entities[id];
      const Estimate& estimate = info[id];
      TargetScores target;
      target.target = e.name;
      target.silent_reference = e.zero;
      target.silent_estimate = estimate.zero;
      if (e.zero) {
        target.dropped.silent_reference = target.dropped.total = scores.frames;
        scores.targets.push_back(std::move(target));
        continue;
      }
      target.dropped = dropped[p][member];

      FrameSeries sdr{"SDR", std::vector<double>(frames, kNan)};
      FrameSeries isr{"ISR", sdr.values}, sir{"SIR", sdr.values}, sar{"SAR", sdr.values};
      FrameSeries stable_isr{"ISR-stable", sdr.values}, stable_sir{"SIR-stable", sdr.values},
          stable_sar{"SAR-stable", sdr.values};
      std::vector<double> mixture_sdr;
      for (std::size_t t = 0; t < frames; ++t) {
        if (!valid[p][member][t]) continue;
        const auto error = [](const PairSums& s) { return s.error2; };
        const double energy = frame_sum(e.own, segments.frames[t], channels, [](const OwnSums& s) { return s.energy; });
        const double error2 = frame_sum(tables[id], segments.frames[t], channels, error);
        sdr.values[t] = estimate.zero ? 0.0 : ratio_db(energy, error2);
        if (!e.mixture.empty()) {
          mixture_sdr.push_back(ratio_db(energy, frame_sum(e.mixture, segments.frames[t], channels, error)));
        }
        const auto add_filtered = [&](const std::vector<std::vector<Energies>>& from, FrameSeries& to_isr,
                                      FrameSeries& to_sir, FrameSeries& to_sar) {
          if (from.empty() || !target_index[p][member]) return;
          Energies parts = from[*target_index[p][member]][t];
          // The joint span of a lone source is its own.
          if (problem.active.size() == 1) parts.interference = 0;
          const FrameMetrics m = frame_metrics(energy, error2, parts);
          to_isr.values[t] = m.isr;
          to_sir.values[t] = m.sir;
          to_sar.values[t] = m.sar;
        };
        add_filtered(energies, isr, sir, sar);
        add_filtered(stable_energies, stable_isr, stable_sir, stable_sar);
      }
      const double csdr = nan_median(sdr.values);
      target.frames.push_back(std::move(sdr));
      if (options.metrics == Metrics::all) {
        target.frames.push_back(std::move(isr));
        target.frames.push_back(std::move(sir));
        target.frames.push_back(std::move(sar));
      }
      if (options.stable) {
        target.frames.push_back(std::move(stable_isr));
        target.frames.push_back(std::move(stable_sir));
        target.frames.push_back(std::move(stable_sar));
      }

      target.track.push_back({"cSDR", csdr});
      std::vector<TrackValue> family = sdr_family(estimate.sums);
      target.track.insert(target.track.end(), family.begin(), family.end());
      if (!e.mixture.empty()) {
        target.track.push_back({"cSDRi", csdr - nan_median(mixture_sdr)});
        const std::pair<const char*, const char*> improvements[] = {{"uSDRi", "uSDR"},
                                                                    {"SDR-track-i", "SDR-track"},
                                                                    {"SI-SDRi", "SI-SDR"},
                                                                    {"SI-SDR-channel-i", "SI-SDR-channel"},
                                                                    {"SD-SDRi", "SD-SDR"}};
        for (const auto& [improvement, metric] : improvements) {
          target.track.push_back({improvement, value_of(family, metric) - value_of(e.mixture_family, metric)});
        }
      }
      if (options.sources_sdr) {
        const double value = estimate.zero ? kNan : mean_sources_sdr(e.reference, sources[id], options);
        target.track.push_back({"SDR-torchmetrics", value});
        if (!e.mixture.empty()) target.track.push_back({"NSDR", value - e.mixture_sources_sdr});
      }
      scores.targets.push_back(std::move(target));
    }
    std::vector<TrackSums> sums;
    for (std::size_t id : problem.active) sums.push_back(info[id].sums);
    if (!sums.empty()) scores.joint.push_back({"SA-SDR", sa_sdr(sums)});
    result.push_back(std::move(scores));
  }
  return result;
}

double scoring_seconds(int sources, int channels, std::int64_t samples, int rate_hz, const ScorerOptions& options) {
  if (options.metrics != Metrics::all || rate_hz < 1) return 0;
  const double inputs = static_cast<double>(sources) * channels, taps = options.filter_taps;
  const double frames = std::max(1.0, static_cast<double>(samples) / rate_hz / options.hop_s);
  const double frame_points = options.window_s * rate_hz + taps;
  // Levinson's recursion: three products of blocks per order and block. Solving: some sixty spectral products per
  // source. Frames: every filter times every input, four real products a bin.
  const double factor = 3 * inputs * inputs * inputs * taps * taps;
  const double solve = 60 * inputs * inputs * 4 * taps * sources * channels;
  const double frame = 4 * inputs * inputs * frame_points;
  const double analyses = options.framewise_filters ? frames : 1;
  // Measured: 1.3e10 for 48 inputs; with hundreds, the blocks are larger than any cache.
  constexpr double kRate = 1.5e9;
  // The recursion runs on one thread.
  return (analyses * factor + (analyses * solve + frames * frame) / std::max(1, options.threads)) / kRate;
}

ReferenceSet::ReferenceSet(std::vector<std::string> names, std::vector<Signal> references, Signal mixture, int rate_hz,
                           ScorerOptions options)
    : impl_(std::make_unique<Impl>(std::move(names), std::move(references), mixture, rate_hz, std::move(options))) {}
ReferenceSet::~ReferenceSet() = default;
ReferenceSet::ReferenceSet(ReferenceSet&&) noexcept = default;
ReferenceSet& ReferenceSet::operator=(ReferenceSet&&) noexcept = default;

std::vector<Scores> ReferenceSet::score(const std::vector<std::string>& names,
                                        const std::vector<Signal>& estimates) const {
  return impl_->score(names, estimates);
}

}  // namespace mss::eval
