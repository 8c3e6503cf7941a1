// REPET and REPET-SIM: the repeating background of a song against what does not repeat (the voice).
//
// REPET: Rafii & Pardo, "REpeating Pattern Extraction Technique (REPET)", IEEE TASLP 21(1), 2013. REPET-SIM: Rafii &
// Pardo, "Music/voice separation using the similarity matrix", ISMIR 2012.
//   beat spectrum  b[l] = mean over bins of 1/(N-l) sum_n P[n,k] P[n+l,k],   P = squared magnitude, mean over channels
//   period         p = argmax of b over [min_lag, max_lag] (the first of equal maxima)
//   REPET          S[n mod p, k] = median over the segments of v; W = min(S, v)
//   REPET-SIM      S[n, k] = median of v over the frames most similar to n (cosine similarity); W = min(S, v)
//   mask           (W + eps) / (v + eps), eps = 2^-52
// The reference Python port of REPET returns the period one frame too long; this one does not.
//
// Layout: frame-major, v[n * bins + k]. Same bits for any number of threads.
#pragma once

#include <cstdint>
#include <vector>

namespace mss::methods::classic {

/// b[0 … frames-1]. FFT-based, float64.
std::vector<double> beat_spectrum(const std::vector<double>& power, std::int64_t frames, int bins, int threads);

/// argmax of b over lags [min_lag, max_lag], both clipped to [1, frames - 1]; 0 if no lag is left.
std::int64_t repeating_period(const std::vector<double>& beat, std::int64_t min_lag, std::int64_t max_lag);

/// Mask of the background for a period >= 1.
template <class T>
std::vector<T> repet_mask(const std::vector<T>& v, std::int64_t frames, int bins, std::int64_t period, int threads);

/// The background itself: S[n, k] for n < min(period, frames). mask = background_mask(S[n mod period], v).
template <class T>
std::vector<T> repet_background(const std::vector<T>& v, std::int64_t frames, int bins, std::int64_t period,
                                int threads);
/// (W + eps) / (v + eps), W = min(background, v).
template <class T>
T background_mask(T background, T v);

struct SimilarityOptions {
  double threshold = 0;              ///< least cosine similarity, in [0, 1]
  std::int64_t distance_frames = 1;  ///< a neighbour is a strict maximum of the similarity over +-distance frames
  int max_neighbours = 100;
};

/// For every frame its similar frames, most similar first (ties: the earlier frame). A silent frame has similarity 0 to
/// all, itself too; a frame without any neighbour gets itself.
template <class T>
std::vector<std::vector<std::int32_t>> similar_frames(std::vector<T> v, std::int64_t frames, int bins,
                                                      const SimilarityOptions& options, int threads);

template <class T>
std::vector<T> repet_sim_mask(const std::vector<T>& v, std::int64_t frames, int bins,
                              const std::vector<std::vector<std::int32_t>>& neighbours, int threads);
/// The same for one frame, whose magnitudes are `own`, with its similar frames; `out` holds `bins` values.
template <class T>
void repet_sim_mask(const std::vector<T>& v, int bins, const std::vector<std::int32_t>& neighbours, const T* own,
                    T* out);

}  // namespace mss::methods::classic
