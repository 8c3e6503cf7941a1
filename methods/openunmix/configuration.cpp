#include "methods/openunmix/configuration.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/json.h"
#include "methods/openunmix/model.h"
#include "nn/trace.h"

namespace mss::methods::openunmix {
namespace {

using core::Value;

constexpr std::array<std::string_view, 3> kArchitectures = {"openunmix", "xumx", "crossskip"};

[[noreturn]] void bad_configuration(std::string_view where, std::string what, std::string expected, std::string found) {
  throw Error({Code::checkpoint, std::string(where), std::move(what), std::move(expected), std::move(found), ""});
}

/// Networks are listed name by name before any of their tensors is read: what a file may claim is bounded.
constexpr int kMostTargets = 64, kMostLayers = 64, kMostHidden = 1 << 16, kMostSamples = 1 << 24;

int positive(const Value& value, std::string_view key, int most, std::string_view where) {
  const Value* member = value.find(key);
  if (member == nullptr || !member->is_integer() || member->as_integer() < 1 || member->as_integer() > most) {
    bad_configuration(where, fmt::format("configuration: '{}' is missing or impossible", key),
                      fmt::format("an integer from 1 to {}", most),
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
  c.rate_hz = positive(value, "rate_hz", kMostSamples, where);
  c.fft_size = positive(value, "fft_size", kMostSamples, where);
  c.hop_samples = positive(value, "hop_samples", kMostSamples, where);
  c.channels = positive(value, "channels", 64, where);
  c.bins = positive(value, "bins", kMostSamples, where);
  c.max_bin = positive(value, "max_bin", kMostSamples, where);
  c.hidden = positive(value, "hidden", kMostHidden, where);
  c.layers = positive(value, "layers", kMostLayers, where);
  const Value* one_way = value.find("unidirectional");
  if (one_way == nullptr || !one_way->is_bool()) {
    bad_configuration(where, "configuration: 'unidirectional' is missing", "true or false",
                      one_way == nullptr ? "nothing" : core::dump_json(*one_way));
  }
  c.unidirectional = one_way->as_bool();
  const Value* targets = value.find("targets");
  if (targets == nullptr || !targets->is_array() || targets->size() == 0 || targets->size() > kMostTargets) {
    bad_configuration(where, "configuration: 'targets' is missing or impossible",
                      fmt::format("a list of 1 to {} names", kMostTargets),
                      targets == nullptr    ? "nothing"
                      : targets->is_array() ? fmt::format("{} entries", targets->size())
                                            : core::dump_json(*targets));
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

Configuration named_configuration(std::string_view name, Architecture architecture) {
  Configuration c;
  c.architecture = architecture;
  c.targets = {"vocals", "drums", "bass", "other"};
  if (architecture != Architecture::openunmix) c.targets = {"bass", "drums", "vocals", "other"};
  if (name == "umx" || name == "umxhq") return c;
  if (name == "umxl") {
    c.hidden = 1024;
    return c;
  }
  if (name == "umxse" && architecture == Architecture::openunmix) {
    c.targets = {"speech", "noise"};
    c.rate_hz = 16000;
    c.fft_size = 1024;
    c.hop_samples = 512;
    c.channels = 1;
    c.bins = c.max_bin = 513;
    c.hidden = 256;
    return c;
  }
  throw Error({.code = Code::config,
               .where = std::string(name),
               .what = "no such named configuration",
               .expected = architecture == Architecture::openunmix ? "umx, umxhq, umxl or umxse" : "umx, umxhq or umxl",
               .found = {},
               .hint = {}});
}

namespace {

Listings list(const Value& value) {
  const Configuration c = configuration_from_value(value, "configuration");
  Listings out;
  // All targets' networks have the same tensors.
  nn::Listing listing;
  const Network<nn::Trace> network(nn::Trace::Scope(listing), c);
  for (const std::string& target : c.targets) out[target] = listing;
  return out;
}

double macs_per_second(const Value& value) {
  const Configuration c = configuration_from_value(value, "configuration");
  const std::int64_t frames = 10 * c.rate_hz / c.hop_samples;
  nn::Listing listing;
  const Model<nn::Trace> model(nn::Trace::Scope(listing), c);
  model.masks({1, frames, c.channels * c.max_bin, &listing});
  return static_cast<double>(listing.macs) * c.rate_hz / static_cast<double>(frames * c.hop_samples);
}

std::string timing(const Value& value) {
  const Configuration c = configuration_from_value(value, "configuration");
  return fmt::format("{} Hz, FFT {}, hop {}", c.rate_hz, c.fft_size, c.hop_samples);
}

NetworkFamily make_family() {
  NetworkFamily out;
  out.name = "openunmix";
  out.title = "Open-Unmix";
  out.files_help =
      "a folder such as umxhq's, with separator.json and one TARGET-HASH.pth per target; what its trainer wrote; "
      "single "
      ".pth or .chkpnt files; X-UMX with asteroid's names; .safetensors";
  out.examples = {
      {"mssbench import openunmix umxhq/ -o umxhq.safetensors", "then separate -m umx:weights=umxhq.safetensors"},
      {"mssbench import openunmix best.pth --target vocals -o mine.safetensors", "one target, any file name"},
      {"mssbench import openunmix ~/.cache/torch/hub/checkpoints/*-{b62c91ce,9619578f,8d85a5bd,b52fbbf7}.pth "
       "-o umxhq.safetensors",
       "what the Python package has downloaded already"}};
  // Zenodo records 3370486 (umx), 3370489 (umxhq), 5069601 (umxl) and 3786908 (umxse).
  out.official = {{"c8df74a5", "umx", "vocals"},   {"5a48008b", "umx", "drums"},    {"646024d3", "umx", "bass"},
                  {"f8e132cc", "umx", "other"},    {"b62c91ce", "umxhq", "vocals"}, {"9619578f", "umxhq", "drums"},
                  {"8d85a5bd", "umxhq", "bass"},   {"b52fbbf7", "umxhq", "other"},  {"bccbd9aa", "umxl", "vocals"},
                  {"69e0ebd4", "umxl", "drums"},   {"2ca1ce51", "umxl", "bass"},    {"c8c5b3e6", "umxl", "other"},
                  {"f5e0d9f9", "umxse", "speech"}, {"04a6fc2d", "umxse", "noise"}};
  out.trained_on = {{"umx", {"MUSDB18", ""}},
                    {"umxhq", {"MUSDB18-HQ", ""}},
                    {"umxl", {"", "private music beyond MUSDB18"}},
                    {"umxse", {"", "speech and noise (Voice Bank, DEMAND)"}}};
  out.normalise = [](const Value& value, std::string_view where) {
    return configuration_value(configuration_from_value(value, where));
  };
  out.list = list;
  out.sizes = [](const Value& value) { return sizes_text(configuration_from_value(value, "configuration")); };
  out.timing = timing;
  out.macs_per_second = macs_per_second;
  out.recognises = recognises;
  out.import = import_files;
  out.state_dict = state_dict;
  return out;
}

}  // namespace

std::string sizes_text(const Configuration& c) {
  return fmt::format("H = {}, C = {}, {} of {} bins, {} layers{}", c.hidden, c.channels, c.max_bin, c.bins, c.layers,
                     c.unidirectional ? ", unidirectional" : "");
}

const NetworkFamily& family() {
  static const NetworkFamily made = make_family();
  return made;
}

}  // namespace mss::methods::openunmix
