#include "methods/nmf/ntf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "methods/nmf/kernels.h"

namespace mss::methods::nmf {
namespace {

using Index = std::int64_t;
std::size_t sz(Index n) { return static_cast<std::size_t>(n); }
Index round_up(Index n, Index multiple) { return (n + multiple - 1) / multiple * multiple; }

[[noreturn]] void bad(const char* what) { throw Error(Code::invalid_argument, "nmf", what); }

template <class T>
void check(const T* x, std::size_t count, const char* what) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!(x[i] >= T(0)) || !std::isfinite(x[i])) bad(what);
  }
}

constexpr Index kRows = 48;  ///< of a tile

Index groups_of(Index rows) { return std::clamp<Index>(rows / 64, 1, 16); }

/// Products with V (rows x M) and R x M or rows x R partners, over threads in fixed groups of rows.
template <class T>
class Products {
 public:
  Products(MatrixView<T> v, int components, int threads) : kernels_(kernels<T>()), v_(v), components_(components) {
    threads_ = core::resolve_threads(threads);
    padded_components_ = round_up(components, kernels_.lanes);
    padded_frames_ = round_up(v.columns, kernels_.lanes);
    groups_ = groups_of(v.rows);
    h_.assign(sz(components_ * padded_frames_), T(0));
    h_transposed_.assign(sz(v.columns * padded_components_), T(0));
    w_.assign(sz(v.rows * padded_components_), T(0));
    left_.assign(sz(v.rows * padded_components_), T(0));
    partial_.assign(sz(groups_ * components_ * padded_frames_), T(0));
    tile_.assign(sz(std::min<Index>(threads_, groups_) * kRows * padded_frames_), T(0));
    costs_.assign(sz(groups_), 0.0);
  }

  void set_h(const std::vector<T>& h) {
    for (Index r = 0; r < components_; ++r) {
      for (Index m = 0; m < v_.columns; ++m) {
        h_[sz(r * padded_frames_ + m)] = h[sz(r * v_.columns + m)];
        h_transposed_[sz(m * padded_components_ + r)] = h[sz(r * v_.columns + m)];
      }
    }
  }
  T* w_row(Index row) { return w_.data() + row * padded_components_; }

  /// left(row, r) = sum_m X[row,m] H[r,m] and, if wanted, right[r,m] = sum_row W[row,r] X[row,m], where X is V, or V /
  /// max(W H, floor).
  void run(bool quotient, T floor, bool want_left, bool want_right) {
    core::parallel_for_worker(
        groups_, static_cast<int>(std::min<Index>(threads_, groups_)), [&](Index group, int worker) {
          const core::FlushDenormals flush;
          T* x = tile_.data() + worker * kRows * padded_frames_;
          RatioArgs<T> args;
          args.floor = floor;
          T* right = partial_.data() + group * components_ * padded_frames_;
          const Index begin = v_.rows * group / groups_, end = v_.rows * (group + 1) / groups_;
          for (Index row = begin; row < end; row += kRows) {
            const Index rows = std::min(kRows, end - row);
            if (quotient) {
              kernels_.weights(model(row, rows, x), args, v_.columns, v_.data + row * v_.ld, v_.ld, nullptr);
            } else {
              for (Index i = 0; i < rows; ++i) {
                std::copy_n(v_.data + (row + i) * v_.ld, v_.columns, x + i * padded_frames_);
                std::fill(x + i * padded_frames_ + v_.columns, x + (i + 1) * padded_frames_, T(0));
              }
            }
            if (want_left) {
              kernels_.gemm({.m = rows,
                             .n = padded_components_,
                             .k = v_.columns,
                             .a = x,
                             .row_stride = padded_frames_,
                             .column_stride = 1,
                             .b = h_transposed_.data(),
                             .ldb = padded_components_,
                             .panel_stride = kernels_.panel,
                             .c = left_.data() + row * padded_components_,
                             .ldc = padded_components_});
            }
            if (want_right) {
              kernels_.gemm({.m = components_,
                             .n = padded_frames_,
                             .k = rows,
                             .a = w_row(row),
                             .row_stride = 1,
                             .column_stride = padded_components_,
                             .b = x,
                             .ldb = padded_frames_,
                             .panel_stride = kernels_.panel,
                             .c = right,
                             .ldc = padded_frames_,
                             .accumulate = row > begin});
            }
          }
        });
    if (!want_right) return;
    for (Index g = 1; g < groups_; ++g) {
      for (Index i = 0; i < components_ * padded_frames_; ++i)
        partial_[sz(i)] += partial_[sz(g * components_ * padded_frames_ + i)];
    }
  }
  const T* left(Index row) const { return left_.data() + row * padded_components_; }
  const T* right(Index r) const { return partial_.data() + r * padded_frames_; }

  double cost(double beta, double floor) {
    core::parallel_for_worker(groups_, static_cast<int>(std::min<Index>(threads_, groups_)),
                              [&](Index group, int worker) {
                                const core::FlushDenormals flush;
                                T* x = tile_.data() + worker * kRows * padded_frames_;
                                const Index begin = v_.rows * group / groups_, end = v_.rows * (group + 1) / groups_;
                                double sum = 0;
                                for (Index row = begin; row < end; row += kRows) {
                                  const Index rows = std::min(kRows, end - row);
                                  kernels_.gemm(model(row, rows, x));
                                  sum += divergence<T>({v_.data + row * v_.ld, rows, v_.columns, v_.ld},
                                                       {x, rows, v_.columns, padded_frames_}, beta, floor);
                                }
                                costs_[sz(group)] = sum;
                              });
    double sum = 0;
    for (const double c : costs_) sum += c;
    return sum;
  }

 private:
  // W H, without the floor, in rows [row, row + rows).
  Product<T> model(Index row, Index rows, T* out) {
    return {.m = rows,
            .n = padded_frames_,
            .k = components_,
            .a = w_row(row),
            .row_stride = padded_components_,
            .column_stride = 1,
            .b = h_.data(),
            .ldb = padded_frames_,
            .panel_stride = kernels_.panel,
            .c = out,
            .ldc = padded_frames_};
  }

  const Kernels<T>& kernels_;
  MatrixView<T> v_;
  Index components_, padded_components_ = 0, padded_frames_ = 0, groups_ = 1;
  int threads_ = 1;
  std::vector<T> h_, h_transposed_, w_, left_, partial_, tile_;
  std::vector<double> costs_;
};

}  // namespace

template <class T>
TensorFit<T> fit_tensor(MatrixView<T> v, TensorFactors<T> start, const FitOptions<T>& o) {
  Factors<T>& f = start.factors;
  const Index bins = f.bins, frames = f.frames;
  const int channels = start.channels, components = f.components;
  if (channels < 1 || bins < 1 || components < 1 || f.template_frames != 1 || v.rows != bins * channels ||
      v.columns != frames || v.ld < frames || f.w.size() != sz(bins * components) ||
      f.h.size() != sz(frames * components) || start.q.size() != sz(Index{channels} * components)) {
    bad("shapes of V and the start values differ");
  }
  if (o.iterations < 0 || !(o.floor > 0)) bad("parameters out of range");
  for (Index k = 0; k < v.rows; ++k)
    check(v.data + k * v.ld, sz(frames), "V has an entry that is negative or not finite");
  check(f.w.data(), f.w.size(), "W has an entry that is negative or not finite");
  check(f.h.data(), f.h.size(), "H has an entry that is negative or not finite");
  check(start.q.data(), start.q.size(), "Q has an entry that is negative or not finite");

  TensorFit<T> result;
  std::vector<T>& q = start.q;
  const T floor = static_cast<T>(o.floor);
  Products<T> products(v, components, o.threads);
  const auto q_at = [&](Index c, Index r) -> T& { return q[sz(c * components + r)]; };
  const auto load = [&] {
    products.set_h(f.h);
    for (Index c = 0; c < channels; ++c) {
      for (Index k = 0; k < bins; ++k) {
        for (Index r = 0; r < components; ++r)
          products.w_row(c * bins + k)[r] = q_at(c, r) * f.w[sz(k * components + r)];
      }
    }
  };
  const auto h_sum = [&](Index r) {
    double sum = 0;
    for (Index m = 0; m < frames; ++m) sum += static_cast<double>(f.h[sz(r * frames + m)]);
    return sum;
  };
  const auto w_sum = [&](Index r) {
    double sum = 0;
    for (Index k = 0; k < bins; ++k) sum += static_cast<double>(f.w[sz(k * components + r)]);
    return sum;
  };
  const auto q_sum = [&](Index r) {
    double sum = 0;
    for (Index c = 0; c < channels; ++c) sum += static_cast<double>(q_at(c, r));
    return sum;
  };
  const auto safe = [&](double x) { return std::max(static_cast<T>(x), floor); };
  load();
  if (o.track_divergence) result.divergence.push_back(frames > 0 ? products.cost(1.0, o.floor) : 0.0);
  for (int i = 0; i < o.iterations; ++i) {
    o.stop.check();
    if (frames > 0) {
      products.run(true, floor, true, false);
      for (Index r = 0; r < components; ++r) {
        const T den = safe(q_sum(r) * h_sum(r));
        for (Index k = 0; k < bins; ++k) {
          T num = 0;
          for (Index c = 0; c < channels; ++c) num += q_at(c, r) * products.left(c * bins + k)[r];
          f.w[sz(k * components + r)] *= num / den;
        }
      }
      load();
      products.run(true, floor, false, true);
      for (Index r = 0; r < components; ++r) {
        const T den = safe(q_sum(r) * w_sum(r));
        for (Index m = 0; m < frames; ++m) f.h[sz(r * frames + m)] *= products.right(r)[m] / den;
      }
      load();
      products.run(true, floor, true, false);
      for (Index r = 0; r < components; ++r) {
        const T den = safe(w_sum(r) * h_sum(r));
        for (Index c = 0; c < channels; ++c) {
          double num = 0;
          for (Index k = 0; k < bins; ++k) {
            num +=
                static_cast<double>(f.w[sz(k * components + r)]) * static_cast<double>(products.left(c * bins + k)[r]);
          }
          q_at(c, r) *= static_cast<T>(num) / den;
        }
      }
      for (Index r = 0; r < components; ++r) {
        const double qs = q_sum(r), ws = w_sum(r);
        if (!(qs > 0) || !(ws > 0)) continue;
        for (Index c = 0; c < channels; ++c) q_at(c, r) = static_cast<T>(static_cast<double>(q_at(c, r)) / qs);
        for (Index k = 0; k < bins; ++k) {
          T& w = f.w[sz(k * components + r)];
          w = static_cast<T>(static_cast<double>(w) / ws);
        }
        for (Index m = 0; m < frames; ++m) {
          T& h = f.h[sz(r * frames + m)];
          h = static_cast<T>(static_cast<double>(h) * qs * ws);
        }
      }
      load();
    }
    if (o.track_divergence) result.divergence.push_back(frames > 0 ? products.cost(1.0, o.floor) : 0.0);
    if (o.progress) o.progress(i + 1);
  }
  result.factors = std::move(start);
  return result;
}

// What Products takes.
Index products_bytes(Index rows, Index frames, int components) {
  const Kernels<float>& k = kernels<float>();
  const Index padded = round_up(frames, k.lanes), groups = groups_of(rows), wide = round_up(components, k.lanes);
  return 4 * (components * padded + frames * wide + 2 * rows * wide + groups * components * padded +
              std::min<Index>(core::resolve_threads(0), groups) * kRows * padded);
}

template <class T>
Fit<T> fit_hals(MatrixView<T> v, Factors<T> f, const FitOptions<T>& o, HalsOptions hals) {
  const Index bins = f.bins, frames = f.frames, components = f.components;
  if (bins < 1 || components < 1 || f.template_frames != 1 || v.rows != bins || v.columns != frames || v.ld < frames ||
      f.w.size() != sz(bins * components) || f.h.size() != sz(frames * components)) {
    bad("shapes of V and the start values differ");
  }
  if (o.beta != 2.0) throw Error(Code::unsupported, "nmf", "HALS minimises the Euclidean distance: beta must be 2");
  if (o.iterations < 0 || !(o.floor > 0) || hals.inner_sweeps < 1) bad("parameters out of range");
  for (Index k = 0; k < v.rows; ++k)
    check(v.data + k * v.ld, sz(frames), "V has an entry that is negative or not finite");
  check(f.w.data(), f.w.size(), "W has an entry that is negative or not finite");
  check(f.h.data(), f.h.size(), "H has an entry that is negative or not finite");

  Fit<T> result;
  Products<T> products(v, f.components, o.threads);
  const auto load = [&] {
    products.set_h(f.h);
    for (Index k = 0; k < bins; ++k) std::copy_n(f.w.begin() + k * components, components, products.w_row(k));
  };
  // Gram matrices in float64: they are small, and their rounding is what limits HALS.
  std::vector<double> gram(sz(components * components));
  const T floor = static_cast<T>(o.floor);
  load();
  const auto cost = [&] { return frames > 0 ? products.cost(2.0, o.floor) : 0.0; };
  if (o.track_divergence) result.divergence.push_back(cost());
  for (int i = 0; i < o.iterations; ++i) {
    o.stop.check();
    if (!o.fix_w && frames > 0) {
      products.run(false, floor, true, false);
      for (Index a = 0; a < components; ++a) {
        for (Index b = 0; b <= a; ++b) {
          double sum = 0;
          for (Index m = 0; m < frames; ++m) {
            sum += static_cast<double>(f.h[sz(a * frames + m)]) * static_cast<double>(f.h[sz(b * frames + m)]);
          }
          gram[sz(a * components + b)] = gram[sz(b * components + a)] = sum;
        }
      }
      for (int sweep = 0; sweep < hals.inner_sweeps; ++sweep) {
        for (Index k = 0; k < bins; ++k) {
          T* w = f.w.data() + k * components;
          for (Index r = 0; r < components; ++r) {
            const double diagonal = gram[sz(r * components + r)];
            if (!(diagonal > 0)) continue;
            double dot = 0;
            for (Index s = 0; s < components; ++s) dot += static_cast<double>(w[s]) * gram[sz(s * components + r)];
            w[r] = std::max(
                static_cast<T>(static_cast<double>(w[r]) + (static_cast<double>(products.left(k)[r]) - dot) / diagonal),
                floor);
          }
        }
      }
    }
    if (!o.fix_h && frames > 0) {
      load();
      products.run(false, floor, false, true);
      for (Index a = 0; a < components; ++a) {
        for (Index b = 0; b <= a; ++b) {
          double sum = 0;
          for (Index k = 0; k < bins; ++k) {
            sum += static_cast<double>(f.w[sz(k * components + a)]) * static_cast<double>(f.w[sz(k * components + b)]);
          }
          gram[sz(a * components + b)] = gram[sz(b * components + a)] = sum;
        }
      }
      std::vector<double> dot(sz(frames));
      for (int sweep = 0; sweep < hals.inner_sweeps; ++sweep) {
        for (Index r = 0; r < components; ++r) {
          const double diagonal = gram[sz(r * components + r)];
          if (!(diagonal > 0)) continue;
          std::fill(dot.begin(), dot.end(), 0.0);
          for (Index s = 0; s < components; ++s) {
            const double g = gram[sz(r * components + s)];
            const T* h = f.h.data() + s * frames;
            for (Index m = 0; m < frames; ++m) dot[sz(m)] += g * static_cast<double>(h[m]);
          }
          T* h = f.h.data() + r * frames;
          for (Index m = 0; m < frames; ++m) {
            h[m] = std::max(static_cast<T>(static_cast<double>(h[m]) +
                                           (static_cast<double>(products.right(r)[m]) - dot[sz(m)]) / diagonal),
                            floor);
          }
        }
      }
    }
    if (!o.fix_w && !o.fix_h) {
      for (Index r = 0; r < components; ++r) {
        double sum = 0;
        for (Index k = 0; k < bins; ++k) sum += static_cast<double>(f.w[sz(k * components + r)]);
        if (!(sum > 0)) continue;
        for (Index k = 0; k < bins; ++k) {
          T& w = f.w[sz(k * components + r)];
          w = static_cast<T>(static_cast<double>(w) / sum);
        }
        for (Index m = 0; m < frames; ++m) {
          T& h = f.h[sz(r * frames + m)];
          h = static_cast<T>(static_cast<double>(h) * sum);
        }
      }
    }
    load();
    if (o.track_divergence) result.divergence.push_back(cost());
    if (o.progress) o.progress(i + 1);
  }
  result.factors = std::move(f);
  return result;
}

template TensorFit<float> fit_tensor(MatrixView<float>, TensorFactors<float>, const FitOptions<float>&);
template TensorFit<double> fit_tensor(MatrixView<double>, TensorFactors<double>, const FitOptions<double>&);
template Fit<float> fit_hals(MatrixView<float>, Factors<float>, const FitOptions<float>&, HalsOptions);
template Fit<double> fit_hals(MatrixView<double>, Factors<double>, const FitOptions<double>&, HalsOptions);

}  // namespace mss::methods::nmf
