#include "reports/html/loudness.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "core/error.h"
#include "tests/support/catch.h"

namespace mss::reports::html {
namespace {

audio::AudioBuffer tone(double hz, double amplitude, double seconds, int rate_hz, int channels = 1) {
  audio::AudioBuffer out(channels, static_cast<std::int64_t>(seconds * rate_hz), rate_hz);
  for (int c = 0; c < channels; ++c) {
    for (std::size_t t = 0; t < out.channel(c).size(); ++t) {
      out.channel(c)[t] =
          static_cast<float>(amplitude * std::sin(2 * std::numbers::pi * hz * static_cast<double>(t) / rate_hz));
    }
  }
  return out;
}

}  // namespace

TEST_CASE("a sine of 997 Hz at full scale in one channel is -3.01 LKFS, at any rate", "[reports_html]") {
  // ITU-R BS.1770-4, annex 1.
  for (const int rate : {44100, 48000, 96000}) {
    CHECK(loudness_lkfs(tone(997, 1, 5, rate)) == Approx(-3.01).margin(0.02));
    CHECK(loudness_lkfs(tone(997, 0.1, 5, rate)) == Approx(-23.01).margin(0.02));
  }
  // EBU Tech 3341, case 1: a stereo sine of 1 kHz at -23 dBFS per channel is -23 LUFS.
  CHECK(loudness_lkfs(tone(1000, std::pow(10.0, -23.0 / 20), 20, 48000, 2)) == Approx(-23.0).margin(0.1));
}

TEST_CASE("quiet passages do not count", "[reports_html]") {
  // EBU Tech 3341, case 3: 10 s at -36, 60 s at -23, 10 s at -36 dBFS give -23 LUFS through the relative gate.
  audio::AudioBuffer all(2, 48000 * 80, 48000);
  const auto put = [&](double db, double from, double to) {
    for (int c = 0; c < 2; ++c) {
      for (auto t = static_cast<std::size_t>(from * 48000); t < static_cast<std::size_t>(to * 48000); ++t) {
        all.channel(c)[t] = static_cast<float>(std::pow(10.0, db / 20) *
                                               std::sin(2 * std::numbers::pi * 1000 * static_cast<double>(t) / 48000));
      }
    }
  };
  put(-36, 0, 10);
  put(-23, 10, 70);
  put(-36, 70, 80);
  CHECK(loudness_lkfs(all) == Approx(-23.0).margin(0.1));
}

TEST_CASE("silence, a blink and what is below the gate have no loudness", "[reports_html]") {
  CHECK(loudness_lkfs(audio::AudioBuffer(2, 44100, 44100)) == -std::numeric_limits<double>::infinity());
  CHECK(loudness_lkfs(tone(997, 1, 0.3, 44100)) == -std::numeric_limits<double>::infinity());
  CHECK(loudness_lkfs(tone(997, 1e-4, 2, 44100)) == -std::numeric_limits<double>::infinity());
  CHECK(loudness_lkfs(audio::AudioBuffer()) == -std::numeric_limits<double>::infinity());
  audio::AudioBuffer bad(1, 44100, 44100);
  bad.channel(0)[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(loudness_lkfs(bad), Error);
}

}  // namespace mss::reports::html
