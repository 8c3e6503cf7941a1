#include "eval/aggregate.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace mss::eval {

namespace {

const char* name_of(Average how) { return how == Average::median ? "median" : "mean"; }

std::string cell(double v) { return std::isnan(v) ? fmt::format("{:>8}", "nan") : fmt::format("{:>8.3f}", v); }

template <class F>
double frames_of(const MusevalTarget& target, Average how, Infinities infinities, F value) {
  std::vector<double> values;
  for (const MusevalFrame& f : target.frames) {
    const double v = value(f);
    values.push_back(std::isinf(v) && infinities == Infinities::values ? v : five_decimals(v));
  }
  return average(values, how);
}

}  // namespace

double average(const std::vector<double>& values, Average how) {
  return how == Average::median ? nan_median(values) : nan_mean(values);
}

double over_frames(const std::vector<double>& frames, Average how, bool as_museval) {
  if (!as_museval) return average(frames, how);
  std::vector<double> rounded;
  rounded.reserve(frames.size());
  for (double v : frames) rounded.push_back(five_decimals(v));
  return average(rounded, how);
}

std::vector<AggregateRow> aggregate_track(const MusevalTrack& track, Average frames, Infinities infinities) {
  std::vector<AggregateRow> rows;
  for (const MusevalTarget& t : track.targets) {
    rows.push_back({t.name, frames_of(t, frames, infinities, [](const MusevalFrame& f) { return f.sdr; }),
                    frames_of(t, frames, infinities, [](const MusevalFrame& f) { return f.isr; }),
                    frames_of(t, frames, infinities, [](const MusevalFrame& f) { return f.sir; }),
                    frames_of(t, frames, infinities, [](const MusevalFrame& f) { return f.sar; })});
  }
  return rows;
}

std::vector<AggregateRow> aggregate_tracks(const std::vector<MusevalTrack>& tracks, Average frames, Average over_tracks,
                                           Infinities infinities) {
  struct Columns {
    std::string target;
    std::vector<double> sdr, isr, sir, sar;
  };
  std::vector<Columns> columns;
  for (const MusevalTrack& track : tracks) {
    for (const AggregateRow& row : aggregate_track(track, frames, infinities)) {
      auto found =
          std::find_if(columns.begin(), columns.end(), [&](const Columns& c) { return c.target == row.target; });
      if (found == columns.end()) {
        columns.push_back({row.target, {}, {}, {}, {}});
        found = columns.end() - 1;
      }
      found->sdr.push_back(row.sdr);
      found->isr.push_back(row.isr);
      found->sir.push_back(row.sir);
      found->sar.push_back(row.sar);
    }
  }
  std::vector<AggregateRow> rows;
  for (const Columns& c : columns) {
    rows.push_back({c.target, average(c.sdr, over_tracks), average(c.isr, over_tracks), average(c.sir, over_tracks),
                    average(c.sar, over_tracks)});
  }
  return rows;
}

std::string museval_table(const std::vector<AggregateRow>& rows, bool sdr_only) {
  std::string out;
  for (const AggregateRow& r : rows) {
    if (sdr_only) {
      out += fmt::format("{:<16}==> SDR:{}\n", r.target, cell(r.sdr));
      continue;
    }
    out += fmt::format("{:<16}==> SDR:{}  SIR:{}  ISR:{}  SAR:{}  \n", r.target, cell(r.sdr), cell(r.sir), cell(r.isr),
                       cell(r.sar));
  }
  return out;
}

std::string museval_heading(Average frames, Average over_tracks) {
  return fmt::format("Aggrated Scores ({} over frames, {} over tracks)\n", name_of(frames), name_of(over_tracks));
}

std::string museval_summary(const std::vector<MusevalTrack>& tracks, Average frames, Average over_tracks) {
  return museval_heading(frames, over_tracks) + museval_table(aggregate_tracks(tracks, frames, over_tracks));
}

}  // namespace mss::eval
