#include "training/recipe.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/text.h"
#include "core/toml.h"
#include "training/shipped.h"

namespace mss::training {
namespace {

template <class E>
using Names = std::vector<std::pair<E, std::string_view>>;

const Names<Sampling> kSamplings{
    {Sampling::random, "random"}, {Sampling::grid, "grid"}, {Sampling::activity, "activity"}};
const Names<Normalisation> kNormalisations{{Normalisation::none, "none"}, {Normalisation::track, "track"}};
const Names<ActivityRule> kRules{
    {ActivityRule::none, "none"}, {ActivityRule::paper, "paper"}, {ActivityRule::amanteur, "amanteur"}};
const Names<ActivityEnergy> kEnergies{
    {ActivityEnergy::rms, "rms"}, {ActivityEnergy::mean_square, "mean-square"}, {ActivityEnergy::sum, "sum"}};
const Names<SpeechTarget> kSpeechTargets{{SpeechTarget::correct, "correct"}, {SpeechTarget::thesis, "thesis"}};
const Names<LossTerm> kTerms{{LossTerm::mse_time, "mse_time"}, {LossTerm::mse_magnitude, "mse_magnitude"},
                             {LossTerm::l1_time, "l1_time"},   {LossTerm::l1_spectrum, "l1_spectrum"},
                             {LossTerm::l1_both, "l1_both"},   {LossTerm::log_l2, "log_l2"},
                             {LossTerm::psm, "psm"},           {LossTerm::complex_mse, "complex_mse"},
                             {LossTerm::xumx, "xumx"},         {LossTerm::usdr, "usdr"},
                             {LossTerm::si_sdr, "si_sdr"}};
const Names<OptimiserKind> kOptimisers{
    {OptimiserKind::adam, "adam"}, {OptimiserKind::adamw, "adamw"}, {OptimiserKind::rmsprop, "rmsprop"}};
const Names<ScheduleKind> kSchedules{{ScheduleKind::constant, "constant"},
                                     {ScheduleKind::step, "step"},
                                     {ScheduleKind::exponential, "exponential"},
                                     {ScheduleKind::plateau, "plateau"},
                                     {ScheduleKind::cosine, "cosine"}};
const Names<Clock> kClocks{{Clock::step, "step"}, {Clock::epoch, "epoch"}};
const Names<WarmUp> kWarmUps{{WarmUp::none, "none"}, {WarmUp::linear, "linear"}, {WarmUp::exponential, "exponential"}};
const Names<Precision> kPrecisions{{Precision::float32, "float32"}, {Precision::bf16, "bf16"}};
const Names<ValidationSplit> kSplits{{ValidationSplit::official, "official"},
                                     {ValidationSplit::hash, "hash"},
                                     {ValidationSplit::names, "names"},
                                     {ValidationSplit::none, "none"}};
const Names<ValidationCrop> kCrops{{ValidationCrop::segments, "segments"}, {ValidationCrop::full, "full"}};
const Names<Monitor> kMonitors{{Monitor::loss, "loss"}, {Monitor::usdr, "usdr"}, {Monitor::csdr, "csdr"}};

template <class E>
std::string_view name_in(const Names<E>& names, E value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  return "";
}

template <class E>
std::string choices_of(const Names<E>& names) {
  std::vector<std::string> all;
  for (const auto& [unused, name] : names) all.emplace_back(name);
  return core::join(all, "|");
}

template <class E>
E choice_in(const Names<E>& names, const core::Value& value, const std::string& where) {
  const std::string& text = value.as_string(where);
  std::vector<std::string> all;
  for (const auto& [known, name] : names) {
    if (name == text) return known;
    all.emplace_back(name);
  }
  throw Error({Code::config, where, "unknown value", "one of " + core::join(all, ", "), "'" + text + "'",
               core::did_you_mean(text, all)});
}

enum class Shape { scalar, list, tree, tables };

/// One key of a recipe: how it is read, checked and written.
struct Field {
  std::string key, type, range, help;
  Shape shape = Shape::scalar;
  bool text = false;  ///< a scalar or list of text: the command line's value needs no quotes
  std::function<core::Value(const Recipe&)> get;
  std::function<void(Recipe&, const core::Value&, const std::string& where)> set;
};

struct Range {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool open_low = false;
};

std::string range_text(const Range& range) {
  if (std::isinf(range.low) && std::isinf(range.high)) return "";
  return (range.open_low ? "(" : "[") + core::format_real(range.low) + "," + core::format_real(range.high) +
         (std::isinf(range.high) ? ")" : "]");
}

void require_in(double value, const Range& range, const std::string& where) {
  const bool above = range.open_low ? value > range.low : value >= range.low;
  if (std::isfinite(value) && above && value <= range.high) return;
  throw Error({Code::config, where, "out of range", "a number in " + range_text(range), core::format_real(value), ""});
}

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kMany = 1e12;  // far more than any run has, far less than what overflows
const Range kPositive{0, kInf, true}, kFromZero{0, kMany, false}, kShare{0, 1, false}, kFromOne{1, kMany, false};
const Range kSeconds{0, 86400, true};
const Range kAny{};

template <class A>
Field boolean(std::string key, A at, std::string help) {
  return {std::move(key),
          "boolean",
          "",
          std::move(help),
          Shape::scalar,
          false,
          [at](const Recipe& r) { return core::Value(static_cast<bool>(at(r))); },
          [at](Recipe& r, const core::Value& v, const std::string& where) { at(r) = v.as_bool(where); }};
}

template <class A>
Field integer(std::string key, A at, Range range, std::string help) {
  return {std::move(key),
          "integer",
          range_text(range),
          std::move(help),
          Shape::scalar,
          false,
          [at](const Recipe& r) { return core::Value(static_cast<std::int64_t>(at(r))); },
          [at, range](Recipe& r, const core::Value& v, const std::string& where) {
            const std::int64_t value = v.as_integer(where);
            require_in(static_cast<double>(value), range, where);
            at(r) = value;
          }};
}

template <class A>
Field real(std::string key, A at, Range range, std::string help) {
  return {std::move(key),
          "number",
          range_text(range),
          std::move(help),
          Shape::scalar,
          false,
          [at](const Recipe& r) { return core::Value(static_cast<double>(at(r))); },
          [at, range](Recipe& r, const core::Value& v, const std::string& where) {
            const double value = v.as_real(where);
            require_in(value, range, where);
            at(r) = value;
          }};
}

template <class A>
Field text(std::string key, A at, std::string help) {
  return {std::move(key),
          "text",
          "",
          std::move(help),
          Shape::scalar,
          true,
          [at](const Recipe& r) { return core::Value(at(r)); },
          [at](Recipe& r, const core::Value& v, const std::string& where) { at(r) = v.as_string(where); }};
}

template <class A, class E>
Field choice(std::string key, A at, const Names<E>& names, std::string help) {
  return {
      std::move(key),
      "choice",
      choices_of(names),
      std::move(help),
      Shape::scalar,
      true,
      [at, &names](const Recipe& r) { return core::Value(name_in(names, at(r))); },
      [at, &names](Recipe& r, const core::Value& v, const std::string& where) { at(r) = choice_in(names, v, where); }};
}

template <class A>
Field texts(std::string key, A at, std::string help) {
  return {std::move(key),
          "list of texts",
          "",
          std::move(help),
          Shape::list,
          true,
          [at](const Recipe& r) {
            core::Value out = core::Value::array();
            for (const std::string& item : at(r)) out.push_back(item);
            return out;
          },
          [at](Recipe& r, const core::Value& v, const std::string& where) {
            std::vector<std::string> out;
            for (const core::Value& item : v.as_array(where)) out.push_back(item.as_string(where));
            at(r) = std::move(out);
          }};
}

template <class A>
Field reals(std::string key, A at, Range range, std::string help) {
  return {std::move(key),
          "list of numbers",
          range_text(range),
          std::move(help),
          Shape::list,
          false,
          [at](const Recipe& r) {
            core::Value out = core::Value::array();
            for (const double item : at(r)) out.push_back(item);
            return out;
          },
          [at, range](Recipe& r, const core::Value& v, const std::string& where) {
            std::vector<double> out;
            for (const core::Value& item : v.as_array(where)) {
              out.push_back(item.as_real(where));
              require_in(out.back(), range, where);
            }
            at(r) = std::move(out);
          }};
}

template <class A, class E>
Field choices(std::string key, A at, const Names<E>& names, std::string help) {
  return {std::move(key),
          "list of choices",
          choices_of(names),
          std::move(help),
          Shape::list,
          true,
          [at, &names](const Recipe& r) {
            core::Value out = core::Value::array();
            for (const E item : at(r)) out.push_back(name_in(names, item));
            return out;
          },
          [at, &names](Recipe& r, const core::Value& v, const std::string& where) {
            std::vector<E> out;
            for (const core::Value& item : v.as_array(where)) out.push_back(choice_in(names, item, where));
            at(r) = std::move(out);
          }};
}

Field configuration() {
  return {"model.configuration",
          "table",
          "",
          "single values of the network over its named configuration",
          Shape::tree,
          false,
          [](const Recipe& r) { return r.model.configuration; },
          [](Recipe& r, const core::Value& v, const std::string& where) {
            (void)v.as_object(where);
            r.model.configuration = v;
          }};
}

Field external() {
  return {"data.external",
          "list of tables",
          "",
          "folders of further stems: folder, stem, licence, probability",
          Shape::tables,
          false,
          [](const Recipe& r) {
            core::Value out = core::Value::array();
            for (const ExternalStems& e : r.data.external) {
              core::Value one = core::Value::object();
              one["folder"] = e.folder;
              one["stem"] = e.stem;
              one["licence"] = e.licence;
              one["probability"] = e.probability;
              out.push_back(std::move(one));
            }
            return out;
          },
          [](Recipe& r, const core::Value& v, const std::string& where) {
            std::vector<ExternalStems> all;
            for (const core::Value& one : v.as_array(where)) {
              core::reject_unknown_keys(one, {"folder", "stem", "licence", "probability"}, where);
              ExternalStems e;
              e.folder = one.at("folder", where).as_string(where + ".folder");
              e.stem = one.at("stem", where).as_string(where + ".stem");
              if (const core::Value* licence = one.find("licence")) e.licence = licence->as_string(where + ".licence");
              if (const core::Value* share = one.find("probability")) {
                e.probability = share->as_real(where + ".probability");
                require_in(e.probability, kShare, where + ".probability");
              }
              all.push_back(std::move(e));
            }
            r.data.external = std::move(all);
          }};
}

#define MSS_AT(member) \
  [](auto& r) -> auto& { return r.member; }

std::vector<Field> make_fields() {
  return {
      text("name", MSS_AT(name), "name of the recipe; that of its file unless given"),
      text("about", MSS_AT(about), "what it reproduces, on what data, at what cost"),
      integer("seed", MSS_AT(seed), Range{0, 9007199254740992.0, false}, "decides first weights and every random draw"),

      text("data.dataset", MSS_AT(data.dataset), "folder, name or synthetic spec of the data set; -d wins"),
      text("data.layout", MSS_AT(data.layout), "auto, stems, folders, mir1k or synthetic"),
      texts("data.tracks", MSS_AT(data.tracks), "names of the training tracks; empty = all"),
      integer("data.limit_tracks", MSS_AT(data.limit_tracks), kFromZero, "first n training tracks; 0 = all"),
      boolean("data.whole_train_subset", MSS_AT(data.whole_train_subset), "train on the validation tracks as well"),
      texts("data.stems", MSS_AT(data.stems), "sources of an example, in order; empty = the data set's"),
      integer("data.rate_hz", MSS_AT(data.rate_hz), Range{1000, 768000, false}, "sample rate of the model, Hz"),
      integer("data.channels", MSS_AT(data.channels), Range{1, 2, false}, "channels of an example"),
      real("data.crop_seconds", MSS_AT(data.crop_seconds), kSeconds, "length of an example, seconds"),
      integer("data.crop_samples", MSS_AT(data.crop_samples), kFromZero,
              "length of an example, samples; 0 = by seconds"),
      choice("data.sampling", MSS_AT(data.sampling), kSamplings, "how places are drawn"),
      integer("data.stride_samples", MSS_AT(data.stride_samples), kFromOne, "between windows of sampling = grid"),
      integer("data.samples_per_track", MSS_AT(data.samples_per_track), kFromOne, "examples per track and epoch"),
      integer("data.examples_per_epoch", MSS_AT(data.examples_per_epoch), kFromZero,
              "examples per epoch; 0 = samples_per_track, or all windows of the grid"),
      choice("data.normalisation", MSS_AT(data.normalisation), kNormalisations, "of whole tracks"),
      choice("data.activity", MSS_AT(data.activity), kRules, "rule of the source activity detector"),
      choice("data.activity_energy", MSS_AT(data.activity_energy), kEnergies, "energy in the paper's rule"),
      real("data.activity_seconds", MSS_AT(data.activity_seconds), kSeconds, "length of its segments, seconds"),
      integer("data.batch", MSS_AT(data.batch), Range{1, 65536, false}, "examples per batch"),
      integer("data.workers", MSS_AT(data.workers), Range{1, 1024, false}, "loader threads; they change no example"),
      integer("data.queue_batches", MSS_AT(data.queue_batches), Range{1, 4096, false}, "batches made ahead at most"),
      text("data.cache", MSS_AT(data.cache), "folder of the decoded cache; empty = the user's cache folder"),
      real("data.cache_gib", MSS_AT(data.cache_gib), Range{0, 1e9, true}, "size limit of the cache, GiB"),
      external(),

      real("augment.drop_probability", MSS_AT(augment.drop_probability), kShare, "that a source is silenced"),
      real("augment.channel_swap_probability", MSS_AT(augment.channel_swap_probability), kShare,
           "that a source's left and right change places"),
      real("augment.sign_flip_probability", MSS_AT(augment.sign_flip_probability), kShare,
           "that a source is multiplied by -1"),
      integer("augment.shift_samples", MSS_AT(augment.shift_samples), kFromZero,
              "each source is shifted by less than this (Demucs)"),
      boolean("augment.shift_together", MSS_AT(augment.shift_together), "all sources by the same"),
      real("augment.circular_shift_probability", MSS_AT(augment.circular_shift_probability), kShare,
           "that a stem is turned in time against the others (MIR-1K)"),
      text("augment.circular_shift_stem", MSS_AT(augment.circular_shift_stem), "which stem"),
      boolean("augment.peak", MSS_AT(augment.peak), "divide by the largest of mixture and stems (Band-split RNN)"),
      real("augment.remix.probability", MSS_AT(augment.remix.probability), kShare, "share of remixed examples"),
      text("augment.remix.keep", MSS_AT(augment.remix.keep), "stem that stays its own; empty = all are drawn"),
      boolean("augment.remix.distinct_songs", MSS_AT(augment.remix.distinct_songs), "all sources from different songs"),
      integer("augment.remix.group", MSS_AT(augment.remix.group), Range{0, 64, false},
              "permute sources inside groups of so many examples (Demucs: 4); 0 = draw them"),
      boolean("augment.remix.aligned", MSS_AT(augment.remix.aligned), "sources are fitted in beat and key"),
      real("augment.remix.tempo_limit_percent", MSS_AT(augment.remix.tempo_limit_percent), Range{0, 50, false},
           "aligned: largest change of tempo, %"),
      real("augment.remix.semitones", MSS_AT(augment.remix.semitones), Range{0, 6, false},
           "aligned: largest change of pitch"),
      real("augment.gain.probability", MSS_AT(augment.gain.probability), kShare, "that gains are drawn for an example"),
      boolean("augment.gain.decibels", MSS_AT(augment.gain.decibels), "low and high are decibels"),
      real("augment.gain.low", MSS_AT(augment.gain.low), kAny, "smallest gain of a source"),
      real("augment.gain.high", MSS_AT(augment.gain.high), kAny, "largest"),
      boolean("augment.gain.remixed_only", MSS_AT(augment.gain.remixed_only), "only in remixed examples"),
      boolean("augment.gain.joint", MSS_AT(augment.gain.joint), "one gain for all sources of an example"),
      real("augment.speech.probability", MSS_AT(augment.speech.probability), kShare, "that speech replaces the voice"),
      text("augment.speech.corpus", MSS_AT(augment.speech.corpus), "folder of speech files"),
      text("augment.speech.licence", MSS_AT(augment.speech.licence), "of the corpus, for the provenance"),
      choice("augment.speech.target", MSS_AT(augment.speech.target), kSpeechTargets,
             "thesis: the target keeps its level, as published"),
      real("augment.speech.low_db", MSS_AT(augment.speech.low_db), kAny,
           "lowest speech level over the accompaniment, dB"),
      real("augment.speech.high_db", MSS_AT(augment.speech.high_db), kAny, "highest"),
      text("augment.speech.stem", MSS_AT(augment.speech.stem), "stem that the speech replaces"),
      real("augment.stretch.probability", MSS_AT(augment.stretch.probability), kShare, "of new pitch and tempo"),
      real("augment.stretch.semitones", MSS_AT(augment.stretch.semitones), Range{0, 12, false},
           "largest pitch change, whole semitones"),
      real("augment.stretch.tempo_std_percent", MSS_AT(augment.stretch.tempo_std_percent), Range{0, 50, false},
           "standard deviation of the tempo change, %"),
      real("augment.stretch.tempo_limit_percent", MSS_AT(augment.stretch.tempo_limit_percent), Range{0, 50, false},
           "largest tempo change, %"),
      boolean("augment.stretch.per_source", MSS_AT(augment.stretch.per_source), "drawn for every source by itself"),
      boolean("augment.stretch.clip", MSS_AT(augment.stretch.clip), "clip at +-1 as Demucs v2 does"),
      text("augment.stretch.speech_stem", MSS_AT(augment.stretch.speech_stem), "stem with the speech setting"),
      texts("augment.stretch.static_copies", MSS_AT(augment.stretch.static_copies),
            "further copies of every track: pitch+2, tempo0.9, speed1.1, shift+1, …"),
      real("augment.spec.probability", MSS_AT(augment.spec.probability), kShare, "of SpecAugment on input features"),
      integer("augment.spec.frequency_masks", MSS_AT(augment.spec.frequency_masks), Range{0, 64, false}, "number"),
      integer("augment.spec.time_masks", MSS_AT(augment.spec.time_masks), Range{0, 64, false}, "number"),
      real("augment.spec.frequency_share", MSS_AT(augment.spec.frequency_share), kShare, "widest, as a share of bins"),
      integer("augment.spec.time_frames", MSS_AT(augment.spec.time_frames), kFromZero, "widest, frames"),
      real("augment.spec.time_share", MSS_AT(augment.spec.time_share), kShare, "and at most this share of the frames"),

      text("model.family", MSS_AT(model.family), "name of a network's method: umx, demucs, bsrnn, …"),
      text("model.preset", MSS_AT(model.preset), "named configuration; empty = the family's default"),
      texts("model.targets", MSS_AT(model.targets), "what the network yields, in order; empty = all stems"),
      text("model.weights", MSS_AT(model.weights), "first weights: a file or a run; empty = random"),
      boolean("model.weights_strict", MSS_AT(model.weights_strict), "all tensors must be there and fit"),
      texts("model.freeze", MSS_AT(model.freeze), "name patterns (*, ?) of parameters that are not trained"),
      boolean("model.statistics", MSS_AT(model.statistics), "Open-Unmix: input scaler from the training set"),
      integer("model.statistics_tracks", MSS_AT(model.statistics_tracks), kFromZero,
              "from its first n tracks; 0 = all"),
      boolean("model.checkpointing", MSS_AT(model.checkpointing), "recompute activations to save memory"),
      configuration(),

      choices("loss.terms", MSS_AT(loss.terms), kTerms, "terms of the loss"),
      reals("loss.weights", MSS_AT(loss.weights), kFromZero, "one per term; empty = all 1"),
      reals("loss.target_weights", MSS_AT(loss.target_weights), kFromZero, "one per target; empty = all equal"),
      boolean("loss.combinations", MSS_AT(loss.combinations), "xumx: over combinations of sources"),
      real("loss.time_weight", MSS_AT(loss.time_weight), kFromZero, "xumx: of its time part"),
      integer("loss.trim_samples", MSS_AT(loss.trim_samples), kFromZero,
              "xumx: left out at both ends of the time part"),
      integer("loss.fft_samples", MSS_AT(loss.fft_samples), Range{0, 1 << 20, false},
              "spectral terms; 0 = the model's"),
      integer("loss.hop_samples", MSS_AT(loss.hop_samples), Range{0, 1 << 20, false}, "0 = the model's"),

      choice("optimiser.kind", MSS_AT(optimiser.kind), kOptimisers, "optimiser"),
      real("optimiser.rate", MSS_AT(optimiser.rate), kPositive, "learning rate"),
      real("optimiser.beta1", MSS_AT(optimiser.beta1), Range{0, 0.9999999, false}, "Adam, AdamW"),
      real("optimiser.beta2", MSS_AT(optimiser.beta2), Range{0, 0.9999999, false}, "Adam, AdamW"),
      real("optimiser.alpha", MSS_AT(optimiser.alpha), Range{0, 0.9999999, false}, "RMSprop: smoothing"),
      real("optimiser.momentum", MSS_AT(optimiser.momentum), Range{0, 0.9999999, false}, "RMSprop"),
      real("optimiser.epsilon", MSS_AT(optimiser.epsilon), kPositive, "added to the denominator"),
      real("optimiser.weight_decay", MSS_AT(optimiser.weight_decay), kFromZero,
           "L2 in the gradient (adam, rmsprop), decoupled (adamw)"),
      real("optimiser.clip_norm", MSS_AT(optimiser.clip_norm), kFromZero, "largest norm of all gradients; 0 = none"),
      integer("optimiser.accumulation", MSS_AT(optimiser.accumulation), Range{1, 65536, false}, "batches per step"),
      real("optimiser.ema_decay", MSS_AT(optimiser.ema_decay), Range{0, 0.99999999, false},
           "0 = no average of weights"),
      choice("optimiser.ema_clock", MSS_AT(optimiser.ema_clock), kClocks, "when the average is updated"),
      boolean("optimiser.ema_unbiased", MSS_AT(optimiser.ema_unbiased), "first weights do not count (Demucs)"),
      choice("optimiser.precision", MSS_AT(optimiser.precision), kPrecisions,
             "bf16: autocast, STFT and loss in float32"),
      choice("optimiser.schedule.kind", MSS_AT(optimiser.schedule.kind), kSchedules, "of the learning rate"),
      choice("optimiser.schedule.clock", MSS_AT(optimiser.schedule.clock), kClocks, "unit of every, length, warm-up"),
      real("optimiser.schedule.factor", MSS_AT(optimiser.schedule.factor), Range{0, 1, true},
           "step, exponential, plateau"),
      integer("optimiser.schedule.every", MSS_AT(optimiser.schedule.every), kFromOne, "step, exponential"),
      integer("optimiser.schedule.length", MSS_AT(optimiser.schedule.length), kFromZero, "cosine; 0 = the budget's"),
      real("optimiser.schedule.floor", MSS_AT(optimiser.schedule.floor), kFromZero, "smallest rate: cosine, plateau"),
      integer("optimiser.schedule.patience", MSS_AT(optimiser.schedule.patience), kFromZero, "plateau"),
      integer("optimiser.schedule.cooldown", MSS_AT(optimiser.schedule.cooldown), kFromZero, "plateau"),
      real("optimiser.schedule.threshold", MSS_AT(optimiser.schedule.threshold), Range{0, 0.999, false}, "plateau"),
      choice("optimiser.schedule.warm_up", MSS_AT(optimiser.schedule.warm_up), kWarmUps, "form of the warm-up"),
      integer("optimiser.schedule.warm_up_length", MSS_AT(optimiser.schedule.warm_up_length), kFromZero, "its length"),
      real("optimiser.schedule.warm_up_factor", MSS_AT(optimiser.schedule.warm_up_factor), Range{0, 1, false},
           "linear: first share of the rate; exponential: base"),

      choice("validation.split", MSS_AT(validation.split), kSplits, "which tracks are held out"),
      texts("validation.tracks", MSS_AT(validation.tracks), "split = names"),
      integer("validation.hash_tracks", MSS_AT(validation.hash_tracks), kFromOne, "split = hash: number of tracks"),
      choice("validation.crop", MSS_AT(validation.crop), kCrops, "pieces, or whole tracks"),
      real("validation.crop_seconds", MSS_AT(validation.crop_seconds), Range{0, 86400, false},
           "of pieces; 0 = as in training"),
      integer("validation.examples", MSS_AT(validation.examples), kFromZero, "at most so many; 0 = all"),
      integer("validation.every", MSS_AT(validation.every), kFromOne, "epochs between validation losses"),
      integer("validation.scores_every", MSS_AT(validation.scores_every), kFromZero,
              "epochs between scorings of whole tracks; 0 = never"),
      integer("validation.score_tracks", MSS_AT(validation.score_tracks), kFromZero, "first n tracks; 0 = all"),
      choice("validation.monitor", MSS_AT(validation.monitor), kMonitors, "what decides which weights are best"),
      integer("validation.patience", MSS_AT(validation.patience), kFromZero,
              "validations without a better; 0 = no end"),
      real("validation.min_delta", MSS_AT(validation.min_delta), kFromZero, "better by more than this"),
      real("validation.excerpt_seconds", MSS_AT(validation.excerpt_seconds), kFromZero, "of pictures and audio logged"),

      integer("budget.steps", MSS_AT(budget.steps), kFromZero, "steps; 0 = no limit"),
      integer("budget.epochs", MSS_AT(budget.epochs), kFromZero, "epochs; 0 = no limit"),
      real("budget.minutes", MSS_AT(budget.minutes), kFromZero, "minutes of training; 0 = no limit"),
      integer("budget.save_every_steps", MSS_AT(budget.save_every_steps), kFromZero, "besides every epoch; 0 = none"),
      real("budget.save_every_minutes", MSS_AT(budget.save_every_minutes), kFromZero, "besides every epoch; 0 = none"),
      boolean("budget.deterministic", MSS_AT(budget.deterministic), "deterministic operators where a GPU has them"),

      boolean("semi.enabled", MSS_AT(semi.enabled), "fine-tune with a teacher on music without stems"),
      text("semi.folder", MSS_AT(semi.folder), "folder of that music: audio files, each a mixture"),
      text("semi.dataset", MSS_AT(semi.dataset), "data set of which the mixtures are that music"),
      text("semi.licence", MSS_AT(semi.licence), "of that music, for the provenance"),
      real("semi.clean_db", MSS_AT(semi.clean_db), Range{0, 200, true},
           "a segment whose target or residual is so far below it is clean, dB"),
  };
}

#undef MSS_AT

const std::vector<Field>& fields() {
  static const std::vector<Field> all = make_fields();
  return all;
}

const Field* field_of(std::string_view key) {
  for (const Field& field : fields()) {
    if (field.key == key) return &field;
  }
  return nullptr;
}

bool is_table(std::string_view key) {
  const std::string start = std::string(key) + ".";
  return std::any_of(fields().begin(), fields().end(), [&](const Field& f) { return f.key.starts_with(start); });
}

/// What users of other programs write for a key of ours.
const std::map<std::string, std::string, std::less<>> kOtherNames{{"lr", "optimiser.rate"},
                                                                  {"learning_rate", "optimiser.rate"},
                                                                  {"batch_size", "data.batch"},
                                                                  {"seq_dur", "data.crop_seconds"},
                                                                  {"segment", "data.crop_seconds"},
                                                                  {"num_workers", "data.workers"},
                                                                  {"max_epochs", "budget.epochs"},
                                                                  {"max_steps", "budget.steps"},
                                                                  {"mix_prob", "augment.remix.probability"},
                                                                  {"grad_clip", "optimiser.clip_norm"},
                                                                  {"scheduler", "optimiser.schedule.kind"},
                                                                  {"type", "optimiser.kind"},
                                                                  {"method", "model.family"},
                                                                  {"name", "model.family"},
                                                                  {"kind", "loss.terms"}};

[[noreturn]] void unknown_key(std::string_view key, const std::string& where) {
  std::vector<std::string> known;
  for (const Field& field : fields()) {
    known.push_back(field.key);
    for (std::size_t dot = field.key.find('.'); dot != std::string::npos; dot = field.key.find('.', dot + 1)) {
      known.push_back(field.key.substr(0, dot));
    }
  }
  const std::size_t dot = key.rfind('.');
  const std::string last(dot == std::string_view::npos ? key : key.substr(dot + 1));
  std::string hint;
  if (const auto other = kOtherNames.find(last); other != kOtherNames.end()) {
    hint = "did you mean '" + other->second + "'?";
  } else {
    hint = core::did_you_mean(key, known);
    for (const Field& field : fields()) {  // right name, wrong section
      if (hint.empty() && field.key.ends_with("." + last)) hint = "did you mean '" + field.key + "'?";
    }
  }
  throw Error({Code::config, where, "unknown key '" + std::string(key) + "'",
               "a key of a recipe (docs/training-data.md lists them)", "", hint});
}

void take(ResolvedRecipe& out, const core::Value& value, const std::string& prefix, const std::string& where) {
  for (const auto& [name, member] : value.as_object(where)) {
    const std::string key = prefix.empty() ? name : prefix + "." + name;
    if (const Field* field = field_of(key)) {
      field->set(out.recipe, member, where + ": " + key);
      out.origin[key] = Origin::file;
      if (field->shape == Shape::tree) {
        for (const auto& [inner, unused] : member.as_object()) out.origin[key + "." + inner] = Origin::file;
      }
    } else if (is_table(key)) {
      if (!member.is_object()) {
        throw Error({Code::config, where + ": " + key, "wrong type", "a table", std::string(member.type_name()), ""});
      }
      take(out, member, key, where);
    } else {
      unknown_key(key, where);
    }
  }
}

/// The value of an override: TOML where it is TOML, else text.
core::Value override_value(std::string_view text, const Field* field, const std::string& where) {
  core::Value value;
  bool is_toml = false;
  if (text.find('\n') == std::string_view::npos) {
    try {
      const core::Value parsed = core::parse_toml("value = " + std::string(text), where);
      if (parsed.size() == 1) {
        value = parsed.at("value");
        is_toml = true;
      }
    } catch (const Error&) {
      is_toml = false;  // plain text
    }
  }
  if (field == nullptr) return is_toml ? value : core::Value(std::string(text));
  if (field->shape == Shape::list) {
    if (is_toml && value.is_array()) return value;
    core::Value list = core::Value::array();
    if (core::trim(text).empty()) return list;
    for (const std::string& item : core::split(text, ',')) {
      const std::string trimmed(core::trim(item));
      if (field->text) {
        list.push_back(trimmed);
      } else {
        const core::Value parsed = core::parse_toml("value = " + trimmed, where);
        list.push_back(parsed.at("value"));
      }
    }
    return list;
  }
  if (field->text && !(is_toml && value.is_string())) return core::Value(std::string(text));
  return is_toml ? value : core::Value(std::string(text));
}

std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      constexpr char digits[] = "0123456789ABCDEF";
      out += "\\u00";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string toml_key(const std::string& key) {
  const bool bare =
      !key.empty() &&
      key.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == std::string::npos;
  return bare ? key : toml_text(key);
}

std::string toml_value(const core::Value& value) {
  if (value.is_bool()) return value.as_bool() ? "true" : "false";
  if (value.is_integer()) return std::to_string(value.as_integer());
  if (value.is_real()) {
    std::string out = core::format_real(value.as_real());
    if (out.find_first_not_of("-0123456789") == std::string::npos) out += ".0";
    return out;
  }
  if (value.is_string()) return toml_text(value.as_string());
  std::vector<std::string> parts;
  if (value.is_array()) {
    for (const core::Value& item : value.as_array()) parts.push_back(toml_value(item));
    return "[" + core::join(parts, ", ") + "]";
  }
  if (value.is_object()) {
    for (const auto& [key, member] : value.as_object()) parts.push_back(toml_key(key) + " = " + toml_value(member));
    return "{" + core::join(parts, ", ") + "}";
  }
  return "\"\"";
}

[[noreturn]] void misfit(std::string_view where, const std::string& key, const std::string& what,
                         const std::string& expected, const std::string& found, const std::string& hint = {}) {
  throw Error({Code::config, std::string(where) + ": " + key, what, expected, found, hint});
}

}  // namespace

std::int64_t Recipe::crop_samples() const noexcept {
  if (data.crop_samples > 0) return data.crop_samples;
  return std::llround(data.crop_seconds * static_cast<double>(data.rate_hz));
}

std::string_view origin_name(Origin origin) noexcept {
  switch (origin) {
    case Origin::standard:
      return "default";
    case Origin::file:
      return "recipe";
    case Origin::command_line:
      return "command line";
  }
  return "";
}

std::string_view name_of(LossTerm term) noexcept { return name_in(kTerms, term); }
std::string_view name_of(OptimiserKind kind) noexcept { return name_in(kOptimisers, kind); }
std::string_view name_of(ScheduleKind kind) noexcept { return name_in(kSchedules, kind); }
std::string_view name_of(Monitor monitor) noexcept { return name_in(kMonitors, monitor); }
std::string_view name_of(Precision precision) noexcept { return name_in(kPrecisions, precision); }

void ResolvedRecipe::set(std::string_view key, std::string_view value) {
  const std::string where = "--recipe " + std::string(key) + "=" + std::string(value);
  constexpr std::string_view kTree = "model.configuration.";
  if (key.starts_with(kTree) && key.size() > kTree.size()) {
    recipe.model.configuration[key.substr(kTree.size())] = override_value(value, nullptr, where);
  } else if (const Field* field = field_of(key)) {
    field->set(recipe, override_value(value, field, where), where);
  } else if (is_table(key)) {
    throw Error({Code::config, where, "'" + std::string(key) + "' is a section", "section.key=value", "", ""});
  } else {
    unknown_key(key, where);
  }
  origin[std::string(key)] = Origin::command_line;
}

ResolvedRecipe parse_recipe(std::string_view text, std::string_view name, const std::vector<std::string>& overrides) {
  ResolvedRecipe out;
  const core::Value tree = core::parse_toml(text, name);
  take(out, tree, "", std::string(name));
  for (const std::string& override : overrides) {
    const std::size_t equals = override.find('=');
    if (equals == std::string::npos) {
      throw Error({Code::config, "--recipe " + override, "no value", "section.key=value", "'" + override + "'", ""});
    }
    out.set(core::trim(std::string_view(override).substr(0, equals)),
            core::trim(std::string_view(override).substr(equals + 1)));
  }
  if (out.recipe.name.empty()) {
    std::filesystem::path stem = std::filesystem::path(name).filename();
    if (stem.extension() == ".toml") stem = stem.stem();
    out.recipe.name = stem.string();
  }
  check_recipe(out.recipe, name);
  return out;
}

ResolvedRecipe read_recipe(const std::string& where, const std::vector<std::string>& overrides) {
  const bool a_name = where.find('/') == std::string::npos && !where.ends_with(".toml");
  if (a_name) {
    if (const ShippedRecipe* shipped = shipped_recipe(where)) {
      return parse_recipe(shipped->text, where + ".toml", overrides);
    }
  }
  std::error_code ignored;
  if (a_name && !std::filesystem::exists(where, ignored)) {
    throw Error({Code::config, where, "no such recipe", "a TOML file, or one of " + core::join(shipped_recipes(), ", "),
                 "", core::did_you_mean(where, shipped_recipes())});
  }
  ResolvedRecipe out = parse_recipe(core::read_text_file(where, std::uint64_t{16} << 20), where, overrides);
  out.file = where;
  return out;
}

std::vector<std::string> shipped_recipes() {
  std::vector<std::string> names;
  for (int i = 0; i < kShippedRecipeCount; ++i) names.emplace_back(kShippedRecipes[i].name);
  std::sort(names.begin(), names.end());
  return names;
}

void check_recipe(const Recipe& r, std::string_view where) {
  const auto number = [](std::int64_t n) { return std::to_string(n); };
  if (r.crop_samples() < 1) misfit(where, "data.crop_seconds", "an example has no samples", "at least one sample", "0");
  if (r.data.sampling == Sampling::activity && r.data.activity == ActivityRule::none) {
    misfit(where, "data.activity", "sampling = \"activity\" needs a rule", "paper or amanteur", "none");
  }
  if (r.data.sampling == Sampling::activity) {
    const auto segment = std::llround(r.data.activity_seconds * static_cast<double>(r.data.rate_hz));
    if (segment < r.crop_samples()) {
      misfit(where, "data.activity_seconds", "segments are shorter than an example",
             "at least " + number(r.crop_samples()) + " samples", number(segment));
    }
  }
  const std::vector<std::string>& stems = r.data.stems;
  for (std::size_t i = 0; i < stems.size(); ++i) {
    if (std::find(stems.begin(), stems.begin() + static_cast<std::ptrdiff_t>(i), stems[i]) !=
        stems.begin() + static_cast<std::ptrdiff_t>(i)) {
      misfit(where, "data.stems", "a stem is named twice", "different names", "'" + stems[i] + "'");
    }
  }
  const auto require_stem = [&](const std::string& key, const std::string& stem, bool used) {
    if (!used || stems.empty() || stem.empty()) return;
    if (std::find(stems.begin(), stems.end(), stem) != stems.end()) return;
    misfit(where, key, "no such stem", "one of " + core::join(stems, ", "), "'" + stem + "'",
           core::did_you_mean(stem, stems));
  };
  const AugmentRecipe& a = r.augment;
  require_stem("augment.remix.keep", a.remix.keep, a.remix.probability > 0);
  require_stem("augment.speech.stem", a.speech.stem, a.speech.probability > 0);
  for (const ExternalStems& e : r.data.external) require_stem("data.external", e.stem, true);
  if (a.remix.group == 1) misfit(where, "augment.remix.group", "a group of one", "0, or 2 and more", "1");
  if (a.remix.group > 1 && r.data.batch % a.remix.group != 0) {
    misfit(where, "augment.remix.group", "groups do not divide the batch",
           "a divisor of data.batch = " + number(r.data.batch), number(a.remix.group));
  }
  if (a.remix.group > 1 && (!a.remix.keep.empty() || a.remix.distinct_songs)) {
    misfit(where, "augment.remix.group", "groups permute all sources", "neither `keep` nor `distinct_songs` with it",
           a.remix.keep.empty() ? "distinct_songs" : "keep");
  }
  if (a.remix.aligned) {
    const bool moved = a.shift_samples > 0 || a.circular_shift_probability > 0 || a.stretch.probability > 0;
    if (moved || a.remix.group > 1 || !r.data.external.empty()) {
      misfit(where, "augment.remix.aligned", "something else moves or brings in sources",
             "no shift, circular shift, stretch, group and external stems beside it",
             a.remix.group > 1 ? "group"
             : moved           ? "shift, circular shift or stretch"
                               : "external");
    }
    if (!(a.remix.probability > 0)) {
      misfit(where, "augment.remix.aligned", "nothing is remixed", "augment.remix.probability > 0", "0");
    }
  }
  if (!r.data.external.empty() && (!(a.remix.probability > 0) || a.remix.group > 1)) {
    misfit(where, "data.external", "external stems come in by remixing",
           "augment.remix.probability > 0 and augment.remix.group = 0",
           core::format_real(a.remix.probability) + " and " + number(a.remix.group));
  }
  if (a.gain.low > a.gain.high || (!a.gain.decibels && a.gain.low < 0)) {
    misfit(where, "augment.gain", "bad range", a.gain.decibels ? "low <= high" : "0 <= low <= high",
           core::format_real(a.gain.low) + " … " + core::format_real(a.gain.high));
  }
  if (a.speech.probability > 0 && a.speech.corpus.empty()) {
    misfit(where, "augment.speech.corpus", "speech is to be drawn from nowhere", "a folder of speech files", "none");
  }
  if (a.speech.low_db > a.speech.high_db) {
    misfit(where, "augment.speech", "bad range", "low_db <= high_db",
           core::format_real(a.speech.low_db) + " … " + core::format_real(a.speech.high_db));
  }
  if (r.semi.enabled && a.speech.probability > 0 && a.speech.target == SpeechTarget::thesis) {
    misfit(where, "semi.enabled", "targets at the wrong level cannot be mixed anew", "augment.speech.target = correct",
           "thesis");
  }
  if (r.semi.enabled && r.model.targets.size() > 1) {
    misfit(where, "semi.enabled", "a teacher tells one target from the rest", "one of model.targets",
           std::to_string(r.model.targets.size()));
  }
  if (!r.semi.enabled && (!r.semi.folder.empty() || !r.semi.dataset.empty())) {
    misfit(where, "semi.enabled", "music without stems that nothing uses",
           "true, or neither semi.folder nor semi.dataset", "false");
  }
  if (r.loss.terms.empty()) misfit(where, "loss.terms", "no term", "at least one", "none");
  if (!r.loss.weights.empty() && r.loss.weights.size() != r.loss.terms.size()) {
    misfit(where, "loss.weights", "not as many as terms", std::to_string(r.loss.terms.size()),
           std::to_string(r.loss.weights.size()));
  }
  if (!r.loss.target_weights.empty() && !r.model.targets.empty() &&
      r.loss.target_weights.size() != r.model.targets.size()) {
    misfit(where, "loss.target_weights", "not as many as targets", std::to_string(r.model.targets.size()),
           std::to_string(r.loss.target_weights.size()));
  }
  if (r.loss.hop_samples > 0 && r.loss.fft_samples > 0 && r.loss.hop_samples > r.loss.fft_samples) {
    misfit(where, "loss.hop_samples", "more than the transform", "at most " + number(r.loss.fft_samples),
           number(r.loss.hop_samples));
  }
  const ScheduleRecipe& s = r.optimiser.schedule;
  if (s.kind == ScheduleKind::plateau && s.factor >= 1) {
    misfit(where, "optimiser.schedule.factor", "a plateau lowers the rate", "a number in (0,1)",
           core::format_real(s.factor));
  }
  const std::int64_t budget_length = s.clock == Clock::step ? r.budget.steps : r.budget.epochs;
  if (s.kind == ScheduleKind::cosine && s.length == 0 && budget_length == 0) {
    misfit(where, "optimiser.schedule.length", "cosine needs a length",
           std::string("length, or budget.") + (s.clock == Clock::step ? "steps" : "epochs"), "neither");
  }
  if (s.warm_up != WarmUp::none && s.warm_up_length == 0) {
    misfit(where, "optimiser.schedule.warm_up_length", "a warm-up of no length", "at least 1", "0");
  }
  if (r.validation.split == ValidationSplit::names && r.validation.tracks.empty()) {
    misfit(where, "validation.tracks", "split = \"names\" without names", "names of tracks", "none");
  }
  if (r.validation.split == ValidationSplit::none && r.validation.patience > 0) {
    misfit(where, "validation.patience", "early stopping without validation", "0, or validation tracks",
           number(r.validation.patience));
  }
  if (r.validation.split == ValidationSplit::none && s.kind == ScheduleKind::plateau) {
    misfit(where, "optimiser.schedule.kind", "plateau without validation", "validation tracks", "split = \"none\"");
  }
  if (r.validation.monitor != Monitor::loss && r.validation.scores_every == 0) {
    misfit(where, "validation.monitor", "scores are watched but never made", "validation.scores_every >= 1", "0");
  }
  if (r.budget.steps == 0 && r.budget.epochs == 0 && !(r.budget.minutes > 0)) {
    misfit(where, "budget", "the run would never end", "steps, epochs or minutes", "none of them",
           "give one, e.g. --recipe budget.minutes=10");
  }
}

core::Value to_value(const Recipe& recipe) {
  core::Value out = core::Value::object();
  for (const Field& field : fields()) {
    core::Value* at = &out;
    std::string_view rest = field.key;
    for (std::size_t dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
      at = &(*at)[rest.substr(0, dot)];
      rest.remove_prefix(dot + 1);
    }
    (*at)[rest] = field.get(recipe);
  }
  return out;
}

std::string to_toml(const ResolvedRecipe& resolved, bool origins) {
  std::string out, section;
  // Keys of the top, then section by section; lists of tables and trees are tables of their own, so they end a section.
  std::vector<const Field*> order;
  for (const Field& field : fields()) order.push_back(&field);
  const auto comment = [&](const std::string& key) {
    if (!origins) return std::string();
    const auto found = resolved.origin.find(key);
    return "  # " + std::string(origin_name(found == resolved.origin.end() ? Origin::standard : found->second));
  };
  for (const Field* field : order) {
    const std::size_t dot = field->key.rfind('.');
    const std::string table = dot == std::string::npos ? "" : field->key.substr(0, dot);
    const std::string name = dot == std::string::npos ? field->key : field->key.substr(dot + 1);
    const core::Value value = field->get(resolved.recipe);
    if (field->shape == Shape::tables) {
      for (const core::Value& one : value.as_array()) {
        out += "\n[[" + field->key + "]]" + comment(field->key) + "\n";
        for (const auto& [key, member] : one.as_object()) out += toml_key(key) + " = " + toml_value(member) + "\n";
        section = field->key;
      }
      continue;
    }
    if (field->shape == Shape::tree) {
      if (value.size() > 0) {
        out += "\n[" + field->key + "]\n";
        for (const auto& [key, member] : value.as_object()) {
          out += toml_key(key) + " = " + toml_value(member) + comment(field->key + "." + key) + "\n";
        }
        section = field->key;
      }
      continue;
    }
    if (table != section) {
      out += "\n[" + table + "]\n";
      section = table;
    }
    out += name + " = " + toml_value(value) + comment(field->key) + "\n";
  }
  return out;
}

std::vector<KeyDescription> describe() {
  const auto standard = std::make_unique<const Recipe>();
  std::vector<KeyDescription> out;
  for (const Field& field : fields()) {
    out.push_back({field.key, field.type, toml_value(field.get(*standard)), field.range, field.help});
  }
  return out;
}

}  // namespace mss::training
