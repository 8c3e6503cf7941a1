#include "methods/nmf/nmf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "methods/nmf/kernels.h"

namespace mss::methods::nmf {

template <>
const Kernels<float>& kernels<float>() {
  static const Kernels<float>& chosen = *MSS_ACTIVE_ISA(const Kernels<float>*, kKernelsFloat);
  return chosen;
}

template <>
const Kernels<double>& kernels<double>() {
  static const Kernels<double>& chosen = *MSS_ACTIVE_ISA(const Kernels<double>*, kKernelsDouble);
  return chosen;
}

namespace {

using Index = std::int64_t;
constexpr double kEps = std::numeric_limits<double>::epsilon();  // the toolbox's 2^-52

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

Index round_up(Index n, Index multiple) { return (n + multiple - 1) / multiple * multiple; }

/// The right factor of products, in the panels that the kernels read one after the other.
template <class T>
class Panels {
 public:
  Panels() = default;
  Panels(Index rows, Index columns) : rows_(rows), width_(kernels<T>().panel) {
    data_.assign(sz(rows * round_up(columns, width_)), T(0));
  }
  Index stride() const { return rows_ * width_; }
  Index width() const { return width_; }
  T* at(Index row, Index column) { return data_.data() + offset(row, column); }
  const T* at(Index row, Index column) const { return data_.data() + offset(row, column); }
  void set_row(Index row, const T* values, Index columns) {
    for (Index j = 0; j < columns; j += width_) {
      std::copy_n(values + j, std::min(width_, columns - j), at(row, j));
    }
  }

 private:
  Index offset(Index row, Index column) const { return column / width_ * stride() + row * width_ + column % width_; }
  Index rows_ = 0, width_ = 1;
  std::vector<T> data_;
};

[[noreturn]] void bad(std::string what, std::string expected = {}, std::string found = {}) {
  throw Error({Code::invalid_argument, "nmf", std::move(what), std::move(expected), std::move(found), {}});
}

template <class T>
void require_non_negative(const T* x, Index count, const char* name) {
  int fine = 1;  // a loop without branches first: the data is large
  for (Index i = 0; i < count; ++i) fine &= (x[i] >= T(0)) & (x[i] <= std::numeric_limits<T>::max());
  for (Index i = 0; i < count && fine == 0; ++i) {
    if (!(x[i] >= T(0)) || !std::isfinite(x[i])) {
      bad(fmt::format("{} has an entry that is negative or not finite", name), "finite values >= 0",
          fmt::format("{}", x[i]));
    }
  }
}

Ratio ratio_kind(double beta) {
  if (beta == 1.0) return Ratio::kl;
  if (beta == 2.0) return Ratio::euclidean;
  if (beta == 0.0) return Ratio::itakura;
  return Ratio::general;
}

double beta_term(double v, double l, double beta, double floor) {
  l = std::max(l, floor);
  if (beta == 1.0) return v > 0 ? v * std::log(v / l) - v + l : l;
  if (beta == 2.0) return 0.5 * (v - l) * (v - l);
  if (beta <= 0.0) v = std::max(v, floor);
  if (beta == 0.0) return v / l - std::log(v / l) - 1.0;
  return (std::pow(v, beta) + (beta - 1.0) * std::pow(l, beta) - beta * v * std::pow(l, beta - 1.0)) /
         (beta * (beta - 1.0));
}

// The shifted copies of H that turn the convolution into one product: row t * R + r is H[r] moved right by t within its
// segment. `line` has room for one row.
template <class T>
void stack_shifts(const T* h, Index components, Index frames, Index template_frames, Index segment, T* line,
                  Panels<T>& out) {
  for (Index t = 0; t < template_frames; ++t) {
    for (Index r = 0; r < components; ++r) {
      const T* source = h + r * frames;
      for (Index begin = 0; begin < frames; begin += segment) {
        const Index end = std::min(begin + segment, frames);
        const Index first = std::min(begin + t, end);
        std::fill(line + begin, line + first, T(0));
        std::copy(source + begin, source + begin + (end - first), line + first);
      }
      out.set_row(t * components + r, line, frames);
    }
  }
}

// Frames whose weights are computed before they are used: few enough to stay near beside a tile of V, many enough that
// sums over frames seldom leave the registers.
constexpr Index kBlockFrames = 256;

struct Tiling {
  Index rows, tiles, groups;
};

template <class T>
Tiling tiling_of(Index bins, Index padded_frames, Index columns) {
  Tiling out{};
  // A tile of V stays in the second-level cache from the update of W to that of H.
  const Index budget = 196608 / static_cast<Index>(sizeof(T));
  out.rows = std::clamp<Index>(budget / std::max<Index>(padded_frames, 1) / 12 * 12, 24, 96);
  out.tiles = (bins + out.rows - 1) / out.rows;
  // Sums over tiles are kept per group of consecutive tiles and added in group order, so the groups follow from the
  // shape alone.
  out.groups = std::clamp<Index>(std::min<Index>(out.tiles, bins / (4 * std::max<Index>(columns, 1))), 1, 8);
  return out;
}

template <class T>
class Engine {
 public:
  Engine(MatrixView<T> v, Factors<T>& factors, const FitOptions<T>& options)
      : kernels_(kernels<T>()), v_(v), factors_(factors), options_(options) {
    bins_ = factors.bins;
    frames_ = factors.frames;
    components_ = factors.components;
    template_frames_ = factors.template_frames;
    segment_ = options.segment_frames > 0 ? options.segment_frames : std::max<Index>(frames_, 1);
    columns_ = components_ * template_frames_;
    columns_padded_ = round_up(columns_, kernels_.lanes);
    frames_padded_ = round_up(frames_, kernels_.lanes);
    clean_ = options.update == Update::clean;
    gamma_ = clean_ ? update_exponent(options.beta) : 1.0;
    ratio_.kind = ratio_kind(options.beta);
    ratio_.beta = static_cast<T>(options.beta);
    needs_den_ = ratio_.kind != Ratio::kl;
    update_w_ = !options.fix_w && options.fixed_components < components_;
    update_h_ = !options.fix_h;
    if (clean_) {
      ratio_.floor = static_cast<T>(options.floor);
    } else {
      ratio_.add = static_cast<T>(options.update == Update::toolbox_nmfd ? 2 * kEps : kEps);
      double sum = 0;
      for (Index k = 0; k < bins_; ++k) {
        for (Index m = 0; m < frames_; ++m) sum += static_cast<double>(v_.data[k * v_.ld + m]);
      }
      ratio_.scale = static_cast<T>(1.0 / (kEps + sum));
    }
    const Tiling tiling = tiling_of<T>(bins_, frames_padded_, columns_);
    tile_rows_ = tiling.rows;
    tiles_ = tiling.tiles;
    groups_ = tiling.groups;
    threads_ = core::resolve_threads(options.threads);
    workers_ = static_cast<int>(std::min<Index>(threads_, groups_));

    w_.assign(sz(bins_ * columns_padded_), T(0));
    shifted_ = Panels<T>(columns_, frames_);
    if (update_w_) shifted_transposed_ = Panels<T>(frames_, columns_);
    line_.assign(sz(frames_), T(0));
    if (update_h_) {
      numerator_h_.assign(sz(groups_ * columns_ * frames_padded_), T(0));
      if (needs_den_) denominator_h_.assign(sz(groups_ * columns_ * frames_padded_), T(0));
    }
    // The clean form computes weights twice, a block at a time. One stale model serves both factors: it is kept. A
    // vector more than the frames take, lest rows 4 KiB apart fall into the same few cache sets.
    ld_ = (clean_ ? kBlockFrames : frames_padded_) + kernels_.lanes;
    scratch_.resize(sz(workers_));
    for (auto& s : scratch_) {
      s.numerator.assign(sz(tile_rows_ * ld_), T(0));
      if (needs_den_) s.denominator.assign(sz(tile_rows_ * ld_), T(0));
      s.w_numerator.assign(sz(tile_rows_ * columns_padded_), T(0));
      if (needs_den_) s.w_denominator.assign(sz(tile_rows_ * columns_padded_), T(0));
    }
    row_sums_.assign(sz(columns_), 0.0);
    w_denominator_.assign(sz(columns_), T(0));
    scale_.assign(sz(columns_), T(1));
    column_sums_.assign(sz(columns_padded_), 0.0);
    template_sums_.assign(sz(components_), 0.0);
    template_norms_.assign(sz(components_), 0.0);
    h_numerator_.assign(sz(components_ * frames_), T(0));
    h_denominator_.assign(sz(components_ * frames_), T(0));
    tile_costs_.assign(sz(tiles_), 0.0);
    load();
  }

  void load() {
    for (Index k = 0; k < bins_; ++k) {
      std::copy_n(factors_.w.begin() + k * columns_, columns_, w_.begin() + k * columns_padded_);
    }
  }
  void store() {
    for (Index k = 0; k < bins_; ++k) {
      std::copy_n(w_.begin() + k * columns_padded_, columns_, factors_.w.begin() + k * columns_);
    }
  }

  void stack() {
    stack_shifts(factors_.h.data(), components_, frames_, template_frames_, segment_, line_.data(), shifted_);
  }

  void iterate() {
    const core::FlushDenormals flush;
    if (options_.continuity > 0) {
      // Virtanen's order: gains, then templates, each from a fresh model.
      do_w_ = false, do_h_ = update_h_;
      step();
      do_w_ = update_w_, do_h_ = false;
      step();
    } else {
      do_w_ = update_w_, do_h_ = update_h_;
      step();
    }
    normalise();
  }

  // D for the clean form and toolbox_nmf, otherwise the number that the toolbox's code reports.
  double cost() {
    stack();
    core::parallel_for_worker(groups_, workers_, [this](Index group, int worker) { cost_pass(group, worker); });
    double sum = 0;
    for (const double c : tile_costs_) sum += c;
    const bool mean = options_.update == Update::toolbox_nmfd || options_.update == Update::toolbox_nmfconv;
    return mean && bins_ * frames_ > 0 ? sum / static_cast<double>(bins_ * frames_) : sum;
  }

 private:
  struct Scratch {
    std::vector<T> numerator, denominator, w_numerator, w_denominator;
  };

  void step() {
    const bool norms = clean_ && options_.sparsity > 0;
    if (do_w_ || do_h_) {
      stack();
      if (do_w_) transpose();
      if (norms && do_w_) measure_norms();
      core::parallel_for_worker(groups_, workers_, [this](Index group, int worker) { pass(group, worker); });
    }
    sum_columns();
    if (do_h_) {
      if (norms) measure_norms();
      core::parallel_for(components_, static_cast<int>(std::min<Index>(threads_, components_)),
                         [this](Index r) { update_row(r); });
    }
  }

  void transpose() {
    std::fill(row_sums_.begin(), row_sums_.end(), 0.0);
    for (Index begin = 0; begin < frames_; begin += shifted_.width()) {
      const Index count = std::min(shifted_.width(), frames_ - begin);
      for (Index p = 0; p < columns_; ++p) {
        const T* row = shifted_.at(p, begin);
        T* column = shifted_transposed_.at(begin, p);
        double sum = 0;
        for (Index m = 0; m < count; ++m) {
          sum += static_cast<double>(row[m]);
          column[m * shifted_transposed_.width()] = row[m];
        }
        row_sums_[sz(p)] += sum;
      }
    }
    std::transform(row_sums_.begin(), row_sums_.end(), w_denominator_.begin(),
                   [](double x) { return static_cast<T>(x); });
  }

  Index tiles_begin(Index group) const { return tiles_ * group / groups_; }

  // Rows x frames of the model or its weights at hand: those of [begin, begin + count) start at this column of a
  // scratch.
  Index column(Index begin) const { return clean_ ? 0 : begin; }

  Product<T> model(Index row, Index rows, Index begin, Index count, Scratch& s) const {
    return {.m = rows,
            .n = round_up(count, kernels_.lanes),
            .k = columns_,
            .a = w_.data() + row * columns_padded_,
            .row_stride = columns_padded_,
            .column_stride = 1,
            .b = shifted_.at(0, begin),
            .ldb = shifted_.width(),
            .panel_stride = shifted_.stride(),
            .c = s.numerator.data() + column(begin),
            .ldc = ld_};
  }

  void weights(Index row, Index rows, Index begin, Index count, Scratch& s) const {
    kernels_.weights(model(row, rows, begin, count, s), ratio_, count, v_.data + row * v_.ld + begin, v_.ld,
                     needs_den_ ? s.denominator.data() + column(begin) : nullptr);
  }

  // sum (rows x columns) += weights (rows x frames) H'
  void add_to_w(const T* weights, Index rows, Index begin, Index count, T* sum) const {
    kernels_.gemm({.m = rows,
                   .n = columns_padded_,
                   .k = count,
                   .a = weights + column(begin),
                   .row_stride = ld_,
                   .column_stride = 1,
                   .b = shifted_transposed_.at(begin, 0),
                   .ldb = shifted_transposed_.width(),
                   .panel_stride = shifted_transposed_.stride(),
                   .c = sum,
                   .ldc = columns_padded_,
                   .accumulate = begin > 0});
  }

  // sum (columns x frames) += W' weights, from 0 if `first`
  void add_to_h(const T* weights, Index row, Index rows, Index begin, Index count, T* sum, bool first) const {
    kernels_.gemm({.m = columns_,
                   .n = round_up(count, kernels_.lanes),
                   .k = rows,
                   .a = w_.data() + row * columns_padded_,
                   .row_stride = 1,
                   .column_stride = columns_padded_,
                   .b = weights + column(begin),
                   .ldb = ld_,
                   .panel_stride = kernels_.panel,
                   .c = sum + begin,
                   .ldc = frames_padded_,
                   .accumulate = !first});
  }

  template <class F>
  void for_blocks(F&& f) const {
    for (Index begin = 0; begin < frames_; begin += kBlockFrames) f(begin, std::min(kBlockFrames, frames_ - begin));
  }

  void pass(Index group, int worker) {
    const core::FlushDenormals flush;
    Scratch& s = scratch_[sz(worker)];
    const Index size = group * columns_ * frames_padded_;
    for (Index tile = tiles_begin(group); tile < tiles_begin(group + 1); ++tile) {
      const Index row = tile * tile_rows_, rows = std::min(tile_rows_, bins_ - row);
      if (do_w_) {
        for_blocks([&](Index begin, Index count) {
          weights(row, rows, begin, count, s);
          add_to_w(s.numerator.data(), rows, begin, count, s.w_numerator.data());
          if (needs_den_) add_to_w(s.denominator.data(), rows, begin, count, s.w_denominator.data());
        });
        for (Index i = 0; i < rows; ++i) update_template_row(row + i, i, s);
      }
      if (do_h_) {
        const bool first = tile == tiles_begin(group);
        for_blocks([&](Index begin, Index count) {
          if (clean_ || !do_w_) weights(row, rows, begin, count, s);
          add_to_h(s.numerator.data(), row, rows, begin, count, numerator_h_.data() + size, first);
          if (needs_den_) {
            add_to_h(s.denominator.data(), row, rows, begin, count, denominator_h_.data() + size, first);
          }
        });
      }
    }
  }

  void update_template_row(Index k, Index i, Scratch& s) {
    T* w = w_.data() + k * columns_padded_;
    const T* n = s.w_numerator.data() + i * columns_padded_;
    const T* d = needs_den_ ? s.w_denominator.data() + i * columns_padded_ : w_denominator_.data();
    const T floor = static_cast<T>(options_.floor);
    if (clean_ && options_.fixed_components == 0 && options_.sparsity == 0 && gamma_ == 1.0) {
      for (Index p = 0; p < columns_; ++p) w[p] *= n[p] / std::max(d[p], floor);
    } else if (clean_) {
      for (Index t = 0; t < template_frames_; ++t) {
        for (Index r = options_.fixed_components; r < components_; ++r) {
          const Index p = t * components_ + r;
          T below = d[p];
          if (options_.sparsity > 0 && template_norms_[sz(r)] > 0) {
            // Curvature of the quadratic that bounds the norm from above at the present templates.
            const double curvature = options_.sparsity * row_sums_[sz(r)] / template_norms_[sz(r)];
            if (options_.beta == 1.0) {
              const double b = std::max(static_cast<double>(below), options_.floor);
              const double a = static_cast<double>(w[p]) * static_cast<double>(n[p]);
              w[p] = static_cast<T>(2.0 * a / (b + std::sqrt(b * b + 4.0 * curvature * a)));
              continue;
            }
            below += static_cast<T>(curvature * static_cast<double>(w[p]));
          }
          const T factor = n[p] / std::max(below, floor);
          w[p] *= gamma_ == 1.0 ? factor : std::pow(factor, static_cast<T>(gamma_));
        }
      }
    } else if (options_.update == Update::toolbox_nmfconv) {
      for (Index t = 0; t < template_frames_; ++t) {
        for (Index r = 0; r < components_; ++r) {
          T others = 0;
          if (options_.decorrelation != 0) {
            for (Index u = 0; u < template_frames_; ++u) {
              if (u != t) others += w[u * components_ + r];
            }
          }
          const Index p = t * components_ + r;
          w[p] *= n[p] / (static_cast<T>(kEps) + d[p] + static_cast<T>(options_.decorrelation) * others);
        }
      }
    } else {
      for (Index p = 0; p < columns_; ++p) w[p] *= n[p] / (d[p] + static_cast<T>(kEps));
    }
  }

  void sum_columns() {
    std::fill(column_sums_.begin(), column_sums_.end(), 0.0);
    for (Index k = 0; k < bins_; ++k) {
      const T* w = w_.data() + k * columns_padded_;
      for (Index p = 0; p < columns_; ++p) column_sums_[sz(p)] += static_cast<double>(w[p]);
    }
  }

  void measure_norms() {
    std::fill(template_norms_.begin(), template_norms_.end(), 0.0);
    for (Index k = 0; k < bins_; ++k) {
      const T* w = w_.data() + k * columns_padded_;
      for (Index p = 0; p < columns_; ++p) {
        template_norms_[sz(p % components_)] += static_cast<double>(w[p]) * static_cast<double>(w[p]);
      }
    }
    for (auto& norm : template_norms_) norm = std::sqrt(norm);
  }

  void update_row(Index r) {
    const core::FlushDenormals flush;
    T* h = factors_.h.data() + r * frames_;
    T* num = h_numerator_.data() + r * frames_;
    T* den = h_denominator_.data() + r * frames_;
    std::fill(num, num + frames_, T(0));
    std::fill(den, den + frames_, T(0));
    const bool mean_of_ratios = options_.update == Update::toolbox_nmfd;
    for (Index t = 0; t < template_frames_; ++t) {
      const Index p = t * components_ + r;
      T* n0 = numerator_h_.data() + p * frames_padded_;
      T* d0 = needs_den_ ? denominator_h_.data() + p * frames_padded_ : nullptr;
      for (Index g = 1; g < groups_; ++g) {
        const T* n = n0 + g * columns_ * frames_padded_;
        for (Index m = 0; m < frames_; ++m) n0[m] += n[m];
        if (d0 != nullptr) {
          const T* d = d0 + g * columns_ * frames_padded_;
          for (Index m = 0; m < frames_; ++m) d0[m] += d[m];
        }
      }
      const T sum = static_cast<T>(column_sums_[sz(p)]);
      const T inverse = static_cast<T>(1.0 / (column_sums_[sz(p)] + kEps));
      for (Index begin = 0; begin < frames_; begin += segment_) {
        const Index end = std::min(begin + segment_, frames_) - t;
        for (Index m = begin; m < end; ++m) {
          num[m] += mean_of_ratios ? n0[m + t] * inverse : n0[m + t];
          den[m] += d0 != nullptr ? d0[m + t] : sum;
        }
      }
    }
    const T eps = static_cast<T>(kEps);
    switch (options_.update) {
      case Update::clean: {
        if (options_.continuity > 0) add_continuity(h, num, den);
        if (options_.sparsity > 0) {
          const T penalty = static_cast<T>(options_.sparsity * template_norms_[sz(r)]);
          for (Index m = 0; m < frames_; ++m) den[m] += penalty;
        }
        const T floor = static_cast<T>(options_.floor);
        for (Index m = 0; m < frames_; ++m) num[m] /= std::max(den[m], floor);
        if (gamma_ != 1.0) {
          for (Index m = 0; m < frames_; ++m) num[m] = std::pow(num[m], static_cast<T>(gamma_));
        }
        for (Index m = 0; m < frames_; ++m) h[m] *= num[m];
        break;
      }
      case Update::toolbox_nmf:
        for (Index m = 0; m < frames_; ++m) h[m] *= num[m] / (den[m] + eps);
        break;
      case Update::toolbox_nmfd:
        for (Index m = 0; m < frames_; ++m) h[m] *= num[m] / static_cast<T>(template_frames_);
        break;
      case Update::toolbox_nmfconv:
        for (Index m = 0; m < frames_; ++m) {
          h[m] *= (num[m] + eps) / (den[m] + eps + static_cast<T>(options_.sparsity) + eps);
        }
        break;
    }
  }

  // Virtanen 2007, eq. 13-15: the two halves of the gradient of the continuity cost; edge neighbours repeat the edge.
  void add_continuity(const T* h, T* num, T* den) const {
    double squares = 0, differences = 0;
    for (Index m = 0; m < frames_; ++m) {
      squares += static_cast<double>(h[m]) * static_cast<double>(h[m]);
      if (m > 0) {
        const double d = static_cast<double>(h[m]) - static_cast<double>(h[m - 1]);
        differences += d * d;
      }
    }
    if (!(squares > 0)) return;
    const double scale = options_.continuity * static_cast<double>(frames_) / squares;
    for (Index m = 0; m < frames_; ++m) {
      const double here = static_cast<double>(h[m]);
      const double before = static_cast<double>(h[m > 0 ? m - 1 : m]);
      const double after = static_cast<double>(h[m + 1 < frames_ ? m + 1 : m]);
      num[m] += static_cast<T>(scale * (2.0 * (before + after) + 2.0 * here * differences / squares));
      den[m] += static_cast<T>(scale * 4.0 * here);
    }
  }

  void normalise() {
    const bool toolbox_always = options_.update == Update::toolbox_nmfd || options_.update == Update::toolbox_nmfconv;
    // With H held fixed the scale has nowhere else to go.
    if ((!update_w_ && !toolbox_always) || (clean_ && !update_h_)) return;
    for (Index r = 0; r < components_; ++r) {
      double sum = 0;
      for (Index t = 0; t < template_frames_; ++t) sum += column_sums_[sz(t * components_ + r)];
      template_sums_[sz(r)] = sum;
    }
    if (options_.continuity > 0) {
      measure_norms();
      template_sums_ = template_norms_;
    }
    const Index from = clean_ ? options_.fixed_components : 0;
    std::fill(scale_.begin(), scale_.end(), T(1));
    for (Index p = 0; p < columns_; ++p) {
      const Index r = p % components_;
      const double sum = template_sums_[sz(r)] + (clean_ ? 0.0 : kEps);
      if (r >= from && sum > 0) scale_[sz(p)] = static_cast<T>(1.0 / sum);
    }
    for (Index k = 0; k < bins_; ++k) {
      T* w = w_.data() + k * columns_padded_;
      for (Index p = 0; p < columns_; ++p) w[p] *= scale_[sz(p)];
    }
    if (!clean_) return;
    for (Index r = from; r < components_; ++r) {
      if (!(template_sums_[sz(r)] > 0)) continue;
      T* h = factors_.h.data() + r * frames_;
      for (Index m = 0; m < frames_; ++m) h[m] = static_cast<T>(static_cast<double>(h[m]) * template_sums_[sz(r)]);
    }
  }

  void cost_pass(Index group, int worker) {
    const core::FlushDenormals flush;
    Scratch& s = scratch_[sz(worker)];
    const double beta = options_.beta, scale = static_cast<double>(ratio_.scale);
    const double shifted_beta = beta - 1.0;
    for (Index tile = tiles_begin(group); tile < tiles_begin(group + 1); ++tile) {
      const Index row = tile * tile_rows_, rows = std::min(tile_rows_, bins_ - row);
      double sum = 0;
      for_blocks([&](Index begin, Index count) {
        kernels_.gemm(model(row, rows, begin, count, s));
        for (Index i = 0; i < rows; ++i) {
          const T* v = v_.data + (row + i) * v_.ld + begin;
          const T* q = s.numerator.data() + i * ld_ + column(begin);
          for (Index m = 0; m < count; ++m) {
            const double x = static_cast<double>(v[m]) * scale;
            const double l = static_cast<double>(q[m]);
            switch (options_.update) {
              case Update::clean:
                sum += beta_term(x, l, beta, options_.floor);
                break;
              case Update::toolbox_nmf:
                sum += beta_term(x, l + kEps, beta, 0.0);
                break;
              case Update::toolbox_nmfd:
                sum += x * std::log(1.0 + x / (l + kEps + kEps)) - x + (l + kEps);
                break;
              case Update::toolbox_nmfconv: {
                const double model = l + kEps, b = shifted_beta;
                sum += x * (std::pow(x, b) - std::pow(model, b)) / (kEps + b) -
                       (std::pow(x, b + 1) - std::pow(model, b + 1)) / (kEps + b + 1);
                break;
              }
            }
          }
        }
      });
      tile_costs_[sz(tile)] = sum;
    }
  }

  const Kernels<T>& kernels_;
  MatrixView<T> v_;
  Factors<T>& factors_;
  const FitOptions<T>& options_;
  RatioArgs<T> ratio_;
  Index bins_ = 0, frames_ = 0, components_ = 0, template_frames_ = 1, segment_ = 0;
  Index columns_ = 0, columns_padded_ = 0, frames_padded_ = 0, ld_ = 0;
  Index tile_rows_ = 0, tiles_ = 0, groups_ = 1;
  int threads_ = 1, workers_ = 1;
  bool clean_ = true, needs_den_ = false, update_w_ = true, update_h_ = true, do_w_ = true, do_h_ = true;
  double gamma_ = 1.0;
  Panels<T> shifted_, shifted_transposed_;
  std::vector<T> w_, line_, w_denominator_, scale_, numerator_h_, denominator_h_, h_numerator_, h_denominator_;
  std::vector<Scratch> scratch_;
  std::vector<double> row_sums_, column_sums_, template_sums_, template_norms_, tile_costs_;
};

template <class T>
void validate(const MatrixView<T>& v, const Factors<T>& f, const FitOptions<T>& o) {
  if (f.bins < 1 || f.frames < 0 || f.components < 1 || f.template_frames < 1) {
    bad("factors have no bins, components or template frames");
  }
  if (v.rows != f.bins || v.columns != f.frames || v.ld < v.columns) {
    bad("shapes of V and the start values differ", fmt::format("{} x {}", f.bins, f.frames),
        fmt::format("{} x {}, rows {} apart", v.rows, v.columns, v.ld));
  }
  if (f.w.size() != sz(f.bins * f.template_frames * f.components) || f.h.size() != sz(f.frames * f.components)) {
    bad("start values have a wrong number of entries");
  }
  if (o.iterations < 0) bad("iterations must not be negative", ">= 0", fmt::format("{}", o.iterations));
  if (!std::isfinite(o.beta)) bad("beta must be finite");
  if (!(o.sparsity >= 0) || !(o.continuity >= 0) || !(o.decorrelation >= 0))
    bad("penalty weights must not be negative");
  if (!(o.floor > 0)) bad("floor must be positive");
  if (o.fixed_components < 0 || o.fixed_components > f.components) bad("fixed_components is out of range");
  if (o.segment_frames < 0) bad("segment_frames must not be negative");
  const auto unsupported = [](const char* what) { throw Error(Code::unsupported, "nmf", what); };
  if (o.continuity > 0 && (o.update != Update::clean || f.template_frames != 1)) {
    unsupported("continuity needs the clean update and one template frame");
  }
  if (o.decorrelation > 0 && o.update != Update::toolbox_nmfconv)
    unsupported("decorrelation belongs to toolbox_nmfconv");
  if (o.update != Update::clean && o.fixed_components > 0) unsupported("fixed_components belongs to the clean update");
  if (o.update == Update::toolbox_nmf && f.template_frames != 1) unsupported("toolbox_nmf has one template frame");
  if (o.update == Update::toolbox_nmf && o.beta != 0 && o.beta != 1 && o.beta != 2) {
    unsupported("toolbox_nmf knows beta 0, 1 and 2 only");
  }
  if (o.update == Update::toolbox_nmfd && o.beta != 1) unsupported("toolbox_nmfd is Kullback-Leibler only");
  if (o.update == Update::toolbox_nmfconv && (o.fix_w || o.fix_h)) unsupported("toolbox_nmfconv updates both factors");
  if ((o.update == Update::toolbox_nmf || o.update == Update::toolbox_nmfd) && o.sparsity > 0) {
    unsupported("sparsity belongs to the clean update and toolbox_nmfconv");
  }
  for (Index k = 0; k < v.rows; ++k) require_non_negative(v.data + k * v.ld, v.columns, "V");
  require_non_negative(f.w.data(), static_cast<Index>(f.w.size()), "W");
  require_non_negative(f.h.data(), static_cast<Index>(f.h.size()), "H");
}

}  // namespace

double update_exponent(double beta) noexcept {
  if (beta < 1.0) return 1.0 / (2.0 - beta);
  return beta > 2.0 ? 1.0 / (beta - 1.0) : 1.0;
}

template <class T>
Factors<T>::Factors(std::int64_t bins_, std::int64_t frames_, int components_, int template_frames_)
    : bins(bins_), frames(frames_), components(components_), template_frames(template_frames_) {
  if (bins_ < 0 || frames_ < 0 || components_ < 0 || template_frames_ < 0) bad("factors with a negative size");
  w.assign(sz(bins * components * template_frames), T(0));
  h.assign(sz(frames * components), T(0));
}

template <class T>
Fit<T> fit(MatrixView<T> v, Factors<T> start, const FitOptions<T>& options) {
  validate(v, start, options);
  Fit<T> result;
  result.factors = std::move(start);
  if (result.factors.frames == 0) {
    if (options.track_divergence && options.update == Update::clean) {
      result.divergence.assign(sz(options.iterations) + 1, 0.0);
    }
    return result;
  }
  Engine<T> engine(v, result.factors, options);
  const bool both_ends = options.update == Update::clean || options.update == Update::toolbox_nmf;
  for (int i = 0; i < options.iterations; ++i) {
    options.stop.check();
    if (options.before) {
      engine.store();
      options.before(i, result.factors);
      engine.load();
    }
    if (options.track_divergence) result.divergence.push_back(engine.cost());
    engine.iterate();
    if (options.after) {
      engine.store();
      options.after(i, result.factors);
      engine.load();
    }
    if (options.progress) options.progress(i + 1);
  }
  if (options.track_divergence && both_ends) result.divergence.push_back(engine.cost());
  engine.store();
  return result;
}

// What Engine takes.
template <class T>
Index fit_bytes(Index bins, Index frames, int components, const FitOptions<T>& options, int template_frames) {
  const Kernels<T>& k = kernels<T>();
  const Index columns = Index{components} * template_frames, padded = round_up(columns, k.lanes);
  const Index padded_frames = round_up(frames, k.lanes);
  const Tiling tiling = tiling_of<T>(bins, padded_frames, columns);
  const bool clean = options.update == Update::clean;
  const Index sides = ratio_kind(options.beta) == Ratio::kl ? 1 : 2;
  const Index workers = std::min<Index>(core::resolve_threads(options.threads), tiling.groups);
  const Index line = (clean ? kBlockFrames : padded_frames) + k.lanes;
  Index values = bins * padded + columns * round_up(frames, k.panel) + frames + 2 * components * frames +
                 workers * tiling.rows * (line + padded) * sides;
  if (!options.fix_w) values += frames * round_up(columns, k.panel);
  if (!options.fix_h) values += tiling.groups * columns * padded_frames * sides;
  return values * static_cast<Index>(sizeof(T));
}

template <class T>
FixedTemplates<T>::FixedTemplates(std::vector<T> w, std::int64_t bins, int components)
    : w_(std::move(w)), bins_(bins), components_(components) {
  if (bins < 1 || components < 1 || w_.size() != sz(bins * components)) bad("templates have a wrong number of entries");
  require_non_negative(w_.data(), static_cast<Index>(w_.size()), "W");
  const Index width = kernels<T>().panel;
  padded_components_ = static_cast<int>(round_up(components, kernels<T>().lanes));
  panels_.assign(sz(bins * round_up(components, width)), T(0));
  transposed_.assign(sz(components * round_up(bins, width)), T(0));
  std::vector<double> sums(sz(components), 0.0), squares(sz(components), 0.0);
  for (Index k = 0; k < bins; ++k) {
    for (Index r = 0; r < components; ++r) {
      const T x = w_[sz(k * components + r)];
      panels_[sz((r / width * bins + k) * width + r % width)] = x;
      transposed_[sz((k / width * components + r) * width + k % width)] = x;
      sums[sz(r)] += static_cast<double>(x);
      squares[sz(r)] += static_cast<double>(x) * static_cast<double>(x);
    }
  }
  for (Index r = 0; r < components; ++r) {
    column_sums_.push_back(static_cast<T>(sums[sz(r)]));
    norms_.push_back(static_cast<T>(std::sqrt(squares[sz(r)])));
  }
}

template <class T>
void FixedTemplates<T>::activations(const T* v, std::int64_t frames, std::int64_t ld, T* h,
                                    const FitOptions<T>& options) const {
  if (options.iterations < 0) bad("iterations must not be negative");
  if (frames < 0 || ld < bins_) bad("shape of V does not fit the templates");
  if (!(options.sparsity >= 0) || !(options.floor > 0) || !std::isfinite(options.beta)) bad("parameters out of range");
  for (Index n = 0; n < frames; ++n) require_non_negative(v + n * ld, bins_, "V");
  require_non_negative(h, frames * components_, "H");
  const Kernels<T>& k = kernels<T>();
  constexpr Index kTileFrames = 96, kBlockBins = 256;
  const Index ld_q = kBlockBins + k.lanes;
  RatioArgs<T> ratio;
  ratio.kind = ratio_kind(options.beta);
  ratio.beta = static_cast<T>(options.beta);
  ratio.floor = static_cast<T>(options.floor);
  const bool needs_den = ratio.kind != Ratio::kl;
  const double gamma = update_exponent(options.beta);
  const T floor = static_cast<T>(options.floor), sparsity = static_cast<T>(options.sparsity);
  const Index tiles = (frames + kTileFrames - 1) / kTileFrames;
  const int workers =
      static_cast<int>(std::clamp<Index>(core::resolve_threads(options.threads), 1, std::max<Index>(tiles, 1)));
  struct Scratch {
    std::vector<T> q, den, n, d;
  };
  std::vector<Scratch> scratch(sz(workers));
  for (auto& s : scratch) {
    s.q.resize(sz(kTileFrames * ld_q));
    s.n.resize(sz(kTileFrames * padded_components_));
    if (needs_den) {
      s.den.resize(s.q.size());
      s.d.resize(s.n.size());
    }
  }
  core::parallel_for_worker(tiles, workers, [&](Index tile, int worker) {
    const core::FlushDenormals flush;
    Scratch& s = scratch[sz(worker)];
    const Index first = tile * kTileFrames, rows = std::min(kTileFrames, frames - first);
    T* h_tile = h + first * components_;
    for (int iteration = 0; iteration < options.iterations; ++iteration) {
      options.stop.check();
      for (Index bin = 0; bin < bins_; bin += kBlockBins) {
        const Index count = std::min(kBlockBins, bins_ - bin);
        const Product<T> model = {.m = rows,
                                  .n = round_up(count, k.lanes),
                                  .k = components_,
                                  .a = h_tile,
                                  .row_stride = components_,
                                  .column_stride = 1,
                                  .b = transposed_.data() + bin * components_,
                                  .ldb = k.panel,
                                  .panel_stride = Index{components_} * k.panel,
                                  .c = s.q.data(),
                                  .ldc = ld_q};
        k.weights(model, ratio, count, v + first * ld + bin, ld, needs_den ? s.den.data() : nullptr);
        Product<T> sums = {.m = rows,
                           .n = padded_components_,
                           .k = count,
                           .a = s.q.data(),
                           .row_stride = ld_q,
                           .column_stride = 1,
                           .b = panels_.data() + bin * k.panel,
                           .ldb = k.panel,
                           .panel_stride = bins_ * k.panel,
                           .c = s.n.data(),
                           .ldc = padded_components_,
                           .accumulate = bin > 0};
        k.gemm(sums);
        if (needs_den) {
          sums.a = s.den.data();
          sums.c = s.d.data();
          k.gemm(sums);
        }
      }
      for (Index i = 0; i < rows; ++i) {
        const T* n = s.n.data() + i * padded_components_;
        const T* d = needs_den ? s.d.data() + i * padded_components_ : column_sums_.data();
        T* x = h_tile + i * components_;
        for (Index r = 0; r < components_; ++r) {
          const T factor = n[r] / std::max(d[r] + sparsity * norms_[sz(r)], floor);
          x[r] *= gamma == 1.0 ? factor : std::pow(factor, static_cast<T>(gamma));
        }
      }
    }
  });
}

template <class T>
std::vector<T> model(const Factors<T>& f, std::int64_t segment_frames, int first, int count, int threads) {
  if (count < 0) count = f.components - first;
  if (first < 0 || first + count > f.components) bad("range of components outside the factors");
  const Kernels<T>& k = kernels<T>();
  const Index columns = Index{count} * f.template_frames;
  const Index padded = round_up(f.frames, k.lanes), ld = padded + k.lanes;
  const Index segment = segment_frames > 0 ? segment_frames : std::max<Index>(f.frames, 1);
  Panels<T> shifted(columns, f.frames);
  std::vector<T> line(sz(f.frames));
  stack_shifts(f.h.data() + first * f.frames, count, f.frames, f.template_frames, segment, line.data(), shifted);
  std::vector<T> out(sz(f.bins * f.frames));
  constexpr Index kRows = 48;
  const Index tiles = (f.bins + kRows - 1) / kRows;
  core::parallel_for(tiles, threads, [&](Index tile) {
    const core::FlushDenormals flush;
    const Index row = tile * kRows, rows = std::min(kRows, f.bins - row);
    std::vector<T> w(sz(rows * columns)), q(sz(rows * ld));
    for (Index i = 0; i < rows; ++i) {
      for (int t = 0; t < f.template_frames; ++t) {
        for (int r = 0; r < count; ++r) w[sz(i * columns + t * count + r)] = f.w_at(row + i, t, first + r);
      }
    }
    k.gemm({.m = rows,
            .n = padded,
            .k = columns,
            .a = w.data(),
            .row_stride = columns,
            .column_stride = 1,
            .b = shifted.at(0, 0),
            .ldb = shifted.width(),
            .panel_stride = shifted.stride(),
            .c = q.data(),
            .ldc = ld});
    for (Index i = 0; i < rows; ++i) std::copy_n(q.begin() + i * ld, f.frames, out.begin() + (row + i) * f.frames);
  });
  return out;
}

template <class T>
double divergence(MatrixView<T> v, MatrixView<T> lambda, double beta, double floor) {
  if (v.rows != lambda.rows || v.columns != lambda.columns) bad("V and Lambda differ in shape");
  double sum = 0;
  for (Index k = 0; k < v.rows; ++k) {
    for (Index m = 0; m < v.columns; ++m) {
      sum += beta_term(static_cast<double>(v.data[k * v.ld + m]), static_cast<double>(lambda.data[k * lambda.ld + m]),
                       beta, floor);
    }
  }
  return sum;
}

template struct Factors<float>;
template struct Factors<double>;
template Fit<float> fit(MatrixView<float>, Factors<float>, const FitOptions<float>&);
template Fit<double> fit(MatrixView<double>, Factors<double>, const FitOptions<double>&);
template Index fit_bytes<float>(Index, Index, int, const FitOptions<float>&, int);
template class FixedTemplates<float>;
template class FixedTemplates<double>;
template std::vector<float> model(const Factors<float>&, std::int64_t, int, int, int);
template std::vector<double> model(const Factors<double>&, std::int64_t, int, int, int);
template double divergence(MatrixView<float>, MatrixView<float>, double, double);
template double divergence(MatrixView<double>, MatrixView<double>, double, double);

}  // namespace mss::methods::nmf
