#include "methods/bsrnn/configuration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "core/json.h"

namespace mss::methods::bsrnn {
namespace {

using core::Value;

constexpr std::array<std::string_view, 3> kNorms = {"chunk", "frame", "element"};
constexpr std::array<std::string_view, 4> kProfiles = {"paper", "authors", "amanteur", "magron"};
/// Frames of amanteur's chunk: 3 s and the padding that its separator adds, 134144 samples.
constexpr std::int64_t kAmanteurFrames = 263;

[[noreturn]] void refuse(std::string_view where, std::string what, std::string expected, std::string found,
                         Code code = Code::config) {
  throw Error({code, std::string(where), std::move(what), std::move(expected), std::move(found), {}});
}

/// The bands of one network for these targets.
std::string scheme_for(const std::vector<std::string>& targets) {
  return targets.size() == 1 ? std::string(scheme_for_target(targets[0])) : std::string("joint");
}

}  // namespace

std::string_view norm_name(BandNorm norm) noexcept { return kNorms[static_cast<std::size_t>(norm)]; }

Configuration profile_configuration(std::string_view profile, const std::vector<std::string>& targets,
                                    std::string_view size, std::string_view norm) {
  if (std::ranges::find(kProfiles, profile) == kProfiles.end()) {
    refuse("bsrnn", "there is no profile of this name", fmt::format("{}", fmt::join(kProfiles, ", ")),
           std::string(profile));
  }
  if (targets.empty()) refuse("bsrnn", "a network needs targets", "at least one", "none");
  Configuration c;
  c.profile = profile;
  c.targets = targets;
  c.scheme = scheme_for(targets);
  if (size == "small") {
    c.features = 64;
    c.pairs = 8;
    c.lstm_hidden = 128;
    c.mask_hidden = 256;
  } else if (size != "large") {
    refuse("bsrnn", "there is no size of this name", "large, small", std::string(size));
  }
  if (!norm.empty() && profile != "paper") {
    refuse("bsrnn", fmt::format("the norm is part of profile {}", profile), "norm only with profile paper",
           std::string(norm));
  }
  if (profile == "paper") {
    if (norm == "features") {
      c.block_groups = c.features;
    } else if (norm == "frame") {
      c.band_norm = c.mask_norm = BandNorm::frame;
    } else if (!norm.empty() && norm != "chunk") {
      refuse("bsrnn", "there is no norm of this name", "chunk, features, frame", std::string(norm));
    }
  } else if (profile == "authors" || profile == "magron") {
    c.rule = BandRule::floor;
    c.mask_layers = 2;
    c.eps = profile == "authors" ? 1.1920928955078125e-07 : 1e-7;
  } else {
    c.joint = true;
    c.standardise = true;
    c.gate_layer = true;
    c.band_norm = c.mask_norm = BandNorm::element;
    c.block_groups = c.features;
    c.norm_frames = kAmanteurFrames;
  }
  c.widths = band_widths(c.scheme, c.rule, c.rate_hz, c.fft_size);
  check(c);
  return c;
}

namespace {

void wants(bool right, std::string_view what, std::string expected, std::string found) {
  if (!right)
    refuse("bsrnn configuration", std::string(what), std::move(expected), std::move(found), Code::invalid_argument);
}

void positive(std::string_view name, std::int64_t value, std::int64_t most) {
  wants(value >= 1 && value <= most, name, fmt::format("1 to {}", most), std::to_string(value));
}

/// What widths of bands are computed from.
void check_transform(const Configuration& c) {
  positive("rate_hz", c.rate_hz, 768000);
  positive("fft_size", c.fft_size, 65536);
  wants(c.fft_size % 2 == 0, "fft_size", "an even number", std::to_string(c.fft_size));
  positive("hop_samples", c.hop_samples, c.fft_size);
}

}  // namespace

void check(const Configuration& c) {
  check_transform(c);
  positive("features", c.features, 65536);
  positive("pairs", c.pairs, 1024);
  positive("lstm_hidden", c.lstm_hidden, 65536);
  positive("mask_hidden", c.mask_hidden, 65536);
  positive("mask_layers", c.mask_layers, 16);
  positive("block_groups", c.block_groups, c.features);
  wants(c.features % c.block_groups == 0, "block_groups", fmt::format("a divisor of {}", c.features),
        std::to_string(c.block_groups));
  positive("targets", static_cast<std::int64_t>(c.targets.size()), 64);
  for (std::size_t i = 0; i < c.targets.size(); ++i) {
    wants(!c.targets[i].empty() && std::find(c.targets.begin(), c.targets.begin() + static_cast<std::ptrdiff_t>(i),
                                             c.targets[i]) == c.targets.begin() + static_cast<std::ptrdiff_t>(i),
          "targets", "names that differ", fmt::format("{}", fmt::join(c.targets, ", ")));
  }
  positive("bands", c.bands(), c.bins());
  // Every band has tensors of its own for each target; what a file may claim is bounded before they are listed.
  constexpr std::int64_t kMostMasks = 1 << 14;
  positive("bands times targets", c.bands() * static_cast<std::int64_t>(c.targets.size()), kMostMasks);
  for (const std::int64_t width : c.widths) positive("width of a band", width, c.bins());
  const std::int64_t sum = std::accumulate(c.widths.begin(), c.widths.end(), std::int64_t{0});
  wants(sum == c.bins(), "widths of the bands", fmt::format("{} bins together", c.bins()), std::to_string(sum));
  wants(c.eps > 0 && c.eps < 1, "eps", "above 0 and below 1", fmt::format("{}", c.eps));
  const bool by_element = c.band_norm == BandNorm::element || c.mask_norm == BandNorm::element;
  wants(by_element ? c.norm_frames >= 1 && c.norm_frames < 1'000'000 : c.norm_frames == 0, "norm_frames",
        by_element ? "frames of a chunk" : "0: these norms have no weights per frame", std::to_string(c.norm_frames));
  wants(!c.subtract_last || c.targets.size() > 1, "subtract_last", "two targets or more", "one");
  wants(!c.projection || (c.targets.size() > 1 && !c.subtract_last), "projection", "masks of two targets or more",
        "one mask, or a target that is what the others leave");
  wants(c.tac_hidden == 0 || !c.joint, "tac_hidden", "channels as items", "channels in one vector");
  wants(c.tac_hidden >= 0 && c.tac_hidden <= 65536, "tac_hidden", "0 to 65536", std::to_string(c.tac_hidden));
  wants(c.attention_heads >= 0 && c.attention_heads <= c.features &&
            (c.attention_heads == 0 || c.features % c.attention_heads == 0),
        "attention_heads", fmt::format("0 or a divisor of {}", c.features), std::to_string(c.attention_heads));
  if (c.attention_heads > 0) positive("attention_width", c.attention_width, 65536);
}

Value configuration_value(const Configuration& c) {
  Value out = Value::object();
  out["profile"] = c.profile;
  out["targets"] = Value::array();
  for (const std::string& target : c.targets) out["targets"].push_back(target);
  out["rate_hz"] = c.rate_hz;
  out["fft_size"] = c.fft_size;
  out["hop_samples"] = c.hop_samples;
  out["bands"] = c.scheme;
  out["rule"] = rule_name(c.rule);
  out["widths"] = Value::array();
  for (const std::int64_t width : c.widths) out["widths"].push_back(width);
  out["joint"] = c.joint;
  out["features"] = c.features;
  out["pairs"] = c.pairs;
  out["lstm_hidden"] = c.lstm_hidden;
  out["mask_hidden"] = c.mask_hidden;
  out["mask_layers"] = c.mask_layers;
  out["gate_layer"] = c.gate_layer;
  out["band_norm"] = norm_name(c.band_norm);
  out["mask_norm"] = norm_name(c.mask_norm);
  out["block_groups"] = c.block_groups;
  out["norm_frames"] = c.norm_frames;
  out["eps"] = c.eps;
  out["standardise"] = c.standardise;
  out["projection"] = c.projection;
  out["subtract_last"] = c.subtract_last;
  out["tac_hidden"] = c.tac_hidden;
  out["tac_prelu"] = c.tac_prelu;
  out["attention_heads"] = c.attention_heads;
  out["attention_width"] = c.attention_width;
  return out;
}

Configuration configuration_from(const Value& value, std::string_view where) {
  if (!value.is_object()) refuse(where, "configuration", "an object", std::string(value.type_name()), Code::format);
  Configuration c;
  const Value known = configuration_value(c);
  for (const auto& [key, unused] : value.as_object()) {
    if (known.find(key) == nullptr) refuse(where, "configuration: unknown key", "one of ours", key, Code::format);
  }
  try {
    const auto text = [&](const char* key, std::string& to) {
      if (const Value* v = value.find(key)) to = v->as_string(key);
    };
    const auto number = [&](const char* key, auto& to) {
      using Number = std::remove_reference_t<decltype(to)>;
      const Value* v = value.find(key);
      if (v == nullptr) return;
      const std::int64_t n = v->as_integer(key);
      if (!std::in_range<Number>(n)) refuse(where, key, "a smaller number", std::to_string(n), Code::format);
      to = static_cast<Number>(n);
    };
    const auto flag = [&](const char* key, bool& to) {
      if (const Value* v = value.find(key)) to = v->as_bool(key);
    };
    const auto norm = [&](const char* key, BandNorm& to) {
      const Value* v = value.find(key);
      if (v == nullptr) return;
      const auto at = std::ranges::find(kNorms, v->as_string(key));
      if (at == kNorms.end()) refuse(where, key, "chunk, frame, element", v->as_string(key), Code::format);
      to = static_cast<BandNorm>(at - kNorms.begin());
    };
    text("profile", c.profile);
    if (const Value* v = value.find("targets")) {
      c.targets.clear();
      for (const Value& target : v->as_array("targets")) c.targets.push_back(target.as_string("targets"));
    }
    number("rate_hz", c.rate_hz);
    number("fft_size", c.fft_size);
    number("hop_samples", c.hop_samples);
    text("bands", c.scheme);
    std::string rule(rule_name(c.rule));
    text("rule", rule);
    if (rule != "edge" && rule != "floor") refuse(where, "rule", "edge, floor", rule, Code::format);
    c.rule = rule == "edge" ? BandRule::edge : BandRule::floor;
    if (const Value* v = value.find("widths")) {
      for (const Value& width : v->as_array("widths")) c.widths.push_back(width.as_integer("widths"));
    } else {
      check_transform(c);
      c.widths = band_widths(c.scheme, c.rule, c.rate_hz, c.fft_size);
    }
    flag("joint", c.joint);
    number("features", c.features);
    number("pairs", c.pairs);
    number("lstm_hidden", c.lstm_hidden);
    number("mask_hidden", c.mask_hidden);
    number("mask_layers", c.mask_layers);
    flag("gate_layer", c.gate_layer);
    norm("band_norm", c.band_norm);
    norm("mask_norm", c.mask_norm);
    number("block_groups", c.block_groups);
    number("norm_frames", c.norm_frames);
    if (const Value* v = value.find("eps")) c.eps = v->as_real("eps");
    flag("standardise", c.standardise);
    flag("projection", c.projection);
    flag("subtract_last", c.subtract_last);
    number("tac_hidden", c.tac_hidden);
    flag("tac_prelu", c.tac_prelu);
    number("attention_heads", c.attention_heads);
    number("attention_width", c.attention_width);
    check(c);
  } catch (const Error& e) {
    refuse(where, fmt::format("configuration: {}", e.parts().what), e.parts().expected, e.parts().found, Code::format);
  }
  return c;
}

}  // namespace mss::methods::bsrnn
