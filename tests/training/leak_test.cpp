#include "training/leak.h"

#include "tests/support/catch.h"
#include "tests/support/errors.h"

namespace mss::training {
namespace {

const datasets::MusdbFact& test_fact() {
  for (const datasets::MusdbFact& fact : datasets::musdb_facts()) {
    if (fact.split == "test" && !fact.stem_mp4_sha256.empty()) return fact;
  }
  throw Error(Code::internal, "test", "no test track in the table");
}

std::vector<double> ramp(int seconds, double at) {
  std::vector<double> out;
  for (int i = 0; i < seconds; ++i) out.push_back(at - (i * 7 % 13));
  return out;
}

}  // namespace

TEST_CASE("test tracks are told by name, file, fingerprint and sound", "[training]") {
  const datasets::MusdbFact& fact = test_fact();
  std::string shouted;
  for (const char c : fact.name) shouted += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  const TestTracks set{"my set", {{"Held out", "aa", "test", ramp(30, -20)}}};
  const std::vector<LeakTrack> tracks{{"  " + shouted, "11", "training", {}},
                                      {"renamed", fact.stem_mp4_sha256, "training", {}},
                                      {"copy", "aa", "training", {}},
                                      {"recoded", "bb", "training", ramp(31, -20.02)},
                                      {"another song", "cc", "training", ramp(30, -20.3)},
                                      {"short likeness", "ff", "training", ramp(12, -20)},
                                      {"silence", "ee", "training", std::vector<double>(60, -120.0)},
                                      {"twin", "cc", "validation", {}},
                                      {"fair", "dd", "validation", ramp(30, -50)}};
  const std::vector<Leak> leaks = find_leaks(tracks, {set});
  REQUIRE(leaks.size() == 5);
  CHECK(tests::contains(leaks[0].why, "name"));
  CHECK(leaks[0].of == fact.name);
  CHECK(leaks[1].track == "renamed");
  CHECK(leaks[1].of == fact.name);
  CHECK(tests::contains(leaks[2].why, "same fingerprint"));
  CHECK(leaks[3].track == "recoded");
  CHECK(tests::contains(leaks[3].why, "sounds like a test track of my set"));
  CHECK(leaks[4].track == "twin");
  CHECK(leaks[4].of == "another song");
  tests::check_error(Code::dataset, {"renamed", "--allow-training-tracks", fact.name.c_str()},
                     [&] { refuse_leaks(leaks, false); });
  CHECK_NOTHROW(refuse_leaks(leaks, true));
  CHECK_NOTHROW(refuse_leaks({}, false));
  const core::Value record = leaks_value(leaks, true);
  CHECK(record.at("allowed").as_bool());
  CHECK(record.at("leaks").size() == 5);
}

TEST_CASE("unlabelled music must be no test song, and no validation song either", "[training]") {
  const std::vector<LeakTrack> tracks{{"labelled", "11", "training", ramp(40, -10)},
                                      {test_fact().name, "22", "unlabelled", {}},
                                      {"from afar", "33", "unlabelled", ramp(40, -30)},
                                      {"labelled again", "11", "unlabelled", ramp(40, -10)},
                                      {"held out", "44", "validation", ramp(41, -30.01)}};
  const std::vector<Leak> leaks = find_leaks(tracks, {});
  REQUIRE(leaks.size() == 2);
  CHECK(leaks[0].role == "unlabelled");
  CHECK(leaks[0].of == test_fact().name);
  CHECK(leaks[1].track == "held out");
  CHECK(leaks[1].of == "from afar");
  CHECK(tests::contains(leaks[1].why, "an unlabelled track"));
}

TEST_CASE("no track of MUSDB18's training set is taken for a test track", "[training]") {
  std::vector<LeakTrack> tracks;
  for (const datasets::MusdbFact& fact : datasets::musdb_facts()) {
    if (fact.split != "test") tracks.push_back({fact.name, fact.stem_mp4_sha256, "training", {}});
  }
  CHECK(tracks.size() == 100);
  CHECK(find_leaks(tracks, {}).empty());
}

TEST_CASE("the test tracks of a data set at hand are found with their levels", "[training]") {
  const datasets::Dataset songs = datasets::open("synthetic:songs=2,seconds=25,seed=9");
  const TestTracks set = test_tracks(songs);
  REQUIRE(set.tracks.size() == 2);
  // The same song at another length has another fingerprint and the same sound.
  const datasets::Dataset longer = datasets::open("synthetic:songs=2,seconds=26,seed=9");
  const datasets::Track& track = longer.tracks()[1];
  const std::vector<Leak> leaks =
      find_leaks({{"in disguise", longer.sha256(track), "training", longer.levels_db(track)}}, {set});
  REQUIRE(leaks.size() == 1);
  CHECK(leaks[0].of == set.tracks[1].name);
}

}  // namespace mss::training
