// tests/golden/openunmix.json: every block that concerns inference.
//
// Tolerances: the file is float64 arithmetic on float32 weights, we compute in float32. The file states the deviation
// of the same PyTorch code in float32 (3.8e-6 for the small network's output, 4.8e-5 for the full one, 2e-7 of the
// stems); ours must stay within a few times that.
#include "methods/openunmix/model.h"
#include "nn/cpu.h"
#include "tests/openunmix/support.h"

using namespace mss;
using namespace mss::tests;
using core::Value;

namespace {

/// "sum", "sumsq", "min", "max", first and last values of an array against the golden file's summary.
void check_summary(const std::vector<double>& values, const Value& expected, double tolerance) {
  REQUIRE(static_cast<std::int64_t>(values.size()) == expected.at("n").as_integer());
  double sum = 0, squares = 0, low = values[0], high = values[0];
  for (const double v : values) {
    sum += v;
    squares += v * v;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const auto n = static_cast<double>(values.size());
  CHECK(std::abs(sum - expected.at("sum").as_real()) <= tolerance * n);
  CHECK(squares == Approx(expected.at("sumsq").as_real()).epsilon(1e-5));
  CHECK(std::abs(low - expected.at("min").as_real()) <= tolerance);
  CHECK(std::abs(high - expected.at("max").as_real()) <= tolerance);
  const auto& first = expected.at("first").as_array();
  for (std::size_t i = 0; i < first.size(); ++i) CHECK(std::abs(values[i] - first[i].as_real()) <= tolerance);
  const auto& last = expected.at("last").as_array();
  for (std::size_t i = 0; i < last.size(); ++i) {
    CHECK(std::abs(values[values.size() - last.size() + i] - last[i].as_real()) <= tolerance);
  }
}

/// Frames, then channels, then bins: the golden file's order of one stem.
std::vector<double> in_frames(const MagnitudeSink& sink, std::size_t stem) {
  std::vector<double> out;
  for (std::int64_t n = 0; n < sink.frames; ++n) {
    for (int c = 0; c < sink.channels; ++c) {
      for (int k = 0; k < sink.bins; ++k) out.push_back(sink.at(stem, c, n, k));
    }
  }
  return out;
}

void check_stems(const methods::StemSet& stems, const Value& expected, double tolerance) {
  double worst = 0;
  for (std::size_t s = 0; s < stems.names.size(); ++s) {
    CAPTURE(stems.names[s]);
    const Value& stem = expected.at(stems.names[s]);
    for (const Value& point : stem.at("at").as_array()) {
      const float found = stems.audio[s].channel(
          static_cast<int>(point.at("c").as_integer()))[static_cast<std::size_t>(point.at("n").as_integer())];
      worst = std::max(worst, std::abs(found - point.at("v").as_real()));
    }
    double sum = 0, squares = 0;
    for (int c = 0; c < stems.audio[s].channels(); ++c) {
      for (const float x : stems.audio[s].channel(c)) {
        sum += x;
        squares += static_cast<double>(x) * x;
      }
    }
    const auto n = static_cast<double>(stems.audio[s].samples() * stems.audio[s].channels());
    CHECK(std::abs(sum - stem.at("sum").as_real()) <= tolerance * n / 10);
    CHECK(squares == Approx(stem.at("sumsq").as_real()).epsilon(1e-4));
  }
  CHECK(worst <= tolerance);
}

const std::vector<std::string> kFour = {"vocals", "drums", "bass", "other"};
const std::vector<std::string> kCross = {"bass", "drums", "vocals", "other"};

}  // namespace

TEST_CASE("the golden file's random numbers are ours", "[openunmix]") {
  const Value& rng = openunmix_golden().at("rng");
  for (const char* key : {"signal/c0", "vocals/fc1.weight"}) {
    const IndexedUniform u(key);
    CHECK(std::to_string(u.seed()) == rng.at("fnv1a64").at(key).as_string());
    for (std::uint64_t i = 0; i < 4; ++i) {
      CHECK(u(i) == Approx(rng.at("u_first4").at(key).as_array()[i].as_real()).epsilon(1e-12));
    }
  }
}

TEST_CASE("every stage of the small network has the reference's values", "[openunmix]") {
  const Value& stages = openunmix_golden().at("umx_small").at("stages");
  const umx::Configuration c = small_configuration({"vocals"});
  const methods::Weights weights = golden_weights(c);
  nn::ArraySource source = weights.source("vocals");
  const umx::Network<nn::Cpu> network(nn::Scope(source), c);
  source.check("golden");
  const audio::AudioBuffer signal = golden_signal(2);
  const audio::Stft<float> stft({.fft_size = 256, .hop_samples = 64});
  const audio::Spectrogram<float> x = stft.forward(signal);
  REQUIRE(x.frames() == 129);
  nn::Tensor magnitudes(1, x.frames(), 2 * c.max_bin);
  for (std::int64_t n = 0; n < x.frames(); ++n) {
    for (int channel = 0; channel < 2; ++channel) {
      for (int k = 0; k < c.max_bin; ++k) {
        magnitudes.row(0, n)[channel * c.max_bin + k] = std::abs(x.at(channel, n)[k]);
      }
    }
  }
  const nn::Tensor e = network.encode(magnitudes), o = network.recurrent()(e);
  const nn::Tensor both = umx::seen<nn::Cpu>(c, {e}, {o}, 0), mask = network.decode(both);
  const auto values = [](const nn::Tensor& tensor) {
    const std::vector<float> out = tensor.values();
    return std::vector<double>(out.begin(), out.end());
  };
  check_summary(values(e), stages.at("tanh"), 2e-6);
  check_summary(values(o), stages.at("lstm"), 1e-6);
  check_summary(values(both), stages.at("concat"), 2e-6);
  check_summary(values(mask), stages.at("mask"), 4e-6);
}

TEST_CASE("the small network's magnitudes, both directions and one", "[openunmix]") {
  const audio::AudioBuffer signal = golden_signal(2);
  {
    const Value& expected = openunmix_golden().at("umx_small");
    const methods::Weights weights = golden_weights(small_configuration({"vocals"}));
    CHECK(weights.parameters() == expected.at("params").as_integer());
    const MagnitudeSink found = magnitudes_of(*make_small(weights), signal);
    check_summary(in_frames(found, 0), expected.at("stages").at("Y"), 2e-5);
    for (const Value& point : expected.at("Y_at").as_array()) {
      CHECK(std::abs(found.at(0, static_cast<int>(point.at("c").as_integer()), point.at("frame").as_integer(),
                              static_cast<int>(point.at("bin").as_integer())) -
                     point.at("v").as_real()) <= 2e-5);
    }
  }
  {
    const Value& expected = openunmix_golden().at("umx_unidirectional");
    umx::Configuration c = small_configuration({"uni"});
    c.unidirectional = true;
    const methods::Weights weights = golden_weights(c);
    CHECK(weights.parameters() == expected.at("params").as_integer());
    check_summary(in_frames(magnitudes_of(*make_small(weights), signal), 0), expected.at("Y"), 2e-5);
  }
}

TEST_CASE("the full-sized network", "[openunmix]") {
  const Value& expected = openunmix_golden().at("umx_full");
  umx::Configuration c = umx::named_configuration("umxhq", umx::Architecture::openunmix);
  c.targets = {"full"};
  const methods::Weights weights = golden_weights(c);
  CHECK(weights.parameters() == expected.at("params").as_integer());
  const MagnitudeSink found =
      magnitudes_of(*make_small(weights), golden_signal(2, expected.at("N").as_integer(), "full"), 2);
  REQUIRE(found.frames == 87);
  const double tolerance = 2e-4;
  check_summary(in_frames(found, 0), expected.at("Y"), tolerance);
  for (const Value& point : expected.at("Y_at").as_array()) {
    CHECK(std::abs(found.at(0, static_cast<int>(point.at("c").as_integer()), point.at("frame").as_integer(),
                            static_cast<int>(point.at("bin").as_integer())) -
                   point.at("v").as_real()) <= tolerance);
  }
}

TEST_CASE("X-UMX and the cross-connected extension", "[openunmix]") {
  const audio::AudioBuffer signal = golden_signal(2);
  for (const auto& [block, architecture] :
       {std::pair("xumx", umx::Architecture::xumx), std::pair("crossskip", umx::Architecture::crossskip)}) {
    CAPTURE(block);
    const Value& expected = openunmix_golden().at(block);
    std::vector<std::string> order;
    for (const Value& name : expected.at("order").as_array()) order.push_back(name.as_string());
    CHECK(order == kCross);
    const methods::Weights weights = golden_weights(small_configuration(order, architecture));
    if (architecture == umx::Architecture::xumx) {
      CHECK(weights.parameters() == expected.at("params").as_integer());
    } else {
      CHECK(weights.parameters() == 4 * expected.at("params_per_target").as_integer());
    }
    const MagnitudeSink found = magnitudes_of(*make_small(weights), signal);
    for (std::size_t s = 0; s < order.size(); ++s) {
      CAPTURE(order[s]);
      check_summary(in_frames(found, s), expected.at("est").at(order[s]), 2e-5);
    }
  }
}

TEST_CASE("the whole chain: niter, softmask, windows, residual, channels, levels", "[openunmix]") {
  const Value& cases = openunmix_golden().at("separator").at("cases");
  struct Case {
    const char* name;
    std::vector<std::string> targets;
    const char* filter;
    int channels = 2;
    double tolerance = 2e-6;
  };
  const std::vector<std::string> two = {"vocals", "drums"};
  const std::string em = "|wiener:mode=openunmix";
  for (const Case& c : std::vector<Case>{{"niter0", kFour, ""},
                                         {"niter1", kFour, "iters=1"},
                                         {"niter2", kFour, "iters=2"},
                                         {"softmask_niter0", kFour, "iters=0,softmask=true"},
                                         {"softmask_niter1", kFour, "iters=1,softmask=true"},
                                         {"niter1_win50", kFour, "iters=1,window=50"},
                                         {"niter1_winNone", kFour, "iters=1,window=0"},
                                         {"vocals_drums_residual_niter1", two, "iters=1,residual=true"},
                                         {"mono_2targets_niter1", two, "iters=1", 1},
                                         {"left_only_vocals_drums_residual_niter1", two, "iters=1,residual=true"},
                                         {"loud_x50_niter1", kFour, "iters=1", 2, 1e-4},
                                         {"mono_as_stereo_niter1", kFour, "iters=1"}}) {
    CAPTURE(c.name);
    umx::Configuration configuration = small_configuration(c.targets);
    const std::string name = c.name;
    configuration.channels = c.channels;
    const methods::Weights weights = golden_weights(configuration, c.channels == 1 ? "mono_" : "");
    audio::AudioBuffer signal = golden_signal(2);
    if (name.starts_with("left_only")) std::ranges::fill(signal.channel(1), 0.0F);
    if (name.starts_with("mono_as")) std::ranges::copy(signal.channel(0), signal.channel(1).begin());
    if (name.starts_with("loud")) {
      for (int channel = 0; channel < 2; ++channel) {
        for (float& x : signal.channel(channel)) x *= 50.0F;
      }
    }
    if (c.channels == 1) {
      audio::AudioBuffer left(1, signal.samples(), signal.rate_hz());
      std::ranges::copy(signal.channel(0), left.channel(0).begin());
      signal = std::move(left);
    }
    const std::string spec = c.filter[0] == '\0' ? "net" : "net" + em + "," + c.filter;
    for (const int threads : {1, 2}) {
      methods::Options options;
      options.threads = threads;
      check_stems(make_small(weights, spec)->separate(signal, options), cases.at(name), c.tolerance);
    }
  }
}
