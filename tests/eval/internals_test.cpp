// The parts of the fast path one by one: correlations, block-Toeplitz solver, long frames, kept spectra.
#include <cmath>
#include <cstring>

#include <Eigen/Dense>

#include "core/json.h"
#include "core/rng.h"
#include "eval/bsseval.h"
#include "eval/correlate.h"
#include "eval/scorer.h"
#include "eval/toeplitz.h"
#include "tests/eval/golden_signals.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::tests {

namespace {

using eval::Feed;
using eval::Source;

std::vector<Feed> feeds_of(const std::vector<Source>& sources) {
  std::vector<Feed> feeds;
  for (const Source& s : sources)
    for (int c = 0; c < s.channels(); ++c) feeds.push_back({&s, nullptr, c});
  return feeds;
}

std::vector<Source> sources_of(const std::vector<eval::Signal>& signals) {
  std::vector<Source> out;
  for (const auto& s : signals) out.emplace_back(s);
  return out;
}

}  // namespace

TEST_CASE("correlations of 16-bit audio are exact", "[eval]") {
  // Long enough for several groups of blocks; the integer sums are computed with 64-bit integers.
  const IntSignals r = golden_references(3, 2, 70000, 1);
  const PlanarSignals<float> refs(r);
  const auto sources = sources_of(refs.views);
  const int taps = 16;
  for (int threads : {1, 3}) {
    const auto lags = eval::autocorrelations(feeds_of(sources), 0, r.samples, taps, threads, {});
    const auto cross =
        eval::cross_correlations(feeds_of({sources[0]}), feeds_of({sources[1]}), 0, r.samples, taps, threads, {});
    for (int lag = 0; lag < taps; ++lag) {
      std::int64_t own = 0, other = 0;
      for (std::int64_t t = 0; t + lag < r.samples; ++t) {
        own += r.at(0, t, 0) * r.at(0, t + lag, 0);
        other += r.at(0, t, 0) * r.at(1, t + lag, 0);
      }
      const auto k = static_cast<std::size_t>(lag + taps - 1), width = static_cast<std::size_t>(2 * taps - 1);
      CHECK(lags[k] == std::ldexp(static_cast<double>(own), -30));
      CHECK(lags[static_cast<std::size_t>(taps - 1 - lag)] == lags[k]);
      CHECK(lags[width + k] == std::ldexp(static_cast<double>(other), -30));
      CHECK(lags[2 * width + static_cast<std::size_t>(taps - 1 - lag)] == lags[width + k]);
      CHECK(cross[static_cast<std::size_t>(lag)] == lags[width + k]);
    }
  }
}

TEST_CASE("Gram matrix and filters equal the golden intermediates", "[eval]") {
  const core::Value file = core::read_json_file(golden("bsseval.json"));
  const core::Value& want = file.at("cases").at("stereo2_basic").at("intermediate");
  const IntSignals r = golden_references(1, 2, 6000, 2);
  const PlanarSignals<float> refs(r), ests(golden_estimates(1, r));
  const auto x = sources_of(refs.views), y = sources_of({ests.views[0]});
  const int taps = 512;
  const auto lags = eval::autocorrelations(feeds_of(x), 0, 6000, taps, 2, {});
  const auto gram = [&](int a, int b, int p, int q) {
    return lags[(static_cast<std::size_t>(a * 4 + b)) * 1023 + static_cast<std::size_t>(p - q + 511)];
  };
  // 1e-11 relative to the energy (190): the file's values come from FFTs over the whole signal.
  const auto& row = want.at("G_00_00_row0_first4").as_array();
  for (int q = 0; q < 4; ++q) CHECK(std::abs(gram(0, 0, 0, q) - row[static_cast<std::size_t>(q)].as_real()) < 2e-9);
  // [j,i,c2,c1] = [1,0,1,0]: channel 1 of source 1 against channel 0 of source 0.
  const auto& cross = want.at("G_10_10_at_(0,0),(0,1),(1,0),(5,2)").as_array();
  const int places[4][2] = {{0, 0}, {0, 1}, {1, 0}, {5, 2}};
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(std::abs(gram(3, 0, places[i][0], places[i][1]) - cross[i].as_real()) < 2e-9);
  }

  const auto right = eval::cross_correlations(feeds_of(x), feeds_of(y), 0, 6000, taps, 2, {});
  const eval::ToeplitzSystem system(4, taps, lags, std::ldexp(1.0, -52));
  const auto c = system.solve(right, 2);
  // [src, chan_in, tap, chan_out]; the filters are known to the condition number times 1e-16.
  const auto filter = [&](int source, int in, int tap, int out) {
    return c[static_cast<std::size_t>((out * 4 + source * 2 + in) * taps + tap)];
  };
  const auto& c00 = want.at("C_est0[0,0,:4,0]").as_array();
  const auto& c11 = want.at("C_est0[1,1,:4,0]").as_array();
  for (int p = 0; p < 4; ++p) {
    CHECK(std::abs(filter(0, 0, p, 0) - c00[static_cast<std::size_t>(p)].as_real()) < 1e-9);
    CHECK(std::abs(filter(1, 1, p, 0) - c11[static_cast<std::size_t>(p)].as_real()) < 1e-9);
  }
}

TEST_CASE("block-Toeplitz systems against a dense solve", "[eval]") {
  for (const int channels : {1, 2, 7, 8, 9, 17}) {
    for (const int taps : {1, 2, 9}) {
      CAPTURE(channels, taps);
      core::Rng rng(5, static_cast<std::uint32_t>(channels), static_cast<std::uint32_t>(taps));
      const int samples = 40 * channels + 50;
      std::vector<std::vector<double>> data;
      std::vector<Source> sources;
      for (int c = 0; c < channels; ++c) {
        data.emplace_back(static_cast<std::size_t>(samples));
        for (double& v : data.back()) v = std::pow(10.0, -(c % 5)) * rng.normal();
      }
      for (const auto& d : data) sources.emplace_back(eval::Signal(d.data(), 1, samples, samples));
      const auto lags = eval::autocorrelations(feeds_of(sources), 0, samples, taps, 1, {});
      const eval::ToeplitzSystem system(channels, taps, lags, 0);
      CHECK(system.ridge() <= 1e-11);
      const int n = channels * taps;
      Eigen::MatrixXd t(n, n);
      for (int a = 0; a < channels; ++a)
        for (int b = 0; b < channels; ++b)
          for (int p = 0; p < taps; ++p)
            for (int q = 0; q < taps; ++q)
              t(a * taps + p, b * taps + q) =
                  lags[static_cast<std::size_t>((a * channels + b) * (2 * taps - 1) + p - q + taps - 1)];
      std::vector<double> right(static_cast<std::size_t>(3 * n));
      for (double& v : right) v = rng.normal();
      const auto got = system.solve(right, 3);
      const Eigen::MatrixXd want = t.ldlt().solve(Eigen::Map<const Eigen::MatrixXd>(right.data(), n, 3));
      const Eigen::Map<const Eigen::MatrixXd> x(got.data(), n, 3);
      CHECK((x - want).cwiseAbs().maxCoeff() <= 1e-8 * want.cwiseAbs().maxCoeff());
      CHECK((t * x - Eigen::Map<const Eigen::MatrixXd>(right.data(), n, 3)).norm() <= 1e-9 * (t.norm() * x.norm()));
    }
  }
}

TEST_CASE("a singular system is projected alike", "[eval]") {
  // Two equal channels: T x = b with b in the range of T has many solutions, all with the same image.
  core::Rng rng(6, 1);
  const int samples = 400, taps = 8;
  std::vector<double> one(samples);
  for (double& v : one) v = rng.normal();
  const std::vector<Source> sources{Source(eval::Signal(one.data(), 1, samples, samples)),
                                    Source(eval::Signal(one.data(), 1, samples, samples))};
  const auto lags = eval::autocorrelations(feeds_of(sources), 0, samples, taps, 1, {});
  const eval::ToeplitzSystem system(2, taps, lags, 0);
  const auto right = eval::cross_correlations(feeds_of(sources), feeds_of({sources[0]}), 0, samples, taps, 1, {});
  const auto x = system.solve(right, 1);
  // The filters of the two copies add up to the identity.
  for (int p = 0; p < taps; ++p) {
    const double sum = x[static_cast<std::size_t>(p)] + x[static_cast<std::size_t>(taps + p)];
    CHECK(std::abs(sum - (p == 0 ? 1.0 : 0.0)) < 1e-8);
  }
}

TEST_CASE("frames longer than the transform limit", "[eval]") {
  // One source: |P e|^2 / |e - P e|^2 follows from the correlations alone, coherence / (1 - coherence).
  const std::int64_t samples = 300000;
  const int taps = 32;
  core::Rng rng(7, 1);
  std::vector<float> s(static_cast<std::size_t>(samples)), e(s.size());
  for (float& v : s) v = static_cast<float>(0.1 * rng.normal());
  for (std::size_t t = 0; t < e.size(); ++t)
    e[t] = 0.7f * s[t] + (t > 4 ? 0.3f * s[t - 5] : 0.0f) + static_cast<float>(0.02 * rng.normal());
  const eval::Signal reference(s.data(), 1, samples, samples), estimate(e.data(), 1, samples, samples);
  const std::vector<Source> x{Source(reference)}, y{Source(estimate)};
  const auto lags = eval::autocorrelations(feeds_of(x), 0, samples, taps, 1, {});
  const auto right = eval::cross_correlations(feeds_of(x), feeds_of(y), 0, samples, taps, 1, {});
  const auto c = eval::ToeplitzSystem(1, taps, lags, 0).solve(right, 1);
  double projected = 0, energy = 0;
  for (int p = 0; p < taps; ++p) projected += c[static_cast<std::size_t>(p)] * right[static_cast<std::size_t>(p)];
  for (float v : e) energy += static_cast<double>(v) * static_cast<double>(v);
  const double want = 10 * std::log10(projected / (energy - projected));
  for (int threads : {1, 2}) {
    const auto got = eval::sources_sdr(reference, estimate, taps, threads);
    CHECK(std::abs(got[0] - want) < 1e-9);
  }
}

TEST_CASE("kept spectra do not change a bit", "[eval]") {
  const IntSignals r = golden_references(5, 3, 90000, 2);
  const PlanarSignals<float> refs(r), ests(golden_estimates(5, r));
  const std::vector<std::string> names{"vocals", "drums", "bass"};
  std::vector<double> first;
  for (const std::int64_t bytes : {std::int64_t{0}, std::int64_t{3} << 20, std::int64_t{1} << 30}) {
    eval::ScorerOptions o;
    o.cache_bytes = bytes;
    const eval::ReferenceSet set(names, refs.views, {}, 8000, o);
    for (int repeat = 0; repeat < 2; ++repeat) {
      std::vector<double> values;
      for (const auto& s : set.score(names, ests.views))
        for (const auto& t : s.targets)
          for (const auto& f : t.frames) values.insert(values.end(), f.values.begin(), f.values.end());
      if (first.empty()) first = values;
      REQUIRE(values.size() == first.size());
      CHECK(std::memcmp(values.data(), first.data(), values.size() * sizeof(double)) == 0);
    }
  }
}

}  // namespace mss::tests
