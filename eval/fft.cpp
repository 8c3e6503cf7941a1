#include "eval/fft.h"

#include <algorithm>
#include <limits>
#include <mutex>

#include <fftw3.h>

#include "audio/fftw_mutex.h"
#include "core/error.h"
#include "eval/kernels.h"

namespace mss::eval {

int good_fft_length(std::int64_t n) {
  MSS_ASSERT(n < (std::int64_t{1} << 30));
  std::int64_t best = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t odd : {1, 3, 5, 7, 9, 15, 21, 25, 27, 35, 45, 63, 75, 105, 175}) {
    std::int64_t length = 2 * odd;
    while (length < n) length *= 2;
    // Small powers of two make slow codelets.
    const bool smooth = length / odd >= 32 || odd == 1;
    if (smooth) best = std::min(best, length);
  }
  return static_cast<int>(best);
}

struct RealFft::Plans {
  fftw_plan forward = nullptr, inverse = nullptr;
};

RealFft::RealFft(int n) : n_(n), plans_(std::make_unique<Plans>()) {
  MSS_ASSERT(n >= 2 && n % 2 == 0);
  AlignedVector x(static_cast<std::size_t>(n)), z(scratch_size());
  auto* complex = reinterpret_cast<fftw_complex*>(z.data());
  const std::lock_guard<std::mutex> lock(audio::fftw_planner_mutex());
  // ESTIMATE makes the same plan in every run; measured plans may differ in the last bit from run to run.
  plans_->forward = fftw_plan_dft_r2c_1d(n, x.data(), complex, FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
  plans_->inverse = fftw_plan_dft_c2r_1d(n, complex, x.data(), FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
}

RealFft::~RealFft() {
  const std::lock_guard<std::mutex> lock(audio::fftw_planner_mutex());
  fftw_destroy_plan(plans_->forward);
  fftw_destroy_plan(plans_->inverse);
}

void RealFft::forward(double* x, double* spectrum, double* scratch) const {
  fftw_execute_dft_r2c(plans_->forward, x, reinterpret_cast<fftw_complex*>(scratch));
  kernels().deinterleave(scratch, bins(), spectrum, spectrum + stride());
  for (std::int64_t i = bins(); i < stride(); ++i) spectrum[i] = spectrum[stride() + i] = 0;
}

void RealFft::inverse(const double* spectrum, double* x, double* scratch) const {
  kernels().interleave(spectrum, spectrum + stride(), bins(), scratch);
  fftw_execute_dft_c2r(plans_->inverse, reinterpret_cast<fftw_complex*>(scratch), x);
}

}  // namespace mss::eval
