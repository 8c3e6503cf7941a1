#include "methods/nmf/stored.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <vector>

#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/text.h"

namespace mss::methods::nmf {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

}  // namespace

void Content::unfit(std::string what, std::string expected, std::string found) const {
  throw Error({Code::checkpoint,
               where,
               fmt::format("not a usable {}: {}", kind, what),
               std::move(expected),
               std::move(found),
               {}});
}

const std::string& Content::meta(std::string_view key) const {
  const auto it = metadata.find(key);
  if (it == metadata.end()) unfit(fmt::format("metadata '{}' is missing", key));
  return it->second;
}

int Content::positive(std::string_view key, int maximum) const {
  const std::string& text = meta(key);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > maximum)
    unfit(fmt::format("metadata '{}' is out of range", key), fmt::format("1 to {}", maximum), "'" + text + "'");
  return value;
}

double Content::real(std::string_view key) const {
  const std::string& text = meta(key);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    unfit(fmt::format("metadata '{}' is no number", key), "a finite number", "'" + text + "'");
  return value;
}

void Content::check_format(std::string_view format, std::string_view versions) const {
  if (const auto it = metadata.find("format"); it == metadata.end() || it->second != format) {
    unfit("another kind of file", fmt::format("metadata format = {}", format),
          it == metadata.end() ? "none" : "'" + it->second + "'");
  }
  const std::string& version = meta("version");
  if (version.size() != 1 || versions.find(version) == std::string_view::npos)
    unfit("unknown version", fmt::format("one of {}", versions), "'" + version + "'");
}

std::vector<std::string> Content::targets() const {
  const core::Value list = core::parse_json(meta("targets"), where + ": targets");
  if (!list.is_array() || list.size() == 0) unfit("metadata 'targets' is no list of names");
  std::set<std::string> seen;
  std::vector<std::string> names;
  for (const auto& target : list.as_array()) {
    if (!target.is_string() || !seen.insert(target.as_string()).second)
      unfit("metadata 'targets' is no list of different names");
    names.push_back(target.as_string());
  }
  return names;
}

void with_file(const fs::path& path, std::string_view kind,
               const std::function<void(const Content&, std::string, std::string)>& use) {
  const checkpoints::SafetensorsFile file(path);
  use({path.string(), std::string(kind), file.metadata(), [&](const std::string& name) { return file.read(name); },
       [&](const std::string& name) { return file.contains(name); }},
      path.stem().string(), core::sha256_file(path));
}

void with_bytes(std::string_view bytes, std::string_view label, std::string_view kind,
                const std::function<void(const Content&, std::string, std::string)>& use) {
  const std::string_view whole = bytes;
  const std::string where(label);
  std::uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) throw Error(Code::format, where, "not a safetensors file: too short");
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  bytes.remove_prefix(sizeof header_bytes);
  if (header_bytes > bytes.size()) throw Error(Code::format, where, "not a safetensors file: header beyond the end");
  const std::string_view data = bytes.substr(header_bytes);
  const auto header = checkpoints::parse_safetensors_header(bytes.substr(0, header_bytes), data.size(), where);
  Content content{where, std::string(kind), header.metadata, {}, {}};
  content.has = [&](const std::string& name) { return header.tensors.find(name) != header.tensors.end(); };
  content.read = [&](const std::string& name) {
    const auto found = header.tensors.find(name);
    if (found == header.tensors.end()) content.unfit("tensor '" + name + "' is missing");
    const checkpoints::TensorInfo& info = found->second;
    checkpoints::Tensor tensor{info.dtype, info.shape, std::vector<std::byte>(info.end - info.begin)};
    if (!tensor.bytes.empty()) std::memcpy(tensor.bytes.data(), data.data() + info.begin, tensor.bytes.size());
    return tensor;
  };
  use(content, where, core::sha256_hex(whole));
}

void find_stored(std::string_view reference, std::string_view kind, std::string_view shipped,
                 const std::function<std::string(const fs::path&)>& read,
                 const std::function<std::string(std::string_view, std::string_view)>& parse) {
  const std::string text(reference);
  if (is_file(text)) {
    read(text);
    return;
  }
  const std::size_t mark = text.rfind('#');
  std::vector<std::string> looked = {text};
  // What ships by its label, or by label and hash where the hash is its own; another version of the same label is
  // looked for in the folders.
  const std::string label = text.substr(0, mark);
  if (!shipped.empty()) {
    const std::string sha256 = parse(shipped, label);
    if (mark == std::string::npos || sha256.starts_with(text.substr(mark + 1))) return;
    looked.push_back("the program's own " + label + "#" + sha256.substr(0, 8));
  }
  if (mark != std::string::npos && mark > 0 && mark + 1 < text.size()) {
    const std::string hash = text.substr(mark + 1);
    std::vector<fs::path> candidates = {label, label + ".safetensors"};
    if (const char* folders = std::getenv("MSSBENCH_WEIGHTS")) {
      for (const auto& folder : core::split(folders, ':')) {
        if (!folder.empty()) candidates.push_back(fs::path(folder) / (label + ".safetensors"));
      }
    }
    for (const auto& candidate : candidates) {
      looked.push_back(candidate.string());
      if (!is_file(candidate)) continue;
      const std::string sha256 = read(candidate);
      if (sha256.starts_with(hash)) return;
      throw Error({Code::checkpoint, candidate.string(),
                   fmt::format("the {}'s content is not what the spec names", kind), "#" + hash,
                   "#" + sha256.substr(0, 8), "give the path of the right file, or of this one without its hash"});
    }
  }
  throw Error({Code::checkpoint,
               text,
               fmt::format("no such {}", kind),
               {},
               "nothing at " + core::join(looked, ", "),
               "give its path, or put LABEL.safetensors into a folder that MSSBENCH_WEIGHTS names"});
}

}  // namespace mss::methods::nmf
