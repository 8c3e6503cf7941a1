// Numbers that papers and repositories print, for tables beside one's own: never in one ranking with measured rows, and
// never across metrics, aggregations or test sets.
//
// The rows are facts with their source (published.csv): the four stems, the average as printed, what the number is
// (metric and aggregation), the test set (MUSDB18 and MUSDB18-HQ differ), training data beyond MUSDB18's, parameters,
// and whether the source itself was read or another document that quotes it. What does not agree is flagged as found:
// an average that is not that of its columns, another source with other numbers for the same model, and notes.
//
// Thread-safety: constant data, pure functions.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "core/value.h"

namespace mss::reports {

struct PublishedRow {
  std::string method, year, extra_data;
  double vocals = 0, drums = 0, bass = 0, other = 0;  ///< dB; NaN = not printed
  double average_printed = 0;                         ///< NaN = not printed
  double average = 0;                                 ///< of the four columns; NaN where one lacks
  std::string metric, test_set, parameters, source;
  bool second_hand = false;
  std::vector<std::string> flags;

  double ranking() const { return average_printed == average_printed ? average_printed : average; }
};

/// Rows that may stand in one table, from the best printed average down (vocals decide where there is none).
struct PublishedGroup {
  std::string metric, test_set;
  std::vector<PublishedRow> rows;
};

/// All of them; groups with the most rows first.
const std::vector<PublishedGroup>& published_groups();

/// Groups that compare with a report in this metric: the median over tracks of SDR's frame medians ("SDR"), the mean
/// over tracks of uSDR ("uSDR"). Others: none.
std::vector<const PublishedGroup*> published_groups_for(const std::string& metric);

std::string published_markdown(const std::vector<const PublishedGroup*>& groups);
/// Tables in a terminal's width, without sources.
std::string published_text(const std::vector<const PublishedGroup*>& groups, int columns);
/// One booktabs table per group.
std::string published_latex(const std::vector<const PublishedGroup*>& groups);
/// All rows with flags, RFC 4180.
std::string published_csv();
core::Value published_json();

}  // namespace mss::reports
