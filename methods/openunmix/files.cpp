// The family's weights in other programs' files: which tensor is which, what the files say of the sizes, and the names
// that the Python packages load.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <numbers>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"
#include "methods/openunmix/configuration.h"
#include "methods/weight_files.h"

namespace mss::methods::openunmix {
namespace {

namespace fs = std::filesystem;
using core::Value;
using Shapes = std::map<std::string, nn::Shape, std::less<>>;

constexpr std::size_t kMostNetworks = 64;

/// X-UMX in asteroid: the first layers of encoder and decoder, theirs and ours.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kParts = {{{"enc.0.", "fc1."},
                                                                                  {"enc.1.", "bn1."},
                                                                                  {"dec.0.", "fc2."},
                                                                                  {"dec.1.", "bn2."},
                                                                                  {"dec.3.", "fc3."},
                                                                                  {"dec.4.", "bn3."}}};

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

/// One network found in a file: its own names of the tensors with ours.
struct Found {
  std::string target;                        ///< "" when the file does not say it
  std::map<std::string, std::string> names;  ///< ours -> the file's
};

struct FoundAll {
  Architecture architecture = Architecture::openunmix;
  std::vector<Found> networks;
  std::vector<std::string> ignored;
};

bool is_ours(std::string_view name) {
  for (const char* start : {"fc1.", "fc2.", "fc2x.", "fc3.", "bn1.", "bn2.", "bn3.", "lstm.", "input_", "output_"}) {
    if (name.starts_with(start)) return !name.ends_with(".num_batches_tracked");
  }
  return false;
}

/// Places where a network begins: "" or "target_models.vocals." with the package's names, "" or "model." with
/// asteroid's.
struct Places {
  std::set<std::string> plain, crossed;
};

Places places_in(const Shapes& shapes) {
  Places out;
  for (const auto& [name, unused] : shapes) {
    constexpr std::string_view kFirst = "fc1.weight";
    if (name.ends_with(kFirst)) {
      const std::string prefix = name.substr(0, name.size() - kFirst.size());
      if (prefix.empty() || prefix.back() == '.' || prefix.back() == '/') out.plain.insert(prefix);
    }
    const auto at = name.find("layer_enc.");
    if (at != std::string::npos && (at == 0 || name[at - 1] == '.')) out.crossed.insert(name.substr(0, at));
  }
  return out;
}

/// The key names of asteroid: layer_enc.<target>.enc.0.weight and so on, behind `prefix`.
std::map<std::string, Found> find_xumx(const Shapes& shapes, const std::string& prefix) {
  std::map<std::string, Found> out;
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
      Found& network = out[std::string(text.substr(0, dot))];
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

[[noreturn]] void several(const std::string& where, std::string expected, const std::string& found) {
  throw Error({Code::checkpoint, where, "several networks in the file", std::move(expected), found, ""});
}

void refuse_many(std::size_t count, const std::string& where) {
  if (count <= kMostNetworks) return;
  throw Error({Code::checkpoint, where, "too many networks in the file", fmt::format("at most {}", kMostNetworks),
               fmt::format("{}", count), ""});
}

FoundAll find_networks(const NetworkFile& file) {
  const std::string where = file.where();
  FoundAll out;
  const auto [plain, crossed] = places_in(file.shapes);
  if (plain.empty() && crossed.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : file.shapes) names.push_back(name);
    throw Error({Code::checkpoint, where, "no network of the Open-Unmix family in the file",
                 "tensors fc1.weight, bn1.weight, lstm.weight_ih_l0, …",
                 names.empty() ? "no tensors" : listed("tensors", names),
                 "mssbench checkpoint FILE lists what it holds"});
  }
  if (!crossed.empty()) {
    if (crossed.size() > 1) several(where, "one", fmt::format("at '{}'", fmt::join(crossed, "', '")));
    out.architecture = Architecture::xumx;
    for (auto& [target, network] : find_xumx(file.shapes, *crossed.begin())) out.networks.push_back(std::move(network));
    refuse_many(out.networks.size(), where);
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
        several(where, "one, or one per target", fmt::format("at '{}'", fmt::join(unnamed, "', '")));
      }
      chosen = {*usual};
    }
  }
  refuse_many(chosen.size(), where);
  for (const std::string& prefix : chosen) {
    Found network;
    if (named == chosen) network.target = last_component(prefix);
    for (const auto& [name, unused] : file.shapes) {
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
Configuration sizes_of(const Arrays& arrays, Architecture architecture, const std::string& where) {
  std::vector<std::string> missing;
  const auto size = [&](const char* name, std::size_t dimension) -> std::int64_t {
    const auto it = arrays.find(name);
    if (it == arrays.end() || it->second.shape.size() <= dimension) {
      missing.emplace_back(name);
      return 0;
    }
    return it->second.shape[dimension];
  };
  const std::int64_t hidden = size("fc1.weight", 0), inputs = size("fc1.weight", 1), max_bin = size("input_mean", 0),
                     bins = size("output_mean", 0);
  size("lstm.weight_ih_l0", 1);
  size(architecture == Architecture::crossskip ? "fc2x.weight" : "fc2.weight", 1);
  size("fc3.weight", 1);
  if (!missing.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : arrays) names.push_back(name);
    throw Error({Code::checkpoint, where, "tensors do not fit the architecture",
                 std::string(architecture_name(architecture)),
                 listed("missing", missing) + "; " + listed("there", names), ""});
  }
  constexpr std::int64_t kMost = 1 << 20;
  const bool one_way = !arrays.contains("lstm.weight_ih_l0_reverse");
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
  c.fft_size = 2 * (c.bins - 1);
  c.max_bin = static_cast<int>(max_bin);
  c.hidden = static_cast<int>(hidden);
  c.unidirectional = one_way;
  c.layers = 1;
  while (c.layers < 64 && arrays.contains(fmt::format("lstm.weight_ih_l{}", c.layers))) ++c.layers;
  return c;
}

/// What one file gives: its networks' sizes and arrays.
struct Part {
  struct Target {
    std::string name;
    Configuration sizes;
    Arrays arrays;
  };
  std::vector<Target> targets;
  Hints hints;
  std::vector<std::string> ignored;
};

Part read_part(const NetworkFile& file, const ReadOptions& options) {
  const std::string where = file.where();
  Part part;
  if (file.pytorch != nullptr) {
    if (const auto arguments = file.pytorch->root().find("model_args")) {  // asteroid
      part.hints.rate_hz = plain_integer(arguments->find("sample_rate"));
      part.hints.fft_size = plain_integer(arguments->find("in_chan"));
      part.hints.hop_samples = plain_integer(arguments->find("n_hop"));
    }
  }
  FoundAll found = find_networks(file);
  part.ignored = std::move(found.ignored);
  if (options.target_name && found.networks.size() > 1) {
    throw Error({Code::invalid_argument, where, "a target's name for several networks", "one network",
                 fmt::format("{}", found.networks.size()), ""});
  }
  // Files of the first version keep the rate as a tensor.
  for (const auto& [name, shape] : file.shapes) {
    if (part.hints.rate_hz || last_component(name) != "sample_rate" || !(shape.empty() || shape == nn::Shape{1})) {
      continue;
    }
    part.hints.rate_hz = file.integer(name);
  }
  for (Found& network : found.networks) {
    Part::Target target;
    target.name = options.target_name.value_or(network.target.empty() ? file.name.stem : network.target);
    for (const auto& [ours, theirs] : network.names) target.arrays[ours] = file.array(theirs);
    target.sizes = sizes_of(target.arrays, found.architecture, where);
    Configuration alone = target.sizes;
    alone.targets = {target.name};
    if (found.architecture == Architecture::crossskip) {
      alone.targets.clear();  // fc2x depends on how many there are
      for (const Found& other : found.networks) alone.targets.push_back(other.target);
    }
    Parts parts;
    for (const std::string& name : alone.targets) parts[name] = target.arrays;
    check_fit(family(), configuration_value(alone), parts, where);
    part.targets.push_back(std::move(target));
  }
  return part;
}

/// The JSON files that lie beside weights.
Hints hints_beside(const fs::path& folder, const std::vector<FileName>& files) {
  Hints hints;
  std::error_code ignored;
  const fs::path separator = folder / "separator.json";
  if (fs::is_regular_file(separator, ignored)) {
    const Value value = core::read_json_file(separator);
    hints = {plain_integer(value.find("sample_rate")), plain_integer(value.find("nfft")),
             plain_integer(value.find("nhop")), plain_integer(value.find("nb_channels"))};
  }
  for (const FileName& file : files) {
    const fs::path path = folder / (file.stem + ".json");
    if (file.stem.find('/') != std::string::npos || !fs::is_regular_file(path, ignored)) continue;
    const Value value = core::read_json_file(path, {.allow_nan_tokens = true});
    const Value* arguments = value.find("args");
    if (arguments == nullptr) continue;
    hints.fill({std::nullopt, plain_integer(arguments->find("nfft")), plain_integer(arguments->find("nhop")),
                plain_integer(arguments->find("nb_channels"))});
  }
  return hints;
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

/// Rate, hop and FFT size: what the files say, else what is usual; tells what was guessed.
std::vector<std::string> complete(Configuration& c, const Hints& hints, bool known_files, bool speech,
                                  const std::string& where) {
  std::vector<std::string> assumed;
  if (!hints.rate_hz && !known_files) assumed.emplace_back("rate_hz");
  if (!hints.hop_samples && !known_files) assumed.emplace_back("hop_samples");
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
  return assumed;
}

[[noreturn]] void two_files(const std::string& where, const std::string& target, const fs::path& first,
                            const fs::path& second) {
  throw Error({Code::checkpoint, where, fmt::format("two files for target '{}'", target), "one file per target",
               fmt::format("{} and {}", first.filename().string(), second.filename().string()),
               "name the files that belong together one by one"});
}

}  // namespace

bool recognises(const NetworkFile& file) {
  const Places places = places_in(file.shapes);
  return !places.plain.empty() || !places.crossed.empty();
}

Imported import_files(const std::vector<fs::path>& paths, const ReadOptions& options) {
  Imported out;
  const std::string where = paths.front().string();
  std::vector<FileName> names;
  for (const fs::path& path : paths) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
      std::map<std::string, fs::path> seen;
      for (FileName& name : files_in(path)) {
        const auto [at, fresh] = seen.emplace(name.stem, name.path);
        if (!fresh) two_files(path.string(), name.stem, at->second, name.path);
        names.push_back(std::move(name));
      }
      if (out.label.empty()) out.label = folder_name(path);
    } else {
      names.push_back(file_name(path));
    }
  }
  const fs::path folder = names[0].path.parent_path();
  if (out.label.empty()) {
    out.label = names.size() > 1 ? folder_name(folder.empty() ? fs::path(".") : folder) : names[0].stem;
  }
  if (names.size() > 1 && options.target_name) {
    throw Error({Code::invalid_argument, where, "a target's name for several files", "one file",
                 fmt::format("{}", names.size()), ""});
  }
  Hints hints{options.rate_hz, options.fft_size, options.hop_samples, std::nullopt};
  hints.fill(hints_beside(folder, names));

  Configuration c;
  std::map<std::string, fs::path> from;
  bool known = true, speech = true;
  for (const NetworkFile& file : open_network_files(names, options)) {
    Part part = read_part(file, options);
    hints.fill(part.hints);
    const std::optional<std::string> official = official_file(family(), file.sha256);
    known = known && official;
    speech = speech && official && official->starts_with("umxse");
    Imported::File record{file.name.path.filename().string(), file.format, file.sha256, {}};
    for (Part::Target& target : part.targets) {
      record.parts.push_back(target.name);
      const auto [at, fresh] = from.emplace(target.name, file.name.path);
      if (!fresh) two_files(where, target.name, at->second, file.name.path);
      if (from.size() == 1) {
        c = target.sizes;
      } else if (target.sizes.architecture != c.architecture || sizes_text(target.sizes) != sizes_text(c)) {
        throw Error({Code::checkpoint, file.where(), "the targets' networks have different sizes",
                     fmt::format("as {}: {}", from.begin()->second.filename().string(), sizes_text(c)),
                     sizes_text(target.sizes), "use one spec per size"});
      }
      out.parts[target.name] = std::move(target.arrays);
    }
    out.files.push_back(std::move(record));
    out.ignored.insert(out.ignored.end(), part.ignored.begin(), part.ignored.end());
  }
  for (const auto& [target, unused] : out.parts) c.targets.push_back(target);
  order_targets(c);
  speech = speech || (c.channels == 1 && c.bins == 513);
  out.assumed = complete(c, hints, known, speech, where);
  out.configuration = configuration_value(c);
  return out;
}

checkpoints::LazyTensors state_dict(const Weights& weights, const std::optional<std::string>& target) {
  using checkpoints::LazyTensor;
  const Configuration c = configuration_from_value(weights.configuration, weights.label);
  checkpoints::LazyTensors out;
  const auto counter = [](std::int64_t value) {
    checkpoints::Tensor held{checkpoints::DType::i64, {}, std::vector<std::byte>(sizeof(value))};
    std::memcpy(held.bytes.data(), &value, sizeof(value));
    return LazyTensor::from(std::move(held));
  };
  const auto add = [&](const std::string& of, const std::function<std::string(const std::string&)>& name) {
    for (const auto& [key, array] : weights.parts.find(of)->second) out[name(key)] = array;
    for (const char* norm : {"bn1", "bn2", "bn3"}) out[name(std::string(norm) + ".num_batches_tracked")] = counter(0);
  };
  if (target) {
    if (c.architecture != Architecture::openunmix) {
      throw Error({Code::invalid_argument, weights.label, "the targets of a cross-connected network do not stand alone",
                   "the whole network", "target '" + *target + "'", ""});
    }
    if (!weights.parts.contains(*target)) {
      throw Error({Code::invalid_argument, weights.label, fmt::format("there is no target '{}'", *target),
                   core::join(c.targets, ", "), "", core::did_you_mean(*target, c.targets)});
    }
    add(*target, [](const std::string& key) { return key; });
    return out;
  }
  std::vector<float> window(static_cast<std::size_t>(c.fft_size));
  for (int n = 0; n < c.fft_size; ++n) {
    window[static_cast<std::size_t>(n)] =
        static_cast<float>(0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * n / c.fft_size));
  }
  const LazyTensor hann = LazyTensor::from(std::move(window), {c.fft_size});
  if (c.architecture == Architecture::xumx) {
    out["encoder.0.window"] = hann;
    out["decoder.window"] = hann;
  } else {
    out["stft.window"] = hann;
    out["istft.window"] = hann;
    out["sample_rate"] = counter(c.rate_hz);
  }
  for (const std::string& of : c.targets) {
    if (c.architecture != Architecture::xumx) {
      add(of, [&](const std::string& key) { return "target_models." + of + "." + key; });
      continue;
    }
    add(of, [&](const std::string& key) {
      if (key.find('.') == std::string::npos) return "mean_scale." + key + "_" + of;
      if (key.starts_with("lstm.")) return "layer_lstm." + of + "." + key.substr(5);
      for (const auto& [theirs, ours] : kParts) {
        if (!key.starts_with(ours)) continue;
        return fmt::format("layer_{}.{}.{}{}", theirs.substr(0, 3), of, theirs, key.substr(ours.size()));
      }
      return key;
    });
  }
  return out;
}

}  // namespace mss::methods::openunmix
