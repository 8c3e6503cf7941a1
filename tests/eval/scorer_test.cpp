#include "eval/scorer.h"

#include <cmath>
#include <cstring>
#include <set>

#include "core/error.h"
#include "core/json.h"
#include "eval/sdr.h"
#include "tests/eval/golden_signals.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::tests {

namespace {

using eval::Metrics;
using eval::ReferenceSet;
using eval::ScorerOptions;
using eval::Scores;

const core::Value& golden_file() {
  static const core::Value file = core::read_json_file(golden("bsseval.json"));
  return file;
}

/// Frames of 2000 samples at a rate of 2000 Hz.
ScorerOptions frame_options(Metrics metrics = Metrics::sdr_only) {
  ScorerOptions o;
  o.metrics = metrics;
  return o;
}

double track_value(const eval::TargetScores& t, const std::string& metric) {
  for (const auto& v : t.track)
    if (v.metric == metric) return v.value;
  throw std::runtime_error("no metric " + metric);
}

const std::vector<double>& series(const eval::TargetScores& t, const std::string& metric) {
  for (const auto& v : t.frames)
    if (v.metric == metric) return v.values;
  throw std::runtime_error("no series " + metric);
}

}  // namespace

TEST_CASE("frame SDR needs no filters and equals museval", "[eval]") {
  // 1e-12 dB: museval itself is within 3.6e-15 dB of extended precision (max_abs_diff_museval_exact_dB in the file).
  for (const char* name : {"stereo2_basic", "stereo2_tail", "stereo3_mid", "mono2", "tiny_level"}) {
    const core::Value& c = golden_file().at("cases").at(name);
    const int k = static_cast<int>(c.at("k").as_integer()), n = static_cast<int>(c.at("nsrc").as_integer());
    IntSignals r = golden_references(k, n, c.at("nsamples").as_integer(), static_cast<int>(c.at("nchan").as_integer()));
    IntSignals e = golden_estimates(k, r);
    if (std::string(name) == "tiny_level") {
      for (auto& v : r.data) v >>= 12;
      for (auto& v : e.data) v >>= 12;
    }
    REQUIRE(matches_check(r, c.at("ref_check")));
    REQUIRE(matches_check(e, c.at("est_check")));
    const PlanarSignals<float> refs(r), ests(e);
    std::vector<std::string> names;
    for (int j = 0; j < n; ++j) names.push_back("s" + std::to_string(j));
    const ReferenceSet set(names, refs.views, {}, static_cast<int>(c.at("window").as_integer()), frame_options());
    const Scores s = set.score(names, ests.views).at(0);
    const auto& expected = c.at("museval").at("SDR").as_array();
    for (int j = 0; j < n; ++j) {
      const auto& got = series(s.targets[static_cast<std::size_t>(j)], "SDR");
      const auto& want = expected[static_cast<std::size_t>(j)].as_array();
      REQUIRE(got.size() == want.size());
      for (std::size_t t = 0; t < want.size(); ++t) CHECK(db_equal(got[t], golden_number(want[t]), 1e-12));
    }
  }
}

TEST_CASE("silence rules drop frames and say why", "[eval]") {
  IntSignals r = golden_references(9, 2, 6000, 2);
  const IntSignals e = golden_estimates(9, r);
  const PlanarSignals<float> ests(e);
  const std::vector<std::string> names{"a", "b"};
  SECTION("silent reference") {
    for (std::int64_t t = 2000; t < 4000; ++t) r.at(0, t, 0) = r.at(0, t, 1) = 0;
    const PlanarSignals<float> refs(r);
    const Scores museval = ReferenceSet(names, refs.views, {}, 2000, frame_options()).score(names, ests.views).at(0);
    for (const auto& t : museval.targets) {
      CHECK(std::isnan(series(t, "SDR")[1]));
      CHECK(t.dropped.total == 1);
      CHECK(t.dropped.silent_reference == 1);
      CHECK(t.dropped.silent_estimate == 0);
      CHECK(t.dropped.anti_phase == 0);
    }
    ScorerOptions own = frame_options();
    own.silence = eval::SilenceRule::per_source;
    const Scores mine = ReferenceSet(names, refs.views, {}, 2000, own).score(names, ests.views).at(0);
    CHECK(std::isnan(series(mine.targets[0], "SDR")[1]));
    CHECK(std::isfinite(series(mine.targets[1], "SDR")[1]));
    CHECK(mine.targets[1].dropped.total == 0);
    CHECK(series(mine.targets[1], "SDR")[0] == series(museval.targets[1], "SDR")[0]);
  }
  SECTION("anti-phase is silent to museval only") {
    for (std::int64_t t = 2000; t < 4000; ++t) r.at(0, t, 1) = -r.at(0, t, 0);
    const PlanarSignals<float> refs(r);
    const Scores museval = ReferenceSet(names, refs.views, {}, 2000, frame_options()).score(names, ests.views).at(0);
    CHECK(museval.targets[1].dropped.anti_phase == 1);
    CHECK(std::isnan(series(museval.targets[1], "SDR")[1]));
    ScorerOptions own = frame_options();
    own.silence = eval::SilenceRule::per_source;
    const Scores mine = ReferenceSet(names, refs.views, {}, 2000, own).score(names, ests.views).at(0);
    CHECK(mine.targets[0].dropped.total == 0);
    CHECK(std::isfinite(series(mine.targets[0], "SDR")[1]));
  }
  SECTION("silent estimate in one frame") {
    IntSignals q = e;
    for (std::int64_t t = 2000; t < 4000; ++t) q.at(1, t, 0) = q.at(1, t, 1) = 0;
    const PlanarSignals<float> refs(r), holes(q);
    const Scores museval = ReferenceSet(names, refs.views, {}, 2000, frame_options()).score(names, holes.views).at(0);
    CHECK(museval.targets[0].dropped.silent_estimate == 1);
    CHECK(std::isnan(series(museval.targets[0], "SDR")[1]));
    ScorerOptions own = frame_options();
    own.silence = eval::SilenceRule::per_source;
    const Scores mine = ReferenceSet(names, refs.views, {}, 2000, own).score(names, holes.views).at(0);
    CHECK(series(mine.targets[1], "SDR")[1] == Approx(0.0).margin(1e-12));
    CHECK(mine.targets[1].dropped.total == 0);
  }
}

TEST_CASE("sources that are silent over the whole track", "[eval]") {
  IntSignals r = golden_references(9, 3, 6000, 2);
  IntSignals e = golden_estimates(9, r);
  const std::vector<std::string> names{"a", "b", "c"};
  for (std::int64_t t = 0; t < 6000; ++t)
    for (int c = 0; c < 2; ++c) r.at(0, t, c) = 0, e.at(1, t, c) = 0;
  const PlanarSignals<float> refs(r), ests(e);
  const Scores s = ReferenceSet(names, refs.views, {}, 2000, frame_options()).score(names, ests.views).at(0);
  CHECK(s.targets[0].silent_reference);
  CHECK(s.targets[0].frames.empty());
  CHECK(s.targets[0].track.empty());
  CHECK(s.targets[0].dropped.total == 3);
  CHECK(s.targets[1].silent_estimate);
  CHECK(series(s.targets[1], "SDR") == std::vector<double>{0, 0, 0});
  CHECK(track_value(s.targets[1], "cSDR") == 0);
  CHECK(track_value(s.targets[1], "uSDR") == 0);
  CHECK(std::isnan(track_value(s.targets[1], "SI-SDR")));
  CHECK(std::isfinite(series(s.targets[2], "SDR")[0]));
  CHECK(s.targets[2].dropped.total == 0);

  ScorerOptions strict = frame_options();
  strict.strict = true;
  CHECK_THROWS_AS(ReferenceSet(names, refs.views, {}, 2000, strict), Error);
}

TEST_CASE("two scenarios with an accompaniment built from the stems", "[eval]") {
  const IntSignals r = golden_references(5, 3, 5000, 2);
  const IntSignals e = golden_estimates(5, r);
  const PlanarSignals<float> refs(r), ests(e);
  const std::vector<std::string> names{"vocals", "drums", "bass"};
  ScorerOptions o = frame_options();
  o.window_s = o.hop_s = 0.5;
  const ReferenceSet set(names, refs.views, {}, 2500, o);
  const auto both = set.score(names, ests.views);
  REQUIRE(both.size() == 2);
  CHECK(both[1].scenario == "vocals/accompaniment");
  REQUIRE(both[1].targets.size() == 2);
  CHECK(both[1].targets[1].target == "accompaniment");
  const auto& expected = golden_file().at("scenario_nan_pattern").at("two_source").at("SDR").as_array()[0].as_array();
  for (std::size_t t = 0; t < 2; ++t)
    CHECK(db_equal(series(both[1].targets[0], "SDR")[t], golden_number(expected[t]), 1e-12));

  // An estimate of the accompaniment stands in for the sum.
  std::vector<std::string> more = names;
  more.push_back("accompaniment");
  std::vector<eval::Signal> signals = ests.views;
  signals.push_back(ests.views[1]);
  const auto given = set.score(more, signals);
  CHECK(series(given[1].targets[1], "SDR")[0] < series(both[1].targets[1], "SDR")[0]);
  CHECK(series(given[0].targets[1], "SDR") == series(both[0].targets[1], "SDR"));

  o.accompaniment = false;
  CHECK(ReferenceSet(names, refs.views, {}, 2500, o).score(names, ests.views).size() == 1);
}

TEST_CASE("scores are the same bits for any number of threads", "[eval]") {
  const IntSignals r = golden_references(5, 3, 50000, 2);
  const IntSignals e = golden_estimates(5, r);
  const PlanarSignals<float> refs(r), ests(e);
  const std::vector<std::string> names{"vocals", "drums", "bass"};
  for (const Metrics metrics : {Metrics::sdr_only, Metrics::all}) {
    std::vector<double> first;
    for (int threads : {1, 2, 3, 8}) {
      ScorerOptions o = frame_options(metrics);
      o.threads = threads;
      std::vector<double> values;
      for (const Scores& s : ReferenceSet(names, refs.views, refs.views[0], 2000, o).score(names, ests.views)) {
        for (const auto& t : s.targets) {
          for (const auto& f : t.frames) values.insert(values.end(), f.values.begin(), f.values.end());
          for (const auto& v : t.track) values.push_back(v.value);
        }
      }
      if (first.empty()) first = values;
      REQUIRE(values.size() == first.size());
      CHECK(std::memcmp(values.data(), first.data(), values.size() * sizeof(double)) == 0);
    }
  }
}

TEST_CASE("every value that the scorer gives is a metric of the list, and every metric of the list is given",
          "[eval]") {
  const IntSignals r = golden_references(5, 3, 50000, 2);
  const PlanarSignals<float> refs(r), ests(golden_estimates(5, r));
  const std::vector<std::string> names{"vocals", "drums", "bass"};
  ScorerOptions o = frame_options(Metrics::all);
  o.stable = o.sources_sdr = true;
  std::set<std::string> given, listed;
  for (const Scores& s : ReferenceSet(names, refs.views, refs.views[0], 2000, o).score(names, ests.views)) {
    for (const auto& v : s.joint) given.insert(v.metric);
    for (const auto& t : s.targets) {
      for (const auto& f : t.frames) {
        given.insert(f.metric);
        CHECK(eval::metric(f.metric).framewise);
      }
      for (const auto& v : t.track) given.insert(v.metric);
    }
  }
  for (const eval::MetricInfo& m : eval::metrics()) listed.insert(m.id);
  listed.erase("GNSDR");  // of several clips
  CHECK(given == listed);
}

TEST_CASE("improvements are differences to the mixture", "[eval]") {
  const IntSignals r = golden_references(5, 2, 6000, 2);
  const IntSignals e = golden_estimates(5, r);
  IntSignals m = make_signals(1, 6000, 2);
  for (std::size_t i = 0; i < m.data.size(); ++i) m.data[i] = r.data[i] + r.data[m.data.size() + i];
  const PlanarSignals<float> refs(r), ests(e), mix(m);
  const std::vector<std::string> names{"a", "b"};
  const ReferenceSet set(names, refs.views, mix.views[0], 2000, frame_options());
  const Scores s = set.score(names, ests.views).at(0);
  const Scores floor = set.score(names, {mix.views[0], mix.views[0]}).at(0);
  for (std::size_t j = 0; j < 2; ++j) {
    CHECK(track_value(s.targets[j], "SI-SDRi") ==
          Approx(track_value(s.targets[j], "SI-SDR") - track_value(floor.targets[j], "SI-SDR")).epsilon(1e-12));
    CHECK(track_value(s.targets[j], "cSDRi") ==
          Approx(track_value(s.targets[j], "cSDR") - track_value(floor.targets[j], "cSDR")).epsilon(1e-12));
    for (const char* id : {"cSDRi", "uSDRi", "SDR-track-i", "SI-SDRi", "SI-SDR-channel-i", "SD-SDRi"})
      CHECK(track_value(floor.targets[j], id) == 0.0);
  }
}

TEST_CASE("bad input to the scorer is named", "[eval]") {
  const IntSignals r = golden_references(5, 2, 4000, 2);
  const PlanarSignals<float> refs(r);
  const std::vector<std::string> names{"a", "b"};
  const ReferenceSet set(names, refs.views, {}, 2000, frame_options());
  CHECK_THROWS_WITH(set.score({"a", "c"}, refs.views), Catch::Matchers::Contains("b"));
  CHECK_THROWS_AS(set.score({"a", "a"}, refs.views), Error);
  CHECK_THROWS_AS(ReferenceSet({}, {}, {}, 2000, frame_options()), Error);
  CHECK_THROWS_AS(ReferenceSet({"a", "a"}, refs.views, {}, 2000, frame_options()), Error);
  std::vector<float> bad(8000, 0.5f);
  bad[4321] = std::nanf("");
  const eval::Signal signal(bad.data(), 2, 4000, 4000);
  CHECK_THROWS_WITH(set.score(names, {refs.views[0], signal}), Catch::Matchers::Contains("sample 321"));
  const eval::Signal shorter(bad.data(), 2, 2000, 4000);
  CHECK_THROWS_WITH(set.score(names, {refs.views[0], shorter}), Catch::Matchers::Contains("2000"));
}

TEST_CASE("SDR family against the golden scalars", "[eval]") {
  const core::Value& scalars = golden_file().at("scalar_metrics_on_stereo2_basic");
  const IntSignals r = golden_references(1, 2, 6000, 2);
  const IntSignals e = golden_estimates(1, r);
  const PlanarSignals<double> refs(r), ests(e);
  // 1e-11 dB: double sums of 12,000 terms in another order.
  constexpr double kTolerance = 1e-11;
  const std::pair<const char*, const char*> ids[] = {{"uSDR", "uSDR_delta1e-7"},
                                                     {"uSDR-msst", "SDR_eps1e-8_msst"},
                                                     {"SDR-track", "SNR_no_eps"},
                                                     {"SI-SDR", "SI-SDR_joint_channels_scale_reference"},
                                                     {"SDR-best-gain", "SDR_best_scale_on_estimate"},
                                                     {"SD-SDR", "SD-SDR_joint"},
                                                     {"SI-SDR-torchmetrics", "SI-SDR_per_channel_mean"},
                                                     {"SI-SNR", "SI-SDR_joint_zero_mean_per_channel"}};
  for (std::size_t j = 0; j < 2; ++j) {
    const core::Value& want = scalars.at("source" + std::to_string(j));
    const auto family = eval::sdr_family(eval::track_sums(refs.views[j], ests.views[j]));
    for (const auto& [id, golden_id] : ids) {
      INFO(id << " source " << j);
      double got = NAN;
      for (const auto& v : family)
        if (v.metric == id) got = v.value;
      CHECK(std::abs(got - want.at(golden_id).as_real()) <= kTolerance);
    }
    for (const auto& v : family) CHECK_NOTHROW(eval::metric(v.metric));
  }
  // The documented doctest of torchmetrics.
  const std::vector<double> target{3, -0.5, 2, 7}, estimate{2.5, 0, 2, 8};
  const auto doc =
      eval::sdr_family(eval::track_sums(eval::Signal(target.data(), 1, 4, 4), eval::Signal(estimate.data(), 1, 4, 4)));
  for (const auto& v : doc) {
    if (v.metric == "SNR-torchmetrics") CHECK(v.value == Approx(16.1805).margin(5e-5));
    if (v.metric == "SI-SDR-torchmetrics") CHECK(v.value == Approx(18.4030).margin(5e-5));
    if (v.metric == "SI-SNR-torchmetrics") CHECK(v.value == Approx(15.0918).margin(5e-5));
  }
}

TEST_CASE("edge values of the SDR family", "[eval]") {
  const core::Value& scalars = golden_file().at("scalar_metrics_on_stereo2_basic");
  const IntSignals r = golden_references(1, 2, 6000, 2);
  const PlanarSignals<double> refs(r), ests(golden_estimates(1, r));
  const std::vector<double> zeros(12000, 0.0);
  const eval::Signal silent(zeros.data(), 2, 6000, 6000);
  const auto get = [](const std::vector<eval::TrackValue>& f, const char* id) {
    for (const auto& v : f)
      if (v.metric == id) return v.value;
    return static_cast<double>(NAN);
  };
  CHECK(get(eval::sdr_family(eval::track_sums(silent, ests.views[0])), "uSDR") ==
        Approx(scalars.at("silent_reference_uSDR").at("value").as_real()).epsilon(1e-13));
  const auto same = eval::sdr_family(eval::track_sums(refs.views[0], refs.views[0]));
  CHECK(get(same, "uSDR") == Approx(scalars.at("identical_uSDR").at("value").as_real()).epsilon(1e-13));
  CHECK(std::isinf(get(same, "SI-SDR")));
  CHECK(std::isinf(get(same, "SDR-track")));
  CHECK(get(eval::sdr_family(eval::track_sums(silent, silent)), "uSDR") == 0.0);
}

TEST_CASE("median and mean over frames ignore NaN and infinities", "[eval]") {
  const double inf = INFINITY, nan = NAN;
  // Infinite values are values, ordered last: numpy.nanmedian and numpy.nanmean give the same.
  CHECK(eval::nan_median({3, nan, 1, inf, 2}) == 2.5);
  CHECK(eval::nan_median({4, 1, -inf, 2, 3}) == 2);
  CHECK(eval::nan_median({nan, inf}) == inf);
  CHECK(eval::nan_median({12, inf, inf, inf}) == inf);
  CHECK(eval::nan_median({1, inf}) == inf);
  CHECK(std::isnan(eval::nan_median({-inf, inf})));
  CHECK(eval::nan_mean({1, nan, 2}) == 1.5);
  CHECK(eval::nan_mean({1, nan, 2, inf}) == inf);
  CHECK(std::isnan(eval::nan_mean({})));
  CHECK_THROWS_AS(eval::metric("SI-SDRR"), Error);
  CHECK(eval::weighted_mean({1, NAN, 4}, {1, 5, 2}) == 3.0);
}

}  // namespace mss::tests
