#include "eval/extended.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/isa.h"
#include "core/stop.h"

namespace mss::eval {

namespace baseline {
extern const ExtendedKernels extended_table;
}
namespace avx2 {
extern const ExtendedKernels extended_table;
}
namespace avx512 {
extern const ExtendedKernels extended_table;
}

const ExtendedKernels& extended_kernels() {
  static const ExtendedKernels& chosen = *MSS_ACTIVE_ISA(const ExtendedKernels*, extended_table);
  return chosen;
}

namespace {

Extended two_sum(double a, double b) noexcept {
  const double s = a + b, v = s - a;
  return {s, (a - (s - v)) + (b - v)};
}

Extended quick_sum(double a, double b) noexcept {
  const double s = a + b;
  return {s, b - (s - a)};
}

}  // namespace

Extended operator+(const Extended& a, const Extended& b) noexcept {
  Extended s = two_sum(a.hi, b.hi);
  const Extended t = two_sum(a.lo, b.lo);
  s = quick_sum(s.hi, s.lo + t.hi);
  return quick_sum(s.hi, s.lo + t.lo);
}

Extended operator-(const Extended& a) noexcept { return {-a.hi, -a.lo}; }
Extended operator-(const Extended& a, const Extended& b) noexcept { return a + -b; }

Extended operator*(const Extended& a, const Extended& b) noexcept {
  const double p = a.hi * b.hi;
  return quick_sum(p, std::fma(a.hi, b.hi, -p) + (a.hi * b.lo + a.lo * b.hi));
}

Extended operator/(const Extended& a, const Extended& b) noexcept {
  const double q1 = a.hi / b.hi;
  Extended r = a - b * Extended{q1, 0};
  const double q2 = r.hi / b.hi;
  r = r - b * Extended{q2, 0};
  const double q3 = r.hi / b.hi;
  const Extended q = quick_sum(q1, q2);
  return q + Extended{q3, 0};
}

Extended square_root(const Extended& a) noexcept {
  if (a.hi <= 0) return {};
  const double x = std::sqrt(a.hi);
  // One step of Newton's method doubles the digits.
  const Extended first{x, 0};
  const Extended rest = a - first * first;
  return first + Extended{rest.hi / (2 * x), 0};
}

std::size_t ExtendedSystem::row_begin(int block, int row) const {
  const auto k = static_cast<std::size_t>(channels_), l = static_cast<std::size_t>(taps_),
             i = static_cast<std::size_t>(block);
  const std::size_t before = i == 0 ? 0 : i * l - i * (i - 1) / 2;  // blocks in the block rows above
  return k * k * before + static_cast<std::size_t>(row) * k * (l - i);
}

ExtendedSystem::ExtendedSystem(int channels, int taps, const std::vector<Extended>& lags, double epsilon)
    : channels_(channels), taps_(taps) {
  MSS_ASSERT(channels >= 1 && taps >= 1);
  const auto k = static_cast<std::size_t>(channels), l = static_cast<std::size_t>(taps);
  const std::size_t width = 2 * l - 1, columns = k * l;
  MSS_ASSERT(lags.size() == k * k * width);
  const auto fail = [] {
    throw Error(Code::numeric, "BSS Eval", "the references' Gram matrix is not positive definite in 106 bits");
  };
  hi_.resize(k * k * l * (l + 1) / 2);
  lo_.resize(hi_.size());

  // The first block row of T, and the Cholesky factor of its first block: T0 = U' U.
  std::vector<Extended> first(k * columns), upper(k * k);
  for (std::size_t a = 0; a < k; ++a)
    for (std::size_t b = 0; b < k; ++b)
      for (std::size_t q = 0; q < l; ++q) {
        Extended v = lags[(a * k + b) * width + (l - 1 - q)];  // r_ab[-q]
        if (a == b && q == 0) v = v + Extended{epsilon, 0};
        first[a * columns + q * k + b] = v;
      }
  for (std::size_t i = 0; i < k; ++i) {
    for (std::size_t j = i; j < k; ++j) {
      Extended s = first[i * columns + j];
      for (std::size_t m = 0; m < i; ++m) s = s - upper[m * k + i] * upper[m * k + j];
      if (i == j) {
        if (!(s.hi > 0)) fail();
        upper[i * k + i] = square_root(s);
      } else {
        upper[i * k + j] = s / upper[i * k + i];
      }
    }
  }
  // Generators: U'^-1 times the first block row, and the same without the first block.
  std::vector<double> b_hi(k * columns), b_lo(k * columns);
  for (std::size_t c = 0; c < columns; ++c) {
    for (std::size_t i = 0; i < k; ++i) {
      Extended s = first[i * columns + c];
      for (std::size_t m = 0; m < i; ++m) s = s - upper[m * k + i] * first[m * columns + c];
      first[i * columns + c] = s / upper[i * k + i];
    }
    for (std::size_t i = 0; i < k; ++i) {
      const Extended v = c < k && c < i ? Extended{} : first[i * columns + c];
      hi_[i * columns + c] = v.hi;
      lo_[i * columns + c] = v.lo;
      b_hi[i * columns + c] = c < k ? 0 : v.hi;
      b_lo[i * columns + c] = c < k ? 0 : v.lo;
    }
  }

  const ExtendedKernels& kernel = extended_kernels();
  std::vector<ExtendedRow> a_rows(k), b_rows(k);
  std::vector<double> v_hi(k * k), v_lo(k * k), rho_hi(k), rho_lo(k), c_hi(k), c_lo(k), inverse_hi(k), inverse_lo(k);
  std::vector<Extended> lead_a(k * k), lead_b(k * k), v(k);
  for (std::size_t i = 1; i < l; ++i) {
    core::check_stop();
    // The upper generator moves on by a block: its columns stand at the same places of the next block row.
    const std::size_t rest = k * (l - i);
    for (std::size_t r = 0; r < k; ++r) {
      const std::size_t from = row_begin(static_cast<int>(i) - 1, static_cast<int>(r)),
                        to = row_begin(static_cast<int>(i), static_cast<int>(r));
      std::copy_n(hi_.begin() + static_cast<std::ptrdiff_t>(from), rest, hi_.begin() + static_cast<std::ptrdiff_t>(to));
      std::copy_n(lo_.begin() + static_cast<std::ptrdiff_t>(from), rest, lo_.begin() + static_cast<std::ptrdiff_t>(to));
      a_rows[r] = {hi_.data() + to, lo_.data() + to};
      b_rows[r] = {b_hi.data() + r * columns + i * k, b_lo.data() + r * columns + i * k};
      for (std::size_t c = 0; c < k; ++c) {
        lead_a[r * k + c] = {a_rows[r].hi[c], a_rows[r].lo[c]};
        lead_b[r * k + c] = {b_rows[r].hi[c], b_rows[r].lo[c]};
      }
    }
    // The steps, found on the leading block.
    for (std::size_t j = 0; j < k; ++j) {
      Extended norm2{};
      for (std::size_t r = 0; r < k; ++r) norm2 = norm2 + lead_b[r * k + j] * lead_b[r * k + j];
      const Extended sigma = square_root(norm2);
      const Extended head = lead_b[j];
      const bool negative = head.hi < 0;
      // I - v v' maps the column onto -sign(head) sigma times the first unit vector.
      for (std::size_t r = 0; r < k; ++r) v[r] = lead_b[r * k + j];
      Extended reflected{};
      if (sigma.hi > 0) {
        v[0] = negative ? head - sigma : head + sigma;
        const Extended scale = square_root(sigma * (negative ? sigma - head : sigma + head));
        for (std::size_t r = 0; r < k; ++r) v[r] = v[r] / scale;
        reflected = negative ? sigma : -sigma;
      }
      const Extended rho = reflected / lead_a[j * k + j];
      const Extended one{1, 0};
      const Extended c2 = (one - rho) * (one + rho);
      if (!(c2.hi > 0)) fail();
      const Extended c = square_root(c2), inverse = one / c;
      for (std::size_t col = j; col < k; ++col) {
        Extended w{};
        for (std::size_t r = 0; r < k; ++r) w = w + v[r] * lead_b[r * k + col];
        for (std::size_t r = 0; r < k; ++r) lead_b[r * k + col] = lead_b[r * k + col] - v[r] * w;
        const Extended x = (lead_a[j * k + col] - rho * lead_b[col]) * inverse;
        lead_b[col] = c * lead_b[col] - rho * x;
        lead_a[j * k + col] = x;
      }
      for (std::size_t r = 0; r < k; ++r) {
        lead_b[r * k + j] = {};
        v_hi[j * k + r] = v[r].hi;
        v_lo[j * k + r] = v[r].lo;
      }
      rho_hi[j] = rho.hi, rho_lo[j] = rho.lo;
      c_hi[j] = c.hi, c_lo[j] = c.lo;
      inverse_hi[j] = inverse.hi, inverse_lo[j] = inverse.lo;
    }
    for (std::size_t r = 0; r < k; ++r) {
      for (std::size_t c = 0; c < k; ++c) {
        a_rows[r].hi[c] = lead_a[r * k + c].hi;
        a_rows[r].lo[c] = lead_a[r * k + c].lo;
      }
      a_rows[r].hi += k;
      a_rows[r].lo += k;
      b_rows[r].hi += k;
      b_rows[r].lo += k;
    }
    SchurSteps steps;
    steps.k = channels;
    steps.columns = static_cast<std::int64_t>(rest - k);
    steps.a = a_rows.data();
    steps.b = b_rows.data();
    steps.v_hi = v_hi.data(), steps.v_lo = v_lo.data();
    steps.rho_hi = rho_hi.data(), steps.rho_lo = rho_lo.data();
    steps.c_hi = c_hi.data(), steps.c_lo = c_lo.data();
    steps.inverse_hi = inverse_hi.data(), steps.inverse_lo = inverse_lo.data();
    kernel.schur_steps(steps);
  }
}

std::vector<double> ExtendedSystem::solve(const std::vector<Extended>& right, int columns) const {
  const auto k = static_cast<std::size_t>(channels_), l = static_cast<std::size_t>(taps_), n = k * l;
  const auto count = static_cast<std::size_t>(columns);
  MSS_ASSERT(right.size() == count * n);
  const ExtendedKernels& kernel = extended_kernels();
  // Tap-major, as the factor.
  std::vector<double> hi(count * n), lo(count * n);
  for (std::size_t c = 0; c < count; ++c)
    for (std::size_t a = 0; a < k; ++a)
      for (std::size_t p = 0; p < l; ++p) {
        hi[c * n + p * k + a] = right[(c * k + a) * l + p].hi;
        lo[c * n + p * k + a] = right[(c * k + a) * l + p].lo;
      }
  // A row of the factor from its diagonal on; the kernels do not write through it.
  const auto row = [&](std::size_t g) {
    const std::size_t at = row_begin(static_cast<int>(g / k), static_cast<int>(g % k)) + g % k;
    return ExtendedRow{const_cast<double*>(hi_.data()) + at, const_cast<double*>(lo_.data()) + at};
  };
  const auto divide = [&](std::size_t at, const ExtendedRow& diagonal) {
    const Extended q = Extended{hi[at], lo[at]} / Extended{*diagonal.hi, *diagonal.lo};
    hi[at] = q.hi;
    lo[at] = q.lo;
  };
  for (std::size_t g = 0; g < n; ++g) {  // R' y = right
    if (g % 256 == 0) core::check_stop();
    const ExtendedRow r = row(g);
    const auto rest = static_cast<std::int64_t>(n - g - 1);
    for (std::size_t c = 0; c < count; ++c) {
      const std::size_t at = c * n + g;
      divide(at, r);
      kernel.subtract(rest, hi[at], lo[at], {r.hi + 1, r.lo + 1}, {hi.data() + at + 1, lo.data() + at + 1});
    }
  }
  for (std::size_t g = n; g-- > 0;) {  // R x = y
    if (g % 256 == 0) core::check_stop();
    const ExtendedRow r = row(g);
    const auto rest = static_cast<std::int64_t>(n - g - 1);
    for (std::size_t c = 0; c < count; ++c) {
      const std::size_t at = c * n + g;
      double sum[2];
      kernel.dot(rest, {r.hi + 1, r.lo + 1}, {hi.data() + at + 1, lo.data() + at + 1}, sum);
      const Extended left = Extended{hi[at], lo[at]} - Extended{sum[0], sum[1]};
      hi[at] = left.hi;
      lo[at] = left.lo;
      divide(at, r);
    }
  }
  std::vector<double> out(count * n);
  for (std::size_t c = 0; c < count; ++c)
    for (std::size_t a = 0; a < k; ++a)
      for (std::size_t p = 0; p < l; ++p) out[(c * k + a) * l + p] = hi[c * n + p * k + a] + lo[c * n + p * k + a];
  return out;
}

}  // namespace mss::eval
