#include "methods/demucs/configuration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <set>
#include <utility>

#include "core/error.h"

namespace mss::methods::demucs {
namespace {

/// For b > 0, rounding up.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

constexpr std::array<std::pair<Architecture, std::string_view>, 2> kNames = {{
    {Architecture::demucs, "demucs"},
    {Architecture::conv_tasnet, "conv-tasnet"},
}};

[[noreturn]] void refuse(std::string_view where, std::string what, std::string expected, std::string found) {
  throw Error({Code::checkpoint, std::string(where), std::move(what), std::move(expected), std::move(found), {}});
}

}  // namespace

std::string_view architecture_name(Architecture architecture) noexcept {
  for (const auto& [value, name] : kNames) {
    if (value == architecture) return name;
  }
  return "";
}

Configuration named_configuration(std::string_view name) {
  Configuration c;
  if (name == "v2") return c;
  if (name == "v1") {
    c.version = 1;
    c.width = 100;
    c.resample = false;
    c.segment_samples = 441000;
    return c;
  }
  if (name == "light" || name == "light4") {
    c.depth = 3;
    c.lstm_layers = 1;
    c.lstm_bidirectional = false;
    c.resample = false;
    c.decoder_per_target = name == "light4";
    return c;
  }
  MSS_ASSERT(name == "x10");
  c.architecture = Architecture::conv_tasnet;
  c.segment_samples = 80000;
  return c;
}

core::Value configuration_value(const Configuration& c) {
  core::Value v = core::Value::object();
  v["architecture"] = std::string(architecture_name(c.architecture));
  v["rate_hz"] = c.rate_hz;
  v["channels"] = c.channels;
  core::Value targets = core::Value::array();
  for (const std::string& target : c.targets) targets.push_back(target);
  v["targets"] = std::move(targets);
  v["segment_samples"] = c.segment_samples;
  if (c.architecture == Architecture::conv_tasnet) {
    v["filters"] = c.filters;
    v["filter_length"] = c.filter_length;
    v["bottleneck"] = c.bottleneck;
    v["hidden"] = c.hidden;
    v["taps"] = c.taps;
    v["blocks"] = c.blocks;
    v["repeats"] = c.repeats;
    return v;
  }
  v["version"] = c.version;
  v["width"] = c.width;
  v["depth"] = c.depth;
  v["kernel"] = c.kernel;
  v["stride"] = c.stride;
  v["context"] = c.context;
  v["growth"] = c.growth;
  v["glu"] = c.glu;
  v["rewrite"] = c.rewrite;
  v["resample"] = c.resample;
  v["normalize"] = c.normalize;
  v["lstm_layers"] = c.lstm_layers;
  v["lstm_bidirectional"] = c.lstm_bidirectional;
  v["decoder_per_target"] = c.decoder_per_target;
  v["rescale"] = c.rescale;
  return v;
}

Configuration configuration_from_value(const core::Value& value, std::string_view where) {
  if (!value.is_object()) refuse(where, "configuration", "an object", std::string(value.type_name()));
  Configuration c;
  const core::Value* name = value.find("architecture");
  const auto known = std::ranges::find_if(kNames, [&](const auto& entry) {
    return name != nullptr && name->is_string() && name->as_string() == entry.second;
  });
  if (known == kNames.end()) {
    refuse(where, "architecture", "demucs or conv-tasnet",
           name != nullptr && name->is_string() ? name->as_string() : "none");
  }
  c.architecture = known->first;
  const core::Value* version = value.find("version");
  if (c.architecture == Architecture::conv_tasnet) {
    c = named_configuration("x10");
  } else if (version != nullptr && version->is_integer() && version->as_integer() == 1) {
    c = named_configuration("v1");
  }

  std::set<std::string, std::less<>> seen{"architecture"};
  const auto integer = [&](const char* key, auto& out, std::int64_t low, std::int64_t high) {
    seen.insert(key);
    const core::Value* v = value.find(key);
    if (v == nullptr) return;
    if (!v->is_integer() || v->as_integer() < low || v->as_integer() > high) {
      refuse(where, fmt::format("'{}' of the configuration", key), fmt::format("a whole number in [{}, {}]", low, high),
             v->is_integer() ? fmt::format("{}", v->as_integer()) : std::string(v->type_name()));
    }
    out = static_cast<std::remove_reference_t<decltype(out)>>(v->as_integer());
  };
  const auto real = [&](const char* key, double& out, double low, double high) {
    seen.insert(key);
    const core::Value* v = value.find(key);
    if (v == nullptr) return;
    if (!v->is_number() || !(v->as_real() >= low && v->as_real() <= high)) {
      refuse(where, fmt::format("'{}' of the configuration", key), fmt::format("a number in [{}, {}]", low, high),
             v->is_number() ? fmt::format("{}", v->as_real()) : std::string(v->type_name()));
    }
    out = v->as_real();
  };
  const auto boolean = [&](const char* key, bool& out) {
    seen.insert(key);
    const core::Value* v = value.find(key);
    if (v == nullptr) return;
    if (!v->is_bool()) {
      refuse(where, fmt::format("'{}' of the configuration", key), "true or false", std::string(v->type_name()));
    }
    out = v->as_bool();
  };
  integer("rate_hz", c.rate_hz, 1, 768000);
  integer("channels", c.channels, 1, 64);
  integer("segment_samples", c.segment_samples, 1, std::int64_t{1} << 40);
  seen.insert("targets");
  if (const core::Value* targets = value.find("targets"); targets != nullptr) {
    constexpr std::size_t kMostTargets = 64;
    if (!targets->is_array() || targets->size() == 0 || targets->size() > kMostTargets) {
      refuse(where, "'targets' of the configuration", fmt::format("a list of 1 to {} names", kMostTargets),
             targets->is_array() ? fmt::format("{} entries", targets->size()) : std::string(targets->type_name()));
    }
    c.targets.clear();
    for (const core::Value& target : targets->as_array()) {
      if (!target.is_string() || target.as_string().empty() ||
          std::ranges::find(c.targets, target.as_string()) != c.targets.end()) {
        refuse(where, "'targets' of the configuration", "names, each once",
               target.is_string() ? "'" + target.as_string() + "'" : std::string(target.type_name()));
      }
      c.targets.push_back(target.as_string());
    }
  }
  if (c.architecture == Architecture::conv_tasnet) {
    integer("filters", c.filters, 1, 1 << 16);
    integer("filter_length", c.filter_length, 2, 1 << 16);
    integer("bottleneck", c.bottleneck, 1, 1 << 16);
    integer("hidden", c.hidden, 1, 1 << 16);
    integer("taps", c.taps, 1, 1025);
    integer("blocks", c.blocks, 1, 30);
    integer("repeats", c.repeats, 1, 1024);
    if (c.filter_length % 2 != 0)
      refuse(where, "'filter_length'", "an even number", fmt::format("{}", c.filter_length));
    if (c.taps % 2 == 0) refuse(where, "'taps'", "an odd number", fmt::format("{}", c.taps));
  } else {
    integer("version", c.version, 1, 2);
    integer("width", c.width, 1, 1 << 16);
    integer("depth", c.depth, 1, 16);
    integer("kernel", c.kernel, 1, 1024);
    integer("stride", c.stride, 1, 1024);
    integer("context", c.context, 1, 1025);
    real("growth", c.growth, 0.01, 100.0);
    boolean("glu", c.glu);
    boolean("rewrite", c.rewrite);
    boolean("resample", c.resample);
    boolean("normalize", c.normalize);
    integer("lstm_layers", c.lstm_layers, 0, 64);
    boolean("lstm_bidirectional", c.lstm_bidirectional);
    boolean("decoder_per_target", c.decoder_per_target);
    real("rescale", c.rescale, 0.0, 1000.0);
    if (c.kernel < c.stride)
      refuse(where, "'kernel'", fmt::format("at least the stride, {}", c.stride), fmt::format("{}", c.kernel));
    // Lengths are multiples of this product (valid_length), and longest_context() looks at all of them.
    constexpr std::int64_t kLongestPeriod = 1 << 20;
    std::int64_t period = 1;
    for (std::int64_t i = 0; i < c.depth && period <= kLongestPeriod; ++i) period *= c.stride;
    if (period > kLongestPeriod) {
      refuse(where, "'stride' and 'depth'", fmt::format("stride to the power of depth of at most {}", kLongestPeriod),
             fmt::format("{} and {}", c.stride, c.depth));
    }
    if (c.version == 1 && (c.resample || c.normalize)) {
      refuse(where, "options of version 1", "neither resample nor normalize", c.resample ? "resample" : "normalize");
    }
    const std::int64_t top = level_channels(c, c.depth - 1);
    if (top < 1 || top > (1 << 20))
      refuse(where, "channels of the innermost level", "1 to 2^20", fmt::format("{}", top));
  }
  for (const auto& [key, unused] : value.as_object()) {
    if (!seen.contains(key))
      refuse(where, "member of the configuration", "one that " + std::string(known->second) + " has", "'" + key + "'");
  }
  return c;
}

std::int64_t level_channels(const Configuration& c, std::int64_t level) noexcept {
  std::int64_t channels = c.width;
  for (std::int64_t i = 0; i < level; ++i) {
    channels = std::min<std::int64_t>(static_cast<std::int64_t>(c.growth * static_cast<double>(channels)),
                                      std::int64_t{1} << 40);
  }
  return channels;
}

std::int64_t valid_length(const Configuration& c, std::int64_t length) noexcept {
  if (c.architecture == Architecture::conv_tasnet) return std::max(length, c.filter_length);
  std::int64_t n = c.resample ? 2 * length : length;
  for (std::int64_t i = 0; i < c.depth; ++i) {
    n = std::max<std::int64_t>(1, ceil_div(n - c.kernel, c.stride) + 1) + c.context - 1;
  }
  for (std::int64_t i = 0; i < c.depth; ++i) n = (n - 1) * c.stride + c.kernel;
  return c.resample ? (n + 1) / 2 : n;
}

std::vector<std::int64_t> encoder_lengths(const Configuration& c, std::int64_t length) {
  std::vector<std::int64_t> out{c.resample ? 2 * length : length};
  for (std::int64_t i = 0; i < c.depth; ++i) out.push_back((out.back() - c.kernel) / c.stride + 1);
  return out;
}

std::int64_t output_length(const Configuration& c, std::int64_t length) noexcept {
  if (c.architecture == Architecture::conv_tasnet) return length;
  std::int64_t n = encoder_lengths(c, length).back();
  for (std::int64_t i = 0; i < c.depth; ++i) {
    if (c.rewrite) n -= c.context - 1;
    n = (n - 1) * c.stride + c.kernel;
  }
  return c.resample ? n / 2 : n;
}

std::int64_t longest_context(const Configuration& c) noexcept {
  if (c.architecture == Architecture::conv_tasnet) return c.filter_length - 1;
  // What is added repeats with the product of the strides, once the length fills every kernel.
  std::int64_t period = 1;
  for (std::int64_t i = 0; i < c.depth; ++i) period *= c.stride;
  std::int64_t most = 0;
  for (std::int64_t n = 1; n <= 2 * period + c.kernel; ++n) most = std::max(most, valid_length(c, n) - n);
  return most;
}

SincTaps sinc_taps(std::int64_t before, std::int64_t after) {
  MSS_ASSERT(before >= 1 && after >= 1);
  constexpr double kZeros = 24.0, kRolloff = 0.945;
  const std::int64_t common = std::gcd(before, after);
  const auto from = static_cast<double>(before / common), to = static_cast<double>(after / common);
  SincTaps out{.phases = after / common, .stride = before / common, .width = 0, .taps = {}};
  const double rate = std::min(from, to) * kRolloff;
  out.width = static_cast<std::int64_t>(std::ceil(kZeros * from / rate));
  for (std::int64_t p = 0; p < out.phases; ++p) {
    std::vector<double> row;
    double sum = 0.0;
    for (std::int64_t n = -out.width; n < out.width + out.stride; ++n) {
      const double at = (static_cast<double>(n) / from - static_cast<double>(p) / to) * rate;
      const double t = std::clamp(at, -kZeros, kZeros) * std::numbers::pi;
      const double window = std::cos(t / (2.0 * kZeros));
      row.push_back((t == 0.0 ? 1.0 : std::sin(t) / t) * window * window);
      sum += row.back();
    }
    for (const double tap : row) out.taps.push_back(tap / sum);
  }
  return out;
}

}  // namespace mss::methods::demucs
