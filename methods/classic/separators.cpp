#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <mutex>
#include <numbers>
#include <numeric>
#include <optional>
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

constexpr std::int64_t kBlockSamples = 65536;

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

void magnitudes(const std::complex<float>* x, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = std::hypot(x[i].real(), x[i].imag());
}

audio::AudioView one_channel(audio::AudioView x, int c) {
  return {x.channel(c).data(), 1, x.samples(), x.samples(), x.rate_hz()};
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
void keep_low_bins(float* mask, std::int64_t frames, int bins, int fft_size, int rate_hz, double hertz) {
  const int last = std::min(bins - 1, static_cast<int>(std::lround(hertz * fft_size / rate_hz)));
  for (std::int64_t n = 0; n < frames; ++n) std::fill_n(mask + n * bins + 1, std::max(0, last), 1.0f);
}

/// Samples that wait for others to be finished: first in, first out.
class SampleQueue {
 public:
  SampleQueue(int channels, int rate_hz) : rate_hz_(rate_hz), samples_(sz(channels)) {}
  void push(audio::AudioView block) {
    for (int c = 0; c < block.channels(); ++c) {
      auto& to = samples_[sz(c)];
      to.insert(to.end(), block.channel(c).begin(), block.channel(c).end());
    }
  }
  AudioBuffer take(std::int64_t count) {
    AudioBuffer out(static_cast<int>(samples_.size()), count, rate_hz_);
    for (int c = 0; c < out.channels(); ++c) {
      auto& from = samples_[sz(c)];
      std::copy_n(from.begin(), count, out.channel(c).begin());
      from.erase(from.begin(), from.begin() + count);
    }
    return out;
  }

 private:
  int rate_hz_;
  std::vector<std::vector<float>> samples_;
};

/// Blocks of stems to a sink, empty ones left out.
class StemWriter {
 public:
  explicit StemWriter(StemSink& sink) : sink_(sink) {}
  void write(const std::vector<AudioBuffer>& stems) {
    if (stems.front().samples() == 0) return;
    sink_.write({.begin = begin_, .stems = std::vector<audio::AudioView>(stems.begin(), stems.end())});
    begin_ += stems.front().samples();
  }

 private:
  StemSink& sink_;
  std::int64_t begin_ = 0;
};

/// Points of a spectrogram of one channel.
std::int64_t points(const audio::StftSpec& stft, std::int64_t samples) {
  return (samples / stft.hop_samples + 2) * stft.bins();
}

SeparatorInfo make_info(const core::Params& params, const core::SpecPart& spec, std::vector<std::string> targets,
                        bool streams) {
  SeparatorInfo info;
  info.spec = to_string(spec);
  info.method = spec.name;
  info.targets = std::move(targets);
  info.streams = streams;
  info.resolved_options = params.resolved();
  return info;
}

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

/// Drums are the percussive part. With two passes the harmonic part is taken off with a long window first, and the
/// percussive part is that of the rest, with a short one.
class Hpss final : public Separator {
 public:
  Hpss(const core::Params& params, const core::SpecPart& spec)
      : Separator(make_info(params, spec,
                            params.boolean("residual") ? std::vector<std::string>{"drums", "harmonic", "residual"}
                                                       : std::vector<std::string>{"drums", "harmonic"},
                            true)),
        stft_(stft_spec(params, audio::WindowKind::hann, audio::Framing::centered_reflect)),
        two_passes_(params.integer("passes") == 2),
        residual_(params.boolean("residual")) {
    options_.kernel_frames = static_cast<int>(params.integer("kernel-frames"));
    options_.kernel_bins = static_cast<int>(params.integer("kernel-bins"));
    options_.power = params.real("power");
    options_.margin_harmonic = options_.margin_percussive = params.real("margin");
    (void)audio::Stft<float>(stft_);  // refuses bad sizes before any audio is read
    info_.memory = [stft = stft_, options = options_, two = two_passes_](std::int64_t, int channels, int) {
      const audio::StftSpec longest{.fft_size = std::max(stft.fft_size, 4096), .hop_samples = 1024};
      MemoryNeed need{.call_bytes = kShellBytes + HpssStream::memory_bytes(two ? longest : stft, options, channels)};
      if (two) {
        need.call_bytes +=
            kShellBytes / 2 + HpssStream::memory_bytes({.fft_size = 256, .hop_samples = 64}, options, channels);
      }
      return need;
    };
    hpss_masks(std::vector<float>(1, 0.0f), 1, 1, options_, 1);
  }

 private:
  void do_separate(audio::Source& source, StemSink& sink, Context& context) const override {
    const int channels = source.channels(), rate_hz = source.rate_hz();
    sink.begin({.targets = context.targets,
                .channels = channels,
                .rate_hz = rate_hz,
                .samples = source.length().value_or(-1)});
    StemWriter writer(sink);
    SampleQueue mixture(channels, rate_hz), harmonic(channels, rate_hz);
    // Percussive parts as they come; `harmonic` is ahead of them.
    const auto write = [&](AudioBuffer percussive) {
      const std::int64_t n = percussive.samples();
      if (n == 0) return;
      std::vector<AudioBuffer> stems;
      AudioBuffer rest = difference(mixture.take(n), percussive);
      stems.push_back(std::move(percussive));
      if (residual_) {
        AudioBuffer tonal = harmonic.take(n);
        AudioBuffer residual = difference(rest, tonal);
        stems.push_back(std::move(tonal));
        stems.push_back(std::move(residual));
      } else {
        stems.push_back(std::move(rest));
      }
      writer.write(stems);
    };
    const HpssStream::Wanted both{.harmonic = residual_, .percussive = true};
    if (!two_passes_) {
      HpssStream only(stft_, options_, both, channels, rate_hz, context.threads);
      const auto take = [&](HpssStream::Parts parts) {
        if (residual_) harmonic.push(parts.harmonic);
        write(std::move(parts.percussive));
      };
      const std::int64_t samples = read(source, context, [&](audio::AudioView block) {
        mixture.push(block);
        take(only.push(block));
      });
      take(only.finish(samples));
      return;
    }
    audio::StftSpec long_window = stft_, short_window = stft_;
    long_window.fft_size = 4096;
    long_window.hop_samples = 1024;
    short_window.fft_size = 256;
    short_window.hop_samples = 64;
    HpssStream first(long_window, options_, {.harmonic = true, .percussive = false}, channels, rate_hz,
                     context.threads);
    HpssStream second(short_window, options_, {.harmonic = false, .percussive = true}, channels, rate_hz,
                      context.threads);
    SampleQueue waiting(channels, rate_hz);
    const auto take = [&](const AudioBuffer& tonal) {
      if (tonal.samples() == 0) return;
      if (residual_) harmonic.push(tonal);
      write(second.push(difference(waiting.take(tonal.samples()), tonal)).percussive);
    };
    const std::int64_t samples = read(source, context, [&](audio::AudioView block) {
      mixture.push(block);
      waiting.push(block);
      take(first.push(block).harmonic);
    });
    take(first.finish(samples).harmonic);
    write(second.finish(samples).percussive);
  }

  template <class Use>
  static std::int64_t read(audio::Source& source, Context& context, const Use& use) {
    AudioBuffer block(source.channels(), kBlockSamples, source.rate_hz());
    std::int64_t samples = 0;
    while (const std::int64_t n = source.read(block.span())) {
      context.stop.check();
      use(block.view().slice(0, n));
      samples += n;
    }
    return samples;
  }

  audio::StftSpec stft_;
  HpssOptions options_;
  bool two_passes_, residual_;
};

// --------------------------------------------------------------------------------------------- background / foreground

/// What a method found out about a song: the masks of its background.
class BackgroundModel {
 public:
  virtual ~BackgroundModel() = default;
  /// Masks of `count` frames from `first` on of channel c, whose magnitudes are v.
  virtual void masks(int c, std::int64_t first, std::int64_t count, const float* v, float* out) const = 0;
};

/// Masks that are all there already.
class StoredMasks final : public BackgroundModel {
 public:
  StoredMasks(std::vector<std::vector<float>> masks, int bins) : masks_(std::move(masks)), bins_(bins) {}
  void masks(int c, std::int64_t first, std::int64_t count, const float*, float* out) const override {
    std::copy_n(masks_[sz(c)].data() + first * bins_, count * bins_, out);
  }

 private:
  std::vector<std::vector<float>> masks_;
  int bins_;
};

/// A song that a method looks at more than once.
struct Song {
  audio::AudioView mixture;
  audio::StftSpec stft;
  std::int64_t frames = 0;
  int bins = 0;
  int threads = 1;
  core::StopToken stop;
  std::function<void(double share)> report;  ///< how much of the analysis is done; from one thread at a time

  /// use(first, count, v) for all frames of channel c in order.
  template <class Use>
  void each_block(int c, const Use& use) const {
    std::vector<float> v;
    audio::for_each_block(one_channel(mixture, c), stft, stop, [&](const Spectrogram<float>& x, std::int64_t first) {
      v.resize(sz(x.frames() * bins));
      magnitudes(x.at(0, 0), x.frames() * bins, v.data());
      use(first, x.frames(), v.data());
    });
  }
  /// All magnitudes of every channel.
  std::vector<std::vector<float>> magnitudes_of_channels() const {
    std::vector<std::vector<float>> out(sz(mixture.channels()));
    core::parallel_for(mixture.channels(), threads,
                       [&](std::int64_t c) { out[sz(c)] = magnitudes_of(static_cast<int>(c)); });
    return out;
  }
  std::vector<float> magnitudes_of(int c) const {
    std::vector<float> all(sz(frames * bins));
    each_block(c, [&](std::int64_t first, std::int64_t count, const float* v) {
      std::copy_n(v, count * bins, all.data() + first * bins);
    });
    return all;
  }
};

/// Vocals = mixture minus a background that a mask per channel yields. The mixture's samples stay in memory; its
/// spectrogram is made again, block by block, when the masks are applied.
class Background : public Separator {
 protected:
  Background(const core::Params& params, const core::SpecPart& spec, audio::WindowKind window)
      : Separator(make_info(params, spec, {"vocals", "accompaniment"}, false)),
        stft_(stft_spec(params, window, audio::Framing::scipy)),
        low_hz_(params.real("low")) {
    (void)audio::Stft<float>(stft_);
  }
  const audio::StftSpec& stft_of_method() const { return stft_; }
  /// Says what a call needs: the mixture, `shared` bytes for every point of the spectrogram, `each` for every point of
  /// every channel.
  void needs_memory(std::int64_t shared, std::int64_t each) {
    info_.memory = [stft = stft_, shared, each](std::int64_t samples, int channels, int) {
      return MemoryNeed{.call_bytes =
                            kShellBytes + 4 * samples * channels + points(stft, samples) * (shared + each * channels)};
    };
  }
  virtual std::unique_ptr<BackgroundModel> analyse(const Song& song) const = 0;

 private:
  void do_separate(audio::Source& source, StemSink& sink, Context& context) const override {
    const AudioBuffer mixture = audio::read_all(source);
    const int channels = mixture.channels(), bins = stft_.bins();
    const std::int64_t samples = mixture.samples();
    sink.begin({.targets = context.targets, .channels = channels, .rate_hz = mixture.rate_hz(), .samples = samples});
    const std::unique_ptr<BackgroundModel> model = analyse(
        {.mixture = mixture.view(),
         .stft = stft_,
         .frames = audio::Stft<float>(stft_).frames(samples),
         .bins = bins,
         .threads = context.threads,
         .stop = context.stop,
         .report = [&](double share) { context.progress(std::llround(0.9 * share * static_cast<double>(samples))); }});
    context.stop.check();
    std::vector<audio::StreamingStft> forward;
    std::vector<audio::StreamingIstft> inverse;
    for (int c = 0; c < channels; ++c) {
      forward.emplace_back(stft_, 1);
      inverse.emplace_back(stft_, 1, mixture.rate_hz());
    }
    std::vector<Spectrogram<float>> x(sz(channels));
    std::vector<AudioBuffer> part(sz(channels));
    std::vector<float> v, mask;
    StemWriter writer(sink);
    std::int64_t first = 0, done = 0;
    // What the transforms of all channels gave: masked, and the samples that this finishes written out.
    const auto process = [&](bool last) {
      const std::int64_t frames = x.front().frames();
      for (int c = 0; c < channels; ++c) {
        v.resize(sz(frames * bins));
        mask.resize(v.size());
        magnitudes(x[sz(c)].at(0, 0), frames * bins, v.data());
        model->masks(c, first, frames, v.data(), mask.data());
        if (low_hz_ > 0) keep_low_bins(mask.data(), frames, bins, stft_.fft_size, mixture.rate_hz(), low_hz_);
        std::complex<float>* p = x[sz(c)].at(0, 0);
        for (std::size_t i = 0; i < mask.size(); ++i) p[i] *= mask[i];
      }
      first += frames;
      for (int step = 0; step < (last ? 2 : 1); ++step) {
        core::parallel_for(channels, context.threads, [&](std::int64_t c) {
          part[sz(c)] = step == 0 ? inverse[sz(c)].push(x[sz(c)]) : inverse[sz(c)].finish(samples);
        });
        const std::int64_t n = part.front().samples();
        if (n == 0) continue;
        std::vector<AudioBuffer> stems(2);
        stems[1] = AudioBuffer(channels, n, mixture.rate_hz());
        for (int c = 0; c < channels; ++c) std::ranges::copy(part[sz(c)].channel(0), stems[1].channel(c).begin());
        stems[0] = difference(mixture.view().slice(done, n), stems[1]);
        done += n;
        writer.write(stems);
      }
    };
    for (std::int64_t begin = 0; begin < samples; begin += kBlockSamples) {
      context.stop.check();
      const audio::AudioView block = mixture.view().slice(begin, std::min(kBlockSamples, samples - begin));
      core::parallel_for(channels, context.threads, [&](std::int64_t c) {
        const int channel = static_cast<int>(c);
        x[sz(c)] =
            forward[sz(c)].push({block.channel(channel).data(), 1, block.samples(), block.samples(), block.rate_hz()});
      });
      process(false);
    }
    core::parallel_for(channels, context.threads, [&](std::int64_t c) { x[sz(c)] = forward[sz(c)].finish(); });
    process(true);
  }

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
        high_(params.real("max-period")) {
    needs_memory(9, 4);  // power in double and what it becomes; magnitudes
  }

 private:
  /// One period of the background; none where the song is too short for a period: then nothing repeats.
  class Model final : public BackgroundModel {
   public:
    Model(std::vector<std::vector<float>> background, std::int64_t period, int bins, int threads)
        : background_(std::move(background)), period_(period), bins_(bins), threads_(threads) {}
    void masks(int c, std::int64_t first, std::int64_t count, const float* v, float* out) const override {
      core::parallel_for(count, threads_, [&](std::int64_t n) {
        for (std::int64_t k = 0; k < bins_; ++k) {
          out[n * bins_ + k] = period_ == 0 ? 0.0f
                                            : background_mask(background_[sz(c)][sz((first + n) % period_ * bins_ + k)],
                                                              v[n * bins_ + k]);
        }
      });
    }

   private:
    std::vector<std::vector<float>> background_;
    std::int64_t period_;
    int bins_, threads_;
  };

  std::unique_ptr<BackgroundModel> analyse(const Song& song) const override {
    std::vector<std::vector<float>> v = song.magnitudes_of_channels();
    const int channels = song.mixture.channels();
    std::int64_t period = 0;
    {
      std::vector<double> power(sz(song.frames * song.bins), 0.0);
      for (const auto& channel : v) {
        for (std::size_t i = 0; i < power.size(); ++i) power[i] += static_cast<double>(channel[i]);
      }
      for (double& p : power) p = (p / channels) * (p / channels);
      const std::vector<double> beat = beat_spectrum(power, song.frames, song.bins, song.threads);
      const double frames_per_s = static_cast<double>(song.mixture.rate_hz()) / song.stft.hop_samples;
      period = repeating_period(
          beat, static_cast<std::int64_t>(std::ceil(low_ * frames_per_s)),
          std::min<std::int64_t>(static_cast<std::int64_t>(std::floor(high_ * frames_per_s)), song.frames / 3));
    }
    for (auto& channel : v) {
      if (period > 0) channel = repet_background(channel, song.frames, song.bins, period, song.threads);
    }
    if (period == 0) v.clear();
    return std::make_unique<Model>(std::move(v), period, song.bins, song.threads);
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
    needs_memory(6, 4);  // normalised mean, lists of neighbours and rows of similarities; magnitudes
  }

 private:
  class Model final : public BackgroundModel {
   public:
    Model(std::vector<std::vector<float>> v, std::vector<std::vector<std::int32_t>> neighbours, int bins, int threads)
        : v_(std::move(v)), neighbours_(std::move(neighbours)), bins_(bins), threads_(threads) {}
    void masks(int c, std::int64_t first, std::int64_t count, const float* v, float* out) const override {
      core::parallel_for(count, threads_, [&](std::int64_t n) {
        repet_sim_mask(v_[sz(c)], bins_, neighbours_[sz(first + n)], v + n * bins_, out + n * bins_);
      });
    }

   private:
    std::vector<std::vector<float>> v_;
    std::vector<std::vector<std::int32_t>> neighbours_;
    int bins_, threads_;
  };

  std::unique_ptr<BackgroundModel> analyse(const Song& song) const override {
    SimilarityOptions options = options_;
    options.distance_frames =
        std::max<std::int64_t>(1, std::llround(distance_s_ * song.mixture.rate_hz() / song.stft.hop_samples));
    std::vector<std::vector<float>> v = song.magnitudes_of_channels();
    std::vector<float> mean = v.front();
    for (std::size_t c = 1; c < v.size(); ++c) {
      for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += v[c][i];
    }
    for (float& m : mean) m /= static_cast<float>(v.size());
    auto neighbours = similar_frames(std::move(mean), song.frames, song.bins, options, song.threads);
    return std::make_unique<Model>(std::move(v), std::move(neighbours), song.bins, song.threads);
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
    info_.memory = [stft = stft_of_method()](std::int64_t samples, int channels, int) {
      const std::int64_t count = points(stft, samples);
      MemoryNeed need{.call_bytes = kShellBytes + 4 * samples * channels};
      if (count <= kPointsInMemory) {
        need.call_bytes += count * 24 * channels;
      } else {
        // Tiles up to their limit in memory, the rest in the file; sixteen columns and the peaks of one channel.
        const std::int64_t tiles = 16 * count, kept = std::min(tiles, Dft2Background::kMemoryBytes);
        need.call_bytes += channels * kept + count / stft.bins() * 16 * 34 + count;
        need.file_bytes = channels * (tiles - kept);
      }
      return need;
    };
  }

 private:
  /// Up to this many points (three minutes with the usual window) one transform in memory does; longer songs go through
  /// a temporary file, which also lets a stop request through. The choice depends on the song alone, so that its bits
  /// depend on nothing else.
  static constexpr std::int64_t kPointsInMemory = std::int64_t{1} << 24;

  class Model final : public BackgroundModel {
   public:
    explicit Model(std::vector<Dft2Background> channels) : channels_(std::move(channels)) {}
    void masks(int c, std::int64_t first, std::int64_t count, const float* v, float* out) const override {
      channels_[sz(c)].masks(first, count, v, out);
    }

   private:
    std::vector<Dft2Background> channels_;
  };

  std::unique_ptr<BackgroundModel> analyse(const Song& song) const override {
    const int channels = song.mixture.channels();
    if (song.frames * song.bins <= kPointsInMemory) {
      std::vector<std::vector<float>> masks(sz(channels));
      core::parallel_for(channels, song.threads, [&](std::int64_t c) {
        masks[sz(c)] = dft2_mask(song.magnitudes_of(static_cast<int>(c)), song.frames, song.bins, options_);
      });
      return std::make_unique<StoredMasks>(std::move(masks), song.bins);
    }
    std::vector<Dft2Background> all;
    for (int c = 0; c < channels; ++c) {
      Dft2Background& one = all.emplace_back(song.frames, song.bins, options_, song.threads);
      song.each_block(c, [&](std::int64_t first, std::int64_t count, const float* v) { one.load(first, count, v); });
      song.each_block(c, [&](std::int64_t first, std::int64_t count, const float* v) { one.scan(first, count, v); });
    }
    return std::make_unique<Model>(std::move(all));
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
    needs_memory(0, 48);  // a dozen matrices of floats
  }

 private:
  std::unique_ptr<BackgroundModel> analyse(const Song& song) const override {
    std::vector<std::vector<float>> out(sz(song.mixture.channels()));
    std::mutex mutex;
    std::vector<double> shares(out.size(), 0.0);
    core::parallel_for(song.mixture.channels(), song.threads, [&](std::int64_t c) {
      RpcaOptions options = options_;
      options.progress = [&, c](double share) {
        const std::lock_guard lock(mutex);
        shares[sz(c)] = share;
        song.report(std::accumulate(shares.begin(), shares.end(), 0.0) / static_cast<double>(shares.size()));
      };
      const RpcaResult parts =
          rpca(song.magnitudes_of(static_cast<int>(c)), song.frames, song.bins, options, song.stop);
      std::vector<float>& mask = out[sz(c)];
      mask.resize(parts.sparse.size());
      for (std::size_t i = 0; i < mask.size(); ++i) {
        mask[i] = std::abs(parts.sparse[i]) <= std::abs(parts.low_rank[i]) ? 1.0f : 0.0f;
      }
    });
    return std::make_unique<StoredMasks>(std::move(out), song.bins);
  }
  RpcaOptions options_;
};

// ----------------------------------------------------------------------------------------------------------- classic-4

/// REPET-SIM takes the vocals, HPSS the drums of the rest, a low-pass of the harmonic part the bass; other is what is
/// left.
class Classic4 final : public Separator {
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
      : Separator(make_info(params, spec, {"vocals", "drums", "bass", "other"}, false)),
        vocals_(std::move(vocals)),
        low_hz_(params.real("bass-low")),
        high_hz_(params.real("bass-high")) {
    info_.memory = [vocals = vocals_->info().memory](std::int64_t samples, int channels, int rate_hz) {
      MemoryNeed need = vocals(samples, channels, rate_hz);
      need.call_bytes += HpssStream::memory_bytes({.fft_size = 2048, .hop_samples = 512}, {}, channels);
      return need;
    };
    if (high_hz_ < low_hz_) {
      throw Error({Code::config, info_.spec, "bass-high lies below bass-low", "bass-low <= bass-high", "", ""});
    }
  }

 private:
  /// Takes vocals and background as they come and makes four stems of them.
  class Cascade final : public StemSink {
   public:
    Cascade(StemSink& out, const Classic4& method, int threads) : out_(out), method_(method), threads_(threads) {}

    void begin(const StemFormat& format) override {
      channels_ = format.channels;
      rate_hz_ = format.rate_hz;
      writer_.emplace(out_);
      hpss_.emplace(audio::StftSpec{.fft_size = 2048, .hop_samples = 512}, HpssOptions{}, HpssStream::Wanted{},
                    channels_, rate_hz_, threads_);
      const audio::StftSpec low{.fft_size = kLowFft, .hop_samples = 1024};
      forward_.emplace(low, channels_);
      inverse_.emplace(low, channels_, rate_hz_);
      for (auto* queue : {&vocals_, &background_, &percussive_}) queue->emplace(channels_, rate_hz_);
      for (int k = 0; k < low.bins(); ++k) {
        const double hz = static_cast<double>(k) * rate_hz_ / kLowFft;
        const double high = method_.high_hz_, from = method_.low_hz_;
        const double x = high > from ? std::clamp((hz - from) / (high - from), 0.0, 1.0) : (hz > from ? 1.0 : 0.0);
        gain_.push_back(static_cast<float>(0.5 + 0.5 * std::cos(std::numbers::pi * x)));
      }
      StemFormat four = format;
      four.targets = method_.info_.targets;
      out_.begin(four);
    }
    void write(const StemBlock& block) override {
      vocals_->push(block.stems[0]);
      background_->push(block.stems[1]);
      samples_ += block.stems[0].samples();
      take(hpss_->push(block.stems[1]));
    }
    void end() override {
      take(hpss_->finish(samples_));
      bass(inverse_->push(low(forward_->finish())));
      bass(inverse_->finish(samples_));
    }

   private:
    static constexpr int kLowFft = 4096;

    void take(HpssStream::Parts parts) {
      if (parts.harmonic.samples() == 0) return;
      percussive_->push(parts.percussive);
      bass(inverse_->push(low(forward_->push(parts.harmonic))));
    }
    Spectrogram<float> low(Spectrogram<float> x) const {
      for (int c = 0; c < x.channels(); ++c) {
        for (std::int64_t n = 0; n < x.frames(); ++n) {
          std::complex<float>* frame = x.at(c, n);
          for (std::size_t k = 0; k < gain_.size(); ++k) frame[k] *= gain_[k];
        }
      }
      return x;
    }
    void bass(AudioBuffer bass) {
      const std::int64_t n = bass.samples();
      if (n == 0) return;
      std::vector<AudioBuffer> stems(4);
      stems[0] = vocals_->take(n);
      stems[1] = percussive_->take(n);
      stems[3] = difference(difference(background_->take(n), stems[1]), bass);
      stems[2] = std::move(bass);
      writer_->write(stems);
    }

    StemSink& out_;
    const Classic4& method_;
    int threads_, channels_ = 0, rate_hz_ = 0;
    std::optional<StemWriter> writer_;
    std::optional<HpssStream> hpss_;
    std::optional<audio::StreamingStft> forward_;
    std::optional<audio::StreamingIstft> inverse_;
    std::optional<SampleQueue> vocals_, background_, percussive_;
    std::vector<float> gain_;
    std::int64_t samples_ = 0;
  };

  void do_separate(audio::Source& source, StemSink& sink, Context& context) const override {
    Options options;
    options.threads = context.threads;
    options.stop = context.stop;
    Cascade cascade(sink, *this, context.threads);
    vocals_->separate(source, cascade, options);
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
