#include "methods/nmf/init.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/error.h"

namespace mss::methods::nmf {
namespace {

using Index = std::int64_t;
constexpr double kEps = std::numeric_limits<double>::epsilon();

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

[[noreturn]] void bad(const char* what) { throw Error(Code::invalid_argument, "NMF start values", what); }

void check(Index bins, int template_frames) {
  if (bins < 1 || template_frames < 1) bad("no bins or no template frames");
}

void to_unit_sum(Templates& templates) {
  for (auto& w : templates) {
    double sum = 0;
    for (const double x : w) sum += x;
    for (double& x : w) x /= kEps + sum;
  }
}

/// numpy.round: halves to even, which is the default rounding mode's.
Index round_even(double x) { return static_cast<Index>(std::nearbyint(x)); }

/// Python's meaning of the range [first, last] with -1 for the last element when it is the only negative index used.
std::vector<Index> python_indices(Index first, Index last, Index count) {
  std::vector<Index> out;
  for (Index i = first; i <= last; ++i) {
    const Index wrapped = i < 0 ? i + count : i;
    if (wrapped >= 0 && wrapped < count) out.push_back(wrapped);
  }
  return out;
}

}  // namespace

LegacyRandom::LegacyRandom(std::uint32_t seed) noexcept {
  for (std::uint32_t i = 0; i < 624; ++i) {
    state_[i] = seed;
    seed = 1812433253U * (seed ^ (seed >> 30)) + i + 1;
  }
}

std::uint32_t LegacyRandom::next_u32() noexcept {
  if (index_ == 624) {
    for (int i = 0; i < 624; ++i) {
      const std::uint32_t y = (state_[i] & 0x80000000U) | (state_[(i + 1) % 624] & 0x7fffffffU);
      state_[i] = state_[(i + 397) % 624] ^ (y >> 1) ^ ((y & 1U) != 0 ? 0x9908b0dfU : 0U);
    }
    index_ = 0;
  }
  std::uint32_t y = state_[index_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680U;
  y ^= (y << 15) & 0xefc60000U;
  return y ^ (y >> 18);
}

double LegacyRandom::uniform() noexcept {
  const double high = next_u32() >> 5, low = next_u32() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

Templates random_templates(Index bins, int template_frames, int components, std::uint32_t seed) {
  check(bins, template_frames);
  LegacyRandom random(seed);
  Templates out(sz(components), std::vector<double>(sz(bins * template_frames)));
  for (auto& w : out) {
    for (double& x : w) x = random.uniform();
  }
  to_unit_sum(out);
  return out;
}

Templates uniform_templates(Index bins, int template_frames, int components) {
  check(bins, template_frames);
  Templates out(sz(components), std::vector<double>(sz(bins * template_frames), 1.0));
  to_unit_sum(out);
  return out;
}

Templates pitched_templates(Index bins, int template_frames, std::span<const int> pitches, double bin_hz) {
  check(bins, template_frames);
  if (!(bin_hz > 0)) bad("the width of a bin must be positive");
  const std::set<int> distinct(pitches.begin(), pitches.end());
  const auto hz = [](double pitch) { return 440.0 / 32.0 * std::exp2((pitch - 9.0) / 12.0); };
  Templates out;
  for (const int pitch : distinct) {
    std::vector<double> w(sz(bins * template_frames), kEps);
    for (int h = 1; h <= 25; ++h) {
      const Index low = round_even(h * hz(pitch - 0.75) / bin_hz) - 1,
                  high = round_even(h * hz(pitch + 0.75) / bin_hz) - 1;
      if (high >= bins) break;
      for (const Index k : python_indices(low, high, bins)) {
        std::fill_n(w.begin() + k * template_frames, template_frames, 1.0 / h);
      }
    }
    out.push_back(std::move(w));
  }
  to_unit_sum(out);
  return out;
}

Templates spectrum_templates(const std::vector<std::vector<double>>& spectra, int template_frames) {
  Templates out;
  for (const auto& spectrum : spectra) {
    check(static_cast<Index>(spectrum.size()), template_frames);
    std::vector<double> w;
    for (const double x : spectrum) {
      if (!(x >= 0) || !std::isfinite(x)) bad("a spectrum has a negative or non-finite value");
      for (int t = 0; t < template_frames; ++t) {
        w.push_back(x * (template_frames == 1 ? 1.0 : 1.0 - 0.9 * t / (template_frames - 1)));
      }
    }
    out.push_back(std::move(w));
  }
  to_unit_sum(out);
  return out;
}

std::vector<double> uniform_activations(int components, Index frames) {
  return std::vector<double>(sz(components * frames), 1.0);
}

std::vector<double> random_activations(int components, Index frames, std::uint32_t seed) {
  LegacyRandom random(seed);
  std::vector<double> h(sz(components * frames));
  for (double& x : h) x = random.uniform();
  return h;
}

std::vector<double> pitched_activations(std::span<const Note> notes, Index frames, double frame_s, double tolerance_s) {
  if (!(frame_s > 0) || frames < 0) bad("the length of a frame must be positive");
  std::set<int> distinct;
  for (const Note& note : notes) distinct.insert(note.pitch);
  std::vector<double> h;
  for (const int pitch : distinct) {
    std::vector<double> row(sz(frames), kEps);
    for (const Note& note : notes) {
      if (note.pitch != pitch) continue;
      const Index first = round_even((note.onset_s - tolerance_s) / frame_s) - 1;
      const Index last = round_even((note.onset_s + note.duration_s + tolerance_s) / frame_s) - 1;
      for (const Index m : python_indices(first, last, frames)) row[sz(m)] = 1.0;
    }
    h.insert(h.end(), row.begin(), row.end());
  }
  return h;
}

std::vector<double> drum_activations(std::span<const Note> notes, Index frames, double frame_s, double decay) {
  if (!(frame_s > 0) || frames < 0) bad("the length of a frame must be positive");
  std::set<int> classes;
  for (const Note& note : notes) classes.insert(note.pitch);
  const int rows = static_cast<int>(classes.size());
  std::vector<double> h(sz(rows * frames), kEps);
  int row = 0;
  for (const int drum : classes) {
    for (const Note& note : notes) {
      if (note.pitch != drum) continue;
      const Index m = round_even(note.onset_s / frame_s) - 1;
      for (const Index i : python_indices(m, m, frames)) h[sz(row * frames + i)] = 1.0;
    }
    ++row;
  }
  return nema(h, rows, decay);
}

std::vector<double> nema(std::span<const double> x, int rows, double decay) {
  if (rows < 1 || x.size() % sz(rows) != 0) bad("number of values does not fit the number of rows");
  const double d = std::clamp(decay, 0.0, 0.9999999);
  std::vector<double> y(x.begin(), x.end());
  const std::size_t frames = x.size() / sz(rows);
  for (std::size_t r = 0; r < sz(rows); ++r) {
    for (std::size_t m = 1; m < frames; ++m) {
      const std::size_t i = r * frames + m;
      y[i] = std::max(x[i], d * y[i - 1] + (1.0 - d) * x[i]);
    }
  }
  return y;
}

template <class T>
void set_templates(Factors<T>& f, const Templates& templates) {
  if (templates.size() != sz(f.components)) bad("number of templates does not fit the factors");
  for (int r = 0; r < f.components; ++r) {
    const auto& w = templates[sz(r)];
    if (w.size() != sz(f.bins * f.template_frames)) bad("size of a template does not fit the factors");
    for (Index k = 0; k < f.bins; ++k) {
      for (int t = 0; t < f.template_frames; ++t) f.w_at(k, t, r) = static_cast<T>(w[sz(k * f.template_frames + t)]);
    }
  }
}

template <class T>
void set_activations(Factors<T>& f, std::span<const double> h) {
  if (h.size() != f.h.size()) bad("number of activations does not fit the factors");
  for (std::size_t i = 0; i < h.size(); ++i) f.h[i] = static_cast<T>(h[i]);
}

template void set_templates(Factors<float>&, const Templates&);
template void set_templates(Factors<double>&, const Templates&);
template void set_activations(Factors<float>&, std::span<const double>);
template void set_activations(Factors<double>&, std::span<const double>);

}  // namespace mss::methods::nmf
