// Floors and oracles: definitions, invariants, the reference implementation's numbers, and bounded memory.
#include "methods/oracle/oracle.h"

#include <cmath>
#include <complex>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <unistd.h>

#include "audio/file.h"
#include "audio/stft.h"
#include "core/error.h"
#include "core/json.h"
#include "core/parallel.h"
#include "methods/floors/floors.h"
#include "methods/registry.h"
#include "tests/methods/support.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::methods {
namespace {

using tests::check_error;
using tests::error_db;
using tests::noise;
using tests::same_bits;
using tests::sine;

const Registry& registry() {
  static const Registry filled = [] {
    Registry out;
    floors::add_methods(out);
    oracle::add_methods(out);
    return out;
  }();
  return filled;
}

struct Song {
  std::vector<std::string> names;
  std::vector<audio::AudioBuffer> stems;
  audio::AudioBuffer mixture;

  explicit Song(std::vector<audio::AudioBuffer> parts) : stems(std::move(parts)) {
    mixture = audio::AudioBuffer(stems[0].channels(), stems[0].samples(), stems[0].rate_hz());
    for (std::size_t s = 0; s < stems.size(); ++s) {
      names.push_back("stem" + std::to_string(s));
      audio::add_to(mixture.span(), stems[s]);
    }
  }
  StemSet separate(const std::string& spec, const Options& options = {}) const {
    return registry().make(spec)->separate(mixture, names, {stems.begin(), stems.end()}, options);
  }
};

Song noisy_song(std::int64_t samples = 30000) {
  return Song({noise(2, samples, 44100, 50), noise(2, samples, 44100, 51), sine(2, samples, 44100, 1000, 0.2)});
}

audio::AudioBuffer sum(const StemSet& set) {
  audio::AudioBuffer out(set.audio[0].channels(), set.audio[0].samples(), set.audio[0].rate_hz());
  for (const auto& stem : set.audio) audio::add_to(out.span(), stem);
  return out;
}

const std::vector<std::string> kOracles{"irm1", "irm2", "ibm1", "ibm2", "irm:alpha=0.7", "ibm:theta=0.3", "mixphase"};

}  // namespace

TEST_CASE("floors: silence, the mixture, the mixture over J", "[methods]") {
  const audio::AudioBuffer mixture = noise(2, 40000, 44100, 60);
  Options options;
  for (const int stems : {1, 2, 3, 4, 5}) {
    options.targets.clear();
    for (int s = 0; s < stems; ++s) options.targets.push_back("t" + std::to_string(s));
    const StemSet silence = registry().make("silence")->separate(mixture, options);
    const StemSet same = registry().make("mixture")->separate(mixture, options);
    const StemSet share = registry().make("mixture-over-j")->separate(mixture, options);
    CHECK(share.names == options.targets);
    audio::AudioBuffer quotient = mixture;
    for (int c = 0; c < 2; ++c) {
      for (float& x : quotient.channel(c)) x /= static_cast<float>(stems);
    }
    for (int s = 0; s < stems; ++s) {
      const auto at = static_cast<std::size_t>(s);
      CHECK(audio::same_shape(silence.audio[at], mixture));
      CHECK(audio::is_silent(silence.audio[at]));
      CHECK(same_bits(same.audio[at], mixture));
      CHECK(same_bits(share.audio[at], quotient));
    }
  }
  // Without targets J is the four of MUSDB18.
  CHECK(registry().make("mixture-over-j")->separate(mixture).audio[0].channel(0)[7] == mixture.channel(0)[7] / 4);
}

TEST_CASE("floors and oracles are marked as what they are", "[methods]") {
  int floors = 0;
  int oracles = 0;
  for (const MethodEntry& entry : registry().methods()) {
    const auto made = registry().make(entry.name);
    CAPTURE(entry.name);
    CHECK(made->info().spec == entry.name);
    CHECK(made->info().method == entry.name);
    CHECK(made->info().streams);
    CHECK_FALSE(made->info().is_random);
    CHECK(made->info().is_floor == (entry.family == "floor"));
    CHECK(made->info().is_oracle == (entry.family == "oracle"));
    CHECK(made->info().needs_references == (entry.family == "oracle"));
    CHECK_FALSE(entry.summary.empty());
    floors += entry.family == "floor" ? 1 : 0;
    oracles += entry.family == "oracle" ? 1 : 0;
  }
  CHECK(floors == 3);
  CHECK(oracles == 7);
  CHECK(registry().make("irm1")->info().resolved_options.at("alpha").as_real() == 1.0);
  CHECK(registry().make("ibm2")->info().resolved_options.at("theta").as_real() == 0.5);
  CHECK(registry().canonical("ibm1:theta=0.50,fft=2048,hop=512") == "ibm1:hop=512");
}

TEST_CASE("an oracle without references, or with parameters that do not fit, is refused", "[methods]") {
  check_error(Code::invalid_argument, {"irm1", "oracle", "references"},
              [] { registry().make("irm1")->separate(noise(2, 100, 44100, 1)); });
  check_error(Code::config, {"irm1:fft=7", "even"}, [] { registry().make("irm1:fft=7,hop=2"); });
  check_error(Code::config, {"hop"}, [] { registry().make("irm1:fft=2048,hop=1025"); });
  check_error(Code::config, {"unknown parameter 'alpha'"}, [] { registry().make("irm1:alpha=2"); });
  check_error(Code::config, {"alpha"}, [] { registry().make("irm:alpha=0"); });
}

TEST_CASE("references of unknown length that turn out unequal are refused", "[methods]") {
  for (const std::int64_t length : {50000, 100000}) {
    tests::GeneratedSource mixture(1, 44100, 70000, false, [](int, std::int64_t) { return 0.5F; });
    tests::GeneratedSource reference(1, 44100, length, false, [](int, std::int64_t) { return 0.25F; });
    const References references{{"x"}, {&reference}};
    Options options;
    options.references = &references;
    CollectSink sink;
    check_error(Code::invalid_argument, {"reference 'x'"},
                [&] { registry().make("irm1")->separate(mixture, sink, options); });
  }
}

TEST_CASE("IRM estimates add up to the mixture", "[methods]") {
  const Song song = noisy_song();
  for (const char* spec : {"irm1", "irm2", "irm:alpha=0.5", "irm:alpha=3,fft=1024,hop=256"}) {
    CAPTURE(spec);
    CHECK(error_db(sum(song.separate(spec)), song.mixture) < -120);
  }
}

TEST_CASE("IRM follows its definition sample by sample", "[methods]") {
  // The whole-buffer transform in float64 beside the streaming one in float32.
  const Song song = noisy_song(20000);
  const audio::StftSpec spec{2048, 1024, 0, audio::WindowKind::hann, audio::Framing::scipy, audio::Scaling::window_sum};
  const audio::Stft<double> stft(spec);
  std::vector<audio::Spectrogram<double>> y;
  for (const auto& stem : song.stems) y.push_back(stft.forward(stem.view()));
  const auto x = stft.forward(song.mixture.view());
  const double eps = std::ldexp(1.0, -52);
  for (const double alpha : {1.0, 2.0, 1.7}) {
    const StemSet set = song.separate("irm:alpha=" + core::format_real(alpha));
    for (std::size_t s = 0; s < y.size(); ++s) {
      auto masked = x;
      for (std::size_t i = 0; i < masked.data().size(); ++i) {
        double total = eps;
        for (const auto& z : y) total += std::pow(std::abs(z.data()[i]), alpha);
        masked.data()[i] *= std::pow(std::abs(y[s].data()[i]), alpha) / total;
      }
      CHECK(error_db(set.audio[s], stft.inverse(masked, 20000, 44100)) < -110);
    }
  }
}

TEST_CASE("two sinusoids far apart are separated nearly perfectly", "[methods]") {
  const Song song({sine(2, 88200, 44100, 430.6640625, 0.4), sine(2, 88200, 44100, 4306.640625, 0.3)});
  for (const char* spec : {"irm2", "ibm1", "ibm2"}) {
    const StemSet set = song.separate(spec);
    CAPTURE(spec);
    CHECK(error_db(set.audio[0], song.stems[0], 4096) < -60);
    CHECK(error_db(set.audio[1], song.stems[1], 4096) < -60);
  }
  // Where nothing overlaps, the mixture's phase is the stem's own in the bins that matter.
  CHECK(error_db(song.separate("mixphase").audio[0], song.stems[0], 4096) < -30);
}

TEST_CASE("binary masks may overlap or leave gaps, as SiSEC's do", "[methods]") {
  // In phase, each stem has half of the mixture's magnitude: theta 0.5 gives the bin to both, 0.6 to none.
  const audio::AudioBuffer half = sine(1, 20000, 44100, 1000, 0.2);
  const Song song({half, half});
  const StemSet both = song.separate("ibm:theta=0.4");
  CHECK(error_db(both.audio[0], song.mixture, 2048) < -60);
  CHECK(error_db(both.audio[1], song.mixture, 2048) < -60);
  const StemSet none = song.separate("ibm:theta=0.6");
  CHECK(audio::energy(none.audio[0]) < 1e-6 * audio::energy(song.mixture));
}

TEST_CASE("silence in and silence out", "[methods]") {
  const audio::AudioBuffer quiet(2, 20000, 44100);
  const audio::AudioBuffer loud = noise(2, 20000, 44100, 70);
  for (const std::string& spec : kOracles) {
    CAPTURE(spec);
    const StemSet set = Song({loud, quiet}).separate(spec);
    CHECK(audio::energy(set.audio[1]) == 0);
    CHECK(error_db(set.audio[0], loud) < -100);
    for (const auto& stem : Song({quiet, quiet}).separate(spec).audio) CHECK(audio::is_silent(stem));
  }
}

TEST_CASE("oracles take every length", "[methods]") {
  for (const std::int64_t samples : {1, 2, 1023, 1024, 1025, 2048, 32767, 32768, 32769}) {
    const Song song({noise(1, samples, 44100, 71), noise(1, samples, 44100, 72)});
    for (const std::string& spec : kOracles) {
      CAPTURE(spec, samples);
      const StemSet set = song.separate(spec);
      REQUIRE(set.names == song.names);
      CHECK(set.audio[1].samples() == samples);
    }
    CHECK(error_db(sum(song.separate("irm2")), song.mixture) < -110);
  }
}

TEST_CASE("oracles give the same bits for any number of threads", "[methods]") {
  const Song song = noisy_song(70000);
  for (const std::string& spec : kOracles) {
    CAPTURE(spec);
    Options options;
    const StemSet one = song.separate(spec, options);
    for (const int threads : {2, 3, 8}) {
      options.threads = threads;
      CHECK(same_bits(song.separate(spec, options), one));
    }
  }
}

TEST_CASE("one object serves several callers at once", "[methods]") {
  const Song song = noisy_song(50000);
  const auto method = registry().make("irm1");
  const StemSet alone = song.separate("irm1");
  std::vector<StemSet> sets(8);
  core::parallel_for(8, 4, [&](std::int64_t i) {
    sets[static_cast<std::size_t>(i)] =
        method->separate(song.mixture, song.names, {song.stems.begin(), song.stems.end()}, {});
  });
  for (const StemSet& set : sets) CHECK(same_bits(set, alone));
}

namespace {

/// Memory that this process occupies now (not its high-water mark, which earlier tests may have set).
double resident_mib() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  double resident = 0;
  if (!(statm >> pages >> resident)) return 0;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

/// Forgets what it is given, and notes how far the source has run ahead and how much memory is in use.
class WatchingSink final : public StemSink {
 public:
  explicit WatchingSink(const tests::GeneratedSource& source) : source_(source) {}
  void begin(const StemFormat&) override { start_mib_ = resident_mib(); }
  void write(const StemBlock& block) override {
    written = block.begin + block.stems[0].samples();
    lead = std::max(lead, source_.position - written);
    if (++blocks_ % 50 == 0) grown_mib = std::max(grown_mib, resident_mib() - start_mib_);
  }
  std::int64_t written = 0, lead = 0;
  double grown_mib = 0;

 private:
  const tests::GeneratedSource& source_;
  double start_mib_ = 0;
  std::int64_t blocks_ = 0;
};

}  // namespace

TEST_CASE("ten minutes stream through with a few blocks in memory", "[methods]") {
  // Ten minutes of mono mixture, references and stems would be 100 MiB each.
  constexpr std::int64_t kSamples = 600 * 44100;
  const auto triangle = [](std::int64_t t, std::int64_t period) {
    return static_cast<float>(t % period) / static_cast<float>(period) - 0.5F;
  };
  for (const char* spec : {"mixture-over-j", "irm2"}) {
    CAPTURE(spec);
    tests::GeneratedSource mixture(1, 44100, kSamples, true,
                                   [&](int, std::int64_t t) { return triangle(t, 100) + triangle(t, 333); });
    tests::GeneratedSource a(1, 44100, kSamples, true, [&](int, std::int64_t t) { return triangle(t, 100); });
    tests::GeneratedSource b(1, 44100, kSamples, true, [&](int, std::int64_t t) { return triangle(t, 333); });
    const References references{{"a", "b"}, {&a, &b}};
    Options options;
    options.targets = references.names;
    options.references = &references;
    WatchingSink sink(mixture);
    CHECK(registry().make(spec)->separate(mixture, sink, options) == kSamples);
    CHECK(sink.written == kSamples);
    CHECK(sink.lead <= 32768 + 4 * 2048);
#ifndef __SANITIZE_ADDRESS__  // the sanitizer keeps freed memory for a while
    CHECK(sink.grown_mib < 30);
#endif
  }
}

TEST_CASE("rate conversion streams too", "[methods]") {
  constexpr std::int64_t kSamples = 30 * 8000;
  tests::GeneratedSource mixture(1, 8000, kSamples, false, [](int, std::int64_t t) {
    return 0.3F * std::sin(0.1F * static_cast<float>(t % 6283));
  });
  WatchingSink sink(mixture);
  tests::identity(tests::toy_info({"a"}, 2, 44100))->separate(mixture, sink);
  CHECK(sink.written == kSamples);
  CHECK(sink.lead <= 3 * 32768);
}

TEST_CASE("oracles on real music give the reference implementation's numbers", "[methods]") {
  MSS_REQUIRE_TEST_DATA(data);
  const core::Value golden = core::read_json_file(mss::tests::golden("bsseval.json"));
  const core::Value& oracles = golden.at("real_excerpt").at("oracles");
  const auto streams = audio::read_streams(data / "musdb18_clips/train/Music Delta - 80s Rock.stem.mp4");
  REQUIRE(streams.size() == 5);
  const std::vector<std::string> names{"vocals", "drums", "bass", "other"};
  const std::vector<audio::AudioView> stems{streams[4], streams[1], streams[2], streams[3]};
  REQUIRE(streams[0].samples() == 300032);

  // Margin 1e-4 dB: found 2e-6 dB, the rounding of float32 transforms beside SciPy's float64.
  for (const std::string name : {"IRM1", "IRM2", "IBM1", "IBM2"}) {
    std::string spec = name;
    for (char& c : spec) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const StemSet set = registry().make(spec)->separate(streams[0], names, stems, {});
    REQUIRE(set.names == names);
    const core::Value& expected = oracles.at(name);
    for (std::size_t s = 0; s < names.size(); ++s) {
      CAPTURE(spec, names[s]);
      // BSS Eval v4's SDR per frame of one second: 10 log10(|s|^2 / |s - e|^2), both channels.
      std::vector<double> frames;
      for (std::int64_t begin = 0; begin + 44100 <= 300032; begin += 44100) {
        frames.push_back(-error_db(set.audio[s].view().slice(begin, 44100), stems[s].slice(begin, 44100)));
        const double museval = expected.at("targets4").at("SDR").as_array()[s].as_array()[frames.size() - 1].as_real();
        CHECK(frames.back() == Approx(museval).margin(1e-4));
      }
      REQUIRE(frames.size() == 6);
      std::ranges::sort(frames);
      const double median = (frames[2] + frames[3]) / 2;
      CHECK(median == Approx(expected.at("median_SDR_over_frames").at(names[s]).as_real()).margin(1e-4));
      // A float32 transform may put a bin whose share is theta to the last digits on the other side of a binary mask.
      CHECK(audio::energy(set.audio[s]) == Approx(expected.at("energy").as_array()[s].as_real()).epsilon(1e-4));
    }
    for (std::size_t t = 0; t < 3; ++t) {
      for (int c = 0; c < 2; ++c) {
        const double sample = expected.at("est_first_samples_4000_vocals")
                                  .as_array()[t]
                                  .as_array()[static_cast<std::size_t>(c)]
                                  .as_real();
        CHECK(set.audio[0].channel(c)[4000 + t] == Approx(sample).margin(2e-7));
      }
    }
  }
}

}  // namespace mss::methods
