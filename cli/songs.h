// What `separate` is given: files, and folders that stand for the songs in them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"

namespace mss::cli {

struct Song {
  std::filesystem::path file;
  std::string given;                 ///< as it stands in messages
  std::string name;                  ///< of the track: the file's, or the folder's whose mixture this is
  std::optional<ErrorParts> defect;  ///< a folder that cannot be read, or one without audio
};

/// Files as they are; a folder becomes, in the order of names, the audio files in it and in the folders below it. A
/// folder that holds a mixture is a track with its stems: the song is the mixture, and its name the folder's. Hidden
/// entries are left out. Files are not looked at.
std::vector<Song> songs_of(const std::vector<std::string>& given);

}  // namespace mss::cli
