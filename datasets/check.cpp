#include "datasets/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <tuple>

#include "core/parallel.h"
#include "core/text.h"

namespace mss::datasets {

namespace {

constexpr double kExactResidualDb =
    -60;  // 16-bit rounding of four stems stays below this in any music that is not near silence
constexpr double kAacResidualDb = -20;
// Fewer seconds than this of loud, even music look alike by chance.
constexpr std::size_t kDuplicateSeconds = 5;

void check_published(const Dataset& dataset, const Track& track, const CheckOptions& options,
                     std::vector<Finding>& findings) {
  const MusdbFact* fact = musdb_fact(track.name);
  if (fact == nullptr) return;
  const std::string published_subset = fact->split == "test" ? "test" : "train";
  if (track.subset != published_subset) {
    findings.push_back({Severity::warning, track.name, "subset",
                        fmt::format("lies in '{}'; MUSDB18 has it in '{}'", track.subset, published_subset)});
  }
  if (!track.erratum.empty()) {
    findings.push_back({Severity::info, track.name, "erratum", "published erratum: " + track.erratum});
  }
  if (track.samples > 0 && std::abs(track.seconds() - fact->seconds) > 1.5) {
    findings.push_back({Severity::info, track.name, "identity",
                        fmt::format("an excerpt: {:.2f} s of the published {:.2f} s", track.seconds(), fact->seconds)});
    return;
  }
  if (dataset.layout() != Layout::stems || !options.hash) return;
  std::error_code error;
  const auto bytes = std::filesystem::file_size(track.files[0], error);
  if (error) return;  // loading reports it
  if (static_cast<std::int64_t>(bytes) != fact->stem_mp4_bytes) {
    findings.push_back({Severity::warning, track.name, "identity",
                        fmt::format("{} bytes, published {}", bytes, fact->stem_mp4_bytes)});
  } else if (const std::string hash = dataset.sha256(track); hash != fact->stem_mp4_sha256) {
    findings.push_back({Severity::warning, track.name, "identity",
                        fmt::format("SHA-256 {}, published {}", hash, fact->stem_mp4_sha256)});
  }
}

void check_audio(const Dataset& dataset, const Track& track, const TrackAudio& audio, std::vector<Finding>& findings) {
  for (std::size_t i = 0; i < audio.stems.size(); ++i) {
    if (audio::is_silent(audio.stems[i])) {
      findings.push_back({Severity::warning, track.name, "silent_stem",
                          fmt::format("stem '{}' is zero throughout; scoring leaves it out", audio.names[i])});
    }
  }
  if (audio::is_silent(audio.mixture)) {
    findings.push_back({Severity::warning, track.name, "silent_stem", "the mixture is zero throughout"});
    return;
  }
  const bool aac = dataset.layout() == Layout::stems;
  const double whole = sum_residual_db(audio);
  const double inner = aac ? sum_residual_db(audio, kAacSkipFrontSamples, kAacSkipBackSamples) : whole;
  std::string message = std::isinf(whole) ? std::string("the stems add up to the mixture exactly")
                                          : fmt::format("mixture minus sum of stems: {:.1f} dB over {} samples", whole,
                                                        audio.mixture.samples());
  if (aac && !std::isnan(inner)) {
    message += fmt::format(", {:.1f} dB without the first {} and the last {}", inner, kAacSkipFrontSamples,
                           kAacSkipBackSamples);
  }
  const double limit = aac ? kAacResidualDb : kExactResidualDb;
  findings.push_back({inner > limit ? Severity::warning : Severity::info, track.name, "residual", std::move(message)});
}

}  // namespace

std::string_view severity_name(Severity severity) noexcept {
  switch (severity) {
    case Severity::error:
      return "error";
    case Severity::warning:
      return "warning";
    default:
      return "info";
  }
}

double sum_residual_db(const TrackAudio& audio, std::int64_t skip_front, std::int64_t skip_back) {
  const std::int64_t end = audio.mixture.samples() - skip_back;
  double difference = 0, energy = 0;
  for (int c = 0; c < audio.mixture.channels(); ++c) {
    const auto mixture = audio.mixture.channel(c);
    for (std::int64_t t = skip_front; t < end; ++t) {
      const auto i = static_cast<std::size_t>(t);
      double rest = static_cast<double>(mixture[i]);
      energy += rest * rest;
      for (const auto& stem : audio.stems) rest -= static_cast<double>(stem.channel(c)[i]);
      difference += rest * rest;
    }
  }
  if (energy <= 0) return std::numeric_limits<double>::quiet_NaN();
  if (difference <= 0) return -std::numeric_limits<double>::infinity();
  return 10 * std::log10(difference / energy);
}

std::vector<TrackRow> metadata(const Dataset& dataset, bool with_sha256, int threads) {
  const auto& tracks = dataset.tracks();
  std::vector<TrackRow> rows(tracks.size());
  core::parallel_for(static_cast<std::int64_t>(tracks.size()), threads, [&](std::int64_t i) {
    const Track& track = tracks[static_cast<std::size_t>(i)];
    rows[static_cast<std::size_t>(i)] = {.name = track.name,
                                         .subset = track.subset,
                                         .split = track.split,
                                         .seconds = track.seconds(),
                                         .rate_hz = track.rate_hz,
                                         .channels = track.channels,
                                         .stems = track.stems,
                                         .sha256 = with_sha256 ? dataset.sha256(track) : std::string(),
                                         .erratum = track.erratum};
  });
  return rows;
}

std::vector<Finding> check(const Dataset& dataset, const CheckOptions& options) {
  const auto& tracks = dataset.tracks();
  const auto count = static_cast<std::int64_t>(tracks.size());
  std::vector<std::vector<Finding>> found(tracks.size());
  std::vector<std::vector<double>> levels(tracks.size());
  std::atomic<std::int64_t> done{0};
  core::Progress& progress = options.progress != nullptr ? *options.progress : core::null_progress();
  progress.begin("check " + dataset.name(), count);
  core::parallel_for(count, options.threads, [&](std::int64_t item) {
    options.stop.check();
    const auto i = static_cast<std::size_t>(item);
    const Track& track = tracks[i];
    try {
      check_published(dataset, track, options, found[i]);
      if (options.decode) {
        const TrackAudio audio = dataset.load(track);
        check_audio(dataset, track, audio, found[i]);
        levels[i] = levels_db(audio.mixture);
      } else if (track.defect) {
        throw Error(*track.defect);
      }
    } catch (const Error& error) {
      if (error.code() == Code::cancelled) throw;
      found[i].push_back({Severity::error, track.name, "unreadable", error.what()});
    }
    progress.update(++done, track.name);
  });
  progress.end();

  std::vector<Finding> all;
  for (const auto& path : dataset.ignored()) {
    all.push_back({Severity::warning, "", "ignored", fmt::format("{}: not part of the data set", path.string())});
  }
  for (const std::string& note : dataset.notes()) all.push_back({Severity::info, "", "names", note});
  for (auto& part : found) all.insert(all.end(), part.begin(), part.end());
  for (std::size_t a = 0; a < tracks.size(); ++a) {
    for (std::size_t b = a + 1; b < tracks.size(); ++b) {
      const std::size_t shorter = std::min(levels[a].size(), levels[b].size());
      const std::size_t longer = std::max(levels[a].size(), levels[b].size());
      if (shorter < kDuplicateSeconds || longer - shorter > 1) continue;
      if (similar_levels(levels[a], levels[b])) {
        all.push_back({Severity::warning, tracks[b].name, "duplicate",
                       fmt::format("its mixture has the levels of '{}' ({})", tracks[a].name, tracks[a].subset)});
      }
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const Finding& x, const Finding& y) {
    return std::tuple(x.track, -static_cast<int>(x.severity)) < std::tuple(y.track, -static_cast<int>(y.severity));
  });
  return all;
}

}  // namespace mss::datasets
