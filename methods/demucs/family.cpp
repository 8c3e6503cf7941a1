#include "methods/demucs/family.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoints/pytorch.h"
#include "core/error.h"
#include "methods/demucs/initial.h"
#include "methods/demucs/model.h"
#include "methods/demucs/tasnet.h"
#include "methods/weight_files.h"
#include "nn/trace.h"

namespace mss::methods::demucs {
namespace {

namespace fs = std::filesystem;
using checkpoints::PickleKind;
using checkpoints::PickleValue;

constexpr std::string_view kDemucsTensor = "encoder.0.0.weight", kTasnetTensor = "encoder.conv1d_U.weight";

/// What stands before the state dict's names: "state.", "3.", "".
std::optional<std::string> state_prefix(const NetworkFile& file) {
  std::vector<std::string> found;
  for (const auto& [name, shape] : file.shapes) {
    for (const std::string_view end : {kDemucsTensor, kTasnetTensor}) {
      // "tencoder.0.0.weight" is another network's.
      if (!name.ends_with(end)) continue;
      const std::string prefix = name.substr(0, name.size() - end.size());
      if (prefix.empty() || prefix.ends_with('.')) found.push_back(prefix);
    }
  }
  if (found.empty()) return std::nullopt;
  const auto rank = [](const std::string& prefix) {
    const std::array<std::string_view, 5> order = {"state.", "best_state.", "state_dict.", "model.", ""};
    return std::ranges::find(order, std::string_view(prefix)) - order.begin();
  };
  return *std::ranges::min_element(found, {}, rank);
}

/// v1: a tuple (class, args, kwargs, state); v2: a dict.
struct Package {
  int version = 2;
  std::string klass;  ///< full name of the class; empty for a bare state dict
  std::optional<PickleValue> args, kwargs;
};

Package package_of(const NetworkFile& file) {
  Package out;
  if (file.pytorch == nullptr) return out;
  const PickleValue root = file.pytorch->root();
  if (root.is(PickleKind::tuple) && root.size() == 4) {
    out.version = 1;
    out.klass = root.element(0).text();
    out.args = root.element(1);
    out.kwargs = root.element(2);
  } else if (root.is(PickleKind::dict)) {
    if (const auto klass = root.find("klass")) out.klass = klass->text();
    out.args = root.find("args");
    out.kwargs = root.find("kwargs");
  }
  return out;
}

/// DiffQ keeps {"compressed": …} (v2) or a dict with "__quantized" (v3 and v4) where the tensors would be.
bool is_quantised(const NetworkFile& file) {
  if (file.pytorch == nullptr) return false;
  const auto holds = [](const PickleValue& value) {
    return value.is(PickleKind::dict) && (value.find("compressed") || value.find("__quantized"));
  };
  const PickleValue root = file.pytorch->root();
  if (holds(root)) return true;
  if (!root.is(PickleKind::dict)) return false;
  const auto state = root.find("state");
  return state && holds(*state);
}

[[noreturn]] void refuse(const NetworkFile& file, Code code, std::string what, std::string expected, std::string found,
                         std::string hint = {}) {
  throw Error({code, file.where(), std::move(what), std::move(expected), std::move(found), std::move(hint)});
}

void refuse_others(const NetworkFile& file, const Package& package) {
  if (is_quantised(file)) {
    refuse(file, Code::unsupported, "the weights are quantised with DiffQ", "float32 or float16 tensors",
           "packed integers",
           "load the file with the Python package `demucs` and save model.state_dict() with torch.save; the official "
           "models demucs, demucs48_hq and demucs_extra are not quantised");
  }
  const auto has = [&](std::string_view part) {
    return std::ranges::any_of(file.shapes,
                               [part](const auto& tensor) { return tensor.first.find(part) != std::string::npos; });
  };
  const bool hybrid = has("tencoder.") || has("freq_emb") || has("crosstransformer");
  const bool known =
      package.klass.empty() || package.klass == "demucs.model.Demucs" || package.klass == "demucs.tasnet.ConvTasNet";
  if (hybrid || !known || has("encoder.0.3.weight") || has("encoder.0.0.conv.weight")) {
    refuse(file, Code::unsupported, "a network of Demucs v3 or v4", "Demucs v1 or v2, or their Conv-TasNet",
           package.klass.empty() ? "tensors of another network" : package.klass,
           "these networks are not part of the family `demucs`");
  }
}

/// Arguments of the class by their names; positional ones by the order of its constructor.
class Arguments {
 public:
  Arguments(const Package& package, std::vector<std::string_view> order)
      : package_(package), order_(std::move(order)) {}

  std::optional<PickleValue> find(std::string_view name) const {
    if (package_.kwargs && package_.kwargs->is(PickleKind::dict)) {
      if (const auto value = package_.kwargs->find(name)) return value;
    }
    const auto place = static_cast<std::size_t>(std::ranges::find(order_, name) - order_.begin());
    if (package_.args && (package_.args->is(PickleKind::tuple) || package_.args->is(PickleKind::list)) &&
        place < package_.args->size()) {
      return package_.args->element(place);
    }
    return std::nullopt;
  }
  std::optional<std::int64_t> integer(std::string_view name) const {
    const auto value = find(name);
    return value ? value->as_integer() : std::nullopt;
  }
  std::optional<double> real(std::string_view name) const {
    const auto value = find(name);
    return value ? value->as_real() : std::nullopt;
  }

 private:
  const Package& package_;
  std::vector<std::string_view> order_;
};

/// Shapes of the state dict, without its prefix.
class Shapes {
 public:
  Shapes(const NetworkFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}
  /// Dimension `axis` of a tensor, 0 without it.
  std::int64_t dimension(const std::string& name, std::size_t axis) const {
    const auto found = file_.shapes.find(prefix_ + name);
    return found == file_.shapes.end() || axis >= found->second.size() ? 0 : found->second[axis];
  }
  bool has(const std::string& name) const { return file_.shapes.contains(prefix_ + name); }

 private:
  const NetworkFile& file_;
  std::string prefix_;
};

void read_sources(const Arguments& arguments, std::int64_t stems, Configuration& c, std::vector<std::string>& assumed) {
  if (const auto sources = arguments.find("sources");
      sources && (sources->is(PickleKind::list) || sources->is(PickleKind::tuple))) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < sources->size(); ++i) names.push_back(sources->element(i).text());
    if (static_cast<std::int64_t>(names.size()) == stems) {
      c.targets = std::move(names);
      return;
    }
  }
  assumed.push_back("targets");
  if (stems == static_cast<std::int64_t>(c.targets.size())) return;
  c.targets.clear();
  for (std::int64_t s = 0; s < stems; ++s) c.targets.push_back(fmt::format("source{}", s + 1));
}

/// `value` if the package says it, else the default that `out` holds, which then counts as assumed.
template <class T, class V>
void take(T& out, const std::optional<V>& value, const char* name, std::vector<std::string>& assumed) {
  if (value) {
    out = static_cast<T>(*value);
  } else {
    assumed.push_back(name);
  }
}

Configuration demucs_configuration(const NetworkFile& file, const Package& package, const std::string& prefix,
                                   std::vector<std::string>& assumed) {
  const Shapes shapes(file, prefix);
  const Arguments arguments(
      package,
      package.version == 1
          ? std::vector<std::string_view>{"sources", "audio_channels", "channels", "depth", "rewrite", "glu",
                                          "upsample", "rescale", "kernel_size", "stride", "growth", "lstm_layers",
                                          "context", "samplerate"}
          : std::vector<std::string_view>{"sources", "audio_channels", "channels", "depth", "rewrite", "glu", "rescale",
                                          "resample", "kernel_size", "stride", "growth", "lstm_layers", "context",
                                          "normalize", "samplerate", "segment_length"});
  if (arguments.integer("upsample").value_or(0) != 0) {
    refuse(file, Code::unsupported, "a network with linear upsampling", "transposed convolutions", "upsample=True");
  }
  Configuration c = named_configuration(package.version == 1 ? "v1" : "v2");
  c.width = shapes.dimension("encoder.0.0.weight", 0);
  c.channels = static_cast<int>(std::clamp<std::int64_t>(shapes.dimension("encoder.0.0.weight", 1), 1, 64));
  c.kernel = shapes.dimension("encoder.0.0.weight", 2);
  c.depth = 0;
  while (shapes.has(fmt::format("encoder.{}.0.weight", c.depth))) ++c.depth;
  c.rewrite = shapes.has("encoder.0.2.weight");
  if (c.rewrite) c.glu = shapes.dimension("encoder.0.2.weight", 0) == 2 * c.width;
  c.decoder_per_target = shapes.has("decoders.0.0.0.weight");
  const std::string decoder = c.decoder_per_target ? "decoders.0." : "decoder.";
  if (c.rewrite) c.context = shapes.dimension(decoder + "0.0.weight", 2);
  if (c.depth > 1 && c.width > 0) {
    const double ratio = static_cast<double>(shapes.dimension("encoder.1.0.weight", 0)) / static_cast<double>(c.width);
    c.growth = arguments.real("growth").value_or(ratio);
  }
  c.lstm_layers = 0;
  while (shapes.has(fmt::format("lstm.lstm.weight_hh_l{}", c.lstm_layers))) ++c.lstm_layers;
  c.lstm_bidirectional = c.lstm_layers == 0 || shapes.has("lstm.lstm.weight_hh_l0_reverse");
  const std::string last = fmt::format("{}{}.{}.weight", decoder, c.depth - 1, c.rewrite ? 2 : 0);
  std::int64_t stems = shapes.dimension(last, 1) / c.channels;
  if (c.decoder_per_target) {
    stems = 0;
    while (shapes.has(fmt::format("decoders.{}.0.{}.weight", stems, c.rewrite ? 2 : 0))) ++stems;
  }
  read_sources(arguments, std::max<std::int64_t>(stems, 1), c, assumed);
  take(c.stride, arguments.integer("stride"), "stride", assumed);
  take(c.rate_hz, arguments.integer("samplerate"), "rate_hz", assumed);
  if (const auto rescale = arguments.real("rescale")) c.rescale = *rescale;
  if (package.version == 2) {
    take(c.resample, arguments.integer("resample"), "resample", assumed);
    if (const auto normalize = arguments.integer("normalize")) c.normalize = *normalize != 0;
    take(c.segment_samples, arguments.integer("segment_length"), "segment_samples", assumed);
  }
  return c;
}

Configuration tasnet_configuration(const NetworkFile& file, const Package& package, const std::string& prefix,
                                   std::vector<std::string>& assumed) {
  const Shapes shapes(file, prefix);
  std::vector<std::string_view> order{"sources", "N", "L", "B", "H", "P", "X", "R"};
  if (package.version == 1) order = {"N", "L", "B", "H", "P", "X", "R"};
  const Arguments arguments(package, order);
  const auto only = [&](const char* name, std::string_view expected) {
    const auto value = arguments.find(name);
    if (value && !value->text().empty() && value->text() != expected) {
      refuse(file, Code::unsupported, fmt::format("a Conv-TasNet with another {}", name), std::string(expected),
             value->text());
    }
  };
  only("norm_type", "gLN");
  only("mask_nonlinear", "relu");
  if (arguments.integer("causal").value_or(0) != 0) {
    refuse(file, Code::unsupported, "a causal Conv-TasNet", "causal=False", "causal=True");
  }
  Configuration c = named_configuration("x10");
  c.filters = shapes.dimension("encoder.conv1d_U.weight", 0);
  c.channels = static_cast<int>(std::clamp<std::int64_t>(shapes.dimension("encoder.conv1d_U.weight", 1), 1, 64));
  c.filter_length = shapes.dimension("encoder.conv1d_U.weight", 2);
  c.bottleneck = shapes.dimension("separator.network.1.weight", 0);
  c.hidden = shapes.dimension("separator.network.2.0.0.net.0.weight", 0);
  c.taps = shapes.dimension("separator.network.2.0.0.net.3.net.0.weight", 2);
  c.repeats = c.blocks = 0;
  while (shapes.has(fmt::format("separator.network.2.{}.0.net.0.weight", c.repeats))) ++c.repeats;
  while (shapes.has(fmt::format("separator.network.2.0.{}.net.0.weight", c.blocks))) ++c.blocks;
  const std::int64_t stems = shapes.dimension("separator.network.3.weight", 0) / std::max<std::int64_t>(c.filters, 1);
  read_sources(arguments, std::max<std::int64_t>(stems, 1), c, assumed);
  take(c.rate_hz, arguments.integer("samplerate"), "rate_hz", assumed);
  // The constructor's default (8 s) is not what the models were trained on; a package's own number counts.
  take(c.segment_samples, arguments.integer("segment_length"), "segment_samples", assumed);
  return c;
}

/// gamma and beta (1, C, 1) are weight and bias (C).
std::pair<std::string, nn::Shape> own_name(const std::string& name, const nn::Shape& shape) {
  const auto renamed = [&](std::string_view from, std::string_view to) -> std::optional<std::string> {
    if (!name.ends_with(from)) return std::nullopt;
    return name.substr(0, name.size() - from.size()) + std::string(to);
  };
  if (shape.size() == 3 && shape[0] == 1 && shape[2] == 1) {
    for (const auto& [from, to] : {std::pair{".gamma", ".weight"}, std::pair{".beta", ".bias"}}) {
      if (const auto own = renamed(from, to)) return {*own, {shape[1]}};
    }
  }
  return {name, shape};
}

Imported import_files(const std::vector<fs::path>& paths, const ReadOptions& options) {
  const std::vector<FileName> names = named_files(paths).files;
  if (names.size() != 1) {
    throw Error({Code::checkpoint, paths.front().string(), "a network of this family is one file", "one .th file",
                 fmt::format("{} files", names.size()), "name the file"});
  }
  const NetworkFile file = open_network_file(names.front(), options);
  const Package package = package_of(file);
  refuse_others(file, package);
  const std::optional<std::string> prefix = state_prefix(file);
  if (!prefix) {
    refuse(file, Code::checkpoint, "no network of this family",
           fmt::format("a tensor {} (Demucs) or {} (Conv-TasNet)", kDemucsTensor, kTasnetTensor),
           file.shapes.empty()
               ? "no tensors"
               : fmt::format("{} tensors, the first {}", file.shapes.size(), file.shapes.begin()->first),
           "mssbench checkpoint FILE lists what it holds");
  }
  Imported out;
  const bool tasnet = file.shapes.contains(*prefix + std::string(kTasnetTensor));
  const Configuration c = tasnet ? tasnet_configuration(file, package, *prefix, out.assumed)
                                 : demucs_configuration(file, package, *prefix, out.assumed);
  out.configuration = configuration_value(c);
  if (options.rate_hz) out.configuration["rate_hz"] = *options.rate_hz;
  Arrays& arrays = out.parts[""];
  for (const auto& [name, shape] : file.shapes) {
    if (!name.starts_with(*prefix)) {
      out.ignored.push_back(name);
      continue;
    }
    const auto [own, own_shape] = own_name(name.substr(prefix->size()), shape);
    checkpoints::LazyTensor array = file.array(name);
    array.shape = own_shape;
    arrays[own] = std::move(array);
  }
  // A package names its class, whose constructor says the rest.
  if (!package.klass.empty()) out.assumed.clear();
  out.label = names.front().stem;
  out.files.push_back(
      {.name = names.front().path.filename().string(), .format = file.format, .sha256 = file.sha256, .parts = {""}});
  return out;
}

bool recognises(const NetworkFile& file) { return state_prefix(file).has_value() || is_quantised(file); }

core::Value normalise(const core::Value& configuration, std::string_view where) {
  return configuration_value(configuration_from_value(configuration, where));
}

Listings list(const core::Value& configuration) {
  const Configuration c = configuration_from_value(configuration, "configuration");
  Listings out;
  nn::Listing& listing = out[""];
  if (c.architecture == Architecture::conv_tasnet) {
    const ConvTasNet<nn::Trace> model(nn::Trace::Scope(listing), c);
  } else {
    const Demucs<nn::Trace> model(nn::Trace::Scope(listing), c);
  }
  return out;
}

double macs_per_second(const core::Value& configuration) {
  const Configuration c = configuration_from_value(configuration, "configuration");
  const std::int64_t samples = valid_length(c, 10 * std::int64_t{c.rate_hz});
  nn::Listing listing;
  const nn::Trace::Tensor x{1, samples, c.channels, &listing};
  if (c.architecture == Architecture::conv_tasnet) {
    ConvTasNet<nn::Trace>(nn::Trace::Scope(listing), c).forward(x);
  } else {
    Demucs<nn::Trace>(nn::Trace::Scope(listing), c).forward(x);
  }
  return static_cast<double>(listing.macs) * c.rate_hz / static_cast<double>(samples);
}

checkpoints::LazyTensors state_dict(const Weights& weights, const std::optional<std::string>& target) {
  if (target) {
    throw Error({Code::invalid_argument, weights.name(), "one network for all targets", "the export without a target",
                 *target, ""});
  }
  const Configuration c = configuration_from_value(weights.configuration, weights.name());
  checkpoints::LazyTensors out;
  for (const auto& [name, array] : weights.parts.at("")) {
    checkpoints::LazyTensor exported = array;
    std::string theirs = name;
    // What has a bias and one dimension is a normalisation; slopes of PReLU have none.
    const std::string layer = name.substr(0, name.rfind('.'));
    if (c.architecture == Architecture::conv_tasnet && weights.parts.at("").contains(layer + ".bias")) {
      theirs = layer + (name.ends_with(".bias") ? ".beta" : ".gamma");
      exported.shape = {1, array.shape.at(0), 1};
    }
    out[theirs] = std::move(exported);
  }
  return out;
}

NetworkFamily make_family() {
  NetworkFamily f;
  f.name = "demucs";
  f.title = "Demucs";
  f.files_help =
      "the .th files of Demucs v1 and v2 and of their Conv-TasNet, of any width and depth, float32 or float16; the "
      "official demucs-e07c671f.th, demucs48_hq-28a1282c.th, demucs_extra-3646af93.th, tasnet-beb46fac.th and "
      "tasnet_extra-df3777b2.th as they are; demucs_quantized-07afea75.th has to be saved without DiffQ first, v1's "
      ".th.gz unpacked with gunzip";
  f.examples = {
      {"mssbench import demucs demucs-e07c671f.th -o demucs.safetensors", "official weights, checked and named"},
      {"mssbench import demucs checkpoints/mine.th -o mine.safetensors", "a package that training wrote"}};
  f.official = {{"e07c671f", "demucs", ""},
                {"28a1282c", "demucs48_hq", ""},
                {"3646af93", "demucs_extra", ""},
                {"07afea75", "demucs_quantized", ""},
                {"beb46fac", "tasnet", ""},
                {"df3777b2", "tasnet_extra", ""},
                {"09ebc15f", "demucs_unittest", ""},
                {"f6c4148ba0dc92242d82d7b3f2af55c77bd7cb4ff1a0a3028a523986f36a3cfd", "demucs-v1", ""},
                {"3331bcc5d09ba1d791c3cf851970242b0bb229ce81dbada557b6d39e8c6a6a87", "demucs_extra-v1", ""},
                {"79d1ee3c1541c729c552327756954340a1a46a11ce0009dea77dc583e4b6269c", "light-v1", ""},
                {"9e9b4af564229c80cc73c95d02d2058235bb054c6874b3cba4d5b26943a5ddcb", "light_extra-v1", ""},
                {"be56693f6a5c4854b124f95bb9dd043f3167614898493738ab52e25648bec8a2", "tasnet-v1", ""},
                {"0ccbece3acd98785a367211c9c35b1eadae8d148b0d37fe5a5494d6d335269b5", "tasnet_extra-v1", ""}};
  // The README of github.com/facebookresearch/demucs: models named "extra" saw 150 songs more.
  for (const OfficialFile& file : f.official) {
    if (file.model == "demucs_unittest") continue;
    const bool extra = file.model.find("_extra") != std::string::npos;
    f.trained_on[file.model] = {file.model == "demucs48_hq" ? "MUSDB18-HQ" : "MUSDB18", extra ? "150 songs" : ""};
  }
  f.normalise = normalise;
  f.list = list;
  f.macs_per_second = macs_per_second;
  f.sizes = [](const core::Value& v) { return sizes(configuration_from_value(v, "configuration")); };
  f.timing = [](const core::Value& v) {
    const Configuration c = configuration_from_value(v, "configuration");
    return fmt::format("{} Hz, segments of {:.4g} s", c.rate_hz, static_cast<double>(c.segment_samples) / c.rate_hz);
  };
  f.recognises = recognises;
  f.import = import_files;
  f.state_dict = state_dict;
  f.initial = [](const core::Value& v, std::uint64_t seed) -> std::shared_ptr<nn::Source> {
    return std::make_shared<InitialSource>(configuration_from_value(v, "configuration"), seed);
  };
  return f;
}

}  // namespace

std::string sizes(const Configuration& c) {
  if (c.architecture == Architecture::conv_tasnet) {
    return fmt::format("N = {}, L = {}, B = {}, H = {}, P = {}, X = {}, R = {}", c.filters, c.filter_length,
                       c.bottleneck, c.hidden, c.taps, c.blocks, c.repeats);
  }
  std::string out =
      fmt::format("v{}, {} channels, depth {}, {} {}LSTM layer{}", c.version, c.width, c.depth, c.lstm_layers,
                  c.lstm_bidirectional ? "" : "unidirectional ", c.lstm_layers == 1 ? "" : "s");
  if (c.resample) out += ", resampled";
  if (c.decoder_per_target) out += ", a decoder per target";
  return out;
}

const NetworkFamily& family() {
  static const NetworkFamily made = make_family();
  return made;
}

}  // namespace mss::methods::demucs
