#include "harness/pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <map>
#include <optional>
#include <utility>

#include "audio/stft.h"
#include "core/error.h"
#include "core/file.h"
#include "core/spec.h"
#include "methods/factor_model.h"
#include "plots/figure.h"
#include "records/store.h"

namespace mss::harness {
namespace {

namespace fs = std::filesystem;
using Index = std::int64_t;
using plots::Axis;
using plots::Heatmap;

constexpr Index kBlockSamples = 32768;
constexpr Index kLargestColumns = 4096;  ///< of a spectrogram in memory; twice as wide as any panel
constexpr double kLowestHz = 30;
constexpr double kSpectrogramFloorDb = -80;
constexpr double kTemplateFloorDb = -60;
constexpr double kActivationFloorDb = -60;

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

/// A magnitude spectrogram, frames pooled in groups of a power of two so that a song of any length fits.
struct Spectrogram {
  Index bins = 0, columns = 0;
  std::vector<float> values;  ///< [bin][column], root mean square over channels and the frames of a group
  double bin_hz = 0, column_s = 0, first_s = 0;
  double seconds = 0;
  double peak = 0;
};

class Pooler {
 public:
  explicit Pooler(Index bins) : bins_(bins) {}
  /// `power(k)` of the next frame.
  template <class Power>
  void add(const Power& power) {
    if (in_group_ == 0) columns_.emplace_back(sz(bins_), 0.0F);
    std::vector<float>& column = columns_.back();
    for (Index k = 0; k < bins_; ++k) column[sz(k)] += power(k);
    if (++in_group_ < group_) return;
    in_group_ = 0;
    if (std::ssize(columns_) < kLargestColumns) return;
    for (std::size_t i = 0; i < columns_.size() / 2; ++i) {
      for (Index k = 0; k < bins_; ++k) columns_[i][sz(k)] = columns_[2 * i][sz(k)] + columns_[2 * i + 1][sz(k)];
    }
    columns_.resize(columns_.size() / 2);
    group_ *= 2;
  }
  Spectrogram finish(const audio::StftSpec& spec, int rate_hz) const {
    Spectrogram out;
    out.bins = bins_;
    out.columns = std::ssize(columns_);
    out.values.resize(sz(out.bins * out.columns));
    for (Index n = 0; n < out.columns; ++n) {
      const Index frames = n + 1 == out.columns && in_group_ > 0 ? in_group_ : group_;
      for (Index k = 0; k < bins_; ++k) {
        const float v = std::sqrt(columns_[sz(n)][sz(k)] / static_cast<float>(frames));
        out.values[sz(k * out.columns + n)] = v;
        out.peak = std::max(out.peak, static_cast<double>(v));
      }
    }
    const double frame_s = static_cast<double>(spec.hop_samples) / rate_hz;
    out.bin_hz = static_cast<double>(rate_hz) / spec.fft_size;
    out.column_s = frame_s * static_cast<double>(group_);
    out.first_s = frame_s * static_cast<double>(group_ - 1) / 2;
    return out;
  }

 private:
  Index bins_, group_ = 1, in_group_ = 0;
  std::vector<std::vector<float>> columns_;
};

Spectrogram read_spectrogram(audio::Source& source, const std::string& name, audio::StftSpec spec,
                             const core::StopToken& stop) {
  const int channels = source.channels();
  audio::StreamingStft stft(spec, channels);
  Pooler pooler(spec.bins());
  const auto take = [&](const audio::Spectrogram<float>& x) {
    for (Index n = 0; n < x.frames(); ++n) {
      pooler.add([&](Index k) {
        float sum = 0;
        for (int c = 0; c < channels; ++c) sum += std::norm(x.at(c, n)[k]);
        return sum / static_cast<float>(channels);
      });
    }
  };
  audio::AudioBuffer block(channels, kBlockSamples, source.rate_hz());
  Index samples = 0;
  while (const Index n = source.read(block.span())) {
    stop.check();
    const audio::AudioView view = block.view().slice(0, n);
    if (const auto at = audio::find_non_finite(view); at.channel >= 0) {
      throw Error({Code::numeric,
                   name,
                   "sample is not finite",
                   {},
                   fmt::format("channel {}, sample {}", at.channel, samples + at.sample),
                   {}});
    }
    take(stft.push(view));
    samples += n;
  }
  take(stft.finish());
  if (samples == 0) throw Error({Code::invalid_argument, name, "no samples", "at least 1", "0", {}});
  Spectrogram out = pooler.finish(spec, source.rate_hz());
  out.seconds = static_cast<double>(samples) / source.rate_hz();
  return out;
}

// ---- Axes and panels ----

Axis frequency_axis(double rate_hz, bool labels = true) {
  return {.label = labels ? "frequency (Hz)" : "",
          .low = std::min(kLowestHz, rate_hz / 32),
          .high = rate_hz / 2,
          .scale = plots::AxisScale::logarithmic,
          .unit = plots::Unit::hertz,
          .show_labels = labels,
          .ticks = {}};
}

Axis time_axis(double seconds, bool labels = true) {
  const char* label = seconds > 120 ? "time (min:s)" : "time (s)";
  return {.label = labels ? label : "",
          .low = 0,
          .high = seconds,
          .unit = plots::Unit::seconds,
          .show_labels = labels,
          .ticks = {}};
}

struct Scene {
  double rate_hz = 0, seconds = 0;
  double reference = 1;  ///< 0 dB of all spectrograms
};

Heatmap spectrogram_panel(std::string title, const Spectrogram& s, const Scene& scene) {
  Heatmap map;
  map.title = std::move(title);
  map.rows = s.bins;
  map.columns = s.columns;
  map.values = s.values;
  map.x_first = s.first_s;
  map.x_step = s.column_s;
  map.y_step = s.bin_hz;
  map.x = time_axis(scene.seconds);
  map.y = frequency_axis(scene.rate_hz);
  map.floor_db = kSpectrogramFloorDb;
  map.reference = scene.reference;
  map.color_label = "dB re the mixture's peak";
  return map;
}

/// Components that a picture shows, from left to right (bottom to top), and how they are named.
struct Selection {
  std::vector<int> components;
  std::vector<std::string> group;  ///< of each; empty = components show their numbers
};

/// Ticks under the middle of each block of `width` cells: numbers from 1, or the names of groups under their middle.
Axis component_axis(const Selection& selection, int width) {
  const int count = static_cast<int>(selection.components.size());
  Axis axis{.label = "component",
            .low = 0,
            .high = static_cast<double>(count) * width,
            .unit = plots::Unit::index,
            .ticks = {}};
  if (!selection.group.empty()) {
    axis.label = "";
    for (int from = 0, to = 0; from < count; from = to) {
      while (to < count && selection.group[sz(to)] == selection.group[sz(from)]) ++to;
      axis.ticks.push_back({(from + to) * 0.5 * width, selection.group[sz(from)]});
    }
    return axis;
  }
  const int stride = count <= 16 ? 1 : count <= 40 ? 5 : count <= 100 ? 10 : count <= 300 ? 50 : 100;
  for (int i = 0; i < count; ++i) {
    const int number = selection.components[sz(i)] + 1;
    if (i % stride == stride - 1 || stride == 1) axis.ticks.push_back({(i + 0.5) * width, fmt::format("{}", number)});
  }
  return axis;
}

/// Lines between components where they are few, drawn twice between groups.
std::vector<double> separators(const Selection& selection, int width) {
  std::vector<double> out;
  const int count = static_cast<int>(selection.components.size());
  for (int i = 1; i < count; ++i) {
    const bool edge = !selection.group.empty() && selection.group[sz(i)] != selection.group[sz(i - 1)];
    for (int times = (count <= 32 ? 1 : 0) + (edge ? 2 : 0); times > 0; --times)
      out.push_back(static_cast<double>(i) * width);
  }
  return out;
}

/// Templates beside each other, T columns each. Row 0 is bin 0.
Heatmap template_panel(const methods::FactorModel& f, const Selection& selection, const Scene& scene) {
  const int frames = f.template_frames, count = static_cast<int>(selection.components.size());
  Heatmap map;
  map.title = count == 1 ? "template W" : "templates W";
  map.rows = f.bins;
  map.columns = Index{count} * frames;
  map.values.resize(sz(map.rows * map.columns));
  for (int i = 0; i < count; ++i) {
    const int r = selection.components[sz(i)];
    // Each template on its own scale: a loud one would hide the shapes of the others.
    float peak = 0;
    for (Index k = 0; k < f.bins; ++k) {
      for (int t = 0; t < frames; ++t) peak = std::max(peak, f.w_at(k, t, r));
    }
    const float scale = peak > 0 ? 1.0F / peak : 0.0F;
    for (Index k = 0; k < f.bins; ++k) {
      for (int t = 0; t < frames; ++t) map.values[sz(k * map.columns + i * frames + t)] = f.w_at(k, t, r) * scale;
    }
  }
  map.x_separators = separators(selection, frames);
  map.x_first = 0.5;
  map.y_step = static_cast<double>(f.rate_hz) / f.stft.fft_size;
  map.x = component_axis(selection, frames);
  if (count == 1)
    map.x = {.label = "frame", .low = 0, .high = static_cast<double>(frames), .unit = plots::Unit::index, .ticks = {}};
  map.y = frequency_axis(scene.rate_hz);
  map.floor_db = kTemplateFloorDb;
  map.reference = 1.0;
  map.colors = plots::ColorMap::viridis;
  map.color_bar = false;
  return map;
}

/// Mean of the channels' activations of one component, in the STFT's unit.
std::vector<float> mean_activation(const methods::FactorModel& f, int r) {
  std::vector<float> out(sz(f.frames), 0.0F);
  const double scale = 1.0 / (f.scale * std::max(1, f.channels));
  for (int c = 0; c < f.channels; ++c) {
    for (Index n = 0; n < f.frames; ++n)
      out[sz(n)] += static_cast<float>(scale * static_cast<double>(f.h_at(r, c * f.frames + n)));
  }
  return out;
}

double frame_s(const methods::FactorModel& f) { return static_cast<double>(f.stft.hop_samples) / f.rate_hz; }

Heatmap activation_panel(const methods::FactorModel& f, const Selection& selection, const Scene& scene) {
  Heatmap map;
  map.title = "activations H";
  map.rows = std::ssize(selection.components);
  map.columns = f.frames;
  for (const int r : selection.components) {
    const std::vector<float> row = mean_activation(f, r);
    map.values.insert(map.values.end(), row.begin(), row.end());
  }
  map.x_step = frame_s(f);
  map.y_first = 0.5;
  map.x = time_axis(scene.seconds, false);
  map.y = component_axis(selection, 1);
  map.y_separators = separators(selection, 1);
  map.floor_db = kActivationFloorDb;
  map.pooling = plots::Pooling::peak;
  map.colors = plots::ColorMap::viridis;
  map.color_label = "dB";
  return map;
}

plots::CurvePanel activation_curve(const methods::FactorModel& f, int r, const Scene& scene) {
  plots::CurvePanel panel;
  panel.title = "activation H";
  plots::Curve curve;
  for (const float h : mean_activation(f, r)) {
    curve.positions.push_back(static_cast<double>(curve.values.size()) * frame_s(f));
    curve.values.push_back(static_cast<double>(h));
  }
  panel.x = time_axis(scene.seconds, false);
  panel.y = plots::value_axis("level", curve.values);
  panel.curves = {std::move(curve)};
  panel.filled = true;
  return panel;
}

plots::CurvePanel template_curve(const methods::FactorModel& f, int r, const Scene& scene) {
  plots::CurvePanel panel;
  panel.title = "template W";
  panel.orientation = plots::Orientation::sideways;
  float peak = 0;
  for (Index k = 0; k < f.bins; ++k) peak = std::max(peak, f.w_at(k, 0, r));
  plots::Curve curve;
  for (Index k = 1; k < f.bins; ++k) {
    const double w = peak > 0 ? static_cast<double>(f.w_at(k, 0, r) / peak) : 0.0;
    curve.positions.push_back(static_cast<double>(k) * f.rate_hz / f.stft.fft_size);
    curve.values.push_back(w > 0 ? std::max(kTemplateFloorDb, 20 * std::log10(w)) : kTemplateFloorDb);
  }
  panel.y = frequency_axis(scene.rate_hz);
  panel.x = {.label = "dB",
             .low = kTemplateFloorDb,
             .high = 3,
             .unit = plots::Unit::decibel,
             .ticks = {{-60, "-60"}, {-40, "-40"}, {-20, "-20"}, {0, "0"}}};
  panel.curves = {std::move(curve)};
  panel.filled = true;
  return panel;
}

/// W_r * H_r in the STFT's unit, root mean square over the channels.
Spectrogram model_spectrogram(const methods::FactorModel& f, int r) {
  Pooler pooler(f.bins);
  std::vector<float> magnitude(sz(f.bins)), power(sz(f.bins));
  for (Index n = 0; n < f.frames; ++n) {
    std::fill(power.begin(), power.end(), 0.0F);
    for (int c = 0; c < f.channels; ++c) {
      std::fill(magnitude.begin(), magnitude.end(), 0.0F);
      for (int t = 0; t < f.template_frames && t <= n; ++t) {
        const auto h = static_cast<float>(static_cast<double>(f.h_at(r, c * f.frames + n - t)) / f.scale);
        if (h == 0.0F) continue;
        for (Index k = 0; k < f.bins; ++k) magnitude[sz(k)] += h * f.w_at(k, t, r);
      }
      for (Index k = 0; k < f.bins; ++k)
        power[sz(k)] += magnitude[sz(k)] * magnitude[sz(k)] / static_cast<float>(f.channels);
    }
    pooler.add([&](Index k) { return power[sz(k)]; });
  }
  return pooler.finish(f.stft, f.rate_hz);
}

// ---- Figures ----

class Album {
 public:
  Album(const methods::Separator& separator, const methods::Registry& registry, const PictureRequest& request,
        fs::path folder)
      : info_(separator.info()),
        registry_(registry),
        request_(request),
        folder_(std::move(folder)),
        progress_(request.progress != nullptr ? *request.progress : core::null_progress()) {}

  std::vector<fs::path> draw() {
    factorise();
    const audio::StftSpec spec = factors_ ? factors_->stft : audio::StftSpec{};
    const auto mixture_source = request_.mixture();
    const Spectrogram mixture = read_spectrogram(*mixture_source, "mixture", centered(spec), request_.stop);
    scene_.rate_hz = mixture_source->rate_hz();
    scene_.seconds = mixture.seconds;
    scene_.reference = mixture.peak > 0 ? mixture.peak : 1.0;
    core::make_directories(folder_);

    std::vector<Spectrogram> stems;
    for (const NamedSource& stem : request_.stems) stems.push_back(read_stem(stem, spec, mixture));
    for (const NamedSource& stem : request_.true_stems) {
      true_stems_.emplace(stem.name, read_stem(stem, spec, mixture));
    }
    const std::vector<int> components = pictured_components();
    core::ProgressTask task(progress_, "pictures", picture_count(components));
    const std::string heard = "spectrogram of the mixture";
    if (factors_) {
      save("overview.png", factor_figure(factors_->kind + " of the mixture", all_components(), heard, mixture));
      save("stems.png", grid_figure(mixture, stems));
    } else {
      save("overview.png", grid_figure(mixture, stems));
    }
    for (std::size_t s = 0; s < stems.size(); ++s) {
      request_.stop.check();
      const std::string& name = request_.stems[s].name;
      if (!is_component(name)) save("target-" + records::path_component(name) + ".png", target_figure(name, stems[s]));
    }
    for (const int r : components) {
      request_.stop.check();
      const std::string& name = names_[sz(r)];
      const auto stem = std::ranges::find(request_.stems, name, &NamedSource::name);
      save(name + ".png",
           stem != request_.stems.end()
               ? factor_figure(fmt::format("component {}", r + 1), {{r}, {}}, "spectrogram of the stem",
                               stems[sz(stem - request_.stems.begin())])
               : factor_figure(component_heading(r), {{r}, {}}, "model W H", model_spectrogram(*factors_, r)));
    }
    return std::move(written_);
  }

 private:
  Spectrogram read_stem(const NamedSource& stem, const audio::StftSpec& spec, const Spectrogram& mixture) const {
    const auto source = stem.open();
    if (source->rate_hz() != static_cast<int>(scene_.rate_hz)) {
      throw Error({Code::invalid_argument,
                   stem.name,
                   "another rate than the mixture",
                   fmt::format("{} Hz", scene_.rate_hz),
                   fmt::format("{} Hz", source->rate_hz()),
                   {}});
    }
    Spectrogram out = read_spectrogram(*source, stem.name, centered(spec), request_.stop);
    if (std::abs(out.seconds - mixture.seconds) > 0.5 / scene_.rate_hz) {
      throw Error({Code::invalid_argument,
                   stem.name,
                   "another length than the mixture",
                   fmt::format("{} s", mixture.seconds),
                   fmt::format("{} s", out.seconds),
                   {}});
    }
    return out;
  }

  /// The loudest ones, in their order.
  std::vector<int> pictured_components() const {
    std::vector<int> out;
    if (!factors_) return out;
    const methods::FactorModel& f = *factors_;
    const int count = f.components, most = std::max(0, request_.components);
    std::vector<double> loudness(sz(count), 0.0);
    for (int r = 0; r < count; ++r) {
      out.push_back(r);
      double w = 0, h = 0;
      for (Index k = 0; k < f.bins; ++k) {
        for (int t = 0; t < f.template_frames; ++t) w += static_cast<double>(f.w_at(k, t, r));
      }
      for (Index n = 0; n < f.frames * f.channels; ++n) h += static_cast<double>(f.h_at(r, n));
      loudness[sz(r)] = w * h;
    }
    if (count <= most) return out;
    std::ranges::stable_sort(out, [&](int a, int b) { return loudness[sz(a)] > loudness[sz(b)]; });
    out.resize(sz(most));
    std::ranges::sort(out);
    core::log(request_.log, core::LogLevel::info,
              fmt::format("{}: pictures of {} of {} components, the loudest ones", request_.song, most, count));
    return out;
  }

  std::int64_t picture_count(const std::vector<int>& components) const {
    const auto targets =
        std::ranges::count_if(request_.stems, [&](const auto& stem) { return !is_component(stem.name); });
    return (factors_ ? 2 : 1) + targets + std::ssize(components);
  }

  // Stems come as audio, whatever framing the method had: frames that are centred alike lie at the same times.
  static audio::StftSpec centered(audio::StftSpec spec) {
    spec.framing = audio::Framing::centered_reflect;
    return spec;
  }

  void factorise() {
    const methods::MethodEntry* entry = registry_.method(info_.method);
    if (entry == nullptr || !entry->factor_model) return;
    const auto source = request_.mixture();
    const audio::AudioBuffer mixture = audio::read_all(*source);
    std::vector<std::string> names;
    std::vector<audio::AudioBuffer> references;
    for (const NamedSource& reference : request_.references) {  // empty where the method needs none
      const auto stem = reference.open();
      references.push_back(audio::read_all(*stem));
      if (!audio::same_shape(references.back(), mixture)) {
        throw Error({Code::invalid_argument, reference.name, "another shape than the mixture", {}, {}, {}});
      }
      names.push_back(reference.name);
    }
    const std::vector<audio::AudioView> views(references.begin(), references.end());
    // The method alone, without post-filters, and from the text that was given: what the separator says names a dictionary
    // by label and hash, not where it is.
    core::Spec spec = core::parse_spec(request_.spec);
    spec.filters.clear();
    methods::Options options;
    options.seed = request_.seed;
    options.threads = request_.threads;
    options.stop = request_.stop;
    factors_ = entry->factor_model(*registry_.make(spec), mixture.view(), names, views, options);
    names_ = factors_->names;
  }

  bool is_component(const std::string& stem) const { return std::ranges::find(names_, stem) != names_.end(); }

  /// All components; where targets have several, sorted by target.
  Selection all_components() const {
    Selection out;
    const int count = factors_->components;
    if (factors_->targets == names_) {
      for (int r = 0; r < count; ++r) out.components.push_back(r);
      return out;
    }
    for (int t = -1; t < static_cast<int>(factors_->targets.size()); ++t) {
      for (int r = 0; r < count; ++r) {
        if (factors_->target[sz(r)] != t) continue;
        out.components.push_back(r);
        out.group.push_back(t < 0 ? "unused" : factors_->targets[sz(t)]);
      }
    }
    return out;
  }

  std::string component_heading(int r) const {
    const int t = factors_->target[sz(r)];
    return fmt::format("component {} ({})", r + 1, t < 0 ? "unused" : factors_->targets[sz(t)]);
  }

  plots::Figure figure_of(const std::string& what) const {
    plots::Figure figure;
    figure.title = request_.song.empty() ? what : request_.song + ": " + what;
    figure.note = info_.is_random ? fmt::format("{}   seed {}", info_.spec, request_.seed) : info_.spec;
    return figure;
  }

  /// Templates on the left, activations above, spectrogram in the middle.
  plots::Figure factor_figure(const std::string& what, const Selection& selection, const std::string& title,
                              const Spectrogram& spectrogram) const {
    const bool single = selection.components.size() == 1;
    plots::Figure figure = figure_of(what);
    figure.row_weights = {single ? 0.3 : 0.5, 1};
    figure.column_weights = {single ? 0.2 : 0.35, 1};
    if (single) {
      figure.cells.push_back({0, 1, activation_curve(*factors_, selection.components[0], scene_)});
    } else {
      figure.cells.push_back({0, 1, activation_panel(*factors_, selection, scene_)});
    }
    if (single && factors_->template_frames == 1) {
      figure.cells.push_back({1, 0, template_curve(*factors_, selection.components[0], scene_)});
    } else {
      figure.cells.push_back({1, 0, template_panel(*factors_, selection, scene_)});
    }
    Heatmap centre = spectrogram_panel(title, spectrogram, scene_);
    centre.y.label.clear();
    figure.cells.push_back({1, 1, std::move(centre)});
    return figure;
  }

  plots::Figure target_figure(const std::string& name, const Spectrogram& spectrogram) const {
    if (factors_) {
      Selection own;
      for (int r = 0; r < factors_->components; ++r) {
        const int t = factors_->target[sz(r)];
        if (t >= 0 && factors_->targets[sz(t)] == name) own.components.push_back(r);
      }
      if (!own.components.empty()) return factor_figure(name, own, "spectrogram of the stem", spectrogram);
    }
    plots::Figure figure = figure_of(name);
    figure.height = 800;
    const auto truth = true_stems_.find(name);
    if (truth == true_stems_.end()) {
      figure.cells.push_back({0, 0, spectrogram_panel("", spectrogram, scene_)});
      return figure;
    }
    figure.width = 2200;
    figure.column_weights = {1, 1};
    Heatmap estimate = spectrogram_panel("estimate", spectrogram, scene_);
    estimate.color_bar = false;
    Heatmap original = spectrogram_panel("true stem", truth->second, scene_);
    original.y.label.clear();
    original.y.show_labels = false;
    figure.cells.push_back({0, 0, std::move(estimate)});
    figure.cells.push_back({0, 1, std::move(original)});
    return figure;
  }

  /// The mixture, and below it every estimate on the left of its true stem.
  plots::Figure pair_figure(const Spectrogram& mixture, const std::vector<Spectrogram>& stems) const {
    constexpr int kMost = 12;
    const int shown = std::min(kMost, static_cast<int>(stems.size()));
    plots::Figure figure = figure_of(std::ssize(stems) <= kMost
                                         ? "mixture, stems and true stems"
                                         : fmt::format("mixture, {} of {} stems and true stems", shown, stems.size()));
    figure.row_weights.assign(sz(shown + 1), 1.0);
    figure.column_weights = {1, 1};
    figure.width = 2200;
    figure.height = 160 + 260 * (shown + 1);
    figure.note += "   0 dB: the mixture's peak";
    const auto add = [&](int row, int column, std::string title, const Spectrogram& s, bool last) {
      Heatmap map = spectrogram_panel(std::move(title), s, scene_);
      if (column > 0) {
        map.y.label.clear();
        map.y.show_labels = false;
      }
      if (!last) {
        map.x.label.clear();
        map.x.show_labels = false;
      }
      map.color_bar = column == 1 || row == 0;
      map.color_label = "dB";
      figure.cells.push_back({row, column, std::move(map)});
    };
    add(0, 0, "mixture", mixture, shown == 0);
    for (int i = 0; i < shown; ++i) {
      const std::string& name = request_.stems[sz(i)].name;
      add(i + 1, 0, name + ": estimate", stems[sz(i)], i + 1 == shown);
      const auto truth = true_stems_.find(name);
      if (truth != true_stems_.end()) add(i + 1, 1, name + ": true stem", truth->second, i + 1 == shown);
    }
    return figure;
  }

  /// Mixture and stems; more than 24 stems share the picture with nobody: the rest have pictures of their own.
  plots::Figure grid_figure(const Spectrogram& mixture, const std::vector<Spectrogram>& stems) const {
    if (!true_stems_.empty()) return pair_figure(mixture, stems);
    constexpr int kMost = 24;
    const int count = 1 + std::min(kMost - 1, static_cast<int>(stems.size()));
    // Few pictures stand one above the other, so that times line up.
    const int columns = count <= 6 ? 1 : count <= 12 ? 2 : 3, rows = (count + columns - 1) / columns;
    plots::Figure figure =
        figure_of(std::ssize(stems) < kMost ? "mixture and stems"
                                            : fmt::format("mixture and {} of {} stems", count - 1, stems.size()));
    figure.row_weights.assign(sz(rows), 1.0);
    figure.column_weights.assign(sz(columns), 1.0);
    figure.width = columns <= 2 ? 1600 : 2200;
    figure.height = 160 + 260 * rows;
    figure.note += "   0 dB: the mixture's peak";
    for (int i = 0; i < count; ++i) {
      const int row = i / columns, column = i % columns;
      Heatmap map = i == 0 ? spectrogram_panel("mixture", mixture, scene_)
                           : spectrogram_panel(request_.stems[sz(i - 1)].name, stems[sz(i - 1)], scene_);
      // Numbers and labels at the outer panels only; the scale is one for all.
      if (column > 0) {
        map.y.label.clear();
        map.y.show_labels = false;
      }
      if (i + columns < count) {
        map.x.label.clear();
        map.x.show_labels = false;
      }
      map.color_bar = column == columns - 1 || i == count - 1;
      map.color_label = "dB";
      figure.cells.push_back({row, column, std::move(map)});
    }
    return figure;
  }

  void save(const std::string& name, const plots::Figure& figure) {
    written_.push_back(folder_ / name);
    plots::write_png(written_.back(), plots::render(figure));
    progress_.update(std::ssize(written_), name);
  }

  const methods::SeparatorInfo& info_;
  const methods::Registry& registry_;
  const PictureRequest& request_;
  fs::path folder_;
  std::optional<methods::FactorModel> factors_;
  std::vector<std::string> names_;
  Scene scene_;
  std::map<std::string, Spectrogram> true_stems_;
  core::Progress& progress_;
  std::vector<fs::path> written_;
};

}  // namespace

std::vector<fs::path> write_pictures(const methods::Separator& separator, const methods::Registry& registry,
                                     const PictureRequest& request, const fs::path& folder) {
  return Album(separator, registry, request, folder).draw();
}

}  // namespace mss::harness
