#include "methods/bsrnn/family.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"
#include "methods/bsrnn/model.h"
#include "methods/bsrnn/names.h"
#include "methods/weight_files.h"
#include "nn/trace.h"

namespace mss::methods::bsrnn {
namespace {

using checkpoints::LazyTensor;
using checkpoints::PickleKind;
using checkpoints::PickleValue;
using core::Value;

constexpr const char* kArchitecture = "bsrnn";
constexpr std::array<std::string_view, 4> kStems = {"vocals", "drums", "bass", "other"};

std::string part_of(const Configuration& c) { return core::join(c.targets, "+"); }

[[noreturn]] void refuse(std::string_view where, std::string what, std::string expected, std::string found,
                         std::string hint = {}) {
  throw Error(
      {Code::checkpoint, std::string(where), std::move(what), std::move(expected), std::move(found), std::move(hint)});
}

Value normalise(const Value& value, std::string_view where) {
  if (!value.is_object()) refuse(where, "configuration", "an object", std::string(value.type_name()));
  const Value* networks = value.find("networks");
  if (networks == nullptr || !networks->is_object() || networks->size() == 0)
    refuse(where, "configuration: 'networks' is missing", "one network or more", "none");
  constexpr std::size_t kMostNetworks = 64;
  if (networks->size() > kMostNetworks) {
    refuse(where, "configuration: too many networks", fmt::format("at most {}", kMostNetworks),
           std::to_string(networks->size()));
  }
  std::vector<Configuration> all;
  for (const auto& [part, network] : networks->as_object()) {
    try {
      all.push_back(configuration_from(network, where));
    } catch (const Error& e) {
      refuse(where, e.parts().what, e.parts().expected, e.parts().found);
    }
    if (part_of(all.back()) != part) refuse(where, "a part is not called by its targets", part_of(all.back()), part);
  }
  const Value* architecture = value.find("architecture");
  if (architecture == nullptr || !architecture->is_string() || architecture->as_string() != kArchitecture) {
    refuse(where, "configuration: architecture", kArchitecture,
           architecture == nullptr ? "nothing" : core::dump_json(*architecture));
  }
  return set_value(all, where);
}

Listings list(const Value& configuration) {
  Listings out;
  for (const auto& [part, c] : networks_of(configuration)) {
    nn::Listing& listing = out[part];
    const BandSplitRnn<nn::Trace> model(nn::Trace::Scope(listing), c);
  }
  return out;
}

double macs_per_second(const Value& configuration) {
  double out = 0;
  for (const auto& [part, c] : networks_of(configuration)) {
    const std::int64_t frames = c.norm_frames > 0 ? c.norm_frames : 10 * std::int64_t{c.rate_hz} / c.hop_samples;
    nn::Listing listing;
    const BandSplitRnn<nn::Trace> model(nn::Trace::Scope(listing), c);
    model.forward({c.joint ? 1 : 2, frames, c.spectrum_channels(), &listing});
    out += static_cast<double>(listing.macs) * c.rate_hz / static_cast<double>(frames * c.hop_samples);
  }
  return out;
}

std::string sizes(const Value& configuration) {
  std::vector<std::string> out;
  for (const auto& [part, c] : networks_of(configuration)) {
    out.push_back(fmt::format("{}: profile {}, {} bands ({}, {} rule), N {}, {} pairs, H {}", part, c.profile,
                              c.bands(), c.scheme, rule_name(c.rule), c.features, c.pairs, c.lstm_hidden));
  }
  return core::join(out, "; ");
}

std::string timing(const Value& configuration) {
  const Configuration c = networks_of(configuration).begin()->second;
  return fmt::format("{} Hz, FFT {}, hop {}", c.rate_hz, c.fft_size, c.hop_samples);
}

bool recognises(const NetworkFile& file) { return !network_prefixes(file.shapes).empty(); }

/// A member of a dict, or of an object that behaves as one (Lightning's AttributeDict).
std::optional<PickleValue> member(const std::optional<PickleValue>& of, std::string_view key) {
  if (!of) return std::nullopt;
  if (of->is(PickleKind::dict)) return of->find(key);
  if (!of->is(PickleKind::object)) return std::nullopt;
  for (std::size_t i = 0; i + 1 < of->size(); i += 2) {
    if (of->element(i).is(PickleKind::string) && of->element(i).text() == key) return of->element(i + 1);
  }
  return member(of->state(), key);
}

/// "vocals" of "model_vocals_best": the only stem's name in it.
std::string target_in(std::string_view text) {
  const std::string lower = core::to_lower(std::string(text));
  std::string found;
  for (const std::string_view stem : kStems) {
    if (lower.find(stem) == std::string::npos) continue;
    if (!found.empty()) return "";
    found = stem;
  }
  return found;
}

Hints hints_of(const NetworkFile& file, std::string_view prefix, const ReadOptions& options) {
  Hints out;
  std::optional<PickleValue> said;
  if (file.pytorch != nullptr) said = member(file.pytorch->root(), "hyper_parameters");
  if (const auto targets = member(said, "targets")) {
    if (targets->is(PickleKind::string)) out.targets = {targets->text()};
    if (targets->is(PickleKind::list) || targets->is(PickleKind::tuple)) {
      for (std::size_t i = 0; i < targets->size(); ++i) out.targets.push_back(targets->element(i).text());
    }
  }
  const auto number = [&](const char* key) { return plain_integer(member(said, key)); };
  out.rate_hz = options.rate_hz ? options.rate_hz : number("sample_rate");
  out.fft_size = options.fft_size ? options.fft_size : number("n_fft");
  out.hop_samples = options.hop_samples ? options.hop_samples : number("n_hop");
  const auto groups = member(said, "group_num"), features = member(said, "feature_dim"), eps = member(said, "eps");
  out.groups = plain_integer(groups);
  // None means a group for every 16 features.
  if (groups && groups->is(PickleKind::none) && plain_integer(features))
    out.groups = std::max(*plain_integer(features) / 16, 1);
  if (eps && eps->as_real() && *eps->as_real() > 0) out.eps = eps->as_real();
  const auto context = member(said, "mask_ctxt");
  if (context && context->as_integer().value_or(0) != 0) {
    throw Error({Code::unsupported,
                 file.where(),
                 "masks with context",
                 "mask_ctxt: 0",
                 std::to_string(*context->as_integer()),
                 {}});
  }
  const std::string component = last_component(prefix);
  out.target = options.target_name       ? *options.target_name
               : is_container(component) ? target_in(file.name.stem)
                                         : component;
  if (options.target_name && out.targets.size() == 1) out.targets = {*options.target_name};
  return out;
}

/// Theirs under our shape, with rows in our order.
LazyTensor translated(LazyTensor array, const ForeignTensor& as) {
  array.shape = as.shape;
  if (as.rows.empty()) return array;
  const std::size_t row = array.bytes() / as.rows.size();
  array.fetch = [inner = array.fetch, row, rows = as.rows](std::span<std::byte> bytes) {
    std::vector<std::byte> theirs(bytes.size());
    inner(theirs);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(theirs.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(rows[i]) * row), row,
                  bytes.begin() + static_cast<std::ptrdiff_t>(i * row));
    }
  };
  return array;
}

/// Networks of our own file, which says all.
bool add_own(const NetworkFile& file, std::vector<Configuration>& networks, Imported& out) {
  const auto format = file.metadata.find("format");
  const auto configuration = file.metadata.find("configuration");
  if (format == file.metadata.end() || format->second != "mssbench-bsrnn-weights" ||
      configuration == file.metadata.end())
    return false;
  const Value value = normalise(core::parse_json(configuration->second, file.where()), file.where());
  Imported::File record{file.name.path.filename().string(), file.format, file.sha256, {}};
  for (auto& [part, c] : networks_of(value)) {
    networks.push_back(c);
    record.parts.push_back(part);
  }
  for (const auto& [name, shape] : file.shapes) {
    const auto slash = name.find('/');
    if (slash != std::string::npos) out.parts[name.substr(0, slash)][name.substr(slash + 1)] = file.array(name);
  }
  out.files.push_back(std::move(record));
  return true;
}

void add_foreign(const NetworkFile& file, const ReadOptions& options, std::vector<Configuration>& networks,
                 Imported& out) {
  const std::vector<std::string> prefixes = network_prefixes(file.shapes);
  if (prefixes.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, shape] : file.shapes) names.push_back(name);
    refuse(file.where(), "no Band-split RNN", "tensors such as bandsplit.fcs.0.weight or BN.0.1.weight",
           names.empty() ? "no tensors" : listed("tensors", names), "mssbench checkpoint FILE lists what it holds");
  }
  Imported::File record{file.name.path.filename().string(), file.format, file.sha256, {}};
  for (const auto& [name, shape] : file.shapes) {
    if (std::ranges::none_of(prefixes, [&](const std::string& p) { return name.starts_with(p); }))
      out.ignored.push_back(name);
  }
  for (const std::string& prefix : prefixes) {
    const ForeignNetwork network = read_names(file.shapes, prefix, hints_of(file, prefix, options), file.where());
    const std::string part = part_of(network.configuration);
    networks.push_back(network.configuration);
    record.parts.push_back(part);
    for (const auto& [name, tensor] : network.tensors)
      out.parts[part][name] = translated(file.array(tensor.name), tensor);
    for (const auto& [first, other] : network.copies) {
      if (file.array(first).values() != file.array(other).values())
        refuse(file.where(), "one layer's tensor is stored twice with different values", first, other);
    }
    for (const std::string& name : network.ignored) out.ignored.push_back(name);
    for (const std::string& name : network.assumed) {
      if (std::ranges::find(out.assumed, name) == out.assumed.end()) out.assumed.push_back(name);
    }
  }
  out.files.push_back(std::move(record));
}

Imported import(const std::vector<std::filesystem::path>& paths, const ReadOptions& options) {
  const NamedFiles named = named_files(paths);
  Imported out;
  out.label = named.label;
  if (named.files.size() > 1 && options.target_name)
    refuse(paths.front().string(), "several files and one name for their target", "names in the files",
           *options.target_name);
  std::vector<Configuration> networks;
  for (const NetworkFile& file : open_network_files(named.files, options)) {
    if (!add_own(file, networks, out)) add_foreign(file, options, networks, out);
  }
  out.configuration = set_value(networks, paths.front().string());
  return out;
}

checkpoints::LazyTensors state_dict(const Weights& weights, const std::optional<std::string>& target) {
  checkpoints::LazyTensors out;
  const std::map<std::string, Configuration> networks = networks_of(weights.configuration);
  std::map<std::string, Configuration> chosen;
  for (const auto& [part, c] : networks) {
    if (!target || std::ranges::find(c.targets, *target) != c.targets.end()) chosen.emplace(part, c);
  }
  if (chosen.empty()) {
    throw Error({Code::invalid_argument,
                 weights.label,
                 "there is no such target",
                 core::join(weights.targets(), ", "),
                 *target,
                 {}});
  }
  for (const auto& [part, c] : chosen) {
    for (const auto& [ours, tensor] : write_names(c)) {
      const LazyTensor& array = weights.parts.at(part).at(ours);
      ForeignTensor as = tensor;
      const std::string name = chosen.size() == 1 ? tensor.name : part + "/" + tensor.name;
      out[name] = translated(array, as);
    }
  }
  return out;
}

NetworkFamily make_family() {
  NetworkFamily f;
  f.name = kArchitecture;
  f.title = "Band-split RNN";
  f.files_help =
      "a state dict or Lightning checkpoint in the names of amanteur/BandSplitRNN-PyTorch or magronp/bsrnn, "
      "or a folder with one per target";
  f.examples = {{"mssbench import bsrnn vocals.ckpt -o vocals.safetensors", "a Lightning checkpoint"},
                {"mssbench import bsrnn checkpoints/ -o four.safetensors", "one file per target"}};
  f.normalise = normalise;
  f.list = list;
  f.macs_per_second = macs_per_second;
  f.sizes = sizes;
  f.timing = timing;
  f.recognises = recognises;
  f.import = import;
  f.state_dict = state_dict;
  return f;
}

}  // namespace

const NetworkFamily& family() {
  static const NetworkFamily one = make_family();
  return one;
}

std::map<std::string, Configuration> networks_of(const Value& configuration) {
  std::map<std::string, Configuration> out;
  for (const auto& [part, network] : configuration.at("networks").as_object())
    out.emplace(part, configuration_from(network, part));
  return out;
}

Value set_value(const std::vector<Configuration>& networks, std::string_view where) {
  MSS_ASSERT(!networks.empty());
  std::map<std::string, const Configuration*> sorted;
  std::vector<std::string> found;
  for (const Configuration& c : networks) {
    if (c.rate_hz != networks.front().rate_hz) {
      refuse(where, "networks of different sample rates", fmt::format("{} Hz", networks.front().rate_hz),
             fmt::format("{} Hz", c.rate_hz));
    }
    for (const std::string& target : c.targets) {
      if (std::ranges::find(found, target) != found.end())
        refuse(where, "two networks for one target", "one network per target", target);
      found.push_back(target);
    }
    sorted.emplace(part_of(c), &c);
  }
  Value out = Value::object();
  out["architecture"] = kArchitecture;
  out["rate_hz"] = networks.front().rate_hz;
  out["channels"] = 2;
  out["targets"] = Value::array();
  for (const std::string_view stem : kStems) {
    if (std::ranges::find(found, stem) != found.end()) out["targets"].push_back(stem);
  }
  for (const std::string& target : found) {
    if (std::ranges::find(kStems, target) == kStems.end()) out["targets"].push_back(target);
  }
  out["networks"] = Value::object();
  for (const auto& [part, c] : sorted) out["networks"][part] = configuration_value(*c);
  return out;
}

}  // namespace mss::methods::bsrnn
