// The inner loops of wiener.cpp: one block of frequency bins, all frames of one window. Compiled once per instruction
// set (em_kernel.cpp); plain structs only, no inline functions (see cmake/MssModule.cmake).
//
// All arithmetic is in double, whatever T is: the 2x2 inverse loses up to five digits on nearly mono material, which
// float does not have, and the loops are bound by memory traffic, not by arithmetic. The estimates y are never stored:
// with one iteration both passes compute the initial ones from the mixture and the magnitudes, with more each pass
// keeps the powers v_j of what it made, all that the next one needs.
#pragma once

#include <cstdint>

namespace mss::wiener::kernel {

enum InitialKind : int { soft_mask, mixture_phase, estimates };
enum ModeKind : int { clean, norbert, openunmix };

/// Row n of a (frames, bins) plane starts at data + n * stride; complex rows are interleaved (re, im).
template <class T>
struct Plane {
  T* data;
  std::int64_t stride;
};

/// A Hermitian C x C matrix per (source, bin) is K = C^2 planes of `padded` doubles (all bins, rounded up to a multiple
/// of 8): the C diagonal entries, then (re, im) of the entries above the diagonal, row by row. A block starts at a
/// multiple of 8 bins and ends at one or at the last bin; pointers point to its first bin.
template <class T>
struct Block {
  int bins;               ///< of the block
  std::int64_t padded;    ///< length of a plane of a covariance
  int channels, sources;  ///< sources: those given
  int total;              ///< sources + 1 where there is a residual
  std::int64_t frames;
  const Plane<const T>* mixture;  ///< [channels], interleaved complex
  const Plane<const T>* source;   ///< [sources * channels]; real magnitudes, or interleaved complex (estimates)
  const Plane<T>* out;            ///< [total * channels], interleaved complex
  InitialKind initial;
  ModeKind mode;
  double alpha;                 ///< exponent of the soft mask
  double eps;                   ///< added to the soft mask's denominator
  double machine_eps;           ///< floor of norbert's residual model
  double diagonal;              ///< added to the diagonal of the mixture covariance (0 in clean mode)
  double inverse_eps;           ///< added once more before the 1x1 inverse (norbert)
  double scale;                 ///< 1 / m: applied to the mixture and the estimates, undone on output
  double limit;                 ///< largest magnitude that is accepted
  int steps;                    ///< EM steps between the initial estimate (or the powers) and what is wanted
  const double* models;         ///< [steps][total][K][padded]
  const double* from_powers;    ///< [frames][total][padded]: v_j to start from instead of the sources, or null
  double power_gain;            ///< from_powers are multiplied by it
  double* powers;               ///< accumulate(): where the v_j of the result go, same layout, or null
  double* sums;                 ///< accumulate(): [total][K][padded], sums of y y^H are added
  double* scratch;              ///< 8 * (2 C (total + 2) + 2 C^2) doubles, aligned to 64 bytes
  const double* frame_weights;  ///< apply(): [frames], or null for 1
  bool add;                     ///< apply(): add to `out` instead of setting it
  bool check;                   ///< look for values that are not finite, too large, or negative magnitudes
  bool bad;                     ///< result of the check
  double peak;                  ///< with `check`: largest |x|^2 of the mixture
};

}  // namespace mss::wiener::kernel

#define MSS_WIENER_DECLARE_KERNELS(isa)          \
  namespace mss::wiener::isa {                   \
  void accumulate(kernel::Block<float>& block);  \
  void accumulate(kernel::Block<double>& block); \
  void apply(kernel::Block<float>& block);       \
  void apply(kernel::Block<double>& block);      \
  }

MSS_WIENER_DECLARE_KERNELS(baseline)
MSS_WIENER_DECLARE_KERNELS(avx2)
MSS_WIENER_DECLARE_KERNELS(avx512)

#undef MSS_WIENER_DECLARE_KERNELS
