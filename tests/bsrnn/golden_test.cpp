// tests/golden/bsrnn.json on our own kernels, float32: every block of every profile, mask, spectrum and waveform.
#include "methods/bsrnn/model.h"
#include "nn/cpu.h"
#include "tests/bsrnn/support.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;
using methods::bsrnn::BandSplitRnn;

namespace {

Forward::Array read_tensor(const nn::Tensor& x) {
  const std::vector<float> values = x.values();
  return {x.items(), x.frames(), x.channels(), {values.begin(), values.end()}};
}

nn::Tensor to_tensor(const std::vector<std::vector<std::complex<double>>>& spectrum, std::int64_t bins) {
  const auto frames = static_cast<std::int64_t>(spectrum[0].size()) / bins;
  nn::Tensor x(2, frames, 2 * bins);
  for (std::int64_t c = 0; c < 2; ++c) {
    for (std::int64_t t = 0; t < frames; ++t) {
      for (std::int64_t f = 0; f < bins; ++f) {
        const std::complex<double> v = spectrum[static_cast<std::size_t>(c)][static_cast<std::size_t>(t * bins + f)];
        x.row(c, t)[f] = static_cast<float>(v.real());
        x.row(c, t)[bins + f] = static_cast<float>(v.imag());
      }
    }
  }
  return x;
}

}  // namespace

TEST_CASE("the golden networks in float32 on our kernels", "[bsrnn]") {
  for (const std::string& profile : kGoldenProfiles) {
    INFO(profile);
    const methods::bsrnn::Configuration c = golden_configuration(profile);
    BandSplitSource source(profile);
    const BandSplitRnn<nn::Cpu> model(nn::Scope(source), c);
    CHECK(source.used == source.size());
    const nn::Tensor x = to_tensor(golden_spectrum(false), c.bins());
    const Forward found = run_forward<nn::Cpu>(model, x, read_tensor);
    const double difference = forward_difference(found, profile);
    INFO(difference);
    CHECK(difference < 1e-5);
    for (const int threads : {1, 2, 3}) {
      const nn::RunScope scope(threads);
      CHECK(read_tensor(model.forward(x).at(0)).values == found.spectrum.values);
    }
  }
}

TEST_CASE("masks that are made to sum to 1 are the golden file's", "[bsrnn]") {
  const core::Value& g = golden_bsrnn().at("sum_to_one");
  std::vector<nn::Tensor> masks;
  for (std::size_t k = 0; k < 4; ++k) {
    masks.emplace_back(1, 1, 6);
    for (std::size_t f = 0; f < 3; ++f) {
      masks.back().data()[f] = static_cast<float>(g.at("mask_real").as_array()[k].as_array()[f].as_real());
      masks.back().data()[3 + f] = static_cast<float>(g.at("mask_imag").as_array()[k].as_array()[f].as_real());
    }
  }
  const std::vector<nn::Tensor> out = methods::bsrnn::project_masks<nn::Cpu>(masks);
  for (std::size_t k = 0; k < 4; ++k) {
    for (std::size_t f = 0; f < 3; ++f) {
      CHECK(out[k].data()[f] == Approx(g.at("real_after").as_array()[k].as_array()[f].as_real()).margin(1e-6));
      CHECK(out[k].data()[3 + f] == Approx(g.at("imag_after").as_array()[k].as_array()[f].as_real()).margin(1e-6));
    }
  }
}
