#include "reports/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/json.h"
#include "core/text.h"
#include "eval/scores.h"

namespace mss::reports {
namespace {

using eval::Statistic;

const eval::MetricInfo* metric_info(const std::string& id) {
  for (const eval::MetricInfo& info : eval::metrics()) {
    if (info.id == id) return &info;
  }
  return nullptr;
}

bool has_spread(const Cell& cell) { return !std::isnan(cell.spread_low); }

bool any_spread(const Section& section, std::size_t metric) {
  return std::any_of(section.rows.begin(), section.rows.end(),
                     [&](const Row& row) { return has_spread(row.cells[metric].back()); });
}

std::string aggregation(const Report& report, const Section& section, std::size_t metric) {
  const bool framewise = std::any_of(section.rows.begin(), section.rows.end(),
                                     [&](const Row& row) { return row.cells[metric].back().frames > 0; });
  const std::string tracks = section.tracks == 1 ? "1 track" : std::to_string(section.tracks) + " tracks";
  const bool mean = report.options.statistic() == Statistic::mean;
  std::string out = (mean ? "mean over " : "median over ") + tracks + (framewise ? " of medians over frames" : "");
  if (report.options.means) out += std::string(", ") + (mean ? "median" : "mean") + " over tracks in brackets";
  if (report.options.intervals) out += ", 95 % interval over tracks";
  return out;
}

/// Letters, digits and single dashes.
std::string slug(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    const bool upper = c >= 'A' && c <= 'Z';
    if (plain || upper) {
      out += upper ? static_cast<char>(c - 'A' + 'a') : c;
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out;
}

std::string label_of(const Section& section, const std::string& rest) {
  return "tab:" + slug(section.dataset + "-" + section.subset + "-" + section.scenario + "-" + rest);
}

/// Facts of rows that differ from what everybody expects.
void add_facts(Layout& layout, std::size_t metric) {
  const Section& section = *layout.section;
  const auto any = [&](auto test) { return std::any_of(section.rows.begin(), section.rows.end(), test); };
  if (any_spread(section, metric)) layout.columns.push_back({ColumnKind::seeds, "seeds", metric, 0});
  if (any_incomplete(section)) layout.columns.push_back({ColumnKind::tracks, "tracks", metric, 0});
  if (any([](const Row& row) { return row.failed_tracks > 0; })) {
    layout.columns.push_back({ColumnKind::failed, "failed", metric, 0});
  }
  if (any([&](const Row& row) { return row.cells[metric].back().dropped_frames > 0; })) {
    layout.columns.push_back({ColumnKind::dropped, "frames dropped", metric, 0});
  }
  if (any([&](const Row& row) { return row.cells[metric].back().silent_references > 0; })) {
    layout.columns.push_back({ColumnKind::silent, "silent references", metric, 0});
  }
}

std::string average_title(const Section& section) { return section.targets.size() > 1 ? "avg" : ""; }

void add_targets(Layout& layout, ColumnKind kind, std::size_t metric) {
  const Section& section = *layout.section;
  for (std::size_t t = 0; t < section.targets.size(); ++t) {
    // A metric that no row has for this target (accompaniment of oracles, joint metrics) fills no column.
    const bool any = std::any_of(section.rows.begin(), section.rows.end(),
                                 [&](const Row& row) { return row.cells[metric][t].tracks > 0; });
    if (any) layout.columns.push_back({kind, section.targets[t], metric, t});
  }
  if (!average_title(section).empty()) {
    layout.columns.push_back({kind, average_title(section), metric, section.targets.size()});
  }
}

std::string titled(const std::string& metric) {
  const std::string unit = unit_of(metric);
  return metric + (unit.empty() ? "" : " (" + unit + ")");
}

void add_against(const Report& report, const Section& section, const std::vector<std::size_t>& metrics,
                 std::vector<Layout>& out) {
  if (section.against.empty() || section.rows.size() < 2 || !report.options.compute_intervals) return;
  for (const std::size_t m : metrics) {
    Layout layout;
    layout.section = &section;
    layout.differences = true;
    std::string name = section.against;
    for (const Row& row : section.rows)
      if (row.spec == section.against) name = row.name;
    layout.title = titled(section.metrics[m]) + ": difference to " + name;
    layout.caption = std::string(report.options.statistic() == Statistic::mean ? "mean" : "median") +
                     " over tracks of the paired difference, positive where the row is better, 95 % interval, tracks "
                     "won/tied/lost; " +
                     fmt::format("equivalent: 90 % interval inside ±{} dB; not adjusted for several comparisons",
                                 core::format_real(report.options.margin));
    layout.label = label_of(section, section.metrics[m] + "-against");
    add_targets(layout, ColumnKind::against, m);
    out.push_back(std::move(layout));
  }
}

}  // namespace

std::string unit_of(const std::string& id) {
  const eval::MetricInfo* info = metric_info(id);
  return info == nullptr ? std::string() : info->unit;
}

std::vector<std::size_t> shown_metrics(const Report& report, const Section& section) {
  std::vector<std::size_t> out;
  const auto add = [&](const std::vector<std::string>& ids) {
    for (const std::string& id : ids) {
      const auto found = std::find(section.metrics.begin(), section.metrics.end(), id);
      if (found != section.metrics.end()) out.push_back(static_cast<std::size_t>(found - section.metrics.begin()));
    }
  };
  if (!report.options.metrics.empty()) {
    add(report.options.metrics);
  } else if (report.options.style == Style::sisec18) {
    add({"SDR", "SIR", "SAR", "ISR"});
  } else if (report.options.style == Style::mdx21) {
    add({"uSDR"});
  } else {
    add({"SDR", "uSDR"});
  }
  if (out.empty() && !section.metrics.empty()) out.push_back(0);
  return out;
}

std::vector<Layout> layouts(const Report& report, const Section& section) {
  std::vector<Layout> out;
  if (section.metrics.empty()) return out;
  const std::vector<std::size_t> metrics = shown_metrics(report, section);
  switch (report.options.style) {
    case Style::paper:
      for (const std::size_t m : metrics) {
        Layout layout;
        layout.section = &section;
        layout.title = titled(section.metrics[m]);
        layout.caption = aggregation(report, section, m);
        layout.label = label_of(section, section.metrics[m]);
        add_targets(layout, ColumnKind::score, m);
        add_facts(layout, m);
        out.push_back(std::move(layout));
      }
      break;
    case Style::sisec18:
      for (std::size_t t = 0; t < section.targets.size(); ++t) {
        Layout layout;
        layout.section = &section;
        layout.title = section.targets[t];
        layout.caption = aggregation(report, section, metrics.front());
        layout.label = label_of(section, section.targets[t]);
        for (const std::size_t m : metrics) {
          layout.columns.push_back({ColumnKind::score, titled(section.metrics[m]), m, t});
        }
        add_facts(layout, metrics.front());
        out.push_back(std::move(layout));
      }
      break;
    case Style::mdx21:
      for (const std::size_t m : metrics) {
        Layout layout;
        layout.section = &section;
        layout.title = titled(section.metrics[m]);
        layout.caption = aggregation(report, section, m);
        layout.label = label_of(section, section.metrics[m]);
        layout.columns.push_back({ColumnKind::rank, "rank", m, 0});
        layout.columns.push_back({ColumnKind::score, "mean", m, section.targets.size()});
        std::vector<std::size_t> by_name;
        for (std::size_t t = 0; t < section.targets.size(); ++t) by_name.push_back(t);
        std::sort(by_name.begin(), by_name.end(),
                  [&](std::size_t a, std::size_t b) { return section.targets[a] < section.targets[b]; });
        for (const std::size_t t : by_name) {
          layout.columns.push_back({ColumnKind::score, section.targets[t], m, t});
        }
        add_facts(layout, m);
        out.push_back(std::move(layout));
      }
      break;
  }
  add_against(report, section, metrics, out);
  return out;
}

std::string decimals(double value, int digits) {
  if (std::isnan(value)) return "-";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{:.{}f}", value, digits);
  if (text.front() == '-' && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

std::string signed_decimals(double value, int digits) {
  const std::string text = decimals(value, digits);
  const bool above = value > 0 && text.find_first_not_of("0.") != std::string::npos;
  return above ? "+" + text : text;
}

CellText cell_text(const Report& report, const Layout& layout, std::size_t row_index, const TableColumn& column) {
  const Section& section = *layout.section;
  const Row& row = section.rows[row_index];
  const ReportOptions& options = report.options;
  const int digits = options.digits;
  CellText out;
  switch (column.kind) {
    case ColumnKind::rank: {
      if (row.kind != RowKind::method || !row.ranked ||
          std::isnan(row.cells[column.metric].back().value(options.statistic())))
        break;
      int place = 1;
      for (const Row& other : section.rows) {
        place += other.kind == RowKind::method && other.ranked &&
                         other.cells[column.metric].back().value(options.statistic()) >
                             row.cells[column.metric].back().value(options.statistic())
                     ? 1
                     : 0;
      }
      out.value = std::to_string(place);
      break;
    }
    case ColumnKind::score: {
      const Cell& cell = row.cells[column.metric][column.target];
      const Statistic statistic = options.statistic();
      out.value = decimals(cell.value(statistic), digits);
      if (std::isnan(cell.value(statistic))) break;
      if (options.means) {
        out.other = decimals(cell.value(statistic == Statistic::mean ? Statistic::median : Statistic::mean), digits);
      }
      if (options.intervals) {
        out.low = decimals(cell.interval(statistic).low, digits);
        out.high = decimals(cell.interval(statistic).high, digits);
      }
      out.best = !section.best.empty() && section.best[column.metric][column.target] == static_cast<int>(row_index);
      break;
    }
    case ColumnKind::against: {
      if (row.spec == section.against) {
        out.value = "";
        break;
      }
      const eval::Judgement& j = row.against[column.metric][column.target];
      out.value = signed_decimals(j.tracks > 0 ? j.estimate(options.statistic()) : NAN, digits);
      if (j.tracks == 0) break;
      out.low = decimals(j.interval.low, digits);
      out.high = decimals(j.interval.high, digits);
      out.counts = fmt::format("{}/{}/{}", j.wins, j.ties, j.losses);
      out.verdict = j.tracks > 1 ? std::string(eval::verdict_name(j.verdict)) : "-";
      break;
    }
    case ColumnKind::seeds: {
      const Cell& average = row.cells[column.metric].back();
      const bool mean = options.statistic() == Statistic::mean;
      const double low = mean ? average.mean_spread_low : average.spread_low;
      const double high = mean ? average.mean_spread_high : average.spread_high;
      if (!std::isnan(low)) out.value = decimals(low, digits) + ".." + decimals(high, digits);
      break;
    }
    case ColumnKind::tracks:
      out.value = tracks_text(row, section);
      break;
    case ColumnKind::failed:
      if (row.failed_tracks > 0) out.value = std::to_string(row.failed_tracks);
      break;
    case ColumnKind::dropped: {
      const Cell& average = row.cells[column.metric].back();
      if (average.frames > 0) {
        out.value = fmt::format(
            "{:.1f}%", 100.0 * static_cast<double>(average.dropped_frames) / static_cast<double>(average.frames));
      }
      break;
    }
    case ColumnKind::silent: {
      const int count = row.cells[column.metric].back().silent_references;
      if (count > 0) out.value = std::to_string(count);
      break;
    }
  }
  return out;
}

std::string section_title(const Section& section) {
  return section.dataset + " / " + section.subset + " / " + section.scenario;
}

std::string scenario_note(const std::string& scenario) {
  if (scenario == "stems") return "all stems are one problem";
  if (scenario == "vocals/accompaniment") return "a problem of two sources, the vocals and the sum of all other stems";
  if (scenario == "museval") return "problems as museval's files have them";
  return scenario.starts_with("stems:") ? "these stems alone, as a problem of their own" : "a problem of its own";
}

std::string group_title(const Row& row) {
  switch (row.kind) {
    case RowKind::floor:
      return "floors (what doing nothing scores)";
    case RowKind::oracle:
      return row.protocol.empty() ? "oracles (know the true stems)"
                                  : "oracles, protocol " + row.protocol + " (knows the true stems)";
    case RowKind::method:
      return "methods";
  }
  return "methods";
}

std::string program_line(const Report& report) {
  std::string line = "mssbench " + core::join(report.versions, ", ");
  if (!report.revisions.empty() || !report.isas.empty()) {
    line += " (revision " + core::join(report.revisions, ", ") + "; " + core::join(report.isas, ", ") + ")";
  }
  return line;
}

bool any_below_floor(const Section& section) {
  return std::any_of(section.rows.begin(), section.rows.end(), [](const Row& row) { return row.below_floor; });
}

bool any_incomplete(const Section& section) {
  return std::any_of(section.rows.begin(), section.rows.end(),
                     [&](const Row& row) { return row.tracks != section.tracks; });
}

std::string note_marks(const Row& row) {
  std::string out;
  for (const Note& note : row.notes)
    if (out.find(note_mark(note.kind)) == std::string::npos) out += note_mark(note.kind);
  return out;
}

std::vector<std::string> note_lines(const Section& section) {
  std::vector<std::string> out;
  for (const NoteKind kind : {NoteKind::mixed, NoteKind::training, NoteKind::untrained, NoteKind::ill_conditioned}) {
    for (const Row& row : section.rows) {
      for (const Note& note : row.notes) {
        if (note.kind != kind) continue;
        out.push_back(std::string(note_mark(kind)) + " " + row.name + ": " + note.text +
                      (row.ranked ? "" : "; not ranked"));
      }
    }
    for (const Note& note : section.notes)
      if (note.kind == kind) out.push_back(std::string(note_mark(kind)) + " " + note.text);
  }
  return out;
}

std::string tracks_text(const Row& row, const Section& section) {
  return row.tracks == section.tracks ? std::to_string(row.tracks) : fmt::format("{}/{}", row.tracks, section.tracks);
}

std::string seeds_text(const Row& row) {
  std::string out;
  for (const std::uint64_t seed : row.seeds) out += (out.empty() ? "" : " ") + std::to_string(seed);
  return out;
}

std::string silent_line(const Section& section) {
  std::string out;
  if (section.metrics.empty()) return out;
  for (std::size_t t = 0; t < section.targets.size(); ++t) {
    int most = 0;  // of the row that has most
    for (const Row& row : section.rows) most = std::max(most, row.cells.front()[t].silent_references);
    if (most == 0) continue;
    out += (out.empty() ? "" : ", ") + section.targets[t] + " in " + std::to_string(most) +
           (most == 1 ? " track" : " tracks");
  }
  return out;
}

std::string silent_estimates_line(const Section& section) {
  std::string out;
  if (section.metrics.empty()) return out;
  for (const Row& row : section.rows) {
    const int count = row.cells.front().back().silent_estimates;
    if (count > 0) out += (out.empty() ? "" : ", ") + row.name + " (" + std::to_string(count) + ")";
  }
  return out;
}

std::vector<OverviewLine> overview(const Report& report) {
  std::vector<OverviewLine> out;
  const ReportOptions& options = report.options;
  for (const Section& section : report.sections) {
    OverviewLine line;
    line.section = section_title(section);
    line.rows = std::to_string(section.rows.size());
    line.tracks = std::to_string(section.tracks);
    line.failed = static_cast<int>(section.errors.size());
    if (!section.metrics.empty()) {
      line.metric = titled(section.metrics.front());
      double best[3] = {NAN, NAN, NAN};
      for (const Row& row : section.rows) {
        const Cell& cell = row.cells.front().back();
        const double value = cell.value(options.statistic());
        double& greatest = best[static_cast<int>(row.kind)];
        if (std::isnan(value) || (!std::isnan(greatest) && value <= greatest) || !row.ranked) continue;
        if (row.kind == RowKind::floor && row.spec != section.floor) continue;
        greatest = value;
        std::string text = decimals(value, options.digits);
        const eval::Interval& interval = cell.interval(options.statistic());
        if (options.compute_intervals && !std::isnan(interval.low)) {
          text += " [" + decimals(interval.low, options.digits) + ", " + decimals(interval.high, options.digits) + "]";
        }
        (row.kind == RowKind::method ? line.best : row.kind == RowKind::floor ? line.floor : line.oracle) = row.name;
        (row.kind == RowKind::method  ? line.best_value
         : row.kind == RowKind::floor ? line.floor_value
                                      : line.oracle_value) = text;
      }
    }
    out.push_back(std::move(line));
  }
  return out;
}

}  // namespace mss::reports
