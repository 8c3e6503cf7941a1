#include "methods/weight_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "core/text.h"

namespace mss::methods {
namespace {

namespace fs = std::filesystem;
using checkpoints::DType;

std::optional<int> plain(double number) {
  if (!(number >= 1.0 && number <= 1e6) || number != std::floor(number)) return std::nullopt;
  return static_cast<int>(number);
}

bool has_extension(const fs::path& path, std::initializer_list<std::string_view> extensions) {
  const std::string extension = core::to_lower(path.extension().string());
  return std::ranges::find(extensions, extension) != extensions.end();
}

}  // namespace

FileName file_name(const fs::path& path) {
  FileName out{path, path.stem().string(), ""};
  const std::size_t n = out.stem.size();
  if (n > 9 && (out.stem[n - 9] == '-' || out.stem[n - 9] == '_')) {
    const std::string digits = out.stem.substr(n - 8);
    if (digits.find_first_not_of("0123456789abcdef") == std::string::npos) {
      out.digits = digits;
      out.stem.resize(n - 9);
    }
  }
  return out;
}

checkpoints::LazyTensor NetworkFile::array(const std::string& tensor) const {
  checkpoints::LazyTensor out;
  if (safetensors_ != nullptr) {
    out = safetensors_->lazy(tensor);
  } else {
    const auto found = pytorch->tensors().find(tensor);
    MSS_ASSERT(found != pytorch->tensors().end());
    if (!found->second.dtype) {
      throw Error({Code::checkpoint, where(), fmt::format("tensor '{}' does not hold real numbers", tensor),
                   "floating point", found->second.type, ""});
    }
    out.dtype = *found->second.dtype;
    out.shape = found->second.shape;
    out.fetch = [file = pytorch, tensor](std::span<std::byte> bytes) {
      std::ranges::copy(file->read(tensor).bytes, bytes.begin());
    };
  }
  if (out.dtype != DType::f32 && out.dtype != DType::f64 && out.dtype != DType::f16 && out.dtype != DType::bf16) {
    throw Error({Code::checkpoint, where(), fmt::format("tensor '{}' does not hold real numbers", tensor),
                 "floating point", std::string(checkpoints::dtype_name(out.dtype)), ""});
  }
  return out;
}

std::optional<int> NetworkFile::integer(const std::string& tensor) const {
  const std::vector<double> values =
      safetensors_ != nullptr ? safetensors_->read(tensor).to_double() : pytorch->read(tensor).to_double();
  return values.size() == 1 ? plain(values[0]) : std::nullopt;
}

NetworkFile open_network_file(const FileName& name, const ReadOptions& options) {
  NetworkFile file;
  file.name = name;
  const fs::path& path = name.path;
  const bool claims = !name.digits.empty() && options.check_names;
  if (!name.digits.empty() || options.hash_files) file.sha256 = core::sha256_file(path);
  if (claims && !file.sha256.starts_with(name.digits)) {
    throw Error({Code::checkpoint, path.string(), "the file is not what its name says",
                 "a SHA-256 that begins with " + name.digits, file.sha256.substr(0, 16) + "…",
                 "download it again; a file that was saved anew on purpose goes by the name " + name.stem +
                     path.extension().string() + " (or import it with --unverified)"});
  }
  if (has_extension(path, {".safetensors"})) {
    auto opened = std::make_shared<const checkpoints::SafetensorsFile>(path);
    file.format = "safetensors";
    file.metadata = opened->metadata();
    for (const auto& [tensor, info] : opened->tensors()) file.shapes[tensor] = info.shape;
    file.safetensors_ = std::move(opened);
  } else {
    file.pytorch = std::make_shared<const checkpoints::PytorchFile>(
        path, checkpoints::PickleLimits{.unknown_calls = !options.check_names});
    file.format = fmt::format("PyTorch, {}", checkpoints::layout_name(file.pytorch->layout()));
    for (const auto& [tensor, info] : file.pytorch->tensors()) file.shapes[tensor] = info.shape;
  }
  return file;
}

std::vector<NetworkFile> open_network_files(const std::vector<FileName>& names, const ReadOptions& options) {
  std::vector<NetworkFile> files(names.size());
  core::parallel_for(static_cast<std::int64_t>(names.size()), options.threads, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    files[at] = open_network_file(names[at], options);
  });
  return files;
}

std::vector<FileName> files_in(const fs::path& folder) {
  std::vector<FileName> weights, last_epochs, safe;
  for (const fs::path& path : core::list_directory(folder)) {
    std::error_code ignored;
    if (!fs::is_regular_file(path, ignored)) continue;
    if (has_extension(path, {".pth", ".pt", ".th"})) weights.push_back(file_name(path));
    if (has_extension(path, {".chkpnt", ".ckpt"})) last_epochs.push_back(file_name(path));
    if (has_extension(path, {".safetensors"})) safe.push_back(file_name(path));
  }
  for (FileName& c : last_epochs) {
    if (std::ranges::none_of(weights, [&](const FileName& w) { return w.stem == c.stem; })) {
      weights.push_back(std::move(c));
    }
  }
  // The folder of a training run: the best weights, or the last ones where none were measured.
  for (const char* stem : {"best", "last"}) {
    const bool run =
        std::ranges::any_of(safe, [](const FileName& f) { return f.path.filename() == "last.safetensors"; });
    const auto wanted = std::ranges::find_if(
        safe, [&](const FileName& f) { return f.path.filename() == std::string(stem) + ".safetensors"; });
    if (run && wanted != safe.end()) return {*wanted};
  }
  if (weights.empty()) weights = std::move(safe);
  if (weights.empty()) {
    throw Error({Code::checkpoint, folder.string(), "the folder holds no weights", ".pth, .th, .ckpt or .safetensors",
                 "", "official files have names such as vocals-b62c91ce.pth"});
  }
  return weights;
}

std::string folder_name(const fs::path& folder) {
  std::error_code ignored;
  const fs::path whole = fs::weakly_canonical(folder, ignored);
  return (ignored ? folder : whole).filename().string();
}

NamedFiles named_files(const std::vector<fs::path>& paths) {
  NamedFiles out;
  for (const fs::path& path : paths) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
      for (FileName& name : files_in(path)) out.files.push_back(std::move(name));
      out.label = folder_name(path);
    } else {
      out.files.push_back(file_name(path));
    }
  }
  if (out.label.empty() && !out.files.empty()) out.label = out.files.front().stem;
  return out;
}

std::string last_component(std::string_view prefix) {
  while (!prefix.empty() && (prefix.back() == '.' || prefix.back() == '/')) prefix.remove_suffix(1);
  return std::string(prefix.substr(prefix.find_last_of("./") + 1));
}

bool is_container(std::string_view name) {
  constexpr std::array<std::string_view, 12> kContainers = {
      "",    "state_dict", "model", "model_state_dict", "model_state", "module",
      "net", "network",    "state", "weights",          "_orig_mod",   "params"};
  return std::ranges::find(kContainers, name) != kContainers.end();
}

std::optional<int> plain_integer(const core::Value* value) {
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return plain(value->as_real());
}

std::optional<int> plain_integer(const std::optional<checkpoints::PickleValue>& value) {
  const auto number = value ? value->as_real() : std::nullopt;
  return number ? plain(*number) : std::nullopt;
}

std::string listed(std::string_view title, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  const std::size_t shown = std::min<std::size_t>(names.size(), 5);
  return fmt::format("{} {}: {}{}", names.size(), title,
                     fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                     names.size() > shown ? ", …" : "");
}

std::string shape_text(const nn::Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace mss::methods
