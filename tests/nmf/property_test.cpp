#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/rng.h"
#include "core/stop.h"
#include "methods/nmf/nmf.h"
#include "methods/nmf/ntf.h"
#include "tests/nmf/golden.h"

using namespace mss;
using namespace mss::methods::nmf;
namespace t = mss::tests::nmf;

namespace {

template <class T>
std::vector<T> random_v(std::int64_t bins, std::int64_t frames, std::uint64_t seed) {
  core::Rng rng(seed, 1);
  std::vector<T> v(static_cast<std::size_t>(bins * frames));
  for (auto& x : v) {
    const double u = rng.uniform();
    x = u < 0.1 ? T(0) : static_cast<T>(3 * u * u);
  }
  return v;
}

template <class T>
Factors<T> random_start(std::int64_t bins, std::int64_t frames, int components, int template_frames,
                        std::uint64_t seed) {
  core::Rng rng(seed, 2);
  Factors<T> f(bins, frames, components, template_frames);
  for (auto& x : f.w) x = static_cast<T>(rng.uniform(0.1, 1.0));
  for (auto& x : f.h) x = static_cast<T>(rng.uniform(0.1, 1.0));
  return f;
}

template <class T>
bool sound(const Factors<T>& f) {
  const auto good = [](T x) { return x >= 0 && std::isfinite(x); };
  return std::all_of(f.w.begin(), f.w.end(), good) && std::all_of(f.h.begin(), f.h.end(), good);
}

void check_monotone(const std::vector<double>& d, double tolerance) {
  for (std::size_t i = 1; i < d.size(); ++i) {
    CAPTURE(i, d[i - 1], d[i]);
    CHECK(d[i] <= d[i - 1] * (1 + tolerance) + 1e-12);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("the clean divergence never rises", "[nmf]", double, float) {
  const double tolerance = sizeof(TestType) == 8 ? 1e-12 : 1e-5;
  for (const double beta : {-0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0}) {
    for (const int template_frames : {1, 3}) {
      for (const int segment : {0, 17}) {
        CAPTURE(beta, template_frames, segment);
        auto v = random_v<TestType>(23, 34, 7);
        // Below 1 the divergence of an exact zero is a convention, so the data avoid it.
        for (auto& x : v) x = beta < 1 ? std::max(x, TestType(1e-3)) : x;
        FitOptions<TestType> options;
        options.iterations = 30;
        options.beta = beta;
        options.segment_frames = segment;
        options.track_divergence = true;
        const auto fit =
            methods::nmf::fit(t::view(v, 23, 34), random_start<TestType>(23, 34, 4, template_frames, 3), options);
        REQUIRE(fit.divergence.size() == 31);
        check_monotone(fit.divergence, tolerance);
        CHECK(fit.divergence.back() < 0.9 * fit.divergence.front());
        CHECK(sound(fit.factors));
        for (int r = 0; r < 4; ++r) {
          double sum = 0;
          for (int k = 0; k < 23; ++k) {
            for (int j = 0; j < template_frames; ++j) sum += static_cast<double>(fit.factors.w_at(k, j, r));
          }
          CHECK(sum == Approx(1.0).epsilon(1e-5));
        }
        const auto lambda = model(fit.factors, segment);
        CHECK(divergence(t::view(v, 23, 34), t::view(lambda, 23, 34), beta) ==
              Approx(fit.divergence.back()).epsilon(1e-4));
      }
    }
  }
}

TEST_CASE("the penalised objective never rises and the penalty makes activations sparser", "[nmf]") {
  const auto v = random_v<double>(20, 40, 5);
  for (const int template_frames : {1, 3}) {
    double last_spread = 1e300;
    for (const double sparsity : {0.0, 0.2, 1.0}) {
      CAPTURE(template_frames, sparsity);
      std::vector<double> objective;
      double spread = 0;
      for (const int iterations : {0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 80, 120}) {
        FitOptions<double> options;
        options.iterations = iterations;
        options.sparsity = sparsity;
        options.track_divergence = true;
        const auto f = fit(t::view(v, 20, 40), random_start<double>(20, 40, 5, template_frames, 3), options);
        double penalty = 0;
        spread = 0;
        for (int r = 0; r < 5; ++r) {
          double squares = 0, sum = 0, h_squares = 0;
          for (std::size_t i = static_cast<std::size_t>(r); i < f.factors.w.size(); i += 5)
            squares += f.factors.w[i] * f.factors.w[i];
          for (int m = 0; m < 40; ++m) {
            sum += f.factors.h_at(r, m);
            h_squares += f.factors.h_at(r, m) * f.factors.h_at(r, m);
          }
          penalty += std::sqrt(squares) * sum;
          spread += h_squares > 0 ? sum / std::sqrt(h_squares) : 0.0;
        }
        objective.push_back(f.divergence.back() + sparsity * penalty);
      }
      check_monotone(objective, 1e-12);
      // |h|_1 / |h|_2 is 1 for a single entry and sqrt(M) for equal ones.
      CHECK(spread < last_spread);
      last_spread = spread;
    }
  }
}

TEST_CASE("fixed templates feel the same penalty by frames and by rows", "[nmf]") {
  const auto v = random_v<double>(20, 15, 5);
  const auto start = random_start<double>(20, 15, 4, 1, 3);
  FitOptions<double> options;
  options.iterations = 20;
  options.sparsity = 0.7;
  options.fix_w = true;
  const auto f = fit(t::view(v, 20, 15), start, options).factors;
  std::vector<double> frames(v.size()), h(60), by_row;
  for (std::size_t k = 0; k < 20; ++k) {
    for (std::size_t m = 0; m < 15; ++m) frames[m * 20 + k] = v[k * 15 + m];
  }
  for (std::size_t m = 0; m < 15; ++m) {
    for (std::size_t r = 0; r < 4; ++r) h[m * 4 + r] = start.h[r * 15 + m];
  }
  FixedTemplates<double>(start.w, 20, 4).activations(frames.data(), 15, 20, h.data(), options);
  for (std::size_t r = 0; r < 4; ++r) {
    for (std::size_t m = 0; m < 15; ++m) by_row.push_back(h[m * 4 + r]);
  }
  CHECK(t::relative_difference(by_row, f.h) < 1e-12);
}

TEST_CASE("HALS and tensor factorisation never rise, HALS is ahead of multiplicative updates", "[nmf]") {
  const auto v = random_v<double>(30, 50, 9);
  FitOptions<double> options;
  options.iterations = 15;
  options.beta = 2;
  options.track_divergence = true;
  const auto start = random_start<double>(30, 50, 6, 1, 4);
  const auto hals = fit_hals(t::view(v, 30, 50), start, options);
  check_monotone(hals.divergence, 1e-10);
  const auto mu = fit(t::view(v, 30, 50), start, options);
  CHECK(hals.divergence.back() < mu.divergence.back());
  auto single = options;
  const auto v32 = random_v<float>(30, 50, 9);
  FitOptions<float> options32;
  options32.iterations = 15;
  options32.beta = 2;
  options32.track_divergence = true;
  check_monotone(fit_hals(t::view(v32, 30, 50), random_start<float>(30, 50, 6, 1, 4), options32).divergence, 1e-5);
  single.fix_w = true;
  CHECK(fit_hals(t::view(v, 30, 50), start, single).factors.w == start.w);

  TensorFactors<double> tensor{3, random_start<double>(10, 50, 4, 1, 4), std::vector<double>(12, 0.5)};
  for (std::size_t i = 0; i < 12; ++i) tensor.q[i] += 0.03 * static_cast<double>(i);
  const auto fitted = fit_tensor(t::view(v, 30, 50), tensor, options);
  check_monotone(fitted.divergence, 1e-12);
  auto threads = options;
  threads.threads = 4;
  CHECK(fit_tensor(t::view(v, 30, 50), tensor, threads).factors.factors.h == fitted.factors.factors.h);
  CHECK(fit_hals(t::view(v, 30, 50), start, threads).factors.h == hals.factors.h);
}

TEMPLATE_TEST_CASE("factors have the same bits for any number of threads", "[nmf]", double, float) {
  for (const Update update : {Update::clean, Update::toolbox_nmfd, Update::toolbox_nmfconv}) {
    for (const double beta : {1.0, 2.0, 0.5}) {
      if (update == Update::toolbox_nmfd && beta != 1.0) continue;
      const auto v = random_v<TestType>(333, 70, 2);
      FitOptions<TestType> options;
      options.iterations = 6;
      options.update = update;
      options.beta = beta;
      // NMFconv's own number is not defined for zeros in V below beta 1.
      options.track_divergence = update != Update::toolbox_nmfconv || beta >= 1.0;
      const auto one = methods::nmf::fit(t::view(v, 333, 70), random_start<TestType>(333, 70, 3, 4, 1), options);
      for (const int threads : {2, 3, 7}) {
        options.threads = threads;
        const auto many = methods::nmf::fit(t::view(v, 333, 70), random_start<TestType>(333, 70, 3, 4, 1), options);
        CHECK(one.factors.w == many.factors.w);
        CHECK(one.factors.h == many.factors.h);
        CHECK(one.divergence == many.divergence);
      }
    }
  }
}

TEMPLATE_TEST_CASE("activations of a frame do not depend on its neighbours, tiles or threads", "[nmf]", double, float) {
  const std::int64_t bins = 300, frames = 230;
  const int components = 21;
  const auto v = random_v<TestType>(frames, bins, 4);  // frame-major
  const auto start = random_start<TestType>(bins, 1, components, 1, 5);
  const FixedTemplates<TestType> templates(start.w, bins, components);
  for (const double beta : {1.0, 0.0}) {
    FitOptions<TestType> options;
    options.iterations = 7;
    options.beta = beta;
    options.sparsity = 0.01;
    std::vector<TestType> whole(static_cast<std::size_t>(frames * components), TestType(1)), threads = whole,
                                                                                             single = whole;
    templates.activations(v.data(), frames, bins, whole.data(), options);
    options.threads = 3;
    templates.activations(v.data(), frames, bins, threads.data(), options);
    CHECK(whole == threads);
    for (std::int64_t n = 0; n < frames; ++n) {
      templates.activations(v.data() + n * bins, 1, bins, single.data() + n * components, options);
    }
    CHECK(whole == single);
  }
}

TEST_CASE("scaling V by a power of two scales H exactly and leaves W", "[nmf]") {
  const auto v = random_v<double>(15, 25, 6);
  auto loud = v;
  for (auto& x : loud) x *= 1024;
  for (const double beta : {1.0, 2.0}) {
    FitOptions<double> options;
    options.iterations = 10;
    options.beta = beta;
    options.floor = 1e-300;
    auto start = random_start<double>(15, 25, 3, 2, 1);
    const auto a = fit(t::view(v, 15, 25), start, options);
    for (auto& x : start.h) x *= 1024;
    const auto b = fit(t::view(loud, 15, 25), start, options);
    CHECK(t::relative_difference(b.factors.w, a.factors.w) < 1e-13);
    auto scaled = a.factors.h;
    for (auto& x : scaled) x *= 1024;
    CHECK(t::relative_difference(b.factors.h, scaled) < 1e-13);
  }
}

TEST_CASE("permuting the start components permutes the result", "[nmf]") {
  const auto v = random_v<double>(15, 25, 6);
  const std::vector<int> order = {2, 0, 3, 1};
  for (const Update update : {Update::clean, Update::toolbox_nmfd}) {
    FitOptions<double> options;
    options.iterations = 10;
    options.update = update;
    const auto start = random_start<double>(15, 25, 4, 2, 1);
    auto permuted = start;
    const auto permute = [&](const Factors<double>& from, Factors<double>& to) {
      for (int r = 0; r < 4; ++r) {
        for (int k = 0; k < 15; ++k) {
          for (int j = 0; j < 2; ++j) to.w_at(k, j, r) = from.w_at(k, j, order[static_cast<std::size_t>(r)]);
        }
        for (int m = 0; m < 25; ++m) to.h_at(r, m) = from.h_at(order[static_cast<std::size_t>(r)], m);
      }
    };
    permute(start, permuted);
    const auto a = fit(t::view(v, 15, 25), start, options).factors;
    const auto b = fit(t::view(v, 15, 25), permuted, options).factors;
    auto expected = a;
    permute(a, expected);
    CHECK(t::relative_difference(b.w, expected.w) < 1e-11);
    CHECK(t::relative_difference(b.h, expected.h) < 1e-11);
  }
}

TEMPLATE_TEST_CASE("silence, zero rows and columns, one frame and surplus components are factored without NaN", "[nmf]",
                   double, float) {
  struct Shape {
    std::int64_t bins, frames;
    int components, template_frames;
  };
  for (const auto& s : std::vector<Shape>{
           {12, 20, 3, 1}, {12, 20, 3, 4}, {12, 1, 3, 1}, {12, 1, 3, 5}, {5, 4, 9, 1}, {5, 4, 9, 6}, {1, 1, 1, 1}}) {
    for (const char* kind : {"silence", "zero columns", "zero rows", "full", "tiny"}) {
      for (const Update update : {Update::clean, Update::toolbox_nmf, Update::toolbox_nmfd, Update::toolbox_nmfconv}) {
        for (const double beta : {1.0, 2.0, 0.0, 0.5}) {
          if (update == Update::toolbox_nmf && (s.template_frames > 1 || beta == 0.5)) continue;
          if (update == Update::toolbox_nmfd && beta != 1.0) continue;
          CAPTURE(s.bins, s.frames, s.components, s.template_frames, kind, static_cast<int>(update), beta);
          auto v = random_v<TestType>(s.bins, s.frames, 8);
          for (std::int64_t i = 0; i < s.bins * s.frames; ++i) {
            auto& x = v[static_cast<std::size_t>(i)];
            const std::int64_t k = i / s.frames, m = i % s.frames;
            const std::string name = kind;
            if (name == "silence" || (name == "zero columns" && m % 3 == 1) || (name == "zero rows" && k % 2 == 0))
              x = 0;
            if (name == "tiny") x *= TestType(1e-30);
          }
          FitOptions<TestType> options;
          options.iterations = 12;
          options.update = update;
          options.beta = beta;
          options.track_divergence = update == Update::clean;
          const auto fit =
              methods::nmf::fit(t::view(v, s.bins, s.frames),
                                random_start<TestType>(s.bins, s.frames, s.components, s.template_frames, 1), options);
          CHECK(sound(fit.factors));
          for (const double d : fit.divergence) CHECK(std::isfinite(d));
          if (std::string(kind) == "silence" && update == Update::clean && beta >= 1.0) {
            for (const TestType h : fit.factors.h) CHECK(h == 0);
          }
        }
      }
    }
  }
}

TEST_CASE("no iterations give back the start values", "[nmf]") {
  const auto v = random_v<double>(6, 9, 1);
  const auto start = random_start<double>(6, 9, 2, 3, 1);
  FitOptions<double> options;
  options.iterations = 0;
  const auto f = fit(t::view(v, 6, 9), start, options).factors;
  CHECK(f.w == start.w);
  CHECK(f.h == start.h);
}

TEST_CASE("fixed components and factors stay as they are", "[nmf]") {
  const auto v = random_v<double>(14, 30, 1);
  const auto start = random_start<double>(14, 30, 5, 2, 1);
  FitOptions<double> options;
  options.iterations = 8;
  options.fixed_components = 3;
  options.track_divergence = true;
  auto f = fit(t::view(v, 14, 30), start, options);
  check_monotone(f.divergence, 1e-12);
  for (int k = 0; k < 14; ++k) {
    for (int j = 0; j < 2; ++j) {
      for (int r = 0; r < 3; ++r) CHECK(f.factors.w_at(k, j, r) == start.w_at(k, j, r));
      CHECK(f.factors.w_at(k, j, 4) != start.w_at(k, j, 4));
    }
  }
  options.fixed_components = 0;
  options.fix_h = true;
  f = fit(t::view(v, 14, 30), start, options);
  check_monotone(f.divergence, 1e-12);
  CHECK(f.factors.h == start.h);
}

TEST_CASE("matrices with a larger leading dimension are read right", "[nmf]") {
  const auto v = random_v<double>(10, 13, 1);
  std::vector<double> wide(10 * 20, 99.0);
  for (std::size_t k = 0; k < 10; ++k)
    std::copy_n(v.begin() + static_cast<std::ptrdiff_t>(k * 13), 13,
                wide.begin() + static_cast<std::ptrdiff_t>(k * 20));
  FitOptions<double> options;
  options.iterations = 5;
  const auto start = random_start<double>(10, 13, 3, 2, 1);
  const auto a = fit(t::view(v, 10, 13), start, options).factors;
  const auto b = fit<double>({wide.data(), 10, 13, 20}, start, options).factors;
  CHECK(a.w == b.w);
  CHECK(a.h == b.h);
}

TEST_CASE("impossible requests are refused", "[nmf]") {
  const auto v = random_v<double>(6, 9, 1);
  const auto start = random_start<double>(6, 9, 2, 1, 1);
  const auto code = [&](auto change) {
    FitOptions<double> options;
    options.iterations = 1;
    auto s = start;
    auto data = v;
    change(options, s, data);
    try {
      fit<double>({data.data(), 6, 9, 9}, s, options);
    } catch (const Error& e) {
      return e.code();
    }
    return Code::internal;
  };
  CHECK(code([](auto&, auto&, auto&) {}) == Code::internal);
  CHECK(code([](auto& o, auto&, auto&) { o.iterations = -1; }) == Code::invalid_argument);
  CHECK(code([](auto& o, auto&, auto&) { o.sparsity = -1; }) == Code::invalid_argument);
  CHECK(code([](auto& o, auto&, auto&) { o.beta = NAN; }) == Code::invalid_argument);
  CHECK(code([](auto& o, auto&, auto&) { o.fixed_components = 3; }) == Code::invalid_argument);
  CHECK(code([](auto&, auto& s, auto&) { s.w.pop_back(); }) == Code::invalid_argument);
  CHECK(code([](auto&, auto& s, auto&) { s.h[3] = -1; }) == Code::invalid_argument);
  CHECK(code([](auto&, auto&, auto& x) { x[7] = NAN; }) == Code::invalid_argument);
  CHECK(code([](auto&, auto&, auto& x) { x[7] = -1; }) == Code::invalid_argument);
  CHECK(code([](auto& o, auto&, auto&) { o.update = Update::toolbox_nmfd, o.beta = 2; }) == Code::unsupported);
  CHECK(code([](auto& o, auto&, auto&) { o.update = Update::toolbox_nmf, o.continuity = 1; }) == Code::unsupported);
  core::StopSource source;
  source.request_stop();
  CHECK(code([&](auto& o, auto&, auto&) { o.stop = source.token(); }) == Code::cancelled);
}
