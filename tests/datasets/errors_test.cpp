#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include "datasets/check.h"
#include "datasets/dataset.h"
#include "tests/datasets/make_files.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using tests::error_of;
using tests::mentions;
using tests::TempDir;
using tests::write_track;

namespace {

std::optional<Error> open_error(const std::filesystem::path& where) {
  return error_of([&] { datasets::open(where.string()); });
}

std::optional<Error> load_error(const std::filesystem::path& root, const std::string& name) {
  const auto set = datasets::open(root.string());
  return error_of([&] { set.load(set.select({.tracks = {name}})[0]); });
}

}  // namespace

TEST_CASE("roots that are no data set say what would be one", "[datasets]") {
  const TempDir dir;
  auto error = open_error(dir / "nowhere");
  REQUIRE(error);
  CHECK(error->code() == Code::dataset);
  CHECK(mentions(*error, "musdb18hq"));
  CHECK(mentions(*open_error("musdb81"), "did you mean 'musdb18'?"));

  std::filesystem::create_directories(dir / "empty");
  error = open_error(dir / "empty");
  REQUIRE(error);
  CHECK(error->code() == Code::dataset);
  CHECK(mentions(*error, "no audio at all"));
  std::filesystem::create_directories(dir / "hollow" / "train");
  std::filesystem::create_directories(dir / "hollow" / "test" / "A");
  CHECK(open_error(dir / "hollow")->code() == Code::dataset);

  write_track(dir / "set" / "A - Song", {.samples = 100});
  error = open_error(dir / "set" / "A - Song");
  REQUIRE(error);
  CHECK(error->code() == Code::dataset);
  CHECK(mentions(*error, "one track"));
  CHECK(mentions(*error, "--track \"A - Song\""));
  error = open_error(dir / "set" / "A - Song" / "mixture.wav");
  REQUIRE(error);
  CHECK(mentions(*error, "a folder"));

  std::filesystem::create_directories(dir / "loose");
  audio::write_file(dir / "loose" / "song.wav", tests::noise(2, 100, 44100, 0));
  CHECK(mentions(*open_error(dir / "loose"), "song.wav"));
}

TEST_CASE("names need MUSDB_PATH and the layout that they stand for", "[datasets]") {
  const TempDir dir;
  {
    const tests::ScopedVariable unset("MUSDB_PATH", nullptr);
    const auto error = open_error("musdb18");
    REQUIRE(error);
    CHECK(error->code() == Code::dataset);
    CHECK(mentions(*error, "MUSDB_PATH"));
  }
  {
    const tests::ScopedVariable wrong("MUSDB_PATH", (dir / "missing").c_str());
    CHECK(mentions(*open_error("musdb18hq"), "missing"));
  }
  write_track(dir / "all" / "musdb18hq" / "test" / "PR - Oh No", {.samples = 100});
  {
    // MUSDB_PATH may be the parent of several data sets or the data set itself.
    const tests::ScopedVariable parent("MUSDB_PATH", (dir / "all").c_str());
    CHECK(datasets::open("MUSDB18HQ").tracks().size() == 1);
    CHECK(datasets::open("musdb18-hq").root() == dir / "all" / "musdb18hq");
  }
  {
    const tests::ScopedVariable itself("MUSDB_PATH", (dir / "all" / "musdb18hq").c_str());
    CHECK(datasets::open("musdb18hq").tracks().size() == 1);
    const auto error = open_error("musdb18");
    REQUIRE(error);
    CHECK(error->code() == Code::dataset);
    CHECK(mentions(*error, "stem.mp4"));
    CHECK(mentions(*error, "musdb18hq"));
  }
}

TEST_CASE("layouts have names, and a wrong one is told with the nearest", "[datasets]") {
  for (const auto layout : {datasets::Layout::automatic, datasets::Layout::stems, datasets::Layout::folders,
                            datasets::Layout::mir1k, datasets::Layout::synthetic}) {
    CHECK(datasets::parse_layout(std::string(datasets::layout_name(layout)), "test") == layout);
  }
  const auto error = error_of([] { datasets::parse_layout("folder", "data.layout"); });
  REQUIRE(error);
  CHECK(error->code() == Code::config);
  CHECK(error->parts().where == "data.layout");
  CHECK(mentions(*error, "auto, stems, folders, mir1k, synthetic"));
  CHECK(mentions(*error, "did you mean"));
}

TEST_CASE("an unreadable folder is an input/output error that names it", "[datasets]") {
  const TempDir dir;
  const auto root = dir / "closed";
  write_track(root / "A", {.samples = 100});
  std::filesystem::permissions(dir.path(), static_cast<std::filesystem::perms>(0755));
  std::filesystem::permissions(root, std::filesystem::perms::none);
  // The superuser reads everything, so look with the eyes of an unprivileged user.
  const bool root_user = geteuid() == 0;
  if (root_user) REQUIRE(seteuid(65534) == 0);
  const auto error = open_error(root);
  if (root_user) REQUIRE(seteuid(0) == 0);
  std::filesystem::permissions(root, std::filesystem::perms::owner_all);
  REQUIRE(error);
  INFO(error->what());
  CHECK(error->code() == Code::io);
  CHECK(mentions(*error, "closed"));
}

TEST_CASE("stems of another length, rate or channel count name file, expected and found", "[datasets]") {
  const TempDir dir;
  const auto root = dir / "set";
  write_track(root / "fine", {});
  const auto replace = [&](const std::string& track, const audio::AudioBuffer& stem) {
    write_track(root / track, {});
    audio::write_file(root / track / "bass.wav", stem);
  };
  replace("short", tests::noise(2, 1999, 44100, 1));
  replace("mono", tests::noise(1, 2000, 44100, 1));
  replace("slow", tests::noise(2, 2000, 48000, 1));
  for (const auto& [track, found] :
       {std::pair{"short", "1999 samples"}, {"mono", "1 channels"}, {"slow", "48000 Hz"}}) {
    const auto error = load_error(root, track);
    REQUIRE(error);
    INFO(error->what());
    CHECK(error->code() == Code::dataset);
    CHECK(error->parts().where == (root / track / "bass.wav").string());
    CHECK(error->parts().expected == "2000 samples, 2 channels, 44100 Hz");
    CHECK(error->parts().found.find(found) != std::string::npos);
  }
  CHECK_FALSE(load_error(root, "fine"));
  const auto findings = datasets::check(datasets::open(root.string()), {.threads = 2});
  CHECK(std::count_if(findings.begin(), findings.end(), [](const auto& f) {
          return f.severity == datasets::Severity::error && f.kind == "unreadable";
        }) == 3);
}

TEST_CASE("a missing stem of a MUSDB-like set fails at load and names track, stem and what is there", "[datasets]") {
  const TempDir dir;
  const auto root = dir / "set";
  write_track(root / "A", {});
  write_track(root / "B", {.stems = {"drums", "other", "vocals"}});
  CHECK_FALSE(load_error(root, "A"));
  const auto error = load_error(root, "B");
  REQUIRE(error);
  CHECK(error->code() == Code::dataset);
  CHECK(mentions(*error, "track 'B' lacks the stem 'bass'"));
  CHECK(error->parts().found == "drums, other, vocals");
}

TEST_CASE("a track without mixture or with two files for a stem fails alone", "[datasets]") {
  const TempDir dir;
  const auto root = dir / "set";
  write_track(root / "A", {});
  write_track(root / "B", {.mixture = false});
  write_track(root / "C", {});
  write_track(root / "C", {.extension = ".flac"});
  std::filesystem::create_directories(root / "D");
  std::filesystem::copy_file(root / "A" / "mixture.wav", root / "D" / "mixture.wav");
  CHECK(datasets::open(root.string()).tracks().size() == 4);
  CHECK_FALSE(load_error(root, "A"));
  auto error = load_error(root, "B");
  REQUIRE(error);
  CHECK(error->code() == Code::dataset);
  CHECK(mentions(*error, "mixture.wav (or flac"));
  CHECK(mentions(*error, "bass.wav"));
  error = load_error(root, "C");
  REQUIRE(error);
  CHECK(mentions(*error, "two files for the signal"));
  CHECK(mentions(*load_error(root, "D"), "without stems"));

  // No mixture anywhere: nothing could be run.
  write_track(dir / "stems_only" / "A", {.mixture = false});
  error = open_error(dir / "stems_only");
  REQUIRE(error);
  CHECK(error->code() == Code::dataset);
  CHECK(mentions(*error, "without a mixture"));
}

TEST_CASE("NaN and infinity name file, channel and sample", "[datasets]") {
  const TempDir dir;
  const auto root = dir / "set";
  for (const auto& [track, value] : {std::pair{"nan", std::numeric_limits<float>::quiet_NaN()},
                                     std::pair{"inf", std::numeric_limits<float>::infinity()}}) {
    write_track(root / track, {});
    auto stem = tests::noise(2, 2000, 44100, 3);
    stem.channel(1)[1234] = value;
    audio::write_file(root / track / "vocals.wav", stem);
    const auto error = load_error(root, track);
    REQUIRE(error);
    INFO(error->what());
    CHECK(error->code() == Code::numeric);
    CHECK(error->parts().where == (root / track / "vocals.wav").string());
    CHECK(mentions(*error, "channel 1, sample 1234"));
  }
}

TEST_CASE("empty and broken files fail at load, not at open", "[datasets]") {
  const TempDir dir;
  const auto root = dir / "set";
  write_track(root / "A", {});
  write_track(root / "B", {.samples = 0});
  write_track(root / "C", {});
  std::ofstream(root / "C" / "mixture.wav") << "RIFF";
  write_track(root / "E", {});
  std::filesystem::resize_file(root / "E" / "drums.wav", 3000);
  const auto set = datasets::open(root.string());
  CHECK(set.tracks().size() == 4);
  auto error = load_error(root, "B");
  REQUIRE(error);
  CHECK(mentions(*error, "mixture.wav"));
  CHECK(mentions(*error, "sample"));
  error = load_error(root, "C");
  REQUIRE(error);
  CHECK(error->code() == Code::format);
  CHECK(mentions(*error, "mixture.wav"));
  error = load_error(root, "E");
  REQUIRE(error);
  CHECK(mentions(*error, "drums.wav"));
}

TEST_CASE("selections that make no sense are refused with the nearest name", "[datasets]") {
  const TempDir dir;
  write_track(dir / "set" / "test" / "First Band - Song", {.samples = 100});
  const auto set = datasets::open((dir / "set").string());
  const auto select = [&](const datasets::Selection& selection) { return error_of([&] { set.select(selection); }); };
  REQUIRE(select({.subset = "tests"}));
  CHECK(mentions(*select({.subset = "tests"}), "did you mean 'test'?"));
  REQUIRE(select({.split = "dev"}));
  REQUIRE(select({.subset = "test", .split = "valid"}));
  REQUIRE(select({.subset = "train"}));
  REQUIRE(select({.limit = -1}));
  const auto error = select({.tracks = {"First Band - Sonq"}});
  REQUIRE(error);
  CHECK(error->code() == Code::dataset);
  CHECK(mentions(*error, "did you mean 'First Band - Song'?"));
}

TEST_CASE("a subset's folder may be written in any case, and that is said", "[datasets]") {
  const TempDir dir;
  write_track(dir / "set" / "Test" / "A", {.samples = 100});
  const auto set = datasets::open((dir / "set").string());
  REQUIRE(set.tracks().size() == 1);
  CHECK(set.tracks()[0].subset == "test");
  CHECK(set.notes() == std::vector<std::string>{"the folder 'Test' is taken for 'test'"});
}

TEST_CASE("tracks are named exactly, by patterns, or with a hint at what a word is part of", "[datasets]") {
  const TempDir dir;
  for (const char* name : {"Falcon 69", "Falcon 70", "Caf\xC3\xA9 [live]", "What?", "Other"}) {
    write_track(dir / "set" / name, {.samples = 100});
  }
  const auto set = datasets::open((dir / "set").string());
  const auto names = [&](const std::vector<std::string>& wanted) {
    std::vector<std::string> out;
    for (const datasets::Track& track : set.select({.tracks = wanted})) out.push_back(track.name);
    return out;
  };
  using Names = std::vector<std::string>;
  CHECK(names({"Falcon*"}) == Names{"Falcon 69", "Falcon 70"});
  CHECK(names({"Falcon 6?", "Other"}) == Names{"Falcon 69", "Other"});
  CHECK(names({"Cafe\xCC\x81*"}) == Names{"Caf\xC3\xA9 [live]"});  // the other spelling
  CHECK(names({"What?"}) == Names{"What?"});                       // a name first of all
  CHECK(names({"*"}).size() == 5);
  const auto error = error_of([&] { set.select({.tracks = {"falcon"}}); });
  REQUIRE(error);
  CHECK(mentions(*error, "did you mean 'Falcon 69', 'Falcon 70'?"));
  CHECK(mentions(*error, "a pattern such as '*falcon*'"));
  CHECK(mentions(*error_of([&] { set.select({.tracks = {"falcon*"}}); }), "no track like 'falcon*'"));
}

TEST_CASE("check reports silence and mixtures that are not the sum", "[datasets]") {
  const TempDir dir;
  const auto root = dir / "set";
  write_track(root / "A", {});
  write_track(root / "B", {});
  audio::write_file(root / "B" / "bass.wav", audio::AudioBuffer(2, 2000, 44100));
  const auto findings = datasets::check(datasets::open(root.string()));
  const auto find = [&](const std::string& track, const std::string& kind) {
    return std::find_if(findings.begin(), findings.end(),
                        [&](const auto& f) { return f.track == track && f.kind == kind; });
  };
  REQUIRE(find("A", "residual") != findings.end());
  CHECK(find("A", "residual")->severity == datasets::Severity::info);
  REQUIRE(find("B", "silent_stem") != findings.end());
  CHECK(find("B", "silent_stem")->message.find("bass") != std::string::npos);
  REQUIRE(find("B", "residual") != findings.end());
  CHECK(find("B", "residual")->severity == datasets::Severity::warning);
  // Four equally loud stems, one gone: a quarter of the energy, -6 dB.
  CHECK(find("B", "residual")->message.find("-6.") != std::string::npos);
}
