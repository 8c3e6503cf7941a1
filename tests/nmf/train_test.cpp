#include "methods/nmf/train.h"

#include <cmath>

#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::methods::nmf;

namespace {

/// Tones at multiples of base_hz, one second each, both channels.
audio::AudioBuffer tones(double base_hz, double seconds, int rate_hz, int channels = 2) {
  audio::AudioBuffer x(channels, static_cast<std::int64_t>(seconds * rate_hz), rate_hz);
  for (std::int64_t n = 0; n < x.samples(); ++n) {
    const double time = static_cast<double>(n) / rate_hz;
    const double hz = base_hz * (1 + std::floor(time));
    for (int c = 0; c < channels; ++c)
      x.channel(c)[static_cast<std::size_t>(n)] = static_cast<float>(0.5 * std::sin(2 * M_PI * hz * time));
  }
  return x;
}

TrainOptions small() {
  TrainOptions o;
  o.rate_hz = 8000;
  o.stft.fft_size = 512;
  o.stft.hop_samples = 128;
  o.components = 3;
  o.iterations = 60;
  o.max_frames = 400;
  return o;
}

std::vector<TrainTrack> two_tracks(int* loads = nullptr) {
  const auto load = [loads](double detune) {
    return [loads, detune](const std::string& target) {
      if (loads != nullptr) ++*loads;
      if (target == "low") return tones(200 * detune, 3, 8000);
      if (target == "high") return detune > 1 ? audio::AudioBuffer() : tones(1000, 3, 16000, 1);
      return audio::AudioBuffer(2, 8000, 8000);
    };
  };
  return {{"one", load(1.0)}, {"two", load(1.01)}};
}

}  // namespace

TEST_CASE("a dictionary learns the tones of its targets", "[nmf]") {
  int loads = 0;
  const Dictionary d = train_dictionary(two_tracks(&loads), {"low", "high"}, small());
  CHECK(loads == 4);
  CHECK(d.targets() == std::vector<std::string>{"low", "high"});
  CHECK(d.stft.bins() == 257);
  // Templates peak at the three tones of each target: 200, 400, 600 and 1000, 2000, 3000 Hz, 15.6 Hz apart.
  for (const auto& part : d.parts) {
    REQUIRE(part.components == 3);
    std::vector<double> peaks;
    for (int r = 0; r < 3; ++r) {
      int best = 0;
      double sum = 0;
      for (int k = 0; k < 257; ++k) {
        const auto at = [&](int i) { return part.w[static_cast<std::size_t>(i * 3 + r)]; };
        sum += static_cast<double>(at(k));
        if (at(k) > at(best)) best = k;
      }
      CHECK(sum == Approx(1.0).epsilon(1e-5));
      peaks.push_back(best * 8000.0 / 512);
    }
    std::sort(peaks.begin(), peaks.end());
    const double base = part.target == "low" ? 200 : 1000;
    for (int i = 0; i < 3; ++i) CHECK(peaks[static_cast<std::size_t>(i)] == Approx(base * (i + 1)).margin(16));
  }
  CHECK(core::parse_json(d.provenance.at("tracks"), "tracks").size() == 2);
  const auto frames = core::parse_json(d.provenance.at("frames"), "frames");
  CHECK(frames.at("low").as_integer() == 400);  // 200 of each track, of 188 frames in two channels
  CHECK(frames.at("high").as_integer() == 188);
}

TEST_CASE("training gives the same file for any number of threads, another for another seed", "[nmf]") {
  const tests::TempDir folder;
  TrainOptions o = small();
  const auto bytes = [&](const TrainOptions& options) {
    write_dictionary(folder / "d.safetensors", train_dictionary(two_tracks(), {"low", "high"}, options));
    return read_dictionary(folder / "d.safetensors").sha256;
  };
  const std::string one = bytes(o);
  o.threads = 3;
  CHECK(bytes(o) == one);
  o.seed = 1;
  CHECK(bytes(o) != one);
  o.seed = 0;
  o.template_frames = 4;
  o.components = 2;
  const Dictionary longer = train_dictionary(two_tracks(), {"low"}, o);
  CHECK(longer.parts[0].w.size() == 257 * 4 * 2);
}

TEST_CASE("a target does not depend on the others, and quiet frames are left out", "[nmf]") {
  const TrainOptions o = small();
  CHECK(train_dictionary(two_tracks(), {"high", "low"}, o).parts[1].w ==
        train_dictionary(two_tracks(), {"low"}, o).parts[0].w);
  audio::AudioBuffer x = tones(300, 4, 8000, 1);
  for (std::size_t n = 8000; n < 32000; ++n) x.channel(0)[n] *= 1e-3F;
  const std::vector<TrainTrack> quiet = {{"quiet", [&](const std::string&) { return x; }}};
  const auto frames =
      core::parse_json(train_dictionary(quiet, {"a"}, o).provenance.at("frames"), "frames").at("a").as_integer();
  CHECK(frames >= 63);
  CHECK(frames <= 66);
}

TEST_CASE("training refuses what it cannot learn from", "[nmf]") {
  CHECK_THROWS_AS(train_dictionary({}, {"low"}, small()), Error);
  CHECK_THROWS_AS(train_dictionary(two_tracks(), {}, small()), Error);
  try {
    train_dictionary(two_tracks(), {"silent"}, small());
    FAIL("learned from silence");
  } catch (const Error& e) {
    CHECK(e.code() == Code::dataset);
    CHECK(e.parts().where.find("silent") != std::string::npos);
  }
  const std::vector<TrainTrack> broken = {{"broken", [](const std::string&) -> audio::AudioBuffer {
                                             throw Error(Code::io, "x.wav", "cannot open the file");
                                           }}};
  try {
    train_dictionary(broken, {"low"}, small());
    FAIL("loaded a broken track");
  } catch (const Error& e) {
    CHECK(e.code() == Code::io);
    CHECK(e.parts().where.find("track 'broken'") != std::string::npos);
  }
  core::StopSource stop;
  stop.request_stop();
  TrainOptions o = small();
  o.stop = stop.token();
  CHECK_THROWS_AS(train_dictionary(two_tracks(), {"low"}, o), Error);
}
