// Running medians of spectrograms, the tool of median filtering (FitzGerald, "Harmonic/percussive separation using
// median filtering", DAFx 2010). Boundaries are reflected with the edge repeated (d c b a | a b c d | d c b a).
//
// Layout: frame-major, v[n * bins + k], n < frames, k < bins. Pure functions, instantiated for float and double; the
// same bits for any number of threads.
#pragma once

#include <cstdint>
#include <vector>

namespace mss::methods {

/// Running median of odd `length` over time (each bin by itself) or over frequency (each frame by itself).
/// Throws Error(invalid_argument) for an even or non-positive length.
template <class T>
std::vector<T> median_over_time(const std::vector<T>& v, std::int64_t frames, int bins, int length, int threads);
template <class T>
std::vector<T> median_over_bins(const std::vector<T>& v, std::int64_t frames, int bins, int length, int threads);
/// The median over time of those frames only whose window lies inside: frames - length + 1 of them, the first one being
/// that of frame length / 2. For signals in blocks, whose caller brings the surroundings along.
template <class T>
std::vector<T> inner_median_over_time(const std::vector<T>& v, std::int64_t frames, int bins, int length, int threads);

/// Frames [begin, end) of a stream of which `v` holds those from `kept` to `known`, reflected at the stream's beginning
/// and, once it has `ended`, at its end. Before the end only the beginning reflects, and only once: callers wait until
/// there are frames enough for that.
std::vector<float> reflected_frames(const std::vector<float>& v, std::int64_t kept, std::int64_t known, bool ended,
                                    std::int64_t begin, std::int64_t end, int bins);

/// Index of n values reflected with the edge repeated, for any distance outside; n >= 1.
std::int64_t reflected_index(std::int64_t i, std::int64_t n);

}  // namespace mss::methods
