// What a folder of stems is: which files are audio, which signal each one is, which are sums of others, in which order
// they stand. Data sets, `evaluate`, `separate --references` and training all ask here.
//
// Files. Every extension that audio/file.h reads, in any case (wav, flac, aiff, ogg, opus, mp3, m4a, w64, caf, mka, …),
// but NAME.stem.mp4, which holds a whole track. Names that start with a dot are nobody's.
//
// Names. A signal is named by the file's name without its extension. MUSDB18's names count in any case and with these
// other spellings:
//   vocals          vocal, voice, singing
//   mixture         mix
//   accompaniment   instrumental, no_vocals, novocals, instrum
// and where all audio files of the folder begin alike, or with the folder's name ("Song_vocals.wav", "1_Song_(Vocals).wav"),
// that beginning is no part of the names. Any other name is a stem of that name, as written.
//
// Sums. `accompaniment` and `linear_mixture` are derived signals where the files that they are sums of lie beside them
// (musdbconvert writes both), else stems: vocals and accompaniment are a set of two stems.
//
// Pairs. In a folder (or a data set) whose stems are vocals and one of `other` and `background`, that one is the
// accompaniment under another name (pair_accompaniment()); so methods that yield vocals and accompaniment and methods
// that yield a data set's stems stand in one table.
//
// Order. drums, bass, other, vocals (the streams of a stem.mp4) where every name is one of the four, else by name.
//
// Thread-safety: pure but for reading the folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"

namespace mss::datasets {

struct StemFile {
  std::string name;  ///< of the signal
  std::filesystem::path path;
};

struct StemFolder {
  std::filesystem::path folder;
  std::optional<std::filesystem::path> mixture;
  std::vector<StemFile> stems;    ///< in order
  std::vector<StemFile> derived;  ///< sums of the stems
  /// What was taken for what, where a name says something else: ("…_vocals", "vocals").
  std::vector<std::pair<std::string, std::string>> taken;
  /// Folders inside, which nothing looks into, and lossy copies of a signal that is there without loss.
  std::vector<std::filesystem::path> ignored;
  std::optional<ErrorParts> defect;  ///< two files for one signal

  bool empty() const noexcept { return !mixture && stems.empty() && derived.empty(); }
};

/// Throws Error(io) where the folder cannot be listed.
StemFolder read_stem_folder(const std::filesystem::path& folder);

/// An audio file by its name: extension known, not hidden, no stem.mp4. Folders are none.
bool is_audio_file(const std::filesystem::path& path);
bool is_stem_container(const std::filesystem::path& path);
/// A file's name without ".stem.mp4", or without its extension; a folder's name as it is.
std::string song_name(const std::filesystem::path& path);
/// "wav, flac, aiff, …", for messages.
std::string audio_extensions();

/// MUSDB18's stems in the order of its streams.
const std::vector<std::string>& musdb_stems();
/// The usual order.
void sort_stems(std::vector<std::string>& names);
/// The name that stands for the accompaniment where `names` are vocals and it ("other", "background"); else nothing.
std::optional<std::string> pair_accompaniment(const std::vector<std::string>& names);
/// Renames it in a folder of its own (a data set decides over all its tracks).
void name_accompaniment(StemFolder& folder);

}  // namespace mss::datasets
