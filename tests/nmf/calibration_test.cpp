#include "methods/nmf/calibration.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/rng.h"
#include "methods/median.h"
#include "methods/nmf/factorisation.h"
#include "methods/nmf/train.h"
#include "tests/nmf/registry.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::methods::nmf;
using mss::tests::nmf::registry;

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

TrainTrack track(const std::string& name, double hz, std::uint64_t seed) {
  return {name, [hz, seed](const std::string& target) {
            return target == "tone" ? tone(hz) : target == "clicks" ? clicks(seed) : audio::AudioBuffer();
          }};
}

std::vector<TrainTrack> tracks() { return {track("one", 440, 1), track("two", 550, 3)}; }

TrainOptions small() {
  TrainOptions o;
  o.rate_hz = kRate;
  o.stft = spec();
  o.components = 2;
  o.iterations = 20;
  o.calibrate = true;
  o.calibration_bands = 2;
  return o;
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
  const Cues held = cues_of(tone().view(), spec(), 1, {});
  REQUIRE(held.bins == 257);
  REQUIRE(held.side.size() == held.percussive.size());
  const auto middle = static_cast<std::size_t>(held.frames / 2 * held.bins);
  const std::size_t peak = 28;  // 440 Hz / 15.625 Hz
  CHECK(held.percussive[middle + peak] < 32);
  CHECK(held.side[middle + peak] == 0);

  const Cues hit = cues_of(clicks().view(), spec(), 1, {});
  // The bursts stand at 800, 2800, … samples; the frame around one of them.
  const auto frame = static_cast<std::size_t>(2800 / 128 * hit.bins);
  int percussive = 0;
  for (std::size_t k = 20; k < 240; ++k) percussive += hit.percussive[frame + k] > 207 ? 1 : 0;
  CHECK(percussive > 200);
  CHECK(hit.side[frame + 100] == 255);

  const Cues mono = cues_of(audio::convert_channels(tone().view(), 1), spec(), 1, {});
  CHECK(mono.side.empty());
  CHECK(mono.percussive == held.percussive);
  const Cues threads = cues_of(sum_of(tone(), clicks()).view(), spec(), 3, {});
  const Cues one = cues_of(sum_of(tone(), clicks()).view(), spec(), 1, {});
  CHECK(threads.percussive == one.percussive);
  CHECK(threads.side == one.side);

  const Cues silent = cues_of(audio::AudioBuffer(2, 4000, kRate).view(), spec(), 1, {});
  CHECK(std::ranges::all_of(silent.percussive, [](int level) { return level == 0; }));
}

TEST_CASE("cues that come in blocks are those of the whole", "[nmf]") {
  const audio::Spectrogram<float> all = audio::Stft<float>(spec()).forward(sum_of(tone(), clicks()).view(), 1);
  const std::int64_t bins = all.bins();
  core::Rng rng(5, 1);
  for (const std::int64_t frames : {1, 2, 5, 8, 9, 17, 40, 188}) {
    CAPTURE(frames);
    REQUIRE(frames <= all.frames());
    // By the definition, from all frames at once.
    std::vector<float> mean(static_cast<std::size_t>(frames * bins));
    for (std::int64_t n = 0; n < frames; ++n) {
      for (std::int64_t k = 0; k < bins; ++k)
        mean[static_cast<std::size_t>(n * bins + k)] = (std::abs(all.at(0, n)[k]) + std::abs(all.at(1, n)[k])) / 2;
    }
    const auto held = methods::median_over_time(mean, frames, static_cast<int>(bins), 17, 1);
    const auto hits = methods::median_over_bins(mean, frames, static_cast<int>(bins), 31, 1);

    Cues found;
    const auto take = [&](const audio::Spectrogram<float>& x, const Cues& cues) {
      REQUIRE(x.frames() == cues.frames);
      for (int c = 0; c < 2; ++c) {
        CHECK(std::equal(x.at(c, 0), x.at(c, 0) + x.frames() * bins, all.at(c, found.frames)));
      }
      found.frames += cues.frames;
      found.percussive.insert(found.percussive.end(), cues.percussive.begin(), cues.percussive.end());
      found.side.insert(found.side.end(), cues.side.begin(), cues.side.end());
    };
    CueStream stream(2, bins, 2);
    for (std::int64_t begin = 0; begin < frames;) {
      const std::int64_t count = std::min(frames - begin, static_cast<std::int64_t>(rng.next_u64() % 30));
      audio::Spectrogram<float> block(2, count, bins);
      for (int c = 0; c < 2 && count > 0; ++c) std::copy_n(all.at(c, begin), count * bins, block.at(c, 0));
      stream.push(block, take);
      begin += count;
    }
    stream.finish(take);
    REQUIRE(found.frames == frames);
    for (std::int64_t n = 0; n < frames; ++n) {
      const std::int64_t rows[] = {std::max<std::int64_t>(n - 1, 0), n, std::min(n + 1, frames - 1)};
      for (std::int64_t k = 0; k < bins; ++k) {
        const auto i = static_cast<std::size_t>(n * bins + k);
        const double total = static_cast<double>(held[i] + hits[i]);
        const double percussive = total > 0 ? 255 * static_cast<double>(hits[i]) / total : 0;
        double centre = 0, side = 0;
        for (const std::int64_t row : rows) {
          centre += static_cast<double>(std::norm(all.at(0, row)[k] + all.at(1, row)[k]));
          side += static_cast<double>(std::norm(all.at(0, row)[k] - all.at(1, row)[k]));
        }
        const double wide = centre + side > 0 ? 255 * std::sqrt(side / (centre + side)) : 0;
        // Half a step of rounding, and what float32 adds to it.
        if (std::abs(found.percussive[i] - percussive) > 0.51 || std::abs(found.side[i] - wide) > 0.51)
          FAIL("frame " << n << ", bin " << k);
      }
    }
  }
}

TEST_CASE("a calibration is a softmax of log masks and cues, per band", "[nmf]") {
  Calibration c;
  c.targets = 2;
  c.bands = 2;
  REQUIRE(c.size() == 7);
  c.weights.assign(28, 0.0F);
  const auto weight = [&](int band, int target, int feature) -> float& {
    return c.weights[static_cast<std::size_t>((band * 2 + target) * 7 + feature)];
  };
  std::vector<float> masks(2 * 257);
  const auto fill = [&] {
    for (std::size_t k = 0; k < 257; ++k) {
      masks[k] = 0.1F + 0.8F * static_cast<float>(k) / 256;
      masks[257 + k] = 1 - masks[k];
    }
  };
  const Cues cues = cues_of(sum_of(tone(), clicks()).view(), spec(), 1, {});
  // Each its own log mask, weight 1: what NMF says stays. Weight 2: the squares, as alpha = 2 has them.
  for (const float own : {1.0F, 2.0F}) {
    for (int band = 0; band < 2; ++band) weight(band, 0, 0) = weight(band, 1, 1) = own;
    fill();
    Calibrator(c, spec(), kRate).apply(cues, 40, masks.data());
    for (std::size_t k = 0; k < 257; ++k) {
      const float m = std::pow(0.1F + 0.8F * static_cast<float>(k) / 256, own);
      const float rest = std::pow(0.9F - 0.8F * static_cast<float>(k) / 256, own);
      CHECK(masks[k] == Approx(m / (m + rest)).epsilon(1e-5));
      CHECK(masks[k] + masks[257 + k] == Approx(1).epsilon(1e-6));
    }
  }
  // Constants and cues, the bands being triangles on log(1 + f / 300 Hz) from 0 to 4 kHz.
  std::ranges::fill(c.weights, 0.0F);
  weight(0, 0, 6) = 1;   // low: target 0
  weight(1, 0, 6) = -2;  // high: target 1
  weight(0, 1, 2) = weight(1, 1, 2) = 3;
  weight(0, 1, 3) = 0.5F;
  weight(1, 0, 4) = 0.7F;
  weight(1, 0, 5) = -0.4F;
  fill();
  Calibrator(c, spec(), kRate).apply(cues, 40, masks.data());
  for (std::size_t k = 0; k < 257; ++k) {
    const double u = std::log1p(static_cast<double>(k) * 15.625 / 300) / std::log1p(4000.0 / 300);
    const double p = cues.percussive[40 * 257 + k] / 255.0 - 0.5, q = cues.side[40 * 257 + k] / 255.0 - 0.5;
    const double z0 = (1 - u) - 2 * u + u * (0.7 * q - 0.4 * 2 * q * q), z1 = 3 * p + (1 - u) * 0.5 * 2 * p * p;
    CHECK(masks[k] == Approx(1 / (1 + std::exp(z1 - z0))).epsilon(1e-4));
  }
  // Without a second channel its terms are silent.
  const Cues mono = cues_of(audio::convert_channels(sum_of(tone(), clicks()).view(), 1), spec(), 1, {});
  fill();
  Calibrator(c, spec(), kRate).apply(mono, 40, masks.data());
  const double p = mono.percussive[40 * 257 + 256] / 255.0 - 0.5;
  CHECK(masks[256] == Approx(1 / (1 + std::exp(3 * p + 2))).epsilon(1e-4));
}

TEST_CASE("learning a calibration finds how loud the targets are where masks say nothing", "[nmf]") {
  // Independent noise, the second half as loud as the first, and templates that are alike: whatever the features, the
  // least error is at the Wiener gains 4 / 5 and 1 / 5.
  const auto noise = [](std::uint64_t seed, double level) {
    audio::AudioBuffer x(2, 4 * kRate, kRate);
    for (int c = 0; c < 2; ++c) {
      core::Rng rng(seed, static_cast<std::uint32_t>(c));
      for (float& v : x.channel(c)) v = static_cast<float>(level * (rng.uniform() - 0.5));
    }
    return x;
  };
  Dictionary d;
  d.rate_hz = kRate;
  d.stft = spec();
  for (const auto& name : kNames) d.parts.push_back({name, 1, std::vector<float>(257, 1.0F / 257)});
  CalibrationTrainer trainer(2, 3, spec(), kRate);
  CHECK(trainer.empty());
  trainer.add(d, {noise(1, 0.4), noise(2, 0.2)}, 5, 1, {});
  trainer.add(d, {noise(3, 0.4), audio::AudioBuffer()}, 5, 1, {});  // the silent one has no say
  REQUIRE_FALSE(trainer.empty());
  int steps = 0;
  const Calibration c = trainer.fit(1, {}, [&] { ++steps; });
  CHECK(steps == CalibrationTrainer::kSteps);
  CHECK(c.bands == 3);
  CHECK(trainer.fit(3, {}, {}).weights == c.weights);

  CalibrationTrainer alone(2, 3, spec(), kRate);
  alone.add(d, {noise(1, 0.4), noise(2, 0.2)}, 5, 1, {});
  const Calibration both = alone.fit(1, {}, {});
  const audio::AudioBuffer mixture = sum_of(noise(5, 0.4), noise(6, 0.2));
  const Cues cues = cues_of(mixture.view(), spec(), 1, {});
  double sum = 0;
  for (std::int64_t frame = 10; frame < 60; ++frame) {
    std::vector<float> masks(2 * 257, 0.5F);
    Calibrator(both, spec(), kRate).apply(cues, frame, masks.data());
    for (std::size_t k = 0; k < 257; ++k) sum += static_cast<double>(masks[k]) / (50 * 257);
  }
  CHECK(sum == Approx(0.8).margin(0.03));
}

TEST_CASE("a calibrated ensemble is stored, separates better, sums to the mixture and does not depend on threads",
          "[nmf]") {
  const tests::TempDir folder;
  TrainOptions o = small();
  o.members = 3;
  const Dictionary made = train_dictionary(tracks(), kNames, o);
  REQUIRE(made.parts.size() == 6);
  CHECK(made.targets() == kNames);
  CHECK(made.parts[0].w != made.parts[2].w);
  // The first member is what training without an ensemble gives.
  CHECK(train_dictionary(tracks(), kNames, small()).parts[1].w == made.parts[1].w);
  const auto path = folder / "pair.safetensors";
  write_dictionary(path, made);
  const Dictionary read = read_dictionary(path);
  CHECK(read.members == 3);
  CHECK(read.calibration.bands == 2);
  CHECK(read.calibration.weights == made.calibration.weights);
  TrainOptions parallel = o;
  parallel.threads = 3;
  CHECK(train_dictionary(tracks(), kNames, parallel).calibration.weights == made.calibration.weights);
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

  // Where templates cannot tell the targets apart, the cues do.
  Dictionary flat = made;
  for (DictionaryPart& part : flat.parts) std::ranges::fill(part.w, 1.0F);
  write_dictionary(folder / "flat.safetensors", flat);
  const auto separate_flat = [&](const std::string& more) {
    const std::string spec = "nmf:dict=" + (folder / "flat.safetensors").string() + ",iterations=5" + more;
    return registry().make(spec)->separate(mixture.view());
  };
  const methods::StemSet told = separate_flat(""), guessed = separate_flat(",calibrate=false");
  CHECK(error_db(guessed.audio[0].view(), held.view()) == Approx(-6).margin(0.2));  // half of the mixture
  CHECK(error_db(told.audio[0].view(), held.view()) < -10);
  CHECK(error_db(told.audio[1].view(), hits.view()) < error_db(guessed.audio[1].view(), hits.view()) - 3);

  const auto separator = registry().make("nmf:dict=" + path.string() + ",iterations=20");
  CHECK(separator->info().protocol == "P0");
  CHECK(separator->info().streams);
  CHECK(separator->info().resolved_options.at("calibrate").as_bool());

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

TEST_CASE("calibrations and members are refused where they have no meaning", "[nmf]") {
  const tests::TempDir folder;
  TrainOptions o = small();
  o.calibrate = false;
  write_dictionary(folder / "plain.safetensors", train_dictionary(tracks(), kNames, o));
  o.members = 2;
  write_dictionary(folder / "two.safetensors", train_dictionary(tracks(), kNames, o));
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
  CHECK(refuses("nmf:dict=" + plain + ",calibrate=true"));
  CHECK_FALSE(refuses("nmf:dict=" + plain + ",calibrate=false"));
  CHECK(refuses("nmf:calibrate=true"));
  CHECK(refuses("nmf:dict=" + two + ",free=2"));
  CHECK(refuses("nmf:start=" + two));

  o.calibrate = true;
  o.members = 1;
  write_dictionary(folder / "calibrated.safetensors", train_dictionary(tracks(), kNames, o));
  const std::string calibrated = (folder / "calibrated.safetensors").string();
  CHECK(refuses("nmf:dict=" + calibrated + ",free=2"));
  CHECK_FALSE(refuses("nmf:dict=" + calibrated + ",free=2,free_target=tone,calibrate=false"));

  const auto fails = [&](const std::vector<TrainTrack>& songs, const TrainOptions& options, Code code) {
    try {
      train_dictionary(songs, kNames, options);
      return false;
    } catch (const Error& e) {
      return e.code() == code;
    }
  };
  TrainTrack uneven = track("uneven", 440, 1);
  uneven.load = [](const std::string& target) {
    return target == "tone" ? tone() : audio::AudioBuffer(clicks().view().slice(0, 9000));
  };
  CHECK(fails({track("one", 440, 1), uneven}, o, Code::dataset));
  TrainTrack half = track("half", 440, 1);
  half.load = [](const std::string& target) { return target == "tone" ? tone() : audio::AudioBuffer(); };
  CHECK(fails({track("one", 440, 1), half}, o, Code::dataset));  // clicks are in one group only
  CHECK(fails({track("one", 440, 1)}, o, Code::invalid_argument));
  o.template_frames = 2;
  CHECK(fails(tracks(), o, Code::invalid_argument));
  o.template_frames = 1;

  // A damaged calibration is no dictionary.
  Dictionary broken = train_dictionary(tracks(), kNames, o);
  broken.calibration.weights[3] = std::nanf("");
  write_dictionary(folder / "broken.safetensors", broken);
  CHECK_THROWS_AS(read_dictionary(folder / "broken.safetensors"), Error);
}
