// Lengths, counts, taps and configurations of the family.
#include "methods/demucs/configuration.h"

#include "core/error.h"
#include "core/json.h"
#include "methods/demucs/apply.h"
#include "methods/demucs/family.h"
#include "methods/demucs/model.h"
#include "methods/demucs/tasnet.h"
#include "nn/trace.h"
#include "tests/demucs/support.h"

namespace mss::tests {
namespace {

std::int64_t parameters(const demucs::Configuration& c) {
  nn::Listing listing;
  if (c.architecture == demucs::Architecture::conv_tasnet) {
    const demucs::ConvTasNet<nn::Trace> model(nn::Trace::Scope(listing), c);
  } else {
    const demucs::Demucs<nn::Trace> model(nn::Trace::Scope(listing), c);
  }
  return listing.parameters();
}

/// Multiply-accumulates of ten seconds.
double gigamacs(const demucs::Configuration& c) {
  nn::Listing listing;
  const std::int64_t length = demucs::valid_length(c, 441000);
  if (c.architecture == demucs::Architecture::conv_tasnet) {
    const demucs::ConvTasNet<nn::Trace> model(nn::Trace::Scope(listing), c);
    model.forward({1, length, 2, &listing});
  } else {
    const demucs::Demucs<nn::Trace> model(nn::Trace::Scope(listing), c);
    CHECK(model.forward({1, length, 2, &listing}).frames() == demucs::output_length(c, length));
  }
  return static_cast<double>(listing.macs) / 1e9;
}

}  // namespace

TEST_CASE("lengths are the reference implementation's", "[demucs]") {
  for (const core::Value& row : demucs_golden().at("valid_length").as_array()) {
    demucs::Configuration c;
    c.resample = row.at("resample").as_bool();
    c.depth = row.at("depth").as_integer();
    c.context = row.at("context").as_integer();
    const std::int64_t length = row.at("length").as_integer(), valid = demucs::valid_length(c, length);
    CHECK(valid == row.at("valid_length").as_integer());
    const std::vector<std::int64_t> levels = demucs::encoder_lengths(c, valid);
    REQUIRE(levels.size() == row.at("encoder_lengths").size());
    for (std::size_t i = 0; i < levels.size(); ++i) {
      CHECK(levels[i] == row.at("encoder_lengths").as_array()[i].as_integer());
    }
    CHECK(demucs::output_length(c, valid) == row.at("output_length").as_integer());
    CHECK(demucs::output_length(c, valid) >= length);
    CHECK(valid - length <= demucs::longest_context(c));
  }
}

TEST_CASE("networks have as many parameters as the reference implementation's", "[demucs]") {
  const core::Value& counts = demucs_golden().at("parameter_counts");
  demucs::Configuration c;
  for (const std::int64_t width : {32, 48, 64, 80}) {
    c.width = width;
    CHECK(parameters(c) == counts.at("demucs_v2_channels_" + std::to_string(width)).as_integer());
  }
  CHECK(parameters(demucs::named_configuration("v2")) == 265679496);
  CHECK(parameters(demucs::named_configuration("v1")) == 648548208);
  CHECK(parameters(demucs::named_configuration("light")) == 1877384);
  CHECK(parameters(demucs::named_configuration("light4")) == 4411976);
  c = demucs::named_configuration("v2");
  c.decoder_per_target = true;
  CHECK(parameters(c) == counts.at("full_depth6_ch64_with_four_decoders").as_integer());
  CHECK(parameters(demucs::named_configuration("x10")) == counts.at("conv_tasnet_X10").as_integer());
  c = demucs::named_configuration("x10");
  c.blocks = 8;
  CHECK(parameters(c) == counts.at("conv_tasnet_X8").as_integer());
}

TEST_CASE("networks cost as many multiply-accumulates as counted on the reference modules", "[demucs]") {
  // docs of the reference counts, per second of stereo: v2 12.0 (119.7 in ten seconds), v1 14.5, light 2.2, light with
  // four decoders 5.7, Conv-TasNet 48.2.
  CHECK(gigamacs(demucs::named_configuration("v2")) == Approx(119.7).epsilon(0.005));
  CHECK(gigamacs(demucs::named_configuration("v1")) / 10 == Approx(14.5).epsilon(0.01));
  CHECK(gigamacs(demucs::named_configuration("light")) / 10 == Approx(2.2).epsilon(0.02));
  CHECK(gigamacs(demucs::named_configuration("light4")) / 10 == Approx(5.7).epsilon(0.05));
  CHECK(gigamacs(demucs::named_configuration("x10")) / 10 == Approx(48.2).epsilon(0.01));
  // What records say; the context at the ends counts in the samples, too.
  for (const char* name : {"v2", "v1", "light", "light4", "x10"}) {
    const demucs::Configuration c = demucs::named_configuration(name);
    const double samples = static_cast<double>(demucs::valid_length(c, 441000));
    CHECK(demucs::family().macs_per_second(demucs::configuration_value(c)) ==
          Approx(gigamacs(c) * 1e9 * 44100 / samples).epsilon(1e-9));
  }
}

TEST_CASE("sinc resampling has the reference implementation's taps and outputs", "[demucs]") {
  const core::Value& sinc = demucs_golden().at("sinc");
  const std::vector<float> x = golden_signal(1, 64)[0];
  for (const auto& [before, after] : std::vector<std::pair<int, int>>{{1, 2}, {2, 1}, {3, 2}, {2, 3}, {4, 2}}) {
    const int common = before == 4 ? 2 : 1;
    const std::string key = std::to_string(before / common) + "to" + std::to_string(after / common);
    INFO(key);
    const core::Value& g = sinc.at(key);
    const demucs::SincTaps taps = demucs::sinc_taps(before, after);
    CHECK(taps.width == g.at("width").as_integer());
    const core::Value::Array& kernel = g.at("kernel").as_array();
    REQUIRE(static_cast<std::int64_t>(kernel.size()) == taps.phases);
    const std::size_t length = taps.taps.size() / kernel.size();
    for (std::size_t p = 0; p < kernel.size(); ++p) {
      REQUIRE(kernel[p].size() == length);
      for (std::size_t k = 0; k < length; ++k) {
        CHECK(std::abs(taps.taps[p * length + k] - kernel[p].as_array()[k].as_real()) <= 1e-13);
      }
    }
    const core::Value::Array& output = g.at("output").as_array();
    for (std::size_t n = 0; n < output.size(); ++n) {
      const std::size_t phase = n % kernel.size(), row = n / kernel.size();
      double sum = 0.0;
      for (std::size_t k = 0; k < length; ++k) {
        const std::int64_t at =
            static_cast<std::int64_t>(row) * taps.stride + static_cast<std::int64_t>(k) - taps.width;
        sum += taps.taps[phase * length + k] *
               static_cast<double>(x[static_cast<std::size_t>(std::clamp<std::int64_t>(at, 0, 63))]);
      }
      CHECK(std::abs(sum - output[n].as_real()) <= 1e-12);
    }
  }
}

TEST_CASE("configurations are written and read back, and impossible ones refused", "[demucs]") {
  for (const char* name : {"v2", "v1", "light", "light4", "x10"}) {
    const demucs::Configuration c = demucs::named_configuration(name);
    CHECK(demucs::configuration_from_value(demucs::configuration_value(c), "test") == c);
  }
  const auto refused = [](const char* text) {
    CHECK_THROWS_AS(demucs::configuration_from_value(core::parse_json(text, "test"), "test"), Error);
  };
  refused("[]");
  refused("{}");
  refused(R"({"architecture": "umx"})");
  refused(R"({"architecture": "demucs", "depth": 0})");
  refused(R"({"architecture": "demucs", "depth": "6"})");
  refused(R"({"architecture": "demucs", "kernel": 2})");
  refused(R"({"architecture": "demucs", "growth": 1e9})");
  refused(R"({"architecture": "demucs", "glu": 1})");
  refused(R"({"architecture": "demucs", "width": 65536, "depth": 16})");
  refused(R"({"architecture": "demucs", "targets": ["a", "a"]})");
  refused(R"({"architecture": "demucs", "blocks": 3})");
  refused(R"({"architecture": "demucs", "version": 1, "resample": true})");
  refused(R"({"architecture": "conv-tasnet", "filter_length": 21})");
  refused(R"({"architecture": "conv-tasnet", "depth": 3})");
}

TEST_CASE("shifts are drawn from the seed: all of their range, the first version's each once", "[demucs]") {
  demucs::ApplyOptions options;
  options.longest_shift = 9;
  options.shifts = 9;
  std::vector<int> seen(10);
  const auto offset = demucs::drawn_offsets(3, options);
  for (std::int64_t i = 0; i < 400; ++i) {
    for (std::int64_t k = 0; k < 2; ++k) {
      const std::int64_t o = offset(i, k);
      REQUIRE(o >= 0);
      REQUIRE(o <= 9);
      ++seen[static_cast<std::size_t>(o)];
      CHECK(o == demucs::drawn_offsets(3, options)(i, k));
    }
  }
  for (const int count : seen) CHECK(count > 40);
  CHECK(offset(0, 0) * 100 + offset(1, 0) * 10 + offset(2, 1) != demucs::drawn_offsets(4, options)(0, 0) * 100 +
                                                                     demucs::drawn_offsets(4, options)(1, 0) * 10 +
                                                                     demucs::drawn_offsets(4, options)(2, 1));
  options.configuration = demucs::named_configuration("v1");
  const auto first = demucs::drawn_offsets(3, options);
  for (std::int64_t i = 0; i < 20; ++i) {
    std::vector<int> once(9);
    for (std::int64_t k = 0; k < 9; ++k) ++once.at(static_cast<std::size_t>(first(i, k)));
    for (const int count : once) CHECK(count == 1);
  }
}

}  // namespace mss::tests
