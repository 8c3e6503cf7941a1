#include "datasets/synth/math.h"

namespace mss::datasets::synth {

double log_of(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  auto exponent = static_cast<std::int64_t>((bits >> 52U) & 0x7FFU) - 1023;
  double m = std::bit_cast<double>((bits & 0xFFFFFFFFFFFFFULL) | (1023ULL << 52U));  // [1, 2)
  if (m > std::numbers::sqrt2) {
    m /= 2;
    ++exponent;
  }
  // artanh series; |s| <= 0.172, so that s^25 is below the last place.
  const double s = (m - 1) / (m + 1), z = s * s;
  double sum = 0;
  for (int k = 25; k >= 1; k -= 2) sum = sum * z + 1.0 / k;
  const auto e = static_cast<double>(exponent);
  return e * 0.693147180369123816490 + (2 * s * sum + e * 1.90821492927058770002e-10);
}

double power_of(double x, double y) { return x > 0 ? exp_of(y * log_of(x)) : 0.0; }

double angle_of(double y, double x) {
  const double ax = std::abs(x), ay = std::abs(y);
  if (ax == 0 && ay == 0) return 0;
  const bool steep = ay > ax;
  // Two halvings: atan z = 2 atan(z / (1 + sqrt(1 + z^2))); then |z| <= tan(pi / 16).
  double z = steep ? ax / ay : ay / ax;
  z = z / (1 + std::sqrt(1 + z * z));
  z = z / (1 + std::sqrt(1 + z * z));
  const double q = z * z;
  double sum = 0;
  for (int k = 23; k >= 1; k -= 2) sum = 1.0 / k - q * sum;
  double angle = 4 * z * sum;  // of (ax, ay) in [0, pi / 4], or its complement
  if (steep) angle = 0.5 * std::numbers::pi - angle;
  if (x < 0) angle = std::numbers::pi - angle;
  return y < 0 ? 2 * std::numbers::pi - angle : angle;
}

double gain_of_db(double db) { return exp_of(db * (std::numbers::ln10 / 20)); }
double db_of_gain(double gain) { return log_of(gain) * (20 * std::numbers::log10e); }
double hz_of_midi(double midi) { return 440 * exp_of((midi - 69) * (std::numbers::ln2 / 12)); }

}  // namespace mss::datasets::synth
