#include "records/record.h"

#include <cmath>
#include <limits>

#include "core/file.h"
#include "core/isa.h"
#include "core/json.h"
#include "core/version.h"
#include "tests/records/support.h"

namespace mss::records {
namespace {

using tests::contains;
using tests::error_of;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

eval::Scores example_scores() {
  eval::Scores scores;
  scores.scenario = "stems";
  scores.frames = 4;
  eval::TargetScores vocals;
  vocals.target = "vocals";
  vocals.frames = {{"SDR", {1.0, kNan, 3.5, 0.1}}, {"SIR", {kInf, kInf, kInf, kInf}}};
  vocals.track = {{"SI-SDR", 2.25}, {"uSDR", kInf}};
  vocals.dropped.total = 1;
  vocals.dropped.silent_reference = 1;
  eval::TargetScores drums;
  drums.target = "drums";
  drums.silent_reference = true;
  drums.dropped.total = drums.dropped.silent_reference = 4;
  scores.targets = {vocals, drums};
  return scores;
}

RecordKey example_key(const std::string& target = "vocals") {
  return {"Set", "test", "A \"quoted\" – Track", "nmf:beta=0|wiener", "stems", 7, target};
}

}  // namespace

TEST_CASE("a record holds key, medians, means and every frame", "[records]") {
  const eval::Scores scores = example_scores();
  const Record record = make_record(example_key(), scores, scores.targets[0]);
  CHECK(record.score("SDR") == 1.0);
  CHECK(record.mean("SDR") == Approx((1.0 + 3.5 + 0.1) / 3));
  CHECK(record.score("SI-SDR") == 2.25);
  CHECK(record.mean("SI-SDR") == 2.25);
  CHECK(record.score("uSDR") == kInf);
  CHECK(record.score("SIR") == kInf);  // the frames' median leaves infinities out, the frames keep them
  CHECK(std::isnan(record.score("no such metric")));
  CHECK(record.frames("SIR") == std::vector<double>(4, kInf));
  const std::vector<double> sdr = record.frames("SDR");
  REQUIRE(sdr.size() == 4);
  CHECK(std::isnan(sdr[1]));
  CHECK(sdr[3] == 0.1);
  CHECK(record.metrics() == std::vector<std::string>{"SDR", "SIR", "SI-SDR", "uSDR"});
  CHECK_FALSE(record.failed());
  CHECK(record.body.at("frames").at("dropped").at("total").as_integer() == 1);
  CHECK(record.body.at("version").as_string() == core::version());
  CHECK(record.body.at("isa").as_string() == core::isa_name(core::active_isa()));
}

TEST_CASE("the line starts with schema and key and is strict JSON", "[records]") {
  const eval::Scores scores = example_scores();
  const std::string line = to_json_line(make_record(example_key(), scores, scores.targets[0]));
  const std::string start =
      R"({"schema":2,"dataset":"Set","subset":"test","track":"A \"quoted\" – Track","spec":"nmf:beta=0|wiener",)"
      R"("scenario":"stems","seed":7,"target":"vocals","scores":{"SDR":1.0,"SIR":"inf","SI-SDR":2.25,"uSDR":"inf"},)"
      R"("mean":{"SDR":1.5333333333333332,"SIR":"inf"},"frames":{"window_s":1.0,"hop_s":1.0,"count":4,)"
      R"("dropped":{"total":1,"silent_reference":1,"silent_estimate":0,"anti_phase":0},)"
      R"("values":{"SDR":[1.0,null,3.5,0.1],"SIR":["inf","inf","inf","inf"]}},)"
      R"("scoring":{"silence":"museval","filters":"v4"},"condition":null,"ill_conditioned":false,)"
      R"("silent_reference":false,"silent_estimate":false,"version":)";
  CHECK(line.substr(0, start.size()) == start);
  CHECK(line.find('\n') == std::string::npos);
}

TEST_CASE("a silent reference has null for every metric of its problem", "[records]") {
  const eval::Scores scores = example_scores();
  const Record record = make_record(example_key("drums"), scores, scores.targets[1]);
  CHECK(record.flag("silent_reference"));
  CHECK(core::dump_json(record.body.at("scores")) == R"({"SDR":null,"SIR":null,"SI-SDR":null,"uSDR":null})");
  CHECK(record.body.at("frames").at("values").size() == 0);
  eval::Scores alone = scores;
  alone.targets = {scores.targets[1]};
  CHECK(core::dump_json(make_record(example_key("drums"), alone, alone.targets[0]).body.at("scores")) ==
        R"({"SDR":null})");
}

TEST_CASE("reading a line gives back the record, byte for byte", "[records]") {
  const eval::Scores scores = example_scores();
  Record record = make_record(example_key(), scores, scores.targets[0]);
  core::Value measured = core::Value::object();
  measured["wall_s"] = 0.1 + 0.2;
  record.body["measured"] = measured;
  const std::string line = to_json_line(record);
  const Record back = parse_record(line, "test");
  CHECK(back.key == record.key);
  CHECK(back.body == record.body);
  CHECK(to_json_line(back) == line);
  CHECK_FALSE(contains(to_json_line(record, false), "measured"));
  CHECK(contains(line, "0.30000000000000004"));
}

TEST_CASE("an error record tells code, place and message", "[records]") {
  const Error error({Code::dataset, "vocals.wav", "too short", "100 samples", "90", "look again"});
  const Record record = make_error_record(example_key(), error);
  CHECK(record.failed());
  CHECK(record.key.scenario.empty());
  CHECK(record.key.target.empty());
  CHECK(record.body.at("error").at("code").as_string() == "dataset");
  CHECK(record.body.at("error").at("message").as_string() == error.what());
  CHECK(record.body.at("error").at("hint").as_string() == "look again");
  CHECK(std::isnan(record.score("SDR")));
  CHECK(parse_record(to_json_line(record), "x").failed());
}

TEST_CASE("records of schema 1 are read, with infinite frames as values", "[records]") {
  // Three perfect frames of four: 1 left them out of median and mean (12 of one frame), they are the median.
  const std::string old =
      R"({"schema":1,"dataset":"d","subset":"test","track":"t","spec":"s","scenario":"stems","seed":0,"target":"vocals",)"
      R"("scores":{"SDR":12.0,"SIR":3.0,"cSDR":12.0,"cSDRi":10.0},"mean":{"SDR":12.0,"SIR":4.0},)"
      R"("frames":{"window_s":1.0,"hop_s":1.0,"count":4,"values":{"SDR":["inf","inf","inf",12.0],"SIR":[1,2,4,null]}}})";
  const Record record = parse_record(old, "old");
  CHECK(record.body.at("schema").as_integer() == 2);
  CHECK(record.score("SDR") == kInf);
  CHECK(record.mean("SDR") == kInf);
  CHECK(record.score("cSDR") == kInf);
  CHECK(record.score("cSDRi") == kInf);
  CHECK(record.score("SIR") == 3.0);  // as it stands: no infinite frame
  CHECK(record.mean("SIR") == 4.0);
  CHECK(parse_record(to_json_line(record), "again").score("SDR") == kInf);
}

TEST_CASE("lines that are no records are refused with their place", "[records]") {
  const std::pair<const char*, const char*> cases[] = {
      {"{", "f:3"},
      {"[]", "a JSON object"},
      {R"({"schema":3})", "unknown record schema"},
      {R"({"schema":0})", "1 to 2"},
      {R"({"dataset":"x"})", "no field 'schema'"},
      {R"({"schema":1,"dataset":1})", "'dataset'"},
      {R"({"schema":1,"dataset":"","subset":"","track":"","spec":"","scenario":"","target":"","seed":-1})", "'seed'"},
      {R"({"schema":1,"dataset":"","subset":"","track":"","spec":"","scenario":"","target":"","seed":0})", "neither"},
  };
  for (const auto& [line, part] : cases) {
    CAPTURE(line);
    const Error error = error_of([text = line] { parse_record(text, "f:3"); });
    CHECK(error.code() == Code::format);
    CHECK(contains(error.what(), "f:3"));
    CHECK(contains(error.what(), part));
  }
  CHECK(error_of([] { number_from_value("Infinity", "x"); }).code() == Code::format);
  CHECK(error_of([] { parse_records("\n\n{}", "file"); }).parts().where == "file:3");
}

TEST_CASE("files are sorted by key and folders read through records.jsonl", "[records]") {
  const mss::tests::TempDir dir;
  const eval::Scores scores = example_scores();
  std::vector<Record> records;
  for (const char* track : {"b", "a"}) {
    for (const std::uint64_t seed : {std::uint64_t{10}, std::uint64_t{9}}) {
      for (std::size_t t : {0u, 1u}) {
        RecordKey key = example_key(scores.targets[t].target);
        key.track = track;
        key.seed = seed;
        records.push_back(make_record(key, scores, scores.targets[t]));
      }
    }
  }
  write_records(dir / "records.jsonl", records);
  const std::vector<Record> back = read_records(dir.path());
  REQUIRE(back.size() == 8);
  for (std::size_t i = 1; i < back.size(); ++i) CHECK(back[i - 1].key < back[i].key);
  CHECK(back.front().key.track == "a");
  CHECK(back.front().key.seed == 9);
  CHECK(back.front().key.target == "drums");
  CHECK(read_records(dir / "records.jsonl").size() == 8);

  const mss::tests::TempDir empty;
  CHECK(error_of([&] { read_records(empty.path()); }).code() == Code::io);
  core::write_file_atomic(empty / "records.shard-0-of-2.jsonl", "");
  CHECK(contains(error_of([&] { read_records(empty.path()); }).what(), "mssbench merge"));
  CHECK(error_of([&] { read_records(empty / "nothing"); }).code() == Code::io);
  core::write_file_atomic(empty / "records.jsonl", to_json_line(records[0]) + "\n{\"schema\":1\n");
  CHECK(contains(error_of([&] { read_records(empty.path()); }).what(), "records.jsonl:2"));
}

}  // namespace mss::records
