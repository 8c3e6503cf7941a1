// Files and names made to do harm, through the program: each ends in an error of its own status, in no time, and touches
// nothing but its output. Most are the files of tests/fuzz/corpus.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>

#include "audio/file.h"
#include "core/file.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"

namespace mss::tests {
namespace {

std::string corpus(const std::string& name) {
  return (fs::path(MSSBENCH_TESTS_DIR) / "fuzz" / "corpus" / name).string();
}

/// Ends the program after a minute: a hang is a failure, not a test that never ends.
void limit_time() {
  const rlimit cpu{60, 60};
  setrlimit(RLIMIT_CPU, &cpu);
  alarm(60);
}

void limit_file_size() {
  limit_time();
  const rlimit size{100 << 10, 100 << 10};
  setrlimit(RLIMIT_FSIZE, &size);
}

Result limited(std::vector<std::string> arguments, const fs::path& folder) {
  return call({.arguments = std::move(arguments), .folder = folder, .in_child = limit_time});
}

std::vector<std::string> separating(const std::string& song) {
  return {"separate", song, "-m", "silence", "--targets", "vocals", "-o", "out", "-q"};
}

}  // namespace

TEST_CASE("playlists, FIFOs and devices end separate, run, datasets and evaluate with status 3", "[robustness]") {
  const TempDir folder;
  write_audio(folder / "a.wav", tones(0));
  const std::string head = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n";
  core::write_file_atomic(folder / "live.wav", head + "a.wav\n");
  core::write_file_atomic(folder / "other.wav", head + (folder / "a.wav").string() + "\n#EXT-X-ENDLIST\n");
  core::write_file_atomic(folder / "self.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nself.m3u8\n");
  REQUIRE(mkfifo((folder / "fifo.wav").c_str(), 0600) == 0);
  for (const char* name : {"live.wav", "other.wav", "self.m3u8", "fifo.wav", "/dev/zero"}) {
    CAPTURE(name);
    const Result result = limited(separating(name), folder.path());
    CHECK(result.status == 3);
    CHECK(contains(result.err, name));
    CHECK_FALSE(fs::exists(folder / "out"));
  }
  // As a track of a data set, as a reference and as an estimate.
  const fs::path track = folder / "set" / "test" / "t";
  for (const char* stem : {"mixture", "vocals", "other"}) write_audio(track / (std::string(stem) + ".wav"), tones(1));
  fs::copy_file(folder / "live.wav", track / "vocals.wav", fs::copy_options::overwrite_existing);
  CHECK(limited({"datasets", "check", "set"}, folder.path()).status == 3);
  CHECK(limited({"run", "-d", "set", "-m", "mixture", "-o", "run"}, folder.path()).status != 0);
  fs::create_directories(folder / "estimates");
  fs::copy_file(folder / "live.wav", folder / "estimates" / "vocals.wav");
  write_audio(folder / "references" / "vocals.wav", tones(1));
  CHECK(limited({"evaluate", "references", "estimates"}, folder.path()).status == 3);
}

TEST_CASE("documents and weights made to hold or fill the machine are refused at once", "[robustness]") {
  const TempDir folder;
  struct Case {
    std::vector<std::string> arguments;
    int status;
    std::string says;
  };
  const std::vector<Case> cases = {
      {{"run", corpus("toml/deep_key.toml")}, 2, "nested too deeply"},
      {{"run", corpus("toml/deep_header.toml")}, 2, "nested too deeply"},
      {{"run", corpus("toml/deep_list.toml")}, 2, "nested too deeply"},
      {{"run", corpus("toml/deep_inline.toml")}, 2, "nested too deeply"},
      {{"report", corpus("records/deep.jsonl"), "-o", "r"}, 3, "nested deeper"},
      {{"checkpoint", corpus("safetensors/many_keys.safetensors")}, 0, ""},
      {{"checkpoint", corpus("pytorch/expanded.pth")}, 3, "far larger than the file"},
      {{"import", "openunmix", corpus("pytorch/expanded.pth"), "-o", "x.safetensors"}, 3, "far larger than the file"},
      {{"checkpoint", corpus("pickle/called_0.pkl")}, 3, "torch.utils.collect_env.run"},
      {{"checkpoint", corpus("pickle/called_1.pkl")}, 3, "torch.fx.graph._exec_with_source"},
      {{"checkpoint", corpus("pickle/called_2.pkl")}, 3, "torch._inductor.codecache.compile_file"},
      {{"checkpoint", corpus("pickle/called_3.pkl")}, 3, "platform.popen"},
      {{"checkpoint", corpus("pickle/called_4.pkl")}, 3, "weakref.finalize"},
      {{"checkpoint", corpus("pickle/attribute.pkl")}, 3, "pathlib.Path.write_text"}};
  for (const Case& c : cases) {
    CAPTURE(c.arguments);
    const Result result = limited(c.arguments, folder.path());
    CHECK(result.status == c.status);
    CHECK(contains(result.err, c.says));
    CHECK(result.peak_rss_bytes < (std::int64_t{600} << 20));
  }
}

TEST_CASE("no name of a file leads out of the output folder", "[robustness]") {
  const TempDir folder;
  for (const char* name : {"...wav", "..wav", "....wav", " .wav", "-x.wav"}) {
    CAPTURE(name);
    const fs::path song = folder / "in" / name;
    write_audio(song, tones(0));
    const Result result = limited({"separate", "-m", "silence", "--targets", "vocals", "-o", "out/inner", "-q",
                                   "--pictures", "pictures/inner", song.string()},
                                  folder.path());
    CHECK(result.status == 0);
  }
  // Everything lies one folder below: out/inner/<song>/vocals.wav.
  int stems = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
    if (!entry.is_regular_file() || entry.path().parent_path().filename() == "in") continue;
    const fs::path place = entry.path().lexically_relative(folder.path());
    CAPTURE(place.string());
    CHECK(std::distance(place.begin(), place.end()) == 4);
    stems += place.filename() == "vocals.wav" ? 1 : 0;
  }
  CHECK(stems == 5);
}

TEST_CASE("a file-size limit, a closed pipe and an unusable temporary folder are errors with a status",
          "[robustness]") {
  const TempDir folder;
  write_audio(folder / "a.wav", tones(0, 2, 200000));
  const Result large = call({.arguments = separating("a.wav"), .folder = folder.path(), .in_child = limit_file_size});
  CHECK(large.status == 1);
  CHECK(contains(large.err, "File too large"));
  for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
    CHECK(entry.path().extension() != ".tmp");
  }
  const Result closed = call({.arguments = {"methods"}, .standard_output = "/dev/full"});
  CHECK(closed.status == 1);
  CHECK(contains(closed.err, "standard output"));
}

TEST_CASE("what records hold stays text in every table", "[robustness]") {
  const TempDir folder;
  const Result result = limited({"report", corpus("records/hostile_text.jsonl"), "-o", "report"}, folder.path());
  CHECK(result.status == 0);
  CHECK(result.out.find('\x1b') == std::string::npos);
  for (const char* name : {"table.md", "table.tex", "table.csv", "table.json"}) {
    CAPTURE(name);
    const std::string text = core::read_text_file(folder / "report" / name);
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find("\xe2\x80\xae") == std::string::npos);
    CHECK(text.find("\n\\input") == std::string::npos);
    CHECK(text.find("\n=1+1") == std::string::npos);
    // HTML is alive in Markdown only.
    if (std::string_view(name).ends_with(".md")) CHECK(text.find("<script>") == std::string::npos);
  }
}

}  // namespace mss::tests
