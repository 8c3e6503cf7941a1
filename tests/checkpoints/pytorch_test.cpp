#include "checkpoints/pytorch.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::checkpoints;
namespace fs = std::filesystem;

namespace {

fs::path file(const std::string& name) { return fs::path(MSSBENCH_TESTS_DIR) / "checkpoints" / "files" / name; }

const core::Value& expected() {
  static const core::Value value = core::read_json_file(file("expected.json"));
  return value;
}

/// The error that opening a file of these bytes gives, with every tensor read; nothing when all goes well.
std::optional<ErrorParts> error_of(const std::string& bytes) {
  try {
    const PytorchFile read(bytes_in_memory(bytes, "x.pth"));
    for (const auto& [name, tensor] : read.tensors()) {
      if (tensor.dtype) read.read(name);
    }
  } catch (const Error& e) {
    CHECK(e.parts().where.find("x.pth") == 0);
    return e.parts();
  }
  return std::nullopt;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  REQUIRE(from.size() == to.size());
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("files of torch.save hold what Python put into them", "[checkpoints]") {
  int files = 0;
  for (const auto& [name, what] : expected().as_object()) {
    if (what.find("tensors") == nullptr) continue;
    CAPTURE(name);
    ++files;
    const PytorchFile read(file(name));
    CHECK(layout_name(read.layout()) == what.at("layout").as_string());
    const auto& tensors = what.at("tensors").as_object();
    REQUIRE(read.tensors().size() == tensors.size());
    for (const auto& [key, tensor] : tensors) {
      CAPTURE(key);
      REQUIRE(read.tensors().contains(key));
      const PytorchTensor& info = read.tensors().at(key);
      CHECK(info.type == tensor.at("type").as_string());
      CHECK(info.parameter == tensor.at("parameter").as_bool());
      std::vector<std::int64_t> shape;
      for (const auto& n : tensor.at("shape").as_array()) shape.push_back(n.as_integer());
      CHECK(info.shape == shape);
      if (const core::Value* values = tensor.find("values")) {
        std::vector<double> numbers;
        for (const auto& x : values->as_array()) numbers.push_back(x.as_real());
        const Tensor data = read.read(key);
        CHECK(data.shape == shape);
        CHECK(data.to_double() == numbers);
      } else {
        CHECK_FALSE(info.dtype.has_value());
        CHECK_THROWS_AS(read.read(key), Error);
      }
    }
    if (const core::Value* location = what.find("location")) {
      for (const auto& storage : read.storages()) CHECK(storage.location == location->as_string());
    }
    if (const core::Value* globals = what.find("globals")) {
      for (const auto& global : globals->as_array()) {
        CHECK(std::ranges::count(read.tree().globals(), global.as_string()) == 1);
      }
    }
    if (const core::Value* names = what.find("unreadable")) {
      REQUIRE(read.unreadable().size() == names->size());
      CHECK(read.unreadable()[0].first == names->as_array()[0].as_string());
    }
  }
  CHECK(files == 31);
}

TEST_CASE("tensors of one storage share it, and a part of it is read alone", "[checkpoints]") {
  for (const char* name : {"shared.pth", "shared_legacy.pth", "zip64.pth"}) {
    CAPTURE(name);
    const PytorchFile read(file(name));
    const auto& t = read.tensors();
    CHECK(t.at("whole").storage == t.at("transposed").storage);
    CHECK(t.at("whole").storage == t.at("scalar_inside").storage);
    CHECK(t.at("middle").offset == 4);
    CHECK(t.at("middle").contiguous());
    CHECK_FALSE(t.at("transposed").contiguous());
    CHECK(t.at("expanded").stride == std::vector<std::int64_t>{0, 0});
    CHECK(t.at("empty").elements() == 0);
    CHECK(read.storages().size() == 3);
  }
}

TEST_CASE("values of every kind come out of a mixed file", "[checkpoints]") {
  for (const char* name : {"mixed.pth", "mixed_legacy.pth"}) {
    CAPTURE(name);
    const PytorchFile read(file(name));
    const PickleValue root = read.root();
    REQUIRE(root.is(PickleKind::dict));
    CHECK(root.find("text")->text() == "Grüße \U0001f3b5");
    CHECK(root.find("big")->text() == "0x100000000000000000000");
    CHECK(root.find("negative")->text() == "-0x400000000000000000");
    CHECK(root.find("small")->as_integer() == -129);
    CHECK(root.find("none")->is(PickleKind::none));
    CHECK(root.find("real")->as_real() == -0.125);
    CHECK(root.find("bytes")->text() == std::string("\x00\xff", 2));
    CHECK(root.find("array")->text() == "ab");
    CHECK(root.find("array")->is(PickleKind::bytes));
    CHECK(root.find("set")->is(PickleKind::set));
    CHECK(root.find("set")->size() == 2);
    CHECK(root.find("frozen")->element(0).as_integer() == 3);
    CHECK(root.find("flags")->element(0).as_integer() == 1);
    CHECK(root.find("default")->find("k")->size() == 1);
    CHECK(root.find("complex")->class_name().ends_with("complex"));
    CHECK(root.find("complex")->arguments().element(1).as_real() == 2.0);
    CHECK(root.find("dtype")->text() == "torch.float16");
    CHECK(root.find("device")->class_name() == "torch.device");
    CHECK_FALSE(root.find("nothing").has_value());
  }
  const PytorchFile package(file("unknown_class.th"));
  const PickleValue hyper = *package.root().find("hyper");
  CHECK(hyper.class_name() == "vendor.models.Hyper");
  CHECK(hyper.state().find("depth")->as_integer() == 4);
  CHECK(package.root().find("klass")->text() == "vendor.models.Hyper");
}

TEST_CASE("a file that calls what weights do not need is refused by name", "[checkpoints]") {
  int files = 0;
  for (const auto& [name, what] : expected().as_object()) {
    const core::Value* word = what.find("refused");
    if (word == nullptr) continue;
    CAPTURE(name);
    ++files;
    try {
      const PytorchFile read(file(name));
      FAIL("was read");
    } catch (const Error& e) {
      CHECK(e.code() == Code::unsupported);
      CHECK(e.parts().where.find(name) != std::string::npos);
      CHECK(e.parts().what.find("calls " + word->as_string() + " at byte ") != std::string::npos);
    }
  }
  CHECK(files == 3);
}

TEST_CASE("every beginning of a file is refused, and says that it is cut off", "[checkpoints]") {
  for (const char* name :
       {"state_dict.pth", "state_dict_legacy.pth", "state_dict_protocol5_legacy.pth", "shared.pth"}) {
    CAPTURE(name);
    const std::string whole = core::read_text_file(file(name));
    CHECK_FALSE(error_of(whole).has_value());
    std::size_t refused = 0;
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) refused += error_of(whole.substr(0, bytes)).has_value();
    CHECK(refused == whole.size());
  }
  const std::string zip = core::read_text_file(file("state_dict.pth"));
  CHECK(error_of(zip.substr(0, zip.size() / 2))->what.find("cut off") != std::string::npos);
  const std::string legacy = core::read_text_file(file("state_dict_legacy.pth"));
  const auto error = error_of(legacy.substr(0, legacy.size() - 3));
  CHECK(error->what.find("cut off") != std::string::npos);
  CHECK(error->code == Code::format);
}

TEST_CASE("what is no PyTorch file says what it is", "[checkpoints]") {
  const auto found = [](const std::string& bytes) {
    const auto error = error_of(bytes);
    REQUIRE(error.has_value());
    return error->what + ": " + error->found;
  };
  CHECK(found("") == "the file is empty: 0 bytes");
  CHECK(found("\n <!DOCTYPE html><html>Sign in</html>") == "not a PyTorch file: a web page");
  CHECK(found("<HTML>") == "not a PyTorch file: a web page");
  CHECK(found("version https://git-lfs.github.com/spec/v1\noid sha256:00\n").find("Git LFS pointer") !=
        std::string::npos);
  CHECK(found("{\"error\": \"not found\"}") == "not a PyTorch file: JSON text");
  CHECK(found(std::string("\x1f\x8b\x08\x00", 4)) == "not a PyTorch file: compressed with gzip");
  CHECK(found("RIFF\x01") == "not a PyTorch file: bytes 52 49 46 46 01");
  CHECK(found(serialize_safetensors({{"w", Tensor::from(std::vector<float>{1}, {1})}}, {})) ==
        "not a PyTorch file: safetensors");
  std::string tar(1024, '\0');
  tar.replace(257, 5, "ustar");
  CHECK(error_of(tar)->code == Code::unsupported);
  CHECK(found(tar).find("0.1.10") != std::string::npos);
  const auto deflated = error_of(core::read_text_file(file("deflated.pth")));
  CHECK(deflated->code == Code::unsupported);
  CHECK(deflated->found == "deflate");
  const tests::TempDir folder;
  CHECK_THROWS_AS(PytorchFile(folder / "absent.pth"), Error);
  CHECK_THROWS_AS(PytorchFile(folder.path()), Error);
}

TEST_CASE("tensors that reach beyond their storage are refused by name", "[checkpoints]") {
  // The object of shared_legacy.pth ends in opcodes that are easy to find: sizes as BININT1 ('K').
  const std::string good = core::read_text_file(file("shared_legacy.pth"));
  // middle: offset 4, shape (2, 4), stride (4, 1).
  const std::string middle = std::string("K\x04K\x02K\x04\x86", 7);
  REQUIRE(good.find(middle) != std::string::npos);
  const auto outside = error_of(replaced(good, middle, std::string("K\x11K\x02K\x04\x86", 7)));
  REQUIRE(outside.has_value());
  CHECK(outside->what == "tensor 'middle': lies outside its storage");
  CHECK(outside->found.find("offset 17") != std::string::npos);
  CHECK_FALSE(error_of(replaced(good, middle, std::string("K\x10K\x02K\x04\x86", 7))).has_value());
  // A stride too many.
  const auto ranks = error_of(replaced(good, middle, std::string("K\x04K\x02K\x04\x85", 7)));
  REQUIRE(ranks.has_value());
  // Legacy: the number of elements stands twice.
  const std::string count("\x18\0\0\0\0\0\0\0", 8);
  const auto sizes = error_of(replaced(good, count, std::string("\x19\0\0\0\0\0\0\0", 8)));
  REQUIRE(sizes.has_value());
  CHECK(sizes->what.find("another size") != std::string::npos);
  // Zip: the entry of a storage is not there.
  const std::string zip = core::read_text_file(file("tensor.pth"));
  std::string renamed = zip;
  for (auto at = renamed.find("/data/0"); at != std::string::npos; at = renamed.find("/data/0", at))
    renamed[at + 6] = '9';
  const auto absent = error_of(renamed);
  REQUIRE(absent.has_value());
  CHECK(absent->what.find("tensor 'tensor': the archive has no entry") != std::string::npos);
}

TEST_CASE("expanded tensors are bounded by what they would need", "[checkpoints]") {
  // {'x': a one-element storage seen as 2^40 elements}
  std::string object("\x80\x02}X\x01\0\0\0x", 9);
  object += "ctorch._utils\n_rebuild_tensor_v2\n((X\x07";
  object += std::string("\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0", 35);
  object += std::string("0X\x03\0\0\0cpuK\x01tQK\0\x8a\x06", 17) + std::string("\0\0\0\0\0\x01", 6);
  object += std::string("\x85K\0\x85\x89)tRs.", 10);
  std::string file;
  file += std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15) +
          std::string("\x80\x02M\xe9\x03.", 6);
  file += std::string("\x80\x02}.", 4) + object +
          std::string(
              "\x80\x02]X\x01\0\0\0"
              "0a.",
              12);
  file += std::string("\x01\0\0\0\0\0\0\0", 8) + std::string("\0\0\x80\x3f", 4);
  const auto error = error_of(file);
  REQUIRE(error.has_value());
  CHECK(error->code == Code::format);
  CHECK(error->what == "tensor 'x': the tensors are far larger than the file");
}
