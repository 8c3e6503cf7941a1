#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "core/text.h"
#include "datasets/dataset.h"
#include "eval/scores.h"
#include "eval/statistics.h"
#include "reports/html/page.h"
#include "reports/html/pairs.h"
#include "reports/published.h"

namespace mss::reports::html {
namespace {

using core::Value;
using records::Record;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr double kStep = 0.01, kShortStep = 0.05;  ///< of frames, dB

Value strings(const std::vector<std::string>& list) {
  Value out = Value::array();
  for (const std::string& entry : list) out.push_back(entry);
  return out;
}

Value integers(const std::vector<std::uint64_t>& list) {
  Value out = Value::array();
  for (const std::uint64_t entry : list) out.push_back(entry);
  return out;
}

/// "" where it is absent.
std::string text_of(const Value* object, std::string_view name) {
  const Value* value = object == nullptr ? nullptr : object->find(name);
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

double real_of(const Value* object, std::string_view name) {
  const Value* value = object == nullptr ? nullptr : object->find(name);
  return value != nullptr && value->is_number() ? value->as_real() : kNan;
}

/// What is known of the data that a row's weights were trained on, as its records say.
struct Training {
  std::string kind;  ///< "none", "benchmark", "extra", "unknown", "oracle"
  std::string text;
};

Training training_of(const Row& row, const Record* record) {
  if (row.kind == RowKind::oracle) return {"oracle", "knows the true stems"};
  if (row.kind == RowKind::floor) return {"none", "nothing is trained"};
  if (record == nullptr) return {"unknown", "not known"};
  const Value* measured = record->body.find("measured");
  const Value* weights = record->body.find("weights");
  if (weights == nullptr || weights->is_null()) {
    // Scores of stems that another program made say nothing of it.
    if (std::isnan(real_of(measured, "wall_s"))) return {"unknown", "stems made elsewhere"};
    return {"none", "nothing is trained"};
  }
  const std::string label = core::split(text_of(weights, "label"), '#').front();
  if (is_untrained(*record)) return {"none", "nothing: random weights"};
  if (label == "cc0" || label.starts_with("cc0-")) return {"extra", "the CC0 songs of the built-in dictionaries"};
  const std::string set = core::split(text_of(weights, "trained_on"), '#').front(),
                    beyond = text_of(weights, "trained_beyond");
  if (set.empty() && beyond.empty()) return {"unknown", "weights " + label};
  if (!beyond.empty()) return {"extra", set.empty() ? beyond : set + " and " + beyond};
  if (core::to_lower(set).starts_with("musdb18")) return {"benchmark", set + ", training set"};
  return {"extra", set};
}

double median_or_nan(const std::vector<double>& values) { return values.empty() ? kNan : eval::median_of(values); }

/// What separating cost, over the tracks and seeds of a row.
Value cost_value(const Report& report, const RecordIndex& index, std::size_t s, std::size_t r) {
  const Section& section = report.sections[s];
  std::vector<double> rtf, cpu_per_s, wall;
  double peak = kNan, parameters = kNan, macs = kNan;
  std::set<std::string> machines, threads;
  for (std::size_t t = 0; t < section.track_names.size(); ++t) {
    std::set<std::uint64_t> seen;  // a track's records share their times
    for (const Record* record : index.of(s, r, t)) {
      if (!seen.insert(record->key.seed).second) continue;
      const Value* measured = record->body.find("measured");
      const double factor = real_of(measured, "rtf"), cpu = real_of(measured, "cpu_s");
      const double rate = real_of(&record->body, "rate_hz"), samples = real_of(&record->body, "samples");
      if (std::isfinite(factor)) rtf.push_back(factor);
      if (std::isfinite(real_of(measured, "wall_s"))) wall.push_back(real_of(measured, "wall_s"));
      if (std::isfinite(cpu) && rate > 0 && samples > 0) cpu_per_s.push_back(cpu * rate / samples);
      const double rss = real_of(measured, "peak_rss_bytes");
      if (std::isfinite(rss) && !(peak > rss)) peak = rss;
      const Value* network = record->body.find("network");
      if (std::isfinite(real_of(network, "parameters"))) parameters = real_of(network, "parameters");
      if (std::isfinite(real_of(network, "macs_per_second"))) macs = real_of(network, "macs_per_second");
      const std::string processor = text_of(measured, "processor");
      if (!processor.empty() && std::isfinite(factor)) machines.insert(processor);
      const double of_track = real_of(measured, "threads"), jobs = real_of(measured, "jobs");
      if (std::isfinite(of_track) && std::isfinite(factor)) {
        threads.insert(fmt::format("{:.0f} × {:.0f}", jobs, of_track));
      }
    }
  }
  Value out = Value::object();
  out["rtf"] = rounded(median_or_nan(rtf), 6);
  out["cpu_per_s"] = rounded(median_or_nan(cpu_per_s), 6);
  out["wall_s"] = rounded(median_or_nan(wall), 4);
  // The process's high-water mark tells of one row only where it alone was run.
  out["peak_bytes"] = rtf.empty() ? Value() : rounded(peak, 0);
  out["parameters"] = rounded(parameters, 0);
  out["macs_per_s"] = rounded(macs, 0);
  out["machines"] = strings({machines.begin(), machines.end()});
  out["threads"] = strings({threads.begin(), threads.end()});
  return out;
}

Value provenance(const RecordIndex& index, const Report& report, std::size_t s, std::size_t r) {
  Value out = Value::object();
  const Record* record = index.any(s, r);
  if (record == nullptr) return out;
  std::set<std::string> versions, isas, commands, hosts, started;
  for (std::size_t t = 0; t < report.sections[s].track_names.size(); ++t) {
    for (const Record* one : index.of(s, r, t)) {
      const Value* measured = one->body.find("measured");
      versions.insert(text_of(&one->body, "version") + " (" + text_of(&one->body, "revision") + ")");
      isas.insert(text_of(&one->body, "isa"));
      for (const auto& [set, name] : {std::pair{&commands, "command"}, {&hosts, "host"}, {&started, "started_utc"}}) {
        const std::string text = text_of(measured, name);
        if (!text.empty()) set->insert(text);
      }
    }
  }
  for (std::set<std::string>* set : {&versions, &isas}) set->erase("");
  versions.erase(" ()");
  out["versions"] = strings({versions.begin(), versions.end()});
  out["isas"] = strings({isas.begin(), isas.end()});
  out["commands"] = strings({commands.begin(), commands.end()});
  out["hosts"] = strings({hosts.begin(), hosts.end()});
  out["started"] = started.empty() ? Value() : Value(*started.begin());
  for (const char* name : {"options", "weights", "random"}) {
    const Value* value = record->body.find(name);
    out[name] = value == nullptr ? Value() : *value;
  }
  const Value* measured = record->body.find("measured");
  out["separated_here"] = std::isfinite(real_of(measured, "wall_s"));
  return out;
}

/// [median, low, high, mean, low, high, tracks, frames, dropped, silent references, silent estimates, spread of the
/// median: low, high, of the mean: low, high]
Value cell_value(const Cell& cell, int digits) {
  Value out = Value::array();
  for (const double value : {cell.median, cell.median_interval.low, cell.median_interval.high, cell.mean,
                             cell.mean_interval.low, cell.mean_interval.high}) {
    out.push_back(rounded(value, digits));
  }
  out.push_back(cell.tracks);
  out.push_back(cell.frames);
  out.push_back(cell.dropped_frames);
  out.push_back(cell.silent_references);
  out.push_back(cell.silent_estimates);
  for (const double value : {cell.spread_low, cell.spread_high, cell.mean_spread_low, cell.mean_spread_high}) {
    out.push_back(rounded(value, digits));
  }
  return out;
}

/// Median and mean over tracks of single seeds, [seed][2]; the average's is the mean over its targets, as in cells.
Value seed_value(const Section& section, const Row& row, std::size_t m, std::size_t t, int digits) {
  Value out = Value::array();
  for (std::size_t k = 0; k < row.seeds.size(); ++k) {
    std::vector<double> medians, means;
    bool complete = true;
    for (std::size_t i = 0; i < section.targets.size(); ++i) {
      if (t < section.targets.size() ? i != t : !section.averaged[i]) continue;
      std::vector<double> some;
      for (const double v : row.scores[m][i].by_seed[k])
        if (!std::isnan(v)) some.push_back(v);
      complete = complete && !some.empty();
      medians.push_back(median_or_nan(some));
      means.push_back(some.empty() ? kNan : eval::mean_of(some));
    }
    Value pair = Value::array();
    pair.push_back(rounded(complete && !medians.empty() ? eval::mean_of(medians) : kNan, digits));
    pair.push_back(rounded(complete && !means.empty() ? eval::mean_of(means) : kNan, digits));
    out.push_back(std::move(pair));
  }
  return out;
}

Value notes_value(const std::vector<Note>& notes) {
  Value out = Value::array();
  for (const Note& note : notes) {
    Value value = Value::object();
    value["kind"] = note_name(note.kind);
    value["text"] = note.text;
    value["tracks"] = strings(note.tracks);
    out.push_back(std::move(value));
  }
  return out;
}

/// What the method and the post-filters of a spec do.
Value about_value(const std::string& spec, const Options& options) {
  Value out = Value::array();
  for (const std::string& part : core::split(spec, '|')) {
    const std::string name = part.substr(0, part.find_first_of("@:"));
    for (const auto& [known, sentence] : options.about)
      if (known == name) out.push_back(sentence);
  }
  return out;
}

Value row_value(const Report& report, const RecordIndex& index, std::size_t s, std::size_t r, int digits,
                const Options& options) {
  const Section& section = report.sections[s];
  const Row& row = section.rows[r];
  Value out = Value::object();
  out["spec"] = row.spec;
  out["name"] = row.name;
  out["kind"] = kind_name(row.kind);
  out["protocol"] = row.protocol;
  out["seeds"] = integers(row.seeds);
  out["tracks"] = row.tracks;
  out["failed"] = row.failed_tracks;
  out["ranked"] = row.ranked;
  out["notes"] = notes_value(row.notes);
  const Training training = training_of(row, index.any(s, r));
  out["training"] = training.kind;
  out["training_text"] = training.text;
  out["cost"] = cost_value(report, index, s, r);
  Value from = provenance(index, report, s, r);
  const Value* here = from.find("separated_here");
  out["about"] = here != nullptr && here->as_bool() ? about_value(row.spec, options) : Value::array();
  out["from"] = std::move(from);
  Value cells = Value::array(), scores = Value::array(), seeds = Value::array();
  for (std::size_t m = 0; m < section.metrics.size(); ++m) {
    Value metric_cells = Value::array(), metric_scores = Value::array(), metric_seeds = Value::array();
    for (std::size_t t = 0; t <= section.targets.size(); ++t) {
      metric_cells.push_back(cell_value(row.cells[m][t], digits));
      Value list = Value::array();
      for (const double value : row.scores[m][t].values) list.push_back(rounded(value, digits));
      metric_scores.push_back(std::move(list));
      if (row.seeds.size() > 1) metric_seeds.push_back(seed_value(section, row, m, t, digits));
    }
    cells.push_back(std::move(metric_cells));
    scores.push_back(std::move(metric_scores));
    if (row.seeds.size() > 1) seeds.push_back(std::move(metric_seeds));
  }
  out["cells"] = std::move(cells);
  out["scores"] = std::move(scores);
  if (row.seeds.size() > 1) out["by_seed"] = std::move(seeds);
  // Tracks of silent estimates and references, by target.
  Value silent = Value::array();
  for (std::size_t t = 0; t < section.track_names.size(); ++t) {
    for (const Record* record : index.of(s, r, t)) {
      for (const char* flag : {"silent_estimate", "silent_reference"}) {
        if (!record->flag(flag) || (!row.seeds.empty() && record->key.seed != row.seeds.front())) continue;
        Value entry = Value::array();
        entry.push_back(static_cast<std::int64_t>(t));
        entry.push_back(record->key.target);
        entry.push_back(flag);
        silent.push_back(std::move(entry));
      }
    }
  }
  out["silent"] = std::move(silent);
  return out;
}

Value track_facts(const Report& report, const RecordIndex& index, std::size_t s, std::size_t t) {
  const Section& section = report.sections[s];
  Value out = Value::object();
  out["name"] = section.track_names[t];
  const Record* record = index.of_track(s, t);
  const Value* body = record == nullptr ? nullptr : &record->body;
  const double rate = real_of(body, "rate_hz"), samples = real_of(body, "samples");
  out["seconds"] = rounded(rate > 0 ? samples / rate : kNan, 3);
  out["rate_hz"] = rounded(rate, 0);
  out["channels"] = rounded(real_of(body, "channels"), 0);
  out["fingerprint"] = text_of(body, "fingerprint");
  out["erratum"] = text_of(body, "erratum");
  // Published weights have heard the training set of MUSDB18, whatever the data set at hand calls it.
  const std::string name = record == nullptr ? section.track_names[t] : record->key.track;
  const datasets::MusdbFact* fact = datasets::musdb_fact(name);
  out["training"] = (record != nullptr && record->key.subset == "train") || (fact != nullptr && fact->split != "test");
  return out;
}

Value section_value(const Report& report, const RecordIndex& index, std::size_t s, int digits, const Options& options) {
  const Section& section = report.sections[s];
  Value out = Value::object();
  out["dataset"] = section.dataset;
  out["subset"] = section.subset;
  out["scenario"] = section.scenario;
  out["metrics"] = strings(section.metrics);
  out["targets"] = strings(section.targets);
  Value averaged = Value::array();
  for (const bool a : section.averaged) averaged.push_back(a);
  out["averaged"] = std::move(averaged);
  out["floor"] = section.floor.empty() ? Value() : Value(section.floor);
  Value tracks = Value::array();
  for (std::size_t t = 0; t < section.track_names.size(); ++t) tracks.push_back(track_facts(report, index, s, t));
  out["tracks"] = std::move(tracks);
  Value rows = Value::array();
  for (std::size_t r = 0; r < section.rows.size(); ++r) rows.push_back(row_value(report, index, s, r, digits, options));
  out["rows"] = std::move(rows);
  out["notes"] = notes_value(section.notes);
  Value best = Value::array();
  for (const std::vector<int>& metric : section.best) {
    Value list = Value::array();
    for (const int row : metric) list.push_back(row);
    best.push_back(std::move(list));
  }
  out["best"] = std::move(best);
  Value compared = Value::object();
  for (const std::size_t m : shown_metrics(report, section)) {
    Value of_metric = comparisons(report, section, m, digits, options.threads);
    if (!of_metric.is_null()) compared[section.metrics[m]] = std::move(of_metric);
  }
  out["compared"] = std::move(compared);
  Value errors = Value::array();
  for (const Record* record : index.failures(s)) {
    Value error = Value::object();
    error["track"] = record->key.track;
    error["spec"] = record->key.spec;
    error["seed"] = record->key.seed;
    error["message"] = text_of(record->body.find("error"), "message");
    errors.push_back(std::move(error));
  }
  out["errors"] = std::move(errors);
  out["remarks"] = Value::array();
  for (const std::string& remark : section.remarks) out["remarks"].push_back(remark);
  return out;
}

Value metric_value(const std::string& id) {
  Value out = Value::object();
  out["unit"] = "dB";
  out["definition"] = "";
  out["higher"] = true;
  out["framewise"] = false;
  for (const eval::MetricInfo& info : eval::metrics()) {
    if (info.id != id) continue;
    out["unit"] = info.unit;
    out["definition"] = info.definition;
    out["higher"] = info.higher_is_better;
    out["framewise"] = info.framewise;
  }
  return out;
}

}  // namespace

Value rounded(double value, int decimals) {
  if (!std::isfinite(value)) return records::number_to_value(value);
  const double scale = std::pow(10.0, decimals);
  const double near = std::round(value * scale) / scale;
  if (!std::isfinite(near)) return value;
  // Whole numbers are shorter without a point.
  if (near == std::trunc(near) && std::abs(near) < 9e15) return static_cast<std::int64_t>(near);
  return near;
}

RecordIndex::RecordIndex(const Report& report, const std::vector<Record>& records) {
  const bool joined = report.options.join_subsets;
  std::map<std::tuple<std::string, std::string, std::string>, std::size_t> sections;
  std::vector<std::map<std::string, std::size_t>> rows(report.sections.size()), tracks(report.sections.size());
  cells_.resize(report.sections.size());
  failures_.resize(report.sections.size());
  for (std::size_t s = 0; s < report.sections.size(); ++s) {
    const Section& section = report.sections[s];
    sections[{section.dataset, section.subset, section.scenario}] = s;
    for (std::size_t r = 0; r < section.rows.size(); ++r) rows[s][section.rows[r].spec] = r;
    for (std::size_t t = 0; t < section.track_names.size(); ++t) tracks[s][section.track_names[t]] = t;
    cells_[s].assign(section.rows.size(), std::vector<std::vector<const Record*>>(section.track_names.size()));
  }
  const auto item = [](const records::RecordKey& key) {
    return std::make_tuple(key.dataset, key.subset, key.track, key.spec, key.seed);
  };
  std::set<std::tuple<std::string, std::string, std::string, std::string, std::uint64_t>> scored;
  for (const Record& record : records)
    if (!record.failed()) scored.insert(item(record.key));
  std::set<records::RecordKey> seen;
  for (const Record& record : records) {
    const records::RecordKey& key = record.key;
    const std::string subset = joined ? "all" : key.subset;
    const std::string track = joined ? key.subset + "/" + key.track : key.track;
    if (record.failed()) {
      for (std::size_t s = 0; s < report.sections.size(); ++s) {
        const Section& section = report.sections[s];
        if (section.dataset != key.dataset || section.subset != subset || rows[s].count(key.spec) == 0) continue;
        // Scores of the same item supersede a failure.
        if (seen.insert(key).second && scored.count(item(key)) == 0) failures_[s].push_back(&record);
        break;
      }
      continue;
    }
    const auto found = sections.find({key.dataset, subset, key.scenario});
    if (found == sections.end()) continue;
    const auto row = rows[found->second].find(key.spec);
    const auto at = tracks[found->second].find(track);
    if (row == rows[found->second].end() || at == tracks[found->second].end()) continue;
    if (seen.insert(key).second) cells_[found->second][row->second][at->second].push_back(&record);
  }
}

const std::vector<const Record*>& RecordIndex::of(std::size_t section, std::size_t row, std::size_t track) const {
  return cells_[section][row][track];
}

const Record* RecordIndex::any(std::size_t section, std::size_t row) const {
  for (const auto& track : cells_[section][row])
    if (!track.empty()) return track.front();
  return nullptr;
}

const Record* RecordIndex::of_track(std::size_t section, std::size_t track) const {
  for (const auto& row : cells_[section])
    if (!row[track].empty()) return row[track].front();
  return nullptr;
}

Value report_data(const Report& report, const RecordIndex& index, const Options& options) {
  const int digits = std::max(4, report.options.digits + 2);
  Value out = Value::object();
  out["schema"] = 1;
  out["versions"] = strings(report.versions);
  out["revisions"] = strings(report.revisions);
  out["isas"] = strings(report.isas);
  out["commands"] = strings(report.commands);
  out["records"] = report.records;
  out["digits"] = report.options.digits;
  out["statistic"] = report.options.statistic() == eval::Statistic::mean ? "mean" : "median";
  out["margin"] = report.options.margin;
  out["warnings"] = strings(report.warnings);
  Value metrics = Value::object();
  std::set<std::string> shown;
  bool musdb = false;
  for (const Section& section : report.sections) {
    for (const std::string& id : section.metrics) {
      if (shown.insert(id).second) metrics[id] = metric_value(id);
    }
    musdb = musdb || core::to_lower(section.dataset).starts_with("musdb18");
  }
  out["metrics"] = std::move(metrics);
  Value sections = Value::array();
  for (std::size_t s = 0; s < report.sections.size(); ++s) {
    sections.push_back(section_value(report, index, s, digits, options));
  }
  out["sections"] = std::move(sections);
  if (report.options.published || musdb) {
    Value published = Value::object();
    for (const std::string& id : shown) {
      Value groups = Value::array();
      for (const PublishedGroup* group : published_groups_for(id)) {
        Value value = Value::object();
        value["metric"] = group->metric;
        value["test_set"] = group->test_set;
        Value rows = Value::array();
        for (const PublishedRow& row : group->rows) {
          Value entry = Value::object();
          entry["method"] = row.method;
          entry["year"] = row.year;
          entry["extra_data"] = row.extra_data;
          for (const auto& [name, number] : {std::pair{"vocals", row.vocals},
                                             {"drums", row.drums},
                                             {"bass", row.bass},
                                             {"other", row.other},
                                             {"average_printed", row.average_printed},
                                             {"average", row.average}}) {
            entry[name] = rounded(number, 3);
          }
          entry["parameters"] = row.parameters;
          entry["source"] = row.source;
          entry["second_hand"] = row.second_hand;
          entry["flags"] = strings(row.flags);
          rows.push_back(std::move(entry));
        }
        value["rows"] = std::move(rows);
        groups.push_back(std::move(value));
      }
      if (groups.size() > 0) published[id] = std::move(groups);
    }
    if (published.size() > 0) out["published"] = std::move(published);
  }
  return out;
}

Value track_data(const Report& report, const RecordIndex& index, std::size_t s, std::size_t track, bool short_form) {
  const Section& section = report.sections[s];
  Value out = Value::object(), metrics = Value::object();
  out["letters"] = short_form ? 2 : 3;
  out["step"] = short_form ? kShortStep : kStep;
  for (const std::string& id : section.metrics) {
    Value rows = Value::object();
    for (std::size_t r = 0; r < section.rows.size(); ++r) {
      Value targets = Value::object();
      for (const Record* record : index.of(s, r, track)) {
        // Of several seeds the first: the others scatter around it, and lines would hide each other.
        if (record->key.seed != section.rows[r].seeds.front()) continue;
        const Value* frames = record->body.find("frames");
        const Value* values = frames == nullptr ? nullptr : frames->find("values");
        if (values == nullptr || values->find(id) == nullptr) continue;
        targets[record->key.target] = packed(record->frames(id), short_form);
        if (out.find("hop_s") == nullptr) {
          out["window_s"] = rounded(real_of(frames, "window_s"), 6);
          out["hop_s"] = rounded(real_of(frames, "hop_s"), 6);
        }
      }
      if (targets.size() > 0) rows[std::to_string(r)] = std::move(targets);
    }
    if (rows.size() == 0) continue;
    metrics[id] = std::move(rows);
    if (short_form) break;
  }
  if (metrics.size() == 0) return {};
  out["metrics"] = std::move(metrics);
  return out;
}

std::string packed(const std::vector<double>& values, bool short_form) {
  const int letters = short_form ? 2 : 3;
  const std::int64_t half = std::int64_t{1} << (6 * letters - 1);
  const double step = short_form ? kShortStep : kStep, most = static_cast<double>(half - 1);
  std::string out;
  for (const double value : values) {
    const std::int64_t number = std::isnan(value) ? 0 : half + std::llround(std::clamp(value / step, -most, most));
    for (int k = letters - 1; k >= 0; --k) out += kLetters[number >> (6 * k) & 63];
  }
  return out;
}

std::string base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      three = three << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += i + k > bytes.size() ? '=' : kLetters[three >> (18 - 6 * k) & 63U];
    }
  }
  return out;
}

}  // namespace mss::reports::html
