#include "methods/nmf/train.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <utility>

#include "audio/resample.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/rng.h"
#include "core/version.h"
#include "methods/nmf/nmf.h"

namespace mss::methods::nmf {
namespace {

using Index = std::int64_t;
constexpr std::uint32_t kDrawStream = 0x6e6d6644, kStartStream = 0x6e6d6653, kMemberStream = 0x6e6d664d;
constexpr Index kUnitFrames = 64;
// Of calibrations. Masks are fitted as often as separation does by itself.
constexpr std::size_t kGroups = 4, kExcerpts = 48, kTrackExcerpts = 6;
constexpr Index kExcerptSeconds = 20;
constexpr double kExcerptScore = 1.8;
constexpr int kCalibrationIterations = 100;

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

/// use(channel, frame, spectrum) for every frame of every channel.
template <class Use>
void for_each_frame(const audio::AudioBuffer& x, const audio::StftSpec& spec, const core::StopToken& stop,
                    const Use& use) {
  audio::for_each_block(x.view(), spec, stop, [&](const audio::Spectrogram<float>& block, Index first) {
    for (int c = 0; c < x.channels(); ++c) {
      for (Index n = 0; n < block.frames(); ++n) use(c, first + n, block.at(c, n));
    }
  });
}

/// Magnitude spectra of one target, frame after frame.
struct Frames {
  std::vector<float> values;
  Index count = 0;
  std::vector<Index> first;  ///< of every track
};

class Trainer {
 public:
  Trainer(const std::vector<TrainTrack>& tracks, const TrainOptions& options, Index targets)
      : tracks_(tracks),
        options_(options),
        groups_(options.calibrate ? static_cast<int>(std::min<std::size_t>(kGroups, tracks.size())) : 0),
        without_group_(sz(groups_)),
        total_(training_steps(static_cast<Index>(tracks.size()), targets, options)) {
    spec_.fft_size = options.stft.fft_size;
    spec_.hop_samples = options.stft.hop_samples;
    unit_ = options.template_frames > 1 ? std::max<Index>(kUnitFrames, options.template_frames) : 1;
  }

  const audio::StftSpec& spec() const { return spec_; }

  /// One part per member from all tracks and, for the calibration, from all but each group of them.
  std::vector<DictionaryPart> learn(const std::string& target, Index& frames_used) {
    const Frames frames = collect(target);
    frames_used = frames.count;
    require_audible(target, frames, "silent in every training track", "choose targets that the tracks have");
    std::vector<DictionaryPart> members = fit_members(target, frames);
    for (int g = 0; g < groups_; ++g) {
      Frames others;
      for (std::size_t i = 0; i < tracks_.size(); ++i) {
        if (group_of(i) == g) continue;
        const Index begin = frames.first[i], end = i + 1 < tracks_.size() ? frames.first[i + 1] : frames.count;
        others.values.insert(others.values.end(), frames.values.begin() + begin * spec_.bins(),
                             frames.values.begin() + end * spec_.bins());
        others.count += end - begin;
      }
      require_audible(target, others, "sounds in too few tracks for a calibration", "learn from more tracks");
      for (auto& part : fit_members(target, others)) without_group_[sz(g)].push_back(std::move(part));
    }
    return members;
  }

  Calibration learn_calibration(const std::vector<std::string>& targets) {
    CalibrationTrainer trainer(static_cast<int>(targets.size()), options_.calibration_bands, spec_, options_.rate_hz);
    const std::size_t stride = (tracks_.size() + kExcerpts - 1) / kExcerpts;
    const std::size_t most = std::clamp<std::size_t>(kExcerpts / tracks_.size(), 1, kTrackExcerpts);
    std::vector<Dictionary> dictionaries;
    for (int g = 0; g < groups_; ++g) dictionaries.push_back(without_group(g, targets.size()));
    for (std::size_t i = 0; i < tracks_.size(); ++i) {
      if (i % stride == 0) {
        for (const auto& stems : excerpts(tracks_[i], targets, most)) {
          trainer.add(dictionaries[sz(group_of(i))], stems, kCalibrationIterations, options_.threads, options_.stop);
        }
      }
      step("calibration");
    }
    if (trainer.empty()) {
      throw Error({Code::dataset,
                   "calibration",
                   "no excerpt of the training tracks has two targets sounding",
                   "mixtures to learn from",
                   fmt::format("{} tracks without", tracks_.size()),
                   {}});
    }
    return trainer.fit(options_.threads, options_.stop, [&] { step("calibration"); });
  }

 private:
  void step(const std::string& target) {
    ++done_;
    if (options_.progress) options_.progress(done_, total_, target);
  }

  audio::AudioBuffer load(const TrainTrack& track, const std::string& target) const {
    return load_stem(track, target, options_.rate_hz);
  }

  int group_of(std::size_t track) const { return static_cast<int>(track % sz(groups_)); }

  static void require_audible(const std::string& target, const Frames& frames, const char* what, const char* hint) {
    if (std::ranges::any_of(frames.values, [](float x) { return x > 0; })) return;
    throw Error({Code::dataset, "target '" + target + "'", what, "at least one audible frame", "none", hint});
  }

  std::vector<DictionaryPart> fit_members(const std::string& target, const Frames& frames) {
    const Index bins = spec_.bins();
    double sum = 0;
    for (const float x : frames.values) sum += static_cast<double>(x);
    const auto scale =
        static_cast<float>(std::ldexp(1.0, -std::ilogb(sum / static_cast<double>(frames.values.size()))));
    std::vector<float> v(frames.values.size());
    for (Index n = 0; n < frames.count; ++n) {
      for (Index k = 0; k < bins; ++k) v[sz(k * frames.count + n)] = scale * frames.values[sz(n * bins + k)];
    }
    FitOptions<float> o;
    o.iterations = options_.iterations;
    o.beta = options_.beta;
    o.sparsity = options_.sparsity;
    o.threads = options_.threads;
    o.stop = options_.stop;
    o.segment_frames = unit_ > 1 ? unit_ : 0;
    o.progress = [&](int) { step(target); };
    std::vector<DictionaryPart> members;
    for (int m = 0; m < options_.members; ++m) {
      members.push_back(living(
          target,
          fit<float>({v.data(), bins, frames.count, frames.count}, start_values(target, frames, scale, m), o).factors));
    }
    return members;
  }

  /// The parts were learned target by target; a dictionary has them member by member.
  Dictionary without_group(int g, std::size_t targets) const {
    Dictionary d;
    d.rate_hz = options_.rate_hz;
    d.stft = spec_;
    d.beta = options_.beta;
    d.members = options_.members;
    for (int m = 0; m < options_.members; ++m) {
      for (std::size_t j = 0; j < targets; ++j)
        d.parts.push_back(without_group_[sz(g)][j * sz(options_.members) + sz(m)]);
    }
    return d;
  }

  /// First seconds of the windows in which most targets sound, best first; `sounds` is empty for silent stems.
  static std::vector<Index> busy_windows(const std::vector<std::vector<bool>>& sounds, Index seconds,
                                         std::size_t most) {
    const Index window = std::min<Index>(kExcerptSeconds, seconds), places = seconds > 0 ? seconds - window + 1 : 0;
    std::vector<double> score(sz(places), 0.0);
    for (Index begin = 0; begin < places; ++begin) {
      for (const auto& stem : sounds) {
        if (stem.empty()) continue;
        const auto active = std::count(stem.begin() + begin, stem.begin() + begin + window, true);
        score[sz(begin)] += std::sqrt(static_cast<double>(active) / static_cast<double>(window));
      }
    }
    std::vector<Index> begins;
    while (begins.size() < most && places > 0) {
      const auto best = std::ranges::max_element(score);
      if (!(*best >= kExcerptScore)) break;
      const Index at = best - score.begin();
      begins.push_back(at);
      std::fill(score.begin() + std::max<Index>(0, at - window + 1), score.begin() + std::min(places, at + window),
                0.0);
    }
    return begins;
  }

  /// Stems of the windows in which most targets sound, best first.
  std::vector<std::vector<audio::AudioBuffer>> excerpts(const TrainTrack& track,
                                                        const std::vector<std::string>& targets,
                                                        std::size_t most) const {
    const Index second = options_.rate_hz, length = kExcerptSeconds * second;
    Index samples = 0, seconds = 0;
    int channels = 0;
    std::vector<std::vector<bool>> sounds(targets.size());
    for (std::size_t j = 0; j < targets.size(); ++j) {
      const audio::AudioBuffer stem = load(track, targets[j]);
      if (stem.empty() || audio::is_silent(stem.view())) continue;
      if (channels == 0) {
        samples = stem.samples();
        channels = stem.channels();
        seconds = std::max<Index>(1, samples / second);
      }
      check_shape(track, targets[j], stem, channels, samples);
      std::vector<double> energy;
      for (Index i = 0; i < seconds; ++i)
        energy.push_back(audio::energy(stem.view().slice(i * second, std::min(second, samples - i * second))));
      const double threshold = 1e-3 * *std::ranges::max_element(energy);
      for (const double e : energy) sounds[j].push_back(e > threshold);
    }
    const std::vector<Index> begins = busy_windows(sounds, seconds, most);
    std::vector<std::vector<audio::AudioBuffer>> out(begins.size(), std::vector<audio::AudioBuffer>(targets.size()));
    for (std::size_t j = 0; j < targets.size() && !begins.empty(); ++j) {
      if (sounds[j].empty()) continue;
      const audio::AudioBuffer stem = load(track, targets[j]);
      for (std::size_t e = 0; e < begins.size(); ++e) {
        const Index begin = begins[e] * second;
        out[e][j] = audio::AudioBuffer(stem.view().slice(begin, std::min(length, samples - begin)));
      }
    }
    return out;
  }

  Frames collect(const std::string& target) {
    const Index bins = spec_.bins();
    const Index share =
        (options_.max_frames + static_cast<Index>(tracks_.size()) - 1) / static_cast<Index>(tracks_.size());
    const Index units_per_track = std::max<Index>(1, share / unit_);
    // The draw depends on the target's name, not on its place among the targets.
    const std::uint64_t seed = options_.seed ^ core::fnv1a64(target);
    Frames out;
    for (std::size_t i = 0; i < tracks_.size(); ++i) {
      out.first.push_back(out.count);
      const audio::AudioBuffer x = load(tracks_[i], target);
      if (!x.empty() && !audio::is_silent(x.view())) {
        const Index frames = audio::Stft<float>(spec_).frames(x.samples());
        const Index units = frames / unit_;
        std::vector<double> level(sz(units * x.channels()), 0.0);
        for_each_frame(x, spec_, options_.stop, [&](int c, Index n, const std::complex<float>* z) {
          if (n / unit_ >= units) return;
          double energy = 0;
          for (Index k = 0; k < bins; ++k) energy += static_cast<double>(std::norm(z[k]));
          double& loudest = level[sz(c * units + n / unit_)];
          loudest = std::max(loudest, energy);
        });
        const double threshold =
            (level.empty() ? 0.0 : *std::ranges::max_element(level)) * std::pow(10.0, -options_.silence_db / 10.0);
        std::vector<Index> audible;
        for (Index u = 0; u < static_cast<Index>(level.size()); ++u) {
          if (level[sz(u)] > 0 && level[sz(u)] >= threshold) audible.push_back(u);
        }
        // Fisher-Yates for the first of them, then back into the order of time.
        core::Rng rng(seed, kDrawStream, static_cast<std::uint32_t>(i));
        const Index wanted = std::min<Index>(units_per_track, static_cast<Index>(audible.size()));
        for (Index j = 0; j < wanted; ++j) {
          const Index left = static_cast<Index>(audible.size()) - j;
          std::swap(audible[sz(j)], audible[sz(j + rng.below(static_cast<std::uint32_t>(left)))]);
        }
        audible.resize(sz(wanted));
        std::ranges::sort(audible);
        std::vector<Index> place(level.size(), -1);
        for (Index j = 0; j < wanted; ++j) place[sz(audible[sz(j)])] = out.count + j * unit_;
        out.values.resize(out.values.size() + sz(wanted * unit_ * bins));
        for_each_frame(x, spec_, options_.stop, [&](int c, Index n, const std::complex<float>* z) {
          if (n / unit_ >= units) return;
          const Index at = place[sz(c * units + n / unit_)];
          if (at < 0) return;
          float* frame = out.values.data() + (at + n % unit_) * bins;
          for (Index k = 0; k < bins; ++k) frame[k] = std::sqrt(std::norm(z[k]));
        });
        out.count += wanted * unit_;
      }
      step(target);
    }
    return out;
  }

  Factors<float> start_values(const std::string& target, const Frames& frames, float scale, int member) const {
    const Index bins = spec_.bins();
    const int components = options_.components, length = options_.template_frames;
    std::uint64_t seed = options_.seed;
    if (member > 0) seed = core::Rng(seed, kMemberStream, static_cast<std::uint32_t>(member)).next_u64();
    core::Rng rng(seed ^ core::fnv1a64(target), kStartStream);
    Factors<float> start(bins, frames.count, components, length);
    double total = 0;
    for (const float x : frames.values) total += static_cast<double>(x) * static_cast<double>(scale);
    for (int r = 0; r < components; ++r) {
      std::vector<double> w(sz(bins * length));
      double sum = 0;
      if (length == 1) {
        const float* frame = frames.values.data() + rng.below(static_cast<std::uint32_t>(frames.count)) * bins;
        double mean = 0;
        for (Index k = 0; k < bins; ++k) mean += static_cast<double>(frame[k]) / static_cast<double>(bins);
        // Noise, so that two components that drew one frame part ways.
        for (Index k = 0; k < bins; ++k)
          w[sz(k)] = static_cast<double>(frame[k]) * rng.uniform(0.8, 1.2) + 1e-3 * mean + 1e-30;
      } else {
        for (double& x : w) x = rng.uniform(0.01, 1.0);
      }
      for (const double x : w) sum += x;
      for (Index i = 0; i < bins * length; ++i) start.w[sz(i * components + r)] = static_cast<float>(w[sz(i)] / sum);
      const double level = total / static_cast<double>(frames.count * components);
      for (Index m = 0; m < frames.count; ++m) start.h_at(r, m) = static_cast<float>(level * rng.uniform(0.5, 1.5));
    }
    return start;
  }

  static DictionaryPart living(const std::string& target, const Factors<float>& f) {
    std::vector<int> alive;
    for (int r = 0; r < f.components; ++r) {
      double sum = 0, use = 0;
      for (std::size_t i = sz(r); i < f.w.size(); i += sz(f.components)) sum += static_cast<double>(f.w[i]);
      for (Index m = 0; m < f.frames; ++m) use += static_cast<double>(f.h_at(r, m));
      if (sum > 0 && use > 0) alive.push_back(r);
    }
    DictionaryPart part;
    part.target = target;
    part.components = static_cast<int>(alive.size());
    for (Index i = 0; i < f.bins * f.template_frames; ++i) {
      for (const int r : alive) part.w.push_back(f.w[sz(i * f.components + r)]);
    }
    return part;
  }

  const std::vector<TrainTrack>& tracks_;
  const TrainOptions& options_;
  audio::StftSpec spec_;
  int groups_;
  std::vector<std::vector<DictionaryPart>> without_group_;  ///< per group, target by target, its members
  Index unit_ = 1, done_ = 0, total_ = 0;
};

}  // namespace

audio::AudioBuffer load_stem(const TrainTrack& track, const std::string& target, int rate_hz) {
  try {
    audio::AudioBuffer x = track.load(target);
    return x.empty() || x.rate_hz() == rate_hz ? std::move(x) : audio::resample(x.view(), rate_hz);
  } catch (const Error& e) {
    throw e.with_context("track '" + track.name + "'");
  }
}

void check_shape(const TrainTrack& track, const std::string& target, const audio::AudioBuffer& stem, int channels,
                 Index samples) {
  if (stem.channels() == channels && stem.samples() == samples) return;
  throw Error({Code::dataset,
               "track '" + track.name + "'",
               "stem '" + target + "' has another shape than others",
               fmt::format("{} channels, {} samples", channels, samples),
               fmt::format("{} channels, {} samples", stem.channels(), stem.samples()),
               {}});
}

Index training_steps(Index tracks, Index targets, const TrainOptions& options) {
  const Index fits = 1 + (options.calibrate ? std::min<Index>(kGroups, tracks) : 0);
  return targets * (tracks + Index{options.iterations} * options.members * fits) +
         (options.calibrate ? tracks + CalibrationTrainer::kSteps : 0);
}

Dictionary train_dictionary(const std::vector<TrainTrack>& tracks, const std::vector<std::string>& targets,
                            const TrainOptions& options) {
  const auto bad = [](const char* what) { throw Error(Code::invalid_argument, "NMF training", what); };
  if (tracks.empty()) bad("no tracks");
  if (targets.empty()) bad("no targets");
  if (options.components < 1 || options.template_frames < 1 || options.iterations < 0 || options.max_frames < 1 ||
      options.members < 1 || options.members > 64 || options.calibration_bands < 1 || options.calibration_bands > 64 ||
      options.rate_hz < 1 || !(options.silence_db > 0) || !(options.sparsity >= 0) || !std::isfinite(options.beta)) {
    bad("parameters out of range");
  }
  if (options.calibrate && options.template_frames != 1) bad("a calibration needs templates of one frame");
  if (options.calibrate && tracks.size() < 2) bad("a calibration needs two tracks or more");
  Trainer trainer(tracks, options, static_cast<Index>(targets.size()));
  Dictionary d;
  d.rate_hz = options.rate_hz;
  d.stft = trainer.spec();
  d.template_frames = options.template_frames;
  d.beta = options.beta;
  core::Value frames = core::Value::object();
  d.members = options.members;
  std::vector<std::vector<DictionaryPart>> learned;
  for (const auto& target : targets) {
    Index used = 0;
    learned.push_back(trainer.learn(target, used));
    frames[target] = core::Value(used);
  }
  for (int m = 0; m < options.members; ++m) {
    for (auto& parts : learned) d.parts.push_back(std::move(parts[sz(m)]));
  }
  if (options.calibrate) d.calibration = trainer.learn_calibration(targets);
  core::Value names = core::Value::array();
  for (const auto& track : tracks) names.push_back(core::Value(track.name));
  d.provenance["tracks"] = core::dump_json(names);
  d.provenance["frames"] = core::dump_json(frames);
  d.provenance["seed"] = fmt::format("{}", options.seed);
  d.provenance["iterations"] = fmt::format("{}", options.iterations);
  d.provenance["components"] = fmt::format("{}", options.components);
  d.provenance["calibrated"] = options.calibrate ? "true" : "false";
  d.provenance["sparsity"] = core::format_real(options.sparsity);
  d.provenance["silence_db"] = core::format_real(options.silence_db);
  d.provenance["program"] = "mssbench " + core::version();
  return d;
}

}  // namespace mss::methods::nmf
