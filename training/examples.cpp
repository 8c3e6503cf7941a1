#include "training/examples.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/parallel.h"
#include "core/text.h"
#include "datasets/stem_folder.h"
#include "training/activity.h"
#include "training/align.h"
#include "training/augment.h"
#include "training/stretch.h"

namespace mss::training {
namespace {

namespace fs = std::filesystem;

/// A uniform integer in [0, n).
std::int64_t below(core::Rng& rng, std::int64_t n) {
  MSS_ASSERT(n > 0);
  if (n <= std::numeric_limits<std::uint32_t>::max()) return rng.below(static_cast<std::uint32_t>(n));
  return std::min(static_cast<std::int64_t>(rng.uniform() * static_cast<double>(n)), n - 1);
}

/// The one stem of a file of unlabelled music, as the cache names it.
constexpr const char* kUnlabelled = "unlabelled";

/// Copies `count` floats to memory that is not read again soon (where the processor can, without fetching the lines that
/// are overwritten), and adds them to `sum`. Other threads see the copy after stores_seen().
void store_and_add(const float* from, std::int64_t count, float* to, float* sum) {
  std::int64_t i = 0;
#ifdef __SSE2__
  constexpr std::int64_t kFloats = 4;
  constexpr std::uintptr_t kBytes = kFloats * sizeof(float);
  for (; i < count && reinterpret_cast<std::uintptr_t>(to + i) % kBytes != 0; ++i) {
    to[i] = from[i];
    sum[i] += from[i];
  }
  for (; i + kFloats <= count; i += kFloats) {
    const __m128 x = _mm_loadu_ps(from + i);
    _mm_stream_ps(to + i, x);
    _mm_storeu_ps(sum + i, _mm_add_ps(_mm_loadu_ps(sum + i), x));
  }
#endif
  for (; i < count; ++i) {
    to[i] = from[i];
    sum[i] += from[i];
  }
}

void stores_seen() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

/// Draws that all sources of an example share have this in place of a source's number.
constexpr int kAllSources = 0xffff;

/// Where one source of an example comes from, and what is done to it.
struct SourcePlan {
  const CachedTrack* track = nullptr;
  int stem = 0;     ///< of the track
  bool own = true;  ///< of the example's own track, at its place
  bool external = false;
  std::int64_t begin = 0;  ///< first sample of the place that was drawn
  std::int64_t shift = 0;  ///< further in
  bool swap = false, flip = false, drop = false;
  bool scaled = false;
  double gain = 1;
  std::int64_t turn = 0;  ///< circular shift, samples
  bool stretched = false;
  double semitones = 0, tempo_percent = 0;
  bool unmatched = false;  ///< aligned remix found no song that fits: the source of the example's own
};

struct Utterance {
  const CachedTrack* track = nullptr;
  std::int64_t samples = 0;  ///< used from its front
};

/// What an example of semi-supervised training has of the unlabelled music.
struct SemiPlan {
  SourcePlan segment;
  SemiDraw draw;
};

struct Plan {
  std::vector<SourcePlan> sources;
  bool remixed = false;
  bool speech = false;
  double snr_db = 0;
  std::vector<Utterance> utterances;
  std::optional<SemiPlan> semi;
};

struct Segment {
  std::int32_t track = 0;
  std::int64_t start = 0;
};

core::Value tracks_value(const std::vector<CachedTrack>& tracks) {
  core::Value out = core::Value::array();
  for (const CachedTrack& track : tracks) {
    core::Value one = core::Value::object();
    one["track"] = track.name();
    one["sha256"] = track.fingerprint();
    out.push_back(std::move(one));
  }
  return out;
}

/// The audio files in a folder and below it, sorted.
std::vector<fs::path> audio_files(const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw Error({Code::dataset, folder, "no such folder", "a folder of audio files", "", ""});
  }
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->is_regular_file(error) && datasets::is_audio_file(it->path())) files.push_back(it->path());
  }
  if (error) throw Error(Code::io, folder, "cannot read folder: " + error.message());
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    throw Error({Code::dataset, folder, "no audio in it", datasets::audio_extensions() + " files", "none", ""});
  }
  return files;
}

std::vector<CachedTrack> open_folder(Cache& cache, const std::string& folder, const std::string& stem, int rate_hz,
                                     int channels, core::Progress& progress) {
  const std::vector<fs::path> files = audio_files(folder);
  std::vector<CachedTrack> out;
  progress.begin("training cache: " + folder, static_cast<std::int64_t>(files.size()));
  for (std::size_t i = 0; i < files.size(); ++i) {
    core::check_stop();
    out.push_back(cache.open_file(files[i], stem, rate_hz, channels));
    progress.update(static_cast<std::int64_t>(i) + 1, files[i].filename().string());
  }
  progress.end();
  return out;
}

std::string licence_text(const std::string& licence) { return licence.empty() ? "not stated" : licence; }

core::Value folder_value(const std::string& folder, const std::string& licence, const std::vector<CachedTrack>& files) {
  core::Sha256 all;
  for (const CachedTrack& file : files) all.update(file.fingerprint() + "  " + file.name() + "\n");
  core::Value out = core::Value::object();
  out["folder"] = fs::path(folder).lexically_normal().filename().string();
  out["licence"] = licence_text(licence);
  out["files"] = static_cast<std::int64_t>(files.size());
  out["sha256"] = all.hex_digest();
  return out;
}

class TrainingSource final : public ExampleSource {
 public:
  TrainingSource(const Recipe& recipe, const datasets::Dataset& dataset, const std::vector<datasets::Track>& tracks,
                 Cache& cache, int threads, core::Progress& progress)
      : recipe_(recipe), dataset_name_(dataset.name()) {
    stems_ = recipe.data.stems.empty() ? dataset.stems() : recipe.data.stems;
    channels_ = static_cast<int>(recipe.data.channels);
    rate_hz_ = static_cast<int>(recipe.data.rate_hz);
    length_samples_ = recipe.crop_samples();
    if (stems_.empty()) throw Error({Code::dataset, dataset.name(), "a data set without stems", "stems", "none", ""});
    if (tracks.empty()) {
      throw Error({Code::dataset, dataset.name(), "no training tracks are left", "at least one", "none", ""});
    }
    for (const std::string& stem : recipe.data.stems) (void)target_sources(dataset.stems(), stem);
    const AugmentRecipe& a = recipe.augment;
    const bool stretches = a.stretch.probability > 0;
    for (const std::string& copy : a.stretch.static_copies) {
      const StaticCopy parsed = parse_static_copy(copy);
      const bool touch = parsed.kind == CopyKind::pitch || parsed.kind == CopyKind::tempo;
      if (touch && !can_stretch()) require_stretch("augment.stretch.static_copies");
    }
    if (stretches && !can_stretch()) require_stretch("augment.stretch.probability");
    if (a.remix.aligned && !can_stretch()) require_stretch("augment.remix.aligned");

    if (a.remix.aligned) {
      drums_ = index_of("drums");
      if (drums_ < 0 || index_of("bass") < 0) {
        throw Error({Code::config, "augment.remix.aligned", "beats and keys are heard in the stems drums and bass",
                     "both among the stems", core::join(stems_, ", "), ""});
      }
    }
    CacheFormat format{.rate_hz = rate_hz_, .channels = channels_, .stems = stems_};
    tracks_ = cache.open(dataset, tracks, format, threads, progress);
    own_tracks_ = static_cast<std::int64_t>(tracks_.size());
    for (std::size_t i = 0; i < tracks_.size(); ++i) songs_.push_back(static_cast<int>(i));
    for (const std::string& copy : a.stretch.static_copies) {
      format.copy = copy;
      format.copy_speech_stem = a.stretch.speech_stem;
      const std::vector<CachedTrack> copies = cache.open(dataset, tracks, format, threads, progress);
      for (std::size_t i = 0; i < copies.size(); ++i) {
        songs_.push_back(static_cast<int>(i));
        tracks_.push_back(copies[i]);
      }
    }

    keep_ = index_of(a.remix.keep);
    if (a.circular_shift_probability > 0) circular_ = target_sources(stems_, a.circular_shift_stem);
    if (a.remix.probability > 0 && !a.remix.keep.empty() && keep_ < 0) {
      throw Error({Code::config, "augment.remix.keep", "no such stem", "one of " + core::join(stems_, ", "),
                   "'" + a.remix.keep + "'", core::did_you_mean(a.remix.keep, stems_)});
    }
    speech_stem_ = index_of(a.speech.stem);
    if (a.speech.probability > 0) {
      if (speech_stem_ < 0) {
        throw Error({Code::config, "augment.speech.stem", "no such stem", "one of " + core::join(stems_, ", "),
                     "'" + a.speech.stem + "'", core::did_you_mean(a.speech.stem, stems_)});
      }
      speech_ = open_folder(cache, a.speech.corpus, "speech", rate_hz_, channels_, progress);
      std::erase_if(speech_, [](const CachedTrack& t) { return audio::is_silent(t.whole(0)); });
      if (speech_.empty()) {
        throw Error({Code::dataset, a.speech.corpus, "only silence in the speech files", "speech", "", ""});
      }
      for (const CachedTrack& file : speech_) speech_peaks_.push_back(peak_of(file));
    }
    external_.resize(stems_.size());
    for (const ExternalStems& e : recipe.data.external) {
      const int stem = index_of(e.stem);
      if (stem < 0) {
        throw Error({Code::config, "data.external", "no such stem", "one of " + core::join(stems_, ", "),
                     "'" + e.stem + "'", core::did_you_mean(e.stem, stems_)});
      }
      External one;
      one.files = open_folder(cache, e.folder, e.stem, rate_hz_, channels_, progress);
      one.probability = e.probability;
      one.value = folder_value(e.folder, e.licence, one.files);
      one.value["stem"] = e.stem;
      external_[static_cast<std::size_t>(stem)].push_back(std::move(one));
    }

    if (recipe.semi.enabled) open_unlabelled(cache, threads, progress);

    // What has to be read for an example: more than its length where it is shifted or stretched.
    need_ = length_samples_ + std::max<std::int64_t>(a.shift_samples - 1, 0);
    place_ = need_;
    if (stretches) {
      const double slowest = 1 - a.stretch.tempo_limit_percent / 100;  // the fastest tempo needs the longest input
      place_ = static_cast<std::int64_t>(std::ceil(static_cast<double>(need_) / slowest));
    }
    if (a.remix.aligned) {
      place_ =
          static_cast<std::int64_t>(std::ceil(static_cast<double>(need_) * (1 + a.remix.tempo_limit_percent / 100)));
      find_music(threads, progress);
    }
    find_places(threads, progress);
    find_unlabelled_places(threads, progress);
  }

  std::int64_t samples(std::int64_t) const override { return length_samples_; }

  void make(std::int64_t epoch, std::int64_t index, ExampleSpan out, core::Value* drawn) const override {
    const Plan plan = plan_of(epoch, index);
    render(plan, out, drawn);
    if (drawn != nullptr) {
      (*drawn)["epoch"] = epoch;
      (*drawn)["index"] = index;
    }
  }

  core::Value provenance() const override {
    core::Value out = core::Value::object();
    out["dataset"] = dataset_name_;
    out["seed"] = recipe_.seed;
    core::Value names = core::Value::array();
    for (const std::string& stem : stems_) names.push_back(stem);
    out["stems"] = names;
    out["examples_per_epoch"] = length_;
    out["tracks"] = tracks_value({tracks_.begin(), tracks_.begin() + static_cast<std::ptrdiff_t>(own_tracks_)});
    core::Value folders = core::Value::array();
    for (const auto& of_stem : external_) {
      for (const External& e : of_stem) folders.push_back(e.value);
    }
    out["external"] = folders;
    if (!speech_.empty()) {
      out["speech"] = folder_value(recipe_.augment.speech.corpus, recipe_.augment.speech.licence, speech_);
    }
    if (recipe_.data.sampling == Sampling::activity) {
      core::Value kept = core::Value::object();
      for (std::size_t s = 0; s < stems_.size(); ++s) kept[stems_[s]] = static_cast<std::int64_t>(segments_[s].size());
      if (!unlabelled_.empty()) kept["unlabelled"] = static_cast<std::int64_t>(unlabelled_segments_.size());
      out["active_segments"] = kept;
    }
    if (!unlabelled_.empty()) {
      core::Value music = core::Value::object();
      music["from"] = unlabelled_from_;
      music["licence"] = licence_text(recipe_.semi.licence);
      music["tracks"] = tracks_value(unlabelled_);
      out["unlabelled"] = music;
    }
    return out;
  }

 private:
  struct External {
    std::vector<CachedTrack> files;
    double probability = 0;
    core::Value value = core::Value::object();
  };

  [[noreturn]] static void require_stretch(const std::string& key) {
    throw Error({Code::unsupported, key, "this build has no SoundTouch", "", "",
                 "install libsoundtouch-dev and build again, or leave pitch and tempo as they are"});
  }

  int index_of(const std::string& stem) const {
    const auto at = std::find(stems_.begin(), stems_.end(), stem);
    return at == stems_.end() ? -1 : static_cast<int>(at - stems_.begin());
  }

  /// The music without stems: files of a folder, mixtures of a data set.
  void open_unlabelled(Cache& cache, int threads, core::Progress& progress) {
    const SemiRecipe& semi = recipe_.semi;
    if (semi.folder.empty() && semi.dataset.empty()) {
      throw Error({Code::config, "semi.folder", "the recipe wants music without stems and names none",
                   "a folder of mixtures, or semi.dataset", "neither", "--recipe semi.folder=FOLDER"});
    }
    unlabelled_from_ = core::Value::array();
    if (!semi.folder.empty()) {
      unlabelled_ = open_folder(cache, semi.folder, kUnlabelled, rate_hz_, channels_, progress);
      unlabelled_from_.push_back(fs::path(semi.folder).lexically_normal().filename().string());
      files_ = unlabelled_.size();
    }
    if (!semi.dataset.empty()) {
      const datasets::Dataset music = datasets::open(semi.dataset);
      std::vector<datasets::Track> tracks = music.tracks();
      const auto trained = [](const datasets::Track& track) { return track.subset == "train"; };
      if (std::any_of(tracks.begin(), tracks.end(), trained)) std::erase_if(tracks, std::not_fn(trained));
      const CacheFormat format{.rate_hz = rate_hz_, .channels = channels_, .stems = {}, .mixture = true};
      const std::vector<CachedTrack> mixtures = cache.open(music, tracks, format, threads, progress);
      unlabelled_.insert(unlabelled_.end(), mixtures.begin(), mixtures.end());
      unlabelled_from_.push_back(music.name());
    }
  }

  /// The track's number for CachedTrack: a file of a folder is one stem, a data set's mixture is -1.
  int unlabelled_stem(std::size_t track) const { return track < files_ ? 0 : -1; }

  void find_unlabelled_places(int threads, core::Progress& progress) {
    if (unlabelled_.empty() || recipe_.data.sampling != Sampling::activity) return;
    const ActivitySettings settings = activity_settings();
    std::vector<Activity> found(unlabelled_.size());
    progress.begin("activity of the unlabelled music", static_cast<std::int64_t>(found.size()));
    core::parallel_for(static_cast<std::int64_t>(found.size()), threads, [&](std::int64_t i) {
      const auto k = static_cast<std::size_t>(i);
      found[k] = find_activity(unlabelled_[k].whole(unlabelled_stem(k)), settings);
    });
    progress.end();
    for (std::size_t i = 0; i < found.size(); ++i) {
      for (const std::int64_t start : found[i].starts)
        unlabelled_segments_.push_back({static_cast<std::int32_t>(i), start});
    }
    if (!unlabelled_segments_.empty()) return;
    throw Error({Code::dataset, "semi.folder", "no active segment in the unlabelled music", "at least one", "none",
                 "use sampling = \"random\", or other music"});
  }

  ActivitySettings activity_settings() const {
    return {.rule = recipe_.data.activity,
            .energy = recipe_.data.activity_energy,
            .segment_seconds = recipe_.data.activity_seconds};
  }

  static double peak_of(const CachedTrack& file) {
    const audio::AudioBuffer whole = file.whole(0);
    float peak = 0;
    for (int c = 0; c < whole.channels(); ++c) peak = std::max(peak, largest(whole.channel(c).data(), whole.samples()));
    return peak;
  }

  /// Windows of the grid, active segments, and the length of an epoch.
  void find_places(int threads, core::Progress& progress) {
    const auto tracks = static_cast<std::int64_t>(tracks_.size());
    length_ =
        recipe_.data.examples_per_epoch > 0 ? recipe_.data.examples_per_epoch : tracks * recipe_.data.samples_per_track;
    if (recipe_.data.sampling == Sampling::grid) {
      const std::int64_t stride = recipe_.data.stride_samples;
      windows_before_.push_back(0);
      for (const CachedTrack& track : tracks_) {
        const std::int64_t over = track.samples() - place_;
        windows_before_.push_back(windows_before_.back() + (over <= 0 ? 1 : (over + stride - 1) / stride + 1));
      }
      if (recipe_.data.examples_per_epoch == 0) length_ = windows_before_.back();
    }
    if (recipe_.data.sampling == Sampling::activity) {
      const ActivitySettings settings = activity_settings();
      const auto stems = static_cast<std::int64_t>(stems_.size());
      std::vector<Activity> found(static_cast<std::size_t>(stems * tracks));
      progress.begin("source activity", stems * tracks);
      core::parallel_for(stems * tracks, threads, [&](std::int64_t i) {
        found[static_cast<std::size_t>(i)] =
            find_activity(tracks_[static_cast<std::size_t>(i % tracks)].whole(static_cast<int>(i / tracks)), settings);
      });
      progress.end();
      segments_.resize(stems_.size());
      for (std::int64_t i = 0; i < stems * tracks; ++i) {
        for (const std::int64_t start : found[static_cast<std::size_t>(i)].starts) {
          segments_[static_cast<std::size_t>(i / tracks)].push_back({static_cast<std::int32_t>(i % tracks), start});
        }
      }
      segment_samples_ = found.front().segment_samples;
      for (std::size_t s = 0; s < stems_.size(); ++s) {
        if (!segments_[s].empty()) continue;
        throw Error({Code::dataset, "data.activity", "no active segment of '" + stems_[s] + "' in the training tracks",
                     "at least one", "none", "use sampling = \"random\", or other tracks"});
      }
      base_stem_ = std::max(keep_, 0);
      if (keep_ < 0 && !recipe_.model.targets.empty()) base_stem_ = std::max(index_of(recipe_.model.targets[0]), 0);
    }
    if (recipe_.augment.remix.group > 1) length_ -= length_ % recipe_.augment.remix.group;
    if (length_ < 1) {
      throw Error({Code::dataset, dataset_name_, "an epoch has no example", "at least one group of examples", "none",
                   "raise data.examples_per_epoch"});
    }
  }

  /// Beats and keys of all tracks, from their drums and their bass.
  void find_music(int threads, core::Progress& progress) {
    const auto count = static_cast<std::int64_t>(tracks_.size());
    music_.resize(tracks_.size());
    progress.begin("beats and keys", count);
    core::parallel_for(count, threads, [&](std::int64_t i) {
      const auto k = static_cast<std::size_t>(i);
      music_[k] = {find_beats(tracks_[k].whole(drums_)), key_profile(tracks_[k].whole(index_of("bass")))};
    });
    progress.end();
  }

  struct Place {
    std::int64_t track = 0, begin = 0;
  };

  /// A uniform place in a track.
  std::int64_t start_in(core::Rng& rng, const CachedTrack& track) const {
    const std::int64_t room = track.samples() - place_;
    return room <= 0 ? 0 : below(rng, room + 1);
  }

  Place random_place(core::Rng& rng, int stem) const {
    if (recipe_.data.sampling == Sampling::activity) {
      const std::vector<Segment>& list = segments_[static_cast<std::size_t>(stem)];
      const Segment& segment = list[static_cast<std::size_t>(below(rng, static_cast<std::int64_t>(list.size())))];
      const std::int64_t room = segment_samples_ - length_samples_;
      return {segment.track, segment.start + (room <= 0 ? 0 : below(rng, room + 1))};
    }
    const std::int64_t track = below(rng, static_cast<std::int64_t>(tracks_.size()));
    return {track, start_in(rng, tracks_[static_cast<std::size_t>(track)])};
  }

  /// The place of example `index` itself.
  Place own_place(std::int64_t epoch, std::int64_t index) const {
    if (recipe_.data.sampling == Sampling::grid) {
      const std::int64_t windows = windows_before_.back(), round = index / windows;
      // Several rounds in an epoch: each in an order of its own.
      const std::int64_t window = shuffled(index % windows, windows, recipe_.seed + (round << 32), epoch);
      const auto after = std::upper_bound(windows_before_.begin(), windows_before_.end(), window);
      const std::int64_t track = after - windows_before_.begin() - 1;
      return {track, (window - windows_before_[static_cast<std::size_t>(track)]) * recipe_.data.stride_samples};
    }
    core::Rng rng = draws(recipe_.seed, epoch, index, Choice::place);
    return random_place(rng, base_stem_);
  }

  /// What is drawn for source `s` of example `index`, whatever mixture it ends in.
  SourcePlan own_source(std::int64_t epoch, std::int64_t index, int s) const {
    const Place place = own_place(epoch, index);
    SourcePlan out;
    out.track = &tracks_[static_cast<std::size_t>(place.track)];
    out.stem = s;
    out.begin = place.begin;
    return out;
  }

  void draw_changes(SourcePlan& plan, std::int64_t epoch, std::int64_t index, int s, bool remixed) const {
    const AugmentRecipe& a = recipe_.augment;
    const auto rng = [&](Choice choice, int source) { return draws(recipe_.seed, epoch, index, choice, source); };
    if (a.stretch.probability > 0) {  // never beside aligned remixes
      core::Rng r = rng(Choice::stretch, plan.own && !a.stretch.per_source ? kAllSources : s);
      if (r.uniform() < a.stretch.probability) {
        plan.stretched = true;
        const auto n = static_cast<std::int64_t>(a.stretch.semitones);
        plan.semitones = static_cast<double>(below(r, 2 * n + 1) - n);
        plan.tempo_percent = std::clamp(r.normal() * a.stretch.tempo_std_percent, -a.stretch.tempo_limit_percent,
                                        a.stretch.tempo_limit_percent);
      }
    }
    if (a.shift_samples > 0) {
      core::Rng r = rng(Choice::shift, a.shift_together ? kAllSources : s);
      plan.shift = below(r, a.shift_samples);
    }
    if (a.channel_swap_probability > 0 && channels_ == 2) {
      plan.swap = rng(Choice::channels, s).uniform() < a.channel_swap_probability;
    }
    if (a.sign_flip_probability > 0) plan.flip = rng(Choice::sign, s).uniform() < a.sign_flip_probability;
    const GainRecipe& g = a.gain;
    if (g.probability > 0 && (remixed || !g.remixed_only) && rng(Choice::gain, kAllSources).uniform() < g.probability) {
      core::Rng r = rng(Choice::gain, g.joint ? kAllSources - 1 : s);
      const double value = r.uniform(g.low, g.high);
      plan.scaled = true;
      plan.gain = g.decibels ? amplitude(value) : value;
    }
    if (a.drop_probability > 0) plan.drop = rng(Choice::drop, s).uniform() < a.drop_probability;
  }

  Plan plan_of(std::int64_t epoch, std::int64_t index) const {
    const AugmentRecipe& a = recipe_.augment;
    const int sources = static_cast<int>(stems_.size());
    Plan plan;
    const std::int64_t group = a.remix.group;
    std::vector<std::int64_t> from(static_cast<std::size_t>(sources), index);  // whose draws a source has
    if (group > 1) {
      const std::int64_t first = index / group * group;
      plan.remixed =
          draws(recipe_.seed, epoch, index / group, Choice::group, kAllSources).uniform() < a.remix.probability;
      for (int s = 0; s < sources && plan.remixed; ++s) {
        core::Rng r = draws(recipe_.seed, epoch, index / group, Choice::group, s);
        std::vector<double> uniforms;
        for (std::int64_t i = 0; i < group; ++i) uniforms.push_back(r.uniform());
        from[static_cast<std::size_t>(s)] = first + argsort(uniforms)[static_cast<std::size_t>(index - first)];
      }
    } else if (a.remix.probability > 0) {
      plan.remixed = draws(recipe_.seed, epoch, index, Choice::remix, kAllSources).uniform() < a.remix.probability;
    }
    std::set<int> used;  // songs
    int kept = keep_;
    if (a.remix.aligned && kept < 0) {
      // One source at its place is what the others are fitted to.
      kept =
          static_cast<int>(draws(recipe_.seed, epoch, index, Choice::order).below(static_cast<std::uint32_t>(sources)));
    }
    if (plan.remixed && group <= 1 && kept >= 0) used.insert(song_of(own_place(epoch, index).track));
    for (int s = 0; s < sources; ++s) {
      const std::int64_t whose = from[static_cast<std::size_t>(s)];
      SourcePlan source = own_source(epoch, whose, s);
      if (plan.remixed && group <= 1 && s != kept) {
        core::Rng r = draws(recipe_.seed, epoch, index, Choice::remix, s);
        if (a.remix.aligned) {
          draw_aligned(source, r, s, own_place(epoch, index), used);
        } else {
          draw_elsewhere(source, r, s, epoch, index, used);
        }
      }
      if (plan.remixed && group > 1) source.own = true;
      draw_changes(source, epoch, whose, s, plan.remixed);
      plan.sources.push_back(source);
    }
    if (!circular_.empty()) {
      core::Rng r = draws(recipe_.seed, epoch, index, Choice::circular);
      if (r.uniform() < a.circular_shift_probability) {
        const std::int64_t turn = below(r, length_samples_);
        for (const int s : circular_) plan.sources[static_cast<std::size_t>(s)].turn = turn;
      }
    }
    if (a.speech.probability > 0) {
      core::Rng r = draws(recipe_.seed, epoch, index, Choice::speech);
      if (r.uniform() < a.speech.probability) {
        plan.speech = true;
        plan.snr_db = r.uniform(a.speech.low_db, a.speech.high_db);
        for (std::int64_t total = 0; total < length_samples_;) {
          const auto i = static_cast<std::size_t>(below(r, static_cast<std::int64_t>(speech_.size())));
          const std::int64_t n = std::min(speech_[i].samples(), length_samples_ - total);
          plan.utterances.push_back({&speech_[i], n});
          total += n;
        }
      }
    }
    if (!unlabelled_.empty()) plan.semi = draw_unlabelled(epoch, index);
    return plan;
  }

  /// A segment of the unlabelled music, and what happens to its parts if they are taken.
  SemiPlan draw_unlabelled(std::int64_t epoch, std::int64_t index) const {
    SemiPlan out;
    core::Rng rng = draws(recipe_.seed, epoch, index, Choice::unlabelled);
    std::size_t track = 0;
    std::int64_t begin = 0, room = 0;
    if (unlabelled_segments_.empty()) {
      track = static_cast<std::size_t>(below(rng, static_cast<std::int64_t>(unlabelled_.size())));
      room = unlabelled_[track].samples() - length_samples_;
    } else {
      const Segment& segment = unlabelled_segments_[static_cast<std::size_t>(
          below(rng, static_cast<std::int64_t>(unlabelled_segments_.size())))];
      track = static_cast<std::size_t>(segment.track);
      begin = segment.start;
      room = segment_samples_ - length_samples_;
    }
    if (room > 0) begin += below(rng, room + 1);
    out.segment.track = &unlabelled_[track];
    out.segment.stem = unlabelled_stem(track);
    out.segment.begin = begin;
    // As two sources behind the labelled ones.
    const int sources = static_cast<int>(stems_.size());
    SourcePlan target, residual;
    target.own = residual.own = false;
    draw_changes(target, epoch, index, sources, true);
    draw_changes(residual, epoch, index, sources + 1, true);
    out.segment.swap = target.swap;
    out.draw.target_factor = target.drop ? 0.0F : factor_of(target);
    out.draw.residual_factor = residual.drop ? 0.0F : factor_of(residual);
    core::Rng pool = draws(recipe_.seed, epoch, index, Choice::pool);
    out.draw.target = pool.uniform();
    out.draw.residual = pool.uniform();
    return out;
  }

  int song_of(std::int64_t track) const { return songs_[static_cast<std::size_t>(track)]; }

  /// A place for source `s` anywhere: an external folder, or another place of the data set.
  void draw_elsewhere(SourcePlan& source, core::Rng& rng, int s, std::int64_t epoch, std::int64_t index,
                      std::set<int>& used) const {
    source.own = false;
    core::Rng outside = draws(recipe_.seed, epoch, index, Choice::external, s);
    for (const External& e : external_[static_cast<std::size_t>(s)]) {
      if (outside.uniform() >= e.probability) continue;
      source.track = &e.files[static_cast<std::size_t>(below(outside, static_cast<std::int64_t>(e.files.size())))];
      source.stem = 0;
      source.external = true;
      source.begin = start_in(outside, *source.track);
      return;
    }
    Place place = random_place(rng, s);
    if (recipe_.augment.remix.distinct_songs && static_cast<std::int64_t>(used.size()) < own_tracks_) {
      // Drawn again until the song is new; a stem that is active in few songs may leave no new one.
      constexpr int kTries = 1000;
      for (int i = 0; i < kTries && used.contains(song_of(place.track)); ++i) place = random_place(rng, s);
    }
    used.insert(song_of(place.track));
    source.track = &tracks_[static_cast<std::size_t>(place.track)];
    source.begin = place.begin;
  }

  /// A place for source `s` in a song whose tempo and key can be brought to those of the example's own song, moved so
  /// that the beats fall together. Where none is found the source stays the own song's.
  void draw_aligned(SourcePlan& source, core::Rng& rng, int s, const Place& own, std::set<int>& used) const {
    const RemixRecipe& remix = recipe_.augment.remix;
    const Music& reference = music_[static_cast<std::size_t>(own.track)];
    const double rate = rate_hz_, length_s = static_cast<double>(length_samples_) / rate;
    // Beats as they fall in the example: a beat at b of a place that begins at t and runs f times as fast, at (b - t) / f.
    const auto heard = [&](const std::vector<double>& beats, std::int64_t begin, double factor) {
      std::vector<double> out;
      for (const double beat : beats) out.push_back((beat - static_cast<double>(begin) / rate) / factor);
      return out;
    };
    constexpr int kTries = 200;
    constexpr double kMostShift = 4;
    for (int i = 0; i < kTries; ++i) {
      const Place place = random_place(rng, s);
      if (song_of(place.track) == song_of(own.track)) continue;
      const bool again = remix.distinct_songs && used.contains(song_of(place.track));
      if (again && static_cast<std::int64_t>(used.size()) < own_tracks_) continue;
      const Music& music = music_[static_cast<std::size_t>(place.track)];
      const std::optional<double> factor =
          tempo_factor(reference.rhythm.tempo_bpm, music.rhythm.tempo_bpm, remix.tempo_limit_percent / 100);
      if (!factor) continue;
      int semitones = 0;
      if (s != drums_) {  // drums have no key
        const std::optional<int> shift = key_shift(reference.key, music.key);
        if (!shift || std::abs(*shift) > remix.semitones) continue;
        semitones = *shift;
      }
      const double moved = beat_shift(heard(reference.rhythm.beats_s, own.begin, 1),
                                      heard(music.rhythm.beats_s, place.begin, *factor), 0, length_s, kMostShift);
      const std::int64_t begin = place.begin - std::llround(moved * *factor * rate);
      const CachedTrack& track = tracks_[static_cast<std::size_t>(place.track)];
      if (begin < 0 || begin > track.samples() - length_samples_) continue;
      used.insert(song_of(place.track));
      source.own = false;
      source.track = &track;
      source.begin = begin;
      source.semitones = semitones;
      source.tempo_percent = 100 * (*factor - 1);
      source.stretched = semitones != 0 || std::abs(source.tempo_percent) > 0.01;
      return;
    }
    source.unmatched = true;
  }

  /// Copies the source's samples [at, at + count) (before any circular shift) to `out`.
  void read_source(const SourcePlan& p, int channel, std::int64_t at, std::int64_t count, float factor,
                   float* out) const {
    const int from = p.swap ? 1 - channel : channel;
    const bool as_it_is = recipe_.data.normalisation != Normalisation::track;
    p.track->read(p.stem, from, p.begin + p.shift + at, count, out, as_it_is ? factor : 1.0F);
    // Sources take turns block by block, which the processor's own prefetching does not see through.
    p.track->prefetch(p.stem, from, p.begin + p.shift + at + count, count);
    if (as_it_is) return;
    normalise(p, out, count);
    for (std::int64_t i = 0; i < count; ++i) out[i] *= factor;
  }

  void normalise(const SourcePlan& p, float* samples, std::int64_t count) const {
    if (recipe_.data.normalisation != Normalisation::track) return;
    constexpr double kSmallest = 1e-8;
    const double deviation = p.track->mixture_std();
    const auto mean = static_cast<float>(p.track->mixture_mean());
    const auto divisor = static_cast<float>(deviation > kSmallest ? deviation : 1.0);
    for (std::int64_t i = 0; i < count; ++i) samples[i] = (samples[i] - mean) / divisor;
  }

  /// A stretched source: the place read whole, stretched, cut.
  void render_stretched(const SourcePlan& p, float* out) const {
    audio::AudioBuffer whole(channels_, place_, rate_hz_);
    for (int c = 0; c < channels_; ++c) {
      p.track->read(p.stem, p.swap ? 1 - c : c, p.begin, place_, whole.channel(c).data());
      normalise(p, whole.channel(c).data(), place_);
      if (recipe_.augment.stretch.clip) {
        for (float& x : whole.channel(c)) x = std::clamp(x, -1.0F, 1.0F);
      }
    }
    const bool speech = stems_[static_cast<std::size_t>(p.stem)] == recipe_.augment.stretch.speech_stem && !p.external;
    const audio::AudioBuffer stretched = stretch(whole, p.semitones, p.tempo_percent, speech);
    for (int c = 0; c < channels_; ++c) {
      float* to = out + c * length_samples_;
      const std::int64_t n = std::clamp<std::int64_t>(stretched.samples() - p.shift, 0, length_samples_);
      std::copy_n(stretched.channel(c).data() + p.shift, n, to);
      std::fill(to + n, to + length_samples_, 0.0F);
    }
  }

  /// Gain and sign of a source; 1 where nothing changes.
  static float factor_of(const SourcePlan& p) {
    const auto gain = static_cast<float>(p.scaled ? p.gain : 1.0);
    return p.flip ? -gain : gain;
  }

  void render(const Plan& plan, ExampleSpan out, core::Value* drawn) const {
    const std::int64_t plane = length_samples_, stem_size = channels_ * plane;
    const std::size_t sources = plan.sources.size();
    for (std::size_t s = 0; s < sources; ++s) {
      const SourcePlan& p = plan.sources[s];
      if (p.stretched && !p.drop) render_stretched(p, out.stems + static_cast<std::int64_t>(s) * stem_size);
    }
    // Blocks that stay in the processor's first cache while all sources go by; a batch fits into none, so finished blocks go
    // past them all.
    constexpr std::int64_t kBlock = 4096;
    alignas(64) std::array<float, kBlock> block, sum;
    for (int c = 0; c < channels_; ++c) {
      for (std::int64_t at = 0; at < plane; at += kBlock) {
        const std::int64_t n = std::min(kBlock, plane - at);
        std::fill_n(sum.begin(), n, -0.0F);  // to which x is added as x, whatever its sign
        for (std::size_t s = 0; s < sources; ++s) {
          const SourcePlan& p = plan.sources[s];
          float* to = out.stems + static_cast<std::int64_t>(s) * stem_size + c * plane + at;
          if (p.drop) {
            std::fill_n(block.begin(), n, 0.0F);
          } else if (p.stretched) {
            std::transform(to, to + n, block.begin(), [factor = factor_of(p)](float x) { return x * factor; });
          } else {
            read_source(p, c, at, n, factor_of(p), block.data());
          }
          store_and_add(block.data(), n, to, sum.data());
        }
        std::copy_n(sum.begin(), n, out.mixture + c * plane + at);
      }
    }
    stores_seen();
    bool changed = false;
    for (std::size_t s = 0; s < sources; ++s) {
      if (plan.sources[s].turn == 0) continue;
      for (int c = 0; c < channels_; ++c) {
        float* x = out.stems + static_cast<std::int64_t>(s) * stem_size + c * plane;
        std::rotate(x, x + plan.sources[s].turn, x + plane);
      }
      changed = true;
    }
    if (changed) mix_all(out);
    std::optional<SpeechMix> speech;
    if (plan.speech) speech = put_speech(plan, out);
    if (plan.semi) {
      if (out.unlabelled != nullptr) {
        for (int c = 0; c < channels_; ++c) {
          float* to = out.unlabelled + c * plane;
          read_source(plan.semi->segment, c, 0, plane, 1.0F, to);
        }
      }
      if (out.draw != nullptr) *out.draw = plan.semi->draw;
    }
    double peak = 1;
    if (recipe_.augment.peak && !plan.semi) peak = divide_by_peak(out);
    if (drawn != nullptr) *drawn = describe_plan(plan, speech, peak);
  }

  void mix_all(ExampleSpan out) const { mix(out.stems, sources(), channels_ * length_samples_, out.mixture); }

  /// Nothing where the accompaniment is silent: then the example stays as it was.
  std::optional<SpeechMix> put_speech(const Plan& plan, ExampleSpan out) const {
    const std::int64_t size = channels_ * length_samples_;
    const auto count = static_cast<std::size_t>(size);
    std::vector<float> speech(count), accompaniment(count);
    for (int c = 0; c < channels_; ++c) {
      float* to = speech.data() + c * length_samples_;
      for (const Utterance& u : plan.utterances) {
        const auto peak = static_cast<float>(speech_peaks_[static_cast<std::size_t>(u.track - speech_.data())]);
        u.track->read(0, c, 0, u.samples, to);
        for (std::int64_t i = 0; i < u.samples; ++i) to[i] /= peak;
        to += u.samples;
      }
    }
    for (std::int64_t s = 0; s < sources(); ++s) {
      if (s == speech_stem_) continue;
      for (std::size_t i = 0; i < count; ++i) accompaniment[i] += out.stems[s * size + static_cast<std::int64_t>(i)];
    }
    if (std::all_of(accompaniment.begin(), accompaniment.end(), [](float x) { return x == 0; })) return std::nullopt;
    const SpeechTarget target = recipe_.augment.speech.target;
    SpeechMix mixed = speech_mix(speech, accompaniment, channels_, plan.snr_db, target);
    const double peak = mixed.peak > 0 ? mixed.peak : 1.0;
    for (std::int64_t s = 0; s < sources(); ++s) {
      float* stem = out.stems + s * size;
      for (int c = 0; c < channels_; ++c) {
        const auto scale = static_cast<float>(mixed.scale[static_cast<std::size_t>(c)] / peak);
        for (std::int64_t t = 0; t < length_samples_; ++t) {
          float& x = stem[c * length_samples_ + t];
          x = s == speech_stem_ ? static_cast<float>(speech[static_cast<std::size_t>(c * length_samples_ + t)] / peak)
                                : x * scale;
        }
      }
    }
    mix_all(out);
    if (target == SpeechTarget::thesis) std::copy(speech.begin(), speech.end(), out.stems + speech_stem_ * size);
    return mixed;
  }

  double divide_by_peak(ExampleSpan out) const {
    const std::int64_t size = channels_ * length_samples_;
    const float peak = example_peak(out.stems, sources(), size, out.mixture);
    if (peak == 1) return 1;
    for (std::int64_t i = 0; i < size * sources(); ++i) out.stems[i] /= peak;
    const bool apart = recipe_.augment.speech.probability > 0 && recipe_.augment.speech.target == SpeechTarget::thesis;
    if (apart) {
      for (std::int64_t i = 0; i < size; ++i) out.mixture[i] /= peak;
    } else {
      mix_all(out);
    }
    return peak;
  }

  core::Value describe_plan(const Plan& plan, const std::optional<SpeechMix>& speech, double peak) const {
    core::Value out = core::Value::object();
    out["remixed"] = plan.remixed;
    core::Value all = core::Value::array();
    for (std::size_t s = 0; s < plan.sources.size(); ++s) {
      const SourcePlan& p = plan.sources[s];
      core::Value one = core::Value::object();
      one["stem"] = stems_[s];
      one["track"] = p.track->name();
      one["start_samples"] = p.begin;
      if (p.external) one["external"] = true;
      if (p.shift != 0) one["shift_samples"] = p.shift;
      if (p.stretched) {
        one["semitones"] = p.semitones;
        one["tempo_percent"] = p.tempo_percent;
      }
      one["gain"] = p.scaled ? p.gain : 1.0;
      if (p.flip) one["sign"] = -1;
      if (p.swap) one["channels_swapped"] = true;
      if (p.drop) one["dropped"] = true;
      if (p.unmatched) one["unmatched"] = true;
      if (p.turn != 0) one["circular_shift_samples"] = p.turn;
      all.push_back(std::move(one));
    }
    out["stems"] = all;
    if (speech) {
      core::Value said = core::Value::object();
      said["stem"] = stems_[static_cast<std::size_t>(speech_stem_)];
      said["snr_db"] = plan.snr_db;
      core::Value files = core::Value::array();
      for (const Utterance& u : plan.utterances) files.push_back(u.track->name());
      said["files"] = files;
      core::Value scales = core::Value::array();
      for (const double scale : speech->scale) scales.push_back(scale);
      said["scale"] = scales;
      said["peak"] = speech->peak;
      out["speech"] = said;
    } else if (plan.speech) {
      out["speech"] = "left out: the accompaniment is silent";
    }
    if (recipe_.augment.peak && !plan.semi) out["peak"] = peak;
    if (plan.semi) {
      core::Value music = core::Value::object();
      music["track"] = plan.semi->segment.track->name();
      music["start_samples"] = plan.semi->segment.begin;
      if (plan.semi->segment.swap) music["channels_swapped"] = true;
      const SemiDraw& d = plan.semi->draw;
      music["target"] = d.target < 0.5 ? "labelled" : "of the teacher, where it finds one";
      music["residual"] = d.residual < 0.5 ? "labelled" : "of the teacher, where it finds one";
      music["target_factor"] = static_cast<double>(d.target_factor);
      music["residual_factor"] = static_cast<double>(d.residual_factor);
      out["unlabelled"] = music;
    }
    return out;
  }

  Recipe recipe_;
  std::string dataset_name_;
  std::int64_t length_samples_ = 0, need_ = 0, place_ = 0, own_tracks_ = 0, segment_samples_ = 0;
  std::vector<CachedTrack> tracks_;  ///< the data set's, then static copies
  std::vector<int> songs_;           ///< which song a track is a copy of
  std::vector<std::int64_t> windows_before_;
  std::vector<std::vector<Segment>> segments_;   ///< per stem
  std::vector<std::vector<External>> external_;  ///< per stem
  core::Value unlabelled_from_;
  std::size_t files_ = 0;  ///< so many of unlabelled_ come from a folder
  std::vector<Segment> unlabelled_segments_;
  std::vector<CachedTrack> speech_;
  std::vector<double> speech_peaks_;
  struct Music {
    Rhythm rhythm;
    KeyProfile key{};
  };
  std::vector<Music> music_;   ///< aligned remixes: per track
  std::vector<int> circular_;  ///< stems that are turned together
  int keep_ = -1, speech_stem_ = -1, base_stem_ = 0, drums_ = -1;
};

class ValidationSource final : public ExampleSource {
 public:
  ValidationSource(const Recipe& recipe, const datasets::Dataset& dataset, const std::vector<datasets::Track>& tracks,
                   Cache& cache, int threads, core::Progress& progress)
      : normalisation_(recipe.data.normalisation), dataset_name_(dataset.name()) {
    stems_ = recipe.data.stems.empty() ? dataset.stems() : recipe.data.stems;
    channels_ = static_cast<int>(recipe.data.channels);
    rate_hz_ = static_cast<int>(recipe.data.rate_hz);
    if (tracks.empty()) {
      throw Error({Code::dataset, dataset.name(), "no validation tracks", "at least one", "none", ""});
    }
    for (const std::string& stem : recipe.data.stems) (void)target_sources(dataset.stems(), stem);
    const CacheFormat format{.rate_hz = rate_hz_, .channels = channels_, .stems = stems_, .mixture = true};
    tracks_ = cache.open(dataset, tracks, format, threads, progress);
    const ValidationRecipe& v = recipe.validation;
    const std::int64_t piece =
        v.crop_seconds > 0 ? std::max<std::int64_t>(1, std::llround(v.crop_seconds * rate_hz_)) : recipe.crop_samples();
    std::vector<Piece> all;
    for (std::size_t i = 0; i < tracks_.size(); ++i) {
      if (v.crop == ValidationCrop::full) {
        all.push_back({i, 0, tracks_[i].samples()});
        continue;
      }
      const std::int64_t samples = tracks_[i].samples();
      for (std::int64_t at = 0; at < samples; at += piece) {
        if (at > 0 && 2 * (samples - at) < piece) break;
        all.push_back({i, at, piece});
      }
    }
    const auto count = static_cast<std::int64_t>(all.size());
    const std::int64_t wanted = v.examples > 0 ? std::min(v.examples, count) : count;
    for (std::int64_t i = 0; i < wanted; ++i) pieces_.push_back(all[static_cast<std::size_t>(i * count / wanted)]);
    length_ = wanted;
  }

  std::int64_t samples(std::int64_t index) const override { return piece(index).samples; }

  void make(std::int64_t epoch, std::int64_t index, ExampleSpan out, core::Value* drawn) const override {
    const Piece& p = piece(index);
    const CachedTrack& track = tracks_[p.track];
    const std::int64_t size = channels_ * p.samples;
    for (int s = -1; s < static_cast<int>(stems_.size()); ++s) {
      float* to = s < 0 ? out.mixture : out.stems + s * size;
      for (int c = 0; c < channels_; ++c) track.read(s, c, p.begin, p.samples, to + c * p.samples);
      if (normalisation_ == Normalisation::track) {
        constexpr double kSmallest = 1e-8;
        const auto mean = static_cast<float>(track.mixture_mean());
        const auto divisor = static_cast<float>(track.mixture_std() > kSmallest ? track.mixture_std() : 1.0);
        for (std::int64_t i = 0; i < size; ++i) to[i] = (to[i] - mean) / divisor;
      }
    }
    if (drawn == nullptr) return;
    *drawn = core::Value::object();
    (*drawn)["epoch"] = epoch;
    (*drawn)["index"] = index;
    (*drawn)["track"] = track.name();
    (*drawn)["start_samples"] = p.begin;
  }

  core::Value provenance() const override {
    core::Value out = core::Value::object();
    out["dataset"] = dataset_name_;
    out["examples"] = length_;
    out["tracks"] = tracks_value(tracks_);
    return out;
  }

 private:
  struct Piece {
    std::size_t track = 0;
    std::int64_t begin = 0, samples = 0;
  };
  const Piece& piece(std::int64_t index) const {
    MSS_ASSERT(index >= 0 && index < length_);
    return pieces_[static_cast<std::size_t>(index)];
  }

  Normalisation normalisation_;
  std::string dataset_name_;
  std::vector<CachedTrack> tracks_;
  std::vector<Piece> pieces_;
};

}  // namespace

Example ExampleSource::example(std::int64_t epoch, std::int64_t index) const {
  Example out;
  out.sources = sources();
  out.channels = channels();
  out.samples = samples(index);
  out.mixture.resize(static_cast<std::size_t>(out.channels * out.samples));
  out.stems.resize(out.mixture.size() * static_cast<std::size_t>(out.sources));
  out.unlabelled.resize(unlabelled_.empty() ? 0 : out.mixture.size());
  make(epoch, index, {out.stems.data(), out.mixture.data(), out.unlabelled.empty() ? nullptr : out.unlabelled.data()},
       &out.drawn);
  return out;
}

std::vector<int> target_sources(const std::vector<std::string>& stems, const std::string& target) {
  std::vector<int> out;
  const auto at = std::find(stems.begin(), stems.end(), target);
  if (at != stems.end()) return {static_cast<int>(at - stems.begin())};
  if (target == "accompaniment" || target == "linear_mixture") {
    for (std::size_t s = 0; s < stems.size(); ++s) {
      if (target == "linear_mixture" || stems[s] != "vocals") out.push_back(static_cast<int>(s));
    }
    if (!out.empty()) return out;
  }
  std::vector<std::string> known = stems;
  known.emplace_back("accompaniment");
  known.emplace_back("linear_mixture");
  throw Error({Code::config, "target '" + target + "'", "not to be made of the stems",
               "one of " + core::join(known, ", "), "'" + target + "'", core::did_you_mean(target, known)});
}

TrainingTracks choose_tracks(const datasets::Dataset& dataset, const Recipe& recipe) {
  TrainingTracks out;
  std::vector<datasets::Track> all;
  const auto& tracks = dataset.tracks();
  const bool subsets =
      std::any_of(tracks.begin(), tracks.end(), [](const datasets::Track& t) { return t.subset == "train"; });
  for (const datasets::Track& track : tracks) {
    if (!subsets || track.subset == "train") all.push_back(track);
  }
  std::vector<std::string> names;
  for (const datasets::Track& track : all) names.push_back(track.name);
  const auto require_names = [&](const std::vector<std::string>& wanted, const std::string& key) {
    for (const std::string& name : wanted) {
      if (std::find(names.begin(), names.end(), name) != names.end()) continue;
      throw Error({Code::dataset, key, "no such track in " + dataset.name(), "one of its training tracks",
                   "'" + name + "'", core::did_you_mean(name, names)});
    }
  };
  require_names(recipe.data.tracks, "data.tracks");
  require_names(recipe.validation.tracks, "validation.tracks");

  const auto listed = [](const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  const ValidationRecipe& v = recipe.validation;
  std::set<std::string> held;
  switch (v.split) {
    case ValidationSplit::none:
      out.how = "no validation tracks";
      break;
    case ValidationSplit::names:
      held.insert(v.tracks.begin(), v.tracks.end());
      out.how = "named in the recipe";
      break;
    case ValidationSplit::official:
      for (const datasets::Track& track : all) {
        if (track.split == "valid") held.insert(track.name);
      }
      out.how = "the data set's own split";
      break;
    case ValidationSplit::hash:
      break;
  }
  if (v.split == ValidationSplit::hash || (v.split == ValidationSplit::official && held.empty())) {
    std::vector<std::pair<std::string, std::string>> order;
    for (const datasets::Track& track : all) {
      if (recipe.data.tracks.empty() || listed(recipe.data.tracks, track.name)) {
        order.emplace_back(core::sha256_hex(track.name), track.name);
      }
    }
    std::sort(order.begin(), order.end());
    const auto n = static_cast<std::int64_t>(order.size());
    const std::int64_t most = n < 2 ? 0 : std::max<std::int64_t>(1, n / 3);
    const std::int64_t count = std::min(v.hash_tracks, most);
    for (std::int64_t i = 0; i < count; ++i) held.insert(order[static_cast<std::size_t>(i)].second);
    out.how = count == 0 ? "no validation tracks: the data set has a single track"
                         : std::to_string(count) + " of " + std::to_string(n) + " tracks, by the hash of their names";
  }

  const double shortest = static_cast<double>(recipe.crop_samples()) / static_cast<double>(recipe.data.rate_hz);
  for (const datasets::Track& track : all) {
    if (held.contains(track.name)) {
      out.validation.push_back(track);
      if (!recipe.data.whole_train_subset) continue;
    }
    if (!recipe.data.tracks.empty() && !listed(recipe.data.tracks, track.name)) continue;
    // Windows of a grid are padded; a random place needs a whole example.
    if (!track.defect && recipe.data.sampling == Sampling::random && track.seconds() < shortest) {
      out.notes.push_back("track '" + track.name + "' is left out: " + core::format_real(track.seconds()) +
                          " s, shorter than an example of " + core::format_real(shortest) + " s");
      continue;
    }
    out.training.push_back(track);
  }
  if (recipe.data.limit_tracks > 0 && static_cast<std::int64_t>(out.training.size()) > recipe.data.limit_tracks) {
    out.training.erase(out.training.begin() + recipe.data.limit_tracks, out.training.end());
  }
  if (recipe.data.whole_train_subset && !held.empty()) {
    out.notes.push_back("the validation tracks are trained on as well: validation says nothing about unseen music");
  }
  if (out.training.empty()) {
    throw Error({Code::dataset, dataset.name(), "no training tracks are left", "at least one",
                 std::to_string(all.size()) + " tracks, " + std::to_string(held.size()) + " of them for validation, " +
                     std::to_string(out.notes.size()) + " too short",
                 "use a shorter data.crop_seconds, another validation.split, or more tracks"});
  }
  return out;
}

std::shared_ptr<const ExampleSource> make_training_source(const Recipe& recipe, const datasets::Dataset& dataset,
                                                          const std::vector<datasets::Track>& tracks, Cache& cache,
                                                          int threads, core::Progress& progress) {
  return std::make_shared<TrainingSource>(recipe, dataset, tracks, cache, threads, progress);
}

std::shared_ptr<const ExampleSource> make_validation_source(const Recipe& recipe, const datasets::Dataset& dataset,
                                                            const std::vector<datasets::Track>& tracks, Cache& cache,
                                                            int threads, core::Progress& progress) {
  return std::make_shared<ValidationSource>(recipe, dataset, tracks, cache, threads, progress);
}

}  // namespace mss::training
