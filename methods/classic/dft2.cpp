#include "methods/classic/dft2.h"

#include <fftw3.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <memory>
#include <mutex>
#include <string>

#include "audio/fftw_mutex.h"
#include "core/error.h"
#include "core/parallel.h"
#include "core/spill.h"
#include "core/stop.h"

namespace mss::methods::classic {
namespace {

using Complex = std::complex<double>;

/// In-place complex 2-D transform of an N x F array; unnormalised in both directions.
void dft2(std::vector<Complex>& data, std::int64_t frames, int bins, int sign) {
  auto* p = reinterpret_cast<fftw_complex*>(data.data());
  fftw_plan plan = nullptr;
  {
    const std::lock_guard lock(audio::fftw_planner_mutex());
    plan = fftw_plan_dft_2d(static_cast<int>(frames), bins, p, p, sign, FFTW_ESTIMATE | FFTW_UNALIGNED);
  }
  fftw_execute(plan);
  const std::lock_guard lock(audio::fftw_planner_mutex());
  fftw_destroy_plan(plan);
}

/// One-dimensional in-place transforms of `size` points; execute() from several threads at once.
class Transform {
 public:
  Transform(std::int64_t size, int sign) : size_(static_cast<int>(size)) {
    std::vector<Complex> scratch(static_cast<std::size_t>(size));
    auto* p = reinterpret_cast<fftw_complex*>(scratch.data());
    const std::lock_guard lock(audio::fftw_planner_mutex());
    plan_ = fftw_plan_dft_1d(size_, p, p, sign, FFTW_ESTIMATE | FFTW_UNALIGNED);
  }
  ~Transform() {
    const std::lock_guard lock(audio::fftw_planner_mutex());
    fftw_destroy_plan(plan_);
  }
  Transform(const Transform&) = delete;
  Transform& operator=(const Transform&) = delete;
  void execute(Complex* data) const {
    auto* p = reinterpret_cast<fftw_complex*>(data);
    fftw_execute_dft(plan_, p, p);
  }

 private:
  int size_;
  fftw_plan plan_ = nullptr;
};

void check(const Dft2Options& options) {
  if (options.neighbourhood < 3 || options.neighbourhood % 2 == 0) {
    throw Error({Code::invalid_argument, "dft2", "bad neighbourhood", "an odd number >= 3",
                 std::to_string(options.neighbourhood), ""});
  }
}

struct Peak {
  std::int64_t frame = 0;
  double strength = 0;
};

/// Peaks of one column of the normalised magnitudes along the rate axis (the transform of time), cyclic.
std::vector<Peak> column_peaks(const std::vector<double>& column, const Dft2Options& options, double spread) {
  const auto frames = static_cast<std::int64_t>(column.size());
  const std::int64_t half = std::min<std::int64_t>(options.neighbourhood / 2, (frames - 1) / 2);
  const auto width = static_cast<double>(2 * half + 1);
  std::vector<Peak> peaks;
  for (std::int64_t n = 0; n < frames; ++n) {
    const double here = column[static_cast<std::size_t>(n)];
    double high = here, low = here, s = 0, q = 0;
    for (std::int64_t o = -half; o <= half; ++o) {
      const double x = column[static_cast<std::size_t>((n + o + frames) % frames)];
      high = std::max(high, x);
      low = std::min(low, x);
      s += x;
      q += x * x;
    }
    if (here != high) continue;
    double value = 0;
    if (options.original) {
      value = high - low > spread ? 1.0 : 0.0;
    } else {
      const double mean = s / width, deviation = std::sqrt(std::max(0.0, q / width - mean * mean));
      value = (high - mean) / (deviation + 1e-7);
    }
    if (value != 0) peaks.push_back({n, value});
  }
  return peaks;
}

/// The peaks of column k and of its mirror image, reflected both ways: the larger of the mirrored points, over frames.
void symmetric_column(const std::vector<Peak>& own, const std::vector<Peak>& mirrored, std::vector<double>& out) {
  std::ranges::fill(out, 0.0);
  const auto frames = static_cast<std::int64_t>(out.size());
  for (const auto* peaks : {&own, &mirrored}) {
    for (const Peak& peak : *peaks) {
      for (const std::int64_t n : {peak.frame, (frames - peak.frame) % frames}) {
        double& at = out[static_cast<std::size_t>(n)];
        at = std::max(at, peak.strength);
      }
    }
  }
}

double spread_of(double sum, double square, double count) {
  return std::sqrt(std::max(0.0, square / count - (sum / count) * (sum / count)));
}

/// background / v, from the inverse transform's real part.
double raw_mask(double real, double count, float v) {
  const double background = std::min(std::abs(real) / count, static_cast<double>(v));
  return v > 0 ? background / static_cast<double>(v) : 0.0;
}

}  // namespace

std::vector<float> dft2_mask(std::vector<float> v, std::int64_t frames, int bins, const Dft2Options& options) {
  check(options);
  MSS_ASSERT(v.size() == static_cast<std::size_t>(frames * bins));
  const std::size_t size = v.size();
  const auto silent = [&] {
    std::ranges::fill(v, 0.0F);
    return std::move(v);
  };
  if (size == 0) return v;
  std::vector<Complex> transform(v.begin(), v.end());
  dft2(transform, frames, bins, FFTW_FORWARD);
  double largest = 0;
  for (std::int64_t n = 0; n < frames; ++n) {
    core::check_stop();
    for (std::int64_t i = n * bins; i < (n + 1) * bins; ++i)
      largest = std::max(largest, std::abs(transform[static_cast<std::size_t>(i)]));
  }
  if (largest == 0) return silent();
  const auto count = static_cast<double>(size);
  double spread = 0;
  if (options.original) {
    double sum = 0, square = 0;
    for (const Complex& z : transform) {
      const double x = std::abs(z) / largest;
      sum += x;
      square += x * x;
    }
    spread = spread_of(sum, square, count);
  }
  // Neighbourhoods are cyclic columns of constant k.
  std::vector<std::vector<Peak>> peaks(static_cast<std::size_t>(bins));
  std::vector<double> column(static_cast<std::size_t>(frames));
  double strongest = 0;
  for (int k = 0; k < bins; ++k) {
    core::check_stop();
    for (std::int64_t n = 0; n < frames; ++n) {
      column[static_cast<std::size_t>(n)] = std::abs(transform[static_cast<std::size_t>(n * bins + k)]) / largest;
    }
    peaks[static_cast<std::size_t>(k)] = column_peaks(column, options, spread);
    for (const Peak& peak : peaks[static_cast<std::size_t>(k)]) strongest = std::max(strongest, peak.strength);
  }
  if (strongest == 0) return silent();
  for (int k = 0; k < bins; ++k) {
    symmetric_column(peaks[static_cast<std::size_t>(k)], peaks[static_cast<std::size_t>((bins - k) % bins)], column);
    for (std::int64_t n = 0; n < frames; ++n) {
      transform[static_cast<std::size_t>(n * bins + k)] *= column[static_cast<std::size_t>(n)] / strongest;
    }
  }
  peaks = {};
  core::check_stop();
  dft2(transform, frames, bins, FFTW_BACKWARD);
  double top = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const double m = raw_mask(transform[i].real(), count, v[i]);
    v[i] = static_cast<float>(m);
    top = std::max(top, m);
  }
  if (top > 0) {
    for (float& m : v) m = static_cast<float>(static_cast<double>(m) / top);
  }
  return v;
}

// The transform lies in tiles of kRows x kColumns points, so that whole rows and whole columns can be gathered with
// long reads. Passes: rows forward while loading; then, by columns, forward, peaks, product with the symmetric peaks,
// backward; then rows backward whenever masks are wanted.
struct Dft2Background::Impl {
  static constexpr std::int64_t kRows = 256, kColumns = 16;
  static constexpr std::int64_t kPoint = sizeof(Complex) / sizeof(float);

  Impl(std::int64_t frames_, int bins_, const Dft2Options& options_, int threads_, std::int64_t memory_bytes)
      : frames(frames_),
        bins(bins_),
        options(options_),
        threads(threads_),
        row_tiles((frames + kRows - 1) / kRows),
        column_tiles((bins + kColumns - 1) / kColumns),
        spill(memory_bytes),
        row_forward(bins, FFTW_FORWARD),
        row_backward(bins, FFTW_BACKWARD) {
    check(options);
    constexpr std::int64_t kTileFloats = kRows * kColumns * kPoint;
    for (std::int64_t i = 0; i < row_tiles * column_tiles; ++i) spill.add(kTileFloats);
    // Tiles are read whole, and the last ones are not filled: the file must reach to their end.
    const float end = 0;
    if (row_tiles * column_tiles > 0) spill.write(row_tiles * column_tiles - 1, kTileFloats - 1, 1, &end);
  }

  std::int64_t tile(std::int64_t row_tile, std::int64_t column_tile) const {
    return row_tile * column_tiles + column_tile;
  }

  /// Rows [first, first + count) of one row of tiles, from or to rows[n * bins + k].
  template <class Move>
  void rows(std::int64_t first, std::int64_t count, const Move& move) const {
    const std::int64_t inside = first % kRows;
    core::parallel_for(column_tiles, threads, [&](std::int64_t t) {
      const std::int64_t columns = std::min(kColumns, bins - t * kColumns);
      for (std::int64_t n = 0; n < count; ++n) {
        move(tile(first / kRows, t), (inside + n) * kColumns * kPoint, columns * kPoint, n * bins + t * kColumns);
      }
    });
  }

  void load(std::int64_t first, std::int64_t count, const float* v) {
    std::vector<Complex> part;
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t n = std::min(count - done, kRows - (first + done) % kRows);
      part.assign(v + done * bins, v + (done + n) * bins);
      core::parallel_for(n, threads, [&](std::int64_t i) { row_forward.execute(part.data() + i * bins); });
      rows(first + done, n, [&](std::int64_t block, std::int64_t offset, std::int64_t floats, std::int64_t at) {
        spill.write(block, offset, floats, reinterpret_cast<const float*>(part.data() + at));
      });
      done += n;
    }
    loaded += count;
  }

  /// Calls use(k, column) for every column, several at once, and writes the columns back where wanted.
  template <class Use>
  void columns(bool write_back, const Use& use) {
    std::vector<Complex> gathered(static_cast<std::size_t>(row_tiles * kRows * kColumns));
    std::vector<std::vector<Complex>> column(static_cast<std::size_t>(kColumns),
                                             std::vector<Complex>(static_cast<std::size_t>(frames)));
    for (std::int64_t t = 0; t < column_tiles; ++t) {
      constexpr std::int64_t kTile = kRows * kColumns;
      core::parallel_for(row_tiles, threads, [&](std::int64_t r) {
        spill.read(tile(r, t), 0, kTile * kPoint, reinterpret_cast<float*>(gathered.data() + r * kTile));
      });
      core::parallel_for(std::min(kColumns, bins - t * kColumns), threads, [&](std::int64_t c) {
        std::vector<Complex>& values = column[static_cast<std::size_t>(c)];
        for (std::int64_t n = 0; n < frames; ++n)
          values[static_cast<std::size_t>(n)] = gathered[static_cast<std::size_t>(n * kColumns + c)];
        use(static_cast<int>(t * kColumns + c), values);
        for (std::int64_t n = 0; write_back && n < frames; ++n)
          gathered[static_cast<std::size_t>(n * kColumns + c)] = values[static_cast<std::size_t>(n)];
      });
      if (!write_back) continue;
      core::parallel_for(row_tiles, threads, [&](std::int64_t r) {
        spill.write(tile(r, t), 0, kTile * kPoint, reinterpret_cast<const float*>(gathered.data() + r * kTile));
      });
    }
  }

  /// From the rows' transforms to the columns of the weighted transform, transformed back.
  void solve() {
    MSS_ASSERT(loaded == frames);
    solved = true;
    if (frames == 0) return;
    const Transform forward(frames, FFTW_FORWARD), backward(frames, FFTW_BACKWARD);
    std::vector<double> largest_of(static_cast<std::size_t>(bins));
    columns(true, [&](int k, std::vector<Complex>& column) {
      forward.execute(column.data());
      for (const Complex& z : column)
        largest_of[static_cast<std::size_t>(k)] = std::max(largest_of[static_cast<std::size_t>(k)], std::abs(z));
    });
    const double largest = *std::ranges::max_element(largest_of);
    silent = largest == 0;
    if (silent) return;
    double spread = 0;
    if (options.original) {
      std::vector<double> sums(static_cast<std::size_t>(bins)), squares(static_cast<std::size_t>(bins));
      columns(false, [&](int k, const std::vector<Complex>& column) {
        for (const Complex& z : column) {
          const double x = std::abs(z) / largest;
          sums[static_cast<std::size_t>(k)] += x;
          squares[static_cast<std::size_t>(k)] += x * x;
        }
      });
      double sum = 0, square = 0;
      for (std::size_t k = 0; k < sums.size(); ++k) {
        sum += sums[k];
        square += squares[k];
      }
      spread = spread_of(sum, square, static_cast<double>(frames) * bins);
    }
    std::vector<std::vector<Peak>> peaks(static_cast<std::size_t>(bins));
    columns(false, [&](int k, const std::vector<Complex>& column) {
      std::vector<double> d(column.size());
      for (std::size_t n = 0; n < d.size(); ++n) d[n] = std::abs(column[n]) / largest;
      peaks[static_cast<std::size_t>(k)] = column_peaks(d, options, spread);
    });
    double strongest = 0;
    for (const auto& list : peaks) {
      for (const Peak& peak : list) strongest = std::max(strongest, peak.strength);
    }
    silent = strongest == 0;
    if (silent) return;
    columns(true, [&](int k, std::vector<Complex>& column) {
      std::vector<double> weights(column.size());
      symmetric_column(peaks[static_cast<std::size_t>(k)], peaks[static_cast<std::size_t>((bins - k) % bins)], weights);
      for (std::size_t n = 0; n < weights.size(); ++n) column[n] *= weights[n] / strongest;
      backward.execute(column.data());
    });
  }

  /// background / v before it is divided by its largest value.
  template <class Use>
  void raw_masks(std::int64_t first, std::int64_t count, const float* v, const Use& use) const {
    const double points = static_cast<double>(frames) * bins;
    std::vector<Complex> part;
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t n = std::min(count - done, kRows - (first + done) % kRows);
      part.resize(static_cast<std::size_t>(n * bins));
      rows(first + done, n, [&](std::int64_t block, std::int64_t offset, std::int64_t floats, std::int64_t at) {
        spill.read(block, offset, floats, reinterpret_cast<float*>(part.data() + at));
      });
      core::parallel_for(n, threads, [&](std::int64_t i) {
        Complex* row = part.data() + i * bins;
        row_backward.execute(row);
        const std::int64_t at = (done + i) * bins;
        for (int k = 0; k < bins; ++k) row[k] = raw_mask(row[k].real(), points, v[at + k]);
      });
      for (std::int64_t i = 0; i < n * bins; ++i) use(done * bins + i, part[static_cast<std::size_t>(i)].real());
      done += n;
    }
  }

  std::int64_t frames;
  int bins;
  Dft2Options options;
  int threads;
  std::int64_t row_tiles, column_tiles;
  core::Spill spill;
  Transform row_forward, row_backward;
  std::int64_t loaded = 0;
  bool solved = false, silent = false;
  double top = 0;
};

Dft2Background::Dft2Background(std::int64_t frames, int bins, const Dft2Options& options, int threads,
                               std::int64_t memory_bytes)
    : impl_(std::make_unique<Impl>(frames, bins, options, threads, memory_bytes)) {}
Dft2Background::~Dft2Background() = default;
Dft2Background::Dft2Background(Dft2Background&&) noexcept = default;

void Dft2Background::load(std::int64_t first, std::int64_t count, const float* v) { impl_->load(first, count, v); }

void Dft2Background::scan(std::int64_t first, std::int64_t count, const float* v) {
  if (!impl_->solved) impl_->solve();
  if (impl_->silent) return;
  impl_->raw_masks(first, count, v, [this](std::int64_t, double m) { impl_->top = std::max(impl_->top, m); });
}

void Dft2Background::masks(std::int64_t first, std::int64_t count, const float* v, float* out) const {
  MSS_ASSERT(impl_->solved || impl_->frames == 0);
  if (impl_->silent || impl_->top == 0) {
    std::fill_n(out, count * impl_->bins, 0.0F);
    return;
  }
  impl_->raw_masks(first, count, v, [this, out](std::int64_t at, double m) {
    out[at] = static_cast<float>(static_cast<double>(static_cast<float>(m)) / impl_->top);
  });
}

}  // namespace mss::methods::classic
