// Figures of a report: drawn from the same rows as its tables, with intervals, in colours that colour-blind readers can tell
// apart (Okabe and Ito), on paper or screen (plots/canvas.h).
//
//   box      per target the tracks of every row: median, quartiles, whiskers to the last track within 1.5 interquartile
//            ranges, tracks beyond, the mean as a point
//   scatter  per target the tracks of every other row against those of one row (`against`, else the best method): above
//            the diagonal the row is better
//   cd       critical differences: mean ranks over tracks (Friedman), rows that Conover's post-hoc test does not tell
//            apart at 5 % joined by a bar
//   heat     tracks by rows, one target (or the average), rows in the table's order, tracks by their mean
//   curve    the score over a numeric parameter that the specs differ in, one curve per target, 95 % interval as a band
//   seeds    the average of every seed of every row, the mean as a line: how far training or random starts scatter
//
// One section is drawn: the one asked for, else the first with rows enough. Infinite and undefined values are left out.
// Errors: Error(config) where the records do not hold what a kind needs, saying what; those of Canvas. Thread-safety: pure
// but for the file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "reports/report.h"

namespace mss::reports {

enum class PlotKind { box, scatter, cd, heat, curve, seeds };

struct PlotOptions {
  PlotKind kind = PlotKind::box;
  std::vector<std::string> targets;  ///< empty = all (heat: the average)
  std::string scenario;              ///< empty = the first section that serves
  std::string against;               ///< scatter: spec or name of the row on the x axis
  std::string parameter;             ///< curve: name of the parameter; empty = the one that differs
  double width_pt = 0;               ///< 0 = as wide as the content asks for
};

/// Draws the report's first metric into `file` (.png, .svg, .pdf) and returns one sentence that says what it shows.
std::string plot(const Report& report, const PlotOptions& options, const std::filesystem::path& file);

}  // namespace mss::reports
