#include "methods/nmf/separator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "methods/nmf/init.h"
#include "methods/nmf/mask.h"
#include "methods/nmf/ntf.h"
#include "methods/nmf/toolbox.h"

namespace mss::methods::nmf {
namespace {

using Index = std::int64_t;
using Spectrum = audio::Spectrogram<float>;

constexpr std::uint32_t kTemplateStream = 0x6e6d6657;    // "nmfW"
constexpr std::uint32_t kActivationStream = 0x6e6d6648;  // "nmfH"
constexpr std::uint32_t kPanningStream = 0x6e6d6651;     // "nmfQ"
constexpr Index kBlockSamples = 32768;

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

/// |X| of all channels, K x (C N) row-major: the channels beside each other along time.
struct Magnitudes {
  std::vector<float> values;
  Index bins = 0, frames = 0;  ///< frames of one channel
  int channels = 0;
  MatrixView<float> view() const { return {values.data(), bins, frames * channels, frames * channels}; }
};

Index frame_count(const audio::StftSpec& spec, Index samples) { return audio::Stft<float>(spec).frames(samples); }

audio::AudioBuffer mean_of_channels(audio::AudioView x) { return audio::convert_channels(x, 1); }

Magnitudes magnitudes_of(audio::AudioView x, const audio::StftSpec& spec, const Context& context) {
  Magnitudes out;
  out.bins = spec.bins();
  out.channels = x.channels();
  out.frames = frame_count(spec, x.samples());
  out.values.resize(sz(out.bins * out.frames * out.channels));
  audio::StreamingStft stft(spec, x.channels());
  Index first = 0;
  const auto take = [&](const Spectrum& block) {
    const Index columns = out.frames * out.channels;
    core::parallel_for(out.channels, context.threads, [&](Index c) {
      for (Index n = 0; n < block.frames(); ++n) {
        const std::complex<float>* z = block.at(static_cast<int>(c), n);
        float* column = out.values.data() + c * out.frames + first + n;
        for (Index k = 0; k < out.bins; ++k)
          column[k * columns] = std::sqrt(z[k].real() * z[k].real() + z[k].imag() * z[k].imag());
      }
    });
    first += block.frames();
  };
  for (Index begin = 0; begin < x.samples(); begin += kBlockSamples) {
    context.stop.check();
    take(stft.push(x.slice(begin, std::min(kBlockSamples, x.samples() - begin))));
  }
  take(stft.finish());
  MSS_ASSERT(first == out.frames);
  return out;
}

/// A power of two near 1 / mean: the floors of the updates then mean the same at every level, and the scaling is exact.
double level_scale(const std::vector<float>& v) {
  double sum = 0;
  for (const float x : v) sum += static_cast<double>(x);
  const double mean = v.empty() ? 0.0 : sum / static_cast<double>(v.size());
  if (!(mean > 0)) return 1.0;
  return std::ldexp(1.0, std::clamp(-std::ilogb(mean), -100, 100));
}

/// Frame by frame, the magnitudes of every part (a set of components), from templates and activations.
class PartModel {
 public:
  /// `first[p]` … `first[p + 1]` are part p's components; h of frame n of channel c is read at h(r, c, n).
  PartModel(const Factors<float>& factors, std::vector<int> first) : first_(std::move(first)) {
    bins_ = factors.bins;
    template_frames_ = factors.template_frames;
    components_ = factors.components;
    templates_.resize(factors.w.size());
    for (Index k = 0; k < bins_; ++k) {
      for (int t = 0; t < template_frames_; ++t) {
        for (int r = 0; r < components_; ++r)
          templates_[sz((Index{t} * components_ + r) * bins_ + k)] = factors.w_at(k, t, r);
      }
    }
  }
  int parts() const { return static_cast<int>(first_.size()) - 1; }
  Index bins() const { return bins_; }

  /// out[p * K + k] for one frame; `activation(r, t)` is H[r] t frames before it (0 before the channel's first frame).
  template <class Activation>
  void frame(const Activation& activation, float* out) const {
    std::fill_n(out, parts() * bins_, 0.0F);
    for (int p = 0; p < parts(); ++p) {
      float* sum = out + p * bins_;
      for (int r = first_[sz(p)]; r < first_[sz(p) + 1]; ++r) {
        for (int t = 0; t < template_frames_; ++t) {
          const float h = activation(r, t);
          if (h == 0.0F) continue;
          const float* w = templates_.data() + (Index{t} * components_ + r) * bins_;
          for (Index k = 0; k < bins_; ++k) sum[k] += h * w[k];
        }
      }
    }
  }

 private:
  std::vector<int> first_;
  std::vector<float> templates_;
  Index bins_ = 0;
  int template_frames_ = 1, components_ = 0;
};

/// Where blocks of stems (or magnitudes) go: the caller's sink, or a function that measures them.
class StemWriter {
 public:
  StemWriter(StemSink* sink, const audio::StftSpec& spec, int stems, int channels, int rate_hz, int threads)
      : sink_(sink), threads_(threads), magnitudes_(sink != nullptr && sink->wants_magnitudes()) {
    if (magnitudes_) {
      sink_->begin_magnitudes(spec);
      return;
    }
    for (int s = 0; s < stems; ++s) inverse_.emplace_back(spec, channels, rate_hz);
  }
  bool magnitudes() const { return magnitudes_; }
  std::function<void(const std::vector<audio::AudioBuffer>&)> on_block;  ///< instead of a sink

  /// Stems `loud[s]` are multiplied by gain[(n + offset) mod gain.size()] at sample n.
  void set_gain(std::vector<double> gain, Index offset, std::vector<bool> loud) {
    gain_ = std::move(gain);
    gain_offset_ = offset;
    loud_ = std::move(loud);
  }

  void spectra(const std::vector<Spectrum>& stems) {
    std::vector<audio::AudioBuffer> done(stems.size());
    core::parallel_for(static_cast<Index>(stems.size()), threads_,
                       [&](Index s) { done[sz(s)] = inverse_[sz(s)].push(stems[sz(s)]); });
    forward(done);
  }
  void magnitude_block(const Spectrum& mixture, std::vector<std::vector<float>> values) {
    if (mixture.frames() > 0) {
      MagnitudeBlock block{.first_frame = frames_, .mixture = &mixture, .magnitudes = std::move(values)};
      sink_->write_magnitudes(block);
    }
    frames_ += mixture.frames();
  }
  void finish(Index samples) {
    if (magnitudes_) return;
    std::vector<audio::AudioBuffer> done(inverse_.size());
    for (std::size_t s = 0; s < done.size(); ++s) done[s] = inverse_[s].finish(samples);
    forward(done);
  }

 private:
  void forward(std::vector<audio::AudioBuffer>& stems) {
    for (std::size_t s = 0; s < loud_.size() && s < stems.size(); ++s) {
      if (!loud_[s]) continue;
      for (int c = 0; c < stems[s].channels(); ++c) {
        Index n = samples_ + gain_offset_;
        for (float& x : stems[s].channel(c)) x *= static_cast<float>(gain_[sz(n++) % gain_.size()]);
      }
    }
    if (stems.empty() || stems.front().samples() == 0) return;
    if (on_block) {
      on_block(stems);
    } else {
      StemBlock block{.begin = samples_, .stems = {}};
      for (const auto& stem : stems) block.stems.push_back(stem);
      sink_->write(block);
    }
    samples_ += stems.front().samples();
  }

  StemSink* sink_;
  std::vector<audio::StreamingIstft> inverse_;
  std::vector<double> gain_;
  std::vector<bool> loud_;
  Index gain_offset_ = 0;
  Index samples_ = 0, frames_ = 0;
  int threads_;
  bool magnitudes_;
};

/// A source that must yield exactly as much as the mixture.
void read_exactly(audio::Source& source, audio::AudioSpan out, const std::string& name) {
  const Index found = source.read(out);
  if (found != out.samples()) {
    throw Error({Code::invalid_argument,
                 fmt::format("reference '{}'", name),
                 "shorter than the mixture",
                 fmt::format("{} more samples", out.samples() - found),
                 "the end",
                 {}});
  }
}

class NmfSeparator final : public Separator {
 public:
  NmfSeparator(SeparatorOptions options, SeparatorInfo info)
      : Separator(std::move(info)), options_(std::move(options)) {
    if (options_.dictionary != nullptr || options_.start != nullptr) {
      const Dictionary& d = options_.dictionary != nullptr ? *options_.dictionary : *options_.start;
      std::vector<int> first = {0};
      for (const auto& part : d.parts) first.push_back(first.back() + part.components);
      dictionary_first_ = std::move(first);
      if (info_.streams) fixed_ = std::make_unique<FixedTemplates<float>>(d.stacked(), d.stft.bins(), d.components());
    }
  }

 private:
  double alpha() const {
    if (options_.alpha > 0) return options_.alpha;
    return options_.dictionary != nullptr || options_.protocol == Protocol::p5 ? 2.0 : 1.0;
  }

  bool toolbox() const { return options_.update != Update::clean; }

  static void masks(float* parts, int count, Index bins, double alpha, bool toolbox) {
    if (!toolbox) {
      wiener_masks(parts, count, bins, bins, alpha);
      return;
    }
    constexpr float kEps = 0x1p-52F;
    for (Index k = 0; k < bins; ++k) {
      float sum = kEps;
      for (int p = 0; p < count; ++p) {
        float& x = parts[p * bins + k];
        x = alpha == 1.0 ? x + kEps : std::pow(x + kEps, static_cast<float>(alpha));
        sum += x;
      }
      for (int p = 0; p < count; ++p) parts[p * bins + k] /= sum;
    }
  }

  FitOptions<float> fit_options(Context& context) const {
    FitOptions<float> o;
    o.iterations = options_.iterations;
    o.beta = options_.beta;
    o.update = options_.update;
    o.sparsity = options_.sparsity;
    o.continuity = options_.continuity;
    o.threads = context.threads;
    o.stop = context.stop;
    return o;
  }

  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    const int channels = mixture.channels(), rate_hz = mixture.rate_hz();
    if (fixed_ != nullptr) {
      sink.begin({.targets = context.targets,
                  .channels = channels,
                  .rate_hz = rate_hz,
                  .samples = mixture.length().value_or(-1)});
      separate_stream(mixture, sink, context);
      return;
    }
    const audio::AudioBuffer audio = audio::read_all(mixture);
    sink.begin({.targets = context.targets, .channels = channels, .rate_hz = rate_hz, .samples = audio.samples()});
    separate_whole(audio, sink, context);
  }

  // Masks of one frame of one channel, applied to X, into all stems; `target[p]` is part p's stem or -1.
  struct Mixer {
    const PartModel& parts;
    const std::vector<int>& target;
    double alpha;
    bool toolbox;       ///< eps on every part and on their sum, as the toolbox has it
    float model_scale;  ///< from the model's level to the STFT's
  };

  template <class Activation>
  static void mix_frame(const Mixer& mixer, const Activation& activation, const std::complex<float>* x, int c, Index n,
                        std::vector<float>& scratch, std::vector<Spectrum>* stems,
                        std::vector<std::vector<float>>* magnitudes, Index block_frames) {
    const Index bins = mixer.parts.bins();
    const int parts = mixer.parts.parts();
    scratch.resize(sz(bins * parts));
    mixer.parts.frame(activation, scratch.data());
    if (magnitudes != nullptr) {
      for (int p = 0; p < parts; ++p) {
        if (mixer.target[sz(p)] < 0) continue;
        float* out = (*magnitudes)[sz(mixer.target[sz(p)])].data() + (c * block_frames + n) * bins;
        for (Index k = 0; k < bins; ++k) out[k] += mixer.model_scale * scratch[sz(p * bins + k)];
      }
      return;
    }
    masks(scratch.data(), parts, bins, mixer.alpha, mixer.toolbox);
    std::vector<float> mask(sz(bins));
    for (int s = 0; s < static_cast<int>(stems->size()); ++s) {
      std::fill(mask.begin(), mask.end(), 0.0F);
      for (int p = 0; p < parts; ++p) {
        if (mixer.target[sz(p)] != s) continue;
        for (Index k = 0; k < bins; ++k) mask[sz(k)] += scratch[sz(p * bins + k)];
      }
      std::complex<float>* y = (*stems)[sz(s)].at(c, n);
      for (Index k = 0; k < bins; ++k) y[k] = x[k] * mask[sz(k)];
    }
  }

  // `activation(c, first + n)` makes the function that PartModel::frame reads.
  template <class MakeActivation>
  static void mix_block(const Mixer& mixer, const MakeActivation& make_activation, const Spectrum& x, int stem_count,
                        StemWriter& writer, int threads) {
    if (x.frames() == 0) return;
    std::vector<Spectrum> stems;
    std::vector<std::vector<float>> magnitudes;
    if (writer.magnitudes()) {
      magnitudes.assign(sz(stem_count), std::vector<float>(x.data().size(), 0.0F));
    } else {
      for (int s = 0; s < stem_count; ++s) stems.emplace_back(x.channels(), x.frames(), x.bins());
    }
    std::vector<std::vector<float>> scratch(sz(threads));
    core::parallel_for_worker(x.channels() * x.frames(), threads, [&](Index item, int worker) {
      const core::FlushDenormals flush;
      const auto c = static_cast<int>(item / x.frames());
      const Index n = item % x.frames();
      mix_frame(mixer, make_activation(c, n), x.at(c, n), c, n, scratch[sz(worker)],
                writer.magnitudes() ? nullptr : &stems, writer.magnitudes() ? &magnitudes : nullptr, x.frames());
    });
    if (writer.magnitudes()) {
      writer.magnitude_block(x, std::move(magnitudes));
    } else {
      writer.spectra(stems);
    }
  }

  // Supervised, one template frame: frames are independent, so blocks are fitted and masked as they come.
  void separate_stream(audio::Source& mixture, StemSink& sink, Context& context) const {
    const Dictionary& d = *options_.dictionary;
    const Index bins = d.stft.bins();
    const int channels = mixture.channels(), components = d.components(), stems = static_cast<int>(d.parts.size());
    Factors<float> factors(bins, 0, components);
    factors.w = d.stacked();
    const PartModel parts(factors, dictionary_first_);
    std::vector<int> target(sz(stems));
    for (int s = 0; s < stems; ++s) target[sz(s)] = s;
    StemWriter writer(&sink, d.stft, stems, channels, mixture.rate_hz(), context.threads);
    audio::StreamingStft forward(d.stft, channels);
    const FitOptions<float> options = fit_options(context);
    std::vector<float> v, h;
    const auto process = [&](const Spectrum& x) {
      const Index columns = x.channels() * x.frames();
      if (columns == 0) return;
      v.resize(sz(columns * bins));
      h.assign(sz(columns * components), 1.0F);
      std::vector<float> scale(sz(columns), 1.0F);
      core::parallel_for(columns, context.threads, [&](Index i) {
        const std::complex<float>* z = x.data().data() + i * bins;
        float* out = v.data() + i * bins;
        double sum = 0;
        for (Index k = 0; k < bins; ++k) {
          out[k] = std::sqrt(z[k].real() * z[k].real() + z[k].imag() * z[k].imag());
          sum += static_cast<double>(out[k]);
        }
        // Each frame at its own level: frames do not know of each other, so the result does not depend on the blocks.
        if (sum > 0) scale[sz(i)] = static_cast<float>(std::ldexp(1.0, std::clamp(10 - std::ilogb(sum), -100, 100)));
        for (Index k = 0; k < bins; ++k) out[k] *= scale[sz(i)];
      });
      fixed_->activations(v.data(), columns, bins, h.data(), options);
      for (Index i = 0; i < columns; ++i) {
        for (int r = 0; r < components; ++r) h[sz(i * components + r)] /= scale[sz(i)];
      }
      const Mixer mixer{parts, target, alpha(), false, 1.0F};
      mix_block(
          mixer,
          [&](int c, Index n) {
            const float* column = h.data() + (c * x.frames() + n) * components;
            return [column](int r, int) { return column[r]; };
          },
          x, stems, writer, context.threads);
    };
    Index samples = 0;
    audio::AudioBuffer buffer(channels, kBlockSamples, mixture.rate_hz());
    while (const Index n = mixture.read(buffer.span())) {
      context.stop.check();
      process(forward.push(buffer.view().slice(0, n)));
      samples += n;
      context.progress(samples);
    }
    process(forward.finish());
    writer.finish(samples);
  }

  // Everything that looks at the whole file.
  void separate_whole(const audio::AudioBuffer& audio, StemSink& sink, Context& context) const {
    const int stem_count = static_cast<int>(context.targets.size());
    audio::AudioBuffer mono;
    if (options_.mono && audio.channels() > 1) mono = mean_of_channels(audio);
    const audio::AudioView input = mono.channels() > 0 ? mono.view() : audio.view();

    std::vector<audio::AudioBuffer> references;
    if (context.references != nullptr) {
      for (std::size_t s = 0; s < context.references->sources.size(); ++s) {
        audio::AudioBuffer reference(audio.channels(), audio.samples(), audio.rate_hz());
        read_exactly(*context.references->sources[s], reference.span(), context.references->names[s]);
        if (options_.mono && audio.channels() > 1) reference = mean_of_channels(reference);
        references.push_back(std::move(reference));
      }
    }
    const auto report = [&](double share) {
      context.progress(static_cast<Index>(share * static_cast<double>(audio.samples())));
    };

    double scale = 1.0;
    std::vector<int> first;
    Factors<float> factors;
    if (options_.protocol == Protocol::p5) {
      factors = fit_to_references(input, references, first, scale, context, report);
    } else if (options_.dictionary != nullptr) {
      factors = fit_to_dictionary(input, first, scale, context, report);
    } else {
      factors = fit_blind(input, stem_count, scale, context, report);
      if (options_.start != nullptr) {
        first = dictionary_first_;
      } else {
        for (int r = 0; r <= factors.components; ++r) first.push_back(r);
      }
    }
    const PartModel parts(factors, first);
    std::vector<int> target(sz(parts.parts()));
    for (int p = 0; p < parts.parts(); ++p) target[sz(p)] = p;
    if (options_.dictionary != nullptr && options_.free_components > 0) target.back() = free_index();
    if (options_.protocol == Protocol::p4) target = group_by_energy(parts, factors, input, references, context);
    if (options_.protocol == Protocol::p3) target = assign_by_sdr(parts, factors, input, references, context);

    StemWriter writer(&sink, options_.stft, stem_count, input.channels(), input.rate_hz(), context.threads);
    emulate_window_bug(target, writer);
    Index begin = 0;
    if (input.channels() != audio.channels()) {
      writer.on_block = [&](const std::vector<audio::AudioBuffer>& stems) {
        std::vector<audio::AudioBuffer> wide;
        StemBlock block{.begin = begin, .stems = {}};
        for (const auto& stem : stems) wide.push_back(audio::convert_channels(stem, audio.channels()));
        for (const auto& stem : wide) block.stems.push_back(stem);
        begin += stems.front().samples();
        sink.write(block);
      };
    }
    const Mixer mixer{parts, target, alpha(), toolbox(), static_cast<float>(1.0 / scale)};
    stream_masks(mixer, factors, input, stem_count, writer, context);
  }

  void stream_masks(const Mixer& mixer, const Factors<float>& factors, audio::AudioView input, int stem_count,
                    StemWriter& writer, Context& context) const {
    const Index frames = factors.frames / input.channels();
    audio::StreamingStft forward(options_.stft, input.channels());
    Index done = 0;
    const auto process = [&](const Spectrum& x) {
      mix_block(
          mixer,
          [&](int c, Index n) {
            const Index at = done + n;
            return [&factors, frames, c, at](int r, int t) {
              return t <= at ? factors.h_at(r, c * frames + at - t) : 0.0F;
            };
          },
          x, stem_count, writer, context.threads);
      done += x.frames();
    };
    for (Index begin = 0; begin < input.samples(); begin += kBlockSamples) {
      context.stop.check();
      process(forward.push(input.slice(begin, std::min(kBlockSamples, input.samples() - begin))));
    }
    process(forward.finish());
    writer.finish(input.samples());
  }

  template <class Report>
  Factors<float> fit_blind(audio::AudioView input, int stem_count, double& scale, Context& context,
                           const Report& report) const {
    Magnitudes v = magnitudes_of(input, options_.stft, context);
    scale = level_scale(v.values);
    for (float& x : v.values) x *= static_cast<float>(scale);
    const int components = options_.start != nullptr           ? options_.start->components()
                           : options_.components > 0           ? options_.components
                           : options_.protocol == Protocol::p3 ? stem_count
                                                               : 16;
    FitOptions<float> o = fit_options(context);
    o.segment_frames = v.frames;
    o.progress = [&](int i) { report(0.8 * i / std::max(1, options_.iterations)); };
    if (options_.tensor) return fit_panned(v, components, context, o);
    Factors<float> start(v.bins, v.frames * v.channels, components, options_.template_frames);
    if (toolbox()) {
      const auto seed = static_cast<std::uint32_t>(context.seed);
      set_templates(start, random_templates(v.bins, options_.template_frames, components, seed));
      set_activations(start, options_.uniform_h ? uniform_activations(components, start.frames)
                                                : random_activations(components, start.frames, seed));
    } else {
      start = random_start(v.view(), components, options_.template_frames, context.seed, options_.uniform_h);
    }
    if (options_.start != nullptr) set_templates(start, class_templates());
    Factors<float> factors =
        options_.hals ? fit_hals(v.view(), std::move(start), o).factors : fit(v.view(), std::move(start), o).factors;
    if (toolbox()) {
      // The toolbox divides V by its sum, so its model is that much smaller.
      double sum = 0;
      for (const float x : v.values) sum += static_cast<double>(x);
      if (sum > 0) scale /= sum;
    }
    return factors;
  }

  // One panning per component; handed on as activations per channel, which is what the masks need.
  Factors<float> fit_panned(const Magnitudes& v, int components, const Context& context,
                            const FitOptions<float>& o) const {
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
    const Factors<float> drawn = random_start(stacked, components, 1, context.seed, options_.uniform_h);
    TensorFactors<float> start{v.channels, Factors<float>(v.bins, v.frames, components), {}};
    // The first channel's rows of the drawn templates are the templates; the pannings start from their own draws around
    // the centre.
    std::copy_n(drawn.w.begin(), start.factors.w.size(), start.factors.w.begin());
    start.factors.h = drawn.h;
    for (int r = 0; r < components; ++r) {
      core::Rng rng(context.seed, kPanningStream, static_cast<std::uint32_t>(r));
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

  // P1: the start dictionary's templates; single spectra fall linearly over the template's frames (nmf.md 2.9).
  Templates class_templates() const {
    const Dictionary& d = *options_.start;
    const Index bins = d.stft.bins();
    Templates templates;
    for (const auto& part : d.parts) {
      for (int r = 0; r < part.components; ++r) {
        std::vector<double> w;
        for (Index i = 0; i < bins * d.template_frames; ++i)
          w.push_back(static_cast<double>(part.w[sz(i * part.components + r)]));
        if (d.template_frames == 1) w = spectrum_templates({w}, options_.template_frames)[0];
        templates.push_back(std::move(w));
      }
    }
    return templates;
  }

  // The toolbox writes component after component with one parameter set, so its calls 2, 4 … are components 1, 3 …
  void emulate_window_bug(const std::vector<int>& target, StemWriter& writer) const {
    if (!options_.window_bug) return;
    std::vector<bool> loud(sz(*std::ranges::max_element(target) + 1), false);
    for (std::size_t p = 1; p < target.size(); p += 2) {
      if (target[p] >= 0) loud[sz(target[p])] = true;
    }
    writer.set_gain(window_bug_gain(options_.stft), options_.stft.fft_size / 2, std::move(loud));
  }

  template <class Report>
  Factors<float> fit_to_dictionary(audio::AudioView input, std::vector<int>& first, double& scale, Context& context,
                                   const Report& report) const {
    const Dictionary& d = *options_.dictionary;
    Magnitudes v = magnitudes_of(input, options_.stft, context);
    scale = level_scale(v.values);
    for (float& x : v.values) x *= static_cast<float>(scale);
    first = dictionary_first_;
    const int fixed = d.components(), free = options_.free_components;
    if (free > 0) first.push_back(fixed + free);
    const Factors<float> drawn = random_start(v.view(), std::max(free, 1), d.template_frames, context.seed, true);
    Factors<float> start(v.bins, v.frames * v.channels, fixed + free, d.template_frames);
    const std::vector<float> w = d.stacked();
    for (Index k = 0; k < v.bins; ++k) {
      for (int t = 0; t < d.template_frames; ++t) {
        const float* row = w.data() + (k * d.template_frames + t) * fixed;
        for (int r = 0; r < fixed; ++r) start.w_at(k, t, r) = row[r];
        for (int r = 0; r < free; ++r) start.w_at(k, t, fixed + r) = drawn.w_at(k, t, r);
      }
    }
    std::fill(start.h.begin(), start.h.end(), 1.0F);
    FitOptions<float> o = fit_options(context);
    o.segment_frames = v.frames;
    o.fix_w = free == 0;
    o.fixed_components = fixed;
    o.progress = [&](int i) { report(0.8 * i / std::max(1, options_.iterations)); };
    return fit(v.view(), std::move(start), o).factors;
  }

  template <class Report>
  Factors<float> fit_to_references(audio::AudioView input, const std::vector<audio::AudioBuffer>& references,
                                   std::vector<int>& first, double& scale, Context& context,
                                   const Report& report) const {
    const int per_stem = options_.components > 0 ? options_.components : 30;
    const int stems = static_cast<int>(references.size());
    Magnitudes v = magnitudes_of(input, options_.stft, context);
    scale = level_scale(v.values);
    for (float& x : v.values) x *= static_cast<float>(scale);
    Factors<float> start(v.bins, v.frames * v.channels, per_stem * stems, options_.template_frames);
    first.push_back(0);
    const double rounds = static_cast<double>(std::max(1, options_.iterations)) * (stems + 1);
    for (int s = 0; s < stems; ++s) {
      Magnitudes y = magnitudes_of(references[sz(s)], options_.stft, context);
      for (float& x : y.values) x *= static_cast<float>(scale);
      FitOptions<float> o = fit_options(context);
      o.segment_frames = y.frames;
      o.progress = [&](int i) { report(0.8 * (s * options_.iterations + i) / rounds); };
      const std::uint64_t seed =
          core::Rng(context.seed, kTemplateStream, 0x80000000U + static_cast<std::uint32_t>(s)).next_u64();
      const auto learned =
          fit(y.view(), random_start(y.view(), per_stem, options_.template_frames, seed, false), o).factors;
      for (Index k = 0; k < v.bins; ++k) {
        for (int t = 0; t < options_.template_frames; ++t) {
          for (int r = 0; r < per_stem; ++r) start.w_at(k, t, s * per_stem + r) = learned.w_at(k, t, r);
        }
      }
      first.push_back((s + 1) * per_stem);
    }
    std::fill(start.h.begin(), start.h.end(), 1.0F);
    FitOptions<float> o = fit_options(context);
    o.segment_frames = v.frames;
    o.fix_w = true;
    o.progress = [&](int i) { report(0.8 * (stems * options_.iterations + i) / rounds); };
    return fit(v.view(), std::move(start), o).factors;
  }

  int free_index() const {
    const auto targets = options_.dictionary->targets();
    const auto it = std::ranges::find(targets, options_.free_target);
    return it == targets.end() ? static_cast<int>(targets.size()) - 1 : static_cast<int>(it - targets.begin());
  }

  // P4: a[r][j] = sum of mask_r |Y_j|^2 over frames and bins, of all channels.
  std::vector<int> group_by_energy(const PartModel& parts, const Factors<float>& factors, audio::AudioView input,
                                   const std::vector<audio::AudioBuffer>& references, Context& context) const {
    const Index bins = parts.bins(), frames = factors.frames / input.channels();
    const int components = parts.parts(), stems = static_cast<int>(references.size());
    std::vector<audio::StreamingStft> forward;
    for (int s = 0; s < stems; ++s) forward.emplace_back(options_.stft, input.channels());
    std::vector<double> energy(sz(components * stems), 0.0);
    Index done = 0;
    const auto process = [&](const std::vector<Spectrum>& y) {
      const Index count = y.empty() ? 0 : y[0].frames();
      const Index items = count * input.channels();
      std::vector<double> partial(sz(items * components * stems), 0.0);
      core::parallel_for(items, context.threads, [&](Index item) {
        const core::FlushDenormals flush;
        const auto c = static_cast<int>(item / count);
        const Index n = item % count, at = done + n;
        std::vector<float> mask(sz(bins * components)), power(sz(bins));
        parts.frame([&](int r, int t) { return t <= at ? factors.h_at(r, c * frames + at - t) : 0.0F; }, mask.data());
        masks(mask.data(), components, bins, alpha(), toolbox());
        for (int s = 0; s < stems; ++s) {
          const std::complex<float>* z = y[sz(s)].at(c, n);
          for (Index k = 0; k < bins; ++k) power[sz(k)] = z[k].real() * z[k].real() + z[k].imag() * z[k].imag();
          for (int r = 0; r < components; ++r) {
            double sum = 0;
            const float* m = mask.data() + r * bins;
            for (Index k = 0; k < bins; ++k) sum += static_cast<double>(m[k] * power[sz(k)]);
            partial[sz((item * components + r) * stems + s)] = sum;
          }
        }
      });
      for (Index item = 0; item < items; ++item) {
        for (std::size_t i = 0; i < energy.size(); ++i) energy[i] += partial[sz(item) * energy.size() + i];
      }
      done += count;
    };
    std::vector<Spectrum> y(sz(stems));
    for (Index begin = 0; begin < input.samples(); begin += kBlockSamples) {
      context.stop.check();
      const Index n = std::min(kBlockSamples, input.samples() - begin);
      core::parallel_for(stems, context.threads,
                         [&](Index s) { y[sz(s)] = forward[sz(s)].push(references[sz(s)].view().slice(begin, n)); });
      process(y);
    }
    for (int s = 0; s < stems; ++s) y[sz(s)] = forward[sz(s)].finish();
    process(y);
    return best_columns(energy, components, stems);
  }

  // P3: the injective assignment with the largest sum of SDR_rj = 10 log10(|y_j|^2 / |y_j - x_r|^2); silent stems do
  // not count.
  std::vector<int> assign_by_sdr(const PartModel& parts, const Factors<float>& factors, audio::AudioView input,
                                 const std::vector<audio::AudioBuffer>& references, Context& context) const {
    const int components = parts.parts(), stems = static_cast<int>(references.size());
    std::vector<double> errors(sz(components * stems), 0.0), sdr(errors.size(), 0.0);
    std::vector<int> own(sz(components));
    for (int p = 0; p < components; ++p) own[sz(p)] = p;
    StemWriter writer(nullptr, options_.stft, components, input.channels(), input.rate_hz(), context.threads);
    emulate_window_bug(own, writer);
    Index begin = 0;
    writer.on_block = [&](const std::vector<audio::AudioBuffer>& estimates) {
      const Index n = estimates.front().samples();
      core::parallel_for(components * stems, context.threads, [&](Index i) {
        const Index r = i / stems, s = i % stems;
        double sum = 0;
        for (int c = 0; c < input.channels(); ++c) {
          const auto x = estimates[sz(r)].channel(c);
          const auto y = references[sz(s)].channel(c).subspan(sz(begin), sz(n));
          for (Index j = 0; j < n; ++j) {
            const double e = static_cast<double>(y[sz(j)]) - static_cast<double>(x[sz(j)]);
            sum += e * e;
          }
        }
        errors[sz(i)] += sum;
      });
      begin += n;
    };
    const Mixer mixer{parts, own, alpha(), toolbox(), 1.0F};
    stream_masks(mixer, factors, input, components, writer, context);
    for (int s = 0; s < stems; ++s) {
      const double energy = audio::energy(references[sz(s)]);
      if (!(energy > 0)) continue;
      for (int r = 0; r < components; ++r) {
        const double error = std::max(errors[sz(r * stems + s)], energy * 1e-30);
        sdr[sz(r * stems + s)] = 10.0 * std::log10(energy / error);
      }
    }
    return best_assignment(sdr, components, stems);
  }

  SeparatorOptions options_;
  std::vector<int> dictionary_first_;
  std::unique_ptr<FixedTemplates<float>> fixed_;
};

}  // namespace

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

std::unique_ptr<Separator> make_separator(SeparatorOptions options, SeparatorInfo info) {
  return std::make_unique<NmfSeparator>(std::move(options), std::move(info));
}

}  // namespace mss::methods::nmf
