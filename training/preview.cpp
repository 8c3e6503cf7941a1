#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "audio/file.h"
#include "audio/stft.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/stop.h"
#include "plots/figure.h"
#include "training/examples.h"

namespace mss::training {
namespace {

namespace fs = std::filesystem;

audio::AudioBuffer buffer_of(const float* planes, int channels, std::int64_t samples, int rate_hz) {
  audio::AudioBuffer out(channels, samples, rate_hz);
  for (int c = 0; c < channels; ++c) std::copy_n(planes + c * samples, samples, out.channel(c).begin());
  return out;
}

/// Amplitude spectrogram, 0 dB = a sine of full scale; both channels as the root of their mean square.
plots::Heatmap spectrogram(const std::string& title, audio::AudioView audio) {
  const audio::StftSpec spec{.fft_size = 2048, .hop_samples = 512, .scaling = audio::Scaling::window_sum};
  const audio::Spectrogram<float> frames = audio::Stft<float>(spec).forward(audio);
  plots::Heatmap out;
  out.title = title;
  out.rows = frames.bins();
  out.columns = frames.frames();
  out.values.resize(static_cast<std::size_t>(out.rows * out.columns));
  for (std::int64_t n = 0; n < out.columns; ++n) {
    for (std::int64_t k = 0; k < out.rows; ++k) {
      double power = 0;
      for (int c = 0; c < frames.channels(); ++c) power += std::norm(std::complex<double>(frames.at(c, n)[k]));
      out.values[static_cast<std::size_t>(k * out.columns + n)] = static_cast<float>(
          std::min<double>(std::numeric_limits<float>::max(), 2 * std::sqrt(power / frames.channels())));
    }
  }
  out.x_step = static_cast<double>(spec.hop_samples) / audio.rate_hz();
  out.y_step = static_cast<double>(audio.rate_hz()) / spec.fft_size;
  out.x = {.label = "seconds",
           .low = 0,
           .high = std::max(audio.seconds(), out.x_step),
           .scale = plots::AxisScale::linear,
           .unit = plots::Unit::seconds,
           .show_labels = true,
           .ticks = {}};
  out.y = {.label = "Hz",
           .low = 30,
           .high = audio.rate_hz() / 2.0,
           .scale = plots::AxisScale::logarithmic,
           .unit = plots::Unit::hertz,
           .show_labels = true,
           .ticks = {}};
  out.reference = 1.0;
  out.floor_db = -100;
  out.color_label = "dB";
  return out;
}

/// "key: value" lines, nested by indentation.
void lines_of(const core::Value& value, const std::string& indent, std::string& out) {
  for (const auto& [key, member] : value.as_object()) {
    if (member.is_object()) {
      out += indent + key + ":\n";
      lines_of(member, indent + "  ", out);
    } else if (member.is_array() && member.size() > 0 && member.as_array().front().is_object()) {
      out += indent + key + ":\n";
      for (const core::Value& one : member.as_array()) {
        std::string inner;
        lines_of(one, indent + "    ", inner);
        inner.replace(indent.size() + 2, 1, "-");
        out += inner;
      }
    } else {
      out += indent + key + ": " + (member.is_string() ? member.as_string() : core::dump_json(member)) + "\n";
    }
  }
}

/// What was drawn for a stem, in a few words: "Track [pitch+2], -5.3 dB, channels swapped".
std::string words_of(const core::Value& drawn) {
  std::string out = drawn.at("track").as_string();
  const auto number = [&](const char* key) {
    const core::Value* value = drawn.find(key);
    return value == nullptr ? 0.0 : value->as_real();
  };
  const auto has = [&](const char* key) { return drawn.find(key) != nullptr; };
  if (has("unmatched")) out += ", no song fits";
  if (has("dropped")) return out + ", dropped";
  if (number("semitones") != 0) out += fmt::format(", {:+g} semitones", number("semitones"));
  if (number("tempo_percent") != 0) out += fmt::format(", tempo {:+.1f} %", number("tempo_percent"));
  if (const double gain = number("gain"); gain > 0 && gain != 1)
    out += fmt::format(", {:+.1f} dB", 20 * std::log10(gain));
  if (has("sign")) out += ", sign flipped";
  if (has("channels_swapped")) out += ", channels swapped";
  if (has("circular_shift_samples")) out += ", turned in time";
  return out;
}

}  // namespace

void write_preview(const ExampleSource& source, std::int64_t count, const fs::path& folder, core::Progress& progress) {
  if (count < 1) throw Error(Code::invalid_argument, "preview", "the number of examples must be at least 1");
  std::error_code error;
  if (fs::exists(folder, error) && (!fs::is_directory(folder, error) || !fs::is_empty(folder, error))) {
    throw Error(
        {Code::config, folder.string(), "is there already and not empty", "a new folder for the preview", "", ""});
  }
  count = std::min(count, source.length());
  progress.begin("preview", count);
  for (std::int64_t i = 0; i < count; ++i) {
    core::check_stop();
    const Example example = source.example(0, i);
    std::string number = std::to_string(i);
    constexpr std::size_t kDigits = 3;
    number.insert(0, kDigits - std::min(kDigits, number.size()), '0');
    const fs::path place = folder / number;
    core::make_directories(place);
    const int channels = static_cast<int>(example.channels);
    plots::Figure figure;
    figure.title = "Example " + number;
    const std::int64_t rows = example.sources + (example.unlabelled.empty() ? 1 : 2);
    figure.row_weights.assign(static_cast<std::size_t>(rows), 1.0);
    figure.height = 240 * static_cast<int>(rows) + 100;
    const auto add = [&](const std::string& name, const float* planes, const std::string& words) {
      const audio::AudioBuffer audio = buffer_of(planes, channels, example.samples, source.rate_hz());
      audio::write_file(place / (name + ".wav"), audio);
      figure.cells.push_back(
          {static_cast<int>(figure.cells.size()), 0, spectrogram(words.empty() ? name : name + ": " + words, audio)});
    };
    const core::Value* remixed = example.drawn.find("remixed");
    const core::Value* speech = example.drawn.find("speech");
    add("mixture", example.mixture.data(), remixed != nullptr && remixed->as_bool() ? "remixed" : "");
    for (std::int64_t s = 0; s < example.sources; ++s) {
      const auto stem = static_cast<std::size_t>(s);
      const core::Value* drawn = example.drawn.find("stems");
      std::string words = drawn == nullptr ? "" : words_of(drawn->as_array()[stem]);
      if (speech != nullptr && speech->is_object() && speech->at("stem").as_string() == source.stems()[stem]) {
        words = fmt::format("speech, {:+.1f} dB over the rest", speech->at("snr_db").as_real());
      }
      add(source.stems()[stem], example.stems.data() + s * example.channels * example.samples, words);
    }
    if (!example.unlabelled.empty()) {
      add("unlabelled", example.unlabelled.data(), words_of(example.drawn.at("unlabelled")));
    }
    plots::write_png(place / "spectrograms.png", plots::render(figure));
    std::string text;
    lines_of(example.drawn, "", text);
    core::write_file_atomic(place / "drawn.txt", text);
    progress.update(i + 1, number);
  }
  progress.end();
}

}  // namespace mss::training
