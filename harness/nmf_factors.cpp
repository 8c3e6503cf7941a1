#include "harness/nmf_factors.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <memory>
#include <utility>

#include "audio/resample.h"
#include "core/error.h"
#include "core/isa.h"
#include "core/rng.h"
#include "methods/nmf/dictionary.h"
#include "methods/nmf/init.h"
#include "methods/nmf/mask.h"
#include "methods/nmf/ntf.h"
#include "methods/nmf/separator.h"
#include "methods/spec.h"

namespace mss::harness {
namespace {

using namespace methods::nmf;
using Index = std::int64_t;
using Spectrum = audio::Spectrogram<float>;

// The separator's streams of random numbers.
constexpr std::uint32_t kTemplateStream = 0x6e6d6657;  // "nmfW"
constexpr std::uint32_t kPanningStream = 0x6e6d6651;   // "nmfQ"

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

/// K x (C N) row-major: the channels beside each other.
struct Magnitudes {
  std::vector<float> values;
  Index bins = 0, frames = 0;
  int channels = 0;
  MatrixView<float> view() const { return {values.data(), bins, frames * channels, frames * channels}; }
};

Magnitudes magnitudes_of(const Spectrum& x) {
  Magnitudes out;
  out.bins = x.bins();
  out.channels = x.channels();
  out.frames = x.frames();
  const Index columns = out.frames * out.channels;
  out.values.resize(sz(out.bins * columns));
  for (int c = 0; c < x.channels(); ++c) {
    for (Index n = 0; n < x.frames(); ++n) {
      const std::complex<float>* z = x.at(c, n);
      for (Index k = 0; k < out.bins; ++k) {
        out.values[sz(k * columns + c * out.frames + n)] =
            std::sqrt(z[k].real() * z[k].real() + z[k].imag() * z[k].imag());
      }
    }
  }
  return out;
}

double level_scale(const std::vector<float>& v) {
  double sum = 0;
  for (const float x : v) sum += static_cast<double>(x);
  const double mean = v.empty() ? 0.0 : sum / static_cast<double>(v.size());
  if (!(mean > 0)) return 1.0;
  return std::ldexp(1.0, std::clamp(-std::ilogb(mean), -100, 100));
}

/// The separator's options, from what it says of itself; dictionaries from the text that was given.
struct Model {
  SeparatorOptions options;
  double alpha = 1;
  bool streams = false;
};

Model model_of(const methods::SeparatorInfo& info, const std::string& spec) {
  Model m;
  SeparatorOptions& o = m.options;
  const core::Value& v = info.resolved_options;
  if (const core::Value* r = v.find("components"); r != nullptr && !r->is_null())
    o.components = static_cast<int>(r->as_integer());
  o.iterations = static_cast<int>(v.at("iterations").as_integer());
  o.template_frames = static_cast<int>(v.at("frames").as_integer());
  o.beta = v.at("beta").as_real();
  o.sparsity = v.at("sparsity").as_real();
  o.continuity = v.at("continuity").as_real();
  o.uniform_h = v.at("h").as_string() == "ones";
  o.mono = v.at("mono").as_bool();
  o.tensor = v.at("stereo").as_string() == "ntf";
  o.hals = v.at("solver").as_string() == "hals";
  o.free_components = static_cast<int>(v.at("free").as_integer());
  o.free_target = v.at("free_target").as_string();
  if (v.at("update").as_string() == "toolbox")
    o.update = info.method == "nmf" && o.template_frames == 1 ? Update::toolbox_nmf : Update::toolbox_nmfd;
  o.stft.fft_size = static_cast<int>(v.at("fft").as_integer());
  o.stft.hop_samples = static_cast<int>(v.at("hop").as_integer());
  const audio::Framing framing =
      v.at("stft").as_string() == "toolbox" ? audio::Framing::toolbox : audio::Framing::centered_reflect;
  o.stft.framing = framing;
  // What the separator says names weights by label and hash; what was given may say where they are.
  const methods::SpecPart given = methods::parse_spec(spec).method;
  const auto dictionary = [&](const char* name) -> std::shared_ptr<const Dictionary> {
    const core::Value* label = v.find(name);
    if (label == nullptr || !label->is_string() || label->as_string().empty()) return nullptr;
    const auto at = std::ranges::find(given.arguments, name, [](const auto& argument) { return argument.first; });
    return std::make_shared<const Dictionary>(
        find_dictionary(at != given.arguments.end() ? at->second : label->as_string()));
  };
  o.dictionary = dictionary("dict");
  o.start = dictionary("start");
  if (o.dictionary != nullptr) {
    o.stft = o.dictionary->stft;
  } else if (o.start != nullptr) {
    o.stft = o.start->stft;
    o.stft.framing = framing;
  }
  o.protocol = info.protocol == "P0"   ? Protocol::p0
               : info.protocol == "P1" ? Protocol::p1
               : info.protocol == "P3" ? Protocol::p3
               : info.protocol == "P4" ? Protocol::p4
               : info.protocol == "P5" ? Protocol::p5
                                       : Protocol::none;
  const core::Value* alpha = v.find("alpha");
  m.alpha = alpha != nullptr && !alpha->is_null()                   ? alpha->as_real()
            : o.dictionary != nullptr || o.protocol == Protocol::p5 ? 2.0
                                                                    : 1.0;
  m.streams = info.streams;
  return m;
}

FitOptions<float> fit_options(const SeparatorOptions& from, const FactorsRequest& request, Index segment_frames) {
  FitOptions<float> o;
  o.iterations = from.iterations;
  o.beta = from.beta;
  o.update = from.update;
  o.sparsity = from.sparsity;
  o.continuity = from.continuity;
  o.threads = request.threads;
  o.stop = request.stop;
  o.segment_frames = segment_frames;
  return o;
}

std::vector<int> parts_of(const Dictionary& d) {
  std::vector<int> first = {0};
  for (const auto& part : d.parts) first.push_back(first.back() + part.components);
  return first;
}

/// Frames independent of each other, each at its own level.
Factors<float> fit_frames(const SeparatorOptions& o, const Spectrum& x, const FactorsRequest& request) {
  const Dictionary& d = *o.dictionary;
  const Index bins = d.stft.bins(), columns = x.channels() * x.frames();
  const int components = d.components();
  Factors<float> out(bins, columns, components);
  out.w = d.stacked();
  const FixedTemplates<float> fixed(out.w, bins, components);
  std::vector<float> v(sz(columns * bins)), h(sz(columns * components), 1.0F), scale(sz(columns), 1.0F);
  for (Index i = 0; i < columns; ++i) {
    const std::complex<float>* z = x.data().data() + i * bins;
    float* to = v.data() + i * bins;
    double sum = 0;
    for (Index k = 0; k < bins; ++k) {
      to[k] = std::sqrt(z[k].real() * z[k].real() + z[k].imag() * z[k].imag());
      sum += static_cast<double>(to[k]);
    }
    if (sum > 0) scale[sz(i)] = static_cast<float>(std::ldexp(1.0, std::clamp(10 - std::ilogb(sum), -100, 100)));
    for (Index k = 0; k < bins; ++k) to[k] *= scale[sz(i)];
  }
  if (columns > 0) fixed.activations(v.data(), columns, bins, h.data(), fit_options(o, request, 0));
  for (Index i = 0; i < columns; ++i) {
    for (int r = 0; r < components; ++r) out.h_at(r, i) = h[sz(i * components + r)] / scale[sz(i)];
  }
  return out;
}

Factors<float> fit_dictionary(const SeparatorOptions& o, const Magnitudes& v, const FactorsRequest& request) {
  const Dictionary& d = *o.dictionary;
  const int fixed = d.components(), free = o.free_components;
  const Factors<float> drawn = random_start(v.view(), std::max(free, 1), d.template_frames, request.seed, true);
  Factors<float> start(v.bins, v.frames * v.channels, fixed + free, d.template_frames);
  const std::vector<float> w = d.stacked();
  for (Index k = 0; k < v.bins; ++k) {
    for (int t = 0; t < d.template_frames; ++t) {
      for (int r = 0; r < fixed; ++r) start.w_at(k, t, r) = w[sz((k * d.template_frames + t) * fixed + r)];
      for (int r = 0; r < free; ++r) start.w_at(k, t, fixed + r) = drawn.w_at(k, t, r);
    }
  }
  std::fill(start.h.begin(), start.h.end(), 1.0F);
  FitOptions<float> options = fit_options(o, request, v.frames);
  options.fix_w = free == 0;
  options.fixed_components = fixed;
  return fit(v.view(), std::move(start), options).factors;
}

Factors<float> fit_references(const SeparatorOptions& o, const Magnitudes& v, const std::vector<Spectrum>& references,
                              double scale, std::vector<int>& first, const FactorsRequest& request) {
  const int per_stem = o.components > 0 ? o.components : 30, stems = static_cast<int>(references.size());
  Factors<float> start(v.bins, v.frames * v.channels, per_stem * stems, o.template_frames);
  first = {0};
  for (int s = 0; s < stems; ++s) {
    Magnitudes y = magnitudes_of(references[sz(s)]);
    for (float& x : y.values) x *= static_cast<float>(scale);
    const std::uint64_t seed =
        core::Rng(request.seed, kTemplateStream, 0x80000000U + static_cast<std::uint32_t>(s)).next_u64();
    const auto learned = fit(y.view(), random_start(y.view(), per_stem, o.template_frames, seed, false),
                             fit_options(o, request, y.frames))
                             .factors;
    for (Index k = 0; k < v.bins; ++k) {
      for (int t = 0; t < o.template_frames; ++t) {
        for (int r = 0; r < per_stem; ++r) start.w_at(k, t, s * per_stem + r) = learned.w_at(k, t, r);
      }
    }
    first.push_back((s + 1) * per_stem);
  }
  std::fill(start.h.begin(), start.h.end(), 1.0F);
  FitOptions<float> options = fit_options(o, request, v.frames);
  options.fix_w = true;
  return fit(v.view(), std::move(start), options).factors;
}

Factors<float> fit_panned(const SeparatorOptions& o, const Magnitudes& v, int components,
                          const FactorsRequest& request) {
  const Index columns = v.frames * v.channels;
  std::vector<float> rows;
  rows.reserve(v.values.size());
  for (int c = 0; c < v.channels; ++c) {
    for (Index k = 0; k < v.bins; ++k) {
      const float* row = v.values.data() + k * columns + c * v.frames;
      rows.insert(rows.end(), row, row + v.frames);
    }
  }
  const MatrixView<float> stacked{rows.data(), v.bins * v.channels, v.frames, v.frames};
  const Factors<float> drawn = random_start(stacked, components, 1, request.seed, o.uniform_h);
  TensorFactors<float> start{v.channels, Factors<float>(v.bins, v.frames, components), {}};
  std::copy_n(drawn.w.begin(), start.factors.w.size(), start.factors.w.begin());
  start.factors.h = drawn.h;
  start.q.resize(sz(Index{v.channels} * components));
  for (int r = 0; r < components; ++r) {
    core::Rng rng(request.seed, kPanningStream, static_cast<std::uint32_t>(r));
    for (int c = 0; c < v.channels; ++c)
      start.q[sz(Index{c} * components + r)] = static_cast<float>(rng.uniform(0.5, 1.5));
  }
  const TensorFactors<float> fitted = fit_tensor(stacked, std::move(start), fit_options(o, request, v.frames)).factors;
  Factors<float> out(v.bins, columns, components);
  out.w = fitted.factors.w;
  for (int r = 0; r < components; ++r) {
    for (int c = 0; c < v.channels; ++c) {
      for (Index n = 0; n < v.frames; ++n) {
        out.h_at(r, c * v.frames + n) = fitted.q[sz(Index{c} * components + r)] * fitted.factors.h_at(r, n);
      }
    }
  }
  return out;
}

Templates class_templates(const Dictionary& d, int template_frames) {
  Templates templates;
  for (const auto& part : d.parts) {
    for (int r = 0; r < part.components; ++r) {
      std::vector<double> w;
      for (Index i = 0; i < d.stft.bins() * d.template_frames; ++i)
        w.push_back(static_cast<double>(part.w[sz(i * part.components + r)]));
      if (d.template_frames == 1) w = spectrum_templates({w}, template_frames)[0];
      templates.push_back(std::move(w));
    }
  }
  return templates;
}

Factors<float> fit_blind(const SeparatorOptions& o, const Magnitudes& v, int stems, double& scale,
                         const FactorsRequest& request) {
  const int components = o.start != nullptr           ? o.start->components()
                         : o.components > 0           ? o.components
                         : o.protocol == Protocol::p3 ? stems
                                                      : 16;
  if (o.tensor) return fit_panned(o, v, components, request);
  const bool toolbox = o.update != Update::clean;
  Factors<float> start(v.bins, v.frames * v.channels, components, o.template_frames);
  if (toolbox) {
    const auto seed = static_cast<std::uint32_t>(request.seed);
    set_templates(start, random_templates(v.bins, o.template_frames, components, seed));
    set_activations(start, o.uniform_h ? uniform_activations(components, start.frames)
                                       : random_activations(components, start.frames, seed));
  } else {
    start = random_start(v.view(), components, o.template_frames, request.seed, o.uniform_h);
  }
  if (o.start != nullptr) set_templates(start, class_templates(*o.start, o.template_frames));
  const FitOptions<float> options = fit_options(o, request, v.frames);
  Factors<float> factors =
      o.hals ? fit_hals(v.view(), std::move(start), options).factors : fit(v.view(), std::move(start), options).factors;
  if (toolbox) {
    // The toolbox divides V by its sum, so its model is that much smaller.
    double sum = 0;
    for (const float x : v.values) sum += static_cast<double>(x);
    if (sum > 0) scale /= sum;
  }
  return factors;
}

/// P4: each part to the true stem with the most energy under its masks.
std::vector<int> group_by_energy(const NmfFactors& f, const std::vector<Spectrum>& references) {
  const Index bins = f.factors.bins;
  const int parts = f.parts(), stems = static_cast<int>(references.size());
  std::vector<double> energy(sz(Index{parts} * stems), 0.0);
  std::vector<float> mask;
  for (int c = 0; c < f.channels; ++c) {
    for (Index n = 0; n < f.frames; ++n) {
      part_masks(f, c, n, mask);
      for (int s = 0; s < stems; ++s) {
        const std::complex<float>* z = references[sz(s)].at(c, n);
        for (int p = 0; p < parts; ++p) {
          double sum = 0;
          for (Index k = 0; k < bins; ++k) {
            const float power = z[k].real() * z[k].real() + z[k].imag() * z[k].imag();
            sum += static_cast<double>(mask[sz(p * bins + k)] * power);
          }
          energy[sz(Index{p} * stems + s)] += sum;
        }
      }
    }
  }
  return best_columns(energy, parts, stems);
}

/// P3: one part per true stem, with the largest sum of SDR; silent stems do not count.
std::vector<int> assign_by_sdr(const NmfFactors& f, const Spectrum& x,
                               const std::vector<audio::AudioBuffer>& references) {
  const audio::Stft<float> stft(f.stft);
  const Index bins = f.factors.bins, samples = references.front().samples();
  const int parts = f.parts(), stems = static_cast<int>(references.size());
  std::vector<double> sdr(sz(Index{parts} * stems), 0.0);
  std::vector<float> mask;
  for (int p = 0; p < parts; ++p) {
    Spectrum y(x.channels(), x.frames(), x.bins());
    for (int c = 0; c < f.channels; ++c) {
      for (Index n = 0; n < f.frames; ++n) {
        part_masks(f, c, n, mask);
        for (Index k = 0; k < bins; ++k) y.at(c, n)[k] = x.at(c, n)[k] * mask[sz(p * bins + k)];
      }
    }
    const audio::AudioBuffer estimate = stft.inverse(y, samples, f.rate_hz);
    for (int s = 0; s < stems; ++s) {
      const double energy = audio::energy(references[sz(s)]);
      if (!(energy > 0)) continue;
      double error = 0;
      for (int c = 0; c < f.channels; ++c) {
        const auto a = estimate.channel(c), b = references[sz(s)].channel(c);
        for (std::size_t i = 0; i < a.size(); ++i) {
          const double e = static_cast<double>(b[i]) - static_cast<double>(a[i]);
          error += e * e;
        }
      }
      sdr[sz(Index{p} * stems + s)] = 10.0 * std::log10(energy / std::max(error, energy * 1e-30));
    }
  }
  return best_assignment(sdr, parts, stems);
}

audio::AudioBuffer native(audio::AudioView audio, int rate_hz, bool mono) {
  audio::AudioBuffer out =
      rate_hz > 0 && rate_hz != audio.rate_hz() ? audio::resample(audio, rate_hz) : audio::AudioBuffer(audio);
  if (mono && out.channels() > 1) out = audio::convert_channels(out.view(), 1);
  return out;
}

}  // namespace

void part_masks(const NmfFactors& f, int c, Index n, std::vector<float>& out) {
  const core::FlushDenormals flush;
  const Index bins = f.factors.bins;
  const int parts = f.parts(), components = f.factors.components;
  out.assign(sz(parts * bins), 0.0F);
  for (int p = 0; p < parts; ++p) {
    float* sum = out.data() + p * bins;
    for (int r = f.first[sz(p)]; r < f.first[sz(p) + 1]; ++r) {
      for (int t = 0; t < f.factors.template_frames && t <= n; ++t) {
        const float h = f.factors.h_at(r, c * f.frames + n - t);
        if (h == 0.0F) continue;
        const float* w = f.factors.w.data() + Index{t} * components + r;
        const Index step = Index{f.factors.template_frames} * components;
        for (Index k = 0; k < bins; ++k) sum[k] += h * w[k * step];
      }
    }
  }
  if (!f.toolbox) {
    wiener_masks(out.data(), parts, bins, bins, f.alpha);
    return;
  }
  constexpr float kEps = 0x1p-52F;
  for (Index k = 0; k < bins; ++k) {
    float sum = kEps;
    for (int p = 0; p < parts; ++p) {
      float& x = out[sz(p * bins + k)];
      x = f.alpha == 1.0 ? x + kEps : std::pow(x + kEps, static_cast<float>(f.alpha));
      sum += x;
    }
    for (int p = 0; p < parts; ++p) out[sz(p * bins + k)] /= sum;
  }
}

int NmfFactors::target_of(int component) const noexcept {
  for (int p = 0; p < parts(); ++p) {
    if (component >= first[sz(p)] && component < first[sz(p) + 1]) return target[sz(p)];
  }
  return -1;
}

std::optional<NmfFactors> nmf_factors(const methods::SeparatorInfo& info, const FactorsRequest& request) {
  if (info.method != "nmf" && info.method != "nmfd" && info.method != "nmfd-toolbox") return std::nullopt;
  const Model model = model_of(info, request.spec);
  const SeparatorOptions& o = model.options;
  if (info.needs_references && request.references.empty()) {
    throw Error({Code::invalid_argument, info.spec, "the factors depend on the true stems", "references", "none", {}});
  }
  NmfFactors out;
  out.stft = o.stft;
  out.alpha = model.alpha;
  out.toolbox = o.update != Update::clean;

  const audio::AudioBuffer input = native(request.mixture, info.rate_hz, o.mono);
  out.rate_hz = input.rate_hz();
  out.channels = input.channels();
  const audio::Stft<float> stft(o.stft);
  const Spectrum x = stft.forward(input.view(), request.threads);
  out.frames = x.frames();
  std::vector<audio::AudioBuffer> references;
  std::vector<Spectrum> reference_spectra;
  if (info.needs_references) {
    for (const audio::AudioView reference : request.references) {
      references.push_back(native(reference, info.rate_hz, o.mono));
      reference_spectra.push_back(stft.forward(references.back().view(), request.threads));
    }
    out.targets = request.reference_names;
  } else {
    out.targets = o.dictionary != nullptr ? o.dictionary->targets()
                  : o.start != nullptr    ? o.start->targets()
                                          : std::vector<std::string>{};
  }

  if (model.streams) {
    out.factors = fit_frames(o, x, request);
    out.first = parts_of(*o.dictionary);
  } else {
    Magnitudes v = magnitudes_of(x);
    out.scale = level_scale(v.values);
    for (float& value : v.values) value *= static_cast<float>(out.scale);
    if (o.protocol == Protocol::p5) {
      out.factors = fit_references(o, v, reference_spectra, out.scale, out.first, request);
    } else if (o.dictionary != nullptr) {
      out.first = parts_of(*o.dictionary);
      if (o.free_components > 0) out.first.push_back(out.first.back() + o.free_components);
      out.factors = fit_dictionary(o, v, request);
    } else {
      out.factors = fit_blind(o, v, static_cast<int>(references.size()), out.scale, request);
      if (o.start != nullptr) {
        out.first = parts_of(*o.start);
      } else {
        for (int r = 0; r <= out.factors.components; ++r) out.first.push_back(r);
      }
    }
  }
  for (int p = 0; p < out.parts(); ++p) out.target.push_back(p);
  if (o.dictionary != nullptr && o.free_components > 0) {
    const auto it = std::ranges::find(out.targets, o.free_target);
    out.target.back() = static_cast<int>(std::min(it - out.targets.begin(), std::ssize(out.targets) - 1));
  }
  if (out.targets.empty()) out.targets = component_names(out.factors.components);
  if (o.protocol == Protocol::p4) out.target = group_by_energy(out, reference_spectra);
  if (o.protocol == Protocol::p3) out.target = assign_by_sdr(out, x, references);
  return out;
}

}  // namespace mss::harness
