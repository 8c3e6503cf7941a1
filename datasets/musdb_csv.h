// The lines of datasets/musdb_tracks.csv, embedded at build time. Private to this folder.
#pragma once

namespace mss::datasets {

extern const char* const kMusdbCsvLines[];
extern const int kMusdbCsvLineCount;

}  // namespace mss::datasets
