#include "methods/nmf/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/rng.h"
#include "tests/support/catch.h"

namespace {

using namespace mss::methods::nmf;
using Index = std::int64_t;

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

template <class T>
std::vector<T> noise(Index count, std::uint32_t stream) {
  mss::core::Rng rng(1, stream);
  std::vector<T> x(sz(count));
  for (auto& v : x) v = static_cast<T>(0.05 + rng.uniform());
  return x;
}

/// C = A B of one shape, the right factor as rows and packed, the left one by rows and by columns.
template <class T>
struct Case {
  const Kernels<T>& kernel = kernels<T>();
  Index m, n, k, ldc;
  std::vector<T> a, a_transposed, b, packed, c;

  Case(Index m_, Index n_, Index k_) : m(m_), n(n_), k(k_), ldc(n + 3) {
    a = noise<T>(m * k, 1);
    b = noise<T>(k * n, 2);
    c = noise<T>(m * ldc, 3);
    a_transposed.resize(a.size());
    for (Index i = 0; i < m; ++i) {
      for (Index p = 0; p < k; ++p) a_transposed[sz(p * m + i)] = a[sz(i * k + p)];
    }
    const Index width = kernel.panel;
    packed.resize(sz((n + width - 1) / width * k * width));
    for (Index p = 0; p < k; ++p) {
      for (Index j = 0; j < n; ++j) packed[sz((j / width * k + p) * width + j % width)] = b[sz(p * n + j)];
    }
  }
  Product<T> product(T* out, bool accumulate = false) const {
    return {.m = m,
            .n = n,
            .k = k,
            .a = a.data(),
            .row_stride = k,
            .column_stride = 1,
            .b = b.data(),
            .ldb = n,
            .panel_stride = kernel.panel,
            .c = out,
            .ldc = ldc,
            .accumulate = accumulate};
  }
  std::vector<T> run(bool accumulate, bool by_columns, bool pack) const {
    std::vector<T> out = c;
    Product<T> x = product(out.data(), accumulate);
    if (by_columns) x.a = a_transposed.data(), x.row_stride = 1, x.column_stride = m;
    if (pack) x.b = packed.data(), x.ldb = kernel.panel, x.panel_stride = k * kernel.panel;
    kernel.gemm(x);
    return out;
  }
};

template <class T, class F>
void for_shapes(F&& f) {
  const Index lanes = kernels<T>().lanes, panel = kernels<T>().panel;
  for (Index m = 1; m <= 26; ++m) {
    for (const Index n : {lanes, panel, panel + lanes, 3 * panel}) {
      for (const Index k : {0, 1, 5, 33}) f(Case<T>(m, n, k));
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("products of the kernels are right for every number of rows", "[nmf]", float, double) {
  for_shapes<TestType>([](const Case<TestType>& x) {
    const double tolerance = 8.0 * static_cast<double>(x.k + 1) * std::numeric_limits<TestType>::epsilon();
    for (const bool accumulate : {false, true}) {
      const auto out = x.run(accumulate, false, false);
      double worst = 0;
      bool untouched = true;
      for (Index i = 0; i < x.m; ++i) {
        for (Index j = 0; j < x.ldc; ++j) {
          const std::size_t at = sz(i * x.ldc + j);
          if (j >= x.n) {
            untouched &= out[at] == x.c[at];
            continue;
          }
          double sum = accumulate ? static_cast<double>(x.c[at]) : 0.0;
          for (Index p = 0; p < x.k; ++p) {
            sum += static_cast<double>(x.a[sz(i * x.k + p)]) * static_cast<double>(x.b[sz(p * x.n + j)]);
          }
          worst = std::max(worst, std::abs(static_cast<double>(out[at]) - sum) / std::max(1.0, sum));
        }
      }
      CAPTURE(x.m, x.n, x.k, accumulate);
      CHECK(worst <= tolerance);
      CHECK(untouched);
    }
  });
}

TEMPLATE_TEST_CASE("products have the same bits for every layout and every cut into tiles", "[nmf]", float, double) {
  for_shapes<TestType>([](const Case<TestType>& x) {
    const auto whole = x.run(false, false, false);
    auto cut = x.c;
    for (Index i = 0; i < x.m; ++i) {  // row by row, and the sum in two parts
      auto part = x.product(cut.data() + i * x.ldc);
      part.m = 1;
      part.a += i * x.k;
      part.k = x.k / 2;
      x.kernel.gemm(part);
      part.a += part.k;
      part.b += part.k * x.n;
      part.k = x.k - part.k;
      part.accumulate = true;
      x.kernel.gemm(part);
    }
    CAPTURE(x.m, x.n, x.k);
    CHECK(x.run(false, true, false) == whole);
    CHECK(x.run(false, false, true) == whole);
    CHECK(x.run(true, true, true) == x.run(true, false, false));
    CHECK(cut == whole);
  });
}

TEMPLATE_TEST_CASE("weights are those of the product, to the bit, and read no column of V too many", "[nmf]", float,
                   double) {
  for_shapes<TestType>([](const Case<TestType>& x) {
    const auto model = x.run(false, false, false);
    for (const Index columns : {x.n, x.n - 1}) {
      const auto v = noise<TestType>(x.m * columns, 4);
      RatioArgs<TestType> args;
      args.scale = TestType(0.7);
      args.add = TestType(0.01);
      args.floor = TestType(1.5);  // some entries of the model lie below
      for (const Ratio kind : {Ratio::kl, Ratio::euclidean, Ratio::itakura}) {
        args.kind = kind;
        auto num = x.c, den = x.c;
        x.kernel.weights(x.product(num.data()), args, columns, v.data(), columns,
                         kind == Ratio::kl ? nullptr : den.data());
        bool equal = true;
        for (Index i = 0; i < x.m; ++i) {
          for (Index j = 0; j < columns; ++j) {
            const std::size_t at = sz(i * x.ldc + j);
            const TestType q = std::max(model[at] + args.add, args.floor), data = args.scale * v[sz(i * columns + j)];
            const TestType inverse = TestType(1) / q;
            equal &= num[at] == (kind == Ratio::kl          ? data / q
                                 : kind == Ratio::euclidean ? data
                                                            : data * inverse * inverse);
            if (kind != Ratio::kl) equal &= den[at] == (kind == Ratio::euclidean ? q : inverse);
          }
        }
        CAPTURE(x.m, x.n, x.k, columns, static_cast<int>(kind));
        CHECK(equal);
      }
    }
  });
}
