// A training run: from a recipe and a data set to weights that separate.
//
// The folder RUN holds all that is needed to repeat or to continue it:
//   recipe.toml        the resolved recipe with the origin of every value
//   run.json           program, revision, seed, data set with the fingerprint of every track, leaks that were allowed,
//                      network, device, threads, command line
//   log.csv            one row every few steps and one per epoch; column names tell the metrics (docs/metrics.md)
//   curves.png         the log as a picture
//   events.out.*       the same for TensorBoard, with pictures and audio of one validation excerpt
//   last.safetensors   weights of the last checkpoint, and the state to go on from
//   best.safetensors   the same of the best validation so far
// Both are weights files (methods/weights.h): `umx:weights=RUN` and `umx:weights=RUN/last.safetensors` separate with
// them. Where an average of the weights is kept it is what stands there as the weights, and their provenance says so;
// the plain ones lie beside it. Further tensors of the file, beside the weights:
//   @weights/NAME, @teacher/NAME, @moment1/NAME, @moment2/NAME    as training/learner.h names them
// and in the metadata `training` (JSON): epoch, batch, learner's counters, schedule, stopping, sums of the log.
//
// Checkpoints are written whole or not at all (core/file.h) at the end of every epoch, every save_every_steps steps and
// save_every_minutes minutes, and when a run is stopped. A run that was killed at any moment goes on from the last one
// to the same bits, with any number of loader threads, as long as the learner is deterministic (training/learner.h).
//
// An epoch: its batches, then the validation loss, every scores_every epochs the scores of whole validation tracks by
// the method made from last.safetensors, as `mssbench run` makes it; then plateau, early stopping and checkpoints.
//
// Semi-supervised fine-tuning (semi.h): the first weights are validated before the first step, as epoch 0, and are the first
// best; from then on a validation that is better than any before makes the student the teacher, so that best.safetensors is
// always the teacher. log.csv counts the kinds of unlabelled segments.
//
// Errors: Error(config) for a recipe that the network cannot have, an existing RUN without `resume`, and a recipe that is
// not the one that RUN was begun with; Error(dataset) for data that are not what RUN was begun with, and for tracks of
// test sets; Error(numeric) with where = "training" for a loss or gradient that is not finite; Error(resource) out of
// memory; Error(io) for a full disk; Error(cancelled) after a checkpoint was written; and what loading a track throws.
// Whatever happens, last.safetensors and best.safetensors stay as they were last written.
// Thread-safety: one run per folder (a lock sees to it).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/stop.h"
#include "core/value.h"
#include "datasets/dataset.h"
#include "methods/registry.h"
#include "methods/separator.h"
#include "nn/device.h"
#include "training/learner.h"
#include "training/recipe.h"

namespace mss::training {

/// Scores of one track, in dB; NaN: undefined.
struct TargetScore {
  std::string target;
  double usdr = 0;  ///< "uSDR" of docs/metrics.md
  double csdr = 0;  ///< median over the frames of "SDR" (BSS Eval v4)
};
/// Scores separated stems against a track's, as benchmarks do; the caller's, because training knows no harness.
using ScoreTrack =
    std::function<std::vector<TargetScore>(const datasets::TrackAudio& track, const methods::StemSet& stems)>;

struct TrainingRequest {
  ResolvedRecipe recipe;
  std::filesystem::path out;
  nn::DeviceChoice device;
  int threads = 0;             ///< of the device's arithmetic on the processor; 0 = all processors
  std::int64_t max_steps = 0;  ///< > 0: ends there, and can be continued; the recipe's budget stays what it is
  bool resume = false;
  bool allow_training_tracks = false;
  std::string command;  ///< the command line as typed
  const methods::Registry* registry = nullptr;
  ScoreTrack score;
  core::StopToken stop;
  core::Progress* progress = nullptr;
  core::LogFn log;
};

struct TrainingResult {
  std::filesystem::path folder;
  std::string ended;  ///< why, a clause: "after 200 steps"
  std::int64_t steps = 0, epochs = 0, examples = 0;
  double seconds = 0;         ///< of training, all sessions together
  double waited_s = 0;        ///< of this session: for the loader
  double examples_per_s = 0;  ///< of this session, without validation
  std::string monitor;        ///< what decides which weights are best
  double best = 0;            ///< of it; NaN: no validation
  std::int64_t best_epoch = 0;
  std::map<std::string, TargetScore> scores;  ///< the latest: uSDR mean, cSDR median over the tracks
};

TrainingResult train(const TrainingRequest& request);

/// What train() would do, without starting or writing anything.
struct TrainingPreview {
  std::string network;  ///< "Open-Unmix, H = 512, …"
  std::int64_t parameters = 0;
  std::int64_t state_bytes = 0;  ///< weights, gradients, moments, average
  std::int64_t batch_bytes = 0;  ///< batches in memory, those ahead included
  /// What layers and loss keep of a step, on the processor in float32: an estimate by the step of one short example.
  /// -1: not tried, because the network's weights alone fill the memory at hand, or there is no LibTorch.
  std::int64_t step_bytes = -1;
  std::int64_t training_tracks = 0, validation_tracks = 0;
  std::string validation;                ///< how they were chosen
  std::int64_t examples_per_epoch = -1;  ///< -1: depends on the audio
  std::int64_t steps_per_epoch = -1, steps = -1;
  double crop_seconds = 0;
  std::vector<std::string> notes;
};
TrainingPreview preview(const TrainingRequest& request);

/// The training examples of a recipe, for write_preview().
void write_examples(const TrainingRequest& request, std::int64_t count, const std::filesystem::path& folder);

}  // namespace mss::training
