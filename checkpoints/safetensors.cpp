#include "checkpoints/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/text.h"

namespace mss::checkpoints {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are stored little-endian and copied as they are");

constexpr std::uint64_t kHeaderLimit = 100'000'000;
constexpr std::string_view kMetadata = "__metadata__";

struct DTypeEntry {
  DType dtype;
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<DTypeEntry, 13> kDTypes = {{{DType::f64, "F64", 8},
                                                 {DType::f32, "F32", 4},
                                                 {DType::f16, "F16", 2},
                                                 {DType::bf16, "BF16", 2},
                                                 {DType::i64, "I64", 8},
                                                 {DType::i32, "I32", 4},
                                                 {DType::i16, "I16", 2},
                                                 {DType::i8, "I8", 1},
                                                 {DType::u64, "U64", 8},
                                                 {DType::u32, "U32", 4},
                                                 {DType::u16, "U16", 2},
                                                 {DType::u8, "U8", 1},
                                                 {DType::boolean, "BOOL", 1}}};

const DTypeEntry& entry(DType dtype) noexcept {
  for (const auto& e : kDTypes) {
    if (e.dtype == dtype) return e;
  }
  return kDTypes[1];
}

[[noreturn]] void malformed(std::string_view name, std::string what, std::string expected = {},
                            std::string found = {}) {
  throw Error({Code::format,
               std::string(name),
               "not a valid safetensors file: " + what,
               std::move(expected),
               std::move(found),
               {}});
}

/// Bytes that a shape takes, or false on overflow.
bool byte_count(const std::vector<std::int64_t>& shape, std::size_t element, std::uint64_t& bytes) {
  bytes = element;
  for (const std::int64_t n : shape) {
    if (n < 0) return false;
    const auto size = static_cast<std::uint64_t>(n);
    if (size != 0 && bytes > std::numeric_limits<std::int64_t>::max() / size) return false;
    bytes *= size;
  }
  return true;
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

/// To the nearest, ties to even. A half has 10 bits behind the point and exponents from -14; below that its steps are
/// 2^-24.
std::uint16_t float_to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7e00);
  if (std::isinf(value)) return static_cast<std::uint16_t>(sign | 0x7c00);
  if (value == 0) return sign;
  const double magnitude = std::fabs(static_cast<double>(value));
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = m 2^exponent, m in [0.5, 1)
  const int step = std::max(exponent - 11, -24);
  // Exact: a float has 24 bits, and nearbyint rounds ties to even.
  const double steps = std::nearbyint(std::ldexp(magnitude, -step));
  if (std::ldexp(steps, step) > 65504) return static_cast<std::uint16_t>(sign | 0x7c00);
  const auto count = static_cast<std::uint32_t>(steps);  // 0 … 2048
  // Steps of 2^step: with the implicit bit from 1024 on; rounding up to 2048 carries into the exponent by itself.
  return static_cast<std::uint16_t>(sign | ((static_cast<std::uint32_t>(step + 24) << 10) + count));
}

double half_to_double(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 0) return sign * std::ldexp(static_cast<double>(fraction), -24);
  if (exponent == 31) {
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  return sign * std::ldexp(static_cast<double>(fraction + 1024), exponent - 25);
}

template <class Stored, class Out>
void convert(std::span<const std::byte> bytes, std::span<Out> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored x;
    std::memcpy(&x, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = static_cast<Out>(x);
  }
}

template <class Out>
void widen(DType dtype, std::span<const std::byte> b, std::span<Out> out) {
  switch (dtype) {
    case DType::f64:
      return convert<double, Out>(b, out);
    case DType::f32:
      return convert<float, Out>(b, out);
    case DType::i64:
      return convert<std::int64_t, Out>(b, out);
    case DType::i32:
      return convert<std::int32_t, Out>(b, out);
    case DType::i16:
      return convert<std::int16_t, Out>(b, out);
    case DType::i8:
      return convert<std::int8_t, Out>(b, out);
    case DType::u64:
      return convert<std::uint64_t, Out>(b, out);
    case DType::u32:
      return convert<std::uint32_t, Out>(b, out);
    case DType::u16:
      return convert<std::uint16_t, Out>(b, out);
    case DType::u8:
      return convert<std::uint8_t, Out>(b, out);
    case DType::boolean: {
      convert<std::uint8_t, Out>(b, out);
      for (auto& x : out) x = x != Out(0) ? Out(1) : Out(0);
      return;
    }
    case DType::f16:
    case DType::bf16:
      break;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, b.data() + 2 * i, 2);
    out[i] = dtype == DType::f16 ? static_cast<Out>(half_to_double(bits))
                                 : static_cast<Out>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
  }
}

template <class Out>
std::vector<Out> values(const Tensor& tensor) {
  std::vector<Out> out(tensor.bytes.size() / element_bytes(tensor.dtype));
  widen<Out>(tensor.dtype, tensor.bytes, out);
  return out;
}

template <class T>
Tensor make(DType dtype, const std::vector<T>& data, std::vector<std::int64_t> shape) {
  Tensor tensor{dtype, std::move(shape), std::vector<std::byte>(data.size() * sizeof(T))};
  std::uint64_t bytes = 0;
  if (!byte_count(tensor.shape, sizeof(T), bytes) || bytes != tensor.bytes.size()) {
    throw Error({Code::invalid_argument,
                 "tensor",
                 "number of values does not fit the shape",
                 shape_text(tensor.shape),
                 fmt::format("{} values", data.size()),
                 {}});
  }
  if (!data.empty()) std::memcpy(tensor.bytes.data(), data.data(), tensor.bytes.size());
  return tensor;
}

TensorInfo parse_tensor(const std::string& key, const core::Value& value, std::string_view file) {
  const auto bad = [&](const char* what, std::string expected, std::string found) {
    malformed(file, fmt::format("tensor '{}': {}", key, what), std::move(expected), std::move(found));
  };
  if (!value.is_object()) bad("wrong type", "object", std::string(value.type_name()));
  for (const auto& [name, unused] : value.as_object()) {
    if (name != "dtype" && name != "shape" && name != "data_offsets") {
      bad("unknown member", "dtype, shape, data_offsets", "'" + name + "'");
    }
  }
  TensorInfo info;
  const core::Value* dtype = value.find("dtype");
  if (dtype == nullptr || !dtype->is_string())
    bad("dtype is missing", "a string", dtype ? std::string(dtype->type_name()) : "nothing");
  const auto known = std::ranges::find_if(kDTypes, [&](const DTypeEntry& e) { return e.name == dtype->as_string(); });
  if (known == kDTypes.end())
    bad("unknown dtype", "F64, F32, F16, BF16, I64 … U8 or BOOL", "'" + dtype->as_string() + "'");
  info.dtype = known->dtype;
  const core::Value* shape = value.find("shape");
  if (shape == nullptr || !shape->is_array())
    bad("shape is missing", "an array", shape ? std::string(shape->type_name()) : "nothing");
  for (const auto& n : shape->as_array()) {
    if (!n.is_integer() || n.as_integer() < 0)
      bad("shape has an entry that is no size", "integers >= 0", std::string(n.type_name()));
    info.shape.push_back(n.as_integer());
  }
  const core::Value* offsets = value.find("data_offsets");
  if (offsets == nullptr || !offsets->is_array() || offsets->size() != 2)
    bad("data_offsets are missing", "[begin, end]", "something else");
  std::array<std::uint64_t, 2> range{};
  for (std::size_t i = 0; i < 2; ++i) {
    const auto& x = offsets->as_array()[i];
    if (!x.is_integer() || x.as_integer() < 0)
      bad("data_offsets have an entry that is no offset", "integers >= 0", std::string(x.type_name()));
    range[i] = static_cast<std::uint64_t>(x.as_integer());
  }
  info.begin = range[0], info.end = range[1];
  std::uint64_t bytes = 0;
  if (!byte_count(info.shape, known->bytes, bytes))
    bad("shape is too large", "at most 2^63 - 1 bytes", shape_text(info.shape));
  if (info.end < info.begin || info.end - info.begin != bytes) {
    bad("data_offsets do not fit dtype and shape",
        fmt::format("{} bytes for {} {}", bytes, known->name, shape_text(info.shape)),
        fmt::format("[{}, {}]", info.begin, info.end));
  }
  return info;
}

}  // namespace

std::size_t element_bytes(DType dtype) noexcept { return entry(dtype).bytes; }
std::string_view dtype_name(DType dtype) noexcept { return entry(dtype).name; }

std::int64_t TensorInfo::elements() const noexcept {
  std::int64_t n = 1;
  for (const std::int64_t x : shape) n *= x;
  return n;
}

std::vector<float> Tensor::to_float() const { return values<float>(*this); }
std::vector<double> Tensor::to_double() const { return values<double>(*this); }
Tensor Tensor::from(const std::vector<float>& data, std::vector<std::int64_t> shape) {
  return make(DType::f32, data, std::move(shape));
}
Tensor Tensor::from(const std::vector<double>& data, std::vector<std::int64_t> shape) {
  return make(DType::f64, data, std::move(shape));
}

SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes, std::string_view name) {
  if (text.empty() || text.front() != '{')
    malformed(name, "header is no JSON object", "'{'", text.empty() ? "nothing" : "another byte");
  if (!core::is_utf8(text)) malformed(name, "header is not UTF-8");
  const core::Value value = core::parse_json(text, fmt::format("{} (header)", name));
  if (!value.is_object()) malformed(name, "header is no JSON object", "object", std::string(value.type_name()));
  SafetensorsHeader header;
  for (const auto& [key, item] : value.as_object()) {
    if (key == kMetadata) {
      if (!item.is_object()) malformed(name, "__metadata__ has a wrong type", "object", std::string(item.type_name()));
      for (const auto& [k, v] : item.as_object()) {
        if (!v.is_string())
          malformed(name, fmt::format("__metadata__ '{}' has a wrong type", k), "string", std::string(v.type_name()));
        header.metadata[k] = v.as_string();
      }
    } else {
      header.tensors[key] = parse_tensor(key, item, name);
    }
  }
  std::vector<std::pair<const std::string*, const TensorInfo*>> order;
  for (const auto& [key, info] : header.tensors) order.emplace_back(&key, &info);
  std::ranges::sort(order, [](const auto& a, const auto& b) {
    return std::tie(a.second->begin, a.second->end, *a.first) < std::tie(b.second->begin, b.second->end, *b.first);
  });
  std::uint64_t at = 0;
  for (const auto& [key, info] : order) {
    if (info->begin != at) {
      malformed(name,
                fmt::format("tensor '{}' {}", *key,
                            info->begin < at ? "overlaps the one before it" : "leaves a gap before it"),
                fmt::format("begin at {}", at), fmt::format("{}", info->begin));
    }
    at = info->end;
  }
  if (at != data_bytes) {
    malformed(name, at > data_bytes ? "data are truncated" : "there are bytes behind the last tensor",
              fmt::format("{} bytes of data", at), fmt::format("{}", data_bytes));
  }
  return header;
}

SafetensorsFile::SafetensorsFile(std::filesystem::path path) : SafetensorsFile(open_file(path)) {
  path_ = std::move(path);
}

SafetensorsFile::SafetensorsFile(std::shared_ptr<const ByteSource> source)
    : path_(source->name()), source_(std::move(source)) {
  const std::string& name = source_->name();
  const std::uint64_t file_bytes = source_->size();
  if (file_bytes < 8) malformed(name, "file is too short", "at least 8 bytes", fmt::format("{}", file_bytes));
  std::array<unsigned char, 8> length{};
  source_->read(0, length.data(), length.size());
  std::uint64_t header_bytes = 0;
  for (std::size_t i = 0; i < 8; ++i) header_bytes |= static_cast<std::uint64_t>(length[i]) << (8 * i);
  if (header_bytes > kHeaderLimit || header_bytes > file_bytes - 8) {
    malformed(name, "header length is out of range",
              fmt::format("at most {}", std::min<std::uint64_t>(kHeaderLimit, file_bytes - 8)),
              fmt::format("{}", header_bytes));
  }
  auto header = parse_safetensors_header(source_->read(8, static_cast<std::size_t>(header_bytes)),
                                         file_bytes - 8 - header_bytes, name);
  tensors_ = std::move(header.tensors);
  metadata_ = std::move(header.metadata);
  data_begin_ = 8 + header_bytes;
}

std::int64_t LazyTensor::elements() const {
  std::int64_t n = 1;
  for (const std::int64_t x : shape) n *= x;
  return n;
}

void LazyTensor::read(std::span<float> out) const {
  if (dtype == DType::f32) return fetch(std::as_writable_bytes(out));
  std::vector<std::byte> stored(bytes());
  fetch(stored);
  widen<float>(dtype, stored, out);
}

std::vector<float> LazyTensor::values() const {
  std::vector<float> out(static_cast<std::size_t>(elements()));
  read(out);
  return out;
}

LazyTensor LazyTensor::from(std::vector<float> data, std::vector<std::int64_t> shape) {
  LazyTensor out{DType::f32, std::move(shape), {}};
  std::uint64_t bytes = 0;
  if (!byte_count(out.shape, sizeof(float), bytes) || bytes != data.size() * sizeof(float)) {
    throw Error({Code::invalid_argument, "tensor", "number of values does not fit the shape", shape_text(out.shape),
                 fmt::format("{} values", data.size()), ""});
  }
  out.fetch = [kept = std::make_shared<const std::vector<float>>(std::move(data))](std::span<std::byte> to) {
    std::ranges::copy(std::as_bytes(std::span(*kept)), to.begin());
  };
  return out;
}

LazyTensor LazyTensor::half(std::span<const float> values, std::vector<std::int64_t> shape) {
  Tensor tensor{DType::f16, std::move(shape), std::vector<std::byte>(values.size() * 2)};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t bits = float_to_half(values[i]);
    tensor.bytes[2 * i] = static_cast<std::byte>(bits & 0xff);
    tensor.bytes[2 * i + 1] = static_cast<std::byte>(bits >> 8);
  }
  return from(std::move(tensor));
}

LazyTensor LazyTensor::from(Tensor tensor) {
  LazyTensor out{tensor.dtype, tensor.shape, {}};
  out.fetch = [kept = std::make_shared<const Tensor>(std::move(tensor))](std::span<std::byte> to) {
    std::ranges::copy(kept->bytes, to.begin());
  };
  return out;
}

const TensorInfo& SafetensorsFile::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    std::vector<std::string> names;
    for (const auto& [key, unused] : tensors_) names.push_back(key);
    throw Error({Code::checkpoint,
                 path_.string(),
                 fmt::format("has no tensor '{}'", name),
                 {},
                 {},
                 core::did_you_mean(name, names)});
  }
  return it->second;
}

Tensor SafetensorsFile::read(std::string_view name) const {
  const TensorInfo& info = find(name);
  Tensor tensor{info.dtype, info.shape, std::vector<std::byte>(info.end - info.begin)};
  source_->read(data_begin_ + info.begin, tensor.bytes.data(), tensor.bytes.size());
  return tensor;
}

LazyTensor SafetensorsFile::lazy(std::string_view name) const {
  const TensorInfo& info = find(name);
  return {info.dtype, info.shape, [source = source_, begin = data_begin_ + info.begin](std::span<std::byte> to) {
            source->read(begin, to.data(), to.size());
          }};
}

Tensors SafetensorsFile::read_all() const {
  Tensors out;
  for (const auto& [name, unused] : tensors_) out.emplace(name, read(name));
  return out;
}

namespace {

/// What the header says of a tensor.
struct Described {
  DType dtype;
  const std::vector<std::int64_t>* shape;
  std::uint64_t bytes;
};

struct Layout {
  std::string head;                // length and header, padded
  std::vector<std::string> order;  // of the data behind it
  std::uint64_t data_bytes = 0;
};

Layout plan(const std::map<std::string, Described>& tensors, const Metadata& metadata) {
  Layout out;
  for (const auto& [name, tensor] : tensors) {
    std::uint64_t bytes = 0;
    if (name.empty() || name == kMetadata || !core::is_utf8(name)) {
      throw Error({Code::invalid_argument,
                   "safetensors",
                   "a tensor has an impossible name",
                   "UTF-8 text other than __metadata__",
                   "'" + name + "'",
                   {}});
    }
    if (!byte_count(*tensor.shape, element_bytes(tensor.dtype), bytes) || bytes != tensor.bytes) {
      throw Error({Code::invalid_argument,
                   "tensor '" + name + "'",
                   "bytes do not follow from dtype and shape",
                   fmt::format("{} bytes for {} {}", bytes, dtype_name(tensor.dtype), shape_text(*tensor.shape)),
                   fmt::format("{}", tensor.bytes),
                   {}});
    }
    out.order.push_back(name);
  }
  std::ranges::stable_sort(out.order, [&](const std::string& a, const std::string& b) {
    return element_bytes(tensors.at(a).dtype) > element_bytes(tensors.at(b).dtype);
  });
  std::map<std::string_view, std::uint64_t> begins;
  for (const std::string& name : out.order) {
    begins[name] = out.data_bytes;
    out.data_bytes += tensors.at(name).bytes;
  }
  core::Value header = core::Value::object();
  if (!metadata.empty()) {
    core::Value texts = core::Value::object();
    for (const auto& [key, text] : metadata) {
      if (!core::is_utf8(key) || !core::is_utf8(text)) {
        throw Error(
            {Code::invalid_argument, "safetensors", "metadata is not UTF-8", "UTF-8 text", "'" + key + "'", {}});
      }
      texts[key] = core::Value(text);
    }
    header[kMetadata] = std::move(texts);
  }
  for (const auto& [name, tensor] : tensors) {
    core::Value info = core::Value::object();
    info["dtype"] = core::Value(dtype_name(tensor.dtype));
    core::Value shape = core::Value::array();
    for (const std::int64_t n : *tensor.shape) shape.push_back(core::Value(n));
    info["shape"] = std::move(shape);
    core::Value range = core::Value::array();
    range.push_back(core::Value(begins[name]));
    range.push_back(core::Value(begins[name] + tensor.bytes));
    info["data_offsets"] = std::move(range);
    header.as_object().emplace_back(name, std::move(info));
  }
  std::string text = core::dump_json(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  for (int i = 0; i < 8; ++i)
    out.head.push_back(static_cast<char>((static_cast<std::uint64_t>(text.size()) >> (8 * i)) & 255));
  out.head += text;
  return out;
}

Layout plan(const Tensors& tensors, const Metadata& metadata) {
  std::map<std::string, Described> described;
  for (const auto& [name, tensor] : tensors) described[name] = {tensor.dtype, &tensor.shape, tensor.bytes.size()};
  return plan(described, metadata);
}

std::string_view text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string serialize_safetensors(const Tensors& tensors, const Metadata& metadata) {
  const Layout layout = plan(tensors, metadata);
  std::string out = layout.head;
  out.reserve(layout.head.size() + layout.data_bytes);
  for (const std::string& name : layout.order) out += text_of(tensors.at(name).bytes);
  return out;
}

void write_safetensors(const std::filesystem::path& path, const Tensors& tensors, const Metadata& metadata) {
  const Layout layout = plan(tensors, metadata);
  std::vector<std::string_view> pieces = {layout.head};
  for (const std::string& name : layout.order) pieces.push_back(text_of(tensors.at(name).bytes));
  core::write_file_atomic(path, pieces);
}

void write_safetensors(const std::filesystem::path& path, const LazyTensors& tensors, const Metadata& metadata) {
  std::map<std::string, Described> described;
  for (const auto& [name, tensor] : tensors) described[name] = {tensor.dtype, &tensor.shape, tensor.bytes()};
  const Layout layout = plan(described, metadata);
  std::size_t next = 0;
  std::vector<std::byte> bytes;
  core::write_file_atomic(path, [&](std::string_view& piece) {
    if (next > layout.order.size()) return false;
    if (next == 0) {
      piece = layout.head;
    } else {
      const LazyTensor& tensor = tensors.find(layout.order[next - 1])->second;
      bytes.resize(tensor.bytes());
      tensor.fetch(bytes);
      piece = text_of(bytes);
    }
    ++next;
    return true;
  });
}

}  // namespace mss::checkpoints
