#include "records/store.h"

#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "core/file.h"
#include "core/json.h"
#include "core/measure.h"
#include "core/text.h"
#include "tests/records/support.h"

namespace mss::records {
namespace {

namespace fs = std::filesystem;
using core::Value;
using tests::contains;
using tests::error_of;

std::vector<Record> item_records(const ItemKey& item, double sdr, double wall = 0) {
  std::vector<Record> out;
  for (const char* name : {"vocals", "bass"}) {
    eval::Scores scores;
    scores.scenario = "stems";
    scores.frames = 1;
    eval::TargetScores target;
    target.target = name;
    target.frames = {{"SDR", {sdr}}};
    scores.targets = {target};
    Record record = make_record({"Set", item.subset, item.track, item.spec, "stems", item.seed, name}, scores, target);
    Value measured = Value::object();
    measured["wall_s"] = wall;
    record.body["measured"] = measured;
    out.push_back(record);
  }
  return out;
}

std::vector<Record> error_records(const ItemKey& item) {
  return {make_error_record({"Set", item.subset, item.track, item.spec, "", item.seed, ""},
                            Error(Code::io, "x", "broken"))};
}

Value identity(const std::string& metrics = "all") {
  Value out = Value::object();
  out["dataset"]["name"] = "Set";
  out["scoring"]["metrics"] = metrics;
  return out;
}

Value plan(const std::vector<std::string>& tracks, const std::vector<std::string>& specs, bool random = false) {
  Value out = Value::object();
  out["tracks"] = Value::array();
  for (const std::string& track : tracks) {
    Value value = Value::object();
    value["subset"] = "test";
    value["name"] = track;
    out["tracks"].push_back(value);
  }
  out["methods"] = Value::array();
  for (const std::string& spec : specs) {
    Value value = Value::object();
    value["spec"] = spec;
    value["random"] = random;
    out["methods"].push_back(value);
  }
  out["seeds"] = Value::array();
  out["seeds"].push_back(3);
  out["seeds"].push_back(4);
  return out;
}

std::vector<fs::path> parts_of(const fs::path& run) {
  std::vector<fs::path> out;
  if (!fs::exists(run / "parts")) return out;
  for (const auto& entry : fs::recursive_directory_iterator(run / "parts")) {
    if (entry.is_regular_file()) out.push_back(entry.path());
  }
  return out;
}

const ItemKey kFirst{"Set", "test", "a/b", "half", 0}, kSecond{"Set", "test", "c", "half|wiener:iters=2", 5};

}  // namespace

TEST_CASE("names become path components without collisions", "[records]") {
  CHECK(path_component("AM Contra - Heart Peripheral") == "AM Contra - Heart Peripheral");
  CHECK(path_component("Ünï – code") == "Ünï – code");
  CHECK(path_component("AC/DC") == "AC%2FDC");
  CHECK(path_component("AC%2FDC") == "AC%252FDC");
  CHECK(path_component("..") == "%2E.");
  CHECK(path_component(".") == "%2E");
  CHECK(path_component("~x") == "%7Ex");
  CHECK(path_component("a\\b\n") == "a%5Cb%0A");
  CHECK(path_component("") == "%");
  std::vector<std::string> names = {"",   ".", "..",  "/",    "//",    "a/../b", "%",   "%2F", "%2E",
                                    "\\", "~", "%7E", "a\nb", "a%0Ab", "a b",    "A b", "%~",  "% "};
  std::string longer(300, 'x');
  for (int i = 0; i < 50; ++i) {
    longer[static_cast<std::size_t>(250 + i % 40)] = static_cast<char>('a' + i % 26);
    names.push_back(longer);
  }
  names.push_back(path_component(longer));  // its own encoding is another name
  std::string wide;
  for (int i = 0; i < 120; ++i) wide += "ü";
  names.push_back(wide);
  std::set<std::string> unique(names.begin(), names.end()), components;
  for (const std::string& name : unique) {
    const std::string component = path_component(name);
    CAPTURE(name);
    CHECK(component.size() <= 200);
    CHECK(component.find('/') == std::string::npos);
    CHECK(component.front() != '.');
    CHECK(core::is_utf8(component));
    CHECK(components.insert(component).second);
  }
  CHECK(estimate_path("run", "half", 0, "test", "A/B", "vocals").string().find("estimates/half-") != std::string::npos);
  CHECK(estimate_path("run", "half", 0, "test", "A/B", "vocals").filename() == "vocals.wav");
  CHECK(estimate_path("run", "half", 0, "test", "A/B", "").filename() == "A%2FB");
  CHECK(estimate_path("run", "half", 1, "", "t", "v") != estimate_path("run", "half", 2, "", "t", "v"));
}

TEST_CASE("one process at a time works in a run folder", "[records]") {
  const mss::tests::TempDir dir;
  {
    const RunLock lock(dir.path(), {});
    const Error error = error_of([&] { const RunLock second(dir.path(), {}); });
    CHECK(error.code() == Code::io);
    CHECK(contains(error.what(), std::to_string(getpid())));
    CHECK(contains(error.what(), core::host_name()));
  }
  CHECK_FALSE(fs::exists(dir / "lock"));
  CHECK_NOTHROW(RunLock(dir.path(), {}));
  // A process that died leaves its file behind.
  const pid_t child = fork();
  if (child == 0) {
    RunLock* leaked = new RunLock(dir.path(), {});
    static_cast<void>(leaked);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(contains(core::read_text_file(dir / "lock"), std::to_string(child)));
  CHECK_NOTHROW(RunLock(dir.path(), {}));
  // Another machine's process cannot be seen from here.
  core::write_file_atomic(dir / "lock", "some-other-host 17\n");
  const Error error = error_of([&] { const RunLock other(dir.path(), {}); });
  CHECK(contains(error.what(), "some-other-host"));
  CHECK(contains(error.what(), "remove"));
}

TEST_CASE("what was put is found again after a crash, and merged at the end", "[records]") {
  const mss::tests::TempDir dir;
  {
    RunStore store(dir.path(), {});
    store.put(kFirst, item_records(kFirst, 1.0));
    store.put(kSecond, item_records(kSecond, 2.0));
  }  // no finish(): as if killed
  CHECK(parts_of(dir.path()).size() == 2);
  CHECK_FALSE(fs::exists(dir / "records.jsonl"));
  RunStore store(dir.path(), {});
  CHECK(store.finished(kFirst));
  CHECK(store.finished(kSecond));
  CHECK_FALSE(store.finished({"Set", "test", "c", "half", 5}));
  CHECK_FALSE(store.finished({"Set", "test", "c", "half|wiener:iters=2", 4}));
  const fs::path file = store.finish();
  CHECK(file == dir / "records.jsonl");
  CHECK(read_records(file).size() == 4);
  CHECK_FALSE(fs::exists(dir / "parts"));
}

TEST_CASE("damaged parts and temporary files count as missing", "[records]") {
  const mss::tests::TempDir dir;
  { RunStore(dir.path(), {}).put(kFirst, item_records(kFirst, 1.0)); }
  REQUIRE(parts_of(dir.path()).size() == 1);
  const fs::path part = parts_of(dir.path()).front();
  const std::string whole = core::read_text_file(part);
  for (std::size_t length = 0; length < whole.size(); length += 1 + length / 40) {
    std::ofstream(part, std::ios::binary | std::ios::trunc) << whole.substr(0, length);
    RunStore store(dir.path(), {});
    CAPTURE(length);
    CHECK_FALSE(store.finished(kFirst));
    CHECK_FALSE(fs::exists(part));
  }
  // Cut at a line's end: the head knows how many lines there were.
  std::ofstream(part, std::ios::binary) << whole.substr(0, whole.rfind('\n', whole.size() - 2) + 1);
  CHECK_FALSE(RunStore(dir.path(), {}).finished(kFirst));
  // What a process that is gone left; that of a living one stays.
  const core::AtomicFile mine(dir / "x");
  const std::string own = mine.temporary().filename().string(), pid = std::to_string(getpid());
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  std::string dead = own;
  dead.replace(dead.find("-" + pid + "-") + 1, pid.size(), std::to_string(child));
  std::ofstream(part.parent_path() / dead) << whole.substr(0, 40);
  std::ofstream(part, std::ios::binary) << whole;
  std::ofstream(dir / dead) << "{";
  RunStore store(dir.path(), {});
  CHECK(store.finished(kFirst));
  CHECK_FALSE(fs::exists(dir / dead));
  CHECK(fs::exists(dir / own));
  store.finish();
  CHECK_FALSE(fs::exists(dir / "parts"));
}

TEST_CASE("a crash between merging and cleaning up changes nothing", "[records]") {
  const mss::tests::TempDir dir;
  { RunStore(dir.path(), {}).put(kFirst, item_records(kFirst, 1.0)); }
  const fs::path part = parts_of(dir.path()).front();
  const std::string content = core::read_text_file(part);
  RunStore(dir.path(), {}).finish();
  const std::string merged = core::read_text_file(dir / "records.jsonl");
  fs::create_directories(part.parent_path());
  std::ofstream(part, std::ios::binary) << content;
  RunStore(dir.path(), {}).finish();
  CHECK(core::read_text_file(dir / "records.jsonl") == merged);
  CHECK_FALSE(fs::exists(dir / "parts"));
}

TEST_CASE("failed items are not finished and give way to scores", "[records]") {
  const mss::tests::TempDir dir;
  {
    RunStore store(dir.path(), {});
    store.put(kFirst, error_records(kFirst));
    CHECK_FALSE(store.finished(kFirst));
    store.finish();
  }
  CHECK(read_records(dir.path()).size() == 1);
  RunStore store(dir.path(), {});
  CHECK_FALSE(store.finished(kFirst));
  store.put(kFirst, item_records(kFirst, 1.0));
  store.finish();
  const std::vector<Record> records = read_records(dir.path());
  REQUIRE(records.size() == 2);
  CHECK_FALSE(records[0].failed());
}

TEST_CASE("a run folder holds one data set and one scoring", "[records]") {
  const mss::tests::TempDir dir;
  {
    RunStore store(dir.path(), {});
    CHECK(store.open_plan(identity(), plan({"a"}, {"half"}), "cmd 1").empty());
    store.open_plan(identity(), plan({"a"}, {"half"}), "cmd 1");
    store.open_plan(identity(), plan({"a"}, {"half", "mute"}), "cmd 2");
    const Error error = error_of([&] { store.open_plan(identity("sdr"), plan({"a"}, {"half"}), "cmd"); });
    CHECK(error.code() == Code::config);
    CHECK(contains(error.what(), "scoring.metrics"));
    CHECK(contains(error.what(), "\"sdr\""));
  }
  Value run = core::read_json_file(dir / "run.json");
  CHECK(run.at("plans").size() == 2);
  CHECK(run.at("measured").at("commands").size() == 2);
  run["program"]["version"] = "0.0.0";
  core::write_file_atomic(dir / "run.json", core::dump_json(run));
  const std::vector<std::string> warnings = RunStore(dir.path(), {}).open_plan(identity(), plan({"a"}, {"half"}), "");
  REQUIRE(warnings.size() == 1);
  CHECK(contains(warnings[0], "version"));
  core::write_file_atomic(dir / "run.json", "{\"schema\":99}");
  CHECK(error_of([&] { RunStore(dir.path(), {}).open_plan(identity(), plan({}, {}), ""); }).code() == Code::format);
}

TEST_CASE("shards in one folder merge to what one run gives", "[records]") {
  const mss::tests::TempDir dir, single;
  {
    RunStore whole(single.path(), {});
    whole.open_plan(identity(), plan({"a/b", "c", "d"}, {"half"}), "x");
    for (const char* track : {"a/b", "c", "d"}) {
      const ItemKey item{"Set", "test", track, "half", 0};
      whole.put(item, item_records(item, 1.0, 3.0));
    }
    whole.finish();
  }
  for (int i = 0; i < 2; ++i) {
    RunStore shard(dir.path(), {i, 2});
    shard.open_plan(identity(), plan({"a/b", "c", "d"}, {"half"}), "shard " + std::to_string(i));
    const ItemKey item{"Set", "test", i == 0 ? "a/b" : "c", "half", 0};
    shard.put(item, item_records(item, 1.0, 1.0 + i));
    CHECK(shard.finish() == dir / ("records.shard-" + std::to_string(i) + "-of-2.jsonl"));
  }
  CHECK_FALSE(fs::exists(dir / "parts"));
  MergeResult result = merge({dir.path()}, dir / "merged");
  CHECK(result.records == 4);
  CHECK(result.missing == std::vector<std::string>{"test/d | half | seed 0"});
  // The third track on another machine, and one record twice.
  const mss::tests::TempDir other;
  {
    RunStore shard(other.path(), {1, 2});
    shard.open_plan(identity(), plan({"a/b", "c", "d"}, {"half"}), "late");
    for (const char* track : {"d", "c"}) {
      const ItemKey item{"Set", "test", track, "half", 0};
      shard.put(item, item_records(item, 1.0, 9.0));
    }
    shard.finish();
  }
  result = merge({dir.path(), other.path()}, dir.path());
  CHECK(result.missing.empty());
  CHECK(result.failed.empty());
  CHECK(result.duplicates == 2);
  CHECK(tests::comparable(dir.path()) == tests::comparable(single.path()));
  CHECK(core::read_json_file(dir / "run.json").at("plans").size() == 1);
}

TEST_CASE("merging refuses records that contradict each other", "[records]") {
  const mss::tests::TempDir a, b;
  const auto fill = [](const fs::path& run, const std::vector<Record>& records, const Value& which) {
    RunStore store(run, {});
    store.open_plan(which, plan({"a/b"}, {"half"}), "");
    store.put(kFirst, records);
    store.finish();
  };
  fill(a.path(), item_records(kFirst, 1.0), identity());
  SECTION("another score") {
    fill(b.path(), item_records(kFirst, 1.0000001), identity());
    const Error error = error_of([&] { merge({a.path(), b.path()}, a / "out"); });
    CHECK(error.code() == Code::dataset);
    CHECK(contains(error.what(), "a/b | half"));
    CHECK(contains(error.what(), b.path().string()));
  }
  SECTION("another scoring") {
    fill(b.path(), item_records(kFirst, 1.0), identity("sdr"));
    CHECK(contains(error_of([&] { merge({a.path(), b.path()}, a / "out"); }).what(), "scoring.metrics"));
  }
  SECTION("a failure in one of them") {
    fill(b.path(), error_records(kFirst), identity());
    for (const bool first : {false, true}) {
      const MergeResult result =
          first ? merge({b.path(), a.path()}, a / "out") : merge({a.path(), b.path()}, a / "out2");
      CHECK(result.records == 2);
      CHECK(result.failed.empty());
    }
    const MergeResult failed = merge({b.path()}, a / "out3");
    CHECK(failed.failed == std::vector<std::string>{"test/a/b | half | seed 0"});
    CHECK(failed.missing.empty());
  }
  SECTION("nothing to merge") {
    CHECK(error_of([&] { merge({b.path()}, a / "out"); }).code() == Code::io);
    CHECK(error_of([&] { merge({b / "no"}, a / "out"); }).code() == Code::io);
    CHECK(error_of([&] { merge({}, a / "out"); }).code() == Code::config);
  }
}

std::vector<Record> with_origin(std::vector<Record> records, const std::string& fingerprint,
                                const std::string& weights = "") {
  for (Record& record : records) {
    record.body["fingerprint"] = fingerprint;
    if (!weights.empty()) record.body["weights"]["sha256"] = weights;
  }
  return records;
}

void fill(const fs::path& run, const std::vector<std::vector<Record>>& items) {
  RunStore store(run, {});
  for (const std::vector<Record>& records : items) store.put(item_of(records.front()), records);
  store.finish();
}

TEST_CASE("records of one name and of other audio or weights do not join", "[records]") {
  const mss::tests::TempDir a, b;
  const ItemKey mixture{"Set", "test", "a/b", "mixture", 0}, other{"Set", "test", "c", "half", 0};
  fill(a.path(), {with_origin(item_records(kFirst, 1.0), "aaaa0000")});
  SECTION("other audio of one track") {
    fill(b.path(), {with_origin(item_records(mixture, 2.0), "bbbb0000")});
    const Error error = error_of([&] { merge({a.path(), b.path()}, a / "out"); });
    CHECK(error.code() == Code::dataset);
    CHECK(contains(error.what(), "test/a/b: audio aaaa0000 in half, bbbb0000 in mixture"));
    CHECK(contains(error.what(), "--allow-mixed"));
    CHECK_FALSE(fs::exists(a / "out"));
    CHECK(merge({a.path(), b.path()}, a / "out", {.allow_mixed = true}).records == 4);
  }
  SECTION("the same audio") {
    fill(b.path(), {with_origin(item_records(mixture, 2.0), "aaaa0000")});
    CHECK(merge({a.path(), b.path()}, a / "out").records == 4);
  }
  SECTION("other weights of one row") {
    fill(a.path(), {with_origin(item_records(kFirst, 1.0), "aaaa0000", "11112222")});
    fill(b.path(), {with_origin(item_records(other, 2.0), "cccc0000", "33334444")});
    CHECK(contains(error_of([&] {
                     merge({a.path(), b.path()}, a / "out");
                   }).what(),
                   "half: weights 11112222 in test/a/b, 33334444 in test/c"));
  }
  SECTION("records that do not say agree with all") {
    fill(b.path(), {item_records(mixture, 2.0)});
    CHECK(merge({a.path(), b.path()}, a / "out").records == 4);
  }
}

TEST_CASE("which side of mixed records is the larger one", "[records]") {
  std::vector<Record> records;
  for (const char* spec : {"x", "y", "z"}) {
    const std::vector<Record> more =
        with_origin(item_records({"Set", "test", "t", spec, 0}, 1.0), spec == std::string("y") ? "bb" : "aa");
    records.insert(records.end(), more.begin(), more.end());
  }
  const std::vector<Mixed> found = find_mixed(records);
  REQUIRE(found.size() == 1);
  CHECK(found[0].aspect == Aspect::audio);
  CHECK(found[0].has_majority());
  CHECK(found[0].sides[0].value == "aa");
  CHECK(found[0].sides[1].specs == std::vector<std::string>{"y"});
  // Options: a parameter that only one program knows is no difference, another value of one that both know is.
  records.resize(2);
  records[0].body["options"]["rank"] = 4;
  records[1].body["options"]["rank"] = 4;
  records[1].body["options"]["new"] = true;
  CHECK(find_mixed(records).empty());
  records[1].body["options"]["rank"] = 5;
  REQUIRE(find_mixed(records).size() == 1);
  CHECK(find_mixed(records)[0].aspect == Aspect::options);
  // Frames of another length.
  records.pop_back();
  records.push_back(records[0]);
  records[1].key.spec = "w";
  records[1].body["frames"]["window_s"] = 2.0;
  REQUIRE(find_mixed(records).size() == 1);
  CHECK(find_mixed(records)[0].aspect == Aspect::scoring);
}

TEST_CASE("records are added beside those that are there", "[records]") {
  const mss::tests::TempDir dir;
  const ItemKey row{"Set", "test", "a/b", "row", 0}, later{"Set", "test", "c", "row", 0};
  fill(dir.path(), {item_records(kFirst, 1.0), item_records(kSecond, 2.0)});
  {
    RunStore store(dir.path(), {});
    store.add(row, item_records(row, 3.0));
    store.finish();
  }
  CHECK(read_records(dir.path()).size() == 6);
  {
    // The same scores of another program change nothing; other scores are refused; a failure yields to scores.
    RunStore store(dir.path(), {});
    std::vector<Record> same = item_records(row, 3.0, 7.0);
    for (Record& record : same) record.body["version"] = "9.9.9";
    store.add(row, same);
    const Error error = error_of([&] { store.add(row, item_records(row, 4.0)); });
    CHECK(error.code() == Code::dataset);
    CHECK(contains(error.what(), "other scores"));
    CHECK(contains(error.what(), "a/b | row"));
    CHECK(error_of([&] { store.check(row, item_records(row, 4.0)); }).code() == Code::dataset);
    store.add(row, error_records(row));
    store.add(later, error_records(later));
    store.add(later, item_records(later, 5.0));
    // Another target of an item that is there.
    std::vector<Record> more = item_records(row, 3.0);
    more.resize(1);
    more[0].key.target = "drums";
    more[0].body["target"] = "drums";
    store.add(row, more);
    store.finish();
  }
  const std::vector<Record> records = read_records(dir.path());
  CHECK(records.size() == 9);
  CHECK(incomplete_items(records).empty());
  for (const Record& record : records)
    if (record.key.spec == "row") CHECK(record.text("version") != "9.9.9");
}

TEST_CASE("merging onto existing records keeps them", "[records]") {
  const mss::tests::TempDir out, run;
  const ItemKey row{"Set", "test", "a/b", "row", 0};
  fill(out.path(), {item_records(kFirst, 1.0)});
  fill(run.path(), {item_records(row, 2.0)});
  const MergeResult result = merge({run.path()}, out.path());
  CHECK(result.records == 4);
  CHECK(read_records(out.path()).size() == 4);
  {
    const RunLock busy(out.path(), {});
    CHECK(contains(error_of([&] { merge({run.path()}, out.path()); }).what(), "in use"));
  }
  fill(run.path(), {item_records(kFirst, 1.5)});
  CHECK(error_of([&] { merge({run.path()}, out.path()); }).code() == Code::dataset);
  CHECK(read_records(out.path()).size() == 4);
}

TEST_CASE("random methods are asked for under every seed, others once", "[records]") {
  const mss::tests::TempDir dir;
  {
    RunStore store(dir.path(), {});
    store.open_plan(identity(), plan({"a"}, {"dice"}, true), "");
    store.open_plan(identity(), plan({"a"}, {"half"}), "");
    store.finish();
  }
  CHECK(merge({dir.path()}, dir.path()).missing ==
        std::vector<std::string>{"test/a | dice | seed 3", "test/a | dice | seed 4", "test/a | half | seed 0"});
}

TEST_CASE("an item that lost a record is not finished, and merge names it", "[records]") {
  const mss::tests::TempDir dir;
  {
    RunStore store(dir.path(), {});
    store.open_plan(identity(), plan({"a/b"}, {"half"}), "");
    store.put(kFirst, item_records(kFirst, 1.0));
    store.put(kSecond, item_records(kSecond, 2.0));
    store.finish();
  }
  const std::string whole = core::read_text_file(dir / "records.jsonl");
  // Any one line missing: the file is cut at a line's end, or a line was deleted.
  const std::vector<std::string> lines = core::split(whole.substr(0, whole.size() - 1), '\n');
  REQUIRE(lines.size() == 4);
  for (std::size_t missing = 0; missing < lines.size(); ++missing) {
    CAPTURE(missing);
    std::string text;
    for (std::size_t i = 0; i < lines.size(); ++i) text += i == missing ? "" : lines[i] + "\n";
    core::write_file_atomic(dir / "records.jsonl", text);
    const bool first = missing < 2;
    CHECK(incomplete_items(read_records(dir.path())) == std::set<ItemKey>{first ? kFirst : kSecond});
    RunStore store(dir.path(), {});
    CHECK(store.finished(kFirst) == !first);
    CHECK(store.finished(kSecond) == first);
  }
  const MergeResult result = merge({dir.path()}, dir / "merged");
  REQUIRE(result.missing.size() == 1);
  CHECK(contains(result.missing[0], "some of its records"));
  CHECK(result.records == 3);
  // Done again, the file is what it was.
  RunStore store(dir.path(), {});
  store.put(kSecond, item_records(kSecond, 2.0));
  store.finish();
  CHECK(core::read_text_file(dir / "records.jsonl") == whole);
}

TEST_CASE("a record given twice counts once; two of one key that differ are an error", "[records]") {
  const mss::tests::TempDir dir;
  std::vector<Record> records = item_records(kFirst, 1.0, 1.0);
  const std::vector<Record> again = item_records(kFirst, 1.0, 2.0);  // another time
  records.insert(records.end(), again.begin(), again.end());
  write_records(dir / "records.jsonl", records);
  CHECK(read_records(dir.path()).size() == 2);
  records.push_back(item_records(kFirst, 1.5).front());
  write_records(dir / "records.jsonl", records);
  const Error error = error_of([&] { read_records(dir.path()); });
  CHECK(error.code() == Code::format);
  CHECK(contains(error.what(), "two records of one key differ"));
  CHECK(contains(error.what(), "a/b | half"));
}

TEST_CASE("a whole run has the folder alone, shards share it, and locks go with the last", "[records]") {
  const mss::tests::TempDir dir;
  const auto files = [&] {
    std::set<std::string> out;
    for (const fs::path& path : core::list_directory(dir.path())) out.insert(path.filename().string());
    return out;
  };
  {
    const RunLock whole(dir.path(), {});
    CHECK(contains(error_of([&] { RunLock(dir.path(), {}); }).what(), "in use"));
    const Error shard = error_of([&] { RunLock(dir.path(), {0, 2}); });
    CHECK(contains(shard.what(), "process " + std::to_string(getpid())));
  }
  CHECK(files().empty());
  {
    const RunLock first(dir.path(), {0, 2});
    {
      const RunLock second(dir.path(), {1, 2});
      CHECK(contains(error_of([&] { RunLock(dir.path(), {1, 2}); }).what(), "in use"));
    }
    CHECK(files() == std::set<std::string>{"lock", "lock.shard-0-of-2"});
    CHECK(contains(error_of([&] { RunLock(dir.path(), {}); }).what(), "process " + std::to_string(getpid())));
  }
  CHECK(files().empty());
  RunStore(dir.path(), {}).open_plan(identity(), plan({"a"}, {"half"}), "");
  CHECK(files() == std::set<std::string>{"run.json"});
}

TEST_CASE("a broken run.json says where it is broken", "[records]") {
  const mss::tests::TempDir dir;
  const auto message = [&](const std::string& identity_text, const std::string& plans) {
    core::write_file_atomic(dir / "run.json",
                            "{\"schema\":1,\"program\":{},\"identity\":" + identity_text + ",\"plans\":" + plans + "}");
    const Error error = error_of([&] { RunStore(dir.path(), {}).open_plan(identity(), plan({}, {}), ""); });
    CHECK((error.code() == Code::format || error.code() == Code::config));
    return std::string(error.what());
  };
  const std::string good = core::dump_json(identity());
  CHECK(contains(message(good, "[1]"), "plans[0] (expected an object, found integer)"));
  CHECK(
      contains(message(good, "[{\"tracks\":[],\"methods\":[]}]"), "plans[0].seeds (expected an array, found nothing)"));
  CHECK(contains(message(good, "[{\"tracks\":[{\"subset\":1}],\"methods\":[],\"seeds\":[]}]"),
                 "plans[0].tracks[0].subset"));
  CHECK(contains(message(good, "[{\"tracks\":[],\"methods\":[{\"spec\":\"x\"}],\"seeds\":[]}]"),
                 "plans[0].methods[0].random"));
  CHECK(
      contains(message("{}", "[]"), "identity (expected an object with data set and scoring, found an empty object)"));
  CHECK(contains(message("{\"dataset\":{\"name\":\"Set\"}}", "[]"), "another scoring (expected nothing"));
}

}  // namespace mss::records
