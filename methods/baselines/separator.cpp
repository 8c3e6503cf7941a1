#include "methods/baselines/separator.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "audio/stft.h"
#include "core/error.h"
#include "core/parallel.h"
#include "methods/baselines/conv1d.h"
#include "methods/baselines/dprnn.h"
#include "methods/baselines/family.h"
#include "methods/segments.h"
#include "nn/cpu.h"

namespace mss::methods::baselines {
namespace {

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

using Networks = std::vector<std::unique_ptr<Network>>;

template <class Model>
class NativeNetwork final : public Network {
 public:
  template <class... Sizes>
  explicit NativeNetwork(nn::Source& weights, const Sizes&... sizes) : model_(nn::Scope(weights), sizes...) {}
  nn::Tensor forward(const nn::Tensor& x) const override { return model_.forward(x); }

 private:
  Model model_;
};

/// Adds what the stems leave of the segment, channel by channel, behind them.
void add_rest(const Segment<float>& segment, Rows<float>& rows, std::size_t channels) {
  const std::size_t stems = rows.size() / channels;
  for (std::size_t c = 0; c < channels; ++c) {
    const auto begin = segment.audio[c].begin() + segment.before;
    std::vector<float> rest(begin, begin + segment.samples);
    for (std::size_t s = 0; s < stems; ++s) {
      for (std::size_t t = 0; t < rest.size(); ++t) rest[t] -= rows[s * channels + c][t];
    }
    rows.push_back(std::move(rest));
  }
}

/// The targets' networks in order. Beside a single one `accompaniment` joins the stems; what several leave of the mixture
/// is none.
Networks networks_of(NetworkRequest& request, const MakeNetworkFn& make, std::int64_t piece_bytes) {
  Networks out;
  for (const std::string& target : request.targets) {
    nn::ArraySource source = request.weights.source(target);
    out.push_back(make(source, request.weights.configuration));
    source.check(request.info.spec);
  }
  if (request.targets.size() == 1 && request.targets[0] != "accompaniment")
    request.info.targets.emplace_back("accompaniment");
  request.info.streams = true;
  // Pieces have one length, so that neither needs more for a longer track.
  request.info.memory = [parameters = request.info.parameters, piece_bytes](std::int64_t, int, int) {
    return MemoryNeed{.fixed_bytes = 4 * parameters, .call_bytes = kShellBytes + piece_bytes};
  };
  return out;
}

/// Two layers' activations of a second are some 17 MB; of ten, which take 5 % longer, 170.
constexpr std::int64_t kConv1dPieceSeconds = 1;

class Conv1dSeparator final : public Separator {
 public:
  Conv1dSeparator(Networks networks, SeparatorInfo info) : Separator(std::move(info)), networks_(std::move(networks)) {}

 private:
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    constexpr std::int64_t kReach = Conv1dBaseline<nn::Cpu>::kReach;
    const nn::RunScope scope(context.threads, context.stop);
    const std::int64_t size = kConv1dPieceSeconds * std::int64_t{mixture.rate_hz()};
    const std::optional<std::int64_t> length = mixture.length();
    const SegmentSpec spec{
        .segment_samples = size, .hop_samples = size, .before_samples = kReach, .after_samples = kReach};
    separate_in_segments(mixture, sink, spec, context,
                         [&](std::span<Segment<float>> batch, const EmitRows<float>& emit) {
                           for (std::size_t i = 0; i < batch.size(); ++i) {
                             const Segment<float>& s = batch[i];
                             // At the track's ends the layers pad, as they do in training.
                             const std::int64_t before = s.begin == 0 ? 0 : std::min(s.before, s.begin);
                             const std::int64_t end = s.begin + s.samples;
                             const std::int64_t after = s.samples < size || (length && end == *length) ? 0
                                                        : length ? std::min(s.after, *length - end)
                                                                 : s.after;
                             const auto channels = static_cast<std::int64_t>(s.audio.size());
                             nn::Tensor x(1, before + s.samples + after, channels);
                             for (std::int64_t c = 0; c < channels; ++c) {
                               const float* from = s.audio[sz(c)].data() + s.before - before;
                               for (std::int64_t t = 0; t < x.frames(); ++t) x.row(0, t)[c] = from[t];
                             }
                             Rows<float> rows;
                             for (const auto& network : networks_) {
                               const nn::Tensor y = network->forward(x).narrow(1, before, s.samples);
                               for (std::int64_t c = 0; c < channels; ++c) {
                                 std::vector<float> row(sz(s.samples));
                                 for (std::int64_t t = 0; t < s.samples; ++t) row[sz(t)] = y.row(0, t)[c];
                                 rows.push_back(std::move(row));
                               }
                             }
                             if (context.targets.size() > networks_.size()) add_rest(s, rows, s.audio.size());
                             emit(static_cast<std::int64_t>(i), std::move(rows));
                           }
                         });
  }

  Networks networks_;
};

class DprnnSeparator final : public Separator {
 public:
  DprnnSeparator(Networks networks, SeparatorInfo info)
      : Separator(std::move(info)),
        networks_(std::move(networks)),
        stft_({.fft_size = static_cast<int>(Model::kFft),
               .hop_samples = static_cast<int>(Model::kHop),
               .framing = audio::Framing::centered_reflect}) {}

 private:
  using Model = Dprnn<nn::Cpu>;
  using Complex = std::complex<float>;

  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    const nn::RunScope scope(context.threads, context.stop);
    const std::int64_t size = 6 * std::int64_t{mixture.rate_hz()}, hop = size / 2;
    const SegmentSpec spec{.segment_samples = size,
                           .hop_samples = hop,
                           .weights = segment_weights({size, hop, audio::ChunkWindow::linear_fade})};
    separate_in_segments(mixture, sink, spec, context,
                         [&](std::span<Segment<float>> batch, const EmitRows<float>& emit) {
                           for (std::size_t i = 0; i < batch.size(); ++i)
                             emit(static_cast<std::int64_t>(i), separate_piece(batch[i], size, context));
                         });
  }

  Rows<float> separate_piece(const Segment<float>& segment, std::int64_t size, const Context& context) const {
    const auto channels = static_cast<std::int64_t>(segment.audio.size());
    const std::int64_t frames = stft_.frames(size), bins = Model::kBins;
    std::vector<std::vector<Complex>> spectra(sz(channels), std::vector<Complex>(sz(frames * bins)));
    nn::Tensor sizes(1, frames, 2 * bins);
    core::parallel_for(channels, context.threads, [&](std::int64_t c) {
      std::vector<float> whole(segment.audio[sz(c)]);
      whole.resize(sz(size), 0.0F);
      stft_.forward(std::span<const float>(whole), spectra[sz(c)].data());
      for (std::int64_t t = 0; t < frames; ++t) {
        for (std::int64_t f = 0; f < bins; ++f) {
          const Complex z = spectra[sz(c)][sz(t * bins + f)];
          sizes.row(0, t)[2 * f + c] = std::sqrt(z.real() * z.real() + z.imag() * z.imag());
        }
      }
    });
    Rows<float> rows;
    for (const auto& network : networks_) {
      const nn::Tensor mask = network->forward(sizes);
      rows.resize(rows.size() + sz(channels));
      core::parallel_for(channels, context.threads, [&](std::int64_t c) {
        std::vector<Complex> masked = spectra[sz(c)];
        for (std::int64_t t = 0; t < frames; ++t) {
          for (std::int64_t f = 0; f < bins; ++f) masked[sz(t * bins + f)] *= mask.row(0, t)[2 * f + c];
        }
        std::vector<float>& row = rows[rows.size() - sz(channels - c)];
        row.resize(sz(size));
        stft_.inverse(masked.data(), frames, std::span<float>(row));
        row.resize(sz(segment.samples));
      });
    }
    if (context.targets.size() > networks_.size()) add_rest(segment, rows, sz(channels));
    return rows;
  }

  Networks networks_;
  audio::Stft<float> stft_;
};

}  // namespace

std::unique_ptr<Network> make_native_conv1d(nn::Source& weights, const core::Value&) {
  return std::make_unique<NativeNetwork<Conv1dBaseline<nn::Cpu>>>(weights);
}

std::unique_ptr<Network> make_native_dprnn(nn::Source& weights, const core::Value& configuration) {
  return std::make_unique<NativeNetwork<Dprnn<nn::Cpu>>>(weights, dprnn_sizes(configuration));
}

std::unique_ptr<Separator> make_conv1d(NetworkRequest request, const MakeNetworkFn& make) {
  // Two layers' activations; of every stem's two channels the sums in float64 and four copies on the way out.
  const auto stems = static_cast<std::int64_t>(request.targets.size()) + 1;
  constexpr auto& channels = Conv1dBaseline<nn::Cpu>::kChannels;
  const std::int64_t sample_bytes = 4 * (channels[1] + channels[2]) + channels[0] * stems * (8 + 4 * 4);
  Networks networks = networks_of(request, make, kConv1dPieceSeconds * 44100 * sample_bytes);
  return std::make_unique<Conv1dSeparator>(std::move(networks), std::move(request.info));
}

std::unique_ptr<Separator> make_dprnn(NetworkRequest request, const MakeNetworkFn& make) {
  // The activations of six seconds of spectrogram, measured with the sizes of the report and of the shipped weights.
  Networks networks = networks_of(request, make, std::int64_t{132} << 20);
  return std::make_unique<DprnnSeparator>(std::move(networks), std::move(request.info));
}

}  // namespace mss::methods::baselines
