// Which problems estimates are scored in, and which sums are made.
#include "harness/scoring.h"

#include "tests/harness/support.h"

namespace mss::harness {
namespace {

using Names = std::vector<std::string>;

datasets::TrackAudio track(const Names& names, std::int64_t samples = 2 * tests::kRate) {
  datasets::TrackAudio out;
  out.names = names;
  out.mixture = audio::AudioBuffer(1, samples, tests::kRate);
  for (std::size_t i = 0; i < names.size(); ++i) {
    out.stems.push_back(tests::noise(samples, 31 + i));
    audio::add_to(out.mixture.span(), out.stems.back());
  }
  return out;
}

audio::AudioBuffer half(audio::AudioView audio) {
  audio::AudioBuffer out(audio);
  for (float& x : out.channel(0)) x *= 0.5F;
  return out;
}

struct Scored {
  std::map<std::string, std::map<std::string, double>> usdr;  ///< scenario, target
  Names unscored;
};

/// Half of every reference as its estimate (of "accompaniment" and others half the mixture, unless it is a stem).
Scored score(const datasets::TrackAudio& audio, const Names& names, const PartialProblems& partial = {}) {
  std::vector<audio::AudioBuffer> estimates;
  for (const std::string& name : names) {
    const auto at = std::find(audio.names.begin(), audio.names.end(), name) - audio.names.begin();
    estimates.push_back(half(at == static_cast<std::ptrdiff_t>(audio.names.size())
                                 ? audio.mixture.view()
                                 : audio.stems[static_cast<std::size_t>(at)].view()));
  }
  eval::ScorerOptions options;
  options.metrics = eval::Metrics::sdr_only;
  TrackScorer scorer(audio, options);
  Scored out;
  for (const eval::Scores& problem : scorer.score(names, {estimates.begin(), estimates.end()}, partial, out.unscored)) {
    for (const eval::TargetScores& target : problem.targets) {
      for (const auto& [metric, value] : target.track) {
        if (metric == "uSDR") out.usdr[problem.scenario][target.target] = value;
      }
    }
  }
  return out;
}

Names keys(const auto& map) {
  Names out;
  for (const auto& [key, value] : map) out.push_back(key);
  return out;
}

}  // namespace

TEST_CASE("four stems give both scenarios, some of them a problem of their own", "[harness]") {
  const auto four = track({"drums", "bass", "other", "vocals"});
  CHECK(keys(score(four, {"vocals", "bass", "drums", "other"}).usdr) == Names{"stems", "vocals/accompaniment"});
  CHECK(keys(score(four, {"vocals", "accompaniment"}).usdr) == Names{"vocals/accompaniment"});
  const Scored two = score(four, {"vocals", "drums", "residual"});
  CHECK(keys(two.usdr) == Names{"stems:drums+vocals"});
  CHECK(two.unscored == Names{"residual"});
  CHECK_THROWS_AS(score(four, {"harmonic"}), Error);
}

TEST_CASE("rows that cover a problem which others need are scored in it", "[harness]") {
  const Names stems = {"drums", "bass", "other", "vocals"};
  PartialProblems partial;
  partial.add(stems, {"drums", "harmonic"});
  partial.add(stems, {"vocals", "accompaniment"});
  partial.add(stems, stems);
  CHECK(partial.stems == std::vector<Names>{{"drums"}});
  CHECK(partial.pair);
  const auto four = track(stems);
  const Scored whole = score(four, stems, partial);
  CHECK(keys(whole.usdr) == Names{"stems", "stems:drums", "vocals/accompaniment"});
  // Half a signal leaves half of it: 20 log10(2) = 6.0206 dB in every problem.
  for (const auto& [scenario, targets] : whole.usdr) {
    for (const auto& [target, value] : targets) CHECK(value == Approx(6.0206).margin(1e-4));
  }
  CHECK(keys(score(four, {"drums", "harmonic"}, partial).usdr) == Names{"stems:drums"});
  CHECK(partial.scenarios(stems, stems) == Names{"stems:drums", "vocals/accompaniment"});
  CHECK(partial.scenarios(stems, {"drums", "harmonic"}) == Names{"stems:drums"});
}

TEST_CASE("sets of two stems: rows of stems and rows of vocals and accompaniment meet", "[harness]") {
  const Names pair = {"accompaniment", "vocals"};
  const auto two = track(pair);
  const Scored own = score(two, {"vocals", "accompaniment"});
  CHECK(keys(own.usdr) == Names{"stems"});
  CHECK(keys(own.usdr.at("stems")) == pair);
  // drums, bass and other are the accompaniment: three halves of the mixture here.
  const Scored four = score(two, {"drums", "bass", "other", "vocals"});
  CHECK(keys(four.usdr) == Names{"stems"});
  CHECK(keys(four.usdr.at("stems")) == pair);
  CHECK(four.unscored.empty());
  CHECK(four.usdr.at("stems").at("vocals") == Approx(6.0206).margin(1e-4));

  // The voice and something else than an accompaniment by name.
  const Names odd = {"piano", "vocals"};
  PartialProblems partial;
  partial.add(odd, {"vocals", "accompaniment"});
  CHECK(partial.pair);
  const auto piano = track(odd);
  CHECK(keys(score(piano, {"vocals", "accompaniment"}, partial).usdr) == Names{"vocals/accompaniment"});
  const Scored stems = score(piano, odd, partial);
  CHECK(keys(stems.usdr) == Names{"stems", "vocals/accompaniment"});
  CHECK(stems.usdr.at("vocals/accompaniment").at("accompaniment") == Approx(6.0206).margin(1e-4));
}

}  // namespace mss::harness
