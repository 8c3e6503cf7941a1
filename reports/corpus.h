// A private corpus guarded without its audio, in the manner of libsndfile's regtest: what a run scored on it is written
// down once, as hashes of the files and scores, and later runs are held against that.
//
// File: JSON, {"schema": 1, "kind": "mssbench corpus", "program": {...}, "entries": [{"dataset", "subset", "track",
// "spec", "scenario", "seed", "target", "fingerprint", "scores": {METRIC: number | null | "inf" | "-inf"}}]}, sorted by
// key; a failed item has "error" instead of scores. No audio and no frames.
//
// Scores agree where they differ by no more than `tolerance` (dB): with one program on one instruction set they are
// equal to the last bit, on another one the last digits may differ.
//
// Thread-safety: pure but for the files. Errors: Error(io | format | config) naming the file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/value.h"
#include "records/record.h"

namespace mss::reports {

struct CorpusEntry {
  records::RecordKey key;
  std::string fingerprint, error;
  std::vector<std::pair<std::string, double>> scores;
};

struct Corpus {
  std::string version, revision, isa;
  std::vector<CorpusEntry> entries;  ///< by key
};

/// What there is to guard in records.
Corpus make_corpus(const std::vector<records::Record>& records);
void write_corpus(const std::filesystem::path& file, const Corpus& corpus);
Corpus read_corpus(const std::filesystem::path& file);

/// One thing that differs.
struct CorpusChange {
  enum class Kind { changed, appeared, vanished } kind = Kind::changed;
  std::string track, spec;  ///< "data set/subset/track"
  std::string what;         ///< "vocals SDR 5.123456 -> 4.987654", "other audio", …
};

struct CorpusCheck {
  int tracks = 0, scores = 0;         ///< compared
  double largest_difference = 0;      ///< of finite scores, dB
  std::vector<CorpusChange> changes;  ///< by track and spec
  std::vector<std::string> notes;     ///< program or instruction set differ
  int count(CorpusChange::Kind kind) const;
  /// Nothing changed and nothing vanished; what appeared is not guarded yet.
  bool passed() const;
};

CorpusCheck check_corpus(const Corpus& saved, const Corpus& now, double tolerance = 1e-3);

std::string to_text(const CorpusCheck& check);
core::Value to_json(const CorpusCheck& check);

}  // namespace mss::reports
