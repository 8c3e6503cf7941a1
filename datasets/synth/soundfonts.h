// The soundfonts that FluidSynth plays the composed songs with. None is shipped: they are Debian packages, and are told
// by their SHA-256, not by their names. Training and validation songs use one font, test songs others, so that a method
// never hears the test's instruments while it learns.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/progress.h"
#include "datasets/synth/score.h"

namespace mss::datasets::synth {

enum class Font { fluid_r3, timgm6mb, black_pearl, red_zeppelin };
inline constexpr std::size_t kFonts = 4;

struct FontFacts {
  Font font;
  std::string_view file, package;
  std::uintmax_t bytes;
  std::string_view sha256;  ///< the first 16 digits
};
const FontFacts& facts_of(Font font);

/// The fonts that songs of a split need.
std::vector<Font> fonts_of(Split split);
/// The font of one part of a song.
Font font_of(const Score& score, Part part);

struct FoundFont {
  std::filesystem::path path;
  std::string sha256;
  bool published = true;  ///< false: a file of the right name with other content
};

/// Looks for a font in `folders` (a file among them counts too), then in the folders of the environment variable
/// MSSBENCH_SOUNDFONTS (separated by ':'), then in the share folders (sounds/sf2 in XDG_DATA_DIRS or /usr/local/share and
/// /usr/share). A file of the published size and hash is the font, whatever its name; else a file of its name is taken
/// with a warning to `log`. Throws Error(config) that names the Debian package and the folders looked in.
FoundFont find_font(Font font, const std::vector<std::filesystem::path>& folders, const core::LogFn& log = {});

/// Is every font of the splits to be found? The first missing one's package, empty if all are there.
std::string missing_package(const std::vector<Split>& splits, const std::vector<std::filesystem::path>& folders);

}  // namespace mss::datasets::synth
