#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/escape.h"
#include "core/text.h"
#include "eval/scores.h"
#include "reports/layout.h"

namespace mss::reports {
namespace {

using core::escape_markdown;

std::string name_cell(const Row& row, bool in_table) {
  // A spec is code, a name is not.
  return row.name == row.spec ? core::escape_markdown_code(row.spec, in_table) : escape_markdown(row.name);
}

std::string dash(const std::string& text) { return text == "-" ? "–" : text; }

std::string markdown_cell(const CellText& cell) {
  std::string out = dash(cell.value);
  if (cell.best) out = "**" + out + "**";
  if (!cell.other.empty()) out += " (" + cell.other + ")";
  if (!cell.low.empty()) {
    out += cell.low == "-" ? " \\[–\\]" : " \\[" + cell.low + ", " + cell.high + "\\]";
  }
  if (!cell.counts.empty()) out += ", " + cell.counts;
  if (!cell.verdict.empty()) out += ", " + dash(cell.verdict);
  return out;
}

std::string table(const Report& report, const Layout& layout) {
  const Section& section = *layout.section;
  std::string out = "| method |";
  for (const TableColumn& column : layout.columns) out += " " + escape_markdown(column.title) + " |";
  out += "\n|---|";
  for (std::size_t c = 0; c < layout.columns.size(); ++c) out += "---:|";
  out += "\n";
  std::string group;
  for (std::size_t r = 0; r < section.rows.size(); ++r) {
    const Row& row = section.rows[r];
    if (const std::string title = group_title(row); title != group) {
      group = title;
      out += "| **" + escape_markdown(title) + "** |";
      for (std::size_t c = 0; c < layout.columns.size(); ++c) out += " |";
      out += "\n";
    }
    out += "| " + name_cell(row, true) + (row.below_floor && !layout.differences ? " ↓" : "") +
           (row.notes.empty() || layout.differences ? "" : " (" + note_marks(row) + ")") + " |";
    for (const TableColumn& column : layout.columns) {
      out += " " + markdown_cell(cell_text(report, layout, r, column)) + " |";
    }
    out += "\n";
  }
  return out;
}

std::string overview_table(const Report& report) {
  const std::vector<OverviewLine> lines = overview(report);
  const auto any = [&](auto member) {
    return std::any_of(lines.begin(), lines.end(), [&](const OverviewLine& line) { return !(line.*member).empty(); });
  };
  const bool floors = any(&OverviewLine::floor), oracles = any(&OverviewLine::oracle);
  const bool failed = std::any_of(lines.begin(), lines.end(), [](const OverviewLine& line) { return line.failed > 0; });
  std::string out = "| data set / subset / scenario | rows | tracks | metric | best method | average |";
  std::string rule = "|---|---:|---:|---|---|---:|";
  const auto column = [&](const char* title, const char* align) {
    out += std::string(" ") + title + " |";
    rule += align;
  };
  if (floors) {
    column("floor", "---|");
    column("average", "---:|");
  }
  if (oracles) {
    column("best oracle", "---|");
    column("average", "---:|");
  }
  if (failed) column("failed", "---:|");
  out += "\n" + rule + "\n";
  for (const OverviewLine& line : lines) {
    out += "| " + escape_markdown(line.section) + " | " + line.rows + " | " + line.tracks + " | " +
           escape_markdown(line.metric) + " | " + escape_markdown(line.best) + " | " +
           escape_markdown(line.best_value) + " |";
    if (floors) out += " " + escape_markdown(line.floor) + " | " + escape_markdown(line.floor_value) + " |";
    if (oracles) out += " " + escape_markdown(line.oracle) + " | " + escape_markdown(line.oracle_value) + " |";
    if (failed) out += line.failed > 0 ? " " + std::to_string(line.failed) + " |" : " |";
    out += "\n";
  }
  return out;
}

}  // namespace

std::string to_markdown(const Report& report) {
  std::string out =
      "# Results\n\n" + escape_markdown(program_line(report)) + "; " + std::to_string(report.records) + " records.\n";
  if (!report.commands.empty()) {
    out += "\nCommands:\n\n";
    for (const std::string& command : report.commands) out += "- " + core::escape_markdown_code(command, false) + "\n";
  }
  out += "\n" + overview_table(report);
  for (const Section& section : report.sections) {
    out += "\n## " + escape_markdown(section_title(section)) + "\n";
    out += "\nScenario " + escape_markdown(section.scenario) + ": " + scenario_note(section.scenario) + ".\n";
    for (const std::string& note : section.remarks) out += "\nNote: " + escape_markdown(note) + "\n";
    bool best = false;
    for (const Layout& layout : layouts(report, section)) {
      std::string caption = layout.caption;
      caption[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(caption[0])));
      out += "\n### " + escape_markdown(layout.title) + "\n\n" + caption + ".\n\n" + table(report, layout);
      for (const TableColumn& column : layout.columns) {
        best = best || (column.kind == ColumnKind::score && !section.best.empty() &&
                        section.best[column.metric][column.target] >= 0);
      }
    }
    if (best) {
      out +=
          "\n**Bold**: the best method, where the 95 % interval of its paired difference to the second best excludes "
          "0.\n";
    }
    if (std::any_of(section.rows.begin(), section.rows.end(), [](const Row& row) { return row.seeds.size() > 1; })) {
      out += "\nSeeds: least and greatest average that a single seed gives.\n";
    }
    if (any_below_floor(section)) {
      out += "\n↓ average of " + escape_markdown(section.metrics.front()) + " below the floor " +
             core::escape_markdown_code(section.floor, false) + ".\n";
    }
    if (any_incomplete(section)) out += "\nRows over different tracks do not compare.\n";
    if (const std::string silent = silent_line(section); !silent.empty()) {
      out += "\nReferences that are silent over the whole track are left out: " + escape_markdown(silent) + ".\n";
    }
    if (const std::string silent = silent_estimates_line(section); !silent.empty()) {
      out +=
          "\nEstimates that are silent over the whole track score SDR 0 dB by definition: " + escape_markdown(silent) +
          ".\n";
    }
    for (const std::string& line : note_lines(section)) out += "\n" + escape_markdown(line) + ".\n";
    if (!section.errors.empty()) {
      out += "\n### Failed\n\n";
      for (const std::string& error : section.errors) out += "- " + escape_markdown(error) + "\n";
    }
    const bool timed = std::any_of(section.rows.begin(), section.rows.end(),
                                   [](const Row& row) { return !std::isnan(row.realtime_factor); });
    if (timed) {
      out +=
          "\n### Time\n\nSeparation time over duration, median over tracks; differs from run to run.\n\n"
          "| method | time / duration |\n|---|---:|\n";
      for (const Row& row : section.rows) {
        if (std::isnan(row.realtime_factor)) continue;
        out += "| " + name_cell(row, true) + " | " + fmt::format("{:.3g}", row.realtime_factor) + " |\n";
      }
    }
  }
  bool defined = false;
  std::vector<std::string> done;
  for (const Section& section : report.sections) {
    for (const std::size_t m : shown_metrics(report, section)) {
      const std::string& id = section.metrics[m];
      const auto info = std::find_if(eval::metrics().begin(), eval::metrics().end(),
                                     [&](const eval::MetricInfo& known) { return known.id == id; });
      if (info == eval::metrics().end() || std::find(done.begin(), done.end(), id) != done.end()) continue;
      if (!defined) out += "\n## Metrics\n\n";
      defined = true;
      done.push_back(id);
      out += "- **" + escape_markdown(id) + "**: " + escape_markdown(info->definition) + "\n";
    }
  }
  return out;
}

}  // namespace mss::reports
