#include "methods/nmf/dictionary.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>

#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/text.h"
#include "methods/nmf/shipped.h"

namespace mss::methods::nmf {
namespace {

constexpr std::string_view kFormat = "mssbench-nmf-dictionary";
constexpr std::string_view kPrefix = "templates.";
const std::set<std::string, std::less<>> kReserved = {"format",   "version",     "targets", "rate_hz",
                                                      "fft_size", "hop_samples", "beta"};

[[noreturn]] void unfit(const std::string& file, std::string what, std::string expected = {}, std::string found = {}) {
  throw Error(
      {Code::checkpoint, file, "not a usable NMF dictionary: " + what, std::move(expected), std::move(found), {}});
}

/// A safetensors file or its bytes in memory.
struct Content {
  std::string where;
  const checkpoints::Metadata& metadata;
  std::function<checkpoints::Tensor(const std::string& name)> read;
};

const std::string& meta(const Content& file, std::string_view key) {
  const auto it = file.metadata.find(key);
  if (it == file.metadata.end()) unfit(file.where, fmt::format("metadata '{}' is missing", key));
  return it->second;
}

int positive(const Content& file, std::string_view key, int maximum) {
  const std::string& text = meta(file, key);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > maximum) {
    unfit(file.where, fmt::format("metadata '{}' is out of range", key), fmt::format("1 to {}", maximum),
          "'" + text + "'");
  }
  return value;
}

Dictionary read_content(const Content& file) {
  const std::string& where = file.where;
  if (const auto it = file.metadata.find("format"); it == file.metadata.end() || it->second != kFormat) {
    unfit(where, "another kind of file", fmt::format("metadata format = {}", kFormat),
          it == file.metadata.end() ? "none" : "'" + it->second + "'");
  }
  if (meta(file, "version") != "1") unfit(where, "unknown version", "1", "'" + meta(file, "version") + "'");
  Dictionary d;
  d.rate_hz = positive(file, "rate_hz", 768000);
  d.stft.fft_size = positive(file, "fft_size", 1 << 20);
  d.stft.hop_samples = positive(file, "hop_samples", d.stft.fft_size);
  if (d.stft.fft_size % 2 != 0) unfit(where, "fft_size is odd", "an even number", fmt::format("{}", d.stft.fft_size));
  const std::string& beta = meta(file, "beta");
  const auto [end, error] = std::from_chars(beta.data(), beta.data() + beta.size(), d.beta);
  if (error != std::errc() || end != beta.data() + beta.size() || !std::isfinite(d.beta)) {
    unfit(where, "metadata 'beta' is no number", "a finite number", "'" + beta + "'");
  }
  for (const auto& [key, value] : file.metadata) {
    if (kReserved.find(key) == kReserved.end()) d.provenance[key] = value;
  }
  const core::Value targets = core::parse_json(meta(file, "targets"), where + ": targets");
  if (!targets.is_array() || targets.size() == 0) unfit(where, "metadata 'targets' is no list of names");
  std::set<std::string> seen;
  for (const auto& target : targets.as_array()) {
    if (!target.is_string() || !seen.insert(target.as_string()).second)
      unfit(where, "metadata 'targets' is no list of different names");
    DictionaryPart part;
    part.target = target.as_string();
    const std::string name = std::string(kPrefix) + part.target;
    const checkpoints::Tensor tensor = file.read(name);
    const auto& shape = tensor.shape;
    if (shape.size() != 3 || shape[0] != d.stft.bins() || shape[1] < 1 || shape[2] < 1 || shape[1] > 4096 ||
        shape[2] > 65536 || (!d.parts.empty() && shape[1] != d.template_frames)) {
      unfit(where, fmt::format("tensor '{}' has a wrong shape", name),
            fmt::format("[{}, T, R], T equal in all", d.stft.bins()), fmt::format("[{}]", fmt::join(shape, ", ")));
    }
    d.template_frames = static_cast<int>(shape[1]);
    part.components = static_cast<int>(shape[2]);
    part.w = tensor.to_float();
    std::vector<double> sums(static_cast<std::size_t>(part.components), 0.0);
    for (std::size_t i = 0; i < part.w.size(); ++i) {
      if (!(part.w[i] >= 0) || !std::isfinite(part.w[i])) {
        unfit(where, fmt::format("tensor '{}' has an entry that is negative or not finite", name));
      }
      sums[i % sums.size()] += static_cast<double>(part.w[i]);
    }
    for (const double sum : sums) {
      if (!(sum > 0)) unfit(where, fmt::format("tensor '{}' has an all-zero template", name));
    }
    for (std::size_t i = 0; i < part.w.size(); ++i) {
      part.w[i] = static_cast<float>(static_cast<double>(part.w[i]) / sums[i % sums.size()]);
    }
    d.parts.push_back(std::move(part));
  }
  return d;
}

}  // namespace

std::vector<std::string> Dictionary::targets() const {
  std::vector<std::string> names;
  for (const auto& part : parts) names.push_back(part.target);
  return names;
}

int Dictionary::components() const noexcept {
  int sum = 0;
  for (const auto& part : parts) sum += part.components;
  return sum;
}

std::vector<float> Dictionary::stacked() const {
  const std::int64_t rows = std::int64_t{stft.bins()} * template_frames;
  std::vector<float> w;
  w.reserve(static_cast<std::size_t>(rows * components()));
  for (std::int64_t i = 0; i < rows; ++i) {
    for (const auto& part : parts) {
      w.insert(w.end(), part.w.begin() + i * part.components, part.w.begin() + (i + 1) * part.components);
    }
  }
  return w;
}

std::string Dictionary::name() const { return label + "#" + sha256.substr(0, 8); }

Dictionary read_dictionary(const std::filesystem::path& path) {
  const checkpoints::SafetensorsFile file(path);
  Dictionary d =
      read_content({path.string(), file.metadata(), [&](const std::string& name) { return file.read(name); }});
  d.label = path.stem().string();
  d.sha256 = core::sha256_file(path);
  return d;
}

Dictionary parse_dictionary(std::string_view bytes, std::string_view label) {
  const std::string where(label);
  std::uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) throw Error(Code::format, where, "not a safetensors file: too short");
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  bytes.remove_prefix(sizeof header_bytes);
  if (header_bytes > bytes.size()) throw Error(Code::format, where, "not a safetensors file: header beyond the end");
  const std::string_view data = bytes.substr(header_bytes);
  const auto header = checkpoints::parse_safetensors_header(bytes.substr(0, header_bytes), data.size(), where);
  const auto read = [&](const std::string& name) {
    const auto found = header.tensors.find(name);
    if (found == header.tensors.end()) unfit(where, "tensor '" + name + "' is missing");
    const checkpoints::TensorInfo& info = found->second;
    checkpoints::Tensor tensor{info.dtype, info.shape, std::vector<std::byte>(info.end - info.begin)};
    if (!tensor.bytes.empty()) std::memcpy(tensor.bytes.data(), data.data() + info.begin, tensor.bytes.size());
    return tensor;
  };
  Dictionary d = read_content({where, header.metadata, read});
  d.label = where;
  d.sha256 = core::sha256_hex(std::string_view(bytes.data() - sizeof header_bytes, bytes.size() + sizeof header_bytes));
  return d;
}

void write_dictionary(const std::filesystem::path& path, const Dictionary& d) {
  checkpoints::Tensors tensors;
  core::Value targets = core::Value::array();
  if (d.parts.empty()) throw Error(Code::invalid_argument, path.string(), "a dictionary without targets");
  for (const auto& part : d.parts) {
    targets.push_back(core::Value(part.target));
    const auto inserted =
        tensors.emplace(std::string(kPrefix) + part.target,
                        checkpoints::Tensor::from(
                            part.w, {d.stft.bins(), std::int64_t{d.template_frames}, std::int64_t{part.components}}));
    if (!inserted.second)
      throw Error(Code::invalid_argument, path.string(), "target '" + part.target + "' occurs twice");
  }
  checkpoints::Metadata metadata = d.provenance;
  metadata["format"] = std::string(kFormat);
  metadata["version"] = "1";
  metadata["targets"] = core::dump_json(targets);
  metadata["rate_hz"] = fmt::format("{}", d.rate_hz);
  metadata["fft_size"] = fmt::format("{}", d.stft.fft_size);
  metadata["hop_samples"] = fmt::format("{}", d.stft.hop_samples);
  metadata["beta"] = core::format_real(d.beta);
  checkpoints::write_safetensors(path, tensors, metadata);
}

Dictionary find_dictionary(std::string_view reference) {
  namespace fs = std::filesystem;
  const std::string text(reference);
  std::error_code ignored;
  if (fs::is_regular_file(text, ignored)) return read_dictionary(text);
  const std::size_t mark = text.rfind('#');
  std::vector<std::string> looked = {text};
  // A shipped dictionary by its label, or by label and hash where the hash is its own; another version of the same
  // label is looked for in the folders.
  const std::string label = text.substr(0, mark);
  if (const std::string_view bytes = shipped_bytes(label); !bytes.empty()) {
    Dictionary d = parse_dictionary(bytes, label);
    if (mark == std::string::npos || d.sha256.starts_with(text.substr(mark + 1))) return d;
    looked.push_back("the program's own " + d.name());
  }
  if (mark != std::string::npos && mark > 0 && mark + 1 < text.size()) {
    const std::string stem = text.substr(0, mark), hash = text.substr(mark + 1);
    std::vector<fs::path> candidates = {stem, stem + ".safetensors"};
    if (const char* folders = std::getenv("MSSBENCH_WEIGHTS")) {
      for (const auto& folder : core::split(folders, ':')) {
        if (!folder.empty()) candidates.push_back(fs::path(folder) / (stem + ".safetensors"));
      }
    }
    for (const auto& candidate : candidates) {
      looked.push_back(candidate.string());
      if (!fs::is_regular_file(candidate, ignored)) continue;
      Dictionary d = read_dictionary(candidate);
      if (!d.sha256.starts_with(hash)) {
        throw Error({Code::checkpoint, candidate.string(), "the dictionary's content is not what the spec names",
                     "#" + hash, "#" + d.sha256.substr(0, 8),
                     "give the path of the right file, or of this one without its hash"});
      }
      return d;
    }
  }
  throw Error({Code::checkpoint,
               text,
               "no such dictionary",
               {},
               "nothing at " + core::join(looked, ", "),
               "give its path, or put LABEL.safetensors into a folder that MSSBENCH_WEIGHTS names"});
}

}  // namespace mss::methods::nmf
