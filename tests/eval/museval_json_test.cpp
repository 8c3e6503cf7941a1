#include "eval/museval_json.h"

#include <cmath>
#include <optional>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/rng.h"
#include "eval/aggregate.h"
#include "tests/eval/golden_signals.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::tests {

namespace {

using eval::Average;
using eval::MusevalTrack;

const core::Value& aggregation() {
  static const core::Value file = core::read_json_file(golden("bsseval.json"));
  return file.at("aggregation");
}

MusevalTrack golden_track(const std::string& name, double hop_s) {
  const core::Value& input = aggregation().at("input").at(name);
  MusevalTrack track;
  eval::MusevalTarget target;
  target.name = "vocals";
  const std::size_t frames = input.at("SDR").size();
  for (std::size_t t = 0; t < frames; ++t) {
    const auto value = [&](const char* m) { return golden_number(input.at(m).as_array()[t]); };
    target.frames.push_back(
        {static_cast<double>(t) * hop_s, 1.0, value("SDR"), value("ISR"), value("SIR"), value("SAR")});
  }
  track.targets.push_back(target);
  return track;
}

bool same(double a, double b) { return (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= 1e-12; }

}  // namespace

TEST_CASE("museval files are written byte for byte", "[eval]") {
  CHECK(to_museval_json(golden_track("trackA", 1.0)) == aggregation().at("trackA_json").as_string());
  CHECK(to_museval_json(golden_track("trackC", 0.5)) == aggregation().at("trackC_json").as_string());
}

TEST_CASE("five decimals, half to even on the exact binary value", "[eval]") {
  CHECK(eval::five_decimals_text(1.000005) == "1.00001");  // the double lies above the tie
  CHECK(eval::five_decimals_text(-4e-06) == "-0.00000");
  CHECK(eval::five_decimals_text(0.03125 / 1024) == "0.00003");
  CHECK(eval::five_decimals_text(0.5 / 65536) == "0.00001");
  CHECK(eval::five_decimals_text(INFINITY) == "NaN");
  CHECK(std::isnan(eval::five_decimals(-INFINITY)));
  CHECK(eval::five_decimals(2.675005) == 2.67501);
}

TEST_CASE("museval files are read back, NaN included", "[eval]") {
  const MusevalTrack track = eval::parse_museval_json(aggregation().at("trackA_json").as_string(), "A.json");
  REQUIRE(track.targets.size() == 1);
  CHECK(track.version == "0.4.1");
  CHECK(track.targets[0].frames.size() == 4);
  CHECK(std::isnan(track.targets[0].frames[1].isr));
  CHECK(track.targets[0].frames[3].sar == -10.0);
  CHECK(to_museval_json(track) == aggregation().at("trackA_json").as_string());

  CHECK_THROWS_WITH(eval::parse_museval_json("{\"a\": 1}", "x.json"), Catch::Matchers::Contains("x.json"));
  CHECK_THROWS_AS(eval::parse_museval_json("[1, 2", "x.json"), Error);
  CHECK_THROWS_AS(eval::parse_museval_json("{\"targets\": [{\"name\": \"v\"}]}", "x.json"), Error);
  CHECK_THROWS_WITH(eval::parse_museval_json(
                        "{\"targets\": [{\"name\": \"v\", \"frames\": [{\"metrics\": {\"SDR\": \"x\"}}]}]}", "x.json"),
                    Catch::Matchers::Contains("frame 0"));
  const MusevalTrack sparse = eval::parse_museval_json(
      "{\"targets\": [{\"name\": \"v\", \"frames\": [{\"time\": 0, \"duration\": 1, \"metrics\": {\"SDR\": null}}]}]}",
      "x");
  CHECK(std::isnan(sparse.targets[0].frames[0].sdr));

  const TempDir folder;
  write_museval_json(folder / "t.json", track);
  CHECK(core::read_text_file(folder / "t.json") == aggregation().at("trackA_json").as_string());
  CHECK(eval::read_museval_json(folder / "t.json").targets[0].frames[0].sdr == 1.00001);
  CHECK_THROWS_WITH(eval::read_museval_json(folder / "none.json"), Catch::Matchers::Contains("none.json"));
}

TEST_CASE("museval's own files take a short way that says the same", "[eval]") {
  // A member that museval does not write sends the file through the general parser.
  const auto general = [](std::string text) {
    text.insert(text.find('{') + 1, "\"more\": [],");
    return eval::parse_museval_json(text, "general");
  };
  const auto same = [](const eval::MusevalTrack& a, const eval::MusevalTrack& b) {
    return eval::to_museval_json(a) == eval::to_museval_json(b);
  };
  eval::MusevalTrack track;
  for (const char* name : {"vocals", "Dvo\xC5\x99\xC3\xA1k \"q\"", ""}) {
    eval::MusevalTarget target;
    target.name = name;
    for (int t = 0; t < 5; ++t) target.frames.push_back({1.0 * t, 1, 0.5 - t, NAN, -1e-5, 123.456});
    track.targets.push_back(target);
  }
  const std::string text = eval::to_museval_json(track);
  CHECK(same(eval::parse_museval_json(text, "short"), track));
  CHECK(same(general(text), track));
  for (
      const char* odd :
      {R"({"museval_version":"0.4.1","targets":[{"frames":[{"metrics":{"SAR":1e1,"SDR":-0.5},"time":0}],"name":"a"}]})",
       R"({"targets":[]})", R"({"targets":[{"name":"a","frames":[]}] , "museval_version":"x"} )",
       R"({"targets":[{"name":"a","frames":[{"metrics":{"SDR":null,"ISR":NaN}}]}]})"}) {
    CAPTURE(odd);
    CHECK(same(eval::parse_museval_json(odd, "short"), general(odd)));
  }
  for (const char* bad : {R"({"targets":[{"name":"a","frames":[{"metrics":{"SDR":01}}]}]})",
                          R"({"targets":[{"name":"a","frames":[{"metrics":{"SDR":1.}}]}]})",
                          R"({"targets":[{"name":"a","frames":[{"metrics":{"SDR":1,"SDR":2}}]}]})",
                          R"({"targets":[{"name":"a","frames":[{"metrics":{"SDR":"1"}}]}]})",
                          R"({"targets":[{"name":"a","frames":[{}]}]})", R"({"targets":[{"frames":[]}]})",
                          R"({"targets":[]} x)", R"({"targets":[)", R"({"targets":[],"targets":[]})", "{}", ""}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(eval::parse_museval_json(bad, "bad"), Error);
  }
}

TEST_CASE("damaged museval files are refused, or read as the general parser reads them", "[eval]") {
  eval::MusevalTrack track;
  for (const char* name : {"vocals", "other"}) {
    eval::MusevalTarget target;
    target.name = name;
    for (int t = 0; t < 2; ++t) target.frames.push_back({1.0 * t, 1, 0.5 - t, NAN, -1e-5, 123.456});
    track.targets.push_back(target);
  }
  const std::string intact = eval::to_museval_json(track);
  const std::string alphabet = "{}[]\",:.-+eE0123456789 \\nulNaInfty\xff";
  int read = 0, refused = 0;
  for (std::uint32_t trial = 0; trial < 20000; ++trial) {
    core::Rng rng(17, 1, trial);
    std::string text = intact;
    for (std::uint32_t change = 0; change <= rng.below(3); ++change) {
      const std::size_t at = rng.below(static_cast<std::uint32_t>(text.size()));
      const char letter = alphabet[rng.below(static_cast<std::uint32_t>(alphabet.size()))];
      switch (rng.below(4)) {
        case 0:
          text[at] = letter;
          break;
        case 1:
          text.insert(at, 1, letter);
          break;
        case 2:
          text.erase(at, 1 + rng.below(20));
          break;
        default:
          text.insert(at, text.substr(rng.below(static_cast<std::uint32_t>(text.size())), rng.below(40)));
      }
      if (text.empty()) text = "{";
    }
    std::optional<std::string> quick, slow;
    try {
      quick = eval::to_museval_json(eval::parse_museval_json(text, "quick"));
    } catch (const Error&) {
    }
    const std::size_t brace = text.find('{');
    if (brace == std::string::npos) continue;
    std::string longer = text;
    longer.insert(brace + 1, "\"more\":[],");
    try {
      slow = eval::to_museval_json(eval::parse_museval_json(longer, "slow"));
    } catch (const Error&) {
    }
    ++(quick ? read : refused);
    if (quick != slow) {
      CAPTURE(trial, text);
      CHECK(quick == slow);
    }
  }
  CHECK(read > 1000);
  CHECK(refused > 2000);
}

TEST_CASE("names in museval files are escaped as Python does", "[eval]") {
  MusevalTrack track;
  track.targets.push_back({"\xc3\xbc\"\n\xf0\x9f\x8e\xb5", {}});
  CHECK_THAT(to_museval_json(track), Catch::Matchers::Contains("\"\\u00fc\\\"\\n\\ud83c\\udfb5\""));
  CHECK(to_museval_json(MusevalTrack{}) == "{\n  \"targets\": [],\n  \"museval_version\": \"0.4.1\"\n}");
}

TEST_CASE("aggregation by museval's rules", "[eval]") {
  std::vector<MusevalTrack> tracks{golden_track("trackA", 1.0), golden_track("trackB", 1.0),
                                   golden_track("trackC", 0.5)};
  const char* const names[] = {"trackA", "trackB", "trackC"};
  for (const Average frames : {Average::median, Average::mean}) {
    for (const Average over : {Average::median, Average::mean}) {
      const std::string key = std::string("frames_") + (frames == Average::median ? "median" : "mean") + "_tracks_" +
                              (over == Average::median ? "median" : "mean");
      const core::Value& want = aggregation().at("result").at(key);
      for (std::size_t i = 0; i < 3; ++i) {
        const auto row = eval::aggregate_track(tracks[i], frames).at(0);
        const auto get = [&](const char* m) {
          return golden_number(want.at("per_track").at(std::string(names[i]) + "/vocals/" + m));
        };
        CHECK(same(row.sdr, get("SDR")));
        CHECK(same(row.isr, get("ISR")));
        CHECK(same(row.sir, get("SIR")));
        CHECK(same(row.sar, get("SAR")));
      }
      const auto rows = eval::aggregate_tracks(tracks, frames, over);
      REQUIRE(rows.size() == 1);
      CHECK(same(rows[0].sdr, golden_number(want.at("overall").at("vocals/SDR"))));
      CHECK(same(rows[0].isr, golden_number(want.at("overall").at("vocals/ISR"))));
      CHECK(same(rows[0].sir, golden_number(want.at("overall").at("vocals/SIR"))));
      CHECK(same(rows[0].sar, golden_number(want.at("overall").at("vocals/SAR"))));
    }
  }
  CHECK(museval_table(eval::aggregate_track(tracks[0])) == aggregation().at("trackA_repr").as_string());
  CHECK(museval_summary(tracks) == aggregation().at("EvalStore_repr").as_string());
}

TEST_CASE("what museval's file holds of two problems", "[eval]") {
  const auto target = [](const char* name, double sdr) {
    eval::TargetScores t;
    t.target = name;
    t.frames.push_back({"SDR", {sdr}});
    return t;
  };
  eval::Scores stems, both;
  stems.scenario = "stems";
  both.scenario = "vocals/accompaniment";
  stems.frames = both.frames = 1;
  stems.targets = {target("vocals", 1), target("drums", 2)};
  stems.targets.push_back(target("bass", 3));
  stems.targets.back().silent_reference = true;
  both.targets = {target("vocals", 4), target("accompaniment", 5)};
  const MusevalTrack ours = eval::museval_track({stems, both});
  REQUIRE(ours.targets.size() == 3);
  CHECK(ours.targets[0].frames[0].sdr == 1);
  CHECK(ours.targets[2].name == "accompaniment");
  CHECK(std::isnan(ours.targets[0].frames[0].isr));
  eval::MusevalOptions o;
  o.vocals_from_accompaniment_problem = true;
  const MusevalTrack theirs = eval::museval_track({stems, both}, o);
  REQUIRE(theirs.targets.size() == 3);
  CHECK(theirs.targets[0].name == "drums");
  CHECK(theirs.targets[1].name == "vocals");
  CHECK(theirs.targets[1].frames[0].sdr == 4);
}

}  // namespace mss::tests
