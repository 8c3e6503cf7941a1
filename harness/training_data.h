// Was a method trained on the track that it is run on? From the provenance of its weights (methods::SeparatorInfo).
//
// Provenance names its tracks as [{"subset", "name", "sha256", "samples", "rate_hz"}, …], with any of the fields behind
// the name absent, or as plain names ("track": "SUBSET/NAME" in place of subset and name will do). A track was trained
// on
//   by fingerprint   where one of the hashes is that of the track's files (datasets::Dataset::sha256);
//   by name          where one has its name (in any Unicode spelling) and its length: within half a second of what the
//                    provenance says, else within a second of what MUSDB18's table says. Other containers of one song
//                    (MUSDB18 and MUSDB18-HQ) are known by name only. A name alone counts where no hash stands beside
//                    it.
// Weights that say no more than MUSDB18 or MUSDB18-HQ were trained on the songs that its table calls train.
//
// Thread-safety: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "core/value.h"
#include "datasets/dataset.h"

namespace mss::harness {

enum class TrainedOn { no, name, fingerprint };
/// "", "name", "fingerprint": what records say.
std::string_view trained_on_name(TrainedOn how) noexcept;

/// `provenance` null or an object; `fingerprint` of the track.
TrainedOn trained_on(const core::Value& provenance, const datasets::Track& track, std::string_view fingerprint);

}  // namespace mss::harness
