#include "methods/bsrnn/separator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "audio/stft.h"
#include "core/error.h"
#include "core/parallel.h"
#include "methods/bsrnn/family.h"
#include "methods/bsrnn/model.h"
#include "methods/segments.h"
#include "nn/cpu.h"

namespace mss::methods::bsrnn {
namespace {

using Complex = std::complex<float>;

constexpr std::int64_t kBatchBytes = std::int64_t{192} << 20;

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

class NativeNetwork final : public Network {
 public:
  NativeNetwork(const Configuration& configuration, nn::Source& weights) : model_(nn::Scope(weights), configuration) {}
  std::vector<nn::Tensor> forward(const nn::Tensor& spectrum) const override { return model_.forward(spectrum); }

 private:
  BandSplitRnn<nn::Cpu> model_;
};

audio::StftSpec stft_of(const Configuration& c) {
  return {.fft_size = c.fft_size, .hop_samples = c.hop_samples, .framing = audio::Framing::centered_reflect};
}

/// One network and the stems that are taken from it.
struct Member {
  Configuration configuration;
  std::unique_ptr<Network> network;
  std::vector<std::pair<std::size_t, std::size_t>> stems;  ///< (output of the network, place among the stems)
};

/// Mean and deviation of an item's complex spectrum, as torch.std has it (n - 1).
struct Level {
  double re = 0.0, im = 0.0, deviation = 1.0;
};

Level standardise(nn::Tensor& x, std::int64_t item, std::int64_t bins) {
  const std::int64_t frames = x.frames(), halves = x.channels() / bins;
  const auto n = static_cast<double>(frames * bins * halves / 2);
  Level level;
  double sums[2] = {0.0, 0.0}, squares = 0.0;
  for (std::int64_t t = 0; t < frames; ++t) {
    for (std::int64_t h = 0; h < halves; ++h) {
      for (std::int64_t f = 0; f < bins; ++f) sums[h % 2] += static_cast<double>(x.row(item, t)[h * bins + f]);
    }
  }
  level.re = sums[0] / n;
  level.im = sums[1] / n;
  for (std::int64_t t = 0; t < frames; ++t) {
    for (std::int64_t h = 0; h < halves; ++h) {
      const double mean = h % 2 == 0 ? level.re : level.im;
      for (std::int64_t f = 0; f < bins; ++f) {
        const double v = static_cast<double>(x.row(item, t)[h * bins + f]) - mean;
        squares += v * v;
      }
    }
  }
  level.deviation = std::sqrt(squares / std::max(n - 1.0, 1.0));
  for (std::int64_t t = 0; t < frames; ++t) {
    for (std::int64_t h = 0; h < halves; ++h) {
      const double mean = h % 2 == 0 ? level.re : level.im;
      float* row = x.row(item, t) + h * bins;
      for (std::int64_t f = 0; f < bins; ++f)
        row[f] = static_cast<float>((static_cast<double>(row[f]) - mean) / (level.deviation + 1e-5));
    }
  }
  return level;
}

/// The track with zeros around it, such that chunks end where it ends: amanteur's Separator.pad.
class PaddedSource final : public audio::Source {
 public:
  PaddedSource(audio::Source& inner, std::int64_t before, std::int64_t chunk, std::int64_t hop)
      : inner_(inner), before_(before), chunk_(chunk), hop_(hop) {}
  int channels() const override { return inner_.channels(); }
  int rate_hz() const override { return inner_.rate_hz(); }
  std::optional<std::int64_t> length() const override { return std::nullopt; }
  std::int64_t read(audio::AudioSpan out) override {
    const std::int64_t want = out.samples();
    std::int64_t done = 0;
    const auto zeros = [&](std::int64_t count) {
      for (int c = 0; c < out.channels(); ++c) std::fill_n(out.channel(c).begin() + done, count, 0.0F);
      done += count;
      position_ += count;
    };
    if (position_ < before_) zeros(std::min(want, before_ - position_));
    while (done < want && !inner_length_) {
      const std::int64_t got = inner_.read(out.slice(done, want - done));
      if (got == 0) {
        inner_length_ = position_ - before_;
      } else {
        done += got;
        position_ += got;
      }
    }
    if (inner_length_ && done < want) zeros(std::min(want - done, total() - position_));
    return done;
  }
  /// Of the track, once it has ended.
  std::optional<std::int64_t> inner_length() const { return inner_length_; }
  /// Chunks that cover sample `position` of what is read here.
  std::int64_t covering(std::int64_t position) const {
    const std::int64_t first = position < chunk_ ? 0 : (position - chunk_) / hop_ + 1;
    std::int64_t last = position / hop_;
    if (inner_length_) last = std::min(last, (total() - chunk_) / hop_);
    return last - first + 1;
  }

 private:
  std::int64_t total() const {
    const std::int64_t padded = *inner_length_ + 2 * before_;
    // Python's remainder, which is never negative.
    const std::int64_t rest = ((padded - chunk_) % hop_ + hop_) % hop_;
    return std::max(padded + hop_ - rest, chunk_);
  }
  audio::Source& inner_;
  std::int64_t before_, chunk_, hop_, position_ = 0;
  std::optional<std::int64_t> inner_length_;
};

/// Takes the zeros off again and puts amanteur's gain on.
class RippleSink final : public StemSink {
 public:
  RippleSink(StemSink& out, const PaddedSource& source, std::int64_t before, double share,
             std::optional<std::int64_t> samples)
      : out_(out), source_(source), before_(before), share_(share), samples_(samples) {}
  void begin(const StemFormat& format) override {
    StemFormat own = format;
    own.samples = samples_.value_or(-1);
    out_.begin(own);
  }
  void write(const StemBlock& block) override {
    const std::int64_t size = block.stems.front().samples();
    const std::int64_t from = std::max(block.begin, before_);
    std::int64_t until = block.begin + size;
    if (const auto length = source_.inner_length()) until = std::min(until, before_ + *length);
    if (until <= from) return;
    std::vector<audio::AudioBuffer> stems;
    StemBlock own{.begin = from - before_, .stems = {}};
    for (const audio::AudioView& stem : block.stems) {
      audio::AudioBuffer scaled(stem.channels(), until - from, stem.rate_hz());
      for (int c = 0; c < stem.channels(); ++c) {
        for (std::int64_t t = from; t < until; ++t) {
          scaled.channel(c)[sz(t - from)] =
              static_cast<float>(static_cast<double>(source_.covering(t)) * share_ *
                                 static_cast<double>(stem.channel(c)[sz(t - block.begin)]));
        }
      }
      stems.push_back(std::move(scaled));
    }
    for (const audio::AudioBuffer& stem : stems) own.stems.push_back(stem);
    out_.write(own);
  }

 private:
  StemSink& out_;
  const PaddedSource& source_;
  std::int64_t before_;
  double share_;
  std::optional<std::int64_t> samples_;
};

std::vector<Configuration> configurations_of(const std::vector<Member>& members) {
  std::vector<Configuration> out;
  for (const Member& m : members) out.push_back(m.configuration);
  return out;
}

/// A chunk's activations in the largest network.
std::int64_t activation_bytes(const std::vector<Configuration>& networks, const ChunkPlan& plan, int channels) {
  std::int64_t most = 1;
  for (const Configuration& c : networks) {
    const std::int64_t frames = plan.chunk_samples / c.hop_samples + 1, items = c.joint ? 1 : channels;
    const std::int64_t values = c.bands() * (4 * c.features + 2 * c.lstm_hidden) +
                                c.spectrum_channels() * (2 + 3 * static_cast<std::int64_t>(c.targets.size()));
    most = std::max(most, items * frames * values * std::int64_t{sizeof(float)});
  }
  return most;
}

/// Chunks at once.
std::int64_t batch_of(std::int64_t chunk_bytes) { return std::clamp<std::int64_t>(kBatchBytes / chunk_bytes, 1, 16); }

class BandSplitSeparator final : public Separator {
 public:
  BandSplitSeparator(std::vector<Member> members, ChunkPlan plan, bool residual, SeparatorInfo info)
      : Separator(std::move(info)), members_(std::move(members)), plan_(plan), residual_(residual) {
    info_.memory = [configurations = configurations_of(members_), plan, parameters = info_.parameters,
                    stems = std::ssize(info_.targets)](std::int64_t, int channels, int) {
      const std::int64_t chunk = activation_bytes(configurations, plan, channels), count = batch_of(chunk);
      // Rows of the batch's stems, and their sums in float64 until they are joined.
      const std::int64_t rows = stems * channels * plan.chunk_samples * (4 * count + 16);
      return MemoryNeed{.fixed_bytes = 4 * parameters, .call_bytes = kShellBytes + chunk * count * 3 / 2 + rows};
    };
  }

 private:
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    const nn::RunScope scope(context.threads, context.stop);
    SegmentSpec spec{.segment_samples = plan_.chunk_samples,
                     .hop_samples = plan_.hop_samples,
                     .weights = {},
                     .batch = batch_of(activation_bytes(configurations_of(members_), plan_, mixture.channels()))};
    if (plan_.window != audio::ChunkWindow::rectangular)
      spec.weights = segment_weights({plan_.chunk_samples, plan_.hop_samples, plan_.window});
    std::vector<Rows<float>> rows;
    const SegmentProcessor<float> process = [&](std::span<Segment<float>> segments, const EmitRows<float>& emit) {
      separate_batch(segments, mixture.channels(), context, rows);
      for (std::size_t i = 0; i < segments.size(); ++i) emit(static_cast<std::int64_t>(i), rows[i]);
    };
    if (!plan_.compat) return separate_in_segments(mixture, sink, spec, context, process);
    // chunk - hop before padding was added to both.
    const std::int64_t before = plan_.chunk_samples - plan_.hop_samples;
    PaddedSource padded(mixture, before, plan_.chunk_samples, plan_.hop_samples);
    RippleSink ripple(sink, padded, before,
                      static_cast<double>(plan_.hop_samples) / static_cast<double>(plan_.chunk_samples),
                      mixture.length());
    separate_in_segments(padded, ripple, spec, context, process);
  }

  /// Into `out`, the rows of each segment, whose memory is used again.
  void separate_batch(std::span<Segment<float>> segments, int channels, const Context& context,
                      std::vector<Rows<float>>& out) const {
    const std::int64_t samples = plan_.chunk_samples, count = std::ssize(segments);
    const auto stems = static_cast<std::int64_t>(context.targets.size());
    out.resize(std::max(out.size(), segments.size()));
    for (Rows<float>& rows : out) {
      rows.resize(sz(stems * channels));
      for (std::vector<float>& row : rows) row.resize(sz(samples));
    }
    for (Segment<float>& segment : segments) {
      for (std::vector<float>& row : segment.audio) row.resize(sz(samples), 0.0F);
    }
    // Networks of equal transforms and levels share the spectra.
    std::optional<Spectra> spectra;
    for (const Member& m : members_) {
      const Configuration& c = m.configuration;
      if (!spectra || !spectra->fits(c)) spectra.emplace(segments, channels, samples, c, context.threads);
      const std::vector<nn::Tensor> found = m.network->forward(spectra->x);
      const nn::RunScope* outer = nn::RunScope::innermost();
      core::parallel_for(std::ssize(m.stems) * count * channels, context.threads, [&](std::int64_t job) {
        const nn::RunScope mine(outer, 1);
        const auto& [output, stem] = m.stems[sz(job / (count * channels))];
        const std::int64_t segment = job / channels % count, channel = job % channels;
        std::vector<float>& to = out[sz(segment)][stem * sz(channels) + sz(channel)];
        spectra->invert(found[output], segment, channel, to);
        to.resize(sz(segments[sz(segment)].samples));
      });
    }
    if (residual_) {
      for (std::int64_t i = 0; i < count; ++i) {
        for (std::int64_t c = 0; c < channels; ++c) {
          const Segment<float>& segment = segments[sz(i)];
          std::vector<float>& rest = out[sz(i)][sz((stems - 1) * channels + c)];
          rest.assign(segment.audio[sz(c)].begin(), segment.audio[sz(c)].begin() + segment.samples);
          for (std::int64_t s = 0; s + 1 < stems; ++s) {
            const std::vector<float>& stem = out[sz(i)][sz(s * channels + c)];
            for (std::size_t t = 0; t < rest.size(); ++t) rest[t] -= stem[t];
          }
        }
      }
    }
  }

  /// Spectra of a batch of chunks, as a network's items.
  struct Spectra {
    Spectra(std::span<const Segment<float>> segments, int channel_count, std::int64_t chunk_samples,
            const Configuration& c, int threads)
        : spec(stft_of(c)),
          stft(spec),
          channels(channel_count),
          samples(chunk_samples),
          frames(stft.frames(chunk_samples)),
          joint(c.joint),
          standardised(c.standardise),
          x(std::ssize(segments) * (joint ? 1 : channels), frames, c.spectrum_channels()) {
      const std::int64_t bins = stft.bins();
      const nn::RunScope* outer = nn::RunScope::innermost();
      core::parallel_for(std::ssize(segments) * channels, threads, [&](std::int64_t job) {
        const nn::RunScope mine(outer, 1);
        const std::int64_t segment = job / channels, channel = job % channels;
        nn::Tensor memory(1, frames, 2 * bins);
        auto* const spectrum = reinterpret_cast<Complex*>(memory.data());
        stft.forward(std::span<const float>(segments[sz(segment)].audio[sz(channel)]), spectrum);
        for (std::int64_t t = 0; t < frames; ++t) {
          float* to = place(x, segment, channel, t);
          const Complex* from = spectrum + t * bins;
          for (std::int64_t f = 0; f < bins; ++f) {
            to[f] = from[f].real();
            to[bins + f] = from[f].imag();
          }
        }
      });
      if (!standardised) return;
      levels.resize(sz(x.items()));
      core::parallel_for(x.items(), threads, [&](std::int64_t item) { levels[sz(item)] = standardise(x, item, bins); });
    }
    bool fits(const Configuration& c) const {
      return stft_of(c) == spec && c.joint == joint && c.standardise == standardised;
    }
    float* place(nn::Tensor& y, std::int64_t segment, std::int64_t channel, std::int64_t frame) const {
      return joint ? y.row(segment, frame) + channel * 2 * stft.bins() : y.row(segment * channels + channel, frame);
    }
    void invert(const nn::Tensor& given, std::int64_t segment, std::int64_t channel, std::vector<float>& out) const {
      nn::Tensor y = given;
      const std::int64_t bins = stft.bins();
      const Level level = standardised ? levels[sz(joint ? segment : segment * channels + channel)] : Level{};
      const auto scale = static_cast<float>(level.deviation), re = static_cast<float>(level.re),
                 im = static_cast<float>(level.im);
      nn::Tensor memory(1, frames, 2 * bins);
      auto* const spectrum = reinterpret_cast<Complex*>(memory.data());
      for (std::int64_t t = 0; t < frames; ++t) {
        const float* from = place(y, segment, channel, t);
        for (std::int64_t f = 0; f < bins; ++f) {
          Complex& to = spectrum[t * bins + f];
          to = standardised ? Complex(from[f] * scale + re, from[bins + f] * scale + im)
                            : Complex(from[f], from[bins + f]);
        }
      }
      out.resize(sz(samples));
      stft.inverse(spectrum, frames, std::span<float>(out));
    }
    audio::StftSpec spec;
    audio::Stft<float> stft;
    std::int64_t channels, samples, frames;
    bool joint, standardised;
    nn::Tensor x;
    std::vector<Level> levels;
  };

  std::vector<Member> members_;
  ChunkPlan plan_;
  bool residual_;
};

[[noreturn]] void refuse(Code code, const std::string& where, std::string what, std::string expected, std::string found,
                         std::string hint = {}) {
  throw Error({code, where, std::move(what), std::move(expected), std::move(found), std::move(hint)});
}

}  // namespace

std::unique_ptr<Network> make_native_network(const Configuration& configuration, nn::Source& weights) {
  return std::make_unique<NativeNetwork>(configuration, weights);
}

ChunkPlan plan_chunks_of(const Configuration& c, double chunk_s, double hop_s, const std::string& window, bool compat,
                         const std::string& where) {
  const auto samples = [&](double seconds) { return static_cast<std::int64_t>(std::llround(seconds * c.rate_hz)); };
  const bool magron = c.profile == "magron", by_frame = c.norm_frames > 0;
  ChunkPlan plan;
  plan.compat = compat;
  if (compat) {
    if (c.profile != "amanteur")
      refuse(Code::config, where, fmt::format("compat: profile {} has no defects to reproduce", c.profile),
             "profile amanteur", c.profile);
    if (!window.empty() && window != "none")
      refuse(Code::config, where, "compat: amanteur's programs run without a window", "window=none", window);
    const std::int64_t chunk = samples(chunk_s > 0 ? chunk_s : 3.0), hop = samples(hop_s > 0 ? hop_s : 0.5);
    const std::int64_t padding = c.fft_size - chunk % c.hop_samples;
    plan.chunk_samples = chunk + padding;
    plan.hop_samples = hop + padding;
  } else {
    // (T - 1) hop samples have T frames and come back whole.
    plan.chunk_samples = chunk_s > 0 ? samples(chunk_s)
                         : by_frame  ? (c.norm_frames - 1) * c.hop_samples
                                     : samples(magron ? 12.0 : 3.0);
    plan.hop_samples = hop_s > 0 ? samples(hop_s)
                       // Ramps of a second, as its fader has them.
                       : magron ? plan.chunk_samples - std::min<std::int64_t>(c.rate_hz, plan.chunk_samples / 2)
                                : std::min(samples(1.5), plan.chunk_samples);
    const std::string kind = window.empty() ? (magron ? "linear" : "none") : window;
    plan.window = kind == "hann"     ? audio::ChunkWindow::hann
                  : kind == "linear" ? audio::ChunkWindow::linear_fade
                                     : audio::ChunkWindow::rectangular;
  }
  if (plan.chunk_samples < c.fft_size)
    refuse(Code::config, where, "chunk is shorter than the network's transform", fmt::format("{} samples", c.fft_size),
           fmt::format("{} samples", plan.chunk_samples));
  if (plan.hop_samples < 1 || plan.hop_samples > plan.chunk_samples)
    refuse(Code::config, where, "hop is longer than the chunk",
           fmt::format("at most {:.4g} s", static_cast<double>(plan.chunk_samples) / c.rate_hz),
           fmt::format("{:.4g} s", static_cast<double>(plan.hop_samples) / c.rate_hz));
  const std::int64_t frames = plan.chunk_samples / c.hop_samples + 1;
  if (by_frame && frames != c.norm_frames) {
    refuse(Code::config, where, "the network's weights are for chunks of one length",
           fmt::format("{} frames, chunk={:.5g}", c.norm_frames,
                       static_cast<double>((c.norm_frames - 1) * c.hop_samples) / c.rate_hz),
           fmt::format("{} frames", frames), "leave chunk out");
  }
  return plan;
}

Configuration reread(Configuration c, const core::Params& params, const std::string& where) {
  const std::string &profile = params.text("profile"), &norm = params.text("norm");
  if (!profile.empty() && profile != "auto" && profile != c.profile) {
    const bool both = !c.gate_layer && !c.standardise && c.mask_layers == 2 && c.tac_hidden == 0 &&
                      c.attention_heads == 0 && !c.joint && c.block_groups == 1;
    if (!both || (profile != "authors" && profile != "magron")) {
      refuse(Code::checkpoint, where, "the weights are of another profile", profile, c.profile,
             "profile=auto takes any");
    }
    c.profile = profile;
    c.eps = profile == "authors" ? 1.1920928955078125e-07 : 1e-7;
  }
  if (!norm.empty()) {
    if (c.profile != "paper") {
      refuse(Code::config, where, fmt::format("norm: profile {} has its own", c.profile), "norm with profile paper",
             norm);
    }
    c.block_groups = norm == "features" ? c.features : 1;
    c.band_norm = c.mask_norm = norm == "frame" ? BandNorm::frame : BandNorm::chunk;
  }
  if (params.is_set("projection")) {
    const bool wanted = params.boolean("projection");
    if (wanted && (c.profile != "authors" || c.targets.size() < 2 || c.subtract_last)) {
      refuse(Code::config, where, "projection: masks that sum to 1 are profile authors' with a mask for every target",
             "projection with profile authors and two masks or more",
             fmt::format("profile {} with {} mask(s)", c.profile, c.targets.size() - (c.subtract_last ? 1 : 0)));
    }
    c.projection = wanted;
  }
  return c;
}

std::unique_ptr<Separator> make_separator(NetworkRequest request, const MakeNetworkFn& make) {
  const core::Params& params = request.params;
  SeparatorInfo& info = request.info;
  const std::string where = info.spec;
  const auto seconds = [&](const char* name) { return params.is_set(name) ? params.real(name) : 0.0; };
  std::vector<Member> members;
  std::optional<ChunkPlan> plan;
  std::string profiles;
  bool couples = false;
  for (const auto& [part, said] : networks_of(request.weights.configuration)) {
    Member m;
    m.configuration = reread(said, params, where);
    const Configuration& c = m.configuration;
    for (std::size_t s = 0; s < request.targets.size(); ++s) {
      const auto at = std::ranges::find(c.targets, request.targets[s]);
      if (at != c.targets.end()) m.stems.emplace_back(sz(at - c.targets.begin()), s);
    }
    if (m.stems.empty()) continue;
    const ChunkPlan own =
        plan_chunks_of(c, seconds("chunk"), seconds("hop"), params.text("window"), params.boolean("compat"), where);
    if (plan && (plan->chunk_samples != own.chunk_samples || plan->hop_samples != own.hop_samples ||
                 plan->window != own.window)) {
      refuse(Code::config, where, "the networks have chunks of different lengths",
             fmt::format("{} samples every {}", plan->chunk_samples, plan->hop_samples),
             fmt::format("{} every {}", own.chunk_samples, own.hop_samples), "chunk and hop set one for all");
    }
    plan = own;
    if (profiles.empty()) {
      profiles = c.profile;
    } else if (profiles != c.profile) {
      profiles = "mixed";
    }
    couples = couples || c.couples_channels();
    nn::ArraySource source = request.weights.source(part);
    m.network = make(c, source);
    source.check(where);
    members.push_back(std::move(m));
  }
  MSS_ASSERT(!members.empty() && plan.has_value());
  // What each value came to be.
  core::Value& options = info.resolved_options;
  const double rate = info.rate_hz;
  options["profile"] = profiles;
  options["chunk"] = static_cast<double>(plan->chunk_samples) / rate;
  options["hop"] = static_cast<double>(plan->hop_samples) / rate;
  options["window"] = plan->window == audio::ChunkWindow::hann          ? "hann"
                      : plan->window == audio::ChunkWindow::linear_fade ? "linear"
                                                                        : "none";
  options["compat"] = plan->compat;
  if (params.is_set("norm")) options["norm"] = params.text("norm");
  if (params.is_set("projection")) options["projection"] = params.boolean("projection");
  const std::string& asked = params.text("residual");
  const std::string residual = asked == "none"   ? std::string()
                               : asked != "auto" ? asked
                               : request.targets.size() == 1 && request.targets[0] != "accompaniment"
                                   ? std::string("accompaniment")
                                   : std::string();
  options["residual"] = residual.empty() ? "none" : residual;
  if (!residual.empty()) {
    if (std::ranges::find(info.targets, residual) != info.targets.end())
      refuse(Code::config, where, "residual: the network has a target of this name", "another name", residual);
    info.targets.push_back(residual);
  }
  if (!couples) info.channels = 0;
  info.streams = true;
  return std::make_unique<BandSplitSeparator>(std::move(members), *plan, !residual.empty(), std::move(info));
}

}  // namespace mss::methods::bsrnn
