// safetensors files: named arrays and text metadata, no code (format of huggingface/safetensors).
//
//   8 bytes  little-endian u64: N, length of the header
//   N bytes  UTF-8 JSON object, may be padded with spaces behind: {"NAME": {"dtype": "F32", "shape": [2, 3],
//   "data_offsets": [begin, end]},
//            …, "__metadata__": {"key": "text"}}; offsets count from the end of the header
//   the rest little-endian, C order, without gaps or overlaps
//
// Reading trusts nothing: header at most 100 MB and within the file, offsets in range, ascending without gap or
// overlap, sizes that follow from dtype and shape (with overflow checks), UTF-8 names, no duplicates. A breach is
// Error(format) that names file, tensor, expected and found. Writing is deterministic: names sorted in the header, data
// ordered by element size (descending) and name, so that every tensor is aligned to its elements; the header is padded
// to 8 bytes. Equal content gives equal bytes.
//
// Thread-safety: SafetensorsFile's const members may be called at once from several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/byte_source.h"

namespace mss::checkpoints {

enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

std::size_t element_bytes(DType dtype) noexcept;
std::string_view dtype_name(DType dtype) noexcept;  ///< "F32", "BF16", "BOOL", …

struct TensorInfo {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;   ///< empty = a scalar
  std::uint64_t begin = 0, end = 0;  ///< bytes, from the end of the header

  std::int64_t elements() const noexcept;
};

struct Tensor {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;  ///< little-endian, C order

  /// Values of any dtype as the wanted type (f16 and bf16 widened, f64 rounded).
  std::vector<float> to_float() const;
  std::vector<double> to_double() const;
  static Tensor from(const std::vector<float>& values, std::vector<std::int64_t> shape);
  static Tensor from(const std::vector<double>& values, std::vector<std::int64_t> shape);
};

using Tensors = std::map<std::string, Tensor, std::less<>>;

/// A tensor whose bytes stay where they are (in a file, in memory, in a generator) until somebody asks: models of a
/// gigabyte are read into their place, not into a copy first.
struct LazyTensor {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  /// Writes exactly bytes() bytes, little-endian, C order; may be called from several threads at once, and again.
  std::function<void(std::span<std::byte>)> fetch;

  std::int64_t elements() const;
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * element_bytes(dtype); }
  /// elements() values of any dtype as float32 (f16 and bf16 widened, f64 rounded).
  void read(std::span<float> values) const;
  std::vector<float> values() const;
  static LazyTensor from(std::vector<float> values, std::vector<std::int64_t> shape);
  static LazyTensor from(Tensor tensor);
  /// The values in float16, to the nearest and ties to even; infinities for what is too large.
  static LazyTensor half(std::span<const float> values, std::vector<std::int64_t> shape);
};
using LazyTensors = std::map<std::string, LazyTensor, std::less<>>;
using Metadata = std::map<std::string, std::string, std::less<>>;

class SafetensorsFile {
 public:
  /// Reads and checks the header. Throws Error(io) or Error(format).
  explicit SafetensorsFile(std::filesystem::path path);
  explicit SafetensorsFile(std::shared_ptr<const ByteSource> source);

  const std::filesystem::path& path() const noexcept { return path_; }
  const std::map<std::string, TensorInfo, std::less<>>& tensors() const noexcept { return tensors_; }
  const Metadata& metadata() const noexcept { return metadata_; }
  bool contains(std::string_view name) const { return tensors_.find(name) != tensors_.end(); }
  /// One tensor's data. Throws Error(checkpoint) with the nearest name for an unknown one, Error(io) when the file has
  /// changed.
  Tensor read(std::string_view name) const;
  Tensors read_all() const;
  /// The same data, read when they are fetched; keeps the file open. Throws as read() does.
  LazyTensor lazy(std::string_view name) const;

 private:
  const TensorInfo& find(std::string_view name) const;

  std::filesystem::path path_;
  std::map<std::string, TensorInfo, std::less<>> tensors_;
  Metadata metadata_;
  std::shared_ptr<const ByteSource> source_;
  std::uint64_t data_begin_ = 0;
};

/// What a header says; `name` stands in errors.
struct SafetensorsHeader {
  std::map<std::string, TensorInfo, std::less<>> tensors;
  Metadata metadata;
};
/// `header` is the JSON text, `data_bytes` what follows it in the file.
SafetensorsHeader parse_safetensors_header(std::string_view header, std::uint64_t data_bytes, std::string_view name);

/// Throws Error(invalid_argument) for a tensor whose bytes do not follow from dtype and shape, an empty name or
/// "__metadata__".
std::string serialize_safetensors(const Tensors& tensors, const Metadata& metadata);
/// Atomically; throws Error(io).
void write_safetensors(const std::filesystem::path& path, const Tensors& tensors, const Metadata& metadata);
/// The same, one tensor in memory at a time.
void write_safetensors(const std::filesystem::path& path, const LazyTensors& tensors, const Metadata& metadata);

}  // namespace mss::checkpoints
