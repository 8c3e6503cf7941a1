#include "reports/html/html.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/text.h"
#include "reports/html/page.h"
#include "reports/html/pairs.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"

namespace mss::reports::html {
namespace {

using core::Value;
using records::Record;
using tests::TempDir;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Record made(const std::string& track, const std::string& spec, const std::string& target, std::vector<double> sdr,
            std::uint64_t seed = 0, const std::string& kind = "method") {
  eval::Scores scores;
  scores.scenario = "stems";
  scores.frames = static_cast<std::int64_t>(sdr.size());
  eval::TargetScores of_target;
  of_target.target = target;
  of_target.frames = {{"SDR", std::move(sdr)}};
  scores.targets = {of_target};
  Record record = records::make_record({"Songs", "test", track, spec, "stems", seed, target}, scores, of_target);
  record.body["oracle"] = kind == "oracle";
  record.body["floor"] = kind == "floor";
  record.body["samples"] = 88200;
  record.body["rate_hz"] = 44100;
  record.body["fingerprint"] = "abc";
  Value measured = Value::object();
  measured["wall_s"] = 1.0;
  measured["cpu_s"] = 1.5;
  measured["rtf"] = 0.5;
  measured["peak_rss_bytes"] = 1000;
  record.body["measured"] = std::move(measured);
  return record;
}

/// Two methods and a floor on three tracks; `b` with two seeds.
std::vector<Record> example() {
  std::vector<Record> out;
  const double base[] = {1, 3, 8};
  for (int t = 0; t < 3; ++t) {
    const std::string track = "track " + std::to_string(t);
    for (const char* target : {"vocals", "drums"}) {
      out.push_back(made(track, "a", target, {base[t], base[t] + 1, kNan}));
      for (const std::uint64_t seed : {1, 2}) {
        out.push_back(made(track, "b", target, {base[t] + 2, base[t] + 2 + 0.1 * static_cast<double>(seed)}, seed));
      }
      out.push_back(made(track, "mixture-over-j", target, {0.5}, 0, "floor"));
    }
  }
  return out;
}

Value data_of(const std::string& script) {
  const auto begin = script.find(',') + 1;
  return core::parse_json(script.substr(begin, script.rfind(");") - begin), "data");
}

}  // namespace

TEST_CASE("the page's data are the report's numbers", "[reports_html]") {
  const TempDir folder;
  const std::vector<Record> records = example();
  const Report report = build_report(records);
  CHECK(write(report, records, {}, folder / "out").empty());
  const Value data = data_of(core::read_text_file(folder / "out/page/data/report.js"));
  const Value& section = data.at("sections").as_array().at(0);
  REQUIRE(section.at("rows").size() == 3);
  for (std::size_t r = 0; r < 3; ++r) {
    const Row& row = report.sections[0].rows[r];
    const Value& shown = section.at("rows").as_array()[r];
    CHECK(shown.at("spec").as_string() == row.spec);
    for (std::size_t t = 0; t < 3; ++t) {
      const Cell& cell = row.cells[0][t];
      const auto& numbers = shown.at("cells").as_array()[0].as_array()[t].as_array();
      CHECK(numbers[0].as_real() == Approx(cell.median).margin(5e-5));
      CHECK(numbers[1].as_real() == Approx(cell.median_interval.low).margin(5e-5));
      CHECK(numbers[3].as_real() == Approx(cell.mean).margin(5e-5));
      CHECK(numbers[6].as_integer() == cell.tracks);
      CHECK(numbers[8].as_integer() == cell.dropped_frames);
    }
  }
  const Value& b = section.at("rows").as_array()[0];
  CHECK(b.at("spec").as_string() == "b");
  CHECK(b.at("by_seed").as_array()[0].as_array()[2].as_array()[1].as_array()[0].as_real() == Approx(5.1));
  CHECK(b.at("cost").at("rtf").as_real() == 0.5);
  CHECK(b.at("cost").at("cpu_per_s").as_real() == Approx(0.75));
  CHECK(section.at("tracks").as_array()[0].at("seconds").as_integer() == 2);
  CHECK(b.at("about").size() == 0);
  // Equal input, equal bytes.
  write(report, records, {}, folder / "again");
  CHECK(core::read_text_file(folder / "out/page/data/report.js") ==
        core::read_text_file(folder / "again/page/data/report.js"));
}

TEST_CASE("a row says what its method and filters do, where this program separated it", "[reports_html]") {
  const TempDir folder;
  std::vector<Record> records;
  for (const char* track : {"x", "y"}) {
    records.push_back(made(track, "umx@official:weights=w|wiener:iters=1", "vocals", {1}));
    records.push_back(made(track, "umx", "vocals", {1}));
    records.back().body["measured"] = Value::object();  // stems made elsewhere, in a folder of that name
  }
  write(build_report(records), records, {.about = {{"umx", "A network."}, {"wiener", "A filter."}}}, folder / "out");
  const Value data = data_of(core::read_text_file(folder / "out/page/data/report.js"));
  const auto& rows = data.at("sections").as_array()[0].at("rows").as_array();
  for (const Value& row : rows) {
    INFO(row.at("spec").as_string());
    const bool here = row.at("spec").as_string() != "umx";
    REQUIRE(row.at("about").size() == (here ? 2 : 0));
    CHECK((here || row.at("training").as_string() == "unknown"));
    if (!here) continue;
    CHECK(row.at("about").as_array()[0].as_string() == "A network.");
    CHECK(row.at("about").as_array()[1].as_string() == "A filter.");
  }
}

TEST_CASE("a row says what its weights were trained on, as its records have it", "[reports_html]") {
  struct Case {
    const char *spec, *set, *beyond, *kind, *text;
  };
  const std::vector<Case> cases = {{"a:weights=w1", "MUSDB18-HQ", "", "benchmark", "MUSDB18-HQ, training set"},
                                   {"a:weights=w2", "MUSDB18", "150 songs", "extra", "MUSDB18 and 150 songs"},
                                   {"a:weights=w3", "", "private music", "extra", "private music"},
                                   {"a:weights=w4", "songs#12345678", "", "extra", "songs"},
                                   {"a:weights=w5", "", "", "unknown", "weights mine"}};
  const TempDir folder;
  std::vector<Record> records;
  for (const Case& c : cases) {
    for (const char* track : {"x", "y"}) {
      Record record = made(track, c.spec, "vocals", {1});
      record.body["weights"] = Value::object();
      record.body["weights"]["label"] = "mine#12345678";
      if (*c.set != '\0') record.body["weights"]["trained_on"] = c.set;
      if (*c.beyond != '\0') record.body["weights"]["trained_beyond"] = c.beyond;
      records.push_back(std::move(record));
    }
  }
  write(build_report(records), records, {}, folder / "out");
  const Value data = data_of(core::read_text_file(folder / "out/page/data/report.js"));
  const auto& rows = data.at("sections").as_array()[0].at("rows").as_array();
  REQUIRE(rows.size() == cases.size());
  for (const Value& row : rows) {
    const auto at = std::ranges::find_if(cases, [&](const Case& c) { return row.at("spec").as_string() == c.spec; });
    REQUIRE(at != cases.end());
    INFO(at->spec);
    CHECK(row.at("training").as_string() == at->kind);
    CHECK(row.at("training_text").as_string() == at->text);
  }
}

TEST_CASE("differences of all pairs are those of the verdict, ranks those of Friedman", "[reports_html]") {
  const Report report = build_report(example());
  const Value compared = comparisons(report, report.sections[0], 0, 4, 1);
  REQUIRE(compared.size() == 3);
  const Value& average = compared.as_array()[2];
  REQUIRE(average.at("pairs").size() == 3);
  const auto& first = average.at("pairs").as_array()[0].as_array();  // b minus a
  CHECK(first[0].as_integer() == 0);
  CHECK(first[1].as_integer() == 1);
  CHECK(first[3].as_real() == Approx(1.575));
  CHECK(first[6].as_integer() == 3);
  const Value& ranks = average.at("ranks");
  CHECK(ranks.at("mean").as_array()[0].as_real() == 1);
  CHECK(ranks.at("mean").as_array()[1].as_real() == 2);
  CHECK(ranks.at("mean").as_array()[2].as_real() == 3);
  CHECK(ranks.at("tracks").as_integer() == 3);
}

TEST_CASE("frames are packed in letters, with gaps", "[reports_html]") {
  const std::vector<Record> records = example();
  const Report report = build_report(records);
  const RecordIndex index(report, records);
  const Value track = track_data(report, index, 0, 1, false);
  CHECK(track.at("hop_s").as_integer() == 1);
  CHECK(track.at("metrics").at("SDR").at("1").at("vocals").as_string() == packed({3, 4, kNan}, false));
  // Of two seeds the first.
  CHECK(track.at("metrics").at("SDR").at("0").at("vocals").as_string() == packed({5, 5.1}, false));
  // 2^17 is gAA; 2^17 + 100 = 32 * 64^2 + 1 * 64 + 36.
  CHECK(packed({0, 1, kNan, -0.01}, false) == "gAAgBkAAAf//");
  // 2^11 is gA; 5 / 0.05 = 100.
  CHECK(packed({0, 5, kNan, -std::numeric_limits<double>::infinity(), 1000}, true) == "gAhkAAAB//");
  CHECK(base64("") == "");
  CHECK(base64("M") == "TQ==");
  CHECK(base64("Ma") == "TWE=");
  CHECK(base64("Man") == "TWFu");
}

TEST_CASE("numbers of the page are short and keep what is not finite", "[reports_html]") {
  CHECK(core::dump_json(rounded(1.23456789, 4)) == "1.2346");
  CHECK(core::dump_json(rounded(-0.00001, 4)) == "0");
  CHECK(core::dump_json(rounded(2, 4)) == "2");
  CHECK(core::dump_json(rounded(kNan, 4)) == "null");
  CHECK(core::dump_json(rounded(-std::numeric_limits<double>::infinity(), 4)) == "\"-inf\"");
}

TEST_CASE("nothing in a record ends a script or opens an element", "[reports_html]") {
  const std::string evil = "</script><!--\xe2\x80\xa8&'\"><img src=x onerror=1>";
  std::vector<Record> records;
  for (int t = 0; t < 2; ++t) records.push_back(made(evil + std::to_string(t), "a" + evil, "vocals", {1, 2}));
  for (Record& record : records) record.key.dataset = evil, record.body["dataset"] = evil;
  const Report report = build_report(records);
  const TempDir folder;
  write(report, records, {.single = true}, folder / "one");
  write(report, records, {}, folder / "many");
  for (const char* file :
       {"one/index.html", "many/index.html", "many/page/data/report.js", "many/page/data/track-0-0.js"}) {
    INFO(file);
    const std::string text = core::read_text_file(folder / file);
    CHECK(text.find("<img") == std::string::npos);
    CHECK(text.find("\xe2\x80\xa8") == std::string::npos);
  }
  const std::string page = core::read_text_file(folder / "one/index.html");
  // As many ends of scripts as scripts.
  const auto count = [&](const std::string& what) {
    int n = 0;
    for (auto at = page.find(what); at != std::string::npos; at = page.find(what, at + 1)) ++n;
    return n;
  };
  CHECK(count("</script>") == count("<script type=\"application/json\"") + 1);
  CHECK(page.find("'unsafe-inline'") == std::string::npos);
  CHECK(page.find("script-src 'sha256-") != std::string::npos);
  CHECK(!std::filesystem::exists(folder / "one/page"));
}

TEST_CASE("a folder that is written again holds no data of the report before", "[reports_html]") {
  const TempDir folder;
  const std::vector<Record> records = example();
  write(build_report(records), records, {}, folder / "out");
  core::write_file_atomic(folder / "out/page/data/mine.js", "other people's");
  const std::vector<Record> fewer(records.begin(), records.begin() + 8);
  write(build_report(fewer), fewer, {}, folder / "out");
  CHECK(std::filesystem::exists(folder / "out/page/data/track-0-0.js"));
  CHECK(!std::filesystem::exists(folder / "out/page/data/track-0-2.js"));
  CHECK(std::filesystem::exists(folder / "out/page/data/mine.js"));
}

TEST_CASE("audio of another data set is refused, saying which one is meant", "[reports_html]") {
  const TempDir folder;
  const std::vector<Record> records = example();
  const Report report = build_report(records);
  const Error error =
      tests::error_of([&] { write(report, records, {.audio = {"synthetic:songs=1,seconds=1"}}, folder / "out"); });
  CHECK(error.code() == Code::dataset);
  CHECK(std::string(error.what()).find("Songs") != std::string::npos);
  CHECK(std::string(error.what()).find("synthetic") != std::string::npos);
}

}  // namespace mss::reports::html
