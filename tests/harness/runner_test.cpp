#include "harness/runner.h"

#include <chrono>
#include <condition_variable>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "core/json.h"
#include "harness/builtin_methods.h"
#include "harness/training_data.h"
#include "records/store.h"
#include "tests/harness/support.h"

namespace mss::harness {
namespace {

namespace fs = std::filesystem;
using tests::add;
using tests::comparable;
using tests::contains;
using tests::error_of;
using tests::kRate;
using tests::noise;
using tests::toy_plan;
using tests::toy_registry;
using tests::write_dataset;
using tests::write_track;

std::vector<fs::path> part_files(const fs::path& run) {
  std::vector<fs::path> out;
  if (!fs::exists(run / "parts")) return out;
  for (const auto& entry : fs::recursive_directory_iterator(run / "parts")) {
    if (entry.is_regular_file()) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// Stops the run once `after` items are done.
class StopAfter final : public core::Progress {
 public:
  StopAfter(core::StopSource& source, std::int64_t after) : source_(source), after_(after) {}
  void begin(std::string_view, std::int64_t steps) override { total = steps; }
  void update(std::int64_t done, std::string_view) override {
    if (done >= after_) source_.request_stop();
    last = done;
  }
  void end() override {}
  std::int64_t total = 0, last = 0;

 private:
  core::StopSource& source_;
  std::int64_t after_;
};

std::map<std::string, std::vector<records::Record>> by_spec(const fs::path& run) {
  std::map<std::string, std::vector<records::Record>> out;
  for (records::Record& record : records::read_records(run)) out[record.key.spec].push_back(std::move(record));
  return out;
}

}  // namespace

TEST_CASE("what is left of a run is weighed by what methods have cost", "[harness]") {
  class Watch final : public core::Progress {
   public:
    void begin(std::string_view, std::int64_t) override {}
    void update(std::int64_t, std::string_view) override {}
    void expect(double remaining_s) override { expected.push_back(remaining_s); }
    void end() override {}
    std::vector<double> expected;
  } watch;
  const mss::tests::TempDir dir;
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "run");  // tracks of 1.5, 2, 2.5 and 3 s
  plan.methods = {"half", "slow"};
  plan.metrics = "sdr";
  methods::Registry registry = toy_registry();
  add(registry, {.name = "slow", .hook = [](const audio::AudioBuffer&) {
                   std::this_thread::sleep_for(std::chrono::milliseconds(60));
                 }});
  RunOptions options;
  options.progress = &watch;
  run(plan, registry, options);
  REQUIRE(watch.expected.size() == 8);
  // After the first track 7.5 s of audio are left, at 60 ms or more for every 1.5 s; counted steps would say 180 ms.
  CHECK(watch.expected[1] >= 0.3);
  CHECK(watch.expected.back() == 0);
}

TEST_CASE("methods that cannot be run on a data set are left out and named", "[harness]") {
  const mss::tests::TempDir dir;
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "run");
  methods::Registry registry = toy_registry();
  add(registry, {.name = "piano", .targets = {"piano"}});
  plan.methods = {"half", "piano"};
  const RunResult result = run(plan, registry);
  CHECK(result.done == 4);
  CHECK(result.partial());
  REQUIRE(result.refused.size() == 1);
  CHECK(result.refused[0].spec == "piano");
  CHECK(contains(result.refused[0].error.what(), "makes no stem that set#"));
  CHECK(contains(result.refused[0].error.what(), "expected one of drums, bass, vocals"));
  plan.methods = {"piano"};
  plan.out = dir / "other";
  CHECK(error_of([&] { run(plan, registry); }).code() == Code::config);
  CHECK_FALSE(fs::exists(dir / "other"));
  const Preview seen = preview(toy_plan(dir / "set", dir / "run"), registry);
  CHECK(seen.rows.size() == 3);
}

TEST_CASE("a run records every track, method, seed, scenario and target", "[harness]") {
  const mss::tests::TempDir dir;
  const Plan plan = toy_plan(write_dataset(dir / "set"), dir / "run");
  RunOptions options;
  options.command = "mssbench run …";
  const RunResult result = run(plan, toy_registry(), options);
  CHECK(result.items == 4 * (1 + 1 + 2));
  CHECK(result.done == result.items);
  CHECK(result.reused == 0);
  CHECK_FALSE(result.partial());
  CHECK_FALSE(result.cancelled);
  CHECK(result.records == dir / "run" / "records.jsonl");
  const std::vector<records::Record> records = records::read_records(result.records);
  CHECK(records.size() == 16 * 5);  // three stems, and vocals and accompaniment
  std::set<records::RecordKey> keys;
  for (const records::Record& record : records) {
    CHECK(keys.insert(record.key).second);
    CHECK(record.key.dataset.starts_with("set#"));
    CHECK(record.key.subset == "test");
    CHECK((record.key.seed != 0) == (record.key.spec == "dice"));
    CHECK(std::isfinite(record.score("SDR")));
    CHECK(record.flag("floor") == (record.key.spec == "half"));
    CHECK(record.flag("random") == (record.key.spec == "dice"));
    CHECK(record.body.at("fingerprint").as_string().size() == 64);
    CHECK(record.body.at("dataset_stems").size() == 3);
    CHECK(record.body.at("rate_hz").as_integer() == kRate);
    CHECK(record.body.as_object().back().first == "measured");
    const core::Value& measured = record.body.at("measured");
    for (const char* name : {"wall_s", "cpu_s", "peak_rss_bytes", "rtf", "threads", "host", "processor", "started_utc",
                             "scoring_wall_s", "command"}) {
      CHECK(measured.find(name) != nullptr);
    }
    CHECK(measured.at("command").as_string() == "mssbench run …");
  }
  CHECK(core::read_json_file(dir / "run" / "run.json").at("plans").size() == 1);
  CHECK_FALSE(fs::exists(dir / "run" / "parts"));
  CHECK_FALSE(fs::exists(dir / "run" / "lock"));
}

TEST_CASE("a rerun does only what is missing", "[harness]") {
  const mss::tests::TempDir dir;
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "run");
  run(plan, toy_registry());
  const std::string first = core::read_text_file(dir / "run" / "records.jsonl");
  RunResult again = run(plan, toy_registry());
  CHECK(again.done == 0);
  CHECK(again.reused == 16);
  CHECK(core::read_text_file(dir / "run" / "records.jsonl") == first);
  plan.methods = {"mute"};
  plan.seeds = {0};
  again = run(plan, toy_registry());
  CHECK(again.done == 4);
  CHECK(again.reused == 0);
  CHECK(by_spec(dir / "run").size() == 4);
  CHECK(core::read_json_file(dir / "run" / "run.json").at("plans").size() == 2);
  plan.metrics = "sdr";
  CHECK(error_of([&] { run(plan, toy_registry()); }).code() == Code::config);
}

TEST_CASE("results of other audio or options are made again, with a word", "[harness]") {
  const mss::tests::TempDir dir;
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "run");
  plan.methods = {"half", "graded"};
  run(plan, toy_registry());
  std::vector<std::string> warnings;
  RunOptions options;
  options.log = [&](core::LogLevel level, std::string_view text) {
    if (level == core::LogLevel::warning) warnings.emplace_back(text);
  };
  // Another song under the name of the first, as long as it was.
  write_track(dir / "set", "Track 0",
              {{"vocals", noise(12000, 91)}, {"drums", noise(12000, 92)}, {"bass", noise(12000, 93)}});
  plan.methods = {"half"};
  CHECK(preview(plan, toy_registry()).finished == 3);
  RunResult again = run(plan, toy_registry(), options);
  CHECK(again.done == 1);
  CHECK(again.reused == 3);
  REQUIRE(warnings.size() == 2);
  CHECK(contains(warnings[0], "1 result is of other audio than now and made again: Track 0"));
  CHECK(contains(warnings[1], "graded"));
  std::map<std::string, std::set<std::string>> prints;
  for (const records::Record& record : records::read_records(dir / "run"))
    prints[record.key.track].insert(record.text("fingerprint"));
  CHECK(prints["Track 0"].size() == 2);  // graded was not asked for
  CHECK(prints["Track 1"].size() == 1);
  plan.methods = {"half", "graded"};
  CHECK(run(plan, toy_registry(), options).done == 1);
  CHECK(run(plan, toy_registry(), options).done == 0);
  // A method whose default has changed since.
  const auto with_default = [&](const char* gain) {
    methods::Registry registry;
    add(registry, {.name = "half", .params = {{"gain", core::ParamType::real, gain, "", "", "Gain.", ""}}});
    return registry;
  };
  Plan other = toy_plan(dir / "set", dir / "other");
  other.methods = {"half"};
  CHECK(run(other, with_default("0.5")).done == 4);
  CHECK(run(other, with_default("0.5")).done == 0);
  warnings.clear();
  CHECK(run(other, with_default("0.25"), options).done == 4);
  REQUIRE(!warnings.empty());
  CHECK(contains(warnings[0], "4 results are of other options than now and made again: half"));
}

TEST_CASE("a row that was trained on the track is marked", "[harness]") {
  const mss::tests::TempDir dir;
  const datasets::Dataset set = datasets::open(write_dataset(dir / "set").string());
  const datasets::Track track = set.tracks().at(0);
  const auto provenance = [](const std::string& text) { return core::parse_json(text, "provenance"); };
  const std::string print = set.sha256(track);
  CHECK(trained_on(provenance(R"({"tracks":[{"name":"x","sha256":")" + print + R"("}]})"), track, print) ==
        TrainedOn::fingerprint);
  CHECK(trained_on(provenance(R"({"tracks":[{"name":"Track 0","sha256":"00"}]})"), track, print) == TrainedOn::no);
  CHECK(trained_on(provenance(R"({"tracks":["Track 0"]})"), track, print) == TrainedOn::name);
  CHECK(trained_on(provenance(R"({"tracks":["train/Track 0"]})"), track, print) == TrainedOn::name);
  CHECK(trained_on(provenance(R"({"tracks":[{"name":"Track 0","sha256":"00","samples":12000,"rate_hz":8000}]})"), track,
                   print) == TrainedOn::name);
  CHECK(trained_on(provenance(R"({"tracks":[{"name":"Track 0","samples":30000,"rate_hz":8000}]})"), track, print) ==
        TrainedOn::no);
  CHECK(trained_on({}, track, print) == TrainedOn::no);
  // MUSDB18-HQ has no published hashes: name and the table's length (171.17 s) count.
  datasets::Track song;
  song.name = "A Classic Education - NightOwl";
  song.rate_hz = 44100;
  song.samples = 171 * 44100;
  CHECK(trained_on(provenance(R"({"dataset":"MUSDB18-HQ"})"), song, "11") == TrainedOn::name);
  CHECK(trained_on(provenance(R"({"tracks":["A Classic Education - NightOwl"]})"), song, "11") == TrainedOn::name);
  song.samples = 100 * 44100;
  CHECK(trained_on(provenance(R"({"dataset":"MUSDB18-HQ"})"), song, "11") == TrainedOn::no);
  song.name = "AM Contra - Heart Peripheral";  // of the test set
  song.samples = 210 * 44100;
  CHECK(trained_on(provenance(R"({"dataset":"MUSDB18-HQ"})"), song, "11") == TrainedOn::no);

  methods::Registry registry;
  methods::MethodEntry entry;
  entry.name = "learned";
  entry.family = "classic";
  entry.make = [&](const core::Params&, const core::SpecPart& spec) {
    methods::SeparatorInfo info;
    info.spec = core::to_string(spec);
    info.method = "learned";
    info.provenance =
        provenance(R"({"dataset":"songs","beyond":"more songs","tracks":[{"name":"y","sha256":")" + print + R"("}]})");
    info.weights_label = "mine#12345678";
    return std::make_unique<tests::Scale>(
        info, [](std::size_t, std::uint64_t) { return 0.5F; }, nullptr);
  };
  registry.add(std::move(entry));
  Plan plan = toy_plan(dir / "set", dir / "run");
  plan.methods = {"learned"};
  std::vector<std::string> warnings;
  RunOptions options;
  options.log = [&](core::LogLevel level, std::string_view text) {
    if (level == core::LogLevel::warning) warnings.emplace_back(text);
  };
  run(plan, registry, options);
  REQUIRE(warnings.size() == 1);
  CHECK(contains(warnings[0], "learned was trained on 1 track that it was run on: Track 0"));
  for (const records::Record& record : records::read_records(dir / "run")) {
    CHECK(record.text("training_data") == (record.key.track == "Track 0" ? "fingerprint" : ""));
    CHECK(record.body.at("weights").at("trained_on").as_string() == "songs");
    CHECK(record.body.at("weights").at("trained_beyond").as_string() == "more songs");
  }
}

TEST_CASE("a run that lost any of its parts gives the same records", "[harness]") {
  const mss::tests::TempDir dir;
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "whole");
  run(plan, toy_registry());
  const std::string whole = comparable(dir / "whole");
  plan.out = dir / "broken";
  core::StopSource source;
  StopAfter stop(source, 13);
  RunOptions options;
  options.stop = source.token();
  options.progress = &stop;
  const RunResult stopped = run(plan, toy_registry(), options);
  CHECK(stopped.cancelled);
  CHECK(stopped.records.empty());
  CHECK(stop.total == 16);
  const std::vector<fs::path> parts = part_files(plan.out);
  REQUIRE(parts.size() == 13);
  std::vector<std::pair<fs::path, std::string>> saved;
  for (const fs::path& part : parts) saved.emplace_back(part, core::read_text_file(part));
  core::Rng rng(3, 1);
  for (int trial = 0; trial < 5; ++trial) {
    fs::remove_all(plan.out / "parts");
    fs::remove(plan.out / "records.jsonl");
    std::int64_t kept = 0;
    for (const auto& [path, content] : saved) {
      const std::uint32_t fate = rng.below(3);
      if (fate == 0) continue;
      fs::create_directories(path.parent_path());
      // A third survive, a third are cut short.
      core::write_file_atomic(
          path, fate == 1 ? content : content.substr(0, rng.below(static_cast<std::uint32_t>(content.size()))));
      kept += fate == 1;
    }
    const RunResult resumed = run(plan, toy_registry());
    CHECK(resumed.reused == kept);
    CHECK(resumed.done == 16 - kept);
    CHECK(comparable(plan.out) == whole);
  }
}

TEST_CASE("records do not depend on jobs, threads or shards", "[harness]") {
  const mss::tests::TempDir dir;
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "one");
  run(plan, toy_registry());
  const std::string one = comparable(dir / "one");
  plan.out = dir / "many";
  plan.jobs = 3;
  plan.threads = 4;
  run(plan, toy_registry());
  CHECK(comparable(dir / "many") == one);
  for (const int count : {1, 2, 3}) {
    std::vector<fs::path> runs;
    std::int64_t items = 0;
    for (int i = 0; i < count; ++i) {
      plan.out = dir / ("shard" + std::to_string(count) + "-" + std::to_string(i));
      RunOptions options;
      options.shard = {i, count};
      items += run(plan, toy_registry(), options).items;
      runs.push_back(plan.out);
    }
    CHECK(items == 16);
    const fs::path merged = dir / ("merged" + std::to_string(count));
    const records::MergeResult result = records::merge(runs, merged);
    CHECK(result.missing.empty());
    CHECK(result.duplicates == 0);
    CHECK(comparable(merged) == one);
  }
}

TEST_CASE("a failing track is recorded and the rest goes on", "[harness]") {
  const mss::tests::TempDir dir;
  write_dataset(dir / "set");
  write_track(dir / "set", "Uneven",
              {{"vocals", noise(kRate, 1)}, {"drums", noise(kRate, 2)}, {"bass", noise(kRate, 3)}});
  audio::write_file(dir / "set" / "Uneven" / "drums.wav", noise(kRate - 7, 2));
  audio::AudioBuffer bad = noise(kRate, 9);
  bad.channel(0)[100] = std::numeric_limits<float>::quiet_NaN();
  write_track(dir / "set", "Not a number", {{"vocals", bad}, {"drums", noise(kRate, 2)}, {"bass", noise(kRate, 3)}});
  methods::Registry registry = toy_registry();
  add(registry, {.name = "picky", .hook = [](const audio::AudioBuffer& mixture) {
                   if (mixture.samples() == kRate * 3 / 2) throw std::runtime_error("I do not like this one");
                 }});
  Plan plan = toy_plan(dir / "set", dir / "run");
  plan.methods = {"half", "picky"};
  const RunResult result = run(plan, registry);
  CHECK(result.partial());
  CHECK(result.items == 12);
  CHECK(result.done == 7);
  REQUIRE(result.failures.size() == 5);
  CHECK(result.failures[0].track == "Not a number");
  CHECK(result.failures[0].code == Code::numeric);
  CHECK(result.failures[2].track == "Track 0");
  CHECK(result.failures[2].spec == "picky");
  CHECK(contains(result.failures[2].message, "I do not like this one"));
  CHECK(result.failures[3].track == "Uneven");
  CHECK(result.failures[3].code == Code::dataset);
  CHECK(contains(result.failures[3].message, "drums.wav"));
  std::int64_t failed = 0;
  for (const records::Record& record : records::read_records(dir / "run")) failed += record.failed();
  CHECK(failed == 5);
  // Mended, the rerun does these and no others.
  audio::write_file(dir / "set" / "Uneven" / "drums.wav", noise(kRate, 2));
  const RunResult again = run(plan, registry);
  CHECK(again.reused == 7);
  CHECK(again.done == 2);
  CHECK(again.failures.size() == 3);
  // So do tracks that come later: the records keep the set's name.
  write_track(dir / "set", "New", {{"vocals", noise(kRate, 4)}, {"drums", noise(kRate, 5)}, {"bass", noise(kRate, 6)}});
  CHECK(run(plan, registry).done == 2);
  std::set<std::string> names;
  for (const records::Record& record : records::read_records(dir / "run")) names.insert(record.key.dataset);
  CHECK(names.size() == 1);
}

TEST_CASE("silent references and estimates are recorded as such", "[harness]") {
  const mss::tests::TempDir dir;
  write_track(dir / "set", "Instrumental",
              {{"vocals", audio::AudioBuffer(1, 2 * kRate, kRate)},
               {"drums", noise(2 * kRate, 2)},
               {"bass", noise(2 * kRate, 3)}});
  Plan plan = toy_plan(dir / "set", dir / "run");
  plan.methods = {"half", "mute"};
  CHECK_FALSE(run(plan, toy_registry()).partial());
  int silent = 0, zero = 0;
  for (const records::Record& record : records::read_records(dir / "run")) {
    CAPTURE(to_string(record.key));
    if (record.key.target == "vocals") {
      ++silent;
      CHECK(record.flag("silent_reference"));
      for (const std::string& metric : record.metrics()) CHECK(std::isnan(record.score(metric)));
      CHECK_FALSE(record.metrics().empty());
    } else if (record.key.spec == "mute") {
      ++zero;
      CHECK(record.flag("silent_estimate"));
      CHECK(record.score("SDR") == 0.0);
      CHECK(std::isnan(record.score("SI-SDR")));
    } else {
      CHECK_FALSE(record.flag("silent_estimate"));
      CHECK(record.score("SDR") > 0.0);
    }
  }
  CHECK(silent == 4);
  CHECK(zero == 3);
}

TEST_CASE("methods with some of the stems are scored on those", "[harness]") {
  const mss::tests::TempDir dir;
  methods::Registry registry = toy_registry();
  add(registry, {.name = "karaoke", .targets = {"vocals", "accompaniment"}});
  add(registry, {.name = "rhythm", .targets = {"bass", "drums", "residual"}});
  add(registry, {.name = "strings", .targets = {"violins"}});
  add(registry, {.name = "all-and-more", .targets = {"vocals", "drums", "bass", "accompaniment", "residual"}});
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "run");
  plan.limit = 1;
  plan.methods = {"solo", "karaoke", "rhythm", "strings", "all-and-more"};
  const RunResult result = run(plan, registry);
  CHECK(result.failures.empty());
  REQUIRE(result.refused.size() == 1);
  CHECK(result.refused[0].spec == "strings");
  CHECK(contains(result.refused[0].error.what(), "violins"));
  std::map<std::string, std::set<std::string>> rows;
  for (const records::Record& record : records::read_records(dir / "run")) {
    rows[record.key.spec].insert(record.key.scenario + "=" + record.key.target);
    if (record.key.spec == "rhythm") CHECK(core::dump_json(record.body.at("unscored_targets")) == "[\"residual\"]");
  }
  using Set = std::set<std::string>;
  CHECK(rows["solo"] == Set{"stems:vocals=vocals"});
  // Every row stands in every table that it covers: solo and rhythm bring two of them.
  CHECK(rows["karaoke"] ==
        Set{"vocals/accompaniment=vocals", "vocals/accompaniment=accompaniment", "stems:vocals=vocals"});
  CHECK(rows["rhythm"] == Set{"stems:drums+bass=bass", "stems:drums+bass=drums"});
  CHECK(rows["all-and-more"] == Set{"stems=vocals", "stems=drums", "stems=bass", "vocals/accompaniment=vocals",
                                    "vocals/accompaniment=accompaniment", "stems:vocals=vocals",
                                    "stems:drums+bass=bass", "stems:drums+bass=drums"});
  CHECK(rows["strings"].empty());
}

TEST_CASE("estimates are saved under the slug, per seed, and asked for again when they are gone", "[harness]") {
  const mss::tests::TempDir dir;
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "run");
  plan.limit = 2;
  plan.methods = {"half", "dice"};
  plan.save_estimates = true;
  run(plan, toy_registry());
  const audio::AudioBuffer mixture = audio::read_file(dir / "set" / "Track 0" / "mixture.wav");
  const audio::AudioBuffer estimate =
      audio::read_file(records::estimate_path(plan.out, "half", 0, "test", "Track 0", "drums"));
  REQUIRE(audio::same_shape(mixture, estimate));
  for (std::size_t t = 0; t < 100; ++t) CHECK(estimate.channel(0)[t] == 0.5F * mixture.channel(0)[t]);
  CHECK(fs::exists(records::estimate_path(plan.out, "dice", 2, "test", "Track 1", "bass")));
  CHECK(run(plan, toy_registry()).done == 0);
  fs::remove(records::estimate_path(plan.out, "half", 0, "test", "Track 0", "drums"));
  CHECK(run(plan, toy_registry()).done == 1);
  CHECK(fs::exists(records::estimate_path(plan.out, "half", 0, "test", "Track 0", "drums")));
}

TEST_CASE("the memory bound limits how many tracks are at work", "[harness]") {
  const mss::tests::TempDir dir;
  write_dataset(dir / "set");
  struct Gauge {
    std::mutex mutex;
    std::condition_variable changed;
    int inside = 0, most = 0;
    bool met = false;
  } gauge;
  // Waits a little for company, which only the bound can keep away.
  const auto hook = [&gauge](std::chrono::milliseconds patience) {
    return [&gauge, patience](const audio::AudioBuffer&) {
      std::unique_lock lock(gauge.mutex);
      gauge.most = std::max(gauge.most, ++gauge.inside);
      if (gauge.inside >= 2) gauge.met = true;
      gauge.changed.notify_all();
      gauge.changed.wait_for(lock, patience, [&] { return gauge.met; });
      --gauge.inside;
    };
  };
  Plan plan = toy_plan(dir / "set", dir / "tight");
  plan.methods = {"wait"};
  plan.jobs = 3;
  plan.threads = 3;
  {
    methods::Registry registry;
    add(registry, {.name = "wait", .hook = hook(std::chrono::milliseconds(30))});
    plan.memory_gb = 1e-6;  // less than any track
    try {
      run(plan, registry);
      FAIL("no error");
    } catch (const Error& error) {
      CHECK(error.code() == Code::resource);
      CHECK(std::string(error.what()).find("needs more memory than the run may take with wait") != std::string::npos);
    }
    CHECK(gauge.most == 0);
    // Enough for any one track, not for two.
    std::int64_t most = 0;
    const datasets::Dataset opened = datasets::open((dir / "set").string());
    for (const auto& track : opened.tracks()) {
      most = std::max(most, estimate_track_bytes(track, {registry.make("wait")->info()}, plan));
    }
    plan.memory_gb = 1.1 * static_cast<double>(most) / 1e9;
    CHECK(run(plan, registry).done == 4);
    CHECK(gauge.most == 1);
  }
  {
    methods::Registry registry;
    add(registry, {.name = "wait", .hook = hook(std::chrono::seconds(20))});
    plan.out = dir / "wide";
    plan.memory_gb = 64;
    CHECK(run(plan, registry).done == 4);
    CHECK(gauge.most >= 2);
  }
  // Between: two of these tracks fit, three do not.
  gauge.most = 0;
  gauge.met = false;
  methods::Registry registry;
  add(registry, {.name = "wait", .hook = hook(std::chrono::milliseconds(200))});
  const datasets::Dataset set = datasets::open((dir / "set").string());
  std::int64_t largest = 0;
  for (const auto& track : set.tracks()) {
    largest = std::max(largest, estimate_track_bytes(track, {registry.make("wait")->info()}, plan));
  }
  plan.out = dir / "two";
  plan.memory_gb = 2.1 * static_cast<double>(largest) / 1e9;
  CHECK(run(plan, registry).done == 4);
  CHECK(gauge.most <= 2);
}

TEST_CASE("the memory estimate grows with length, stems and whole-file methods", "[harness]") {
  datasets::Track track;
  track.stems = {"vocals", "drums", "bass", "other"};
  track.channels = 2;
  track.rate_hz = 44100;
  track.samples = 44100 * 60;
  methods::SeparatorInfo streaming, whole;
  whole.streams = false;
  const Plan plan;
  const std::int64_t minute = estimate_track_bytes(track, {streaming}, plan);
  CHECK(minute > 4 * 2 * 5 * track.samples);  // mixture and stems alone
  CHECK(estimate_track_bytes(track, {streaming, whole}, plan) > minute);
  track.samples *= 10;
  CHECK(estimate_track_bytes(track, {streaming}, plan) > 4 * minute);
  Plan light;
  light.metrics = "sdr";
  CHECK(estimate_track_bytes(track, {streaming}, light) < estimate_track_bytes(track, {streaming}, plan));
}

TEST_CASE("a stop request leaves what is finished for the next run", "[harness]") {
  const mss::tests::TempDir dir;
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "run");
  core::StopSource before;
  before.request_stop();
  RunOptions options;
  options.stop = before.token();
  RunResult result = run(plan, toy_registry(), options);
  CHECK(result.cancelled);
  CHECK(result.done == 0);
  core::StopSource source;
  methods::Registry registry = toy_registry();
  int calls = 0;
  add(registry, {.name = "interrupt", .hook = [&](const audio::AudioBuffer&) {
                   if (++calls == 2) {
                     source.request_stop();
                     throw Error(Code::cancelled, "interrupt", "stopped");
                   }
                 }});
  plan.methods = {"interrupt"};
  options.stop = source.token();
  result = run(plan, registry, options);
  CHECK(result.cancelled);
  CHECK(result.done == 1);
  CHECK(result.failures.empty());
  CHECK(part_files(plan.out).size() == 1);
  result = run(plan, registry);
  CHECK(result.reused == 1);
  CHECK(result.done == 3);
}

TEST_CASE("a run that cannot start says why and leaves nothing at work", "[harness]") {
  const mss::tests::TempDir dir;
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "run");
  const auto refused = [&](auto change, Code code, const std::string& part) {
    Plan wrong = plan;
    change(wrong);
    const Error error = error_of([&] { run(wrong, toy_registry()); });
    CAPTURE(error.what());
    CHECK(error.code() == code);
    CHECK(contains(error.what(), part));
  };
  refused([](Plan& p) { p.methods = {"halve"}; }, Code::config, "half");
  refused([](Plan& p) { p.methods = {"half|"}; }, Code::config, "half|");
  refused([](Plan& p) { p.dataset += "/none"; }, Code::dataset, "none");
  refused([](Plan& p) { p.tracks = {"Trakc 1"}; }, Code::dataset, "Track 1");
  refused([](Plan& p) { p.methods.clear(); }, Code::config, "methods");
  CHECK_FALSE(fs::exists(dir / "run"));
  const records::RunLock lock(dir.path(), {});
  plan.out = dir.path();
  CHECK(error_of([&] { run(plan, toy_registry()); }).code() == Code::io);
}

TEST_CASE("methods that stand twice in a plan run once, under their canonical spec", "[harness]") {
  const mss::tests::TempDir dir;
  methods::Registry registry;
  core::Param gain;
  gain.name = "gain";
  gain.type = core::ParamType::real;
  gain.default_value = "0.5";
  gain.range = "[0,1]";
  add(registry, {.name = "half", .params = {gain}});
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "run");
  plan.methods = {"half", " half : gain = 0.50 ", "half:gain=0.250"};
  int warnings = 0;
  RunOptions options;
  options.log = [&](core::LogLevel level, std::string_view) { warnings += level == core::LogLevel::warning; };
  CHECK(run(plan, registry, options).items == 8);
  CHECK(warnings == 1);
  const auto rows = by_spec(dir / "run");
  REQUIRE(rows.size() == 2);
  CHECK(rows.begin()->first == "half");
  CHECK(rows.rbegin()->first == "half:gain=0.25");
  CHECK(rows.rbegin()->second.front().body.at("options").at("gain").as_real() == 0.25);
}

TEST_CASE("files in specs are found beside the plan and recorded by label, not by path", "[harness]") {
  const mss::tests::TempDir dir;
  core::Param dict;
  dict.name = "dict";
  dict.type = core::ParamType::file;
  std::string opened;
  methods::Registry registry;
  methods::MethodEntry entry;
  entry.name = "learned";
  entry.params = {dict};
  entry.make = [&](const core::Params& params, const core::SpecPart& spec) {
    opened = params.text("dict");
    methods::SeparatorInfo info;
    info.spec = core::to_string(spec);
    info.method = "learned";
    return std::make_unique<tests::Scale>(
        info, [](std::size_t, std::uint64_t) { return 1.0F; }, nullptr);
  };
  registry.add(entry);
  core::write_file_atomic(dir / "words.safetensors", "abc");
  Plan plan = toy_plan(write_dataset(dir / "set"), dir / "run");
  plan.folder = dir.path();
  plan.limit = 1;
  plan.methods = {"learned:dict=words.safetensors"};
  run(plan, registry);
  CHECK(opened == (dir / "words.safetensors").string());
  CHECK(by_spec(dir / "run").begin()->first == "learned:dict=words#ba7816bf");  // SHA-256 of "abc"
  methods::SeparatorInfo info;
  info.spec = "learned:dict=words#1234";
  CHECK(recorded_spec(info, registry) == "learned:dict=words#1234");
}

TEST_CASE("a blind nmf tells its protocol in its row's name", "[harness]") {
  const methods::Registry& registry = builtin_methods();
  CHECK(run_spec("nmf", registry) == "nmf:protocol=P4");
  CHECK(run_spec("nmfd", registry) == "nmfd:protocol=P3");
  CHECK(run_spec("nmf:protocol=P3|wiener", registry) == "nmf:protocol=P3|wiener");
  CHECK(run_spec("mixture-over-j", registry) == "mixture-over-j");
  CHECK(error_of([&] { run_spec("nmff", registry); }).code() == Code::config);
}

}  // namespace mss::harness
