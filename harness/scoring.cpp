#include "harness/scoring.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/text.h"

namespace mss::harness {
namespace {

constexpr const char* kVocals = "vocals";
constexpr const char* kAccompaniment = "accompaniment";
constexpr const char* kPairScenario = "vocals/accompaniment";

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// drums, bass and other are the accompaniment beside the voice.
bool sums_to_accompaniment(const std::vector<std::string>& references, const std::vector<std::string>& estimates) {
  if (!holds(references, kAccompaniment) || holds(estimates, kAccompaniment)) return false;
  return std::all_of(datasets::musdb_stems().begin(), datasets::musdb_stems().end(), [&](const std::string& name) {
    return holds(estimates, name) && (name == kVocals || !holds(references, name));
  });
}

/// Names of the references that the estimates cover.
std::vector<std::string> covered(const std::vector<std::string>& references,
                                 const std::vector<std::string>& estimates) {
  std::vector<std::string> out;
  for (const std::string& name : references) {
    if (holds(estimates, name) || (name == kAccompaniment && sums_to_accompaniment(references, estimates))) {
      out.push_back(name);
    }
  }
  return out;
}

/// Do the references have an accompaniment that is a sum of several, or of one by another name?
bool has_pair(const std::vector<std::string>& references) {
  return references.size() >= 2 && holds(references, kVocals) && !holds(references, kAccompaniment);
}

}  // namespace

bool has_reference(const std::string& name, const std::vector<std::string>& references,
                   const std::vector<std::string>& estimates) {
  if (holds(references, name)) return true;
  if (name == kAccompaniment) return has_pair(references);
  return sums_to_accompaniment(references, estimates) && holds(datasets::musdb_stems(), name);
}

void PartialProblems::add(const std::vector<std::string>& references, const std::vector<std::string>& estimates) {
  const std::vector<std::string> common = covered(references, estimates);
  if (common.size() == references.size()) return;
  const bool both = has_pair(references) && holds(estimates, kVocals) && holds(estimates, kAccompaniment);
  pair = pair || both;
  if (!common.empty() && !(both && common.size() == 1) &&
      std::find(stems.begin(), stems.end(), common) == stems.end()) {
    stems.push_back(common);
    std::sort(stems.begin(), stems.end());
  }
}

std::vector<std::string> PartialProblems::scenarios(const std::vector<std::string>& references,
                                                    const std::vector<std::string>& estimates) const {
  const std::vector<std::string> common = covered(references, estimates);
  std::vector<std::string> out;
  for (const std::vector<std::string>& some : stems) {
    if (std::all_of(some.begin(), some.end(), [&](const std::string& name) { return holds(common, name); })) {
      out.push_back("stems:" + core::join(some, "+"));
    }
  }
  const bool whole = common.size() == references.size();
  if (pair && holds(common, kVocals) && (whole || holds(estimates, kAccompaniment))) out.emplace_back(kPairScenario);
  return out;
}

/// The estimates by name, with the sums that are needed of them.
struct TrackScorer::Estimates {
  std::map<std::string, audio::AudioView> signals;
  audio::AudioBuffer sum;  ///< the accompaniment

  /// Adds the accompaniment: the sum of `parts`.
  void add(const std::vector<std::string>& parts) {
    const audio::AudioView first = signals.at(parts.front());
    sum = audio::AudioBuffer(first);
    for (std::size_t i = 1; i < parts.size(); ++i) audio::add_to(sum.span(), signals.at(parts[i]));
    signals.insert_or_assign(kAccompaniment, sum.view());
  }
};

TrackScorer::TrackScorer(const datasets::TrackAudio& references, eval::ScorerOptions options)
    : references_(references), options_(std::move(options)) {}
TrackScorer::~TrackScorer() = default;

audio::AudioView TrackScorer::reference(const std::string& name) {
  for (std::size_t i = 0; i < references_.names.size(); ++i) {
    if (references_.names[i] == name) return references_.stems[i];
  }
  auto& derived = derived_[name];
  if (derived.empty()) derived = datasets::Dataset::target(references_, name);
  return derived;
}

std::vector<eval::Scores> TrackScorer::solve(const std::vector<std::string>& references, const Estimates& estimates,
                                             const std::vector<std::string>& given, bool accompaniment) {
  std::vector<std::string> key = references;
  key.push_back(accompaniment ? "+" : "");
  auto& set = sets_[key];
  if (!set) {
    std::vector<eval::Signal> signals;
    for (const std::string& name : references) signals.emplace_back(reference(name));
    eval::ScorerOptions options = options_;
    options.accompaniment = accompaniment;
    set = std::make_unique<eval::ReferenceSet>(references, std::move(signals), eval::Signal(references_.mixture.view()),
                                               references_.stems.front().rate_hz(), std::move(options));
  }
  std::vector<eval::Signal> signals;
  for (const std::string& name : given) signals.emplace_back(estimates.signals.at(name));
  return set->score(given, signals);
}

std::vector<eval::Scores> TrackScorer::score(const std::vector<std::string>& names,
                                             const std::vector<audio::AudioView>& audio, const PartialProblems& partial,
                                             std::vector<std::string>& unscored) {
  const std::vector<std::string>& stems = references_.names;
  Estimates estimates;
  for (std::size_t i = 0; i < names.size(); ++i) estimates.signals.emplace(names[i], audio[i]);
  std::vector<std::string> used;
  if (sums_to_accompaniment(stems, names)) {
    used = {"drums", "bass", "other"};
    estimates.add(used);
  }
  const std::vector<std::string> common = covered(stems, names);
  used.insert(used.end(), common.begin(), common.end());
  const bool whole = common.size() == stems.size();
  PartialProblems problems = partial;
  problems.add(stems, names);
  std::vector<eval::Scores> out;
  if (whole) {
    std::vector<std::string> given = common;
    // An accompaniment of the estimates' own stands for the sum of the others.
    if (options_.accompaniment && stems.size() >= 3 && has_pair(stems) && holds(names, kAccompaniment)) {
      given.emplace_back(kAccompaniment);
      used.emplace_back(kAccompaniment);
    }
    out = solve(common, estimates, given, options_.accompaniment);
  }
  for (const std::vector<std::string>& some : problems.stems) {
    if (!std::all_of(some.begin(), some.end(), [&](const std::string& name) { return holds(common, name); })) continue;
    std::vector<eval::Scores> part = solve(some, estimates, some, false);
    part.front().scenario = "stems:" + core::join(some, "+");
    out.push_back(std::move(part.front()));
  }
  const bool has_it =
      std::any_of(out.begin(), out.end(), [](const auto& scores) { return scores.scenario == kPairScenario; });
  if (problems.pair && options_.accompaniment && !has_it && holds(common, kVocals)) {
    if (whole && !holds(names, kAccompaniment)) {
      std::vector<std::string> others = common;
      std::erase(others, kVocals);
      estimates.add(others);
    }
    if (estimates.signals.contains(kAccompaniment)) {
      const std::vector<std::string> both = {kVocals, kAccompaniment};
      std::vector<eval::Scores> part = solve(both, estimates, both, false);
      part.front().scenario = kPairScenario;
      out.push_back(std::move(part.front()));
      used.emplace_back(kAccompaniment);
    }
  }
  if (out.empty()) {
    throw Error({Code::dataset, "", "no stem of the method has a reference", core::join(stems, ", "),
                 core::join(names, ", "), ""});
  }
  for (const std::string& name : names) {
    if (!holds(used, name)) unscored.push_back(name);
  }
  return out;
}

}  // namespace mss::harness
