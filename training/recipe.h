// Recipes: everything that decides what a training run does, as one TOML file.
//
//   name = "umx-paper"          seed = 42
//   [data]        where the audio comes from, how examples are cut from it, batches
//   [augment]     what is drawn at random on top; tables [augment.remix], [augment.speech], [augment.stretch], …
//   [model]       the network: family, named configuration, single values, targets, first weights, what is frozen
//   [loss]        terms and their weights
//   [optimiser]   optimiser, learning rate and its schedule, clipping, accumulation, EMA, precision
//   [validation]  which tracks, how often, what is watched, early stopping
//   [budget]      when the run ends, how often it saves
//   [semi]        music without stems beside the data set, for a teacher to tell apart (semi.h)
//
// Every key has a default; docs/training-data.md and `describe()` list them. An unknown key, a wrong type or a value out of
// its range is Error(config) that names file, section and key, with the nearest known name. What a run was made from is
// kept beside each value: default, recipe file or command line. A resolved recipe, written by to_toml(), parses back to
// the same recipe.
//
// Thread-safety: values and pure functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/value.h"

namespace mss::training {

/// How the place of an example's first source is found.
enum class Sampling {
  random,   ///< a track drawn uniformly with replacement, a uniform start in it
  grid,     ///< every window of the data set once an epoch in random order (Demucs): starts 0, stride, 2 stride, …
  activity  ///< a segment drawn from those in which the track's stem is active (activity.h), a uniform start in it
};
/// What the stems of a track are divided by before anything else.
enum class Normalisation {
  none,
  track  ///< (x - mean) / std of the whole track's mono mixture, unbiased std (Demucs)
};
enum class ActivityRule { none, paper, amanteur };    ///< activity.h
enum class ActivityEnergy { rms, mean_square, sum };  ///< of the paper's rule
enum class SpeechTarget { correct, thesis };          ///< augment.h, speech_remix()

/// A folder of stems outside the data set, as a further source of one stem.
struct ExternalStems {
  std::string folder{};      ///< audio files in it and below it
  std::string stem{};        ///< which of the recipe's stems they are
  std::string licence{};     ///< as the user states it; goes into the provenance
  double probability = 0.5;  ///< that a source of that stem is drawn from here where it is drawn at random
  friend bool operator==(const ExternalStems&, const ExternalStems&) = default;
};

struct DataRecipe {
  std::string dataset{};              ///< as datasets::open() takes it; `-d` wins; empty: `-d` is needed
  std::string layout = "auto";        ///< auto|stems|folders|mir1k|synthetic
  std::vector<std::string> tracks{};  ///< names; empty = all of the training split
  std::int64_t limit_tracks = 0;      ///< first n of those; 0 = all
  bool whole_train_subset = false;    ///< the validation tracks are trained on as well (stated in the run)
  std::vector<std::string> stems{};   ///< the sources S of an example, in order; empty = the data set's
  std::int64_t rate_hz = 44100;       ///< of the model; other rates are resampled into the cache
  std::int64_t channels = 2;          ///< 1: the mean of the channels; 2: mono is doubled
  double crop_seconds = 6;            ///< T = round(crop_seconds * rate_hz), unless crop_samples is given
  std::int64_t crop_samples = 0;      ///< > 0: T itself
  Sampling sampling = Sampling::random;
  std::int64_t stride_samples = 44100;  ///< sampling = grid
  std::int64_t samples_per_track = 64;  ///< examples per epoch = tracks * this, for random sampling
  std::int64_t examples_per_epoch = 0;  ///< > 0: the number itself
  Normalisation normalisation = Normalisation::none;
  ActivityRule activity = ActivityRule::none;  ///< must be set for sampling = activity
  ActivityEnergy activity_energy = ActivityEnergy::rms;
  double activity_seconds = 6;  ///< L of activity.h
  std::int64_t batch = 16;
  std::int64_t workers = 2;               ///< loader threads; changes no example
  std::int64_t queue_batches = 4;         ///< batches made ahead
  std::string cache{};                    ///< folder; empty = cache_folder() of cache.h
  double cache_gib = 64;                  ///< size limit of the cache
  std::vector<ExternalStems> external{};  ///< [[data.external]]
  friend bool operator==(const DataRecipe&, const DataRecipe&) = default;
};

/// Cacophony: an example whose sources come from different songs.
struct RemixRecipe {
  double probability = 0;       ///< mix_prob: share of examples that are remixed
  std::string keep{};           ///< this stem stays that of the example's own track; empty: all are drawn (Open-Unmix)
  bool distinct_songs = false;  ///< all sources from different songs (as many as there are songs)
  std::int64_t group = 0;       ///< > 0: Demucs' remix instead: sources permuted inside groups of so many examples
  /// Songs are drawn until beats and keys fit, then stretched, transposed and shifted onto the kept stem's song (align.h).
  bool aligned = false;
  double tempo_limit_percent = 15;  ///< aligned: largest change of tempo
  double semitones = 3;             ///< aligned: largest change of pitch
  friend bool operator==(const RemixRecipe&, const RemixRecipe&) = default;
};
/// One gain per source: uniform in decibels or in amplitude.
struct GainRecipe {
  double probability = 0;
  bool decibels = false;  ///< low and high are dB
  double low = 0.25, high = 1.25;
  bool remixed_only = false;  ///< only sources of remixed examples
  bool joint = false;         ///< one gain for all sources of an example (amanteur)
  friend bool operator==(const GainRecipe&, const GainRecipe&) = default;
};
/// Speech in the place of the vocals (the thesis on remixing).
struct SpeechRecipe {
  double probability = 0;
  std::string corpus{};  ///< folder of speech files
  std::string licence{};
  SpeechTarget target = SpeechTarget::correct;
  double low_db = -5, high_db = 15;  ///< speech over accompaniment
  std::string stem = "vocals";       ///< that the speech replaces
  friend bool operator==(const SpeechRecipe&, const SpeechRecipe&) = default;
};
/// Pitch and tempo by SoundTouch, the same for all sources of an example's own track (Demucs' repitch).
struct StretchRecipe {
  double probability = 0;
  double semitones = 2;          ///< whole semitones, uniform in [-n, n]
  double tempo_std_percent = 5;  ///< normal
  double tempo_limit_percent = 12;
  bool per_source = false;                   ///< drawn for every source by itself
  bool clip = false;                         ///< hard-clip at +-1, as Demucs v2 does to its normalised audio
  std::string speech_stem = "vocals";        ///< gets the stretcher's speech setting; empty = none
  std::vector<std::string> static_copies{};  ///< more tracks: "pitch+2", "speed0.9", "shift+1", … (augment.h)
  friend bool operator==(const StretchRecipe&, const StretchRecipe&) = default;
};
/// SpecAugment on the network's input features; applied by the training step, with spec_masks() of augment.h.
struct SpecAugmentRecipe {
  double probability = 0;
  std::int64_t frequency_masks = 2, time_masks = 2;
  double frequency_share = 27.0 / 80.0;  ///< widest frequency mask as a share of F (27 of 80 mel bins in the paper)
  std::int64_t time_frames = 100;        ///< widest time mask
  double time_share = 0.2;               ///< and at most this share of the frames
  friend bool operator==(const SpecAugmentRecipe&, const SpecAugmentRecipe&) = default;
};

struct AugmentRecipe {
  RemixRecipe remix{};
  GainRecipe gain{};
  double drop_probability = 0;            ///< a source is silenced, each by itself
  double channel_swap_probability = 0;    ///< left and right of a source
  double sign_flip_probability = 0;       ///< of a source
  std::int64_t shift_samples = 0;         ///< each source starts at a uniform offset in [0, n) (Demucs)
  bool shift_together = false;            ///< the same offset for all sources of an example
  double circular_shift_probability = 0;  ///< the accompaniment is turned in time against the voice (MIR-1K)
  std::string circular_shift_stem = "accompaniment";  ///< a stem, or a sum of stems, which are then turned together
  bool peak = false;  ///< stems divided by max(max|mixture|, max|stem|) after mixing (Band-split RNN)
  SpeechRecipe speech{};
  StretchRecipe stretch{};
  SpecAugmentRecipe spec{};
  friend bool operator==(const AugmentRecipe&, const AugmentRecipe&) = default;
};

struct ModelRecipe {
  std::string family{};  ///< name of a network's method: umx, demucs, bsrnn, …
  std::string preset{};  ///< named configuration of the family ("light", "v7", …); empty = its default
  core::Value configuration = core::Value::object();  ///< [model.configuration]: single values over the preset's
  std::vector<std::string> targets{};                 ///< what the network yields, in order; empty = all stems
  std::string weights{};               ///< warm start: any weights file or run that the family reads; empty = random
  bool weights_strict = true;          ///< false: tensors that are missing or of another shape keep their first values
  std::vector<std::string> freeze{};   ///< name patterns (* and ?) of parameters that are not trained
  bool statistics = true;              ///< Open-Unmix: input mean and scale from the training set's mixtures
  std::int64_t statistics_tracks = 0;  ///< first n tracks; 0 = all
  bool checkpointing = false;          ///< recompute activations in the backward pass (Band-split RNN)
  friend bool operator==(const ModelRecipe&, const ModelRecipe&) = default;
};

enum class LossTerm {
  mse_time,       ///< mean squared error of the waveforms
  mse_magnitude,  ///< of the magnitudes (Open-Unmix)
  l1_time,        ///< mean absolute error of the waveforms
  l1_spectrum,    ///< of real and imaginary parts of the spectra, summed
  l1_both,        ///< Band-split RNN: l1_spectrum + l1_time (of the waveforms that the spectra give)
  log_l2,         ///< 10 log10(sum of squared errors + 1e-8) in time
  psm,            ///< (M|X| - |S| cos(phase S - phase X))^2
  complex_mse,    ///< |S^ - S|^2
  xumx,           ///< X-UMX: time_weight * weighted SDR + MSE of magnitudes, over combinations of sources
  usdr,           ///< -10 log10(sum s^2 / sum (s - s^)^2), over channels and samples
  si_sdr          ///< negative SI-SDR per channel
};

struct LossRecipe {
  std::vector<LossTerm> terms{LossTerm::mse_magnitude};
  std::vector<double> weights{};         ///< one per term; empty = all 1
  std::vector<double> target_weights{};  ///< one per target; empty = all equal
  bool combinations = true;              ///< xumx: all non-empty proper subsets of the sources, else the sources alone
  double time_weight = 10;               ///< xumx
  std::int64_t trim_samples = 0;         ///< xumx, time part: dropped at both ends (Sony: 200)
  std::int64_t fft_samples = 0;          ///< spectral terms of waveform networks; 0 = the model's own, else 4096
  std::int64_t hop_samples = 0;          ///< 0 = the model's own, else fft_samples / 4
  friend bool operator==(const LossRecipe&, const LossRecipe&) = default;
};

enum class OptimiserKind { adam, adamw, rmsprop };
enum class ScheduleKind { constant, step, exponential, plateau, cosine };
enum class Clock { step, epoch };
enum class WarmUp { none, linear, exponential };
enum class Precision { float32, bf16 };

/// The learning rate over time; schedule.h has the formulas.
struct ScheduleRecipe {
  ScheduleKind kind = ScheduleKind::constant;
  Clock clock = Clock::epoch;  ///< unit of `every`, `length` and `warm_up_length`; plateau is per validation
  double factor = 0.98;        ///< step, exponential, plateau
  std::int64_t every = 1;      ///< step: factor every so many
  std::int64_t length = 0;     ///< cosine: 0 = the budget's
  double floor = 0;            ///< cosine and plateau: smallest rate
  std::int64_t patience = 80, cooldown = 10;  ///< plateau
  double threshold = 1e-4;                    ///< plateau, relative
  WarmUp warm_up = WarmUp::none;
  std::int64_t warm_up_length = 0;
  double warm_up_factor = 0.1;  ///< exponential: rate * factor^(length - n); linear: from factor * rate
  friend bool operator==(const ScheduleRecipe&, const ScheduleRecipe&) = default;
};

struct OptimiserRecipe {
  OptimiserKind kind = OptimiserKind::adam;
  double rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;  ///< Adam, AdamW
  double alpha = 0.99, momentum = 0;  ///< RMSprop
  double epsilon = 1e-8;
  double weight_decay = 0;  ///< added to the gradient (adam, rmsprop) or decoupled (adamw)
  ScheduleRecipe schedule{};
  double clip_norm = 0;           ///< norm of all gradients together; 0 = not clipped
  std::int64_t accumulation = 1;  ///< batches per step
  double ema_decay = 0;           ///< 0 = none
  Clock ema_clock = Clock::step;
  bool ema_unbiased = true;  ///< n <- n d + 1, state <- state (1 - 1/n) + value / n; else state d + value (1 - d)
  Precision precision = Precision::float32;
  friend bool operator==(const OptimiserRecipe&, const OptimiserRecipe&) = default;
};

enum class ValidationSplit {
  official,  ///< MUSDB18's 14 tracks, the data set's `valid` folder or published split; none of these: as `hash`
  hash,      ///< the `hash_tracks` training tracks whose SHA-256 of the name is smallest
  names,     ///< validation.tracks
  none
};
enum class ValidationCrop { segments, full };
enum class Monitor { loss, usdr, csdr };

struct ValidationRecipe {
  ValidationSplit split = ValidationSplit::official;
  std::vector<std::string> tracks{};               ///< split = names
  std::int64_t hash_tracks = 14;                   ///< at most a third of the tracks
  ValidationCrop crop = ValidationCrop::segments;  ///< of the validation loss: pieces of crop_seconds, or whole tracks
  double crop_seconds = 0;                         ///< 0 = the training examples' length
  std::int64_t examples = 0;                       ///< at most so many, evenly taken; 0 = all
  std::int64_t every = 1;                          ///< epochs between two validation losses
  std::int64_t scores_every = 10;                  ///< epochs between two scorings of whole tracks; 0 = never
  std::int64_t score_tracks = 0;                   ///< first n tracks; 0 = all
  Monitor monitor = Monitor::loss;                 ///< decides which weights are best, plateau and early stopping
  std::int64_t patience = 0;   ///< early stopping after so many validations without a better; 0 = never
  double min_delta = 0;        ///< better means better by more than this
  double excerpt_seconds = 6;  ///< pictures and audio of the event file
  friend bool operator==(const ValidationRecipe&, const ValidationRecipe&) = default;
};

/// The run ends at the first limit that is reached; 0 = no such limit. One of the three must be given.
struct BudgetRecipe {
  std::int64_t steps = 0;
  std::int64_t epochs = 0;
  double minutes = 0;                 ///< of training, all sessions of a resumed run together
  std::int64_t save_every_steps = 0;  ///< besides the end of every epoch
  double save_every_minutes = 10;
  bool deterministic = true;  ///< ask operators on a GPU for deterministic forms where there are any
  friend bool operator==(const BudgetRecipe&, const BudgetRecipe&) = default;
};

/// Semi-supervised fine-tuning (semi.h): music without stems, which a teacher tells apart. Needs first weights
/// (ModelRecipe::weights), which are the first teacher's, and a network of one target.
struct SemiRecipe {
  bool enabled = false;
  std::string folder{};   ///< audio files in it and below it, each a mixture
  std::string dataset{};  ///< or beside it: a data set, as datasets::open() takes it, of which the mixtures count
  std::string licence{};  ///< as the user states it; goes into the provenance
  double clean_db = 30;   ///< an estimate so far below the segment is none: the segment is clean
  friend bool operator==(const SemiRecipe&, const SemiRecipe&) = default;
};

struct Recipe {
  std::string name{};   ///< of the file unless given
  std::string about{};  ///< what it reproduces, on what data, at what cost
  std::int64_t seed = 42;
  DataRecipe data{};
  AugmentRecipe augment{};
  ModelRecipe model{};
  LossRecipe loss{};
  OptimiserRecipe optimiser{};
  ValidationRecipe validation{};
  BudgetRecipe budget{};
  SemiRecipe semi{};

  /// T of an example.
  std::int64_t crop_samples() const noexcept;
  friend bool operator==(const Recipe&, const Recipe&) = default;
};

enum class Origin { standard, file, command_line };
std::string_view origin_name(Origin origin) noexcept;  ///< "default", "recipe", "command line"

/// A recipe with the origin of each of its values.
struct ResolvedRecipe {
  Recipe recipe{};
  std::filesystem::path file{};            ///< empty: none
  std::map<std::string, Origin> origin{};  ///< by full key ("optimiser.rate"); keys that are absent: default
  /// Sets one value as the command line does ("data.dataset", text of a TOML value or plain text).
  void set(std::string_view key, std::string_view value);
};

/// Reads a recipe. `where` is a file, or the name of a shipped recipe ("umx-tiny": configs/recipes/umx-tiny.toml beside
/// the program or in the source tree). `overrides` are "section.key=value"; the value is TOML, and text needs no
/// quotes; lists may be written a,b,c. Throws Error(config), Error(io).
ResolvedRecipe read_recipe(const std::string& where, const std::vector<std::string>& overrides = {});
/// The same from text; `name` stands in messages.
ResolvedRecipe parse_recipe(std::string_view text, std::string_view name,
                            const std::vector<std::string>& overrides = {});
/// Names of the shipped recipes, sorted.
std::vector<std::string> shipped_recipes();

/// What fits together: one budget, as many weights as terms, activity sampling with a rule, groups that divide the
/// batch, and so on. Throws Error(config). read_recipe() and parse_recipe() call it.
void check_recipe(const Recipe& recipe, std::string_view where);

/// All values as TOML, with comments of their origins where `origins`. parse_recipe() of it gives the same recipe.
std::string to_toml(const ResolvedRecipe& recipe, bool origins = true);
/// All values as a tree (for records).
core::Value to_value(const Recipe& recipe);

/// One line per key for help and documentation.
struct KeyDescription {
  std::string key, type, standard, range, help;
};
std::vector<KeyDescription> describe();

/// Names as recipes write them.
std::string_view name_of(LossTerm term) noexcept;
std::string_view name_of(OptimiserKind kind) noexcept;
std::string_view name_of(ScheduleKind kind) noexcept;
std::string_view name_of(Monitor monitor) noexcept;
std::string_view name_of(Precision precision) noexcept;

}  // namespace mss::training
