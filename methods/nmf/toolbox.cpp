#include "methods/nmf/toolbox.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "methods/nmf/init.h"

namespace mss::methods::nmf {
namespace {

using Index = std::int64_t;
constexpr double kEps = std::numeric_limits<double>::epsilon();

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

[[noreturn]] void bad(const char* what) { throw Error(Code::invalid_argument, "nmf", what); }

/// Entries that are below the maximum of their row and column segments (zeros outside) are multiplied by `damping`.
void damp_non_maxima(Factors<double>& f, int rows, int columns, double damping) {
  const std::vector<double> h = f.h;
  for (int r = 0; r < f.components; ++r) {
    for (Index m = 0; m < f.frames; ++m) {
      double largest = 0.0;
      const auto look = [&](Index i, Index j) {
        if (i >= 0 && i < f.components && j >= 0 && j < f.frames) largest = std::max(largest, h[sz(i * f.frames + j)]);
      };
      for (Index i = r - rows / 2; i <= r + rows / 2; ++i) look(i, m);
      for (Index j = m - columns / 2; j <= m + columns / 2; ++j) look(r, j);
      if (h[sz(r * f.frames + m)] != largest) f.h_at(r, m) *= damping;
    }
  }
}

void limit_polyphony(Factors<double>& f, const std::vector<double>& energy, int polyphony, double damping) {
  std::vector<int> order(sz(f.components));
  for (Index m = 0; m < f.frames; ++m) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return f.h_at(a, m) * energy[sz(a)] > f.h_at(b, m) * energy[sz(b)]; });
    for (std::size_t i = sz(polyphony); i < order.size(); ++i) f.h_at(order[i], m) *= damping;
  }
}

/// V / (W H + eps).
std::vector<double> quotient(MatrixView<double> v, const Factors<double>& f) {
  std::vector<double> q = model(f);
  for (Index k = 0; k < f.bins; ++k) {
    for (Index m = 0; m < f.frames; ++m)
      q[sz(k * f.frames + m)] = v.data[k * v.ld + m] / (q[sz(k * f.frames + m)] + kEps);
  }
  return q;
}

}  // namespace

std::vector<double> shift(std::span<const double> x, int rows, Index columns) {
  if (rows < 1 || x.size() % sz(rows) != 0) bad("number of values does not fit the number of rows");
  const Index frames = static_cast<Index>(x.size()) / rows;
  std::vector<double> out(x.size(), 0.0);
  for (Index r = 0; r < rows; ++r) {
    for (Index m = 0; m < frames; ++m) {
      const Index from = m - columns;
      if (from >= 0 && from < frames) out[sz(r * frames + m)] = x[sz(r * frames + from)];
    }
  }
  return out;
}

std::vector<double> percussiveness(const Factors<double>& f) {
  std::vector<double> p;
  for (int r = 0; r < f.components; ++r) {
    double lower = 0, all = 0;
    for (Index k = 0; k < f.bins; ++k) {
      for (int t = 0; t < f.template_frames; ++t) {
        all += f.w_at(k, t, r);
        if (k < f.bins / 2) lower += f.w_at(k, t, r);
      }
    }
    p.push_back(all > 0 ? lower / all : 0.0);
  }
  return p;
}

void blend_templates(Factors<double>& f, const std::vector<double>& initial_w, int iteration, int iterations,
                     const SemiFixed& constraint) {
  if (initial_w.size() != f.w.size() || constraint.degree.size() != sz(f.components) ||
      constraint.timing.size() != sz(f.components) || iterations < 1) {
    bad("the semi-fixed constraint does not fit the factors");
  }
  for (int r = 0; r < f.components; ++r) {
    const double degree = constraint.degree[sz(r)];
    const double progress = (iteration + 1.0) / iterations;
    const double weight =
        degree > 1.0 ? 1.0 : std::clamp(progress * std::pow(degree, constraint.timing[sz(r)]), 0.0, 1.0);
    for (std::size_t i = sz(r); i < f.w.size(); i += sz(f.components))
      f.w[i] = weight * f.w[i] + (1.0 - weight) * initial_w[i];
  }
}

void drum_constraint(Factors<double>& f, int kernel, double decay) {
  if (kernel < 1 || kernel % 2 == 0) bad("the median's length must be odd");
  const std::vector<double> p = percussiveness(f);
  const std::vector<double> decayed = nema(f.h, f.components, decay);
  std::vector<double> window(sz(kernel)), smooth(f.h.size());
  for (int r = 0; r < f.components; ++r) {
    for (Index m = 0; m < f.frames; ++m) {
      for (int i = 0; i < kernel; ++i) {
        const Index j = m + i - kernel / 2;
        window[sz(i)] = j >= 0 && j < f.frames ? f.h_at(r, j) : 0.0;
      }
      std::nth_element(window.begin(), window.begin() + kernel / 2, window.end());
      smooth[sz(r * f.frames + m)] = window[sz(kernel / 2)];
    }
  }
  for (std::size_t i = 0; i < f.h.size(); ++i) {
    const double w = p[i / sz(std::max<Index>(f.frames, 1))];
    f.h[i] = (1.0 - w) * smooth[i] + w * decayed[i];
  }
}

void diagonal_constraint(Factors<double>& f, int size) {
  if (size < 1) bad("the diagonal's length must be positive");
  const std::vector<double> h = f.h;
  const Index centre = (size - 1) / 2;
  for (int r = 0; r < f.components; ++r) {
    for (Index m = 0; m < f.frames; ++m) {
      double sum = 0;
      for (Index d = 0; d < size; ++d) {
        const Index i = r + centre - d, j = m + centre - d;
        if (i >= 0 && i < f.components && j >= 0 && j < f.frames) sum += h[sz(i * f.frames + j)];
      }
      f.h_at(r, m) = sum;
    }
  }
}

Factors<double> fit_diagonal(MatrixView<double> v, Factors<double> f, const DiagonalOptions& o) {
  if (v.rows != f.bins || v.columns != f.frames || v.ld < v.columns || f.template_frames != 1)
    bad("shapes of V and the start values differ");
  if (o.iterations < 0 || o.grid < 1 || o.polyphony < 0 || o.sparsen_rows % 2 != 1 || o.sparsen_columns % 2 != 1) {
    bad("NMFdiag parameters are out of range");
  }
  // Of the start values: the toolbox does not follow the templates.
  std::vector<double> energy(sz(f.components), 0.0);
  for (Index k = 0; k < f.bins; ++k) {
    for (int r = 0; r < f.components; ++r) energy[sz(r)] += f.w_at(k, 0, r) * f.w_at(k, 0, r);
  }
  for (int i = 0; i < o.iterations; ++i) {
    if (i % o.grid == 0) {
      const double damping = 1.0 - (i + 1.0) / o.iterations;
      if (std::max(o.sparsen_rows, o.sparsen_columns) > 1)
        damp_non_maxima(f, o.sparsen_rows, o.sparsen_columns, damping);
      if (o.polyphony < f.frames) limit_polyphony(f, energy, std::min(o.polyphony, f.components), damping);
      diagonal_constraint(f, o.length);
    }
    for (const bool templates : {false, true}) {
      if (templates && o.fix_w) continue;
      std::vector<double> q;
      std::vector<double> plain;
      if (o.euclidean) {
        plain = model(f);
        for (Index k = 0; k < f.bins; ++k) {
          for (Index m = 0; m < f.frames; ++m) q.push_back(v.data[k * v.ld + m]);
        }
      } else {
        q = quotient(v, f);
      }
      // Numerator and denominator of one factor; the denominator of the KL form sums ones.
      const auto below = [&](Index k, Index m) { return o.euclidean ? plain[sz(k * f.frames + m)] : 1.0; };
      if (templates) {
        for (Index k = 0; k < f.bins; ++k) {
          for (int r = 0; r < f.components; ++r) {
            double num = 0, den = 0;
            for (Index m = 0; m < f.frames; ++m) {
              num += q[sz(k * f.frames + m)] * f.h_at(r, m);
              den += below(k, m) * f.h_at(r, m);
            }
            f.w_at(k, 0, r) *= num / (den + kEps);
          }
        }
      } else {
        std::vector<double> num(f.h.size(), 0.0), den(f.h.size(), 0.0);
        for (Index k = 0; k < f.bins; ++k) {
          for (int r = 0; r < f.components; ++r) {
            const double w = f.w_at(k, 0, r);
            for (Index m = 0; m < f.frames; ++m) {
              num[sz(r * f.frames + m)] += w * q[sz(k * f.frames + m)];
              den[sz(r * f.frames + m)] += w * below(k, m);
            }
          }
        }
        for (std::size_t j = 0; j < f.h.size(); ++j) f.h[j] *= num[j] / (den[j] + kEps);
      }
    }
  }
  return f;
}

std::vector<double> log_frequency(std::span<const double> a, Index bins, double bin_hz, int bins_per_octave,
                                  double lowest_hz, double compression, std::vector<double>* axis_hz) {
  if (bins < 2 || a.size() % sz(bins) != 0 || !(bin_hz > 0) || bins_per_octave < 1 || !(lowest_hz > 0))
    bad("log-frequency parameters are out of range");
  const Index frames = static_cast<Index>(a.size()) / bins;
  const double highest_hz = static_cast<double>(bins - 1) * bin_hz;
  const auto rows = static_cast<Index>(std::max(0.0, std::ceil(bins_per_octave * std::log2(highest_hz / lowest_hz))));
  std::vector<double> out;
  if (axis_hz != nullptr) axis_hz->clear();
  for (Index i = 0; i < rows; ++i) {
    const double hz = lowest_hz * std::exp2(static_cast<double>(i) / bins_per_octave);
    if (axis_hz != nullptr) axis_hz->push_back(hz);
    const double position = hz / bin_hz;
    const double low = std::floor(position) - 1.0, fraction = position - low - 1.0;
    // -1 is the last bin, as in Python.
    const Index k0 = low < 0 ? bins - 1 : static_cast<Index>(low), k1 = static_cast<Index>(low) + 1;
    for (Index m = 0; m < frames; ++m) {
      out.push_back(std::log(
          1.0 + compression * (a[sz(k0 * frames + m)] * (1.0 - fraction) + a[sz(k1 * frames + m)] * fraction)));
    }
  }
  return out;
}

std::vector<double> window_bug_gain(const audio::StftSpec& spec) {
  const auto window = audio::make_window<double>(spec.window, spec.fft_size, true);
  const int hop = spec.hop_samples, fft = spec.fft_size;
  const int shifts = static_cast<int>(std::nearbyint(static_cast<double>(fft) / hop));
  std::vector<double> norm(window.size(), 0.0);
  for (int i = 0; i < fft; ++i) {
    for (int s = -(shifts - 1); s <= shifts - 1; ++s) {
      const Index k = i - Index{s} * hop;
      if (k >= 0 && k < fft) norm[sz(i)] += window[sz(k)] * window[sz(k)];
    }
  }
  // At the second call w / norm is taken for the window, so the synthesis window is (w / norm) over the sum of its own
  // squares.
  std::vector<double> gain(sz(hop), 0.0);
  for (int i = 0; i < fft; ++i) {
    double again = 0;
    for (int s = -(shifts - 1); s <= shifts - 1; ++s) {
      const Index k = i - Index{s} * hop;
      if (k >= 0 && k < fft) again += (window[sz(k)] / norm[sz(k)]) * (window[sz(k)] / norm[sz(k)]);
    }
    gain[sz(i % hop)] += again > 0 ? window[sz(i)] * (window[sz(i)] / norm[sz(i)]) / again : 0.0;
  }
  return gain;
}

}  // namespace mss::methods::nmf
