// How well the equations of BSS Eval determine their filters: an estimate of the condition number of a block-Toeplitz
// system. Internal to mss::eval.
//
// A filter whose taps are a smooth window on a carrier sees the references' cross spectrum near one frequency. Windowed
// so that nothing leaks (Kaiser, side lobes 165 dB down), the spectrum's matrices are Rayleigh quotients of the system:
//   S_ab(f) = sum_k w[k] r_ab[k] exp(-2 pi i f k) / sqrt(r_aa[0] r_bb[0]),   w = the window with itself, w[0] = 1,
// and the estimate is the largest trace of S over the smallest pivot of its Cholesky factor, over all f. Channels that
// are exact combinations of others at the same instant (a stem panned to the middle) are left out first: whatever the
// filters do between them, the projection is the same. Music on the 16-bit grid has 1e7 to 1e12; white noise 1e3; an
// empty band as deep as 24 bits or float allow has 1e13 and more. The estimate ends at 1e16, the precision of the
// correlations.
#pragma once

#include <vector>

namespace mss::eval {

inline constexpr double kLargestCondition = 1e16;

/// `lags` as autocorrelations() lays them out, with r_aa[0] > 0; `epsilon` as museval adds it to the diagonal.
double estimate_condition(int channels, int taps, const std::vector<double>& lags, double epsilon);

}  // namespace mss::eval
