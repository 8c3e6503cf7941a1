// The formats for other programs: CSV, per-track CSV, JSON.
#include <cmath>

#include "core/escape.h"
#include "core/json.h"
#include "core/text.h"
#include "reports/layout.h"

namespace mss::reports {
namespace {

using core::Value;

/// Full precision; empty for no value.
std::string number(double value) { return std::isnan(value) ? "" : core::format_real(value); }

void add_line(std::string& out, const std::vector<std::string>& fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) out += (i == 0 ? "" : ",") + fields[i];
  out += "\n";
}

std::string text(const std::string& field) { return core::escape_csv(field); }

Value strings(const std::vector<std::string>& list) {
  Value out = Value::array();
  for (const std::string& entry : list) out.push_back(entry);
  return out;
}

/// "mixed: other audio …; training-data: …".
std::string notes_text(const Row& row) {
  std::string out;
  for (const Note& note : row.notes)
    out += (out.empty() ? "" : "; ") + std::string(note_name(note.kind)) + ": " + note.text;
  return out;
}

Value notes_value(const std::vector<Note>& notes) {
  Value out = Value::array();
  for (const Note& note : notes) {
    Value entry = Value::object();
    entry["kind"] = note_name(note.kind);
    entry["text"] = note.text;
    entry["tracks"] = strings(note.tracks);
    out.push_back(std::move(entry));
  }
  return out;
}

Value interval_value(const eval::Interval& interval) {
  if (std::isnan(interval.low)) return {};
  Value out = Value::array();
  out.push_back(records::number_to_value(interval.low));
  out.push_back(records::number_to_value(interval.high));
  return out;
}

Value cell_value(const Cell& cell) {
  Value out = Value::object();
  out["median"] = records::number_to_value(cell.median);
  out["median_interval"] = interval_value(cell.median_interval);
  out["mean"] = records::number_to_value(cell.mean);
  out["mean_interval"] = interval_value(cell.mean_interval);
  out["spread_low"] = records::number_to_value(cell.spread_low);
  out["spread_high"] = records::number_to_value(cell.spread_high);
  out["tracks"] = cell.tracks;
  out["frames"] = cell.frames;
  out["dropped_frames"] = cell.dropped_frames;
  out["silent_references"] = cell.silent_references;
  out["silent_estimates"] = cell.silent_estimates;
  return out;
}

Value against_value(const eval::Judgement& j) {
  Value out = Value::object();
  out["tracks"] = j.tracks;
  out["mean"] = records::number_to_value(j.mean);
  out["median"] = records::number_to_value(j.median);
  out["interval"] = interval_value(j.interval);
  out["wins"] = j.wins;
  out["ties"] = j.ties;
  out["losses"] = j.losses;
  out["p"] = j.p;
  out["verdict"] = eval::verdict_name(j.verdict);
  return out;
}

}  // namespace

std::string to_csv(const Report& report) {
  std::string out =
      "dataset,subset,scenario,spec,name,kind,protocol,seeds,target,metric,unit,median,median_low,median_high,mean,"
      "mean_low,mean_high,spread_low,spread_high,tracks,failed_tracks,frames,dropped_frames,silent_references,"
      "silent_estimates,below_floor,ranked,notes,against,difference,difference_low,difference_high,wins,ties,losses,"
      "verdict,version,"
      "revision,isa\n";
  for (const Section& section : report.sections) {
    for (const Row& row : section.rows) {
      for (std::size_t t = 0; t <= section.targets.size(); ++t) {
        for (std::size_t m = 0; m < section.metrics.size(); ++m) {
          const Cell& cell = row.cells[m][t];
          const bool compared = !row.against.empty() && row.spec != section.against && row.against[m][t].tracks > 0;
          const eval::Judgement difference = compared ? row.against[m][t] : eval::Judgement{};
          const auto if_compared = [&](const std::string& field) { return compared ? field : std::string(); };
          add_line(out, {text(section.dataset),
                         text(section.subset),
                         text(section.scenario),
                         text(row.spec),
                         text(row.name),
                         std::string(kind_name(row.kind)),
                         text(row.protocol),
                         seeds_text(row),
                         t < section.targets.size() ? text(section.targets[t]) : "avg",
                         text(section.metrics[m]),
                         unit_of(section.metrics[m]),
                         number(cell.median),
                         number(cell.median_interval.low),
                         number(cell.median_interval.high),
                         number(cell.mean),
                         number(cell.mean_interval.low),
                         number(cell.mean_interval.high),
                         number(cell.spread_low),
                         number(cell.spread_high),
                         std::to_string(cell.tracks),
                         std::to_string(row.failed_tracks),
                         std::to_string(cell.frames),
                         std::to_string(cell.dropped_frames),
                         std::to_string(cell.silent_references),
                         std::to_string(cell.silent_estimates),
                         row.below_floor ? "true" : "false",
                         row.ranked ? "true" : "false",
                         text(notes_text(row)),
                         if_compared(text(section.against)),
                         if_compared(number(difference.estimate(report.options.statistic()))),
                         if_compared(number(difference.interval.low)),
                         if_compared(number(difference.interval.high)),
                         if_compared(std::to_string(difference.wins)),
                         if_compared(std::to_string(difference.ties)),
                         if_compared(std::to_string(difference.losses)),
                         if_compared(std::string(eval::verdict_name(difference.verdict))),
                         text(core::join(report.versions, " ")),
                         text(core::join(report.revisions, " ")),
                         text(core::join(report.isas, " "))});
        }
      }
    }
  }
  return out;
}

std::string to_tracks_csv(const Report& report) {
  std::string out = "dataset,subset,scenario,track,spec,name,kind,seed,target,metric,unit,value\n";
  for (const Section& section : report.sections) {
    for (const Row& row : section.rows) {
      for (std::size_t m = 0; m < section.metrics.size(); ++m) {
        for (std::size_t t = 0; t < section.targets.size(); ++t) {
          const TrackScores& scores = row.scores[m][t];
          for (std::size_t k = 0; k < row.seeds.size(); ++k) {
            for (std::size_t track = 0; track < section.track_names.size(); ++track) {
              const double value = scores.by_seed[k][track];
              if (std::isnan(value)) continue;
              add_line(out, {text(section.dataset), text(section.subset), text(section.scenario),
                             text(section.track_names[track]), text(row.spec), text(row.name),
                             std::string(kind_name(row.kind)), std::to_string(row.seeds[k]), text(section.targets[t]),
                             text(section.metrics[m]), unit_of(section.metrics[m]), number(value)});
            }
          }
        }
      }
    }
  }
  return out;
}

Value to_json(const Report& report) {
  Value out = Value::object();
  out["schema"] = kTableSchema;
  out["versions"] = strings(report.versions);
  out["revisions"] = strings(report.revisions);
  out["isas"] = strings(report.isas);
  out["commands"] = strings(report.commands);
  out["records"] = report.records;
  Value sections = Value::array();
  for (const Section& section : report.sections) {
    Value value = Value::object();
    value["dataset"] = section.dataset;
    value["subset"] = section.subset;
    value["scenario"] = section.scenario;
    value["tracks"] = section.tracks;
    value["metrics"] = strings(section.metrics);
    value["targets"] = strings(section.targets);
    value["floor"] = section.floor.empty() ? Value() : Value(section.floor);
    value["against"] = section.against.empty() ? Value() : Value(section.against);
    Value best = Value::object();
    for (std::size_t m = 0; m < section.best.size(); ++m) {
      Value targets = Value::object();
      for (std::size_t t = 0; t <= section.targets.size(); ++t) {
        const int row = section.best[m][t];
        targets[t < section.targets.size() ? section.targets[t] : std::string("average")] =
            row < 0 ? Value() : Value(section.rows[static_cast<std::size_t>(row)].spec);
      }
      best[section.metrics[m]] = std::move(targets);
    }
    value["best"] = std::move(best);
    Value rows = Value::array();
    for (const Row& row : section.rows) {
      Value entry = Value::object();
      entry["spec"] = row.spec;
      entry["name"] = row.name;
      entry["kind"] = kind_name(row.kind);
      entry["protocol"] = row.protocol;
      Value seeds = Value::array();
      for (const std::uint64_t seed : row.seeds) seeds.push_back(seed);
      entry["seeds"] = std::move(seeds);
      entry["tracks"] = row.tracks;
      entry["failed_tracks"] = row.failed_tracks;
      entry["below_floor"] = row.below_floor;
      entry["ranked"] = row.ranked;
      entry["notes"] = notes_value(row.notes);
      entry["realtime_factor"] = records::number_to_value(row.realtime_factor);
      Value metrics = Value::object();
      for (std::size_t m = 0; m < section.metrics.size(); ++m) {
        const auto cell = [&](std::size_t t) {
          Value made = cell_value(row.cells[m][t]);
          if (!row.against.empty() && row.spec != section.against) made["against"] = against_value(row.against[m][t]);
          return made;
        };
        Value targets = Value::object();
        for (std::size_t t = 0; t < section.targets.size(); ++t) targets[section.targets[t]] = cell(t);
        Value both = Value::object();
        both["targets"] = std::move(targets);
        both["average"] = cell(section.targets.size());
        metrics[section.metrics[m]] = std::move(both);
      }
      entry["metrics"] = std::move(metrics);
      rows.push_back(std::move(entry));
    }
    value["rows"] = std::move(rows);
    if (!section.remarks.empty()) value["remarks"] = strings(section.remarks);
    value["errors"] = strings(section.errors);
    value["notes"] = notes_value(section.notes);
    sections.push_back(std::move(value));
  }
  out["sections"] = std::move(sections);
  return out;
}

}  // namespace mss::reports
