#include "eval/scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/text.h"

namespace mss::eval {

namespace {

std::vector<MetricInfo> build_metrics() {
  std::vector<MetricInfo> all;
  const auto add = [&](const char* id, const char* definition, bool framewise = false) {
    all.push_back({id, true, "dB", definition, framewise});
  };
  add("SDR", "BSS Eval v4 images, per frame: 10 log10(|s|^2 / |e-s|^2)", true);
  add("ISR", "BSS Eval v4 images, per frame: 10 log10(|s|^2 / |e_spat|^2)", true);
  add("SIR", "BSS Eval v4 images, per frame: 10 log10(|s+e_spat|^2 / |e_interf|^2)", true);
  add("SAR", "BSS Eval v4 images, per frame: 10 log10(|s+e_spat+e_interf|^2 / |e_artif|^2)", true);
  add("ISR-stable", "ISR with filters as if there were white noise 60 dB below every reference channel", true);
  add("SIR-stable", "SIR with filters as if there were white noise 60 dB below every reference channel", true);
  add("SAR-stable", "SAR with filters as if there were white noise 60 dB below every reference channel", true);
  add("cSDR", "median over frames of SDR, undefined frames ignored, infinite ones ordered last");
  add("uSDR", "10 log10((sum s^2 + 1e-7) / (sum (s-e)^2 + 1e-7)) over samples and channels of the track");
  add("SDR-track", "10 log10(sum s^2 / sum (s-e)^2) over samples and channels of the track, no constants");
  add("SI-SDR", "10 log10(|a s|^2 / |a s - e|^2), a = <e,s>/|s|^2 over samples and channels jointly");
  add("SI-SDR-channel", "mean over channels of SI-SDR computed per channel");
  add("SD-SDR", "10 log10(|a s|^2 / |s - e|^2), a = <e,s>/|s|^2 over samples and channels jointly");
  add("SI-SNR", "SI-SDR after the mean of every channel is removed from s and e");
  add("SDR-best-gain", "10 log10(|s|^2 / |s - b e|^2), b = <e,s>/|e|^2 over samples and channels jointly");
  add("uSDR-msst", "uSDR with 1e-8 for 1e-7 (Music-Source-Separation-Training)");
  add("SI-SDR-msst",
      "SI-SDR of Music-Source-Separation-Training: 1e-8 added to every product, the error and the ratio");
  add("SNR-torchmetrics", "mean over channels of 10 log10((|s|^2 + eps) / (|s-e|^2 + eps)), eps = 2^-52");
  add("SI-SDR-torchmetrics", "mean over channels of SI-SDR with eps = 2^-52 added to both terms of both fractions");
  add("SI-SNR-torchmetrics", "SI-SDR-torchmetrics after the mean of every channel is removed");
  add("cSDRi", "cSDR minus the cSDR of the mixture on the same frames");
  add("uSDRi", "uSDR minus the uSDR of the mixture");
  add("SDR-track-i", "SDR-track minus the SDR-track of the mixture");
  add("SI-SDRi", "SI-SDR minus the SI-SDR of the mixture");
  add("SI-SDR-channel-i", "SI-SDR-channel minus the SI-SDR-channel of the mixture");
  add("SD-SDRi", "SD-SDR minus the SD-SDR of the mixture");
  add("SA-SDR", "one value per problem: 10 log10(sum |a s|^2 / sum |a s - e|^2) over all sources, one a for all");
  add("SDR-torchmetrics", "mean over channels of the bss_eval_sources SDR with 512 taps; not museval's SDR");
  add("NSDR", "SDR of bss_eval_sources (512 taps, whole clip) minus that of the mixture");
  add("GNSDR", "mean of NSDR over clips, weighted by their length");
  return all;
}

}  // namespace

const std::vector<MetricInfo>& metrics() {
  static const std::vector<MetricInfo> all = build_metrics();
  return all;
}

const MetricInfo& metric(std::string_view id) {
  std::vector<std::string> ids;
  for (const MetricInfo& m : metrics()) {
    if (m.id == id) return m;
    ids.push_back(m.id);
  }
  throw Error(ErrorParts{.code = Code::config,
                         .where = "metric '" + std::string(id) + "'",
                         .what = "unknown metric",
                         .expected = "one of " + core::join(ids, ", "),
                         .found = {},
                         .hint = core::did_you_mean(id, ids)});
}

double nan_median(const std::vector<double>& values) {
  std::vector<double> kept;
  kept.reserve(values.size());
  for (double v : values)
    if (!std::isnan(v)) kept.push_back(v);
  if (kept.empty()) return std::numeric_limits<double>::quiet_NaN();
  const std::size_t middle = kept.size() / 2;
  std::nth_element(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(middle), kept.end());
  const double upper = kept[middle];
  if (kept.size() % 2 == 1) return upper + 0.0;  // -0 becomes 0, as in NumPy's median
  const double lower = *std::max_element(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(middle));
  return 0.5 * (lower + upper);
}

double nan_mean(const std::vector<double>& values) {
  double sum = 0;
  std::int64_t n = 0;
  for (double v : values) {
    if (std::isnan(v)) continue;
    sum += v;
    ++n;
  }
  return n > 0 ? sum / static_cast<double>(n) : std::numeric_limits<double>::quiet_NaN();
}

double percentile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below =
      static_cast<std::size_t>(std::clamp(std::floor(place), 0.0, static_cast<double>(sorted.size() - 1)));
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace mss::eval
