// Real FFTs in double precision with split real and imaginary parts. Internal to mss::eval.
#pragma once

#include <cstdint>
#include <memory>

#include "eval/aligned.h"

namespace mss::eval {

/// Smallest even length >= n, 7-smooth, with a large power of two.
int good_fft_length(std::int64_t n);

/// Transforms of one length n. Spectra have bins() = n/2 + 1 values, kept in rows of stride() = bins rounded up to 8,
/// the imaginary row right after the real one; what is beyond bins() is 0. Execution is thread-safe; scratch belongs to
/// the caller (scratch_size() doubles, 64-byte aligned; so must `x` be).
class RealFft {
 public:
  explicit RealFft(int n);
  ~RealFft();
  RealFft(const RealFft&) = delete;
  RealFft& operator=(const RealFft&) = delete;
  int length() const noexcept { return n_; }
  int bins() const noexcept { return n_ / 2 + 1; }
  std::int64_t stride() const noexcept { return (bins() + 7) / 8 * 8; }
  std::size_t spectrum_size() const noexcept { return static_cast<std::size_t>(2 * stride()); }
  std::size_t scratch_size() const noexcept { return static_cast<std::size_t>(2 * stride()); }
  /// n samples to one spectrum; x is destroyed.
  void forward(double* x, double* spectrum, double* scratch) const;
  /// One spectrum to n samples, unnormalised (n times the inverse).
  void inverse(const double* spectrum, double* x, double* scratch) const;

 private:
  struct Plans;
  int n_;
  std::unique_ptr<Plans> plans_;
};

}  // namespace mss::eval
