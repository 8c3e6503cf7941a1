#include "methods/nmf/toolbox.h"

#include <cmath>
#include <complex>

#include "audio/stft.h"
#include "core/error.h"
#include "methods/nmf/init.h"
#include "methods/nmf/mask.h"
#include "methods/nmf/ntf.h"
#include "tests/nmf/golden.h"

using namespace mss;
using namespace mss::methods::nmf;
namespace t = mss::tests::nmf;

namespace {

const core::Value& toolbox(const char* name) { return t::golden().at("toolbox").at(name); }

std::vector<double> golden_h(int rows = 3, int columns = 12) {
  std::vector<double> h;
  for (int r = 0; r < rows; ++r) {
    for (int m = 0; m < columns; ++m) h.push_back(t::h_at(r, m));
  }
  return h;
}

}  // namespace

TEST_CASE("the convolutive model equals the toolbox's", "[nmf]") {
  const auto f = t::golden_start<double>(6, 12, 3, 4);
  std::vector<double> parts, all;
  for (int r = 0; r < 3; ++r) {
    for (const double x : model(f, 0, r, 1)) parts.push_back(x + 0x1p-52);
  }
  for (const double x : model(f)) all.push_back(x + 0x1p-52);
  CHECK(t::relative_difference(parts, t::numbers(toolbox("convModel").at("S"))) < t::kTight);
  CHECK(t::relative_difference(all, t::numbers(toolbox("convModel").at("full_model"))) < t::kTight);
}

TEST_CASE("alpha-Wiener masks and estimates equal the toolbox's", "[nmf]") {
  const auto parts = t::numbers(toolbox("convModel").at("S"));
  for (const auto& [name, alpha] : std::vector<std::pair<const char*, double>>{
           {"alphaWiener_1.0", 1.0}, {"alphaWiener_1.2", 1.2}, {"alphaWiener_2.0", 2.0}}) {
    CAPTURE(name);
    const auto masks = toolbox_wiener_masks(parts, 3, alpha);
    CHECK(t::relative_difference(masks, t::numbers(toolbox(name).at("mask_float64"))) < t::kTight);
    std::vector<double> re, im;
    for (int r = 0; r < 3; ++r) {
      for (int k = 0; k < 6; ++k) {
        for (int m = 0; m < 12; ++m) {
          const double gain = masks[static_cast<std::size_t>((r * 6 + k) * 12 + m)] * t::v_at(k, m);
          re.push_back(gain * std::cos(0.37 * k + 0.91 * m));
          im.push_back(gain * std::sin(0.37 * k + 0.91 * m));
        }
      }
    }
    CHECK(t::relative_difference(re, t::numbers(toolbox(name).at("estimates").at("re"))) < t::kTight);
    CHECK(t::relative_difference(im, t::numbers(toolbox(name).at("estimates").at("im"))) < t::kTight);
    // The clean masks differ by the toolbox's eps only.
    std::vector<float> clean(parts.begin(), parts.end());
    wiener_masks(clean.data(), 3, 72, 72, alpha);
    CHECK(t::relative_difference(t::doubles(clean), masks) < 1e-6);
  }
}

TEST_CASE("masks sum to one, also where nothing is", "[nmf]") {
  for (const double alpha : {0.5, 1.0, 2.0, 3.0}) {
    std::vector<float> parts = {0, 1e-38F, 3, 1e30F, 0, 1e-38F, 1, 1e-30F, 0, 0, 2, 0};
    wiener_masks(parts.data(), 3, 4, 4, alpha);
    for (int i = 0; i < 4; ++i) {
      const float sum = parts[static_cast<std::size_t>(i)] + parts[static_cast<std::size_t>(i + 4)] +
                        parts[static_cast<std::size_t>(i + 8)];
      CHECK(sum == Approx(1.0F).margin(1e-6));
    }
    CHECK(parts[0] == Approx(1.0F / 3));
    CHECK(parts[3] == 1.0F);
  }
}

TEST_CASE("shift, decay, percussiveness and the semi-fixed blend equal the toolbox's", "[nmf]") {
  const auto h = golden_h();
  CHECK(shift(h, 3, 2) == t::numbers(toolbox("shift").at("right2")));
  CHECK(shift(h, 3, -3) == t::numbers(toolbox("shift").at("left3")));
  CHECK(shift(h, 3, 20) == t::numbers(toolbox("shift").at("right20")));
  CHECK(t::relative_difference(nema(h, 3, 0.75), t::numbers(toolbox("NEMA").at("lambda0.75"))) < t::kTight);
  auto f = t::golden_start<double>(6, 12, 3, 4);
  CHECK(t::relative_difference(percussiveness(f), t::numbers(toolbox("percussiveness").at("p"))) < t::kTight);
  blend_templates(f, std::vector<double>(f.w.size(), 0.5), 1, 10, {{0, 1, 2}, {1, 1, 1}});
  CHECK(t::relative_difference(t::w_krt(f), t::numbers(toolbox("semiFixed").at("W_out"))) < t::kTight);
}

TEST_CASE("NMFdiag equals the toolbox's", "[nmf]") {
  const auto v = t::golden_v<double>(6, 12);
  DiagonalOptions options;
  options.iterations = 5;
  options.length = 3;
  options.grid = 2;
  options.sparsen_rows = options.sparsen_columns = 3;
  options.polyphony = 2;
  const auto f = fit_diagonal(t::view(v, 6, 12), t::golden_start<double>(6, 12, 3, 1), options);
  CHECK(t::relative_difference(t::w_krt(f), t::numbers(toolbox("NMFdiag_KL").at("W"))) < t::kTight);
  CHECK(t::relative_difference(f.h, t::numbers(toolbox("NMFdiag_KL").at("H"))) < t::kTight);
  options.euclidean = options.fix_w = true;
  const auto fixed = fit_diagonal(t::view(v, 6, 12), t::golden_start<double>(6, 12, 3, 1), options);
  CHECK(fixed.w == t::golden_start<double>(6, 12, 3, 1).w);
}

TEST_CASE("start values equal the toolbox's", "[nmf]") {
  const auto& random = toolbox("initTemplates_random");
  std::vector<double> flat;
  for (const auto& w : random_templates(3, 2, 2)) flat.insert(flat.end(), w.begin(), w.end());
  CHECK(t::relative_difference(flat, t::numbers(random.at("W"))) < t::kTight);

  const auto& pitched = toolbox("initTemplates_pitched");
  const std::vector<int> pitches = {45, 40, 45};
  const auto templates = pitched_templates(1025, 1, pitches, 21.533203125);
  REQUIRE(templates.size() == 2);
  const auto& bins = pitched.at("nonzero_bins").as_array();
  const auto& values = pitched.at("values_at_nonzero").as_array();
  for (std::size_t r = 0; r < 2; ++r) {
    std::vector<double> expected(1025, 0.0);
    const auto at = t::numbers(bins[r]), x = t::numbers(values[r]);
    for (std::size_t i = 0; i < at.size(); ++i) expected[static_cast<std::size_t>(at[i])] = x[i];
    CHECK(t::relative_difference(templates[r], expected) < t::kTight);
  }
  CHECK(pitched_templates(64, 1, std::vector<int>{100}, 21.5)[0].size() == 64);  // harmonics above the last bin

  const std::vector<Note> notes = {{40, 0.2, 0.3}, {45, 0.5, 0.4}, {40, 1.2, 0.2}};
  CHECK(t::relative_difference(pitched_activations(notes, 20, 0.1),
                               t::numbers(toolbox("initActivations_pitched").at("H"))) < t::kTight);
  const std::vector<Note> hits = {{1, 0.2, 0}, {2, 0.5, 0}, {1, 1.2, 0}};
  CHECK(t::relative_difference(drum_activations(hits, 20, 0.1, 0.75),
                               t::numbers(toolbox("initActivations_drums").at("H"))) < t::kTight);

  const auto mean = spectrum_templates({{1, 2, 3}, {0, 0, 5}}, 3);
  double sum = 0;
  for (const double x : mean[0]) sum += x;
  CHECK(sum == Approx(1.0));
  CHECK(mean[0][2] / mean[0][0] == Approx(0.1));
  Factors<float> f(3, 4, 2, 3);
  set_templates(f, mean);
  set_activations(f, std::vector<double>(8, 2.0));
  CHECK(f.w_at(2, 0, 1) == Approx(mean[1][6]));
  CHECK(f.h_at(1, 3) == 2.0F);
  CHECK_THROWS_AS(set_templates(f, uniform_templates(3, 2, 2)), Error);
}

TEST_CASE("the NMF toolbox's STFT, its inverse and its window bug are reproduced", "[nmf]") {
  const auto& golden = toolbox("STFT");
  std::vector<float> x(100);
  for (std::int64_t n = 0; n < 100; ++n)
    x[static_cast<std::size_t>(n)] = static_cast<float>((n * n + 3 * n) % 31 - 15) / 16.0F;
  audio::StftSpec spec;
  spec.fft_size = 16;
  spec.hop_samples = 4;
  spec.framing = audio::Framing::toolbox;
  const audio::Stft<float> stft(spec);
  const audio::AudioView view(x.data(), 1, 100, 100, 44100);
  const auto spectrum = stft.forward(view);
  REQUIRE(spectrum.frames() == 25);
  std::vector<double> re, im;
  for (int k = 0; k < 9; ++k) {
    for (int n = 0; n < 25; ++n) {
      re.push_back(static_cast<double>(spectrum.at(0, n)[k].real()));
      im.push_back(static_cast<double>(spectrum.at(0, n)[k].imag()));
    }
  }
  CHECK(t::relative_difference(re, t::numbers(golden.at("X (complex64 precision)").at("re"))) < 1e-6);
  CHECK(t::relative_difference(im, t::numbers(golden.at("X (complex64 precision)").at("im"))) < 1e-6);
  const auto back = stft.inverse(spectrum, 100, 44100);
  std::vector<double> first(back.channel(0).begin(), back.channel(0).end()), second = first;
  CHECK(t::relative_difference(first, t::numbers(golden.at("y_first_call"))) < 1e-6);
  const auto gain = window_bug_gain(spec);
  REQUIRE(gain.size() == 4);
  for (std::size_t n = 0; n < 100; ++n) second[n] *= gain[(n + 8) % 4];
  CHECK(t::relative_difference(
            second, t::numbers(golden.at("y_second_call_same_dict (toolbox bug: window was normalised in place)"))) <
        1e-6);
  spec.fft_size = 4096;
  spec.hop_samples = 1024;
  for (const double g : window_bug_gain(spec)) CHECK(g == Approx(1.49963).margin(1e-3));
}

TEST_CASE("the log-frequency display equals the toolbox's", "[nmf]") {
  std::vector<double> axis;
  const auto out = log_frequency(t::golden_v<double>(1025, 3), 1025, 21.533203125, 12, 32.70319566257483, 1.0, &axis);
  CHECK(t::relative_difference(out, t::numbers(toolbox("logFreqLogMag").at("out"))) < t::kTight);
  CHECK(t::relative_difference(axis, t::numbers(toolbox("logFreqLogMag").at("axis"))) < t::kTight);
}

TEST_CASE("the drum and diagonal constraints act as documented, also as hooks", "[nmf]") {
  Factors<double> f(4, 5, 2);
  f.w = {1, 0, 1, 0, 0, 1, 0, 1};  // component 0 percussive, 1 harmonic
  f.h = {0, 4, 0, 0, 0, 1, 9, 1, 1, 1};
  auto g = f;
  drum_constraint(g, 3, 0.5);
  CHECK(g.h == std::vector<double>{0, 4, 2, 1, 0.5, 1, 1, 1, 1, 1});
  g = f;
  diagonal_constraint(g, 2);
  CHECK(g.h == std::vector<double>{0, 4, 0, 0, 0, 1, 9, 5, 1, 1});
  const auto v = t::golden_v<double>(6, 12);
  FitOptions<double> options;
  options.iterations = 3;
  options.update = Update::toolbox_nmfd;
  int before = 0, after = 0;
  const auto start = t::golden_start<double>(6, 12, 3, 4);
  options.before = [&](int i, Factors<double>& x) {
    CHECK(i == before++);
    blend_templates(x, start.w, i, 3, {{0, 0, 0}, {1, 1, 1}});
  };
  options.after = [&](int i, Factors<double>&) { CHECK(i == after++); };
  fit(t::view(v, 6, 12), start, options);
  CHECK(before == 3);
  CHECK(after == 3);
}

TEMPLATE_TEST_CASE("tensor factorisation equals the golden values", "[nmf]", double, float) {
  const auto& golden = t::golden().at("clean").at("stereo_NTF_KL");
  auto v = t::golden_v<TestType>(6, 12);
  for (int k = 0; k < 6; ++k) {
    for (int m = 0; m < 12; ++m)
      v.push_back(static_cast<TestType>((5 * k + 3 * m + 2 * k * m) % 13 + 1) / TestType(13));
  }
  TensorFactors<TestType> start{2, t::golden_start<TestType>(6, 12, 3, 1), {}};
  for (int c = 0; c < 2; ++c) {
    for (int r = 0; r < 3; ++r) start.q.push_back(static_cast<TestType>((3 * c + 2 * r) % 5 + 1) / TestType(5));
  }
  FitOptions<TestType> options;
  options.iterations = 5;
  options.track_divergence = true;
  const auto fit = fit_tensor(t::view(v, 12, 12), start, options);
  const double tolerance = sizeof(TestType) == 8 ? t::kTight : t::kSingle;
  CHECK(t::relative_difference(t::doubles(fit.factors.q), t::numbers(golden.at("Q"))) < tolerance);
  CHECK(t::relative_difference(t::w_krt(fit.factors.factors), t::numbers(golden.at("W"))) < tolerance);
  CHECK(t::relative_difference(t::doubles(fit.factors.factors.h), t::numbers(golden.at("H"))) < tolerance);
  CHECK(t::relative_difference(fit.divergence, t::numbers(golden.at("divergence_0_to_5"))) < tolerance);
}
