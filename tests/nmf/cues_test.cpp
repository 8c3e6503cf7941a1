#include "methods/nmf/cues.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/rng.h"
#include "methods/nmf/factorisation.h"
#include "methods/nmf/register.h"
#include "methods/nmf/train.h"
#include "methods/registry.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::methods::nmf;

namespace {

constexpr int kRate = 8000;
const std::vector<std::string> kNames = {"tone", "clicks"};

audio::StftSpec spec() {
  audio::StftSpec s;
  s.fft_size = 512;
  s.hop_samples = 128;
  return s;
}

/// A held chord in the centre.
audio::AudioBuffer tone(double hz = 440) {
  audio::AudioBuffer x(2, 3 * kRate, kRate);
  for (std::size_t n = 0; n < x.channel(0).size(); ++n) {
    const double time = static_cast<double>(n) / kRate;
    x.channel(0)[n] = static_cast<float>(0.2 * (std::sin(2 * M_PI * hz * time) + std::sin(2 * M_PI * 2.5 * hz * time)));
    x.channel(1)[n] = x.channel(0)[n];
  }
  return x;
}

/// Bursts of noise, the same with opposite signs left and right.
audio::AudioBuffer clicks(std::uint64_t seed = 1) {
  audio::AudioBuffer x(2, 3 * kRate, kRate);
  core::Rng rng(seed, 5);
  for (std::size_t n = 0; n < x.channel(0).size(); ++n) {
    const double burst = std::exp(-static_cast<double>((n + 1200) % 2000) / 25.0);
    x.channel(0)[n] = static_cast<float>(0.9 * burst * (rng.uniform() - 0.5));
    x.channel(1)[n] = -x.channel(0)[n];
  }
  return x;
}

audio::AudioBuffer sum_of(const audio::AudioBuffer& a, const audio::AudioBuffer& b) {
  audio::AudioBuffer sum(a.view());
  audio::add_to(sum.span(), b.view());
  return sum;
}

std::vector<TrainTrack> track() {
  return {{"one", [](const std::string& target) {
             return target == "tone" ? tone() : target == "clicks" ? clicks() : audio::AudioBuffer();
           }}};
}

TrainOptions small() {
  TrainOptions o;
  o.rate_hz = kRate;
  o.stft = spec();
  o.components = 2;
  o.iterations = 20;
  o.cues = true;
  o.cue_bands = 2;
  return o;
}

const methods::Registry& registry() {
  static const methods::Registry filled = [] {
    methods::Registry r;
    add_methods(r);
    return r;
  }();
  return filled;
}

double error_db(audio::AudioView estimate, audio::AudioView truth) {
  audio::AudioBuffer difference(truth);
  for (int c = 0; c < truth.channels(); ++c) {
    for (std::size_t n = 0; n < truth.channel(c).size(); ++n) difference.channel(c)[n] -= estimate.channel(c)[n];
  }
  return 10 * std::log10((audio::energy(difference.view()) + 1e-300) / audio::energy(truth));
}

}  // namespace

TEST_CASE("cues tell clicks from tones and the sides from the centre", "[nmf]") {
  const CueLevels held = cue_levels(tone().view(), spec(), 1, {});
  REQUIRE(held.bins == 257);
  REQUIRE(held.side.size() == held.percussive.size());
  const auto middle = static_cast<std::size_t>(held.frames / 2 * held.bins);
  const std::size_t peak = 28;  // 440 Hz / 15.625 Hz
  CHECK(held.percussive[middle + peak] < 2);
  CHECK(held.side[middle + peak] == 0);

  const CueLevels hit = cue_levels(clicks().view(), spec(), 1, {});
  // The bursts stand at 800, 2800, … samples; the frame around one of them.
  const auto frame = static_cast<std::size_t>(2800 / 128 * hit.bins);
  int percussive = 0;
  for (std::size_t k = 20; k < 240; ++k) percussive += hit.percussive[frame + k] > 12 ? 1 : 0;
  CHECK(percussive > 200);
  CHECK(hit.side[frame + 100] == kCueLevels - 1);

  const CueLevels mono = cue_levels(audio::convert_channels(tone().view(), 1), spec(), 1, {});
  CHECK(mono.side.empty());
  CHECK(mono.percussive == held.percussive);
  const CueLevels threads = cue_levels(sum_of(tone(), clicks()).view(), spec(), 3, {});
  const CueLevels one = cue_levels(sum_of(tone(), clicks()).view(), spec(), 1, {});
  CHECK(threads.percussive == one.percussive);
  CHECK(threads.side == one.side);

  const CueLevels silent = cue_levels(audio::AudioBuffer(2, 4000, kRate).view(), spec(), 1, {});
  CHECK(std::ranges::all_of(silent.percussive, [](int level) { return level == 0; }));
}

TEST_CASE("the bands of cues cover all bins in order", "[nmf]") {
  const std::vector<int> band = cue_bands(2049, 4096, 44100, 8);
  REQUIRE(band.size() == 2049);
  CHECK(band.front() == 0);
  CHECK(band.back() == 7);
  CHECK(std::ranges::is_sorted(band));
  // log(1 + f / 300): half of the way up to 22050 Hz lies at 300 (sqrt(74.5) - 1) = 2289 Hz.
  CHECK(band[static_cast<std::size_t>(2250 * 4096 / 44100)] == 3);
  CHECK(band[static_cast<std::size_t>(2330 * 4096 / 44100)] == 4);
  CHECK(cue_bands(1, 16, 44100, 4) == std::vector<int>{0});
}

TEST_CASE("learned tables are likelihood ratios, and masks stay masks", "[nmf]") {
  const Dictionary d = train_dictionary(track(), kNames, small());
  REQUIRE(d.cues.bands == 2);
  REQUIRE(d.cues.percussive.size() == 2U * 2 * kCueLevels);
  REQUIRE(d.cues.side.size() == d.cues.percussive.size());
  const std::size_t size = 2 * kCueLevels;
  for (std::size_t i = 0; i < size; ++i) {
    // mean_j P(q | j, b) / mean = 1
    CHECK(0.5 * (std::exp(d.cues.percussive[i]) + std::exp(d.cues.percussive[size + i])) == Approx(1).epsilon(1e-5));
    CHECK(0.5 * (std::exp(d.cues.side[i]) + std::exp(d.cues.side[size + i])) == Approx(1).epsilon(1e-5));
  }
  CHECK(d.cues.percussive[0] > d.cues.percussive[size]);                                // held: the tone
  CHECK(d.cues.percussive[kCueLevels - 1] < d.cues.percussive[size + kCueLevels - 1]);  // click

  const CueLevels levels = cue_levels(sum_of(tone(), clicks()).view(), spec(), 1, {});
  const CueFilter filter(d.cues, 2, 1.0, 0.5, spec(), kRate);
  std::vector<float> masks(2 * 257);
  for (std::size_t k = 0; k < 257; ++k) {
    masks[k] = static_cast<float>(k) / 256;
    masks[257 + k] = 1 - masks[k];
  }
  filter.apply(levels, 40, masks.data());
  for (std::size_t k = 0; k < 257; ++k) {
    CHECK(masks[k] + masks[257 + k] == Approx(1).epsilon(1e-5));
    CHECK(masks[k] >= 0);
  }
  CHECK(masks[0] == 0);  // what NMF excludes stays excluded
  CHECK(masks[256] == 1);
}

TEST_CASE("an ensemble with cues is stored, separates better, sums to the mixture and does not depend on threads",
          "[nmf]") {
  const tests::TempDir folder;
  TrainOptions o = small();
  o.members = 3;
  const Dictionary made = train_dictionary(track(), kNames, o);
  REQUIRE(made.parts.size() == 6);
  CHECK(made.targets() == kNames);
  CHECK(made.parts[0].w != made.parts[2].w);
  // The first member is what training without an ensemble gives.
  CHECK(train_dictionary(track(), kNames, small()).parts[1].w == made.parts[1].w);
  const auto path = folder / "pair.safetensors";
  write_dictionary(path, made);
  const Dictionary read = read_dictionary(path);
  CHECK(read.members == 3);
  CHECK(read.cues.percussive == made.cues.percussive);
  CHECK(read.cues.side == made.cues.side);
  CHECK(read.member(2).targets() == kNames);
  CHECK(read.member(2).parts[1].w == read.parts[5].w);

  const audio::AudioBuffer held = tone(), hits = clicks(2), mixture = sum_of(held, hits);
  const auto separate = [&](const std::string& more, int threads = 1) {
    methods::Options options;
    options.threads = threads;
    return registry().make("nmf:dict=" + path.string() + ",iterations=20" + more)->separate(mixture.view(), options);
  };
  const methods::StemSet with = separate(""), again = separate("", 3);
  CHECK(with.names == kNames);
  CHECK(error_db(sum_of(with.audio[0], with.audio[1]).view(), mixture.view()) < -120);
  for (std::size_t s = 0; s < 2; ++s) CHECK(std::ranges::equal(with.audio[s].channel(1), again.audio[s].channel(1)));

  // Where templates cannot tell the targets apart, cues do.
  Dictionary flat = made;
  for (DictionaryPart& part : flat.parts) std::ranges::fill(part.w, 1.0F);
  write_dictionary(folder / "flat.safetensors", flat);
  const auto separate_flat = [&](const std::string& more) {
    const std::string spec = "nmf:dict=" + (folder / "flat.safetensors").string() + ",iterations=5" + more;
    return registry().make(spec)->separate(mixture.view());
  };
  const methods::StemSet told = separate_flat(""), guessed = separate_flat(",percussive=0,side=0");
  CHECK(error_db(guessed.audio[0].view(), held.view()) == Approx(-6).margin(0.2));  // half of the mixture
  CHECK(error_db(told.audio[0].view(), held.view()) < -10);
  CHECK(error_db(told.audio[1].view(), hits.view()) < error_db(guessed.audio[1].view(), hits.view()) - 3);

  const auto separator = registry().make("nmf:dict=" + path.string() + ",iterations=20");
  CHECK(separator->info().protocol == "P0");
  CHECK_FALSE(separator->info().streams);
  CHECK(separator->info().resolved_options.at("percussive").as_real() == 1.0);
  CHECK(separator->info().resolved_options.at("side").as_real() == 0.5);

  // Each member's masks sum to a third.
  const auto* factoriser = dynamic_cast<const Factoriser*>(separator.get());
  REQUIRE(factoriser != nullptr);
  const Factorisation factors = factoriser->factorise(mixture.view(), {}, {}, {});
  CHECK(factors.members == 3);
  CHECK(factors.parts() == 6);
  CHECK(factors.target == std::vector<int>{0, 1, 0, 1, 0, 1});
  std::vector<float> masks;
  part_masks(factors, 1, 30, masks);
  for (std::size_t m = 0; m < 3; ++m) CHECK(masks[2 * m * 257 + 60] + masks[(2 * m + 1) * 257 + 60] == Approx(1.0 / 3));
}

TEST_CASE("cues and members are refused where they have no meaning", "[nmf]") {
  const tests::TempDir folder;
  TrainOptions o = small();
  o.cues = false;
  write_dictionary(folder / "plain.safetensors", train_dictionary(track(), kNames, o));
  o.members = 2;
  write_dictionary(folder / "two.safetensors", train_dictionary(track(), kNames, o));
  const auto refuses = [&](const std::string& spec) {
    INFO(spec);
    try {
      registry().make(spec);
      return false;
    } catch (const Error& e) {
      return e.code() == Code::config;
    }
  };
  const std::string plain = (folder / "plain.safetensors").string(), two = (folder / "two.safetensors").string();
  CHECK(refuses("nmf:dict=" + plain + ",percussive=1"));
  CHECK(refuses("nmf:dict=" + plain + ",side=0.5"));
  CHECK_FALSE(refuses("nmf:dict=" + plain + ",side=0"));
  CHECK(refuses("nmf:percussive=1"));
  CHECK(refuses("nmf:dict=" + two + ",free=2"));
  CHECK(refuses("nmf:start=" + two));

  o.cues = true;
  const std::vector<TrainTrack> uneven = {{"uneven", [](const std::string& target) {
                                             return target == "tone" ? tone() : audio::AudioBuffer(2, 900, kRate);
                                           }}};
  o.members = 1;
  CHECK_THROWS_AS(train_dictionary(uneven, {"tone", "clicks"}, o), Error);

  // A damaged table is no dictionary.
  Dictionary broken = train_dictionary(track(), kNames, o);
  broken.cues.percussive[3] = std::nanf("");
  write_dictionary(folder / "broken.safetensors", broken);
  CHECK_THROWS_AS(read_dictionary(folder / "broken.safetensors"), Error);
}
