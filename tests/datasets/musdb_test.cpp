#include <cmath>
#include <map>
#include <set>
#include <string>

#include "datasets/dataset.h"
#include "tests/support/catch.h"

using namespace mss;

TEST_CASE("the MUSDB18 table has the published totals", "[datasets]") {
  const auto& facts = datasets::musdb_facts();
  REQUIRE(facts.size() == 150);
  std::map<std::string, int> tracks, genres, sources;
  std::map<std::string, std::int64_t> bytes;
  std::map<std::string, double> seconds;
  int frames = 0, shorter_than_30_s = 0;
  std::set<std::string> names, hashes;
  for (const auto& fact : facts) {
    ++tracks[fact.split];
    ++genres[fact.genre];
    ++sources[fact.source];
    bytes[fact.split == "test" ? "test" : "train"] += fact.stem_mp4_bytes;
    seconds[fact.split] += fact.seconds;
    frames += fact.sisec18_frames;
    shorter_than_30_s += fact.seconds < 30 ? 1 : 0;
    names.insert(fact.name);
    hashes.insert(fact.stem_mp4_sha256);
    CHECK(fact.stem_mp4_sha256.size() == 64);
    CHECK((fact.sisec18_frames > 0) == (fact.split == "test"));
  }
  CHECK(names.size() == 150);
  CHECK(hashes.size() == 150);
  CHECK(tracks == std::map<std::string, int>{{"train", 86}, {"valid", 14}, {"test", 50}});
  CHECK(bytes["train"] == 3682483140);
  CHECK(bytes["test"] == 2006423642);
  // Durations rounded to whole seconds in the published totals.
  CHECK(std::abs(seconds["train"] - 19169) < 1);
  CHECK(std::abs(seconds["valid"] - 3697) < 1);
  CHECK(std::abs(seconds["test"] - 12460) < 1);
  CHECK(frames == 12435);
  CHECK(shorter_than_30_s == 6);
  CHECK(genres["Pop/Rock"] == 72);
  CHECK(genres["Heavy Metal"] == 12);
  CHECK(genres["Jazz"] == 3);
  CHECK(sources["DSD"] == 100);
  CHECK(sources["MedleyDB"] == 46);
}

TEST_CASE("test-set durations agree with the frames that SiSEC 2018 published", "[datasets]") {
  for (const auto& fact : datasets::musdb_facts()) {
    if (fact.split == "test") CHECK(std::abs(fact.seconds - fact.sisec18_frames - 0.5) < 1.0);
  }
}

TEST_CASE("the 14 validation tracks are the official ones", "[datasets]") {
  std::set<std::string> valid;
  for (const auto& fact : datasets::musdb_facts()) {
    if (fact.split == "valid") valid.insert(fact.name);
  }
  CHECK(valid == std::set<std::string>{"Actions - One Minute Smile", "Clara Berry And Wooldog - Waltz For My Victims",
                                       "Johnny Lokke - Promises & Lies", "Patrick Talbot - A Reason To Leave",
                                       "Triviul - Angelsaint", "Alexander Ross - Goodbye Bolero",
                                       "Fergessen - Nos Palpitants", "Leaf - Summerghost", "Skelpolu - Human Mistakes",
                                       "Young Griffo - Pennies", "ANiMAL - Rockshow", "James May - On The Line",
                                       "Meaxic - Take A Step", "Traffic Experiment - Sirens"});
}

TEST_CASE("published errata are flagged, names keep their commas, dots and quotes", "[datasets]") {
  int errata = 0;
  for (const auto& fact : datasets::musdb_facts()) errata += fact.erratum.empty() ? 0 : 1;
  CHECK(errata == 8);
  for (const char* name : {"Al James - Schoolboy Facination", "Chris Durban - Celebrate", "Hop Along - Sister Cities",
                           "Detsky Sad - Walkie Talkie", "Enda Reilly - Cur An Long Ag Seol", "Leaf - Wicked",
                           "PR - Oh No", "BKS - Bulldozer"}) {
    INFO(name);
    REQUIRE(datasets::musdb_fact(name) != nullptr);
    CHECK_FALSE(datasets::musdb_fact(name)->erratum.empty());
  }
  CHECK(datasets::musdb_fact("PR - Oh No")->erratum.find("left channel") != std::string::npos);
  for (const char* name :
       {"M.E.R.C. Music - Knockout", "Jokers, Jacks & Kings - Sea Of Leaves", "Actions - Devil's Words",
        "The Easton Ellises (Baumi) - SDRNR", "Patrick Talbot - Set Me Free"}) {
    INFO(name);
    REQUIRE(datasets::musdb_fact(name) != nullptr);
    CHECK(datasets::musdb_fact(name)->erratum.empty());
  }
  CHECK(datasets::musdb_fact("The Easton Ellises - Falcon 69")->sisec18_frames == 246);
  CHECK(datasets::musdb_fact("M.E.R.C. Music") == nullptr);
}
