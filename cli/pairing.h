// Which files are scored against which: references as a data set or as one folder, estimates as a tree or as one
// folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datasets/dataset.h"

namespace mss::cli {

using TargetFile = std::pair<std::string, std::filesystem::path>;  ///< target, file

/// One track with both sides.
struct Pair {
  datasets::Track track;              ///< of the references; for two plain folders named after the estimates' folder
  std::vector<TargetFile> estimates;  ///< sorted by target
};

struct Pairing {
  std::string dataset;                          ///< name of the references
  std::vector<std::string> stems;               ///< union over the references' tracks
  bool plain = false;                           ///< two plain folders, one track
  std::vector<Pair> pairs;                      ///< in the order of the references
  std::vector<std::string> without_estimates;   ///< "subset/track" of the references
  std::vector<std::string> without_references;  ///< folders of estimates that no track answers to
  std::optional<datasets::Dataset> set;         ///< the references, unless plain
};

/// Two plain folders where ESTIMATES holds audio files itself (REFERENCES is then such a folder, or a stem.mp4), else
/// trees: REFERENCES anything that datasets::open takes, ESTIMATES [subset/]track/target.wav|flac. Throws Error(dataset
/// | io) when there is nothing to pair.
Pairing pair_up(const std::string& references, const std::string& estimates);

/// The true stems of a pair: mixture (empty where there is none) and stems of one shape. Throws Error naming the file.
datasets::TrackAudio load_references(const Pairing& pairing, const Pair& pair);

/// SHA-256 over the reference files.
std::string references_sha256(const Pairing& pairing, const Pair& pair);

}  // namespace mss::cli
