// The family on our own kernels, float32.
#include "nn/cpu.h"
#include "nn/tensor.h"
#include "tests/demucs/model_cases.h"

namespace mss::tests {
namespace {

struct CpuEngine {
  using L = nn::Cpu;
  using Sample = float;
  explicit CpuEngine(nn::Source& source) : source_(source) {}
  nn::Scope scope() { return nn::Scope(source_); }
  static nn::Tensor tensor(const methods::Rows<float>& rows) {
    nn::Tensor x(1, std::ssize(rows[0]), std::ssize(rows));
    for (std::int64_t t = 0; t < x.frames(); ++t) {
      for (std::int64_t c = 0; c < x.channels(); ++c)
        x.row(0, t)[c] = rows[static_cast<std::size_t>(c)][static_cast<std::size_t>(t)];
    }
    return x;
  }
  static methods::Rows<float> rows(const nn::Tensor& x) {
    methods::Rows<float> out(static_cast<std::size_t>(x.channels()));
    for (std::size_t c = 0; c < out.size(); ++c) {
      for (std::int64_t t = 0; t < x.frames(); ++t) out[c].push_back(x.row(0, t)[c]);
    }
    return out;
  }

 private:
  nn::Source& source_;
};

}  // namespace

// The golden file suggests 2e-6 for float32.
TEST_CASE("Demucs on our kernels gives the reference implementation's numbers", "[demucs]") {
  check_forward<CpuEngine>(2e-6);
}
TEST_CASE("Demucs on our kernels is applied as the reference does", "[demucs]") { check_apply<CpuEngine>(2e-6); }
TEST_CASE("Conv-TasNet on our kernels gives the reference implementation's numbers", "[demucs]") {
  check_tasnet<CpuEngine>(2e-6);
}
TEST_CASE("Demucs v1 on our kernels is v2 without resampling and the input's factor", "[demucs]") {
  check_first_version<CpuEngine>(2e-6);
}

TEST_CASE("initial values are rescaled as in the reference", "[demucs]") {
  const core::Value& g = demucs_golden().at("rescale");
  const core::Value& keys = demucs_golden().at("demucs_v2").at("resample_off").at("keys");
  DemucsSource source(keys);
  for (const auto& [layer, expected] : g.at("layers").as_object()) {
    INFO(layer);
    const auto values = [&](const std::string& name) {
      for (const core::Value& entry : keys.as_array()) {
        if (entry.as_array()[0].as_string() != layer + "." + name) continue;
        nn::Parameter parameter{name, {}, {}};
        for (const core::Value& d : entry.as_array()[1].as_array()) parameter.shape.push_back(d.as_integer());
        std::vector<float> out(static_cast<std::size_t>(nn::element_count(parameter.shape)));
        source.fill(layer + "." + name, parameter, out);
        return out;
      }
      FAIL("no such tensor");
      return std::vector<float>{};
    };
    const std::vector<float> weight = values("weight"), bias = values("bias");
    const double factor = demucs::rescale_factor(weight, 0.1);
    CHECK(factor == Approx(expected.at("scale").as_real()).epsilon(1e-12));
    const auto check = [&](const std::vector<float>& found, const char* key) {
      const core::Value::Array& list = expected.at(key).as_array();
      for (std::size_t i = 0; i < list.size(); ++i) {
        CHECK(std::abs(static_cast<double>(found[i]) / factor - list[i].as_real()) <= 1e-12);
      }
    };
    check(weight, "weight_first");
    check(bias, "bias_first");
  }
}

TEST_CASE("initial values are a function of seed and name, in any order, near the reference's size", "[demucs]") {
  demucs::Configuration c = tiny(true);
  c.width = 16;
  demucs::InitialSource one(c, 5), two(c, 5);
  const nn::Parameter p{"weight", {32, 16, 8}, {nn::Init::Kind::uniform, 1.0 / std::sqrt(128.0)}};
  const nn::Parameter q{"bias", {32}, {nn::Init::Kind::uniform, 1.0 / std::sqrt(128.0)}};
  std::vector<float> a(32 * 16 * 8), b(a), bias(32), other(32), plain(32);
  one.fill("encoder.1.0.weight", p, a);
  one.fill("encoder.1.0.bias", q, bias);
  two.fill("encoder.1.0.bias", q, other);
  two.fill("encoder.1.0.weight", p, b);
  CHECK(a == b);
  CHECK(bias == other);
  nn::draw(5, "encoder.1.0.bias", q, plain);
  const double std = 1.0 / std::sqrt(3.0 * 128.0);  // of the uniform distribution; brought halfway to 0.1
  CHECK(bias[3] / plain[3] == Approx(std::sqrt(0.1 / std)).epsilon(0.02));
  double squares = 0.0;
  for (const float v : a) squares += static_cast<double>(v) * v;
  CHECK(std::sqrt(squares / static_cast<double>(a.size())) == Approx(std::sqrt(std * 0.1)).epsilon(0.02));
  // The LSTM stays as it is.
  const nn::Parameter l{"weight_hh_l0", {256, 64}, {nn::Init::Kind::uniform, 0.125}};
  std::vector<float> lstm(256 * 64), drawn(lstm);
  one.fill("lstm.lstm.weight_hh_l0", l, lstm);
  nn::draw(5, "lstm.lstm.weight_hh_l0", l, drawn);
  CHECK(lstm == drawn);

  // Conv-TasNet's are normal.
  const demucs::Configuration t = demucs::named_configuration("x10");
  demucs::InitialSource tasnet(t, 5);
  std::vector<float> wide(512 * 256);
  tasnet.fill("separator.network.2.0.0.net.0.weight", {"weight", {512, 256, 1}, {nn::Init::Kind::uniform, 1.0}}, wide);
  squares = 0.0;
  for (const float v : wide) squares += static_cast<double>(v) * v;
  CHECK(std::sqrt(squares / static_cast<double>(wide.size())) == Approx(std::sqrt(2.0 / 768)).epsilon(0.02));
  std::vector<float> slope(1);
  tasnet.fill("separator.network.2.0.0.net.1.weight", {"weight", {1}, {nn::Init::Kind::constant, 0.25}}, slope);
  CHECK(slope[0] == 0.25F);
}

}  // namespace mss::tests
