// mssbench import, export and checkpoint on files that PyTorch wrote (tests/checkpoints/files).
#include <string>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;

namespace {

std::string file(const std::string& name) {
  return (fs::path(MSSBENCH_TESTS_DIR) / "checkpoints" / "files" / name).string();
}

const core::Value& expected(const std::string& name) {
  static const core::Value value = core::read_json_file(file("expected.json"));
  return value.at(name);
}

}  // namespace

TEST_CASE("import makes an official folder into one file, under the file's name", "[cli]") {
  const TempDir folder;
  const Result text =
      call({.arguments = {"import", "openunmix", file("umxtiny"), "-o", "tiny.safetensors"}, .folder = folder.path()});
  INFO(text.err);
  REQUIRE(text.status == 0);
  const std::string hash = expected("umxtiny").at("content_sha256").as_string();
  CHECK(contains(text.out, "tiny.safetensors: tiny#" + hash.substr(0, 8) + ", openunmix\n"));
  CHECK(contains(text.out, "vocals, drums, bass, other"));
  CHECK(contains(text.out, hash));
  CHECK(text.err.empty());

  const Result json = call({.arguments = {"import", "openunmix", file("umxtiny"), "-o", "again.safetensors", "--label",
                                          "tiny", "--json", "--threads", "1"},
                            .folder = folder.path()});
  REQUIRE(json.status == 0);
  const core::Value value = core::parse_json(json.out, "import --json");
  CHECK(value.at("name").as_string() == "tiny#" + hash.substr(0, 8));
  CHECK(core::dump_json(value.at("configuration")) == core::dump_json(expected("umxtiny").at("configuration")));
  CHECK(value.at("file").as_string() == "again.safetensors");
  CHECK(core::read_text_file(folder / "tiny.safetensors") == core::read_text_file(folder / "again.safetensors"));
}

TEST_CASE("import names a single network's target and says what it assumed", "[cli]") {
  const TempDir folder;
  fs::copy(file("trained/vocals.pth"), folder / "best.pth");
  const Result assumed =
      call({.arguments = {"import", "openunmix", "best.pth", "--target", "vocals", "-o", "v.safetensors"},
            .folder = folder.path()});
  REQUIRE(assumed.status == 0);
  CHECK(contains(assumed.out, "targets     vocals\n"));
  CHECK(
      contains(assumed.err, "best.pth: the files do not say rate_hz and hop_samples; assumed 44100 Hz, FFT 8, hop 2"));
  const Result stated =
      call({.arguments = {"import", "openunmix", "best.pth", "--rate", "22050", "--hop", "4", "-o", "w.safetensors"},
            .folder = folder.path()});
  CHECK(stated.status == 0);
  CHECK(stated.err.empty());
  CHECK(contains(stated.out, "22050 Hz, FFT 8, hop 4"));
  // Of another family: what was assumed, and nothing else.
  const Result bare =
      call({.arguments = {"import", "demucs", MSSBENCH_TESTS_DIR "/demucs/files/bare.th", "-o", "d.safetensors"},
            .folder = folder.path()});
  CHECK(bare.status == 0);
  CHECK(contains(bare.err, "; assumed "));
  CHECK(contains(bare.err, "targets drums, bass, other, vocals"));
}

TEST_CASE("export writes state dicts, and checkpoint lists what files hold", "[cli]") {
  const TempDir folder;
  const Result whole = call({.arguments = {"export", file("umxtiny"), "-o", "s.safetensors"}, .folder = folder.path()});
  REQUIRE(whole.status == 0);
  const Result one = call(
      {.arguments = {"export", file("umxtiny"), "--target", "drums", "-o", "d.safetensors"}, .folder = folder.path()});
  REQUIRE(one.status == 0);
  const Result list = call({.arguments = {"checkpoint", "s.safetensors", "--json"}, .folder = folder.path()});
  REQUIRE(list.status == 0);
  const core::Value value = core::parse_json(list.out, "checkpoint --json");
  CHECK(value.at("layout").as_string() == "safetensors");
  CHECK(value.at("metadata").at("format").as_string() == "pt");
  CHECK(value.at("tensors").size() == 4 * (4 + 3 + 3 * 5 + 3 * 8) + 3);
  CHECK(contains(list.out, "\"target_models.drums.lstm.weight_hh_l2_reverse\""));
  CHECK(value.at("weights").at("configuration").at("targets").size() == 4);

  const Result text = mssbench({"checkpoint", file("unknown_class.th")});
  REQUIRE(text.status == 3);
  CHECK(contains(text.err, "found: vendor.models.Hyper"));
  CHECK(has_line(text.out, "not needed by weights: vendor\\.models\\.Hyper"));
  const Result dangerous = mssbench({"checkpoint", file("refuse_eval_legacy.pth"), "--json"});
  CHECK(dangerous.status == 3);
  const core::Value names = core::parse_json(dangerous.out, "checkpoint --json").at("unknown_globals");
  REQUIRE(names.size() == 1);
  CHECK(names.as_array()[0].as_string() == "__builtin__.eval");
  CHECK(contains(text.out, "PyTorch, zip layout; 2 tensors: 2 float32, 5 elements"));
  CHECK(contains(text.out, "vendor.models.Hyper"));
  CHECK(contains(text.out, "SHA-256 " + core::sha256_file(file("unknown_class.th")) + "\n"));
  CHECK(has_line(text.out, "hyper\\.window +float32 +\\[3\\]"));
  const Result sparse = mssbench({"checkpoint", file("sparse.pth")});
  CHECK(contains(sparse.out, "not readable here: sparse (torch._utils._rebuild_sparse_tensor)"));
  CHECK(contains(mssbench({"checkpoint", file("trained/vocals.chkpnt")}).out, "weights of vocals#"));
}

TEST_CASE("import, export and checkpoint tell what is wrong", "[cli]") {
  const TempDir folder;
  const std::string page = (folder / "page.pth").string();
  core::write_file_atomic(page, "<!DOCTYPE html><html><body>Sign in</body></html>");
  const std::string half = (folder / "half.pth").string();
  const std::string whole = core::read_text_file(file("trained/vocals.pth"));
  core::write_file_atomic(half, whole.substr(0, whole.size() / 2));
  core::write_file_atomic(folder / "empty.pth", "");
  fs::copy(file("trained/vocals.pth"), folder / "vocals-01234567.pth");
  struct Case {
    std::vector<std::string> arguments;
    int status;
    std::string error;
  };
  const std::vector<Case> cases = {
      {{"import", "openunmix", page, "-o", "x.safetensors"}, 3, "a web page"},
      {{"import", "openunmix", half, "-o", "x.safetensors"}, 3, "half.pth: the file is cut off"},
      {{"import", "openunmix", "empty.pth", "-o", "x.safetensors"}, 3, "the file is empty"},
      {{"import", "openunmix", "absent.pth", "-o", "x.safetensors"}, 3, "absent.pth"},
      {{"import", "openunmix", "vocals-01234567.pth", "-o", "x.safetensors"}, 3, "not what its name says"},
      {{"import", "openunmix", file("checkpoint.chkpnt"), "-o", "x.safetensors"},
       3,
       "no network of the Open-Unmix family"},
      {{"import", "openunmix", file("refuse_system.pth"), "-o", "x.safetensors"}, 3, "calls posix.system at byte"},
      {{"checkpoint", file("refuse_eval_legacy.pth")}, 3, "found: __builtin__.eval"},
      {{"checkpoint", page}, 3, "a web page"},
      {{"import", "openunmix", file("umxtiny"), "-o", "x.pth"}, 2, "FILE.safetensors"},
      {{"import", "openunmix", file("umxtiny")}, 2, "-o FILE is missing"},
      {{"import", "demuxer", file("umxtiny"), "-o", "x.safetensors"}, 2, "openunmix"},
      {{"import", "openunmix", file("umxtiny"), "-o", "/nonexistent/x.safetensors"}, 1, "/nonexistent"},
      {{"export", file("umxtiny"), "--target", "drum", "-o", "x.safetensors"}, 2, "did you mean 'drums'?"},
      {{"export", file("xumx.pth"), "--target", "drums", "-o", "x.safetensors"}, 2, "do not stand alone"}};
  for (const Case& c : cases) {
    CAPTURE(c.arguments);
    const Result result = call({.arguments = c.arguments, .folder = folder.path()});
    CHECK(result.status == c.status);
    CHECK(contains(result.err, c.error));
    CHECK_FALSE(fs::exists(folder / "x.safetensors"));
  }
  const Result anyway =
      call({.arguments = {"import", "openunmix", "vocals-01234567.pth", "--unverified", "-o", "x.safetensors"},
            .folder = folder.path()});
  CHECK(anyway.status == 0);
}
