#include "cli/pairing.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "audio/file.h"
#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/text.h"
#include "records/store.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using audio::AudioBuffer;
using datasets::Track;
using datasets::TrackAudio;

/// A folder of audio files that stands for one track.
struct TrackFolder {
  std::string subset, name;  ///< subset empty where the tree has no such level
  fs::path folder;
  std::vector<TargetFile> files;
};

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool is_stem_container(const fs::path& path) { return core::to_lower(path.filename().string()).ends_with(".stem.mp4"); }

/// The name of a folder given as "x", "x/" or ".".
std::string folder_name(const fs::path& folder) {
  std::error_code ignored;
  const fs::path absolute = fs::weakly_canonical(folder, ignored);
  return absolute.filename().empty() ? folder.string() : absolute.filename().string();
}

std::vector<TargetFile> audio_files(const fs::path& folder) {
  static const std::set<std::string> extensions = {".wav", ".flac", ".aiff", ".aif", ".ogg", ".mp3", ".m4a"};
  std::vector<TargetFile> files;
  for (const fs::path& path : core::list_directory(folder)) {
    if (path.filename().string().starts_with('.') || is_folder(path)) continue;
    if (extensions.count(core::to_lower(path.extension().string())) == 0) continue;
    const std::string target = path.stem().string();
    for (const TargetFile& other : files) {
      if (other.first == target) {
        throw Error({Code::dataset, folder.string(), "two files for the target '" + target + "'", "one",
                     other.second.filename().string() + " and " + path.filename().string(), "remove one of them"});
      }
    }
    files.emplace_back(target, path);
  }
  return files;
}

/// [subset/]track/ folders with audio in them.
std::vector<TrackFolder> scan_tree(const fs::path& root) {
  std::vector<TrackFolder> out;
  const auto add = [&](const std::string& subset, const fs::path& folder) {
    std::vector<TargetFile> files = audio_files(folder);
    if (files.empty()) return false;
    out.push_back({subset, folder.filename().string(), folder, std::move(files)});
    return true;
  };
  for (const fs::path& folder : core::list_directory(root)) {
    if (!is_folder(folder) || folder.filename().string().starts_with('.')) continue;
    if (add("", folder)) continue;
    for (const fs::path& inner : core::list_directory(folder)) {
      if (is_folder(inner)) add(folder.filename().string(), inner);
    }
  }
  return out;
}

const std::vector<std::string>& usual_order() {
  static const std::vector<std::string> order = {"drums", "bass", "other", "vocals"};
  return order;
}

/// Stems of a folder of references with their files, after the mixture (if there is one); MUSDB18's order, then names.
Track stem_folder_track(const std::vector<TargetFile>& files) {
  Track track;
  std::vector<TargetFile> stems;
  fs::path mixture;
  bool others = false;
  for (const TargetFile& file : files)
    others = others || (file.first != "vocals" && file.first != "accompaniment" && file.first != "mixture" &&
                        file.first != "linear_mixture");
  for (const TargetFile& file : files) {
    if (file.first == "mixture") {
      mixture = file.second;
    } else if (file.first != "linear_mixture" && !(file.first == "accompaniment" && others)) {
      stems.push_back(file);
    }
  }
  const auto rank = [](const std::string& name) {
    return std::find(usual_order().begin(), usual_order().end(), name) - usual_order().begin();
  };
  std::stable_sort(stems.begin(), stems.end(),
                   [&](const TargetFile& a, const TargetFile& b) { return rank(a.first) < rank(b.first); });
  if (!mixture.empty()) track.files.push_back(mixture);
  for (const auto& [name, path] : stems) {
    track.stems.push_back(name);
    track.files.push_back(path);
  }
  if (!stems.empty()) {
    const audio::FileInfo info = audio::probe(stems.front().second);
    track.rate_hz = info.rate_hz;
    track.channels = info.channels;
    track.samples = info.samples.value_or(0);
  }
  return track;
}

std::string shape_text(audio::AudioView audio) {
  return fmt::format("{} samples, {} channels, {} Hz", audio.samples(), audio.channels(), audio.rate_hz());
}

void require_finite(const AudioBuffer& audio, const fs::path& path) {
  const audio::SamplePosition bad = audio::find_non_finite(audio);
  if (bad.channel < 0) return;
  throw Error({Code::numeric, path.string(), "a sample is not a number", "finite samples",
               fmt::format("{} at channel {}, sample {}",
                           audio.channel(bad.channel)[static_cast<std::size_t>(bad.sample)], bad.channel, bad.sample),
               ""});
}

/// Reads what Dataset::load would refuse for its missing mixture.
TrackAudio load_files(const Track& track) {
  TrackAudio out;
  out.names = track.stems;
  const bool has_mixture = track.files.size() > track.stems.size();
  for (std::size_t i = 0; i < track.files.size(); ++i) {
    const fs::path& path = track.files[i];
    AudioBuffer audio = audio::read_file(path);
    if (audio.samples() == 0) {
      throw Error({Code::dataset, path.string(), "no samples", "at least one sample", "0 samples", ""});
    }
    require_finite(audio, path);
    const AudioBuffer* first = !out.stems.empty() ? &out.stems.front() : has_mixture && i > 0 ? &out.mixture : nullptr;
    if (first != nullptr && !audio::same_shape(*first, audio)) {
      throw Error(
          {Code::dataset, path.string(), "the references differ in shape", shape_text(*first), shape_text(audio), ""});
    }
    if (has_mixture && i == 0) {
      out.mixture = std::move(audio);
    } else {
      out.stems.push_back(std::move(audio));
    }
  }
  return out;
}

TrackAudio load_container(const Track& track) {
  std::vector<AudioBuffer> streams = audio::read_streams(track.files.front());
  if (streams.size() != usual_order().size() + 1) {
    throw Error({Code::dataset, track.files.front().string(), "wrong number of audio streams",
                 "5 (mixture, drums, bass, other, vocals)", std::to_string(streams.size()), ""});
  }
  TrackAudio out;
  out.mixture = std::move(streams.front());
  out.names = usual_order();
  out.stems.assign(std::make_move_iterator(streams.begin() + 1), std::make_move_iterator(streams.end()));
  return out;
}

Pairing pair_plain(const fs::path& references, const fs::path& estimates, std::vector<TargetFile> files) {
  Pairing out;
  out.plain = true;
  Track track;
  if (is_stem_container(references)) {
    const audio::FileInfo info = audio::probe(references);
    track.files = {references};
    track.stems = usual_order();
    track.rate_hz = info.rate_hz;
    track.channels = info.channels;
    track.samples = info.samples.value_or(0);
    track.name = references.filename().string();
    track.name.resize(track.name.size() - std::string_view(".stem.mp4").size());
  } else {
    const std::vector<TargetFile> found = is_folder(references) ? audio_files(references) : std::vector<TargetFile>{};
    if (found.empty()) {
      throw Error({Code::dataset, references.string(),
                   "no references beside the one folder of estimates " + estimates.string(),
                   "a folder with one audio file per target, or a stem.mp4",
                   is_folder(references) ? "no audio in the folder itself" : "no such folder", ""});
    }
    track = stem_folder_track(found);
    track.name = folder_name(references);
  }
  track.subset = track.split = "test";
  out.dataset = track.name;
  out.stems = track.stems;
  out.pairs.push_back({std::move(track), std::move(files)});
  return out;
}

}  // namespace

Pairing pair_up(const std::string& references, const std::string& estimates) {
  const fs::path estimate_root = estimates;
  if (!is_folder(estimate_root)) {
    std::error_code ignored;
    throw Error({Code::io, estimates, fs::exists(estimate_root, ignored) ? "not a folder" : "no such folder",
                 "a folder of estimates", "", ""});
  }
  if (std::vector<TargetFile> files = audio_files(estimate_root); !files.empty()) {
    return pair_plain(references, estimate_root, std::move(files));
  }
  const std::vector<TrackFolder> folders = scan_tree(estimate_root);
  if (folders.empty()) {
    throw Error(
        {Code::dataset, estimates, "no estimates found", "[subset/]track/target.wav (or flac)", "no such files", ""});
  }

  Pairing out;
  std::vector<Track> tracks;
  std::vector<TrackFolder> reference_folders;
  try {
    out.set = datasets::open(references);
    tracks = out.set->tracks();
    out.dataset = out.set->name();
    out.stems = out.set->stems();
  } catch (const Error& error) {
    // A tree of stems without mixtures is no data set, but it can be scored against.
    if (error.code() != Code::dataset || !is_folder(references)) throw;
    reference_folders = scan_tree(references);
    if (reference_folders.empty()) throw;
    out.dataset = folder_name(references);
    std::set<std::string> names;
    for (const TrackFolder& folder : reference_folders) {
      Track track = stem_folder_track(folder.files);
      track.name = folder.name;
      track.subset = track.split = folder.subset.empty() ? "test" : folder.subset;
      names.insert(track.stems.begin(), track.stems.end());
      tracks.push_back(std::move(track));
    }
    out.stems.assign(names.begin(), names.end());
  }

  std::vector<bool> used(folders.size(), false);
  std::vector<std::string> track_names;
  for (const Track& track : tracks) {
    track_names.push_back(track.name);
    std::size_t found = folders.size();
    for (std::size_t i = 0; i < folders.size(); ++i) {
      if (folders[i].name != track.name && folders[i].name != records::path_component(track.name)) continue;
      if (folders[i].subset == track.subset || folders[i].subset == track.split) {
        found = i;
        break;
      }
      if (folders[i].subset.empty()) found = i;
    }
    if (found == folders.size()) {
      out.without_estimates.push_back(track.subset + "/" + track.name);
      continue;
    }
    used[found] = true;
    out.pairs.push_back({track, folders[found].files});
  }
  for (std::size_t i = 0; i < folders.size(); ++i) {
    if (!used[i]) out.without_references.push_back(folders[i].folder.string());
  }
  if (out.pairs.empty()) {
    throw Error({Code::dataset, estimates, "no folder is named like a track of " + references,
                 "names such as '" + track_names.front() + "'", "'" + folders.front().name + "'",
                 core::did_you_mean(folders.front().name, track_names)});
  }
  return out;
}

TrackAudio load_references(const Pairing& pairing, const Pair& pair) {
  const Track& track = pair.track;
  if (pairing.plain && is_stem_container(track.files.front())) return load_container(track);
  if (!pairing.set) return load_files(track);
  const bool lacks_mixture = track.defect && !track.stems.empty() && track.files.size() == track.stems.size();
  return lacks_mixture ? load_files(track) : pairing.set->load(track);
}

std::string references_sha256(const Pairing& pairing, const Pair& pair) {
  if (pairing.set) return pairing.set->sha256(pair.track);
  std::string lines;
  for (const fs::path& path : pair.track.files)
    lines += core::sha256_file(path) + "  " + path.filename().string() + "\n";
  return core::sha256_hex(lines);
}

}  // namespace mss::cli
