#include <cmath>
#include <numbers>

#include "audio/buffer.h"
#include "core/error.h"
#include "core/rng.h"
#include "methods/classic/register.h"
#include "tests/support/catch.h"

using mss::audio::AudioBuffer;
using namespace mss::methods;

namespace {

const Registry& registry() {
  static const Registry all = [] {
    Registry r;
    classic::add_methods(r);
    return r;
  }();
  return all;
}

/// A drone of two partials, clicks twice a second, and a short chirp: one of each kind.
AudioBuffer music(double seconds, int channels = 2) {
  AudioBuffer audio(channels, static_cast<std::int64_t>(seconds * 22050), 22050);
  mss::core::Rng rng(1, 1);
  for (std::int64_t t = 0; t < audio.samples(); ++t) {
    const double s = static_cast<double>(t) / 22050;
    double x = 0.2 * std::sin(2 * std::numbers::pi * 110 * s) + 0.1 * std::sin(2 * std::numbers::pi * 660 * s);
    if (t % 11025 < 200) x += rng.uniform(-0.6, 0.6);
    if (s > 1.2 && s < 1.6) x += 0.2 * std::sin(2 * std::numbers::pi * (400 + 900 * s) * s);
    for (int c = 0; c < channels; ++c)
      audio.channel(c)[static_cast<std::size_t>(t)] = static_cast<float>(x * (c == 0 ? 1.0 : 0.7));
  }
  return audio;
}

double error_db(const StemSet& stems, const AudioBuffer& mixture) {
  double error = 0;
  for (int c = 0; c < mixture.channels(); ++c) {
    for (std::int64_t t = 0; t < mixture.samples(); ++t) {
      double sum = 0;
      for (const AudioBuffer& stem : stems.audio)
        sum += static_cast<double>(stem.channel(c)[static_cast<std::size_t>(t)]);
      const double d = sum - static_cast<double>(mixture.channel(c)[static_cast<std::size_t>(t)]);
      error += d * d;
    }
  }
  return 10 * std::log10(error / mss::audio::energy(mixture.view()) + 1e-30);
}

const char* const kAll[] = {"hpss", "hpss:margin=2,residual=true", "hpss:passes=2",      "repet",    "repet-sim",
                            "2dft", "2dft:original=true",          "rpca:iterations=15", "classic-4"};

}  // namespace

TEST_CASE("stems of every classical method add up to the mixture", "[classic]") {
  const AudioBuffer mixture = music(3);
  for (const char* spec : kAll) {
    INFO(spec);
    const auto method = registry().make(spec);
    CHECK(method->info().spec == spec);
    const StemSet stems = method->separate(mixture.view());
    CHECK(stems.names == method->info().targets);
    CHECK(error_db(stems, mixture) < -120);
  }
}

TEST_CASE("classical methods take silence, one sample and mono", "[classic]") {
  for (const char* spec : kAll) {
    INFO(spec);
    const auto method = registry().make(spec);
    for (const AudioBuffer& mixture : {AudioBuffer(2, 4000, 22050), AudioBuffer(1, 1, 44100), music(0.05, 1)}) {
      const StemSet stems = method->separate(mixture.view());
      for (const AudioBuffer& stem : stems.audio) {
        CHECK(mss::audio::same_shape(stem, mixture));
        CHECK(mss::audio::find_non_finite(stem).channel == -1);
      }
    }
  }
}

TEST_CASE("results do not depend on the number of threads", "[classic]") {
  const AudioBuffer mixture = music(2);
  for (const char* spec : kAll) {
    INFO(spec);
    const auto method = registry().make(spec);
    const StemSet one = method->separate(mixture.view());
    Options options;
    options.threads = 3;
    const StemSet three = method->separate(mixture.view(), options);
    for (std::size_t s = 0; s < one.audio.size(); ++s) {
      for (int c = 0; c < 2; ++c) {
        const auto a = one.audio[s].channel(c), b = three.audio[s].channel(c);
        CHECK(std::equal(a.begin(), a.end(), b.begin()));
      }
    }
  }
}

TEST_CASE("HPSS puts clicks into drums and a drone into harmonic", "[classic]") {
  AudioBuffer clicks(1, 66150, 22050), drone(1, 66150, 22050);
  mss::core::Rng rng(2, 1);
  for (std::size_t t = 0; t < 66150; ++t) {
    if (t % 11025 < 100) clicks.channel(0)[t] = static_cast<float>(rng.uniform(-0.8, 0.8));
    drone.channel(0)[t] =
        static_cast<float>(0.3 * std::sin(2 * std::numbers::pi * 440 * static_cast<double>(t) / 22050));
  }
  AudioBuffer mixture(clicks.view());
  mss::audio::add_to(mixture.span(), drone);
  const StemSet stems = registry().make("hpss")->separate(mixture.view());
  const auto snr = [](const AudioBuffer& reference, const AudioBuffer& estimate) {
    AudioBuffer error(estimate.view());
    for (std::size_t t = 0; t < error.channel(0).size(); ++t) error.channel(0)[t] -= reference.channel(0)[t];
    return 10 * std::log10(mss::audio::energy(reference.view()) / mss::audio::energy(error.view()));
  };
  CHECK(snr(clicks, stems.audio[0]) > 6);
  CHECK(snr(drone, stems.audio[1]) > 12);
}

TEST_CASE("bad options are refused by name", "[classic]") {
  CHECK_THROWS_WITH(registry().make("hpss:kernel-bins=4"), Catch::Contains("odd"));
  CHECK_THROWS_WITH(registry().make("2dft:neighbourhood=4"), Catch::Contains("odd"));
  CHECK_THROWS_WITH(registry().make("classic-4:bass-low=300,bass-high=200"), Catch::Contains("bass-high"));
  CHECK_THROWS_WITH(registry().make("repet:hop=4096"), Catch::Contains("hop"));
  CHECK_THROWS_WITH(registry().make("repet:lwo=3"), Catch::Contains("did you mean 'low'?"));
}
