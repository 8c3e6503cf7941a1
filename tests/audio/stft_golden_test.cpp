// Against the numbers of torch.stft, the NMF toolbox and SciPy.
#include <complex>

#include "audio/file.h"
#include "audio/stft.h"
#include "core/json.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::audio;
using namespace mss::tests;

namespace {

const core::Value& openunmix() {
  static const core::Value value = core::read_json_file(golden("openunmix.json"));
  return value;
}

/// The golden file's signal, in float32.
std::vector<float> golden_signal(int channel) {
  KeyedUniform u("signal/c" + std::to_string(channel));
  std::vector<float> x(8229);
  for (std::size_t n = 0; n < x.size(); ++n) {
    const double envelope = 0.25 + 0.75 * static_cast<double>(n % 997) / 996.0;
    x[n] = static_cast<float>(0.5 * (2.0 * u() - 1.0) * envelope);
    if (n >= 3000 && n < 3600) x[n] = 0.0F;
  }
  return x;
}

/// Sums over both channels and the listed bins, within the 12 digits of the file.
void check_against(const core::Value& block, const Stft<double>& stft, const Spectrogram<double>& spectrum,
                   double sum_tolerance, double bin_tolerance) {
  double sum_abs = 0.0, sum_abs2 = 0.0;
  for (const auto& v : spectrum.data()) {
    sum_abs += std::abs(v);
    sum_abs2 += std::norm(v);
  }
  const char* prefix = block.find("sum_abs") != nullptr ? "" : "mixture_stft_";
  CHECK(sum_abs == Approx(block.at(std::string(prefix) + "sum_abs").as_real()).epsilon(sum_tolerance));
  CHECK(sum_abs2 == Approx(block.at(std::string(prefix) + "sum_abs2").as_real()).epsilon(sum_tolerance));
  for (const auto& pick : block.at("picks").as_array()) {
    const int c = static_cast<int>(pick.at("c").as_integer());
    const auto value = spectrum.at(c, pick.at("frame").as_integer())[pick.at("bin").as_integer()];
    CHECK(value.real() == Approx(pick.at("re").as_real()).margin(bin_tolerance));
    CHECK(value.imag() == Approx(pick.at("im").as_real()).margin(bin_tolerance));
  }
  CHECK(stft.bins() == spectrum.bins());
}

}  // namespace

TEST_CASE("the golden signal generator is the golden file's", "[audio]") {
  for (int c = 0; c < 2; ++c) {
    const auto& facts = openunmix().at("signal").at("c" + std::to_string(c));
    const std::vector<float> x = golden_signal(c);
    double sum = 0.0, squares = 0.0;
    for (const float v : x) {
      sum += v;
      squares += static_cast<double>(v) * v;
    }
    CHECK(sum == Approx(facts.at("sum").as_real()).epsilon(1e-10));
    CHECK(squares == Approx(facts.at("sumsq").as_real()).epsilon(1e-9));
    for (std::size_t i = 0; i < 8; ++i) {
      CHECK(x[i] == Approx(facts.at("first").as_array()[i].as_real()).epsilon(1e-10));
    }
  }
}

TEST_CASE("float64 STFTs equal torch.stft's golden numbers", "[audio]") {
  AudioBuffer x(2, 8229, 44100);
  for (int c = 0; c < 2; ++c) std::ranges::copy(golden_signal(c), x.channel(c).begin());
  for (const bool centered : {true, false}) {
    const auto& block = openunmix().at(centered ? "stft_center" : "stft_nocenter");
    const Stft<double> stft(
        {256, 64, 0, WindowKind::hann, centered ? Framing::centered_reflect : Framing::none, Scaling::none});
    const Spectrogram<double> spectrum = stft.forward(x);
    const auto& shape = block.at("shape_c_bins_frames").as_array();
    CHECK(shape[1].as_integer() == spectrum.bins());
    CHECK(shape[2].as_integer() == spectrum.frames());
    // 12 significant digits of values up to 5.
    check_against(block, stft, spectrum, 1e-11, 2e-11);
  }
}

TEST_CASE("STFTs of decoded stems equal torch.stft's golden numbers", "[audio]") {
  MSS_REQUIRE_TEST_DATA(data);
#if MSSBENCH_HAVE_LIBAV
  for (const char* item : {"rock", "falcon"}) {
    const auto& block = openunmix().at("real_excerpts").at("items").at(item);
    const char* folder = std::string(item) == "rock" ? "train" : "test";
    const AudioBuffer x = read_file(data / "musdb18_clips" / folder / block.at("file").as_string());
    const Stft<double> stft({4096, 1024, 0, WindowKind::hann, Framing::centered_reflect, Scaling::none});
    check_against(block, stft, stft.forward(x, 2), 1e-11, 1e-9);
  }
#else
  WARN("SKIPPED: this build cannot decode mp4");
#endif
}

TEST_CASE("the toolbox framing equals the NMF toolbox, inverse and edges included", "[audio]") {
  const core::Value file = core::read_json_file(golden("nmf.json"));
  const auto& block = file.at("toolbox").at("STFT");
  std::vector<double> x(100);
  for (std::size_t n = 0; n < x.size(); ++n) x[n] = (static_cast<double>((n * n + 3 * n) % 31) - 15.0) / 16.0;
  const Stft<double> stft({16, 4, 0, WindowKind::hann, Framing::toolbox, Scaling::none});
  const std::int64_t frames = stft.frames(100);
  std::vector<std::complex<double>> spectrum(static_cast<std::size_t>(frames * stft.bins()));
  stft.forward(x, spectrum.data());
  const auto& expected = block.at("X (complex64 precision)");
  const auto& re = expected.at("re").as_array();
  const auto& im = expected.at("im").as_array();
  REQUIRE(static_cast<int>(re.size()) == stft.bins());
  for (std::size_t k = 0; k < re.size(); ++k) {
    REQUIRE(static_cast<std::int64_t>(re[k].as_array().size()) == frames);
    for (std::size_t n = 0; n < static_cast<std::size_t>(frames); ++n) {
      // The toolbox keeps complex64: 2^-24 relative of values up to 8.
      CHECK(spectrum[n * re.size() + k].real() == Approx(re[k].as_array()[n].as_real()).margin(5e-7));
      CHECK(spectrum[n * re.size() + k].imag() == Approx(im[k].as_array()[n].as_real()).margin(5e-7));
    }
  }
  std::vector<double> y(100);
  stft.inverse(spectrum.data(), frames, y);
  const auto& back = block.at("y_first_call").as_array();
  REQUIRE(back.size() == y.size());
  for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == Approx(back[i].as_real()).margin(5e-7));
  CHECK(std::fabs(y[0] - x[0]) > 0.01);  // the attenuated edge is part of the convention
}

TEST_CASE("the scipy framing equals scipy.signal.stft", "[audio]") {
  // scipy.signal.stft(x, nperseg=256, noverlap=…) of SciPy 1.17.1, x[n] = ((n^2 + 3n) mod 31 - 15) / 16, n < 1000.
  std::vector<double> x(1000);
  for (std::size_t n = 0; n < x.size(); ++n) x[n] = (static_cast<double>((n * n + 3 * n) % 31) - 15.0) / 16.0;
  struct Case {
    int hop;
    std::int64_t frames;
    double sum_abs, sum_abs2;
    std::complex<double> bin3_frame2, bin17_frame0, bin128_frame1000;
  };
  const Case cases[] = {{128,
                         9,
                         27.640740066526917,
                         2.2378462193995636,
                         {-8.62070610252088e-05, 0.00019824098906780913},
                         {0.002448740455563359, -0.003201823108925338},
                         {0.0037239852173699475, 0.0}},
                        {64,
                         17,
                         53.726537526369796,
                         4.493233758106628,
                         {0.00011443858660662842, 0.00018813900893680652},
                         {0.002448740455563359, -0.003201823108925338},
                         {0.0037239852173699475, 0.0}}};
  for (const Case& c : cases) {
    const Stft<double> stft({256, c.hop, 0, WindowKind::hann, Framing::scipy, Scaling::window_sum});
    REQUIRE(stft.frames(1000) == c.frames);
    std::vector<std::complex<double>> spectrum(static_cast<std::size_t>(c.frames * stft.bins()));
    stft.forward(x, spectrum.data());
    double sum_abs = 0.0, sum_abs2 = 0.0;
    for (const auto& v : spectrum) {
      sum_abs += std::abs(v);
      sum_abs2 += std::norm(v);
    }
    CHECK(sum_abs == Approx(c.sum_abs).epsilon(1e-13));
    CHECK(sum_abs2 == Approx(c.sum_abs2).epsilon(1e-13));
    CHECK(std::abs(spectrum[2 * 129 + 3] - c.bin3_frame2) < 1e-15);
    CHECK(std::abs(spectrum[17] - c.bin17_frame0) < 1e-15);
    CHECK(std::abs(spectrum[static_cast<std::size_t>(1024 / c.hop) * 129 + 128] - c.bin128_frame1000) < 1e-15);
  }
}
