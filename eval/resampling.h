// What the two bootstrap files of eval/ share. Private to eval.
//
// Thread-safety: pure functions.
#pragma once

#include <cstddef>
#include <vector>

#include "eval/bootstrap.h"

namespace mss::eval {

/// Standard normal distribution; NaN stays NaN, infinities give 0 and 1.
double phi(double z);
/// Throws Error(invalid_argument) for fewer than two values, fewer than 100 draws, a level outside (0, 1).
void check(const BootstrapOptions& options, std::size_t values);

}  // namespace mss::eval
