#include "methods/nmf/mask.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace mss::methods::nmf {

void wiener_masks(float* parts, int part_count, std::int64_t stride, std::int64_t count, double alpha) {
  const auto exponent = static_cast<float>(alpha);
  const bool power = alpha != 1.0 && alpha != 2.0;
  for (std::int64_t i = 0; i < count; ++i) {
    float* x = parts + i;
    float largest = 0;
    for (int p = 0; p < part_count; ++p) largest = std::max(largest, x[p * stride]);
    if (!(largest > 1e-30F)) {
      for (int p = 0; p < part_count; ++p) x[p * stride] = 1.0F / static_cast<float>(part_count);
      continue;
    }
    const float scale = 1.0F / largest;
    float sum = 0;
    for (int p = 0; p < part_count; ++p) {
      float s = x[p * stride] * scale;
      if (alpha == 2.0) s *= s;
      if (power) s = std::pow(s, exponent);
      x[p * stride] = s;
      sum += s;
    }
    const float inverse = 1.0F / sum;
    for (int p = 0; p < part_count; ++p) x[p * stride] *= inverse;
  }
}

void component_masks(float* parts, int part_count, std::int64_t count, double alpha, bool toolbox, int members) {
  if (members > 1) {
    const int each = part_count / members;
    for (int m = 0; m < members; ++m) component_masks(parts + m * each * count, each, count, alpha, toolbox);
    const float share = 1.0F / static_cast<float>(members);
    for (std::int64_t i = 0; i < part_count * count; ++i) parts[i] *= share;
    return;
  }
  if (!toolbox) {
    wiener_masks(parts, part_count, count, count, alpha);
    return;
  }
  constexpr float kEps = 0x1p-52F;
  for (std::int64_t k = 0; k < count; ++k) {
    float sum = kEps;
    for (int p = 0; p < part_count; ++p) {
      float& x = parts[p * count + k];
      x = alpha == 1.0 ? x + kEps : std::pow(x + kEps, static_cast<float>(alpha));
      sum += x;
    }
    for (int p = 0; p < part_count; ++p) parts[p * count + k] /= sum;
  }
}

std::vector<double> toolbox_wiener_masks(std::span<const double> parts, int part_count, double alpha) {
  if (part_count < 1 || parts.size() % static_cast<std::size_t>(part_count) != 0) {
    throw Error(Code::invalid_argument, "alpha-Wiener", "number of values does not fit the number of components");
  }
  const std::size_t count = parts.size() / static_cast<std::size_t>(part_count);
  std::vector<double> masks(parts.size()), sum(count, std::numeric_limits<double>::epsilon());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    masks[i] = std::pow(parts[i], alpha);
    sum[i % count] += masks[i];
  }
  for (std::size_t i = 0; i < parts.size(); ++i) masks[i] /= sum[i % count];
  return masks;
}

std::vector<int> best_assignment(std::span<const double> weight, int rows, int columns) {
  if (rows < 0 || columns < 0 || weight.size() != static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns)) {
    throw Error(Code::invalid_argument, "assignment", "number of weights does not fit rows and columns");
  }
  if (rows == 0 || columns == 0) return std::vector<int>(static_cast<std::size_t>(rows), -1);
  const bool flip = rows > columns;
  const int n = std::min(rows, columns), m = std::max(rows, columns);
  const auto cost = [&](int i, int j) {  // i < n, j < m
    return -weight[static_cast<std::size_t>(flip ? j * columns + i : i * columns + j)];
  };
  // Shortest augmenting paths with potentials; index 0 is the unassigned sentinel.
  const auto at = [](int i) { return static_cast<std::size_t>(i); };
  std::vector<double> u(at(n) + 1, 0.0), v(at(m) + 1, 0.0);
  std::vector<int> owner(at(m) + 1, 0), way(at(m) + 1, 0);
  for (int i = 1; i <= n; ++i) {
    owner[0] = i;
    int j0 = 0;
    std::vector<double> least(at(m) + 1, std::numeric_limits<double>::infinity());
    std::vector<bool> used(at(m) + 1, false);
    do {
      used[at(j0)] = true;
      const int i0 = owner[at(j0)];
      double delta = std::numeric_limits<double>::infinity();
      int j1 = 0;
      for (int j = 1; j <= m; ++j) {
        if (used[at(j)]) continue;
        const double reduced = cost(i0 - 1, j - 1) - u[at(i0)] - v[at(j)];
        if (reduced < least[at(j)]) {
          least[at(j)] = reduced;
          way[at(j)] = j0;
        }
        if (least[at(j)] < delta) {
          delta = least[at(j)];
          j1 = j;
        }
      }
      for (int j = 0; j <= m; ++j) {
        if (used[at(j)]) {
          u[at(owner[at(j)])] += delta;
          v[at(j)] -= delta;
        } else {
          least[at(j)] -= delta;
        }
      }
      j0 = j1;
    } while (owner[at(j0)] != 0);
    do {
      const int j1 = way[at(j0)];
      owner[at(j0)] = owner[at(j1)];
      j0 = j1;
    } while (j0 != 0);
  }
  std::vector<int> column(at(rows), -1);
  for (int j = 1; j <= m; ++j) {
    const int i = owner[at(j)];
    if (i == 0) continue;
    if (flip) {
      column[at(j) - 1] = i - 1;
    } else {
      column[at(i) - 1] = j - 1;
    }
  }
  return column;
}

std::vector<int> best_columns(std::span<const double> weight, int rows, int columns) {
  std::vector<int> best(static_cast<std::size_t>(rows), 0);
  for (int r = 0; r < rows; ++r) {
    for (int c = 1; c < columns; ++c) {
      const auto at = [&](int j) { return weight[static_cast<std::size_t>(r * columns + j)]; };
      if (at(c) > at(best[static_cast<std::size_t>(r)])) best[static_cast<std::size_t>(r)] = c;
    }
  }
  return best;
}

}  // namespace mss::methods::nmf
