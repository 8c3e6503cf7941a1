// mssbench run, merge, report, demo, datasets: from songs to tables.
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <set>
#include <thread>

#include "core/file.h"
#include "core/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;

namespace {

/// The records without what two equal runs may differ in.
std::vector<std::string> stable_records(const fs::path& file) {
  std::vector<std::string> out;
  for (const std::string& line : lines(core::read_text_file(file))) {
    core::Value record = core::parse_json(line, file.string());
    record.erase("measured");
    out.push_back(core::dump_json(record));
  }
  return out;
}

Result run(const fs::path& folder, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"run", "-d", "synthetic:songs=3,seconds=2", "--metrics", "sdr"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return call({.arguments = arguments, .folder = folder});
}

/// Has the child ended (it is not reaped by asking)?
bool has_ended(pid_t child) {
  siginfo_t info = {};
  return waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
}

}  // namespace

TEST_CASE("run records, prints the table, does only what is missing, and report renews the tables", "[cli]") {
  const TempDir folder;
  const Result first = run(folder.path(), {"-m", "mixture", "-m", "irm2", "-o", "r"});
  INFO(first.err);
  REQUIRE(first.status == 0);
  CHECK(has_line(first.err, R"(mssbench: 6 of 6 \(track, method, seed\) done now, 0 found finished, 0 failed)"));
  CHECK(has_line(first.out, R"( +mixture .*-?\d+\.\d\d.*)"));
  CHECK(has_line(first.out, R"( +irm2 .*\d+\.\d\d.*)"));
  CHECK(has_line(first.out, R"(records: r/records\.jsonl)"));
  const std::vector<std::string> records = stable_records(folder / "r/records.jsonl");

  const Result again = run(folder.path(), {"-m", "mixture", "-m", "irm2", "-o", "r", "--json"});
  REQUIRE(again.status == 0);
  const core::Value summary = core::parse_json(again.out, "run --json");
  CHECK(summary.at("reused").as_integer() == 6);
  CHECK(summary.at("done").as_integer() == 0);
  CHECK(stable_records(folder / "r/records.jsonl") == records);

  const Result more = run(folder.path(), {"-m", "mixture", "-m", "irm2", "-m", "silence", "-o", "r"});
  CHECK(has_line(more.err,
                 R"(mssbench: 9 of 9 .* done now, .*|mssbench: 3 of 9 .* done now, 6 found finished, 0 failed)"));

  const Result report = call({.arguments = {"report", "r", "-o", "tables"}, .folder = folder.path()});
  INFO(report.err);
  REQUIRE(report.status == 0);
  CHECK(has_line(report.out, "report: tables/index\\.html"));
  for (const char* name : {"table.md", "table.csv", "table.tex", "table.json"})
    CHECK(fs::exists(folder / "tables" / name));
  CHECK(contains(core::read_text_file(folder / "tables/table.csv"), "irm2"));
  const Result json = call({.arguments = {"report", "r", "-o", "tables", "--json"}, .folder = folder.path()});
  CHECK(core::parse_json(json.out, "report --json").find("sections") != nullptr);
  const Result metric =
      call({.arguments = {"report", "r", "-o", "tables", "--metrics", "SI-SRD"}, .folder = folder.path()});
  CHECK(metric.status == 2);
  CHECK(contains(metric.err, "did you mean 'SI-SDR'?"));
}

TEST_CASE("a plan file gives what its options give, and options win over it", "[cli]") {
  const TempDir folder;
  fs::create_directory(folder / "plans");
  std::ofstream(folder / "plans/plan.toml") << "[run]\ndataset = \"synthetic:songs=3,seconds=2\"\nmethods = "
                                               "[\"mixture\", \"silence\"]\nmetrics = \"sdr\"\nout = \"from-plan\"\n";
  REQUIRE(run(folder.path(), {"-m", "mixture", "-m", "silence", "-o", "typed"}).status == 0);
  const Result plan = call({.arguments = {"run", "plans/plan.toml"}, .folder = folder.path()});
  INFO(plan.err);
  REQUIRE(plan.status == 0);
  // `out` is relative to the plan.
  CHECK(stable_records(folder / "plans/from-plan/records.jsonl") == stable_records(folder / "typed/records.jsonl"));
  const Result changed = call({.arguments = {"run", "plans/plan.toml", "-m", "mixture", "--limit", "1", "-o", "here"},
                               .environment = {{"MSSBENCH_RUN_SILENCE", "per_source"}},
                               .folder = folder.path()});
  REQUIRE(changed.status == 0);
  CHECK(has_line(changed.err, "mssbench: 1 of 1 .*"));
  CHECK(contains(core::read_text_file(folder / "here/run.json"), "per_source"));
}

TEST_CASE("shards merge to the records of the whole run", "[cli]") {
  const TempDir folder;
  REQUIRE(run(folder.path(), {"-m", "mixture", "-m", "irm1", "-o", "whole"}).status == 0);
  REQUIRE(run(folder.path(), {"-m", "mixture", "-m", "irm1", "-o", "a", "--shard", "0/2"}).status == 0);
  const Result half = call({.arguments = {"merge", "a", "-o", "half"}, .folder = folder.path()});
  CHECK(half.status == 6);
  CHECK(contains(half.err, "mssbench: warning: missing: test/"));
  const Result slurm = call({.arguments = {"run", "-d", "synthetic:songs=3,seconds=2", "--metrics", "sdr", "-m",
                                           "mixture", "-m", "irm1", "-o", "b"},
                             .environment = {{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}},
                             .folder = folder.path()});
  REQUIRE(slurm.status == 0);
  CHECK(has_line(slurm.err, "mssbench: shard 1/2"));
  const Result merged = call({.arguments = {"merge", "a", "b", "-o", "merged"}, .folder = folder.path()});
  INFO(merged.err);
  REQUIRE(merged.status == 0);
  CHECK(stable_records(folder / "merged/records.jsonl") == stable_records(folder / "whole/records.jsonl"));
}

TEST_CASE("Ctrl-C keeps what is finished and ends with status 130", "[cli]") {
  const TempDir folder;
  for (const int signal_number : {SIGINT, SIGTERM}) {
    const fs::path out = folder / std::to_string(signal_number);
    // The second method would take many minutes; the first one is there at once.
    const Result stopped =
        call({.arguments = {"run", "-d", "synthetic:songs=1,seconds=2", "--metrics", "sdr", "--threads", "1", "-m",
                            "mixture", "-m", "nmf:components=64,iterations=100000", "-o", out.string()},
              .folder = folder.path(),
              .while_running = [&](pid_t child) {
                for (int i = 0; i < 3000; ++i) {
                  std::error_code ignored;
                  bool found = false;
                  for (auto it = fs::recursive_directory_iterator(out / "parts", ignored);
                       !ignored && it != fs::end(it); it.increment(ignored)) {
                    found = found || it->path().extension() == ".jsonl";
                  }
                  if (found || has_ended(child)) break;
                  std::this_thread::sleep_for(std::chrono::milliseconds(10));
                }
                kill(child, signal_number);
              }});
    INFO(stopped.err);
    CHECK(stopped.status == 130);
    CHECK(contains(stopped.err, "press Ctrl-C again to end at once"));
    CHECK(contains(stopped.err, "the same command goes on from there"));
    const Result rest = call({.arguments = {"run", "-d", "synthetic:songs=1,seconds=2", "--metrics", "sdr", "-m",
                                            "mixture", "-o", out.string(), "--json"},
                              .folder = folder.path()});
    REQUIRE(rest.status == 0);
    CHECK(core::parse_json(rest.out, "run --json").at("reused").as_integer() == 1);
  }
}

TEST_CASE("a stopped separation leaves no files", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1));
  const Result stopped = call({.arguments = {"separate", "song.wav", "-m", "nmf:components=64,iterations=100000", "-o",
                                             "o", "--progress", "json"},
                               .folder = folder.path(),
                               .while_running = [](pid_t child) {
                                 std::this_thread::sleep_for(std::chrono::milliseconds(300));
                                 kill(child, SIGINT);
                               }});
  INFO(stopped.err);
  // Before its handlers stand the signal itself ends the program.
  CHECK((stopped.status == 130 || stopped.status == 128 + SIGINT));
  CHECK(!fs::exists(folder / "o"));
  CHECK(!contains(stopped.err, "record"));
}

TEST_CASE("demo ends in a table and the path of the report", "[cli]") {
  const TempDir folder;
  const Result result = call({.arguments = {"demo"}, .folder = folder.path()});
  INFO(result.err);
  REQUIRE(result.status == 0);
  for (const char* method : {"silence", "mixture", "mixture-over-j", "nmf\\S*", "nmfd\\S*", "umx\\S*", "xumx\\S*",
                             "demucs\\S*", "bsrnn\\S*", "irm2"}) {
    CHECK(has_line(result.out, std::string(" +") + method + " .*-?\\d+\\.\\d\\d.*"));
  }
  CHECK(lines(result.out).back() == "report: mssbench-demo/report/index.html");
  for (const char* name : {"index.html", "table.md", "page/report.js", "page/data/report.js"}) {
    CHECK(fs::file_size(folder / "mssbench-demo/report" / name) > 0);
  }
}

TEST_CASE("datasets list shows names and tracks, check finds nothing wrong with the built-in songs", "[cli]") {
  const Result names = mssbench({"datasets", "list"});
  CHECK(names.status == 0);
  CHECK(has_line(names.out, "synthetic +built-in songs.*"));
  const Result tracks = mssbench({"datasets", "list", "synthetic:songs=2,seconds=3"});
  CHECK(tracks.status == 0);
  CHECK(has_line(tracks.out, "test +test +Synth 3000 - .* 0:03 +44100 +2 +drums, bass, other, vocals"));
  CHECK(has_line(tracks.out, "synthetic.*: 2 tracks, 0:06"));
  const core::Value json = core::parse_json(
      mssbench({"datasets", "list", "synthetic:songs=2,seconds=3", "--hash", "--json"}).out, "list --json");
  REQUIRE(json.at("tracks").size() == 2);
  CHECK(json.at("tracks").as_array()[0].at("sha256").as_string().size() == 64);
  const Result check = mssbench({"datasets", "check", "synthetic:songs=2,seconds=3"});
  INFO(check.out);
  CHECK(check.status == 0);
  CHECK(has_line(check.out, "synthetic.*: 2 tracks, 0 errors, \\d+ warnings"));
  const Result musdb = mssbench({"datasets", "list", "musdb18"});
  CHECK(musdb.status == 3);
  CHECK(contains(musdb.err, "MUSDB_PATH"));
}

TEST_CASE("every table of a run has its floors and oracles", "[cli]") {
  const TempDir folder;
  for (int i = 0; i < 3; ++i) {
    const char* names[] = {"vocals", "drums", "piano"};
    write_audio(folder / "ds/A" / (std::string(names[i]) + ".wav"), tones(i + 1, 1, 16000, 8000));
  }
  audio::AudioBuffer mixture = tones(1, 1, 16000, 8000);
  audio::add_to(mixture.span(), tones(2, 1, 16000, 8000));
  audio::add_to(mixture.span(), tones(3, 1, 16000, 8000));
  write_audio(folder / "ds/A/mixture.wav", mixture);
  const auto scenarios = [&](const std::string& spec) {
    std::set<std::string> found;
    for (const std::string& line : lines(core::read_text_file(folder / "r/records.jsonl"))) {
      const core::Value record = core::parse_json(line, "records");
      if (record.at("spec").as_string() == spec) found.insert(record.at("scenario").as_string());
    }
    return found;
  };
  using Set = std::set<std::string>;
  const auto run = [&](std::vector<std::string> methods) {
    std::vector<std::string> arguments = {"run", "-d", "ds", "-o", "r", "--metrics", "sdr"};
    for (const std::string& method : methods) arguments.insert(arguments.end(), {"-m", method});
    const Result result = call({.arguments = arguments, .folder = folder.path()});
    INFO(result.err);
    REQUIRE(result.status == 0);
    return result;
  };
  run({"mixture", "irm2"});
  CHECK(scenarios("irm2") == Set{"stems", "vocals/accompaniment"});
  // hpss makes the drums alone: rows that were finished are scored beside it.
  const Result more = run({"mixture", "irm2", "hpss"});
  CHECK(scenarios("hpss") == Set{"stems:drums"});
  for (const char* spec : {"mixture", "irm2"}) {
    CHECK(scenarios(spec) == Set{"stems", "stems:drums", "vocals/accompaniment"});
  }
  const Result again = run({"mixture", "irm2", "hpss"});
  CHECK(contains(again.err, "3 found finished"));
}

TEST_CASE("a dry run tells what would be done and changes nothing", "[cli]") {
  const TempDir folder;
  const std::vector<std::string> run = {"run", "-d", "synthetic:songs=2,seconds=2", "-m", "mixture", "-m", "irm2",
                                        "-o",  "r"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> all = run;
    all.insert(all.end(), more.begin(), more.end());
    return call({.arguments = all, .folder = folder.path()});
  };
  const Result before = with({"--dry-run"});
  CHECK(before.status == 0);
  CHECK_FALSE(fs::exists(folder / "r"));
  CHECK(has_line(before.out, "synthetic.*: 2 tracks, 0:04"));
  CHECK(has_line(before.out, " *0 +2 +irm2"));
  CHECK(has_line(before.out, "0 of 4 \\(track, row, seed\\) finished; 4 would be done"));
  CHECK(has_line(before.out, "memory: 0\\.\\d\\d GB for the hungriest track, .*"));
  REQUIRE(call({.arguments = {"run", "-d", "synthetic:songs=2,seconds=2", "-m", "mixture", "-o", "r", "-q"},
                .folder = folder.path()})
              .status == 0);
  const Result after = with({"--dry-run", "--json"});
  const core::Value json = core::parse_json(after.out, "run --dry-run --json");
  CHECK(json.at("items").as_integer() == 4);
  CHECK(json.at("finished").as_integer() == 2);
  CHECK(json.at("rows").as_array()[0].at("finished").as_integer() == 2);
  CHECK(json.at("largest_track_bytes").as_integer() > 0);
}

TEST_CASE("methods may stand in one list, and tracks be named by patterns", "[cli]") {
  const TempDir folder;
  const Result listed =
      run(folder.path(), {"-m", "mixture,nmf:protocol=P4,components=4,iterations=2,irm2|wiener:iters=1", "-o", "r",
                          "--dry-run", "--json"});
  INFO(listed.err);
  REQUIRE(listed.status == 0);
  std::vector<std::string> rows;
  const core::Value preview = core::parse_json(listed.out, "dry run");
  for (const core::Value& row : preview.at("rows").as_array()) {
    rows.push_back(row.at("spec").as_string());
  }
  REQUIRE(rows.size() == 3);
  CHECK(rows[0] == "mixture");
  CHECK(contains(rows[1], "components=4"));
  CHECK(contains(rows[2], "irm2|wiener"));
  const auto tracks = [&](const std::string& pattern) {
    const Result result = run(folder.path(), {"-m", "mixture", "-o", "r", "--dry-run", "--json", "--track", pattern});
    return result.status == 0 ? core::parse_json(result.out, "dry run").at("tracks").as_integer() : -1;
  };
  CHECK(tracks("Synth 300? - *") == 3);
  CHECK(tracks("*3002*") == 1);
  CHECK(tracks("*3007*") == -1);
  const Result near = run(folder.path(), {"-m", "mixture", "-o", "r", "--track", "3002"});
  CHECK(near.status == 3);
  CHECK(contains(near.err, "did you mean 'Synth 3002 - "));
}

TEST_CASE("what cannot be run is told once, and the rest goes on", "[cli]") {
  const TempDir folder;
  const Result some = run(folder.path(), {"-m", "mixture", "-m", "umx:weights=nowhere", "-m",
                                          "nmf@cc0|aggregate:stems=a(vocals+drums)", "-o", "r"});
  INFO(some.err);
  CHECK(some.status == 6);
  const auto count = [&](const std::string& part) {
    std::size_t found = 0;
    for (const std::string& line : lines(some.err)) found += contains(line, part) ? 1 : 0;
    return found;
  };
  CHECK(count(" is left out: ") == 2);
  CHECK(count("nowhere") == 1);
  CHECK(count("makes no stem that synthetic") == 1);
  CHECK(contains(some.err, "2 of 3 methods left out"));
  CHECK(contains(some.err, "3 of 3 (track, method, seed) done now"));
  for (const char* method : {"umx:weights=nowhere", "hpss|aggregate:stems=a(drums+harmonic)"}) {
    const Result none = run(folder.path(), {"-m", method, "-o", "none"});
    CHECK(none.status == 2);
    CHECK(!fs::exists(folder / "none/records.jsonl"));
  }
  // A slip is no lack: it stops the run.
  CHECK(run(folder.path(), {"-m", "mixture", "-m", "mixtrue", "-o", "slip"}).status == 2);
}

TEST_CASE("a run whose input is bad ends as the other commands do", "[cli]") {
  const TempDir folder;
  write_audio(folder / "ds/A/mixture.wav", tones(1));
  write_audio(folder / "ds/A/vocals.wav", tones(1));
  const std::string whole = core::read_text_file(folder / "ds/A/vocals.wav");
  std::ofstream(folder / "ds/A/other.wav", std::ios::binary) << whole.substr(0, 3000);
  const auto run = [&] {
    return call({.arguments = {"run", "-d", "ds", "-m", "mixture,irm2", "-o", "r"}, .folder = folder.path()});
  };
  const Result bad = run();
  CHECK(bad.status == 3);
  // One fault, said once, though two methods wait for the track.
  std::size_t said = 0;
  for (const std::string& line : lines(bad.err)) said += contains(line, "ends before the length") ? 1 : 0;
  CHECK(said == 1);
  write_audio(folder / "ds/B/mixture.wav", tones(1));
  write_audio(folder / "ds/B/vocals.wav", tones(1));
  write_audio(folder / "ds/B/other.wav", audio::AudioBuffer(2, 44100, 44100));
  fs::remove_all(folder / "r");
  CHECK(run().status == 6);
}

TEST_CASE("a blind method is told to be an oracle where it becomes one", "[cli]") {
  const TempDir folder;
  const auto note = [&](const std::string& method) {
    return contains(run(folder.path(), {"-m", method, "-o", "r", "--dry-run"}).err, "names them by the true stems");
  };
  CHECK(note("nmf"));
  CHECK(note("nmfd:components=4"));
  CHECK_FALSE(note("nmf:protocol=P4"));
  CHECK_FALSE(note("nmf@cc0"));
}
