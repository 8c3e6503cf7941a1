// Tables from result records. Nothing here reads audio or knows a method: a report can be rebuilt from any folder that
// holds a records.jsonl.
//
// A section is one (data set, subset, scenario): sections are never mixed. Inside it rows are specs, grouped as
// methods, floors and oracles (a record's flags say which; oracles by protocol, so that a ranking never mixes
// protocols); columns are targets and their average. A cell is the median over tracks of the tracks' aggregate (for
// frame-wise metrics the median over frames), with the mean over tracks beside it. With several seeds a track's value
// is the mean over its seeds, and the spread is shown (least and greatest of the medians that single seeds give). The
// average stands over all targets of the section with equal weights; a row that lacks one of them has none. A row is
// "below the floor" where its average is worse than that of the floor row: mixture-over-j where it is there, else
// mixture.
//
// Infinite values count as what they are (the median sorts them, the mean becomes infinite). Undefined ones are left
// out and show in the number of tracks.
//
// Thread-safety: pure functions but for write_report's files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/value.h"
#include "records/record.h"

namespace mss::reports {

inline constexpr int kTableSchema = 1;

struct Cell {
  double median = 0, mean = 0;             ///< NaN = no value
  double spread_low = 0, spread_high = 0;  ///< of `median` over seeds; NaN with one seed
  int tracks = 0;                          ///< tracks with a value
  int silent_references = 0;               ///< tracks left out because the reference is silent all along
  int silent_estimates = 0;                ///< tracks whose estimate is silent all along
  std::int64_t frames = 0;                 ///< over all tracks, one seed; 0 for metrics without frames
  std::int64_t dropped_frames = 0;         ///< of them without a value
};

enum class RowKind { method, floor, oracle };
std::string_view kind_name(RowKind kind) noexcept;

struct Row {
  std::string spec;
  RowKind kind = RowKind::method;
  std::string protocol;
  std::vector<std::uint64_t> seeds;
  int tracks = 0;              ///< tracks with any record that is no error
  int failed_tracks = 0;       ///< tracks with an error in any seed
  bool below_floor = false;    ///< by the section's first metric
  double realtime_factor = 0;  ///< median over tracks of separation time / duration; NaN = not recorded
  /// cells[metric][target], in the section's order; after the targets one more cell, the average.
  std::vector<std::vector<Cell>> cells;
};

struct Section {
  std::string dataset, subset, scenario;
  std::vector<std::string> metrics;  ///< the first one ranks
  std::vector<std::string> targets;  ///< vocals, drums, bass, other, accompaniment, then others by name
  int tracks = 0;                    ///< distinct tracks, failed ones included
  std::string floor;                 ///< spec that `below_floor` compares with; empty = none
  std::vector<Row> rows;             ///< methods, floors, oracles by protocol; each from the best average down
  std::vector<std::string> errors;   ///< "track | spec | seed: message", sorted
};

struct Report {
  std::vector<std::string> versions, revisions, isas, commands;  ///< distinct values over all records, sorted
  std::int64_t records = 0;
  bool metrics_chosen = false;    ///< ReportOptions named the metrics: every table shows them all
  std::vector<Section> sections;  ///< by data set, subset, scenario ("stems" first)
};

struct ReportOptions {
  std::vector<std::string> metrics;  ///< to show, the first one ranks; empty = all that the records hold, SDR first
};

/// Records that occur twice must be equal outside `measured`; an error is dropped where its item has scores too.
/// Throws Error(config) for no records, two different records of one key, or a metric that no record holds (with the
/// nearest).
Report build_report(const std::vector<records::Record>& records, const ReportOptions& options = {});

/// GitHub-flavoured Markdown. Unless metrics were chosen, SDR, ISR, SIR, SAR, SI-SDR and uSDR of those there are.
std::string to_markdown(const Report& report);
/// One row per section, method, target and metric; header line first; fields quoted after RFC 4180, lines end in LF.
std::string to_csv(const Report& report);
/// One booktabs table per section and metric (the metrics of to_markdown), for a document with \usepackage{booktabs}.
std::string to_latex(const Report& report);
/// Strict JSON: undefined values null, infinite ones "inf" and "-inf".
core::Value to_json(const Report& report);
/// The first metric's tables for a terminal of `columns` columns (clamped to 60 … 200). No line is longer, save where a
/// single name is.
std::string to_text(const Report& report, int columns = 100);

/// Reads the runs, writes table.md, table.csv, table.tex and table.json into `out` (atomic), returns the report.
/// Throws Error(io | format | config) naming the file.
Report write_report(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& out,
                    const ReportOptions& options = {});

}  // namespace mss::reports
