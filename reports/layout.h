// What a table for people shows, apart from how it is written: which columns stand in which table, and what a cell
// says. Private to reports/.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "reports/report.h"

namespace mss::reports {

enum class ColumnKind {
  rank,     ///< place among the methods
  score,    ///< a cell of Row::cells
  against,  ///< a cell of Row::against
  seeds,    ///< spread of the average over seeds
  tracks,
  failed,
  dropped,
  silent
};

struct TableColumn {
  ColumnKind kind = ColumnKind::score;
  std::string title;
  std::size_t metric = 0, target = 0;  ///< of score and against
};

/// One table of a section.
struct Layout {
  const Section* section = nullptr;
  std::string title;    ///< "SDR (dB)", "vocals"
  std::string caption;  ///< a sentence without its point: what a cell is
  std::string label;    ///< letters, digits and dashes, for \label
  std::vector<TableColumn> columns;
  bool differences = false;
};

/// The tables of a section, in the style of the report. Empty for a section without scores.
std::vector<Layout> layouts(const Report& report, const Section& section);

/// A cell in pieces, each as text with ASCII minus signs; "-" for no value.
struct CellText {
  std::string value;      ///< "5.62", "+0.31"
  std::string other;      ///< the mean beside a median (or the reverse), empty = not shown
  std::string low, high;  ///< interval, both empty = not shown; "-" = there is none
  std::string counts;     ///< "40/0/10" of a difference
  std::string verdict;    ///< of a difference
  bool best = false;
};
CellText cell_text(const Report& report, const Layout& layout, std::size_t row, const TableColumn& column);

std::string decimals(double value, int digits);         ///< "-" for NaN, "inf", no "-0.00"
std::string signed_decimals(double value, int digits);  ///< with "+" where above 0

std::string unit_of(const std::string& metric);
std::string section_title(const Section& section);
/// What a scenario is, in a clause: "all stems are one problem".
std::string scenario_note(const std::string& scenario);
std::string group_title(const Row& row);  ///< heading of the group a row stands in
std::string program_line(const Report& report);
bool any_below_floor(const Section& section);
bool any_incomplete(const Section& section);
std::string silent_line(const Section& section);            ///< per target; empty = none
std::string silent_estimates_line(const Section& section);  ///< per row; empty = none
std::string note_marks(const Row& row);                     ///< "!T", "" where there is no note
/// What stands below a section's tables: "! NAME: other audio than other rows (1a2b3c4d): A", by kind.
std::vector<std::string> note_lines(const Section& section);
std::string tracks_text(const Row& row, const Section& section);
std::string seeds_text(const Row& row);

/// One line per section: what there is and what came out best.
struct OverviewLine {
  std::string section, rows, tracks, metric, best, best_value, floor, floor_value, oracle, oracle_value;
  int failed = 0;
};
std::vector<OverviewLine> overview(const Report& report);

}  // namespace mss::reports
