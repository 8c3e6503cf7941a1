#include "reports/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "core/error.h"
#include "core/text.h"
#include "eval/statistics.h"
#include "reports/report.h"

namespace mss::reports {
namespace {

using eval::Statistic;
using eval::Verdict;
using records::Record;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

using TrackKey = std::tuple<std::string, std::string, std::string>;  ///< data set, subset, track
using ProblemKey =
    std::tuple<std::string, std::string, std::string, std::string>;  ///< data set, subset, scenario, target

std::string name_of(const TrackKey& key) { return std::get<0>(key) + "/" + std::get<1>(key) + "/" + std::get<2>(key); }

/// What stands in `measured`, of one track.
struct Cost {
  double time = kNan, memory = kNan;
  std::string machine;  ///< host, processor, threads, jobs, instruction set
};

/// One row: everything of one spec.
struct Side {
  std::map<ProblemKey, std::map<std::string, std::vector<const Record*>>> scores;  ///< track -> its seeds
  std::map<TrackKey, std::string> failures;                                        ///< message
  std::map<TrackKey, std::string> fingerprints;
  std::map<TrackKey, std::vector<Cost>> costs;  ///< per seed
  std::set<TrackKey> tracks;                    ///< scored
};

std::string text_of(const core::Value& body, std::string_view name) {
  const core::Value* value = body.find(name);
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

double number_of(const core::Value* object, std::string_view name) {
  const core::Value* value = object == nullptr ? nullptr : object->find(name);
  return value != nullptr && value->is_number() ? value->as_real() : kNan;
}

std::map<std::string, Side> sides_of(const std::vector<Record>& records) {
  std::map<std::string, Side> out;
  std::set<std::tuple<TrackKey, std::string, std::uint64_t>> costed;
  for (const Record& record : records) {
    const records::RecordKey& key = record.key;
    Side& side = out[key.spec];
    const TrackKey track = {key.dataset, key.subset, key.track};
    if (record.failed()) {
      side.failures.emplace(track, text_of(record.body.at("error"), "message"));
      continue;
    }
    side.tracks.insert(track);
    side.scores[{key.dataset, key.subset, key.scenario, key.target}][key.track].push_back(&record);
    if (const std::string print = text_of(record.body, "fingerprint"); !print.empty()) {
      side.fingerprints.emplace(track, print);
    }
    const core::Value* measured = record.body.find("measured");
    if (measured == nullptr || !costed.insert({track, key.spec, key.seed}).second) continue;
    Cost cost;
    cost.time = number_of(measured, "wall_s");
    // Estimates that were made elsewhere: the memory is the scorer's, and says nothing of the method.
    if (std::isnan(cost.time)) continue;
    cost.memory = number_of(measured, "peak_rss_bytes");
    cost.machine =
        fmt::format("{} ({}), {:g} threads, {:g} jobs, {}", text_of(*measured, "host"), text_of(*measured, "processor"),
                    number_of(measured, "threads"), number_of(measured, "jobs"), text_of(record.body, "isa"));
    side.costs[track].push_back(cost);
  }
  // Scores stand before failures of the same track.
  for (auto& [spec, side] : out) {
    std::erase_if(side.failures, [&side = side](const auto& failure) { return side.tracks.contains(failure.first); });
  }
  return out;
}

/// Mean over the seeds of a track.
double value_of(const std::vector<const Record*>& seeds, const std::string& metric) {
  double sum = 0;
  int count = 0;
  for (const Record* record : seeds) {
    const double score = record->score(metric);
    if (std::isnan(score)) continue;
    sum += score;
    ++count;
  }
  return count == 0 ? kNan : sum / count;
}

/// Standard deviation over seeds of the mean over tracks, and their number; seeds that every track has.
double seed_sd(const std::map<std::string, std::vector<const Record*>>& tracks, const std::string& metric, int* count) {
  std::map<std::uint64_t, std::pair<double, std::size_t>> sums;
  std::size_t scored = 0;
  for (const auto& [track, seeds] : tracks) {
    bool any = false;
    for (const Record* record : seeds) {
      const double score = record->score(metric);
      if (!std::isfinite(score)) continue;
      any = true;
      auto& [sum, n] = sums[record->key.seed];
      sum += score;
      ++n;
    }
    scored += any ? 1 : 0;
  }
  std::vector<double> means;
  for (const auto& [seed, sum] : sums)
    if (sum.second == scored) means.push_back(sum.first / static_cast<double>(scored));
  *count = static_cast<int>(sums.size());
  return eval::sample_sd(means);
}

std::vector<std::string> held_metrics(const std::vector<Record>& records) {
  std::vector<std::string> out;
  for (const Record& record : records) {
    for (const std::string& id : record.metrics())
      if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
  }
  return out;
}

std::vector<std::string> choose_metrics(const std::vector<Record>& old_records, const std::vector<Record>& new_records,
                                        const CompareOptions& options) {
  const std::vector<std::string> before = held_metrics(old_records), after = held_metrics(new_records);
  std::vector<std::string> both;
  for (const std::string& id : before)
    if (std::find(after.begin(), after.end(), id) != after.end()) both.push_back(id);
  if (both.empty()) throw Error(Code::dataset, "compare", "the two sides have no metric in common");
  if (options.metrics.empty()) {
    const bool sdr = std::find(both.begin(), both.end(), "SDR") != both.end();
    return {sdr ? "SDR" : both.front()};
  }
  for (const std::string& metric : options.metrics) {
    if (std::find(both.begin(), both.end(), metric) != both.end()) continue;
    throw Error({Code::config, "metrics", "not both sides hold the metric '" + metric + "'",
                 "one of " + core::join(both, ", "), "", core::did_you_mean(metric, both)});
  }
  return options.metrics;
}

double frame_length(const std::vector<const Record*>& seeds, std::string_view name) {
  return number_of(seeds.front()->body.find("frames"), name);
}

/// Everything about one pair of rows.
class Pairing {
 public:
  Pairing(const std::string& old_spec, const Side& before, const std::string& new_spec, const Side& after,
          CompareResult& result)
      : old_spec_(old_spec), new_spec_(new_spec), before_(before), after_(after), result_(result) {
    const std::string row = old_spec == new_spec ? old_spec : old_spec + " -> " + new_spec;
    const auto problem = [&](const TrackKey& track, const std::string& what) {
      result_.unpaired.push_back(name_of(track) + " | " + row + ": " + what);
    };
    for (const auto& [track, message] : after.failures) {
      if (before.tracks.contains(track)) problem(track, "failed in " + result.new_name + ": " + message);
    }
    for (const TrackKey& track : before.tracks) {
      if (!after.tracks.contains(track) && !after.failures.contains(track))
        problem(track, "only in " + result.old_name);
    }
    for (const TrackKey& track : after.tracks) {
      if (!before.tracks.contains(track)) {
        problem(track, before.failures.contains(track) ? "failed in " + result.old_name : "only in " + result.new_name);
      }
    }
    for (const auto& [track, print] : before.fingerprints) {
      const auto other = after.fingerprints.find(track);
      if (other == after.fingerprints.end() || other->second == print) continue;
      problem(track, "other audio: the fingerprints of its files differ");
      other_audio_.insert(track);
    }
  }

  void compare(const std::vector<std::string>& metrics, const std::vector<std::string>& targets,
               std::vector<std::vector<double>>& family, std::vector<std::size_t>& members) {
    std::set<std::tuple<std::string, std::string, std::string>> scenarios;
    for (const auto& [key, tracks] : before_.scores) {
      if (after_.scores.contains(key)) {
        scenarios.insert({std::get<0>(key), std::get<1>(key), std::get<2>(key)});
      } else if (is_chosen(std::get<3>(key), targets)) {
        missing_problem(key, result_.old_name);
      }
    }
    for (const auto& [key, tracks] : after_.scores) {
      if (!before_.scores.contains(key) && is_chosen(std::get<3>(key), targets)) missing_problem(key, result_.new_name);
    }
    for (const auto& [dataset, subset, scenario] : scenarios) {
      for (const std::string& metric : metrics) {
        std::vector<std::vector<double>> per_target;
        std::vector<std::map<std::string, double>> by_track;
        for (const auto& [key, before] : before_.scores) {
          if (std::tie(std::get<0>(key), std::get<1>(key), std::get<2>(key)) != std::tie(dataset, subset, scenario)) {
            continue;
          }
          const auto after = after_.scores.find(key);
          if (after == after_.scores.end() || !is_chosen(std::get<3>(key), targets)) continue;
          Comparison made = make(key, metric);
          std::vector<double> differences;
          std::map<std::string, double> of_track;
          std::vector<TrackDifference> values = paired(key, before, after->second, metric);
          std::vector<double> olds, news;
          for (const TrackDifference& v : values) {
            olds.push_back(v.old_value);
            news.push_back(v.new_value);
          }
          differences = eval::differences(olds, news);
          for (std::size_t i = 0; i < values.size(); ++i) of_track[values[i].track] = differences[i];
          set_values(made, olds, news);
          made.old_seed_sd = seed_sd(before, metric, &made.old_seeds);
          made.new_seed_sd = seed_sd(after->second, metric, &made.new_seeds);
          make_most_lost(made, values, differences);
          members.push_back(result_.comparisons.size());
          family.push_back(std::move(differences));
          result_.comparisons.push_back(std::move(made));
          if (std::get<3>(key) != "accompaniment" || scenario == "vocals/accompaniment") by_track.push_back(of_track);
        }
        add_average(dataset, subset, scenario, metric, by_track);
      }
    }
  }

  CostComparison costs() const {
    CostComparison out;
    out.old_spec = old_spec_;
    out.new_spec = new_spec_;
    out.time_ratio = out.memory_ratio = kNan;
    out.time_interval = {kNan, kNan};
    std::set<std::string> machines_before, machines_after;
    std::vector<double> ratios;
    double memory_before = 0, memory_after = 0;
    for (const auto& [track, before] : before_.costs) {
      const auto after = after_.costs.find(track);
      if (after == after_.costs.end()) continue;
      const auto collect = [](const std::vector<Cost>& costs, std::set<std::string>& machines, double& memory) {
        double time = 0;
        for (const Cost& cost : costs) {
          machines.insert(cost.machine);
          time += cost.time;
          if (!std::isnan(cost.memory)) memory = std::max(memory, cost.memory);
        }
        return time / static_cast<double>(costs.size());
      };
      const double old_time = collect(before, machines_before, memory_before);
      const double new_time = collect(after->second, machines_after, memory_after);
      if (old_time > 0 && new_time > 0) ratios.push_back(std::log(new_time / old_time));
    }
    if (machines_before.empty() || machines_after.empty()) {
      out.not_compared = "not recorded";
      return out;
    }
    if (machines_before != machines_after || machines_before.size() > 1) {
      const auto list = [](const std::set<std::string>& set) {
        return core::join(std::vector<std::string>(set.begin(), set.end()), "; ");
      };
      out.not_compared = result_.old_name + " ran on " + list(machines_before) + ", " + result_.new_name + " on " +
                         list(machines_after);
      return out;
    }
    const double bound = 1 + result_.options.cost_tolerance;
    out.tracks = static_cast<int>(ratios.size());
    if (ratios.size() > 1) {
      const eval::Bootstrap resampled = eval::bootstrap(ratios, Statistic::mean, {.expanded = true});
      out.time_ratio = std::exp(resampled.estimate());
      out.time_interval = {std::exp(resampled.interval().low), std::exp(resampled.interval().high)};
      out.slower = out.time_interval.low > bound;
    }
    if (memory_before > 0 && memory_after > 0) {
      out.memory_ratio = memory_after / memory_before;
      out.hungrier = out.memory_ratio > bound;
    }
    if (ratios.empty() && std::isnan(out.memory_ratio)) out.not_compared = "not recorded";
    return out;
  }

 private:
  static bool is_chosen(const std::string& target, const std::vector<std::string>& targets) {
    return targets.empty() || std::find(targets.begin(), targets.end(), target) != targets.end();
  }

  void missing_problem(const ProblemKey& key, const std::string& side) {
    result_.unpaired.push_back(fmt::format("{}/{}/{} | {} | target {}: only in {}", std::get<0>(key), std::get<1>(key),
                                           std::get<2>(key), old_spec_, std::get<3>(key), side));
  }

  Comparison make(const ProblemKey& key, const std::string& metric) const {
    Comparison out;
    std::tie(out.dataset, out.subset, out.scenario, out.target) = key;
    out.old_spec = old_spec_;
    out.new_spec = new_spec_;
    out.metric = metric;
    return out;
  }

  /// Tracks of both sides; NaN where a side has no value.
  std::vector<TrackDifference> paired(const ProblemKey& key,
                                      const std::map<std::string, std::vector<const Record*>>& before,
                                      const std::map<std::string, std::vector<const Record*>>& after,
                                      const std::string& metric) {
    std::vector<TrackDifference> out;
    for (const auto& [track, seeds] : before) {
      const auto other = after.find(track);
      const TrackKey whole = {std::get<0>(key), std::get<1>(key), track};
      if (other == after.end() || other_audio_.contains(whole)) continue;
      for (const char* name : {"window_s", "hop_s"}) {
        const double a = frame_length(seeds, name), b = frame_length(other->second, name);
        if (std::isnan(a) || std::isnan(b) || a == b || !frames_named_.insert(whole).second) continue;
        result_.unpaired.push_back(
            fmt::format("{} | {}: scored with other frames ({} {} and {})", name_of(whole), new_spec_, name, a, b));
      }
      out.push_back({track, value_of(seeds, metric), value_of(other->second, metric)});
    }
    return out;
  }

  void set_values(Comparison& made, const std::vector<double>& olds, const std::vector<double>& news) const {
    std::vector<double> before, after;
    for (std::size_t i = 0; i < olds.size(); ++i) {
      if (std::isnan(olds[i]) || std::isnan(news[i])) continue;
      before.push_back(olds[i]);
      after.push_back(news[i]);
    }
    made.old_value = eval::estimate_of(before, result_.options.statistic);
    made.new_value = eval::estimate_of(after, result_.options.statistic);
  }

  void make_most_lost(Comparison& made, std::vector<TrackDifference>& values, const std::vector<double>& differences) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < values.size(); ++i)
      if (differences[i] < -result_.options.margin) order.push_back(i);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return differences[a] < differences[b]; });
    if (order.size() > 3) order.resize(3);
    for (const std::size_t i : order) made.most_lost.push_back(values[i]);
  }

  void add_average(const std::string& dataset, const std::string& subset, const std::string& scenario,
                   const std::string& metric, const std::vector<std::map<std::string, double>>& by_track) {
    if (by_track.size() < 2) return;
    Comparison made = make({dataset, subset, scenario, "average"}, metric);
    made.average = true;
    made.old_seed_sd = made.new_seed_sd = kNan;
    made.old_value = made.new_value = 0;
    int counted = 0;
    for (const Comparison& c : result_.comparisons) {
      if (c.average || c.dataset != dataset || c.subset != subset || c.scenario != scenario || c.metric != metric ||
          c.old_spec != old_spec_ || c.new_spec != new_spec_ ||
          (c.target == "accompaniment" && scenario != "vocals/accompaniment")) {
        continue;
      }
      made.old_value += c.old_value;
      made.new_value += c.new_value;
      ++counted;
    }
    made.old_value /= counted;
    made.new_value /= counted;
    std::vector<double> differences;
    for (const auto& [track, first] : by_track.front()) {
      double sum = 0;
      for (const auto& of_target : by_track) {
        const auto found = of_target.find(track);
        sum += found == of_target.end() ? kNan : found->second;
      }
      differences.push_back(sum / static_cast<double>(by_track.size()));
    }
    eval::VerdictOptions verdict;
    verdict.margin = result_.options.margin;
    verdict.statistic = result_.options.statistic;
    made.judgement = eval::judge(differences, verdict);
    result_.comparisons.push_back(std::move(made));
  }

  const std::string &old_spec_, &new_spec_;
  const Side &before_, &after_;
  CompareResult& result_;
  std::set<TrackKey> other_audio_, frames_named_;
};

void note_programs(const std::vector<Record>& old_records, const std::vector<Record>& new_records,
                   CompareResult& result) {
  const auto values = [](const std::vector<Record>& records, std::string_view name) {
    std::set<std::string> out;
    for (const Record& record : records) out.insert(text_of(record.body, name));
    out.erase("");
    return core::join(std::vector<std::string>(out.begin(), out.end()), ", ");
  };
  for (const char* name : {"version", "revision", "isa"}) {
    const std::string before = values(old_records, name), after = values(new_records, name);
    if (before != after) {
      result.notes.push_back(fmt::format("{} differs: {} in {}, {} in {}", name, before.empty() ? "none" : before,
                                         result.old_name, after.empty() ? "none" : after, result.new_name));
    }
  }
  std::set<std::string> said;
  for (const Record& record : new_records) {
    std::string note = dataset_note(record.key.dataset);
    if (!note.empty() && said.insert(note).second) result.notes.push_back(std::move(note));
  }
}

}  // namespace

std::string_view outcome_name(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::equivalent:
      return "equivalent";
    case Outcome::better:
      return "better";
    case Outcome::undecided:
      return "undecided";
    case Outcome::worse:
      return "worse";
    case Outcome::costlier:
      return "slower or hungrier";
    case Outcome::unpaired:
      return "not comparable";
  }
  return "undecided";
}

int CompareResult::count(Verdict verdict) const {
  return static_cast<int>(std::count_if(comparisons.begin(), comparisons.end(), [&](const Comparison& c) {
    return !c.average && c.judgement.verdict == verdict;
  }));
}

Outcome CompareResult::outcome() const {
  if (!unpaired.empty() && !options.allow_missing) return Outcome::unpaired;
  if (count(Verdict::worse) > 0 || (options.strict && count(Verdict::undecided) > 0)) return Outcome::worse;
  const bool costly =
      std::any_of(costs.begin(), costs.end(), [](const CostComparison& c) { return c.slower || c.hungrier; });
  if (costly) return Outcome::costlier;
  if (count(Verdict::undecided) > 0) return Outcome::undecided;
  return count(Verdict::better) > 0 ? Outcome::better : Outcome::equivalent;
}

CompareResult compare(const std::vector<Record>& old_records, const std::vector<Record>& new_records,
                      const CompareOptions& options, std::string old_name, std::string new_name) {
  CompareResult result;
  result.options = options;
  result.old_name = std::move(old_name);
  result.new_name = std::move(new_name);
  const auto before = sides_of(old_records), after = sides_of(new_records);
  const std::vector<std::string> metrics = choose_metrics(old_records, new_records, options);
  std::vector<std::string> all_targets;
  for (const auto* records : {&old_records, &new_records}) {
    for (const Record& record : *records) {
      if (!record.failed() &&
          std::find(all_targets.begin(), all_targets.end(), record.key.target) == all_targets.end()) {
        all_targets.push_back(record.key.target);
      }
    }
  }
  for (const std::string& target : options.targets) {
    if (std::find(all_targets.begin(), all_targets.end(), target) == all_targets.end()) {
      throw Error({Code::config, "targets", "neither side has the target '" + target + "'",
                   "one of " + core::join(all_targets, ", "), "", core::did_you_mean(target, all_targets)});
    }
  }

  std::vector<std::pair<std::string, std::string>> pairs;
  if (before.size() == 1 && after.size() == 1) {
    pairs.emplace_back(before.begin()->first, after.begin()->first);
  } else {
    for (const auto& [spec, side] : before) {
      if (after.contains(spec)) {
        pairs.emplace_back(spec, spec);
      } else {
        result.unpaired.push_back("row " + spec + ": only in " + result.old_name);
      }
    }
    for (const auto& [spec, side] : after) {
      if (!before.contains(spec)) result.unpaired.push_back("row " + spec + ": only in " + result.new_name);
    }
  }
  std::vector<std::vector<double>> family;
  std::vector<std::size_t> members;
  for (const auto& [old_spec, new_spec] : pairs) {
    Pairing pairing(old_spec, before.at(old_spec), new_spec, after.at(new_spec), result);
    pairing.compare(metrics, options.targets, family, members);
    if (options.costs) result.costs.push_back(pairing.costs());
  }
  eval::VerdictOptions verdict;
  verdict.margin = options.margin;
  verdict.statistic = options.statistic;
  const std::vector<eval::Judgement> judged = eval::judge_family(family, verdict);
  for (std::size_t i = 0; i < members.size(); ++i) result.comparisons[members[i]].judgement = judged[i];
  result.family = static_cast<int>(
      std::count_if(judged.begin(), judged.end(), [](const eval::Judgement& j) { return j.tracks > 0; }));
  if (result.family == 0) {
    throw Error({Code::dataset, "compare", "nothing pairs: no row, track, target and metric has scores on both sides",
                 "", result.unpaired.empty() ? "" : result.unpaired.front(),
                 pairs.empty() ? "name the rows to compare as RUN#SPEC" : ""});
  }
  note_programs(old_records, new_records, result);
  return result;
}

}  // namespace mss::reports
