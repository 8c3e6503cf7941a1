#include "methods/openunmix/weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numbers>
#include <set>
#include <utility>

#include "checkpoints/pytorch.h"
#include "checkpoints/safetensors.h"
#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/parallel.h"
#include "core/text.h"

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

std::string target_hash(const Arrays& arrays) {
  core::Sha256 hash;
  for (const auto& [key, array] : arrays) {
    hash.update(fmt::format("{} F32 {}\n", key, shape_text(array.shape)));
    hash.update(array.values.data(), array.values.size() * sizeof(float));
  }
  return hash.hex_digest();
}

std::string combined_hash(const Configuration& configuration, const std::map<std::string, std::string>& targets) {
  core::Sha256 hash;
  hash.update("mssbench-openunmix-weights 1\n");
  hash.update(core::dump_json(configuration_value(configuration)) + "\n");
  for (const auto& [target, digest] : targets) hash.update(fmt::format("{} {}\n", target, digest));
  return hash.hex_digest();
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
  std::map<std::string, std::string> hashes;
  for (const auto& [target, arrays] : targets) hashes[target] = target_hash(arrays);
  return combined_hash(configuration, hashes);
}

namespace {

std::string listed(std::string_view title, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  const std::size_t shown = std::min<std::size_t>(names.size(), 5);
  return fmt::format("{} {}: {}{}; ", names.size(), title,
                     fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                     names.size() > shown ? ", …" : "");
}

/// Throws when the tensors are not those of the architecture.
void check(const Configuration& c, const std::map<std::string, Shapes>& targets, std::string_view where) {
  const Shapes expected = expected_shapes(c);
  std::vector<std::string> missing, unexpected, shapes;
  for (const std::string& target : c.targets) {
    const auto found = targets.find(target);
    if (found == targets.end()) {
      missing.push_back(target + "/*");
      continue;
    }
    for (const auto& [key, shape] : expected) {
      const auto it = found->second.find(key);
      if (it == found->second.end()) {
        missing.push_back(target + "/" + key);
      } else if (it->second != shape) {
        shapes.push_back(fmt::format("{}/{} {} instead of {}", target, key, shape_text(it->second), shape_text(shape)));
      }
    }
    for (const auto& [key, unused] : found->second) {
      if (!expected.contains(key)) unexpected.push_back(target + "/" + key);
    }
  }
  for (const auto& [target, unused] : targets) {
    if (std::ranges::find(c.targets, target) == c.targets.end()) unexpected.push_back(target + "/*");
  }
  if (missing.empty() && unexpected.empty() && shapes.empty()) return;
  std::string found =
      listed("missing", missing) + listed("unexpected", unexpected) + listed("of another shape", shapes);
  found.resize(found.size() - 2);
  throw Error(
      {Code::checkpoint, std::string(where), "tensors do not fit the architecture",
       fmt::format("{} with {} {}, H = {}, C = {}, {} of {} bins, {} layers{}", architecture_name(c.architecture),
                   c.targets.size(), c.targets.size() == 1 ? "target" : "targets", c.hidden, c.channels, c.max_bin,
                   c.bins, c.layers, c.unidirectional ? ", unidirectional" : ""),
       std::move(found), ""});
}

}  // namespace

void check_shapes(const Weights& weights, std::string_view where) {
  std::map<std::string, Shapes> targets;
  for (const auto& [target, arrays] : weights.targets) {
    Shapes& shapes = targets[target];
    for (const auto& [key, array] : arrays) shapes[key] = array.shape;
  }
  check(weights.configuration, targets, where);
}

// ---- Reading
// ---------------------------------------------------------------------------------------------------------

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostNetworks = 64;
constexpr std::string_view kFormat = "mssbench-openunmix-weights";

struct KnownFile {
  const char* hash;  ///< first 8 digits of the file's SHA-256
  const char* model;
  const char* target;
};
// Zenodo records 3370486 (umx), 3370489 (umxhq), 5069601 (umxl) and 3786908 (umxse).
constexpr std::array<KnownFile, 14> kKnownFiles = {{{"c8df74a5", "umx", "vocals"},
                                                    {"5a48008b", "umx", "drums"},
                                                    {"646024d3", "umx", "bass"},
                                                    {"f8e132cc", "umx", "other"},
                                                    {"b62c91ce", "umxhq", "vocals"},
                                                    {"9619578f", "umxhq", "drums"},
                                                    {"8d85a5bd", "umxhq", "bass"},
                                                    {"b52fbbf7", "umxhq", "other"},
                                                    {"bccbd9aa", "umxl", "vocals"},
                                                    {"69e0ebd4", "umxl", "drums"},
                                                    {"2ca1ce51", "umxl", "bass"},
                                                    {"c8c5b3e6", "umxl", "other"},
                                                    {"f5e0d9f9", "umxse", "speech"},
                                                    {"04a6fc2d", "umxse", "noise"}}};

const KnownFile* known_file(std::string_view sha256) {
  const auto it = std::ranges::find_if(kKnownFiles, [&](const KnownFile& f) { return sha256.starts_with(f.hash); });
  return it == kKnownFiles.end() ? nullptr : &*it;
}

/// What files say beside the tensors.
struct Hints {
  std::optional<int> rate_hz, fft_size, hop_samples, channels;

  void fill(const Hints& other) {
    if (!rate_hz) rate_hz = other.rate_hz;
    if (!fft_size) fft_size = other.fft_size;
    if (!hop_samples) hop_samples = other.hop_samples;
    if (!channels) channels = other.channels;
  }
};

struct Candidate {
  fs::path path;
  std::string target;  ///< from the file's name
  std::string suffix;  ///< the 8 digits in it, or nothing
};

Candidate candidate(const fs::path& path) {
  Candidate out{path, path.stem().string(), ""};
  const std::size_t n = out.target.size();
  if (n > 9 && (out.target[n - 9] == '-' || out.target[n - 9] == '_')) {
    const std::string digits = out.target.substr(n - 8);
    if (digits.find_first_not_of("0123456789abcdef") == std::string::npos) {
      out.suffix = digits;
      out.target.resize(n - 9);
    }
  }
  return out;
}

/// Named arrays of a file, whatever its format.
struct TensorSource {
  Shapes shapes;
  std::function<checkpoints::Tensor(const std::string&)> read;
  Hints hints;  ///< from the object in the file
  std::string format;
};

std::optional<int> plain_integer(const std::optional<checkpoints::PickleValue>& value) {
  const auto number = value ? value->as_real() : std::nullopt;
  if (!number || !(*number >= 1.0 && *number <= 1e6) || *number != std::floor(*number)) return std::nullopt;
  return static_cast<int>(*number);
}

TensorSource open_pytorch(const fs::path& path) {
  auto file = std::make_shared<const checkpoints::PytorchFile>(path);
  TensorSource out;
  out.format = fmt::format("PyTorch, {}", checkpoints::layout_name(file->layout()));
  for (const auto& [name, tensor] : file->tensors()) out.shapes[name] = tensor.shape;
  if (const auto arguments = file->root().find("model_args")) {  // asteroid
    out.hints.rate_hz = plain_integer(arguments->find("sample_rate"));
    out.hints.fft_size = plain_integer(arguments->find("in_chan"));
    out.hints.hop_samples = plain_integer(arguments->find("n_hop"));
  }
  out.read = [file](const std::string& name) { return file->read(name); };
  return out;
}

TensorSource open_safetensors(std::shared_ptr<const checkpoints::SafetensorsFile> file) {
  TensorSource out;
  out.format = "safetensors";
  for (const auto& [name, tensor] : file->tensors()) out.shapes[name] = tensor.shape;
  out.read = [file](const std::string& name) { return file->read(name); };
  return out;
}

/// One network found in a file: its own names of the tensors with ours.
struct Network {
  std::string target;                        ///< "" when the file does not say it
  std::map<std::string, std::string> names;  ///< ours -> the file's
};

struct Found {
  Architecture architecture = Architecture::openunmix;
  std::vector<Network> networks;
  std::vector<std::string> ignored;
};

bool is_ours(std::string_view name) {
  for (const char* start : {"fc1.", "fc2.", "fc2x.", "fc3.", "bn1.", "bn2.", "bn3.", "lstm.", "input_", "output_"}) {
    if (name.starts_with(start)) return !name.ends_with(".num_batches_tracked");
  }
  return false;
}

std::string last_component(std::string_view prefix) {
  while (!prefix.empty() && (prefix.back() == '.' || prefix.back() == '/')) prefix.remove_suffix(1);
  return std::string(prefix.substr(prefix.find_last_of("./") + 1));
}

/// Containers whose name is no target's.
bool is_container(std::string_view name) {
  constexpr std::array<std::string_view, 12> kContainers = {
      "",    "state_dict", "model", "model_state_dict", "model_state", "module",
      "net", "network",    "state", "weights",          "_orig_mod",   "params"};
  return std::ranges::find(kContainers, name) != kContainers.end();
}

/// The key names of asteroid: layer_enc.<target>.enc.0.weight and so on, behind `prefix`.
std::map<std::string, Network> find_xumx(const Shapes& shapes, const std::string& prefix) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kParts = {{{"enc.0.", "fc1."},
                                                                                    {"enc.1.", "bn1."},
                                                                                    {"dec.0.", "fc2."},
                                                                                    {"dec.1.", "bn2."},
                                                                                    {"dec.3.", "fc3."},
                                                                                    {"dec.4.", "bn3."}}};
  std::map<std::string, Network> out;
  for (const auto& [name, unused] : shapes) {
    if (!name.starts_with(prefix) || name.ends_with(".num_batches_tracked")) continue;
    const std::string_view rest = std::string_view(name).substr(prefix.size());
    const auto behind = [&](std::string_view start) { return rest.substr(start.size()); };
    if (rest.starts_with("mean_scale.")) {
      for (const std::string_view vector : {"input_mean_", "input_scale_", "output_mean_", "output_scale_"}) {
        const std::string_view text = behind("mean_scale.");
        if (text.starts_with(vector)) {
          out[std::string(text.substr(vector.size()))].names[std::string(vector.substr(0, vector.size() - 1))] = name;
        }
      }
    } else if (rest.starts_with("layer_enc.") || rest.starts_with("layer_dec.")) {
      const std::string_view text = behind("layer_enc.");
      const auto dot = text.find('.');
      if (dot == std::string_view::npos) continue;
      Network& network = out[std::string(text.substr(0, dot))];
      const std::string_view inner = text.substr(dot + 1);
      for (const auto& [theirs, ours] : kParts) {
        if (inner.starts_with(theirs))
          network.names[std::string(ours) + std::string(inner.substr(theirs.size()))] = name;
      }
    } else if (rest.starts_with("layer_lstm.")) {
      const std::string_view text = behind("layer_lstm.");
      const auto dot = text.find('.');
      if (dot != std::string_view::npos) {
        out[std::string(text.substr(0, dot))].names["lstm." + std::string(text.substr(dot + 1))] = name;
      }
    }
  }
  for (auto& [target, network] : out) network.target = target;
  return out;
}

Found find_networks(const TensorSource& source, const std::string& where) {
  Found out;
  std::set<std::string> plain, crossed;
  for (const auto& [name, unused] : source.shapes) {
    constexpr std::string_view kFirst = "fc1.weight";
    if (name.ends_with(kFirst)) {
      const std::string prefix = name.substr(0, name.size() - kFirst.size());
      if (prefix.empty() || prefix.back() == '.' || prefix.back() == '/') plain.insert(prefix);
    }
    const auto at = name.find("layer_enc.");
    if (at != std::string::npos && (at == 0 || name[at - 1] == '.')) crossed.insert(name.substr(0, at));
  }
  if (plain.empty() && crossed.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : source.shapes) names.push_back(name);
    std::string found = listed("tensors", names);
    throw Error({Code::checkpoint, where, "no network of the Open-Unmix family in the file",
                 "tensors fc1.weight, bn1.weight, lstm.weight_ih_l0, …",
                 found.empty() ? "no tensors" : found.substr(0, found.size() - 2),
                 "mssbench checkpoint FILE lists what it holds"});
  }
  if (!crossed.empty()) {
    if (crossed.size() > 1) {
      throw Error({Code::checkpoint, where, "several networks in the file", "one",
                   fmt::format("at '{}'", fmt::join(crossed, "', '")), ""});
    }
    out.architecture = Architecture::xumx;
    for (auto& [target, network] : find_xumx(source.shapes, *crossed.begin()))
      out.networks.push_back(std::move(network));
    if (out.networks.size() > kMostNetworks) {
      throw Error({Code::checkpoint, where, "too many networks in the file", fmt::format("at most {}", kMostNetworks),
                   fmt::format("{}", out.networks.size()), ""});
    }
    return out;
  }
  // Networks under a target's name, or a single one in a container such as "state_dict.".
  std::vector<std::string> named, unnamed;
  for (const std::string& prefix : plain) (is_container(last_component(prefix)) ? unnamed : named).push_back(prefix);
  std::vector<std::string> chosen = named;
  if (!unnamed.empty()) {
    chosen = {unnamed.front()};  // the shortest way comes first: "" before "state_dict."
    if (unnamed.size() > 1 && !unnamed.front().empty()) {
      const auto usual = std::ranges::find(unnamed, "state_dict.");
      if (usual == unnamed.end()) {
        throw Error({Code::checkpoint, where, "several networks in the file", "one, or one per target",
                     fmt::format("at '{}'", fmt::join(unnamed, "', '")), ""});
      }
      chosen = {*usual};
    }
  }
  if (chosen.size() > kMostNetworks) {
    throw Error({Code::checkpoint, where, "too many networks in the file", fmt::format("at most {}", kMostNetworks),
                 fmt::format("{}", chosen.size()), ""});
  }
  for (const std::string& prefix : chosen) {
    Network network;
    if (named == chosen) network.target = last_component(prefix);
    for (const auto& [name, unused] : source.shapes) {
      if (!name.starts_with(prefix)) continue;
      const std::string ours = name.substr(prefix.size());
      if (is_ours(ours)) {
        network.names[ours] = name;
      } else if (!ours.ends_with(".num_batches_tracked") && out.ignored.size() < 20) {
        out.ignored.push_back(name);
      }
    }
    if (network.names.contains("fc2x.weight")) out.architecture = Architecture::crossskip;
    out.networks.push_back(std::move(network));
  }
  return out;
}

/// Sizes of a network from its tensors.
Configuration sizes(const Shapes& shapes, Architecture architecture, const std::string& where) {
  std::vector<std::string> missing;
  const auto size = [&](const char* name, std::size_t dimension) -> std::int64_t {
    const auto it = shapes.find(name);
    if (it == shapes.end() || it->second.size() <= dimension) {
      missing.emplace_back(name);
      return 0;
    }
    return it->second[dimension];
  };
  const std::int64_t hidden = size("fc1.weight", 0), inputs = size("fc1.weight", 1), max_bin = size("input_mean", 0),
                     bins = size("output_mean", 0);
  size("lstm.weight_ih_l0", 1);
  size(architecture == Architecture::crossskip ? "fc2x.weight" : "fc2.weight", 1);
  size("fc3.weight", 1);
  if (!missing.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : shapes) names.push_back(name);
    std::string found = listed("missing", missing) + listed("there", names);
    throw Error({Code::checkpoint, where, "tensors do not fit the architecture",
                 std::string(architecture_name(architecture)), found.substr(0, found.size() - 2), ""});
  }
  constexpr std::int64_t kMost = 1 << 20;
  const bool one_way = !shapes.contains("lstm.weight_ih_l0_reverse");
  if (hidden < 1 || hidden > kMost || bins < 2 || bins > kMost || max_bin < 1 || max_bin > bins || inputs < max_bin ||
      inputs % max_bin != 0 || inputs / max_bin > 64 || (!one_way && hidden % 2 != 0)) {
    throw Error({Code::checkpoint, where, "the tensors' sizes do not fit together",
                 "fc1.weight [H, C B], input_mean [B], output_mean [F], B <= F",
                 fmt::format("fc1.weight [{}, {}], input_mean [{}], output_mean [{}]", hidden, inputs, max_bin, bins),
                 ""});
  }
  Configuration c;
  c.architecture = architecture;
  c.channels = static_cast<int>(inputs / max_bin);
  c.bins = static_cast<int>(bins);
  c.max_bin = static_cast<int>(max_bin);
  c.hidden = static_cast<int>(hidden);
  c.unidirectional = one_way;
  c.layers = 1;
  while (c.layers < 64 && shapes.contains(fmt::format("lstm.weight_ih_l{}", c.layers))) ++c.layers;
  return c;
}

/// "H = 512, C = 2, …" for messages.
std::string sizes_text(const Configuration& c) {
  return fmt::format("H = {}, C = {}, {} of {} bins, {} layers{}", c.hidden, c.channels, c.max_bin, c.bins, c.layers,
                     c.unidirectional ? ", unidirectional" : "");
}

Array to_array(checkpoints::Tensor tensor, const std::string& name, const std::string& where) {
  using checkpoints::DType;
  if (tensor.dtype != DType::f32 && tensor.dtype != DType::f64 && tensor.dtype != DType::f16 &&
      tensor.dtype != DType::bf16) {
    throw Error({Code::checkpoint, where, fmt::format("tensor '{}' does not hold real numbers", name), "floating point",
                 std::string(checkpoints::dtype_name(tensor.dtype)), ""});
  }
  Array array{tensor.shape, tensor.to_float()};
  if (!std::ranges::all_of(array.values, [](float x) { return std::isfinite(x); })) {
    throw Error({Code::checkpoint, where, fmt::format("tensor '{}' holds NaN or infinity", name), "finite numbers", "",
                 "training went wrong, or the file is damaged"});
  }
  return array;
}

/// What one file gives: its networks' sizes and arrays.
struct Part {
  Candidate file;
  Architecture architecture = Architecture::openunmix;
  struct Target {
    std::string name;
    Configuration sizes;
    Shapes shapes;
    Arrays arrays;
    std::string hash;
  };
  std::vector<Target> targets;
  Hints hints;
  std::string sha256;
  std::string format;
  std::vector<std::string> ignored;
};

std::optional<int> json_integer(const Value* value) {
  if (value == nullptr || !value->is_number()) return std::nullopt;
  const double number = value->as_real();
  if (!(number >= 1.0 && number <= 1e6) || number != std::floor(number)) return std::nullopt;
  return static_cast<int>(number);
}

/// The JSON files that lie beside weights.
Hints hints_beside(const fs::path& folder, const std::vector<std::string>& targets) {
  Hints hints;
  std::error_code ignored;
  const fs::path separator = folder / "separator.json";
  if (fs::is_regular_file(separator, ignored)) {
    const Value value = core::read_json_file(separator);
    hints = {json_integer(value.find("sample_rate")), json_integer(value.find("nfft")),
             json_integer(value.find("nhop")), json_integer(value.find("nb_channels"))};
  }
  for (const std::string& target : targets) {
    const fs::path path = folder / (target + ".json");
    if (target.find('/') != std::string::npos || !fs::is_regular_file(path, ignored)) continue;
    const Value value = core::read_json_file(path, {.allow_nan_tokens = true});
    const Value* arguments = value.find("args");
    if (arguments == nullptr) continue;
    hints.fill({std::nullopt, json_integer(arguments->find("nfft")), json_integer(arguments->find("nhop")),
                json_integer(arguments->find("nb_channels"))});
  }
  return hints;
}

Part read_part(const Candidate& file, const ReadOptions& options) {
  const std::string where = file.path.string();
  Part part;
  part.file = file;
  if (!file.suffix.empty() || options.hash_files) part.sha256 = core::sha256_file(file.path);
  if (!file.suffix.empty() && options.check_names && !part.sha256.starts_with(file.suffix)) {
    throw Error({Code::checkpoint, where, "the file is not what its name says",
                 "a SHA-256 that begins with " + file.suffix, part.sha256.substr(0, 16) + "…",
                 "download it again; a file that was saved anew on purpose goes by the name " + file.target +
                     file.path.extension().string() + " (or import it with --unverified)"});
  }
  const bool safe = core::to_lower(file.path.extension().string()) == ".safetensors";
  const TensorSource source = safe ? open_safetensors(std::make_shared<const checkpoints::SafetensorsFile>(file.path))
                                   : open_pytorch(file.path);
  part.format = source.format;
  part.hints = source.hints;
  Found found = find_networks(source, where);
  part.architecture = found.architecture;
  part.ignored = std::move(found.ignored);
  if (options.target_name && found.networks.size() > 1) {
    throw Error({Code::invalid_argument, where, "a target's name for several networks", "one network",
                 fmt::format("{}", found.networks.size()), ""});
  }
  // Files of the first version keep the rate as a tensor.
  for (const auto& [name, shape] : source.shapes) {
    if (part.hints.rate_hz || last_component(name) != "sample_rate" || !(shape.empty() || shape == Shape{1})) continue;
    const std::vector<double> value = source.read(name).to_double();
    if (value[0] >= 1 && value[0] <= 1e6) part.hints.rate_hz = static_cast<int>(value[0]);
  }
  for (Network& network : found.networks) {
    Part::Target target;
    target.name = options.target_name.value_or(network.target.empty() ? file.target : network.target);
    for (const auto& [ours, theirs] : network.names) target.shapes[ours] = source.shapes.at(theirs);
    target.sizes = sizes(target.shapes, found.architecture, where);
    // Shapes first: nothing is read for a file that does not fit.
    Configuration alone = target.sizes;
    alone.targets = {target.name};
    if (found.architecture == Architecture::crossskip) {
      alone.targets.clear();  // fc2x depends on how many there are
      for (const Network& other : found.networks) alone.targets.push_back(other.target);
    }
    std::map<std::string, Shapes> shapes;
    for (const std::string& name : alone.targets) shapes[name] = target.shapes;
    check(alone, shapes, where);
    for (const auto& [ours, theirs] : network.names) {
      target.arrays[ours] = to_array(source.read(theirs), theirs, where);
    }
    target.hash = target_hash(target.arrays);
    part.targets.push_back(std::move(target));
  }
  return part;
}

void order_targets(Configuration& c) {
  const std::vector<std::string> known =
      c.architecture == Architecture::openunmix
          ? std::vector<std::string>{"vocals", "drums", "bass", "other", "speech", "noise"}
          : std::vector<std::string>{"bass", "drums", "vocals", "other"};
  std::ranges::sort(c.targets, {}, [&](const std::string& name) {
    return std::pair(std::ranges::find(known, name) - known.begin(), name);
  });
}

/// A name that fits into a spec.
std::string label_of(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
    out += plain ? c : '_';
  }
  return out.empty() ? "weights" : out;
}

/// Drops what the caller does not want; `hashes` are those of all targets.
void finish(Weights& weights, const std::map<std::string, std::string>& hashes, const ReadOptions& options,
            const std::string& where) {
  weights.content_hash = combined_hash(weights.configuration, hashes);
  if (options.label) weights.label = label_of(*options.label);
  if (options.targets.empty()) return;
  Configuration& c = weights.configuration;
  for (const std::string& wanted : options.targets) {
    if (std::ranges::find(c.targets, wanted) == c.targets.end()) {
      throw Error({Code::checkpoint, where, fmt::format("there is no target '{}'", wanted), core::join(c.targets, ", "),
                   "", core::did_you_mean(wanted, c.targets)});
    }
  }
  const auto unwanted = [&](const std::string& name) {
    return std::ranges::find(options.targets, name) == options.targets.end();
  };
  if (c.architecture != Architecture::openunmix) return;
  std::erase_if(weights.targets, [&](const auto& item) { return unwanted(item.first); });
  std::erase_if(c.targets, unwanted);
}

Weights assemble(std::vector<Part> parts, const Hints& beside, const std::string& label, const std::string& where,
                 const ReadOptions& options) {
  Weights weights;
  Configuration& c = weights.configuration;
  std::map<std::string, std::string> hashes, from;
  Hints hints{options.rate_hz, options.fft_size, options.hop_samples, std::nullopt};
  hints.fill(beside);
  Value files = Value::array();
  std::optional<std::string> known;
  bool all_known = true;
  std::vector<std::string> ignored;
  for (Part& part : parts) {
    hints.fill(part.hints);
    const KnownFile* official = part.sha256.empty() ? nullptr : known_file(part.sha256);
    all_known = all_known && official != nullptr && (!known || *known == official->model);
    if (official != nullptr) known = official->model;
    Value record = Value::object();
    record["name"] = part.file.path.filename().string();
    record["format"] = part.format;
    if (!part.sha256.empty()) record["sha256"] = part.sha256;
    record["targets"] = Value::array();
    for (Part::Target& target : part.targets) {
      record["targets"].push_back(target.name);
      if (from.contains(target.name)) {
        throw Error({Code::checkpoint, where, fmt::format("two files for target '{}'", target.name),
                     "one file per target",
                     fmt::format("{} and {}", from[target.name], part.file.path.filename().string()),
                     "name the files that belong together one by one"});
      }
      Configuration own = target.sizes;
      own.architecture = part.architecture;
      if (from.empty()) {
        c = own;
      } else if (own.architecture != c.architecture || sizes_text(own) != sizes_text(c)) {
        throw Error({Code::checkpoint, part.file.path.string(), "the targets' networks have different sizes",
                     fmt::format("as {}: {}", from.begin()->second, sizes_text(c)), sizes_text(own),
                     "use one spec per size"});
      }
      from.emplace(target.name, part.file.path.filename().string());
    }
    files.push_back(std::move(record));
    ignored.insert(ignored.end(), part.ignored.begin(), part.ignored.end());
    for (Part::Target& target : part.targets) {
      hashes[target.name] = target.hash;
      weights.targets[target.name] = std::move(target.arrays);
    }
  }
  for (const auto& [target, unused] : weights.targets) c.targets.push_back(target);
  order_targets(c);

  Value assumed = Value::array();
  const bool speech = (all_known && known == "umxse") || (c.channels == 1 && c.bins == 513);
  c.fft_size = 2 * (c.bins - 1);
  if (!hints.rate_hz && !all_known) assumed.push_back("rate_hz");
  if (!hints.hop_samples && !all_known) assumed.push_back("hop_samples");
  c.rate_hz = hints.rate_hz.value_or(speech ? 16000 : 44100);
  c.hop_samples = hints.hop_samples.value_or(std::max(1, speech ? c.fft_size / 2 : c.fft_size / 4));
  if (hints.fft_size && *hints.fft_size != c.fft_size) {
    throw Error({Code::checkpoint, where, "the FFT size does not fit the tensors",
                 fmt::format("{} for {} bins", c.fft_size, c.bins), fmt::format("{}", *hints.fft_size), ""});
  }
  if (hints.channels && *hints.channels != c.channels) {
    throw Error({Code::checkpoint, where, "separator.json does not fit the tensors",
                 fmt::format("{} channels", c.channels), fmt::format("{}", *hints.channels), ""});
  }
  if (c.hop_samples > c.fft_size) {
    throw Error({Code::checkpoint, where, "impossible hop", fmt::format("at most {}", c.fft_size),
                 fmt::format("{}", c.hop_samples), ""});
  }
  weights.label = all_known ? *known : label_of(options.fallback_label.value_or(label));
  weights.provenance["files"] = std::move(files);
  weights.provenance["assumed"] = std::move(assumed);
  std::ranges::sort(ignored);
  ignored.erase(std::unique(ignored.begin(), ignored.end()), ignored.end());
  if (!ignored.empty()) {
    weights.provenance["ignored"] = Value::array();
    for (const std::string& name : ignored) weights.provenance["ignored"].push_back(name);
  }
  check_shapes(weights, where);
  finish(weights, hashes, options, where);
  return weights;
}

Value json_of(const checkpoints::Metadata& metadata, const char* key, const std::string& where) {
  const auto it = metadata.find(key);
  if (it == metadata.end()) {
    throw Error(
        {Code::checkpoint, where, fmt::format("its metadata lack '{}'", key), "weights written by mssbench", "", ""});
  }
  return core::parse_json(it->second, fmt::format("{} ({})", where, key));
}

Weights read_own(const checkpoints::SafetensorsFile& file, const ReadOptions& options) {
  const std::string where = file.path().string();
  const checkpoints::Metadata& metadata = file.metadata();
  const auto version = metadata.find("version");
  if (version == metadata.end() || version->second != "1") {
    throw Error({Code::unsupported, where, "another version of mssbench's weights", "1",
                 version == metadata.end() ? "none" : version->second, "a newer mssbench reads it"});
  }
  Weights weights;
  weights.configuration = configuration_from_value(json_of(metadata, "configuration", where), where);
  weights.provenance = json_of(metadata, "provenance", where);
  const Value recorded = json_of(metadata, "hashes", where);
  const auto label = metadata.find("label");
  weights.label = label_of(label != metadata.end() ? label->second : file.path().stem().string());
  std::map<std::string, Shapes> shapes;
  for (const auto& [name, info] : file.tensors()) {
    const auto slash = name.find('/');
    const std::string target = slash == std::string::npos ? std::string() : name.substr(0, slash);
    shapes[target][slash == std::string::npos ? name : name.substr(slash + 1)] = info.shape;
  }
  check(weights.configuration, shapes, where);
  std::vector<std::string> targets;
  for (const auto& [target, unused] : shapes) targets.push_back(target);
  std::vector<Arrays> arrays(targets.size());
  std::vector<std::string> digests(targets.size());
  core::parallel_for(static_cast<std::int64_t>(targets.size()), options.threads, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    for (const auto& [key, unused] : shapes.at(targets[at])) {
      const std::string name = targets[at] + "/" + key;
      arrays[at][key] = to_array(file.read(name), name, where);
    }
    digests[at] = target_hash(arrays[at]);
  });
  std::map<std::string, std::string> hashes;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    hashes[targets[i]] = digests[i];
    weights.targets[targets[i]] = std::move(arrays[i]);
  }
  const Value* content = recorded.find("content");
  const std::string computed = combined_hash(weights.configuration, hashes);
  if (content == nullptr || !content->is_string() || content->as_string() != computed) {
    throw Error({Code::checkpoint, where, "the content is not what the file says",
                 content != nullptr && content->is_string() ? "SHA-256 " + content->as_string() : "a recorded hash",
                 computed, "the file is damaged or was changed; import the weights again"});
  }
  finish(weights, hashes, options, where);
  return weights;
}

bool has_extension(const fs::path& path, std::initializer_list<std::string_view> extensions) {
  const std::string extension = core::to_lower(path.extension().string());
  return std::ranges::find(extensions, extension) != extensions.end();
}

std::vector<Candidate> candidates_in(const fs::path& folder) {
  std::vector<Candidate> weights, checkpoints_, safe;
  for (const fs::path& path : core::list_directory(folder)) {
    std::error_code ignored;
    if (!fs::is_regular_file(path, ignored)) continue;
    if (has_extension(path, {".pth", ".pt", ".th"})) weights.push_back(candidate(path));
    if (has_extension(path, {".chkpnt", ".ckpt"})) checkpoints_.push_back(candidate(path));
    if (has_extension(path, {".safetensors"})) safe.push_back(candidate(path));
  }
  // The best epoch's weights before the last epoch's checkpoint of the same target.
  for (Candidate& c : checkpoints_) {
    if (std::ranges::none_of(weights, [&](const Candidate& w) { return w.target == c.target; })) {
      weights.push_back(std::move(c));
    }
  }
  if (weights.empty()) weights = std::move(safe);
  if (weights.empty()) {
    throw Error({Code::checkpoint, folder.string(), "the folder holds no weights",
                 "<target>-<hash>.pth or <target>.pth", "",
                 "umxhq and others: files vocals-b62c91ce.pth … with separator.json"});
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (weights[i].target != weights[j].target) continue;
      throw Error({Code::checkpoint, folder.string(), fmt::format("two files for target '{}'", weights[i].target),
                   "one file per target",
                   fmt::format("{} and {}", weights[j].path.filename().string(), weights[i].path.filename().string()),
                   "name the files that belong together one by one"});
    }
  }
  return weights;
}

/// The folder's own name also for "." and "dir/".
std::string folder_name(const fs::path& folder) {
  std::error_code ignored;
  const fs::path whole = fs::weakly_canonical(folder, ignored);
  return (ignored ? folder : whole).filename().string();
}

}  // namespace

std::optional<std::string> official_file(std::string_view sha256) {
  const KnownFile* known = known_file(sha256);
  if (known == nullptr) return std::nullopt;
  return fmt::format("{}, {}", known->model, known->target);
}

Weights read_weights(const std::vector<fs::path>& paths, const ReadOptions& options) {
  if (paths.empty()) throw Error(Code::invalid_argument, "weights", "no file is named");
  std::vector<Candidate> files;
  std::string label;
  for (const fs::path& path : paths) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
      for (Candidate& c : candidates_in(path)) files.push_back(std::move(c));
      if (label.empty()) label = folder_name(path);
    } else {
      files.push_back(candidate(path));
    }
  }
  const std::string where = paths.front().string();
  if (files.size() == 1 && has_extension(files[0].path, {".safetensors"})) {
    const checkpoints::SafetensorsFile file(files[0].path);
    const auto format = file.metadata().find("format");
    if (format != file.metadata().end() && format->second == kFormat) return read_own(file, options);
  }
  if (label.empty()) {
    label = files.size() > 1
                ? folder_name(files[0].path.parent_path().empty() ? fs::path(".") : files[0].path.parent_path())
                : files[0].target;
  }
  if (files.size() > 1 && options.target_name) {
    throw Error({Code::invalid_argument, where, "a target's name for several files", "one file",
                 fmt::format("{}", files.size()), ""});
  }
  std::vector<Part> parts(files.size());
  core::parallel_for(static_cast<std::int64_t>(files.size()), options.threads, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    parts[at] = read_part(files[at], options);
  });
  std::vector<std::string> targets;
  for (const Candidate& file : files) targets.push_back(file.target);
  const Hints beside = hints_beside(files[0].path.parent_path(), targets);
  return assemble(std::move(parts), beside, label, where, options);
}

Weights read_weights(const fs::path& path, const ReadOptions& options) {
  return read_weights(std::vector<fs::path>{path}, options);
}

Weights find_weights(std::string_view reference, const ReadOptions& options) {
  const std::string text(reference);
  const std::size_t mark = text.rfind('#');
  const std::string stem = text.substr(0, mark);
  const std::string hash = mark == std::string::npos ? std::string() : core::to_lower(text.substr(mark + 1));
  std::vector<fs::path> places;
  std::error_code ignored;
  if (!text.empty() && fs::exists(text, ignored)) return read_weights(text, options);  // a name that has a '#' itself
  if (!stem.empty()) places.emplace_back(stem);
  if (stem.find('/') == std::string::npos && !stem.empty()) {
    if (const char* folders = std::getenv("MSSBENCH_WEIGHTS")) {
      for (const std::string& folder : core::split(folders, ':')) {
        if (folder.empty()) continue;
        places.push_back(fs::path(folder) / (stem + ".safetensors"));
        places.push_back(fs::path(folder) / stem);
      }
    }
  }
  std::vector<std::string> looked;
  for (const fs::path& place : places) {
    looked.push_back(place.string());
    if (!fs::exists(place, ignored)) continue;
    Weights weights = read_weights(place, options);
    if (!weights.content_hash.starts_with(hash)) {
      throw Error({Code::checkpoint, place.string(), "the weights' content is not what the spec names", "#" + hash,
                   "#" + weights.content_hash.substr(0, 8),
                   "give the path of the right weights, or of these without a hash"});
    }
    return weights;
  }
  throw Error({Code::checkpoint, text, "no such weights", "",
               looked.empty() ? std::string("an empty name") : "nothing at " + core::join(looked, ", "),
               "give a folder or file, or put LABEL.safetensors into a folder that MSSBENCH_WEIGHTS names"});
}

// ---- Writing
// ---------------------------------------------------------------------------------------------------------

void write_weights(const fs::path& path, const Weights& weights) {
  try {
    check_shapes(weights, "weights " + weights.label);
  } catch (const Error& error) {
    ErrorParts parts = error.parts();
    parts.code = Code::invalid_argument;
    throw Error(std::move(parts));
  }
  checkpoints::Tensors tensors;
  std::map<std::string, std::string> hashes;
  Value recorded = Value::object();
  recorded["content"] = Value();
  recorded["targets"] = Value::object();
  for (const auto& [target, arrays] : weights.targets) {
    hashes[target] = target_hash(arrays);
    recorded["targets"][target] = hashes[target];
    for (const auto& [key, array] : arrays) {
      tensors[target + "/" + key] = checkpoints::Tensor::from(array.values, array.shape);
    }
  }
  recorded["content"] = combined_hash(weights.configuration, hashes);
  checkpoints::write_safetensors(path, tensors,
                                 {{"format", std::string(kFormat)},
                                  {"version", "1"},
                                  {"architecture", std::string(architecture_name(weights.configuration.architecture))},
                                  {"label", weights.label},
                                  {"configuration", core::dump_json(configuration_value(weights.configuration))},
                                  {"provenance", core::dump_json(weights.provenance)},
                                  {"hashes", core::dump_json(recorded)}});
}

void export_weights(const fs::path& path, const Weights& weights, const std::optional<std::string>& target) {
  using checkpoints::Tensor;
  const Configuration& c = weights.configuration;
  checkpoints::Tensors tensors;
  const auto counter = [](std::int64_t value) {
    Tensor out{checkpoints::DType::i64, {}, std::vector<std::byte>(sizeof(value))};
    std::memcpy(out.bytes.data(), &value, sizeof(value));
    return out;
  };
  const auto add = [&](const std::string& of, const std::function<std::string(const std::string&)>& name) {
    for (const auto& [key, array] : weights.targets.at(of))
      tensors[name(key)] = Tensor::from(array.values, array.shape);
    for (const char* norm : {"bn1", "bn2", "bn3"})
      tensors[name(std::string(norm) + ".num_batches_tracked")] = counter(0);
  };
  if (target) {
    if (c.architecture != Architecture::openunmix) {
      throw Error({Code::invalid_argument, weights.label, "the targets of a cross-connected network do not stand alone",
                   "the whole network", "target '" + *target + "'", ""});
    }
    if (!weights.targets.contains(*target)) {
      throw Error({Code::invalid_argument, weights.label, fmt::format("there is no target '{}'", *target),
                   core::join(c.targets, ", "), "", core::did_you_mean(*target, c.targets)});
    }
    add(*target, [](const std::string& key) { return key; });
  } else {
    std::vector<float> window(static_cast<std::size_t>(c.fft_size));
    for (int n = 0; n < c.fft_size; ++n) {
      window[static_cast<std::size_t>(n)] =
          static_cast<float>(0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * n / c.fft_size));
    }
    const Tensor hann = Tensor::from(window, {c.fft_size});
    if (c.architecture == Architecture::xumx) {
      tensors["encoder.0.window"] = hann;
      tensors["decoder.window"] = hann;
    } else {
      tensors["stft.window"] = hann;
      tensors["istft.window"] = hann;
      tensors["sample_rate"] = counter(c.rate_hz);
    }
    for (const std::string& of : c.targets) {
      if (c.architecture != Architecture::xumx) {
        add(of, [&](const std::string& key) { return "target_models." + of + "." + key; });
        continue;
      }
      add(of, [&](const std::string& key) {
        const auto dot = key.find('.');
        if (dot == std::string::npos) return "mean_scale." + key + "_" + of;
        const std::string part = key.substr(0, dot), rest = key.substr(dot + 1);
        if (part == "lstm") return "layer_lstm." + of + "." + rest;
        const std::string inner = part == "fc1"   ? "enc.0."
                                  : part == "bn1" ? "enc.1."
                                  : part == "fc2" ? "dec.0."
                                  : part == "bn2" ? "dec.1."
                                  : part == "fc3" ? "dec.3."
                                                  : "dec.4.";
        return "layer_" + inner.substr(0, 3) + "." + of + "." + inner + rest;
      });
    }
  }
  checkpoints::write_safetensors(path, tensors,
                                 {{"format", "pt"},
                                  {"mssbench_weights", weights.name()},
                                  {"mssbench_configuration", core::dump_json(configuration_value(c))}});
}

}  // namespace mss::methods::openunmix
