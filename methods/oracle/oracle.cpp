#include "methods/oracle/oracle.h"

#include <fmt/format.h>

#include <cmath>
#include <complex>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "audio/stft.h"
#include "core/error.h"
#include "core/parallel.h"
#include "methods/sisec18.h"

namespace mss::methods::oracle {
namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();  // 2^-52

enum class Kind { ratio_mask, binary_mask, mixture_phase };

struct Rule {
  Kind kind = Kind::ratio_mask;
  double alpha = 2;
  double theta = 0.5;
  audio::StftSpec stft;
};

using Spectra = std::vector<audio::Spectrogram<float>>;

/// |z|^alpha in float64, where the square of no float32 overflows or vanishes.
double power(std::complex<float> z, double alpha) {
  const double re = z.real();
  const double im = z.imag();
  const double square = re * re + im * im;
  if (alpha == 2) return square;
  if (alpha == 1) return std::sqrt(square);
  return std::pow(square, 0.5 * alpha);
}

class Oracle final : public Separator {
 public:
  Oracle(Rule rule, SeparatorInfo info) : Separator(std::move(info)), rule_(rule) {}

 private:
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    constexpr std::int64_t kBlock = 32768;
    const auto stems = static_cast<std::int64_t>(context.targets.size());
    const int channels = mixture.channels();
    const int rate_hz = mixture.rate_hz();
    sink.begin({.targets = context.targets,
                .channels = channels,
                .rate_hz = rate_hz,
                .samples = mixture.length().value_or(-1)});
    Output output{.sink = sink, .magnitudes = sink.wants_magnitudes(), .inverse = {}};
    if (output.magnitudes) sink.begin_magnitudes(rule_.stft);

    // Input 0 is the mixture, 1 … S are the references.
    std::vector<audio::Source*> sources{&mixture};
    sources.insert(sources.end(), context.references->sources.begin(), context.references->sources.end());
    std::vector<audio::AudioBuffer> blocks;
    std::vector<audio::StreamingStft> forward;
    for (std::size_t i = 0; i < sources.size(); ++i) {
      blocks.emplace_back(channels, kBlock, rate_hz);
      forward.emplace_back(rule_.stft, channels);
    }
    for (std::int64_t s = 0; s < stems; ++s) output.inverse.emplace_back(rule_.stft, channels, rate_hz);

    Spectra spectra(sources.size());
    std::int64_t samples = 0;
    while (const std::int64_t n = mixture.read(blocks[0].span())) {
      for (std::size_t i = 1; i < sources.size(); ++i) {
        const std::int64_t found = sources[i]->read(blocks[i].span().slice(0, n));
        if (found != n) fail_short_reference(context.references->names[i - 1], samples + found, samples + n);
      }
      core::parallel_for(stems + 1, context.threads, [&](std::int64_t i) {
        const auto at = static_cast<std::size_t>(i);
        spectra[at] = forward[at].push(blocks[at].view().slice(0, n));
      });
      samples += n;
      emit(spectra, output, context.threads, std::nullopt);
      context.progress(samples);
    }
    core::parallel_for(stems + 1, context.threads, [&](std::int64_t i) {
      spectra[static_cast<std::size_t>(i)] = forward[static_cast<std::size_t>(i)].finish();
    });
    emit(spectra, output, context.threads, samples);
  }

  struct Output {
    StemSink& sink;
    bool magnitudes = false;
    std::vector<audio::StreamingIstft> inverse;
    std::int64_t frames = 0, samples = 0;
  };

  /// Turns the spectra of some frames into estimates and hands them on; `total` = no more frames, the mixture's length.
  void emit(Spectra& spectra, Output& output, int threads, std::optional<std::int64_t> total) const {
    if (output.magnitudes) {
      MagnitudeBlock block{.first_frame = output.frames, .mixture = spectra.data(), .magnitudes = {}};
      block.magnitudes.assign(spectra.size() - 1, std::vector<float>(spectra[0].data().size()));
      for_each_frame(spectra, threads, [&](std::size_t s, std::size_t at, double gain, std::complex<float> x) {
        const double y = rule_.kind == Kind::mixture_phase ? std::sqrt(power(spectra[s + 1].data()[at], 2))
                                                           : gain * std::sqrt(power(x, 2));
        block.magnitudes[s][at] = static_cast<float>(y);
      });
      if (spectra[0].frames() > 0) output.sink.write_magnitudes(block);
      output.frames += spectra[0].frames();
      return;
    }
    // The estimates take the references' place.
    for_each_frame(spectra, threads, [&](std::size_t s, std::size_t at, double gain, std::complex<float> x) {
      std::complex<float>& y = spectra[s + 1].data()[at];
      if (rule_.kind == Kind::mixture_phase) {
        const double magnitude = std::sqrt(power(y, 2));
        const double size = std::sqrt(power(x, 2));
        y = size > 0 ? std::complex<float>(static_cast<float>(magnitude * (x.real() / size)),
                                           static_cast<float>(magnitude * (x.imag() / size)))
                     : std::complex<float>(static_cast<float>(magnitude), 0.0F);
      } else {
        y = {static_cast<float>(gain * x.real()), static_cast<float>(gain * x.imag())};
      }
    });
    std::vector<audio::AudioBuffer> done(output.inverse.size());
    core::parallel_for(static_cast<std::int64_t>(done.size()), threads, [&](std::int64_t i) {
      const auto s = static_cast<std::size_t>(i);
      done[s] = output.inverse[s].push(spectra[s + 1]);
    });
    write(done, output);
    if (!total) return;
    for (std::size_t s = 0; s < done.size(); ++s) done[s] = output.inverse[s].finish(*total);
    write(done, output);
  }

  static void write(const std::vector<audio::AudioBuffer>& stems, Output& output) {
    StemBlock block{.begin = output.samples, .stems = {}};
    for (const audio::AudioBuffer& stem : stems) block.stems.push_back(stem);
    if (stems.empty() || stems.front().samples() == 0) return;
    output.samples += stems.front().samples();
    output.sink.write(block);
  }

  /// Calls use(stem, index into data(), mask, X) for every value; frames are independent.
  template <class Use>
  void for_each_frame(const Spectra& spectra, int threads, const Use& use) const {
    const audio::Spectrogram<float>& mixture = spectra[0];
    const auto bins = static_cast<std::size_t>(mixture.bins());
    core::parallel_for(mixture.channels() * mixture.frames(), threads, [&](std::int64_t row) {
      std::vector<double> gains(spectra.size() - 1);
      const std::size_t begin = static_cast<std::size_t>(row) * bins;
      for (std::size_t at = begin; at < begin + bins; ++at) {
        const std::complex<float> x = mixture.data()[at];
        masks(spectra, at, x, gains);
        for (std::size_t s = 0; s < gains.size(); ++s) use(s, at, gains[s], x);
      }
    });
  }

  void masks(const Spectra& spectra, std::size_t at, std::complex<float> x, std::vector<double>& gains) const {
    if (rule_.kind == Kind::mixture_phase) return;
    double sum = 0;
    for (std::size_t s = 0; s < gains.size(); ++s) {
      gains[s] = power(spectra[s + 1].data()[at], rule_.alpha);
      sum += gains[s];
    }
    if (rule_.kind == Kind::ratio_mask) {
      for (double& gain : gains) gain /= kEps + sum;
    } else {
      const double mixture = kEps + power(x, rule_.alpha);
      for (double& gain : gains) gain = gain / mixture >= rule_.theta ? 1.0 : 0.0;
    }
  }

  Rule rule_;
};

core::Param alpha_param(const char* default_value) {
  return {.name = "alpha",
          .type = core::ParamType::real,
          .default_value = default_value,
          .unit = "",
          .range = "(0,16]",
          .help = "Exponent of the magnitudes in the mask.",
          .source = kSisec18};
}

core::Param theta_param() {
  return {.name = "theta",
          .type = core::ParamType::real,
          .default_value = "0.5",
          .unit = "",
          .range = "(0,inf)",
          .help = "Share of the mixture from which on a bin belongs to a stem.",
          .source = kSisec18};
}

/// `alpha` fixed = part of the name (irm1); 0 = a parameter.
void add(Registry& registry, const char* name, const char* summary, Kind kind, double alpha, core::ParamTable params) {
  MethodEntry entry;
  entry.name = name;
  entry.family = "oracle";
  entry.summary = summary;
  entry.params = std::move(params);
  for (core::Param& param : sisec18_params()) entry.params.push_back(std::move(param));
  entry.make = [kind, alpha](const core::Params& values, const core::SpecPart& spec) -> std::unique_ptr<Separator> {
    Rule rule;
    rule.kind = kind;
    rule.stft = sisec18_stft(values, spec);
    SeparatorInfo info;
    info.spec = to_string(spec);
    info.method = spec.name;
    info.is_oracle = true;
    info.needs_references = true;
    info.offers_magnitudes = true;
    info.resolved_options = values.resolved();
    if (kind != Kind::mixture_phase) {
      rule.alpha = alpha > 0 ? alpha : values.real("alpha");
      info.resolved_options["alpha"] = rule.alpha;
      info.resolved_options["eps"] = kEps;
    }
    if (kind == Kind::binary_mask) rule.theta = values.real("theta");
    return std::make_unique<Oracle>(rule, std::move(info));
  };
  registry.add(std::move(entry));
}

}  // namespace

void add_methods(Registry& registry) {
  add(registry, "irm1", "Oracle: ideal ratio mask of magnitudes (SiSEC 2018's IRM1).", Kind::ratio_mask, 1, {});
  add(registry, "irm2", "Oracle: ideal ratio mask of powers (SiSEC 2018's IRM2).", Kind::ratio_mask, 2, {});
  add(registry, "ibm1", "Oracle: ideal binary mask of magnitudes (SiSEC 2018's IBM1).", Kind::binary_mask, 1,
      {theta_param()});
  add(registry, "ibm2", "Oracle: ideal binary mask of powers (SiSEC 2018's IBM2).", Kind::binary_mask, 2,
      {theta_param()});
  add(registry, "irm", "Oracle: ideal ratio mask of any exponent.", Kind::ratio_mask, 0, {alpha_param("2")});
  add(registry, "ibm", "Oracle: ideal binary mask of any exponent and threshold.", Kind::binary_mask, 0,
      {alpha_param("1"), theta_param()});
  add(registry, "mixphase", "Oracle: the references' magnitudes with the mixture's phase.", Kind::mixture_phase, 0, {});
}

}  // namespace mss::methods::oracle
