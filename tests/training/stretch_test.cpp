// Pitch and tempo: the length and the fundamental frequency of a sine.
#include "training/stretch.h"

#include <cmath>
#include <numbers>

#include "tests/support/catch.h"
#include "tests/support/errors.h"

namespace mss::training {
namespace {

constexpr int kRate = 44100;

audio::AudioBuffer sine(double hertz, std::int64_t samples) {
  audio::AudioBuffer out(2, samples, kRate);
  for (std::int64_t t = 0; t < samples; ++t) {
    const double x = 0.8 * std::sin(2 * std::numbers::pi * hertz * static_cast<double>(t) / kRate);
    out.channel(0)[static_cast<std::size_t>(t)] = static_cast<float>(x);
    out.channel(1)[static_cast<std::size_t>(t)] = static_cast<float>(-0.5 * x);
  }
  return out;
}

/// Frequency from the distance of upward zero crossings, in the middle two thirds.
double frequency(audio::AudioView audio) {
  const auto x = audio.channel(0);
  double first = -1, last = -1;
  int crossings = -1;
  for (std::size_t t = x.size() / 6; t + 1 < x.size() * 5 / 6; ++t) {
    if (!(x[t] < 0 && x[t + 1] >= 0)) continue;
    last = static_cast<double>(t) + static_cast<double>(-x[t]) / (static_cast<double>(x[t + 1]) - x[t]);
    if (first < 0) first = last;
    ++crossings;
  }
  return crossings / (last - first) * kRate;
}

float largest(audio::AudioView audio, int channel) {
  float out = 0;
  for (const float x : audio.channel(channel)) out = std::max(out, std::abs(x));
  return out;
}

}  // namespace

TEST_CASE("pitch keeps the length and moves the frequency, tempo the other way round", "[training]") {
  if (!can_stretch()) {
    tests::check_error(Code::unsupported, {"SoundTouch", "libsoundtouch-dev"},
                       [] { (void)stretch(sine(440, 1000), 2, 0, false); });
    WARN("SKIPPED: this build has no SoundTouch");
    return;
  }
  const audio::AudioBuffer tone = sine(440, 4 * kRate);
  for (const bool speech : {false, true}) {
    for (const double semitones : {-2.0, -1.0, 0.0, 1.0, 2.0}) {
      for (const double tempo : {-12.0, 0.0, 5.0, 12.0}) {
        INFO(semitones << " semitones, " << tempo << " %" << (speech ? ", speech" : ""));
        const audio::AudioBuffer out = stretch(tone, semitones, tempo, speech);
        CHECK(out.samples() == std::llround(4 * kRate / (1 + tempo / 100)));
        // The splices of the time stretch cost a little: 0.5 %, a twelfth of a semitone.
        CHECK(frequency(out) == Approx(440 * std::pow(2.0, semitones / 12)).epsilon(5e-3));
        CHECK(largest(out, 0) > 0.7F);
        CHECK(largest(out, 0) < 0.95F);
        CHECK(largest(out, 1) == Approx(0.5 * largest(out, 0)).epsilon(0.05));
      }
    }
  }
  CHECK(stretch(audio::AudioBuffer(1, 0, kRate), 1, 0, false).samples() == 0);
  tests::check_error(Code::invalid_argument, {"12 semitones"}, [&] { (void)stretch(tone, 13, 0, false); });
}

TEST_CASE("static copies have the thesis's lengths and pitches", "[training]") {
  const audio::AudioBuffer tone = sine(440, 3 * kRate);
  const audio::AudioBuffer fast = static_copy(tone, "speed1.1", false);
  CHECK(fast.samples() == std::llround(3 * kRate / 1.1));
  CHECK(frequency(fast) == Approx(484).epsilon(1e-4));
  CHECK(12 * std::log2(frequency(fast) / 440) == Approx(1.65).margin(0.005));
  const audio::AudioBuffer slow = static_copy(tone, "speed0.9", false);
  CHECK(12 * std::log2(frequency(slow) / 440) == Approx(-1.82).margin(0.005));
  CHECK(slow.rate_hz() == kRate);
  const audio::AudioBuffer later = static_copy(tone, "shift+1", false);
  CHECK(later.samples() == 4 * kRate);
  CHECK(later.channel(0)[kRate - 1] == 0);
  CHECK(later.channel(1)[kRate + 500] == tone.channel(1)[500]);
  const audio::AudioBuffer earlier = static_copy(tone, "shift-1", false);
  CHECK(earlier.samples() == 2 * kRate);
  CHECK(earlier.channel(0)[0] == tone.channel(0)[kRate]);
  if (can_stretch()) {
    CHECK(static_copy(tone, "tempo0.9", false).samples() == std::llround(3 * kRate / 0.9));
    CHECK(frequency(static_copy(tone, "pitch-2", true)) == Approx(440 * std::pow(2.0, -2.0 / 12)).epsilon(5e-3));
  }
  for (const char* name :
       {"", "pitch", "pitch+x", "pitch+13", "tempo3", "speed0", "shift+61", "louder+3", "pitch+2 "}) {
    INFO(name);
    tests::check_error(Code::config, {"static_copies", "pitch+2"}, [&] { (void)parse_static_copy(name); });
  }
}

}  // namespace mss::training
