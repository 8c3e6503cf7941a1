// Draws and scores against tests/golden/synth.json: integers, hence equal everywhere.
#include <set>

#include "core/hash.h"
#include "core/json.h"
#include "core/text.h"
#include "datasets/synth/composer.h"
#include "datasets/synth/notes.h"
#include "datasets/synth/random.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::datasets::synth;

namespace {

constexpr std::int64_t kThirtySeconds = 30 * kRateHz;

const core::Value& golden() {
  static const core::Value value = core::read_json_file(tests::golden("synth.json"));
  return value;
}

std::uint32_t hex32(const core::Value& text) {
  return static_cast<std::uint32_t>(std::stoul(text.as_string(), nullptr, 16));
}

Split split_of(const std::string& name) {
  return name == "train" ? Split::train : name == "valid" ? Split::valid : Split::test;
}

std::string hash_of_score(std::uint64_t seed, Split split) {
  return core::sha256_hex(score_text(compose(seed, split, kThirtySeconds)));
}

}  // namespace

TEST_CASE("draws of composed songs are the golden ones", "[synth]") {
  for (const auto& vector : golden().at("philox").as_array()) {
    core::PhiloxBlock counter{};
    for (std::size_t i = 0; i < 4; ++i) counter[i] = hex32(vector.at("counter").as_array()[i]);
    const auto block = core::philox4x32(counter, std::stoull(vector.at("key").as_string(), nullptr, 16));
    for (std::size_t i = 0; i < 4; ++i) CHECK(block[i] == hex32(vector.at("block").as_array()[i]));
  }
  const core::Value& one = golden().at("seed_1");
  const Draws draws(1);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(draws.block({1, 0, 0})[i] == hex32(one.at("block_1_0_0").as_array()[i]));
  }
  CHECK(draws.below(100, {1, 0, 0}) == one.at("below_100").as_integer());
  CHECK(draws.bell({2, 0, 200}) == one.at("bell_2_0_200").as_integer());
  for (std::uint32_t i = 0; i < 8; ++i) {
    CHECK(draws.gaussian(64, {2, i, 200}) == one.at("gaussian_64_2_i_200").as_array()[i].as_integer());
  }
  CHECK(draws.uniform(0, 1, {21, 0, 0}) == one.at("uniform_21_0_0").as_real());
  CHECK(draws.normal({21, 5, 0}) == one.at("normal_21_5_0").as_real());
  std::vector<double> noise(4);
  draws.noise(noise, 40, 0);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(std::abs(noise[i] - one.at("noise_40_0").as_array()[i].as_real()) < 1e-15);
  }
}

TEST_CASE("scores and MIDI files of composed songs are the golden ones", "[synth]") {
  for (const auto& song : golden().at("scores").as_array()) {
    const Score score = compose(static_cast<std::uint64_t>(song.at("seed").as_integer()),
                                split_of(song.at("split").as_string()), kThirtySeconds);
    INFO(song.at("split").as_string() << " " << score.seed);
    CHECK(score.style == song.at("style").as_string());
    CHECK(score.bpm == song.at("bpm").as_integer());
    CHECK(key_text(score) == song.at("key").as_string());
    for (std::size_t i = 0; i < kParts; ++i) {
      CHECK(static_cast<std::int64_t>(score.parts[i].size()) == song.at("notes").as_array()[i].as_integer());
    }
    CHECK(static_cast<std::int64_t>(score.syllables.size()) == song.at("notes").as_array()[6].as_integer());
    CHECK(core::sha256_hex(score_text(score)) == song.at("sha256").as_string());
    if (const core::Value* bytes = song.find("midi_bytes"); bytes != nullptr) {
      const std::string midi = midi_file(score);
      CHECK(static_cast<std::int64_t>(midi.size()) == bytes->as_integer());
      CHECK(core::sha256_hex(midi) == song.at("midi_sha256").as_string());
    }
  }
  const auto lines = core::split(score_text(compose(1, Split::train, kThirtySeconds)), '\n');
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(lines[i + 1] == golden().at("first_lines_of_train_1").as_array()[i].as_string());
  }
}

TEST_CASE("whole default splits have the golden hashes, and no two songs are alike", "[synth]") {
  std::set<std::string> all;
  for (const auto& [split, count] : {std::pair{Split::train, 86}, {Split::valid, 14}, {Split::test, 50}}) {
    std::vector<std::string> hashes;
    for (int i = 0; i < count; ++i) {
      hashes.push_back(hash_of_score(first_seed(1, split) + static_cast<std::uint64_t>(i), split));
    }
    all.insert(hashes.begin(), hashes.end());
    CHECK(core::sha256_hex(core::join(hashes, "\n")) == golden().at("splits").at(split_name(split)).as_string());
  }
  CHECK(all.size() == 150);
}

TEST_CASE("splits share no keys, singers and programs", "[synth]") {
  std::set<int> keys[3];
  std::set<double> voices[3];
  std::set<std::pair<std::size_t, std::string>> programs[3];
  for (const Split split : {Split::train, Split::valid, Split::test}) {
    const auto s = static_cast<std::size_t>(split);
    for (std::uint64_t i = 0; i < 60; ++i) {
      const Score score = compose(first_seed(1, split) + i, split, kRateHz);
      keys[s].insert(score.key);
      voices[s].insert(singer_of(split, score.singer).corner_hz * 1000 + singer_of(split, score.singer).formant_scale);
      for (std::size_t part = 0; part < kParts; ++part) {
        // Kit 8 exists in both fonts, with different samples.
        if (part == 0 && program_text(score.programs[part]) == "8") continue;
        programs[s].insert({part, program_text(score.programs[part])});
      }
    }
  }
  const auto disjoint = [](const auto& a, const auto& b) {
    return std::none_of(a.begin(), a.end(), [&](const auto& x) { return b.contains(x); });
  };
  CHECK(keys[0] == keys[1]);
  CHECK(disjoint(keys[0], keys[2]));
  for (const auto& [a, b] : {std::pair{0, 1}, {0, 2}, {1, 2}}) {
    CHECK(disjoint(voices[a], voices[b]));
    CHECK(disjoint(programs[a], programs[b]));
  }
}

TEST_CASE("a longer song begins with the same notes", "[synth]") {
  for (const std::uint64_t seed : {std::uint64_t{3000}, std::uint64_t{3007}}) {
    const Score brief = compose(seed, Split::test, 5 * kRateHz), whole = compose(seed, Split::test, kThirtySeconds);
    for (std::size_t part = 0; part < kParts; ++part) {
      const auto& a = brief.parts[part];
      const auto& b = whole.parts[part];
      std::size_t equal = 0;
      while (equal < a.size() && equal < b.size() && a[equal] == b[equal]) ++equal;
      // What differs lies behind the end of the brief song.
      CHECK((equal == a.size() || brief.sample(a[equal].start) >= 5 * kRateHz));
    }
  }
  CHECK(tests::error_of([] { compose(1, Split::test, 0); }).code() == Code::invalid_argument);
}

TEST_CASE("tables of notes and syllables are cut to the excerpt", "[synth]") {
  const Score score = compose(1, Split::train, kThirtySeconds);
  const std::int64_t begin = 4 * kRateHz, samples = 7 * kRateHz;
  const core::Value notes = notes_table(score, begin, samples);
  std::size_t count = 0;
  for (const Part part : kAllParts) {
    for (const auto& note : notes.at(part_name(part)).as_array()) {
      ++count;
      CHECK(note.as_array()[0].as_integer() >= 0);
      CHECK(note.as_array()[0].as_integer() < note.as_array()[1].as_integer());
      CHECK(note.as_array()[1].as_integer() <= samples);
    }
  }
  CHECK(count > 100);
  // 124 bpm: a beat is 21338.7 samples.
  CHECK(notes.at("beats").size() == 14);
  CHECK(notes.at("beats").as_array()[0].as_integer() == 9 * 480 * 11025 / (2 * 124) - begin);
  CHECK(vocals_table(score, 0, kThirtySeconds).size() > 40);
}
