#include "methods/nmf/classifier.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/rng.h"
#include "methods/nmf/register.h"
#include "methods/registry.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::methods::nmf;

namespace {

constexpr int kRate = 8000;
const std::vector<std::string> kNames = {"low", "clicks", "high"};

audio::AudioBuffer stem(const std::string& name, double detune) {
  audio::AudioBuffer x(2, 3 * kRate, kRate);
  core::Rng rng(static_cast<std::uint64_t>(1000 * detune), 7);
  for (std::size_t n = 0; n < x.channel(0).size(); ++n) {
    const double time = static_cast<double>(n) / kRate, noise = rng.uniform() - 0.5;
    double value = 0;
    if (name == "low") value = 0.3 * std::sin(2 * M_PI * detune * (n / 4000 % 2 == 0 ? 110 : 165) * time);
    if (name == "clicks") value = 1.8 * std::exp(-static_cast<double>(n % 2000) / 200.0) * noise;
    if (name == "high") value = 0.2 * std::sin(2 * M_PI * detune * (n / 6000 % 2 == 0 ? 1500 : 2000) * time);
    for (int c = 0; c < 2; ++c) x.channel(c)[n] = static_cast<float>(value);
  }
  return x;
}

audio::AudioBuffer mixture(double detune) {
  audio::AudioBuffer sum = stem("low", detune);
  audio::add_to(sum.span(), stem("clicks", detune).view());
  audio::add_to(sum.span(), stem("high", detune).view());
  return sum;
}

std::vector<TrainTrack> tracks() {
  std::vector<TrainTrack> all;
  for (const double detune : {1.0, 1.1, 0.93})
    all.push_back({"track", [detune](const std::string& name) { return stem(name, detune); }});
  return all;
}

TrainOptions small() {
  TrainOptions o;
  o.rate_hz = kRate;
  o.stft.fft_size = 512;
  o.stft.hop_samples = 128;
  o.components = 10;
  o.iterations = 60;
  o.members = 4;
  return o;
}

double sdr(audio::AudioView estimate, audio::AudioView truth) {
  audio::AudioBuffer difference(truth);
  for (int c = 0; c < truth.channels(); ++c) {
    for (std::size_t n = 0; n < truth.channel(c).size(); ++n) difference.channel(c)[n] -= estimate.channel(c)[n];
  }
  return 10 * std::log10(audio::energy(truth) / (audio::energy(difference.view()) + 1e-300));
}

}  // namespace

TEST_CASE("a classifier of components is learned, stored and separates without references", "[nmf]") {
  const tests::TempDir folder;
  const Classifier made = train_classifier(tracks(), kNames, small());
  CHECK(made.weights.size() == 3U * (made.mean.size() + 1));
  const auto path = folder / "whose.safetensors";
  write_classifier(path, made);
  const Classifier read = read_classifier(path);
  CHECK(read.targets == kNames);
  CHECK(read.weights == made.weights);
  CHECK(read.components == 10);
  CHECK(read.provenance.at("factorisations_per_track") == "4");
  TrainOptions threads = small();
  threads.threads = 3;
  CHECK(train_classifier(tracks(), kNames, threads).weights == made.weights);

  methods::Registry registry;
  add_methods(registry);
  const auto separator = registry.make("nmf:classifier=" + path.string());
  CHECK(separator->info().protocol == "P2");
  CHECK_FALSE(separator->info().needs_references);
  CHECK_FALSE(separator->info().is_oracle);
  CHECK(separator->info().is_random);
  CHECK(separator->info().spec == "nmf:classifier=" + read.name());
  CHECK(separator->info().weights_label == read.name());
  // A song that it was not learned from.
  const audio::AudioBuffer song = mixture(1.04);
  const methods::StemSet stems = separator->separate(song.view());
  REQUIRE(stems.names == kNames);
  audio::AudioBuffer sum(stems.audio[0].view());
  for (std::size_t s = 1; s < 3; ++s) audio::add_to(sum.span(), stems.audio[s].view());
  CHECK(sdr(sum.view(), song.view()) > 120);
  for (std::size_t s = 0; s < 3; ++s) {
    INFO(kNames[s]);
    CHECK(sdr(stems.audio[s].view(), stem(kNames[s], 1.04).view()) > 1.5);  // the mixture itself: below -3
  }
}

TEST_CASE("features of components are what their names say", "[nmf]") {
  Factors<float> f(257, 8, 3);
  audio::StftSpec stft;
  stft.fft_size = 512;
  stft.hop_samples = 128;
  f.w_at(3, 0, 0) = 1;    // one low bin, held, in both channels
  f.w_at(250, 0, 1) = 1;  // one high bin, one hit on the left
  for (int m = 0; m < 8; ++m) f.h_at(0, m) = 2;
  f.h_at(1, 1) = 4;
  const auto features = component_features(f, 2, stft, kRate);
  REQUIRE(features.size() == 3);
  CHECK(std::max_element(features[0].begin(), features[0].begin() + 24) - features[0].begin() <= 2);
  CHECK(std::max_element(features[1].begin(), features[1].begin() + 24) - features[1].begin() == 23);
  CHECK(features[0][24] == Approx(0));            // largest / mean = 1
  CHECK(features[1][24] == Approx(std::log(8)));  // one of eight frames
  CHECK(features[0][25] == Approx(1));
  CHECK(features[0][26] == Approx(0.75));  // three of four neighbours in each channel
  CHECK(features[1][26] == Approx(0).margin(1e-12));
  CHECK(features[1][27] == Approx(2));
  CHECK(features[0][28] == Approx(0).margin(1e-12));
  CHECK(features[1][28] == Approx(1));
  for (const double x : features[2]) CHECK(std::isfinite(x));  // a dead component
  // Scaling W and H changes nothing.
  Factors<float> louder = f;
  for (float& w : louder.w) w *= 4;
  for (float& h : louder.h) h *= 8;
  const auto again = component_features(louder, 2, stft, kRate);
  for (std::size_t i = 0; i < again[1].size(); ++i) CHECK(again[1][i] == Approx(features[1][i]).margin(1e-12));
}

TEST_CASE("classifiers are refused where they do not fit", "[nmf]") {
  const tests::TempDir folder;
  TrainOptions o = small();
  o.members = 1;
  o.iterations = 2;
  const Classifier made = train_classifier(tracks(), kNames, o);
  write_classifier(folder / "whose.safetensors", made);
  methods::Registry registry;
  add_methods(registry);
  const std::string spec = "nmf:classifier=" + (folder / "whose.safetensors").string();
  const auto code = [&](const std::string& text) {
    INFO(text);
    try {
      registry.make(text);
    } catch (const Error& e) {
      return e.code();
    }
    return Code::internal;
  };
  CHECK(code(spec + ",protocol=P3") == Code::config);
  CHECK(code(spec + ",components=4") == Code::config);
  CHECK(code(spec + ",update=toolbox") == Code::config);
  CHECK(code("nmf:classifier=" + (folder / "none.safetensors").string()) == Code::checkpoint);
  CHECK(code("nmf:dict=" + (folder / "whose.safetensors").string()) == Code::checkpoint);

  Classifier broken = made;
  broken.deviation[2] = 0;
  write_classifier(folder / "broken.safetensors", broken);
  CHECK_THROWS_AS(read_classifier(folder / "broken.safetensors"), Error);
  CHECK_THROWS_AS(train_classifier({}, kNames, o), Error);
  CHECK_THROWS_AS(train_classifier(tracks(), {"low"}, o), Error);
  const std::vector<TrainTrack> silent = {
      {"silent", [](const std::string&) { return audio::AudioBuffer(2, 4000, kRate); }}};
  CHECK_THROWS_AS(train_classifier(silent, kNames, o), Error);
}
