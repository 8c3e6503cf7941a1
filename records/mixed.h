// What may not stand in one table under one name: a track whose audio is not the same in all rows, a row whose weights,
// options or scoring are not the same on all tracks.
//
// Compared are `fingerprint` per (data set, subset, track), `weights.sha256` and `options` per spec (those options that
// all records of the spec name: a program that knows one more has not changed the others), and per (data set, subset,
// scenario) the length and distance of the frames with what `scoring` says. Records that do not say (imports of
// museval's files, older programs) agree with everything, and so do failures.
//
// Thread-safety: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "records/record.h"

namespace mss::records {

enum class Aspect { audio, weights, options, scoring };
/// "audio", "weights", "options", "scoring".
std::string_view aspect_name(Aspect aspect) noexcept;

/// One thing that is not the same in all its records.
struct Mixed {
  Aspect aspect = Aspect::audio;
  std::string dataset, subset;  ///< of audio and scoring
  std::string track;            ///< of audio
  std::string scenario;         ///< of scoring
  std::string spec;             ///< of weights and options
  struct Side {
    std::string value;  ///< the fingerprint or hash in whole; the options or the scoring that differ, as JSON
    std::vector<const Record*> records;
    std::vector<std::string> specs;   ///< rows, sorted
    std::vector<std::string> tracks;  ///< "subset/track", sorted
  };
  /// Sides with most rows (weights, options: tracks) first, ties by value.
  std::vector<Side> sides;
  /// Is one side larger than any other? Then the others are what does not fit.
  bool has_majority() const;
};

/// The records outlive the result. Sorted by aspect and names.
std::vector<Mixed> find_mixed(const std::vector<const Record*>& records);
std::vector<Mixed> find_mixed(const std::vector<Record>& records);

/// "test/A: audio 1a2b3c4d in irm2, 5e6f7a8b in mixture".
std::string to_string(const Mixed& mixed);

/// Throws Error(dataset) at `where` that names the tracks and rows, with `hint` behind.
void require_unmixed(const std::vector<Mixed>& mixed, const std::string& where, const std::string& hint);

/// What says from what one item was made; empty fields are not known.
struct Origin {
  std::string fingerprint, weights_sha256;
  core::Value options;  ///< null or an object
  core::Value scoring;  ///< the same: window_s, hop_s and what the record's `scoring` says
};
Origin origin_of(const Record& record);
/// Aspects in which the two differ, as far as both say.
std::vector<Aspect> differences(const Origin& a, const Origin& b);

}  // namespace mss::records
