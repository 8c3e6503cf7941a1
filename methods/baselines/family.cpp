#include "methods/baselines/family.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"
#include "methods/baselines/conv1d.h"
#include "methods/baselines/dprnn.h"
#include "methods/weight_files.h"

namespace mss::methods::baselines {
namespace {

using core::Value;

[[noreturn]] void refuse(std::string_view where, std::string what, std::string expected, std::string found,
                         std::string hint = {}) {
  throw Error(
      {Code::checkpoint, std::string(where), std::move(what), std::move(expected), std::move(found), std::move(hint)});
}

nn::Listing listing_of(const Architecture& a, const Value& configuration) {
  nn::Listing listing;
  a.construct(nn::Trace::Scope(listing), configuration);
  return listing;
}

Value normalise(const Architecture& a, const Value& value, std::string_view where) {
  if (!value.is_object()) refuse(where, "configuration", "an object", std::string(value.type_name()));
  const Value* architecture = value.find("architecture");
  if (architecture == nullptr || !architecture->is_string() || architecture->as_string() != a.name) {
    refuse(where, "configuration: architecture", a.name,
           architecture == nullptr ? "nothing" : core::dump_json(*architecture));
  }
  const Value* targets = value.find("targets");
  std::vector<std::string> names;
  if (targets != nullptr && targets->is_array()) {
    for (const Value& target : targets->as_array()) names.push_back(target.is_string() ? target.as_string() : "");
  }
  const auto twice = [&](const std::string& name) { return name.empty() || std::ranges::count(names, name) != 1; };
  constexpr std::size_t kMostTargets = 64;
  if (names.empty() || names.size() > kMostTargets || std::ranges::any_of(names, twice)) {
    refuse(where, "configuration: 'targets'", fmt::format("1 to {} names that differ", kMostTargets),
           targets == nullptr            ? "nothing"
           : names.size() > kMostTargets ? fmt::format("{} names", names.size())
                                         : core::dump_json(*targets));
  }
  for (const auto& [key, expected] : {std::pair{"rate_hz", 44100}, {"channels", 2}}) {
    const Value* found = value.find(key);
    if (found == nullptr || !found->is_integer() || found->as_integer() != expected) {
      refuse(where, fmt::format("configuration: {}", key), std::to_string(expected),
             found == nullptr ? "nothing" : core::dump_json(*found));
    }
  }
  Value out = set_value(a.name, names);
  for (const auto& [key, standard] : a.sizes) {
    const Value* found = value.find(key);
    if (found == nullptr) continue;
    if (!found->is_integer() || found->as_integer() < 1 || found->as_integer() > 4096)
      refuse(where, fmt::format("configuration: {}", key), "1 … 4096", core::dump_json(*found));
    if (found->as_integer() != standard) out[key] = *found;
  }
  return out;
}

/// Names in the order of people: "layer2" before "layer10".
bool natural_less(std::string_view a, std::string_view b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      std::size_t m = i, n = j;
      while (m < a.size() && digit(a[m])) ++m;
      while (n < b.size() && digit(b[n])) ++n;
      const auto number = [](std::string_view text) {
        text.remove_prefix(std::min(text.find_first_not_of('0'), text.size()));
        return std::pair{text.size(), text};
      };
      const auto left = number(a.substr(i, m - i)), right = number(b.substr(j, n - j));
      if (left != right) return left < right;
      i = m;
      j = n;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i;
      ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

struct Found {
  std::string prefix;
  std::map<std::string, std::string> names;  ///< ours -> theirs
};

/// Networks whose tensors have the names that ours have, behind a prefix; or, where there are none, whose tensors under
/// one prefix have our shapes, weights and biases in the order of their names.
std::vector<Found> find_networks(const NetworkFile& file, const nn::Listing& listing) {
  std::vector<Found> out;
  const std::string& first = listing.entries.front().name;
  for (const auto& [name, shape] : file.shapes) {
    if (!name.ends_with(first)) continue;
    const std::string prefix = name.substr(0, name.size() - first.size());
    if (!prefix.empty() && prefix.back() != '.' && prefix.back() != '/') continue;
    Found found{prefix, {}};
    for (const nn::Listing::Entry& entry : listing.entries) {
      const auto at = file.shapes.find(prefix + entry.name);
      if (at != file.shapes.end() && at->second == entry.parameter.shape) found.names[entry.name] = prefix + entry.name;
    }
    if (found.names.size() == listing.entries.size()) out.push_back(std::move(found));
  }
  if (!out.empty()) return out;
  // By shapes: weights and biases each in order. A prefix ends behind a slash or a container's dot.
  std::map<std::string, std::vector<std::string>> groups;
  for (const auto& [name, shape] : file.shapes) {
    std::size_t end = name.rfind('/');
    end = end == std::string::npos ? 0 : end + 1;
    for (std::size_t dot = name.find('.', end); dot != std::string::npos; dot = name.find('.', end)) {
      if (!is_container(name.substr(end, dot - end))) break;
      end = dot + 1;
    }
    groups[name.substr(0, end)].push_back(name);
  }
  for (auto& [prefix, names] : groups) {
    std::ranges::sort(names, natural_less);
    Found found{prefix, {}};
    std::size_t next = 0;
    for (const char* kind : {"weight", "bias"}) {
      next = 0;
      for (const nn::Listing::Entry& entry : listing.entries) {
        if (!entry.name.ends_with(kind)) continue;
        while (next < names.size() &&
               !(names[next].ends_with(kind) && file.shapes.at(names[next]) == entry.parameter.shape))
          ++next;
        if (next == names.size()) break;
        found.names[entry.name] = names[next++];
      }
    }
    if (found.names.size() == listing.entries.size()) out.push_back(std::move(found));
  }
  return out;
}

Imported import(const Architecture& a, const std::vector<std::filesystem::path>& paths, const ReadOptions& options) {
  const NamedFiles named = named_files(paths);
  Imported out;
  out.label = named.label;
  const nn::Listing listing = listing_of(a, set_value(a.name, {}));
  std::vector<std::string> targets;
  for (const NetworkFile& file : open_network_files(named.files, options)) {
    const std::vector<Found> networks = find_networks(file, listing);
    if (networks.empty()) {
      std::vector<std::string> tensors;
      for (const auto& [name, shape] : file.shapes) tensors.push_back(name + " " + shape_text(shape));
      std::vector<std::string> wanted;
      for (const nn::Listing::Entry& entry : listing.entries) wanted.push_back(shape_text(entry.parameter.shape));
      refuse(file.where(), "no network of this architecture",
             fmt::format("{}: tensors {}", a.title, core::join(wanted, ", ")),
             tensors.empty() ? "no tensors" : listed("tensors", tensors));
    }
    Imported::File record{file.name.path.filename().string(), file.format, file.sha256, {}};
    for (const Found& network : networks) {
      const std::string component = last_component(network.prefix);
      std::string target = !is_container(component) ? component : file.name.stem;
      if (options.target_name) target = *options.target_name;
      if (std::ranges::find(targets, target) != targets.end())
        refuse(file.where(), "two networks for one target", "one network per target", target);
      targets.push_back(target);
      record.parts.push_back(target);
      for (const auto& [ours, theirs] : network.names) out.parts[target][ours] = file.array(theirs);
    }
    out.files.push_back(std::move(record));
  }
  out.configuration = set_value(a.name, targets);
  return out;
}

checkpoints::LazyTensors state_dict(const Weights& weights, const std::optional<std::string>& target) {
  checkpoints::LazyTensors out;
  if (target && !weights.parts.contains(*target)) {
    throw Error({Code::invalid_argument,
                 weights.label,
                 "there is no such target",
                 core::join(weights.targets(), ", "),
                 *target,
                 {}});
  }
  for (const auto& [part, arrays] : weights.parts) {
    if (target && part != *target) continue;
    for (const auto& [name, array] : arrays)
      out[weights.parts.size() == 1 || target ? name : part + "/" + name] = array;
  }
  return out;
}

NetworkFamily make_family(const Architecture& a) {
  NetworkFamily f;
  f.name = a.name;
  f.title = a.title;
  f.files_help = "a state dict of its layers, or a folder with one per target";
  f.examples = {{fmt::format("mssbench import {} vocals.pth -o vocals.safetensors", a.name),
                 "a state dict; the file's name is the target"}};
  f.normalise = [a](const Value& value, std::string_view where) { return normalise(a, value, where); };
  f.list = [a](const Value& configuration) {
    Listings out;
    for (const Value& target : configuration.at("targets").as_array())
      out[target.as_string()] = listing_of(a, configuration);
    return out;
  };
  f.macs_per_second = [a](const Value& configuration) {
    return a.macs_per_second(configuration) * static_cast<double>(configuration.at("targets").size());
  };
  f.sizes = [a](const Value& configuration) {
    std::string out = fmt::format("{} numbers per target", listing_of(a, configuration).parameters());
    for (const auto& [key, standard] : a.sizes) {
      if (const Value* found = configuration.find(key)) out += fmt::format(", {} {}", key, found->as_integer());
    }
    return out;
  };
  f.timing = [](const Value&) { return std::string("44100 Hz"); };
  f.recognises = [a](const NetworkFile& file) {
    return !find_networks(file, listing_of(a, set_value(a.name, {}))).empty();
  };
  f.import = [a](const std::vector<std::filesystem::path>& paths, const ReadOptions& options) {
    return import(a, paths, options);
  };
  f.state_dict = state_dict;
  return f;
}

}  // namespace

DprnnSizes dprnn_sizes(const core::Value& configuration) {
  DprnnSizes out;
  const auto take = [&](const char* key, std::int64_t& size) {
    if (const Value* found = configuration.find(key)) size = found->as_integer();
  };
  take("features", out.features);
  take("hidden", out.hidden);
  take("blocks", out.blocks);
  return out;
}

core::Value set_value(const std::string& architecture, const std::vector<std::string>& targets) {
  Value out = Value::object();
  out["architecture"] = architecture;
  out["rate_hz"] = 44100;
  out["channels"] = 2;
  out["targets"] = Value::array();
  for (const std::string& target : targets) out["targets"].push_back(target);
  return out;
}

const NetworkFamily& conv1d_family() {
  static const NetworkFamily one =
      make_family({"conv1d",
                   "Conv1D baseline",
                   {},
                   [](const nn::Trace::Scope& w, const Value&) { const Conv1dBaseline<nn::Trace> model(w); },
                   [](const Value&) {
                     nn::Listing listing;
                     Conv1dBaseline<nn::Trace>(nn::Trace::Scope(listing)).forward({1, 44100, 2, &listing});
                     return static_cast<double>(listing.macs);
                   }});
  return one;
}

const NetworkFamily& dprnn_family() {
  static const NetworkFamily one =
      make_family({"dprnn",
                   "DPRNN baseline",
                   {{"features", 128}, {"hidden", 128}, {"blocks", 4}},
                   [](const nn::Trace::Scope& w, const Value& c) { const Dprnn<nn::Trace> model(w, dprnn_sizes(c)); },
                   [](const Value& c) {
                     using Model = Dprnn<nn::Trace>;
                     constexpr std::int64_t frames = 10 * 44100 / Model::kHop;
                     nn::Listing listing;
                     Model(nn::Trace::Scope(listing), dprnn_sizes(c)).forward({1, frames, 2 * Model::kBins, &listing});
                     return static_cast<double>(listing.macs) * 44100 / static_cast<double>(frames * Model::kHop);
                   }});
  return one;
}

}  // namespace mss::methods::baselines
