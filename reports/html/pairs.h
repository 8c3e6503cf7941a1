// Private to reports/html/: all rows against each other, per target of one metric.
#pragma once

#include "core/value.h"
#include "reports/report.h"

namespace mss::reports::html {

/// Per target and average {"pairs": [[row, minus row, tracks, estimate, low, high, won, tied, lost, p after Holm,
/// verdict], …], "ranks": {"rows", "mean", "critical", "statistic", "degrees", "p", "tracks"}}; `ranks` is null where
/// fewer than two rows have two tracks in common. Differences are positive where the first row is better, whatever the
/// metric's direction. Holm's adjustment stands over the pairs of one target. Rows that are not ranked (Row::ranked) take no
/// part. Null for GNSDR, whose tracks do not count alike.
core::Value comparisons(const Report& report, const Section& section, std::size_t metric, int digits, int threads);

}  // namespace mss::reports::html
