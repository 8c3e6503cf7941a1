// Beats, keys and their alignment, on clicks and tones whose answers are known and on the built-in songs.
#include "training/align.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/rng.h"
#include "datasets/dataset.h"
#include "datasets/synth/songs.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"
#include "training/examples.h"
#include "training/stretch.h"

namespace mss::training {
namespace {

constexpr int kRate = 22050;

/// Bursts of noise at `bpm`, the first at `first_s`, every second one weaker.
audio::AudioBuffer clicks(double bpm, double first_s, double seconds) {
  audio::AudioBuffer out(1, static_cast<std::int64_t>(seconds * kRate), kRate);
  core::Rng rng(3, 1);
  int n = 0;
  for (double at = first_s; at + 0.1 < seconds; at += 60 / bpm, ++n) {
    const auto begin = static_cast<std::size_t>(at * kRate);
    for (std::size_t i = 0; i < 1500; ++i) {
      const double decay = std::exp(-static_cast<double>(i) / 300);
      out.channel(0)[begin + i] += static_cast<float>((n % 2 == 0 ? 0.8 : 0.5) * decay * rng.uniform(-1, 1));
    }
  }
  return out;
}

audio::AudioBuffer bass_line(const std::vector<int>& midi, double seconds_each) {
  const auto each = static_cast<std::int64_t>(seconds_each * kRate);
  audio::AudioBuffer out(1, each * static_cast<std::int64_t>(midi.size()), kRate);
  for (std::size_t n = 0; n < midi.size(); ++n) {
    const double hertz = 440 * std::pow(2.0, (midi[n] - 69) / 12.0);
    for (std::int64_t i = 0; i < each; ++i) {
      const double phase = 2 * std::numbers::pi * hertz * static_cast<double>(i) / kRate;
      out.channel(0)[n * static_cast<std::size_t>(each) + static_cast<std::size_t>(i)] =
          static_cast<float>(0.5 * std::sin(phase) + 0.2 * std::sin(2 * phase) + 0.1 * std::sin(3 * phase));
    }
  }
  return out;
}

/// Share of `beats` inside [from, to] that have one of `others` within `near_s`.
double share_together(const std::vector<double>& beats, const std::vector<double>& others, double from, double to,
                      double near_s) {
  int count = 0, together = 0;
  for (const double beat : beats) {
    if (beat < from || beat > to) continue;
    ++count;
    together +=
        std::any_of(others.begin(), others.end(), [&](double o) { return std::abs(o - beat) <= near_s; }) ? 1 : 0;
  }
  return count == 0 ? 0 : static_cast<double>(together) / count;
}

}  // namespace

TEST_CASE("beats and tempo of clicks are found where they are", "[training]") {
  for (const double bpm : {75.0, 93.0, 120.0, 128.5, 160.0}) {
    const Rhythm found = find_beats(clicks(bpm, 0.4, 15));
    INFO(bpm << " against " << found.tempo_bpm);
    CHECK(found.tempo_bpm == Approx(bpm).epsilon(0.01));
    std::vector<double> truth;
    for (double at = 0.4; at < 15; at += 60 / bpm) truth.push_back(at);
    CHECK(share_together(found.beats_s, truth, 1, 14, 0.025) > 0.95);
    CHECK(share_together(truth, found.beats_s, 1, 14, 0.025) > 0.95);
  }
  CHECK(find_beats(audio::AudioBuffer(2, 10 * kRate, kRate)).tempo_bpm == 0);
  CHECK(find_beats(clicks(120, 0, 2)).tempo_bpm == 0);
}

TEST_CASE("keys are those of the bass notes, and the shift between them is found", "[training]") {
  const std::vector<int> line{36, 36, 43, 41, 36, 40, 36, 43};  // C C G F C E C G
  const KeyProfile c = key_profile(bass_line(line, 0.6));
  CHECK(c[0] == Approx(0.5).margin(0.06));
  CHECK(c[7] == Approx(0.25).margin(0.06));
  CHECK(c[4] == Approx(0.125).margin(0.05));
  for (int semitones = -5; semitones <= 6; ++semitones) {
    std::vector<int> moved;
    for (const int note : line) moved.push_back(note - semitones + 12);
    INFO(semitones);
    CHECK(key_shift(c, key_profile(bass_line(moved, 0.6))) == semitones);
  }
  const KeyProfile none = key_profile(audio::AudioBuffer(1, kRate, kRate));
  CHECK_FALSE(key_shift(c, none));
  CHECK_FALSE(key_shift(none, c));
}

TEST_CASE("tempos fit within their limit, also at half and double time", "[training]") {
  CHECK(tempo_factor(120, 100, 0.15) == std::nullopt);
  CHECK(*tempo_factor(120, 110, 0.15) == Approx(120.0 / 110));
  CHECK(*tempo_factor(120, 63, 0.15) == Approx(120.0 / 126));
  CHECK(*tempo_factor(70, 150, 0.15) == Approx(70.0 / 75));
  CHECK(*tempo_factor(50, 205, 0.15) == Approx(50.0 / 51.25));
  CHECK_FALSE(tempo_factor(0, 120, 0.15));
}

TEST_CASE("beats are shifted onto each other by the least that does it", "[training]") {
  std::vector<double> a, b;
  for (int i = 0; i < 20; ++i) {
    a.push_back(0.5 * i);
    b.push_back(0.5 * i + 0.13);
  }
  CHECK(beat_shift(a, b, 0, 6, 4) == Approx(-0.13).margin(0.003));
  CHECK(beat_shift(b, a, 0, 6, 4) == Approx(0.13).margin(0.003));
  CHECK(beat_shift(a, a, 0, 6, 4) == 0);
  CHECK(beat_shift(a, {}, 0, 6, 4) == 0);
}

TEST_CASE("aligned remixes bring songs together in beat and key", "[training]") {
  if (!can_stretch()) {
    WARN("SKIPPED: this build has no SoundTouch");
    return;
  }
  const tests::TempDir scratch;
  const datasets::Dataset songs = datasets::open("synthetic:songs=8,seconds=10,seed=5");
  const auto recipe = [](std::vector<std::string> overrides) {
    overrides.insert(overrides.begin(), {"data.crop_seconds=3", "data.examples_per_epoch=16",
                                         "augment.remix.probability=1", "validation.split=none", "budget.steps=1"});
    return parse_recipe("", "t.toml", overrides).recipe;
  };
  Cache cache(scratch / "cache", std::int64_t{1} << 30);
  const auto make = [&](const Recipe& r) {
    return make_training_source(r, songs, songs.tracks(), cache, 2, core::null_progress());
  };
  const auto source = make(recipe({"augment.remix.aligned=true"}));
  std::vector<Rhythm> rhythms;
  std::vector<KeyProfile> keys;
  for (const datasets::Track& track : songs.tracks()) {
    const datasets::TrackAudio audio = songs.load(track);
    rhythms.push_back(find_beats(datasets::Dataset::target(audio, "drums")));
    keys.push_back(key_profile(datasets::Dataset::target(audio, "bass")));
  }
  const auto index_of = [&](const std::string& name) {
    return static_cast<std::size_t>(std::find_if(songs.tracks().begin(), songs.tracks().end(),
                                                 [&](const datasets::Track& t) { return t.name == name; }) -
                                    songs.tracks().begin());
  };
  int matched = 0, unmatched = 0;
  double together = 0, apart = 0;
  for (std::int64_t i = 0; i < source->length(); ++i) {
    const core::Value drawn = source->example(0, i).drawn;
    const core::Value::Array& stems = drawn.at("stems").as_array();
    for (const core::Value& stem : stems) {
      if (stem.find("unmatched") != nullptr) ++unmatched;
      if (stem.find("tempo_percent") == nullptr) continue;
      const double tempo = stem.at("tempo_percent").as_real(), semitones = stem.at("semitones").as_real();
      CHECK(std::abs(tempo) <= 15);
      CHECK(std::abs(semitones) <= 3);
      // Its reference is one of the example's songs: beats fall together there.
      double best = 0;
      const std::size_t k = index_of(stem.at("track").as_string());
      const double factor = 1 + tempo / 100, begin = stem.at("start_samples").as_real() / 44100;
      std::vector<double> heard;
      for (const double beat : rhythms[k].beats_s) heard.push_back((beat - begin) / factor);
      bool found = false;
      for (const core::Value& other : stems) {
        if (other.find("tempo_percent") != nullptr) continue;
        const std::size_t r = index_of(other.at("track").as_string());
        if (r == k) continue;
        const auto fits = tempo_factor(rhythms[r].tempo_bpm, rhythms[k].tempo_bpm, 0.15);
        if (!fits || std::abs(*fits - factor) > 1e-9) continue;
        if (stem.at("stem").as_string() != "drums" && key_shift(keys[r], keys[k]) != static_cast<int>(semitones))
          continue;
        found = true;
        std::vector<double> reference;
        for (const double beat : rhythms[r].beats_s)
          reference.push_back(beat - other.at("start_samples").as_real() / 44100);
        // Either song may have twice as many beats.
        best = std::max(
            {best, share_together(reference, heard, 0.2, 2.8, 0.03), share_together(heard, reference, 0.2, 2.8, 0.03)});
        std::vector<double> elsewhere;
        for (const double beat : heard) elsewhere.push_back(beat + 0.2);
        apart += std::max(share_together(reference, elsewhere, 0.2, 2.8, 0.03),
                          share_together(elsewhere, reference, 0.2, 2.8, 0.03));
      }
      CHECK(found);
      ++matched;
      together += best;
    }
  }
  INFO(matched << " matched, " << unmatched << " not");
  REQUIRE(matched > 8);
  CHECK(together / matched > 0.8);
  CHECK(apart / matched < 0.5);
  tests::check_error(Code::config, {"augment.remix.aligned"}, [&] {
    (void)recipe({"augment.remix.aligned=true", "augment.shift_samples=10"});
  });
  tests::check_error(Code::config, {"drums and bass"}, [&] {
    (void)make(recipe({"augment.remix.aligned=true", "data.stems=vocals,other"}));
  });
}

TEST_CASE("the tempo of the built-in songs is heard, at its own speed or half or twice that", "[training]") {
  int right = 0;
  constexpr int kSongs = 5;
  std::string table;
  for (int i = 0; i < kSongs; ++i) {
    constexpr std::int64_t kLength = 12 * 44100;
    const double truth = datasets::synth::builtin_score(1, i, kLength).bpm;
    const datasets::synth::RenderedSong song = datasets::synth::render_song(1, i, kLength);
    REQUIRE(song.names[0] == "drums");
    const Rhythm found = find_beats(song.stems[0]);
    const auto factor = tempo_factor(truth, found.tempo_bpm, 0.02);
    table += std::to_string(truth) + " against " + std::to_string(found.tempo_bpm) + "\n";
    right += factor ? 1 : 0;
  }
  INFO(table);
  CHECK(right >= kSongs - 1);
}

}  // namespace mss::training
