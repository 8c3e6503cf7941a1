// 2DFT: the background of a song as the peaks of the two-dimensional Fourier transform of its spectrogram.
//
// Source: Seetharaman, Pishdadian, Pardo, "Music/voice separation using the 2D Fourier transform", WASPAA 2017.
// Repetition in time concentrates in peaks along the rate axis.
//   D = |DFT2(v)|;   strength = (max - mean) / std of D in a neighbourhood of `neighbourhood` points along the rate
//   axis (1 along the scale axis; cyclic, as D is), at points where D equals that maximum, else 0; divided by its
//   largest value; made symmetric under both reflections (larger of the mirrored points) background = |Re
//   IDFT2(strength o DFT2(v))| clipped to v; mask = background / v divided by its maximum
// "original" instead keeps all points that equal the maximum of the neighbourhood where max - min exceeds the standard
// deviation of D. (A public Python port skips the up-down reflection by accident; here both are done.)
//
// Layout: frame-major, v[n * bins + k]. float64 inside.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace mss::methods::classic {

struct Dft2Options {
  int neighbourhood = 25;  ///< odd, >= 3
  bool original = false;
};

/// Mask of the background, in [0, 1]; 0 for a silent v. Throws Error(invalid_argument) for a bad neighbourhood.
/// Memory: 24 bytes a point, v and the mask included, and 16 for each peak.
std::vector<float> dft2_mask(std::vector<float> v, std::int64_t frames, int bins, const Dft2Options& options);

/// The same for spectrograms of any length: the transform lies in a temporary file beyond 256 MiB, and is made of
/// one-dimensional ones, so that values differ from dft2_mask's by rounding. Same bits for any number of threads.
///
/// Use: load() with all rows of v in order, then scan() with all rows again, then masks() of any rows.
/// Errors: Error(invalid_argument); Error(resource) where the temporary file has no room.
class Dft2Background {
 public:
  /// Of the transform, before it goes to the file.
  static constexpr std::int64_t kMemoryBytes = std::int64_t{256} << 20;
  Dft2Background(std::int64_t frames, int bins, const Dft2Options& options, int threads,
                 std::int64_t memory_bytes = kMemoryBytes);
  ~Dft2Background();
  Dft2Background(Dft2Background&&) noexcept;

  void load(std::int64_t first, std::int64_t count, const float* v);
  void scan(std::int64_t first, std::int64_t count, const float* v);
  void masks(std::int64_t first, std::int64_t count, const float* v, float* out) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mss::methods::classic
