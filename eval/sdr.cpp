#include "eval/sdr.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "eval/sums.h"

namespace mss::eval {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kEps = std::numeric_limits<double>::epsilon();

double db(double ratio) { return 10.0 * std::log10(ratio); }

ChannelSums joint(const TrackSums& sums) {
  ChannelSums all;
  for (const ChannelSums& c : sums.channels) {
    all.reference2 += c.reference2;
    all.reference1 += c.reference1;
    all.error2 += c.error2;
    all.cross += c.cross;
    all.estimate2 += c.estimate2;
    all.estimate1 += c.estimate1;
  }
  return all;
}

/// The sums of s - mean(s), e - mean(e).
ChannelSums centred(const ChannelSums& c, std::int64_t samples) {
  const auto n = static_cast<double>(samples);
  const double error1 = c.estimate1 - c.reference1;
  ChannelSums r;
  r.reference2 = std::max(0.0, c.reference2 - c.reference1 * c.reference1 / n);
  r.error2 = std::max(0.0, c.error2 - error1 * error1 / n);
  r.cross = c.cross - error1 * c.reference1 / n;
  r.estimate2 = std::max(0.0, c.estimate2 - c.estimate1 * c.estimate1 / n);
  return r;
}

/// |a s - e|^2 with a = <e,s>/|s|^2.
double residual2(const ChannelSums& c) {
  if (c.reference2 <= 0) return c.estimate2;
  return std::max(0.0, c.error2 - c.cross * c.cross / c.reference2);
}

/// |a s|^2.
double scaled2(const ChannelSums& c) {
  if (c.reference2 <= 0) return 0;
  const double a = 1.0 + c.cross / c.reference2;
  return a * a * c.reference2;
}

double si_sdr(const ChannelSums& c) {
  if (c.estimate2 <= 0 || c.reference2 <= 0) return kNan;
  return ratio_db(scaled2(c), residual2(c));
}

double si_sdr_eps(const ChannelSums& c) {
  const double a1 = c.cross / (c.reference2 + kEps);  // a - 1
  const double a = 1.0 + a1;
  const double noise = std::max(0.0, a1 * a1 * c.reference2 - 2.0 * a1 * c.cross + c.error2);
  return db((a * a * c.reference2 + kEps) / (noise + kEps));
}

template <class F>
double channel_mean(const TrackSums& sums, F f) {
  double sum = 0;
  for (const ChannelSums& c : sums.channels) sum += f(c);
  return sum / static_cast<double>(sums.channels.size());
}

}  // namespace

double ratio_db(double numerator, double denominator) {
  if (denominator == 0) return std::numeric_limits<double>::infinity();
  return db(numerator / denominator);
}

TrackSums track_sums(const Signal& reference, const Signal& estimate, int threads) {
  if (reference.channels() != estimate.channels() || reference.samples() != estimate.samples()) {
    throw Error(Code::invalid_argument, "track_sums", "reference and estimate differ in shape");
  }
  const std::vector<Source> sources{Source(reference), Source(estimate)};
  const Segments segments = make_segments(reference.samples(), {});
  const core::StopToken never;
  const auto own = own_tables({sources[0]}, segments, threads, never);
  const auto pair = pair_tables({{&sources[0], &sources[1]}}, segments, threads, never);
  const TrackSums sums = total_sums(own[0], pair[0], reference.channels(), reference.samples());
  const ChannelSums all = joint(sums);
  if (!std::isfinite(all.reference2)) require_finite(sources[0], "reference");
  if (!std::isfinite(all.estimate2)) require_finite(sources[1], "estimate");
  return sums;
}

std::vector<TrackValue> sdr_family(const TrackSums& sums) {
  const ChannelSums all = joint(sums);
  ChannelSums all_centred;
  TrackSums by_channel_centred = sums;
  for (ChannelSums& c : by_channel_centred.channels) c = centred(c, sums.samples);
  all_centred = joint(by_channel_centred);
  const bool silent_estimate = all.estimate2 <= 0;

  std::vector<TrackValue> v;
  const auto usdr = [&](double delta) { return db((all.reference2 + delta) / (all.error2 + delta)); };
  v.push_back({"uSDR", usdr(1e-7)});
  v.push_back({"SDR-track", silent_estimate && all.reference2 <= 0 ? kNan : ratio_db(all.reference2, all.error2)});
  v.push_back({"SI-SDR", si_sdr(all)});
  v.push_back({"SI-SDR-channel", channel_mean(sums, si_sdr)});
  v.push_back({"SD-SDR", silent_estimate || all.reference2 <= 0 ? kNan : ratio_db(scaled2(all), all.error2)});
  v.push_back({"SI-SNR", si_sdr(all_centred)});
  // |s - b e|^2 = |s|^2 (1 - rho^2) = |s|^2 |a s - e|^2 / |e|^2.
  v.push_back(
      {"SDR-best-gain", silent_estimate || all.reference2 <= 0 ? kNan : ratio_db(all.estimate2, residual2(all))});
  v.push_back({"uSDR-msst", usdr(1e-8)});
  {
    constexpr double kDelta = 1e-8;
    const double n = static_cast<double>(sums.samples) * static_cast<double>(sums.channels.size());
    const double a1 = all.cross / (all.reference2 + n * kDelta);  // (sum(e s + d) / sum(s^2 + d)) - 1
    const double a = 1.0 + a1;
    const double noise = std::max(0.0, a1 * a1 * all.reference2 - 2.0 * a1 * all.cross + all.error2);
    v.push_back({"SI-SDR-msst", silent_estimate ? kNan : db(a * a * all.reference2 / (noise + kDelta) + kDelta)});
  }
  v.push_back({"SNR-torchmetrics",
               channel_mean(sums, [](const ChannelSums& c) { return db((c.reference2 + kEps) / (c.error2 + kEps)); })});
  v.push_back({"SI-SDR-torchmetrics", silent_estimate ? kNan : channel_mean(sums, si_sdr_eps)});
  v.push_back({"SI-SNR-torchmetrics", silent_estimate ? kNan : channel_mean(by_channel_centred, si_sdr_eps)});
  return v;
}

double sa_sdr(const std::vector<TrackSums>& sources, bool scale_invariant) {
  ChannelSums all;
  for (const TrackSums& s : sources) {
    const ChannelSums one = joint(s);
    all.reference2 += one.reference2;
    all.error2 += one.error2;
    all.cross += one.cross;
  }
  const double a1 = scale_invariant ? all.cross / (all.reference2 + kEps) : 0.0;
  const double a = 1.0 + a1;
  const double noise = std::max(0.0, a1 * a1 * all.reference2 - 2.0 * a1 * all.cross + all.error2);
  return db((a * a * all.reference2 + kEps) / (noise + kEps));
}

double weighted_mean(const std::vector<double>& values, const std::vector<double>& weights) {
  if (values.size() != weights.size()) {
    throw Error(Code::invalid_argument, "weighted_mean", "as many weights as values are needed");
  }
  double sum = 0, total = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    sum += values[i] * weights[i];
    total += weights[i];
  }
  return total > 0 ? sum / total : kNan;
}

}  // namespace mss::eval
