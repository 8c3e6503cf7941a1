#include "methods/nmf/separator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "audio/resample.h"
#include "core/error.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "methods/nmf/factorisation.h"
#include "methods/nmf/fits.h"
#include "methods/nmf/mask.h"
#include "methods/nmf/toolbox.h"

namespace mss::methods::nmf {
namespace {

using Index = std::int64_t;
using Spectrum = audio::Spectrogram<float>;

constexpr Index kBlockSamples = 32768;

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

audio::AudioBuffer mean_of_channels(audio::AudioView x) { return audio::convert_channels(x, 1); }

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

class NmfSeparator final : public Separator, public Factoriser {
 public:
  NmfSeparator(SeparatorOptions options, SeparatorInfo info)
      : Separator(std::move(info)), options_(std::move(options)) {
    if (options_.dictionary != nullptr || options_.start != nullptr) {
      const Dictionary& d = options_.dictionary != nullptr ? *options_.dictionary : *options_.start;
      dictionary_first_ = first_components(d);
      for (int m = 0; m < d.members && info_.streams; ++m) {
        const Dictionary one = d.member(m);
        fixed_.emplace_back(one.stacked(), d.stft.bins(), one.components());
      }
    }
    info_.memory = [o = options_, streams = info_.streams, references = info_.needs_references,
                    components = std::max<Index>(64, dictionary_first_.empty() ? 0 : dictionary_first_.back())](
                       Index samples, int channels, int) {
      const Index frames = samples / o.stft.hop_samples + 2, bins = o.stft.bins();
      const int own = o.mono ? 1 : channels, stems = 4;
      MemoryNeed need{.fixed_bytes = 8 * components * bins, .call_bytes = Index{96} << 20};
      if (streams) {
        if (o.calibrate) need.call_bytes += CueStream::memory_bytes(own, bins, kBlockSamples / o.stft.hop_samples + 2);
        return need;
      }
      // The mixture, and the true stems of oracles.
      need.call_bytes += 4 * samples * channels * (1 + (o.mono ? 1 : 0) + (references ? stems : 0));
      need.call_bytes += fit_whole_bytes(o, bins, frames, own, stems);
      // The cues, two bytes.
      if (o.calibrate) need.call_bytes += 2 * bins * frames;
      return need;
    };
    if (options_.calibrate) {
      const Dictionary& d = *options_.dictionary;
      calibrator_ = std::make_unique<Calibrator>(d.calibration, d.stft, d.rate_hz);
    }
  }

 private:
  audio::AudioBuffer native(audio::AudioView x) const {
    audio::AudioBuffer out =
        info_.rate_hz > 0 && info_.rate_hz != x.rate_hz() ? audio::resample(x, info_.rate_hz) : audio::AudioBuffer(x);
    return options_.mono && out.channels() > 1 ? mean_of_channels(out.view()) : out;
  }

  double alpha() const {
    if (options_.alpha > 0) return options_.alpha;
    if (options_.calibrate) return 1.0;  // what it was learned with
    return options_.dictionary != nullptr || options_.protocol == Protocol::p5 ? 2.0 : 1.0;
  }

  bool toolbox() const { return options_.update != Update::clean; }

  Factorisation factorise(audio::AudioView mixture, const std::vector<std::string>& names,
                          const std::vector<audio::AudioView>& true_stems, const Options& options) const override {
    if (info_.needs_references && true_stems.empty()) {
      throw Error(
          {Code::invalid_argument, info_.spec, "the factors depend on the true stems", "references", "none", {}});
    }
    Context context;
    context.seed = options.seed;
    context.threads = core::resolve_threads(options.threads);
    context.stop = options.stop;
    context.progress = [](Index) {};
    const audio::AudioBuffer input = native(mixture);
    Factorisation out;
    std::vector<audio::AudioBuffer> references;
    if (info_.needs_references) {
      for (const audio::AudioView stem : true_stems) references.push_back(native(stem));
      out.targets = names;
    } else {
      out.targets = info_.targets;
    }
    out.stft = options_.stft;
    out.alpha = alpha();
    out.toolbox = toolbox();
    out.members = members();
    out.rate_hz = input.rate_hz();
    out.channels = input.channels();
    if (!fixed_.empty()) {
      const Spectrum x = audio::Stft<float>(options_.stft).forward(input.view(), context.threads);
      const Index columns = x.channels() * x.frames();
      const std::vector<float> h = fit_members(x, context);
      out.frames = x.frames();
      out.factors = Factors<float>(x.bins(), columns, dictionary_first_.back());
      out.factors.w = options_.dictionary->stacked();
      for (Index i = 0; i < columns; ++i) {
        for (int r = 0; r < out.factors.components; ++r) out.factors.h_at(r, i) = h[sz(i * out.factors.components + r)];
      }
      out.first = dictionary_first_;
    } else {
      Fitted fitted = fit_whole(input, references, static_cast<int>(references.size()), context, [](double) {});
      out.frames = fitted.factors.frames / input.channels();
      out.factors = std::move(fitted.factors);
      out.first = std::move(fitted.first);
      out.scale = fitted.scale;
    }
    out.target = targets_of(PartModel(out.factors, out.first), out.factors, input, references, context);
    return out;
  }

  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    const int channels = mixture.channels(), rate_hz = mixture.rate_hz();
    if (!fixed_.empty()) {
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
    int members = 1;    ///< of an ensemble
    const Calibrator* calibrator = nullptr;
    const Cues* cues = nullptr;
  };

  template <class Activation>
  static void mix_frame(const Mixer& mixer, const Activation& activation, const std::complex<float>* x, int c, Index n,
                        Index frame, std::vector<float>& scratch, std::vector<Spectrum>* stems,
                        std::vector<std::vector<float>>* magnitudes, Index block_frames) {
    const Index bins = mixer.parts.bins();
    const int parts = mixer.parts.parts();
    scratch.resize(sz(bins * parts));
    mixer.parts.frame(activation, scratch.data());
    if (magnitudes != nullptr && mixer.calibrator == nullptr) {
      const float scale = mixer.model_scale / static_cast<float>(mixer.members);
      for (int p = 0; p < parts; ++p) {
        if (mixer.target[sz(p)] < 0) continue;
        float* out = (*magnitudes)[sz(mixer.target[sz(p)])].data() + (c * block_frames + n) * bins;
        for (Index k = 0; k < bins; ++k) out[k] += scale * scratch[sz(p * bins + k)];
      }
      return;
    }
    component_masks(scratch.data(), parts, bins, mixer.alpha, mixer.toolbox, mixer.members);
    const int count = static_cast<int>(magnitudes != nullptr ? magnitudes->size() : stems->size());
    std::vector<float> mask(sz(bins * count), 0.0F);
    for (int p = 0; p < parts; ++p) {
      if (mixer.target[sz(p)] < 0) continue;
      float* sum = mask.data() + mixer.target[sz(p)] * bins;
      for (Index k = 0; k < bins; ++k) sum[k] += scratch[sz(p * bins + k)];
    }
    if (mixer.calibrator != nullptr) mixer.calibrator->apply(*mixer.cues, frame, mask.data());
    for (int s = 0; s < count; ++s) {
      const float* gain = mask.data() + s * bins;
      if (magnitudes != nullptr) {
        // Calibrated, the estimate of a magnitude is what the mask lets through.
        float* out = (*magnitudes)[sz(s)].data() + (c * block_frames + n) * bins;
        for (Index k = 0; k < bins; ++k)
          out[k] = gain[k] * std::sqrt(x[k].real() * x[k].real() + x[k].imag() * x[k].imag());
      } else {
        std::complex<float>* y = (*stems)[sz(s)].at(c, n);
        for (Index k = 0; k < bins; ++k) y[k] = x[k] * gain[k];
      }
    }
  }

  // `make_activation(c, n)` makes the function that PartModel::frame reads; the block's frames start at `first`.
  template <class MakeActivation>
  static void mix_block(const Mixer& mixer, const MakeActivation& make_activation, const Spectrum& x, Index first,
                        int stem_count, StemWriter& writer, int threads) {
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
      mix_frame(mixer, make_activation(c, n), x.at(c, n), c, n, first + n, scratch[sz(worker)],
                writer.magnitudes() ? nullptr : &stems, writer.magnitudes() ? &magnitudes : nullptr, x.frames());
    });
    if (writer.magnitudes()) {
      writer.magnitude_block(x, std::move(magnitudes));
    } else {
      writer.spectra(stems);
    }
  }

  // Activations of the dictionary's members beside each other, frame-major: column i's at [i * R].
  std::vector<float> fit_members(const Spectrum& x, const Context& context) const {
    const Index columns = x.channels() * x.frames(), components = dictionary_first_.back();
    std::vector<float> all, h;
    Index begin = 0;
    for (const FixedTemplates<float>& member : fixed_) {
      fit_frames(member, options_, x.data().data(), columns, context, h);
      if (fixed_.size() == 1) return h;
      all.resize(sz(columns * components));
      const Index own = member.components();
      for (Index i = 0; i < columns; ++i) std::copy_n(h.begin() + i * own, own, all.begin() + i * components + begin);
      begin += own;
    }
    return all;
  }

  // Supervised, one template frame: frames are independent but for the cues, which look a few frames ahead, so blocks
  // are fitted and masked as they come.
  void separate_stream(audio::Source& mixture, StemSink& sink, Context& context) const {
    const Dictionary& d = *options_.dictionary;
    const int channels = mixture.channels(), components = d.components(), stems = d.target_count();
    Factors<float> factors(d.stft.bins(), 0, components);
    factors.w = d.stacked();
    const PartModel parts(factors, dictionary_first_);
    const std::vector<int> target = targets_of(parts, factors, {}, {}, context);
    StemWriter writer(&sink, d.stft, stems, channels, mixture.rate_hz(), context.threads);
    audio::StreamingStft forward(d.stft, channels);
    const auto mix = [&](const Spectrum& x, const Cues* cues) {
      if (x.frames() == 0) return;
      const std::vector<float> h = fit_members(x, context);
      const Mixer mixer{parts, target, alpha(), false, 1.0F, d.members, calibrator_.get(), cues};
      mix_block(
          mixer,
          [&](int c, Index n) {
            const float* column = h.data() + (c * x.frames() + n) * components;
            return [column](int r, int) { return column[r]; };
          },
          x, 0, stems, writer, context.threads);
    };
    CueStream cue_stream(channels, d.stft.bins(), context.threads);
    const auto with_cues = [&](const Spectrum& x, const Cues& cues) { mix(x, &cues); };
    const auto process = [&](const Spectrum& x) {
      if (calibrator_ == nullptr) {
        mix(x, nullptr);
      } else {
        cue_stream.push(x, with_cues);
      }
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
    cue_stream.finish(with_cues);
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

    const Fitted fitted = fit_whole(input, references, stem_count, context, report);
    const PartModel parts(fitted.factors, fitted.first);
    const std::vector<int> target = targets_of(parts, fitted.factors, input, references, context);

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
    Mixer mixer{parts, target, alpha(), toolbox(), static_cast<float>(1.0 / fitted.scale), members()};
    Cues cues;
    if (calibrator_ != nullptr) {
      cues = cues_of(input, options_.stft, context.threads, context.stop);
      mixer.calibrator = calibrator_.get();
      mixer.cues = &cues;
    }
    stream_masks(mixer, fitted.factors, input, stem_count, writer, context);
  }

  int members() const { return options_.dictionary != nullptr ? options_.dictionary->members : 1; }

  Fitted fit_whole(audio::AudioView input, const std::vector<audio::AudioBuffer>& references, int stem_count,
                   const Context& context, const std::function<void(double)>& report) const {
    const Report part = [&](double share) { report(0.8 * share); };
    if (options_.protocol == Protocol::p5) return fit_to_references(options_, input, references, context, part);
    if (options_.dictionary != nullptr) return fit_to_dictionary(options_, input, context, part);
    return fit_blind(options_, input, stem_count, context, part);
  }

  // Whose each part is, by the protocol.
  std::vector<int> targets_of(const PartModel& parts, const Factors<float>& factors, audio::AudioView input,
                              const std::vector<audio::AudioBuffer>& references, const Context& context) const {
    if (options_.protocol == Protocol::p4) return group_by_energy(parts, factors, input, references, context);
    if (options_.protocol == Protocol::p2) return options_.classifier->classify(factors, input.channels());
    if (options_.protocol == Protocol::p3) return assign_by_sdr(parts, factors, input, references, context);
    std::vector<int> target(sz(parts.parts()));
    const int each = parts.parts() / members();
    for (int p = 0; p < parts.parts(); ++p) target[sz(p)] = p % each;
    if (options_.dictionary != nullptr && options_.free_components > 0) {
      for (int p = each - 1; p < parts.parts(); p += each) target[sz(p)] = free_index();
    }
    return target;
  }

  void stream_masks(const Mixer& mixer, const Factors<float>& factors, audio::AudioView input, int stem_count,
                    StemWriter& writer, const Context& context) const {
    const Index frames = factors.frames / input.channels();
    audio::for_each_block(input, options_.stft, context.stop, [&](const Spectrum& x, Index first) {
      mix_block(
          mixer,
          [&](int c, Index n) {
            const Index at = first + n;
            return [&factors, frames, c, at](int r, int t) {
              return t <= at ? factors.h_at(r, c * frames + at - t) : 0.0F;
            };
          },
          x, first, stem_count, writer, context.threads);
    });
    writer.finish(input.samples());
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

  int free_index() const {
    const auto targets = options_.dictionary->targets();
    const auto it = std::ranges::find(targets, options_.free_target);
    return it == targets.end() ? static_cast<int>(targets.size()) - 1 : static_cast<int>(it - targets.begin());
  }

  // P4: a[r][j] = sum of mask_r |Y_j|^2 over frames and bins, of all channels.
  std::vector<int> group_by_energy(const PartModel& parts, const Factors<float>& factors, audio::AudioView input,
                                   const std::vector<audio::AudioBuffer>& references, const Context& context) const {
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
        component_masks(mask.data(), components, bins, alpha(), toolbox());
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
                                 const std::vector<audio::AudioBuffer>& references, const Context& context) const {
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
  std::vector<FixedTemplates<float>> fixed_;  ///< per member, where frames are fitted as they come
  std::unique_ptr<Calibrator> calibrator_;
};

}  // namespace

void part_masks(const Factorisation& f, int c, Index n, std::vector<float>& out) {
  const core::FlushDenormals flush;
  const PartModel parts(f.factors, f.first);
  out.resize(sz(parts.parts() * parts.bins()));
  parts.frame([&](int r, int t) { return t <= n ? f.factors.h_at(r, c * f.frames + n - t) : 0.0F; }, out.data());
  component_masks(out.data(), parts.parts(), parts.bins(), f.alpha, f.toolbox, f.members);
}

int Factorisation::target_of(int component) const noexcept {
  for (int p = 0; p < parts(); ++p) {
    if (component >= first[sz(p)] && component < first[sz(p) + 1]) return target[sz(p)];
  }
  return -1;
}

std::unique_ptr<Separator> make_separator(SeparatorOptions options, SeparatorInfo info) {
  return std::make_unique<NmfSeparator>(std::move(options), std::move(info));
}

}  // namespace mss::methods::nmf
