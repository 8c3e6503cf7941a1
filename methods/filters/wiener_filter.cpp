#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "audio/stft.h"
#include "core/error.h"
#include "core/parallel.h"
#include "methods/filters/aggregate.h"
#include "methods/filters/register.h"
#include "wiener/wiener.h"

namespace mss::methods::filters {
namespace {

using Complex = std::complex<float>;

enum class Input { automatic, magnitudes, stems };

/// What an initial estimate is made of.
struct Start {
  wiener::Initial initial = wiener::Initial::soft_mask;
  bool own_phase = false;  ///< the stems' complex STFT
};

struct Rule {
  wiener::Settings settings;
  Input input = Input::automatic;
  Start from_magnitudes, from_stems;
};

/// The mixture's samples that are read but not yet part of an output.
class Delay {
 public:
  explicit Delay(audio::Source& source) : source_(source), kept_(static_cast<std::size_t>(source.channels())) {}

  /// Reads up to n samples more; returns how many came.
  std::int64_t read(std::int64_t n) {
    if (block_.samples() < n) block_ = audio::AudioBuffer(source_.channels(), n, source_.rate_hz());
    std::int64_t got = 0;
    while (got < n) {
      const std::int64_t step = source_.read(block_.span().slice(got, n - got));
      if (step == 0) break;
      got += step;
    }
    for (int c = 0; c < source_.channels(); ++c) {
      const auto samples = block_.channel(c).first(static_cast<std::size_t>(got));
      kept_[static_cast<std::size_t>(c)].insert(kept_[static_cast<std::size_t>(c)].end(), samples.begin(),
                                                samples.end());
    }
    total_ += got;
    last_ = got;
    return got;
  }
  /// What the last read() brought.
  audio::AudioView latest() const { return block_.view().slice(0, last_); }
  std::int64_t held() const { return static_cast<std::int64_t>(kept_.front().size()) - begin_; }
  std::int64_t total() const { return total_; }
  std::span<const float> front(int c, std::int64_t n) const {
    return {kept_[static_cast<std::size_t>(c)].data() + begin_, static_cast<std::size_t>(n)};
  }
  void drop(std::int64_t n) {
    begin_ += n;
    const auto size = static_cast<std::int64_t>(kept_.front().size());
    // Moving the rest to the front costs its length, so it waits until that is no more than what goes.
    if (begin_ < size - begin_) return;
    for (auto& kept : kept_) kept.erase(kept.begin(), kept.begin() + begin_);
    begin_ = 0;
  }

 private:
  audio::Source& source_;
  audio::AudioBuffer block_;
  std::vector<std::vector<float>> kept_;
  std::int64_t begin_ = 0, total_ = 0, last_ = 0;
};

wiener::Grid<const Complex> grid_of(const audio::Spectrogram<float>& spectrogram) {
  return {spectrogram.data().data(), spectrogram.channels(), spectrogram.frames(), spectrogram.bins()};
}

class WienerSink final : public StemSink {
 public:
  WienerSink(const Rule& rule, std::string spec, bool magnitudes, audio::Source& mixture, StemSink& out,
             Context& context)
      : rule_(rule), spec_(std::move(spec)), magnitudes_(magnitudes), mixture_(mixture), out_(out), context_(context) {}

  bool wants_magnitudes() const override { return magnitudes_; }

  void begin(const StemFormat& format) override {
    StemFormat own = format;
    channels_ = format.channels;
    rate_hz_ = format.rate_hz;
    sources_ = static_cast<int>(format.targets.size());
    if (rule_.settings.mode == wiener::Mode::openunmix) refuse_what_openunmix_refuses();
    if (rule_.settings.residual) own.targets.push_back("residual");
    out_.begin(own);
  }

  void begin_magnitudes(const audio::StftSpec& spec) override { open_stream(spec, rule_.from_magnitudes); }

  void write_magnitudes(const MagnitudeBlock& block) override {
    if (unit_ == 1.0F) return push_magnitudes(*block.mixture, block.magnitudes);
    audio::Spectrogram<float> mixture = *block.mixture;
    std::vector<std::vector<float>> magnitudes = block.magnitudes;
    for (Complex& x : mixture.data()) x *= unit_;
    for (auto& plane : magnitudes) {
      for (float& v : plane) v *= unit_;
    }
    push_magnitudes(mixture, magnitudes);
  }

  void write(const StemBlock& block) override {
    const std::int64_t n = block.stems.empty() ? 0 : block.stems.front().samples();
    if (n == 0) return;
    if (!stream_) {
      const audio::StftSpec spec{.fft_size = 4096,
                                 .hop_samples = 1024,
                                 .window_samples = 0,
                                 .window = audio::WindowKind::hann,
                                 .framing = audio::Framing::centered_reflect,
                                 .scaling = audio::Scaling::none};
      open_stream(spec, rule_.from_stems);
      for (int i = 0; i <= sources_; ++i) forward_.emplace_back(spec, channels_);
    }
    if (mixture_.read(n) != n) fail_short();
    std::vector<audio::Spectrogram<float>> spectra(forward_.size());
    core::parallel_for(sources_ + 1, context_.threads, [&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i);
      spectra[at] = forward_[at].push(i == 0 ? mixture_.latest() : block.stems[at - 1]);
    });
    push_spectra(spectra);
  }

  void end() override {
    if (!forward_.empty()) {
      std::vector<audio::Spectrogram<float>> spectra(forward_.size());
      core::parallel_for(sources_ + 1, context_.threads, [&](std::int64_t i) {
        spectra[static_cast<std::size_t>(i)] = forward_[static_cast<std::size_t>(i)].finish();
      });
      push_spectra(spectra);
    }
    while (mixture_.read(65536) > 0) continue;
    if (!stream_) return;
    guarded([&] { stream_->finish(); });
    std::vector<audio::AudioBuffer> done(inverse_.size());
    core::parallel_for(static_cast<std::int64_t>(done.size()), context_.threads, [&](std::int64_t s) {
      done[static_cast<std::size_t>(s)] = inverse_[static_cast<std::size_t>(s)].finish(mixture_.total());
    });
    deliver(done);
  }

 private:
  void refuse_what_openunmix_refuses() const {
    const bool lonely = sources_ == 1 && rule_.settings.iterations > 0 && !rule_.settings.residual;
    if (channels_ <= 2 && !lonely) return;
    throw Error({.code = Code::invalid_argument,
                 .where = spec_,
                 .what = lonely ? "open-unmix's filter does not iterate on a single target"
                                : "open-unmix's filter knows one or two channels",
                 .expected = lonely ? "two targets, or residual=true, or iters=0" : "1 or 2 channels",
                 .found = lonely ? "one target" : fmt::format("{} channels", channels_),
                 .hint = "mode=clean has no such limit"});
  }

  [[noreturn]] void fail_short() const {
    throw Error({.code = Code::method_contract,
                 .where = spec_,
                 .what = "the stems are longer than the mixture",
                 .expected = fmt::format("at most {} samples", mixture_.total()),
                 .found = "more",
                 .hint = {}});
  }

  template <class Work>
  void guarded(const Work& work) const {
    try {
      work();
    } catch (const Error& error) {
      throw error.with_context(spec_);
    }
  }

  void push_magnitudes(const audio::Spectrogram<float>& x, const std::vector<std::vector<float>>& magnitudes) {
    wiener::Sources<float> sources;
    for (const auto& v : magnitudes) {
      sources.magnitudes.push_back({v.data(), x.channels(), x.frames(), x.bins()});
    }
    push(grid_of(x), sources);
  }

  void open_stream(const audio::StftSpec& spec, const Start& start) {
    // The references' regulariser is absolute and meant for an STFT without scaling.
    if (rule_.settings.mode != wiener::Mode::clean && spec.scaling == audio::Scaling::window_sum) {
      const int size = spec.window_samples > 0 ? spec.window_samples : spec.fft_size;
      for (const float w : audio::make_window<float>(spec.window, size)) window_sum_ += w;
      unit_ = static_cast<float>(window_sum_);
    }
    settings_ = rule_.settings;
    settings_.initial = start.initial;
    own_phase_ = start.own_phase;
    const int outputs = wiener::output_count(sources_, settings_);
    for (int s = 0; s < outputs; ++s) inverse_.emplace_back(spec, channels_, rate_hz_);
    stream_.emplace(settings_, channels_, sources_, spec.bins(), own_phase_, context_.threads,
                    [this](std::int64_t, const auto& outputs_now) { emit(outputs_now); });
  }

  void push(const wiener::Grid<const Complex>& mixture, const wiener::Sources<float>& sources) {
    context_.stop.check();
    guarded([&] { stream_->push(mixture, sources); });
  }

  void push_spectra(const std::vector<audio::Spectrogram<float>>& spectra) {
    const audio::Spectrogram<float>& x = spectra.front();
    if (x.frames() == 0) return;
    wiener::Sources<float> sources;
    std::vector<std::vector<float>> sizes(own_phase_ ? 0 : static_cast<std::size_t>(sources_));
    if (!own_phase_) {
      core::parallel_for(sources_, context_.threads, [&](std::int64_t j) {
        const auto at = static_cast<std::size_t>(j);
        for (const Complex z : spectra[at + 1].data()) {
          const double re = z.real(), im = z.imag();
          sizes[at].push_back(static_cast<float>(std::sqrt(re * re + im * im)));
        }
      });
    }
    for (std::size_t j = 0; j < static_cast<std::size_t>(sources_); ++j) {
      if (own_phase_) {
        sources.estimates.push_back(grid_of(spectra[j + 1]));
      } else {
        sources.magnitudes.push_back({sizes[j].data(), x.channels(), x.frames(), x.bins()});
      }
    }
    push(grid_of(x), sources);
  }

  void emit(const std::vector<wiener::Grid<const Complex>>& outputs) {
    context_.stop.check();
    std::vector<audio::AudioBuffer> done(inverse_.size());
    core::parallel_for(static_cast<std::int64_t>(done.size()), context_.threads, [&](std::int64_t s) {
      const auto at = static_cast<std::size_t>(s);
      const wiener::Grid<const Complex>& y = outputs[at];
      audio::Spectrogram<float> frames(y.channels, y.frames, y.bins);
      for (int c = 0; c < y.channels; ++c) {
        for (std::int64_t n = 0; n < y.frames; ++n) std::copy_n(y.row(c, n), y.bins, frames.at(c, n));
      }
      if (unit_ != 1.0F) {
        for (Complex& z : frames.data()) z /= unit_;
      }
      done[at] = inverse_[at].push(frames);
    });
    deliver(done);
  }

  void deliver(std::vector<audio::AudioBuffer>& stems) {
    const std::int64_t n = stems.front().samples();
    if (n == 0) return;
    if (mixture_.held() < n) mixture_.read(n - mixture_.held());
    if (mixture_.held() < n) fail_short();
    if (settings_.mode == wiener::Mode::clean) {
      for (int c = 0; c < channels_; ++c) give_back(stems, c, mixture_.front(c, n));
    }
    mixture_.drop(n);
    StemBlock block{.begin = written_, .stems = {}};
    for (const audio::AudioBuffer& stem : stems) block.stems.push_back(stem);
    out_.write(block);
    written_ += n;
    if (context_.progress) context_.progress(written_);
  }

  /// Rounding of float32 transforms, and samples that the method's STFT does not reach.
  void give_back(std::vector<audio::AudioBuffer>& stems, int c, std::span<const float> mixture) const {
    const std::size_t first = settings_.residual ? stems.size() - 1 : 0;
    const double share = 1.0 / static_cast<double>(stems.size() - first);
    for (std::size_t t = 0; t < mixture.size(); ++t) {
      double rest = mixture[t];
      for (audio::AudioBuffer& stem : stems) rest -= stem.channel(c)[t];
      for (std::size_t s = first; s < stems.size(); ++s) {
        float& sample = stems[s].channel(c)[t];
        sample = static_cast<float>(sample + share * rest);
      }
    }
  }

  Rule rule_;
  std::string spec_;
  bool magnitudes_;
  Delay mixture_;
  StemSink& out_;
  Context& context_;
  wiener::Settings settings_;
  bool own_phase_ = false;
  double window_sum_ = 0;
  float unit_ = 1;  ///< the filter sees spectra times this
  int channels_ = 0, rate_hz_ = 0, sources_ = 0;
  std::optional<wiener::Stream<float>> stream_;
  std::vector<audio::StreamingStft> forward_;
  std::vector<audio::StreamingIstft> inverse_;
  std::int64_t written_ = 0;
};

class WienerFilter final : public PostFilter {
 public:
  WienerFilter(Rule rule, std::string spec, core::Value options)
      : rule_(std::move(rule)), spec_(std::move(spec)), options_(std::move(options)) {}

  std::string spec() const override { return spec_; }
  core::Value resolved_options() const override { return options_; }

  std::vector<std::string> targets(const std::vector<std::string>& input) const override {
    if (!rule_.settings.residual) return input;
    if (std::ranges::find(input, "residual") != input.end()) {
      throw Error({.code = Code::invalid_argument,
                   .where = spec_,
                   .what = "there is a target called residual already",
                   .expected = "stems without it",
                   .found = "residual",
                   .hint = "leave residual=true out"});
    }
    std::vector<std::string> names = input;
    names.push_back("residual");
    return names;
  }

  bool wants_magnitudes(const SeparatorInfo& method) const override {
    if (rule_.input == Input::magnitudes && !method.offers_magnitudes) {
      throw Error({.code = Code::config,
                   .where = spec_,
                   .what = fmt::format("'{}' offers no magnitudes", method.spec),
                   .expected = "a method that works by masking, directly before the filter",
                   .found = "input=magnitudes",
                   .hint = "use input=stems or input=auto"});
    }
    return rule_.input != Input::stems && method.offers_magnitudes;
  }

  std::unique_ptr<StemSink> open(const SeparatorInfo& method, audio::Source& mixture, StemSink& out,
                                 Context& context) const override {
    return std::make_unique<WienerSink>(rule_, method.spec + "|" + spec_, wants_magnitudes(method), mixture, out,
                                        context);
  }

 private:
  Rule rule_;
  std::string spec_;
  core::Value options_;
};

[[noreturn]] void contradiction(const core::SpecPart& spec, std::string what, std::string expected) {
  throw Error({.code = Code::config,
               .where = to_string(spec),
               .what = std::move(what),
               .expected = std::move(expected),
               .found = {},
               .hint = {}});
}

const char* const kReferences = "Nugraha, Liutkus, Vincent 2016; norbert 0.2.1; open-unmix filtering.py";

core::ParamTable params() {
  using core::ParamType;
  return {
      {.name = "iters",
       .type = ParamType::integer,
       .default_value = "1",
       .unit = "",
       .range = "[0,1000]",
       .help = "Iterations of expectation-maximisation; 0 keeps the initial estimate.",
       .source = kReferences},
      {.name = "mode",
       .type = ParamType::choice,
       .default_value = "clean",
       .unit = "",
       .range = "clean|norbert|openunmix",
       .help = "Ours (overlapping windows, no scale, exact sum), or a reference's numbers with its defects.",
       .source = kReferences},
      {.name = "residual",
       .type = ParamType::boolean,
       .default_value = "false",
       .unit = "",
       .range = "",
       .help = "Adds a target `residual` for what the method's stems leave over.",
       .source = kReferences},
      {.name = "window",
       .type = ParamType::integer,
       .default_value = "300",
       .unit = "frames",
       .range = "[0,1000000000]",
       .help = "Frames that share one set of spatial covariances; 0 = the whole track, which is then held in memory.",
       .source = "open-unmix: wiener_win_len"},
      {.name = "overlap",
       .type = ParamType::integer,
       .default_value = "",
       .unit = "frames",
       .range = "[0,500000000]",
       .help = "Frames in which neighbouring windows are cross-faded, at most half a window; default window / 4. "
               "Only mode=clean.",
       .source = ""},
      {.name = "input",
       .type = ParamType::choice,
       .default_value = "auto",
       .unit = "",
       .range = "auto|magnitudes|stems",
       .help = "The method's magnitudes on its own STFT, or the STFT (4096/1024) of its stems; auto: magnitudes where "
               "the method offers them.",
       .source = ""},
      {.name = "softmask",
       .type = ParamType::choice,
       .default_value = "auto",
       .unit = "",
       .range = "auto|true|false",
       .help = "Initial estimate by a ratio mask, or magnitudes with a phase; auto: as norbert in mode=norbert, as "
               "open-unmix in mode=openunmix, else a ratio mask of magnitudes and stems as they are.",
       .source = kReferences},
      {.name = "alpha",
       .type = ParamType::real,
       .default_value = "1",
       .unit = "",
       .range = "(0,8]",
       .help = "Exponent of the ratio mask; a value other than 1 asks for the ratio mask.",
       .source = "norbert"},
      {.name = "phase",
       .type = ParamType::choice,
       .default_value = "auto",
       .unit = "",
       .range = "auto|mixture|stems",
       .help = "Phase of an initial estimate without a ratio mask: the mixture's, or the stems' own (input=stems).",
       .source = ""},
      {.name = "eps",
       .type = ParamType::real,
       .default_value = "",
       .unit = "",
       .range = "[1e-30,1]",
       .help = "Regulariser: its root is added to the covariance of the mixture (clean: relative to each source's "
               "covariance); default 1e-10, in mode=norbert 2^-23.",
       .source = kReferences},
  };
}

std::unique_ptr<PostFilter> make(const core::Params& values, const core::SpecPart& spec) {
  Rule rule;
  wiener::Settings& settings = rule.settings;
  const std::string& mode = values.text("mode");
  settings.mode = mode == "norbert"     ? wiener::Mode::norbert
                  : mode == "openunmix" ? wiener::Mode::openunmix
                                        : wiener::Mode::clean;
  settings.iterations = static_cast<int>(values.integer("iters"));
  settings.residual = values.boolean("residual");
  settings.window_frames = values.integer("window");
  settings.alpha = values.real("alpha");
  if (values.is_set("overlap")) settings.overlap_frames = values.integer("overlap");
  if (values.is_set("eps")) settings.eps = values.real("eps");
  try {
    settings.check();
  } catch (const Error& error) {
    ErrorParts parts = error.parts();
    parts.code = Code::config;
    parts.where = to_string(spec);
    throw Error(parts);
  }

  const std::string &input = values.text("input"), &softmask = values.text("softmask"), &phase = values.text("phase");
  rule.input = input == "stems" ? Input::stems : input == "magnitudes" ? Input::magnitudes : Input::automatic;
  const bool shaped = settings.alpha != 1.0;
  if (shaped && softmask == "false") contradiction(spec, "alpha has no meaning with softmask=false", "softmask=true");
  if (phase == "stems" && (softmask == "true" || shaped)) {
    contradiction(spec, "a ratio mask has the mixture's phase", "phase=mixture, or softmask=false");
  }
  if (phase == "stems" && rule.input != Input::stems) {
    contradiction(spec, "magnitudes have no phase of their own", "input=stems with phase=stems");
  }
  const bool clean = settings.mode == wiener::Mode::clean;
  const bool soft = softmask == "true" || shaped ||
                    (softmask == "auto" && phase == "auto" && settings.mode != wiener::Mode::openunmix);
  const bool own = phase == "stems" || (clean && phase == "auto" && softmask != "true" && !shaped);
  rule.from_magnitudes.initial = soft ? wiener::Initial::soft_mask : wiener::Initial::mixture_phase;
  rule.from_stems = {.initial = rule.from_magnitudes.initial, .own_phase = own};

  core::Value options = values.resolved();
  options["eps"] = settings.resolved_eps(true);
  options["overlap"] = settings.resolved_overlap();
  return std::make_unique<WienerFilter>(std::move(rule), to_string(spec), std::move(options));
}

}  // namespace

void add_filters(methods::Registry& registry) {
  FilterEntry entry;
  entry.name = "wiener";
  entry.summary = "Multichannel Wiener filter: EM with one full-rank spatial covariance per source and bin.";
  entry.params = params();
  entry.make = make;
  registry.add(std::move(entry));
  add_aggregate(registry);
}

}  // namespace mss::methods::filters
