// museval's score files: written byte for byte as museval 0.4.1 writes them, and read.
//
// Format (museval/aggregate.py, TrackStore): {"targets": [{"name", "frames": [{"time", "duration", "metrics": {"SDR",
// "SIR", "SAR", "ISR"}}]}], "museval_version": "0.4.1"}, indent 2, that order of keys. Values are quantised to five
// decimals, half to even on the exact binary value (Python's Decimal), and printed with five decimals ("-0.00000" is
// possible); infinities and NaN are the bare token NaN, so the file is not strict JSON. time = frame index * hop in
// seconds. No line feed at the end. Full precision lives in records.jsonl.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "eval/scores.h"

namespace mss::eval {

struct MusevalFrame {
  double time_s = 0, duration_s = 0;
  double sdr = 0, isr = 0, sir = 0, sar = 0;  ///< NaN = undefined
};
struct MusevalTarget {
  std::string name;
  std::vector<MusevalFrame> frames;
};
struct MusevalTrack {
  std::vector<MusevalTarget> targets;
  std::string version = "0.4.1";
};

struct MusevalOptions {
  /// museval stores the vocals of the vocals/accompaniment problem whenever an accompaniment was supplied; without this
  /// they stay those of the problem with all stems.
  bool vocals_from_accompaniment_problem = false;
};

/// What museval's file would hold: the targets of the first problem ("stems") in their order, then the accompaniment of
/// "vocals/accompaniment". Targets without a reference are left out. Metrics that were not computed are NaN.
MusevalTrack museval_track(const std::vector<Scores>& scores, const MusevalOptions& options = {});

std::string to_museval_json(const MusevalTrack& track);
/// Atomic; throws Error(io).
void write_museval_json(const std::filesystem::path& path, const MusevalTrack& track);

/// Tolerant: bare NaN and Infinity, null, missing metrics and a missing version are taken; other members are ignored.
/// Throws Error(format) naming `name` and the place.
MusevalTrack parse_museval_json(std::string_view text, std::string_view name);
MusevalTrack read_museval_json(const std::filesystem::path& path);

/// x to five decimals, half to even on its exact binary value, as Decimal(x).quantize(Decimal('.00001')) gives;
/// infinities become NaN.
double five_decimals(double x);
/// The same as text: "1.00001", "-0.00000", "NaN".
std::string five_decimals_text(double x);

}  // namespace mss::eval
