// The excerpt of museval's own regression test (MUSDB18 sample clip, read from the test data folder).
#include <cmath>
#include <random>

#include "audio/file.h"
#include "core/json.h"
#include "eval/bsseval.h"
#include "eval/scorer.h"
#include "tests/eval/golden_signals.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::tests {

namespace {

/// Tolerances on this excerpt, in dB. SDR needs no filter. The references' Gram matrix has condition number 6e10:
/// museval's own distance to extended precision is up to 7e-7 (max_abs_diff_museval_exact_dB in the golden file), so
/// 5e-6 is the bar against museval. Our correlations are exact on 16-bit audio, which keeps us closer to extended
/// precision than that.
constexpr double kSdrTolerance = 1e-12, kMusevalTolerance = 5e-6, kExactTolerance = 3e-6;

struct Excerpt {
  std::vector<audio::AudioBuffer> streams;  ///< mix, drums, bass, other, vocals
  explicit Excerpt(const fs::path& data)
      : streams(audio::read_streams(data / "musdb18_clips/train/Music Delta - 80s Rock.stem.mp4")) {}
  std::int64_t samples() const { return streams[0].samples(); }
};

const core::Value& golden_excerpt() {
  static const core::Value file = core::read_json_file(golden("bsseval.json"));
  return file.at("real_excerpt");
}

double worst_difference(const std::vector<std::vector<double>>& got, const core::Value& want) {
  double worst = 0;
  REQUIRE(got.size() == want.as_array().size());
  for (std::size_t j = 0; j < got.size(); ++j) {
    const auto& frames = want.as_array()[j].as_array();
    REQUIRE(got[j].size() == frames.size());
    for (std::size_t t = 0; t < frames.size(); ++t)
      worst = std::max(worst, std::abs(got[j][t] - golden_number(frames[t])));
  }
  return worst;
}

double five_decimals(double v) { return std::nearbyint(v * 1e5) / 1e5; }

std::vector<std::vector<double>> table(const eval::Scores& s, const std::string& metric) {
  std::vector<std::vector<double>> out;
  for (const auto& t : s.targets)
    for (const auto& f : t.frames)
      if (f.metric == metric) out.push_back(f.values);
  return out;
}

}  // namespace

TEST_CASE("museval's regression case: 48 values at five decimals", "[eval]") {
  MSS_REQUIRE_TEST_DATA(data);
  const Excerpt x(data);
  const std::int64_t n = x.samples();
  REQUIRE(n == 300032);
  const auto at = [&](int stream, int c, std::int64_t t) {
    return static_cast<double>(x.streams[static_cast<std::size_t>(stream)].channel(c)[static_cast<std::size_t>(t)]);
  };
  std::vector<double> vocals(static_cast<std::size_t>(2 * n)), accompaniment(vocals.size());
  std::vector<std::vector<double>> noise(2, std::vector<double>(vocals.size()));
  for (int c = 0; c < 2; ++c)
    for (std::int64_t t = 0; t < n; ++t) {
      const auto i = static_cast<std::size_t>(c * n + t);
      vocals[i] = at(4, c, t);
      accompaniment[i] = at(2, c, t) + at(1, c, t) + at(3, c, t);
    }
  std::mt19937 generator(0);
  for (auto& estimate : noise)
    for (std::int64_t t = 0; t < n; ++t)
      for (int c = 0; c < 2; ++c) {
        const std::uint32_t a = generator() >> 5, b = generator() >> 6;
        estimate[static_cast<std::size_t>(c * n + t)] = (a * 67108864.0 + b) / 9007199254740992.0;
      }
  const auto signal = [&](const std::vector<double>& v) { return eval::Signal(v.data(), 2, n, n); };
  eval::BssEvalOptions o;
  o.threads = 2;
  const auto got = bss_eval({signal(vocals), signal(accompaniment)}, {signal(noise[0]), signal(noise[1])}, o);
  const core::Value& want = golden_excerpt().at("regression_random");
  const std::pair<const char*, const std::vector<std::vector<double>>*> tables[] = {
      {"SDR", &got.sdr}, {"ISR", &got.isr}, {"SIR", &got.sir}, {"SAR", &got.sar}};
  int equal = 0;
  for (const auto& [metric, values] : tables) {
    const auto& museval = want.at("museval").at(metric);
    CAPTURE(metric, worst_difference(*values, museval), worst_difference(*values, want.at("exact").at(metric)));
    CHECK(worst_difference(*values, museval) <= (std::string(metric) == "SDR" ? kSdrTolerance : kMusevalTolerance));
    CHECK(worst_difference(*values, want.at("exact").at(metric)) <= kExactTolerance);
    for (std::size_t j = 0; j < 2; ++j)
      for (std::size_t t = 0; t < 6; ++t)
        equal += five_decimals((*values)[j][t]) == five_decimals(museval.as_array()[j].as_array()[t].as_real());
  }
  CHECK(equal == 48);
}

TEST_CASE("four stems and accompaniment of a real excerpt", "[eval]") {
  MSS_REQUIRE_TEST_DATA(data);
  const Excerpt x(data);
  const std::int64_t n = x.samples();
  const std::vector<std::string> names{"vocals", "drums", "bass", "other"};
  const int streams[] = {4, 1, 2, 3};
  std::vector<eval::Signal> references;
  std::vector<audio::AudioBuffer> leak, quarter;
  for (int s : streams) {
    const auto& stem = x.streams[static_cast<std::size_t>(s)];
    references.emplace_back(stem.view());
    leak.emplace_back(2, n, 44100);
    quarter.emplace_back(2, n, 44100);
    for (int c = 0; c < 2; ++c)
      for (std::size_t t = 0; t < static_cast<std::size_t>(n); ++t) {
        const double r = stem.channel(c)[t], m = x.streams[0].channel(c)[t];
        leak.back().channel(c)[t] = static_cast<float>(std::floor((r + 0.1 * (m - r)) * 32768.0 + 0.5) / 32768.0);
        quarter.back().channel(c)[t] = static_cast<float>(m / 4);
      }
  }
  const auto views = [](const std::vector<audio::AudioBuffer>& buffers) {
    std::vector<eval::Signal> out;
    for (const auto& b : buffers) out.emplace_back(b.view());
    return out;
  };
  eval::ScorerOptions o;
  o.threads = 2;
  const eval::ReferenceSet set(names, references, x.streams[0].view(), 44100, o);
  const auto of_leak = set.score(names, views(leak)), of_quarter = set.score(names, views(quarter));
  const auto check = [&](const eval::Scores& got, const core::Value& want, const char* label) {
    for (const char* metric : {"SDR", "ISR", "SIR", "SAR"}) {
      const auto values = table(got, metric);
      const double difference = worst_difference(values, want.at("museval").at(metric));
      CAPTURE(label, metric, difference);
      CHECK(difference <= (std::string(metric) == "SDR" ? kSdrTolerance : kMusevalTolerance));
      if (const core::Value* exact = want.find("exact")) {
        const double off = worst_difference(values, exact->at(metric));
        CAPTURE(off);
        CHECK(off <= kExactTolerance);
      }
    }
  };
  check(of_leak[0], golden_excerpt().at("leak4"), "leak");
  check(of_quarter[0], golden_excerpt().at("mix_over_4"), "mix/4");
  check(of_quarter[1], golden_excerpt().at("mix_voc_acc"), "mix/4, 3 mix/4");
}

}  // namespace mss::tests
