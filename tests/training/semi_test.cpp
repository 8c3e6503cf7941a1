// Semi-supervised examples: what a segment is, what the pools give, and where the unlabelled music comes from. The step of a
// teacher and its student stands in learner_test.cpp.
#include "training/semi.h"

#include <cmath>
#include <map>
#include <set>

#include "core/hash.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"
#include "tests/training/tagged.h"

namespace mss::training {
namespace {

std::vector<float> scaled(const std::vector<float>& x, double db) {
  std::vector<float> out;
  for (const float v : x) out.push_back(v * static_cast<float>(std::pow(10.0, db / 20)));
  return out;
}

const std::vector<float> kSegment{0.5F, -0.25F, 0.125F, 0.75F};

/// Two stems of two channels of two samples: the target in stem 1.
struct Labelled {
  std::vector<float> stems{1, 2, 3, 4, 5, 6, 7, 8}, mixture{6, 8, 10, 12};
  ExampleSpan span() { return {stems.data(), mixture.data()}; }
};

Recipe recipe(const std::vector<std::string>& more) {
  std::vector<std::string> all{"data.crop_samples=400", "data.rate_hz=" + std::to_string(tests::kTaggedRate),
                               "validation.split=none", "budget.steps=1", "semi.enabled=true"};
  all.insert(all.end(), more.begin(), more.end());
  return parse_recipe("", "test.toml", all).recipe;
}

/// Labelled songs, others beside them, a cache.
class World {
 public:
  World() : cache_(folder_ / "cache", std::int64_t{1} << 30) {
    tests::write_tagged_set(folder_ / "set", 3, 4000);
    tests::write_tagged_set(folder_ / "more", 5, 3000);
    for (int k = 0; k < 2; ++k) {
      audio::AudioBuffer song(2, 2000, tests::kTaggedRate);
      for (int c = 0; c < 2; ++c) {
        for (std::size_t t = 0; t < 2000; ++t)
          song.channel(c)[t] = static_cast<float>(1000 * (k + 1) + 100 * c + t % 50) / 32768;
      }
      const std::filesystem::path file =
          folder_ / "music" /
          (k == 0 ? std::filesystem::path("one.wav") : std::filesystem::path("two") / "mixture.wav");
      std::filesystem::create_directories(file.parent_path());
      audio::write_file(file, song, {.format = audio::SampleFormat::pcm16});
    }
    set_ = datasets::open((folder_ / "set").string());
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::shared_ptr<const ExampleSource> source(const std::vector<std::string>& more) {
    const Recipe r = recipe(more);
    return make_training_source(r, set_, choose_tracks(set_, r).training, cache_, 2, core::null_progress());
  }

 private:
  tests::TempDir folder_;
  Cache cache_;
  datasets::Dataset set_;
};

}  // namespace

TEST_CASE("semi: a segment is clean where one of its parts is 30 dB below it", "[training]") {
  CHECK(classify_segment(kSegment, scaled(kSegment, -29.9), 30) == SegmentKind::pseudo);
  CHECK(classify_segment(kSegment, scaled(kSegment, -30.1), 30) == SegmentKind::clean_residual);
  CHECK(classify_segment(kSegment, std::vector<float>(4, 0.0F), 30) == SegmentKind::clean_residual);
  // The residual is (1 - g) m: -29.9 and -30.1 dB.
  for (const auto& [db, kind] : {std::pair{-29.9, SegmentKind::pseudo}, {-30.1, SegmentKind::clean_target}}) {
    const auto gain = static_cast<float>(1 - std::pow(10.0, db / 20));
    std::vector<float> estimate;
    for (const float v : kSegment) estimate.push_back(v * gain);
    CHECK(classify_segment(kSegment, estimate, 30) == kind);
  }
  CHECK(classify_segment(kSegment, kSegment, 30) == SegmentKind::clean_target);
  CHECK(classify_segment(std::vector<float>(4, 0.0F), std::vector<float>(4, 0.1F), 30) == SegmentKind::silent);
  CHECK(classify_segment(kSegment, scaled(kSegment, -12), 10) == SegmentKind::clean_residual);
}

TEST_CASE("semi: one target and one residual of what there is", "[training]") {
  const std::vector<float> estimate{0.25F, -0.5F, 0.125F, 0.5F}, rest{0.25F, 0.25F, 0.0F, 0.25F};
  const SemiSettings settings{.target_stems = {1}, .clean_db = 30, .peak = false};
  const auto mixed = [&](double target, double residual, const std::vector<float>& of_teacher, SegmentKind kind,
                         SemiSettings with) {
    Labelled example;
    const SemiDraw draw{.target = target, .residual = residual, .target_factor = 2, .residual_factor = -4};
    CHECK(mix_semi(example.span(), 2, 4, kSegment, of_teacher, draw, with) == kind);
    return example;
  };
  using Floats = std::vector<float>;
  CHECK(mixed(0.49, 0.49, estimate, SegmentKind::pseudo, settings).stems == Labelled().stems);
  Labelled e = mixed(0.5, 0.49, estimate, SegmentKind::pseudo, settings);
  CHECK(e.stems == Floats{1, 2, 3, 4, 0.5F, -1, 0.25F, 1});
  CHECK(e.mixture == Floats{1.5F, 1, 3.25F, 5});
  e = mixed(0.49, 0.99, estimate, SegmentKind::pseudo, settings);
  CHECK(e.stems == Floats{-4 * rest[0], -4 * rest[1], -4 * rest[2], -4 * rest[3], 5, 6, 7, 8});
  e = mixed(0.9, 0.9, estimate, SegmentKind::pseudo, settings);
  CHECK(e.mixture == Floats{-0.5F, -2, 0.25F, 0});
  // A clean residual is the segment itself, and gives no target.
  e = mixed(0.9, 0.9, Floats(4, 0.0F), SegmentKind::clean_residual, settings);
  CHECK(e.stems == Floats{-2, 1, -0.5F, -3, 5, 6, 7, 8});
  e = mixed(0.9, 0.9, kSegment, SegmentKind::clean_target, settings);
  CHECK(e.stems == Floats{1, 2, 3, 4, 1, -0.5F, 0.25F, 1.5F});
  // Peaks are those of the whole.
  e = mixed(0.9, 0.1, estimate, SegmentKind::pseudo, {.target_stems = {1}, .clean_db = 30, .peak = true});
  CHECK(e.stems == Floats{1.0F / 5, 2.0F / 5, 3.0F / 5, 4.0F / 5, 0.5F / 5, -1.0F / 5, 0.25F / 5, 1.0F / 5});
  for (std::size_t i = 0; i < 4; ++i) CHECK(e.mixture[i] == e.stems[i] + e.stems[4 + i]);
  e = mixed(0.1, 0.1, estimate, SegmentKind::pseudo, {.target_stems = {1}, .clean_db = 30, .peak = true});
  CHECK(e.stems[7] == 8.0F / 12);

  // Of many stems the new parts stand in the first of either side; the labelled ones are summed there.
  std::vector<float> stems{1, 2, 4, 8}, mixture{15};
  const std::vector<float> m{0.5F}, t{0.25F};
  mix_semi({stems.data(), mixture.data()}, 4, 1, m, t, {.target = 0.9, .residual = 0.1},
           {.target_stems = {1, 2}, .clean_db = 30, .peak = false});
  CHECK(stems == Floats{9, 0.25F, 0, 0});
  CHECK(mixture == Floats{9.25F});
}

TEST_CASE("semi: segments of unlabelled music are drawn by seed, epoch and index alone", "[training]") {
  World world;
  const std::vector<std::string> all{"semi.folder=" + world.path("music"),
                                     "semi.dataset=" + world.path("more"),
                                     "semi.licence=CC0",
                                     "augment.drop_probability=0.25",
                                     "augment.gain.probability=1",
                                     "augment.gain.decibels=true",
                                     "augment.gain.low=-10",
                                     "augment.gain.high=10",
                                     "augment.peak=true"};
  const auto source = world.source(all);
  REQUIRE(source->unlabelled().size() == 7);
  const core::Value about = source->provenance().at("unlabelled");
  CHECK(about.at("licence").as_string() == "CC0");
  REQUIRE(about.at("tracks").size() == 7);
  CHECK(about.at("tracks").as_array()[0].at("track").as_string() == "one.wav");
  CHECK(about.at("tracks").as_array()[1].at("track").as_string() == "two");
  CHECK(about.at("tracks").as_array()[2].at("sha256").as_string().size() == 64);

  std::map<std::string, int> seen;
  int dropped = 0, labelled = 0;
  const int n = 192;
  const datasets::Dataset more = datasets::open(world.path("more"));
  for (std::int64_t i = 0; i < n; ++i) {
    const Example e = source->example(3, i);
    const core::Value& drawn = e.drawn.at("unlabelled");
    const std::string name = drawn.at("track").as_string();
    ++seen[name];
    const auto begin = static_cast<std::size_t>(drawn.at("start_samples").as_integer());
    for (const datasets::Track& track : more.tracks()) {
      if (track.name != name) continue;
      const audio::AudioBuffer mixture = more.load_mixture(track);
      for (std::size_t t = 0; t < 400; ++t) REQUIRE(e.unlabelled[400 + t] == mixture.channel(1)[begin + t]);
    }
    if (name == "one.wav") REQUIRE(e.unlabelled[0] == static_cast<float>(1000 + begin % 50) / 32768);
    for (const char* part : {"target_factor", "residual_factor"}) {
      const double factor = drawn.at(part).as_real();
      dropped += factor == 0 ? 1 : 0;
      if (factor == 0) continue;
      CHECK(factor > std::pow(10, -0.501));
      CHECK(factor < std::pow(10, 0.501));
    }
    labelled += drawn.at("target").as_string() == "labelled" ? 1 : 0;
    CHECK_FALSE(e.drawn.find("peak") != nullptr);  // that comes last, in semi.h
  }
  CHECK(seen.size() == 7);
  const auto plausible = [](int count, int of, double p) {
    return std::abs(count - p * of) < 4 * std::sqrt(p * (1 - p) * of);
  };
  CHECK(plausible(dropped, 2 * n, 0.25));
  CHECK(plausible(labelled, n, 0.5));

  const auto digest = [&](int workers, int batch) {
    Loader loader(source, {.batch = batch, .workers = workers, .queue = 3, .epochs = 1});
    core::Sha256 hash;
    while (std::optional<Batch> b = loader.next()) {
      for (std::int64_t i = 0; i < b->count; ++i) {
        hash.update(b->unlabelled.data() + i * b->channels * b->samples,
                    static_cast<std::size_t>(b->channels * b->samples) * sizeof(float));
        const SemiDraw& d = b->draws[static_cast<std::size_t>(i)];
        hash.update(&d.target, sizeof d.target);
        hash.update(&d.residual_factor, sizeof d.residual_factor);
      }
      loader.recycle(std::move(*b));
    }
    return hash.hex_digest();
  };
  const std::string one = digest(1, 4);
  CHECK(digest(2, 4) == one);
  CHECK(digest(5, 8) == one);
  // The labelled part is what it would be without.
  const auto plain = world.source([&] {
    std::vector<std::string> without(all.begin() + 3, all.end() - 1);
    without.emplace_back("semi.enabled=false");
    return without;
  }());
  CHECK(plain->unlabelled().empty());
  CHECK(plain->example(2, 5).stems == source->example(2, 5).stems);
}

TEST_CASE("semi: with activity sampling segments are active, and what is missing is told", "[training]") {
  World world;
  const auto source = world.source({"semi.folder=" + world.path("music"), "data.sampling=activity",
                                    "data.activity=paper", "data.activity_seconds=0.1013"});
  CHECK(source->provenance().at("active_segments").at("unlabelled").as_integer() > 2);
  tests::check_error(Code::config, {"semi.folder", "semi.dataset"}, [&] { world.source({}); });
  tests::check_error(Code::dataset, {"nowhere"}, [&] { world.source({"semi.folder=nowhere"}); });
  tests::check_error(Code::config, {"semi.enabled", "one of model.targets"}, [&] {
    recipe({"semi.folder=x", "model.targets=vocals,drums"});
  });
  tests::check_error(Code::config, {"semi.enabled"}, [&] { recipe({"semi.enabled=false", "semi.folder=x"}); });
}

}  // namespace mss::training
