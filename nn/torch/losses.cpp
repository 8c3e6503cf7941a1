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

at::Tensor subset_sum(const at::Tensor& sources, const std::vector<std::int64_t>& subset) {
  at::Tensor sum = sources[subset[0]];
  for (std::size_t i = 1; i < subset.size(); ++i) sum = sum + sources[subset[i]];
  return sum;
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
  const auto subsets = source_combinations(estimates.size(0));
  if (subsets.empty()) throw Error(Code::invalid_argument, "combination_mse", "takes at least two sources");
  at::Tensor sum = torch::zeros({}, estimates.options());
  for (const auto& subset : subsets) {
    sum = sum + (subset_sum(estimates, subset) - subset_sum(targets, subset)).square().mean();
  }
  return sum / static_cast<double>(subsets.size());
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
  const auto inner = [&](const at::Tensor& x) { return x.slice(-1, trim, samples - trim); };
  const auto energy = [](const at::Tensor& x) { return x.square().sum(-1); };
  const auto cosine = [&](const at::Tensor& a, const at::Tensor& b) {
    return (a * b).sum(-1) / (at::sqrt(eps + energy(a)) * at::sqrt(eps + energy(b)) + eps);
  };
  at::Tensor sum = torch::zeros({}, estimates.options());
  for (const auto& subset : subsets) {
    const at::Tensor estimate = inner(subset_sum(estimates, subset));
    const at::Tensor target = inner(subset_sum(targets, subset));
    const at::Tensor x = inner(mixture);
    const at::Tensor rest = x - target;
    const at::Tensor weight = energy(target) / (energy(target) + energy(rest) + eps);
    sum = sum - (weight * cosine(estimate, target) + (1 - weight) * cosine(x - estimate, rest)).mean();
  }
  return 1.0 + sum / static_cast<double>(subsets.size());
}

}  // namespace mss::nn
