#include "eval/toeplitz.h"

#include <algorithm>
#include <cmath>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include "core/error.h"
#include "core/stop.h"
#include "eval/kernels.h"

namespace mss::eval {

namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr double kFirstRidge = 1e-12, kLastRidge = 1e-7;
/// Relative residual that counts as solved; what refinement leaves on well-posed systems is near 1e-15.
constexpr double kSolved = 1e-10;
constexpr int kMaxSteps = 12;
/// Unknowns up to which a dense factor is affordable.
constexpr int kDenseLimit = 2048;

int transform_length(int taps) {
  int n = 8;
  while (n < 2 * taps - 1) n *= 2;
  return n;
}

}  // namespace

ToeplitzSystem::ToeplitzSystem(int channels, int taps, const std::vector<double>& lags, double epsilon)
    : channels_(channels), taps_(taps), lags_(lags), fft_(std::make_unique<RealFft>(transform_length(taps))) {
  MSS_ASSERT(channels >= 1 && taps >= 1);
  const std::size_t width = static_cast<std::size_t>(2 * taps - 1);
  MSS_ASSERT(lags.size() == static_cast<std::size_t>(channels) * static_cast<std::size_t>(channels) * width);
  if (channels > kMaxPadded) {
    throw Error(ErrorParts{.code = Code::unsupported,
                           .where = "BSS Eval",
                           .what = "too many channels in one problem",
                           .expected = "at most 1024 sources times channels",
                           .found = std::to_string(channels),
                           .hint = {}});
  }
  // Powers of two bring every channel's energy near 1 without rounding, so that one ridge suits loud and quiet stems.
  for (int a = 0; a < channels; ++a) {
    const double energy = lag(a, a, 0);
    MSS_ASSERT(energy > 0);
    scale_.push_back(std::ldexp(1.0, -static_cast<int>(std::lround(0.5 * std::log2(energy)))));
  }
  for (int a = 0; a < channels; ++a) {
    for (int b = 0; b < channels; ++b) {
      double* r =
          lags_.data() +
          (static_cast<std::size_t>(a) * static_cast<std::size_t>(channels) + static_cast<std::size_t>(b)) * width;
      if (a == b) r[taps - 1] += epsilon;
      const double s = scale_[static_cast<std::size_t>(a)] * scale_[static_cast<std::size_t>(b)];
      for (std::size_t i = 0; i < width; ++i) r[i] *= s;
    }
  }

  const int n = fft_->length();
  const std::size_t size = fft_->spectrum_size();
  operator_.resize(size * static_cast<std::size_t>(channels * channels));
  AlignedVector x(static_cast<std::size_t>(n)), scratch(fft_->scratch_size());
  for (int a = 0; a < channels; ++a) {
    core::check_stop();
    for (int b = 0; b < channels; ++b) {
      std::fill(x.begin(), x.end(), 0.0);
      for (int k = 1 - taps; k < taps; ++k) x[static_cast<std::size_t>(k < 0 ? n + k : k)] = lag(a, b, k);
      fft_->forward(x.data(), operator_.data() + size * static_cast<std::size_t>(a * channels + b), scratch.data());
    }
  }

  for (double ridge = kFirstRidge; ridge <= kLastRidge * 1.5; ridge *= 10) {
    if (factorise(ridge) && converges()) {
      ridge_ = ridge;
      return;
    }
  }
  if (channels * taps <= kDenseLimit) {
    for (double ridge = kFirstRidge; ridge <= 1e-3; ridge *= 10) {
      if (factorise_dense(ridge) && converges()) {
        ridge_ = ridge;
        return;
      }
    }
  }
  // Nothing reached the target: the strongest ridge still gives a projection onto all but the weakest directions.
  dense_.clear();
  for (double ridge = kLastRidge; ridge < 1; ridge *= 10) {
    if (factorise(ridge)) {
      ridge_ = ridge;
      return;
    }
  }
  throw Error(Code::numeric, "BSS Eval", "the references' Gram matrix cannot be factorised");
}

bool ToeplitzSystem::factorise(double ridge) {
  const int k = channels_, padded = (k + 7) / 8 * 8;
  const std::size_t block = static_cast<std::size_t>(k) * static_cast<std::size_t>(padded);
  AlignedVector r(block * static_cast<std::size_t>(taps_), 0.0);
  AlignedVector forward(block * static_cast<std::size_t>(taps_), 0.0), backward(forward);
  RowMajor error_f(k, k);
  for (int m = 0; m < taps_; ++m)
    for (int b = 0; b < k; ++b)
      for (int a = 0; a < k; ++a) {
        double v = lag(a, b, m);
        if (m == 0 && a == b) v += ridge * v;
        r[static_cast<std::size_t>(m) * block + static_cast<std::size_t>(b * padded + a)] = v;
        if (m == 0) error_f(a, b) = v;
      }
  RowMajor error_b = error_f;
  for (int a = 0; a < k; ++a) {
    forward[static_cast<std::size_t>(a * padded + a)] = 1.0;
    backward[static_cast<std::size_t>(a * padded + a)] = 1.0;
  }

  const Kernels& kernel = kernels();
  AlignedVector delta_rows(static_cast<std::size_t>(padded * padded)), c1(delta_rows.size(), 0.0),
      c2(delta_rows.size(), 0.0);
  LevinsonStep step;
  step.k = k;
  step.padded = padded;
  step.r = r.data();
  step.forward = forward.data();
  step.backward = backward.data();
  RowMajor delta(k, k), w1(k, k), w2(k, k);
  Eigen::LLT<RowMajor> llt_f(k), llt_b(k);
  for (int n = 1; n < taps_; ++n) {
    core::check_stop();
    step.order = n;
    kernel.levinson_delta(step, delta_rows.data());
    core::check_stop();  // with hundreds of channels each of the two takes a second
    for (int a = 0; a < k; ++a)
      for (int b = 0; b < k; ++b) delta(a, b) = delta_rows[static_cast<std::size_t>(a * padded + b)];
    llt_f.compute(error_f);
    llt_b.compute(error_b);
    if (llt_f.info() != Eigen::Success || llt_b.info() != Eigen::Success) return false;
    w1 = llt_b.solve(delta);
    w2 = llt_f.solve(delta.transpose());
    if (!w1.allFinite() || !w2.allFinite()) return false;
    for (int a = 0; a < k; ++a)
      for (int b = 0; b < k; ++b) {
        c1[static_cast<std::size_t>(a * padded + b)] = w1(a, b);
        c2[static_cast<std::size_t>(a * padded + b)] = w2(a, b);
      }
    kernel.levinson_update(step, c1.data(), c2.data());
    error_f -= delta.transpose() * w1;
    error_b -= delta * w2;
    error_f = (0.5 * (error_f + error_f.transpose())).eval();
    error_b = (0.5 * (error_b + error_b.transpose())).eval();
  }
  llt_f.compute(error_f);
  llt_b.compute(error_b);
  if (llt_f.info() != Eigen::Success || llt_b.info() != Eigen::Success) return false;
  const RowMajor identity = RowMajor::Identity(k, k);
  const RowMajor inverse_f = llt_f.solve(identity), inverse_b = llt_b.solve(identity);
  if (!inverse_f.allFinite() || !inverse_b.allFinite()) return false;
  forward_inverse_.assign(inverse_f.data(), inverse_f.data() + k * k);
  backward_inverse_.assign(inverse_b.data(), inverse_b.data() + k * k);

  const std::size_t size = fft_->spectrum_size();
  forward_.resize(size * static_cast<std::size_t>(k * k));
  backward_.resize(forward_.size());
  AlignedVector x(static_cast<std::size_t>(fft_->length())), scratch(fft_->scratch_size());
  for (int a = 0; a < k; ++a) {
    core::check_stop();
    for (int b = 0; b < k; ++b) {
      const std::size_t entry = static_cast<std::size_t>(a * padded + b);
      std::fill(x.begin(), x.end(), 0.0);
      for (int i = 0; i < taps_; ++i)
        x[static_cast<std::size_t>(i)] = forward[static_cast<std::size_t>(i) * block + entry];
      fft_->forward(x.data(), forward_.data() + size * static_cast<std::size_t>(a * k + b), scratch.data());
      std::fill(x.begin(), x.end(), 0.0);
      for (int i = 1; i < taps_; ++i) {
        x[static_cast<std::size_t>(i)] = backward[static_cast<std::size_t>(i - 1) * block + entry];
      }
      fft_->forward(x.data(), backward_.data() + size * static_cast<std::size_t>(a * k + b), scratch.data());
    }
  }
  return true;
}

bool ToeplitzSystem::factorise_dense(double ridge) {
  const int n = channels_ * taps_;
  RowMajor t(n, n);
  for (int a = 0; a < channels_; ++a)
    for (int b = 0; b < channels_; ++b)
      for (int p = 0; p < taps_; ++p)
        for (int q = 0; q < taps_; ++q) t(a * taps_ + p, b * taps_ + q) = lag(a, b, p - q);
  for (int i = 0; i < n; ++i) t(i, i) *= 1.0 + ridge;
  const Eigen::LLT<RowMajor> llt(t);
  if (llt.info() != Eigen::Success) return false;
  const RowMajor lower = llt.matrixL();
  dense_.assign(lower.data(), lower.data() + static_cast<std::ptrdiff_t>(n) * n);
  return true;
}

void ToeplitzSystem::to_spectra(const std::vector<double>& x, int columns, AlignedVector& spectra) const {
  const std::size_t size = fft_->spectrum_size(), rows = static_cast<std::size_t>(columns * channels_);
  const auto taps = static_cast<std::size_t>(taps_);
  spectra.resize(size * rows);
  AlignedVector buffer(static_cast<std::size_t>(fft_->length())), scratch(fft_->scratch_size());
  for (std::size_t i = 0; i < rows; ++i) {
    std::copy_n(x.data() + i * taps, taps, buffer.data());
    std::fill(buffer.begin() + static_cast<std::ptrdiff_t>(taps), buffer.end(), 0.0);
    fft_->forward(buffer.data(), spectra.data() + i * size, scratch.data());
  }
}

void ToeplitzSystem::to_samples(const AlignedVector& spectra, int columns, std::vector<double>& x) const {
  const std::size_t size = fft_->spectrum_size(), rows = static_cast<std::size_t>(columns * channels_);
  const auto taps = static_cast<std::size_t>(taps_);
  x.resize(rows * taps);
  AlignedVector buffer(static_cast<std::size_t>(fft_->length())), scratch(fft_->scratch_size());
  const double scale = 1.0 / fft_->length();
  for (std::size_t i = 0; i < rows; ++i) {
    fft_->inverse(spectra.data() + i * size, buffer.data(), scratch.data());
    for (std::size_t t = 0; t < taps; ++t) x[i * taps + t] = buffer[t] * scale;
  }
}

void ToeplitzSystem::apply_operator(const std::vector<double>& x, int columns, std::vector<double>& out) const {
  AlignedVector in, product;
  to_spectra(x, columns, in);
  product.resize(in.size());
  SpectralProduct p;
  p.m = operator_.data();
  p.in = in.data();
  p.out = product.data();
  p.n = channels_;
  p.columns = columns;
  p.stride = fft_->stride();
  kernels().spectral_product(p);
  to_samples(product, columns, out);
}

void ToeplitzSystem::apply_inverse(const std::vector<double>& right, int columns, std::vector<double>& out) const {
  if (!dense_.empty()) {
    const int n = channels_ * taps_;
    const Eigen::Map<const RowMajor> lower(dense_.data(), n, n);
    out = right;
    Eigen::Map<Eigen::MatrixXd> x(out.data(), n, columns);
    lower.triangularView<Eigen::Lower>().solveInPlace(x);
    lower.transpose().triangularView<Eigen::Upper>().solveInPlace(x);
    return;
  }
  const auto taps = static_cast<std::size_t>(taps_), k = static_cast<std::size_t>(channels_);
  AlignedVector in, half, product;
  to_spectra(right, columns, in);
  half.resize(in.size());
  product.resize(in.size());
  std::vector<double> u, v(right.size());
  SpectralProduct p;
  p.n = channels_;
  p.columns = columns;
  p.stride = fft_->stride();
  for (const bool first : {true, false}) {
    p.m = first ? forward_.data() : backward_.data();
    p.in = in.data();
    p.out = half.data();
    p.adjoint = true;
    p.subtract = false;
    kernels().spectral_product(p);
    core::check_stop();
    to_samples(half, columns, u);
    const std::vector<double>& weight = first ? forward_inverse_ : backward_inverse_;
    std::fill(v.begin(), v.end(), 0.0);
    for (std::size_t c = 0; c < static_cast<std::size_t>(columns); ++c)
      for (std::size_t a = 0; a < k; ++a)
        for (std::size_t b = 0; b < k; ++b) {
          const double w = weight[a * k + b];
          const double* from = u.data() + (c * k + b) * taps;
          double* to = v.data() + (c * k + a) * taps;
          for (std::size_t t = 0; t < taps; ++t) to[t] += w * from[t];
        }
    to_spectra(v, columns, half);
    p.in = half.data();
    p.out = product.data();
    p.adjoint = false;
    p.subtract = !first;
    kernels().spectral_product(p);
  }
  to_samples(product, columns, out);
}

std::vector<double> ToeplitzSystem::refine(const std::vector<double>& right, int columns, double* worst) const {
  const std::size_t rows = static_cast<std::size_t>(channels_ * taps_);
  std::vector<double> x(right.size(), 0.0), residual = right, correction, trial(right.size()), image;
  const auto norm = [&](const std::vector<double>& v, std::size_t c) {
    double sum = 0;
    for (std::size_t i = c * rows; i < (c + 1) * rows; ++i) sum += v[i] * v[i];
    return std::sqrt(sum);
  };
  const auto count = static_cast<std::size_t>(columns);
  std::vector<double> start(count), best(count);
  std::vector<char> active(count, 1);
  for (std::size_t c = 0; c < count; ++c) {
    start[c] = best[c] = norm(right, c);
    active[c] = start[c] > 0;
  }
  for (int step = 0; step < kMaxSteps; ++step) {
    if (std::none_of(active.begin(), active.end(), [](char a) { return a != 0; })) break;
    core::check_stop();
    apply_inverse(residual, columns, correction);
    for (std::size_t i = 0; i < x.size(); ++i) trial[i] = x[i] + correction[i];
    apply_operator(trial, columns, image);
    for (std::size_t c = 0; c < count; ++c) {
      if (!active[c]) continue;
      for (std::size_t i = c * rows; i < (c + 1) * rows; ++i) image[i] = right[i] - image[i];
      const double now = norm(image, c);
      // Rounding sets a floor; a step that does not get below it only shuffles noise.
      if (!(now < best[c])) {
        active[c] = 0;
        continue;
      }
      std::copy_n(trial.data() + c * rows, rows, x.data() + c * rows);
      std::copy_n(image.data() + c * rows, rows, residual.data() + c * rows);
      if (now > 0.5 * best[c]) active[c] = 0;
      best[c] = now;
      if (now == 0) active[c] = 0;
    }
  }
  if (worst != nullptr) {
    *worst = 0;
    for (std::size_t c = 0; c < count; ++c)
      if (start[c] > 0) *worst = std::max(*worst, best[c] / start[c]);
  }
  return x;
}

bool ToeplitzSystem::converges() const {
  // The image of a pulse train: a consistent right-hand side also when T is singular.
  std::vector<double> x(static_cast<std::size_t>(channels_ * taps_)), right;
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = (i * 2654435761u % 1024) / 512.0 - 1.0;
  apply_operator(x, 1, right);
  double worst = 0;
  refine(right, 1, &worst);
  return worst <= kSolved;
}

std::vector<double> ToeplitzSystem::solve(const std::vector<double>& right, int columns) const {
  const auto taps = static_cast<std::size_t>(taps_), k = static_cast<std::size_t>(channels_);
  MSS_ASSERT(right.size() == static_cast<std::size_t>(columns) * k * taps);
  std::vector<double> scaled(right);
  const auto rescale = [&](std::vector<double>& v) {
    for (std::size_t i = 0; i < v.size(); ++i) v[i] *= scale_[i / taps % k];
  };
  rescale(scaled);
  std::vector<double> x = refine(scaled, columns, nullptr);
  rescale(x);
  return x;
}

}  // namespace mss::eval
