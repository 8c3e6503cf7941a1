// Losses against their formulas.
#include <cmath>

#include "core/error.h"
#include "nn/torch/losses_torch.h"
#include "tests/nn/torch/support_torch.h"

namespace mss::nn {

using tests::keyed;

TEST_CASE("mean losses average over all elements", "[nn_torch]") {
  const at::Tensor e = torch::tensor({{1.0, 2.0}, {3.0, 6.0}}), t = torch::tensor({{0.0, 2.0}, {5.0, 3.0}});
  CHECK(mean_absolute_error(e, t).item<double>() == Approx(1.5));
  CHECK(mean_squared_error(e, t).item<double>() == Approx(3.5));
  CHECK_THROWS_AS(mean_absolute_error(e, t[0]), Error);
}

TEST_CASE("SI-SDR ignores scale and measures what is orthogonal", "[nn_torch]") {
  const at::Tensor t = keyed("t", {2, 1000}, -1, 1, at::kDouble);
  // Noise without any component along the target, 20 dB below it.
  at::Tensor n = keyed("n", {2, 1000}, -1, 1, at::kDouble);
  n = n - (n * t).sum(-1, true) / t.square().sum(-1, true) * t;
  n = n * (0.1 * t.norm(2, -1, true) / n.norm(2, -1, true));
  const at::Tensor found = si_sdr_db(t + n, t);
  REQUIRE(found.sizes() == at::IntArrayRef({2}));
  CHECK(found[0].item<double>() == Approx(20.0).epsilon(1e-6));
  CHECK(si_sdr_db(-7.0 * (t + n), t)[1].item<double>() == Approx(20.0).epsilon(1e-6));
  CHECK(std::isfinite(si_sdr_db(torch::zeros({5}), torch::zeros({5})).item<double>()));
}

TEST_CASE("combinations of sources are all non-empty proper subsets, in order", "[nn_torch]") {
  const std::vector<std::vector<std::int64_t>> expected{
      {0}, {1}, {2}, {3}, {0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}, {0, 1, 2}, {0, 1, 3}, {0, 2, 3}, {1, 2, 3}};
  CHECK(source_combinations(4) == expected);
  CHECK(source_combinations(2) == std::vector<std::vector<std::int64_t>>{{0}, {1}});
  CHECK(source_combinations(1).empty());
}

TEST_CASE("combination losses: two sources by hand, perfect and worst estimates", "[nn_torch]") {
  const at::Tensor t = keyed("t", {2, 3, 40}, -1, 1, at::kDouble), e = keyed("e", {2, 3, 40}, -1, 1, at::kDouble);
  const double by_hand = 0.5 * ((e[0] - t[0]).square().mean() + (e[1] - t[1]).square().mean()).item<double>();
  CHECK(combination_mse(e, t).item<double>() == Approx(by_hand));

  const at::Tensor x = t.sum(0);
  CHECK(combination_wsdr(t, t, x).item<double>() == Approx(0.0).margin(1e-6));
  // The estimate of each source is minus itself: |e| = |t| and <e,t> = -|t|^2, so the first term is a; the second one
  // is computed here.
  double sum = 0;
  for (int s = 0; s < 2; ++s) {
    for (int r = 0; r < 3; ++r) {
      const at::Tensor target = t[s][r], rest = x[r] - target, other = x[r] + target;
      const double a = (target.square().sum() / (target.square().sum() + rest.square().sum())).item<double>();
      const double cosine = ((other * rest).sum() / (other.norm() * rest.norm())).item<double>();
      sum += 1.0 + a - (1.0 - a) * cosine;
    }
  }
  CHECK(combination_wsdr(-t, t, x).item<double>() == Approx(sum / 6).epsilon(1e-6));

  // Trimmed samples count for nothing.
  at::Tensor spoiled = t.clone();
  spoiled.slice(-1, 0, 5).fill_(9.0);
  CHECK(combination_wsdr(spoiled, t, x, 5).item<double>() == Approx(0.0).margin(1e-6));
  CHECK_THROWS_AS(combination_wsdr(t, t, x, 20), Error);
  CHECK_THROWS_AS(combination_mse(t.slice(0, 0, 1), t.slice(0, 0, 1)), Error);
}

}  // namespace mss::nn
