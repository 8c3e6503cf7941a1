// stats.md: what may be claimed from a report's scores, with tests that keep their promises, and beside them, named as
// such, the tests of a thesis and of SiSEC 2018, which do not.
//
// Per section, metric shown and target (or average), over methods, floors and oracles alike:
//   each row     tracks, mean and median with 95 % BCa intervals, standard deviation over tracks, over seeds where
//   there
//                are several
//   all rows     Friedman over the tracks that all have
//   pairs        mean and median difference per track with intervals, won/tied/lost, exact or normal Wilcoxon and
//   Conover
//                for Friedman, each adjusted after Holm over the pairs of the table, paired t, Cohen's d_z, the least
//                difference that these tracks would have shown with 80 % power
//   legacy       columns "z (thesis)": unpaired z-test of the means, and "Conover–Kruskal (SiSEC 2018)": unpaired
//   ranks,
//                no adjustment; the text says what is wrong with them
// More than 10 rows make too many pairs to read: then every row is held against the best method only, Holm over these.
//
// Thread-safety: pure function.
#pragma once

#include <string>

#include "reports/report.h"

namespace mss::reports {

std::string significance_markdown(const Report& report);

}  // namespace mss::reports
