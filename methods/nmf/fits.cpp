#include "methods/nmf/fits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <utility>

#include "audio/stft.h"
#include "core/error.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "methods/nmf/init.h"
#include "methods/nmf/ntf.h"

namespace mss::methods::nmf {
namespace {

using Index = std::int64_t;
using Spectrum = audio::Spectrogram<float>;

constexpr std::uint32_t kTemplateStream = 0x6e6d6657;    // "nmfW"
constexpr std::uint32_t kActivationStream = 0x6e6d6648;  // "nmfH"
constexpr std::uint32_t kPanningStream = 0x6e6d6651;     // "nmfQ"

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

FitOptions<float> fit_options(const SeparatorOptions& options, const Context& context) {
  FitOptions<float> o;
  o.iterations = options.iterations;
  o.beta = options.beta;
  o.update = options.update;
  o.sparsity = options.sparsity;
  o.continuity = options.continuity;
  o.threads = context.threads;
  o.stop = context.stop;
  return o;
}

int blind_components(const SeparatorOptions& options, int stems) {
  if (options.start != nullptr) return options.start->components();
  if (options.components > 0) return options.components;
  return options.protocol == Protocol::p3 ? stems : 16;
}

int components_per_stem(const SeparatorOptions& options) { return options.components > 0 ? options.components : 30; }

/// The spectrogram at a level near 1, and by how much it was scaled.
Magnitudes levelled(audio::AudioView input, const SeparatorOptions& options, const Context& context, double& scale) {
  Magnitudes v = magnitudes_of(input, options.stft, context.threads, context.stop);
  scale = level_scale(v.values);
  for (float& x : v.values) x *= static_cast<float>(scale);
  return v;
}

// One panning per component; handed on as activations per channel, which is what the masks need.
Factors<float> fit_panned(const SeparatorOptions& options, const Magnitudes& v, int components, std::uint64_t seed,
                          const FitOptions<float>& o) {
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
  const Factors<float> drawn = random_start(stacked, components, 1, seed, options.uniform_h);
  TensorFactors<float> start{v.channels, Factors<float>(v.bins, v.frames, components), {}};
  // The first channel's rows of the drawn templates are the templates; the pannings start from their own draws around
  // the centre.
  std::copy_n(drawn.w.begin(), start.factors.w.size(), start.factors.w.begin());
  start.factors.h = drawn.h;
  for (int r = 0; r < components; ++r) {
    core::Rng rng(seed, kPanningStream, static_cast<std::uint32_t>(r));
    start.q.resize(sz(Index{v.channels} * components));
    for (int c = 0; c < v.channels; ++c)
      start.q[sz(Index{c} * components + r)] = static_cast<float>(rng.uniform(0.5, 1.5));
  }
  const TensorFactors<float> fitted = fit_tensor(stacked, std::move(start), o).factors;
  Factors<float> out(v.bins, columns, components);
  out.w = fitted.factors.w;
  for (int r = 0; r < components; ++r) {
    for (int c = 0; c < v.channels; ++c) {
      const float q = fitted.q[sz(Index{c} * components + r)];
      for (Index n = 0; n < v.frames; ++n) out.h_at(r, c * v.frames + n) = q * fitted.factors.h_at(r, n);
    }
  }
  return out;
}

// P1: the start dictionary's templates; single spectra fall linearly over the template's frames.
Templates class_templates(const Dictionary& d, int template_frames) {
  const Index bins = d.stft.bins();
  Templates templates;
  for (const auto& part : d.parts) {
    for (int r = 0; r < part.components; ++r) {
      std::vector<double> w;
      for (Index i = 0; i < bins * d.template_frames; ++i)
        w.push_back(static_cast<double>(part.w[sz(i * part.components + r)]));
      if (d.template_frames == 1) w = spectrum_templates({w}, template_frames)[0];
      templates.push_back(std::move(w));
    }
  }
  return templates;
}

}  // namespace

Magnitudes magnitudes_of(audio::AudioView x, const audio::StftSpec& spec, int threads, const core::StopToken& stop) {
  Magnitudes out;
  out.bins = spec.bins();
  out.channels = x.channels();
  out.frames = audio::Stft<float>(spec).frames(x.samples());
  out.values.resize(sz(out.bins * out.frames * out.channels));
  Index done = 0;
  audio::for_each_block(x, spec, stop, [&](const Spectrum& block, Index first) {
    const Index columns = out.frames * out.channels;
    core::parallel_for(out.channels, threads, [&](Index c) {
      for (Index n = 0; n < block.frames(); ++n) {
        const std::complex<float>* z = block.at(static_cast<int>(c), n);
        float* column = out.values.data() + c * out.frames + first + n;
        for (Index k = 0; k < out.bins; ++k)
          column[k * columns] = std::sqrt(z[k].real() * z[k].real() + z[k].imag() * z[k].imag());
      }
    });
    done += block.frames();
  });
  MSS_ASSERT(done == out.frames);
  return out;
}

double level_scale(const std::vector<float>& v) {
  double sum = 0;
  for (const float x : v) sum += static_cast<double>(x);
  const double mean = v.empty() ? 0.0 : sum / static_cast<double>(v.size());
  if (!(mean > 0)) return 1.0;
  return std::ldexp(1.0, std::clamp(-std::ilogb(mean), -100, 100));
}

std::vector<int> first_components(const Dictionary& dictionary) {
  std::vector<int> first = {0};
  for (const auto& part : dictionary.parts) first.push_back(first.back() + part.components);
  return first;
}

Fitted fit_blind(const SeparatorOptions& options, audio::AudioView input, int stems, const Context& context,
                 const Report& report) {
  Fitted out;
  const Magnitudes v = levelled(input, options, context, out.scale);
  const int components = blind_components(options, stems);
  if (options.start != nullptr) {
    out.first = first_components(*options.start);
  } else {
    for (int r = 0; r <= components; ++r) out.first.push_back(r);
  }
  FitOptions<float> o = fit_options(options, context);
  o.segment_frames = v.frames;
  o.progress = [&](int i) { report(static_cast<double>(i) / std::max(1, options.iterations)); };
  if (options.tensor) {
    out.factors = fit_panned(options, v, components, context.seed, o);
    return out;
  }
  const bool toolbox = options.update != Update::clean;
  Factors<float> start(v.bins, v.frames * v.channels, components, options.template_frames);
  if (toolbox) {
    const auto seed = static_cast<std::uint32_t>(context.seed);
    set_templates(start, random_templates(v.bins, options.template_frames, components, seed));
    set_activations(start, options.uniform_h ? uniform_activations(components, start.frames)
                                             : random_activations(components, start.frames, seed));
  } else {
    start = random_start(v.view(), components, options.template_frames, context.seed, options.uniform_h);
  }
  if (options.start != nullptr) set_templates(start, class_templates(*options.start, options.template_frames));
  out.factors =
      options.hals ? fit_hals(v.view(), std::move(start), o).factors : fit(v.view(), std::move(start), o).factors;
  if (toolbox) {
    // The toolbox divides V by its sum, so its model is that much smaller.
    double sum = 0;
    for (const float x : v.values) sum += static_cast<double>(x);
    if (sum > 0) out.scale /= sum;
  }
  return out;
}

Fitted fit_to_dictionary(const SeparatorOptions& options, audio::AudioView input, const Context& context,
                         const Report& report) {
  const Dictionary& all = *options.dictionary;
  Fitted out;
  const Magnitudes v = levelled(input, options, context, out.scale);
  const Index columns = v.frames * v.channels;
  const int free = options.free_components, total = all.components() + free * all.members;
  out.first = {0};
  out.factors = Factors<float>(v.bins, columns, total, all.template_frames);
  const double rounds = static_cast<double>(std::max(1, options.iterations)) * all.members;
  for (int m = 0; m < all.members; ++m) {
    const Dictionary d = all.member(m);
    const int fixed = d.components(), begin = out.first.back();
    for (const auto& part : d.parts) out.first.push_back(out.first.back() + part.components);
    if (free > 0) out.first.push_back(out.first.back() + free);
    const Factors<float> drawn = random_start(v.view(), std::max(free, 1), d.template_frames, context.seed, true);
    Factors<float> start(v.bins, columns, fixed + free, d.template_frames);
    const std::vector<float> w = d.stacked();
    for (Index k = 0; k < v.bins; ++k) {
      for (int t = 0; t < d.template_frames; ++t) {
        const float* row = w.data() + (k * d.template_frames + t) * fixed;
        for (int r = 0; r < fixed; ++r) start.w_at(k, t, r) = row[r];
        for (int r = 0; r < free; ++r) start.w_at(k, t, fixed + r) = drawn.w_at(k, t, r);
      }
    }
    std::fill(start.h.begin(), start.h.end(), 1.0F);
    FitOptions<float> o = fit_options(options, context);
    o.segment_frames = v.frames;
    o.fix_w = free == 0;
    o.fixed_components = fixed;
    o.progress = [&](int i) { report((m * options.iterations + i) / rounds); };
    Factors<float> fitted = fit(v.view(), std::move(start), o).factors;
    if (all.members == 1) {
      out.factors = std::move(fitted);
      break;
    }
    for (Index k = 0; k < v.bins; ++k) {
      for (int t = 0; t < d.template_frames; ++t) {
        for (int r = 0; r < fitted.components; ++r) out.factors.w_at(k, t, begin + r) = fitted.w_at(k, t, r);
      }
    }
    std::ranges::copy(fitted.h, out.factors.h.begin() + begin * columns);
  }
  return out;
}

Fitted fit_to_references(const SeparatorOptions& options, audio::AudioView input,
                         const std::vector<audio::AudioBuffer>& references, const Context& context,
                         const Report& report) {
  const int per_stem = components_per_stem(options);
  const int stems = static_cast<int>(references.size());
  Fitted out;
  const Magnitudes v = levelled(input, options, context, out.scale);
  Factors<float> start(v.bins, v.frames * v.channels, per_stem * stems, options.template_frames);
  out.first.push_back(0);
  const double rounds = static_cast<double>(std::max(1, options.iterations)) * (stems + 1);
  for (int s = 0; s < stems; ++s) {
    Magnitudes y = magnitudes_of(references[sz(s)], options.stft, context.threads, context.stop);
    for (float& x : y.values) x *= static_cast<float>(out.scale);
    FitOptions<float> o = fit_options(options, context);
    o.segment_frames = y.frames;
    o.progress = [&](int i) { report((s * options.iterations + i) / rounds); };
    const std::uint64_t seed =
        core::Rng(context.seed, kTemplateStream, 0x80000000U + static_cast<std::uint32_t>(s)).next_u64();
    const auto learned =
        fit(y.view(), random_start(y.view(), per_stem, options.template_frames, seed, false), o).factors;
    for (Index k = 0; k < v.bins; ++k) {
      for (int t = 0; t < options.template_frames; ++t) {
        for (int r = 0; r < per_stem; ++r) start.w_at(k, t, s * per_stem + r) = learned.w_at(k, t, r);
      }
    }
    out.first.push_back((s + 1) * per_stem);
  }
  std::fill(start.h.begin(), start.h.end(), 1.0F);
  FitOptions<float> o = fit_options(options, context);
  o.segment_frames = v.frames;
  o.fix_w = true;
  o.progress = [&](int i) { report((stems * options.iterations + i) / rounds); };
  out.factors = fit(v.view(), std::move(start), o).factors;
  return out;
}

Index fit_whole_bytes(const SeparatorOptions& options, Index bins, Index frames, int channels, int stems) {
  const Index columns = frames * channels, magnitudes = 4 * bins * columns;
  FitOptions<float> o = fit_options(options, {});
  o.threads = 0;
  // Activations: of the start, as drawn, and of the result.
  const auto factors = [&](Index count) { return 3 * 4 * count * columns; };
  if (options.protocol == Protocol::p5) {
    const int components = stems * components_per_stem(options);
    o.fix_w = true;
    // Beside the mixture's magnitudes one stem's at a time, while its templates are learned.
    return 2 * magnitudes + factors(components) + fit_bytes(bins, columns, components, o, options.template_frames);
  }
  if (options.dictionary != nullptr) {
    const Dictionary& d = *options.dictionary;
    const int each = d.components() / d.members + options.free_components;
    o.fix_w = options.free_components == 0;
    return magnitudes + factors(Index{each} * d.members) + fit_bytes(bins, columns, each, o, d.template_frames);
  }
  const int components = blind_components(options, stems);
  if (options.tensor) return 2 * magnitudes + factors(components) + products_bytes(bins * channels, frames, components);
  if (options.hals) return magnitudes + factors(components) + products_bytes(bins, columns, components);
  return magnitudes + factors(components) + fit_bytes(bins, columns, components, o, options.template_frames);
}

void fit_frames(const FixedTemplates<float>& templates, const SeparatorOptions& options, const std::complex<float>* x,
                Index columns, const Context& context, std::vector<float>& h) {
  const Index bins = templates.bins(), components = templates.components();
  std::vector<float> v(sz(columns * bins)), scale(sz(columns), 1.0F);
  h.assign(sz(columns * components), 1.0F);
  if (columns == 0) return;
  core::parallel_for(columns, context.threads, [&](Index i) {
    const std::complex<float>* z = x + i * bins;
    float* out = v.data() + i * bins;
    double sum = 0;
    for (Index k = 0; k < bins; ++k) {
      out[k] = std::sqrt(z[k].real() * z[k].real() + z[k].imag() * z[k].imag());
      sum += static_cast<double>(out[k]);
    }
    if (sum > 0) scale[sz(i)] = static_cast<float>(std::ldexp(1.0, std::clamp(10 - std::ilogb(sum), -100, 100)));
    for (Index k = 0; k < bins; ++k) out[k] *= scale[sz(i)];
  });
  templates.activations(v.data(), columns, bins, h.data(), fit_options(options, context));
  for (Index i = 0; i < columns; ++i) {
    for (Index r = 0; r < components; ++r) h[sz(i * components + r)] /= scale[sz(i)];
  }
}

std::vector<std::string> component_names(int count) {
  const auto digits = std::max<std::size_t>(2, std::to_string(count).size());
  std::vector<std::string> names;
  for (int r = 1; r <= count; ++r) names.push_back(fmt::format("component-{:0{}}", r, digits));
  return names;
}

Factors<float> random_start(MatrixView<float> v, int components, int template_frames, std::uint64_t seed,
                            bool uniform_h) {
  Factors<float> f(v.rows, v.columns, components, template_frames);
  double total = 0;
  for (Index k = 0; k < v.rows; ++k) {
    for (Index m = 0; m < v.columns; ++m) total += static_cast<double>(v.data[k * v.ld + m]);
  }
  const double level = total / std::max(1.0, static_cast<double>(v.columns) * components);
  std::vector<double> sums(sz(components), 0.0);
  for (int r = 0; r < components; ++r) {
    core::Rng w(seed, kTemplateStream, static_cast<std::uint32_t>(r));
    for (Index k = 0; k < v.rows; ++k) {
      for (int t = 0; t < template_frames; ++t) {
        const double x = 1e-3 + w.uniform();
        f.w_at(k, t, r) = static_cast<float>(x);
        sums[sz(r)] += x;
      }
    }
    core::Rng h(seed, kActivationStream, static_cast<std::uint32_t>(r));
    for (Index m = 0; m < v.columns; ++m) {
      f.h_at(r, m) = uniform_h ? 1.0F : static_cast<float>(2.0 * level * (1e-3 + h.uniform()));
    }
  }
  for (std::size_t i = 0; i < f.w.size(); ++i) {
    f.w[i] = static_cast<float>(static_cast<double>(f.w[i]) / sums[i % sz(components)]);
  }
  return f;
}

}  // namespace mss::methods::nmf
