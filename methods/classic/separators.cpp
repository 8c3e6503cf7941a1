#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <utility>

#include "audio/stft.h"
#include "core/error.h"
#include "core/parallel.h"
#include "methods/classic/dft2.h"
#include "methods/classic/hpss.h"
#include "methods/classic/register.h"
#include "methods/classic/repet.h"
#include "methods/classic/rpca.h"

namespace mss::methods::classic {
namespace {

using audio::AudioBuffer;
using audio::Spectrogram;
using core::Param;
using core::ParamType;

std::vector<float> magnitudes(const Spectrogram<float>& x, int channel) {
  const auto count = static_cast<std::size_t>(x.frames() * x.bins());
  std::vector<float> v(count);
  const std::complex<float>* in = x.at(channel, 0);
  for (std::size_t i = 0; i < count; ++i) v[i] = std::hypot(in[i].real(), in[i].imag());
  return v;
}

/// Mean over channels of the magnitudes.
std::vector<float> mean_magnitudes(const Spectrogram<float>& x) {
  std::vector<float> sum = magnitudes(x, 0);
  for (int c = 1; c < x.channels(); ++c) {
    const std::vector<float> v = magnitudes(x, c);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += v[i];
  }
  for (float& s : sum) s /= static_cast<float>(x.channels());
  return sum;
}

void apply(Spectrogram<float>& x, int channel, const std::vector<float>& mask) {
  std::complex<float>* p = x.at(channel, 0);
  for (std::size_t i = 0; i < mask.size(); ++i) p[i] *= mask[i];
}

AudioBuffer difference(audio::AudioView a, audio::AudioView b) {
  AudioBuffer out(a);
  for (int c = 0; c < out.channels(); ++c) {
    const auto y = out.channel(c);
    const auto x = b.channel(c);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] -= x[i];
  }
  return out;
}

/// The bins below `hertz`, direct current left out, belong to the background: 1 … round(hertz fft / rate).
void keep_low_bins(std::vector<float>& mask, int bins, int fft_size, int rate_hz, double hertz) {
  const int last = std::min(bins - 1, static_cast<int>(std::lround(hertz * fft_size / rate_hz)));
  for (std::size_t frame = 0; frame < mask.size(); frame += static_cast<std::size_t>(bins)) {
    for (int k = 1; k <= last; ++k) mask[frame + static_cast<std::size_t>(k)] = 1.0f;
  }
}

/// A method that needs the whole mixture; derived classes return one buffer per target.
class WholeFile : public Separator {
 protected:
  WholeFile(const core::Params& params, const core::SpecPart& spec, std::vector<std::string> targets)
      : Separator(make_info(params, spec, std::move(targets))) {}
  virtual std::vector<AudioBuffer> stems(const AudioBuffer& mixture, Context& context) const = 0;

 private:
  static SeparatorInfo make_info(const core::Params& params, const core::SpecPart& spec,
                                 std::vector<std::string> targets) {
    SeparatorInfo info;
    info.spec = to_string(spec);
    info.method = spec.name;
    info.targets = std::move(targets);
    info.streams = false;
    info.resolved_options = params.resolved();
    return info;
  }
  void do_separate(audio::Source& source, StemSink& sink, Context& context) const override {
    const AudioBuffer mixture = audio::read_all(source);
    sink.begin({.targets = context.targets,
                .channels = mixture.channels(),
                .rate_hz = mixture.rate_hz(),
                .samples = mixture.samples()});
    const std::vector<AudioBuffer> out = stems(mixture, context);
    sink.write({.begin = 0, .stems = std::vector<audio::AudioView>(out.begin(), out.end())});
    if (context.progress) context.progress(mixture.samples());
  }
};

Param fft_param(const char* size) {
  return {"fft", ParamType::integer, size, "samples", "[16,65536]", "STFT window and FFT size (even).", ""};
}
Param hop_param(const char* size) { return {"hop", ParamType::integer, size, "samples", "[1,65536]", "STFT hop.", ""}; }

audio::StftSpec stft_spec(const core::Params& params, audio::WindowKind window, audio::Framing framing) {
  return {.fft_size = static_cast<int>(params.integer("fft")),
          .hop_samples = static_cast<int>(params.integer("hop")),
          .window = window,
          .framing = framing};
}

// ---------------------------------------------------------------------------------------------------------------- HPSS

const core::ParamTable& hpss_table() {
  static const core::ParamTable table{
      fft_param("2048"),
      hop_param("512"),
      {"kernel-frames", ParamType::integer, "31", "frames", "[1,1001]", "Length of the median over time (odd).",
       "FitzGerald 2010"},
      {"kernel-bins", ParamType::integer, "31", "bins", "[1,1001]", "Length of the median over frequency (odd).",
       "FitzGerald 2010"},
      {"power", ParamType::real, "2", "", "(0,10]", "Exponent of the soft masks.", "librosa"},
      {"margin", ParamType::real, "1", "", "[1,100]", "Separation margin; above 1 leaves a residual.", "Driedger 2014"},
      {"passes", ParamType::integer, "1", "", "[1,2]",
       "2: harmonic part with a 4096 window first, percussive part of the rest with a 256 window.", "Driedger 2014"},
      {"residual", ParamType::boolean, "false", "", "",
       "Yield what is neither as a third stem; else it stays with harmonic.", ""},
  };
  return table;
}

/// Harmonic and percussive part of `mixture`; what the margins leave is in neither.
struct HpssParts {
  AudioBuffer harmonic, percussive;
};

HpssParts hpss_parts(const AudioBuffer& mixture, const audio::StftSpec& spec, const HpssOptions& options, int threads) {
  const audio::Stft<float> stft(spec);
  Spectrogram<float> harmonic = stft.forward(mixture, threads);
  Spectrogram<float> percussive = harmonic;
  for (int c = 0; c < mixture.channels(); ++c) {
    const std::vector<float> v = magnitudes(harmonic, c);
    const HpssMasks<float> masks = hpss_masks(v, harmonic.frames(), harmonic.bins(), options, threads);
    apply(harmonic, c, masks.harmonic);
    apply(percussive, c, masks.percussive);
  }
  return {stft.inverse(harmonic, mixture.samples(), mixture.rate_hz(), threads),
          stft.inverse(percussive, mixture.samples(), mixture.rate_hz(), threads)};
}

class Hpss final : public WholeFile {
 public:
  Hpss(const core::Params& params, const core::SpecPart& spec)
      : WholeFile(params, spec,
                  params.boolean("residual") ? std::vector<std::string>{"drums", "harmonic", "residual"}
                                             : std::vector<std::string>{"drums", "harmonic"}),
        stft_(stft_spec(params, audio::WindowKind::hann, audio::Framing::centered_reflect)),
        two_passes_(params.integer("passes") == 2),
        residual_(params.boolean("residual")) {
    options_.kernel_frames = static_cast<int>(params.integer("kernel-frames"));
    options_.kernel_bins = static_cast<int>(params.integer("kernel-bins"));
    options_.power = params.real("power");
    options_.margin_harmonic = options_.margin_percussive = params.real("margin");
    (void)audio::Stft<float>(stft_);  // refuses bad sizes before any audio is read
    hpss_masks(std::vector<float>(1, 0.0f), 1, 1, options_, 1);
  }

 private:
  std::vector<AudioBuffer> stems(const AudioBuffer& mixture, Context& context) const override {
    HpssParts parts;
    if (two_passes_) {
      audio::StftSpec first = stft_, second = stft_;
      first.fft_size = 4096;
      first.hop_samples = 1024;
      second.fft_size = 256;
      second.hop_samples = 64;
      parts.harmonic = hpss_parts(mixture, first, options_, context.threads).harmonic;
      context.stop.check();
      parts.percussive = hpss_parts(difference(mixture, parts.harmonic), second, options_, context.threads).percussive;
    } else {
      parts = hpss_parts(mixture, stft_, options_, context.threads);
    }
    AudioBuffer rest = difference(mixture, parts.percussive);
    std::vector<AudioBuffer> out;
    out.push_back(std::move(parts.percussive));
    if (residual_) {
      AudioBuffer residual = difference(rest, parts.harmonic);
      out.push_back(std::move(parts.harmonic));
      out.push_back(std::move(residual));
    } else {
      out.push_back(std::move(rest));
    }
    return out;
  }

  audio::StftSpec stft_;
  HpssOptions options_;
  bool two_passes_, residual_;
};

// --------------------------------------------------------------------------------------------- background / foreground

/// Vocals = mixture minus a background that a mask per channel yields.
class Background : public WholeFile {
 protected:
  Background(const core::Params& params, const core::SpecPart& spec, audio::WindowKind window)
      : WholeFile(params, spec, {"vocals", "accompaniment"}),
        stft_(stft_spec(params, window, audio::Framing::scipy)),
        low_hz_(params.real("low")) {
    (void)audio::Stft<float>(stft_);
  }
  /// One mask per channel.
  virtual std::vector<std::vector<float>> masks(const Spectrogram<float>& x, int rate_hz, Context& context) const = 0;
  const audio::StftSpec& spec() const { return stft_; }

  std::vector<AudioBuffer> stems(const AudioBuffer& mixture, Context& context) const override {
    const audio::Stft<float> stft(stft_);
    Spectrogram<float> x = stft.forward(mixture, context.threads);
    std::vector<std::vector<float>> all = masks(x, mixture.rate_hz(), context);
    for (int c = 0; c < x.channels(); ++c) {
      std::vector<float>& mask = all[static_cast<std::size_t>(c)];
      if (low_hz_ > 0) keep_low_bins(mask, x.bins(), stft_.fft_size, mixture.rate_hz(), low_hz_);
      apply(x, c, mask);
    }
    std::vector<AudioBuffer> out(2);
    out[1] = stft.inverse(x, mixture.samples(), mixture.rate_hz(), context.threads);
    out[0] = difference(mixture, out[1]);
    return out;
  }

 private:
  audio::StftSpec stft_;
  double low_hz_;
};

const Param kLow{"low",       ParamType::real, "100",
                 "Hz",        "[0,1000]",      "Everything below this belongs to the accompaniment.",
                 "Rafii 2013"};

class Repet final : public Background {
 public:
  static const core::ParamTable& table() {
    static const core::ParamTable table{
        fft_param("2048"),
        hop_param("1024"),
        kLow,
        {"min-period", ParamType::real, "1", "s", "(0,100]", "Shortest repeating period.", "Rafii 2013"},
        {"max-period", ParamType::real, "10", "s", "(0,1000]", "Longest period; also limited to a third of the length.",
         "Rafii 2013"},
    };
    return table;
  }
  Repet(const core::Params& params, const core::SpecPart& spec)
      : Background(params, spec, audio::WindowKind::hamming),
        low_(params.real("min-period")),
        high_(params.real("max-period")) {}

 private:
  std::vector<std::vector<float>> masks(const Spectrogram<float>& x, int rate_hz, Context& context) const override {
    std::vector<std::vector<float>> v;
    std::vector<double> power(static_cast<std::size_t>(x.frames() * x.bins()), 0.0);
    for (int c = 0; c < x.channels(); ++c) {
      v.push_back(magnitudes(x, c));
      for (std::size_t i = 0; i < power.size(); ++i) power[i] += static_cast<double>(v.back()[i]);
    }
    for (double& p : power) p = (p / x.channels()) * (p / x.channels());
    const std::vector<double> beat = beat_spectrum(power, x.frames(), x.bins(), context.threads);
    context.stop.check();
    const double frames_per_s = static_cast<double>(rate_hz) / spec().hop_samples;
    const std::int64_t period = repeating_period(
        beat, static_cast<std::int64_t>(std::ceil(low_ * frames_per_s)),
        std::min<std::int64_t>(static_cast<std::int64_t>(std::floor(high_ * frames_per_s)), x.frames() / 3));
    for (auto& channel : v) {
      // Too short for a period: nothing repeats, the background is empty.
      channel = period == 0 ? std::vector<float>(channel.size(), 0.0f)
                            : repet_mask(channel, x.frames(), x.bins(), period, context.threads);
    }
    return v;
  }
  double low_, high_;
};

class RepetSim final : public Background {
 public:
  static const core::ParamTable& table() {
    static const core::ParamTable table{
        fft_param("2048"),
        hop_param("1024"),
        kLow,
        {"distance", ParamType::real, "1", "s", "(0,60]", "Least distance of two similar frames.", "Rafii 2012"},
        {"neighbours", ParamType::integer, "100", "", "[1,10000]", "Most similar frames used for one frame.",
         "Rafii 2012"},
        {"threshold", ParamType::real, "0", "", "[0,1]", "Least similarity.", "Rafii 2012"},
    };
    return table;
  }
  RepetSim(const core::Params& params, const core::SpecPart& spec)
      : Background(params, spec, audio::WindowKind::hamming), distance_s_(params.real("distance")) {
    options_.threshold = params.real("threshold");
    options_.max_neighbours = static_cast<int>(params.integer("neighbours"));
  }

 private:
  std::vector<std::vector<float>> masks(const Spectrogram<float>& x, int rate_hz, Context& context) const override {
    SimilarityOptions options = options_;
    options.distance_frames = std::max<std::int64_t>(1, std::llround(distance_s_ * rate_hz / spec().hop_samples));
    const auto neighbours = similar_frames(mean_magnitudes(x), x.frames(), x.bins(), options, context.threads);
    context.stop.check();
    std::vector<std::vector<float>> out;
    for (int c = 0; c < x.channels(); ++c) {
      out.push_back(repet_sim_mask(magnitudes(x, c), x.frames(), x.bins(), neighbours, context.threads));
    }
    return out;
  }
  SimilarityOptions options_;
  double distance_s_;
};

class Dft2 final : public Background {
 public:
  static const core::ParamTable& table() {
    static const core::ParamTable table{
        fft_param("2048"),
        hop_param("512"),
        kLow,
        {"neighbourhood", ParamType::integer, "25", "", "[3,1001]",
         "Points of the neighbourhood along the rate axis (odd).", "Seetharaman 2017"},
        {"original", ParamType::boolean, "false", "", "", "Binary peaks by a global threshold.", "Seetharaman 2017"},
    };
    return table;
  }
  Dft2(const core::Params& params, const core::SpecPart& spec)
      : Background(params, spec, audio::WindowKind::sqrt_hann),
        options_{static_cast<int>(params.integer("neighbourhood")), params.boolean("original")} {
    dft2_mask({0.0f}, 1, 1, options_);
  }

 private:
  std::vector<std::vector<float>> masks(const Spectrogram<float>& x, int, Context& context) const override {
    std::vector<std::vector<float>> out(static_cast<std::size_t>(x.channels()));
    core::parallel_for(x.channels(), context.threads, [&](std::int64_t c) {
      out[static_cast<std::size_t>(c)] = dft2_mask(magnitudes(x, static_cast<int>(c)), x.frames(), x.bins(), options_);
    });
    return out;
  }
  Dft2Options options_;
};

class Rpca final : public Background {
 public:
  static const core::ParamTable& table() {
    static const core::ParamTable table{
        fft_param("2048"),
        hop_param("512"),
        {"low", ParamType::real, "0", "Hz", "[0,1000]", "Everything below this belongs to the accompaniment.",
         "Rafii 2013"},
        {"iterations", ParamType::integer, "100", "", "[1,1000]", "Most iterations.", "Huang 2012"},
        {"tolerance", ParamType::real, "1e-7", "", "(0,1)", "Relative residual to stop at.", "Huang 2012"},
        {"lambda", ParamType::real, "1", "", "(0,100]", "Weight of the sparse part, times 1/sqrt(max(F, N)).",
         "Huang 2012"},
    };
    return table;
  }
  Rpca(const core::Params& params, const core::SpecPart& spec) : Background(params, spec, audio::WindowKind::hann) {
    options_.max_iterations = static_cast<int>(params.integer("iterations"));
    options_.tolerance = params.real("tolerance");
    options_.lambda_scale = params.real("lambda");
  }

 private:
  std::vector<std::vector<float>> masks(const Spectrogram<float>& x, int, Context& context) const override {
    std::vector<std::vector<float>> out(static_cast<std::size_t>(x.channels()));
    core::parallel_for(x.channels(), context.threads, [&](std::int64_t c) {
      const RpcaResult parts = rpca(magnitudes(x, static_cast<int>(c)), x.frames(), x.bins(), options_, context.stop);
      std::vector<float>& mask = out[static_cast<std::size_t>(c)];
      mask.resize(parts.sparse.size());
      for (std::size_t i = 0; i < mask.size(); ++i) {
        mask[i] = std::abs(parts.sparse[i]) <= std::abs(parts.low_rank[i]) ? 1.0f : 0.0f;
      }
    });
    return out;
  }
  RpcaOptions options_;
};

// ----------------------------------------------------------------------------------------------------------- classic-4

/// REPET-SIM takes the vocals, HPSS the drums of the rest, a low-pass of the harmonic part the bass; other is what is
/// left.
class Classic4 final : public WholeFile {
 public:
  static const core::ParamTable& table() {
    static const core::ParamTable table{
        {"bass-low", ParamType::real, "150", "Hz", "[20,1000]", "Below this the harmonic part is all bass.", ""},
        {"bass-high", ParamType::real, "250", "Hz", "[20,2000]", "Above this it is all other; raised cosine between.",
         ""},
    };
    return table;
  }
  Classic4(const core::Params& params, const core::SpecPart& spec, std::unique_ptr<Separator> vocals)
      : WholeFile(params, spec, {"vocals", "drums", "bass", "other"}),
        vocals_(std::move(vocals)),
        low_hz_(params.real("bass-low")),
        high_hz_(params.real("bass-high")) {
    if (high_hz_ < low_hz_) {
      throw Error({Code::config, info_.spec, "bass-high lies below bass-low", "bass-low <= bass-high", "", ""});
    }
  }

 private:
  std::vector<AudioBuffer> stems(const AudioBuffer& mixture, Context& context) const override {
    Options options;
    options.threads = context.threads;
    options.stop = context.stop;
    StemSet first = vocals_->separate(mixture.view(), options);
    const AudioBuffer& background = first.audio[1];
    const audio::StftSpec spec{.fft_size = 2048, .hop_samples = 512};
    HpssParts parts = hpss_parts(background, spec, {}, context.threads);
    const audio::Stft<float> stft({.fft_size = 4096, .hop_samples = 1024});
    Spectrogram<float> low = stft.forward(parts.harmonic, context.threads);
    std::vector<float> gain(static_cast<std::size_t>(low.bins()));
    for (int k = 0; k < low.bins(); ++k) {
      const double hz = static_cast<double>(k) * mixture.rate_hz() / 4096;
      const double x =
          high_hz_ > low_hz_ ? std::clamp((hz - low_hz_) / (high_hz_ - low_hz_), 0.0, 1.0) : (hz > low_hz_ ? 1.0 : 0.0);
      gain[static_cast<std::size_t>(k)] = static_cast<float>(0.5 + 0.5 * std::cos(std::numbers::pi * x));
    }
    for (int c = 0; c < low.channels(); ++c) {
      for (std::int64_t n = 0; n < low.frames(); ++n) {
        std::complex<float>* frame = low.at(c, n);
        for (std::size_t k = 0; k < gain.size(); ++k) frame[k] *= gain[k];
      }
    }
    std::vector<AudioBuffer> out(4);
    out[2] = stft.inverse(low, mixture.samples(), mixture.rate_hz(), context.threads);
    out[3] = difference(difference(background, parts.percussive), out[2]);
    out[1] = std::move(parts.percussive);
    out[0] = std::move(first.audio[0]);
    return out;
  }

  std::unique_ptr<Separator> vocals_;
  double low_hz_, high_hz_;
};

template <class M>
void add(Registry& registry, const char* name, const char* summary, const core::ParamTable& table) {
  MethodEntry entry;
  entry.name = name;
  entry.family = "classic";
  entry.summary = summary;
  entry.params = table;
  entry.make = [](const core::Params& params, const core::SpecPart& spec) -> std::unique_ptr<Separator> {
    return std::make_unique<M>(params, spec);
  };
  registry.add(std::move(entry));
}

}  // namespace

void add_methods(Registry& registry) {
  add<Hpss>(registry, "hpss", "Harmonic-percussive separation by median filtering: drums against the rest.",
            hpss_table());
  add<Repet>(registry, "repet", "REPET: the periodically repeating background against the voice.", Repet::table());
  add<RepetSim>(registry, "repet-sim",
                "REPET-SIM: background from similar frames anywhere in the song, against the voice.",
                RepetSim::table());
  add<Dft2>(registry, "2dft", "2DFT: background as peaks of the spectrogram's 2-D Fourier transform.", Dft2::table());
  add<Rpca>(registry, "rpca", "Robust PCA: low-rank background against a sparse voice.", Rpca::table());

  MethodEntry cascade;
  cascade.name = "classic-4";
  cascade.family = "classic";
  cascade.summary = "Cascade of REPET-SIM, HPSS and a low-pass that fills all four stems.";
  cascade.params = Classic4::table();
  cascade.make = [](const core::Params& params, const core::SpecPart& spec) -> std::unique_ptr<Separator> {
    const core::SpecPart vocals{"repet-sim", "", {}};
    return std::make_unique<Classic4>(
        params, spec, std::make_unique<RepetSim>(core::Params::resolve(RepetSim::table(), {}, "repet-sim"), vocals));
  };
  registry.add(std::move(cascade));
}

}  // namespace mss::methods::classic
