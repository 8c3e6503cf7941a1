// Band tables, profiles, parameter counts and costs.
#include <cmath>

#include "core/error.h"
#include "methods/bsrnn/bands.h"
#include "methods/bsrnn/configuration.h"
#include "methods/bsrnn/family.h"
#include "methods/bsrnn/model.h"
#include "nn/trace.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::methods::bsrnn;

namespace {

using Edges = std::vector<std::int64_t>;

Edges edges(std::string_view scheme, BandRule rule) { return band_edges(band_widths(scheme, rule)); }

nn::Listing list(const Configuration& c) {
  nn::Listing listing;
  const BandSplitRnn<nn::Trace> model(nn::Trace::Scope(listing), c);
  return listing;
}

std::int64_t count(const Configuration& c) { return list(c).parameters(); }

Configuration at_frames(Configuration c, std::int64_t frames) {
  c.norm_frames = frames;
  return c;
}

}  // namespace

TEST_CASE("band tables are those of the literature, under both rules", "[bsrnn]") {
  for (const auto& [name, bands] : std::vector<std::pair<std::string, std::int64_t>>{{"V1", 22},
                                                                                     {"V2", 19},
                                                                                     {"V3", 14},
                                                                                     {"V4", 23},
                                                                                     {"V5", 28},
                                                                                     {"V6", 26},
                                                                                     {"V7", 41},
                                                                                     {"bass", 30},
                                                                                     {"drums", 55},
                                                                                     {"joint", 57}}) {
    INFO(name);
    CHECK(band_scheme(name).bands() == bands);
    for (const BandRule rule : {BandRule::edge, BandRule::floor}) {
      CHECK(static_cast<std::int64_t>(band_widths(name, rule).size()) == bands);
      CHECK(edges(name, rule).back() == 1025);
    }
  }
  CHECK(edges("V7", BandRule::edge) == Edges{0,   5,   10,  14,  19,  24,  28,  33,  38,  42,  47,  59,  70,  82,
                                             93,  105, 117, 128, 140, 151, 163, 175, 186, 209, 233, 256, 279, 302,
                                             326, 349, 372, 418, 465, 511, 558, 604, 651, 697, 744, 836, 929, 1025});
  CHECK(edges("bass", BandRule::edge) == Edges{0,   3,   5,   7,   10,  12,  14,  17,  19,  21,  24,
                                               28,  33,  38,  42,  47,  70,  93,  117, 140, 163, 186,
                                               233, 279, 326, 372, 465, 558, 651, 744, 1025});
  CHECK(edges("drums", BandRule::edge) == Edges{0,   3,   5,   7,   10,  12,  14,  17,  19,  21,  24,  26,  28,  31,
                                                33,  35,  38,  40,  42,  45,  47,  52,  56,  61,  66,  70,  75,  79,
                                                84,  89,  93,  105, 117, 128, 140, 151, 163, 175, 186, 209, 233, 256,
                                                279, 302, 326, 349, 372, 418, 465, 511, 558, 604, 651, 697, 744, 1025});
  const auto floor_edges = [](std::initializer_list<std::pair<std::int64_t, std::int64_t>> runs) {
    Edges out{0};
    for (const auto& [step, until] : runs) {
      while (out.back() < until) out.push_back(out.back() + step);
    }
    out.push_back(1025);
    return out;
  };
  CHECK(edges("V7", BandRule::floor) == floor_edges({{4, 40}, {11, 172}, {23, 356}, {46, 724}, {92, 908}}));
  CHECK(edges("bass", BandRule::floor) == floor_edges({{2, 20}, {4, 40}, {23, 178}, {46, 362}, {92, 730}}));
  CHECK(edges("drums", BandRule::floor) == floor_edges({{2, 40}, {4, 80}, {11, 168}, {23, 352}, {46, 720}}));
  CHECK_THROWS_AS(band_scheme("V8"), Error);
  CHECK_THROWS_AS(band_widths("drums", BandRule::floor, 44100, 512), Error);
}

TEST_CASE("parameter counts come from the listing and are the published ones", "[bsrnn]") {
  CHECK(count(profile_configuration("paper", {"vocals"})) == 25'648'264);
  CHECK(count(profile_configuration("paper", {"bass"})) == 24'917'512);
  CHECK(count(profile_configuration("paper", {"drums"})) == 26'578'312);
  CHECK(count(profile_configuration("paper", {"other"}, "large", "features")) == 25'648'264);
  CHECK(count(profile_configuration("paper", {"vocals"}, "large", "frame")) == 25'648'264);
  CHECK(count(profile_configuration("authors", {"vocals"})) == 36'417'160);
  CHECK(count(profile_configuration("authors", {"bass"})) == 32'797'192);
  CHECK(count(profile_configuration("authors", {"drums"})) == 41'024'392);
  CHECK(count(profile_configuration("amanteur", {"vocals"})) == 32'414'628);
  CHECK(count(profile_configuration("amanteur", {"bass"})) == 33'371'812);
  CHECK(count(profile_configuration("amanteur", {"drums"})) == 35'954'340);
  CHECK(count(at_frames(profile_configuration("amanteur", {"vocals"}), 517)) == 37'163'412);
  CHECK(count(at_frames(profile_configuration("amanteur", {"bass"}), 517)) == 37'405'332);
  CHECK(count(at_frames(profile_configuration("amanteur", {"drums"}), 517)) == 41'613'460);
  CHECK(count(profile_configuration("magron", {"vocals"}, "small")) == 8'020'296);
  CHECK(count(profile_configuration("magron", {"bass"}, "small")) == 7'111'432);
  // With its options: counted by PyTorch over the same modules (benchmarks/peers/bsrnn/networks.py).
  const auto opt = [](Configuration c, bool tac) {
    c.attention_heads = 2;
    if (tac) {
      c.tac_hidden = 384;
      c.tac_prelu = true;
    }
    return c;
  };
  const std::vector<std::string> four = {"vocals", "bass", "drums", "other"};
  CHECK(count(opt(profile_configuration("magron", {"vocals"}), true)) == 40'777'192);
  CHECK(count(opt(profile_configuration("magron", {"bass"}), true)) == 37'072'744);
  CHECK(count(opt(profile_configuration("magron", {"vocals"}), false)) == 37'227'484);
  CHECK(count(opt(profile_configuration("magron", four), true)) == 108'727'540);
  Configuration simo = profile_configuration("magron", four, "small");
  simo.subtract_last = true;
  CHECK(count(simo) == 20'861'520);
}

TEST_CASE("multiply-accumulates per second of stereo are those of the literature", "[bsrnn]") {
  for (const auto& [target, expected] :
       std::vector<std::pair<std::string, double>>{{"vocals", 145e9}, {"bass", 106e9}, {"drums", 195e9}}) {
    INFO(target);
    const Configuration c = profile_configuration("paper", {target});
    nn::Listing listing;
    const BandSplitRnn<nn::Trace> model(nn::Trace::Scope(listing), c);
    constexpr std::int64_t kFrames = 100;
    const auto out = model.forward({2, kFrames, c.spectrum_channels(), &listing});
    REQUIRE(out.size() == 1);
    CHECK(out[0].C == c.spectrum_channels());
    const double per_second = static_cast<double>(listing.macs) / kFrames * c.rate_hz / c.hop_samples;
    INFO(per_second);
    CHECK(std::abs(per_second / expected - 1) < 0.01);
    // Ten seconds are a whole number of frames; what records say is the same.
    CHECK(std::abs(family().macs_per_second(set_value({c}, "here")) / per_second - 1) < 1e-9);
  }
}

TEST_CASE("every option of a profile fits together in shapes", "[bsrnn]") {
  std::vector<Configuration> all;
  all.push_back(profile_configuration("paper", {"vocals"}, "small", "frame"));
  all.push_back(profile_configuration("authors", {"vocals", "bass", "drums", "other"}));
  all.back().projection = true;
  all.push_back(profile_configuration("amanteur", {"drums"}));
  all.push_back(profile_configuration("magron", {"vocals", "bass", "drums", "other"}, "small"));
  all.back().subtract_last = true;
  all.back().tac_hidden = 3 * all.back().features;
  all.back().tac_prelu = true;
  all.back().attention_heads = 2;
  all.push_back(profile_configuration("magron", {"vocals"}, "small"));
  all.back().joint = true;
  for (const Configuration& c : all) {
    check(c);
    nn::Listing listing;
    const BandSplitRnn<nn::Trace> model(nn::Trace::Scope(listing), c);
    const std::int64_t frames = c.norm_frames > 0 ? c.norm_frames : 40;
    const auto out = model.forward({4, frames, c.spectrum_channels(), &listing});
    CHECK(out.size() == c.targets.size());
    for (const auto& y : out) {
      CHECK(y.B == 4);
      CHECK(y.T == frames);
      CHECK(y.C == c.spectrum_channels());
    }
  }
}

TEST_CASE("a configuration survives its JSON and refuses what no network has", "[bsrnn]") {
  for (const char* profile : {"paper", "authors", "amanteur", "magron"}) {
    const Configuration c = profile_configuration(profile, {"drums"}, "small");
    CHECK(configuration_value(configuration_from(configuration_value(c), "here")) == configuration_value(c));
  }
  core::Value value = configuration_value(profile_configuration("paper", {"vocals"}));
  value["pairs"] = 0;
  CHECK_THROWS_AS(configuration_from(value, "here"), Error);
  value["pairs"] = 12;
  value["widths"].push_back(3);
  CHECK_THROWS_AS(configuration_from(value, "here"), Error);
  CHECK_THROWS_AS(profile_configuration("nobody", {"vocals"}), Error);
  CHECK_THROWS_AS(profile_configuration("authors", {"vocals"}, "large", "frame"), Error);
  CHECK_THROWS_AS(profile_configuration("paper", {"vocals"}, "huge"), Error);
}
