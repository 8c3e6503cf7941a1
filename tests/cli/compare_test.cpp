// mssbench compare, corpus, plot: from records to verdicts and exit statuses.
#include <filesystem>

#include "core/file.h"
#include "core/json.h"
#include "plots/canvas.h"
#include "records/record.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::tests {
namespace {

namespace fs = std::filesystem;

/// Twenty tracks of one row, all of them `loss` dB below what they could be.
void write_run(const fs::path& folder, double loss, int tracks = 20) {
  std::vector<records::Record> out;
  for (int track = 0; track < tracks; ++track) {
    eval::Scores scores;
    scores.scenario = "stems";
    eval::TargetScores target;
    target.target = "vocals";
    target.track = {{"uSDR", 5 + 0.3 * track - loss * (1 + 0.1 * (track % 5))}};
    scores.targets = {target};
    out.push_back(records::make_record(
        {"songs", "test", "song " + std::to_string(100 + track), "model", "stems", 0, "vocals"}, scores, target));
  }
  core::make_directories(folder);
  records::write_records(folder / "records.jsonl", out);
}

}  // namespace

TEST_CASE("compare's exit statuses are for continuous integration", "[cli]") {
  const TempDir folder;
  write_run(folder / "main", 0);
  write_run(folder / "pr", 0.2);
  write_run(folder / "short", 0, 19);
  const auto compare = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "compare");
    return call({.arguments = arguments, .folder = folder.path()});
  };
  const Result same = compare({"main", "main"});
  CHECK(same.status == 0);
  CHECK(contains(same.out, "equivalent: 0 worse, 0 better, 1 equivalent, 0 undecided"));
  const Result worse = compare({"main", "pr", "--summary", "s.md", "--junit", "j.xml"});
  CHECK(worse.status == 4);
  CHECK(contains(worse.out, "worse: 1 worse"));
  CHECK(contains(core::read_text_file(folder / "s.md"), "Separation quality: worse"));
  CHECK(contains(core::read_text_file(folder / "j.xml"), "failures=\"1\""));
  CHECK(compare({"pr", "main"}).status == 0);
  CHECK(compare({"main", "main#model"}).status == 0);
  const Result unpaired = compare({"main", "short"});
  CHECK(unpaired.status == 3);
  CHECK(contains(unpaired.out, "song 119"));
  CHECK(compare({"main", "short", "--allow-missing"}).status == 0);
  CHECK(compare({"main", "nothing"}).status == 3);
  CHECK(compare({"main"}).status == 2);
  CHECK(compare({"main", "main#modle"}).status == 2);
  CHECK(compare({"main", "pr", "--metrics", "SI-SDR"}).status == 2);
  CHECK(compare({"main", "pr", "--summary", "main"}).status == 1);  // a folder
  const Result json = compare({"main", "pr", "--json"});
  CHECK(json.status == 4);
  CHECK(core::parse_json(json.out, "compare --json").at("outcome").as_string() == "worse");
}

TEST_CASE("corpus save and check", "[cli]") {
  const TempDir folder;
  write_run(folder / "main", 0);
  write_run(folder / "pr", 0.2);
  const auto corpus = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "corpus");
    return call({.arguments = arguments, .folder = folder.path()});
  };
  CHECK(corpus({"save", "main", "-o", "c.json"}).status == 0);
  CHECK(corpus({"check", "main", "c.json"}).status == 0);
  const Result changed = corpus({"check", "pr", "c.json"});
  CHECK(changed.status == 4);
  CHECK(contains(changed.out, "20 tracks changed"));
  CHECK(corpus({"check", "pr", "c.json", "--tolerance", "1"}).status == 0);
  CHECK(corpus({"save", "main"}).status == 2);
  CHECK(corpus({"check", "main"}).status == 2);
  CHECK(corpus({"check", "main", "none.json"}).status == 3);
  CHECK(corpus({"guard", "main"}).status == 2);
}

TEST_CASE("plot draws, and report takes its new options", "[cli]") {
  const TempDir folder;
  write_run(folder / "main", 0);
  core::write_file_atomic(folder / "names.toml", "model = \"My model\"\n");
  const Result drawn =
      call({.arguments = {"plot", "main", "-o", "box.svg", "--names", "names.toml"}, .folder = folder.path()});
  CHECK(drawn.status == (plots::Canvas::available() ? 0 : 2));
  if (drawn.status == 0) CHECK(fs::exists(folder / "box.svg"));
  CHECK(call({.arguments = {"plot", "main", "-o", "box.gif"}, .folder = folder.path()}).status == 2);
  CHECK(call({.arguments = {"plot", "main", "-o", "box.svg", "--kind", "pie"}, .folder = folder.path()}).status == 2);

  const Result report = call({.arguments = {"report", "main", "-o", "t", "--names", "names.toml", "--intervals",
                                            "--no-mean", "--round", "1", "--published"},
                              .folder = folder.path()});
  INFO(report.err);
  REQUIRE(report.status == 0);
  CHECK(contains(report.out, "My model"));
  CHECK(contains(report.out, "published: uSDR"));
  for (const char* name : {"tracks.csv", "stats.md", "published.csv"}) CHECK(fs::exists(folder / "t" / name));
  CHECK(contains(core::read_text_file(folder / "t/table.md"), "## Published results"));
  const Result wrong =
      call({.arguments = {"report", "main", "-o", "t", "--against", "modle"}, .folder = folder.path()});
  CHECK(wrong.status == 2);
  CHECK(contains(wrong.err, "did you mean 'model'?"));
}

}  // namespace mss::tests
