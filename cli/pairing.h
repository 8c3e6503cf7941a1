// Which files are scored against which: references as a data set or as one folder, estimates as a tree or as one
// folder. What a folder of stems is, datasets/stem_folder.h says.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datasets/dataset.h"

namespace mss::cli {

/// One track with both sides.
struct Pair {
  datasets::Track track;                      ///< of the references
  std::vector<datasets::StemFile> estimates;  ///< in the usual order, derived signals last
  std::filesystem::path folder;               ///< of the estimates
};

struct Pairing {
  std::string dataset;                          ///< name of the references
  std::vector<std::string> stems;               ///< union over the references' tracks
  bool plain = false;                           ///< two plain folders, one track
  std::vector<Pair> pairs;                      ///< in the order of the references
  std::vector<std::string> without_estimates;   ///< "subset/track" of the references
  std::vector<std::string> without_references;  ///< folders of estimates that no track answers to
  std::vector<std::string> notes;               ///< what was taken for what
  std::optional<datasets::Dataset> set;         ///< the references, unless plain
};

/// Two plain folders where ESTIMATES holds audio files itself (REFERENCES is then such a folder, or a stem.mp4), else
/// trees: REFERENCES anything that datasets::open takes, or folders of stems without mixtures; ESTIMATES folders named
/// like the tracks, at any depth (track/, test/track/, model/track/, …). A folder under another subset's name belongs to
/// no track of this one. Names match whatever their Unicode spelling.
///
/// Where the references are vocals and accompaniment, `other` or `background` alone beside the estimates' vocals is the
/// accompaniment.
///
/// Throws Error(dataset | io) when there is nothing to pair, for two folders of estimates of one track, and for two
/// files of one signal.
Pairing pair_up(const std::string& references, const std::string& estimates);

/// The true stems of a pair: mixture (empty where there is none) and stems of one shape. Throws Error naming the file.
datasets::TrackAudio load_references(const Pairing& pairing, const Pair& pair);

/// SHA-256 over the reference files.
std::string references_sha256(const Pairing& pairing, const Pair& pair);

}  // namespace mss::cli
