// Differential test: bss_eval (block correlations, Levinson, FFTs, Parseval) against the definition, written out with
// dense matrices and an orthogonal decomposition, on random small problems.
#include <algorithm>
#include <cmath>
#include <limits>

#include <Eigen/Dense>

#include "core/rng.h"
#include "eval/bsseval.h"
#include "eval/sdr.h"
#include "tests/eval/golden_signals.h"
#include "tests/support/catch.h"

namespace mss::tests {

namespace {

using Matrix = Eigen::MatrixXd;

struct Problem {
  int sources = 1, channels = 1, samples = 1, taps = 1;
  double window = 1, hop = 1;
  bool framewise = false, sources_version = false;
  std::vector<Matrix> references, estimates;  ///< samples x channels
};

/// Columns: every channel of `which` delayed by 0 … L-1, over [begin, end) with L-1 zeros after it. Zero channels and
/// copies (up to sign) of earlier channels do not change the span and are left out of `independent`.
Matrix delayed(const Problem& p, const std::vector<int>& which, int begin, int end, std::vector<int>* kept,
               const std::vector<int>* keep) {
  std::vector<Eigen::VectorXd> channels;
  std::vector<int> names;
  for (int j : which)
    for (int c = 0; c < p.channels; ++c) {
      const int name = j * p.channels + c;
      const Eigen::VectorXd x = p.references[static_cast<std::size_t>(j)].col(c).segment(begin, end - begin);
      if (keep != nullptr) {
        if (std::find(keep->begin(), keep->end(), name) == keep->end()) continue;
      } else {
        bool copy = x.isZero(0);
        for (const auto& y : channels) copy = copy || x == y || x == -y;
        if (copy) continue;
      }
      channels.push_back(x);
      names.push_back(name);
    }
  if (kept != nullptr) *kept = names;
  const int length = end - begin + p.taps - 1;
  Matrix m = Matrix::Zero(length, static_cast<int>(channels.size()) * p.taps);
  for (int k = 0; k < static_cast<int>(channels.size()); ++k)
    for (int d = 0; d < p.taps; ++d)
      m.col(k * p.taps + d).segment(d, end - begin) = channels[static_cast<std::size_t>(k)];
  return m;
}

struct Expected {
  double sdr, isr, sir, sar;
  bool regular_own, regular_joint;  ///< the filters are well determined
};

/// The filter of `estimate` on the channels of `which`, from the samples [begin, end).
Matrix filter_of(const Problem& p, const std::vector<int>& which, int e, int begin, int end, std::vector<int>* kept,
                 bool* regular) {
  const Matrix x = delayed(p, which, begin, end, kept, nullptr);
  Matrix y = Matrix::Zero(x.rows(), p.channels);
  y.topRows(end - begin) = p.estimates[static_cast<std::size_t>(e)].middleRows(begin, end - begin);
  if (x.cols() == 0) return Matrix::Zero(0, p.channels);
  const Eigen::BDCSVD<Matrix> svd(x);
  const auto& s = svd.singularValues();
  // cond(G) <= 1e6. Beyond that, normal equations (which BSS Eval prescribes) and the orthogonal decomposition here
  // differ by more than the tolerance, because the former square the condition number.
  *regular = x.rows() >= x.cols() && s(s.size() - 1) > 1e-3 * s(0);
  return x.completeOrthogonalDecomposition().solve(y);
}

Expected expected_of(const Problem& p, int j, int begin, int end) {
  std::vector<int> all(static_cast<std::size_t>(p.sources)), kept_own, kept_all;
  for (int i = 0; i < p.sources; ++i) all[static_cast<std::size_t>(i)] = i;
  const int from = p.framewise ? begin : 0, to = p.framewise ? end : p.samples;
  Expected r{};
  r.regular_own = r.regular_joint = true;
  const Matrix own = filter_of(p, {j}, j, from, to, &kept_own, &r.regular_own);
  const Matrix joint = filter_of(p, all, j, from, to, &kept_all, &r.regular_joint);
  const int length = end - begin + p.taps - 1;
  Matrix s = Matrix::Zero(length, p.channels), e = s;
  s.topRows(end - begin) = p.references[static_cast<std::size_t>(j)].middleRows(begin, end - begin);
  e.topRows(end - begin) = p.estimates[static_cast<std::size_t>(j)].middleRows(begin, end - begin);
  const Matrix pj = delayed(p, {j}, begin, end, nullptr, &kept_own) * own;
  const Matrix pall = delayed(p, all, begin, end, nullptr, &kept_all) * joint;
  const auto ratio = [](double a, double b) { return eval::ratio_db(a, b); };
  if (p.sources_version) {
    r.sdr = ratio(pj.squaredNorm(), (e - pj).squaredNorm());
    r.isr = std::numeric_limits<double>::quiet_NaN();
  } else {
    r.sdr = ratio(s.squaredNorm(), (e - s).squaredNorm());
    r.isr = ratio(s.squaredNorm(), (pj - s).squaredNorm());
  }
  r.sir = p.sources == 1 ? std::numeric_limits<double>::infinity() : ratio(pj.squaredNorm(), (pall - pj).squaredNorm());
  r.sar = ratio(pall.squaredNorm(), (e - pall).squaredNorm());
  return r;
}

Problem random_problem(core::Rng& rng) {
  Problem p;
  p.sources = 1 + static_cast<int>(rng.below(3));
  p.channels = 1 + static_cast<int>(rng.below(2));
  p.taps = rng.below(5) == 0 ? 1 : 1 + static_cast<int>(rng.below(6));
  if (rng.below(60) == 0) {
    // More than eight channels take another path through the recursion.
    p.sources = 5;
    p.channels = 2;
    p.taps = 1 + static_cast<int>(rng.below(3));
  }
  const int unknowns = p.sources * p.channels * p.taps;
  // Mostly more samples than unknowns; sometimes tiny, down to one sample.
  p.samples = rng.below(20) == 0
                  ? 1 + static_cast<int>(rng.below(6))
                  : unknowns + 2 + static_cast<int>(rng.below(static_cast<std::uint32_t>(unknowns + 20)));
  p.framewise = rng.below(4) == 0;
  p.sources_version = rng.below(6) == 0;
  p.window = p.samples;
  p.hop = p.samples;
  if (rng.below(2) == 0) {
    p.window = std::max(1.0, std::floor(p.samples * rng.uniform(0.2, 1.0)));
    p.hop = std::max(1.0, std::floor(p.window * rng.uniform(0.4, 1.3)));
    if (rng.below(4) == 0) p.hop += 0.25;
  }
  const bool grid = rng.below(2) == 0;
  const auto sample = [&](double level) {
    const double v = level * rng.normal();
    return grid ? std::clamp(std::nearbyint(v * 32768), -32768.0, 32767.0) / 32768 : v;
  };
  for (int j = 0; j < p.sources; ++j) {
    Matrix s(p.samples, p.channels);
    const double level = std::pow(10.0, -rng.uniform(0.0, 1.5));
    for (int c = 0; c < p.channels; ++c)
      for (int t = 0; t < p.samples; ++t) s(t, c) = sample(0.2 * level);
    if (p.channels == 2) {
      switch (rng.below(12)) {
        case 0:
          s.col(1).setZero();
          break;
        case 1:
          s.col(1) = s.col(0);
          break;
        case 2:
          s.col(1) = -s.col(0);
          break;
        default:
          break;
      }
    }
    if (rng.below(15) == 0) s.middleRows(0, p.samples / 2).setZero();
    p.references.push_back(std::move(s));
  }
  for (int j = 0; j < p.sources; ++j) {
    const Matrix& s = p.references[static_cast<std::size_t>(j)];
    Matrix e = s;
    switch (rng.below(10)) {
      case 0:
        break;  // identical
      case 1:
        e *= 0.5;
        break;  // a gain
      case 2:
        e = -s;
        break;
      case 3:
        e = p.references[static_cast<std::size_t>((j + 1) % p.sources)];
        break;
      default:
        for (int c = 0; c < p.channels; ++c)
          for (int t = 0; t < p.samples; ++t) {
            const Matrix& other = p.references[static_cast<std::size_t>((j + 1) % p.sources)];
            e(t, c) =
                0.9 * s(t, c) + 0.2 * other(t, c) + (t > 0 ? 0.1 * s(t - 1, p.channels - 1 - c) : 0.0) + sample(0.01);
          }
    }
    if (rng.below(25) == 0) e.setZero();
    p.estimates.push_back(std::move(e));
  }
  return p;
}

std::vector<eval::Signal> views(const std::vector<Matrix>& signals) {
  std::vector<eval::Signal> out;
  for (const Matrix& m : signals) out.emplace_back(m.data(), static_cast<int>(m.cols()), m.rows(), m.rows());
  return out;
}

/// Rounding leaves about 1e-12 of the signal in every projection at these condition numbers; a ratio of v dB magnifies
/// it.
double tolerance_at(double v) { return 1e-6 + 2e-11 * std::pow(10.0, std::abs(v) / 20.0); }

}  // namespace

TEST_CASE("fast path against the definition on random small problems", "[eval]") {
  constexpr int kProblems = 10000;
  int frames = 0, silent = 0, own_compared = 0, joint_compared = 0, disagreements = 0;
  for (std::uint32_t i = 0; i < kProblems; ++i) {
    core::Rng rng(2024, 3, i);
    const Problem p = random_problem(rng);
    eval::BssEvalOptions o;
    o.window_samples = p.window;
    o.hop_samples = p.hop;
    o.filter_taps = p.taps;
    o.framewise_filters = p.framewise;
    o.sources_version = p.sources_version;
    o.strict = false;
    const auto got = eval::bss_eval(views(p.references), views(p.estimates), o);
    for (std::size_t t = 0; t < got.sdr[0].size(); ++t) {
      ++frames;
      int begin = 0, end = p.samples;
      if (p.window < p.samples) {
        begin = static_cast<int>(std::floor(static_cast<double>(t) * p.hop));
        end = static_cast<int>(
            std::floor(std::min(static_cast<double>(t) * p.hop + p.window, static_cast<double>(p.samples))));
      }
      bool quiet = false;
      for (const auto* signals : {&p.references, &p.estimates})
        for (const Matrix& m : *signals) quiet = quiet || m.middleRows(begin, end - begin).rowwise().sum().isZero(0);
      if (quiet) {
        ++silent;
        for (const auto* table : {&got.sdr, &got.isr, &got.sir, &got.sar})
          for (const auto& row : *table) disagreements += !std::isnan(row[t]);
        continue;
      }
      for (int j = 0; j < p.sources; ++j) {
        const Expected want = expected_of(p, j, begin, end);
        const auto jj = static_cast<std::size_t>(j);
        const auto compare = [&](double a, double b, const char* metric) {
          if (db_equal(a, b, tolerance_at(std::isfinite(b) ? b : 0))) return;
          // A zero denominator on one side is rounding noise on the other.
          if (a > 150 && b > 150) return;
          // No correlation at all: the projection itself is rounding noise.
          if (a < -150 && b < -150) return;
          ++disagreements;
          CAPTURE(i, j, t, metric, a, b, p.sources, p.channels, p.taps, p.samples, p.window, p.hop, p.framewise);
          CHECK(a == b);
        };
        if (!p.sources_version || want.regular_own) compare(got.sdr[jj][t], want.sdr, "SDR");
        if (want.regular_own) {
          compare(got.isr[jj][t], want.isr, "ISR");
          ++own_compared;
        }
        if (want.regular_own && want.regular_joint) {
          compare(got.sir[jj][t], want.sir, "SIR");
          compare(got.sar[jj][t], want.sar, "SAR");
          ++joint_compared;
        }
      }
    }
  }
  CAPTURE(frames, silent);
  CHECK(disagreements == 0);
  // The generator must keep making problems that test something.
  CHECK(own_compared > 20000);
  CHECK(joint_compared > 15000);
  CHECK(silent > 500);
}

}  // namespace mss::tests
