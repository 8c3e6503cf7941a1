// Sets of songs on disk: the same bytes for any number of jobs and after a stop, and what a data set makes of them.
#include <fstream>
#include <map>

#include "audio/file.h"
#include "audio/stream.h"
#include "core/file.h"
#include "core/folder_lock.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/stop.h"
#include "datasets/check.h"
#include "datasets/dataset.h"
#include "datasets/synth/set.h"
#include "datasets/synth/songs.h"
#include "harness/builtin_methods.h"
#include "harness/synth_check.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::datasets::synth;
namespace fs = std::filesystem;

namespace {

const Preset kTiny = {"tiny", 2, 1, 1, 3, 0};

std::map<std::string, std::string> hashes_in(const fs::path& root) {
  std::map<std::string, std::string> hashes;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file()) hashes[fs::relative(entry.path(), root).string()] = core::sha256_file(entry.path());
  }
  return hashes;
}

SetOptions options_for(const fs::path& out, const Renderer& renderer, int jobs = 1) {
  SetOptions options;
  options.out = out;
  options.preset = kTiny;
  options.renderer = &renderer;
  options.jobs = jobs;
  return options;
}

/// One training song.
SetOptions options_for_one(const fs::path& out, const Renderer& renderer) {
  SetOptions options = options_for(out, renderer);
  options.preset.train = 1;
  options.preset.valid = options.preset.test = 0;
  return options;
}

}  // namespace

TEST_CASE("a set has the same bytes for any number of jobs and after a stop", "[synth]") {
  const auto renderer = make_builtin_renderer();
  const tests::TempDir dir;
  const SetSummary first = write_set(options_for(dir / "one", *renderer));
  CHECK(first.songs == 4);
  CHECK(first.written == 4);
  CHECK(first.seconds == 12);
  const auto expected = hashes_in(dir / "one");
  CHECK(expected.size() == 4 * 9 + 2);

  write_set(options_for(dir / "two", *renderer, 3));
  CHECK(hashes_in(dir / "two") == expected);

  // Stopped after the second song, then taken up again.
  struct StopAfterTwo : core::Progress {
    core::StopSource source;
    void begin(std::string_view, std::int64_t) override {}
    void update(std::int64_t done, std::string_view) override {
      if (done == 2) source.request_stop();
    }
    void end() override {}
  } progress;
  SetOptions options = options_for(dir / "three", *renderer);
  options.progress = &progress;
  options.stop = progress.source.token();
  CHECK(tests::error_of([&] { write_set(options); }).code() == Code::cancelled);
  CHECK(tests::contains(core::read_text_file(dir / "three" / "manifest.json"), "\"complete\": false"));
  const SetSummary resumed = write_set(options_for(dir / "three", *renderer));
  CHECK(resumed.kept == 2);
  CHECK(resumed.written == 2);
  CHECK(hashes_in(dir / "three") == expected);

  // What is damaged or left half-written is made again, nothing else is.
  const auto files = hashes_in(dir / "three");
  const fs::path song = (dir / "three") / fs::path(files.rbegin()->first).parent_path();
  std::ofstream(song / "vocals.wav", std::ios::app) << "x";
  fs::create_directories(song.parent_path() / ".Synth 1 - pop.77.part");
  const SetSummary mended = write_set(options_for(dir / "three", *renderer));
  CHECK(mended.written == 1);
  CHECK(hashes_in(dir / "three") == expected);
  CHECK_FALSE(fs::exists(song.parent_path() / ".Synth 1 - pop.77.part"));
}

TEST_CASE("a set is a data set with splits, exact sums and a name of its own", "[synth]") {
  const auto renderer = make_builtin_renderer();
  const tests::TempDir dir;
  SetOptions options = options_for(dir / "songs", *renderer, 2);
  options.instruments = true;
  options.flac = true;
  write_set(options);
  const auto set = datasets::open((dir / "songs").string());
  CHECK(set.name().starts_with("synthetic-v2:preset=tiny,seed=1,renderer=builtin#"));
  CHECK(set.tracks().size() == 4);
  CHECK(set.ignored().empty());
  CHECK(set.stems() == std::vector<std::string>{"drums", "bass", "other", "vocals"});
  CHECK(set.select({.subset = "train"}).size() == 3);
  REQUIRE(set.select({.split = "valid"}).size() == 1);
  CHECK(set.select({.split = "valid"})[0].name.starts_with("Synth 2000 - "));
  CHECK(set.select({.subset = "test"})[0].name.starts_with("Synth 3000 - "));
  for (const auto& finding : datasets::check(set)) {
    INFO(finding.track << ": " << finding.message);
    CHECK((finding.severity == datasets::Severity::info || finding.kind == "silent_stem"));
  }

  const auto instruments = datasets::open((dir / "songs" / "instruments").string());
  CHECK(instruments.name().starts_with("synthetic-v2:preset=tiny,seed=1,renderer=builtin,stems=instruments#"));
  CHECK(instruments.select({.split = "valid"}).size() == 1);
  for (const auto& track : instruments.tracks()) {
    CHECK(datasets::sum_residual_db(instruments.load(track)) == -std::numeric_limits<double>::infinity());
    const core::Value identities = core::read_json_file(track.files.front().parent_path() / "instruments.json");
    for (const std::string& stem : track.stems) {
      CHECK_FALSE(identities.at(stem).at("name").as_string().empty());
      CHECK_FALSE(identities.at(stem).at("stem").as_string().empty());
    }
  }

  const core::Value meta = core::read_json_file(set.tracks()[0].files.front().parent_path() / "meta.json");
  CHECK(meta.at("renderer").as_string() == "builtin");
  CHECK(meta.at("files").size() > 10);
  CHECK(meta.at("mix").size() > 15);
}

TEST_CASE("a song whose own file leaves something out or leads elsewhere is made again", "[synth]") {
  const auto renderer = make_builtin_renderer();
  const tests::TempDir dir;
  const SetOptions options = options_for_one(dir / "set", *renderer);
  write_set(options);
  const auto expected = hashes_in(dir / "set");
  const fs::path meta_path = (dir / "set") / fs::path(expected.rbegin()->first).parent_path() / "meta.json";
  const core::Value whole = core::read_json_file(meta_path);
  core::write_file_atomic(dir / "outside.txt", "x");
  const std::string name = whole.at("files").as_object().begin()->first;
  const std::string own = name.substr(0, name.rfind('/') + 1);
  using Change = void (*)(core::Value&, const std::string&);
  const Change changes[] = {
      [](core::Value& meta, const std::string&) { meta["files"] = core::Value::object(); },
      [](core::Value& meta, const std::string& place) {
        meta["files"][place + "../../../outside.txt"] = core::sha256_hex("x");
      },
      [](core::Value& meta, const std::string&) { meta["files"]["/dev/zero"] = "0"; },
      [](core::Value& meta, const std::string&) { meta["samples"] = 7; },
      [](core::Value& meta, const std::string&) { meta["seed"] = 7; },
      [](core::Value& meta, const std::string&) { meta = core::Value::array(); },
  };
  for (const Change change : changes) {
    core::Value meta = whole;
    change(meta, own);
    core::write_file_atomic(meta_path, core::dump_json(meta));
    CHECK(write_set(options).written == 1);
    CHECK(hashes_in(dir / "set") == expected);
  }
  CHECK(core::read_text_file(dir / "outside.txt") == "x");
  CHECK(write_set(options).kept == 1);
}

TEST_CASE("two processes do not write songs into one folder", "[synth]") {
  const auto renderer = make_builtin_renderer();
  const tests::TempDir dir;
  fs::create_directories(dir / "set");
  {
    const core::FolderLock lock(dir / "set", "writes songs into this folder");
    tests::check_error(Code::config, {"another process writes songs into this folder"},
                       [&] { write_set(options_for(dir / "set", *renderer)); });
  }
  SetOptions options = options_for(dir / "set", *renderer);
  options.preset.train = options.preset.valid = options.preset.test = 0;
  write_set(options);
  CHECK_FALSE(fs::exists(dir / "set" / core::kFolderLockName));
}

TEST_CASE("a manifest names a set only in plain words", "[synth]") {
  const tests::TempDir dir;
  const auto named = [&](const std::string& preset, const std::string& renderer) {
    core::Value manifest = core::Value::object();
    core::Value& recipe = manifest["recipe"] = core::Value::object();
    recipe["generator"] = "mssbench synth";
    recipe["version"] = 2;
    recipe["preset"] = preset;
    recipe["seed"] = "1";
    recipe["renderer"] = renderer;
    core::write_file_atomic(dir / "manifest.json", core::dump_json(manifest));
    return set_name_of(dir.path());
  };
  CHECK(named("small", "fluidsynth 2.3.1") == "synthetic-v2:preset=small,seed=1,renderer=fluidsynth");
  for (const char* word : {"", "a b", "x\n", "x,seed=2", "\x1b[31m", "../x", "A"}) {
    CAPTURE(word);
    CHECK(named(word, "builtin").empty());
  }
  CHECK(named("small", "\tx").empty());
}

TEST_CASE("what somebody changed in a set is told by synth check, never measured", "[synth]") {
  const auto renderer = make_builtin_renderer();
  const tests::TempDir dir;
  const SetOptions options = options_for_one(dir / "set", *renderer);
  write_set(options);
  harness::SynthCheckOptions check;
  check.root = dir / "set";
  check.methods = &harness::builtin_methods();
  check.mixture = "mixture";
  check.ideal_ratio_mask = "irm2";
  check.clustered_nmf = "mixture";
  const auto refused = [&](std::initializer_list<const char*> words) {
    tests::check_error(Code::dataset, words, [&] { (void)harness::check_synth(check); });
  };
  refused({"no recipe of this program", "tiny"});
  const fs::path manifest_path = dir / "set" / "manifest.json";
  core::Value manifest = core::read_json_file(manifest_path);
  manifest["recipe"]["preset"] = "small";
  core::write_file_atomic(manifest_path, core::dump_json(manifest));
  fs::path meta_path;
  for (const auto& entry : fs::recursive_directory_iterator(dir / "set")) {
    if (entry.path().filename() == "meta.json") meta_path = entry.path();
  }
  const core::Value whole = core::read_json_file(meta_path);
  const auto changed = [&](const char* key, core::Value value) {
    core::Value meta = whole;
    meta[key] = std::move(value);
    core::write_file_atomic(meta_path, core::dump_json(meta));
  };
  changed("seed", "12x");
  refused({"'seed' is no number", "12x"});
  changed("seed", "99999999999999999999999");
  refused({"'seed' is no number"});
  changed("split", "third");
  refused({"unknown split", "third"});
  changed("cut", core::Value::array());
  refused({"'cut' is no excerpt"});
  changed("cut", core::Value::Array{-1, 7});
  refused({"'cut' is no excerpt"});
  core::write_file_atomic(meta_path, core::dump_json(whole));
  // Files that are no longer those of a song.
  const fs::path vocals = meta_path.parent_path() / "vocals.wav", mixture = meta_path.parent_path() / "mixture.wav";
  const audio::AudioBuffer before = audio::read_file(vocals);
  fs::rename(vocals, dir / "vocals.wav");
  refused({"no song of mssbench synth", "drums, bass, other and vocals"});
  fs::rename(dir / "vocals.wav", vocals);
  for (const auto& entry : fs::directory_iterator(meta_path.parent_path())) {
    if (entry.path().extension() != ".wav") continue;
    const audio::AudioBuffer file = audio::read_file(entry.path());
    audio::write_file(entry.path(), audio::convert_channels(file, 1), {.format = audio::SampleFormat::pcm16});
  }
  refused({"no song of mssbench synth", "1 channels"});
}

TEST_CASE("a set is not written over another or into other files", "[synth]") {
  const auto renderer = make_builtin_renderer();
  const tests::TempDir dir;
  core::write_file_atomic(dir / "notes.txt", "mine");
  tests::check_error(Code::config, {"holds other files"}, [&] { write_set(options_for(dir.path(), *renderer)); });
  Preset empty = kTiny;
  empty.train = empty.valid = empty.test = 0;
  SetOptions options = options_for(dir / "set", *renderer);
  options.preset = empty;
  write_set(options);
  options.seed = 2;
  tests::check_error(Code::config, {"another recipe", "another folder"}, [&] { write_set(options); });
}

TEST_CASE("excerpts are where voice, bass and drums sound most", "[synth]") {
  Score score;
  score.bpm = 120;  // a beat is half a second, 22050 samples
  score.sections = {{'V', 0, 8}};
  score.syllables.push_back({.start = 960, .end = 1440, .pitch = 60});
  score.parts[static_cast<std::size_t>(Part::bass)] = {{480, 960, 40, 90}};
  score.parts[static_cast<std::size_t>(Part::drums)] = {{960, 1000, 36, 90}};
  // Syllable 1.0 … 1.5 s: 5 tenths; bass 0.5 … 1.0 s: 5; drum 1.0 … 1.04 s: 1.
  CHECK(activity(score, 0, 2 * kRateHz) == 11);
  CHECK(activity(score, kRateHz, 2 * kRateHz) == 6);
  CHECK(activity(score, 2 * kRateHz, 2 * kRateHz) == 0);
}
