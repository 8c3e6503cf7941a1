// Result records: the contract between runs and reports. Field by field: docs/records.md (schema 1).
//
// One record = one (data set, subset, track, spec, scenario, seed, target). A file is JSON Lines, sorted by that key at
// the end of a run. All that two equal runs may differ in stands in the one object `measured`.
#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/value.h"
#include "eval/scores.h"

namespace mss::harness {

inline constexpr int kRecordSchema = 1;

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
  bool failed() const;  ///< has an `error` object
};

Record make_record(RecordKey key, const eval::Scores& scores, const eval::TargetScores& target);

/// One JSON object, no line feed. `with_measured` false leaves `measured` out (for comparing runs).
std::string to_json_line(const Record& record, bool with_measured = true);
/// Throws Error(format) naming `where`: not JSON, unknown schema, missing key fields.
Record parse_record(std::string_view line, std::string_view where);

/// All records of a file, or of RUN/records.jsonl of a folder. Throws Error(io | format) with file and line.
std::vector<Record> read_records(const std::filesystem::path& file_or_folder);
/// Sorts by key and writes atomically.
void write_records(const std::filesystem::path& file, std::vector<Record> records);

}  // namespace mss::harness
