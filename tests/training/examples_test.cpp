// What an example is made of: each augmentation with what it must do, and the same examples whoever makes them.
#include "training/examples.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/hash.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"
#include "tests/training/tagged.h"
#include "training/augment.h"
#include "training/stretch.h"

namespace mss::training {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kPlenty = std::int64_t{1} << 30;
constexpr std::int64_t kCrop = 400;

/// The tagged set of `tracks` songs, its cache, and recipes over it.
class TaggedWorld {
 public:
  explicit TaggedWorld(int tracks, std::int64_t samples = 4000) : cache_(scratch_ / "cache", kPlenty) {
    tests::write_tagged_set(scratch_ / "set", tracks, samples);
    set_ = datasets::open((scratch_ / "set").string());
  }
  static Recipe recipe(std::vector<std::string> overrides) {
    overrides.emplace_back("data.crop_samples=" + std::to_string(kCrop));
    overrides.emplace_back("data.rate_hz=" + std::to_string(tests::kTaggedRate));
    overrides.emplace_back("validation.split=none");
    overrides.emplace_back("budget.steps=1");
    return parse_recipe("", "test.toml", overrides).recipe;
  }
  std::shared_ptr<const ExampleSource> source(const std::vector<std::string>& overrides) {
    return source_of(recipe(overrides));
  }
  std::shared_ptr<const ExampleSource> source_of(const Recipe& r) {
    return make_training_source(r, set_, choose_tracks(set_, r).training, cache_, 2, core::null_progress());
  }
  const datasets::Dataset& set() const { return set_; }
  fs::path path(const std::string& name) const { return scratch_ / name; }
  Cache& cache() { return cache_; }

 private:
  tests::TempDir scratch_;
  Cache cache_;
  datasets::Dataset set_;
};

float at(const Example& e, std::int64_t s, std::int64_t c, std::int64_t t) {
  return e.stems[static_cast<std::size_t>((s * e.channels + c) * e.samples + t)];
}

/// mixture = ((s0 + s1) + s2) + …, to the last bit.
bool adds_up(const Example& e) {
  for (std::int64_t c = 0; c < e.channels; ++c) {
    for (std::int64_t t = 0; t < e.samples; ++t) {
      float sum = at(e, 0, c, t);
      for (std::int64_t s = 1; s < e.sources; ++s) sum += at(e, s, c, t);
      if (sum != e.mixture[static_cast<std::size_t>(c * e.samples + t)]) return false;
    }
  }
  return true;
}

/// The stem's samples are those that `drawn` names, times `factor`.
bool is_as_drawn(const Example& e, std::int64_t s, double factor) {
  const core::Value& drawn = e.drawn.at("stems").as_array()[static_cast<std::size_t>(s)];
  const int track = std::stoi(drawn.at("track").as_string().substr(6));
  std::int64_t start = drawn.at("start_samples").as_integer();
  if (const core::Value* shift = drawn.find("shift_samples")) start += shift->as_integer();
  for (std::int64_t t = 0; t < e.samples; ++t) {
    for (int c = 0; c < 2; ++c) {
      if (at(e, s, c, t) != tests::tagged(track, static_cast<int>(s), c, start + t) * static_cast<float>(factor))
        return false;
    }
  }
  return true;
}

std::string track_of(const Example& e, std::int64_t s) {
  return e.drawn.at("stems").as_array()[static_cast<std::size_t>(s)].at("track").as_string();
}

/// Is `count` of `n` tries what probability `p` gives, within four standard deviations?
bool plausible(std::int64_t count, std::int64_t n, double p) {
  return std::abs(static_cast<double>(count) - p * static_cast<double>(n)) <=
         4 * std::sqrt(p * (1 - p) * static_cast<double>(n)) + 1e-9;
}

std::string digest(const ExampleSource& source, std::int64_t epochs, int workers, int batch) {
  Loader loader(std::shared_ptr<const ExampleSource>(&source, [](const ExampleSource*) {}),
                {.batch = batch, .workers = workers, .queue = 3, .epochs = epochs});
  core::Sha256 hash;
  while (std::optional<Batch> b = loader.next()) {
    for (std::int64_t i = 0; i < b->count; ++i) {
      const auto plane = static_cast<std::size_t>(b->channels * b->samples);
      const auto item = static_cast<std::size_t>(i);
      hash.update(b->stems.data() + item * plane * static_cast<std::size_t>(b->sources),
                  plane * static_cast<std::size_t>(b->sources) * sizeof(float));
      hash.update(b->mixture.data() + item * plane, plane * sizeof(float));
    }
    loader.recycle(std::move(*b));
  }
  return hash.hex_digest();
}

}  // namespace

TEST_CASE("an example is a place of a track, and its mixture the sum of its stems", "[training]") {
  TaggedWorld world(5);
  const auto source = world.source({});
  CHECK(source->length() == 5 * 64);
  CHECK(source->stems() == tests::tagged_stems());
  std::set<std::string> tracks;
  std::set<std::int64_t> starts;
  for (std::int64_t i = 0; i < source->length(); ++i) {
    const Example e = source->example(0, i);
    REQUIRE(adds_up(e));
    for (std::int64_t s = 0; s < 4; ++s) {
      REQUIRE(is_as_drawn(e, s, 1));
      REQUIRE(track_of(e, s) == track_of(e, 0));
    }
    const std::int64_t start = e.drawn.at("stems").as_array()[0].at("start_samples").as_integer();
    REQUIRE((start >= 0 && start <= 4000 + 160 * 4 - kCrop));
    tracks.insert(track_of(e, 0));
    starts.insert(start);
  }
  CHECK(tracks.size() == 5);
  CHECK(starts.size() > 200);
  const Example first = source->example(0, 0);
  CHECK(source->example(0, 0).stems == first.stems);
  CHECK(source->example(1, 0).stems != first.stems);
  CHECK(world.source({"seed=43"})->example(0, 0).stems != first.stems);
  const core::Value provenance = source->provenance();
  CHECK(provenance.at("tracks").size() == 5);
  CHECK(provenance.at("tracks").as_array()[0].at("sha256").as_string() == world.set().sha256(world.set().tracks()[0]));
}

TEST_CASE("examples are the same for 1, 2 and 5 workers and any batch, with everything switched on", "[training]") {
  TaggedWorld world(6, 9000);
  fs::create_directories(world.path("talk"));
  for (int i = 0; i < 3; ++i) {
    audio::AudioBuffer speech(1, 300 + 70 * i, tests::kTaggedRate);
    for (std::size_t t = 0; t < static_cast<std::size_t>(speech.samples()); ++t) {
      speech.channel(0)[t] = std::sin(0.1F * static_cast<float>((i + 1) * static_cast<int>(t))) * 0.3F;
    }
    audio::write_file(world.path("talk") / (std::to_string(i) + ".wav"), speech);
  }
  std::vector<std::string> all{"data.examples_per_epoch=40",
                               "augment.remix.probability=0.7",
                               "augment.remix.distinct_songs=true",
                               "augment.gain.probability=0.9",
                               "augment.gain.decibels=true",
                               "augment.gain.low=-10",
                               "augment.gain.high=10",
                               "augment.drop_probability=0.1",
                               "augment.channel_swap_probability=0.5",
                               "augment.sign_flip_probability=0.5",
                               "augment.shift_samples=100",
                               "augment.circular_shift_probability=0.5",
                               "augment.peak=true",
                               "augment.speech.probability=0.3",
                               "augment.speech.corpus=" + world.path("talk").string()};
  if (can_stretch()) all.emplace_back("augment.stretch.probability=0.3");
  const auto source = world.source(all);
  const std::string one = digest(*source, 2, 1, 4);
  CHECK(digest(*source, 2, 2, 4) == one);
  CHECK(digest(*source, 2, 5, 4) == one);
  CHECK(digest(*source, 2, 3, 8) == one);
  CHECK(digest(*world.source(all), 2, 2, 10) == one);
  for (std::int64_t i = 0; i < source->length(); ++i) REQUIRE(adds_up(source->example(0, i)));
}

TEST_CASE("remixing takes every source from a song of its own, at its rate", "[training]") {
  TaggedWorld world(8);
  constexpr std::int64_t kExamples = 800;
  const auto source = world.source({"data.examples_per_epoch=" + std::to_string(kExamples),
                                    "augment.remix.probability=0.6", "augment.remix.distinct_songs=true"});
  std::int64_t remixed = 0;
  for (std::int64_t i = 0; i < kExamples; ++i) {
    const Example e = source->example(0, i);
    std::set<std::string> songs;
    for (std::int64_t s = 0; s < 4; ++s) {
      REQUIRE(is_as_drawn(e, s, 1));
      songs.insert(track_of(e, s));
    }
    const bool is_remixed = e.drawn.at("remixed").as_bool();
    REQUIRE(songs.size() == (is_remixed ? 4 : 1));
    remixed += is_remixed ? 1 : 0;
  }
  CHECK(plausible(remixed, kExamples, 0.6));

  // Independent draws (Open-Unmix): two sources share a song in one of eight cases. The kept stem stays at its place.
  const auto open =
      world.source({"data.examples_per_epoch=" + std::to_string(kExamples), "augment.remix.probability=1"});
  const auto keep = world.source({"data.examples_per_epoch=" + std::to_string(kExamples), "augment.remix.probability=1",
                                  "augment.remix.keep=vocals", "augment.remix.distinct_songs=true"});
  const auto plain = world.source({"data.examples_per_epoch=" + std::to_string(kExamples)});
  std::int64_t together = 0;
  for (std::int64_t i = 0; i < kExamples; ++i) {
    const Example e = open->example(0, i);
    together += track_of(e, 0) == track_of(e, 3) ? 1 : 0;
    const Example kept = keep->example(0, i), own = plain->example(0, i);
    REQUIRE(std::equal(kept.stems.end() - 2 * kCrop, kept.stems.end(), own.stems.end() - 2 * kCrop));
    for (std::int64_t s = 0; s < 3; ++s) REQUIRE(track_of(kept, s) != track_of(kept, 3));
  }
  CHECK(plausible(together, kExamples, 1.0 / 8));
  // Fewer songs than sources: as many different ones as there are.
  TaggedWorld small(2);
  const Example e = small.source({"augment.remix.probability=1", "augment.remix.distinct_songs=true"})->example(0, 0);
  std::set<std::string> songs;
  for (std::int64_t s = 0; s < 4; ++s) songs.insert(track_of(e, s));
  CHECK(songs.size() == 2);
}

TEST_CASE("Demucs' remix permutes each source inside groups of four", "[training]") {
  TaggedWorld world(8);
  const std::vector<std::string> base{"data.batch=8", "data.examples_per_epoch=403",
                                      "augment.sign_flip_probability=0.5", "augment.gain.probability=1"};
  const auto plain = world.source(base);
  std::vector<std::string> with = base;
  with.emplace_back("augment.remix.probability=1");
  with.emplace_back("augment.remix.group=4");
  const auto mixed = world.source(with);
  CHECK(mixed->length() == 400);
  std::int64_t kept_pairs = 0, groups = 0;
  for (std::int64_t first = 0; first < 400; first += 4, ++groups) {
    std::vector<Example> before, after;
    for (std::int64_t i = 0; i < 4; ++i) {
      before.push_back(plain->example(2, first + i));
      after.push_back(mixed->example(2, first + i));
      REQUIRE(adds_up(after.back()));
    }
    std::vector<std::vector<int>> from(4);
    for (std::int64_t s = 0; s < 4; ++s) {
      std::set<int> used;
      for (const Example& e : after) {
        const std::int64_t plane = 2 * kCrop;
        int found = -1;
        for (int j = 0; j < 4; ++j) {
          const auto& other = before[static_cast<std::size_t>(j)].stems;
          if (std::equal(e.stems.begin() + s * plane, e.stems.begin() + (s + 1) * plane, other.begin() + s * plane))
            found = j;
        }
        REQUIRE(found >= 0);
        used.insert(found);
        from[static_cast<std::size_t>(s)].push_back(found);
      }
      REQUIRE(used.size() == 4);  // a permutation: with its own gain and sign, no source is lost or doubled
    }
    for (std::size_t i = 0; i < 4; ++i) kept_pairs += from[0][i] == from[3][i] ? 1 : 0;
  }
  // Two sources of one item stay together in one of four cases.
  CHECK(plausible(kept_pairs, groups * 4, 0.25));
}

TEST_CASE("gains lie in their range, in decibels or not, for each source or for all", "[training]") {
  TaggedWorld world(3);
  const auto gains = [&](std::vector<std::string> overrides, bool joint, double low, double high, double share) {
    overrides.emplace_back("data.examples_per_epoch=500");
    const auto source = world.source(overrides);
    double smallest = 1e9, largest = 0;
    std::int64_t scaled = 0;
    for (std::int64_t i = 0; i < 500; ++i) {
      const Example e = source->example(0, i);
      std::set<double> different;
      for (std::int64_t s = 0; s < 4; ++s) {
        const double gain = e.drawn.at("stems").as_array()[static_cast<std::size_t>(s)].at("gain").as_real();
        REQUIRE(is_as_drawn(e, s, gain));
        different.insert(gain);
        if (gain == 1) continue;
        smallest = std::min(smallest, gain);
        largest = std::max(largest, gain);
      }
      REQUIRE(adds_up(e));
      if (different != std::set<double>{1.0}) {
        ++scaled;
        REQUIRE(different.size() == (joint ? 1 : 4));
      }
    }
    CHECK(smallest >= low);
    CHECK(largest <= high);
    CHECK(smallest < low + 0.05 * (high - low));
    CHECK(largest > high - 0.05 * (high - low));
    CHECK(plausible(scaled, 500, share));
  };
  gains({"augment.gain.probability=1"}, false, 0.25, 1.25, 1);
  gains({"augment.gain.probability=0.5", "augment.gain.decibels=true", "augment.gain.low=-10", "augment.gain.high=10"},
        false, amplitude(-10), amplitude(10), 0.5);
  gains({"augment.gain.probability=0.5", "augment.gain.joint=true"}, true, 0.25, 1.25, 0.5);
  // remixed_only: as rare as remixing.
  gains({"augment.gain.probability=1", "augment.gain.remixed_only=true", "augment.remix.probability=0.4"}, false, 0.25,
        1.25, 0.4);
}

TEST_CASE("signs, channels, drops and shifts happen to each source at their rates", "[training]") {
  TaggedWorld world(3);
  constexpr std::int64_t kExamples = 400;
  const auto source = world.source({"data.examples_per_epoch=400", "augment.sign_flip_probability=0.5",
                                    "augment.channel_swap_probability=0.3", "augment.drop_probability=0.1",
                                    "augment.shift_samples=50"});
  std::int64_t flipped = 0, swapped = 0, dropped = 0, different_shifts = 0;
  std::int64_t largest_shift = 0;
  for (std::int64_t i = 0; i < kExamples; ++i) {
    const Example e = source->example(3, i);
    REQUIRE(adds_up(e));
    std::set<std::int64_t> shifts;
    for (std::int64_t s = 0; s < 4; ++s) {
      const core::Value& drawn = e.drawn.at("stems").as_array()[static_cast<std::size_t>(s)];
      const bool flip = drawn.find("sign") != nullptr, swap = drawn.find("channels_swapped") != nullptr;
      const std::int64_t shift = drawn.find("shift_samples") != nullptr ? drawn.at("shift_samples").as_integer() : 0;
      const std::int64_t start = drawn.at("start_samples").as_integer();
      const int track = std::stoi(drawn.at("track").as_string().substr(6));
      shifts.insert(shift);
      largest_shift = std::max(largest_shift, shift);
      if (drawn.find("dropped") != nullptr) {
        ++dropped;
        for (std::int64_t t = 0; t < kCrop; ++t) REQUIRE((at(e, s, 0, t) == 0 && at(e, s, 1, t) == 0));
        continue;
      }
      flipped += flip ? 1 : 0;
      swapped += swap ? 1 : 0;
      for (std::int64_t t = 0; t < kCrop; ++t) {
        for (int c = 0; c < 2; ++c) {
          const float expected = tests::tagged(track, static_cast<int>(s), swap ? 1 - c : c, start + shift + t);
          REQUIRE(at(e, s, c, t) == (flip ? -expected : expected));
        }
      }
    }
    different_shifts += shifts.size() > 1 ? 1 : 0;
  }
  CHECK(plausible(dropped, 4 * kExamples, 0.1));
  CHECK(plausible(flipped, 4 * kExamples - dropped, 0.5));
  CHECK(plausible(swapped, 4 * kExamples - dropped, 0.3));
  CHECK(largest_shift == 49);
  CHECK(different_shifts > kExamples * 9 / 10);
  const auto together = world.source({"augment.shift_samples=50", "augment.shift_together=true"});
  for (std::int64_t i = 0; i < 50; ++i) {
    const Example e = together->example(0, i);
    for (std::int64_t s = 1; s < 4; ++s) {
      for (std::int64_t t = 0; t < kCrop; ++t) {
        REQUIRE(tests::tag_of(at(e, s, 0, t)).phase == tests::tag_of(at(e, 0, 0, t)).phase);
      }
    }
  }
}

TEST_CASE("the accompaniment turns in time against the voice", "[training]") {
  TaggedWorld world(3);
  const auto source = world.source({"augment.circular_shift_probability=0.8", "data.examples_per_epoch=200"});
  const auto plain = world.source({"data.examples_per_epoch=200"});
  std::int64_t turned = 0;
  for (std::int64_t i = 0; i < 200; ++i) {
    const Example e = source->example(0, i), before = plain->example(0, i);
    REQUIRE(adds_up(e));
    const core::Value* by = e.drawn.at("stems").as_array()[0].find("circular_shift_samples");
    const std::int64_t turn = by == nullptr ? 0 : by->as_integer();
    turned += turn != 0 ? 1 : 0;
    for (std::int64_t s = 0; s < 4; ++s) {
      for (std::int64_t t = 0; t < kCrop; ++t) {
        REQUIRE(at(e, s, 1, t) == at(before, s, 1, s == 3 ? t : (t + turn) % kCrop));
      }
    }
  }
  CHECK(plausible(turned, 200, 0.8));
}

TEST_CASE("a peak of one, and silence stays silence", "[training]") {
  TaggedWorld world(3);
  const auto source = world.source({"augment.peak=true", "augment.gain.probability=1", "augment.gain.high=40"});
  for (std::int64_t i = 0; i < 50; ++i) {
    const Example e = source->example(0, i);
    REQUIRE(adds_up(e));
    float peak = 0;
    for (const float x : e.mixture) peak = std::max(peak, std::abs(x));
    for (const float x : e.stems) peak = std::max(peak, std::abs(x));
    CHECK(peak == Approx(1).epsilon(1e-6));
  }
  const Example silent = world.source({"augment.peak=true", "augment.drop_probability=1"})->example(0, 0);
  for (const float x : silent.mixture) REQUIRE(x == 0);
}

TEST_CASE("speech takes the voice's place at the wanted level; the thesis's target is louder", "[training]") {
  TaggedWorld world(3);
  fs::create_directories(world.path("talk"));
  audio::AudioBuffer speech(1, 150, tests::kTaggedRate);
  for (std::size_t t = 0; t < 150; ++t) speech.channel(0)[t] = 0.25F * std::sin(0.3F * static_cast<float>(t));
  audio::write_file(world.path("talk") / "a.wav", speech);
  audio::write_file(world.path("talk") / "silent.wav", audio::AudioBuffer(1, 100, tests::kTaggedRate));
  std::vector<std::string> overrides{"augment.speech.probability=1", "augment.speech.low_db=-5",
                                     "augment.speech.high_db=15",
                                     "augment.speech.corpus=" + world.path("talk").string()};
  const auto correct = world.source(overrides);
  overrides.emplace_back("augment.speech.target=thesis");
  const auto thesis = world.source(overrides);
  double low = 99, high = -99;
  for (std::int64_t i = 0; i < 60; ++i) {
    const Example e = correct->example(0, i), wrong = thesis->example(0, i);
    REQUIRE(adds_up(e));
    const core::Value& said = e.drawn.at("speech");
    CHECK(said.at("files").size() == 3);  // 150 + 150 + 100 samples
    double voice = 0, rest = 0;
    float peak = 0, speech_peak = 0;
    for (std::int64_t c = 0; c < 2; ++c) {
      for (std::int64_t t = 0; t < kCrop; ++t) {
        const double others = static_cast<double>(at(e, 0, c, t)) + at(e, 1, c, t) + at(e, 2, c, t);
        voice += static_cast<double>(at(e, 3, c, t)) * at(e, 3, c, t);
        rest += others * others;
        peak = std::max(peak, std::abs(e.mixture[static_cast<std::size_t>(c * kCrop + t)]));
        speech_peak = std::max(speech_peak, std::abs(at(wrong, 3, c, t)));
      }
    }
    const double snr = said.at("snr_db").as_real();
    CHECK(10 * std::log10(voice / rest) == Approx(snr).margin(0.01));
    low = std::min(low, snr);
    high = std::max(high, snr);
    CHECK(peak == Approx(1).epsilon(1e-6));
    // The thesis divides the mixture alone: its target keeps the corpus's own peak.
    CHECK(speech_peak == 1.0F);
    CHECK_FALSE(adds_up(wrong));
  }
  CHECK(low < -3);
  CHECK(high > 13);
  // A silent accompaniment has no level: the example stays as it was.
  overrides.pop_back();
  overrides.emplace_back("augment.drop_probability=1");
  CHECK(world.source(overrides)->example(0, 0).drawn.at("speech").is_string());
}

TEST_CASE("the grid visits every window once an epoch, in another order each time", "[training]") {
  TaggedWorld world(3, 1000);
  const auto source = world.source({"data.sampling=grid", "data.stride_samples=150"});
  // 1000, 1160, 1320 samples: ceil((n - 400) / 150) + 1 windows.
  CHECK(source->length() == 5 + 7 + 8);
  std::vector<std::string> orders;
  for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
    std::set<std::pair<std::string, std::int64_t>> places;
    std::string order;
    for (std::int64_t i = 0; i < source->length(); ++i) {
      const Example e = source->example(epoch, i);
      const std::int64_t start = e.drawn.at("stems").as_array()[0].at("start_samples").as_integer();
      CHECK(start % 150 == 0);
      places.insert({track_of(e, 0), start});
      order += track_of(e, 0) + std::to_string(start) + " ";
      if (track_of(e, 0) == "Track 00" && start == 600) {
        CHECK(at(e, 0, 0, 399) == tests::tagged(0, 0, 0, 999));
      }
    }
    CHECK(places.size() == 20);
    orders.push_back(order);
  }
  CHECK(orders[0] != orders[1]);
  const auto twice = world.source({"data.sampling=grid", "data.stride_samples=150", "data.examples_per_epoch=40"});
  std::map<std::string, int> visits;
  for (std::int64_t i = 0; i < 40; ++i) {
    const Example e = twice->example(0, i);
    ++visits[track_of(e, 0) + std::to_string(e.drawn.at("stems").as_array()[0].at("start_samples").as_integer())];
  }
  CHECK(visits.size() == 20);
  for (const auto& [place, count] : visits) CHECK(count == 2);
}

TEST_CASE("active segments are drawn from each stem's own list", "[training]") {
  const tests::TempDir scratch;
  // Stem a sounds in the first half only, stem b in the second.
  constexpr std::int64_t kLength = 8000;
  const fs::path place = scratch / "set" / "train" / "Song";
  fs::create_directories(place);
  audio::AudioBuffer a(2, kLength, 1000), b(2, kLength, 1000), sum(2, kLength, 1000);
  for (std::size_t t = 0; t < kLength; ++t) {
    for (int c = 0; c < 2; ++c) {
      a.channel(c)[t] = t < kLength / 2 ? 0.25F * std::sin(0.5F * static_cast<float>(t)) : 0;
      b.channel(c)[t] = t < kLength / 2 ? 0 : 0.25F * std::sin(0.7F * static_cast<float>(t));
      sum.channel(c)[t] = a.channel(c)[t] + b.channel(c)[t];
    }
  }
  audio::write_file(place / "a.wav", a);
  audio::write_file(place / "b.wav", b);
  audio::write_file(place / "mixture.wav", sum);
  const datasets::Dataset set = datasets::open((scratch / "set").string());
  Cache cache(scratch / "cache", kPlenty);
  const Recipe r = parse_recipe("", "t.toml",
                                {"data.rate_hz=1000", "data.crop_samples=500", "data.sampling=activity",
                                 "data.activity=amanteur", "data.activity_seconds=1", "augment.remix.probability=1",
                                 "validation.split=none", "budget.steps=1"})
                       .recipe;
  const auto source = make_training_source(r, set, choose_tracks(set, r).training, cache, 1, core::null_progress());
  const core::Value provenance = source->provenance();
  CHECK(provenance.at("active_segments").at("a").as_integer() == 7);
  for (std::int64_t i = 0; i < source->length(); ++i) {
    const core::Value drawn = source->example(0, i).drawn;
    CHECK(drawn.at("stems").as_array()[0].at("start_samples").as_integer() <= 3500);
    CHECK(drawn.at("stems").as_array()[1].at("start_samples").as_integer() >= 3500);
  }
}

TEST_CASE("tracks are normalised by their own mixture, as Demucs does", "[training]") {
  TaggedWorld world(2);
  const auto plain = world.source({}), normalised = world.source({"data.normalisation=track"});
  CacheFormat format{.rate_hz = tests::kTaggedRate, .channels = 2, .stems = tests::tagged_stems()};
  for (std::int64_t i = 0; i < 10; ++i) {
    const Example a = plain->example(0, i), b = normalised->example(0, i);
    const int track = std::stoi(track_of(a, 0).substr(6));
    const CachedTrack cached =
        world.cache().open(world.set(), world.set().tracks()[static_cast<std::size_t>(track)], format);
    const auto mean = static_cast<float>(cached.mixture_mean()), deviation = static_cast<float>(cached.mixture_std());
    for (std::size_t k = 0; k < a.stems.size(); ++k) REQUIRE(b.stems[k] == (a.stems[k] - mean) / deviation);
    REQUIRE(adds_up(b));
  }
}

TEST_CASE("external stems come in at their rate and are named with their licence", "[training]") {
  TaggedWorld world(4);
  fs::create_directories(world.path("singers") / "deep");
  audio::AudioBuffer voice(1, 900, tests::kTaggedRate);
  for (std::size_t t = 0; t < 900; ++t) voice.channel(0)[t] = -0.5F;
  audio::write_file(world.path("singers") / "deep" / "alto.wav", voice);
  Recipe r = TaggedWorld::recipe({"augment.remix.probability=0.8", "data.examples_per_epoch=500"});
  r.data.external.push_back({world.path("singers").string(), "vocals", "CC0", 0.25});
  const auto source = world.source_of(r);
  std::int64_t outside = 0, remixed = 0;
  for (std::int64_t i = 0; i < 500; ++i) {
    const Example e = source->example(0, i);
    remixed += e.drawn.at("remixed").as_bool() ? 1 : 0;
    if (e.drawn.at("stems").as_array()[3].find("external") == nullptr) continue;
    ++outside;
    CHECK(track_of(e, 3) == "alto.wav");
    for (std::int64_t t = 0; t < kCrop; ++t) REQUIRE((at(e, 3, 0, t) == -0.5F && at(e, 3, 1, t) == -0.5F));
    REQUIRE(adds_up(e));
  }
  CHECK(plausible(remixed, 500, 0.8));
  CHECK(plausible(outside, remixed, 0.25));
  const core::Value folder = source->provenance().at("external").as_array().at(0);
  CHECK(folder.at("licence").as_string() == "CC0");
  CHECK(folder.at("files").as_integer() == 1);
  CHECK(folder.at("sha256").as_string().size() == 64);
}

TEST_CASE("pitch and tempo are the same for all sources of a track", "[training]") {
  if (!can_stretch()) {
    tests::check_error(Code::unsupported, {"SoundTouch"}, [] {
      TaggedWorld world(1);
      (void)world.source({"augment.stretch.probability=1"});
    });
    WARN("SKIPPED: this build has no SoundTouch");
    return;
  }
  TaggedWorld world(3, 9000);
  const auto source = world.source({"augment.stretch.probability=0.5", "data.examples_per_epoch=120"});
  const auto plain = world.source({"data.examples_per_epoch=120"});
  std::int64_t stretched = 0;
  std::set<double> semitones;
  for (std::int64_t i = 0; i < 120; ++i) {
    const Example e = source->example(0, i);
    REQUIRE(adds_up(e));
    const core::Value::Array& stems = e.drawn.at("stems").as_array();
    if (stems[0].find("semitones") == nullptr) {
      for (std::int64_t s = 0; s < 4; ++s) REQUIRE(is_as_drawn(e, s, 1));
      continue;
    }
    ++stretched;
    semitones.insert(stems[0].at("semitones").as_real());
    CHECK(std::abs(stems[0].at("tempo_percent").as_real()) <= 12);
    for (std::size_t s = 1; s < 4; ++s) {
      CHECK(stems[s].at("semitones") == stems[0].at("semitones"));
      CHECK(stems[s].at("tempo_percent") == stems[0].at("tempo_percent"));
    }
  }
  CHECK(plausible(stretched, 120, 0.5));
  CHECK(semitones == std::set<double>{-2, -1, 0, 1, 2});
}

TEST_CASE("static copies are further tracks of the same song", "[training]") {
  TaggedWorld world(3);
  const auto source = world.source({"augment.stretch.static_copies=shift+0.1,speed1.1", "augment.remix.probability=1",
                                    "augment.remix.distinct_songs=true"});
  CHECK(source->length() == 9 * 64);
  std::set<std::string> names;
  for (std::int64_t i = 0; i < source->length(); ++i) {
    const Example e = source->example(0, i);
    std::set<std::string> songs;
    for (std::int64_t s = 0; s < 4; ++s) {
      names.insert(track_of(e, s));
      songs.insert(track_of(e, s).substr(0, 8));
    }
    REQUIRE(songs.size() == 3);
  }
  CHECK(names.size() == 9);
  CHECK(names.count("Track 01 [speed1.1]") == 1);
  CHECK(source->provenance().at("tracks").size() == 3);
}

TEST_CASE("validation pieces cover the tracks from front to back with the tracks' own mixtures", "[training]") {
  TaggedWorld world(2, 1000);  // 1000 and 1160 samples
  const Recipe r = TaggedWorld::recipe({"augment.gain.probability=1", "augment.remix.probability=1"});
  const auto source =
      make_validation_source(r, world.set(), world.set().tracks(), world.cache(), 1, core::null_progress());
  // 1000: 0, 400, 800 (200 left: half a piece); 1160: 0, 400, 800 (360 left).
  REQUIRE(source->length() == 6);
  for (std::int64_t i = 0; i < 6; ++i) {
    const Example e = source->example(7, i);
    const int track = static_cast<int>(i / 3);
    const std::int64_t start = i % 3 * 400, length = 1000 + 160 * track;
    for (std::int64_t t = 0; t < kCrop; ++t) {
      const bool inside = start + t < length;
      float sum = 0;
      for (int s = 0; s < 4; ++s) {
        const float x = inside ? tests::tagged(track, s, 1, start + t) : 0.0F;
        REQUIRE(at(e, s, 1, t) == x);
        sum += x;
      }
      REQUIRE(e.mixture[static_cast<std::size_t>(kCrop + t)] == sum);
    }
  }
  Recipe full = r;
  full.validation.crop = ValidationCrop::full;
  const auto whole =
      make_validation_source(full, world.set(), world.set().tracks(), world.cache(), 1, core::null_progress());
  CHECK(whole->length() == 2);
  CHECK(whole->samples(1) == 1160);
  Loader loader(whole, {.batch = 1, .workers = 2, .keep_last = true, .epochs = 1});
  CHECK(loader.next()->samples == 1000);
  CHECK(loader.next()->samples == 1160);
  CHECK_FALSE(loader.next());
  Loader uneven(whole, {.batch = 2, .workers = 1});
  tests::check_error(Code::invalid_argument, {"different lengths"}, [&] { (void)uneven.next(); });
  Recipe few = r;
  few.validation.examples = 3;
  CHECK(make_validation_source(few, world.set(), world.set().tracks(), world.cache(), 1, core::null_progress())
            ->length() == 3);
}

TEST_CASE("tracks are chosen as the recipe says", "[training]") {
  const auto recipe = [](std::vector<std::string> overrides) {
    overrides.insert(overrides.begin(), {"budget.steps=1", "data.crop_seconds=0.5"});
    return parse_recipe("", "t.toml", overrides).recipe;
  };
  const datasets::Dataset songs = datasets::open("synthetic:songs=10,seconds=1");
  const TrainingTracks hash = choose_tracks(songs, recipe({}));
  CHECK(hash.validation.size() == 3);
  CHECK(hash.training.size() == 7);
  CHECK(tests::contains(hash.how, "hash"));
  std::set<std::string> names;
  for (const auto& t : hash.training) names.insert(t.name);
  for (const auto& t : hash.validation) CHECK(names.insert(t.name).second);
  // Tracks more or less do not move the others between the sets more than they must.
  CHECK(choose_tracks(songs, recipe({"validation.split=hash", "validation.hash_tracks=2"})).validation.size() == 2);
  const std::string name = songs.tracks()[4].name;
  const TrainingTracks named =
      choose_tracks(songs, recipe({"validation.split=names", "validation.tracks=[\"" + name + "\"]"}));
  REQUIRE(named.validation.size() == 1);
  CHECK(named.validation[0].name == name);
  CHECK(choose_tracks(songs, recipe({"validation.split=none"})).training.size() == 10);
  const TrainingTracks all = choose_tracks(songs, recipe({"data.whole_train_subset=true"}));
  CHECK(all.training.size() == 10);
  CHECK(all.validation.size() == 3);
  CHECK(all.notes.size() == 1);
  CHECK(choose_tracks(songs, recipe({"data.limit_tracks=2"})).training.size() == 2);
  tests::check_error(Code::dataset, {"data.tracks", "no such track"},
                     [&] { (void)choose_tracks(songs, recipe({"data.tracks=[\"Nobody\"]"})); });
  tests::check_error(Code::dataset, {"no training tracks", "too short"},
                     [&] { (void)choose_tracks(songs, recipe({"data.crop_seconds=3"})); });
  // A set with train/ and valid/ folders: its own split, never its test tracks.
  const tests::TempDir scratch;
  tests::write_tagged_set(scratch / "set", 3, 9000);
  fs::create_directories(scratch / "set" / "test");
  fs::create_directories(scratch / "set" / "valid");
  fs::rename(scratch / "set" / "train" / "Track 00", scratch / "set" / "test" / "Track 00");
  fs::rename(scratch / "set" / "train" / "Track 02", scratch / "set" / "valid" / "Track 02");
  const TrainingTracks own = choose_tracks(datasets::open((scratch / "set").string()), recipe({}));
  REQUIRE(own.training.size() == 1);
  CHECK(own.training[0].name == "Track 01");
  REQUIRE(own.validation.size() == 1);
  CHECK(own.validation[0].name == "Track 02");
  CHECK(tests::contains(own.how, "own split"));
}

TEST_CASE("targets are sums of stems", "[training]") {
  const std::vector<std::string> stems{"drums", "bass", "other", "vocals"};
  CHECK(target_sources(stems, "bass") == std::vector<int>{1});
  CHECK(target_sources(stems, "accompaniment") == std::vector<int>{0, 1, 2});
  CHECK(target_sources(stems, "linear_mixture") == std::vector<int>{0, 1, 2, 3});
  CHECK(target_sources({"vocals", "accompaniment"}, "accompaniment") == std::vector<int>{1});
  tests::check_error(Code::config, {"did you mean 'vocals'"}, [&] { (void)target_sources(stems, "vocal"); });
}

TEST_CASE("examples of real music add up, from every kind of data set", "[training]") {
  MSS_REQUIRE_TEST_DATA(data);
  const tests::TempDir scratch;
  Cache cache(scratch / "cache", kPlenty);
  for (const char* folder : {"evr_cc0", "musdb18_clips", "mir1k_subset"}) {
    INFO(folder);
    const datasets::Dataset set = datasets::open((data / folder).string());
    Recipe r =
        parse_recipe("", "t.toml", {"data.crop_seconds=2", "augment.remix.probability=0.5", "budget.steps=1"}).recipe;
    r.data.rate_hz = set.tracks()[0].rate_hz;
    r.data.channels = set.tracks()[0].channels;
    const TrainingTracks chosen = choose_tracks(set, r);
    const auto source = make_training_source(r, set, chosen.training, cache, 2, core::null_progress());
    CHECK(source->stems() == set.stems());
    for (std::int64_t i = 0; i < 5; ++i) CHECK(adds_up(source->example(0, i)));
  }
}

}  // namespace mss::training
