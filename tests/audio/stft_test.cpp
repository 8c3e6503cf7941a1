#include "audio/stft.h"

#include <complex>

#include "core/error.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::audio;
using namespace mss::tests;

namespace {

constexpr Framing kFramings[] = {Framing::none, Framing::centered_reflect, Framing::centered_zero, Framing::scipy,
                                 Framing::toolbox};
constexpr WindowKind kWindows[] = {WindowKind::hann, WindowKind::hamming, WindowKind::sqrt_hann,
                                   WindowKind::rectangular};

std::string describe(const StftSpec& s, std::int64_t samples) {
  return "fft " + std::to_string(s.fft_size) + " hop " + std::to_string(s.hop_samples) + " window " +
         std::to_string(s.window_samples) + "/" + std::to_string(static_cast<int>(s.window)) + " framing " +
         std::to_string(static_cast<int>(s.framing)) + " scaling " + std::to_string(static_cast<int>(s.scaling)) +
         " T " + std::to_string(samples);
}

struct Part {
  std::int64_t begin, end;
};

/// The samples that a convention brings back: those on which all frames lie that could overlap them.
Part kept(const StftSpec& s, std::int64_t samples, std::int64_t frames) {
  const std::int64_t fft = s.fft_size, hop = s.hop_samples;
  const std::int64_t window = s.window_samples == 0 ? fft : s.window_samples, margin = (fft - window) / 2;
  switch (s.framing) {
    case Framing::none:
      return {margin + window - hop, (frames - 1) * hop + margin + hop};
    case Framing::centered_reflect:
    case Framing::centered_zero:
      // Up to the middle of the last frame; with enough overlap there is weight behind it, too.
      return {0, 4 * hop <= window ? samples : (frames - 1) * hop};
    case Framing::scipy:
      return {0, samples};
    case Framing::toolbox:
      return {fft / 2 - hop, frames * hop - fft / 2};
  }
  return {0, 0};
}

template <class T>
std::vector<T> signal(std::int64_t samples) {
  KeyedUniform u("stft");
  std::vector<T> x(static_cast<std::size_t>(samples));
  for (T& v : x) v = static_cast<T>(1.8 * u() - 0.9);
  return x;
}

template <class T>
std::vector<std::complex<T>> transformed(const Stft<T>& stft, std::span<const T> x) {
  const auto frames = stft.frames(static_cast<std::int64_t>(x.size()));
  std::vector<std::complex<T>> out(static_cast<std::size_t>(frames * stft.bins()));
  stft.forward(x, out.data());
  return out;
}

template <class T>
double worst_reconstruction() {
  double worst = 0.0;
  for (const Framing framing : kFramings) {
    for (const WindowKind window : kWindows) {
      for (const int fft : {16, 512, 4096}) {
        for (const int hop : {fft / 2, fft * 3 / 8, fft / 4, fft / 8}) {
          for (const int window_samples : {0, fft * 3 / 4}) {
            if (window_samples != 0 && hop > window_samples / 2) continue;
            const StftSpec spec{fft,    hop,     window_samples,
                                window, framing, fft == 512 ? Scaling::window_sum : Scaling::none};
            const Stft<T> stft(spec);
            for (const std::int64_t samples :
                 {std::int64_t{1}, std::int64_t{7}, std::int64_t{fft / 2}, std::int64_t{fft / 2 + 1},
                  std::int64_t{fft + 1}, std::int64_t{3 * fft + 17}, std::int64_t{9 * fft + hop / 2}}) {
              const std::vector<T> x = signal<T>(samples);
              const auto spectrum = transformed<T>(stft, x);
              std::vector<T> y(x.size(), T(99));
              const std::int64_t frames = stft.frames(samples);
              stft.inverse(spectrum.data(), frames, y);
              Part part = kept(spec, samples, frames);
              part.begin = std::clamp<std::int64_t>(part.begin, 0, samples);
              part.end = std::clamp(part.end, part.begin, samples);
              const auto from = static_cast<std::size_t>(part.begin),
                         count = static_cast<std::size_t>(part.end - part.begin);
              const RelativeError error = relative_error<T, T>(std::span<const T>(x).subspan(from, count),
                                                               std::span<const T>(y).subspan(from, count));
              if (error.peak > worst || error.rms > worst) {
                worst = std::max({worst, error.peak, error.rms});
                INFO(describe(spec, samples));
                CHECK(worst <= 1e-6);
              }
            }
          }
        }
      }
    }
  }
  return worst;
}

/// The definition in the header, term by term, in float64.
std::complex<double> definition(const StftSpec& s, const std::vector<double>& x, std::int64_t n, int k) {
  const auto total = static_cast<std::int64_t>(x.size());
  const int length = s.window_samples == 0 ? s.fft_size : s.window_samples;
  const auto w = make_window<double>(s.window, length, s.framing == Framing::toolbox);
  const std::int64_t offset = s.framing == Framing::none ? 0 : s.fft_size / 2;
  double weight = 0.0;
  std::complex<double> sum = 0.0;
  for (int i = 0; i < length; ++i) {
    weight += w[static_cast<std::size_t>(i)];
    const int t_frame = i + (s.fft_size - length) / 2;
    std::int64_t t = n * s.hop_samples + t_frame - offset;
    if (s.framing == Framing::centered_reflect && total > 1) {
      while (t < 0 || t >= total) t = t < 0 ? -t : 2 * (total - 1) - t;
    } else if (s.framing == Framing::centered_reflect) {
      t = 0;
    }
    const double v = t >= 0 && t < total ? x[static_cast<std::size_t>(t)] : 0.0;
    const double angle = -2.0 * std::numbers::pi * k * t_frame / s.fft_size;
    sum += w[static_cast<std::size_t>(i)] * v * std::complex<double>(std::cos(angle), std::sin(angle));
  }
  return s.scaling == Scaling::window_sum ? sum / weight : sum;
}

}  // namespace

TEST_CASE("windows have their closed forms", "[audio]") {
  const auto hann = make_window<double>(WindowKind::hann, 8);
  CHECK(hann[0] == 0.0);
  CHECK(hann[4] == 1.0);
  CHECK(hann[2] == Approx(0.5).epsilon(1e-15));
  CHECK(hann[1] == Approx(hann[7]).epsilon(1e-14));
  const auto symmetric = make_window<double>(WindowKind::hann, 9, true);
  for (std::size_t i = 0; i < 8; ++i) CHECK(symmetric[i] == Approx(hann[i]).margin(1e-15));
  CHECK(symmetric[8] == Approx(0.0).margin(1e-15));
  CHECK(make_window<double>(WindowKind::hamming, 8)[0] == Approx(0.08));
  CHECK(make_window<double>(WindowKind::sqrt_hann, 8)[2] == Approx(std::sqrt(0.5)));
  for (const WindowKind kind : kWindows) {
    CHECK(make_window<float>(kind, 1) == std::vector<float>{1.0F});
    CHECK(make_window<float>(kind, 1, true) == std::vector<float>{1.0F});
  }
  CHECK_THROWS_AS(make_window<float>(WindowKind::hann, 0), Error);
}

TEST_CASE("numbers of frames follow each convention", "[audio]") {
  const auto frames = [](Framing framing, std::int64_t samples) {
    return Stft<float>({4096, 1024, 0, WindowKind::hann, framing, Scaling::none}).frames(samples);
  };
  CHECK(frames(Framing::none, 4095) == 0);
  CHECK(frames(Framing::none, 4096) == 1);
  CHECK(frames(Framing::none, 264600) == 255);              // six seconds
  CHECK(frames(Framing::centered_reflect, 264600) == 259);  // the same
  CHECK(frames(Framing::centered_zero, 1) == 1);
  CHECK(frames(Framing::scipy, 4096) == 5);
  CHECK(frames(Framing::scipy, 4097) == 6);
  CHECK(frames(Framing::toolbox, 4096) == 4);  // the fifth would fit exactly and is dropped
  CHECK(frames(Framing::toolbox, 4097) == 5);
  for (const Framing framing : kFramings) {
    CHECK(frames(framing, 0) == 0);
    CHECK_THROWS_AS(frames(framing, -1), Error);
  }
}

TEST_CASE("the forward transform is its definition", "[audio]") {
  for (const Framing framing : kFramings) {
    for (const Scaling scaling : {Scaling::none, Scaling::window_sum}) {
      for (const int window : {0, 12, 11}) {
        for (const std::int64_t samples : {1, 3, 8, 9, 16, 50}) {
          const StftSpec spec{16, 5, window, WindowKind::hann, framing, scaling};
          const std::vector<double> x = signal<double>(samples);
          const Stft<double> stft(spec);
          const auto spectrum = transformed<double>(stft, x);
          const std::vector<float> x32(x.begin(), x.end());
          const Stft<float> stft32(spec);
          const auto spectrum32 = transformed<float>(stft32, x32);
          for (std::int64_t n = 0; n < stft.frames(samples); ++n) {
            for (int k = 0; k < stft.bins(); ++k) {
              const auto expected = definition(spec, x, n, k);
              const auto at = static_cast<std::size_t>(n * stft.bins() + k);
              if (std::abs(spectrum[at] - expected) < 1e-13 &&
                  std::abs(std::complex<double>(spectrum32[at]) - expected) < 2e-6) {
                continue;
              }
              FAIL(describe(spec, samples)
                   << " frame " << n << " bin " << k << ": " << spectrum[at] << " against " << expected);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("float32 comes back to -120 dB in every convention", "[audio]") {
  const double worst = worst_reconstruction<float>();
  CHECK(worst <= 1e-6);
  CHECK(worst > 1e-9);  // the comparison compared something
}

TEST_CASE("float64 comes back to -280 dB in every convention", "[audio]") {
  CHECK(worst_reconstruction<double>() <= 1e-14);
}

TEST_CASE("energies agree with Parseval", "[audio]") {
  const int fft = 256;
  const Stft<double> stft({fft, fft, 0, WindowKind::rectangular, Framing::none, Scaling::none});
  const std::vector<double> x = signal<double>(10 * fft);
  const auto spectrum = transformed<double>(stft, x);
  double time = 0.0, frequency = 0.0;
  for (const double v : x) time += v * v;
  for (std::size_t i = 0; i < spectrum.size(); ++i) {
    const auto k = static_cast<int>(i % static_cast<std::size_t>(stft.bins()));
    frequency += (k == 0 || k == fft / 2 ? 1.0 : 2.0) * std::norm(spectrum[i]);
  }
  CHECK(frequency / fft == Approx(time).epsilon(1e-13));
}

TEST_CASE("the transform is linear", "[audio]") {
  const Stft<double> stft({512, 128, 0, WindowKind::hann, Framing::centered_reflect, Scaling::none});
  const std::vector<double> x = signal<double>(3000);
  std::vector<double> y(x.rbegin(), x.rend()), z(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) z[i] = 2.0 * x[i] - 0.3 * y[i];
  const auto fx = transformed<double>(stft, x), fy = transformed<double>(stft, y), fz = transformed<double>(stft, z);
  double worst = 0.0;
  for (std::size_t i = 0; i < fx.size(); ++i) worst = std::max(worst, std::abs(fz[i] - (2.0 * fx[i] - 0.3 * fy[i])));
  CHECK(worst < 1e-12);
}

TEST_CASE("a pure tone on a bin has half its amplitude there", "[audio]") {
  const int fft = 1024, bin = 37;
  std::vector<double> x(8 * fft);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = 0.8 * std::cos(2.0 * std::numbers::pi * bin * static_cast<double>(i) / fft);
  }
  const Stft<double> plain({fft, 256, 0, WindowKind::hann, Framing::none, Scaling::none});
  const Stft<double> scaled({fft, 256, 0, WindowKind::hann, Framing::none, Scaling::window_sum});
  const auto a = transformed<double>(plain, x), b = transformed<double>(scaled, x);
  for (std::int64_t n = 0; n < plain.frames(static_cast<std::int64_t>(x.size())); ++n) {
    const auto at = static_cast<std::size_t>(n * plain.bins() + bin);
    CHECK(std::abs(a[at]) == Approx(0.8 * fft / 4).epsilon(1e-12));  // the periodic Hann window sums to fft / 2
    CHECK(std::abs(b[at]) == Approx(0.4).epsilon(1e-12));
    CHECK(std::abs(b[at + 1]) == Approx(0.2).epsilon(1e-12));  // the window's side line
    CHECK(std::abs(b[at + 3]) < 1e-13);
  }
}

TEST_CASE("bits depend neither on the number of threads nor on where the samples lie", "[audio]") {
  const AudioBuffer x = noise(2, 100003, 44100);
  for (const Framing framing : kFramings) {
    const StftSpec spec{1024, 160, 0, WindowKind::hann, framing, Scaling::none};
    const Stft<float> stft(spec);
    const Spectrogram<float> one = stft.forward(x, 1);
    const AudioBuffer back = stft.inverse(one, x.samples(), 44100, 1);
    for (const int threads : {2, 3, 7}) {
      CHECK(stft.forward(x, threads).data() == one.data());
      CHECK(same_bits(stft.inverse(one, x.samples(), 44100, threads), back));
    }
    for (int shift = 1; shift < 8; ++shift) {
      std::vector<float> moved(static_cast<std::size_t>(x.samples() + shift));
      std::ranges::copy(x.channel(1), moved.begin() + shift);
      const auto spectrum =
          transformed<float>(stft, std::span<const float>(moved).subspan(static_cast<std::size_t>(shift)));
      CHECK(std::equal(spectrum.begin(), spectrum.end(), one.at(1, 0)));
      std::vector<float> out(moved.size());
      stft.inverse(spectrum.data(), one.frames(), std::span<float>(out).subspan(static_cast<std::size_t>(shift)));
      CHECK(same_bits(std::span<const float>(out).subspan(static_cast<std::size_t>(shift)), back.channel(1)));
    }
  }
  const Stft<double> wide({1024, 160, 0, WindowKind::hann, Framing::scipy, Scaling::window_sum});
  CHECK(wide.forward(x, 3).data() == wide.forward(x, 1).data());
}

TEST_CASE("streams give the bits of the whole signal", "[audio]") {
  for (const Framing framing : kFramings) {
    for (const int hop : {16, 24, 50, 64}) {
      const StftSpec spec{
          64, hop, 0, hop > 32 ? WindowKind::rectangular : WindowKind::hann, framing, Scaling::window_sum};
      const Stft<float> stft(spec);
      for (const std::int64_t samples : {0, 1, 2, 31, 32, 33, 63, 64, 65, 128, 1000, 1003}) {
        const AudioBuffer x = noise(2, samples, 44100);
        const Spectrogram<float> whole = stft.forward(x);
        const AudioBuffer back = stft.inverse(whole, samples, 44100);
        for (const std::int64_t block : {1, 5, 64, 333, 5000}) {
          StreamingStft forward(spec, 2);
          StreamingIstft inverse(spec, 2, 44100);
          std::int64_t frame = 0, at = 0;
          bool equal = true;
          const auto check_audio = [&](const AudioBuffer& part) {
            for (int c = 0; c < 2; ++c) {
              equal = equal && at + part.samples() <= samples &&
                      same_bits(part.channel(c), back.channel(c).subspan(static_cast<std::size_t>(at),
                                                                         static_cast<std::size_t>(part.samples())));
            }
            at += part.samples();
          };
          const auto check_frames = [&](const Spectrogram<float>& part) {
            for (int c = 0; c < 2; ++c) {
              for (std::int64_t n = 0; n < part.frames(); ++n) {
                equal = equal && frame + n < whole.frames() &&
                        std::equal(part.at(c, n), part.at(c, n) + part.bins(), whole.at(c, frame + n));
              }
            }
            frame += part.frames();
            check_audio(inverse.push(part));
          };
          for (std::int64_t i = 0; i < samples; i += block) {
            check_frames(forward.push(x.view().slice(i, std::min(block, samples - i))));
          }
          check_frames(forward.finish());
          REQUIRE(frame == whole.frames());
          check_audio(inverse.finish(samples));
          INFO(describe(spec, samples) << " block " << block);
          CHECK(at == samples);
          CHECK(equal);
        }
      }
    }
  }
}

TEST_CASE("blocks cover a signal's frames in order and heed a stop", "[audio]") {
  const StftSpec spec{1024, 256, 0, WindowKind::hann, Framing::centered_reflect, Scaling::none};
  for (const std::int64_t samples : {0, 700, 32768, 100000}) {
    INFO(samples);
    const AudioBuffer x = noise(2, samples, 44100);
    const Spectrogram<float> whole = Stft<float>(spec).forward(x);
    std::int64_t next = 0;
    for_each_block(x, spec, {}, [&](const Spectrogram<float>& frames, std::int64_t first) {
      REQUIRE(first == next);
      REQUIRE(first + frames.frames() <= whole.frames());
      for (int c = 0; c < 2; ++c) {
        for (std::int64_t n = 0; n < frames.frames(); ++n)
          CHECK(std::equal(frames.at(c, n), frames.at(c, n) + frames.bins(), whole.at(c, first + n)));
      }
      next += frames.frames();
    });
    CHECK(next == whole.frames());
  }
  core::StopSource stop;
  const auto request = [&](const Spectrogram<float>&, std::int64_t) { stop.request_stop(); };
  CHECK_THROWS_AS(for_each_block(noise(1, 100000, 44100), spec, stop.token(), request), Error);
}

TEST_CASE("an inverse after a change of the spectrum is the least-squares signal", "[audio]") {
  // The projection: analysing the inverse and inverting again changes nothing.
  const StftSpec spec{256, 64, 0, WindowKind::hann, Framing::scipy, Scaling::none};
  const Stft<double> stft(spec);
  const std::vector<double> x = signal<double>(2000);
  auto spectrum = transformed<double>(stft, x);
  KeyedUniform u("mask");
  for (auto& v : spectrum) v *= u();
  std::vector<double> once(x.size()), twice(x.size());
  stft.inverse(spectrum.data(), stft.frames(2000), once);
  stft.inverse(transformed<double>(stft, once).data(), stft.frames(2000), twice);
  CHECK(relative_error<double, double>(once, twice).peak < 1e-13);
  CHECK(relative_error<double, double>(x, once).rms > 0.1);
}

TEST_CASE("wrong sizes are refused with the range", "[audio]") {
  const auto make = [](int fft, int hop, int window) {
    return error_of([=] { Stft<float>({fft, hop, window, WindowKind::hann, Framing::none, Scaling::none}); });
  };
  for (const auto& error : {make(0, 1, 0), make(15, 4, 0), make(16, 0, 0), make(16, 17, 0), make(16, 9, 8),
                            make(16, 4, 17), make(16, 4, -1), make(-4, 1, 0)}) {
    REQUIRE(error);
    CHECK(error->code() == Code::invalid_argument);
    CHECK_FALSE(error->parts().expected.empty());
  }
  CHECK_FALSE(make(16, 16, 0));
  CHECK_FALSE(make(2, 1, 1));
  const Stft<float> stft({64, 16, 0, WindowKind::hann, Framing::scipy, Scaling::none});
  CHECK_THROWS_AS(stft.inverse(Spectrogram<float>(1, 3, 33), 1000, 44100), Error);
  CHECK_THROWS_AS(stft.inverse(Spectrogram<float>(1, stft.frames(1000), 32), 1000, 44100), Error);
  StreamingStft streaming(stft.spec(), 2);
  CHECK_THROWS_AS(streaming.push(AudioBuffer(1, 10, 44100)), Error);
  streaming.finish();
  CHECK_THROWS_AS(streaming.push(AudioBuffer(2, 10, 44100)), Error);
  StreamingIstft back(stft.spec(), 1, 44100);
  CHECK_THROWS_AS(back.finish(1000), Error);
}
