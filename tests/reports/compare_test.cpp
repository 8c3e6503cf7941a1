#include "reports/compare.h"

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/rng.h"
#include "eval/museval_json.h"
#include "reports/corpus.h"
#include "reports/input.h"
#include "reports/published.h"
#include "reports/report.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::reports {
namespace {

using core::Value;
using eval::Verdict;
using records::Record;

struct RunOptions {
  std::string spec = "umx";
  int tracks = 50;
  double loss_vocals = 0;  ///< dB on every track
  double spread = 0.15;
  std::uint64_t seed = 1;
  double seconds = 10;
  double memory = 1e9;
  std::string host = "ci";
};

/// Two targets on the same songs, with noise of one's own.
std::vector<Record> run(const RunOptions& o) {
  std::vector<Record> out;
  for (int track = 0; track < o.tracks; ++track) {
    for (const char* name : {"vocals", "drums"}) {
      const bool vocals = name == std::string_view("vocals");
      core::Rng song(9, vocals ? 1 : 2, static_cast<std::uint32_t>(track));
      core::Rng own(o.seed, vocals ? 3 : 4, static_cast<std::uint32_t>(track));
      const double value =
          6 + 2 * song.normal() + o.spread / std::sqrt(2) * own.normal() - (vocals ? o.loss_vocals : 0);
      eval::Scores scores;
      scores.scenario = "stems";
      scores.frames = 1;
      eval::TargetScores target;
      target.target = name;
      target.frames = {{"SDR", {value}}};
      scores.targets = {target};
      Record record = records::make_record(
          {"songs", "test", "track " + std::to_string(track), o.spec, "stems", 0, name}, scores, target);
      record.body["fingerprint"] = "print " + std::to_string(track);
      record.body["isa"] = "avx2";
      Value measured = Value::object();
      measured["wall_s"] = o.seconds * (1 + 0.01 * own.normal());
      measured["peak_rss_bytes"] = o.memory;
      measured["threads"] = 2;
      measured["jobs"] = 1;
      measured["host"] = o.host;
      measured["processor"] = "cpu";
      record.body["measured"] = measured;
      out.push_back(std::move(record));
    }
  }
  return out;
}

const Comparison& of(const CompareResult& result, const std::string& target) {
  for (const Comparison& c : result.comparisons)
    if (c.target == target) return c;
  throw std::runtime_error("no such comparison");
}

}  // namespace

TEST_CASE("a run that lost 0.1 dB is worse, the same run is equivalent", "[reports]") {
  const auto before = run({.spread = 0.1});
  const CompareResult worse = compare(before, run({.loss_vocals = 0.1, .spread = 0.1, .seed = 2}));
  CHECK(of(worse, "vocals").judgement.verdict == Verdict::worse);
  CHECK(of(worse, "vocals").judgement.tracks == 50);
  CHECK(of(worse, "vocals").new_value - of(worse, "vocals").old_value == Approx(of(worse, "vocals").judgement.mean));
  CHECK(of(worse, "vocals").most_lost.size() == 3);
  CHECK(of(worse, "average").average);
  CHECK(worse.family == 2);
  CHECK(worse.outcome() == Outcome::worse);

  const CompareResult same = compare(before, before);
  CHECK(same.outcome() == Outcome::equivalent);
  CHECK(same.count(Verdict::equivalent) == 2);
  const CompareResult better = compare(before, run({.loss_vocals = -0.3, .spread = 0.1, .seed = 3}));
  CHECK(of(better, "vocals").judgement.verdict == Verdict::better);
  CHECK(better.outcome() == Outcome::better);

  CompareOptions options;
  const auto noisy = run({.tracks = 8, .spread = 1.5}), other = run({.tracks = 8, .spread = 1.5, .seed = 5});
  const CompareResult undecided = compare(noisy, other, options);
  REQUIRE(undecided.count(Verdict::undecided) > 0);
  CHECK(undecided.outcome() == Outcome::undecided);
  CHECK(to_text(undecided).find("tracks would decide") != std::string::npos);
  options.strict = true;
  CHECK(compare(noisy, other, options).outcome() == Outcome::worse);
  options.targets = {"drumms"};
  CHECK_THROWS_AS(compare(noisy, other, options), Error);
  options.targets = {"drums"};
  CHECK(compare(noisy, other, options).family == 1);
  options.metrics = {"SIR"};
  CHECK_THROWS_AS(compare(noisy, other, options), Error);
}

TEST_CASE("what does not pair is named and stops the comparison", "[reports]") {
  const auto before = run({.tracks = 6});
  auto after = run({.tracks = 6});
  std::erase_if(after, [](const Record& r) { return r.key.track == "track 2"; });
  after.push_back(records::make_error_record({"songs", "test", "track 2", "umx", "", 0, ""},
                                             Error(Code::numeric, "bass.wav", "a sample is not a number")));
  const CompareResult failed = compare(before, after);
  CHECK(failed.outcome() == Outcome::unpaired);
  REQUIRE(failed.unpaired.size() == 1);
  CHECK(failed.unpaired[0].find("failed in NEW") != std::string::npos);
  CHECK(failed.unpaired[0].find("a sample is not a number") != std::string::npos);
  CompareOptions lenient;
  lenient.allow_missing = true;
  CHECK(compare(before, after, lenient).outcome() == Outcome::equivalent);
  CHECK(of(compare(before, after, lenient), "vocals").judgement.tracks == 5);

  after = run({.tracks = 7});
  CHECK(compare(before, after).unpaired.at(0).find("only in NEW") != std::string::npos);
  after = run({.tracks = 6});
  for (Record& r : after)
    if (r.key.track == "track 3") r.body["fingerprint"] = "another";
  const CompareResult other = compare(before, after);
  CHECK(other.outcome() == Outcome::unpaired);
  CHECK(of(other, "vocals").judgement.tracks == 5);
  after = run({.tracks = 6});
  std::erase_if(after, [](const Record& r) { return r.key.target == "drums"; });
  CHECK(compare(before, after).unpaired.at(0).find("target drums") != std::string::npos);

  // Rows pair by spec, single ones whatever they are called.
  CHECK(compare(before, run({.spec = "umx2", .tracks = 6})).outcome() == Outcome::equivalent);
  auto two = run({.tracks = 6});
  const auto second = run({.spec = "nmf", .tracks = 6});
  two.insert(two.end(), second.begin(), second.end());
  CHECK(compare(two, before).unpaired.at(0) == "row nmf: only in OLD");
  CHECK(compare(two, two).family == 4);
  auto renamed = two;
  for (Record& r : renamed) r.key.spec += "x";
  CHECK_THROWS_AS(compare(two, renamed), Error);
}

TEST_CASE("time and memory count on one machine only, after quality", "[reports]") {
  const auto before = run({});
  const CompareResult slower = compare(before, run({.seconds = 12}));
  REQUIRE(slower.costs.size() == 1);
  CHECK(slower.costs[0].time_ratio == Approx(1.2).epsilon(0.01));
  CHECK(slower.costs[0].slower);
  CHECK(slower.outcome() == Outcome::costlier);
  CHECK(compare(before, run({.seconds = 10.5})).outcome() == Outcome::equivalent);
  CHECK(compare(before, run({.memory = 1.2e9})).costs[0].hungrier);
  CHECK(compare(before, run({.loss_vocals = 0.5, .seconds = 20})).outcome() == Outcome::worse);
  const CompareResult elsewhere = compare(before, run({.seconds = 20, .host = "laptop"}));
  CHECK(elsewhere.outcome() == Outcome::equivalent);
  CHECK(elsewhere.costs[0].not_compared.find("laptop") != std::string::npos);
  CHECK(to_text(elsewhere).find("not compared") != std::string::npos);
  // What `evaluate` scored was separated elsewhere.
  auto foreign = run({.memory = 9e9});
  for (Record& r : foreign) r.body["measured"]["wall_s"] = Value();
  CHECK(compare(before, foreign).outcome() == Outcome::equivalent);
  CHECK(compare(before, foreign).costs[0].not_compared == "not recorded");
  CompareOptions options;
  options.cost_tolerance = 0.5;
  CHECK(compare(before, run({.seconds = 12}), options).outcome() == Outcome::equivalent);
}

TEST_CASE("seeds are averaged per track, and their scatter is shown", "[reports]") {
  auto before = run({.tracks = 10}), after = before;
  for (const std::uint64_t seed : {1, 2}) {
    auto more = run({.tracks = 10});
    for (Record& r : more) {
      r.key.seed = seed;
      r.body["scores"]["SDR"] = r.score("SDR") + static_cast<double>(seed);
      after.push_back(r);
    }
  }
  const CompareResult result = compare(before, after);
  const Comparison& vocals = of(result, "vocals");
  CHECK(vocals.judgement.mean == Approx(1));  // seeds 0, 1, 2 lie at +0, +1, +2
  CHECK(vocals.new_seeds == 3);
  CHECK(vocals.new_seed_sd == Approx(1));
  CHECK(std::isnan(vocals.old_seed_sd));
  CHECK(to_text(result).find("stems vocals SDR: standard deviation old 1 seed, new 1.000 over 3 seeds") !=
        std::string::npos);
  CHECK(to_text(compare(before, before)).find("seeds") == std::string::npos);
}

TEST_CASE("comparisons are written for people, pull requests and JUnit", "[reports]") {
  const std::string hostile = "a<b>&\"c\"|d]]>\x1b[31m";
  auto before = run({.spec = hostile, .spread = 0.1}),
       after = run({.spec = hostile, .loss_vocals = 0.2, .spread = 0.1, .seed = 2});
  const CompareResult result = compare(before, after, {}, "runs/main", "runs/pr");
  const std::string junit = to_junit(result);
  CHECK(junit.find("<testsuite name=\"mssbench compare\" tests=\"3\" failures=\"1\" errors=\"0\"") !=
        std::string::npos);
  CHECK(junit.find("a&lt;b&gt;&amp;&quot;c&quot;") != std::string::npos);
  CHECK(junit.find('\x1b') == std::string::npos);
  const std::string md = to_markdown(result);
  CHECK(md.find("## ❌ Separation quality: worse") == 0);
  CHECK(md.find("**worse**") != std::string::npos);
  CHECK(md.find("Tracks that lost most") != std::string::npos);
  CHECK(to_text(result).find("worse: 1 worse, 0 better") != std::string::npos);
  const Value json = to_json(result);
  CHECK(json.at("outcome").as_string() == "worse");
  CHECK(json.at("comparisons").as_array().size() == 3);
  CHECK(core::parse_json(core::dump_json(json), "compare --json") == json);
}

TEST_CASE("museval's files of other programs are rows", "[reports]") {
  const mss::tests::TempDir dir;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto write = [&](const std::string& path, double level) {
    eval::MusevalTrack track;
    eval::MusevalTarget target;
    target.name = "vocals";
    target.frames = {{0, 1, level, 2, 3, 4}, {1, 1, nan, nan, nan, nan}, {2, 1, level + 2, 2, 3, 4}};
    track.targets = {target};
    target.name = "accompaniment";
    track.targets.push_back(target);
    core::make_directories((dir / path).parent_path());
    eval::write_museval_json(dir / path, track);
  };
  write("all/UMX/test/Song A.json", 5);
  write("all/UMX/test/Song B.json", 7);
  write("all/IRM2/test/Song A.json", 9);
  core::write_file_atomic(dir / "all/UMX/description.md", "# UMX\n");
  const auto records = read_source((dir / "all").string(), {"musdb18", 1});
  REQUIRE(records.size() == 6);
  CHECK(records[0].key == records::RecordKey{"musdb18", "test", "Song A", "IRM2", "museval", 0, "vocals"});
  CHECK(records[0].flag("oracle"));
  const Report report = build_report(records);
  const Section& section = report.sections.at(0);
  CHECK(section.metrics == std::vector<std::string>{"SDR", "ISR", "SIR", "SAR"});
  const Row& umx = section.rows.at(0);
  CHECK(umx.spec == "UMX");
  CHECK(umx.cells[0][0].median == 7);
  CHECK(umx.cells[0][0].frames == 6);
  CHECK(umx.cells[0][0].dropped_frames == 2);
  CHECK(read_source((dir / "all/UMX").string()).size() == 4);
  const auto single = read_source((dir / "all/UMX/test/Song B.json").string());
  CHECK(single.at(0).key.spec == "UMX");
  CHECK(single.at(0).key.track == "Song B");
  CHECK(read_source((dir / "all").string() + "#UMX").size() == 4);
  core::make_directories(dir / "empty");
  CHECK_THROWS_AS(read_source((dir / "empty").string()), Error);
  core::write_file_atomic(dir / "all/UMX/test/bad.json", "{}");
  CHECK_THROWS_AS(read_source((dir / "all").string()), Error);
}

TEST_CASE("a corpus is guarded without its audio", "[reports]") {
  const mss::tests::TempDir dir;
  const auto before = run({.tracks = 4});
  write_corpus(dir / "corpus.json", make_corpus(before));
  const Corpus saved = read_corpus(dir / "corpus.json");
  REQUIRE(saved.entries.size() == 8);
  CHECK(core::read_text_file(dir / "corpus.json").find("frames") == std::string::npos);
  const CorpusCheck same = check_corpus(saved, make_corpus(before), 0);
  CHECK(same.passed());
  CHECK(same.changes.empty());
  CHECK(same.scores == 8);
  CHECK(same.tracks == 4);

  auto after = run({.tracks = 5});
  std::erase_if(after, [](const Record& r) { return r.key.track == "track 1"; });
  for (Record& r : after) {
    if (r.key.track == "track 0" && r.key.target == "drums") r.body["scores"]["SDR"] = r.score("SDR") + 0.01;
    if (r.key.track == "track 2") r.body["fingerprint"] = "another";
    if (r.key.track == "track 3" && r.key.target == "vocals") r.body["scores"]["SDR"] = r.score("SDR") + 1e-5;
  }
  const CorpusCheck changed = check_corpus(saved, make_corpus(after));
  CHECK_FALSE(changed.passed());
  CHECK(changed.count(CorpusChange::Kind::changed) == 2);
  CHECK(changed.count(CorpusChange::Kind::vanished) == 1);
  CHECK(changed.count(CorpusChange::Kind::appeared) == 1);
  CHECK(changed.largest_difference == Approx(0.01).epsilon(1e-6));
  const std::string text = to_text(changed);
  CHECK(text.find("  songs/test/track 0 | umx\n    stems drums SDR") != std::string::npos);
  CHECK(text.find("other audio") != std::string::npos);
  CHECK(text.find("track 3") == std::string::npos);
  CHECK_FALSE(check_corpus(saved, make_corpus(after), 1e-6).passed());
  after = run({.tracks = 5});
  CHECK(check_corpus(saved, make_corpus(after)).passed());  // what appeared is not guarded yet
  after.erase(after.begin(), after.begin() + 2);
  after.push_back(
      records::make_error_record({"songs", "test", "track 0", "umx", "", 0, ""}, Error(Code::io, "x", "gone")));
  CHECK(to_text(check_corpus(saved, make_corpus(after))).find("fails now") != std::string::npos);

  core::write_file_atomic(dir / "other.json", "{\"schema\": 1}");
  CHECK_THROWS_AS(read_corpus(dir / "other.json"), Error);
  core::write_file_atomic(dir / "other.json", "{\"schema\": 2, \"kind\": \"mssbench corpus\"}");
  CHECK_THROWS_AS(read_corpus(dir / "other.json"), Error);
  core::write_file_atomic(dir / "other.json", "{\"schema\": 1, \"kind\": \"mssbench corpus\", \"entries\": [{}]}");
  CHECK_THROWS_AS(read_corpus(dir / "other.json"), Error);
}

TEST_CASE("published rows stand apart, with what does not agree", "[reports]") {
  const auto groups = published_groups_for("SDR");
  REQUIRE(groups.size() >= 2);
  int rows = 0;
  for (const PublishedGroup& group : published_groups()) rows += static_cast<int>(group.rows.size());
  CHECK(rows == 109);
  const auto find = [&](const std::string& method, double vocals) -> const PublishedRow& {
    for (const PublishedGroup& group : published_groups()) {
      for (const PublishedRow& row : group.rows)
        if (row.method == method && row.vocals == vocals) return row;
    }
    throw std::runtime_error("no such row");
  };
  // Averages that are not those of their columns: four of them.
  int mismatches = 0;
  for (const PublishedGroup& group : published_groups()) {
    double last = 1e9;
    for (const PublishedRow& row : group.rows) {
      CHECK(row.metric == group.metric);
      CHECK(row.test_set == group.test_set);
      CHECK_FALSE(row.source.empty());
      if (!std::isnan(row.ranking())) {
        CHECK(row.ranking() <= last);
        last = row.ranking();
      }
      for (const std::string& flag : row.flags) mismatches += flag.starts_with("prints an average") ? 1 : 0;
    }
  }
  CHECK(mismatches == 4);
  CHECK(find("Sparse HT Demucs (fine tuned)", 9.37).flags.at(0) == "prints an average of 9.20, its columns give 9.27");
  CHECK(find("Hybrid Demucs (v3)", 8.13).flags.at(0).starts_with("another source has other numbers"));
  CHECK(find("BSRNN", 10.01).average == Approx(8.235));
  CHECK(std::isnan(find("Mel-RoFormer (vocals)", 12.08).average));
  const std::string md = published_markdown(groups);
  CHECK(md.find("arXiv 2209.15174") != std::string::npos);
  CHECK(md.find("uSDR") == std::string::npos);
  CHECK(published_groups_for("ISR").empty());
  const std::string text = published_text(groups, 80);
  for (std::size_t from = 0; from < text.size(); from = text.find('\n', from) + 1) {
    CHECK(text.find('\n', from) - from <= 100);
  }
}

}  // namespace mss::reports
