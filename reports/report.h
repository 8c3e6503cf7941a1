// Tables from result records. Nothing here reads audio or knows a method: a report can be rebuilt from any folder that
// holds a records.jsonl.
//
// A section is one (data set, subset, scenario): sections are never mixed. Inside it rows are specs, grouped as
// methods, floors and oracles (a record's flags say which); columns are targets and their average. A cell is the median
// over tracks of the tracks' aggregate (for frame-wise metrics the median over frames), with the mean over tracks
// beside it. With several seeds a track's value is the mean over its seeds, and the spread is shown (least and greatest
// of the seeds' table values). A row is "below the floor" where its average is below that of the floor row:
// mixture-over-j where it is there, else mixture.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/value.h"
#include "harness/record.h"

namespace mss::reports {

inline constexpr int kTableSchema = 1;

struct Cell {
  double median = 0, mean = 0;             ///< NaN = no value
  int tracks = 0;                          ///< tracks with a value
  double spread_low = 0, spread_high = 0;  ///< over seeds, of `median`; NaN with one seed
  int silent_references = 0, silent_estimates = 0;
  std::int64_t frames = 0, dropped_frames = 0;  ///< over all tracks (first seed); 0 for metrics without frames
};

enum class RowKind { method, floor, oracle };

struct Row {
  std::string spec;
  RowKind kind = RowKind::method;
  std::string protocol;
  std::vector<std::uint64_t> seeds;
  int tracks = 0;              ///< tracks with any score
  int failed_tracks = 0;       ///< tracks with an error record in any seed
  bool below_floor = false;    ///< by the section's first metric
  double realtime_factor = 0;  ///< median over tracks of processing time / duration; NaN = not recorded
  /// cells[metric][target], in the section's order; the last target is the average over targets ("avg").
  std::vector<std::vector<Cell>> cells;
};

struct Section {
  std::string dataset, subset, scenario;
  std::vector<std::string> metrics;  ///< the first one ranks
  std::vector<std::string> targets;  ///< without "avg"
  int tracks = 0;
  std::string floor;                ///< spec of the row that `below_floor` compares with; empty = none
  std::vector<Row> rows;            ///< methods by falling average of the first metric, then floors, then oracles
  std::vector<std::string> errors;  ///< "track | spec: message", the distinct ones, sorted
};

struct Report {
  std::vector<std::string> versions, revisions, isas, commands;  ///< distinct values over all records, sorted
  std::int64_t records = 0;
  std::vector<Section> sections;  ///< sorted by data set, subset, scenario ("stems" first)
};

struct ReportOptions {
  std::vector<std::string> metrics;  ///< to show, the first one ranks; empty = all that the records hold, SDR first
};

/// Throws Error(config) for no records, or a metric that no record holds (with the nearest).
Report build_report(const std::vector<harness::Record>& records, const ReportOptions& options = {});

std::string to_markdown(const Report& report);
/// RFC 4180, one row per section, method, target, metric; header line first.
std::string to_csv(const Report& report);
/// booktabs tabulars, one per section, compilable inside a document with \usepackage{booktabs}.
std::string to_latex(const Report& report);
core::Value to_json(const Report& report);
/// The first metric's tables for a terminal of `columns` columns (80 … 200).
std::string to_text(const Report& report, int columns = 100);

/// Reads the runs, writes table.md, table.csv, table.tex and table.json into `out` (atomic), returns the report.
/// Throws Error(io | format | config) naming the file.
Report write_report(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& out,
                    const ReportOptions& options = {});

}  // namespace mss::reports
