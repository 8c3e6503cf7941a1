#include "training/run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <complex>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "audio/resample.h"
#include "audio/stft.h"
#include "audio/stream.h"
#include "core/error.h"
#include "core/file.h"
#include "core/folder_lock.h"
#include "core/json.h"
#include "core/measure.h"
#include "core/parallel.h"
#include "core/spec.h"
#include "core/text.h"
#include "core/version.h"
#include "eval/scores.h"
#include "methods/network_entry.h"
#include "plots/figure.h"
#include "training/cache.h"
#include "training/checkpoint.h"
#include "training/event_file.h"
#include "training/examples.h"
#include "training/leak.h"
#include "training/schedule.h"
#include "training/semi.h"

namespace mss::training {
namespace {

namespace fs = std::filesystem;
using core::Value;
using Clock_ = std::chrono::steady_clock;

constexpr const char* kRecipeFile = "recipe.toml";
constexpr const char* kRunFile = "run.json";
constexpr const char* kFormat = "mssbench-training-run 1";  // of run.json
constexpr const char* kLastFile = "last.safetensors";
constexpr const char* kBestFile = "best.safetensors";
constexpr const char* kLogFile = "log.csv";
constexpr const char* kCurvesFile = "curves.png";
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double seconds_since(Clock_::time_point begin) { return std::chrono::duration<double>(Clock_::now() - begin).count(); }

// ---------------------------------------------------------------------------------------------- what is trained

/// The network that a recipe asks for.
struct Model {
  std::shared_ptr<const methods::NetworkMethod> method;
  std::vector<std::string> targets;
  Value configuration;
};

Model model_of(const Recipe& recipe, const methods::Registry& registry, const std::vector<std::string>& stems) {
  Model out;
  std::vector<std::string> known;
  for (const auto& network : registry.networks()) {
    known.push_back(network->name);
    if (network->name == recipe.model.family) out.method = network;
  }
  if (out.method == nullptr) {
    throw Error({Code::config, "model.family", "no network of this name can be trained", core::join(known, ", "),
                 recipe.model.family.empty() ? "nothing" : "'" + recipe.model.family + "'",
                 core::did_you_mean(recipe.model.family, known)});
  }
  out.targets = recipe.model.targets.empty() ? stems : recipe.model.targets;
  out.configuration = methods::configured(*out.method, recipe.model.preset, out.targets, recipe.model.configuration);
  out.targets.clear();
  for (const Value& target : out.configuration.at("targets").as_array()) out.targets.push_back(target.as_string());
  for (const auto& [key, wanted] : {std::pair{"rate_hz", recipe.data.rate_hz}, {"channels", recipe.data.channels}}) {
    const std::int64_t found = out.configuration.at(key).as_integer();
    // Networks on one channel work on stereo too, channel by channel.
    if (found == wanted || (std::string_view(key) == "channels" && found == 1)) continue;
    throw Error({Code::config, fmt::format("data.{}", key), "the network is made for another value",
                 std::to_string(found), std::to_string(wanted),
                 fmt::format("set data.{} = {}, or model.configuration.{} where the network has it", key, found, key)});
  }
  return out;
}

/// First weights by NAME: drawn, or read where the recipe names some.
checkpoints::LazyTensors first_weights(const Recipe& recipe, const Model& model, const core::LogFn& log,
                                       Value* provenance) {
  const methods::NetworkFamily& family = *model.method->family;
  checkpoints::LazyTensors out =
      names_of(methods::random_weights(family, model.configuration, static_cast<std::uint64_t>(recipe.seed)).parts);
  if (recipe.model.weights.empty()) return out;
  const methods::Weights weights = methods::find_weights(family, recipe.model.weights);
  if (provenance != nullptr) {
    *provenance = Value::object();
    (*provenance)["weights"] = weights.name();
    (*provenance)["sha256"] = weights.content_hash;
  }
  checkpoints::LazyTensors given = names_of(weights.parts);
  std::vector<std::string> kept;
  for (auto& [name, array] : out) {
    const auto at = given.find(name);
    if (at != given.end() && at->second.shape == array.shape) {
      array = at->second;
    } else {
      kept.push_back(name);
    }
  }
  if (kept.size() == out.size() || (recipe.model.weights_strict && !kept.empty())) {
    throw Error(
        {Code::checkpoint, fmt::format("model.weights: {}", weights.name()), "these weights do not fit the network",
         model.method->family->sizes(model.configuration),
         fmt::format("{} of {} tensors missing or of another shape: {}", kept.size(), out.size(),
                     fmt::join(kept.begin(), kept.begin() + std::min<std::ptrdiff_t>(5, std::ssize(kept)), ", ")),
         kept.size() == out.size() ? "" : "model.weights_strict = false keeps the first values of those"});
  }
  if (!kept.empty()) {
    core::log(log, core::LogLevel::warning,
              fmt::format("{} of {} tensors are not in {} and keep their first values", kept.size(), out.size(),
                          weights.name()));
  }
  return out;
}

/// What a recipe's [semi] needs of the rest.
void check_semi(const Recipe& recipe, const Model& model, const std::vector<std::string>& stems) {
  if (!recipe.semi.enabled) return;
  if (model.targets.size() != 1) {
    throw Error({Code::config, "semi.enabled", "a teacher tells one target from the rest", "one of model.targets",
                 core::join(model.targets, ", "), ""});
  }
  if (target_sources(stems, model.targets.front()).size() == stems.size()) {
    throw Error({Code::config, "semi.enabled", "the target leaves no stem for the residual",
                 "a target beside which there are others", model.targets.front(), ""});
  }
  if (recipe.model.weights.empty()) {
    throw Error({Code::config, "model.weights", "the first teacher is a trained network, and the recipe names none",
                 "weights or a run", "none", "--recipe model.weights=RUN"});
  }
}

LearnerSettings learner_settings(const TrainingRequest& request, const Recipe& recipe, const Model& model,
                                 const std::vector<std::string>& stems) {
  LearnerSettings out;
  out.architecture = model.configuration.at("architecture").as_string();
  out.configuration = model.configuration;
  for (const std::string& target : model.targets) out.target_stems.push_back(target_sources(stems, target));
  out.loss = recipe.loss;
  out.optimiser = recipe.optimiser;
  out.frozen = recipe.model.freeze;
  out.teacher = recipe.semi.enabled;
  out.recompute = recipe.model.checkpointing;
  out.spec_augment = recipe.augment.spec;
  out.deterministic = recipe.budget.deterministic;
  out.device = request.device;
  out.threads = core::resolve_threads(request.threads);
  out.seed = static_cast<std::uint64_t>(recipe.seed);
  out.stop = request.stop;
  return out;
}

const methods::Registry& registry_of(const TrainingRequest& request) {
  if (request.registry == nullptr) throw Error(Code::invalid_argument, "training", "needs a registry of methods");
  return *request.registry;
}

datasets::Dataset open_dataset(const Recipe& recipe) {
  if (recipe.data.dataset.empty()) {
    throw Error({Code::config, "data.dataset", "the recipe names no data set", "-d DATA, or data.dataset", "none", ""});
  }
  return datasets::open(recipe.data.dataset, datasets::parse_layout(recipe.data.layout, "data.layout"));
}

/// The stems of an example: the recipe's, or the data set's.
std::vector<std::string> stems_of(const Recipe& recipe, const datasets::Dataset& dataset) {
  return recipe.data.stems.empty() ? dataset.stems() : recipe.data.stems;
}

/// The song that a track's name says: a file's name without its extensions.
std::string song_name(const std::string& name) {
  std::string out = name;
  for (const std::string_view end : {".wav", ".flac", ".mp3", ".ogg", ".m4a", ".mp4", ".aif", ".aiff", ".stem"}) {
    if (core::to_lower(out).ends_with(end)) out.resize(out.size() - end.size());
  }
  return out;
}

// ------------------------------------------------------------------------------------------------- the run folder

/// Values in which a run may be continued otherwise than it was begun: they change no weights.
bool may_differ(std::string_view key) {
  static const std::set<std::string_view> keys = {"name",
                                                  "about",
                                                  "data.dataset",
                                                  "data.workers",
                                                  "data.queue_batches",
                                                  "data.cache",
                                                  "data.cache_gib",
                                                  "budget.steps",
                                                  "budget.epochs",
                                                  "budget.minutes",
                                                  "budget.save_every_steps",
                                                  "budget.save_every_minutes",
                                                  "validation.excerpt_seconds"};
  return keys.contains(key);
}

/// Values of `from` into `to`, tables key by key.
void put_over(Value& to, const Value& from) {
  for (const auto& [key, value] : from.as_object()) {
    Value* at = to.find(key);
    if (at != nullptr && at->is_object() && value.is_object()) {
      put_over(*at, value);
    } else {
      to[key] = value;
    }
  }
}

void compare(const Value& was, const Value& is, const std::string& path, std::vector<std::string>& differ) {
  if (was == is) return;
  if (was.is_object() && is.is_object()) {
    std::set<std::string> keys;
    for (const auto& [key, value] : was.as_object()) keys.insert(key);
    for (const auto& [key, value] : is.as_object()) keys.insert(key);
    for (const std::string& key : keys) {
      const Value* a = was.find(key);
      const Value* b = is.find(key);
      compare(a == nullptr ? Value() : *a, b == nullptr ? Value() : *b, path.empty() ? key : path + "." + key, differ);
    }
    return;
  }
  // Numbers that were written with and without a point are one number.
  if (was.is_number() && is.is_number() && was.as_real() == is.as_real()) return;
  if (!may_differ(path)) {
    differ.push_back(fmt::format("{} {} instead of {}", path, core::dump_json(is), core::dump_json(was)));
  }
}

// --------------------------------------------------------------------------------------------------- statistics

/// A track's mixture as the network will hear it.
audio::AudioBuffer mixture_of(const datasets::Dataset& dataset, const datasets::Track& track, const Recipe& recipe) {
  audio::AudioBuffer mixture = dataset.load_mixture(track);
  const auto channels = static_cast<int>(recipe.data.channels);
  if (mixture.channels() != channels) mixture = audio::convert_channels(mixture.view(), channels);
  if (mixture.rate_hz() != recipe.data.rate_hz) {
    mixture = audio::resample(mixture.view(), static_cast<int>(recipe.data.rate_hz));
  }
  return mixture;
}

// --------------------------------------------------------------------------------------------------- the pictures

plots::Image spectrogram(audio::AudioView audio, const std::string& title) {
  audio::StftSpec spec;
  spec.fft_size = 2048;
  spec.hop_samples = 512;
  spec.framing = audio::Framing::centered_reflect;
  const audio::Spectrogram<float> spectrum = audio::Stft<float>(spec).forward(audio);
  plots::Heatmap map;
  map.title = title;
  map.rows = spectrum.bins();
  map.columns = spectrum.frames();
  map.values.resize(static_cast<std::size_t>(map.rows * map.columns));
  for (int k = 0; k < spectrum.bins(); ++k) {
    for (std::int64_t n = 0; n < spectrum.frames(); ++n) {
      double power = 0;
      for (int c = 0; c < spectrum.channels(); ++c) power += std::norm(std::complex<double>(spectrum.at(c, n)[k]));
      map.values[static_cast<std::size_t>(k * spectrum.frames() + n)] =
          static_cast<float>(std::min<double>(std::numeric_limits<float>::max(), std::sqrt(power)));
    }
  }
  map.x_step = static_cast<double>(spec.hop_samples) / audio.rate_hz();
  map.y_step = static_cast<double>(audio.rate_hz()) / spec.fft_size;
  map.x.label = "time in s";
  map.x.high = std::max(map.x_step * static_cast<double>(map.columns), 1e-3);
  map.x.unit = plots::Unit::seconds;
  map.y.label = "frequency in Hz";
  map.y.low = 40;
  map.y.high = audio.rate_hz() / 2.0;
  map.y.scale = plots::AxisScale::logarithmic;
  map.y.unit = plots::Unit::hertz;
  plots::Figure figure;
  figure.width = 900;
  figure.height = 500;
  figure.cells.push_back({0, 0, std::move(map)});
  return plots::render(figure);
}

// -------------------------------------------------------------------------------------------------------- the run

/// Samples of an example: networks whose layers leave samples over get the next longer one that fits, unless the recipe
/// says how many.
std::int64_t example_samples(const Recipe& recipe, const Learner& learner) {
  return recipe.data.crop_samples > 0 ? recipe.data.crop_samples : learner.input_samples(recipe.crop_samples());
}

class Run {
 public:
  explicit Run(const TrainingRequest& request)
      : request_(request),
        progress_(request.progress != nullptr ? *request.progress : core::null_progress()),
        resolved_(request.recipe),
        recipe_(resolved_.recipe),
        dataset_(open_dataset(recipe_)),
        stems_(stems_of(recipe_, dataset_)),
        model_(model_of(recipe_, registry_of(request), stems_)) {}

  TrainingResult operator()() {
    const core::StopScope stop_scope(request_.stop);
    open_folder();
    prepare();
    TrainingResult result = loop();
    return result;
  }

 private:
  void log(core::LogLevel level, std::string_view text) const { core::log(request_.log, level, text); }

  // RUN is new, or what it holds belongs to this request.
  void open_folder() {
    const fs::path& folder = request_.out;
    if (folder.empty()) throw Error(Code::config, "--out", "no folder for the run");
    std::error_code ignored;
    const bool begun = fs::exists(folder / kLastFile, ignored);
    if (begun && !request_.resume) {
      throw Error({Code::config, folder.string(), "the folder holds a run already", "a new folder, or --resume",
                   kLastFile, "--resume goes on with it"});
    }
    const bool tried = fs::exists(folder / kRunFile, ignored);
    if (!begun && !tried && fs::exists(folder, ignored)) {
      for (const fs::path& path : core::list_directory(folder)) {
        if (path.filename() == core::kFolderLockName) continue;
        throw Error(
            {Code::config, folder.string(), "the folder is not empty", "a new folder", path.filename().string(), ""});
      }
    }
    if (!begun && tried) {
      // A benchmark's run folder has a file of that name too.
      const Value was = core::read_json_file(folder / kRunFile);
      const Value* format = was.is_object() ? was.find("format") : nullptr;
      if (format == nullptr || !format->is_string() || format->as_string() != kFormat) {
        throw Error({Code::config, folder.string(), "the folder holds another kind of run", "a new folder",
                     std::string(kRunFile) + " of another program or command", ""});
      }
    }
    core::make_directories(folder);
    lock_.emplace(folder, "trains in this folder");
    core::remove_dead_temporaries(folder);
    if (!begun) {
      // What a run left that ended before its first checkpoint.
      for (const fs::path& path : core::list_directory(folder)) {
        const std::string name = path.filename().string();
        if (name == kLogFile || name == kCurvesFile || name.starts_with("events.out.")) fs::remove(path, ignored);
      }
      return;
    }
    checkpoint_ = read_checkpoint(folder / kLastFile, *model_.method->family);
    const Value was = core::read_json_file(folder / kRunFile);
    std::vector<std::string> differ;
    // What an earlier version's recipe does not know stood at what is now its default.
    const auto standard = std::make_unique<const Recipe>();
    Value recipe = to_value(*standard);
    put_over(recipe, was.at("recipe", kRunFile));
    compare(recipe, to_value(recipe_), "", differ);
    if (!(checkpoint_->configuration == model_.configuration)) differ.emplace_back("the network's configuration");
    if (differ.empty()) return;
    throw Error({Code::config, folder.string(), "the run was begun with another recipe", "the same values",
                 core::join(differ, "; "), "RUN/recipe.toml is the recipe that it was begun with"});
  }

  void prepare() {
    Cache cache(recipe_.data.cache.empty() ? cache_folder() : fs::path(recipe_.data.cache),
                static_cast<std::int64_t>(recipe_.data.cache_gib * 1024.0 * 1024.0 * 1024.0));

    check_semi(recipe_, model_, stems_);
    LearnerSettings settings = learner_settings(request_, recipe_, model_, stems_);
    settings.initial = first_weights(recipe_, model_, request_.log, &warm_start_);
    learner_ = make_learner(settings);
    threads_ = settings.threads;

    Recipe cut = recipe_;
    cut.data.crop_samples = example_samples(recipe_, *learner_);
    tracks_ = choose_tracks(dataset_, cut);
    for (const std::string& note : tracks_.notes) log(core::LogLevel::warning, note);
    log(core::LogLevel::info, fmt::format("{} training tracks, {} validation tracks ({})", tracks_.training.size(),
                                          tracks_.validation.size(), tracks_.how));
    const int loading = core::resolve_threads(0);
    training_ = make_training_source(cut, dataset_, tracks_.training, cache, loading, progress_);
    if (recipe_.validation.split != ValidationSplit::none && !tracks_.validation.empty()) {
      validation_ = make_validation_source(cut, dataset_, tracks_.validation, cache, loading, progress_);
    }
    check_leaks(cache);
    check_memory();
    batches_per_epoch_ = Loader::batches_per_epoch(training_->length(), recipe_.data.batch, false);
    if (batches_per_epoch_ < 1) {
      throw Error({Code::config, "data.batch", "an epoch has no whole batch",
                   fmt::format("at most {} examples", training_->length()), std::to_string(recipe_.data.batch), ""});
    }
    const std::int64_t share = recipe_.optimiser.accumulation;
    steps_per_epoch_ = (batches_per_epoch_ + share - 1) / share;
    if (recipe_.budget.steps > 0) total_steps_ = recipe_.budget.steps;
    if (recipe_.budget.epochs > 0) {
      const std::int64_t steps = recipe_.budget.epochs * steps_per_epoch_;
      total_steps_ = total_steps_ == 0 ? steps : std::min(total_steps_, steps);
    }
    std::int64_t length = recipe_.optimiser.schedule.clock == Clock::step ? total_steps_ : recipe_.budget.epochs;
    if (recipe_.optimiser.schedule.clock == Clock::epoch && length == 0 && total_steps_ > 0) {
      length = (total_steps_ + steps_per_epoch_ - 1) / steps_per_epoch_;
    }
    schedule_.emplace(recipe_.optimiser.schedule, recipe_.optimiser.rate, length);
    stopping_.emplace(recipe_.validation.patience, recipe_.validation.min_delta);
    log_every_ = std::max<std::int64_t>(1, steps_per_epoch_ / 20);
    write_description();
    if (recipe_.semi.enabled) {
      semi_ = SemiSettings{target_sources(stems_, model_.targets.front()), recipe_.semi.clean_db, recipe_.augment.peak};
    }
    if (checkpoint_) {
      restore();
    } else if (learner_->has_statistics() && recipe_.model.statistics && recipe_.model.weights.empty()) {
      take_statistics();
    }
    for (const auto& target : model_.targets) {
      columns_.push_back("usdr_" + target);
      columns_.push_back("csdr_" + target);
    }
    if (semi_) {
      kinds_at_ = columns_.size();
      for (int kind = 0; kind < kSegmentKinds; ++kind) {
        columns_.push_back(fmt::format("segments_{}", segment_kind_name(static_cast<SegmentKind>(kind))));
      }
    }
    std::vector<std::string> columns = {"step"};
    columns.insert(columns.end(), columns_.begin(), columns_.end());
    csv_.emplace(request_.out / kLogFile, columns, semi_ && !first_done_ ? -1 : learner_->steps());
    events_.emplace(request_.out);
    if (!checkpoint_) events_->text("recipe", 0, to_toml(resolved_, false));
  }

  /// The loader's batches have to fit into memory before the first of them is made: a system that promises more than it
  /// has would end the run instead of an error.
  void check_memory() const {
    const double floats = static_cast<double>(recipe_.data.batch) * static_cast<double>(training_->channels()) *
                          static_cast<double>(training_->samples(0)) * static_cast<double>(training_->sources() + 1);
    const double needed = 4 * floats * static_cast<double>(recipe_.data.queue_batches + 1);
    const auto there = static_cast<double>(core::available_memory_bytes());
    if (there <= 0 || needed <= there) return;
    throw Error({Code::resource, "data.batch", "the batches that wait for the network do not fit into memory",
                 fmt::format("at most {:.1f} GB (what the system has left)", there / 1e9),
                 fmt::format("{:.1f} GB for {} batches of {} examples of {} samples", needed / 1e9,
                             recipe_.data.queue_batches + 1, recipe_.data.batch, training_->samples(0)),
                 "lower data.batch (with optimiser.accumulation), data.queue_batches or data.crop_seconds"});
  }

  void check_leaks(Cache& cache) {
    std::vector<LeakTrack> mine;
    CacheFormat format;
    format.rate_hz = static_cast<int>(recipe_.data.rate_hz);
    format.channels = static_cast<int>(recipe_.data.channels);
    format.stems = stems_;
    const auto add = [&](const std::vector<datasets::Track>& tracks, const char* role, bool mixture) {
      CacheFormat own = format;
      own.mixture = mixture;
      const std::vector<CachedTrack> cached =
          cache.open(dataset_, tracks, own, core::resolve_threads(0), core::null_progress());
      for (std::size_t i = 0; i < cached.size(); ++i) {
        const CachedTrack& t = cached[i];
        mine.push_back({t.name(), t.fingerprint(), role, t.levels_db()});
        if (mixture) continue;
        Value seen = Value::object();
        seen["subset"] = tracks[i].subset;
        seen["name"] = t.name();
        seen["sha256"] = t.fingerprint();
        seen["samples"] = t.samples();
        seen["rate_hz"] = t.rate_hz();
        seen_.push_back(std::move(seen));
      }
    };
    add(tracks_.training, "training", false);
    if (validation_) add(tracks_.validation, "validation", true);
    for (const CachedTrack& track : training_->unlabelled()) {
      mine.push_back({song_name(track.name()), track.fingerprint(), "unlabelled", track.levels_db()});
      Value seen = Value::object();
      seen["name"] = song_name(track.name());
      seen["sha256"] = track.fingerprint();
      seen["samples"] = track.samples();
      seen["rate_hz"] = track.rate_hz();
      seen_.push_back(std::move(seen));
    }
    std::vector<TestTracks> others;
    const bool has_train = std::ranges::any_of(dataset_.tracks(), [](const auto& t) { return t.subset == "train"; });
    const bool has_test = std::ranges::any_of(dataset_.tracks(), [](const auto& t) { return t.subset == "test"; });
    if (has_train && has_test && !checkpoint_) others.push_back(test_tracks(dataset_));
    const std::vector<Leak> leaks = find_leaks(mine, others);
    refuse_leaks(leaks, request_.allow_training_tracks);
    for (const Leak& leak : leaks) {
      log(core::LogLevel::warning, fmt::format("{} track '{}' {} ('{}')", leak.role, leak.track, leak.why, leak.of));
    }
    leaks_ = leaks_value(leaks, request_.allow_training_tracks);
  }

  Value description() const {
    Value out = Value::object();
    out["format"] = kFormat;
    out["program"] = "mssbench " + core::version();
    out["revision"] = core::git_revision();
    out["compiler"] = core::compiler();
    out["command"] = request_.command;
    out["begun"] = core::utc_timestamp();
    out["recipe"] = to_value(recipe_);
    out["data"] = training_->provenance();
    if (validation_) out["validation"] = validation_->provenance();
    out["validation_tracks"] = tracks_.how;
    out["leaks"] = leaks_;
    Value network = Value::object();
    network["method"] = model_.method->name;
    network["configuration"] = model_.configuration;
    network["trained"] = learner_->parameters();
    network["frozen"] = learner_->frozen();
    out["network"] = std::move(network);
    if (!warm_start_.is_null()) out["warm_start"] = warm_start_;
    out["device"] = learner_->device();
    out["threads"] = threads_;
    out["processor"] = core::processor_name();
    Value metrics = Value::object();
    metrics["usdr_TARGET"] = "uSDR, mean over tracks";
    metrics["csdr_TARGET"] = "SDR of BSS Eval v4, median over frames of 1 s, median over tracks";
    out["metrics"] = std::move(metrics);
    return out;
  }

  void write_description() {
    const fs::path file = request_.out / kRunFile;
    std::error_code ignored;
    if (checkpoint_) {
      const Value was = core::read_json_file(file);
      if (!(was.at("data", kRunFile) == core::parse_json(core::dump_json(training_->provenance()), kRunFile))) {
        throw Error({Code::dataset, request_.out.string(), "the run was begun with other training data",
                     "the tracks and fingerprints of run.json", dataset_.name(), ""});
      }
      const std::int64_t threads = was.at("threads", kRunFile).as_integer();
      if (threads != threads_) {
        log(core::LogLevel::warning,
            fmt::format("the run was begun with {} threads and goes on with {}: the last digits may differ", threads,
                        threads_));
      }
      return;
    }
    core::write_file_atomic(request_.out / kRecipeFile, to_toml(resolved_));
    core::write_file_atomic(file, core::dump_json(description(), 2) + "\n");
  }

  void take_statistics() {
    std::vector<datasets::Track> tracks = tracks_.training;
    if (recipe_.model.statistics_tracks > 0 && std::ssize(tracks) > recipe_.model.statistics_tracks) {
      tracks.resize(static_cast<std::size_t>(recipe_.model.statistics_tracks));
    }
    progress_.begin("input statistics", std::ssize(tracks));
    std::int64_t done = 0;
    for (const datasets::Track& track : tracks) {
      request_.stop.check();
      learner_->add_statistics(mixture_of(dataset_, track, recipe_).view());
      progress_.update(++done, track.name);
    }
    learner_->set_statistics();
    progress_.end();
  }

  /// A count of the checkpoint's state, in its range.
  std::int64_t counted(const Value& state, const char* key, std::int64_t most) const {
    const std::string where = (request_.out / kLastFile).string();
    const std::int64_t value = state.at(key, where).as_integer(where);
    if (value >= 0 && value <= most) return value;
    throw Error({Code::checkpoint, where, fmt::format("the state's '{}' is no place in this run", key),
                 fmt::format("0 to {}", most), std::to_string(value), "the file is damaged or was changed"});
  }

  void restore() {
    const std::string where = (request_.out / kLastFile).string();
    const Value& state = checkpoint_->state;
    learner_->restore(checkpoint_->tensors, state.at("learner", where));
    checkpoint_->tensors.clear();
    epoch_ = counted(state, "epoch", std::numeric_limits<std::int64_t>::max() / (2 * batches_per_epoch_));
    batch_ = counted(state, "batch", batches_per_epoch_);
    schedule_->load(state.at("schedule", where));
    stopping_->load(state.at("stopping", where));
    epoch_loss_ = sum_of(state.at("epoch_loss", where));
    window_ = sum_of(state.at("window", where));
    earlier_s_ = state.at("seconds", where).as_real();
    best_epoch_ = state.at("best_epoch", where).as_integer();
    best_ = state.at("best", where).as_real_or_nan();
    ended_early_ = state.at("ended_early", where).as_bool();
    if (semi_) {
      first_done_ = state.at("first_validation_done", where).as_bool();
      const Value::Array& kinds = state.at("segments", where).as_array();
      for (std::size_t i = 0; i < kinds_.size(); ++i) kinds_[i] = kinds.at(i).as_integer();
    }
    averaged_ = state.at("averaged", where).as_bool();
    log(core::LogLevel::info, fmt::format("going on after step {} (epoch {})", learner_->steps(), epoch_));
  }

  struct Sum {
    double sum = 0;
    std::int64_t count = 0;
    void add(double value) {
      sum += value;
      ++count;
    }
    double mean() const { return count == 0 ? kNaN : sum / static_cast<double>(count); }
  };
  static Value value_of(const Sum& sum) {
    Value out = Value::object();
    out["sum"] = sum.sum;
    out["count"] = sum.count;
    return out;
  }
  static Sum sum_of(const Value& value) { return {value.at("sum").as_real(), value.at("count").as_integer()}; }

  Value state() const {
    Value out = Value::object();
    out["epoch"] = epoch_;
    out["batch"] = batch_;
    out["schedule"] = schedule_->state();
    out["stopping"] = stopping_->state();
    out["epoch_loss"] = value_of(epoch_loss_);
    out["window"] = value_of(window_);
    out["seconds"] = earlier_s_ + seconds_since(begun_);
    out["best_epoch"] = best_epoch_;
    out["best"] = std::isnan(best_) ? Value() : Value(best_);
    out["ended_early"] = ended_early_;
    out["averaged"] = averaged_;
    if (semi_) {
      out["first_validation_done"] = first_done_;
      out["segments"] = Value::array();
      for (const std::int64_t kind : kinds_) out["segments"].push_back(kind);
    }
    return out;
  }

  void save(const char* file) {
    // A stop request that comes now does not cut it short.
    const core::StopScope whole(core::StopToken{});
    CheckpointText text;
    text.label = fs::weakly_canonical(request_.out).filename().string();
    text.provenance["files"] = Value::array();
    text.provenance["dataset"] = dataset_.name();
    text.provenance["tracks"] = seen_;
    Value trained = Value::object();
    trained["recipe"] = recipe_.name;
    trained["seed"] = recipe_.seed;
    trained["step"] = learner_->steps();
    trained["epoch"] = epoch_;
    trained["values"] = learner_->has_average() ? "average of the weights" : "weights of the last step";
    trained["program"] = "mssbench " + core::version();
    trained["revision"] = core::git_revision();
    trained["data"] = training_->provenance();
    if (validation_) trained["validation"] = validation_->provenance();
    trained["leaks"] = leaks_;
    if (!warm_start_.is_null()) trained["warm_start"] = warm_start_;
    text.provenance["training"] = std::move(trained);
    text.state = state();
    write_checkpoint(request_.out / file, *learner_, *model_.method->family, model_.configuration, text);
    if (std::string_view(file) == kLastFile) {
      saved_ = Clock_::now();
      saved_step_ = learner_->steps();
    }
  }

  [[noreturn]] void save_stopped() {
    save(kLastFile);
    throw Error(Code::cancelled, request_.out.string(),
                fmt::format("stopped after step {}; --resume goes on", learner_->steps()));
  }

  bool time_to_save() const {
    const BudgetRecipe& budget = recipe_.budget;
    if (budget.save_every_steps > 0 && learner_->steps() % budget.save_every_steps == 0) return true;
    return budget.save_every_minutes > 0 && seconds_since(saved_) > 60 * budget.save_every_minutes;
  }

  /// Why the run is over, or nothing.
  std::optional<std::string> over() const {
    const BudgetRecipe& budget = recipe_.budget;
    if (ended_early_) return fmt::format("no better validation for {} times", recipe_.validation.patience);
    if (budget.steps > 0 && learner_->steps() >= budget.steps) return fmt::format("after {} steps", learner_->steps());
    if (budget.epochs > 0 && epoch_ >= budget.epochs) return fmt::format("after {} epochs", epoch_);
    if (budget.minutes > 0 && earlier_s_ + seconds_since(begun_) >= 60 * budget.minutes) {
      return fmt::format("after {:g} minutes", budget.minutes);
    }
    if (request_.max_steps > 0 && learner_->steps() >= request_.max_steps) {
      return fmt::format("after {} steps, as asked for", learner_->steps());
    }
    return std::nullopt;
  }

  TrainingResult loop() {
    begun_ = saved_ = Clock_::now();
    TrainingResult result;
    result.folder = request_.out;
    std::int64_t shown = total_steps_;
    if (request_.max_steps > 0) shown = shown == 0 ? request_.max_steps : std::min(shown, request_.max_steps);
    std::optional<Loader> loader;
    const auto task = [&] {
      progress_.begin(fmt::format("training {}", recipe_.name), shown);
      progress_.update(learner_->steps(), "");
    };
    if (semi_ && !first_done_) validate_first(result);
    task();
    std::optional<std::string> why;
    while (true) {
      // Behind an epoch's last batch there is its validation, whatever else ends here.
      if (batch_ >= batches_per_epoch_) {
        progress_.end();
        try {
          close_epoch(result);
        } catch (const Error& error) {
          if (error.code() != Code::cancelled) throw;
          // What was trained stays; the validation is done again.
          progress_.end();
          --epoch_;
          batch_ = batches_per_epoch_;
          save_stopped();
        }
        task();
      }
      why = over();
      if (why) break;
      if (request_.stop.stop_requested()) {
        progress_.end();
        save_stopped();
      }
      if (!loader) {
        LoaderSettings settings;
        settings.batch = recipe_.data.batch;
        settings.workers = static_cast<int>(recipe_.data.workers);
        settings.queue = static_cast<int>(recipe_.data.queue_batches);
        settings.epoch = epoch_;
        settings.number = batch_;
        loader.emplace(training_, settings);
      }
      try {
        step(*loader, result);
      } catch (const Error& error) {
        if (error.code() != Code::cancelled) throw;
        // A step of a large network may take minutes: it is dropped, and done again when the run goes on.
        progress_.end();
        learner_->abandon();
        save_stopped();
      }
      progress_.update(learner_->steps(),
                       fmt::format("epoch {}, loss {:.5g}, {:.3g} examples/s", epoch_ + 1, latest_,
                                   static_cast<double>(result.examples) / std::max(session_s_, 1e-9)));
      if (time_to_save()) save(kLastFile);
    }
    progress_.end();
    if (saved_step_ != learner_->steps()) save(kLastFile);
    draw_curves();
    result.ended = *why;
    result.steps = learner_->steps();
    result.epochs = epoch_;
    result.seconds = earlier_s_ + seconds_since(begun_);
    if (loader) result.waited_s = loader->waits().waited_s;
    result.examples_per_s = session_s_ > 0 ? static_cast<double>(result.examples) / session_s_ : 0;
    result.monitor = name_of(recipe_.validation.monitor);
    result.best = best_;
    result.best_epoch = best_epoch_;
    return result;
  }

  void step(Loader& loader, TrainingResult& result) {
    const Clock_::time_point start = Clock_::now();
    const std::int64_t count = std::min(recipe_.optimiser.accumulation, batches_per_epoch_ - batch_);
    const double rate = schedule_->rate(learner_->steps(), epoch_);
    double loss = 0;
    std::array<std::int64_t, kSegmentKinds> kinds = kinds_;  // kept when the step is done, as all else
    for (std::int64_t i = 0; i < count; ++i) {
      std::optional<Batch> batch = loader.next();
      MSS_ASSERT(batch.has_value());
      try {
        if (semi_) {
          const std::array<std::int64_t, kSegmentKinds> mixed = mix_semi(*batch, *learner_, *semi_);
          for (std::size_t k = 0; k < mixed.size(); ++k) kinds[k] += mixed[k];
        }
        loss += learner_->add_gradients(view_of(*batch), 1.0 / static_cast<double>(count)) / static_cast<double>(count);
      } catch (const Error& error) {
        if (error.code() != Code::resource) throw;
        ErrorParts parts = error.parts();
        parts.hint =
            "a smaller data.batch with optimiser.accumulation, shorter data.crop_seconds, or model.checkpointing needs "
            "less; the last checkpoint is whole";
        throw Error(std::move(parts));
      }
      result.examples += batch->count;
      loader.recycle(std::move(*batch));
    }
    const double norm = learner_->update(rate, true);
    session_s_ += seconds_since(start);
    batch_ += count;
    kinds_ = kinds;
    latest_ = loss;
    epoch_loss_.add(loss);
    window_.add(loss);
    if (learner_->steps() % log_every_ != 0) return;
    std::vector<double> row(columns_.size(), kNaN);
    row[kEpoch] = static_cast<double>(epoch_ + 1);
    row[kTrainLoss] = window_.mean();
    row[kRate] = rate;
    row[kNorm] = norm;
    row[kSpeed] = static_cast<double>(result.examples) / std::max(session_s_, 1e-9);
    if (semi_) {
      for (std::size_t k = 0; k < kinds_.size(); ++k) row[kinds_at_ + k] = static_cast<double>(kinds_[k]);
      kinds_ = {};
    }
    csv_->row(learner_->steps(), row);
    events_->scalar("train/loss", learner_->steps(), window_.mean());
    events_->scalar("train/learning_rate", learner_->steps(), rate);
    events_->scalar("train/gradient_norm", learner_->steps(), norm);
    events_->scalar("train/examples_per_s", learner_->steps(), row[kSpeed]);
    window_ = {};
  }

  static BatchView view_of(const Batch& batch) {
    return {batch.count,          batch.sources,      batch.channels, batch.samples,
            batch.mixture.data(), batch.stems.data(), batch.epoch,    batch.first};
  }

  void close_epoch(TrainingResult& result) {
    if (!averaged_) learner_->end_epoch();
    averaged_ = true;
    // Validation may take long: what was trained is safe before it.
    if (seconds_since(saved_) > 30) save(kLastFile);
    ++epoch_;
    batch_ = 0;
    const std::int64_t step = learner_->steps();
    std::vector<double> row(columns_.size(), kNaN);
    row[kEpoch] = static_cast<double>(epoch_);
    row[kEpochLoss] = epoch_loss_.mean();
    row[kRate] = schedule_->rate(step, epoch_);
    events_->scalar("epoch/train_loss", step, epoch_loss_.mean());
    std::string text = fmt::format("epoch {}: loss {:.6g}", epoch_, epoch_loss_.mean());
    const std::optional<double> value = validate(step, row, result, text);
    csv_->row(step, row);
    epoch_loss_ = {};
    bool better = false;
    if (value) {
      schedule_->validated(*value);
      ended_early_ = stopping_->step(*value);
      better = stopping_->better();
      if (better) note_best(*value);
    }
    if (semi_ && better) {
      learner_->promote();
      text += "; the student is the next teacher";
    }
    log(core::LogLevel::info, text);
    averaged_ = false;
    // best first: a run that is killed between the two does this epoch's end again and writes the same.
    if (better) save(kBestFile);
    save(kLastFile);
    draw_curves();
    events_->flush();
  }

  /// What is due at the end of epoch epoch_: losses and scores, into the log's row and text. The monitored value, the less
  /// the better; nothing where none is due.
  std::optional<double> validate(std::int64_t step, std::vector<double>& row, TrainingResult& result,
                                 std::string& text) {
    const ValidationRecipe& v = recipe_.validation;
    std::optional<double> value;
    if (validation_ && v.every > 0 && epoch_ % v.every == 0) {
      row[kValidLoss] = validation_loss(false);
      events_->scalar("validation/loss", step, row[kValidLoss]);
      text += fmt::format(", validation {:.6g}", row[kValidLoss]);
      if (learner_->has_average()) {
        row[kAverageLoss] = validation_loss(true);
        events_->scalar("validation/loss_of_average", step, row[kAverageLoss]);
        text += fmt::format(", of the average {:.6g}", row[kAverageLoss]);
      }
      if (v.monitor == Monitor::loss) value = learner_->has_average() ? row[kAverageLoss] : row[kValidLoss];
    }
    if (!tracks_.validation.empty() && v.split != ValidationSplit::none && v.scores_every > 0 &&
        epoch_ % v.scores_every == 0 && request_.score) {
      score_tracks(step, row, result);
      Sum sum;
      for (const std::string& target : model_.targets) {
        const TargetScore& s = result.scores[target];
        const double one = v.monitor == Monitor::csdr ? s.csdr : s.usdr;
        if (!std::isnan(one)) sum.add(one);
      }
      text += fmt::format(", {} {:.2f} dB", v.monitor == Monitor::csdr ? "cSDR" : "uSDR", sum.mean());
      if (v.monitor != Monitor::loss) value = -sum.mean();
    }
    return value;
  }

  void note_best(double value) {
    best_ = recipe_.validation.monitor == Monitor::loss ? value : -value;
    best_epoch_ = epoch_;
  }

  /// The first teacher's validation, which a student has to beat: the weights as they are, as epoch 0.
  void validate_first(TrainingResult& result) {
    std::string text = "the first teacher";
    std::vector<double> row(columns_.size(), kNaN);
    row[kEpoch] = 0;
    const std::int64_t step = learner_->steps();
    std::optional<double> value;
    try {
      value = validate(step, row, result, text);
      if (value) {
        csv_->row(step, row);
        ended_early_ = stopping_->step(*value);
        note_best(*value);
      }
    } catch (const Error& error) {
      if (error.code() != Code::cancelled) throw;
      progress_.end();
      save_stopped();
    }
    log(core::LogLevel::info, value ? text : "the teacher is not validated, so it stays what it is");
    first_done_ = true;
    if (value) save(kBestFile);
    save(kLastFile);
  }

  /// The mean over all examples.
  double validation_loss(bool average) {
    double sum = 0;
    std::int64_t examples = 0;
    progress_.begin(average ? "validation of the average" : "validation", validation_->length());
    std::int64_t index = 0;
    std::vector<float> stems, mixture;
    while (index < validation_->length()) {
      request_.stop.check();
      // Examples of one length go together.
      const std::int64_t samples = validation_->samples(index);
      std::int64_t count = 1;
      while (count < recipe_.data.batch && index + count < validation_->length() &&
             validation_->samples(index + count) == samples) {
        ++count;
      }
      const std::int64_t row = validation_->channels() * samples, sources = validation_->sources();
      stems.resize(static_cast<std::size_t>(count * sources * row));
      mixture.resize(static_cast<std::size_t>(count * row));
      for (std::int64_t i = 0; i < count; ++i) {
        validation_->make(0, index + i, {stems.data() + i * sources * row, mixture.data() + i * row});
      }
      const BatchView batch{count, sources, validation_->channels(), samples, mixture.data(), stems.data()};
      sum += static_cast<double>(count) * learner_->loss(batch, average);
      examples += count;
      index += count;
      progress_.update(index, "");
    }
    progress_.end();
    return examples == 0 ? kNaN : sum / static_cast<double>(examples);
  }

  /// Whole validation tracks through the method, made from the file as benchmarks make it.
  void score_tracks(std::int64_t step, std::vector<double>& row, TrainingResult& result) {
    save_for_scores();
    core::Spec spec;
    spec.method.name = model_.method->name;
    spec.method.arguments.emplace_back("weights", (request_.out / kLastFile).string());
    const std::unique_ptr<methods::Separator> method = registry_of(request_).make(spec);
    std::vector<datasets::Track> tracks = tracks_.validation;
    if (recipe_.validation.score_tracks > 0 && std::ssize(tracks) > recipe_.validation.score_tracks) {
      tracks.resize(static_cast<std::size_t>(recipe_.validation.score_tracks));
    }
    std::map<std::string, std::vector<double>> usdr, csdr;
    progress_.begin("scores of validation tracks", std::ssize(tracks));
    std::int64_t done = 0;
    for (const datasets::Track& track : tracks) {
      request_.stop.check();
      const datasets::TrackAudio audio = dataset_.load(track);
      methods::Options options;
      options.threads = threads_;
      options.stop = request_.stop;
      options.targets = stems_;
      const methods::StemSet found = method->separate(audio.mixture.view(), options);
      for (const TargetScore& score : request_.score(audio, found)) {
        if (!std::isnan(score.usdr)) usdr[score.target].push_back(score.usdr);
        if (!std::isnan(score.csdr)) csdr[score.target].push_back(score.csdr);
      }
      if (done == 0) show_excerpt(step, audio, found);
      progress_.update(++done, track.name);
    }
    progress_.end();
    result.scores.clear();
    for (std::size_t i = 0; i < model_.targets.size(); ++i) {
      const std::string& target = model_.targets[i];
      TargetScore& score = result.scores[target];
      score.target = target;
      score.usdr = eval::nan_mean(usdr[target]);
      score.csdr = eval::nan_median(csdr[target]);
      row[kScores + 2 * i] = score.usdr;
      row[kScores + 2 * i + 1] = score.csdr;
      if (!std::isnan(score.usdr)) events_->scalar("validation/uSDR " + target, step, score.usdr);
      if (!std::isnan(score.csdr)) events_->scalar("validation/cSDR " + target, step, score.csdr);
    }
  }

  /// A checkpoint of an epoch whose validation is still to come: batch_ stands behind its last batch.
  void save_for_scores() {
    if (epoch_ == 0) {  // the first teacher's
      save(kLastFile);
      return;
    }
    --epoch_;
    batch_ = batches_per_epoch_;
    save(kLastFile);
    ++epoch_;
    batch_ = 0;
  }

  void show_excerpt(std::int64_t step, const datasets::TrackAudio& track, const methods::StemSet& found) {
    const audio::AudioView mixture = track.mixture.view();
    const std::int64_t size =
        std::min<std::int64_t>(mixture.samples(), std::llround(recipe_.validation.excerpt_seconds * mixture.rate_hz()));
    if (size < 2048) return;
    const std::int64_t begin = (mixture.samples() - size) / 2;
    const auto show = [&](const std::string& name, audio::AudioView audio) {
      const audio::AudioView part = audio.slice(begin, size);
      events_->image("excerpt/" + name, step, spectrogram(part, name));
      events_->audio("excerpt/" + name, step, part);
    };
    if (!excerpt_shown_) {
      show("mixture", mixture);
      for (std::size_t i = 0; i < track.names.size(); ++i) {
        if (std::ranges::find(model_.targets, track.names[i]) != model_.targets.end()) {
          show(track.names[i] + " (reference)", track.stems[i].view());
        }
      }
      excerpt_shown_ = true;
    }
    for (std::size_t i = 0; i < found.names.size(); ++i) {
      if (std::ranges::find(model_.targets, found.names[i]) != model_.targets.end()) {
        show(found.names[i], found.audio[i].view());
      }
    }
  }

  void draw_curves() {
    LossCurves curves = read_curves(request_.out / kLogFile);
    if (curves.losses.empty()) return;
    curves.title = recipe_.name;
    curves.note = fmt::format("{}, {}", model_.method->name, dataset_.name());
    write_curves(request_.out / kCurvesFile, curves);
  }

  const TrainingRequest& request_;
  core::Progress& progress_;
  ResolvedRecipe resolved_;
  const Recipe& recipe_;
  datasets::Dataset dataset_;
  TrainingTracks tracks_;
  std::vector<std::string> stems_;
  Model model_;

  std::optional<core::FolderLock> lock_;
  std::optional<Checkpoint> checkpoint_;  ///< what a resumed run goes on from
  Value warm_start_, leaks_;
  Value seen_ = Value::array();  ///< tracks that the weights are trained on, as harness/training_data.h reads them
  std::unique_ptr<Learner> learner_;
  int threads_ = 1;
  std::shared_ptr<const ExampleSource> training_, validation_;
  std::int64_t batches_per_epoch_ = 0, steps_per_epoch_ = 0, total_steps_ = 0, log_every_ = 1;
  std::optional<Schedule> schedule_;
  std::optional<Stopping> stopping_;
  /// Of the log, behind the step.
  enum Column : std::size_t { kEpoch, kTrainLoss, kEpochLoss, kValidLoss, kAverageLoss, kRate, kNorm, kSpeed, kScores };
  std::vector<std::string> columns_ = {"epoch",    "train_loss",    "epoch_loss",    "valid_loss",
                                       "ema_loss", "learning_rate", "gradient_norm", "examples_per_s"};
  std::optional<CsvLog> csv_;
  std::optional<EventWriter> events_;
  bool excerpt_shown_ = false;

  // Where the run stands: batches of epoch epoch_ that are done.
  std::int64_t epoch_ = 0, batch_ = 0;
  Sum epoch_loss_, window_;
  double latest_ = kNaN, best_ = kNaN;
  std::int64_t best_epoch_ = 0;
  bool ended_early_ = false;
  std::optional<SemiSettings> semi_;
  std::array<std::int64_t, kSegmentKinds> kinds_{};  ///< unlabelled segments since the last row of the log
  std::size_t kinds_at_ = 0;                         ///< their first column
  bool first_done_ = false;                          ///< the first teacher is validated
  bool averaged_ = false;                            ///< the epoch that ends is in the average already
  double earlier_s_ = 0, session_s_ = 0;
  Clock_::time_point begun_ = Clock_::now(), saved_ = Clock_::now();
  std::int64_t saved_step_ = -1;
};

}  // namespace

TrainingResult train(const TrainingRequest& request) { return Run(request)(); }

namespace {

struct Trial {
  std::int64_t step_bytes = -1;  ///< -1 = not measured
  std::int64_t input_samples = 0;
};

/// What a step keeps: measured on one example of a second, or of the whole length where the network takes no other, and
/// multiplied. And the length of an example with the samples that the network's layers leave over.
Trial trial_of(const TrainingRequest& request, const Recipe& recipe, const Model& model,
               const std::vector<std::string>& stems, std::int64_t parameters) {
  Trial out{.input_samples = recipe.crop_samples()};
  if (16 * parameters > core::available_memory_bytes()) return out;
  LearnerSettings settings = learner_settings(request, recipe, model, stems);
  settings.device = nn::parse_device("cpu");
  settings.trial = true;
  settings.initial = names_of(methods::random_weights(*model.method->family, model.configuration, 1).parts);
  std::unique_ptr<Learner> learner;
  try {
    learner = make_learner(settings);
  } catch (const Error& error) {
    if (error.code() == Code::unsupported) return out;
    throw;
  }
  const std::int64_t whole = learner->input_samples(recipe.crop_samples());
  out.input_samples = example_samples(recipe, *learner);
  const auto measured = [&](std::int64_t samples) {
    BatchView batch{1, std::ssize(stems), recipe.data.channels, samples};
    std::vector<float> values(static_cast<std::size_t>(batch.stems * batch.channels * samples));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.01F * static_cast<float>(i % 7) - 0.03F;
    batch.stem_values = values.data();
    const double items =
        static_cast<double>(recipe.data.batch) * static_cast<double>(whole) / static_cast<double>(samples);
    return static_cast<std::int64_t>(static_cast<double>(learner->trial_bytes(batch)) * items);
  };
  const std::int64_t piece = std::min(whole, learner->input_samples(recipe.data.rate_hz));
  try {
    out.step_bytes = measured(piece);
  } catch (const Error& error) {
    if (error.code() == Code::cancelled) throw;
    if (piece != whole) out.step_bytes = measured(whole);
  }
  return out;
}

}  // namespace

TrainingPreview preview(const TrainingRequest& request) {
  const Recipe& recipe = request.recipe.recipe;
  TrainingPreview out;
  const datasets::Dataset dataset = open_dataset(recipe);
  const std::vector<std::string> stems = stems_of(recipe, dataset);
  const Model model = model_of(recipe, registry_of(request), stems);
  check_semi(recipe, model, stems);
  const methods::NetworkFamily& family = *model.method->family;
  out.network = fmt::format("{}: {}, {}; targets {}", family.title, family.sizes(model.configuration),
                            family.timing(model.configuration), core::join(model.targets, ", "));
  for (const auto& [part, listing] : family.list(model.configuration)) out.parameters += listing.parameters();
  const std::int64_t copies =
      2 + (recipe.optimiser.kind == OptimiserKind::rmsprop && recipe.optimiser.momentum == 0 ? 1 : 2) +
      (recipe.optimiser.ema_decay > 0 ? 1 : 0) + (recipe.semi.enabled ? 1 : 0);
  out.state_bytes = 4 * copies * out.parameters;
  out.batch_bytes = 4 * (recipe.data.queue_batches + 1) * recipe.data.batch * recipe.data.channels *
                    recipe.crop_samples() * (std::ssize(stems) + 1 + (recipe.semi.enabled ? 1 : 0));
  const Trial trial = trial_of(request, recipe, model, stems, out.parameters);
  out.step_bytes = trial.step_bytes;
  Recipe cut = recipe;
  cut.data.crop_samples = trial.input_samples;
  const TrainingTracks tracks = choose_tracks(dataset, cut);
  out.crop_seconds = static_cast<double>(recipe.crop_samples()) / static_cast<double>(recipe.data.rate_hz);
  out.training_tracks = std::ssize(tracks.training);
  out.validation_tracks = std::ssize(tracks.validation);
  out.validation = tracks.how;
  out.notes = tracks.notes;
  if (recipe.data.examples_per_epoch > 0) {
    out.examples_per_epoch = recipe.data.examples_per_epoch;
  } else if (recipe.data.sampling == Sampling::random) {
    out.examples_per_epoch = out.training_tracks * recipe.data.samples_per_track;
  }
  if (out.examples_per_epoch >= 0) {
    const std::int64_t batches = Loader::batches_per_epoch(out.examples_per_epoch, recipe.data.batch, false);
    out.steps_per_epoch = (batches + recipe.optimiser.accumulation - 1) / recipe.optimiser.accumulation;
  }
  if (recipe.budget.steps > 0) out.steps = recipe.budget.steps;
  if (recipe.budget.epochs > 0 && out.steps_per_epoch > 0) {
    const std::int64_t steps = recipe.budget.epochs * out.steps_per_epoch;
    out.steps = out.steps < 0 ? steps : std::min(out.steps, steps);
  }
  return out;
}

void write_examples(const TrainingRequest& request, std::int64_t count, const fs::path& folder) {
  const Recipe& recipe = request.recipe.recipe;
  core::Progress& progress = request.progress != nullptr ? *request.progress : core::null_progress();
  const datasets::Dataset dataset = open_dataset(recipe);
  const TrainingTracks tracks = choose_tracks(dataset, recipe);
  Cache cache(recipe.data.cache.empty() ? cache_folder() : fs::path(recipe.data.cache),
              static_cast<std::int64_t>(recipe.data.cache_gib * 1024.0 * 1024.0 * 1024.0));
  const std::shared_ptr<const ExampleSource> source =
      make_training_source(recipe, dataset, tracks.training, cache, core::resolve_threads(0), progress);
  write_preview(*source, count, folder, progress);
}

}  // namespace mss::training
