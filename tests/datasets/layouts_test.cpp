#include <algorithm>
#include <cmath>
#include <fstream>

#include "core/hash.h"
#include "datasets/check.h"
#include "datasets/dataset.h"
#include "tests/datasets/make_files.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using datasets::Layout;
using tests::FolderOptions;
using tests::TempDir;
using tests::write_track;

namespace {

std::vector<std::string> names(const std::vector<datasets::Track>& tracks) {
  std::vector<std::string> result;
  for (const auto& track : tracks) result.push_back(track.name);
  return result;
}

void touch(const std::filesystem::path& path) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << "not audio";
}

bool has(const std::vector<datasets::Finding>& findings, const std::string& kind, const std::string& track) {
  return std::any_of(findings.begin(), findings.end(),
                     [&](const auto& f) { return f.kind == kind && f.track == track; });
}

}  // namespace

TEST_CASE("a stem folder with any stems opens, loads and adds up", "[datasets]") {
  const TempDir dir;
  const auto root = dir / "quartet";
  FolderOptions options{.stems = {"violins", "synth", "drums", "bass"}};
  write_track(root / "A - One", options);
  options.extension = ".flac";
  options.seed = 1;
  write_track(root / "B - Two.5", options);
  std::ofstream(root / "A - One" / "notes.txt") << "not audio";
  std::ofstream(root / "manifest.json") << "{}";
  std::ofstream(root / "A - One" / "._bass.wav") << "macOS companion";

  const auto set = datasets::open(root.string());
  CHECK(set.name() == "quartet#" + datasets::tracks_tag(set.tracks()));
  CHECK(set.layout() == Layout::folders);
  CHECK(names(set.tracks()) == std::vector<std::string>{"A - One", "B - Two.5"});
  CHECK(set.stems() == std::vector<std::string>{"bass", "drums", "synth", "violins"});
  CHECK(set.ignored().empty());
  for (const auto& track : set.tracks()) {
    CHECK(track.subset == "test");
    CHECK(track.split == "test");
    CHECK(track.rate_hz == 44100);
    CHECK(track.channels == 2);
    CHECK(track.samples == 2000);
    const auto audio = set.load(track);
    CHECK(audio.names == set.stems());
    CHECK(datasets::sum_residual_db(audio) == -std::numeric_limits<double>::infinity());
    CHECK(audio::energy(audio.stems[0]) > 0);
    const auto mixture = set.load_mixture(track);
    CHECK(std::equal(mixture.channel(1).begin(), mixture.channel(1).end(), audio.mixture.channel(1).begin()));
  }
  // A trailing slash changes nothing.
  CHECK(datasets::open(root.string() + "/").name() == set.name());
}

TEST_CASE("tracks of a stem folder may have stems of their own", "[datasets]") {
  const TempDir dir;
  write_track(dir / "set" / "A", {.stems = {"cello", "piano"}});
  write_track(dir / "set" / "B", {.stems = {"piano", "flute"}});
  const auto set = datasets::open((dir / "set").string());
  CHECK(set.stems() == std::vector<std::string>{"cello", "flute", "piano"});
  CHECK(set.load(set.tracks()[1]).names == std::vector<std::string>{"flute", "piano"});
}

TEST_CASE("targets: a stem, the accompaniment, the linear mixture", "[datasets]") {
  const TempDir dir;
  write_track(dir / "set" / "A", {});
  const auto set = datasets::open((dir / "set").string());
  CHECK(set.stems() == std::vector<std::string>{"drums", "bass", "other", "vocals"});
  const auto audio = set.load(set.tracks()[0]);
  const auto accompaniment = datasets::Dataset::target(audio, "accompaniment");
  const auto linear = datasets::Dataset::target(audio, "linear_mixture");
  const auto vocals = datasets::Dataset::target(audio, "vocals");
  for (std::size_t t = 0; t < 2000; ++t) {
    REQUIRE(linear.channel(0)[t] == audio.mixture.channel(0)[t]);
    REQUIRE(accompaniment.channel(1)[t] + vocals.channel(1)[t] == audio.mixture.channel(1)[t]);
  }
  const auto bad = tests::error_of([&] { datasets::Dataset::target(audio, "vocal"); });
  REQUIRE(bad);
  CHECK(bad->code() == Code::dataset);
  CHECK(tests::mentions(*bad, "did you mean 'vocals'?"));
  datasets::TrackAudio without_vocals = audio;
  without_vocals.names[3] = "choir";
  CHECK(tests::error_of([&] { datasets::Dataset::target(without_vocals, "accompaniment"); }));
}

TEST_CASE("accompaniment and linear_mixture files of musdbconvert are not stems", "[datasets]") {
  const TempDir dir;
  write_track(dir / "hq" / "train" / "A", {});
  for (const char* name : {"accompaniment.wav", "linear_mixture.wav"}) {
    std::filesystem::copy_file(dir / "hq" / "train" / "A" / "mixture.wav", dir / "hq" / "train" / "A" / name);
  }
  const auto set = datasets::open((dir / "hq").string());
  CHECK(set.stems().size() == 4);
  CHECK(set.tracks()[0].files.size() == 5);
}

TEST_CASE("subsets and the official split of MUSDB18-HQ", "[datasets]") {
  const TempDir dir;
  const auto root = dir / "renamed";
  // Short files under published names: a sample.
  std::uint32_t seed = 0;
  for (const char* name : {"Actions - Devil's Words", "ANiMAL - Rockshow", "Leaf - Wicked", "Somebody - Else"}) {
    write_track(root / "train" / name, {.samples = 500, .seed = seed++});
  }
  for (const char* name : {"M.E.R.C. Music - Knockout", "PR - Oh No"}) {
    write_track(root / "test" / name, {.samples = 500, .seed = seed++});
  }
  write_track(root / "scratch" / "Nothing", {.samples = 500, .seed = seed});
  const auto set = datasets::open(root.string());
  // One track that is not MUSDB18's makes another set of it.
  CHECK(set.name().starts_with("renamed#"));
  CHECK(names(set.tracks()) == std::vector<std::string>{"M.E.R.C. Music - Knockout", "PR - Oh No", "ANiMAL - Rockshow",
                                                        "Actions - Devil's Words", "Leaf - Wicked", "Somebody - Else"});
  REQUIRE(set.ignored().size() == 1);
  CHECK(set.ignored()[0].filename() == "scratch");
  const auto select = [&](const std::string& subset, const std::string& split) {
    return names(set.select({.subset = subset, .split = split}));
  };
  CHECK(select("train", "").size() == 4);  // validation tracks are part of the subset, as in musdb
  CHECK(select("test", "").size() == 2);
  CHECK(select("", "").size() == 6);
  CHECK(select("train", "valid") == std::vector<std::string>{"ANiMAL - Rockshow"});
  CHECK(select("", "valid") == std::vector<std::string>{"ANiMAL - Rockshow"});
  CHECK(select("train", "train").size() == 3);
  CHECK(set.tracks()[1].erratum.find("left channel") == 0);
  CHECK_FALSE(set.tracks()[4].erratum.empty());
  CHECK(set.tracks()[3].erratum.empty());

  // The same tracks without train/ and test/: the table places them; unknown ones are test tracks.
  const auto loose = datasets::open((root / "train").string());
  CHECK(loose.name().starts_with("train#"));
  CHECK(names(loose.select({.subset = "test"})) == std::vector<std::string>{"Somebody - Else"});
  CHECK(names(loose.select({.subset = "train", .split = "valid"})) == std::vector<std::string>{"ANiMAL - Rockshow"});
  std::filesystem::remove_all(root / "train" / "Somebody - Else");
  CHECK(datasets::open(root.string()).name() == "MUSDB18-HQ-sample");
}

TEST_CASE("full-length tracks are MUSDB18-HQ itself, and the folder overrules the table", "[datasets]") {
  const TempDir dir;
  const double seconds = datasets::musdb_fact("Music Delta - Rock")->seconds;
  const FolderOptions whole{.channels = 1, .samples = std::llround(seconds * 8000), .rate_hz = 8000};
  write_track(dir / "x" / "test" / "Music Delta - Rock", whole);
  const auto set = datasets::open((dir / "x").string());
  CHECK(set.name() == "MUSDB18-HQ");
  CHECK(set.tracks()[0].subset == "test");
  CHECK(has(datasets::check(set), "subset", "Music Delta - Rock"));
}

TEST_CASE("valid/ and dev/ folders are the validation split of the subset train", "[datasets]") {
  const TempDir dir;
  write_track(dir / "set" / "train" / "A", {.samples = 100});
  write_track(dir / "set" / "valid" / "B", {.samples = 100, .seed = 1});
  write_track(dir / "set" / "test" / "C", {.samples = 100, .seed = 2});
  const auto set = datasets::open((dir / "set").string());
  CHECK(names(set.select({.subset = "train"})) == std::vector<std::string>{"A", "B"});
  CHECK(names(set.select({.split = "valid"})) == std::vector<std::string>{"B"});
  // A song called "test" is a song.
  write_track(dir / "odd" / "test", {.samples = 100});
  write_track(dir / "odd" / "rest", {.samples = 100});
  CHECK(names(datasets::open((dir / "odd").string()).tracks()) == std::vector<std::string>{"rest", "test"});
}

TEST_CASE("stem.mp4 names lose the whole suffix and nothing else", "[datasets]") {
  const TempDir dir;
  const auto root = dir / "musdb";
  touch(root / "test" / "M.E.R.C. Music - Knockout.stem.mp4");
  touch(root / "test" / "Little Chicago's Finest - My Own.stem.mp4");
  touch(root / "test" / "The Easton Ellises (Baumi) - SDRNR.stem.mp4");
  touch(root / "train" / "Jokers, Jacks & Kings - Sea Of Leaves.stem.mp4");
  touch(root / "train" / "Young Griffo - Pennies.stem.mp4");
  touch(root / "train" / "readme.mp4");
  touch(root / "train" / "._Young Griffo - Pennies.stem.mp4");
  const auto set = datasets::open(root.string());
  CHECK(set.name() == "MUSDB18");
  CHECK(set.layout() == Layout::stems);
  CHECK(names(set.tracks()) == std::vector<std::string>{"Little Chicago's Finest - My Own", "M.E.R.C. Music - Knockout",
                                                        "The Easton Ellises (Baumi) - SDRNR",
                                                        "Jokers, Jacks & Kings - Sea Of Leaves",
                                                        "Young Griffo - Pennies"});
  CHECK(set.tracks()[4].split == "valid");
  // A file that is no container stays in the list; loading it names the file.
  const auto error = tests::error_of([&] { set.load(set.tracks()[1]); });
  REQUIRE(error);
  CHECK(tests::mentions(*error, "M.E.R.C. Music - Knockout.stem.mp4"));
  CHECK(has(datasets::check(set), "unreadable", "M.E.R.C. Music - Knockout"));
}

TEST_CASE("containers of unknown songs take their folder's name", "[datasets]") {
  const TempDir dir;
  touch(dir / "mine" / "Me - Song.stem.mp4");
  CHECK(datasets::open((dir / "mine").string()).name().starts_with("mine#"));
}

TEST_CASE("MIR-1K: left is accompaniment, right is singing, the mixture is their sum", "[datasets]") {
  const TempDir dir;
  const auto root = dir / "Wavfile";
  std::filesystem::create_directories(root);
  std::uint32_t item = 0;
  for (const char* name : {"abjones_1_01", "amy_9_08", "Kenshin_4_08", "geniusturtle_4_11"}) {
    audio::write_file(root / (std::string(name) + ".wav"), tests::noise(2, 3000, 16000, item++),
                      {audio::SampleFormat::pcm16});
  }
  const auto set = datasets::open(root.string());
  CHECK(set.name() == "MIR-1K");
  CHECK(set.layout() == Layout::mir1k);
  CHECK(set.stems() == std::vector<std::string>{"accompaniment", "vocals"});
  REQUIRE(names(set.tracks()) ==
          std::vector<std::string>{"Kenshin_4_08", "geniusturtle_4_11", "abjones_1_01", "amy_9_08"});
  CHECK(set.tracks()[2].split == "train");
  CHECK(set.tracks()[3].split == "valid");
  CHECK(set.tracks()[3].subset == "train");
  CHECK(set.tracks()[0].subset == "test");
  CHECK(set.tracks()[0].channels == 1);
  CHECK(set.tracks()[0].rate_hz == 16000);
  CHECK(set.tracks()[0].samples == 3000);
  const auto audio = set.load(set.tracks()[0]);
  const auto file = audio::read_file(root / "Kenshin_4_08.wav");
  CHECK(audio.mixture.channels() == 1);
  CHECK(audio.names == set.stems());
  CHECK(std::equal(file.channel(0).begin(), file.channel(0).end(), audio.stems[0].channel(0).begin()));
  CHECK(std::equal(file.channel(1).begin(), file.channel(1).end(), audio.stems[1].channel(0).begin()));
  CHECK(audio.mixture.channel(0)[17] == file.channel(0)[17] + file.channel(1)[17]);
}

TEST_CASE("identity is a hash of names and contents", "[datasets]") {
  const TempDir dir;
  write_track(dir / "one" / "A", {.samples = 300});
  write_track(dir / "two" / "A", {.samples = 300});
  write_track(dir / "three" / "A", {.samples = 300, .seed = 1});
  const auto one = datasets::open((dir / "one").string());
  const auto two = datasets::open((dir / "two").string());
  const auto three = datasets::open((dir / "three").string());
  CHECK(one.sha256(one.tracks()[0]) == two.sha256(two.tracks()[0]));
  CHECK(one.sha256(one.tracks()[0]) != three.sha256(three.tracks()[0]));
  std::string lines;
  for (const char* name : {"mixture", "drums", "bass", "other", "vocals"}) {
    lines += core::sha256_file(dir / "one" / "A" / (std::string(name) + ".wav")) + "  " + name + ".wav\n";
  }
  CHECK(one.sha256(one.tracks()[0]) == core::sha256_hex(lines));
  const auto rows = datasets::metadata(one, true);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].sha256 == core::sha256_hex(lines));
  CHECK(rows[0].name == "A");
  CHECK(rows[0].stems.size() == 4);
  CHECK(datasets::metadata(one)[0].sha256.empty());
}

TEST_CASE("levels find the same song in another container", "[datasets]") {
  const TempDir dir;
  // Loudness that changes from second to second, as music's does.
  const auto write = [](const std::filesystem::path& folder, std::uint32_t seed, const std::string& extension,
                        double gain) {
    std::filesystem::create_directories(folder);
    core::Rng rng(3, 2, seed);
    audio::AudioBuffer stem(1, 8 * 4000, 4000);
    double level = 0.3;
    for (std::int64_t t = 0; t < stem.samples(); ++t) {
      if (t % 4000 == 0) level = rng.uniform(0.05, 0.5);
      stem.channel(0)[static_cast<std::size_t>(t)] = static_cast<float>(gain * level * (2 * rng.uniform() - 1));
    }
    audio::write_file(folder / ("piano" + extension), stem, {audio::SampleFormat::pcm16});
    audio::write_file(folder / ("mixture" + extension), stem, {audio::SampleFormat::pcm16});
  };
  write(dir / "s" / "A", 1, ".wav", 1.0);
  write(dir / "s" / "B", 2, ".wav", 1.0);
  write(dir / "s" / "C", 1, ".flac", 0.99);
  const auto set = datasets::open((dir / "s").string());
  const auto a = set.levels_db(set.tracks()[0]), b = set.levels_db(set.tracks()[1]), c = set.levels_db(set.tracks()[2]);
  REQUIRE(a.size() == 8);
  CHECK(datasets::similar_levels(a, c));
  CHECK_FALSE(datasets::similar_levels(a, b));
  CHECK_FALSE(datasets::similar_levels({}, {}));
  CHECK_FALSE(datasets::similar_levels({-120, -120}, {-120, -120}));
  CHECK(datasets::similar_levels({-20, -120}, {-20.5, -120}, 0.6));
  CHECK_FALSE(datasets::similar_levels({-20, -120}, {-20.5, -120}, 0.4));
  const auto findings = datasets::check(set);
  CHECK(has(findings, "duplicate", "C"));
  CHECK_FALSE(has(findings, "duplicate", "B"));
  // A full-scale constant has 0 dB, silence the floor.
  audio::AudioBuffer flat(1, 100, 100);
  for (auto& x : flat.channel(0)) x = 1.0F;
  std::filesystem::create_directories(dir / "flat" / "D");
  audio::write_file(dir / "flat" / "D" / "mixture.wav", flat);
  audio::write_file(dir / "flat" / "D" / "piano.wav", flat);
  const auto flat_set = datasets::open((dir / "flat").string());
  REQUIRE(flat_set.levels_db(flat_set.tracks()[0]).size() == 1);
  CHECK(flat_set.levels_db(flat_set.tracks()[0])[0] == Approx(0.0).margin(1e-9));
}
