// Facts about real audio that lies outside the repository.
#include <algorithm>
#include <cmath>
#include <set>

#include "core/hash.h"
#include "datasets/check.h"
#include "datasets/dataset.h"
#include "tests/datasets/make_files.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;

namespace {

/// A build without libav cannot decode stem.mp4, and says so.
bool decodes(const datasets::Dataset& set) {
  const auto error = tests::error_of([&] { set.load(set.tracks()[0]); });
  if (!error || error->code() != Code::unsupported) return true;
  WARN("SKIPPED: this build does not decode stem.mp4");
  return false;
}

}  // namespace

TEST_CASE("MUSDB18 clips decode to the published lengths and residuals", "[datasets]") {
  MSS_REQUIRE_TEST_DATA(data);
  const auto set = datasets::open((data / "musdb18_clips").string());
  if (!decodes(set)) return;
  CHECK(set.name() == "MUSDB18-sample");
  CHECK(set.layout() == datasets::Layout::stems);
  CHECK(set.stems() == std::vector<std::string>{"drums", "bass", "other", "vocals"});
  REQUIRE(set.tracks().size() == 2);
  const auto& falcon = set.tracks()[0];
  const auto& rock = set.tracks()[1];
  CHECK(falcon.name == "The Easton Ellises - Falcon 69");
  CHECK(falcon.subset == "test");
  CHECK(rock.name == "Music Delta - 80s Rock");
  CHECK(rock.subset == "train");
  CHECK(rock.split == "train");
  CHECK(rock.rate_hz == 44100);
  CHECK(rock.channels == 2);
  CHECK(rock.seconds() == Approx(6.8).margin(0.01));

  const auto rock_audio = set.load(rock);
  CHECK(rock_audio.mixture.samples() == 300032);
  CHECK(datasets::sum_residual_db(rock_audio) == Approx(-31.6).margin(0.05));
  const auto falcon_audio = set.load(falcon);
  CHECK(falcon_audio.mixture.samples() == 268288);
  // Clicks of the encoder's priming at both edges spoil the sum over the whole file.
  CHECK(datasets::sum_residual_db(falcon_audio) == Approx(-15.4).margin(0.05));
  CHECK(datasets::sum_residual_db(falcon_audio, datasets::kAacSkipFrontSamples, datasets::kAacSkipBackSamples) ==
        Approx(-22.4).margin(0.05));

  CHECK(set.sha256(rock) == core::sha256_file(rock.files[0]));
  CHECK(set.levels_db(rock).size() == 6);
  const auto findings = datasets::check(set);
  CHECK(std::none_of(findings.begin(), findings.end(),
                     [](const auto& f) { return f.severity != datasets::Severity::info; }));
  CHECK(std::count_if(findings.begin(), findings.end(), [](const auto& f) { return f.kind == "identity"; }) == 2);
  CHECK(std::any_of(findings.begin(), findings.end(), [](const auto& f) {
    return f.track == "Music Delta - 80s Rock" && f.message.find("-31.6 dB over 300032 samples") != std::string::npos;
  }));

  // Without train/ and test/ the table says where a clip belongs.
  const tests::TempDir dir;
  for (const auto& track : set.tracks()) {
    std::filesystem::copy_file(track.files[0], dir.path() / track.files[0].filename());
  }
  const auto loose = datasets::open(dir.path().string());
  CHECK(loose.name() == "MUSDB18-sample");
  CHECK(loose.tracks()[0].name == falcon.name);
  CHECK(loose.tracks()[0].subset == "test");
  CHECK(loose.tracks()[1].subset == "train");
  CHECK(loose.sha256(loose.tracks()[1]) == set.sha256(rock));
}

TEST_CASE("the same clip is recognised in another container", "[datasets]") {
  MSS_REQUIRE_TEST_DATA(data);
  const auto set = datasets::open((data / "musdb18_clips").string());
  if (!decodes(set)) return;
  const auto& rock = set.tracks()[1];
  const auto audio = set.load(rock);
  const tests::TempDir dir;
  const auto folder = dir.path() / "copy" / rock.name;
  std::filesystem::create_directories(folder);
  audio::write_file(folder / "mixture.flac", audio.mixture, {audio::SampleFormat::pcm16});
  for (std::size_t i = 0; i < audio.names.size(); ++i) {
    audio::write_file(folder / (audio.names[i] + ".flac"), audio.stems[i], {audio::SampleFormat::pcm16});
  }
  const auto copy = datasets::open((dir.path() / "copy").string());
  CHECK(copy.name() == "MUSDB18-HQ-sample");
  CHECK(copy.sha256(copy.tracks()[0]) != set.sha256(rock));
  const auto levels = set.levels_db(rock);
  CHECK(datasets::similar_levels(levels, copy.levels_db(copy.tracks()[0]), 0.01));
  CHECK_FALSE(datasets::similar_levels(levels, set.levels_db(set.tracks()[0])));
}

TEST_CASE("the CC0 album has exact sums and two silent stems", "[datasets]") {
  MSS_REQUIRE_TEST_DATA(data);
  const auto set = datasets::open((data / "evr_cc0").string());
  CHECK(set.name().starts_with("evr_cc0#"));
  CHECK(set.layout() == datasets::Layout::folders);
  CHECK(set.stems() == std::vector<std::string>{"drums", "bass", "other", "vocals"});
  CHECK(set.select({.subset = "train"}).size() == 4);
  CHECK(set.select({.subset = "test"}).size() == 3);
  const auto findings = datasets::check(set, {.threads = 2});
  std::set<std::string> silent;
  int exact = 0;
  for (const auto& finding : findings) {
    CHECK(finding.severity != datasets::Severity::error);
    CHECK(finding.kind != "duplicate");
    if (finding.kind == "silent_stem")
      silent.insert(finding.track + ": " + finding.message.substr(0, finding.message.find(" is")));
    if (finding.kind == "residual") exact += finding.message.find("exactly") != std::string::npos ? 1 : 0;
  }
  CHECK(silent == std::set<std::string>{"Software-Entwicklungskit - Hydrogen: stem 'bass'",
                                        "Software-Entwicklungskit - Sodium: stem 'vocals'"});
  CHECK(exact == 7);
}

TEST_CASE("MIR-1K's folders are its splits, and both parts have equal energy", "[datasets]") {
  MSS_REQUIRE_TEST_DATA(data);
  const auto set = datasets::open((data / "mir1k_subset").string());
  CHECK(set.name() == "MIR-1K");
  CHECK(set.tracks().size() == 26);
  CHECK(set.select({.subset = "train", .split = "train"}).size() == 5);
  CHECK(set.select({.subset = "train", .split = "valid"}).size() == 4);
  CHECK(set.select({.subset = "test"}).size() == 17);
  for (const auto& track : set.tracks()) {
    // The names alone give the same split as the folders do.
    const std::string folder = track.files[0].parent_path().filename().string();
    const tests::TempDir dir;
    std::filesystem::copy_file(track.files[0], dir.path() / track.files[0].filename());
    CHECK(datasets::open(dir.path().string()).tracks()[0].split == (folder == "dev" ? "valid" : folder));
  }
  const auto audio = set.load(set.tracks()[0]);
  CHECK(audio.mixture.rate_hz() == 16000);
  CHECK(10 * std::log10(audio::energy(audio.stems[0]) / audio::energy(audio.stems[1])) == Approx(0).margin(0.01));
  CHECK(datasets::sum_residual_db(audio) < -140);
}
