#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <thread>

#include "core/hash.h"
#include "datasets/check.h"
#include "datasets/dataset.h"
#include "datasets/synth.h"
#include "tests/datasets/make_files.h"
#include "tests/support/catch.h"

using namespace mss;

namespace {

std::string hash_of(const audio::AudioBuffer& audio, core::Sha256& sha) {
  for (int c = 0; c < audio.channels(); ++c) {
    for (const float x : audio.channel(c)) {
      const auto level = static_cast<std::int32_t>(x * 32768.0F);
      const unsigned char bytes[2] = {static_cast<unsigned char>(level & 255),
                                      static_cast<unsigned char>((level >> 8) & 255)};
      sha.update(bytes, 2);
    }
  }
  return {};
}

/// SHA-256 of all samples as 16-bit little endian: mixture, then stems, channel by channel.
std::string hash_of(const datasets::TrackAudio& song) {
  core::Sha256 sha;
  hash_of(song.mixture, sha);
  for (const auto& stem : song.stems) hash_of(stem, sha);
  return sha.hex_digest();
}

double level_db(const audio::AudioBuffer& audio) {
  return 10 * std::log10(audio::energy(audio) / (static_cast<double>(audio.samples()) * audio.channels()));
}

constexpr std::int64_t kTwelveSeconds = 12 * datasets::kSynthRateHz;

}  // namespace

TEST_CASE("a built-in song has the same bits everywhere", "[datasets]") {
  const auto song = datasets::render_song(1, 0, kTwelveSeconds);
  // Arithmetic is IEEE without libm, hence one hash for every machine and compiler. A new hash needs a new
  // kSynthVersion.
  CHECK(datasets::kSynthVersion == 1);
  CHECK(hash_of(song) == "d0aee1a95431e82070b13d556d5ce08cb8fdc604902b247b57b56053ec381e07");
  CHECK(hash_of(datasets::render_song(1, 0, kTwelveSeconds)) == hash_of(song));
  std::string elsewhere;
  std::thread([&] { elsewhere = hash_of(datasets::render_song(1, 0, kTwelveSeconds)); }).join();
  CHECK(elsewhere == hash_of(song));
  CHECK(hash_of(datasets::render_song(1, 1, kTwelveSeconds)) != hash_of(song));
  CHECK(hash_of(datasets::render_song(2, 0, kTwelveSeconds)) != hash_of(song));
}

TEST_CASE("stems of built-in songs add up to the mixture exactly and never clip", "[datasets]") {
  for (const std::uint64_t seed : {std::uint64_t{1}, std::uint64_t{77}}) {
    for (int index = 0; index < 4; ++index) {
      const auto song = datasets::render_song(seed, index, 6 * datasets::kSynthRateHz);
      INFO(datasets::describe_song(seed, index).name);
      REQUIRE(song.names == std::vector<std::string>{"drums", "bass", "other", "vocals"});
      CHECK(datasets::sum_residual_db(song) == -std::numeric_limits<double>::infinity());
      float peak = 0;
      bool on_grid = true;
      for (int c = 0; c < 2; ++c) {
        for (const float x : song.mixture.channel(c)) {
          peak = std::max(peak, std::abs(x));
          on_grid = on_grid && x * 32768.0F == std::nearbyint(x * 32768.0F);
        }
      }
      CHECK(on_grid);
      CHECK(peak < 0.96F);
      for (const auto& stem : song.stems) {
        // Musical levels: -20.5 dBFS with 1.2 dB of spread over the sounding parts, less where a stem pauses.
        CHECK(level_db(stem) > -27);
        CHECK(level_db(stem) < -17);
      }
    }
  }
}

TEST_CASE("the voice pauses, drums and chords are stereo, songs vary", "[datasets]") {
  int pauses = 0;
  std::set<std::string> styles;
  std::set<int> tempi, keys;
  for (int index = 0; index < 12; ++index) {
    const auto info = datasets::describe_song(5, index);
    styles.insert(info.style);
    tempi.insert(info.tempo_bpm);
    keys.insert(info.key);
  }
  CHECK(styles.size() >= 3);
  CHECK(tempi.size() >= 6);
  CHECK(keys.size() >= 5);
  for (int index = 0; index < 3; ++index) {
    const auto song = datasets::render_song(5, index, kTwelveSeconds);
    const auto vocals = song.stems[3].view();
    for (std::int64_t t = 0; t + 4410 <= vocals.samples(); t += 4410) {
      if (audio::energy(vocals.slice(t, 4410)) < 1e-4 * audio::energy(vocals) / 120) ++pauses;
    }
    for (const std::size_t stem : {std::size_t{0}, std::size_t{2}}) {
      const auto left = song.stems[stem].channel(0), right = song.stems[stem].channel(1);
      CHECK_FALSE(std::equal(left.begin(), left.end(), right.begin()));
    }
  }
  CHECK(pauses >= 6);  // tenths of a second, over three songs
}

TEST_CASE("the synthetic data set is found by name and parameters", "[datasets]") {
  const auto set = datasets::open("synthetic");
  CHECK(set.name() == "synthetic");
  CHECK(set.layout() == datasets::Layout::synthetic);
  REQUIRE(set.tracks().size() == 4);
  CHECK(set.stems() == std::vector<std::string>{"drums", "bass", "other", "vocals"});
  CHECK(set.tracks()[0].seconds() == 12.0);
  CHECK(set.tracks()[0].subset == "test");
  CHECK(set.select({.subset = "test", .limit = 2}).size() == 2);

  const auto other = datasets::open("synthetic:songs=2,seconds=1.5,seed=9");
  CHECK(other.name() == "synthetic:seconds=1.5,seed=9");
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

TEST_CASE("bad parameters of synthetic data sets name the key", "[datasets]") {
  const auto open = [](const std::string& where) { return tests::error_of([&] { datasets::open(where); }); };
  for (const char* where : {"synthetic:songs=0", "synthetic:songs=x", "synthetic:seconds=-1", "synthetic:seconds=nan",
                            "synthetic:", "synthetic:songs=2,songs=3", "synthetic:seed=-1", "synthetic:songs=1e9"}) {
    INFO(where);
    REQUIRE(open(where));
    CHECK(open(where)->code() == Code::dataset);
  }
  REQUIRE(open("synthetic:sonqs=3"));
  CHECK(tests::mentions(*open("synthetic:sonqs=3"), "did you mean 'songs'?"));
}
