// Every case of tests/golden/wiener.json: outputs of norbert 0.2.1 and of open-unmix's filtering.py.
//
// Tolerances, relative to max|x|: float64 norbert 1e-11 (eval-wiener 3.4; the worst case needs 2e-12 after three
// iterations, where the reference's own inverse loses digits). Open-unmix float64 1e-11 too, far below the 3e-7 that
// its float32 pi costs others: the openunmix mode reproduces that pi. Single precision 1e-4: the references compute
// in float32 throughout, we do not.
#include <cmath>
#include <string>

#include "core/json.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"
#include "tests/wiener/support.h"

using namespace mss;
using tests::Array;
using tests::Problem;

namespace {

const core::Value& golden() {
  static const core::Value value = core::read_json_file(tests::golden("wiener.json"));
  return value;
}

template <class T>
Problem<T> problem_of(const core::Value& c) {
  const auto number = [&](const char* key) { return c.at(key).as_real(); };
  return tests::golden_problem<T>(static_cast<std::uint32_t>(number("seed")), static_cast<int>(number("T")),
                                  static_cast<int>(number("F")), static_cast<int>(number("I")),
                                  static_cast<int>(number("J")), number("xscale"), number("vscale"));
}

/// Largest |ours - golden| / max|x|, over bins that `keep` accepts.
template <class T, class Keep>
double worst(const Problem<T>& p, const std::vector<Array<std::complex<T>>>& ours, const core::Value& y, Keep keep) {
  double largest = 0, error = 0;
  for (const auto& x : p.mixture.values) largest = std::max<double>(largest, std::abs(x));
  const auto& frames = y.as_array();
  REQUIRE(static_cast<std::int64_t>(frames.size()) == p.mixture.frames);
  for (int n = 0; n < p.mixture.frames; ++n) {
    const auto& bins = frames[static_cast<std::size_t>(n)].as_array();
    REQUIRE(static_cast<int>(bins.size()) == p.mixture.bins);
    for (int f = 0; f < p.mixture.bins; ++f) {
      if (!keep(f)) continue;
      const auto& channels = bins[static_cast<std::size_t>(f)].as_array();
      for (int c = 0; c < p.mixture.channels; ++c) {
        const auto& sources = channels[static_cast<std::size_t>(c)].as_array();
        REQUIRE(sources.size() == ours.size());
        for (std::size_t j = 0; j < sources.size(); ++j) {
          const auto& z = sources[j].as_array();
          const std::complex<double> expected(z[0].as_real(), z[1].as_real());
          const std::complex<double> found = ours[j].at(c, n, f);
          error = std::max(error, std::abs(expected - found));
        }
      }
    }
  }
  return error / largest;
}

template <class T>
void silence_source(Problem<T>& p) {
  for (auto& v : p.magnitudes[0].values) v = 0;
}

template <class T>
void silence_bin(Problem<T>& p) {
  for (int c = 0; c < p.mixture.channels; ++c) {
    for (int n = 0; n < p.mixture.frames; ++n) p.mixture.at(c, n, 0) = 0;
  }
}

template <class T>
double norbert_error(const std::string& name, const core::Value& c) {
  Problem<T> p = problem_of<T>(c);
  if (name.find("silent_source") != std::string::npos) silence_source(p);
  if (name.find("silent_mix_bin") != std::string::npos) silence_bin(p);
  if (name.find("mono_spectrogram") != std::string::npos) {
    for (auto& v : p.magnitudes) {
      Array<T> first(1, v.frames, v.bins);
      std::copy_n(v.values.begin(), first.values.size(), first.values.begin());
      v = first;
    }
  }
  wiener::Settings s;
  s.mode = wiener::Mode::norbert;
  s.window_frames = 0;
  s.iterations = static_cast<int>(c.at("iterations").as_integer());
  s.initial = c.at("use_softmask").as_bool() ? wiener::Initial::soft_mask : wiener::Initial::mixture_phase;
  if (!c.at("eps").is_null()) s.eps = c.at("eps").as_real();
  const Problem<T> before = p;
  const auto y = p.run(s);
  CHECK(before.mixture.values == p.mixture.values);
  return worst(p, y, c.at("y"), [](int) { return true; });
}

template <class T>
double openunmix_error(const std::string& name, const core::Value& c, bool skip_defect) {
  Problem<T> p = problem_of<T>(c);
  if (name.find("silent_source") != std::string::npos) silence_source(p);
  if (name.find("silent_mix_bin") != std::string::npos) silence_bin(p);
  wiener::Settings s;
  s.mode = wiener::Mode::openunmix;
  s.window_frames = c.at("wiener_win_len").is_null() ? 0 : c.at("wiener_win_len").as_integer();
  s.iterations = static_cast<int>(c.at("iterations").as_integer());
  s.initial = c.at("softmask").as_bool() ? wiener::Initial::soft_mask : wiener::Initial::mixture_phase;
  s.residual = c.at("residual").as_bool();
  s.eps = c.at("eps").as_real();
  const auto y = p.run(s);
  return worst(p, y, c.at("y"), [&](int f) { return !skip_defect || f != 0; });
}

}  // namespace

TEST_CASE("wiener: the generator of the golden file", "[wiener]") {
  const auto& c = golden().at("norbert").at("softmask_it1");
  const auto p = problem_of<double>(c);
  std::complex<double> x = 0;
  double v = 0;
  for (const auto& value : p.mixture.values) x += value;
  for (const auto& source : p.magnitudes) {
    for (const double value : source.values) v += value;
  }
  CHECK(x.real() == Approx(c.at("x_check_sum").as_array()[0].as_real()).epsilon(1e-13));
  CHECK(x.imag() == Approx(c.at("x_check_sum").as_array()[1].as_real()).epsilon(1e-13));
  CHECK(v == Approx(c.at("v_check_sum").as_real()).epsilon(1e-13));
}

TEST_CASE("wiener: norbert mode gives norbert's numbers", "[wiener]") {
  int cases = 0;
  for (const auto& [name, c] : golden().at("norbert").as_object()) {
    if (c.find("y") == nullptr) continue;
    ++cases;
    INFO(name);
    if (c.at("dtype").as_string() == "complex64") {
      CHECK(norbert_error<float>(name, c) < 1e-4);
    } else {
      CHECK(norbert_error<double>(name, c) < 1e-11);
    }
  }
  CHECK(cases == 19);
}

TEST_CASE("wiener: power and covariance of the first iteration", "[wiener]") {
  const auto& c = golden().at("norbert").at("intermediate_softmask_source0");
  const auto p = problem_of<double>(golden().at("norbert").at("softmask_it1"));
  wiener::Settings s;
  s.mode = wiener::Mode::norbert;
  s.window_frames = 0;
  const auto model = wiener::Model::fit<double>(p.mixture.view(), p.sources(), s);
  const auto& r = c.at("R").as_array().front().as_array();
  for (int f = 0; f < 3; ++f) {
    for (int a = 0; a < 2; ++a) {
      for (int b = 0; b < 2; ++b) {
        const auto& z = r[static_cast<std::size_t>(f)]
                            .as_array()[static_cast<std::size_t>(a)]
                            .as_array()[static_cast<std::size_t>(b)]
                            .as_array();
        const std::complex<double> expected(z[0].as_real(), z[1].as_real());
        CHECK(std::abs(model.covariance(0, 0, f, a, b) - expected) < 1e-13);
      }
    }
  }
  s.iterations = 0;
  const auto y = p.run(s);
  const auto& v = c.at("v_psd").as_array();
  for (int n = 0; n < 4; ++n) {
    for (int f = 0; f < 3; ++f) {
      const double power = 0.5 * (std::norm(y[0].at(0, n, f)) + std::norm(y[0].at(1, n, f)));
      const double expected = v[static_cast<std::size_t>(n)].as_array()[static_cast<std::size_t>(f)].as_real();
      CHECK(power == Approx(expected).epsilon(1e-13));
    }
  }
}

TEST_CASE("wiener: norbert's residual model", "[wiener]") {
  const auto p = tests::golden_problem<double>(101, 4, 3, 2, 3, 4.0, 0.5);
  int cases = 0;
  for (const auto& [name, c] : golden().at("norbert").as_object()) {
    if (name.rfind("residual_model", 0) != 0) continue;
    ++cases;
    INFO(name);
    const double alpha = name.find("alpha2") != std::string::npos ? 2.0 : 1.0;
    const bool autoscale = name.find("autoscale1") != std::string::npos;
    const auto result = wiener::residual_model<double>(p.mixture.view(), p.sources().magnitudes, alpha, autoscale);
    REQUIRE(result.size() == 4);
    double error = 0;
    const auto& v = c.at("v").as_array();
    for (std::size_t n = 0; n < 4; ++n) {
      for (std::size_t f = 0; f < 3; ++f) {
        for (std::size_t ch = 0; ch < 2; ++ch) {
          for (std::size_t j = 0; j < 4; ++j) {
            const double expected = v[n].as_array()[f].as_array()[ch].as_array()[j].as_real();
            error = std::max(error, std::abs(result[j][(ch * 4 + n) * 3 + f] - expected));
          }
        }
      }
    }
    CHECK(error < 1e-12);
  }
  CHECK(cases == 3);
}

TEST_CASE("wiener: openunmix mode gives open-unmix's numbers, defects included", "[wiener]") {
  int cases = 0;
  for (const auto& [name, c] : golden().at("openunmix").as_object()) {
    ++cases;
    INFO(name);
    if (c.at("dtype").as_string() == "float32") {
      CHECK(openunmix_error<float>(name, c, false) < 1e-4);
    } else {
      CHECK(openunmix_error<double>(name, c, false) < 1e-11);
    }
  }
  CHECK(cases == 14);
}

TEST_CASE("wiener: bins where open-unmix overwrites the mixture stay silent in the other modes", "[wiener]") {
  const auto& c = golden().at("openunmix").at("it1_silent_mix_bin");
  auto p = problem_of<double>(c);
  silence_bin(p);
  for (const auto mode : {wiener::Mode::clean, wiener::Mode::norbert}) {
    for (const bool residual : {false, true}) {
      wiener::Settings s;
      s.mode = mode;
      s.initial = wiener::Initial::mixture_phase;
      s.window_frames = 0;
      s.residual = residual;
      for (const auto& y : p.run(s)) {
        for (int n = 0; n < 4; ++n) {
          for (int ch = 0; ch < 2; ++ch) CHECK(std::abs(y.at(ch, n, 0)) == 0.0);
        }
      }
    }
  }
}
