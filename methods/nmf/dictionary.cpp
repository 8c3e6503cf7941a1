#include "methods/nmf/dictionary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/json.h"
#include "methods/nmf/shipped.h"
#include "methods/nmf/stored.h"

namespace mss::methods::nmf {
namespace {

constexpr std::string_view kFormat = "mssbench-nmf-dictionary";
constexpr std::string_view kKind = "NMF dictionary";
constexpr std::string_view kPrefix = "templates.";
constexpr std::string_view kCalibration = "calibration.weights";
const std::set<std::string, std::less<>> kReserved = {"format",   "version",     "targets", "rate_hz",
                                                      "fft_size", "hop_samples", "beta",    "members"};

std::string tensor_name(const std::string& target, int member, int members) {
  return members == 1 ? std::string(kPrefix) + target : fmt::format("{}{}.{}", kPrefix, member + 1, target);
}

/// Templates of one target, scaled to unit sum.
DictionaryPart read_part(const Content& file, const std::string& target, int member, Dictionary& d) {
  DictionaryPart part;
  part.target = target;
  const std::string name = tensor_name(target, member, d.members);
  const checkpoints::Tensor tensor = file.read(name);
  const auto& shape = tensor.shape;
  if (shape.size() != 3 || shape[0] != d.stft.bins() || shape[1] < 1 || shape[2] < 1 || shape[1] > 4096 ||
      shape[2] > 65536 || (!d.parts.empty() && shape[1] != d.template_frames)) {
    file.unfit(fmt::format("tensor '{}' has a wrong shape", name),
               fmt::format("[{}, T, R], T equal in all", d.stft.bins()), fmt::format("[{}]", fmt::join(shape, ", ")));
  }
  d.template_frames = static_cast<int>(shape[1]);
  part.components = static_cast<int>(shape[2]);
  part.w = tensor.to_float();
  std::vector<double> sums(static_cast<std::size_t>(part.components), 0.0);
  for (std::size_t i = 0; i < part.w.size(); ++i) {
    if (!(part.w[i] >= 0) || !std::isfinite(part.w[i])) {
      file.unfit(fmt::format("tensor '{}' has an entry that is negative or not finite", name));
    }
    sums[i % sums.size()] += static_cast<double>(part.w[i]);
  }
  for (const double sum : sums) {
    if (!(sum > 0)) file.unfit(fmt::format("tensor '{}' has an all-zero template", name));
  }
  for (std::size_t i = 0; i < part.w.size(); ++i) {
    part.w[i] = static_cast<float>(static_cast<double>(part.w[i]) / sums[i % sums.size()]);
  }
  return part;
}

void read_calibration(const Content& file, Dictionary& d) {
  const checkpoints::Tensor tensor = file.read(std::string(kCalibration));
  const auto& shape = tensor.shape;
  Calibration& c = d.calibration;
  c.targets = d.target_count();
  if (shape.size() != 3 || shape[0] < 1 || shape[0] > 64 || shape[1] != c.targets || shape[2] != c.size() ||
      d.template_frames != 1) {
    file.unfit(fmt::format("tensor '{}' has a wrong shape", kCalibration),
               fmt::format("[bands, {}, {}] beside templates of one frame", c.targets, c.size()),
               fmt::format("[{}], {} frames", fmt::join(shape, ", "), d.template_frames));
  }
  c.bands = static_cast<int>(shape[0]);
  c.weights = tensor.to_float();
  for (const float x : c.weights) {
    // Far beyond what learning can reach; larger ones could overflow in the masks.
    if (!(std::abs(x) <= 1e4F))
      file.unfit(fmt::format("tensor '{}' has an entry that is not finite or too large", kCalibration));
  }
}

Dictionary read_content(const Content& file, std::string label, std::string sha256) {
  file.check_format(kFormat, "12");
  Dictionary d;
  d.rate_hz = file.positive("rate_hz", 768000);
  d.stft.fft_size = file.positive("fft_size", 1 << 20);
  d.stft.hop_samples = file.positive("hop_samples", d.stft.fft_size);
  if (d.stft.fft_size % 2 != 0) file.unfit("fft_size is odd", "an even number", fmt::format("{}", d.stft.fft_size));
  d.beta = file.real("beta");
  for (const auto& [key, value] : file.metadata) {
    if (kReserved.find(key) == kReserved.end()) d.provenance[key] = value;
  }
  const std::vector<std::string> targets = file.targets();
  if (file.metadata.find("members") != file.metadata.end()) d.members = file.positive("members", 64);
  for (int m = 0; m < d.members; ++m) {
    for (const auto& target : targets) d.parts.push_back(read_part(file, target, m, d));
  }
  if (file.has(std::string(kCalibration))) read_calibration(file, d);
  d.label = std::move(label);
  d.sha256 = std::move(sha256);
  return d;
}

}  // namespace

std::vector<std::string> Dictionary::targets() const {
  std::vector<std::string> names;
  for (int j = 0; j < target_count(); ++j) names.push_back(parts[static_cast<std::size_t>(j)].target);
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

Dictionary Dictionary::member(int m) const {
  MSS_ASSERT(m >= 0 && m < members);
  Dictionary one;
  one.rate_hz = rate_hz;
  one.stft = stft;
  one.template_frames = template_frames;
  one.beta = beta;
  one.parts.assign(parts.begin() + std::ptrdiff_t{m} * target_count(),
                   parts.begin() + std::ptrdiff_t{m + 1} * target_count());
  one.label = label;
  one.sha256 = sha256;
  return one;
}

std::string Dictionary::name() const { return label + "#" + sha256.substr(0, 8); }

Dictionary read_dictionary(const std::filesystem::path& path) {
  Dictionary d;
  with_file(path, kKind, [&](const Content& content, std::string label, std::string sha256) {
    d = read_content(content, std::move(label), std::move(sha256));
  });
  return d;
}

Dictionary parse_dictionary(std::string_view bytes, std::string_view label) {
  Dictionary d;
  with_bytes(bytes, label, kKind, [&](const Content& content, std::string name, std::string sha256) {
    d = read_content(content, std::move(name), std::move(sha256));
  });
  return d;
}

void write_dictionary(const std::filesystem::path& path, const Dictionary& d) {
  checkpoints::Tensors tensors;
  core::Value targets = core::Value::array();
  if (d.parts.empty()) throw Error(Code::invalid_argument, path.string(), "a dictionary without targets");
  if (d.members < 1 || d.parts.size() % static_cast<std::size_t>(d.members) != 0)
    throw Error(Code::invalid_argument, path.string(), "members that differ in their targets");
  for (std::size_t i = 0; i < d.parts.size(); ++i) {
    const DictionaryPart& part = d.parts[i];
    const auto count = static_cast<std::size_t>(d.target_count());
    if (i < count) targets.push_back(core::Value(part.target));
    if (part.target != d.parts[i % count].target)
      throw Error(Code::invalid_argument, path.string(), "members that differ in their targets");
    const auto inserted =
        tensors.emplace(tensor_name(part.target, static_cast<int>(i / count), d.members),
                        checkpoints::Tensor::from(
                            part.w, {d.stft.bins(), std::int64_t{d.template_frames}, std::int64_t{part.components}}));
    if (!inserted.second)
      throw Error(Code::invalid_argument, path.string(), "target '" + part.target + "' occurs twice");
  }
  if (const Calibration& c = d.calibration; !c.empty()) {
    tensors.emplace(kCalibration, checkpoints::Tensor::from(c.weights, {std::int64_t{c.bands}, c.targets, c.size()}));
  }
  checkpoints::Metadata metadata = d.provenance;
  metadata["format"] = std::string(kFormat);
  // Readers of version 1 know neither members nor calibrations, and would separate without them.
  metadata["version"] = d.members > 1 || !d.calibration.empty() ? "2" : "1";
  if (d.members > 1) metadata["members"] = fmt::format("{}", d.members);
  metadata["targets"] = core::dump_json(targets);
  metadata["rate_hz"] = fmt::format("{}", d.rate_hz);
  metadata["fft_size"] = fmt::format("{}", d.stft.fft_size);
  metadata["hop_samples"] = fmt::format("{}", d.stft.hop_samples);
  metadata["beta"] = core::format_real(d.beta);
  checkpoints::write_safetensors(path, tensors, metadata);
}

Dictionary find_dictionary(std::string_view reference) {
  Dictionary d;
  find_stored(
      reference, kKind, shipped_bytes(reference.substr(0, reference.rfind('#'))),
      [&](const std::filesystem::path& path) { return (d = read_dictionary(path)).sha256; },
      [&](std::string_view bytes, std::string_view label) { return (d = parse_dictionary(bytes, label)).sha256; });
  return d;
}

}  // namespace mss::methods::nmf
