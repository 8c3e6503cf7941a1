// The generator's own arithmetic against libm and against definitions.
#include <cmath>
#include <complex>
#include <numbers>

#include "datasets/synth/fft.h"
#include "datasets/synth/math.h"
#include "datasets/synth/oscillators.h"
#include "datasets/synth/signal.h"
#include "tests/support/catch.h"

using namespace mss::datasets::synth;

TEST_CASE("functions without libm agree with libm", "[synth]") {
  double trigonometric = 0, exponential = 0, hyperbolic = 0, logarithm = 0, angle = 0;
  for (int i = -20000; i <= 20000; ++i) {
    const double x = i / 1000.0;
    trigonometric =
        std::max(trigonometric, std::abs(sin_turns(x) - std::sin(2 * std::numbers::pi * std::remainder(x, 1))));
    exponential = std::max(exponential, std::abs(exp_of(x) / std::exp(x) - 1));
    hyperbolic = std::max(hyperbolic, std::abs(tanh_of(x) - std::tanh(x)));
    if (x > 0) logarithm = std::max(logarithm, std::abs(log_of(x) - std::log(x)) / (1 + std::abs(std::log(x))));
    const double turns = i / 20000.0;
    const double y = std::sin(turns * 3), z = std::cos(turns * 3);
    double expected = std::atan2(y, z);
    if (expected < 0) expected += 2 * std::numbers::pi;
    angle = std::max(angle, std::abs(angle_of(y, z) - expected));
  }
  CHECK(trigonometric < 1e-15);
  CHECK(exponential < 2e-15);
  CHECK(hyperbolic < 1e-15);
  CHECK(logarithm < 1e-15);
  CHECK(angle < 4e-15);
  CHECK(exp_of(-1000) == 0);
  CHECK(angle_of(0, 0) == 0);
  CHECK(gain_of_db(20) == Approx(10).epsilon(1e-14));
  CHECK(hz_of_midi(81) == Approx(880).epsilon(1e-14));
  CHECK(power_of(2.5, -1.3) == Approx(std::pow(2.5, -1.3)).epsilon(1e-14));
}

TEST_CASE("the transform is a Fourier transform and comes back", "[synth]") {
  constexpr std::size_t kSize = 64;
  Complexes x(kSize);
  Draws(7).noise(x.re, 1, 0);
  Draws(7).noise(x.im, 2, 0);
  const Complexes before = x;
  const Fft fft(kSize);
  fft.forward(x);
  for (std::size_t k = 0; k < kSize; ++k) {
    std::complex<double> sum = 0;
    for (std::size_t n = 0; n < kSize; ++n) {
      const double turns = static_cast<double>(k * n % kSize) / kSize;
      sum += std::complex<double>(before.re[n], before.im[n]) * std::polar(1.0, -2 * std::numbers::pi * turns);
    }
    CHECK(std::abs(sum - std::complex<double>(x.re[k], x.im[k])) < 1e-12);
  }
  fft.backward(x);
  for (std::size_t n = 0; n < kSize; ++n) {
    CHECK(x.re[n] / kSize == Approx(before.re[n]).margin(1e-13));
    CHECK(x.im[n] / kSize == Approx(before.im[n]).margin(1e-13));
  }
}

TEST_CASE("a room convolves", "[synth]") {
  // Of an impulse the room gives its answer, late parts as early ones; of a sum the sum.
  const Draws draws(3);
  const std::int64_t samples = 40000;
  const Room room(draws, {.t60_s = .3, .pre_delay_s = .004, .bright_hz = 5000, .number = 0}, samples);
  Stereo impulse(samples);
  impulse.left[0] = 1;
  impulse.right[0] = 1;
  const Stereo answer = room.of(impulse);
  double left = 0, right = 0;
  for (std::size_t t = 0; t < answer.left.size(); ++t) {
    left += answer.left[t] * answer.left[t];
    right += answer.right[t] * answer.right[t];
  }
  CHECK(left == Approx(1).epsilon(1e-9));
  CHECK(right == Approx(1).epsilon(1e-9));
  for (std::size_t t = 0; t < 176; ++t) CHECK(std::abs(answer.left[t]) < 1e-12);  // 4 ms of nothing
  Stereo later(samples);
  later.left[12345] = 2;
  later.right[100] = -3;
  const Stereo moved = room.of(later);
  double worst = 0;
  for (std::size_t t = 0; t < moved.left.size(); ++t) {
    worst = std::max(worst, std::abs(moved.left[t] - (t >= 12345 ? 2 * answer.left[t - 12345] : 0)));
    worst = std::max(worst, std::abs(moved.right[t] - (t >= 100 ? -3 * answer.right[t - 100] : 0)));
  }
  CHECK(worst < 1e-12);
}

TEST_CASE("filters have the cookbook's gains", "[synth]") {
  const auto gain_db = [](const Biquad& f, double hz) {
    const std::complex<double> z = std::polar(1.0, -2 * std::numbers::pi * hz / kRateHz);
    return 20 * std::log10(std::abs((f.b0 + f.b1 * z + f.b2 * z * z) / (1.0 + f.a1 * z + f.a2 * z * z)));
  };
  CHECK(gain_db(low_pass(1000), 1000) == Approx(-3.0103).margin(1e-3));
  CHECK(gain_db(high_pass(1000), 1000) == Approx(-3.0103).margin(1e-3));
  CHECK(gain_db(low_pass(1000), 10) == Approx(0).margin(1e-3));
  CHECK(gain_db(peak(750, .8, 4), 750) == Approx(4).margin(1e-9));
  CHECK(gain_db(peak(750, .8, 4), 20000) == Approx(0).margin(.01));
  CHECK(gain_db(high_shelf(4000, .7, -8), 22049) == Approx(-8).margin(1e-3));
  CHECK(gain_db(high_shelf(4000, .7, -8), 20) == Approx(0).margin(1e-3));
  // Run on an impulse it is that transfer function.
  std::vector<double> x(4096);
  x[0] = 1;
  const Biquad f = peak(3000, .7, 5);
  filter(x, f);
  std::complex<double> sum = 0;
  for (std::size_t n = 0; n < x.size(); ++n) {
    sum += x[n] * std::polar(1.0, -2 * std::numbers::pi * 3000.0 * static_cast<double>(n) / kRateHz);
  }
  CHECK(20 * std::log10(std::abs(sum)) == Approx(gain_db(f, 3000)).margin(1e-9));
}

TEST_CASE("levels, compressor and clipping do what they say", "[synth]") {
  Stereo x(2 * kRateHz);
  for (std::size_t t = 0; t < x.left.size(); ++t) {
    x.left[t] = x.right[t] = t < 44100 ? .5 * std::sin(.05 * static_cast<double>(t)) : 0;
  }
  CHECK(20 * std::log10(gated_rms(x)) == Approx(-9.03).margin(.02));  // the silent second does not count
  set_level(x, -20);
  CHECK(20 * std::log10(gated_rms(x)) == Approx(-20).margin(1e-9));
  Stereo silence(kRateHz);
  set_level(silence, -20);
  CHECK(gated_rms(silence) == 0);
  // 10 dB above a threshold at ratio 4: 7.5 dB less, once the follower has arrived.
  Stereo tone(kRateHz);
  for (std::size_t t = 0; t < tone.left.size(); ++t) tone.left[t] = tone.right[t] = t % 2 == 0 ? .1 : -.1;
  const std::vector<double> curve = compressor(tone, -30, 4, .005, .1);
  CHECK(curve.size() == tone.left.size());
  CHECK(20 * std::log10(curve.back()) == Approx(-7.5).margin(.01));
  CHECK(curve.front() > curve.back());
  Stereo loud(kRateHz);
  for (std::size_t t = 0; t < loud.left.size(); ++t) loud.left[t] = loud.right[t] = t % 100 == 0 ? 1.0 : .05;
  const double ceiling = gated_rms(loud) * std::pow(10, 6 / 20.0);
  soft_clip(loud, 6);
  for (const double v : loud.left) CHECK(std::abs(v) <= ceiling);
  const PanGains middle = pan_gains(0);
  CHECK(middle.left == Approx(1).epsilon(1e-14));
  CHECK(middle.right == Approx(1).epsilon(1e-14));
  CHECK(pan_gains(1).left == Approx(0).margin(1e-14));
}

TEST_CASE("oscillators add sines", "[synth]") {
  std::vector<double> turns(64), out(64), gain(64);
  for (std::size_t i = 0; i < 64; ++i) {
    turns[i] = .01 * static_cast<double>(i);
    gain[i] = 1 + static_cast<double>(i);
  }
  add_harmonic(out.data(), turns.data(), 64, 3, .2, .5, 1, 2);
  add_partial(out.data(), turns.data(), 64, 5, -.1, gain.data());
  for (std::size_t i = 0; i < 64; ++i) {
    const double u = static_cast<double>(i) / 64, pi2 = 2 * std::numbers::pi;
    CHECK(out[i] == Approx((1 + 2 * u) * std::sin(pi2 * (3 * turns[i] + .2 + .5 * u)) +
                           gain[i] * std::sin(pi2 * (5 * turns[i] - .1)))
                        .margin(1e-12));
  }
}
