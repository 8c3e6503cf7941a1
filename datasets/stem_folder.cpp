#include "datasets/stem_folder.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "core/file.h"
#include "core/text.h"

namespace mss::datasets {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStemSuffix = ".stem.mp4";

constexpr std::array kExtensions = {"wav", "flac", "aiff", "aif",  "aifc", "ogg", "oga", "opus", "mp3", "m4a", "aac",
                                    "mp4", "w64",  "rf64", "wave", "bwf",  "caf", "au",  "mka",  "wma", "wv",  "ape"};

constexpr std::array kLossy = {"ogg", "oga", "opus", "mp3", "m4a", "aac", "mp4", "wma"};

std::string extension_of(const fs::path& path) {
  std::string extension = core::to_lower(path.extension().string());
  if (!extension.empty()) extension.erase(0, 1);
  return extension;
}

/// The usual name of a signal that is written in this way; nothing for any other.
std::optional<std::string> usual_name(std::string_view written) {
  static const std::map<std::string, std::string> names = {{"drums", "drums"},
                                                           {"bass", "bass"},
                                                           {"other", "other"},
                                                           {"vocals", "vocals"},
                                                           {"vocal", "vocals"},
                                                           {"voice", "vocals"},
                                                           {"singing", "vocals"},
                                                           {"mixture", "mixture"},
                                                           {"mix", "mixture"},
                                                           {"accompaniment", "accompaniment"},
                                                           {"instrumental", "accompaniment"},
                                                           {"instrum", "accompaniment"},
                                                           {"no_vocals", "accompaniment"},
                                                           {"novocals", "accompaniment"},
                                                           {"linear_mixture", "linear_mixture"}};
  const auto found = names.find(core::to_lower(written));
  if (found == names.end()) return std::nullopt;
  return found->second;
}

/// What stands before a usual name at the end of `written`, separator included ("Song_" of "Song_vocals", "1_Song_(" of
/// "1_Song_(Vocals)"); the longest name counts ("Song_no_vocals" ends in no_vocals, not in vocals).
std::optional<std::string> prefix_of(const std::string& written) {
  for (std::size_t at = 1; at < written.size(); ++at) {
    const char before = written[at - 1];
    if (before != '_' && before != '-' && before != ' ' && before != '.' && before != '(') continue;
    std::string rest = written.substr(at);
    if (before == '(' && !rest.empty() && rest.back() == ')') rest.pop_back();
    if (usual_name(rest)) return written.substr(0, at);
  }
  return std::nullopt;
}

/// The beginning of all names that is no part of them; "" where there is none.
std::string common_prefix(const std::vector<std::string>& written, const std::string& folder) {
  if (std::any_of(written.begin(), written.end(),
                  [](const std::string& name) { return usual_name(name).has_value(); })) {
    return "";
  }
  for (const std::string& name : written) {
    const std::optional<std::string> prefix = prefix_of(name);
    if (!prefix) continue;
    const bool all = std::all_of(written.begin(), written.end(), [&](const std::string& other) {
      return other.starts_with(*prefix) && other.size() > prefix->size();
    });
    const bool own = core::to_lower(*prefix).starts_with(core::to_lower(folder));
    return all && (written.size() > 1 || own) ? *prefix : "";
  }
  return "";
}

bool has(const std::vector<StemFile>& files, std::string_view name) {
  return std::any_of(files.begin(), files.end(), [&](const StemFile& file) { return file.name == name; });
}

/// Takes the sums out of the stems.
void move_derived(StemFolder& folder, const std::string& name) {
  const auto at = std::find_if(folder.stems.begin(), folder.stems.end(), [&](const auto& f) { return f.name == name; });
  if (at == folder.stems.end()) return;
  folder.derived.push_back(*at);
  folder.stems.erase(at);
}

bool is_lossy(const fs::path& path) {
  return std::find(kLossy.begin(), kLossy.end(), extension_of(path)) != kLossy.end();
}

/// Puts `path` in the place of `old`, also there.
void replace(StemFolder& folder, fs::path& old, const fs::path& path) {
  if (folder.mixture == old) folder.mixture = path;
  for (StemFile& file : folder.stems) {
    if (file.path == old) file.path = path;
  }
  old = path;
}

void sort_files(std::vector<StemFile>& files) {
  std::vector<std::string> order;
  for (const StemFile& file : files) order.push_back(file.name);
  sort_stems(order);
  const auto rank = [&](const StemFile& file) { return std::find(order.begin(), order.end(), file.name); };
  std::sort(files.begin(), files.end(), [&](const StemFile& a, const StemFile& b) { return rank(a) < rank(b); });
}

}  // namespace

bool is_stem_container(const fs::path& path) { return core::to_lower(path.filename().string()).ends_with(kStemSuffix); }

bool is_audio_file(const fs::path& path) {
  const std::string name = path.filename().string();
  if (name.starts_with('.') || is_stem_container(path)) return false;
  const std::string extension = extension_of(path);
  if (std::find(kExtensions.begin(), kExtensions.end(), extension) == kExtensions.end()) return false;
  std::error_code ignored;
  return !fs::is_directory(path, ignored);
}

std::string song_name(const fs::path& path) {
  std::string name = path.filename().string();
  if (is_stem_container(path) && name.size() > kStemSuffix.size()) {
    name.resize(name.size() - kStemSuffix.size());
    return name;
  }
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {  // "x/", "." and names with dots
    const std::string own = fs::weakly_canonical(path, ignored).filename().string();
    return own.empty() ? path.string() : own;
  }
  return path.stem().string();
}

std::string audio_extensions() {
  return core::join(std::vector<std::string>(kExtensions.begin(), kExtensions.end()), ", ");
}

const std::vector<std::string>& musdb_stems() {
  static const std::vector<std::string> stems = {"drums", "bass", "other", "vocals"};
  return stems;
}

void sort_stems(std::vector<std::string>& names) {
  const auto rank = [](const std::string& name) {
    return std::find(musdb_stems().begin(), musdb_stems().end(), name) - musdb_stems().begin();
  };
  const bool musdb = std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return rank(name) < static_cast<std::ptrdiff_t>(musdb_stems().size());
  });
  std::sort(names.begin(), names.end(),
            [&](const std::string& a, const std::string& b) { return musdb ? rank(a) < rank(b) : a < b; });
}

std::optional<std::string> pair_accompaniment(const std::vector<std::string>& names) {
  if (names.size() != 2) return std::nullopt;
  const auto vocals = std::find(names.begin(), names.end(), "vocals");
  if (vocals == names.end()) return std::nullopt;
  const std::string& name = names[vocals == names.begin() ? 1 : 0];
  const std::string lower = core::to_lower(name);
  if (lower != "other" && lower != "background") return std::nullopt;
  return name;
}

void name_accompaniment(StemFolder& folder) {
  std::vector<std::string> names;
  for (const StemFile& file : folder.stems) names.push_back(file.name);
  const std::optional<std::string> alias = pair_accompaniment(names);
  if (!alias) return;
  for (StemFile& file : folder.stems) {
    if (file.name == *alias) file.name = "accompaniment";
  }
  folder.taken.emplace_back(*alias, "accompaniment");
  sort_files(folder.stems);
}

StemFolder read_stem_folder(const fs::path& folder) {
  StemFolder out;
  out.folder = folder;
  std::vector<fs::path> files;
  std::vector<std::string> written;
  for (const fs::path& path : core::list_directory(folder)) {
    std::error_code ignored;
    if (path.filename().string().starts_with('.')) continue;
    if (fs::is_directory(path, ignored)) {
      out.ignored.push_back(path);
    } else if (is_audio_file(path)) {
      files.push_back(path);
      written.push_back(path.stem().string());  // only the extension goes: "M.E.R.C. Music" keeps its dots
    }
  }
  std::error_code ignored;
  const std::string prefix = common_prefix(written, fs::weakly_canonical(folder, ignored).filename().string());
  std::map<std::string, fs::path> seen;
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::string name = written[i].substr(prefix.size());
    if (prefix.ends_with('(') && name.ends_with(')')) name.pop_back();
    const std::optional<std::string> usual = usual_name(name);
    if (!prefix.empty() || (usual && core::to_lower(name) != *usual)) {
      out.taken.emplace_back((prefix.empty() ? "" : "…" + prefix.substr(prefix.size() - 1)) + name,
                             usual.value_or(name));
    }
    if (usual) name = *usual;
    if (const auto [at, fresh] = seen.emplace(name, files[i]); !fresh) {
      if (is_lossy(files[i]) != is_lossy(at->second)) {
        const bool better = is_lossy(at->second);
        out.ignored.push_back(better ? at->second : files[i]);
        if (better) replace(out, at->second, files[i]);
        continue;
      }
      out.defect = ErrorParts{.code = Code::dataset,
                              .where = folder.string(),
                              .what = "two files for the signal '" + name + "'",
                              .expected = "one",
                              .found = at->second.filename().string() + " and " + files[i].filename().string(),
                              .hint = "remove or rename one of them"};
      continue;
    }
    if (name == "mixture") {
      out.mixture = files[i];
    } else {
      out.stems.push_back({name, files[i]});
    }
  }
  // The accompaniment is the sum of what is neither the voice nor a sum itself.
  const auto parts = std::count_if(out.stems.begin(), out.stems.end(), [](const StemFile& file) {
    return file.name != "vocals" && file.name != "accompaniment" && file.name != "linear_mixture";
  });
  if (parts >= 2 || (parts == 1 && has(out.stems, "vocals"))) move_derived(out, "accompaniment");
  const auto whole = out.stems.size() - (has(out.stems, "linear_mixture") ? 1U : 0U);
  if (whole >= 2) move_derived(out, "linear_mixture");
  sort_files(out.stems);
  return out;
}

}  // namespace mss::datasets
