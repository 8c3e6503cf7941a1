#include "methods/separator.h"

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "audio/resample.h"
#include "core/error.h"
#include "core/parallel.h"
#include "tests/methods/support.h"
#include "tests/support/catch.h"

namespace mss::methods {
namespace {

using tests::check_error;
using tests::error_db;
using tests::identity;
using tests::noise;
using tests::same_bits;
using tests::sine;
using tests::toy_info;
using tests::ToyMethod;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// A sum of sines below `top_hz`, which resampling leaves alone.
audio::AudioBuffer band_limited(int channels, std::int64_t samples, int rate_hz, double top_hz) {
  audio::AudioBuffer out(channels, samples, rate_hz);
  for (int k = 1; k <= 5; ++k) audio::add_to(out.span(), sine(channels, samples, rate_hz, top_hz * k / 5.0 - 13, 0.15));
  return out;
}

class RecordingProgress final : public core::Progress {
 public:
  void begin(std::string_view task, std::int64_t total) override {
    ++begins;
    name = task;
    of = total;
  }
  void update(std::int64_t done, std::string_view) override { updates.push_back(done); }
  void end() override { ++ends; }
  int begins = 0, ends = 0;
  std::string name;
  std::int64_t of = -1;
  std::vector<std::int64_t> updates;
};

ToyMethod misbehaving(ToyMethod::Body body) { return {toy_info({"a", "b"}), std::move(body)}; }

}  // namespace

TEST_CASE("stems have the mixture's exact shape in the native format", "[methods]") {
  for (const std::int64_t samples : {1, 2, 4999, 5000, 5001, 12345}) {
    const audio::AudioBuffer mixture = noise(2, samples, 44100, 3);
    const StemSet stems = identity()->separate(mixture);
    REQUIRE(stems.names == std::vector<std::string>{"vocals", "drums", "bass", "other"});
    for (const auto& stem : stems.audio) CHECK(same_bits(stem, mixture));
  }
}

TEST_CASE("the targets are the method's, or else those asked for", "[methods]") {
  const audio::AudioBuffer mixture = noise(1, 100, 44100, 3);
  Options options;
  options.targets = {"synth", "violins"};
  CHECK(identity()->separate(mixture, options).names == options.targets);
  CHECK(identity(toy_info({"x", "y", "z"}))->separate(mixture, options).names ==
        std::vector<std::string>{"x", "y", "z"});
  CHECK(identity()->targets_for({"q"}) == std::vector<std::string>{"q"});
  CHECK(identity(toy_info({"x"}))->targets_for({"q"}) == std::vector<std::string>{"x"});
  options.targets = {"a", "a"};
  check_error(Code::invalid_argument, {"toy:a=1", "'a'"}, [&] { identity()->separate(mixture, options); });
}

TEST_CASE("channels are converted to the native number and back", "[methods]") {
  const audio::AudioBuffer mono = noise(1, 20000, 44100, 4);
  const audio::AudioBuffer stereo = noise(2, 20000, 44100, 5);
  SECTION("mono through a stereo method is unchanged") {
    for (const auto& stem : identity(toy_info({}, 2))->separate(mono).audio) CHECK(same_bits(stem, mono));
  }
  SECTION("stereo through a mono method comes back as its average on both sides") {
    const auto stems = identity(toy_info({}, 1))->separate(stereo);
    const auto average = audio::convert_channels(audio::convert_channels(stereo.view(), 1).view(), 2);
    for (const auto& stem : stems.audio) CHECK(same_bits(stem, average));
  }
  SECTION("there is no rule from three to two") {
    check_error(Code::unsupported, {"3", "2"}, [] { identity(toy_info({}, 2))->separate(noise(3, 100, 44100, 1)); });
    CHECK(identity()->separate(noise(3, 100, 44100, 1)).audio[0].channels() == 3);
  }
}

TEST_CASE("the rate is converted to the native one and back, with the exact length", "[methods]") {
  struct Case {
    int rate_hz, native_hz;
  };
  for (const Case c :
       {Case{8000, 44100}, Case{48000, 44100}, Case{44100, 8000}, Case{44100, 48000}, Case{16000, 16001}}) {
    const double top_hz = 0.4 * std::min(c.rate_hz, c.native_hz);
    for (const std::int64_t samples : {20000, 20001}) {
      CAPTURE(c.rate_hz, c.native_hz, samples);
      const audio::AudioBuffer mixture = band_limited(2, samples, c.rate_hz, top_hz);
      const StemSet stems = identity(toy_info({"x", "y"}, 0, c.native_hz))->separate(mixture);
      REQUIRE(stems.audio.size() == 2);
      for (const auto& stem : stems.audio) {
        REQUIRE(stem.samples() == samples);
        REQUIRE(stem.rate_hz() == c.rate_hz);
        CHECK(error_db(stem, mixture, 2000) < -80);
      }
    }
  }
}

TEST_CASE("rate and channels are converted together", "[methods]") {
  const audio::AudioBuffer mono = band_limited(1, 30000, 8000, 3000);
  for (const auto& stem : identity(toy_info({}, 2, 44100))->separate(mono).audio) {
    REQUIRE(audio::same_shape(stem, mono));
    CHECK(error_db(stem, mono, 1000) < -80);
  }
  const audio::AudioBuffer stereo = band_limited(2, 30000, 48000, 15000);
  const auto average = audio::convert_channels(audio::convert_channels(stereo.view(), 1).view(), 2);
  for (const auto& stem : identity(toy_info({}, 1, 44100))->separate(stereo).audio) {
    REQUIRE(audio::same_shape(stem, stereo));
    CHECK(error_db(stem, average, 1000) < -80);
  }
}

TEST_CASE("every short length survives the way there and back", "[methods]") {
  for (const int native_hz : {8000, 22050, 44100, 96000}) {
    for (std::int64_t samples = 1; samples <= 12; ++samples) {
      CAPTURE(native_hz, samples);
      const audio::AudioBuffer mixture = noise(2, samples, 44100, 6);
      const StemSet stems = identity(toy_info({}, 1, native_hz))->separate(mixture);
      REQUIRE(stems.audio.size() == 4);
      for (const auto& stem : stems.audio) CHECK(audio::same_shape(stem, mixture));
    }
  }
}

TEST_CASE("a stream of unknown length gives what a known one gives", "[methods]") {
  const audio::AudioBuffer mixture = noise(2, 33000, 44100, 8);
  const auto sample = [&](int c, std::int64_t t) { return mixture.channel(c)[static_cast<std::size_t>(t)]; };
  for (const int native_hz : {0, 32000}) {
    const auto method = identity(toy_info({}, 0, native_hz));
    tests::GeneratedSource source(2, 44100, 33000, false, sample);
    CollectSink sink;
    CHECK(method->separate(source, sink) == 33000);
    CHECK(same_bits(sink.take(), method->separate(mixture)));
  }
}

TEST_CASE("the sink hears the mixture's format", "[methods]") {
  class FormatSink final : public StemSink {
   public:
    void begin(const StemFormat& format) override { seen = format; }
    void write(const StemBlock&) override {}
    void end() override { ++ends; }
    StemFormat seen;
    int ends = 0;
  };
  const audio::AudioBuffer mixture = noise(2, 1000, 44100, 9);
  audio::ViewSource source(mixture);
  FormatSink sink;
  identity(toy_info({"x"}, 1, 16000))->separate(source, sink);
  CHECK(sink.seen.targets == std::vector<std::string>{"x"});
  CHECK(sink.seen.channels == 2);
  CHECK(sink.seen.rate_hz == 44100);
  CHECK(sink.seen.samples == 1000);
  CHECK(sink.ends == 1);
  tests::GeneratedSource unknown(2, 44100, 1000, false, [](int, std::int64_t) { return 0.0F; });
  identity()->separate(unknown, sink);
  CHECK(sink.seen.samples == -1);
}

TEST_CASE("empty mixtures are refused", "[methods]") {
  check_error(Code::invalid_argument, {"mixture", "at least one sample", "0 samples"},
              [] { identity()->separate(audio::AudioBuffer(2, 0, 44100)); });
  check_error(Code::invalid_argument, {"mixture", "at least one channel"},
              [] { identity()->separate(audio::AudioView()); });
  check_error(Code::invalid_argument, {"mixture", "0 samples"}, [] {
    tests::GeneratedSource unknown(1, 44100, 0, false, [](int, std::int64_t) { return 0.0F; });
    CollectSink sink;
    identity()->separate(unknown, sink);
  });
}

TEST_CASE("samples that are no numbers are named by channel, sample and time", "[methods]") {
  for (const std::int64_t at : {0, 1, 22050, 44099}) {
    audio::AudioBuffer mixture = noise(2, 44100, 44100, 10);
    mixture.channel(1)[static_cast<std::size_t>(at)] = at == 1 ? -kInfinity : kNan;
    const std::string place = "channel 1, sample " + std::to_string(at) + " (";
    for (const int native_hz : {0, 16000}) {
      check_error(Code::numeric, {"mixture", place.c_str(), at == 1 ? "-infinity" : "NaN"},
                  [&] { identity(toy_info({}, 0, native_hz))->separate(mixture); });
    }
  }
  audio::AudioBuffer mixture = noise(2, 44100, 44100, 10);
  mixture.channel(0)[33075] = kNan;
  check_error(Code::numeric, {"0.750 s"}, [&] { identity()->separate(mixture); });
  SECTION("also where the method stops reading before") {
    const ToyMethod early(toy_info({"a"}), [](audio::Source& source, StemSink& sink, Context& context) {
      sink.begin({context.targets, source.channels(), source.rate_hz(), -1});
      const audio::AudioBuffer zeros(source.channels(), *source.length(), source.rate_hz());
      sink.write({0, {zeros}});
    });
    check_error(Code::numeric, {"channel 0, sample 33075"}, [&] { early.separate(mixture); });
    CHECK(early.separate(noise(2, 44100, 44100, 10)).audio[0].samples() == 44100);
  }
}

TEST_CASE("a source that does not keep its announced length is refused", "[methods]") {
  for (const std::int64_t announced : {900, 1100}) {
    tests::GeneratedSource source(1, 44100, 1000, true, [](int, std::int64_t) { return 0.1F; });
    source.announced_length = announced;
    CollectSink sink;
    check_error(Code::format, {"mixture", std::to_string(announced).c_str()},
                [&] { identity()->separate(source, sink); });
  }
}

TEST_CASE("a method that breaks its contract is named", "[methods]") {
  const audio::AudioBuffer mixture = noise(2, 1000, 44100, 11);
  const audio::AudioBuffer good = noise(2, 1000, 44100, 12);
  const auto fails = [&](std::initializer_list<const char*> parts, ToyMethod::Body body) {
    std::vector<const char*> all(parts);
    const ToyMethod method = misbehaving(std::move(body));
    const std::string message = tests::message_of(Code::method_contract, [&] { method.separate(mixture); });
    INFO(message);
    CHECK(message.find("toy:a=1") != std::string::npos);
    for (const char* part : all) CHECK(message.find(part) != std::string::npos);
  };
  const StemFormat format{{"a", "b"}, 2, 44100, 1000};

  fails({"without output"}, [](auto&, auto&, auto&) {});
  fails({"1000 samples", "found 0"}, [&](auto&, auto& sink, auto&) { sink.begin(format); });
  fails({"1000 samples", "found 999"}, [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.write({0, {good.view().slice(0, 999), good.view().slice(0, 999)}});
  });
  fails({"longer than the mixture"}, [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.write({0, {good, good}});
    sink.write({1000, {good.view().slice(0, 1), good.view().slice(0, 1)}});
  });
  fails({"follow", "sample 400", "found 500"}, [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.write({0, {good.view().slice(0, 400), good.view().slice(0, 400)}});
    sink.write({500, {good.view().slice(500, 500), good.view().slice(500, 500)}});
  });
  fails({"follow"}, [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.write({0, {good.view().slice(0, 400), good.view().slice(0, 400)}});
    sink.write({0, {good.view().slice(0, 400), good.view().slice(0, 400)}});
  });
  fails({"number of stems", "expected 2, found 1"}, [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.write({0, {good}});
  });
  fails({"'b'", "shape"}, [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.write({0, {good, good.view().slice(0, 999)}});
  });
  fails({"'a'", "shape"}, [&](auto&, auto& sink, auto&) {
    const audio::AudioBuffer mono = noise(1, 1000, 44100, 1);
    sink.begin(format);
    sink.write({0, {mono, mono}});
  });
  fails({"'b'", "channel 1, sample 700", "NaN or infinity"}, [&](auto&, auto& sink, auto&) {
    audio::AudioBuffer bad = good;
    bad.channel(1)[700] = kInfinity;
    sink.begin(format);
    sink.write({0, {good, bad}});
  });
  fails({"before the output was begun"}, [&](auto&, auto& sink, auto&) { sink.write({0, {good, good}}); });
  fails({"began", "twice"}, [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.begin(format);
  });
  fails({"ended"}, [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.write({0, {good, good}});
    sink.end();
  });
  fails({"unique", "'a' twice"}, [&](auto&, auto& sink, auto&) { sink.begin({{"a", "a"}, 2, 44100, 1000}); });
  fails({"no stems"}, [&](auto&, auto& sink, auto&) { sink.begin({{}, 2, 44100, 1000}); });
  fails({"a, b", "b, a"}, [&](auto&, auto& sink, auto&) { sink.begin({{"b", "a"}, 2, 44100, 1000}); });
  fails({"channels"}, [&](auto&, auto& sink, auto&) { sink.begin({{"a", "b"}, 1, 44100, 1000}); });
  fails({"48000 Hz"}, [&](auto&, auto& sink, auto&) { sink.begin({{"a", "b"}, 2, 48000, 1000}); });
  fails({"nobody asked"}, [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.begin_magnitudes({});
  });
  fails({"before they were begun"}, [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.write_magnitudes({});
  });
}

TEST_CASE("a contract is checked in the native format too", "[methods]") {
  const ToyMethod method(toy_info({"a"}, 1, 8000), [](audio::Source& source, StemSink& sink, Context&) {
    sink.begin({{"a"}, 1, 8000, -1});
    const audio::AudioBuffer stem(1, *source.length() - 1, 8000);
    sink.write({0, {stem}});
  });
  check_error(Code::method_contract, {"8000 samples", "found 7999"},
              [&] { method.separate(noise(2, 44100, 44100, 13)); });
}

TEST_CASE("errors of a method pass through, and lack of memory is told as such", "[methods]") {
  const audio::AudioBuffer mixture = noise(1, 100, 44100, 1);
  check_error(Code::checkpoint, {"weights.bin"}, [&] {
    misbehaving([](auto&, auto&, auto&) { throw Error(Code::checkpoint, "weights.bin", "torn"); }).separate(mixture);
  });
  check_error(Code::resource, {"toy:a=1", "out of memory"},
              [&] { misbehaving([](auto&, auto&, auto&) { throw std::bad_alloc(); }).separate(mixture); });
}

TEST_CASE("a stop request ends the work with Error(cancelled)", "[methods]") {
  const audio::AudioBuffer mixture = noise(1, 100000, 44100, 1);
  core::StopSource stop;
  Options options;
  options.stop = stop.token();
  SECTION("before it began") {
    stop.request_stop();
    check_error(Code::cancelled, {}, [&] { identity()->separate(mixture, options); });
  }
  SECTION("in the middle, when the method next reads or writes") {
    std::int64_t written = 0;
    const ToyMethod method(toy_info({"a"}), [&](audio::Source& source, StemSink& sink, Context&) {
      sink.begin({{"a"}, 1, 44100, -1});
      audio::AudioBuffer block(1, 1000, 44100);
      for (; source.read(block.span()) > 0; written += 1000) {
        sink.write({written, {block}});
        if (written == 50000) stop.request_stop();
      }
    });
    check_error(Code::cancelled, {}, [&] { method.separate(mixture, options); });
    CHECK(written == 51000);
  }
}

TEST_CASE("what a method is told: seed, threads, targets", "[methods]") {
  const audio::AudioBuffer mixture = noise(1, 100, 44100, 1);
  Context seen;
  const ToyMethod method(toy_info(), [&](audio::Source& source, StemSink& sink, Context& context) {
    seen = context;
    tests::identity_body(source, sink, context);
  });
  Options options;
  options.seed = 99;
  options.threads = 3;
  options.targets = {"q"};
  method.separate(mixture, options);
  CHECK(seen.seed == 99);
  CHECK(seen.threads == 3);
  CHECK(seen.targets == std::vector<std::string>{"q"});
  CHECK(seen.references == nullptr);
  CHECK(static_cast<bool>(seen.progress));
  options.threads = 0;
  method.separate(mixture, options);
  CHECK(seen.threads == core::resolve_threads(0));
  options.threads = -1;
  check_error(Code::invalid_argument, {"threads", "-1"}, [&] { method.separate(mixture, options); });
}

TEST_CASE("progress runs from 0 to the mixture's length in its own samples", "[methods]") {
  const audio::AudioBuffer mixture = noise(1, 44100, 44100, 1);
  RecordingProgress progress;
  Options options;
  options.progress = &progress;
  SECTION("as stems are written") { identity()->separate(mixture, options); }
  SECTION("at another native rate") { identity(toy_info({}, 2, 16000))->separate(mixture, options); }
  CHECK(progress.begins == 1);
  CHECK(progress.ends == 1);
  CHECK(progress.name == "toy:a=1");
  CHECK(progress.of == 44100);
  REQUIRE(progress.updates.size() > 2);
  CHECK(std::ranges::is_sorted(progress.updates));
  CHECK(progress.updates.back() == 44100);
}

TEST_CASE("progress is ended and the cost is told when a method fails", "[methods]") {
  RecordingProgress progress;
  core::Cost cost;
  cost.wall_s = -1;
  Options options;
  options.progress = &progress;
  options.cost = &cost;
  CHECK_THROWS_AS(misbehaving([](auto&, auto&, auto&) {}).separate(noise(1, 10, 44100, 1), options), Error);
  CHECK(progress.begins == 1);
  CHECK(progress.ends == 1);
  CHECK(cost.wall_s >= 0);
}

TEST_CASE("references reach only methods that need them, in the native format", "[methods]") {
  const audio::AudioBuffer mixture = noise(2, 5000, 44100, 20);
  const std::vector<audio::AudioBuffer> stems{noise(2, 5000, 44100, 21), noise(2, 5000, 44100, 22)};
  const std::vector<audio::AudioView> views(stems.begin(), stems.end());

  SECTION("an ordinary method does not see them") {
    const ToyMethod method(toy_info(), [](audio::Source& source, StemSink& sink, Context& context) {
      CHECK(context.references == nullptr);
      tests::identity_body(source, sink, context);
    });
    method.separate(mixture, {"x", "y"}, views, {});
  }
  SeparatorInfo info = toy_info();
  info.needs_references = true;
  info.is_oracle = true;
  const auto read_references = [](audio::Source& source, StemSink& sink, Context& context) {
    REQUIRE(context.references != nullptr);
    sink.begin({context.targets, source.channels(), source.rate_hz(), source.length().value_or(-1)});
    std::vector<audio::AudioBuffer> all;
    for (audio::Source* reference : context.references->sources) {
      CHECK(reference->rate_hz() == source.rate_hz());
      CHECK(reference->channels() == source.channels());
      all.push_back(audio::read_all(*reference));
    }
    StemBlock block;
    for (const auto& stem : all) block.stems.push_back(stem);
    sink.write(block);
  };
  SECTION("an oracle yields one stem per reference") {
    const StemSet set = ToyMethod(info, read_references).separate(mixture, {"x", "y"}, views, {});
    CHECK(set.names == std::vector<std::string>{"x", "y"});
    CHECK(same_bits(set.audio[0], stems[0]));
    CHECK(same_bits(set.audio[1], stems[1]));
  }
  SECTION("converted like the mixture") {
    info.channels = 1;
    info.rate_hz = 22050;
    const std::vector<audio::AudioBuffer> smooth{band_limited(2, 5000, 44100, 8000)};
    const StemSet set = ToyMethod(info, read_references).separate(mixture, {"x"}, {smooth[0].view()}, {});
    const auto average = audio::convert_channels(audio::convert_channels(smooth[0].view(), 1).view(), 2);
    CHECK(error_db(set.audio[0], average, 1000) < -80);
  }
  SECTION("missing, unequal or broken ones are refused") {
    const ToyMethod oracle(info, read_references);
    check_error(Code::invalid_argument, {"toy:a=1", "oracle", "--references"}, [&] { oracle.separate(mixture); });
    check_error(Code::invalid_argument, {"twice", "'x'"}, [&] { oracle.separate(mixture, {"x", "x"}, views, {}); });
    check_error(Code::invalid_argument, {"number"}, [&] { oracle.separate(mixture, {"x"}, views, {}); });
    const audio::AudioBuffer shorter = noise(2, 4999, 44100, 1);
    check_error(Code::invalid_argument, {"reference 'y'", "5000", "4999"}, [&] {
      oracle.separate(mixture, {"x", "y"}, {stems[0], shorter}, {});
    });
    const audio::AudioBuffer mono = noise(1, 5000, 44100, 1);
    check_error(Code::invalid_argument, {"reference 'y'", "1 channels"}, [&] {
      oracle.separate(mixture, {"x", "y"}, {stems[0], mono}, {});
    });
    audio::AudioBuffer broken = stems[1];
    broken.channel(0)[4000] = kNan;
    check_error(Code::numeric, {"reference 'y'", "channel 0, sample 4000"}, [&] {
      oracle.separate(mixture, {"x", "y"}, {stems[0], broken}, {});
    });
  }
}

}  // namespace mss::methods
