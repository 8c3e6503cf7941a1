#include "eval/statistics.h"

#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::tests {

namespace {

using core::Value;
using eval::Table;

const Value& golden_stats() {
  static const Value file = core::read_json_file(golden("stats.json"));
  return file;
}
const Value& scipy() {
  static const Value file = core::read_json_file(golden("scipy_stats.json"));
  return file;
}

/// The table of stats.json ("formula" there).
Table golden_table() {
  Table scores(4, std::vector<double>(50));
  for (int m = 0; m < 4; ++m)
    for (int t = 0; t < 50; ++t)
      scores[static_cast<std::size_t>(m)][static_cast<std::size_t>(t)] =
          6 + 0.25 * m + 2 * std::sin(1.7 * t + 0.3 * m) + 0.5 * std::cos(0.9 * t * (m + 1));
  return scores;
}

std::vector<double> reals(const Value& v) {
  std::vector<double> out;
  for (const Value& x : v.as_array()) out.push_back(x.as_real());
  return out;
}

/// 1e-10 relative: the distributions of two libraries, both good to about 1e-13, after sums of 50 terms.
bool close(double a, double b) { return std::abs(a - b) <= 1e-10 * std::max(1e-6, std::abs(b)) + 1e-300; }

}  // namespace

TEST_CASE("statistics on the golden table", "[eval]") {
  const Table scores = golden_table();
  const Value& want = golden_stats();
  for (std::size_t m = 0; m < 4; ++m) CHECK(close(eval::sample_sd(scores[m]), reals(want.at("std_ddof1"))[m]));
  const auto friedman = eval::friedman(scores);
  CHECK(close(friedman.statistic, want.at("friedman").at("chi2").as_real()));
  CHECK(close(friedman.p, want.at("friedman").at("p").as_real()));
  const auto kruskal = eval::kruskal_wallis(scores);
  CHECK(close(kruskal.statistic, want.at("kruskal").at("H").as_real()));
  CHECK(close(kruskal.p, want.at("kruskal").at("p").as_real()));

  const auto conover = eval::conover_friedman(scores), wilcoxon = eval::wilcoxon_pairs(scores);
  const auto sisec = eval::sisec18_conover_kruskal(scores);
  REQUIRE(conover.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) {
    const std::string key = std::to_string(conover[i].first) + "-" + std::to_string(conover[i].second);
    CAPTURE(key);
    const Value& pair = want.at("pairs").at(key);
    const auto number = [&](const char* name) { return pair.at(name).as_real(); };
    CHECK(close(conover[i].statistic, number("conover_friedman_t")));
    CHECK(close(conover[i].p, number("conover_friedman_p")));
    CHECK(close(conover[i].p_holm, number("conover_friedman_p_holm")));
    CHECK(close(sisec[i].statistic, number("conover_kruskal_t_as_in_SiSEC18")));
    CHECK(close(sisec[i].p, number("conover_kruskal_p")));
    CHECK(close(sisec[i].p_holm, number("conover_kruskal_p_holm")));
    CHECK(wilcoxon[i].statistic == number("wilcoxon_W"));
    CHECK(close(wilcoxon[i].p, number("wilcoxon_p_exact")));
    CHECK(close(wilcoxon[i].p_holm, number("wilcoxon_p_exact_holm")));

    const auto& a = scores[static_cast<std::size_t>(conover[i].first)];
    const auto& b = scores[static_cast<std::size_t>(conover[i].second)];
    const auto compared = eval::compare_paired(a, b);
    CHECK(close(compared.mean, number("mean_diff")));
    CHECK(close(compared.t.t, number("paired_t")));
    CHECK(close(compared.t.p, number("paired_p_two_sided")));
    CHECK(close(compared.wilcoxon.p_normal, number("wilcoxon_p_normal")));
    CHECK(compared.n == 50);
    CHECK(compared.wins + compared.ties + compared.losses == 50);
    CHECK(compared.mean_interval.low < compared.mean);
    CHECK(compared.mean_interval.high > compared.mean);
    const auto mean = [](const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0) / 50; };
    const auto z = eval::thesis_difference_z(mean(a), eval::sample_sd(a), mean(b), eval::sample_sd(b), 50);
    CHECK(close(z.z, number("unpaired_z_thesis_style")));
    CHECK(close(z.p_one_sided, number("unpaired_p_one_sided")));
  }
}

TEST_CASE("the thesis's z-tests", "[eval]") {
  const Value& want = golden_stats().at("seed002_tests_recomputed");
  const double h0 = want.at("h0_db").as_real();
  struct Row {
    const char* name;
    double mean, sd;
  };
  // Means and standard deviations as the thesis prints them.
  const Row rows[] = {{"init/cSDR", 6.67, 2.22},   {"init/uSDR", 6.88, 2.49},   {"init/siSDR", 4.20, 11.47},
                      {"remix/cSDR", 7.00, 2.75},  {"remix/uSDR", 7.13, 2.63},  {"remix/siSDR", 5.84, 4.35},
                      {"aug/cSDR", 7.28, 2.8},     {"aug/uSDR", 7.46, 2.69},    {"aug/siSDR", 6.03, 5.18},
                      {"augval/cSDR", 7.94, 2.96}, {"augval/uSDR", 8.07, 2.68}, {"augval/siSDR", 7.19, 3.39}};
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    for (const int n : {2772, 50}) {
      const Value& golden_row = want.at("rows").at(rows[i].name).at("n" + std::to_string(n));
      CAPTURE(rows[i].name, n);
      const auto one = eval::thesis_z(rows[i].mean, rows[i].sd, n, h0);
      CHECK(close(one.z, golden_row.at("z").as_real()));
      CHECK(close(one.p_one_sided, golden_row.at("p_norm").as_real()));
      const Row& init = rows[i % 3];
      const auto difference = eval::thesis_difference_z(init.mean, init.sd, rows[i].mean, rows[i].sd, n);
      CHECK(close(difference.z, golden_row.at("diff_vs_init").at("t").as_real()));
      CHECK(close(difference.p_one_sided, golden_row.at("diff_vs_init").at("p_norm").as_real()));
    }
  }
}

TEST_CASE("statistics against SciPy", "[eval]") {
  const Value& g = scipy();
  const auto differences = reals(g.at("differences")), sample = reals(g.at("sample"));
  const auto tied = eval::wilcoxon_signed_rank(differences);
  CHECK(tied.ties);
  CHECK(tied.zeros == 2);
  CHECK(std::isnan(tied.p_exact));
  CHECK(tied.w == g.at("wilcoxon_ties_zeros").at("w").as_real());
  CHECK(close(tied.p, g.at("wilcoxon_ties_zeros").at("p").as_real()));
  const auto exact = eval::wilcoxon_signed_rank(sample);
  CHECK(exact.w == g.at("wilcoxon_exact").at("w").as_real());
  CHECK(close(exact.p, g.at("wilcoxon_exact").at("p").as_real()));
  CHECK(close(eval::paired_t(differences).p, g.at("paired_t").at("p").as_real()));

  Table table;
  for (const Value& row : g.at("table").as_array()) table.push_back(reals(row));
  const auto friedman = eval::friedman(table);
  CHECK(close(friedman.statistic, g.at("friedman_ties").at("chi2").as_real()));
  CHECK(close(friedman.p, g.at("friedman_ties").at("p").as_real()));
  const auto ranks = reals(g.at("mean_ranks").at("value"));
  for (std::size_t i = 0; i < ranks.size(); ++i) CHECK(close(friedman.mean_ranks[i], ranks[i]));
  const auto kruskal = eval::kruskal_wallis(table);
  CHECK(close(kruskal.statistic, g.at("kruskal_ties").at("h").as_real()));
  CHECK(close(kruskal.p, g.at("kruskal_ties").at("p").as_real()));
  CHECK(eval::holm(reals(g.at("holm").at("p"))) == reals(g.at("holm").at("adjusted")));

  // 1e-7: SciPy's non-central t is itself good to about 1e-9 and is solved for its shift.
  for (const Value& row : g.at("minimum_detectable").at("rows").as_array()) {
    const auto v = reals(row);
    CHECK(eval::minimum_detectable_difference(static_cast<int>(v[0]), v[1], v[2], v[3]) == Approx(v[4]).epsilon(1e-7));
  }

  // The ends of an interval from 10,000 draws scatter by about sd(ends) = 1.6 % of its length (SciPy's with 200,000
  // draws by a fifth of that); 6 % is nearly four of these.
  const auto check_interval = [](const eval::Interval& got, const std::vector<double>& want) {
    const double length = want[1] - want[0];
    CHECK(std::abs(got.low - want[0]) < 0.06 * length);
    CHECK(std::abs(got.high - want[1]) < 0.06 * length);
  };
  check_interval(eval::bca_interval_of_mean(sample), reals(g.at("bca_mean").at("interval")));
  std::vector<double> skewed;
  for (double s : sample) skewed.push_back(std::exp(2 * s));
  check_interval(eval::bca_interval_of_mean(skewed), reals(g.at("bca_skewed").at("interval")));
  const auto general = eval::bca_interval(skewed, [](const std::vector<double>& v) {
    return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
  });
  const auto fast = eval::bca_interval_of_mean(skewed);
  CHECK(general.low == Approx(fast.low).epsilon(1e-9));
  CHECK(general.high == Approx(fast.high).epsilon(1e-9));
}

TEST_CASE("bootstrap intervals are seeded and cover", "[eval]") {
  const auto sample = reals(scipy().at("sample"));
  eval::BootstrapOptions o;
  o.seed = 7;
  const auto first = eval::bca_interval_of_mean(sample, o), again = eval::bca_interval_of_mean(sample, o);
  CHECK(first.low == again.low);
  CHECK(first.high == again.high);
  o.seed = 8;
  CHECK(eval::bca_interval_of_mean(sample, o).low != first.low);

  // Coverage of the mean of a skewed distribution (exponential), 50 tracks: 95 % nominal, BCa covers about 93 %; with
  // 400 trials the standard error is 1.3 %, and the bounds are four of these off.
  int covered = 0, covered_two_level = 0;
  constexpr int kTrials = 400;
  o.draws = 400;
  for (std::uint32_t trial = 0; trial < kTrials; ++trial) {
    core::Rng rng(99, 1, trial);
    std::vector<double> x(50);
    for (double& v : x) v = -std::log(1.0 - rng.uniform());
    o.seed = trial;
    const auto interval = eval::bca_interval_of_mean(x, o);
    covered += interval.low <= 1.0 && 1.0 <= interval.high;
    // Two systems, four seeds each, a true difference of 0.3, seed effects (sd 0.3) and track effects (sd 1).
    Table a(4, std::vector<double>(30)), b = a;
    std::vector<double> gain(30);
    for (double& v : gain) v = 0.3 + 0.5 * rng.normal();
    for (auto* table : {&a, &b})
      for (auto& seed : *table) {
        const double shift = 0.3 * rng.normal();
        for (std::size_t t = 0; t < 30; ++t) seed[t] = shift + (table == &b ? gain[t] : 0.0) + 0.2 * rng.normal();
      }
    const auto two = eval::two_level_bootstrap(a, b, o);
    covered_two_level += two.interval.low <= 0.3 && 0.3 <= two.interval.high;
  }
  CHECK(covered > 0.88 * kTrials);
  CHECK(covered < 0.985 * kTrials);
  // Four seeds are few: resampling them understates their spread by sqrt(3/4), so coverage stays below nominal; tracks
  // alone would cover about half.
  CHECK(covered_two_level > 0.80 * kTrials);
  CHECK(covered_two_level < 0.985 * kTrials);
}

TEST_CASE("two-level bootstrap with one seed is a bootstrap over tracks", "[eval]") {
  const Table all = golden_table();
  const auto two = eval::two_level_bootstrap({all[0]}, {all[3]});
  CHECK(two.mean == Approx(golden_stats().at("pairs").at("0-3").at("mean_diff").as_real()));
  CHECK(std::isnan(two.seed_sd_a));
  const auto paired = eval::compare_paired(all[0], all[3]);
  CHECK(two.track_sd == Approx(paired.sd));
  const double length = paired.mean_interval.high - paired.mean_interval.low;
  CHECK(std::abs(two.interval.low - paired.mean_interval.low) < 0.08 * length);
  CHECK(std::abs(two.interval.high - paired.mean_interval.high) < 0.08 * length);
}

TEST_CASE("edge cases of the statistics", "[eval]") {
  const std::vector<double> a{1, 2, NAN, 4, 5}, b{2, 3, 4, 5, INFINITY};
  const auto compared = eval::compare_paired(a, b);
  CHECK(compared.n == 3);
  CHECK(compared.missing == 2);
  CHECK(compared.wins == 3);
  CHECK(compared.sd == 0);
  CHECK(compared.mean_interval.low == 1);
  CHECK(compared.mean_interval.high == 1);
  CHECK(compared.minimum_detectable == 0);
  CHECK_THROWS_AS(eval::compare_paired({1}, {2}), Error);
  CHECK_THROWS_AS(eval::compare_paired({1, 2}, {2}), Error);
  CHECK_THROWS_AS(eval::friedman({{1, 2, 3}}), Error);
  CHECK_THROWS_AS(eval::friedman({{1, NAN, 3}, {NAN, 2, 3}}), Error);
  const auto zeros = eval::wilcoxon_signed_rank({0, 0, 0});
  CHECK(zeros.n == 0);
  CHECK(zeros.p == 1);
  const auto small = eval::wilcoxon_signed_rank({1, 2, 3});
  CHECK(small.p_exact == 0.25);
  CHECK(eval::conover_critical_difference(golden_table()) > 0);
}

}  // namespace mss::tests
