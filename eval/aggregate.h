// From frames to one number: median or mean over frames, then over tracks; museval's rules on its five-decimal values,
// or ours on full precision.
//
// museval (aggregate.py): values are those of its JSON (five decimals, infinities are NaN); per track, target and
// metric the median (or mean) over frames ignoring NaN, an even count averaging the two middle values; then the median
// (or mean) over tracks, tracks without a value left out. Targets stand in the order of their first appearance.
// `Infinities::values` differs in one thing: a perfect frame is a value, ordered last, and not a missing one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eval/museval_json.h"
#include "eval/scores.h"

namespace mss::eval {

enum class Average { median, mean };

/// What becomes of infinite frames: missing ones, as in museval's files, or what they are.
enum class Infinities { as_museval, values };

/// Ignores NaN; NaN when nothing is left.
double average(const std::vector<double>& values, Average how);

/// Over the frames of one metric; `as_museval` quantises them to five decimals first.
double over_frames(const std::vector<double>& frames, Average how = Average::median, bool as_museval = false);

/// One line of a table: a target with its four metrics.
struct AggregateRow {
  std::string target;
  double sdr = 0, isr = 0, sir = 0, sar = 0;
};

/// Rows of one track, in the order of its targets, by museval's rules.
std::vector<AggregateRow> aggregate_track(const MusevalTrack& track, Average frames = Average::median,
                                          Infinities infinities = Infinities::as_museval);
/// Over tracks.
std::vector<AggregateRow> aggregate_tracks(const std::vector<MusevalTrack>& tracks, Average frames = Average::median,
                                           Average over_tracks = Average::median,
                                           Infinities infinities = Infinities::as_museval);

/// museval's printed lines: "vocals          ==> SDR:   5.250  SIR:   1.500  ISR:   2.000  SAR:   1.500  \n" each;
/// `sdr_only` leaves out what was not computed.
std::string museval_table(const std::vector<AggregateRow>& rows, bool sdr_only = false);
/// "Aggrated Scores (median over frames, median over tracks)\n" (museval's spelling): the line above them.
std::string museval_heading(Average frames = Average::median, Average over_tracks = Average::median);
/// Heading and lines.
std::string museval_summary(const std::vector<MusevalTrack>& tracks, Average frames = Average::median,
                            Average over_tracks = Average::median);

}  // namespace mss::eval
