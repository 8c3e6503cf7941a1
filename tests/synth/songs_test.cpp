// The built-in songs: bits, sums, sound, and the data set of that name.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>
#include <string>
#include <thread>

#include "core/hash.h"
#include "core/stop.h"
#include "datasets/check.h"
#include "datasets/dataset.h"
#include "datasets/synth/songs.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"

using namespace mss;
using datasets::synth::kRateHz;

namespace {

void add_to_hash(const audio::AudioBuffer& audio, core::Sha256& sha) {
  for (int c = 0; c < audio.channels(); ++c) {
    for (const float x : audio.channel(c)) {
      const auto level = static_cast<std::int32_t>(x * 32768.0F);
      const unsigned char bytes[2] = {static_cast<unsigned char>(level & 255),
                                      static_cast<unsigned char>((level >> 8) & 255)};
      sha.update(bytes, 2);
    }
  }
}

/// SHA-256 of all samples as 16-bit little endian: mixture, then stems, channel by channel.
std::string hash_of(const datasets::synth::RenderedSong& song) {
  core::Sha256 sha;
  add_to_hash(song.mixture, sha);
  for (const auto& stem : song.stems) add_to_hash(stem, sha);
  return sha.hex_digest();
}

double level_db(const audio::AudioBuffer& audio) {
  return 10 * std::log10(audio::energy(audio) / (static_cast<double>(audio.samples()) * audio.channels()));
}

constexpr std::int64_t kSixSeconds = std::int64_t{6} * kRateHz;

}  // namespace

TEST_CASE("a built-in song has the same bits everywhere", "[synth]") {
  const auto song = datasets::synth::render_song(1, 0, kSixSeconds);
  // Arithmetic is IEEE without libm, hence one hash for every machine and compiler. A new hash needs a new
  // kSynthVersion.
  CHECK(datasets::synth::kSynthVersion == 2);
  CHECK(hash_of(song) == "0f8e693138b174b544aabfcf62a16f4953cefb41ba0e0a97a3d14b36e22b4e7c");
  std::string elsewhere;
  std::thread([&] { elsewhere = hash_of(datasets::synth::render_song(1, 0, kSixSeconds)); }).join();
  CHECK(elsewhere == hash_of(song));
  CHECK(hash_of(datasets::synth::render_song(1, 1, kSixSeconds)) != hash_of(song));
  CHECK(hash_of(datasets::synth::render_song(2, 0, kSixSeconds)) != hash_of(song));
}

TEST_CASE("stems of built-in songs add up to the mixture exactly and never clip", "[synth]") {
  for (const std::uint64_t seed : {std::uint64_t{1}, std::uint64_t{77}}) {
    for (int index = 0; index < 3; ++index) {
      const auto song = datasets::synth::render_song(seed, index, kSixSeconds);
      INFO(seed << " " << index);
      REQUIRE(song.names == std::vector<std::string>{"drums", "bass", "other", "vocals"});
      CHECK(datasets::sum_residual_db({song.mixture, song.names, song.stems}) ==
            -std::numeric_limits<double>::infinity());
      float peak = 0;
      bool on_grid = true;
      for (int c = 0; c < 2; ++c) {
        CHECK(song.mixture.channel(c).front() == 0);
        CHECK(song.mixture.channel(c).back() == 0);
        for (const float x : song.mixture.channel(c)) {
          peak = std::max(peak, std::abs(x));
          on_grid = on_grid && x * 32768.0F == std::nearbyint(x * 32768.0F);
        }
      }
      CHECK(on_grid);
      CHECK(peak <= 31460.0F / 32768.0F);
      for (const auto& stem : song.stems) {
        CHECK(level_db(stem) > -31);
        CHECK(level_db(stem) < -15);
      }
    }
  }
}

TEST_CASE("built-in songs begin with singing, and vary", "[synth]") {
  std::set<std::string> styles;
  std::set<int> tempi, keys;
  for (int index = 0; index < 12; ++index) {
    const datasets::synth::Score score = datasets::synth::builtin_score(5, index, kSixSeconds);
    CHECK((score.sections.front().letter == 'V' || score.sections.front().letter == 'C'));
    CHECK(score.sections.front().first_bar == 0);
    CHECK(score.sample(score.syllables.front().start) < kRateHz);
    CHECK(score.syllables.front().section == 0);
    styles.insert(score.style);
    tempi.insert(score.bpm);
    keys.insert(score.key);
  }
  CHECK(styles.size() >= 4);
  CHECK(tempi.size() >= 6);
  CHECK(keys.size() >= 4);
}

TEST_CASE("a built-in song ends within a second of a stop request", "[synth]") {
  core::StopSource source;
  std::chrono::steady_clock::time_point asked;
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    asked = std::chrono::steady_clock::now();
    source.request_stop();
  });
  const core::StopScope scope(source.token());
  const auto error = tests::error_of([] { datasets::synth::render_song(1, 0, std::int64_t{300} * kRateHz); });
  const auto end = std::chrono::steady_clock::now();
  stopper.join();
  CHECK(error.code() == Code::cancelled);
  // A tenth of it on a free processor.
  CHECK(std::chrono::duration<double>(end - asked).count() < 1.0);
}

TEST_CASE("the synthetic data set is found by name and parameters", "[synth]") {
  const auto set = datasets::open("synthetic");
  CHECK(set.name() == "synthetic-v2");
  CHECK(set.layout() == datasets::Layout::synthetic);
  REQUIRE(set.tracks().size() == 4);
  CHECK(set.stems() == std::vector<std::string>{"drums", "bass", "other", "vocals"});
  CHECK(set.tracks()[0].name == "Synth 3000 - " + datasets::synth::builtin_score(1, 0, 1).style);
  CHECK(set.tracks()[0].seconds() == 12.0);
  CHECK(set.tracks()[0].subset == "test");
  CHECK(set.select({.subset = "test", .limit = 2}).size() == 2);
  CHECK(datasets::open("synthetic-v2").name() == "synthetic-v2");

  const auto other = datasets::open("synthetic:songs=2,seconds=1.5,seed=9");
  CHECK(other.name() == "synthetic-v2:seconds=1.5,seed=9");
  REQUIRE(other.tracks().size() == 2);
  CHECK(other.load(other.tracks()[1]).mixture.samples() == 66150);
  CHECK(other.tracks()[1].samples == 66150);
  // More songs are the same songs and some more.
  const auto more = datasets::open("synthetic:songs=12,seconds=1.5,seed=9");
  CHECK(more.tracks()[1].name == other.tracks()[1].name);
  CHECK(more.sha256(more.tracks()[1]) == other.sha256(other.tracks()[1]));
  CHECK(more.sha256(more.tracks()[0]) != other.sha256(other.tracks()[1]));
  CHECK(std::is_sorted(more.tracks().begin(), more.tracks().end(),
                       [](const auto& a, const auto& b) { return a.name < b.name; }));
}

TEST_CASE("bad parameters of synthetic data sets name the key", "[synth]") {
  const auto open = [](const std::string& where) { return tests::error_of([&] { datasets::open(where); }); };
  for (const char* where : {"synthetic:songs=0", "synthetic:songs=x", "synthetic:seconds=-1", "synthetic:seconds=nan",
                            "synthetic:", "synthetic:songs=2,songs=3", "synthetic:seed=-1", "synthetic:songs=1e9"}) {
    INFO(where);
    CHECK(open(where).code() == Code::dataset);
  }
  CHECK(tests::contains(open("synthetic:sonqs=3").what(), "did you mean 'songs'?"));
  CHECK(tests::contains(open("synthetic-v1:songs=3").what(), "synthetic-v2"));
}
