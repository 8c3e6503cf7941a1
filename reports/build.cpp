#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "core/error.h"
#include "core/text.h"
#include "eval/scores.h"
#include "reports/report.h"

namespace mss::reports {
namespace {

using records::Record;
using records::RecordKey;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double median(std::vector<double> values) {
  if (values.empty()) return kNan;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  if (values.size() % 2 == 1) return values[middle];
  if (values[middle - 1] == values[middle]) return values[middle];  // also two equal infinities
  return 0.5 * (values[middle - 1] + values[middle]);
}

double mean(const std::vector<double>& values) {
  if (values.empty()) return kNan;
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

void add_unique(std::vector<std::string>& list, const std::string& text) {
  if (!text.empty() && std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

/// Position in `order`, or its size.
std::size_t rank_in(const std::vector<std::string>& order, const std::string& name) {
  return static_cast<std::size_t>(std::find(order.begin(), order.end(), name) - order.begin());
}

bool higher_is_better(const std::string& metric) {
  for (const eval::MetricInfo& info : eval::metrics()) {
    if (info.id == metric) return info.higher_is_better;
  }
  return true;
}

std::string text_of(const core::Value& body, std::string_view name) {
  const core::Value* value = body.find(name);
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

std::int64_t count_of(const core::Value* object, std::string_view name) {
  const core::Value* value = object == nullptr ? nullptr : object->find(name);
  return value != nullptr && value->is_integer() ? value->as_integer() : 0;
}

using ItemKey = std::tuple<std::string, std::string, std::string, std::string, std::uint64_t>;
ItemKey item_of(const RecordKey& key) { return {key.dataset, key.subset, key.track, key.spec, key.seed}; }

/// Each key once, errors only where nothing was scored.
std::vector<const Record*> distinct(const std::vector<Record>& records) {
  std::map<RecordKey, const Record*> by_key;
  std::set<ItemKey> scored;
  for (const Record& record : records) {
    const auto [found, is_new] = by_key.emplace(record.key, &record);
    if (!record.failed()) scored.insert(item_of(record.key));
    if (is_new || record.failed()) continue;
    if (records::to_json_line(*found->second, false) != records::to_json_line(record, false)) {
      throw Error({Code::config, records::to_string(record.key), "two different records of one key", "", "",
                   "they come from different programs, data or settings: report them apart"});
    }
  }
  std::vector<const Record*> out;
  for (const auto& [key, record] : by_key) {
    if (record->failed() && scored.count(item_of(key)) > 0) continue;
    out.push_back(record);
  }
  return out;
}

/// Records of one row, by target, track and seed.
struct RowRecords {
  std::map<std::string, std::map<std::string, std::map<std::uint64_t, const Record*>>> targets;
  std::set<std::string> failed_tracks;
};

using SectionKey = std::tuple<std::string, std::string, bool, std::string>;

Cell make_cell(const std::map<std::string, std::map<std::uint64_t, const Record*>>& tracks, const std::string& metric) {
  Cell cell;
  cell.spread_low = cell.spread_high = kNan;
  std::vector<double> values;
  std::map<std::uint64_t, std::vector<double>> by_seed;
  for (const auto& [track, seeds] : tracks) {
    std::vector<double> of_track;
    for (const auto& [seed, record] : seeds) {
      const double score = record->score(metric);
      if (std::isnan(score)) continue;
      of_track.push_back(score);
      by_seed[seed].push_back(score);
    }
    if (!of_track.empty()) values.push_back(mean(of_track));
    const Record& first = *seeds.begin()->second;
    if (first.flag("silent_reference")) ++cell.silent_references;
    if (first.flag("silent_estimate")) ++cell.silent_estimates;
    const core::Value* frames = first.body.find("frames");
    const core::Value* series = frames == nullptr ? nullptr : frames->find("values");
    if (series != nullptr && series->find(metric) != nullptr) {
      cell.frames += count_of(frames, "count");
      // What a metric lacks beyond the dropped frames (SIR of a silent estimate) is missing, too.
      for (const double value : first.frames(metric)) cell.dropped_frames += std::isnan(value) ? 1 : 0;
    }
  }
  cell.tracks = static_cast<int>(values.size());
  cell.median = median(values);
  cell.mean = mean(values);
  if (by_seed.size() > 1) {
    std::vector<double> medians;
    for (const auto& [seed, of_seed] : by_seed) medians.push_back(median(of_seed));
    const auto [low, high] = std::minmax_element(medians.begin(), medians.end());
    cell.spread_low = *low;
    cell.spread_high = *high;
  }
  return cell;
}

/// The average over targets; `needed` says which ones have a value in any row of the section.
Cell average(const std::vector<Cell>& targets, const std::vector<bool>& needed,
             const std::vector<std::map<std::uint64_t, double>>& seed_medians) {
  Cell out;
  out.spread_low = out.spread_high = kNan;
  std::vector<double> medians, means;
  bool complete = true;
  int tracks = std::numeric_limits<int>::max();
  for (std::size_t i = 0; i < targets.size(); ++i) {
    out.silent_references += targets[i].silent_references;
    out.silent_estimates += targets[i].silent_estimates;
    out.frames += targets[i].frames;
    out.dropped_frames += targets[i].dropped_frames;
    if (!needed[i]) continue;
    complete = complete && !std::isnan(targets[i].median);
    medians.push_back(targets[i].median);
    means.push_back(targets[i].mean);
    tracks = std::min(tracks, targets[i].tracks);
  }
  if (medians.empty() || !complete) {
    out.median = out.mean = kNan;
    return out;
  }
  out.tracks = tracks;
  out.median = mean(medians);
  out.mean = mean(means);
  std::map<std::uint64_t, std::vector<double>> by_seed;
  for (std::size_t i = 0; i < seed_medians.size(); ++i) {
    if (!needed[i]) continue;
    for (const auto& [seed, value] : seed_medians[i]) by_seed[seed].push_back(value);
  }
  std::vector<double> averages;
  for (const auto& [seed, values] : by_seed) {
    if (values.size() == medians.size()) averages.push_back(mean(values));
  }
  if (averages.size() > 1) {
    const auto [low, high] = std::minmax_element(averages.begin(), averages.end());
    out.spread_low = *low;
    out.spread_high = *high;
  }
  return out;
}

std::map<std::uint64_t, double> medians_by_seed(
    const std::map<std::string, std::map<std::uint64_t, const Record*>>& tracks, const std::string& metric) {
  std::map<std::uint64_t, std::vector<double>> values;
  for (const auto& [track, seeds] : tracks) {
    for (const auto& [seed, record] : seeds) {
      const double score = record->score(metric);
      if (!std::isnan(score)) values[seed].push_back(score);
    }
  }
  std::map<std::uint64_t, double> out;
  for (const auto& [seed, list] : values) out[seed] = median(list);
  return out;
}

void order_rows(Section& section) {
  const bool higher = section.metrics.empty() || higher_is_better(section.metrics.front());
  const auto score = [&](const Row& row) {
    const double value = row.cells.empty() ? kNan : row.cells.front().back().median;
    return std::isnan(value) ? -std::numeric_limits<double>::infinity() : higher ? value : -value;
  };
  // The rank of a method does not depend on P0, P1 and P2, which know nothing of the test stems.
  const auto group = [](const Row& row) {
    return std::make_pair(row.kind, row.kind == RowKind::oracle ? row.protocol : std::string());
  };
  std::stable_sort(section.rows.begin(), section.rows.end(), [&](const Row& a, const Row& b) {
    if (group(a) != group(b)) return group(a) < group(b);
    const double left = score(a), right = score(b);
    if (left != right) return left > right;
    return a.spec < b.spec;
  });
  for (const char* name : {"mixture-over-j", "mixture"}) {
    for (const Row& row : section.rows) {
      if (section.floor.empty() && row.spec == name) section.floor = row.spec;
    }
  }
  for (const Row& floor : section.rows) {
    if (section.floor.empty() || floor.spec != section.floor) continue;
    const double bound = score(floor);
    for (Row& row : section.rows) {
      const bool has_average = !row.cells.empty() && !std::isnan(row.cells.front().back().median);
      row.below_floor = row.kind != RowKind::floor && has_average && score(row) < bound;
    }
  }
}

Section make_section(const SectionKey& key, const std::map<std::string, RowRecords>& rows,
                     const std::vector<std::string>& metrics) {
  Section section;
  section.dataset = std::get<0>(key);
  section.subset = std::get<1>(key);
  section.scenario = std::get<3>(key);
  std::set<std::string> tracks;
  std::set<std::string> held;
  for (const auto& [spec, row] : rows) {
    tracks.insert(row.failed_tracks.begin(), row.failed_tracks.end());
    for (const auto& [target, by_track] : row.targets) {
      add_unique(section.targets, target);
      for (const auto& [track, seeds] : by_track) {
        tracks.insert(track);
        for (const auto& [seed, record] : seeds) {
          for (const std::string& id : record->metrics()) held.insert(id);
        }
      }
    }
  }
  section.tracks = static_cast<int>(tracks.size());
  for (const std::string& metric : metrics) {
    if (held.count(metric) > 0) section.metrics.push_back(metric);
  }
  static const std::vector<std::string> order = {"vocals", "drums", "bass", "other", "accompaniment"};
  std::sort(section.targets.begin(), section.targets.end(), [](const std::string& a, const std::string& b) {
    const std::size_t left = rank_in(order, a), right = rank_in(order, b);
    return left != right ? left < right : a < b;
  });

  for (const auto& [spec, records] : rows) {
    Row row;
    row.spec = spec;
    row.failed_tracks = static_cast<int>(records.failed_tracks.size());
    std::set<std::string> scored_tracks;
    std::set<std::uint64_t> seeds;
    std::map<std::string, double> speed;
    for (const auto& [target, by_track] : records.targets) {
      for (const auto& [track, by_seed] : by_track) {
        scored_tracks.insert(track);
        for (const auto& [seed, record] : by_seed) {
          seeds.insert(seed);
          row.protocol = text_of(record->body, "protocol");
          row.kind = record->flag("oracle")  ? RowKind::oracle
                     : record->flag("floor") ? RowKind::floor
                                             : RowKind::method;
          const core::Value* measured = record->body.find("measured");
          const core::Value* rtf = measured == nullptr ? nullptr : measured->find("rtf");
          if (rtf != nullptr && rtf->is_number()) speed.emplace(track, rtf->as_real());
        }
      }
    }
    row.tracks = static_cast<int>(scored_tracks.size());
    row.seeds.assign(seeds.begin(), seeds.end());
    std::vector<double> factors;
    for (const auto& [track, factor] : speed) factors.push_back(factor);
    row.realtime_factor = median(factors);
    for (const std::string& metric : section.metrics) {
      std::vector<Cell> cells;
      for (const std::string& target : section.targets) {
        const auto found = records.targets.find(target);
        cells.push_back(make_cell(found == records.targets.end() ? decltype(found->second){} : found->second, metric));
      }
      row.cells.push_back(std::move(cells));
    }
    section.rows.push_back(std::move(row));
  }

  for (std::size_t m = 0; m < section.metrics.size(); ++m) {
    std::vector<bool> needed(section.targets.size(), false);
    for (const Row& row : section.rows) {
      for (std::size_t t = 0; t < needed.size(); ++t) {
        if (!std::isnan(row.cells[m][t].median)) needed[t] = true;
      }
    }
    for (Row& row : section.rows) {
      const RowRecords& records = rows.at(row.spec);
      std::vector<std::map<std::uint64_t, double>> seed_medians;
      for (const std::string& target : section.targets) {
        const auto found = records.targets.find(target);
        seed_medians.push_back(found == records.targets.end() ? std::map<std::uint64_t, double>{}
                                                              : medians_by_seed(found->second, section.metrics[m]));
      }
      row.cells[m].push_back(average(row.cells[m], needed, seed_medians));
    }
  }
  order_rows(section);
  return section;
}

/// The metrics to show, in order.
std::vector<std::string> choose_metrics(const std::vector<const Record*>& records, const ReportOptions& options) {
  std::vector<std::string> held;
  for (const Record* record : records) {
    for (const std::string& id : record->metrics()) add_unique(held, id);
  }
  if (!options.metrics.empty()) {
    for (const std::string& metric : options.metrics) {
      if (std::find(held.begin(), held.end(), metric) == held.end()) {
        throw Error({Code::config, "metrics", "no record holds the metric '" + metric + "'",
                     "one of " + core::join(held, ", "), "", core::did_you_mean(metric, held)});
      }
    }
    return options.metrics;
  }
  static const std::vector<std::string> first = {"SDR", "ISR", "SIR", "SAR", "SI-SDR", "uSDR"};
  std::stable_sort(held.begin(), held.end(),
                   [](const std::string& a, const std::string& b) { return rank_in(first, a) < rank_in(first, b); });
  return held;
}

}  // namespace

std::string_view kind_name(RowKind kind) noexcept {
  switch (kind) {
    case RowKind::floor:
      return "floor";
    case RowKind::oracle:
      return "oracle";
    default:
      return "method";
  }
}

Report build_report(const std::vector<Record>& all, const ReportOptions& options) {
  if (all.empty()) throw Error(Code::config, "report", "no records");
  const std::vector<const Record*> records = distinct(all);
  Report report;
  report.records = static_cast<std::int64_t>(records.size());
  report.metrics_chosen = !options.metrics.empty();
  const std::vector<std::string> metrics = choose_metrics(records, options);

  std::map<SectionKey, std::map<std::string, RowRecords>> sections;
  std::map<SectionKey, std::vector<std::string>> errors;
  const auto section_key = [](const RecordKey& key, const std::string& scenario) {
    return SectionKey{key.dataset, key.subset, scenario != "stems", scenario};
  };
  std::vector<const Record*> failures;
  for (const Record* record : records) {
    const core::Value& body = record->body;
    add_unique(report.versions, text_of(body, "version"));
    add_unique(report.revisions, text_of(body, "revision"));
    add_unique(report.isas, text_of(body, "isa"));
    if (const core::Value* measured = body.find("measured")) {
      add_unique(report.commands, text_of(*measured, "command"));
    }
    if (record->failed()) {
      failures.push_back(record);
      continue;
    }
    const RecordKey& key = record->key;
    sections[section_key(key, key.scenario)][key.spec].targets[key.target][key.track][key.seed] = record;
  }
  // A failure belongs to every scenario in which its method stands; where it stands in none, to the first of its data
  // set.
  for (const Record* record : failures) {
    const RecordKey& key = record->key;
    const SectionKey* first = nullptr;
    bool placed = false;
    const std::string message = text_of(record->body.at("error"), "message");
    const std::string line =
        key.track + " | " + key.spec + (key.seed == 0 ? "" : " | seed " + std::to_string(key.seed)) + ": " + message;
    const auto place = [&](const SectionKey& at) {
      sections[at][key.spec].failed_tracks.insert(key.track);
      errors[at].push_back(line);
    };
    for (auto& [at, rows] : sections) {
      if (std::get<0>(at) != key.dataset || std::get<1>(at) != key.subset) continue;
      if (first == nullptr) first = &at;
      if (rows.count(key.spec) == 0) continue;
      place(at);
      placed = true;
    }
    if (!placed) place(first != nullptr ? *first : section_key(key, "stems"));
  }
  for (const auto& [key, rows] : sections) {
    Section section = make_section(key, rows, metrics);
    section.errors = errors[key];
    std::sort(section.errors.begin(), section.errors.end());
    // A row that only failed has its kind from the error record.
    for (Row& row : section.rows) {
      if (row.tracks > 0) continue;
      for (const Record* record : failures) {
        if (record->key.spec != row.spec) continue;
        row.kind = record->flag("oracle") ? RowKind::oracle : record->flag("floor") ? RowKind::floor : RowKind::method;
        row.protocol = text_of(record->body, "protocol");
      }
    }
    order_rows(section);
    report.sections.push_back(std::move(section));
  }
  for (auto* list : {&report.versions, &report.revisions, &report.isas, &report.commands}) {
    std::sort(list->begin(), list->end());
  }
  return report;
}

}  // namespace mss::reports
