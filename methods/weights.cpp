#include "methods/weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <map>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/parallel.h"
#include "core/stop.h"
#include "core/text.h"
#include "methods/shipped.h"
#include "methods/weight_files.h"

namespace mss::methods {
namespace {

static_assert(std::endian::native == std::endian::little, "values are hashed and stored as they lie in memory");

namespace fs = std::filesystem;
using checkpoints::DType;
using checkpoints::LazyTensor;
using core::Value;

constexpr std::string_view kPrefix = "mssbench-", kSuffix = "-weights";

std::string format_of(const NetworkFamily& family) { return fmt::format("{}{}{}", kPrefix, family.name, kSuffix); }

std::string full_name(std::string_view part, std::string_view name, char between) {
  return part.empty() ? std::string(name) : fmt::format("{}{}{}", part, between, name);
}

/// Reads every tensor once: finite, and the hash over them.
std::string part_hash(const Arrays& arrays, std::string_view where) {
  core::Sha256 hash;
  std::vector<float> values;
  for (const auto& [name, array] : arrays) {
    values.resize(static_cast<std::size_t>(array.elements()));
    array.read(values);
    if (!std::ranges::all_of(values, [](float x) { return std::isfinite(x); })) {
      throw Error({Code::checkpoint, std::string(where), fmt::format("tensor '{}' holds NaN or infinity", name),
                   "finite numbers", "", "training went wrong, or the file is damaged"});
    }
    hash.update(fmt::format("{} F32 {}\n", name, shape_text(array.shape)));
    constexpr std::size_t kBlock = 1 << 20;
    for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
      core::check_stop();
      hash.update(values.data() + begin, std::min(kBlock, values.size() - begin) * sizeof(float));
    }
  }
  return hash.hex_digest();
}

using Hashes = std::map<std::string, std::string, std::less<>>;

Hashes hash_parts(const Parts& parts, int threads, std::string_view where) {
  std::vector<const Parts::value_type*> items;
  for (const auto& item : parts) items.push_back(&item);
  std::vector<std::string> digests(items.size());
  core::parallel_for(static_cast<std::int64_t>(items.size()), threads, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    digests[at] = part_hash(items[at]->second, where);
  });
  Hashes out;
  for (std::size_t i = 0; i < items.size(); ++i) out[items[i]->first] = std::move(digests[i]);
  return out;
}

std::string combined_hash(const NetworkFamily& family, const Value& configuration, const Hashes& parts) {
  core::Sha256 hash;
  hash.update(format_of(family) + " 1\n");
  hash.update(core::dump_json(configuration) + "\n");
  for (const auto& [part, digest] : parts) hash.update(fmt::format("{} {}\n", part, digest));
  return hash.hex_digest();
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

const OfficialFile* known_file(const NetworkFamily& family, std::string_view sha256) {
  if (sha256.empty()) return nullptr;
  const auto it =
      std::ranges::find_if(family.official, [&](const OfficialFile& f) { return sha256.starts_with(f.sha256); });
  return it == family.official.end() ? nullptr : &*it;
}

nn::ArraySource source_from(const Parts& parts, std::string_view only, bool prefixed) {
  std::vector<nn::StoredArray> arrays;
  for (const auto& [part, tensors] : parts) {
    if (!prefixed && part != only) continue;
    for (const auto& [name, array] : tensors) {
      arrays.push_back({prefixed ? full_name(part, name, '.') : name, array.shape,
                        [array](std::span<float> values) { array.read(values); }});
    }
  }
  return nn::ArraySource(std::move(arrays));
}

Value json_of(const checkpoints::Metadata& metadata, const char* key, const std::string& where) {
  const auto it = metadata.find(key);
  if (it == metadata.end()) {
    throw Error(
        {Code::checkpoint, where, fmt::format("its metadata lack '{}'", key), "weights written by mssbench", "", ""});
  }
  return core::parse_json(it->second, fmt::format("{} ({})", where, key));
}

/// The family that a file of ours names, where it is one.
std::optional<std::string> own_family(const checkpoints::Metadata& metadata) {
  const auto it = metadata.find("format");
  if (it == metadata.end()) return std::nullopt;
  const std::string_view text = it->second;
  if (!text.starts_with(kPrefix) || !text.ends_with(kSuffix) || text.size() <= kPrefix.size() + kSuffix.size()) {
    return std::nullopt;
  }
  return std::string(text.substr(kPrefix.size(), text.size() - kPrefix.size() - kSuffix.size()));
}

/// Published weights do not say what they were trained on; their families do.
void name_training_set(const NetworkFamily& family, Value& provenance) {
  if (!provenance.is_object() || provenance.find("dataset") != nullptr || provenance.find("tracks") != nullptr) return;
  const Value* files = provenance.find("files");
  if (files == nullptr || !files->is_array()) return;
  for (const Value& file : files->as_array()) {
    const Value* hash = file.is_object() ? file.find("sha256") : nullptr;
    if (hash == nullptr || !hash->is_string()) continue;
    const OfficialFile* official = known_file(family, hash->as_string());
    const auto set = official == nullptr ? family.trained_on.end() : family.trained_on.find(official->model);
    if (set == family.trained_on.end()) continue;
    if (!set->second.dataset.empty()) provenance["dataset"] = set->second.dataset;
    if (!set->second.beyond.empty()) provenance["beyond"] = set->second.beyond;
    return;
  }
}

Weights read_own(const NetworkFamily& family, const checkpoints::SafetensorsFile& file, const ReadOptions& options) {
  const std::string where = file.path().string();
  const checkpoints::Metadata& metadata = file.metadata();
  const auto version = metadata.find("version");
  if (version == metadata.end() || version->second != "1") {
    throw Error({Code::unsupported, where, "another version of mssbench's weights", "1",
                 version == metadata.end() ? "none" : version->second, "a newer mssbench reads it"});
  }
  Weights weights;
  weights.family = &family;
  weights.configuration = family.normalise(json_of(metadata, "configuration", where), where);
  weights.provenance = json_of(metadata, "provenance", where);
  name_training_set(family, weights.provenance);
  const Value recorded = json_of(metadata, "hashes", where);
  const auto label = metadata.find("label");
  weights.label =
      label_of(options.label.value_or(label != metadata.end() ? label->second : file.path().stem().string()));
  for (const auto& [name, info] : file.tensors()) {
    if (name.starts_with('@')) continue;  // the state of a training run
    const auto slash = name.find('/');
    const std::string part = slash == std::string::npos ? std::string() : name.substr(0, slash);
    weights.parts[part][slash == std::string::npos ? name : name.substr(slash + 1)] = file.lazy(name);
  }
  check_fit(family, weights.configuration, weights.parts, where);
  name_training_set(family, weights.provenance);
  weights.content_hash =
      combined_hash(family, weights.configuration, hash_parts(weights.parts, options.threads, where));
  const Value* content = recorded.find("content");
  if (content == nullptr || !content->is_string() || content->as_string() != weights.content_hash) {
    throw Error({Code::checkpoint, where, "the content is not what the file says",
                 content != nullptr && content->is_string() ? "SHA-256 " + content->as_string() : "a recorded hash",
                 weights.content_hash, "the file is damaged or was changed; import the weights again"});
  }
  return weights;
}

Weights read_foreign(const NetworkFamily& family, const std::vector<fs::path>& paths, const ReadOptions& options) {
  const std::string where = paths.front().string();
  Imported imported = family.import(paths, options);
  Weights weights;
  weights.family = &family;
  weights.configuration = family.normalise(imported.configuration, where);
  weights.parts = std::move(imported.parts);
  check_fit(family, weights.configuration, weights.parts, where);
  Value files = Value::array();
  std::optional<std::string> known;
  bool all_known = !imported.files.empty();
  for (const Imported::File& file : imported.files) {
    const OfficialFile* official = known_file(family, file.sha256);
    all_known = all_known && official != nullptr && (!known || *known == official->model);
    if (official != nullptr) known = official->model;
    Value record = Value::object();
    record["name"] = file.name;
    record["format"] = file.format;
    if (!file.sha256.empty()) record["sha256"] = file.sha256;
    record["targets"] = Value::array();
    for (const std::string& part : file.parts) record["targets"].push_back(part);
    files.push_back(std::move(record));
  }
  weights.label =
      label_of(options.label.value_or(all_known ? *known : options.fallback_label.value_or(imported.label)));
  weights.provenance["files"] = std::move(files);
  weights.provenance["assumed"] = Value::array();
  for (const std::string& member : imported.assumed) weights.provenance["assumed"].push_back(member);
  std::ranges::sort(imported.ignored);
  imported.ignored.erase(std::unique(imported.ignored.begin(), imported.ignored.end()), imported.ignored.end());
  if (!imported.ignored.empty()) {
    weights.provenance["ignored"] = Value::array();
    for (const std::string& name : imported.ignored) weights.provenance["ignored"].push_back(name);
  }
  weights.content_hash =
      combined_hash(family, weights.configuration, hash_parts(weights.parts, options.threads, where));
  return weights;
}

/// The single safetensors file that `paths` are, or nothing.
std::optional<checkpoints::SafetensorsFile> single_safetensors(const std::vector<fs::path>& paths) {
  std::error_code ignored;
  if (paths.size() != 1) return std::nullopt;
  fs::path path = paths[0];
  if (fs::is_directory(path, ignored)) {
    const std::vector<FileName> files = files_in(path);
    if (files.size() != 1) return std::nullopt;
    path = files[0].path;
  }
  if (core::to_lower(path.extension().string()) != ".safetensors") return std::nullopt;
  return checkpoints::SafetensorsFile(path);
}

void refuse_nothing(const std::vector<fs::path>& paths) {
  if (paths.empty()) throw Error(Code::invalid_argument, "weights", "no file is named");
}

}  // namespace

std::string Weights::name() const { return label + "#" + content_hash.substr(0, 8); }

std::string Weights::architecture() const { return configuration.at("architecture").as_string(); }

std::vector<std::string> Weights::targets() const {
  std::vector<std::string> out;
  for (const Value& target : configuration.at("targets").as_array()) out.push_back(target.as_string());
  return out;
}

std::int64_t Weights::parameters() const {
  std::int64_t count = 0;
  for (const auto& [part, listing] : family->list(configuration)) count += listing.parameters();
  return count;
}

nn::ArraySource Weights::source(std::string_view part) const { return source_from(parts, part, false); }
nn::ArraySource Weights::source_of_all() const { return source_from(parts, "", true); }

void check_fit(const NetworkFamily& family, const Value& configuration, const Parts& parts, std::string_view where) {
  std::vector<std::string> missing, unexpected, shapes;
  const Listings expected = family.list(configuration);
  for (const auto& [part, listing] : expected) {
    const auto found = parts.find(part);
    if (found == parts.end()) {
      missing.push_back(full_name(part, "*", '/'));
      continue;
    }
    std::map<std::string_view, const nn::Shape*> wanted;
    for (const nn::Listing::Entry& entry : listing.entries) wanted[entry.name] = &entry.parameter.shape;
    for (const auto& [name, shape] : wanted) {
      const auto it = found->second.find(name);
      if (it == found->second.end()) {
        missing.push_back(full_name(part, name, '/'));
      } else if (it->second.shape != *shape) {
        shapes.push_back(fmt::format("{} {} instead of {}", full_name(part, name, '/'), shape_text(it->second.shape),
                                     shape_text(*shape)));
      }
    }
    for (const auto& [name, unused] : found->second) {
      if (!wanted.contains(name)) unexpected.push_back(full_name(part, name, '/'));
    }
  }
  for (const auto& [part, unused] : parts) {
    if (!expected.contains(part)) unexpected.push_back(full_name(part, "*", '/'));
  }
  if (missing.empty() && unexpected.empty() && shapes.empty()) return;
  std::vector<std::string> found;
  for (const std::string& text :
       {listed("missing", missing), listed("unexpected", unexpected), listed("of another shape", shapes)}) {
    if (!text.empty()) found.push_back(text);
  }
  const std::size_t targets = configuration.at("targets").size();
  throw Error({Code::checkpoint, std::string(where), "tensors do not fit the architecture",
               fmt::format("{} with {} {}, {}", configuration.at("architecture").as_string(), targets,
                           targets == 1 ? "target" : "targets", family.sizes(configuration)),
               core::join(found, "; "), ""});
}

Weights read_weights(const NetworkFamily& family, const std::vector<fs::path>& paths, const ReadOptions& options) {
  refuse_nothing(paths);
  if (const auto file = single_safetensors(paths)) {
    if (const std::optional<std::string> other = own_family(file->metadata())) {
      if (*other == family.name) return read_own(family, *file, options);
      throw Error({Code::checkpoint, paths[0].string(), "these are weights of another family of networks", family.name,
                   *other, fmt::format("`mssbench methods` tells which methods take weights of {}", *other)});
    }
  }
  return read_foreign(family, paths, options);
}

Weights read_weights(const NetworkFamily& family, const fs::path& path, const ReadOptions& options) {
  return read_weights(family, std::vector<fs::path>{path}, options);
}

Weights read_weights(const std::vector<const NetworkFamily*>& families, const std::vector<fs::path>& paths,
                     const ReadOptions& options) {
  refuse_nothing(paths);
  std::vector<std::string> names;
  for (const NetworkFamily* family : families) names.push_back(family->title);
  const std::string where = paths[0].string();
  if (const auto file = single_safetensors(paths)) {
    if (const std::optional<std::string> own = own_family(file->metadata())) {
      for (const NetworkFamily* family : families) {
        if (family->name == *own) return read_own(*family, *file, options);
      }
      throw Error({Code::checkpoint, where, "weights of a family of networks that this program does not know",
                   core::join(names, ", "), *own, "a newer mssbench may know it"});
    }
  }
  std::error_code ignored;
  const FileName first = fs::is_directory(paths[0], ignored) ? files_in(paths[0]).front() : file_name(paths[0]);
  ReadOptions look = options;
  look.check_names = look.hash_files = false;
  const NetworkFile opened = open_network_file(first, look);
  for (const NetworkFamily* family : families) {
    if (family->recognises(opened)) return read_foreign(*family, paths, options);
  }
  std::vector<std::string> tensors;
  for (const auto& [name, unused] : opened.shapes) tensors.push_back(name);
  throw Error({Code::checkpoint, where, "no network that this program knows", core::join(names, ", "),
               tensors.empty() ? "no tensors" : listed("tensors", tensors),
               "mssbench checkpoint FILE lists what it holds"});
}

Weights find_weights(const NetworkFamily& family, std::string_view reference, const ReadOptions& options) {
  const std::string text(reference);
  const std::size_t mark = text.rfind('#');
  const std::string stem = text.substr(0, mark);
  const std::string hash = mark == std::string::npos ? std::string() : core::to_lower(text.substr(mark + 1));
  std::vector<fs::path> places;
  std::error_code ignored;
  // A name that has a '#' itself.
  if (!text.empty() && fs::exists(text, ignored)) return read_weights(family, fs::path(text), options);
  if (!stem.empty()) places.emplace_back(stem);
  std::vector<std::string> looked;
  // What ships by its label, or by label and hash where the hash is its own; another version of the same label is looked
  // for in the folders.
  if (const std::string_view shipped = shipped_weights_bytes(stem); !shipped.empty() && !fs::exists(stem, ignored)) {
    const checkpoints::SafetensorsFile file(checkpoints::bytes_in_memory(std::string(shipped), stem));
    if (const std::optional<std::string> own = own_family(file.metadata()); own != family.name) {
      throw Error({Code::checkpoint, text, "these are weights of another family of networks", family.name,
                   own.value_or("none"), ""});
    }
    Weights weights = read_own(family, file, options);
    if (weights.content_hash.starts_with(hash)) return weights;
    looked.push_back("the program's own " + weights.name());
  }
  if (stem.find('/') == std::string::npos && !stem.empty()) {
    if (const char* folders = std::getenv("MSSBENCH_WEIGHTS")) {
      for (const std::string& folder : core::split(folders, ':')) {
        if (folder.empty()) continue;
        places.push_back(fs::path(folder) / (stem + ".safetensors"));
        places.push_back(fs::path(folder) / stem);
      }
    }
  }
  for (const fs::path& place : places) {
    looked.push_back(place.string());
    if (!fs::exists(place, ignored)) continue;
    Weights weights = read_weights(family, place, options);
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

Weights random_weights(const NetworkFamily& family, const Value& configuration, std::uint64_t seed) {
  const std::string label = fmt::format("random-{}", seed);
  std::shared_ptr<nn::Source> source = std::make_shared<nn::RandomSource>(seed);
  if (family.initial) source = family.initial(family.normalise(configuration, label), seed);
  Parts parts;
  for (const auto& [part, listing] : family.list(family.normalise(configuration, label))) {
    for (const nn::Listing::Entry& entry : listing.entries) {
      LazyTensor& array = parts[part][entry.name];
      array.shape = entry.parameter.shape;
      array.fetch = [source, name = full_name(part, entry.name, '.'),
                     parameter = entry.parameter](std::span<std::byte> bytes) {
        source->fill(name, parameter, {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)});
      };
    }
  }
  Weights weights = make_weights(family, configuration, std::move(parts), label);
  weights.provenance["note"] = "drawn at random: for tests and timings";
  return weights;
}

Weights make_weights(const NetworkFamily& family, const Value& configuration, Parts parts, std::string label,
                     int threads) {
  Weights weights;
  weights.family = &family;
  weights.configuration = family.normalise(configuration, label);
  weights.parts = std::move(parts);
  weights.label = label_of(label);
  check_fit(family, weights.configuration, weights.parts, label);
  weights.content_hash = combined_hash(family, weights.configuration, hash_parts(weights.parts, threads, label));
  return weights;
}

Weights in_half(const Weights& weights) {
  constexpr std::int64_t kLongVector = 1024;
  constexpr float kLargestHalf = 65504.0F, kSmallestHalf = 6.103515625e-05F;  // the smallest with all its digits
  Parts parts = weights.parts;
  for (auto& [part, arrays] : parts) {
    for (auto& [name, array] : arrays) {
      const bool vector = array.shape.size() < 2;
      if (vector && array.elements() < kLongVector) continue;
      const std::vector<float> values = array.values();
      // Statistics of rare bins may lie where halves have few digits; a matrix' values are sums' terms, and may.
      const auto unfit = [&](float v) {
        const float size = std::fabs(v);
        return size > kLargestHalf || (vector && size > 0 && size < kSmallestHalf);
      };
      if (std::ranges::any_of(values, unfit)) continue;
      array = LazyTensor::half(values, array.shape);
    }
  }
  Weights out = make_weights(*weights.family, weights.configuration, std::move(parts), weights.label);
  out.provenance = weights.provenance;
  out.provenance["float16"] = true;
  return out;
}

void write_weights(const fs::path& path, const Weights& weights) { write_weights(path, weights, {}, {}); }

void write_weights(const fs::path& path, const Weights& weights, const checkpoints::LazyTensors& further,
                   const checkpoints::Metadata& metadata) {
  const NetworkFamily& family = *weights.family;
  const std::string where = "weights " + weights.label;
  Hashes hashes;
  try {
    check_fit(family, weights.configuration, weights.parts, where);
    hashes = hash_parts(weights.parts, 0, where);
  } catch (const Error& error) {
    ErrorParts parts = error.parts();
    if (parts.code == Code::checkpoint) parts.code = Code::invalid_argument;
    throw Error(std::move(parts));
  }
  Value recorded = Value::object();
  recorded["content"] = combined_hash(family, weights.configuration, hashes);
  recorded["targets"] = Value::object();
  for (const auto& [part, digest] : hashes) recorded["targets"][part] = digest;
  checkpoints::LazyTensors tensors;
  for (const auto& [part, arrays] : weights.parts) {
    for (const auto& [name, array] : arrays) {
      LazyTensor stored = array;
      if (array.dtype != DType::f32 && array.dtype != DType::f16 && array.dtype != DType::bf16) {
        stored.dtype = DType::f32;
        stored.fetch = [array = array](std::span<std::byte> bytes) {
          array.read({reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)});
        };
      }
      tensors[full_name(part, name, '/')] = std::move(stored);
    }
  }
  for (const auto& [name, array] : further) {
    if (!name.starts_with('@')) throw Error(Code::invalid_argument, where, "further tensors begin with '@': " + name);
    tensors[name] = array;
  }
  checkpoints::Metadata all = {{"format", format_of(family)},
                               {"version", "1"},
                               {"architecture", weights.architecture()},
                               {"label", weights.label},
                               {"configuration", core::dump_json(weights.configuration)},
                               {"provenance", core::dump_json(weights.provenance)},
                               {"hashes", core::dump_json(recorded)}};
  all.insert(metadata.begin(), metadata.end());
  checkpoints::write_safetensors(path, tensors, all);
}

void export_weights(const fs::path& path, const Weights& weights, const std::optional<std::string>& target) {
  checkpoints::write_safetensors(path, weights.family->state_dict(weights, target),
                                 {{"format", "pt"},
                                  {"mssbench_weights", weights.name()},
                                  {"mssbench_configuration", core::dump_json(weights.configuration)}});
}

std::optional<std::string> official_file(const NetworkFamily& family, std::string_view sha256) {
  const OfficialFile* known = known_file(family, sha256);
  if (known == nullptr) return std::nullopt;
  return known->part.empty() ? known->model : fmt::format("{}, {}", known->model, known->part);
}

}  // namespace mss::methods
