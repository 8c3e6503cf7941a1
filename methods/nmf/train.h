// Learning dictionaries from isolated stems (docs/nmf.md, "Learned dictionaries").
//
// Per target: the magnitude frames of every track's stem, both channels as separate columns, are thinned and fitted by
// clean KL (or beta) NMF; the templates are the target's part of the dictionary. Tracks are loaded one after another
// and twice (levels first, then the frames that were drawn), so that memory is one stem plus max_frames spectra,
// whatever the number of tracks:
//   * a unit is one frame, or 64 consecutive frames where templates are longer than one;
//   * units whose loudest frame is more than `silence_db` below the track's loudest are left out;
//   * of the rest every track gives up to ceil(max_frames / tracks) frames, drawn without replacement from (seed,
//   target, track).
// An ensemble has `members` sets of templates that differ in their start values; separation fits one after another and
// averages their masks, which takes out much of the luck of a single start.
//
// A calibration (calibration.h) learns how far the masks are to be trusted on songs that the templates do not know. The
// tracks are dealt into up to four groups; for each group templates are learned from the others, just for this. Its
// examples are excerpts of 20 s, at most 6 of a track and 48 in all (of more tracks, 48 spread evenly): windows in
// which most targets sound, that is, with the largest sums over targets of sqrt(share of its seconds that are less than
// 30 dB below the target's loudest), as long as the sum is 1.8 at least; they do not overlap. Stems are loaded two
// times more; one stem, a track's excerpts and the examples (about 10 MB each) are in memory.
//
// Start values: templates are drawn frames (random numbers where T > 1), lifted off zero by a thousandth of their mean.
// The result is a function of (tracks, options), the same bits for any number of threads. Components that die are left
// out.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "audio/buffer.h"
#include "core/stop.h"
#include "methods/nmf/dictionary.h"

namespace mss::methods::nmf {

struct TrainTrack {
  std::string name;
  /// The track's isolated stem; an empty buffer where it has none. Any rate (converted to TrainOptions::rate_hz) and
  /// number of channels.
  std::function<audio::AudioBuffer(const std::string& target)> load;
};

struct TrainOptions {
  int rate_hz = 44100;
  audio::StftSpec stft;    ///< fft_size and hop_samples count; the rest is the dictionary's fixed form
  int components = 50;     ///< per target and member
  int members = 1;         ///< sets of templates with start values of their own
  bool calibrate = false;  ///< learn a calibration too; needs template_frames = 1 and two tracks
  int calibration_bands = 6;
  int template_frames = 1;
  int iterations = 200;
  double beta = 1.0;
  double sparsity = 0.0;
  double silence_db = 40.0;
  std::int64_t max_frames = 50000;  ///< per target
  std::uint64_t seed = 0;
  int threads = 1;
  core::StopToken stop;
  /// `done` of `total` steps: loads and iterations of all targets.
  std::function<void(std::int64_t done, std::int64_t total, const std::string& target)> progress;
};

/// The stem at this rate, empty where the track has none; the loader's errors with the track's name before them.
audio::AudioBuffer load_stem(const TrainTrack& track, const std::string& target, int rate_hz);
/// Throws Error(dataset) naming track and stem unless the stem has the shape of the track's others.
void check_shape(const TrainTrack& track, const std::string& target, const audio::AudioBuffer& stem, int channels,
                 std::int64_t samples);

/// Calls of `progress` that train_dictionary makes.
std::int64_t training_steps(std::int64_t tracks, std::int64_t targets, const TrainOptions& options);

/// Provenance gets seed, iterations, components and members asked for, whether calibrated, number of tracks and of
/// frames per target, the track names and the program's version. Throws Error(invalid_argument) for no tracks, no
/// targets or parameters out of range, Error(dataset) for a target that is silent in all tracks and, with calibration,
/// for stems of one track that differ in shape, for a target that sounds in the tracks of one group only and where no
/// excerpt is found, and what the loaders throw, with the track's name before it.
Dictionary train_dictionary(const std::vector<TrainTrack>& tracks, const std::vector<std::string>& targets,
                            const TrainOptions& options);

}  // namespace mss::methods::nmf
