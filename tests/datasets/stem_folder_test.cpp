// What a folder of stems is: names, extensions, sums, pairs, order.
#include "datasets/stem_folder.h"

#include <fstream>

#include "core/unicode.h"
#include "datasets/dataset.h"
#include "tests/datasets/make_files.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using tests::TempDir;
using tests::write_track;

namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

/// A folder of empty files; read_stem_folder looks at names only.
datasets::StemFolder read(const fs::path& folder, const Names& files) {
  fs::create_directories(folder);
  for (const std::string& file : files) std::ofstream(folder / file) << "x";
  return datasets::read_stem_folder(folder);
}

Names names(const std::vector<datasets::StemFile>& files) {
  Names out;
  for (const auto& file : files) out.push_back(file.name);
  return out;
}

}  // namespace

TEST_CASE("an accompaniment is a stem where nothing lies beside it that it could be the sum of", "[datasets]") {
  const TempDir dir;
  const auto two = read(dir / "two", {"mixture.wav", "vocals.wav", "accompaniment.wav"});
  CHECK(two.mixture);
  CHECK(names(two.stems) == Names{"accompaniment", "vocals"});
  CHECK(two.derived.empty());
  const auto four = read(
      dir / "four", {"vocals.wav", "drums.wav", "bass.wav", "other.wav", "accompaniment.wav", "linear_mixture.wav"});
  CHECK(names(four.stems) == Names{"drums", "bass", "other", "vocals"});
  CHECK(names(four.derived) == Names{"accompaniment", "linear_mixture"});
  CHECK(names(read(dir / "three", {"vocals.wav", "piano.wav", "accompaniment.wav"}).stems) == Names{"piano", "vocals"});
  // The rest of the drums is no sum of them.
  CHECK(names(read(dir / "drums", {"drums.wav", "accompaniment.wav"}).stems) == Names{"accompaniment", "drums"});
  CHECK(names(read(dir / "alone", {"mixture.wav", "linear_mixture.wav"}).stems) == Names{"linear_mixture"});
  CHECK(names(read(dir / "summed", {"vocals.wav", "accompaniment.wav", "linear_mixture.wav"}).derived) ==
        Names{"linear_mixture"});
}

TEST_CASE("the voice and what remains under other names is one pair", "[datasets]") {
  const TempDir dir;
  for (const char* name : {"other", "background", "instrumental", "no_vocals", "accompaniment"}) {
    INFO(name);
    write_track(dir / name / "A", {.stems = {name, "vocals"}});
    const auto set = datasets::open((dir / name).string());
    CHECK(set.stems() == Names{"accompaniment", "vocals"});
    const auto audio = set.load(set.tracks()[0]);
    // Stem 0 is the file of that name, whatever the order of the names.
    const auto file = audio::read_file(dir / name / "A" / (std::string(name) + ".wav"));
    CHECK(std::equal(audio.stems[0].channel(0).begin(), audio.stems[0].channel(0).end(), file.channel(0).begin()));
    CHECK(set.notes().size() == (std::string(name) == "accompaniment" ? 0 : 1));
  }
  // Beside other stems these are names like any other.
  write_track(dir / "more" / "A", {.stems = {"background", "vocals", "lead"}});
  CHECK(datasets::open((dir / "more").string()).stems() == Names{"background", "lead", "vocals"});
  CHECK(datasets::pair_accompaniment({"vocals", "other"}) == "other");
  CHECK_FALSE(datasets::pair_accompaniment({"vocals", "piano"}));
  CHECK_FALSE(datasets::pair_accompaniment({"drums", "other"}));
}

TEST_CASE("names in the manner of other programs", "[datasets]") {
  const TempDir dir;
  const auto prefixed =
      read(dir / "Song", {"Song_vocals.wav", "Song_drums.flac", "Song_guitar.wav", "Song_mixture.wav"});
  CHECK(prefixed.mixture);
  CHECK(names(prefixed.stems) == Names{"drums", "guitar", "vocals"});
  CHECK(prefixed.taken.size() == 4);
  const auto brackets = read(dir / "x", {"1_My Song_(Vocals).wav", "1_My Song_(Instrumental).wav"});
  CHECK(names(brackets.stems) == Names{"accompaniment", "vocals"});
  CHECK(names(read(dir / "y", {"Song_no_vocals.mp3", "Song_vocals.mp3"}).stems) == Names{"accompaniment", "vocals"});
  CHECK(names(read(dir / "One", {"One - Vocals.WAV"}).stems) == Names{"vocals"});
  CHECK(names(read(dir / "z", {"Vocals.WAV", "DRUMS.Flac", "Bass.aif"}).stems) == Names{"drums", "bass", "vocals"});
  // No common beginning: names of their own.
  CHECK(names(read(dir / "w", {"lead_vocals.wav", "backing_vocals.wav", "drums.wav"}).stems) ==
        Names{"backing_vocals", "drums", "lead_vocals"});
  CHECK(names(read(dir / "v", {"lead_vocals.wav", "drums.wav"}).stems) == Names{"drums", "lead_vocals"});
}

TEST_CASE("every extension that can be read, in any case, and what is in the way", "[datasets]") {
  const TempDir dir;
  const auto folder = read(dir / "A", {"vocals.opus", "drums.M4A", "bass.w64", "other.caf", "piano.aiff", "keys.mka",
                                       "notes.txt", ".vocals.wav", "all.stem.mp4", "harp.mp3", "harp.wav"});
  CHECK(names(folder.stems) == Names{"bass", "drums", "harp", "keys", "other", "piano", "vocals"});
  CHECK(folder.stems[2].path.extension() == ".wav");
  REQUIRE(folder.ignored.size() == 1);
  CHECK(folder.ignored[0].filename() == "harp.mp3");
  const auto twice = read(dir / "B", {"vocals.wav", "Vocals.flac"});
  REQUIRE(twice.defect);
  CHECK(Error(*twice.defect).what() != std::string());

  write_track(dir / "set" / "test" / "A", {});
  fs::create_directories(dir / "set" / "test" / "A" / "takes");
  const auto set = datasets::open((dir / "set").string());
  REQUIRE(set.ignored().size() == 1);
  CHECK(set.ignored()[0].filename() == "takes");
}

TEST_CASE("Test/ is test/, and names match in both spellings of Unicode", "[datasets]") {
  const TempDir dir;
  const std::string composed = "Caf\xC3\xA9", apart = "Cafe\xCC\x81";
  write_track(dir / "set" / "Test" / apart, {});
  write_track(dir / "set" / "Train" / "B", {});
  const auto set = datasets::open((dir / "set").string());
  CHECK(set.select({.subset = "test"}).size() == 1);
  CHECK(set.select({.subset = "train"}).size() == 1);
  CHECK(set.select({.tracks = {composed}}).size() == 1);
  CHECK(core::decomposed(composed) == apart);
  CHECK(core::decomposed("\xE1\xBB\x87") == "e\xCC\xA3\xCC\x82");                     // ệ
  CHECK(core::decomposed("\xEA\xB0\x81") == "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8");  // 각
  CHECK(core::decomposed("\xFF plain \xC3") == "\xFF plain \xC3");
}

TEST_CASE("different sets of one name have different names, the same set one", "[datasets]") {
  const TempDir dir;
  write_track(dir / "a" / "test" / "One", {});
  write_track(dir / "b" / "test" / "Two", {});
  write_track(dir / "c" / "test" / "One", {});
  write_track(dir / "d" / "test" / "One", {.samples = 2001});
  write_track(dir / "e" / "test" / "One", {.stems = {"bass", "drums", "vocals"}});
  const auto name = [&](const char* folder) { return datasets::open((dir / folder / "test").string()).name(); };
  CHECK(name("a").starts_with("test#"));
  CHECK(name("a") == name("c"));
  for (const char* other : {"b", "d", "e"}) CHECK(name("a") != name(other));
  for (const char* known : {"MUSDB18-HQ", "MUSDB18", "MIR-1K", "synthetic"}) {
    write_track(dir / "own" / known / "test" / "My Song", {});
    CHECK(datasets::open((dir / "own" / known).string()).name().starts_with(std::string(known) + "#"));
  }
}

TEST_CASE("a stem alone is the stem of the whole track", "[datasets]") {
  const TempDir dir;
  write_track(dir / "set" / "A", {.stems = {"bass", "vocals"}});
  write_track(dir / "set" / "B", {.stems = {"vocals"}});
  for (const std::string& where : {(dir / "set").string(), std::string("synthetic:songs=1,seconds=2")}) {
    const auto set = datasets::open(where);
    const auto audio = set.load(set.tracks()[0]);
    for (std::size_t i = 0; i < audio.names.size(); ++i) {
      const auto stem = set.load_stem(set.tracks()[0], audio.names[i]);
      CHECK(std::equal(stem.channel(0).begin(), stem.channel(0).end(), audio.stems[i].channel(0).begin()));
    }
    CHECK(set.load_stem(set.tracks()[0], "kazoo").empty());
  }
}
