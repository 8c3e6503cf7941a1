#include "audio/buffer.h"

#include <cmath>
#include <limits>

#include "audio/stream.h"
#include "core/error.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::audio;
using namespace mss::tests;

TEST_CASE("buffers start as zeros and keep their shape", "[audio]") {
  AudioBuffer b(2, 5, 44100);
  CHECK(b.channels() == 2);
  CHECK(b.samples() == 5);
  CHECK(b.rate_hz() == 44100);
  CHECK(b.seconds() == Approx(5.0 / 44100));
  CHECK(is_silent(b));
  CHECK(energy(b) == 0.0);
  b.channel(1)[3] = -0.5F;
  CHECK_FALSE(is_silent(b));
  CHECK(energy(b) == 0.25);
  CHECK(AudioBuffer(3, 0, 8000).empty());
  CHECK(AudioBuffer().empty());
}

TEST_CASE("impossible shapes are refused with their value", "[audio]") {
  CHECK_THROWS_AS(AudioBuffer(-1, 1, 44100), Error);
  CHECK_THROWS_AS(AudioBuffer(65, 1, 44100), Error);
  CHECK_THROWS_AS(AudioBuffer(1, -1, 44100), Error);
  CHECK_THROWS_AS(AudioBuffer(1, 1, 0), Error);
  CHECK_THROWS_AS(AudioBuffer(1, 1, 768001), Error);
  const auto error = error_of([] { AudioBuffer(1, 1, 768001); });
  REQUIRE(error);
  CHECK(error->code() == Code::invalid_argument);
  CHECK(error->parts().found == "768001 Hz");
  CHECK_NOTHROW(AudioBuffer(64, 1, 768000));
}

TEST_CASE("slices look at the same samples and stay inside", "[audio]") {
  AudioBuffer b = noise(2, 10, 44100);
  const AudioView part = b.view().slice(3, 4);
  CHECK(part.samples() == 4);
  CHECK(part.channel(1).data() == b.channel(1).data() + 3);
  CHECK(part.slice(4, 0).empty());
  b.span().slice(3, 1).channel(0)[0] = 7.0F;
  CHECK(b.channel(0)[3] == 7.0F);
  CHECK_THROWS_AS(b.view().slice(7, 4), Error);
  CHECK_THROWS_AS(b.view().slice(-1, 2), Error);
  CHECK_THROWS_AS(b.view().slice(0, -1), Error);
  CHECK_THROWS_AS(b.span().slice(11, 0), Error);
  CHECK_THROWS_AS(b.view().slice(1, std::numeric_limits<std::int64_t>::max()), Error);
}

TEST_CASE("copies of a view are independent; resize cuts and pads", "[audio]") {
  const AudioBuffer b = noise(2, 10, 44100);
  AudioBuffer copy(b.view().slice(2, 5));
  REQUIRE(copy.samples() == 5);
  CHECK(copy.channel(1)[0] == b.channel(1)[2]);
  copy.resize(3);
  CHECK(copy.channel(1)[2] == b.channel(1)[4]);
  copy.resize(6);
  CHECK(copy.channel(1)[2] == b.channel(1)[4]);
  CHECK(copy.channel(1)[3] == 0.0F);
  CHECK(copy.rate_hz() == 44100);
}

TEST_CASE("the first non-finite sample is found in time order", "[audio]") {
  AudioBuffer b = noise(2, 10, 44100);
  CHECK(find_non_finite(b).channel == -1);
  b.channel(0)[8] = std::numeric_limits<float>::quiet_NaN();
  b.channel(1)[4] = -std::numeric_limits<float>::infinity();
  const SamplePosition bad = find_non_finite(b);
  CHECK(bad.channel == 1);
  CHECK(bad.sample == 4);
}

TEST_CASE("energy and sums", "[audio]") {
  AudioBuffer a = noise(2, 1001, 44100, "a");
  const AudioBuffer b = noise(2, 1001, 44100, "b");
  double expected = 0.0;
  for (int c = 0; c < 2; ++c) {
    for (const float v : a.channel(c)) expected += static_cast<double>(v) * v;
  }
  CHECK(energy(a) == Approx(expected).epsilon(1e-14));
  const float before = a.channel(1)[500];
  add_to(a.span(), b);
  CHECK(a.channel(1)[500] == before + b.channel(1)[500]);
  CHECK_THROWS_AS(add_to(a.span(), noise(1, 1001, 44100)), Error);
  CHECK_THROWS_AS(add_to(a.span(), noise(2, 1000, 44100)), Error);
  CHECK_THROWS_AS(add_to(a.span(), noise(2, 1001, 48000)), Error);
}

TEST_CASE("a view is read front to back in any block size", "[audio]") {
  const AudioBuffer x = noise(2, 1000, 44100);
  for (const std::int64_t size : {1, 7, 999, 1000, 4096}) {
    ViewSource source(x);
    CHECK(source.length() == 1000);
    AudioBuffer block(2, size, 44100), all(2, 0, 44100);
    std::int64_t total = 0;
    while (const std::int64_t n = source.read(block.span())) {
      all.resize(total + n);
      for (int c = 0; c < 2; ++c) std::copy_n(block.channel(c).data(), n, all.channel(c).data() + total);
      total += n;
    }
    CHECK(same_bits(all, x));
    CHECK(source.read(block.span()) == 0);
  }
  ViewSource source(x);
  AudioBuffer mono(1, 10, 44100);
  CHECK_THROWS_AS(source.read(mono.span()), Error);
}

namespace {

/// Announces another length than it has, and hands out odd blocks.
class Liar final : public Source {
 public:
  Liar(const AudioBuffer& x, std::optional<std::int64_t> said) : x_(x), said_(said) {}
  int channels() const override { return x_.channels(); }
  int rate_hz() const override { return x_.rate_hz(); }
  std::optional<std::int64_t> length() const override { return said_; }
  std::int64_t read(AudioSpan out) override {
    const std::int64_t n = std::min(out.samples(), x_.samples() - at_);
    for (int c = 0; c < out.channels(); ++c) std::copy_n(x_.channel(c).data() + at_, n, out.channel(c).data());
    at_ += n;
    return n;
  }

 private:
  const AudioBuffer& x_;
  std::optional<std::int64_t> said_;
  std::int64_t at_ = 0;
};

}  // namespace

TEST_CASE("read_all does not trust the announced length", "[audio]") {
  const AudioBuffer x = noise(2, 200000, 44100);
  for (const std::optional<std::int64_t> said :
       {std::optional<std::int64_t>(), std::optional<std::int64_t>(0), std::optional<std::int64_t>(150001),
        std::optional<std::int64_t>(200000), std::optional<std::int64_t>(300000)}) {
    Liar source(x, said);
    CHECK(same_bits(read_all(source), x));
  }
  const AudioBuffer none(1, 0, 8000);
  ViewSource empty(none);
  CHECK(read_all(empty).samples() == 0);
}

TEST_CASE("channel conversion copies mono and averages to mono", "[audio]") {
  const AudioBuffer mono = noise(1, 100, 44100), stereo = noise(2, 100, 44100), three = noise(3, 100, 44100);
  const AudioBuffer wide = convert_channels(mono, 2);
  CHECK(same_bits(wide.channel(0), mono.channel(0)));
  CHECK(same_bits(wide.channel(1), mono.channel(0)));
  const AudioBuffer mean = convert_channels(stereo, 1);
  for (std::size_t i = 0; i < 100; ++i) {
    CHECK(mean.channel(0)[i] ==
          static_cast<float>((static_cast<double>(stereo.channel(0)[i]) + stereo.channel(1)[i]) / 2));
  }
  CHECK(same_bits(convert_channels(three, 3), three));
  CHECK(same_bits(convert_channels(wide, 1), mono));
  const auto error = error_of([&] { convert_channels(three, 2); });
  REQUIRE(error);
  CHECK(error->code() == Code::unsupported);

  ViewSource source(stereo);
  const auto converted = convert_channels(source, 1);
  CHECK(converted->channels() == 1);
  AudioBuffer out(1, 0, 44100), block(1, 33, 44100);
  std::int64_t total = 0;
  while (const std::int64_t n = converted->read(block.span())) {
    out.resize(total + n);
    std::copy_n(block.channel(0).data(), n, out.channel(0).data() + total);
    total += n;
  }
  CHECK(same_bits(out, mean));
}
