#include <algorithm>
#include <complex>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "audio/stft.h"
#include "core/error.h"
#include "methods/oracle/oracle.h"
#include "methods/registry.h"
#include "methods/separator.h"
#include "tests/methods/support.h"
#include "tests/support/catch.h"

namespace mss::methods {
namespace {

using tests::check_error;
using tests::identity;
using tests::noise;
using tests::toy_info;
using tests::ToyMethod;

/// y_s = gain * stem_s, `delay_samples` late and flushed at the end; adds the stem "rest" = mixture - sum_s stem_s.
class GainAndRest final : public PostFilter {
 public:
  GainAndRest(float gain, std::int64_t delay_samples) : gain_(gain), delay_(delay_samples) {}
  std::string spec() const override { return "gain:g=" + std::to_string(static_cast<int>(gain_)); }
  core::Value resolved_options() const override {
    core::Value options;
    options["g"] = static_cast<double>(gain_);
    return options;
  }
  std::vector<std::string> targets(const std::vector<std::string>& input) const override {
    std::vector<std::string> out = input;
    out.push_back("rest" + std::to_string(input.size()));
    return out;
  }
  bool wants_magnitudes(const SeparatorInfo&) const override { return false; }
  std::unique_ptr<StemSink> open(const SeparatorInfo& method, audio::Source& mixture, StemSink& out,
                                 Context&) const override {
    specs_seen.push_back(method.spec);
    return std::make_unique<Sink>(*this, mixture, out);
  }
  mutable std::vector<std::string> specs_seen;

 private:
  class Sink final : public StemSink {
   public:
    Sink(const GainAndRest& filter, audio::Source& mixture, StemSink& out)
        : filter_(filter), mixture_(mixture), out_(out) {}
    void begin(const StemFormat& format) override {
      StemFormat more = format;
      more.targets = filter_.targets(format.targets);
      held_.resize(more.targets.size(), std::vector<std::deque<float>>(static_cast<std::size_t>(format.channels)));
      channels_ = format.channels;
      rate_hz_ = format.rate_hz;
      out_.begin(more);
    }
    void write(const StemBlock& block) override {
      const std::int64_t n = block.stems[0].samples();
      audio::AudioBuffer x(channels_, n, rate_hz_);
      REQUIRE(mixture_.read(x.span()) == n);
      for (int c = 0; c < channels_; ++c) {
        for (std::size_t t = 0; t < static_cast<std::size_t>(n); ++t) {
          float rest = x.channel(c)[t];
          for (std::size_t s = 0; s < block.stems.size(); ++s) {
            rest -= block.stems[s].channel(c)[t];
            held_[s][static_cast<std::size_t>(c)].push_back(filter_.gain_ * block.stems[s].channel(c)[t]);
          }
          held_.back()[static_cast<std::size_t>(c)].push_back(rest);
        }
      }
      release(static_cast<std::int64_t>(held_[0][0].size()) - filter_.delay_);
    }
    void end() override { release(static_cast<std::int64_t>(held_[0][0].size())); }

   private:
    void release(std::int64_t n) {
      if (n <= 0) return;
      std::vector<audio::AudioBuffer> stems;
      StemBlock block{begin_, {}};
      for (auto& stem : held_) {
        audio::AudioBuffer& buffer = stems.emplace_back(channels_, n, rate_hz_);
        for (int c = 0; c < channels_; ++c) {
          auto& queue = stem[static_cast<std::size_t>(c)];
          std::copy_n(queue.begin(), n, buffer.channel(c).begin());
          queue.erase(queue.begin(), queue.begin() + n);
        }
      }
      for (const auto& stem : stems) block.stems.push_back(stem);
      begin_ += n;
      out_.write(block);
    }
    const GainAndRest& filter_;
    audio::Source& mixture_;
    StemSink& out_;
    std::vector<std::vector<std::deque<float>>> held_;
    int channels_ = 0, rate_hz_ = 0;
    std::int64_t begin_ = 0;
  };
  float gain_;
  std::int64_t delay_;
};

/// Takes magnitudes and gives them the mixture's phase.
class PhaseFilter final : public PostFilter {
 public:
  std::string spec() const override { return "phase"; }
  core::Value resolved_options() const override { return core::Value::object(); }
  bool wants_magnitudes(const SeparatorInfo& method) const override { return method.offers_magnitudes; }
  std::unique_ptr<StemSink> open(const SeparatorInfo& method, audio::Source& mixture, StemSink& out,
                                 Context&) const override {
    return std::make_unique<Sink>(wants_magnitudes(method), mixture, out);
  }

 private:
  class Sink final : public StemSink {
   public:
    Sink(bool magnitudes, audio::Source& mixture, StemSink& out)
        : magnitudes_(magnitudes), mixture_(mixture), out_(out) {}
    void begin(const StemFormat& format) override {
      format_ = format;
      out_.begin(format);
    }
    void write(const StemBlock&) override { FAIL("stems although magnitudes were asked for"); }
    bool wants_magnitudes() const override { return magnitudes_; }
    void begin_magnitudes(const audio::StftSpec& spec) override {
      for (std::size_t s = 0; s < format_.targets.size(); ++s)
        inverse_.emplace_back(spec, format_.channels, format_.rate_hz);
    }
    void write_magnitudes(const MagnitudeBlock& block) override {
      std::vector<audio::AudioBuffer> stems;
      for (std::size_t s = 0; s < inverse_.size(); ++s) {
        audio::Spectrogram<float> y = *block.mixture;
        for (std::size_t i = 0; i < y.data().size(); ++i) {
          const float size = std::abs(y.data()[i]);
          y.data()[i] = size > 0 ? y.data()[i] * (block.magnitudes[s][i] / size) : block.magnitudes[s][i];
        }
        stems.push_back(inverse_[s].push(y));
      }
      forward(stems);
    }
    void end() override {
      const std::int64_t samples = audio::read_all(mixture_).samples();
      std::vector<audio::AudioBuffer> stems;
      for (auto& inverse : inverse_) stems.push_back(inverse.finish(samples));
      forward(stems);
    }

   private:
    void forward(const std::vector<audio::AudioBuffer>& stems) {
      StemBlock block{begin_, {}};
      for (const auto& stem : stems) block.stems.push_back(stem);
      begin_ += stems[0].samples();
      out_.write(block);
    }
    bool magnitudes_;
    audio::Source& mixture_;
    StemSink& out_;
    StemFormat format_;
    std::vector<audio::StreamingIstft> inverse_;
    std::int64_t begin_ = 0;
  };
};

std::unique_ptr<Separator> with(std::unique_ptr<Separator> method, std::vector<std::pair<float, std::int64_t>> gains) {
  std::vector<std::unique_ptr<PostFilter>> filters;
  for (const auto& [gain, delay] : gains) filters.push_back(std::make_unique<GainAndRest>(gain, delay));
  return compose(std::move(method), std::move(filters));
}

/// Writes the mixture's tenth as its only stem, after having read `ahead` samples more.
std::unique_ptr<Separator> reading_ahead(std::int64_t ahead) {
  return std::make_unique<ToyMethod>(toy_info({"a"}), [ahead](audio::Source& mixture, StemSink& sink, Context&) {
    sink.begin({{"a"}, mixture.channels(), mixture.rate_hz(), mixture.length().value_or(-1)});
    std::deque<audio::AudioBuffer> held;
    std::int64_t read = 0, written = 0;
    const auto write = [&] {
      for (int c = 0; c < mixture.channels(); ++c) {
        for (float& x : held.front().channel(c)) x *= 0.1F;
      }
      sink.write({written, {held.front()}});
      written += held.front().samples();
      held.pop_front();
    };
    for (;;) {
      audio::AudioBuffer block(mixture.channels(), 700, mixture.rate_hz());
      const std::int64_t n = mixture.read(block.span());
      if (n == 0) break;
      block.resize(n);
      held.push_back(std::move(block));
      read += n;
      if (read - written > ahead) write();
    }
    while (!held.empty()) write();
  });
}

}  // namespace

TEST_CASE("a composition is named after all its parts and lists their options", "[methods]") {
  SeparatorInfo info = toy_info({"a", "b"});
  info.is_floor = true;
  info.offers_magnitudes = true;
  info.weights_label = "w";
  const auto chain = with(identity(info), {{2.0F, 0}, {3.0F, 0}});
  CHECK(chain->info().spec == "toy:a=1|gain:g=2|gain:g=3");
  CHECK(chain->info().method == "toy");
  CHECK(chain->info().targets == std::vector<std::string>{"a", "b", "rest2", "rest3"});
  CHECK_FALSE(chain->info().is_floor);
  CHECK_FALSE(chain->info().offers_magnitudes);
  CHECK(chain->info().weights_label == "w");
  const core::Value& options = chain->info().resolved_options;
  CHECK(options.at("a").as_integer() == 1);
  REQUIRE(options.at("filters").size() == 2);
  CHECK(options.at("filters").as_array()[1].at("spec").as_string() == "gain:g=3");
  CHECK(options.at("filters").as_array()[1].at("options").at("g").as_real() == 3.0);
  CHECK(chain->targets_for({"q"}) == chain->info().targets);

  const auto open = with(identity(), {{2.0F, 0}});
  CHECK(open->info().targets.empty());
  CHECK(open->targets_for({"q"}) == std::vector<std::string>{"q", "rest1"});

  auto alone = identity();
  const Separator* before = alone.get();
  CHECK(compose(std::move(alone), {}).get() == before);
}

TEST_CASE("filters get the stems and the mixture in step, whatever delays lie between", "[methods]") {
  const audio::AudioBuffer mixture = noise(2, 20011, 44100, 40);
  for (const std::int64_t ahead : {0, 699, 5000, 100000}) {
    for (const std::int64_t delay : {0, 1, 3000, 100000}) {
      CAPTURE(ahead, delay);
      const StemSet set = with(reading_ahead(ahead), {{2.0F, delay}, {3.0F, 17}})->separate(mixture);
      REQUIRE(set.names == std::vector<std::string>{"a", "rest1", "rest2"});
      for (int c = 0; c < 2; ++c) {
        bool right = true;
        for (std::size_t t = 0; t < 20011; ++t) {
          const float x = mixture.channel(c)[t];
          const float stem = x * 0.1F;
          const float rest1 = x - stem;
          right = right && set.audio[0].channel(c)[t] == 3.0F * (2.0F * stem) &&
                  set.audio[1].channel(c)[t] == 3.0F * rest1 && set.audio[2].channel(c)[t] == x - 2.0F * stem - rest1;
        }
        CHECK(right);
      }
    }
  }
}

TEST_CASE("filters work in the method's native format", "[methods]") {
  const audio::AudioBuffer mono = noise(1, 9000, 44100, 41);
  const StemSet set = with(identity(toy_info({"a"}, 2)), {{2.0F, 500}})->separate(mono);
  REQUIRE(audio::same_shape(set.audio[0], mono));
  for (std::size_t t = 0; t < 9000; ++t) {
    if (set.audio[0].channel(0)[t] != 2.0F * mono.channel(0)[t]) FAIL("sample " << t);
  }
  const StemSet converted = with(identity(toy_info({"a"}, 0, 16000)), {{1.0F, 500}})->separate(mono);
  CHECK(audio::same_shape(converted.audio[1], mono));
  CHECK(audio::is_silent(converted.audio[1]));
}

TEST_CASE("open targets flow through filters", "[methods]") {
  const audio::AudioBuffer mixture = noise(1, 2000, 44100, 42);
  Options options;
  options.targets = {"synth", "violins"};
  CHECK(with(identity(), {{1.0F, 0}, {1.0F, 0}})->separate(mixture, options).names ==
        std::vector<std::string>{"synth", "violins", "rest2", "rest3"});
}

TEST_CASE("a method inside a chain is held to its contract under its own name", "[methods]") {
  const audio::AudioBuffer mixture = noise(1, 2000, 44100, 43);
  check_error(Code::method_contract, {"toy:a=1: ", "2000 samples"}, [&] {
    with(std::make_unique<ToyMethod>(toy_info({"a"}),
                                     [](audio::Source&, StemSink& sink, Context&) {
                                       sink.begin({{"a"}, 1, 44100, 2000});
                                     }),
         {{2.0F, 0}})
        ->separate(mixture);
  });
  const auto short_stems = [](audio::Source& source, StemSink& sink, Context&) {
    sink.begin({{"a"}, 1, 44100, -1});
    audio::AudioBuffer block(1, 1999, 44100);
    source.read(block.span());
    sink.write({0, {block}});
  };
  for (const bool announced : {true, false}) {
    tests::GeneratedSource source(1, 44100, 2000, announced, [](int, std::int64_t) { return 0.5F; });
    CollectSink sink;
    check_error(Code::method_contract, {"toy:a=1: ", "2000 samples", "found 1999"}, [&] {
      with(std::make_unique<ToyMethod>(toy_info({"a"}), short_stems), {{2.0F, 0}})->separate(source, sink);
    });
  }
}

TEST_CASE("magnitudes go to the first filter where both sides want it", "[methods]") {
  Registry registry;
  oracle::add_methods(registry);
  const audio::AudioBuffer a = noise(2, 12345, 44100, 44);
  const audio::AudioBuffer b = tests::sine(2, 12345, 44100, 440, 0.3);
  audio::AudioBuffer mixture = a;
  audio::add_to(mixture.span(), b);
  for (const char* spec : {"irm1", "irm2", "ibm1", "mixphase", "irm:alpha=1.3,fft=512,hop=128"}) {
    CAPTURE(spec);
    const StemSet direct = registry.make(spec)->separate(mixture, {"a", "b"}, {a, b}, {});
    std::vector<std::unique_ptr<PostFilter>> filters;
    filters.push_back(std::make_unique<PhaseFilter>());
    const StemSet filtered =
        compose(registry.make(spec), std::move(filters))->separate(mixture, {"a", "b"}, {a, b}, {});
    REQUIRE(filtered.names == direct.names);
    for (std::size_t s = 0; s < 2; ++s) CHECK(tests::error_db(filtered.audio[s], direct.audio[s]) < -110);
  }
}

TEST_CASE("magnitudes are held to the contract", "[methods]") {
  const audio::AudioBuffer mixture = noise(1, 5000, 44100, 45);
  const audio::StftSpec stft{};
  const auto fails = [&](const char* part, ToyMethod::Body body) {
    SeparatorInfo info = toy_info({"a"});
    info.offers_magnitudes = true;
    std::vector<std::unique_ptr<PostFilter>> filters;
    filters.push_back(std::make_unique<PhaseFilter>());
    const auto chain = compose(std::make_unique<ToyMethod>(info, std::move(body)), std::move(filters));
    check_error(Code::method_contract, {"toy:a=1: ", part}, [&] { chain->separate(mixture); });
  };
  const auto spectrum = audio::Stft<float>(stft).forward(mixture.view());
  const StemFormat format{{"a"}, 1, 44100, 5000};
  const auto block = [&](std::int64_t first, float value) {
    return MagnitudeBlock{first, &spectrum, {std::vector<float>(spectrum.data().size(), value)}};
  };
  fails("fewer or more frames", [&](auto&, auto& sink, auto&) {
    REQUIRE(sink.wants_magnitudes());
    sink.begin(format);
    sink.begin_magnitudes(stft);
  });
  fails("more frames than the mixture has", [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.begin_magnitudes(stft);
    sink.write_magnitudes(block(0, 1));
    sink.write_magnitudes(block(spectrum.frames(), 1));
  });
  fails("frames do not follow", [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.begin_magnitudes(stft);
    sink.write_magnitudes(block(1, 1));
  });
  fails("negative or not finite", [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.begin_magnitudes(stft);
    sink.write_magnitudes(block(0, -1));
  });
  fails("another size", [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.begin_magnitudes(stft);
    sink.write_magnitudes({0, &spectrum, {std::vector<float>(3)}});
  });
  fails("wrong number of magnitude", [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.begin_magnitudes(stft);
    sink.write_magnitudes({0, &spectrum, {}});
  });
  fails("without the mixture", [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.begin_magnitudes(stft);
    sink.write_magnitudes({0, nullptr, {std::vector<float>(3)}});
  });
  fails("stems after magnitudes", [&](auto&, auto& sink, auto&) {
    sink.begin(format);
    sink.begin_magnitudes(stft);
    sink.write({0, {mixture}});
  });
}

}  // namespace mss::methods
