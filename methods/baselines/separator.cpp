#include "methods/baselines/separator.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "core/error.h"
#include "methods/baselines/conv1d.h"
#include "methods/segments.h"
#include "nn/cpu.h"

namespace mss::methods::baselines {
namespace {

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

using Networks = std::vector<std::unique_ptr<Network>>;

class NativeConv1d final : public Network {
 public:
  explicit NativeConv1d(nn::Source& weights) : model_(nn::Scope(weights)) {}
  nn::Tensor forward(const nn::Tensor& x) const override { return model_.forward(x); }

 private:
  Conv1dBaseline<nn::Cpu> model_;
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

/// The targets' networks in order; `accompaniment` joins the stems.
Networks networks_of(NetworkRequest& request, const MakeNetworkFn& make) {
  Networks out;
  for (const std::string& target : request.targets) {
    nn::ArraySource source = request.weights.source(target);
    out.push_back(make(source));
    source.check(request.info.spec);
  }
  if (std::ranges::find(request.info.targets, "accompaniment") == request.info.targets.end())
    request.info.targets.emplace_back("accompaniment");
  request.info.streams = true;
  return out;
}

class Conv1dSeparator final : public Separator {
 public:
  Conv1dSeparator(Networks networks, SeparatorInfo info) : Separator(std::move(info)), networks_(std::move(networks)) {}

 private:
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    constexpr std::int64_t kReach = Conv1dBaseline<nn::Cpu>::kReach;
    const nn::RunScope scope(context.threads, context.stop);
    const std::int64_t size = 10 * std::int64_t{mixture.rate_hz()};
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

}  // namespace

std::unique_ptr<Network> make_native_conv1d(nn::Source& weights) { return std::make_unique<NativeConv1d>(weights); }

std::unique_ptr<Separator> make_conv1d(NetworkRequest request, const MakeNetworkFn& make) {
  Networks networks = networks_of(request, make);
  return std::make_unique<Conv1dSeparator>(std::move(networks), std::move(request.info));
}

}  // namespace mss::methods::baselines
