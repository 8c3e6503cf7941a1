// Training examples and the threads that make them.
//
// An example is S stems of C channels and T samples and their mixture. It is a pure function of (seed, epoch, index):
// every random choice is a draw of core/rng.h at a counter made from those three and the choice's name, so that any
// number of worker threads, in any order, with any batch size, gives the same examples, and a resumed run sees what the
// interrupted one would have seen.
//
//   mixture[c][t] = ((stem_0[c][t] + stem_1[c][t]) + stem_2[c][t]) + …   in float32, after all augmentation,
// to the last bit, in training sources; the two exceptions are the thesis's speech remix (augment.h), whose target is at
// the wrong level on purpose, and validation examples, whose mixture is the track's own.
//
// With a recipe's [semi] every example brings a segment of unlabelled music along and what is drawn for it; semi.h makes the
// final example of both, where the teacher's weights are known, and divides by the peak there.
//
// Order of augmentation: choice of tracks (remix, groups, distinct songs, external stems) and places; channel swap;
// normalisation; pitch and tempo; time shift; gain and sign; drop; circular shift; sum; speech remix; peak.
//
// Thread-safety: ExampleSource is immutable, make() may be called from several threads at once. Loader: next() and
// recycle() from one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/stop.h"
#include "core/value.h"
#include "datasets/dataset.h"
#include "training/cache.h"
#include "training/recipe.h"

namespace mss::training {

/// Where an example is written: stems (S, C, T) and mixture (C, T), dense.
struct ExampleSpan {
  float* stems = nullptr;
  float* mixture = nullptr;
  float* unlabelled = nullptr;  ///< (C, T): the segment of unlabelled music, where the source has any
  struct SemiDraw* draw = nullptr;
};

/// What is drawn for an example of semi-supervised training (semi.h), whatever the teacher finds.
struct SemiDraw {
  double target = 0, residual = 0;               ///< in [0, 1): which target and which residual is taken
  float target_factor = 1, residual_factor = 1;  ///< gain, sign and drop (0) of a part of the unlabelled segment
};

/// One example in memory.
struct Example {
  std::int64_t sources = 0, channels = 0, samples = 0;
  std::vector<float> stems;         ///< (S, C, T)
  std::vector<float> mixture;       ///< (C, T)
  std::vector<float> unlabelled{};  ///< (C, T), or empty
  /// What was drawn: per stem track, start, gain, …; for previews and tests.
  core::Value drawn;
};

class ExampleSource {
 public:
  virtual ~ExampleSource() = default;
  const std::vector<std::string>& stems() const noexcept { return stems_; }
  std::int64_t sources() const noexcept { return static_cast<std::int64_t>(stems_.size()); }
  int channels() const noexcept { return channels_; }
  int rate_hz() const noexcept { return rate_hz_; }
  /// Examples of an epoch.
  std::int64_t length() const noexcept { return length_; }
  /// Tracks without stems that every example has a segment of (semi.h); usually none.
  const std::vector<CachedTrack>& unlabelled() const noexcept { return unlabelled_; }
  /// T of an example; the same for all but with validation of whole tracks.
  virtual std::int64_t samples(std::int64_t index) const = 0;
  /// Writes example `index` (in [0, length())) of `epoch`. `drawn`, where given, gets what was drawn. Throws
  /// Error(numeric) for audio that is not finite.
  virtual void make(std::int64_t epoch, std::int64_t index, ExampleSpan out, core::Value* drawn = nullptr) const = 0;
  /// The same into memory of its own.
  Example example(std::int64_t epoch, std::int64_t index) const;
  /// What the run's provenance must hold: data set, tracks with fingerprints, external folders with licences, seed.
  virtual core::Value provenance() const = 0;

 protected:
  std::vector<std::string> stems_;
  int channels_ = 0, rate_hz_ = 0;
  std::int64_t length_ = 0;
  std::vector<CachedTrack> unlabelled_;
};

/// The stems whose sum is `target`: the stem of that name; "accompaniment" = all but vocals; "linear_mixture" = all.
/// Indices into `stems`. Throws Error(config) for others, with the nearest.
std::vector<int> target_sources(const std::vector<std::string>& stems, const std::string& target);

/// The tracks of a run.
struct TrainingTracks {
  std::vector<datasets::Track> training, validation;
  std::string how;                 ///< how the validation tracks were chosen, for the log
  std::vector<std::string> notes;  ///< tracks left out (shorter than a crop, defective) and why
};
/// Splits `dataset` as the recipe says (DataRecipe::tracks, ValidationRecipe::split). Tracks of subset "test" are never
/// among the training tracks of a data set that has a "train" subset; in a set without subsets (all "test" by
/// datasets/dataset.h's rule, because their names are no published ones) all tracks count. leak.h checks the result.
/// Throws Error(dataset) where nothing is left.
TrainingTracks choose_tracks(const datasets::Dataset& dataset, const Recipe& recipe);

/// Training examples. Opens (and fills) the cache for all tracks; throws what Cache::open throws, Error(config) for
/// stems that the data set lacks.
std::shared_ptr<const ExampleSource> make_training_source(const Recipe& recipe, const datasets::Dataset& dataset,
                                                          const std::vector<datasets::Track>& tracks, Cache& cache,
                                                          int threads, core::Progress& progress);

/// Validation examples: pieces of the validation tracks from front to back, or whole tracks, not augmented, mixture =
/// the track's own. The epoch does not matter. A last piece shorter than half the length is left out, else padded with
/// zeros.
std::shared_ptr<const ExampleSource> make_validation_source(const Recipe& recipe, const datasets::Dataset& dataset,
                                                            const std::vector<datasets::Track>& tracks, Cache& cache,
                                                            int threads, core::Progress& progress);

/// Examples of one length, behind each other: ready to be wrapped as tensors (B, S, C, T) and (B, C, T).
struct Batch {
  std::int64_t epoch = 0, number = 0;  ///< which batch of which epoch
  std::int64_t first = 0;              ///< index of its first example
  std::int64_t count = 0;              ///< B
  std::int64_t sources = 0, channels = 0, samples = 0;
  std::vector<float> stems, mixture;
  std::vector<float> unlabelled;  ///< (B, C, T), where the source has unlabelled music
  std::vector<SemiDraw> draws;    ///< B of them then
};

struct LoaderSettings {
  std::int64_t batch = 16;
  int workers = 2;         ///< >= 1
  int queue = 4;           ///< batches made ahead at most, >= 1
  std::int64_t epoch = 0;  ///< first batch: epoch and number in it (resume)
  std::int64_t number = 0;
  bool keep_last = false;   ///< a last batch of fewer examples is given too, else left out
  std::int64_t epochs = 0;  ///< > 0: ends after so many epochs from `epoch` on; 0 = goes on for ever
};

struct LoaderWaits {
  std::int64_t batches = 0;  ///< given so far
  double waited_s = 0;       ///< that next() waited for a batch to be ready
  double worker_busy_s = 0;  ///< time in make(), all workers together
};

/// Worker threads that keep batches ready across the ends of epochs. Every example is a task of its own, so that also
/// batches of few examples keep all workers busy. Batches come in order.
class Loader {
 public:
  /// Throws Error(invalid_argument) for settings out of their range, or where an epoch has no whole batch.
  Loader(std::shared_ptr<const ExampleSource> source, const LoaderSettings& settings, core::StopToken stop = {});
  ~Loader();  ///< stops the threads
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  static std::int64_t batches_per_epoch(std::int64_t examples, std::int64_t batch, bool keep_last) noexcept;
  std::int64_t batches_per_epoch() const noexcept;
  /// The next batch; nothing behind the last. Throws what make() threw for one of its examples, Error(cancelled).
  std::optional<Batch> next();
  /// Gives the memory of a used batch back, so that no new pages are touched.
  void recycle(Batch&& batch);
  LoaderWaits waits() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Writes examples 0 … count-1 of epoch 0: NNN/mixture.wav and one wav per stem, NNN/spectrograms.png, NNN/drawn.txt; of
/// semi-supervised recipes the labelled example and NNN/unlabelled.wav beside it.
/// Throws Error(io), and Error(config) for an existing folder that is not empty.
void write_preview(const ExampleSource& source, std::int64_t count, const std::filesystem::path& folder,
                   core::Progress& progress);

}  // namespace mss::training
