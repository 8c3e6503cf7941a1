// Soft masks from non-negative estimates, and the assignment of components to stems.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mss::methods::nmf {

/// Generalised Wiener masks (Liutkus & Badeau 2015): mask_p = S_p^alpha / sum_q S_q^alpha, in place, for `count`
/// points; part p at parts + p * stride. Scaled by the largest part first, so nothing over- or underflows; where all
/// parts are (next to) zero every mask is 1 / number of parts. The masks sum to 1, so that the masked parts sum to the
/// mixture.
void wiener_masks(float* parts, int part_count, std::int64_t stride, std::int64_t count, double alpha);

/// The same for one frame, part p at parts + p * count. Of the `members` of an ensemble each has part_count / members
/// parts, whose masks are divided by the number of members, so that all masks together sum to 1. `toolbox`: with the
/// NMF toolbox's eps = 2^-52 on every part and on their sum, in single precision.
void component_masks(float* parts, int part_count, std::int64_t count, double alpha, bool toolbox, int members = 1);

/// The NMF toolbox's filter: M = eps + sum_r S_r^alpha, mask_r = S_r^alpha / M, eps = 2^-52; S and masks
/// R x count.
std::vector<double> toolbox_wiener_masks(std::span<const double> parts, int part_count, double alpha);

/// Maximum-weight injective assignment of the fewer of rows and columns to the others (Hungarian method, O(n^3)).
/// weight[r * columns + c]; entries must be finite. Returns for each row its column, or -1. Among equal optima the
/// result is deterministic.
std::vector<int> best_assignment(std::span<const double> weight, int rows, int columns);

/// Row-wise argmax, ties to the lower index (protocol P4).
std::vector<int> best_columns(std::span<const double> weight, int rows, int columns);

}  // namespace mss::methods::nmf
