#include "methods/classic/hpss.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/parallel.h"

namespace mss::methods::classic {
namespace {

template <class T>
T powered(T x, double power) {
  return power == 2 ? x * x : power == 1 ? x : static_cast<T>(std::pow(x, static_cast<T>(power)));
}

template <class T>
T soft_mask(T x, T reference, double power, T undefined) {
  const T largest = std::max(x, reference);
  if (largest < std::numeric_limits<T>::min()) return undefined;
  const T a = powered(x / largest, power), b = powered(reference / largest, power);
  return a / (a + b);
}

void check(const HpssOptions& options) {
  if (!(options.power > 0) || options.margin_harmonic < 1 || options.margin_percussive < 1) {
    throw Error({Code::invalid_argument, "hpss", "bad mask options", "power > 0, margins >= 1", "", ""});
  }
}

/// Turns the two medians into the two masks, in place.
template <class T>
void medians_to_masks(HpssMasks<T>& out, std::int64_t frames, int bins, const HpssOptions& options, int threads) {
  const T undefined = options.margin_harmonic == 1 && options.margin_percussive == 1 ? T(0.5) : T(0);
  core::parallel_for(frames, threads, [&](std::int64_t n) {
    for (std::int64_t i = n * bins; i < (n + 1) * bins; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const T h = out.harmonic[at], p = out.percussive[at];
      out.harmonic[at] = soft_mask(h, static_cast<T>(options.margin_harmonic) * p, options.power, undefined);
      out.percussive[at] = soft_mask(p, static_cast<T>(options.margin_percussive) * h, options.power, undefined);
    }
  });
}

constexpr std::int64_t kBlockFrames = 256;

}  // namespace

template <class T>
HpssMasks<T> hpss_masks(const std::vector<T>& v, std::int64_t frames, int bins, const HpssOptions& options,
                        int threads) {
  check(options);
  HpssMasks<T> out;
  out.harmonic = median_over_time(v, frames, bins, options.kernel_frames, threads);
  out.percussive = median_over_bins(v, frames, bins, options.kernel_bins, threads);
  medians_to_masks(out, frames, bins, options, threads);
  return out;
}

template HpssMasks<float> hpss_masks(const std::vector<float>&, std::int64_t, int, const HpssOptions&, int);
template HpssMasks<double> hpss_masks(const std::vector<double>&, std::int64_t, int, const HpssOptions&, int);

struct HpssStream::Impl {
  Impl(const audio::StftSpec& spec, const HpssOptions& options_, Wanted wanted_, int channels_, int rate_hz,
       int threads_)
      : options(options_),
        wanted(wanted_),
        channels(channels_),
        bins(spec.bins()),
        threads(threads_),
        half(options_.kernel_frames / 2),
        forward(spec, channels_),
        harmonic(spec, channels_, rate_hz),
        percussive(spec, channels_, rate_hz),
        x(static_cast<std::size_t>(channels_)),
        v(static_cast<std::size_t>(channels_)) {
    check(options);
  }

  /// Takes frames in; magnitudes are those of std::hypot.
  void append(const audio::Spectrogram<float>& frames) {
    const auto count = static_cast<std::size_t>(frames.frames() * bins);
    for (int c = 0; c < channels; ++c) {
      auto& to_x = x[static_cast<std::size_t>(c)];
      auto& to_v = v[static_cast<std::size_t>(c)];
      const std::complex<float>* in = frames.at(c, 0);
      to_x.insert(to_x.end(), in, in + count);
      to_v.reserve(to_v.size() + count);
      for (std::size_t i = 0; i < count; ++i) to_v.push_back(std::hypot(in[i].real(), in[i].imag()));
    }
    known += frames.frames();
  }

  /// Masks frames [next, next + count) and lets go of what no later frame needs.
  void process(std::int64_t count, bool ended, std::vector<Parts>& out) {
    audio::Spectrogram<float> h(wanted.harmonic ? channels : 0, count, bins),
        p(wanted.percussive ? channels : 0, count, bins);
    const auto row = static_cast<std::size_t>(bins);
    for (int c = 0; c < channels; ++c) {
      const std::vector<float>& from = v[static_cast<std::size_t>(c)];
      const auto frame = [&](std::int64_t i) { return from.begin() + (i - kept) * bins; };
      const std::vector<float> around =
          reflected_frames(from, kept, known, ended, next - half, next + count + half, bins);
      const std::vector<float> own(frame(next), frame(next) + count * bins);
      HpssMasks<float> masks;
      masks.harmonic = inner_median_over_time(around, count + 2 * half, bins, options.kernel_frames, threads);
      masks.percussive = median_over_bins(own, count, bins, options.kernel_bins, threads);
      medians_to_masks(masks, count, bins, options, threads);
      const std::complex<float>* in = x[static_cast<std::size_t>(c)].data() + (next - kept_x) * bins;
      const auto size = static_cast<std::size_t>(count) * row;
      for (std::size_t i = 0; wanted.harmonic && i < size; ++i) h.at(c, 0)[i] = in[i] * masks.harmonic[i];
      for (std::size_t i = 0; wanted.percussive && i < size; ++i) p.at(c, 0)[i] = in[i] * masks.percussive[i];
    }
    next += count;
    const std::int64_t needed = std::max<std::int64_t>(kept, next - half);
    for (auto& channel : v) channel.erase(channel.begin(), channel.begin() + (needed - kept) * bins);
    for (auto& channel : x) channel.erase(channel.begin(), channel.begin() + (next - kept_x) * bins);
    kept = needed;
    kept_x = next;
    Parts parts;
    if (wanted.harmonic) parts.harmonic = harmonic.push(h);
    if (wanted.percussive) parts.percussive = percussive.push(p);
    out.push_back(std::move(parts));
  }

  static Parts joined(std::vector<Parts> parts) {
    if (parts.size() == 1) return std::move(parts.front());
    Parts out;
    for (audio::AudioBuffer Parts::*member : {&Parts::harmonic, &Parts::percussive}) {
      std::int64_t samples = 0;
      for (const Parts& part : parts) samples += (part.*member).samples();
      if (samples == 0) continue;
      const auto shape = std::ranges::find_if(parts, [&](const Parts& part) { return (part.*member).samples() > 0; });
      audio::AudioBuffer all((*shape.*member).channels(), samples, (*shape.*member).rate_hz());
      std::int64_t at = 0;
      for (const Parts& part : parts) {
        for (int c = 0; c < (part.*member).channels(); ++c) {
          std::ranges::copy((part.*member).channel(c), all.channel(c).begin() + at);
        }
        at += (part.*member).samples();
      }
      out.*member = std::move(all);
    }
    return out;
  }

  HpssOptions options;
  Wanted wanted;
  int channels, bins, threads;
  std::int64_t half;
  audio::StreamingStft forward;
  audio::StreamingIstft harmonic, percussive;
  std::vector<std::vector<std::complex<float>>> x;  ///< per channel, frames from kept_x on
  std::vector<std::vector<float>> v;                ///< per channel, frames from kept on
  std::int64_t kept = 0, kept_x = 0, next = 0, known = 0;
};

HpssStream::HpssStream(const audio::StftSpec& spec, const HpssOptions& options, Wanted wanted, int channels,
                       int rate_hz, int threads)
    : impl_(std::make_unique<Impl>(spec, options, wanted, channels, rate_hz, threads)) {}
HpssStream::~HpssStream() = default;
HpssStream::HpssStream(HpssStream&&) noexcept = default;

HpssStream::Parts HpssStream::push(audio::AudioView block) {
  impl_->append(impl_->forward.push(block));
  std::vector<Parts> parts;
  while (impl_->known - impl_->next >= kBlockFrames + impl_->half) impl_->process(kBlockFrames, false, parts);
  return Impl::joined(std::move(parts));
}

HpssStream::Parts HpssStream::finish(std::int64_t total_samples) {
  impl_->append(impl_->forward.finish());
  std::vector<Parts> parts;
  while (impl_->next < impl_->known) {
    impl_->process(std::min(kBlockFrames, impl_->known - impl_->next), true, parts);
  }
  Parts rest;
  if (impl_->wanted.harmonic) rest.harmonic = impl_->harmonic.finish(total_samples);
  if (impl_->wanted.percussive) rest.percussive = impl_->percussive.finish(total_samples);
  parts.push_back(std::move(rest));
  return Impl::joined(std::move(parts));
}

std::int64_t HpssStream::memory_bytes(const audio::StftSpec& spec, const HpssOptions& options, int channels) {
  const std::int64_t bins = spec.bins(), length = options.kernel_frames;
  // Kept frames (complex and magnitudes), the masked ones of both parts; medians and masks of one channel.
  return bins *
         (channels * (12 * (kBlockFrames + 2 * length) + 16 * kBlockFrames) + 4 * (5 * kBlockFrames + 2 * length));
}

}  // namespace mss::methods::classic
