// mssbench separate --pictures.
#include <algorithm>
#include <set>

#include "core/file.h"
#include "core/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;

namespace {

/// Width and height of a PNG file, from its first chunk.
std::pair<int, int> png_size(const fs::path& file) {
  const std::string bytes = core::read_text_file(file);
  REQUIRE(bytes.size() > 33);
  REQUIRE(bytes.compare(0, 8, "\x89PNG\r\n\x1a\n") == 0);
  REQUIRE(bytes.compare(12, 4, "IHDR") == 0);
  const auto number = [&](std::size_t at) {
    int value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value * 256 + static_cast<unsigned char>(bytes[at + i]);
    return value;
  };
  return {number(16), number(20)};
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& item : fs::directory_iterator(folder)) names.insert(item.path().filename().string());
  return names;
}

}  // namespace

TEST_CASE("separate draws templates, activations and spectrograms of an NMF", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1));
  const auto separate = [&](const std::string& method, const std::string& pictures) {
    return call({.arguments = {"separate", "song.wav", "-m", method, "-o", "stems", "--pictures", pictures, "--json"},
                 .folder = folder.path()});
  };
  const std::string spec = "nmf:components=2,iterations=5,fft=1024,hop=512";
  const Result result = separate(spec, "drawn");
  INFO(result.err);
  REQUIRE(result.status == 0);
  const std::set<std::string> expected = {"overview.png", "stems.png", "component-01.png", "component-02.png"};
  const std::set<std::string> found = names_in(folder / "drawn/song");
  CHECK(std::ranges::includes(found, expected));
  for (const std::string& name : found) {
    INFO(name);
    const auto [width, height] = png_size(folder / "drawn/song" / name);
    CHECK(width >= 1600);
    CHECK(height > 100);
  }
  const core::Value report = core::parse_json(result.out, "separate --json");
  const auto& listed = report.as_array().at(0).at("pictures").as_array();
  REQUIRE(listed.size() == found.size());
  for (const core::Value& picture : listed) CHECK(fs::is_regular_file(folder / picture.as_string()));

  // Equal separations give equal pictures, others different ones.
  REQUIRE(separate(spec, "again").status == 0);
  REQUIRE(separate(spec + ",h=ones", "other").status == 0);
  const auto overview = [&](const char* name) { return core::read_text_file(folder / name / "song/overview.png"); };
  CHECK(overview("again") == overview("drawn"));
  CHECK(overview("other") != overview("drawn"));
}

TEST_CASE("separate --pictures: methods without factors, and folders that cannot be made", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1));
  const auto separate = [&](const std::string& pictures) {
    return call({.arguments = {"separate", "song.wav", "-m", "mixture-over-j", "-o", "stems", "--pictures", pictures},
                 .folder = folder.path()});
  };
  const Result plain = separate("drawn");
  INFO(plain.err);
  REQUIRE(plain.status == 0);
  const std::set<std::string> found = names_in(folder / "drawn/song");
  CHECK(found.count("overview.png") == 1);
  CHECK(found.count("target-vocals.png") == 1);
  CHECK(std::ranges::none_of(found, [](const std::string& name) { return name.starts_with("component-"); }));

  const Result refused = separate("song.wav");  // a file is there
  CHECK(refused.status != 0);
  CHECK(contains(refused.err, "song.wav"));
}

TEST_CASE("pictures show the true stems where references are given, and not too many components", "[cli]") {
  const TempDir folder;
  audio::AudioBuffer mixture = tones(1);
  audio::add_to(mixture.span(), tones(5));
  write_audio(folder / "song.wav", mixture);
  write_audio(folder / "refs/vocals.wav", tones(1));
  write_audio(folder / "refs/other.wav", tones(5));
  const auto draw = [&](const std::string& pictures, std::vector<std::string> more) {
    std::vector<std::string> words = {"separate", "song.wav", "-o", "stems", "--pictures", pictures};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = call({.arguments = words, .folder = folder.path()});
    INFO(result.err);
    REQUIRE(result.status == 0);
    return result;
  };
  draw("alone", {"-m", "mixture", "--two-stems", "vocals"});
  draw("beside", {"-m", "mixture", "--two-stems", "vocals", "--references", "refs"});
  // The pairs stand side by side; no_vocals has the sum of the others beside it.
  for (const char* name : {"target-vocals.png", "target-no_vocals.png"}) {
    CHECK(png_size(folder / "alone/song" / name).first == 1600);
    CHECK(png_size(folder / "beside/song" / name).first == 2200);
  }
  const Result few = draw("few", {"-m", "nmf:components=20,iterations=3,fft=1024,hop=512"});
  const auto components = [&](const char* pictures) {
    const std::set<std::string> found = names_in(folder / pictures / "song");
    return std::ranges::count_if(found, [](const std::string& name) { return name.starts_with("component-"); });
  };
  CHECK(components("few") == 16);
  CHECK(contains(few.err, "song: pictures of 16 of 20 components, the loudest ones"));
  draw("all", {"-m", "nmf:components=20,iterations=3,fft=1024,hop=512", "--picture-components", "100"});
  CHECK(components("all") == 20);
}

TEST_CASE("run --pictures draws every row beside the true stems", "[cli]") {
  const TempDir folder;
  const std::vector<std::string> words = {
      "run", "-d", "synthetic:songs=1,seconds=2", "-m", "mixture,irm2", "-o", "r", "--metrics", "sdr", "--pictures"};
  const Result result = call({.arguments = words, .folder = folder.path()});
  INFO(result.err);
  REQUIRE(result.status == 0);
  std::set<std::string> found;
  for (const auto& item : fs::recursive_directory_iterator(folder / "r/pictures")) {
    if (item.path().filename() == "target-drums.png") CHECK(png_size(item.path()).first == 2200);
    if (item.is_regular_file()) found.insert(item.path().filename().string());
  }
  CHECK(found == std::set<std::string>{"overview.png", "target-bass.png", "target-drums.png", "target-other.png",
                                       "target-vocals.png"});
  const Result again = call({.arguments = words, .folder = folder.path()});
  CHECK(contains(again.err, "2 found finished"));
}
