#include "reports/report.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/text.h"
#include "reports/input.h"
#include "reports/published.h"
#include "reports/significance.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::reports {
namespace {

using core::Value;
using records::Record;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

struct Example {
  std::string dataset = "Songs", track, spec, scenario = "stems", target;
  std::uint64_t seed = 0;
  std::vector<double> sdr = {};  ///< per frame
  double si_sdr = kNan;
  const char* kind = "method";
  std::string protocol = {};
  bool silent_reference = false, silent_estimate = false;
  double rtf = 0.5;
};

Record make(const Example& e) {
  eval::Scores scores;
  scores.scenario = e.scenario;
  scores.frames = e.silent_reference ? 2 : static_cast<std::int64_t>(e.sdr.size());
  eval::TargetScores target;
  target.target = e.target;
  target.silent_reference = e.silent_reference;
  target.silent_estimate = e.silent_estimate;
  if (!e.silent_reference) {
    target.frames = {{"SDR", e.sdr}};
    target.track = {{"SI-SDR", e.si_sdr}};
  }
  scores.targets = {target};
  Record record =
      records::make_record({e.dataset, "test", e.track, e.spec, e.scenario, e.seed, e.target}, scores, target);
  Value& body = record.body;
  body["version"] = "1.2.3";
  body["revision"] = "abcdef012345";
  body["isa"] = "avx2";
  body["oracle"] = e.kind == std::string_view("oracle");
  body["floor"] = e.kind == std::string_view("floor");
  body["protocol"] = e.protocol;
  Value measured = Value::object();
  measured["rtf"] = e.rtf;
  measured["command"] = "mssbench run -d songs -o run";
  body["measured"] = measured;
  return record;
}

Record failure(const std::string& track, const std::string& spec, const std::string& message) {
  Record record =
      records::make_error_record({"Songs", "test", track, spec, "", 0, ""}, Error(Code::dataset, "drums.wav", message));
  record.body["version"] = "1.2.3";
  record.body["revision"] = "abcdef012345";
  record.body["isa"] = "avx2";
  return record;
}

/// Two floors, three methods (one random, one below the floor, one with a failed track), two oracles, on three tracks
/// with one silent reference, in two scenarios and two data sets.
std::vector<Record> example_records() {
  std::vector<Record> out;
  const auto row = [&](const std::string& spec, const char* kind, double level, std::vector<std::uint64_t> seeds = {0},
                       const std::string& protocol = "") {
    for (const std::uint64_t seed : seeds) {
      for (int track = 0; track < 3; ++track) {
        if (spec == "umx@x_y:a=1,b=\"p,q\"|wiener" && track == 2) continue;
        for (const char* target : {"vocals", "drums", "accompaniment"}) {
          const bool second = target == std::string_view("accompaniment");
          Example e;
          e.track = "Track " + std::to_string(track);
          e.spec = spec;
          e.kind = kind;
          e.protocol = protocol;
          e.target = target;
          e.scenario = second ? "vocals/accompaniment" : "stems";
          e.seed = seed;
          e.silent_reference = target == std::string_view("drums") && track == 1;
          const double base =
              level + track + (target == std::string_view("drums") ? 0.5 : 0.0) + 0.25 * static_cast<double>(seed);
          e.sdr = {base - 1, base, kNan, base + 3};
          e.si_sdr = base - 2;
          out.push_back(make(e));
        }
      }
    }
  };
  row("mixture", "floor", -5);
  row("mixture-over-j", "floor", 1);
  row("repet", "method", 0.5);
  row("nmf:components=40,init=random", "method", 2, {1, 2, 3});
  row("umx@x_y:a=1,b=\"p,q\"|wiener", "method", 5.125);
  row("irm2", "oracle", 9);
  row("nmf:protocol=P4", "oracle", 6, {0}, "P4");
  out.push_back(failure("Track 2", "umx@x_y:a=1,b=\"p,q\"|wiener", "stems of unequal length"));
  Example other;
  other.dataset = "Other_Set & 100%";
  other.track = "One";
  other.spec = "repet";
  other.target = "violins";
  other.sdr = {3};
  out.push_back(make(other));
  Example silent = other;
  silent.spec = "silence";
  silent.kind = "floor";
  silent.sdr = {0, 0};
  silent.silent_estimate = true;
  out.push_back(make(silent));
  return out;
}

/// Compares with a committed file; with MSSBENCH_UPDATE_GOLDEN set, writes it.
void check_golden(const std::string& name, const std::string& text) {
  const std::filesystem::path file = std::filesystem::path(MSSBENCH_TESTS_DIR) / "golden" / "reports" / name;
  if (std::getenv("MSSBENCH_UPDATE_GOLDEN") != nullptr) {
    core::make_directories(file.parent_path());
    core::write_file_atomic(file, text);
  }
  CHECK(text == core::read_text_file(file));
}

const Section& section_of(const Report& report, const std::string& dataset, const std::string& scenario) {
  for (const Section& section : report.sections) {
    if (section.dataset == dataset && section.scenario == scenario) return section;
  }
  throw std::runtime_error("no such section");
}

const Row& row_of(const Section& section, const std::string& spec) {
  for (const Row& row : section.rows) {
    if (row.spec == spec) return row;
  }
  throw std::runtime_error("no such row");
}

ReportOptions with_metrics(std::vector<std::string> metrics) {
  ReportOptions options;
  options.metrics = std::move(metrics);
  return options;
}

/// A CSV reader after RFC 4180.
std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1, {""});
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
        rows.back().back() += '"';
        ++i;
      } else if (c == '"') {
        quoted = false;
      } else {
        rows.back().back() += c;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      rows.back().emplace_back();
    } else if (c == '\n') {
      rows.push_back({""});
    } else {
      rows.back().back() += c;
    }
  }
  rows.pop_back();
  return rows;
}

}  // namespace

TEST_CASE("cells are medians over tracks of medians over frames, with the mean beside", "[reports]") {
  const Report report = build_report(example_records());
  const Section& stems = section_of(report, "Songs", "stems");
  CHECK(stems.tracks == 3);
  CHECK(stems.targets == std::vector<std::string>{"vocals", "drums"});
  CHECK(stems.metrics == std::vector<std::string>{"SDR", "SI-SDR"});
  const Row& mixture = row_of(stems, "mixture");
  REQUIRE(mixture.cells.size() == 2);
  REQUIRE(mixture.cells[0].size() == 3);
  const Cell& vocals = mixture.cells[0][0];  // frames (base - 1, base, -, base + 3): median base, base = -5, -4, -3
  CHECK(vocals.median == -4.0);
  CHECK(vocals.mean == -4.0);
  CHECK(vocals.tracks == 3);
  CHECK(vocals.frames == 12);
  CHECK(vocals.dropped_frames == 3);
  CHECK(std::isnan(vocals.spread_low));
  const Cell& drums = mixture.cells[0][1];  // -4.5 and -2.5; the track between has silent drums
  CHECK(drums.median == -3.5);
  CHECK(drums.tracks == 2);
  CHECK(drums.silent_references == 1);
  CHECK(drums.frames == 8);
  CHECK(mixture.cells[0][2].median == -3.75);
  CHECK(mixture.cells[1][0].median == -6.0);  // SI-SDR has no frames
  CHECK(mixture.cells[1][0].frames == 0);
  CHECK(mixture.realtime_factor == 0.5);
}

TEST_CASE("random rows average their seeds per track and show the spread", "[reports]") {
  const Report report = build_report(example_records());
  const Row& nmf = row_of(section_of(report, "Songs", "stems"), "nmf:components=40,init=random");
  CHECK(nmf.seeds == std::vector<std::uint64_t>{1, 2, 3});
  CHECK(nmf.tracks == 3);
  const Cell& vocals = nmf.cells[0][0];
  CHECK(vocals.median == 3.5);  // 2 + 0.25 * 2 on the first track, + 1 on the middle one
  CHECK(vocals.spread_low == 3.25);
  CHECK(vocals.spread_high == 3.75);
  CHECK(vocals.frames == 12);  // of one seed
  CHECK(nmf.cells[0][2].spread_low == 3.5);
  CHECK(nmf.cells[0][2].spread_high == 4.0);
}

TEST_CASE("rows are ranked inside their group, and flagged below the floor", "[reports]") {
  const Report report = build_report(example_records());
  const Section& stems = section_of(report, "Songs", "stems");
  std::vector<std::string> order;
  for (const Row& row : stems.rows) order.push_back(row.spec);
  CHECK(order == std::vector<std::string>{"umx@x_y:a=1,b=\"p,q\"|wiener", "nmf:components=40,init=random", "repet",
                                          "mixture-over-j", "mixture", "irm2", "nmf:protocol=P4"});
  CHECK(stems.floor == "mixture-over-j");
  for (const Row& row : stems.rows) CHECK(row.below_floor == (row.spec == "repet"));
  const Row& umx = row_of(stems, "umx@x_y:a=1,b=\"p,q\"|wiener");
  CHECK(umx.tracks == 2);
  CHECK(umx.failed_tracks == 1);
  REQUIRE(stems.errors.size() == 1);
  CHECK(stems.errors[0] == "Track 2 | umx@x_y:a=1,b=\"p,q\"|wiener: drums.wav: stems of unequal length");
  // Without mixture-over-j the unscaled mixture is the floor; without either none is.
  std::vector<Record> records = example_records();
  std::erase_if(records, [](const Record& r) { return r.key.spec == "mixture-over-j"; });
  const Report second = build_report(records);
  CHECK(section_of(second, "Songs", "stems").floor == "mixture");
  CHECK_FALSE(row_of(section_of(second, "Songs", "stems"), "repet").below_floor);
  CHECK(section_of(report, "Other_Set & 100%", "stems").floor.empty());
}

TEST_CASE("sections never mix data sets or scenarios", "[reports]") {
  const Report report = build_report(example_records());
  REQUIRE(report.sections.size() == 3);
  CHECK(report.sections[0].dataset == "Other_Set & 100%");
  CHECK(report.sections[1].scenario == "stems");
  CHECK(report.sections[2].scenario == "vocals/accompaniment");
  CHECK(report.sections[2].targets == std::vector<std::string>{"accompaniment"});
  CHECK(report.versions == std::vector<std::string>{"1.2.3"});
  CHECK(report.commands == std::vector<std::string>{"mssbench run -d songs -o run"});
}

TEST_CASE("a row that lacks a target has no average", "[reports]") {
  std::vector<Record> records = example_records();
  std::erase_if(records, [](const Record& r) { return r.key.spec == "repet" && r.key.target == "drums"; });
  const Report report = build_report(records);
  const Row& repet = row_of(section_of(report, "Songs", "stems"), "repet");
  CHECK(std::isnan(repet.cells[0].back().median));
  CHECK_FALSE(repet.below_floor);
  CHECK(repet.cells[0][0].median == 1.5);
}

TEST_CASE("infinite and undefined values keep their meaning", "[reports]") {
  std::vector<Record> records;
  for (int i = 0; i < 4; ++i) {
    Example e;
    e.track = std::to_string(i);
    e.spec = "perfect";
    e.target = "vocals";
    e.sdr = {1};
    e.si_sdr = i == 0 ? kNan : i == 1 ? 7.0 : kInf;
    records.push_back(make(e));
  }
  const Report report = build_report(records);
  const Cell& cell = report.sections[0].rows[0].cells[1][0];
  CHECK(cell.median == kInf);
  CHECK(cell.mean == kInf);
  CHECK(cell.tracks == 3);
  const Value json = to_json(report);
  const Value& metric = json.at("sections").as_array()[0].at("rows").as_array()[0].at("metrics").at("SI-SDR");
  CHECK(metric.at("average").at("median").as_string() == "inf");
  CHECK(to_text(report).find("nan") == std::string::npos);
}

TEST_CASE("rows that are not of one origin are an error, or flagged", "[reports]") {
  std::vector<Record> records;
  for (const char* spec : {"a", "b", "c"}) {
    for (const char* track : {"x", "y"}) {
      Example e;
      e.track = track;
      e.spec = spec;
      e.target = "vocals";
      e.sdr = {1};
      Record record = make(e);
      const bool other = spec == std::string_view("b") && track == std::string_view("y");
      record.body["fingerprint"] = other ? "eeeeeeeeee" : std::string("print of ") + track;
      records.push_back(record);
    }
  }
  try {
    build_report(records);
    FAIL("joined different audio");
  } catch (const Error& error) {
    CHECK(error.code() == Code::dataset);
    CHECK(std::string(error.what()).find("test/y: audio print of in a, c, eeeeeeee in b") != std::string::npos);
    CHECK(std::string(error.what()).find("test/x") == std::string::npos);
  }
  ReportOptions options;
  options.allow_mixed = true;
  const Report report = build_report(records, options);
  const Section& section = report.sections.at(0);
  for (const Row& row : section.rows) CHECK(row.notes.size() == (row.spec == "b" ? 1 : 0));
  const Row& row = row_of(section, "b");
  CHECK(row.notes[0].kind == NoteKind::mixed);
  CHECK(row.notes[0].tracks == std::vector<std::string>{"y"});
  CHECK(row.notes[0].text == "other audio than other rows (eeeeeeee): y");
  CHECK(to_text(report).find("! b: other audio than other rows (eeeeeeee): y") != std::string::npos);
  CHECK(to_markdown(report).find("(!)") != std::string::npos);
  CHECK(to_latex(report).find("(!)") != std::string::npos);
  CHECK(to_csv(report).find("mixed: other audio than other rows (eeeeeeee): y") != std::string::npos);
  // Rows that were left out do not count.
  options.allow_mixed = false;
  options.only = {"a", "c"};
  CHECK_NOTHROW(build_report(records, options));
}

TEST_CASE("rows on tracks that they were trained on are flagged and have no rank", "[reports]") {
  std::vector<Record> records;
  for (const char* spec : {"learned", "plain"}) {
    for (int track = 0; track < 6; ++track) {
      Example e;
      e.track = std::to_string(track);
      e.spec = spec;
      e.target = "vocals";
      const bool learned = spec == std::string_view("learned");
      e.sdr = {(learned ? 9.0 : 3.0) + 0.1 * track};
      Record record = make(e);
      record.body["training_data"] = learned && track < 2 ? "fingerprint" : "";
      records.push_back(record);
    }
  }
  const Report report = build_report(records);
  const Section& section = report.sections.at(0);
  CHECK(section.rows[0].spec == "plain");
  CHECK_FALSE(section.rows[1].ranked);
  REQUIRE(section.rows[1].notes.size() == 1);
  CHECK(section.rows[1].notes[0].kind == NoteKind::training);
  CHECK(section.rows[1].notes[0].tracks == std::vector<std::string>{"0", "1"});
  CHECK(section.best[0][0] == -1);
  CHECK(to_text(report).find("T learned: trained on: 0, 1; not ranked") != std::string::npos);
  ReportOptions options;
  options.allow_training_tracks = true;
  const Report allowed = build_report(records, options);
  CHECK(allowed.sections[0].rows[0].spec == "learned");
  CHECK(allowed.sections[0].rows[0].notes.size() == 1);
  CHECK(allowed.sections[0].best[0][0] == 0);
  // By name only.
  for (Record& record : records)
    if (record.text("training_data") == "fingerprint") record.body["training_data"] = "name";
  CHECK(to_text(build_report(records)).find("T learned: trained on tracks of these names and lengths: 0, 1") !=
        std::string::npos);
}

TEST_CASE("rows of random weights are flagged and have no rank", "[reports]") {
  std::vector<Record> records;
  for (const char* spec : {"untrained", "plain"}) {
    for (int track = 0; track < 6; ++track) {
      Example e;
      e.track = std::to_string(track);
      e.spec = spec;
      e.target = "vocals";
      const bool untrained = spec == std::string_view("untrained");
      e.sdr = {(untrained ? 9.0 : 3.0) + 0.1 * track};
      Record record = make(e);
      core::Value weights = core::Value::object();
      weights["label"] = untrained ? "random-1#12345678" : "umxhq#12345678";
      record.body["weights"] = weights;
      CHECK(is_untrained(record) == untrained);
      records.push_back(record);
    }
  }
  const Report report = build_report(records);
  const Section& section = report.sections.at(0);
  CHECK(section.rows[0].spec == "plain");
  CHECK(section.rows[0].notes.empty());
  CHECK_FALSE(section.rows[1].ranked);
  REQUIRE(section.rows[1].notes.size() == 1);
  CHECK(section.rows[1].notes[0].kind == NoteKind::untrained);
  CHECK(section.rows[1].notes[0].tracks.empty());
  CHECK(section.best[0][0] == -1);
  CHECK(to_text(report).find("R untrained: its weights were drawn at random") != std::string::npos);
}

TEST_CASE("ill-conditioned tracks are a note of the section", "[reports]") {
  std::vector<Record> records;
  for (const char* track : {"x", "y"}) {
    Example e;
    e.track = track;
    e.spec = "a";
    e.target = "vocals";
    e.sdr = {1};
    Record record = make(e);
    record.body["condition"] = track == std::string_view("x") ? 2.5e14 : 1e7;
    record.body["ill_conditioned"] = track == std::string_view("x");
    records.push_back(record);
  }
  const Report report = build_report(records);
  REQUIRE(report.sections.at(0).notes.size() == 1);
  CHECK(report.sections[0].notes[0].tracks == std::vector<std::string>{"x"});
  CHECK(to_text(report, 200)
            .find("~ ISR, SIR and SAR hang on the last bits of the references (condition up to 2e+14): x") !=
        std::string::npos);
  CHECK(to_json(report).at("sections").as_array()[0].at("notes").as_array()[0].at("kind").as_string() ==
        "ill-conditioned");
}

TEST_CASE("GNSDR is NSDR weighted by length", "[reports]") {
  std::vector<Record> records;
  for (int track = 0; track < 3; ++track) {
    Example e;
    e.track = std::to_string(track);
    e.spec = "a";
    e.target = "vocals";
    e.sdr = {1};
    Record record = make(e);
    record.body["scores"]["NSDR"] = 2.0 + track;
    record.body["samples"] = 16000 * (track + 1);
    record.body["rate_hz"] = 16000;
    records.push_back(record);
  }
  const Report report = build_report(records, with_metrics({"GNSDR", "NSDR"}));
  const std::vector<std::vector<Cell>>& cells = report.sections.at(0).rows.at(0).cells;
  CHECK(cells[0][0].mean == Approx((2.0 * 1 + 3.0 * 2 + 4.0 * 3) / 6));
  CHECK(cells[0][0].median == cells[0][0].mean);
  CHECK(cells[1][0].mean == Approx(3));
}

TEST_CASE("metrics can be chosen, and the first one ranks", "[reports]") {
  const Report report = build_report(example_records(), with_metrics({"SI-SDR"}));
  CHECK(section_of(report, "Songs", "stems").metrics == std::vector<std::string>{"SI-SDR"});
  try {
    build_report(example_records(), with_metrics({"SISDR"}));
    FAIL("accepted an unknown metric");
  } catch (const Error& error) {
    CHECK(error.code() == Code::config);
    CHECK(std::string(error.what()).find("SI-SDR") != std::string::npos);
  }
  CHECK_THROWS_AS(build_report({}), Error);
}

TEST_CASE("a record may stand twice if it is the same, and scores stand before failures", "[reports]") {
  std::vector<Record> records = example_records();
  Record copy = records.front();
  copy.body["measured"]["rtf"] = 99.0;
  records.push_back(copy);
  records.push_back(failure("Track 0", "mixture", "was broken once"));
  const Report report = build_report(records);
  CHECK(report.records == build_report(example_records()).records);
  CHECK(row_of(section_of(report, "Songs", "stems"), "mixture").failed_tracks == 0);
  records.back() = records.front();
  records.back().body["scores"]["SDR"] = 123.0;
  CHECK_THROWS_AS(build_report(records), Error);
}

TEST_CASE("a method that failed everywhere still has its row", "[reports]") {
  const Report report = build_report({failure("A", "umx", "no weights"), failure("B", "umx", "no weights")});
  REQUIRE(report.sections.size() == 1);
  REQUIRE(report.sections[0].rows.size() == 1);
  CHECK(report.sections[0].rows[0].failed_tracks == 2);
  CHECK(report.sections[0].tracks == 2);
  CHECK(to_text(report).find("2 failed") != std::string::npos);
  CHECK(to_markdown(report).find("no weights") != std::string::npos);
  CHECK(to_csv(report).find('\n') != std::string::npos);
}

TEST_CASE("the printed tables are these", "[reports]") {
  const Report report = build_report(example_records());
  check_golden("table.txt", to_text(report, 100));
  check_golden("table80.txt", to_text(report, 80));
  // The definitions at the end are eval's.
  const std::string markdown = to_markdown(report);
  const std::size_t definitions = markdown.find("\n## Metrics\n");
  REQUIRE(definitions != std::string::npos);
  check_golden("table.md", markdown.substr(0, definitions));
  CHECK(markdown.find("- **SDR**: ", definitions) != std::string::npos);
  check_golden("table.csv", to_csv(report));
  check_golden("table.tex", to_latex(report));
  check_golden("table.json", core::dump_json(to_json(report), 2) + "\n");
}

TEST_CASE("text tables keep to the width", "[reports]") {
  std::vector<Record> records = example_records();
  for (int t = 0; t < 9; ++t) {  // a data set with many stems
    Example e;
    e.dataset = "Orchestra";
    e.track = "Symphony";
    e.spec = "repet";
    e.target = "instrument " + std::to_string(t);
    e.sdr = {-10.125 * t};
    records.push_back(make(e));
  }
  const Report report = build_report(records);
  for (const int columns : {60, 72, 80, 100, 120, 200}) {
    std::istringstream lines(to_text(report, columns));
    CAPTURE(columns);
    for (std::string line; std::getline(lines, line);) {
      CAPTURE(line);
      CHECK(core::display_width(line) <= static_cast<std::size_t>(columns));
      CHECK((line.empty() || line.back() != ' '));
    }
    const std::string text = to_text(report, columns);
    for (int t = 0; t < 9; ++t) CHECK(text.find("instrument " + std::to_string(t)) != std::string::npos);
    CHECK(text.find("-81.00") != std::string::npos);
  }
}

TEST_CASE("CSV fields survive a reader", "[reports]") {
  const Report report = build_report(example_records());
  const auto rows = parse_csv(to_csv(report));
  REQUIRE(rows.size() > 10);
  const auto column = [&](const std::string& name) {
    return static_cast<std::size_t>(std::find(rows[0].begin(), rows[0].end(), name) - rows[0].begin());
  };
  bool found = false;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    REQUIRE(rows[i].size() == rows[0].size());
    if (rows[i][column("spec")] == "umx@x_y:a=1,b=\"p,q\"|wiener" && rows[i][column("target")] == "avg" &&
        rows[i][column("metric")] == "SDR" && rows[i][column("scenario")] == "stems") {
      found = true;
      CHECK(std::stod(rows[i][column("median")]) == 5.625);
      CHECK(rows[i][column("failed_tracks")] == "1");
    }
  }
  CHECK(found);
}

TEST_CASE("LaTeX and Markdown escape what would break them", "[reports]") {
  const std::string nasty = "a\\b{c}$d&e#f%g_h~i^j<k>l|m\"n";
  Example e;
  e.dataset = nasty;
  e.track = "t";
  e.spec = "x:a=\"`|`\"";
  e.target = nasty;
  e.sdr = {1};
  const Report report = build_report({make(e)});
  const std::string tex = to_latex(report);
  const std::string escaped =
      "a\\textbackslash{}b\\{c\\}\\$d\\&e\\#f\\%g\\_h\\textasciitilde{}i\\textasciicircum{}j\\textless{}k\\textgreater{"
      "}l"
      "\\textbar{}m\\char34{}n";
  CHECK(tex.find(" & " + escaped + " \\\\\n") != std::string::npos);
  int braces = 0;  // balanced outside escapes
  for (std::size_t i = 0; i < tex.size(); ++i) {
    if (tex[i] == '\\') {
      ++i;
      continue;
    }
    if (tex[i] == '%') i = tex.find('\n', i);
    braces += tex[i] == '{' ? 1 : tex[i] == '}' ? -1 : 0;
    REQUIRE(braces >= 0);
  }
  CHECK(braces == 0);
  const std::string md = to_markdown(report);
  CHECK(md.find("## a\\\\b\\{c\\}$d\\&e\\#f%g\\_h\\~i^j\\<k\\>l\\|m\"n") != std::string::npos);
  CHECK(md.find("`` x:a=\"`\\|`\" ``") != std::string::npos);
  // Every table line has as many unescaped bars as its head.
  std::istringstream lines(md);
  std::size_t expected = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] != '|') {
      expected = 0;
      continue;
    }
    std::size_t bars = 0;
    for (std::size_t i = 0; i < line.size(); ++i) bars += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
    if (expected == 0) expected = bars;
    CHECK(bars == expected);
  }
}

TEST_CASE("a report is written from folders of records", "[reports]") {
  const mss::tests::TempDir dir;
  const std::vector<Record> records = example_records();
  const std::size_t half = records.size() / 2;
  core::make_directories(dir / "a");
  records::write_records(dir / "a" / "records.jsonl", {records.begin(), records.begin() + static_cast<long>(half)});
  records::write_records(dir / "b.jsonl", {records.begin() + static_cast<long>(half), records.end()});
  const std::vector<Record> read = read_sources({(dir / "a").string(), (dir / "b.jsonl").string()});
  CHECK(read.size() == records.size());
  Report report = build_report(read);
  write_tables(report, dir / "out" / "deep");
  CHECK(core::read_text_file(dir / "out/deep/table.md") == to_markdown(build_report(records)));
  CHECK(core::read_json_file(dir / "out/deep/table.json").at("schema").as_integer() == kTableSchema);
  CHECK(core::read_text_file(dir / "out/deep/table.csv") == to_csv(report));
  CHECK(core::read_text_file(dir / "out/deep/tracks.csv") == to_tracks_csv(report));
  CHECK(core::read_text_file(dir / "out/deep/table.tex") == to_latex(report));
  CHECK(core::read_text_file(dir / "out/deep/stats.md") == significance_markdown(report));
  // One row of a run.
  const std::vector<Record> one = read_source((dir / "a").string() + "#repet");
  CHECK_FALSE(one.empty());
  for (const Record& record : one) CHECK(record.key.spec == "repet");
  CHECK_THROWS_AS(read_source((dir / "a").string() + "#repat"), Error);
  CHECK_THROWS_AS(read_sources({(dir / "none").string()}), Error);
}

TEST_CASE("cells have intervals, one track has none", "[reports]") {
  const Report report = build_report(example_records());
  const Row& mixture = row_of(section_of(report, "Songs", "stems"), "mixture");
  const Cell& vocals = mixture.cells[0][0];
  const eval::Interval plain = eval::bootstrap({-5, -4, -3}, eval::Statistic::mean, {.expanded = true}).interval();
  CHECK(vocals.mean_interval.low == plain.low);
  CHECK(vocals.mean_interval.high == plain.high);
  CHECK(vocals.median_interval.low <= vocals.median);
  CHECK(std::isfinite(mixture.cells[0][2].median_interval.low));
  const Row& alone = row_of(section_of(report, "Other_Set & 100%", "stems"), "repet");
  CHECK(std::isnan(alone.cells[0][0].mean_interval.low));
  ReportOptions options;
  options.intervals = true;
  const Report shown = build_report(example_records(), options);
  CHECK(to_markdown(shown).find("3.00 (3.00) \\[–\\]") != std::string::npos);
  CHECK(to_text(shown).find("3.00 (3.00) [-]") != std::string::npos);
}

TEST_CASE("the best is marked only where it is proven", "[reports]") {
  const auto records = [](double lead, double noise) {
    std::vector<Record> out;
    for (int track = 0; track < 20; ++track) {
      for (const bool second : {false, true}) {
        Example e;
        e.track = std::to_string(track);
        e.spec = second ? "b" : "a";
        e.target = "vocals";
        e.sdr = {5 + std::sin(track) + (second ? lead + noise * std::cos(7.0 * track) : 0.0)};
        out.push_back(make(e));
      }
    }
    return out;
  };
  const Report proven = build_report(records(0.5, 0.1)), open = build_report(records(0.02, 1.0));
  CHECK(proven.sections[0].rows[static_cast<std::size_t>(proven.sections[0].best[0][0])].spec == "b");
  CHECK(to_markdown(proven).find("**5.") != std::string::npos);
  CHECK(to_latex(proven).find("\\textbf{5.") != std::string::npos);
  CHECK(open.sections[0].best[0][0] == -1);
  CHECK(to_markdown(open).find("**5.") == std::string::npos);

  ReportOptions against;
  against.against = "a";
  const Report compared = build_report(records(0.5, 0.1), against);
  const Row& b = row_of(compared.sections[0], "b");
  CHECK(b.against[0][0].verdict == eval::Verdict::better);
  CHECK(b.against[0][0].wins == 20);
  CHECK(b.against[0][0].interval.low > 0.3);
  const std::string md = to_markdown(compared);
  CHECK(md.find("20/0/0, better") != std::string::npos);
  CHECK(to_csv(compared).find(",20,0,0,better,") != std::string::npos);
  against.against = "c";
  CHECK_THROWS_AS(build_report(records(0.5, 0.1), against), Error);
}

TEST_CASE("rows can be chosen, named and ordered, subsets joined, digits set", "[reports]") {
  ReportOptions options;
  options.only = {"nmf*", "Repet"};
  options.names = {{"repet", "Repet"}, {"nmf:components=40,init=random", "NMF & co"}, {"umx@xx", "none"}};
  const Report some = build_report(example_records(), options);
  std::vector<std::string> shown;
  for (const Row& row : section_of(some, "Songs", "stems").rows) shown.push_back(row.name);
  CHECK(shown == std::vector<std::string>{"NMF & co", "Repet", "nmf:protocol=P4"});
  CHECK(some.warnings.size() == 1);
  CHECK(some.warnings[0].find("umx@xx") != std::string::npos);
  CHECK(to_latex(some).find("NMF \\& co") != std::string::npos);
  options.only = {"nothing"};
  CHECK_THROWS_AS(build_report(example_records(), options), Error);
  options = {};
  options.names = {{"repet", "same"}, {"irm2", "same"}};
  CHECK_THROWS_AS(build_report(example_records(), options), Error);

  options = {};
  options.order = {"repet,nmf:components=40,init=random"};
  std::vector<std::string> order;
  const Report named = build_report(example_records(), options);
  for (const Row& row : section_of(named, "Songs", "stems").rows) {
    if (row.kind == RowKind::method) order.push_back(row.spec);
  }
  CHECK(order == std::vector<std::string>{"repet", "nmf:components=40,init=random", "umx@x_y:a=1,b=\"p,q\"|wiener"});
  options.order = {"repat", "irm2"};
  CHECK(build_report(example_records(), options).warnings.at(0) ==
        "order: no row is called 'repat'; did you mean 'repet'?");
  options.order = {"file"};
  order.clear();
  const Report as_read = build_report(example_records(), options);
  for (const Row& row : section_of(as_read, "Songs", "stems").rows) {
    if (row.kind == RowKind::method) order.push_back(row.spec);
  }
  CHECK(order == std::vector<std::string>{"repet", "nmf:components=40,init=random", "umx@x_y:a=1,b=\"p,q\"|wiener"});

  std::vector<Record> both = example_records();
  for (const Record& record : example_records()) {
    Record copy = record;
    copy.key.subset = "train";
    copy.body["subset"] = "train";
    both.push_back(copy);
  }
  options = {};
  options.join_subsets = true;
  options.digits = 0;
  options.means = false;
  const Report joined = build_report(both, options);
  const Section& all = section_of(joined, "Songs", "stems");
  CHECK(all.subset == "all");
  CHECK(all.tracks == 6);
  CHECK(all.track_names.front() == "test/Track 0");
  CHECK(to_markdown(joined).find("| -4 |") != std::string::npos);
  options.digits = 7;
  CHECK_THROWS_AS(build_report(both, options), Error);
}

TEST_CASE("other layouts: SiSEC 2018 and MDX 2021", "[reports]") {
  ReportOptions options;
  options.style = Style::sisec18;
  const Report sisec = build_report(example_records(), options);
  check_golden("sisec18.md", to_markdown(sisec).substr(0, to_markdown(sisec).find("\n## Metrics\n")));
  options.style = Style::mdx21;
  options.metrics = {"SI-SDR"};
  const Report mdx = build_report(example_records(), options);
  check_golden("mdx21.txt", to_text(mdx, 100));
  check_golden("mdx21.tex", to_latex(mdx));
  options = {};
  options.intervals = true;
  options.against = "irm2";
  std::vector<Record> records = example_records();
  std::erase_if(records, [](const Record& r) { return r.key.dataset != "Songs"; });
  const Report full = build_report(records, options);
  check_golden("intervals.md", to_markdown(full).substr(0, to_markdown(full).find("\n## Metrics\n")));
  check_golden("intervals.txt", to_text(full, 120));
  check_golden("intervals.tex", to_latex(full));
  check_golden("tracks.csv", to_tracks_csv(full));
  check_golden("stats.md", significance_markdown(full));
}

TEST_CASE("hostile names come out inert in every format", "[reports]") {
  const std::string hostile =
      "=HYPERLINK(\"http://x\")|<script>alert(1)</script>\\input{/etc/passwd}%\n\x1b[31m**b**\u202e\u6f22";
  std::vector<Record> records;
  for (int track = 0; track < 2; ++track) {
    Example e;
    e.dataset = e.spec = e.target = hostile;
    e.track = hostile + std::to_string(track);
    e.sdr = {1.0 + track};
    records.push_back(make(e));
  }
  records.push_back(failure(hostile, hostile, hostile));
  const Report report = build_report(records);
  for (const std::string& text : {to_text(report), to_markdown(report), to_latex(report), to_csv(report),
                                  to_tracks_csv(report), significance_markdown(report)}) {
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find("\u202e") == std::string::npos);
  }
  for (const std::string& text : {to_csv(report), to_tracks_csv(report)}) {
    for (const char* formula : {"\n=", "\n\"=", ",=", ",\"="}) CHECK(text.find(formula) == std::string::npos);
  }
  CHECK(to_markdown(report).find("### <script>") == std::string::npos);
  CHECK(to_latex(report).find("\\input{") == std::string::npos);
  CHECK(to_latex(report).find("\\mssbenchletter{\u6f22}{6F22}") != std::string::npos);
}

TEST_CASE("LaTeX compiles as it is and fits", "[reports]") {
  if (std::system("pdflatex --version > /dev/null 2>&1") != 0) {
    std::printf("SKIPPED: pdflatex is not installed\n");
    return;
  }
  std::vector<Record> records = example_records();
  const auto four_stems = [&](const std::string& spec, double level, const std::string& dataset) {
    for (int track = 0; track < 8; ++track) {
      for (const char* target : {"vocals", "drums", "bass", "other"}) {
        Example e;
        e.dataset = dataset;
        e.track = std::to_string(track);
        e.spec = spec;
        e.target = target;
        e.sdr = {-level - track, level + track, -3.25 * level};
        records.push_back(make(e));
      }
    }
  };
  const std::string hostile = "\\end{document} Dvo\u0159\u00e1k \u6f22 $x^2$ 50% #1 ~ \"q\" _ & {";
  four_stems("umx@umxhq:targets=vocals+drums+bass+other|wiener:iterations=1,softmask=true", 12.5, "MUSDB18-HQ");
  four_stems("repet", 3.5, "MUSDB18-HQ");
  four_stems("nmf:components=120,iterations=200,init=random,sparsity=0.25,protocol=P1", 1.5, "MUSDB18-HQ");
  four_stems("irm2", 9.5, "MUSDB18-HQ");
  four_stems(hostile, 9.5, hostile);
  const mss::tests::TempDir dir;
  std::string document = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n";
  int number = 0;
  for (const bool intervals : {false, true}) {
    for (const Style style : {Style::paper, Style::sisec18, Style::mdx21}) {
      ReportOptions options;
      options.style = style;
      options.intervals = intervals;
      options.against = style == Style::paper ? "repet" : "";
      std::vector<std::string> warnings;
      const std::string name = "table" + std::to_string(number++) + ".tex";
      core::write_file_atomic(dir / name, to_latex(build_report(records, options), &warnings));
      for (const std::string& warning : warnings) INFO(warning);
      CHECK(warnings.empty());
      document += "\\input{" + name + "}\\clearpage\n";
    }
  }
  core::write_file_atomic(dir / "published.tex", published_latex(published_groups_for("SDR")));
  document += "\\input{published.tex}\n\\end{document}\n";
  core::write_file_atomic(dir / "all.tex", document);
  const std::string command =
      "cd '" + dir.path().string() + "' && pdflatex -interaction=nonstopmode all.tex > out.txt 2>&1";
  const int status = std::system(command.c_str());
  const std::string log = core::read_text_file(dir / "all.log");
  INFO((log.substr(log.find("\n!") == std::string::npos ? 0 : log.find("\n!"), 600)));
  CHECK(status == 0);
  CHECK(log.find("\n! ") == std::string::npos);
  const std::size_t overfull = log.find("Overfull \\hbox");
  INFO((overfull == std::string::npos ? std::string() : log.substr(overfull, 300)));
  CHECK(overfull == std::string::npos);

  // What cannot fit says so, with what would help.
  ReportOptions narrow;
  narrow.latex_width_pt = 120;
  std::vector<std::string> warnings;
  to_latex(build_report(records, narrow), &warnings);
  REQUIRE_FALSE(warnings.empty());
  CHECK(warnings[0].find("--round 1") != std::string::npos);
}

TEST_CASE("every form of a report over composed songs says that they do not compare with MUSDB18", "[reports]") {
  CHECK(reports::dataset_note("MUSDB18").empty());
  CHECK(reports::dataset_note("synthetic-songs#01234567").empty());
  CHECK_FALSE(reports::dataset_note("synthetic").empty());
  const std::string builtin = reports::dataset_note("synthetic-v2:seconds=30");
  const std::string sampled = reports::dataset_note("synthetic-v2:preset=small,seed=1,renderer=fluidsynth#01234567");
  CHECK(builtin.find("built-in synthesiser") != std::string::npos);
  CHECK(sampled.find("built-in synthesiser") == std::string::npos);
  const auto report_on = [](const std::string& dataset) {
    std::vector<Record> list;
    for (const char* track : {"A", "B"}) {
      list.push_back(make({.dataset = dataset, .track = track, .spec = "repet", .target = "vocals", .sdr = {1, 2}}));
    }
    return reports::build_report(list);
  };
  for (const std::string dataset : {"synthetic-v2", "Songs"}) {
    const reports::Report report = report_on(dataset);
    const bool wanted = dataset != "Songs";
    const auto says = [&](const std::string& text) {
      std::string flat = text;  // lines may be wrapped
      for (std::size_t at = 0; (at = flat.find("\n  ", at)) != std::string::npos;) flat.replace(at, 3, " ");
      return flat.find("comparable with") != std::string::npos;
    };
    INFO(dataset);
    CHECK(says(reports::to_markdown(report)) == wanted);
    CHECK(says(reports::to_text(report, 100)) == wanted);
    CHECK(says(reports::to_latex(report)) == wanted);
    CHECK(says(core::dump_json(reports::to_json(report))) == wanted);
  }
}

}  // namespace mss::reports
