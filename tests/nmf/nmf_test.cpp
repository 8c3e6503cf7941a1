#include "methods/nmf/nmf.h"

#include <cmath>

#include "tests/nmf/golden.h"

using namespace mss;
using namespace mss::methods::nmf;
namespace t = mss::tests::nmf;

namespace {

template <class T>
double tolerance() {
  return sizeof(T) == 8 ? t::kTight : t::kSingle;
}

template <class T>
void check_factors(const Fit<T>& fit, const core::Value& golden) {
  if (const auto* w = golden.find("W"); w != nullptr && w->is_array())
    CHECK(t::relative_difference(t::w_krt(fit.factors), t::numbers(*w)) < tolerance<T>());
  CHECK(t::relative_difference(t::doubles(fit.factors.h), t::numbers(golden.at("H"))) < tolerance<T>());
}

}  // namespace

TEMPLATE_TEST_CASE("clean beta-NMF equals the golden values", "[nmf]", double, float) {
  const auto v = t::golden_v<TestType>(6, 12);
  for (const auto& [name, beta] : std::vector<std::pair<std::string, double>>{
           {"NMF_beta1", 1.0}, {"NMF_beta2", 2.0}, {"NMF_beta0", 0.0}, {"NMF_beta0.5", 0.5}}) {
    CAPTURE(name);
    const auto& golden = t::golden().at("clean").at(name);
    FitOptions<TestType> options;
    options.iterations = 5;
    options.beta = beta;
    options.track_divergence = true;
    const auto fit = methods::nmf::fit(t::view(v, 6, 12), t::golden_start<TestType>(6, 12, 3, 1), options);
    check_factors(fit, golden);
    CHECK(t::relative_difference(fit.divergence, t::numbers(golden.at("divergence_0_to_5"))) < tolerance<TestType>());
  }
}

TEMPLATE_TEST_CASE("clean NMFD equals the golden values", "[nmf]", double, float) {
  const auto v = t::golden_v<TestType>(6, 12);
  const auto& golden = t::golden().at("clean").at("NMFD_KL");
  FitOptions<TestType> options;
  options.iterations = 5;
  options.track_divergence = true;
  const auto fit = methods::nmf::fit(t::view(v, 6, 12), t::golden_start<TestType>(6, 12, 3, 4), options);
  check_factors(fit, golden);
  CHECK(t::relative_difference(fit.divergence, t::numbers(golden.at("divergence_0_to_5"))) < tolerance<TestType>());
}

TEMPLATE_TEST_CASE("temporal continuity equals the golden values", "[nmf]", double, float) {
  const auto v = t::golden_v<TestType>(6, 12);
  const auto& golden = t::golden().at("clean").at("continuity_KL");
  FitOptions<TestType> options;
  options.iterations = 5;
  options.continuity = 0.1;
  options.track_divergence = true;
  const auto fit = methods::nmf::fit(t::view(v, 6, 12), t::golden_start<TestType>(6, 12, 3, 1), options);
  check_factors(fit, golden);
  const auto pairs = t::numbers(golden.at("kl_and_continuity_0_to_5"));
  std::vector<double> kl;
  for (std::size_t i = 0; i < pairs.size(); i += 2) kl.push_back(pairs[i]);
  CHECK(t::relative_difference(fit.divergence, kl) < tolerance<TestType>());
}

TEMPLATE_TEST_CASE("activations for fixed templates equal the golden values, by frames and by rows", "[nmf]", double,
                   float) {
  const auto v = t::golden_v<TestType>(6, 12);
  const auto& golden = t::golden().at("clean").at("supervised_KL_fixedW");
  auto start = t::golden_start<TestType>(6, 12, 3, 1, true);
  for (int r = 0; r < 3; ++r) {
    double sum = 0;
    for (int k = 0; k < 6; ++k) sum += t::w_at(k, r);
    for (int k = 0; k < 6; ++k) start.w_at(k, 0, r) = static_cast<TestType>(t::w_at(k, r) / sum);
  }
  FitOptions<TestType> options;
  options.iterations = 10;
  options.fix_w = true;
  options.track_divergence = true;
  const auto fit = methods::nmf::fit(t::view(v, 6, 12), start, options);
  check_factors(fit, golden);
  CHECK(t::relative_difference(fit.divergence, t::numbers(golden.at("divergence_0_to_10"))) < tolerance<TestType>());

  const FixedTemplates<TestType> templates(start.w, 6, 3);
  std::vector<TestType> frames(12 * 6), h(12 * 3, TestType(1));
  for (int m = 0; m < 12; ++m) {
    for (int k = 0; k < 6; ++k) frames[static_cast<std::size_t>(m * 6 + k)] = v[static_cast<std::size_t>(k * 12 + m)];
  }
  templates.activations(frames.data(), 12, 6, h.data(), options);
  std::vector<double> by_row;
  for (int r = 0; r < 3; ++r) {
    for (int m = 0; m < 12; ++m) by_row.push_back(static_cast<double>(h[static_cast<std::size_t>(m * 3 + r)]));
  }
  CHECK(t::relative_difference(by_row, t::numbers(golden.at("H"))) < tolerance<TestType>());
}

TEMPLATE_TEST_CASE("toolbox NMF equals the golden values", "[nmf]", double, float) {
  const auto v = t::golden_v<TestType>(6, 12);
  for (const auto& [name, beta] :
       std::vector<std::pair<std::string, double>>{{"NMF_KLDiv", 1.0}, {"NMF_EucDist", 2.0}, {"NMF_ISDiv", 0.0}}) {
    CAPTURE(name);
    const auto& golden = t::golden().at("toolbox").at(name);
    FitOptions<TestType> options;
    options.iterations = 5;
    options.beta = beta;
    options.update = Update::toolbox_nmf;
    options.track_divergence = true;
    auto fit = methods::nmf::fit(t::view(v, 6, 12), t::golden_start<TestType>(6, 12, 3, 1), options);
    check_factors(fit, golden);
    const auto expected = t::numbers(
        golden.at("divergence_after_iter_0_to_5 (sum over k,m; measured by us, the toolbox NMF reports none)"));
    CHECK(t::relative_difference(fit.divergence, expected) < tolerance<TestType>());
    options.fix_w = true;
    fit = methods::nmf::fit(t::view(v, 6, 12), t::golden_start<TestType>(6, 12, 3, 1), options);
    check_factors(fit, golden.at("fixW_true"));
  }
}

TEMPLATE_TEST_CASE("toolbox NMFD equals the golden values", "[nmf]", double, float) {
  const auto v = t::golden_v<TestType>(6, 12);
  struct Case {
    const char* name;
    int iterations;
    bool ones, fix_w, fix_h;
  };
  for (const auto& c : std::vector<Case>{{"NMFD_KL", 5, false, false, false},
                                         {"NMFD_KL_uniformH", 5, true, false, false},
                                         {"NMFD_KL_1iter", 1, false, false, false},
                                         {"NMFD_KL_fixW", 5, false, true, false},
                                         {"NMFD_KL_fixH", 5, false, false, true},
                                         {"NMFD_KL_60iter_cost", 60, false, false, false}}) {
    CAPTURE(c.name);
    const auto& golden = t::golden().at("toolbox").at(c.name);
    FitOptions<TestType> options;
    options.iterations = c.iterations;
    options.update = Update::toolbox_nmfd;
    options.fix_w = c.fix_w;
    options.fix_h = c.fix_h;
    options.track_divergence = true;
    const auto fit = methods::nmf::fit(t::view(v, 6, 12), t::golden_start<TestType>(6, 12, 3, 4, c.ones), options);
    if (golden.find("W") != nullptr) check_factors(fit, golden);
    // The reported cost cancels to a small number; in float32 its error is that of the model's entries.
    CHECK(t::relative_difference(fit.divergence, t::numbers(golden.at("costFunc"))) < tolerance<TestType>());
    if (std::string(c.name) == "NMFD_KL") {
      std::vector<double> spectrograms;
      for (int r = 0; r < 3; ++r) {
        for (const TestType x : model(fit.factors, 0, r, 1)) spectrograms.push_back(static_cast<double>(x) + 0x1p-52);
      }
      CHECK(t::relative_difference(spectrograms, t::numbers(golden.at("component_spectrograms"))) <
            tolerance<TestType>());
    }
  }
}

TEMPLATE_TEST_CASE("toolbox NMFD on 64 x 200 equals the golden checksums", "[nmf]", double, float) {
  const auto v = t::golden_v<TestType>(64, 200);
  const auto& golden = t::golden().at("toolbox").at("NMFD_KL_large");
  FitOptions<TestType> options;
  options.iterations = 30;
  options.update = Update::toolbox_nmfd;
  options.track_divergence = true;
  options.threads = 2;
  const auto fit = methods::nmf::fit(t::view(v, 64, 200), t::golden_start<TestType>(64, 200, 4, 8, true), options);
  const auto& f = fit.factors;
  CHECK(t::relative_difference(fit.divergence, t::numbers(golden.at("costFunc"))) < tolerance<TestType>());
  std::vector<double> sums, w_sums, first, last;
  double w_square = 0, h_square = 0;
  for (int r = 0; r < 4; ++r) {
    double sum = 0;
    for (int m = 0; m < 200; ++m) {
      const double x = static_cast<double>(f.h_at(r, m));
      sum += x;
      h_square += x * x;
      if (m < 10) first.push_back(x);
      if (m >= 190) last.push_back(x);
    }
    sums.push_back(sum);
  }
  for (int k = 0; k < 64; ++k) {
    for (int r = 0; r < 4; ++r) {
      double sum = 0;
      for (int j = 0; j < 8; ++j) {
        const double x = static_cast<double>(f.w_at(k, j, r));
        sum += x;
        w_square += x * x;
      }
      w_sums.push_back(sum);
    }
  }
  CHECK(t::relative_difference(sums, t::numbers(golden.at("H_row_sums"))) < tolerance<TestType>());
  CHECK(t::relative_difference(first, t::numbers(golden.at("H_first10"))) < tolerance<TestType>());
  CHECK(t::relative_difference(last, t::numbers(golden.at("H_last10"))) < tolerance<TestType>());
  CHECK(t::relative_difference(w_sums, t::numbers(golden.at("W_sum_over_t_[k][r]"))) < tolerance<TestType>());
  CHECK(std::sqrt(w_square) == Approx(golden.at("W_fro").as_real()).epsilon(tolerance<TestType>()));
  CHECK(std::sqrt(h_square) == Approx(golden.at("H_fro").as_real()).epsilon(tolerance<TestType>()));
}

TEMPLATE_TEST_CASE("NMFconv equals the golden values", "[nmf]", double, float) {
  const auto v = t::golden_v<TestType>(6, 12);
  for (const int beta : {-1, 0, 1}) {
    for (const bool penalties : {false, true}) {
      const std::string name = "NMFconv_beta" + std::to_string(beta) + (penalties ? "_sp0.01_un0.02" : "_sp0_un0");
      CAPTURE(name);
      const auto& golden = t::golden().at("toolbox").at(name);
      FitOptions<TestType> options;
      options.iterations = 5;
      options.beta = beta + 1;
      options.update = Update::toolbox_nmfconv;
      options.sparsity = penalties ? 0.01 : 0.0;
      options.decorrelation = penalties ? 0.02 : 0.0;
      options.track_divergence = true;
      const auto fit = methods::nmf::fit(t::view(v, 6, 12), t::golden_start<TestType>(6, 12, 3, 4), options);
      check_factors(fit, golden);
      CHECK(t::relative_difference(fit.divergence, t::numbers(golden.at("costFunc"))) < tolerance<TestType>());
    }
  }
}
