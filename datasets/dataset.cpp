#include "datasets/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <tuple>

#include "audio/file.h"
#include "audio/stream.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/text.h"
#include "core/unicode.h"
#include "datasets/stem_folder.h"
#include "datasets/synth/set.h"
#include "datasets/synth/songs.h"

namespace mss::datasets {

namespace fs = std::filesystem;
using audio::AudioBuffer;

namespace {

// Singers of MIR-1K; the recipe of Huang et al. (2014) trains on the first two and keeps four of their clips for
// development.
const std::set<std::string> kMir1kSingers = {"abjones",  "amy",   "Ani",          "annar",  "ariel", "bobon",   "bug",
                                             "davidson", "fdps",  "geniusturtle", "heycat", "jmzen", "Kenshin", "khair",
                                             "leon",     "stool", "tammy",        "titon",  "yifen"};
const std::set<std::string> kMir1kTrainSingers = {"abjones", "amy"};
const std::set<std::string> kMir1kDevelopment = {"abjones_5_08", "abjones_5_09", "amy_9_08", "amy_9_09"};

/// Lengths in the table of published tracks are estimates: a song may differ by this much and be the whole song.
constexpr double kPublishedSeconds = 1.5;

[[noreturn]] void fail(Code code, std::string where, std::string what, std::string expected = {},
                       std::string found = {}, std::string hint = {}) {
  throw Error(ErrorParts{.code = code,
                         .where = std::move(where),
                         .what = std::move(what),
                         .expected = std::move(expected),
                         .found = std::move(found),
                         .hint = std::move(hint)});
}

bool ends_with_no_case(std::string_view text, std::string_view lower_suffix) {
  return text.size() >= lower_suffix.size() &&
         core::to_lower(text.substr(text.size() - lower_suffix.size())) == lower_suffix;
}

/// What a folder's entry is to us. Hidden entries (and the "._" companions that macOS writes) are never data.
enum class Kind { hidden, folder, container, sound, other };

Kind kind_of(const fs::path& path) {
  const std::string name = path.filename().string();
  if (name.empty() || name[0] == '.') return Kind::hidden;
  std::error_code error;
  if (fs::is_directory(path, error)) return Kind::folder;
  if (is_stem_container(path)) return Kind::container;
  if (is_audio_file(path)) return Kind::sound;
  return Kind::other;
}

struct Listing {
  std::vector<fs::path> folders, containers, sounds;
};

Listing list(const fs::path& folder) {
  Listing result;
  for (const auto& path : core::list_directory(folder)) {
    switch (kind_of(path)) {
      case Kind::folder:
        result.folders.push_back(path);
        break;
      case Kind::container:
        result.containers.push_back(path);
        break;
      case Kind::sound:
        result.sounds.push_back(path);
        break;
      default:
        break;
    }
  }
  return result;
}

/// Is this file a mixture by its name? (A folder's files may all begin with the song's name: read_stem_folder decides.)
bool is_mixture(const fs::path& path) { return core::to_lower(song_name(path)) == "mixture"; }
bool is_derived(std::string_view name) { return name == "accompaniment" || name == "linear_mixture"; }

std::optional<std::string> mir1k_singer(const fs::path& path) {
  if (!ends_with_no_case(path.filename().string(), ".wav")) return std::nullopt;
  const auto parts = core::split(song_name(path), '_');
  if (parts.size() != 3 || !kMir1kSingers.contains(parts[0])) return std::nullopt;
  for (std::size_t i = 1; i < 3; ++i) {
    if (parts[i].empty() || parts[i].find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  }
  return parts[0];
}

/// A folder that tracks lie in, with the subset and split its name stands for (empty: the tracks' own).
struct Place {
  fs::path folder;
  std::string subset, split;
};

bool is_subset_name(std::string_view name) {
  return name == "train" || name == "test" || name == "valid" || name == "dev";
}

std::vector<Place> places_of(const fs::path& root, const Listing& top, std::vector<fs::path>& ignored) {
  std::vector<Place> places;
  for (const auto& folder : top.folders) {
    const std::string name = core::to_lower(folder.filename().string());
    if (!is_subset_name(name)) continue;
    const Listing inside = list(folder);
    // A song may be called "test": a folder with a mixture in it is a track.
    if (inside.folders.empty() && std::any_of(inside.sounds.begin(), inside.sounds.end(), is_mixture)) continue;
    if (name == "train") places.push_back({folder, "train", ""});
    if (name == "valid" || name == "dev") places.push_back({folder, "train", "valid"});
    if (name == "test") places.push_back({folder, "test", "test"});
  }
  if (places.empty()) return {{root, "", ""}};
  const auto is_place = [&](const fs::path& path) {
    return std::any_of(places.begin(), places.end(), [&](const Place& place) { return place.folder == path; });
  };
  for (const auto& folder : top.folders) {
    if (!is_place(folder)) ignored.push_back(folder);
  }
  ignored.insert(ignored.end(), top.containers.begin(), top.containers.end());
  ignored.insert(ignored.end(), top.sounds.begin(), top.sounds.end());
  return places;
}

/// The folder decides; where it says nothing, the published split does; a track that is in neither is a test track.
void place_track(Track& track, const Place& place, std::string_view known_split) {
  const std::string own_subset = known_split.empty() || known_split == "test" ? "test" : "train";
  track.subset = place.subset.empty() ? own_subset : place.subset;
  if (!place.split.empty()) {
    track.split = place.split;
  } else if (track.subset == "test") {
    track.split = "test";
  } else {
    track.split = known_split == "valid" ? "valid" : "train";
  }
}

/// Facts from the header; a file that cannot be read keeps zeros here and its error for load().
void probe_into(Track& track, const fs::path& path, bool first_channel_only = false) {
  try {
    const auto info = audio::probe(path);
    track.rate_hz = info.rate_hz;
    track.channels = first_channel_only ? 1 : info.channels;
    track.samples = info.samples.value_or(0);
  } catch (const Error& error) {
    if (error.code() == Code::cancelled) throw;
    track.rate_hz = track.channels = 0;
    track.samples = 0;
  }
}

std::string names_of(const std::vector<fs::path>& paths) {
  std::vector<std::string> names;
  for (const auto& path : paths) names.push_back(path.filename().string());
  return names.empty() ? "no audio" : core::join(names, ", ");
}

/// What data sets remember of how names were read: the writing and the signal, with the number of tracks.
using Taken = std::map<std::pair<std::string, std::string>, int>;

Track folder_track(const fs::path& path, std::vector<fs::path>& ignored, Taken& taken) {
  const StemFolder folder = read_stem_folder(path);
  Track track = track_of(folder);
  ignored.insert(ignored.end(), folder.ignored.begin(), folder.ignored.end());
  for (const auto& names : folder.taken) ++taken[names];
  if (!folder.mixture) {
    track.defect = ErrorParts{.code = Code::dataset,
                              .where = path.string(),
                              .what = "track without a mixture",
                              .expected = "mixture.wav (or flac, …)",
                              .found = names_of(track.files),
                              .hint = "write the sum of the stems to mixture.wav"};
  } else if (folder.stems.empty() && !track.defect) {
    track.defect = ErrorParts{.code = Code::dataset,
                              .where = path.string(),
                              .what = "track without stems",
                              .expected = "one audio file per stem beside the mixture",
                              .found = names_of(track.files),
                              .hint = ""};
  }
  return track;
}

bool musdb_like(const std::vector<std::string>& stems) {
  return std::all_of(stems.begin(), stems.end(), [](const std::string& name) {
    return std::find(musdb_stems().begin(), musdb_stems().end(), name) != musdb_stems().end();
  });
}

/// Union over tracks, in the usual order.
std::vector<std::string> union_of_stems(const std::vector<Track>& tracks) {
  std::set<std::string> names;
  for (const auto& track : tracks) names.insert(track.stems.begin(), track.stems.end());
  std::vector<std::string> result(names.begin(), names.end());
  sort_stems(result);
  return result;
}

void order_stems(Track& track, const std::vector<std::string>& order) {
  const std::size_t with_mixture = track.files.size() - track.stems.size();
  std::vector<std::string> names;
  std::vector<fs::path> files(track.files.begin(), track.files.begin() + static_cast<std::ptrdiff_t>(with_mixture));
  for (const auto& name : order) {
    for (std::size_t i = 0; i < track.stems.size(); ++i) {
      if (track.stems[i] != name) continue;
      names.push_back(name);
      files.push_back(track.files[with_mixture + i]);
    }
  }
  track.stems = std::move(names);
  track.files = std::move(files);
}

std::vector<std::string> track_names(const std::vector<Track>& tracks) {
  std::vector<std::string> names;
  for (const auto& track : tracks) names.push_back(track.name);
  return names;
}

/// "did you mean 'Falcon 69 - …'?": what the word is part of, in any case, else what it is a slip of.
std::string near_tracks(const std::string& word, const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 3;
  std::string bare = core::decomposed(core::to_lower(word));
  std::erase_if(bare, [](char c) { return c == '*' || c == '?'; });
  std::vector<std::string> near;
  for (const std::string& name : names) {
    if (!bare.empty() && core::decomposed(core::to_lower(name)).find(bare) != std::string::npos) near.push_back(name);
  }
  if (near.empty()) return core::did_you_mean(word, names);
  const std::size_t more = near.size() > kMost ? near.size() - kMost : 0;
  if (more > 0) near.resize(kMost);
  return "did you mean '" + core::join(near, "', '") + "'" +
         (more > 0 ? fmt::format(" or one of {} more?", more) : "?");
}

/// A cut of a published song: its length differs from the table by more than the table's error.
bool is_excerpt(const Track& track) {
  const MusdbFact* fact = musdb_fact(track.name);
  return fact != nullptr && track.samples > 0 && std::abs(track.seconds() - fact->seconds) > kPublishedSeconds;
}

std::string describe_shape(audio::AudioView a) {
  return fmt::format("{} samples, {} channels, {} Hz", a.samples(), a.channels(), a.rate_hz());
}

void require_sound(const AudioBuffer& audio, const std::string& where) {
  if (audio.samples() == 0 || audio.channels() == 0) {
    fail(Code::dataset, where, "no samples", "at least one sample", describe_shape(audio));
  }
  const auto bad = audio::find_non_finite(audio);
  if (bad.channel >= 0) {
    fail(Code::numeric, where, "a sample is not a number", "finite samples",
         fmt::format("{} at channel {}, sample {}", audio.channel(bad.channel)[static_cast<std::size_t>(bad.sample)],
                     bad.channel, bad.sample));
  }
}

void require_same(const AudioBuffer& mixture, const AudioBuffer& stem, const std::string& where) {
  if (audio::same_shape(mixture, stem)) return;
  fail(Code::dataset, where, "stem and mixture differ in shape", describe_shape(mixture), describe_shape(stem),
       "the mixture and all stems of a track need one length, rate and number of channels");
}

std::string stream_label(const fs::path& path, std::size_t stream) {
  return fmt::format("{}: stream {} ({})", path.string(), stream, stream == 0 ? "mixture" : musdb_stems()[stream - 1]);
}

AudioBuffer one_channel(audio::AudioView audio, int channel) {
  return AudioBuffer(
      audio::AudioView(audio.channel(channel).data(), 1, audio.samples(), audio.samples(), audio.rate_hz()));
}

void require_two_channels(const AudioBuffer& audio, const fs::path& path) {
  if (audio.channels() != 2) {
    fail(Code::dataset, path.string(), "not a MIR-1K file", "2 channels (accompaniment, singing)",
         describe_shape(audio));
  }
}

AudioBuffer sum_of(const std::vector<const AudioBuffer*>& terms) {
  AudioBuffer sum(terms[0]->channels(), terms[0]->samples(), terms[0]->rate_hz());
  for (int c = 0; c < sum.channels(); ++c) {
    auto out = sum.channel(c);
    for (std::size_t t = 0; t < out.size(); ++t) {
      double total = 0;
      for (const auto* term : terms) total += static_cast<double>(term->channel(c)[t]);
      out[t] = static_cast<float>(total);
    }
  }
  return sum;
}

Layout look_for_layout(const std::vector<Place>& places) {
  bool folders = false, singing = false;
  for (const auto& place : places) {
    const Listing inside = list(place.folder);
    if (!inside.containers.empty()) return Layout::stems;
    for (const auto& folder : inside.folders) folders = folders || !list(folder).sounds.empty();
    for (const auto& path : inside.sounds) singing = singing || mir1k_singer(path).has_value();
  }
  if (folders) return Layout::folders;
  return singing ? Layout::mir1k : Layout::automatic;
}

/// The folder that a name such as "musdb18" stands for.
fs::path path_of_name(const std::string& name, const std::vector<std::string>& folder_names) {
  const char* variable = std::getenv("MUSDB_PATH");
  if (variable == nullptr || *variable == '\0') {
    fail(Code::dataset, name, "the environment variable MUSDB_PATH is not set", "the folder of the data set", "nothing",
         "export MUSDB_PATH=/path/to/musdb18, or give the path itself");
  }
  const fs::path root(variable);
  std::error_code error;
  if (!fs::is_directory(root, error)) {
    fail(Code::dataset, name, "MUSDB_PATH is no folder", "the folder of the data set", root.string());
  }
  for (const auto& folder : folder_names) {
    if (fs::is_directory(root / folder, error)) return root / folder;
  }
  return root;
}

}  // namespace

std::vector<Track> Dataset::select(const Selection& selection) const {
  const auto check_word = [&](const std::string& value, const std::vector<std::string>& allowed, const char* what) {
    if (value.empty() || std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
    fail(Code::dataset, name_, fmt::format("unknown {}", what), core::join(allowed, " or "), value,
         core::did_you_mean(value, allowed));
  };
  check_word(selection.subset, {"train", "test"}, "subset");
  check_word(selection.split, {"train", "valid"}, "split");
  if (!selection.split.empty() && selection.subset == "test") {
    fail(Code::dataset, name_, "only the subset 'train' is split", "subset train, or none",
         fmt::format("subset test with split {}", selection.split));
  }
  if (selection.limit < 0) {
    fail(Code::dataset, name_, "negative limit", "0 (all) or a number of tracks", std::to_string(selection.limit));
  }
  // A name that a track has is that name; any other with * or ? in it is a pattern.
  const auto is = [](const Track& track, const std::string& wanted) {
    return track.name == wanted || core::decomposed(track.name) == core::decomposed(wanted);
  };
  const auto is_named = [&](const std::string& wanted) {
    return std::any_of(tracks_.begin(), tracks_.end(), [&](const Track& track) { return is(track, wanted); });
  };
  std::vector<std::string> patterns;
  for (const auto& wanted : selection.tracks) {
    if (is_named(wanted)) continue;
    const bool pattern = wanted.find_first_of("*?") != std::string::npos;
    const auto matches = [&](const Track& track) {
      return core::matches_glob(core::decomposed(track.name), core::decomposed(wanted));
    };
    if (pattern && std::any_of(tracks_.begin(), tracks_.end(), matches)) {
      patterns.push_back(core::decomposed(wanted));
      continue;
    }
    fail(Code::dataset, name_, fmt::format("no track {}'{}'", pattern ? "like " : "", wanted),
         fmt::format("one of {} tracks, or a pattern such as '*{}*'", tracks_.size(), pattern ? "Live" : wanted), {},
         near_tracks(wanted, track_names(tracks_)));
  }
  const auto is_wanted = [&](const Track& track) {
    const std::string name = core::decomposed(track.name);
    return std::any_of(selection.tracks.begin(), selection.tracks.end(),
                       [&](const std::string& wanted) { return is(track, wanted); }) ||
           std::any_of(patterns.begin(), patterns.end(),
                       [&](const std::string& pattern) { return core::matches_glob(name, pattern); });
  };
  std::vector<Track> chosen;
  for (const auto& track : tracks_) {
    if (!selection.subset.empty() && track.subset != selection.subset) continue;
    if (!selection.split.empty() && track.split != selection.split) continue;
    if (!selection.tracks.empty() && !is_wanted(track)) continue;
    chosen.push_back(track);
    if (selection.limit > 0 && static_cast<std::int64_t>(chosen.size()) == selection.limit) break;
  }
  if (chosen.empty()) {
    const auto count = [&](std::string_view subset) {
      return std::count_if(tracks_.begin(), tracks_.end(), [&](const Track& t) { return t.subset == subset; });
    };
    fail(Code::dataset, name_, "no track is selected",
         fmt::format("tracks of subset '{}', split '{}'", selection.subset, selection.split),
         fmt::format("{} train and {} test tracks in all", count("train"), count("test")));
  }
  return chosen;
}

Track track_of(const StemFolder& folder) {
  Track track;
  track.name = song_name(folder.folder);
  track.defect = folder.defect;
  if (folder.mixture) track.files.push_back(*folder.mixture);
  for (const StemFile& stem : folder.stems) {
    track.stems.push_back(stem.name);
    track.files.push_back(stem.path);
  }
  if (!track.files.empty()) probe_into(track, track.files.front());
  return track;
}

Track track_of(const fs::path& container) {
  Track track;
  track.name = song_name(container);
  track.files = {container};
  track.stems = musdb_stems();
  probe_into(track, container);
  return track;
}

TrackAudio load_container(const fs::path& path) {
  auto streams = audio::read_streams(path);
  if (streams.size() != musdb_stems().size() + 1) {
    fail(Code::dataset, path.string(), "wrong number of audio streams", "5 (mixture, drums, bass, other, vocals)",
         std::to_string(streams.size()));
  }
  for (std::size_t i = 0; i < streams.size(); ++i) {
    require_sound(streams[i], stream_label(path, i));
    require_same(streams[0], streams[i], stream_label(path, i));
  }
  TrackAudio result;
  result.mixture = std::move(streams[0]);
  result.names = musdb_stems();
  result.stems.assign(std::make_move_iterator(streams.begin() + 1), std::make_move_iterator(streams.end()));
  return result;
}

TrackAudio load_files(const Track& track) {
  TrackAudio result;
  result.names = track.stems;
  const bool has_mixture = track.files.size() > track.stems.size();
  for (std::size_t i = 0; i < track.files.size(); ++i) {
    const fs::path& path = track.files[i];
    AudioBuffer audio = audio::read_file(path);
    if (has_mixture && i > 0) require_same(result.mixture, audio, path.string());
    if (!has_mixture && i > 0 && !audio::same_shape(result.stems.front(), audio)) {
      fail(Code::dataset, path.string(), "the stems differ in shape", describe_shape(result.stems.front()),
           describe_shape(audio));
    }
    require_sound(audio, path.string());
    if (has_mixture && i == 0) {
      result.mixture = std::move(audio);
    } else {
      result.stems.push_back(std::move(audio));
    }
  }
  return result;
}

AudioBuffer Dataset::load_stem(const Track& track, std::string_view name) const {
  const auto found = std::find(track.stems.begin(), track.stems.end(), name);
  if (found == track.stems.end()) return {};
  const auto index = static_cast<std::size_t>(found - track.stems.begin());
  if (layout_ == Layout::folders && track.files.size() >= track.stems.size()) {
    // Also where the track has a defect: it can lack another stem, or its mixture, and still teach this one.
    const fs::path& path = track.files[track.files.size() - track.stems.size() + index];
    AudioBuffer stem = audio::read_file(path);
    require_sound(stem, path.string());
    return stem;
  }
  if (track.defect) throw Error(*track.defect);
  if (layout_ == Layout::stems) {
    const auto source = audio::open_file(track.files.at(0), static_cast<int>(index) + 1);  // stream 0 is the mixture
    AudioBuffer stem = audio::read_all(*source);
    require_sound(stem, stream_label(track.files[0], index + 1));
    return stem;
  }
  TrackAudio all = load(track);
  return std::move(all.stems[index]);
}

TrackAudio Dataset::load(const Track& track) const {
  if (track.defect) throw Error(*track.defect);
  if (layout_ == Layout::synthetic) {
    synth::RenderedSong song = synth::render_song(track.synth_seed, track.synth_song, track.samples);
    return {.mixture = std::move(song.mixture), .names = std::move(song.names), .stems = std::move(song.stems)};
  }
  TrackAudio result;
  if (layout_ == Layout::mir1k) {
    const fs::path& path = track.files.at(0);
    const AudioBuffer both = audio::read_file(path);
    require_two_channels(both, path);
    require_sound(both, path.string());
    result.names = track.stems;
    for (const auto& name : track.stems) result.stems.push_back(one_channel(both, name == "vocals" ? 1 : 0));
    result.mixture = sum_of({&result.stems[0], &result.stems[1]});
    return result;
  }
  return layout_ == Layout::stems ? load_container(track.files.at(0)) : load_files(track);
}

AudioBuffer Dataset::load_mixture(const Track& track) const {
  if (layout_ == Layout::mir1k || layout_ == Layout::synthetic) return load(track).mixture;
  if (track.files.empty() && track.defect) throw Error(*track.defect);
  const fs::path& path = track.files.at(0);
  AudioBuffer mixture = audio::read_file(path);
  require_sound(mixture, layout_ == Layout::stems ? stream_label(path, 0) : path.string());
  return mixture;
}

AudioBuffer Dataset::target(const TrackAudio& audio, std::string_view name) {
  std::vector<const AudioBuffer*> terms;
  bool vocals = false;
  const bool derived = is_derived(name);
  for (std::size_t i = 0; i < audio.names.size(); ++i) {
    if (audio.names[i] == name) return audio.stems[i];
    vocals = vocals || audio.names[i] == "vocals";
    if (derived && (name == "linear_mixture" || audio.names[i] != "vocals")) terms.push_back(&audio.stems[i]);
  }
  const std::string stems = core::join(audio.names, ", ");
  if (!derived) {
    auto known = audio.names;
    known.insert(known.end(), {"accompaniment", "linear_mixture"});
    fail(Code::dataset, std::string(name), "no such target", core::join(known, ", "), {},
         core::did_you_mean(name, known));
  }
  if (name == "accompaniment" && !vocals) {
    fail(Code::dataset, std::string(name), "accompaniment is defined by what is not 'vocals'", "a stem 'vocals'",
         stems);
  }
  if (terms.empty()) fail(Code::dataset, std::string(name), "no stems to add", "at least one", stems);
  return sum_of(terms);
}

std::string Dataset::sha256(const Track& track) const {
  if (layout_ == Layout::synthetic) {
    return core::sha256_hex(fmt::format("mssbench synthetic version={} seed={} song={} samples={}",
                                        synth::kSynthVersion, track.synth_seed, track.synth_song, track.samples));
  }
  if (track.files.size() == 1) return core::sha256_file(track.files[0]);
  std::string lines;
  for (const auto& path : track.files) {
    lines += fmt::format("{}  {}\n", core::sha256_file(path), path.filename().string());
  }
  return core::sha256_hex(lines);
}

std::string tracks_tag(const std::vector<Track>& tracks) {
  std::vector<std::string> lines;
  for (const Track& track : tracks) {
    std::vector<std::string> stems = track.stems;
    std::sort(stems.begin(), stems.end());
    lines.push_back(fmt::format("{}/{} {} {} {}\n", track.subset, core::decomposed(track.name), track.samples,
                                track.rate_hz, core::join(stems, ",")));
  }
  std::sort(lines.begin(), lines.end());
  return core::sha256_hex(core::join(lines, "")).substr(0, 8);
}

std::vector<double> levels_db(audio::AudioView mixture) {
  const std::int64_t rate = mixture.rate_hz();
  if (mixture.empty()) return {};
  const std::int64_t seconds = std::max<std::int64_t>(1, mixture.samples() / rate);
  std::vector<double> levels;
  for (std::int64_t s = 0; s < seconds; ++s) {
    const std::int64_t count = std::min(rate, mixture.samples() - s * rate);
    const double mean = audio::energy(mixture.slice(s * rate, count)) /
                        (static_cast<double>(count) * static_cast<double>(mixture.channels()));
    levels.push_back(mean > 1e-12 ? 10 * std::log10(mean) : -120.0);
  }
  return levels;
}

std::vector<double> Dataset::levels_db(const Track& track) const { return datasets::levels_db(load_mixture(track)); }

bool similar_levels(const std::vector<double>& a, const std::vector<double>& b, double tolerance_db) {
  std::vector<double> differences;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i] > -100 || b[i] > -100) differences.push_back(std::abs(a[i] - b[i]));
  }
  if (differences.empty()) return false;
  std::sort(differences.begin(), differences.end());
  const std::size_t half = differences.size() / 2;
  const double median =
      differences.size() % 2 == 1 ? differences[half] : (differences[half - 1] + differences[half]) / 2;
  return median <= tolerance_db;
}

namespace {
constexpr std::pair<std::string_view, Layout> kLayouts[] = {{"auto", Layout::automatic},
                                                            {"stems", Layout::stems},
                                                            {"folders", Layout::folders},
                                                            {"mir1k", Layout::mir1k},
                                                            {"synthetic", Layout::synthetic}};
}  // namespace

std::string_view layout_name(Layout layout) noexcept {
  return std::ranges::find(kLayouts, layout, &std::pair<std::string_view, Layout>::second)->first;
}

Layout parse_layout(const std::string& name, std::string_view where) {
  std::vector<std::string> names;
  for (const auto& [known, layout] : kLayouts) {
    if (name == known) return layout;
    names.emplace_back(known);
  }
  throw Error({Code::config, std::string(where), "bad value", "one of " + core::join(names, ", "), "'" + name + "'",
               core::did_you_mean(name, names)});
}

Dataset open(const std::string& where, Layout layout) {
  Dataset set;
  const std::string lower = core::to_lower(where);
  if (synth::names_builtin_songs(lower)) {
    if (layout != Layout::automatic && layout != Layout::synthetic) {
      fail(Code::dataset, where, "the built-in songs have one layout", "automatic or synthetic",
           std::string(layout_name(layout)));
    }
    const synth::SynthSpec spec = synth::parse_synth_spec(where);
    set.layout_ = Layout::synthetic;
    std::vector<std::string> extra;
    if (spec.seconds != synth::SynthSpec{}.seconds) extra.push_back(fmt::format("seconds={}", spec.seconds));
    if (spec.seed != synth::SynthSpec{}.seed) extra.push_back(fmt::format("seed={}", spec.seed));
    set.name_ =
        fmt::format("synthetic-v{}", synth::kSynthVersion) + (extra.empty() ? "" : ":" + core::join(extra, ","));
    for (int song = 0; song < spec.songs; ++song) {
      Track track;
      track.name = synth::song_name(synth::builtin_score(spec.seed, song, 1));
      track.subset = track.split = "test";
      track.stems = musdb_stems();
      track.rate_hz = synth::kRateHz;
      track.channels = 2;
      track.samples = static_cast<std::int64_t>(std::floor(spec.seconds * synth::kRateHz));
      track.synth_seed = spec.seed;
      track.synth_song = song;
      set.tracks_.push_back(std::move(track));
    }
    set.stems_ = musdb_stems();
    return set;
  }

  fs::path root(where);
  std::error_code error;
  Layout wanted_by_name = Layout::automatic;
  if (!fs::exists(root, error)) {
    if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) {
      fail(Code::io, where, "cannot look at the folder: " + error.message());
    }
    if (lower == "musdb18") {
      wanted_by_name = Layout::stems;
      root = path_of_name(where, {"musdb18", "MUSDB18"});
    } else if (lower == "musdb18hq" || lower == "musdb18-hq") {
      wanted_by_name = Layout::folders;
      root = path_of_name(where, {"musdb18hq", "musdb18-hq", "MUSDB18HQ", "MUSDB18-HQ"});
    } else {
      fail(Code::dataset, where, "no such data set", "a folder, or one of synthetic, musdb18, musdb18hq", "neither",
           core::did_you_mean(where, {"synthetic", "musdb18", "musdb18hq"}));
    }
  }
  if (!fs::is_directory(root, error)) {
    fail(Code::dataset, where, "a data set is a folder of tracks", "a folder", "a file",
         is_stem_container(where) ? "give the folder that the file lies in" : "");
  }

  // "folder/" and "." have no file name of their own.
  const fs::path absolute = fs::weakly_canonical(root, error);
  set.root_ = root;
  const Listing top = list(root);
  if (top.folders.empty() && std::any_of(top.sounds.begin(), top.sounds.end(), is_mixture)) {
    fail(Code::dataset, root.string(), "this is one track, not a folder of tracks",
         "a folder with one folder per track", names_of(top.sounds),
         fmt::format("give its parent, and choose it with --track \"{}\"", absolute.filename().string()));
  }
  const auto places = places_of(root, top, set.ignored_);
  for (const Place& place : places) {
    const std::string written = place.folder.filename().string(), name = core::to_lower(written);
    if (place.folder != root && written != name) {
      set.notes_.push_back(fmt::format("the folder '{}' is taken for '{}'", written, name));
    }
  }
  const Layout seen = look_for_layout(places);
  if (layout == Layout::automatic) layout = wanted_by_name == Layout::automatic ? seen : wanted_by_name;
  if (layout == Layout::automatic) {
    fail(Code::dataset, root.string(), "no tracks found",
         "NAME.stem.mp4 files, folders with mixture and stems as audio files, or MIR-1K's wav files, in the folder "
         "itself or in train/ and test/",
         top.sounds.empty() ? (top.folders.empty() ? "no audio at all" : "folders without audio in them")
                            : names_of(top.sounds));
  }
  if (layout == Layout::synthetic) {
    fail(Code::dataset, where, "the built-in songs lie in no folder", "layout stems, folders or mir1k", "synthetic");
  }
  if (wanted_by_name != Layout::automatic && seen != wanted_by_name) {
    fail(Code::dataset, root.string(), fmt::format("this is not {}", where),
         wanted_by_name == Layout::stems ? "NAME.stem.mp4 files" : "one folder of wav files per track",
         seen == Layout::stems ? "NAME.stem.mp4 files (musdb18)" : "folders of audio (musdb18hq)",
         "the variable MUSDB_PATH says where to look");
  }
  set.layout_ = layout;

  // A set of `mssbench synth` says what it is, which songs are for validation, and where its instruments lie.
  const std::string composed = synth::set_name_of(root);
  const std::vector<std::string> validation = synth::validation_songs(root);
  if (!composed.empty()) std::erase(set.ignored_, root / "instruments");

  bool some_mixture = false;
  Taken taken;
  for (const auto& place : places) {
    const Listing inside = list(place.folder);
    switch (layout) {
      case Layout::stems:
        for (const auto& path : inside.containers) {
          Track track = track_of(path);
          const MusdbFact* fact = musdb_fact(track.name);
          place_track(track, place, fact == nullptr ? "" : fact->split);
          if (fact != nullptr) track.erratum = fact->erratum;
          set.tracks_.push_back(std::move(track));
          some_mixture = true;
        }
        set.ignored_.insert(set.ignored_.end(), inside.sounds.begin(), inside.sounds.end());
        if (places.size() > 1 || !place.subset.empty()) {
          set.ignored_.insert(set.ignored_.end(), inside.folders.begin(), inside.folders.end());
        }
        break;
      case Layout::mir1k:
        for (const auto& path : inside.sounds) {
          const auto singer = mir1k_singer(path);
          if (!singer) {
            set.ignored_.push_back(path);
            continue;
          }
          Track track;
          track.name = song_name(path);
          track.files = {path};
          track.stems = {"accompaniment", "vocals"};
          const char* split = kMir1kDevelopment.contains(track.name) ? "valid"
                              : kMir1kTrainSingers.contains(*singer) ? "train"
                                                                     : "test";
          place_track(track, place, split);
          probe_into(track, path, true);
          set.tracks_.push_back(std::move(track));
          some_mixture = true;
        }
        break;
      default:
        for (const auto& folder : inside.folders) {
          const Listing files = list(folder);
          if (files.sounds.empty()) {
            set.ignored_.push_back(folder);
            continue;
          }
          Track track = folder_track(folder, set.ignored_, taken);
          const MusdbFact* fact = musdb_fact(track.name);
          const bool validates = std::find(validation.begin(), validation.end(), track.name) != validation.end();
          place_track(track, place, fact != nullptr ? fact->split : validates ? "valid" : "");
          if (fact != nullptr) track.erratum = fact->erratum;
          some_mixture = some_mixture || !(track.defect && track.files.size() == track.stems.size());
          set.tracks_.push_back(std::move(track));
        }
        set.ignored_.insert(set.ignored_.end(), inside.sounds.begin(), inside.sounds.end());
        set.ignored_.insert(set.ignored_.end(), inside.containers.begin(), inside.containers.end());
        break;
    }
  }
  if (set.tracks_.empty()) {
    fail(Code::dataset, root.string(), fmt::format("no tracks of the layout '{}'", layout_name(layout)), "at least one",
         "none");
  }
  if (!some_mixture) throw Error(*set.tracks_[0].defect);

  set.stems_ = union_of_stems(set.tracks_);
  if (const auto alias = pair_accompaniment(set.stems_); alias && layout == Layout::folders) {
    for (auto& track : set.tracks_) {
      for (auto& stem : track.stems) {
        if (stem != *alias) continue;
        stem = "accompaniment";
        ++taken[{*alias, stem}];
      }
    }
    set.stems_ = union_of_stems(set.tracks_);
  }
  for (const auto& [names, count] : taken) {
    set.notes_.push_back(
        fmt::format("'{}' is taken for '{}' ({} track{})", names.first, names.second, count, count == 1 ? "" : "s"));
  }
  for (auto& track : set.tracks_) {
    if (layout != Layout::folders) continue;
    order_stems(track, set.stems_);
    if (track.defect || !musdb_like(set.stems_)) continue;
    for (const auto& name : set.stems_) {
      if (std::find(track.stems.begin(), track.stems.end(), name) != track.stems.end()) continue;
      track.defect = ErrorParts{.code = Code::dataset,
                                .where = track.files[0].parent_path().string(),
                                .what = fmt::format("track '{}' lacks the stem '{}'", track.name, name),
                                .expected = core::join(set.stems_, ", ") + " (as other tracks of the set have)",
                                .found = core::join(track.stems, ", "),
                                .hint = "a silent stem is a file of zeros"};
      break;
    }
  }
  std::sort(set.tracks_.begin(), set.tracks_.end(), [](const Track& a, const Track& b) {
    return std::tie(a.subset, a.name, a.files) < std::tie(b.subset, b.name, b.files);
  });

  for (std::size_t i = 1; i < set.tracks_.size(); ++i) {
    const Track& one = set.tracks_[i - 1];
    const Track& two = set.tracks_[i];
    if (one.subset != two.subset || one.name != two.name) continue;
    fail(Code::dataset, root.string(), fmt::format("two tracks named '{}' in subset '{}'", one.name, one.subset), "one",
         (one.files.empty() ? "" : one.files[0].string()) + " and " + (two.files.empty() ? "" : two.files[0].string()),
         "rename one of them");
  }

  // A name of a published set is earned by its tracks.
  const bool known = std::all_of(set.tracks_.begin(), set.tracks_.end(), [](const Track& track) {
    const MusdbFact* fact = musdb_fact(track.name);
    return fact != nullptr && track.seconds() < fact->seconds + kPublishedSeconds;
  });
  const bool excerpts = std::any_of(set.tracks_.begin(), set.tracks_.end(), is_excerpt);
  if (!composed.empty()) {
    set.name_ = composed + "#" + tracks_tag(set.tracks_);
  } else if (layout == Layout::mir1k) {
    set.name_ = "MIR-1K";
  } else if (known && layout == Layout::stems) {
    set.name_ = excerpts ? "MUSDB18-sample" : "MUSDB18";
  } else if (known && set.stems_ == musdb_stems()) {
    set.name_ = excerpts ? "MUSDB18-HQ-sample" : "MUSDB18-HQ";
  } else {
    set.name_ = absolute.filename().string() + "#" + tracks_tag(set.tracks_);
  }
  return set;
}

}  // namespace mss::datasets
