#include "audio/resample.h"

#include "core/error.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::audio;
using namespace mss::tests;

namespace {

struct Rates {
  int from, to;
};
constexpr Rates kRates[] = {{44100, 48000}, {48000, 44100}, {44100, 16000}, {16000, 44100}, {44100, 22050},
                            {22050, 44100}, {8000, 44100},  {44100, 8000},  {96000, 44100}, {44100, 44099}};

AudioBuffer pushed(const AudioBuffer& x, int to_hz, std::int64_t block, std::int64_t total) {
  PushResampler converter(x.channels(), x.rate_hz(), to_hz);
  AudioBuffer out(x.channels(), total, to_hz);
  std::int64_t at = 0;
  const auto keep = [&](const AudioBuffer& part) {
    REQUIRE(at + part.samples() <= total);
    for (int c = 0; c < x.channels(); ++c) std::ranges::copy(part.channel(c), out.channel(c).begin() + at);
    at += part.samples();
  };
  for (std::int64_t i = 0; i < x.samples(); i += block) {
    keep(converter.push(x.view().slice(i, std::min(block, x.samples() - i))));
  }
  keep(converter.finish(total));
  CHECK(at == total);
  return out;
}

}  // namespace

TEST_CASE("resampled lengths are rounded exactly", "[audio]") {
  CHECK(resampled_length(0, 44100, 48000) == 0);
  CHECK(resampled_length(44100, 44100, 48000) == 48000);
  CHECK(resampled_length(1, 44100, 22050) == 1);  // a half goes up
  CHECK(resampled_length(3, 44100, 22050) == 2);
  CHECK(resampled_length(1, 48000, 16000) == 0);
  CHECK(resampled_length(2, 48000, 16000) == 1);
  // 100 hours at 768 kHz and beyond what a product in 64 bits would hold.
  CHECK(resampled_length(1'000'000'000'000'000, 768000, 8000) == 10'416'666'666'667);
  CHECK_THROWS_AS(resampled_length(-1, 44100, 48000), Error);
  CHECK_THROWS_AS(resampled_length(1, 0, 48000), Error);
}

TEST_CASE("sinusoids keep frequency, phase and amplitude", "[audio]") {
  for (const auto [from, to] : kRates) {
    for (const double hz : {100.0, 1000.0, 0.4 * std::min(from, to)}) {
      const AudioBuffer x = tone(hz, from / 2, from);
      const AudioBuffer y = resample(x, to);
      REQUIRE(y.samples() == resampled_length(x.samples(), from, to));
      const AudioBuffer expected = tone(hz, y.samples(), to);
      // The signal starts and stops abruptly: the filter's ringing there is not the interior's error.
      const auto edge = static_cast<std::size_t>(y.samples() / 8);
      const auto count = static_cast<std::size_t>(y.samples()) - 2 * edge;
      const RelativeError error = relative_error<float, float>(expected.channel(0).subspan(edge, count),
                                                               y.view().channel(0).subspan(edge, count));
      INFO(from << " -> " << to << " at " << hz << " Hz");
      CHECK(error.peak < 3e-6);
      CHECK(error.rms < 1e-6);
    }
  }
}

TEST_CASE("an impulse stays where it is in time", "[audio]") {
  for (const auto [from, to] : kRates) {
    AudioBuffer x(1, 4000, from);
    // Sample times that both rates have.
    std::int64_t divisor = from, other = to;
    while (other != 0) divisor = std::exchange(other, divisor % other);
    const std::int64_t step_in = from / divisor, step_out = to / divisor;
    if (step_in > 1000) continue;
    const std::int64_t k = 2000 / step_in;
    x.channel(0)[static_cast<std::size_t>(k * step_in)] = 1.0F;
    const AudioBuffer y = resample(x, to);
    const std::span<const float> v = y.view().channel(0);
    const auto peak = std::ranges::max_element(v) - v.begin();
    INFO(from << " -> " << to);
    CHECK(peak == k * step_out);
    for (std::ptrdiff_t d = 1; d < 100; ++d) {
      CHECK(v[static_cast<std::size_t>(peak + d)] == Approx(v[static_cast<std::size_t>(peak - d)]).margin(1e-6));
    }
  }
}

TEST_CASE("what the lower rate cannot hold is removed", "[audio]") {
  const AudioBuffer x = tone(15000.0, 44100, 44100, 1.0);
  const AudioBuffer y = resample(x, 16000);
  const AudioView interior = y.view().slice(2000, y.samples() - 4000);
  CHECK(std::sqrt(energy(interior) / static_cast<double>(interior.samples())) < 1e-5);
}

TEST_CASE("the same bits for every block size and interface", "[audio]") {
  for (const auto [from, to] : {Rates{44100, 48000}, Rates{44100, 16000}, Rates{8000, 44100}}) {
    const AudioBuffer x = noise(2, 9011, from);
    const AudioBuffer whole = resample(x, to);
    for (const std::int64_t block : {1, 13, 997, 4096, 9011}) {
      CHECK(same_bits(pushed(x, to, block, whole.samples()), whole));
      ViewSource source(x);
      const auto stream = resample(source, to);
      CHECK(stream->length() == whole.samples());
      CHECK(stream->rate_hz() == to);
      AudioBuffer out(2, 0, to), part(2, block, to);
      while (const std::int64_t n = stream->read(part.span())) {
        const std::int64_t at = out.samples();
        if (block == 1 && at > 1000) break;
        out.resize(at + n);
        for (int c = 0; c < 2; ++c) std::copy_n(part.channel(c).data(), n, out.channel(c).data() + at);
      }
      CHECK(same_bits(out, AudioBuffer(whole.view().slice(0, out.samples()))));
      if (block > 1) CHECK(out.samples() == whole.samples());
    }
  }
}

TEST_CASE("there and back has the length of the input", "[audio]") {
  for (const auto [from, to] : kRates) {
    for (const std::int64_t samples : {1, 2, 1000, 10007}) {
      const AudioBuffer x = noise(1, samples, from);
      const AudioBuffer there = resample(x, to);
      CHECK(there.samples() == resampled_length(samples, from, to));
      CHECK(pushed(there, from, 512, samples).samples() == samples);
    }
  }
}

TEST_CASE("there and back gives the signal where both rates hold it", "[audio]") {
  const AudioBuffer x = tone(440.0, 20000, 44100);
  const AudioBuffer back = pushed(resample(x, 16000), 44100, 4096, x.samples());
  const RelativeError error =
      relative_error<float, float>(x.channel(0).subspan(3000, 14000), back.view().channel(0).subspan(3000, 14000));
  CHECK(error.peak < 3e-6);
}

TEST_CASE("equal rates and empty signals pass through", "[audio]") {
  const AudioBuffer x = noise(2, 1000, 44100), none(2, 0, 44100);
  CHECK(same_bits(resample(x, 44100), x));
  CHECK(same_bits(pushed(x, 44100, 77, 1000), x));
  ViewSource source(x);
  CHECK(same_bits(read_all(*resample(source, 44100)), x));
  CHECK(resample(none, 48000).samples() == 0);
  ViewSource empty(none);
  CHECK(read_all(*resample(empty, 48000)).samples() == 0);
  CHECK(is_silent(resample(AudioBuffer(1, 5000, 44100), 48000)));
}

TEST_CASE("wrong use of resamplers is refused", "[audio]") {
  const auto far = error_of([] { resample(AudioBuffer(1, 10, 1000), 300000); });
  REQUIRE(far);
  CHECK(far->code() == Code::unsupported);
  CHECK_THROWS_AS(PushResampler(0, 44100, 48000), Error);
  CHECK_THROWS_AS(PushResampler(1, 0, 48000), Error);
  PushResampler converter(2, 44100, 48000);
  CHECK_THROWS_AS(converter.push(AudioBuffer(1, 10, 44100)), Error);
  converter.push(noise(2, 20000, 44100));
  CHECK_THROWS_AS(converter.finish(1000), Error);
  CHECK_THROWS_AS(converter.push(AudioBuffer(2, 10, 44100)), Error);
}
