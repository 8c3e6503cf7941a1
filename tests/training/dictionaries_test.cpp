// Learning dictionaries from data sets on disk.
#include "training/dictionaries.h"

#include <algorithm>
#include <cmath>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "harness/builtin_methods.h"
#include "tests/harness/support.h"

using namespace mss;
using namespace mss::training;
using mss::harness::tests::kRate;
using mss::harness::tests::noise;
using mss::harness::tests::write_track;
using mss::tests::TempDir;
namespace fs = std::filesystem;

namespace {

audio::AudioBuffer tone(double hz, std::int64_t samples = kRate * 2) {
  audio::AudioBuffer out(1, samples, kRate);
  for (std::int64_t n = 0; n < samples; ++n) {
    out.channel(0)[static_cast<std::size_t>(n)] =
        static_cast<float>(0.3 * std::sin(2 * M_PI * hz * static_cast<double>(n) / kRate));
  }
  return out;
}

/// train/: "A" with both stems, "B" with silent vocals, "C" without vocals. test/: "D".
fs::path write_songs(const fs::path& root) {
  write_track(root / "train", "A", {{"vocals", tone(1000)}, {"bass", tone(125)}});
  write_track(root / "train", "B", {{"vocals", audio::AudioBuffer(1, kRate * 2, kRate)}, {"bass", tone(250)}});
  write_track(root / "train", "C", {{"bass", tone(125)}});
  write_track(root / "test", "D", {{"vocals", tone(2000)}, {"bass", tone(500)}});
  return root;
}

NmfTraining training_of(const fs::path& root, const fs::path& out) {
  NmfTraining training;
  training.dataset = root.string();
  training.selection.subset = "train";
  training.out = out;
  training.options.rate_hz = kRate;
  training.options.stft.fft_size = 512;
  training.options.stft.hop_samples = 128;
  training.options.components = 2;
  training.options.iterations = 20;
  training.options.max_frames = 60;
  return training;
}

/// Bin with the most energy over all templates of a target.
int loudest_bin(const methods::nmf::Dictionary& d, const std::string& target) {
  for (const auto& part : d.parts) {
    if (part.target != target) continue;
    std::vector<double> sums(static_cast<std::size_t>(d.stft.bins()), 0.0);
    for (std::size_t i = 0; i < part.w.size(); ++i) {
      sums[i / static_cast<std::size_t>(part.components)] += static_cast<double>(part.w[i]);
    }
    return static_cast<int>(std::max_element(sums.begin(), sums.end()) - sums.begin());
  }
  return -1;
}

template <class F>
ErrorParts error_parts(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.parts();
  }
  return {};
}

}  // namespace

TEST_CASE("a calibrated dictionary loads stems again and says once which are missing", "[training]") {
  const TempDir folder;
  const fs::path root = write_songs(folder / "songs");
  std::vector<std::string> messages;
  NmfTraining training = training_of(root, folder / "songs.safetensors");
  training.selection.subset = "";
  training.targets = {"vocals", "bass"};
  training.options.calibrate = true;
  training.log = [&](core::LogLevel, std::string_view text) { messages.emplace_back(text); };
  const NmfTrained result = train_nmf(training);
  CHECK(result.without.at("vocals") == std::vector<std::string>{"train/B", "train/C"});
  CHECK(messages.size() == 2);
  const methods::nmf::Dictionary d = methods::nmf::read_dictionary(result.file);
  CHECK(d.provenance.at("calibrated") == "true");
  CHECK(d.provenance.at("without") == R"({"vocals":["train/B","train/C"]})");
  CHECK(d.calibration.bands == 6);
  CHECK(d.calibration.weights.size() == 6U * 2 * 7);

  // Vocals of one song cannot be judged by templates of others.
  training.selection.subset = "train";
  training.out = folder / "none.safetensors";
  const ErrorParts parts = error_parts([&] { train_nmf(training); });
  CHECK(parts.code == Code::dataset);
  CHECK(parts.where == "target 'vocals'");
  CHECK_FALSE(fs::exists(training.out));
}

TEST_CASE("a dictionary is learned from the stems of the selected tracks", "[training]") {
  const TempDir folder;
  const fs::path root = write_songs(folder / "songs");
  std::vector<std::string> messages;
  NmfTraining training = training_of(root, folder / "songs.safetensors");
  training.targets = {"vocals", "bass"};
  training.log = [&](core::LogLevel, std::string_view text) { messages.emplace_back(text); };
  const NmfTrained result = train_nmf(training);

  CHECK(result.targets == std::vector<std::string>{"vocals", "bass"});
  CHECK(result.tracks == std::vector<std::string>{"train/A", "train/B", "train/C"});
  REQUIRE(result.without.count("vocals") == 1);
  CHECK(result.without.at("vocals") == std::vector<std::string>{"train/B", "train/C"});
  CHECK(result.without.count("bass") == 0);
  CHECK(messages ==
        std::vector<std::string>{"train/B: vocals is silent, left out", "train/C: vocals is missing, left out"});

  const methods::nmf::Dictionary d = methods::nmf::read_dictionary(result.file);
  CHECK(d.name() == result.name);
  CHECK(d.sha256 == core::sha256_file(result.file));
  CHECK(result.bytes == fs::file_size(result.file));
  // 15.625 Hz a bin; the test song's 2000 and 500 Hz are not in it.
  CHECK(loudest_bin(d, "vocals") == 64);
  CHECK(loudest_bin(d, "bass") == 8);

  const datasets::Dataset dataset = datasets::open(root.string());
  const core::Value tracks = core::parse_json(d.provenance.at("tracks"), "tracks");
  REQUIRE(tracks.size() == 3);
  for (std::size_t i = 0; i < tracks.size(); ++i) {
    const datasets::Track track = dataset.select({.subset = "train"}).at(i);
    CHECK(tracks.as_array()[i].at("name").as_string() == track.name);
    CHECK(tracks.as_array()[i].at("sha256").as_string() == dataset.sha256(track));
  }
  CHECK(d.provenance.at("dataset") == dataset.name());
  CHECK(d.provenance.at("seed") == "0");
  CHECK(d.provenance.at("iterations") == "20");
  CHECK(d.provenance.at("without") == R"({"vocals":["train/B","train/C"]})");
  for (const char* key : {"revision", "program", "instruction_set", "selection", "max_frames"}) {
    INFO(key);
    CHECK(d.provenance.count(key) == 1);
  }
  // No path of this machine.
  for (const auto& [key, value] : d.provenance) {
    INFO(key);
    CHECK(value.find(folder.path().string()) == std::string::npos);
  }
}

TEST_CASE("equal training gives equal bytes for any number of threads, another seed others", "[training]") {
  const TempDir folder;
  const fs::path root = mss::harness::tests::write_dataset(folder / "songs");
  const auto bytes = [&](int threads, std::uint64_t seed) {
    NmfTraining training = training_of(root, folder / "d.safetensors");
    training.selection.subset = "";
    training.options.threads = threads;
    training.options.seed = seed;
    return core::read_text_file(train_nmf(training).file);
  };
  const std::string one = bytes(1, 0);
  CHECK(bytes(3, 0) == one);
  CHECK(bytes(1, 1) != one);
}

TEST_CASE("training on tracks chosen by name, targets from the data set", "[training]") {
  const TempDir folder;
  NmfTraining training = training_of(write_songs(folder / "songs"), folder / "d.safetensors");
  training.selection.tracks = {"C"};
  const NmfTrained result = train_nmf(training);
  CHECK(result.targets == std::vector<std::string>{"bass"});  // C has no vocals
  CHECK(result.tracks == std::vector<std::string>{"train/C"});
}

TEST_CASE("errors of training leave an older dictionary as it was", "[training]") {
  const TempDir folder;
  const fs::path root = write_songs(folder / "songs");
  const fs::path out = folder / "d.safetensors";
  core::write_file_atomic(out, "older");
  const auto run = [&](const std::function<void(NmfTraining&)>& change) {
    NmfTraining training = training_of(root, out);
    change(training);
    const ErrorParts parts = error_parts([&] { train_nmf(training); });
    CHECK(core::read_text_file(out) == "older");
    return parts;
  };
  const ErrorParts unknown = run([](NmfTraining& t) { t.targets = {"vocal"}; });
  CHECK(unknown.code == Code::dataset);
  CHECK(unknown.what.find("'vocal'") != std::string::npos);
  CHECK(unknown.expected.find("vocals") != std::string::npos);
  CHECK(unknown.hint == "did you mean 'vocals'?");
  CHECK(run([](NmfTraining& t) { t.targets = {"bass", "bass"}; }).code == Code::config);
  CHECK(run([](NmfTraining& t) {
          t.selection.tracks = {"B"};
          t.targets = {"vocals"};
        }).what == "silent in every training track");
  CHECK(run([](NmfTraining& t) { t.selection.tracks = {"E"}; }).code == Code::dataset);
  CHECK(run([](NmfTraining& t) { t.dataset.clear(); }).code == Code::config);
  CHECK(run([](NmfTraining& t) { t.dataset += "-none"; }).code == Code::dataset);
  CHECK(run([](NmfTraining& t) { t.options.components = 0; }).code == Code::invalid_argument);
  // Stopped in the middle: after the first step.
  core::StopSource stop;
  struct StopAfterFirst final : core::Progress {
    core::StopSource* source = nullptr;
    int ends = 0;
    void begin(std::string_view, std::int64_t total) override { CHECK(total == 2 * (3 + 20)); }
    void update(std::int64_t, std::string_view) override { source->request_stop(); }
    void end() override { ++ends; }
  } progress;
  progress.source = &stop;
  const ErrorParts stopped = run([&](NmfTraining& t) {
    t.options.stop = stop.token();
    t.progress = &progress;
  });
  CHECK(stopped.code == Code::cancelled);
  CHECK(progress.ends == 1);
}

TEST_CASE("output that cannot be written shows before the work", "[training]") {
  const TempDir folder;
  const fs::path root = write_songs(folder / "songs");
  const auto code = [&](const fs::path& out) { return error_parts([&] { train_nmf(training_of(root, out)); }).code; };
  CHECK(code("") == Code::config);
  CHECK(code(folder / "d.txt") == Code::config);
  CHECK(code(folder / "none" / "d.safetensors") == Code::io);
  core::make_directories(folder / "e.safetensors");
  CHECK(code(folder / "e.safetensors") == Code::io);
}

TEST_CASE("a broken stem is named with its track", "[training]") {
  const TempDir folder;
  const fs::path root = write_songs(folder / "songs");
  audio::AudioBuffer bad = tone(125);
  bad.channel(0)[1234] = std::nanf("");
  audio::write_file(root / "train" / "A" / "bass.wav", bad);
  const ErrorParts parts = error_parts([&] { train_nmf(training_of(root, folder / "d.safetensors")); });
  CHECK(parts.code == Code::numeric);
  CHECK(parts.where.find("train/A") != std::string::npos);
  CHECK(parts.where.find("bass.wav") != std::string::npos);
  CHECK(parts.found == "nan at channel 0, sample 1234");
}

TEST_CASE("load_stem reads the same samples as the whole track", "[training]") {
  const datasets::Dataset synthetic = datasets::open("synthetic:songs=1,seconds=1,seed=3");
  const datasets::Track& track = synthetic.tracks().front();
  const datasets::TrackAudio all = synthetic.load(track);
  for (std::size_t i = 0; i < all.names.size(); ++i) {
    const audio::AudioBuffer stem = synthetic.load_stem(track, all.names[i]);
    REQUIRE(audio::same_shape(stem, all.stems[i]));
    CHECK(std::ranges::equal(stem.channel(1), all.stems[i].channel(1)));
  }
  CHECK(synthetic.load_stem(track, "kazoo").empty());

  const TempDir folder;
  const datasets::Dataset songs = datasets::open(write_songs(folder / "songs").string());
  const datasets::Track a = songs.select({.subset = "train"}).front();
  const audio::AudioBuffer bass = songs.load_stem(a, "bass"), wanted = tone(125);
  CHECK(std::ranges::equal(bass.channel(0), wanted.channel(0)));
}

TEST_CASE("load_stem reads the streams of a stem.mp4", "[training][data]") {
  MSS_REQUIRE_TEST_DATA(data);
  const datasets::Dataset clips = datasets::open((data / "musdb18_clips").string());
  const datasets::Track& track = clips.tracks().front();
  const datasets::TrackAudio all = clips.load(track);
  REQUIRE(all.names.size() == 4);
  for (std::size_t i = 0; i < all.names.size(); ++i) {
    const audio::AudioBuffer stem = clips.load_stem(track, all.names[i]);
    REQUIRE(audio::same_shape(stem, all.stems[i]));
    CHECK(std::ranges::equal(stem.channel(0), all.stems[i].channel(0)));
  }
}

TEST_CASE("the shipped dictionary separates without any file", "[training]") {
  const auto separator = harness::builtin_methods().make("nmf@cc0:iterations=2");
  const methods::SeparatorInfo& info = separator->info();
  CHECK(info.protocol == "P0");
  CHECK_FALSE(info.needs_references);
  CHECK(info.targets == std::vector<std::string>{"drums", "bass", "other", "vocals"});
  CHECK(info.weights_label == "cc0#" + info.weights_sha256.substr(0, 8));
  // What is recorded names the content, and can be used again.
  CHECK(info.spec.find("dict=" + info.weights_label) != std::string::npos);
  CHECK(harness::builtin_methods().make(info.spec)->info().spec == info.spec);
  CHECK(harness::builtin_methods().canonical(info.spec) == info.spec);
  CHECK(harness::builtin_methods().make("nmf:dict=cc0")->info().weights_sha256 == info.weights_sha256);
  const ErrorParts other = error_parts([] { harness::builtin_methods().make("nmf:dict=cc0#00000000"); });
  CHECK(other.code == Code::checkpoint);
}
