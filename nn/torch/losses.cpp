#include <cmath>
#include <string>

#include "core/error.h"
#include "nn/torch/losses_torch.h"

namespace mss::nn {
namespace {

void check_equal_shapes(const char* where, const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() == b.sizes()) return;
  ErrorParts parts;
  parts.code = Code::invalid_argument;
  parts.where = where;
  parts.what = "estimate and target differ in shape";
  parts.expected = c10::str(b.sizes());
  parts.found = c10::str(a.sizes());
  throw Error(parts);
}

}  // namespace

at::Tensor mean_absolute_error(const at::Tensor& estimate, const at::Tensor& target) {
  check_equal_shapes("mean_absolute_error", estimate, target);
  return (estimate - target).abs().mean();
}

at::Tensor mean_squared_error(const at::Tensor& estimate, const at::Tensor& target) {
  check_equal_shapes("mean_squared_error", estimate, target);
  return (estimate - target).square().mean();
}

at::Tensor si_sdr_db(const at::Tensor& estimate, const at::Tensor& target, double eps) {
  check_equal_shapes("si_sdr_db", estimate, target);
  const at::Tensor scale =
      (estimate * target).sum(-1, /*keepdim=*/true) / (target.square().sum(-1, /*keepdim=*/true) + eps);
  const at::Tensor wanted = scale * target;
  return 10.0 * at::log10((wanted.square().sum(-1) + eps) / ((wanted - estimate).square().sum(-1) + eps));
}

std::vector<std::vector<std::int64_t>> source_combinations(std::int64_t sources) {
  std::vector<std::vector<std::int64_t>> out;
  for (std::int64_t size = 1; size < sources; ++size) {
    std::vector<std::int64_t> subset(static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < size; ++i) subset[static_cast<std::size_t>(i)] = i;
    while (true) {
      out.push_back(subset);
      // The next one in lexicographic order: raise the last member that can be raised.
      std::int64_t i = size - 1;
      while (i >= 0 && subset[static_cast<std::size_t>(i)] == sources - size + i) --i;
      if (i < 0) break;
      ++subset[static_cast<std::size_t>(i)];
      for (std::int64_t k = i + 1; k < size; ++k) {
        subset[static_cast<std::size_t>(k)] = subset[static_cast<std::size_t>(k - 1)] + 1;
      }
    }
  }
  return out;
}

at::Tensor combination_mse(const at::Tensor& estimates, const at::Tensor& targets) {
  check_equal_shapes("combination_mse", estimates, targets);
  const std::int64_t sources = estimates.size(0);
  if (sources < 2) throw Error(Code::invalid_argument, "combination_mse", "takes at least two sources");
  // Of the 2^S - 2 sums, 2^(S-1) - 1 have source i in them and 2^(S-2) - 1 have i and j. With the errors d_i, the squares
  // of all sums are 2^(S-2) sum_i d_i^2 + (2^(S-2) - 1) (sum_i d_i)^2.
  const double both = std::exp2(static_cast<double>(sources - 2)) - 1;
  const double subsets = std::exp2(static_cast<double>(sources)) - 2;
  const at::Tensor errors = estimates - targets;
  at::Tensor sum = errors.square().mean() * ((both + 1) * static_cast<double>(sources));
  if (both > 0) sum = sum + errors.sum(0).square().mean() * both;
  return sum / subsets;
}

at::Tensor combination_wsdr(const at::Tensor& estimates, const at::Tensor& targets, const at::Tensor& mixture,
                            std::int64_t trim, double eps) {
  check_equal_shapes("combination_wsdr", estimates, targets);
  check_equal_shapes("combination_wsdr", estimates[0], mixture);
  const auto subsets = source_combinations(estimates.size(0));
  const std::int64_t samples = mixture.size(-1);
  if (subsets.empty() || trim < 0 || 2 * trim >= samples) {
    throw Error(Code::invalid_argument, "combination_wsdr",
                c10::str("takes at least two sources and more than ", 2 * trim, " samples"));
  }
  // Every energy and product of the sums follows from the products of the signals themselves: one pass over the samples in
  // place of one per combination. In float64, because energies of small rests are differences of large ones.
  const std::int64_t sources = estimates.size(0), signals = 2 * sources + 1;
  const at::Tensor lines = at::cat({estimates, targets, mixture.unsqueeze(0)}, 0)
                               .slice(-1, trim, samples - trim)
                               .to(at::kDouble)
                               .movedim(0, -2);                            // (…, 2 S + 1, T)
  const at::Tensor products = at::matmul(lines, lines.transpose(-2, -1));  // (…, 2 S + 1, 2 S + 1)
  // Which signals a sum is made of: the estimates', the targets', and what the mixture has beside them.
  const auto count = static_cast<std::int64_t>(subsets.size());
  const at::Tensor made = at::zeros({4, count, signals}, at::TensorOptions().dtype(at::kDouble));
  for (std::int64_t row = 0; row < count; ++row) {
    for (const std::int64_t source : subsets[static_cast<std::size_t>(row)]) {
      made[0][row][source] = 1.0;
      made[1][row][sources + source] = 1.0;
    }
  }
  for (std::int64_t kind = 0; kind < 2; ++kind) made[2 + kind] = -made[kind];
  made.slice(0, 2).select(2, signals - 1).fill_(1.0);
  const at::Tensor parts = made.to(products.device());
  const at::Tensor estimate = parts[0], target = parts[1], beside = parts[2], rest = parts[3];  // (14, 2 S + 1)
  const auto product = [&](const at::Tensor& a, const at::Tensor& b) { return (at::matmul(a, products) * b).sum(-1); };
  const auto energy = [&](const at::Tensor& a) { return product(a, a).clamp_min(0); };
  const at::Tensor target_energy = energy(target), rest_energy = energy(rest);
  const auto cosine = [&](const at::Tensor& a, const at::Tensor& b, const at::Tensor& b_energy) {
    return product(a, b) / (at::sqrt(eps + energy(a)) * at::sqrt(eps + b_energy) + eps);
  };
  const at::Tensor weight = target_energy / (target_energy + rest_energy + eps);
  const at::Tensor found =
      weight * cosine(estimate, target, target_energy) + (1 - weight) * cosine(beside, rest, rest_energy);
  return (1.0 - found.mean()).to(estimates.scalar_type());
}

}  // namespace mss::nn
