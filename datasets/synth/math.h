// Functions of real numbers that give the same bits on every machine: IEEE double with + - * / and sqrt, exact
// conversions and polynomials of our own, no libm. Errors are a few units of the last place of 1 (absolute, for the
// trigonometric functions and tanh) or of the result (exp, log).
//
// The inline ones are written without branches, so that loops over them become vector code; they are always inlined,
// because a copy compiled for one instruction set must not be shared with code for another.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace mss::datasets::synth {

#define MSS_SYNTH_INLINE [[gnu::always_inline]] inline

/// The nearest integer (ties to even), for |x| < 2^51.
MSS_SYNTH_INLINE double nearest(double x) {
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52: the sum has no fractional bits
  return (x + kMagic) - kMagic;
}

/// sin(2 pi turns), |turns| < 2^51. Folded to [-1/4, 1/4], then the Taylor series up to y^21.
MSS_SYNTH_INLINE double sin_turns(double turns) {
  const double t = turns - nearest(turns);
  const double a = std::abs(t);
  const double folded = a < 0.5 - a ? a : 0.5 - a;
  const double y = 2 * std::numbers::pi * folded;
  const double z = y * y;
  double p = 1.0 / 51090942171709440000.0;
  p = p * z - 1.0 / 121645100408832000.0;
  p = p * z + 1.0 / 355687428096000.0;
  p = p * z - 1.0 / 1307674368000.0;
  p = p * z + 1.0 / 6227020800.0;
  p = p * z - 1.0 / 39916800.0;
  p = p * z + 1.0 / 362880.0;
  p = p * z - 1.0 / 5040.0;
  p = p * z + 1.0 / 120.0;
  p = p * z - 1.0 / 6.0;
  return std::copysign(y + y * z * p, t);
}

MSS_SYNTH_INLINE double cos_turns(double turns) { return sin_turns(turns + 0.25); }
/// sin(x) of an angle in radians.
MSS_SYNTH_INLINE double sin_radians(double x) { return sin_turns(x * (0.5 * std::numbers::inv_pi)); }

/// e^x; 0 below -700, e^700 above 700.
MSS_SYNTH_INLINE double exp_of(double x) {
  const double clamped = x < -700 ? -700.0 : (x > 700 ? 700.0 : x);
  // Adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits.
  constexpr double kMagic = 6755399441055744.0;
  const double shifted = clamped * std::numbers::log2e + kMagic;
  const double whole = shifted - kMagic;
  // ln 2 in two pieces, so that the rest is exact to the last place.
  const double r = (clamped - whole * 0.693147180369123816490) - whole * 1.90821492927058770002e-10;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const std::uint64_t exponent = std::bit_cast<std::uint64_t>(shifted) - std::bit_cast<std::uint64_t>(kMagic) + 1023U;
  const double scaled = p * std::bit_cast<double>(exponent << 52U);
  return x < -700 ? 0.0 : scaled;
}

/// tanh(x) = sign(x) (1 - 2 / (e^(2|x|) + 1)).
MSS_SYNTH_INLINE double tanh_of(double x) {
  const double a = std::abs(x);
  const double e = exp_of(2 * (a < 20 ? a : 20.0));
  return std::copysign(1 - 2 / (e + 1), x);
}

/// Natural logarithm of a normal positive number.
double log_of(double x);
/// x^y for x > 0; 0 for x = 0 and y > 0.
double power_of(double x, double y);
/// The angle of (x, y) in [0, 2 pi); 0 at the origin.
double angle_of(double y, double x);
/// 10^(dB / 20) and 20 log10(gain).
double gain_of_db(double db);
double db_of_gain(double gain);
/// 440 * 2^((midi - 69) / 12).
double hz_of_midi(double midi);

}  // namespace mss::datasets::synth
