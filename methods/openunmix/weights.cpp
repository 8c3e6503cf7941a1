#include "methods/openunmix/weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>

#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"

namespace mss::methods::openunmix {
namespace {

static_assert(std::endian::native == std::endian::little, "values are hashed and stored as they lie in memory");

using core::Value;
using Shape = std::vector<std::int64_t>;
using Shapes = std::map<std::string, Shape, std::less<>>;

constexpr std::array<std::string_view, 3> kArchitectures = {"openunmix", "xumx", "crossskip"};

std::string shape_text(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

[[noreturn]] void bad_configuration(std::string_view where, std::string what, std::string expected, std::string found) {
  throw Error({Code::checkpoint, std::string(where), std::move(what), std::move(expected), std::move(found), ""});
}

int positive(const Value& value, std::string_view key, std::string_view where) {
  const Value* member = value.find(key);
  if (member == nullptr || !member->is_integer() || member->as_integer() < 1 || member->as_integer() > (1 << 24)) {
    bad_configuration(where, fmt::format("configuration: '{}' is missing or impossible", key), "an integer from 1",
                      member == nullptr ? "nothing" : core::dump_json(*member));
  }
  return static_cast<int>(member->as_integer());
}

}  // namespace

std::string_view architecture_name(Architecture architecture) noexcept {
  return kArchitectures[static_cast<std::size_t>(architecture)];
}

Value configuration_value(const Configuration& c) {
  Value out = Value::object();
  out["architecture"] = architecture_name(c.architecture);
  out["rate_hz"] = c.rate_hz;
  out["fft_size"] = c.fft_size;
  out["hop_samples"] = c.hop_samples;
  out["channels"] = c.channels;
  out["bins"] = c.bins;
  out["max_bin"] = c.max_bin;
  out["hidden"] = c.hidden;
  out["layers"] = c.layers;
  out["unidirectional"] = c.unidirectional;
  out["targets"] = Value::array();
  for (const std::string& target : c.targets) out["targets"].push_back(target);
  return out;
}

Configuration configuration_from_value(const Value& value, std::string_view where) {
  if (!value.is_object()) bad_configuration(where, "configuration", "an object", std::string(value.type_name()));
  Configuration c;
  const Value* name = value.find("architecture");
  const auto known = name != nullptr && name->is_string() ? std::ranges::find(kArchitectures, name->as_string())
                                                          : kArchitectures.end();
  if (known == kArchitectures.end()) {
    bad_configuration(where, "configuration: unknown architecture", fmt::format("{}", fmt::join(kArchitectures, ", ")),
                      name == nullptr ? "nothing" : core::dump_json(*name));
  }
  c.architecture = static_cast<Architecture>(known - kArchitectures.begin());
  c.rate_hz = positive(value, "rate_hz", where);
  c.fft_size = positive(value, "fft_size", where);
  c.hop_samples = positive(value, "hop_samples", where);
  c.channels = positive(value, "channels", where);
  c.bins = positive(value, "bins", where);
  c.max_bin = positive(value, "max_bin", where);
  c.hidden = positive(value, "hidden", where);
  c.layers = positive(value, "layers", where);
  const Value* one_way = value.find("unidirectional");
  if (one_way == nullptr || !one_way->is_bool()) {
    bad_configuration(where, "configuration: 'unidirectional' is missing", "true or false",
                      one_way == nullptr ? "nothing" : core::dump_json(*one_way));
  }
  c.unidirectional = one_way->as_bool();
  const Value* targets = value.find("targets");
  if (targets == nullptr || !targets->is_array() || targets->size() == 0) {
    bad_configuration(where, "configuration: 'targets' is missing", "a list of names",
                      targets == nullptr ? "nothing" : core::dump_json(*targets));
  }
  for (const Value& target : targets->as_array()) {
    if (!target.is_string() || target.as_string().empty() ||
        std::ranges::find(c.targets, target.as_string()) != c.targets.end()) {
      bad_configuration(where, "configuration: impossible entry in 'targets'", "different names",
                        core::dump_json(target));
    }
    c.targets.push_back(target.as_string());
  }
  if (c.bins != c.fft_size / 2 + 1 || c.max_bin > c.bins || c.hidden % c.directions() != 0) {
    bad_configuration(where, "configuration: sizes that do not fit together",
                      "bins = fft_size / 2 + 1, max_bin <= bins, an even hidden size for two directions",
                      core::dump_json(value));
  }
  return c;
}

std::map<std::string, std::vector<std::int64_t>, std::less<>> expected_shapes(const Configuration& c) {
  const std::int64_t h = c.hidden, per_direction = c.hidden / c.directions();
  const std::int64_t in = std::int64_t{c.channels} * c.max_bin, out = std::int64_t{c.channels} * c.bins;
  Shapes shapes;
  const auto norm = [&](const std::string& name, std::int64_t size) {
    for (const char* part : {"weight", "bias", "running_mean", "running_var"}) shapes[name + "." + part] = {size};
  };
  shapes["fc1.weight"] = {h, in};
  norm("bn1", h);
  for (int layer = 0; layer < c.layers; ++layer) {
    for (int direction = 0; direction < c.directions(); ++direction) {
      const std::string suffix = fmt::format("_l{}{}", layer, direction == 0 ? "" : "_reverse");
      shapes["lstm.weight_ih" + suffix] = {4 * per_direction, h};
      shapes["lstm.weight_hh" + suffix] = {4 * per_direction, per_direction};
      shapes["lstm.bias_ih" + suffix] = {4 * per_direction};
      shapes["lstm.bias_hh" + suffix] = {4 * per_direction};
    }
  }
  if (c.architecture == Architecture::crossskip) {
    shapes["fc2x.weight"] = {h, (static_cast<std::int64_t>(c.targets.size()) + 1) * h};
  } else {
    shapes["fc2.weight"] = {h, 2 * h};
  }
  norm("bn2", h);
  shapes["fc3.weight"] = {out, h};
  norm("bn3", out);
  shapes["input_mean"] = {c.max_bin};
  shapes["input_scale"] = {c.max_bin};
  shapes["output_mean"] = {c.bins};
  shapes["output_scale"] = {c.bins};
  return shapes;
}

std::string Weights::name() const { return label + "#" + content_hash.substr(0, 8); }

std::int64_t Weights::parameters() const noexcept {
  std::int64_t n = 0;
  for (const auto& [target, arrays] : targets) {
    for (const auto& [key, array] : arrays) {
      if (key.find(".running_") == std::string::npos) n += static_cast<std::int64_t>(array.values.size());
    }
  }
  return n;
}

std::string compute_content_hash(const Configuration& configuration,
                                 const std::map<std::string, Arrays, std::less<>>& targets) {
  core::Sha256 hash;
  hash.update("mssbench-openunmix-weights 1\n");
  hash.update(core::dump_json(configuration_value(configuration)) + "\n");
  for (const auto& [target, arrays] : targets) {
    for (const auto& [key, array] : arrays) {
      hash.update(fmt::format("{}/{} F32 {}\n", target, key, shape_text(array.shape)));
      hash.update(array.values.data(), array.values.size() * sizeof(float));
    }
  }
  return hash.hex_digest();
}

void check_shapes(const Weights& weights, std::string_view where) {
  const Shapes expected = expected_shapes(weights.configuration);
  std::vector<std::string> missing, unexpected, shapes;
  for (const std::string& target : weights.configuration.targets) {
    const auto found = weights.targets.find(target);
    if (found == weights.targets.end()) {
      missing.push_back(target + "/*");
      continue;
    }
    for (const auto& [key, shape] : expected) {
      const auto it = found->second.find(key);
      if (it == found->second.end()) {
        missing.push_back(target + "/" + key);
      } else if (it->second.shape != shape) {
        shapes.push_back(
            fmt::format("{}/{} {} instead of {}", target, key, shape_text(it->second.shape), shape_text(shape)));
      }
    }
    for (const auto& [key, unused] : found->second) {
      if (!expected.contains(key)) unexpected.push_back(target + "/" + key);
    }
  }
  for (const auto& [target, unused] : weights.targets) {
    if (std::ranges::find(weights.configuration.targets, target) == weights.configuration.targets.end()) {
      unexpected.push_back(target + "/*");
    }
  }
  if (missing.empty() && unexpected.empty() && shapes.empty()) return;
  const auto list = [](std::string_view title, const std::vector<std::string>& names) -> std::string {
    if (names.empty()) return "";
    const std::size_t shown = std::min<std::size_t>(names.size(), 5);
    return fmt::format("{} {}: {}{}; ", names.size(), title,
                       fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                       names.size() > shown ? ", …" : "");
  };
  std::string found = list("missing", missing) + list("unexpected", unexpected) + list("of another shape", shapes);
  found.resize(found.size() - 2);
  throw Error({Code::checkpoint, std::string(where), "tensors do not fit the architecture",
               fmt::format("{} with {} targets, H = {}, C = {}, {} of {} bins, {} layers{}",
                           architecture_name(weights.configuration.architecture), weights.configuration.targets.size(),
                           weights.configuration.hidden, weights.configuration.channels, weights.configuration.max_bin,
                           weights.configuration.bins, weights.configuration.layers,
                           weights.configuration.unidirectional ? ", unidirectional" : ""),
               std::move(found), ""});
}

}  // namespace mss::methods::openunmix
