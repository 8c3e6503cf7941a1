// What `mssbench datasets list` and `check` say about a data set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/stop.h"
#include "datasets/dataset.h"

namespace mss::datasets {

struct TrackRow {
  std::string name, subset, split;
  double seconds = 0;  ///< as headers say
  int rate_hz = 0;
  int channels = 0;
  std::vector<std::string> stems;
  std::string sha256;  ///< empty unless asked for
  std::string erratum;
};

/// One row per track in the data set's order. Hashes read every byte of the data set.
std::vector<TrackRow> metadata(const Dataset& dataset, bool with_sha256 = false, int threads = 1);

enum class Severity { info, warning, error };
std::string_view severity_name(Severity severity) noexcept;

struct Finding {
  Severity severity = Severity::info;
  std::string track;  ///< empty = the data set as a whole
  std::string
      kind;  ///< "unreadable", "residual", "silent_stem", "identity", "subset", "erratum", "duplicate", "ignored"
  std::string message;
};

struct CheckOptions {
  bool decode = true;  ///< read all audio: lengths, NaN, silence, residual, duplicates
  bool hash = true;    ///< compare byte size and SHA-256 with MUSDB18's table (stem.mp4 only)
  int threads = 1;     ///< tracks at once; each needs the memory of its decoded stems
  core::Progress* progress = nullptr;
  core::StopToken stop{};
};

/// Findings sorted by track, then severity (errors first). A sound data set gives no error; what it gives as `info` are
/// facts such as the residual of its mixtures. Never throws for what a track holds: an unreadable track is a finding.
/// Throws Error(cancelled).
///
/// error: a track that cannot be loaded (`unreadable`).
/// warning: a stem that is zero throughout (`silent_stem`); a mixture that differs from the sum of its stems by more
/// than -60 dB
///   (exact containers) or -20 dB (stem.mp4), `residual`; size or hash other than the published one for a track of full
///   length
///   (`identity`); a subset other than MUSDB18's (`subset`); two tracks of the same levels (`duplicate`); entries that
///   no layout rule takes (`ignored`).
/// info: residual otherwise; published errata (`erratum`); a track cut from the published one (`identity`).
std::vector<Finding> check(const Dataset& dataset, const CheckOptions& options = {});

/// 10 log10(energy(mixture - sum of stems) / energy(mixture)) over samples [skip_front, samples - skip_back); -infinity
/// for an exact sum, NaN when the range is empty or the mixture silent in it.
double sum_residual_db(const TrackAudio& audio, std::int64_t skip_front = 0, std::int64_t skip_back = 0);

/// Samples that a sum test leaves out in AAC containers: without an edit list the decoder leaves priming samples and
/// clicks at both edges of every stream.
inline constexpr std::int64_t kAacSkipFrontSamples = 4096;
inline constexpr std::int64_t kAacSkipBackSamples = 6144;

}  // namespace mss::datasets
