// Where the rows of a report or a comparison come from.
//
// A source is written as text:
//   RUN          a folder with records.jsonl, or such a file
//   RUN#SPEC     one row of it, by spec
//   FOLDER       museval's JSON files of another program, [SUBSET/]TRACK.json: one row, called after the folder; where
//                FOLDER holds such folders itself (SiSEC 2018's `submissions`), one row for each
//   FILE.json    one track of such a row, called after its folder
//
// museval's files name neither data set nor scenario. They become records of the data set `museval_dataset`, of the
// subset that their folder is called (else "test"), and of the scenario "museval": museval takes the vocals from the
// problem of vocals and accompaniment, other stems from the problem of all stems, so that such rows stand apart from
// those of a run's scenarios. A score is the median over frames of the five decimals in the file, NaN left out. Instead
// of the frames themselves their number and that of the undefined ones are kept (`frames.count`, `frames.undefined`).
// Rows called as SiSEC 2018's oracles (IBM1, IBM2, IRM1, IRM2, MWF) are oracles, MIX is a floor.
//
// Thread-safety: pure but for reading files. Errors: Error(io | format | dataset | config) naming the file.
#pragma once

#include <string>
#include <vector>

#include "records/record.h"

namespace mss::reports {

struct InputOptions {
  std::string museval_dataset = "museval";
  int threads = 1;
};

/// All records of one source. Throws Error(dataset) where it holds none, Error(config) for a SPEC that no record has
/// (with the nearest).
std::vector<records::Record> read_source(const std::string& source, const InputOptions& options = {});
/// Those of several, in their order.
std::vector<records::Record> read_sources(const std::vector<std::string>& sources, const InputOptions& options = {});

}  // namespace mss::reports
