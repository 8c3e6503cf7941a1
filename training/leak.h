// Tracks of test sets in training data.
//
// A number is worth nothing where the network was trained on the songs it is tested on. Before a run starts, every
// training and validation track is held against
//   * MUSDB18's table: the name of one of its 50 test tracks (whatever the container; letter case and white space do
//     not count), or the SHA-256 of one of its stem.mp4 files under another name;
//   * the test tracks of the data sets that are at hand: the same fingerprint (Dataset::sha256), or a level vector that
//     is the same song's (datasets::similar_levels at a tolerance of 0.05 dB and 20 s or more of sounding seconds).
// The validation tracks are held against the training tracks, and against unlabelled ones (semi.h), in the same way.
//
// Thread-safety: pure but for reading the data sets.
#pragma once

#include <string>
#include <vector>

#include "core/value.h"
#include "datasets/dataset.h"

namespace mss::training {

struct Leak {
  std::string track;  ///< of the training data
  std::string role;   ///< "training", "validation" or "unlabelled"
  std::string why;    ///< "is a test track of MUSDB18 by its name", …
  std::string of;     ///< the test track
};

/// A track as the check sees it; levels may be empty (then they do not count).
struct LeakTrack {
  std::string name, sha256, role;
  std::vector<double> levels_db;
};

/// Test tracks besides MUSDB18's table.
struct TestTracks {
  std::string dataset;
  std::vector<LeakTrack> tracks;
};
/// The test subset of a data set at hand, with fingerprints and levels (decodes its mixtures).
TestTracks test_tracks(const datasets::Dataset& dataset);

std::vector<Leak> find_leaks(const std::vector<LeakTrack>& tracks, const std::vector<TestTracks>& others);

/// Throws Error(dataset) that lists the first leaks and the way out (`--allow-training-tracks`), unless `allow`.
void refuse_leaks(const std::vector<Leak>& leaks, bool allow);
/// For the run's provenance: {"allowed": …, "leaks": [{track, role, why, of}]}.
core::Value leaks_value(const std::vector<Leak>& leaks, bool allowed);

}  // namespace mss::training
