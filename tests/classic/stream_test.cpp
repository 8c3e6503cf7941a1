// What works in blocks, or through a temporary file, against the same over the whole signal in memory.
#include <algorithm>
#include <cmath>
#include <complex>

#include "audio/buffer.h"
#include "audio/stft.h"
#include "core/rng.h"
#include "methods/classic/dft2.h"
#include "methods/classic/hpss.h"
#include "tests/support/catch.h"

using mss::audio::AudioBuffer;
using namespace mss::methods::classic;

namespace {

AudioBuffer noise(int channels, std::int64_t samples) {
  AudioBuffer out(channels, samples, 22050);
  for (int c = 0; c < channels; ++c) {
    mss::core::Rng rng(5, 1, static_cast<std::uint32_t>(c));
    for (float& x : out.channel(c)) x = static_cast<float>(rng.uniform(-1, 1));
  }
  return out;
}

HpssStream::Parts whole(const AudioBuffer& x, const mss::audio::StftSpec& spec, const HpssOptions& options) {
  const mss::audio::Stft<float> stft(spec);
  mss::audio::Spectrogram<float> h = stft.forward(x), p = h;
  for (int c = 0; c < x.channels(); ++c) {
    const auto count = static_cast<std::size_t>(h.frames() * h.bins());
    std::vector<float> v(count);
    for (std::size_t i = 0; i < count; ++i) v[i] = std::hypot(h.at(c, 0)[i].real(), h.at(c, 0)[i].imag());
    const HpssMasks<float> masks = hpss_masks(v, h.frames(), h.bins(), options, 1);
    for (std::size_t i = 0; i < count; ++i) {
      h.at(c, 0)[i] *= masks.harmonic[i];
      p.at(c, 0)[i] *= masks.percussive[i];
    }
  }
  return {stft.inverse(h, x.samples(), x.rate_hz()), stft.inverse(p, x.samples(), x.rate_hz())};
}

bool equal(const AudioBuffer& a, const AudioBuffer& b, std::int64_t begin) {
  for (int c = 0; c < a.channels(); ++c) {
    const auto x = a.channel(c), y = b.channel(c);
    if (!std::equal(x.begin(), x.end(), y.begin() + begin)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("HPSS over a stream has the bits of HPSS over the whole signal", "[classic]") {
  const mss::audio::StftSpec spec{.fft_size = 64, .hop_samples = 16};
  for (const int kernel : {1, 31, 601}) {
    const HpssOptions options{
        .kernel_frames = kernel, .kernel_bins = 5, .margin_harmonic = 1.5, .margin_percussive = 2};
    // From fewer frames than half a kernel to several blocks of 256.
    for (const std::int64_t samples : {1, 15, 100, 4000, 4095, 4800, 20000}) {
      CAPTURE(kernel, samples);
      const AudioBuffer x = noise(2, samples);
      const HpssStream::Parts expected = whole(x, spec, options);
      for (const std::int64_t step : {std::int64_t{977}, samples}) {
        HpssStream stream(spec, options, {}, 2, x.rate_hz(), 2);
        std::int64_t done = 0;
        bool same = true;
        const auto take = [&](const HpssStream::Parts& parts) {
          CHECK(parts.harmonic.samples() == parts.percussive.samples());
          same = same && equal(parts.harmonic, expected.harmonic, done) &&
                 equal(parts.percussive, expected.percussive, done);
          done += parts.harmonic.samples();
        };
        for (std::int64_t at = 0; at < samples; at += step) {
          take(stream.push(x.view().slice(at, std::min(step, samples - at))));
        }
        take(stream.finish(samples));
        CHECK(same);
        CHECK(done == samples);
      }
    }
  }
}

TEST_CASE("a part of HPSS that is not wanted is not made", "[classic]") {
  const AudioBuffer x = noise(1, 3000);
  HpssStream stream({.fft_size = 64, .hop_samples = 16}, {}, {.harmonic = false}, 1, x.rate_hz(), 1);
  const HpssStream::Parts first = stream.push(x), rest = stream.finish(3000);
  CHECK(first.harmonic.samples() + rest.harmonic.samples() == 0);
  CHECK(first.percussive.samples() + rest.percussive.samples() == 3000);
}

TEST_CASE("2DFT through tiles equals 2DFT in memory but for rounding", "[classic]") {
  for (const auto& [frames, bins] : {std::pair<std::int64_t, int>{1, 33}, {37, 33}, {300, 33}, {700, 17}}) {
    for (const bool original : {false, true}) {
      CAPTURE(frames, bins, original);
      mss::core::Rng rng(3, 1);
      std::vector<float> v(static_cast<std::size_t>(frames * bins));
      for (std::size_t i = 0; i < v.size(); ++i) {
        const auto n = static_cast<std::int64_t>(i) / bins;
        v[i] = static_cast<float>(rng.uniform() + (n % 10 < 2 ? 3.0 : 0.0));  // something that repeats
      }
      const Dft2Options options{.neighbourhood = 5, .original = original};
      const std::vector<float> expected = dft2_mask(v, frames, bins, options);
      std::vector<float> one, three;
      for (const int threads : {1, 3}) {
        // On one thread everything lies in the file.
        Dft2Background background(frames, bins, options, threads, threads == 1 ? 0 : Dft2Background::kMemoryBytes);
        std::vector<float>& mask = threads == 1 ? one : three;
        mask.resize(v.size());
        constexpr std::int64_t kStep = 100;
        const auto blocks = [&](const auto& use) {
          for (std::int64_t n = 0; n < frames; n += kStep) use(n, std::min(kStep, frames - n), v.data() + n * bins);
        };
        blocks([&](std::int64_t n, std::int64_t count, const float* x) { background.load(n, count, x); });
        blocks([&](std::int64_t n, std::int64_t count, const float* x) { background.scan(n, count, x); });
        blocks([&](std::int64_t n, std::int64_t count, const float* x) {
          background.masks(n, count, x, mask.data() + n * bins);
        });
      }
      CHECK(one == three);
      double worst = 0;
      for (std::size_t i = 0; i < one.size(); ++i) {
        worst = std::max(worst, static_cast<double>(std::abs(one[i] - expected[i])));
      }
      CHECK(worst < 1e-6);
    }
  }
  Dft2Background silent(4, 3, {}, 1);
  const std::vector<float> zeros(12, 0.0F);
  std::vector<float> mask(12, 1.0F);
  silent.load(0, 4, zeros.data());
  silent.scan(0, 4, zeros.data());
  silent.masks(0, 4, zeros.data(), mask.data());
  CHECK(mask == zeros);
}
