// Result records: the contract between runs and reports. Field by field: docs/records.md (schema 2; 1 is still
// read: its aggregates left infinite frames out, and are made again from the frames).
//
// One record = one (data set, subset, track, spec, scenario, seed, target). A file is JSON Lines, sorted by that key at
// the end of a run. All that two equal runs may differ in stands in the one object `measured`.
//
// Numbers: a metric value is a JSON number, null (undefined) or one of the strings "inf" and "-inf" (strict JSON has no
// infinity, and an infinite SDR, a perfect estimate, is no missing value).
//
// An item (track, spec, seed) that failed has one record with empty scenario and target and an object `error`.
//
// Thread-safety: plain values and functions without shared state.
#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/value.h"
#include "eval/scores.h"

namespace mss::records {

inline constexpr int kRecordSchema = 2, kOldestRecordSchema = 1;

struct RecordKey {
  std::string dataset, subset, track, spec, scenario;
  std::uint64_t seed = 0;
  std::string target;
  auto operator<=>(const RecordKey&) const = default;
};

struct Record {
  RecordKey key;
  core::Value body;  ///< the whole JSON object, key fields included

  /// Aggregate of one metric over the track (median over frames for frame-wise ones); NaN = null or absent.
  double score(std::string_view metric) const;
  /// Mean over frames of a frame-wise metric, the value itself of the others; NaN = null or absent.
  double mean(std::string_view metric) const;
  /// Values of a frame-wise metric, NaN = null; empty when absent.
  std::vector<double> frames(std::string_view metric) const;
  /// Ids of the metrics in `scores`, in the record's order.
  std::vector<std::string> metrics() const;
  /// A number that is no metric ("condition"); NaN = null or absent.
  double number(std::string_view name) const;
  /// A text field; empty when absent.
  std::string text(std::string_view name) const;
  bool failed() const;  ///< has an `error` object
  /// A boolean field; false when absent.
  bool flag(std::string_view name) const;
};

/// Scores of one target with the program's version, revision and instruction set. A silent reference has null for every
/// metric of the problem's other targets.
Record make_record(RecordKey key, const eval::Scores& scores, const eval::TargetScores& target);
/// A failed item: scenario and target of `key` become empty.
Record make_error_record(RecordKey key, const core::Error& error);

/// number, null for NaN, "inf" or "-inf".
core::Value number_to_value(double number);
/// Inverse; throws Error(format) naming `where` for anything else.
double number_from_value(const core::Value& value, std::string_view where);

/// One JSON object, no line feed. `with_measured` false leaves `measured` out (for comparing runs).
std::string to_json_line(const Record& record, bool with_measured = true);
/// Records of schema 1 become those of schema 2. Throws Error(format) naming `where`: not JSON, unknown schema, missing
/// key fields.
Record parse_record(std::string_view line, std::string_view where);
/// JSON Lines; blank lines are skipped. Throws Error(format) with `name` and line.
std::vector<Record> parse_records(std::string_view text, std::string_view name);
/// "data set/subset/track | spec | scenario | seed | target", for messages.
std::string to_string(const RecordKey& key);

/// Records given twice (equal outside `measured`) once; two of one key that differ are Error(format) naming `name` and
/// the key.
std::vector<Record> unique_records(std::vector<Record> records, std::string_view name);
/// All records of a file, or of RUN/records.jsonl of a folder, each once. Throws Error(io | format) with file and line;
/// a folder that holds shards only gets the hint to merge them.
std::vector<Record> read_records(const std::filesystem::path& file_or_folder);
/// Sorts by key and writes atomically.
void write_records(const std::filesystem::path& file, std::vector<Record> records);

}  // namespace mss::records
