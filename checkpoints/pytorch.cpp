#include "checkpoints/pytorch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "checkpoints/zip_archive.h"
#include "core/error.h"
#include "core/text.h"

namespace mss::checkpoints {
namespace {

using Kind = PickleKind;

constexpr int kDepth = 100;
constexpr std::size_t kVisits = 2'000'000;
constexpr std::uint64_t kNameBytes = 256ULL << 20;
// What the tensors of one file may take beyond a few times its size: expanded tensors and shared storages are legal, a
// small file that fills the memory is not.
constexpr std::uint64_t kExpandedBytes = 256ULL << 20, kExpandedFiles = 4;
constexpr std::string_view kMagic = "0x1950a86a20f9469cfc6c";

struct ElementType {
  std::string_view storage;  // torch.<storage>
  std::string_view name;     // torch.<name>
  std::size_t bytes;
  std::optional<DType> dtype;
};
constexpr std::array kTypes = {ElementType{"FloatStorage", "float32", 4, DType::f32},
                               ElementType{"DoubleStorage", "float64", 8, DType::f64},
                               ElementType{"HalfStorage", "float16", 2, DType::f16},
                               ElementType{"BFloat16Storage", "bfloat16", 2, DType::bf16},
                               ElementType{"LongStorage", "int64", 8, DType::i64},
                               ElementType{"IntStorage", "int32", 4, DType::i32},
                               ElementType{"ShortStorage", "int16", 2, DType::i16},
                               ElementType{"CharStorage", "int8", 1, DType::i8},
                               ElementType{"ByteStorage", "uint8", 1, DType::u8},
                               ElementType{"BoolStorage", "bool", 1, DType::boolean},
                               ElementType{"", "uint64", 8, DType::u64},
                               ElementType{"", "uint32", 4, DType::u32},
                               ElementType{"", "uint16", 2, DType::u16},
                               ElementType{"ComplexFloatStorage", "complex64", 8, std::nullopt},
                               ElementType{"ComplexDoubleStorage", "complex128", 16, std::nullopt},
                               ElementType{"", "complex32", 4, std::nullopt},
                               ElementType{"QInt8Storage", "qint8", 1, std::nullopt},
                               ElementType{"QUInt8Storage", "quint8", 1, std::nullopt},
                               ElementType{"QInt32Storage", "qint32", 4, std::nullopt},
                               ElementType{"", "float8_e4m3fn", 1, std::nullopt},
                               ElementType{"", "float8_e4m3fnuz", 1, std::nullopt},
                               ElementType{"", "float8_e5m2", 1, std::nullopt},
                               ElementType{"", "float8_e5m2fnuz", 1, std::nullopt},
                               ElementType{"", "float8_e8m0fnu", 1, std::nullopt},
                               ElementType{"UntypedStorage", "untyped", 1, std::nullopt}};

std::string_view last_part(std::string_view full) { return full.substr(full.rfind('.') + 1); }

const ElementType* storage_type(std::string_view full) {
  if (!full.starts_with("torch.")) return nullptr;
  const auto it = std::ranges::find(kTypes, last_part(full), &ElementType::storage);
  return it == kTypes.end() || it->storage.empty() ? nullptr : &*it;
}

const ElementType* element_type(std::string_view full) {
  const auto it = std::ranges::find(kTypes, last_part(full), &ElementType::name);
  return it == kTypes.end() || !full.starts_with("torch.") || it->name == "untyped" ? nullptr : &*it;
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

/// Fit for messages and for JSON: bytes that are no UTF-8 text as \xNN.
std::string readable(std::string_view text) {
  if (core::is_utf8(text)) return std::string(text);
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 128 ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return out;
}

std::optional<std::vector<std::int64_t>> integers(const PickleValue& value) {
  if (!value.is(Kind::tuple) && !value.is(Kind::list)) {
    // torch.Size((2, 3)), as some writers keep it.
    if (value.class_name() == "torch.Size" && value.arguments().is(Kind::tuple) && value.arguments().size() == 1) {
      return integers(value.arguments().element(0));
    }
    return std::nullopt;
  }
  if (value.size() > 64) return std::nullopt;
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const auto n = value.element(i).as_integer();
    if (!n || *n < 0) return std::nullopt;
    out.push_back(*n);
  }
  return out;
}

bool starts_without_case(std::string_view text, std::string_view word) {
  return core::to_lower(text.substr(0, word.size())) == word;
}

}  // namespace

std::string_view layout_name(PytorchLayout layout) noexcept {
  return layout == PytorchLayout::zip ? "zip" : layout == PytorchLayout::legacy ? "legacy" : "pickle";
}

std::int64_t PytorchTensor::elements() const noexcept {
  if (std::ranges::find(shape, 0) != shape.end()) return 0;
  std::int64_t n = 1;
  for (const std::int64_t x : shape) n *= x;
  return n;
}

bool PytorchTensor::contiguous() const noexcept {
  if (elements() == 0) return true;
  std::int64_t step = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && stride[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

std::optional<std::string> guess_format(const ByteSource& source) {
  if (source.size() == 0) return "empty";
  const std::string head = source.read(0, static_cast<std::size_t>(std::min<std::uint64_t>(source.size(), 512)));
  const auto is = [&](std::string_view magic) { return head.starts_with(magic); };
  if (is(std::string_view("PK\x03\x04", 4)) || is(std::string_view("PK\x05\x06", 4))) return "PyTorch (zip)";
  if (head.size() >= 262 && head.compare(257, 5, "ustar") == 0) return "a tar archive";
  if (is("\x1f\x8b")) return "compressed with gzip";
  if (is("BZh")) return "compressed with bzip2";
  if (is(std::string_view("\xfd"
                          "7zXZ\0",
                          6))) {
    return "compressed with xz";
  }
  if (is("\x28\xb5\x2f\xfd")) return "compressed with zstd";
  if (is("\x89HDF")) return "an HDF5 file";
  if (is("version https://git-lfs")) return "a Git LFS pointer (the weights themselves were not fetched)";
  const auto first = head.find_first_not_of(" \t\r\n");
  const std::string_view text = first == std::string::npos ? std::string_view() : std::string_view(head).substr(first);
  for (const char* page : {"<!doctype", "<html", "<head", "<?xml", "<!--"}) {
    if (starts_without_case(text, page)) return "a web page";
  }
  if (head.size() > 9 && head[8] == '{' && head[7] == 0 && head[6] == 0 && head[5] == 0) return "safetensors";
  if (!text.empty() && (text[0] == '{' || text.starts_with("[{") || text.starts_with("[\""))) return "JSON text";
  if (std::string_view("\x80(])}cldI").find(head[0]) != std::string_view::npos) return "PyTorch (legacy) or pickle";
  return std::nullopt;
}

/// Fills a PytorchFile.
class PytorchIndex {
 public:
  PytorchIndex(PytorchFile& file, const PickleLimits& limits) : file_(file), source_(*file.source_), limits_(limits) {}

  void build() {
    const auto guess = guess_format(source_);
    if (guess == "PyTorch (zip)") {
      open_zip();
    } else if (guess == "PyTorch (legacy) or pickle") {
      open_pickles();
    } else {
      refuse(guess);
    }
  }

 private:
  [[noreturn]] void refuse(const std::optional<std::string>& guess) const {
    const std::string expected = "a zip archive or a pickle";
    if (guess == "a tar archive") {
      throw Error({Code::unsupported, source_.name(), "tar files of PyTorch before 0.1.10 (2016) are not read",
                   expected, "a tar archive", "load and save it again with any newer PyTorch"});
    }
    std::string found = guess.value_or("");
    if (!guess) {
      const std::string head = source_.read(0, static_cast<std::size_t>(std::min<std::uint64_t>(8, source_.size())));
      for (const char c : head)
        found += fmt::format("{}{:02x}", found.empty() ? "bytes " : " ", static_cast<unsigned char>(c));
    }
    std::string hint;
    if (guess == "a web page" || guess == "JSON text")
      hint = "the download gave a message instead of the file; open it in a text editor";
    if (guess == "safetensors") hint = "it is read by name: give it the extension .safetensors";
    if (found.starts_with("compressed")) hint = "unpack it first";
    throw Error({Code::format, source_.name(), guess == "empty" ? "the file is empty" : "not a PyTorch file", expected,
                 guess == "empty" ? "0 bytes" : found, hint});
  }

  [[noreturn]] void bad(std::string_view tensor, std::string what, std::string expected = {}, std::string found = {},
                        Code code = Code::format) const {
    throw Error({code, source_.name(), fmt::format("tensor '{}': {}", tensor, what), std::move(expected),
                 std::move(found), ""});
  }

  void open_zip() {
    file_.layout_ = PytorchLayout::zip;
    entries_ = detail::read_zip_directory(source_);
    std::vector<std::string> objects;
    for (const auto& [name, unused] : entries_) {
      if (name == "data.pkl" || (name.ends_with("/data.pkl") && std::ranges::count(name, '/') == 1))
        objects.push_back(name);
    }
    if (objects.size() != 1) {
      throw Error({Code::format, source_.name(), "a zip archive, but not of PyTorch", "one entry NAME/data.pkl",
                   objects.empty() ? "none" : fmt::format("{}", objects.size()), ""});
    }
    const std::string prefix = objects[0].substr(0, objects[0].size() - std::string_view("data.pkl").size());
    data_ = prefix + "data/";
    const auto order = entries_.find(prefix + "byteorder");
    if (order != entries_.end()) {
      const std::string text =
          source_.read(order->second.begin, static_cast<std::size_t>(std::min<std::uint64_t>(order->second.bytes, 16)));
      if (text != "little" && text != "big") {
        throw Error(
            {Code::format, source_.name(), "unknown byte order", "little or big", "'" + readable(text) + "'", ""});
      }
      file_.big_endian_ = text == "big";
    }
    const detail::ZipEntry& object = entries_.find(objects[0])->second;
    file_.tree_ = read_pickle(source_, object.begin, object.begin + object.bytes, objects[0], limits_);
    collect();
  }

  void open_pickles() {
    std::uint64_t at = 0;
    const auto next = [&](std::string_view part) {
      auto tree = read_pickle(source_, at, source_.size(), part, limits_);
      at = tree->end();
      return tree;
    };
    auto first = next("the first pickle");
    const PickleValue magic = first->root();
    if (!magic.is(Kind::big_integer) || magic.text() != kMagic) {
      file_.layout_ = PytorchLayout::pickle;
      file_.tree_ = std::move(first);
      collect();
      return;
    }
    file_.layout_ = PytorchLayout::legacy;
    const auto protocol = next("the protocol's pickle");
    if (protocol->root().as_integer() != 1001) {
      throw Error({Code::unsupported, source_.name(), "unknown version of PyTorch's legacy layout", "1001",
                   protocol->root().as_integer() ? fmt::format("{}", *protocol->root().as_integer()) : "no number",
                   ""});
    }
    const auto system = next("the system's pickle");
    const auto little = system->root().find("little_endian");
    file_.big_endian_ = little && little->as_integer() == 0;
    file_.tree_ = next("the object's pickle");
    collect();
    const auto keys = next("the list of keys");
    if (!keys->root().is(Kind::list)) throw Error(Code::format, source_.name(), "the list of storages is no list");
    std::vector<bool> placed(file_.storages_.size(), false);
    for (std::size_t i = 0; i < keys->root().size(); ++i) {
      const PickleValue key = keys->root().element(i);
      const auto it = key.is(Kind::string) ? storage_index_.find(key.text()) : storage_index_.end();
      if (it == storage_index_.end() || placed[it->second]) {
        throw Error({Code::format, source_.name(), "a storage that no tensor uses, or twice the same", "",
                     key.is(Kind::string) ? "'" + readable(key.text()) + "'" : std::string(kind_name(key.kind())), ""});
      }
      PytorchStorage& storage = file_.storages_[it->second];
      std::array<unsigned char, 8> raw{};
      if (source_.size() - at < raw.size()) cut_off(storage, at);
      source_.read(at, raw.data(), raw.size());
      if (file_.big_endian_) std::ranges::reverse(raw);
      std::uint64_t elements = 0;
      for (std::size_t b = 0; b < raw.size(); ++b) elements |= std::uint64_t{raw[b]} << (8 * b);
      at += raw.size();
      if (elements != storage.elements) {
        throw Error({Code::format, source_.name(), fmt::format("storage '{}' has another size", readable(storage.key)),
                     fmt::format("{} elements", storage.elements), fmt::format("{}", elements), ""});
      }
      const std::uint64_t bytes = storage.elements * storage.element_bytes;  // checked when it was made
      if (bytes > source_.size() - at) cut_off(storage, at);
      storage.begin = at;
      at += bytes;
      placed[it->second] = true;
    }
    const auto absent = std::ranges::find(placed, false);
    if (absent != placed.end()) {
      throw Error({Code::format, source_.name(),
                   fmt::format("storage '{}' is missing",
                               readable(file_.storages_[static_cast<std::size_t>(absent - placed.begin())].key)),
                   "", "", ""});
    }
  }

  [[noreturn]] void cut_off(const PytorchStorage& storage, std::uint64_t at) const {
    throw Error({Code::format, source_.name(), "the file is cut off",
                 fmt::format("{} bytes for storage '{}' at byte {}", storage.elements * storage.element_bytes,
                             readable(storage.key), at),
                 fmt::format("{} bytes in all", source_.size()), "download or copy it again"});
  }

  void collect() { visit(file_.tree_->root(), "", 0); }

  static std::string joined(const std::string& path, std::string_view part) {
    return path.empty() ? std::string(part) : fmt::format("{}.{}", path, part);
  }

  static std::string part_of(const PickleValue& key, std::size_t index) {
    if (key.is(Kind::string)) return readable(key.text());
    if (const auto n = key.as_integer()) return fmt::format("{}", *n);
    return fmt::format("#{}", index);
  }

  void visit(const PickleValue& value, const std::string& path, int depth) {
    if (++visits_ > kVisits) {
      throw Error({Code::format, source_.name(), "values contain each other too often",
                   fmt::format("at most {} visited", kVisits), "more", ""});
    }
    switch (value.kind()) {
      case Kind::dict:
      case Kind::list:
      case Kind::tuple:
      case Kind::set:
      case Kind::object:
        break;
      default:
        return;
    }
    if (depth > kDepth) {
      throw Error({Code::format, source_.name(), "values are nested too deeply",
                   fmt::format("at most {} levels", kDepth), "more", ""});
    }
    if (value.is(Kind::object)) {
      if (take_tensor(value, path)) return;
      visit_object(value, path, depth);
      return;
    }
    for (std::size_t i = 0; i < value.size(); ++i) {
      const bool dict = value.is(Kind::dict);
      descend(dict ? value.value(i) : value.element(i), path, dict ? part_of(value.key(i), i) : fmt::format("{}", i),
              depth);
    }
  }

  void descend(const PickleValue& value, const std::string& path, std::string_view part, int depth) {
    // Most leaves are numbers; their names are not needed.
    if (value.is(Kind::dict) || value.is(Kind::list) || value.is(Kind::tuple) || value.is(Kind::set) ||
        value.is(Kind::object)) {
      name_bytes_ += path.size() + part.size();
      if (name_bytes_ > kNameBytes) {
        throw Error({Code::format, source_.name(), "names are too long", fmt::format("{} bytes in all", kNameBytes),
                     "more", ""});
      }
      visit(value, joined(path, part), depth + 1);
    } else {
      visit(value, path, depth + 1);
    }
  }

  void visit_object(const PickleValue& object, const std::string& path, int depth) {
    const PickleValue state = object.state();
    if (state.is(Kind::dict)) {
      for (std::size_t i = 0; i < state.size(); ++i) {
        const std::string part = part_of(state.key(i), i);
        const PickleValue member = state.value(i);
        if (part == "_parameters" || part == "_buffers" || part == "_modules") {
          visit(member, path, depth + 1);
        } else {
          descend(member, path, part, depth);
        }
      }
    } else {
      descend(state, path, "state", depth);
    }
    // Items appended to an object of an unknown class: a list's elements or a dict's pairs, which look alike here.
    for (std::size_t i = 0; i < object.size(); ++i) {
      const PickleValue item = object.element(i);
      const bool named = i % 2 == 1 && object.element(i - 1).is(Kind::string);
      descend(item, path, named ? part_of(object.element(i - 1), i) : fmt::format("{}", i), depth);
    }
    const PickleValue arguments = object.arguments();
    if (arguments.is(Kind::tuple) && arguments.size() > 0) descend(arguments, path, "arguments", depth);
  }

  /// True when the object is a tensor or stands for one.
  bool take_tensor(const PickleValue& object, const std::string& path) {
    const std::string name = path.empty() ? "tensor" : path;
    std::string made_by = object.class_name();
    PickleValue arguments = object.arguments();
    bool parameter = false;
    // Wrappers: the tensor is an argument. At most a few inside each other.
    for (int level = 0; level < 4; ++level) {
      if (!arguments.is(Kind::tuple)) return false;
      if (made_by == "torch._tensor._rebuild_from_type_v2" || made_by == "torch._tensor._rebuild_from_type") {
        if (arguments.size() < 3 || !arguments.element(0).is(Kind::global)) bad(name, "a broken tensor");
        made_by = arguments.element(0).text();
        arguments = arguments.element(2);
      } else if (made_by == "torch._utils._rebuild_parameter" ||
                 made_by == "torch._utils._rebuild_parameter_with_state") {
        if (arguments.size() < 1 || !arguments.element(0).is(Kind::object)) bad(name, "a broken parameter");
        parameter = true;
        const PickleValue inner = arguments.element(0);
        made_by = inner.class_name();
        arguments = inner.arguments();
      } else {
        break;
      }
    }
    if (made_by == "torch._utils._rebuild_tensor_v2" || made_by == "torch._utils._rebuild_tensor" ||
        made_by == "torch._utils._rebuild_tensor_v3") {
      add_tensor(name, arguments, made_by.ends_with("_v3"), parameter);
      return true;
    }
    if (made_by.starts_with("torch._utils._rebuild_") || made_by == "torch.storage._load_from_bytes" ||
        made_by == "numpy.core.multiarray._reconstruct" || made_by == "numpy._core.multiarray._reconstruct") {
      file_.unreadable_.emplace_back(name, readable(made_by));
      return true;
    }
    return false;
  }

  void add_tensor(const std::string& name, const PickleValue& arguments, bool v3, bool parameter) {
    if (!arguments.is(Kind::tuple) || arguments.size() < (v3 ? 7 : 4)) bad(name, "a broken tensor");
    std::uint64_t view_offset = 0;
    const auto storage = storage_of(name, arguments.element(0), view_offset);
    const auto offset = arguments.element(1).as_integer();
    const auto shape = integers(arguments.element(2));
    const auto stride = integers(arguments.element(3));
    if (!offset || *offset < 0 || !shape || !stride || shape->size() != stride->size()) {
      bad(name, "offset, shape or stride is broken", "whole numbers from 0, as many strides as sizes");
    }
    const PytorchStorage& held = file_.storages_[storage];
    const ElementType* type =
        v3 ? (arguments.element(6).is(Kind::global) ? element_type(arguments.element(6).text()) : nullptr)
           : storage_type_of_[storage];
    if (type == nullptr) {
      bad(name, "unknown element type", "one of PyTorch's", v3 ? readable(arguments.element(6).text()) : held.type,
          Code::unsupported);
    }
    PytorchTensor tensor{std::string(type->name),
                         type->dtype,
                         type->bytes,
                         *shape,
                         *stride,
                         static_cast<std::uint64_t>(*offset),
                         storage,
                         parameter};
    tensor.offset += view_offset;  // both are below 2^63
    // All in elements of the tensor's type, by division, so that hostile numbers cannot overflow.
    const std::uint64_t held_elements = held.elements * held.element_bytes / tensor.element_bytes;
    const auto outside = [&] {
      bad(name, "lies outside its storage", fmt::format("within {} elements", held_elements),
          fmt::format("shape {}, stride {}, offset {}", shape_text(*shape), shape_text(*stride), tensor.offset));
    };
    if (std::ranges::find(*shape, 0) != shape->end()) {
      if (tensor.offset > held_elements) outside();
    } else {
      if (tensor.offset >= held_elements) outside();
      const std::uint64_t room = held_elements - 1 - tensor.offset;
      std::uint64_t reach = 0, count = 1;
      for (std::size_t i = 0; i < shape->size(); ++i) {
        const auto size = static_cast<std::uint64_t>((*shape)[i]), step = static_cast<std::uint64_t>((*stride)[i]);
        if (step > 0 && size - 1 > (room - reach) / step) outside();
        reach += (size - 1) * step;
        constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max() / 16;
        if (size > kMost / count) bad(name, "impossible size", "at most 2^59 elements", shape_text(*shape));
        count *= size;
      }
      const std::uint64_t most = kExpandedFiles * source_.size() + kExpandedBytes;
      const std::uint64_t bytes = count * tensor.element_bytes;
      if (bytes > most - std::min(expanded_bytes_, most)) {
        bad(name, "the tensors are far larger than the file", fmt::format("at most {} bytes in all", most),
            fmt::format("shape {}, stride {}", shape_text(*shape), shape_text(*stride)), Code::format);
      }
      expanded_bytes_ += bytes;
    }
    file_.tensors_.insert_or_assign(name, std::move(tensor));
  }

  /// A persistent id ('storage', type, key, location, elements[, view]).
  std::size_t storage_of(const std::string& tensor, const PickleValue& value, std::uint64_t& view_offset) {
    if (!value.is(Kind::persistent) || !value.arguments().is(Kind::tuple)) bad(tensor, "its storage is broken");
    const PickleValue id = value.arguments();
    if (id.size() < 5 || id.element(0).text() != "storage" || !id.element(1).is(Kind::global) ||
        !id.element(4).as_integer() || *id.element(4).as_integer() < 0) {
      bad(tensor, "its storage is broken", "('storage', type, key, location, elements)");
    }
    const std::string key = id.element(2).is(Kind::string) ? id.element(2).text()
                            : id.element(2).as_integer()   ? fmt::format("{}", *id.element(2).as_integer())
                                                           : std::string();
    const ElementType* type = storage_type(id.element(1).text());
    if (type == nullptr) {
      bad(tensor, "unknown type of storage", "one of PyTorch's", readable(id.element(1).text()), Code::unsupported);
    }
    const auto elements = static_cast<std::uint64_t>(*id.element(4).as_integer());
    if (elements > std::numeric_limits<std::int64_t>::max() / type->bytes)
      bad(tensor, "its storage has an impossible size");
    if (id.size() > 5 && id.element(5).is(Kind::tuple) && file_.layout_ == PytorchLayout::legacy) {
      const PickleValue view = id.element(5);
      const auto offset = view.size() == 3 ? view.element(1).as_integer() : std::nullopt;
      if (!offset || *offset < 0) bad(tensor, "its view of a storage is broken", "(key, offset, size)");
      view_offset = static_cast<std::uint64_t>(*offset);
    }
    const auto known = storage_index_.find(key);
    if (known != storage_index_.end()) {
      const PytorchStorage& storage = file_.storages_[known->second];
      if (storage.elements != elements || storage_type_of_[known->second] != type) {
        bad(tensor, fmt::format("storage '{}' is described twice and differently", readable(key)));
      }
      return known->second;
    }
    PytorchStorage storage;
    storage.key = key;
    storage.location = readable(id.element(3).text());
    storage.type = std::string(type->name);
    storage.element_bytes = type->bytes;
    storage.elements = elements;
    if (file_.layout_ == PytorchLayout::zip) {
      const auto entry = entries_.find(data_ + key);
      if (entry == entries_.end()) bad(tensor, fmt::format("the archive has no entry '{}'", readable(data_ + key)));
      if (entry->second.bytes < elements * type->bytes) {
        bad(tensor, fmt::format("entry '{}' is too short", readable(data_ + key)),
            fmt::format("{} bytes", elements * type->bytes), fmt::format("{}", entry->second.bytes));
      }
      storage.begin = entry->second.begin;
    } else if (file_.layout_ == PytorchLayout::pickle) {
      bad(tensor, "a plain pickle holds no tensors' data", "a file of torch.save");
    }
    const std::size_t index = file_.storages_.size();
    storage_index_.emplace(key, index);
    storage_type_of_.push_back(type);
    file_.storages_.push_back(std::move(storage));
    return index;
  }

  PytorchFile& file_;
  const ByteSource& source_;
  PickleLimits limits_;
  std::map<std::string, detail::ZipEntry, std::less<>> entries_;
  std::string data_;
  std::map<std::string, std::size_t, std::less<>> storage_index_;
  std::vector<const ElementType*> storage_type_of_;
  std::size_t visits_ = 0;
  std::uint64_t name_bytes_ = 0, expanded_bytes_ = 0;
};

PytorchFile::PytorchFile(const std::filesystem::path& path, const PickleLimits& limits)
    : PytorchFile(open_file(path), limits) {}

PytorchFile::PytorchFile(std::shared_ptr<const ByteSource> source, const PickleLimits& limits)
    : source_(std::move(source)) {
  PytorchIndex(*this, limits).build();
}

Tensor PytorchFile::read(std::string_view name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    std::vector<std::string> names;
    for (const auto& [key, unused] : tensors_) names.push_back(key);
    throw Error({Code::checkpoint,
                 source_->name(),
                 fmt::format("has no tensor '{}'", name),
                 {},
                 {},
                 core::did_you_mean(name, names)});
  }
  const PytorchTensor& info = it->second;
  if (!info.dtype) {
    throw Error({Code::unsupported, source_->name(), fmt::format("tensor '{}' cannot be read", name),
                 "floating point, integers or booleans", info.type, ""});
  }
  const PytorchStorage& storage = storages_[info.storage];
  const std::size_t element = info.element_bytes;
  const auto count = static_cast<std::size_t>(info.elements());
  Tensor tensor{*info.dtype, info.shape, std::vector<std::byte>(count * element)};
  if (count > 0) {
    const std::uint64_t begin = storage.begin + info.offset * element;
    if (info.contiguous()) {
      source_->read(begin, tensor.bytes.data(), tensor.bytes.size());
    } else {
      std::uint64_t reach = 0;
      for (std::size_t i = 0; i < info.shape.size(); ++i) {
        reach += static_cast<std::uint64_t>(info.shape[i] - 1) * static_cast<std::uint64_t>(info.stride[i]);
      }
      const std::string part = source_->read(begin, static_cast<std::size_t>((reach + 1) * element));
      std::vector<std::int64_t> index(info.shape.size(), 0);
      std::size_t from = 0;
      for (std::size_t i = 0; i < count; ++i) {
        std::memcpy(tensor.bytes.data() + i * element, part.data() + from * element, element);
        for (std::size_t d = index.size(); d-- > 0;) {
          from += static_cast<std::size_t>(info.stride[d]);
          if (++index[d] < info.shape[d]) break;
          from -= static_cast<std::size_t>(info.stride[d] * info.shape[d]);
          index[d] = 0;
        }
      }
    }
    if (big_endian_) {
      for (std::size_t i = 0; i < count; ++i) {
        std::reverse(tensor.bytes.begin() + static_cast<std::ptrdiff_t>(i * element),
                     tensor.bytes.begin() + static_cast<std::ptrdiff_t>((i + 1) * element));
      }
    }
  }
  return tensor;
}

}  // namespace mss::checkpoints
