#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "audio/stft.h"
#include "core/error.h"
#include "core/parallel.h"
#include "methods/filters/register.h"
#include "methods/kept_source.h"
#include "methods/sisec18.h"

namespace mss::methods::filters {
namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();  // 2^-52
/// Of the mixture and the references; what is longer goes on in a temporary file.
constexpr std::int64_t kTrackBytes = std::int64_t{512} << 20;
constexpr std::int64_t kChunkFrames = 64;
constexpr int kBlockBins = 64;

using Complex = std::complex<double>;

struct Rule {
  bool energy = true;
  bool wrong_trace = false;
  double reg = 1e-6;
  double inverse_eps = 0;
  audio::StftSpec stft;
};

/// Inverse of a C x C matrix (row-major): closed form with `eps` on the determinant for C <= 2, else Gauss-Jordan.
/// False where it is singular. `work` holds C * C values.
bool invert(const Complex* m, int n, double eps, Complex* work, Complex* inverse) {
  if (n == 1) {
    const Complex d = m[0] + eps;
    if (d == 0.0) return false;
    inverse[0] = 1.0 / d;
    return true;
  }
  if (n == 2) {
    const Complex d = eps + m[0] * m[3] - m[1] * m[2];
    if (d == 0.0) return false;
    const Complex one = 1.0 / d;
    inverse[0] = one * m[3];
    inverse[1] = -one * m[1];
    inverse[2] = -one * m[2];
    inverse[3] = one * m[0];
    return true;
  }
  std::copy_n(m, n * n, work);
  for (int i = 0; i < n * n; ++i) inverse[i] = i % (n + 1) == 0 ? 1.0 : 0.0;
  for (int p = 0; p < n; ++p) {
    int best = p;
    for (int i = p + 1; i < n; ++i) {
      if (std::norm(work[i * n + p]) > std::norm(work[best * n + p])) best = i;
    }
    const Complex pivot = work[best * n + p];
    if (pivot == 0.0) return false;
    for (int k = 0; k < n; ++k) {
      std::swap(work[p * n + k], work[best * n + k]);
      std::swap(inverse[p * n + k], inverse[best * n + k]);
      work[p * n + k] /= pivot;
      inverse[p * n + k] /= pivot;
    }
    for (int i = 0; i < n; ++i) {
      const Complex factor = work[i * n + p];
      if (i == p || factor == 0.0) continue;
      for (int k = 0; k < n; ++k) {
        work[i * n + k] -= factor * work[p * n + k];
        inverse[i * n + k] -= factor * inverse[p * n + k];
      }
    }
  }
  return true;
}

/// R_j(f) and its inverse, C x C row-major; silent sources have none.
struct Covariance {
  std::vector<Complex> r, inverse;
  std::vector<char> usable;  ///< per bin
};

class Mwf final : public Separator {
 public:
  Mwf(Rule rule, SeparatorInfo info) : Separator(std::move(info)), rule_(rule) {}

 private:
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    const int channels = mixture.channels(), rate_hz = mixture.rate_hz();
    sink.begin({.targets = context.targets,
                .channels = channels,
                .rate_hz = rate_hz,
                .samples = mixture.length().value_or(-1)});
    const Tracks tracks = keep(mixture, *context.references, context.stop);
    const std::vector<Covariance> covariances = learn(tracks, context);
    apply(tracks, rate_hz, covariances, sink, context);
  }

  /// The mixture and the references, which are read twice.
  using Tracks = std::vector<std::unique_ptr<const KeptTrack>>;
  static Tracks keep(audio::Source& mixture, const References& references, const core::StopToken& stop) {
    const auto each = kTrackBytes / (std::ssize(references.sources) + 1);
    Tracks tracks;
    tracks.push_back(std::make_unique<const KeptTrack>(mixture, each, stop));
    const std::int64_t samples = tracks.front()->samples();
    for (std::size_t i = 0; i < references.sources.size(); ++i) {
      tracks.push_back(std::make_unique<const KeptTrack>(*references.sources[i], each, stop));
      const std::int64_t found = tracks.back()->samples();
      if (found < samples) fail_short_reference(references.names[i], found, samples);
    }
    return tracks;
  }

  /// Frames [first, first + count) of SciPy's framing, from a transform that knows no framing: zeros of half a frame in
  /// front, zeros behind. In float64, because the published axis error divides by what rounding leaves in bins 0 and 1.
  audio::Spectrogram<double> frames_of(const audio::Stft<double>& transform, const KeptTrack& track,
                                       std::int64_t samples, std::int64_t first, std::int64_t count) const {
    const std::int64_t size = rule_.stft.fft_size, hop = rule_.stft.hop_samples;
    const std::int64_t begin = first * hop - size / 2, length = (count - 1) * hop + size;
    const std::int64_t from = std::max<std::int64_t>(begin, 0), to = std::min(begin + length, samples);
    audio::AudioBuffer read(track.channels(), std::max<std::int64_t>(to - from, 0), track.rate_hz());
    track.read(from, read.span());
    audio::Spectrogram<double> spectrum(track.channels(), count, rule_.stft.bins());
    std::vector<double> padded(static_cast<std::size_t>(length));
    for (int c = 0; c < track.channels(); ++c) {
      std::ranges::copy(read.channel(c), padded.begin() + (from - begin));
      transform.forward(padded, spectrum.at(c, 0));
    }
    return spectrum;
  }
  audio::StftSpec without_framing() const {
    audio::StftSpec spec = rule_.stft;
    spec.framing = audio::Framing::none;
    return spec;
  }
  std::int64_t frames(std::int64_t samples) const { return audio::Stft<double>(rule_.stft).frames(samples); }

  std::vector<Covariance> learn(const Tracks& tracks, Context& context) const {
    const int channels = tracks.front()->channels(), bins = rule_.stft.bins();
    const auto entries = static_cast<std::size_t>(channels * channels);
    const std::int64_t samples = tracks.front()->samples(), total = frames(samples);
    std::vector<Covariance> all(tracks.size() - 1);
    core::parallel_for(static_cast<std::int64_t>(all.size()), context.threads, [&](std::int64_t j) {
      Covariance& cov = all[static_cast<std::size_t>(j)];
      cov.r.assign(entries * static_cast<std::size_t>(bins), 0.0);
      cov.inverse = cov.r;
      cov.usable.assign(static_cast<std::size_t>(bins), 0);
      std::vector<Complex> y(static_cast<std::size_t>(channels));
      const KeptTrack& reference = *tracks[static_cast<std::size_t>(j) + 1];
      const audio::Stft<double> transform(without_framing());
      for (std::int64_t first = 0; first < total; first += kChunkFrames) {
        context.stop.check();
        const auto spectrum = frames_of(transform, reference, samples, first, std::min(kChunkFrames, total - first));
        for (std::int64_t n = 0; n < spectrum.frames(); ++n) {
          for (int f = 0; f < bins; ++f) {
            double power = 0;
            for (int c = 0; c < channels; ++c) {
              y[static_cast<std::size_t>(c)] = spectrum.at(c, n)[f];
              power += std::norm(y[static_cast<std::size_t>(c)]);
            }
            const double weight = rule_.energy ? 1.0 : 1.0 / (kEps + power / channels);
            Complex* r = cov.r.data() + entries * static_cast<std::size_t>(f);
            for (int a = 0; a < channels; ++a) {
              for (int b = 0; b < channels; ++b) {
                r[a * channels + b] +=
                    weight * y[static_cast<std::size_t>(a)] * std::conj(y[static_cast<std::size_t>(b)]);
              }
            }
          }
        }
      }
      normalise(cov, channels, total, context.references->names[static_cast<std::size_t>(j)]);
    });
    return all;
  }

  void normalise(Covariance& cov, int channels, std::int64_t frames, const std::string& name) const {
    const int n = channels, bins = rule_.stft.bins();
    const auto entries = static_cast<std::size_t>(n * n);
    const bool silent = std::ranges::all_of(cov.r, [](const Complex& z) { return z == 0.0; });
    if (silent) return;
    if (!rule_.energy) {
      for (Complex& z : cov.r) z /= static_cast<double>(frames);
    }
    std::vector<Complex> columns(static_cast<std::size_t>(n));
    if (rule_.wrong_trace) {
      // np.trace(R) of an array (bins, C, C) sums over the first two axes: bins 0 and 1, not rows and columns.
      for (int b = 0; b < n; ++b) {
        for (int a = 0; a < n; ++a)
          columns[static_cast<std::size_t>(b)] +=
              cov.r[entries * static_cast<std::size_t>(a) + static_cast<std::size_t>(a * n + b)];
        if (columns[static_cast<std::size_t>(b)] != 0.0) continue;
        throw Error({.code = Code::numeric,
                     .where = fmt::format("reference '{}'", name),
                     .what = "the published script divides by zero here: bins 0 and 1 are empty",
                     .expected = {},
                     .found = {},
                     .hint = "mwf is the correct filter"});
      }
    }
    std::vector<Complex> work(entries);
    for (int f = 0; f < bins; ++f) {
      Complex* r = cov.r.data() + entries * static_cast<std::size_t>(f);
      Complex trace = 0;
      for (int a = 0; a < n; ++a) trace += r[a * n + a];
      if (trace == 0.0 && !rule_.wrong_trace) continue;
      for (int a = 0; a < n; ++a) {
        for (int b = 0; b < n; ++b) {
          r[a * n + b] *= static_cast<double>(n) / (rule_.wrong_trace ? columns[static_cast<std::size_t>(b)] : trace);
        }
        r[a * n + a] += rule_.reg;
      }
      Complex* inverse = cov.inverse.data() + entries * static_cast<std::size_t>(f);
      cov.usable[static_cast<std::size_t>(f)] = invert(r, n, rule_.inverse_eps, work.data(), inverse) ? 1 : 0;
    }
  }

  void apply(const Tracks& tracks, int rate_hz, const std::vector<Covariance>& covariances, StemSink& sink,
             Context& context) const {
    const int channels = tracks.front()->channels();
    const std::int64_t samples = tracks.front()->samples();
    const auto stems = static_cast<std::int64_t>(covariances.size());
    const audio::Stft<double> transform(without_framing());
    std::vector<audio::StreamingIstft> inverse;
    for (std::int64_t s = 0; s < stems; ++s) inverse.emplace_back(rule_.stft, channels, rate_hz);
    std::vector<audio::Spectrogram<double>> spectra(tracks.size());
    std::vector<audio::AudioBuffer> done(static_cast<std::size_t>(stems));
    std::int64_t written = 0;
    const auto write = [&] {
      StemBlock block{.begin = written, .stems = {}};
      for (const audio::AudioBuffer& stem : done) block.stems.push_back(stem);
      if (done.front().samples() == 0) return;
      sink.write(block);
      written += done.front().samples();
    };
    const std::int64_t total = frames(samples);
    for (std::int64_t first = 0; first < total; first += kChunkFrames) {
      context.stop.check();
      const std::int64_t count = std::min(kChunkFrames, total - first);
      core::parallel_for(stems + 1, context.threads, [&](std::int64_t i) {
        const auto at = static_cast<std::size_t>(i);
        spectra[at] = frames_of(transform, *tracks[at], samples, first, count);
      });
      filter(spectra, covariances, context.threads);
      core::parallel_for(stems, context.threads, [&](std::int64_t s) {
        const audio::Spectrogram<double>& estimate = spectra[static_cast<std::size_t>(s) + 1];
        audio::Spectrogram<float> single(channels, count, estimate.bins());
        std::ranges::transform(estimate.data(), single.data().begin(), [](const Complex& z) {
          return std::complex<float>(static_cast<float>(z.real()), static_cast<float>(z.imag()));
        });
        done[static_cast<std::size_t>(s)] = inverse[static_cast<std::size_t>(s)].push(single);
      });
      write();
      context.progress(written);
    }
    for (std::size_t s = 0; s < done.size(); ++s) done[s] = inverse[s].finish(samples);
    write();
  }

  /// spectra[0] is the mixture; the estimates take the references' place.
  void filter(std::vector<audio::Spectrogram<double>>& spectra, const std::vector<Covariance>& covariances,
              int threads) const {
    const audio::Spectrogram<double>& mixture = spectra.front();
    const int n = mixture.channels(), bins = mixture.bins();
    const std::size_t stems = covariances.size();
    const auto entries = static_cast<std::size_t>(n * n);
    core::parallel_for((bins + kBlockBins - 1) / kBlockBins, threads, [&](std::int64_t block) {
      std::vector<Complex> y(static_cast<std::size_t>(n)), x(y), z(y), mix(entries), inverse(entries), work(entries);
      std::vector<double> power(stems);
      const int first = static_cast<int>(block) * kBlockBins, last = std::min(bins, first + kBlockBins);
      for (std::int64_t frame = 0; frame < mixture.frames(); ++frame) {
        for (int f = first; f < last; ++f) {
          const std::size_t at = entries * static_cast<std::size_t>(f);
          std::ranges::fill(mix, 0.0);
          for (std::size_t j = 0; j < stems; ++j) {
            power[j] = 0;
            if (covariances[j].usable[static_cast<std::size_t>(f)] == 0) continue;
            const Complex *r = covariances[j].r.data() + at, *inverse_r = covariances[j].inverse.data() + at;
            for (int c = 0; c < n; ++c) y[static_cast<std::size_t>(c)] = spectra[j + 1].at(c, frame)[f];
            Complex sum = 0;
            for (int a = 0; a < n; ++a) {
              for (int b = 0; b < n; ++b) {
                sum +=
                    inverse_r[a * n + b] * y[static_cast<std::size_t>(b)] * std::conj(y[static_cast<std::size_t>(a)]);
              }
            }
            power[j] = sum.real() / n;
            for (std::size_t i = 0; i < entries; ++i) mix[i] += power[j] * r[i];
          }
          for (int c = 0; c < n; ++c) x[static_cast<std::size_t>(c)] = mixture.at(c, frame)[f];
          const bool fine = invert(mix.data(), n, rule_.inverse_eps, work.data(), inverse.data());
          for (int a = 0; a < n; ++a) {
            Complex sum = 0;
            for (int b = 0; fine && b < n; ++b)
              sum += inverse[static_cast<std::size_t>(a * n + b)] * x[static_cast<std::size_t>(b)];
            z[static_cast<std::size_t>(a)] = sum;
          }
          for (std::size_t j = 0; j < stems; ++j) {
            const Complex* r = covariances[j].r.data() + at;
            for (int a = 0; a < n; ++a) {
              Complex sum = 0;
              for (int b = 0; b < n; ++b) sum += r[a * n + b] * z[static_cast<std::size_t>(b)];
              spectra[j + 1].at(a, frame)[f] = power[j] * sum;
            }
          }
        }
      }
    });
  }

  Rule rule_;
};

/// With four references.
MemoryNeed memory_of(const audio::StftSpec& stft, std::int64_t samples, int channels) {
  constexpr std::int64_t kTracks = 5;
  const std::int64_t tracks = 4 * samples * channels * kTracks;
  // Spectra of a chunk before and after its filter, one of them in float32 with its audio; covariances and their inverses.
  const std::int64_t spectra = channels * kChunkFrames * stft.bins() * (2 * 16 * kTracks + 8 + 12);
  const std::int64_t covariances = (kTracks - 1) * channels * channels * stft.bins() * 2 * 16;
  const std::int64_t blocks = 4 * 4 * KeptTrack::kBlockSamples * channels * kTracks;
  return {.call_bytes = kShellBytes + std::min(tracks, kTrackBytes) + blocks + spectra + covariances,
          .file_bytes = std::max<std::int64_t>(tracks - kTrackBytes, 0)};
}

std::unique_ptr<Separator> make(const core::Params& values, const core::SpecPart& spec, bool sisec) {
  Rule rule;
  rule.wrong_trace = sisec;
  rule.energy = !sisec && values.text("covariance") == "energy";
  rule.reg = sisec ? kEps : values.real("reg");
  rule.inverse_eps = sisec ? kEps : values.real("inverse_eps");
  rule.stft = sisec18_stft(values, spec);
  SeparatorInfo info;
  info.spec = to_string(spec);
  info.method = spec.name;
  info.is_oracle = true;
  info.needs_references = true;
  info.memory = [stft = rule.stft](std::int64_t samples, int channels, int) {
    return memory_of(stft, samples, channels);
  };
  if (sisec) info.channels = 2;
  info.resolved_options = values.resolved();
  info.resolved_options["covariance"] = rule.energy ? "energy" : "mean";
  info.resolved_options["reg"] = rule.reg;
  info.resolved_options["inverse_eps"] = rule.inverse_eps;
  return std::make_unique<Mwf>(rule, std::move(info));
}

}  // namespace

void add_methods(methods::Registry& registry) {
  MethodEntry mwf;
  mwf.name = "mwf";
  mwf.family = "oracle";
  mwf.summary = "Oracle: multichannel Wiener filter with the true powers and spatial covariances.";
  mwf.params = {{.name = "covariance",
                 .type = core::ParamType::choice,
                 .default_value = "mean",
                 .unit = "",
                 .range = "mean|energy",
                 .help = "Spatial covariance: all frames alike (as published), or weighted by their energy.",
                 .source = kSisec18},
                {.name = "reg",
                 .type = core::ParamType::real,
                 .default_value = "1e-06",
                 .unit = "",
                 .range = "[0,1]",
                 .help = "Added to the diagonal of the covariances, whose trace is the number of channels.",
                 .source = ""},
                {.name = "inverse_eps",
                 .type = core::ParamType::real,
                 .default_value = "0",
                 .unit = "",
                 .range = "[0,1]",
                 .help = "Added to the determinants of 1x1 and 2x2 inverses; the published code has 2^-52.",
                 .source = kSisec18}};
  for (core::Param& param : sisec18_params()) mwf.params.push_back(std::move(param));
  mwf.make = [](const core::Params& values, const core::SpecPart& spec) { return make(values, spec, false); };
  registry.add(std::move(mwf));

  MethodEntry sisec;
  sisec.name = "mwf-sisec18";
  sisec.family = "oracle";
  sisec.summary = "Oracle: SiSEC 2018's multichannel Wiener filter with the published script's axis error.";
  sisec.params = sisec18_params();
  sisec.make = [](const core::Params& values, const core::SpecPart& spec) { return make(values, spec, true); };
  registry.add(std::move(sisec));
}

}  // namespace mss::methods::filters
