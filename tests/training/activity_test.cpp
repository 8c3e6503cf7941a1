// Source activity against golden numbers of an independent implementation (tests/golden/bsrnn.json, "sad").
#include "training/activity.h"

#include <cmath>
#include <limits>
#include <map>
#include <numbers>

#include "core/json.h"
#include "datasets/dataset.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"

namespace mss::training {
namespace {

constexpr int kRate = 100, kLength = 6000;

audio::AudioBuffer stereo_case() {
  audio::AudioBuffer out(2, kLength, kRate);
  for (int n = 0; n < kLength; ++n) {
    const double t = static_cast<double>(n) / kRate;
    const double envelope = t >= 7 && t < 22 ? 0.2 : t >= 30 && t < 34 ? 0.02 : t >= 40 && t < 58 ? 0.005 : 0;
    const double left = envelope * std::sin(2 * std::numbers::pi * 7 * t);
    const auto i = static_cast<std::size_t>(n);
    out.channel(0)[i] = static_cast<float>(left);
    out.channel(1)[i] = t >= 10 && t < 16 ? 0.0F : static_cast<float>(0.5 * left);
  }
  return out;
}

audio::AudioBuffer mono_case() {
  audio::AudioBuffer out(1, kLength, kRate);
  for (int n = 0; n < kLength; ++n) {
    const double t = static_cast<double>(n) / kRate;
    const double envelope =
        t >= 20 && t < 41 ? 0.04 * (1 + 0.3 * std::sin(0.9 * t)) : 0.3 * (1 + 0.2 * std::sin(0.7 * t));
    out.channel(0)[static_cast<std::size_t>(n)] =
        static_cast<float>(envelope * std::sin(2 * std::numbers::pi * 7.3 * t));
  }
  return out;
}

audio::AudioBuffer channel_of(const audio::AudioBuffer& audio, int c) {
  audio::AudioBuffer out(1, audio.samples(), audio.rate_hz());
  std::copy(audio.channel(c).begin(), audio.channel(c).end(), out.channel(0).begin());
  return out;
}

std::vector<std::int64_t> segments_of(const core::Value& golden) {
  std::vector<std::int64_t> out;
  for (const core::Value& v : golden.as_array()) out.push_back(v.as_integer());
  return out;
}

}  // namespace

TEST_CASE("active segments are those of the golden numbers, under every rule", "[training]") {
  const core::Value golden = core::read_json_file(tests::golden("bsrnn.json")).at("sad");
  const audio::AudioBuffer signal = stereo_case();
  const auto paper = [&](ActivityEnergy energy, const char* name) {
    INFO(name);
    const Activity found = find_activity(signal, {.rule = ActivityRule::paper, .energy = energy});
    CHECK(found.segments == 19);
    CHECK(found.segment_samples == 600);
    CHECK(found.threshold == Approx(golden.at(name).at("threshold").as_real()).epsilon(1e-6));
    CHECK(found.kept == segments_of(golden.at(name).at("kept_segments")));
    for (std::size_t i = 0; i < found.kept.size(); ++i) CHECK(found.starts[i] == 300 * found.kept[i]);
  };
  paper(ActivityEnergy::rms, "paper_rms_mono");
  paper(ActivityEnergy::mean_square, "paper_meansq_mono");
  paper(ActivityEnergy::sum, "paper_sumsq_mono");
  const core::Value& both = golden.at("amanteur_rms_both_channels");
  const ActivitySettings amanteur{.rule = ActivityRule::amanteur};
  CHECK(find_activity(signal, amanteur).kept == segments_of(both.at("kept_segments")));
  CHECK(find_activity(channel_of(signal, 0), amanteur).kept == segments_of(both.at("left_only")));
  CHECK(find_activity(channel_of(signal, 1), amanteur).kept == segments_of(both.at("right_only")));
  const core::Value& second = golden.at("case2");
  const Activity quiet = find_activity(mono_case(), {});
  CHECK(quiet.threshold == Approx(second.at("paper_rms").at("threshold").as_real()).epsilon(1e-6));
  CHECK(quiet.kept == segments_of(second.at("paper_rms").at("kept_segments")));
  CHECK(find_activity(mono_case(), amanteur).kept == segments_of(second.at("amanteur_rms").at("kept_segments")));
}

TEST_CASE("short, silent and broken tracks have a defined activity", "[training]") {
  audio::AudioBuffer loud(1, 450, kRate);  // shorter than a segment: three quarters of one
  for (float& x : loud.channel(0)) x = 0.5F;
  const Activity one = find_activity(loud, {});
  CHECK(one.segments == 1);
  CHECK(one.starts == std::vector<std::int64_t>{0});
  audio::AudioBuffer tail(1, 1250, kRate);  // starts 0, 300, 600: the last 50 samples belong to no segment
  for (float& x : tail.channel(0)) x = 0.5F;
  CHECK(find_activity(tail, {}).segments == 3);
  // A constant energy is never above its own quantile: nothing is kept when the threshold is the track's level.
  CHECK(find_activity(tail, {}).kept.empty());
  CHECK(find_activity(audio::AudioBuffer(2, 1250, kRate), {}).kept.empty());
  CHECK(find_activity(audio::AudioBuffer(1, 0, kRate), {}).kept.empty());
  // Segments whose length is no multiple of ten samples: chunks cover it without gaps.
  CHECK(find_activity(tail, {.segment_seconds = 5.03}).segments == 3);
  loud.channel(0)[7] = std::numeric_limits<float>::quiet_NaN();
  tests::check_error(Code::numeric, {"channel 0, sample 7"}, [&] { (void)find_activity(loud, {}); });
  tests::check_error(Code::invalid_argument, {"out of their range"},
                     [&] { (void)find_activity(tail, {.segment_seconds = 0.05}); });
}

TEST_CASE("all rules on real music, side by side", "[training]") {
  MSS_REQUIRE_TEST_DATA(data);
  const datasets::Dataset set = datasets::open((data / "evr_cc0").string());
  const std::vector<ActivitySettings> rules{{.energy = ActivityEnergy::rms},
                                            {.energy = ActivityEnergy::mean_square},
                                            {.energy = ActivityEnergy::sum},
                                            {.rule = ActivityRule::amanteur}};
  std::map<std::string, std::vector<std::size_t>> kept;
  for (const datasets::Track& track : set.tracks()) {
    for (const std::string& stem : set.stems()) {
      const audio::AudioBuffer audio = set.load_stem(track, stem);
      kept[stem].resize(rules.size());
      for (std::size_t i = 0; i < rules.size(); ++i) {
        const Activity found = find_activity(audio, rules[i]);
        CHECK(found.segments == 5);  // 20 s: starts 0, 3, 6, 9, 12
        kept[stem][i] += found.kept.size();
      }
    }
  }
  // Of 35 segments each: what an implementation of the rules in another language keeps (the table of
  // docs/training-data.md). The paper's rule with RMS and the public programs' are one here.
  using Counts = std::vector<std::size_t>;
  CHECK(kept.at("drums") == Counts{31, 28, 31, 31});
  CHECK(kept.at("bass") == Counts{24, 23, 24, 24});
  CHECK(kept.at("other") == Counts{26, 21, 26, 26});
  CHECK(kept.at("vocals") == Counts{27, 22, 27, 27});
}

}  // namespace mss::training
