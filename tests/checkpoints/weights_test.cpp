#include "methods/weights.h"

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
#include "methods/openunmix/configuration.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::methods;
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

Weights read(const fs::path& path, const ReadOptions& options = {}) { return read_weights(family(), path, options); }

/// Weights of a small cross-connected extension with a different number in every place.
Weights crossskip() {
  const Configuration c = {
      Architecture::crossskip, 44100, 8, 2, 1, 5, 3, 2, 1, false, {"bass", "drums", "vocals", "other"}};
  Parts parts;
  float next = 0.0F;
  const Listings listings = family().list(configuration_value(c));
  for (const auto& [target, listing] : listings) {
    for (const auto& entry : listing.entries) {
      std::vector<float> values(static_cast<std::size_t>(nn::element_count(entry.parameter.shape)));
      for (float& x : values) x = std::sin(next += 1.0F);
      parts[target][entry.name] = checkpoints::LazyTensor::from(std::move(values), entry.parameter.shape);
    }
  }
  return make_weights(family(), configuration_value(c), std::move(parts), "cross");
}

Configuration of(const Weights& weights) { return configuration_from_value(weights.configuration, "test"); }

}  // namespace

TEST_CASE("official folders, trainers' folders and X-UMX checkpoints are read with their sizes", "[checkpoints]") {
  for (const char* name : {"umxtiny", "umxsetiny", "trained", "xumx.pth"}) {
    CAPTURE(name);
    const Weights w = read(file(name));
    CHECK(core::dump_json(w.configuration) == core::dump_json(expected(name).at("configuration")));
    CHECK(w.content_hash == expected(name).at("content_sha256").as_string());
    CHECK(w.label == fs::path(name).stem().string());
    CHECK(w.name() == w.label + "#" + w.content_hash.substr(0, 8));
    CHECK(w.provenance.at("assumed").size() == 0);
    CHECK(configuration_value(of(w)) == w.configuration);
  }
  const Weights w = read(file("umxtiny"));
  std::vector<double> values;
  for (const float x : w.parts.at("bass").at("lstm.bias_hh_l2_reverse").values()) values.push_back(x);
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
  const auto count = [&] { return family().list(configuration_value(c)).begin()->second.parameters(); };
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
  const Weights best = read(file("trained/vocals.pth"));
  CHECK(best.content_hash == expected("trained").at("content_sha256").as_string());
  CHECK(best.label == "vocals");
  // The nested state dict of the last epoch; the optimiser beside it does not disturb.
  const Weights last = read(file("trained/vocals.chkpnt"));
  CHECK(last.content_hash == expected("trained").at("chkpnt_sha256").as_string());

  const tests::TempDir folder;
  fs::copy(file("trained/vocals.pth"), folder / "best-epoch.pth");
  const Weights alone = read(folder / "best-epoch.pth");
  CHECK(alone.targets() == std::vector<std::string>{"best-epoch"});
  CHECK(core::dump_json(alone.provenance.at("assumed")) == R"(["rate_hz","hop_samples"])");
  CHECK(of(alone).rate_hz == 44100);
  CHECK(of(alone).hop_samples == 2);
  ReadOptions options;
  options.target_name = "vocals";
  options.rate_hz = 22050;
  options.hop_samples = 4;
  options.label = "my model";
  options.hash_files = true;
  const Weights named = read(folder / "best-epoch.pth", options);
  CHECK(named.targets() == std::vector<std::string>{"vocals"});
  CHECK(of(named).rate_hz == 22050);
  CHECK(of(named).hop_samples == 4);
  CHECK(named.label == "my_model");
  CHECK(named.provenance.at("assumed").size() == 0);
  CHECK(named.provenance.at("files").as_array()[0].at("sha256").as_string().size() == 64);

  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(file("umxtiny"))) {
    if (entry.path().extension() == ".pth") files.push_back(entry.path());
  }
  const Weights together = read_weights(family(), files);
  CHECK(together.content_hash == expected("umxtiny").at("content_sha256").as_string());
  ReadOptions renamed;
  renamed.target_name = "voice";
  CHECK(error_of([&] { read(file("umxtiny"), renamed); }).code == Code::invalid_argument);
  CHECK(error_of([&] { read(file("xumx.pth"), renamed); }).what == "a target's name for several networks");
}

TEST_CASE("our own file gives the same weights back, in any order of threads", "[checkpoints]") {
  const tests::TempDir folder;
  for (const char* name : {"umxtiny", "trained", "xumx.pth"}) {
    CAPTURE(name);
    ReadOptions options;
    options.threads = 1;
    const Weights w = read(file(name), options);
    write_weights(folder / "a.safetensors", w);
    options.threads = 4;
    const Weights again = read(folder / "a.safetensors", options);
    CHECK(again.configuration == w.configuration);
    CHECK(again.label == w.label);
    CHECK(again.content_hash == w.content_hash);
    CHECK(again.provenance == w.provenance);
    write_weights(folder / "b.safetensors", again);
    CHECK(core::read_text_file(folder / "a.safetensors") == core::read_text_file(folder / "b.safetensors"));
    const checkpoints::SafetensorsFile file(folder / "a.safetensors");
    CHECK(file.contains(w.targets()[0] + "/lstm.weight_hh_l0"));
    CHECK(file.metadata().at("architecture") == w.architecture());
  }
  const Weights cross = crossskip();
  write_weights(folder / "c.safetensors", cross);
  const Weights again = read(folder / "c.safetensors");
  CHECK(again.configuration == cross.configuration);
  CHECK(again.content_hash == cross.content_hash);
  CHECK(again.parts.at("drums").at("fc2x.weight").values() == cross.parts.at("drums").at("fc2x.weight").values());
}

TEST_CASE("exported files are read back as the same weights", "[checkpoints]") {
  const tests::TempDir folder;
  const fs::path path = folder / "x.safetensors";
  for (const char* name : {"umxtiny", "xumx.pth"}) {
    CAPTURE(name);
    const Weights w = read(file(name));
    export_weights(path, w);
    ReadOptions options;
    options.rate_hz = of(w).rate_hz;
    options.hop_samples = of(w).hop_samples;
    CHECK(read(path, options).content_hash == w.content_hash);
  }
  const Weights cross = crossskip();
  export_weights(path, cross);
  CHECK(read(path).content_hash == cross.content_hash);
  export_weights(path, read(file("umxtiny")), "drums");
  const checkpoints::SafetensorsFile one(path);
  CHECK(one.contains("fc1.weight"));
  CHECK(one.contains("bn3.num_batches_tracked"));
  CHECK(one.tensors().size() == 4 + 3 + 3 * 5 + 3 * 8);
  CHECK(error_of([&] { export_weights(path, cross, "drums"); }).code == Code::invalid_argument);
}

TEST_CASE("weights are found by path, by label in the folders of MSSBENCH_WEIGHTS, and by hash", "[checkpoints]") {
  const tests::TempDir folder;
  const Weights w = read(file("umxtiny"));
  write_weights(folder / "umxtiny.safetensors", w);
  fs::create_directory(folder / "other");
  fs::copy(file("umxsetiny"), folder / "other", fs::copy_options::recursive);
  setenv("MSSBENCH_WEIGHTS", ("/nonexistent:" + folder.path().string()).c_str(), 1);
  CHECK(find_weights(family(), w.name()).content_hash == w.content_hash);
  CHECK(find_weights(family(), "umxtiny").content_hash == w.content_hash);
  CHECK(of(find_weights(family(), "other")).channels == 1);
  const auto other = error_of([] { find_weights(family(), "umxtiny#00000000"); });
  CHECK(other.code == Code::checkpoint);
  CHECK(other.found == "#" + w.content_hash.substr(0, 8));
  const auto absent = error_of([] { find_weights(family(), "umxl#12345678"); });
  CHECK(absent.code == Code::checkpoint);
  CHECK(absent.found.find("/nonexistent/umxl.safetensors") != std::string::npos);
  unsetenv("MSSBENCH_WEIGHTS");
  const std::string path = (folder / "umxtiny.safetensors").string();
  CHECK(find_weights(family(), path).content_hash == w.content_hash);
  CHECK(find_weights(family(), path + "#" + w.content_hash.substr(0, 6)).content_hash == w.content_hash);
  CHECK(error_of([&] { find_weights(family(), path + "#abc"); }).code == Code::checkpoint);
  CHECK(error_of([] { find_weights(family(), ""); }).code == Code::checkpoint);
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
  const auto error = error_of([&] { read(folder.path()); });
  CHECK(error.code == Code::checkpoint);
  CHECK(error.where == speech.string());
  CHECK(error.expected.find(speech.stem().string().substr(7)) != std::string::npos);
  CHECK(error.hint.find("speech.pth") != std::string::npos);
  ReadOptions options;
  options.check_names = false;
  const Weights w = read(folder.path(), options);
  CHECK(w.content_hash != expected("umxsetiny").at("content_sha256").as_string());
  fs::rename(speech, folder / "speech.pth");
  CHECK(read(folder.path()).content_hash == w.content_hash);
}

TEST_CASE("official files are known by their SHA-256", "[checkpoints]") {
  CHECK(official_file(family(), "b62c91ce" + std::string(56, '0')) == "umxhq, vocals");
  CHECK(official_file(family(), "04a6fc2d" + std::string(56, '0')) == "umxse, noise");
  CHECK_FALSE(official_file(family(), std::string(64, '0')).has_value());
}

TEST_CASE("weights that do not fit say how", "[checkpoints]") {
  const tests::TempDir folder;
  const fs::path path = folder / "x.safetensors";
  // Another architecture: the first tensors are named.
  const auto other = error_of([] { read(file("checkpoint.chkpnt")); });
  CHECK(other.code == Code::checkpoint);
  CHECK(other.what == "no network of the Open-Unmix family in the file");
  CHECK(other.found.find("optimizer.state.0.exp_avg") != std::string::npos);

  const Weights w = read(file("trained"));
  checkpoints::Tensors tensors;
  for (const auto& [key, array] : w.parts.at("vocals")) {
    tensors[key] = checkpoints::Tensor::from(array.values(), array.shape);
  }
  const auto without = [&](const char* key) {
    checkpoints::Tensors some = tensors;
    some.erase(key);
    checkpoints::write_safetensors(path, some, {});
    return error_of([&] { read(path); });
  };
  CHECK(without("bn2.bias").found == "1 missing: x/bn2.bias");
  CHECK(without("input_mean").found.find("1 missing: input_mean") == 0);
  checkpoints::Tensors changed = tensors;
  changed["fc1.bias"] = checkpoints::Tensor::from(std::vector<float>{1, 2}, {2});
  changed["fc3.weight"] = checkpoints::Tensor::from(std::vector<float>(12), {6, 2});
  checkpoints::write_safetensors(path, changed, {});
  const auto shapes = error_of([&] { read(path); });
  CHECK(shapes.found == "1 unexpected: x/fc1.bias; 1 of another shape: x/fc3.weight [6, 2] instead of [10, 2]");
  CHECK(shapes.expected == "openunmix with 1 target, H = 2, C = 2, 4 of 5 bins, 2 layers, unidirectional");
  changed = tensors;
  changed["fc2.weight"] = checkpoints::Tensor::from(std::vector<float>(8, NAN), {2, 4});
  checkpoints::write_safetensors(path, changed, {});
  CHECK(error_of([&] { read(path); }).what == "tensor 'fc2.weight' holds NaN or infinity");

  // Our file with one bit changed.
  write_weights(path, w);
  std::string bytes = core::read_text_file(path);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  std::ofstream(path, std::ios::binary) << bytes;
  const auto damaged = error_of([&] { read(path); });
  CHECK(damaged.code == Code::checkpoint);
  CHECK(damaged.what == "the content is not what the file says");

  // Folders: nothing in it, two files of one target, sizes that differ, separator.json of another model.
  const tests::TempDir empty;
  CHECK(error_of([&] { read(empty.path()); }).what == "the folder holds no weights");
  copy_folder("trained", empty);
  fs::copy(file("trained/vocals.pth"), empty / "vocals-00000000.pth");
  CHECK(error_of([&] { read(empty.path()); }).what == "two files for target 'vocals'");
  fs::remove(empty / "vocals-00000000.pth");
  std::ofstream(empty / "separator.json") << R"({"nfft": 16, "nhop": 4, "sample_rate": 44100, "nb_channels": 2})";
  CHECK(error_of([&] { read(empty.path()); }).what == "the FFT size does not fit the tensors");
  std::ofstream(empty / "separator.json") << R"({"nfft": 8, "nhop": 4, "sample_rate": 44100, "nb_channels": 1})";
  CHECK(error_of([&] { read(empty.path()); }).found == "1");
  fs::remove(empty / "separator.json");
  fs::remove(empty / "vocals.json");
  for (const auto& entry : fs::directory_iterator(file("umxsetiny"))) {
    if (entry.path().extension() == ".pth") fs::copy(entry.path(), empty / entry.path().filename().string());
  }
  CHECK(error_of([&] { read(empty.path()); }).what == "the targets' networks have different sizes");
  CHECK(error_of([&] { read(empty / "absent.pth"); }).code == Code::io);
}

TEST_CASE("whatever family it is: own files, foreign ones, and what nobody knows", "[checkpoints]") {
  NetworkFamily other = family();
  other.name = "another";
  other.title = "Another";
  other.recognises = [](const NetworkFile&) { return false; };
  const std::vector<const NetworkFamily*> both = {&other, &family()};
  const tests::TempDir folder;
  const fs::path path = folder / "w.safetensors";
  const Weights w = read(file("trained"));
  CHECK(read_weights(both, {file("trained")}).family == &family());
  write_weights(path, w);
  CHECK(read_weights(both, {path}).content_hash == w.content_hash);
  CHECK(read_weights(both, {path}).family == &family());
  const auto wrong = error_of([&] { read_weights(other, path); });
  CHECK(wrong.what == "these are weights of another family of networks");
  CHECK(wrong.found == "openunmix");
  const auto stranger = error_of([&] { read_weights({&other}, {path}); });
  CHECK(stranger.found == "openunmix");
  const auto nothing = error_of([&] { read_weights(both, {file("checkpoint.chkpnt")}); });
  CHECK(nothing.what == "no network that this program knows");
  CHECK(nothing.expected == "Another, Open-Unmix");
  // The same tensors under another name are other weights.
  CHECK(make_weights(other, w.configuration, w.parts, "x").content_hash != w.content_hash);
}

TEST_CASE("arrays keep the type that they were stored in, and count as float32", "[checkpoints]") {
  const tests::TempDir folder;
  const fs::path path = folder / "half.safetensors";
  const Weights w = crossskip();
  // Halves of every value: 1 sign, 5 exponent and 10 fraction bits of numbers that need no more.
  Parts parts = w.parts, floats = w.parts;
  for (auto& [part, arrays] : parts) {
    for (auto& [name, array] : arrays) {
      checkpoints::Tensor half{checkpoints::DType::f16, array.shape, {}};
      std::vector<float> values;
      for (std::int64_t i = 0; i < array.elements(); ++i) {
        const auto bits = static_cast<std::uint16_t>(0x3000 + 7 * i % 1024);  // 0.125 (1 + fraction / 1024)
        half.bytes.push_back(static_cast<std::byte>(bits & 255));
        half.bytes.push_back(static_cast<std::byte>(bits >> 8));
        values.push_back(0.125F * (1.0F + static_cast<float>(7 * i % 1024) / 1024.0F));
      }
      floats[part][name] = checkpoints::LazyTensor::from(std::move(values), array.shape);
      array = checkpoints::LazyTensor::from(std::move(half));
    }
  }
  const Weights halves = make_weights(family(), w.configuration, std::move(parts), "x");
  const Weights wide = make_weights(family(), w.configuration, std::move(floats), "x");
  CHECK(halves.content_hash == wide.content_hash);
  write_weights(path, halves);
  const checkpoints::SafetensorsFile file(path);
  CHECK(file.tensors().at("bass/fc1.weight").dtype == checkpoints::DType::f16);
  const Weights again = read(path);
  CHECK(again.content_hash == wide.content_hash);
  nn::ArraySource source = again.source("bass");
  std::vector<float> values(2 * 3);
  source.fill("fc1.weight", {"fc1.weight", {2, 3}}, values);
  CHECK(values == wide.parts.at("bass").at("fc1.weight").values());
  CHECK(source.report().unexpected.size() == again.parts.at("bass").size() - 1);
  nn::ArraySource all = again.source_of_all();
  all.fill("bass.fc1.weight", {"fc1.weight", {2, 3}}, values);
  CHECK(all.report().mismatched.empty());
}
