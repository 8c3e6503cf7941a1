// Tables from result records. Nothing here reads audio or knows a method: a report can be rebuilt from any folder that
// holds a records.jsonl, or from museval's JSON files of other programs (input.h).
//
// A section is one (data set, subset, scenario): sections are never mixed, but for subsets that were asked to be
// joined. Inside it rows are specs, grouped as methods, floors and oracles (a record's flags say which; oracles by
// protocol, so that a ranking never mixes protocols); columns are targets and their average. A cell is the median (or
// mean) over tracks of the tracks' aggregate (for frame-wise metrics the median over frames), with the other one beside
// it. With several seeds a track's value is the mean over its seeds, and the spread is shown (least and greatest of the
// medians that single seeds give). The average stands over all targets of the section with equal weights, the
// accompaniment apart where more stems than the vocals stand beside it; a row that lacks one of them has none. A row is
// "below the floor" where its average is worse than that of the floor row: mixture-over-j where it is there, else
// mixture.
//
// Intervals are 95 % BCa intervals over tracks (eval/bootstrap.h, expanded, 10,000 draws, seed 0); those of an average
// resample tracks as wholes. Differences between rows are paired per track (eval/verdict.h). The best value of a column
// is marked only where the interval of its paired difference to the second best excludes 0.
//
// Notes. What a reader must know of a row beside its numbers stands in Row::notes: records that are not of one origin
// (records/mixed.h; they are an error unless allowed), tracks that the row's weights were trained on (such a row has no
// rank and is not the best of anything, unless allowed), and weights that were drawn at random (no rank either). Tracks
// whose references are ill-conditioned, so that SIR, SAR and ISR hang on the last bits (docs/metrics.md), are a note of
// the section.
//
// Infinite values count as what they are (the median sorts them, the mean becomes infinite; there is no interval).
// Undefined ones are left out and show in the number of tracks.
//
// Thread-safety: pure functions but for write_report's files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/value.h"
#include "eval/verdict.h"
#include "records/record.h"

namespace mss::reports {

inline constexpr int kTableSchema = 2;

struct Cell {
  double median = 0, mean = 0;                       ///< NaN = no value
  eval::Interval median_interval, mean_interval;     ///< NaN ends = none: fewer than two tracks, or infinite values
  double spread_low = 0, spread_high = 0;            ///< of `median` over seeds; NaN with one seed
  double mean_spread_low = 0, mean_spread_high = 0;  ///< the same of `mean`
  int tracks = 0;                                    ///< tracks with a value
  int silent_references = 0;                         ///< tracks left out because the reference is silent all along
  int silent_estimates = 0;                          ///< tracks whose estimate is silent all along
  std::int64_t frames = 0;                           ///< over all tracks, one seed; 0 for metrics without frames
  std::int64_t dropped_frames = 0;                   ///< of them without a value

  double value(eval::Statistic s) const { return s == eval::Statistic::mean ? mean : median; }
  const eval::Interval& interval(eval::Statistic s) const {
    return s == eval::Statistic::mean ? mean_interval : median_interval;
  }
};

enum class RowKind { method, floor, oracle };
std::string_view kind_name(RowKind kind) noexcept;

enum class NoteKind {
  mixed,           ///< records of other audio, weights, options or scoring than the rest under the same names
  training,        ///< the row's weights were trained on tracks of the test
  untrained,       ///< the row's weights were drawn at random: it separates nothing
  ill_conditioned  ///< SIR, SAR and ISR hang on the last bits of the references
};
std::string_view note_name(NoteKind kind) noexcept;  ///< "mixed", "training-data", "untrained", "ill-conditioned"
std::string_view note_mark(NoteKind kind) noexcept;  ///< one character behind a row's name: "!", "T", "R", "~"
/// Scores of a network whose weights were drawn at random (its weights' label says so).
bool is_untrained(const records::Record& record);

struct Note {
  NoteKind kind = NoteKind::mixed;
  std::string text;                 ///< for people, without the row's name and without a point
  std::vector<std::string> tracks;  ///< that it is about, sorted; empty = no particular ones
};

/// Values of one metric and target over the section's tracks, in their order; NaN = none.
struct TrackScores {
  std::vector<double> values;                ///< mean over seeds
  std::vector<std::vector<double>> by_seed;  ///< [seed of Row::seeds][track]
};

struct Row {
  std::string spec;
  std::string name;  ///< what tables call it: ReportOptions::names, else the spec
  RowKind kind = RowKind::method;
  std::string protocol;
  std::vector<std::uint64_t> seeds;
  int tracks = 0;            ///< tracks with any record that is no error
  int failed_tracks = 0;     ///< tracks with an error in any seed
  bool below_floor = false;  ///< by the section's first metric
  /// False: stands behind the others of its group and is best in nothing (training data, random weights).
  bool ranked = true;
  std::vector<Note> notes;     ///< by kind
  double realtime_factor = 0;  ///< median over tracks of separation time / duration; NaN = not recorded
  /// [metric][target], in the section's order; after the targets one more, the average over Section::averaged.
  std::vector<std::vector<Cell>> cells;
  std::vector<std::vector<TrackScores>> scores;
  /// Against the row of Section::against, same shape; empty where there is none.
  std::vector<std::vector<eval::Judgement>> against;
};

struct Section {
  std::string dataset, subset, scenario;
  std::vector<std::string> metrics;      ///< the first one ranks
  std::vector<std::string> targets;      ///< vocals, drums, bass, other, accompaniment, then others by name
  std::vector<bool> averaged;            ///< targets that the average stands over
  std::vector<std::string> track_names;  ///< sorted, failed ones included; "subset/track" in joined sections
  int tracks = 0;                        ///< their number
  std::string floor;                     ///< spec that `below_floor` compares with; empty = none
  std::string against;                   ///< spec that the rows are compared with; empty = none
  std::vector<Row> rows;                 ///< methods, floors, oracles by protocol; each from the best average down
  /// [metric][target]: row of the best method where it is proven better than the second best, else -1.
  std::vector<std::vector<int>> best;
  std::vector<std::string> errors;   ///< "track | spec | seed: message", sorted
  std::vector<Note> notes;           ///< of tracks, whatever the row
  std::vector<std::string> remarks;  ///< what every form of the report says beside these numbers (dataset_note)
};

/// What must be said beside any number over this data set: that scores on composed songs ("synthetic…") never compare
/// with MUSDB18's, and where their instruments come from. Empty for other data sets.
std::string dataset_note(std::string_view dataset);

enum class Style { paper, sisec18, mdx21 };

struct ReportOptions {
  std::vector<std::string> metrics;  ///< to show, the first one ranks; empty = all that the records hold, SDR first
  Style style = Style::paper;        ///< mdx21 ranks by the mean of uSDR
  bool intervals = false;            ///< beside the cells of tables for people
  bool means = true;                 ///< in brackets beside the medians
  int digits = 2;                    ///< after the point, 0 … 6
  std::vector<std::string> order;    ///< "metric" (default), "file", or names and specs that come first
  std::vector<std::pair<std::string, std::string>> names;  ///< spec, name
  std::vector<std::string> only;                           ///< globs of specs and names; empty = all
  std::string against;                                     ///< spec or name of a row that all others are compared with
  double margin = 0.05;                                    ///< of equivalence to it
  bool join_subsets = false;                               ///< one section for all subsets of a data set
  bool allow_mixed = false;            ///< flag records that are not of one origin instead of refusing them
  bool allow_training_tracks = false;  ///< rank rows on tracks that their weights were trained on, too
  bool compute_intervals = true;       ///< false leaves intervals, `best` and `against` out: for a quick look
  bool published = false;              ///< what others have printed, apart (published.h)
  double latex_width_pt = 345;         ///< that LaTeX tables keep to: the text width of article at 10 pt
  int threads = 1;

  eval::Statistic statistic() const { return style == Style::mdx21 ? eval::Statistic::mean : eval::Statistic::median; }
};

struct Report {
  std::vector<std::string> versions, revisions, isas, commands;  ///< distinct values over all records, sorted
  std::int64_t records = 0;
  ReportOptions options;
  std::vector<Section> sections;      ///< by data set, subset, scenario ("stems" first)
  std::vector<std::string> warnings;  ///< for the user: names that no row has, tables too wide and how to narrow them
};

/// Records that occur twice must be equal outside `measured`; an error is dropped where its item has scores too.
/// Throws Error(dataset), naming the tracks, for records that are not of one origin, unless options.allow_mixed.
/// Throws Error(config) for no records, two different records of one key, a metric that no record holds (with the
/// nearest), an `against` that is no row, `only` that leaves nothing, two rows of one name, digits out of range.
Report build_report(const std::vector<records::Record>& records, const ReportOptions& options = {});

/// GitHub-flavoured Markdown: an overview, then a table per section and metric shown (of shown_metrics).
std::string to_markdown(const Report& report);
/// One row per section, method, target and metric; header line first; fields quoted after RFC 4180, lines end in LF.
std::string to_csv(const Report& report);
/// One row per section, method, seed, track, target and metric: what other programs can plot and test.
std::string to_tracks_csv(const Report& report);
/// One booktabs table per section and metric (or target, in the style of SiSEC 2018), not wider than
/// options.latex_width_pt; what does not fit is named in `warnings` (where given) with what would make it fit.
std::string to_latex(const Report& report, std::vector<std::string>* warnings = nullptr);
/// Strict JSON: undefined values null, infinite ones "inf" and "-inf".
core::Value to_json(const Report& report);
/// The first metric's tables for a terminal of `columns` columns (clamped to 60 … 200). No line is longer, save where a
/// single name is.
std::string to_text(const Report& report, int columns = 100);

/// Metrics that tables for people show, as indices: those that were chosen, else of SDR and uSDR those there are (SDR,
/// SIR, SAR, ISR in the style of SiSEC 2018, uSDR alone in that of MDX 2021), else the first.
std::vector<std::size_t> shown_metrics(const Report& report, const Section& section);

/// Writes table.md, table.csv, table.tex, table.json, tracks.csv and stats.md (significance.h) into `out`, each
/// atomically. Throws Error(io).
void write_tables(Report& report, const std::filesystem::path& out);

}  // namespace mss::reports
