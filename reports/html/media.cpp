#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "audio/file.h"
#include "audio/stft.h"
#include "core/error.h"
#include "core/escape.h"
#include "core/file.h"
#include "core/stop.h"
#include "core/text.h"
#include "datasets/dataset.h"
#include "plots/image.h"
#include "records/store.h"
#include "reports/html/loudness.h"
#include "reports/html/page.h"

namespace mss::reports::html {
namespace {

namespace fs = std::filesystem;
using audio::AudioBuffer;
using audio::AudioView;
using core::Value;

constexpr int kPeaks = 900;  ///< points of a waveform
constexpr int kSpectrumWidth = 640, kSpectrumHeight = 160;
constexpr double kLowestHz = 40, kFloorDb = -80, kMostGainDb = 30;

/// A track of the report: which sections show it, and which rows were separated on it.
struct Wanted {
  std::vector<std::pair<std::size_t, std::size_t>> places;  ///< (section, track)
  std::vector<std::string> targets;
  std::vector<std::pair<std::string, std::uint64_t>> specs;  ///< with the first of their seeds
};

template <class T>
void add_unique(std::vector<T>& list, const T& entry) {
  if (std::find(list.begin(), list.end(), entry) == list.end()) list.push_back(entry);
}

/// Largest magnitudes in kPeaks equal parts, 0 … 255 of full scale.
Value peaks_value(AudioView x) {
  Value out = Value::array();
  for (int i = 0; i < kPeaks; ++i) {
    const std::int64_t from = x.samples() * i / kPeaks, to = std::max(from + 1, x.samples() * (i + 1) / kPeaks);
    float peak = 0;
    for (int c = 0; c < x.channels(); ++c)
      for (std::int64_t t = from; t < std::min(to, x.samples()); ++t)
        peak = std::max(peak, std::abs(x.channel(c)[static_cast<std::size_t>(t)]));
    out.push_back(std::min(255, static_cast<int>(std::lround(peak * 255))));
  }
  return out;
}

double peak_of(AudioView x) {
  float peak = 0;
  for (int c = 0; c < x.channels(); ++c)
    for (const float v : x.channel(c)) peak = std::max(peak, std::abs(v));
  return peak;
}

/// Where the quietest stem is loudest, in whole seconds.
std::int64_t excerpt_begin(const datasets::TrackAudio& audio, std::int64_t samples) {
  const std::int64_t total = audio.mixture.samples(), second = audio.mixture.rate_hz();
  if (samples >= total) return 0;
  double best = -1;
  std::int64_t begin = 0;
  for (std::int64_t at = 0; at + samples <= total; at += second) {
    double least = std::numeric_limits<double>::infinity();
    for (const AudioBuffer& stem : audio.stems) {
      // A stem that is silent all along does not choose.
      if (audio::is_silent(stem)) continue;
      least = std::min(least, audio::energy(stem.view().slice(at, samples)));
    }
    if (std::isinf(least)) break;
    if (least > best) {
      best = least;
      begin = at;
    }
  }
  return begin;
}

/// Power per (row of pixels, column of pixels), mean over channels; rows rise with the logarithm of the frequency.
std::vector<double> spectrum(AudioView x, int threads) {
  const audio::StftSpec spec{.fft_size = 2048, .hop_samples = 512, .framing = audio::Framing::centered_zero};
  const audio::Stft<float> stft(spec);
  const audio::Spectrogram<float> frames = stft.forward(x, threads);
  const double nyquist = x.rate_hz() / 2.0, hz_per_bin = nyquist / (frames.bins() - 1);
  std::vector<double> out(static_cast<std::size_t>(kSpectrumWidth) * kSpectrumHeight, 0.0);
  for (int row = 0; row < kSpectrumHeight; ++row) {
    const auto hz = [&](double r) { return kLowestHz * std::pow(nyquist / kLowestHz, r / kSpectrumHeight); };
    const double low = hz(kSpectrumHeight - 1 - row) / hz_per_bin, high = hz(kSpectrumHeight - row) / hz_per_bin;
    const int from = std::clamp(static_cast<int>(low), 0, frames.bins() - 1);
    const int to = std::clamp(static_cast<int>(std::ceil(high)), from + 1, frames.bins());
    for (int column = 0; column < kSpectrumWidth; ++column) {
      const std::int64_t first = frames.frames() * column / kSpectrumWidth;
      const std::int64_t last = std::max(first + 1, frames.frames() * (column + 1) / kSpectrumWidth);
      double power = 0;
      for (int c = 0; c < frames.channels(); ++c)
        for (std::int64_t n = first; n < std::min(last, frames.frames()); ++n)
          for (int k = from; k < to; ++k) power = std::max(power, static_cast<double>(std::norm(frames.at(c, n)[k])));
      out[static_cast<std::size_t>(row) * kSpectrumWidth + static_cast<std::size_t>(column)] = power;
    }
  }
  return out;
}

std::string spectrum_png(const std::vector<double>& power, double reference) {
  plots::Image image(kSpectrumWidth, kSpectrumHeight);
  for (int y = 0; y < kSpectrumHeight; ++y) {
    for (int x = 0; x < kSpectrumWidth; ++x) {
      const double value = power[static_cast<std::size_t>(y) * kSpectrumWidth + static_cast<std::size_t>(x)];
      const double db = value > 0 && reference > 0 ? 10 * std::log10(value / reference) : kFloorDb;
      // 48 steps keep the file small.
      const double position = std::round((std::clamp(db, kFloorDb, 0.0) / -kFloorDb + 1) * 48) / 48;
      image.set(x, y, plots::color_at(plots::ColorMap::magma, position));
    }
  }
  return plots::encode_png(image);
}

/// The file's bytes; the file is gone afterwards.
std::string flac_bytes(AudioView x, const fs::path& scratch) {
  const fs::path file = scratch / ".mssbench-excerpt.flac";
  audio::write_file(file, x, {.format = audio::SampleFormat::pcm16});
  std::string bytes = core::read_text_file(file);
  std::error_code ignored;
  fs::remove(file, ignored);
  return bytes;
}

class TrackMedia {
 public:
  TrackMedia(std::string name, const datasets::TrackAudio& audio, const Options& options, Sink& sink,
             const fs::path& scratch)
      : name_(std::move(name)), audio_(audio), options_(options), sink_(sink), scratch_(scratch) {
    const std::int64_t total = audio.mixture.samples();
    samples_ =
        options.excerpt_s > 0
            ? std::min(total, std::max<std::int64_t>(1, std::llround(options.excerpt_s * audio.mixture.rate_hz())))
            : total;
    begin_ = excerpt_begin(audio, samples_);
  }

  /// A signal of the whole track. `reference_lkfs` is what it is matched to (NaN = nothing).
  void add(const std::string& kind, const std::string& target, const std::string& spec, AudioView whole,
           double reference_lkfs) {
    core::check_stop();
    AudioBuffer part(whole.slice(begin_, samples_));
    const double loud = loudness_lkfs(part), peak = peak_of(part);
    double gain_db = std::isfinite(loud) && std::isfinite(reference_lkfs) ? reference_lkfs - loud : 0;
    gain_db = std::clamp(gain_db, -kMostGainDb, kMostGainDb);
    // 16 bits have no room above full scale.
    const double scale = peak > 0.999 ? 0.999 / peak : 1;
    if (scale < 1) {
      for (int c = 0; c < part.channels(); ++c)
        for (float& v : part.channel(c)) v = static_cast<float>(v * scale);
    }
    const std::vector<double> power = spectrum(part, options_.threads);
    if (kind == "mixture") loudest_ = *std::max_element(power.begin(), power.end()) / (scale * scale);
    const std::string id = fmt::format("{}-{}", name_, signals_.size());
    Value signal = Value::object(), sound = Value::object();
    signal["kind"] = kind;
    signal["target"] = target;
    signal["spec"] = spec;
    signal["lkfs"] = rounded(loud, 2);
    signal["matched_db"] = rounded(gain_db, 2);
    signal["gain"] = rounded(std::pow(10.0, gain_db / 20) / scale, 5);
    signal["peak"] = rounded(std::min(peak, 0.999), 4);
    signal["audio"] = "audio-" + id;
    signal["spectrum"] = sink_.png(id, spectrum_png(power, loudest_ * scale * scale));
    sound["flac"] = base64(flac_bytes(part, scratch_));
    sink_.data("audio-" + id, sound);
    signals_.push_back(std::move(signal));
  }

  double reference_lkfs(AudioView whole) const { return loudness_lkfs(whole.slice(begin_, samples_)); }

  void add_waveform(const std::string& target, AudioView whole) { waveforms_[target] = peaks_value(whole); }

  void finish() {
    const int rate = audio_.mixture.rate_hz();
    Value out = Value::object();
    out["seconds"] = rounded(audio_.mixture.seconds(), 4);
    out["begin_s"] = rounded(static_cast<double>(begin_) / rate, 4);
    out["length_s"] = rounded(static_cast<double>(samples_) / rate, 4);
    out["lowest_hz"] = kLowestHz;
    out["highest_hz"] = rate / 2.0;
    out["floor_db"] = kFloorDb;
    out["waveforms"] = std::move(waveforms_);
    out["signals"] = std::move(signals_);
    sink_.data("media-" + name_, out);
  }

 private:
  std::string name_;
  const datasets::TrackAudio& audio_;
  const Options& options_;
  Sink& sink_;
  fs::path scratch_;
  std::int64_t begin_ = 0, samples_ = 0;
  double loudest_ = 0;  ///< power that is 0 dB in all pictures of the track
  Value signals_ = Value::array(), waveforms_ = Value::object();
};

/// The estimate of a target: its file, or the sum of the other stems' files for an accompaniment. Nothing where it was
/// not saved.
std::optional<AudioBuffer> estimate(const Options& options, const std::string& spec, std::uint64_t seed,
                                    const datasets::Track& track, const std::string& target,
                                    const std::vector<std::string>& stems) {
  for (const fs::path& run : options.runs) {
    const auto file = [&](const std::string& name) {
      return records::estimate_path(run, spec, seed, track.subset, track.name, name);
    };
    if (fs::exists(file(target))) return audio::read_file(file(target));
    if (target != "accompaniment") continue;
    std::optional<AudioBuffer> sum;
    bool all = true;
    for (const std::string& stem : stems) {
      if (stem == "vocals") continue;
      if (!fs::exists(file(stem))) {
        all = false;
        break;
      }
      AudioBuffer one = audio::read_file(file(stem));
      if (!sum) {
        sum = std::move(one);
      } else if (audio::same_shape(*sum, one)) {
        audio::add_to(sum->span(), one);
      }
    }
    if (all && sum) return sum;
  }
  return std::nullopt;
}

bool is_chosen(const std::string& name, const Options& options) {
  return options.audio_tracks.empty() ||
         std::any_of(options.audio_tracks.begin(), options.audio_tracks.end(),
                     [&](const std::string& glob) { return core::matches_glob(name, glob); });
}

std::map<std::pair<std::string, std::string>, Wanted> wanted_tracks(const Report& report, const RecordIndex& index,
                                                                    const std::string& dataset) {
  std::map<std::pair<std::string, std::string>, Wanted> out;
  for (std::size_t s = 0; s < report.sections.size(); ++s) {
    const Section& section = report.sections[s];
    if (section.dataset != dataset) continue;
    for (std::size_t t = 0; t < section.track_names.size(); ++t) {
      const records::Record* record = index.of_track(s, t);
      if (record == nullptr) continue;
      Wanted& wanted = out[{record->key.subset, record->key.track}];
      wanted.places.emplace_back(s, t);
      for (const std::string& target : section.targets) add_unique(wanted.targets, target);
      for (std::size_t r = 0; r < section.rows.size(); ++r) {
        const auto& records = index.of(s, r, t);
        if (records.empty()) continue;
        add_unique(wanted.specs, {section.rows[r].spec, section.rows[r].seeds.front()});
      }
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> write_media(const Report& report, const RecordIndex& index, const Options& options, Sink& sink,
                                     const fs::path& scratch, MediaNames& media) {
  std::vector<std::string> warnings, names;
  for (const Section& section : report.sections) add_unique(names, section.dataset);
  std::size_t number = 0;
  bool any_track = false, any_estimate = false;
  for (const std::string& place : options.audio) {
    const datasets::Dataset dataset = datasets::open(place);
    if (std::find(names.begin(), names.end(), dataset.name()) == names.end()) {
      throw Error({Code::dataset, place, "the records are of another data set", core::join(names, ", "), dataset.name(),
                   "give the data set that the run was made on"});
    }
    const auto wanted = wanted_tracks(report, index, dataset.name());
    std::int64_t done = 0;
    if (options.progress != nullptr) options.progress->begin("audio", static_cast<std::int64_t>(wanted.size()));
    for (const datasets::Track& track : dataset.tracks()) {
      const auto found = wanted.find({track.subset, track.name});
      if (found == wanted.end() || !is_chosen(track.name, options)) continue;
      any_track = true;
      const Wanted& what = found->second;
      const auto& [section, at] = what.places.front();
      const records::Record* record = index.of_track(section, at);
      const core::Value* fingerprint = record->body.find("fingerprint");
      if (fingerprint != nullptr && fingerprint->is_string() && fingerprint->as_string() != dataset.sha256(track)) {
        warnings.push_back("no audio of '" + track.name + "': its files are not those that were scored");
        continue;
      }
      const datasets::TrackAudio audio = dataset.load(track);
      const std::string name = "m" + std::to_string(number++);
      TrackMedia out(name, audio, options, sink, scratch);
      out.add("mixture", "", "", audio.mixture, std::nan(""));
      out.add_waveform("", audio.mixture);
      for (const std::string& target : what.targets) {
        AudioBuffer reference;
        try {
          reference = datasets::Dataset::target(audio, target);
        } catch (const Error&) {
          continue;  // scored under a name that the data set does not have
        }
        const double loud = out.reference_lkfs(reference);
        out.add("reference", target, "", reference, std::nan(""));
        out.add_waveform(target, reference);
        for (const auto& [spec, seed] : what.specs) {
          const std::optional<AudioBuffer> made = estimate(options, spec, seed, track, target, audio.names);
          if (!made) continue;
          if (!audio::same_shape(*made, audio.mixture)) {
            warnings.push_back("no audio of " + target + " by " + spec + " on '" + track.name +
                               "': the saved estimate has another shape than the mixture");
            continue;
          }
          any_estimate = true;
          out.add("estimate", target, spec, *made, loud);
        }
      }
      out.finish();
      for (const auto& where : what.places) media[where] = "media-" + name;
      if (options.progress != nullptr) options.progress->update(++done, track.name);
    }
    if (options.progress != nullptr) options.progress->end();
  }
  if (!any_track)
    warnings.push_back("no track of the report has audio in the data set, or is chosen by --audio-tracks");
  if (any_track && !any_estimate) {
    warnings.push_back(
        "no saved estimates were found: players and spectrograms show mixture and references only (run with "
        "--save-estimates, and give the run's folder)");
  }
  return warnings;
}

}  // namespace mss::reports::html
