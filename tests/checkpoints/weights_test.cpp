#include "methods/openunmix/weights.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "checkpoints/safetensors.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::methods::openunmix;
namespace fs = std::filesystem;

namespace {

fs::path file(const std::string& name) { return fs::path(MSSBENCH_TESTS_DIR) / "checkpoints" / "files" / name; }

const core::Value& expected(const std::string& name) {
  static const core::Value value = core::read_json_file(file("expected.json"));
  return value.at(name);
}

template <class F>
ErrorParts error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.parts();
  }
  FAIL("no error");
  return {};
}

void copy_folder(const std::string& name, const tests::TempDir& to) {
  fs::copy(file(name), to.path(), fs::copy_options::recursive);
}

/// Weights of a small cross-connected extension with a different number in every place.
Weights crossskip() {
  Weights w;
  w.configuration = {Architecture::crossskip, 44100, 8, 2, 1, 5, 3, 2, 1, false, {"bass", "drums", "vocals", "other"}};
  float next = 0.0F;
  for (const std::string& target : w.configuration.targets) {
    for (const auto& [key, shape] : expected_shapes(w.configuration)) {
      std::int64_t n = 1;
      for (const std::int64_t x : shape) n *= x;
      Array array{shape, std::vector<float>(static_cast<std::size_t>(n))};
      for (float& x : array.values) x = std::sin(next += 1.0F);
      w.targets[target][key] = std::move(array);
    }
  }
  w.label = "cross";
  w.content_hash = compute_content_hash(w.configuration, w.targets);
  return w;
}

}  // namespace

TEST_CASE("official folders, trainers' folders and X-UMX checkpoints are read with their sizes", "[checkpoints]") {
  for (const char* name : {"umxtiny", "umxsetiny", "trained", "xumx.pth"}) {
    CAPTURE(name);
    const Weights w = read_weights(file(name));
    CHECK(core::dump_json(configuration_value(w.configuration)) == core::dump_json(expected(name).at("configuration")));
    CHECK(w.content_hash == expected(name).at("content_sha256").as_string());
    CHECK(w.label == fs::path(name).stem().string());
    CHECK(w.name() == w.label + "#" + w.content_hash.substr(0, 8));
    CHECK(w.provenance.at("assumed").size() == 0);
    CHECK(configuration_from_value(configuration_value(w.configuration), "x") == w.configuration);
  }
  const Weights w = read_weights(file("umxtiny"));
  std::vector<double> values;
  for (const float x : w.targets.at("bass").at("lstm.bias_hh_l2_reverse").values) values.push_back(x);
  std::vector<double> wanted;
  for (const auto& x : expected("umxtiny").at("sample").as_array()) wanted.push_back(x.as_real());
  CHECK(values == wanted);
  CHECK(w.provenance.at("files").size() == 4);
  CHECK(w.provenance.at("files").as_array()[0].at("sha256").as_string().size() == 64);
  // Keys of the first version that are no weights.
  CHECK(core::dump_json(w.provenance.at("ignored")) == R"(["sample_rate","stft.window","transform.0.window"])");
}

TEST_CASE("parameters are counted as PyTorch counts them", "[checkpoints]") {
  Configuration c;
  c.targets = {"vocals"};
  const auto count = [&] {
    std::int64_t n = 0;
    for (const auto& [key, shape] : expected_shapes(c)) {
      std::int64_t size = 1;
      for (const std::int64_t x : shape) size *= x;
      if (key.find("running") == std::string::npos) n += size;
    }
    return n;
  };
  CHECK(count() == 8'893'348);
  c.hidden = 1024;
  CHECK(count() == 28'257'188);
  c.hidden = 512;
  c.architecture = Architecture::crossskip;
  c.targets = {"bass", "drums", "vocals", "other"};
  CHECK(4 * count() == 38'719'120);
  c = {Architecture::openunmix, 16000, 1024, 512, 1, 513, 513, 256, 3, false, {"speech"}};
  CHECK(count() == 1'583'622);
}

TEST_CASE("single files: state dict, training checkpoint, several named together", "[checkpoints]") {
  const Weights best = read_weights(file("trained/vocals.pth"));
  CHECK(best.content_hash == expected("trained").at("content_sha256").as_string());
  CHECK(best.label == "vocals");
  // The nested state dict of the last epoch; the optimiser beside it does not disturb.
  const Weights last = read_weights(file("trained/vocals.chkpnt"));
  CHECK(last.content_hash == expected("trained").at("chkpnt_sha256").as_string());

  const tests::TempDir folder;
  fs::copy(file("trained/vocals.pth"), folder / "best-epoch.pth");
  const Weights alone = read_weights(folder / "best-epoch.pth");
  CHECK(alone.configuration.targets == std::vector<std::string>{"best-epoch"});
  CHECK(core::dump_json(alone.provenance.at("assumed")) == R"(["rate_hz","hop_samples"])");
  CHECK(alone.configuration.rate_hz == 44100);
  CHECK(alone.configuration.hop_samples == 2);
  ReadOptions options;
  options.target_name = "vocals";
  options.rate_hz = 22050;
  options.hop_samples = 4;
  options.label = "my model";
  options.hash_files = true;
  const Weights named = read_weights(folder / "best-epoch.pth", options);
  CHECK(named.configuration.targets == std::vector<std::string>{"vocals"});
  CHECK(named.configuration.rate_hz == 22050);
  CHECK(named.configuration.hop_samples == 4);
  CHECK(named.label == "my_model");
  CHECK(named.provenance.at("assumed").size() == 0);
  CHECK(named.provenance.at("files").as_array()[0].at("sha256").as_string().size() == 64);

  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(file("umxtiny"))) {
    if (entry.path().extension() == ".pth") files.push_back(entry.path());
  }
  const Weights together = read_weights(files);
  CHECK(together.content_hash == expected("umxtiny").at("content_sha256").as_string());
  options = {};
  options.targets = {"drums"};
  const Weights part = read_weights(file("umxtiny"), options);
  CHECK(part.configuration.targets == std::vector<std::string>{"drums"});
  CHECK(part.targets.size() == 1);
  CHECK(part.content_hash == together.content_hash);
  ReadOptions renamed;
  renamed.target_name = "voice";
  CHECK(error_of([&] { read_weights(file("umxtiny"), renamed); }).code == Code::invalid_argument);
  CHECK(error_of([&] { read_weights(file("xumx.pth"), renamed); }).what == "a target's name for several networks");
  options.targets = {"drum"};
  CHECK(error_of([&] { read_weights(file("umxtiny"), options); }).hint == "did you mean 'drums'?");
}

TEST_CASE("our own file gives the same weights back, in any order of threads", "[checkpoints]") {
  const tests::TempDir folder;
  for (const char* name : {"umxtiny", "trained", "xumx.pth"}) {
    CAPTURE(name);
    ReadOptions options;
    options.threads = 1;
    const Weights w = read_weights(file(name), options);
    write_weights(folder / "a.safetensors", w);
    options.threads = 4;
    const Weights again = read_weights(folder / "a.safetensors", options);
    CHECK(again.configuration == w.configuration);
    CHECK(again.label == w.label);
    CHECK(again.content_hash == w.content_hash);
    CHECK(again.provenance == w.provenance);
    write_weights(folder / "b.safetensors", again);
    CHECK(core::read_text_file(folder / "a.safetensors") == core::read_text_file(folder / "b.safetensors"));
    const checkpoints::SafetensorsFile file(folder / "a.safetensors");
    CHECK(file.contains(w.configuration.targets[0] + "/lstm.weight_hh_l0"));
    CHECK(file.metadata().at("architecture") == architecture_name(w.configuration.architecture));
  }
  const Weights cross = crossskip();
  write_weights(folder / "c.safetensors", cross);
  const Weights again = read_weights(folder / "c.safetensors");
  CHECK(again.configuration == cross.configuration);
  CHECK(again.content_hash == cross.content_hash);
  CHECK(again.targets.at("drums").at("fc2x.weight").values == cross.targets.at("drums").at("fc2x.weight").values);
}

TEST_CASE("exported files are read back as the same weights", "[checkpoints]") {
  const tests::TempDir folder;
  const fs::path path = folder / "x.safetensors";
  for (const char* name : {"umxtiny", "xumx.pth"}) {
    CAPTURE(name);
    const Weights w = read_weights(file(name));
    export_weights(path, w);
    ReadOptions options;
    options.rate_hz = w.configuration.rate_hz;
    options.hop_samples = w.configuration.hop_samples;
    CHECK(read_weights(path, options).content_hash == w.content_hash);
  }
  const Weights cross = crossskip();
  export_weights(path, cross);
  CHECK(read_weights(path).content_hash == cross.content_hash);
  export_weights(path, read_weights(file("umxtiny")), "drums");
  const checkpoints::SafetensorsFile one(path);
  CHECK(one.contains("fc1.weight"));
  CHECK(one.contains("bn3.num_batches_tracked"));
  CHECK(one.tensors().size() == 4 + 3 + 3 * 5 + 3 * 8);
  CHECK(error_of([&] { export_weights(path, cross, "drums"); }).code == Code::invalid_argument);
}

TEST_CASE("weights are found by path, by label in the folders of MSSBENCH_WEIGHTS, and by hash", "[checkpoints]") {
  const tests::TempDir folder;
  const Weights w = read_weights(file("umxtiny"));
  write_weights(folder / "umxtiny.safetensors", w);
  fs::create_directory(folder / "other");
  fs::copy(file("umxsetiny"), folder / "other", fs::copy_options::recursive);
  setenv("MSSBENCH_WEIGHTS", ("/nonexistent:" + folder.path().string()).c_str(), 1);
  CHECK(find_weights(w.name()).content_hash == w.content_hash);
  CHECK(find_weights("umxtiny").content_hash == w.content_hash);
  CHECK(find_weights("other").configuration.channels == 1);
  const auto other = error_of([] { find_weights("umxtiny#00000000"); });
  CHECK(other.code == Code::checkpoint);
  CHECK(other.found == "#" + w.content_hash.substr(0, 8));
  const auto absent = error_of([] { find_weights("umxl#12345678"); });
  CHECK(absent.code == Code::checkpoint);
  CHECK(absent.found.find("/nonexistent/umxl.safetensors") != std::string::npos);
  unsetenv("MSSBENCH_WEIGHTS");
  const std::string path = (folder / "umxtiny.safetensors").string();
  CHECK(find_weights(path).content_hash == w.content_hash);
  CHECK(find_weights(path + "#" + w.content_hash.substr(0, 6)).content_hash == w.content_hash);
  CHECK(error_of([&] { find_weights(path + "#abc"); }).code == Code::checkpoint);
  CHECK(error_of([] { find_weights(""); }).code == Code::checkpoint);
}

TEST_CASE("a file whose name claims another content is refused, with ways to go on", "[checkpoints]") {
  const tests::TempDir folder;
  copy_folder("umxsetiny", folder);
  fs::path speech;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    if (entry.path().filename().string().starts_with("speech")) speech = entry.path();
  }
  std::string bytes = core::read_text_file(speech);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  std::ofstream(speech, std::ios::binary) << bytes;
  const auto error = error_of([&] { read_weights(folder.path()); });
  CHECK(error.code == Code::checkpoint);
  CHECK(error.where == speech.string());
  CHECK(error.expected.find(speech.stem().string().substr(7)) != std::string::npos);
  CHECK(error.hint.find("speech.pth") != std::string::npos);
  ReadOptions options;
  options.check_names = false;
  const Weights w = read_weights(folder.path(), options);
  CHECK(w.content_hash != expected("umxsetiny").at("content_sha256").as_string());
  fs::rename(speech, folder / "speech.pth");
  CHECK(read_weights(folder.path()).content_hash == w.content_hash);
}

TEST_CASE("official files are known by their SHA-256", "[checkpoints]") {
  CHECK(official_file("b62c91ce" + std::string(56, '0')) == "umxhq, vocals");
  CHECK(official_file("04a6fc2d" + std::string(56, '0')) == "umxse, noise");
  CHECK_FALSE(official_file(std::string(64, '0')).has_value());
}

TEST_CASE("weights that do not fit say how", "[checkpoints]") {
  const tests::TempDir folder;
  const fs::path path = folder / "x.safetensors";
  // Another architecture: the first tensors are named.
  const auto other = error_of([] { read_weights(file("checkpoint.chkpnt")); });
  CHECK(other.code == Code::checkpoint);
  CHECK(other.what == "no network of the Open-Unmix family in the file");
  CHECK(other.found.find("optimizer.state.0.exp_avg") != std::string::npos);

  const Weights w = read_weights(file("trained"));
  checkpoints::Tensors tensors;
  for (const auto& [key, array] : w.targets.at("vocals")) {
    tensors[key] = checkpoints::Tensor::from(array.values, array.shape);
  }
  const auto without = [&](const char* key) {
    checkpoints::Tensors some = tensors;
    some.erase(key);
    checkpoints::write_safetensors(path, some, {});
    return error_of([&] { read_weights(path); });
  };
  CHECK(without("bn2.bias").found == "1 missing: x/bn2.bias");
  CHECK(without("input_mean").found.find("1 missing: input_mean") == 0);
  checkpoints::Tensors changed = tensors;
  changed["fc1.bias"] = checkpoints::Tensor::from(std::vector<float>{1, 2}, {2});
  changed["fc3.weight"] = checkpoints::Tensor::from(std::vector<float>(12), {6, 2});
  checkpoints::write_safetensors(path, changed, {});
  const auto shapes = error_of([&] { read_weights(path); });
  CHECK(shapes.found == "1 unexpected: x/fc1.bias; 1 of another shape: x/fc3.weight [6, 2] instead of [10, 2]");
  CHECK(shapes.expected == "openunmix with 1 target, H = 2, C = 2, 4 of 5 bins, 2 layers, unidirectional");
  changed = tensors;
  changed["fc2.weight"] = checkpoints::Tensor::from(std::vector<float>(8, NAN), {2, 4});
  checkpoints::write_safetensors(path, changed, {});
  CHECK(error_of([&] { read_weights(path); }).what == "tensor 'fc2.weight' holds NaN or infinity");

  // Our file with one bit changed.
  write_weights(path, w);
  std::string bytes = core::read_text_file(path);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  std::ofstream(path, std::ios::binary) << bytes;
  const auto damaged = error_of([&] { read_weights(path); });
  CHECK(damaged.code == Code::checkpoint);
  CHECK(damaged.what == "the content is not what the file says");

  // Folders: nothing in it, two files of one target, sizes that differ, separator.json of another model.
  const tests::TempDir empty;
  CHECK(error_of([&] { read_weights(empty.path()); }).what == "the folder holds no weights");
  copy_folder("trained", empty);
  fs::copy(file("trained/vocals.pth"), empty / "vocals-00000000.pth");
  CHECK(error_of([&] { read_weights(empty.path()); }).what == "two files for target 'vocals'");
  fs::remove(empty / "vocals-00000000.pth");
  std::ofstream(empty / "separator.json") << R"({"nfft": 16, "nhop": 4, "sample_rate": 44100, "nb_channels": 2})";
  CHECK(error_of([&] { read_weights(empty.path()); }).what == "the FFT size does not fit the tensors");
  std::ofstream(empty / "separator.json") << R"({"nfft": 8, "nhop": 4, "sample_rate": 44100, "nb_channels": 1})";
  CHECK(error_of([&] { read_weights(empty.path()); }).found == "1");
  fs::remove(empty / "separator.json");
  fs::remove(empty / "vocals.json");
  for (const auto& entry : fs::directory_iterator(file("umxsetiny"))) {
    if (entry.path().extension() == ".pth") fs::copy(entry.path(), empty / entry.path().filename().string());
  }
  CHECK(error_of([&] { read_weights(empty.path()); }).what == "the targets' networks have different sizes");
  CHECK(error_of([&] { read_weights(empty / "absent.pth"); }).code == Code::io);
}
