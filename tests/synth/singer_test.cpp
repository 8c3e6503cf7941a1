// The voice: golden steadiness of its pitch, and that it sings what is written.
#include <cmath>

#include "core/json.h"
#include "datasets/synth/composer.h"
#include "datasets/synth/singer.h"
#include "harness/synth_check.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::datasets::synth;

TEST_CASE("the singer's pitch wanders as the golden quartiles say", "[synth]") {
  const core::Value golden = core::read_json_file(tests::golden("synth.json"));
  std::vector<std::uint64_t> train, test;
  for (std::uint64_t i = 0; i < 40; ++i) train.push_back(1000 + i);
  for (std::uint64_t i = 0; i < 20; ++i) test.push_back(3000 + i);
  std::vector<double> all = harness::pitch_deviations(Split::train, train);
  const std::vector<double> more = harness::pitch_deviations(Split::test, test);
  all.insert(all.end(), more.begin(), more.end());
  std::sort(all.begin(), all.end());
  for (std::size_t q = 0; q < 3; ++q) {
    const double found = all[(q + 1) * all.size() / 4];
    CHECK(found == Approx(golden.at("pitch_quartiles_cents").as_array()[q].as_real()).margin(1.0));
  }
  // The prototype found 2839 windows; where one begins is a matter of a sample.
  CHECK(static_cast<double>(all.size()) == Approx(golden.at("pitch_windows").as_real()).epsilon(.02));
}

TEST_CASE("a sung note has its pitch, its level and its end", "[synth]") {
  Take take;
  take.singer = singer_of(Split::train, 1);
  take.notes = {{.start = 8000, .end = 60000, .pitch = 57, .vowel = 0, .consonant = 0}};
  const std::int64_t samples = 2 * kRateHz;
  const Draws draws(11);
  const std::vector<double> x = sing(draws, take, samples);
  REQUIRE(static_cast<std::int64_t>(x.size()) == samples);
  double energy = 0, rest = 0;
  for (std::size_t t = 12000; t < 56000; ++t) energy += x[t] * x[t];
  CHECK(std::sqrt(energy / 44000) == Approx(1).margin(.15));
  for (std::size_t t = 64000; t < x.size(); ++t) rest += std::abs(x[t]);
  CHECK(rest == 0);
  // Around 220 Hz the autocorrelation's best lag is a period; the pitch is within half a semitone.
  std::size_t best = 0;
  double most = 0;
  for (std::size_t lag = 150; lag < 300; ++lag) {
    double sum = 0;
    for (std::size_t t = 30000; t < 34000; ++t) sum += x[t] * x[t + lag];
    if (sum > most) {
      most = sum;
      best = lag;
    }
  }
  CHECK(12 * std::log2(kRateHz / static_cast<double>(best) / 220) == Approx(0).margin(.6));
  CHECK(sing(draws, take, samples) == x);
  take.notes.clear();
  for (const double v : sing(draws, take, samples)) CHECK(v == 0);
}

TEST_CASE("takes follow the score", "[synth]") {
  bool doubled = false, harmonised = false;
  for (std::uint64_t seed = 1000; seed < 1030; ++seed) {
    const Score score = compose(seed, Split::train, 30 * kRateHz);
    const auto takes = takes_of(score);
    CHECK(takes.size() == 1U + (score.doubles ? 2U : 0U) + (score.harmony && !score.talk ? 2U : 0U));
    CHECK(takes.front().take.notes.size() == score.syllables.size());
    for (const SongTake& take : takes) {
      doubled = doubled || take.voice == Voice::doubling;
      harmonised = harmonised || take.voice == Voice::harmony;
      if (take.voice != Voice::lead) CHECK(take.take.notes.size() < score.syllables.size());
    }
  }
  CHECK(doubled);
  CHECK(harmonised);
}
