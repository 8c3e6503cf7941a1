#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "core/error.h"
#include "core/parallel.h"
#include "core/text.h"
#include "eval/scores.h"
#include "records/mixed.h"
#include "reports/report.h"

namespace mss::reports {
namespace {

using eval::mean_of;
using eval::median_of;
using eval::Statistic;
using records::Record;
using records::RecordKey;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

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

RowKind kind_of(const Record& record) {
  return record.flag("oracle") ? RowKind::oracle : record.flag("floor") ? RowKind::floor : RowKind::method;
}

/// Records of one row, by target, track and seed.
struct RowRecords {
  std::map<std::string, std::map<std::string, std::map<std::uint64_t, const Record*>>> targets;
  std::set<std::string> failed_tracks;
};

using SectionKey = std::tuple<std::string, std::string, bool, std::string>;

/// Values without the undefined ones.
std::vector<double> defined(const std::vector<double>& values) {
  std::vector<double> out;
  for (const double value : values)
    if (!std::isnan(value)) out.push_back(value);
  return out;
}

void set_spread(const std::vector<double>& of_seeds, double* low, double* high) {
  *low = *high = kNan;
  if (of_seeds.size() < 2) return;
  const auto [least, greatest] = std::minmax_element(of_seeds.begin(), of_seeds.end());
  *low = *least;
  *high = *greatest;
}

/// Over the tracks that have a value; NaN where a length is not known.
double weighted_mean(const std::vector<double>& values, const std::vector<double>& weights) {
  double sum = 0, total = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    sum += weights[i] * values[i];
    total += weights[i];
  }
  return total > 0 ? sum / total : kNan;
}

/// One metric of one target: its tracks' values and what the cell counts. Intervals come later.
struct Column {
  Cell cell;
  TrackScores scores;
};

Column make_column(const std::map<std::string, std::map<std::uint64_t, const Record*>>& tracks,
                   const std::string& metric, const std::vector<std::string>& track_names,
                   const std::vector<std::uint64_t>& seeds_of_row) {
  Column out;
  Cell& cell = out.cell;
  // GNSDR is NSDR over tracks, weighted by their lengths: one number, no median.
  const bool weighted = metric == "GNSDR";
  const std::string recorded = weighted ? "NSDR" : metric;
  std::vector<double> weights(track_names.size(), 0);
  out.scores.values.assign(track_names.size(), kNan);
  out.scores.by_seed.assign(seeds_of_row.size(), std::vector<double>(track_names.size(), kNan));
  for (const auto& [track, seeds] : tracks) {
    const auto at =
        static_cast<std::size_t>(std::lower_bound(track_names.begin(), track_names.end(), track) - track_names.begin());
    std::vector<double> of_track;
    for (const auto& [seed, record] : seeds) {
      const double score = record->score(recorded);
      weights[at] = record->number("samples") / record->number("rate_hz");
      const auto column = static_cast<std::size_t>(std::lower_bound(seeds_of_row.begin(), seeds_of_row.end(), seed) -
                                                   seeds_of_row.begin());
      out.scores.by_seed[column][at] = score;
      if (!std::isnan(score)) of_track.push_back(score);
    }
    out.scores.values[at] = mean_of(of_track);
    const Record& first = *seeds.begin()->second;
    if (first.flag("silent_reference")) ++cell.silent_references;
    if (first.flag("silent_estimate")) ++cell.silent_estimates;
    const core::Value* frames = first.body.find("frames");
    const core::Value* series = frames == nullptr ? nullptr : frames->find("values");
    if (series != nullptr && series->find(metric) != nullptr) {
      cell.frames += count_of(frames, "count");
      // What a metric lacks beyond the dropped frames (SIR of a silent estimate) is missing, too.
      for (const double value : first.frames(metric)) cell.dropped_frames += std::isnan(value) ? 1 : 0;
    } else if (const core::Value* undefined = frames == nullptr ? nullptr : frames->find("undefined")) {
      if (undefined->find(metric) != nullptr) {  // imported: counts instead of frames (input.h)
        cell.frames += count_of(frames, "count");
        cell.dropped_frames += count_of(undefined, metric);
      }
    }
  }
  const std::vector<double> values = defined(out.scores.values);
  cell.tracks = static_cast<int>(values.size());
  cell.median = median_of(values);
  cell.mean = mean_of(values);
  if (weighted) cell.median = cell.mean = weighted_mean(out.scores.values, weights);
  std::vector<double> medians, means;
  for (const std::vector<double>& of_seed : out.scores.by_seed) {
    const std::vector<double> some = defined(of_seed);
    if (some.empty()) continue;
    medians.push_back(weighted ? weighted_mean(of_seed, weights) : median_of(some));
    means.push_back(weighted ? medians.back() : mean_of(some));
  }
  set_spread(medians, &cell.spread_low, &cell.spread_high);
  set_spread(means, &cell.mean_spread_low, &cell.mean_spread_high);
  cell.median_interval = cell.mean_interval = {kNan, kNan};
  return out;
}

/// The average over targets; `needed` says which ones it stands over.
Column average(const std::vector<Cell>& targets, const std::vector<TrackScores>& scores,
               const std::vector<bool>& needed) {
  Column out;
  Cell& cell = out.cell;
  cell.spread_low = cell.spread_high = cell.mean_spread_low = cell.mean_spread_high = kNan;
  cell.median_interval = cell.mean_interval = {kNan, kNan};
  std::vector<double> medians, means;
  int tracks = std::numeric_limits<int>::max();
  for (std::size_t i = 0; i < targets.size(); ++i) {
    cell.silent_references += targets[i].silent_references;
    cell.silent_estimates += targets[i].silent_estimates;
    cell.frames += targets[i].frames;
    cell.dropped_frames += targets[i].dropped_frames;
    if (!needed[i]) continue;
    medians.push_back(targets[i].median);
    means.push_back(targets[i].mean);
    tracks = std::min(tracks, targets[i].tracks);
  }
  const bool complete =
      !medians.empty() && std::none_of(medians.begin(), medians.end(), [](double m) { return std::isnan(m); });
  cell.tracks = complete ? tracks : 0;
  cell.median = complete ? mean_of(medians) : kNan;
  cell.mean = complete ? mean_of(means) : kNan;
  // Per track: the average where the track has all of them.
  const auto over_targets = [&](const auto& of_target, std::size_t track) {
    std::vector<double> values;
    for (std::size_t i = 0; i < targets.size(); ++i)
      if (needed[i]) values.push_back(of_target(scores[i])[track]);
    return values.empty() ? kNan : mean_of(values);  // NaN where one is missing
  };
  const std::size_t track_count = scores.empty() ? 0 : scores.front().values.size();
  const std::size_t seed_count = scores.empty() ? 0 : scores.front().by_seed.size();
  for (std::size_t t = 0; t < track_count; ++t) {
    out.scores.values.push_back(over_targets(
        [](const TrackScores& s) -> const auto& { return s.values; }, t));
  }
  std::vector<double> seed_medians, seed_means;
  for (std::size_t k = 0; k < seed_count; ++k) {
    out.scores.by_seed.emplace_back();
    for (std::size_t t = 0; t < track_count; ++t) {
      out.scores.by_seed.back().push_back(over_targets(
          [k](const TrackScores& s) -> const auto& { return s.by_seed[k]; }, t));
    }
    std::vector<double> of_medians, of_means;
    for (std::size_t i = 0; i < targets.size(); ++i) {
      if (!needed[i]) continue;
      const std::vector<double> some = defined(scores[i].by_seed[k]);
      of_medians.push_back(median_of(some));
      of_means.push_back(mean_of(some));
    }
    if (of_medians.empty() || std::isnan(mean_of(of_medians))) continue;
    seed_medians.push_back(mean_of(of_medians));
    seed_means.push_back(mean_of(of_means));
  }
  if (complete) {
    set_spread(seed_medians, &cell.spread_low, &cell.spread_high);
    set_spread(seed_means, &cell.mean_spread_low, &cell.mean_spread_high);
  }
  return out;
}

/// Value that ranks a row; greater is better, -infinity for none.
double ranking_score(const Section& section, const Row& row, Statistic statistic) {
  const bool higher = section.metrics.empty() || higher_is_better(section.metrics.front());
  const double value = row.cells.empty() ? kNan : row.cells.front().back().value(statistic);
  return std::isnan(value) ? -std::numeric_limits<double>::infinity() : higher ? value : -value;
}

void mark_floor(Section& section, Statistic statistic) {
  for (const char* name : {"mixture-over-j", "mixture"}) {
    for (const Row& row : section.rows) {
      if (section.floor.empty() && row.spec == name) section.floor = row.spec;
    }
  }
  for (const Row& floor : section.rows) {
    if (section.floor.empty() || floor.spec != section.floor) continue;
    const double bound = ranking_score(section, floor, statistic);
    for (Row& row : section.rows) {
      const bool has_average = !row.cells.empty() && !std::isnan(row.cells.front().back().value(statistic));
      row.below_floor = row.kind != RowKind::floor && has_average && ranking_score(section, row, statistic) < bound;
    }
  }
}

/// Place of every row of `rows` that `order` names; names may be joined by commas, which also stand inside specs.
std::vector<std::string> named_order(const std::vector<std::string>& order, const std::vector<Row>& rows,
                                     std::vector<std::string>* unknown = nullptr) {
  std::vector<std::string> out;
  const auto spec_of = [&](const std::string& text) -> std::string {
    for (const Row& row : rows)
      if (row.spec == text || row.name == text) return row.spec;
    return {};
  };
  for (const std::string& entry : order) {
    const std::vector<std::string> pieces = core::split(entry, ',');
    for (std::size_t from = 0; from < pieces.size();) {
      // The longest run of pieces that is a row.
      std::size_t to = pieces.size();
      std::string spec;
      for (; to > from && spec.empty(); --to) {
        spec = spec_of(core::join(
            {pieces.begin() + static_cast<std::ptrdiff_t>(from), pieces.begin() + static_cast<std::ptrdiff_t>(to)},
            ","));
      }
      if (spec.empty()) {
        if (unknown != nullptr) unknown->push_back(pieces[from]);
        ++from;
        continue;
      }
      add_unique(out, spec);
      from = to + 1;
    }
  }
  return out;
}

bool is_order(const ReportOptions& options, const char* word) {
  return options.order.size() == 1 && options.order.front() == word;
}

void order_rows(Section& section, const ReportOptions& options, const std::vector<std::string>& file_order) {
  const bool by_file = is_order(options, "file");
  const bool by_metric = options.order.empty() || is_order(options, "metric");
  const std::vector<std::string> first = by_file     ? file_order
                                         : by_metric ? std::vector<std::string>{}
                                                     : named_order(options.order, section.rows);
  // The rank of a method does not depend on P0, P1 and P2, which know nothing of the test stems.
  const auto group = [](const Row& row) {
    return std::make_pair(row.kind, row.kind == RowKind::oracle ? row.protocol : std::string());
  };
  std::stable_sort(section.rows.begin(), section.rows.end(), [&](const Row& a, const Row& b) {
    if (group(a) != group(b)) return group(a) < group(b);
    const std::size_t place_a = rank_in(first, a.spec), place_b = rank_in(first, b.spec);
    if (place_a != place_b) return place_a < place_b;
    if (a.ranked != b.ranked) return a.ranked;
    const double left = ranking_score(section, a, options.statistic());
    const double right = ranking_score(section, b, options.statistic());
    if (left != right) return left > right;
    // Two perfect rows, by the metrics behind.
    if (std::isinf(left) && left > 0) {
      for (std::size_t m = 1; m < section.metrics.size(); ++m) {
        const double x = a.cells[m].back().value(options.statistic()), y = b.cells[m].back().value(options.statistic());
        if (!std::isnan(x) && !std::isnan(y) && x != y) return higher_is_better(section.metrics[m]) == (x > y);
      }
    }
    // Rows without an average, by their first target.
    const auto first_target = [&](const Row& row) {
      const double value = row.cells.empty() ? kNan : row.cells.front().front().value(options.statistic());
      return std::isnan(value) ? -std::numeric_limits<double>::infinity() : value;
    };
    if (first_target(a) != first_target(b)) return first_target(a) > first_target(b);
    return a.spec < b.spec;
  });
}

eval::BootstrapOptions bootstrap_options() { return {.expanded = true}; }

/// Differences of b to a, positive where b is better.
std::vector<double> better_by(const std::vector<double>& a, const std::vector<double>& b, bool higher) {
  std::vector<double> d = eval::differences(a, b);
  if (!higher)
    for (double& value : d) value = -value;
  return d;
}

/// Which method is best in a column, where that is more than chance.
int proven_best(const Section& section, std::size_t metric, std::size_t target, const ReportOptions& options) {
  if (section.metrics[metric] == "GNSDR") return -1;  // its tracks do not count alike
  const bool higher = higher_is_better(section.metrics[metric]);
  const Statistic statistic = options.statistic();
  std::vector<int> methods;
  for (std::size_t r = 0; r < section.rows.size(); ++r) {
    const Row& row = section.rows[r];
    if (row.kind == RowKind::method && row.ranked && !std::isnan(row.cells[metric][target].value(statistic))) {
      methods.push_back(static_cast<int>(r));
    }
  }
  if (methods.size() < 2) return -1;
  const auto value = [&](int r) {
    const double v = section.rows[static_cast<std::size_t>(r)].cells[metric][target].value(statistic);
    return higher ? v : -v;
  };
  std::stable_sort(methods.begin(), methods.end(), [&](int a, int b) { return value(a) > value(b); });
  const auto scores = [&](int r) -> const std::vector<double>& {
    return section.rows[static_cast<std::size_t>(r)].scores[metric][target].values;
  };
  eval::VerdictOptions verdict;
  verdict.statistic = statistic;
  verdict.margin = 0;
  verdict.bootstrap = bootstrap_options();
  const eval::Judgement lead = eval::judge(better_by(scores(methods[1]), scores(methods[0]), higher), verdict);
  return lead.verdict == eval::Verdict::better ? methods[0] : -1;
}

/// Fills in what is resampled: intervals of cells, proven best values, differences to a row.
void add_intervals(Section& section, const ReportOptions& options) {
  const std::size_t metrics = section.metrics.size(), targets = section.targets.size() + 1;
  section.best.assign(metrics, std::vector<int>(targets, -1));
  const Row* reference = nullptr;
  for (const Row& row : section.rows) {
    if (!section.against.empty() && row.spec == section.against) reference = &row;
  }
  for (Row& row : section.rows) {
    if (reference != nullptr) row.against.assign(metrics, std::vector<eval::Judgement>(targets));
  }
  const std::size_t per_row = metrics * targets;
  core::parallel_for(static_cast<std::int64_t>(section.rows.size() * per_row), options.threads, [&](std::int64_t item) {
    const auto i = static_cast<std::size_t>(item);
    Row& row = section.rows[i / per_row];
    const std::size_t m = i % per_row / targets, t = i % targets;
    Cell& cell = row.cells[m][t];
    std::vector<std::vector<double>> groups;
    if (t + 1 == targets) {
      if (std::isnan(cell.median)) return;  // what is complete has values for all that it stands over
      for (std::size_t k = 0; k + 1 < targets; ++k)
        if (section.averaged[k] && !std::isnan(row.cells[m][k].median)) groups.push_back(row.scores[m][k].values);
    } else {
      groups.push_back(row.scores[m][t].values);
    }
    if (section.metrics[m] == "GNSDR") return;  // its tracks do not count alike
    cell.median_interval = eval::interval_of_average(groups, Statistic::median, bootstrap_options());
    cell.mean_interval = eval::interval_of_average(groups, Statistic::mean, bootstrap_options());
    if (reference == nullptr || reference == &row) return;
    eval::VerdictOptions verdict;
    verdict.margin = options.margin;
    verdict.statistic = options.statistic();
    verdict.bootstrap = bootstrap_options();
    row.against[m][t] = eval::judge(
        better_by(reference->scores[m][t].values, row.scores[m][t].values, higher_is_better(section.metrics[m])),
        verdict);
  });
  core::parallel_for(static_cast<std::int64_t>(per_row), options.threads, [&](std::int64_t item) {
    const auto i = static_cast<std::size_t>(item);
    section.best[i / targets][i % targets] = proven_best(section, i / targets, i % targets, options);
  });
}

std::string name_of(const std::string& spec, const ReportOptions& options) {
  for (const auto& [known, name] : options.names)
    if (known == spec) return name;
  return spec;
}

bool is_chosen(const std::string& spec, const ReportOptions& options) {
  if (options.only.empty()) return true;
  const std::string name = name_of(spec, options);
  return std::any_of(options.only.begin(), options.only.end(), [&](const std::string& glob) {
    return core::matches_glob(spec, glob) || core::matches_glob(name, glob);
  });
}

Section make_section(const SectionKey& key, const std::map<std::string, RowRecords>& rows,
                     const std::vector<std::string>& metrics, const ReportOptions& options) {
  Section section;
  section.dataset = std::get<0>(key);
  if (std::string note = dataset_note(section.dataset); !note.empty()) section.remarks.push_back(std::move(note));
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
          if (held.count("NSDR") > 0) held.insert("GNSDR");
        }
      }
    }
  }
  section.track_names.assign(tracks.begin(), tracks.end());
  section.tracks = static_cast<int>(tracks.size());
  for (const std::string& metric : metrics) {
    if (held.count(metric) > 0) section.metrics.push_back(metric);
  }
  static const std::vector<std::string> order = {"vocals", "drums", "bass", "other", "accompaniment"};
  std::sort(section.targets.begin(), section.targets.end(), [](const std::string& a, const std::string& b) {
    const std::size_t left = rank_in(order, a), right = rank_in(order, b);
    return left != right ? left < right : a < b;
  });

  static const std::map<std::string, std::map<std::uint64_t, const Record*>> kNoTracks;
  for (const auto& [spec, records] : rows) {
    Row row;
    row.spec = spec;
    row.name = name_of(spec, options);
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
          row.kind = kind_of(*record);
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
    row.realtime_factor = median_of(factors);
    for (const std::string& metric : section.metrics) {
      row.cells.emplace_back();
      row.scores.emplace_back();
      for (const std::string& target : section.targets) {
        const auto found = records.targets.find(target);
        Column column = make_column(found == records.targets.end() ? kNoTracks : found->second, metric,
                                    section.track_names, row.seeds);
        row.cells.back().push_back(column.cell);
        row.scores.back().push_back(std::move(column.scores));
      }
    }
    section.rows.push_back(std::move(row));
  }

  // museval's files hold the accompaniment beside the stems that it is the sum of.
  const auto stems = std::count_if(section.targets.begin(), section.targets.end(), [](const std::string& target) {
    return target != "accompaniment" && target != "vocals";
  });
  for (const std::string& target : section.targets) {
    section.averaged.push_back(target != "accompaniment" || stems == 0);
  }
  for (std::size_t m = 0; m < section.metrics.size(); ++m) {
    std::vector<bool> needed(section.targets.size(), false);
    for (const Row& row : section.rows) {
      for (std::size_t t = 0; t < needed.size(); ++t) {
        if (section.averaged[t] && !std::isnan(row.cells[m][t].median)) needed[t] = true;
      }
    }
    for (Row& row : section.rows) {
      Column column = average(row.cells[m], row.scores[m], needed);
      row.cells[m].push_back(column.cell);
      row.scores[m].push_back(std::move(column.scores));
    }
  }
  return section;
}

std::string listed(const std::set<std::string>& names) {
  constexpr std::size_t kMost = 6;
  const std::vector<std::string> all(names.begin(), names.end());
  if (all.size() <= kMost) return core::join(all, ", ");
  return core::join({all.begin(), all.begin() + kMost}, ", ") + " and " + std::to_string(all.size() - kMost) + " more";
}

/// Notes of the rows of one section: by spec, kind and text, the tracks.
using RowNotes = std::map<std::string, std::map<std::pair<NoteKind, std::string>, std::set<std::string>>>;

/// What does not fit is flagged; where no side is larger than the others, all of them are.
template <class SectionOf, class TrackOf>
void add_mixed_notes(const std::vector<records::Mixed>& found, const SectionOf& section_of, const TrackOf& track_of,
                     std::map<SectionKey, RowNotes>& notes) {
  for (const records::Mixed& mixed : found) {
    for (std::size_t i = mixed.has_majority() ? 1 : 0; i < mixed.sides.size(); ++i) {
      const records::Mixed::Side& side = mixed.sides[i];
      const bool hash = mixed.aspect == records::Aspect::audio || mixed.aspect == records::Aspect::weights;
      const std::string of_rest = mixed.aspect == records::Aspect::audio || mixed.aspect == records::Aspect::scoring
                                      ? " than other rows ("
                                      : " than on other tracks (";
      const std::string text = "other " + std::string(records::aspect_name(mixed.aspect)) + of_rest +
                               (hash ? side.value.substr(0, 8) : side.value) + ")";
      for (const Record* record : side.records)
        notes[section_of(record->key)][record->key.spec][{NoteKind::mixed, text}].insert(track_of(record->key));
    }
  }
}

/// The metrics to show, in order.
std::vector<std::string> choose_metrics(const std::vector<const Record*>& records, const ReportOptions& options) {
  std::vector<std::string> held;
  for (const Record* record : records) {
    for (const std::string& id : record->metrics()) add_unique(held, id);
  }
  if (std::find(held.begin(), held.end(), "NSDR") != held.end()) add_unique(held, "GNSDR");
  if (!options.metrics.empty()) {
    for (const std::string& metric : options.metrics) {
      if (std::find(held.begin(), held.end(), metric) == held.end()) {
        throw Error({Code::config, "metrics", "no record holds the metric '" + metric + "'",
                     "one of " + core::join(held, ", "), "", core::did_you_mean(metric, held)});
      }
    }
    return options.metrics;
  }
  if (options.style == Style::mdx21 && std::find(held.begin(), held.end(), "uSDR") != held.end()) {
    std::stable_partition(held.begin(), held.end(), [](const std::string& id) { return id == "uSDR"; });
    return held;
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

std::string_view note_name(NoteKind kind) noexcept {
  switch (kind) {
    case NoteKind::mixed:
      return "mixed";
    case NoteKind::training:
      return "training-data";
    case NoteKind::untrained:
      return "untrained";
    case NoteKind::ill_conditioned:
      return "ill-conditioned";
  }
  return "mixed";
}

std::string_view note_mark(NoteKind kind) noexcept {
  switch (kind) {
    case NoteKind::mixed:
      return "!";
    case NoteKind::training:
      return "T";
    case NoteKind::untrained:
      return "R";
    case NoteKind::ill_conditioned:
      return "~";
  }
  return "!";
}

bool is_untrained(const Record& record) {
  const core::Value* weights = record.body.find("weights");
  return weights != nullptr && weights->is_object() && text_of(*weights, "label").starts_with("random-");
}

namespace {

void check_options(const ReportOptions& options) {
  if (options.digits < 0 || options.digits > 6) {
    throw Error({Code::config, "round", "digits out of range", "0 to 6", std::to_string(options.digits), ""});
  }
  if (!(options.margin >= 0)) {
    throw Error({Code::config, "margin", "out of range", "0 or more", std::to_string(options.margin), ""});
  }
}

/// Names and globs that meet no row are slips, and two rows of one name could not be told apart.
void check_rows(Report& report, const std::vector<std::string>& specs) {
  const ReportOptions& options = report.options;
  std::vector<std::string> known = specs;
  std::map<std::string, std::string> spec_of_name;
  for (const std::string& spec : specs) {
    const std::string name = name_of(spec, options);
    add_unique(known, name);
    const auto [found, is_new] = spec_of_name.emplace(name, spec);
    if (!is_new) {
      throw Error({Code::config, "names", "two rows would be called '" + name + "'", "a name for each",
                   "'" + found->second + "' and '" + spec + "'", ""});
    }
  }
  for (const std::string& glob : options.only) {
    const bool met = std::any_of(known.begin(), known.end(),
                                 [&](const std::string& name) { return core::matches_glob(name, glob); });
    if (!met) report.warnings.push_back("no row matches '" + glob + "'");
  }
  if (!is_order(options, "file") && !is_order(options, "metric")) {
    std::vector<Row> rows;
    std::vector<std::string> unknown;
    for (const std::string& spec : specs) {
      rows.emplace_back();
      rows.back().spec = spec;
      rows.back().name = name_of(spec, options);
    }
    named_order(options.order, rows, &unknown);
    for (const std::string& name : unknown) {
      const std::string hint = core::did_you_mean(name, known);
      report.warnings.push_back("order: no row is called '" + name + "'" + (hint.empty() ? "" : "; " + hint));
    }
  }
  for (const auto& [spec, name] : options.names) {
    if (std::find(specs.begin(), specs.end(), spec) != specs.end()) continue;
    const std::string hint = core::did_you_mean(spec, specs);
    report.warnings.push_back("names: no row has the spec '" + spec + "'" + (hint.empty() ? "" : "; " + hint));
  }
}

}  // namespace

std::string dataset_note(std::string_view dataset) {
  if (dataset != "synthetic" && !dataset.starts_with("synthetic-v") && !dataset.starts_with("synthetic:")) return {};
  std::string note =
      "Synthetic songs: these scores rank methods and catch regressions; they are never comparable with scores on "
      "MUSDB18 or other recorded music, and are not averaged with them.";
  const bool sampled = dataset.find("renderer=fluidsynth") != std::string_view::npos;
  if (!sampled && dataset != "synthetic") {
    note +=
        " The built-in synthesiser played them: training and test songs share most of its sounds, so they do not test "
        "generalisation, and they are not pooled with songs of sampled instruments.";
  }
  return note;
}

Report build_report(const std::vector<Record>& all, const ReportOptions& options) {
  if (all.empty()) throw Error(Code::config, "report", "no records");
  check_options(options);
  const std::vector<const Record*> records = distinct(all);
  Report report;
  report.options = options;
  report.records = static_cast<std::int64_t>(records.size());
  const std::vector<std::string> metrics = choose_metrics(records, options);
  std::vector<std::string> file_order, specs;
  for (const Record& record : all) add_unique(file_order, record.key.spec);
  specs = file_order;
  std::sort(specs.begin(), specs.end());
  check_rows(report, specs);

  std::map<SectionKey, std::map<std::string, RowRecords>> sections;
  std::map<SectionKey, std::vector<std::string>> errors;
  const auto section_key = [&](const RecordKey& key, const std::string& scenario) {
    return SectionKey{key.dataset, options.join_subsets ? "all" : key.subset, scenario != "stems", scenario};
  };
  const auto track_of = [&](const RecordKey& key) {
    return options.join_subsets ? key.subset + "/" + key.track : key.track;
  };
  std::vector<const Record*> failures, chosen;
  std::map<SectionKey, RowNotes> notes;
  std::map<SectionKey, std::map<std::string, double>> ill_conditioned;  ///< track: condition
  for (const Record* record : records) {
    const core::Value& body = record->body;
    add_unique(report.versions, text_of(body, "version"));
    add_unique(report.revisions, text_of(body, "revision"));
    add_unique(report.isas, text_of(body, "isa"));
    if (const core::Value* measured = body.find("measured")) {
      add_unique(report.commands, text_of(*measured, "command"));
    }
    if (!is_chosen(record->key.spec, options)) continue;
    if (record->failed()) {
      failures.push_back(record);
      continue;
    }
    const RecordKey& key = record->key;
    const SectionKey at = section_key(key, key.scenario);
    chosen.push_back(record);
    sections[at][key.spec].targets[key.target][track_of(key)][key.seed] = record;
    if (const std::string known = record->text("training_data"); !known.empty()) {
      const std::string text = known == "name" ? "trained on tracks of these names and lengths" : "trained on";
      notes[at][key.spec][{NoteKind::training, text}].insert(track_of(key));
    }
    if (is_untrained(*record)) {
      notes[at][key.spec]
           [{NoteKind::untrained,
             "its weights were drawn at random: it separates nothing and stands here for tests and timings"}];
    }
    if (record->flag("ill_conditioned")) {
      double& worst = ill_conditioned[at][track_of(key)];
      worst = std::max(worst, record->number("condition"));
    }
  }
  const std::vector<records::Mixed> mixed = records::find_mixed(chosen);
  if (!options.allow_mixed) {
    records::require_unmixed(mixed, "report",
                             "report them apart, or do the older ones again; --allow-mixed goes on and flags the rows");
  }
  add_mixed_notes(
      mixed, [&](const RecordKey& key) { return section_key(key, key.scenario); }, track_of, notes);
  // A failure belongs to every scenario in which its method stands; where it stands in none, to the first of its data
  // set.
  for (const Record* record : failures) {
    const RecordKey& key = record->key;
    const SectionKey* first = nullptr;
    bool placed = false;
    const std::string message = text_of(record->body.at("error"), "message");
    const std::string line = track_of(key) + " | " + key.spec +
                             (key.seed == 0 ? "" : " | seed " + std::to_string(key.seed)) + ": " + message;
    const auto place = [&](const SectionKey& at) {
      sections[at][key.spec].failed_tracks.insert(track_of(key));
      errors[at].push_back(line);
    };
    const SectionKey wanted = section_key(key, "stems");
    for (auto& [at, rows] : sections) {
      if (std::get<0>(at) != std::get<0>(wanted) || std::get<1>(at) != std::get<1>(wanted)) continue;
      if (first == nullptr) first = &at;
      if (rows.count(key.spec) == 0) continue;
      place(at);
      placed = true;
    }
    if (!placed) place(first != nullptr ? *first : wanted);
  }
  if (sections.empty()) {
    throw Error({Code::config, "only", "no row is left", "globs of " + core::join(specs, ", "),
                 core::join(options.only, ", "), ""});
  }
  bool against_found = options.against.empty();
  for (const auto& [key, rows] : sections) {
    Section section = make_section(key, rows, metrics, options);
    section.errors = errors[key];
    std::sort(section.errors.begin(), section.errors.end());
    if (const auto found = ill_conditioned.find(key); found != ill_conditioned.end()) {
      Note note{NoteKind::ill_conditioned, {}, {}};
      double worst = 0;
      std::set<std::string> names;
      for (const auto& [track, condition] : found->second) {
        names.insert(track);
        worst = std::max(worst, condition);
      }
      note.tracks.assign(names.begin(), names.end());
      note.text = fmt::format("ISR, SIR and SAR hang on the last bits of the references (condition up to {:.0e}): {}",
                              worst, listed(names));
      section.notes.push_back(std::move(note));
    }
    for (Row& row : section.rows) {
      if (const auto found = notes[key].find(row.spec); found != notes[key].end()) {
        for (const auto& [what, tracks] : found->second) {
          row.notes.push_back({what.first,
                               tracks.empty() ? what.second : what.second + ": " + listed(tracks),
                               {tracks.begin(), tracks.end()}});
          if (what.first == NoteKind::untrained ||
              (what.first == NoteKind::training && !options.allow_training_tracks)) {
            row.ranked = false;
          }
        }
      }
      if (!options.against.empty() && (row.spec == options.against || row.name == options.against)) {
        section.against = row.spec;
        against_found = true;
      }
      if (row.tracks > 0) continue;
      // A row that only failed has its kind from the error record.
      for (const Record* record : failures) {
        if (record->key.spec != row.spec) continue;
        row.kind = kind_of(*record);
        row.protocol = text_of(record->body, "protocol");
      }
    }
    order_rows(section, options, file_order);
    mark_floor(section, options.statistic());
    if (options.compute_intervals) add_intervals(section, options);
    report.sections.push_back(std::move(section));
  }
  if (!against_found) {
    std::vector<std::string> names = specs;
    for (const std::string& spec : specs) add_unique(names, name_of(spec, options));
    throw Error({Code::config, "against", "no row is called '" + options.against + "'",
                 "one of " + core::join(names, ", "), "", core::did_you_mean(options.against, names)});
  }
  for (auto* list : {&report.versions, &report.revisions, &report.isas, &report.commands}) {
    std::sort(list->begin(), list->end());
  }
  return report;
}

}  // namespace mss::reports
