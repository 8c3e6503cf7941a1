#include "methods/bsrnn/bands.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"

namespace mss::methods::bsrnn {
namespace {

constexpr BandStep kV1[] = {{21000, 1000}};
constexpr BandStep kV2[] = {{16000, 1000}, {20000, 2000}};
constexpr BandStep kV3[] = {{8000, 1000}, {16000, 2000}, {20000, 4000}};
constexpr BandStep kV4[] = {{1000, 100}, {8000, 1000}, {16000, 2000}, {20000, 4000}};
constexpr BandStep kV5[] = {{1000, 100}, {16000, 1000}, {20000, 2000}};
constexpr BandStep kV6[] = {{1000, 100}, {4000, 500}, {8000, 1000}, {16000, 2000}, {20000, 4000}};
constexpr BandStep kV7[] = {{1000, 100}, {4000, 250}, {8000, 500}, {16000, 1000}, {20000, 2000}};
constexpr BandStep kBass[] = {{500, 50}, {1000, 100}, {4000, 500}, {8000, 1000}, {16000, 2000}};
constexpr BandStep kDrums[] = {{1000, 50}, {2000, 100}, {4000, 250}, {8000, 500}, {16000, 1000}};
constexpr BandStep kJoint[] = {{1000, 50}, {2000, 100}, {4000, 250}, {8000, 500}, {16000, 1000}, {20000, 2000}};

constexpr std::array<BandScheme, 10> kSchemes = {{{"V1", kV1},
                                                  {"V2", kV2},
                                                  {"V3", kV3},
                                                  {"V4", kV4},
                                                  {"V5", kV5},
                                                  {"V6", kV6},
                                                  {"V7", kV7},
                                                  {"bass", kBass},
                                                  {"drums", kDrums},
                                                  {"joint", kJoint}}};

}  // namespace

std::string_view rule_name(BandRule rule) noexcept { return rule == BandRule::edge ? "edge" : "floor"; }

std::int64_t BandScheme::bands() const noexcept {
  std::int64_t count = 1;
  int from = 0;
  for (const BandStep& step : steps) {
    count += (step.until_hz - from) / step.width_hz;
    from = step.until_hz;
  }
  return count;
}

std::span<const BandScheme> band_schemes() noexcept { return kSchemes; }

const BandScheme& band_scheme(std::string_view name) {
  const auto at = std::ranges::find_if(kSchemes, [name](const BandScheme& s) { return s.name == name; });
  if (at != kSchemes.end()) return *at;
  throw Error({Code::config,
               "bands",
               "there is no band scheme of this name",
               "V1 … V7, bass, drums, joint",
               std::string(name),
               {}});
}

std::string_view scheme_for_target(std::string_view target) noexcept {
  return target == "bass" || target == "drums" ? target : std::string_view("V7");
}

std::vector<std::int64_t> band_widths(std::string_view scheme, BandRule rule, int rate_hz, int fft_size) {
  const BandScheme& s = band_scheme(scheme);
  const std::int64_t bins = fft_size / 2 + 1;
  std::vector<std::int64_t> widths;
  std::int64_t at = 0;
  int from = 0;
  const auto add = [&](std::int64_t width) {
    if (width < 1 || at + width > bins) {
      throw Error({Code::invalid_argument,
                   fmt::format("bands {} ({} rule)", s.name, rule_name(rule)),
                   "a band has no bins",
                   "a transform that is fine enough for the scheme",
                   fmt::format("{} bins at {} Hz", bins, rate_hz),
                   {}});
    }
    widths.push_back(width);
    at += width;
  };
  for (const BandStep& step : s.steps) {
    for (int hz = from + step.width_hz; hz <= step.until_hz; hz += step.width_hz) {
      if (rule == BandRule::floor) {
        add(2 * std::int64_t{step.width_hz} * bins / rate_hz);
      } else {
        // Bins i with i * rate / fft < hz.
        add((std::int64_t{hz} * fft_size + rate_hz - 1) / rate_hz - at);
      }
    }
    from = step.until_hz;
  }
  add(bins - at);
  return widths;
}

std::vector<std::int64_t> band_edges(std::span<const std::int64_t> widths) {
  std::vector<std::int64_t> edges{0};
  for (const std::int64_t width : widths) edges.push_back(edges.back() + width);
  return edges;
}

}  // namespace mss::methods::bsrnn
