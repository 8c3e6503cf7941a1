// Compiled once per instruction set: see mss_add_module(KERNELS) for what may stand here. Vectors are GCC's generic
// ones, which the compiler lowers to whatever the set has.
#include "eval/kernels.h"

// Vectors wider than the set's registers only pass between functions that are inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace mss::eval {
namespace MSS_KERNEL_ISA {
namespace {

typedef double Double8 __attribute__((vector_size(64), aligned(8)));
typedef float Float8 __attribute__((vector_size(32), aligned(4)));
typedef double Lanes __attribute__((vector_size(64)));

inline __attribute__((always_inline)) Lanes load(const double* p) { return *reinterpret_cast<const Double8*>(p); }
inline __attribute__((always_inline)) Lanes load(const float* p) {
  return __builtin_convertvector(*reinterpret_cast<const Float8*>(p), Lanes);
}

inline __attribute__((always_inline)) double total(const Lanes& a, const Lanes& b) {
  const Lanes v = a + b;
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

template <class T>
inline __attribute__((always_inline)) void pair_sums(const T* s, const T* e, std::int64_t n, PairSums* out) {
  Lanes error[2] = {}, cross[2] = {}, energy[2] = {}, sum[2] = {};
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int h = 0; h < 2; ++h) {
      const Lanes a = load(s + i + 8 * h), b = load(e + i + 8 * h), d = b - a;
      error[h] += d * d;
      cross[h] += d * a;
      energy[h] += b * b;
      sum[h] += b;
    }
  }
  PairSums rest;
  for (; i < n; ++i) {
    const double a = s[i], b = e[i], d = b - a;
    rest.error2 += d * d;
    rest.cross += d * a;
    rest.estimate2 += b * b;
    rest.estimate1 += b;
  }
  out->error2 += total(error[0], error[1]) + rest.error2;
  out->cross += total(cross[0], cross[1]) + rest.cross;
  out->estimate2 += total(energy[0], energy[1]) + rest.estimate2;
  out->estimate1 += total(sum[0], sum[1]) + rest.estimate1;
}

template <class T>
inline __attribute__((always_inline)) void own_sums(const T* s, std::int64_t n, OwnSums* out) {
  Lanes energy[2] = {}, sum[2] = {};
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int h = 0; h < 2; ++h) {
      const Lanes a = load(s + i + 8 * h);
      energy[h] += a * a;
      sum[h] += a;
    }
  }
  OwnSums rest;
  for (; i < n; ++i) {
    const double a = s[i];
    rest.energy += a * a;
    rest.sum += a;
  }
  out->energy += total(energy[0], energy[1]) + rest.energy;
  out->sum += total(sum[0], sum[1]) + rest.sum;
}

void pair_sums_f32(const float* s, const float* e, std::int64_t n, PairSums* out) { pair_sums(s, e, n, out); }
void pair_sums_f64(const double* s, const double* e, std::int64_t n, PairSums* out) { pair_sums(s, e, n, out); }
void own_sums_f32(const float* s, std::int64_t n, OwnSums* out) { own_sums(s, n, out); }
void own_sums_f64(const double* s, std::int64_t n, OwnSums* out) { own_sums(s, n, out); }

int load_f32(const float* plus, const float* minus, std::int64_t n, double* out) {
  // Adding and taking away 1.5 * 2^52 rounds to the nearest integer without an instruction for it.
  constexpr double kRound = 6755399441055744.0;
  typedef long long Mask __attribute__((vector_size(64)));
  Mask off = {};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    Lanes v = load(plus + i);
    if (minus != nullptr) v -= load(minus + i);
    *reinterpret_cast<Double8*>(out + i) = v;
    const Lanes scaled = v * 32768.0;
    off |= scaled != (scaled + kRound) - kRound;
  }
  long long any = 0;
  for (int l = 0; l < 8; ++l) any |= off[l];
  for (; i < n; ++i) {
    double v = plus[i];
    if (minus != nullptr) v -= minus[i];
    out[i] = v;
    const double scaled = v * 32768.0;
    any |= scaled != (scaled + kRound) - kRound;
  }
  return any != 0;
}

void deinterleave(const double* z, std::int64_t n, double* re, double* im) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const Lanes a = load(z + 2 * i), b = load(z + 2 * i + 8);
    *reinterpret_cast<Double8*>(re + i) = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
    *reinterpret_cast<Double8*>(im + i) = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
  }
  for (; i < n; ++i) {
    re[i] = z[2 * i];
    im[i] = z[2 * i + 1];
  }
}

void interleave(const double* re, const double* im, std::int64_t n, double* z) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const Lanes a = load(re + i), b = load(im + i);
    *reinterpret_cast<Double8*>(z + 2 * i) = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    *reinterpret_cast<Double8*>(z + 2 * i + 8) = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  }
  for (; i < n; ++i) {
    z[2 * i] = re[i];
    z[2 * i + 1] = im[i];
  }
}

inline __attribute__((always_inline)) Lanes at(const double* p) { return *reinterpret_cast<const Lanes*>(p); }
inline __attribute__((always_inline)) void put(double* p, const Lanes& v) { *reinterpret_cast<Lanes*>(p) = v; }

/// Bins per step: the rows of all signals for one step stay in the second-level cache.
constexpr std::int64_t kBins = 256;

// Register tiles: as many accumulators as the set's registers hold.
#if defined(__AVX512F__)
constexpr int kTileA = 2, kTileB = 4;
#else
constexpr int kTileA = 1, kTileB = 2;
#endif

template <int NA, int NB>
inline __attribute__((always_inline)) void cross_tile(const CrossProducts& p, int i0, int j0, std::int64_t begin,
                                                      std::int64_t end) {
  const std::int64_t row = 2 * p.stride;
  for (std::int64_t f = begin; f < end; f += 8) {
    Lanes re[NA][NB], im[NA][NB];
    for (int i = 0; i < NA; ++i) {
      for (int j = 0; j < NB; ++j) {
        const double* acc = p.acc + ((i0 + i) * static_cast<std::int64_t>(p.nb) + j0 + j) * row + f;
        re[i][j] = at(acc);
        im[i][j] = at(acc + p.stride);
      }
    }
    for (int k = 0; k < p.blocks; ++k) {
      const double* a = p.a + k * p.a_block_stride + i0 * row + f;
      const double* b = p.b + k * p.b_block_stride + j0 * row + f;
      Lanes ar[NA], ai[NA];
      for (int i = 0; i < NA; ++i) {
        ar[i] = at(a + i * row);
        ai[i] = at(a + i * row + p.stride);
      }
      for (int j = 0; j < NB; ++j) {
        const Lanes br = at(b + j * row), bi = at(b + j * row + p.stride);
        for (int i = 0; i < NA; ++i) {
          re[i][j] += ar[i] * br;
          re[i][j] += ai[i] * bi;
          im[i][j] += ar[i] * bi;
          im[i][j] -= ai[i] * br;
        }
      }
    }
    for (int i = 0; i < NA; ++i) {
      for (int j = 0; j < NB; ++j) {
        double* acc = p.acc + ((i0 + i) * static_cast<std::int64_t>(p.nb) + j0 + j) * row + f;
        put(acc, re[i][j]);
        put(acc + p.stride, im[i][j]);
      }
    }
  }
}

template <int NA>
inline __attribute__((always_inline)) void cross_row(const CrossProducts& p, int i0, std::int64_t begin,
                                                     std::int64_t end) {
  int j = 0;
  for (; j + kTileB <= p.nb; j += kTileB) {
    if (p.upper && j + kTileB <= i0) continue;
    cross_tile<NA, kTileB>(p, i0, j, begin, end);
  }
  for (; j < p.nb; ++j) {
    if (p.upper && j < i0) continue;
    cross_tile<NA, 1>(p, i0, j, begin, end);
  }
}

void cross_products(const CrossProducts& p) {
  for (std::int64_t f = 0; f < p.stride; f += kBins) {
    const std::int64_t end = f + kBins < p.stride ? f + kBins : p.stride;
    int i = 0;
    for (; i + kTileA <= p.na; i += kTileA) cross_row<kTileA>(p, i, f, end);
    for (; i < p.na; ++i) cross_row<1>(p, i, f, end);
  }
}

template <int NC>
inline __attribute__((always_inline)) void product_tile(const SpectralProduct& p, int i, int j0, std::int64_t begin,
                                                        std::int64_t end) {
  const std::int64_t row = 2 * p.stride;
  for (std::int64_t f = begin; f < end; f += 8) {
    Lanes re[NC] = {}, im[NC] = {};
    for (int k = 0; k < p.n; ++k) {
      const double* m =
          p.m + (p.adjoint ? static_cast<std::int64_t>(k) * p.n + i : static_cast<std::int64_t>(i) * p.n + k) * row + f;
      const Lanes mr = at(m);
      const Lanes mi = p.adjoint ? -at(m + p.stride) : at(m + p.stride);
      for (int j = 0; j < NC; ++j) {
        const double* x = p.in + (static_cast<std::int64_t>(j0 + j) * p.n + k) * row + f;
        const Lanes xr = at(x), xi = at(x + p.stride);
        re[j] += mr * xr;
        re[j] -= mi * xi;
        im[j] += mr * xi;
        im[j] += mi * xr;
      }
    }
    for (int j = 0; j < NC; ++j) {
      double* out = p.out + (static_cast<std::int64_t>(j0 + j) * p.n + i) * row + f;
      if (p.add) {
        put(out, at(out) + re[j]);
        put(out + p.stride, at(out + p.stride) + im[j]);
      } else if (p.subtract) {
        put(out, at(out) - re[j]);
        put(out + p.stride, at(out + p.stride) - im[j]);
      } else {
        put(out, re[j]);
        put(out + p.stride, im[j]);
      }
    }
  }
}

void spectral_product(const SpectralProduct& p) {
  for (std::int64_t f = 0; f < p.stride; f += kBins) {
    const std::int64_t end = f + kBins < p.stride ? f + kBins : p.stride;
    for (int i = 0; i < p.n; ++i) {
      int j = 0;
      for (; j + 4 <= p.columns; j += 4) product_tile<4>(p, i, j, f, end);
      for (; j < p.columns; ++j) product_tile<1>(p, i, j, f, end);
    }
  }
}

/// One output channel of NF frames at once: a filter's bins are loaded once for all of them.
template <int NF>
inline __attribute__((always_inline)) void energies_of(const FrameEnergies& p, int o, int frame, std::int64_t begin,
                                                       std::int64_t end) {
  const std::int64_t row = 2 * p.stride;
  const double* c = p.c + static_cast<std::int64_t>(o) * p.inputs * row;
  const double* own = p.own + static_cast<std::int64_t>(o) * p.own_inputs * row;
  const int* own_index = p.own_index + static_cast<std::int64_t>(o) * p.own_inputs;
  const double* const* x[NF];
  const double* d[NF];
  Lanes e[NF][6] = {};
  for (int n = 0; n < NF; ++n) {
    x[n] = p.x + static_cast<std::int64_t>(frame + n) * p.inputs;
    d[n] = p.d[static_cast<std::int64_t>(frame + n) * p.outputs + o];
  }
  for (std::int64_t f = begin; f < end; f += 8) {
    Lanes pr[NF] = {}, pi[NF] = {}, qr[NF] = {}, qi[NF] = {};
    for (int k = 0; k < p.inputs; ++k) {
      const Lanes cr = at(c + k * row + f), ci = at(c + k * row + p.stride + f);
      for (int n = 0; n < NF; ++n) {
        const Lanes xr = at(x[n][k] + f), xi = at(x[n][k] + p.stride + f);
        pr[n] += cr * xr;
        pr[n] -= ci * xi;
        pi[n] += cr * xi;
        pi[n] += ci * xr;
      }
    }
    for (int k = 0; k < p.own_inputs; ++k) {
      const int which = own_index[k];
      if (which < 0) continue;
      const Lanes cr = at(own + k * row + f), ci = at(own + k * row + p.stride + f);
      for (int n = 0; n < NF; ++n) {
        const Lanes xr = at(x[n][which] + f), xi = at(x[n][which] + p.stride + f);
        qr[n] += cr * xr;
        qr[n] -= ci * xi;
        qi[n] += cr * xi;
        qi[n] += ci * xr;
      }
    }
    for (int n = 0; n < NF; ++n) {
      Lanes sr = {}, si = {};
      if (p.reference[o] >= 0) {
        sr = at(x[n][p.reference[o]] + f);
        si = at(x[n][p.reference[o]] + p.stride + f);
      }
      const Lanes dr = at(d[n] + f), di = at(d[n] + p.stride + f);
      e[n][0] += qr[n] * qr[n] + qi[n] * qi[n];
      Lanes ur = sr + qr[n], ui = si + qi[n];
      e[n][1] += ur * ur + ui * ui;
      ur = pr[n] - qr[n];
      ui = pi[n] - qi[n];
      e[n][2] += ur * ur + ui * ui;
      ur = sr + pr[n];
      ui = si + pi[n];
      e[n][3] += ur * ur + ui * ui;
      ur = dr - pr[n];
      ui = di - pi[n];
      e[n][4] += ur * ur + ui * ui;
      ur = dr - qr[n];
      ui = di - qi[n];
      e[n][5] += ur * ur + ui * ui;
    }
  }
  const Lanes zero = {};
  for (int n = 0; n < NF; ++n) {
    double* sums = p.sums + (static_cast<std::int64_t>(frame + n) * p.outputs + o) * 6;
    for (int i = 0; i < 6; ++i) sums[i] += total(e[n][i], zero);
  }
}

void frame_energies(const FrameEnergies& p) {
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(p.frames) * p.outputs * 6; ++i) p.sums[i] = 0;
  for (std::int64_t begin = 0; begin < p.stride; begin += kBins) {
    const std::int64_t end = begin + kBins < p.stride ? begin + kBins : p.stride;
    for (int o = 0; o < p.outputs; ++o) {
      int frame = 0;
      for (; frame + 2 <= p.frames; frame += 2) energies_of<2>(p, o, frame, begin, end);
      for (; frame < p.frames; ++frame) energies_of<1>(p, o, frame, begin, end);
    }
  }
}

/// delta(a, :) = sum over blocks j and rows k of r[order - j](a, k) forward_j(k, :).
void levinson_delta(const LevinsonStep& p, double* delta) {
  const std::int64_t block = static_cast<std::int64_t>(p.k) * p.padded;
  for (int v = 0; v < p.padded; v += 8) {
    for (int a0 = 0; a0 < p.padded; a0 += 8) {
      Lanes acc[8] = {};
      for (int j = 0; j < p.order; ++j) {
        const double* r = p.r + (p.order - j) * block + a0;
        const double* x = p.forward + j * block + v;
        for (int k = 0; k < p.k; ++k) {
          const Lanes row = at(x + static_cast<std::int64_t>(k) * p.padded);
          const double* weight = r + static_cast<std::int64_t>(k) * p.padded;
          for (int a = 0; a < 8; ++a) acc[a] += weight[a] * row;
        }
      }
      for (int a = 0; a < 8; ++a) put(delta + static_cast<std::int64_t>(a0 + a) * p.padded + v, acc[a]);
    }
  }
}

/// forward_i -= backward_{i-1} c1, backward_i = backward_{i-1} - forward_i c2 with the old values on the right.
void levinson_update(const LevinsonStep& p, const double* c1, const double* c2) {
  const std::int64_t block = static_cast<std::int64_t>(p.k) * p.padded;
  if (p.padded == 8) {
    Lanes w1[8], w2[8];
    for (int q = 0; q < 8; ++q) {
      w1[q] = at(c1 + q * 8);
      w2[q] = at(c2 + q * 8);
    }
    for (int i = p.order; i >= 0; --i) {
      double* fi = p.forward + i * block;
      double* bi = p.backward + i * block;
      const double* bp = bi - block;
      for (int k = 0; k < p.k; ++k) {
        alignas(64) double a[8], b[8];
        Lanes x = at(fi + k * 8), y = {};
        if (i > 0) y = at(bp + k * 8);
        put(a, x);
        put(b, y);
        for (int q = 0; q < 8; ++q) {
          x -= b[q] * w1[q];
          y -= a[q] * w2[q];
        }
        put(fi + k * 8, x);
        put(bi + k * 8, y);
      }
    }
    return;
  }
  double a[kMaxPadded], b[kMaxPadded];
  for (int i = p.order; i >= 0; --i) {
    double* fi = p.forward + i * block;
    double* bi = p.backward + i * block;
    const double* bp = bi - block;
    for (int k = 0; k < p.k; ++k) {
      const std::int64_t row = static_cast<std::int64_t>(k) * p.padded;
      for (int q = 0; q < p.padded; ++q) {
        a[q] = fi[row + q];
        b[q] = i > 0 ? bp[row + q] : 0.0;
      }
      for (int v = 0; v < p.padded; v += 8) {
        Lanes x = *reinterpret_cast<const Double8*>(a + v), y = *reinterpret_cast<const Double8*>(b + v);
        for (int q = 0; q < p.k; ++q) {
          x -= b[q] * at(c1 + static_cast<std::int64_t>(q) * p.padded + v);
          y -= a[q] * at(c2 + static_cast<std::int64_t>(q) * p.padded + v);
        }
        put(fi + row + v, x);
        put(bi + row + v, y);
      }
    }
  }
}

}  // namespace

extern const Kernels table;
const Kernels table = {pair_sums_f32,    pair_sums_f64,  own_sums_f32,   own_sums_f64,
                       load_f32,         deinterleave,   interleave,     cross_products,
                       spectral_product, frame_energies, levinson_delta, levinson_update};

}  // namespace MSS_KERNEL_ISA
}  // namespace mss::eval
