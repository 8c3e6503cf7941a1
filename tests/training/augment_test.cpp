// Augmentation as functions of their arguments, against golden numbers (tests/golden/demucs-augment.json,
// tests/golden/bsrnn.json "speech_remix") and definitions.
#include "training/augment.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/json.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::training {

TEST_CASE("Demucs' remix takes sources by a stable sort of uniforms", "[training]") {
  const core::Value golden = core::read_json_file(tests::golden("demucs-augment.json")).at("augment").at("remix");
  const core::Value::Array& uniforms = golden.at("uniforms_group_item_source").as_array();
  const core::Value::Array& wanted = golden.at("permutation_item_source").as_array();
  constexpr std::size_t kItems = 4, kSources = 4;
  REQUIRE(uniforms.size() == kItems * kSources);
  for (std::size_t s = 0; s < kSources; ++s) {
    std::vector<double> column;
    for (std::size_t i = 0; i < kItems; ++i) column.push_back(uniforms[i * kSources + s].as_real());
    const std::vector<int> permutation = argsort(column);
    for (std::size_t i = 0; i < kItems; ++i) CHECK(permutation[i] == wanted[i].as_array()[s].as_integer());
  }
  CHECK(argsort(std::vector<double>{1, 0, 1, 0}) == std::vector<int>{1, 3, 0, 2});
}

TEST_CASE("speech over accompaniment has the golden scales and peak", "[training]") {
  const core::Value golden = core::read_json_file(tests::golden("bsrnn.json")).at("speech_remix");
  constexpr std::size_t kSamples = 600;
  std::vector<double> s(2 * kSamples), a(2 * kSamples);
  double largest = 0;
  for (std::size_t n = 0; n < kSamples; ++n) {
    const auto t = static_cast<double>(n);
    s[n] = s[kSamples + n] = std::sin(2 * M_PI * t / 37) * 0.8;
    largest = std::max(largest, std::abs(s[n]));
    a[n] = 0.3 * std::sin(2 * M_PI * t / 11 + 0.3) + 0.1 * std::cos(t / 5);
    a[kSamples + n] = 0.25 * std::sin(2 * M_PI * t / 13);
  }
  std::vector<float> speech, accompaniment;
  for (const double x : s) speech.push_back(static_cast<float>(x / largest));
  for (const double x : a) accompaniment.push_back(static_cast<float>(x));
  for (const core::Value& one : golden.at("cases").as_array()) {
    const double snr = one.at("snr_db").as_real();
    INFO("SNR " << snr << " dB");
    // Inputs rounded to float32: 1e-6.
    const SpeechMix thesis = speech_mix(speech, accompaniment, 2, snr, SpeechTarget::thesis);
    CHECK(thesis.scale[0] == Approx(one.at("scale_left").as_real()).epsilon(1e-6));
    CHECK(thesis.scale[1] == Approx(one.at("scale_right").as_real()).epsilon(1e-6));
    CHECK(thesis.peak == Approx(one.at("peak_of_mix").as_real()).epsilon(1e-6));
    CHECK(1 / thesis.peak == Approx(one.at("target_gain_needed").as_real()).epsilon(1e-6));
    const SpeechMix joint = speech_mix(speech, accompaniment, 2, snr, SpeechTarget::correct);
    CHECK(joint.scale[0] == joint.scale[1]);
    CHECK(joint.scale[0] == Approx(one.at("scale_joint_channels").as_real()).epsilon(1e-6));
  }
  const SpeechMix none = speech_mix(speech, std::vector<float>(2 * kSamples), 2, 0, SpeechTarget::correct);
  CHECK(none.scale == std::vector<double>{0, 0});
}

TEST_CASE("draws depend on seed, epoch, index, choice and source, and on nothing else", "[training]") {
  const auto first = [](std::int64_t seed, std::int64_t epoch, std::int64_t index, Choice choice, int source) {
    core::Rng rng = draws(seed, epoch, index, choice, source);
    return rng.next_u64();
  };
  const std::uint64_t base = first(1, 2, 3, Choice::gain, 0);
  CHECK(first(1, 2, 3, Choice::gain, 0) == base);
  std::set<std::uint64_t> all{base};
  all.insert(first(2, 2, 3, Choice::gain, 0));
  all.insert(first(1, 3, 3, Choice::gain, 0));
  all.insert(first(1, 2, 4, Choice::gain, 0));
  all.insert(first(1, 2, 3, Choice::sign, 0));
  all.insert(first(1, 2, 3, Choice::gain, 1));
  all.insert(first(1, 2, 3 + (std::int64_t{1} << 32), Choice::gain, 0));
  CHECK(all.size() == 7);
}

TEST_CASE("the order of an epoch is a permutation, another one every epoch", "[training]") {
  for (const std::int64_t count : {1, 2, 3, 7, 64, 100, 1000}) {
    std::set<std::int64_t> seen;
    std::int64_t in_place = 0, moved_with = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t x = shuffled(i, count, 5, 9);
      REQUIRE((x >= 0 && x < count));
      seen.insert(x);
      in_place += x == i ? 1 : 0;
      moved_with += x == shuffled(i, count, 5, 10) ? 1 : 0;
    }
    CHECK(static_cast<std::int64_t>(seen.size()) == count);
    // A random permutation has one fixed point on average.
    if (count >= 64) CHECK((in_place < 10 && moved_with < 10));
  }
}

TEST_CASE("masks of SpecAugment have the widths, places and frequency of their policy", "[training]") {
  const SpecAugmentRecipe policy{.probability = 0.7};
  constexpr std::int64_t kFrames = 300, kBins = 160;
  double frequency = 0, time = 0;
  int made = 0;
  constexpr int kExamples = 2000;
  for (int i = 0; i < kExamples; ++i) {
    const std::vector<SpecMask> masks = spec_masks(policy, 3, 1, i, kFrames, kBins);
    CHECK(masks == spec_masks(policy, 3, 1, i, kFrames, kBins));
    if (masks.empty()) continue;
    ++made;
    REQUIRE(masks.size() == 4);
    for (const SpecMask& mask : masks) {
      REQUIRE((mask.begin >= 0 && mask.begin <= mask.end));
      REQUIRE(mask.end <= (mask.frequency ? kBins : kFrames));
      // 27 of 80 bins, scaled: 54 of 160; at most 100 frames and a fifth of 300.
      REQUIRE(mask.end - mask.begin <= (mask.frequency ? 54 : 60));
      (mask.frequency ? frequency : time) += static_cast<double>(mask.end - mask.begin);
    }
  }
  CHECK(std::abs(made - 0.7 * kExamples) < 4 * std::sqrt(0.21 * kExamples));
  CHECK(frequency / (2 * made) == Approx(27).margin(1.5));  // uniform in 0 … 54
  CHECK(time / (2 * made) == Approx(30).margin(1.5));
  CHECK(spec_masks({.probability = 0}, 3, 1, 0, kFrames, kBins).empty());
  for (const SpecMask& mask : spec_masks({.probability = 1}, 3, 1, 0, 1, 1)) CHECK(mask.end <= 1);
}

}  // namespace mss::training
