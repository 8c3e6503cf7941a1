#include "eval/correlate.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/parallel.h"
#include "eval/fft.h"
#include "eval/kernels.h"

namespace mss::eval {

namespace {

constexpr int kBatch = 4;   ///< blocks whose spectra are multiplied in one go
constexpr int kGroup = 32;  ///< blocks between two inverse transforms; short enough for exact rounding

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

int block_length(std::int64_t samples, int taps) {
  const std::int64_t whole = samples + 2 * (taps - 1);
  std::int64_t n = 32;
  const std::int64_t longest = std::max<std::int64_t>(8 * static_cast<std::int64_t>(taps), 1024);
  while (n < longest && n < whole) n *= 2;
  return static_cast<int>(n);
}

struct Work {
  AlignedVector x, scratch, spectra, acc, lags;
  std::vector<double> difference;
};

/// All pairs (a, m); `self` correlates x with itself over both signs of the lag (upper triangle), else lags 0 … L-1.
std::vector<double> correlate(const std::vector<Feed>& x, const std::vector<Feed>& y, bool self, std::int64_t begin,
                              std::int64_t end, int taps, int threads, const core::StopToken& stop, CoreSpectra* keep,
                              const CoreSpectra* kept) {
  const int na = static_cast<int>(x.size());
  const int nb = self ? na : static_cast<int>(y.size());
  const std::size_t lags = self ? static_cast<std::size_t>(2 * taps - 1) : static_cast<std::size_t>(taps);
  std::vector<double> result(static_cast<std::size_t>(na) * static_cast<std::size_t>(nb) * lags);
  if (na == 0 || nb == 0 || end <= begin) return result;

  const int n = block_length(end - begin, taps);
  const RealFft fft(n);
  const std::int64_t edge = taps - 1, core = n - 2 * edge;
  const std::int64_t blocks = (end - begin + core - 1) / core;
  const std::int64_t groups = (blocks + kGroup - 1) / kGroup;
  const std::int64_t row = 2 * fft.stride();
  const std::int64_t block_stride = row * (na + nb);
  const Kernels& k = kernels();
  const double scale = 1.0 / n;
  constexpr double kGrid = 1073741824.0;  // 2^30

  if (keep != nullptr) {
    const std::int64_t fit =
        keep->budget_bytes / std::max<std::int64_t>(1, na * row * static_cast<std::int64_t>(sizeof(double)));
    keep->blocks = fit >= blocks ? blocks : fit / kBatch * kBatch;
    keep->spectra.resize(static_cast<std::size_t>(keep->blocks * na * row));
    keep->grid.assign(static_cast<std::size_t>(keep->blocks * na), 0);
  }

  const auto run_group = [&](std::int64_t group, Work& w, double* out) {
    w.x.resize(static_cast<std::size_t>(n));
    w.difference.resize(static_cast<std::size_t>(n));
    w.scratch.resize(fft.scratch_size());
    w.spectra.resize(static_cast<std::size_t>(kBatch * block_stride));
    w.acc.assign(static_cast<std::size_t>(na * static_cast<std::int64_t>(nb) * row), 0.0);
    std::vector<char> grid_a(static_cast<std::size_t>(na), 1), grid_b(static_cast<std::size_t>(nb), 1);
    const std::int64_t last = std::min(blocks, (group + 1) * kGroup);
    for (std::int64_t first = group * kGroup; first < last; first += kBatch) {
      const int count = static_cast<int>(std::min<std::int64_t>(kBatch, last - first));
      const bool from_cache = kept != nullptr && first + count <= kept->blocks;
      for (int i = 0; i < count; ++i) {
        const std::int64_t start = begin + (first + i) * core;
        const std::int64_t stop_at = std::min(start + core, end);
        double* spectra = w.spectra.data() + i * block_stride;
        for (int a = 0; a < na; ++a) {
          char& grid = grid_a[static_cast<std::size_t>(a)];
          const auto slot = static_cast<std::size_t>((first + i) * na + a);
          if (from_cache) {
            grid = static_cast<char>(grid && kept->grid[slot]);
            continue;
          }
          std::fill(w.x.begin(), w.x.begin() + edge, 0.0);
          const bool exact =
              x[static_cast<std::size_t>(a)].load(start, stop_at, begin, end, w.x.data() + edge, w.difference.data());
          std::fill(w.x.begin() + edge + (stop_at - start), w.x.end(), 0.0);
          grid = static_cast<char>(grid && exact);
          fft.forward(w.x.data(), spectra + a * row, w.scratch.data());
          if (keep != nullptr && first + i < keep->blocks) {
            std::copy_n(spectra + a * row, row, keep->spectra.data() + static_cast<std::int64_t>(slot) * row);
            keep->grid[slot] = static_cast<char>(exact);
          }
        }
        for (int b = 0; b < nb; ++b) {
          const Feed& feed = self ? x[static_cast<std::size_t>(b)] : y[static_cast<std::size_t>(b)];
          const bool exact = feed.load(start - edge, start - edge + n, begin, end, w.x.data(), w.difference.data());
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
                                     int threads, const core::StopToken& stop, CoreSpectra* keep) {
  return correlate(x, x, true, begin, end, taps, threads, stop, keep, nullptr);
}

std::vector<double> cross_correlations(const std::vector<Feed>& x, const std::vector<Feed>& y, std::int64_t begin,
                                       std::int64_t end, int taps, int threads, const core::StopToken& stop,
                                       const CoreSpectra* kept) {
  return correlate(x, y, false, begin, end, taps, threads, stop, nullptr, kept);
}

}  // namespace mss::eval
