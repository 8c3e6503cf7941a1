#include "cli/pairing.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "audio/file.h"
#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/text.h"
#include "core/unicode.h"
#include "records/store.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using datasets::StemFile;
using datasets::StemFolder;
using datasets::Track;
using datasets::TrackAudio;

/// Folders of folders of … that are looked through for tracks.
constexpr int kDepth = 5;

/// A folder of audio files that stands for one track, and the folders that it lies in below the root.
struct TrackFolder {
  std::vector<std::string> levels;
  StemFolder stems;
  std::string name() const { return stems.folder.filename().string(); }
};

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool is_subset(const std::string& level) {
  static const std::set<std::string> names = {"train", "test", "valid", "dev"};
  return names.contains(core::to_lower(level));
}

StemFolder read_folder(const fs::path& folder) {
  StemFolder stems = datasets::read_stem_folder(folder);
  if (stems.defect) throw Error(*stems.defect);
  return stems;
}

void scan(const fs::path& folder, std::vector<std::string>& levels, std::vector<TrackFolder>& out) {
  for (const fs::path& inner : core::list_directory(folder)) {
    if (!is_folder(inner) || inner.filename().string().starts_with('.')) continue;
    StemFolder stems = read_folder(inner);
    if (!stems.empty()) {
      out.push_back({levels, std::move(stems)});
    } else if (static_cast<int>(levels.size()) < kDepth) {
      levels.push_back(inner.filename().string());
      scan(inner, levels, out);
      levels.pop_back();
    }
  }
}

std::vector<TrackFolder> scan_tree(const fs::path& root) {
  std::vector<TrackFolder> out;
  std::vector<std::string> levels;
  scan(root, levels, out);
  return out;
}

/// Collects what was taken for what, each once.
class Notes {
 public:
  void add(const StemFolder& folder) {
    for (const auto& names : folder.taken) ++counts_[names];
  }
  void write(std::string_view whose, std::vector<std::string>& out) const {
    for (const auto& [names, count] : counts_) {
      out.push_back(fmt::format("{}: '{}' is taken for '{}' ({} track{})", whose, names.first, names.second, count,
                                count == 1 ? "" : "s"));
    }
  }

 private:
  std::map<std::pair<std::string, std::string>, int> counts_;
};

/// Estimates of one track, named like the references where these are vocals and accompaniment.
std::vector<StemFile> estimates_of(StemFolder& folder, const std::vector<std::string>& references) {
  if (references == std::vector<std::string>{"accompaniment", "vocals"}) {
    name_accompaniment(folder);
    if (folder.stems.size() == 1 && folder.derived.empty() &&
        datasets::pair_accompaniment({folder.stems[0].name, "vocals"})) {
      folder.taken.emplace_back(folder.stems[0].name, "accompaniment");
      folder.stems[0].name = "accompaniment";
    }
  }
  std::vector<StemFile> files = folder.stems;
  files.insert(files.end(), folder.derived.begin(), folder.derived.end());
  if (folder.mixture) files.push_back({"mixture", *folder.mixture});
  return files;
}

Pairing pair_plain(const fs::path& references, StemFolder estimates) {
  Pairing out;
  out.plain = true;
  Notes notes, estimate_notes;
  Track track;
  if (datasets::is_stem_container(references)) {
    (void)audio::probe(references);  // throws what is wrong with it
    track = datasets::track_of(references);
  } else {
    StemFolder folder;
    if (is_folder(references)) folder = read_folder(references);
    if (folder.stems.empty()) {
      throw Error({Code::dataset, references.string(),
                   "no references beside the one folder of estimates " + estimates.folder.string(),
                   "a folder with one audio file per target, or a stem.mp4",
                   is_folder(references) ? "no audio in the folder itself" : "no such folder", ""});
    }
    name_accompaniment(folder);
    notes.add(folder);
    track = datasets::track_of(folder);
  }
  track.subset = track.split = "test";
  out.dataset = track.name + "#" + datasets::tracks_tag({track});
  out.stems = track.stems;
  std::vector<StemFile> files = estimates_of(estimates, out.stems);
  estimate_notes.add(estimates);
  notes.write("references", out.notes);
  estimate_notes.write("estimates", out.notes);
  out.pairs.push_back({std::move(track), std::move(files), estimates.folder});
  return out;
}

/// A tree of stems without mixtures is no data set, but it can be scored against.
std::vector<Track> tracks_without_mixtures(const std::string& references, Pairing& out) {
  std::vector<TrackFolder> folders = scan_tree(references);
  std::set<std::string> names;
  for (const TrackFolder& folder : folders) {
    for (const StemFile& stem : folder.stems.stems) names.insert(stem.name);
  }
  const bool pair = datasets::pair_accompaniment({names.begin(), names.end()}).has_value();
  Notes notes;
  names.clear();
  std::vector<Track> tracks;
  for (TrackFolder& folder : folders) {
    if (pair) name_accompaniment(folder.stems);
    notes.add(folder.stems);
    Track track = datasets::track_of(folder.stems);
    const auto subset = std::find_if(folder.levels.begin(), folder.levels.end(), is_subset);
    track.subset = track.split = subset == folder.levels.end() ? "test" : core::to_lower(*subset);
    names.insert(track.stems.begin(), track.stems.end());
    tracks.push_back(std::move(track));
  }
  notes.write("references", out.notes);
  out.stems.assign(names.begin(), names.end());
  datasets::sort_stems(out.stems);
  out.dataset = datasets::song_name(references) + "#" + datasets::tracks_tag(tracks);
  return tracks;
}

/// The folder of estimates of a track: of its own subset first, then one under no subset's name. Null: none.
TrackFolder* find_folder(std::vector<TrackFolder>& folders, const Track& track) {
  const std::string name = core::decomposed(track.name), component = records::path_component(track.name);
  TrackFolder* found = nullptr;
  bool found_in_subset = false;
  for (TrackFolder& folder : folders) {
    if (core::decomposed(folder.name()) != name && folder.name() != component) continue;
    bool own = false, foreign = false;
    for (const std::string& level : folder.levels) {
      const std::string lower = core::to_lower(level);
      own = own || lower == track.subset || lower == track.split;
      foreign = foreign || (is_subset(level) && lower != track.subset && lower != track.split);
    }
    if (foreign && !own) continue;
    if (found != nullptr && own == found_in_subset) {
      throw Error({Code::dataset, track.name, "two folders of estimates for this track", "one",
                   found->stems.folder.string() + " and " + folder.stems.folder.string(),
                   "give the folder of one set of estimates"});
    }
    if (found == nullptr || own) {
      found = &folder;
      found_in_subset = own;
    }
  }
  return found;
}

}  // namespace

Pairing pair_up(const std::string& references, const std::string& estimates) {
  const fs::path estimate_root = estimates;
  if (!is_folder(estimate_root)) {
    std::error_code ignored;
    throw Error({Code::io, estimates, fs::exists(estimate_root, ignored) ? "not a folder" : "no such folder",
                 "a folder of estimates", "", ""});
  }
  if (StemFolder folder = read_folder(estimate_root); !folder.empty()) {
    return pair_plain(references, std::move(folder));
  }
  std::vector<TrackFolder> folders = scan_tree(estimate_root);
  if (folders.empty()) {
    throw Error({Code::dataset, estimates, "no estimates found",
                 "[subset/]track/target.wav (or " + datasets::audio_extensions() + ")", "no such files", ""});
  }

  Pairing out;
  std::vector<Track> tracks;
  try {
    out.set = datasets::open(references);
    tracks = out.set->tracks();
    out.dataset = out.set->name();
    out.stems = out.set->stems();
    for (const std::string& note : out.set->notes()) out.notes.push_back("references: " + note);
  } catch (const Error& error) {
    if (error.code() != Code::dataset || !is_folder(references)) throw;
    tracks = tracks_without_mixtures(references, out);
    if (tracks.empty()) throw;
  }

  Notes notes;
  std::set<const TrackFolder*> used;
  std::set<std::string> levels;
  std::vector<std::string> track_names;
  for (const Track& track : tracks) {
    track_names.push_back(track.name);
    TrackFolder* folder = find_folder(folders, track);
    if (folder == nullptr) {
      out.without_estimates.push_back(track.subset + "/" + track.name);
      continue;
    }
    used.insert(folder);
    for (const std::string& level : folder->levels) {
      if (!is_subset(level)) levels.insert(level);
    }
    std::vector<StemFile> files = estimates_of(folder->stems, out.stems);
    notes.add(folder->stems);
    out.pairs.push_back({track, std::move(files), folder->stems.folder});
  }
  notes.write("estimates", out.notes);
  if (!levels.empty()) {
    out.notes.push_back("estimates: taken from " +
                        core::join(std::vector<std::string>(levels.begin(), levels.end()), ", ") + " in " + estimates);
  }
  for (const TrackFolder& folder : folders) {
    if (!used.contains(&folder)) out.without_references.push_back(folder.stems.folder.string());
  }
  if (out.pairs.empty()) {
    throw Error({Code::dataset, estimates, "no folder is named like a track of " + references,
                 "names such as '" + track_names.front() + "'", "'" + folders.front().name() + "'",
                 core::did_you_mean(folders.front().name(), track_names)});
  }
  return out;
}

TrackAudio load_references(const Pairing& pairing, const Pair& pair) {
  const Track& track = pair.track;
  if (pairing.plain && datasets::is_stem_container(track.files.front())) {
    return datasets::load_container(track.files.front());
  }
  const bool lacks_mixture = track.defect && !track.stems.empty() && track.files.size() == track.stems.size();
  return pairing.set && !lacks_mixture ? pairing.set->load(track) : datasets::load_files(track);
}

std::string references_sha256(const Pairing& pairing, const Pair& pair) {
  if (pairing.set) return pairing.set->sha256(pair.track);
  std::string lines;
  for (const fs::path& path : pair.track.files)
    lines += core::sha256_file(path) + "  " + path.filename().string() + "\n";
  return core::sha256_hex(lines);
}

}  // namespace mss::cli
