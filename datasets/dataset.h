// Data sets: folders of multitrack music as lists of tracks with named stems.
//
// Layouts (found by looking, or given; docs/datasets.md):
//   stems      MUSDB18's NAME.stem.mp4 files, streams 0 mixture, 1 drums, 2 bass, 3 other, 4 vocals
//   folders    one folder per track with mixture.wav and one file per stem (MUSDB18-HQ, any stem names);
//              datasets/stem_folder.h says which file is what
//   mir1k      MIR-1K's two-channel wav files: left = accompaniment, right = singing; mixture = left + right (mono)
//   synthetic  the built-in songs (datasets/synth/songs.h), no files
// A root may hold `train/`, `test/` and `valid/` (or `dev/`) folders. Without them the tracks lie in the root itself; a
// track of MUSDB18 or MIR-1K then belongs where the published split puts it, any other is in subset "test". `valid` and
// `dev` are part of the subset "train", as in musdb.
//
// Thread-safety: a Dataset is immutable; const members may be called at once from several threads.
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
#include "core/error.h"
#include "core/value.h"
#include "datasets/stem_folder.h"

namespace mss::datasets {

enum class Layout { automatic, stems, folders, mir1k, synthetic };
std::string_view layout_name(Layout layout) noexcept;  ///< "auto", "stems", "folders", "mir1k", "synthetic"
/// The other way. Throws Error(config) at `where` with the nearest name.
Layout parse_layout(const std::string& name, std::string_view where);

/// A track's audio in memory: the mixture and its stems, all of one shape.
struct TrackAudio {
  audio::AudioBuffer mixture;
  std::vector<std::string> names;
  std::vector<audio::AudioBuffer> stems;
};

/// One track, opened lazily.
struct Track {
  std::string name;    ///< "Artist - Title"
  std::string subset;  ///< "train" or "test"
  std::string split;   ///< "train", "valid" or "test"
  /// Container, or mixture and stems (order of `stems`); empty for synthetic songs.
  std::vector<std::filesystem::path> files;
  std::vector<std::string> stems;  ///< in the data set's order
  int rate_hz = 0;
  int channels = 0;
  std::int64_t samples = 0;          ///< as headers say; the decoder decides
  std::string erratum;               ///< published defect of this track, empty = none
  std::optional<ErrorParts> defect;  ///< why the track cannot be loaded, where its folder shows it; load() throws this
  std::uint64_t synth_seed = 0;      ///< synthetic songs: datasets/synth/songs.h
  int synth_song = -1;

  double seconds() const { return rate_hz > 0 ? static_cast<double>(samples) / rate_hz : 0; }
};

struct Selection {
  std::string subset{};  ///< "train" (all 100 of MUSDB18, as in musdb), "test", or "" = both
  std::string split{};   ///< "train" (86) or "valid" (14); only with subset "" or "train"
  /// Names, or patterns with * and ? where no track is called so; empty = all.
  std::vector<std::string> tracks{};
  std::int64_t limit = 0;  ///< first n; 0 = all
};

class Dataset {
 public:
  /// "MUSDB18" or "MUSDB18-HQ" where all tracks are published ones (with "-sample" when some are shorter), "MIR-1K",
  /// "synthetic-v2" for the built-in songs (with ":seconds=S,seed=N" where these are not the default; the number is
  /// synth::kSynthVersion), "synthetic-v2:preset=P,seed=N,renderer=R#HASH8" for a folder of `mssbench synth`; any other
  /// set "FOLDER#HASH8", the folder's name and tracks_tag(), which keeps different sets of one name apart.
  const std::string& name() const noexcept { return name_; }
  Layout layout() const noexcept { return layout_; }
  const std::filesystem::path& root() const noexcept { return root_; }
  const std::vector<std::string>& stems() const noexcept { return stems_; }  ///< union over tracks; J = size
  const std::vector<Track>& tracks() const noexcept { return tracks_; }      ///< sorted by (subset, name)
  /// Folders and audio files that no layout rule takes, folders inside tracks among them.
  const std::vector<std::filesystem::path>& ignored() const noexcept { return ignored_; }
  /// What was taken for what, where names say something else: "'other' is taken for 'accompaniment' (100 tracks)".
  const std::vector<std::string>& notes() const noexcept { return notes_; }
  /// Throws Error(dataset) for an empty selection or unknown names (with the nearest).
  std::vector<Track> select(const Selection& selection) const;
  /// Decodes a track. Throws Error(dataset) naming track and file for stems of unequal length, rate or channels, for 0
  /// samples and for missing stems or mixture; Error(numeric) with channel and sample for NaN or infinity; what
  /// audio/file.h throws otherwise.
  TrackAudio load(const Track& track) const;
  /// One stem alone; an empty buffer where the track has none of this name. Works also for a track that lacks another
  /// stem or its mixture. Errors about the stem's file as load() has them.
  audio::AudioBuffer load_stem(const Track& track, std::string_view name) const;
  /// The mixture alone, with the same errors about it.
  audio::AudioBuffer load_mixture(const Track& track) const;
  /// A derived target of a loaded track: a stem's name, "accompaniment" (sum of all stems but vocals) or
  /// "linear_mixture" (sum of all), gain 1. Throws Error(dataset) when it cannot be built.
  static audio::AudioBuffer target(const TrackAudio& audio, std::string_view name);
  /// Identity. One file (stem.mp4, MIR-1K): the SHA-256 of its bytes, as published for MUSDB18. Several: the SHA-256 of
  /// the text
  /// "<sha256 of file>  <file name>\n" over `files` in order. Synthetic: of the text that names version, seed, song and
  /// samples.
  std::string sha256(const Track& track) const;
  /// Mean-square level of the mixture in every whole second, all channels together, in dB re full scale (-120 floor; a
  /// mixture shorter than a second gives one value): similar for the same song in another container.
  std::vector<double> levels_db(const Track& track) const;

 private:
  friend Dataset open(const std::string&, Layout);
  std::string name_;
  Layout layout_ = Layout::automatic;
  std::filesystem::path root_;
  std::vector<std::string> stems_;
  std::vector<Track> tracks_;
  std::vector<std::filesystem::path> ignored_;
  std::vector<std::string> notes_;
};

/// `where` is a folder, "synthetic" (optionally "synthetic:songs=4,seconds=12,seed=1"), or a name ("musdb18",
/// "musdb18hq") found through the environment variable MUSDB_PATH (that folder itself, or a folder of the name in it);
/// a folder of that name in the working directory comes first. Names are case-insensitive. Throws Error(dataset): no
/// such folder or name, nothing in it, one track instead of a folder of tracks, no mixture anywhere; Error(io): an
/// unreadable folder. A single defective track does not stop the rest: load() throws for it.
Dataset open(const std::string& where, Layout layout = Layout::automatic);

/// A folder of stems, or a stem.mp4, as a track without subset and split. Its files' header facts are those of the
/// mixture, or of the first stem.
Track track_of(const StemFolder& folder);
Track track_of(const std::filesystem::path& container);
/// What Dataset::load does for a track of several files, but that the mixture may be missing (an empty buffer then).
TrackAudio load_files(const Track& track);
/// What Dataset::load does for a stem.mp4.
TrackAudio load_container(const std::filesystem::path& path);

/// Eight hexadecimal digits that keep sets of tracks of one name apart: of the SHA-256 over every track's subset, name,
/// length, rate and stems, whatever their order. Mending a file does not change it; other audio of the same names and
/// lengths is told by the tracks' fingerprints (sha256()).
std::string tracks_tag(const std::vector<Track>& tracks);

/// The levels of Dataset::levels_db for audio in memory.
std::vector<double> levels_db(audio::AudioView mixture);

/// Two level vectors of the same song? Median absolute difference over the common length, seconds that are silent (-100
/// dB or less) in both left out, at most `tolerance_db`. False when nothing is left to compare.
/// Recoding moves a level by less than 0.1 dB; different songs come as near as 0.3 dB (docs/datasets.md).
bool similar_levels(const std::vector<double>& a, const std::vector<double>& b, double tolerance_db = 0.25);

/// MUSDB18's published facts (configs of musdb, SiSEC 2018, LFS pointers; docs/datasets.md).
struct MusdbFact {
  std::string split;  ///< train (86), valid (14), test (50)
  std::string name, genre, source, license;
  std::int64_t stem_mp4_bytes = 0;
  std::string stem_mp4_sha256;
  double seconds = 0;      ///< estimated from the size, within 0.5 s
  int sisec18_frames = 0;  ///< 1-s BSS Eval frames that SiSEC 2018 published; 0 outside the test set
  std::string erratum;
};
const std::vector<MusdbFact>& musdb_facts();
/// The fact sheet of a track by its exact name, nullptr for others.
const MusdbFact* musdb_fact(std::string_view track_name);

}  // namespace mss::datasets
