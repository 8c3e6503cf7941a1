// Data sets: folders of multitrack music as lists of tracks with named stems.
//
// Layouts (found by looking, or given): `stems` MUSDB18's NAME.stem.mp4 files; `folders` one folder per track with
// mixture and stems as wav or flac (MUSDB18-HQ, any stem folder with any stem names); `mir1k` MIR-1K's wav files (left
// = accompaniment, right = vocals); `synthetic` the built-in songs (no files). A root may hold `train/` and `test/`; a
// root without them is one subset named "test".
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audio/buffer.h"
#include "audio/stream.h"
#include "core/value.h"

namespace mss::datasets {

enum class Layout { automatic, stems, folders, mir1k, synthetic };

/// A track's audio in memory: the mixture and its stems, all of one shape.
struct TrackAudio {
  audio::AudioBuffer mixture;
  std::vector<std::string> names;
  std::vector<audio::AudioBuffer> stems;
};

/// One track, opened lazily.
struct Track {
  std::string name;                          ///< "Artist - Title"
  std::string subset;                        ///< "train" or "test"
  std::string split;                         ///< "train", "valid" or "test"
  std::vector<std::filesystem::path> files;  ///< container, or mixture and stems; empty for synthetic songs
  std::vector<std::string> stems;            ///< in the data set's order
  int rate_hz = 0;
  int channels = 0;
  std::int64_t samples = 0;  ///< as headers say; the decoder decides
  std::string erratum;       ///< published defect of this track, empty = none

  double seconds() const { return rate_hz > 0 ? static_cast<double>(samples) / rate_hz : 0; }
};

struct Selection {
  std::string subset;               ///< "train" (all 100 of MUSDB18, as in musdb), "test", or "" = both
  std::string split;                ///< "train" (86) or "valid" (14); only with subset "" or "train"
  std::vector<std::string> tracks;  ///< names; empty = all
  std::int64_t limit = 0;           ///< first n; 0 = all
};

class Dataset {
 public:
  const std::string& name() const noexcept {
    return name_;
  }  ///< "MUSDB18", "MUSDB18-HQ", "MIR-1K", "synthetic", or the folder's name
  Layout layout() const noexcept { return layout_; }
  const std::filesystem::path& root() const noexcept { return root_; }
  const std::vector<std::string>& stems() const noexcept { return stems_; }  ///< union over tracks; J = size
  const std::vector<Track>& tracks() const noexcept { return tracks_; }      ///< sorted by (subset, name)
  /// Throws Error(dataset) for an empty selection or unknown names (with the nearest).
  std::vector<Track> select(const Selection& selection) const;
  /// Decodes a track. Throws Error(dataset) naming the file for stems of unequal length, rate or channels and for
  /// missing stems.
  TrackAudio load(const Track& track) const;
  /// A derived target of a loaded track: a stem's name, "accompaniment" (sum of all stems but vocals) or
  /// "linear_mixture" (sum of all), gain 1. Throws Error(dataset) when it cannot be built.
  static audio::AudioBuffer target(const TrackAudio& audio, std::string_view name);
  /// SHA-256 over the track's files (names and contents), or over the seed and version of a synthetic song.
  std::string sha256(const Track& track) const;
  /// Mean-square level of the mixture per second, all channels, in dB re full scale (-120 floor): similar for the same
  /// song in another container.
  std::vector<double> levels_db(const Track& track) const;

 private:
  friend Dataset open(const std::string&, Layout);
  std::string name_;
  Layout layout_ = Layout::automatic;
  std::filesystem::path root_;
  std::vector<std::string> stems_;
  std::vector<Track> tracks_;
};

/// `where` is a folder, "synthetic" (optionally "synthetic:songs=4,seconds=12,seed=1"), or a name ("musdb18",
/// "musdb18hq") found through the environment variable MUSDB_PATH. Throws Error(dataset).
Dataset open(const std::string& where, Layout layout = Layout::automatic);

/// Two level vectors of the same song? Median absolute difference over the common length below `tolerance_db`.
bool similar_levels(const std::vector<double>& a, const std::vector<double>& b, double tolerance_db = 1.0);

/// MUSDB18's published facts (configs of musdb, SiSEC 2018, LFS pointers; docs/datasets.md).
struct MusdbFact {
  std::string split, name, genre, source, license;
  std::int64_t stem_mp4_bytes = 0;
  std::string stem_mp4_sha256;
  double seconds = 0;
  int sisec18_frames = 0;
  std::string erratum;
};
const std::vector<MusdbFact>& musdb_facts();

}  // namespace mss::datasets
