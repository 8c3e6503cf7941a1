// Learning NMF dictionaries from a data set: what `mssbench train nmf` does.
//
// Every selected track that has a target's stem gives frames to that target's templates (methods/nmf/train.h says which
// and how they are fitted). One stem of one track is in memory at a time, beside the frames that were drawn, so memory
// does not grow with the number of tracks.
//
// A target that no selected track has is an error; tracks that lack a stem, or have it silent, are left out for that
// target and named in a message. The file is written at the end and whole: a run that fails, or is stopped, leaves a
// file that was there before as it was.
//
// Provenance (metadata of the file, beside what train_dictionary writes): dataset (name), selection (subset, split,
// track names, limit), tracks (subset, name and SHA-256 of each: datasets::Dataset::sha256), without (per target the
// tracks that gave nothing to it), beta, max_frames, template_frames, revision, instruction_set. Neither paths nor
// dates, so that equal training by one program on one instruction set gives equal bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/progress.h"
#include "datasets/dataset.h"
#include "methods/nmf/train.h"

namespace mss::training {

struct NmfTraining {
  std::string dataset;  ///< as datasets::open takes it
  datasets::Layout layout = datasets::Layout::automatic;
  datasets::Selection selection;
  std::vector<std::string> targets;  ///< in this order; empty = the stems of the data set, in its order
  std::filesystem::path out;         ///< safetensors file; its name without extension is the dictionary's label
  /// Learn what tells components apart (P2, methods/nmf/classifier.h) instead of templates: of the options those count
  /// that train_classifier() names; NmfTrained::components are what a factorisation has in all, for no target by
  /// itself.
  bool classifier = false;
  double memory_gb = 0;                ///< most memory; 0 = no bound
  methods::nmf::TrainOptions options;  ///< stop is honoured; progress is set here
  core::Progress* progress = nullptr;
  core::LogFn log;
};

struct NmfTrained {
  std::filesystem::path file;
  std::string name;    ///< "LABEL#HASH8", what recorded specs say
  std::string sha256;  ///< of the file
  std::vector<std::string> targets;
  std::vector<int> components;                              ///< per target, of all members; fewer where some died
  std::vector<std::string> tracks;                          ///< "subset/name" of all selected
  std::map<std::string, std::vector<std::string>> without;  ///< target -> tracks whose stem is missing or silent
  std::uintmax_t bytes = 0;
};

/// What training takes at its peak: the frames that are drawn for one target (twice, and half again while they are
/// collected), their activations, and the longest stem; with calibration all stems of a track and their spectra.
std::int64_t training_bytes(const NmfTraining& training, const std::vector<datasets::Track>& tracks);

/// Throws Error(resource) where training needs more than training.memory_gb, before it starts; Error(config): no data
/// set, no output file; Error(dataset): unknown data set, tracks or targets, a target
/// that is silent everywhere; Error(io): no such folder for the output, disk full; Error(cancelled); and what loading
/// throws, with the track's name.
NmfTrained train_nmf(const NmfTraining& training);

}  // namespace mss::training
