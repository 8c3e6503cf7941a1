// What an evaluation yields: plain records of metrics, per target.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace mss::eval {

/// A metric is a plain record. Definitions with constants and reasons: docs/metrics.md.
struct MetricInfo {
  std::string id;  ///< "SDR", "ISR", "SIR", "SAR", "SI-SDR", "uSDR", …
  bool higher_is_better = true;
  std::string unit;        ///< "dB"
  std::string definition;  ///< one line
  bool framewise = false;  ///< one value per frame (aggregated by median), else one per track
};
const std::vector<MetricInfo>& metrics();
/// Throws Error(config) with the nearest id.
const MetricInfo& metric(std::string_view id);

/// Values of a frame-wise metric; NaN = undefined in that frame, +-inf are kept.
struct FrameSeries {
  std::string metric;
  std::vector<double> values;
};
struct TrackValue {
  std::string metric;
  double value = 0;  ///< NaN = undefined (null in records)
};

/// Frames that do not count, by reason (one frame may have several).
struct DroppedFrames {
  std::int64_t silent_reference = 0;
  std::int64_t silent_estimate = 0;
  std::int64_t anti_phase = 0;  ///< the channel sum is zero though the channels are not
  std::int64_t total = 0;       ///< frames without a value
};

struct TargetScores {
  std::string target;
  std::vector<FrameSeries> frames;
  std::vector<TrackValue> track;
  DroppedFrames dropped;
  bool silent_reference = false;  ///< over the whole track: left out of the problem, no values
  bool silent_estimate = false;   ///< over the whole track: SDR 0 dB by definition in every frame that has a value,
                                  ///< metrics that project or scale NaN
};

/// Condition of the references' equations from which on float64 implementations of BSS Eval agree no more to 1e-3 dB.
inline constexpr double kIllConditioned = 1e13;

/// One problem: a set of sources that were scored jointly.
struct Scores {
  std::string scenario;  ///< "stems" (all stems), "vocals/accompaniment"
  double window_s = 1, hop_s = 1;
  std::string silence = "museval";  ///< rule of the frames that count: "museval" or "per_source"
  std::string filters = "v4";       ///< "v4": of the whole track; "v3": of every frame
  std::int64_t frames = 0;
  /// Estimated condition number of the equations of the joint filters (with filters per frame the worst of the frames);
  /// NaN where none were solved.
  double condition = std::numeric_limits<double>::quiet_NaN();
  /// From here on ISR, SIR and SAR hang on the last bits of the references.
  bool ill_conditioned() const noexcept { return condition >= kIllConditioned; }
  std::vector<TargetScores> targets;
  /// Values of the problem as a whole: "SA-SDR" over the targets that have a reference.
  std::vector<TrackValue> joint;
};

/// Median (even counts average the two middle values) and mean, ignoring NaN; NaN when nothing is left. Infinite values
/// are values: the median orders them last (and first), the mean of any is infinite; infinities of both signs that
/// would have to be averaged are NaN.
double nan_median(const std::vector<double>& values);
double nan_mean(const std::vector<double>& values);

/// The share (0 to 1) of sorted values that lies below the result: linear interpolation between order statistics (NumPy's
/// default). `sorted` is ascending and not empty.
double percentile(const std::vector<double>& sorted, double share);

}  // namespace mss::eval
