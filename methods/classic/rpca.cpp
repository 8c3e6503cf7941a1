#include "methods/classic/rpca.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/rng.h"

namespace mss::methods::classic {
namespace {

using Matrix = Eigen::MatrixXf;

/// U diag(s) V' of the part of `a` with singular values above `threshold`, those shrunk by it.
struct Shrunk {
  Matrix low_rank;
  int rank = 0;
};

Matrix gaussian(Eigen::Index rows, Eigen::Index columns) {
  Matrix out(rows, columns);
  core::Rng rng(0x52504341, 1);
  for (Eigen::Index j = 0; j < columns; ++j) {
    for (Eigen::Index i = 0; i < rows; ++i) out(i, j) = static_cast<float>(rng.normal());
  }
  return out;
}

Matrix orthonormal(const Matrix& a) {
  Eigen::HouseholderQR<Matrix> qr(a);
  return qr.householderQ() * Matrix::Identity(a.rows(), std::min(a.rows(), a.cols()));
}

Shrunk recompose(const Eigen::BDCSVD<Matrix>& svd, const Matrix* basis, float threshold) {
  Shrunk out;
  const auto& s = svd.singularValues();
  while (out.rank < s.size() && s(out.rank) > threshold) ++out.rank;
  const Matrix left = svd.matrixU().leftCols(out.rank) * (s.head(out.rank).array() - threshold).matrix().asDiagonal();
  const Matrix right = svd.matrixV().leftCols(out.rank);
  out.low_rank = basis != nullptr ? Matrix(((*basis) * left) * right.transpose()) : Matrix(left * right.transpose());
  return out;
}

/// `guess` is the rank to expect; the sketch doubles until it reaches below the threshold.
Shrunk shrink(const Matrix& a, float threshold, int guess, bool full) {
  const Eigen::Index smallest = std::min(a.rows(), a.cols());
  Eigen::Index size = std::min<Eigen::Index>(smallest, std::max(guess + 10, 16));
  while (!full && size * 3 < smallest) {
    Matrix q = orthonormal(a * gaussian(a.cols(), size));
    for (int power = 0; power < 2; ++power) q = orthonormal(a * orthonormal(a.transpose() * q));
    const Eigen::BDCSVD<Matrix> svd(q.transpose() * a, Eigen::ComputeThinU | Eigen::ComputeThinV);
    // The last few values of a sketch are the least accurate: ask for a margin below the threshold.
    if (svd.singularValues()(size - 5) < threshold) return recompose(svd, &q, threshold);
    size *= 2;
  }
  const Eigen::BDCSVD<Matrix> svd(a, Eigen::ComputeThinU | Eigen::ComputeThinV);
  return recompose(svd, nullptr, threshold);
}

}  // namespace

RpcaResult rpca(const std::vector<float>& v, std::int64_t frames, int bins, const RpcaOptions& options,
                const core::StopToken& stop) {
  MSS_ASSERT(v.size() == static_cast<std::size_t>(frames * bins));
  RpcaResult out;
  out.low_rank.assign(v.size(), 0.0f);
  out.sparse.assign(v.size(), 0.0f);
  // Column-major bins x frames is frame-major memory: no copy is transposed.
  const Eigen::Map<const Matrix> data(v.data(), bins, frames);
  const double norm = v.empty() ? 0.0 : static_cast<double>(data.norm());
  if (norm == 0) return out;
  const Matrix value = data;
  const auto lambda =
      static_cast<float>(options.lambda_scale / std::sqrt(static_cast<double>(std::max<std::int64_t>(bins, frames))));
  // The largest singular value by power iteration from a positive vector: V is non-negative, so it is not orthogonal to
  // the first.
  Eigen::VectorXf x = Eigen::VectorXf::Ones(frames).normalized();
  float first = 0;
  for (int i = 0; i < 100; ++i) {
    Eigen::VectorXf y = value.transpose() * (value * x);
    const float next = std::sqrt(y.norm());
    y.normalize();
    x = y;
    if (std::abs(next - first) <= 1e-6f * next) break;
    first = next;
  }
  first = (value * x).norm();
  const float mu_start = 1.25f / first, mu_limit = 1e7f * mu_start;
  float mu = mu_start;
  Matrix y = value / std::max(first, value.cwiseAbs().maxCoeff() / lambda);
  double share = 0;
  Matrix sparse = Matrix::Zero(bins, frames), low(bins, frames), work(bins, frames);
  for (out.iterations = 1; out.iterations <= options.max_iterations; ++out.iterations) {
    stop.check();
    work = value - sparse + y / mu;
    Shrunk shrunk = shrink(work, 1 / mu, out.rank, options.full_svd);
    low.swap(shrunk.low_rank);
    out.rank = shrunk.rank;
    work = value - low + y / mu;
    const float cut = lambda / mu;
    sparse = (work.array() - cut).cwiseMax(0.0f) + (work.array() + cut).cwiseMin(0.0f);
    work = value - low - sparse;
    y += mu * work;
    mu = std::min(mu * 1.5f, mu_limit);
    const double before = out.residual;
    out.residual = static_cast<double>(work.norm()) / norm;
    if (options.progress) {
      // The residual falls geometrically, down to the tolerance or to what single precision allows.
      const double end = std::log(std::max(options.tolerance, 1e-6));
      const double fallen = out.residual < 1 ? std::log(std::max(out.residual, 1e-12)) / end : 0.0;
      share = std::clamp(std::max(fallen, static_cast<double>(out.iterations) / options.max_iterations), share, 1.0);
      options.progress(share);
    }
    if (out.residual < options.tolerance) break;
    // Single precision keeps the residual from falling further somewhat above 1e-7; L and S have settled long before.
    if (out.residual < 1e-5 && out.residual > 0.9 * before) break;
  }
  out.iterations = std::min(out.iterations, options.max_iterations);
  Eigen::Map<Matrix>(out.low_rank.data(), bins, frames) = low;
  Eigen::Map<Matrix>(out.sparse.data(), bins, frames) = sparse;
  return out;
}

}  // namespace mss::methods::classic
