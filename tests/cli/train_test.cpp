// mssbench train, from songs to a dictionary that separates.
#include <string>

#include "core/file.h"
#include "core/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;

namespace {

std::vector<std::string> train(const std::string& out, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"train",    "nmf",   "-d",           "synthetic:songs=1,seconds=2",
                                        "--subset", "test",  "--components", "2",
                                        "--fft",    "1024",  "--hop",        "512",
                                        "--rate",   "22050", "--iterations", "3",
                                        "-o",       out};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("train nmf writes a dictionary that separates", "[cli]") {
  const TempDir folder;
  const Result json = call({.arguments = train("songs.safetensors", {"--json"}), .folder = folder.path()});
  INFO(json.err);
  REQUIRE(json.status == 0);
  const core::Value out = core::parse_json(json.out, "train --json");
  CHECK(out.at("file").as_string() == "songs.safetensors");
  CHECK(out.at("components").at("vocals").as_integer() == 2);
  CHECK(out.at("tracks").size() == 1);
  const std::string name = out.at("name").as_string();
  CHECK(name == "songs#" + out.at("sha256").as_string().substr(0, 8));

  const Result text = call({.arguments = train("songs.safetensors", {"--threads", "1"}), .folder = folder.path()});
  CHECK(text.status == 0);
  CHECK(contains(text.out, "songs.safetensors: " + name + " from 1 tracks; templates: "));

  write_audio(folder / "mix.wav", tones(0));
  const Result separated =
      call({.arguments = {"separate", "mix.wav", "-m", "nmf:dict=songs.safetensors,iterations=2", "-o", "stems"},
            .folder = folder.path()});
  INFO(separated.err);
  CHECK(separated.status == 0);
  CHECK(fs::exists(folder / "stems/mix/vocals.wav"));
}

TEST_CASE("train tells what is wrong and keeps an older file", "[cli]") {
  struct Case {
    std::vector<std::string> more;
    std::string out;
    int status;
    std::string error;
  };
  const std::vector<Case> cases = {
      {{"--targets", "vocal"}, "d.safetensors", 3, "no selected track has the stem 'vocal'"},
      {{"--subset", "train"}, "d.safetensors", 3, "train"},
      {{"--fft", "1023"}, "d.safetensors", 2, "--fft: odd size"},
      {{"--hop", "2048"}, "d.safetensors", 2, "--hop: larger than"},
      {{"--components", "0"}, "d.safetensors", 2, "an integer in [1,1024]"},
      {{}, "d.txt", 2, "the extension .safetensors"},
      {{}, "none/d.safetensors", 1, "none/d.safetensors: its folder does not exist"},
  };
  for (const Case& one : cases) {
    const TempDir folder;
    core::write_file_atomic(folder / "d.safetensors", "older");
    const Result result = call({.arguments = train(one.out, one.more), .folder = folder.path()});
    INFO(one.error << "\n" << result.err);
    CHECK(result.status == one.status);
    CHECK(contains(result.err, one.error));
    CHECK(core::read_text_file(folder / "d.safetensors") == "older");
  }
  const Result missing = mssbench({"train", "nmf", "-d", "synthetic"});
  CHECK(missing.status == 2);
  CHECK(contains(missing.err, "-o FILE is missing"));
}
