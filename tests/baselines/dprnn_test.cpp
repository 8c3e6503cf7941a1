// The dual-path baseline: size, shapes, a forward pass written from the formulas, from spec to stems.
#include <algorithm>
#include <cmath>
#include <map>

#include "audio/stft.h"
#include "core/error.h"
#include "core/json.h"
#include "methods/baselines/dprnn.h"
#include "methods/baselines/entries.h"
#include "methods/baselines/family.h"
#include "methods/weights.h"
#include "nn/cpu.h"
#include "nn/trace.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;
using namespace mss::methods;
using baselines::Dprnn;

namespace {

using Row = std::vector<double>;
using Image = std::vector<Row>;  ///< [frame][channel]

class Reference {
 public:
  explicit Reference(const Arrays& arrays) {
    for (const auto& [name, array] : arrays) {
      const std::vector<float> values = array.values();
      w_[name] = Row(values.begin(), values.end());
    }
  }

  Image masks(const Image& magnitudes) const {
    const std::size_t frames = magnitudes.size(), bins = 2049;
    Image h;
    for (const Row& m : magnitudes) {
      Row x(m.size());
      for (std::size_t i = 0; i < m.size(); ++i)
        x[i] = (std::log1p(m[i]) + w_.at("input_mean")[i]) * w_.at("input_scale")[i];
      h.push_back(linear("encoder", x));
    }
    std::size_t count = 1;
    while ((count - 1) * 16 + 32 < frames) ++count;
    h.resize((count - 1) * 16 + 32, Row(128, 0.0));
    std::vector<Image> segments(count);
    for (std::size_t n = 0; n < count; ++n)
      segments[n].assign(h.begin() + static_cast<std::ptrdiff_t>(16 * n),
                         h.begin() + static_cast<std::ptrdiff_t>(16 * n + 32));
    for (int b = 0; b < 4; ++b) {
      const std::string block = "blocks." + std::to_string(b);
      for (Image& segment : segments) segment = step(block + ".intra", segment);
      for (std::size_t p = 0; p < 32; ++p) {
        Image line;
        for (const Image& segment : segments) line.push_back(segment[p]);
        line = step(block + ".inter", line);
        for (std::size_t n = 0; n < count; ++n) segments[n][p] = line[n];
      }
    }
    Image sum(h.size(), Row(128, 0.0));
    for (std::size_t n = 0; n < count; ++n) {
      for (std::size_t p = 0; p < 32; ++p) {
        for (std::size_t c = 0; c < 128; ++c) sum[16 * n + p][c] += segments[n][p][c];
      }
    }
    Image image;
    for (std::size_t t = 0; t < frames; ++t) image.push_back(linear("pointwise", sum[t]));
    // A 3x3 convolution over frames and bins.
    Image out(frames, Row(2 * bins));
    const Row &head = w_.at("head.weight"), &bias = w_.at("head.bias");
    for (std::size_t t = 0; t < frames; ++t) {
      for (std::size_t f = 0; f < bins; ++f) {
        for (std::size_t o = 0; o < 2; ++o) {
          double v = bias[o];
          for (std::size_t d = 0; d < 3; ++d) {
            for (std::size_t e = 0; e < 3; ++e) {
              if (t + d < 1 || t + d > frames || f + e < 1 || f + e > bins) continue;
              for (std::size_t c = 0; c < 2; ++c)
                v += head[(o * 6 + d * 2 + c) * 3 + e] * image[t + d - 1][2 * (f + e - 1) + c];
            }
          }
          out[t][2 * f + o] = 1 / (1 + std::exp(-v));
        }
      }
    }
    return out;
  }

 private:
  Row linear(const std::string& name, const Row& x) const {
    const Row &weight = w_.at(name + ".weight"), &bias = w_.at(name + ".bias");
    Row y = bias;
    for (std::size_t o = 0; o < y.size(); ++o) {
      for (std::size_t i = 0; i < x.size(); ++i) y[o] += weight[o * x.size() + i] * x[i];
    }
    return y;
  }
  Image step(const std::string& name, const Image& x) const {
    Image both(x.size(), Row(256));
    for (const bool backward : {false, true}) {
      const std::string end = backward ? "_l0_reverse" : "_l0", lstm = name + ".lstm.";
      const Row &ih = w_.at(lstm + "weight_ih" + end), &hh = w_.at(lstm + "weight_hh" + end),
                &bi = w_.at(lstm + "bias_ih" + end), &bh = w_.at(lstm + "bias_hh" + end);
      Row hidden(128, 0.0), cell(128, 0.0);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t t = backward ? x.size() - 1 - i : i;
        Row gates(512);
        for (std::size_t g = 0; g < 512; ++g) {
          gates[g] = bi[g] + bh[g];
          for (std::size_t k = 0; k < 128; ++k) gates[g] += ih[g * 128 + k] * x[t][k] + hh[g * 128 + k] * hidden[k];
        }
        const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
        for (std::size_t u = 0; u < 128; ++u) {
          cell[u] = sigmoid(gates[128 + u]) * cell[u] + sigmoid(gates[u]) * std::tanh(gates[256 + u]);
          hidden[u] = sigmoid(gates[384 + u]) * std::tanh(cell[u]);
          both[t][(backward ? 128 : 0) + u] = hidden[u];
        }
      }
    }
    Image out;
    for (std::size_t t = 0; t < x.size(); ++t) {
      Row y = linear(name + ".fc", both[t]);
      double mean = 0, variance = 0;
      for (const double v : y) mean += v / 128;
      for (const double v : y) variance += (v - mean) * (v - mean) / 128;
      for (std::size_t c = 0; c < 128; ++c) {
        y[c] = (y[c] - mean) / std::sqrt(variance + 1e-5) * w_.at(name + ".norm.weight")[c] +
               w_.at(name + ".norm.bias")[c] + x[t][c];
      }
      out.push_back(std::move(y));
    }
    return out;
  }
  std::map<std::string, Row> w_;
};

Weights varied() {
  const core::Value value = baselines::set_value("dprnn", {"vocals"});
  Parts parts;
  for (const auto& [part, listing] : baselines::dprnn_family().list(value)) {
    for (const nn::Listing::Entry& entry : listing.entries) {
      std::vector<float> values(static_cast<std::size_t>(nn::element_count(entry.parameter.shape)));
      nn::Parameter p = entry.parameter;
      const bool constant = p.init.kind == nn::Init::Kind::constant;
      if (constant) p.init = {nn::Init::Kind::uniform, 0.3};
      nn::draw(2, entry.name, p, values);
      if (constant && entry.parameter.init.size == 1.0) {
        for (float& v : values) v += 1.0F;
      }
      if (entry.name == "head.weight") {
        for (float& v : values) v *= 4.0F;
      }
      parts[part][entry.name] = checkpoints::LazyTensor::from(std::move(values), entry.parameter.shape);
    }
  }
  return make_weights(baselines::dprnn_family(), value, std::move(parts), "varied");
}

}  // namespace

TEST_CASE("the dual-path baseline has the size that its layers add up to", "[baselines]") {
  nn::Listing listing;
  const Dprnn<nn::Trace> model{nn::Trace::Scope(listing)};
  const std::int64_t path = 2 * (4 * 128 * (128 + 128) + 2 * 4 * 128) + (256 * 128 + 128) + 2 * 128;
  CHECK(listing.parameters() == (4098 * 128 + 128) + 4 * 2 * path + (128 * 4098 + 4098) + (2 * 2 * 3 * 3 + 2));
  CHECK(listing.parameters() == 3'432'104);
  for (const std::int64_t frames : {1, 32, 33, 48, 259}) {
    const auto y = model.forward({2, frames, 4098, &listing});
    CHECK(y.B == 2);
    CHECK(y.T == frames);
    CHECK(y.C == 4098);
  }
}

TEST_CASE("other sizes of the dual-path baseline stand in its configuration, the report's do not", "[baselines]") {
  const NetworkFamily& family = baselines::dprnn_family();
  core::Value value = baselines::set_value("dprnn", {"vocals"});
  const std::string standard = core::dump_json(family.normalise(value, "here"));
  value["features"] = 128;
  CHECK(core::dump_json(family.normalise(value, "here")) == standard);
  value["features"] = 48;
  value["hidden"] = 40;
  value["blocks"] = 2;
  const core::Value small = family.normalise(value, "here");
  const std::int64_t path = 2 * (4 * 40 * (48 + 40) + 2 * 4 * 40) + (80 * 48 + 48) + 2 * 48;
  CHECK(family.list(small).at("vocals").parameters() ==
        (4098 * 48 + 48) + 2 * 2 * path + (48 * 4098 + 4098) + (2 * 2 * 3 * 3 + 2));
  CHECK(family.macs_per_second(small) < 0.3 * family.macs_per_second(baselines::set_value("dprnn", {"vocals"})));
  CHECK(random_weights(family, small, 1).content_hash !=
        random_weights(family, baselines::set_value("dprnn", {"vocals"}), 1).content_hash);
  value["blocks"] = 0;
  CHECK_THROWS_AS(family.normalise(value, "here"), Error);
}

TEST_CASE("the dual-path baseline is its formulas", "[baselines]") {
  const Weights weights = varied();
  nn::ArraySource source = weights.source("vocals");
  const Dprnn<nn::Cpu> model{nn::Scope(source)};
  const Reference reference(weights.parts.at("vocals"));
  KeyedUniform u("magnitudes");
  Image x(50, Row(4098));
  nn::Tensor given(1, 50, 4098);
  for (std::int64_t t = 0; t < 50; ++t) {
    for (std::int64_t c = 0; c < 4098; ++c) {
      const double v = 5 * u();
      x[static_cast<std::size_t>(t)][static_cast<std::size_t>(c)] = static_cast<float>(v);
      given.row(0, t)[c] = static_cast<float>(v);
    }
  }
  const Image expected = reference.masks(x);
  const nn::Tensor found = model.forward(given);
  double worst = 0, low = 1, high = 0;
  for (std::int64_t t = 0; t < 50; ++t) {
    for (std::int64_t c = 0; c < 4098; ++c) {
      const double v = expected[static_cast<std::size_t>(t)][static_cast<std::size_t>(c)];
      worst = std::max(worst, std::abs(v - static_cast<double>(found.row(0, t)[c])));
      low = std::min(low, v);
      high = std::max(high, v);
    }
  }
  CHECK(low < 0.4);
  CHECK(high > 0.6);
  CHECK(worst < 1e-5);
}

TEST_CASE("the dual-path baseline's masks meet the mixture's spectrum, and stems add up", "[baselines]") {
  Registry registry;
  baselines::add_methods(registry);
  const auto separator = registry.make("dprnn:random=1");
  REQUIRE(separator->info().targets == std::vector<std::string>{"vocals", "accompaniment"});
  audio::AudioBuffer x(2, 400'000, 44100);
  KeyedUniform u("track");
  for (int c = 0; c < 2; ++c) {
    for (float& v : x.channel(c)) v = static_cast<float>(u() - 0.5);
  }
  Options options;
  options.threads = 2;
  const StemSet stems = separator->separate(x.view(), options);
  double worst = 0, power = 0, whole = 0;
  for (int c = 0; c < 2; ++c) {
    for (std::size_t t = 0; t < 400'000; ++t) {
      const double a = static_cast<double>(stems.audio[0].channel(c)[t]),
                   b = static_cast<double>(stems.audio[1].channel(c)[t]), m = static_cast<double>(x.channel(c)[t]);
      worst = std::max(worst, std::abs(a + b - m));
      power += a * a;
      whole += m * m;
    }
  }
  CHECK(worst < 1e-5);
  // A sigmoid near its middle.
  CHECK(power / whole > 0.1);
  CHECK(power / whole < 0.5);
  options.threads = 1;
  const StemSet alone = separator->separate(x.view(), options);
  CHECK(std::ranges::equal(alone.audio[0].channel(1), stems.audio[0].channel(1)));
}
