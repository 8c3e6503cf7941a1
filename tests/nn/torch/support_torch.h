// Tensors from keys, comparisons.
#pragma once

#include <string>
#include <vector>

#include "nn/torch/libtorch_torch.h"
#include "tests/audio/support.h"
// Last, because LibTorch has a macro CHECK of its own.
#include "tests/support/catch.h"

namespace mss::tests {

/// Values in [low, high) that depend on the key only.
inline at::Tensor keyed(const std::string& key, std::vector<std::int64_t> shape, double low = -1, double high = 1,
                        at::ScalarType type = at::kFloat) {
  at::Tensor x = torch::empty(shape, at::kDouble);
  KeyedUniform u(key);
  double* values = x.data_ptr<double>();
  for (std::int64_t i = 0; i < x.numel(); ++i) values[i] = low + (high - low) * u();
  return x.to(type);
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  return a.numel() == 0 ? 0.0 : (a - b).abs().max().item<double>();
}

}  // namespace mss::tests
