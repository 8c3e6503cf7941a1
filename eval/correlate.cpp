#include "eval/correlate.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/parallel.h"
#include "eval/fft.h"
#include "eval/kernels.h"

namespace mss::eval {

namespace {

constexpr int kBatch = 4;  ///< blocks whose spectra are multiplied in one go
/// Blocks between two inverse transforms: about 100,000 samples, few enough for exact rounding.
constexpr int kSelfGroup = 32, kCrossGroup = 28;

/// Adding and taking away 1.5 * 2^52 rounds to the nearest integer (|x| < 2^51) and vectorises on every processor.
constexpr double kRound = 6755399441055744.0;

bool on_grid(const double* x, std::int64_t n) {
  int off = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double v = x[i] * 32768.0;
    const double rounded = (v + kRound) - kRound;
    off |= static_cast<int>(v != rounded);
  }
  return off == 0;
}

/// How a stretch is cut: FFTs of n samples, in which a core is correlated with itself and the edges around it.
struct Blocks {
  int n;
  std::int64_t before;  ///< edge in front of the core: 0 where lags have one sign
  std::int64_t core;
  std::int64_t count;
  Blocks(std::int64_t samples, int taps, bool both_signs) {
    const std::int64_t edge = taps - 1, edges = both_signs ? 2 * edge : edge;
    const std::int64_t longest = std::max<std::int64_t>(8 * static_cast<std::int64_t>(taps), 1024);
    n = 32;
    while (n < longest && n < samples + edges) n *= 2;
    before = both_signs ? edge : 0;
    core = n - edges;
    count = (samples + core - 1) / core;
  }
};

struct Work {
  AlignedVector x, scratch, spectra, acc;
  std::vector<double> difference;
};

/// Spectrum of the core [start, start + core) of a feed; returns whether it lies on the grid.
bool core_spectrum(const Feed& feed, const Blocks& blocks, const RealFft& fft, std::int64_t start, std::int64_t begin,
                   std::int64_t end, double* x, double* difference, double* scratch, double* spectrum) {
  const std::int64_t stop_at = std::min(start + blocks.core, end);
  std::fill(x, x + blocks.before, 0.0);
  const bool exact = feed.load(start, stop_at, begin, end, x + blocks.before, difference);
  std::fill(x + blocks.before + (stop_at - start), x + blocks.n, 0.0);
  fft.forward(x, spectrum, scratch);
  return exact;
}

/// All pairs (a, m); `self` correlates x with itself over both signs of the lag (upper triangle), else lags 0 … L-1.
std::vector<double> correlate(const std::vector<Feed>& x, const std::vector<Feed>& y, bool self, std::int64_t begin,
                              std::int64_t end, int taps, int threads, const core::StopToken& stop,
                              const CoreSpectra* kept) {
  const int na = static_cast<int>(x.size());
  const int nb = self ? na : static_cast<int>(y.size());
  const std::size_t lags = self ? static_cast<std::size_t>(2 * taps - 1) : static_cast<std::size_t>(taps);
  std::vector<double> result(static_cast<std::size_t>(na) * static_cast<std::size_t>(nb) * lags);
  if (na == 0 || nb == 0 || end <= begin) return result;

  const Blocks cut(end - begin, taps, self);
  const int n = cut.n;
  const RealFft fft(n);
  const std::int64_t edge = taps - 1, blocks = cut.count, per_group = self ? kSelfGroup : kCrossGroup;
  const std::int64_t groups = (blocks + per_group - 1) / per_group;
  const std::int64_t row = 2 * fft.stride();
  const std::int64_t block_stride = row * (na + nb);
  const Kernels& k = kernels();
  const double scale = 1.0 / n;
  constexpr double kGrid = 1073741824.0;  // 2^30

  const auto run_group = [&](std::int64_t group, Work& w, double* out) {
    w.x.resize(static_cast<std::size_t>(n));
    w.difference.resize(static_cast<std::size_t>(n));
    w.scratch.resize(fft.scratch_size());
    w.spectra.resize(static_cast<std::size_t>(kBatch * block_stride));
    w.acc.assign(static_cast<std::size_t>(na * static_cast<std::int64_t>(nb) * row), 0.0);
    std::vector<char> grid_a(static_cast<std::size_t>(na), 1), grid_b(static_cast<std::size_t>(nb), 1);
    const std::int64_t last = std::min(blocks, (group + 1) * per_group);
    for (std::int64_t first = group * per_group; first < last; first += kBatch) {
      const int count = static_cast<int>(std::min<std::int64_t>(kBatch, last - first));
      const bool from_cache = kept != nullptr && first + count <= kept->blocks;
      for (int i = 0; i < count; ++i) {
        const std::int64_t start = begin + (first + i) * cut.core;
        double* spectra = w.spectra.data() + i * block_stride;
        for (int a = 0; a < na; ++a) {
          char& grid = grid_a[static_cast<std::size_t>(a)];
          bool exact = false;
          if (from_cache) {
            exact = kept->grid[static_cast<std::size_t>((first + i) * na + a)] != 0;
          } else {
            exact = core_spectrum(x[static_cast<std::size_t>(a)], cut, fft, start, begin, end, w.x.data(),
                                  w.difference.data(), w.scratch.data(), spectra + a * row);
          }
          grid = static_cast<char>(grid && exact);
        }
        for (int b = 0; b < nb; ++b) {
          const Feed& feed = self ? x[static_cast<std::size_t>(b)] : y[static_cast<std::size_t>(b)];
          const bool exact =
              feed.load(start - cut.before, start - cut.before + n, begin, end, w.x.data(), w.difference.data());
          grid_b[static_cast<std::size_t>(b)] = static_cast<char>(grid_b[static_cast<std::size_t>(b)] && exact);
          fft.forward(w.x.data(), spectra + (na + b) * row, w.scratch.data());
        }
      }
      CrossProducts p;
      p.a = from_cache ? kept->spectra.data() + first * na * row : w.spectra.data();
      p.a_block_stride = from_cache ? na * row : block_stride;
      p.b = w.spectra.data() + na * row;
      p.b_block_stride = block_stride;
      p.na = na;
      p.nb = nb;
      p.blocks = count;
      p.stride = fft.stride();
      p.upper = self;
      p.acc = w.acc.data();
      k.cross_products(p);
    }
    for (int a = 0; a < na; ++a) {
      for (int b = self ? a : 0; b < nb; ++b) {
        fft.inverse(w.acc.data() + (static_cast<std::int64_t>(a) * nb + b) * row, w.x.data(), w.scratch.data());
        const bool exact = grid_a[static_cast<std::size_t>(a)] && grid_b[static_cast<std::size_t>(b)];
        const std::size_t slot =
            self ? static_cast<std::size_t>(a) * static_cast<std::size_t>(nb) + static_cast<std::size_t>(b)
                 : static_cast<std::size_t>(b) * static_cast<std::size_t>(na) + static_cast<std::size_t>(a);
        double* to = out + slot * lags;
        const auto value = [&](std::int64_t lag) {
          double v = w.x[static_cast<std::size_t>(lag < 0 ? n + lag : lag)] * scale;
          if (exact) v = ((v * kGrid + kRound) - kRound) / kGrid;
          return v;
        };
        if (self) {
          for (std::int64_t lag = -edge; lag <= edge; ++lag) to[lag + edge] = value(lag);
        } else {
          for (std::int64_t lag = 0; lag <= edge; ++lag) to[lag] = value(lag);
        }
      }
    }
  };

  // Waves bound the memory; the order of addition is that of the groups.
  const int workers = core::resolve_threads(threads);
  std::vector<Work> work(static_cast<std::size_t>(workers));
  const std::int64_t wave = std::min<std::int64_t>(groups, workers);
  std::vector<std::vector<double>> partial(static_cast<std::size_t>(wave));
  for (std::int64_t first = 0; first < groups; first += wave) {
    const std::int64_t count = std::min(wave, groups - first);
    core::parallel_for_worker(count, threads, [&](std::int64_t i, int worker) {
      stop.check();
      auto& out = partial[static_cast<std::size_t>(i)];
      out.resize(result.size());
      run_group(first + i, work[static_cast<std::size_t>(worker)], out.data());
    });
    for (std::int64_t i = 0; i < count; ++i) {
      const auto& part = partial[static_cast<std::size_t>(i)];
      for (std::size_t v = 0; v < result.size(); ++v) result[v] += part[v];
    }
  }

  if (self) {
    for (int a = 0; a < na; ++a) {
      for (int b = 0; b < a; ++b) {
        const double* upper =
            result.data() +
            (static_cast<std::size_t>(b) * static_cast<std::size_t>(na) + static_cast<std::size_t>(a)) * lags;
        double* lower =
            result.data() +
            (static_cast<std::size_t>(a) * static_cast<std::size_t>(na) + static_cast<std::size_t>(b)) * lags;
        for (std::size_t v = 0; v < lags; ++v) lower[v] = upper[lags - 1 - v];
      }
      // A channel with itself is even; the transform leaves rounding noise.
      double* own = result.data() +
                    (static_cast<std::size_t>(a) * static_cast<std::size_t>(na) + static_cast<std::size_t>(a)) * lags;
      for (std::int64_t lag = 1; lag <= edge; ++lag) {
        const double mean = 0.5 * (own[edge + lag] + own[edge - lag]);
        own[edge + lag] = own[edge - lag] = mean;
      }
    }
  }
  return result;
}

}  // namespace

bool Feed::load(std::int64_t from, std::int64_t to, std::int64_t begin, std::int64_t end, double* out,
                double* scratch) const {
  const bool exact = load_whole(from, to, begin, end, out, scratch);
  if (part == Part::whole) return exact;
  bool any_rest = false;
  for (std::int64_t i = 0; i < to - from; ++i) {
    const double grid = std::nearbyint(out[i] * 0x1p15) * 0x1p-15;
    if (part == Part::grid) {
      out[i] = grid;
      continue;
    }
    const double left = out[i] - grid, fine = std::nearbyint(left * 0x1p31) * 0x1p-31;
    out[i] = part == Part::fine ? fine * 0x1p16 : (left - fine) * 0x1p32;
    any_rest = any_rest || out[i] != 0;
  }
  return part != Part::rest || !any_rest;
}

std::vector<Part> Feed::parts(std::int64_t begin, std::int64_t end) const {
  constexpr std::int64_t kStep = 4096;
  std::vector<double> x(kStep), scratch(kStep);
  bool fine = false, rest = false;
  for (std::int64_t t = begin; t < end && !rest; t += kStep) {
    const std::int64_t n = std::min(kStep, end - t);
    if (load_whole(t, t + n, begin, end, x.data(), scratch.data())) continue;
    for (std::int64_t i = 0; i < n; ++i) {
      const double left =
          x[static_cast<std::size_t>(i)] - std::nearbyint(x[static_cast<std::size_t>(i)] * 0x1p15) * 0x1p-15;
      fine = fine || left != 0;
      rest = rest || left != std::nearbyint(left * 0x1p31) * 0x1p-31;
    }
  }
  std::vector<Part> out = {Part::grid};
  if (fine) out.push_back(Part::fine);
  if (rest) out.push_back(Part::rest);
  return out;
}

bool Feed::load_whole(std::int64_t from, std::int64_t to, std::int64_t begin, std::int64_t end, double* out,
                      double* scratch) const {
  const std::int64_t a = std::clamp(begin, from, to), b = std::clamp(end, a, to);
  std::fill(out, out + (a - from), 0.0);
  std::fill(out + (b - from), out + (to - from), 0.0);
  if (b <= a) return true;
  double* inside = out + (a - from);
  const auto is_float = [](const Source* s) { return s->single() && !s->part(0).is_float64(); };
  if (is_float(plus) && (minus == nullptr || is_float(minus))) {
    return kernels().load_f32(plus->part(0).f32(channel) + a,
                              minus == nullptr ? nullptr : minus->part(0).f32(channel) + a, b - a, inside) == 0;
  }
  plus->load(channel, a, b - a, inside);
  if (minus != nullptr) {
    minus->load(channel, a, b - a, scratch);
    for (std::int64_t i = 0; i < b - a; ++i) inside[i] -= scratch[i];
  }
  return on_grid(inside, b - a);
}

std::vector<double> autocorrelations(const std::vector<Feed>& x, std::int64_t begin, std::int64_t end, int taps,
                                     int threads, const core::StopToken& stop) {
  return correlate(x, x, true, begin, end, taps, threads, stop, nullptr);
}

CoreSpectra core_spectra(const std::vector<Feed>& x, std::int64_t begin, std::int64_t end, int taps, int threads,
                         const core::StopToken& stop, std::int64_t budget_bytes) {
  CoreSpectra kept;
  const auto na = static_cast<std::int64_t>(x.size());
  if (na == 0 || end <= begin) return kept;
  const Blocks cut(end - begin, taps, false);
  const RealFft fft(cut.n);
  const std::int64_t row = 2 * fft.stride();
  const std::int64_t fit = budget_bytes / (na * row * static_cast<std::int64_t>(sizeof(double)));
  kept.blocks = fit >= cut.count ? cut.count : fit / kBatch * kBatch;
  kept.spectra.resize(static_cast<std::size_t>(kept.blocks * na * row));
  kept.grid.assign(static_cast<std::size_t>(kept.blocks * na), 0);
  std::vector<Work> work(static_cast<std::size_t>(core::resolve_threads(threads)));
  core::parallel_for_worker(kept.blocks, threads, [&](std::int64_t block, int worker) {
    stop.check();
    Work& w = work[static_cast<std::size_t>(worker)];
    w.x.resize(static_cast<std::size_t>(cut.n));
    w.difference.resize(static_cast<std::size_t>(cut.n));
    w.scratch.resize(fft.scratch_size());
    for (std::int64_t a = 0; a < na; ++a) {
      const bool exact =
          core_spectrum(x[static_cast<std::size_t>(a)], cut, fft, begin + block * cut.core, begin, end, w.x.data(),
                        w.difference.data(), w.scratch.data(), kept.spectra.data() + (block * na + a) * row);
      kept.grid[static_cast<std::size_t>(block * na + a)] = static_cast<char>(exact);
    }
  });
  return kept;
}

std::vector<double> cross_correlations(const std::vector<Feed>& x, const std::vector<Feed>& y, std::int64_t begin,
                                       std::int64_t end, int taps, int threads, const core::StopToken& stop,
                                       const CoreSpectra* kept) {
  return correlate(x, y, false, begin, end, taps, threads, stop, kept);
}

}  // namespace mss::eval
