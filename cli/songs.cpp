#include "cli/songs.h"

#include "core/error.h"
#include "core/file.h"
#include "datasets/stem_folder.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kDepth = 8;

void scan(const fs::path& folder, int depth, std::vector<Song>& out) {
  // A track folder with its stems; two files for one signal are no concern here, the mixture is one file or none.
  const datasets::StemFolder stems = datasets::read_stem_folder(folder);
  if (stems.mixture && !stems.stems.empty()) {
    out.push_back({*stems.mixture, stems.mixture->string(), datasets::song_name(folder), {}});
    return;
  }
  for (const fs::path& entry : core::list_directory(folder)) {
    if (entry.filename().string().starts_with('.')) continue;
    std::error_code ignored;
    if (fs::is_directory(entry, ignored)) {
      if (depth < kDepth) scan(entry, depth + 1, out);
    } else if (datasets::is_audio_file(entry) || datasets::is_stem_container(entry)) {
      out.push_back({entry, entry.string(), datasets::song_name(entry), {}});
    }
  }
}

}  // namespace

std::vector<Song> songs_of(const std::vector<std::string>& given) {
  std::vector<Song> out;
  for (const std::string& text : given) {
    std::error_code ignored;
    if (!fs::is_directory(text, ignored)) {
      out.push_back({text, text, datasets::song_name(text), {}});
      continue;
    }
    std::vector<Song> inside;
    std::optional<ErrorParts> defect;
    try {
      scan(text, 0, inside);
    } catch (const Error& error) {
      if (error.code() == Code::cancelled) throw;
      defect = error.parts();
    }
    if (inside.empty() && !defect) {
      defect = ErrorParts{Code::dataset,
                          text,
                          "a folder without audio",
                          "files such as song.wav (or " + datasets::audio_extensions() + ")",
                          "none",
                          ""};
    }
    out.insert(out.end(), inside.begin(), inside.end());
    if (defect) out.push_back({text, text, datasets::song_name(text), defect});
  }
  return out;
}

}  // namespace mss::cli
