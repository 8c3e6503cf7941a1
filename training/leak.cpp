#include "training/leak.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "core/text.h"

namespace mss::training {
namespace {

/// Letter case and runs of white space do not count.
std::string plain(const std::string& name) {
  std::string out;
  for (const char c : core::to_lower(core::trim(name))) {
    const bool space = c == ' ' || c == '\t';
    if (space && !out.empty() && out.back() == ' ') continue;
    out += space ? ' ' : c;
  }
  return out;
}

/// Much closer than similar_levels() asks for by default: different songs come as near as 0.3 dB over short stretches.
constexpr double kToleranceDb = 0.05;
constexpr std::size_t kFewestSeconds = 20;
constexpr double kSilentDb = -100;

bool same_levels(const std::vector<double>& a, const std::vector<double>& b) {
  std::size_t sounding = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    sounding += a[i] > kSilentDb || b[i] > kSilentDb ? 1 : 0;
  return sounding >= kFewestSeconds && datasets::similar_levels(a, b, kToleranceDb);
}

}  // namespace

TestTracks test_tracks(const datasets::Dataset& dataset) {
  TestTracks out;
  out.dataset = dataset.name();
  for (const datasets::Track& track : dataset.tracks()) {
    if (track.subset != "test" || track.defect) continue;
    out.tracks.push_back({track.name, dataset.sha256(track), "test", dataset.levels_db(track)});
  }
  return out;
}

std::vector<Leak> find_leaks(const std::vector<LeakTrack>& tracks, const std::vector<TestTracks>& others) {
  std::map<std::string, std::string> names, hashes;  // of MUSDB18's test set
  for (const datasets::MusdbFact& fact : datasets::musdb_facts()) {
    if (fact.split != "test") continue;
    names[plain(fact.name)] = fact.name;
    if (!fact.stem_mp4_sha256.empty()) hashes[fact.stem_mp4_sha256] = fact.name;
  }
  std::vector<Leak> out;
  for (const LeakTrack& track : tracks) {
    const auto found = [&](std::string why, std::string of) {
      out.push_back({track.name, track.role, std::move(why), std::move(of)});
    };
    if (const auto name = names.find(plain(track.name)); name != names.end()) {
      found("has the name of a test track of MUSDB18", name->second);
      continue;
    }
    if (const auto hash = hashes.find(track.sha256); hash != hashes.end()) {
      found("is the file of a test track of MUSDB18 under another name", hash->second);
      continue;
    }
    bool done = false;
    for (const TestTracks& set : others) {
      for (const LeakTrack& other : set.tracks) {
        if (done) break;
        const bool same_audio = !track.sha256.empty() && track.sha256 == other.sha256;
        if (!same_audio && !same_levels(track.levels_db, other.levels_db)) continue;
        found(same_audio ? "has the same fingerprint as a test track of " + set.dataset
                         : "sounds like a test track of " + set.dataset + " (levels second by second)",
              other.name);
        done = true;
      }
    }
    if (done || track.role != "validation") continue;
    for (const LeakTrack& other : tracks) {
      if (other.role == "validation") continue;
      const bool same_audio = !track.sha256.empty() && track.sha256 == other.sha256;
      if (!same_audio && !same_levels(track.levels_db, other.levels_db)) continue;
      const std::string which = other.role == "training" ? "a training track" : "an unlabelled track";
      found(same_audio ? "has the same fingerprint as " + which : "sounds like " + which + " (levels second by second)",
            other.name);
      break;
    }
  }
  return out;
}

void refuse_leaks(const std::vector<Leak>& leaks, bool allow) {
  if (leaks.empty() || allow) return;
  constexpr std::size_t kShown = 5;
  std::string list;
  for (std::size_t i = 0; i < std::min(kShown, leaks.size()); ++i) {
    const Leak& leak = leaks[i];
    list += (i > 0 ? "; " : "") + leak.role + " track '" + leak.track + "' " + leak.why +
            (leak.of == leak.track ? "" : ": '" + leak.of + "'");
  }
  if (leaks.size() > kShown) list += "; and " + std::to_string(leaks.size() - kShown) + " more";
  throw Error(
      {Code::dataset, "training data", "tracks that results must not be trained on", "tracks of no test set", list,
       "leave them out (data.tracks, or a folder with train/ and test/), or say --allow-training-tracks, which the "
       "run keeps on record"});
}

core::Value leaks_value(const std::vector<Leak>& leaks, bool allowed) {
  core::Value out = core::Value::object();
  out["allowed"] = allowed;
  core::Value all = core::Value::array();
  for (const Leak& leak : leaks) {
    core::Value one = core::Value::object();
    one["track"] = leak.track;
    one["role"] = leak.role;
    one["why"] = leak.why;
    one["of"] = leak.of;
    all.push_back(std::move(one));
  }
  out["leaks"] = all;
  return out;
}

}  // namespace mss::training
