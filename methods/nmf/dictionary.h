// Learned dictionaries: per target a set of non-negative templates, with the STFT that they belong to.
//
// File (safetensors): one tensor "templates.TARGET" per target, F32, shape [K bins, T template frames, R components]
// ("templates.MEMBER.TARGET" with members counted from 1 where the metadata say members > 1); where a
// calibration was learned "calibration.weights", F32, shape [bands, targets, targets + 5] (calibration.h); and metadata
//   format = mssbench-nmf-dictionary, version = 1 (2 with members or calibration), targets = JSON array of names in
//   order, rate_hz, fft_size, hop_samples, beta, and whatever provenance the trainer adds (data set, tracks, seed,
//   iterations, program version).
// A dictionary's label is its file name without extension; its hash is the SHA-256 of the file. Specs name it
// LABEL#HASH8, never by a path.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "audio/stft.h"
#include "checkpoints/safetensors.h"
#include "methods/nmf/calibration.h"

namespace mss::methods::nmf {

struct DictionaryPart {
  std::string target;
  int components = 0;
  std::vector<float> w;  ///< [k][t][r], each template of unit sum
};

struct Dictionary {
  int rate_hz = 44100;
  audio::StftSpec stft;  ///< periodic Hann, centred, fft_size and hop as stored
  int template_frames = 1;
  double beta = 1.0;
  std::vector<DictionaryPart> parts;
  /// Members of an ensemble: fitted one by one, their masks are averaged. `parts` holds member after member, each with
  /// all targets in order.
  int members = 1;
  Calibration calibration;
  checkpoints::Metadata provenance;

  std::string label;   ///< set by read_dictionary
  std::string sha256;  ///< set by read_dictionary

  std::vector<std::string> targets() const;
  int components() const noexcept;
  int target_count() const noexcept { return static_cast<int>(parts.size()) / members; }
  /// All templates beside each other in order of the parts: [k][t][r].
  std::vector<float> stacked() const;
  /// The dictionary that member m is by itself (no provenance, no calibration).
  Dictionary member(int m) const;
  std::string name() const;  ///< "LABEL#HASH8"
};

/// Templates are scaled to unit sum. Throws Error(io), Error(format) for broken files and Error(checkpoint) for files
/// that are no dictionary (missing metadata, wrong shapes, negative or non-finite entries, an all-zero template).
Dictionary read_dictionary(const std::filesystem::path& path);
/// The same from the bytes of such a file; `label` stands in errors and becomes the dictionary's.
Dictionary parse_dictionary(std::string_view bytes, std::string_view label);
/// Deterministic bytes; throws Error(invalid_argument) for inconsistent parts, Error(io).
void write_dictionary(const std::filesystem::path& path, const Dictionary& dictionary);

/// What `dict=` may say: a path; a path followed by #HASH8, which is then checked; the label of a shipped dictionary
/// (shipped.h) with or without its #HASH8; or LABEL#HASH8 as recorded specs have it, which is looked up as
/// LABEL.safetensors in the folders of the environment variable MSSBENCH_WEIGHTS (colon-separated). Throws
/// Error(checkpoint) saying where was looked, or that the content differs.
Dictionary find_dictionary(std::string_view reference);

}  // namespace mss::methods::nmf
