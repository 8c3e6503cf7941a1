// Properties of the clean mode, and what all modes share.
#include <cmath>
#include <limits>

#include "core/error.h"
#include "tests/support/catch.h"
#include "tests/wiener/support.h"

using namespace mss;
using tests::Array;
using tests::Problem;
using wiener::Initial;
using wiener::Mode;
using wiener::Settings;

namespace {

template <class T>
double largest(const Array<std::complex<T>>& x) {
  double m = 0;
  for (const auto& z : x.values) m = std::max<double>(m, std::abs(z));
  return m;
}

/// Energy of mixture - sum of outputs over energy of the mixture, in dB.
template <class T>
double sum_error_db(const Array<std::complex<T>>& mixture, const std::vector<Array<std::complex<T>>>& outputs) {
  double error = 0, energy = 0;
  for (std::size_t i = 0; i < mixture.values.size(); ++i) {
    std::complex<double> rest = mixture.values[i];
    energy += std::norm(rest);
    for (const auto& y : outputs) rest -= std::complex<double>(y.values[i]);
    error += std::norm(rest);
  }
  return 10 * std::log10(error / energy + 1e-40);
}

template <class T>
double difference(const Array<std::complex<T>>& a, const Array<std::complex<T>>& b) {
  double m = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) m = std::max<double>(m, std::abs(a.values[i] - b.values[i]));
  return m;
}

template <class Call>
core::Error error_of(const Call& call) {
  try {
    call();
  } catch (const core::Error& error) {
    return error;
  }
  FAIL("no error was thrown");
  throw;
}

}  // namespace

TEST_CASE("wiener: clean outputs add up to the mixture", "[wiener]") {
  for (const int channels : {1, 2, 3, 5}) {
    for (const int sources : {1, 2, 3, 4, 5, 9}) {
      for (const int iterations : {0, 1, 3}) {
        for (const auto initial : {Initial::soft_mask, Initial::mixture_phase}) {
          for (const bool residual : {false, true}) {
            Settings s;
            s.iterations = iterations;
            s.initial = initial;
            s.residual = residual;
            s.window_frames = 12;
            INFO(channels << " channels, " << sources << " sources, " << iterations << " iterations, residual "
                          << residual);
            const auto exact = tests::random_problem<double>(7, 31, 11, channels, sources);
            CHECK(sum_error_db(exact.mixture, exact.run(s)) < -200);
            const auto single = tests::random_problem<float>(7, 31, 11, channels, sources);
            CHECK(sum_error_db(single.mixture, single.run(s)) < -130);
          }
        }
      }
    }
  }
}

TEST_CASE("wiener: the clean mode knows no scale, the references do", "[wiener]") {
  auto p = tests::random_problem<double>(3, 40, 9, 2, 3);
  auto quiet = p;
  const double scale = std::ldexp(1.0, -40);
  for (auto& x : quiet.mixture.values) x *= scale;
  for (auto& v : quiet.magnitudes) {
    for (auto& value : v.values) value *= scale;
  }
  Settings s;
  s.iterations = 2;
  s.residual = true;
  const auto loud_y = p.run(s), quiet_y = quiet.run(s);
  for (std::size_t j = 0; j < loud_y.size(); ++j) {
    for (std::size_t i = 0; i < loud_y[j].values.size(); ++i) {
      REQUIRE(loud_y[j].values[i] * scale == quiet_y[j].values[i]);
    }
  }
  // The defect that the norbert mode keeps: a signal at 1e-12 of full scale is damped by the absolute regulariser.
  Settings reference;
  reference.mode = Mode::norbert;
  CHECK(sum_error_db(p.mixture, p.run(reference)) < -100);
  CHECK(sum_error_db(quiet.mixture, quiet.run(reference)) > -1);
}

TEST_CASE("wiener: the same bits for any number of threads", "[wiener]") {
  const auto p = tests::random_problem<float>(5, 90, 700, 2, 4);
  for (const auto mode : {Mode::clean, Mode::norbert, Mode::openunmix}) {
    Settings s;
    s.mode = mode;
    s.iterations = 2;
    s.window_frames = 40;
    const auto one = p.run(s, 1);
    for (const int threads : {2, 3, 7}) {
      const auto many = p.run(s, threads);
      for (std::size_t j = 0; j < one.size(); ++j) CHECK(one[j].values == many[j].values);
    }
  }
}

TEST_CASE("wiener: a stream gives the bits of the whole-array call", "[wiener]") {
  for (const std::int64_t frames : {1, 40, 41, 70, 71, 100, 131}) {
    const auto p = tests::random_problem<float>(11, static_cast<int>(frames), 150, 2, 3);
    for (const auto mode : {Mode::clean, Mode::openunmix}) {
      for (const std::int64_t window : {0, 40}) {
        Settings s;
        s.mode = mode;
        s.window_frames = window;
        s.residual = true;
        const auto whole = p.run(s);
        for (const std::int64_t piece : {1, 33, 1000}) {
          INFO(frames << " frames, window " << window << ", pieces of " << piece);
          std::vector<Array<std::complex<float>>> out(4, Array<std::complex<float>>(2, frames, 150));
          std::int64_t next = 0;
          wiener::Stream<float> stream(s, 2, 3, 150, false, piece == 33 ? 2 : 1,
                                       [&](std::int64_t first, const auto& outputs) {
                                         REQUIRE(first == next);
                                         REQUIRE(outputs.size() == out.size());
                                         for (std::size_t j = 0; j < out.size(); ++j) {
                                           for (int c = 0; c < 2; ++c) {
                                             for (std::int64_t n = 0; n < outputs[j].frames; ++n) {
                                               std::copy_n(outputs[j].row(c, n), 150, &out[j].at(c, first + n, 0));
                                             }
                                           }
                                         }
                                         next += outputs[0].frames;
                                       });
          for (std::int64_t begin = 0; begin < frames; begin += piece) {
            const std::int64_t count = std::min(piece, frames - begin);
            stream.push(p.mixture.view().slice(begin, count), p.sources().slice(begin, count));
          }
          stream.finish();
          CHECK(next == frames);
          for (std::size_t j = 0; j < out.size(); ++j) CHECK(out[j].values == whole[j].values);
        }
      }
    }
  }
}

TEST_CASE("wiener: complex estimates, whole and as a stream", "[wiener]") {
  const auto p = tests::random_problem<float>(13, 50, 30, 2, 2);
  wiener::Sources<float> estimates;
  Settings s;
  s.initial = Initial::mixture_phase;
  s.iterations = 0;
  s.mode = Mode::norbert;
  const auto y = p.run(s);
  for (const auto& source : y) estimates.estimates.push_back(source.view());
  // EM from the initial estimates is EM from the magnitudes that give them.
  s.iterations = 2;
  const auto from_magnitudes = p.run(s), from_estimates = p.run(estimates, s);
  for (std::size_t j = 0; j < 2; ++j) CHECK(difference(from_magnitudes[j], from_estimates[j]) < 2e-5);
  Settings clean;
  clean.residual = true;
  CHECK(sum_error_db(p.mixture, p.run(estimates, clean)) < -130);
  clean.iterations = 0;
  const auto unfiltered = p.run(estimates, clean);
  CHECK(unfiltered[0].values == y[0].values);
  CHECK(sum_error_db(p.mixture, unfiltered) < -130);
}

TEST_CASE("wiener: windows are cross-faded where they overlap", "[wiener]") {
  const auto p = tests::random_problem<double>(17, 31, 6, 2, 2);
  Settings s;
  s.window_frames = 20;
  s.overlap_frames = 8;
  const auto y = p.run(s);
  // Windows [0, 20), [12, 31).
  Settings alone = s;
  alone.window_frames = 0;
  alone.overlap_frames.reset();
  std::vector<std::vector<Array<std::complex<double>>>> parts;
  const std::int64_t begins[] = {0, 12}, counts[] = {20, 19};
  for (int w = 0; w < 2; ++w) {
    const auto x = p.mixture.view().slice(begins[w], counts[w]);
    const auto sources = p.sources().slice(begins[w], counts[w]);
    std::vector<Array<std::complex<double>>> out(2, Array<std::complex<double>>(2, counts[w], 6));
    std::vector<wiener::Grid<std::complex<double>>> grids{out[0].span(), out[1].span()};
    wiener::filter<double>(x, sources, grids, alone);
    parts.push_back(out);
  }
  double worst = 0;
  for (int j = 0; j < 2; ++j) {
    for (int n = 0; n < 31; ++n) {
      for (int c = 0; c < 2; ++c) {
        for (int f = 0; f < 6; ++f) {
          const double later = n < 12 ? 0.0 : n >= 20 ? 1.0 : (n - 11) / 9.0;
          std::complex<double> expected = 0;
          if (n < 20) expected += (1 - later) * parts[0][static_cast<std::size_t>(j)].at(c, n, f);
          if (n >= 12) expected += later * parts[1][static_cast<std::size_t>(j)].at(c, n - 12, f);
          worst = std::max(worst, std::abs(expected - y[static_cast<std::size_t>(j)].at(c, n, f)));
        }
      }
    }
  }
  CHECK(worst < 1e-12 * largest(p.mixture));
}

TEST_CASE("wiener: any number of channels agrees with the stereo formula", "[wiener]") {
  const auto stereo = tests::random_problem<double>(19, 30, 10, 2, 3);
  // A silent third channel changes v_j by 2/3 and R_j by 3/2: nothing.
  Problem<double> three{Array<std::complex<double>>(3, 30, 10),
                        std::vector<Array<double>>(3, Array<double>(3, 30, 10))};
  std::copy(stereo.mixture.values.begin(), stereo.mixture.values.end(), three.mixture.values.begin());
  for (std::size_t j = 0; j < 3; ++j) {
    std::copy(stereo.magnitudes[j].values.begin(), stereo.magnitudes[j].values.end(),
              three.magnitudes[j].values.begin());
  }
  Settings s;
  s.mode = Mode::norbert;
  s.iterations = 2;
  const auto two = stereo.run(s), more = three.run(s);
  for (std::size_t j = 0; j < 3; ++j) {
    double worst = 0;
    for (std::size_t i = 0; i < two[j].values.size(); ++i) {
      worst = std::max(worst, std::abs(two[j].values[i] - more[j].values[i]));
    }
    CHECK(worst < 1e-9 * largest(stereo.mixture));
    for (std::size_t i = two[j].values.size(); i < more[j].values.size(); ++i) CHECK(std::abs(more[j].values[i]) == 0);
  }
}

TEST_CASE("wiener: mono is a ratio of powers", "[wiener]") {
  const auto p = tests::random_problem<double>(23, 20, 5, 1, 3);
  Settings s;
  s.initial = Initial::mixture_phase;
  const auto y = p.run(s);
  double worst = 0;
  for (std::size_t i = 0; i < p.mixture.values.size(); ++i) {
    double sum = 0;
    for (const auto& v : p.magnitudes) sum += v.values[i] * v.values[i];
    for (std::size_t j = 0; j < 3; ++j) {
      const double v = p.magnitudes[j].values[i];
      worst = std::max(worst, std::abs(y[j].values[i] - p.mixture.values[i] * (v * v / sum)));
    }
  }
  CHECK(worst < 1e-12 * largest(p.mixture));
}

TEST_CASE("wiener: equal channels, where float32 inverses break down", "[wiener]") {
  auto p = tests::random_problem<float>(29, 60, 20, 2, 3);
  for (int n = 0; n < 60; ++n) {
    for (int f = 0; f < 20; ++f) {
      p.mixture.at(1, n, f) = p.mixture.at(0, n, f);
      for (auto& v : p.magnitudes) v.at(1, n, f) = v.at(0, n, f);
    }
  }
  Problem<float> mono{Array<std::complex<float>>(1, 60, 20), {}};
  std::copy_n(p.mixture.values.begin(), mono.mixture.values.size(), mono.mixture.values.begin());
  for (const auto& v : p.magnitudes) {
    mono.magnitudes.emplace_back(1, 60, 20);
    std::copy_n(v.values.begin(), mono.magnitudes.back().values.size(), mono.magnitudes.back().values.begin());
  }
  Settings s;
  s.iterations = 2;
  const auto y = p.run(s), expected = mono.run(s);
  CHECK(sum_error_db(p.mixture, y) < -130);
  for (std::size_t j = 0; j < 3; ++j) {
    for (int n = 0; n < 60; ++n) {
      for (int f = 0; f < 20; ++f) {
        for (int c = 0; c < 2; ++c) {
          REQUIRE(std::abs(y[j].at(c, n, f) - expected[j].at(0, n, f)) < 1e-5 * largest(p.mixture));
        }
      }
    }
  }
}

TEST_CASE("wiener: iterations separate panned sources better", "[wiener]") {
  // Two sources at different places, magnitudes off by a few dB: the soft mask cannot use the places.
  core::Rng rng(1, 2);
  const int frames = 200, bins = 12;
  Problem<double> p{Array<std::complex<double>>(2, frames, bins),
                    std::vector<Array<double>>(2, Array<double>(2, frames, bins))};
  std::vector<Array<std::complex<double>>> truth(2, Array<std::complex<double>>(2, frames, bins));
  const double gains[2][2] = {{1.0, 0.2}, {0.3, 1.0}};
  for (std::size_t j = 0; j < 2; ++j) {
    for (int n = 0; n < frames; ++n) {
      for (int f = 0; f < bins; ++f) {
        const std::complex<double> s(rng.normal(), rng.normal());
        for (int c = 0; c < 2; ++c) {
          truth[j].at(c, n, f) = gains[j][c] * s;
          p.mixture.at(c, n, f) += gains[j][c] * s;
          p.magnitudes[j].at(c, n, f) = std::abs(gains[j][c] * s) * std::exp(0.3 * rng.normal());
        }
      }
    }
  }
  const auto sdr = [&](int iterations) {
    Settings s;
    s.iterations = iterations;
    const auto y = p.run(s);
    double signal = 0, error = 0;
    for (std::size_t i = 0; i < truth[0].values.size(); ++i) {
      signal += std::norm(truth[0].values[i]);
      error += std::norm(truth[0].values[i] - y[0].values[i]);
    }
    return 10 * std::log10(signal / error);
  };
  const double none = sdr(0), one = sdr(1), five = sdr(5);
  CHECK(one > none + 2);
  CHECK(five > one + 2);
}

TEST_CASE("wiener: bins without any estimate are shared, or go to the residual", "[wiener]") {
  auto p = tests::random_problem<double>(31, 10, 4, 2, 3);
  for (auto& v : p.magnitudes) {
    for (int c = 0; c < 2; ++c) v.at(c, 5, 2) = 0;
  }
  for (const int iterations : {0, 1}) {
    Settings s;
    s.iterations = iterations;
    // A soft mask shares already; with the mixture's phase there is no power left to iterate on.
    s.initial = iterations == 0 ? Initial::soft_mask : Initial::mixture_phase;
    const auto y = p.run(s);
    for (int c = 0; c < 2; ++c) {
      for (const auto& source : y) {
        CHECK(std::abs(source.at(c, 5, 2) - p.mixture.at(c, 5, 2) / 3.0) < 1e-12 * largest(p.mixture));
      }
    }
    s.residual = true;
    const auto with = p.run(s);
    for (int c = 0; c < 2; ++c) {
      CHECK(std::abs(with[3].at(c, 5, 2) - p.mixture.at(c, 5, 2)) < 1e-9 * largest(p.mixture));
    }
  }
}

TEST_CASE("wiener: soft mask of any exponent", "[wiener]") {
  const auto p = tests::random_problem<double>(37, 8, 5, 2, 3);
  for (const double alpha : {0.5, 1.0, 1.7, 2.0}) {
    Settings s;
    s.iterations = 0;
    s.alpha = alpha;
    const auto y = p.run(s);
    double worst = 0;
    for (std::size_t i = 0; i < p.mixture.values.size(); ++i) {
      double sum = 0;
      for (const auto& v : p.magnitudes) sum += std::pow(v.values[i], alpha);
      const auto expected = p.mixture.values[i] * (std::pow(p.magnitudes[1].values[i], alpha) / sum);
      worst = std::max(worst, std::abs(expected - y[1].values[i]));
    }
    CHECK(worst < 1e-13 * largest(p.mixture));
  }
}

TEST_CASE("wiener: the residual is what the magnitudes leave over", "[wiener]") {
  auto p = tests::golden_problem<double>(5, 6, 4, 2, 2, 4.0, 0.5);
  for (const auto initial : {Initial::soft_mask, Initial::mixture_phase}) {
    Settings s;
    s.iterations = 0;
    s.residual = true;
    s.initial = initial;
    const auto y = p.run(s);
    REQUIRE(y.size() == 3);
    const auto model = wiener::residual_model<double>(p.mixture.view(), p.sources().magnitudes, 1.0, false);
    double worst = 0;
    for (std::size_t i = 0; i < p.mixture.values.size(); ++i) {
      const double size = std::abs(p.mixture.values[i]);
      const double sum = model[0][i] + model[1][i] + model[2][i];
      const auto masked = p.mixture.values[i] * (model[2][i] / sum);
      const auto phased = p.mixture.values[i] * (1 - (model[0][i] + model[1][i]) / size);
      worst = std::max(worst, std::abs(y[2].values[i] - (initial == Initial::soft_mask ? masked : phased)));
    }
    CHECK(worst < 1e-12 * largest(p.mixture));
  }
}

TEST_CASE("wiener: nothing to do, and more sources than useful", "[wiener]") {
  Settings s;
  s.iterations = 2;
  for (const auto mode : {Mode::clean, Mode::norbert, Mode::openunmix}) {
    s.mode = mode;
    const auto none = tests::random_problem<float>(41, 0, 7, 2, 3);
    CHECK(none.run(s).size() == 3);
    const auto tiny = tests::random_problem<float>(43, 1, 1, 2, 3);
    for (const auto& y : tiny.run(s)) CHECK(std::isfinite(std::abs(y.values[0])));
    const auto crowd = tests::random_problem<float>(47, 2, 3, 2, 40);
    for (const auto& y : crowd.run(s)) {
      for (const auto& z : y.values) CHECK(std::isfinite(std::abs(z)));
    }
  }
  s.mode = Mode::clean;
  const auto crowd = tests::random_problem<double>(47, 2, 3, 2, 40);
  CHECK(sum_error_db(crowd.mixture, crowd.run(s)) < -200);
  const auto one = tests::random_problem<double>(53, 20, 3, 2, 1);
  CHECK(difference(one.run(s)[0], one.mixture) < 1e-9 * largest(one.mixture));
}

TEST_CASE("wiener: levels over sixty orders of magnitude, zeros among them, give finite sums", "[wiener]") {
  core::Rng rng(99, 1);
  for (const int channels : {1, 2, 3}) {
    for (int trial = 0; trial < 20; ++trial) {
      auto p = tests::random_problem<double>(61 + static_cast<std::uint32_t>(trial), 12, 9, channels, 3);
      const auto level = [&] { return rng.uniform() < 0.2 ? 0.0 : std::pow(10.0, rng.uniform(-30, 30)); };
      for (auto& x : p.mixture.values) x *= level();
      for (auto& v : p.magnitudes) {
        for (auto& value : v.values) value *= level();
      }
      for (const int iterations : {0, 1, 2}) {
        Settings s;
        s.iterations = iterations;
        s.residual = trial % 2 == 1;
        s.initial = trial % 4 < 2 ? Initial::soft_mask : Initial::mixture_phase;
        const auto y = p.run(s);
        for (std::size_t i = 0; i < p.mixture.values.size(); ++i) {
          std::complex<double> rest = p.mixture.values[i];
          double size = std::abs(rest);
          for (const auto& source : y) {
            rest -= source.values[i];
            size += std::abs(source.values[i]);
          }
          REQUIRE(std::isfinite(size));
          // Each bin is exact by itself, relative to what stands in its channels. Without iterations what is given back
          // also cancels magnitudes that have nothing to do with the mixture's level.
          double frame = 0;
          for (int c = 0; c < channels; ++c) {
            const auto at = i % static_cast<std::size_t>(12 * 9) + static_cast<std::size_t>(c) * 12 * 9;
            frame = std::max(frame, std::abs(p.mixture.values[at]));
            for (const auto& source : y) frame = std::max(frame, std::abs(source.values[at]));
            if (iterations > 0) continue;
            for (const auto& v : p.magnitudes) frame = std::max(frame, v.values[at]);
          }
          REQUIRE(std::abs(rest) <= 1e-8 * frame);
        }
      }
    }
  }
}

TEST_CASE("wiener: bad values are found and named", "[wiener]") {
  const double bad_values[] = {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                               1e300};
  for (const auto mode : {Mode::clean, Mode::norbert, Mode::openunmix}) {
    for (const int iterations : {0, 1}) {
      Settings s;
      s.mode = mode;
      s.iterations = iterations;
      for (const double bad : bad_values) {
        auto p = tests::random_problem<double>(67, 9, 30, 2, 2);
        p.mixture.at(1, 4, 29) = {0.0, bad};
        const auto error = error_of([&] { p.run(s); });
        CHECK(error.code() == core::Code::numeric);
        CHECK(error.parts().where == "mixture, channel 1, frame 4, bin 29");
      }
      for (const double bad : {bad_values[0], bad_values[1], bad_values[2], -1e-3}) {
        auto p = tests::random_problem<double>(67, 9, 30, 2, 2);
        p.magnitudes[1].at(0, 8, 3) = bad;
        const auto error = error_of([&] { p.run(s); });
        CHECK(error.code() == core::Code::numeric);
        CHECK(error.parts().where == "magnitudes of source 1, channel 0, frame 8, bin 3");
      }
    }
  }
}

TEST_CASE("wiener: shapes that differ and settings out of range", "[wiener]") {
  auto p = tests::random_problem<double>(71, 9, 5, 2, 2);
  const auto code = [](const auto& call) { return error_of(call).code(); };
  const auto refused = core::Code::invalid_argument;
  Settings s;
  {
    auto q = p;
    q.magnitudes[1] = Array<double>(3, 9, 5);
    const auto error = error_of([&] { q.run(s); });
    CHECK(error.code() == refused);
    CHECK(error.parts().expected == "2 channels, 9 frames, 5 bins");
    CHECK(error.parts().found == "3 channels, 9 frames, 5 bins");
    q.magnitudes[1] = Array<double>(2, 8, 5);
    CHECK(code([&] { q.run(s); }) == refused);
    q.magnitudes[1] = Array<double>(2, 9, 6);
    CHECK(code([&] { q.run(s); }) == refused);
    q.magnitudes.clear();
    CHECK(code([&] { q.run(s); }) == refused);
  }
  CHECK(code([&] {
          Problem<double>{Array<std::complex<double>>(2, 4, 0), {Array<double>(2, 4, 0)}}.run(s);
        }) == refused);
  CHECK(code([&] { wiener::filter<double>(p.mixture.view(), p.sources(), {}, s); }) == refused);
  const auto with = [&](auto change) {
    Settings changed;
    change(changed);
    return code([&] { p.run(changed); });
  };
  CHECK(with([](Settings& x) { x.iterations = -1; }) == refused);
  CHECK(with([](Settings& x) { x.alpha = 0; }) == refused);
  CHECK(with([](Settings& x) { x.eps = 0.0; }) == refused);
  CHECK(with([](Settings& x) { x.window_frames = -1; }) == refused);
  CHECK(with([](Settings& x) { x.overlap_frames = 151; }) == refused);
  CHECK(with([](Settings& x) {
          x.mode = Mode::norbert;
          x.overlap_frames = 10;
        }) == refused);
  const auto model = wiener::Model::fit<double>(p.mixture.view(), p.sources(), s);
  CHECK(code([&] { model.covariance(1, 0, 0, 0, 0); }) == refused);
  const auto other = tests::random_problem<double>(71, 9, 6, 2, 2);
  std::vector<Array<std::complex<double>>> out(2, Array<std::complex<double>>(2, 9, 6));
  CHECK(code([&] {
          model.apply<double>(other.mixture.view(), other.sources(), {out[0].span(), out[1].span()}, {}, false);
        }) == refused);
}
